"""What the council sets of the rules' numbers: one parameter, who reports, a market's brackets.

A block is executed under the parameters that it began with; what is set in it is in force from the
next one on, so that everything in a block was judged alike, and whoever recomputes it needs nothing
but its parent's state. Sets are checked like the genesis document, as a whole and by the same
functions. A market's units never change: sizes, prices and balances are made of them.
"""

from collections.abc import Sequence

from node.errors import GenesisError, InvalidParameters, NoSuchParameter
from node.perp.events import BracketsSet, FundingRateSet, ParameterSet, ReportersSet
from node.perp.funding import compute_rate_cap, get_funding
from node.perp.ledger import Ledger
from node.perp.market import require_living
from node.perp.parameters import (
    ChainParams,
    MarginBracket,
    MarketParams,
    validate_chain_params,
    validate_market_params,
)
from node.perp.status import CHAIN
from node.units import Address, MarketId, RatePpb, clamp

UNITS = ("lot_decimals", "tick_decimals", "k")
"""What a market is measured in: it may settle and a new one be listed instead."""


# --- actions --------------------------------------------------------------------------------------


def process_set_parameter(ledger: Ledger, market: MarketId, name: str, value: int) -> int:
    """Set a number of a market's parameters, of the chain's for market 0; return the one before.

    True is 1 and false 0. Raise MarketNotFound, MarketClosed, NoSuchParameter or InvalidParameters.
    """
    params = _get_next(ledger, market)
    before = getattr(params, name) if name in params._fields else None
    if not isinstance(before, int) or name in UNITS:
        raise NoSuchParameter(market, name)
    if isinstance(before, bool):
        if value not in (0, 1):
            raise InvalidParameters(market, f"{name} is {value}, must be 0 or 1")
        value = bool(value)
    _set(ledger, market, params._replace(**{name: value}))  # type: ignore[arg-type]  # an int each
    ledger.emit(ParameterSet(market, name, int(before), int(value)))
    return int(before)


def process_set_reporters(ledger: Ledger, reporters: Sequence[Address], quorum: int) -> int:
    """Set who reports prices, and how many must agree (P1); return how many there are.

    Who comes back begins anew: what he reported before he left is forgotten. Raise
    InvalidParameters.
    """
    params = ledger.next_params._replace(reporters=tuple(reporters), reporter_quorum=quorum)
    _set(ledger, CHAIN, params)
    for reporter in sorted(set(reporters) - set(ledger.params.reporters)):
        for market in ledger.market_ids:
            ledger.reports.delete((market, reporter))
    ledger.emit(ReportersSet(params.reporters, quorum))
    return len(reporters)


def process_set_brackets(
    ledger: Ledger, market: MarketId, brackets: Sequence[MarginBracket]
) -> int:
    """Set a market's initial margin by notional (G1); return how many brackets it has.

    Raise MarketNotFound, MarketClosed or InvalidParameters.
    """
    require_living(ledger, market)
    params = ledger.next_market_params(market)._replace(brackets=tuple(brackets))
    _set(ledger, market, params)
    ledger.emit(BracketsSet(market, params.brackets))
    return len(brackets)


def _get_next(ledger: Ledger, market: MarketId) -> ChainParams | MarketParams:
    if market == CHAIN:
        return ledger.next_params
    require_living(ledger, market)
    return ledger.next_market_params(market)


def _set(ledger: Ledger, market: MarketId, params: ChainParams | MarketParams) -> None:
    try:
        if isinstance(params, ChainParams):
            validate_chain_params(params)
        else:
            validate_market_params(params)
    except GenesisError as error:
        raise InvalidParameters(market, error.message) from None
    if isinstance(params, ChainParams):
        ledger.set_params(params)
    else:
        ledger.set_market_params(market, params)


# --- the block's end ------------------------------------------------------------------------------


def process_settings(ledger: Ledger) -> None:
    """Make funding agree with the parameters of the next block."""
    for market in ledger.market_ids:
        params, following = ledger.market_params(market), ledger.next_market_params(market)
        if following is not params:
            _process_funding(ledger, market, params, following)


def _process_funding(
    ledger: Ledger, market: MarketId, params: MarketParams, following: MarketParams
) -> None:
    """Keep the rate within its new cap (I4); samples of another interval are no part of it (F2)."""
    funding, cap = get_funding(ledger, market), compute_rate_cap(following)
    rate = RatePpb(clamp(funding.rate_ppb, lowest=-cap, highest=cap))
    is_other = following.funding_interval_ms != params.funding_interval_ms
    premium_sum = 0 if is_other else funding.premium_sum
    if (rate, premium_sum) != (funding.rate_ppb, funding.premium_sum):
        ledger.fundings.set(market, funding._replace(rate_ppb=rate, premium_sum=premium_sum))
    if rate != funding.rate_ppb:
        ledger.emit(FundingRateSet(market, funding.rate_ppb, rate, RatePpb(0)))
