"""What governance may change: a market's and the chain's parameters (RULES, "Parameters").

They stand in genesis, live in state, and are checked as a whole before they take effect.
"""

from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.units import Address, DurationMs, Quote, RatePpb, RatePpm


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


MAGNITUDE_MAX = 2**53 - 1
"""Sizes and prices stay exact in JavaScript's numbers and in 64-bit ABI words."""


