"""What one account has in a book, and what its orders could add (RULES G2, O1)."""

from bisect import bisect_left, insort
from typing import Any, NamedTuple

from node.units import Lots, OrderId, Quote, Ticks

PriceTime = tuple[Ticks, OrderId]


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


NO_EXPOSURE = Exposure(Lots(0), Lots(0), Quote(0), Ticks(0), Ticks(0))


class Owned:
    """What one account has in a book; every list ascends."""

    __slots__ = (
        "buy_keys",
        "buys",
        "clients",
        "orders",
        "reduce_only",
        "sell_keys",
        "sells",
        "triggers",
        "value",
    )

    def __init__(self) -> None:
        self.orders: list[OrderId] = []
        self.reduce_only: list[OrderId] = []
        self.triggers: list[OrderId] = []
        self.clients: dict[int, OrderId] = {}
        """By client id, orders and triggers that have one."""
        self.buy_keys: list[PriceTime] = []
        """Of orders that are not reduce-only, like the four that follow."""
        self.sell_keys: list[PriceTime] = []
        self.buys = Lots(0)
        self.sells = Lots(0)
        self.value = Quote(0)

    def copy(self) -> "Owned":
        """Return a copy to change."""
        other = Owned()
        other.orders = self.orders.copy()
        other.reduce_only = self.reduce_only.copy()
        other.triggers = self.triggers.copy()
        other.clients = self.clients.copy()
        other.buy_keys = self.buy_keys.copy()
        other.sell_keys = self.sell_keys.copy()
        other.buys = self.buys
        other.sells = self.sells
        other.value = self.value
        return other

    def crosses(self, mark: Ticks) -> bool:
        """Tell whether any order of `buy_keys` and `sell_keys` is priced through the mark (G2)."""
        buys, sells = self.buy_keys, self.sell_keys
        return bool((buys and buys[-1][0] > mark) or (sells and sells[0][0] < mark))

    def is_empty(self) -> bool:
        """Tell whether nothing is open."""
        return not self.orders and not self.triggers


def insert(ascending: list[Any], item: Any) -> None:
    """Insert an item that is not there; usually it is the largest."""
    if not ascending or item > ascending[-1]:
        ascending.append(item)
    else:
        insort(ascending, item)


def delete(ascending: list[Any], item: Any) -> None:
    """Delete an item that is there."""
    index = bisect_left(ascending, item)
    assert ascending[index] == item, f"{item} is not in the list"
    del ascending[index]
