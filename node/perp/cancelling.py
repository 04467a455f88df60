"""Taking back what is open: one, by its number or client id, all in a market, all (RULES O1).

Cancels need no test and no margin. They close only while HALTED.
"""

from node.errors import NotAllowedInMode, OrderNotFound
from node.perp.account import get_account
from node.perp.follow import process_removal, process_trigger_removal
from node.perp.ledger import Ledger
from node.perp.limits import get_client
from node.perp.order import CancelReason
from node.perp.status import CHAIN, Mode, get_mode, require_mode
from node.units import Address, MarketId, OrderId


def process_cancel(ledger: Ledger, owner: Address, market: MarketId, order_id: OrderId) -> None:
    """Cancel an account's own order or trigger; raise OrderNotFound."""
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    book = ledger.book(market)
    order = book.orders.get(order_id)
    trigger = book.triggers.get(order_id)
    if order is not None and order.owner == owner:
        process_removal(ledger, market, order, CancelReason.REQUESTED)
    elif trigger is not None and trigger.owner == owner:
        process_trigger_removal(ledger, market, trigger, CancelReason.REQUESTED)
    else:
        raise OrderNotFound(market, order_id)


def process_client_cancel(ledger: Ledger, owner: Address, client_id: int) -> None:
    """Cancel what an account has open under a client id; raise ClientIdNotFound (O1)."""
    process_cancel(ledger, owner, *get_client(ledger, owner, client_id))


def process_cancel_all(ledger: Ledger, owner: Address, market: MarketId) -> int:
    """Cancel all of an account's orders and triggers in a market, by id; return how many."""
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    return process_clearance(ledger, owner, market, CancelReason.REQUESTED)


def process_cancel_everything(ledger: Ledger, owner: Address) -> int:
    """Cancel all that an account has open wherever it may; return how many (O1).

    What is in a HALTED market stays: the others must not wait for it.
    """
    mode = ledger.status.mode
    if mode > Mode.CANCEL_ONLY:
        raise NotAllowedInMode(CHAIN, mode)
    return sum(
        process_clearance(ledger, owner, market, CancelReason.REQUESTED)
        for market in get_account(ledger, owner).markets
        if get_mode(ledger, market) != Mode.HALTED
    )


def process_clearance(
    ledger: Ledger, owner: Address, market: MarketId, reason: CancelReason
) -> int:
    """Remove all of an account's orders, then its triggers, by id; return how many there were."""
    book = ledger.book(market)
    count = book.count_of(owner)
    for order in book.orders_of(owner):
        process_removal(ledger, market, order, reason)
    for trigger in book.triggers_of(owner):
        process_trigger_removal(ledger, market, trigger, reason)
    return count
