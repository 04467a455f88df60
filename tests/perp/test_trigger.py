"""Take-profit and stop-loss: when they fire, what they trade, and when they give up (O5)."""

import pytest

from node.errors import (
    InvalidPrice,
    InvalidSize,
    MarketNotFound,
    NoPrice,
    NotAllowedInMode,
    ReduceOnlyWouldIncrease,
)
from node.perp.events import OrderCancelled, OrderTriggered, TriggerPlaced
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
from node.units import Lots, MarketId, OrderId, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
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


def test_trigger_without_a_position_left_is_cancelled_o5() -> None:
    ledger = traded_ledger()
    trigger_id = place(ledger, -10, 990)
    process_order(ledger, MAKER, order(10, 995))
    process_order(ledger, LONG, order(-10, 995))
    block(ledger, 990)

    block(ledger, 990)

    assert ledger.events == [
        OrderCancelled(MARKET, LONG, trigger_id, Lots(-10), CancelReason.REDUCE_ONLY)
    ]
    check_all(ledger)


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
