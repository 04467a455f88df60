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
from typing import Final

from node.chain.block import Block, encode_extension
from node.chain.certificate import attestation_bytes
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transition import decode_transition
from node.consensus.faults import Fault, FaultKind, Stage
from node.errors import FaultRefused, MarketNotFound
from node.governance.validators import total_power
from node.perp.events import Event
from node.perp.parameters import MarketParams
from node.perp.status import Mode
from node.perp.view import AccountView, Level, MarketView, PositionView
from node.rpc.blocks import BlockRef, find_block, get_block
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.eth import CLIENT_VERSION
from node.rpc.hex import data, parse_address
from node.rpc.open_orders import parse_market, render_order, render_trigger
from node.rpc.quantities import (
    render_entry_price,
    render_fraction,
    render_index,
    render_money,
    render_price,
    render_rate,
    render_size,
)
from node.rpc.records import render_record
from node.rpc.render import Json
from node.system.classes import ActionClass, classify
from node.units import Address, MarketId

DEPTH_DEFAULT: Final = 20
DEPTH_MAX: Final = 1_000


# --- markets --------------------------------------------------------------------------------------


async def get_markets(context: Context, ref: BlockRef) -> Json:
    """Return every market: parameters, prices, mode, funding, open interest, best prices."""
    block = await get_block(context.core, ref)
    return [render_market(view) for view in await context.core.market_views(block)]


async def get_market(context: Context, market: MarketId, ref: BlockRef) -> Json:
    """Return one market: parameters, prices, mode, funding, open interest, best prices."""
    block = await get_block(context.core, ref)
    try:
        return render_market(await context.core.market_view(market, block))
    except MarketNotFound:
        raise _no_market(market) from None


def _no_market(market: MarketId) -> InvalidParams:
    return InvalidParams(f"invalid argument 0: no market has the id {market}")


def render_market(view: MarketView) -> dict[str, Json]:
    """Return a market as a list of them has it."""
    params = view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "lotDecimals": params.lot_decimals,
        "tickDecimals": params.tick_decimals,
        "k": params.k,
        "mode": view.mode.name,
        "isInGrace": view.is_in_grace,
        "mark": render_price(view.mark, params),
        "oracle": {
            "price": render_price(view.oracle, params),
            "timeMs": view.oracle_time_ms or None,
            "reportedMs": view.reported_ms or None,
            "isStale": view.is_stale,
            "isJump": view.is_jump,
        },
        "funding": render_funding(view),
        "openInterest": render_size(view.open_interest, params),
        "bestBid": render_price(view.best_bid, params),
        "bestAsk": render_price(view.best_ask, params),
        "status": {
            "mode": view.status.mode.name,
            "sinceMs": view.status.since_ms,
            "sinceHeight": view.status.since_height,
            "quorumMs": view.status.quorum_ms,
            "quorumBlocks": view.status.quorum_blocks,
        },
        "params": _render_params(params),
    }


def render_funding(view: MarketView) -> dict[str, Json]:
    """Return a market's funding: the rate in force and the index so far."""
    funding = view.funding
    return {
        "rate": render_rate(funding.rate_ppb),
        "rateCap": render_rate(view.rate_cap_ppb),
        "index": render_index(funding.index),
        "dust": render_index(funding.dust),
    }


def _render_params(params: MarketParams) -> Json:
    return {
        "brackets": [
            {
                "notionalFrom": render_money(bracket.notional_from),
                "initialMargin": render_fraction(bracket.initial_margin_ppm),
            }
            for bracket in params.brackets
        ],
        "maintenance": render_fraction(params.maintenance_ppm),
        "oiLowerCap": render_money(params.oi_lower_cap),
        "oiUpperCap": render_money(params.oi_upper_cap),
        "takerFee": render_fraction(params.taker_fee_ppm),
        "makerFee": render_fraction(params.maker_fee_ppm),
        "priceBand": render_fraction(params.price_band_ppm),
        "orderValueMin": render_money(params.order_value_min),
        "impactNotional": render_money(params.impact_notional),
        "fundingIntervalMs": params.funding_interval_ms,
        "fundingInterest": render_rate(params.funding_interest_ppb),
        "fundingClampFactor": render_fraction(params.funding_clamp_factor_ppm),
        "priceAgeMsMax": params.price_age_ms_max,
        "priceMoveMax": render_fraction(params.price_move_ppm_max),
        "priceConfirmMs": params.price_confirm_ms,
        "liquidationFee": render_fraction(params.liquidation_fee_ppm),
        "markBand": render_fraction(params.mark_band_ppm),
        "vaultSizeMax": params.vault_size_max,
        "positionMax": render_size(params.position_max, params),
        "openInterestMax": render_size(params.open_interest_max, params),
        "liquidationNotionalMax": render_money(params.liquidation_notional_max),
    }


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
        raise _no_market(market) from None
    return {
        "market": market,
        "symbol": view.params.symbol,
        "blockNumber": block.header.number,
        "bids": [render_level(level, view.params) for level in view.bids],
        "asks": [render_level(level, view.params) for level in view.asks],
    }


def render_level(level: Level, params: MarketParams) -> dict[str, Json]:
    """Return a level of a book."""
    return {
        "price": render_price(level.price, params),
        "size": render_size(level.size, params),
        "orderCount": level.order_count,
    }


# --- accounts -------------------------------------------------------------------------------------


async def get_account(context: Context, address: Address, ref: BlockRef) -> Json:
    """Return a margin account: equity, margins, positions, open orders, triggers."""
    block = await get_block(context.core, ref)
    return render_account(await context.core.account_view(address, block))


def render_account(view: AccountView) -> dict[str, Json]:
    """Return a margin account."""
    return {
        "address": data(view.address),
        "balance": render_money(view.balance),
        "equity": render_money(view.equity),
        "initialMargin": render_money(view.initial),
        "maintenanceMargin": render_money(view.maintenance),
        "openNotional": render_money(view.open_notional),
        "pendingFunding": render_money(view.pending_funding),
        "withdrawalsFromMs": view.withdrawals_from_ms,
        "positions": [_render_position(position) for position in view.positions],
        "orders": [render_order(order) for order in view.orders],
        "triggers": [render_trigger(trigger) for trigger in view.triggers],
    }


def _render_position(view: PositionView) -> Json:
    params = view.params
    return {
        "market": view.market,
        "symbol": params.symbol,
        "size": render_size(view.size, params),
        "entryPrice": {"decimal": render_entry_price(view.entry_value, view.size, params)},
        "entryValue": render_money(view.entry_value),
        "mark": render_price(view.mark, params),
        "value": render_money(view.value),
        "unrealisedPnl": render_money(view.unrealised_pnl),
        "pendingFunding": render_money(view.pending_funding),
        "initialMargin": render_money(view.initial),
        "maintenanceMargin": render_money(view.maintenance),
        "liquidationPrice": render_price(view.liquidation_price, params),
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
        "extension": render_record(extension) | {"rlp": data(encode_extension(extension))},
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
    return {"kind": type(event).__name__} | render_record(event)


async def get_certificate(context: Context, ref: BlockRef) -> Json:
    """Return the validators' Ed25519 signatures of a block, and the message that each is over.

    A certificate covers every block below its own. Null where a block has none of its own: `safe`
    is the newest that has one, where there are validators.
    """
    block = await find_block(context.core, ref)
    found = None if block is None else await context.core.certificate(block)
    if found is None:
        return None
    certificate, identity, validators = found
    height, block_hash, signatures = certificate
    members = [validators.members[each.validator] for each in signatures]
    return {
        "blockNumber": height,
        "blockHash": data(block_hash),
        "forkId": identity.fork_id,
        "devEpoch": identity.dev_epoch,
        "message": data(attestation_bytes(identity, height, block_hash)),
        "power": sum(member.power for member in members),
        "totalPower": total_power(validators),
        "signatures": [
            render_record(member) | render_record(each)
            for member, each in zip(members, signatures, strict=True)
        ],
    }


def get_status(context: Context) -> Json:
    """Return how the chain and this node are."""
    core = context.core
    status = core.status()
    return render_record(status) | {
        "mode": Mode(status.mode).name,
        "deficit": render_money(status.deficit),
        "vault": render_money(status.vault),
        "chainId": core.chain_id,
        "genesisHash": data(core.genesis_hash),
        "clientVersion": CLIENT_VERSION,
    }


# --- disputes and faults --------------------------------------------------------------------------


def get_disputes(context: Context) -> Json:
    """Return every dispute this node knows of: block, field, both values, and who says so."""
    return [render_record(each) | {"text": each.text()} for each in context.core.disputes()]


async def inject_fault(
    context: Context, kind: FaultKind, stage: Stage, target: MarketId | Address, value: int
) -> Json:
    """Make one of the sequencer's numbers wrong on purpose; exists only with --faults."""
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
