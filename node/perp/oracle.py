"""Signed price reports, their lower median, and when a market believes it (RULES P1, P2)."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from node.errors import JumpNotAsAcknowledged, MarketNotFound, NoJump, NotReporter
from node.perp.events import JumpAcknowledged, PriceAccepted, PriceReported, ReportRefused
from node.perp.ledger import Ledger
from node.perp.parameters import MAGNITUDE_MAX, MarketParams
from node.perp.status import Mode, get_mode, require_mode
from node.units import PPM, Address, Height, MarketId, RatePpm, Ticks, TimeMs

JUMP_WINDOW_MS = 1_000
"""The jump test looks back at the oldest price accepted within this time (P2)."""
CONFIRM_BLOCKS_MIN = 3
"""A jump is confirmed by at least this many blocks (P2)."""


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
    """Changes of the accepted price, oldest first: those of the jump window, and the one in force
    when it began. It starts anew after a JUMP (P2)."""
    stale: bool
    """Fewer than a quorum of fresh reports in this block (P1)."""
    jump: tuple[Jump, ...]
    """Empty, or the one jump that waits."""


class ReportRefusal(IntEnum):
    """Why a report does not count (P2); the codes are the ABI's."""

    INVALID_PRICE = 0
    """Not positive, or beyond 53 bits."""
    FROM_THE_FUTURE = 1
    """Observed after the block's time."""
    NOT_NEWER = 2
    """Not observed after the reporter's last."""
    WRONG_FORK = 3
    """Signed for another branch of this chain."""


def initial_oracle() -> Oracle:
    """Return a new market's oracle: nothing accepted, and stale until a quorum has reported."""
    return Oracle(price=Ticks(0), accepted=(), stale=True, jump=())


def get_oracle(ledger: Ledger, market: MarketId) -> Oracle:
    """Return the market's oracle; raise MarketNotFound if there is no such market."""
    oracle = ledger.oracles.get(market)
    if oracle is None:
        raise MarketNotFound(market)
    return oracle


def get_fresh_reports(ledger: Ledger, market: MarketId, observed_from: TimeMs) -> Sequence[Report]:
    """Return each reporter's latest report, unless it was observed before `observed_from` (P1)."""
    reports = []
    for reporter in ledger.params.reporters:
        report = ledger.reports.get((market, reporter))
        if report is not None and report.observed_ms >= observed_from:
            reports.append(report)
    return reports


# --- reports --------------------------------------------------------------------------------------


def process_report(
    ledger: Ledger,
    reporter: Address,
    market: MarketId,
    price: Ticks,
    observed_ms: TimeMs,
    fork_id: int,
) -> None:
    """Take a reporter's report, or say by an event why it does not count (P1, P2).

    Raise MarketNotFound, NotReporter or, while HALTED, NotAllowedInMode.
    """
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    if reporter not in ledger.params.reporters:
        raise NotReporter(reporter)
    refusal = _find_refusal(
        ledger, ledger.reports.get((market, reporter)), Report(price, observed_ms), fork_id
    )
    if refusal is not None:
        ledger.emit(ReportRefused(market, reporter, price, observed_ms, refusal))
        return
    ledger.reports.set((market, reporter), Report(price, observed_ms))
    ledger.emit(PriceReported(market, reporter, price, observed_ms))


def _find_refusal(
    ledger: Ledger, last: Report | None, report: Report, fork_id: int
) -> ReportRefusal | None:
    if not 0 < report.price <= MAGNITUDE_MAX:
        return ReportRefusal.INVALID_PRICE
    if report.observed_ms > ledger.time_ms:
        return ReportRefusal.FROM_THE_FUTURE
    if last is not None and report.observed_ms <= last.observed_ms:
        return ReportRefusal.NOT_NEWER
    if fork_id != ledger.status.fork_id:
        return ReportRefusal.WRONG_FORK
    return None


# --- the council's word ---------------------------------------------------------------------------


def process_acknowledgement(ledger: Ledger, market: MarketId, price: Ticks) -> Ticks:
    """Accept the price that waits as a JUMP, and return it (P2).

    Prices come from reporters alone: the council says which one it has seen. Raise
    MarketNotFound, NotAllowedInMode while HALTED, NoJump, or JumpNotAsAcknowledged if what waits
    lies farther from `price` than a price may move.
    """
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    oracle = get_oracle(ledger, market)
    reports = get_usable_reports(ledger, market)
    if not oracle.jump or len(reports) < ledger.params.reporter_quorum:
        raise NoJump(market)
    candidate = compute_lower_median([report.price for report in reports])
    if not is_within(candidate, price, ledger.market_params(market).price_move_ppm_max):
        raise JumpNotAsAcknowledged(market, candidate, price)
    ledger.oracles.set(market, compute_acknowledged(oracle, candidate, ledger.time_ms))
    ledger.emit(JumpAcknowledged(market, candidate))
    if candidate != oracle.price:
        ledger.emit(PriceAccepted(market, oracle.price, candidate))
    return candidate


def compute_acknowledged(oracle: Oracle, candidate: Ticks, time_ms: TimeMs) -> Oracle:
    """Return the oracle that took over the price that waited; its history starts anew (P2)."""
    return _accept(oracle, candidate, time_ms)


# --- the accepted price ---------------------------------------------------------------------------


def process_prices(ledger: Ledger) -> None:
    """Judge every market's candidate: STALE, accepted, or a JUMP that waits (P1, P2).

    A HALTED market's oracle stands still. Nothing is written where nothing changed.
    """
    for market in ledger.market_ids:
        if get_mode(ledger, market) == Mode.HALTED:
            continue
        before = get_oracle(ledger, market)
        oracle = compute_oracle(
            before,
            get_usable_reports(ledger, market),
            quorum=ledger.params.reporter_quorum,
            time_ms=ledger.time_ms,
            height=ledger.height,
            params=ledger.market_params(market),
        )
        if oracle != before:
            ledger.oracles.set(market, oracle)
            if oracle.price != before.price:
                ledger.emit(PriceAccepted(market, before.price, oracle.price))


def compute_oracle(
    oracle: Oracle,
    reports: Sequence[Report],
    *,
    quorum: int,
    time_ms: TimeMs,
    height: Height,
    params: MarketParams,
) -> Oracle:
    """Return the oracle after a block with these fresh reports (P1, P2).

    The first price ever is accepted untested. A waiting jump ends when it is confirmed, when the
    candidate comes back, or for lack of a quorum; on the other side it starts anew.
    """
    if len(reports) < quorum:
        return oracle._replace(stale=True, jump=())
    candidate = compute_lower_median([report.price for report in reports])
    if oracle.price == 0:
        return _accept(oracle, candidate, time_ms)
    reference = compute_reference(oracle, time_ms)
    if is_within(candidate, reference, params.price_move_ppm_max):
        return _accept(oracle, candidate, time_ms)
    up = candidate > reference
    waiting = oracle.jump[0] if oracle.jump and oracle.jump[0].up == up else None
    if waiting is None:
        jump = Jump(up=up, since_ms=time_ms, since_height=height)
        return oracle._replace(stale=False, jump=(jump,))
    if (
        time_ms - waiting.since_ms >= params.price_confirm_ms
        and height - waiting.since_height + 1 >= CONFIRM_BLOCKS_MIN
        and all(report.observed_ms > waiting.since_ms for report in reports)
    ):
        return _accept(oracle, candidate, time_ms)
    return oracle._replace(stale=False)


def compute_lower_median(prices: Sequence[Ticks]) -> Ticks:
    """Return the middle price, the lower of two (P1)."""
    return sorted(prices)[(len(prices) - 1) >> 1]


def compute_reference(oracle: Oracle, time_ms: TimeMs) -> Ticks:
    """Return what the jump test compares with (P2).

    That is the oldest price that was the accepted one within the last 1,000 ms: a jump cut into
    many small blocks stays a jump, while it waits too.
    """
    kept = _get_window(oracle.accepted, time_ms)
    return kept[0].price if kept else oracle.price


def is_within(candidate: Ticks, reference: Ticks, move_max: RatePpm) -> bool:
    """Tell whether |candidate - reference|·1e6 ≤ max_move_ppm·reference (P2)."""
    return abs(candidate - reference) * PPM <= move_max * reference


def get_usable_reports(ledger: Ledger, market: MarketId) -> Sequence[Report]:
    """Return each reporter's latest report that is not older than price_age_ms_max (P1)."""
    age_max = ledger.market_params(market).price_age_ms_max
    return get_fresh_reports(ledger, market, TimeMs(ledger.time_ms - age_max))


def _accept(oracle: Oracle, price: Ticks, time_ms: TimeMs) -> Oracle:
    if price == oracle.price and oracle.accepted and not oracle.jump:
        return oracle._replace(stale=False)
    kept = () if oracle.jump else _get_window(oracle.accepted, time_ms)
    return Oracle(
        price=price, accepted=(*kept, AcceptedPrice(price, time_ms)), stale=False, jump=()
    )


def _get_window(accepted: tuple[AcceptedPrice, ...], time_ms: TimeMs) -> tuple[AcceptedPrice, ...]:
    """Drop what was replaced before the jump window began."""
    first = 0
    while first + 1 < len(accepted) and accepted[first + 1].time_ms <= time_ms - JUMP_WINDOW_MS:
        first += 1
    return accepted[first:]
