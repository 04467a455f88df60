"""Certificates, disputes and faults on purpose over JSON-RPC, on a chain with validators."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from node.consensus.core import Core
from node.crypto import ed25519_verify
from node.rpc.context import Context, Session
from node.rpc.dispatch import Dispatcher
from node.rpc.filters import Filters
from node.rpc.recent import RecentBlocks
from node.rpc.subscriptions import Subscriptions
from tests.consensus.network import PRICE, Network
from tests.helpers.chain import Person
from tests.helpers.schemas import require_schema


class Front:
    """The JSON-RPC side of one node of a network."""

    def __init__(self, core: Core) -> None:
        self.core = core

    def ask(self, method: str, *params: Any, refusal: str | None = None) -> Any:
        """Return an answer, its result or its error."""
        session = Session("client", refusal, None)
        filters = Filters(self.core, lambda: 0.0)
        context = Context(self.core, RecentBlocks(), filters, Subscriptions(), session)
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = asyncio.run(Dispatcher().answer(context, orjson.dumps(request)))
        assert answer is not None
        decoded = json.loads(answer)
        if "error" in decoded:
            return decoded["error"]
        require_schema(method, decoded["result"])
        return decoded["result"]


@pytest.fixture
def network(tmp_path: Path) -> Network:
    network = Network(tmp_path, [Person("maker"), Person("taker")])
    network.seal(*network.reports(PRICE))
    return network


@pytest.fixture
def front(network: Network) -> Iterator[Front]:
    core = Core(network.blockchain, network.mempool, network.sequencer, faults=network.faults)
    yield Front(core)
    core.close()


@pytest.fixture
def without_faults(network: Network) -> Iterator[Front]:
    core = Core(network.blockchain, network.mempool, network.sequencer)
    yield Front(core)
    core.close()


def test_safe_is_certified_and_finalized_waits_for_a_snapshot(
    network: Network, front: Front
) -> None:
    for index in (2, 3):
        network.cut(index)
    network.seal()

    heads = [
        int(front.ask("eth_getBlockByNumber", tag, False)["number"], 16)
        for tag in ("latest", "safe", "finalized")
    ]

    assert heads == [2, 1, 0]
    status = front.ask("perp_status")
    assert [status[each] for each in ("latest", "safe", "finalized")] == heads
    assert (status["validators"], status["disputes"]) == (4, 0)


def test_a_lagging_chain_says_so(network: Network, front: Front) -> None:
    for index in (2, 3):
        network.cut(index)
    for _ in range(8):
        network.seal()

    status = front.ask("perp_status")

    assert status["phase"] == "lagging"
    missing = "validators 2, 3 have not signed since block 1"
    assert status["reason"] == f"blocks 2 to 9 are not certified: {missing}"


def test_a_fault_is_done_disputed_and_told(network: Network, front: Front) -> None:
    price = network.oracle().price
    fault = front.ask("debug_injectFault", "oracle_price", "cache", 1, str(PRICE - 9))
    assert fault == {
        "kind": "oracle_price",
        "stage": "cache",
        "target": 1,
        "before": str(price),
        "value": str(PRICE - 9),
    }

    block = network.seal(*network.reports(PRICE + 5))

    text = f"block 2, market 1, PriceAccepted.price: was {PRICE - 9}, recomputed {PRICE}"
    disputes = front.ask("perp_getDisputes")
    assert [each["text"] for each in disputes] == [text] * 4
    assert [each["validator"] for each in disputes] == [0, 1, 2, 3]
    first = disputes[0]
    assert first["blockHash"] == "0x" + block.hash.hex()
    assert first["field"] == "market 1, PriceAccepted.price_before"
    assert (first["was"], first["recomputed"]) == (str(PRICE - 9), str(PRICE))
    signature = network.blockchain.store.load_signature(block.hash)
    assert first["proposalSignature"] == "0x" + signature.hex()
    assert first["otherHash"] == "0x"
    status = front.ask("perp_status")
    assert (status["phase"], status["reason"], status["disputes"]) == ("stopped", text, 4)


def test_a_certificate_shows_what_each_validator_signed(network: Network, front: Front) -> None:
    block = network.seal(*network.reports(PRICE))

    certificate = front.ask("perp_getCertificate")

    assert certificate["blockHash"] == "0x" + block.hash.hex()
    assert certificate["blockNumber"] == block.header.number
    assert 3 * certificate["power"] > 2 * certificate["totalPower"]
    message = bytes.fromhex(certificate["message"][2:])
    assert message.endswith(block.hash)
    members = network.blockchain.next_validators().members
    for each in certificate["signatures"]:
        public_key = bytes.fromhex(each["publicKey"][2:])
        assert public_key == members[each["validator"]].public_key
        assert ed25519_verify(public_key, bytes.fromhex(each["signature"][2:]), message)


@pytest.mark.parametrize("block", ["0x0", "0x63"])
def test_a_block_that_nobody_certified_has_no_certificate(front: Front, block: str) -> None:
    assert front.ask("perp_getCertificate", block) is None


@pytest.mark.parametrize("params", [("balance", "cache", "0x" + "11" * 20, 1), (), ("nothing",)])
def test_without_the_flag_there_are_no_faults(
    without_faults: Front, params: tuple[Any, ...]
) -> None:
    error = without_faults.ask("debug_injectFault", *params)

    assert error["code"] == -32601
    assert error["message"] == "the method debug_injectFault does not exist/is not available"


def test_a_foreign_page_injects_nothing(network: Network, front: Front) -> None:
    error = front.ask(
        "debug_injectFault", "oracle_price", "cache", 1, 5, refusal="not allowed from this origin"
    )

    assert error == {"code": -32000, "message": "not allowed from this origin"}
    assert network.oracle().price == PRICE


@pytest.mark.parametrize(
    ("params", "code", "words"),
    [
        (("index", "cache", 1, 0), -32602, "invalid argument 0: want one of funding_index"),
        (("balance", "disk", 1, 0), -32602, "invalid argument 1: want one of cache, overlay"),
        (("balance", "cache", "0x12", 0), -32602, "invalid argument 2"),
        (("balance", "cache", 0, 0), -32602, "invalid argument 2"),
        (("oracle_price", "cache", 1, "1.5"), -32602, "invalid argument 3: want an integer"),
        (("oracle_price", "cache", 1, True), -32602, "invalid argument 3: want an integer"),
        (("oracle_price", "cache", 99, 1), -32000, "there is no oracle_price of market 99"),
        (("balance", "cache", 1, 1), -32000, "balance belongs to an account's address"),
    ],
)
def test_a_fault_that_can_not_be_is_refused(
    front: Front, params: tuple[Any, ...], code: int, words: str
) -> None:
    error = front.ask("debug_injectFault", *params)

    assert error["code"] == code
    assert words in error["message"]


def test_a_validator_takes_no_transactions(network: Network) -> None:
    follower = network.followers[0]
    core = Core(follower.blockchain, network.mempool, follower.node)
    raw = "0x" + Person("maker").send(Person("taker").address, value=1).raw.hex()

    error = Front(core).ask("eth_sendRawTransaction", raw)

    assert error["code"] == -32000
    assert "send transactions to the sequencer" in error["message"]
    assert len(network.mempool) == 0
    core.close()
