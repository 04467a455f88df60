"""A market ends for good: everybody is paid at one price, and nothing opens it again (X5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import (
    InvalidPrice,
    MarketClosed,
    MarketNotFound,
    NotAllowedInMode,
    SettlementPriceTooFar,
)
from node.perp.account import DEFICIT, VAULT, get_account
from node.perp.closure import process_settlement, require_settlement_price
from node.perp.decrees import process_decrees, process_set_mode
from node.perp.events import MarketSettled, ModeChanged, OrderCancelled, PositionSettled
from node.perp.funding import get_funding
from node.perp.invariants import check_block
from node.perp.mark import process_mark
from node.perp.market import Closure
from node.perp.modes import process_reopening
from node.perp.oracle import (
    Jump,
    Report,
    get_oracle,
    process_acknowledgement,
    process_prices,
)
from node.perp.order import CancelReason, TriggerKind, TriggerRequest
from node.perp.status import Mode, get_mode, get_status
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.trigger import process_trigger_request
from node.perp.vault import process_negative_balances
from node.units import Height, Lots, MarketId, Quote, RatePpb, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    deposit,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    reporter,
    set_funding_index,
    set_mode,
    size_of,
    trader,
)
from tests.perp.test_invariants import snapshot, touched_by

LONG, SHORT = trader(1), trader(2)


def open_ledger(margin: int = 10_000) -> DictLedger:
    """Return a ledger in which LONG bought 100 lots from SHORT at 1,000, with orders open."""
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 10**6)
    make_trader(ledger, 2, 10**6)
    process_order(ledger, SHORT, order(-100, 1_000))
    process_order(ledger, LONG, order(100, 1_000))
    deposit(ledger, LONG, margin - 10**6)
    next_block(ledger)
    return ledger


def settle(ledger: DictLedger, price: int) -> None:
    process_settlement(ledger, MARKET, Ticks(price))


def test_positions_are_closed_at_one_price_in_one_entry_x5() -> None:
    ledger = open_ledger()

    settle(ledger, 1_020)

    assert (balance_of(ledger, LONG), balance_of(ledger, SHORT)) == (12_000, 10**6 - 2_000)
    assert ledger.positions.rows == {}
    assert ledger.markets.rows[MARKET].open_interest == 0
    assert [event for event in ledger.events if isinstance(event, PositionSettled)] == [
        PositionSettled(MARKET, LONG, Lots(100), Quote(102_000)),
        PositionSettled(MARKET, SHORT, Lots(-100), Quote(-102_000)),
    ]
    assert MarketSettled(MARKET, Ticks(1_020)) in ledger.events
    assert ledger.closures.get(MARKET) == Closure(Ticks(1_020), Height(1_001))
    assert get_account(ledger, LONG).markets == ()
    check_all(ledger)


def test_orders_and_triggers_are_cancelled_by_id_x5() -> None:
    ledger = open_ledger(10**6)
    trigger = TriggerRequest(MARKET, Lots(-5), Ticks(900), TriggerKind.STOP_LOSS)
    placed = [
        process_order(ledger, SHORT, order(1, 990)),
        process_order(ledger, LONG, order(-100, 1_100, reduce_only=True)),
        process_order(ledger, SHORT, order(-1, 1_040)),
        process_trigger_request(ledger, LONG, trigger),
    ]

    settle(ledger, 1_000)

    cancelled = [event for event in ledger.events if isinstance(event, OrderCancelled)]
    assert [event.order_id for event in cancelled] == placed
    assert {event.reason for event in cancelled} == {CancelReason.SETTLEMENT}
    assert not ledger.book(MARKET).orders
    assert not ledger.book(MARKET).triggers


def test_funding_is_settled_first_x5_f4() -> None:
    # Longs owe a third of an atom a lot: 33.3 atoms, 34 by the floor; shorts get 33, and 2/3 of an
    # atom are the dust that the pool keeps: 34 - 33 = 1 atom in all.
    ledger = open_ledger()
    set_funding_index(ledger, 333_333_333)

    settle(ledger, 1_000)

    assert (balance_of(ledger, LONG), balance_of(ledger, SHORT)) == (10_000 - 34, 10**6 + 33)
    assert get_funding(ledger, MARKET).dust == 10**9
    assert get_funding(ledger, MARKET).size_index_sum == 0
    check_all(ledger)


def test_negative_equity_goes_to_the_vault_and_the_deficit_x5_l6() -> None:
    ledger = open_ledger()
    deposit(ledger, VAULT, 300)

    settle(ledger, 890)
    assert balance_of(ledger, LONG) == -1_000
    process_negative_balances(ledger)

    assert [balance_of(ledger, each) for each in (LONG, VAULT, DEFICIT)] == [0, 0, -700]


def test_vaults_position_is_settled_like_others_x5() -> None:
    ledger = open_ledger()
    position = ledger.positions.rows.pop((LONG, MARKET))
    ledger.positions.set((VAULT, MARKET), position)
    ledger.accounts.set(VAULT, get_account(ledger, LONG))
    ledger.accounts.delete(LONG)

    settle(ledger, 1_010)

    assert balance_of(ledger, VAULT) == 11_000


def test_settlement_price_may_cost_the_vault_more_than_it_has_x5_l5() -> None:
    """Like a jump: nothing was taken from it but what its position is worth."""
    ledger = open_ledger()
    deposit(ledger, VAULT, 1_000)
    process_order(ledger, SHORT, order(-100, 1_000))
    process_order(ledger, VAULT, order(100, 1_000))
    before = snapshot(ledger)
    next_block(ledger)

    settle(ledger, 900)
    process_decrees(ledger)

    check_block(before, ledger, touched_by(before, ledger))
    assert balance_of(ledger, VAULT) == 1_000 - 100 * 100


def test_other_markets_go_on_x5() -> None:
    ledger = open_ledger()
    second = make_market(ledger, price=50)
    make_trader(ledger, 3, 10**6)
    process_order(ledger, SHORT, order(-10, 50, market=second))
    process_order(ledger, trader(3), order(10, 50, market=second))

    settle(ledger, 1_000)

    assert size_of(ledger, trader(3), second) == 10
    assert get_mode(ledger, second) == Mode.OPEN
    assert get_account(ledger, SHORT).markets == (second,)
    check_all(ledger)


@pytest.mark.parametrize("mode", list(Mode))
def test_market_is_halted_for_ever_x5(mode: Mode) -> None:
    ledger = open_ledger()
    set_mode(ledger, mode)
    funding = ledger.fundings.rows[MARKET]
    ledger.fundings.set(MARKET, funding._replace(rate_ppb=RatePpb(7), premium_sum=9))

    settle(ledger, 1_000)
    process_reopening(ledger)
    process_decrees(ledger)

    assert get_status(ledger, MARKET).mode == Mode.HALTED
    assert get_status(ledger, MARKET).held == Mode.HALTED
    changes = [event for event in ledger.events if isinstance(event, ModeChanged)]
    assert len(changes) == (mode != Mode.HALTED)
    assert (get_funding(ledger, MARKET).premium_sum == 0) == (mode == Mode.OPEN)
    with pytest.raises(NotAllowedInMode):
        process_order(ledger, SHORT, order(1, 1_000))
    with pytest.raises(MarketClosed):
        process_set_mode(ledger, MARKET, Mode.OPEN)
    with pytest.raises(MarketClosed):
        settle(ledger, 1_000)


@pytest.mark.parametrize("price", [0, -1, 2**53])
def test_price_must_be_a_price_x5(price: int) -> None:
    ledger = open_ledger()

    with pytest.raises(InvalidPrice):
        settle(ledger, price)
    assert size_of(ledger, LONG) == 100


def test_unknown_market_x5() -> None:
    with pytest.raises(MarketNotFound):
        process_settlement(open_ledger(), MarketId(7), Ticks(1))


@pytest.mark.parametrize(
    ("price", "is_near"), [(949, False), (950, True), (1_050, True), (1_051, False)]
)
def test_price_within_max_move_needs_no_name_x5(price: int, is_near: bool) -> None:
    ledger = open_ledger()

    if is_near:
        require_settlement_price(ledger, MARKET, Ticks(price))
    else:
        with pytest.raises(SettlementPriceTooFar):
            require_settlement_price(ledger, MARKET, Ticks(price))


@given(
    st.lists(st.tuples(st.integers(2, 6), st.integers(1, 50)), max_size=8),
    st.integers(1, 5_000),
    st.integers(-(10**11), 10**11),
)
def test_settlement_stands_before_the_invariants_x5(
    trades: list[tuple[int, int]], price: int, index: int
) -> None:
    ledger = make_ledger(price=1_000)
    for number in range(1, 7):
        make_trader(ledger, number, 10**6)
    for number, size in trades:
        process_order(ledger, LONG, order(size, 1_000))
        process_order(ledger, trader(number), order(-size, 1_000))
    set_funding_index(ledger, index)
    before = snapshot(ledger)
    next_block(ledger)

    settle(ledger, price)
    process_decrees(ledger)

    check_block(before, ledger, touched_by(before, ledger))
    check_all(ledger)
    assert sum(account.balance for account in ledger.accounts.rows.values()) == 0


def test_jump_may_be_acknowledged_and_its_market_settled_in_one_block_x5_p2() -> None:
    ledger = open_ledger()
    set_mode(ledger, Mode.CANCEL_ONLY)
    for number in (1, 2):
        ledger.reports.set((MARKET, reporter(number)), Report(Ticks(1_100), ledger.time_ms))
    jump = Jump(up=True, since_ms=ledger.time_ms, since_height=ledger.height)
    ledger.oracles.set(MARKET, get_oracle(ledger, MARKET)._replace(jump=(jump,)))
    before = snapshot(ledger)
    next_block(ledger)

    process_acknowledgement(ledger, MARKET, Ticks(1_100))
    settle(ledger, 1_100)
    process_prices(ledger)
    process_mark(ledger)
    process_decrees(ledger)

    check_block(before, ledger, touched_by(before, ledger))
    assert get_oracle(ledger, MARKET).price == 1_100
