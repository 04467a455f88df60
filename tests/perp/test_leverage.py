"""An account's own, lower leverage in a market (M4)."""

import pytest

from node.errors import (
    InsufficientBalance,
    InsufficientMargin,
    InvalidMarginFraction,
    MarketNotFound,
)
from node.perp.account import OwnMargin, get_account, process_withdrawal
from node.perp.events import OwnMarginSet
from node.perp.leverage import process_own_margin
from node.perp.margin import compute_oi_margin, compute_risk
from node.perp.order import TimeInForce
from node.perp.trading import process_order
from node.units import MarketId, Quote, RatePpm
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    deposit,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    trader,
)

OWNER, MAKER = trader(1), trader(2)


def traded(amount: int = 1_000) -> DictLedger:
    """Return a ledger where OWNER, with so much, is long 10 at 100: IM 10 % = 100, MM 50."""
    ledger = make_ledger()
    make_trader(ledger, 1, amount)
    make_trader(ledger, 2, 1_000_000)
    process_order(ledger, MAKER, order(-10, 100))
    process_order(ledger, OWNER, order(10, 100))
    next_block(ledger)
    return ledger


def set_fraction(ledger: DictLedger, ppm: int) -> None:
    process_own_margin(ledger, OWNER, MARKET, RatePpm(ppm))


def test_the_larger_fraction_holds_m4() -> None:
    for ppm, initial in ((50_000, 100), (100_000, 100), (250_000, 250), (1_000_000, 1_000)):
        ledger = traded()
        set_fraction(ledger, ppm)
        risk = compute_risk(ledger, OWNER)
        assert (risk.initial, risk.maintenance) == (initial, 50)  # MM does not look at it
        assert ledger.events == [OwnMarginSet(MARKET, OWNER, RatePpm(ppm))]


def test_orders_reserve_with_it_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 200_000)  # 200 of 300 are used: 5 more lots at 100 fit

    with pytest.raises(InsufficientMargin) as refusal:
        process_order(ledger, OWNER, order(6, 100))
    process_order(ledger, OWNER, order(5, 100))

    assert (refusal.value.equity, refusal.value.required) == (300, 320)


def test_fills_and_withdrawals_look_at_it_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 200_000)
    process_order(ledger, MAKER, order(-6, 100))

    with pytest.raises(InsufficientMargin):
        process_order(ledger, OWNER, order(6, 100, time_in_force=TimeInForce.IOC))
    with pytest.raises(InsufficientBalance) as refusal:
        process_withdrawal(ledger, OWNER, Quote(101))

    assert refusal.value.available == 100


def test_it_is_each_markets_own_and_can_be_taken_back_m4() -> None:
    ledger = traded()
    second = make_market(ledger)
    process_own_margin(ledger, OWNER, second, RatePpm(300_000))
    set_fraction(ledger, 200_000)
    assert get_account(ledger, OWNER).own_margins == (
        OwnMargin(MARKET, RatePpm(200_000)),
        OwnMargin(second, RatePpm(300_000)),
    )
    assert compute_risk(ledger, OWNER).initial == 200

    set_fraction(ledger, 0)

    assert get_account(ledger, OWNER).own_margins == (OwnMargin(second, RatePpm(300_000)),)
    assert compute_risk(ledger, OWNER).initial == 100
    deposit(ledger, OWNER, 5)
    assert len(get_account(ledger, OWNER).own_margins) == 1  # money moves nothing else


def test_what_equity_does_not_carry_is_refused_m4() -> None:
    ledger = traded(300)
    set_fraction(ledger, 300_000)
    before = ledger.dump()

    with pytest.raises(InsufficientMargin) as refusal:
        set_fraction(ledger, 300_001)

    assert (refusal.value.equity, refusal.value.required) == (300, 301)
    assert ledger.dump() == before
    # Below its margin an account may still lower the fraction, or set what moves nothing.
    process_withdrawal_by_hand(ledger, 100)
    set_fraction(ledger, 250_000)
    process_own_margin(ledger, OWNER, make_market(ledger), RatePpm(500_000))


def process_withdrawal_by_hand(ledger: DictLedger, amount: int) -> None:
    """Take money from the owner as a loss would."""
    deposit(ledger, OWNER, -amount)


def test_setting_what_is_set_says_nothing_m4() -> None:
    ledger = traded()
    set_fraction(ledger, 0)
    set_fraction(ledger, 200_000)
    set_fraction(ledger, 200_000)

    assert len(ledger.events) == 1


@pytest.mark.parametrize("ppm", [-1, 1_000_001])
def test_a_fraction_is_one_m4(ppm: int) -> None:
    ledger = traded()

    with pytest.raises(InvalidMarginFraction):
        set_fraction(ledger, ppm)
    with pytest.raises(MarketNotFound):
        process_own_margin(ledger, OWNER, MarketId(9), RatePpm(1))


def test_open_interest_adds_only_what_is_beyond_the_own_fraction_m4_g1() -> None:
    # OI 10 · 100 = 1,000; lower 500, upper 1,500: the scaled fraction is 10 % + 90 %/2 = 55 %.
    ledger = traded(10_000)
    params = ledger.all_market_params
    params[MARKET] = params[MARKET]._replace(oi_lower_cap=Quote(500), oi_upper_cap=Quote(1_500))
    for ppm, added in ((0, 450), (200_000, 350), (550_000, 0), (700_000, 0)):
        set_fraction(ledger, ppm)
        assert compute_oi_margin(ledger, OWNER, MARKET) == added
