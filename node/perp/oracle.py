"""Signed price reports, their lower median, and when a market believes it (RULES P1, P2)."""

from typing import NamedTuple

from node.units import Address, Height, Ticks, TimeMs


class Report(NamedTuple):
    """A reporter's latest report; key: (market, reporter)."""

    price: Ticks
    observed_ms: TimeMs


class AcceptedPrice(NamedTuple):
    """A price that a block accepted."""

    price: Ticks
    time_ms: TimeMs


class Jump(NamedTuple):
    """A candidate beyond max_move that waits for confirmation (P2)."""

    up: bool
    since_ms: TimeMs
    since_height: Height


class Oracle(NamedTuple):
    """A market's accepted price and how it came about; key: market."""

    price: Ticks
    """The last accepted price; 0 before the first."""
    accepted: tuple[AcceptedPrice, ...]
    """What was accepted within the jump window, oldest first; empty after a JUMP (P2)."""
    stale: bool
    """Fewer than a quorum of fresh reports in this block (P1)."""
    jump: tuple[Jump, ...]
    """Empty, or the one jump that waits."""
