"""Price sources: pure functions of block time."""

import json
from itertools import pairwise
from pathlib import Path

import pytest

from node.devnet.price_file import PRICE_UNIT, Bar
from node.devnet.prices import FixedPrices, PricedMarket, ReplayedPrices, SimulatedWalk
from node.devnet.replay import (
    PriceChoice,
    choose_prices,
    describe_prices,
    open_source,
    parse_speed,
)
from node.errors import OperatorError, PriceFileError
from node.units import PPM, TimeMs

BTC = PricedMarket("BTC-USD", 1)
ETH = PricedMarket("ETH-USD", 2)
NOW = TimeMs(1_795_000_000_000)
BARS = "timestamp,open,high,low,close,volume\n" + "".join(
    f"2022-01-01 00:0{minute}:00,{price},{price},{price},{price},1\n"
    for minute, price in enumerate(["40000.19", "40100", "40200"])
)


def bar(time_ms: int, usd: int) -> Bar:
    price = usd * PRICE_UNIT
    return Bar(TimeMs(time_ms), price, price, price, price)


def test_walk_is_a_function_of_seed_market_and_time_alone() -> None:
    times = [TimeMs(NOW + 250 * step) for step in range(50)]

    forward = [SimulatedWalk(7).price(BTC, time) for time in times]
    backward = [SimulatedWalk(7).price(BTC, time) for time in reversed(times)]

    assert forward == backward[::-1]
    assert forward != [SimulatedWalk(8).price(BTC, time) for time in times]
    assert forward[0] == 934_550  # the walk is part of what people compare: it must not drift


def test_walk_moves_but_never_jumps_and_stays_within_its_bounds() -> None:
    walk = SimulatedWalk(7)

    prices = [walk.price(BTC, TimeMs(NOW + 1_000 * second)) for second in range(5_000)]

    moves_ppm = [abs(after - before) * PPM // before for before, after in pairwise(prices)]
    assert 0 < max(moves_ppm) < 2_000  # far below price_move_ppm_max, 50,000
    assert len(set(prices)) > 1_000
    # Σ heights = 50 · (√2^21 - 1) / (√2 - 1) = 174,700 ppm of the start price, 93,000 USD
    assert all(abs(price - 930_000) <= 930_000 * 175 // 1_000 for price in prices)


def test_markets_walk_apart() -> None:
    walk = SimulatedWalk(7)
    other = PricedMarket("XYZ-USD", 1)
    times = [TimeMs(NOW + 1_000 * second) for second in range(20)]

    def shape(market: PricedMarket) -> list[int]:
        prices = [walk.price(market, time) for time in times]
        return [after > before for before, after in pairwise(prices)]

    assert shape(BTC) != shape(other)


def test_fixed_prices_stand_still() -> None:
    source = FixedPrices()

    assert source.price(BTC, NOW) == source.price(BTC, TimeMs(NOW + 10**9)) == 930_000
    assert source.price(ETH, NOW) == 320_000
    assert source.price(PricedMarket("XYZ-USD", 3), NOW) == 100_000  # 100 USD


@pytest.mark.parametrize(
    ("passed_ms", "usd"),
    [
        (-5_000, 100),  # before the first bar: its own close
        (0, 100),
        (999, 100),
        (1_000, 101),  # 1 s of block time at speed 60 is a minute of the file
        (1_999, 101),
        (2_000, 104),  # a missing minute: the bar before it holds
        (3_999, 104),
        (4_000, 105),
        (10**9, 105),  # after the last bar: its close
    ],
)
def test_replay_holds_each_close_until_the_next_bar(passed_ms: int, usd: int) -> None:
    bars = [bar(0, 100), bar(60_000, 101), bar(120_000, 104), bar(240_000, 105)]
    source = ReplayedPrices("BTC-USD", bars, NOW, 60 * PPM, FixedPrices())

    assert source.price(BTC, TimeMs(NOW + passed_ms)) == usd * 10


def test_replay_leaves_other_markets_to_the_walk() -> None:
    source = ReplayedPrices("BTC-USD", [bar(0, 100)], NOW, PPM, FixedPrices())

    assert source.price(ETH, NOW) == 320_000


def test_replay_floors_to_the_tick() -> None:
    bars = [Bar(TimeMs(0), 1, 1, 1, 4_000_019 * PRICE_UNIT // 100)]

    assert ReplayedPrices("BTC-USD", bars, NOW, PPM, FixedPrices()).price(BTC, NOW) == 400_001


def test_replay_goes_on_after_a_restart_where_the_chain_stands(tmp_path: Path) -> None:
    file, memory = tmp_path / "prices.csv", tmp_path / "prices.json"
    file.write_text(BARS)
    choice = choose_prices(str(file), "60")

    first = open_source(choice, memory, NOW)
    again = open_source(choice, memory, TimeMs(NOW + 1_500))

    later = TimeMs(NOW + 2_000)  # the third bar by the first start
    assert first.price(BTC, later) == again.price(BTC, later) == 402_000
    assert json.loads(memory.read_text())["start_ms"] == NOW


def test_another_speed_begins_anew(tmp_path: Path) -> None:
    file, memory = tmp_path / "prices.csv", tmp_path / "prices.json"
    file.write_text(BARS)
    open_source(choose_prices(str(file), "60"), memory, NOW)

    slower = open_source(choose_prices(str(file), "1"), memory, TimeMs(NOW + 2_000))

    assert slower.price(BTC, TimeMs(NOW + 2_000)) == 400_001


def test_spoilt_memory_is_named(tmp_path: Path) -> None:
    file, memory = tmp_path / "prices.csv", tmp_path / "prices.json"
    file.write_text(BARS)
    memory.write_text("{")

    with pytest.raises(OperatorError, match=r"prices\.json: is spoilt"):
        open_source(choose_prices(str(file), None), memory, NOW)


@pytest.mark.parametrize(("text", "ppm"), [("1", PPM), ("60", 60 * PPM), ("0.5", PPM // 2)])
def test_speed_is_exact(text: str, ppm: int) -> None:
    assert parse_speed(text) == ppm


@pytest.mark.parametrize("text", ["0", "-1", "fast", "", "nan", "1e9", "1/3", "0.0000001"])
def test_bad_speed_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(OperatorError, match=r"^--speed "):
        parse_speed(text)


def test_speed_without_a_file_is_refused() -> None:
    with pytest.raises(OperatorError, match="--speed 2 needs a file to replay"):
        choose_prices("sim", "2")


def test_unknown_source_is_refused() -> None:
    with pytest.raises(PriceFileError, match="--prices simulated: is no price source"):
        choose_prices("simulated", None)


def test_made_up_prices_are_called_simulated() -> None:
    assert describe_prices(choose_prices("sim", None)).startswith("simulated walk")
    assert describe_prices(choose_prices("fixed", None)) == "simulated, fixed"
    replay = describe_prices(PriceChoice("/data/btc.csv", PPM // 2))
    assert replay.startswith("btc.csv for BTC-USD at speed 1/2; others: simulated walk")
