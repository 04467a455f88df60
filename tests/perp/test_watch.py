"""Nobody who must be looked at is left out, and few others are looked at (L1, G5)."""

import copy
from collections.abc import Iterable
from contextlib import suppress
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import Refusal
from node.perp.account import SYSTEM_ADDRESS_MAX, VAULT, Account
from node.perp.health import (
    compute_bracket_room,
    compute_weight,
    get_sights,
    process_judgement,
    process_watch,
)
from node.perp.leverage import process_own_margin
from node.perp.liquidation import process_liquidations
from node.perp.margin import compute_market_risk, compute_risk
from node.perp.order import TimeInForce
from node.perp.parameters import MarginBracket
from node.perp.status import Mode
from node.perp.trading import process_cancel_all, process_order
from node.perp.watch import ROOM_MAX, Watch, compute_move
from node.units import Address, MarketId, Quote, RatePpm
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    deposit,
    make_chain_params,
    make_ledger,
    make_market,
    make_market_params,
    make_trader,
    next_block,
    order,
    set_funding_index,
    set_mode,
    set_price,
    trader,
)

LONG, SHORT = trader(1), trader(2)


class TrackingLedger(DictLedger):
    """A ledger that tells which accounts a block wrote, as the chain's does."""

    written: set[Address]

    def begin(self) -> None:
        """Begin a block: nothing is written yet, and the books are forks of their parents'."""
        next_block(self)
        self.written = set()
        for market, book in self.books.items():
            self.books[market] = book.fork(self.journal)
        before = {key: self.accounts.rows.get(key) for key in self.accounts.rows}
        self._before = (before, dict(self.positions.rows))

    def changed_owners(self) -> Iterable[Address]:
        accounts, positions = self._before
        found = {
            key
            for key in self.accounts.rows.keys() | accounts.keys()
            if self.accounts.rows.get(key) != accounts.get(key)
        }
        found |= {
            key[0]
            for key in self.positions.rows.keys() | positions.keys()
            if self.positions.rows.get(key) != positions.get(key)
        }
        for book in self.books.values():
            found |= set(book.changed_owners)
        return found

    def end(self) -> None:
        """End a block as the chain does: what it wrote is judged in the next."""
        self.watch.pending |= {
            owner for owner in self.changed_owners() if owner > SYSTEM_ADDRESS_MAX
        }
        self.watch = self.watch.fork()


def look_at_everybody(ledger: TrackingLedger) -> TrackingLedger:
    """Return a copy that has forgotten whom it need not look at."""
    ledger.journal.clear()
    other = copy.deepcopy(ledger)
    other.watch = Watch(
        owner
        for owner, account in other.accounts.rows.items()
        if account.markets and owner > SYSTEM_ADDRESS_MAX
    )
    return other


def make_tracking(**params: object) -> TrackingLedger:
    plain = make_ledger(price=1_000, **params)
    ledger = TrackingLedger(make_chain_params())
    ledger.__dict__.update({key: value for key, value in plain.__dict__.items() if key != "watch"})
    return ledger


# --- exact ----------------------------------------------------------------------------------------

BRACKETS = (
    MarginBracket(Quote(0), RatePpm(50_000)),
    MarginBracket(Quote(40_000), RatePpm(100_000)),
    MarginBracket(Quote(90_000), RatePpm(300_000)),
)


def trade_at_random(ledger: TrackingLedger, dice: Random, markets: list[MarketId]) -> None:
    owner, market = trader(dice.randint(1, 8)), dice.choice(markets)
    mark = ledger.marks.rows[market].price
    price = max(1, mark * dice.randint(960, 1_040) // 1_000)
    kind = dice.choice([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC])
    request = order(
        dice.choice([-1, 1]) * dice.randint(1, 40), price, market=market, time_in_force=kind
    )
    checkpoint = ledger.checkpoint()
    try:
        if dice.random() < 0.1:
            process_cancel_all(ledger, owner, market)
        elif dice.random() < 0.1:
            process_own_margin(ledger, owner, market, RatePpm(dice.choice([0, 80_000, 600_000])))
        elif dice.random() < 0.1:
            deposit(ledger, owner, dice.randint(-300, 300))
        else:
            process_order(ledger, owner, request)
    except Refusal:
        ledger.revert(checkpoint)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_same_is_done_as_if_everybody_was_looked_at_l1_g5(seed: int) -> None:
    dice = Random(seed)
    ledger = make_tracking(taker_fee_ppm=500, brackets=BRACKETS)
    second = make_market(ledger, price=500, k=3, brackets=BRACKETS, vault_size_max=100)
    markets = [MARKET, second]
    for number in range(1, 9):
        make_trader(ledger, number, dice.choice([2_000, 8_000, 60_000]))
    deposit(ledger, VAULT, dice.choice([0, 100_000]))
    indices = {MARKET: 0, second: 0}
    for _ in range(30):
        ledger.begin()
        for market in markets:
            if dice.random() < 0.7:
                mark = ledger.marks.rows[market].price
                moved = mark * dice.choice([970, 995, 999, 1_001, 1_005, 1_030]) // 1_000
                set_price(ledger, max(100, moved), market=market)
            indices[market] += dice.choice([0, 0, 10**8, -(10**8), 3 * 10**10])
            set_funding_index(ledger, indices[market], market=market)
            if dice.random() < 0.05:
                set_mode(ledger, dice.choice([Mode.OPEN, Mode.CANCEL_ONLY]), market=market)
            if dice.random() < 0.03:
                params = ledger.all_market_params[market]
                ppm = RatePpm(dice.choice([400_000, 600_000]))
                changed = params._replace(maintenance_ppm=ppm)
                ledger.all_market_params[market] = changed
        for _ in range(2):
            trade_at_random(ledger, dice, markets)
        everybody = look_at_everybody(ledger)

        process_liquidations(ledger)
        process_liquidations(everybody)

        assert ledger.dump() == everybody.dump()
        for _ in range(3):
            trade_at_random(ledger, dice, markets)
        ledger.end()


@given(
    size=st.integers(-200, 200).filter(bool),
    quotes=st.lists(st.tuples(st.integers(-30, 30).filter(bool), st.integers(900, 1_100))),
    margin=st.integers(0, 50_000),
    own=st.sampled_from([0, 80_000, 600_000]),
    mark=st.integers(1, 2_500),
    index=st.integers(-(10**12), 10**12),
)
def test_within_its_room_an_account_stays_above_its_margin_l1_g5(
    size: int, quotes: list[tuple[int, int]], margin: int, own: int, mark: int, index: int
) -> None:
    ledger = make_ledger(price=1_000, taker_fee_ppm=500, brackets=BRACKETS)
    make_trader(ledger, 1, 10**9)
    make_trader(ledger, 2, 10**9)
    process_order(ledger, SHORT, order(-size, 1_000))
    process_order(ledger, LONG, order(size, 1_000))
    process_own_margin(ledger, LONG, MARKET, RatePpm(own))
    for lots, price in quotes:
        with suppress(Refusal):
            process_order(ledger, LONG, order(lots, price))
    deposit(ledger, LONG, margin - 10**9)
    process_watch(ledger, get_sights(ledger))
    if LONG in ledger.watch.unsafe:
        assert not is_fine(ledger)
        return
    set_price(ledger, mark)
    set_funding_index(ledger, index)

    found = ledger.watch.take_candidates(get_sights(ledger), ())

    assert LONG in found or is_fine(ledger)


def compute_slack(ledger: DictLedger) -> Quote:
    risk = compute_risk(ledger, LONG)
    asked = risk.initial if ledger.book(MARKET).exposure_of(LONG).value else risk.maintenance
    return Quote(risk.equity - asked)


def is_fine(ledger: DictLedger) -> bool:
    return compute_slack(ledger) >= 0


# --- few ------------------------------------------------------------------------------------------


def many_ledger() -> DictLedger:
    """Return a ledger of accounts with 10 lots at 1,000 and margins of 1,500, 1,600 …, judged."""
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 2, 10**9)
    for number in range(10, 20):
        make_trader(ledger, number, 500 + 100 * number)
        process_order(ledger, SHORT, order(-10, 1_000))
        process_order(ledger, trader(number), order(10, 1_000))
    process_watch(ledger, get_sights(ledger))
    return ledger


def test_quiet_block_looks_at_nobody_l1() -> None:
    ledger = many_ledger()

    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()


def test_small_move_looks_at_those_with_little_to_lose_l1() -> None:
    # The first has equity 1,500 and MM 500. A move by the whole price costs it 10,000 of equity and
    # 1,000 of margin: its slack of 1,000 less 4 atoms of ceilings carries 9.05 %, the next's 9.96.
    ledger = many_ledger()

    set_price(ledger, 910)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()
    set_price(ledger, 909)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10)}
    set_price(ledger, 900)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10), trader(11)}


def test_funding_counts_like_a_move_of_the_mark_l1_f4() -> None:
    # 996 · 1e9 / 11,000 ppb of a lot that is worth 1,000 atoms.
    ledger = many_ledger()

    set_funding_index(ledger, 90_545_454_000)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()
    set_funding_index(ledger, 90_545_454_001)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10)}


def test_move_of_a_market_asks_for_nobody_elsewhere_l1() -> None:
    ledger = many_ledger()
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 3, 1_100)
    process_order(ledger, SHORT, order(-10, 1_000, market=second))
    process_order(ledger, trader(3), order(10, 1_000, market=second))
    process_watch(ledger, get_sights(ledger))

    set_price(ledger, 900)

    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10), trader(11)}


def test_move_since_the_judgement_counts_not_since_the_last_block_l1() -> None:
    ledger = many_ledger()
    for price in (970, 940, 915):
        set_price(ledger, price)
        assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()

    set_price(ledger, 905)

    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10)}


def test_smallest_of_too_many_rounds_is_judged_again() -> None:
    ledger = many_ledger()
    for number in range(10, 17):
        assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()
        process_judgement(ledger, trader(number), get_sights(ledger))

    # Eight rounds: one of the four accounts that are left, and seven of one each.
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10)}


def test_changed_parameters_ask_for_everybody_there_g1() -> None:
    ledger = many_ledger()
    ledger.all_market_params[MARKET] = make_market_params(maintenance_ppm=600_000)

    found = ledger.watch.take_candidates(get_sights(ledger), ())

    assert found == {SHORT, *(trader(number) for number in range(10, 20))}


def test_equal_parameters_are_no_change() -> None:
    ledger = many_ledger()
    ledger.all_market_params[MARKET] = make_market_params()

    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()


def test_unsafe_are_asked_for_until_they_are_safe_l1() -> None:
    ledger = many_ledger()
    set_price(ledger, 895)
    process_watch(ledger, get_sights(ledger))
    assert ledger.watch.unsafe == set()
    set_price(ledger, 894)
    process_watch(ledger, get_sights(ledger))
    # 1,500 - 1,060 = 440 < 447; the next has 540.
    assert ledger.watch.unsafe == {trader(10)}
    assert trader(10) in ledger.watch.take_candidates(get_sights(ledger), ())

    deposit(ledger, trader(10), 1_000)
    process_watch(ledger, get_sights(ledger))

    assert ledger.watch.unsafe == set()


def test_forks_do_not_see_each_other() -> None:
    ledger = many_ledger()
    parent = ledger.watch
    first, second = parent.fork(), parent.fork()
    first.set_unsafe(trader(10))
    second.take_candidates(get_sights(ledger), ())
    second.set_room(trader(11), ROOM_MAX, ())
    set_price(ledger, 1)
    sights = get_sights(ledger)

    everybody = {trader(number) for number in range(10, 20)}
    assert parent.take_candidates(sights, ()) == everybody
    assert first.take_candidates(sights, ()) == everybody
    assert second.take_candidates(sights, ()) == everybody - {trader(11)}
    assert (parent.unsafe, first.unsafe, second.unsafe) == (set(), {trader(10)}, set())


def test_pending_are_asked_for_once() -> None:
    ledger = make_ledger()
    watch = Watch([LONG])

    assert watch.take_candidates(get_sights(ledger), [SHORT]) == {LONG, SHORT}
    assert watch.take_candidates(get_sights(ledger), ()) == set()


def test_account_without_a_market_is_left_alone() -> None:
    ledger = make_ledger()
    ledger.watch.pending.add(LONG)
    ledger.accounts.set(LONG, Account(Quote(5), ()))

    process_watch(ledger, get_sights(ledger))

    assert ledger.watch.unsafe == set()
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()


@pytest.mark.parametrize("slack", [0, 3])
def test_account_at_its_margin_is_asked_for_at_any_move_l1(slack: int) -> None:
    # 3 atoms above MM are less than what ceilings may take. It is not unsafe, though.
    ledger = many_ledger()
    deposit(ledger, trader(10), 500 + slack - 1_500)
    ledger.watch.pending = {trader(10)}
    process_watch(ledger, get_sights(ledger))

    assert ledger.watch.unsafe == set()
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {trader(10)}


def test_ceilings_are_kept_for_each_market_l1() -> None:
    # 10 and 5 lots: slack 1,500 - 750, less 4 for each of two markets, over 16,500: 4.496 %.
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 1, 1_500)
    make_trader(ledger, 2, 10**9)
    for market, size in ((MARKET, 10), (second, 5)):
        process_order(ledger, SHORT, order(-size, 1_000, market=market))
        process_order(ledger, LONG, order(size, 1_000, market=market))
    process_watch(ledger, get_sights(ledger))
    room = (1_500 - 750 - 8) * 10**9 // 16_500

    set_funding_index(ledger, room * 1_000)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()
    set_funding_index(ledger, room * 1_000 + 1)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {LONG}


def test_quotes_in_one_market_ask_for_im_in_all_g5() -> None:
    # 20 lots bid at 1,000 and 10 held at 1,000 elsewhere: IM 3,000, MM of the position 500.
    ledger = make_ledger(price=1_000)
    second = make_market(ledger, price=1_000)
    make_trader(ledger, 1, 3_000)
    make_trader(ledger, 2, 10**9)
    process_order(ledger, SHORT, order(-10, 1_000, market=second))
    process_order(ledger, LONG, order(10, 1_000, market=second))
    process_order(ledger, LONG, order(20, 1_000))
    process_watch(ledger, get_sights(ledger))
    assert LONG not in ledger.watch.unsafe

    set_price(ledger, 999, market=second)
    process_watch(ledger, get_sights(ledger))

    assert ledger.watch.unsafe == {LONG}


def test_own_margin_leaves_quotes_less_room_m4() -> None:
    # 10 lots bid at 1,000 ask for 60 % instead of 10: 10,000 may be lost and 6,000 more asked for.
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 7_604)
    process_own_margin(ledger, LONG, MARKET, RatePpm(600_000))
    process_order(ledger, LONG, order(10, 1_000))
    process_watch(ledger, get_sights(ledger))

    set_price(ledger, 900)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == set()
    set_price(ledger, 899)
    assert ledger.watch.take_candidates(get_sights(ledger), ()) == {LONG}


# --- what a move costs ----------------------------------------------------------------------------


def test_weight_is_what_a_move_by_the_whole_price_costs_g1_g2() -> None:
    # Long 10 with 20 bid and 15 offered: 10 lots of equity, 20 lots that would be bought too dear,
    # and of 30 lots open 10 % and 500 ppm: 3,015; with an own fraction of 20 %: 6,015.
    ledger = make_ledger(price=1_000, taker_fee_ppm=500)
    for number in (1, 2):
        make_trader(ledger, number, 10**6)
    process_order(ledger, SHORT, order(-10, 1_000))
    process_order(ledger, LONG, order(10, 1_000))
    process_order(ledger, LONG, order(20, 990))
    process_order(ledger, LONG, order(-15, 1_010))

    assert compute_weight(compute_market_risk(ledger, LONG, MARKET)) == 30_000 + 3_015
    process_own_margin(ledger, LONG, MARKET, RatePpm(200_000))
    assert compute_weight(compute_market_risk(ledger, LONG, MARKET)) == 30_000 + 6_015


def test_room_ends_before_the_next_bracket_g1() -> None:
    # From 40,000 on double is asked for, from 90,000 on even more.
    params = make_market_params(brackets=BRACKETS)

    assert compute_bracket_room(Quote(0), params) == ROOM_MAX
    assert compute_bracket_room(Quote(1), params) == 39_998 * 10**9
    assert compute_bracket_room(Quote(39_999), params) == 0
    assert compute_bracket_room(Quote(20_000), params) == 19_999 * 10**9 // 20_000
    assert compute_bracket_room(Quote(40_000), params) == 49_999 * 10**9 // 40_000
    assert compute_bracket_room(Quote(90_000), params) == ROOM_MAX


def test_move_is_the_larger_of_marks_and_worths_ceiled() -> None:
    ledger = make_ledger(price=3)
    was = get_sights(ledger)[MARKET]
    assert compute_move(was, was) == 0

    set_price(ledger, 4)
    assert compute_move(was, get_sights(ledger)[MARKET]) == 333_333_334
    set_funding_index(ledger, 2 * 10**9)  # a lot is worth 2 atoms then, its mark 4
    assert compute_move(was, get_sights(ledger)[MARKET]) == 333_333_334
    set_funding_index(ledger, -(10**9))
    assert compute_move(was, get_sights(ledger)[MARKET]) == 666_666_667


def test_move_from_no_mark_passes_every_room() -> None:
    ledger = make_ledger(price=0)
    was = get_sights(ledger)[MARKET]
    set_price(ledger, 1)

    assert compute_move(was, get_sights(ledger)[MARKET]) > ROOM_MAX
