"""How much an account may have open, place in a block, and hold; its client ids (RULES O1, O7).

Each function asks one question before anything changes and raises the typed error. Reduce-only
orders and cancels are never in the way of a limit on positions.

A position has its maximum twice. An order is placed only if the position, signed, with all that
rests on the order's side and the order itself stays within it: who is short may buy what closes the
short and the maximum besides. Another order may close the short before, so a maker is asked again
at the match.
"""

from typing import NamedTuple

from node.errors import (
    ClientIdInUse,
    ClientIdNotFound,
    InvalidClientId,
    InvalidExpiry,
    PositionTooLarge,
    TooManyActions,
    TooManyOpenOrders,
)
from node.perp.account import get_account, get_position
from node.perp.ledger import Ledger
from node.perp.order import OrderRequest, TimeInForce
from node.perp.parameters import MAGNITUDE_MAX
from node.units import Address, Lots, MarketId, OrderId, TimeMs


class Found(NamedTuple):
    """Where something open is."""

    market: MarketId
    order_id: OrderId


def process_action(ledger: Ledger, owner: Address) -> None:
    """Count an order placed or amended in this block; raise TooManyActions (O7).

    Cancels are not counted: nobody must be kept from leaving.
    """
    count = ledger.actions.get(owner) or 0
    if count >= ledger.params.actions_max:
        raise TooManyActions(ledger.params.actions_max)
    ledger.actions.set(owner, count + 1)


def require_room(ledger: Ledger, owner: Address, more: int) -> None:
    """Raise TooManyOpenOrders unless the account may have so many more open (O7)."""
    count = more
    for market in get_account(ledger, owner).markets:
        count += ledger.book(market).count_of(owner)
    if count > ledger.params.open_orders_max:
        raise TooManyOpenOrders(count, ledger.params.open_orders_max)


def require_position_room(ledger: Ledger, owner: Address, market: MarketId, size: Lots) -> None:
    """Raise PositionTooLarge if the position would pass its maximum on the side of `size` (O7).

    Counted as if all that rests on that side, reduce-only orders apart, were filled.
    """
    resting = ledger.book(market).resting_beside(owner, size)
    refusal = get_position_refusal(ledger, owner, market, Lots(resting + size))
    if refusal is not None:
        raise refusal


def get_position_refusal(
    ledger: Ledger, owner: Address, market: MarketId, change: Lots
) -> PositionTooLarge | None:
    """Return what stands against a change that leads the position past its maximum (O7).

    On the side to which it leads: what was past it already may shrink.
    """
    size = Lots(get_position(ledger, owner, market).size + change)
    maximum = ledger.market_params(market).position_max
    is_past = size > maximum if change > 0 else size < -maximum
    return PositionTooLarge(market, size, maximum) if is_past else None


def require_expiry(ledger: Ledger, request: OrderRequest) -> None:
    """Raise InvalidExpiry unless an order that has an expiry, or needs one, may have this (O1)."""
    if request.time_in_force not in (TimeInForce.GTT, TimeInForce.POST_ONLY):
        raise InvalidExpiry(request.expires_ms, ledger.time_ms)
    require_future(ledger, request.expires_ms)


def require_future(ledger: Ledger, time_ms: TimeMs) -> None:
    """Raise InvalidExpiry unless the time is to come (and fits 53 bits)."""
    if not ledger.time_ms < time_ms <= MAGNITUDE_MAX:
        raise InvalidExpiry(time_ms, ledger.time_ms)


def require_client_id(ledger: Ledger, owner: Address, client_id: int) -> None:
    """Raise InvalidClientId or ClientIdInUse unless the id is free; 0 is none (O1)."""
    if not 0 <= client_id <= MAGNITUDE_MAX:
        raise InvalidClientId(client_id)
    found = find_client(ledger, owner, client_id)
    if found is not None:
        raise ClientIdInUse(client_id, *found)


def find_client(ledger: Ledger, owner: Address, client_id: int) -> Found | None:
    """Return what the account has open under a client id, in whatever market."""
    for market in get_account(ledger, owner).markets:
        order_id = ledger.book(market).find_client(owner, client_id)
        if order_id is not None:
            return Found(market, order_id)
    return None


def get_client(ledger: Ledger, owner: Address, client_id: int) -> Found:
    """Return what the account has open under a client id; raise ClientIdNotFound."""
    found = find_client(ledger, owner, client_id)
    if found is None:
        raise ClientIdNotFound(client_id)
    return found
