"""M2 and G1 to G3: what an account is worth, must hold, and may do."""

import math
from fractions import Fraction
from typing import NamedTuple

from node.perp.parameters import MarketParams
from tests.reference.funding import pending
from tests.reference.world import OPEN, World, ppm


class Risk(NamedTuple):
    equity: int
    initial: int
    """Open interest left out: what already rests is margined by it."""
    initial_scaled: int
    """With the open interest of the market in which risk is added (G1)."""
    maintenance: int
    open_notional: int
    """Of the open size (G2): M3 says "open notional" too, so its floor counts orders as well."""

    def plain(self) -> tuple[int, int, int, int]:
        """Without open interest, as the rules show it."""
        return self.equity, self.initial, self.maintenance, self.open_notional


def fraction_of(params: MarketParams, notional: int) -> Fraction:
    """The initial margin fraction of the bracket that holds the notional, for all of it."""
    held = [each for each in params.brackets if each.notional_from <= notional]
    return ppm(held[-1].initial_margin_ppm)


def maintenance_of(world: World, market: int, size: int, *, mark: int | None = None) -> int:
    """G1: ceil(ceil(n·IMF)·MMF)."""
    params = world.market_params[market]
    price = world.markets[market].mark if mark is None else mark
    notional = abs(size) * price * params.k
    initial = math.ceil(notional * fraction_of(params, notional))
    return math.ceil(initial * ppm(params.maintenance_ppm))


def open_interest(world: World, market: int) -> int:
    return sum(
        position.size
        for (_, where), position in world.positions.items()
        if where == market and position.size > 0
    )


def scaled(world: World, market: int, fraction: Fraction) -> Fraction:
    """dYdX's line from IMF at the lower cap to 100 % at the upper, in ppm, ceiled: for safety."""
    params = world.market_params[market]
    interest = open_interest(world, market) * world.markets[market].mark * params.k
    share = Fraction(interest - params.oi_lower_cap, params.oi_upper_cap - params.oi_lower_cap)
    share = max(Fraction(0), min(Fraction(1), share))
    return Fraction(math.ceil((fraction + (1 - fraction) * share) * 10**6), 10**6)


def risk_of(world: World, owner: bytes, adding: int = 0) -> Risk:
    """`adding`: the market in which the account adds risk, if any."""
    parts = [
        _market_risk(world, owner, market, mark=state.mark, is_adding=market == adding)
        for market, state in world.markets.items()
    ]
    return _sum(world, owner, parts)


def withdrawal_risk(world: World, owner: bytes) -> Risk:
    """M3: at the less favourable of mark and oracle, number by number."""
    parts = []
    for market, state in world.markets.items():
        both = [
            _market_risk(world, owner, market, mark=price, is_adding=False)
            for price in (state.mark, state.price)
        ]
        equity = min(each.equity for each in both)
        parts.append(Risk(equity, *(max(each) for each in list(zip(*both, strict=True))[1:])))
    return _sum(world, owner, parts)


def _sum(world: World, owner: bytes, parts: list[Risk]) -> Risk:
    total = Risk(*(sum(each) for each in zip(*parts, strict=True)))
    return total._replace(equity=world.balances.get(owner, 0) + total.equity)


def _market_risk(world: World, owner: bytes, market: int, *, mark: int, is_adding: bool) -> Risk:
    """What a market adds, without the balance."""
    params = world.market_params[market]
    k = params.k
    size = world.position(owner, market).size
    orders = [
        order
        for (where, _), order in world.orders.items()
        if where == market and order.owner == owner and not order.reduce_only
    ]
    if size == 0 and not orders:
        return Risk(0, 0, 0, 0, 0)
    equity = size * mark * k + math.floor(Fraction(pending(world, owner, market), 10**9))
    buys = sum(order.size for order in orders if order.size > 0)
    sells = sum(-order.size for order in orders if order.size < 0)
    notional = max(buys + size, sells - size) * mark * k
    bracket = fraction_of(params, notional)
    own = ppm(world.own_margins.get((owner, market), 0))  # M4
    fraction = max(own, bracket)
    fees = math.ceil(notional * ppm(max(params.taker_fee_ppm, 0)))
    losses = sum(
        max(0, order.price - mark if order.size > 0 else mark - order.price) * abs(order.size) * k
        for order in orders
    )
    initial = math.ceil(notional * fraction)
    more = math.ceil(notional * max(own, scaled(world, market, bracket))) if is_adding else initial
    return Risk(
        equity,
        initial + fees + losses,
        more + fees + losses,
        maintenance_of(world, market, size, mark=mark) if size else 0,
        notional,
    )


def tested_health(world: World, owner: bytes) -> tuple[int, int]:
    """L1's equity and MM: what is not OPEN adds its own MM to equity and nothing to MM."""
    plain = risk_of(world, owner)
    doubt = sum(
        maintenance_of(world, market, position.size)
        for (who, market), position in world.positions.items()
        if who == owner and world.mode(market) != OPEN
    )
    return plain.equity + doubt, plain.maintenance - doubt


def may_fill(before: Risk, after: Risk, *, initial: int) -> bool:
    """G3's test of a fill, against the IM that binds this side of it."""
    if after.equity >= initial:
        return True
    if before.maintenance == 0 and after.maintenance == 0:
        return after.initial <= before.initial
    if after.maintenance > before.maintenance:
        return False
    return (
        after.equity >= before.equity
        or (after.maintenance == 0 and after.equity >= 0)
        or (
            before.maintenance > 0
            and after.maintenance > 0
            and Fraction(after.equity, after.maintenance)
            >= Fraction(before.equity, before.maintenance)
        )
    )


def may_rest(before: Risk, after: Risk) -> bool:
    """G3's test of what rests, reduce-only orders apart."""
    return after.equity >= after.initial_scaled or after.initial <= before.initial
