"""What was: trades, candles and funding up to a block, newest first, page by page.

A page of trades or payments ends with `next`, a cursor that names the block as of which it was
made: the pages that follow it are of that same block's branch, whatever the chain does meanwhile.
`next` is null where nothing older is known; a page may hold fewer than were asked for and still
have one, because a page looks at a limited number of blocks.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, TypeVar

from node.chain.block import Block
from node.chain.event_search import Found, Position
from node.chain.fill_table import INTERVALS, Candle
from node.chain.funding_history import FundingInterval
from node.errors import MarketNotFound
from node.perp.events import FundingSettled, OrderFilled
from node.perp.parameters import MarketParams
from node.rpc.blocks import BlockHash, BlockRef, get_block
from node.rpc.context import Context
from node.rpc.errors import InvalidParams
from node.rpc.hex import data, parse_address
from node.rpc.open_orders import parse_market
from node.rpc.quantities import (
    render_index,
    render_money,
    render_price,
    render_rate,
    render_size,
)
from node.rpc.render import Json
from node.units import Address, Hash32, Height, MarketId, TimeMs, notional

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 1_000
TIME_MS_MAX: Final = 2**53 - 1
CURSOR: Final = re.compile(r"0x([0-9a-f]{64})-([0-9]{1,18})-([0-9]{1,10})")

T = TypeVar("T")


class Cursor(NamedTuple):
    """Where a page goes on."""

    block_hash: Hash32
    """As of which block the first page was made."""
    position: Position


class Search(NamedTuple):
    """What of the past is wanted; None: whatever there is."""

    account: Address | None = None
    market: MarketId | None = None
    from_block: Height = Height(0)
    limit: int = LIMIT_DEFAULT
    cursor: Cursor | None = None


class Span(NamedTuple):
    """Which candles or intervals are wanted: those that begin in [from, until), the newest."""

    from_ms: TimeMs = TimeMs(0)
    until_ms: TimeMs = TimeMs(TIME_MS_MAX)
    limit: int = LIMIT_DEFAULT


# --- trades ---------------------------------------------------------------------------------------


async def get_trades(context: Context, market: MarketId, search: Search, ref: BlockRef) -> Json:
    """Return a market's fills up to a block, newest first; of one account if it is named.

    Each fill counts once, liquidations' included and marked; what the LiquidatorVault takes over,
    deleveraging and settlement close without a trade, and are transitions of perp_getBlock.
    """
    block = await _get_block(context, search, ref)
    params = await _get_params(context, market, block)
    page = await context.core.fills(
        market,
        search.account,
        before=None if search.cursor is None else search.cursor.position,
        lowest=search.from_block,
        limit=search.limit,
        block=block,
    )
    return _market(market, params, block) | {
        "knownFrom": await context.core.fills_since(),
        "trades": [render_trade(each, params) for each in page.found],
        "next": _render_cursor(block, page.next),
    }


def render_trade(found: Found[OrderFilled], params: MarketParams) -> dict[str, Json]:
    """Return a fill; its size is the taker's, + a buy."""
    fill = found.event
    return _render_place(found) | {
        "market": fill.market,
        "size": render_size(fill.size, params),
        "price": render_price(fill.price, params),
        "value": render_money(notional(fill.size, fill.price, params.k)),
        "maker": data(fill.maker),
        "taker": data(fill.taker),
        "makerOrderId": fill.maker_order_id,
        "takerOrderId": fill.taker_order_id or None,
        "makerFee": render_money(fill.maker_fee),
        "takerFee": render_money(fill.taker_fee),
        "isLiquidation": fill.liquidation,
    }


def _render_place(found: Found[Any]) -> dict[str, Json]:
    return {
        "blockNumber": found.height,
        "blockHash": data(found.block_hash),
        "timeMs": found.time_ms,
        "transactionHash": data(found.tx_hash),
        "logIndex": found.log_index,
    }


# --- candles --------------------------------------------------------------------------------------


async def get_candles(
    context: Context, market: MarketId, interval: str, span: Span, ref: BlockRef
) -> Json:
    """Return a market's candles up to a block, oldest first: the newest that begin in a span.

    They are made of fills, each counted once, liquidations' too (`liquidationVolume`); an interval
    without a fill has none. The next older page is until the first one's `startMs`.
    """
    block = await get_block(context.core, ref)
    params = await _get_params(context, market, block)
    found = await context.core.candles(
        market, interval, until_ms=span.until_ms, limit=span.limit, block=block
    )
    return _market(market, params, block) | {
        "interval": interval,
        "knownFrom": await context.core.fills_since(),
        "candles": [
            render_candle(candle, interval, block, params)
            for candle in reversed(found)
            if candle.start_ms >= span.from_ms
        ],
    }


def render_candle(
    candle: Candle, interval: str, block: Block, params: MarketParams
) -> dict[str, Json]:
    """Return a candle as of a block."""
    end_ms = candle.start_ms + INTERVALS[interval]
    return {
        "startMs": candle.start_ms,
        "endMs": end_ms,
        "open": render_price(candle.open, params),
        "high": render_price(candle.high, params),
        "low": render_price(candle.low, params),
        "close": render_price(candle.close, params),
        "volume": render_size(candle.volume, params),
        "liquidationVolume": render_size(candle.liquidation_volume, params),
        "fillCount": candle.fills,
        "isClosed": block.extension.time_ms >= end_ms,
    }


# --- funding --------------------------------------------------------------------------------------


async def get_funding_history(
    context: Context, market: MarketId, span: Span, ref: BlockRef
) -> Json:
    """Return a market's rate and index after each interval, oldest first: the newest of a span.

    An interval has the length that holds at the block; one without a block is left out. `change` is
    what the index moved since the interval before, null where that is not kept.
    """
    block = await get_block(context.core, ref)
    params = await _get_params(context, market, block)
    found = await context.core.funding_intervals(
        market,
        params.funding_interval_ms,
        until_ms=span.until_ms,
        limit=span.limit,
        block=block,
    )
    return _market(market, params, block) | {
        "intervalMs": params.funding_interval_ms,
        "intervals": [
            _render_interval(each, block)
            for each in reversed(found)
            if each.start_ms >= span.from_ms
        ],
    }


def _render_interval(each: FundingInterval, block: Block) -> Json:
    return {
        "startMs": each.start_ms,
        "endMs": each.end_ms,
        "blockNumber": each.height,
        "timeMs": each.time_ms,
        "rate": render_rate(each.rate_ppb),
        "index": render_index(each.index),
        "change": None if each.change is None else render_index(each.change),
        "isClosed": block.extension.time_ms >= each.end_ms,
    }


async def get_funding_payments(
    context: Context, address: Address, search: Search, ref: BlockRef
) -> Json:
    """Return the funding that an account was paid, or paid, up to a block, newest first (F4)."""
    block = await _get_block(context, search, ref)
    page = await context.core.funding_payments(
        address,
        search.market,
        before=None if search.cursor is None else search.cursor.position,
        lowest=search.from_block,
        limit=search.limit,
        block=block,
    )
    return {
        "address": data(address),
        "blockNumber": block.header.number,
        "blockHash": data(block.hash),
        "payments": [_render_payment(each) for each in page.found],
        "next": _render_cursor(block, page.next),
    }


def _render_payment(found: Found[FundingSettled]) -> Json:
    paid = found.event
    return _render_place(found) | {
        "market": paid.market,
        "cash": render_money(paid.cash),
        "index": render_index(paid.index),
    }


# --- within ---------------------------------------------------------------------------------------


async def _get_block(context: Context, search: Search, ref: BlockRef) -> Block:
    if search.cursor is not None:
        ref = BlockHash(search.cursor.block_hash, require_canonical=False)
    return await get_block(context.core, ref)


async def _get_params(context: Context, market: MarketId, block: Block) -> MarketParams:
    try:
        return await context.core.market_params(market, block)
    except MarketNotFound:
        raise InvalidParams(f"invalid argument 0: no market has the id {market}") from None


def _market(market: MarketId, params: MarketParams, block: Block) -> dict[str, Json]:
    return {
        "market": market,
        "symbol": params.symbol,
        "blockNumber": block.header.number,
        "blockHash": data(block.hash),
    }


def _render_cursor(block: Block, position: Position | None) -> Json:
    if position is None:
        return None
    return f"{data(block.hash)}-{position.height}-{position.log_index}"


# --- arguments ------------------------------------------------------------------------------------


def parse_trade_search(value: object) -> Search:
    """Read {account?, fromBlock?, limit?, cursor?}."""
    return _parse_search(value, "account", parse_address)


def parse_payment_search(value: object) -> Search:
    """Read {market?, fromBlock?, limit?, cursor?}."""
    return _parse_search(value, "market", parse_market)


def parse_span(value: object) -> Span:
    """Read {fromMs?, untilMs?, limit?}."""
    found = _parse_members(
        value, {"fromMs": _parse_time, "untilMs": _parse_time, "limit": _parse_limit}
    )
    return Span(
        found.get("fromMs", Span().from_ms),
        found.get("untilMs", Span().until_ms),
        found.get("limit", LIMIT_DEFAULT),
    )


def parse_interval(value: object) -> str:
    """Read a candle's interval."""
    if not isinstance(value, str) or value not in INTERVALS:
        raise ValueError(f"want one of {', '.join(INTERVALS)}")
    return value


def _parse_search(value: object, subject: str, parse_subject: Any) -> Search:
    found = _parse_members(
        value,
        {
            subject: parse_subject,
            "fromBlock": _parse_time,
            "limit": _parse_limit,
            "cursor": _parse_cursor,
        },
    )
    return Search(
        found.get("account"),
        found.get("market"),
        Height(found.get("fromBlock", 0)),
        found.get("limit", LIMIT_DEFAULT),
        found.get("cursor"),
    )


def _parse_members(value: object, readers: Mapping[str, Any]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError("want an object")
    found = {}
    for name, each in value.items():
        if name not in readers:
            raise ValueError(f"nothing is named {name!r}: want {', '.join(readers)}")
        try:
            found[name] = readers[name](each)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
    return found


def _parse_limit(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LIMIT_MAX:
        raise ValueError(f"want a number from 1 to {LIMIT_MAX}")
    return value


def _parse_time(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= TIME_MS_MAX:
        raise ValueError("want a number from 0")
    return value


def _parse_cursor(value: object) -> Cursor:
    match = CURSOR.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("want what an earlier page gave as next")
    position = Position(Height(int(match[2])), int(match[3]))
    return Cursor(Hash32(bytes.fromhex(match[1])), position)
