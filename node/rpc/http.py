"""uvicorn's HTTP protocol with a short way for what the front can answer at once.

A client that keeps its connection sends the same head again and again. Once uvicorn has parsed one
and let it through, another request with the very same bytes up to its body needs no parsing: if the
front has the answer at hand it is written here and now, else as soon as it is there, without ASGI's
messages between. Everything else takes uvicorn's own way.
(eth_blockNumber on two processors shared with the client: 16,000 a second become 60,000.)

What uvicorn leaves open is bounded here: how many connections there are, how long a head may be and
how long it may take. One too many is told so when it asks, and ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, Final, NamedTuple, cast

import structlog
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from node.rpc.backend import Asker
from node.rpc.front import Front
from node.rpc.origin import Policy
from node.rpc.requests import Call

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

HEAD_END: Final = b"\r\n\r\n"
HEAD_MAX: Final = 2_048
HEADS_MAX: Final = 1_024
CONNECTIONS_MAX: Final = 1_024
"""Open at once, WebSocket included; together they may send as many bodies."""
HEAD_BYTES_MAX: Final = 65_536
"""A longer head is no request of any library."""
HEAD_SECONDS: Final = 30
"""A head must arrive within, from the connection's or the request's first byte on."""


HELD_MAX: Final = 65_536
"""A longer body is not waited for here."""
HELD_SECONDS: Final = 1
"""Nor any that takes longer: uvicorn has it then, and the application its own patience."""

_log = structlog.get_logger(__name__)


class Head(NamedTuple):
    """What a head says."""

    length: int
    """Of the body in bytes."""
    refusal: str | None
    """Why guarded methods are refused to its Origin (DESIGN section 10), None if they are not."""


class Heads:
    """Heads of POST requests that are let through, by their bytes."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._heads: dict[bytes, Head] = {}

    def find(self, head: bytes) -> Head | None:
        """Return what a head says that was let through before."""
        return self._heads.get(head)

    def keep(self, head: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember a head, as uvicorn parsed it, unless it asks for anything unusual."""
        fields = dict(headers)
        host = fields.get(b"host", b"").decode("latin-1")
        is_plain = len(fields) == len(headers) and not fields.keys() & _UNUSUAL
        if is_plain and len(head) <= HEAD_MAX and self._policy.is_allowed_host(host):
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            origin = fields.get(b"origin")
            refusal = self._policy.find_refusal(
                None if origin is None else origin.decode("latin-1")
            )
            self._heads[head] = Head(int(fields[b"content-length"]), refusal)


_UNUSUAL: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect"})


class _Cycle:
    """A request under way here, with what uvicorn asks of the cycles it makes itself."""

    def __init__(self) -> None:
        self.response_complete = True
        self.keep_alive = True
        self.disconnected = False
        self.message_event = asyncio.Event()
        """Nobody waits for it: the body is whole."""


class QuickProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        *,
        front: Front,
        heads: Heads,
        answer_fields: bytes,
        empty_fields: bytes,
        refuse: Application,
        **uvicorn: Any,
    ) -> None:
        super().__init__(**uvicorn)
        self._refuse = refuse
        """Answers whoever is one too many."""
        self._answer_fields = answer_fields
        """Header fields of an answer, and of none to nothing but notifications."""
        self._empty_fields = empty_fields
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._front = front
        self._heads = heads
        self._is_between = True
        """Whether what comes now begins a request."""
        self._was_quick = False
        self._cycle = _Cycle()
        self._held = b""
        """A known head and the begin of its body."""
        self._held_timer: asyncio.TimerHandle | None = None
        self._start = b""
        """Of an answer, up to its length."""
        self._date: list[tuple[bytes, bytes]] = []
        """uvicorn's own fields as they stand in `_start`: a new list each second."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection; one too many is answered a refusal, whatever it asks."""
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > CONNECTIONS_MAX:
            self.app = self._refuse
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        self._end_hold()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer a request here, or hand it to uvicorn."""
        data, self._held = self._held + data, b""
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and data.find(HEAD_END) < 0:
                self.transport.close()
                return
        end = data.find(HEAD_END) + len(HEAD_END)
        head = self._heads.find(data[:end])
        if head is None or not self._is_between or self._is_busy():
            began_here = self._is_between
            self._pass_on(data)
            if began_here and self._is_between and self._is_plain_post(len(data) - end):
                self._heads.keep(data[:end], self.headers)
        elif len(data) - end < head.length <= HELD_MAX:
            self._hold(data)
        elif len(data) - end == head.length:
            self._end_hold()
            self._answer(head, data[end:])
        else:
            self._pass_on(data)

    def _pass_on(self, data: bytes) -> None:
        self._end_hold()
        super().data_received(data)

    def _answer(self, head: Head, body: bytes) -> None:
        """Answer a body at once if the answer is at hand, else as soon as it is there."""
        self._end_head()
        call = self._front.read(body)
        answer = self._front.find(call)
        if answer is not None:
            self._write(answer)
            self._note_quick()
            return
        self._unset_keepalive_if_required()
        self.cycle = cast(RequestResponseCycle, self._cycle)
        self._cycle.response_complete = False
        task = self.loop.create_task(self._complete(head, body, call))
        self.tasks.add(task)
        task.add_done_callback(self._finish)

    async def _complete(self, head: Head, body: bytes, call: Call | None) -> None:
        """Answer a body; what comes meanwhile waits in uvicorn's pipeline."""
        asker = Asker(self.client[0] if self.client else "", head.refusal)
        answer = await self._front.ask(asker, body, call)
        if not self.transport.is_closing():
            self._write(answer)
            if not self._cycle.keep_alive:
                self.transport.close()
        self._cycle.response_complete = True
        self.on_response_complete()

    def _finish(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            _log.error("request failed", exc_info=failure)
            self.transport.close()

    def _hold(self, data: bytes) -> None:
        """Wait for the rest of a body: many clients send it apart from its head."""
        self._held = data
        if self._held_timer is None:
            self._unset_keepalive_if_required()
            self._held_timer = self.loop.call_later(HELD_SECONDS, self._release)

    def _end_hold(self) -> None:
        if self._held_timer is not None:
            self._held_timer.cancel()
            self._held_timer = None

    def _release(self) -> None:
        held, self._held = self._held, b""
        self._pass_on(held)

    def on_message_begin(self) -> None:
        """Note that a request begins."""
        self._is_between = False
        self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Note that a request's head is complete."""
        self._end_head()
        super().on_headers_complete()

    def handle_websocket_upgrade(self) -> None:
        """Become a WebSocket, unless it is one too many."""
        if self.app is self._refuse:
            self.transport.close()
        else:
            super().handle_websocket_upgrade()

    def on_message_complete(self) -> None:
        """Note that a request is complete."""
        self._is_between = True
        super().on_message_complete()

    def timeout_keep_alive_handler(self) -> None:
        """Close an idle connection; one that was answered quickly meanwhile has another turn."""
        if self._was_quick:
            self._was_quick = False
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        else:
            super().timeout_keep_alive_handler()

    def _await_head(self) -> None:
        """Close the connection unless a whole head arrives in time."""
        if self._head_timer is None:
            self._head_bytes = 0
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self.transport.close)

    def _end_head(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _note_quick(self) -> None:
        """Note what uvicorn would have: a head came, and from now on the connection is idle."""
        self._was_quick = True
        self._end_head()
        if self.timeout_keep_alive_task is None:
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def _is_busy(self) -> bool:
        """Tell whether an answer is under way, the peer does not read, or is one too many."""
        is_idle: bool = getattr(self.cycle, "response_complete", True)  # None at first
        is_refused = self.app is self._refuse
        return not is_idle or is_refused or self.flow.write_paused or self.transport.is_closing()

    def _is_plain_post(self, rest: int) -> bool:
        """Tell whether what was just parsed is one whole request that keeps its connection."""
        return (
            self.scope["method"] == "POST"
            and self.scope["http_version"] == "1.1"
            and self.cycle.keep_alive
            and (b"content-length", b"%d" % rest) in self.headers
        )

    def _write(self, answer: bytes | None) -> None:
        date = self.server_state.default_headers
        if answer is None:
            start = b"HTTP/1.1 204 No Content\r\n%b%b\r\n"
            self.transport.write(start % (join_fields(date), self._empty_fields))
            return
        if date is not self._date:
            start = b"HTTP/1.1 200 OK\r\n%b%bcontent-length: "
            self._start = start % (join_fields(date), self._answer_fields)
            self._date = date
        self.transport.write(self._start + b"%d\r\n\r\n%b" % (len(answer), answer))


def join_fields(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header fields as they are sent."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)
