"""Placing, matching and cancelling orders (RULES O2 to O4, O8, G3, G4).

Every entry does the same four things: check what can be checked without the book, number the order
and say so, match it, and decide about the rest. A refused action leaves the ledger as it found it.
"""

from typing import NamedTuple

from node.errors import (
    InsufficientMargin,
    InvalidPrice,
    InvalidSize,
    NoPrice,
    NothingFilled,
    OrderNotFound,
    OrderTooSmall,
    OutsidePriceBand,
    PostOnlyWouldCross,
    ReduceOnlyWouldIncrease,
    Refusal,
)
from node.perp.account import get_position, process_membership
from node.perp.book import Book
from node.perp.events import OrderCancelled, OrderPlaced
from node.perp.fill import (
    Fill,
    Taker,
    compute_reducible,
    process_fill,
    process_removal,
    process_trigger_removal,
)
from node.perp.funding import settle_funding
from node.perp.ledger import Ledger
from node.perp.margin import (
    Risk,
    compute_oi_margin,
    compute_risk,
    is_covered,
    is_initial_not_higher,
    is_reduction,
)
from node.perp.mark import get_mark
from node.perp.market import Market
from node.perp.order import CancelReason, Order, OrderRequest, TimeInForce
from node.perp.parameters import MAGNITUDE_MAX, MarketParams
from node.perp.settlement import TRADE, Settlement
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


class Fills(NamedTuple):
    """What an immediate order did."""

    size: Lots
    """Σ of the fills, signed."""
    fills: tuple[Fill, ...]


class Match(NamedTuple):
    """How an order met the book."""

    size: Lots
    """Σ of the fills, signed."""
    fills: tuple[Fill, ...]
    removals: int
    """Makers that left the book, filled whole or cancelled (O8)."""
    stop: CancelReason | None
    """Why it ended before the size or the crossing orders did; None if it did not."""
    refusal: Refusal | None
    """What stopped it, if nothing else happened."""


# --- placing --------------------------------------------------------------------------------------


def process_order(ledger: Ledger, owner: Address, request: OrderRequest) -> OrderId:
    """Take a limit order, trade what crosses, and rest or cancel what does not (O2).

    Raise the Refusal of the rule that stands against it; then nothing has changed.
    """
    market, price = request.market, request.price
    is_post_only = request.time_in_force == TimeInForce.POST_ONLY
    require_mode(ledger, market, Mode.POST_ONLY if is_post_only else Mode.OPEN)
    if not 0 < price <= MAGNITUDE_MAX:
        raise InvalidPrice(price)
    mark = _get_price(ledger, market)
    request = _compute_capped(ledger, owner, request)
    _require_value(ledger, owner, request, price)
    if is_post_only:
        return _process_post_only(ledger, owner, request, mark)
    return _process_crossing(ledger, owner, request, mark)


def process_market_order(
    ledger: Ledger, owner: Address, market: MarketId, size: Lots, *, reduce_only: bool
) -> OrderId:
    """Take an order that trades at once or not at all, up to the price band (O4).

    Raise like `process_order`; its value is counted at the mark.
    """
    require_mode(ledger, market, Mode.OPEN)
    mark = _get_price(ledger, market)
    limit = compute_band_limit(ledger.market_params(market), mark, size)
    request = _compute_capped(
        ledger, owner, OrderRequest(market, size, limit, TimeInForce.IOC, reduce_only)
    )
    _require_value(ledger, owner, request, mark)
    return _process_crossing(ledger, owner, request, mark)


def compute_band_limit(params: MarketParams, mark: Ticks, size: Lots) -> Ticks:
    """Return floor(mark·(1 + band)) for buys, ceil(mark·(1 - band)) for sells (O4)."""
    if size > 0:
        return Ticks(mul_div_floor(mark, PPM + params.price_band_ppm, PPM))
    return Ticks(mul_div_ceil(mark, PPM - params.price_band_ppm, PPM))


def _process_post_only(
    ledger: Ledger, owner: Address, request: OrderRequest, mark: Ticks
) -> OrderId:
    _require_passive(ledger, request, mark)
    checkpoint = ledger.checkpoint()
    order_id = _process_placement(ledger, owner, request)
    refusal = _process_rest(ledger, owner, order_id, request)
    if refusal is not None:
        ledger.revert(checkpoint)
        raise refusal
    return order_id


def _process_crossing(
    ledger: Ledger, owner: Address, request: OrderRequest, mark: Ticks
) -> OrderId:
    """Match an order and decide about its rest.

    It is refused only if it changed nothing: one that removed makers which could not trade has
    cleared the way for the next, and must not put them back.
    """
    market, size, price, time_in_force, _ = request
    params = ledger.market_params(market)
    limit = compute_band_limit(params, mark, size)
    checkpoint = ledger.checkpoint()
    order_id = _process_placement(ledger, owner, request)
    taker = Taker(owner, market, order_id, TRADE.compute_rates(params), TRADE)
    bound = min(price, limit) if size > 0 else max(price, limit)
    match = _process_match(ledger, taker, size, bound)
    rest = Lots(size - match.size)
    if rest == 0:
        return order_id
    reason, refusal = match.stop, match.refusal
    if reason is None:
        if bound != price and _find_crossing(ledger.book(market), rest, price) is not None:
            reason, refusal = CancelReason.PRICE_BAND, OutsidePriceBand(price, limit)
        elif time_in_force == TimeInForce.IOC:
            reason, refusal = CancelReason.IMMEDIATE, NothingFilled(market, price)
        else:
            refusal = _process_rest(ledger, owner, order_id, request._replace(size=rest))
            if refusal is None:
                return order_id
            reason = CancelReason.MARGIN
    if refusal is not None and not match.fills and not match.removals:
        ledger.revert(checkpoint)
        raise refusal
    ledger.emit(OrderCancelled(market, owner, order_id, rest, reason))
    return order_id


def _process_placement(ledger: Ledger, owner: Address, request: OrderRequest) -> OrderId:
    """Give the order its number and say so, before its fills."""
    market, size, price, time_in_force, reduce_only = request
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    order_id = record.next_order_id
    ledger.markets.set(market, Market(OrderId(order_id + 1), record.open_interest))
    ledger.emit(OrderPlaced(market, owner, order_id, size, price, time_in_force, reduce_only))
    return order_id


def _process_rest(
    ledger: Ledger, owner: Address, order_id: OrderId, request: OrderRequest
) -> Refusal | None:
    """Let an order rest if its account can carry it, else return what stands against it (G3)."""
    market, size, price, _, reduce_only = request
    book = ledger.book(market)
    order = Order(order_id, owner, size, price, reduce_only, ledger.height)
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
    before = compute_risk(ledger, owner)
    if is_initial_not_higher(before, after):
        book.put_order(order)  # its market asked for margin before: it is the account's already
        return None
    return InsufficientMargin(owner, after.equity, Quote(after.initial + oi_margin))


# --- matching -------------------------------------------------------------------------------------


def process_reduce_only_ioc(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    size: Lots,
    limit: Ticks,
    *,
    order_id: OrderId,
    settlement: Settlement = TRADE,
) -> Fills:
    """Trade what reduces the owner's position, up to `limit` (O5, L2).

    For what is numbered and announced already: triggers under their own id, liquidations under 0.
    No price band (O4) but `limit`; nothing filled is no error, the caller decides about the rest. A
    liquidated taker is not tested (G3): its settlement says what is due with each fill, or stops.
    """
    rates = settlement.compute_rates(ledger.market_params(market))
    size = compute_reducible(get_position(ledger, owner, market).size, size)
    match = _process_match(ledger, Taker(owner, market, order_id, rates, settlement), size, limit)
    return Fills(match.size, match.fills)


def _process_match(ledger: Ledger, taker: Taker, size: Lots, bound: Ticks) -> Match:
    """Meet the book by price and time, at the makers' prices, up to `bound` (O2).

    A maker of the taker's own is cancelled, and one that fails its test too (G4). Every maker that
    leaves the book, filled whole or cancelled, counts toward the taker's maximum (O8): its gas is
    fixed, so its work is bounded. A taker that fails its test stops.
    """
    market, settlement = taker.market, taker.settlement
    book = ledger.book(market)
    fills: list[Fill] = []
    removals = 0
    rest = size
    while rest and (maker := _find_crossing(book, rest, bound)) is not None:
        if removals == ledger.params.maker_removals_max:
            return Match(Lots(size - rest), tuple(fills), removals, CancelReason.MAKER_LIMIT, None)
        if maker.owner == taker.owner:
            reason = CancelReason.SELF_TRADE
        else:
            reason = CancelReason.MARGIN
            settle_funding(ledger, maker.owner, market)
            settle_funding(ledger, taker.owner, market)
            amount = min(rest, Lots(-maker.size)) if rest > 0 else max(rest, Lots(-maker.size))
            legs = settlement.compute_legs(
                ledger, taker.owner, market, size=amount, price=maker.price
            )
            if legs is None:
                break
            fill = Fill(amount, maker.price, legs)
            refusal = _process_tested_fill(ledger, taker, maker, fill)
            if refusal is None:
                settlement.process_filled(ledger, taker.owner, market)
                fills.append(fill)
                rest = Lots(rest - amount)
                removals += amount == -maker.size
                continue
            if refusal.account == taker.owner:
                return Match(
                    Lots(size - rest), tuple(fills), removals, CancelReason.MARGIN, refusal
                )
        process_removal(ledger, market, maker, reason)
        removals += 1
    return Match(Lots(size - rest), tuple(fills), removals, None, None)


def _find_crossing(book: Book, size: Lots, bound: Ticks) -> Order | None:
    """Return the first opposing order, unless it lies beyond `bound`."""
    if size > 0:
        ask = book.best_ask()
        return ask if ask is not None and ask.price <= bound else None
    bid = book.best_bid()
    return bid if bid is not None and bid.price >= bound else None


def _process_tested_fill(
    ledger: Ledger, taker: Taker, maker: Order, fill: Fill
) -> InsufficientMargin | None:
    """Fill if maker and taker may carry it, else undo it and name the one who may not (G3, G4)."""
    maker_before = compute_risk(ledger, maker.owner)
    taker_before = compute_risk(ledger, taker.owner)
    size_before = get_position(ledger, taker.owner, taker.market).size
    checkpoint = ledger.checkpoint()
    process_fill(ledger, taker, maker, fill)
    refusal = _test_fill(maker.owner, maker_before, compute_risk(ledger, maker.owner), Quote(0))
    if refusal is None and not taker.settlement.is_liquidation:
        oi_margin = Quote(0)
        if abs(size_before + fill.size) > abs(size_before):
            oi_margin = compute_oi_margin(ledger, taker.owner, taker.market)
        taker_after = compute_risk(ledger, taker.owner)
        refusal = _test_fill(taker.owner, taker_before, taker_after, oi_margin)
    if refusal is not None:
        ledger.revert(checkpoint)
    return refusal


def _test_fill(
    owner: Address, before: Risk, after: Risk, oi_margin: Quote
) -> InsufficientMargin | None:
    """Return what stands against a fill (G3): not covered, and no reduction either."""
    if is_covered(after, oi_margin) or is_reduction(before, after):
        return None
    return InsufficientMargin(owner, after.equity, Quote(after.initial + oi_margin))


# --- cancelling -----------------------------------------------------------------------------------


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


def process_cancel_all(ledger: Ledger, owner: Address, market: MarketId) -> int:
    """Cancel all of an account's orders and triggers in a market, by id; return how many."""
    require_mode(ledger, market, Mode.CANCEL_ONLY)
    book = ledger.book(market)
    orders, triggers = book.orders_of(owner), book.triggers_of(owner)
    for order in orders:
        process_removal(ledger, market, order, CancelReason.REQUESTED)
    for trigger in triggers:
        process_trigger_removal(ledger, market, trigger, CancelReason.REQUESTED)
    return len(orders) + len(triggers)


# --- checks before anything changes ---------------------------------------------------------------


def _get_price(ledger: Ledger, market: MarketId) -> Ticks:
    """Return the mark; raise NoPrice before the first (P1)."""
    mark = get_mark(ledger, market)
    if mark == 0:
        raise NoPrice(market)
    return mark


def _compute_capped(ledger: Ledger, owner: Address, request: OrderRequest) -> OrderRequest:
    """Return the request with a size it may have: reduce-only is capped to the position (O2)."""
    size = request.size
    if not 0 < abs(size) <= MAGNITUDE_MAX:
        raise InvalidSize(size)
    if not request.reduce_only:
        return request
    position = get_position(ledger, owner, request.market).size
    reducible = compute_reducible(position, size)
    if reducible == 0:
        raise ReduceOnlyWouldIncrease(position, size)
    return request._replace(size=reducible)


def _require_value(ledger: Ledger, owner: Address, request: OrderRequest, price: Ticks) -> None:
    """Raise OrderTooSmall below the minimum, except for closing a position in full (O7)."""
    market, size = request.market, request.size
    params = ledger.market_params(market)
    value = Quote(abs(notional(size, price, params.k)))
    if value < params.order_value_min and get_position(ledger, owner, market).size != -size:
        raise OrderTooSmall(value, params.order_value_min)


def _require_passive(ledger: Ledger, request: OrderRequest, mark: Ticks) -> None:
    """Raise PostOnlyWouldCross if it would take, or reaches too far in POST_ONLY (O2, Modes).

    That limit is the oracle's, which the mark is in every mode but OPEN (P3).
    """
    market, size, price, _, _ = request
    best = _find_crossing(ledger.book(market), size, price)
    if best is not None:
        raise PostOnlyWouldCross(price, best.price)
    if get_mode(ledger, market) == Mode.POST_ONLY:
        limits = compute_post_only_limits(mark)
        if size > 0 and price > limits.highest_buy:
            raise PostOnlyWouldCross(price, limits.highest_buy)
        if size < 0 and price < limits.lowest_sell:
            raise PostOnlyWouldCross(price, limits.lowest_sell)
