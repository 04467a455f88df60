"""The last resort: whoever gained most from a bankrupt position gives it back (RULES L4).

Pairwise and zero-sum, for the bankruptcy quote: the counterparty's profit pays what the account
lacks. The vault's opposite position goes first, then the others by profit and leverage. Nobody
without an opposite position ever pays, and nobody is made bankrupt by it.
"""

import heapq
from collections.abc import Collection, Sequence
from typing import NamedTuple, Protocol

from node.perp.account import (
    SYSTEM_ADDRESS_MAX,
    VAULT,
    Leg,
    get_position,
    process_entry,
)
from node.perp.bankruptcy import get_bankruptcy_quote
from node.perp.events import PositionDeleveraged
from node.perp.fill import process_transfer
from node.perp.funding import settle_funding
from node.perp.ledger import Ledger
from node.perp.margin import get_equity
from node.perp.mark import get_mark
from node.perp.status import compute_gated
from node.units import Address, Lots, MarketId, Quote, notional


class _Rank(NamedTuple):
    """A counterparty's place: by profit·n / (|entry value|·equity), highest first, then address."""

    gain: int
    """profit·n."""
    base: int
    """|entry value|·equity, positive."""
    owner: Address

    def __lt__(self, other: object) -> bool:
        assert isinstance(other, _Rank), "the queue holds ranks alone"
        mine, theirs = self.gain * other.base, other.gain * self.base
        return mine > theirs or (mine == theirs and self.owner < other.owner)


class Ranking:
    """Counterparties by market and side, ranked once a block and again when something changed."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._heaps: dict[tuple[MarketId, bool], list[_Rank]] = {}
        self._current: dict[tuple[MarketId, bool, Address], _Rank] = {}

    def update(self, owners: Collection[Address]) -> None:
        """Rank these accounts anew wherever a queue was made."""
        for market, is_long in self._heaps:
            for owner in owners:
                self._rank(market, is_long, owner)

    def pop(self, market: MarketId, *, is_long: bool) -> _Rank | None:
        """Take the first of a side's holders out; None if there is none left."""
        heap = self._make(market, is_long)
        while heap:
            rank = heapq.heappop(heap)
            if self._current.get((market, is_long, rank.owner)) is rank:
                return rank
        return None

    def put_back(self, market: MarketId, ranks: Sequence[_Rank], *, is_long: bool) -> None:
        """Return what was taken out; who changed is passed over, and ranked by `update`."""
        for rank in ranks:
            heapq.heappush(self._heaps[market, is_long], rank)

    def _make(self, market: MarketId, is_long: bool) -> list[_Rank]:
        heap = self._heaps.get((market, is_long))
        if heap is None:
            heap = self._heaps[market, is_long] = []
            for owner in self._ledger.holders():
                if owner > SYSTEM_ADDRESS_MAX:
                    self._rank(market, is_long, owner)
        return heap

    def _rank(self, market: MarketId, is_long: bool, owner: Address) -> None:
        ledger = self._ledger
        self._current.pop((market, is_long, owner), None)
        position = get_position(ledger, owner, market)
        if position.size == 0 or (position.size > 0) != is_long or owner <= SYSTEM_ADDRESS_MAX:
            return
        equity = get_equity(ledger, owner)
        if equity <= 0:
            return
        value = notional(position.size, get_mark(ledger, market), ledger.market_params(market).k)
        rank = _Rank(
            gain=(value - position.entry_value) * abs(value),
            base=max(1, abs(position.entry_value)) * equity,
            owner=owner,
        )
        self._current[market, is_long, owner] = rank
        heapq.heappush(self._heaps[market, is_long], rank)


class Quoting(Protocol):
    """What an account gets for closing a part of its position, signed as a balance."""

    def __call__(self, ledger: Ledger, owner: Address, market: MarketId, closed: Lots, /) -> Quote:
        """Return it; `closed` is signed as the position."""


def process_deleveraging(
    ledger: Ledger, owner: Address, market: MarketId, ranking: Ranking
) -> list[Address]:
    """Close a position against opposite ones, each pair at b; return whom it touched (L4).

    For an account whose equity is below 0. What finds no partner stays, is tried again in the next
    block, and closes withdrawals (M3).
    """
    return _process_pairs(ledger, owner, market, ranking, get_bankruptcy_quote)


def process_vault_deleveraging(ledger: Ledger, market: MarketId, ranking: Ranking) -> list[Address]:
    """Close a position of the vault's at the mark: its equity is below its MM, not below 0 (L4)."""
    return _process_pairs(ledger, VAULT, market, ranking, _get_mark_quote)


def _process_pairs(
    ledger: Ledger, owner: Address, market: MarketId, ranking: Ranking, quoting: Quoting
) -> list[Address]:
    settle_funding(ledger, owner, market)
    size = get_position(ledger, owner, market).size
    touched: list[Address] = []
    if owner != VAULT and _process_pair(ledger, owner, VAULT, market, quoting):
        touched.append(VAULT)
    passed = []
    while get_position(ledger, owner, market).size != 0:
        rank = ranking.pop(market, is_long=size < 0)
        if rank is None:
            ledger.set_status(compute_gated(ledger.status, ledger.time_ms, ledger.params))
            break
        passed.append(rank)
        if _process_pair(ledger, owner, rank.owner, market, quoting):
            touched.append(rank.owner)
    ranking.put_back(market, passed, is_long=size < 0)
    return [owner, *touched] if touched else []


def _process_pair(
    ledger: Ledger, owner: Address, partner: Address, market: MarketId, quoting: Quoting
) -> bool:
    """Close what two opposite positions have in common; False if the partner is passed over.

    One whose equity is 0 or less, or would be below 0, gives nothing (L4).
    """
    size, theirs = (get_position(ledger, each, market).size for each in (owner, partner))
    equity = get_equity(ledger, partner)
    if size * theirs >= 0 or equity <= 0:
        return False
    closed = Lots(min(size, -theirs) if size > 0 else max(size, -theirs))
    quote = quoting(ledger, owner, market, closed)
    if equity + _get_mark_quote(ledger, owner, market, closed) - quote < 0:
        return False
    settle_funding(ledger, partner, market)
    process_entry(ledger, (Leg(owner, quote), Leg(partner, Quote(-quote))))
    process_transfer(ledger, market, receiver=partner, giver=owner, size=closed, cost=quote)
    ledger.emit(PositionDeleveraged(market, owner, partner, Lots(-closed), quote))
    return True


def _get_mark_quote(ledger: Ledger, _: Address, market: MarketId, closed: Lots) -> Quote:
    return notional(closed, get_mark(ledger, market), ledger.market_params(market).k)
