"""The branch that clients see: the chain's, but while a fork catches up the one that is left.

A falling block number silences wallets' watchers. So the old head is served until the new branch is
higher; then clients hear of it all at once, as of any longer reorganisation: first what was
removed, newest first, then the new heads, oldest first (RECOVERY, Catch-up).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from node.chain.block import Block, Receipt
from node.chain.blockchain import Blockchain, Head
from node.chain.branches import load_on_branch, load_orphaned_place
from node.chain.log_search import FoundLog, may_match
from node.chain.store import Place
from node.consensus.recovery import Recovery
from node.units import Address, Hash32, Height

Listener = Callable[[Block, Sequence[Receipt]], None]
"""Called in the core's thread with a block that became head, or is no longer of the chain."""


class ServedBranch:
    """What is the head for clients; made before anything is sealed or followed."""

    def __init__(self, blockchain: Blockchain, recovery: Recovery) -> None:
        self._blockchain = blockchain
        self._recovery = recovery
        self._heads: list[Listener] = []
        self._left: list[Listener] = []
        self._reverted: list[Listener] = []
        self._old: Block | None = None
        """The head of the branch that is left, while it is served."""
        self._is_building = False
        if recovery.is_forking():
            self._old = self._find_old()
        recovery.on_forking(self._before_fork, self._after_fork)
        blockchain.on_head(self._on_head)
        blockchain.on_reverted(self._on_reverted)

    @property
    def latest(self) -> Block:
        """The head as clients see it."""
        return self._old or self._blockchain.head.block

    def on_head(self, listener: Listener) -> None:
        """Call `listener` with each new head."""
        self._heads.append(listener)

    def on_left(self, listener: Listener) -> None:
        """Call `listener` with each block that clients knew and that a fork or a revert left."""
        self._left.append(listener)

    def on_reverted(self, listener: Listener) -> None:
        """Call `listener` with the head after a development revert; `on_left` came before."""
        self._reverted.append(listener)

    def block_at(self, height: Height) -> Block | None:
        """Return the block of a height, None above the head: what is written may not be it yet."""
        old = self._old
        if height > (old or self._blockchain.head.block).header.number:
            return None
        if old is None:
            return self._blockchain.block_at(height)
        return self.block_on_fork(old.extension.fork_id, height)

    def block_on_fork(self, fork_id: int, height: Height) -> Block | None:
        """Return the block that had a height while this fork was the chain's."""
        store = self._blockchain.store
        found = load_on_branch(store, fork_id, height)
        if found is None:  # the index may have flipped between two of its rows
            found = load_on_branch(store, fork_id, height)
        return None if found is None else store.load_block(found)

    def find_place(self, tx_hash: Hash32) -> Place | None:
        """Return where a transaction is."""
        store = self._blockchain.store
        orphaned = None if self._old is None else load_orphaned_place(store, tx_hash)
        return orphaned or store.load_place(tx_hash)

    def find_logs(
        self,
        first: Height,
        last: Height,
        addresses: Sequence[Address],
        topics: Sequence[Sequence[Hash32]],
    ) -> Iterator[FoundLog]:
        """Yield logs that match, oldest first."""
        old = self._old
        last = min(last, self.latest.header.number)
        if old is None:
            yield from self._blockchain.find_logs(first, last, addresses, topics)
            return
        for height in range(first, last + 1):
            block = self.block_at(Height(height))
            if block is not None and may_match(block.header.logs_bloom, addresses, topics):
                yield from self._blockchain.match_logs(block, addresses, topics)

    # --- while a fork is carried out -------------------------------------------------------------

    def _before_fork(self) -> None:
        self._old, self._is_building = self._blockchain.head.block, True

    def _after_fork(self) -> None:
        self._is_building = False
        if self._old is not None and self._old.hash == self._blockchain.head.block.hash:
            self._old = None  # it came to nothing
        self._flip()

    def _on_head(self, head: Head) -> None:
        if self._old is None:
            self._tell(self._heads, head.block)
        elif not self._is_building:
            self._flip()

    def _on_reverted(self, left: Sequence[Block]) -> None:
        for block in left:
            self._tell(self._left, block)
        self._tell(self._reverted, self._blockchain.head.block)

    def _flip(self) -> None:
        """Serve the new branch, once it is beyond the old one, and tell everybody."""
        old, fork = self._old, self._recovery.fork
        if old is None or fork is None or self._recovery.is_forking():
            return
        self._old = None
        for height in range(old.header.number, fork.height - 1, -1):
            self._tell(self._left, self.block_on_fork(old.extension.fork_id, Height(height)))
        for height in range(fork.height, self._blockchain.head.block.header.number + 1):
            self._tell(self._heads, self._blockchain.block_at(Height(height)))

    def _tell(self, listeners: Sequence[Listener], block: Block | None) -> None:
        if block is None:
            return
        receipts = self._blockchain.store.load_receipts(block.hash)
        assert receipts is not None, "receipts are written with their block"
        for listener in listeners:
            listener(block, receipts)

    def _find_old(self) -> Block | None:
        """Return the highest block of the branch that is left that this node has."""
        fork = self._recovery.fork
        assert fork is not None, "there is one that catches up"
        height = fork.height
        found: Block | None = None
        while (block := self.block_on_fork(fork.fork_id - 1, height)) is not None:
            found, height = block, Height(height + 1)
        return found or self.block_on_fork(fork.fork_id - 1, Height(fork.height - 1))
