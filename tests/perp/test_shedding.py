"""Orders that equity no longer carries go, the most passive first (G5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.events import OrderCancelled
from node.perp.liquidation import process_liquidations
from node.perp.margin import compute_risk
from node.perp.order import CancelReason
from node.perp.shedding import compute_distance_ppm
from node.perp.status import Mode
from node.perp.trading import process_order
from node.units import MarketId, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    deposit,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    set_mode,
    set_price,
    trader,
)

OWNER, OTHER = trader(1), trader(2)


def cancelled(ledger: DictLedger) -> list[tuple[MarketId, int]]:
    return [
        (event.market, event.order_id)
        for event in ledger.events
        if isinstance(event, OrderCancelled) and event.reason == CancelReason.UNCOVERED
    ]


def place(ledger: DictLedger, size: int, price: int, market: MarketId = MARKET) -> int:
    return process_order(ledger, OWNER, order(size, price, market=market))


def make_rich(ledger: DictLedger, amount: int = 10**6) -> None:
    make_trader(ledger, 1, amount)


def leave(ledger: DictLedger, equity: int) -> None:
    """Take all but this much equity away."""
    deposit(ledger, OWNER, equity - compute_risk(ledger, OWNER).equity)
    ledger.events.clear()


def test_most_passive_goes_first_until_equity_carries_the_rest_g5() -> None:
    # 10 lots at 1,000 and 10 %: each order asks for 1,000, all three for 3,000.
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    near, far, middle = (place(ledger, 10, price) for price in (990, 900, 950))

    leave(ledger, 3_000)
    process_liquidations(ledger)
    assert cancelled(ledger) == []
    leave(ledger, 2_000)
    process_liquidations(ledger)
    assert cancelled(ledger) == [(MARKET, far)]
    leave(ledger, 1_999)
    process_liquidations(ledger)
    assert cancelled(ledger) == [(MARKET, middle)]
    leave(ledger, 0)
    process_liquidations(ledger)

    assert cancelled(ledger) == [(MARKET, near)]


def test_newest_goes_first_among_equals_g5() -> None:
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    first, second = place(ledger, 10, 990), place(ledger, 10, 990)
    sold = place(ledger, -10, 1_010)

    leave(ledger, 1_000)
    process_liquidations(ledger)

    # The larger side is the buys: the sell goes first, and its going helps nobody.
    assert cancelled(ledger) == [(MARKET, sold), (MARKET, second)]
    assert first in ledger.book(MARKET).orders


def test_later_block_is_newer_across_markets_g5() -> None:
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=2_000)
    make_rich(ledger)
    place(ledger, 5, 1_980, second)
    place(ledger, 5, 1_980, second)
    next_block(ledger)
    place(ledger, 10, 990)

    # All three are 1 % from their mark; market 1 has the one of the later block.
    leave(ledger, 0)
    process_liquidations(ledger)

    assert cancelled(ledger) == [(MARKET, 1), (second, 2), (second, 1)]


def test_order_through_the_mark_is_the_least_passive_g5() -> None:
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    through, passive = place(ledger, 10, 1_040), place(ledger, 10, 999)

    leave(ledger, 1_500)
    process_liquidations(ledger)

    # It asks for 1,000 and the loss of 400.
    assert cancelled(ledger) == [(MARKET, passive)]
    assert through in ledger.book(MARKET).orders


def test_reduce_only_orders_stay_g5() -> None:
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    make_trader(ledger, 2, 10**6)
    process_order(ledger, OTHER, order(-10, 1_000))
    place(ledger, 10, 1_000)
    process_order(ledger, OWNER, order(-10, 1_200, reduce_only=True))
    adding = place(ledger, 1, 500)

    leave(ledger, 900)
    process_liquidations(ledger)

    assert cancelled(ledger) == [(MARKET, adding)]
    assert len(ledger.book(MARKET).orders) == 1


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED, Mode.OPEN])
def test_closed_market_or_one_in_grace_waits_g5_x4(mode: Mode) -> None:
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=1_000)
    make_rich(ledger)
    place(ledger, 10, 900)
    here = place(ledger, 10, 990, second)
    set_mode(ledger, mode)

    leave(ledger, 0)
    process_liquidations(ledger)

    assert cancelled(ledger) == [(second, here)]
    set_mode(ledger, Mode.CANCEL_ONLY, market=second)
    process_liquidations(ledger)
    assert cancelled(ledger) == [(second, here)]


def test_open_interest_is_left_out_g5_g1() -> None:
    # From 1 atom of open interest on, new risk needs more than 10 %; what rests does not.
    ledger = make_ledger(price=1_000, oi_lower_cap=1, oi_upper_cap=10**6)
    make_rich(ledger, 10**7)
    place(ledger, 10, 900)
    make_trader(ledger, 2, 10**9)
    make_trader(ledger, 3, 10**9)
    process_order(ledger, OTHER, order(-900, 1_000))
    process_order(ledger, trader(3), order(900, 1_000))

    leave(ledger, 1_000)
    process_liquidations(ledger)

    assert cancelled(ledger) == []


def test_move_of_the_mark_uncovers_quotes_g5() -> None:
    # Long 10 and bidding for 10: IM 2,000 at 1,000. At 950 equity 1,500 faces 1,900.
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    make_trader(ledger, 2, 10**6)
    process_order(ledger, OTHER, order(-10, 1_000))
    place(ledger, 10, 1_000)
    bid = place(ledger, 10, 900)
    leave(ledger, 2_000)
    process_liquidations(ledger)
    assert cancelled(ledger) == []
    next_block(ledger)

    set_price(ledger, 950)
    process_liquidations(ledger)

    assert cancelled(ledger) == [(MARKET, bid)]


@pytest.mark.parametrize(
    ("distance", "mark", "ppm"), [(1, 3, 333_333), (-1, 3, -333_334), (0, 7, 0)]
)
def test_distance_is_floored(distance: int, mark: int, ppm: int) -> None:
    assert compute_distance_ppm(distance, Ticks(mark)) == ppm


@given(
    st.lists(st.tuples(st.integers(1, 30), st.integers(800, 999)), min_size=1, max_size=8),
    st.integers(-2_000, 30_000),
)
def test_as_few_as_it_takes_are_cancelled_g5(bids: list[tuple[int, int]], equity: int) -> None:
    ledger = make_ledger(price=1_000)
    make_rich(ledger)
    for size, price in bids:
        place(ledger, size, price)
    leave(ledger, equity)

    process_liquidations(ledger)

    risk = compute_risk(ledger, OWNER)
    left = list(ledger.book(MARKET).orders.values())
    assert risk.equity >= risk.initial or not left
    gone = [order_id for _, order_id in cancelled(ledger)]
    if gone:
        # With the last one that went, equity would not have carried IM.
        size, price = bids[gone[-1] - 1]
        asked = sum(each.size for each in left) + size
        assert equity * 10 < asked * 1_000
        assert all(each.price >= price for each in left)
