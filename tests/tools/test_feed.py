"""What the reporters of a rehearsal see."""

import pytest

from node.devnet.prices import PricedMarket, PriceSource
from node.units import Ticks, TimeMs
from tools.feed import Moved

BTC = PricedMarket("BTC-USD", 1)


class Clock(PriceSource):
    """A price that is the time."""

    def price(self, market: PricedMarket, time_ms: TimeMs) -> Ticks:
        return Ticks(time_ms)


@pytest.mark.parametrize(
    ("time_ms", "price"),
    [
        (1_000, 1_000),  # before it slept
        (6_001, 1_001),  # 5,000 ms later the prices have moved on by one
        (8_000, 3_000),
    ],
)
def test_prices_stand_still_while_they_sleep(time_ms: int, price: int) -> None:
    moved = Moved(Clock(), TimeMs(1_000), 5_000, 0)

    assert moved.price(BTC, TimeMs(time_ms)) == price


def test_a_market_moves_by_ppm_floored() -> None:
    # 1,001 less 4 % is 960.96
    assert Moved(Clock(), TimeMs(0), 0, -40_000).price(BTC, TimeMs(1_001)) == 960
