"""Who pays for a bankrupt position when nobody else will, and in which order (L4)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import InvariantViolation
from node.perp.account import VAULT, Position
from node.perp.deleveraging import Ranking
from node.perp.events import PositionDeleveraged
from node.perp.invariants import check_liquidatable
from node.perp.liquidation import process_liquidations
from node.perp.margin import get_equity
from node.perp.status import Mode
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.units import Address, FundingIndex, Lots, Quote
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

LONG, IDLE = trader(1), trader(99)


def trade(
    ledger: DictLedger, buyer: Address, seller: Address, size: int, price: int = 1_000
) -> None:
    """Let two accounts trade, whatever their margins."""
    for owner, lots in ((seller, -size), (buyer, size)):
        deposit(ledger, owner, 10**12)
        process_order(ledger, owner, order(lots, price))
    for owner in (seller, buyer):
        deposit(ledger, owner, -(10**12))


def bankrupt_ledger(
    *shorts: tuple[int, int, int], mark: int = 880, margin: int = 10_000
) -> DictLedger:
    """Return a ledger in which LONG has 100 lots at 1,000 and 10,000 of margin; then the mark.

    Each short is (number, size, margin); what is missing to 100 lots is trader 50's, with 1 atom.
    At 880 LONG's equity is -2,000: 20 atoms a lot that somebody has to pay.
    """
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, margin)
    rest = 100
    for number, size, own in shorts:
        make_trader(ledger, number, own)
        trade(ledger, LONG, trader(number), size)
        rest -= size
    if rest:
        make_trader(ledger, 50, 1)
        trade(ledger, LONG, trader(50), rest)
    next_block(ledger)
    make_trader(ledger, 99, 10**6)
    set_price(ledger, mark)
    return ledger


def pairs(ledger: DictLedger) -> list[tuple[Address, Address, int, int]]:
    return [
        (event.account, event.counterparty, event.size, event.quote)
        for event in ledger.events
        if isinstance(event, PositionDeleveraged)
    ]


# --- whether --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("mark", "is_deleveraged"), [(900, False), (899, True)])
def test_only_equity_below_zero_is_deleveraged_l4(mark: int, is_deleveraged: bool) -> None:
    # At 900 equity is 0, at 899 it is -100.
    ledger = bankrupt_ledger((2, 100, 50_000), mark=mark)

    process_liquidations(ledger)

    assert bool(pairs(ledger)) == is_deleveraged
    assert size_of(ledger, LONG) == (0 if is_deleveraged else 100)


def test_doubt_counts_for_the_test_but_not_for_the_quote_l4_l1() -> None:
    # 10 lots in a second market at 1,000 add MM 500: at 896, equity -400 counts as 100.
    ledger = bankrupt_ledger((2, 100, 50_000), mark=1_000)
    second = make_market(ledger, price=1_000)
    for owner, size in ((LONG, 10), (trader(2), -10)):
        position = Position(Lots(size), Quote(size * 1_000), FundingIndex(0))
        ledger.positions.set((owner, second), position)
        account = ledger.accounts.rows[owner]
        balance = Quote(account.balance - size * 1_000)
        ledger.accounts.set(owner, account._replace(balance=balance, markets=(MARKET, second)))
    set_mode(ledger, Mode.CANCEL_ONLY, market=second)
    set_price(ledger, 896)

    process_liquidations(ledger)
    assert pairs(ledger) == []
    # At 894 equity is -600, MM 4,470 and 500: the share is floor(-600·4,470/4,970) = -540.
    next_block(ledger)
    set_price(ledger, 894)
    process_liquidations(ledger)

    assert pairs(ledger) == [(LONG, trader(2), -100, 89_400 + 540)]


def test_vault_is_asked_before_the_other_side_l4_l3() -> None:
    ledger = bankrupt_ledger((2, 100, 50_000))
    params = ledger.all_market_params[MARKET]._replace(vault_size_max=Lots(100))
    ledger.all_market_params[MARKET] = params
    deposit(ledger, VAULT, 10**6)

    process_liquidations(ledger)

    assert pairs(ledger) == []
    assert size_of(ledger, VAULT) == 100
    assert get_equity(ledger, VAULT) == 10**6 - 2_000


# --- for what -------------------------------------------------------------------------------------


def test_pair_closes_at_the_bankruptcy_quote_zero_sum_l4() -> None:
    ledger = bankrupt_ledger((2, 100, 50_000))
    before = get_equity(ledger, trader(2))

    process_liquidations(ledger)

    assert pairs(ledger) == [(LONG, trader(2), -100, 90_000)]
    assert balance_of(ledger, LONG) == 0
    assert get_equity(ledger, trader(2)) == before - 2_000
    assert ledger.markets.rows[MARKET].open_interest == 0
    assert balance_of(ledger, IDLE) == 10**6
    check_all(ledger)


def test_short_is_deleveraged_against_longs_l4() -> None:
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 50_000)
    trade(ledger, trader(2), LONG, 100)
    next_block(ledger)
    set_price(ledger, 1_120)

    process_liquidations(ledger)

    # It owes 112,000 and pays 110,000.
    assert pairs(ledger) == [(LONG, trader(2), 100, -110_000)]
    check_all(ledger)


def test_partial_pairs_share_the_loss_by_lots_l4() -> None:
    # 60 lots bear 60 % of the fall of MM: floor(-2,000·2,640/4,400) = -1,200; then the rest.
    ledger = bankrupt_ledger((2, 60, 2_000), (3, 40, 50_000))

    process_liquidations(ledger)

    assert pairs(ledger) == [
        (LONG, trader(2), -60, 52_800 + 1_200),
        (LONG, trader(3), -40, 35_200 + 800),
    ]
    check_all(ledger)


def test_funding_of_both_is_settled_l4_f4() -> None:
    # Longs owe 10 a lot: LONG's equity is -3,000, the short's 1,000 higher.
    ledger = bankrupt_ledger((2, 100, 50_000))
    set_funding_index(ledger, 10 * 10**9)
    before = get_equity(ledger, trader(2))

    process_liquidations(ledger)

    assert pairs(ledger) == [(LONG, trader(2), -100, 88_000 + 3_000)]
    assert get_equity(ledger, trader(2)) == before - 3_000
    check_all(ledger)


# --- whose ----------------------------------------------------------------------------------------


def test_higher_profit_and_leverage_goes_first_l4() -> None:
    # Same profit per lot: 10 lots on 5,000 are more leveraged than 10 on 6,000 or 20 on 20,000.
    ledger = bankrupt_ledger((2, 20, 20_000), (3, 10, 6_000), (4, 10, 5_000), (5, 60, 900_000))

    process_liquidations(ledger)

    assert [partner for _, partner, _, _ in pairs(ledger)] == [
        trader(number) for number in (4, 3, 2, 5)
    ]


def test_equal_rank_goes_by_account_l4() -> None:
    ledger = bankrupt_ledger((3, 20, 20_000), (2, 20, 20_000), (4, 60, 60_000))

    process_liquidations(ledger)

    assert [partner for _, partner, _, _ in pairs(ledger)] == [
        trader(number) for number in (2, 3, 4)
    ]


def test_vaults_opposite_position_goes_first_l4() -> None:
    ledger = bankrupt_ledger((2, 90, 50_000))
    # The vault holds the last ten short lots, as if it had taken them over.
    position = ledger.positions.rows[trader(50), MARKET]
    ledger.positions.delete((trader(50), MARKET))
    ledger.accounts.set(trader(50), ledger.accounts.rows[trader(50)]._replace(markets=()))
    deposit(ledger, trader(50), -10_000)
    ledger.positions.set((VAULT, MARKET), position)
    ledger.accounts.set(VAULT, ledger.accounts.rows[IDLE]._replace(markets=(MARKET,)))
    deposit(ledger, VAULT, 10_000)

    process_liquidations(ledger)

    assert [(partner, size) for _, partner, size, _ in pairs(ledger)] == [
        (VAULT, -10),
        (trader(2), -90),
    ]


@pytest.mark.parametrize(
    ("equity", "is_passed_over"), [(0, True), (-5, True), (999, True), (1_000, False)]
)
def test_partner_without_equity_or_below_zero_after_it_is_passed_over_l4(
    equity: int, is_passed_over: bool
) -> None:
    # Each of the two would bear 1,000.
    ledger = bankrupt_ledger((2, 50, 50_000), (3, 50, 50_000))
    deposit(ledger, trader(2), equity - get_equity(ledger, trader(2)))

    process_liquidations(ledger)

    partners = [partner for _, partner, _, _ in pairs(ledger)]
    assert partners == [trader(3)] if is_passed_over else [trader(2), trader(3)]
    assert size_of(ledger, LONG) == (50 if is_passed_over else 0)
    check_all(ledger)


@pytest.mark.parametrize(("equity", "is_gated"), [(999, True), (1_000, False)])
def test_missing_partner_closes_withdrawals_and_is_tried_again_l4_m3(
    equity: int, is_gated: bool
) -> None:
    ledger = bankrupt_ledger((2, 50, 50_000), (3, 50, 50_000))
    deposit(ledger, trader(2), equity - get_equity(ledger, trader(2)))
    before = ledger.status.withdrawals_from_ms

    process_liquidations(ledger)

    gate = ledger.status.withdrawals_from_ms
    assert gate == (ledger.time_ms + 5_000 if is_gated else before)
    if is_gated:
        next_block(ledger)
        deposit(ledger, trader(2), 1)
        process_liquidations(ledger)
        assert size_of(ledger, LONG) == 0


def test_everybody_on_one_side_bankrupt_l4() -> None:
    # Two longs, at 700: -20,000 and -15,000; one short pays for both and keeps the rest.
    ledger = make_ledger(price=1_000)
    for number, margin in ((1, 10_000), (2, 15_000), (3, 50_000)):
        make_trader(ledger, number, margin)
    trade(ledger, trader(1), trader(3), 100)
    trade(ledger, trader(2), trader(3), 100)
    next_block(ledger)
    set_price(ledger, 700)
    before = get_equity(ledger, trader(3))

    process_liquidations(ledger)

    assert [account for account, _, _, _ in pairs(ledger)] == [trader(1), trader(2)]
    assert get_equity(ledger, trader(3)) == before - 20_000 - 15_000
    assert ledger.positions.rows == {}
    check_all(ledger)


def test_partner_that_was_deleveraged_is_ranked_anew_l4() -> None:
    # The first bankrupt takes 30 of the first short's 60 lots; the second meets what is left.
    ledger = make_ledger(price=1_000)
    for number, margin in ((1, 3_000), (2, 7_700), (3, 9_000), (4, 30_000)):
        make_trader(ledger, number, margin)
    trade(ledger, trader(1), trader(3), 30)
    trade(ledger, trader(2), trader(3), 30)
    trade(ledger, trader(2), trader(4), 40)
    next_block(ledger)
    set_price(ledger, 880)

    process_liquidations(ledger)

    assert [(account, partner, size) for account, partner, size, _ in pairs(ledger)] == [
        (trader(1), trader(3), -30),
        (trader(2), trader(3), -30),
        (trader(2), trader(4), -40),
    ]
    check_all(ledger)


# --- the vault's own ------------------------------------------------------------------------------


def vault_long_ledger(equity: int, mark: int = 1_000) -> DictLedger:
    """Return a ledger in which the vault is long 100 lots against trader 2, at the mark."""
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 2, 50_000)
    trade(ledger, VAULT, trader(2), 100)
    next_block(ledger)
    set_price(ledger, mark)
    deposit(ledger, VAULT, equity - get_equity(ledger, VAULT))
    return ledger


@pytest.mark.parametrize(
    ("equity", "quote"),
    [(5_000, None), (4_999, 100_000), (0, 100_000), (-1, 100_001), (-300, 100_300)],
)
def test_vault_below_its_margin_is_deleveraged_at_the_mark_or_b_l4(
    equity: int, quote: int | None
) -> None:
    ledger = vault_long_ledger(equity)

    process_liquidations(ledger)

    expected = [] if quote is None else [(VAULT, trader(2), -100, quote)]
    assert pairs(ledger) == expected
    if quote is not None:
        assert balance_of(ledger, VAULT) == max(equity, 0)
    check_all(ledger)


def test_vault_waits_like_everybody_l4_x4() -> None:
    ledger = vault_long_ledger(0)
    set_mode(ledger, Mode.OPEN)

    process_liquidations(ledger)

    assert size_of(ledger, VAULT) == 100


# --- the ranking ----------------------------------------------------------------------------------


def test_ranking_keeps_those_that_were_passed_over() -> None:
    ledger = bankrupt_ledger((2, 50, 50_000), (3, 50, 60_000))
    ranking = Ranking(ledger)
    first = ranking.pop(MARKET, is_long=False)
    second = ranking.pop(MARKET, is_long=False)
    assert first is not None
    assert second is not None
    assert (first.owner, second.owner) == (trader(2), trader(3))
    assert ranking.pop(MARKET, is_long=False) is None

    ranking.put_back(MARKET, [first, second], is_long=False)
    deposit(ledger, trader(2), 10**6)
    ranking.update([trader(2), LONG, IDLE])

    again = [ranking.pop(MARKET, is_long=False) for _ in range(3)]
    assert [rank.owner if rank else None for rank in again] == [trader(3), trader(2), None]


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(1, 30_000)), min_size=1, max_size=5),
    st.integers(600, 899),
    st.integers(0, 3_000),
    st.integers(-(10**10), 10**10),
)
def test_deleveraging_is_zero_sum_and_bankrupts_nobody_l4(
    shorts: list[tuple[int, int]], mark: int, in_vault: int, index: int
) -> None:
    total = sum(size for size, _ in shorts)
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, total * 100)
    make_trader(ledger, 99, 10**6)
    deposit(ledger, VAULT, in_vault)
    for number, (size, margin) in enumerate(shorts, start=10):
        make_trader(ledger, number, margin)
        trade(ledger, LONG, trader(number), size)
    next_block(ledger)
    set_price(ledger, mark)
    set_funding_index(ledger, index)
    everybody = [LONG, VAULT, IDLE, *(trader(10 + each) for each in range(len(shorts)))]
    before = {owner: get_equity(ledger, owner) for owner in everybody}

    process_liquidations(ledger)

    after = {owner: get_equity(ledger, owner) for owner in everybody}
    partners = {partner for _, partner, _, _ in pairs(ledger)}
    assert sum(before.values()) == sum(after.values())
    for owner in everybody:
        if owner not in partners and owner != LONG:
            assert after[owner] == before[owner]
        if owner in partners:
            assert after[owner] >= 0
    left = size_of(ledger, LONG)
    assert (left == 0) or all(
        after[trader(number)] <= 0 or after[trader(number)] < before[LONG] * -1
        for number in range(10, 10 + len(shorts))
        if size_of(ledger, trader(number)) and before[LONG] < 0
    )
    check_all(ledger)


def test_nobody_healthy_may_be_deleveraged_i6() -> None:
    ledger = vault_long_ledger(5_000)

    with pytest.raises(InvariantViolation, match="equity when liquidated"):
        check_liquidatable(ledger, VAULT)
