"""HTTP and WebSocket on one port and path: uvicorn, with this module as its raw ASGI application.

JSON-RPC errors travel with HTTP status 200, because libraries retry anything else. Only what is no
JSON-RPC call gets another status: a foreign Host (403), a method that is not POST (405).
"""

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, MutableMapping, Sequence
from itertools import count
from typing import Any, Final

import uvicorn

from node.chain.block import Block, Receipt
from node.chain.transaction import Transaction
from node.config import NodeConfig
from node.consensus.core import Core
from node.rpc.accounts import Accounts, read_accounts
from node.rpc.context import Context, Session
from node.rpc.dispatch import BODY_MAX, Dispatcher, render_error
from node.rpc.errors import InvalidRequest
from node.rpc.filters import Filters
from node.rpc.origin import Policy
from node.rpc.port import listen
from node.rpc.recent import RecentBlocks
from node.rpc.subscriptions import TOO_SLOW, Subscriber, Subscriptions

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

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
_TEXT: Final = ((b"content-type", b"text/plain; charset=utf-8"), *_CORS)
_PREFLIGHT: Final = ((b"access-control-max-age", b"86400"), *_CORS)


@contextlib.asynccontextmanager
async def serve(core: Core, config: NodeConfig) -> AsyncIterator["RpcServer"]:
    """Serve a node's JSON-RPC while the context lasts; raise PortInUse naming the owner."""
    policy = Policy(
        bind_host=config.host,
        host_names=frozenset(name.lower() for name in config.host_names),
        origins=frozenset(origin.lower() for origin in config.allow_origins),
    )
    accounts = None if config.accounts_path is None else read_accounts(config.accounts_path)
    server = RpcServer(core, policy, port=config.port, accounts=accounts)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()


class RpcServer:
    """The front of one node. Make it within the event loop that it shall run in."""

    def __init__(
        self,
        core: Core,
        policy: Policy,
        *,
        port: int,
        dispatcher: Dispatcher | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        self._core = core
        self._policy = policy
        self._dispatcher = dispatcher or Dispatcher()
        self._loop = asyncio.get_running_loop()
        self._accounts = accounts or Accounts()
        self._recent = RecentBlocks()
        self._filters = Filters(core, self._loop.time)
        self._subscriptions = Subscriptions()
        self._connections = count(1)
        self._pending: deque[Transaction] = deque()
        self._socket = listen(policy.bind_host, port)
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_MS)
        self.port: int = self._socket.getsockname()[1]
        """The port it listens on: the free one that was found if 0 was asked for."""
        self._server = _Uvicorn(
            uvicorn.Config(
                self._application,
                http="httptools",
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
        self._core.subscribe_left(self._tell_left)
        self._core.subscribe_reverted(self._tell_reverted)
        self._core.subscribe_heads(self._tell_head)
        self._core.subscribe_pending(self._tell_pending)
        self._task = asyncio.create_task(self._server.serve(sockets=[self._socket]))
        started = asyncio.create_task(self._server.ready.wait())
        await asyncio.wait({self._task, started}, return_when=asyncio.FIRST_COMPLETED)
        if self._task.done():
            started.cancel()
            await self._task

    async def stop(self) -> None:
        """Take no more connections, end the open ones, return when all is closed."""
        self._server.should_exit = True
        self._subscriptions.close()
        if self._task is not None:
            await self._task
        self._socket.close()

    # --- what the core tells, in its own threads -------------------------------------------------

    def _tell_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._call_soon(self._on_head, block, receipts)

    def _tell_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._call_soon(self._on_left, block, receipts)

    def _tell_reverted(self, block: Block, _: Sequence[Receipt]) -> None:
        self._call_soon(self._subscriptions.on_reverted, block)

    def _tell_pending(self, tx: Transaction) -> None:
        # One wake-up of the loop for all that is admitted before it comes to them.
        self._pending.append(tx)
        if len(self._pending) == 1:
            self._call_soon(self._on_pending)

    def _call_soon(self, function: Callable[..., None], *arguments: object) -> None:
        if not self._server.should_exit and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._recent.on_head(block, receipts)
        self._filters.on_head(block)
        self._subscriptions.on_head(block, receipts)

    def _on_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._recent.on_left(block)
        self._filters.on_left(block)
        self._subscriptions.on_left(block, receipts)

    def _on_pending(self) -> None:
        while self._pending:
            tx = self._pending.popleft()
            self._filters.on_pending(tx)
            self._subscriptions.on_pending(tx)

    # --- what clients ask ------------------------------------------------------------------------

    async def _application(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        if scope["type"] == "websocket":
            if self._policy.is_allowed_host(host):
                await self._serve_websocket(scope, headers, receive, send)
            else:
                await send({"type": "websocket.close", "code": 1008})
        elif not self._policy.is_allowed_host(host):
            await _respond(send, 403, b"this node does not answer to that Host\n", _TEXT)
        elif scope["method"] == "POST":
            await self._serve_post(scope, headers, receive, send)
        elif scope["method"] == "OPTIONS":
            await _respond(send, 204, b"", _PREFLIGHT)
        else:
            await _respond(send, 405, b"JSON-RPC takes POST and WebSocket\n", _TEXT)

    def _context(
        self, headers: dict[bytes, bytes], owner: str, subscriber: Subscriber | None
    ) -> Context:
        origin = headers.get(b"origin")
        refusal = self._policy.find_refusal(None if origin is None else origin.decode("latin-1"))
        session = Session(owner, refusal, subscriber)
        return Context(
            self._core, self._recent, self._filters, self._subscriptions, session, self._accounts
        )

    async def _serve_post(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        try:
            async with asyncio.timeout(BODY_SECONDS):
                body = await _read_body(receive)
        except TimeoutError:
            body = None
        if body is None:
            too_large = InvalidRequest(f"request too large or too slow: at most {BODY_MAX} bytes")
            close = ((b"connection", b"close"), *_JSON)
            await _respond(send, 200, render_error(too_large), close)
            return
        client = scope["client"]
        context = self._context(headers, client[0] if client else "", None)
        answer = await self._dispatcher.answer(context, body)
        if answer is None:
            await _respond(send, 204, b"", _CORS)
        else:
            await _respond(send, 200, answer, _JSON)

    async def _serve_websocket(
        self, scope: Message, headers: dict[bytes, bytes], receive: Receive, send: Send
    ) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        subscriber = Subscriber()
        owner = f"websocket {next(self._connections)}"
        context = self._context(headers, owner, subscriber)
        self._subscriptions.add(subscriber)
        reader = asyncio.create_task(self._read_messages(context, subscriber, receive))
        writer = asyncio.create_task(_write_messages(subscriber, send))
        closed = asyncio.create_task(subscriber.outbox.closed.wait())
        tasks = {reader, writer, closed}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if closed.done():  # the writer may be stuck in a peer that does not read
                await asyncio.wait({writer}, timeout=CLOSE_SECONDS)
        finally:
            self._subscriptions.remove(subscriber)
            self._filters.remove_owner(owner)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read_messages(
        self, context: Context, subscriber: Subscriber, receive: Receive
    ) -> None:
        while True:
            message = await receive()
            if message["type"] == "websocket.disconnect":
                return
            body = message.get("text")
            subscriber.hold()
            answer = await self._dispatcher.answer(
                context, message["bytes"] if body is None else body
            )
            await subscriber.answer(answer)


async def _write_messages(subscriber: Subscriber, send: Send) -> None:
    while (message := await subscriber.outbox.take()) is not None:
        await send({"type": "websocket.send", "text": message.decode()})
    code = subscriber.outbox.close_code
    reason = "too slow" if code == TOO_SLOW else "the node stops"
    await send({"type": "websocket.close", "code": code, "reason": reason})


async def _read_body(receive: Receive) -> bytes | None:
    """Return the body, None if it is too large."""
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body if len(body) <= BODY_MAX else None
    chunks, size = [body], len(body)
    while message.get("more_body", False) and size <= DRAIN_MAX:
        message = await receive()
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= BODY_MAX:
            chunks.append(chunk)
    return b"".join(chunks) if size <= BODY_MAX else None


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
