"""X2 and X4, and the mode table's test of what rests."""

import math

from tests.reference import funding
from tests.reference.following import remove
from tests.reference.funding import impact_prices
from tests.reference.mark import has_say
from tests.reference.prices import fresh_reports
from tests.reference.world import CANCEL_ONLY, CHAIN, HALTED, OPEN, POST_ONLY, World, ppm


def close_gap(world: World) -> None:
    """A block gap over gap_limit_ms is chain-wide; block 1 has none."""
    if not is_gap(world):
        return
    chain = world.chain._replace(gap_end_ms=world.time_ms)
    if world.time_ms - world.parent_time_ms > world.params.withdrawal_gap_ms:
        until = world.time_ms + world.params.withdrawal_gate_ms
        chain = chain._replace(withdrawals_from_ms=max(until, chain.withdrawals_from_ms))
    world.chain = chain
    if chain.mode < CANCEL_ONLY:
        enter_chain(world, CANCEL_ONLY)
    for market in world.markets:
        _close(world, market)


def is_gap(world: World) -> bool:
    return world.height > 1 and world.time_ms - world.parent_time_ms > world.params.gap_ms_max


def close_alarmed(world: World) -> None:
    """STALE and JUMP close their market."""
    for market, state in world.markets.items():
        if state.stale or state.jump:
            _close(world, market)


def _close(world: World, market: int) -> None:
    state = world.markets[market]
    if state.mode == HALTED:
        return
    world.change_market(market, quorum_ms=0, quorum_blocks=0)
    if state.mode == OPEN:
        funding.forget(world, market)
    if state.mode != CANCEL_ONLY:
        enter(world, market, CANCEL_ONLY)


def enter(world: World, market: int, mode: int) -> None:
    """A market's way out of CANCEL_ONLY begins anew whenever its mode changes."""
    world.change_market(
        market,
        mode=mode,
        since_ms=world.time_ms,
        since_height=world.height,
        quorum_ms=0,
        quorum_blocks=0,
    )


def enter_chain(world: World, mode: int) -> None:
    world.chain = world.chain._replace(mode=mode, since_ms=world.time_ms, since_height=world.height)


def limits(oracle: int) -> tuple[int, int]:
    """The highest buy and the lowest sell of POST_ONLY: 5 bps around the oracle."""
    return math.floor(oracle * (1 + ppm(500))), math.ceil(oracle * (1 - ppm(500)))


def test_resting(world: World) -> None:
    """In POST_ONLY the aggressive resting orders are cancelled each block; triggers stay."""
    for (market, number), order in list(world.orders.items()):
        if world.mode(market) == POST_ONLY:
            highest_buy, lowest_sell = limits(world.markets[market].price)
            if order.price > highest_buy if order.size > 0 else order.price < lowest_sell:
                remove(world, market, number)


def reopen(world: World) -> None:
    """One step toward OPEN, in force from the next block.

    RULES is silent about the chain's own way back. Read: it has no prices of its own, so it goes
    to POST_ONLY with a market that does or did, and to OPEN by time and blocks alone. What the
    council holds goes no further than that, and what it set in this block stays out of it.
    """
    was = world.chain
    if was.mode == HALTED or was.halt_height == world.height:
        return
    is_any_beyond = False
    for market, state in list(world.markets.items()):
        if market in world.decrees:
            continue
        is_any_beyond = is_any_beyond or state.mode < CANCEL_ONLY
        if state.mode == CANCEL_ONLY:
            _count_quorum(world, market)
            if state.held <= POST_ONLY and _is_confirmed(world, market):
                enter(world, market, POST_ONLY)
                is_any_beyond = True
        elif (
            state.mode == POST_ONLY
            and state.held == OPEN
            and _is_seasoned(world, state.since_ms, state.since_height)
            and _has_book(world, market, state.since_ms)
        ):
            enter(world, market, OPEN)
    if CHAIN in world.decrees:
        return
    if was.mode == CANCEL_ONLY and was.held <= POST_ONLY and is_any_beyond:
        enter_chain(world, POST_ONLY)
    is_free = was.mode == POST_ONLY and was.held == OPEN
    if is_free and _is_seasoned(world, was.since_ms, was.since_height):
        enter_chain(world, OPEN)


def _count_quorum(world: World, market: int) -> None:
    """A quorum's time begins with 0 at its first block."""
    state = world.markets[market]
    after_gap = [
        each for each in fresh_reports(world, market) if each.observed_ms >= world.chain.gap_end_ms
    ]
    alarm = state.stale or state.jump is not None
    if alarm or len(after_gap) < world.params.reporter_quorum:
        world.change_market(market, quorum_ms=0, quorum_blocks=0)
    else:
        more = world.time_ms - world.parent_time_ms if state.quorum_blocks else 0
        world.change_market(
            market, quorum_ms=state.quorum_ms + more, quorum_blocks=state.quorum_blocks + 1
        )


def _is_confirmed(world: World, market: int) -> bool:
    state = world.markets[market]
    return state.quorum_blocks >= 3 and state.quorum_ms >= world.params.confirm_ms


def _is_seasoned(world: World, since_ms: int, since_height: int) -> bool:
    return world.time_ms - since_ms >= world.params.reopen_ms and world.height - since_height >= 5


def _has_book(world: World, market: int, since_ms: int) -> bool:
    if not world.params.reopen_needs_book:
        return True
    bid, ask = impact_prices(world, market)
    return has_say(world, market, bid, ask) or world.time_ms - since_ms >= world.params.book_wait_ms
