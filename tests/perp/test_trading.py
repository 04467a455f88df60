"""Placing, matching, cancelling: each refusal beside the acceptance it mirrors (O2 to O4, O8)."""

from collections.abc import Sequence

import pytest

from node.errors import (
    InsufficientMargin,
    InvalidPrice,
    InvalidSize,
    MarketNotFound,
    NoPrice,
    NotAllowedInMode,
    NothingFilled,
    OrderNotFound,
    OrderTooSmall,
    OutsidePriceBand,
    PostOnlyWouldCross,
    ReduceOnlyWouldIncrease,
    Refusal,
)
from node.perp.account import FEES, VAULT, Leg, get_account
from node.perp.events import (
    FundingSettled,
    OrderCancelled,
    OrderFilled,
    OrderPlaced,
    OrderReduced,
)
from node.perp.fee import FeeRates, compute_liquidation_rates
from node.perp.ledger import Ledger
from node.perp.order import CancelReason, Order, OrderRequest, TimeInForce, Trigger, TriggerKind
from node.perp.parameters import MAGNITUDE_MAX, MarketParams
from node.perp.status import Mode
from node.perp.trading import (
    compute_band_limit,
    process_cancel,
    process_cancel_all,
    process_market_order,
    process_order,
    process_reduce_only_ioc,
)
from node.units import Address, Lots, MarketId, OrderId, Quote, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    make_ledger,
    make_market,
    make_market_params,
    make_trader,
    order,
    set_chain_mode,
    set_funding_index,
    set_mode,
    set_price,
    size_of,
    trader,
)

MAKER, TAKER, OTHER = trader(1), trader(2), trader(3)
IOC, POST_ONLY = TimeInForce.IOC, TimeInForce.POST_ONLY


def rich(**market_changes: int) -> DictLedger:
    """Return a ledger whose three traders can carry everything in these tests."""
    ledger = make_ledger(**market_changes)
    for number in (1, 2, 3):
        make_trader(ledger, number, 1_000_000)
    return ledger


def poor(amount: int, **market_changes: int) -> DictLedger:
    """Return a ledger with a rich maker and a taker with this much margin."""
    ledger = make_ledger(**market_changes)
    make_trader(ledger, 1, 1_000_000)
    make_trader(ledger, 2, amount)
    return ledger


def fills_of(ledger: DictLedger) -> list[tuple[int, int, int]]:
    """Return (maker order, size, price) of every fill so far."""
    return [
        (event.maker_order_id, event.size, event.price)
        for event in ledger.events
        if isinstance(event, OrderFilled)
    ]


def cancels_of(ledger: DictLedger) -> list[tuple[int, int, CancelReason]]:
    """Return (order, rest, reason) of every cancellation so far."""
    return [
        (event.order_id, event.size, event.reason)
        for event in ledger.events
        if isinstance(event, OrderCancelled)
    ]


def resting(ledger: DictLedger, owner: Address) -> list[tuple[int, int, int]]:
    return [(o.id, o.size, o.price) for o in ledger.book(MARKET).orders_of(owner)]


def refused(ledger: DictLedger, owner: Address, request: OrderRequest) -> Refusal:
    """Return the refusal of an order; assert that nothing has changed."""
    before = ledger.dump()
    with pytest.raises(Refusal) as refusal:
        process_order(ledger, owner, request)
    assert ledger.dump() == before
    return refusal.value


# --- what is checked first ------------------------------------------------------------------------


def test_order_that_crosses_nothing_rests() -> None:
    ledger = rich()

    order_id = process_order(ledger, MAKER, order(-10, 105))

    assert order_id == 1
    assert dict(ledger.book(MARKET).orders) == {
        1: Order(OrderId(1), MAKER, Lots(-10), Ticks(105), False, ledger.height)
    }
    assert ledger.events == [
        OrderPlaced(MARKET, MAKER, OrderId(1), Lots(-10), Ticks(105), TimeInForce.GTC, False)
    ]
    assert get_account(ledger, MAKER).markets == (MARKET,)


def test_orders_are_numbered_in_each_market() -> None:
    ledger = rich()
    other = make_market(ledger)

    ids = [
        process_order(ledger, MAKER, order(-1, 105)),
        process_order(ledger, MAKER, order(-1, 105)),
        process_order(ledger, MAKER, order(-1, 105, market=other)),
    ]

    assert ids == [1, 2, 1]


def test_unknown_market_is_refused() -> None:
    ledger = rich()

    assert isinstance(refused(ledger, MAKER, order(1, 90, market=MarketId(9))), MarketNotFound)
    with pytest.raises(MarketNotFound):
        process_market_order(ledger, MAKER, MarketId(9), Lots(1), reduce_only=False)
    with pytest.raises(MarketNotFound):
        process_cancel(ledger, MAKER, MarketId(9), OrderId(1))
    with pytest.raises(MarketNotFound):
        process_cancel_all(ledger, MAKER, MarketId(9))


@pytest.mark.parametrize("size", [0, MAGNITUDE_MAX + 1, -MAGNITUDE_MAX - 1])
def test_size_is_refused_outside_its_range(size: int) -> None:
    ledger = rich()

    assert isinstance(refused(ledger, MAKER, order(size, 90)), InvalidSize)
    with pytest.raises(InvalidSize):
        process_market_order(ledger, MAKER, MARKET, Lots(size), reduce_only=False)


@pytest.mark.parametrize("price", [0, -1, MAGNITUDE_MAX + 1])
def test_price_is_refused_outside_its_range(price: int) -> None:
    assert isinstance(refused(rich(), MAKER, order(1, price)), InvalidPrice)


def test_largest_price_and_size_are_taken() -> None:
    ledger = rich()
    make_trader(ledger, 1, 10**40)

    process_order(ledger, MAKER, order(-1, MAGNITUDE_MAX))
    process_order(ledger, MAKER, order(MAGNITUDE_MAX, 1))

    assert len(ledger.book(MARKET).orders) == 2


@pytest.mark.parametrize("time_in_force", TimeInForce)
def test_no_order_without_a_price_p1(time_in_force: TimeInForce) -> None:
    ledger = make_ledger(price=0)
    make_trader(ledger, 1, 1_000)
    expires_ms = ledger.time_ms + 1 if time_in_force == TimeInForce.GTT else 0
    request = order(1, 90, time_in_force=time_in_force)._replace(expires_ms=TimeMs(expires_ms))

    refusal = refused(ledger, trader(1), request)

    assert isinstance(refusal, NoPrice)
    with pytest.raises(NoPrice):
        process_market_order(ledger, trader(1), MARKET, Lots(1), reduce_only=False)


def test_order_below_the_minimum_value_is_refused_o7() -> None:
    # 5 · 99 = 495, 5 · 100 = 500.
    ledger = rich(order_value_min=500)

    refusal = refused(ledger, MAKER, order(5, 99))
    process_order(ledger, MAKER, order(5, 100))

    assert isinstance(refusal, OrderTooSmall)
    assert (refusal.value, refusal.minimum) == (495, 500)
    assert resting(ledger, MAKER) == [(1, 5, 100)]


def test_market_orders_value_counts_at_the_mark_o7() -> None:
    # The bound of a sell is 95, but 5 · 100 = 500 is enough.
    ledger = rich(order_value_min=500)
    process_order(ledger, MAKER, order(10, 100))

    with pytest.raises(OrderTooSmall):
        process_market_order(ledger, TAKER, MARKET, Lots(-4), reduce_only=False)
    process_market_order(ledger, TAKER, MARKET, Lots(-5), reduce_only=False)

    assert size_of(ledger, TAKER) == -5


def test_order_that_closes_in_full_may_be_small_o7() -> None:
    # Long 5 worth 500; the mark falls to 90: closing 5 is worth 450, 4 would leave one behind.
    ledger = rich(order_value_min=500)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(5, 100))
    set_price(ledger, 90)
    process_order(ledger, MAKER, order(10, 90))

    assert isinstance(refused(ledger, TAKER, order(-4, 90)), OrderTooSmall)
    process_order(ledger, TAKER, order(-5, 90))

    assert size_of(ledger, TAKER) == 0


# --- modes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, IOC])
def test_orders_that_may_take_need_open(mode: Mode, time_in_force: TimeInForce) -> None:
    ledger = rich()
    request = order(1, 90, time_in_force=time_in_force)
    set_mode(ledger, mode)

    refusal = refused(ledger, MAKER, request)

    assert isinstance(refusal, NotAllowedInMode)
    assert (refusal.market, refusal.mode) == (MARKET, mode)
    with pytest.raises(NotAllowedInMode):
        process_market_order(ledger, MAKER, MARKET, Lots(1), reduce_only=False)


@pytest.mark.parametrize("mode", [Mode.CANCEL_ONLY, Mode.HALTED])
def test_post_only_orders_need_post_only_at_least(mode: Mode) -> None:
    ledger = rich()
    set_chain_mode(ledger, mode)

    refusal = refused(ledger, MAKER, order(1, 90, time_in_force=POST_ONLY))

    assert isinstance(refusal, NotAllowedInMode)
    assert (refusal.market, refusal.mode) == (0, mode)


@pytest.mark.parametrize(("size", "limit", "beyond"), [(1, 10_006, 10_007), (-1, 9_996, 9_995)])
def test_post_only_mode_keeps_quotes_near_the_oracle(size: int, limit: int, beyond: int) -> None:
    # Oracle 10,001: buys ≤ floor(10,006.0005), sells ≥ ceil(9,995.9995).
    ledger = rich(price=10_001)
    set_mode(ledger, Mode.POST_ONLY)

    refusal = refused(ledger, MAKER, order(size, beyond, time_in_force=POST_ONLY))
    process_order(ledger, MAKER, order(size, limit, time_in_force=POST_ONLY))

    assert isinstance(refusal, PostOnlyWouldCross)
    assert (refusal.price, refusal.limit) == (beyond, limit)
    assert resting(ledger, MAKER) == [(1, size, limit)]


def test_open_mode_lets_post_only_orders_be_as_aggressive_as_the_book_allows() -> None:
    ledger = rich(price=10_000)

    process_order(ledger, MAKER, order(1, 11_000, time_in_force=POST_ONLY))

    assert resting(ledger, MAKER) == [(1, 1, 11_000)]


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.POST_ONLY, Mode.CANCEL_ONLY])
def test_cancels_go_through_in_every_mode_but_halted(mode: Mode) -> None:
    ledger = rich()
    order_id = process_order(ledger, MAKER, order(1, 90))
    set_mode(ledger, mode)

    process_cancel(ledger, MAKER, MARKET, order_id)

    assert resting(ledger, MAKER) == []


def test_cancels_are_refused_while_halted() -> None:
    ledger = rich()
    order_id = process_order(ledger, MAKER, order(1, 90))
    set_mode(ledger, Mode.HALTED)

    with pytest.raises(NotAllowedInMode):
        process_cancel(ledger, MAKER, MARKET, order_id)
    with pytest.raises(NotAllowedInMode):
        process_cancel_all(ledger, MAKER, MARKET)


# --- O2: price-time -------------------------------------------------------------------------------


def test_taker_trades_by_price_then_time_at_the_makers_prices_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 102))
    process_order(ledger, MAKER, order(-3, 101))
    process_order(ledger, OTHER, order(-3, 101))

    process_order(ledger, TAKER, order(8, 102))

    assert fills_of(ledger) == [(2, 3, 101), (3, 3, 101), (1, 2, 102)]
    assert resting(ledger, MAKER) == [(1, -1, 102)]
    assert balance_of(ledger, TAKER) == 1_000_000 - 6 * 101 - 2 * 102


def test_rest_of_a_gtc_order_rests_at_its_own_price_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 101))

    process_order(ledger, TAKER, order(8, 102))

    assert fills_of(ledger) == [(1, 3, 101)]
    assert resting(ledger, TAKER) == [(2, 5, 102)]
    assert cancels_of(ledger) == []


def test_rest_of_an_ioc_order_is_cancelled_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 101))

    process_order(ledger, TAKER, order(8, 102, time_in_force=IOC))

    assert fills_of(ledger) == [(1, 3, 101)]
    assert cancels_of(ledger) == [(2, 5, CancelReason.IMMEDIATE)]
    assert resting(ledger, TAKER) == []


def test_ioc_order_that_finds_nothing_is_refused_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 103))

    refusal = refused(ledger, TAKER, order(8, 102, time_in_force=IOC))

    assert isinstance(refusal, NothingFilled)
    assert (refusal.market, refusal.price) == (MARKET, 102)


@pytest.mark.parametrize("size", [1, -1])
def test_post_only_that_would_cross_is_refused_o2(size: int) -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-size, 100))

    refusal = refused(ledger, TAKER, order(size, 100, time_in_force=POST_ONLY))
    process_order(ledger, TAKER, order(size, 100 - size, time_in_force=POST_ONLY))

    assert isinstance(refusal, PostOnlyWouldCross)
    assert (refusal.price, refusal.limit) == (100, 100)
    assert resting(ledger, TAKER) == [(2, size, 100 - size)]


def test_self_trade_cancels_the_maker_and_goes_on_o2() -> None:
    ledger = rich()
    process_order(ledger, TAKER, order(-3, 100))
    process_order(ledger, MAKER, order(-5, 101))

    process_order(ledger, TAKER, order(4, 101))

    assert cancels_of(ledger) == [(1, -3, CancelReason.SELF_TRADE)]
    assert fills_of(ledger) == [(2, 4, 101)]
    assert size_of(ledger, TAKER) == 4


def test_ioc_order_that_only_cleared_its_own_makers_is_accepted_o2() -> None:
    ledger = rich()
    process_order(ledger, TAKER, order(-3, 100))

    process_order(ledger, TAKER, order(4, 101, time_in_force=IOC))

    assert cancels_of(ledger) == [
        (1, -3, CancelReason.SELF_TRADE),
        (2, 4, CancelReason.IMMEDIATE),
    ]


# --- reduce-only ----------------------------------------------------------------------------------


def test_reduce_only_is_capped_to_the_position_it_closes_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, OTHER, order(20, 99))

    process_order(ledger, TAKER, order(-10, 99, reduce_only=True))

    placed = ledger.events[-2]
    assert isinstance(placed, OrderPlaced)
    assert placed.size == -6
    assert size_of(ledger, TAKER) == 0


@pytest.mark.parametrize("size", [1, -1])
def test_reduce_only_without_a_position_is_refused_o2(size: int) -> None:
    refusal = refused(rich(), TAKER, order(size, 100, reduce_only=True))

    assert isinstance(refusal, ReduceOnlyWouldIncrease)
    assert (refusal.position, refusal.size) == (0, size)


def test_reduce_only_that_adds_is_refused_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))

    refusal = refused(ledger, TAKER, order(1, 90, reduce_only=True))
    with pytest.raises(ReduceOnlyWouldIncrease):
        process_market_order(ledger, TAKER, MARKET, Lots(1), reduce_only=True)

    assert isinstance(refusal, ReduceOnlyWouldIncrease)
    assert refusal.position == 6


def test_resting_reduce_only_considers_nothing_else_that_rests_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))

    process_order(ledger, TAKER, order(-6, 110, reduce_only=True))
    process_order(ledger, TAKER, order(-9, 111, reduce_only=True))

    assert resting(ledger, TAKER) == [(3, -6, 110), (4, -6, 111)]


def test_filled_reduce_only_shrinks_the_others_o2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, TAKER, order(-6, 103, reduce_only=True))
    process_order(ledger, TAKER, order(-6, 104, reduce_only=True))

    process_order(ledger, MAKER, order(4, 103))

    assert resting(ledger, TAKER) == [(3, -2, 103), (4, -2, 104)]
    assert ledger.events[-1] == OrderReduced(MARKET, TAKER, OrderId(4), Lots(-6), Lots(-2))


def test_reduce_only_needs_no_margin_to_rest_g3() -> None:
    # Equity 100 for long 10 falls to 0 at 90, far below IM: the exit may still be quoted.
    ledger = poor(100)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    set_price(ledger, 90)

    process_order(ledger, TAKER, order(-10, 91, reduce_only=True))

    assert resting(ledger, TAKER) == [(3, -10, 91)]


# --- O3 -------------------------------------------------------------------------------------------


def test_fees_come_from_the_market_o3() -> None:
    # Notional 1,010: taker 0.1 % ceil(1.01) = 2, maker rebate 0.05 % floor(0.505) = 0.
    ledger = rich(taker_fee_ppm=1_000, maker_fee_ppm=-500)
    process_order(ledger, MAKER, order(-10, 101))

    process_order(ledger, TAKER, order(10, 101))

    assert balance_of(ledger, TAKER) == 1_000_000 - 1_010 - 2
    assert balance_of(ledger, FEES) == 2


# --- O4 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "size", "limit"),
    [(100, 1, 105), (100, -1, 95), (101, 1, 106), (101, -1, 96)],  # 106.05 floor, 95.95 ceil
)
def test_band_is_five_percent_of_the_mark_o4(mark: int, size: int, limit: int) -> None:
    assert compute_band_limit(make_market_params(), Ticks(mark), Lots(size)) == limit


def test_market_order_takes_the_band_as_its_limit_o4() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 105))
    process_order(ledger, MAKER, order(-3, 106))

    process_market_order(ledger, TAKER, MARKET, Lots(6), reduce_only=False)

    assert fills_of(ledger) == [(1, 3, 105)]
    assert cancels_of(ledger) == [(3, 3, CancelReason.IMMEDIATE)]


def test_market_order_is_refused_if_all_is_beyond_the_band_o4() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 106))
    before = ledger.dump()

    with pytest.raises(NothingFilled) as refusal:
        process_market_order(ledger, TAKER, MARKET, Lots(6), reduce_only=False)

    assert refusal.value.price == 105
    assert ledger.dump() == before


def test_market_order_closes_with_reduce_only() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, MAKER, order(10, 99))

    process_market_order(ledger, TAKER, MARKET, Lots(-50), reduce_only=True)

    assert size_of(ledger, TAKER) == 0


@pytest.mark.parametrize("time_in_force", [TimeInForce.GTC, IOC])
def test_aggressive_part_beyond_the_band_is_cancelled_o4(time_in_force: TimeInForce) -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 105))
    process_order(ledger, MAKER, order(-3, 106))

    process_order(ledger, TAKER, order(6, 110, time_in_force=time_in_force))

    assert fills_of(ledger) == [(1, 3, 105)]
    assert cancels_of(ledger) == [(3, 3, CancelReason.PRICE_BAND)]
    assert resting(ledger, TAKER) == []


@pytest.mark.parametrize("size", [6, -6])
def test_wholly_aggressive_order_beyond_the_band_is_refused_o4(size: int) -> None:
    ledger = rich()
    away = 6 if size > 0 else -6
    process_order(ledger, MAKER, order(-size, 100 + away))

    refusal = refused(ledger, TAKER, order(size, 100 + away))

    assert isinstance(refusal, OutsidePriceBand)
    assert (refusal.price, refusal.limit) == (100 + away, 105 if size > 0 else 95)


def test_passive_orders_are_free_of_the_band_o4() -> None:
    ledger = rich()

    process_order(ledger, MAKER, order(-6, 500))
    process_order(ledger, MAKER, order(6, 1))
    process_order(ledger, TAKER, order(3, 200))

    assert resting(ledger, TAKER) == [(3, 3, 200)]


def test_rest_that_no_longer_crosses_may_rest_beyond_the_band_o4() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-3, 105))

    process_order(ledger, TAKER, order(6, 110))

    assert resting(ledger, TAKER) == [(2, 3, 110)]


# --- G3 -------------------------------------------------------------------------------------------


def test_order_may_rest_that_equity_just_carries_g3() -> None:
    # 10 · 100 · 10 % = 100.
    ledger = poor(100)

    refusal = refused(ledger, TAKER, order(11, 90))
    process_order(ledger, TAKER, order(10, 90))

    assert isinstance(refusal, InsufficientMargin)
    assert (refusal.account, refusal.equity, refusal.required) == (TAKER, 100, 110)
    assert resting(ledger, TAKER) == [(1, 10, 90)]


def test_post_only_needs_margin_too_g3() -> None:
    ledger = poor(100)

    refusal = refused(ledger, TAKER, order(11, 90, time_in_force=POST_ONLY))
    process_order(ledger, TAKER, order(10, 90, time_in_force=POST_ONLY))

    assert isinstance(refusal, InsufficientMargin)


def test_account_without_money_posts_nothing_g3() -> None:
    assert isinstance(refused(rich(), trader(9), order(1, 90)), InsufficientMargin)


def test_orders_share_the_margin_but_sides_do_not_add_g2() -> None:
    ledger = poor(100)
    process_order(ledger, TAKER, order(10, 90))

    assert isinstance(refused(ledger, TAKER, order(1, 80)), InsufficientMargin)
    process_order(ledger, TAKER, order(-10, 110))
    assert isinstance(refused(ledger, TAKER, order(-1, 120)), InsufficientMargin)


def test_opposite_order_rests_below_im_if_im_is_not_higher_g3() -> None:
    # Paradex's example: 100 of collateral, 10 bought at 100, mark 98: IM 98, equity 80.
    # A sell of 5 leaves the larger side at 10; one of 21 would make it 11.
    ledger = poor(100)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    set_price(ledger, 98)

    assert isinstance(refused(ledger, TAKER, order(1, 90)), InsufficientMargin)
    assert isinstance(refused(ledger, TAKER, order(-21, 104)), InsufficientMargin)
    process_order(ledger, TAKER, order(-5, 104))

    assert resting(ledger, TAKER) == [(3, -5, 104)]


def test_taker_that_can_not_carry_the_fill_is_refused_g3() -> None:
    ledger = poor(100)
    process_order(ledger, MAKER, order(-11, 100))

    refusal = refused(ledger, TAKER, order(11, 100))
    process_order(ledger, TAKER, order(10, 100))

    assert isinstance(refusal, InsufficientMargin)
    assert (refusal.equity, refusal.required) == (100, 110)
    assert size_of(ledger, TAKER) == 10


def test_taker_pays_for_a_bad_price_out_of_its_equity_g3() -> None:
    # 10 bought at 104: equity 130 - 40 = 90 < 100. At 103 it is 100.
    ledger = poor(130)
    process_order(ledger, MAKER, order(-10, 104))
    assert isinstance(refused(ledger, TAKER, order(10, 104)), InsufficientMargin)
    process_order(ledger, MAKER, order(-10, 103))

    process_order(ledger, TAKER, order(10, 103))

    assert size_of(ledger, TAKER) == 10


def test_taker_stops_at_the_first_fill_it_can_not_carry_g3() -> None:
    # 100 carries 10 lots: the first maker's 6, not the second's.
    ledger = poor(100)
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, MAKER, order(-6, 100))

    process_order(ledger, TAKER, order(12, 100))

    assert fills_of(ledger) == [(1, 6, 100)]
    assert cancels_of(ledger) == [(3, 6, CancelReason.MARGIN)]
    assert resting(ledger, MAKER) == [(2, -6, 100)]


def test_rest_that_equity_does_not_carry_is_cancelled_g3() -> None:
    ledger = poor(100)
    process_order(ledger, MAKER, order(-6, 100))

    process_order(ledger, TAKER, order(12, 100))

    assert fills_of(ledger) == [(1, 6, 100)]
    assert cancels_of(ledger) == [(2, 6, CancelReason.MARGIN)]
    assert resting(ledger, TAKER) == []


def test_open_interest_binds_takers_and_new_orders_but_no_makers_g1() -> None:
    # OI after the fill 10 · 100 = 1,000, half way between 500 and 1,500: 55 % of 1,000 = 550.
    # The maker keeps 10 % for its quote.
    ledger = make_ledger(oi_lower_cap=500, oi_upper_cap=1_500)
    make_trader(ledger, 1, 100)
    make_trader(ledger, 2, 549)
    make_trader(ledger, 3, 550)
    process_order(ledger, MAKER, order(-10, 100))

    refusal = refused(ledger, TAKER, order(10, 100))
    process_order(ledger, OTHER, order(10, 100))

    assert isinstance(refusal, InsufficientMargin)
    assert (refusal.equity, refusal.required) == (549, 550)
    assert size_of(ledger, MAKER) == -10
    # A new order adds risk and is bound by the open interest that there is.
    assert isinstance(refused(ledger, TAKER, order(10, 90)), InsufficientMargin)
    process_order(ledger, TAKER, order(9, 90))  # 900 · 55 % = 495


def test_open_interest_does_not_bind_who_reduces_g1() -> None:
    # Long 10 on 100: with OI scaling it would need 550, but it may sell half.
    ledger = poor(100)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    ledger.all_market_params[MARKET] = make_market_params(oi_lower_cap=500, oi_upper_cap=1_500)
    process_order(ledger, MAKER, order(5, 100))

    process_order(ledger, TAKER, order(-5, 100))

    assert size_of(ledger, TAKER) == 5


def test_who_reduces_at_a_bad_price_needs_im_without_open_interest_g1() -> None:
    # Equity 200, IM 100. One lot sold at 75 costs 25, more than its tenth of the equity (20), but
    # 175 carry the IM of 90. Scaled by an OI of 10 · 100 it would be 55 % of 900 = 495.
    ledger = poor(200, price_band_ppm=300_000)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    process_order(ledger, MAKER, order(1, 75))
    ledger.all_market_params[MARKET] = make_market_params(
        price_band_ppm=300_000, oi_lower_cap=500, oi_upper_cap=1_500
    )

    process_order(ledger, TAKER, order(-1, 75))

    assert size_of(ledger, TAKER) == 9


@pytest.mark.parametrize(("price", "allowed"), [(90, True), (89, False)])
def test_reduction_below_im_may_use_its_share_of_the_equity_g3(price: int, allowed: bool) -> None:
    # Long 10 from 100 on 100, mark 95: equity 50, IM 95, MM ceil(95 / 2) = 48. Selling 5 leaves
    # IM ceil(47.5) = 48 and MM 24, so equity must stay ≥ 50 · 24 / 48 = 25: 5 lots may cost 5
    # ticks each.
    ledger = poor(100, price_band_ppm=100_000)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    set_price(ledger, 95)
    process_order(ledger, MAKER, order(5, price))

    if allowed:
        process_order(ledger, TAKER, order(-5, price))
        assert size_of(ledger, TAKER) == 5
    else:
        assert isinstance(refused(ledger, TAKER, order(-5, price)), InsufficientMargin)


def test_funding_is_settled_before_the_fill_f4() -> None:
    # 10 lots · 3e9 / 1e9 = 30 paid by the long to the short.
    ledger = rich()
    process_order(ledger, MAKER, order(-20, 100))
    process_order(ledger, TAKER, order(10, 100))
    set_funding_index(ledger, 3_000_000_000)
    ledger.events.clear()

    process_order(ledger, TAKER, order(5, 100))

    settled = [event for event in ledger.events if isinstance(event, FundingSettled)]
    assert [(event.account, event.cash) for event in settled] == [(MAKER, 30), (TAKER, -30)]
    assert balance_of(ledger, TAKER) == 1_000_000 - 1_500 - 30
    assert ledger.fundings.rows[MARKET].size_index_sum == 0


# --- G4, O8 ---------------------------------------------------------------------------------------


def test_maker_that_fails_at_the_match_is_cancelled_and_matching_goes_on_g4() -> None:
    # Trader 1's 100 carry 10 lots at 100, not at 150: at the new mark 15 a lot are needed.
    ledger = poor(1_000_000)
    failing = make_trader(ledger, 4, 100)
    process_order(ledger, failing, order(-10, 100))
    process_order(ledger, MAKER, order(-10, 101))
    set_price(ledger, 102)

    process_order(ledger, TAKER, order(10, 101))

    assert cancels_of(ledger) == [(1, -10, CancelReason.MARGIN)]
    assert fills_of(ledger) == [(2, 10, 101)]
    assert size_of(ledger, failing) == 0


def test_order_that_cleared_failing_makers_is_not_refused_g4() -> None:
    # Putting them back would let phantom quotes stand in everybody's way.
    ledger = poor(1_000_000)
    failing = make_trader(ledger, 4, 100)
    process_order(ledger, failing, order(-10, 100))
    set_price(ledger, 102)

    process_order(ledger, TAKER, order(10, 101, time_in_force=IOC))

    assert cancels_of(ledger) == [
        (1, -10, CancelReason.MARGIN),
        (2, 10, CancelReason.IMMEDIATE),
    ]
    assert resting(ledger, failing) == []


def test_maker_below_im_may_still_be_filled_if_that_reduces_g4() -> None:
    # The maker is long 10 on 100, equity 60 < IM 96 at the mark 96; its ordinary sell reduces.
    ledger = rich()
    long = make_trader(ledger, 4, 100)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, long, order(10, 100))
    process_order(ledger, long, order(-10, 100))
    set_price(ledger, 96)

    process_order(ledger, TAKER, order(10, 100, time_in_force=IOC))

    assert size_of(ledger, long) == 0
    assert cancels_of(ledger) == []


def test_taker_removes_no_more_makers_than_its_maximum_o8() -> None:
    ledger = rich()
    ledger.params = ledger.params._replace(maker_removals_max=2)
    for _ in range(3):
        process_order(ledger, TAKER, order(-1, 100))

    process_order(ledger, TAKER, order(5, 100))

    assert cancels_of(ledger) == [
        (1, -1, CancelReason.SELF_TRADE),
        (2, -1, CancelReason.SELF_TRADE),
        (4, 5, CancelReason.MAKER_LIMIT),
    ]
    assert resting(ledger, TAKER) == [(3, -1, 100)]


def test_makers_filled_whole_count_too_o8() -> None:
    ledger = rich()
    ledger.params = ledger.params._replace(maker_removals_max=2)
    for _ in range(3):
        process_order(ledger, MAKER, order(-1, 100))

    process_order(ledger, TAKER, order(3, 101))

    assert [size for _, size, _ in fills_of(ledger)] == [1, 1]
    assert cancels_of(ledger) == [(4, 1, CancelReason.MAKER_LIMIT)]


def test_maker_filled_in_part_does_not_count_o8() -> None:
    ledger = rich()
    ledger.params = ledger.params._replace(maker_removals_max=2)
    process_order(ledger, MAKER, order(-1, 100))
    process_order(ledger, MAKER, order(-1, 100))
    process_order(ledger, MAKER, order(-9, 100))

    process_order(ledger, TAKER, order(2, 101))
    process_order(ledger, TAKER, order(4, 101))

    assert [size for _, size, _ in fills_of(ledger)] == [1, 1, 4]
    assert cancels_of(ledger) == []


# --- immediate orders that are no requests --------------------------------------------------------


class Surcharge:
    """A liquidation that gives the vault one atom a lot, and at most so many fills."""

    is_liquidation = True

    def __init__(self, fills_max: int) -> None:
        self.fills_max = fills_max
        self.filled: list[int] = []
        self.asked = 0

    def compute_rates(self, params: MarketParams) -> FeeRates:
        return compute_liquidation_rates(params)

    def compute_legs(
        self, ledger: Ledger, taker: Address, market: MarketId, *, size: Lots, price: Ticks
    ) -> Sequence[Leg] | None:
        if len(self.filled) == self.fills_max:
            return None
        self.asked = size
        return (Leg(taker, Quote(-abs(size))), Leg(VAULT, Quote(abs(size))))

    def process_filled(self, ledger: Ledger, taker: Address, market: MarketId) -> None:
        self.filled.append(self.asked)


def test_triggered_order_closes_what_it_can_at_ordinary_fees_o5() -> None:
    ledger = rich(taker_fee_ppm=1_000)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, OTHER, order(4, 80))
    ledger.events.clear()

    fills = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-50), Ticks(80), order_id=OrderId(77)
    )

    assert (fills.size, len(fills.fills)) == (-4, 1)
    [filled] = [event for event in ledger.events if isinstance(event, OrderFilled)]
    assert (filled.taker_order_id, filled.taker_fee, filled.liquidation) == (77, 1, False)
    assert len(ledger.events) == 1
    assert size_of(ledger, TAKER) == 2


def test_triggered_order_keeps_to_its_own_limit() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, OTHER, order(4, 80))

    fills = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-6), Ticks(81), order_id=OrderId(77)
    )

    assert fills.size == 0
    assert size_of(ledger, TAKER) == 6


@pytest.mark.parametrize("size", [-5, 5])
def test_nothing_to_reduce_fills_nothing(size: int) -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(size, 100))

    fills = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-size), Ticks(100), order_id=OrderId(77)
    )

    assert (fills.size, fills.fills) == (0, ())


def test_liquidation_pays_no_taker_fee_and_no_rebate_but_the_vault_o3_l5() -> None:
    ledger = rich(taker_fee_ppm=1_000, maker_fee_ppm=-1_000)
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, OTHER, order(6, 90))
    before = balance_of(ledger, FEES)

    fills = process_reduce_only_ioc(
        ledger,
        TAKER,
        MARKET,
        Lots(-6),
        Ticks(90),
        order_id=OrderId(0),
        settlement=Surcharge(1),
    )

    assert fills.size == -6
    assert balance_of(ledger, OTHER) == 1_000_000 - 540
    assert balance_of(ledger, VAULT) == 6
    assert balance_of(ledger, FEES) == before
    filled = ledger.events[-1]
    assert isinstance(filled, OrderFilled)
    assert (filled.taker_order_id, filled.taker_fee, filled.maker_fee) == (0, 0, 0)
    assert filled.liquidation


def test_refused_liquidation_fill_stops_and_leaves_the_maker_l2() -> None:
    ledger = rich()
    process_order(ledger, MAKER, order(-6, 100))
    process_order(ledger, TAKER, order(6, 100))
    process_order(ledger, OTHER, order(2, 90))
    process_order(ledger, OTHER, order(2, 90))
    settlement = Surcharge(1)

    fills = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-6), Ticks(90), order_id=OrderId(0), settlement=settlement
    )

    assert fills.size == -2
    assert settlement.filled == [-2]
    assert resting(ledger, OTHER) == [(4, 2, 90)]


def test_liquidated_taker_is_not_tested_g3() -> None:
    # Equity 100 - 500 is below 0 whatever it does; an ordinary taker would be stopped.
    ledger = poor(100)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    set_price(ledger, 60)
    process_order(ledger, MAKER, order(5, 50))

    ordinary = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-5), Ticks(50), order_id=OrderId(77)
    )
    liquidation = process_reduce_only_ioc(
        ledger,
        TAKER,
        MARKET,
        Lots(-5),
        Ticks(50),
        order_id=OrderId(0),
        settlement=Surcharge(9),
    )

    assert (ordinary.size, liquidation.size) == (0, -5)


def test_failing_maker_of_a_liquidation_is_cancelled_and_not_counted_g4() -> None:
    ledger = rich()
    failing = make_trader(ledger, 4, 50)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, TAKER, order(10, 100))
    process_order(ledger, failing, order(5, 99))
    process_order(ledger, OTHER, order(5, 98))
    set_price(ledger, 90)
    settlement = Surcharge(9)

    fills = process_reduce_only_ioc(
        ledger, TAKER, MARKET, Lots(-10), Ticks(90), order_id=OrderId(0), settlement=settlement
    )

    assert fills.size == -5
    assert settlement.filled == [-5]
    assert balance_of(ledger, VAULT) == 5
    assert cancels_of(ledger) == [(3, 5, CancelReason.MARGIN)]


# --- cancelling -----------------------------------------------------------------------------------


def test_cancel_removes_the_order_and_its_reservation() -> None:
    ledger = poor(100)
    order_id = process_order(ledger, TAKER, order(10, 90))

    process_cancel(ledger, TAKER, MARKET, order_id)
    process_order(ledger, TAKER, order(10, 91))

    assert cancels_of(ledger) == [(order_id, 10, CancelReason.REQUESTED)]


def test_cancel_finds_only_the_callers_orders() -> None:
    ledger = rich()
    order_id = process_order(ledger, MAKER, order(10, 90))

    with pytest.raises(OrderNotFound) as refusal:
        process_cancel(ledger, TAKER, MARKET, order_id)
    with pytest.raises(OrderNotFound):
        process_cancel(ledger, MAKER, MARKET, OrderId(7))

    assert (refusal.value.market, refusal.value.order_id) == (MARKET, order_id)
    assert len(resting(ledger, MAKER)) == 1


def put_trigger(ledger: DictLedger, number: int, owner: Address) -> None:
    ledger.book(MARKET).put_trigger(
        Trigger(OrderId(number), owner, Lots(-1), Ticks(50), TriggerKind.STOP_LOSS, Ticks(0))
    )


def test_cancel_takes_triggers_too() -> None:
    ledger = rich()
    put_trigger(ledger, 5, TAKER)

    with pytest.raises(OrderNotFound):
        process_cancel(ledger, MAKER, MARKET, OrderId(5))
    process_cancel(ledger, TAKER, MARKET, OrderId(5))

    assert dict(ledger.book(MARKET).triggers) == {}
    assert cancels_of(ledger) == [(5, -1, CancelReason.REQUESTED)]


def test_cancel_all_takes_the_accounts_orders_and_triggers_of_one_market() -> None:
    ledger = rich()
    other = make_market(ledger)
    process_order(ledger, TAKER, order(1, 90))
    process_order(ledger, MAKER, order(1, 90))
    process_order(ledger, TAKER, order(-1, 110))
    process_order(ledger, TAKER, order(1, 90, market=other))
    put_trigger(ledger, 9, TAKER)

    count = process_cancel_all(ledger, TAKER, MARKET)

    assert count == 3
    assert [number for number, _, _ in cancels_of(ledger)] == [1, 3, 9]
    assert get_account(ledger, TAKER).markets == (other,)
    assert len(resting(ledger, MAKER)) == 1


def test_cancel_all_of_nothing_is_no_error() -> None:
    ledger = rich()

    assert process_cancel_all(ledger, TAKER, MARKET) == 0
    assert ledger.events == []
