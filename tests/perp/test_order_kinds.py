"""Fill-or-kill, expiries at placing, meeting oneself, client ids and limits (O1, O2, O7)."""

import pytest

from node.errors import (
    ClientIdInUse,
    ClientIdNotFound,
    InvalidClientId,
    InvalidExpiry,
    NotFilledWhole,
    OpenInterestTooLarge,
    PositionTooLarge,
    Refusal,
    SelfTradeRefused,
    TooManyActions,
    TooManyOpenOrders,
)
from node.perp.account import get_account, get_position
from node.perp.cancelling import process_cancel, process_client_cancel
from node.perp.events import OrderCancelled, OrderFilled, OrderPlaced
from node.perp.limits import find_client, get_client
from node.perp.order import CancelReason, OrderRequest, SelfTrade, TimeInForce
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.sweep import check_all
from node.perp.trading import process_market_order, process_order
from node.units import Address, Lots, OrderId, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    set_price,
    size_of,
    trader,
)

MAKER, TAKER, OTHER = trader(1), trader(2), trader(3)
FOK, GTT, IOC, POST_ONLY = (
    TimeInForce.FOK,
    TimeInForce.GTT,
    TimeInForce.IOC,
    TimeInForce.POST_ONLY,
)


def rich(**changes: int) -> DictLedger:
    """Return a ledger whose three traders can carry everything in these tests."""
    ledger = make_ledger(**changes)
    for number in (1, 2, 3):
        make_trader(ledger, number, 1_000_000)
    return ledger


def refused(ledger: DictLedger, owner: Address, request: OrderRequest) -> Refusal:
    """Return the refusal of an order; assert that nothing has changed."""
    before = ledger.dump()
    with pytest.raises(Refusal) as refusal:
        process_order(ledger, owner, request)
    assert ledger.dump() == before
    return refusal.value


def cancels_of(ledger: DictLedger) -> list[tuple[int, int, CancelReason]]:
    return [
        (event.order_id, event.size, event.reason)
        for event in ledger.events
        if isinstance(event, OrderCancelled)
    ]


def resting(ledger: DictLedger, owner: Address) -> list[tuple[int, int, int]]:
    return [(o.id, o.size, o.price) for o in ledger.book(MARKET).orders_of(owner)]


# --- FOK ------------------------------------------------------------------------------------------


def test_fok_trades_whole_over_several_makers_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-4, 100))
    process_order(ledger, OTHER, order(-6, 101))

    process_order(ledger, TAKER, order(10, 101, time_in_force=FOK))

    assert size_of(ledger, TAKER) == 10
    assert cancels_of(ledger) == []


def test_fok_that_would_not_be_filled_whole_is_refused_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-4, 100))
    process_order(ledger, OTHER, order(-6, 102))

    refusal = refused(ledger, TAKER, order(10, 101, time_in_force=FOK))

    assert isinstance(refusal, NotFilledWhole)
    assert (refusal.market, refusal.filled, refusal.size) == (MARKET, 4, 10)


def test_fok_that_finds_nothing_is_refused_o2() -> None:
    refusal = refused(rich(), TAKER, order(10, 101, time_in_force=FOK))

    assert isinstance(refusal, NotFilledWhole)
    assert refusal.filled == 0


@pytest.mark.parametrize(("others", "is_taken"), [(10, True), (9, False)])
def test_fok_is_tried_with_the_makers_test_g4(others: int, is_taken: bool) -> None:
    # Trader 4 offers 5 lots that its equity carried at 100: IM 10 % of 500. At 105 it lost
    # nothing yet, but 5 · 105 need 53 of its 50: G4 cancels it, and the others must be enough.
    ledger = rich()
    poor = make_trader(ledger, 4, 50)
    process_order(ledger, poor, order(-5, 100))
    set_price(ledger, 105)
    process_order(ledger, MAKER, order(-others, 105))

    if is_taken:
        process_order(ledger, TAKER, order(10, 105, time_in_force=FOK))
        assert cancels_of(ledger) == [(1, -5, CancelReason.MARGIN)]
        assert size_of(ledger, TAKER) == 10
    else:
        refusal = refused(ledger, TAKER, order(10, 105, time_in_force=FOK))
        assert isinstance(refusal, NotFilledWhole)
        assert resting(ledger, poor) == [(1, -5, 100)]  # the overlay is gone, G4's cancel too


def test_fok_reduces_only_what_there_is_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-4, 100))
    process_order(ledger, TAKER, order(4, 100))
    process_order(ledger, MAKER, order(4, 99))

    process_order(ledger, TAKER, order(-9, 99, time_in_force=FOK, reduce_only=True))

    assert size_of(ledger, TAKER) == 0


# --- expiries at placing --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("time_in_force", "after_ms", "is_taken"),
    [
        (GTT, 1, True),
        (GTT, 0, False),
        (GTT, None, False),
        (POST_ONLY, 1, True),
        (POST_ONLY, None, True),
        (POST_ONLY, 0, False),
        (TimeInForce.GTC, None, True),
        (TimeInForce.GTC, 1, False),
        (IOC, 1, False),
        (FOK, 1, False),
    ],
)
def test_an_expiry_lies_ahead_and_where_one_belongs_o1(
    time_in_force: TimeInForce, after_ms: int | None, is_taken: bool
) -> None:
    ledger = rich()
    expires_ms = TimeMs(0 if after_ms is None else ledger.time_ms + after_ms)
    request = order(10, 90, time_in_force=time_in_force)._replace(expires_ms=expires_ms)

    if is_taken:
        order_id = process_order(ledger, TAKER, request)
        rested = ledger.book(MARKET).orders[order_id]
        assert rested.expires_ms == expires_ms
        assert rested.post_only == (time_in_force == POST_ONLY)
        placed = ledger.events[-1]
        assert isinstance(placed, OrderPlaced)
        assert placed.expires_ms == expires_ms
    else:
        refusal = refused(ledger, TAKER, request)
        assert isinstance(refusal, InvalidExpiry)
        assert (refusal.expires_ms, refusal.time_ms) == (expires_ms, ledger.time_ms)


def test_an_expiry_fits_53_bits_o1() -> None:
    ledger = rich()
    request = order(10, 90, time_in_force=GTT)

    process_order(ledger, TAKER, request._replace(expires_ms=TimeMs(MAGNITUDE_MAX)))
    late = request._replace(expires_ms=TimeMs(MAGNITUDE_MAX + 1))

    assert isinstance(refused(ledger, TAKER, late), InvalidExpiry)


# --- meeting oneself ------------------------------------------------------------------------------


def meeting(mode: SelfTrade) -> DictLedger:
    """Return a ledger where TAKER's buy of 10 met MAKER's 2, its own 3, and could meet 4 more."""
    ledger = rich()
    process_order(ledger, MAKER, order(-2, 100))
    process_order(ledger, TAKER, order(-3, 101))
    process_order(ledger, MAKER, order(-4, 102))
    process_order(ledger, TAKER, order(10, 102)._replace(self_trade=mode))
    return ledger


def test_self_trade_cancels_the_maker_and_goes_on_o2() -> None:
    ledger = meeting(SelfTrade.CANCEL_MAKER)

    assert cancels_of(ledger) == [(2, -3, CancelReason.SELF_TRADE)]
    assert size_of(ledger, TAKER) == 6
    assert resting(ledger, TAKER) == [(4, 4, 102)]


def test_self_trade_expires_the_taker_on_request_o2() -> None:
    ledger = meeting(SelfTrade.EXPIRE_TAKER)

    assert cancels_of(ledger) == [(4, 8, CancelReason.SELF_TRADE)]
    assert size_of(ledger, TAKER) == 2
    assert resting(ledger, TAKER) == [(2, -3, 101)]


def test_self_trade_cancels_both_on_request_o2() -> None:
    ledger = meeting(SelfTrade.CANCEL_BOTH)

    assert cancels_of(ledger) == [
        (2, -3, CancelReason.SELF_TRADE),
        (4, 8, CancelReason.SELF_TRADE),
    ]
    assert size_of(ledger, TAKER) == 2
    assert resting(ledger, TAKER) == []


def test_a_taker_that_expires_before_it_did_anything_is_refused_o2() -> None:
    ledger = rich()
    process_order(ledger, TAKER, order(-3, 101))

    refusal = refused(ledger, TAKER, order(10, 102)._replace(self_trade=SelfTrade.EXPIRE_TAKER))

    assert isinstance(refusal, SelfTradeRefused)
    assert (refusal.market, refusal.order_id) == (MARKET, 1)
    # With both it has cancelled the maker: that stands.
    process_order(ledger, TAKER, order(10, 102)._replace(self_trade=SelfTrade.CANCEL_BOTH))
    assert ledger.book(MARKET).orders == {}


# --- client ids -----------------------------------------------------------------------------------


def named(size: int, price: int, client_id: int) -> OrderRequest:
    return order(size, price)._replace(client_id=client_id)


def test_a_client_id_finds_its_order_in_whatever_market_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    process_order(ledger, TAKER, order(1, 90))
    order_id = process_order(ledger, TAKER, named(5, 90, 7)._replace(market=second))

    assert get_client(ledger, TAKER, 7) == (second, order_id)
    assert find_client(ledger, TAKER, 8) is None
    assert find_client(ledger, MAKER, 7) is None
    with pytest.raises(ClientIdNotFound) as refusal:
        get_client(ledger, MAKER, 7)
    assert refusal.value.client_id == 7
    process_client_cancel(ledger, TAKER, 7)
    assert cancels_of(ledger) == [(order_id, 5, CancelReason.REQUESTED)]


def test_a_client_id_is_unique_while_open_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    order_id = process_order(ledger, TAKER, named(5, 90, 7))
    again = named(5, 90, 7)._replace(market=second)

    refusal = refused(ledger, TAKER, again)
    process_order(ledger, MAKER, named(5, 90, 7))  # somebody else's
    process_cancel(ledger, TAKER, MARKET, order_id)
    process_order(ledger, TAKER, again)

    assert isinstance(refusal, ClientIdInUse)
    assert (refusal.client_id, refusal.market, refusal.order_id) == (7, MARKET, order_id)


def test_a_client_id_is_free_again_when_its_order_is_filled_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, named(-5, 100, 7))
    process_order(ledger, TAKER, named(5, 100, 7))

    assert process_order(ledger, MAKER, named(-5, 100, 7)) == 3


@pytest.mark.parametrize("client_id", [-1, MAGNITUDE_MAX + 1])
def test_a_client_id_fits_53_bits_o1(client_id: int) -> None:
    ledger = rich()

    refusal = refused(ledger, TAKER, named(5, 90, client_id))
    process_order(ledger, TAKER, named(5, 90, MAGNITUDE_MAX))

    assert isinstance(refusal, InvalidClientId)


# --- limits ---------------------------------------------------------------------------------------


def test_so_many_orders_are_open_in_all_markets_together_o7() -> None:
    ledger = rich()
    ledger.params = ledger.params._replace(open_orders_max=2)
    second = make_market(ledger)
    first = process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 90, market=second))

    refusal = refused(ledger, TAKER, order(1, 91))
    process_order(ledger, MAKER, order(-1, 105))  # the limit is each account's
    process_order(ledger, TAKER, order(1, 105, time_in_force=IOC))  # what never rests may trade
    process_order(ledger, MAKER, order(-1, 105))
    process_order(ledger, TAKER, order(1, 105, time_in_force=FOK))
    process_cancel(ledger, TAKER, MARKET, first)
    process_order(ledger, TAKER, order(1, 91))

    assert isinstance(refusal, TooManyOpenOrders)
    assert (refusal.count, refusal.maximum) == (3, 2)


def test_so_many_orders_are_placed_in_a_block_o7() -> None:
    ledger = rich()
    ledger.params = ledger.params._replace(actions_max=2)
    first = process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 90))

    refusal = refused(ledger, TAKER, order(1, 91))
    with pytest.raises(TooManyActions):
        process_market_order(ledger, TAKER, MARKET, Lots(1), reduce_only=False)
    process_order(ledger, MAKER, order(1, 90))
    process_cancel(ledger, TAKER, MARKET, first)  # nobody is kept from leaving
    next_block(ledger)
    process_order(ledger, TAKER, order(1, 91))

    assert isinstance(refusal, TooManyActions)
    assert refusal.maximum == 2


def test_a_position_is_led_to_its_maximum_and_no_further_o7() -> None:
    ledger = rich(position_max=10)
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, TAKER, order(4, 90))

    refusal = refused(ledger, TAKER, order(1, 89))
    process_order(ledger, TAKER, order(-16, 110))  # 6 of them close
    other = refused(ledger, TAKER, order(-1, 110))

    assert isinstance(refusal, PositionTooLarge)
    assert (refusal.market, refusal.size, refusal.maximum) == (MARKET, 11, 10)
    assert isinstance(other, PositionTooLarge)
    assert other.size == -11


def test_what_reduces_leads_nobody_past_the_maximum_o7() -> None:
    # Short 6 and buys of 16: 6 close it, 10 are the maximum. But the 6 are closed by another order
    # first, and the second buy of 8 would lead beyond the maximum.
    ledger = rich(position_max=10)
    process_order(ledger, MAKER, order(6, 100))
    process_order(ledger, TAKER, order(-6, 100))
    process_order(ledger, TAKER, order(8, 96))
    process_order(ledger, TAKER, order(8, 95))
    process_order(ledger, OTHER, order(2, 95))
    refusal = refused(ledger, TAKER, order(1, 94))
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, TAKER, order(6, 100, reduce_only=True))
    process_order(ledger, OTHER, order(-4, 96))
    ledger.events.clear()
    process_order(ledger, MAKER, order(-10, 95))  # 4 at 96; 6 more would be 14; 2 of the other's

    assert isinstance(refusal, PositionTooLarge)
    assert refusal.size == 11
    assert cancels_of(ledger) == [(OrderId(4), 8, CancelReason.LIMIT)]
    assert (size_of(ledger, TAKER), size_of(ledger, OTHER)) == (8, -2)


def test_maker_past_a_lowered_maximum_may_shrink_but_not_turn_around_beyond_it_o7() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-20, 100))
    process_order(ledger, TAKER, order(20, 100))
    process_order(ledger, TAKER, order(-4, 101))
    process_order(ledger, TAKER, order(-22, 102))
    params = ledger.all_market_params
    params[MARKET] = params[MARKET]._replace(position_max=Lots(5))
    ledger.events.clear()

    process_order(ledger, OTHER, order(4, 101))
    process_order(ledger, MAKER, order(25, 102))  # to long 5; 22 of them from long 16 to short 6

    assert size_of(ledger, TAKER) == 16
    assert cancels_of(ledger) == [(OrderId(4), -22, CancelReason.LIMIT)]


def test_reducing_is_not_in_the_way_of_the_maximum_o7() -> None:
    # The maximum was lowered under what is open.
    ledger = rich()
    process_order(ledger, MAKER, order(-20, 100))
    process_order(ledger, TAKER, order(20, 100))
    params = ledger.all_market_params
    params[MARKET] = params[MARKET]._replace(position_max=Lots(5))

    process_order(ledger, TAKER, order(-3, 105))
    process_order(ledger, TAKER, order(-20, 106, reduce_only=True))

    assert isinstance(refused(ledger, TAKER, order(1, 90)), PositionTooLarge)
    assert [size for _, size, _ in resting(ledger, TAKER)] == [-3, -20]


def test_open_interest_stays_within_its_cap_o7() -> None:
    ledger = rich(open_interest_max=10)
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, MAKER, order(-5, 101))

    refusal = refused(ledger, OTHER, order(5, 101, time_in_force=IOC))
    process_order(ledger, OTHER, order(4, 101, time_in_force=IOC))  # 6 + 4 = 10

    assert isinstance(refusal, OpenInterestTooLarge)
    assert (refusal.market, refusal.open_interest, refusal.maximum) == (MARKET, 11, 10)
    check_all(ledger)


def test_a_taker_stops_at_the_cap_and_its_rest_goes_o7() -> None:
    ledger = rich(open_interest_max=10)
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, MAKER, order(-6, 101))

    order_id = process_order(ledger, TAKER, order(12, 101))

    assert size_of(ledger, TAKER) == 6
    assert cancels_of(ledger) == [(order_id, 6, CancelReason.LIMIT)]


def test_positions_change_hands_and_close_above_the_cap_o7() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    params = ledger.all_market_params
    params[MARKET] = params[MARKET]._replace(open_interest_max=Lots(5))

    process_order(ledger, OTHER, order(4, 100))
    process_order(ledger, TAKER, order(-4, 100))  # handed on: 10 stay open
    process_order(ledger, TAKER, order(-6, 99))
    process_order(ledger, MAKER, order(6, 99))  # both close: 4 stay open

    assert (size_of(ledger, OTHER), size_of(ledger, TAKER), size_of(ledger, MAKER)) == (4, 0, -4)
    check_all(ledger)


def test_what_a_request_may_have_reaches_the_record_and_the_event_o1() -> None:
    ledger = rich()
    expires_ms = TimeMs(ledger.time_ms + 5)
    request = OrderRequest(
        MARKET, Lots(5), Ticks(90), POST_ONLY, False, expires_ms=expires_ms, client_id=9
    )

    order_id = process_order(ledger, TAKER, request)

    rested = ledger.book(MARKET).orders[order_id]
    assert (rested.expires_ms, rested.client_id, rested.post_only) == (expires_ms, 9, True)
    assert ledger.events == [
        OrderPlaced(MARKET, TAKER, OrderId(1), Lots(5), Ticks(90), POST_ONLY, False, expires_ms, 9)
    ]
    assert get_account(ledger, TAKER).markets == (MARKET,)
    assert get_position(ledger, TAKER, MARKET).size == 0
    assert not any(isinstance(event, OrderFilled) for event in ledger.events)
