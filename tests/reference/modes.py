"""X2 and X4, and the mode table's test of what rests."""

import math

from tests.reference.funding import base_rate, impact_prices
from tests.reference.mark import has_say
from tests.reference.prices import fresh_reports
from tests.reference.world import CANCEL_ONLY, HALTED, OPEN, POST_ONLY, World, ppm


def close_gap(world: World) -> None:
    """A block gap over gap_limit_ms is chain-wide; block 1 has none."""
    gap = world.time_ms - world.parent_time_ms
    if world.height == 1 or gap <= world.params.gap_ms_max or world.chain.mode == HALTED:
        return
    chain = world.chain._replace(gap_end_ms=world.time_ms)
    if gap > world.params.withdrawal_gap_ms:
        until = world.time_ms + world.params.withdrawal_gate_ms
        chain = chain._replace(withdrawals_from_ms=max(until, chain.withdrawals_from_ms))
    if chain.mode != CANCEL_ONLY:
        chain = chain._replace(mode=CANCEL_ONLY, since_ms=world.time_ms, since_height=world.height)
    world.chain = chain
    for market in world.markets:
        _close(world, market)


def close_alarmed(world: World) -> None:
    """STALE and JUMP close their market."""
    for market, state in world.markets.items():
        if state.stale or state.jump:
            _close(world, market)


def _close(world: World, market: int) -> None:
    state = world.markets[market]
    if state.mode == HALTED:
        return
    world.change_market(market, quorum=())
    if state.mode == OPEN:  # F2: leaving OPEN forgets the samples and the rate
        world.change_market(market, premium_sum=0, rate=base_rate(world.market_params[market]))
    if state.mode != CANCEL_ONLY:
        _enter(world, market, CANCEL_ONLY)


def _enter(world: World, market: int, mode: int) -> None:
    world.change_market(market, mode=mode, since_ms=world.time_ms, since_height=world.height)


def limits(oracle: int) -> tuple[int, int]:
    """The highest buy and the lowest sell of POST_ONLY: 5 bps around the oracle."""
    return math.floor(oracle * (1 + ppm(500))), math.ceil(oracle * (1 - ppm(500)))


def test_resting(world: World) -> None:
    """In POST_ONLY the aggressive resting orders are cancelled each block; triggers stay."""
    for (market, number), order in list(world.orders.items()):
        if world.mode(market) == POST_ONLY:
            highest_buy, lowest_sell = limits(world.markets[market].price)
            if order.price > highest_buy if order.size > 0 else order.price < lowest_sell:
                del world.orders[market, number]


def reopen(world: World) -> None:
    """One step toward OPEN, in force from the next block.

    RULES is silent about the chain's own way back. Read: it has no prices of its own, so it goes
    to POST_ONLY with the first market that does, and to OPEN by time and blocks alone.
    """
    if world.chain.mode == HALTED:
        return
    was = world.chain
    for market, state in list(world.markets.items()):
        _count_quorum(world, market)
        if state.mode == CANCEL_ONLY and _is_confirmed(world, market):
            _enter(world, market, POST_ONLY)
            if world.chain.mode == CANCEL_ONLY:
                _enter_chain(world, POST_ONLY)
        elif (
            state.mode == POST_ONLY
            and _is_seasoned(world, state.since_ms, state.since_height)
            and _has_book(world, market, state.since_ms)
        ):
            _enter(world, market, OPEN)
    if was.mode == POST_ONLY and _is_seasoned(world, was.since_ms, was.since_height):
        _enter_chain(world, OPEN)


def _enter_chain(world: World, mode: int) -> None:
    world.chain = world.chain._replace(mode=mode, since_ms=world.time_ms, since_height=world.height)


def _count_quorum(world: World, market: int) -> None:
    state = world.markets[market]
    after_gap = [
        each for each in fresh_reports(world, market) if each.observed_ms >= world.chain.gap_end_ms
    ]
    alarm = state.stale or state.jump is not None
    if alarm or len(after_gap) < world.params.reporter_quorum:
        world.change_market(market, quorum=())
    else:
        run = (*state.quorum, (world.height, world.time_ms))
        world.change_market(market, quorum=run if len(run) <= 4 else (run[0], *run[-3:]))


def _is_confirmed(world: World, market: int) -> bool:
    run = world.markets[market].quorum
    return len(run) >= 3 and world.time_ms - run[0][1] >= world.params.confirm_ms


def _is_seasoned(world: World, since_ms: int, since_height: int) -> bool:
    return world.time_ms - since_ms >= world.params.reopen_ms and world.height - since_height >= 5


def _has_book(world: World, market: int, since_ms: int) -> bool:
    if not world.params.reopen_needs_book:
        return True
    bid, ask = impact_prices(world, market)
    return has_say(world, market, bid, ask) or world.time_ms - since_ms >= world.params.book_wait_ms
