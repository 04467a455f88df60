"""What makers and takers decide from what they see; no node is needed for that."""

import pytest

from node.devnet.actor import Action, Head
from node.devnet.prices import FixedPrices, PricedMarket
from node.devnet.reporters import make_reports
from node.devnet.traders import (
    INVENTORY_MAX,
    RUNGS,
    Draw,
    Holding,
    MarketState,
    is_ladder_stale,
    make_ladder,
    plan_maker,
    plan_taker,
)
from node.perp.account import EXCHANGE
from node.perp.order import TimeInForce
from node.system.contracts import CONTRACTS, ORACLE
from node.units import Height, Lots, MarketId, Ticks, TimeMs, notional

BTC = MarketState(MarketId(1), k=10, mode="OPEN", mark=Ticks(930_000))
EMPTY = Holding(Lots(0), (), 0)


def decode(action: Action) -> tuple[str, tuple[object, ...]]:
    for function in CONTRACTS[action.to].functions.values():
        if action.data.startswith(function.selector):
            return function.name, tuple(function.inputs.decode(action.data[4:]))
    raise AssertionError(f"no function has the selector {action.data[:4].hex()}")


def names(actions: list[Action]) -> list[str]:
    return [decode(action)[0] for action in actions]


def test_ladder_stands_on_both_sides_of_the_mark() -> None:
    ladder = make_ladder(BTC, Lots(0))

    assert len(ladder) == 2 * len(RUNGS)
    assert all((price < BTC.mark) == (size > 0) for size, price in ladder)
    # 5,000 USDC at 93,000 USD is 0.0537 BTC; 400 ppm of 930,000 ticks are 372
    assert (Lots(537), Ticks(929_628)) in ladder
    assert (Lots(-537), Ticks(930_372)) in ladder


@pytest.mark.parametrize("side", [1, -1])
def test_maker_that_holds_too_much_only_quotes_the_way_out(side: int) -> None:
    position = Lots(side * (INVENTORY_MAX // (BTC.mark * BTC.k) + 1))

    ladder = make_ladder(BTC, position)

    assert len(ladder) == len(RUNGS)
    assert all(size * side < 0 for size, _ in ladder)


def test_new_ladder_never_crosses_another_makers_one_that_still_stands() -> None:
    standing = make_ladder(BTC, Lots(0))
    prices = sorted(price for _, price in standing)
    best_ask = min(price for size, price in standing if size < 0)

    for mark in range(930_000, 940_000, 7):
        moved = BTC._replace(mark=Ticks(mark))
        if is_ladder_stale(make_ladder(moved, Lots(0)), prices, moved.mark):
            break
        best_bid = max(price for size, price in make_ladder(moved, Lots(0)) if size > 0)
        assert best_bid < best_ask
    else:
        pytest.fail("the ladder never became stale")


def test_maker_renews_what_the_mark_left_behind() -> None:
    orders = tuple(sorted(price for _, price in make_ladder(BTC, Lots(0))))
    moved = BTC._replace(mark=Ticks(931_000))

    assert plan_maker(BTC, EMPTY._replace(orders=orders)) == []
    assert names(plan_maker(moved, EMPTY._replace(orders=orders))) == [
        "cancelAllOrders",
        *["placeOrder"] * 6,
    ]


def test_maker_renews_a_ladder_that_lost_a_rung() -> None:
    orders = tuple(sorted(price for _, price in make_ladder(BTC, Lots(0))))

    assert plan_maker(BTC, EMPTY._replace(orders=orders[1:])) != []


def test_makers_orders_are_post_only() -> None:
    for action in plan_maker(BTC, EMPTY):
        name, arguments = decode(action)
        assert (action.to, name) == (EXCHANGE, "placeOrder")
        assert arguments[3] == TimeInForce.POST_ONLY


@pytest.mark.parametrize("mode", ["CANCEL_ONLY", "HALTED"])
def test_nobody_trades_in_a_closed_market(mode: str) -> None:
    closed = BTC._replace(mode=mode)

    assert plan_maker(closed, EMPTY) == []
    assert all(plan_taker(closed, EMPTY, Draw(height)) == [] for height in range(50))


def test_nobody_trades_before_the_first_price() -> None:
    unpriced = BTC._replace(mark=Ticks(0))

    assert plan_maker(unpriced, EMPTY) == []
    assert all(plan_taker(unpriced, EMPTY, Draw(height)) == [] for height in range(50))


def test_makers_quote_and_takers_wait_in_post_only() -> None:
    market = BTC._replace(mode="POST_ONLY")

    assert plan_maker(market, EMPTY) != []
    assert all(plan_taker(market, EMPTY, Draw(height)) == [] for height in range(50))


def test_takers_trade_in_about_a_fifth_of_the_blocks_and_repeat_themselves() -> None:
    first = [plan_taker(BTC, EMPTY, Draw(height)) for height in range(1_000)]
    again = [plan_taker(BTC, EMPTY, Draw(height)) for height in range(1_000)]

    assert first == again
    assert 150 < sum(1 for actions in first if actions) < 250
    done = {name for actions in first for name in names(actions)}
    assert done == {"placeMarketOrder", "placeOrder"}


def test_taker_with_too_much_sells() -> None:
    long = EMPTY._replace(position=Lots(200_000), trigger_count=2)

    sizes = [
        decode(action)[1][1]
        for height in range(200)
        for action in plan_taker(BTC, long, Draw(height))
    ]

    assert sizes
    assert all(isinstance(size, int) and size < 0 for size in sizes)


@pytest.mark.parametrize("side", [1, -1])
def test_protection_closes_the_position_on_both_sides_of_the_mark(side: int) -> None:
    holding = EMPTY._replace(position=Lots(side * 100))

    plans = [plan_taker(BTC, holding, Draw(height)) for height in range(200)]

    pair = next(plan for plan in plans if "placeTrigger" in names(plan))
    (_, stop), (_, profit) = map(decode, pair)
    # (market, size, trigger price, kind): stop loss 0 on the losing side, take profit 1 opposite
    assert (stop[1], stop[3], profit[1], profit[3]) == (-side * 100, 0, -side * 100, 1)
    assert stop[2] == 930_000 - side * 13_950
    assert profit[2] == 930_000 + side * 13_950


def test_orphaned_triggers_are_cancelled() -> None:
    plans = [plan_taker(BTC, EMPTY._replace(trigger_count=1), Draw(h)) for h in range(50)]

    assert {name for plan in plans for name in names(plan)} == {"cancelAllOrders"}


def test_takers_orders_stay_small() -> None:
    for height in range(200):
        for action in plan_taker(BTC, EMPTY, Draw(height)):
            size = decode(action)[1][1]
            assert isinstance(size, int)
            assert abs(notional(Lots(size), BTC.mark, BTC.k)) <= 4_000 * 10**6


def test_reports_carry_the_heads_time_and_fork_and_straddle_the_price() -> None:
    markets = [(MarketId(1), PricedMarket("BTC-USD", 1))]
    head = Head(Height(5), TimeMs(1_795_000_000_123), 2)

    reports = [
        make_reports(FixedPrices(), markets, head, reporter=i, reporters=3)[0] for i in range(3)
    ]

    assert {report.to for report in reports} == {ORACLE}
    assert [decode(report)[1] for report in reports] == [
        (1, 929_999, 1_795_000_000_123, 2),
        (1, 930_000, 1_795_000_000_123, 2),
        (1, 930_001, 1_795_000_000_123, 2),
    ]
