"""What the front answers by itself: what it kept while the heads stood, and raw transactions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import pytest

from node.chain.transaction import Transaction
from node.consensus.core import Core
from node.consensus.mempool import Mempool
from node.consensus.sequencer import Sequencer
from node.perp.account import EXCHANGE
from node.rpc import front as front_module
from node.rpc.backend import Asker, Reply
from node.rpc.context import Context
from node.rpc.desk import Desk
from node.rpc.front import Cache, Front
from node.rpc.methods import LASTING, METHODS, Method
from node.rpc.requests import Call
from node.units import TimeMs
from tests.consensus.test_recovery import Case
from tests.rpc.chain import Chain, text
from tests.rpc.seam import linked
from tests.snapshot.story import SEQUENCER_SEED

ASKER = Asker("client", None)
SLOW = "eth_chainId"


def body(method: str, *params: Any, call_id: Any = 1) -> bytes:
    request = {"jsonrpc": "2.0", "id": call_id, "method": method, "params": list(params)}
    return json.dumps(request).encode()


def reads(address: str) -> list[bytes]:
    """Every lasting method once, with what may differ from head to head."""
    call = {"to": "0x" + EXCHANGE.hex(), "data": "0x00000000"}
    arguments: dict[str, list[list[Any]]] = {
        "eth_getBlockByNumber": [["latest"], ["safe", True], ["finalized"], ["0x3"], ["0xff"]],
        "eth_getBlockByHash": [["0x" + "11" * 32]],
        "eth_getBlockTransactionCountByNumber": [["latest"]],
        "eth_getBlockTransactionCountByHash": [["0x" + "11" * 32]],
        "eth_getBlockReceipts": [["latest"]],
        "eth_getBalance": [[address], [address, "safe"]],
        "eth_getCode": [[address]],
        "eth_getTransactionCount": [[address], [address, "pending"]],
        "eth_getHeaderByNumber": [["latest"]],
        "eth_getHeaderByHash": [["0x" + "11" * 32]],
        "eth_getUncleCountByBlockNumber": [["0x1"]],
        "eth_getUncleCountByBlockHash": [["0x" + "11" * 32]],
        "eth_getStorageAt": [[address, "0x0"]],
        "eth_getProof": [[address, ["0x0"]]],
        "eth_getTransactionByBlockNumberAndIndex": [["latest", "0x0"]],
        "eth_getTransactionByBlockHashAndIndex": [["0x" + "11" * 32, "0x0"]],
        "eth_getTransactionReceipt": [["0x" + "11" * 32]],
        "eth_call": [[call], [{"to": address}]],
        "eth_estimateGas": [[{"to": address}]],
        "eth_feeHistory": [[4, "latest", []]],
        "eth_getLogs": [[{"fromBlock": "0x0"}], [{"fromBlock": "0x4", "toBlock": "0x5"}]],
        "perp_getAccount": [[address]],
        "perp_getOpenOrders": [[address]],
        "perp_getMarket": [[1]],
        "perp_getOrderBook": [[1]],
    }
    assert arguments.keys() <= LASTING
    return [body(name, *params) for name in sorted(LASTING) for params in arguments.get(name, [[]])]


@asynccontextmanager
async def fronts(core: Core, methods: Any = METHODS) -> AsyncIterator[tuple[list[Front], Desk]]:
    """A front beside its desk, and one at the end of a socket."""
    desk = Desk(core, methods)
    async with linked(desk) as (_, end):
        both = [Front(desk), Front(end)]
        try:
            yield both, desk
        finally:
            desk.close()
            for front in both:
                front.close()


def find(front: Front, asked: bytes) -> bytes | None:
    return front.find(front.read(asked))


async def settle() -> None:
    """Let the loop carry what the core told over the socket."""
    for _ in range(20):
        await asyncio.sleep(0.001)


async def require_equal(both: Sequence[Front], bodies: Sequence[bytes]) -> None:
    """Ask twice, the second time for what was kept, and compare with the core's own answer."""
    for each in bodies:
        for front in both:
            fresh = (await front.backend.answer(ASKER, None, each)).body
            assert await front.answer(ASKER, each) == fresh, each
            assert await front.answer(ASKER, each) == fresh, each


# --- what is kept ---------------------------------------------------------------------------------


def test_kept_answers_equal_fresh_ones_at_every_head(chain: Chain) -> None:
    """Whatever else moves meanwhile: the mempool, the peers."""
    bodies = reads(text("sender"))

    async def run() -> None:
        async with fronts(chain.core) as (both, _):
            for height in range(6):
                await require_equal(both, bodies)
                tx = chain.sign("sender", value=5)
                bodies.append(body("eth_getTransactionReceipt", "0x" + tx.hash.hex()))
                await both[0].answer(ASKER, body("eth_sendRawTransaction", "0x" + tx.raw.hex()))
                chain.core.list_peers = partial(tuple, [f"validator {height}"])
                await require_equal(both, bodies)
                await asyncio.to_thread(chain.seal)
            await require_equal(both, bodies)
            kept = [each for each in bodies if find(both[1], each) is not None]
            assert len(kept) > len(bodies) / 2, "or nothing was kept at all"

    asyncio.run(run())


@pytest.fixture
def forked(tmp_path: Path) -> Iterator[tuple[Case, Core]]:
    case = Case(tmp_path)
    blockchain, mempool = case.blockchain, Mempool(case.blockchain)
    sequencer = Sequencer(
        blockchain,
        mempool,
        block_time_ms=1_000,
        instant=False,
        clock_ms=case.clock,
        seed=SEQUENCER_SEED,
        hold=case.hold,
        recovery=case.recovery,
    )
    core = Core(blockchain, mempool, sequencer)
    yield case, core
    core.close()


def test_kept_answers_equal_fresh_ones_across_a_fork(forked: tuple[Case, Core]) -> None:
    case, core = forked
    bodies = reads("0x" + case.blockchain.head.block.transactions[0].sender.hex())

    async def run() -> None:
        async with fronts(core) as (both, _):
            await require_equal(both, bodies)
            case.recovery.submit(case.data)
            await require_equal(both, bodies)
            for validator in (0, 1, 2):
                report = case.confirm(validator, case.blockchain.head.block)
                case.recovery.on_confirmation("v", report)
            time_ms = case.plan.header.time_ms
            while case.recovery.is_catching_up():
                await require_equal(both, bodies)
                time_ms = TimeMs(time_ms + 1)
                case.blockchain.commit(case.blockchain.execute((), time_ms))
            assert case.blockchain.head.block.extension.fork_id == 1
            await require_equal(both, bodies)

    asyncio.run(run())


def test_whoever_saw_a_head_never_sees_an_older_one(chain: Chain) -> None:
    """On whatever connection: what was kept is dropped before the first sign of a new head."""
    number, block = body("eth_blockNumber"), body("eth_getBlockByNumber", "latest")

    async def ask(front: Front, each: bytes) -> int:
        result = json.loads(await front.answer(ASKER, each) or b"")["result"]
        return int(result if isinstance(result, str) else result["number"], 16)

    def seal() -> None:
        for _ in range(60):
            chain.seal()

    async def run() -> int:
        async with fronts(chain.core) as (both, _):
            sealing = asyncio.create_task(asyncio.to_thread(seal))
            seen, asked = [0, 0], 0
            while not sealing.done():
                for which, front in enumerate(both):
                    fresh = (await front.backend.answer(ASKER, None, number)).body
                    seen[which] = max(seen[which], int(json.loads(fresh or b"")["result"], 16))
                    for each in (block, number):
                        now = await ask(front, each)
                        assert now >= seen[which]
                        seen[which], asked = now, asked + 1
            await sealing
            return asked

    assert asyncio.run(run()) > 20


def test_the_core_is_asked_once_for_what_many_ask_at_the_same_time(chain: Chain) -> None:
    asked: list[bytes] = []

    async def run() -> None:
        async with fronts(chain.core) as (both, _):
            for front in both:
                answer = front.backend.answer

                async def count(
                    asker: Asker, method: str | None, body: bytes, answer: Any = answer
                ) -> Reply:
                    asked.append(body)
                    return cast(Reply, await answer(asker, method, body))

                front.backend.answer = count  # type: ignore[method-assign]
                await front.answer(ASKER, body(SLOW))  # may be kept: known from now on
                await asyncio.to_thread(chain.seal)
                await settle()
                asked.clear()
                many = [front.answer(ASKER, body(SLOW, call_id=each)) for each in range(32)]
                answers = [json.loads(each or b"") for each in await asyncio.gather(*many)]

                assert [each["id"] for each in answers] == list(range(32))
                assert len({each["result"] for each in answers}) == 1
                assert set(asked) == {body(SLOW, call_id=0)}

    asyncio.run(run())


def test_whoever_waits_for_anothers_answer_that_is_not_kept_asks_too(chain: Chain) -> None:
    """An error is not kept."""
    wrong = body("eth_getBalance", "0x12")

    async def run() -> None:
        async with fronts(chain.core) as (both, _):
            for front in both:
                await front.answer(ASKER, body("eth_getBalance", text("sender")))
                answers = await asyncio.gather(*(front.answer(ASKER, wrong) for _ in range(5)))

                assert len(set(answers)) == 1
                assert json.loads(answers[0] or b"")["error"]["code"] == -32602

    asyncio.run(run())


def test_an_answer_from_before_a_head_is_not_kept_after_it(chain: Chain) -> None:
    heights: list[int] = []

    async def slow(context: Context) -> Any:
        found = context.core.heads().latest.header.number
        heights.append(found)
        await asyncio.to_thread(chain.seal)
        return found

    methods = {**METHODS, SLOW: Method(slow)}

    async def run() -> None:
        async with fronts(chain.core, methods) as (both, _):
            for front in both:
                await front.answer(ASKER, body(SLOW))
                assert find(front, body(SLOW)) is None
                await front.answer(ASKER, body(SLOW))

    asyncio.run(run())

    assert heights == [0, 1, 2, 3], "each was asked of the core"


def test_certificates_end_what_was_kept_without_a_block(forked: tuple[Case, Core]) -> None:
    case, core = forked

    async def run() -> None:
        async with fronts(core) as (both, _):
            for front in both:
                await front.answer(ASKER, body("eth_chainId"))
                assert find(front, body("eth_chainId")) is not None
            case.blockchain.finalize(case.blockchain.head.block)
            await settle()
            assert [find(front, body("eth_chainId")) for front in both] == [None, None]

    asyncio.run(run())


def test_what_is_pending_is_not_kept(chain: Chain) -> None:
    asked = body("eth_getTransactionCount", text("sender"), "pending")

    async def run() -> None:
        async with fronts(chain.core) as (both, _):
            for count, front in enumerate(both):
                answer = json.loads(await front.answer(ASKER, asked) or b"")
                assert answer["result"] == hex(count)
                raw = "0x" + chain.sign("sender").raw.hex()
                await front.answer(ASKER, body("eth_sendRawTransaction", raw))
                answer = json.loads(await front.answer(ASKER, asked) or b"")
                assert answer["result"] == hex(count + 1)

    asyncio.run(run())


def test_a_kept_answer_has_the_id_of_whoever_asks(chain: Chain) -> None:
    ids: list[Any] = [1, "one", None, 1.5, -7, "\u00e9\n"]

    async def run() -> list[Any]:
        async with fronts(chain.core) as (both, _):
            await both[1].answer(ASKER, body("eth_chainId"))
            return [
                json.loads(find(both[1], body("eth_chainId", call_id=each)) or b"")["id"]
                for each in ids
            ]

    assert asyncio.run(run()) == ids


@pytest.mark.parametrize(
    "wrong",
    [
        b'{"jsonrpc":"2.0","id":true,"method":"eth_chainId"}',
        b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":[1],"method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":7}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":{}}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId","params":[5]}',
        b'{"jsonrpc":"2.0","method":"eth_chainId"}',
        b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":' + b"[" * 900 + b"]" * 900 + b"}",
        b"[" * 2000,
        b"5",
        b"",
        b"[]",
        b'[{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}]',
    ],
)
def test_what_is_no_plain_call_has_the_cores_answer(chain: Chain, wrong: bytes) -> None:
    async def run() -> None:
        async with fronts(chain.core) as (both, desk):
            for front in both:
                await front.answer(ASKER, body("eth_chainId"))
                assert find(front, wrong) is None
                fresh = (await desk.answer(ASKER, None, wrong)).body
                assert await front.answer(ASKER, wrong) == fresh

    asyncio.run(run())


def test_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front_module, "KEPT_BYTES_MAX", 5_000)
    cache = Cache()
    calls = [Call(b"1", "eth_call", b"[%d]" % number) for number in range(100)]
    answer = b'{"jsonrpc":"2.0","id":1,"result":"%b"}' % (b"x" * 200)

    for call in calls:
        cache.keep(call, answer, 1)

    assert sum(cache.find(call, 1) is not None for call in calls) == (
        5_000 // (front_module.KEPT_OVERHEAD + len(answer) + 3)
    )


def test_guarded_and_batched_methods_are_never_kept() -> None:
    lasting = [METHODS[name] for name in LASTING]

    assert not [method for method in lasting if method.guarded or method.batched]


# --- raw transactions -----------------------------------------------------------------------------


def test_raw_transactions_are_admitted_in_order_across_batches(chain: Chain) -> None:
    """Each has the nonce after the one before: out of order the pool would find gaps."""
    signed = [chain.sign("sender") for _ in range(130)]
    batches = [signed[:3], signed[3:30], signed[30:31], signed[31:]]
    admitted: list[bytes] = []
    chain.mempool.on_admitted(lambda tx: admitted.append(tx.hash))

    def batch(transactions: Sequence[Transaction]) -> bytes:
        raws = ["0x" + tx.raw.hex() for tx in transactions]
        return b"[" + b",".join(body("eth_sendRawTransaction", raw) for raw in raws) + b"]"

    async def run() -> list[Any]:
        async with fronts(chain.core) as (both, _):
            return [json.loads(await both[1].answer(ASKER, batch(each)) or b"") for each in batches]

    answers = asyncio.run(run())

    assert admitted == [tx.hash for tx in signed]
    assert [each["result"] for answer in answers for each in answer] == [
        "0x" + tx.hash.hex() for tx in signed
    ]


def test_the_core_recovers_no_sender_again(chain: Chain, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain.core, "_submit", None)
    signed = chain.sign("sender")

    async def run() -> list[Any]:
        async with fronts(chain.core) as (both, _):
            asked = body("eth_sendRawTransaction", "0x" + signed.raw.hex())
            return [json.loads(await front.answer(ASKER, asked) or b"") for front in both]

    first, again = asyncio.run(run())

    assert first == {"jsonrpc": "2.0", "id": 1, "result": "0x" + signed.hash.hex()}
    assert again["error"]["message"].startswith("already known")
    assert chain.mempool.get(signed.hash) == signed


def test_refused_transactions_have_the_words_of_the_table(chain: Chain) -> None:
    """A batch says the same whether the front or the core decodes it, each element on its own."""
    poor, taken = chain.sign("nobody"), chain.sign("sender")
    raws: list[Any] = ["0x" + poor.raw.hex(), "0x", "0x05", "0x" + poor.raw.hex()[:-2]]
    raws += ["0x" + chain.sign("sender", nonce=2**60).raw.hex(), "0x" + taken.raw.hex()]

    def batch(values: Sequence[Any]) -> bytes:
        return b"[" + b",".join(body("eth_sendRawTransaction", each) for each in values) + b"]"

    async def run() -> None:
        async with fronts(chain.core) as (both, desk):
            for front in both:
                for values in (raws[:-1], ["0x123"], [5], ["zz"], [None]):
                    by_core = (await desk.answer(ASKER, None, batch(values))).body
                    assert await front.answer(ASKER, batch(values)) == by_core
            answers = json.loads(await both[1].answer(ASKER, batch(raws)) or b"")
            assert ["error" in each for each in answers] == [True] * 5 + [False]

    asyncio.run(run())
