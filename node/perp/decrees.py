"""What the council sets: halts, modes, the way back, and what it cancels (RULES X1, Modes, X2).

The council executes first in a block, and its modes take effect at the block's end: with a halt at
H, H is the last ordinary block. So an action only writes down a decree; `process_decrees` carries
them out as the last change of a block.

A mode that the council set is held: the alarms of X2 may close further, and its way back leads no
further toward OPEN than that. Nobody, the council neither, opens what is under an alarm: a price
that is STALE or jumped, a gap, the end of a halt. Such a decree leads to CANCEL_ONLY, and X2 goes
on from there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from node.errors import (
    HaltHeightPassed,
    InvalidCancelFilter,
    InvalidMode,
    NotAllowedInMode,
    NotHalted,
)
from node.perp.events import HaltScheduled, ModeDecreed
from node.perp.fill import process_removal, process_trigger_removal
from node.perp.funding import reset_funding
from node.perp.ledger import Ledger
from node.perp.market import require_living
from node.perp.modes import is_alarmed, is_gap, set_chain_mode, set_market_mode
from node.perp.order import CancelFilter, CancelReason, Order, Trigger
from node.perp.status import CHAIN, Decree, Mode, ModeReason, get_status
from node.units import Address, DurationMs, Height, MarketId, OrderId

R = TypeVar("R", Order, Trigger)


class Filtered(NamedTuple):
    """What a filter means in one market, by id."""

    market: MarketId
    orders: Sequence[Order]
    triggers: Sequence[Trigger]


# --- actions --------------------------------------------------------------------------------------


def process_halt(ledger: Ledger, height: Height) -> Height:
    """Halt the chain at the end of a block, 0: of this one; return which (X1).

    Of several the earliest counts. Raise HaltHeightPassed, or NotAllowedInMode if it is HALTED.
    """
    status = ledger.status
    if status.mode == Mode.HALTED:
        raise NotAllowedInMode(CHAIN, Mode.HALTED)
    wanted = height or ledger.height
    if wanted < ledger.height:
        raise HaltHeightPassed(wanted, ledger.height)
    earliest = min(wanted, status.halt_height) if status.halt_height else wanted
    ledger.set_status(status._replace(halt_height=earliest))
    ledger.emit(HaltScheduled(earliest))
    return earliest


def process_set_mode(ledger: Ledger, market: MarketId, mode_code: int) -> Mode:
    """Set the mode of a market, or of the chain, from the block's end on; return the mode before.

    Raise MarketNotFound, MarketClosed, InvalidMode for no mode and for a HALTED chain, which a halt
    makes, or NotAllowedInMode for the mode of a chain that is HALTED, which a resume ends.
    """
    before = ledger.status.mode if market == CHAIN else get_status(ledger, market).mode
    if market != CHAIN:
        require_living(ledger, market)
    if mode_code not in tuple(Mode) or (market == CHAIN and mode_code == Mode.HALTED):
        raise InvalidMode(market, mode_code)
    if market == CHAIN and before == Mode.HALTED:
        raise NotAllowedInMode(CHAIN, Mode.HALTED)
    mode = Mode(mode_code)
    process_decree(ledger, Decree(market, mode, held=mode))
    return before


def process_resume(ledger: Ledger) -> Mode:
    """End a halt, or call off one that is due; return the mode before (X1, X2).

    The chain and every market that is more open go to CANCEL_ONLY, and reports observed before
    don't count. Raise NotHalted.
    """
    status = ledger.status
    if status.mode != Mode.HALTED and not status.halt_height:
        raise NotHalted(status.mode)
    if status.halt_height:
        ledger.set_status(status._replace(halt_height=Height(0)))
        ledger.emit(HaltScheduled(Height(0)))
    if status.mode == Mode.HALTED:
        process_decree(ledger, Decree(CHAIN, Mode.CANCEL_ONLY, held=Mode.OPEN))
    return status.mode


def process_cancel_filtered(
    ledger: Ledger, filter_code: int, market: MarketId, account: Address
) -> int:
    """Cancel what the council says, by market and id, in any mode; return how many (Modes).

    Raise InvalidCancelFilter for an unknown code and for a field that the filter does not use, or
    MarketNotFound.
    """
    count = 0
    for filtered in get_filtered(ledger, filter_code, market, account):
        for order in filtered.orders:
            process_removal(ledger, filtered.market, order, CancelReason.GOVERNANCE)
        for trigger in filtered.triggers:
            process_trigger_removal(ledger, filtered.market, trigger, CancelReason.GOVERNANCE)
        count += len(filtered.orders) + len(filtered.triggers)
    return count


def get_filtered(
    ledger: Ledger, filter_code: int, market: MarketId, account: Address
) -> Sequence[Filtered]:
    """Return what a filter means, by market; raise as `process_cancel_filtered` does."""
    refusal = InvalidCancelFilter(filter_code, market, account)
    if filter_code not in tuple(CancelFilter):
        raise refusal
    chosen = CancelFilter(filter_code)
    if bool(market) != (chosen == CancelFilter.MARKET):
        raise refusal
    if any(account) != (chosen == CancelFilter.ACCOUNT):
        raise refusal
    if chosen == CancelFilter.MARKET:
        get_status(ledger, market)  # there is such a market
        book = ledger.book(market)
        return [Filtered(market, _by_id(book.orders), _by_id(book.triggers))]
    books = [(each, ledger.book(each)) for each in ledger.market_ids]
    if chosen == CancelFilter.ACCOUNT:
        return [
            Filtered(each, list(book.orders_of(account)), list(book.triggers_of(account)))
            for each, book in books
        ]
    return [Filtered(each, _by_id(book.orders), ()) for each, book in books]


def _by_id(records: Mapping[OrderId, R]) -> list[R]:
    return [records[order_id] for order_id in sorted(records)]


def process_decree(ledger: Ledger, decree: Decree) -> None:
    """Write a decree down for the block's end; a later one takes the place of an earlier."""
    status = ledger.status
    others = [each for each in status.decrees if each.market != decree.market]
    decrees = tuple(sorted([*others, decree]))
    ledger.set_status(status._replace(decrees=decrees))
    ledger.emit(ModeDecreed(decree.market, decree.mode, decree.held))


# --- the block's end ------------------------------------------------------------------------------


def process_decrees(ledger: Ledger) -> None:
    """Carry out what the council set in this block, and a halt that is due (X1)."""
    status = ledger.status
    decrees = status.decrees
    is_due = status.halt_height == ledger.height
    if not decrees and not is_due:
        return
    modes = {market: get_status(ledger, market).mode for market in ledger.market_ids}
    is_resumed = status.mode == Mode.HALTED and any(each.market == CHAIN for each in decrees)
    status = status._replace(decrees=())
    if is_resumed:
        status = status._replace(gap_end_ms=ledger.time_ms)
    ledger.set_status(status)
    for decree in decrees:
        if decree.market == CHAIN:
            _process_chain_decree(ledger, decree)
        else:
            _process_market_decree(ledger, decree, is_alarmed(ledger, decree.market) or is_resumed)
    if is_resumed:
        for market in ledger.market_ids:
            _process_new_beginning(ledger, market)
    if is_due:
        ledger.set_status(ledger.status._replace(halt_height=Height(0)))
        set_chain_mode(ledger, Mode.HALTED, ModeReason.GOVERNANCE)
    if status.mode == Mode.OPEN:
        for market, mode in modes.items():
            if mode == Mode.OPEN and _is_closed(ledger, market):
                reset_funding(ledger, market)


def compute_decreed(decree: Decree, *, is_alarmed: bool) -> Mode:
    """Return the mode that a decree leads to: under an alarm none beyond CANCEL_ONLY (X2)."""
    return max(decree.mode, Mode.CANCEL_ONLY) if is_alarmed else decree.mode


def _process_chain_decree(ledger: Ledger, decree: Decree) -> None:
    ledger.set_status(ledger.status._replace(held=decree.held))
    mode = compute_decreed(decree, is_alarmed=is_gap(ledger))
    if mode != ledger.status.mode:
        set_chain_mode(ledger, mode, ModeReason.GOVERNANCE)


def _process_market_decree(ledger: Ledger, decree: Decree, is_alarmed: bool) -> None:
    market = decree.market
    status = get_status(ledger, market)
    ledger.statuses.set(market, status._replace(held=decree.held))
    mode = compute_decreed(decree, is_alarmed=is_alarmed)
    if mode != status.mode:
        set_market_mode(ledger, market, mode, ModeReason.GOVERNANCE)


def _process_new_beginning(ledger: Ledger, market: MarketId) -> None:
    """Close a market at the end of a halt, or begin its way out of CANCEL_ONLY anew (X2)."""
    status = get_status(ledger, market)
    if status.mode < Mode.CANCEL_ONLY:
        set_market_mode(ledger, market, Mode.CANCEL_ONLY, ModeReason.GOVERNANCE)
    else:
        begun = status._replace(quorum_ms=DurationMs(0), quorum_blocks=0)
        ledger.statuses.set(market, begun)


def _is_closed(ledger: Ledger, market: MarketId) -> bool:
    return max(get_status(ledger, market).mode, ledger.status.mode) != Mode.OPEN
