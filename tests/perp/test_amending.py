"""Amending what rests: what keeps its place, what is a new order, what stays with it (O1, O8)."""

import pytest

from node.errors import (
    ClientIdNotFound,
    InsufficientMargin,
    InvalidPrice,
    InvalidSize,
    MarketNotFound,
    NotAllowedInMode,
    NotSmaller,
    OrderNotFound,
    OrderTooSmall,
    OutsidePriceBand,
    PostOnlyWouldCross,
    Refusal,
    TooManyActions,
)
from node.perp.account import get_account
from node.perp.amending import process_amendment, process_client_amendment, process_shrinking
from node.perp.events import OrderCancelled, OrderFilled, OrderReplaced
from node.perp.margin import compute_risk
from node.perp.order import CancelReason, TimeInForce
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.units import Address, Lots, MarketId, OrderId, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_trader,
    next_block,
    order,
    set_mode,
    set_price,
    size_of,
    trader,
)

MAKER, TAKER = trader(1), trader(2)


def rich(**changes: int) -> DictLedger:
    ledger = make_ledger(**changes)
    for number in (1, 2):
        make_trader(ledger, number, 1_000_000)
    return ledger


def amend(ledger: DictLedger, owner: Address, order_id: int, size: int, price: int) -> OrderId:
    return process_amendment(
        ledger, owner, MARKET, OrderId(order_id), size=Lots(size), price=Ticks(price)
    )


def refused(ledger: DictLedger, owner: Address, order_id: int, size: int, price: int) -> Refusal:
    """Return the refusal of an amendment; assert that nothing has changed."""
    before = ledger.dump()
    with pytest.raises(Refusal) as refusal:
        amend(ledger, owner, order_id, size, price)
    assert ledger.dump() == before
    return refusal.value


def queue(ledger: DictLedger) -> list[tuple[int, int]]:
    """Return (id, size) of the buys in the order in which they would be filled."""
    return [(o.id, o.size) for o in ledger.book(MARKET).bids()]


# --- the place in the queue -----------------------------------------------------------------------


def two_buys(**changes: int) -> DictLedger:
    ledger = rich(**changes)
    process_order(ledger, MAKER, order(10, 90))
    process_order(ledger, TAKER, order(10, 90))
    return ledger


def test_a_smaller_size_keeps_its_place_o1() -> None:
    ledger = two_buys()

    assert amend(ledger, MAKER, 1, 4, 90) == 1

    assert queue(ledger) == [(1, 4), (2, 10)]
    assert ledger.events[-1] == OrderReplaced(
        MARKET, MAKER, OrderId(1), OrderId(1), Lots(4), Ticks(90)
    )


def test_a_larger_size_goes_to_the_end_o1() -> None:
    ledger = two_buys()
    next_block(ledger)

    assert amend(ledger, MAKER, 1, 11, 90) == 3

    assert queue(ledger) == [(2, 10), (3, 11)]
    assert ledger.book(MARKET).orders[OrderId(3)].height == ledger.height
    assert ledger.events == [
        OrderReplaced(MARKET, MAKER, OrderId(1), OrderId(3), Lots(11), Ticks(90))
    ]
    check_all(ledger)


def test_a_new_price_goes_to_the_end_though_it_is_smaller_o1() -> None:
    ledger = two_buys()
    process_order(ledger, TAKER, order(5, 91))

    assert amend(ledger, MAKER, 1, 4, 91) == 4

    assert queue(ledger) == [(3, 5), (4, 4), (2, 10)]


def test_nothing_new_is_nothing_done_o1() -> None:
    ledger = two_buys()
    before = ledger.dump()

    assert amend(ledger, MAKER, 1, 10, 90) == 1

    assert ledger.dump() == before


# --- a new order ----------------------------------------------------------------------------------


def test_an_amended_order_may_trade_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-4, 100))
    process_order(ledger, TAKER, order(10, 90))

    assert amend(ledger, TAKER, 2, 10, 100) == 3

    fills = [event for event in ledger.events if isinstance(event, OrderFilled)]
    assert [(fill.taker_order_id, fill.size) for fill in fills] == [(3, 4)]
    assert queue(ledger) == [(3, 6)]
    check_all(ledger)


def test_an_amended_order_may_be_filled_whole_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(4, 90))

    amend(ledger, TAKER, 2, 10, 100)

    assert size_of(ledger, TAKER) == 10
    assert queue(ledger) == []
    check_all(ledger)


def test_a_post_only_order_stays_one_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-4, 100))
    process_order(ledger, TAKER, order(10, 90, time_in_force=TimeInForce.POST_ONLY))

    refusal = refused(ledger, TAKER, 2, 10, 100)
    assert amend(ledger, TAKER, 2, 10, 99) == 3

    assert isinstance(refusal, PostOnlyWouldCross)
    assert ledger.book(MARKET).orders[OrderId(3)].post_only


def test_client_id_expiry_and_kind_stay_o1() -> None:
    ledger = rich()
    expires_ms = TimeMs(ledger.time_ms + 9)
    request = order(10, 90, time_in_force=TimeInForce.GTT)
    process_order(ledger, TAKER, request._replace(expires_ms=expires_ms, client_id=7))

    assert process_client_amendment(ledger, TAKER, 7, size=Lots(12), price=Ticks(91)) == 2
    assert process_client_amendment(ledger, TAKER, 7, size=Lots(3), price=Ticks(91)) == 2

    rested = ledger.book(MARKET).orders[OrderId(2)]
    assert (rested.size, rested.client_id, rested.expires_ms) == (3, 7, expires_ms)
    assert not rested.post_only
    with pytest.raises(ClientIdNotFound):
        process_client_amendment(ledger, TAKER, 8, size=Lots(3), price=Ticks(91))


def test_a_reduce_only_order_is_capped_to_the_position_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    process_order(ledger, TAKER, order(-4, 105, reduce_only=True))

    amend(ledger, TAKER, 3, -20, 104)

    (rested,) = ledger.book(MARKET).orders_of(TAKER)
    assert (rested.id, rested.size, rested.reduce_only) == (4, -10, True)


# --- refusals -------------------------------------------------------------------------------------


def test_only_ones_own_resting_order_is_amended_o1() -> None:
    ledger = two_buys()

    assert isinstance(refused(ledger, TAKER, 1, 4, 90), OrderNotFound)
    assert isinstance(refused(ledger, TAKER, 9, 4, 90), OrderNotFound)
    with pytest.raises(MarketNotFound):
        process_amendment(ledger, TAKER, MarketId(9), OrderId(1), size=Lots(1), price=Ticks(1))


@pytest.mark.parametrize("size", [0, -4, MAGNITUDE_MAX + 1])
def test_an_amended_size_is_on_the_same_side_o1(size: int) -> None:
    assert isinstance(refused(two_buys(), MAKER, 1, size, 91), InvalidSize)


@pytest.mark.parametrize(
    ("size", "price", "error"),
    [
        (10, 0, InvalidPrice),
        (10, 106, OutsidePriceBand),
        (1, 5, OrderTooSmall),
        (10_000_000, 90, InsufficientMargin),
    ],
)
def test_an_amendment_is_refused_as_a_new_order_is(
    size: int, price: int, error: type[Refusal]
) -> None:
    ledger = rich(order_value_min=10)
    process_order(ledger, MAKER, order(-4, 106))
    process_order(ledger, TAKER, order(10, 90))

    assert isinstance(refused(ledger, TAKER, 2, size, price), error)


def test_an_amendment_counts_as_an_order_o7() -> None:
    ledger = two_buys()
    ledger.params = ledger.params._replace(actions_max=1)

    refusal = refused(ledger, MAKER, 1, 11, 90)
    amend(ledger, MAKER, 1, 9, 90)  # no more than a partial cancel

    assert isinstance(refusal, TooManyActions)


def test_what_asks_for_no_more_than_before_may_be_amended_g3() -> None:
    # 100 of equity carry 10 lots at 100 (IM 100). At 110 they need 10 % of 1,100 = 110.
    ledger = rich()
    poor = make_trader(ledger, 3, 100)
    process_order(ledger, poor, order(10, 90))
    set_price(ledger, 110)

    amend(ledger, poor, 1, 10, 91)
    refusal = refused(ledger, poor, 2, 11, 91)

    assert compute_risk(ledger, poor).initial == 110
    assert isinstance(refusal, InsufficientMargin)
    assert (refusal.equity, refusal.required) == (100, 121)
    assert get_account(ledger, poor).markets == (MARKET,)
    check_all(ledger)


def test_the_rest_that_margin_does_not_carry_is_cancelled_g3() -> None:
    # 60 of equity: 5 lots bought at 100 need 50, and the other 5 would need 50 more.
    ledger = rich()
    poor = make_trader(ledger, 3, 60)
    process_order(ledger, MAKER, order(-5, 100))
    process_order(ledger, poor, order(4, 90))

    new_id = amend(ledger, poor, 2, 10, 100)

    assert size_of(ledger, poor) == 5
    assert ledger.events[-1] == OrderCancelled(MARKET, poor, new_id, Lots(5), CancelReason.MARGIN)
    check_all(ledger)


@pytest.mark.parametrize(
    ("mode", "post_only", "is_taken"),
    [
        (Mode.POST_ONLY, True, True),
        (Mode.POST_ONLY, False, False),
        (Mode.CANCEL_ONLY, True, False),
    ],
)
def test_modes_close_amendments_as_they_close_orders(
    mode: Mode, post_only: bool, is_taken: bool
) -> None:
    ledger = rich()
    time_in_force = TimeInForce.POST_ONLY if post_only else TimeInForce.GTC
    process_order(ledger, TAKER, order(10, 90, time_in_force=time_in_force))
    set_mode(ledger, mode)

    if is_taken:
        amend(ledger, TAKER, 1, 12, 90)
    else:
        assert isinstance(refused(ledger, TAKER, 1, 12, 90), NotAllowedInMode)
        amend(ledger, TAKER, 1, 8, 90)  # a smaller size is a cancel


# --- shrinking ------------------------------------------------------------------------------------


def shrink(ledger: DictLedger, owner: Address, order_id: int, size: int) -> None:
    process_shrinking(ledger, owner, MARKET, OrderId(order_id), Lots(size))


@pytest.mark.parametrize("size", [10, 11, 0, -1])
def test_only_a_smaller_size_shrinks_o1(size: int) -> None:
    ledger = two_buys()
    before = ledger.dump()

    with pytest.raises(NotSmaller) as refusal:
        shrink(ledger, MAKER, 1, size)

    assert (refusal.value.size_before, refusal.value.size) == (10, size)
    assert ledger.dump() == before


def test_sells_shrink_too_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 110))

    with pytest.raises(NotSmaller):
        shrink(ledger, MAKER, 1, -10)
    shrink(ledger, MAKER, 1, -1)

    assert ledger.book(MARKET).orders[OrderId(1)].size == -1
    check_all(ledger)


def test_what_remains_is_worth_something_or_closes_the_position_o7() -> None:
    ledger = two_buys(order_value_min=300)

    with pytest.raises(OrderTooSmall) as refusal:
        shrink(ledger, MAKER, 1, 3)
    assert (refusal.value.value, refusal.value.minimum) == (270, 300)
    shrink(ledger, MAKER, 1, 4)

    process_order(ledger, TAKER, order(-3, 100)._replace(price=Ticks(101)))
    process_order(ledger, MAKER, order(3, 101))
    shrink(ledger, TAKER, 2, 3)  # TAKER is short 3: the order closes it in full
    check_all(ledger)


def test_shrinking_closes_only_while_halted() -> None:
    ledger = two_buys()
    set_mode(ledger, Mode.CANCEL_ONLY)
    shrink(ledger, MAKER, 1, 9)
    set_mode(ledger, Mode.HALTED)

    with pytest.raises(NotAllowedInMode):
        shrink(ledger, MAKER, 1, 8)
