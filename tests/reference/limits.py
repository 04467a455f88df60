"""O1, O7: client ids, times, and how much an account may have open, place and hold."""

from tests.reference.world import LIMIT, Refused, World, sign


def check_future(world: World, time_ms: int) -> None:
    if not world.time_ms < time_ms <= LIMIT:
        raise Refused


def find_client(world: World, owner: bytes, client_id: int) -> tuple[int, int] | None:
    """What the account has open under a client id, in whatever market."""
    for open_ones in (world.orders, world.triggers):
        for key, each in open_ones.items():
            if each.owner == owner and client_id and each.client_id == client_id:
                return key
    return None


def check_client_id(world: World, owner: bytes, client_id: int) -> None:
    """O1: unique per account while open; 0 is none."""
    if not 0 <= client_id <= LIMIT or find_client(world, owner, client_id):
        raise Refused


def check_room(world: World, owner: bytes, more: int) -> None:
    """O7: open orders, triggers and legs included, in all markets together."""
    held = sum(order.owner == owner for order in world.orders.values())
    held += sum(trigger.owner == owner for trigger in world.triggers.values())
    if held + more > world.params.open_orders_max:
        raise Refused


def check_value(
    world: World, owner: bytes, market: int, size: int, price: int, *, may_close: bool = True
) -> None:
    """O7: a minimum value, except for closing in full."""
    params = world.market_params[market]
    closes = may_close and world.position(owner, market).size + size == 0
    if not closes and abs(size) * price * params.k < params.order_value_min:
        raise Refused


def check_position(world: World, owner: bytes, market: int, size: int) -> None:
    """O7: with all that rests on this side filled, the position stays within its maximum."""
    resting = sum(
        order.size
        for _, order in world.orders_of(market, owner)
        if order.size * size > 0 and not order.reduce_only
    )
    if leads_past(world, owner, market, resting + size):
        raise Refused


def leads_past(world: World, owner: bytes, market: int, change: int) -> bool:
    """O7: whether the change leads the position past its maximum, on the side it leads to."""
    led_to = sign(change) * (world.position(owner, market).size + change)
    return led_to > world.market_params[market].position_max


def take_number(world: World, owner: bytes, market: int) -> int:
    """The next number of the market, for an order of so many that an account may place a block."""
    placed = world.placed.get(owner, 0) + 1
    if placed > world.params.actions_max:
        raise Refused
    world.placed[owner] = placed
    number = world.markets[market].next_id
    world.change_market(market, next_id=number + 1)
    return number
