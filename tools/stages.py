"""Where the CPU of a chain's blocks goes: execute them once more with a stopwatch at each stage.

The blocks are those of a stopped node's database; the twin starts from the same genesis and must
come to the same block hashes, or this fails. A stage counts without the stages within it.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

from node.chain import blockchain as chain_module
from node.chain import execution
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.ledger import StateLedger
from node.chain.store import BlockStore
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import decode_transaction
from node.consensus.mempool import Mempool
from node.perp import invariants, liquidation
from node.service import open_blockchain
from node.state.kv import LevelDb
from node.state.store import StateStore
from node.system import invariants as token_invariants
from node.units import Height

DECODE = "decode, hash, recover the sender"
ADMIT = "admit to the mempool"
STAGES: dict[str, list[tuple[Any, str]]] = {
    DECODE: [],
    ADMIT: [],
    "choose the body": [(Mempool, "choose")],
    "classes, nonces, fees, receipts": [(chain_module, "apply_block")],
    "the rules: dispatch, margin, matching": [(execution, "execute")],
    "logs and transitions": [(execution._Run, "_take_logs")],
    "blooms": [(execution, "bloom_of")],
    "liquidation tests": [(liquidation, "process_liquidations")],
    "invariants": [
        (invariants, "check_block"),
        (token_invariants, "check_block"),
    ],
    "encode changed records": [(StateLedger, "changes")],
    "state trie": [(StateStore, "commit")],
    "transaction, receipt and transition roots": [(chain_module, "seal")],
    "encode the block": [(BlockStore, "save_block")],
    "synced write": [(LevelDb, "write")],
    "derived tables": [(StateLedger, "derive")],
    "the mempool forgets": [(Mempool, "_on_head")],
}


class Stage(NamedTuple):
    """What a stage cost."""

    name: str
    us: float
    """CPU microseconds per order, of the executing thread."""


class TwinDiffers(Exception):
    """The same blocks did not give the same chain."""


class Stopwatch:
    """CPU time by stage; what runs within another stage counts there only."""

    def __init__(self) -> None:
        self.spent_ns = dict.fromkeys(STAGES, 0)
        self._inner = [0]
        """For each running stage, the time that stages within it took."""

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count what runs within."""
        started = self._begin()
        try:
            yield
        finally:
            self._end(name, started)

    def _begin(self) -> int:
        self._inner.append(0)
        return time.thread_time_ns()

    def _end(self, name: str, started: int) -> None:
        took = time.thread_time_ns() - started
        self.spent_ns[name] += took - self._inner.pop()
        self._inner[-1] += took

    def watch(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted."""

        def watched(*arguments: Any, **named: Any) -> Any:
            started = self._begin()
            try:
                return function(*arguments, **named)
            finally:
                self._end(name, started)

        return watched


def measure_stages(genesis: Path, data_dir: Path, twin_dir: Path, *, orders: int) -> list[Stage]:
    """Execute a stopped node's blocks once more in `twin_dir`; return each stage's cost per order.

    Raises TwinDiffers if a block's hash comes out otherwise.
    """
    watch = Stopwatch()
    source, source_database = open_blockchain(genesis, data_dir)
    twin, twin_database = open_blockchain(genesis, twin_dir)
    try:
        with ExitStack() as patches:
            for name, places in STAGES.items():
                for owner, attribute in places:
                    watched = watch.watch(name, getattr(owner, attribute))
                    patches.enter_context(patch.object(owner, attribute, watched))
            mempool = Mempool(twin)
            for block in blocks_of(source):
                _repeat(block, twin, mempool, watch)
    finally:
        source_database.close()
        twin_database.close()
    return [Stage(name, spent / 1000 / orders) for name, spent in watch.spent_ns.items()]


def blocks_of(chain: Blockchain) -> Iterator[Block]:
    """Yield the canonical blocks after genesis, in order."""
    for height in range(1, chain.head.block.header.number + 1):
        block = chain.block_at(Height(height))
        assert block is not None, "the canonical index has no holes"
        yield block


def _repeat(block: Block, twin: Blockchain, mempool: Mempool, watch: Stopwatch) -> None:
    raws = [tx.raw for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT]
    with watch.stage(DECODE):
        transactions = [decode_transaction(raw) for raw in raws]
    with watch.stage(ADMIT):
        for tx in transactions:
            mempool.add(tx)
    mempool.choose()
    executed = twin.execute(transactions, block.extension.time_ms)
    if executed.block.hash != block.hash:
        raise TwinDiffers(
            f"block {block.header.number} was 0x{block.hash.hex()}, "
            f"executed once more it is 0x{executed.block.hash.hex()}"
        )
    twin.commit(executed)
