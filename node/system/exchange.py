"""The Exchange contract: its functions by name, each a call of the rules and its return values."""

from node.errors import InvalidTimeInForce, InvalidTriggerKind, OrderNotFound
from node.perp import trading
from node.perp.account import (
    EXCHANGE,
    get_account,
    get_position,
    process_deposit,
    process_withdrawal,
)
from node.perp.funding import compute_pending, get_funding
from node.perp.margin import compute_risk
from node.perp.order import OrderRequest, TimeInForce, TriggerKind, TriggerRequest
from node.perp.status import get_status
from node.perp.trigger import process_trigger_request
from node.perp.view import compute_market_view
from node.system import token
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import PPB, Address, Lots, MarketId, OrderId, Quote, Ticks, div_floor

_TIMES_IN_FORCE = {int(each): each for each in TimeInForce}
_TRIGGER_KINDS = {int(each): each for each in TriggerKind}


def deposit(ledger: SystemLedger, sender: Address, amount: Quote) -> Outputs:
    """Turn the sender's tokens into margin (M3)."""
    token.process_move(ledger, sender=sender, receiver=EXCHANGE, amount=amount)
    process_deposit(ledger, sender, amount)
    return ()


def withdraw(ledger: SystemLedger, sender: Address, amount: Quote) -> Outputs:
    """Turn the sender's margin into tokens; the rules decide first (M3)."""
    process_withdrawal(ledger, sender, amount)
    token.process_move(ledger, sender=EXCHANGE, receiver=sender, amount=amount)
    return ()


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
    kind = _TRIGGER_KINDS.get(code)
    if kind is None:
        raise InvalidTriggerKind(code)
    request = TriggerRequest(market, size, trigger_price, kind)
    return (process_trigger_request(ledger, sender, request),)


def cancel_order(
    ledger: SystemLedger, sender: Address, market: MarketId, order_id: OrderId
) -> Outputs:
    """Cancel the sender's order or trigger (O1)."""
    trading.process_cancel(ledger, sender, market, order_id)
    return ()


def cancel_all_orders(ledger: SystemLedger, sender: Address, market: MarketId) -> Outputs:
    """Cancel all orders and triggers of the sender in a market (O1)."""
    return (trading.process_cancel_all(ledger, sender, market),)


# --- views: the structs of IExchange, field by field ----------------------------------------------


def view_account(ledger: SystemLedger, _: Address, address: Address) -> Outputs:
    """Return IExchange.Account (M2, G1, G2)."""
    balance = get_account(ledger, address).balance
    risk = compute_risk(ledger, address)
    return ((balance, risk.equity, risk.initial, risk.maintenance),)


def view_position(ledger: SystemLedger, _: Address, address: Address, market: MarketId) -> Outputs:
    """Return IExchange.Position (M2, F4)."""
    position = get_position(ledger, address, market)
    pending = div_floor(compute_pending(get_funding(ledger, market), position), PPB)
    return ((position.size, position.entry_value, position.funding_index, pending),)


def view_order(ledger: SystemLedger, _: Address, market: MarketId, order_id: OrderId) -> Outputs:
    """Return IExchange.Order, raise OrderNotFound."""
    get_status(ledger, market)
    order = ledger.book(market).orders.get(order_id)
    if order is None:
        raise OrderNotFound(market, order_id)
    return ((order.owner, order.size, order.price, order.reduce_only, order.height),)


def view_trigger(ledger: SystemLedger, _: Address, market: MarketId, order_id: OrderId) -> Outputs:
    """Return IExchange.Trigger, raise OrderNotFound."""
    get_status(ledger, market)
    found = ledger.book(market).triggers.get(order_id)
    if found is None:
        raise OrderNotFound(market, order_id)
    return ((found.owner, found.size, found.trigger_price, found.kind, found.fired_mark),)


def view_market(ledger: SystemLedger, _: Address, market: MarketId) -> Outputs:
    """Return IExchange.Market, raise MarketNotFound."""
    view = compute_market_view(ledger, market)
    return (
        (
            view.params.symbol,
            view.params.lot_decimals,
            view.params.tick_decimals,
            view.params.k,
            view.mode,
            view.mark,
            view.best_bid,
            view.best_ask,
            view.open_interest,
            view.funding.rate_ppb,
            view.funding.index,
        ),
    )


def view_market_ids(ledger: SystemLedger, _: Address) -> Outputs:
    """Return all markets, ascending."""
    return (ledger.market_ids,)


HANDLERS: Handlers = {
    "deposit": deposit,
    "withdraw": withdraw,
    "placeOrder": place_order,
    "placeMarketOrder": place_market_order,
    "placeTrigger": place_trigger,
    "cancelOrder": cancel_order,
    "cancelAllOrders": cancel_all_orders,
    "getAccount": view_account,
    "getPosition": view_position,
    "getOrder": view_order,
    "getTrigger": view_trigger,
    "getMarket": view_market,
    "marketIds": view_market_ids,
}
