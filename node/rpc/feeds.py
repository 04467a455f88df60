"""Feeds of the exchange over WebSocket: what perp_subscribe tells, block by block.

    kind        options                what it holds, by what key
    markets     {}                     "markets" by market
    market      {market}               "markets" by market: this one
    funding     {market}               "funding" by market: rate and index
    orderBook   {market, depth?}       "bids" and "asks", the best levels, by ticks
    openOrders  {address}              "orders" and "triggers" by market and orderId
    account     {address}              "accounts" by address: one, without its orders
    candles     {market, interval}     "candles" by startMs: the newest 100
    trades      {market, account?}     "trades": a block's fills, oldest first

A message names the block as of which it is, and its `sequence`: one more than the last one's, or
something was lost. With `isSnapshot` it is all there is: forget what you had. Else its items are
new or changed, and `gone` holds the keys of those that are no more. Blocks that follow each other
faster than they are looked at share a message.

Forks and development reverts announce themselves, so that a copy ends right: each feed sends a
snapshot, but trades, whose first message holds none: they are taken back, newest first, in
messages with `removed` that name the block that was left.

Subscriptions to the same thing share one feed: it is computed once a block however many listen.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import structlog

from node.chain.block import Block, Receipt
from node.chain.event_search import find_events
from node.consensus.core import Core
from node.errors import MarketNotFound
from node.perp.events import OrderFilled
from node.perp.parameters import MarketParams
from node.perp.view import MarketView
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, NotificationsUnsupported, ServerError
from node.rpc.hex import data, parse_address
from node.rpc.history import parse_interval, render_candle, render_trade
from node.rpc.open_orders import parse_market, render_order, render_trigger
from node.rpc.perp import (
    DEPTH_DEFAULT,
    parse_depth,
    render_account,
    render_funding,
    render_level,
    render_market,
)
from node.rpc.render import Json
from node.units import Address, Hash32, MarketId, TimeMs

if TYPE_CHECKING:
    from node.rpc.subscriptions import Subscriber

FEEDS_MAX: Final = 1_000
"""Different ones, of all connections together."""
CANDLES_KEPT: Final = 100
CANDLES_LOOKED_AT: Final = 3
"""After a block: its own and two before it; where the oldest is not known, all are read."""
FAILED: Final = 1011
"""The WebSocket close code of a server that met an error: the client begins anew."""
NEVER: Final = TimeMs(2**53 - 1)

log = structlog.get_logger(__name__)

Sections = dict[str, dict[Any, Json]]
"""What a feed holds: items by key, in named sections."""


class Query(NamedTuple):
    """What a subscription asks for; those that ask the same share a feed."""

    kind: str
    market: MarketId | None = None
    account: Address | None = None
    depth: int = 0
    interval: str = ""


class Feeding(NamedTuple):
    """What a new feed is made of."""

    core: Core
    query: Query
    params: MarketParams | None
    """Of the query's market, if it names one: how many decimals it has."""


class Event(NamedTuple):
    """A block that became head, or that a fork or a revert left."""

    block: Block
    receipts: Sequence[Receipt]
    is_left: bool


class Feed(ABC):
    """Who listens to one thing, and how far they have been told."""

    def __init__(self, feeding: Feeding) -> None:
        self.core, self.query, self.params = feeding
        self.members: dict[str, Subscriber] = {}
        self.joiners: dict[str, Subscriber] = {}
        """Those who wait for their first message."""
        self.sequence = 0

    @abstractmethod
    async def advance(self, events: Sequence[Event]) -> None:
        """Tell the members what happened, and those who join how it stands."""

    def drop_gone(self) -> bool:
        """Forget subscriptions that ended; tell whether any is left."""
        for group in (self.members, self.joiners):
            for each in [each for each, who in group.items() if each not in who.subscriptions]:
                del group[each]
        return bool(self.members or self.joiners)

    def send(self, place: dict[str, Json], content: dict[str, Json]) -> None:
        """Send the members the next message."""
        if not self.members:
            return
        self.sequence += 1
        self._send_to(self.members, place, content)

    def admit(self, place: dict[str, Json], content: dict[str, Json]) -> None:
        """Send those who join how it stands, and make members of them."""
        joiners, self.joiners = self.joiners, {}
        self._send_to(joiners, place, content)
        self.members |= joiners

    def _send_to(
        self,
        group: Mapping[str, Subscriber],
        place: dict[str, Json],
        content: dict[str, Json],
    ) -> None:
        head: dict[str, Json] = {"kind": self.query.kind, "sequence": self.sequence}
        message = orjson.dumps(head | place | content)
        for subscription_id, subscriber in group.items():
            subscriber.notify(subscription_id, message, method=b"perp_subscription")


class StateFeed(Feed):
    """A feed of what is: compared from block to block, whatever lies between."""

    def __init__(self, feeding: Feeding) -> None:
        super().__init__(feeding)
        self._block_hash: Hash32 | None = None
        self.state: Sections = {}
        """As it was told last."""

    async def advance(self, events: Sequence[Event]) -> None:
        """Compare the head with what was told last; after a fork, send everything."""
        block = self.core.heads().latest
        is_anew = self._block_hash is None or any(event.is_left for event in events)
        place = _render_place(block)
        if is_anew or block.hash != self._block_hash:
            old, self._block_hash = self.state, block.hash
            self.state = await self._look(block, is_anew)
            if is_anew:
                self.send(place, _render_snapshot(self.state))
            else:
                self._tell_difference(place, old)
        self.admit(place, _render_snapshot(self.state))

    def _tell_difference(self, place: dict[str, Json], old: Sections) -> None:
        changed = {
            name: [each for key, each in items.items() if old[name].get(key) != each]
            for name, items in self.state.items()
        }
        gone = {
            name: [key for key in old[name] if key not in items]
            for name, items in self.state.items()
        }
        if any(changed.values()) or any(gone.values()):
            self.send(place, {"isSnapshot": False} | changed | {"gone": gone})

    async def _look(self, block: Block, is_anew: bool) -> Sections:
        """Return what there is as of a block; nothing of a market that is not there yet."""
        try:
            return await _LOOKS[self.query.kind](self, block, is_anew)
        except MarketNotFound:
            return {name: {} for name in self.state}


class TradeFeed(Feed):
    """A feed of what happened: it follows the branch block by block, back as well as on."""

    def __init__(self, feeding: Feeding) -> None:
        super().__init__(feeding)
        self._block_hash = self.core.heads().latest.hash

    async def advance(self, events: Sequence[Event]) -> None:
        """Tell the fills of blocks that follow, and take back those of blocks that are left."""
        for event in events:
            block = event.block
            if event.is_left and block.hash == self._block_hash:
                self._block_hash = block.header.parent_hash
            elif not event.is_left and block.header.parent_hash == self._block_hash:
                self._block_hash = block.hash
            else:
                continue
            # In a thread: a heavy block has thousands, and others wait for this loop.
            self._tell(event, await asyncio.to_thread(self._find, event))
        if self.joiners:
            last = await self.core.block_by_hash(self._block_hash)
            assert last is not None, "a block of the head's branch is kept"
            nothing = {"isSnapshot": True, "removed": False, "trades": []}
            self.admit(_render_place(last), nothing)

    def _tell(self, event: Event, trades: list[Json]) -> None:
        if trades:
            content = {"isSnapshot": False, "removed": event.is_left, "trades": trades}
            self.send(_render_place(event.block), content)

    def _find(self, event: Event) -> list[Json]:
        market, account = self.query.market, self.query.account
        assert self.params is not None, "trades are of a market"
        trades = [
            render_trade(each, self.params)
            for each in find_events(OrderFilled, event.block, event.receipts)
            if each.event.market == market and account in (None, each.event.maker, each.event.taker)
        ]
        return trades[::-1] if event.is_left else trades


class Feeds:
    """All feeds of a node; one task tells them all, in the order of the blocks."""

    def __init__(self) -> None:
        self._feeds: dict[Query, Feed] = {}
        self._events: deque[Event] = deque()
        self._task: asyncio.Task[None] | None = None

    def on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Tell everybody about a new head."""
        self._take(Event(block, receipts, is_left=False))

    def on_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Tell everybody about a block that a fork or a revert left."""
        self._take(Event(block, receipts, is_left=True))

    def join(self, feeding: Feeding, subscription_id: str, subscriber: Subscriber) -> None:
        """Begin to tell somebody; raise ServerError if there are too many feeds."""
        query = feeding.query
        feed = self._feeds.get(query)
        if feed is None:
            if len(self._feeds) >= FEEDS_MAX:
                raise ServerError(f"too many different feeds: at most {FEEDS_MAX} of a node")
            made = TradeFeed if query.kind == "trades" else StateFeed
            feed = self._feeds[query] = made(feeding)
        feed.joiners[subscription_id] = subscriber
        self._wake()

    def close(self) -> None:
        """Tell nobody any more."""
        self._feeds.clear()
        if self._task is not None:
            self._task.cancel()

    def _take(self, event: Event) -> None:
        if self._feeds:
            self._events.append(event)
            self._wake()

    def _wake(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._on_done)

    async def _run(self) -> None:
        while self._events or any(feed.joiners for feed in self._feeds.values()):
            events, self._events = list(self._events), deque()
            for query, feed in list(self._feeds.items()):
                if feed.drop_gone():
                    await feed.advance(events)
                else:
                    del self._feeds[query]

    def _on_done(self, task: asyncio.Task[None]) -> None:
        self._task = None
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            log.error("feeds failed", exc_info=error)
            for feed in self._feeds.values():
                for subscriber in (*feed.members.values(), *feed.joiners.values()):
                    subscriber.outbox.close(FAILED)
            self._feeds.clear()
            self._events.clear()
        elif self._events or any(feed.joiners for feed in self._feeds.values()):
            self._wake()


# --- what a feed holds ----------------------------------------------------------------------------


async def _look_at_markets(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    views = await feed.core.market_views(block)
    return {"markets": {view.market: render_market(view) for view in views}}


async def _look_at_market(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    view = await _get_market(feed, block)
    return {"markets": {view.market: render_market(view)}}


async def _look_at_funding(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    view = await _get_market(feed, block)
    return {"funding": {view.market: {"market": view.market} | render_funding(view)}}


async def _get_market(feed: StateFeed, block: Block) -> MarketView:
    market = feed.query.market
    assert market is not None, "the query names it"
    return await feed.core.market_view(market, block)


async def _look_at_book(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    market = feed.query.market
    assert market is not None, "the query names it"
    view = await feed.core.book_view(market, feed.query.depth, block)
    return {
        "bids": {level.price: render_level(level, view.params) for level in view.bids},
        "asks": {level.price: render_level(level, view.params) for level in view.asks},
    }


async def _look_at_orders(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    assert feed.query.account is not None, "the query names it"
    view = await feed.core.account_view(feed.query.account, block)
    return {
        "orders": {(each.market, each.order.id): render_order(each) for each in view.orders},
        "triggers": {
            (each.market, each.trigger.id): render_trigger(each) for each in view.triggers
        },
    }


async def _look_at_account(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    assert feed.query.account is not None, "the query names it"
    shown = render_account(await feed.core.account_view(feed.query.account, block))
    del shown["orders"], shown["triggers"]
    return {"accounts": {shown["address"]: shown}}


async def _look_at_candles(feed: StateFeed, block: Block, is_anew: bool) -> Sections:
    market, interval, params = feed.query.market, feed.query.interval, feed.params
    assert market is not None, "the query names it"
    assert params is not None, "they are the market's"

    async def look(limit: int) -> dict[Any, Json]:
        found = await feed.core.candles(market, interval, until_ms=NEVER, limit=limit, block=block)
        return {
            each.start_ms: render_candle(each, interval, block, params) for each in reversed(found)
        }

    if not is_anew:
        newest, old = await look(CANDLES_LOOKED_AT), feed.state["candles"]
        oldest = min(newest, default=None)
        if oldest is None or oldest in old:
            joined = {key: each for key, each in old.items() if key not in newest} | newest
            return {"candles": dict(list(joined.items())[-CANDLES_KEPT:])}
    return {"candles": await look(CANDLES_KEPT)}


_LOOKS: Final = {
    "markets": _look_at_markets,
    "market": _look_at_market,
    "funding": _look_at_funding,
    "orderBook": _look_at_book,
    "openOrders": _look_at_orders,
    "account": _look_at_account,
    "candles": _look_at_candles,
}


def _render_snapshot(state: Sections) -> dict[str, Json]:
    return {"isSnapshot": True} | {name: list(items.values()) for name, items in state.items()}


def _render_place(block: Block) -> dict[str, Json]:
    return {
        "blockNumber": block.header.number,
        "blockHash": data(block.hash),
        "timeMs": block.extension.time_ms,
    }


# --- subscribing ----------------------------------------------------------------------------------

KINDS: Final = (*_LOOKS, "trades")
"""What perp_subscribe offers."""
_OPTIONS: Final[Mapping[str, Mapping[str, Any]]] = {
    "markets": {},
    "market": {"market": parse_market},
    "funding": {"market": parse_market},
    "orderBook": {"market": parse_market, "depth": parse_depth},
    "openOrders": {"address": parse_address},
    "account": {"address": parse_address},
    "candles": {"market": parse_market, "interval": parse_interval},
    "trades": {"market": parse_market, "account": parse_address},
}
_OPTIONAL: Final = ("depth", "account")


async def subscribe(context: Context, kind: str, options: Mapping[str, object]) -> Json:
    """Begin to tell this connection what happens to a part of the exchange; return an id.

    The kinds are markets, market, funding, orderBook, openOrders, account, candles and trades; the
    first message of each is a snapshot, and what follows are differences (`node.rpc.feeds`).
    """
    subscriber = context.session.subscriber
    if subscriber is None:
        raise NotificationsUnsupported()
    query = _parse_query(kind, options)
    params = None
    if query.market is not None:
        try:
            params = await context.core.market_params(query.market, context.core.heads().latest)
        except MarketNotFound:
            words = f"invalid argument 1: market: no market has the id {query.market}"
            raise InvalidParams(words) from None
    return context.subscriptions.join(Feeding(context.core, query, params), subscriber)


def _parse_query(kind: str, options: Mapping[str, object]) -> Query:
    readers = _OPTIONS.get(kind)
    if readers is None:
        raise InvalidParams(f'no "{kind[:100]}" subscription in perp namespace')
    for name in options:
        if name not in readers:
            known = ", ".join(readers) or "none"
            raise InvalidParams(f"invalid argument 1: no option is named {name!r}: want {known}")
    found = {}
    for name, read in readers.items():
        if options.get(name) is None:
            if name not in _OPTIONAL:
                raise InvalidParams(f"invalid argument 1: {name} is missing")
            continue
        try:
            found[name] = read(options[name])
        except ValueError as error:
            raise InvalidParams(f"invalid argument 1: {name}: {error}") from None
    return Query(
        kind,
        found.get("market"),
        found.get("account", found.get("address")),
        found.get("depth", DEPTH_DEFAULT),
        found.get("interval", ""),
    )
