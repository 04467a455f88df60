"""Feeds over WebSocket: a client that applies what it is told holds what it would be answered."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from unittest import mock

import orjson
import pytest
from websockets.asyncio.client import ClientConnection

from node.rpc import feeds, recovery, subscriptions
from node.rpc.dispatch import Dispatcher
from node.rpc.subscriptions import Subscriber, Subscriptions
from tests.helpers.council import LATE
from tests.rpc import io_files
from tests.rpc.chain import MARKET, PRICE, Chain, text
from tests.rpc.test_server import over_websocket, ws_ask

QUERIES: dict[str, dict[str, Any]] = {
    "markets": {},
    "market": {"market": MARKET},
    "funding": {"market": MARKET},
    "orderBook": {"market": MARKET, "depth": 50},
    "openOrders": {"address": text("maker")},
    "account": {"address": text("taker")},
    "candles": {"market": MARKET, "interval": "1m"},
    "trades": {"market": MARKET},
}


class Copy:
    """What a client holds of one subscription, by nothing but its messages."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self.sequence: int | None = None
        self.sections: dict[str, dict[Any, Any]] = {}
        self.trades: list[Any] = []
        self.snapshots = 0

    def apply(self, message: dict[str, Any]) -> None:
        assert message["kind"] == self.kind
        if self.sequence is None:
            assert message["isSnapshot"]
        else:
            assert message["sequence"] == self.sequence + 1
        self.sequence = message["sequence"]
        self.snapshots += message["isSnapshot"]
        if self.kind == "trades":
            self._apply_trades(message)
            return
        names = message.keys() - {
            "kind", "sequence", "isSnapshot", "blockNumber", "blockHash", "timeMs", "gone"
        }  # fmt: skip
        if message["isSnapshot"]:
            self.sections = {name: {} for name in names}
        for name in names:
            for key in message.get("gone", {}).get(name, []):
                del self.sections[name][json.dumps(key)]
            for item in message[name]:
                self.sections[name][json.dumps(key_of(name, item))] = item

    def _apply_trades(self, message: dict[str, Any]) -> None:
        for trade in message["trades"]:
            assert trade["blockHash"] == message["blockHash"]
            if message["removed"]:
                assert self.trades.pop() == trade
            else:
                self.trades.append(trade)

    def items(self, name: str) -> list[Any]:
        return list(self.sections[name].values())


def key_of(section: str, item: dict[str, Any]) -> Any:
    """Return an item's key, as the module's table of kinds says."""
    if section in ("bids", "asks"):
        return item["price"]["ticks"]
    if section in ("orders", "triggers"):
        return [item["market"], item["orderId"]]
    return item[{"accounts": "address", "candles": "startMs"}.get(section, "market")]


class Watcher:
    """One WebSocket connection, its socket left out, and the copies that it keeps."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.subscriptions = Subscriptions()
        self.subscriber = Subscriber()
        self.copies: dict[str, Copy] = {}
        self.first_trade = 0
        loop = asyncio.get_running_loop()

        def told(function: Callable[..., None]) -> Callable[..., None]:
            def call(*arguments: object) -> None:
                if not loop.is_closed():
                    loop.call_soon_threadsafe(function, *arguments)

            return call

        chain.core.subscribe_left(told(self.subscriptions.on_left))
        chain.core.subscribe_heads(told(self.subscriptions.on_head))

    async def ask(self, method: str, *params: Any, subscriber: Subscriber | None = None) -> Any:
        context = self.chain.context(subscriber=subscriber or self.subscriber)
        context = context._replace(subscriptions=self.subscriptions)
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = await Dispatcher().answer(context, orjson.dumps(request))
        assert answer is not None
        decoded = json.loads(answer)
        return decoded["result"] if "result" in decoded else decoded["error"]["message"]

    async def subscribe(self, kind: str) -> str:
        subscription_id: str = await self.ask("perp_subscribe", kind, QUERIES[kind])
        self.copies[subscription_id] = Copy(kind)
        return subscription_id

    async def settle(self) -> None:
        """Wait until everything is told, and apply it."""
        for _ in range(3):
            await asyncio.sleep(0.005)
            while self.subscriptions.feeds._task is not None:
                await asyncio.sleep(0.005)
        messages = self.subscriber.outbox._messages
        while messages:
            message = json.loads(messages.popleft())
            assert message["method"] == "perp_subscription"
            params = message["params"]
            self.copies[params["subscription"]].apply(params["result"])

    async def require_truth(self) -> None:
        """Compare every copy with what the node answers now."""
        await self.settle()
        for copy in self.copies.values():
            await getattr(self, f"_check_{copy.kind}")(copy)

    async def _check_markets(self, copy: Copy) -> None:
        assert copy.items("markets") == await self.ask("perp_getMarkets")

    async def _check_market(self, copy: Copy) -> None:
        assert copy.items("markets") == [await self.ask("perp_getMarket", MARKET)]

    async def _check_funding(self, copy: Copy) -> None:
        market = await self.ask("perp_getMarket", MARKET)
        assert copy.items("funding") == [{"market": MARKET} | market["funding"]]

    async def _check_orderBook(self, copy: Copy) -> None:  # noqa: N802
        book = await self.ask("perp_getOrderBook", MARKET, 50)
        for side, sign in (("bids", -1), ("asks", 1)):
            levels = sorted(copy.items(side), key=lambda level: sign * level["price"]["ticks"])
            assert levels == book[side]

    async def _check_openOrders(self, copy: Copy) -> None:  # noqa: N802
        answer = await self.ask("perp_getOpenOrders", text("maker"))
        for name in ("orders", "triggers"):
            assert sorted(copy.items(name), key=lambda each: each["orderId"]) == answer[name]

    async def _check_account(self, copy: Copy) -> None:
        account = await self.ask("perp_getAccount", text("taker"))
        del account["orders"], account["triggers"]
        assert copy.items("accounts") == [account]

    async def _check_candles(self, copy: Copy) -> None:
        answer = await self.ask("perp_getCandles", MARKET, "1m", {"limit": feeds.CANDLES_KEPT})
        assert copy.items("candles") == answer["candles"]

    async def _check_trades(self, copy: Copy) -> None:
        answer = await self.ask("perp_getTrades", MARKET, {"fromBlock": self.first_trade})
        assert copy.trades == answer["trades"][::-1]

    async def seal(self, *calls: tuple[Any, ...]) -> None:
        """Seal a block of these calls of the exchange, and let everybody hear of it."""
        for role, function, *arguments in calls:
            signed = self.chain.sign_call(role, "Exchange", function, *arguments)
            answer = await self.ask("eth_sendRawTransaction", "0x" + signed.raw.hex())
            assert answer.startswith("0x"), answer
        self.chain.seal()
        await self.settle()


def watch(chain: Chain, story: Callable[[Watcher], Awaitable[None]]) -> None:
    async def run() -> None:
        watcher = Watcher(chain)
        watcher.first_trade = chain.blockchain.head.block.header.number + 1
        await story(watcher)

    asyncio.run(run())


@pytest.fixture
def open_chain(chain: Chain) -> Chain:
    chain.open_market()
    chain.trade()
    return chain


def place(role: str, size: int, price: int, time_in_force: int = 0) -> tuple[Any, ...]:
    return role, "placeOrder", MARKET, size, PRICE + price, time_in_force, False


async def live(watcher: Watcher) -> None:
    """Let orders rest, fill in part and in whole, move, and go; check after every block."""
    await watcher.seal(place("maker", -50, 30), place("maker", -20, 40), place("maker", 30, -20))
    await watcher.require_truth()
    await watcher.seal(place("taker", 60, 40, 1))
    await watcher.require_truth()
    await watcher.seal(("maker", "cancelAllOrders", MARKET), place("maker", 10, -5))
    await watcher.require_truth()
    await watcher.seal(place("taker", -10, -5, 1), ("taker", "placeTrigger", MARKET, -40, 5, 0))
    await watcher.require_truth()
    watcher.chain.now_ms += 60_000 - 1_000  # a minute's candle closes
    await watcher.seal()
    await watcher.require_truth()


@pytest.mark.parametrize("kind", QUERIES)
def test_a_copy_is_what_the_node_answers_after_every_block(open_chain: Chain, kind: str) -> None:
    async def story(watcher: Watcher) -> None:
        await watcher.subscribe(kind)
        await watcher.require_truth()
        await live(watcher)
        (copy,) = watcher.copies.values()
        assert copy.sequence, "nothing was told"
        assert copy.snapshots == 1

    watch(open_chain, story)


@pytest.mark.parametrize("kind", QUERIES)
def test_a_copy_ends_right_after_blocks_were_taken_back(open_chain: Chain, kind: str) -> None:
    async def story(watcher: Watcher) -> None:
        await watcher.subscribe(kind)
        await watcher.settle()
        mark = await watcher.ask("evm_snapshot")
        await watcher.seal(place("maker", -50, 30), place("maker", 30, -20))
        await watcher.seal(place("taker", 60, 30, 1), place("taker", -5, -20, 1))
        (copy,) = watcher.copies.values()
        filled = len(copy.trades)

        assert await watcher.ask("evm_revert", mark) is True
        await watcher.require_truth()

        if kind == "trades":
            assert (filled, copy.trades, copy.snapshots) == (2, [], 1)
        else:
            assert copy.snapshots > 1, "a fork announces itself"
        watcher.chain.nonces.clear()
        for role in ("maker", "taker"):
            count = await watcher.ask("eth_getTransactionCount", text(role), "latest")
            watcher.chain.nonces[role] = int(count, 16)
        await watcher.seal(place("maker", -7, 25))
        await watcher.seal(place("taker", 7, 25, 1))
        await watcher.require_truth()

    watch(open_chain, story)


@pytest.mark.parametrize("kind", QUERIES)
def test_a_copy_ends_right_after_a_fork_of_the_council(chain: Chain, kind: str) -> None:
    def clock() -> int:
        return chain.now_ms + 60_000

    io_files.trade(chain)
    with mock.patch.object(recovery, "wall_time_ms", clock):

        async def story(watcher: Watcher) -> None:
            watcher.first_trade = 0
            await watcher.subscribe(kind)
            await watcher.settle()
            (copy,) = watcher.copies.values()
            if kind == "trades":  # a feed begins now: what was, a client asks for
                copy.trades = (await watcher.ask("perp_getTrades", MARKET))["trades"][::-1]
            before = len(copy.trades)
            await watcher.ask("gov_submitAction", *await sign(watcher, "gov_getTypedData", *HALT))
            await watcher.seal()
            made = await watcher.ask("perp_makeForkPlan", {"reason": "a rehearsal"})
            signatures = io_files.fill("@signatures", made)
            carried = await watcher.ask("perp_submitForkPlan", made["plan"], signatures)
            assert carried["outcome"] == "forked"
            chain.now_ms += 60_000
            for _ in range(3):
                await watcher.seal()

            await watcher.require_truth()
            if kind == "trades":
                assert len(copy.trades) == before - 3
            else:
                assert copy.snapshots > 1, "a fork announces itself"

        watch(chain, story)


HALT = (
    "Halt",
    {"height": 0, "expiresAt": LATE, "expiresAtHeight": LATE, "reason": "a rehearsal"},
)


async def sign(watcher: Watcher, method: str, *params: Any) -> tuple[Any, Any]:
    """Return what the council shall sign, and three signatures."""
    made = await watcher.ask(method, *params)
    return made["typedData"], io_files.fill("@signatures", made)


def test_who_joins_later_begins_with_a_snapshot_and_shares_the_feed(open_chain: Chain) -> None:
    async def story(watcher: Watcher) -> None:
        await watcher.subscribe("orderBook")
        await watcher.seal(place("maker", -50, 30))
        await watcher.subscribe("orderBook")
        await watcher.require_truth()
        await watcher.seal(place("maker", -60, 35))
        await watcher.require_truth()

        first, second = watcher.copies.values()
        assert first.sections == second.sections
        assert first.sequence == second.sequence == 2
        assert len(watcher.subscriptions.feeds._feeds) == 1

    watch(open_chain, story)


def test_nothing_is_told_after_unsubscribing(open_chain: Chain) -> None:
    async def story(watcher: Watcher) -> None:
        subscription_id = await watcher.subscribe("trades")
        await watcher.settle()
        assert await watcher.ask("perp_unsubscribe", subscription_id) is True
        assert await watcher.ask("perp_unsubscribe", subscription_id) == "subscription not found"

        await watcher.seal(place("maker", -50, 30))
        await watcher.seal(place("taker", 50, 30, 1))

        assert watcher.copies[subscription_id].trades == []
        assert watcher.subscriptions.feeds._feeds == {}

    watch(open_chain, story)


def test_a_connection_that_ends_ends_its_feeds(open_chain: Chain) -> None:
    async def story(watcher: Watcher) -> None:
        await watcher.subscribe("markets")
        watcher.subscriptions.add(watcher.subscriber)
        await watcher.settle()

        watcher.subscriptions.remove(watcher.subscriber)
        await watcher.seal()

        assert watcher.subscriptions.feeds._feeds == {}

    watch(open_chain, story)


def test_a_slow_reader_is_cut_off_and_others_are_told(
    open_chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "OUTBOX_MESSAGES_MAX", 2)

    async def story(watcher: Watcher) -> None:
        slow = Subscriber()
        await watcher.ask("perp_subscribe", "markets", {}, subscriber=slow)
        await watcher.subscribe("markets")
        for _ in range(4):
            await watcher.seal()

        assert slow.outbox.is_closed
        assert not watcher.subscriber.outbox.is_closed
        await watcher.require_truth()

    watch(open_chain, story)


def test_an_error_ends_the_connections_that_would_wait_for_ever(
    open_chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError("the disk is gone")

    async def story(watcher: Watcher) -> None:
        await watcher.subscribe("account")
        await watcher.settle()
        monkeypatch.setattr(open_chain.core, "account_view", fail)
        await watcher.seal()

        assert watcher.subscriber.outbox.is_closed
        assert watcher.subscriber.outbox.close_code == feeds.FAILED
        monkeypatch.undo()
        await watcher.ask("perp_subscribe", "account", QUERIES["account"], subscriber=Subscriber())
        await watcher.settle()

    watch(open_chain, story)


def test_too_many_are_refused(open_chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "FEEDS_MAX", 1)

    async def story(watcher: Watcher) -> None:
        await watcher.subscribe("markets")
        refused = await watcher.ask("perp_subscribe", "trades", {"market": MARKET})
        assert refused == "too many different feeds: at most 1 of a node"
        assert len(watcher.subscriber.subscriptions) == 1
        monkeypatch.setattr(subscriptions, "SUBSCRIPTIONS_MAX", 1)
        refused = await watcher.ask("perp_subscribe", "markets", {})
        assert refused == "too many subscriptions: at most 1 per connection"

    watch(open_chain, story)


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("blocks", {}, 'no "blocks" subscription in perp namespace'),
        ("trades", {}, "market is missing"),
        ("trades", {"market": 9}, "market: no market has the id 9"),
        ("orderBook", {"market": MARKET, "depth": 0}, "depth: want a number of levels"),
        ("candles", {"market": MARKET, "interval": "2m"}, "interval: want one of 1m"),
        ("account", {"address": "me"}, "address: "),
        ("markets", {"market": MARKET}, "no option is named 'market': want none"),
    ],
)
def test_wrong_options_are_named(
    traded: Chain, kind: str, options: dict[str, Any], words: str
) -> None:
    async def story(watcher: Watcher) -> None:
        assert words in await watcher.ask("perp_subscribe", kind, options)
        assert watcher.subscriber.subscriptions == {}

    watch(traded, story)


def test_a_real_connection_is_told(traded: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        answer = await ws_ask(client, "perp_subscribe", "orderBook", {"market": MARKET})
        told = json.loads(await client.recv())

        assert told["method"] == "perp_subscription"
        assert told["params"]["subscription"] == answer["result"]
        book = await ws_ask(client, "perp_getOrderBook", MARKET)
        assert told["params"]["result"]["asks"] == book["result"]["asks"]

    over_websocket(traded, story)


def test_over_http_nothing_can_be_told(traded: Chain) -> None:
    request = {"jsonrpc": "2.0", "id": 1, "method": "perp_subscribe", "params": ["markets"]}

    assert traded.post(request)["error"]["code"] == -32601
