"""The chain: its head, how the next block is executed, and how it becomes the head.

Everything here is driven from outside: the built-in sequencer calls `execute` and `commit`, a
validator `import_block`; nothing below knows which (DESIGN section 6). A head is immutable: a reader
in another thread keeps what it holds while the next block is made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from node.chain import keys
from node.chain.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Extension,
    Header,
    Receipt,
    block_size,
    bloom_contains,
    bloom_of,
    encode_extension,
    encode_receipt,
    header_hash,
)
from node.chain.crash import crash_point
from node.chain.execution import Applied, BlockInput, apply_block
from node.chain.genesis import Genesis, document_hash
from node.chain.genesis_block import build_genesis_ledger
from node.chain.ledger import Derived, Moment, StateLedger
from node.chain.store import BlockStore
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.chain.validation import validate_result, validate_successor
from node.crypto import keccak256
from node.perp.account import FEES
from node.state.kv import KeyValue
from node.state.ordered import ordered_root
from node.state.store import EMPTY_TRIE_ROOT, Commit, State, StateReader, StateStore
from node.system.logs import Log
from node.units import Address, Hash32, Height, TimeMs

ZERO_HASH = Hash32(bytes(32))


class Head(NamedTuple):
    """A block and its state, as a reader in any thread may hold it."""

    block: Block
    receipts: Sequence[Receipt]
    state: StateReader
    derived: Derived


class Executed(NamedTuple):
    """A block that was executed here and not yet written."""

    block: Block
    receipts: tuple[Receipt, ...]
    ledger: StateLedger
    commit: Commit


class FoundLog(NamedTuple):
    """A log and where it is."""

    block: Block
    tx_index: int
    log_index: int
    """Counts over the block."""
    log: Log


class Blockchain:
    """One chain over one database; a single thread executes and commits, any thread reads."""

    def __init__(self, genesis: Genesis, kv: KeyValue, store: BlockStore) -> None:
        self.genesis = genesis
        self._kv = kv
        self.store = store
        self.states = StateStore(kv, keys.STATE_TABLES)
        self._listeners: list[Callable[[Head], None]] = []
        store.check_ownership(document_hash(genesis))
        block = store.load_head()
        self.head = self._commit_genesis() if block is None else self._open_head(block)
        first = self.block_at(Height(0))
        assert first is not None, "a chain has a block 0"
        self.genesis_hash = first.hash
        """Block 0's hash: it stands for the whole genesis document."""

    def on_head(self, listener: Callable[[Head], None]) -> None:
        """Call `listener` in the committing thread with every new head."""
        self._listeners.append(listener)

    # --- making blocks ---------------------------------------------------------------------------

    def execute(self, transactions: Sequence[Transaction], time_ms: TimeMs) -> Executed:
        """Execute a successor of the head; nothing is written.

        Raises InvalidBlock or InvalidTransaction if there can be no such block.
        """
        parent = self.head
        ledger = self._ledger(parent.state, parent.derived, parent.block, time_ms)
        inputs = BlockInput(transactions, self.genesis.base_fee_wei, self.genesis.gas_limit)
        applied = apply_block(ledger, inputs)
        commit = self.states.commit(parent.block.header.state_root, ledger.changes())
        extension = parent.block.extension._replace(time_ms=time_ms)
        block = seal(applied, extension, parent.block.header, commit.root, inputs)
        crash_point("block: executed")
        return Executed(block, applied.receipts, ledger, commit)

    def commit(self, executed: Executed) -> None:
        """Write an executed block and make it the head."""
        block = executed.block
        assert block.header.parent_hash == self.head.block.hash, "executed on another head"
        self.store.save_block(block, executed.receipts, executed.commit)
        state = self.states.flat(self._kv.snapshot())
        self.head = Head(block, executed.receipts, state, executed.ledger.derive(state))
        for listener in self._listeners:
            listener(self.head)

    def import_block(self, block: Block) -> None:
        """Re-execute somebody's block on the head and commit it if it is right.

        Raises InvalidBlock with the first difference, or InvalidTransaction.
        """
        validate_successor(block, self.head.block)
        people = [tx for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT]
        executed = self.execute(people, block.extension.time_ms)
        validate_result(block, executed.block)
        self.commit(executed)

    def switch_head(self, block: Block) -> None:
        """Make a block of another branch the head, whose rows say already that it is (a fork)."""
        self.head = self._open_head(block)
        for listener in self._listeners:
            listener(self.head)

    # --- reading ---------------------------------------------------------------------------------

    def block_at(self, height: Height) -> Block | None:
        """Return the canonical block of a height."""
        head = self.head.block
        if height == head.header.number:
            return head
        block_hash = self.store.load_canonical(height)
        return None if block_hash is None else self.store.load_block(block_hash)

    def state_at(self, block: Block) -> StateReader:
        """Return a block's state; MissingState if it is not kept."""
        head = self.head
        if block.hash == head.block.hash:
            return head.state
        return self.states.at(block.header.state_root)

    def proof_state(self, block: Block) -> State:
        """Return a block's state as a trie, which can prove."""
        return self.states.at(block.header.state_root)

    def ledger_after(self, block: Block) -> StateLedger:
        """Return a throw-away ledger on a block's state, as if the next block were made now."""
        head = self.head
        if block.hash == head.block.hash:
            state, derived = head.state, head.derived
        else:
            state = self.states.at(block.header.state_root)
            derived = Derived(state, {}, None)
        return self._ledger(state, derived, block, TimeMs(block.extension.time_ms + 1))

    def find_logs(
        self,
        first: Height,
        last: Height,
        addresses: Sequence[Address],
        topics: Sequence[Sequence[Hash32]],
    ) -> Iterator[FoundLog]:
        """Yield logs of canonical blocks that match, oldest first.

        `addresses` and each position of `topics` match any when empty.
        """
        for height, bloom in self.store.blooms(first, last):
            if not _may_match(bloom, addresses, topics):
                continue
            block = self.block_at(height)
            assert block is not None, "the bloom index names canonical blocks"
            yield from self.match_logs(block, addresses, topics)

    def match_logs(
        self, block: Block, addresses: Sequence[Address], topics: Sequence[Sequence[Hash32]]
    ) -> Iterator[FoundLog]:
        """Yield a block's logs that match."""
        receipts = self.store.load_receipts(block.hash)
        assert receipts is not None, "receipts are written with their block"
        log_index = 0
        for tx_index, receipt in enumerate(receipts):
            for log in receipt.logs:
                if _matches(log, addresses, topics):
                    yield FoundLog(block, tx_index, log_index, log)
                log_index += 1

    # --- beginnings ------------------------------------------------------------------------------

    def _commit_genesis(self) -> Head:
        ledger = build_genesis_ledger(self.genesis, self.states.at(EMPTY_TRIE_ROOT))
        commit = self.states.commit(EMPTY_TRIE_ROOT, ledger.changes())
        extension = Extension(
            version=1,
            fork_id=0,
            dev_epoch=0,
            time_ms=self.genesis.time_ms,
            transitions_root=EMPTY_TRIE_ROOT,
            certified_height=Height(0),
            last_certificate_hash=ZERO_HASH,
            effects_head=ZERO_HASH,
        )
        inputs = BlockInput((), self.genesis.base_fee_wei, self.genesis.gas_limit)
        block = seal(Applied((), (), (), 0), extension, None, commit.root, inputs)
        # The document's hash stands where a parent's would: block 0 commits to every field.
        header = block.header._replace(parent_hash=document_hash(self.genesis))
        block = block._replace(header=header, hash=header_hash(header))
        self.store.save_block(block, (), commit)
        state = self.states.flat(self._kv.snapshot())
        return Head(block, (), state, ledger.derive(state))

    def _open_head(self, block: Block) -> Head:
        root = block.header.state_root
        if self.states.flat_root() != root:
            self.states.move_flat(root)
        receipts = self.store.load_receipts(block.hash)
        assert receipts is not None, "receipts are written with their block"
        state = self.states.flat(self._kv.snapshot())
        derived = Derived(state, {}, None)
        derived.load(self._ledger(state, derived, block, block.extension.time_ms).market_ids)
        return Head(block, receipts, state, derived)

    def _ledger(
        self, state: StateReader, derived: Derived, parent: Block, time_ms: TimeMs
    ) -> StateLedger:
        moment = Moment(Height(parent.header.number + 1), time_ms, parent.extension.time_ms)
        return StateLedger(state, derived, moment, self.genesis.chain_id)


def seal(
    applied: Applied,
    extension: Extension,
    parent: Header | None,
    state_root: Hash32,
    inputs: BlockInput,
) -> Block:
    """Build the block of what was applied; None as parent makes block 0."""
    extension = extension._replace(transitions_root=ordered_root(applied.transitions))
    header = Header(
        parent_hash=ZERO_HASH if parent is None else header_hash(parent),
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=FEES,
        state_root=state_root,
        transactions_root=ordered_root([tx.raw for tx in applied.transactions]),
        receipts_root=ordered_root([encode_receipt(each) for each in applied.receipts]),
        logs_bloom=bloom_of([log for receipt in applied.receipts for log in receipt.logs]),
        difficulty=0,
        number=Height(0 if parent is None else parent.number + 1),
        gas_limit=inputs.gas_limit,
        gas_used=applied.gas_used,
        timestamp=extension.time_ms // 1000,
        extra_data=Hash32(keccak256(encode_extension(extension))),
        prev_randao=ZERO_HASH,
        nonce=bytes(8),
        base_fee=inputs.base_fee,
        withdrawals_root=EMPTY_TRIE_ROOT,
    )
    return Block(
        header_hash(header),
        header,
        extension,
        applied.transactions,
        applied.transitions,
        block_size(header, applied.transactions),
    )


def _may_match(
    bloom: bytes, addresses: Sequence[Address], topics: Sequence[Sequence[Hash32]]
) -> bool:
    wanted = [addresses, *topics]
    return all(
        not choices or any(bloom_contains(bloom, choice) for choice in choices)
        for choices in wanted
    )


def _matches(log: Log, addresses: Sequence[Address], topics: Sequence[Sequence[Hash32]]) -> bool:
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(
        not choices or topic in choices for choices, topic in zip(topics, log.topics, strict=False)
    )
