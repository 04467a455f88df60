"""Chains on which the two opinions are compared: each makes other rules bite."""

from typing import Any

from node.perp.account import VAULT
from node.perp.parameters import ChainParams, MarginBracket, MarketParams
from node.units import Address, DurationMs, Lots, Quote, RatePpm
from tests.helpers.ledger import make_chain_params, make_market_params, reporter, trader
from tests.properties.driver import Setup

REPORTERS = tuple(reporter(number) for number in (1, 2, 3))
TRADERS = tuple(trader(number) for number in range(1, 9))
AGENTS = (*TRADERS[:2], trader(101), trader(102))
"""Who may be asked to trade for others."""
USDC = 1_000_000

QUICK: dict[str, Any] = {
    "confirm_ms": DurationMs(1_000),
    "reopen_ms": DurationMs(1_500),
    "grace_ms": DurationMs(1_500),
    "withdrawal_gate_ms": DurationMs(3_000),
    "withdrawal_gap_ms": DurationMs(60_000),
}
"""Windows short enough that a market is open most of the time."""


def make_chain(**changes: Any) -> ChainParams:
    return make_chain_params(**{**QUICK, **changes})


def make_perp(**changes: Any) -> MarketParams:
    """A market whose prices are in the thousands, with fees and a short funding interval."""
    values: dict[str, Any] = {
        "k": 100,
        "lot_decimals": 2,
        "tick_decimals": 2,
        "taker_fee_ppm": RatePpm(450),
        "maker_fee_ppm": RatePpm(150),
        "order_value_min": Quote(USDC),
        "impact_notional": Quote(50 * USDC),
        "funding_interval_ms": DurationMs(10_000),
        "price_confirm_ms": DurationMs(1_500),
        "price_age_ms_max": DurationMs(5_000),
        "vault_size_max": Lots(10**6),
    }
    return make_market_params(**{**values, **changes})


BRACKETS = (
    MarginBracket(Quote(0), RatePpm(50_000)),
    MarginBracket(Quote(1_000 * USDC), RatePpm(100_000)),
    MarginBracket(Quote(5_000 * USDC), RatePpm(200_000)),
)


FAST: dict[str, Any] = {"price_move_ppm_max": RatePpm(300_000)}
FAST_PPM = (0, 10_000, 20_000, 40_000, 60_000, 100_000, 150_000)

BRACKET_SETS = (
    MarginBracket(Quote(0), RatePpm(100_000)),
    MarginBracket(Quote(2_000 * USDC), RatePpm(150_000)),
    MarginBracket(Quote(6_000 * USDC), RatePpm(300_000)),
)
"""Brackets that the council may set in every market."""


def margins(each: int, *, vault: int) -> dict[Address, int]:
    """Give each trader as much, the poorer ones less, and the vault its own."""
    shares = (16, 16, 8, 8, 4, 4, 2, 1)
    rich = {who: each * share // 16 for who, share in zip(TRADERS, shares, strict=True)}
    return {**rich, VAULT: vault}


SETUPS = (
    Setup(
        "plain",
        make_chain(),
        (
            make_perp(),
            make_perp(k=1, lot_decimals=3, tick_decimals=3, order_value_min=Quote(100)),
        ),
        (5_000, 10_000),
        margins(2_000 * USDC, vault=20_000 * USDC),
    ),
    Setup(
        "brackets and open interest, rebates",
        make_chain(),
        (
            make_perp(
                brackets=BRACKETS,
                mark_band_ppm=RatePpm(12_500),
                oi_lower_cap=Quote(2_000 * USDC),
                oi_upper_cap=Quote(6_000 * USDC),
                vault_size_max=Lots(2_000),
                maker_fee_ppm=RatePpm(-200),
            ),
            make_perp(
                brackets=BRACKETS,
                mark_band_ppm=RatePpm(12_500),
                taker_fee_ppm=RatePpm(0),
            ),
        ),
        (3_000, 777),
        margins(1_000 * USDC, vault=3_000 * USDC),
    ),
    Setup(
        "few steps, triggers, makers, orders, actions; small positions and steps; an empty vault",
        make_chain(
            liquidations_max=2,
            triggers_max=2,
            maker_removals_max=2,
            open_orders_max=7,
            actions_max=4,
        ),
        (
            make_perp(
                brackets=BRACKETS[:1],
                mark_band_ppm=RatePpm(12_500),
                position_max=Lots(20_000),
                open_interest_max=Lots(40_000),
                liquidation_notional_max=Quote(70 * USDC),
            ),
            make_perp(open_interest_max=Lots(30_000), liquidation_notional_max=Quote(1)),
        ),
        (2_000, 2_500),
        margins(1_000 * USDC, vault=0),
    ),
    Setup(
        "coarse: one tick is a lot, one lot is a lot",
        make_chain(reopen_needs_book=True, book_wait_ms=DurationMs(4_000)),
        (
            make_perp(
                k=1_000_000,
                lot_decimals=0,
                tick_decimals=0,
                order_value_min=Quote(1),
                impact_notional=Quote(30 * USDC),
                price_move_ppm_max=RatePpm(300_000),
                price_band_ppm=RatePpm(400_000),
                vault_size_max=Lots(20),
            ),
        ),
        (7,),
        margins(200 * USDC, vault=100 * USDC),
    ),
    Setup(
        "the ends of the ranges",
        make_chain(),
        (
            make_perp(
                k=1,
                lot_decimals=3,
                tick_decimals=3,
                impact_notional=Quote(2**52),
                oi_lower_cap=Quote(2**126),
                oi_upper_cap=Quote(2**127),
                vault_size_max=Lots(2**53 - 1),
            ),
            make_perp(k=1, lot_decimals=6, tick_decimals=0, order_value_min=Quote(1)),
        ),
        (2**50, 1),
        margins(2**100, vault=2**90),
    ),
    Setup(
        "fast: prices that no margin survives, a rich vault",
        make_chain(),
        (
            make_perp(brackets=BRACKETS[:1], mark_band_ppm=RatePpm(12_500), **FAST),
            make_perp(vault_size_max=Lots(3_000), **FAST),
        ),
        (2_000, 3_000),
        margins(1_000 * USDC, vault=20_000 * USDC),
        trend_ppm=FAST_PPM,
    ),
    Setup(
        "fast, a poor vault",
        make_chain(),
        (make_perp(brackets=BRACKETS[:1], mark_band_ppm=RatePpm(12_500), **FAST),),
        (2_000,),
        margins(1_000 * USDC, vault=20 * USDC),
        trend_ppm=FAST_PPM,
    ),
)
