"""eth_getLogs and filters: what matches, what range makes sense, what came since the last poll."""

from typing import Any

import pytest

from node.perp.account import EXCHANGE
from node.rpc import filters, logs
from node.rpc.filters import Feed
from node.system.contracts import contract
from tests.rpc.chain import Chain, RpcFailure, text

EXCHANGE_TEXT = "0x" + EXCHANGE.hex()
EVENTS = contract("Exchange").events
FILLED = "0x" + EVENTS["OrderFilled"].topic.hex()
PLACED = "0x" + EVENTS["OrderPlaced"].topic.hex()
ALL = {"fromBlock": "earliest", "toBlock": "latest"}
ZERO_HASH = "0x" + "00" * 32


def topics_of(found: list[Any]) -> list[str]:
    return [log["topics"][0] for log in found]


def every_log(chain: Chain) -> list[Any]:
    height = int(chain.ask("eth_blockNumber"), 16)
    receipts = (chain.ask("eth_getBlockReceipts", hex(each)) for each in range(height + 1))
    return [log for block in receipts for receipt in block for log in receipt["logs"]]


def test_all_logs_are_those_of_all_receipts(traded: Chain) -> None:
    found = traded.ask("eth_getLogs", ALL)

    assert found == every_log(traded)
    assert FILLED in topics_of(found)


@pytest.mark.parametrize(
    ("criteria", "wanted"),
    [
        ({"address": EXCHANGE_TEXT}, lambda log: log["address"] == EXCHANGE_TEXT),
        ({"address": [EXCHANGE_TEXT]}, lambda log: log["address"] == EXCHANGE_TEXT),
        ({"address": []}, lambda log: True),
        ({"topics": []}, lambda log: True),
        ({"topics": [FILLED]}, lambda log: log["topics"][0] == FILLED),
        ({"topics": [[FILLED, PLACED]]}, lambda log: log["topics"][0] in (FILLED, PLACED)),
        ({"topics": [None]}, lambda log: len(log["topics"]) >= 1),
        ({"topics": [[FILLED, None]]}, lambda log: len(log["topics"]) >= 1),
        ({"topics": [None] * 4}, lambda log: len(log["topics"]) == 4),
        ({"topics": [None, "0x" + "ff" * 32]}, lambda log: False),
        ({"address": text("maker")}, lambda log: False),
    ],
)
def test_addresses_and_topics_choose(traded: Chain, criteria: Any, wanted: Any) -> None:
    found = traded.ask("eth_getLogs", ALL | criteria)

    assert found == [log for log in every_log(traded) if wanted(log)]


def test_a_block_hash_stands_for_the_range(traded: Chain) -> None:
    block = traded.ask("eth_getBlockByNumber", "latest")

    found = traded.ask("eth_getLogs", {"blockHash": block["hash"], "topics": [FILLED]})

    number = block["number"]
    assert found
    same = {"fromBlock": number, "toBlock": number, "topics": [FILLED]}
    assert found == traded.ask("eth_getLogs", same)


def test_without_a_range_the_head_is_searched(traded: Chain) -> None:
    found = traded.ask("eth_getLogs", {})

    assert {log["blockNumber"] for log in found} == {traded.ask("eth_blockNumber")}


@pytest.mark.parametrize(
    ("criteria", "code", "message"),
    [
        ({"fromBlock": "0x2", "toBlock": "0x1"}, -32602, "invalid block range params"),
        ({"toBlock": "0x1"}, -32602, "invalid block range params"),
        ({"toBlock": "0xffff"}, -32602, "block range extends beyond current head block"),
        ({"blockHash": ZERO_HASH}, -32000, "unknown block"),
        (
            {"blockHash": ZERO_HASH, "fromBlock": "0x1"},
            -32602,
            "invalid argument 0: cannot specify both BlockHash and FromBlock/ToBlock",
        ),
        ({"address": "0x12"}, -32602, "invalid argument 0: hex string has length 2, want 40"),
        ({"topics": "0x12"}, -32602, "invalid argument 0: invalid topics: want an array"),
        ({"topics": ["0x12"]}, -32602, "invalid argument 0: hex string has length 2, want 64"),
        ({"topics": [None] * 5}, -32602, "invalid argument 0: exceed max topics"),
        ({"address": [EXCHANGE_TEXT] * 1001}, -32602, "invalid argument 0: exceed max addresses"),
        ([], -32602, "invalid argument 0: cannot unmarshal non-object into a log filter"),
    ],
)
def test_criteria_that_make_no_sense_are_refused(
    traded: Chain, criteria: Any, code: int, message: str
) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("eth_getLogs", criteria)

    assert refusal.value.code == code
    assert refusal.value.message.startswith(message)


def test_an_answer_holds_so_many_logs(traded: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    count = len(every_log(traded))
    monkeypatch.setattr(logs, "RESULTS_MAX", count)
    assert len(traded.ask("eth_getLogs", ALL)) == count
    monkeypatch.setattr(logs, "RESULTS_MAX", count - 1)

    with pytest.raises(RpcFailure) as refusal:
        traded.ask("eth_getLogs", ALL)

    assert refusal.value.code == -32000
    assert refusal.value.message == f"query returned more than {count - 1} results"


def test_a_range_is_searched_in_slices_and_has_a_largest_length(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logs, "_SLICE", 3)
    assert traded.ask("eth_getLogs", ALL) == every_log(traded)
    monkeypatch.setattr(logs, "RANGE_MAX", 3)

    with pytest.raises(RpcFailure, match="block range too large: at most 3 blocks"):
        traded.ask("eth_getLogs", ALL)


# --- filters --------------------------------------------------------------------------------------


def test_a_feed_gives_what_came_since_a_position() -> None:
    feed: Feed[int] = Feed(3)
    for item in range(5):
        feed.append(item)

    assert feed.since(5) == []
    assert feed.since(3) == [3, 4]
    assert feed.since(2) == [2, 3, 4]
    assert feed.since(1) is None


def test_a_block_filter_gives_the_hashes_of_new_heads(chain: Chain) -> None:
    chain.seal()
    filter_id = chain.ask("eth_newBlockFilter")
    assert chain.ask("eth_getFilterChanges", filter_id) == []
    heights = [chain.seal(), chain.seal()]

    changes = chain.ask("eth_getFilterChanges", filter_id)

    hashes = [chain.ask("eth_getBlockByNumber", hex(height))["hash"] for height in heights]
    assert changes == hashes
    assert chain.ask("eth_getFilterChanges", filter_id) == []


def test_a_pending_filter_gives_what_the_mempool_took(chain: Chain) -> None:
    by_hash = chain.ask("eth_newPendingTransactionFilter")
    whole = chain.ask("eth_newPendingTransactionFilter", True)
    hashes = [chain.send(chain.sign("sender")) for _ in range(2)]

    assert chain.ask("eth_getFilterChanges", by_hash) == hashes
    assert [tx["hash"] for tx in chain.ask("eth_getFilterChanges", whole)] == hashes


def test_a_log_filter_gives_new_logs_that_match(chain: Chain) -> None:
    chain.open_market()
    filter_id = chain.ask("eth_newFilter", {"topics": [PLACED]})
    bounded = chain.ask("eth_newFilter", {"fromBlock": "0x0", "toBlock": "0x1"})
    chain.trade()

    changes = chain.ask("eth_getFilterChanges", filter_id)

    assert topics_of(changes) == [PLACED, PLACED]
    assert chain.ask("eth_getFilterChanges", filter_id) == []
    assert chain.ask("eth_getFilterChanges", bounded) == []
    everything = chain.ask("eth_newFilter", ALL | {"topics": [PLACED]})
    assert chain.ask("eth_getFilterLogs", everything) == changes


def test_an_unknown_filter_is_not_found(chain: Chain) -> None:
    blocks = chain.ask("eth_newBlockFilter")

    for method, filter_id in (
        ("eth_getFilterChanges", "0x5"),
        ("eth_getFilterLogs", "0x5"),
        ("eth_getFilterLogs", blocks),
    ):
        with pytest.raises(RpcFailure) as refusal:
            chain.ask(method, filter_id)
        assert (refusal.value.code, refusal.value.message) == (-32000, "filter not found")


def test_a_filter_can_be_uninstalled_once(chain: Chain) -> None:
    filter_id = chain.ask("eth_newBlockFilter")

    assert chain.ask("eth_uninstallFilter", filter_id) is True
    assert chain.ask("eth_uninstallFilter", filter_id) is False


def test_an_idle_filter_is_dropped_and_a_polled_one_is_kept(chain: Chain) -> None:
    idle, polled = (chain.ask("eth_newBlockFilter") for _ in range(2))
    chain.seconds += filters.IDLE_SECONDS
    chain.ask("eth_getFilterChanges", polled)
    chain.seconds += 1

    assert chain.ask("eth_getFilterChanges", polled) == []
    with pytest.raises(RpcFailure, match="filter not found"):
        chain.ask("eth_getFilterChanges", idle)


def test_a_filter_that_the_feed_outran_is_dropped(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chain.filters, "_heads", Feed(2))
    filter_id = chain.ask("eth_newBlockFilter")
    for _ in range(3):
        chain.seal()

    with pytest.raises(RpcFailure, match="filter not found"):
        chain.ask("eth_getFilterChanges", filter_id)


def test_each_client_has_its_share_of_filters(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(filters, "FILTERS_PER_OWNER_MAX", 2)
    monkeypatch.setattr(filters, "FILTERS_MAX", 3)
    first = chain.ask("eth_newBlockFilter")
    chain.ask("eth_newBlockFilter")

    with pytest.raises(RpcFailure, match="too many filters"):
        chain.ask("eth_newBlockFilter")
    chain.ask("eth_newBlockFilter", context=chain.context(owner="other"))
    with pytest.raises(RpcFailure, match="too many filters"):
        chain.ask("eth_newBlockFilter", context=chain.context(owner="third"))

    chain.ask("eth_uninstallFilter", first)
    chain.ask("eth_newBlockFilter")


def test_a_connection_that_ends_takes_its_filters_along(chain: Chain) -> None:
    filter_id = chain.ask("eth_newBlockFilter", context=chain.context(owner="websocket 1"))
    kept = chain.ask("eth_newBlockFilter")

    chain.filters.remove_owner("websocket 1")

    assert chain.ask("eth_uninstallFilter", filter_id) is False
    assert chain.ask("eth_uninstallFilter", kept) is True


def test_a_filter_of_a_range_that_goes_back_is_refused_when_it_is_made(traded: Chain) -> None:
    with pytest.raises(RpcFailure) as failure:
        traded.ask("eth_newFilter", {"fromBlock": "0x5", "toBlock": "0x4"})

    assert (failure.value.code, failure.value.message) == (-32602, "invalid block range params")
    assert traded.ask("eth_newFilter", {"fromBlock": "0x5", "toBlock": "latest"})
