"""The core's end of the wire: a desk's answers and messages for one front."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

import structlog

from node.rpc.backend import Asker, Conversation, FrontCounts
from node.rpc.desk import Desk
from node.rpc.wire import Frames, Kind, decode_transaction

WINDOW_BYTES: Final = 256 * 1024
"""So much of a conversation may be on its way before its peer has read it."""

_log = structlog.get_logger(__name__)


class CoreEnd(Frames):
    """Answers one front out of a desk."""

    def __init__(self, desk: Desk) -> None:
        super().__init__()
        self._desk = desk
        self._tasks: set[asyncio.Task[None]] = set()
        self._conversations: dict[int, _Told] = {}
        desk.on_change(self._tell_change)

    def stop(self) -> None:
        """Have the front end when its connections have."""
        self.write(Kind.STOP)

    def pause_writing(self) -> None:
        """Take no more requests while the front does not take answers."""
        super().pause_writing()
        assert self._transport is not None, "paused by it"
        self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Take requests again."""
        super().resume_writing()
        assert self._transport is not None, "resumed by it"
        self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the front and everybody who was connected to it."""
        super().connection_lost(exc)
        self._desk.off_change(self._tell_change)
        for told in self._conversations.values():
            told.conversation.end()
        self._conversations.clear()

    def receive(self, kind: int, arguments: list[Any]) -> None:
        """Take a front's frame."""
        match kind:
            case Kind.ANSWER:
                self._begin(self._answer(*arguments))
            case Kind.ADMIT:
                self._begin(self._admit(*arguments))
            case Kind.PAGE:
                self._begin(self._page(*arguments))
            case Kind.ASK:
                self._begin(self._ask(*arguments))
            case Kind.READ:
                number, size = arguments
                if number in self._conversations:
                    self._conversations[number].read(size)
            case Kind.OPEN:
                number, refusal = arguments
                told = _Told(number, self._desk.open(refusal), self.write)
                self._conversations[number] = told
                self._begin(told.run())
            case Kind.END:
                self._conversations.pop(arguments[0]).conversation.end()
            case _:
                raise AssertionError(f"no frame to the core: {kind}")

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (failure := task.exception()) is not None:
            # Nobody would ever be answered: the front begins anew, and its clients with it.
            _log.error("front's question failed", exc_info=failure)
            self.close()

    async def _answer(
        self, question: int, owner: str, refusal: str | None, method: str | None, body: bytes
    ) -> None:
        reply = await self._desk.answer(Asker(owner, refusal), method, body)
        self.write(Kind.REPLY, question, reply.body, reply.changes is not None)

    async def _admit(self, question: int, transactions: Sequence[Sequence[Any]]) -> None:
        decoded = [decode_transaction(each) for each in transactions]
        self.write(Kind.REPLY, question, await self._desk.admit(decoded))

    async def _page(self, question: int, path: str, *counts: int) -> None:
        self.write(Kind.REPLY, question, await self._desk.page(path, FrontCounts(*counts)))

    async def _ask(self, question: int, number: int, body: bytes) -> None:
        told = self._conversations.get(number)
        if told is not None:
            await told.conversation.ask(body)
        self.write(Kind.REPLY, question)

    def _tell_change(self) -> None:
        self.write(Kind.CHANGED)


class _Told:
    """A conversation on the core's side: hands its messages on as its peer reads them."""

    def __init__(self, number: int, conversation: Conversation, write: Callable[..., None]) -> None:
        self.conversation = conversation
        self._number = number
        self._write = write
        self._in_flight = 0
        self._has_room = asyncio.Event()
        self._has_room.set()

    async def run(self) -> None:
        """Hand messages on until the conversation is closed; then say so at once."""
        handing_on = asyncio.create_task(self._hand_on())
        await self.conversation.closed.wait()
        handing_on.cancel()
        self._write(Kind.CLOSED, self._number, self.conversation.close_code)

    async def _hand_on(self) -> None:
        while (message := await self.conversation.take()) is not None:
            self._in_flight += len(message)
            self._write(Kind.TELL, self._number, message)
            if self._in_flight > WINDOW_BYTES:
                self._has_room.clear()
                await self._has_room.wait()

    def read(self, size: int) -> None:
        """Note that the peer has read so much."""
        self._in_flight -= size
        if self._in_flight <= WINDOW_BYTES:
            self._has_room.set()
