"""Changing what rests (RULES O1, O8).

A smaller size at the same price keeps the place in the queue, and is no more than a partial cancel.
Everything else is a new order: a new number, later in time, through all the tests of a new one. The
client id, the expiry and the legs stay with it.
"""

from node.errors import InvalidSize, NotSmaller, OrderNotFound, OrderTooSmall, Refusal
from node.perp.account import get_position, process_membership
from node.perp.events import OrderReplaced
from node.perp.follow import process_new_parent
from node.perp.ledger import Ledger
from node.perp.limits import get_client
from node.perp.margin import compute_risk
from node.perp.order import NEVER, Order, OrderRequest, TimeInForce
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode, get_status, require_mode
from node.perp.trading import Replaced, process_replacement
from node.units import Address, Lots, MarketId, OrderId, Quote, Ticks, notional


def process_amendment(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    order_id: OrderId,
    *,
    size: Lots,
    price: Ticks,
) -> OrderId:
    """Change what remains and the price of a resting order; return the number it has now (O1).

    Raise OrderNotFound, InvalidSize unless the size is on the same side, and whatever a new order
    may be refused for; then nothing has changed.
    """
    order = _get_own(ledger, owner, market, order_id)
    if (size > 0) != (order.size > 0) or not 0 < abs(size) <= MAGNITUDE_MAX:
        raise InvalidSize(size)
    if price == order.price and abs(size) <= abs(order.size):
        if size != order.size:
            process_shrinking(ledger, owner, market, order_id, size)
        return order_id
    request = OrderRequest(
        market,
        size,
        price,
        _get_time_in_force(order),
        order.reduce_only,
        order.expires_ms,
        order.client_id,
    )
    checkpoint = ledger.checkpoint()
    before = compute_risk(ledger, owner)
    ledger.book(market).remove_order(order_id)
    try:
        new_id = process_replacement(ledger, owner, request, Replaced(order_id, before))
    except Refusal:
        ledger.revert(checkpoint)
        raise
    process_membership(ledger, owner, market)
    return new_id


def process_client_amendment(
    ledger: Ledger, owner: Address, client_id: int, *, size: Lots, price: Ticks
) -> OrderId:
    """Amend the order of a client id; raise ClientIdNotFound or as `process_amendment` does."""
    found = get_client(ledger, owner, client_id)
    return process_amendment(ledger, owner, *found, size=size, price=price)


def process_shrinking(
    ledger: Ledger, owner: Address, market: MarketId, order_id: OrderId, size: Lots
) -> None:
    """Shrink a resting order, which keeps its place (O1).

    Raise NotAllowedInMode while HALTED, OrderNotFound, NotSmaller, and OrderTooSmall if what would
    remain is worth less than the minimum and does not close the position (O7).
    """
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    order = _get_own(ledger, owner, market, order_id)
    if not (0 < size < order.size or order.size < size < 0):
        raise NotSmaller(order.size, size)
    params = ledger.market_params(market)
    value = Quote(abs(notional(size, order.price, params.k)))
    if value < params.order_value_min and get_position(ledger, owner, market).size != -size:
        raise OrderTooSmall(value, params.order_value_min)
    ledger.book(market).put_order(order._replace(size=size))
    ledger.emit(OrderReplaced(market, owner, order_id, order_id, size, order.price))
    process_new_parent(ledger, market, order_id, order_id, size)


def _get_own(ledger: Ledger, owner: Address, market: MarketId, order_id: OrderId) -> Order:
    """Return the account's resting order; raise MarketNotFound or OrderNotFound."""
    get_status(ledger, market)
    order = ledger.book(market).orders.get(order_id)
    if order is None or order.owner != owner:
        raise OrderNotFound(market, order_id)
    return order


def _get_time_in_force(order: Order) -> TimeInForce:
    """Return how the order was placed, as far as it matters to what rests."""
    if order.post_only:
        return TimeInForce.POST_ONLY
    return TimeInForce.GTC if order.expires_ms == NEVER else TimeInForce.GTT
