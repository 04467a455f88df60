"""O1 to O4, G3: an order is checked, numbered and matched; its rest rests, or not."""

from typing import NamedTuple

from node.perp.order import OrderRequest, TimeInForce
from node.units import Lots, Ticks
from tests.reference.following import hand_over, orphan, reducible
from tests.reference.limits import (
    check_client_id,
    check_future,
    check_position,
    check_room,
    check_value,
    take_number,
)
from tests.reference.margin import Risk, may_rest, risk_of
from tests.reference.matching import Met, Stop, band_limit, best_maker, crosses, match
from tests.reference.modes import limits
from tests.reference.world import LIMIT, OPEN, POST_ONLY, Order, Refused, World

IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
LASTING = (TimeInForce.GTT, TimeInForce.POST_ONLY)


class Replaced(NamedTuple):
    """The amended order that a new one stands for; it has left the book."""

    number: int
    before: Risk
    """Its owner's, while it was there."""


def place(world: World, owner: bytes, request: OrderRequest) -> int:
    """A limit order; return its number."""
    force = request.time_in_force
    if request.expires_ms or force == TimeInForce.GTT:
        if force not in LASTING:
            raise Refused
        check_future(world, request.expires_ms)
    check_client_id(world, owner, request.client_id)
    if force not in IMMEDIATE:
        check_room(world, owner, 1)
    return place_instead(world, owner, request, None)


def place_instead(
    world: World, owner: bytes, request: OrderRequest, replaced: Replaced | None
) -> int:
    """A limit order of its own, or in the place of one that was amended."""
    market, price = request.market, request.price
    passive = request.time_in_force == TimeInForce.POST_ONLY
    size = _check(world, owner, request, strictest=POST_ONLY if passive else OPEN)
    if not 0 < price <= LIMIT:
        raise Refused
    check_value(world, owner, market, size, price)
    if passive:
        _check_passive(world, market, size, price)
    number = take_number(world, owner, market)
    if replaced:
        hand_over(world, market, replaced.number, number, size)
    order = Order(
        owner,
        size,
        price,
        request.reduce_only,
        world.height,
        request.client_id,
        request.expires_ms,
        passive,
    )
    if not passive:
        _cross(world, market, number, order, request, replaced)
    elif not rest(world, market, number, order, replaced):
        raise Refused
    return number


def place_market(world: World, owner: bytes, market: int, size: int, *, reduce_only: bool) -> int:
    """A market order: the band is its limit, its value is counted at the mark."""
    request = OrderRequest(market, size, 1, TimeInForce.IOC, reduce_only)  # type: ignore[arg-type]
    size = _check(world, owner, request, strictest=OPEN)
    check_value(world, owner, market, size, world.markets[market].mark)
    price = Ticks(band_limit(world, market, size))
    number = take_number(world, owner, market)
    order = Order(owner, size, price, reduce_only, world.height)
    _cross(world, market, number, order, request._replace(price=price), None)
    return number


def _check(world: World, owner: bytes, request: OrderRequest, *, strictest: int) -> Lots:
    """What needs no book; return the size that the order may have."""
    if request.market not in world.markets or world.mode(request.market) > strictest:
        raise Refused
    if request.size == 0 or abs(request.size) > LIMIT or world.markets[request.market].price == 0:
        raise Refused
    if not request.reduce_only:
        check_position(world, owner, request.market, request.size)
        return request.size
    size = reducible(world, owner, request.market, request.size)
    if size == 0:
        raise Refused
    return Lots(size)


def _check_passive(world: World, market: int, size: int, price: int) -> None:
    """O2: post-only that would cross is rejected; in POST_ONLY it also keeps its distance."""
    best = best_maker(world, market, size)
    if best is not None and crosses(size, price, world.orders[market, best].price):
        raise Refused
    if world.mode(market) == POST_ONLY:
        highest_buy, lowest_sell = limits(world.markets[market].price)
        if price > highest_buy if size > 0 else price < lowest_sell:
            raise Refused


def _cross(
    world: World,
    market: int,
    number: int,
    order: Order,
    request: OrderRequest,
    replaced: Replaced | None,
) -> None:
    """Match and decide about the rest; refused only if it would change nothing at all.

    RULES is silent about a taker that fails in the middle. Read: G3 tests each fill, so what was
    filled stands; and G4 says that a failing maker is cancelled, so that stands too.
    """
    size, price = order.size, order.price
    band = band_limit(world, market, size)
    bound = min(price, band) if size > 0 else max(price, band)
    met = match(
        world, order.owner, market, size, bound, number=number, self_trade=request.self_trade
    )
    left = size - met.filled
    if not left:
        return
    if request.time_in_force == TimeInForce.FOK:
        raise Refused
    if (
        request.time_in_force not in IMMEDIATE
        and may_go_on(world, market, left, price, met)
        and rest(world, market, number, order._replace(size=left), replaced)
    ):
        return
    if not met.changed:
        raise Refused
    orphan(world, market, number)


def may_go_on(world: World, market: int, left: int, price: int, met: Met) -> bool:
    """Whether a taker's rest is passive now: O4 lets no part of it rest through the band."""
    best = best_maker(world, market, left)
    is_aggressive = best is not None and crosses(left, price, world.orders[market, best].price)
    return met.stop == Stop.NO_MAKER and not is_aggressive


def rest(
    world: World, market: int, number: int, order: Order, replaced: Replaced | None = None
) -> bool:
    """G3: an order may rest if it is reduce-only or its account can carry it."""
    before = replaced.before if replaced else risk_of(world, order.owner, adding=market)
    world.orders[market, number] = order
    after = risk_of(world, order.owner, adding=market)
    if order.reduce_only or may_rest(before, after):
        return True
    del world.orders[market, number]
    return False
