"""The composition root: the one place that builds a node out of its parts and joins them."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import structlog
import uvloop

from node.chain.blockchain import Blockchain
from node.chain.genesis import read_genesis
from node.chain.store import BlockStore
from node.config import NodeConfig, wall_time_ms
from node.consensus.core import Core
from node.consensus.mempool import Mempool
from node.consensus.sequencer import Sequencer
from node.rpc.server import serve
from node.state.kv import LevelDb

DATABASE_DIRECTORY = "db"
HEAD_FILE = "HEAD"
SWITCH_INTERVAL_S = 0.0005
"""How long a busy thread may keep the others waiting: with Python's 5 ms the front starves beside
sealing (DESIGN section 7)."""

log = structlog.get_logger()


def open_blockchain(genesis_path: Path, data_dir: Path) -> tuple[Blockchain, LevelDb]:
    """Open or create the chain of a data directory; raises OperatorError kinds."""
    genesis = read_genesis(genesis_path)
    data_dir.mkdir(parents=True, exist_ok=True)
    database = LevelDb(data_dir / DATABASE_DIRECTORY)
    try:
        store = BlockStore(database, data_dir / HEAD_FILE)
        return Blockchain(genesis, database, store), database
    except BaseException:
        database.close()
        raise


def run_sequencer(config: NodeConfig) -> None:
    """Run a sequencer until SIGINT or SIGTERM; raises OperatorError kinds at the start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    blockchain, database = open_blockchain(config.genesis_path, config.data_dir)
    try:
        mempool = Mempool(blockchain)
        sequencer = Sequencer(
            blockchain,
            mempool,
            block_time_ms=config.block_time_ms,
            instant=config.instant,
            clock_ms=wall_time_ms,
        )
        core = Core(blockchain, mempool, sequencer)
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_serve(config, core, sequencer))
        finally:
            sequencer.stop()
            core.close()
    finally:
        database.close()


async def _serve(config: NodeConfig, core: Core, sequencer: Sequencer) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with serve(core, config):
        sequencer.start()
        log.info("sequencer started", height=core.heads().latest.header.number)
        await stop.wait()
