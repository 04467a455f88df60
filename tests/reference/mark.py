"""P3: the mark, computed once a block before anything trades."""

import math
from fractions import Fraction

from tests.reference.funding import elapsed_ms, impact_prices
from tests.reference.world import OPEN, Sample, World, ppm

WINDOW_MS = 150_000


def set_marks(world: World) -> None:
    for market, state in list(world.markets.items()):
        if world.mode(market) != OPEN:  # leaving OPEN clears B and last
            world.change_market(market, mark=state.price, last=0, samples=())
        else:
            world.change_market(market, mark=_open_mark(world, market))


def band_of(world: World, market: int) -> tuple[int, int]:
    oracle, band = world.markets[market].price, ppm(world.market_params[market].mark_band_ppm)
    return math.ceil(oracle * (1 - band)), math.floor(oracle * (1 + band))


def has_say(world: World, market: int, bid: int, ask: int) -> bool:
    """Whether both impact prices exist within the mark band."""
    lowest, highest = band_of(world, market)
    return bid > 0 and ask > 0 and bid >= lowest and ask <= highest


def _open_mark(world: World, market: int) -> int:
    state = world.markets[market]
    oracle = state.price
    bid, ask = impact_prices(world, market, before=world.height - 1)
    is_heard = has_say(world, market, bid, ask)
    elapsed = elapsed_ms(world, market)
    if is_heard and elapsed:
        taken = Sample(world.parent_time_ms, world.time_ms, bid + ask - 2 * oracle)
        start = world.time_ms - WINDOW_MS
        kept = tuple(each for each in state.samples if each.until_ms > start)
        world.change_market(market, samples=(*kept, taken))
    if not is_heard or world.is_in_grace(market):
        return oracle
    basis = oracle + _average(world, market)
    last = state.last or (bid + ask) // 2
    book = sorted((bid, ask, last))[1]
    lowest, highest = band_of(world, market)
    return max(lowest, min(highest, sorted((oracle, basis, book))[1]))


def _average(world: World, market: int) -> int:
    """B = trunc(Σ (mid2 - 2·oracle)·elapsed_ms / 300,000) over the last 150,000 ms."""
    start = world.time_ms - WINDOW_MS
    total = sum(
        each.value * (each.until_ms - max(each.from_ms, start))
        for each in world.markets[market].samples
        if each.until_ms > start
    )
    return math.trunc(Fraction(total, 300_000))
