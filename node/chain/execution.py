"""The protocol on one screen: `apply_block` is the only way in which state changes.

The sequencer calls it to seal, a validator to compare, an auditor to replay with other inputs.
Order is consensus (RULES O6): a body lists its transactions by class, and between the classes the
protocol does its own work, in the order written here. What it did is carried by at most three
system transactions, at the phase boundaries, so that every Ethereum library can read it. What the
council signed and nobody paid for goes ahead of them, a system transaction each; so do, on a
development chain, the operations of its helpers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from node.chain.block import Receipt, bloom_of
from node.chain.development import (
    PACING,
    Call,
    Operation,
    check_native,
    encode_operation,
    process_call_begin,
    process_operation,
)
from node.chain.ledger import StateLedger
from node.chain.native import Native
from node.chain.system_transaction import SYSTEM_ACCOUNT, build_system_transaction
from node.chain.transaction import Transaction, effective_gas_price
from node.chain.transition import encode_transition
from node.errors import (
    BodyMismatch,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceTooHigh,
    NonceTooLow,
    OperationRefused,
    Refusal,
)
from node.governance.fork import compute_nonce_floor
from node.perp import (
    compensation,
    decrees,
    expiry,
    funding,
    invariants,
    liquidation,
    listing,
    maintenance,
    mark,
    modes,
    oracle,
    setting,
    trigger,
    vault,
)
from node.perp.account import FEES
from node.perp.status import Mode
from node.system import invariants as token_invariants
from node.system.classes import ActionClass, classify
from node.system.contracts import GOVERNANCE
from node.system.dispatch import encode_refusal, execute_call, is_system_contract
from node.system.gas import intrinsic_gas
from node.system.governance import is_submission
from node.system.logs import Log, encode_log
from node.units import Address, Wei


class BlockInput(NamedTuple):
    """What a block's maker chose; everything else follows from the parent's state."""

    transactions: Sequence[Transaction]
    """Signed by people, in executed order; no system transactions."""
    base_fee: Wei
    gas_limit: int
    governance_inputs: Sequence[bytes] = ()
    """Calldata of Governance: actions that the council signed, each in a system transaction."""
    development: Sequence[Operation] = ()
    """Development operations, each in a system transaction (DESIGN section 9)."""


Body = list[tuple[Transaction, int]]
"""Transactions in executed order, each with the gas that it uses."""


class Applied(NamedTuple):
    """What a block did."""

    transactions: tuple[Transaction, ...]
    """The whole body, system transactions included."""
    receipts: tuple[Receipt, ...]
    transitions: tuple[bytes, ...]
    gas_used: int


def apply_block(ledger: StateLedger, block: BlockInput) -> Applied:
    """Execute a block on its parent's ledger, in protocol order (RULES O6).

    Raises InvalidBlock or InvalidTransaction if the block can't be; the ledger is then spent.
    """
    run = _Run(ledger, block)
    bodies = split_by_class(block.transactions, ledger, block.gas_limit)
    calls = split_calls(block.development)
    require_halt_obeyed(ledger, block, bodies)

    modes.process_gap(ledger)
    maintenance.process_maintenance(ledger)
    run.apply_governance_inputs(block.governance_inputs)
    run.apply_development(block.development)
    run.apply_transactions(bodies[ActionClass.GOVERNANCE], calls[ActionClass.GOVERNANCE])
    run.apply_transactions(bodies[ActionClass.REPORT], calls[ActionClass.REPORT])
    oracle.process_prices(ledger)
    modes.process_alarms(ledger)
    mark.process_mark(ledger)
    funding.process_funding(ledger)
    run.apply_transactions(bodies[ActionClass.ACCOUNT], calls[ActionClass.ACCOUNT])
    expiry.process_expiries(ledger)
    compensation.process_compensation_ends(ledger)
    modes.process_post_only_limits(ledger)
    run.apply_system_transaction()

    run.apply_transactions(bodies[ActionClass.CANCEL], calls[ActionClass.CANCEL])
    run.apply_transactions(bodies[ActionClass.POST_ONLY], calls[ActionClass.POST_ONLY])
    liquidation.process_liquidations(ledger)
    vault.process_negative_balances(ledger)
    vault.process_vault_orders(ledger)
    trigger.process_fired_triggers(ledger)
    run.apply_system_transaction()

    run.apply_transactions(bodies[ActionClass.ORDER], calls[ActionClass.ORDER])
    trigger.process_new_triggers(ledger)
    funding.process_premium_sample(ledger)
    modes.process_reopening(ledger)
    decrees.process_decrees(ledger)
    setting.process_settings(ledger)
    listing.process_listings(ledger)
    run.apply_system_transaction()

    run.collect_fees()
    parent = ledger.parent()
    invariants.check_block(parent, ledger, ledger.touched())
    token_invariants.check_block(parent, ledger, ledger.touched_tokens())
    check_native(ledger)
    return run.result()


def split_by_class(
    transactions: Sequence[Transaction], ledger: StateLedger, gas_limit: int
) -> list[Body]:
    """Return the body by effective class; refuse a body out of order or over its gas (O8).

    A transaction's effective class is the latest of its own and of its sender's earlier ones in
    the block, so that a nonce chain can't pull a taker forward. The last class may use the whole
    gas limit, the others together two thirds of it.
    """
    bodies: list[Body] = [[] for _ in ActionClass]
    latest_by_sender: dict[Address, ActionClass] = {}
    latest = ActionClass.GOVERNANCE
    gas = 0
    for index, tx in enumerate(transactions):
        own = classify(tx.to, tx.data)
        effective = max(own, latest_by_sender.get(tx.sender, own))
        if effective < latest:
            raise BodyMismatch(ledger.height, f"transactions[{index}].class", effective, latest)
        latest = latest_by_sender[tx.sender] = effective
        own_gas = transaction_gas(tx)
        gas += own_gas
        limit = class_gas_limit(effective, gas_limit)
        if gas > limit:
            raise BodyMismatch(ledger.height, f"transactions[{index}].gas", gas, limit)
        bodies[effective].append((tx, own_gas))
    return bodies


def split_calls(operations: Sequence[Operation]) -> list[list[Call]]:
    """Return the calls in the name of others by effective class, as `split_by_class` has it."""
    calls: list[list[Call]] = [[] for _ in ActionClass]
    latest: dict[Address, ActionClass] = {}
    for each in operations:
        if isinstance(each, Call):
            own = classify(each.to, each.data)
            effective = latest[each.sender] = max(own, latest.get(each.sender, own))
            calls[effective].append(each)
    return calls


def require_halt_obeyed(ledger: StateLedger, block: BlockInput, bodies: Sequence[Body]) -> None:
    """Refuse a block that a HALTED chain may not have (X1).

    It may have one for governance, and the one that ends a maintenance window (X3).
    """
    if ledger.status.mode != Mode.HALTED:
        return
    is_due = maintenance.ends_halt(ledger)
    actions = len(block.governance_inputs) + len(bodies[ActionClass.GOVERNANCE])
    others = len(block.transactions) - len(bodies[ActionClass.GOVERNANCE])
    others += sum(not isinstance(each, PACING) for each in block.development)
    if others or not (actions or is_due):
        was = f"{actions} council actions, {others} others"
        expected = "council actions alone: the chain is HALTED"
        raise BodyMismatch(ledger.height, "transactions", was, expected)


def class_gas_limit(effective: ActionClass, gas_limit: int) -> int:
    """Return how much gas a body may have used up to and with a class (O8); floor."""
    return gas_limit if effective == ActionClass.ORDER else gas_limit * 2 // 3


def transaction_gas(tx: Transaction) -> int:
    """Return what a transaction uses, a pure function of its bytes (the gas schedule)."""
    return intrinsic_gas(tx.to, tx.data, tx.access_list)


class _Run:
    """A block being applied: its body, receipts and transitions as they grow."""

    def __init__(self, ledger: StateLedger, block: BlockInput) -> None:
        self._ledger = ledger
        self._block = block
        self._body: list[Transaction] = []
        self._receipts: list[Receipt] = []
        self._transitions: list[bytes] = []
        self._protocol_logs: list[Log] = []
        self._gas_used = 0
        self._fees = 0
        self._is_halted = ledger.status.mode == Mode.HALTED
        """Then a block is made for what the council does, not for what it refuses (X1)."""

    def apply_governance_inputs(self, inputs: Sequence[bytes]) -> None:
        """Carry out what the council signed; an action that its rule refuses can't be here."""
        self._protocol_logs += self._take_logs()
        for index, data in enumerate(inputs):
            height, field = self._ledger.height, f"transactions[{index}]"
            if not is_submission(data):
                raise BodyMismatch(height, field, data, "what the council signed")
            try:
                execute_call(self._ledger, sender=SYSTEM_ACCOUNT, to=GOVERNANCE, value=0, data=data)
            except Refusal as refusal:
                raise BodyMismatch(height, field, "included", str(refusal)) from refusal
            self._append_system_transaction(data, tuple(self._take_logs()))

    def apply_development(self, operations: Sequence[Operation]) -> None:
        """Carry out development operations, in order; calls wait for their class."""
        self._protocol_logs += self._take_logs()
        for operation in operations:
            if isinstance(operation, Call):
                continue
            try:
                process_operation(self._ledger, operation)
            except OperationRefused as refusal:
                raise self._refused(refusal) from refusal
            data = encode_operation(operation)
            self._append_system_transaction(data, tuple(self._take_logs()))

    def apply_transactions(self, body: Body, calls: Sequence[Call]) -> None:
        """Apply people's transactions, in order, then what is done in their name."""
        self._protocol_logs += self._take_logs()
        for tx, gas in body:
            self._apply_transaction(tx, gas)
        for call in calls:
            self._apply_call(call)

    def apply_system_transaction(self) -> None:
        """Carry what the protocol did since the last one, if it did anything to be read."""
        self._protocol_logs += self._take_logs()
        if self._protocol_logs:
            logs, self._protocol_logs = tuple(self._protocol_logs), []
            self._append_system_transaction(b"", logs)

    def _refused(self, refusal: OperationRefused) -> BodyMismatch:
        field = f"transactions[{len(self._body)}]"
        return BodyMismatch(self._ledger.height, field, "included", str(refusal))

    def _append_system_transaction(
        self, data: bytes, logs: tuple[Log, ...], *, status: int = 1, output: bytes = b""
    ) -> None:
        ledger = self._ledger
        native = ledger.get_native(SYSTEM_ACCOUNT)
        nonce = ledger.get_nonce(SYSTEM_ACCOUNT)
        ledger.set_native(SYSTEM_ACCOUNT, native._replace(nonce=nonce + 1))
        tx = build_system_transaction(ledger.chain_id, nonce, data)
        self._append(tx, status=status, gas=0, price=Wei(0), logs=logs, output=output)

    def _apply_call(self, call: Call) -> None:
        ledger = self._ledger
        try:
            process_call_begin(ledger, call)
        except OperationRefused as refusal:
            raise self._refused(refusal) from refusal
        checkpoint = ledger.checkpoint()
        status, output = 1, b""
        try:
            execute(ledger, call.sender, call.to, call.value, call.data)
        except Refusal as refusal:
            ledger.revert(checkpoint)
            status, output = 0, encode_refusal(refusal)
        logs = tuple(self._take_logs())
        self._append_system_transaction(encode_operation(call), logs, status=status, output=output)

    def _apply_transaction(self, tx: Transaction, gas: int) -> None:
        ledger = self._ledger
        price = effective_gas_price(tx, self._block.base_fee)
        try:
            self._fees += charge(ledger, tx, gas=gas, price=price)
        except InvalidTransaction as refusal:
            refusal.add_note(f"transactions[{len(self._body)}]")  # whoever refuses the body says it
            raise
        checkpoint = ledger.checkpoint()
        status, output = 1, b""
        try:
            execute(ledger, tx.sender, tx.to, tx.value, tx.data)
        except Refusal as refusal:
            if self._is_halted:
                field = f"transactions[{len(self._body)}]"
                raise BodyMismatch(ledger.height, field, "included", str(refusal)) from refusal
            ledger.revert(checkpoint)
            status, output = 0, encode_refusal(refusal)
        logs = tuple(self._take_logs())
        self._append(tx, status=status, gas=gas, price=price, logs=logs, output=output)

    def _take_logs(self) -> list[Log]:
        logs = []
        for event in self._ledger.take_events():
            transition = encode_transition(event)
            if transition is not None:
                self._transitions.append(transition)
            logs.append(encode_log(event))
        return logs

    def _append(
        self,
        tx: Transaction,
        *,
        status: int,
        gas: int,
        price: Wei,
        logs: tuple[Log, ...],
        output: bytes,
    ) -> None:
        self._gas_used += gas
        self._body.append(tx)
        self._receipts.append(
            Receipt(tx.type, status, self._gas_used, bloom_of(logs), logs, gas, price, output)
        )

    def collect_fees(self) -> None:
        """Pay the block's gas to the native balance of the Fees address (DESIGN section 5)."""
        if self._fees:
            native = self._ledger.get_native(FEES)
            self._ledger.set_native(FEES, native._replace(balance=Wei(native.balance + self._fees)))

    def result(self) -> Applied:
        return Applied(
            tuple(self._body), tuple(self._receipts), tuple(self._transitions), self._gas_used
        )


def charge(ledger: StateLedger, tx: Transaction, *, gas: int, price: Wei) -> int:
    """Take the nonce and the gas fee from the sender; return the fee in wei.

    Raises InvalidTransaction if the transaction can't be in a block at this point.
    """
    native, fork_id = ledger.get_native(tx.sender), ledger.status.fork_id
    nonce = max(native.nonce, compute_nonce_floor(fork_id))
    if tx.nonce < nonce:
        raise NonceTooLow(tx.nonce, nonce)
    if tx.nonce > nonce or tx.nonce >= compute_nonce_floor(fork_id + 1):
        raise NonceTooHigh(tx.nonce, nonce)
    if tx.gas_limit < gas:
        raise IntrinsicGasTooLow(tx.gas_limit, gas)
    fee, cost = gas * price, max_cost(tx)
    if native.balance < cost:
        raise InsufficientFunds(tx.sender, native.balance, cost)
    ledger.set_native(tx.sender, Native(nonce + 1, Wei(native.balance - fee), native.code_hash))
    return fee


def max_cost(tx: Transaction) -> int:
    """Return the most native coin that a transaction can take, in wei."""
    return tx.gas_limit * tx.max_fee + tx.value


def execute(ledger: StateLedger, sender: Address, to: Address, value: Wei, data: bytes) -> bytes:
    """Run a call on the ledger and return its output; Refusal reverts it.

    `eth_call` and `eth_estimateGas` run this very function on a throw-away ledger.
    """
    if is_system_contract(to):
        return execute_call(ledger, sender=sender, to=to, value=value, data=data)
    if value:
        source = ledger.get_native(sender)
        if source.balance < value:
            raise InsufficientFunds(sender, source.balance, value)
        ledger.set_native(sender, source._replace(balance=Wei(source.balance - value)))
        target = ledger.get_native(to)
        ledger.set_native(to, target._replace(balance=Wei(target.balance + value)))
    return b""
