"""O5: take-profits, stop-losses and stop orders."""

import math

from node.perp.order import TriggerKind, TriggerRequest
from tests.reference import placing
from tests.reference.following import orphan, reducible, remove, shrink
from tests.reference.limits import (
    check_client_id,
    check_future,
    check_position,
    check_room,
    check_value,
    take_number,
)
from tests.reference.matching import band_limit, match
from tests.reference.world import LIMIT, OPEN, Order, Refused, Trigger, World, ppm


def place_trigger(world: World, owner: bytes, request: TriggerRequest) -> int:
    market, size = request.market, request.size
    check_trigger(world, owner, request)
    check_room(world, owner, 1)
    if request.reduce_only:
        if not reducible(world, owner, market, size):
            raise Refused
    else:
        worst = request.limit_price or request.trigger_price
        check_value(world, owner, market, size, worst, may_close=False)
    number = take_number(world, owner, market)
    world.triggers[market, number] = Trigger(
        owner,
        size,
        request.trigger_price,
        request.kind,
        limit_price=request.limit_price,
        reduce_only=request.reduce_only,
        expires_ms=request.expires_ms,
        client_id=request.client_id,
    )
    return number


def check_trigger(world: World, owner: bytes, request: TriggerRequest) -> None:
    """What every trigger and leg must be: numbers in range, time to come, an OPEN market."""
    market = request.market
    if market not in world.markets or world.mode(market) != OPEN or not world.markets[market].mark:
        raise Refused
    if request.size == 0 or abs(request.size) > LIMIT or not 0 < request.trigger_price <= LIMIT:
        raise Refused
    if not 0 <= request.limit_price <= LIMIT:
        raise Refused
    if request.expires_ms:
        check_future(world, request.expires_ms)
    check_client_id(world, owner, request.client_id)


def is_reached(trigger: Trigger, mark: int) -> bool:
    """A stop that sells and a target that buys fire below, the others above; inclusive."""
    below = (trigger.kind == TriggerKind.STOP_LOSS) == (trigger.size < 0)
    return mark <= trigger.price if below else mark >= trigger.price


def fire(world: World) -> None:
    """A leg fires once a part of it is active."""
    for (market, number), trigger in sorted(world.triggers.items()):
        mark = world.markets[market].mark
        is_waiting = trigger.active and not trigger.fired_mark
        if is_waiting and world.may_act(market) and is_reached(trigger, mark):
            world.triggers[market, number] = trigger._replace(fired_mark=mark)


def try_fired(world: World) -> None:
    """Ahead of takers; what only closes, each block until filled whole or nothing is left."""
    acted = 0
    for market, number in sorted(world.triggers):
        trigger = world.triggers.get((market, number))
        if trigger is None or not trigger.fired_mark or not world.may_act(market):
            continue
        if acted >= world.params.triggers_max:
            return
        attempt = _try_closing if trigger.reduce_only else _try_opening
        acted += attempt(world, market, number, trigger)


def _bound(world: World, market: int, trigger: Trigger) -> int:
    """The tightest of 10 % from the trigger's mark, O4's band, and its own limit."""
    far, band = ppm(100_000), band_limit(world, market, trigger.size)
    if trigger.size > 0:
        bound = min(math.floor(trigger.fired_mark * (1 + far)), band)
        return min(bound, trigger.limit_price or bound)
    bound = max(math.ceil(trigger.fired_mark * (1 - far)), band)
    return max(bound, trigger.limit_price)


def _try_closing(world: World, market: int, number: int, trigger: Trigger) -> bool:
    size = reducible(world, trigger.owner, market, trigger.active)
    if size == 0:
        if not trigger.pending:
            remove(world, market, number)
        return not trigger.pending
    bound = _bound(world, market, trigger)
    del world.triggers[market, number]  # while it trades
    met = match(world, trigger.owner, market, size, bound, number=number, other_leg=trigger.other)
    left = trigger._replace(size=trigger.size - met.filled)
    if left.size:
        world.triggers[market, number] = left._replace(other=0 if met.filled else left.other)
        if left.parent and (market, left.parent) not in world.orders:  # it met its own parent
            orphan(world, market, left.parent)
        shrink(world, trigger.owner, market)
    return met.changed


def _try_opening(world: World, market: int, number: int, trigger: Trigger) -> bool:
    """A stop order tries once; its rest comes to rest at its limit price, if it has one."""
    owner, limit = trigger.owner, trigger.limit_price
    del world.triggers[market, number]
    try:
        check_position(world, owner, market, trigger.size)
    except Refused:
        return True
    bound = _bound(world, market, trigger)
    met = match(world, owner, market, trigger.size, bound, number=number)
    left = trigger.size - met.filled
    if left and limit and placing.may_go_on(world, market, left, limit, met):
        resting = world.markets[market].next_id
        order = Order(
            owner, left, limit, False, world.height, trigger.client_id, trigger.expires_ms
        )
        if placing.rest(world, market, resting, order):
            world.change_market(market, next_id=resting + 1)
    return True
