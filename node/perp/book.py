"""A market's open orders in memory: two sides by price and time, and by owner (RULES O2).

Derived: every order is a record in state, and a book is rebuilt from the records of its market.
A block works on a `fork` of its parent's book, so a head's book never changes under a reader; a
transaction that fails is undone through the ledger's journal.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from node.perp.order import Order, Trigger
from node.units import Address, Lots, OrderId, Quote, Ticks

Journal = list[tuple[Callable[..., Any], tuple[Any, ...]]]
"""Undo steps, newest last: each a function and its arguments."""


class Exposure(NamedTuple):
    """What an account's resting orders, reduce-only ones left out, could add (G2)."""

    buys: Lots
    """Σ remaining of buys, ≥ 0."""
    sells: Lots
    """Σ remaining of sells, ≥ 0."""
    value: Quote
    """Σ remaining · price, in ticks · lots (times K gives atoms)."""
    highest_buy: Ticks
    """0 without buys."""
    lowest_sell: Ticks
    """0 without sells."""


class Book:
    """The open orders and waiting triggers of one market."""

    changed_orders: set[OrderId]
    """Ids written or removed since the fork: what a commit must look at."""
    changed_triggers: set[OrderId]

    def __init__(self, journal: Journal) -> None: ...

    def fork(self, journal: Journal) -> "Book":
        """Return a child to work on; from then on this book must not change."""
        raise NotImplementedError

    @property
    def orders(self) -> Mapping[OrderId, Order]:
        """All resting orders."""
        raise NotImplementedError

    @property
    def triggers(self) -> Mapping[OrderId, Trigger]:
        """All triggers, fired ones included."""
        raise NotImplementedError

    def put_order(self, order: Order) -> None:
        """Insert an order, or replace the one of its id (same owner, side and price)."""
        raise NotImplementedError

    def remove_order(self, order_id: OrderId) -> Order:
        """Remove an order that is there."""
        raise NotImplementedError

    def put_trigger(self, trigger: Trigger) -> None:
        """Insert a trigger, or replace the one of its id."""
        raise NotImplementedError

    def remove_trigger(self, trigger_id: OrderId) -> Trigger:
        """Remove a trigger that is there."""
        raise NotImplementedError

    def best_bid(self) -> Order | None:
        """Return the first buy by price, then time."""
        raise NotImplementedError

    def best_ask(self) -> Order | None:
        """Return the first sell by price, then time."""
        raise NotImplementedError

    def bids(self) -> Iterator[Order]:
        """Yield buys, highest price first, then by time."""
        raise NotImplementedError

    def asks(self) -> Iterator[Order]:
        """Yield sells, lowest price first, then by time."""
        raise NotImplementedError

    def orders_of(self, owner: Address) -> Sequence[Order]:
        """Return an account's resting orders by id."""
        raise NotImplementedError

    def triggers_of(self, owner: Address) -> Sequence[Trigger]:
        """Return an account's triggers by id."""
        raise NotImplementedError

    def exposure_of(self, owner: Address) -> Exposure:
        """Return what G2 reserves for, without walking the account's orders."""
        raise NotImplementedError

    def fired_triggers(self) -> Sequence[Trigger]:
        """Return triggers with fired_mark > 0, by id."""
        raise NotImplementedError

    def triggers_at(self, mark: Ticks) -> Sequence[Trigger]:
        """Return waiting triggers that this mark fires, inclusive, by id (O5)."""
        raise NotImplementedError
