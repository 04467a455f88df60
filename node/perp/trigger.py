"""Take-profit, stop-loss and stop orders, which wait for a mark (RULES O1, O5).

A trigger fires at the end of the block whose mark reaches its price. From the next block on its
order is tried ahead of all takers. One that only closes tries each block until it is filled or
nothing is left to reduce; one with a limit price trades at no worse. A stop order, which may also
open, tries once: what is left of it rests at its limit price, or is cancelled without one.
"""

from node.errors import (
    InvalidPrice,
    InvalidSize,
    NoPrice,
    OrderTooSmall,
    PositionTooLarge,
    ReduceOnlyWouldIncrease,
)
from node.perp.account import get_position, process_membership
from node.perp.events import OrderCancelled, OrderReplaced, OrderTriggered, TriggerPlaced
from node.perp.fill import Taker
from node.perp.follow import (
    compute_reducible,
    process_orphans,
    process_reduce_only,
    process_trigger_removal,
)
from node.perp.ledger import Ledger
from node.perp.limits import (
    process_action,
    require_client_id,
    require_future,
    require_position_room,
    require_room,
)
from node.perp.mark import get_mark
from node.perp.matching import Match, find_crossing, process_match
from node.perp.order import (
    NEVER,
    CancelReason,
    OrderRequest,
    TimeInForce,
    Trigger,
    TriggerRequest,
)
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.settlement import TRADE
from node.perp.status import Mode, get_mode, is_in_grace, require_mode
from node.perp.trading import compute_band_limit, process_rest
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

TRIGGER_BAND_PPM = 100_000
"""10 %: how far from the mark that fired it a triggered order may trade (O5)."""


# --- asking ---------------------------------------------------------------------------------------


def process_trigger_request(ledger: Ledger, owner: Address, request: TriggerRequest) -> OrderId:
    """Let a trigger wait; one that the mark reaches already fires at the end of this block (O5).

    Its size is capped to the position when it fires. Raise NotAllowedInMode unless OPEN,
    InvalidSize, InvalidPrice, InvalidExpiry, NoPrice, a limit of O7, or ReduceOnlyWouldIncrease if
    it only closes and opposes no position.
    """
    market, size, trigger_price, kind, limit_price, reduce_only, expires_ms, client_id = request
    require_trigger(ledger, owner, request)
    require_room(ledger, owner, 1)
    position = get_position(ledger, owner, market)
    if not reduce_only:
        params = ledger.market_params(market)
        value = Quote(abs(notional(size, limit_price or trigger_price, params.k)))
        if value < params.order_value_min:
            raise OrderTooSmall(value, params.order_value_min)
    elif compute_reducible(position.size, size) == 0:
        raise ReduceOnlyWouldIncrease(position.size, size)
    trigger = Trigger(
        OrderId(0),
        owner,
        size,
        trigger_price,
        kind,
        fired_mark=Ticks(0),
        limit_price=limit_price,
        reduce_only=reduce_only,
        expires_ms=expires_ms,
        client_id=client_id,
    )
    return process_waiting(ledger, market, trigger)


def require_trigger(ledger: Ledger, owner: Address, request: TriggerRequest) -> None:
    """Raise unless the numbers of a trigger are what they may be, in an OPEN market (O1, O5)."""
    market, size, limit_price = request.market, request.size, request.limit_price
    require_mode(ledger, market, Mode.OPEN)
    if not 0 < abs(size) <= MAGNITUDE_MAX:
        raise InvalidSize(size)
    if not 0 < request.trigger_price <= MAGNITUDE_MAX:
        raise InvalidPrice(request.trigger_price)
    if not 0 <= limit_price <= MAGNITUDE_MAX:
        raise InvalidPrice(limit_price)
    if get_mark(ledger, market) == 0:
        raise NoPrice(market)
    if request.expires_ms != NEVER:
        require_future(ledger, request.expires_ms)
    require_client_id(ledger, owner, request.client_id)


def process_waiting(ledger: Ledger, market: MarketId, trigger: Trigger) -> OrderId:
    """Number a trigger, put it into the book and say so; raise TooManyActions (O7)."""
    owner = trigger.owner
    process_action(ledger, owner)
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    trigger_id = record.next_order_id
    ledger.markets.set(market, record._replace(next_order_id=OrderId(trigger_id + 1)))
    ledger.book(market).put_trigger(trigger._replace(id=trigger_id))
    process_membership(ledger, owner, market)
    ledger.emit(
        TriggerPlaced(
            market,
            owner,
            trigger_id,
            trigger.size,
            trigger.trigger_price,
            trigger.kind,
            trigger.limit_price,
            trigger.reduce_only,
            trigger.expires_ms,
            trigger.client_id,
            trigger.other,
            trigger.parent,
        )
    )
    return trigger_id


# --- firing ---------------------------------------------------------------------------------------


def process_new_triggers(ledger: Ledger) -> None:
    """Fire what the block's mark reaches, inclusive; their orders enter the next block (O5).

    Only in OPEN markets past their grace period (X4).
    """
    for market in ledger.market_ids:
        book = ledger.book(market)
        if not book.triggers or not _is_active(ledger, market):
            continue
        mark = get_mark(ledger, market)
        for trigger in book.triggers_at(mark):
            book.put_trigger(trigger._replace(fired_mark=mark))
            ledger.emit(OrderTriggered(market, trigger.owner, trigger.id, mark))


def _is_active(ledger: Ledger, market: MarketId) -> bool:
    return (
        get_mode(ledger, market) == Mode.OPEN
        and get_mark(ledger, market) > 0
        and not is_in_grace(ledger, market)
    )


# --- trading --------------------------------------------------------------------------------------


def process_fired_triggers(ledger: Ledger) -> None:
    """Try the orders of fired triggers, by market and id, at most triggers_max (O5, O8).

    One that could not trade now is passed over and does not count, so that it can't keep others
    waiting for ever. The trades of one may have cancelled another.
    """
    tries = 0
    for market in ledger.market_ids:
        book = ledger.book(market)
        if not book.triggers or not _is_active(ledger, market):
            continue
        for fired in book.fired_triggers():
            if tries == ledger.params.triggers_max:
                return
            trigger = book.triggers.get(fired.id)
            if trigger is None:
                continue
            process = _process_closing if trigger.reduce_only else _process_opening
            tries += process(ledger, market, trigger)


def compute_trigger_bound(fired_mark: Ticks, band_limit: Ticks, size: Lots) -> Ticks:
    """Return the tighter of 10 % from the mark that fired it and O4's band at the mark (O5).

    Inward rounding: floor for buys, ceil for sells.
    """
    if size > 0:
        return min(band_limit, Ticks(mul_div_floor(fired_mark, PPM + TRIGGER_BAND_PPM, PPM)))
    return max(band_limit, Ticks(mul_div_ceil(fired_mark, PPM - TRIGGER_BAND_PPM, PPM)))


def _process_closing(ledger: Ledger, market: MarketId, trigger: Trigger) -> bool:
    """Trade what a reduce-only trigger may, and keep what is left of it; tell whether it did."""
    owner = trigger.owner
    size = compute_reducible(get_position(ledger, owner, market).size, trigger.active)
    if size == 0:
        if trigger.pending:
            return False
        process_trigger_removal(ledger, market, trigger, CancelReason.REDUCE_ONLY)
        return True
    match = _process_trigger_match(ledger, market, trigger, size)
    if match is None:
        return False
    rest = trigger._replace(size=Lots(trigger.size - match.size))
    if match.size:
        rest = rest._replace(other=OrderId(0))
    if rest.size:
        _process_return(ledger, market, rest)
    process_membership(ledger, owner, market)
    return not match.is_nothing


def _process_return(ledger: Ledger, market: MarketId, trigger: Trigger) -> None:
    """Put back what is left of a trigger that has traded, or follow what it follows (O1, O2)."""
    book = ledger.book(market)
    book.put_trigger(trigger)
    if trigger.parent and trigger.parent not in book.orders:  # it met its own parent
        process_orphans(ledger, market, trigger.parent)
    process_reduce_only(ledger, trigger.owner, market)


def _process_opening(ledger: Ledger, market: MarketId, trigger: Trigger) -> bool:
    """Trade a stop order, and let its rest come to rest at its limit price, or go (O1)."""
    owner, size = trigger.owner, trigger.size
    try:
        require_position_room(ledger, owner, market, size)
    except PositionTooLarge:
        process_trigger_removal(ledger, market, trigger, CancelReason.LIMIT)
        return True
    match = _process_trigger_match(ledger, market, trigger, size)
    if match is None:
        ledger.book(market).remove_trigger(trigger.id)
    rest = Lots(size - (match.size if match is not None else 0))
    reason = match.stop if match is not None else None
    if rest and reason is None:
        reason = _process_opening_rest(ledger, market, trigger, rest)
    if rest and reason is not None:
        ledger.emit(OrderCancelled(market, owner, trigger.id, rest, reason))
    process_membership(ledger, owner, market)
    return True


def _process_opening_rest(
    ledger: Ledger, market: MarketId, trigger: Trigger, rest: Lots
) -> CancelReason | None:
    """Let the rest of a stop order rest under a new number; return why not, if it may not."""
    limit_price = trigger.limit_price
    if limit_price == 0:
        return CancelReason.IMMEDIATE
    if find_crossing(ledger.book(market), rest, limit_price) is not None:
        return CancelReason.PRICE_BAND
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    order_id = record.next_order_id
    request = OrderRequest(
        market,
        rest,
        limit_price,
        TimeInForce.GTT,
        reduce_only=False,
        expires_ms=trigger.expires_ms,
        client_id=trigger.client_id,
    )
    if process_rest(ledger, trigger.owner, order_id, request, None) is not None:
        return CancelReason.MARGIN
    ledger.markets.set(market, record._replace(next_order_id=OrderId(order_id + 1)))
    ledger.emit(OrderReplaced(market, trigger.owner, trigger.id, order_id, rest, limit_price))
    return None


def _process_trigger_match(
    ledger: Ledger, market: MarketId, trigger: Trigger, size: Lots
) -> Match | None:
    """Match a fired trigger under its own number; None, and nothing done, if nobody is there.

    Its bound is the tightest of O5's and its own limit price. While it trades it is not in the
    book: its own fills must not cancel it, and what is left is the caller's matter.
    """
    params, mark, limit_price = (
        ledger.market_params(market),
        get_mark(ledger, market),
        trigger.limit_price,
    )
    bound = compute_trigger_bound(trigger.fired_mark, compute_band_limit(params, mark, size), size)
    if limit_price:
        bound = min(bound, limit_price) if size > 0 else max(bound, limit_price)
    book = ledger.book(market)
    if find_crossing(book, size, bound) is None:
        return None
    book.remove_trigger(trigger.id)
    rates = TRADE.compute_rates(params)
    taker = Taker(trigger.owner, market, trigger.id, rates, TRADE, other=trigger.other)
    return process_match(ledger, taker, size, bound)
