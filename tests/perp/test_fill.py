"""A fill moves money, positions, open interest and the book as one (M2, O2, O3, L5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.account import BRIDGE, FEES, FLAT, VAULT, Leg, Position, get_account
from node.perp.events import OrderCancelled, OrderFilled, OrderReduced
from node.perp.fee import FeeRates
from node.perp.fill import (
    Fill,
    Taker,
    compute_position,
    compute_reducible,
    process_fill,
    process_removal,
    process_trigger_removal,
)
from node.perp.order import CancelReason, Order, Trigger, TriggerKind
from node.perp.settlement import TRADE
from node.units import FundingIndex, Lots, OrderId, Quote, RatePpm, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    make_ledger,
    make_trader,
    set_funding_index,
    size_of,
    trader,
)

MAKER, TAKER = trader(1), trader(2)
NO_FEES = FeeRates(RatePpm(0), RatePpm(0))


def make_taker(rates: FeeRates = NO_FEES) -> Taker:
    return Taker(TAKER, MARKET, OrderId(99), rates, TRADE)


def rest(
    ledger: DictLedger, number: int, size: int, price: int, *, reduce_only: bool = False
) -> Order:
    order = Order(OrderId(number), MAKER, Lots(size), Ticks(price), reduce_only, ledger.height)
    ledger.book(MARKET).put_order(order)
    return order


def fill_of(size: int, price: int, *legs: Leg) -> Fill:
    return Fill(Lots(size), Ticks(price), legs)


def trade(ledger: DictLedger, number: int, size: int, price: int) -> None:
    """Let the taker take `size` from a maker's order made for it."""
    process_fill(ledger, make_taker(), rest(ledger, number, -size, price), fill_of(size, price))


def open_interest_of(ledger: DictLedger) -> int:
    return ledger.markets.rows[MARKET].open_interest


# --- money ----------------------------------------------------------------------------------------


def test_buyer_pays_the_notional_to_the_seller_m2() -> None:
    # 4 lots · 101 ticks · K 3 = 1,212.
    ledger = make_ledger(k=3)
    maker = rest(ledger, 1, -10, 101)

    process_fill(ledger, make_taker(), maker, fill_of(4, 101))

    assert balance_of(ledger, TAKER) == -1_212
    assert balance_of(ledger, MAKER) == 1_212
    assert ledger.positions.rows == {
        (TAKER, MARKET): Position(Lots(4), Quote(1_212), FundingIndex(0)),
        (MAKER, MARKET): Position(Lots(-4), Quote(-1_212), FundingIndex(0)),
    }


def test_seller_as_taker_mirrors_it_m2() -> None:
    ledger = make_ledger()
    maker = rest(ledger, 1, 10, 99)

    process_fill(ledger, make_taker(), maker, fill_of(-4, 99))

    assert (balance_of(ledger, TAKER), balance_of(ledger, MAKER)) == (396, -396)
    assert (size_of(ledger, TAKER), size_of(ledger, MAKER)) == (-4, 4)


def test_fees_of_both_go_to_the_fees_account_o3() -> None:
    # Notional 1,010: taker 0.1 % = 1.01 -> 2, maker rebate 0.05 % = 0.505 -> 0 kept by Fees.
    ledger = make_ledger()
    maker = rest(ledger, 1, -10, 101)

    process_fill(
        ledger, make_taker(FeeRates(RatePpm(1_000), RatePpm(-500))), maker, fill_of(10, 101)
    )

    assert balance_of(ledger, TAKER) == -1_012
    assert balance_of(ledger, MAKER) == 1_010
    assert balance_of(ledger, FEES) == 2
    assert ledger.events == [
        OrderFilled(
            MARKET,
            MAKER,
            TAKER,
            OrderId(1),
            OrderId(99),
            Lots(10),
            Ticks(101),
            maker_fee=Quote(0),
            taker_fee=Quote(2),
            liquidation=False,
        )
    ]


def test_rebate_is_paid_out_of_the_takers_fee_o3() -> None:
    # Notional 10,000: taker 10, maker -5.
    ledger = make_ledger()
    maker = rest(ledger, 1, -100, 100)

    process_fill(
        ledger, make_taker(FeeRates(RatePpm(1_000), RatePpm(-500))), maker, fill_of(100, 100)
    )

    assert balance_of(ledger, MAKER) == 10_005
    assert balance_of(ledger, FEES) == 5


def test_a_third_partys_legs_join_the_entry_l5() -> None:
    ledger = make_ledger()
    make_trader(ledger, 2, 1_000)
    maker = rest(ledger, 1, -1, 100)

    process_fill(
        ledger,
        make_taker(),
        maker,
        fill_of(1, 100, Leg(TAKER, Quote(-7)), Leg(VAULT, Quote(7))),
    )

    assert balance_of(ledger, TAKER) == 1_000 - 100 - 7
    assert balance_of(ledger, VAULT) == 7


# --- the book and open interest -------------------------------------------------------------------


def test_maker_keeps_its_rest_and_its_place() -> None:
    ledger = make_ledger()
    maker = rest(ledger, 1, -10, 100)
    rest(ledger, 2, -10, 100)

    process_fill(ledger, make_taker(), maker, fill_of(4, 100))

    assert ledger.book(MARKET).best_ask() == maker._replace(size=Lots(-6))


def test_maker_filled_whole_leaves_the_book() -> None:
    ledger = make_ledger()
    maker = rest(ledger, 1, -10, 100)

    process_fill(ledger, make_taker(), maker, fill_of(10, 100))

    assert dict(ledger.book(MARKET).orders) == {}
    assert get_account(ledger, MAKER).markets == (MARKET,)  # for its position


@pytest.mark.parametrize(
    ("fills", "open_interest"),
    [
        ([10], 10),  # both open
        ([10, -4], 6),  # both reduce
        ([10, -10], 0),  # both close
        ([10, -15], 5),  # both flip
        ([-10, 3], 7),
    ],
)
def test_open_interest_is_the_sum_of_longs_i2(fills: list[int], open_interest: int) -> None:
    ledger = make_ledger()

    for number, size in enumerate(fills, start=1):
        trade(ledger, number, size, 100)

    assert open_interest_of(ledger) == open_interest
    assert size_of(ledger, TAKER) == sum(fills) == -size_of(ledger, MAKER)


def test_closed_positions_leave_no_record_and_no_market() -> None:
    ledger = make_ledger()

    trade(ledger, 1, 10, 100)
    trade(ledger, 2, -10, 110)

    assert ledger.positions.rows == {}
    assert get_account(ledger, TAKER).markets == get_account(ledger, MAKER).markets == ()
    assert (balance_of(ledger, TAKER), balance_of(ledger, MAKER)) == (100, -100)


def test_passing_a_position_on_leaves_open_interest() -> None:
    ledger = make_ledger()
    trade(ledger, 1, 10, 100)
    newcomer = Order(OrderId(2), trader(3), Lots(10), Ticks(100), False, ledger.height)
    ledger.book(MARKET).put_order(newcomer)

    process_fill(ledger, make_taker(), newcomer, fill_of(-10, 100))

    assert open_interest_of(ledger) == 10
    assert size_of(ledger, trader(3)) == 10


def test_new_position_begins_at_the_markets_index_f4() -> None:
    ledger = make_ledger()
    set_funding_index(ledger, 5_000)

    trade(ledger, 1, 10, 100)

    assert {position.funding_index for position in ledger.positions.rows.values()} == {5_000}
    assert ledger.fundings.rows[MARKET].size_index_sum == 0  # 10 · 5,000 - 10 · 5,000


def test_unsettled_funding_is_our_mistake_f4() -> None:
    ledger = make_ledger()
    trade(ledger, 1, 10, 100)
    set_funding_index(ledger, 5_000)

    with pytest.raises(AssertionError, match="funding is settled"):
        trade(ledger, 2, 1, 100)


# --- entry values ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "entry", "change", "lot_value", "size_after", "entry_after"),
    [
        (0, 0, 10, 100, 10, 1_000),  # opens
        (0, 0, -10, 100, -10, -1_000),
        (10, 1_000, 5, 130, 15, 1_650),  # adds
        (-10, -1_000, -5, 130, -15, -1_650),
        (10, 1_000, -4, 130, 6, 600),  # takes off 4/10
        (-10, -1_000, 4, 130, -6, -600),
        (3, 1_000, -1, 130, 2, 667),  # 1,000/3 = 333.3 -> 333 leaves
        (-3, -1_000, 1, 130, -2, -667),
        (10, 1_000, -10, 130, 0, 0),  # closes
        (10, 1_000, -15, 130, -5, -650),  # flips
        (-10, -1_000, 15, 130, 5, 650),
    ],
)
def test_entry_value_follows_the_open_size_m2(
    size: int, entry: int, change: int, lot_value: int, size_after: int, entry_after: int
) -> None:
    before = Position(Lots(size), Quote(entry), FundingIndex(7))

    after = compute_position(
        before, Lots(change), cost=Quote(change * lot_value), index=FundingIndex(7)
    )

    assert after == Position(Lots(size_after), Quote(entry_after), FundingIndex(7))


@given(
    changes=st.lists(st.tuples(st.integers(-50, 50).filter(bool), st.integers(1, 200)), max_size=20)
)
def test_entry_value_has_the_sign_of_the_size(changes: list[tuple[int, int]]) -> None:
    position = FLAT
    for change, lot_value in changes:
        position = compute_position(
            position, Lots(change), cost=Quote(change * lot_value), index=FundingIndex(0)
        )

        assert position.size * position.entry_value >= 0
        assert (position.size == 0) == (position.entry_value == 0)


# --- reduce-only ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("position", "size", "reducible"),
    [
        (10, -4, -4),
        (10, -10, -10),
        (10, -11, -10),
        (-10, 4, 4),
        (-10, 12, 10),
        (10, 4, 0),
        (-10, -4, 0),
        (0, 4, 0),
        (0, -4, 0),
    ],
)
def test_reduce_only_is_capped_to_the_position_o2(position: int, size: int, reducible: int) -> None:
    assert compute_reducible(Lots(position), Lots(size)) == reducible


def test_resting_reduce_only_orders_shrink_with_the_position_o2() -> None:
    ledger = make_ledger()
    trade(ledger, 1, -10, 100)  # the maker is long 10
    rest(ledger, 2, -8, 120, reduce_only=True)
    rest(ledger, 3, -3, 121, reduce_only=True)
    ledger.events.clear()

    trade(ledger, 4, 5, 100)  # the maker sells 5: long 5

    assert [order.size for order in ledger.book(MARKET).orders_of(MAKER)] == [-5, -3]
    assert ledger.events[1:] == [OrderReduced(MARKET, MAKER, OrderId(2), Lots(-8), Lots(-5))]


@pytest.mark.parametrize("sold", [10, 12])
def test_resting_reduce_only_orders_leave_with_the_position_o2(sold: int) -> None:
    # Closed, and flipped to short 2.
    ledger = make_ledger()
    trade(ledger, 1, -10, 100)
    rest(ledger, 2, -8, 120, reduce_only=True)
    ledger.events.clear()

    trade(ledger, 4, sold, 100)

    assert dict(ledger.book(MARKET).orders) == {}
    assert ledger.events[1:] == [
        OrderCancelled(MARKET, MAKER, OrderId(2), Lots(-8), CancelReason.REDUCE_ONLY)
    ]


def test_a_filled_reduce_only_order_shrinks_the_others_o2() -> None:
    ledger = make_ledger()
    trade(ledger, 1, -10, 100)
    filled = rest(ledger, 2, -10, 110, reduce_only=True)
    rest(ledger, 3, -10, 120, reduce_only=True)

    process_fill(ledger, make_taker(), filled, fill_of(4, 110))

    assert [order.size for order in ledger.book(MARKET).orders_of(MAKER)] == [-6, -6]


def test_the_takers_reduce_only_orders_follow_too_o2() -> None:
    ledger = make_ledger()
    trade(ledger, 1, 10, 100)  # the taker is long 10
    exit_order = Order(OrderId(2), TAKER, Lots(-10), Ticks(120), True, ledger.height)
    ledger.book(MARKET).put_order(exit_order)

    trade(ledger, 3, -7, 100)

    assert ledger.book(MARKET).orders_of(TAKER) == [exit_order._replace(size=Lots(-3))]


def test_ordinary_orders_stay_when_the_position_closes() -> None:
    ledger = make_ledger()
    trade(ledger, 1, -10, 100)
    stays = rest(ledger, 2, -8, 120)

    trade(ledger, 4, 10, 100)

    assert ledger.book(MARKET).orders_of(MAKER) == [stays]


# --- removals -------------------------------------------------------------------------------------


def test_removal_says_what_remained_and_why() -> None:
    ledger = make_ledger()
    order = rest(ledger, 1, -10, 100)

    process_removal(ledger, MARKET, order, CancelReason.REQUESTED)

    assert dict(ledger.book(MARKET).orders) == {}
    assert ledger.events == [
        OrderCancelled(MARKET, MAKER, OrderId(1), Lots(-10), CancelReason.REQUESTED)
    ]


def test_trigger_removal_says_so_too() -> None:
    ledger = make_ledger()
    trigger = Trigger(OrderId(1), MAKER, Lots(-2), Ticks(90), TriggerKind.STOP_LOSS, Ticks(0))
    ledger.book(MARKET).put_trigger(trigger)

    process_trigger_removal(ledger, MARKET, trigger, CancelReason.REDUCE_ONLY)

    assert dict(ledger.book(MARKET).triggers) == {}
    assert ledger.events == [
        OrderCancelled(MARKET, MAKER, OrderId(1), Lots(-2), CancelReason.REDUCE_ONLY)
    ]


# --- properties -----------------------------------------------------------------------------------


@given(
    fills=st.lists(
        st.tuples(st.integers(-100, 100).filter(bool), st.integers(1, 1_000)), max_size=15
    ),
    taker_ppm=st.integers(0, 5_000),
    revalued=st.integers(1, 1_000),
    data=st.data(),
)
def test_fills_conserve_money_size_and_equity_i1_i2_i5(
    fills: list[tuple[int, int]], taker_ppm: int, revalued: int, data: st.DataObject
) -> None:
    maker_ppm = data.draw(st.integers(-taker_ppm, 5_000))
    rates = FeeRates(RatePpm(taker_ppm), RatePpm(maker_ppm))
    ledger = make_ledger()

    for number, (size, price) in enumerate(fills, start=1):
        maker = rest(ledger, number, -size, price)
        process_fill(ledger, make_taker(rates), maker, fill_of(size, price))

    balances = sum(account.balance for account in ledger.accounts.rows.values())
    sizes = [position.size for position in ledger.positions.rows.values()]
    assert balances == 0
    assert sum(sizes) == 0
    assert open_interest_of(ledger) == sum(size for size in sizes if size > 0)
    assert balance_of(ledger, FEES) >= 0
    assert balances + sum(size * revalued for size in sizes) == 0
    assert balance_of(ledger, BRIDGE) == 0
