"""What the blocks of a development reorg shall hold, checked before any block is left.

A nonce that is not its sender's next, or costs that its balance does not cover, would stop the new
branch halfway. So both are added up beforehand, from the state in which it begins; what others pay
a sender on the way does not count, as in the mempool.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from node.chain.development import Call
from node.chain.execution import max_cost
from node.chain.genesis import Genesis
from node.chain.ledger import StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.consensus.mempool import Selection, Turn, require_admissible
from node.errors import (
    InsufficientFunds,
    NonceTooHigh,
    NonceTooLow,
    OperationRefused,
    ReservedSender,
)
from node.governance.fork import compute_nonce_floor
from node.system.classes import ActionClass, classify
from node.units import Address


class Wish(NamedTuple):
    """One thing that an account shall do in a block of the new branch."""

    sender: Address
    nonce: int | None
    """None: the sender's next one."""
    make: Callable[[int], Transaction | Call]
    """Returns it at a nonce: signed, or for an impersonated account a call."""


class ReorgBody(NamedTuple):
    """What one block of the new branch holds."""

    transactions: Sequence[Transaction]
    """In executed order."""
    calls: Sequence[Call]


def arrange(
    wishes: Sequence[Sequence[Wish]], ledger: StateLedger, genesis: Genesis
) -> list[ReorgBody]:
    """Return the bodies of as many blocks, to follow the block that `ledger` stands on.

    Raises InvalidTransaction or OperationRefused for what one of them could not hold.
    """
    turns: dict[Address, Turn] = {}
    bodies = []
    for index, wanted in enumerate(wishes):
        for turn in turns.values():
            turn.latest = ActionClass.GOVERNANCE
        # A chain whose validators lag has half of the gas (`compute_gas_limit`).
        selection, calls = Selection(genesis.gas_limit // 2, ActionClass.ORDER), []
        kinds: dict[Address, type] = {}
        for wish in wanted:
            turn = turns.get(wish.sender) or _begin_turn(ledger, wish.sender)
            turns[wish.sender] = turn
            made = wish.make(turn.nonce if wish.nonce is None else wish.nonce)
            _require_next(ledger, made, turn)
            if kinds.setdefault(made.sender, type(made)) is not type(made):
                raise OperationRefused(
                    f"0x{made.sender.hex()} both signs and is impersonated in block {index} of the "
                    "reorg: one of them, or in different blocks"
                )
            if isinstance(made, Call):
                turn.balance -= made.value
                turn.nonce += 1
                calls.append(made)
                continue
            gas, own = require_admissible(made, genesis), classify(made.to, made.data)
            if not selection.take(made, turn, gas=gas, own=own):
                raise OperationRefused(f"block {index} of the reorg has no gas for all of them")
        bodies.append(ReorgBody(selection.transactions(), calls))
    return bodies


def _begin_turn(ledger: StateLedger, sender: Address) -> Turn:
    return Turn(ledger.get_nonce(sender), ledger.get_native(sender).balance)


def _require_next(ledger: StateLedger, made: Transaction | Call, turn: Turn) -> None:
    """Raise InvalidTransaction unless it is the sender's next, and paid for."""
    if made.sender == SYSTEM_ACCOUNT:
        raise ReservedSender(made.sender)
    if made.nonce < turn.nonce:
        raise NonceTooLow(made.nonce, turn.nonce)
    if made.nonce > turn.nonce or made.nonce >= compute_nonce_floor(ledger.status.fork_id + 1) - 1:
        raise NonceTooHigh(made.nonce, turn.nonce)
    cost = made.value if isinstance(made, Call) else max_cost(made)
    if cost > turn.balance:
        raise InsufficientFunds(made.sender, turn.balance, cost)
