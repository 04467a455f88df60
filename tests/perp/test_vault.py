"""What the LiquidatorVault takes over, and how it gets rid of it (L3, L5)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.account import FEES, VAULT
from node.perp.events import OrderFilled, PositionLiquidated, PositionTakenOver
from node.perp.liquidation import process_liquidations
from node.perp.margin import compute_risk, get_equity
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.vault import compute_work_off, compute_work_off_limit, process_vault_orders
from node.units import Lots, MarketId, Quote, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    balance_of,
    deposit,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    set_funding_index,
    set_mode,
    set_price,
    size_of,
    trader,
)

OWNER, COUNTER, MAKER = trader(1), trader(2), trader(3)


def open_position(ledger: DictLedger, size: int, market: MarketId = MARKET) -> None:
    """Let OWNER trade with COUNTER at 1,000, whatever its margin."""
    deposit(ledger, OWNER, 10**15)
    process_order(ledger, COUNTER, order(-size, 1_000, market=market))
    process_order(ledger, OWNER, order(size, 1_000, market=market))
    deposit(ledger, OWNER, -(10**15))


def bad_ledger(
    mark: int, *, size: int = 100, in_vault: int = 10**6, vault_size_max: int = 100, **params: int
) -> DictLedger:
    """Return a ledger in which OWNER has 100 lots at 1,000 and 10,000 of margin; then the mark."""
    ledger = make_ledger(price=1_000, vault_size_max=vault_size_max, **params)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 10**9)
    make_trader(ledger, 3, 10**9)
    deposit(ledger, VAULT, in_vault)
    open_position(ledger, size)
    next_block(ledger)
    set_price(ledger, mark)
    return ledger


def taken_over(ledger: DictLedger) -> list[PositionTakenOver]:
    return [event for event in ledger.events if isinstance(event, PositionTakenOver)]


# --- taking over ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "is_taken"), [(932, False), (931, True)])
def test_vault_takes_what_stands_below_two_thirds_of_its_margin_l3(
    mark: int, is_taken: bool
) -> None:
    # At 932: equity 3,200, MM 4,660: 9,600 against 9,320. At 931: 9,300 against 9,310.
    ledger = bad_ledger(mark)

    process_liquidations(ledger)

    assert size_of(ledger, VAULT) == (100 if is_taken else 0)
    assert size_of(ledger, OWNER) == (0 if is_taken else 100)
    check_all(ledger)


@pytest.mark.parametrize(("size", "mark", "quote"), [(100, 930, 90_000), (-100, 1_070, -110_000)])
def test_takeover_is_for_the_bankruptcy_quote_l3(size: int, mark: int, quote: int) -> None:
    # Equity 3,000: a long is worth 93,000 and gets 90,000; a short owes 107,000 and pays 110,000.
    ledger = bad_ledger(mark, size=size)

    process_liquidations(ledger)

    assert taken_over(ledger) == [PositionTakenOver(MARKET, OWNER, Lots(-size), Quote(quote))]
    assert balance_of(ledger, OWNER) == 0
    assert balance_of(ledger, VAULT) == 10**6 - quote
    assert ledger.positions.rows[VAULT, MARKET].entry_value == quote
    assert get_equity(ledger, VAULT) == 10**6 + 3_000
    assert balance_of(ledger, FEES) == 0


@pytest.mark.parametrize(("in_vault", "is_taken"), [(15_600, True), (15_599, False)])
def test_vault_keeps_four_of_its_margins_l3(in_vault: int, is_taken: bool) -> None:
    # At 930 the MM is 4,650; the vault's equity afterwards is 3,000 more than before.
    ledger = bad_ledger(930, in_vault=in_vault)
    before = ledger.dump()["accounts"]

    process_liquidations(ledger)

    assert bool(taken_over(ledger)) == is_taken
    assert (ledger.dump()["accounts"] == before) != is_taken


@pytest.mark.parametrize(("cap", "is_taken"), [(100, True), (99, False)])
def test_vault_holds_no_more_than_its_cap_l3(cap: int, is_taken: bool) -> None:
    ledger = bad_ledger(930, vault_size_max=cap)

    process_liquidations(ledger)

    assert bool(taken_over(ledger)) == is_taken


@pytest.mark.parametrize(("mark", "payment", "quote"), [(930, 558, None), (905, 100, 54_300 - 400)])
def test_book_comes_first_l3_l2(mark: int, payment: int, quote: int | None) -> None:
    # The book takes 40 lots at the mark. At 930 the account is due 36,000 of 37,200 and pays
    # min(1.5 %, half of the surplus) = 558: equity 2,442 against MM 2,790 may wait for the next
    # block. At 905 it is due 36,000 of 36,200: equity 400 against MM 2,715 may not.
    ledger = bad_ledger(mark)
    process_order(ledger, MAKER, order(40, mark))

    process_liquidations(ledger)

    liquidated = [each for each in ledger.events if isinstance(each, PositionLiquidated)]
    assert [(each.size, each.vault_payment) for each in liquidated] == [(-40, payment)]
    assert [each.bankruptcy_quote for each in taken_over(ledger)] == [quote] * (quote is not None)
    assert (size_of(ledger, MAKER), size_of(ledger, VAULT)) == (40, 60 if quote else 0)
    check_all(ledger)


def test_funding_is_settled_before_the_takeover_l3_f4() -> None:
    # Longs owe 5 atoms a lot: equity 2,500.
    ledger = bad_ledger(930)
    set_funding_index(ledger, 5 * 10**9)
    funding = ledger.fundings.rows[MARKET]
    assert funding.size_index_sum == 0

    process_liquidations(ledger)

    assert taken_over(ledger)[0].bankruptcy_quote == 93_000 - 2_500
    assert ledger.positions.rows[VAULT, MARKET].funding_index == 5 * 10**9
    check_all(ledger)


def test_position_elsewhere_keeps_its_share_of_equity_l3() -> None:
    # 100 lots in each of two markets, the marks 930 and 1,000: equity 3,000, MM 4,650 and 5,000.
    ledger = bad_ledger(1_000)
    second = make_market(ledger, price=1_000, vault_size_max=100)
    open_position(ledger, 100, second)
    set_price(ledger, 930)

    process_liquidations(ledger)

    # floor(3,000·4,650/9,650) = 1,445; then all that is left, 1,555, with the second.
    quotes = [(event.market, event.bankruptcy_quote) for event in taken_over(ledger)]
    assert quotes == [(MARKET, 93_000 - 1_445), (second, 100_000 - 1_555)]


# --- working off ----------------------------------------------------------------------------------


def vault_ledger(size: int = 100, mark: int = 930) -> DictLedger:
    """Return a ledger in the block after the vault took over 100 lots, long or short."""
    ledger = bad_ledger(mark, size=size)
    process_liquidations(ledger)
    next_block(ledger)
    return ledger


@pytest.mark.parametrize(
    ("size", "part"), [(100, -10), (109, -10), (19, -1), (1, -1), (-100, 10), (-3, 1)]
)
def test_work_off_is_a_tenth_at_least_a_lot_l3(size: int, part: int) -> None:
    assert compute_work_off(Lots(size)) == part


@pytest.mark.parametrize(("part", "limit"), [(-1, 926), (1, 934)])
def test_work_off_stays_within_fifty_bps_rounded_inward_l3(part: int, limit: int) -> None:
    # 930·0.995 = 925.35, 930·1.005 = 934.65.
    assert compute_work_off_limit(Ticks(930), Lots(part)) == limit


@pytest.mark.parametrize(
    ("price", "filled"), [(926, 10), (925, 0)], ids=["within the band", "beyond"]
)
def test_vault_sells_a_tenth_a_block_within_the_band_l3(price: int, filled: int) -> None:
    ledger = vault_ledger()
    process_order(ledger, MAKER, order(50, price))

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == 100 - filled
    next_block(ledger)
    process_vault_orders(ledger)
    # A tenth of 90 is 9.
    assert size_of(ledger, VAULT) == 100 - filled - 9 * (filled > 0)
    check_all(ledger)


def test_vault_buys_back_a_short_l3() -> None:
    ledger = vault_ledger(-100, 1_070)
    process_order(ledger, MAKER, order(-50, 1_075))

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == -90


def test_vault_pays_what_a_taker_pays_o3() -> None:
    ledger = bad_ledger(930, taker_fee_ppm=1_000)
    deposit(ledger, OWNER, 100)
    balance = balance_of(ledger, FEES)
    process_liquidations(ledger)
    assert balance_of(ledger, FEES) == balance
    process_order(ledger, MAKER, order(50, 930))

    process_vault_orders(ledger)

    fills = [event for event in ledger.events if isinstance(event, OrderFilled)]
    # ceil(9,300 · 0.1 %).
    assert [(fill.taker, fill.taker_fee, fill.liquidation) for fill in fills] == [
        (VAULT, 10, False)
    ]


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED, Mode.OPEN])
def test_vault_waits_outside_open_and_in_grace_l3_x4(mode: Mode) -> None:
    ledger = vault_ledger()
    process_order(ledger, MAKER, order(50, 930))
    set_mode(ledger, mode)

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == 100


@pytest.mark.parametrize(("equity", "filled"), [(40, 10), (39, 0), (-1, 0)])
def test_no_fill_leaves_the_vault_below_zero_l5(equity: int, filled: int) -> None:
    # Ten lots at 4 ticks below the mark cost 40.
    ledger = vault_ledger()
    process_order(ledger, MAKER, order(50, 926))
    deposit(ledger, VAULT, equity - get_equity(ledger, VAULT))

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == 100 - filled


@pytest.mark.parametrize("price", [930, 931])
def test_fill_that_costs_the_vault_nothing_is_taken_below_zero_too_l5(price: int) -> None:
    ledger = vault_ledger()
    process_order(ledger, MAKER, order(50, price))
    deposit(ledger, VAULT, -1 - get_equity(ledger, VAULT))

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == 90


def test_maker_that_can_not_carry_it_is_cancelled_g4() -> None:
    ledger = vault_ledger()
    process_order(ledger, MAKER, order(50, 930))
    deposit(ledger, MAKER, -(10**9) + 1)

    process_vault_orders(ledger)

    assert size_of(ledger, VAULT) == 100
    assert len(ledger.book(MARKET).orders) == 0


# --- properties -----------------------------------------------------------------------------------


@given(
    st.integers(-200, 200).filter(bool),
    st.integers(700, 1_300),
    st.integers(0, 30_000),
    st.integers(0, 200),
    st.integers(-(10**10), 10**10),
)
def test_takeover_is_zero_sum_and_within_the_vaults_limits_l3(
    size: int, mark: int, in_vault: int, cap: int, index: int
) -> None:
    ledger = bad_ledger(mark, size=size, in_vault=in_vault, vault_size_max=cap)
    set_funding_index(ledger, index)
    before = {each: get_equity(ledger, each) for each in (OWNER, VAULT)}

    process_liquidations(ledger)

    check_all(ledger)
    risk = compute_risk(ledger, VAULT)
    if taken_over(ledger):
        assert abs(size_of(ledger, VAULT)) <= cap
        assert risk.equity >= 4 * risk.maintenance
        # Nothing is lost between the two but what funding rounds.
        gained = get_equity(ledger, OWNER) + risk.equity
        assert 0 <= before[OWNER] + before[VAULT] - gained <= 1
    else:
        assert size_of(ledger, VAULT) == 0
