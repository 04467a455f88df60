"""What ends by itself: orders whose time is over, and all of whoever went silent (RULES O1).

Block time counts, and every mode but HALTED: an order must not come back to life at a price of
yesterday because its market stood still. Nothing is walked but what is over.
"""

from typing import NamedTuple

from node.perp.account import get_account
from node.perp.cancelling import process_clearance
from node.perp.events import DeadlinePassed, DeadlineSet
from node.perp.follow import process_removal, process_trigger_removal
from node.perp.ledger import Ledger
from node.perp.limits import require_future
from node.perp.order import NEVER, CancelReason
from node.perp.status import Mode, get_mode
from node.units import Address, TimeMs


class Deadline(NamedTuple):
    """An account's dead-man's cancel; key: account; absent: not armed."""

    cancel_at_ms: TimeMs
    """From this block time on everything is cancelled, unless renewed before (O1)."""


def process_expiries(ledger: Ledger) -> None:
    """Remove what is over, by market, expiry and id; then clear for those who went silent (O1)."""
    if ledger.status.mode == Mode.HALTED:
        return
    for market in ledger.market_ids:
        book = ledger.book(market)
        expired = book.expired(ledger.time_ms)
        if not expired or get_mode(ledger, market) == Mode.HALTED:
            continue
        for order_id in expired:
            order, trigger = book.orders.get(order_id), book.triggers.get(order_id)
            if order is not None:
                process_removal(ledger, market, order, CancelReason.EXPIRED)
            elif trigger is not None:
                process_trigger_removal(ledger, market, trigger, CancelReason.EXPIRED)
    for owner in ledger.silent(ledger.time_ms):
        _process_deadline(ledger, owner)


def process_dead_mans_cancel(ledger: Ledger, owner: Address, cancel_at_ms: TimeMs) -> None:
    """Arm or renew an account's dead-man's cancel; raise InvalidExpiry (O1)."""
    require_future(ledger, cancel_at_ms)
    ledger.deadlines.set(owner, Deadline(cancel_at_ms))
    ledger.emit(DeadlineSet(owner, cancel_at_ms))


def process_disarming(ledger: Ledger, owner: Address) -> None:
    """Disarm an account's dead-man's cancel, if it is armed (O1)."""
    if ledger.deadlines.get(owner) is not None:
        ledger.deadlines.delete(owner)
        ledger.emit(DeadlineSet(owner, NEVER))


def _process_deadline(ledger: Ledger, owner: Address) -> None:
    """Cancel all that an account has open; what HALTED markets hold keeps the deadline armed."""
    deadline = ledger.deadlines.get(owner)
    assert deadline is not None, "who is silent has a deadline"
    is_waiting = False
    for market in get_account(ledger, owner).markets:
        if get_mode(ledger, market) == Mode.HALTED:
            is_waiting |= ledger.book(market).has_owner(owner)
        else:
            process_clearance(ledger, owner, market, CancelReason.DEADLINE)
    if not is_waiting:
        ledger.deadlines.delete(owner)
        ledger.emit(DeadlinePassed(owner, deadline.cancel_at_ms))
