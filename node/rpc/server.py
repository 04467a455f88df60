"""HTTP and WebSocket on one port and path: uvicorn, with this module as its raw ASGI application.

JSON-RPC errors travel with HTTP status 200, because libraries retry anything else. Only what is no
JSON-RPC call gets another status: a foreign Host (403), a method that is not POST (405). `GET`
shows operators' tools `/health` and `/metrics` (`node.rpc.operation`).
"""

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial
from typing import Final, cast

import uvicorn

from node.rpc.backend import TOO_SLOW, Asker, Backend, Conversation, FrontCounts
from node.rpc.errors import InvalidRequest, ServerError, render_error
from node.rpc.front import Front
from node.rpc.http import (
    CONNECTIONS_MAX,
    Heads,
    Message,
    QuickProtocol,
    Receive,
    Send,
    join_fields,
)
from node.rpc.origin import Policy
from node.rpc.requests import BODY_MAX, compute_body_max

DRAIN_MAX: Final = 8 * BODY_MAX
"""How much of a body that is too large is read, so that its sender sees the answer."""
BODY_SECONDS: Final = 30
"""A body must arrive within."""
STOP_SECONDS: Final = 2
"""After so long a stopping server cuts off what still runs."""
CLOSE_SECONDS: Final = 1
"""So long a connection that is cut off may take to be told why."""
UNREAD_MS: Final = 30_000
"""After so long the kernel cuts off a peer that does not read what was sent."""

_CORS: Final = (
    (b"access-control-allow-origin", b"*"),
    (b"access-control-allow-methods", b"POST"),
    (b"access-control-allow-headers", b"content-type"),
    (b"access-control-allow-private-network", b"true"),
)
_JSON: Final = ((b"content-type", b"application/json"), *_CORS)
_LAST: Final = ((b"connection", b"close"), *_JSON)
_TEXT: Final = ((b"content-type", b"text/plain; charset=utf-8"), *_CORS)
_NOT_TAKEN: Final = ((b"allow", b"POST, OPTIONS"), *_TEXT)
_READS: Final = ("GET", "HEAD")
"""How operators' tools ask for a page."""
_PREFLIGHT: Final = ((b"access-control-max-age", b"86400"), *_CORS)


class RpcServer:
    """The front of one node. Make it within the event loop that it shall run in."""

    def __init__(self, backend: Backend, policy: Policy, listening: socket.socket) -> None:
        self._front = Front(backend)
        self._policy = policy
        self._backend = backend
        self._socket = listening
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        self.port: int = self._socket.getsockname()[1]
        """The port it listens on: the free one that was found if 0 was asked for."""
        self._server = _Uvicorn(
            uvicorn.Config(
                self,
                http=self._protocol(),
                ws="websockets-sansio",
                ws_max_size=DRAIN_MAX,
                ws_per_message_deflate=False,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                timeout_keep_alive=75,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to serve; return when connections are taken."""
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        started = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            started.cancel()
            await self._task

    async def stop(self) -> None:
        """Take no more connections, end the open ones, return when all is closed."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()
        self._front.close()

    def _protocol(self) -> type[asyncio.Protocol]:
        """Return what makes a connection's protocol."""
        made = partial(
            QuickProtocol,
            front=self._front,
            heads=Heads(self._policy),
            answer_fields=join_fields(_JSON),
            empty_fields=join_fields(_CORS),
            refuse=_refuse_connection,
        )
        return cast(type[asyncio.Protocol], made)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request or one WebSocket connection: the ASGI application."""
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if scope["type"] == "websocket":
            if self._policy.is_allowed_host(host):
                await self._serve_websocket(headers, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif not self._policy.is_allowed_host(host):
            await _respond(send, 403, b"this node does not answer to that Host\n", _TEXT)
        elif scope["method"] == "POST":
            await self._serve_post(scope, headers, receive, send)
        elif scope["method"] == "OPTIONS":
            await _respond(send, 204, b"", _PREFLIGHT)
        elif scope["method"] not in _READS or not await self._serve_page(scope["path"], send):
            await _respond(send, 405, b"JSON-RPC takes POST and WebSocket\n", _NOT_TAKEN)

    def _find_refusal(self, headers: dict[bytes, bytes]) -> str | None:
        origin = headers.get(b"origin")
        return self._policy.find_refusal(None if origin is None else origin.decode("latin-1"))

    async def _serve_page(self, path: str, send: Send) -> bool:
        """Show operators' tools what a path holds; no web page reads it: CORS is for JSON-RPC."""
        connections = len(self._server.server_state.connections)
        counts = FrontCounts(self._front.kept_answers, connections)
        page = await self._backend.page(path, counts)
        if page is not None:
            fields = ((b"content-type", page.content_type), (b"cache-control", b"no-store"))
            await _respond(send, page.status, page.body, fields)
        return page is not None

    async def _serve_post(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        body = await _read_body(receive)
        if body is None:
            too_large = InvalidRequest(f"request too large or too slow: at most {BODY_MAX} bytes")
            await _respond(send, 200, render_error(too_large), _LAST)
            return
        client = scope["client"]
        asker = Asker(client[0] if client else "", self._find_refusal(headers))
        answer = await self._front.answer(asker, body)
        if answer is None:
            await _respond(send, 204, b"", _CORS)
        else:
            await _respond(send, 200, answer, _JSON)

    async def _serve_websocket(
        self, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        conversation = self._backend.open(self._find_refusal(headers))
        turn = asyncio.Lock()
        reader = asyncio.create_task(self._read_messages(conversation, turn, receive, send))
        writer = asyncio.create_task(_write_messages(conversation, turn, send))
        closed = asyncio.create_task(conversation.closed.wait())
        tasks = {reader, writer, closed}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():  # the writer may be stuck in a peer that does not read
                await asyncio.wait({writer}, timeout=CLOSE_SECONDS)
        finally:
            conversation.end()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_messages(
        self, conversation: Conversation, turn: asyncio.Lock, receive: Receive, send: Send
    ) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            text = message.get("text")
            body: bytes = message["bytes"] if text is None else text.encode()
            async with turn:  # notifications of what it does come after its answer
                answer = await self._front.answer_here(body)
                if answer is not None:
                    await send({"type": "websocket.send", "text": answer.decode()})
            if answer is None:
                await conversation.ask(body)


async def _refuse_connection(_: Message, receive: Receive, send: Send) -> None:
    await _read_body(receive)  # so that its sender sees the answer
    error = ServerError(f"too many connections: at most {CONNECTIONS_MAX} at once")
    await _respond(send, 200, render_error(error), _LAST)


async def _write_messages(conversation: Conversation, turn: asyncio.Lock, send: Send) -> None:
    while (message := await conversation.take()) is not None:
        async with turn:
            await send({"type": "websocket.send", "text": message.decode()})
    code = conversation.close_code
    reason = "too slow" if code == TOO_SLOW else "the node stops"
    await send({"type": "websocket.close", "code": code, "reason": reason})


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body, None if it is too large or takes too long."""
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _read_chunks(receive)
    except TimeoutError:
        return None


async def _read_chunks(receive: Receive) -> bytes | None:
    message = await receive()
    body: bytes = message.get("body", b"")
    most = compute_body_max(body)
    if not message.get("more_body", False):
        return body if len(body) <= most else None
    chunks, size = [body], len(body)
    while message.get("more_body", False) and size <= DRAIN_MAX:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= most:
            chunks.append(chunk)
    return b"".join(chunks) if size <= most else None


async def _respond(
    send: Send, status: int, body: bytes, headers: tuple[tuple[bytes, bytes], ...]
) -> None:
    length = () if status == 204 else ((b"content-length", str(len(body)).encode()),)
    await send({"type": "http.response.start", "status": status, "headers": [*headers, *length]})
    await send({"type": "http.response.body", "body": body})


class _Uvicorn(uvicorn.Server):
    """uvicorn's server within somebody else's loop: signals are the service's matter."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Note that connections are taken from now on."""
        await super().startup(sockets)
        self.ready.set()
