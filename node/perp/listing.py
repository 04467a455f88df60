"""How a market begins: in the genesis document, or by the council's word later on (RULES X5).

A new market exists from the next block on. It has no price, so it starts where every market starts,
in CANCEL_ONLY, and X2 leads it on: POST_ONLY with a fresh quorum of reports, then OPEN.
"""

from node.errors import GenesisError, InvalidParameters, MarketExists
from node.perp.events import MarketListed
from node.perp.funding import initial_funding
from node.perp.ledger import Ledger
from node.perp.mark import initial_mark
from node.perp.market import MARKET_ID_MAX, initial_market
from node.perp.modes import initial_market_status
from node.perp.oracle import initial_oracle
from node.perp.parameters import MarketParams, validate_market_params
from node.units import FundingIndex, MarketId


def process_listing(ledger: Ledger, market: MarketId, params: MarketParams) -> MarketId:
    """List a market, from the next block on; return its id (X5).

    Raise MarketExists for an id that a market has or had, InvalidParameters for an id or parameters
    that the genesis document could not have, and for the symbol of a market that lives.
    """
    if market in ledger.next_market_ids:
        raise MarketExists(market)
    if not 1 <= market <= MARKET_ID_MAX:
        raise InvalidParameters(market, f"id is {market}, must be 1 to {MARKET_ID_MAX}")
    for other in ledger.next_market_ids:
        symbol = ledger.next_market_params(other).symbol
        if symbol == params.symbol and ledger.closures.get(other) is None:
            raise InvalidParameters(market, f"symbol {symbol!r} is market {other}'s")
    try:
        validate_market_params(params)
    except GenesisError as error:
        raise InvalidParameters(market, error.message) from None
    ledger.set_market_params(market, params)
    ledger.emit(MarketListed(market, params.symbol))
    return market


def process_listings(ledger: Ledger) -> None:
    """Give the markets that were listed in this block their records, as its last change."""
    if ledger.next_market_ids is ledger.market_ids:
        return
    for market in sorted(set(ledger.next_market_ids) - set(ledger.market_ids)):
        process_birth(ledger, market, FundingIndex(0))


def process_birth(ledger: Ledger, market: MarketId, index: FundingIndex) -> None:
    """Write a new market's records; its funding index begins at `index`."""
    ledger.markets.set(market, initial_market())
    ledger.statuses.set(market, initial_market_status(ledger.time_ms, ledger.height))
    ledger.oracles.set(market, initial_oracle())
    ledger.marks.set(market, initial_mark())
    funding = initial_funding(ledger.next_market_params(market))
    ledger.fundings.set(market, funding._replace(index=index))
