"""The Exchange contract's actions: placing, amending and cancelling, each a call of the rules."""

from collections.abc import Mapping
from enum import IntEnum
from typing import Any, TypeVar

from node.errors import InvalidSelfTrade, InvalidTimeInForce, InvalidTriggerKind
from node.perp import amending, cancelling, expiry, pair, trading, trigger
from node.perp.order import (
    NEVER,
    OrderRequest,
    SelfTrade,
    TimeInForce,
    TriggerKind,
    TriggerRequest,
)
from node.perp.pair import PairLeg, PairRequest
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import Address, Lots, MarketId, OrderId, Ticks, TimeMs

E = TypeVar("E", bound=IntEnum)


def _codes(enum: type[E]) -> Mapping[int, E]:
    """Return an enum's members by code: asking it by a call costs four times as much."""
    return {int(each): each for each in enum}


_TIMES_IN_FORCE = _codes(TimeInForce)
_TRIGGER_KINDS = _codes(TriggerKind)
_SELF_TRADES = _codes(SelfTrade)


# --- placing --------------------------------------------------------------------------------------


def place_order(
    ledger: SystemLedger,
    sender: Address,
    market: MarketId,
    size: Lots,
    price: Ticks,
    time_in_force: int,
    reduce_only: bool,
) -> Outputs:
    """Place a limit order (O1)."""
    kind = _TIMES_IN_FORCE.get(time_in_force)
    if kind is None:
        raise InvalidTimeInForce(time_in_force)
    request = OrderRequest(market, size, price, kind, reduce_only)
    return (trading.process_order(ledger, sender, request),)


def place_order_with(ledger: SystemLedger, sender: Address, request: Any) -> Outputs:
    """Place an order with everything that it may have (O1)."""
    return (trading.process_order(ledger, sender, _read_order(request)),)


def place_order_with_pair(
    ledger: SystemLedger, sender: Address, request: Any, take_profit: Any, stop_loss: Any
) -> Outputs:
    """Place an order with the pair that closes it (O1)."""
    return pair.process_bracket(
        ledger,
        sender,
        _read_order(request),
        take_profit=PairLeg(*take_profit),
        stop_loss=PairLeg(*stop_loss),
    )


def place_market_order(
    ledger: SystemLedger, sender: Address, market: MarketId, size: Lots, reduce_only: bool
) -> Outputs:
    """Place a market order, bounded by the price band (O1, O4)."""
    return (trading.process_market_order(ledger, sender, market, size, reduce_only=reduce_only),)


def place_trigger(
    ledger: SystemLedger,
    sender: Address,
    market: MarketId,
    size: Lots,
    trigger_price: Ticks,
    code: int,
) -> Outputs:
    """Place a take-profit or stop-loss (O5)."""
    request = TriggerRequest(market, size, trigger_price, _read_kind(code))
    return (trigger.process_trigger_request(ledger, sender, request),)


def place_trigger_with(ledger: SystemLedger, sender: Address, request: Any) -> Outputs:
    """Place a take-profit, stop-loss or stop order with everything that it may have (O1, O5)."""
    market, size, trigger_price, code, *others = request
    wanted = TriggerRequest(market, size, trigger_price, _read_kind(code), *others)
    return (trigger.process_trigger_request(ledger, sender, wanted),)


def place_trigger_pair(
    ledger: SystemLedger,
    sender: Address,
    market: MarketId,
    parent: OrderId,
    size: Lots,
    expires_ms: TimeMs,
    take_profit: Any,
    stop_loss: Any,
) -> Outputs:
    """Attach a pair to the sender's position, or to one of its resting orders (O1)."""
    request = PairRequest(market, size, PairLeg(*take_profit), PairLeg(*stop_loss), expires_ms)
    if parent:
        return pair.process_attached_pair(ledger, sender, parent, request)
    return pair.process_position_pair(ledger, sender, request)


def _read_order(request: Any) -> OrderRequest:
    market, size, price, time_in_force, reduce_only, expires_ms, client_id, self_trade = request
    if time_in_force not in _TIMES_IN_FORCE:
        raise InvalidTimeInForce(time_in_force)
    if self_trade not in _SELF_TRADES:
        raise InvalidSelfTrade(self_trade)
    return OrderRequest(
        market,
        size,
        price,
        _TIMES_IN_FORCE[time_in_force],
        reduce_only,
        expires_ms,
        client_id,
        _SELF_TRADES[self_trade],
    )


def _read_kind(code: int) -> TriggerKind:
    kind = _TRIGGER_KINDS.get(code)
    if kind is None:
        raise InvalidTriggerKind(code)
    return kind


# --- amending -------------------------------------------------------------------------------------


def amend_order(
    ledger: SystemLedger,
    sender: Address,
    market: MarketId,
    order_id: OrderId,
    size: Lots,
    price: Ticks,
) -> Outputs:
    """Change what remains and the price of the sender's order (O1)."""
    return (amending.process_amendment(ledger, sender, market, order_id, size=size, price=price),)


def amend_by_client_id(
    ledger: SystemLedger, sender: Address, client_id: int, size: Lots, price: Ticks
) -> Outputs:
    """Change what remains and the price of the sender's order (O1)."""
    return (amending.process_client_amendment(ledger, sender, client_id, size=size, price=price),)


def shrink_order(
    ledger: SystemLedger, sender: Address, market: MarketId, order_id: OrderId, size: Lots
) -> Outputs:
    """Shrink the sender's order, which keeps its place (O1)."""
    amending.process_shrinking(ledger, sender, market, order_id, size)
    return ()


# --- cancelling -----------------------------------------------------------------------------------


def cancel_order(
    ledger: SystemLedger, sender: Address, market: MarketId, order_id: OrderId
) -> Outputs:
    """Cancel the sender's order or trigger (O1)."""
    cancelling.process_cancel(ledger, sender, market, order_id)
    return ()


def cancel_by_client_id(ledger: SystemLedger, sender: Address, client_id: int) -> Outputs:
    """Cancel what the sender has open under a client id (O1)."""
    cancelling.process_client_cancel(ledger, sender, client_id)
    return ()


def cancel_all_orders(ledger: SystemLedger, sender: Address, market: MarketId) -> Outputs:
    """Cancel all orders and triggers of the sender in a market (O1)."""
    return (cancelling.process_cancel_all(ledger, sender, market),)


def cancel_everything(ledger: SystemLedger, sender: Address) -> Outputs:
    """Cancel all orders and triggers of the sender (O1)."""
    return (cancelling.process_cancel_everything(ledger, sender),)


def set_dead_mans_cancel(ledger: SystemLedger, sender: Address, cancel_at_ms: TimeMs) -> Outputs:
    """Arm, renew or disarm the sender's dead-man's cancel (O1)."""
    if cancel_at_ms == NEVER:
        expiry.process_disarming(ledger, sender)
    else:
        expiry.process_dead_mans_cancel(ledger, sender, cancel_at_ms)
    return ()


HANDLERS: Handlers = {
    "placeOrder": place_order,
    "placeOrderWith": place_order_with,
    "placeOrderWithPair": place_order_with_pair,
    "placeMarketOrder": place_market_order,
    "placeTrigger": place_trigger,
    "placeTriggerWith": place_trigger_with,
    "placeTriggerPair": place_trigger_pair,
    "amendOrder": amend_order,
    "amendByClientId": amend_by_client_id,
    "shrinkOrder": shrink_order,
    "cancelOrder": cancel_order,
    "cancelByClientId": cancel_by_client_id,
    "cancelAllOrders": cancel_all_orders,
    "cancelEverything": cancel_everything,
    "setDeadMansCancel": set_dead_mans_cancel,
}
