"""The liquidation price: the first mark against a position at which L1 holds, to the tick."""

from hypothesis import given
from hypothesis import strategies as st

from node.perp.account import Position
from node.perp.health import compute_health, get_sights
from node.perp.liquidation_price import NO_PRICE
from node.perp.parameters import MarginBracket
from node.perp.view import compute_account_view
from node.units import PPB, FundingIndex, Lots, MarketId, Quote, RatePpm
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_market,
    make_trader,
    set_funding_index,
    set_price,
    trader,
)

OWNER = trader(1)
BRACKETS = (
    MarginBracket(Quote(0), RatePpm(50_000)),
    MarginBracket(Quote(100_000), RatePpm(200_000)),
    MarginBracket(Quote(150_000), RatePpm(600_000)),
)


def hold(ledger: DictLedger, size: int, *, market: MarketId = MARKET) -> None:
    """Give the owner a position that cost nothing; its account is there."""
    account = ledger.accounts.get(OWNER)
    assert account is not None
    ledger.positions.set(
        (OWNER, market),
        Position(size=Lots(size), entry_value=Quote(0), funding_index=FundingIndex(0)),
    )
    ledger.accounts.set(OWNER, account._replace(markets=(*account.markets, market)))


def price_of(ledger: DictLedger, market: MarketId = MARKET) -> int:
    positions = compute_account_view(ledger, OWNER).positions
    return next(each.liquidation_price for each in positions if each.market == market)


def is_liquidatable_at(ledger: DictLedger, price: int, market: MarketId = MARKET) -> bool:
    """Move the mark there and ask what liquidations ask."""
    set_price(ledger, price, market=market)
    return compute_health(ledger, OWNER, get_sights(ledger)).is_liquidatable


def test_a_long_is_liquidated_at_its_price_and_not_one_tick_above() -> None:
    ledger = make_ledger(price=100)
    make_trader(ledger, 1, -800)
    hold(ledger, 10)

    # Equity 10·p - 800, MM 5 % of 10·p: 40 and 42 at 84, 50 and 43 at 85.
    assert price_of(ledger) == 84
    assert is_liquidatable_at(ledger, 84)
    assert not is_liquidatable_at(ledger, 85)


def test_a_short_is_liquidated_at_its_price_and_not_one_tick_below() -> None:
    ledger = make_ledger(price=100)
    make_trader(ledger, 1, 1_200)
    hold(ledger, -10)

    # Equity 1,200 - 10·p, MM 5 % of 10·p: 60 and 57 at 114, 50 and 58 at 115.
    assert price_of(ledger) == 115
    assert is_liquidatable_at(ledger, 115)
    assert not is_liquidatable_at(ledger, 114)


def test_a_position_that_stands_too_badly_already_shows_the_mark() -> None:
    ledger = make_ledger(price=100)
    make_trader(ledger, 1, -990)
    hold(ledger, 10)

    assert price_of(ledger) == 100


def test_a_long_that_its_balance_covers_has_no_liquidation_price() -> None:
    ledger = make_ledger(price=100)
    make_trader(ledger, 1, 1_000)
    hold(ledger, 10)

    assert price_of(ledger) == NO_PRICE
    assert not is_liquidatable_at(ledger, 1)


def test_pending_funding_moves_it() -> None:
    ledger = make_ledger(price=100)
    make_trader(ledger, 1, -800)
    hold(ledger, 10)
    set_funding_index(ledger, 10 * PPB)  # each lot owes 10 atoms: 100 in all

    assert compute_account_view(ledger, OWNER).pending_funding == -100
    assert price_of(ledger) == 94  # equity 40, MM 47; at 95 50 and 48


def test_a_bracket_is_left_on_the_way_down() -> None:
    # 1,000 lots: from 150 ticks on MM is 30 % of the notional, from 100 on 10 %, below 2.5 %.
    ledger = make_ledger(price=160, brackets=BRACKETS)
    make_trader(ledger, 1, -104_500)
    hold(ledger, 1_000)

    # At 150 equity is 45,500 and MM 45,000; at 149 44,500 and 14,900. From 116 on MM is more
    # again: 11,500 and 11,600.
    assert price_of(ledger) == 116
    assert not any(is_liquidatable_at(ledger, price) for price in range(117, 161))
    assert is_liquidatable_at(ledger, 116)


@given(
    size=st.integers(-2_000, 2_000).filter(bool),
    worth=st.integers(-300, 300).filter(bool),
    mark=st.integers(1, 300),
    other=st.integers(-50, 50),
)
def test_it_is_the_first_mark_against_the_position_at_which_l1_holds(
    size: int, worth: int, mark: int, other: int
) -> None:
    ledger = make_ledger(price=mark, brackets=BRACKETS)
    second = make_market(ledger, price=100)
    make_trader(ledger, 1, worth * abs(size))
    hold(ledger, size)
    if other:
        hold(ledger, other, market=second)

    shown = price_of(ledger)

    # A short loses |size| atoms a tick: none is solvent beyond its worth and the other position's.
    marks = range(mark, 0, -1) if size > 0 else range(mark, mark + abs(worth) + 5_000)
    first = next((each for each in marks if is_liquidatable_at(ledger, each)), None)
    assert shown == (first or NO_PRICE)


def test_without_a_mark_there_is_no_liquidation_price() -> None:
    ledger = make_ledger(price=0)
    make_trader(ledger, 1, 100)
    hold(ledger, 10)

    assert price_of(ledger) == NO_PRICE
