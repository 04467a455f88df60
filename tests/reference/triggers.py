"""O5: take-profit and stop-loss."""

import math

from node.perp.order import TriggerKind, TriggerRequest
from tests.reference.matching import LIMIT, band_limit, match, reducible
from tests.reference.world import OPEN, Refused, Trigger, World, ppm


def place_trigger(world: World, owner: bytes, request: TriggerRequest) -> None:
    market = request.market
    if market not in world.markets or world.mode(market) != OPEN:
        raise Refused
    if request.size == 0 or abs(request.size) > LIMIT or not 0 < request.trigger_price <= LIMIT:
        raise Refused
    if world.markets[market].price == 0 or not reducible(world, owner, market, request.size):
        raise Refused
    number = world.markets[market].next_id
    world.change_market(market, next_id=number + 1)
    world.triggers[market, number] = Trigger(
        owner, request.size, request.trigger_price, request.kind, 0
    )


def is_reached(trigger: Trigger, mark: int) -> bool:
    """A stop that sells and a target that buys fire below, the others above; inclusive."""
    below = (trigger.kind == TriggerKind.STOP_LOSS) == (trigger.size < 0)
    return mark <= trigger.price if below else mark >= trigger.price


def fire(world: World) -> None:
    for (market, number), trigger in sorted(world.triggers.items()):
        mark = world.markets[market].mark
        if world.may_act(market) and not trigger.fired_mark and is_reached(trigger, mark):
            world.triggers[market, number] = trigger._replace(fired_mark=mark)


def try_fired(world: World) -> None:
    """Ahead of takers, each block until filled whole or nothing is left to reduce."""
    acted = 0
    for market, number in sorted(world.triggers):
        trigger = world.triggers.get((market, number))
        if trigger is None or not trigger.fired_mark or not world.may_act(market):
            continue
        if acted >= world.params.triggers_max:
            return
        acted += _try(world, market, number, trigger)


def _try(world: World, market: int, number: int, trigger: Trigger) -> bool:
    size = reducible(world, trigger.owner, market, trigger.size)
    if size == 0:
        del world.triggers[market, number]
        return True
    far, band = ppm(100_000), band_limit(world, market, size)
    if size > 0:
        bound = min(math.floor(trigger.fired_mark * (1 + far)), band)
    else:
        bound = max(math.ceil(trigger.fired_mark * (1 - far)), band)
    del world.triggers[market, number]  # while it trades
    met = match(world, trigger.owner, market, size, bound)
    if met.filled != size:
        left = trigger.size - met.filled
        world.triggers[market, number] = trigger._replace(size=left)
    return met.changed
