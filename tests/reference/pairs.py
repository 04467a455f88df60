"""O1: pairs of a take-profit and a stop-loss, of which one trades."""

from node.perp.order import OrderRequest, TriggerKind, TriggerRequest
from node.perp.pair import PairLeg, PairRequest
from node.units import Lots
from tests.reference import placing
from tests.reference.following import stay
from tests.reference.limits import check_room, take_number
from tests.reference.triggers import check_trigger
from tests.reference.world import Refused, Trigger, World

Ids = tuple[int, ...]


def attach_to_position(world: World, owner: bytes, request: PairRequest) -> Ids:
    return _attach(world, owner, request, parent=0, pending=0)


def attach_to_order(world: World, owner: bytes, parent: int, request: PairRequest) -> Ids:
    """The pair closes what the order will open: at most what remains of it."""
    order = world.orders.get((request.market, parent))
    if order is None or order.owner != owner or order.reduce_only:
        raise Refused
    if order.size * request.size >= 0 or abs(request.size) > abs(order.size):
        raise Refused
    return _attach(world, owner, request, parent=parent, pending=abs(request.size))


def place_with_pair(
    world: World, owner: bytes, request: OrderRequest, take_profit: PairLeg, stop_loss: PairLeg
) -> Ids:
    """An order and the pair that closes it, together or not at all; what fills at once is active.

    The pair expires with the order.
    """
    market = request.market
    if request.reduce_only:
        raise Refused
    before = world.position(owner, market).size
    number = placing.place(world, owner, request)
    filled = world.position(owner, market).size - before
    rests = (market, number) in world.orders
    left = world.orders[market, number].size if rests else 0
    if filled + left == 0:
        raise Refused
    both = PairRequest(market, Lots(-filled - left), take_profit, stop_loss, request.expires_ms)
    parent = number if rests else 0
    return (number, *_attach(world, owner, both, parent=parent, pending=abs(left)))


def _attach(world: World, owner: bytes, request: PairRequest, *, parent: int, pending: int) -> Ids:
    market, size = request.market, request.size
    if market not in world.markets:
        raise Refused
    check_room(world, owner, 2)
    first = world.markets[market].next_id
    for leg, kind, other in (
        (request.take_profit, TriggerKind.TAKE_PROFIT, first + 1),
        (request.stop_loss, TriggerKind.STOP_LOSS, first),
    ):
        asked = TriggerRequest(
            market,
            size,
            leg.trigger_price,
            kind,
            leg.limit_price,
            expires_ms=request.expires_ms,
            client_id=leg.client_id,
        )
        check_trigger(world, owner, asked)
        trigger = Trigger(
            owner,
            size,
            leg.trigger_price,
            kind,
            limit_price=leg.limit_price,
            expires_ms=request.expires_ms,
            client_id=leg.client_id,
            other=other,
            parent=parent,
            pending=pending,
        )
        if not stay(world, (market, take_number(world, owner, market)), trigger):
            raise Refused
    return first, first + 1
