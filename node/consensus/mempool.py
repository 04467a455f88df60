"""Transactions that wait for a block: by sender and nonce, chosen by class and arrival (RULES O8).

Derived and forgettable: a restart forgets what no block holds, and whoever sent it sends it again;
so does a development revert: what waited was signed for a state that is no more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import NamedTuple

from node.chain.block import Block
from node.chain.blockchain import Blockchain, Head
from node.chain.development import is_operation
from node.chain.execution import class_gas_limit, max_cost, transaction_gas
from node.chain.genesis import Genesis
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction, validate_transaction
from node.errors import (
    AlreadyKnown,
    InsufficientFunds,
    IntrinsicGasTooLow,
    MempoolFull,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
    ReservedSender,
)
from node.governance.fork import compute_nonce_floor
from node.system.classes import ActionClass, classify
from node.units import Address, Hash32

TRANSACTIONS_MAX = 200_000
SENDER_TRANSACTIONS_MAX = 25_000
REPLACEMENT_BUMP_PERCENT = 10


class Waiting(NamedTuple):
    """A transaction that waits."""

    tx: Transaction
    gas: int
    action_class: ActionClass
    """Its own, before its sender's earlier nonces count."""
    arrival: int
    """Counts admissions; a replacement arrives anew."""


class Sender(NamedTuple):
    """What a block would find of a sender at the head."""

    nonce: int
    balance: int


class Turn:
    """How far a sender's transactions are chosen."""

    __slots__ = ("balance", "latest", "nonce")

    def __init__(self, nonce: int, balance: int) -> None:
        self.nonce = nonce
        self.balance = balance
        self.latest = ActionClass.GOVERNANCE


class PoolContents(NamedTuple):
    """What waits, by sender and nonce."""

    pending: tuple[Transaction, ...]
    """Could be in the next block."""
    queued: tuple[Transaction, ...]
    """Waits for an earlier nonce of its sender."""


class Selection:
    """A body in the making: transactions by effective class, within the gas of each class."""

    def __init__(self, gas_limit: int, latest: ActionClass) -> None:
        self._latest = latest
        self._bodies: list[list[Transaction]] = [[] for _ in ActionClass]
        self._gas_left = [class_gas_limit(each, gas_limit) for each in ActionClass]
        """What a class may still use; a class uses up the classes' after it as well."""

    def take(self, tx: Transaction, turn: Turn, *, gas: int, own: ActionClass) -> bool:
        """Take a sender's next transaction, of its own class, if it fits; else end its turn."""
        effective = max(turn.latest, own)
        turn.balance -= max_cost(tx)
        is_later = effective > self._latest
        if is_later or turn.balance < 0 or gas > min(self._gas_left[effective:]):
            turn.nonce = TURN_OVER
            return False
        for later in range(effective, len(self._gas_left)):
            self._gas_left[later] -= gas
        self._bodies[effective].append(tx)
        turn.nonce += 1
        turn.latest = effective
        return True

    def transactions(self) -> list[Transaction]:
        """Return the body in executed order."""
        return [tx for body in self._bodies for tx in body]


TURN_OVER = -1
"""No transaction has this nonce."""


class Mempool:
    """Admission and choice; called from the front's and the sealing thread."""

    def __init__(self, blockchain: Blockchain) -> None:
        self._blockchain = blockchain
        self._lock = threading.Lock()
        self._by_sender: dict[Address, dict[int, Waiting]] = {}
        self._by_hash: dict[Hash32, Waiting] = {}
        self._senders: dict[Address, Sender] = {}
        """Nonce and balance at the head, as far as asked for."""
        self._arrivals = 0
        self._fork_id = blockchain.head.block.extension.fork_id
        self._listeners: list[Callable[[Transaction], None]] = []
        blockchain.on_head(self._on_head)
        blockchain.on_reverted(lambda _: self.clear())

    def __len__(self) -> int:
        return len(self._by_hash)

    def on_admitted(self, listener: Callable[[Transaction], None]) -> None:
        """Call `listener` with every admitted transaction, in the admitting thread."""
        self._listeners.append(listener)

    def add(self, tx: Transaction) -> None:
        """Admit a transaction, or raise the InvalidTransaction that says why not."""
        gas = require_admissible(tx, self._blockchain.genesis)
        with self._lock:
            self._add(tx, gas)
        for listener in self._listeners:
            listener(tx)

    def get(self, tx_hash: Hash32) -> Transaction | None:
        """Return a waiting transaction."""
        waiting = self._by_hash.get(tx_hash)
        return None if waiting is None else waiting.tx

    def is_busy(self) -> bool:
        """Tell whether another thread chooses or admits now."""
        return self._lock.locked()

    def pending_nonce(self, address: Address) -> int:
        """Return the nonce after all that could be in the next block; gapped ones don't count."""
        with self._lock:
            nonce = self._sender(address).nonce
            waiting = self._by_sender.get(address, {})
            while nonce in waiting:
                nonce += 1
            return nonce

    def contents(self, address: Address | None = None) -> PoolContents:
        """Return what waits, of all senders or of one."""
        with self._lock:
            senders = sorted(self._by_sender) if address is None else [address]
            own = [
                (self._sender(each).nonce, sorted(self._by_sender.get(each, {}).items()))
                for each in senders
            ]
        pending: list[Transaction] = []
        queued: list[Transaction] = []
        for next_nonce, waiting in own:
            for nonce, each in waiting:
                is_next = nonce == next_nonce
                (pending if is_next else queued).append(each.tx)
                next_nonce += is_next
        return PoolContents(tuple(pending), tuple(queued))

    def choose(self, latest: ActionClass = ActionClass.ORDER) -> list[Transaction]:
        """Return the next block's transactions in executed order, none of a later class (O6, O8).

        What is chosen can't fail to be includable: nonces run on, and a sender's costs at their
        maximum stay within its balance at the head.
        """
        blockchain = self._blockchain
        gas_limit = blockchain.compute_gas_limit(blockchain.certified_height())
        selection = Selection(gas_limit, latest)
        turns: dict[Address, Turn] = {}
        with self._lock:
            for waiting in self._by_hash.values():
                sender = waiting.tx.sender
                turn = turns.get(sender)
                if turn is None:
                    turn = turns[sender] = Turn(*self._sender(sender))
                if waiting.tx.nonce != turn.nonce:
                    continue
                # What came before a gap was filled follows the filler at once.
                own = self._by_sender[sender]
                follower: Waiting | None = waiting
                while follower is not None and follower.arrival <= waiting.arrival:
                    tx, gas, own_class, _ = follower
                    if not selection.take(tx, turn, gas=gas, own=own_class):
                        break
                    follower = own.get(turn.nonce)
        return selection.transactions()

    def _add(self, tx: Transaction, gas: int) -> None:
        if tx.hash in self._by_hash:
            raise AlreadyKnown(tx.hash)
        sender = self._sender(tx.sender)
        if tx.nonce < sender.nonce:
            raise NonceTooLow(tx.nonce, sender.nonce)
        fork_id = self._blockchain.head.block.extension.fork_id
        if tx.nonce >= compute_nonce_floor(fork_id + 1):
            raise NonceTooHigh(tx.nonce, sender.nonce)
        cost = max_cost(tx)
        if cost > sender.balance:
            raise InsufficientFunds(tx.sender, sender.balance, cost)
        own = self._by_sender.get(tx.sender, {})
        replaced = own.get(tx.nonce)
        if replaced is not None:
            _check_replacement(tx, replaced.tx)
            del self._by_hash[replaced.tx.hash]
        elif len(self._by_hash) >= TRANSACTIONS_MAX:
            raise MempoolFull(TRANSACTIONS_MAX)
        elif len(own) >= SENDER_TRANSACTIONS_MAX:
            raise MempoolFull(SENDER_TRANSACTIONS_MAX)
        self._arrivals += 1
        waiting = Waiting(tx, gas, classify(tx.to, tx.data), self._arrivals)
        self._by_sender.setdefault(tx.sender, {})[tx.nonce] = waiting
        self._by_hash[tx.hash] = waiting

    def _sender(self, address: Address) -> Sender:
        sender = self._senders.get(address)
        if sender is None:
            head = self._blockchain.head
            native = head.derived.get_native(address)
            floor = compute_nonce_floor(head.block.extension.fork_id)
            sender = self._senders[address] = Sender(max(native.nonce, floor), native.balance)
        return sender

    # --- development ------------------------------------------------------------------------------

    def clear(self) -> None:
        """Forget everything that waits."""
        with self._lock:
            self._senders.clear()
            self._by_hash.clear()
            self._by_sender.clear()

    def drop(self, tx_hash: Hash32) -> bool:
        """Forget a transaction; tell whether it waited."""
        with self._lock:
            waiting = self._by_hash.get(tx_hash)
            if waiting is not None:
                self._forget(waiting.tx)
            return waiting is not None

    def drop_sender(self, sender: Address) -> None:
        """Forget all that a sender has waiting."""
        with self._lock:
            for waiting in list(self._by_sender.get(sender, {}).values()):
                self._forget(waiting.tx)

    # --- within -----------------------------------------------------------------------------------

    def _on_head(self, head: Head) -> None:
        with self._lock:
            self._senders.clear()
            self._drop_included(head.block)
            if _has_operation(head.block):
                self._drop_used()
            if head.block.extension.fork_id != self._fork_id:
                self._fork_id = head.block.extension.fork_id
                self._drop_below(compute_nonce_floor(self._fork_id))

    def _drop_included(self, block: Block) -> None:
        """Forget what the block holds, and what its nonces made impossible."""
        for tx in block.transactions:
            own = self._by_sender.get(tx.sender)
            if own is None:
                continue
            waiting = own.pop(tx.nonce, None)
            if waiting is not None:
                del self._by_hash[waiting.tx.hash]
            if not own:
                del self._by_sender[tx.sender]

    def _drop_below(self, floor: int) -> None:
        """Forget what a fork made impossible: all that was signed before it (RECOVERY, step 2)."""
        for waiting in [each for each in self._by_hash.values() if each.tx.nonce < floor]:
            self._forget(waiting.tx)

    def _drop_used(self) -> None:
        """Forget what a development operation made impossible: it may have moved any nonce."""
        for waiting in list(self._by_hash.values()):
            if waiting.tx.nonce < self._sender(waiting.tx.sender).nonce:
                self._forget(waiting.tx)

    def _forget(self, tx: Transaction) -> None:
        del self._by_hash[tx.hash]
        own = self._by_sender[tx.sender]
        del own[tx.nonce]
        if not own:
            del self._by_sender[tx.sender]


def require_admissible(tx: Transaction, genesis: Genesis) -> int:
    """Return the gas that it uses; raise InvalidTransaction for what no state here would take."""
    if tx.sender == SYSTEM_ACCOUNT:
        raise ReservedSender(tx.sender)
    validate_transaction(
        tx,
        chain_id=genesis.chain_id,
        base_fee=genesis.base_fee_wei,
        gas_limit=genesis.gas_limit,
    )
    gas = transaction_gas(tx)
    if tx.gas_limit < gas:
        raise IntrinsicGasTooLow(tx.gas_limit, gas)
    return gas


def _has_operation(block: Block) -> bool:
    return any(tx.sender == SYSTEM_ACCOUNT and is_operation(tx.data) for tx in block.transactions)


def _check_replacement(tx: Transaction, replaced: Transaction) -> None:
    for offered, present in (
        (tx.max_fee, replaced.max_fee),
        (tx.max_priority_fee, replaced.max_priority_fee),
    ):
        needed = present + -(-present * REPLACEMENT_BUMP_PERCENT // 100)
        if offered < needed:
            raise ReplacementUnderpriced(offered, needed)
