"""The chain: its head, how the next block is executed, and how it becomes the head.

Everything here is driven from outside: the built-in sequencer calls `execute` and `commit`, a
validator `import_block`; nothing below knows which (DESIGN section 6).

Threads: whoever makes, imports or alters blocks holds `write_lock`. A head is immutable: a reader
in another thread keeps what it holds while the next block is made. Certificates come from any
thread.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from node.chain import keys
from node.chain.block import Block, Extension, Receipt, header_hash
from node.chain.branches import build_revert, load_reverts
from node.chain.certificate import Certificate, certificate_hash, verify_certificate
from node.chain.crash import crash_point
from node.chain.derived import Derived
from node.chain.development import (
    NONE,
    Development,
    LoadState,
    Operation,
    check_native_state,
    decode_operation,
    is_operation,
)
from node.chain.domains import Identity
from node.chain.execution import Applied, BlockInput, apply_block
from node.chain.genesis import Genesis, document_hash
from node.chain.genesis_block import build_genesis_ledger
from node.chain.ledger import Moment, StateLedger
from node.chain.loading import (
    LoadedState,
    compute_changes,
    dump_state,
    merge_changes,
    open_loaded,
    parse_dump,
)
from node.chain.log_search import FoundLog, match_receipts, may_match
from node.chain.sealing import ZERO_HASH, seal
from node.chain.store import BlockStore, Revert
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.chain.validation import (
    collect_changes,
    validate_body,
    validate_result,
    validate_successor,
)
from node.errors import (
    BodyMismatch,
    EncodingError,
    HeaderMismatch,
    InvalidCertificate,
    InvalidTransaction,
    InvariantViolation,
    OperationRefused,
)
from node.governance.validators import ValidatorSet
from node.perp.invariants import check_all
from node.state.flat import untag_row
from node.state.kv import KeyValue
from node.state.store import (
    EMPTY_TRIE_ROOT,
    Changes,
    Commit,
    State,
    StateReader,
    StateStore,
)
from node.system.contracts import GOVERNANCE, TOKEN
from node.system.invariants import check_state
from node.units import Address, Hash32, Height, TimeMs

UNCERTIFIED_HALVING = 4
"""From so many uncertified blocks on, the next one has half the gas limit (DESIGN section 6)."""
_SETS_CACHED = 64


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
    certificate: Certificate | None
    """The one that the block names and its parent does not."""


class Blockchain:
    """One chain over one database; a single thread executes and commits, any thread reads."""

    def __init__(self, genesis: Genesis, kv: KeyValue, store: BlockStore) -> None:
        self.genesis = genesis
        self._kv = kv
        self.store = store
        self.states = StateStore(kv, keys.STATE_TABLES)
        self._beginners: list[Callable[[], None]] = []
        self._listeners: list[Callable[[Head], None]] = []
        self._reverted: list[Callable[[Sequence[Block]], None]] = []
        self._raised: list[Callable[[], None]] = []
        self._validator_sets: dict[Hash32, ValidatorSet] = {}
        self.write_lock = threading.RLock()
        self._certificate_lock = threading.Lock()
        self.before_apply: Callable[[StateLedger], None] | None = None
        """Faults on purpose alter a block's ledger here; None but with --faults (DESIGN 9)."""
        store.check_ownership(document_hash(genesis))
        block = store.load_head() or self._commit_genesis()
        genesis_hash = store.load_canonical(Height(0))
        assert genesis_hash is not None, "a chain has a block 0"
        self.genesis_hash = genesis_hash
        """Block 0's hash: it stands for the whole genesis document."""
        self.head = self._open_head(block)
        store.complete_tables(block)
        first = self.block_at(Height(0))
        assert first is not None, "a chain has a block 0"
        self.finalized = first
        """The newest block that a certified snapshot covers; genesis before the first."""
        self.certificate = self._load_certificate(self.head.block)
        """The newest certificate of this branch; None before the first."""
        self.reverts: Sequence[Revert] = load_reverts(store)
        """The development reverts that shaped this branch, oldest first."""

    def on_begin(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the executing thread before every block."""
        self._beginners.append(listener)

    def on_head(self, listener: Callable[[Head], None]) -> None:
        """Call `listener` in the committing thread with every new head."""
        self._listeners.append(listener)

    def on_reverted(self, listener: Callable[[Sequence[Block]], None]) -> None:
        """Call `listener` in the reverting thread with what a revert took out, newest first."""
        self._reverted.append(listener)

    def on_raised(self, listener: Callable[[], None]) -> None:
        """Call `listener`, in any thread, when more is certified or finalized than before."""
        self._raised.append(listener)

    # --- making blocks ---------------------------------------------------------------------------

    def execute(
        self,
        transactions: Sequence[Transaction],
        time_ms: TimeMs,
        certificate: Certificate | None = None,
        governance_inputs: Sequence[bytes] = (),
        development: Sequence[Operation] = (),
    ) -> Executed:
        """Execute a successor of the head; nothing is written.

        `governance_inputs`, calldata of what the council signed, go first, then `development`,
        which only a chain whose genesis says `dev` may have. The block names
        `certificate` if it is higher than its parent's, else its parent's. Raises InvalidBlock or
        InvalidTransaction if there can be no such block.
        """
        for listener in self._beginners:
            listener()
        parent = self.head
        extension = parent.block.extension._replace(time_ms=time_ms)
        if certificate is not None and certificate.height > extension.certified_height:
            extension = extension._replace(
                certified_height=certificate.height,
                last_certificate_hash=certificate_hash(certificate),
            )
        else:
            certificate = None
        if development and not self.genesis.dev:
            height = Height(parent.block.header.number + 1)
            was, expected = f"{len(development)} development operations", "none on this chain"
            raise BodyMismatch(height, "transactions", was, expected)
        state, derived = parent.state, parent.derived
        loaded = self._open_loaded(development, time_ms)
        if loaded is not None:
            state, derived = loaded, Derived(loaded, {}, None)
        ledger = self._ledger(state, derived, parent.block, time_ms)
        if self.before_apply is not None:
            self.before_apply(ledger)
        gas_limit = self.compute_gas_limit(extension.certified_height)
        inputs = BlockInput(
            transactions, self.genesis.base_fee_wei, gas_limit, governance_inputs, development
        )
        applied = apply_block(ledger, inputs)
        dev_epoch = max(extension.dev_epoch, ledger.status.dev_epoch)
        extension = extension._replace(dev_epoch=dev_epoch)
        changes = ledger.changes()
        if loaded is not None:
            derived.load(ledger.market_ids)
            changes = merge_changes(compute_changes(parent.state, loaded), changes)
        commit = self.states.commit(parent.block.header.state_root, changes)
        block = seal(applied, extension, parent.block.header, commit.root, inputs)
        crash_point("block: executed")
        return Executed(block, applied.receipts, ledger, commit, certificate)

    def compute_gas_limit(self, certified_height: int) -> int:
        """Return the gas limit of the head's successor that names such a certificate; floor.

        With validators it halves from 4 uncertified blocks on: who lags can catch up.
        """
        height = self.head.block.header.number
        is_lagging = height - certified_height >= UNCERTIFIED_HALVING
        gas_limit = self.genesis.gas_limit
        return gas_limit // 2 if is_lagging and self.next_validators().members else gas_limit

    def commit(self, executed: Executed, *, signature: bytes = b"") -> None:
        """Write an executed block, with its author's signature, and make it the head."""
        block = executed.block
        assert block.header.parent_hash == self.head.block.hash, "executed on another head"
        self.store.save_block(
            block,
            executed.receipts,
            executed.commit,
            signature=signature,
            certificate=executed.certificate,
        )
        if executed.certificate is not None:
            self._raise_certificate(executed.certificate)
        state = self.states.flat(self._kv.snapshot())
        self.head = Head(block, executed.receipts, state, executed.ledger.derive(state))
        for listener in self._listeners:
            listener(self.head)

    def import_block(
        self, block: Block, *, certificate: Certificate | None = None, signature: bytes = b""
    ) -> None:
        """Re-execute somebody's block on the head and commit it if it is right.

        `certificate` is the one that the block names, needed where its parent names another.
        Raises InvalidBlock with the first difference; nothing is written then.
        """
        with self.write_lock:
            executed = self.recompute(block, certificate)
            validate_result(block, executed.block)
            self.commit(executed, signature=signature)

    def recompute(self, block: Block, certificate: Certificate | None) -> Executed:
        """Execute somebody's block on the head, whatever its results say; nothing is written.

        Raises InvalidBlock if what it chose (parent, time, certificate, body) can't be.
        """
        validate_successor(block, self.head.block)
        self._validate_certificate(block, certificate)
        height, genesis = block.header.number, self.genesis
        gas_limit = self.compute_gas_limit(block.extension.certified_height)
        if block.header.gas_limit != gas_limit:
            raise HeaderMismatch(height, "gas_limit", block.header.gas_limit, gas_limit)
        validate_body(
            block,
            chain_id=genesis.chain_id,
            base_fee=genesis.base_fee_wei,
            gas_limit=genesis.gas_limit,
        )
        try:
            chosen = inputs_of(block)
        except EncodingError as error:
            raise BodyMismatch(height, "transactions", str(error), "operations") from error
        time_ms = block.extension.time_ms
        try:
            return self.execute(
                chosen.transactions,
                time_ms,
                certificate,
                chosen.governance_inputs,
                chosen.development,
            )
        except InvalidTransaction as refusal:
            field = refusal.__notes__[-1]
            raise BodyMismatch(height, field, "included", str(refusal)) from refusal

    def refresh_head(self) -> None:
        """Read the head's records anew from the flat table, whatever it holds by now."""
        self.head = self._open_head(self.head.block)

    # --- certificates ----------------------------------------------------------------------------

    def add_certificate(self, certificate: Certificate) -> bool:
        """Take a certificate of a block of this branch, and store it; False if it is not news.

        Raises InvalidCertificate unless it proves the block. Any thread may call this.
        """
        height, block_hash, _ = certificate
        block = self.block_at(height) if 0 < height <= self.head.block.header.number else None
        if block is None or block.hash != block_hash:
            expected = "no such block" if block is None else block.hash
            raise InvalidCertificate(height, "block_hash", block_hash, expected)
        if self.certificate is not None and height <= self.certificate.height:
            return False
        verify_certificate(certificate, self.identity_of(block), self.validators_of(block))
        self.store.save_certificate(certificate)
        self._raise_certificate(certificate)
        return True

    def certified_height(self) -> Height:
        """Return up to where the chain is certified; all of it where there are no validators."""
        if not self.next_validators().members:
            return self.head.block.header.number
        return Height(0) if self.certificate is None else self.certificate.height

    def safe_block(self) -> Block:
        """Return the newest certified block."""
        certificate = self.certificate
        if certificate is None or not self.next_validators().members:
            block = self.block_at(self.certified_height())
        else:  # by its hash: while a fork flips the index, the height may name another block
            block = self.store.load_block(certificate.block_hash)
        assert block is not None, "a certificate is taken for a block of this branch"
        return block

    def next_epoch(self) -> int:
        """Return the development epoch of the head's successor."""
        extension = self.head.block.extension
        last = self.reverts[-1] if self.reverts else None
        if last is None or last.fork_id != extension.fork_id:  # a fork begins with its snapshot's
            return extension.dev_epoch
        return max(last.dev_epoch, extension.dev_epoch)

    def next_identity(self) -> Identity:
        """Return the branch that the head's successor is signed for."""
        return self.identity_of(self.head.block)._replace(dev_epoch=self.next_epoch())

    def identity_of(self, block: Block) -> Identity:
        """Return the branch that signatures over a block are for."""
        extension = block.extension
        return Identity(
            self.genesis_hash, self.genesis.chain_id, extension.fork_id, extension.dev_epoch
        )

    def next_validators(self) -> ValidatorSet:
        """Return who attests the head's successor."""
        return self._validators_in(self.head.block)

    def validators_of(self, block: Block) -> ValidatorSet:
        """Return who attests a block: the set in its parent's state; block 0 is nobody's to attest.

        Raises MissingState if the parent's state is not kept.
        """
        parent = self.store.load_block(block.header.parent_hash)
        return self._validators_in(block if parent is None else parent)

    def _validators_in(self, block: Block) -> ValidatorSet:
        root = block.header.state_root
        validators = self._validator_sets.get(root)
        if validators is None:
            data = self.state_at(block).get_record(GOVERNANCE, keys.VALIDATORS.key(None))
            assert data is not None, "genesis writes the validators"
            validators = keys.VALIDATORS.codec.decode(data)
            if len(self._validator_sets) >= _SETS_CACHED:
                self._validator_sets.clear()
            self._validator_sets[root] = validators
        return validators

    def _validate_certificate(self, block: Block, certificate: Certificate | None) -> None:
        """Check that a block names its parent's certificate, or a higher one of its own branch."""
        height, extension = block.header.number, block.extension
        named, at_least = extension.certified_height, self.head.block.extension.certified_height
        if named < at_least:
            raise HeaderMismatch(
                height, "extension.certified_height", named, f"at least {at_least}"
            )
        if named == at_least:
            return  # the result's comparison wants the parent's very certificate
        field = "extension.last_certificate_hash"
        if certificate is None or certificate_hash(certificate) != extension.last_certificate_hash:
            expected = "no certificate" if certificate is None else certificate_hash(certificate)
            raise HeaderMismatch(height, field, extension.last_certificate_hash, expected)
        target = self.block_at(named) if named < height else None
        if certificate.height != named or target is None:
            expected = f"certificate of block {certificate.height}"
            raise HeaderMismatch(height, "extension.certified_height", named, expected)
        try:
            if certificate.block_hash != target.hash:
                raise InvalidCertificate(named, "block_hash", certificate.block_hash, target.hash)
            verify_certificate(certificate, self.identity_of(target), self.validators_of(target))
        except InvalidCertificate as refusal:
            raise HeaderMismatch(height, field, extension.last_certificate_hash, refusal) from None

    def _raise_certificate(self, certificate: Certificate) -> None:
        with self._certificate_lock:
            is_here = self.store.load_canonical(certificate.height) == certificate.block_hash
            is_news = self.certificate is None or certificate.height > self.certificate.height
            if is_here and is_news:  # a revert may have taken the block out just now
                self.certificate = certificate
        for listener in self._raised:
            listener()

    def finalize(self, block: Block) -> None:
        """Note that a certified snapshot covers a block of this branch."""
        self.finalized = block
        for listener in self._raised:
            listener()

    def _load_certificate(self, head: Block) -> Certificate | None:
        """Find the newest certificate on disk: above the one that the head names, or that one."""
        block: Block | None = head
        named = head.extension.certified_height
        while block is not None and block.header.number > 0:
            certificate = self.store.load_certificate(block.hash)
            if certificate is not None or block.header.number <= named:
                return certificate
            block = self.store.load_block(block.header.parent_hash)
        return None

    def changes_of(self, block: Block) -> Changes:
        """Return what a block changed in its parent's state; MissingState if one is not kept."""
        parent = self.store.load_block(block.header.parent_hash)
        assert parent is not None, "only block 0 has no parent"
        return collect_changes(self.proof_state(parent), self.proof_state(block))

    def switch_head(self, block: Block) -> None:
        """Make a block of another branch the head, whose rows say already that it is (a fork).

        Certificate and `finalized` go back with it: only a council's fork moves them so.
        """
        with self.write_lock:
            self.head = self._open_head(block)
            self.certificate = self._load_certificate(self.head.block)
            finalized = self.finalized.header
            if self.store.load_canonical(finalized.number) != self.finalized.hash:
                parent = self.store.load_block(block.header.parent_hash)
                assert parent is not None, "a fork begins at a block that is kept"
                self.finalized = parent
        for listener in self._listeners:
            listener(self.head)

    # --- development -----------------------------------------------------------------------------

    def revert_to(
        self,
        block: Block,
        dev_epoch: int,
        *,
        offset_ms: int,
        derived: Derived | None = None,
    ) -> None:
        """Make an earlier block of this branch the head again (DESIGN section 9).

        What came after it stays on disk by hash, and is of no branch. `dev_epoch` is the next
        block's, `offset_ms` the time offset that it begins with. `derived`, if known, is what a
        head at this block had in memory, else it is made anew. The flat table goes back by the
        difference of the two states, unless it was distrusted.
        """
        with self.write_lock:
            left, above = [], self.head.block
            while above.hash != block.hash:
                left.append(above)
                parent = self.store.load_block(above.header.parent_hash)
                assert parent is not None, "a revert stays on its own branch"
                above = parent
            revert = Revert(
                block.extension.fork_id,
                dev_epoch,
                block.header.number,
                block.hash,
                offset_ms,
                self.head.block.header.number,
                self.head.block.hash,
            )
            rows = build_revert(self.store, revert, left)
            crash_point("revert: before the batch")
            self._kv.write(rows.puts, rows.deletes)
            crash_point("revert: after the batch")
            self.store.save_head_file(block.header.number, block.hash)
            self.reverts = load_reverts(self.store)
            head = self._open_head(block, derived)
            with self._certificate_lock:  # first: nobody shall see it above the head
                self.certificate = self._load_certificate(block)
            self.head = head
            if self.finalized.header.number > block.header.number:
                first = self.block_at(Height(0))
                assert first is not None, "a chain has a block 0"
                self.finalized = first  # until whoever knows the snapshots says more
            for listener in self._reverted:
                listener(left)

    def distrust_flat_table(self) -> None:
        """Have the flat table made anew from the trie by the next revert or start."""
        with self.write_lock:
            self._kv.write([untag_row(keys.STATE_TABLES)])

    def _open_loaded(self, operations: Sequence[Operation], time_ms: TimeMs) -> LoadedState | None:
        """Return the state that an operation loads, checked whole; None if none does."""
        contents = [each.content for each in operations if isinstance(each, LoadState)]
        if not contents:
            return None
        parent = self.head.block
        height = Height(parent.header.number + 1)
        try:
            dump = parse_dump(contents[-1])
            if dump.genesis_hash != self.genesis_hash:
                raise OperationRefused(
                    f"the state is of genesis 0x{dump.genesis_hash.hex()}, "
                    f"not of 0x{self.genesis_hash.hex()}"
                )
            if dump.time_ms >= time_ms:
                raise OperationRefused(f"its time is {dump.time_ms} ms, the block's {time_ms}")
            loaded = open_loaded(dump, self.head.state, parent)
            ledger = self._ledger(loaded, Derived(loaded, {}, None), parent, time_ms)
            check_all(ledger)
            balances = loaded.records(TOKEN, keys.TOKEN_BALANCES.prefix)
            decode = keys.TOKEN_BALANCES.codec.decode
            check_state(ledger, ((Address(key[5:25]), decode(row)) for key, row in balances))
            check_native_state(ledger, self.genesis, loaded.accounts())
        except (OperationRefused, InvariantViolation) as refusal:
            reason = OperationRefused(str(refusal))
            raise BodyMismatch(height, "loaded state", "included", str(refusal)) from reason
        return loaded

    def dump_head(self) -> bytes:
        """Return the head's state as `LoadState` takes it; raise OperationRefused if too long."""
        head = self.head
        return dump_state(head.state, head.block, self.genesis_hash)

    def development(self) -> Development:
        """Return what development operations have added up to at the head."""
        data = self.head.state.get_record(GOVERNANCE, keys.DEVELOPMENT.key(None))
        return NONE if data is None else keys.DEVELOPMENT.codec.decode(data)

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

    def next_ledger(self, time_ms: TimeMs) -> StateLedger:
        """Return a throw-away ledger of the head's successor at this time."""
        head = self.head
        return self._ledger(head.state, head.derived, head.block, time_ms)

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
            if not may_match(bloom, addresses, topics):
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
        return match_receipts(block, receipts, addresses, topics)

    # --- beginnings ------------------------------------------------------------------------------

    def _commit_genesis(self) -> Block:
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
        return block

    def _open_head(self, block: Block, derived: Derived | None = None) -> Head:
        root = block.header.state_root
        if self.states.flat_root() != root:
            self.states.move_flat(root)
        receipts = self.store.load_receipts(block.hash)
        assert receipts is not None, "receipts are written with their block"
        state = self.states.flat(self._kv.snapshot())
        if derived is None:
            derived = Derived(state, {}, None)
            derived.load(self._ledger(state, derived, block, block.extension.time_ms).market_ids)
        return Head(block, receipts, state, derived)

    def _ledger(
        self, state: StateReader, derived: Derived, parent: Block, time_ms: TimeMs
    ) -> StateLedger:
        moment = Moment(Height(parent.header.number + 1), time_ms, parent.extension.time_ms)
        return StateLedger(state, derived, moment, self.genesis.chain_id, self.genesis_hash)


def inputs_of(block: Block) -> BlockInput:
    """Return what a block's maker chose; EncodingError if it carries an operation that is none."""
    system = [tx.data for tx in block.transactions if tx.sender == SYSTEM_ACCOUNT and tx.data]
    return BlockInput(
        [tx for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT],
        block.header.base_fee,
        block.header.gas_limit,
        [data for data in system if not is_operation(data)],
        development_of(block),
    )


def development_of(block: Block) -> list[Operation]:
    """Return the development operations that a block carries; EncodingError if one is none."""
    return [
        decode_operation(tx.data)
        for tx in block.transactions
        if tx.sender == SYSTEM_ACCOUNT and is_operation(tx.data)
    ]
