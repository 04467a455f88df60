"""When a market or the chain is open for what (RULES, Modes and X1 to X4)."""

from enum import IntEnum
from typing import NamedTuple

from node.units import DurationMs, Height, TimeMs


class Mode(IntEnum):
    """The larger, the stricter; of market and chain the stricter wins."""

    OPEN = 0
    POST_ONLY = 1
    CANCEL_ONLY = 2
    HALTED = 3


class ModeReason(IntEnum):
    """Why a mode changed; the codes are the ABI's."""

    GAP = 0
    STALE = 1
    JUMP = 2
    REOPENING = 3
    GOVERNANCE = 4
    GENESIS = 5


class MarketStatus(NamedTuple):
    """A market's mode and its way back to OPEN; key: market."""

    mode: Mode
    since_ms: TimeMs
    """Block time of entering the mode; in grace until since_ms + grace_ms while OPEN (X4)."""
    since_height: Height
    quorum_ms: DurationMs
    """For how long, up to this block, a fresh quorum has lasted without an alarm (X2)."""
    quorum_blocks: int
    """For how many blocks (X2)."""


class ChainStatus(NamedTuple):
    """The whole chain's mode and gates; one record."""

    mode: Mode
    since_ms: TimeMs
    since_height: Height
    gap_end_ms: TimeMs
    """Reports observed before this time don't count toward reopening: the first block after the
    last gap (X2)."""
    withdrawals_from_ms: TimeMs
    """Withdrawals are closed before this block time (M3)."""
    fork_id: int
    """0 at genesis; the nonce floor is fork_id · 2^32 (RECOVERY, fork step 2)."""
    dev_epoch: int
    """Counts development reverts (DESIGN section 9)."""
