"""Finding what was done to whom, newest first and page by page: fills, and funding that was paid.

A page looks at so many blocks and no more; where it ends, it says where the next one goes on. All
of it is as of one block, on whatever branch that is (`node.chain.ancestry`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Generic, NamedTuple, TypeVar

from node.chain import keys
from node.chain.ancestry import Ancestry
from node.chain.block import Block, Receipt, bloom_contains
from node.chain.fill_table import decode_bars
from node.chain.transition import decode_transition
from node.perp.account import EXCHANGE
from node.perp.events import TRANSITION_KINDS, FundingSettled, OrderFilled
from node.system.contracts import CONTRACTS
from node.units import Address, Hash32, Height, MarketId, TimeMs

if TYPE_CHECKING:
    from node.chain.store import BlockStore

LOOKED_AT_MAX: Final = 20_000
"""Blocks whose bloom or row a page looks at: 0.2 s."""
READ_MAX: Final = 100
"""Blocks that a page reads whole."""

E = TypeVar("E", OrderFilled, FundingSettled)


class Found(NamedTuple, Generic[E]):
    """An event and where it is."""

    event: E
    height: Height
    block_hash: Hash32
    time_ms: TimeMs
    tx_hash: Hash32
    log_index: int
    """Counts over the block."""


class Position(NamedTuple):
    """A place in a branch; a page holds what came before it."""

    height: Height
    log_index: int


class Page(NamedTuple, Generic[E]):
    """Some events, newest first."""

    found: tuple[Found[E], ...]
    next: Position | None
    """None: nothing older is known."""


class EventSearch:
    """The events of a branch."""

    def __init__(self, store: BlockStore, ancestry: Ancestry) -> None:
        self._store = store
        self._ancestry = ancestry

    def after_all(self) -> Position:
        """Return where the first page ends."""
        return Position(Height(self._ancestry.block.header.number + 1), 0)

    def find_fills(
        self,
        market: MarketId,
        account: Address | None,
        *,
        before: Position,
        lowest: Height,
        limit: int,
    ) -> Page[OrderFilled]:
        """Return fills of a market, of one account if it is named, from a height on."""

        def is_wanted(fill: OrderFilled) -> bool:
            return fill.market == market and account in (None, fill.maker, fill.taker)

        heights = self._heights_with_fills(market, before, lowest)
        return self._find(OrderFilled, heights, account, is_wanted, before, limit)

    def find_payments(
        self,
        account: Address,
        market: MarketId | None,
        *,
        before: Position,
        lowest: Height,
        limit: int,
    ) -> Page[FundingSettled]:
        """Return what funding paid an account, in one market if it is named, from a height on."""

        def is_wanted(paid: FundingSettled) -> bool:
            return paid.account == account and market in (None, paid.market)

        top = min(before.height, self._ancestry.block.header.number)
        heights = (Height(height) for height in range(top, lowest - 1, -1))
        return self._find(FundingSettled, heights, account, is_wanted, before, limit)

    def _find(
        self,
        kind: type[E],
        heights: Iterator[Height],
        account: Address | None,
        is_wanted: Callable[[E], bool],
        before: Position,
        limit: int,
    ) -> Page[E]:
        topics = [CONTRACTS[EXCHANGE].events[kind.__name__].topic]
        if account is not None:
            topics.append(Hash32(account.rjust(32, b"\0")))
        found: list[Found[E]] = []
        looked_at = read = 0
        for height in heights:
            if looked_at == LOOKED_AT_MAX or read == READ_MAX:
                return Page(tuple(found), Position(Height(height + 1), 0))
            looked_at += 1
            bloom = self._ancestry.bloom_at(height)
            if bloom is None or not all(bloom_contains(bloom, topic) for topic in topics):
                continue
            read += 1
            events = self._read(kind, height)
            if events is None:
                break
            for each in reversed(events):
                if (height, each.log_index) >= before or not is_wanted(each.event):
                    continue
                if len(found) == limit:
                    return Page(tuple(found), Position(found[-1].height, found[-1].log_index))
                found.append(each)
        return Page(tuple(found), None)

    def _heights_with_fills(
        self, market: MarketId, before: Position, lowest: Height
    ) -> Iterator[Height]:
        top = min(before.height, self._ancestry.block.header.number)
        head = self._ancestry.head_at(Height(top))
        if head is None:
            return
        start = keys.newest_first(head[1].time_ms)
        for key, value in self._ancestry.view.items(keys.fills_of_market(market), start):
            height = decode_bars(value).height
            if self._ancestry.hash_at(height) != key[-32:]:
                continue
            if height < lowest:
                return
            yield height

    def _read(self, kind: type[E], height: Height) -> list[Found[E]] | None:
        """Return a block's events of a kind; None if the block is not kept."""
        block_hash = self._ancestry.hash_at(height)
        block = None if block_hash is None else self._store.load_block(block_hash)
        receipts = None if block is None else self._store.load_receipts(block.hash)
        return None if block is None or receipts is None else find_events(kind, block, receipts)


def find_events(kind: type[E], block: Block, receipts: Sequence[Receipt]) -> list[Found[E]]:
    """Return a block's events of a kind, in order: a transition is a log too, at the same place."""
    number, topic = TRANSITION_KINDS[kind], CONTRACTS[EXCHANGE].events[kind.__name__].topic
    events = [decode_transition(each) for each in block.transitions if each[0] == number]
    places: list[tuple[int, int]] = []
    log_index = 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            if log.topics[0] == topic and log.address == EXCHANGE:
                places.append((tx_index, log_index))
            log_index += 1
    found = []
    for event, (tx_index, at) in zip(events, places, strict=True):
        assert isinstance(event, kind), "its number says so"
        tx_hash = block.transactions[tx_index].hash
        found.append(
            Found(event, block.header.number, block.hash, block.extension.time_ms, tx_hash, at)
        )
    return found
