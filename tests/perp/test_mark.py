"""What the mark is, and what can't move it (P3)."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import GenesisError, MarketNotFound
from node.perp.account import VAULT
from node.perp.fee import compute_trade_rates
from node.perp.fill import Taker
from node.perp.funding import ImpactPrices
from node.perp.mark import (
    BASIS_WINDOW_MS,
    NO_BASIS,
    Basis,
    MarkBand,
    compute_average_basis,
    compute_basis,
    compute_mark,
    compute_mark_band,
    get_mark,
    initial_mark,
    is_two_sided,
    process_mark,
)
from node.perp.order import TimeInForce
from node.perp.parameters import MarginBracket, validate_market_params
from node.perp.settlement import TRADE
from node.perp.status import Mode
from node.perp.trading import process_cancel_all, process_order, process_reduce_only_ioc
from node.units import Lots, MarketId, OrderId, Quote, RatePpm, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_market_params,
    make_trader,
    next_block,
    order,
    set_chain_mode,
    set_mode,
    set_price,
    trader,
)

MAKER, TAKER, PAINTER = trader(1), trader(2), trader(3)


def quoted_ledger(bid: int = 998, ask: int = 1_006, **params: object) -> DictLedger:
    """Return a ledger at 1,000 in which MAKER's quotes, 2 lots each side, stood for two blocks.

    The impact notional is 1,000 atoms, so an order of 2 lots is enough; the band is 975 to 1,025.
    """
    ledger = make_ledger(price=1_000, **params)
    for number in (1, 2, 3):
        make_trader(ledger, number, 10**9)
    for size, price in ((2, bid), (-2, ask)):
        if price:
            process_order(ledger, MAKER, order(size, price))
    next_block(ledger)
    next_block(ledger)
    return ledger


def run_blocks(ledger: DictLedger, count: int, elapsed_ms: int = 1_000) -> None:
    for _ in range(count):
        process_mark(ledger)
        next_block(ledger, elapsed_ms)


# --- the median -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("average", "last", "mark"),
    [
        (0, 0, 1_000),  # median(1000; 1000; mid 1002)
        (2, 0, 1_002),  # median(1000; 1002; 1002)
        (1, 0, 1_001),
        (5, 1_010, 1_005),  # the last trade is above the ask: 1006
        (7, 1_010, 1_006),
        (5, 990, 1_000),  # below the bid: 998
        (-5, 990, 998),
        (-5, 1_003, 1_000),
    ],
)
def test_mark_is_the_median_of_three_p3(average: int, last: int, mark: int) -> None:
    impact = ImpactPrices(Ticks(998), Ticks(1_006))
    params = make_market_params()

    assert compute_mark(Ticks(1_000), average, impact, last=Ticks(last), params=params) == mark


def test_middle_is_floored_p3() -> None:
    impact = ImpactPrices(Ticks(1_001), Ticks(1_004))

    mark = compute_mark(Ticks(1_000), 9, impact, last=Ticks(0), params=make_market_params())

    assert mark == 1_002


def test_band_is_rounded_inward_p3() -> None:
    assert compute_mark_band(Ticks(1_001), RatePpm(25_000)) == MarkBand(Ticks(976), Ticks(1_026))
    assert compute_mark_band(Ticks(1), RatePpm(25_000)) == MarkBand(Ticks(1), Ticks(1))


@given(
    st.integers(1, 10**12),
    st.integers(-(10**12), 10**12),
    st.integers(1, 10**12),
    st.integers(0, 10**6),
    st.integers(0, 10**12),
    st.integers(0, 25_000),
)
def test_mark_stays_within_its_band_p3(
    oracle: int, average: int, bid: int, spread: int, last: int, band_ppm: int
) -> None:
    impact = ImpactPrices(Ticks(bid), Ticks(bid + spread))
    params = make_market_params(mark_band_ppm=band_ppm)

    mark = compute_mark(Ticks(oracle), average, impact, last=Ticks(last), params=params)

    assert mark > 0
    assert abs(mark - oracle) * 1_000_000 <= band_ppm * oracle


@pytest.mark.parametrize(
    ("bid", "ask", "is_good"),
    [
        (975, 1_025, True),
        (974, 1_025, False),
        (975, 1_026, False),
        (0, 1_000, False),
        (1_000, 0, False),
    ],
)
def test_book_has_a_say_within_the_band_alone_p3_x2(bid: int, ask: int, is_good: bool) -> None:
    band = MarkBand(Ticks(975), Ticks(1_025))

    assert is_two_sided(ImpactPrices(Ticks(bid), Ticks(ask)), band) == is_good


# --- the moving average ---------------------------------------------------------------------------


def test_basis_writes_steps_only_p3() -> None:
    basis = compute_basis(NO_BASIS, 0, from_ms=TimeMs(1_000))
    assert basis is NO_BASIS
    basis = compute_basis(basis, 4, from_ms=TimeMs(1_000))
    assert compute_basis(basis, 4, from_ms=TimeMs(2_000)) is basis
    basis = compute_basis(basis, 0, from_ms=TimeMs(5_000))
    assert basis == Basis((TimeMs(1_000), TimeMs(5_000)), (4, 0))
    # 4 ticks of mid2 for 4,000 ms: 16,000 / 300,000; of a hundredfold 5.3.
    assert compute_average_basis(basis, TimeMs(9_000)) == 0
    assert compute_average_basis(Basis(basis.starts_ms, (-400, 0)), TimeMs(9_000)) == -5


def test_basis_forgets_what_left_the_window_p3() -> None:
    basis = Basis((TimeMs(0), TimeMs(1_000), TimeMs(2_000)), (8, 6, 4))

    kept = compute_basis(basis, 2, from_ms=TimeMs(BASIS_WINDOW_MS + 1_000))
    assert kept == Basis((TimeMs(1_000), TimeMs(2_000), TimeMs(151_000)), (6, 4, 2))
    kept = compute_basis(basis, 2, from_ms=TimeMs(BASIS_WINDOW_MS + 1_999))
    assert kept.values == (6, 4, 2)
    kept = compute_basis(basis, 2, from_ms=TimeMs(BASIS_WINDOW_MS + 2_000))
    assert kept.values == (4, 2)


@given(st.lists(st.tuples(st.integers(100, 40_000), st.integers(-60, 60)), max_size=60))
def test_average_is_the_sum_over_the_window_p3(samples: list[tuple[int, int]]) -> None:
    basis, time_ms, taken = NO_BASIS, 0, []
    for elapsed, sample in samples:
        basis = compute_basis(basis, sample, from_ms=TimeMs(time_ms))
        taken.append((time_ms, time_ms + elapsed, sample))
        time_ms += elapsed
        window_from = time_ms - BASIS_WINDOW_MS
        total = sum(
            value * (until - max(start, window_from))
            for start, until, value in taken
            if until > window_from
        )

        average = compute_average_basis(basis, TimeMs(time_ms))

        assert average == int(Fraction(total, 300_000))
    assert len(basis.values) <= len(samples) + 1


# --- block by block -------------------------------------------------------------------------------


def test_premium_must_last_to_move_the_mark_p3() -> None:
    # mid2 - 2·oracle = 4: B is 1 after half of the window, 2 after all of it.
    ledger = quoted_ledger()
    marks = {}
    for second in range(1, 152):
        process_mark(ledger)
        marks[second] = get_mark(ledger, MARKET)
        next_block(ledger)

    assert [second for second in marks if marks[second] != marks.get(second - 1)] == [1, 75, 150]
    assert (marks[74], marks[75], marks[149], marks[150]) == (1_000, 1_001, 1_001, 1_002)


def test_unchanged_block_writes_nothing_p3() -> None:
    ledger = quoted_ledger()
    run_blocks(ledger, 3)
    ledger.journal.clear()

    process_mark(ledger)

    assert ledger.journal == []


def test_orders_of_the_parent_block_are_not_seen_p3() -> None:
    ledger = quoted_ledger(bid=1_004, ask=1_008)
    run_blocks(ledger, 151)
    assert get_mark(ledger, MARKET) == 1_006

    # Stands in for a quote accepted in the parent block: the bid that was there is gone.
    process_cancel_all(ledger, MAKER, MARKET)
    process_order(ledger, MAKER, order(2, 1_004))
    process_order(ledger, MAKER, order(-2, 1_008))
    next_block(ledger)
    process_mark(ledger)
    assert get_mark(ledger, MARKET) == 1_000
    next_block(ledger)
    process_mark(ledger)

    assert get_mark(ledger, MARKET) == 1_005


@pytest.mark.parametrize(("bid", "ask"), [(0, 1_006), (998, 0), (974, 1_006), (998, 1_026)])
def test_thin_book_has_no_say_p3(bid: int, ask: int) -> None:
    ledger = quoted_ledger(bid, ask)
    ledger.bases.set(MARKET, Basis((TimeMs(0),), (20,)))

    process_mark(ledger)

    assert get_mark(ledger, MARKET) == 1_000
    basis = ledger.bases.get(MARKET)
    assert basis is not None
    assert basis.values[-1] == 0


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_leaving_open_forgets_average_and_last_trade_p3(mode: Mode) -> None:
    ledger = quoted_ledger()
    run_blocks(ledger, 151)
    process_order(ledger, TAKER, order(1, 1_006, time_in_force=TimeInForce.IOC))
    assert (get_mark(ledger, MARKET), ledger.marks.rows[MARKET].last) == (1_002, 1_006)
    set_mode(ledger, mode)

    process_mark(ledger)

    assert ledger.marks.rows[MARKET] == (1_000, 0)
    assert ledger.bases.get(MARKET) is None
    set_mode(ledger, Mode.OPEN)
    set_chain_mode(ledger, mode)
    process_mark(ledger)
    assert get_mark(ledger, MARKET) == 1_000


def test_mark_is_the_oracle_price_in_the_grace_period_but_samples_count_p3_x4() -> None:
    ledger = quoted_ledger()
    ledger.bases.set(MARKET, Basis((TimeMs(0),), (4,)))
    set_mode(ledger, Mode.OPEN)
    next_block(ledger, 4_999)
    process_mark(ledger)
    assert get_mark(ledger, MARKET) == 1_000

    next_block(ledger, 1)
    process_mark(ledger)

    assert get_mark(ledger, MARKET) == 1_002


def test_time_beyond_thirty_seconds_is_no_sample_p3_f3() -> None:
    ledger = quoted_ledger()
    next_block(ledger, 30_001)

    process_mark(ledger)

    assert ledger.bases.get(MARKET) is None


def test_last_trade_is_nobodys_liquidation_and_not_the_vaults_p3() -> None:
    ledger = quoted_ledger()
    rates = compute_trade_rates(ledger.market_params(MARKET))
    assert Taker(VAULT, MARKET, OrderId(0), rates, TRADE).is_exempt
    assert not Taker(TAKER, MARKET, OrderId(1), rates, TRADE).is_exempt
    process_order(ledger, TAKER, order(-1, 998, time_in_force=TimeInForce.IOC))
    assert ledger.marks.rows[MARKET].last == 998
    ledger.journal.clear()

    process_order(ledger, MAKER, order(1, 999))
    process_order(ledger, MAKER, order(-1, 1_001))
    process_reduce_only_ioc(ledger, TAKER, MARKET, Lots(1), Ticks(1_001), order_id=OrderId(9))

    assert ledger.marks.rows[MARKET].last == 1_001


def test_unknown_market_has_no_mark() -> None:
    with pytest.raises(MarketNotFound):
        get_mark(make_ledger(), MarketId(9))
    assert initial_mark() == (0, 0)


# --- disasters ------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.booleans(), st.integers(990, 1_009)), max_size=2))
def test_two_usdc_of_orders_do_not_move_the_mark_p3(orders: list[tuple[bool, int]]) -> None:
    # 5,000 USDC make an impact price; a lot at 1,000 ticks is 1,000,000 atoms: 1 USDC.
    ledger = quoted_ledger(0, 0, k=1_000, impact_notional=5_000_000_000)
    process_order(ledger, MAKER, order(6_000, 998))
    process_order(ledger, MAKER, order(-6_000, 1_001))
    run_blocks(ledger, 152)
    before = get_mark(ledger, MARKET)

    for is_buy, price in orders:
        if (is_buy and price < 1_001) or (not is_buy and price > 998):
            process_order(ledger, PAINTER, order(1 if is_buy else -1, price))
    run_blocks(ledger, 4)

    # 2 of 5,000 at up to 10 ticks better round to at most one tick of the impact price.
    assert before == 1_000
    assert abs(get_mark(ledger, MARKET) - before) <= 1


@given(st.integers(1_000, 1_024), st.integers(1, 4))
def test_premium_painted_for_a_block_does_not_move_the_mark_p3(bid: int, blocks: int) -> None:
    ledger = quoted_ledger(999, 1_001)
    run_blocks(ledger, 151)
    assert get_mark(ledger, MARKET) == 1_000
    process_cancel_all(ledger, MAKER, MARKET)

    process_order(ledger, PAINTER, order(100, bid))
    process_order(ledger, PAINTER, order(-100, bid + 1))
    run_blocks(ledger, blocks)

    # At most 2 · 25 ticks of mid2 for 4 s of 150: 200,000 / 300,000 of a tick.
    assert get_mark(ledger, MARKET) == 1_000


def test_real_move_is_followed_at_once_p3() -> None:
    # A mark is never further from the oracle than the band, whatever the book has stood at.
    ledger = quoted_ledger(bid=1_010, ask=1_024)
    run_blocks(ledger, 151)
    assert get_mark(ledger, MARKET) == 1_017

    set_price(ledger, 1_300)
    process_mark(ledger)

    assert get_mark(ledger, MARKET) == 1_300


# --- parameters -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("initial", "maintenance", "highest"), [(100_000, 500_000, 25_000), (50_001, 500_000, 12_500)]
)
def test_band_is_at_most_half_of_initial_less_maintenance_p3(
    initial: int, maintenance: int, highest: int
) -> None:
    brackets = (MarginBracket(Quote(0), RatePpm(initial)),)
    changes = {"brackets": brackets, "maintenance_ppm": maintenance}
    validate_market_params(make_market_params(mark_band_ppm=highest, **changes))

    with pytest.raises(GenesisError, match=f"mark_band_ppm is {highest + 1}, must be 0 to"):
        validate_market_params(make_market_params(mark_band_ppm=highest + 1, **changes))
