"""The core's side of the RPC: answers by the table of methods, tells subscribers what happens.

It lives in the core's event loop. The core tells it of heads in threads of its own; before anything
leaves that shows a new head, `changes` has moved (`node.rpc.backend`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from time import perf_counter

from node.chain.block import Block, Receipt
from node.chain.transaction import Transaction
from node.consensus.core import Core
from node.rpc.accounts import Accounts
from node.rpc.backend import GOING_AWAY, Asker, FrontCounts, Page, Reply
from node.rpc.context import Context, Session
from node.rpc.dispatch import Dispatcher
from node.rpc.errors import render_refusal
from node.rpc.filters import Filters
from node.rpc.methods import LASTING, METHODS, Method
from node.rpc.metrics import Metrics
from node.rpc.operation import get_page
from node.rpc.recent import RecentBlocks
from node.rpc.subscriptions import Subscriber, Subscriptions


class Desk:
    """Answers for one core. Make it within the event loop that it shall run in."""

    def __init__(
        self,
        core: Core,
        methods: Mapping[str, Method] = METHODS,
        *,
        accounts: Accounts | None = None,
    ) -> None:
        self.changes = 0
        self._core = core
        self._metrics = Metrics(core)
        self._dispatcher = Dispatcher(methods, metrics=self._metrics)
        self._accounts = accounts or Accounts()
        self._loop = asyncio.get_running_loop()
        self._version = core.version()
        self._listeners: list[Callable[[], None]] = []
        self._recent = RecentBlocks()
        self._filters = Filters(core, self._loop.time)
        self._subscriptions = Subscriptions()
        self._numbers = count(1)
        self._pending: deque[Transaction] = deque()
        self._is_waking = False
        """Whether the loop comes to what is pending by itself."""
        self._is_closed = False
        core.subscribe_versions(self._tell_version)
        core.subscribe_left(self._tell_left)
        core.subscribe_reverted(self._tell_reverted)
        core.subscribe_heads(self._tell_head)
        core.subscribe_pending(self._tell_pending)

    def close(self) -> None:
        """End every conversation, and hear nothing more of the core."""
        self._is_closed = True
        self._subscriptions.close()

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` each time that `changes` moves."""
        self._listeners.append(listener)

    def off_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` no more."""
        self._listeners.remove(listener)

    async def answer(self, asker: Asker, method: str | None, body: bytes) -> Reply:
        """Answer a body; what depends on the heads alone holds until they move."""
        before = self._note_version()
        context = self._context(Session(asker.owner, asker.refusal, None))
        answer = await self._dispatcher.answer(context, body)
        lasts = self._note_version() == before and method in LASTING
        return Reply(answer, self.changes if lasts else None)

    async def admit(self, transactions: Sequence[Transaction]) -> Sequence[bytes | None]:
        """Hand transactions to the mempool, in order; None: taken, else the error member."""
        began = perf_counter()
        refusals = await self._core.admit(transactions)
        self._metrics.on_answer("eth_sendRawTransaction", perf_counter() - began)
        self._note_version()
        return [None if each is None else render_refusal(each) for each in refusals]

    async def page(self, path: str, counts: FrontCounts) -> Page | None:
        """Return what a GET of a path shows, None if there is nothing."""
        return await get_page(self._core, self._metrics, path, counts)

    def open(self, refusal: str | None) -> DeskConversation:
        """Begin a conversation."""
        return DeskConversation(self, refusal, f"websocket {next(self._numbers)}")

    # --- what a conversation does -----------------------------------------------------------------

    def add(self, subscriber: Subscriber) -> None:
        """Begin to notify a connection."""
        self._subscriptions.add(subscriber)

    def remove(self, subscriber: Subscriber, owner: str) -> None:
        """Forget a connection, its subscriptions and its filters."""
        self._subscriptions.remove(subscriber)
        self._filters.remove_owner(owner)

    async def answer_session(self, session: Session, body: bytes) -> bytes | None:
        """Answer a body that came in a conversation."""
        answer = await self._dispatcher.answer(self._context(session), body)
        self._note_version()
        return answer

    def _context(self, session: Session) -> Context:
        return Context(
            self._core, self._recent, self._filters, self._subscriptions, session, self._accounts
        )

    # --- what the core tells, in its own threads --------------------------------------------------

    def _note_version(self) -> int:
        """Return `changes`, moved if the heads did."""
        version = self._core.version()
        if any(now is not then for now, then in zip(version, self._version, strict=True)):
            self._version = version
            self.changes += 1
            for listener in self._listeners:
                listener()
        return self.changes

    def _tell_version(self) -> None:
        self._call_soon(self._note_version)

    def _tell_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._call_soon(self._on_head, block, receipts)

    def _tell_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._call_soon(self._on_left, block, receipts)

    def _tell_reverted(self, block: Block, _: Sequence[Receipt]) -> None:
        self._call_soon(self._on_reverted, block)

    def _tell_pending(self, tx: Transaction) -> None:
        # One wake-up of the loop for all that is admitted before it comes to them.
        self._pending.append(tx)
        if not self._is_waking:  # two threads that both see it wake the loop twice, never not
            self._is_waking = True
            self._call_soon(self._on_pending)

    def _call_soon(self, function: Callable[..., object], *arguments: object) -> None:
        if not self._is_closed and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)

    def _on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._note_version()
        self._metrics.on_head(block, receipts)
        self._recent.on_head(block, receipts)
        self._filters.on_head(block)
        self._subscriptions.on_head(block, receipts)

    def _on_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        self._note_version()
        self._recent.on_left(block)
        self._filters.on_left(block)
        self._subscriptions.on_left(block, receipts)

    def _on_reverted(self, block: Block) -> None:
        self._note_version()
        self._subscriptions.on_reverted(block)

    def _on_pending(self) -> None:
        self._is_waking = False
        while self._pending:
            tx = self._pending.popleft()
            self._filters.on_pending(tx)
            self._subscriptions.on_pending(tx)


class DeskConversation:
    """One WebSocket connection: its subscriptions, its filters, and the outbox of both."""

    def __init__(self, desk: Desk, refusal: str | None, owner: str) -> None:
        self._desk = desk
        self._subscriber = Subscriber()
        self._session = Session(owner, refusal, self._subscriber)
        self.closed = self._subscriber.outbox.closed
        desk.add(self._subscriber)

    @property
    def close_code(self) -> int:
        """Why it was closed."""
        return self._subscriber.outbox.close_code

    async def ask(self, body: bytes) -> None:
        """Answer a request; notifications wait for its answer, the answer for room."""
        self._subscriber.hold()
        await self._subscriber.answer(await self._desk.answer_session(self._session, body))

    async def take(self) -> bytes | None:
        """Return the next message as soon as there is one; None once closed."""
        return await self._subscriber.outbox.take()

    def end(self) -> None:
        """Forget the connection: its peer is gone."""
        self._subscriber.outbox.close(GOING_AWAY)
        self._desk.remove(self._subscriber, self._session.owner)
