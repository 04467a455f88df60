"""Funding: premium samples, the rate, the index, and lazy settlement (RULES F1 to F4).

The sign: while the rate is positive the index grows and longs pay shorts. Rates are ppb per 8 h,
the index is 1e-9 atoms per lot, premiums are ppb of the oracle price.
"""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.errors import MarketNotFound
from node.perp.account import Leg, Position, market_address, process_entry
from node.perp.book import Book
from node.perp.events import FundingAccrued, FundingRateSet, FundingSettled
from node.perp.ledger import Ledger
from node.perp.oracle import get_oracle
from node.perp.order import Order
from node.perp.parameters import MarketParams
from node.perp.status import Mode, get_ending_mode, get_mode
from node.units import (
    PPB,
    PPM,
    Address,
    DurationMs,
    FundingIndex,
    Height,
    MarketId,
    Quote,
    RatePpb,
    Ticks,
    clamp,
    div_floor,
    div_trunc,
    mul_div_ceil,
    mul_div_floor,
    mul_div_trunc,
)

RATE_PERIOD_MS = 28_800_000
"""8 hours: what a rate refers to (F3)."""
ELAPSED_MS_MAX = 30_000
"""A block further than this from its parent accrues nothing (F3)."""
INTEREST_CLAMP_PPB = 500_000
"""How far interest may pull the rate away from the premium (F2)."""
PREMIUM_CAPS = 10
"""A premium sample is clamped to this many caps (F1)."""


class Funding(NamedTuple):
    """A market's funding state; key: market."""

    index: Annotated[FundingIndex, BIG]  # type: ignore[assignment]  # hides tuple.index
    """Cumulative, 1e-9 atoms per lot (F3)."""
    rate_ppb: RatePpb
    """The rate in force, per 8 h (F2)."""
    premium_sum: Annotated[int, BIG]
    """Σ premium_ppb · elapsed_ms since the last multiple of the interval (F2)."""
    dust: Annotated[int, BIG]
    """What floors left over, 1e-9 atoms; only grows (F4)."""
    size_index_sum: Annotated[int, BIG]
    """Σ size · position's index over all positions (I3)."""


class ImpactPrices(NamedTuple):
    """What it costs on average to trade the impact notional; 0: too little depth (F1)."""

    bid: Ticks
    ask: Ticks


def initial_funding(params: MarketParams) -> Funding:
    """Return a new market's funding: index 0 and the rate of no premium at all (F2)."""
    return Funding(
        index=FundingIndex(0),
        rate_ppb=compute_base_rate(params),
        premium_sum=0,
        dust=0,
        size_index_sum=0,
    )


def get_funding(ledger: Ledger, market: MarketId) -> Funding:
    """Return the market's funding; raise MarketNotFound if there is no such market."""
    funding = ledger.fundings.get(market)
    if funding is None:
        raise MarketNotFound(market)
    return funding


# --- F4: settlement -------------------------------------------------------------------------------


def compute_pending(funding: Funding, position: Position) -> int:
    """Return x, what the position is due since it last settled, in 1e-9 atoms, exact (F4)."""
    return -(funding.index - position.funding_index) * position.size


def settle_funding(ledger: Ledger, account: Address, market: MarketId) -> None:
    """Pay a position what it is due, floored, from the market's pool, and name the dust (F4).

    The pool's balance may be negative: a receiver may settle before a payer. No-op for a flat
    position, or one at the market's index.
    """
    position = ledger.positions.get((account, market))
    if position is None:
        return
    funding = get_funding(ledger, market)
    if position.funding_index == funding.index:
        return
    x = compute_pending(funding, position)
    cash = Quote(div_floor(x, PPB))
    ledger.fundings.set(
        market,
        funding._replace(
            dust=funding.dust + x - PPB * cash,
            size_index_sum=funding.size_index_sum - x,
        ),
    )
    ledger.positions.set((account, market), position._replace(funding_index=funding.index))
    if cash != 0:
        process_entry(ledger, [Leg(account, cash), Leg(market_address(market), Quote(-cash))])
        ledger.emit(FundingSettled(market, account, cash, funding.index))


# --- F3, F2: the index and the rate ---------------------------------------------------------------


def process_funding(ledger: Ledger) -> None:
    """Move every market's index by the old rate, then its rate at an interval's end (F3, F2)."""
    for market in ledger.market_ids:
        if get_mode(ledger, market) == Mode.OPEN:
            _process_index(ledger, market)
            _process_rate(ledger, market)


def compute_elapsed(ledger: Ledger, market: MarketId) -> DurationMs:
    """Return the block's elapsed time for the market, 0 unless it counts (F3).

    It counts if this block and its parent ended OPEN. Within a block modes only grow stricter
    before this is asked, and a step toward OPEN holds from the next block: OPEN now is both, unless
    the council has set another mode for the block's end.
    """
    elapsed = ledger.time_ms - ledger.parent_time_ms
    if elapsed > ELAPSED_MS_MAX or get_mode(ledger, market) != Mode.OPEN:
        return DurationMs(0)
    if get_ending_mode(ledger, market) != Mode.OPEN:
        return DurationMs(0)
    return DurationMs(elapsed)


def compute_index_step(
    rate: RatePpb, oracle: Ticks, elapsed: DurationMs, params: MarketParams
) -> int:
    """Return trunc(rate·oracle·K·elapsed_ms / 28,800,000), in 1e-9 atoms per lot (F3)."""
    return mul_div_trunc(rate * oracle * params.k, elapsed, RATE_PERIOD_MS)


def compute_rate_cap(params: MarketParams) -> RatePpb:
    """Return floor(clamp_factor_ppm·(IMF - ceil(IMF·MMF/1e6))/1,000), ppb (F2).

    IMF is the first bracket's: the fraction of a small position.
    """
    initial = params.brackets[0].initial_margin_ppm
    maintenance = mul_div_ceil(initial, params.maintenance_ppm, PPM)
    return RatePpb(mul_div_floor(params.funding_clamp_factor_ppm, initial - maintenance, 1_000))


def compute_premium(premium_sum: int, params: MarketParams) -> RatePpb:
    """Return P = trunc(Σ premium·elapsed_ms / interval_ms): time not sampled counts 0 (F2)."""
    return RatePpb(div_trunc(premium_sum, params.funding_interval_ms))


def compute_rate(premium: RatePpb, params: MarketParams) -> RatePpb:
    """Return clamp(P + clamp(I - P, ±500,000), ±cap), ppb per 8 h (F2)."""
    interest = clamp(
        params.funding_interest_ppb - premium,
        lowest=-INTEREST_CLAMP_PPB,
        highest=INTEREST_CLAMP_PPB,
    )
    cap = compute_rate_cap(params)
    return RatePpb(clamp(premium + interest, lowest=-cap, highest=cap))


def compute_base_rate(params: MarketParams) -> RatePpb:
    """Return clamp(I, ±cap): the rate at first, and after leaving OPEN (F2)."""
    cap = compute_rate_cap(params)
    return RatePpb(clamp(params.funding_interest_ppb, lowest=-cap, highest=cap))


def reset_funding(ledger: Ledger, market: MarketId) -> None:
    """Forget the samples and return to the base rate: the market leaves OPEN (F2)."""
    funding = get_funding(ledger, market)
    rate = compute_base_rate(ledger.market_params(market))
    if funding.premium_sum == 0 and funding.rate_ppb == rate:
        return
    ledger.fundings.set(market, funding._replace(premium_sum=0, rate_ppb=rate))
    if rate != funding.rate_ppb:
        ledger.emit(FundingRateSet(market, funding.rate_ppb, rate, RatePpb(0)))


def _process_index(ledger: Ledger, market: MarketId) -> None:
    elapsed = compute_elapsed(ledger, market)
    funding = get_funding(ledger, market)
    oracle = get_oracle(ledger, market).price
    step = compute_index_step(funding.rate_ppb, oracle, elapsed, ledger.market_params(market))
    if step != 0:
        index = FundingIndex(funding.index + step)
        ledger.fundings.set(market, funding._replace(index=index))
        ledger.emit(FundingAccrued(market, funding.index, index, funding.rate_ppb, elapsed))


def _process_rate(ledger: Ledger, market: MarketId) -> None:
    params = ledger.market_params(market)
    interval = params.funding_interval_ms
    if div_floor(ledger.time_ms, interval) == div_floor(ledger.parent_time_ms, interval):
        return
    funding = get_funding(ledger, market)
    premium = compute_premium(funding.premium_sum, params)
    rate = compute_rate(premium, params)
    if funding.premium_sum == 0 and rate == funding.rate_ppb:
        return
    ledger.fundings.set(market, funding._replace(premium_sum=0, rate_ppb=rate))
    if rate != funding.rate_ppb:
        ledger.emit(FundingRateSet(market, funding.rate_ppb, rate, premium))


# --- F1: the premium sample -----------------------------------------------------------------------


def process_premium_sample(ledger: Ledger) -> None:
    """Sample every OPEN market's premium from the orders that stood before this block (F1)."""
    for market in ledger.market_ids:
        elapsed = compute_elapsed(ledger, market)
        oracle = get_oracle(ledger, market).price
        if elapsed == 0 or oracle == 0:
            continue
        book = ledger.book(market)
        bid, ask = book.best_bid(), book.best_ask()
        # An impact price is never better than the best: most blocks end here.
        if (bid is None or bid.price <= oracle) and (ask is None or ask.price >= oracle):
            continue
        params = ledger.market_params(market)
        premium = compute_premium_sample(get_impact_prices(ledger, market), oracle, params)
        if premium != 0:
            funding = get_funding(ledger, market)
            ledger.fundings.set(
                market, funding._replace(premium_sum=funding.premium_sum + premium * elapsed)
            )


def compute_premium_sample(impact: ImpactPrices, oracle: Ticks, params: MarketParams) -> RatePpb:
    """Return trunc((max(bid - oracle, 0) - max(oracle - ask, 0))·1e9 / oracle), clamped (F1).

    A side without depth (price 0) counts 0; the clamp is ±10·cap. `oracle` must be positive.
    """
    over = max(impact.bid - oracle, 0)
    under = max(oracle - impact.ask, 0) if impact.ask > 0 else 0
    limit = PREMIUM_CAPS * compute_rate_cap(params)
    premium = mul_div_trunc(over - under, PPB, oracle)
    return RatePpb(clamp(premium, lowest=-limit, highest=limit))


def get_impact_prices(ledger: Ledger, market: MarketId) -> ImpactPrices:
    """Return the impact bid (floor) and ask (ceil) of orders from earlier blocks (F1)."""
    return compute_impact_prices(ledger.book(market), ledger.height, ledger.market_params(market))


def compute_impact_prices(book: Book, height: Height, params: MarketParams) -> ImpactPrices:
    """Return the impact bid (floor) and ask (ceil) of orders from before a block (F1)."""
    sold = _compute_impact(book.bids(), height, params)
    bought = _compute_impact(book.asks(), height, params)
    return ImpactPrices(
        bid=Ticks(mul_div_floor(params.impact_notional, sold.price, sold.divisor)),
        ask=Ticks(mul_div_ceil(params.impact_notional, bought.price, bought.divisor)),
    )


class _Impact(NamedTuple):
    """The average price is impact_notional · price / divisor; price 0: too little depth."""

    price: Ticks
    divisor: int


def _compute_impact(orders: Iterable[Order], height: Height, params: MarketParams) -> _Impact:
    """Walk a side until the impact notional V is filled, the last order in part.

    L whole lots and the rest r = V - Σ notional at the last price p are L + r/(p·K) lots, so the
    average is V/(K·(L + r/(p·K))) = V·p/(K·L·p + r): one division, rounded by the caller.
    """
    lots, rest = 0, int(params.impact_notional)
    for order in orders:
        if order.height >= height:
            continue
        size = abs(order.size)
        value = size * order.price * params.k
        if value >= rest:
            return _Impact(order.price, params.k * lots * order.price + rest)
        lots += size
        rest -= value
    return _Impact(Ticks(0), 1)
