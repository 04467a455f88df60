"""The exchange as its own methods show it: `perp_` beside Ethereum's `eth_`.

One shape for every quantity: an object with the integer under its unit's name and the exact decimal
string beside it.

    price    {"ticks": 463190, "decimal": "46319.0"}      USD
    size     {"lots": -25, "decimal": "-0.0025"}          of the base asset; + is long, or a buy
    money    {"atoms": 12500000, "decimal": "12.500000"}  USDC
    rate     {"ppb": 100000, "decimal": "0.000100000"}    per 8 h
    fraction {"ppm": 50000, "decimal": "0.050000"}
    index    {"nanoAtoms": 5, "decimal": "0.000000005"}   atoms per lot

Integers are JSON numbers of any length; JavaScript, which rounds beyond 2^53, takes the decimal.
Counts, ids, heights and milliseconds are plain numbers, modes and kinds are names, hashes and
addresses are hex strings, what is absent is null. Blocks are named as in `eth_` methods.
"""

import re
from enum import IntEnum
from functools import cache
from typing import Any, Final

import orjson

from node.chain.block import Block, encode_extension
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transition import decode_transition
from node.consensus.faults import Fault, FaultKind, Stage
from node.errors import FaultRefused, MarketNotFound
from node.perp.events import Event
from node.perp.parameters import COLLATERAL_DECIMALS, MarketParams
from node.perp.status import Mode
from node.perp.view import AccountView, Level, MarketView, OpenOrder, OpenTrigger, PositionView
from node.rpc.blocks import BlockRef, find_block, get_block
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, MethodNotFound, ServerError
from node.rpc.eth import CLIENT_VERSION
from node.rpc.hex import data, parse_address
from node.rpc.render import Json
from node.system.classes import ActionClass, classify
from node.units import Address, MarketId

DEPTH_DEFAULT: Final = 20
DEPTH_MAX: Final = 1_000


# --- quantities -----------------------------------------------------------------------------------


def render_decimal(value: int, decimals: int) -> str:
    """Return value / 10^decimals exactly, with all its decimals."""
    digits = str(abs(value)).rjust(decimals + 1, "0")
    sign = "-" if value < 0 else ""
    if decimals == 0:
        return sign + digits
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}"


def _integer(value: int) -> Json:
    """Return the integer as orjson writes it: it refuses more than 64 bits by itself."""
    return value if -(2**63) <= value < 2**63 else orjson.Fragment(str(value))


def _quantity(unit: str, value: int, decimals: int) -> Json:
    return {unit: _integer(value), "decimal": render_decimal(value, decimals)}


def _price(value: int, params: MarketParams) -> Json:
    """Render ticks; 0 is no price at all."""
    return _quantity("ticks", value, params.tick_decimals) if value else None


def _size(value: int, params: MarketParams) -> Json:
    return _quantity("lots", value, params.lot_decimals)


def _money(value: int) -> Json:
    return _quantity("atoms", value, COLLATERAL_DECIMALS)


def _rate(value: int) -> Json:
    return _quantity("ppb", value, 9)


def _fraction(value: int) -> Json:
    return _quantity("ppm", value, 6)


def _index(value: int) -> Json:
    return _quantity("nanoAtoms", value, 9)


def render_entry_price(entry_value: int, size: int, params: MarketParams) -> str:
    """Return entry value / (size · K) in USD, rounded half up to three digits below a tick."""
    extra = 3
    lots = abs(size) * params.k
    ticks = (2 * abs(entry_value) * 10**extra + lots) // (2 * lots)
    negative = entry_value != 0 and (entry_value < 0) != (size < 0)
    return render_decimal(-ticks if negative else ticks, params.tick_decimals + extra)


# --- markets --------------------------------------------------------------------------------------


async def get_markets(context: Context, ref: BlockRef) -> Json:
    """Return every market: parameters, prices, mode, funding, open interest, best prices."""
    block = await get_block(context.core, ref)
    return [_render_market(view) for view in await context.core.market_views(block)]


def _render_market(view: MarketView) -> Json:
    params, funding = view.params, view.funding
    return {
        "market": view.market,
        "symbol": params.symbol,
        "lotDecimals": params.lot_decimals,
        "tickDecimals": params.tick_decimals,
        "k": params.k,
        "mode": view.mode.name,
        "isInGrace": view.is_in_grace,
        "mark": _price(view.mark, params),
        "oracle": {
            "price": _price(view.oracle, params),
            "timeMs": view.oracle_time_ms or None,
            "isStale": view.is_stale,
            "isJump": view.is_jump,
        },
        "funding": {
            "rate": _rate(funding.rate_ppb),
            "rateCap": _rate(view.rate_cap_ppb),
            "index": _index(funding.index),
            "dust": _index(funding.dust),
        },
        "openInterest": _size(view.open_interest, params),
        "bestBid": _price(view.best_bid, params),
        "bestAsk": _price(view.best_ask, params),
        "status": {
            "mode": view.status.mode.name,
            "sinceMs": view.status.since_ms,
            "sinceHeight": view.status.since_height,
            "quorumMs": view.status.quorum_ms,
            "quorumBlocks": view.status.quorum_blocks,
        },
        "params": _render_params(params),
    }


def _render_params(params: MarketParams) -> Json:
    return {
        "brackets": [
            {
                "notionalFrom": _money(bracket.notional_from),
                "initialMargin": _fraction(bracket.initial_margin_ppm),
            }
            for bracket in params.brackets
        ],
        "maintenance": _fraction(params.maintenance_ppm),
        "oiLowerCap": _money(params.oi_lower_cap),
        "oiUpperCap": _money(params.oi_upper_cap),
        "takerFee": _fraction(params.taker_fee_ppm),
        "makerFee": _fraction(params.maker_fee_ppm),
        "priceBand": _fraction(params.price_band_ppm),
        "orderValueMin": _money(params.order_value_min),
        "impactNotional": _money(params.impact_notional),
        "fundingIntervalMs": params.funding_interval_ms,
        "fundingInterest": _rate(params.funding_interest_ppb),
        "fundingClampFactor": _fraction(params.funding_clamp_factor_ppm),
        "priceAgeMsMax": params.price_age_ms_max,
        "priceMoveMax": _fraction(params.price_move_ppm_max),
        "priceConfirmMs": params.price_confirm_ms,
        "liquidationFee": _fraction(params.liquidation_fee_ppm),
        "markBand": _fraction(params.mark_band_ppm),
        "vaultSizeMax": params.vault_size_max,
    }


def parse_market(value: object) -> MarketId:
    """Read a market id: a plain number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value < 2**32:
        raise ValueError("want a market id, a number from 1")
    return MarketId(value)


def parse_depth(value: object) -> int:
    """Read how many levels a side are wanted."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= DEPTH_MAX:
        raise ValueError(f"want a number of levels from 1 to {DEPTH_MAX}")
    return value


async def get_order_book(context: Context, market: MarketId, depth: int, ref: BlockRef) -> Json:
    """Return the best levels of a market's book."""
    block = await get_block(context.core, ref)
    try:
        view = await context.core.book_view(market, depth, block)
    except MarketNotFound:
        raise InvalidParams(f"invalid argument 0: no market has the id {market}") from None
    return {
        "market": market,
        "symbol": view.params.symbol,
        "blockNumber": block.header.number,
        "bids": [_render_level(level, view.params) for level in view.bids],
        "asks": [_render_level(level, view.params) for level in view.asks],
    }


def _render_level(level: Level, params: MarketParams) -> Json:
    return {
        "price": _price(level.price, params),
        "size": _size(level.size, params),
        "orderCount": level.order_count,
    }


# --- accounts -------------------------------------------------------------------------------------


async def get_account(context: Context, address: Address, ref: BlockRef) -> Json:
    """Return a margin account: equity, margins, positions, open orders, triggers."""
    block = await get_block(context.core, ref)
    return _render_account(await context.core.account_view(address, block))


def _render_account(view: AccountView) -> Json:
    return {
        "address": data(view.address),
        "balance": _money(view.balance),
        "equity": _money(view.equity),
        "initialMargin": _money(view.initial),
        "maintenanceMargin": _money(view.maintenance),
        "openNotional": _money(view.open_notional),
        "withdrawalsFromMs": view.withdrawals_from_ms,
        "positions": [_render_position(position) for position in view.positions],
        "orders": [_render_order(order) for order in view.orders],
        "triggers": [_render_trigger(trigger) for trigger in view.triggers],
    }


def _render_position(view: PositionView) -> Json:
    params = view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "size": _size(view.size, params),
        "entryPrice": {"decimal": render_entry_price(view.entry_value, view.size, params)},
        "entryValue": _money(view.entry_value),
        "mark": _price(view.mark, params),
        "value": _money(view.value),
        "unrealisedPnl": _money(view.unrealised_pnl),
        "pendingFunding": _money(view.pending_funding),
        "initialMargin": _money(view.initial),
        "maintenanceMargin": _money(view.maintenance),
    }


def _render_order(view: OpenOrder) -> Json:
    order, params = view.order, view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "orderId": order.id,
        "size": _size(order.size, params),
        "price": _price(order.price, params),
        "reduceOnly": order.reduce_only,
        "blockNumber": order.height,
    }


def _render_trigger(view: OpenTrigger) -> Json:
    trigger, params = view.trigger, view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "orderId": trigger.id,
        "size": _size(trigger.size, params),
        "triggerPrice": _price(trigger.trigger_price, params),
        "kind": trigger.kind.name,
        "firedMark": _price(trigger.fired_mark, params),
    }


# --- blocks and status ----------------------------------------------------------------------------


async def get_perp_block(context: Context, ref: BlockRef) -> Json:
    """Return what Ethereum's block has no field for: extension, transitions, classes (O8)."""
    block = await find_block(context.core, ref)
    if block is None:
        return None
    extension = block.extension
    return {
        "number": block.header.number,
        "hash": data(block.hash),
        "extension": _render_fields(extension) | {"rlp": data(encode_extension(extension))},
        "classes": _render_classes(block),
        "transitions": [render_event(decode_transition(each)) for each in block.transitions],
    }


def _render_classes(block: Block) -> list[str]:
    """Return each transaction's effective class (O8); the protocol's own have none."""
    latest: dict[Address, ActionClass] = {}
    names: list[str] = []
    for tx in block.transactions:
        if tx.sender == SYSTEM_ACCOUNT:
            names.append("SYSTEM")
            continue
        own = classify(tx.to, tx.data)
        latest[tx.sender] = max(own, latest.get(tx.sender, own))
        names.append(latest[tx.sender].name)
    return names


def render_event(event: Event) -> Json:
    """Return a transition by its kind's and its fields' names."""
    return {"kind": type(event).__name__} | _render_fields(event)


def _render_fields(record: Any) -> dict[str, Json]:
    """Return a record's fields by the names that the ABI gives them."""
    return {
        _camel_case(name): _render_value(value)
        for name, value in zip(record._fields, record, strict=True)
    }


@cache
def _camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _render_value(value: object) -> Json:
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return data(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return _integer(value)
    return value


def get_status(context: Context) -> Json:
    """Return how the chain and this node are."""
    core = context.core
    status = core.status()
    return _render_fields(status) | {
        "mode": Mode(status.mode).name,
        "deficit": _money(status.deficit),
        "vault": _money(status.vault),
        "chainId": core.chain_id,
        "genesisHash": data(core.genesis_hash),
        "clientVersion": CLIENT_VERSION,
    }


# --- disputes and faults --------------------------------------------------------------------------


def get_disputes(context: Context) -> Json:
    """Return every dispute this node knows of: block, field, both values, and who says so."""
    return [_render_fields(each) | {"text": each.text()} for each in context.core.disputes()]


async def inject_fault(
    context: Context, kind: FaultKind, stage: Stage, target: MarketId | Address, value: int
) -> Json:
    """Make one of the sequencer's numbers wrong on purpose; exists only with --faults."""
    if not context.core.has_faults:
        raise MethodNotFound("debug_injectFault")
    try:
        before = await context.core.inject_fault(Fault(kind, stage, target, value))
    except FaultRefused as refusal:
        raise ServerError(str(refusal)) from None
    return {
        "kind": kind.value,
        "stage": stage.value,
        "target": data(target) if isinstance(target, bytes) else target,
        "before": str(before),
        "value": str(value),
    }


def parse_fault_kind(value: object) -> FaultKind:
    """Read which number a fault alters."""
    if not isinstance(value, str) or value not in list(FaultKind):
        raise ValueError(f"want one of {', '.join(FaultKind)}")
    return FaultKind(value)


def parse_fault_stage(value: object) -> Stage:
    """Read where a fault alters it."""
    if not isinstance(value, str) or value not in list(Stage):
        raise ValueError(f"want one of {', '.join(Stage)}")
    return Stage(value)


def parse_fault_target(value: object) -> MarketId | Address:
    """Read whose number a fault alters: a market's id or an account's address."""
    return parse_address(value) if isinstance(value, str) else parse_market(value)


def parse_integer(value: object) -> int:
    """Read an integer: a number, or a decimal string where JSON's numbers end."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,40}", value):
        return int(value)
    raise ValueError("want an integer, as a number or a decimal string")
