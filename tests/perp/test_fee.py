"""Fees round for the Fees account, which can't lose by a fill (O3, I6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.fee import (
    FeeRates,
    compute_fee,
    compute_liquidation_rates,
    compute_trade_rates,
)
from node.units import Quote, RatePpm
from tests.helpers.ledger import make_market_params


@pytest.mark.parametrize(
    ("value", "rate_ppm", "fee"),
    [
        (1_000, 500, 1),  # 0.5, the payer's ceil
        (2_000, 500, 1),  # 1.0
        (2_001, 500, 2),  # 1.0005
        (1_000, -500, 0),  # 0.5, the receiver's floor in magnitude
        (2_000, -500, -1),
        (3_999, -500, -1),  # 1.9995
        (1_000, 0, 0),
    ],
)
def test_payer_is_ceiled_and_receiver_floored_o3(value: int, rate_ppm: int, fee: int) -> None:
    assert compute_fee(Quote(value), RatePpm(rate_ppm)) == fee


def test_trade_rates_are_the_markets() -> None:
    params = make_market_params(taker_fee_ppm=500, maker_fee_ppm=-100)

    assert compute_trade_rates(params) == FeeRates(taker_ppm=RatePpm(500), maker_ppm=RatePpm(-100))


@pytest.mark.parametrize(("maker_ppm", "charged_ppm"), [(-100, 0), (0, 0), (200, 200)])
def test_liquidation_has_no_taker_fee_and_no_rebate_o3(maker_ppm: int, charged_ppm: int) -> None:
    params = make_market_params(taker_fee_ppm=500, maker_fee_ppm=maker_ppm)

    assert compute_liquidation_rates(params) == FeeRates(
        taker_ppm=RatePpm(0), maker_ppm=RatePpm(charged_ppm)
    )


@given(value=st.integers(1, 10**15), taker=st.integers(0, 10_000), data=st.data())
def test_fees_never_lose_by_a_fill_i6(value: int, taker: int, data: st.DataObject) -> None:
    maker = data.draw(st.integers(-taker, 10_000))

    total = compute_fee(Quote(value), RatePpm(taker)) + compute_fee(Quote(value), RatePpm(maker))

    assert total >= 0
