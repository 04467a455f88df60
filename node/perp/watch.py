"""Whom a block's liquidations must look at, without looking at everybody (derived; RULES L1, G5).

An account that was judged healthy stays so as long as nothing of its own changes and no market that
it is in has moved, relative to the prices of that judgement, by more than its *room*: what its
equity exceeds its margin by, over what a move of all its markets against it would cost. One number
an account: a block compares it with how far the markets moved, and asks for three kinds: accounts
that something happened to, accounts that stood badly, and those whose room was passed. Whoever is
named too often costs time; nobody is named too seldom, so what a node has kept here, or lost at a
restart, never changes what a block does.

Accounts that were judged in the same block share its prices: they are a *round*. There are only a
few rounds: one too many dissolves the smallest, whose accounts are judged again.

A watch belongs to a state like a book does: a block works on a fork that shares the rounds with its
parent's until it changes them.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from node.perp.parameters import MarketParams
from node.units import PPB, Address, MarketId, Ticks, mul_div_ceil

ROOM_MAX = 10**18
"""The largest room, in ppb of the price; a larger move passes everybody's."""
_ROUNDS_MAX = 8
"""More rounds than this cost more to compare than their smallest to judge again."""


class Sight(Protocol):
    """What a market looks like in a block."""

    @property
    def params(self) -> MarketParams:
        """Its parameters: rooms hold for these."""

    @property
    def mark(self) -> Ticks:
        """Its mark."""

    @property
    def value(self) -> int:
        """Atoms of a lot at the mark."""

    @property
    def worth(self) -> int:
        """What a lot is worth, funding included, but for a constant, in 1e-9 atoms."""


class _Row(NamedTuple):
    """An account of a round; rows ascend by room."""

    room: int
    owner: Address
    markets: tuple[MarketId, ...]


class _Round:
    """The accounts that one block judged, at its prices; never none."""

    __slots__ = ("rows", "sights")

    def __init__(self, sights: Mapping[MarketId, Sight], rows: list[_Row]) -> None:
        self.sights = sights
        self.rows = rows

    def find(self, sights: Mapping[MarketId, Sight]) -> Iterator[Address]:
        """Yield whoever is in a market that has moved by more than its room."""
        least = self.rows[0].room
        moves = []
        for market, was in self.sights.items():
            move = compute_move(was, sights[market])
            if move > least:
                moves.append((move, market))
        moves.sort(reverse=True)
        moved = {market for _, market in moves}
        for room, owner, markets in self.rows:
            while moves and moves[-1][0] <= room:
                moved.remove(moves.pop()[1])
            if not moved:
                return
            if not moved.isdisjoint(markets):
                yield owner


class Watch:
    """The accounts to be judged, and the rooms of all others."""

    def __init__(self, pending: Iterable[Address] = ()) -> None:
        self.pending: set[Address] = set(pending)
        """Never judged, or changed since."""
        self.unsafe: set[Address] = set()
        """Judged, and below their margin: judged again each block."""
        self._places: dict[Address, tuple[int, int]] = {}
        """Account -> number of its round, and its room there."""
        self._rounds: dict[int, _Round] = {}
        self._own: set[int] = set()
        """The rounds that are not shared with another watch."""
        self._next = 0
        """The number of the latest round."""
        self._sights: Mapping[MarketId, Sight] = {}
        """Its prices."""

    def fork(self) -> "Watch":
        """Return a child to work on; a watch that was forked is not changed any more."""
        child = Watch(self.pending)
        child.unsafe = set(self.unsafe)
        child._places = dict(self._places)
        child._rounds = dict(self._rounds)
        child._next = self._next
        return child

    def take_candidates(
        self, sights: Mapping[MarketId, Sight], changed: Collection[Address]
    ) -> set[Address]:
        """Return whoever must be judged at these prices: a round; the caller judges all of it."""
        found = self.pending | self.unsafe | set(changed)
        self.pending = set()
        for each in self._rounds.values():
            found.update(each.find(sights))
        if len(self._rounds) >= _ROUNDS_MAX:
            smallest = min(self._rounds.values(), key=lambda each: len(each.rows))
            found.update(row.owner for row in smallest.rows)
        self._next += 1
        self._sights = sights
        return found

    def set_unsafe(self, owner: Address) -> None:
        """Ask for the account in each block, from the next on."""
        self._remove(owner)
        self.unsafe.add(owner)

    def set_room(self, owner: Address, room: int, markets: tuple[MarketId, ...]) -> None:
        """Leave the account alone until a market of it moves by more, or until itself changes.

        `room` is in ppb of the prices of this block, of which candidates were taken.
        """
        self._remove(owner)
        self.unsafe.discard(owner)
        if self._next not in self._rounds:
            self._rounds[self._next] = _Round(self._sights, [])
            self._own.add(self._next)
        insort(self._rounds[self._next].rows, _Row(room, owner, markets))
        self._places[owner] = (self._next, room)

    def _remove(self, owner: Address) -> None:
        number, room = self._places.pop(owner, (0, 0))
        if number == 0:
            return
        rows = self._own_rows(number)
        del rows[bisect_left(rows, (room, owner))]
        if not rows:
            del self._rounds[number]

    def _own_rows(self, number: int) -> list[_Row]:
        """Return a round's rows to change: copied at the first change."""
        each = self._rounds[number]
        if number not in self._own:
            each = self._rounds[number] = _Round(each.sights, each.rows.copy())
            self._own.add(number)
        return each.rows


def compute_move(was: Sight, now: Sight) -> int:
    """Return how far a market moved, in ppb of what it was, ceil: its mark or a lot's worth.

    Beyond every room if its parameters changed, or if there was no mark.
    """
    if was.worth == now.worth and was.mark == now.mark and was.params is now.params:
        return 0
    if was.mark == 0 or was.params != now.params:
        return ROOM_MAX + 1
    by_worth = mul_div_ceil(abs(now.worth - was.worth), 1, was.value)
    return max(by_worth, mul_div_ceil(abs(now.mark - was.mark), PPB, was.mark))
