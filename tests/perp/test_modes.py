"""How alarms close and how quorums, time and a book reopen (X2, X4, Modes)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import MarketNotFound, NotAllowedInMode
from node.perp.events import ModeChanged, OrderCancelled
from node.perp.funding import get_funding, process_premium_sample
from node.perp.mark import get_mark
from node.perp.modes import (
    CHAIN,
    Mode,
    ModeReason,
    PostOnlyLimits,
    compute_post_only_limits,
    get_mode,
    get_status,
    initial_chain_status,
    initial_market_status,
    is_in_grace,
    process_alarms,
    process_gap,
    process_post_only_limits,
    process_reopening,
    require_mode,
)
from node.perp.oracle import initial_oracle, process_prices, process_report
from node.perp.order import CancelReason, Order, Trigger, TriggerKind
from node.units import DurationMs, Height, Lots, MarketId, OrderId, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_chain_params,
    make_ledger,
    make_market,
    next_block,
    reporter,
    set_chain_mode,
    set_mode,
    trader,
)

MAKER = trader(1)


def fresh_ledger(**chain_params: Any) -> DictLedger:
    """Return a chain at genesis: CANCEL_ONLY, height 0, no price."""
    ledger = make_ledger(price=0)
    ledger.params = make_chain_params(**chain_params)
    ledger.height = Height(0)
    ledger.set_status(initial_chain_status(ledger.time_ms))
    ledger.statuses.set(MARKET, initial_market_status(ledger.time_ms, Height(0)))
    ledger.oracles.set(MARKET, initial_oracle())
    return ledger


def block(
    ledger: DictLedger,
    *prices: int,
    elapsed_ms: int = 1_000,
    age_ms: int = 0,
    market: MarketId = MARKET,
) -> tuple[Mode, Mode]:
    """Run a block in which the first reporters report; return the modes that it leaves."""
    next_block(ledger, elapsed_ms)
    process_gap(ledger)
    for number, price in enumerate(prices, start=1):
        observed = TimeMs(ledger.time_ms - age_ms)
        process_report(ledger, reporter(number), market, Ticks(price), observed, 0)
    process_prices(ledger)
    process_alarms(ledger)
    process_reopening(ledger)
    return ledger.status.mode, get_status(ledger, market).mode


def run_until_open(ledger: DictLedger, price: int = 100) -> int:
    """Run blocks of a second with a full quorum until the market is OPEN; return how many."""
    for count in range(1, 100):
        if block(ledger, price, price) == (Mode.OPEN, Mode.OPEN):
            return count
    raise AssertionError("the market did not open")


def rest(ledger: DictLedger, number: int, size: int, price: int, height: int = 0) -> None:
    ledger.book(MARKET).put_order(
        Order(OrderId(number), MAKER, Lots(size), Ticks(price), False, height)
    )


# --- what a mode allows ---------------------------------------------------------------------------


@pytest.mark.parametrize("chain", list(Mode))
@pytest.mark.parametrize("own", list(Mode))
def test_the_stricter_of_chain_and_market_wins(chain: Mode, own: Mode) -> None:
    ledger = make_ledger()
    set_chain_mode(ledger, chain)
    set_mode(ledger, own)

    assert get_mode(ledger, MARKET) == max(chain, own)
    for allowed in Mode:
        if max(chain, own) <= allowed:
            require_mode(ledger, MARKET, allowed)
            continue
        with pytest.raises(NotAllowedInMode) as refusal:
            require_mode(ledger, MARKET, allowed)
        is_chain = chain > allowed
        assert refusal.value.market == (CHAIN if is_chain else MARKET)
        assert refusal.value.mode == (chain if is_chain else own)


def test_missing_market_is_refused() -> None:
    ledger = make_ledger()
    missing = MarketId(9)

    with pytest.raises(MarketNotFound):
        get_mode(ledger, missing)
    with pytest.raises(MarketNotFound):
        require_mode(ledger, missing, Mode.HALTED)
    with pytest.raises(MarketNotFound):
        get_mark(ledger, missing)


def test_mark_is_the_accepted_price() -> None:
    assert get_mark(make_ledger(price=0), MARKET) == 0
    assert get_mark(make_ledger(price=42), MARKET) == 42


def test_grace_lasts_from_the_later_return_to_open_x4() -> None:
    ledger = make_ledger()
    assert not is_in_grace(ledger, MARKET)
    set_mode(ledger, Mode.OPEN)
    next_block(ledger, 1_000)
    set_chain_mode(ledger, Mode.OPEN)

    assert is_in_grace(ledger, MARKET)
    next_block(ledger, 4_999)
    assert is_in_grace(ledger, MARKET)
    next_block(ledger, 1)
    assert not is_in_grace(ledger, MARKET)


def test_grace_is_a_matter_of_open_markets_x4() -> None:
    ledger = make_ledger()
    set_mode(ledger, Mode.POST_ONLY)

    assert not is_in_grace(ledger, MARKET)


def test_post_only_limits_round_inward() -> None:
    # 999·1.0005 = 999.4995, 999·0.9995 = 998.5005.
    assert compute_post_only_limits(Ticks(999)) == PostOnlyLimits(Ticks(999), Ticks(999))
    assert compute_post_only_limits(Ticks(2_000)) == PostOnlyLimits(Ticks(2_001), Ticks(1_999))


# --- the way to OPEN ------------------------------------------------------------------------------


def test_genesis_opens_after_confirmation_and_reopening_x2() -> None:
    # Blocks 1 to 4 hold a quorum for 3,000 ms; blocks 5 to 9 are POST_ONLY, 5,000 ms and 5 blocks.
    ledger = fresh_ledger()
    modes = [block(ledger, 100, 100) for _ in range(9)]

    assert modes[:3] == [(Mode.CANCEL_ONLY, Mode.CANCEL_ONLY)] * 3
    assert modes[3:8] == [(Mode.POST_ONLY, Mode.POST_ONLY)] * 5
    assert modes[8] == (Mode.OPEN, Mode.OPEN)
    assert ledger.events[-2:] == [
        ModeChanged(CHAIN, Mode.POST_ONLY, Mode.OPEN, ModeReason.REOPENING),
        ModeChanged(MARKET, Mode.POST_ONLY, Mode.OPEN, ModeReason.REOPENING),
    ]
    assert get_status(ledger, MARKET).since_ms == ledger.time_ms
    assert is_in_grace(ledger, MARKET)


def test_first_block_has_no_gap_x2() -> None:
    ledger = fresh_ledger()
    gap_end_ms = ledger.status.gap_end_ms

    block(ledger, 100, 100, elapsed_ms=10**9)

    assert ledger.status.gap_end_ms == gap_end_ms


def test_post_only_takes_three_blocks_however_long_x2() -> None:
    ledger = fresh_ledger()
    block(ledger, 100, 100)
    assert block(ledger, 100, 100, elapsed_ms=20_000)[1] == Mode.CANCEL_ONLY

    assert block(ledger, 100, 100, elapsed_ms=1)[1] == Mode.POST_ONLY


def test_open_takes_five_blocks_however_long_x2() -> None:
    ledger = fresh_ledger()
    for _ in range(4):
        block(ledger, 100, 100)
    for _ in range(4):
        assert block(ledger, 100, 100, elapsed_ms=20_000) == (Mode.POST_ONLY, Mode.POST_ONLY)

    assert block(ledger, 100, 100, elapsed_ms=1) == (Mode.OPEN, Mode.OPEN)


def test_open_takes_reopen_ms_however_many_blocks_x2() -> None:
    ledger = fresh_ledger()
    for _ in range(4):
        block(ledger, 100, 100)
    for _ in range(49):
        assert block(ledger, 100, 100, elapsed_ms=100)[1] == Mode.POST_ONLY

    assert block(ledger, 100, 100, elapsed_ms=100)[1] == Mode.OPEN


def test_quorum_that_breaks_begins_anew_x2() -> None:
    ledger = fresh_ledger()
    for _ in range(3):
        block(ledger, 100, 100)
    # From here on a report is fresh in its own block only.
    ledger.all_market_params[MARKET] = ledger.market_params(MARKET)._replace(
        price_age_ms_max=DurationMs(500)
    )
    assert block(ledger, 100)[1] == Mode.CANCEL_ONLY
    assert get_status(ledger, MARKET).quorum_blocks == 0
    for _ in range(3):
        assert block(ledger, 100, 100)[1] == Mode.CANCEL_ONLY

    assert block(ledger, 100, 100)[1] == Mode.POST_ONLY


def test_reports_observed_before_the_gap_do_not_reopen_x2() -> None:
    ledger = fresh_ledger()
    run_until_open(ledger)
    block(ledger, elapsed_ms=30_001)
    for _ in range(10):
        # Fresh for the price, but observed 20 s ago.
        assert block(ledger, 100, 100, age_ms=20_000)[1] == Mode.CANCEL_ONLY
    assert not ledger.oracles.rows[MARKET].stale
    for _ in range(3):
        assert block(ledger, 100, 100)[1] == Mode.CANCEL_ONLY

    assert block(ledger, 100, 100) == (Mode.POST_ONLY, Mode.POST_ONLY)


# --- a book to reopen with ------------------------------------------------------------------------


def test_open_waits_for_both_impact_prices_x2() -> None:
    # 1,000 atoms of impact notional: 10 lots at 100.
    ledger = fresh_ledger(reopen_needs_book=True)
    for _ in range(20):
        block(ledger, 100, 100)
    assert get_status(ledger, MARKET).mode == Mode.POST_ONLY
    assert ledger.status.mode == Mode.OPEN
    rest(ledger, 1, 10, 100, ledger.height)
    assert block(ledger, 100, 100)[1] == Mode.POST_ONLY

    rest(ledger, 2, -10, 101, ledger.height)

    assert block(ledger, 100, 100)[1] == Mode.OPEN


@pytest.mark.parametrize(("ask", "mode"), [(103, Mode.POST_ONLY), (102, Mode.OPEN)])
def test_open_waits_for_a_book_within_the_mark_band_x2_p3(ask: int, mode: Mode) -> None:
    # 2.5 % of 100: from 97.5 to 102.5.
    ledger = fresh_ledger(reopen_needs_book=True)
    for _ in range(20):
        block(ledger, 100, 100)
    rest(ledger, 1, 11, 98, ledger.height)

    rest(ledger, 2, -10, ask, ledger.height)

    assert block(ledger, 100, 100)[1] == mode


def test_open_does_not_wait_for_a_book_for_ever_x2() -> None:
    ledger = fresh_ledger(reopen_needs_book=True, book_wait_ms=8_000)
    for _ in range(4):
        block(ledger, 100, 100)
    for _ in range(7):
        assert block(ledger, 100, 100)[1] == Mode.POST_ONLY

    assert block(ledger, 100, 100)[1] == Mode.OPEN


# --- alarms ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(("elapsed_ms", "is_gap"), [(30_000, False), (30_001, True)])
def test_gap_closes_the_chain_and_every_market_x2(elapsed_ms: int, is_gap: bool) -> None:
    ledger = make_ledger()
    second = make_market(ledger)
    next_block(ledger, elapsed_ms)

    process_gap(ledger)

    expected = Mode.CANCEL_ONLY if is_gap else Mode.OPEN
    assert ledger.status.mode == expected
    assert [get_status(ledger, market).mode for market in (MARKET, second)] == [expected] * 2
    if is_gap:
        assert ledger.status.gap_end_ms == ledger.time_ms
        assert [event for event in ledger.events if isinstance(event, ModeChanged)] == [
            ModeChanged(market, Mode.OPEN, Mode.CANCEL_ONLY, ModeReason.GAP)
            for market in (CHAIN, MARKET, second)
        ]
    else:
        assert ledger.journal == []


@pytest.mark.parametrize(("elapsed_ms", "is_gated"), [(300_000, False), (300_001, True)])
def test_long_gap_gates_withdrawals_m3(elapsed_ms: int, is_gated: bool) -> None:
    ledger = make_ledger()
    before = ledger.status.withdrawals_from_ms
    next_block(ledger, elapsed_ms)

    process_gap(ledger)

    expected = ledger.time_ms + 5_000 if is_gated else before
    assert ledger.status.withdrawals_from_ms == expected


def test_stale_and_jump_close_their_market_alone_x2() -> None:
    for change, reason in (("stale", ModeReason.STALE), ("jump", ModeReason.JUMP)):
        ledger = fresh_ledger()
        make_market(ledger)
        run_until_open(ledger)
        if change == "stale":
            ledger.all_market_params[MARKET] = ledger.market_params(MARKET)._replace(
                price_age_ms_max=DurationMs(1)
            )
            modes = block(ledger)
        else:
            modes = block(ledger, 200, 200)

        assert modes == (Mode.OPEN, Mode.CANCEL_ONLY)
        assert ModeChanged(MARKET, Mode.OPEN, Mode.CANCEL_ONLY, reason) in ledger.events


def test_jump_reopens_after_its_confirmation_x2() -> None:
    ledger = fresh_ledger()
    run_until_open(ledger)
    for _ in range(3):
        assert block(ledger, 200, 200)[1] == Mode.CANCEL_ONLY

    # Accepted in the fourth block, which is the first good one; 4 blocks and 5 more.
    assert [block(ledger, 200, 200)[1] for _ in range(9)] == [
        *[Mode.CANCEL_ONLY] * 3,
        *[Mode.POST_ONLY] * 5,
        Mode.OPEN,
    ]


def test_alarm_steps_back_from_post_only_x2() -> None:
    ledger = fresh_ledger()
    for _ in range(5):
        block(ledger, 100, 100)
    assert get_status(ledger, MARKET).mode == Mode.POST_ONLY

    assert block(ledger, 200, 200)[1] == Mode.CANCEL_ONLY
    assert [block(ledger, 100, 100)[1] for _ in range(4)][-1] == Mode.POST_ONLY


def test_gap_in_post_only_steps_the_chain_back_x2() -> None:
    ledger = fresh_ledger()
    for _ in range(5):
        block(ledger, 100, 100)

    assert block(ledger, 100, 100, elapsed_ms=30_001) == (Mode.CANCEL_ONLY, Mode.CANCEL_ONLY)


def test_leaving_open_resets_funding_f2() -> None:
    ledger = make_ledger()
    rest(ledger, 1, 100, 101)
    process_premium_sample(ledger)
    assert get_funding(ledger, MARKET).premium_sum != 0
    next_block(ledger, 30_001)

    process_gap(ledger)

    assert get_funding(ledger, MARKET).premium_sum == 0


def test_halted_is_left_by_nothing_here_x1() -> None:
    ledger = make_ledger()
    set_mode(ledger, Mode.HALTED)
    for _ in range(50):
        next_block(ledger, 40_000)
        process_gap(ledger)
        process_reopening(ledger)

    assert get_status(ledger, MARKET).mode == Mode.HALTED
    set_chain_mode(ledger, Mode.HALTED)
    next_block(ledger, 40_000)
    process_gap(ledger)
    process_reopening(ledger)
    assert ledger.status.mode == Mode.HALTED


# --- what rests in POST_ONLY ----------------------------------------------------------------------


def test_aggressive_resting_orders_are_cancelled_in_post_only() -> None:
    # At 2,000: buys up to 2,001, sells from 1,999.
    ledger = make_ledger(price=2_000)
    set_mode(ledger, Mode.POST_ONLY)
    rest(ledger, 1, 5, 2_001)
    rest(ledger, 2, 5, 2_002)
    trigger = Trigger(OrderId(3), MAKER, Lots(5), Ticks(9_000), TriggerKind.STOP_LOSS, Ticks(0))
    ledger.book(MARKET).put_trigger(trigger)

    process_post_only_limits(ledger)

    assert sorted(ledger.book(MARKET).orders) == [1]
    assert list(ledger.book(MARKET).triggers) == [3]
    assert ledger.events == [OrderCancelled(MARKET, MAKER, OrderId(2), Lots(5), CancelReason.MODE)]


def test_cheap_sells_are_cancelled_in_post_only() -> None:
    ledger = make_ledger(price=2_000)
    set_mode(ledger, Mode.POST_ONLY)
    rest(ledger, 1, -5, 1_999)
    rest(ledger, 2, -5, 1_998)

    process_post_only_limits(ledger)

    assert sorted(ledger.book(MARKET).orders) == [1]


@pytest.mark.parametrize("mode", [Mode.OPEN, Mode.CANCEL_ONLY, Mode.HALTED])
def test_other_modes_leave_what_rests_alone(mode: Mode) -> None:
    ledger = make_ledger(price=2_000)
    set_mode(ledger, mode)
    rest(ledger, 1, 5, 3_000)

    process_post_only_limits(ledger)

    assert sorted(ledger.book(MARKET).orders) == [1]


# --- whatever happens -----------------------------------------------------------------------------


@given(
    st.lists(
        st.tuples(
            st.sampled_from([100, 1_000, 3_000, 31_000]),
            st.sampled_from([(), (100,), (100, 100), (100, 104), (200, 200)]),
        ),
        max_size=60,
    )
)
def test_steps_toward_open_are_single_slow_and_never_past_an_alarm_x2(
    steps: list[tuple[int, tuple[int, ...]]],
) -> None:
    ledger = fresh_ledger()
    for elapsed_ms, prices in steps:
        old_chain, old = ledger.status, get_status(ledger, MARKET)
        chain, own = block(ledger, *prices, elapsed_ms=elapsed_ms)
        oracle = ledger.oracles.rows[MARKET]
        is_gap = elapsed_ms > 30_000 and ledger.height > 1
        if is_gap:
            assert chain == Mode.CANCEL_ONLY
        if is_gap or oracle.stale or oracle.jump:
            assert own == Mode.CANCEL_ONLY
        assert own >= old.mode - 1
        assert chain >= old_chain.mode - 1
        assert chain <= own, "the chain never keeps a working market waiting"
        if own < old.mode:
            assert own == Mode.POST_ONLY or ledger.time_ms - old.since_ms >= 5_000
            assert ledger.height - old.since_height >= (5 if own == Mode.OPEN else 3)
