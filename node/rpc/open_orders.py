"""What an account has open, as the exchange's own methods show it."""

from typing import Final, NamedTuple

from node.perp.order import Order, Trigger
from node.perp.view import OpenOrder, OpenTrigger
from node.rpc.blocks import BlockRef, get_block
from node.rpc.context import Context
from node.rpc.hex import data
from node.rpc.quantities import render_price, render_size
from node.rpc.render import Json
from node.units import Address, MarketId


def render_order(view: OpenOrder) -> Json:
    """Return a resting order."""
    order, params = view.order, view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "orderId": order.id,
        "size": render_size(order.size, params),
        "price": render_price(order.price, params),
        "reduceOnly": order.reduce_only,
        "postOnly": order.post_only,
        "clientId": order.client_id or None,
        "expiresMs": order.expires_ms or None,
        "blockNumber": order.height,
    }


def render_trigger(view: OpenTrigger) -> Json:
    """Return a waiting or fired trigger."""
    trigger, params = view.trigger, view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "orderId": trigger.id,
        "size": render_size(trigger.size, params),
        "triggerPrice": render_price(trigger.trigger_price, params),
        "kind": trigger.kind.name,
        "firedMark": render_price(trigger.fired_mark, params),
        "limitPrice": render_price(trigger.limit_price, params),
        "reduceOnly": trigger.reduce_only,
        "clientId": trigger.client_id or None,
        "expiresMs": trigger.expires_ms or None,
        "otherId": trigger.other or None,
        "parentId": trigger.parent or None,
        "pendingSize": render_size(trigger.pending, params),
    }


class OrderFilter(NamedTuple):
    """Which of an account's open orders are wanted; None: whichever."""

    market: MarketId | None = None
    client_id: int | None = None
    is_buy: bool | None = None
    reduce_only: bool | None = None

    def matches(self, market: MarketId, each: Order | Trigger) -> bool:
        """Tell whether an open order or trigger is wanted."""
        return (
            self.market in (None, market)
            and self.client_id in (None, each.client_id)
            and self.is_buy in (None, each.size > 0)
            and self.reduce_only in (None, each.reduce_only)
        )


ALL: Final = OrderFilter()
_FILTER_FIELDS: Final = ("market", "clientId", "side", "reduceOnly")


def parse_order_filter(value: object) -> OrderFilter:
    """Read a filter: {market?, clientId?, side?: "buy" or "sell", reduceOnly?}."""
    if not isinstance(value, dict):
        raise ValueError("want an object of filters")
    for name in value:
        if name not in _FILTER_FIELDS:
            raise ValueError(f"no filter is named {name!r}: want {', '.join(_FILTER_FIELDS)}")
    side, client_id = value.get("side"), value.get("clientId")
    if side not in (None, "buy", "sell"):
        raise ValueError('want "buy" or "sell" as side')
    if client_id is not None and (not isinstance(client_id, int) or isinstance(client_id, bool)):
        raise ValueError("want a number as clientId")
    reduce_only = value.get("reduceOnly")
    if reduce_only is not None and not isinstance(reduce_only, bool):
        raise ValueError("want true or false as reduceOnly")
    market = value.get("market")
    return OrderFilter(
        None if market is None else parse_market(market),
        client_id,
        None if side is None else side == "buy",
        reduce_only,
    )


async def get_open_orders(
    context: Context, address: Address, wanted: OrderFilter, ref: BlockRef
) -> Json:
    """Return an account's resting orders and its triggers, by market and number."""
    block = await get_block(context.core, ref)
    view = await context.core.account_view(address, block)
    return {
        "address": data(view.address),
        "blockNumber": block.header.number,
        "orders": [
            render_order(each) for each in view.orders if wanted.matches(each.market, each.order)
        ],
        "triggers": [
            render_trigger(each)
            for each in view.triggers
            if wanted.matches(each.market, each.trigger)
        ],
    }


def parse_market(value: object) -> MarketId:
    """Read a market id: a plain number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**32:
        raise ValueError("want a market id, a number from 1")
    return MarketId(value)
