"""How modes change by themselves: alarms close, time and quorums reopen (RULES X2, X4).

Three alarms close, at once and first in the block: a gap between blocks closes the chain and every
market, STALE and JUMP close their market. The way back to OPEN is slow, one step at the end of a
block, in force from the next, and every alarm begins it anew:

    CANCEL_ONLY  → POST_ONLY   after confirm_ms and 3 blocks with a fresh quorum of reports
                               observed after the last gap
    POST_ONLY    → OPEN        after reopen_ms and 5 blocks, and if the genesis asks for a book
                               once both impact prices are within the mark band, at the latest
                               after book_wait_ms

The chain has no prices of its own: it goes to POST_ONLY with the first market that may, and to OPEN
after reopen_ms and 5 blocks without a gap; STALE and JUMP are the matter of their market. So the
chain is never what keeps a market with working prices waiting. HALTED is left by governance alone,
whose own changes are another module's (`decrees`).
"""

from node.perp.events import ModeChanged
from node.perp.fill import process_removal
from node.perp.funding import get_impact_prices, reset_funding
from node.perp.ledger import Ledger
from node.perp.mark import compute_mark_band, is_two_sided
from node.perp.oracle import get_fresh_reports, get_oracle
from node.perp.order import CancelReason
from node.perp.status import (
    CHAIN,
    ChainStatus,
    MarketStatus,
    Mode,
    ModeReason,
    PostOnlyLimits,
    compute_gated,
    compute_post_only_limits,
    get_mode,
    get_status,
    is_in_grace,
    require_mode,
)
from node.units import DurationMs, Height, MarketId, TimeMs

__all__ = [
    "CHAIN",
    "ChainStatus",
    "MarketStatus",
    "Mode",
    "ModeReason",
    "PostOnlyLimits",
    "compute_post_only_limits",
    "get_mode",
    "get_status",
    "initial_chain_status",
    "initial_market_status",
    "is_alarmed",
    "is_gap",
    "is_in_grace",
    "process_alarms",
    "process_gap",
    "process_post_only_limits",
    "process_reopening",
    "require_mode",
    "set_chain_mode",
    "set_market_mode",
]

CONFIRM_BLOCKS_MIN = 3
"""Blocks with a fresh quorum before POST_ONLY (X2)."""
REOPEN_BLOCKS_MIN = 5
"""Blocks of POST_ONLY before OPEN (X2)."""


def initial_chain_status(time_ms: TimeMs) -> ChainStatus:
    """Return the chain's status at genesis: CANCEL_ONLY, withdrawals not gated (X2)."""
    return ChainStatus(
        mode=Mode.CANCEL_ONLY,
        since_ms=time_ms,
        since_height=Height(0),
        gap_end_ms=time_ms,
        withdrawals_from_ms=time_ms,
        fork_id=0,
        dev_epoch=0,
    )


def initial_market_status(time_ms: TimeMs, height: Height) -> MarketStatus:
    """Return a new market's status, at genesis or later: CANCEL_ONLY, no quorum yet (X2)."""
    return MarketStatus(
        mode=Mode.CANCEL_ONLY,
        since_ms=time_ms,
        since_height=height,
        quorum_ms=DurationMs(0),
        quorum_blocks=0,
    )


# --- toward stricter ------------------------------------------------------------------------------


def process_gap(ledger: Ledger) -> None:
    """Close the chain and every market after a gap, withdrawals too after a long one (X2, M3).

    Block 1 has no gap: genesis may be old.
    """
    if not is_gap(ledger):
        return
    gap = ledger.time_ms - ledger.parent_time_ms
    status = ledger.status._replace(gap_end_ms=ledger.time_ms)
    if gap > ledger.params.withdrawal_gap_ms:
        status = compute_gated(status, ledger.time_ms, ledger.params)
    ledger.set_status(status)
    if status.mode < Mode.CANCEL_ONLY:
        set_chain_mode(ledger, Mode.CANCEL_ONLY, ModeReason.GAP)
    for market in ledger.market_ids:
        _close_market(ledger, market, ModeReason.GAP)


def is_gap(ledger: Ledger) -> bool:
    """Tell whether the block came too late after its parent (X2); block 1 can't."""
    gap = ledger.time_ms - ledger.parent_time_ms
    return ledger.height > 1 and gap > ledger.params.gap_ms_max


def is_alarmed(ledger: Ledger, market: MarketId) -> bool:
    """Tell whether this block closes the market: a gap, STALE or JUMP (X2)."""
    oracle = get_oracle(ledger, market)
    return oracle.stale or bool(oracle.jump) or is_gap(ledger)


def process_alarms(ledger: Ledger) -> None:
    """Close every market whose price is STALE or waits as a JUMP (P1, P2, X2)."""
    for market in ledger.market_ids:
        oracle = get_oracle(ledger, market)
        if oracle.stale:
            _close_market(ledger, market, ModeReason.STALE)
        elif oracle.jump:
            _close_market(ledger, market, ModeReason.JUMP)


def _close_market(ledger: Ledger, market: MarketId, reason: ModeReason) -> None:
    """Step back to CANCEL_ONLY, or begin the way out of it anew."""
    status = get_status(ledger, market)
    if status.mode < Mode.CANCEL_ONLY:
        if status.mode == Mode.OPEN:
            reset_funding(ledger, market)
        set_market_mode(ledger, market, Mode.CANCEL_ONLY, reason)
    elif status.quorum_blocks > 0:
        ledger.statuses.set(market, status._replace(quorum_ms=DurationMs(0), quorum_blocks=0))


# --- what rests in POST_ONLY ----------------------------------------------------------------------


def process_post_only_limits(ledger: Ledger) -> None:
    """Cancel resting orders that reach too far for POST_ONLY; triggers stay (RULES, Modes)."""
    for market in ledger.market_ids:
        if get_mode(ledger, market) != Mode.POST_ONLY:
            continue
        limits = compute_post_only_limits(get_oracle(ledger, market).price)
        book = ledger.book(market)
        while (bid := book.best_bid()) is not None and bid.price > limits.highest_buy:
            process_removal(ledger, market, bid, CancelReason.MODE)
        while (ask := book.best_ask()) is not None and ask.price < limits.lowest_sell:
            process_removal(ledger, market, ask, CancelReason.MODE)


# --- toward OPEN ----------------------------------------------------------------------------------


def process_reopening(ledger: Ledger) -> None:
    """Count quorums and step chain and markets toward OPEN, from the next block on (X2).

    Nothing steps while the chain is HALTED or about to be; a HALTED market stays. What the council
    holds steps no further than that, and not in the block that sets it.
    """
    chain = ledger.status
    if chain.mode == Mode.HALTED or chain.halt_height == ledger.height:
        return
    decreed = {decree.market for decree in chain.decrees}
    confirmed, reopened, is_market_beyond = [], [], False
    for market in ledger.market_ids:
        status = get_status(ledger, market)
        if market in decreed:
            continue
        is_market_beyond = is_market_beyond or status.mode < Mode.CANCEL_ONLY
        if status.mode == Mode.CANCEL_ONLY:
            counted = _process_quorum(ledger, market)
            if status.held <= Mode.POST_ONLY and _is_confirmed(ledger, counted):
                confirmed.append(market)
        elif (
            status.mode == Mode.POST_ONLY
            and status.held == Mode.OPEN
            and _is_seasoned(ledger, status)
            and _has_book_or_waited(ledger, market, status)
        ):
            reopened.append(market)
    if CHAIN not in decreed:
        _process_chain_reopening(ledger, is_confirmed=bool(confirmed) or is_market_beyond)
    for market in confirmed:
        set_market_mode(ledger, market, Mode.POST_ONLY, ModeReason.REOPENING)
    for market in reopened:
        set_market_mode(ledger, market, Mode.OPEN, ModeReason.REOPENING)


def _process_chain_reopening(ledger: Ledger, *, is_confirmed: bool) -> None:
    chain = ledger.status
    if chain.mode == Mode.CANCEL_ONLY and chain.held <= Mode.POST_ONLY and is_confirmed:
        set_chain_mode(ledger, Mode.POST_ONLY, ModeReason.REOPENING)
    elif chain.mode == Mode.POST_ONLY and chain.held == Mode.OPEN and _is_seasoned(ledger, chain):
        set_chain_mode(ledger, Mode.OPEN, ModeReason.REOPENING)


def _process_quorum(ledger: Ledger, market: MarketId) -> MarketStatus:
    """Count this block if a fresh quorum was observed after the gap, else begin anew (X2).

    The first such block begins the time; each later one adds its own.
    """
    status = get_status(ledger, market)
    oracle = get_oracle(ledger, market)
    age_max = ledger.market_params(market).price_age_ms_max
    observed_from = TimeMs(max(ledger.status.gap_end_ms, ledger.time_ms - age_max))
    if (
        oracle.stale
        or oracle.jump
        or len(get_fresh_reports(ledger, market, observed_from)) < ledger.params.reporter_quorum
    ):
        counted = status._replace(quorum_ms=DurationMs(0), quorum_blocks=0)
    elif status.quorum_blocks == 0:
        counted = status._replace(quorum_ms=DurationMs(0), quorum_blocks=1)
    else:
        counted = status._replace(
            quorum_ms=DurationMs(status.quorum_ms + ledger.time_ms - ledger.parent_time_ms),
            quorum_blocks=status.quorum_blocks + 1,
        )
    if counted != status:
        ledger.statuses.set(market, counted)
    return counted


def _is_confirmed(ledger: Ledger, status: MarketStatus) -> bool:
    return (
        status.quorum_ms >= ledger.params.confirm_ms and status.quorum_blocks >= CONFIRM_BLOCKS_MIN
    )


def _is_seasoned(ledger: Ledger, status: MarketStatus | ChainStatus) -> bool:
    """Tell whether POST_ONLY has lasted reopen_ms and 5 blocks; an alarm would have ended it."""
    return (
        ledger.time_ms - status.since_ms >= ledger.params.reopen_ms
        and ledger.height - status.since_height >= REOPEN_BLOCKS_MIN
    )


def _has_book_or_waited(ledger: Ledger, market: MarketId, status: MarketStatus) -> bool:
    params = ledger.params
    if not params.reopen_needs_book or ledger.time_ms - status.since_ms >= params.book_wait_ms:
        return True
    band = compute_mark_band(
        get_oracle(ledger, market).price, ledger.market_params(market).mark_band_ppm
    )
    return is_two_sided(get_impact_prices(ledger, market), band)


def set_market_mode(ledger: Ledger, market: MarketId, mode: Mode, reason: ModeReason) -> None:
    """Let a market enter a mode now, its way out of CANCEL_ONLY anew."""
    before = get_status(ledger, market)
    ledger.statuses.set(
        market,
        MarketStatus(
            mode=mode,
            since_ms=ledger.time_ms,
            since_height=ledger.height,
            quorum_ms=DurationMs(0),
            quorum_blocks=0,
            held=before.held,
        ),
    )
    ledger.emit(ModeChanged(market, before.mode, mode, reason))


def set_chain_mode(ledger: Ledger, mode: Mode, reason: ModeReason) -> None:
    """Let the chain enter a mode now."""
    before = ledger.status
    ledger.set_status(
        before._replace(mode=mode, since_ms=ledger.time_ms, since_height=ledger.height)
    )
    ledger.emit(ModeChanged(CHAIN, before.mode, mode, reason))
