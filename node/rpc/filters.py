"""Filters: what an HTTP client polls for instead of subscribing.

New heads and pending transactions go into two shared feeds; a filter is a position in one. A filter
that nobody asks for five minutes, or that the feed has outrun, is gone: clients make it anew on
`filter not found`.
"""

import secrets
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Generic, NamedTuple, TypeVar

from node.chain.block import Block
from node.chain.transaction import Transaction
from node.consensus.core import Core
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.hex import data
from node.rpc.logs import LogFilter, query_logs, query_range, render_matching, resolve_range
from node.rpc.render import Json, render_pending
from node.units import Hash32, Height

IDLE_SECONDS: Final = 300
"""A filter that is not asked for this long is dropped."""
FILTERS_MAX: Final = 10_000
FILTERS_PER_OWNER_MAX: Final = 1_000
HEADS_KEPT: Final = 10_000
PENDING_KEPT: Final = 50_000

T = TypeVar("T")


class Feed(Generic[T]):
    """The newest items of a sequence, by their position since the start."""

    def __init__(self, kept: int) -> None:
        self._items: deque[T] = deque(maxlen=kept)
        self.end = 0

    def append(self, item: T) -> None:
        """Add an item; the oldest one falls off when the feed is full."""
        self._items.append(item)
        self.end += 1

    def since(self, position: int) -> list[T] | None:
        """Return the items from a position on, None if some have fallen off."""
        count = self.end - position
        if count > len(self._items):
            return None
        return [self._items[index] for index in range(-count, 0)]


class Head(NamedTuple):
    """A block that became head, or that a fork left."""

    height: Height
    hash: Hash32
    is_left: bool = False


@dataclass(slots=True)
class Filter:
    """One client's position; mutable."""

    owner: str
    position: int
    used_at: float
    """In seconds of the event loop's clock."""
    logs: LogFilter | None = None
    """For a log filter."""
    pending: bool = False
    """For a filter of pending transactions."""
    full: bool = False
    """Whether pending transactions are wanted whole, not by hash."""


class Filters:
    """All filters of this node."""

    def __init__(self, core: Core, now: Callable[[], float]) -> None:
        self._core = core
        self._now = now
        self._filters: dict[str, Filter] = {}  # least recently used first
        self._owned: Counter[str] = Counter()
        self._heads: Feed[Head] = Feed(HEADS_KEPT)
        self._pending: Feed[Transaction] = Feed(PENDING_KEPT)

    def on_head(self, block: Block) -> None:
        """Note a new head."""
        self._heads.append(Head(block.header.number, block.hash))

    def on_left(self, block: Block) -> None:
        """Note a block that a fork left."""
        self._heads.append(Head(block.header.number, block.hash, is_left=True))

    def on_pending(self, tx: Transaction) -> None:
        """Note a transaction that the mempool took."""
        self._pending.append(tx)

    def create(
        self,
        owner: str,
        *,
        logs: LogFilter | None = None,
        pending: bool = False,
        full: bool = False,
    ) -> str:
        """Make a filter that begins now and return its id; ServerError if there are too many."""
        self._drop_idle()
        if len(self._filters) >= FILTERS_MAX or self._owned[owner] >= FILTERS_PER_OWNER_MAX:
            raise ServerError("too many filters: uninstall some, or let them expire")
        position = self._pending.end if pending else self._heads.end
        filter_id = hex(secrets.randbits(128))
        self._filters[filter_id] = Filter(owner, position, self._now(), logs, pending, full)
        self._owned[owner] += 1
        return filter_id

    def get(self, filter_id: str) -> Filter:
        """Return a filter; raise ServerError if there is none, or no longer."""
        self._drop_idle()
        found = self._filters.pop(filter_id, None)
        if found is None:
            raise ServerError("filter not found")
        found.used_at = self._now()
        self._filters[filter_id] = found
        return found

    def remove(self, filter_id: str) -> bool:
        """Drop a filter; tell whether there was one."""
        found = self._filters.pop(filter_id, None)
        if found is None:
            return False
        self._owned[found.owner] -= 1
        if not self._owned[found.owner]:
            del self._owned[found.owner]
        return True

    def remove_owner(self, owner: str) -> None:
        """Drop all filters of a connection that ended."""
        if owner in self._owned:
            for filter_id in [key for key, each in self._filters.items() if each.owner == owner]:
                self.remove(filter_id)

    def _drop_idle(self) -> None:
        oldest = self._now() - IDLE_SECONDS
        while self._filters:
            filter_id, found = next(iter(self._filters.items()))
            if found.used_at >= oldest:
                break
            self.remove(filter_id)

    async def changes(self, filter_id: str) -> list[Json]:
        """Return what came since the last call."""
        found = self.get(filter_id)
        if found.pending:
            transactions = self._take(filter_id, found, self._pending)
            if found.full:
                return [render_pending(tx) for tx in transactions]
            return [data(tx.hash) for tx in transactions]
        heads = self._take(filter_id, found, self._heads)
        left = [head.hash for head in heads if head.is_left]
        came = [head for head in heads if not head.is_left]
        if found.logs is None:
            return [data(head.hash) for head in came]
        new = {head.hash for head in came}
        removed = await self._removed_logs(
            found.logs, [block_hash for block_hash in left if block_hash not in new]
        )
        gone = set(left)
        heights = [head.height for head in came if head.hash not in gone]
        return removed + await self._new_logs(found.logs, heights)

    async def _removed_logs(self, wanted: LogFilter, left: list[Hash32]) -> list[Json]:
        """Return the logs that a client was told of and that a fork removed, newest first."""
        removed: list[Json] = []
        for block_hash in left:
            block = await self._core.block_by_hash(block_hash)
            receipts = await self._core.receipts(block_hash)
            if block is not None and receipts is not None:
                logs = render_matching(wanted, block, receipts, are_removed=True)
                removed += reversed(list(logs))
        return removed

    def _take(self, filter_id: str, found: Filter, feed: Feed[T]) -> list[T]:
        items = feed.since(found.position)
        if items is None:
            self.remove(filter_id)
            raise ServerError("filter not found")
        found.position = feed.end
        return items

    async def _new_logs(self, wanted: LogFilter, heights: list[Height]) -> list[Json]:
        if not heights:
            return []
        latest = self._core.heads().latest.header.number
        first, last = await resolve_range(self._core, wanted)
        begin, end = min(heights), min(max(heights), latest)
        if not isinstance(wanted.from_block, str):
            begin = max(begin, first)
        if not isinstance(wanted.to_block, str):
            end = min(end, last)
        return await query_range(self._core, wanted, begin, end) if begin <= end else []


async def new_filter(context: Context, wanted: LogFilter) -> Json:
    """Make a filter of logs and return its id; one of a range that goes back is refused."""
    first, last = wanted.from_block, wanted.to_block
    if not isinstance(first, str) and not isinstance(last, str) and first > last:
        raise InvalidParams("invalid block range params")
    return context.filters.create(context.session.owner, logs=wanted)


async def new_block_filter(context: Context) -> Json:
    """Make a filter of block hashes and return its id."""
    return context.filters.create(context.session.owner)


async def new_pending_transaction_filter(context: Context, full: bool) -> Json:
    """Make a filter of transactions that the mempool takes and return its id."""
    return context.filters.create(context.session.owner, pending=True, full=full)


async def get_filter_changes(context: Context, filter_id: str) -> Json:
    """Return what came since the filter was last asked."""
    return await context.filters.changes(filter_id)


async def get_filter_logs(context: Context, filter_id: str) -> Json:
    """Return all logs that match a log filter's criteria."""
    found = context.filters.get(filter_id)
    if found.logs is None:
        raise ServerError("filter not found")
    return await query_logs(context.core, found.logs)


async def uninstall_filter(context: Context, filter_id: str) -> Json:
    """Drop a filter; true if there was one."""
    return context.filters.remove(filter_id)
