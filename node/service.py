"""The composition root: the one place that builds a node out of its parts and joins them."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Any

import structlog
import uvloop

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.durable import write_durably
from node.chain.genesis import Genesis, document_hash, read_genesis, render_genesis
from node.chain.store import BlockStore
from node.config import NodeConfig, Role, wall_time_ms
from node.consensus.block_time import BlockTime
from node.consensus.core import Core
from node.consensus.development import Development
from node.consensus.faults import Faults
from node.consensus.guard import FILE as GUARD_FILE
from node.consensus.guard import SignGuard
from node.consensus.hold import FILE as HOLD_FILE
from node.consensus.hold import Hold
from node.consensus.links import Follower, Gatherer, Links
from node.consensus.mempool import Mempool
from node.consensus.node_key import NodeKey, read_node_key
from node.consensus.peers import ChainView, PeerClient, PeerServer, validate_peer_url
from node.consensus.recovery import Recovery
from node.consensus.sequencer import Sequencer
from node.consensus.snapshots import Snapshots
from node.consensus.validator import ValidatorNode
from node.crypto import ed25519_sign
from node.errors import GenesisError, OperatorError
from node.garbage import Collector
from node.governance.validators import ValidatorSet, find_validator
from node.log import configure_log
from node.rpc.port import listen
from node.rpc.serving import serve, serve_apart
from node.snapshot.apply import BumpSignState, resume_fork
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.fork import named_snapshots
from node.snapshot.offline import open_directory
from node.snapshot.restore import finish_restore, require_no_restore
from node.snapshot.snapshotter import Signer, Snapshotter
from node.state.kv import LevelDb

DATABASE_DIRECTORY = "db"
HEAD_FILE = "HEAD"
GENESIS_FILE = "genesis.json"
SWITCH_INTERVAL_S = 0.0005
"""How long a busy thread may keep the others waiting: with Python's 5 ms whoever asks waits that
long for each turn beside sealing (DESIGN section 7). While senders were recovered in this process,
0.5 ms cost 30 % more CPU an order than 2 ms; since the front does that, the two are the same."""

log = structlog.get_logger()


def open_blockchain(genesis_path: Path, data_dir: Path) -> tuple[Blockchain, LevelDb]:
    """Open or create the chain of a data directory; raises OperatorError kinds.

    What a crash left of a restore or of a fork is finished first.
    """
    genesis = read_genesis(genesis_path)
    data_dir.mkdir(parents=True, exist_ok=True)
    finish_restore(data_dir)
    require_no_restore(data_dir)
    database = LevelDb(data_dir / DATABASE_DIRECTORY)
    try:
        store = BlockStore(database, data_dir / HEAD_FILE)
        blockchain = Blockchain(genesis, database, store)
        resume_fork(blockchain)
        _keep_genesis(genesis, data_dir / GENESIS_FILE)
    except BaseException:
        database.close()
        raise
    return blockchain, database


def open_stopped(data_dir: Path, genesis_path: Path | None = None) -> tuple[Genesis, LevelDb]:
    """Open a stopped node's database without creating anything; raises OperatorError kinds.

    It is refused as a starting node would refuse it: of another genesis, or behind its side file.
    The genesis document is the directory's own unless another file is named.
    """
    path = data_dir / DATABASE_DIRECTORY
    if not (path / "CURRENT").exists():
        raise OperatorError(f"{data_dir} holds no database: name a node's --data-dir")
    genesis = read_genesis(genesis_path or data_dir / GENESIS_FILE)
    database = LevelDb(path)
    try:
        store = BlockStore(database, data_dir / HEAD_FILE)
        store.check_ownership(document_hash(genesis))
        store.load_head()
    except BaseException:
        database.close()
        raise
    return genesis, database


def run_node(config: NodeConfig) -> None:
    """Run a node until SIGINT or SIGTERM; raises OperatorError kinds at the start."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    key = None if config.key_path is None else read_node_key(config.key_path)
    _check_role(config, key)
    blockchain, database = open_blockchain(config.genesis_path, config.data_dir)
    configure_log(config.log_format)
    blockchain.on_begin(Collector().before_block)
    try:
        if config.role == Role.SEQUENCER:
            _run_sequencer(config, key, blockchain, database)
        else:
            _run_follower(config, key, blockchain)
    finally:
        database.close()


def _check_role(config: NodeConfig, key: NodeKey | None) -> None:
    """Refuse flags that do not go with the role."""
    role = config.role
    if role == Role.VALIDATOR and key is None:
        raise OperatorError(
            "--role validator signs: name its key by --key FILE, or run --role archive"
        )
    if role == Role.ARCHIVE and key is not None:
        raise OperatorError("--role archive signs nothing: leave --key out")
    if role != Role.SEQUENCER and not config.peer_urls:
        raise OperatorError(f"--role {role}: name the sequencer by --peer wss://HOST:PORT")
    if role == Role.SEQUENCER and config.peer_urls:
        raise OperatorError("--role sequencer is who the others link to: leave --peer out")
    if role == Role.ARCHIVE and config.peer_port is not None:
        raise OperatorError("--role archive has no key that peers know: leave --peer-port out")
    for url in config.peer_urls:
        validate_peer_url(url)
    if role != Role.SEQUENCER and config.faults:
        raise OperatorError("--faults alters a sequencer's own numbers: leave it out here")
    if config.accounts_path is not None and not read_genesis(config.genesis_path).dev:
        raise OperatorError(
            "--accounts-file is for development: "
            f'{config.genesis_path} says "dev": false, leave it out'
        )
    if config.faults and not read_genesis(config.genesis_path).dev:
        raise OperatorError(
            f'--faults is for development: {config.genesis_path} says "dev": false, leave it out'
        )


# --- the sequencer --------------------------------------------------------------------------------


def _run_sequencer(
    config: NodeConfig, key: NodeKey | None, blockchain: Blockchain, database: LevelDb
) -> None:
    mempool = Mempool(blockchain)
    hold = Hold(config.data_dir / HOLD_FILE)
    directory = open_directory(config.data_dir)
    time = BlockTime(blockchain, wall_time_ms)
    recovery = Recovery(blockchain, hold, clock_ms=time, directory=directory)
    # Where nobody attests, the sequencer makes the snapshots itself.
    has_validators = bool(blockchain.next_validators().members)
    snapshotter = None
    if not has_validators:
        snapshotter = _make_snapshotter(config, blockchain, directory, None)
    snapshots = Snapshots(blockchain, directory, snapshotter)
    sequencer = Sequencer(
        blockchain,
        mempool,
        block_time_ms=config.block_time_ms,
        instant=config.instant,
        clock_ms=wall_time_ms,
        seed=None if key is None else key.seed,
        hold=hold,
        recovery=recovery,
        snapshots=snapshots,
    )
    faults = Faults(blockchain, database) if config.faults else None
    is_dev = blockchain.genesis.dev
    development = Development(blockchain, mempool, sequencer) if is_dev else None
    core = Core(
        blockchain,
        mempool,
        sequencer,
        faults=faults,
        development=development,
        role=config.role,
        data_dir=config.data_dir,
    )
    snapshots.start()
    try:
        _run(_sequence(config, key, blockchain, core, sequencer))
    finally:
        sequencer.stop()
        snapshots.stop()
        core.close()


async def _sequence(
    config: NodeConfig,
    key: NodeKey | None,
    blockchain: Blockchain,
    core: Core,
    sequencer: Sequencer,
) -> None:
    stop = _stop_signal()
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(serve_apart(core, config))
        if key is not None:
            port = config.peer_port
            if port is None:
                port = server.port + 1 if config.port else 0
            listening = listen(config.host, port, flag="--peer-port")
            peer_port = listening.getsockname()[1]
            peers = PeerServer(Gatherer(sequencer), ChainView(blockchain), key)
            await stack.enter_async_context(peers.serve(listening))
            sequencer.on_publish(peers.broadcast)
            core.list_peers = peers.names
            log.info("peers may link", url=f"wss://{config.host}:{peer_port}")
        sequencer.start()
        log.info("sequencer started", height=core.heads().latest.header.number)
        await _wait_for_first(stop.wait(), server.keeping)


# --- those who follow -----------------------------------------------------------------------------


def _run_follower(config: NodeConfig, key: NodeKey | None, blockchain: Blockchain) -> None:
    _check_set(config, key, blockchain)
    seed, guard = None, None
    if key is not None:
        seed = key.seed
        guard = SignGuard(config.data_dir / GUARD_FILE, seed, blockchain.genesis_hash)
    hold = Hold(config.data_dir / HOLD_FILE)
    directory = open_directory(config.data_dir)
    bump = _make_bump(blockchain, guard)
    resume_fork(blockchain, bump)
    recovery = Recovery(
        blockchain,
        hold,
        clock_ms=BlockTime(blockchain, wall_time_ms),
        directory=directory,
        seed=seed,
        bump=bump,
        asks_operator=config.confirm_forks,
    )
    signer = None if key is None else _make_signer(key)
    snapshotter = None
    if key is not None:
        snapshotter = _make_snapshotter(config, blockchain, directory, signer)
    snapshots = Snapshots(blockchain, directory, snapshotter)
    node = ValidatorNode(
        blockchain,
        clock_ms=wall_time_ms,
        seed=seed,
        guard=guard,
        hold=hold,
        recovery=recovery,
        snapshots=snapshots,
    )
    core = Core(blockchain, Mempool(blockchain), node, role=config.role, data_dir=config.data_dir)
    snapshots.start()
    try:
        _run(_follow(config, key, blockchain, core, node))
    finally:
        snapshots.stop()
        core.close()


def _make_bump(blockchain: Blockchain, guard: SignGuard | None) -> BumpSignState:
    """Return what moves the sign guard to a fork's branch."""

    def bump(block: Block) -> None:
        if guard is not None:
            guard.move_to(blockchain.identity_of(block), block.header.number, block.hash)

    return bump


def _make_signer(key: NodeKey) -> Signer:
    return Signer(key.public_key, lambda message: ed25519_sign(key.seed, message))


def _make_snapshotter(
    config: NodeConfig,
    blockchain: Blockchain,
    directory: SnapshotDirectory,
    signer: Signer | None,
) -> Snapshotter:
    return Snapshotter(
        blockchain,
        directory,
        signer,
        interval=config.snapshot_interval,
        named=lambda: named_snapshots(blockchain),
    )


def _check_set(config: NodeConfig, key: NodeKey | None, blockchain: Blockchain) -> None:
    """Refuse a chain without a sequencer's key; say so if this node's own is in no set yet."""
    validators = blockchain.next_validators()
    if not validators.sequencer:
        raise OperatorError(
            f"{config.genesis_path} names no sequencer: there is no key to pin a link to, "
            "start the chain with validators"
        )
    if key is None:
        return
    genesis = blockchain.genesis
    known = (validators, ValidatorSet(genesis.sequencer, genesis.validators))
    if all(find_validator(each, key.public_key) is None for each in known):
        log.warning(
            "this key is none of the validators that are known here: the node follows, and signs "
            "from the block on that the council's change makes it one",
            key=f"0x{key.public_key.hex()}",
            file=str(config.key_path),
        )


async def _follow(
    config: NodeConfig, key: NodeKey | None, blockchain: Blockchain, core: Core, node: ValidatorNode
) -> None:
    stop = _stop_signal()
    view, links = ChainView(blockchain), Links()
    follower = Follower(node, links)
    for url in config.peer_urls:
        links.add(PeerClient(follower, view, url, key=key))
    core.list_peers = links.names
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(serve(core, config))
        if key is not None and config.peer_port is not None:
            listening = listen(config.host, config.peer_port, flag="--peer-port")
            server = PeerServer(follower, view, key)
            links.add(server)
            peer_port = listening.getsockname()[1]
            await stack.enter_async_context(server.serve(listening))
            log.info("peers may link", url=f"wss://{config.host}:{peer_port}")
        log.info(f"{config.role} started", height=core.heads().latest.header.number)
        try:
            await _wait_for_first(links.run(follower.on_tick), stop.wait())
        except* OperatorError as refusals:
            raise refusals.exceptions[0] from None


# --- both -----------------------------------------------------------------------------------------


async def _wait_for_first(*works: Coroutine[Any, Any, object] | asyncio.Task[None]) -> None:
    """Wait for one of these to end, raise what it raised, and end the others."""
    tasks = {asyncio.ensure_future(work) for work in works}
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _run(node: Coroutine[Any, Any, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(node)


def _stop_signal() -> asyncio.Event:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return stop


def _keep_genesis(genesis: Genesis, path: Path) -> None:
    """Keep the document beside the database, for commands that get no more than the directory."""
    if path.exists() and path.read_text(encoding="utf-8") == render_genesis(genesis):
        return
    with suppress(GenesisError):
        if path.exists() and read_genesis(path) == genesis:
            return
    write_durably(path, render_genesis(genesis).encode())
