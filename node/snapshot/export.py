"""Writing a snapshot: from a fixed root on a live database, a slice at a time.

States are immutable, so an export needs no pause of the chain: it walks the tries under one root
with a small cache of its own and gives way between slices. It is made in a staging directory and
appears by a rename; a crash leaves nothing that could be taken for a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from node.chain import keys
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.crash import crash_point
from node.chain.keys import Place
from node.errors import MissingState
from node.snapshot.chunks import (
    CHUNK_TARGET,
    chunk_hash,
    compress,
    cut_bytes,
    cut_chunks,
    walk_entries,
)
from node.snapshot.directory import SnapshotDirectory, SnapshotId, chunk_path, write_parts
from node.snapshot.history import encode_history, headers_hash, load_history
from node.snapshot.manifest import (
    MANIFEST_FILE,
    ChunkInfo,
    Manifest,
    encode_manifest,
)
from node.snapshot.rebuild import ADDRESS_SIZE, Entry
from node.state.node import EMPTY_TRIE_ROOT
from node.state.reader import State
from node.state.store import StateReader, StateStore
from node.units import Address

SLICE_ENTRIES = 200
"""After so many leaves an export gives way: some milliseconds."""
CACHED_NODES = 2_000
"""An export reads each node once: it must not push the head's out of the shared cache."""

R = TypeVar("R", bound=tuple[Any, ...])


class ExportJob:
    """One snapshot being written; `run` gives way between slices."""

    def __init__(
        self,
        blockchain: Blockchain,
        block: Block,
        directory: SnapshotDirectory,
        *,
        chunk_target: int = CHUNK_TARGET,
    ) -> None:
        self._blockchain = blockchain
        self._block = block
        self._directory = directory
        self._chunk_target = chunk_target
        self.id = SnapshotId(block.extension.fork_id, block.header.number)
        self.manifest: Manifest | None = None
        """What was made; None until `run` has ended."""

    def finish(self) -> Manifest:
        """Write the whole snapshot without giving way."""
        for _ in self.run():
            pass
        assert self.manifest is not None, "a run that ends has made a manifest"
        return self.manifest

    def run(self) -> Iterator[None]:
        """Write the snapshot, yielding between slices; one that is there already stays as it is."""
        self.manifest = self._directory.manifest(self.id)
        if self.manifest is not None and self.manifest.block_hash != self._block.hash:
            self._directory.remove(self.id)  # of a block that a development revert took out
            self.manifest = None
        if self.manifest is not None:
            return
        yield from self._write(open_state(self._blockchain, self._block))

    def _write(self, state: State) -> Iterator[None]:
        staging = self._directory.stage(self.id)
        history = load_history(self._blockchain.store, self._block)
        chunks: list[ChunkInfo] = []
        for piece in cut_bytes(encode_history(history), target=self._chunk_target):
            chunks.append(_write_chunk(staging, len(chunks), piece))
            yield
        history_chunks = len(chunks)
        counted = _Counting(walk_entries(state))
        since = 0
        for chunk in cut_chunks(counted, target=self._chunk_target):
            since += 1
            if chunk is not None:
                chunks.append(_write_chunk(staging, len(chunks), chunk))
            if chunk is not None or since >= SLICE_ENTRIES:
                since = 0
                yield
        header, extension = self._block.header, self._block.extension
        manifest = Manifest(
            chain_id=self._blockchain.genesis.chain_id,
            genesis_hash=self._blockchain.genesis_hash,
            fork_id=extension.fork_id,
            dev_epoch=extension.dev_epoch,
            height=header.number,
            block_hash=self._block.hash,
            parent_hash=header.parent_hash,
            time_ms=extension.time_ms,
            state_root=header.state_root,
            accounts=counted.accounts,
            records=counted.records,
            size=sum(chunk.size for chunk in chunks),
            history_chunks=history_chunks,
            chunks=tuple(chunks),
            headers_hash=headers_hash(history),
            validators=read_single(state, keys.VALIDATORS),
            council=read_single(state, keys.COUNCIL),
            effects_head=extension.effects_head,
        )
        crash_point("snapshot: before the manifest")
        write_parts(staging / MANIFEST_FILE, [encode_manifest(manifest)])
        self._directory.publish(self.id)
        self.manifest = manifest


def open_state(blockchain: Blockchain, block: Block) -> State:
    """Return a block's state with a small cache of its own; MissingState if it is not kept."""
    root = block.header.state_root
    if root == EMPTY_TRIE_ROOT:
        raise MissingState(root)
    store = StateStore(blockchain.store.kv, keys.STATE_TABLES, cached_nodes_max=CACHED_NODES)
    return store.at(root)


def read_single(state: StateReader, place: Place[None, R]) -> R:
    """Return a record of which there is one, and always one."""
    data = state.get_record(Address(place.address(None)), place.key(None))
    assert data is not None, "genesis writes every single record"
    return place.codec.decode(data)


class _Counting:
    """Passes entries on and counts them."""

    def __init__(self, entries: Iterator[Entry]) -> None:
        self._entries = entries
        self.accounts = self.records = 0

    def __iter__(self) -> Iterator[Entry]:
        for entry in self._entries:
            if len(entry.key) == ADDRESS_SIZE:
                self.accounts += 1
            else:
                self.records += 1
            yield entry


def _write_chunk(staging: Path, number: int, chunk: bytes) -> ChunkInfo:
    data = compress(chunk)
    half = len(data) // 2
    write_parts(chunk_path(staging, number), [data[:half], data[half:]], "snapshot: in a chunk")
    return ChunkInfo(chunk_hash(chunk), len(chunk))
