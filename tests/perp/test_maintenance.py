"""A maintenance window walks the chain to HALTED and back by itself (X3)."""

import pytest

from node.errors import HaltHeightPassed, InvalidMaintenance
from node.perp.decrees import process_decrees, process_halt, process_resume
from node.perp.maintenance import Maintenance, is_over, process_maintenance, process_schedule
from node.perp.modes import process_reopening
from node.perp.status import Mode
from node.units import Height, TimeMs
from tests.helpers.ledger import DictLedger, make_ledger, next_block, set_chain_mode

END = 10_000
"""Milliseconds after the first block."""


def window(ledger: DictLedger, start: int = 2, halt: int = 4, end_ms: int = END) -> Maintenance:
    """Return a window by blocks and time from now."""
    return Maintenance(
        Height(ledger.height + start),
        Height(ledger.height + halt),
        TimeMs(ledger.time_ms + end_ms),
    )


def run_block(ledger: DictLedger, elapsed_ms: int = 1_000) -> Mode:
    """Run a block without people and return the chain's mode after it."""
    next_block(ledger, elapsed_ms)
    process_maintenance(ledger)
    process_reopening(ledger)
    process_decrees(ledger)
    return ledger.status.mode


def test_window_walks_to_halted_and_back_x3() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))

    modes = [run_block(ledger) for _ in range(5)]

    closed, halted = Mode.CANCEL_ONLY, Mode.HALTED
    assert modes == [Mode.OPEN, closed, closed, halted, halted]
    assert ledger.status.held == Mode.CANCEL_ONLY
    assert run_block(ledger, 5_000) == Mode.CANCEL_ONLY
    assert (ledger.status.held, ledger.maintenance) == (Mode.OPEN, None)
    # X2 goes on from here: reports from before the window don't count.
    assert ledger.status.gap_end_ms == ledger.time_ms


def test_window_without_a_block_in_time_ends_with_the_next_x3() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))
    for _ in range(4):
        run_block(ledger)
    scheduled = ledger.maintenance
    assert scheduled is not None
    assert not is_over(ledger, scheduled)

    next_block(ledger, 10**7)

    assert is_over(ledger, scheduled)
    process_maintenance(ledger)
    process_decrees(ledger)
    assert ledger.status.mode == Mode.CANCEL_ONLY


def test_window_whose_time_is_over_before_it_halts_ends_without_a_halt_x3() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger, end_ms=2_500))
    assert [run_block(ledger) for _ in range(2)] == [Mode.OPEN, Mode.CANCEL_ONLY]

    assert run_block(ledger) == Mode.CANCEL_ONLY

    assert (ledger.maintenance, ledger.status.held) == (None, Mode.OPEN)


def test_halt_and_resume_by_hand_come_first_x3() -> None:
    # HALTED by the council before the window's own halt, and resumed before its end.
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))
    run_block(ledger)
    run_block(ledger)
    process_halt(ledger, Height(0))
    process_decrees(ledger)
    assert [run_block(ledger) for _ in range(2)] == [Mode.HALTED, Mode.HALTED]
    process_resume(ledger)
    process_decrees(ledger)
    assert ledger.status.mode == Mode.CANCEL_ONLY

    assert run_block(ledger, END) == Mode.CANCEL_ONLY

    assert ledger.maintenance is None


def test_stricter_chain_stays_stricter_at_the_start_x3() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))
    set_chain_mode(ledger, Mode.HALTED)

    assert [run_block(ledger) for _ in range(4)] == [Mode.HALTED] * 4


def test_halt_by_the_council_is_not_the_windows_to_end_x3_x1() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))
    for _ in range(3):
        run_block(ledger)
    process_halt(ledger, Height(0))
    process_decrees(ledger)

    assert run_block(ledger, END) == Mode.HALTED

    assert ledger.maintenance is None
    process_resume(ledger)
    process_decrees(ledger)
    assert (ledger.status.mode, ledger.status.held) == (Mode.CANCEL_ONLY, Mode.OPEN)


def test_halt_of_the_councils_that_is_due_stays_due_x3_x1() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger, end_ms=2_500))
    run_block(ledger)
    run_block(ledger)
    due = process_halt(ledger, Height(ledger.height + 2))

    assert run_block(ledger) == Mode.CANCEL_ONLY

    assert (ledger.status.halt_height, ledger.status.held) == (due, Mode.OPEN)
    assert run_block(ledger) == Mode.HALTED


def test_no_window_no_step_x3() -> None:
    ledger = make_ledger()

    assert run_block(ledger) == Mode.OPEN


def test_window_that_has_not_begun_may_be_replaced_x3() -> None:
    ledger = make_ledger()
    process_schedule(ledger, window(ledger))
    later = window(ledger, start=3)
    process_schedule(ledger, later)
    assert ledger.maintenance == later
    for _ in range(3):
        run_block(ledger)

    with pytest.raises(InvalidMaintenance):
        process_schedule(ledger, window(ledger))


@pytest.mark.parametrize(("start", "halt", "end_ms"), [(2, 2, END), (2, 4, 0), (3, 1, END)])
def test_window_must_make_sense_x3(start: int, halt: int, end_ms: int) -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidMaintenance):
        process_schedule(ledger, window(ledger, start, halt, end_ms))
    assert ledger.maintenance is None


@pytest.mark.parametrize("start", [0, -1])
def test_window_must_be_ahead_x3(start: int) -> None:
    ledger = make_ledger()

    with pytest.raises(HaltHeightPassed):
        process_schedule(ledger, window(ledger, start))
