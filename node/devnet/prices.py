"""Where the devnet's reporters get prices: a simulated walk, a constant, or a file of real minutes.

Every source is a pure function of block time, so a restart continues where the chain stands and
two reporters agree without talking. Prices are integers of the market's ticks.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import isqrt
from typing import NamedTuple, Protocol

from node.devnet.price_file import PRICE_UNIT, Bar
from node.units import PPM, Ticks, TimeMs, mul_div_floor

START_USD: Mapping[str, int] = {"BTC-USD": 93_000, "ETH-USD": 3_200}
"""Where walks start and constants stay; 100 for any other symbol."""


class PricedMarket(NamedTuple):
    """What a source has to know of a market."""

    symbol: str
    tick_decimals: int


class PriceSource(Protocol):
    """Prices by block time."""

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        """Return the market's price at a block time."""


def start_price(market: PricedMarket) -> Ticks:
    """Return where the market's made-up prices begin."""
    return Ticks(START_USD.get(market.symbol, 100) * 10**market.tick_decimals)


class FixedPrices(NamedTuple):
    """Every market stays where it began."""

    @property
    def label(self) -> str:
        """Say that the prices are made up."""
        return "simulated, fixed"

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        """Return the start price."""
        return start_price(market)


STEP_MS = 250
OCTAVES = 21
"""The slowest wave is 250 ms · 2^20 long, about three days."""
FASTEST_PPM = 50
"""The fastest wave's height; each next one is twice as long and √2 as high, as in a random walk."""
_HEIGHTS = tuple(isqrt(FASTEST_PPM**2 * 2**octave) for octave in range(OCTAVES))


class SimulatedWalk(NamedTuple):
    """A seeded walk: waves of twice the length and √2 the height of the last, added up.

    A sum of such waves moves like a random walk at every scale from a quarter of a second to days,
    yet any moment is computed directly, stays within ±17.5 % of the start price (the heights' sum),
    and never needs to be remembered.
    """

    seed: int

    @property
    def label(self) -> str:
        """Say that the prices are made up, and by which seed."""
        return f"simulated walk, seed {self.seed}"

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        """Return the price at a time; moves about 0.02 % a second, 0.15 % a minute."""
        shift_ppm = sum(
            _wave(f"{self.seed}/{market.symbol}/{octave}", time_ms, STEP_MS << octave, height)
            for octave, height in enumerate(_HEIGHTS)
        )
        return Ticks(mul_div_floor(start_price(market), PPM + shift_ppm, PPM))


def _wave(name: str, time_ms: int, length_ms: int, height_ppm: int) -> int:
    """Return the straight line between random heights at multiples of the length (floor)."""
    index, passed_ms = divmod(time_ms, length_ms)
    before, after = _draw(name, index), _draw(name, index + 1)
    level = before * (length_ms - passed_ms) + after * passed_ms
    return mul_div_floor(level, height_ppm, length_ms * PPM)


@lru_cache(maxsize=4096)
def _draw(name: str, index: int) -> int:
    """Return a number in [-PPM, PPM] that name and index alone decide."""
    digest = blake2b(f"{name}/{index}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % (2 * PPM + 1) - PPM


class ReplayedPrices(NamedTuple):
    """A file's bars for one market, played from `start_ms` of block time on; the others walk."""

    symbol: str
    bars: Sequence[Bar]
    start_ms: TimeMs
    speed_ppm: int
    others: PriceSource

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        """Return the close of the last bar at or before the time, in whole ticks (floor).

        Nothing is interpolated. Before the first bar it is the first one's close, after the last
        bar the last one's.
        """
        if market.symbol != self.symbol:
            return self.others.price(market, time_ms)
        played_ms = mul_div_floor(time_ms - self.start_ms, self.speed_ppm, PPM)
        replayed_ms = self.bars[0].time_ms + played_ms
        index = bisect_right(self.bars, replayed_ms, key=lambda bar: bar.time_ms) - 1
        close_e8 = self.bars[max(index, 0)].close_e8
        return Ticks(mul_div_floor(close_e8, 10**market.tick_decimals, PRICE_UNIT))
