"""The Exchange contract beside its orders: money, who may trade with which margin, and the views.

Each function is a call of the rules and its return values.
"""

from node.errors import OrderNotFound
from node.perp import agent
from node.perp.account import (
    EXCHANGE,
    get_account,
    get_own_fraction,
    get_position,
    process_deposit,
    process_withdrawal,
)
from node.perp.funding import compute_pending, get_funding
from node.perp.leverage import process_own_margin
from node.perp.limits import get_client
from node.perp.margin import compute_risk
from node.perp.order import NEVER
from node.perp.status import get_status
from node.perp.view import compute_market_view
from node.system import token
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import PPB, Address, MarketId, OrderId, Quote, RatePpm, TimeMs, div_floor


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


def set_leverage(
    ledger: SystemLedger, sender: Address, market: MarketId, fraction: RatePpm
) -> Outputs:
    """Set the sender's own initial margin fraction (M4)."""
    process_own_margin(ledger, sender, market, fraction)
    return ()


def authorize_agent(
    ledger: SystemLedger, sender: Address, address: Address, expires_ms: TimeMs
) -> Outputs:
    """Let an agent trade for the sender (M4)."""
    agent.process_authorization(ledger, sender, address, expires_ms)
    return ()


def revoke_agent(ledger: SystemLedger, sender: Address, address: Address) -> Outputs:
    """Take an agent's leave back (M4)."""
    agent.process_revocation(ledger, sender, address)
    return ()


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
    return (order[1:],)


def view_trigger(ledger: SystemLedger, _: Address, market: MarketId, order_id: OrderId) -> Outputs:
    """Return IExchange.Trigger, raise OrderNotFound."""
    get_status(ledger, market)
    found = ledger.book(market).triggers.get(order_id)
    if found is None:
        raise OrderNotFound(market, order_id)
    return (found[1:],)


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


def view_client_order(
    ledger: SystemLedger, _: Address, address: Address, client_id: int
) -> Outputs:
    """Return where what an account has open under a client id is, raise ClientIdNotFound (O1)."""
    return get_client(ledger, address, client_id)


def view_agents(ledger: SystemLedger, _: Address, address: Address) -> Outputs:
    """Return IExchange.Agent[] (M4)."""
    return (agent.get_agents(ledger, address).grants,)


def view_dead_mans_cancel(ledger: SystemLedger, _: Address, address: Address) -> Outputs:
    """Return the block time at which all of an account's orders are cancelled, 0: never (O1)."""
    deadline = ledger.deadlines.get(address)
    return (NEVER if deadline is None else deadline.cancel_at_ms,)


def view_leverage(ledger: SystemLedger, _: Address, address: Address, market: MarketId) -> Outputs:
    """Return an account's own initial margin fraction (M4)."""
    return (get_own_fraction(get_account(ledger, address), market),)


def view_market_ids(ledger: SystemLedger, _: Address) -> Outputs:
    """Return all markets, ascending."""
    return (ledger.market_ids,)


HANDLERS: Handlers = {
    "deposit": deposit,
    "withdraw": withdraw,
    "setLeverage": set_leverage,
    "authorizeAgent": authorize_agent,
    "revokeAgent": revoke_agent,
    "findByClientId": view_client_order,
    "getAgents": view_agents,
    "getDeadMansCancel": view_dead_mans_cancel,
    "getLeverage": view_leverage,
    "getAccount": view_account,
    "getPosition": view_position,
    "getOrder": view_order,
    "getTrigger": view_trigger,
    "getMarket": view_market,
    "marketIds": view_market_ids,
}
