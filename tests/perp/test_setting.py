"""Numbers that the council sets: checked like genesis, in force from the next block."""

import pytest

from node.errors import InvalidParameters, MarketClosed, MarketNotFound, NoSuchParameter
from node.perp.closure import process_settlement
from node.perp.events import BracketsSet, FundingRateSet, ParameterSet, ReportersSet
from node.perp.funding import compute_rate_cap
from node.perp.oracle import Report
from node.perp.parameters import MarginBracket
from node.perp.setting import (
    process_set_brackets,
    process_set_parameter,
    process_set_reporters,
    process_settings,
)
from node.perp.status import CHAIN
from node.units import DurationMs, MarketId, Quote, RatePpb, RatePpm, Ticks, TimeMs
from tests.helpers.ledger import MARKET, make_ledger, next_block, reporter


def test_what_is_set_is_in_force_from_the_next_block() -> None:
    ledger = make_ledger()

    assert process_set_parameter(ledger, MARKET, "taker_fee_ppm", 7) == 0
    assert process_set_parameter(ledger, CHAIN, "reopen_needs_book", 1) == 0

    assert ledger.market_params(MARKET).taker_fee_ppm == 0
    assert ledger.params.reopen_needs_book is False
    assert ledger.events == [
        ParameterSet(MARKET, "taker_fee_ppm", 0, 7),
        ParameterSet(CHAIN, "reopen_needs_book", 0, 1),
    ]
    next_block(ledger)
    assert ledger.market_params(MARKET).taker_fee_ppm == 7
    assert ledger.params.reopen_needs_book is True


def test_a_second_set_builds_on_the_first() -> None:
    ledger = make_ledger()

    process_set_parameter(ledger, MARKET, "taker_fee_ppm", 7)
    process_set_parameter(ledger, MARKET, "maker_fee_ppm", -7)  # a rebate as large as the new fee

    next_block(ledger)
    params = ledger.market_params(MARKET)
    assert (params.taker_fee_ppm, params.maker_fee_ppm) == (7, -7)


@pytest.mark.parametrize(
    ("market", "name"),
    [
        (MARKET, "nothing"),
        (MARKET, "_fields"),
        (MARKET, "count"),
        (MARKET, "symbol"),
        (MARKET, "brackets"),
        (MARKET, "k"),
        (MARKET, "lot_decimals"),
        (MARKET, "tick_decimals"),
        (CHAIN, "reporters"),
        (CHAIN, "k"),
    ],
)
def test_a_name_that_is_no_number_is_refused(market: MarketId, name: str) -> None:
    ledger = make_ledger()

    with pytest.raises(NoSuchParameter) as caught:
        process_set_parameter(ledger, market, name, 1)

    assert (caught.value.market, caught.value.name) == (market, name)


def test_a_refused_set_leaves_everything_as_it_was() -> None:
    ledger = make_ledger()
    before = ledger.dump()

    with pytest.raises(InvalidParameters, match="maintenance_ppm is 0, must be 1 to 999999"):
        process_set_parameter(ledger, MARKET, "maintenance_ppm", 0)
    with pytest.raises(InvalidParameters, match="must be 0 or 1"):
        process_set_parameter(ledger, CHAIN, "reopen_needs_book", 2)
    with pytest.raises(InvalidParameters, match="at least one bracket"):
        process_set_brackets(ledger, MARKET, ())
    with pytest.raises(InvalidParameters, match="reporter_quorum is 0"):
        process_set_reporters(ledger, ledger.params.reporters, 0)
    with pytest.raises(MarketNotFound):
        process_set_parameter(ledger, MarketId(9), "taker_fee_ppm", 1)

    assert ledger.dump() == before


def test_a_settled_market_has_no_more_to_set() -> None:
    ledger = make_ledger()
    process_settlement(ledger, MARKET, Ticks(100))

    with pytest.raises(MarketClosed):
        process_set_parameter(ledger, MARKET, "taker_fee_ppm", 1)
    with pytest.raises(MarketClosed):
        process_set_brackets(ledger, MARKET, ledger.market_params(MARKET).brackets)


def test_brackets_and_reporters_are_set_as_wholes() -> None:
    ledger = make_ledger()
    brackets = (MarginBracket(Quote(0), RatePpm(200_000)),)
    others = tuple(sorted([reporter(1), reporter(9)]))

    assert process_set_brackets(ledger, MARKET, brackets) == 1
    assert process_set_reporters(ledger, others, 2) == 2

    assert ledger.events == [BracketsSet(MARKET, brackets), ReportersSet(others, 2)]
    next_block(ledger)
    assert ledger.market_params(MARKET).brackets == brackets
    assert (ledger.params.reporters, ledger.params.reporter_quorum) == (others, 2)


def test_who_comes_back_as_a_reporter_begins_anew_p1() -> None:
    ledger = make_ledger()
    known, stranger = ledger.params.reporters[0], reporter(9)
    report = Report(Ticks(100), TimeMs(5))
    for each in (known, stranger):
        ledger.reports.set((MARKET, each), report)

    process_set_reporters(ledger, tuple(sorted([known, stranger])), 1)

    assert ledger.reports.get((MARKET, known)) == report
    assert ledger.reports.get((MARKET, stranger)) is None


@pytest.mark.parametrize("rate", [900_000, -900_000, 5])
def test_the_rate_stays_within_its_cap_i4_f2(rate: int) -> None:
    ledger = make_ledger()
    funding = ledger.fundings.rows[MARKET]
    ledger.fundings.set(MARKET, funding._replace(rate_ppb=RatePpb(rate), premium_sum=77))

    process_set_parameter(ledger, MARKET, "funding_clamp_factor_ppm", 2_000)
    process_settings(ledger)

    cap = compute_rate_cap(ledger.next_market_params(MARKET))
    expected = max(-cap, min(rate, cap))
    assert 5 < cap < 900_000
    assert ledger.fundings.rows[MARKET].rate_ppb == expected
    assert ledger.fundings.rows[MARKET].premium_sum == 77
    told = [each for each in ledger.events if isinstance(each, FundingRateSet)]
    assert [each.rate_ppb for each in told] == ([expected] if expected != rate else [])


def test_samples_of_another_interval_do_not_count_f2() -> None:
    ledger = make_ledger()
    funding = ledger.fundings.rows[MARKET]
    ledger.fundings.set(MARKET, funding._replace(premium_sum=77))

    process_set_parameter(ledger, MARKET, "funding_interval_ms", DurationMs(7_000))
    process_settings(ledger)

    assert ledger.fundings.rows[MARKET].premium_sum == 0
