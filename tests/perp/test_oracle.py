"""Reports, their lower median, and when a market believes it (P1, P2)."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import (
    JumpNotAsAcknowledged,
    MarketNotFound,
    NoJump,
    NotAllowedInMode,
    NotReporter,
)
from node.perp.events import JumpAcknowledged, PriceAccepted, PriceReported, ReportRefused
from node.perp.oracle import (
    AcceptedPrice,
    Jump,
    Oracle,
    Report,
    ReportRefusal,
    compute_lower_median,
    compute_reference,
    get_oracle,
    initial_oracle,
    process_acknowledgement,
    process_prices,
    process_report,
)
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode
from node.units import MarketId, Ticks, TimeMs
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    next_block,
    reporter,
    set_chain_mode,
    set_mode,
    trader,
)


def report(
    ledger: DictLedger, number: int, price: int, *, age_ms: int = 0, fork_id: int = 0
) -> None:
    observed = TimeMs(ledger.time_ms - age_ms)
    process_report(ledger, reporter(number), MARKET, Ticks(price), observed, fork_id)


def block(ledger: DictLedger, *prices: int, elapsed_ms: int = 1_000) -> Oracle:
    """Run a block in which the first reporters report these prices; return its oracle."""
    next_block(ledger, elapsed_ms)
    for number, price in enumerate(prices, start=1):
        report(ledger, number, price)
    process_prices(ledger)
    return ledger.oracles.rows[MARKET]


def fresh_ledger(**params: Any) -> DictLedger:
    ledger = make_ledger(price=0, **params)
    ledger.oracles.set(MARKET, initial_oracle())
    return ledger


# --- reports --------------------------------------------------------------------------------------


def test_report_counts_from_its_block_on_p1() -> None:
    ledger = fresh_ledger()

    report(ledger, 1, 100)

    assert ledger.reports.rows[MARKET, reporter(1)] == Report(Ticks(100), ledger.time_ms)
    assert ledger.events == [PriceReported(MARKET, reporter(1), Ticks(100), ledger.time_ms)]


def test_only_reporters_report_p1() -> None:
    ledger = fresh_ledger()

    with pytest.raises(NotReporter):
        process_report(ledger, trader(1), MARKET, Ticks(100), ledger.time_ms, 0)


def test_report_on_a_missing_market_is_refused() -> None:
    ledger = fresh_ledger()

    with pytest.raises(MarketNotFound):
        process_report(ledger, reporter(1), MarketId(9), Ticks(100), ledger.time_ms, 0)


@pytest.mark.parametrize("mode", list(Mode))
def test_reports_are_accepted_in_every_mode_but_halted(mode: Mode) -> None:
    for setter in (set_mode, set_chain_mode):
        ledger = fresh_ledger()
        setter(ledger, mode)
        if mode == Mode.HALTED:
            with pytest.raises(NotAllowedInMode):
                report(ledger, 1, 100)
        else:
            report(ledger, 1, 100)
            assert (MARKET, reporter(1)) in ledger.reports.rows


@pytest.mark.parametrize(
    ("price", "age_ms", "fork_id", "reason"),
    [
        (0, 0, 0, ReportRefusal.INVALID_PRICE),
        (-1, 0, 0, ReportRefusal.INVALID_PRICE),
        (MAGNITUDE_MAX + 1, 0, 0, ReportRefusal.INVALID_PRICE),
        (MAGNITUDE_MAX, 0, 0, None),
        (100, -1, 0, ReportRefusal.FROM_THE_FUTURE),
        (100, 500, 0, ReportRefusal.NOT_NEWER),
        (100, 499, 0, None),
        (100, 0, 1, ReportRefusal.WRONG_FORK),
    ],
)
def test_report_refused_with_an_event_leaves_the_last_one_p2(
    price: int, age_ms: int, fork_id: int, reason: ReportRefusal | None
) -> None:
    ledger = fresh_ledger()
    report(ledger, 1, 90, age_ms=500)
    last = ledger.reports.rows[MARKET, reporter(1)]
    ledger.events.clear()

    report(ledger, 1, price, age_ms=age_ms, fork_id=fork_id)

    observed = TimeMs(ledger.time_ms - age_ms)
    if reason is None:
        assert ledger.reports.rows[MARKET, reporter(1)].price == price
    else:
        assert ledger.reports.rows[MARKET, reporter(1)] == last
        assert ledger.events == [ReportRefused(MARKET, reporter(1), Ticks(price), observed, reason)]


# --- the candidate --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prices", "median"), [([7], 7), ([9, 7], 7), ([9, 7, 8], 8), ([4, 3, 2, 1], 2)]
)
def test_candidate_is_the_lower_median_p1(prices: list[int], median: int) -> None:
    assert compute_lower_median([Ticks(price) for price in prices]) == median


def test_first_price_ever_is_accepted_p2() -> None:
    ledger = fresh_ledger()

    oracle = block(ledger, 100, 200)

    assert (oracle.price, oracle.stale) == (100, False)
    assert ledger.events[-1] == PriceAccepted(MARKET, Ticks(0), Ticks(100))


def test_fewer_than_a_quorum_is_stale_and_keeps_the_price_p1() -> None:
    ledger = fresh_ledger()
    assert block(ledger, 100).stale
    assert not block(ledger, 101, 101).stale

    # The reports grow old: 30,000 ms is still fresh, one more is not.
    assert not block(ledger, elapsed_ms=30_000).stale
    oracle = block(ledger, elapsed_ms=1)

    assert oracle.stale
    assert oracle.price == 101


def test_nothing_is_written_or_said_where_nothing_changed() -> None:
    ledger = fresh_ledger()
    block(ledger, 100, 100)

    block(ledger, elapsed_ms=1_000)

    assert ledger.journal == []
    assert ledger.events == []


def test_halted_oracle_stands_still() -> None:
    ledger = fresh_ledger()
    before = block(ledger, 100, 100)
    set_mode(ledger, Mode.HALTED)

    assert block(ledger, elapsed_ms=100_000) == before


# --- the jump test --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "is_jump"), [(1_050, False), (1_051, True), (950, False), (949, True)]
)
def test_move_of_five_percent_is_accepted_and_more_is_a_jump_p2(price: int, is_jump: bool) -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)

    oracle = block(ledger, price, price)

    assert bool(oracle.jump) == is_jump
    assert oracle.price == (1_000 if is_jump else price)


def test_jump_cut_into_small_blocks_stays_a_jump_p2() -> None:
    # 1,000 is the accepted price until 100 ms before each of these blocks.
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    assert block(ledger, 1_040, 1_040, elapsed_ms=100).price == 1_040

    oracle = block(ledger, 1_080, 1_080, elapsed_ms=100)

    assert oracle.jump == (Jump(True, ledger.time_ms, ledger.height),)
    assert oracle.price == 1_040


def test_same_move_over_more_than_a_second_is_accepted_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    block(ledger, 1_040, 1_040, elapsed_ms=100)

    oracle = block(ledger, 1_080, 1_080, elapsed_ms=1_000)

    assert oracle.price == 1_080
    assert not oracle.jump


def test_reference_is_the_price_in_force_when_the_window_began_p2() -> None:
    accepted = tuple(
        AcceptedPrice(Ticks(price), TimeMs(time_ms))
        for price, time_ms in [(10, 0), (11, 400), (12, 900)]
    )
    oracle = Oracle(price=Ticks(12), accepted=accepted, stale=False, jump=())

    assert compute_reference(oracle, TimeMs(1_000)) == 10
    assert compute_reference(oracle, TimeMs(1_399)) == 10
    assert compute_reference(oracle, TimeMs(1_400)) == 11
    assert compute_reference(oracle, TimeMs(1_900)) == 12
    assert compute_reference(oracle, TimeMs(9_999)) == 12


def test_jump_is_confirmed_after_three_seconds_by_all_its_reporters_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    for _ in range(3):
        assert block(ledger, 2_000, 2_000).price == 1_000

    oracle = block(ledger, 2_000, 2_000)

    assert oracle == Oracle(
        price=Ticks(2_000),
        accepted=(AcceptedPrice(Ticks(2_000), ledger.time_ms),),
        stale=False,
        jump=(),
    )
    assert ledger.events[-1] == PriceAccepted(MARKET, Ticks(1_000), Ticks(2_000))


def test_jump_takes_at_least_three_blocks_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    block(ledger, 2_000, 2_000)

    assert block(ledger, 2_000, 2_000, elapsed_ms=10_000).price == 1_000
    assert block(ledger, 2_000, 2_000, elapsed_ms=1).price == 2_000


def test_jump_waits_for_a_reporter_that_has_not_spoken_since_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000, 1_000)
    # The third reporter is silent: its old report is part of the quorum until it is too old.
    for _ in range(30):
        assert block(ledger, 2_000, 2_000).price == 1_000

    assert block(ledger, 2_000, 2_000).price == 2_000


def test_jump_that_changes_sides_begins_anew_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    for _ in range(3):
        block(ledger, 2_000, 2_000)
    oracle = block(ledger, 500, 500)

    assert oracle.jump == (Jump(False, ledger.time_ms, ledger.height),)
    for _ in range(2):
        assert block(ledger, 500, 500).price == 1_000
    assert block(ledger, 500, 500).price == 500


def test_jump_without_a_quorum_begins_anew_p2() -> None:
    ledger = fresh_ledger(price_age_ms_max=500)
    block(ledger, 1_000, 1_000)
    for _ in range(3):
        block(ledger, 2_000, 2_000)
    silent = block(ledger, 2_000)

    assert (silent.price, silent.stale, silent.jump) == (1_000, True, ())
    assert block(ledger, 2_000, 2_000).jump == (Jump(True, ledger.time_ms, ledger.height),)


def test_jump_cut_into_small_blocks_stays_one_while_it_waits_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    block(ledger, 1_040, 1_040, elapsed_ms=400)
    block(ledger, 1_080, 1_080, elapsed_ms=400)  # 8 % from 800 ms ago

    # Within 5 % of the last accepted 1,040, but the last second knew 1,000.
    assert block(ledger, 1_080, 1_080, elapsed_ms=100).jump
    # A second after 1,040 was accepted nothing else is remembered.
    oracle = block(ledger, 1_080, 1_080, elapsed_ms=500)
    assert (oracle.price, oracle.jump) == (1_080, ())


# --- the council's word ---------------------------------------------------------------------------


def jumping_ledger() -> DictLedger:
    """Return a ledger whose market stands at 1,000 while two of three report 1,060."""
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000, 1_000)
    assert block(ledger, 1_060, 1_060, 1_000).jump
    next_block(ledger)
    return ledger


def test_jump_that_the_council_acknowledges_is_accepted_at_what_waits_p2() -> None:
    ledger = jumping_ledger()

    assert process_acknowledgement(ledger, MARKET, Ticks(1_100)) == 1_060

    accepted = (AcceptedPrice(Ticks(1_060), ledger.time_ms),)
    assert ledger.oracles.rows[MARKET] == Oracle(Ticks(1_060), accepted, False, ())
    assert ledger.events == [
        JumpAcknowledged(MARKET, Ticks(1_060)),
        PriceAccepted(MARKET, Ticks(1_000), Ticks(1_060)),
    ]


def test_jump_acknowledged_far_from_what_waits_is_refused_with_both_prices_p2() -> None:
    ledger = jumping_ledger()

    with pytest.raises(JumpNotAsAcknowledged, match=r"1060.*1200|1200.*1060"):
        process_acknowledgement(ledger, MARKET, Ticks(1_200))


def test_nothing_waits_where_there_is_no_jump_or_no_quorum_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000, 1_000)
    with pytest.raises(NoJump):
        process_acknowledgement(ledger, MARKET, Ticks(1_000))

    ledger = jumping_ledger()
    next_block(ledger, 30_001)
    with pytest.raises(NoJump):
        process_acknowledgement(ledger, MARKET, Ticks(1_060))


def test_acknowledged_price_that_is_the_accepted_one_moved_nothing_p2() -> None:
    """The report that made it a jump has grown too old: what waits is the price as it was."""
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000, 1_000)
    next_block(ledger)
    report(ledger, 1, 1_060, age_ms=500)
    report(ledger, 2, 1_060)
    report(ledger, 3, 1_000)
    process_prices(ledger)
    assert ledger.oracles.rows[MARKET].jump
    next_block(ledger, 29_800)

    assert process_acknowledgement(ledger, MARKET, Ticks(1_040)) == 1_000

    assert ledger.oracles.rows[MARKET].jump == ()
    assert ledger.events == [JumpAcknowledged(MARKET, Ticks(1_000))]


# --- what follows ---------------------------------------------------------------------------------


def test_history_starts_anew_after_a_jump_p2() -> None:
    ledger = fresh_ledger(price_confirm_ms=200)
    block(ledger, 1_000, 1_000)
    for _ in range(2):
        block(ledger, 1_080, 1_080, elapsed_ms=100)
    assert block(ledger, 1_080, 1_080, elapsed_ms=100).price == 1_080

    # 1,000 was in force 100 ms ago; it no longer counts.
    assert not block(ledger, 1_081, 1_081, elapsed_ms=100).jump


def test_candidate_that_comes_back_ends_the_jump_p2() -> None:
    ledger = fresh_ledger()
    block(ledger, 1_000, 1_000)
    block(ledger, 2_000, 2_000)

    oracle = block(ledger, 1_000, 1_000)

    assert oracle == Oracle(
        Ticks(1_000), (AcceptedPrice(Ticks(1_000), ledger.time_ms),), stale=False, jump=()
    )


@given(
    st.lists(
        st.tuples(st.sampled_from([100, 300, 1_000, 4_000]), st.integers(80, 130)),
        min_size=1,
        max_size=40,
    )
)
def test_no_price_is_accepted_that_moved_too_far_or_was_not_confirmed_p2(
    steps: list[tuple[int, int]],
) -> None:
    ledger = fresh_ledger()
    block(ledger, 100, 100)
    in_force = [(ledger.time_ms, 100)]
    candidates: list[tuple[int, int]] = []
    for elapsed_ms, price in steps:
        before = ledger.oracles.rows[MARKET]
        oracle = block(ledger, price, price, elapsed_ms=elapsed_ms)
        candidates.append((ledger.time_ms, price))
        started = [time for time, _ in in_force if time <= ledger.time_ms - 1_000]
        window = [
            accepted
            for time, accepted in in_force
            if time >= (started[-1] if started else in_force[0][0])
        ]
        if oracle.price != before.price and not before.jump:
            assert abs(oracle.price - window[0]) * 20 <= window[0]
        elif oracle.price != before.price:
            is_near = abs(oracle.price - before.price) * 20 <= before.price
            recent = [c for time, c in candidates if time >= ledger.time_ms - 3_000]
            confirmed = all((c - before.price) * (price - before.price) > 0 for c in recent)
            assert is_near or (confirmed and before.jump[0].since_ms <= ledger.time_ms - 3_000)
        if before.jump and not oracle.jump:
            in_force.clear()  # the history starts anew after a JUMP
        if oracle.price != before.price or not in_force:
            in_force.append((ledger.time_ms, oracle.price))
        assert len(oracle.accepted) <= 12
        assert oracle.price > 0


def test_missing_market_has_no_oracle() -> None:
    with pytest.raises(MarketNotFound):
        get_oracle(make_ledger(), MarketId(9))
