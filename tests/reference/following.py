"""O1, O2, O5: what leaves, and what follows a position, a parent order or a pair's other leg."""

from tests.reference.world import Trigger, World, sign

Key = tuple[int, int]


def reducible(world: World, owner: bytes, market: int, size: int) -> int:
    """O2: capped to the position; 0 if it opposes none."""
    held = world.position(owner, market).size
    return sign(size) * min(abs(size), abs(held)) if held * size < 0 else 0


def remove(world: World, market: int, number: int) -> None:
    """An order or trigger leaves, if it is still there; the pair's other leg stays, alone."""
    if (market, number) in world.orders:
        del world.orders[market, number]
        orphan(world, market, number)
    elif (market, number) in world.triggers:
        other = market, world.triggers.pop((market, number)).other
        if other in world.triggers:
            world.triggers[other] = world.triggers[other]._replace(other=0)


def shrink(world: World, owner: bytes, market: int) -> None:
    """O2: resting reduce-only orders follow their owner's position.

    Triggers that oppose nothing any more leave too: O1 attaches them to the position. What waits
    for a parent's fills waits for the position that they make.
    """
    for number, order in world.orders_of(market, owner):
        if order.reduce_only:
            size = reducible(world, owner, market, order.size)
            if size:
                world.orders[market, number] = order._replace(size=size)
            else:
                remove(world, market, number)
    for key in [key for key, each in world.triggers.items() if each.owner == owner]:
        if key[0] == market and key in world.triggers:
            stay(world, key, world.triggers[key])


def stay(world: World, key: Key, trigger: Trigger) -> bool:
    """Let a trigger stand beside its owner's position, as far as it may; tell whether it does."""
    world.triggers[key] = trigger
    active = trigger.active
    if trigger.reduce_only and active and not reducible(world, trigger.owner, key[0], active):
        if not trigger.pending:
            remove(world, *key)
            return False
        world.triggers[key] = trigger._replace(size=trigger.size - active)
    return True


# --- O1: legs and their parent --------------------------------------------------------------------


def _legs_of(world: World, market: int, parent: int) -> list[Key]:
    return [
        key
        for key, each in sorted(world.triggers.items())
        if key[0] == market and each.parent == parent
    ]


def activate(world: World, market: int, parent: int, lots: int) -> None:
    """A fill of the parent lets its legs close as much."""
    if parent:
        for key in _legs_of(world, market, parent):
            leg = world.triggers[key]
            pending = max(0, leg.pending - abs(lots))
            world.triggers[key] = leg._replace(pending=pending, parent=parent if pending else 0)


def hand_over(world: World, market: int, parent: int, number: int, size: int) -> None:
    """The parent became another order: its legs wait for no more than that has."""
    for key in _legs_of(world, market, parent):
        leg = world.triggers[key]
        pending = min(leg.pending, abs(size))
        left = leg.active + sign(leg.size) * pending
        world.triggers[key] = leg._replace(size=left, pending=pending, parent=number)


def orphan(world: World, market: int, parent: int) -> None:
    """What the parent did not fill leaves with it; what is active stays."""
    for key in _legs_of(world, market, parent):
        leg = world.triggers[key]
        if leg.active:
            world.triggers[key] = leg._replace(size=leg.active, parent=0, pending=0)
        else:
            remove(world, *key)
