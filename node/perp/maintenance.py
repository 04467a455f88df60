"""A maintenance window: announced before, OPEN → CANCEL_ONLY → HALTED and back (RULES X3).

It does nothing that the council could not do by hand: at its heights it sets the decrees that the
council would set, so the modes' rules and their checks stay what they are. Its end is a block time,
because a HALTED chain makes no blocks: the first block at or after it, empty if need be, resumes
the chain, and X2 leads from CANCEL_ONLY to OPEN.
"""

from typing import NamedTuple

from node.errors import HaltHeightPassed, InvalidMaintenance
from node.perp.decrees import process_decree, process_halt, process_resume
from node.perp.events import MaintenanceScheduled
from node.perp.ledger import Ledger
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import CHAIN, Decree, Mode
from node.units import Height, TimeMs


class Maintenance(NamedTuple):
    """The one window that is scheduled; a single record, absent without one."""

    start_height: Height
    """From the end of this block on the chain is CANCEL_ONLY."""
    halt_height: Height
    """From the end of this block on it is HALTED."""
    end_ms: TimeMs
    """The first block from this time on ends the halt."""


NO_WINDOW = Maintenance(Height(0), Height(0), TimeMs(0))


def process_schedule(ledger: Ledger, window: Maintenance) -> None:
    """Schedule a window, in place of one that has not begun; only the end of one may move (X3).

    All zeros call off one that has not begun. Raise HaltHeightPassed for a start that is not ahead,
    InvalidMaintenance unless start < halt and the end is ahead, while another window is on, or if
    there is none to be called off.
    """
    current = ledger.maintenance
    has_begun = current is not None and ledger.height >= current.start_height
    if window == NO_WINDOW and current is not None and not has_begun:
        ledger.set_maintenance(None)
        ledger.emit(MaintenanceScheduled(*window))
        return
    is_moved = has_begun and current is not None and window[:2] == current[:2]
    if not is_moved and 0 < window.start_height <= ledger.height:
        raise HaltHeightPassed(window.start_height, ledger.height)
    if (
        has_begun != is_moved
        or window.halt_height <= window.start_height
        or not ledger.time_ms < window.end_ms <= MAGNITUDE_MAX
        or window.halt_height > MAGNITUDE_MAX
    ):
        raise InvalidMaintenance(window.start_height, window.halt_height, window.end_ms)
    ledger.set_maintenance(window)
    ledger.emit(MaintenanceScheduled(*window))


def process_maintenance(ledger: Ledger) -> None:
    """Take the step of the window that this block is due for (X3).

    Before the council's own actions, which thus have the last word: a halt that the council made
    is not the window's to end.
    """
    window = ledger.maintenance
    if window is None:
        return
    status = ledger.status
    if ends_halt(ledger):
        ledger.set_maintenance(None)
        process_resume(ledger)
    elif is_over(ledger, window):
        ledger.set_maintenance(None)
        if status.mode != Mode.HALTED:
            process_decree(ledger, Decree(CHAIN, status.mode, held=Mode.OPEN))
    elif ledger.height == window.start_height:
        closed = max(status.mode, Mode.CANCEL_ONLY)
        process_decree(ledger, Decree(CHAIN, closed, held=Mode.CANCEL_ONLY))
    elif ledger.height == window.halt_height and status.mode != Mode.HALTED:
        process_halt(ledger, window.halt_height)


def ends_halt(ledger: Ledger) -> bool:
    """Tell whether this block's time ends the window's halt: a block may be made for it (X3)."""
    window, status = ledger.maintenance, ledger.status
    return (
        window is not None
        and status.mode == Mode.HALTED
        and status.since_height == window.halt_height
        and is_over(ledger, window)
    )


def is_over(ledger: Ledger, window: Maintenance) -> bool:
    """Tell whether the window began, and its end has come."""
    return ledger.height > window.start_height and ledger.time_ms >= window.end_ms
