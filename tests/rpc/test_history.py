"""Trades, candles and funding over JSON-RPC: as of any block, bounded, page by page."""

from collections.abc import Iterator
from typing import Any

import pytest

from node.chain.fill_table import INTERVALS
from tests.rpc.chain import MARKET, PRICE, Chain, RpcFailure, text


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Return a chain on which the taker filled 100, 30 and 20 of the maker's lots."""
    chain = Chain(tmp_path_factory.mktemp("busy"))
    chain.open_market()
    chain.trade()
    for size in (30, 20):
        chain.send(
            chain.sign_call("taker", "Exchange", "placeOrder", MARKET, size, PRICE + 10, 1, False)
        )
        chain.report()
        chain.seal()
    yield chain
    chain.core.close()


def head_of(chain: Chain) -> int:
    return int(chain.ask("eth_blockNumber"), 16)


def test_trades_are_shown_newest_first_with_their_place(busy: Chain) -> None:
    answer = busy.ask("perp_getTrades", MARKET)

    assert [trade["size"]["lots"] for trade in answer["trades"]] == [20, 30, 100]
    trade = answer["trades"][0]
    assert trade["price"] == {"ticks": 500_010, "decimal": "50001.0"}
    assert trade["value"]["atoms"] == 20 * 500_010 * 10
    assert (trade["maker"], trade["taker"]) == (text("maker"), text("taker"))
    assert trade["isLiquidation"] is False
    receipt = busy.ask("eth_getTransactionReceipt", trade["transactionHash"])
    (log,) = [each for each in receipt["logs"] if each["logIndex"] == hex(trade["logIndex"])]
    assert log["blockHash"] == trade["blockHash"]
    assert log["topics"][3][-40:] == text("taker")[2:]
    assert (answer["knownFrom"], answer["next"]) == (0, None)
    assert (answer["symbol"], answer["blockNumber"]) == ("BTC-USD", head_of(busy))


def test_trades_are_those_of_the_block_that_is_named(busy: Chain) -> None:
    def sizes(search: dict[str, Any], block: Any = "latest") -> list[int]:
        answer = busy.ask("perp_getTrades", MARKET, search, block)
        return [trade["size"]["lots"] for trade in answer["trades"]]

    head = head_of(busy)
    assert sizes({}, hex(head - 1)) == [30, 100]
    assert sizes({}, "earliest") == []
    assert sizes({"fromBlock": head - 1}) == [20, 30]
    assert sizes({"fromBlock": head - 1}, hex(head - 1)) == [30]
    assert sizes({"account": text("taker")}) == sizes({"account": text("maker")}) == [20, 30, 100]
    assert sizes({"account": text("sender")}) == []


def test_pages_go_on_where_the_last_ended_whatever_the_chain_does(chain: Chain) -> None:
    chain.open_market()
    chain.trade()

    def fill(size: int) -> None:
        order = (MARKET, size, PRICE + 10, 1, False)
        chain.send(chain.sign_call("taker", "Exchange", "placeOrder", *order))
        chain.report()
        chain.seal()

    fill(5)
    first = chain.ask("perp_getTrades", MARKET, {"limit": 1})
    fill(7)
    second = chain.ask("perp_getTrades", MARKET, {"limit": 1, "cursor": first["next"]})

    sizes = [page["trades"][0]["size"]["lots"] for page in (first, second)]
    assert sizes == [5, 100]
    assert second["blockHash"] == first["blockHash"]
    assert second["next"] is None


def test_candles_are_made_of_fills(busy: Chain) -> None:
    head = busy.ask("eth_getBlockByNumber", "latest", False)

    for interval, length in INTERVALS.items():
        answer = busy.ask("perp_getCandles", MARKET, interval)
        assert sum(each["volume"]["lots"] for each in answer["candles"]) == 150
        candle = answer["candles"][-1]
        assert candle["startMs"] == int(head["timestamp"], 16) * 1_000 // length * length
        assert candle["endMs"] == candle["startMs"] + length
        assert candle["open"] == candle["close"] == {"ticks": 500_010, "decimal": "50001.0"}
        assert candle["liquidationVolume"]["lots"] == 0
        assert candle["isClosed"] is False


def test_candles_are_cut_by_time_and_by_block(busy: Chain) -> None:
    (candle,) = busy.ask("perp_getCandles", MARKET, "1d")["candles"]
    start = candle["startMs"]

    def count(span: dict[str, Any], block: Any = "latest") -> int:
        return len(busy.ask("perp_getCandles", MARKET, "1d", span, block)["candles"])

    assert count({"untilMs": start}) == count({"untilMs": 0}) == 0
    assert count({"untilMs": start + 1, "fromMs": start}) == 1
    assert count({"fromMs": start + 1}) == 0
    earlier = hex(head_of(busy) - 2)
    (before,) = busy.ask("perp_getCandles", MARKET, "1d", None, earlier)["candles"]
    assert (before["volume"]["lots"], before["fillCount"]) == (100, 1)
    assert (candle["volume"]["lots"], candle["fillCount"]) == (150, 3)


def test_funding_is_shown_by_interval(busy: Chain) -> None:
    answer = busy.ask("perp_getFundingHistory", MARKET)
    market = busy.ask("perp_getMarket", MARKET)

    newest = answer["intervals"][-1]
    assert newest["index"] == market["funding"]["index"]
    assert newest["rate"] == market["funding"]["rate"]
    assert answer["intervalMs"] == market["params"]["fundingIntervalMs"]
    assert newest["endMs"] - newest["startMs"] == answer["intervalMs"]
    assert (newest["blockNumber"], newest["isClosed"]) == (head_of(busy), False)
    assert busy.ask("perp_getFundingHistory", MARKET, {"limit": 1})["intervals"] == [newest]
    assert busy.ask("perp_getFundingHistory", MARKET, {"untilMs": 0})["intervals"] == []


def test_funding_payments_are_those_that_were_settled(busy: Chain) -> None:
    maker, taker = (busy.ask("perp_getFundingPayments", text(who)) for who in ("maker", "taker"))

    received, paid = maker["payments"][0], taker["payments"][0]
    assert received["transactionHash"] == paid["transactionHash"]
    assert received["cash"]["atoms"] > 0 > paid["cash"]["atoms"]
    assert received["index"] == busy.ask("perp_getMarket", MARKET)["funding"]["index"]
    assert len(maker["payments"]) == 2  # one at each fill of a position that was there before
    page = busy.ask("perp_getFundingPayments", text("maker"), {"limit": 1, "market": MARKET})
    assert page["payments"] == [received]
    rest = busy.ask("perp_getFundingPayments", text("maker"), {"cursor": page["next"]})
    assert rest["payments"] == maker["payments"][1:]
    assert busy.ask("perp_getFundingPayments", text("maker"), {"market": 2})["payments"] == []


@pytest.mark.parametrize(
    ("method", "params", "words"),
    [
        ("perp_getTrades", [3], "invalid argument 0: no market has the id 3"),
        ("perp_getTrades", [1, {"limit": 0}], "limit: want a number from 1 to 1000"),
        ("perp_getTrades", [1, {"limit": 1_001}], "limit: want a number from 1 to 1000"),
        ("perp_getTrades", [1, {"since": 1}], "nothing is named 'since'"),
        ("perp_getTrades", [1, []], "want an object"),
        ("perp_getTrades", [1, {"cursor": "0x12"}], "cursor: want what an earlier page gave"),
        ("perp_getTrades", [1, {"account": "me"}], "account: "),
        ("perp_getTrades", [1, {"fromBlock": -1}], "fromBlock: want a number from 0"),
        ("perp_getCandles", [1, "2m"], "want one of 1m, 5m, 1h, 1d"),
        ("perp_getCandles", [1, "1m", {"untilMs": "now"}], "untilMs: want a number from 0"),
        ("perp_getCandles", [9, "1m"], "no market has the id 9"),
        ("perp_getFundingHistory", [9], "no market has the id 9"),
        ("perp_getFundingPayments", [text("maker"), {"account": text("maker")}], "nothing is"),
    ],
)
def test_wrong_arguments_are_named(busy: Chain, method: str, params: list[Any], words: str) -> None:
    with pytest.raises(RpcFailure, match=words) as refused:
        busy.ask(method, *params)

    assert refused.value.code == -32602


def test_a_cursor_of_a_block_that_is_not_here_is_refused(busy: Chain) -> None:
    cursor = f"0x{'ab' * 32}-5-0"

    with pytest.raises(RpcFailure, match="header for hash not found"):
        busy.ask("perp_getTrades", MARKET, {"cursor": cursor})


def test_a_cursor_beyond_its_block_begins_at_its_block(busy: Chain) -> None:
    head = busy.ask("eth_getBlockByNumber", "latest", False)["hash"]
    everything = busy.ask("perp_getTrades", MARKET)

    made_up = {"cursor": f"{head}-{10**18 - 1}-{10**10 - 1}"}

    assert busy.ask("perp_getTrades", MARKET, made_up) == everything
    assert busy.ask("perp_getTrades", MARKET, {"fromBlock": 2**53 - 1})["trades"] == []
    assert busy.ask("perp_getFundingPayments", text("maker"), made_up)["next"] is None
