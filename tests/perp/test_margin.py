"""What positions and orders ask for, and the tests of G3, by numbers that fit on a hand."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.account import Account, Position
from node.perp.margin import (
    Risk,
    compute_initial,
    compute_maintenance,
    compute_market_risk,
    compute_oi_margin,
    compute_risk,
    compute_scaled_fraction,
    compute_withdrawal_risk,
    get_equity,
    get_initial_fraction,
    is_covered,
    is_initial_not_higher,
    is_reduction,
)
from node.perp.mark import Mark
from node.perp.order import Order
from node.perp.parameters import MarginBracket, MarketParams
from node.units import FundingIndex, Lots, MarketId, OrderId, Quote, RatePpm, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    deposit,
    make_ledger,
    make_market,
    make_market_params,
    set_funding_index,
    set_price,
    trader,
)

OWNER = trader(1)


def hold(
    ledger: DictLedger, size: int, *, entry: int = 100, index: int = 0, market: MarketId = MARKET
) -> None:
    """Give OWNER a position and the quote balance that goes with it."""
    deposit(ledger, OWNER, -size * entry)
    ledger.positions.set(
        (OWNER, market), Position(Lots(size), Quote(size * entry), FundingIndex(index))
    )
    join(ledger, market)


def rest(
    ledger: DictLedger,
    size: int,
    price: int,
    *,
    reduce_only: bool = False,
    market: MarketId = MARKET,
) -> None:
    """Put an order of OWNER's into the book, untested."""
    order_id = OrderId(len(ledger.book(market).orders) + 1)
    ledger.book(market).put_order(
        Order(order_id, OWNER, Lots(size), Ticks(price), reduce_only, ledger.height)
    )
    join(ledger, market)


def join(ledger: DictLedger, market: MarketId) -> None:
    account = ledger.accounts.get(OWNER) or Account()
    markets = tuple(sorted({*account.markets, market}))
    ledger.accounts.set(OWNER, account._replace(markets=markets))


def risk_of(equity: int, initial: int, maintenance: int) -> Risk:
    return Risk(Quote(equity), Quote(initial), Quote(maintenance), Quote(0))


# --- G1 -------------------------------------------------------------------------------------------


def bracketed() -> MarketParams:
    return make_market_params(
        brackets=(
            MarginBracket(Quote(0), RatePpm(20_000)),
            MarginBracket(Quote(1_000), RatePpm(50_000)),
            MarginBracket(Quote(5_000), RatePpm(100_000)),
        )
    )


@pytest.mark.parametrize(
    ("notional", "fraction"),
    [(0, 20_000), (999, 20_000), (1_000, 50_000), (4_999, 50_000), (5_000, 100_000)],
)
def test_bracket_begins_at_its_notional_g1(notional: int, fraction: int) -> None:
    assert get_initial_fraction(bracketed(), Quote(notional)) == fraction


def test_whole_notional_takes_its_brackets_fraction_g1() -> None:
    # 5,000 at 10 % = 500, not 1,000 at 2 % and 4,000 at 5 %.
    assert compute_initial(bracketed(), Quote(5_000)) == 500


def test_margins_are_ceiled_twice_g1() -> None:
    # 1,001 at 5 % = 50.05 -> 51; half of it 25.5 -> 26.
    params = bracketed()

    assert compute_initial(params, Quote(1_001)) == 51
    assert compute_maintenance(params, Quote(1_001)) == 26


@pytest.mark.parametrize(
    ("open_interest", "scaled"),
    [
        (0, 100_000),
        (1_000, 100_000),  # the lower cap
        (1_001, 100_900),  # 900,000 · 1/1,000
        (1_500, 550_000),
        (2_000, 1_000_000),  # the upper cap
        (9_000, 1_000_000),
    ],
)
def test_open_interest_scales_the_fraction_between_its_caps_g1(
    open_interest: int, scaled: int
) -> None:
    params = make_market_params(oi_lower_cap=1_000, oi_upper_cap=2_000)

    assert compute_scaled_fraction(params, RatePpm(100_000), Quote(open_interest)) == scaled


def test_scaled_fraction_is_ceiled_g1() -> None:
    # 900,000 · 1/7 = 128,571.4 -> 128,572.
    params = make_market_params(oi_lower_cap=0, oi_upper_cap=7)

    assert compute_scaled_fraction(params, RatePpm(100_000), Quote(1)) == 228_572


def test_caps_that_meet_ask_for_everything_above_them_g1() -> None:
    params = make_market_params(oi_lower_cap=1_000, oi_upper_cap=1_000)

    assert compute_scaled_fraction(params, RatePpm(100_000), Quote(1_000)) == 100_000
    assert compute_scaled_fraction(params, RatePpm(100_000), Quote(1_001)) == 1_000_000


def test_open_interest_adds_to_im_but_not_to_what_rests_g1() -> None:
    # Long 10 at the mark 100, IM 10 % = 100. OI 15 · 100 = 1,500, half way: 55 % = 550.
    ledger = make_ledger(oi_lower_cap=1_000, oi_upper_cap=2_000)
    hold(ledger, 10)
    ledger.markets.set(MARKET, ledger.markets.rows[MARKET]._replace(open_interest=Lots(15)))

    risk = compute_risk(ledger, OWNER)

    assert (risk.initial, risk.maintenance) == (100, 50)
    assert compute_oi_margin(ledger, OWNER, MARKET) == 450


def test_open_interest_counts_atoms_not_ticks_g1() -> None:
    # K = 2: long 10 at the mark 100 is 2,000, IM 10 % = 200. OI 15 · 100 · 2 = 3,000 of 2,000 to
    # 4,000, half way: 55 % = 1,100.
    ledger = make_ledger(oi_lower_cap=2_000, oi_upper_cap=4_000, k=2)
    hold(ledger, 10)
    ledger.markets.set(MARKET, ledger.markets.rows[MARKET]._replace(open_interest=Lots(15)))

    assert compute_oi_margin(ledger, OWNER, MARKET) == 900


def test_open_interest_below_the_cap_adds_nothing_g1() -> None:
    ledger = make_ledger(oi_lower_cap=1_000, oi_upper_cap=2_000)
    hold(ledger, 10)
    ledger.markets.set(MARKET, ledger.markets.rows[MARKET]._replace(open_interest=Lots(10)))

    assert compute_oi_margin(ledger, OWNER, MARKET) == 0


# --- M2, F4 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("compute", [compute_risk, compute_withdrawal_risk])
def test_nobody_has_no_risk(compute: Callable[..., Risk]) -> None:
    assert compute(make_ledger(), OWNER) == Risk(Quote(0), Quote(0), Quote(0), Quote(0))


@pytest.mark.parametrize(("mark", "oracle"), [(100, 120), (120, 100)])
def test_withdrawal_takes_each_number_at_its_worse_price_m3(mark: int, oracle: int) -> None:
    # Long 10: equity at 100; IM 10 %, MM 5 % and what is open at 120.
    ledger = make_ledger(price=oracle)
    ledger.marks.set(MARKET, Mark(Ticks(mark), Ticks(0)))
    deposit(ledger, OWNER, 1_000)
    hold(ledger, 10)

    risk = compute_withdrawal_risk(ledger, OWNER)

    assert risk == Risk(Quote(1_000), Quote(120), Quote(60), Quote(1_200))


@pytest.mark.parametrize(("size", "equity"), [(10, 1_200), (-10, 800)])
def test_equity_values_positions_at_the_mark_m2(size: int, equity: int) -> None:
    # 1,000 deposited, entered at 100, mark 120: ±200.
    ledger = make_ledger()
    deposit(ledger, OWNER, 1_000)
    hold(ledger, size)
    set_price(ledger, 120)

    assert get_equity(ledger, OWNER) == equity


def test_equity_multiplies_by_k_m2() -> None:
    # 2 lots · 30 ticks · K 7 = 420.
    ledger = make_ledger(price=30, k=7)
    hold(ledger, 2, entry=0)

    assert get_equity(ledger, OWNER) == 420


@pytest.mark.parametrize(
    ("size", "pending"),
    [
        (3, -5),  # owes 3 · 1.5 = 4.5: floor(-4.5)
        (-3, 4),  # receives 4.5: floor(4.5)
    ],
)
def test_equity_counts_pending_funding_floored_f4(size: int, pending: int) -> None:
    ledger = make_ledger()
    deposit(ledger, OWNER, 1_000)
    hold(ledger, size)
    set_funding_index(ledger, 1_500_000_000)

    assert get_equity(ledger, OWNER) == 1_000 + pending


def test_risk_sums_over_markets() -> None:
    # 10 · 100 at 10 % = 100, and 4 · 50 at 10 % = 20.
    ledger = make_ledger()
    other = make_market(ledger, price=50)
    deposit(ledger, OWNER, 1_000)
    hold(ledger, 10)
    hold(ledger, -4, entry=50, market=other)

    assert compute_risk(ledger, OWNER) == Risk(Quote(1_000), Quote(120), Quote(60), Quote(1_200))


# --- G2 -------------------------------------------------------------------------------------------


def test_larger_side_of_orders_and_position_is_margined_g2() -> None:
    # Paradex's example: position -1, buys 3, sells 2, mark 90,000, IMF 2 %.
    # Buys 3 - 1 = 2, sells 2 + 1 = 3: 3 · 90,000 · 2 % = 5,400.
    ledger = make_ledger(price=90_000, brackets=(MarginBracket(Quote(0), RatePpm(20_000)),))
    hold(ledger, -1, entry=90_000)
    rest(ledger, 3, 89_000)
    rest(ledger, -2, 91_000)

    risk = compute_risk(ledger, OWNER)

    assert (risk.initial, risk.open_notional) == (5_400, 270_000)
    assert risk.maintenance == 900  # the position alone: 90,000 · 2 % · 50 %


def test_orders_that_close_the_position_reserve_nothing_g2() -> None:
    # Long 10: sells of 20 turn it to short 10 at most.
    ledger = make_ledger()
    hold(ledger, 10)
    rest(ledger, -20, 110)

    assert compute_risk(ledger, OWNER).initial == 100


def test_reduce_only_orders_reserve_nothing_g2() -> None:
    ledger = make_ledger()
    hold(ledger, 1)
    rest(ledger, -1, 50, reduce_only=True)

    assert compute_risk(ledger, OWNER).initial == 10


def test_taker_fee_of_open_notional_is_reserved_rounded_up_g2() -> None:
    # 1,000 · 10 % = 100, and 1,000 · 0.05 % = 0.5 -> 1.
    ledger = make_ledger(taker_fee_ppm=500)
    rest(ledger, 10, 90)

    assert compute_risk(ledger, OWNER).initial == 101


def test_the_least_taker_fee_is_reserved_as_well_g2() -> None:
    # 1,000 · 0.0001 % = 0.001 -> 1.
    ledger = make_ledger(taker_fee_ppm=1)
    rest(ledger, 10, 90)

    assert compute_risk(ledger, OWNER).initial == 101


def test_whoever_never_had_an_account_has_no_margin_of_their_own_m4() -> None:
    ledger = make_ledger()

    assert ledger.accounts.get(OWNER) is None
    assert compute_market_risk(ledger, OWNER, MARKET).initial == 0


def test_taker_rebate_reserves_nothing_g2() -> None:
    ledger = make_ledger(taker_fee_ppm=-5_000)
    rest(ledger, 10, 90)

    assert compute_risk(ledger, OWNER).initial == 100


def test_orders_through_the_mark_reserve_their_loss_g2() -> None:
    # Buys: 2 at 103 lose 6, 3 at 101 lose 3, 5 at 100 nothing. 10 · 100 · 10 % = 100, so 109.
    ledger = make_ledger()
    rest(ledger, 2, 103)
    rest(ledger, 3, 101)
    rest(ledger, 5, 100)

    assert compute_risk(ledger, OWNER).initial == 109


def test_sells_through_the_mark_reserve_their_loss_times_k_g2() -> None:
    # 2 at 97 lose 2 · 3 · K 5 = 30; 2 · 100 · 5 · 10 % = 100.
    ledger = make_ledger(k=5)
    rest(ledger, -2, 97)
    rest(ledger, -1, 97, reduce_only=True)

    assert compute_risk(ledger, OWNER).initial == 130


def test_a_sell_at_one_tick_is_through_the_mark_g2() -> None:
    # 1 · 100 · 10 % = 10, and 99 lost.
    ledger = make_ledger()
    rest(ledger, -1, 1)

    assert compute_risk(ledger, OWNER).initial == 109


# --- G3 -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("oi_margin", "covered"), [(0, True), (20, True), (21, False)])
def test_equity_carries_im_and_what_open_interest_adds_g3(oi_margin: int, covered: bool) -> None:
    assert is_covered(risk_of(120, 100, 50), Quote(oi_margin)) is covered


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        ((50, 200, 100), (50, 100, 50), True),  # half the risk, equity not lower
        ((50, 200, 100), (25, 100, 50), True),  # half the risk for half the equity
        ((50, 200, 100), (24, 100, 50), False),  # for more than its share
        ((50, 200, 100), (60, 202, 101), False),  # MM higher
        ((50, 200, 100), (0, 0, 0), True),  # closed, and nobody is owed
        ((50, 200, 100), (-1, 0, 0), False),  # closed with a debt
        ((-50, 200, 100), (-50, 100, 50), True),  # a debt that does not grow
        ((-50, 200, 100), (-51, 100, 50), False),
        ((50, 200, 100), (50, 200, 100), True),
    ],
)
def test_reduction_uses_no_more_than_its_share_of_the_equity_g3(
    before: tuple[int, int, int], after: tuple[int, int, int], allowed: bool
) -> None:
    assert is_reduction(risk_of(*before), risk_of(*after)) is allowed


@pytest.mark.parametrize(("initial_after", "allowed"), [(10, True), (9, True), (11, False)])
def test_without_maintenance_only_im_counts_g3(initial_after: int, allowed: bool) -> None:
    # Equity not lower would let an empty account post phantom depth.
    assert is_reduction(risk_of(0, 10, 0), risk_of(0, initial_after, 0)) is allowed


@pytest.mark.parametrize(("initial_after", "allowed"), [(10, True), (11, False)])
def test_what_rests_may_ask_for_no_more_g3(initial_after: int, allowed: bool) -> None:
    assert is_initial_not_higher(risk_of(0, 10, 5), risk_of(0, initial_after, 5)) is allowed


# --- properties -----------------------------------------------------------------------------------


@given(size=st.integers(-(10**6), 10**6), price=st.integers(1, 10**6))
def test_margin_is_symmetric_in_sign(size: int, price: int) -> None:
    ledgers = []
    for signed in (size, -size):
        ledger = make_ledger(price=price)
        if signed:
            hold(ledger, signed, entry=price)
        ledgers.append(ledger)

    one, other = (compute_risk(ledger, OWNER) for ledger in ledgers)

    assert one == other
    assert one.maintenance <= one.initial


@given(
    buys=st.integers(0, 1_000),
    sells=st.integers(0, 1_000),
    size=st.integers(-1_000, 1_000),
    extra=st.integers(1, 1_000),
)
def test_more_orders_never_need_less_margin_g2(
    buys: int, sells: int, size: int, extra: int
) -> None:
    ledger = make_ledger()
    if size:
        hold(ledger, size)
    if buys:
        rest(ledger, buys, 99)
    if sells:
        rest(ledger, -sells, 101)
    before = compute_risk(ledger, OWNER)

    rest(ledger, extra, 98)
    rest(ledger, -extra, 102)
    after = compute_risk(ledger, OWNER)

    assert after.initial > before.initial
    assert after.open_notional == max(buys + extra + size, sells + extra - size) * 100
    assert (after.equity, after.maintenance) == (before.equity, before.maintenance)
