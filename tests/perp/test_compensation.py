"""The vault repays a list: all at once, each refund once, what is left at the end (I8, L5)."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import (
    CompensationEnded,
    CompensationNotFound,
    CompensationOverCap,
    InvalidCompensation,
    InvalidPayUntil,
    InvalidRefund,
    InvariantViolation,
    NotAllowedInMode,
    RefundListUsed,
    RefundPaidAlready,
    RefundsExceedTotal,
    Refusal,
    VaultCannotPay,
)
from node.perp.account import REFUNDS, SYSTEM_ADDRESS_MAX, VAULT, Leg, process_entry
from node.perp.checks import check_compensated, check_escrow, check_vault
from node.perp.closure import process_settlement
from node.perp.compensation import (
    NO_ESCROW,
    Compensation,
    Escrow,
    NewCompensation,
    PaidRefund,
    get_compensation,
    get_paid_refund,
    process_compensation,
    process_compensation_ends,
    process_refund,
)
from node.perp.events import CompensationClosed, CompensationOpened, RefundPaid
from node.perp.invariants import check_all, compute_told_gains
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import CHAIN, Mode
from node.perp.trading import process_order
from node.units import Address, Hash32, Height, Quote, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    deposit,
    make_ledger,
    make_trader,
    next_block,
    order,
    set_chain_mode,
    set_funding_index,
    set_price,
    trader,
)

ROOT = Hash32(b"\x01" * 32)
FIRST, SECOND, THIRD = trader(1), trader(2), trader(3)
PERSON = Address((int.from_bytes(SYSTEM_ADDRESS_MAX, "big") + 1).to_bytes(20, "big"))
"""The lowest address that is no system account's."""


def make_vault(amount: int = 1_000) -> DictLedger:
    """Return a ledger whose vault has so much, and nothing else, within a second."""
    ledger = make_ledger()
    ledger.time_ms = TimeMs(ledger.time_ms + 250)
    deposit(ledger, VAULT, amount)
    ledger.events.clear()
    return ledger


def seconds(ledger: DictLedger) -> int:
    return ledger.time_ms // 1_000


def open_list(ledger: DictLedger, **changes: Any) -> int:
    """Have the vault repay three refunds, 600 in all, for ten seconds."""
    new = NewCompensation(ROOT, 3, Quote(600), Quote(600), seconds(ledger) + 10)
    return process_compensation(ledger, new._replace(**changes))


def pay(
    ledger: DictLedger, index: int, account: Address, amount: int, compensation: int = 1
) -> None:
    process_refund(ledger, compensation, index=index, account=account, amount=Quote(amount))


def require_refused(ledger: DictLedger, refusal: type[Refusal], act: Callable[[], Any]) -> Any:
    """Return the values of a refusal that changed nothing."""
    before = ledger.dump()
    with pytest.raises(refusal) as refused:
        act()
    assert ledger.dump() == before, "a refusal leaves a trace"
    return vars(refused.value)


# --- the council ----------------------------------------------------------------------------------


def test_the_vault_gives_the_whole_total_at_once() -> None:
    ledger = make_vault(1_000)

    assert open_list(ledger) == 1

    assert (balance_of(ledger, VAULT), balance_of(ledger, REFUNDS)) == (400, 600)
    until = seconds(ledger) + 10
    assert get_compensation(ledger, 1) == Compensation(
        ROOT, 3, Quote(600), until, paid=0, left=Quote(600), returned=Quote(0)
    )
    assert ledger.escrow == Escrow(1, (1,))
    assert ledger.events == [CompensationOpened(1, ROOT, 3, Quote(600), until)]
    check_all(ledger)


def test_the_vault_may_give_all_that_it_is_worth_and_no_atom_more_l5() -> None:
    ledger = make_vault(600)
    told = require_refused(
        ledger, VaultCannotPay, lambda: open_list(ledger, total=Quote(601), cap=Quote(601))
    )
    assert told == {"equity": 600, "total": 601}

    open_list(ledger)

    assert balance_of(ledger, VAULT) == 0
    require_refused(
        ledger,
        VaultCannotPay,
        lambda: open_list(ledger, root=Hash32(bytes(32)), refunds=1, total=Quote(1)),
    )


def test_what_the_vault_is_worth_counts_its_positions_and_pending_funding_l5() -> None:
    # 10 lots bought at 100, now 110: worth 100 more; the index 5e9 higher: 50 less.
    ledger = make_ledger(vault_size_max=100)
    make_trader(ledger, 2, 10**6)
    deposit(ledger, VAULT, 1_000)
    process_order(ledger, SECOND, order(-10, 100))
    process_order(ledger, VAULT, order(10, 100))
    set_price(ledger, 110)
    set_funding_index(ledger, 5 * 10**9)
    told = require_refused(
        ledger, VaultCannotPay, lambda: open_list(ledger, total=Quote(1_051), cap=Quote(2_000))
    )
    assert told == {"equity": 1_050, "total": 1_051}

    open_list(ledger, total=Quote(1_050), cap=Quote(2_000))


def test_the_total_is_at_most_the_cap() -> None:
    ledger = make_vault(1_000)

    told = require_refused(ledger, CompensationOverCap, lambda: open_list(ledger, cap=Quote(599)))

    assert told == {"total": 600, "cap": 599}


@pytest.mark.parametrize(("refunds", "total"), [(0, 600), (-1, 600), (601, 600), (1, 0), (0, 0)])
def test_every_refund_of_a_list_has_an_atom(refunds: int, total: int) -> None:
    ledger = make_vault(1_000)

    told = require_refused(
        ledger, InvalidCompensation, lambda: open_list(ledger, refunds=refunds, total=Quote(total))
    )

    assert told == {"refunds": refunds, "total": total}
    assert open_list(ledger, refunds=600) == 1


def test_the_end_lies_ahead() -> None:
    ledger = make_vault(1_000)
    now = seconds(ledger)
    told = require_refused(ledger, InvalidPayUntil, lambda: open_list(ledger, pay_until=now - 1))
    assert told == {"pay_until": now - 1, "time": now}
    require_refused(ledger, InvalidPayUntil, lambda: open_list(ledger, pay_until=MAGNITUDE_MAX + 1))

    open_list(ledger, pay_until=now, refunds=1, total=Quote(1))
    other = Hash32(b"\x02" * 32)
    open_list(ledger, root=other, pay_until=MAGNITUDE_MAX)

    assert ledger.escrow == Escrow(2, (1, 2))


def test_a_list_is_used_once_even_after_its_end() -> None:
    ledger = make_vault(1_000)
    other = Hash32(b"\x02" * 32)
    open_list(ledger, root=other, total=Quote(100))
    assert open_list(ledger, total=Quote(100)) == 2
    told = require_refused(ledger, RefundListUsed, lambda: open_list(ledger, total=Quote(100)))
    assert told == {"root": ROOT, "compensation": 2}
    next_block(ledger, 11_000)
    process_compensation_ends(ledger)

    told = require_refused(ledger, RefundListUsed, lambda: open_list(ledger, root=other))

    assert told == {"root": other, "compensation": 1}


def test_the_council_compensates_in_a_halted_chain_too() -> None:
    ledger = make_vault(1_000)
    set_chain_mode(ledger, Mode.HALTED)

    assert open_list(ledger) == 1


# --- payment --------------------------------------------------------------------------------------


def test_a_refund_is_paid_to_the_margin_balance_once() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    ledger.events.clear()

    pay(ledger, 1, SECOND, 200)

    assert [balance_of(ledger, each) for each in (SECOND, REFUNDS, VAULT)] == [200, 400, 400]
    assert get_compensation(ledger, 1)[4:] == (1, 400, 0, 0)
    assert ledger.paid_refunds.rows == {
        (1, SECOND): PaidRefund(1, Quote(200), ledger.height),
    }
    assert ledger.events == [RefundPaid(1, SECOND, 1, Quote(200))]
    assert compute_told_gains(ledger, ledger.events) == {SECOND: 200, REFUNDS: -200}
    check_all(ledger)
    height = ledger.height
    next_block(ledger)
    told = require_refused(ledger, RefundPaidAlready, lambda: pay(ledger, 1, SECOND, 200))
    assert told == {"compensation": 1, "account": SECOND, "height": height}
    require_refused(ledger, RefundPaidAlready, lambda: pay(ledger, 2, SECOND, 100))


def test_the_last_refund_ends_the_compensation() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    for index, (account, amount) in enumerate(((FIRST, 100), (SECOND, 200))):
        pay(ledger, index, account, amount)
    ledger.events.clear()

    pay(ledger, 2, THIRD, 300)

    assert ledger.events == [
        RefundPaid(1, THIRD, 2, Quote(300)),
        CompensationClosed(1, 3, Quote(0)),
    ]
    assert get_compensation(ledger, 1)[4:] == (3, 0, 0, ledger.height)
    assert ledger.escrow == Escrow(1, ())
    assert (balance_of(ledger, REFUNDS), balance_of(ledger, VAULT)) == (0, 400)
    check_all(ledger)
    require_refused(ledger, RefundPaidAlready, lambda: pay(ledger, 2, THIRD, 300))
    told = require_refused(ledger, CompensationEnded, lambda: pay(ledger, 2, PERSON, 1))
    now = seconds(ledger)
    assert told == {"compensation": 1, "pay_until": now + 10, "time": now}


def test_a_list_that_sums_to_less_returns_the_rest_with_its_last_refund() -> None:
    ledger = make_vault(1_000)
    open_list(ledger, refunds=2)
    pay(ledger, 0, FIRST, 100)
    ledger.events.clear()

    pay(ledger, 1, SECOND, 200)

    assert ledger.events[-1] == CompensationClosed(1, 2, Quote(300))
    assert get_compensation(ledger, 1)[4:] == (2, 0, 300, ledger.height)
    assert balance_of(ledger, VAULT) == 700
    check_all(ledger)


def test_a_list_that_sums_to_more_pays_no_more_than_was_signed() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    pay(ledger, 0, FIRST, 100)
    told = require_refused(ledger, RefundsExceedTotal, lambda: pay(ledger, 1, SECOND, 501))
    assert told == {"compensation": 1, "amount": 501, "left": 500}

    pay(ledger, 1, SECOND, 500)

    assert get_compensation(ledger, 1)[4:] == (2, 0, 0, ledger.height), "nothing is left: it ends"
    assert ledger.events[-1] == CompensationClosed(1, 2, Quote(0))


@pytest.mark.parametrize(
    ("index", "account", "amount"),
    [(3, FIRST, 1), (-1, FIRST, 1), (0, FIRST, 0), (0, FIRST, -1), (0, SYSTEM_ADDRESS_MAX, 1)],
)
def test_a_row_that_no_list_may_have_is_refused(index: int, account: Address, amount: int) -> None:
    ledger = make_vault(1_000)
    open_list(ledger)

    told = require_refused(ledger, InvalidRefund, lambda: pay(ledger, index, account, amount))

    assert told == {"compensation": 1, "index": index, "account": account, "amount": amount}


def test_the_smallest_row_and_the_last_index_are_good() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)

    pay(ledger, 2, PERSON, 1)

    assert balance_of(ledger, PERSON) == 1


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_a_compensation_must_exist(number: int) -> None:
    ledger = make_vault(1_000)
    open_list(ledger)

    told = require_refused(ledger, CompensationNotFound, lambda: pay(ledger, 0, FIRST, 1, number))

    assert told == {"compensation": number, "count": 1}
    with pytest.raises(CompensationNotFound):
        get_paid_refund(ledger, number, FIRST)


@pytest.mark.parametrize("number", [0, 2])
def test_what_the_escrow_does_not_count_is_no_compensation(number: int) -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    ledger.compensations.set(number, get_compensation(ledger, 1))

    with pytest.raises(CompensationNotFound):
        get_compensation(ledger, number)


def test_a_payment_is_known_by_compensation_and_account() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    pay(ledger, 2, SECOND, 50)

    assert get_paid_refund(ledger, 1, SECOND) == PaidRefund(2, Quote(50), ledger.height)
    assert get_paid_refund(ledger, 1, FIRST) is None


@pytest.mark.parametrize("mode", list(Mode))
def test_refunds_are_paid_like_deposits_in_every_mode_but_halted(mode: Mode) -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    set_chain_mode(ledger, mode)
    if mode == Mode.HALTED:
        told = require_refused(ledger, NotAllowedInMode, lambda: pay(ledger, 0, FIRST, 1))
        assert told == {"market": CHAIN, "mode": Mode.HALTED}
        return

    pay(ledger, 0, FIRST, 1)

    assert balance_of(ledger, FIRST) == 1


def test_an_account_has_one_refund_of_each_compensation() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    open_list(ledger, root=Hash32(b"\x02" * 32), total=Quote(300))
    pay(ledger, 0, FIRST, 100)

    pay(ledger, 0, FIRST, 200, 2)

    assert balance_of(ledger, FIRST) == 300
    assert [get_compensation(ledger, number).left for number in (1, 2)] == [500, 100]
    check_all(ledger)


# --- the end --------------------------------------------------------------------------------------


def test_what_nobody_asked_for_returns_to_the_vault_after_the_last_second() -> None:
    ledger = make_vault(1_000)
    ledger.time_ms = TimeMs(ledger.time_ms // 1_000 * 1_000)
    open_list(ledger)
    pay(ledger, 0, FIRST, 100)
    next_block(ledger, 10_999)
    before = ledger.dump()
    process_compensation_ends(ledger)
    assert ledger.dump() == before, "it is the last second"
    pay(ledger, 1, SECOND, 200)
    next_block(ledger, 1)
    require_refused(ledger, CompensationEnded, lambda: pay(ledger, 2, THIRD, 300))

    process_compensation_ends(ledger)

    assert ledger.events == [CompensationClosed(1, 2, Quote(300))]
    assert compute_told_gains(ledger, ledger.events) == {REFUNDS: -300, VAULT: 300}
    assert get_compensation(ledger, 1)[4:] == (2, 0, 300, ledger.height)
    assert ledger.escrow == Escrow(1, ())
    assert [balance_of(ledger, each) for each in (VAULT, REFUNDS)] == [700, 0]
    check_all(ledger)
    require_refused(ledger, CompensationEnded, lambda: pay(ledger, 2, THIRD, 300))


def test_each_compensation_ends_at_its_own_time() -> None:
    ledger = make_vault(1_000)
    now = seconds(ledger)
    for byte, until in ((1, now + 5), (2, now + 50), (3, now + 5)):
        root = Hash32(bytes([byte]) * 32)
        open_list(ledger, root=root, total=Quote(100 * byte), pay_until=until)
    next_block(ledger, 6_000)

    process_compensation_ends(ledger)

    assert ledger.events == [
        CompensationClosed(1, 0, Quote(100)),
        CompensationClosed(3, 0, Quote(300)),
    ]
    assert ledger.escrow == Escrow(3, (2,))
    check_all(ledger)


def test_nothing_moves_while_halted() -> None:
    ledger = make_vault(1_000)
    open_list(ledger)
    next_block(ledger, 11_000)
    set_chain_mode(ledger, Mode.HALTED)
    before = ledger.dump()
    process_compensation_ends(ledger)
    assert ledger.dump() == before

    set_chain_mode(ledger, Mode.CANCEL_ONLY)
    process_compensation_ends(ledger)

    assert balance_of(ledger, VAULT) == 1_000


def test_without_a_compensation_there_is_no_escrow() -> None:
    ledger = make_vault(1_000)
    before = ledger.dump()

    process_compensation_ends(ledger)

    assert ledger.dump() == before
    assert ledger.escrow == NO_ESCROW


# --- invariants -----------------------------------------------------------------------------------


def opened() -> DictLedger:
    ledger = make_vault(1_000)
    open_list(ledger)
    pay(ledger, 0, FIRST, 100)
    return ledger


def change(ledger: DictLedger, **changes: Any) -> None:
    ledger.compensations.set(1, get_compensation(ledger, 1)._replace(**changes))


@pytest.mark.parametrize(
    ("tamper", "field"),
    [
        (
            lambda ledger: process_entry(ledger, (Leg(REFUNDS, Quote(-1)), Leg(VAULT, Quote(1)))),
            "Refunds balance: was 499, expected 500",
        ),
        (lambda ledger: ledger.set_escrow(Escrow(1, ())), "Refunds balance: was 500, expected 0"),
        (lambda ledger: change(ledger, paid=2), "compensation 1, refunds paid: was 2, expected 1"),
        (lambda ledger: change(ledger, total=601), "compensation 1, total: was 601, expected 600"),
        (lambda ledger: change(ledger, returned=1), "compensation 1, total: was 600, expected 601"),
        (
            lambda ledger: ledger.paid_refunds.set((1, FIRST), PaidRefund(0, Quote(99), Height(1))),
            "compensation 1, total: was 600, expected 599",
        ),
        (
            lambda ledger: ledger.paid_refunds.delete((1, FIRST)),
            "compensation 1, refunds paid: was 1, expected 0",
        ),
        (
            lambda ledger: change(ledger, closed_height=7),
            "compensation 1, open: was False, expected True",
        ),
    ],
)
def test_the_full_sweep_names_what_does_not_sum_i1(
    tamper: Callable[[Any], None], field: str
) -> None:
    ledger = opened()
    check_all(ledger)
    tamper(ledger)

    with pytest.raises(InvariantViolation, match=field):
        check_all(ledger)


def test_every_block_checks_what_refunds_holds_i1() -> None:
    ledger = opened()
    check_escrow(ledger)
    change(ledger, left=Quote(501))

    with pytest.raises(InvariantViolation, match="Refunds balance: was 500, expected 501"):
        check_escrow(ledger)


def test_a_block_in_which_the_mark_falls_stands_after_a_compensation_i6() -> None:
    # The vault: 1,000 and 10 lots bought at 100; at 100 it may give all, at 90 it is 100 short.
    ledger = make_ledger(vault_size_max=100)
    make_trader(ledger, 2, 10**6)
    deposit(ledger, VAULT, 1_000)
    process_order(ledger, SECOND, order(-10, 100))
    process_order(ledger, VAULT, order(10, 100))
    before = copy.deepcopy(ledger)
    next_block(ledger)
    open_list(ledger, total=Quote(1_000), cap=Quote(1_000))
    set_price(ledger, 90)

    check_compensated(before, ledger, 1_000)
    check_vault(before, ledger, compensated=1_000)

    with pytest.raises(InvariantViolation, match="equity: was -100, expected at least -99"):
        check_vault(before, ledger, compensated=999)


def test_no_block_may_take_more_of_the_vault_than_it_was_worth_i6() -> None:
    before = make_vault(1_000)
    after = copy.deepcopy(before)
    check_compensated(before, after, 0)
    check_compensated(before, after, 1_000)

    with pytest.raises(
        InvariantViolation, match="LiquidatorVault, compensations: was 1001, expected at most 1000"
    ):
        check_compensated(before, after, 1_001)


@pytest.mark.parametrize(("price", "worth"), [(90, 1_000), (100, 1_000), (110, 1_100)])
def test_a_market_settled_in_the_block_counts_as_the_council_may_have_found_it_i6(
    price: int, worth: int
) -> None:
    ledger = make_ledger(vault_size_max=100)
    make_trader(ledger, 2, 10**6)
    deposit(ledger, VAULT, 1_000)
    process_order(ledger, SECOND, order(-10, 100))
    process_order(ledger, VAULT, order(10, 100))
    before = copy.deepcopy(ledger)
    next_block(ledger)
    process_settlement(ledger, MARKET, Ticks(price))

    check_compensated(before, ledger, worth)

    with pytest.raises(InvariantViolation, match="compensations"):
        check_compensated(before, ledger, worth + 1)


def test_an_empty_vault_below_zero_is_nobodys_matter_without_a_compensation_i6() -> None:
    before = make_vault(0)
    process_entry(before, (Leg(VAULT, Quote(-50)), Leg(FIRST, Quote(50))))

    check_compensated(before, copy.deepcopy(before), 0)


# --- at random ------------------------------------------------------------------------------------

steps = st.lists(
    st.one_of(
        st.tuples(st.just("open"), st.integers(-1, 400), st.integers(1, 5)),
        st.tuples(st.just("pay"), st.integers(0, 3), st.integers(1, 6), st.integers(-1, 200)),
        st.tuples(st.just("wait"), st.integers(1, 6_000)),
    ),
    max_size=40,
)


@given(steps)
def test_whatever_is_asked_all_money_stays_where_the_records_say_i1_i5_i8(
    asked: list[tuple[Any, ...]],
) -> None:
    ledger = make_vault(1_000)
    for position, (what, *values) in enumerate(asked):
        checkpoint = ledger.checkpoint()
        try:
            if what == "open":
                total, refunds = values
                root = Hash32(position.to_bytes(32, "big"))
                until = seconds(ledger) + 3
                new = NewCompensation(root, refunds, Quote(total), Quote(300), until)
                process_compensation(ledger, new)
            elif what == "pay":
                number, who, amount = values
                pay(ledger, who - 1, trader(who), amount, number)
            else:
                next_block(ledger, values[0])
                process_compensation_ends(ledger)
        except Refusal:
            ledger.revert(checkpoint)
        check_all(ledger)  # Σ of all balances is 0, and paid + left + returned are each total
        received = sum(refund.amount for refund in ledger.paid_refunds.rows.values())
        people = sum(balance_of(ledger, trader(number)) for number in range(1, 7))
        assert people == received
        assert balance_of(ledger, VAULT) + balance_of(ledger, REFUNDS) + received == 1_000
        assert balance_of(ledger, VAULT) >= 0
