"""How what is open leaves, and what follows a position or a parent order (RULES O1, O2, O5).

Reduce-only orders and closing triggers follow their owner's position: they are shrunk or cancelled
when it shrinks, flips or closes. The legs of a pair follow their parent order: its fills activate
them, and what it will never fill leaves with it. The first fill of a leg cancels the other.
"""

from node.perp.account import FLAT, process_membership
from node.perp.book import Book
from node.perp.events import OrderCancelled, OrderReduced, TriggerActivated
from node.perp.ledger import Ledger
from node.perp.order import CancelReason, Order, Trigger
from node.units import Address, Lots, MarketId, OrderId

# --- leaving --------------------------------------------------------------------------------------


def process_removal(ledger: Ledger, market: MarketId, order: Order, reason: CancelReason) -> None:
    """Cancel a resting order, whatever the reason; cancels need no test (G3)."""
    book = ledger.book(market)
    book.remove_order(order.id)
    process_membership(ledger, order.owner, market)
    ledger.emit(OrderCancelled(market, order.owner, order.id, order.size, reason))
    if book.has_children:
        process_orphans(ledger, market, order.id)


def process_trigger_removal(
    ledger: Ledger, market: MarketId, trigger: Trigger, reason: CancelReason
) -> None:
    """Cancel a trigger, whatever the reason; its pair's other leg stays, alone.

    No-op for one that is not there any more: it left with its parent.
    """
    book = ledger.book(market)
    if trigger.id not in book.triggers:
        return
    trigger = book.remove_trigger(trigger.id)
    if trigger.other:
        _unlink(book, trigger.other)
    process_membership(ledger, trigger.owner, market)
    ledger.emit(OrderCancelled(market, trigger.owner, trigger.id, trigger.size, reason))


def _unlink(book: Book, leg_id: OrderId) -> None:
    """Forget the leg's other leg; a leg that trades is not in the book and forgets it itself."""
    leg = book.triggers.get(leg_id)
    if leg is not None:
        book.put_trigger(leg._replace(other=OrderId(0)))


# --- what follows a position ----------------------------------------------------------------------


def process_reduce_only(ledger: Ledger, owner: Address, market: MarketId) -> None:
    """Shrink or cancel resting reduce-only orders and cancel triggers that oppose nothing (O2)."""
    book = ledger.book(market)
    if not book.has_closing(owner):
        return
    position = (ledger.positions.get((owner, market)) or FLAT).size
    for order in book.reduce_only_of(owner):
        size = compute_reducible(position, order.size)
        if size == 0:
            process_removal(ledger, market, order, CancelReason.REDUCE_ONLY)
        elif size != order.size:
            book.put_order(order._replace(size=size))
            ledger.emit(OrderReduced(market, owner, order.id, order.size, size))
    for each in book.triggers_of(owner):
        trigger = book.triggers[each.id]  # the removal of one leg changes the other
        standing = compute_standing(trigger, position)
        if standing is None:
            process_trigger_removal(ledger, market, trigger, CancelReason.REDUCE_ONLY)
        elif standing is not trigger:
            _process_smaller(ledger, market, trigger, standing)


def compute_reducible(position: Lots, size: Lots) -> Lots:
    """Return what of an order of `size` can reduce the position; 0 if it opposes none (O2)."""
    if position > 0 > size:
        return max(size, Lots(-position))
    if position < 0 < size:
        return min(size, Lots(-position))
    return Lots(0)


def compute_standing(trigger: Trigger, position: Lots) -> Trigger | None:
    """Return what of a trigger may stand beside a position: itself, less, or nothing (O2).

    Its size may exceed the position, and is capped when it trades. What waits for the parent's
    fills waits for the position that they make.
    """
    active = trigger.active
    if not trigger.reduce_only or active == 0 or compute_reducible(position, active):
        return trigger
    if trigger.pending:
        return trigger._replace(size=Lots(trigger.size - active))
    return None


def _process_smaller(ledger: Ledger, market: MarketId, before: Trigger, after: Trigger) -> None:
    """Write what a trigger became, and say by how much it shrank."""
    ledger.book(market).put_trigger(after)
    if after.size != before.size:
        ledger.emit(OrderReduced(market, after.owner, after.id, before.size, after.size))


# --- what follows a parent order ------------------------------------------------------------------


def process_activation(ledger: Ledger, market: MarketId, parent: OrderId, filled: Lots) -> None:
    """Let the legs of a parent close what a fill of it, so many lots, has opened (O1)."""
    book = ledger.book(market)
    for leg in book.children_of(parent):
        pending = Lots(max(0, leg.pending - filled))
        active = leg._replace(pending=pending, parent=leg.parent if pending else OrderId(0))
        book.put_trigger(active)
        ledger.emit(TriggerActivated(market, leg.owner, leg.id, active.active))


def process_new_parent(
    ledger: Ledger, market: MarketId, parent: OrderId, order_id: OrderId, size: Lots
) -> None:
    """Hand legs over to the order that their parent became; they wait for no more than it has."""
    book = ledger.book(market)
    for leg in book.children_of(parent):
        pending = Lots(min(leg.pending, abs(size)))
        rest = leg.active + (pending if leg.size > 0 else -pending)
        smaller = leg._replace(size=Lots(rest), pending=pending, parent=order_id)
        _process_smaller(ledger, market, leg, smaller)


def process_orphans(ledger: Ledger, market: MarketId, parent: OrderId) -> None:
    """Let what a parent did not fill leave with it; what is active stays (O1)."""
    book = ledger.book(market)
    for each in book.children_of(parent):
        leg = book.triggers[each.id]  # the removal of one leg changes the other
        if leg.active:
            smaller = leg._replace(size=leg.active, parent=OrderId(0), pending=Lots(0))
            _process_smaller(ledger, market, leg, smaller)
        else:
            process_trigger_removal(ledger, market, leg, CancelReason.PARENT)
