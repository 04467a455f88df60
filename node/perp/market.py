"""A market's counters, and how it ended (RULES O8, I2, X5)."""

from typing import TYPE_CHECKING, NamedTuple

from node.errors import MarketClosed
from node.perp.status import get_status
from node.units import Height, Lots, MarketId, OrderId, Ticks

if TYPE_CHECKING:
    from node.perp.ledger import Ledger

MARKET_ID_MAX = MarketId(0xFFFF - 0x2000)
"""A market's own address is 0x2000 + its id, and those up to 0xFFFF are the system's."""


class Market(NamedTuple):
    """What every order of a market may change; key: market."""

    next_order_id: OrderId
    open_interest: Lots
    """Σ of all long sizes = Σ of all short sizes (I2)."""


def initial_market() -> Market:
    """Return a new market's counters: orders count from 1, nothing is open."""
    return Market(next_order_id=OrderId(1), open_interest=Lots(0))


class Closure(NamedTuple):
    """How a market was settled for ever; key: market; absent while it lives (X5)."""

    price: Ticks
    height: Height


def require_living(ledger: "Ledger", market: MarketId) -> None:
    """Raise MarketNotFound, or MarketClosed: nothing opens a market that was settled (X5)."""
    get_status(ledger, market)
    if ledger.closures.get(market) is not None:
        raise MarketClosed(market)
