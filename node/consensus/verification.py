"""Re-execute and compare everything that a database holds; nothing is written into it.

Each block is executed from its parent's stored state, whose nodes are checked against their hashes
as they are read, so that by induction every state follows from genesis (or from the state that the
examination starts at). Compared are, in this order: the rows that name the block, senders, its
author's signature, certificates, header, body, transitions, result, receipts. Every so many blocks
and at the end the full sweep runs over the whole state (RULES I1 to I9); at the end the flat table
is compared with the trie, and what the disputes say is checked. The first difference ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from node.chain import keys
from node.chain.block import Block, decode_wire_block, encode_wire_block, header_hash
from node.chain.blockchain import Blockchain, Executed, Head
from node.chain.certificate import Certificate, proposal_bytes, verify_certificate
from node.chain.derived import Derived
from node.chain.development import check_native_state
from node.chain.fill_table import FillTable
from node.chain.genesis import Genesis
from node.chain.ledger import Moment, StateLedger
from node.chain.store import BlockStore, Place
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.validation import compare_changes, validate_result
from node.consensus.dispute import decode_dispute, identity_of, shorten, verify_dispute
from node.crypto import ed25519_verify, keccak256
from node.errors import (
    DatabaseMismatch,
    InvalidBlock,
    InvalidCertificate,
    InvalidDispute,
    InvariantViolation,
    MissingState,
    OperatorError,
    StateMismatch,
    show,
)
from node.perp.invariants import check_all
from node.snapshot.apply import check_catch_up
from node.snapshot.fork import build_fork_block
from node.snapshot.plan import decode_plan
from node.state.account import encode_account
from node.state.flat import flat_root
from node.state.kv import KeyValue, MemoryDb
from node.state.overlay import Overlay
from node.state.store import Changes, State
from node.system.contracts import TOKEN
from node.system.invariants import check_state
from node.units import Address, Hash32, Height

SWEEP_EVERY = 500
"""Blocks between two full sweeps."""
ACCOUNT_ROW_SIZE = 21
"""Of a flat row without a record's key: its prefix and the address."""


class Verified(NamedTuple):
    """What was executed again and found the same."""

    first: Height
    last: Height
    head_hash: Hash32
    state_root: Hash32
    transactions: int
    transitions: int
    signatures: int
    """Of the blocks' author."""
    certificates: int
    disputes: int
    sweeps: int
    records: int
    """Of the head's state, compared in both of their tables."""


Progress = Callable[[Height, Height], None]
"""Called with each height that was checked, and the last."""


def verify_database(
    genesis: Genesis,
    database: KeyValue,
    *,
    from_height: Height | None = None,
    sweep_every: int = SWEEP_EVERY,
    on_progress: Progress = lambda height, last: None,
) -> Verified:
    """Check a stopped node's database from genesis, or from the state before `from_height`.

    Raises DatabaseMismatch with the first difference; OperatorError kinds if there is no chain of
    this genesis, or no state to begin with.
    """
    return _Verification(genesis, database).run(from_height, sweep_every, on_progress)


class _Verification:
    """One examination and what it has counted."""

    def __init__(self, genesis: Genesis, database: KeyValue) -> None:
        if database.get(keys.HEAD_ROW) is None:
            raise OperatorError("the database holds no chain: name another --data-dir")
        overlay = Overlay(database)
        self._database = database
        self._genesis = genesis
        self._chain = Blockchain(genesis, overlay, BlockStore(overlay, None))
        self._store = self._chain.store
        self._fills = FillTable(self._store)
        self._last = self._chain.head.block
        self._transactions = 0
        self._transitions = 0
        self._signatures = 0
        self._certificates = 0
        self._sweeps = 0

    def run(self, from_height: Height | None, sweep_every: int, on_progress: Progress) -> Verified:
        """Check everything in order."""
        last = self._last.header.number
        if from_height is not None and not 1 <= from_height <= max(last, 1):
            raise OperatorError(f"--from {from_height}: the chain has blocks 1 to {last}")
        first = self._find_first() if from_height is None else from_height
        self._check_genesis()
        parent = self._load(Height(first - 1))
        self._go_to(parent)
        self._sweep()
        on_progress(Height(first - 1), last)
        for height in range(first, last + 1):
            block = self._load(Height(height))
            self._check_block(block, parent)
            if height % sweep_every == 0 and height < last:
                self._sweep()
            parent = block
            on_progress(Height(height), last)
        if last >= first:
            self._sweep()
        return Verified(
            first=Height(first),
            last=last,
            head_hash=self._last.hash,
            state_root=self._last.header.state_root,
            transactions=self._transactions,
            transitions=self._transitions,
            signatures=self._signatures,
            certificates=self._certificates,
            disputes=self._check_disputes(),
            sweeps=self._sweeps,
            records=self._check_flat_table(),
        )

    # --- where to begin ---------------------------------------------------------------------------

    def _find_first(self) -> Height:
        """Return the height after the oldest block whose state is kept; from there on all must be.

        That is 1, unless the database was restored from a snapshot, or pruned.
        """
        last = self._last.header.number
        for height in range(last):
            block = self._chain.block_at(Height(height))
            if block is not None and self._has_state(block):
                return Height(height + 1)
        return Height(last + 1)

    def _has_state(self, block: Block) -> bool:
        try:
            self._chain.states.at(block.header.state_root)
        except MissingState:
            return False
        return True

    def _check_genesis(self) -> None:
        """Make block 0 again out of the document."""
        kv = MemoryDb()
        made = Blockchain(self._genesis, kv, BlockStore(kv, None)).head.block
        if self._chain.genesis_hash != made.hash:
            raise _difference(Height(0), "hash", self._chain.genesis_hash, made.hash)

    def _go_to(self, block: Block) -> None:
        """Stand on a block, with everything derived made anew from its trie."""
        try:
            state = self._chain.states.at(block.header.state_root)
        except MissingState:
            height = block.header.number
            raise OperatorError(
                f"--from {height + 1}: the state of block {height} is not kept here: "
                f"begin at {self._find_first()}"
            ) from None
        receipts = self._store.load_receipts(block.hash)
        self._chain.head = Head(block, receipts or (), state, Derived(state, {}, None))

    # --- a block ----------------------------------------------------------------------------------

    def _load(self, height: Height) -> Block:
        """Return a canonical block, its own rows checked: index, hash, bloom, transactions."""
        named = self._store.load_canonical(height)
        block = None if named is None else self._store.load_block(named)
        if named is None or block is None:
            raise _difference(height, "canonical row", named or "absent", "a stored block")
        for where, value in (("hash", block.hash), ("canonical row", named)):
            if value != header_hash(block.header):
                raise _difference(height, where, value, header_hash(block.header))
        _same(height, "number", block.header.number, height)
        blooms = dict(self._store.blooms(height, height))
        bloom = block.header.logs_bloom
        _same(height, "bloom row", blooms.get(height, bytes(len(bloom))), bloom)
        for index, tx in enumerate(block.transactions):
            place = self._store.load_place(tx.hash)
            _same(height, f"transactions[{index}].place", place, Place(block.hash, index))
        return block

    def _check_block(self, block: Block, parent: Block) -> None:
        height = block.header.number
        self._check_senders(block)
        self._check_signatures(block)
        named = self._chain.block_at(block.extension.certified_height)
        certificate = None if named is None else self._store.load_certificate(named.hash)
        try:
            executed = self._recompute(block, parent, certificate)
        except InvalidBlock as refusal:
            raise _from_refusal(refusal) from refusal
        try:
            validate_result(block, executed.block)
        except StateMismatch as refusal:
            raise self._find_record(block, executed, refusal) from refusal
        except InvalidBlock as refusal:
            raise _from_refusal(refusal) from refusal
        receipts = self._store.load_receipts(block.hash) or ()
        _same(height, "receipts", len(receipts), len(executed.receipts))
        for index, (was, recomputed) in enumerate(zip(receipts, executed.receipts, strict=True)):
            for field, left, right in zip(was._fields, was, recomputed, strict=True):
                _same(height, f"receipts[{index}].{field}", left, right)
        for row, bars in self._fills.build_rows(block):
            _same(height, "candles", self._store.kv.get(row), bars)
        self._transactions += len(block.transactions)
        self._transitions += len(block.transitions)
        state = self._chain.states.at(block.header.state_root)
        derived = executed.ledger.derive(state)
        self._chain.head = Head(block, executed.receipts, state, derived)

    def _recompute(self, block: Block, parent: Block, certificate: Certificate | None) -> Executed:
        """Execute a block again; a fork's is built again, from the plan that the council signed."""
        if block.extension.fork_id == parent.extension.fork_id:
            people = [tx for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT or tx.data]
            check_catch_up(self._chain, block.header.number, block.extension.time_ms, people)
            return self._chain.recompute(block, certificate)
        height = block.header.number
        plan_hash = Hash32(block.transactions[0].data) if block.transactions else Hash32(b"")
        document = self._database.get(keys.plan_row(plan_hash))
        _same(height, "fork plan", None if document is None else keccak256(document), plan_hash)
        assert document is not None, "it has a hash"
        return build_fork_block(self._chain, decode_plan(document))

    def _check_senders(self, block: Block) -> None:
        """Recover every sender: our own disk keeps them beside the transactions."""
        recovered = decode_wire_block(encode_wire_block(block))
        for index, (was, again) in enumerate(
            zip(block.transactions, recovered.transactions, strict=True)
        ):
            where = f"transactions[{index}].sender"
            _same(block.header.number, where, was.sender, again.sender)

    def _check_signatures(self, block: Block) -> None:
        height, identity = block.header.number, self._chain.identity_of(block)
        validators = self._chain.validators_of(block)
        parent = self._chain.head.block
        if validators.sequencer and block.extension.fork_id == parent.extension.fork_id:
            signature = self._store.load_signature(block.hash)
            message = proposal_bytes(identity, height, block.hash)
            if not ed25519_verify(validators.sequencer, signature, message):
                raise _difference(
                    height, "proposal signature", signature or "absent", "the sequencer's"
                )
            self._signatures += 1
        certificate = self._store.load_certificate(block.hash)
        if certificate is None:
            return
        try:
            _same(height, "certificate.block_hash", certificate.block_hash, block.hash)
            verify_certificate(certificate, identity, validators)
        except InvalidCertificate as refusal:
            raise _difference(
                height, f"certificate, {refusal.field}", refusal.value, refusal.expected
            ) from refusal
        self._certificates += 1

    def _find_record(
        self, block: Block, executed: Executed, refusal: StateMismatch
    ) -> DatabaseMismatch:
        """Name the record behind a state root that differs, if the stored state can be read."""
        try:
            theirs = self._chain.changes_of(block)
        except MissingState:
            return _from_refusal(refusal)
        found = compare_changes(theirs, executed.ledger.changes(), self._chain.head.state)
        if found is None:
            return _from_refusal(refusal)
        return _difference(block.header.number, found.field, found.value, found.expected)

    # --- a state ----------------------------------------------------------------------------------

    def _sweep(self) -> None:
        """Check the whole state of the block in hand against itself, from its trie alone."""
        block = self._chain.head.block
        self._go_to(block)
        state, derived = self._chain.head.state, self._chain.head.derived
        time_ms = block.extension.time_ms
        moment = Moment(block.header.number, time_ms, time_ms)
        ledger = StateLedger(
            state, derived, moment, self._genesis.chain_id, self._chain.genesis_hash
        )
        place = keys.TOKEN_BALANCES
        balances = (
            (Address(key[5:25]), place.codec.decode(record))
            for key, record in state.records(TOKEN, place.prefix)
        )
        try:
            check_all(ledger)
            check_state(ledger, balances)
            check_native_state(ledger, self._genesis, state.accounts())
        except InvariantViolation as violation:
            raise _difference(
                block.header.number,
                f"invariant {violation.rule}, {violation.field}",
                violation.value,
                violation.expected,
            ) from violation
        self._sweeps += 1

    def _check_flat_table(self) -> int:
        """Compare the head's flat table with its trie, row by row; return the number of records.

        One that belongs to another root is no difference: the node makes it right at its start.
        """
        root = self._last.header.state_root
        if flat_root(self._database, keys.STATE_TABLES) != root:
            return 0
        records = 0
        state = self._chain.states.at(root)
        rows = self._database.items(keys.STATE_TABLES.flat)
        for was, recomputed in zip_longest(rows, _rows_of(state)):
            if was != recomputed:
                raise self._name_row(min(each[0] for each in (was, recomputed) if each), state)
            records += len(was[0]) > ACCOUNT_ROW_SIZE
        return records

    def _name_row(self, row: bytes, state: State) -> DatabaseMismatch:
        """Return what differs in a row of the flat table."""
        address, key = Address(row[1:ACCOUNT_ROW_SIZE]), row[ACCOUNT_ROW_SIZE:]
        height = self._last.header.number
        flat = self._chain.states.flat(self._database)
        if not key:
            was, leaf = flat.get_account(address), state.get_account(address)
            return _difference(height, f"flat table, account 0x{address.hex()}", was, leaf)
        theirs, ours = flat.get_record(address, key), state.get_record(address, key)
        found = compare_changes(
            Changes(accounts={}, records={address: {key: theirs}}),
            Changes(accounts={}, records={address: {key: ours}}),
            state,
        )
        assert found is not None, "the rows differ"
        return _difference(height, f"flat table, {found.field}", found.value, found.expected)

    def _check_disputes(self) -> int:
        """Check that every dispute kept was signed by those it names; return their number."""
        disputes = [decode_dispute(data) for data in self._store.load_disputes()]
        for dispute in disputes:
            identity = identity_of(dispute, self._chain.genesis_hash, self._genesis.chain_id)
            parent = self._chain.block_at(Height(min(dispute.height, self._last.header.number)))
            assert parent is not None, "every height up to the head has a block"
            try:
                verify_dispute(dispute, identity, self._chain.validators_of(parent))
            except InvalidDispute as refusal:
                raise _difference(
                    dispute.height, "dispute", refusal.reason, "signed evidence"
                ) from refusal
        return len(disputes)


def _rows_of(state: State) -> Iterator[tuple[bytes, bytes]]:
    """Yield what a flat table of this state holds, ascending."""
    for address, leaf in state.accounts():
        row = keys.STATE_TABLES.flat + address
        yield (
            row,
            encode_account(
                leaf.nonce, leaf.balance, storage_root=leaf.storage_root, code_hash=leaf.code_hash
            ),
        )
        for key, record in state.records(address):
            yield row + key, record


def _same(height: Height, field: str, was: object, recomputed: object) -> None:
    if was != recomputed:
        raise _difference(height, field, was, recomputed)


def _difference(height: Height, field: str, was: object, recomputed: object) -> DatabaseMismatch:
    return DatabaseMismatch(height, field, shorten(show(was)), shorten(show(recomputed)))


def _from_refusal(refusal: InvalidBlock) -> DatabaseMismatch:
    """Return the sentence that a validator's dispute would say.

    A before-value goes by its field's name: what the sequencer had there was already wrong.
    """
    field = refusal.field.removesuffix("_before")
    if isinstance(refusal, InvariantViolation):
        field = f"invariant {refusal.rule}, {field}"
    return _difference(Height(refusal.height), field, refusal.value, refusal.expected)
