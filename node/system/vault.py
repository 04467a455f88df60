"""The LiquidatorVault contract: its functions by name; what it does, the rules do (L2, L6, I8)."""

from collections.abc import Sequence
from typing import Any

from node.errors import BatchTooLarge, ProofsNotAsRefunds, RefundNotInList
from node.governance.refund import Refund, verify_proof
from node.perp.account import VAULT, get_account
from node.perp.compensation import get_compensation, get_paid_refund, process_refund
from node.perp.margin import get_equity
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import Address, Hash32

REFUNDS_MAX = 50
"""In one call."""


def pay_refunds(
    ledger: SystemLedger,
    _: Address,
    number: int,
    rows: Sequence[Sequence[Any]],
    proofs: Sequence[Sequence[Hash32]],
) -> Outputs:
    """Pay refunds of a compensation, all or none, whoever asks; each must prove its place."""
    compensation = get_compensation(ledger, number)
    if len(rows) > REFUNDS_MAX:
        raise BatchTooLarge(len(rows), REFUNDS_MAX)
    if len(rows) != len(proofs):
        raise ProofsNotAsRefunds(len(rows), len(proofs))
    for row, proof in zip(rows, proofs, strict=True):
        index, account, amount = refund = Refund(*row)
        if not verify_proof(compensation.root, refund, proof):
            raise RefundNotInList(number, index)
        process_refund(ledger, number, index=index, account=account, amount=amount)
    return ()


def view_compensation(ledger: SystemLedger, _: Address, number: int) -> Outputs:
    """Return a compensation; raise CompensationNotFound."""
    return get_compensation(ledger, number)


def view_refund(ledger: SystemLedger, _: Address, number: int, account: Address) -> Outputs:
    """Return what an account was paid of a compensation; all zeros: nothing yet."""
    return get_paid_refund(ledger, number, account) or (0, 0, 0)


HANDLERS: Handlers = {
    "payRefunds": pay_refunds,
    "equity": lambda ledger, _: (get_equity(ledger, VAULT),),
    "balance": lambda ledger, _: (get_account(ledger, VAULT).balance,),
    "compensationCount": lambda ledger, _: (ledger.escrow.length,),
    "getCompensation": view_compensation,
    "getRefund": view_refund,
}
