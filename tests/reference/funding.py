"""F1 to F4: the premium, the rate, the index, and what a position is due."""

import math
from fractions import Fraction

from node.perp.parameters import MarketParams
from tests.reference.world import OPEN, World, pool_of, ppm

EIGHT_HOURS_MS = 28_800_000


def clamp(value: int, bound: int) -> int:
    return max(-bound, min(bound, value))


def rate_cap(params: MarketParams) -> int:
    """F2: cap = floor(clamp_factor_ppm·(IMF - ceil(IMF·MMF/1e6))/1,000)."""
    imf = params.brackets[0].initial_margin_ppm
    mmf = math.ceil(imf * ppm(params.maintenance_ppm))
    return math.floor(Fraction(params.funding_clamp_factor_ppm * (imf - mmf), 1_000))


def base_rate(params: MarketParams) -> int:
    return clamp(params.funding_interest_ppb, rate_cap(params))


def elapsed_ms(world: World, market: int) -> int:
    """F3: counts if this block and its parent ended OPEN.

    Asked after the council and the alarms: what is OPEN now was OPEN at the parent's end, for a
    step toward OPEN is taken at a block's end; and how this block ends is known.
    """
    elapsed = world.time_ms - world.parent_time_ms
    ends_open = world.mode(market) == world.ending_mode(market) == OPEN
    return elapsed if ends_open and elapsed <= 30_000 else 0


def forget(world: World, market: int) -> None:
    """F2: leaving OPEN forgets the samples and the rate."""
    world.change_market(market, premium_sum=0, rate=base_rate(world.market_params[market]))


def accrue(world: World) -> None:
    """The index step with the old rate, then a new rate if a multiple of the interval passed."""
    for market, state in list(world.markets.items()):
        params = world.market_params[market]
        step = math.trunc(
            Fraction(
                state.rate * state.price * params.k * elapsed_ms(world, market), EIGHT_HOURS_MS
            )
        )
        world.change_market(market, funding_index=state.funding_index + step)
        interval = params.funding_interval_ms
        if world.time_ms // interval > world.parent_time_ms // interval:
            premium = math.trunc(Fraction(state.premium_sum, interval))
            interest = clamp(params.funding_interest_ppb - premium, 500_000)
            world.change_market(
                market, premium_sum=0, rate=clamp(premium + interest, rate_cap(params))
            )


def sample(world: World) -> None:
    """F1: each OPEN block, after matching, weighed by its elapsed time (F2)."""
    for market, state in list(world.markets.items()):
        if world.mode(market) == OPEN:
            params = world.market_params[market]
            bid, ask = impact_prices(world, market)
            above = max(bid - state.price, 0) if bid else 0
            below = max(state.price - ask, 0) if ask else 0
            premium = math.trunc(Fraction((above - below) * 10**9, state.price))
            premium = clamp(premium, 10 * rate_cap(params))
            weighed = premium * elapsed_ms(world, market)
            world.change_market(market, premium_sum=state.premium_sum + weighed)


def impact_prices(world: World, market: int, *, before: int | None = None) -> tuple[int, int]:
    """The average prices of selling and of buying the impact notional; 0: too little depth.

    Only into orders of blocks before this one, or `before`. RULES names no rounding: read as
    against the premium, the bid floored and the ask ceiled.
    """
    height = world.height if before is None else before
    standing = [
        (order.price, number, order.size)
        for (where, number), order in world.orders.items()
        if where == market and order.height < height
    ]
    bids = sorted((-price, number, size) for price, number, size in standing if size > 0)
    asks = sorted((price, number, -size) for price, number, size in standing if size < 0)
    bid = _average(world, market, [(-price, size) for price, _, size in bids])
    ask = _average(world, market, [(price, size) for price, _, size in asks])
    return math.floor(bid), math.ceil(ask)


def _average(world: World, market: int, levels: list[tuple[int, int]]) -> Fraction:
    left = Fraction(world.market_params[market].impact_notional)
    notional, lots = Fraction(left), Fraction(0)
    for price, size in levels:
        value = price * world.k(market)
        taken = min(Fraction(size), left / value)
        lots += taken
        left -= taken * value
        if left == 0:
            return notional / lots / world.k(market)
    return Fraction(0)


def pending(world: World, owner: bytes, market: int) -> int:
    """x of F4, in 1e-9 atoms."""
    position = world.position(owner, market)
    return -(world.markets[market].funding_index - position.funding_index) * position.size


def settle(world: World, owner: bytes, market: int) -> None:
    """F4: pay what is due, floored, from the pool; the rest is dust."""
    position = world.position(owner, market)
    if position.size == 0:
        return
    due = pending(world, owner, market)
    cash = math.floor(Fraction(due, 10**9))
    world.pay((owner, cash), (pool_of(market), -cash))
    state = world.markets[market]
    world.change_market(market, dust=state.dust + due - 10**9 * cash)
    world.positions[owner, market] = position._replace(funding_index=state.funding_index)
