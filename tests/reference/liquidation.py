"""L1 and L2, and when stages 2 and 3 follow: closing what its margin no longer carries."""

import math
from fractions import Fraction

from tests.reference import vault
from tests.reference.following import remove
from tests.reference.margin import maintenance_of, risk_of, tested_health
from tests.reference.matching import match
from tests.reference.world import HALTED, VAULT, World, ppm, sign

USDC = 10**6


def liquidate(world: World) -> None:
    """Step by step, the lowest equity/MM first, then account, then market.

    O8 bounds the steps. Read: an attempt that finds nothing to do is no step. O7 bounds what the
    orders of stage 1 close in a market, at the mark; the first lot is always good.
    """
    sold: dict[int, int] = {}
    tried: set[tuple[bytes, int]] = set()
    steps = 0
    while steps < world.params.liquidations_max:
        ranked = []
        for owner, market in sorted(world.positions):
            if (owner, market) not in tried and world.may_act(market):
                equity, maintenance = tested_health(world, owner)
                if maintenance > 0 and equity < maintenance:
                    ranked.append((Fraction(equity, maintenance), owner, market))
        if not ranked:
            return
        _, owner, market = min(ranked)
        tried.add((owner, market))
        if owner == VAULT:
            steps += vault.deleverage(world, VAULT, market)  # L4
        else:
            steps += _step(world, owner, market, sold)


def _step(world: World, owner: bytes, market: int, sold: dict[int, int]) -> bool:
    """Stage 1, and what it leaves to stages 2 (L3) and 3 (L4)."""
    acted = _sell(world, owner, market, sold)
    equity, maintenance = tested_health(world, owner)
    if not world.position(owner, market).size or 3 * equity >= 2 * maintenance:
        return acted
    if vault.take_over(world, owner, market):
        return True
    if equity < 0:
        acted |= vault.deleverage(world, owner, market)
    return acted


def _sell(world: World, owner: bytes, market: int, sold: dict[int, int]) -> bool:
    """L2: cancel what is not reduce-only, then a reduce-only IOC for a part."""
    cancelled = [
        key
        for key, order in world.orders.items()
        if order.owner == owner and not order.reduce_only and world.mode(key[0]) != HALTED
    ]
    for key in cancelled:
        remove(world, *key)
    size = world.position(owner, market).size
    mark, k = world.markets[market].mark, world.k(market)
    notional = abs(size) * mark * k
    part = max(1_000 * USDC, notional // 5)
    lots = min(abs(size), max(1, math.floor(Fraction(part, mark * k))))
    most = max(1, world.market_params[market].liquidation_notional_max // (mark * k))
    lots = min(lots, most - sold.get(market, 0))
    if lots == 0:
        return bool(cancelled)
    plain = risk_of(world, owner)
    shortfall = max(0, min(plain.maintenance, plain.maintenance - plain.equity))
    own = maintenance_of(world, market, size)
    distance = Fraction(3 * own * shortfall, 2 * plain.maintenance * abs(size) * k)
    limit = max(1, mark - sign(size) * math.floor(distance))
    met = match(
        world,
        owner,
        market,
        -sign(size) * lots,
        limit,
        vault_part=lambda lots, price: _vault_part(world, owner, market, lots, price),
    )
    sold[market] = sold.get(market, 0) + abs(met.filled)
    return bool(cancelled) or met.changed


def _vault_part(world: World, owner: bytes, market: int, lots: int, price: int) -> int | None:
    """What the vault gets of a fill of `lots`, signed as the taker; None if it can't pay."""
    k = world.k(market)
    surplus = -lots * price * k - vault.bankruptcy_quote(world, owner, market, -lots)
    if surplus >= 0:
        fee = math.floor(
            abs(lots) * price * k * ppm(world.market_params[market].liquidation_fee_ppm)
        )
        return min(fee, surplus // 2)
    if risk_of(world, VAULT).equity + surplus < 0:
        return None
    return surplus
