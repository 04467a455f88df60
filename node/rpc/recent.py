"""The newest blocks with their receipts, as they came: what wallets poll for right after sending.

A cache: what it does not hold, the core still answers. It follows one branch; a head that is not
the child of the last one empties it.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from node.chain.block import Block, Receipt
from node.units import Hash32

TRANSACTIONS_MAX: Final = 50_000
BLOCKS_MAX: Final = 256


class RecentTransaction(NamedTuple):
    """A transaction in one of the newest blocks."""

    block: Block
    tx_index: int
    receipt: Receipt
    first_log: int
    """How many logs of the block's earlier transactions come first."""


class RecentBlocks:
    """The newest blocks of the head's branch, at most so many blocks and transactions."""

    def __init__(self) -> None:
        self._blocks: deque[Block] = deque()
        self._transactions: dict[Hash32, RecentTransaction] = {}

    def on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Take a new head; forget everything else if it is not the last one's child."""
        if self._blocks and self._blocks[-1].hash != block.header.parent_hash:
            self._blocks.clear()
            self._transactions.clear()
        self._blocks.append(block)
        first_log = 0
        for index, (tx, receipt) in enumerate(zip(block.transactions, receipts, strict=True)):
            self._transactions[tx.hash] = RecentTransaction(block, index, receipt, first_log)
            first_log += len(receipt.logs)
        while len(self._blocks) > 1 and (
            len(self._blocks) > BLOCKS_MAX or len(self._transactions) > TRANSACTIONS_MAX
        ):
            for tx in self._blocks.popleft().transactions:
                self._transactions.pop(tx.hash, None)

    def on_left(self, block: Block) -> None:
        """Forget the newest block: a fork or a revert left it."""
        if self._blocks and self._blocks[-1].hash == block.hash:
            for tx in self._blocks.pop().transactions:
                self._transactions.pop(tx.hash, None)

    def find(self, tx_hash: Hash32) -> RecentTransaction | None:
        """Return a transaction of the newest blocks."""
        return self._transactions.get(tx_hash)
