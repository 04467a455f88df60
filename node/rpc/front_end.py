"""The front's end of the wire: the core's side as the front's process sees it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from itertools import count
from typing import Any

from node.chain.transaction import Transaction
from node.rpc.backend import GOING_AWAY, Asker, FrontCounts, Page, Reply
from node.rpc.wire import Frames, Kind, encode_transaction


class FrontEnd(Frames):
    """The core's side, as the front's process sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.changes = 0
        self.stopping = asyncio.Event()
        """Set when the core's process ends, or has ended."""
        self._questions = count()
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}
        self._numbers = count()
        self._conversations: dict[int, FrontConversation] = {}

    def connection_lost(self, exc: Exception | None) -> None:
        """Note that there is nobody to ask any more: questions stay open, the front ends."""
        super().connection_lost(exc)
        self.stopping.set()
        for conversation in self._conversations.values():
            conversation.close(GOING_AWAY)

    def receive(self, kind: int, arguments: list[Any]) -> None:
        """Take the core's frame."""
        match kind:
            case Kind.REPLY:
                question, *result = arguments
                waiting = self._waiting.get(question)
                if waiting is not None and not waiting.done():
                    waiting.set_result([self.changes, *result])
            case Kind.CHANGED:
                self.changes += 1
            case Kind.TELL:
                number, message = arguments
                if number in self._conversations:
                    self._conversations[number].tell(message)
            case Kind.CLOSED:
                number, code = arguments
                if number in self._conversations:
                    self._conversations[number].close(code)
            case Kind.STOP:
                self.stopping.set()
            case _:
                raise AssertionError(f"no frame to the front: {kind}")

    async def answer(self, asker: Asker, method: str | None, body: bytes) -> Reply:
        """Have a body answered; `method` names that of a single call whose answer may be kept."""
        changes, answer, lasts = await self.question(
            Kind.ANSWER, asker.owner, asker.refusal, method, body
        )
        return Reply(answer, changes if lasts else None)

    async def admit(self, transactions: Sequence[Transaction]) -> Sequence[bytes | None]:
        """Hand transactions to the mempool, in order; None: taken, else the error member."""
        encoded = [encode_transaction(tx) for tx in transactions]
        _, refusals = await self.question(Kind.ADMIT, encoded)
        result: Sequence[bytes | None] = refusals
        return result

    async def page(self, path: str, counts: FrontCounts) -> Page | None:
        """Return what a GET of a path shows, None if there is nothing."""
        _, page = await self.question(Kind.PAGE, path, *counts)
        return None if page is None else Page(*page)

    def open(self, refusal: str | None) -> FrontConversation:
        """Begin a conversation."""
        number = next(self._numbers)
        self.write(Kind.OPEN, number, refusal)
        conversation = self._conversations[number] = FrontConversation(self, number)
        return conversation

    def end(self, number: int) -> None:
        """Forget a conversation: its peer is gone."""
        del self._conversations[number]
        self.write(Kind.END, number)

    async def question(self, kind: Kind, *arguments: object) -> list[Any]:
        """Send a question and return how often the heads had moved at its reply, and the reply."""
        await self._writable.wait()
        number = next(self._questions)
        waiting: asyncio.Future[list[Any]] = asyncio.get_running_loop().create_future()
        self._waiting[number] = waiting
        try:
            self.write(kind, number, *arguments)
            return await waiting
        finally:
            del self._waiting[number]


class FrontConversation:
    """One WebSocket connection of the front's process."""

    def __init__(self, end: FrontEnd, number: int) -> None:
        self.closed = asyncio.Event()
        self.close_code = 0
        self._end = end
        self._number = number
        self._messages: deque[bytes] = deque()
        self._changed = asyncio.Event()
        self._taken = 0

    async def ask(self, body: bytes) -> None:
        """Have a request answered among what is told; return when there is room for the next."""
        await self._end.question(Kind.ASK, self._number, body)

    async def take(self) -> bytes | None:
        """Return the next message, once the one before is written; None once closed."""
        if self._taken:
            self._end.write(Kind.READ, self._number, self._taken)
            self._taken = 0
        while not self._messages and not self.closed.is_set():
            self._changed.clear()
            await self._changed.wait()
        if self.closed.is_set():
            return None
        message = self._messages.popleft()
        self._taken = len(message)
        return message

    def tell(self, message: bytes) -> None:
        """Add a message."""
        self._messages.append(message)
        self._changed.set()

    def close(self, code: int) -> None:
        """Drop what waits; nothing more is told."""
        self.close_code = code
        self._messages.clear()
        self.closed.set()
        self._changed.set()

    def end(self) -> None:
        """Forget the connection: its peer is gone."""
        self._end.end(self._number)
