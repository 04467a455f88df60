"""O1: an order is changed; only a smaller size at the same price keeps its priority."""

from node.perp.order import OrderRequest, TimeInForce
from node.units import Lots, MarketId, Ticks, TimeMs
from tests.reference import placing
from tests.reference.following import hand_over
from tests.reference.limits import check_value, find_client
from tests.reference.margin import risk_of
from tests.reference.world import HALTED, LIMIT, Order, Refused, World


def amend(world: World, owner: bytes, market: int, number: int, size: int, price: int) -> int:
    """Anything but a smaller size is a new order, through all the tests of one, at a new number."""
    order = _own(world, owner, market, number)
    if size * order.size <= 0 or abs(size) > LIMIT:
        raise Refused
    if price == order.price and abs(size) <= abs(order.size):
        if size != order.size:
            shrink_order(world, owner, market, number, size)
        return number
    before = risk_of(world, owner, adding=market)
    del world.orders[market, number]
    force = TimeInForce.GTT if order.expires_ms else TimeInForce.GTC
    request = OrderRequest(
        MarketId(market),
        Lots(size),
        Ticks(price),
        TimeInForce.POST_ONLY if order.post_only else force,
        order.reduce_only,
        TimeMs(order.expires_ms),
        order.client_id,
    )
    return placing.place_instead(world, owner, request, placing.Replaced(number, before))


def amend_client(world: World, owner: bytes, client_id: int, size: int, price: int) -> int:
    key = find_client(world, owner, client_id)
    if key is None:
        raise Refused
    return amend(world, owner, *key, size, price)


def shrink_order(world: World, owner: bytes, market: int, number: int, size: int) -> None:
    """No more than a partial cancel, wherever one may cancel."""
    order = _own(world, owner, market, number)
    if world.mode(market) == HALTED:
        raise Refused
    if size * order.size <= 0 or abs(size) >= abs(order.size):
        raise Refused
    check_value(world, owner, market, size, order.price)
    world.orders[market, number] = order._replace(size=size)
    hand_over(world, market, number, number, size)


def _own(world: World, owner: bytes, market: int, number: int) -> Order:
    order = world.orders.get((market, number))
    if order is None or order.owner != owner:
        raise Refused
    return order
