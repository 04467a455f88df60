"""Money moves by whole entries; deposits and withdrawals ask what M3 says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import InsufficientBalance, NotAllowedInMode, WithdrawalsClosed
from node.perp.account import (
    BRIDGE,
    FEES,
    Account,
    Leg,
    get_account,
    market_address,
    process_deposit,
    process_entry,
    process_membership,
    process_withdrawal,
    system_address,
)
from node.perp.events import Deposited, Withdrawn
from node.perp.order import Order, Trigger, TriggerKind
from node.perp.parameters import MarginBracket
from node.perp.status import Mode
from node.perp.trading import process_cancel, process_order
from node.units import Lots, MarketId, OrderId, Quote, RatePpm, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    balance_of,
    make_ledger,
    make_market,
    make_trader,
    order,
    set_chain_mode,
    set_funding_index,
    set_mode,
    set_price,
    trader,
)


def test_system_addresses_are_left_padded() -> None:
    assert system_address(0x1002).hex() == "0" * 36 + "1002"
    assert market_address(MarketId(1)).hex() == "0" * 36 + "2001"


def test_entry_moves_every_leg() -> None:
    ledger = make_ledger()

    process_entry(
        ledger, (Leg(trader(1), Quote(-7)), Leg(trader(2), Quote(5)), Leg(FEES, Quote(2)))
    )

    assert [balance_of(ledger, who) for who in (trader(1), trader(2), FEES)] == [-7, 5, 2]


def test_entry_that_does_not_sum_to_zero_is_our_mistake_i5() -> None:
    ledger = make_ledger()

    with pytest.raises(AssertionError, match="sum to zero"):
        process_entry(ledger, (Leg(trader(1), Quote(1)),))

    assert ledger.accounts.rows == {}


def test_entry_pays_one_account_twice() -> None:
    ledger = make_ledger()

    process_entry(ledger, (Leg(FEES, Quote(3)), Leg(FEES, Quote(4)), Leg(trader(1), Quote(-7))))

    assert balance_of(ledger, FEES) == 7


def test_leg_of_nothing_leaves_no_record() -> None:
    ledger = make_ledger()

    process_entry(ledger, (Leg(trader(1), Quote(0)),))

    assert ledger.accounts.rows == {}


def test_deposit_is_balanced_by_the_bridge_m3() -> None:
    ledger = make_ledger()

    process_deposit(ledger, trader(1), Quote(500))

    assert balance_of(ledger, trader(1)) == 500
    assert balance_of(ledger, BRIDGE) == -500
    assert ledger.events == [Deposited(trader(1), Quote(500))]


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.POST_ONLY, Mode.CANCEL_ONLY])
def test_deposit_is_taken_in_every_mode_but_halted(mode: Mode) -> None:
    ledger = make_ledger()
    set_chain_mode(ledger, mode)

    process_deposit(ledger, trader(1), Quote(500))

    assert balance_of(ledger, trader(1)) == 500


def test_deposit_is_refused_while_halted() -> None:
    ledger = make_ledger()
    set_chain_mode(ledger, Mode.HALTED)

    with pytest.raises(NotAllowedInMode) as refusal:
        process_deposit(ledger, trader(1), Quote(500))

    assert (refusal.value.market, refusal.value.mode) == (0, Mode.HALTED)


def test_withdrawal_pays_out_everything_without_positions_m3() -> None:
    ledger = make_ledger()
    make_trader(ledger, 1, 500)

    process_withdrawal(ledger, trader(1), Quote(500))

    assert balance_of(ledger, trader(1)) == 0
    assert balance_of(ledger, BRIDGE) == 0
    assert ledger.events == [Withdrawn(trader(1), Quote(500))]


def test_withdrawal_of_one_more_is_refused() -> None:
    ledger = make_ledger()
    make_trader(ledger, 1, 500)

    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, trader(1), Quote(501))

    assert (refusal.value.available, refusal.value.needed) == (500, 501)
    assert balance_of(ledger, trader(1)) == 500


def test_withdrawal_leaves_initial_margin_m3() -> None:
    # Resting buy of 10 at 90: open size 10, notional at the mark 1,000, IM 20 % = 200.
    ledger = make_ledger(brackets=(MarginBracket(Quote(0), RatePpm(200_000)),))
    make_trader(ledger, 1, 500)
    process_order(ledger, trader(1), order(10, 90))

    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, trader(1), Quote(301))
    process_withdrawal(ledger, trader(1), Quote(300))

    assert refusal.value.available == 300
    assert balance_of(ledger, trader(1)) == 200


def test_withdrawal_leaves_a_tenth_of_open_notional_rounded_up_m3() -> None:
    # IM is 2 %, so the floor of 10 % binds: open notional 11 · 101 = 1,111, ceil(111.1) = 112.
    ledger = make_ledger(price=101, brackets=(MarginBracket(Quote(0), RatePpm(20_000)),))
    make_trader(ledger, 1, 500)
    process_order(ledger, trader(1), order(11, 90))

    with pytest.raises(InsufficientBalance):
        process_withdrawal(ledger, trader(1), Quote(500 - 111))
    process_withdrawal(ledger, trader(1), Quote(500 - 112))

    assert balance_of(ledger, trader(1)) == 112


@pytest.mark.parametrize("size", [10, -10])
@pytest.mark.parametrize(("mark", "oracle"), [(102, 100), (100, 102), (98, 100), (100, 98)])
def test_withdrawal_counts_the_less_favourable_of_mark_and_oracle_m3(
    size: int, mark: int, oracle: int
) -> None:
    # A long is worth less at the lower of both, a short at the higher; margin is 10 % of the
    # higher, and nothing else counts.
    ledger = make_ledger()
    make_trader(ledger, 1, 500)
    make_trader(ledger, 2, 2_000)
    process_order(ledger, trader(2), order(-size, 100))
    process_order(ledger, trader(1), order(size, 100))
    set_price(ledger, oracle)
    ledger.marks.set(MARKET, ledger.marks.rows[MARKET]._replace(price=Ticks(mark)))
    worst = min(mark, oracle) if size > 0 else max(mark, oracle)
    available = 500 + size * (worst - 100) - max(mark, oracle)

    with pytest.raises(InsufficientBalance):
        process_withdrawal(ledger, trader(1), Quote(available + 1))
    process_withdrawal(ledger, trader(1), Quote(available))


def test_withdrawal_of_somebody_who_never_was_is_refused() -> None:
    with pytest.raises(InsufficientBalance):
        process_withdrawal(make_ledger(), trader(9), Quote(1))


def test_withdrawal_pays_out_unrealised_profit_above_the_margin() -> None:
    # Long 10 from 100, mark 150: equity 200 - 1,000 + 1,500 = 700, IM and floor 150, so 550 leave.
    ledger = make_ledger()
    make_trader(ledger, 1, 200)
    make_trader(ledger, 2, 2_000)
    process_order(ledger, trader(2), order(-10, 100))
    process_order(ledger, trader(1), order(10, 100))
    set_price(ledger, 150)

    with pytest.raises(InsufficientBalance):
        process_withdrawal(ledger, trader(1), Quote(551))
    process_withdrawal(ledger, trader(1), Quote(550))

    assert balance_of(ledger, trader(1)) == 200 - 1_000 - 550


def test_available_is_never_told_as_negative() -> None:
    ledger = make_ledger()
    make_trader(ledger, 1, 100)
    make_trader(ledger, 2, 1_000)
    process_order(ledger, trader(2), order(-10, 100))
    process_order(ledger, trader(1), order(10, 100))
    set_price(ledger, 80)

    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, trader(1), Quote(1))

    assert refusal.value.available == 0


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_withdrawal_needs_the_chain_open_m3(mode: Mode) -> None:
    ledger = make_ledger()
    make_trader(ledger, 1, 500)
    set_chain_mode(ledger, mode)

    with pytest.raises(NotAllowedInMode) as refusal:
        process_withdrawal(ledger, trader(1), Quote(1))

    assert (refusal.value.market, refusal.value.mode) == (0, mode)


def test_withdrawal_needs_open_only_markets_of_the_account_m3() -> None:
    ledger = make_ledger()
    other = make_market(ledger)
    make_trader(ledger, 1, 500)
    process_order(ledger, trader(1), order(1, 90))
    set_mode(ledger, Mode.CANCEL_ONLY, market=other)

    process_withdrawal(ledger, trader(1), Quote(100))
    set_mode(ledger, Mode.POST_ONLY)
    with pytest.raises(NotAllowedInMode) as refusal:
        process_withdrawal(ledger, trader(1), Quote(100))

    assert (refusal.value.market, refusal.value.mode) == (MARKET, Mode.POST_ONLY)


def test_withdrawal_gate_opens_at_its_time_m3() -> None:
    ledger = make_ledger()
    make_trader(ledger, 1, 500)
    until = TimeMs(ledger.time_ms + 1)
    ledger.set_status(ledger.status._replace(withdrawals_from_ms=until))

    with pytest.raises(WithdrawalsClosed) as refusal:
        process_withdrawal(ledger, trader(1), Quote(1))
    ledger.time_ms = until
    process_withdrawal(ledger, trader(1), Quote(1))

    assert refusal.value.until_ms == until
    assert balance_of(ledger, trader(1)) == 499


def test_pending_funding_counts_in_a_withdrawal_f4() -> None:
    # Long 10, index up by 2e9: it owes 20 atoms. Equity 480; IM and floor are 100.
    ledger = make_ledger()
    make_trader(ledger, 1, 500)
    make_trader(ledger, 2, 500)
    process_order(ledger, trader(2), order(-10, 100))
    process_order(ledger, trader(1), order(10, 100))
    set_funding_index(ledger, 2_000_000_000)

    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, trader(1), Quote(381))

    assert refusal.value.available == 380


def test_markets_of_an_account_come_and_go_with_its_orders() -> None:
    ledger = make_ledger()
    other = make_market(ledger)
    make_trader(ledger, 1, 500)

    second = process_order(ledger, trader(1), order(1, 90, market=other))
    first = process_order(ledger, trader(1), order(1, 90))
    both = get_account(ledger, trader(1)).markets
    process_cancel(ledger, trader(1), other, second)
    one = get_account(ledger, trader(1)).markets
    process_cancel(ledger, trader(1), MARKET, first)

    assert both == (MARKET, other)
    assert one == (MARKET,)
    assert get_account(ledger, trader(1)).markets == ()


def test_a_trigger_makes_a_market_the_accounts_too() -> None:
    ledger = make_ledger()
    waiting = Trigger(
        OrderId(1), trader(1), Lots(-1), Ticks(90), TriggerKind.STOP_LOSS, fired_mark=Ticks(0)
    )

    ledger.book(MARKET).put_trigger(waiting)
    process_membership(ledger, trader(1), MARKET)

    assert ledger.accounts.rows[trader(1)] == Account(Quote(0), (MARKET,))


def test_membership_writes_nothing_that_is_true_already() -> None:
    ledger = make_ledger()
    book = ledger.book(MARKET)
    book.put_order(Order(OrderId(1), trader(1), Lots(1), Ticks(90), False, 1))
    process_membership(ledger, trader(1), MARKET)
    before = len(ledger.journal)

    process_membership(ledger, trader(1), MARKET)

    assert len(ledger.journal) == before


@given(
    deposits=st.lists(st.integers(0, 10**12), max_size=5),
    withdrawals=st.lists(st.integers(0, 10**12), max_size=5),
)
def test_margin_balances_sum_to_zero_i1(deposits: list[int], withdrawals: list[int]) -> None:
    ledger = make_ledger()

    for amount in deposits:
        process_deposit(ledger, trader(1), Quote(amount))
    paid = 0
    for amount in withdrawals:
        if amount > balance_of(ledger, trader(1)):
            with pytest.raises(InsufficientBalance):
                process_withdrawal(ledger, trader(1), Quote(amount))
        else:
            process_withdrawal(ledger, trader(1), Quote(amount))
            paid += amount

    assert sum(account.balance for account in ledger.accounts.rows.values()) == 0
    assert balance_of(ledger, trader(1)) == sum(deposits) - paid >= 0


def test_the_floor_is_a_parameter() -> None:
    # Without a floor only IM counts: 10 % of 1,000.
    ledger = make_ledger()
    ledger.params = ledger.params._replace(withdrawal_floor_ppm=RatePpm(500_000))
    make_trader(ledger, 1, 1_000)
    process_order(ledger, trader(1), order(10, 90))

    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, trader(1), Quote(501))

    assert refusal.value.available == 500
