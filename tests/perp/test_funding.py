"""Premium, rate, index, and settlement with its named dust (F1 to F4, I3, I4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import MarketNotFound
from node.perp.account import Position, market_address
from node.perp.events import FundingAccrued, FundingRateSet, FundingSettled
from node.perp.funding import (
    ImpactPrices,
    compute_base_rate,
    compute_index_step,
    compute_pending,
    compute_premium_sample,
    compute_rate,
    compute_rate_cap,
    get_funding,
    get_impact_prices,
    initial_funding,
    process_funding,
    process_premium_sample,
    reset_funding,
    settle_funding,
)
from node.perp.market import Market, initial_market
from node.perp.order import Order
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.units import (
    Address,
    DurationMs,
    FundingIndex,
    Height,
    Lots,
    MarketId,
    OrderId,
    Quote,
    RatePpb,
    Ticks,
    TimeMs,
)
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    make_ledger,
    make_market,
    make_market_params,
    make_trader,
    next_block,
    order,
    set_chain_mode,
    set_funding_index,
    set_mode,
    trader,
)

LONG, SHORT, MAKER = trader(1), trader(2), trader(3)


def open_pair(ledger: DictLedger, size: int, price: int = 100) -> None:
    """Let LONG buy `size` lots from SHORT."""
    for owner, change in ((SHORT, -size), (LONG, size)):
        process_order(ledger, owner, order(change, price))


def set_rate(ledger: DictLedger, rate: int, *, premium_sum: int = 0) -> None:
    funding = get_funding(ledger, MARKET)
    ledger.fundings.set(MARKET, funding._replace(rate_ppb=RatePpb(rate), premium_sum=premium_sum))


def rest(ledger: DictLedger, number: int, size: int, price: int, *, age_blocks: int = 1) -> None:
    height = ledger.height - age_blocks
    ledger.book(MARKET).put_order(
        Order(OrderId(number), MAKER, Lots(size), Ticks(price), False, height)
    )


def premium_sum(ledger: DictLedger) -> int:
    return get_funding(ledger, MARKET).premium_sum


# --- F1: impact prices and samples ----------------------------------------------------------------


def test_impact_price_is_the_average_over_the_impact_notional_f1() -> None:
    # 1,000 atoms of bids: 4 lots at 110 give 440; the other 560 are 5.6 lots at 100.
    # 1,000 / 9.6 = 104.17, floor. Asks: 4 at 100, then 600/110 = 5.45 lots: 105.77, ceil.
    ledger = make_ledger()
    rest(ledger, 1, 4, 110)
    rest(ledger, 2, 9, 100)
    rest(ledger, 3, -4, 100)
    rest(ledger, 4, -9, 110)

    assert get_impact_prices(ledger, MARKET) == ImpactPrices(Ticks(104), Ticks(106))


def test_impact_price_walks_as_many_orders_as_it_takes_f1() -> None:
    # K = 3: one lot at 110 gives 330, one at 100 gives 300; 370 are 1.37 lots at 90.
    # 1,000 / (3 · 3.37) = 98.9, floor.
    ledger = make_ledger(k=3)
    for number, price in enumerate((110, 100, 90, 80), start=1):
        rest(ledger, number, 1 if price > 90 else 9, price)

    assert get_impact_prices(ledger, MARKET).bid == 98


def test_exactly_enough_depth_counts_and_one_lot_less_is_none_f1() -> None:
    for lots, bid in ((10, 100), (9, 0)):
        ledger = make_ledger()
        rest(ledger, 1, lots, 100)
        assert get_impact_prices(ledger, MARKET) == ImpactPrices(Ticks(bid), Ticks(0))


def test_orders_of_this_block_do_not_count_f1() -> None:
    ledger = make_ledger()
    rest(ledger, 1, 100, 120, age_blocks=0)
    rest(ledger, 2, 100, 110, age_blocks=1)

    assert get_impact_prices(ledger, MARKET).bid == 110


@pytest.mark.parametrize(
    ("bid", "ask", "premium"),
    [
        (90, 110, 0),
        (101, 110, 10_000_000),  # 1/100
        (90, 99, -10_000_000),
        (0, 0, 0),
        (0, 90, -100_000_000),  # a side without depth counts 0
        (103, 102, 30_000_000),
        (700, 800, 3_000_000_000),  # cap 300,000,000 (below), times 10
        (1, 2, -980_000_000),
        (0, 1, -990_000_000),
    ],
)
def test_premium_is_what_lies_beyond_the_oracle_price_f1(bid: int, ask: int, premium: int) -> None:
    impact = ImpactPrices(Ticks(bid), Ticks(ask))

    assert compute_premium_sample(impact, Ticks(100), make_market_params()) == premium


def test_premium_truncates_toward_zero_f1() -> None:
    # 1/3 of 1e9.
    for bid, ask, premium in ((4, 9, 333_333_333), (1, 2, -333_333_333)):
        impact = ImpactPrices(Ticks(bid), Ticks(ask))
        assert compute_premium_sample(impact, Ticks(3), make_market_params()) == premium


def test_sample_weighs_its_elapsed_time_f1_f2() -> None:
    ledger = make_ledger()
    rest(ledger, 1, 100, 101)
    process_premium_sample(ledger)
    assert premium_sum(ledger) == 10_000_000 * 1_000

    next_block(ledger, 300)
    process_premium_sample(ledger)

    assert premium_sum(ledger) == 10_000_000 * 1_300


def test_shortest_block_and_smallest_premium_are_sampled_f1() -> None:
    ledger = make_ledger()
    rest(ledger, 1, 100, 101)
    next_block(ledger, 1)
    process_premium_sample(ledger)
    assert premium_sum(ledger) == 10_000_000

    ledger = make_ledger(price=10**9)
    rest(ledger, 1, 100, 10**9 + 1)
    process_premium_sample(ledger)
    assert premium_sum(ledger) == 1_000  # 1 ppb


@pytest.mark.parametrize("mode", [Mode.CANCEL_ONLY, Mode.OPEN])
def test_market_without_a_sample_does_not_keep_the_next_from_its_own_f1(mode: Mode) -> None:
    ledger = make_ledger()
    second = make_market(ledger)
    ledger.book(second).put_order(
        Order(OrderId(1), MAKER, Lots(100), Ticks(101), False, Height(ledger.height - 1))
    )
    set_mode(ledger, mode)

    process_premium_sample(ledger)

    assert premium_sum(ledger) == 0
    assert get_funding(ledger, second).premium_sum == 10_000_000 * 1_000


def test_cheap_asks_sample_a_discount_f1() -> None:
    ledger = make_ledger()
    rest(ledger, 1, -100, 98)

    process_premium_sample(ledger)

    assert premium_sum(ledger) == -20_000_000 * 1_000


def test_book_around_the_oracle_price_writes_nothing_f1() -> None:
    ledger = make_ledger()
    rest(ledger, 1, 100, 100)
    rest(ledger, 2, -100, 101)
    ledger.journal.clear()

    process_premium_sample(ledger)

    assert ledger.journal == []


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_nothing_is_sampled_or_accrued_outside_open_f1_f3(mode: Mode) -> None:
    for setter in (set_mode, set_chain_mode):
        ledger = make_ledger()
        rest(ledger, 1, 100, 101)
        set_rate(ledger, 1_000_000)
        setter(ledger, mode)

        process_premium_sample(ledger)
        process_funding(ledger)

        assert get_funding(ledger, MARKET).index == 0
        assert premium_sum(ledger) == 0


def test_nothing_is_sampled_without_a_price_f1() -> None:
    ledger = make_ledger(price=0)
    rest(ledger, 1, 100, 101)

    process_premium_sample(ledger)

    assert premium_sum(ledger) == 0


# --- F2: the rate ---------------------------------------------------------------------------------


def test_cap_comes_from_the_margin_fractions_f2() -> None:
    # IMF 100,000, MMF half of it: 6,000,000·(100,000 - 50,000)/1,000.
    assert compute_rate_cap(make_market_params()) == 300_000_000


@pytest.mark.parametrize(
    ("premium", "rate"),
    [
        (0, 100_000),
        (100_000, 100_000),
        (600_000, 100_000),  # I - P = -500,000: just not clamped
        (600_001, 100_001),
        (-400_000, 100_000),
        (-400_001, 99_999),
        (400_000_000, 300_000_000),
        (-400_000_000, -300_000_000),
    ],
)
def test_rate_is_premium_pulled_toward_interest_within_the_cap_f2(premium: int, rate: int) -> None:
    assert compute_rate(RatePpb(premium), make_market_params()) == rate


def test_rate_is_set_when_a_multiple_of_the_interval_is_passed_f2() -> None:
    # 60,000 ms: the block that first stands at or beyond the multiple sets it.
    ledger = make_ledger()
    ledger.parent_time_ms = TimeMs(59_000)
    ledger.time_ms = TimeMs(59_999)
    set_rate(ledger, 7, premium_sum=-60_000 * 1_000_000)
    process_funding(ledger)
    assert get_funding(ledger, MARKET).rate_ppb == 7

    next_block(ledger, 1)
    process_funding(ledger)

    # The premium is 1,000,000 below; interest pulls it up by 500,000 at most.
    assert get_funding(ledger, MARKET).rate_ppb == -500_000
    assert premium_sum(ledger) == 0
    assert ledger.events[-1] == FundingRateSet(
        MARKET, RatePpb(7), RatePpb(-500_000), RatePpb(-1_000_000)
    )


def test_premium_average_truncates_and_unsampled_time_counts_zero_f2() -> None:
    ledger = make_ledger()
    ledger.parent_time_ms, ledger.time_ms = TimeMs(59_999), TimeMs(60_000)
    set_rate(ledger, 0, premium_sum=-59_999)  # trunc(-0.99…) = 0

    process_funding(ledger)

    assert get_funding(ledger, MARKET).rate_ppb == 100_000


def test_one_step_however_many_multiples_passed_f2() -> None:
    ledger = make_ledger(funding_interval_ms=DurationMs(1_000))
    ledger.parent_time_ms, ledger.time_ms = TimeMs(500), TimeMs(20_500)
    set_rate(ledger, 0, premium_sum=10_000_000 * 1_000)

    process_funding(ledger)

    assert get_funding(ledger, MARKET).rate_ppb == 9_500_000


def test_first_rate_is_interest_within_the_cap_f2() -> None:
    assert initial_market() == Market(OrderId(1), open_interest=Lots(0))
    assert initial_funding(make_market_params()).rate_ppb == 100_000
    assert compute_base_rate(make_market_params(funding_clamp_factor_ppm=1)) == 50


def test_leaving_open_forgets_samples_and_rate_f2() -> None:
    ledger = make_ledger()
    set_rate(ledger, 5_000, premium_sum=123)

    reset_funding(ledger, MARKET)

    assert get_funding(ledger, MARKET) == initial_funding(make_market_params())
    assert ledger.events == [FundingRateSet(MARKET, RatePpb(5_000), RatePpb(100_000), RatePpb(0))]
    ledger.journal.clear()
    reset_funding(ledger, MARKET)
    assert ledger.journal == []


# --- F3: the index --------------------------------------------------------------------------------


@pytest.mark.parametrize("sampled", [1, 10**6])
def test_samples_that_do_not_move_the_rate_are_forgotten_all_the_same_f2(sampled: int) -> None:
    # Interest pulls a premium of less than 600,000 ppb back to the base rate.
    for forget in (process_funding, lambda ledger: reset_funding(ledger, MARKET)):
        ledger = make_ledger()
        rate = compute_base_rate(ledger.market_params(MARKET))
        set_rate(ledger, rate, premium_sum=sampled)
        next_block(ledger, 60_000)

        forget(ledger)

        funding = get_funding(ledger, MARKET)
        assert (funding.rate_ppb, funding.premium_sum) == (rate, 0)


def test_index_moves_by_rate_price_and_time_f3() -> None:
    # 28,800 ppb · 100 ticks · 1,000 ms / 28,800,000 = 100.
    ledger = make_ledger()
    set_rate(ledger, 28_800)

    process_funding(ledger)

    assert get_funding(ledger, MARKET).index == 100
    assert ledger.events == [
        FundingAccrued(
            MARKET, FundingIndex(0), FundingIndex(100), RatePpb(28_800), DurationMs(1_000)
        )
    ]


def test_index_step_truncates_toward_zero_f3() -> None:
    params = make_market_params(k=2)
    for sign in (1, -1):
        step = compute_index_step(RatePpb(sign * 43_199), Ticks(1), DurationMs(1_000), params)
        assert step == sign * 2  # 2.99…


def test_step_at_a_boundary_uses_the_old_rate_f2() -> None:
    ledger = make_ledger()
    ledger.parent_time_ms, ledger.time_ms = TimeMs(59_000), TimeMs(60_000)
    set_rate(ledger, 28_800)

    process_funding(ledger)

    assert get_funding(ledger, MARKET).index == 100
    assert get_funding(ledger, MARKET).rate_ppb == 100_000


@pytest.mark.parametrize(("elapsed_ms", "index"), [(30_000, 3_000), (30_001, 0)])
def test_late_block_accrues_nothing_f3(elapsed_ms: int, index: int) -> None:
    ledger = make_ledger()
    set_rate(ledger, 28_800)
    next_block(ledger, elapsed_ms)

    process_funding(ledger)

    assert get_funding(ledger, MARKET).index == index


def test_nothing_accrues_without_a_price_f3() -> None:
    ledger = make_ledger(price=0)
    set_rate(ledger, 28_800)

    process_funding(ledger)

    assert ledger.events == []


@given(
    st.integers(-(10**9), 10**9),
    st.integers(1, 10**9),
    st.integers(0, 30_000),
    st.integers(1, 10**6),
)
def test_index_step_has_the_sign_of_the_rate_and_mirrors_f3(
    rate: int, oracle: int, elapsed: int, k: int
) -> None:
    params = make_market_params(k=k)

    def step(rate: int) -> int:
        return compute_index_step(RatePpb(rate), Ticks(oracle), DurationMs(elapsed), params)

    assert step(-rate) == -step(rate)
    assert step(rate) * rate >= 0
    assert abs(step(rate)) <= abs(rate) * oracle * k * elapsed // 28_800_000


# --- F4: settlement -------------------------------------------------------------------------------


def test_long_pays_short_while_the_index_grows_f4() -> None:
    # 2 lots · 1.5e9: the long owes 3 atoms.
    ledger = make_ledger()
    for owner in (LONG, SHORT):
        make_trader(ledger, 1 if owner == LONG else 2, 1_000)
    open_pair(ledger, 2)
    set_funding_index(ledger, 1_500_000_000)
    ledger.events.clear()

    settle_funding(ledger, SHORT, MARKET)
    assert balance_of(ledger, market_address(MARKET)) == -3  # a receiver may settle first
    settle_funding(ledger, LONG, MARKET)

    assert balance_of(ledger, LONG) == 1_000 - 200 - 3
    assert balance_of(ledger, SHORT) == 1_000 + 200 + 3
    assert balance_of(ledger, market_address(MARKET)) == 0
    assert get_funding(ledger, MARKET).dust == 0
    index = FundingIndex(1_500_000_000)
    assert ledger.events == [
        FundingSettled(MARKET, SHORT, Quote(3), index),
        FundingSettled(MARKET, LONG, Quote(-3), index),
    ]
    check_all(ledger)


def test_single_atom_is_paid_f4() -> None:
    ledger = make_ledger()
    for number in (1, 2):
        make_trader(ledger, number, 1_000)
    open_pair(ledger, 1)
    before = [balance_of(ledger, owner) for owner in (LONG, SHORT)]
    set_funding_index(ledger, 10**9)

    for owner in (LONG, SHORT):
        settle_funding(ledger, owner, MARKET)

    after = [balance_of(ledger, owner) for owner in (LONG, SHORT)]
    assert after == [before[0] - 1, before[1] + 1]


def test_what_the_floor_leaves_over_is_dust_f4() -> None:
    # 1 lot · 0.5e9: the short's half atom and the long's other half stay in the pool.
    ledger = make_ledger()
    for number in (1, 2):
        make_trader(ledger, number, 1_000)
    open_pair(ledger, 1)
    set_funding_index(ledger, 500_000_000)

    for owner in (LONG, SHORT):
        settle_funding(ledger, owner, MARKET)

    assert balance_of(ledger, LONG) == 1_000 - 100 - 1
    assert balance_of(ledger, SHORT) == 1_000 + 100
    assert get_funding(ledger, MARKET).dust == 1_000_000_000
    check_all(ledger)


def test_nothing_to_settle_writes_nothing_f4() -> None:
    ledger = make_ledger()
    ledger.positions.set((LONG, MARKET), Position(Lots(1), Quote(0), FundingIndex(7)))
    set_funding_index(ledger, 7)
    ledger.journal.clear()

    settle_funding(ledger, LONG, MARKET)
    settle_funding(ledger, SHORT, MARKET)

    assert ledger.journal == []


def test_missing_market_has_no_funding() -> None:
    with pytest.raises(MarketNotFound) as missing:
        get_funding(make_ledger(), MarketId(9))

    assert missing.value.market == 9


@given(st.integers(-(10**12), 10**12), st.integers(-(10**12), 10**12), st.integers(1, 10**6))
def test_pending_of_long_and_short_cancel_exactly_f4(index: int, entry: int, size: int) -> None:
    funding = initial_funding(make_market_params())._replace(index=FundingIndex(index))

    def pending(size: int) -> int:
        return compute_pending(funding, Position(Lots(size), Quote(0), FundingIndex(entry)))

    assert pending(size) == -pending(-size)


ACTIONS = st.one_of(
    st.tuples(st.just("trade"), st.integers(0, 3), st.integers(0, 3), st.integers(1, 9)),
    st.tuples(st.just("settle"), st.integers(0, 3), st.just(0), st.just(0)),
    st.tuples(st.just("accrue"), st.integers(-(10**9), 10**9), st.integers(1, 9), st.just(0)),
)


@given(st.lists(ACTIONS, max_size=30))
def test_pool_covers_pending_and_dust_to_the_last_part_i3(
    actions: list[tuple[str, int, int, int]],
) -> None:
    ledger = make_ledger()
    second = make_market(ledger, price=7)
    owners: list[Address] = [make_trader(ledger, number, 10**9) for number in range(1, 5)]
    dust = 0
    for kind, a, b, c in actions:
        if kind == "accrue":
            set_funding_index(ledger, get_funding(ledger, MARKET).index + a)
            set_funding_index(ledger, get_funding(ledger, second).index - a * b, market=second)
        elif kind == "settle":
            settle_funding(ledger, owners[a], MARKET)
        elif a != b:
            market, price = (MARKET, 100) if c % 2 else (second, 7)
            process_order(ledger, owners[a], order(-c, price, market=market))
            process_order(ledger, owners[b], order(c, price, market=market))
        check_all(ledger)
        assert get_funding(ledger, MARKET).dust >= dust
        dust = get_funding(ledger, MARKET).dust
    for owner in owners:
        settle_funding(ledger, owner, MARKET)
    # All stand at one index now, nothing is pending: the pool holds the dust and nothing else.
    assert 10**9 * balance_of(ledger, market_address(MARKET)) == get_funding(ledger, MARKET).dust
