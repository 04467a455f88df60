"""Take-profit and stop-loss: when they fire, what they trade, and when they give up (O5)."""

from typing import Any

import pytest

from node.errors import (
    InvalidPrice,
    InvalidSize,
    MarketNotFound,
    NoPrice,
    NotAllowedInMode,
    OrderTooSmall,
    ReduceOnlyWouldIncrease,
    TooManyActions,
    TooManyOpenOrders,
)
from node.perp.events import OrderCancelled, OrderReplaced, OrderTriggered, TriggerPlaced
from node.perp.order import CancelReason, TimeInForce, TriggerKind, TriggerRequest
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.trigger import (
    compute_trigger_bound,
    process_fired_triggers,
    process_new_triggers,
    process_trigger_request,
)
from node.units import Lots, MarketId, OrderId, Ticks, TimeMs
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
    set_chain_mode,
    set_mode,
    set_price,
    size_of,
    trader,
)

LONG, SHORT, MAKER, OTHER = trader(1), trader(2), trader(3), trader(4)


def traded_ledger(size: int = 10, **params: int) -> DictLedger:
    """Return a ledger in which LONG bought `size` lots from SHORT at 1,000."""
    ledger = make_ledger(price=1_000, **params)
    for number in (1, 2, 3, 4):
        make_trader(ledger, number, 100_000)
    process_order(ledger, SHORT, order(-size, 1_000))
    process_order(ledger, LONG, order(size, 1_000))
    next_block(ledger)
    return ledger


def place(
    ledger: DictLedger,
    size: int,
    price: int,
    kind: TriggerKind = TriggerKind.STOP_LOSS,
    *,
    market: MarketId = MARKET,
) -> OrderId:
    owner = LONG if size < 0 else SHORT
    request = TriggerRequest(market, Lots(size), Ticks(price), kind)
    return process_trigger_request(ledger, owner, request)


def block(ledger: DictLedger, price: int) -> None:
    """Run a block at this mark, triggers only."""
    next_block(ledger)
    set_price(ledger, price)
    process_fired_triggers(ledger)
    process_new_triggers(ledger)


def fired(ledger: DictLedger) -> list[int]:
    return [trigger.id for trigger in ledger.book(MARKET).fired_triggers()]


# --- asking ---------------------------------------------------------------------------------------


def test_trigger_waits_under_a_number_of_its_own() -> None:
    ledger = traded_ledger()

    trigger_id = place(ledger, -10, 900)

    assert trigger_id == 3  # after the two orders
    assert ledger.events == [
        TriggerPlaced(MARKET, LONG, OrderId(3), Lots(-10), Ticks(900), TriggerKind.STOP_LOSS)
    ]
    assert fired(ledger) == []


@pytest.mark.parametrize(
    ("size", "price", "error"),
    [
        (0, 900, InvalidSize),
        (-MAGNITUDE_MAX - 1, 900, InvalidSize),
        (-10, 0, InvalidPrice),
        (-10, MAGNITUDE_MAX + 1, InvalidPrice),
        (-MAGNITUDE_MAX, MAGNITUDE_MAX, None),
        (10, 900, ReduceOnlyWouldIncrease),
    ],
)
def test_request_is_refused_or_taken_by_its_numbers(
    size: int, price: int, error: type[Exception] | None
) -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(size), Ticks(price), TriggerKind.STOP_LOSS)
    if error is None:
        process_trigger_request(ledger, LONG, request)
        return
    with pytest.raises(error):
        process_trigger_request(ledger, LONG, request)
    assert ledger.journal == []


def test_trigger_needs_a_position_a_price_and_a_market() -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(-1), Ticks(900), TriggerKind.STOP_LOSS)

    with pytest.raises(ReduceOnlyWouldIncrease):
        process_trigger_request(ledger, OTHER, request)
    with pytest.raises(MarketNotFound):
        process_trigger_request(ledger, LONG, request._replace(market=MarketId(9)))
    set_price(ledger, 0)
    with pytest.raises(NoPrice):
        process_trigger_request(ledger, LONG, request)


def test_what_a_trigger_may_have_reaches_the_record_and_the_event_o1() -> None:
    ledger = traded_ledger()
    expires_ms = TimeMs(ledger.time_ms + 9)
    request = TriggerRequest(
        MARKET, Lots(-5), Ticks(900), TriggerKind.STOP_LOSS, Ticks(890), True, expires_ms, 7
    )

    trigger_id = process_trigger_request(ledger, LONG, request)

    waits = ledger.book(MARKET).triggers[trigger_id]
    assert (waits.limit_price, waits.expires_ms, waits.client_id) == (890, expires_ms, 7)
    (placed,) = ledger.events
    assert isinstance(placed, TriggerPlaced)
    assert placed[5:] == (TriggerKind.STOP_LOSS, 890, True, expires_ms, 7, 0, 0)
    assert ledger.book(MARKET).find_client(LONG, 7) == trigger_id


def test_triggers_count_as_orders_o7() -> None:
    ledger = traded_ledger()
    ledger.params = ledger.params._replace(open_orders_max=1, actions_max=2)
    place(ledger, -10, 900)
    with pytest.raises(TooManyOpenOrders):
        place(ledger, -10, 900)
    ledger.params = ledger.params._replace(open_orders_max=9)
    place(ledger, -10, 900)

    with pytest.raises(TooManyActions):
        place(ledger, -10, 900)


def test_limit_prices_are_prices_o1() -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(-5), Ticks(900), TriggerKind.STOP_LOSS)

    for limit_price in (-1, MAGNITUDE_MAX + 1):
        with pytest.raises(InvalidPrice):
            process_trigger_request(ledger, LONG, request._replace(limit_price=Ticks(limit_price)))
    process_trigger_request(ledger, LONG, request._replace(limit_price=Ticks(MAGNITUDE_MAX)))


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_triggers_are_placed_in_open_markets_only(mode: Mode) -> None:
    for setter in (set_mode, set_chain_mode):
        ledger = traded_ledger()
        setter(ledger, mode)
        with pytest.raises(NotAllowedInMode):
            place(ledger, -10, 900)


# --- firing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "kind", "fires", "waits"),
    [
        (-10, TriggerKind.STOP_LOSS, 990, 991),
        (-10, TriggerKind.TAKE_PROFIT, 990, 989),
        (10, TriggerKind.STOP_LOSS, 990, 989),
        (10, TriggerKind.TAKE_PROFIT, 990, 991),
    ],
)
def test_trigger_fires_inclusively_on_its_side_o5(
    size: int, kind: TriggerKind, fires: int, waits: int
) -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, size, 990, kind)

    block(ledger, waits)
    assert fired(ledger) == []
    block(ledger, fires)

    assert fired(ledger) == [trigger_id]
    owner = LONG if size < 0 else SHORT
    assert ledger.events == [OrderTriggered(MARKET, owner, trigger_id, Ticks(fires))]
    assert ledger.book(MARKET).triggers[trigger_id].fired_mark == fires


def test_trigger_stays_fired_when_the_mark_comes_back_o5() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -10, 990)
    block(ledger, 990)

    block(ledger, 1_000)

    assert fired(ledger) == [trigger_id]
    assert ledger.events == []


def test_triggers_wait_in_grace_and_outside_open_x4() -> None:
    for mode in Mode:
        ledger = traded_ledger()
        place(ledger, -10, 990)
        set_mode(ledger, mode)
        block(ledger, 990)
        assert fired(ledger) == []

        # The grace period is over, and nothing else has changed.
        next_block(ledger, 5_000)
        process_new_triggers(ledger)
        assert bool(fired(ledger)) == (mode == Mode.OPEN)


# --- trading --------------------------------------------------------------------------------------


def test_fired_trigger_trades_in_the_next_block_o5() -> None:
    ledger = traded_ledger()
    place(ledger, -10, 990)
    process_order(ledger, MAKER, order(10, 980))

    block(ledger, 990)
    assert size_of(ledger, LONG) == 10
    block(ledger, 990)

    assert size_of(ledger, LONG) == 0
    assert balance_of(ledger, LONG) == 100_000 - 10 * 1_000 + 10 * 980
    assert not ledger.book(MARKET).triggers
    check_all(ledger)


def test_short_is_bought_back_o5() -> None:
    ledger = traded_ledger()
    place(ledger, 10, 1_010)
    process_order(ledger, MAKER, order(-10, 1_015))

    block(ledger, 1_010)
    block(ledger, 1_010)

    assert size_of(ledger, SHORT) == 0
    check_all(ledger)


@pytest.mark.parametrize(
    ("fired_mark", "band_limit", "size", "bound"),
    [
        (1_000, 1_050, 1, 1_050),
        (900, 1_050, 1, 990),
        (999, 2_000, 1, 1_098),  # 1,098.9 floor
        (1_000, 950, -1, 950),
        (1_100, 950, -1, 990),
        (999, 1, -1, 900),  # 899.1 ceil
    ],
)
def test_bound_is_the_tighter_of_ten_percent_and_the_band_o5(
    fired_mark: int, band_limit: int, size: int, bound: int
) -> None:
    result = compute_trigger_bound(Ticks(fired_mark), Ticks(band_limit), Lots(size))

    assert result == bound


def test_what_is_beyond_the_bound_is_not_traded_o5() -> None:
    # The band at 990: ceil(940.5) = 941.
    for price, is_filled in ((941, True), (940, False)):
        ledger = traded_ledger()
        place(ledger, -10, 990)
        process_order(ledger, MAKER, order(10, price))
        block(ledger, 990)
        block(ledger, 990)
        assert (size_of(ledger, LONG) == 0) == is_filled


def test_rest_stays_triggered_and_tries_again_o5() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -10, 990)
    process_order(ledger, MAKER, order(4, 980))
    block(ledger, 990)
    block(ledger, 990)
    assert size_of(ledger, LONG) == 6
    assert ledger.book(MARKET).triggers[trigger_id].size == -6

    process_order(ledger, MAKER, order(6, 980))
    block(ledger, 1_000)

    assert size_of(ledger, LONG) == 0
    assert not ledger.book(MARKET).triggers


def test_trigger_is_capped_to_the_position_when_it_trades_o5() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -25, 990)
    process_order(ledger, MAKER, order(40, 980))
    block(ledger, 990)

    block(ledger, 990)

    assert size_of(ledger, LONG) == 0
    assert ledger.events[-1] == OrderCancelled(
        MARKET, LONG, trigger_id, Lots(-15), CancelReason.REDUCE_ONLY
    )


def test_trigger_goes_with_the_position_that_it_closes_o2() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -10, 990)
    process_order(ledger, MAKER, order(10, 995))
    next_block(ledger)

    process_order(ledger, LONG, order(-4, 995))
    assert ledger.book(MARKET).triggers[trigger_id].size == -10
    process_order(ledger, LONG, order(-6, 995))

    assert ledger.events[-1] == OrderCancelled(
        MARKET, LONG, trigger_id, Lots(-10), CancelReason.REDUCE_ONLY
    )
    assert not ledger.book(MARKET).triggers
    check_all(ledger)


def test_fired_trigger_without_a_position_is_cancelled_o5() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -10, 990)
    block(ledger, 990)
    ledger.positions.delete((LONG, MARKET))  # whatever took it did not look at triggers

    block(ledger, 990)

    assert ledger.events == [
        OrderCancelled(MARKET, LONG, trigger_id, Lots(-10), CancelReason.REDUCE_ONLY)
    ]


def test_fired_triggers_pay_the_ordinary_taker_fee_o3() -> None:
    # 10 · 980 · 1,000 ppm = 9.8, ceil 10; opening cost 10 · 1,000 · 1,000 ppm = 10.
    ledger = traded_ledger(taker_fee_ppm=1_000)
    place(ledger, -10, 990)
    process_order(ledger, MAKER, order(10, 980))
    block(ledger, 990)
    block(ledger, 990)

    assert balance_of(ledger, LONG) == 100_000 - 10_000 - 10 + 9_800 - 10


def test_fired_triggers_wait_outside_open_x4() -> None:
    ledger = traded_ledger()
    place(ledger, -10, 990)
    process_order(ledger, MAKER, order(10, 980))
    block(ledger, 990)
    set_mode(ledger, Mode.POST_ONLY)

    block(ledger, 990)

    assert size_of(ledger, LONG) == 10
    assert len(fired(ledger)) == 1


def test_so_many_triggers_trade_in_a_block_by_market_and_id_o8() -> None:
    ledger = traded_ledger()
    ledger.params = ledger.params._replace(triggers_max=2)
    second = make_market(ledger, price=1_000)
    process_order(ledger, SHORT, order(-1, 1_000, market=second))
    process_order(ledger, LONG, order(1, 1_000, market=second))
    ids = [place(ledger, -1, 990) for _ in range(3)]
    place(ledger, -1, 990, market=second)
    for market in (MARKET, second):
        process_order(ledger, MAKER, order(5, 980, market=market))
    next_block(ledger)
    for market in (MARKET, second):
        set_price(ledger, 990, market=market)
    process_new_triggers(ledger)

    next_block(ledger)
    process_fired_triggers(ledger)
    assert fired(ledger) == ids[2:]
    next_block(ledger)
    process_fired_triggers(ledger)

    assert fired(ledger) == []
    assert size_of(ledger, LONG, second) == 0


def test_unfillable_triggers_do_not_keep_others_waiting_o8() -> None:
    ledger = traded_ledger()
    ledger.params = ledger.params._replace(triggers_max=1)
    place(ledger, -1, 990)
    place(ledger, 1, 990, TriggerKind.STOP_LOSS)
    block(ledger, 990)
    process_order(ledger, MAKER, order(-1, 1_000, time_in_force=TimeInForce.POST_ONLY))

    block(ledger, 990)

    # Nobody buys from the first; the second buys.
    assert size_of(ledger, SHORT) == -9


# --- with a limit price ---------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "is_filled"), [(985, True), (984, False)])
def test_a_closing_trigger_trades_at_its_limit_or_better_o1(price: int, is_filled: bool) -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(-10), Ticks(990), TriggerKind.STOP_LOSS, Ticks(985))
    trigger_id = process_trigger_request(ledger, LONG, request)
    process_order(ledger, MAKER, order(10, price))
    block(ledger, 990)

    block(ledger, 990)

    assert (size_of(ledger, LONG) == 0) == is_filled
    assert fired(ledger) == ([] if is_filled else [trigger_id])  # it tries again


def test_a_buying_trigger_keeps_its_limit_too_o1() -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(10), Ticks(1_010), TriggerKind.STOP_LOSS, Ticks(1_015))
    process_trigger_request(ledger, SHORT, request)
    process_order(ledger, MAKER, order(-10, 1_016))
    block(ledger, 1_010)
    block(ledger, 1_010)
    assert size_of(ledger, SHORT) == -10
    process_order(ledger, MAKER, order(-10, 1_015))

    block(ledger, 1_010)

    assert size_of(ledger, SHORT) == 0


def test_a_limit_beyond_the_bound_does_not_widen_it_o5() -> None:
    # The band at 990 ends at ceil(940.5) = 941.
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(-10), Ticks(990), TriggerKind.STOP_LOSS, Ticks(900))
    process_trigger_request(ledger, LONG, request)
    process_order(ledger, MAKER, order(10, 940))
    block(ledger, 990)

    block(ledger, 990)

    assert size_of(ledger, LONG) == 10


def test_a_trigger_whose_taker_fails_its_test_stays_g3() -> None:
    # SHORT's equity is 0 at 11,000: buying back above the mark would cost more than its share.
    ledger = traded_ledger()
    place(ledger, 5, 1_010)
    block(ledger, 1_010)
    set_price(ledger, 11_000)
    process_order(ledger, MAKER, order(-10, 11_010))
    fired_mark = ledger.book(MARKET).triggers[OrderId(3)]._replace(fired_mark=Ticks(11_000))
    ledger.book(MARKET).put_trigger(fired_mark)
    next_block(ledger)

    process_fired_triggers(ledger)

    assert size_of(ledger, SHORT) == -10
    assert ledger.book(MARKET).triggers == {3: fired_mark}
    check_all(ledger)


def test_what_the_trades_of_one_cancelled_is_not_tried_o5() -> None:
    ledger = traded_ledger()
    place(ledger, -10, 990)
    place(ledger, -10, 990)
    process_order(ledger, MAKER, order(20, 980))
    block(ledger, 990)

    block(ledger, 990)

    assert size_of(ledger, LONG) == 0
    assert not ledger.book(MARKET).triggers
    check_all(ledger)


# --- stop orders ----------------------------------------------------------------------------------


def stop(ledger: DictLedger, size: int, price: int, *, limit: int = 0, **changes: Any) -> OrderId:
    request = TriggerRequest(
        MARKET,
        Lots(size),
        Ticks(price),
        TriggerKind.STOP_LOSS,
        Ticks(limit),
        reduce_only=False,
    )
    return process_trigger_request(ledger, OTHER, request._replace(**changes))


def cancels_of(ledger: DictLedger) -> list[tuple[int, int, CancelReason]]:
    return [
        (event.order_id, event.size, event.reason)
        for event in ledger.events
        if isinstance(event, OrderCancelled)
    ]


def test_a_stop_order_opens_a_position_o1() -> None:
    ledger = traded_ledger()
    trigger_id = stop(ledger, 4, 1_010)
    assert ledger.accounts.rows[OTHER].markets == (MARKET,)
    process_order(ledger, MAKER, order(-10, 1_012))
    block(ledger, 1_010)

    block(ledger, 1_010)

    assert size_of(ledger, OTHER) == 4
    assert trigger_id not in ledger.book(MARKET).triggers
    assert cancels_of(ledger) == []
    check_all(ledger)


def test_the_rest_of_a_stop_order_without_a_limit_is_cancelled_o1() -> None:
    for offered, filled in ((3, 3), (0, 0)):
        ledger = traded_ledger()
        trigger_id = stop(ledger, 4, 1_010)
        if offered:
            process_order(ledger, MAKER, order(-offered, 1_012))
        block(ledger, 1_010)

        block(ledger, 1_010)

        assert size_of(ledger, OTHER) == filled
        assert cancels_of(ledger) == [(trigger_id, 4 - filled, CancelReason.IMMEDIATE)]
        check_all(ledger)


def test_the_rest_of_a_stop_order_with_a_limit_comes_to_rest_under_a_new_number_o1() -> None:
    for offered in (3, 0):
        ledger = traded_ledger()
        expires_ms = TimeMs(ledger.time_ms + 9_000)
        trigger_id = stop(ledger, 4, 1_010, limit=1_015, expires_ms=expires_ms, client_id=7)
        if offered:
            process_order(ledger, MAKER, order(-offered, 1_012))
        block(ledger, 1_010)

        block(ledger, 1_010)

        (rests,) = ledger.book(MARKET).orders_of(OTHER)
        assert rests.id > trigger_id + bool(offered)
        assert (rests.size, rests.price, rests.height) == (4 - offered, 1_015, ledger.height)
        assert (rests.expires_ms, rests.client_id, rests.post_only) == (expires_ms, 7, False)
        assert ledger.events[-1] == OrderReplaced(
            MARKET, OTHER, trigger_id, rests.id, rests.size, rests.price
        )
        assert ledger.markets.rows[MARKET].next_order_id == rests.id + 1
        check_all(ledger)


def test_a_stop_order_does_not_rest_across_what_is_beyond_the_band_o4() -> None:
    # The band at 1,010 ends at floor(1,060.5) = 1,060.
    ledger = traded_ledger()
    trigger_id = stop(ledger, 4, 1_010, limit=1_070)
    process_order(ledger, MAKER, order(-10, 1_061))
    block(ledger, 1_010)

    block(ledger, 1_010)

    assert cancels_of(ledger) == [(trigger_id, 4, CancelReason.PRICE_BAND)]


def test_a_stop_order_that_margin_does_not_carry_is_cancelled_g3() -> None:
    # 100,000 carry 990 lots at 1,010; the maker offers one of 1,500, or the rest would rest.
    for limit, maker in ((0, True), (1_015, False)):
        ledger = traded_ledger()
        make_trader(ledger, 3, 10**9)
        trigger_id = stop(ledger, 1_500, 1_010, limit=limit)
        if maker:
            process_order(ledger, MAKER, order(-1_500, 1_012))
        block(ledger, 1_010)

        block(ledger, 1_010)

        assert cancels_of(ledger) == [(trigger_id, 1_500, CancelReason.MARGIN)]
        assert ledger.accounts.rows[OTHER].markets == ()
        check_all(ledger)


def test_the_rest_of_a_stop_order_is_judged_beside_what_its_fills_left_like_any_takers_g3() -> None:
    # Equity 800; long 10 needs IM 1,000. 5 of 19 fill: long 5 needs 500. The rest of 14 would ask
    # for 900: less than before the fills, but more than before it rests.
    ledger = traded_ledger()
    deposit(ledger, LONG, 800 - 100_000)
    request = TriggerRequest(
        MARKET, Lots(-19), Ticks(1_000), TriggerKind.STOP_LOSS, Ticks(1_000), reduce_only=False
    )
    trigger_id = process_trigger_request(ledger, LONG, request)
    process_order(ledger, MAKER, order(5, 1_000))
    block(ledger, 1_000)

    block(ledger, 1_000)

    assert size_of(ledger, LONG) == 5
    assert cancels_of(ledger) == [(trigger_id, -14, CancelReason.MARGIN)]


def test_a_stop_order_that_would_pass_the_largest_position_is_cancelled_o7() -> None:
    ledger = traded_ledger(position_max=20)
    trigger_id = stop(ledger, 4, 1_010)
    process_order(ledger, OTHER, order(18, 900))
    process_order(ledger, MAKER, order(-4, 1_012))
    block(ledger, 1_010)

    block(ledger, 1_010)

    assert cancels_of(ledger) == [(trigger_id, 4, CancelReason.LIMIT)]


def test_a_stop_order_is_worth_something_o7() -> None:
    ledger = traded_ledger(order_value_min=4_000)

    with pytest.raises(OrderTooSmall):
        stop(ledger, 4, 990)
    with pytest.raises(OrderTooSmall):
        stop(ledger, 4, 1_010, limit=999)
    stop(ledger, 4, 1_000)
    stop(ledger, 4, 990, limit=1_000)
    place(ledger, -1, 900)  # what closes may be small
