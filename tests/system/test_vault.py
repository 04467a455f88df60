"""The LiquidatorVault contract through calldata: refunds by proof, in batches, all or none."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import (
    BatchTooLarge,
    CompensationNotFound,
    MalformedCalldata,
    NotAllowedInMode,
    ProofsNotAsRefunds,
    RefundNotInList,
    RefundPaidAlready,
    Refusal,
    UnknownSource,
    VaultCannotPay,
)
from node.governance.action import Compensate
from node.governance.refund import Refund, build_proof, compute_root, make_refund_tree
from node.perp.account import REFUNDS, VAULT
from node.perp.events import CompensationClosed, RefundPaid
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.system.classes import ActionClass, classify
from node.system.contracts import contract
from node.system.dispatch import execute_call
from node.system.governance import get_domain, process_action
from node.system.vault import REFUNDS_MAX
from node.units import Address, Quote
from tests.helpers.council import COUNCIL, make, sign_action
from tests.helpers.ledger import balance_of, deposit, next_block, set_chain_mode, trader
from tests.helpers.system_ledger import DictSystemLedger, call, make_system_ledger

ANYBODY = Address(b"\x0e" * 20)
VAULT_ATOMS = 1_000_000


def make_list(*amounts: int) -> tuple[Refund, ...]:
    """Return a list that pays traders 1, 2, … these amounts."""
    return tuple(
        Refund(index, trader(index + 1), Quote(amount)) for index, amount in enumerate(amounts)
    )


def make_compensation(ledger: DictSystemLedger, refunds: Sequence[Refund], **changes: Any) -> Any:
    """Return the council's action for a list, good for ten seconds."""
    total = sum(refund.amount for refund in refunds)
    fields = {
        "source": "LiquidatorVault",
        "root": compute_root(refunds),
        "refunds": len(refunds),
        "total": total,
        "cap": total,
        "pay_until": ledger.time_ms // 1_000 + 10,
    }
    return make(Compensate, **(fields | changes))


def opened(*amounts: int) -> tuple[DictSystemLedger, tuple[Refund, ...]]:
    """Return a ledger whose council had the vault repay a list, and the list."""
    ledger = make_system_ledger()
    ledger.council = COUNCIL
    deposit(ledger, VAULT, VAULT_ATOMS)
    refunds = make_list(*amounts)
    act(ledger, make_compensation(ledger, refunds))
    ledger.events.clear()
    return ledger, refunds


def act(ledger: DictSystemLedger, action: Any) -> None:
    process_action(ledger, action, sign_action(action, get_domain(ledger)))


def pay(
    ledger: DictSystemLedger,
    refunds: Sequence[Refund],
    wanted: Sequence[Refund],
    compensation: int = 1,
) -> None:
    """Ask for refunds of a list, each with its own proof."""
    tree = make_refund_tree(refunds)
    proofs = [build_proof(tree, refund.index) for refund in wanted]
    call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", compensation, wanted, proofs)


def test_anybody_has_a_list_paid_by_its_proofs() -> None:
    ledger, refunds = opened(100, 200, 300)

    pay(ledger, refunds, [refunds[2], refunds[0]])

    assert ledger.events == [
        RefundPaid(1, trader(3), 2, Quote(300)),
        RefundPaid(1, trader(1), 0, Quote(100)),
    ]
    assert [balance_of(ledger, trader(number)) for number in (1, 2, 3)] == [100, 0, 300]
    view = call(ledger, ANYBODY, "LiquidatorVault", "getCompensation", 1)
    until = ledger.time_ms // 1_000 + 10
    assert view == (compute_root(refunds), 3, 600, until, 2, 200, 0, 0)
    paid = call(ledger, ANYBODY, "LiquidatorVault", "getRefund", 1, trader(3))
    assert paid == (2, 300, ledger.height)
    assert call(ledger, ANYBODY, "LiquidatorVault", "getRefund", 1, trader(2)) == (0, 0, 0)
    assert call(ledger, ANYBODY, "LiquidatorVault", "compensationCount") == (1,)

    pay(ledger, refunds, [refunds[1]])

    assert ledger.events[-1] == CompensationClosed(1, 3, Quote(0))
    check_all(ledger)


def test_the_audit_log_names_the_compensation() -> None:
    ledger, _ = opened(100)

    assert ledger.audit_entries.rows[0].result == 1
    act(ledger, make_compensation(ledger, make_list(7, 7)))
    assert ledger.audit_entries.rows[1].result == 2


def test_only_the_vault_is_a_source() -> None:
    ledger, refunds = opened(100)
    for source in ("Fees", "liquidatorvault", ""):
        with pytest.raises(UnknownSource, match=f"source={source}"):
            act(ledger, make_compensation(ledger, refunds, source=source))


def test_a_vault_that_is_worth_less_gives_nothing_l5() -> None:
    ledger, _ = opened(100)
    refunds = make_list(VAULT_ATOMS - 99)

    with pytest.raises(VaultCannotPay) as refused:
        act(ledger, make_compensation(ledger, refunds))

    assert vars(refused.value) == {"equity": VAULT_ATOMS - 100, "total": VAULT_ATOMS - 99}
    assert ledger.audit_log.length == 1


@pytest.mark.parametrize(
    "change",
    [
        {"index": 1},
        {"account": trader(2)},
        {"amount": Quote(101)},
        {"amount": Quote(0)},
        {"amount": Quote(2**256 - 1)},
        {"index": 2**256 - 1},
    ],
    ids=str,
)
def test_a_refund_that_is_not_in_the_list_is_refused_whatever_the_proof(
    change: dict[str, Any],
) -> None:
    ledger, refunds = opened(100, 200)
    wrong = refunds[0]._replace(**change)
    proof = build_proof(make_refund_tree(refunds), 0)
    before = ledger.dump()

    with pytest.raises(RefundNotInList) as refused:
        call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", 1, [wrong], [proof])

    assert vars(refused.value) == {"compensation": 1, "index": wrong.index}
    assert ledger.dump() == before


def test_a_proof_is_good_for_its_own_refund_alone() -> None:
    ledger, refunds = opened(100, 200, 300)
    proof = build_proof(make_refund_tree(refunds), 0)
    for wrong in ((), proof[:-1], (*proof, proof[0])):
        with pytest.raises(RefundNotInList):
            call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", 1, refunds[:1], [wrong])
    with pytest.raises(RefundNotInList):
        call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", 1, refunds[1:2], [proof])


def test_a_batch_is_paid_whole_or_not_at_all() -> None:
    ledger, refunds = opened(100, 200, 300)
    pay(ledger, refunds, refunds[1:2])
    checkpoint, before = ledger.checkpoint(), ledger.dump()

    with pytest.raises(RefundPaidAlready, match="account=0xaa"):
        pay(ledger, refunds, refunds)
    ledger.revert(checkpoint)

    assert ledger.dump() == before
    with pytest.raises(RefundPaidAlready):
        pay(ledger, refunds, [refunds[0], refunds[0]])


def test_a_call_has_at_most_fifty_refunds_and_a_proof_for_each() -> None:
    ledger, refunds = opened(*([1] * (REFUNDS_MAX + 1)))
    with pytest.raises(BatchTooLarge) as refused:
        pay(ledger, refunds, refunds)
    assert vars(refused.value) == {"count": 51, "maximum": 50}
    with pytest.raises(ProofsNotAsRefunds) as mismatch:
        call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", 1, refunds[:2], [()])
    assert vars(mismatch.value) == {"refunds": 2, "proofs": 1}
    pay(ledger, refunds, [])

    pay(ledger, refunds, refunds[1:])

    assert balance_of(ledger, REFUNDS) == 1


def test_a_compensation_must_exist_to_be_read_or_paid() -> None:
    ledger, refunds = opened(100)

    for number in (0, 2):
        with pytest.raises(CompensationNotFound):
            pay(ledger, refunds, refunds, number)
        with pytest.raises(CompensationNotFound):
            call(ledger, ANYBODY, "LiquidatorVault", "getCompensation", number)
        with pytest.raises(CompensationNotFound):
            call(ledger, ANYBODY, "LiquidatorVault", "getRefund", number, trader(1))


def test_a_halted_chain_pays_nothing() -> None:
    ledger, refunds = opened(100)
    set_chain_mode(ledger, Mode.HALTED)

    with pytest.raises(NotAllowedInMode):
        pay(ledger, refunds, refunds)


def test_calldata_that_does_not_decode_is_refused_by_name() -> None:
    ledger, refunds = opened(100)
    of = contract("LiquidatorVault")
    data = of.functions["payRefunds"].encode_call(1, refunds, [()])

    with pytest.raises(MalformedCalldata):
        execute_call(ledger, sender=ANYBODY, to=of.address, value=0, data=data[:-33])


def test_paying_is_an_account_action_o6() -> None:
    assert classify(VAULT, contract("LiquidatorVault").functions["payRefunds"].selector) == (
        ActionClass.ACCOUNT
    )


# --- at random ------------------------------------------------------------------------------------


@given(
    st.lists(st.integers(1, 50_000), min_size=1, max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.integers(0, 3)), max_size=40),
)
def test_in_whatever_order_each_is_paid_once_and_all_sums(
    amounts: list[int], asked: list[tuple[int, int]]
) -> None:
    ledger, refunds = opened(*amounts)
    total, tree = sum(amounts), make_refund_tree(refunds)
    paid: set[int] = set()
    for which, fault in asked:
        refund = refunds[which % len(refunds)]
        proof = build_proof(tree, refund.index)
        if fault == 1:
            refund = refund._replace(amount=Quote(refund.amount + 1))
        elif fault == 2:
            proof = proof[1:] if proof else (compute_root(refunds),)
        elif fault == 3:
            next_block(ledger)
        checkpoint = ledger.checkpoint()
        is_good = fault in (0, 3) and refund.index not in paid
        try:
            call(ledger, ANYBODY, "LiquidatorVault", "payRefunds", 1, [refund], [proof])
            assert is_good
            paid.add(refund.index)
        except Refusal:
            ledger.revert(checkpoint)
            # Ten seconds are over after ten blocks of one second.
            assert not is_good or ledger.time_ms // 1_000 > ledger.compensations.rows[1].pay_until

        check_all(ledger)
        record = ledger.compensations.rows[1]
        received = sum(amounts[index] for index in paid)
        assert received + record.left + record.returned == total
        assert sum(balance_of(ledger, trader(n)) for n in range(1, len(amounts) + 1)) == received
        assert balance_of(ledger, VAULT) == VAULT_ATOMS - total + record.returned
