"""Branches: what a fork or a revert leaves, and how the canonical index moves to another block.

Blocks, receipts and states are kept by hash on every branch; only the index beside them says which
is canonical. A flip rewrites that index in one batch, and what it takes out stays readable by
(fork_id, number) and by transaction hash, for forensics. A development revert moves it back along
its own branch; what it takes out stays by hash alone, and an epoch counts it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from node.chain import keys
from node.chain.block import Block
from node.chain.store import BlockStore, Place, Revert
from node.encoding import codec_of
from node.units import Hash32, Height


class Flip(NamedTuple):
    """Rows that make a block the head."""

    puts: list[tuple[bytes, bytes]]
    deletes: list[bytes]


def build_flip(store: BlockStore, block: Block) -> Flip:
    """Return the rows that make `block` the head and everything above its parent orphaned.

    The parent is canonical; the block itself is on disk. Orphans are named by the branch that is
    left: the fork id of the head they belong to.
    """
    parent_height = Height(block.header.number - 1)
    assert store.load_canonical(parent_height) == block.header.parent_hash, "parent is canonical"
    flip = Flip([], [])
    height = Height(block.header.number)
    orphans = []
    while (orphan_hash := store.load_canonical(height)) is not None:
        orphans.append(orphan_hash)
        height = Height(height + 1)
    left = _fork_id_of(store, orphans[-1]) if orphans else 0
    for number, orphan_hash in enumerate(orphans, block.header.number):
        _leave(store, flip, left, Height(number), orphan_hash)
    _join(flip, block)
    return flip


def load_orphan(store: BlockStore, fork_id: int, height: Height) -> Hash32 | None:
    """Return the block of a height on the branch that ended with the fork after `fork_id`."""
    found = store.kv.get(keys.orphan_row(fork_id, height))
    return None if found is None else Hash32(found)


def load_on_branch(store: BlockStore, fork_id: int, height: Height) -> Hash32 | None:
    """Return the block that had a height while `fork_id` was the chain's; None if there is none.

    A branch holds the blocks of the branches before it, as far as no fork cut them off.
    """
    head_hash = store.kv.get(keys.HEAD_ROW)
    latest = 0 if head_hash is None else _fork_id_of(store, Hash32(head_hash))
    if fork_id > latest:
        return None
    for later in range(fork_id, latest):
        orphan = load_orphan(store, later, height)
        if orphan is not None and _fork_id_of(store, orphan) <= fork_id:
            return orphan
    canonical = store.load_canonical(height)
    if canonical is None or _fork_id_of(store, canonical) > fork_id:
        return None
    return canonical


def load_orphaned_place(store: BlockStore, tx_hash: Hash32) -> Place | None:
    """Return where a transaction was on the branch that was left last; None if on none."""
    found = store.kv.get(keys.orphaned_transaction_row(tx_hash))
    return None if found is None else Place(Hash32(found[:32]), int.from_bytes(found[32:], "big"))


def _leave(
    store: BlockStore, flip: Flip, fork_id: int, height: Height, orphan_hash: Hash32
) -> None:
    flip.puts.append((keys.orphan_row(fork_id, height), orphan_hash))
    flip.deletes.append(keys.canonical_row(height))
    flip.deletes.append(keys.bloom_row(height))
    orphan = store.load_block(orphan_hash)
    assert orphan is not None, "a canonical block above a snapshot is kept"
    for index, tx in enumerate(orphan.transactions):
        flip.deletes.append(keys.transaction_row(tx.hash))
        place = orphan_hash + index.to_bytes(4, "big")
        flip.puts.append((keys.orphaned_transaction_row(tx.hash), place))


def _join(flip: Flip, block: Block) -> None:
    flip.puts.append((keys.canonical_row(block.header.number), block.hash))
    if any(block.header.logs_bloom):
        flip.puts.append((keys.bloom_row(block.header.number), block.header.logs_bloom))
    for index, tx in enumerate(block.transactions):
        flip.puts.append((keys.transaction_row(tx.hash), block.hash + index.to_bytes(4, "big")))
    flip.puts.append((keys.HEAD_ROW, block.hash))


def _fork_id_of(store: BlockStore, block_hash: Hash32) -> int:
    found = store.load_header(block_hash)
    assert found is not None, "the index names blocks that are kept"
    return found[1].fork_id


# --- development reverts --------------------------------------------------------------------------


def build_revert(store: BlockStore, revert: Revert, left: Sequence[Block]) -> Flip:
    """Return the rows that make an earlier block of the branch the head again.

    An earlier revert to that height or above shaped only what goes now: its row goes too.
    """
    flip = Flip([], [])
    for block in left:
        height = block.header.number
        flip.deletes.extend([keys.canonical_row(height), keys.bloom_row(height)])
        flip.deletes.extend(keys.transaction_row(tx.hash) for tx in block.transactions)
    for earlier in load_reverts(store):
        if earlier.height >= revert.height:
            flip.deletes.append(keys.revert_row(earlier.fork_id, earlier.dev_epoch))
    row = keys.revert_row(revert.fork_id, revert.dev_epoch)
    flip.puts.append((row, codec_of(Revert).encode(revert)))
    flip.puts.append((keys.HEAD_ROW, revert.block_hash))
    return flip


def load_reverts(store: BlockStore) -> Sequence[Revert]:
    """Return the reverts that shaped the head's branch, oldest first; their heights ascend."""
    return tuple(codec_of(Revert).decode(row) for _, row in store.kv.items(keys.REVERTS))
