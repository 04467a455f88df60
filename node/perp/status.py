"""The mode that a market or the chain is in, and what it allows (RULES, Modes and X4).

How modes change is another module's matter (`modes`); whoever only asks imports this one.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from node.errors import MarketNotFound, NotAllowedInMode
from node.units import (
    PPM,
    DurationMs,
    Height,
    MarketId,
    Ticks,
    TimeMs,
    mul_div_ceil,
    mul_div_floor,
)

if TYPE_CHECKING:
    from node.perp.ledger import Ledger
    from node.perp.parameters import ChainParams

CHAIN = MarketId(0)
"""Stands for the whole chain where a mode is meant."""
POST_ONLY_BAND_PPM = 500
"""5 bps: how aggressive an order may be in POST_ONLY (RULES, Modes)."""


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
    FORK = 6


class Decree(NamedTuple):
    """What the council set in this block: in force from the block's end on."""

    market: MarketId
    """0: the chain."""
    mode: Mode
    held: Mode


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
    held: Mode = Mode.OPEN
    """What the council set last: X2 leads no further toward OPEN."""


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
    held: Mode = Mode.OPEN
    """What the council set last: X2 leads no further toward OPEN."""
    halt_height: Height = Height(0)
    """HALTED from the end of this block on: the last ordinary one; 0: no halt is due."""
    decrees: tuple[Decree, ...] = ()
    """What the council set in the block being executed, each market once; empty between blocks."""


class PostOnlyLimits(NamedTuple):
    """How far orders may reach in POST_ONLY (RULES, Modes)."""

    highest_buy: Ticks
    lowest_sell: Ticks


def get_status(ledger: "Ledger", market: MarketId) -> MarketStatus:
    """Return the market's own status; raise MarketNotFound if there is no such market."""
    status = ledger.statuses.get(market)
    if status is None:
        raise MarketNotFound(market)
    return status


def get_mode(ledger: "Ledger", market: MarketId) -> Mode:
    """Return the stricter of the chain's mode and the market's; raise MarketNotFound."""
    return max(get_status(ledger, market).mode, ledger.status.mode)


def get_ending_mode(ledger: "Ledger", market: MarketId) -> Mode:
    """Return the stricter of the two modes as the council's decrees will leave them.

    It executes first in a block and is obeyed at the block's end, so the end is known before.
    """
    status = ledger.status
    chain, own = status.mode, get_status(ledger, market).mode
    for decree in status.decrees:
        if decree.market == CHAIN:
            chain = decree.mode
        elif decree.market == market:
            own = decree.mode
    if status.halt_height == ledger.height:
        chain = Mode.HALTED
    return max(chain, own)


def require_mode(ledger: "Ledger", market: MarketId, strictest_allowed: Mode) -> None:
    """Raise NotAllowedInMode if the chain or the market is stricter; MarketNotFound if absent."""
    own = get_status(ledger, market).mode
    chain = ledger.status.mode
    if chain > strictest_allowed:
        raise NotAllowedInMode(CHAIN, chain)
    if own > strictest_allowed:
        raise NotAllowedInMode(market, own)


def is_in_grace(ledger: "Ledger", market: MarketId) -> bool:
    """Tell whether the market returned to OPEN less than grace_ms ago (X4).

    Counted from the later return, the market's or the chain's. False while not OPEN: ask for the
    mode first.
    """
    own = get_status(ledger, market)
    chain = ledger.status
    if own.mode != Mode.OPEN or chain.mode != Mode.OPEN:
        return False
    return ledger.time_ms < max(own.since_ms, chain.since_ms) + ledger.params.grace_ms


def compute_post_only_limits(oracle: Ticks) -> PostOnlyLimits:
    """Return buys ≤ floor(oracle·(1 + 5 bps)), sells ≥ ceil(oracle·(1 - 5 bps)) (Modes)."""
    return PostOnlyLimits(
        highest_buy=Ticks(mul_div_floor(oracle, PPM + POST_ONLY_BAND_PPM, PPM)),
        lowest_sell=Ticks(mul_div_ceil(oracle, PPM - POST_ONLY_BAND_PPM, PPM)),
    )


def compute_gated(status: ChainStatus, time_ms: TimeMs, params: "ChainParams") -> ChainStatus:
    """Return the status with withdrawals closed for withdrawal_gate_ms from this block on (M3)."""
    until = TimeMs(time_ms + params.withdrawal_gate_ms)
    return status._replace(withdrawals_from_ms=max(status.withdrawals_from_ms, until))
