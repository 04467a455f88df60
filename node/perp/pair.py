"""Pairs of a take-profit and a stop-loss, of which at most one trades (RULES O1, O5).

A pair attached to a position closes it, up to its size. One attached to a parent order closes what
the parent opens: a fill activates as much of both legs, and what the parent leaves without having
filled goes with it. Legs only close; the first fill of one cancels the other.
"""

from typing import NamedTuple

from node.errors import (
    ClientIdInUse,
    InvalidSize,
    NothingFilled,
    OrderNotFound,
    ReduceOnlyWouldIncrease,
    Refusal,
)
from node.perp.account import get_position
from node.perp.follow import compute_standing
from node.perp.ledger import Ledger
from node.perp.limits import require_room
from node.perp.order import NO_CLIENT_ID, OrderRequest, Trigger, TriggerKind, TriggerRequest
from node.perp.status import get_status
from node.perp.trading import process_order
from node.perp.trigger import process_waiting, require_trigger
from node.units import Address, Lots, MarketId, OrderId, Ticks, TimeMs


class PairLeg(NamedTuple):
    """What one leg asks for."""

    trigger_price: Ticks
    limit_price: Ticks = Ticks(0)
    """The worst price at which it trades; 0: a market order's."""
    client_id: int = NO_CLIENT_ID


class PairRequest(NamedTuple):
    """What a pair asks for."""

    market: MarketId
    size: Lots
    """What the legs close, signed: positive buys. More than the position means all of it."""
    take_profit: PairLeg
    stop_loss: PairLeg
    expires_ms: TimeMs


class PairIds(NamedTuple):
    """The numbers of a pair's legs."""

    take_profit: OrderId
    stop_loss: OrderId


class BracketIds(NamedTuple):
    """The numbers of a parent order and its pair's legs."""

    order: OrderId
    take_profit: OrderId
    stop_loss: OrderId


def process_position_pair(ledger: Ledger, owner: Address, request: PairRequest) -> PairIds:
    """Attach a pair to the account's position; raise as a trigger's request does (O1)."""
    return _process_pair(ledger, owner, request, parent=OrderId(0), pending=Lots(0))


def process_attached_pair(
    ledger: Ledger, owner: Address, parent: OrderId, request: PairRequest
) -> PairIds:
    """Attach a pair to a resting order of the account's, to close what it will open (O1).

    Raise OrderNotFound; ReduceOnlyWouldIncrease if the order only closes itself; InvalidSize unless
    the pair closes at most what remains of the order.
    """
    market, size = request.market, request.size
    get_status(ledger, market)
    order = ledger.book(market).orders.get(parent)
    if order is None or order.owner != owner:
        raise OrderNotFound(market, parent)
    if order.reduce_only:
        raise ReduceOnlyWouldIncrease(get_position(ledger, owner, market).size, size)
    if not (0 < size <= -order.size or -order.size <= size < 0):
        raise InvalidSize(size)
    return _process_pair(ledger, owner, request, parent=parent, pending=Lots(abs(size)))


def process_bracket(
    ledger: Ledger,
    owner: Address,
    request: OrderRequest,
    *,
    take_profit: PairLeg,
    stop_loss: PairLeg,
) -> BracketIds:
    """Place an order together with the pair that closes it, or refuse them together (O1).

    What it filled at once is active from the start. Raise as `process_order` and the pair do;
    NothingFilled if nothing of the order is left to be closed.
    """
    market = request.market
    checkpoint = ledger.checkpoint()
    before = get_position(ledger, owner, market).size
    try:
        order_id = process_order(ledger, owner, request)
        if request.reduce_only:
            raise ReduceOnlyWouldIncrease(before, Lots(-request.size))
        filled = get_position(ledger, owner, market).size - before
        order = ledger.book(market).orders.get(order_id)
        pending = order.size if order is not None else 0
        if filled + pending == 0:
            raise NothingFilled(market, request.price)
        legs = PairRequest(
            market, Lots(-filled - pending), take_profit, stop_loss, request.expires_ms
        )
        parent = order_id if pending else OrderId(0)
        ids = _process_pair(ledger, owner, legs, parent=parent, pending=Lots(abs(pending)))
    except Refusal:
        ledger.revert(checkpoint)
        raise
    return BracketIds(order_id, *ids)


def _process_pair(
    ledger: Ledger, owner: Address, request: PairRequest, *, parent: OrderId, pending: Lots
) -> PairIds:
    """Place both legs, each naming the other, or refuse them together."""
    market = request.market
    both = (
        _make_leg(request, request.take_profit, TriggerKind.TAKE_PROFIT),
        _make_leg(request, request.stop_loss, TriggerKind.STOP_LOSS),
    )
    require_room(ledger, owner, len(both))
    record = ledger.markets.get(market)
    for leg in both:
        require_trigger(ledger, owner, leg)
    assert record is not None, "a market has its counters"
    first = record.next_order_id
    second = OrderId(first + 1)
    if both[0].client_id == both[1].client_id != NO_CLIENT_ID:
        raise ClientIdInUse(both[1].client_id, market, first)
    position = get_position(ledger, owner, market).size
    checkpoint = ledger.checkpoint()
    for leg, other in zip(both, (second, first), strict=True):
        trigger = Trigger(
            OrderId(0),
            owner,
            request.size,
            leg.trigger_price,
            leg.kind,
            Ticks(0),
            leg.limit_price,
            expires_ms=leg.expires_ms,
            client_id=leg.client_id,
            other=other,
            parent=parent,
            pending=pending,
        )
        standing = compute_standing(trigger, position)
        if standing is None:
            raise ReduceOnlyWouldIncrease(position, request.size)
        try:
            process_waiting(ledger, market, standing)
        except Refusal:
            ledger.revert(checkpoint)
            raise
    return PairIds(first, second)


def _make_leg(request: PairRequest, leg: PairLeg, kind: TriggerKind) -> TriggerRequest:
    return TriggerRequest(
        request.market,
        request.size,
        leg.trigger_price,
        kind,
        leg.limit_price,
        expires_ms=request.expires_ms,
        client_id=leg.client_id,
    )
