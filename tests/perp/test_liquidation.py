"""Who is liquidated, in which order, for what, and who pays what is missing (L1, L2, L5, L6)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.account import DEFICIT, FEES, VAULT
from node.perp.bankruptcy import compute_bankruptcy_quote
from node.perp.events import (
    BalanceAbsorbed,
    OrderCancelled,
    OrderFilled,
    PositionDeleveraged,
    PositionLiquidated,
)
from node.perp.health import compute_health, get_sights
from node.perp.liquidation import (
    compute_fillable_price,
    compute_step_size,
    process_liquidations,
)
from node.perp.margin import compute_risk
from node.perp.order import CancelReason
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_cancel_all, process_order
from node.perp.vault import process_negative_balances
from node.units import Address, Lots, MarketId, Quote, RatePpm, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    deposit,
    make_ledger,
    make_market,
    make_market_params,
    make_trader,
    next_block,
    order,
    set_chain_mode,
    set_mode,
    set_price,
    size_of,
    trader,
)

LONG, COUNTER, MAKER, SECOND = trader(1), trader(2), trader(3), trader(4)


def trade(
    ledger: DictLedger, buyer: Address, size: int, price: int, market: MarketId = MARKET
) -> None:
    """Let `buyer` buy from COUNTER, whatever its margin."""
    process_order(ledger, COUNTER, order(-size, price, market=market))
    deposit(ledger, buyer, 10**15)
    process_order(ledger, buyer, order(size, price, market=market))
    deposit(ledger, buyer, -(10**15))


def long_ledger(margin: int = 10_000, *, mark: int, **params: int) -> DictLedger:
    """Return a ledger in which LONG bought 100 lots at 1,000 with this margin; then the mark.

    IM is 10 %, MM 5 %. COUNTER and MAKER are rich.
    """
    ledger = make_ledger(price=1_000, **params)
    make_trader(ledger, 1, margin)
    make_trader(ledger, 2, 10**12)
    make_trader(ledger, 3, 10**12)
    trade(ledger, LONG, 100, 1_000)
    next_block(ledger)
    set_price(ledger, mark)
    return ledger


def liquidated(ledger: DictLedger) -> list[PositionLiquidated]:
    return [event for event in ledger.events if isinstance(event, PositionLiquidated)]


# --- L1 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "is_liquidated"), [(948, False), (947, True)])
def test_account_is_liquidated_when_equity_is_below_maintenance_l1(
    mark: int, is_liquidated: bool
) -> None:
    # At 948: equity 10,000 - 5,200 = 4,800, MM 4,740. At 947: 4,700 against 4,735.
    ledger = long_ledger(mark=mark)
    process_order(ledger, MAKER, order(100, mark))

    process_liquidations(ledger)

    assert (size_of(ledger, LONG) == 0) == is_liquidated
    assert bool(liquidated(ledger)) == is_liquidated


def test_equity_equal_to_maintenance_is_healthy_l1() -> None:
    # At 950: equity 9,750 - 5,000 = 4,750 = MM.
    ledger = long_ledger(margin=10_000, mark=950)
    process_order(ledger, MAKER, order(100, 950))
    process_order(ledger, COUNTER, order(1, 940))
    ledger.accounts.set(LONG, ledger.accounts.rows[LONG]._replace(balance=Quote(-90_250)))

    process_liquidations(ledger)
    assert liquidated(ledger) == []
    ledger.accounts.set(LONG, ledger.accounts.rows[LONG]._replace(balance=Quote(-90_251)))
    process_liquidations(ledger)

    assert len(liquidated(ledger)) == 1


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_nothing_is_liquidated_outside_open_l1(mode: Mode) -> None:
    ledger = long_ledger(mark=900)
    process_order(ledger, MAKER, order(100, 900))
    set_mode(ledger, mode)

    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 100


def test_liquidations_wait_in_the_grace_period_x4() -> None:
    ledger = long_ledger(mark=900)
    process_order(ledger, MAKER, order(100, 900))
    set_mode(ledger, Mode.OPEN)
    process_liquidations(ledger)
    assert size_of(ledger, LONG) == 100

    next_block(ledger, 5_000)
    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 0


def test_position_in_a_closed_market_gives_the_benefit_of_the_doubt_l1() -> None:
    # First market at 940: equity 10,000 - 6,000 = 4,000, MM 4,700. Five lots at 1,000 in the
    # second add MM 250; closed, they add 250 to equity and nothing to MM: 4,250 < 4,700 still.
    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    trade(ledger, LONG, 5, 1_000, second)
    set_price(ledger, 940)
    sights = get_sights(ledger)
    health = compute_health(ledger, LONG, sights)
    assert (health.equity, health.maintenance) == (4_000, 4_950)

    set_mode(ledger, Mode.CANCEL_ONLY, market=second)
    health = compute_health(ledger, LONG, get_sights(ledger))

    assert (health.equity, health.maintenance) == (4_250, 4_700)
    # The mark at which one lot's worth of doubt decides: 4,500 + 250 against 4,725.
    set_price(ledger, 945)
    process_order(ledger, MAKER, order(100, 945))
    process_liquidations(ledger)
    assert liquidated(ledger) == []
    set_mode(ledger, Mode.OPEN, market=second)
    next_block(ledger, 10_000)
    process_liquidations(ledger)
    assert len(liquidated(ledger)) == 1


def test_position_in_a_closed_market_is_not_liquidated_itself_l1() -> None:
    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    trade(ledger, LONG, 1, 1_000, second)
    for market in (MARKET, second):
        process_order(ledger, MAKER, order(100, 900, market=market))
    set_price(ledger, 900)
    set_mode(ledger, Mode.CANCEL_ONLY, market=second)

    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 0
    assert size_of(ledger, LONG, second) == 1


def test_lowest_ratio_comes_first_l1() -> None:
    # SECOND has the larger address and the smaller margin; there are bids for one of them.
    ledger = long_ledger(mark=1_000)
    make_trader(ledger, 4, 10_000)
    trade(ledger, SECOND, 100, 1_000)
    ledger.accounts.set(SECOND, ledger.accounts.rows[SECOND]._replace(balance=Quote(-90_100)))
    deposit(ledger, FEES, 100)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(100, 940))

    process_liquidations(ledger)

    assert [event.account for event in liquidated(ledger)] == [SECOND]


def test_many_accounts_go_by_their_ratio_whatever_their_addresses_l1() -> None:
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 2, 10**12)
    make_trader(ledger, 3, 10**12)
    margins = {trader(number): 9_000 - 37 * (number * 7 % 12) for number in range(10, 22)}
    for owner, margin in margins.items():
        deposit(ledger, owner, margin)
        trade(ledger, owner, 100, 1_000)
    next_block(ledger)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(1_200, 940))

    process_liquidations(ledger)

    accounts = [event.account for event in liquidated(ledger)]
    assert accounts == sorted(margins, key=lambda owner: margins[owner])


def test_equal_ratios_go_by_account_then_market_l1() -> None:
    ledger = long_ledger(mark=1_000)
    make_trader(ledger, 4, 10_000)
    trade(ledger, SECOND, 100, 1_000)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(300, 940))
    process_liquidations(ledger)
    assert [event.account for event in liquidated(ledger)] == [LONG, SECOND]

    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    trade(ledger, LONG, 1, 1_000, second)
    set_price(ledger, 880)
    deposit(ledger, VAULT, 10_000)
    process_order(ledger, MAKER, order(1, 990, market=second))
    process_order(ledger, MAKER, order(1, 880))
    process_liquidations(ledger)
    assert [event.market for event in liquidated(ledger)] == [MARKET, second]


def test_each_position_is_tried_once_a_block_l1() -> None:
    # n = 94,000,000,000 is more than 5,000 USDC: a fifth, 20 lots.
    ledger = long_ledger(margin=10_000 * 10**6, mark=940, k=10**6)
    process_order(ledger, MAKER, order(100, 900))

    process_liquidations(ledger)
    assert size_of(ledger, LONG) == 100  # nobody pays the fillable price of 930
    process_order(ledger, MAKER, order(100, 935))
    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 80
    assert [event.size for event in liquidated(ledger)] == [-20]


def test_so_many_steps_a_block_o8() -> None:
    ledger = long_ledger(mark=1_000)
    ledger.params = ledger.params._replace(liquidations_max=2)
    for number in (4, 5):
        make_trader(ledger, number, 10_000)
        trade(ledger, trader(number), 100, 1_000)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(300, 940))

    process_liquidations(ledger)
    assert len(liquidated(ledger)) == 2
    next_block(ledger)
    process_liquidations(ledger)

    assert [event.account for event in liquidated(ledger)] == [trader(5)]


def test_what_nobody_buys_is_no_step_o8() -> None:
    ledger = long_ledger(mark=1_000)
    ledger.params = ledger.params._replace(liquidations_max=1)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 4, 11_000)
    trade(ledger, SECOND, 100, 1_000, second)
    process_order(ledger, MAKER, order(100, 930, market=second))
    set_price(ledger, 900)
    set_price(ledger, 930, market=second)

    process_liquidations(ledger)

    # LONG is worse off, but its market has no bids.
    assert [event.account for event in liquidated(ledger)] == [SECOND]


def test_cancelling_its_orders_is_a_step_o8() -> None:
    # LONG is worse off. Its way out is no risk (G5) and stays until LONG is liquidated (L2).
    ledger = long_ledger(mark=1_000)
    ledger.params = ledger.params._replace(liquidations_max=1)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 4, 11_000)
    trade(ledger, SECOND, 100, 1_000, second)
    process_order(ledger, LONG, order(-60, 1_040))
    process_order(ledger, MAKER, order(100, 930, market=second))
    set_price(ledger, 900)
    set_price(ledger, 930, market=second)

    process_liquidations(ledger)
    assert (len(ledger.book(MARKET).orders), liquidated(ledger)) == (0, [])
    next_block(ledger)
    process_liquidations(ledger)

    assert [event.account for event in liquidated(ledger)] == [SECOND]


def test_a_block_closes_no_more_than_a_markets_limit_and_the_next_goes_on_o7_o8() -> None:
    ledger = long_ledger(mark=1_000, liquidation_notional_max=150 * 940)
    for number in (4, 5):
        make_trader(ledger, number, 10_000)
        trade(ledger, trader(number), 100, 1_000)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(300, 940))

    process_liquidations(ledger)

    first = liquidated(ledger)
    assert [(event.account, event.size) for event in first] == [(LONG, -100), (trader(4), -50)]
    next_block(ledger)
    process_liquidations(ledger)
    second = [(event.account, event.size) for event in liquidated(ledger)]
    assert second == [(trader(5), -100)], "half was enough for the one before"


def test_markets_have_their_own_limits_o7() -> None:
    ledger = long_ledger(mark=1_000, liquidation_notional_max=10 * 930)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 4, 10_000)
    trade(ledger, SECOND, 100, 1_000, second)
    for market in (MARKET, second):
        set_price(ledger, 930, market=market)
        process_order(ledger, MAKER, order(100, 930, market=market))

    process_liquidations(ledger)

    assert {event.market: event.size for event in liquidated(ledger)} == {MARKET: -10, second: -100}


def test_one_lot_may_always_be_closed_o7() -> None:
    ledger = long_ledger(mark=940, liquidation_notional_max=1)
    process_order(ledger, MAKER, order(100, 940))

    process_liquidations(ledger)

    assert [event.size for event in liquidated(ledger)] == [-1]


def test_what_the_vault_takes_over_is_not_counted_o7_l3() -> None:
    ledger = long_ledger(mark=905, liquidation_notional_max=1, vault_size_max=1_000)
    deposit(ledger, VAULT, 10**6)

    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 0
    assert size_of(ledger, VAULT) == 100


# --- L2 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mark", "k", "step"),
    [
        (100, 940, 1, -100),  # 1,000 USDC would be 1,063,829 lots
        (-100, 940, 1, 100),
        (100, 940, 10**6, -20),  # a fifth of 94,000 USDC is 20 lots
        (3, 940, 10**6, -1),  # 1,000 USDC is one lot
        (3, 2_000, 10**6, -1),  # not even one: at least one
        (4, 500, 10**6, -2),
        (-7, 10**4, 10**6, 1),  # 14,000 USDC is 1.4 lots
    ],
)
def test_step_is_a_fifth_or_a_thousand_usdc_l2(size: int, mark: int, k: int, step: int) -> None:
    assert compute_step_size(Lots(size), Ticks(mark), make_market_params(k=k)) == step


@pytest.mark.parametrize(
    ("size", "equity", "price"),
    [
        (100, 4_700, 940),
        (100, 4_000, 930),  # 3·4,700·700/(2·4,700·100) = 10.5
        (-100, 4_000, 950),
        (100, 0, 870),  # all of it missing: 1.5·4,700/100 = 70.5
        (100, -9_999, 870),
        (100, 9_999, 940),
    ],
)
def test_fillable_price_falls_with_what_is_missing_l2(size: int, equity: int, price: int) -> None:
    result = compute_fillable_price(
        Lots(size),
        Ticks(940),
        1,
        equity=Quote(equity),
        maintenance=Quote(4_700),
        position_maintenance=Quote(4_700),
    )

    assert result == price


def test_fillable_price_is_at_least_one_tick_l2() -> None:
    result = compute_fillable_price(
        Lots(1),
        Ticks(2),
        1,
        equity=Quote(0),
        maintenance=Quote(2),
        position_maintenance=Quote(2),
    )

    assert result == 1


def test_fillable_price_of_a_healthy_account_is_the_mark_l2() -> None:
    result = compute_fillable_price(
        Lots(1),
        Ticks(100),
        1,
        equity=Quote(10),
        maintenance=Quote(10),
        position_maintenance=Quote(10),
    )

    assert result == 100


def test_bankruptcy_quote_is_the_value_less_its_share_of_the_equity_l2() -> None:
    # Half of the margin falls away: half of the equity, floor(-2.5) = -3 against a debtor.
    def quote(closed: int, equity: int) -> int:
        return compute_bankruptcy_quote(
            Lots(closed),
            Ticks(940),
            1,
            equity=Quote(equity),
            before=Quote(10),
            after=Quote(5),
        )

    assert quote(50, 4_001) == 47_000 - 2_000
    assert quote(-50, 4_001) == -47_000 - 2_000
    assert quote(50, -5) == 47_000 + 3


def test_liquidated_account_pays_the_vault_from_its_surplus_l2() -> None:
    # b = 94,000 - 4,000; g = 93,500; x = 3,500; 1.5 % of 93,500 = 1,402.5 < x/2.
    ledger = long_ledger(mark=940)
    process_order(ledger, MAKER, order(100, 935))
    ledger.events.clear()

    process_liquidations(ledger)

    assert balance_of(ledger, VAULT) == 1_402
    assert balance_of(ledger, LONG) == 10_000 - 100_000 + 93_500 - 1_402
    assert ledger.events[-1] == PositionLiquidated(
        MARKET, LONG, Lots(-100), Quote(93_500), Quote(90_000), Quote(1_402)
    )
    assert isinstance(ledger.events[0], OrderFilled)
    assert ledger.events[0].liquidation
    check_all(ledger)


def test_fee_is_at_most_half_of_the_surplus_l2() -> None:
    # At 930: g = 93,000, x = 3,000 and a fee of 2 % = 1,860 > 1,500.
    ledger = long_ledger(mark=940, liquidation_fee_ppm=20_000)
    process_order(ledger, MAKER, order(100, 930))

    process_liquidations(ledger)

    assert balance_of(ledger, VAULT) == 1_500


def test_short_is_liquidated_the_same_way_l2() -> None:
    # Sold 100 at 1,000 with 10,000; at 1,060: equity 4,000, MM 5,300, bought back at 1,065.
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 10**9)
    make_trader(ledger, 3, 10**9)
    process_order(ledger, COUNTER, order(100, 1_000))
    process_order(ledger, LONG, order(-100, 1_000))
    next_block(ledger)
    set_price(ledger, 1_060)
    process_order(ledger, MAKER, order(-100, 1_065))

    process_liquidations(ledger)

    # b = -106,000 - 4,000; g = -106,500; x = 3,500; fee 1,597.5 floor.
    assert liquidated(ledger) == [
        PositionLiquidated(MARKET, LONG, Lots(100), Quote(-106_500), Quote(-110_000), Quote(1_597))
    ]
    assert balance_of(ledger, LONG) == 10_000 - 6_500 - 1_597
    check_all(ledger)


def test_short_of_one_lot_is_closed_in_a_book_without_bids_l2() -> None:
    # Equity 100 - 60 of MM 53; 13 missing let it pay 19 ticks more than the mark.
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 100)
    make_trader(ledger, 2, 10**9)
    process_order(ledger, COUNTER, order(1, 1_000))
    process_order(ledger, LONG, order(-1, 1_000))
    next_block(ledger)
    set_price(ledger, 1_060)
    process_order(ledger, COUNTER, order(-1, 1_079))

    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 0
    fills = [event for event in ledger.events if isinstance(event, OrderFilled)]
    assert [(event.taker, event.taker_order_id) for event in fills] == [(LONG, 0)]
    check_all(ledger)


def test_fill_for_exactly_what_is_due_needs_nothing_of_the_vault_l5() -> None:
    # At 920: equity 2,000, b = 90,000. The vault owes 5; what leaves it there is not refused.
    ledger = long_ledger(mark=920)
    deposit(ledger, VAULT, -5)
    process_order(ledger, MAKER, order(100, 900))

    process_liquidations(ledger)

    assert (size_of(ledger, LONG), balance_of(ledger, LONG)) == (0, 0)
    assert [event.vault_payment for event in liquidated(ledger)] == [0]
    assert balance_of(ledger, VAULT) == -5


@pytest.mark.parametrize(("margin", "is_taken"), [(7_200, False), (7_199, True)])
def test_vault_takes_over_below_two_thirds_of_maintenance_l3(margin: int, is_taken: bool) -> None:
    # At 960: equity 3,200 of MM 4,800.
    ledger = long_ledger(margin, mark=960, vault_size_max=1_000)
    deposit(ledger, VAULT, 10**6)

    process_liquidations(ledger)

    assert (size_of(ledger, VAULT) == 100) == is_taken


@pytest.mark.parametrize(("in_vault", "is_filled"), [(3_000, True), (2_999, False)])
def test_vault_pays_what_is_missing_or_refuses_the_fill_l2_l5(
    in_vault: int, is_filled: bool
) -> None:
    # At 880: equity -2,000, b = 88,000 + 2,000; g = 87,000; x = -3,000.
    ledger = long_ledger(mark=880)
    deposit(ledger, VAULT, in_vault)
    process_order(ledger, MAKER, order(100, 870))

    process_liquidations(ledger)

    # Filled or, refused, deleveraged (L4): for b either way.
    assert size_of(ledger, LONG) == 0
    assert balance_of(ledger, LONG) == 0
    if is_filled:
        assert balance_of(ledger, VAULT) == 0
        assert liquidated(ledger)[0].vault_payment == -3_000
    else:
        assert balance_of(ledger, VAULT) == in_vault
        assert len(ledger.book(MARKET).orders) == 1
        assert liquidated(ledger) == []
    check_all(ledger)


def test_several_makers_are_one_liquidation_l2() -> None:
    ledger = long_ledger(mark=940)
    process_order(ledger, MAKER, order(40, 936))
    process_order(ledger, COUNTER, order(60, 935))

    process_liquidations(ledger)

    event = liquidated(ledger)[0]
    assert (event.size, event.proceeds) == (-100, 40 * 936 + 60 * 935)
    # 40 lots take 2/5 of 4,000; half of their surplus (37,440 - 36,000)/2 = 720 > the fee of 561.
    # Then equity 4,000 - 160 - 561 = 3,279 goes with the other 60.
    assert event.bankruptcy_quote == 36_000 + 56_400 - 3_279
    assert event.vault_payment == 561 + 841
    check_all(ledger)


def test_liquidation_pays_no_taker_fee_and_no_rebate_o3() -> None:
    ledger = long_ledger(mark=940)
    ledger.all_market_params[MARKET] = ledger.market_params(MARKET)._replace(
        taker_fee_ppm=RatePpm(500), maker_fee_ppm=RatePpm(-500)
    )
    process_order(ledger, MAKER, order(100, 935))

    process_liquidations(ledger)

    assert balance_of(ledger, FEES) == 0


def test_orders_that_are_not_reduce_only_are_cancelled_first_l2() -> None:
    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    deposit(ledger, LONG, 1_000)
    process_order(ledger, LONG, order(1, 500))
    process_order(ledger, LONG, order(1, 500, market=second))
    process_order(ledger, LONG, order(-30, 1_500, reduce_only=True))
    deposit(ledger, LONG, -1_000)
    set_price(ledger, 940)
    # G5 comes first, but leaves what rests where nothing may be liquidated; L2 does not.
    set_mode(ledger, Mode.CANCEL_ONLY, market=second)
    ledger.events.clear()

    process_liquidations(ledger)

    reasons = [
        (event.market, event.reason) for event in ledger.events if isinstance(event, OrderCancelled)
    ]
    assert reasons == [(MARKET, CancelReason.UNCOVERED), (second, CancelReason.LIQUIDATION)]
    assert len(ledger.book(MARKET).orders_of(LONG)) == 1
    assert size_of(ledger, LONG) == 100
    check_all(ledger)


def test_orders_in_a_halted_market_stay_l2() -> None:
    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    deposit(ledger, LONG, 1_000)
    process_order(ledger, LONG, order(1, 500, market=second))
    deposit(ledger, LONG, -1_000)
    set_mode(ledger, Mode.HALTED, market=second)
    set_price(ledger, 940)
    process_order(ledger, MAKER, order(100, 940))

    process_liquidations(ledger)

    assert size_of(ledger, LONG) == 0
    assert len(ledger.book(second).orders_of(LONG)) == 1


def test_halted_market_does_not_keep_orders_in_the_next_l2() -> None:
    # Equity -2,000 and 5,000 of doubt in MARKET, of MM 3,800. Its way out of MARKET, HALTED, stays;
    # that out of the market in which it is liquidated goes first.
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 1, 22_000)
    make_trader(ledger, 2, 10**9)
    trade(ledger, LONG, 100, 1_000)
    trade(ledger, LONG, 100, 1_000, second)
    for market in (MARKET, second):
        process_order(ledger, LONG, order(-50, 1_040, market=market))
    set_mode(ledger, Mode.HALTED)
    set_price(ledger, 760, market=second)

    process_liquidations(ledger)

    assert len(ledger.book(MARKET).orders_of(LONG)) == 1
    assert len(ledger.book(second).orders_of(LONG)) == 0


@pytest.mark.parametrize("is_maker", [True, False])
def test_maker_that_a_step_healed_is_not_liquidated_l1(is_maker: bool) -> None:
    # SECOND is short 100 lots at 940, won 6,000, and long 200 lots of another market at 900, lost
    # 20,000: equity 12,500 against MM 4,700 + 9,000; LONG's 4,000 against 4,700 comes first.
    # Buying back 50 lots at 935 from LONG makes it 12,750 against 11,350.
    ledger = long_ledger(mark=1_000)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 4, 10**12)
    process_order(ledger, COUNTER, order(100, 1_000))
    process_order(ledger, SECOND, order(-100, 1_000))
    trade(ledger, SECOND, 200, 1_000, second)
    deposit(ledger, SECOND, 26_500 - 10**12)
    process_order(ledger, SECOND, order(50, 935, reduce_only=True))
    set_price(ledger, 940)
    set_price(ledger, 900, market=second)
    process_order(ledger, MAKER, order(200, 895, market=second))
    if not is_maker:
        process_cancel_all(ledger, SECOND, MARKET)

    process_liquidations(ledger)

    assert size_of(ledger, SECOND, second) == (200 if is_maker else 0)
    assert size_of(ledger, LONG) == (50 if is_maker else 100)
    check_all(ledger)


# --- L6 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_vault", "by_vault", "by_deficit"),
    [(500, 300, 0), (300, 300, 0), (200, 200, 100), (0, 0, 300)],
)
def test_negative_balance_without_a_position_is_absorbed_l6(
    in_vault: int, by_vault: int, by_deficit: int
) -> None:
    ledger = make_ledger()
    deposit(ledger, LONG, -300)
    deposit(ledger, VAULT, in_vault)

    process_negative_balances(ledger)

    assert balance_of(ledger, LONG) == 0
    assert balance_of(ledger, VAULT) == in_vault - by_vault
    assert balance_of(ledger, DEFICIT) == -by_deficit
    assert ledger.events == [BalanceAbsorbed(LONG, Quote(by_vault), Quote(by_deficit))]
    check_all(ledger)


def test_grown_deficit_closes_withdrawals_l6_m3() -> None:
    for in_vault, is_gated in ((300, False), (299, True)):
        ledger = make_ledger()
        deposit(ledger, LONG, -300)
        deposit(ledger, VAULT, in_vault)
        before = ledger.status.withdrawals_from_ms

        process_negative_balances(ledger)

        expected = ledger.time_ms + 5_000 if is_gated else before
        assert ledger.status.withdrawals_from_ms == expected


def test_negative_balance_with_a_position_stays_l6() -> None:
    ledger = long_ledger(mark=880)

    process_negative_balances(ledger)

    assert balance_of(ledger, LONG) == -90_000
    assert ledger.journal  # the position itself


def test_system_accounts_are_not_absorbed_l6() -> None:
    ledger = make_ledger()
    deposit(ledger, VAULT, 1_000)
    deposit(ledger, DEFICIT, -50)
    ledger.events.clear()

    process_negative_balances(ledger)

    assert ledger.events == []
    assert balance_of(ledger, DEFICIT) == -50


def test_nothing_is_absorbed_while_the_chain_is_halted_l6() -> None:
    ledger = make_ledger()
    deposit(ledger, LONG, -300)
    set_chain_mode(ledger, Mode.HALTED)

    process_negative_balances(ledger)

    assert balance_of(ledger, LONG) == -300


def test_vault_income_repays_the_deficit_first_l6() -> None:
    # 1,402 of income: 1,000 to Deficit, the rest to the vault.
    ledger = long_ledger(mark=940)
    deposit(ledger, DEFICIT, -1_000)
    process_order(ledger, MAKER, order(100, 935))

    process_liquidations(ledger)

    assert balance_of(ledger, DEFICIT) == 0
    assert balance_of(ledger, VAULT) == 402
    check_all(ledger)


# --- whatever happens -----------------------------------------------------------------------------

HOLDINGS = st.lists(
    st.tuples(
        st.integers(1, 60_000),
        st.integers(-200, 200).filter(bool),
        st.integers(-20, 20).filter(bool),
    ),
    min_size=1,
    max_size=5,
)
QUOTES = st.lists(
    st.tuples(st.booleans(), st.integers(1, 150), st.integers(-120, 120), st.booleans()),
    max_size=8,
)


@given(HOLDINGS, st.integers(700, 1_300), st.integers(900, 1_100), QUOTES, st.integers(0, 20_000))
def test_no_liquidation_lowers_equity_over_margin_and_the_healthy_are_left_alone_l2_i6(
    holdings: list[tuple[int, int, int]],
    mark: int,
    second_mark: int,
    quotes: list[tuple[bool, int, int, bool]],
    in_vault: int,
) -> None:
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 2, 10**9)
    make_trader(ledger, 3, 10**9)
    deposit(ledger, VAULT, in_vault)
    owners = []
    for number, (margin, size, second_size) in enumerate(holdings, start=10):
        owner = make_trader(ledger, number, 10**9)
        for market, lots in ((MARKET, size), (second, second_size)):
            process_order(ledger, COUNTER, order(-lots, 1_000, market=market))
            process_order(ledger, owner, order(lots, 1_000, market=market))
        deposit(ledger, owner, margin - 10**9)
        owners.append(owner)
    next_block(ledger)
    for is_first, size, distance, is_buy in quotes:
        market, at = (MARKET, mark) if is_first else (second, second_mark)
        price = at - abs(distance) if is_buy else at + abs(distance)
        set_price(ledger, at, market=market)
        process_order(ledger, MAKER, order(size if is_buy else -size, price, market=market))
    set_price(ledger, mark)
    set_price(ledger, second_mark, market=second)
    before = {owner: compute_risk(ledger, owner) for owner in owners}
    ledger.events.clear()

    process_liquidations(ledger)

    partners = {
        event.counterparty for event in ledger.events if isinstance(event, PositionDeleveraged)
    }
    for owner in owners:
        old, new = before[owner], compute_risk(ledger, owner)
        if owner in partners:
            assert new.equity >= 0
            continue
        if old.equity >= old.maintenance:
            assert new == old
        assert new.equity * old.maintenance >= old.equity * new.maintenance
        assert new.maintenance <= old.maintenance
    assert {event.account for event in liquidated(ledger)} <= set(owners)
    assert balance_of(ledger, VAULT) >= 0
    check_all(ledger)
    process_negative_balances(ledger)
    check_all(ledger)
    assert ledger.debtors() == [owner for owner in ledger.debtors() if owner < trader(0)], (
        "only system accounts still owe"
    )
