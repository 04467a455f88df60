"""When the next block is: the wall clock, and how far development operations have moved it.

The offset is state (DESIGN section 9): a restart, a validator and a second sequencer know it. What
is chosen here is no more than the next block's time, and the operation that says so in it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node.chain.block import Block
from node.chain.blockchain import Blockchain, development_of
from node.chain.development import BeginEpoch, Operation, SetTimeOffset
from node.errors import EncodingError
from node.units import TimeMs


class Moment(NamedTuple):
    """The next block's time, and the operations that it begins with because of it."""

    time_ms: TimeMs
    operations: list[Operation]


class BlockTime:
    """A node's clock in block time, and at the sequencer what was wished for the next block."""

    def __init__(self, blockchain: Blockchain, wall_ms: Callable[[], int]) -> None:
        self._blockchain = blockchain
        self._wall_ms = wall_ms
        self.exact_ms: int | None = None
        """The next block's time; forgotten by a restart and a revert."""
        self.step_ms: int | None = None
        """How long every block is after its parent; None: as the clock says."""

    def __call__(self) -> int:
        """Return the wall clock with the head's offset."""
        return self._wall_ms() + self.offset_ms()

    def offset_ms(self) -> int:
        """Return the time offset that the next block begins with."""
        blockchain = self._blockchain
        if not blockchain.genesis.dev:
            return 0
        if self._begins_epoch():
            return blockchain.reverts[-1].offset_ms
        return blockchain.development().time_offset_ms

    def offset_after(self, block: Block) -> int:
        """Return the time offset that a successor of the head sets or keeps."""
        try:
            operations = development_of(block)
        except EncodingError:  # refused as soon as it is executed
            operations = []
        offsets = [each.offset_ms for each in operations if isinstance(each, SetTimeOffset)]
        return offsets[-1] if offsets else self.offset_ms()

    def choose(self, offset_ms: int | None = None) -> Moment:
        """Return the next block's time, by a new offset or by what was wished."""
        blockchain, wall_ms = self._blockchain, self._wall_ms()
        parent_ms = blockchain.head.block.extension.time_ms
        exact_ms = self.exact_ms
        if exact_ms is None and self.step_ms is not None:
            exact_ms = parent_ms - parent_ms % 1_000 + self.step_ms  # whole seconds stay whole
        if offset_ms is not None:
            time_ms = wall_ms + offset_ms
        elif exact_ms is not None:
            time_ms, offset_ms = exact_ms, exact_ms - wall_ms
        else:
            offset_ms = self.offset_ms()
            time_ms = wall_ms + offset_ms
        operations: list[Operation] = []
        if self._begins_epoch():
            operations.append(BeginEpoch(blockchain.next_epoch()))
        if blockchain.genesis.dev and offset_ms != blockchain.development().time_offset_ms:
            operations.append(SetTimeOffset(offset_ms))
        return Moment(TimeMs(max(time_ms, parent_ms + 1)), operations)

    def _begins_epoch(self) -> bool:
        blockchain = self._blockchain
        return blockchain.next_epoch() > blockchain.head.block.extension.dev_epoch
