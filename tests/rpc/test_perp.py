"""The exchange's own methods: one shape for every quantity, integer and exact decimal."""

from fractions import Fraction
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import keccak256
from node.perp.events import FundingAccrued
from node.perp.order import Trigger, TriggerKind
from node.perp.view import OpenTrigger
from node.rpc.open_orders import render_trigger
from node.rpc.perp import render_event
from node.rpc.quantities import render_decimal, render_entry_price
from node.units import (
    Address,
    DurationMs,
    FundingIndex,
    Lots,
    MarketId,
    OrderId,
    RatePpb,
    Ticks,
    TimeMs,
)
from tests.helpers.ledger import make_market_params
from tests.rpc.chain import Chain, RpcFailure, text


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [
        (463190, 1, "46319.0"),
        (-25, 4, "-0.0025"),
        (0, 6, "0.000000"),
        (7, 0, "7"),
        (-1, 0, "-1"),
        (12_500_000, 6, "12.500000"),
    ],
)
def test_decimals_are_exact(value: int, decimals: int, text: str) -> None:
    assert render_decimal(value, decimals) == text


@given(st.integers(), st.integers(min_value=0, max_value=12))
def test_a_decimal_is_the_integer_over_its_power_of_ten(value: int, decimals: int) -> None:
    assert Fraction(render_decimal(value, decimals)) == Fraction(value, 10**decimals)


@pytest.mark.parametrize(
    ("entry_value", "size", "text"),
    [
        (1000, 10, "0.100000"),  # 100 ticks of 0.001
        (-1000, -10, "0.100000"),
        (100, 3, "0.033333"),  # 33.333 ticks
        (200, 3, "0.066667"),
        (-5, 10, "-0.000500"),  # rebates can carry an entry below zero
        (0, 4, "0.000000"),
    ],
)
def test_the_entry_price_is_the_entry_value_per_lot(entry_value: int, size: int, text: str) -> None:
    assert render_entry_price(entry_value, size, make_market_params(tick_decimals=3)) == text


def test_events_are_rendered_by_name_with_integers_of_any_length() -> None:
    event = FundingAccrued(
        market=MarketId(1),
        index_before=FundingIndex(2**70),
        index=FundingIndex(-(2**70)),
        rate_ppb=RatePpb(5),
        elapsed_ms=DurationMs(1_000),
    )

    assert orjson.dumps(render_event(event)) == (
        b'{"kind":"FundingAccrued","market":1,"indexBefore":1180591620717411303424,'
        b'"index":-1180591620717411303424,"ratePpb":5,"elapsedMs":1000}'
    )


# --- methods, on a chain where the taker bought 100 of the maker's 200 lots at 50,001.0 USD -------


def atoms(value: dict[str, Any]) -> int:
    number: int = value["atoms"]
    return number


def test_a_market_shows_its_units_prices_and_parameters(traded: Chain) -> None:
    markets = traded.ask("perp_getMarkets")

    assert [market["symbol"] for market in markets] == ["BTC-USD", "ETH-USD"]
    market = markets[0]
    assert (market["lotDecimals"], market["tickDecimals"], market["k"]) == (4, 1, 10)
    assert market["mode"] == market["status"]["mode"] == "OPEN"
    assert market["mark"] == {"ticks": 500_000, "decimal": "50000.0"}
    assert market["oracle"]["price"] == market["mark"]
    assert market["oracle"]["isStale"] is False
    assert market["openInterest"] == {"lots": 100, "decimal": "0.0100"}
    assert market["bestBid"] is None
    assert market["bestAsk"] == {"ticks": 500_010, "decimal": "50001.0"}
    assert market["funding"]["rate"]["ppb"] == 100_000
    assert market["params"]["takerFee"] == {"ppm": 450, "decimal": "0.000450"}
    assert market["params"]["brackets"][0]["initialMargin"]["ppm"] == 50_000


def test_one_market_is_what_the_list_shows_of_it(traded: Chain) -> None:
    assert traded.ask("perp_getMarket", 1) == traded.ask("perp_getMarkets")[0]
    assert traded.ask("perp_getMarket", 2, "earliest") == traded.ask("perp_getMarkets", "0x0")[1]
    with pytest.raises(RpcFailure) as refused:
        traded.ask("perp_getMarket", 3)
    assert (refused.value.code, refused.value.message) == (
        -32602,
        "invalid argument 0: no market has the id 3",
    )


def test_a_market_without_a_price_shows_none(traded: Chain) -> None:
    market = traded.ask("perp_getMarkets")[1]

    assert market["mode"] == "CANCEL_ONLY"
    assert market["mark"] is None
    oracle = {"price": None, "timeMs": None, "reportedMs": None, "isStale": True, "isJump": False}
    assert market["oracle"] == oracle


def test_markets_are_those_of_the_block_that_is_named(traded: Chain) -> None:
    market = traded.ask("perp_getMarkets", "earliest")[0]

    assert market["mode"] == "CANCEL_ONLY"
    assert market["openInterest"]["lots"] == 0


def test_an_account_shows_what_it_is_worth_and_what_it_must_hold(traded: Chain) -> None:
    account = traded.ask("perp_getAccount", text("taker"))

    # 100 lots · 500,010 ticks · K 10, and 450 ppm of it as the taker's fee
    cost, fee = 500_010_000, 225_005
    position = account["positions"][0]
    assert account["address"] == text("taker")
    assert atoms(account["balance"]) == 50_000_000_000 - cost - fee
    assert position["size"] == {"lots": 100, "decimal": "0.0100"}
    assert position["entryPrice"] == {"decimal": "50001.0000"}
    assert atoms(position["entryValue"]) == cost
    assert atoms(position["value"]) == 500_000_000
    assert position["unrealisedPnl"] == {"atoms": -10_000, "decimal": "-0.010000"}
    assert atoms(account["equity"]) == (
        atoms(account["balance"]) + atoms(position["value"]) + atoms(position["pendingFunding"])
    )
    assert atoms(account["maintenanceMargin"]) == 12_500_000  # half of 5 % of 500 USD
    assert account["orders"] == account["triggers"] == []
    assert account["pendingFunding"] == position["pendingFunding"]
    assert position["liquidationPrice"] is None  # the balance alone covers it


def test_an_account_shows_its_open_orders(traded: Chain) -> None:
    account = traded.ask("perp_getAccount", text("maker"))

    assert [position["size"]["lots"] for position in account["positions"]] == [-100]
    assert account["orders"] == [
        {
            "market": 1,
            "symbol": "BTC-USD",
            "orderId": 1,
            "size": {"lots": -100, "decimal": "-0.0100"},
            "price": {"ticks": 500_010, "decimal": "50001.0"},
            "reduceOnly": False,
            "postOnly": False,
            "clientId": None,
            "expiresMs": None,
            "blockNumber": int(traded.ask("eth_blockNumber"), 16) - 1,
        }
    ]


def test_open_orders_are_filtered(traded: Chain) -> None:
    def numbers(*wanted: Any) -> list[int]:
        answer = traded.ask("perp_getOpenOrders", text("maker"), *wanted)
        assert answer["triggers"] == []
        return [order["orderId"] for order in answer["orders"]]

    assert numbers() == numbers({}) == numbers({"market": 1, "side": "sell"}) == [1]
    assert numbers({"reduceOnly": False}) == [1]
    for nothing in ({"market": 2}, {"side": "buy"}, {"clientId": 7}, {"reduceOnly": True}):
        assert numbers(nothing) == []
    assert numbers({}, "earliest") == []
    answer = traded.ask("perp_getOpenOrders", text("maker"))
    assert answer["orders"] == traded.ask("perp_getAccount", text("maker"))["orders"]
    assert hex(answer["blockNumber"]) == traded.ask("eth_blockNumber")


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "want an object of filters"),
        ({"owner": 1}, "no filter is named 'owner'"),
        ({"side": "up"}, 'want "buy" or "sell" as side'),
        ({"clientId": "7"}, "want a number as clientId"),
        ({"reduceOnly": 1}, "want true or false as reduceOnly"),
        ({"market": 0}, "want a market id"),
    ],
)
def test_a_filter_that_means_nothing_is_refused(traded: Chain, wanted: Any, message: str) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("perp_getOpenOrders", text("maker"), wanted)

    assert refusal.value.code == -32602
    assert refusal.value.message.startswith(f"invalid argument 1: {message}")


def test_triggers_show_what_they_wait_for() -> None:
    view = OpenTrigger(
        market=MarketId(1),
        params=make_market_params(symbol="BTC-USD", lot_decimals=4, tick_decimals=1, k=10),
        trigger=Trigger(
            OrderId(5),
            Address(b"\x0a" * 20),
            Lots(-10),
            Ticks(500_000),
            TriggerKind.TAKE_PROFIT,
            Ticks(0),
            Ticks(499_000),
            expires_ms=TimeMs(9),
            client_id=7,
            other=OrderId(6),
            parent=OrderId(4),
            pending=Lots(3),
        ),
    )

    assert render_trigger(view) == {
        "market": 1,
        "symbol": "BTC-USD",
        "orderId": 5,
        "size": {"lots": -10, "decimal": "-0.0010"},
        "triggerPrice": {"ticks": 500_000, "decimal": "50000.0"},
        "kind": "TAKE_PROFIT",
        "firedMark": None,
        "limitPrice": {"ticks": 499_000, "decimal": "49900.0"},
        "reduceOnly": True,
        "clientId": 7,
        "expiresMs": 9,
        "otherId": 6,
        "parentId": 4,
        "pendingSize": {"lots": 3, "decimal": "0.0003"},
    }


def test_an_account_that_never_was_is_empty(traded: Chain) -> None:
    account = traded.ask("perp_getAccount", text("outsider"))

    assert atoms(account["equity"]) == atoms(account["initialMargin"]) == 0
    assert account["positions"] == account["orders"] == []


def test_a_book_shows_its_levels(traded: Chain) -> None:
    book = traded.ask("perp_getOrderBook", 1)

    assert book["bids"] == []
    assert book["asks"] == [
        {
            "price": {"ticks": 500_010, "decimal": "50001.0"},
            "size": {"lots": 100, "decimal": "0.0100"},
            "orderCount": 1,
        }
    ]
    assert traded.ask("perp_getOrderBook", 1, 5, "earliest")["asks"] == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([9], "invalid argument 0: no market has the id 9"),
        (["0x1"], "invalid argument 0: want a market id"),
        ([0], "invalid argument 0: want a market id"),
        ([1, 0], "invalid argument 1: want a number of levels from 1 to 1000"),
        ([1, 1001], "invalid argument 1: want a number of levels from 1 to 1000"),
    ],
)
def test_a_book_that_is_not_there_is_refused(
    traded: Chain, params: list[Any], message: str
) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("perp_getOrderBook", *params)

    assert refusal.value.code == -32602
    assert refusal.value.message.startswith(message)


def test_a_block_shows_extension_transitions_and_classes(traded: Chain) -> None:
    block = traded.ask("perp_getBlock", "latest")

    ethereum = traded.ask("eth_getBlockByNumber", "latest", True)
    extension = bytes.fromhex(block["extension"]["rlp"][2:])
    assert block["hash"] == ethereum["hash"]
    assert hex(block["number"]) == ethereum["number"]
    assert "0x" + keccak256(extension).hex() == ethereum["extraData"]
    assert block["extension"]["timeMs"] == traded.now_ms
    assert len(block["classes"]) == len(ethereum["transactions"])
    assert [each for each in block["classes"] if each != "SYSTEM"] == ["REPORT", "ORDER"]
    filled = next(each for each in block["transitions"] if each["kind"] == "OrderFilled")
    assert filled == {
        "kind": "OrderFilled",
        "market": 1,
        "maker": text("maker"),
        "taker": text("taker"),
        "makerOrderId": 1,
        "takerOrderId": 2,
        "size": 100,
        "price": 500_010,
        "makerFee": 75_002,
        "takerFee": 225_005,
        "liquidation": False,
    }


def test_modes_in_transitions_are_names(traded: Chain) -> None:
    height = int(traded.ask("eth_blockNumber"), 16)
    blocks = (traded.ask("perp_getBlock", hex(each)) for each in range(height))
    changes = [
        (each["modeBefore"], each["mode"], each["reason"])
        for block in blocks
        for each in block["transitions"]
        if each["kind"] == "ModeChanged" and each["market"] == 1
    ]

    assert ("POST_ONLY", "OPEN", "REOPENING") in changes


def test_a_block_that_is_not_there_is_null(traded: Chain) -> None:
    assert traded.ask("perp_getBlock", "0xffff") is None


def test_the_status_shows_heads_mode_and_deficit(traded: Chain) -> None:
    status = traded.ask("perp_status")

    height = int(traded.ask("eth_blockNumber"), 16)
    assert [status[name] for name in ("latest", "safe", "finalized")] == [height] * 3
    assert status["phase"] == "open"
    assert status["mode"] == "OPEN"
    assert status["forkId"] == status["devEpoch"] == 0
    assert status["deficit"] == {"atoms": 0, "decimal": "0.000000"}
    assert status["chainId"] == 20260119
    assert status["genesisHash"] == traded.ask("eth_getBlockByNumber", "0x0")["hash"]
