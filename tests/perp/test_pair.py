"""Pairs of take-profit and stop-loss: attached, activated, at most one trades (O1, O5)."""

from typing import Any

import pytest

from node.errors import (
    ClientIdInUse,
    InsufficientMargin,
    InvalidExpiry,
    InvalidPrice,
    InvalidSize,
    MarketNotFound,
    NotAllowedInMode,
    NothingFilled,
    OrderNotFound,
    ReduceOnlyWouldIncrease,
    Refusal,
    TooManyActions,
    TooManyOpenOrders,
)
from node.perp.amending import process_amendment, process_shrinking
from node.perp.cancelling import process_cancel, process_cancel_all
from node.perp.events import OrderCancelled, OrderReduced, TriggerActivated, TriggerPlaced
from node.perp.expiry import process_expiries
from node.perp.follow import process_removal, process_trigger_removal
from node.perp.order import CancelReason, OrderRequest, TimeInForce, Trigger, TriggerKind
from node.perp.pair import (
    BracketIds,
    PairIds,
    PairLeg,
    PairRequest,
    process_attached_pair,
    process_bracket,
    process_position_pair,
)
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.trigger import process_fired_triggers, process_new_triggers
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

LONG, SHORT, MAKER = trader(1), trader(2), trader(3)


def funded(**changes: int) -> DictLedger:
    ledger = make_ledger(price=1_000, **changes)
    for number in (1, 2, 3):
        make_trader(ledger, number, 1_000_000)
    return ledger


def traded(**changes: int) -> DictLedger:
    """Return a ledger in which LONG bought 10 lots from SHORT at 1,000 (orders 1 and 2)."""
    ledger = funded(**changes)
    process_order(ledger, SHORT, order(-10, 1_000))
    process_order(ledger, LONG, order(10, 1_000))
    next_block(ledger)
    return ledger


def pair(size: int = -10, take: int = 1_040, stop: int = 960, **changes: Any) -> PairRequest:
    request = PairRequest(
        MARKET, Lots(size), PairLeg(Ticks(take)), PairLeg(Ticks(stop)), expires_ms=TimeMs(0)
    )
    return request._replace(**changes)


def block(ledger: DictLedger, price: int) -> None:
    """Run a block at this mark, triggers only."""
    next_block(ledger)
    set_price(ledger, price)
    process_fired_triggers(ledger)
    process_new_triggers(ledger)


def legs(ledger: DictLedger) -> dict[int, Trigger]:
    return {trigger.id: trigger for trigger in ledger.book(MARKET).triggers.values()}


def cancels_of(ledger: DictLedger) -> list[tuple[int, int, CancelReason]]:
    return [
        (event.order_id, event.size, event.reason)
        for event in ledger.events
        if isinstance(event, OrderCancelled)
    ]


def refused(ledger: DictLedger, function: Any, *arguments: Any, **named: Any) -> Refusal:
    """Return a refusal; assert that nothing has changed."""
    before = ledger.dump()
    with pytest.raises(Refusal) as refusal:
        function(ledger, *arguments, **named)
    assert ledger.dump() == before
    return refusal.value


# --- attached to a position -----------------------------------------------------------------------


def test_a_pair_waits_and_each_leg_names_the_other_o1() -> None:
    ledger = traded()

    assert process_position_pair(ledger, LONG, pair()) == PairIds(OrderId(3), OrderId(4))

    take, stop = legs(ledger)[3], legs(ledger)[4]
    assert (take.kind, take.trigger_price, take.other) == (TriggerKind.TAKE_PROFIT, 1_040, 4)
    assert (stop.kind, stop.trigger_price, stop.other) == (TriggerKind.STOP_LOSS, 960, 3)
    assert (take.active, take.parent, take.pending) == (-10, 0, 0)
    placed = [event for event in ledger.events if isinstance(event, TriggerPlaced)]
    assert [(event.order_id, event.other) for event in placed] == [(3, 4), (4, 3)]


@pytest.mark.parametrize(("mark", "quote", "filled"), [(1_040, 1_045, 3), (960, 955, 4)])
def test_the_first_fill_of_a_leg_cancels_the_other_o5(mark: int, quote: int, filled: int) -> None:
    ledger = traded()
    process_position_pair(ledger, LONG, pair())
    block(ledger, mark)
    process_order(ledger, MAKER, order(4, quote))

    block(ledger, mark)

    assert size_of(ledger, LONG) == 6  # a part is enough
    assert cancels_of(ledger) == [(7 - filled, -10, CancelReason.PAIR)]
    (left,) = legs(ledger).values()
    assert (left.id, left.size, left.other, left.fired_mark) == (filled, -6, 0, mark)
    check_all(ledger)


def test_the_fill_that_closes_the_position_cancels_the_other_as_a_pair_o5() -> None:
    ledger = traded()
    process_position_pair(ledger, LONG, pair())
    process_order(ledger, MAKER, order(10, 955))
    block(ledger, 960)

    block(ledger, 960)

    assert size_of(ledger, LONG) == 0
    assert cancels_of(ledger) == [(3, -10, CancelReason.PAIR)]
    assert legs(ledger) == {}
    check_all(ledger)


def test_a_leg_that_finds_nobody_leaves_the_other_o5() -> None:
    ledger = traded()
    process_position_pair(ledger, LONG, pair())
    block(ledger, 960)

    block(ledger, 960)

    assert set(legs(ledger)) == {3, 4}
    assert ledger.events == []


def test_both_legs_may_fire_and_only_one_trades_o5() -> None:
    ledger = traded()
    process_position_pair(ledger, LONG, pair(take=980, stop=1_020))  # both at once at 1,000
    process_order(ledger, MAKER, order(3, 1_000))
    block(ledger, 1_000)
    assert all(leg.fired_mark for leg in legs(ledger).values())
    process_order(ledger, MAKER, order(20, 999))

    block(ledger, 1_000)

    assert size_of(ledger, LONG) == 0
    assert cancels_of(ledger) == [(4, -10, CancelReason.PAIR)]


def test_a_cancelled_leg_leaves_the_other_alone_o1() -> None:
    for first, second in ((3, 4), (4, 3)):
        ledger = traded()
        process_position_pair(ledger, LONG, pair())

        process_cancel(ledger, LONG, MARKET, OrderId(first))

        assert legs(ledger)[second].other == 0
        assert cancels_of(ledger) == [(first, -10, CancelReason.REQUESTED)]


def test_a_pair_goes_with_its_position_o2() -> None:
    # Closed, or flipped: neither leg opposes it any more.
    for size in (-10, -15):
        ledger = traded()
        process_position_pair(ledger, LONG, pair())
        process_order(ledger, MAKER, order(20, 1_000))
        process_order(ledger, LONG, order(size, 1_000))
        assert cancels_of(ledger) == [
            (3, -10, CancelReason.REDUCE_ONLY),
            (4, -10, CancelReason.REDUCE_ONLY),
        ]
        check_all(ledger)


def test_a_pair_larger_than_the_position_closes_all_of_it_o1() -> None:
    ledger = traded()
    process_position_pair(ledger, LONG, pair(size=-999))
    process_order(ledger, MAKER, order(40, 955))
    block(ledger, 960)
    block(ledger, 960)

    assert size_of(ledger, LONG) == 0
    assert cancels_of(ledger) == [
        (3, -999, CancelReason.PAIR),
        (4, -989, CancelReason.REDUCE_ONLY),
    ]


def test_a_short_is_paired_too_o1() -> None:
    ledger = traded()
    process_position_pair(ledger, SHORT, pair(size=10, take=960, stop=1_040))
    process_order(ledger, MAKER, order(-10, 965))
    block(ledger, 960)

    block(ledger, 960)

    assert size_of(ledger, SHORT) == 0
    assert cancels_of(ledger) == [(4, 10, CancelReason.PAIR)]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pair(size=10), ReduceOnlyWouldIncrease),
        (pair(size=0), InvalidSize),
        (pair(take=0), InvalidPrice),
        (pair(stop=0), InvalidPrice),
        (pair(stop_loss=PairLeg(Ticks(960), Ticks(-1))), InvalidPrice),
        (pair(expires_ms=TimeMs(1)), InvalidExpiry),
        (pair(market=MarketId(9)), MarketNotFound),
        (
            pair(
                take_profit=PairLeg(Ticks(1_040), client_id=7),
                stop_loss=PairLeg(Ticks(960), client_id=7),
            ),
            ClientIdInUse,
        ),
    ],
)
def test_a_pair_is_refused_whole_o1(request_: PairRequest, error: type[Refusal]) -> None:
    assert isinstance(refused(traded(), process_position_pair, LONG, request_), error)


def test_a_pair_needs_an_open_market_and_room_for_two_o7() -> None:
    ledger = traded()
    ledger.params = ledger.params._replace(open_orders_max=1)
    assert isinstance(refused(ledger, process_position_pair, LONG, pair()), TooManyOpenOrders)
    ledger.params = ledger.params._replace(open_orders_max=2, actions_max=1)
    assert isinstance(refused(ledger, process_position_pair, LONG, pair()), TooManyActions)
    ledger.params = ledger.params._replace(actions_max=2)
    set_mode(ledger, Mode.POST_ONLY)
    assert isinstance(refused(ledger, process_position_pair, LONG, pair()), NotAllowedInMode)
    set_mode(ledger, Mode.OPEN)

    process_position_pair(ledger, LONG, pair())


# --- attached to a parent order -------------------------------------------------------------------


def attached(size: int = 10, **changes: Any) -> DictLedger:
    """Return a ledger where LONG's buy of `size` at 990, order 1, has a pair: legs 2 and 3."""
    ledger = funded()
    process_order(ledger, LONG, order(size, 990))
    process_attached_pair(ledger, LONG, OrderId(1), pair(**{"size": -size} | changes))
    next_block(ledger)
    return ledger


def state(ledger: DictLedger) -> list[tuple[int, int, int, int]]:
    """Return (id, size, pending, parent) of every leg."""
    return [(leg.id, leg.size, leg.pending, leg.parent) for leg in legs(ledger).values()]


def test_a_pair_sleeps_until_its_parent_is_filled_o1() -> None:
    ledger = attached()

    block(ledger, 960)

    assert ledger.events == []
    assert state(ledger) == [(2, -10, 10, 1), (3, -10, 10, 1)]


def test_fills_of_the_parent_activate_the_pair_o1() -> None:
    ledger = attached()

    process_order(ledger, SHORT, order(-4, 990))

    assert state(ledger) == [(2, -10, 6, 1), (3, -10, 6, 1)]
    assert [event for event in ledger.events if isinstance(event, TriggerActivated)] == [
        TriggerActivated(MARKET, LONG, OrderId(2), Lots(-4)),
        TriggerActivated(MARKET, LONG, OrderId(3), Lots(-4)),
    ]
    process_order(ledger, SHORT, order(-6, 990))
    assert state(ledger) == [(2, -10, 0, 0), (3, -10, 0, 0)]
    check_all(ledger)


def test_an_active_part_fires_and_the_rest_goes_on_waiting_o1() -> None:
    ledger = attached()
    process_order(ledger, SHORT, order(-4, 990))
    process_order(ledger, MAKER, order(20, 955))
    process_cancel_all(ledger, SHORT, MARKET)
    block(ledger, 960)
    process_order(ledger, LONG, order(1, 954))  # an order of its own in between

    block(ledger, 960)

    # The stop-loss met its own parent first, at 990: the maker of the two goes, and with it what
    # it had not filled. Then it sold 4 at 955.
    assert size_of(ledger, LONG) == 0
    assert (1, 6, CancelReason.SELF_TRADE) in cancels_of(ledger)
    assert (2, -4, CancelReason.PAIR) in cancels_of(ledger)
    assert legs(ledger) == {}
    check_all(ledger)


def test_a_leg_goes_on_with_its_parents_later_fills_o1() -> None:
    # SHORT's sell at 1,010 is the parent; the mark rises to 1,040 and falls back.
    ledger = funded()
    process_order(ledger, SHORT, order(-10, 1_010))
    process_attached_pair(ledger, SHORT, OrderId(1), pair(size=10, take=960, stop=1_005))
    process_order(ledger, LONG, order(4, 1_010))
    process_order(ledger, MAKER, order(-4, 1_009))
    block(ledger, 1_005)

    block(ledger, 1_005)
    assert size_of(ledger, SHORT) == 0
    assert state(ledger) == [(3, 6, 6, 1)]  # the take-profit is gone, the rest waits, fired
    block(ledger, 1_005)
    assert ledger.events == []
    process_order(ledger, LONG, order(6, 1_010))
    assert state(ledger) == [(3, 6, 0, 0)]
    process_order(ledger, MAKER, order(-6, 1_009))
    block(ledger, 1_005)

    assert size_of(ledger, SHORT) == 0
    assert legs(ledger) == {}
    check_all(ledger)


def test_a_parent_that_leaves_unfilled_takes_its_pair_along_o1() -> None:
    ledger = attached()

    process_cancel(ledger, LONG, MARKET, OrderId(1))

    assert cancels_of(ledger) == [
        (1, 10, CancelReason.REQUESTED),
        (2, -10, CancelReason.PARENT),
        (3, -10, CancelReason.PARENT),
    ]
    assert legs(ledger) == {}
    check_all(ledger)


def test_a_leg_that_left_with_its_parent_is_not_cancelled_twice_o1() -> None:
    # Whoever walks a list of what was open removes the parent first.
    ledger = attached()
    waiting = list(legs(ledger).values())
    process_removal(ledger, MARKET, ledger.book(MARKET).orders[OrderId(1)], CancelReason.FORK)

    for leg in waiting:
        process_trigger_removal(ledger, MARKET, leg, CancelReason.FORK)

    assert [reason for _, _, reason in cancels_of(ledger)] == [
        CancelReason.FORK,
        CancelReason.PARENT,
        CancelReason.PARENT,
    ]


def test_what_the_parent_filled_stays_protected_o1() -> None:
    ledger = attached()
    process_order(ledger, SHORT, order(-4, 990))

    process_cancel(ledger, LONG, MARKET, OrderId(1))

    assert state(ledger) == [(2, -4, 0, 0), (3, -4, 0, 0)]
    assert [event for event in ledger.events if isinstance(event, OrderReduced)] == [
        OrderReduced(MARKET, LONG, OrderId(number), Lots(-10), Lots(-4)) for number in (2, 3)
    ]


def test_a_parent_that_expires_takes_its_pair_along_o1() -> None:
    ledger = funded()
    expires_ms = TimeMs(ledger.time_ms + 1_000)
    request = order(10, 990, time_in_force=TimeInForce.GTT)._replace(expires_ms=expires_ms)
    ids = process_bracket(
        ledger, LONG, request, take_profit=PairLeg(Ticks(1_040)), stop_loss=PairLeg(Ticks(960))
    )
    assert legs(ledger)[ids.stop_loss].expires_ms == expires_ms
    next_block(ledger)

    process_expiries(ledger)

    assert cancels_of(ledger) == [
        (1, 10, CancelReason.EXPIRED),
        (2, -10, CancelReason.PARENT),
        (3, -10, CancelReason.PARENT),
    ]


def test_a_pair_follows_its_amended_parent_o1() -> None:
    ledger = attached()
    process_order(ledger, SHORT, order(-4, 990))

    new_id = process_amendment(ledger, LONG, MARKET, OrderId(1), size=Lots(5), price=Ticks(991))
    assert state(ledger) == [(2, -9, 5, new_id), (3, -9, 5, new_id)]
    process_shrinking(ledger, LONG, MARKET, new_id, Lots(2))
    assert state(ledger) == [(2, -6, 2, new_id), (3, -6, 2, new_id)]
    grown = process_amendment(ledger, LONG, MARKET, new_id, size=Lots(9), price=Ticks(991))
    assert state(ledger) == [(2, -6, 2, grown), (3, -6, 2, grown)]
    process_order(ledger, SHORT, order(-9, 991))

    assert state(ledger) == [(2, -6, 0, 0), (3, -6, 0, 0)]
    check_all(ledger)


def test_an_amended_parent_that_trades_at_once_activates_its_pair_o1() -> None:
    ledger = attached()
    process_order(ledger, SHORT, order(-4, 1_000))

    new_id = process_amendment(ledger, LONG, MARKET, OrderId(1), size=Lots(10), price=Ticks(1_000))

    assert state(ledger) == [(2, -10, 6, new_id), (3, -10, 6, new_id)]


def test_an_amended_parent_whose_rest_is_cancelled_lets_its_pair_go_o1() -> None:
    ledger = funded()
    poor = make_trader(ledger, 4, 600)  # carries 6 lots at 1,000
    process_order(ledger, SHORT, order(-5, 1_000))
    process_order(ledger, poor, order(4, 990))
    process_attached_pair(ledger, poor, OrderId(2), pair(size=-4))

    process_amendment(ledger, poor, MARKET, OrderId(2), size=Lots(9), price=Ticks(1_000))

    assert size_of(ledger, poor) == 5
    assert state(ledger) == [(3, -4, 0, 0), (4, -4, 0, 0)]
    check_all(ledger)


def test_a_fill_that_only_closes_activates_nothing_to_close_o2() -> None:
    # LONG was short 20: its parent buys 10 of them back, and the legs oppose no long position.
    ledger = funded()
    process_order(ledger, MAKER, order(20, 1_000))
    process_order(ledger, LONG, order(-20, 1_000))
    process_order(ledger, LONG, order(10, 990))
    process_attached_pair(ledger, LONG, OrderId(3), pair())

    process_order(ledger, SHORT, order(-4, 990))
    assert state(ledger) == [(4, -6, 6, 3), (5, -6, 6, 3)]
    process_order(ledger, SHORT, order(-6, 990))

    assert legs(ledger) == {}
    assert [reason for _, _, reason in cancels_of(ledger)] == [CancelReason.REDUCE_ONLY] * 2
    check_all(ledger)


@pytest.mark.parametrize(
    ("owner", "parent", "request_", "error"),
    [
        (SHORT, 1, pair(), OrderNotFound),
        (LONG, 9, pair(), OrderNotFound),
        (LONG, 1, pair(market=MarketId(9)), MarketNotFound),
        (LONG, 1, pair(size=-11), InvalidSize),
        (LONG, 1, pair(size=5), InvalidSize),
        (LONG, 1, pair(size=0), InvalidSize),
    ],
)
def test_a_pair_closes_at_most_what_its_parent_may_open_o1(
    owner: Address, parent: int, request_: PairRequest, error: type[Refusal]
) -> None:
    ledger = funded()
    process_order(ledger, LONG, order(10, 990))

    refusal = refused(ledger, process_attached_pair, owner, OrderId(parent), request_)
    process_attached_pair(ledger, LONG, OrderId(1), pair())

    assert isinstance(refusal, error)


def test_a_closing_order_is_no_parent_o1() -> None:
    ledger = traded()
    process_order(ledger, LONG, order(-10, 1_040, reduce_only=True))

    refusal = refused(ledger, process_attached_pair, LONG, OrderId(3), pair(size=10))

    assert isinstance(refusal, ReduceOnlyWouldIncrease)


def test_a_part_of_the_parent_may_be_paired_o1() -> None:
    ledger = funded()
    process_order(ledger, LONG, order(10, 990))
    process_attached_pair(ledger, LONG, OrderId(1), pair(size=-4))

    process_order(ledger, SHORT, order(-7, 990))

    assert state(ledger) == [(2, -4, 0, 0), (3, -4, 0, 0)]
    check_all(ledger)


# --- placed together ------------------------------------------------------------------------------


def bracket(ledger: DictLedger, request: OrderRequest) -> BracketIds:
    return process_bracket(
        ledger, LONG, request, take_profit=PairLeg(Ticks(1_040)), stop_loss=PairLeg(Ticks(960))
    )


def test_a_bracket_that_rests_waits_o1() -> None:
    ledger = funded()

    assert bracket(ledger, order(10, 990)) == BracketIds(OrderId(1), OrderId(2), OrderId(3))

    assert state(ledger) == [(2, -10, 10, 1), (3, -10, 10, 1)]


def test_what_a_bracket_filled_at_once_is_active_o1() -> None:
    ledger = funded()
    process_order(ledger, SHORT, order(-4, 1_000))

    bracket(ledger, order(10, 1_000))

    assert state(ledger) == [(3, -10, 6, 2), (4, -10, 6, 2)]
    assert all(leg.active == -4 for leg in legs(ledger).values())


def test_a_bracket_without_a_rest_is_active_whole_o1() -> None:
    ledger = funded()
    process_order(ledger, SHORT, order(-4, 1_000))

    bracket(ledger, order(10, 1_000, time_in_force=TimeInForce.IOC))

    assert state(ledger) == [(3, -4, 0, 0), (4, -4, 0, 0)]
    check_all(ledger)


def test_a_bracket_is_refused_whole_o1() -> None:
    ledger = traded()
    process_order(ledger, LONG, order(-3, 1_010))  # LONG's own: a buy that meets it cancels it
    cases: list[tuple[OrderRequest, type[Refusal]]] = [
        (order(10_000_000, 990), InsufficientMargin),
        (order(-10, 1_040, reduce_only=True), ReduceOnlyWouldIncrease),
        (order(3, 1_010, time_in_force=TimeInForce.IOC), NothingFilled),
        (order(0, 1), InvalidSize),
    ]
    for request, error in cases:
        refusal = refused(
            ledger,
            process_bracket,
            LONG,
            request,
            take_profit=PairLeg(Ticks(1_040)),
            stop_loss=PairLeg(Ticks(960)),
        )
        assert isinstance(refusal, error)


def test_a_bracket_that_only_closes_has_nothing_to_protect_o1() -> None:
    # LONG is long 10 and sells 4 of them: the legs would buy, and there is no short position.
    ledger = traded()
    process_order(ledger, MAKER, order(4, 1_000))

    refusal = refused(
        ledger,
        process_bracket,
        LONG,
        order(-4, 1_000),
        take_profit=PairLeg(Ticks(960)),
        stop_loss=PairLeg(Ticks(1_040)),
    )

    assert isinstance(refusal, ReduceOnlyWouldIncrease)
