"""A market's counters (RULES O8, I2)."""

from typing import NamedTuple

from node.units import Lots, OrderId


class Market(NamedTuple):
    """What every order of a market may change; key: market."""

    next_order_id: OrderId
    open_interest: Lots
    """Σ of all long sizes = Σ of all short sizes (I2)."""


def initial_market() -> Market:
    """Return a new market's counters: orders count from 1, nothing is open."""
    return Market(next_order_id=OrderId(1), open_interest=Lots(0))
