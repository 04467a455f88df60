"""What operators' tools read: health in words of its own, numbers that move with what happens."""

import asyncio
import json
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from node.chain.block import Receipt
from node.consensus.phase import FORKING, LAGGING, OPEN, STOPPED, SYNCING, WITHHOLDING
from node.perp.events import PositionLiquidated
from node.perp.status import Mode
from node.rpc.backend import FrontCounts, Page
from node.rpc.desk import Desk
from node.rpc.methods import METHODS, Method
from node.rpc.metrics import Metrics
from node.rpc.operation import HALTED, READY, name_health
from node.system.logs import encode_log
from node.units import Lots, MarketId, Quote, Wei
from tests.rpc.chain import Chain, address

COUNTS = FrontCounts(kept_answers=7, connections=3)


class Watched:
    """A chain whose operator looks at it; the desk hears of what happens within."""

    def __init__(self, chain: Chain, methods: dict[str, Method] | None = None) -> None:
        self.chain = chain
        self.methods = {**METHODS, **(methods or {})}

    def run(self, *bodies: dict[str, Any], seals: int = 0) -> dict[str, Page | None]:
        async def run() -> dict[str, Page | None]:
            desk = Desk(self.chain.core, self.methods)
            for body in bodies:
                message = {"jsonrpc": "2.0", "id": 1, "params": [], **body}
                await desk.open(None).ask(json.dumps(message).encode())
            for _ in range(seals):
                await asyncio.to_thread(self.chain.seal)
            await asyncio.sleep(0.05)
            pages = {path: await desk.page(path, COUNTS) for path in ("/health", "/metrics", "/x")}
            desk.close()
            return pages

        return asyncio.run(run())


def numbers(page: Page | None) -> dict[str, float]:
    assert page is not None
    lines = [line for line in page.body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


def test_a_node_that_makes_blocks_is_ready(traded: Chain) -> None:
    page = Watched(traded).run()["/health"]

    assert page is not None
    assert (page.status, page.content_type) == (200, b"application/json")
    height = traded.blockchain.head.block.header.number
    assert json.loads(page.body) == {
        "status": "ready",
        "reason": "",
        "blockNumber": height,
        "safe": height,
        "finalized": height,
        "forkId": 0,
    }


@pytest.mark.parametrize(
    ("phase", "mode", "is_held", "word"),
    [
        (OPEN, Mode.OPEN, False, READY),
        (OPEN, Mode.CANCEL_ONLY, False, READY),
        (OPEN, Mode.HALTED, False, HALTED),
        (STOPPED, Mode.OPEN, True, HALTED),
        (STOPPED, Mode.OPEN, False, STOPPED),
        (FORKING, Mode.CANCEL_ONLY, False, FORKING),
        (LAGGING, Mode.OPEN, False, LAGGING),
        (WITHHOLDING, Mode.OPEN, False, WITHHOLDING),
        (SYNCING, Mode.OPEN, False, SYNCING),
        (SYNCING, Mode.HALTED, False, SYNCING),
    ],
)
def test_a_halt_a_rewind_and_a_fault_are_told_apart(
    traded: Chain, phase: str, mode: Mode, is_held: bool, word: str
) -> None:
    status = traded.core.status()._replace(phase=phase, mode=mode)

    assert name_health(status, is_held=is_held) == word


def test_what_stopped_by_itself_is_not_well(traded: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    status = traded.core.status()._replace(phase=STOPPED, reason="block 7, market 1: was 0")
    monkeypatch.setattr(traded.core, "status", lambda: status)

    page = Watched(traded).run()["/health"]

    assert page is not None
    assert page.status == 503
    assert json.loads(page.body)["reason"] == "block 7, market 1: was 0"


def test_the_numbers_are_the_chains(traded: Chain) -> None:
    shown = numbers(Watched(traded).run({"method": "eth_chainId"}, seals=2)["/metrics"])

    assert (
        shown['perpnode_block_number{head="latest"}'] == traded.blockchain.head.block.header.number
    )
    assert shown["perpnode_blocks_total"] == 2
    assert shown["perpnode_uncertified_blocks"] == 0
    assert shown['perpnode_phase{phase="open"}'] == 1
    assert shown['perpnode_phase{phase="stopped"}'] == 0
    assert shown['perpnode_oracle_age_seconds{market="BTC-USD"}'] == 2  # nobody reported since
    assert shown['perpnode_open_interest_lots{market="BTC-USD"}'] == 100
    assert shown['perpnode_rpc_seconds_count{method="eth_chainId"}'] == 1
    assert shown["perpnode_rpc_kept_answers_total"] == 7
    assert shown["perpnode_rpc_connections"] == 3
    assert shown['perpnode_events_total{event="PositionLiquidated"}'] == 0


def test_what_fails_in_a_method_is_counted_and_what_is_refused_is_not(traded: Chain) -> None:
    async def fail(context: object) -> object:
        raise ZeroDivisionError

    watched = Watched(traded, {"test_fail": Method(fail)})

    shown = numbers(
        watched.run({"method": "test_fail"}, {"method": "eth_getBalance"}, {"method": "nonsense"})[
            "/metrics"
        ]
    )

    assert shown['perpnode_rpc_failures_total{method="test_fail"}'] == 1
    assert not any("nonsense" in name for name in shown)


def test_raw_transactions_that_the_front_hands_in_are_timed(traded: Chain) -> None:
    async def run() -> Page | None:
        desk = Desk(traded.core)
        await desk.admit([traded.sign("sender", value=1), traded.sign("sender", value=1)])
        page = await desk.page("/metrics", COUNTS)
        desk.close()
        return page

    shown = numbers(asyncio.run(run()))

    assert shown['perpnode_rpc_seconds_count{method="eth_sendRawTransaction"}'] == 1


def test_numbers_are_named_as_prometheus_wants_them(traded: Chain) -> None:
    """What `promtool check metrics` looks at: help, suffixes, base units, each family once."""
    page = Watched(traded).run({"method": "eth_chainId"}, seals=1)["/metrics"]
    assert page is not None
    text = page.body.decode()

    families = list(text_string_to_metric_families(text))

    assert text.endswith("\n")
    names = [each.name for each in families]
    assert len(names) == len(set(names))
    assert {"perpnode_blocks", "perpnode_rpc_seconds", "process_resident_memory_bytes"} < set(names)
    for each in families:
        assert each.name.split("_")[0] in ("perpnode", "process")
        assert each.documentation, each.name
        assert not {"ms", "milliseconds", "percent", "minutes"} & set(each.name.split("_"))
        if each.type == "counter":
            assert {sample.name for sample in each.samples} <= {f"{each.name}_total"}


def test_names_that_nobody_offers_make_no_series(traded: Chain) -> None:
    known = {"method": "eth_chainId"}
    strange = [{"method": f'"}}{number}\n'} for number in range(50)]

    few, many = (
        set(numbers(Watched(traded).run(known, *bodies)["/metrics"])) for bodies in ([], strange)
    )

    assert few == many


def test_there_is_nothing_under_other_paths(traded: Chain) -> None:
    assert Watched(traded).run()["/x"] is None


def test_what_the_protocol_did_to_accounts_is_counted(traded: Chain) -> None:
    """Its own transactions carry it, at no gas; what stands in other receipts is no such thing."""
    liquidated = PositionLiquidated(
        MarketId(1), address("taker"), Lots(-100), Quote(7), Quote(5), Quote(1)
    )
    own = Receipt(0, 1, 0, b"", (encode_log(liquidated),) * 2, 0, Wei(0), b"")
    metrics = Metrics(traded.core)

    metrics.on_head(traded.blockchain.head.block, [own._replace(gas_used=21_000), own])
    shown = numbers(Page(200, b"", asyncio.run(metrics.render(kept_answers=0, connections=0))))

    assert shown['perpnode_events_total{event="PositionLiquidated"}'] == 2
    assert shown['perpnode_events_total{event="PositionTakenOver"}'] == 0
