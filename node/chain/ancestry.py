"""The branch below one block, whatever branch that is: which block it had at each height.

A block of the chain is looked up in the canonical index; from one that a fork or a revert left,
parents are followed until the index has them. All of it as of one snapshot of the database, so that
an index that flips meanwhile mixes no branches.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.chain import keys
from node.chain.block import Block, Extension, Header
from node.state.kv import View
from node.units import Hash32, Height

if TYPE_CHECKING:
    from node.chain.store import BlockStore


class Ancestry:
    """A block and those before it."""

    def __init__(self, store: BlockStore, view: View, block: Block) -> None:
        self.block = block
        self.view = view
        self._store = store
        self._left: dict[Height, Hash32] = {}
        """The blocks that are not in the canonical index."""
        height, digest = block.header.number, block.hash
        while view.get(keys.canonical_row(height)) != digest:
            self._left[height] = digest
            head = store.load_header(digest)
            if head is None:
                break
            height, digest = Height(height - 1), head[0].parent_hash

    def hash_at(self, height: Height) -> Hash32 | None:
        """Return the block of a height, None above the block and where none is known."""
        if height > self.block.header.number:
            return None
        left = self._left.get(height)
        if left is not None:
            return left
        found = self.view.get(keys.canonical_row(height))
        return None if found is None else Hash32(found)

    def head_at(self, height: Height) -> tuple[Header, Extension] | None:
        """Return header and extension of a height, None where none is kept."""
        digest = self.hash_at(height)
        return None if digest is None else self._store.load_header(digest)

    def bloom_at(self, height: Height) -> bytes | None:
        """Return the bloom of a height, None if its block has no logs or is not kept."""
        if height not in self._left:
            return self.view.get(keys.bloom_row(height))
        head = self.head_at(height)
        return None if head is None else head[0].logs_bloom
