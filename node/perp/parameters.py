"""What governance may change: a market's and the chain's parameters (RULES, "Parameters").

They stand in genesis, live in state, and are checked as a whole before they take effect.
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.errors import GenesisError
from node.units import PPM, Address, DurationMs, Lots, Quote, RatePpb, RatePpm, mul_div_ceil


class MarginBracket(NamedTuple):
    """From this notional on, a position needs this initial margin fraction (G1)."""

    notional_from: Annotated[Quote, BIG]
    initial_margin_ppm: RatePpm


class MarketParams(NamedTuple):
    """One market's parameters."""

    symbol: str
    """"BTC-USD"."""
    lot_decimals: int
    """One lot is 10^-lot_decimals of the base asset."""
    tick_decimals: int
    """One tick is 10^-tick_decimals USD."""
    k: int
    """Atoms per lot and tick: 10^(6 - lot_decimals - tick_decimals), an integer."""
    brackets: tuple[MarginBracket, ...]
    """Sorted by notional_from, the first at 0; fractions never fall (G1)."""
    maintenance_ppm: RatePpm
    """MMF: maintenance margin as a fraction of initial margin (G1)."""
    oi_lower_cap: Annotated[Quote, BIG]
    """Open interest notional up to which the initial margin fraction is unscaled (G1)."""
    oi_upper_cap: Annotated[Quote, BIG]
    """Open interest notional from which new risk needs 100 % (G1)."""
    taker_fee_ppm: RatePpm
    maker_fee_ppm: RatePpm
    """Negative: a rebate, never larger than the taker fee (O3)."""
    price_band_ppm: RatePpm
    """How far from the mark an aggressive order may trade (O4)."""
    order_value_min: Quote
    """The least notional of an order that does not close a position whole (O7)."""
    impact_notional: Quote
    """The notional whose fill price is the impact price (F1)."""
    funding_interval_ms: DurationMs
    """F2."""
    funding_interest_ppb: RatePpb
    """I in F2."""
    funding_clamp_factor_ppm: RatePpm
    """F2: cap = factor · (initial - maintenance fraction)."""
    price_age_ms_max: DurationMs
    """A report older than this does not count (P1)."""
    price_move_ppm_max: RatePpm
    """A larger move of the median must be confirmed (P2)."""
    price_confirm_ms: DurationMs
    """For how long (P2)."""
    liquidation_fee_ppm: RatePpm
    """L2."""
    mark_band_ppm: RatePpm
    """How far the mark may be from the oracle: at most (IM - MM)/2 (P3)."""
    vault_size_max: Lots
    """How many lots the LiquidatorVault may hold here, long or short (L3)."""
    position_max: Lots
    """How large an account's position may become, its resting orders counted (O7)."""
    open_interest_max: Lots
    """How many lots may be open, long, in all (O7)."""
    liquidation_notional_max: Quote
    """What liquidation orders may close here in a block, at the mark; one lot always (O7)."""


class ChainParams(NamedTuple):
    """The parameters of the whole chain."""

    reporters: tuple[Address, ...]
    """Sorted; who may report prices (P1)."""
    reporter_quorum: int
    gap_ms_max: DurationMs
    """gap_limit_ms: a longer gap between blocks closes every market (X2)."""
    confirm_ms: DurationMs
    """How long a fresh quorum must last before POST_ONLY (X2)."""
    reopen_ms: DurationMs
    """How long POST_ONLY lasts (X2)."""
    reopen_needs_book: bool
    """Whether OPEN waits for a two-sided book (X2)."""
    book_wait_ms: DurationMs
    """For how long at most (X2)."""
    grace_ms: DurationMs
    """After a return to OPEN, liquidations and triggers wait this long (X4)."""
    withdrawal_gate_ms: DurationMs
    """How long withdrawals stay closed after a long gap and after a new deficit (M3)."""
    withdrawal_gap_ms: DurationMs
    """The gap after which they do: 300,000 (M3)."""
    withdrawal_floor_ppm: RatePpm
    """The part of open notional that a withdrawal must leave: 100,000 (M3)."""
    liquidations_max: int
    """Liquidation steps a block (O8)."""
    triggers_max: int
    """Triggered orders a block (O8)."""
    maker_removals_max: int
    """Makers that one taker may remove before its rest is cancelled (O8)."""
    open_orders_max: int
    """Orders and triggers that an account may have open, in all markets together (O7)."""
    actions_max: int
    """Orders that an account may place or amend in a block (O7)."""
    inclusion_limit: int
    """Blocks that may pass over a valid council action before validators sign no more."""
    restart_power_ppm: RatePpm
    """The part of validators' power that must build the same fork block before anything is sealed
    on it; 0: by their number, more than 2/3 below five, else 80 %."""


INCLUSION_LIMIT_MAX = 1_000
"""Later blocks than that are no inclusion: the council would be outrun."""
RESTART_POWER_PPM_MIN = 666_667
"""More than two thirds: with less, two halves of the validators could restart two chains."""
MAGNITUDE_MAX = 2**53 - 1
"""Sizes and prices stay exact in JavaScript's numbers and in 64-bit ABI words."""
COLLATERAL_DECIMALS = 6
"""One atom is 0.000001 USDC."""
INTEREST_PPB_MAX = 500_000
"""Interest beyond F2's inner clamp would mean two things: clamped there, not at first."""
DURATION_MS_MAX = 365 * 24 * 3_600_000
"""A year: longer windows are typing errors."""
SYMBOL_LENGTH_MAX = 32


def validate_market_params(params: MarketParams) -> None:
    """Raise GenesisError naming the field and its value unless the parameters make sense.

    What no rule of later issues needs yet is not asked for.
    """
    where = f"market {params.symbol!r}"
    _require(
        0 < len(params.symbol) <= SYMBOL_LENGTH_MAX
        and params.symbol.isascii()
        and params.symbol.isprintable(),
        where,
        "symbol",
        repr(params.symbol),
        f"must be 1 to {SYMBOL_LENGTH_MAX} printable ASCII characters",
    )
    _validate_k(params, where)
    _validate_margin(params, where)
    _validate_fees(params, where)
    for name in ("order_value_min", "impact_notional", "liquidation_notional_max"):
        _require_range(where, name, getattr(params, name), 1, MAGNITUDE_MAX)
    for name in ("funding_interval_ms", "price_age_ms_max"):
        _require_range(where, name, getattr(params, name), 1, DURATION_MS_MAX)
    _require_range(where, "price_confirm_ms", params.price_confirm_ms, 0, DURATION_MS_MAX)
    for name in ("price_band_ppm", "price_move_ppm_max"):
        _require_range(where, name, getattr(params, name), 1, PPM - 1)
    _require_range(
        where,
        "funding_interest_ppb",
        params.funding_interest_ppb,
        -INTEREST_PPB_MAX,
        INTEREST_PPB_MAX,
    )
    _require_range(where, "vault_size_max", params.vault_size_max, 0, MAGNITUDE_MAX)
    for name in ("position_max", "open_interest_max"):
        _require_range(where, name, getattr(params, name), 1, MAGNITUDE_MAX)
    _require_range(
        where, "funding_clamp_factor_ppm", params.funding_clamp_factor_ppm, 0, 1_000 * PPM
    )


def validate_chain_params(params: ChainParams) -> None:
    """Raise GenesisError naming the field and its value unless the parameters make sense."""
    where = "chain"
    _require(
        list(params.reporters) == sorted(set(params.reporters)),
        where,
        "reporters",
        _show_addresses(params.reporters),
        "must be sorted and different",
    )
    _require(
        all(len(reporter) == 20 for reporter in params.reporters),
        where,
        "reporters",
        _show_addresses(params.reporters),
        "must be addresses of 20 bytes",
    )
    _require(
        1 <= params.reporter_quorum <= len(params.reporters),
        where,
        "reporter_quorum",
        params.reporter_quorum,
        f"must be 1 to the number of reporters, {len(params.reporters)}",
    )
    _require_range(where, "gap_ms_max", params.gap_ms_max, 1, DURATION_MS_MAX)
    for name in (
        "confirm_ms",
        "reopen_ms",
        "book_wait_ms",
        "grace_ms",
        "withdrawal_gate_ms",
    ):
        _require_range(where, name, getattr(params, name), 0, DURATION_MS_MAX)
    _require(
        params.gap_ms_max <= params.withdrawal_gap_ms <= DURATION_MS_MAX,
        where,
        "withdrawal_gap_ms",
        params.withdrawal_gap_ms,
        f"must be gap_ms_max, {params.gap_ms_max}, to {DURATION_MS_MAX}",
    )
    _require_range(where, "withdrawal_floor_ppm", params.withdrawal_floor_ppm, 0, PPM)
    for name in (
        "liquidations_max",
        "triggers_max",
        "maker_removals_max",
        "open_orders_max",
        "actions_max",
    ):
        _require_range(where, name, getattr(params, name), 1, 1_000_000)
    _require_range(where, "inclusion_limit", params.inclusion_limit, 1, INCLUSION_LIMIT_MAX)
    _require(
        params.restart_power_ppm == 0 or RESTART_POWER_PPM_MIN <= params.restart_power_ppm <= PPM,
        where,
        "restart_power_ppm",
        params.restart_power_ppm,
        f"must be {RESTART_POWER_PPM_MIN} to {PPM}, or 0: by the number of validators",
    )


def _validate_k(params: MarketParams, where: str) -> None:
    for name in ("lot_decimals", "tick_decimals"):
        _require_range(where, name, getattr(params, name), 0, COLLATERAL_DECIMALS)
    decimals = params.lot_decimals + params.tick_decimals
    _require(
        decimals <= COLLATERAL_DECIMALS,
        where,
        "lot_decimals + tick_decimals",
        decimals,
        f"must be at most {COLLATERAL_DECIMALS}, or notionals would round",
    )
    k = 10 ** (COLLATERAL_DECIMALS - decimals)
    _require(params.k == k, where, "k", params.k, f"must be 10^(6 - {decimals}) = {k}")


def _validate_margin(params: MarketParams, where: str) -> None:
    brackets = params.brackets
    _require(len(brackets) > 0, where, "brackets", "[]", "must hold at least one bracket")
    _require(
        brackets[0].notional_from == 0,
        where,
        "brackets[0].notional_from",
        brackets[0].notional_from,
        "must be 0",
    )
    for number, bracket in enumerate(brackets):
        _require_range(
            where,
            f"brackets[{number}].initial_margin_ppm",
            bracket.initial_margin_ppm,
            1,
            PPM,
        )
        if number == 0:
            continue
        last = brackets[number - 1]
        _require(
            bracket.notional_from > last.notional_from,
            where,
            f"brackets[{number}].notional_from",
            bracket.notional_from,
            f"must be more than the last bracket's {last.notional_from}",
        )
        _require(
            bracket.initial_margin_ppm > last.initial_margin_ppm,
            where,
            f"brackets[{number}].initial_margin_ppm",
            bracket.initial_margin_ppm,
            f"must be more than the last bracket's {last.initial_margin_ppm}",
        )
    _require_range(where, "maintenance_ppm", params.maintenance_ppm, 1, PPM - 1)
    initial = brackets[0].initial_margin_ppm
    maintenance = mul_div_ceil(initial, params.maintenance_ppm, PPM)
    _require(
        maintenance < initial,
        where,
        "maintenance_ppm",
        params.maintenance_ppm,
        f"must leave the maintenance below the initial margin fraction, {initial}",
    )
    _require_range(where, "mark_band_ppm", params.mark_band_ppm, 0, (initial - maintenance) >> 1)
    _require_range(where, "oi_lower_cap", params.oi_lower_cap, 1, 2**127)
    _require(
        params.oi_lower_cap < params.oi_upper_cap <= 2**127,
        where,
        "oi_upper_cap",
        params.oi_upper_cap,
        f"must be more than oi_lower_cap, {params.oi_lower_cap}",
    )


def _validate_fees(params: MarketParams, where: str) -> None:
    _require_range(where, "taker_fee_ppm", params.taker_fee_ppm, 0, PPM - 1)
    _require(
        -params.taker_fee_ppm <= params.maker_fee_ppm < PPM,
        where,
        "maker_fee_ppm",
        params.maker_fee_ppm,
        f"must be a fee, or a rebate of at most the taker fee, {params.taker_fee_ppm}",
    )
    _require_range(where, "liquidation_fee_ppm", params.liquidation_fee_ppm, 0, PPM - 1)


def _require_range(where: str, name: str, value: int, lowest: int, highest: int) -> None:
    _require(lowest <= value <= highest, where, name, value, f"must be {lowest} to {highest}")


def _require(condition: bool, where: str, name: str, value: object, demand: str) -> None:
    if not condition:
        raise GenesisError(f"{where}: {name} is {value}, {demand}")


def _show_addresses(addresses: Sequence[Address]) -> str:
    return ", ".join("0x" + address.hex() for address in addresses) or "empty"
