"""What the council signed, on its way into a block, or into a hold where there will be none.

An action is checked against the head before it is taken: who signed, and whether its rule would
carry it out now. It then waits for the next block, which carries it at no cost to anybody; where no
block can be built, a halt becomes a hold and a resume ends one (RECOVERY, Halt).

While the chain is HALTED (RULES X1) blocks are made for nothing else, so that nothing is sealed
unless an action waits, here or as a transaction.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import structlog

from node.chain.blockchain import Blockchain, Head
from node.chain.execution import charge, execute, transaction_gas
from node.chain.ledger import StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction, effective_gas_price
from node.consensus.hold import Held, Hold
from node.consensus.mempool import Mempool
from node.errors import ActionImpossible, InvalidTransaction, MalformedCalldata, Refusal
from node.governance.action import Action, Halt, Resume, compute_digest
from node.perp import modes
from node.perp.status import Mode
from node.system.classes import ActionClass
from node.system.contracts import GOVERNANCE
from node.system.dispatch import execute_call
from node.system.governance import (
    decode_submission,
    get_domain,
    get_verified_signers,
    is_submission,
)
from node.units import Hash32, TimeMs, Wei

log = structlog.get_logger()

WAITING_MAX = 64
"""Actions that wait for a block; the council signs no more at once."""


class Outcome(StrEnum):
    """What became of a submission."""

    QUEUED = "queued"
    """The next block carries it."""
    HELD = "held"
    """No block can be built: the node stands still, durably."""
    LIFTED = "lifted"
    """The hold is over."""


class Taken(NamedTuple):
    """A submission that was taken."""

    digest: Hash32
    """What was signed."""
    outcome: Outcome


class Body(NamedTuple):
    """What the next block is made of."""

    transactions: list[Transaction]
    governance_inputs: list[bytes]


class Submissions:
    """The actions that wait at one node, and its hold; any thread may submit."""

    def __init__(self, blockchain: Blockchain, hold: Hold) -> None:
        self._blockchain = blockchain
        self._lock = threading.Lock()
        self._waiting: dict[Hash32, bytes] = {}
        """By digest."""
        self._listeners: list[Callable[[bytes], None]] = []
        self.hold = hold
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
        action, signatures = decode_submission(data)
        blockchain = self._blockchain
        ledger = blockchain.ledger_after(blockchain.head.block)
        digest = compute_digest(action, get_domain(ledger))
        with self._lock:
            held = self.hold.current
            if held is not None and held.digest == digest:
                return Taken(digest, Outcome.HELD)
            if digest in self._waiting:
                return Taken(digest, Outcome.QUEUED)
            get_verified_signers(ledger, action, signatures)
            if held is not None or is_stopped:
                outcome = self._submit_outside(action, data, digest, ledger)
            else:
                outcome = self._submit_to_block(data, digest, ledger)
        log.warning("council action taken", digest=f"0x{digest.hex()}", outcome=outcome.value)
        for listener in self._listeners:
            listener(data)
        return Taken(digest, outcome)

    def waiting(self) -> list[bytes]:
        """Return what waits, oldest first."""
        with self._lock:
            return list(self._waiting.values())

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
        offered = mempool.choose(latest=ActionClass.GOVERNANCE)
        transactions = _keep_successful(ledger, offered, self._blockchain.genesis.base_fee_wei)
        return Body(transactions, inputs) if transactions or inputs else None

    def _on_head(self, head: Head) -> None:
        """Drop what was carried out, by whatever way it came in."""
        if not self._waiting:
            return
        ledger = self._blockchain.ledger_after(head.block)
        with self._lock:
            for digest, data in list(self._waiting.items()):
                action, _ = decode_submission(data)
                if ledger.action_uses.get(action.nonce) is not None:
                    del self._waiting[digest]

    def _submit_to_block(self, data: bytes, digest: Hash32, ledger: StateLedger) -> Outcome:
        if len(self._waiting) >= WAITING_MAX:
            raise ActionImpossible(f"{WAITING_MAX} actions wait already: submit it again later")
        _carry_out(ledger, data)
        self._waiting[digest] = data
        return Outcome.QUEUED

    def _submit_outside(
        self, action: Action, data: bytes, digest: Hash32, ledger: StateLedger
    ) -> Outcome:
        """Lay or lift the hold; the state can't change."""
        if isinstance(action, Halt):
            head = self._blockchain.head.block.header.number
            self.hold.lay(Held(digest, ledger.status.fork_id, head, data))
            return Outcome.HELD
        held = self.hold.current
        if isinstance(action, Resume) and held is not None:
            self.hold.lift()
            if ledger.status.mode == Mode.HALTED:
                self._waiting[digest] = data
            return Outcome.LIFTED
        raise ActionImpossible(
            "no block can be built here now: a halt holds this node, a resume lifts that; "
            "all else waits for a fork"
        )

    def _choose_inputs(self, ledger: StateLedger) -> list[bytes]:
        inputs = []
        for digest, data in list(self._waiting.items()):
            try:
                _carry_out(ledger, data)
            except Refusal as refusal:
                del self._waiting[digest]
                log.warning("council action dropped", reason=str(refusal))
            else:
                inputs.append(data)
        return inputs


def stands(blockchain: Blockchain, hold: Hold) -> bool:
    """Tell whether the council has halted the chain: in its state, or by a hold."""
    mode = blockchain.ledger_after(blockchain.head.block).status.mode
    return mode == Mode.HALTED or hold.current is not None


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
