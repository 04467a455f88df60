"""O1: what is taken back, by its owner, by time or by the council; whoever goes silent."""

from node.perp.order import CancelFilter
from tests.reference.following import remove
from tests.reference.limits import check_future, find_client
from tests.reference.world import HALTED, Refused, World

Key = tuple[int, int]


def cancel(world: World, owner: bytes, market: int, number: int) -> None:
    _check_market(world, market)
    key = market, number
    found = world.orders.get(key) or world.triggers.get(key)
    if found is None or found.owner != owner:
        raise Refused
    remove(world, market, number)


def cancel_client(world: World, owner: bytes, client_id: int) -> None:
    key = find_client(world, owner, client_id)
    if key is None:
        raise Refused
    cancel(world, owner, *key)


def cancel_all(world: World, owner: bytes, market: int) -> int:
    """Return how many there were."""
    _check_market(world, market)
    return _clear(world, owner, [market])


def cancel_everything(world: World, owner: bytes) -> int:
    """All that may be cancelled now: what is in a HALTED market stays."""
    if world.chain.mode == HALTED:
        raise Refused
    return _clear(world, owner, _awake(world))


def cancel_filtered(world: World, code: int, market: int, account: bytes) -> int:
    """What the council says, in any mode; a filter names what it needs, and nothing else."""
    if code not in tuple(CancelFilter):
        raise Refused
    if (market != 0) != (code == CancelFilter.MARKET):
        raise Refused
    if any(account) != (code == CancelFilter.ACCOUNT):
        raise Refused
    if market and market not in world.markets:
        raise Refused
    chosen = [*world.orders]
    if code != CancelFilter.ALL_BUT_TRIGGERS:
        chosen += world.triggers
    chosen = [
        key
        for key in chosen
        if market in (0, key[0])
        and account in (bytes(20), (world.orders.get(key) or world.triggers[key]).owner)
    ]
    for key in chosen:
        remove(world, *key)
    return len(chosen)


# --- by time --------------------------------------------------------------------------------------


def set_deadline(world: World, owner: bytes, cancel_at_ms: int) -> None:
    """Arm, renew or, with 0, disarm the dead-man's cancel."""
    if cancel_at_ms:
        check_future(world, cancel_at_ms)
        world.deadlines[owner] = cancel_at_ms
    else:
        world.deadlines.pop(owner, None)


def expire(world: World) -> None:
    """In every mode but HALTED: what is over, then all of those who went silent."""
    if world.chain.mode == HALTED:
        return
    for key in [*world.orders, *world.triggers]:
        found = world.orders.get(key) or world.triggers.get(key)
        is_over = found and 0 < found.expires_ms <= world.time_ms
        if is_over and world.mode(key[0]) != HALTED:
            remove(world, *key)
    for owner, cancel_at_ms in list(world.deadlines.items()):
        if cancel_at_ms <= world.time_ms:
            _clear(world, owner, _awake(world))
            if not _open_of(world, owner, list(world.markets)):  # else it waits for HALTED markets
                del world.deadlines[owner]


def _awake(world: World) -> list[int]:
    return [market for market in world.markets if world.mode(market) != HALTED]


def _open_of(world: World, owner: bytes, markets: list[int]) -> list[Key]:
    return [
        key
        for open_ones in (world.orders, world.triggers)
        for key, each in open_ones.items()
        if each.owner == owner and key[0] in markets
    ]


def _clear(world: World, owner: bytes, markets: list[int]) -> int:
    keys = _open_of(world, owner, markets)
    for key in keys:
        remove(world, *key)
    return len(keys)


def _check_market(world: World, market: int) -> None:
    if market not in world.markets or world.mode(market) == HALTED:
        raise Refused
