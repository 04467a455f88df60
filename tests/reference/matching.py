"""O2, O3, G4 and O8: takers meet makers."""

import math
from collections.abc import Callable
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple

from node.perp.order import SelfTrade
from tests.reference import funding
from tests.reference.following import activate, remove, shrink
from tests.reference.limits import leads_past
from tests.reference.margin import may_fill, open_interest, risk_of
from tests.reference.world import FEES, VAULT, Position, World, ppm, sign

VaultPart = Callable[[int, int], int | None]
"""Asked with the lots and the price of a liquidation's fill: what the vault gets, None: refused."""


class Stop(Enum):
    """Why a taker stopped."""

    WHOLE = auto()
    NO_MAKER = auto()
    TAKER = auto()
    REMOVALS = auto()
    VAULT = auto()


class Met(NamedTuple):
    filled: int
    """Signed as the taker."""
    removed: int
    stop: Stop

    @property
    def changed(self) -> bool:
        return self.filled != 0 or self.removed > 0


def band_limit(world: World, market: int, size: int) -> int:
    """O4: floor(mark·(1 + band)) for buys, ceil(mark·(1 - band)) for sells."""
    mark, band = world.markets[market].mark, ppm(world.market_params[market].price_band_ppm)
    return math.floor(mark * (1 + band)) if size > 0 else math.ceil(mark * (1 - band))


def match(
    world: World,
    taker: bytes,
    market: int,
    size: int,
    bound: int,
    *,
    number: int = 0,
    self_trade: SelfTrade = SelfTrade.CANCEL_MAKER,
    other_leg: int = 0,
    vault_part: VaultPart | None = None,
) -> Met:
    """Meet makers by price, then time, at their prices, up to `bound`.

    `number` is the taker's, `other_leg` what its first fill cancels (O5); 0: none.
    """
    left, removed = size, 0
    while left:
        best = best_maker(world, market, size)
        if best is None or not crosses(size, bound, world.orders[market, best].price):
            return Met(size - left, removed, Stop.NO_MAKER)
        if removed >= world.params.maker_removals_max:
            return Met(size - left, removed, Stop.REMOVALS)
        maker = world.orders[market, best]
        if maker.owner == taker:
            if self_trade == SelfTrade.EXPIRE_TAKER:
                return Met(size - left, removed, Stop.TAKER)
            remove(world, market, best)
            removed += 1
            if self_trade == SelfTrade.CANCEL_BOTH:
                return Met(size - left, removed, Stop.TAKER)
            continue
        lots = sign(size) * min(abs(left), abs(maker.size))
        funding.settle(world, taker, market)
        funding.settle(world, maker.owner, market)
        settled = world.save()
        part = vault_part(lots, maker.price) if vault_part else 0
        if part is None:
            return Met(size - left, removed, Stop.VAULT)
        if leads_past(world, maker.owner, market, -lots):  # O7
            remove(world, market, best)
            removed += 1
            continue
        if leads_past(world, taker, market, lots):
            return Met(size - left, removed, Stop.TAKER)
        interest, size_before = open_interest(world, market), world.position(taker, market).size
        before_taker, before_maker = risk_of(world, taker), risk_of(world, maker.owner)
        _fill(world, taker, market, best, lots, liquidation=vault_part is not None)
        activate(world, market, best, lots)
        activate(world, market, number, lots)
        remove(world, market, other_leg)
        for owner in (taker, maker.owner):
            shrink(world, owner, market)
        if vault_part:
            _pay_vault(world, taker, part)
        after_maker = risk_of(world, maker.owner)
        if not may_fill(before_maker, after_maker, initial=after_maker.initial):
            world.restore(settled)
            remove(world, market, best)  # G4: and matching goes on
            removed += 1
            continue
        after_taker = risk_of(world, taker, adding=market)
        if taker == VAULT:
            # L5: no entry that lowers the vault's equity leaves it below 0.
            allowed = after_taker.equity >= min(0, before_taker.equity)
        else:
            grew = abs(world.position(taker, market).size) > abs(size_before)
            initial = after_taker.initial_scaled if grew else after_taker.initial  # G1
            allowed = vault_part is not None or may_fill(before_taker, after_taker, initial=initial)
        cap = world.market_params[market].open_interest_max
        if not allowed or max(interest, cap) < open_interest(world, market):  # O7
            world.restore(settled)
            return Met(size - left, removed, Stop.TAKER)
        if vault_part is None and taker != VAULT:
            world.change_market(market, last=maker.price)  # P3
        left -= lots
        removed += (market, best) not in world.orders
    return Met(size, removed, Stop.WHOLE)


def best_maker(world: World, market: int, size: int) -> int | None:
    """The first order that a taker of this sign would meet."""
    opposing = [
        (-order.price if size < 0 else order.price, number)
        for (where, number), order in world.orders.items()
        if where == market and order.size * size < 0
    ]
    return min(opposing)[1] if opposing else None


def crosses(size: int, price: int, maker_price: int) -> bool:
    return maker_price <= price if size > 0 else maker_price >= price


def _fill(
    world: World, taker: bytes, market: int, number: int, lots: int, *, liquidation: bool
) -> None:
    """One fill: money, fees, positions, the maker's order (M2, O2, O3)."""
    maker = world.orders[market, number]
    params = world.market_params[market]
    value = lots * maker.price * params.k
    taker_rate = 0 if liquidation else params.taker_fee_ppm
    maker_rate = max(params.maker_fee_ppm, 0) if liquidation else params.maker_fee_ppm
    taker_fee, maker_fee = (_fee(abs(value), rate) for rate in (taker_rate, maker_rate))
    world.pay(
        (taker, -value - taker_fee), (maker.owner, value - maker_fee), (FEES, taker_fee + maker_fee)
    )
    left = maker.size + lots
    if left:
        world.orders[market, number] = maker._replace(size=left)
    else:
        del world.orders[market, number]
    for owner, change in ((taker, lots), (maker.owner, -lots)):
        move(world, owner, market, change, change * maker.price * params.k)


def _fee(value: int, rate: int) -> int:
    """O3: the payer's is ceiled, the receiver's floored in magnitude."""
    exact = value * ppm(rate)
    return math.ceil(exact) if rate >= 0 else -math.floor(-exact)


def move(world: World, owner: bytes, market: int, change: int, cost: int) -> None:
    """M2: an increase adds its cost, a reduction takes off its part; a flip begins with its own.

    `cost` is signed as the change. RULES names no rounding of what is for display: truncated.
    """
    size, entry, _ = world.position(owner, market)
    after = size + change
    if size * change >= 0:
        entry += cost
    elif size * after > 0:
        entry -= math.trunc(Fraction(entry * abs(change), abs(size)))
    else:
        entry = math.trunc(Fraction(cost * after, change))
    if after:
        world.positions[owner, market] = Position(after, entry, world.markets[market].funding_index)
    else:
        del world.positions[owner, market]


def _pay_vault(world: World, account: bytes, amount: int) -> None:
    from tests.reference.vault import pay_vault  # they need each other

    pay_vault(world, account, amount)
