"""The blocks of a range executed again, as they should have been, on a state beside the chain's.

The seam is `apply_block`'s own arguments: a ledger and a block's inputs. The ledger stands on the
state before the range with what the replay has changed since; the inputs are the block's, as
corrected. So nothing here changes state but the rules, and nothing that a node runs knows of it.
What is kept is each record that the range touched, once.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from node.audit.corrections import Corrections, correct_block, find_funding, find_reported
from node.chain import keys
from node.chain.block import Block, Extension
from node.chain.blockchain import Blockchain, inputs_of
from node.chain.derived import Derived
from node.chain.development import LoadState
from node.chain.execution import Applied, BlockInput, apply_block
from node.chain.ledger import Moment, StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.errors import (
    BodyMismatch,
    CorrectionsError,
    InvalidBlock,
    InvalidTransaction,
    ReplayImpossible,
)
from node.perp.funding import get_funding
from node.snapshot.fork import apply_fork
from node.snapshot.plan import Plan, decode_plan
from node.state.account import AccountLeaf, Changes
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import StateReader
from node.units import Address, Hash32, Height, TimeMs


class CounterfactualState:
    """A state, and over it in memory what a replay has changed; read as any other."""

    def __init__(self, base: StateReader) -> None:
        self._base = base
        self.changes = Changes(accounts={}, records={})

    def take(self, changes: Changes) -> None:
        """Let a block's changes be part of the state."""
        self.changes.accounts.update(changes.accounts)
        for address, rows in changes.records.items():
            self.changes.records.setdefault(address, {}).update(rows)

    @property
    def root(self) -> Hash32:
        """No root: it is known once the changes are committed."""
        return EMPTY_TRIE_ROOT

    def get_account(self, address: Address) -> AccountLeaf | None:
        """Return an account, None if there is none."""
        if address not in self.changes.accounts:
            return self._base.get_account(address)
        changed = self.changes.accounts[address]
        assert changed is not None, "a block removes no account"
        return AccountLeaf(changed.nonce, changed.balance, EMPTY_TRIE_ROOT, changed.code_hash)

    def get_record(self, address: Address, key: bytes) -> bytes | None:
        """Return the record under a 32-byte key, None if there is none."""
        rows = self.changes.records.get(address, {})
        return rows[key] if key in rows else self._base.get_record(address, key)

    def records(self, address: Address, key_prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, record) of an address's keys that begin so, ascending by key."""
        rows = self.changes.records.get(address, {})
        new = sorted(
            (key, record)
            for key, record in rows.items()
            if record is not None and key.startswith(key_prefix)
        )
        old = (row for row in self._base.records(address, key_prefix) if row[0] not in rows)
        return heapq.merge(old, new)

    def accounts(self) -> Iterator[tuple[Address, AccountLeaf]]:
        """Return every account, ascending by address."""
        addresses = {address for address, _ in self._base.accounts()} | set(self.changes.accounts)
        found = ((address, self.get_account(address)) for address in sorted(addresses))
        return ((address, leaf) for address, leaf in found if leaf is not None)


class Base(NamedTuple):
    """What stands before the range: a block whose state is kept, if not its body."""

    height: Height
    state_root: Hash32
    extension: Extension


class Excluded(NamedTuple):
    """What could not be in a block of the counterfactual, and why."""

    tx_hash: Hash32
    reason: str


class Replayed(NamedTuple):
    """What a block would have done."""

    applied: Applied
    excluded: tuple[Excluded, ...]


class Replay:
    """A replay in progress: each block of the range once, in order."""

    def __init__(self, blockchain: Blockchain, base: Base, corrections: Corrections) -> None:
        """Begin after `base`; raises MissingState if its state is not kept."""
        self._blockchain = blockchain
        self._base_root = base.state_root
        self._corrections = corrections
        self._state = CounterfactualState(blockchain.states.at(base.state_root))
        self._derived = Derived(self._state, {}, None)
        self._extension = base.extension
        self._height = base.height
        self._left_out: set[Hash32] = set()
        """What of `left_out` was found so far."""
        self._unreported = list(corrections.prices)
        """The prices that nobody has reported instead of so far."""

    def replay(self, block: Block) -> Replayed:
        """Execute the next block as it should have been; ReplayImpossible if it can't be."""
        height = block.header.number
        self._meet(block)
        self._correct_funding(height)
        moment = Moment(height, block.extension.time_ms, self._extension.time_ms)
        try:
            if block.extension.fork_id != self._extension.fork_id:
                ledger = self._ledger(moment)
                replayed = Replayed(apply_fork(ledger, self._load_plan(block)), ())
            else:
                ledger, replayed = self._execute(block, moment)
        except InvalidBlock as refusal:
            raise ReplayImpossible(
                f"no such block can be with what is corrected: {refusal}"
            ) from refusal
        self._advance(ledger)
        self._extension, self._height = block.extension, height
        return replayed

    def ledger(self) -> StateLedger:
        """Return a throw-away ledger on the state after the newest block."""
        time_ms = self._extension.time_ms
        return self._ledger(Moment(Height(self._height + 1), TimeMs(time_ms + 1), time_ms))

    def compute_root(self) -> Hash32:
        """Return the state root after the newest block; nothing is written."""
        return self._blockchain.states.commit(self._base_root, self._state.changes).root

    def require_used(self) -> None:
        """Refuse corrections of what was in no block that was replayed."""
        for tx_hash in sorted(self._corrections.left_out - self._left_out):
            raise CorrectionsError(
                f"left_out: 0x{tx_hash.hex()} is in no block of the range: check the hash"
            )
        for span, *_ in self._unreported:
            raise CorrectionsError(
                f"prices of market {span.market}, blocks {span.first} to {span.last}: "
                "nobody reported one there, so none can be corrected: check market and blocks"
            )

    def _ledger(self, moment: Moment) -> StateLedger:
        chain = self._blockchain
        return StateLedger(
            self._state, self._derived, moment, chain.genesis.chain_id, chain.genesis_hash
        )

    def _advance(self, ledger: StateLedger) -> None:
        self._state.take(ledger.changes())
        self._derived = ledger.derive(self._state)

    def _meet(self, block: Block) -> None:
        """Note which corrections meet the block; refuse what no replay can follow."""
        height = block.header.number
        for tx in block.transactions:
            if tx.hash in self._corrections.left_out:
                if tx.sender == SYSTEM_ACCOUNT and not tx.data:
                    raise CorrectionsError(
                        f"left_out: 0x{tx.hash.hex()} is what the protocol did in block {height}: "
                        "it follows from the inputs, leave out one of these"
                    )
                self._left_out.add(tx.hash)
        if self._unreported:
            reported = find_reported(block)
            self._unreported = [
                each
                for each in self._unreported
                if each.span.market not in reported
                or not each.span.first <= height <= each.span.last
            ]
        if any(isinstance(each, LoadState) for each in inputs_of(block).development):
            raise ReplayImpossible(
                f"block {height} loads a whole state: begin after it, or end before it"
            )

    def _correct_funding(self, height: Height) -> None:
        """Let the block begin with the funding numbers that it should have begun with.

        They are no money: the pool owes what positions are due, whatever the index (I3).
        """
        corrections = find_funding(self._corrections, height)
        if not corrections:
            return
        ledger = self.ledger()
        for span, index, rate in corrections:
            if span.market not in ledger.market_ids:
                raise CorrectionsError(
                    f"funding: there is no market {span.market} before block {height}"
                )
            funding = get_funding(ledger, span.market)
            if index is not None:
                funding = funding._replace(index=index)
            if rate is not None:
                funding = funding._replace(rate_ppb=rate)
            ledger.fundings.set(span.market, funding)
        self._advance(ledger)

    def _execute(self, block: Block, moment: Moment) -> tuple[StateLedger, Replayed]:
        """Execute the corrected block, without what can't be in it.

        A transaction whose sender can't pay is invalid in a block, an action that its rule
        refuses too: each is left out and the block is executed again, on a ledger of its own.
        """
        inputs = inputs_of(correct_block(block, self._corrections))
        excluded: list[Excluded] = []
        while True:
            ledger = self._ledger(moment)
            system_nonce = ledger.get_nonce(SYSTEM_ACCOUNT)
            try:
                return ledger, Replayed(apply_block(ledger, inputs), tuple(excluded))
            except InvalidTransaction as refusal:
                # The note counts the whole body: what is not people's has used a system nonce.
                place = _place_of(refusal.__notes__[-1])
                place -= ledger.get_nonce(SYSTEM_ACCOUNT) - system_nonce
                transactions = list(inputs.transactions)
                excluded.append(Excluded(transactions.pop(place).hash, str(refusal)))
                inputs = inputs._replace(transactions=transactions)
            except BodyMismatch as refusal:
                inputs = _without_action(inputs, block, refusal, excluded)

    def _load_plan(self, block: Block) -> Plan:
        digest = Hash32(block.transactions[0].data) if block.transactions else Hash32(b"")
        document = self._blockchain.store.kv.get(keys.plan_row(digest))
        if document is None:
            raise ReplayImpossible(
                f"block {block.header.number} begins fork {block.extension.fork_id}, whose plan is "
                "not kept here: begin after it, or use another node's data directory"
            )
        return decode_plan(document)


def _place_of(field: str) -> int:
    """Return which item of a body "transactions[7]" is."""
    return int(field.removeprefix("transactions[").removesuffix("]"))


def _without_action(
    inputs: BlockInput, block: Block, refusal: BodyMismatch, excluded: list[Excluded]
) -> BlockInput:
    """Return the inputs without the council's action that was refused; else raise the refusal."""
    actions = list(inputs.governance_inputs)  # they are the first of the body
    names = [f"transactions[{place}]" for place in range(len(actions))]
    if refusal.value != "included" or refusal.field not in names:
        raise refusal
    data = actions.pop(names.index(refusal.field))
    carried = [tx for tx in block.transactions if tx.sender == SYSTEM_ACCOUNT and tx.data == data]
    excluded.append(Excluded(carried[0].hash, refusal.expected))
    return inputs._replace(governance_inputs=actions)
