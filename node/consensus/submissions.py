"""What the council signed, on its way into a block, or into a hold where there will be none.

An action is checked against the head before it is taken: who signed, and whether its rule would
carry it out now. It then waits for the next block, which carries it at no cost to anybody. Where no
block can be built, a halt becomes a hold and a resume ends one (RECOVERY, Halt); all else is kept
for the first block that can be, and a fork leaves it behind with its branch. A hold that a resume
ended waits on disk to be recorded by that block: every action ends in the audit log.

A block that passes over an action that waits and is good ignores it; validators count (RECOVERY,
Governance). While the chain is HALTED (RULES X1) blocks are made for nothing else, so that nothing
is sealed unless an action waits, here or as a transaction, or a maintenance window is over (X3).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import structlog

from node.chain import keys
from node.chain.blockchain import Blockchain, Head
from node.chain.crash import crash_point
from node.chain.execution import charge, execute, transaction_gas
from node.chain.ledger import StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction, effective_gas_price
from node.consensus.hold import Held, Hold
from node.consensus.mempool import Mempool
from node.encoding import codec_of
from node.errors import (
    ActionExpired,
    ActionImpossible,
    ActionNonceUsed,
    InvalidTransaction,
    MalformedCalldata,
    Refusal,
)
from node.governance.action import Halt, Resume, compute_digest, decode_action, recover_signer
from node.governance.audit import AuditEntry, append_entry, make_entry
from node.perp import modes
from node.perp.maintenance import ends_halt
from node.perp.status import Mode
from node.system.classes import ActionClass
from node.system.contracts import GOVERNANCE
from node.system.dispatch import execute_call
from node.system.governance import (
    Signed,
    decode_ended_hold,
    decode_submission,
    encode_ended_hold,
    get_domain,
    get_verified_signers,
    is_submission,
)
from node.units import Hash32, Height, TimeMs, Wei

log = structlog.get_logger()

WAITING_MAX = 64
"""Actions that wait for a block; the council signs no more at once."""


class Outcome(StrEnum):
    """What became of a submission."""

    QUEUED = "queued"
    """The next block carries it."""
    HELD = "held"
    """No block can be built: the node stands still, durably."""
    KEPT = "kept"
    """No block can be built: the first one carries it; a fork leaves it behind."""
    LIFTED = "lifted"
    """The hold is over."""


class Taken(NamedTuple):
    """A submission that was taken."""

    digest: Hash32
    """What was signed."""
    outcome: Outcome


class Waiting(NamedTuple):
    """A submission that waits for a block."""

    digest: Hash32
    """What was signed; of an ended hold, the halt."""
    data: bytes
    """Calldata of Governance."""
    since: Height
    """The head when it was taken."""
    name: str
    """For people: "Halt"."""


class EndedHold(NamedTuple):
    """A hold that a resume ended, until a block records it; a row."""

    height: Height
    """The head when the hold was laid."""
    submission: bytes
    """Both actions: calldata of Governance."""


class Body(NamedTuple):
    """What the next block is made of."""

    transactions: list[Transaction]
    governance_inputs: list[bytes]


class Submissions:
    """The actions that wait at one node, and its hold; any thread may submit."""

    def __init__(self, blockchain: Blockchain, hold: Hold) -> None:
        self._blockchain = blockchain
        self._lock = threading.Lock()
        self._waiting: dict[Hash32, Waiting] = {}
        """By digest."""
        self._listeners: list[Callable[[bytes], None]] = []
        self.hold = hold
        self._ended = self._load_ended()
        """By the halt's digest."""
        blockchain.on_head(self._on_head)

    def on_taken(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with every submission that was taken, in the submitting thread."""
        self._listeners.append(listener)

    def submit(self, data: bytes, *, is_stopped: bool) -> Taken:
        """Take what the council signed, as calldata of Governance; `is_stopped`: no block can be.

        Raises the Refusal that stands against it, or ActionImpossible. A submission that waits or
        holds already is the same once more.
        """
        if not is_submission(data):
            raise MalformedCalldata(data[:4])
        blockchain = self._blockchain
        ledger = blockchain.ledger_after(blockchain.head.block)
        signed = _first_action(data)
        digest = compute_digest(signed.action, get_domain(ledger))
        with self._lock:
            held = self.hold.current
            if held is not None and held.digest == digest:
                return Taken(digest, Outcome.HELD)
            if digest in self._waiting:
                return Taken(digest, Outcome.QUEUED)
            outcome = self._take(signed, data, digest, ledger, is_stopped=is_stopped)
        log.warning("council action taken", digest=f"0x{digest.hex()}", outcome=outcome.value)
        for listener in self._listeners:
            listener(data)
        return Taken(digest, outcome)

    def waiting(self) -> list[bytes]:
        """Return what waits, oldest first."""
        with self._lock:
            return [each.data for each in self._waiting.values()]

    def in_force(self) -> list[bytes]:
        """Return what a peer should know of: what waits, and the halt that holds this node."""
        held = self.hold.current
        return self.waiting() if held is None else [held.submission, *self.waiting()]

    def find_ignored(self, from_height: Height, limit: int) -> Waiting | None:
        """Return an action that more than `limit` blocks up to the head have passed over.

        Blocks up to `from_height` had no choice: they don't count.
        """
        head = self._blockchain.head.block.header.number
        with self._lock:
            for each in self._waiting.values():
                if head - max(each.since, from_height) > limit:
                    return each
        return None

    def hold_waiting(self) -> None:
        """Stand still for a halt that waits for a block where none can be built any more."""
        if self.hold.current is not None or not self._waiting:
            return
        with self._lock:
            for digest, each in list(self._waiting.items()):
                if each.name == Halt.__name__:
                    self._lay(digest, each.data)
                    del self._waiting[digest]
                    return

    def review(self, time_ms: TimeMs) -> None:
        """Drop what was carried out, and what no block from this time on would carry out."""
        if not self._waiting:
            return
        with self._lock:
            ledger = self._blockchain.next_ledger(time_ms)
            for digest, each in list(self._waiting.items()):
                refusal = _find_refusal(ledger, each.data)
                if refusal is not None:
                    self._drop(digest, each, refusal)

    def unrecorded(self) -> list[AuditEntry]:
        """Return the entries of what was obeyed outside of the state: for a fork plan to carry."""
        with self._lock:
            ended, held = list(self._ended.values()), self.hold.current
        log = self._blockchain.ledger_after(self._blockchain.head.block).audit_log
        entries: list[AuditEntry] = []
        for each in ended:
            pair = decode_ended_hold(each.submission)
            assert pair is not None, "a row holds what was recorded there"
            entries += [self._make_entry(signed, each.height) for signed in pair]
        if held is not None:
            signed = Signed(*decode_submission(held.submission))
            entries.append(self._make_entry(signed, held.height))
        found = []
        for entry in entries:
            if not self._is_used(decode_action(entry.kind, entry.action).nonce):
                found.append(entry._replace(number=log.length, previous=log.head))
                log = append_entry(log, found[-1])
        return found

    def choose(self, mempool: Mempool, time_ms: TimeMs) -> Body | None:
        """Return what a block of this time holds; None if there may be none (X1).

        An action that would no longer be carried out is dropped here, and told in the log.
        """
        ledger = self._blockchain.next_ledger(time_ms)
        is_halted = ledger.status.mode == Mode.HALTED
        with self._lock:
            if not self._waiting and not is_halted:
                return Body(mempool.choose(), [])
            modes.process_gap(ledger)
            inputs = self._choose_inputs(ledger)
        if not is_halted:
            return Body(mempool.choose(), inputs)
        if ends_halt(ledger):
            return Body([], inputs)
        offered = mempool.choose(latest=ActionClass.GOVERNANCE)
        transactions = _keep_successful(ledger, offered, self._blockchain.genesis.base_fee_wei)
        return Body(transactions, inputs) if transactions or inputs else None

    def choose_governance(self, time_ms: TimeMs) -> Body | None:
        """Return a block of the council's actions alone; None if none waits."""
        with self._lock:
            if not self._waiting:
                return None
            ledger = self._blockchain.next_ledger(time_ms)
            modes.process_gap(ledger)
            inputs = self._choose_inputs(ledger)
        return Body([], inputs) if inputs else None

    # --- taking ----------------------------------------------------------------------------------

    def _take(
        self, signed: Signed, data: bytes, digest: Hash32, ledger: StateLedger, *, is_stopped: bool
    ) -> Outcome:
        held = self.hold.current
        if decode_ended_hold(data) is not None:
            return self._keep(digest, data, ledger, Outcome.QUEUED)
        get_verified_signers(ledger, *signed)
        if isinstance(signed.action, Resume) and held is not None:
            self._end_hold(held, signed)
            return Outcome.LIFTED
        if held is None and not is_stopped:
            return self._keep(digest, data, ledger, Outcome.QUEUED)
        if not isinstance(signed.action, Halt):
            return self._keep(digest, data, ledger, Outcome.KEPT)
        if held is not None:
            raise ActionImpossible(f"the node is {held.text()}")
        self._lay(digest, data)
        return Outcome.HELD

    def _keep(self, digest: Hash32, data: bytes, ledger: StateLedger, outcome: Outcome) -> Outcome:
        if len(self._waiting) >= WAITING_MAX:
            raise ActionImpossible(f"{WAITING_MAX} actions wait already: submit it again later")
        _carry_out(ledger, data)
        self._wait(digest, data)
        return outcome

    def _wait(self, digest: Hash32, data: bytes) -> None:
        head = self._blockchain.head.block.header.number
        name = type(_first_action(data).action).__name__
        self._waiting[digest] = Waiting(digest, data, head, name)

    def _lay(self, digest: Hash32, data: bytes) -> None:
        head = self._blockchain.head.block
        self.hold.lay(Held(digest, head.extension.fork_id, head.header.number, data))

    def _end_hold(self, held: Held, resume: Signed) -> None:
        """Go on; that it stood still is on disk until a block records it."""
        halt = Signed(*decode_submission(held.submission))
        ended = EndedHold(held.height, encode_ended_hold(halt, resume))
        row = keys.ended_hold_row(held.digest)
        self._blockchain.store.kv.write([(row, codec_of(EndedHold).encode(ended))])
        self._ended[held.digest] = ended
        crash_point("hold: ended")
        self.hold.lift()
        self._wait(held.digest, ended.submission)

    # --- waiting ---------------------------------------------------------------------------------

    def _load_ended(self) -> dict[Hash32, EndedHold]:
        """Take up what waits on disk to be recorded; a hold that was being ended is ended."""
        found = {}
        for key, row in self._blockchain.store.kv.items(keys.ENDED_HOLDS):
            digest = Hash32(key[len(keys.ENDED_HOLDS) :])
            found[digest] = codec_of(EndedHold).decode(row)
            self._wait(digest, found[digest].submission)
            if self.hold.current is not None and self.hold.current.digest == digest:
                self.hold.lift()
        return found

    def _on_head(self, head: Head) -> None:
        self.review(TimeMs(head.block.extension.time_ms + 1))

    def _choose_inputs(self, ledger: StateLedger) -> list[bytes]:
        inputs = []
        for digest, each in list(self._waiting.items()):
            try:
                _carry_out(ledger, each.data)
            except Refusal as refusal:
                self._drop(digest, each, refusal)
            else:
                inputs.append(each.data)
        return inputs

    def _drop(self, digest: Hash32, each: Waiting, refusal: Refusal) -> None:
        """Forget what no block will carry, or one carried; an ended hold can wait to be over."""
        if digest in self._ended and isinstance(refusal, ActionExpired):
            head = self._blockchain.head.block.header.number
            self._waiting[digest] = each._replace(since=head)
            return
        del self._waiting[digest]
        if self._ended.pop(digest, None) is not None:
            self._blockchain.store.kv.write([], [keys.ended_hold_row(digest)])
        if not isinstance(refusal, ActionNonceUsed):
            log.warning("council action dropped", digest=f"0x{digest.hex()}", reason=str(refusal))

    def _is_used(self, nonce: Hash32) -> bool:
        ledger = self._blockchain.ledger_after(self._blockchain.head.block)
        return ledger.action_uses.get(nonce) is not None

    def _make_entry(self, signed: Signed, height: Height) -> AuditEntry:
        """Return the entry of an action that this node obeyed with its head at `height`."""
        blockchain = self._blockchain
        block = blockchain.block_at(height) or blockchain.head.block
        ledger = blockchain.ledger_after(blockchain.head.block)
        digest = compute_digest(signed.action, get_domain(ledger))
        # They were members when it was taken: the council may have changed since.
        signers = sorted(recover_signer(digest, each) for each in signed.signatures)
        return make_entry(
            ledger.audit_log,
            signed.action,
            digest=digest,
            signers=tuple(signers),
            height=height,
            time_ms=block.extension.time_ms,
            fork_id=signed.action.fork_id,
            result=height if isinstance(signed.action, Halt) else int(ledger.status.mode),
        )


def stands(blockchain: Blockchain, hold: Hold) -> bool:
    """Tell whether the council has halted the chain: in its state, or by a hold."""
    mode = blockchain.ledger_after(blockchain.head.block).status.mode
    return mode == Mode.HALTED or hold.current is not None


def _first_action(data: bytes) -> Signed:
    """Return what a submission is known by: its action, or the halt of an ended hold."""
    ended = decode_ended_hold(data)
    return Signed(*decode_submission(data)) if ended is None else ended[0]


def _find_refusal(ledger: StateLedger, data: bytes) -> Refusal | None:
    """Return what stands against a submission on this ledger, which stays as it is."""
    checkpoint = ledger.checkpoint()
    try:
        _carry_out(ledger, data)
    except Refusal as refusal:
        return refusal.with_traceback(None)  # its frames hold the ledger
    ledger.revert(checkpoint)
    return None


def _carry_out(ledger: StateLedger, data: bytes) -> None:
    checkpoint = ledger.checkpoint()
    try:
        execute_call(ledger, sender=SYSTEM_ACCOUNT, to=GOVERNANCE, value=0, data=data)
    except Refusal:
        ledger.revert(checkpoint)
        raise


def _keep_successful(
    ledger: StateLedger, transactions: list[Transaction], base_fee: Wei
) -> list[Transaction]:
    """Return the transactions that a HALTED chain's block may hold: none that reverts (X1)."""
    kept = []
    for tx in transactions:
        checkpoint = ledger.checkpoint()
        try:
            price = effective_gas_price(tx, base_fee)
            charge(ledger, tx, gas=transaction_gas(tx), price=price)
            execute(ledger, tx.sender, tx.to, tx.value, tx.data)
        except (Refusal, InvalidTransaction):
            ledger.revert(checkpoint)
        else:
            kept.append(tx)
    return kept
