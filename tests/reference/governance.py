"""X1, X3, X5 and the modes that the council sets: decided first in a block, obeyed at its end."""

from tests.reference import funding, modes
from tests.reference.cancelling import cancel_filtered
from tests.reference.following import remove
from tests.reference.prices import acknowledge, is_within
from tests.reference.world import (
    CANCEL_ONLY,
    CHAIN,
    HALTED,
    LIMIT,
    OPEN,
    Decree,
    Refused,
    Window,
    World,
    ppm,
)

__all__ = ["acknowledge", "cancel_filtered", "halt", "resume", "schedule", "set_mode", "settle"]


def halt(world: World, height: int) -> None:
    """X1: HALTED from the end of that block on, 0: of this one; of several the earliest counts."""
    wanted = height or world.height
    if world.chain.mode == HALTED or wanted < world.height:
        raise Refused
    earliest = min(wanted, world.chain.halt_height or wanted)
    world.chain = world.chain._replace(halt_height=earliest)


def set_mode(world: World, market: int, mode: int) -> None:
    """A market's, or the chain's, which only a halt halts and only a resume resumes."""
    if mode not in range(4):
        raise Refused
    if market == CHAIN:
        if HALTED in (mode, world.chain.mode):
            raise Refused
    elif market not in world.markets or world.markets[market].settled_at:
        raise Refused
    world.decrees[market] = Decree(mode, held=mode)


def resume(world: World) -> None:
    """End a halt, and call off one that is due."""
    if world.chain.mode != HALTED and not world.chain.halt_height:
        raise Refused
    world.chain = world.chain._replace(halt_height=0)
    if world.chain.mode == HALTED:
        world.decrees[CHAIN] = Decree(CANCEL_ONLY, held=OPEN)


def schedule(world: World, start_height: int, halt_height: int, end_ms: int) -> None:
    """X3: one window, in place of one that has not begun; of one that has, only the end moves.

    All zeros call off one that has not begun.
    """
    wanted, current = Window(start_height, halt_height, end_ms), world.window
    has_begun = current is not None and world.height >= current.start_height
    if wanted == (0, 0, 0) and current and not has_begun:
        world.window = None
        return
    if not start_height < halt_height <= LIMIT or not world.time_ms < end_ms <= LIMIT:
        raise Refused
    if has_begun:
        if current and (start_height, halt_height) != current[:2]:
            raise Refused
    elif start_height <= world.height:
        raise Refused
    world.window = wanted


def maintain(world: World) -> None:
    """X3: OPEN → CANCEL_ONLY → HALTED at the window's heights, and back from its end on.

    The end is a time, for a HALTED chain has no heights. A halt that the council made itself is
    not the window's to end, and nor is a stricter mode.
    """
    window, chain = world.window, world.chain
    if window is None:
        return
    if world.height > window.start_height and world.time_ms >= window.end_ms:
        world.window = None
        if chain.mode != HALTED:
            world.decrees[CHAIN] = Decree(chain.mode, held=OPEN)
        elif chain.since_height == window.halt_height:
            resume(world)
    elif world.height == window.start_height:
        world.decrees[CHAIN] = Decree(max(chain.mode, CANCEL_ONLY), held=CANCEL_ONLY)
    elif world.height == window.halt_height and chain.mode != HALTED:
        halt(world, world.height)


def settle(world: World, market: int, price: int, *, is_named: bool) -> None:
    """X5: a market ends at one price, within max_move of the last accepted or named as it is."""
    if market not in world.markets or world.markets[market].settled_at:
        raise Refused
    last, move_max = world.markets[market].price, world.market_params[market].price_move_ppm_max
    if not 0 < price <= LIMIT or not (is_named or is_within(price, last, ppm(move_max))):
        raise Refused
    for where, number in [*world.orders, *world.triggers]:
        if where == market:
            remove(world, where, number)
    holders = [owner for owner, where in world.positions if where == market]
    for owner in holders:
        funding.settle(world, owner, market)
    k = world.k(market)
    world.pay(*((owner, world.positions[owner, market].size * price * k) for owner in holders))
    for owner in holders:
        del world.positions[owner, market]
    if world.mode(market) == OPEN:
        funding.forget(world, market)
    world.change_market(market, settled_at=price)
    world.decrees[market] = Decree(HALTED, held=HALTED)
    if world.markets[market].mode != HALTED:
        modes.enter(world, market, HALTED)


def obey(world: World) -> None:
    """At a block's end the modes that the council set, and a halt that is due, are in force.

    Nobody opens what is under an alarm: the gap of this block, a STALE or jumped price, the end of
    a halt. Such a decree leads to CANCEL_ONLY, and X2 goes on from there.
    """
    was = {market: world.mode(market) for market in world.markets}
    decrees, world.decrees = world.decrees, {}
    is_gap = modes.is_gap(world)
    chain_decree = decrees.pop(CHAIN, None)
    is_resumed = world.chain.mode == HALTED and chain_decree is not None
    if chain_decree:
        mode = max(chain_decree.mode, CANCEL_ONLY) if is_gap else chain_decree.mode
        world.chain = world.chain._replace(held=chain_decree.held)
        if mode != world.chain.mode:
            modes.enter_chain(world, mode)
    if is_resumed:
        world.chain = world.chain._replace(gap_end_ms=world.time_ms)
    for market, decree in decrees.items():
        state = world.markets[market]
        is_alarmed = state.stale or state.jump is not None or is_gap or is_resumed
        mode = max(decree.mode, CANCEL_ONLY) if is_alarmed else decree.mode
        world.change_market(market, held=decree.held)
        if mode != state.mode:
            modes.enter(world, market, mode)
    if is_resumed:
        for market, state in world.markets.items():
            if state.mode < CANCEL_ONLY:
                modes.enter(world, market, CANCEL_ONLY)
            world.change_market(market, quorum_ms=0, quorum_blocks=0)
    if world.chain.halt_height == world.height:
        world.chain = world.chain._replace(halt_height=0)
        modes.enter_chain(world, HALTED)
    for market in world.markets:
        if was[market] == OPEN != world.mode(market):
            funding.forget(world, market)
