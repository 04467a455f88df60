from fractions import Fraction

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.events import FundingAccrued
from node.rpc.perp import render_decimal, render_entry_price, render_event
from node.units import DurationMs, FundingIndex, MarketId, RatePpb
from tests.helpers.ledger import make_market_params


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (463190, 1, "46319.0"),
        (-25, 4, "-0.0025"),
        (0, 6, "0.000000"),
        (7, 0, "7"),
        (-1, 0, "-1"),
        (12_500_000, 6, "12.500000"),
    ],
)
def test_decimals_are_exact(value: int, decimals: int, text: str) -> None:
    assert render_decimal(value, decimals) == text


@given(st.integers(), st.integers(min_value=0, max_value=12))
def test_a_decimal_is_the_integer_over_its_power_of_ten(value: int, decimals: int) -> None:
    assert Fraction(render_decimal(value, decimals)) == Fraction(value, 10**decimals)


@pytest.mark.parametrize(
    ("entry_value", "size", "text"),
    [
        (1000, 10, "0.100000"),  # 100 ticks of 0.001
        (-1000, -10, "0.100000"),
        (100, 3, "0.033333"),  # 33.333 ticks
        (200, 3, "0.066667"),
        (-5, 10, "-0.000500"),  # rebates can carry an entry below zero
        (0, 4, "0.000000"),
    ],
)
def test_the_entry_price_is_the_entry_value_per_lot(entry_value: int, size: int, text: str) -> None:
    assert render_entry_price(entry_value, size, make_market_params(tick_decimals=3)) == text


def test_events_are_rendered_by_name_with_integers_of_any_length() -> None:
    event = FundingAccrued(
        market=MarketId(1),
        index_before=FundingIndex(2**70),
        index=FundingIndex(-(2**70)),
        rate_ppb=RatePpb(5),
        elapsed_ms=DurationMs(1_000),
    )

    assert orjson.dumps(render_event(event)) == (
        b'{"kind":"FundingAccrued","market":1,"indexBefore":1180591620717411303424,'
        b'"index":-1180591620717411303424,"ratePpb":5,"elapsedMs":1000}'
    )
