"""O2 to O4, O7 and O8: orders meet, and what is left of them."""

import math
from collections.abc import Callable
from enum import Enum, auto
from fractions import Fraction
from typing import NamedTuple

from node.perp.order import OrderRequest, TimeInForce
from node.units import Lots
from tests.reference import funding
from tests.reference.margin import may_fill, may_rest, open_interest, risk_of
from tests.reference.modes import limits
from tests.reference.world import (
    FEES,
    HALTED,
    OPEN,
    POST_ONLY,
    VAULT,
    Order,
    Position,
    Refused,
    World,
    ppm,
)

LIMIT = 2**53 - 1

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


def sign(size: int) -> int:
    return 1 if size > 0 else -1


def reducible(world: World, owner: bytes, market: int, size: int) -> int:
    """O2: capped to the position; 0 if it opposes none."""
    held = world.position(owner, market).size
    return sign(size) * min(abs(size), abs(held)) if held * size < 0 else 0


def band_limit(world: World, market: int, size: int) -> int:
    """O4: floor(mark·(1 + band)) for buys, ceil(mark·(1 - band)) for sells."""
    mark, band = world.markets[market].mark, ppm(world.market_params[market].price_band_ppm)
    return math.floor(mark * (1 + band)) if size > 0 else math.ceil(mark * (1 - band))


def place(world: World, owner: bytes, request: OrderRequest) -> None:
    """A limit order: checked, numbered, matched; its rest rests, or not."""
    market, price = request.market, request.price
    passive = request.time_in_force == TimeInForce.POST_ONLY
    size = _check(world, owner, request, strictest=POST_ONLY if passive else OPEN)
    if not 0 < price <= LIMIT:
        raise Refused
    _check_value(world, owner, market, size, price)
    if passive:
        best = best_maker(world, market, size)
        if best is not None and _crosses(size, price, world.orders[market, best].price):
            raise Refused
        if world.mode(market) == POST_ONLY:
            highest_buy, lowest_sell = limits(world.markets[market].price)
            if price > highest_buy if size > 0 else price < lowest_sell:
                raise Refused
        number = _number(world, market)
        if not _rest(world, owner, number, request._replace(size=size)):
            raise Refused
        return
    _cross(world, owner, request._replace(size=size))


def place_market(world: World, owner: bytes, market: int, size: int, *, reduce_only: bool) -> None:
    """A market order: the band is its limit, its value is counted at the mark."""
    request = OrderRequest(market, size, 1, TimeInForce.IOC, reduce_only)  # type: ignore[arg-type]
    size = _check(world, owner, request, strictest=OPEN)
    _check_value(world, owner, market, size, world.markets[market].mark)
    price = band_limit(world, market, size)
    _cross(world, owner, request._replace(size=size, price=price))  # type: ignore[arg-type]


def cancel(world: World, owner: bytes, market: int, number: int) -> None:
    if market not in world.markets or world.mode(market) == HALTED:
        raise Refused
    order = world.orders.get((market, number))
    trigger = world.triggers.get((market, number))
    if order and order.owner == owner:
        del world.orders[market, number]
    elif trigger and trigger.owner == owner:
        del world.triggers[market, number]
    else:
        raise Refused


def cancel_all(world: World, owner: bytes, market: int) -> None:
    if market not in world.markets or world.mode(market) == HALTED:
        raise Refused
    for key, order in list(world.orders.items()):
        if key[0] == market and order.owner == owner:
            del world.orders[key]
    for key, trigger in list(world.triggers.items()):
        if key[0] == market and trigger.owner == owner:
            del world.triggers[key]


def match(
    world: World,
    taker: bytes,
    market: int,
    size: int,
    bound: int,
    *,
    vault_part: VaultPart | None = None,
) -> Met:
    """Meet makers by price, then time, at their prices, up to `bound`."""
    left, removed = size, 0
    while left:
        number = best_maker(world, market, size)
        if number is None or not _crosses(size, bound, world.orders[market, number].price):
            return Met(size - left, removed, Stop.NO_MAKER)
        if removed >= world.params.maker_removals_max:
            return Met(size - left, removed, Stop.REMOVALS)
        maker = world.orders[market, number]
        if maker.owner == taker:
            del world.orders[market, number]  # O2: cancel maker
            removed += 1
            continue
        lots = sign(size) * min(abs(left), abs(maker.size))
        funding.settle(world, taker, market)
        funding.settle(world, maker.owner, market)
        settled = world.save()
        part = vault_part(lots, maker.price) if vault_part else 0
        if part is None:
            return Met(size - left, removed, Stop.VAULT)
        if _leads_past(world, maker.owner, market, -lots):  # O7
            del world.orders[market, number]
            removed += 1
            continue
        if _leads_past(world, taker, market, lots):
            return Met(size - left, removed, Stop.TAKER)
        interest = open_interest(world, market)
        before_taker, before_maker = risk_of(world, taker), risk_of(world, maker.owner)
        _fill(world, taker, market, number, lots, liquidation=vault_part is not None)
        if vault_part:
            _pay_vault(world, taker, part)
        after_maker = risk_of(world, maker.owner)
        if not may_fill(before_maker, after_maker, initial=after_maker.initial):
            world.restore(settled)
            del world.orders[market, number]  # G4: and matching goes on
            removed += 1
            continue
        after_taker = risk_of(world, taker, adding=market)
        if taker == VAULT:
            # L5: no entry that lowers the vault's equity leaves it below 0.
            allowed = after_taker.equity >= min(0, before_taker.equity)
        else:
            allowed = vault_part is not None or may_fill(
                before_taker, after_taker, initial=after_taker.initial_scaled
            )
        cap = world.market_params[market].open_interest_max
        if not allowed or max(interest, cap) < open_interest(world, market):  # O7
            world.restore(settled)
            return Met(size - left, removed, Stop.TAKER)
        if vault_part is None and taker != VAULT:
            world.change_market(market, last=maker.price)  # P3
        left -= lots
        removed += (market, number) not in world.orders
    return Met(size, removed, Stop.WHOLE)


def best_maker(world: World, market: int, size: int) -> int | None:
    """The first order that a taker of this sign would meet."""
    opposing = [
        (-order.price if size < 0 else order.price, number)
        for (where, number), order in world.orders.items()
        if where == market and order.size * size < 0
    ]
    return min(opposing)[1] if opposing else None


def _crosses(size: int, price: int, maker_price: int) -> bool:
    return maker_price <= price if size > 0 else maker_price >= price


def _check(world: World, owner: bytes, request: OrderRequest, *, strictest: int) -> Lots:
    """What needs no book; return the size that the order may have."""
    if request.market not in world.markets or world.mode(request.market) > strictest:
        raise Refused
    if request.size == 0 or abs(request.size) > LIMIT or world.markets[request.market].price == 0:
        raise Refused
    if not request.reduce_only:
        _check_position(world, owner, request.market, request.size)
        return request.size
    size = reducible(world, owner, request.market, request.size)
    if size == 0:
        raise Refused
    return Lots(size)


def _check_position(world: World, owner: bytes, market: int, size: int) -> None:
    """O7: with all that rests on this side filled, the position stays within its maximum."""
    resting = sum(
        order.size
        for _, order in world.orders_of(market, owner)
        if order.size * size > 0 and not order.reduce_only
    )
    if _leads_past(world, owner, market, resting + size):
        raise Refused


def _leads_past(world: World, owner: bytes, market: int, change: int) -> bool:
    """O7: whether the change leads the position past its maximum, on the side it leads to."""
    led_to = sign(change) * (world.position(owner, market).size + change)
    return led_to > world.market_params[market].position_max


def _check_value(world: World, owner: bytes, market: int, size: int, price: int) -> None:
    """O7: a minimum value, except for closing in full."""
    params = world.market_params[market]
    closes = world.position(owner, market).size + size == 0
    if not closes and abs(size) * price * params.k < params.order_value_min:
        raise Refused


def _number(world: World, market: int) -> int:
    number = world.markets[market].next_id
    world.change_market(market, next_id=number + 1)
    return number


def _cross(world: World, owner: bytes, request: OrderRequest) -> None:
    """Match and decide about the rest; refused only if it would change nothing at all.

    RULES is silent about a taker that fails in the middle. Read: G3 tests each fill, so what was
    filled stands; and G4 says that a failing maker is cancelled, so that stands too.
    """
    market, size, price = request.market, request.size, request.price
    number = _number(world, market)
    band = band_limit(world, market, size)
    met = match(world, owner, market, size, min(price, band) if size > 0 else max(price, band))
    rest = size - met.filled
    if not rest:
        return
    best = best_maker(world, market, size)
    is_aggressive = best is not None and _crosses(size, price, world.orders[market, best].price)
    if (
        met.stop == Stop.NO_MAKER
        and not is_aggressive
        and request.time_in_force == TimeInForce.GTC
        and _rest(world, owner, number, request._replace(size=rest))  # type: ignore[arg-type]
    ):
        return
    if not met.changed:
        raise Refused


def _rest(world: World, owner: bytes, number: int, request: OrderRequest) -> bool:
    """G3: an order may rest if it is reduce-only or its account can carry it."""
    before = risk_of(world, owner, adding=request.market)
    key = (int(request.market), number)
    world.orders[key] = Order(owner, request.size, request.price, request.reduce_only, world.height)
    after = risk_of(world, owner, adding=request.market)
    if request.reduce_only or may_rest(before, after):
        return True
    del world.orders[key]
    return False


def _fill(
    world: World, taker: bytes, market: int, number: int, lots: int, *, liquidation: bool
) -> None:
    """One fill: money, fees, positions, the book (M2, O2, O3)."""
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
        shrink(world, owner, market)


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


def shrink(world: World, owner: bytes, market: int) -> None:
    """O2: resting reduce-only orders follow their owner's position.

    Triggers that oppose nothing any more leave too: O1 attaches them to the position.
    """
    for number, order in world.orders_of(market, owner):
        if order.reduce_only:
            size = reducible(world, owner, market, order.size)
            if size:
                world.orders[market, number] = order._replace(size=size)
            else:
                del world.orders[market, number]
    for key, trigger in list(world.triggers.items()):
        is_here = key[0] == market and trigger.owner == owner
        if is_here and not reducible(world, owner, market, trigger.size):
            del world.triggers[key]


def _pay_vault(world: World, account: bytes, amount: int) -> None:
    from tests.reference.vault import pay_vault  # they need each other

    pay_vault(world, account, amount)
