"""uvicorn's HTTP protocol with a short way for what the front can answer at once.

A client that keeps its connection sends the same head again and again. Once uvicorn has parsed one
and let it through, another request with the very same bytes up to its body needs no parsing: if the
front has the answer at hand it is written here and now. Everything else takes uvicorn's own way.
(eth_blockNumber on two processors shared with the client: 16,000 a second become 60,000.)

What uvicorn leaves open is bounded here: how many connections there are, how long a head may be and
how long it may take. One too many is told so when it asks, and ends.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from node.rpc.front import Front
from node.rpc.origin import Policy

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


class Heads:
    """Heads of POST requests that are let through, by their bytes: how long their body is."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._lengths: dict[bytes, int] = {}

    def find(self, head: bytes) -> int | None:
        """Return the length of the body after a head that was let through before."""
        return self._lengths.get(head)

    def keep(self, head: bytes, headers: list[tuple[bytes, bytes]]) -> None:
        """Remember a head, as uvicorn parsed it, unless it asks for anything unusual."""
        fields = dict(headers)
        host = fields.get(b"host", b"").decode("latin-1")
        is_plain = len(fields) == len(headers) and not fields.keys() & _UNUSUAL
        if is_plain and len(head) <= HEAD_MAX and self._policy.is_allowed_host(host):
            if len(self._lengths) >= HEADS_MAX:
                self._lengths.clear()
            self._lengths[head] = int(fields[b"content-length"])


_UNUSUAL: Final = frozenset({b"transfer-encoding", b"upgrade", b"expect"})


class QuickProtocol(HttpToolsProtocol):
    """One connection."""

    def __init__(
        self,
        *,
        front: Front,
        heads: Heads,
        answer_head: bytes,
        refuse: Application,
        **uvicorn: Any,
    ) -> None:
        super().__init__(**uvicorn)
        self._refuse = refuse
        """Answers whoever is one too many."""
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._front = front
        self._heads = heads
        self._answer_head = answer_head
        self._is_between = True
        """Whether what comes now begins a request."""
        self._was_quick = False
        self._start = b""
        self._start_headers: list[tuple[bytes, bytes]] = []
        """uvicorn's own: a new list each second, with the date."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin a connection; one too many is answered a refusal, whatever it asks."""
        super().connection_made(cast(asyncio.Transport, transport))
        if len(self.connections) > CONNECTIONS_MAX:
            self.app = self._refuse
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Answer a request at once, or hand it to uvicorn."""
        if self._head_timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES_MAX and data.find(HEAD_END) < 0:
                self.transport.close()
                return
        end = data.find(HEAD_END) + len(HEAD_END)
        head = data[:end]
        length = self._heads.find(head)
        if length is None:
            began_here = self._is_between
            super().data_received(data)
            if began_here and self._is_between and self._is_plain_post(len(data) - end):
                self._heads.keep(head, self.headers)
            return
        answer = None
        if length == len(data) - end and self._is_between and not self._is_busy():
            answer = self._front.find(data[end:])
        if answer is None:
            super().data_received(data)
        else:
            self._note_quick()
            self.transport.write(self._make_start() + b"%d\r\n\r\n%b" % (len(answer), answer))

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

    def _make_start(self) -> bytes:
        headers = self.server_state.default_headers
        if headers is not self._start_headers:
            date = b"".join(b"%b: %b\r\n" % header for header in headers)
            self._start = b"HTTP/1.1 200 OK\r\n%b%bcontent-length: " % (date, self._answer_head)
            self._start_headers = headers
        return self._start
