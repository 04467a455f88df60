"""Whom a block's liquidations must look at, without looking at everybody (derived; RULES L1, G5).

An account that was judged healthy stays so as long as nothing of its own changes and no market that
it is in leaves the bounds that the judgement set: within them the market can't use up its share of
what the account's equity exceeds its margin by. So a block asks for three kinds: accounts that
something happened to, accounts that stood badly, and those whose bounds were crossed, which are at
the ends of sorted lists. Whoever is named too often costs time; nobody is named too seldom, so what
a node has kept here, or lost at a restart, never changes what a block does.

A watch belongs to a state like a book does: a block works on a fork that shares the lists with its
parent's until it changes them.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from node.perp.parameters import MarketParams
from node.units import Address, MarketId, Quote, Ticks, mul_div_floor


class BoundKind(IntEnum):
    """What is compared, and which side of the bound is fine; the bound itself is."""

    WORTH_FROM = 0
    """A long's: the lot's worth must not fall below."""
    WORTH_TO = 1
    """A short's: it must not rise above."""
    MARK_FROM = 2
    """A buyer's: what is priced through the mark."""
    MARK_TO = 3
    """Everybody's: margin grows with the mark."""


class Bound(NamedTuple):
    """How far one number of a market may move before an account must be judged again."""

    market: MarketId
    kind: BoundKind
    value: int


class Sight(Protocol):
    """What the bounds of a market are compared with."""

    @property
    def params(self) -> MarketParams:
        """Its parameters: bounds hold for these."""

    @property
    def mark(self) -> Ticks:
        """Its mark."""

    @property
    def worth(self) -> int:
        """What a lot is worth, funding included, but for a constant."""


_Row = list[tuple[int, Address]]


class _Lists:
    """One market's bounds, ascending, by kind."""

    __slots__ = ("params", "rows")

    def __init__(self, params: MarketParams | None, rows: tuple[_Row, ...]) -> None:
        self.params = params
        """What they were made with."""
        self.rows = rows


class Watch:
    """The accounts to be judged, and the bounds of all others."""

    def __init__(self, pending: Iterable[Address] = ()) -> None:
        self.pending: set[Address] = set(pending)
        """Never judged, or changed since."""
        self.unsafe: set[Address] = set()
        """Judged, and below their margin: judged again each block."""
        self._bounds: dict[Address, tuple[Bound, ...]] = {}
        self._lists: dict[MarketId, _Lists] = {}
        self._own: set[MarketId] = set()
        """Whose lists are not shared with another watch."""

    def fork(self) -> "Watch":
        """Return a child to work on; a watch that was forked is not changed any more."""
        child = Watch(self.pending)
        child.unsafe = set(self.unsafe)
        child._bounds = dict(self._bounds)
        child._lists = dict(self._lists)
        return child

    def take_candidates(
        self, sights: Mapping[MarketId, Sight], changed: Collection[Address]
    ) -> set[Address]:
        """Return whoever must be judged at these prices; the caller judges all of them."""
        found = self.pending | self.unsafe | set(changed)
        self.pending = set()
        for market, sight in sights.items():
            lists = self._lists.get(market)
            if lists is None:
                self._own_lists(market).params = sight.params
                continue
            if lists.params is not sight.params and lists.params != sight.params:
                found.update(owner for row in lists.rows for _, owner in row)
                self._own_lists(market).params = sight.params
                continue
            worth, mark = sight.worth, sight.mark
            worth_from, worth_to, mark_from, mark_to = lists.rows
            if worth_from and worth_from[-1][0] > worth:
                found.update(each[1] for each in worth_from[_find(worth_from, worth + 1) :])
            if worth_to and worth_to[0][0] < worth:
                found.update(each[1] for each in worth_to[: _find(worth_to, worth)])
            if mark_from and mark_from[-1][0] > mark:
                found.update(each[1] for each in mark_from[_find(mark_from, mark + 1) :])
            if mark_to and mark_to[0][0] < mark:
                found.update(each[1] for each in mark_to[: _find(mark_to, mark)])
        return found

    def set_unsafe(self, owner: Address) -> None:
        """Ask for the account in each block, from the next on."""
        self._replace(owner, ())
        self.unsafe.add(owner)

    def set_bounds(self, owner: Address, bounds: Sequence[Bound]) -> None:
        """Leave the account alone until a bound is crossed, or until something of it changes."""
        self._replace(owner, tuple(bounds))
        self.unsafe.discard(owner)

    def _replace(self, owner: Address, bounds: tuple[Bound, ...]) -> None:
        before = self._bounds.get(owner, ())
        if before == bounds:
            return
        for market, kind, value in before:
            row = self._own_lists(market).rows[kind]
            del row[bisect_left(row, (value, owner))]
        for market, kind, value in bounds:
            insort(self._own_lists(market).rows[kind], (value, owner))
        if bounds:
            self._bounds[owner] = bounds
        else:
            del self._bounds[owner]

    def _own_lists(self, market: MarketId) -> _Lists:
        """Return the market's lists to change: new, or copied at the first change."""
        lists = self._lists.get(market)
        if lists is None:
            lists = self._lists[market] = _Lists(None, tuple([] for _ in BoundKind))
            self._own.add(market)
        elif market not in self._own:
            rows = tuple(row.copy() for row in lists.rows)
            lists = self._lists[market] = _Lists(lists.params, rows)
            self._own.add(market)
        return lists


def compute_shares(slack: Quote, weights: Sequence[int]) -> Sequence[Quote]:
    """Return each weight's part of the slack, floor; nothing where there is no weight."""
    total = sum(weights)
    if total == 0:
        return [Quote(0) for _ in weights]
    return [Quote(mul_div_floor(slack, weight, total)) for weight in weights]


def _find(row: _Row, value: int) -> int:
    """Return where the bounds at `value` and above begin."""
    return bisect_left(row, (value, Address(b"")))
