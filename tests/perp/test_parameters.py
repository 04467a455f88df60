"""Parameters are checked as a whole; a refusal names the field and its value."""

from typing import Any

import pytest

from node.errors import GenesisError
from node.perp.parameters import (
    MarginBracket,
    validate_chain_params,
    validate_market_params,
)
from node.units import Address, Quote, RatePpm
from tests.helpers.ledger import make_chain_params, make_market_params, reporter


def brackets(*rows: tuple[int, int]) -> tuple[MarginBracket, ...]:
    return tuple(MarginBracket(Quote(start), RatePpm(fraction)) for start, fraction in rows)


MARKET_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"symbol": ""}, "symbol is"),
    ({"symbol": "BTC\nUSD"}, "symbol is"),
    ({"symbol": "X" * 33}, "symbol is"),
    ({"lot_decimals": -1}, "lot_decimals is -1"),
    ({"lot_decimals": 4}, "lot_decimals + tick_decimals is 7"),
    ({"k": 10}, "k is 10, must be 10^(6 - 6) = 1"),
    ({"k": 0}, "k is 0"),
    ({"brackets": ()}, "brackets is []"),
    ({"brackets": brackets((1, 100_000))}, "brackets[0].notional_from is 1"),
    ({"brackets": brackets((0, 0))}, "brackets[0].initial_margin_ppm is 0"),
    ({"brackets": brackets((0, 1_000_001))}, "brackets[0].initial_margin_ppm is 1000001"),
    ({"brackets": brackets((0, 10_000), (0, 20_000))}, "brackets[1].notional_from is 0"),
    ({"brackets": brackets((0, 10_000), (5, 10_000))}, "brackets[1].initial_margin_ppm is 10000"),
    ({"maintenance_ppm": 0}, "maintenance_ppm is 0"),
    ({"maintenance_ppm": 1_000_000}, "maintenance_ppm is 1000000"),
    # ceil(1·0.5) = 1 ppm of maintenance is the whole initial margin: F2's cap would be 0.
    ({"brackets": brackets((0, 1))}, "maintenance_ppm is 500000"),
    ({"oi_lower_cap": 0}, "oi_lower_cap is 0"),
    ({"oi_upper_cap": 10**15}, "oi_upper_cap is 1000000000000000, must be more than oi_lower_cap"),
    ({"taker_fee_ppm": -1}, "taker_fee_ppm is -1"),
    ({"taker_fee_ppm": 100, "maker_fee_ppm": -101}, "maker_fee_ppm is -101"),
    ({"liquidation_fee_ppm": -1}, "liquidation_fee_ppm is -1"),
    ({"price_band_ppm": 0}, "price_band_ppm is 0"),
    ({"price_move_ppm_max": 1_000_000}, "price_move_ppm_max is 1000000"),
    ({"order_value_min": 0}, "order_value_min is 0"),
    ({"impact_notional": 0}, "impact_notional is 0"),
    ({"funding_interval_ms": 0}, "funding_interval_ms is 0"),
    ({"funding_interest_ppb": 500_001}, "funding_interest_ppb is 500001"),
    ({"funding_clamp_factor_ppm": -1}, "funding_clamp_factor_ppm is -1"),
    ({"price_age_ms_max": 0}, "price_age_ms_max is 0"),
    ({"price_confirm_ms": -1}, "price_confirm_ms is -1"),
]

CHAIN_REFUSALS: list[tuple[dict[str, Any], str]] = [
    ({"reporters": ()}, "reporter_quorum is 2"),
    ({"reporters": (reporter(2), reporter(1))}, "must be sorted and different"),
    ({"reporters": (reporter(1), reporter(1))}, "must be sorted and different"),
    ({"reporters": (Address(b"\x01"), Address(b"\x02"))}, "must be addresses of 20 bytes"),
    ({"reporter_quorum": 0}, "reporter_quorum is 0"),
    ({"reporter_quorum": 4}, "reporter_quorum is 4, must be 1 to the number of reporters, 3"),
    ({"gap_ms_max": 0}, "gap_ms_max is 0"),
    ({"confirm_ms": -1}, "confirm_ms is -1"),
    ({"reopen_ms": -1}, "reopen_ms is -1"),
    ({"book_wait_ms": -1}, "book_wait_ms is -1"),
    ({"grace_ms": -1}, "grace_ms is -1"),
    ({"withdrawal_gate_ms": -1}, "withdrawal_gate_ms is -1"),
    ({"withdrawal_gap_ms": 29_999}, "withdrawal_gap_ms is 29999, must be gap_ms_max, 30000"),
    ({"withdrawal_floor_ppm": 1_000_001}, "withdrawal_floor_ppm is 1000001"),
    ({"liquidations_max": 0}, "liquidations_max is 0"),
    ({"triggers_max": 0}, "triggers_max is 0"),
    ({"maker_removals_max": 0}, "maker_removals_max is 0"),
    ({"inclusion_limit": 0}, "inclusion_limit is 0, must be 1 to 1000"),
    ({"restart_power_ppm": 666_666}, "restart_power_ppm is 666666, must be 666667 to 1000000, or"),
    ({"restart_power_ppm": 1_000_001}, "restart_power_ppm is 1000001"),
]


def test_sensible_parameters_are_accepted() -> None:
    validate_market_params(make_market_params())
    validate_chain_params(make_chain_params())


@pytest.mark.parametrize(
    "changes",
    [
        # 10^(6-4-1) = 10; a rebate as large as the taker's fee; two brackets up to 100 %.
        {"lot_decimals": 4, "tick_decimals": 1, "k": 10},
        {"taker_fee_ppm": 100, "maker_fee_ppm": -100},
        {"brackets": brackets((0, 100_000), (1, 1_000_000))},
        {"funding_interest_ppb": -500_000},
        {"price_confirm_ms": 0},
    ],
)
def test_edges_of_market_parameters_are_accepted(changes: dict[str, Any]) -> None:
    validate_market_params(make_market_params(**changes))


@pytest.mark.parametrize(("changes", "text"), MARKET_REFUSALS)
def test_market_parameters_are_refused_by_name(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(GenesisError) as refusal:
        validate_market_params(make_market_params(**changes))

    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("changes", "text"), CHAIN_REFUSALS)
def test_chain_parameters_are_refused_by_name(changes: dict[str, Any], text: str) -> None:
    with pytest.raises(GenesisError) as refusal:
        validate_chain_params(make_chain_params(**changes))

    assert text in str(refusal.value)
    assert "\n" not in str(refusal.value)
