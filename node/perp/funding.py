"""Funding: premium samples, the rate, the index, and lazy settlement (RULES F1 to F4)."""

from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.units import FundingIndex, RatePpb


class Funding(NamedTuple):
    """A market's funding state; key: market."""

    index: Annotated[FundingIndex, BIG]
    """Cumulative, 1e-9 atoms per lot (F3)."""
    rate_ppb: RatePpb
    """The rate in force, per 8 h (F2)."""
    premium_sum: Annotated[int, BIG]
    """Σ premium_ppb · elapsed_ms since the last multiple of the interval (F2)."""
    dust: Annotated[int, BIG]
    """What floors left over, 1e-9 atoms; only grows (F4)."""
    size_index_sum: Annotated[int, BIG]
    """Σ size · position's index over all positions (I3)."""
