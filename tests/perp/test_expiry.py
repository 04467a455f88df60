"""What ends by itself: expiries, and the dead-man's cancel (O1); cancels of everything."""

import pytest

from node.errors import InvalidExpiry, NotAllowedInMode
from node.perp.account import get_account
from node.perp.cancelling import process_cancel_everything
from node.perp.events import DeadlinePassed, DeadlineSet, OrderCancelled
from node.perp.expiry import (
    Deadline,
    process_dead_mans_cancel,
    process_disarming,
    process_expiries,
)
from node.perp.order import CancelReason, OrderRequest, TimeInForce, TriggerKind, TriggerRequest
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.trigger import process_trigger_request
from node.units import Lots, MarketId, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    set_chain_mode,
    set_mode,
    trader,
)

MAKER, TAKER = trader(1), trader(2)


def rich() -> DictLedger:
    ledger = make_ledger()
    for number in (1, 2):
        make_trader(ledger, number, 1_000_000)
    return ledger


def timed(ledger: DictLedger, after_ms: int, *, market: MarketId = MARKET) -> OrderRequest:
    request = order(5, 90, market=market, time_in_force=TimeInForce.GTT)
    return request._replace(expires_ms=TimeMs(ledger.time_ms + after_ms))


def cancels_of(ledger: DictLedger) -> list[tuple[int, int, CancelReason]]:
    return [
        (event.market, event.order_id, event.reason)
        for event in ledger.events
        if isinstance(event, OrderCancelled)
    ]


# --- expiries -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elapsed_ms", "is_over"), [(1_999, False), (2_000, True), (9_999, True)])
def test_an_order_is_gone_from_its_expiry_on_o1(elapsed_ms: int, is_over: bool) -> None:
    ledger = rich()
    process_order(ledger, TAKER, timed(ledger, 2_000))
    process_order(ledger, TAKER, order(5, 90))
    next_block(ledger, elapsed_ms)

    process_expiries(ledger)

    expected = [(MARKET, 1, CancelReason.EXPIRED)] if is_over else []
    assert cancels_of(ledger) == expected
    assert len(ledger.book(MARKET).orders) == 2 - is_over
    check_all(ledger)


@pytest.mark.parametrize("mode", Mode)
def test_orders_expire_in_every_mode_but_halted_o1(mode: Mode) -> None:
    for setter in (set_mode, set_chain_mode):
        ledger = rich()
        process_order(ledger, TAKER, timed(ledger, 1_000))
        next_block(ledger)
        setter(ledger, mode)

        process_expiries(ledger)
        assert bool(cancels_of(ledger)) == (mode != Mode.HALTED)

        # What was over while it stood still is over when it moves again.
        setter(ledger, Mode.CANCEL_ONLY)
        process_expiries(ledger)
        assert cancels_of(ledger) == [(MARKET, 1, CancelReason.EXPIRED)]


def test_what_is_over_goes_by_market_expiry_and_number_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    process_order(ledger, TAKER, timed(ledger, 500, market=second))
    process_order(ledger, TAKER, timed(ledger, 900))
    process_order(ledger, MAKER, timed(ledger, 800))
    process_order(ledger, MAKER, timed(ledger, 800))
    next_block(ledger)

    process_expiries(ledger)

    assert [(market, number) for market, number, _ in cancels_of(ledger)] == [
        (MARKET, 2),
        (MARKET, 3),
        (MARKET, 1),
        (second, 1),
    ]


def test_triggers_expire_too_o1() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-5, 100))
    process_order(ledger, TAKER, order(5, 100))
    request = TriggerRequest(MARKET, Lots(-5), Ticks(95), TriggerKind.STOP_LOSS)
    with pytest.raises(InvalidExpiry):
        process_trigger_request(ledger, TAKER, request._replace(expires_ms=ledger.time_ms))
    expires_ms = TimeMs(ledger.time_ms + 1_000)
    process_trigger_request(ledger, TAKER, request._replace(expires_ms=expires_ms))
    next_block(ledger)

    process_expiries(ledger)

    assert cancels_of(ledger) == [(MARKET, 3, CancelReason.EXPIRED)]
    assert not ledger.book(MARKET).triggers


# --- the dead-man's cancel ------------------------------------------------------------------------


def arm(ledger: DictLedger, after_ms: int) -> TimeMs:
    cancel_at_ms = TimeMs(ledger.time_ms + after_ms)
    process_dead_mans_cancel(ledger, TAKER, cancel_at_ms)
    return cancel_at_ms


def test_silence_cancels_everything_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    process_order(ledger, MAKER, order(-5, 100))
    process_order(ledger, TAKER, order(5, 100))
    process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 90, market=second))
    process_order(ledger, MAKER, order(1, 90))
    request = TriggerRequest(MARKET, Lots(-5), Ticks(95), TriggerKind.STOP_LOSS)
    process_trigger_request(ledger, TAKER, request)
    cancel_at_ms = arm(ledger, 2_000)
    assert DeadlineSet(TAKER, cancel_at_ms) in ledger.events

    next_block(ledger, 1_999)
    process_expiries(ledger)
    assert ledger.events == []
    next_block(ledger, 1)
    process_expiries(ledger)

    assert cancels_of(ledger) == [
        (MARKET, 3, CancelReason.DEADLINE),
        (MARKET, 5, CancelReason.DEADLINE),
        (second, 1, CancelReason.DEADLINE),
    ]
    assert ledger.events[-1] == DeadlinePassed(TAKER, cancel_at_ms)
    assert ledger.deadlines.get(TAKER) is None
    assert get_account(ledger, TAKER).markets == (MARKET,)  # the position stays
    assert len(ledger.book(MARKET).orders) == 1
    next_block(ledger)
    process_expiries(ledger)
    assert ledger.events == []


def test_a_renewal_in_time_keeps_everything_o1() -> None:
    ledger = rich()
    process_order(ledger, TAKER, order(1, 90))
    arm(ledger, 1_000)
    next_block(ledger)
    renewed = arm(ledger, 1_000)  # account actions come before expiries in a block

    process_expiries(ledger)

    assert cancels_of(ledger) == []
    assert ledger.deadlines.get(TAKER) == Deadline(renewed)


def test_a_disarmed_cancel_never_comes_o1() -> None:
    ledger = rich()
    process_order(ledger, TAKER, order(1, 90))
    process_disarming(ledger, TAKER)
    assert len(ledger.events) == 1  # nothing was armed: nothing to say
    arm(ledger, 1_000)

    process_disarming(ledger, TAKER)
    assert ledger.events[-1] == DeadlineSet(TAKER, TimeMs(0))
    next_block(ledger)
    process_expiries(ledger)

    assert cancels_of(ledger) == []


def test_a_deadline_lies_ahead_o1() -> None:
    ledger = rich()

    for cancel_at_ms in (ledger.time_ms, MAGNITUDE_MAX + 1):
        with pytest.raises(InvalidExpiry):
            process_dead_mans_cancel(ledger, TAKER, TimeMs(cancel_at_ms))
    arm(ledger, 1)


def test_the_silent_go_by_deadline_then_account_o1() -> None:
    ledger = rich()
    third = make_trader(ledger, 3, 1_000)
    for owner, after_ms in ((third, 500), (TAKER, 900), (MAKER, 900)):
        process_dead_mans_cancel(ledger, owner, TimeMs(ledger.time_ms + after_ms))
    next_block(ledger)

    process_expiries(ledger)

    passed = [event.account for event in ledger.events if isinstance(event, DeadlinePassed)]
    assert passed == [third, MAKER, TAKER]


def test_what_a_halted_market_holds_keeps_the_deadline_armed_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 90, market=second))
    arm(ledger, 1_000)
    next_block(ledger)
    set_mode(ledger, Mode.HALTED)

    process_expiries(ledger)
    assert cancels_of(ledger) == [(second, 1, CancelReason.DEADLINE)]
    assert ledger.deadlines.get(TAKER) is not None
    set_mode(ledger, Mode.CANCEL_ONLY)
    process_expiries(ledger)

    assert cancels_of(ledger)[1:] == [(MARKET, 1, CancelReason.DEADLINE)]
    assert ledger.deadlines.get(TAKER) is None


# --- cancelling everything ------------------------------------------------------------------------


def test_everything_is_cancelled_in_all_markets_but_halted_ones_o1() -> None:
    ledger = rich()
    second = make_market(ledger)
    process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 91))
    process_order(ledger, MAKER, order(1, 90))
    process_order(ledger, TAKER, order(1, 90, market=second))
    set_mode(ledger, Mode.HALTED, market=second)

    assert process_cancel_everything(ledger, TAKER) == 2
    set_mode(ledger, Mode.CANCEL_ONLY, market=second)
    assert process_cancel_everything(ledger, TAKER) == 1
    assert process_cancel_everything(ledger, TAKER) == 0

    assert len(ledger.book(MARKET).orders) == 1
    set_chain_mode(ledger, Mode.HALTED)
    with pytest.raises(NotAllowedInMode):
        process_cancel_everything(ledger, MAKER)
