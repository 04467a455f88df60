"""The price at which positions are valued, computed once a block before anything trades."""

from node.errors import MarketNotFound
from node.perp.ledger import Ledger
from node.units import MarketId, Ticks


def get_mark(ledger: Ledger, market: MarketId) -> Ticks:
    """Return the market's mark: its accepted oracle price, 0 before the first (P2).

    Raise MarketNotFound if there is no such market.
    """
    oracle = ledger.oracles.get(market)
    if oracle is None:
        raise MarketNotFound(market)
    return oracle.price
