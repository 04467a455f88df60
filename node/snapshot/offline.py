"""A stopped node's chain, opened for a command: what a crash left is finished first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.chain.blockchain import Blockchain
from node.chain.genesis import read_genesis
from node.chain.store import BlockStore
from node.errors import OperatorError
from node.snapshot.apply import resume_fork
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.restore import (
    DATABASE_DIRECTORY,
    GENESIS_FILE,
    HEAD_FILE,
    finish_restore,
    require_no_restore,
)
from node.state.kv import LevelDb
from node.units import Height

SNAPSHOTS_DIRECTORY = "snapshots"


@contextmanager
def open_chain(data_dir: Path, genesis_path: Path | None = None) -> Iterator[Blockchain]:
    """Open a stopped node's chain; raises OperatorError kinds, and creates nothing."""
    finish_restore(data_dir)
    require_no_restore(data_dir)
    path = data_dir / DATABASE_DIRECTORY
    if not path.is_dir():
        raise OperatorError(f"{data_dir} holds no database: name a stopped node's --data-dir")
    genesis = read_genesis(genesis_path or data_dir / GENESIS_FILE)
    database = LevelDb(path)
    try:
        blockchain = Blockchain(genesis, database, BlockStore(database, data_dir / HEAD_FILE))
        resume_fork(blockchain)
        yield blockchain
    finally:
        database.close()


def open_directory(data_dir: Path) -> SnapshotDirectory:
    """Return where a node keeps its snapshots."""
    return SnapshotDirectory(data_dir / SNAPSHOTS_DIRECTORY)


def find_snapshot(directory: SnapshotDirectory, name: str) -> SnapshotId:
    """Return the snapshot of a name such as "0-100", or of "latest"; raises OperatorError."""
    ids = directory.ids()
    if not ids:
        raise OperatorError(
            f"{directory.path} holds no snapshot: make one by `perpnode snapshot create`"
        )
    if name == "latest":
        return ids[-1]
    for snapshot in ids:
        if snapshot.name == name:
            return snapshot
    names = ", ".join(snapshot.name for snapshot in ids)
    raise OperatorError(f"{directory.path} has no snapshot {name}: it has {names}")


def choose_height(blockchain: Blockchain, height: int | None) -> Height:
    """Return the head's height unless another is wanted; raises OperatorError beyond the head."""
    head = blockchain.head.block.header.number
    if height is not None and height > head:
        raise OperatorError(f"block {height} is beyond the head, {head}: choose a lower --height")
    return head if height is None else Height(height)
