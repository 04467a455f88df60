"""kill -9 under load: what a client saw stays, and the chain is the one of a twin never killed.

Each test is a function of its seed but for the moments at which the system schedules whom; the
seed is in the failure, and PERPNODE_CRASH_SEED repeats it.
"""

import os
import random
import re
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.chain.genesis import Genesis, read_genesis
from node.chain.store import BlockStore
from node.chain.transition import decode_transition
from node.perp.events import OrderFilled
from node.service import open_blockchain
from node.state.kv import MemoryDb
from node.units import Height
from tests.crash.load import Crowd, OrderStream
from tests.helpers.devnet import MINIMAL_GENESIS, ROOT, Rpc, Sequencer, poll
from tools.load import load_genesis, write_genesis

ACCOUNTS = 20
BLOCK_TIME = ("--block-time", "0.1")
LONGEST_LIFE_S = 1.6
WHILE_SERVING = 0.75
"""So much of the lives is counted from the first answer, however slowly it comes; the others end as
likely while the node is starting."""
SEED = int(os.environ.get("PERPNODE_CRASH_SEED", "20260119"))
COMMIT_STEPS = sorted(
    {
        name
        for file in (ROOT / "node").rglob("*.py")
        for name in re.findall(r'crash_point\("(block: [^"]+)"\)', file.read_text())
    }
)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    genesis = load_genesis(MINIMAL_GENESIS, accounts=ACCOUNTS)
    return write_genesis(genesis, tmp_path / "genesis.json")


def assert_still_there(rpc: Rpc, seen: dict[int, str]) -> None:
    """Check that the chain has every block that somebody was told of."""
    heights = sorted(seen)
    blocks = rpc.batch([("eth_getBlockByNumber", [hex(height), False]) for height in heights])
    gone = [
        (height, seen[height], block and block["hash"])
        for height, block in zip(heights, blocks, strict=True)
        if block is None or block["hash"] != seen[height]
    ]
    assert not gone, f"blocks that a client saw and that are gone or others: {gone}"


def import_twin(genesis: Genesis, source: Blockchain) -> Blockchain:
    """Execute a chain's blocks on a chain that was never killed, comparing each in every field."""
    kv = MemoryDb()
    twin = Blockchain(genesis, kv, BlockStore(kv, None))
    for height in range(1, source.head.block.header.number + 1):
        block = source.block_at(Height(height))
        assert block is not None, f"block {height} is missing below the head"
        twin.import_block(block)
    return twin


def assert_equals_a_twin(document: Path, data_dir: Path) -> Counter[type]:
    """Check a stopped chain against its twin and its own tables; count what its blocks did."""
    source, database = open_blockchain(document, data_dir)
    try:
        twin = import_twin(read_genesis(document), source)
        assert twin.head.block.hash == source.head.block.hash
        flat, trie = source.head.state, source.proof_state(source.head.block)
        assert list(flat.accounts()) == list(trie.accounts())
        for address, _ in trie.accounts():
            assert dict(flat.records(address)) == dict(trie.records(address))
        blocks = [twin.block_at(Height(h)) for h in range(twin.head.block.header.number + 1)]
        return Counter(
            type(decode_transition(each))
            for block in blocks
            if block is not None
            for each in block.transitions
        )
    finally:
        database.close()


def run_and_kill(document: Path, data_dir: Path, *, kills: int, seed: int) -> None:
    """Kill a sequencer at random moments of its life under load, then compare it with its twin."""
    chance = random.Random(seed)
    genesis = read_genesis(document)
    stream = OrderStream(genesis, orders=200 * kills, accounts=ACCOUNTS, seed=seed)
    seen: dict[int, str] = {}
    node = Sequencer(document, data_dir, *BLOCK_TIME)
    with node:
        for _ in range(kills):
            node.start()
            with Crowd(node.port, genesis, stream) as crowd:
                if chance.random() < WHILE_SERVING:
                    node.wait_for_answer()
                time.sleep(chance.uniform(0, LONGEST_LIFE_S))
                os.kill(node.process.pid, signal.SIGKILL)
                node.wait_for_end()
            assert crowd.failures == []
            for height, block_hash in crowd.seen.items():
                assert seen.setdefault(height, block_hash) == block_hash
            node.start().wait_for_answer()
            assert_still_there(node.rpc, seen)
            os.kill(node.process.pid, signal.SIGKILL)
            node.wait_for_end()
        with Crowd(node.port, genesis, stream) as crowd:
            node.start().wait_for_answer()
            node.wait_for_height(max(seen, default=0) + 3)
            poll(lambda: crowd.seen or None, what="a head that the crowd sees")
            poll(
                lambda: node.rpc.call("perp_getTrades", 1)["trades"] or None,
                what="a fill, in this life or an earlier one",
            )
        assert crowd.failures == []
        assert_still_there(node.rpc, seen | crowd.seen)
        assert node.signal(signal.SIGTERM) == 0
    done = assert_equals_a_twin(document, data_dir)
    assert done[OrderFilled] > 0, f"there was no load: {done}"
    assert len(seen) > kills, f"the kills came before anybody saw a block: {seen}"


@contextmanager
def repeatable(seed: int) -> Iterator[int]:
    """Name the seed in a failure."""
    try:
        yield seed
    except BaseException as failure:
        failure.add_note(f"PERPNODE_CRASH_SEED={seed} repeats this")
        raise


def test_a_chain_killed_under_load_equals_its_twin(document: Path, tmp_path: Path) -> None:
    with repeatable(SEED) as seed:
        run_and_kill(document, tmp_path / "data", kills=5, seed=seed)


@pytest.mark.slow
def test_a_chain_killed_fifty_times_equals_its_twin(document: Path, tmp_path: Path) -> None:
    with repeatable(SEED + 1) as seed:
        run_and_kill(document, tmp_path / "data", kills=50, seed=seed)


def test_the_steps_of_a_commit_are_found() -> None:
    assert len(COMMIT_STEPS) >= 3


@pytest.mark.parametrize("time_by", [1, 6])
@pytest.mark.parametrize("step", COMMIT_STEPS)
def test_a_chain_that_dies_between_two_steps_of_a_commit_goes_on(
    document: Path, tmp_path: Path, step: str, time_by: int
) -> None:
    data_dir, genesis = tmp_path / "data", read_genesis(document)
    stream = OrderStream(genesis, orders=400, accounts=ACCOUNTS, seed=SEED)
    with Sequencer(document, data_dir, *BLOCK_TIME) as node:
        with Crowd(node.port, genesis, stream) as crowd:
            node.start(PERPNODE_CRASH_AT=f"{step}#{time_by}")
            assert node.wait_for_end() == -signal.SIGKILL
        assert crowd.failures == []

        node.start().wait_for_answer()

        assert_still_there(node.rpc, crowd.seen)
        node.wait_for_height(max(crowd.seen, default=0) + 2)
        assert node.signal(signal.SIGTERM) == 0
    assert_equals_a_twin(document, data_dir)
