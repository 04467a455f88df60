"""X1 and Modes: what the council sets is done at the block's end, and I7 knows what it set."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from node.errors import InvalidCancelFilter, InvariantViolation, MarketNotFound, NotHalted
from node.perp.decrees import (
    compute_decreed,
    process_cancel_filtered,
    process_decrees,
    process_halt,
    process_resume,
    process_set_mode,
)
from node.perp.funding import compute_elapsed, get_funding
from node.perp.invariants import Touched, check_block
from node.perp.mark import process_mark
from node.perp.modes import process_reopening
from node.perp.oracle import Report, process_prices
from node.perp.order import CancelFilter
from node.perp.status import CHAIN, Decree, Mode, ModeReason, get_ending_mode, get_status
from node.units import Address, Height, MarketId, Ticks, TimeMs
from tests.helpers.ledger import MARKET, DictLedger, make_ledger, make_market, reporter, trader


def end_block(ledger: DictLedger) -> None:
    process_reopening(ledger)
    process_decrees(ledger)


def check(before: DictLedger, after: DictLedger) -> None:
    check_block(before, after, Touched((), (), (), after.events[len(before.events) :]))


def test_until_the_block_ends_nothing_has_changed() -> None:
    ledger = make_ledger()

    process_halt(ledger, Height(0))
    process_set_mode(ledger, MARKET, Mode.POST_ONLY)

    assert (ledger.status.mode, get_status(ledger, MARKET).mode) == (Mode.OPEN, Mode.OPEN)
    assert get_ending_mode(ledger, MARKET) == Mode.HALTED
    end_block(ledger)
    assert (ledger.status.mode, get_status(ledger, MARKET).mode) == (Mode.HALTED, Mode.POST_ONLY)
    assert (ledger.status.decrees, ledger.status.halt_height) == ((), 0)


def test_decree_for_a_market_does_not_end_another_ones_mode() -> None:
    ledger = make_ledger()
    other = make_market(ledger)

    process_set_mode(ledger, other, Mode.CANCEL_ONLY)

    assert get_ending_mode(ledger, other) == Mode.CANCEL_ONLY
    assert get_ending_mode(ledger, MARKET) == Mode.OPEN


def test_a_halt_wins_over_a_mode_set_in_its_block() -> None:
    for first, second in ((process_halt, process_set_mode), (process_set_mode, process_halt)):
        ledger = make_ledger()
        for action in (first, second):
            if action is process_halt:
                process_halt(ledger, Height(0))
            else:
                process_set_mode(ledger, CHAIN, Mode.POST_ONLY)

        end_block(ledger)

        assert (ledger.status.mode, ledger.status.held) == (Mode.HALTED, Mode.POST_ONLY)


def test_funding_counts_no_time_in_a_block_that_will_not_end_open() -> None:
    ledger = make_ledger()
    assert compute_elapsed(ledger, MARKET) == 1_000

    process_set_mode(ledger, MARKET, Mode.POST_ONLY)

    assert compute_elapsed(ledger, MARKET) == 0


def test_leaving_open_forgets_the_samples_f2() -> None:
    for close in (
        lambda ledger: process_halt(ledger, Height(0)),
        lambda ledger: process_set_mode(ledger, MARKET, Mode.POST_ONLY),
        lambda ledger: process_set_mode(ledger, CHAIN, Mode.CANCEL_ONLY),
    ):
        ledger = make_ledger()
        funding = get_funding(ledger, MARKET)
        ledger.fundings.set(MARKET, funding._replace(premium_sum=77))

        close(ledger)
        end_block(ledger)

        assert get_funding(ledger, MARKET).premium_sum == 0


def test_under_an_alarm_a_decree_leads_to_cancel_only_and_no_further() -> None:
    for mode in Mode:
        decree = Decree(MARKET, mode, mode)
        assert compute_decreed(decree, is_alarmed=False) == mode
        assert compute_decreed(decree, is_alarmed=True) == max(mode, Mode.CANCEL_ONLY)


def test_a_resume_without_a_halt_is_refused_and_after_one_closes_every_market() -> None:
    ledger = make_ledger()
    with pytest.raises(NotHalted):
        process_resume(ledger)
    process_halt(ledger, Height(0))
    end_block(ledger)

    assert process_resume(ledger) == Mode.HALTED
    end_block(ledger)

    assert ledger.status.mode == get_status(ledger, MARKET).mode == Mode.CANCEL_ONLY
    assert (ledger.status.gap_end_ms, ledger.status.held) == (ledger.time_ms, Mode.OPEN)


# --- I7 -------------------------------------------------------------------------------------------

Change = Callable[[DictLedger], object]

CHANGES: list[Change] = [
    lambda ledger: process_halt(ledger, Height(0)),
    lambda ledger: process_halt(ledger, Height(ledger.height + 3)),
    lambda ledger: process_set_mode(ledger, MARKET, Mode.CANCEL_ONLY),
    lambda ledger: process_set_mode(ledger, CHAIN, Mode.POST_ONLY),
]


def make_reported_ledger() -> DictLedger:
    """Return a ledger whose market has a quorum of fresh reports, so that nothing is alarmed."""
    ledger = make_ledger()
    for number in (1, 2):
        observed = TimeMs(ledger.time_ms - 10)
        ledger.reports.set((MARKET, reporter(number)), Report(Ticks(100), observed))
    process_prices(ledger)
    process_mark(ledger)
    return ledger


def run_block(change: Change) -> tuple[DictLedger, DictLedger]:
    before = make_reported_ledger()
    after = copy.deepcopy(before)
    change(after)
    end_block(after)
    return before, after


@pytest.mark.parametrize("change", CHANGES, ids=["halt now", "halt later", "market", "chain"])
def test_what_the_council_set_holds_i7(change: Change) -> None:
    before, after = run_block(change)

    check(before, after)


def alter_status(ledger: DictLedger, **fields: Any) -> None:
    ledger.set_status(ledger.status._replace(**fields))


@pytest.mark.parametrize(
    ("change", "lie", "named"),
    [
        (0, lambda ledger: alter_status(ledger, mode=Mode.OPEN), "chain, mode"),
        (1, lambda ledger: alter_status(ledger, halt_height=Height(0)), "halt_height"),
        (1, lambda ledger: alter_status(ledger, mode=Mode.HALTED), "chain, mode"),
        (3, lambda ledger: alter_status(ledger, held=Mode.OPEN), "held mode"),
        (3, lambda ledger: alter_status(ledger, mode=Mode.OPEN), "chain, mode"),
        (
            3,
            lambda ledger: alter_status(ledger, decrees=(Decree(CHAIN, Mode.OPEN, Mode.OPEN),)),
            "decrees",
        ),
    ],
)
def test_what_the_council_did_not_set_is_rejected_i7(change: int, lie: Change, named: str) -> None:
    before, after = run_block(CHANGES[change])
    lie(after)

    with pytest.raises(InvariantViolation, match=rf"I7.*{named}"):
        check(before, after)


def test_a_mode_by_governance_without_its_decree_is_rejected_i7() -> None:
    before = make_reported_ledger()
    after = copy.deepcopy(before)
    process_set_mode(after, MARKET, Mode.CANCEL_ONLY)
    end_block(after)
    told = [
        event
        for event in after.events[len(before.events) :]
        if type(event).__name__ != "ModeDecreed"
    ]
    assert any(getattr(event, "reason", None) == ModeReason.GOVERNANCE for event in told)

    with pytest.raises(InvariantViolation, match=r"I7.*market 1, mode"):
        check_block(before, after, Touched((), (), (), told))


# --- cancelling by a filter -----------------------------------------------------------------------

SOMEBODY, NOBODY = trader(1), Address(bytes(20))


@pytest.mark.parametrize(
    ("filter_code", "market", "account"),
    [
        (9, 0, NOBODY),  # no such filter
        (CancelFilter.ALL_BUT_TRIGGERS, 1, NOBODY),  # a field that the filter does not use
        (CancelFilter.ALL_BUT_TRIGGERS, 0, SOMEBODY),
        (CancelFilter.MARKET, 0, NOBODY),  # one that it needs
        (CancelFilter.MARKET, 1, SOMEBODY),
        (CancelFilter.ACCOUNT, 0, NOBODY),
        (CancelFilter.ACCOUNT, 1, SOMEBODY),
    ],
)
def test_filter_takes_the_fields_that_it_uses_and_no_other(
    filter_code: int, market: int, account: Address
) -> None:
    with pytest.raises(InvalidCancelFilter):
        process_cancel_filtered(make_ledger(), filter_code, MarketId(market), account)


def test_filter_of_a_missing_market_is_refused() -> None:
    with pytest.raises(MarketNotFound):
        process_cancel_filtered(make_ledger(), CancelFilter.MARKET, MarketId(9), NOBODY)
