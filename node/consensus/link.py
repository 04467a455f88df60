"""One greeted connection between two nodes: bounded both ways, ended by whatever goes wrong.

Every frame is one message, a long one in pieces. What a message means is the service's, which
handles the messages of a link in their order, on a worker thread; this module only carries them. A
peer that is slow (its bounded outbox fills, or a frame is not taken in time), malformed or lying
ends its own link.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple, NoReturn, Protocol

from websockets.asyncio.connection import Connection
from websockets.exceptions import ConnectionClosed

from node.consensus.messages import (
    FRAME_BYTES_MAX,
    Assembly,
    CouncilAction,
    GetBlocks,
    GetChanges,
    Hello,
    Message,
    decode_message,
    encode_message,
    split_frame,
)
from node.errors import EncodingError, PeerRefused

OBSERVER_MESSAGES: Final = (GetBlocks, GetChanges, CouncilAction)
"""What a peer without a key may say."""
OBSERVER_BYTES_MAX: Final = 4 * 1024 * 1024
"""How long a message of his may be."""
SEQUENCER: Final = "the sequencer"
"""The name of the peer that seals; a validator's is its place in the set: "validator 2"."""


class Limits(NamedTuple):
    """What a peer may cost. The defaults fit a local chain."""

    hello_s: float = 5.0
    """TLS, upgrade and greeting, each within."""
    ping_s: float = 5.0
    silence_s: float = 20.0
    """A ping must be answered within."""
    send_s: float = 20.0
    """A frame must be taken within."""
    outbox_frames: int = 1_024
    outbox_bytes: int = 2 * FRAME_BYTES_MAX
    observers: int = 8
    connections: int = 128
    """Of all kinds, those that have not greeted included."""
    retry_first_s: float = 0.25
    retry_last_s: float = 10.0
    tick_s: float = 0.25
    """How often a follower does what time made due."""


DEFAULT_LIMITS: Final = Limits()


class Peer(NamedTuple):
    """Who is at the other end of a link."""

    number: int
    """Counts links."""
    name: str
    hello: Hello

    @property
    def public_key(self) -> bytes:
        """Who it proved to be; empty for an observer."""
        return self.hello.public_key


class Service(Protocol):
    """Who acts on messages; the calls of one link's end come one at a time from a worker thread.

    A PerpnodeError raised for a message cuts its sender off.
    """

    def on_connected(self, peer: Peer) -> Sequence[Message]:
        """Return what to tell a peer that just linked."""

    def on_message(self, peer: Peer, message: Message) -> Sequence[Message]:
        """Take a message; return what to tell its sender."""


class Frames:
    """A connection as the greeting and the link see it: binary frames."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def send(self, frame: bytes) -> None:
        """Send a frame; wait while the peer does not take it."""
        await self._connection.send(frame)

    async def receive(self) -> bytes:
        """Return the next frame; EncodingError for a text."""
        frame = await self._connection.recv()
        if isinstance(frame, str):
            raise EncodingError("a text frame, must be binary")
        return frame


class Link:
    """A greeted connection: an outbox, a writer, a reader; whatever ends one ends them all."""

    def __init__(
        self, connection: Connection, peer: Peer, limits: Limits, *, is_observer: bool = False
    ) -> None:
        """Take a greeted connection; an observer's end says what observers may and no more."""
        self.peer = peer
        self._is_observer = is_observer
        self._frames = Frames(connection)
        self._limits = limits
        self._outbox: deque[bytes] = deque()
        self._outbox_bytes = 0
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._cut: asyncio.Future[NoReturn] = asyncio.get_running_loop().create_future()

    def put(self, frame: bytes) -> None:
        """Queue a frame, in pieces if it is long; a peer whose queue is full is cut off."""
        for travelling in split_frame(frame):
            self._outbox.append(travelling)
            self._outbox_bytes += len(travelling)
        self._filled.set()
        if self._outbox_bytes > self._limits.outbox_bytes // 2:
            self._drained.clear()
        frames, size = len(self._outbox), self._outbox_bytes
        if frames > self._limits.outbox_frames or size > self._limits.outbox_bytes:
            self.cut(f"too slow: {frames} frames of {size} bytes wait")

    def cut(self, reason: str) -> None:
        """End the link."""
        if not self._cut.done():
            self._cut.set_exception(PeerRefused(reason))

    async def run(self, service: Service, worker: ThreadPoolExecutor) -> NoReturn:
        """Talk until the link ends, and raise what ended it."""
        tasks: set[asyncio.Future[NoReturn]] = {
            asyncio.create_task(self._write()),
            asyncio.create_task(self._read(service, worker)),
            self._cut,
        }
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            raise next(iter(done)).exception() or AssertionError("a link ends by raising")
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._outbox.clear()

    async def _write(self) -> NoReturn:
        while True:
            while self._outbox:
                frame = self._outbox.popleft()
                try:
                    async with asyncio.timeout(self._limits.send_s):
                        await self._frames.send(frame)
                except TimeoutError:
                    reason = f"too slow: {len(frame)} bytes not taken in {self._limits.send_s:g} s"
                    raise PeerRefused(reason) from None
                self._outbox_bytes -= len(frame)
                if self._outbox_bytes <= self._limits.outbox_bytes // 2:
                    self._drained.set()
            self._filled.clear()
            await self._filled.wait()

    async def _read(self, service: Service, worker: ThreadPoolExecutor) -> NoReturn:
        await self._ask(worker, service.on_connected, self.peer)
        assembly = Assembly(FRAME_BYTES_MAX if self.peer.public_key else OBSERVER_BYTES_MAX)
        while True:
            frame = assembly.add(await self._frames.receive())
            if frame is None:
                continue
            message = decode_message(frame)
            if not self.peer.public_key and not isinstance(message, OBSERVER_MESSAGES):
                raise PeerRefused(f"an observer sent {type(message).__name__}")
            await self._ask(worker, service.on_message, self.peer, message)
            # Who asks for more than it takes waits for itself.
            await self._drained.wait()

    def may_say(self, message: Message) -> bool:
        """Tell whether this end greeted as somebody who may say that."""
        return not self._is_observer or isinstance(message, OBSERVER_MESSAGES)

    async def _ask(
        self,
        worker: ThreadPoolExecutor,
        function: Callable[..., Sequence[Message]],
        *arguments: Any,
    ) -> None:
        def answer() -> list[bytes]:
            return [encode_message(each) for each in function(*arguments) if self.may_say(each)]

        for frame in await asyncio.get_running_loop().run_in_executor(worker, answer):
            self.put(frame)


def say_why(error: BaseException) -> str:
    """Return in one line why a link ended."""
    if isinstance(error, ConnectionClosed):
        ours, theirs = error.sent, error.rcvd
        if theirs is not None:
            return f"closed by the other end: {theirs.reason or theirs.code}"
        if ours is not None:
            return f"closed by this end: {ours.reason or ours.code}"
        return "the connection broke"
    if isinstance(error, EncodingError):
        return f"malformed: {error}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError):
        return error.strerror or str(error) or type(error).__name__
    return " ".join(str(error).split()) or type(error).__name__
