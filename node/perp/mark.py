"""The price at which positions are valued, computed once a block before anything trades."""

from node.perp.ledger import Ledger
from node.perp.oracle import get_oracle
from node.units import MarketId, Ticks


def get_mark(ledger: Ledger, market: MarketId) -> Ticks:
    """Return the market's mark: its accepted oracle price, 0 before the first (P2).

    Raise MarketNotFound if there is no such market.
    """
    return get_oracle(ledger, market).price
