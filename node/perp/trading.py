"""Placing orders (RULES O1 to O4, O7, G3).

Every order does the same four things: check what can be checked without the book, number it and say
so, match it, and decide about the rest. A refused action leaves the ledger as it found it.
"""

from typing import NamedTuple

from node.errors import (
    InsufficientMargin,
    InvalidPrice,
    InvalidSize,
    NoPrice,
    NotFilledWhole,
    NothingFilled,
    OrderTooSmall,
    OutsidePriceBand,
    PostOnlyWouldCross,
    ReduceOnlyWouldIncrease,
    Refusal,
)
from node.perp.account import get_position, process_membership
from node.perp.cancelling import process_cancel, process_cancel_all
from node.perp.events import OrderCancelled, OrderPlaced, OrderReplaced
from node.perp.fill import Taker
from node.perp.follow import compute_reducible, process_new_parent, process_orphans
from node.perp.ledger import Ledger
from node.perp.limits import (
    process_action,
    require_client_id,
    require_expiry,
    require_position_room,
    require_room,
)
from node.perp.margin import (
    Risk,
    compute_oi_margin,
    compute_risk,
    is_covered,
    is_initial_not_higher,
)
from node.perp.mark import get_mark
from node.perp.market import Market
from node.perp.matching import (
    NO_MATCH,
    Fills,
    find_crossing,
    process_match,
    process_reduce_only_ioc,
)
from node.perp.order import (
    NEVER,
    NO_CLIENT_ID,
    CancelReason,
    Order,
    OrderRequest,
    TimeInForce,
)
from node.perp.parameters import MAGNITUDE_MAX, MarketParams
from node.perp.settlement import TRADE
from node.perp.status import Mode, compute_post_only_limits, get_mode, require_mode
from node.units import (
    PPM,
    Address,
    Lots,
    MarketId,
    OrderId,
    Quote,
    Ticks,
    mul_div_ceil,
    mul_div_floor,
    notional,
)

__all__ = [
    "Fills",
    "Replaced",
    "compute_band_limit",
    "process_cancel",
    "process_cancel_all",
    "process_market_order",
    "process_order",
    "process_reduce_only_ioc",
    "process_replacement",
    "process_rest",
]


class Replaced(NamedTuple):
    """The amended order that a new one stands for; it has left the book already."""

    order_id: OrderId
    before: Risk
    """The account's risk while it was there: what rests may ask for as much (G3)."""


# --- placing --------------------------------------------------------------------------------------


def process_order(ledger: Ledger, owner: Address, request: OrderRequest) -> OrderId:
    """Take a limit order, trade what crosses, and rest or cancel what does not (O2).

    Raise the Refusal of the rule that stands against it; then nothing has changed.
    """
    time_in_force = request.time_in_force
    if request.expires_ms != NEVER or time_in_force == TimeInForce.GTT:
        require_expiry(ledger, request)
    if request.client_id != NO_CLIENT_ID:
        require_client_id(ledger, owner, request.client_id)
    if time_in_force not in _IMMEDIATE:
        require_room(ledger, owner, 1)
    return _process_limit_order(ledger, owner, request, None)


def process_replacement(
    ledger: Ledger, owner: Address, request: OrderRequest, replaced: Replaced
) -> OrderId:
    """Take the order that an amended one becomes, under a new number, or raise (O1)."""
    return _process_limit_order(ledger, owner, request, replaced)


def process_market_order(
    ledger: Ledger, owner: Address, market: MarketId, size: Lots, *, reduce_only: bool
) -> OrderId:
    """Take an order that trades at once or not at all, up to the price band (O4).

    Raise like `process_order`; its value is counted at the mark.
    """
    require_mode(ledger, market, Mode.OPEN)
    mark = _get_price(ledger, market)
    limit = compute_band_limit(ledger.market_params(market), mark, size)
    request = OrderRequest(market, size, limit, TimeInForce.IOC, reduce_only)
    request = _compute_allowed(ledger, owner, request, mark)
    return _process_crossing(ledger, owner, request, mark, None)


def compute_band_limit(params: MarketParams, mark: Ticks, size: Lots) -> Ticks:
    """Return floor(mark·(1 + band)) for buys, ceil(mark·(1 - band)) for sells (O4)."""
    if size > 0:
        return Ticks(mul_div_floor(mark, PPM + params.price_band_ppm, PPM))
    return Ticks(mul_div_ceil(mark, PPM - params.price_band_ppm, PPM))


_IMMEDIATE = (TimeInForce.IOC, TimeInForce.FOK)
"""What never rests."""


def _process_limit_order(
    ledger: Ledger, owner: Address, request: OrderRequest, replaced: Replaced | None
) -> OrderId:
    market, price = request.market, request.price
    is_post_only = request.time_in_force == TimeInForce.POST_ONLY
    require_mode(ledger, market, Mode.POST_ONLY if is_post_only else Mode.OPEN)
    if not 0 < price <= MAGNITUDE_MAX:
        raise InvalidPrice(price)
    mark = _get_price(ledger, market)
    request = _compute_allowed(ledger, owner, request, price)
    if is_post_only:
        return _process_post_only(ledger, owner, request, mark, replaced)
    return _process_crossing(ledger, owner, request, mark, replaced)


def _process_post_only(
    ledger: Ledger, owner: Address, request: OrderRequest, mark: Ticks, replaced: Replaced | None
) -> OrderId:
    _require_passive(ledger, request, mark)
    checkpoint = ledger.checkpoint()
    order_id = _process_placement(ledger, owner, request, replaced)
    refusal = process_rest(ledger, owner, order_id, request, replaced)
    if refusal is not None:
        ledger.revert(checkpoint)
        raise refusal
    return order_id


def _process_crossing(
    ledger: Ledger, owner: Address, request: OrderRequest, mark: Ticks, replaced: Replaced | None
) -> OrderId:
    """Match an order and decide about its rest.

    It is refused only if it changed nothing: one that removed makers which could not trade has
    cleared the way for the next, and must not put them back. A FOK is tried whole and undone.
    """
    market, size, price, time_in_force, _, _, _, self_trade = request
    params = ledger.market_params(market)
    limit = compute_band_limit(params, mark, size)
    bound = min(price, limit) if size > 0 else max(price, limit)
    checkpoint = ledger.checkpoint()
    order_id = _process_placement(ledger, owner, request, replaced)
    match = NO_MATCH
    if find_crossing(ledger.book(market), size, bound) is not None:
        taker = Taker(owner, market, order_id, TRADE.compute_rates(params), TRADE, self_trade)
        match = process_match(ledger, taker, size, bound)
    rest = Lots(size - match.size)
    if rest == 0:
        return order_id
    if time_in_force == TimeInForce.FOK:
        ledger.revert(checkpoint)
        raise NotFilledWhole(market, match.size, size)
    reason, refusal = match.stop, match.refusal
    if reason is None:
        if bound != price and find_crossing(ledger.book(market), rest, price) is not None:
            reason, refusal = CancelReason.PRICE_BAND, OutsidePriceBand(price, limit)
        elif time_in_force == TimeInForce.IOC:
            reason, refusal = CancelReason.IMMEDIATE, NothingFilled(market, price)
        else:
            request = request if rest == size else request._replace(size=rest)
            refusal = process_rest(ledger, owner, order_id, request, replaced)
            if refusal is None:
                return order_id
            reason = CancelReason.MARGIN
    if refusal is not None and match.is_nothing:
        ledger.revert(checkpoint)
        raise refusal
    process_end(ledger, owner, market, order_id, rest, reason)
    return order_id


def process_end(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    order_id: OrderId,
    rest: Lots,
    reason: CancelReason,
) -> None:
    """Say that the rest of a taker, which never came to rest, is cancelled; its legs with it."""
    ledger.emit(OrderCancelled(market, owner, order_id, rest, reason))
    process_orphans(ledger, market, order_id)


def _process_placement(
    ledger: Ledger, owner: Address, request: OrderRequest, replaced: Replaced | None
) -> OrderId:
    """Give the order its number and say so, before its fills; raise TooManyActions (O7)."""
    market, size, price, time_in_force, reduce_only, expires_ms, client_id, _ = request
    process_action(ledger, owner)
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    order_id = record.next_order_id
    ledger.markets.set(market, Market(OrderId(order_id + 1), record.open_interest))
    if replaced is not None:
        ledger.emit(OrderReplaced(market, owner, replaced.order_id, order_id, size, price))
        process_new_parent(ledger, market, replaced.order_id, order_id, size)
        return order_id
    ledger.emit(
        OrderPlaced(
            market, owner, order_id, size, price, time_in_force, reduce_only, expires_ms, client_id
        )
    )
    return order_id


def process_rest(
    ledger: Ledger,
    owner: Address,
    order_id: OrderId,
    request: OrderRequest,
    replaced: Replaced | None,
) -> Refusal | None:
    """Let an order rest if its account can carry it, else return what stands against it (G3)."""
    market, size, price, time_in_force, reduce_only, expires_ms, client_id, _ = request
    book = ledger.book(market)
    is_post_only = time_in_force == TimeInForce.POST_ONLY
    order = Order(
        order_id,
        owner,
        size,
        price,
        reduce_only,
        ledger.height,
        client_id,
        expires_ms,
        is_post_only,
    )
    checkpoint = ledger.checkpoint()
    book.put_order(order)
    process_membership(ledger, owner, market)
    if reduce_only:
        return None
    after = compute_risk(ledger, owner)
    oi_margin = compute_oi_margin(ledger, owner, market)
    if is_covered(after, oi_margin):
        return None
    ledger.revert(checkpoint)
    before = compute_risk(ledger, owner) if replaced is None else replaced.before
    if is_initial_not_higher(before, after):
        book.put_order(order)
        process_membership(ledger, owner, market)
        return None
    return InsufficientMargin(owner, after.equity, Quote(after.initial + oi_margin))


# --- checks before anything changes ---------------------------------------------------------------


def _get_price(ledger: Ledger, market: MarketId) -> Ticks:
    """Return the mark; raise NoPrice before the first (P1)."""
    mark = get_mark(ledger, market)
    if mark == 0:
        raise NoPrice(market)
    return mark


def _compute_allowed(
    ledger: Ledger, owner: Address, request: OrderRequest, price: Ticks
) -> OrderRequest:
    """Return the request with a size it may have, or raise (O2, O7).

    Reduce-only is capped to the position; the value, counted at `price`, is at least the minimum
    unless the order closes the position in full; the position is not led beyond its maximum.
    """
    market, size = request.market, request.size
    if not 0 < abs(size) <= MAGNITUDE_MAX:
        raise InvalidSize(size)
    params = ledger.market_params(market)
    if request.reduce_only:
        position = get_position(ledger, owner, market).size
        reducible = compute_reducible(position, size)
        if reducible == 0:
            raise ReduceOnlyWouldIncrease(position, size)
        if reducible != size:
            size = reducible
            request = request._replace(size=size)
    else:
        require_position_room(ledger, owner, market, size)
    value = abs(notional(size, price, params.k))
    if value < params.order_value_min and get_position(ledger, owner, market).size != -size:
        raise OrderTooSmall(Quote(value), params.order_value_min)
    return request


def _require_passive(ledger: Ledger, request: OrderRequest, mark: Ticks) -> None:
    """Raise PostOnlyWouldCross if it would take, or reaches too far in POST_ONLY (O2, Modes).

    That limit is the oracle's, which the mark is in every mode but OPEN (P3).
    """
    market, size, price = request.market, request.size, request.price
    best = find_crossing(ledger.book(market), size, price)
    if best is not None:
        raise PostOnlyWouldCross(price, best.price)
    if get_mode(ledger, market) == Mode.POST_ONLY:
        limits = compute_post_only_limits(mark)
        if size > 0 and price > limits.highest_buy:
            raise PostOnlyWouldCross(price, limits.highest_buy)
        if size < 0 and price < limits.lowest_sell:
            raise PostOnlyWouldCross(price, limits.lowest_sell)
