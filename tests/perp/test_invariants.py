"""Each invariant holds over blocks of everything, and each has a test that breaks exactly it."""

import copy
from collections.abc import Callable, Mapping
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.errors import InvariantViolation, Refusal
from node.perp.account import (
    BRIDGE,
    FEES,
    VAULT,
    Leg,
    Position,
    get_account,
    market_address,
    process_deposit,
    process_entry,
    process_membership,
    process_withdrawal,
)
from node.perp.checks import check_vault
from node.perp.events import (
    Deposited,
    FundingSettled,
    OrderFilled,
    PositionDeleveraged,
    PositionLiquidated,
    PositionTakenOver,
)
from node.perp.funding import get_funding, process_funding, process_premium_sample
from node.perp.invariants import (
    Touched,
    check_all,
    check_block,
    check_liquidatable,
    check_liquidated,
    compute_allowed_modes,
)
from node.perp.liquidation import process_liquidations
from node.perp.mark import Mark, process_mark
from node.perp.modes import (
    Mode,
    get_status,
    initial_chain_status,
    initial_market_status,
    process_alarms,
    process_gap,
    process_post_only_limits,
    process_reopening,
)
from node.perp.oracle import process_prices, process_report
from node.perp.order import Order, TimeInForce, TriggerKind, TriggerRequest
from node.perp.trading import process_cancel_all, process_order
from node.perp.trigger import (
    process_fired_triggers,
    process_new_triggers,
    process_trigger_request,
)
from node.perp.vault import process_negative_balances, process_vault_orders
from node.units import (
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
    GENESIS_MS,
    MARKET,
    DictLedger,
    balance_of,
    deposit,
    make_chain_params,
    make_ledger,
    make_market,
    make_trader,
    next_block,
    order,
    reporter,
    set_mode,
    set_price,
    size_of,
    trader,
)

Action = Callable[[DictLedger], object]
LONG, SHORT, IDLE = trader(1), trader(2), trader(3)


def touched_by(before: DictLedger, after: DictLedger) -> Touched:
    """Return what differs between two states."""
    accounts = {
        key
        for key in before.accounts.rows.keys() | after.accounts.rows.keys()
        if before.accounts.get(key) != after.accounts.get(key)
    }
    positions = {
        key
        for key in before.positions.rows.keys() | after.positions.rows.keys()
        if before.positions.get(key) != after.positions.get(key)
    }
    return Touched(
        accounts=tuple(sorted(accounts)),
        positions=tuple(sorted(positions)),
        markets=tuple(after.market_ids),
        events=tuple(after.events),
    )


def snapshot(ledger: DictLedger) -> DictLedger:
    ledger.journal.clear()
    return copy.deepcopy(ledger)


def run_block(
    ledger: DictLedger,
    *,
    reports: Mapping[MarketId, tuple[int, ...]],
    actions: list[Action],
    elapsed_ms: int = 1_000,
) -> DictLedger:
    """Run a block in the protocol's order (O6) and return the state before it."""
    before = snapshot(ledger)
    next_block(ledger, elapsed_ms)
    process_gap(ledger)
    for market, prices in reports.items():
        for number, price in enumerate(prices, start=1):
            process_report(ledger, reporter(number), market, Ticks(price), ledger.time_ms, 0)
    process_prices(ledger)
    process_alarms(ledger)
    process_mark(ledger)
    process_funding(ledger)
    process_post_only_limits(ledger)
    process_liquidations(ledger)
    process_negative_balances(ledger)
    process_vault_orders(ledger)
    process_fired_triggers(ledger)
    for action in actions:
        checkpoint = ledger.checkpoint()
        try:
            action(ledger)
        except Refusal:
            ledger.revert(checkpoint)
    process_new_triggers(ledger)
    process_premium_sample(ledger)
    process_reopening(ledger)
    return before


def place(number: int, size: int, price: int, *, reduce_only: bool = False) -> Action:
    request = order(size, price, reduce_only=reduce_only)
    return lambda ledger: process_order(ledger, trader(number), request)


def busy_block() -> tuple[DictLedger, DictLedger]:
    """Return the states before and after a block in which about everything moved."""
    ledger = make_ledger(price=1_000, taker_fee_ppm=1_000)
    for number in (1, 2, 3):
        make_trader(ledger, number, 100_000)
    reports: dict[MarketId, tuple[int, ...]] = {MARKET: (1_000, 1_000, 1_000)}
    first: list[Action] = [place(2, -10, 1_000), place(1, 10, 1_000), place(2, -5, 1_020)]
    run_block(ledger, reports=reports, actions=first)
    funding = get_funding(ledger, MARKET)
    ledger.fundings.set(MARKET, funding._replace(rate_ppb=RatePpb(10**8)))
    reports = {MARKET: (1_001, 1_001, 1_001)}
    second: list[Action] = [
        place(1, 2, 1_020),
        place(1, -4, 1_100, reduce_only=True),
        lambda ledger: process_deposit(ledger, trader(3), Quote(500)),
        lambda ledger: process_withdrawal(ledger, trader(3), Quote(200)),
    ]
    return run_block(ledger, reports=reports, actions=second), ledger


def check(before: DictLedger, after: DictLedger) -> None:
    check_block(before, after, touched_by(before, after))


# --- a good block ---------------------------------------------------------------------------------


def test_busy_block_stands() -> None:
    before, after = busy_block()

    check(before, after)
    check_all(after)

    kinds = {type(event).__name__ for event in after.events}
    assert kinds >= {"OrderFilled", "FundingAccrued", "FundingSettled", "Deposited", "Withdrawn"}
    assert size_of(after, LONG) == 12


def test_block_that_absorbs_a_debt_stands_l6() -> None:
    ledger = make_ledger(price=1_000)
    deposit(ledger, VAULT, 100)
    deposit(ledger, IDLE, -300)
    before = run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[])

    assert balance_of(ledger, IDLE) == 0
    check(before, ledger)
    check_all(ledger)


def test_oracle_of_a_halted_market_must_stand_still_i7() -> None:
    ledger = make_ledger(price=1_000)
    set_mode(ledger, Mode.HALTED)
    before = run_block(ledger, reports={}, actions=[])
    check(before, ledger)
    set_price(ledger, 1_001)

    with pytest.raises(InvariantViolation, match=r"I7.*oracle"):
        check(before, ledger)


# --- broken blocks --------------------------------------------------------------------------------


def transfer(ledger: DictLedger, payer: bytes, receiver: bytes, amount: int) -> None:
    legs = [
        Leg(type(LONG)(receiver), Quote(amount)),
        Leg(type(LONG)(payer), Quote(-amount)),
    ]
    process_entry(ledger, legs)


def add_balance(ledger: DictLedger) -> None:
    account = get_account(ledger, LONG)
    ledger.accounts.set(LONG, account._replace(balance=Quote(account.balance + 1)))


def add_funding(**changes: int) -> Action:
    def change(ledger: DictLedger) -> None:
        funding = get_funding(ledger, MARKET)
        values = {name: getattr(funding, name) + by for name, by in changes.items()}
        ledger.fundings.set(MARKET, funding._replace(**values))

    return change


def reset_index(ledger: DictLedger) -> None:
    funding = get_funding(ledger, MARKET)
    ledger.fundings.set(MARKET, funding._replace(index=FundingIndex(0)))


def resize(ledger: DictLedger) -> None:
    position = ledger.positions.rows[SHORT, MARKET]
    size = Lots(position.size - 1)
    ledger.positions.set((SHORT, MARKET), position._replace(size=size))
    funding = get_funding(ledger, MARKET)
    total = funding.size_index_sum - position.funding_index
    ledger.fundings.set(MARKET, funding._replace(size_index_sum=total))


def flip_both(ledger: DictLedger) -> None:
    """Swap the two positions: Σ size stays 0."""
    long, short = ledger.positions.rows[LONG, MARKET], ledger.positions.rows[SHORT, MARKET]
    for owner, position in ((LONG, long), (SHORT, short)):
        size = Lots(position.size * 2)
        ledger.positions.set((owner, MARKET), position._replace(size=size))


def add_open_interest(ledger: DictLedger) -> None:
    record = ledger.markets.rows[MARKET]
    interest = Lots(record.open_interest + 1)
    ledger.markets.set(MARKET, record._replace(open_interest=interest))


def rest(size: int, price: int, *, reduce_only: bool = False) -> Action:
    def change(ledger: DictLedger) -> None:
        row = Order(OrderId(77), IDLE, Lots(size), Ticks(price), reduce_only, ledger.height)
        ledger.book(MARKET).put_order(row)
        process_membership(ledger, IDLE, MARKET)

    return change


def forget_market(ledger: DictLedger) -> None:
    account = get_account(ledger, LONG)
    ledger.accounts.set(LONG, account._replace(markets=()))


def lower_fees(ledger: DictLedger) -> None:
    amount = balance_of(ledger, FEES) + 1
    transfer(ledger, FEES, BRIDGE, amount)
    ledger.emit(Deposited(FEES, Quote(-amount)))


def overdraw_vault(ledger: DictLedger) -> None:
    transfer(ledger, VAULT, BRIDGE, 1)
    ledger.emit(Deposited(VAULT, Quote(-1)))


def give_vault_a_position(ledger: DictLedger) -> None:
    ledger.positions.set((VAULT, MARKET), Position(Lots(1), Quote(1_000), FundingIndex(0)))


def move_mark(price: int) -> Action:
    return lambda ledger: ledger.marks.set(MARKET, Mark(Ticks(price), Ticks(0)))


def change_status(**changes: Any) -> Action:
    def change(ledger: DictLedger) -> None:
        ledger.statuses.set(MARKET, get_status(ledger, MARKET)._replace(**changes))

    return change


def change_chain(**changes: Any) -> Action:
    return lambda ledger: ledger.set_status(ledger.status._replace(**changes))


def stall_oracle(ledger: DictLedger) -> None:
    ledger.oracles.set(MARKET, ledger.oracles.rows[MARKET]._replace(stale=True))


BROKEN: list[tuple[str, Action, str, str]] = [
    ("money from nothing", add_balance, "I1", "sum of margin balances"),
    ("silent transfer", lambda ledger: transfer(ledger, LONG, SHORT, 1), "I5", "change of balance"),
    (
        "idle account",
        lambda ledger: transfer(ledger, IDLE, trader(9), 1),
        "I8",
        "change of balance",
    ),
    ("unpaid event", lambda ledger: ledger.emit(Deposited(LONG, Quote(1))), "I5", "change"),
    ("negative fees", lower_fees, "I6", "Fees balance"),
    ("overdrawn vault", overdraw_vault, "I6", "LiquidatorVault equity"),
    ("vault position", give_vault_a_position, "I6", "LiquidatorVault size"),
    # The band of 2.5 % around 1,001: 975.975 and 1,026.025.
    ("mark below its band", move_mark(975), "I7", "market 1, mark"),
    ("mark above its band", move_mark(1_027), "I7", "market 1, mark"),
    ("one-sided size", resize, "I2", "change of Σ size"),
    ("both sides doubled", flip_both, "I2", "open interest"),
    ("open interest", add_open_interest, "I2", "open interest"),
    ("crossed book", rest(1, 1_200), "I2", "best bid"),
    (
        "reduce-only order without a position",
        rest(-1, 1_200, reduce_only=True),
        "I2",
        "reduce-only",
    ),
    ("forgotten market", forget_market, "I2", "lists market 1"),
    ("index reset to zero", reset_index, "I4", "FundingAccrued.index"),
    ("index off by one", add_funding(index=1), "I4", "FundingAccrued.index"),
    ("dust", add_funding(dust=1), "I3", "1e9·FundingPool"),
    ("running number", add_funding(size_index_sum=1), "I3", "Σ size·index"),
    ("price", lambda ledger: set_price(ledger, 1_002), "I7", "oracle"),
    ("stale", stall_oracle, "I7", "oracle"),
    ("mode closed without an alarm", change_status(mode=Mode.POST_ONLY), "I7", "market 1, mode"),
    ("mode's time", change_status(since_ms=1), "I7", "mode since"),
    ("chain's gap", change_chain(gap_end_ms=1), "I7", "gap_end_ms"),
    ("gate", change_chain(withdrawals_from_ms=1), "I7", "withdrawals_from_ms"),
    ("chain's time", change_chain(since_height=1_001), "I7", "chain, mode since"),
]


@pytest.mark.parametrize(
    ("change", "rule", "field"), [row[1:] for row in BROKEN], ids=[row[0] for row in BROKEN]
)
def test_broken_block_is_rejected_with_the_number(change: Action, rule: str, field: str) -> None:
    before, after = busy_block()
    change(after)

    with pytest.raises(InvariantViolation) as violation:
        check(before, after)

    assert (violation.value.rule, violation.value.height) == (rule, after.height)
    assert field in violation.value.field
    assert violation.value.value != violation.value.expected


def test_fallen_dust_is_rejected_i3() -> None:
    # The pool hands two atoms of dust to an account, and says so; one the block had added.
    before, after = busy_block()
    for ledger in (before, after):
        transfer(ledger, BRIDGE, market_address(MARKET), 2)
        add_funding(dust=2 * 10**9)(ledger)
    transfer(after, market_address(MARKET), LONG, 2)
    add_funding(dust=-2 * 10**9)(after)
    index = get_funding(after, MARKET).index
    after.emit(FundingSettled(MARKET, LONG, Quote(2), index))

    with pytest.raises(InvariantViolation, match=r"I3.*funding dust"):
        check(before, after)


def test_index_beyond_the_cap_is_rejected_i4() -> None:
    # Cap 300,000,000: a rate beyond it was written by nobody's rule.
    before, after = busy_block()
    rate = RatePpb(400_000_000)
    for ledger in (before, after):
        ledger.fundings.set(MARKET, get_funding(ledger, MARKET)._replace(rate_ppb=rate))
    step = 400_000_000 * 1_001 * 1_000 // 28_800_000
    index = FundingIndex(get_funding(before, MARKET).index + step)
    change = index - get_funding(after, MARKET).index
    add_funding(index=change)(after)

    with pytest.raises(InvariantViolation, match=r"I4.*funding rate"):
        check(before, after)


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY, Mode.HALTED])
def test_mode_without_a_reason_is_rejected_i7(mode: Mode) -> None:
    ledger = make_ledger(price=1_000)
    run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[])
    before = run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[])
    # The parent's rate is 0, so that no index step is missed.
    set_mode(ledger, mode)

    with pytest.raises(InvariantViolation, match=f"I7.*mode: was {mode.name}, expected OPEN"):
        check(before, ledger)


def test_alarm_without_its_mode_is_rejected_i7() -> None:
    ledger = make_ledger(price=1_000)
    run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[])
    before = run_block(ledger, reports={MARKET: (1_100, 1_100)}, actions=[])
    assert get_status(ledger, MARKET).mode == Mode.CANCEL_ONLY
    check(before, ledger)
    ledger.statuses.set(MARKET, get_status(before, MARKET))

    with pytest.raises(InvariantViolation, match=r"I7.*mode: was OPEN, expected CANCEL_ONLY"):
        check(before, ledger)


def test_gap_without_its_mode_is_rejected_i7() -> None:
    ledger = make_ledger(price=1_000)
    run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[])
    before = run_block(ledger, reports={MARKET: (1_000, 1_000)}, actions=[], elapsed_ms=40_000)
    check(before, ledger)
    ledger.set_status(before.status._replace(gap_end_ms=ledger.time_ms))

    with pytest.raises(InvariantViolation, match=r"I7.*chain, mode: was OPEN"):
        check(before, ledger)


@pytest.mark.parametrize(
    ("old", "is_alarmed", "is_confirmed", "is_seasoned", "allowed"),
    [
        (Mode.OPEN, False, True, True, (Mode.OPEN,)),
        (Mode.OPEN, True, True, True, (Mode.CANCEL_ONLY,)),
        (Mode.POST_ONLY, False, True, False, (Mode.POST_ONLY,)),
        (Mode.POST_ONLY, False, False, True, (Mode.POST_ONLY, Mode.OPEN)),
        (Mode.POST_ONLY, True, True, True, (Mode.CANCEL_ONLY,)),
        (Mode.CANCEL_ONLY, False, False, True, (Mode.CANCEL_ONLY,)),
        (Mode.CANCEL_ONLY, False, True, True, (Mode.CANCEL_ONLY, Mode.POST_ONLY)),
        (Mode.CANCEL_ONLY, True, True, True, (Mode.CANCEL_ONLY,)),
        (Mode.HALTED, True, True, True, (Mode.HALTED,)),
    ],
)
def test_table_of_legal_mode_changes_x1_x2(
    old: Mode, is_alarmed: bool, is_confirmed: bool, is_seasoned: bool, allowed: tuple[Mode, ...]
) -> None:
    status = initial_market_status(GENESIS_MS, Height(0))._replace(mode=old)

    result = compute_allowed_modes(
        status, is_alarmed=is_alarmed, is_confirmed=is_confirmed, is_seasoned=is_seasoned
    )

    assert result == allowed


def test_healthy_account_must_not_be_liquidated_i6() -> None:
    # Equity 10,000 - 5,200 = 4,800 against MM 4,740; at 947 it is 4,700 against 4,735.
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 10**6)
    for action in (place(2, -100, 1_000), place(1, 100, 1_000)):
        action(ledger)
    set_price(ledger, 947)
    check_liquidatable(ledger, LONG)
    set_price(ledger, 948)

    with pytest.raises(InvariantViolation, match=r"I6.*was 4800, expected less than 4740"):
        check_liquidatable(ledger, LONG)


def test_closed_market_is_no_reason_to_liquidate_i6() -> None:
    ledger = make_ledger(price=1_000)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 10**6)
    for action in (place(2, -100, 1_000), place(1, 100, 1_000)):
        action(ledger)
    set_price(ledger, 947)
    set_mode(ledger, Mode.CANCEL_ONLY)

    with pytest.raises(InvariantViolation, match="I6"):
        check_liquidatable(ledger, LONG)


# --- the vault ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("in_vault", "kinds"),
    [
        (10**6, [PositionTakenOver, OrderFilled]),
        (0, [PositionDeleveraged]),
        (19_000, [PositionTakenOver, PositionDeleveraged]),
    ],
    ids=["taken over and worked off", "deleveraged", "taken over and deleveraged"],
)
def test_block_stands_that_closes_a_whole_position_l3_l4(in_vault: int, kinds: list[type]) -> None:
    # At 905 LONG's equity is 500, MM 4,525; at 880 it is -2,000. The vault of 19,000 can take it
    # at 905 with 19,500 ≥ 18,100, and stands below its margin at 700: -1,000.
    marks = {10**6: [905, 905], 0: [880], 19_000: [905, 700]}[in_vault]
    ledger = make_ledger(price=1_000, price_move_ppm_max=400_000, vault_size_max=100)
    make_trader(ledger, 1, 10_000)
    make_trader(ledger, 2, 10**6)
    make_trader(ledger, 3, 10**6)
    deposit(ledger, VAULT, in_vault)
    run_block(
        ledger,
        reports={MARKET: (1_000, 1_000, 1_000)},
        actions=[place(2, -100, 1_000), place(1, 100, 1_000)],
    )
    seen: list[type] = []
    for mark in marks:
        before = run_block(
            ledger, reports={MARKET: (mark, mark, mark)}, actions=[place(3, 50, mark - 3)]
        )
        check(before, ledger)
        check_all(ledger)
        seen += [type(event) for event in ledger.events if type(event) in kinds]

    assert seen == kinds


@pytest.mark.parametrize(
    ("sizes", "is_good"), [([-1], True), ([5], True), ([-2, -3], True), ([-6], False), ([], True)]
)
def test_liquidations_of_a_block_stay_within_the_markets_limit_i6_o7(
    sizes: list[int], is_good: bool
) -> None:
    # Five lots at 1,000; in the second market not even one, and one is always good.
    ledger = make_ledger(price=1_000, liquidation_notional_max=5_000)
    small = make_market(ledger, price=1_000, liquidation_notional_max=1)
    nothing = (Quote(0), Quote(0), Quote(0))
    events = [PositionLiquidated(MARKET, LONG, Lots(size), *nothing) for size in sizes]
    events.append(PositionLiquidated(small, LONG, Lots(1), *nothing))
    if is_good:
        check_liquidated(ledger, events)
        return

    with pytest.raises(InvariantViolation, match="liquidated notional: was 6000, expected at most"):
        check_liquidated(ledger, events)


def test_vault_may_stay_below_zero_but_go_no_lower_i6() -> None:
    # Worth -50 before and after the block's mark took it there; one atom less is refused.
    ledger = make_ledger(price=1_000, vault_size_max=100)
    make_trader(ledger, 2, 10**6)
    deposit(ledger, VAULT, 10**6)
    process_order(ledger, SHORT, order(-100, 1_000))
    process_order(ledger, VAULT, order(100, 1_000))
    deposit(ledger, VAULT, -(10**6))
    before = snapshot(ledger)
    next_block(ledger)
    ledger.marks.set(MARKET, Mark(Ticks(990), Ticks(0)))
    check_vault(before, ledger, compensated=0)

    transfer(ledger, VAULT, LONG, 1)

    with pytest.raises(InvariantViolation, match="LiquidatorVault equity: was -1001"):
        check_vault(before, ledger, compensated=0)


@pytest.mark.parametrize(("size", "is_good"), [(49, True), (50, True), (51, False)])
def test_vault_above_its_cap_may_work_off_i6_l3(size: int, is_good: bool) -> None:
    ledger = make_ledger(price=1_000, vault_size_max=10)
    deposit(ledger, VAULT, 10**6)
    before = snapshot(ledger)
    before.positions.set((VAULT, MARKET), Position(Lots(50), Quote(0), FundingIndex(0)))
    ledger.positions.set((VAULT, MARKET), Position(Lots(size), Quote(0), FundingIndex(0)))

    if is_good:
        check_vault(before, ledger, compensated=0)
    else:
        with pytest.raises(InvariantViolation, match="size: was 51, expected at most 50"):
            check_vault(before, ledger, compensated=0)


# --- the full sweep -------------------------------------------------------------------------------


def flatten(ledger: DictLedger) -> None:
    position = ledger.positions.rows[LONG, MARKET]
    ledger.positions.set((LONG, MARKET), position._replace(size=Lots(0)))


def hide_debtor(ledger: DictLedger) -> None:
    ledger.debtors = list  # type: ignore[method-assign]


def hide_holder(ledger: DictLedger) -> None:
    ledger.holders = list  # type: ignore[method-assign]


def overdraw_fees(ledger: DictLedger) -> None:
    transfer(ledger, FEES, BRIDGE, balance_of(ledger, FEES) + 1)


def move_pool(ledger: DictLedger) -> None:
    transfer(ledger, market_address(MARKET), LONG, 1)


def miscount_exposure(ledger: DictLedger) -> None:
    rest(5, 900)(ledger)
    # The book keeps its sums; the order that they count is changed behind its back.
    book = ledger.book(MARKET)
    row = book.orders[OrderId(77)]
    book._orders[OrderId(77)] = row._replace(size=Lots(6))


def wrong_price(ledger: DictLedger) -> None:
    ledger.oracles.set(MARKET, ledger.oracles.rows[MARKET]._replace(price=Ticks(0)))


def zero_order(ledger: DictLedger) -> None:
    rest(5, 900)(ledger)
    book = ledger.book(MARKET)
    book._orders[OrderId(77)] = book.orders[OrderId(77)]._replace(size=Lots(0))


SWEPT: list[tuple[str, Action, str, str]] = [
    ("money from nothing", add_balance, "I1", "sum of margin balances"),
    ("negative fees", overdraw_fees, "I6", "Fees balance"),
    ("flat position kept", flatten, "I2", "flat positions"),
    ("one-sided size", resize, "I2", "Σ size"),
    ("both sides doubled", flip_both, "I2", "open interest"),
    ("running number", add_funding(size_index_sum=1), "I3", "Σ size·index"),
    ("dust", add_funding(dust=1), "I3", "1e9·FundingPool"),
    ("pool", move_pool, "I3", "1e9·FundingPool"),
    ("crossed book", rest(1, 1_200), "I2", "best bid"),
    ("reduce-only", rest(-1, 1_200, reduce_only=True), "I2", "reduce-only"),
    ("empty order", zero_order, "I2", "size and price"),
    ("reservation", miscount_exposure, "I2", "reservation"),
    ("forgotten market", forget_market, "I2", "lists market 1"),
    ("price", wrong_price, "I7", "oracle price"),
    ("stale and open", stall_oracle, "I7", "mode"),
    ("hidden holder", hide_holder, "I6", "holders"),
    ("hidden debtor", hide_debtor, "I6", "debtors"),
]


@pytest.mark.parametrize(
    ("change", "rule", "field"), [row[1:] for row in SWEPT], ids=[row[0] for row in SWEPT]
)
def test_sweep_finds_what_does_not_add_up(change: Action, rule: str, field: str) -> None:
    _, ledger = busy_block()
    change(ledger)

    with pytest.raises(InvariantViolation) as violation:
        check_all(ledger)

    assert violation.value.rule == rule
    assert field in violation.value.field


# --- whatever happens -----------------------------------------------------------------------------


def random_action(dice: Random, marks: Mapping[MarketId, int]) -> Action:
    """Return what some trader wants: mostly orders around the mark of a market."""
    owner, market = trader(dice.randint(1, 5)), dice.choice(sorted(marks))
    size = dice.choice((-1, 1)) * dice.randint(1, 60)
    price = marks[market] * dice.randint(960, 1_040) // 1_000
    match dice.randrange(12):
        case 0:
            amount = Quote(dice.randint(1, 5_000))
            return lambda ledger: process_deposit(ledger, owner, amount)
        case 1:
            amount = Quote(dice.randint(1, 5_000))
            return lambda ledger: process_withdrawal(ledger, owner, amount)
        case 2:
            return lambda ledger: process_cancel_all(ledger, owner, market)
        case 3 | 4:
            kind = dice.choice(list(TriggerKind))
            trigger = TriggerRequest(market, Lots(size), Ticks(price), kind)
            return lambda ledger: process_trigger_request(ledger, owner, trigger)
        case _:
            time_in_force = dice.choice(list(TimeInForce))
            is_reduce_only = dice.random() < 0.2
            request = order(
                size, price, market=market, time_in_force=time_in_force, reduce_only=is_reduce_only
            )
            return lambda ledger: process_order(ledger, owner, request)


def random_block(ledger: DictLedger, dice: Random, marks: dict[MarketId, int]) -> DictLedger:
    """Run a block of trade on moving prices; rarely late, without reports, or with a jump."""
    elapsed_ms = dice.choice([200, 1_000, 1_000, 1_000, 3_000])
    if dice.random() < 0.005:
        elapsed_ms = 31_000
    reports = {}
    for market, mark in marks.items():
        move = dice.choice([900, 1_100]) if dice.random() < 0.005 else dice.randint(960, 1_040)
        marks[market] = max(200, mark * move // 1_000)
        count = 1 if dice.random() < 0.005 else 3
        reports[market] = tuple(marks[market] + i for i in range(count))
    actions = [random_action(dice, marks) for _ in range(dice.randrange(14))]
    return run_block(ledger, reports=reports, actions=actions, elapsed_ms=elapsed_ms)


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_invariants_hold_over_blocks_of_everything(seed: int) -> None:
    dice = Random(seed)
    caps = {"vault_size_max": dice.choice([0, 3, 1_000])}
    ledger = make_ledger(price=1_000, taker_fee_ppm=500, maker_fee_ppm=-200, **caps)
    second = make_market(ledger, price=1_000, k=3, taker_fee_ppm=500, **caps)
    ledger.params = make_chain_params(
        grace_ms=1_000, reopen_ms=1_000, confirm_ms=1_000, liquidations_max=3, triggers_max=3
    )
    for number in range(1, 6):
        make_trader(ledger, number, 8_000)
    deposit(ledger, VAULT, dice.choice([0, 1_000, 10_000, 10**6]))
    marks = {MARKET: 1_000, second: 1_000}
    for _ in range(40):
        before = random_block(ledger, dice, marks)
        check(before, ledger)
        check_all(ledger)


@settings(max_examples=20)
@given(st.integers(1, 40), st.integers(1, 40))
def test_genesis_to_open_stands_block_by_block(good: int, later: int) -> None:
    ledger = make_ledger(price=0)
    ledger.height = Height(0)
    ledger.time_ms = ledger.parent_time_ms = TimeMs(GENESIS_MS)
    ledger.set_status(initial_chain_status(ledger.time_ms))
    ledger.statuses.set(MARKET, initial_market_status(ledger.time_ms, Height(0)))
    stall_oracle(ledger)
    for count in range(good + later):
        price = 1_000 if count < good else 1_060
        elapsed_ms = 10**7 if count == 0 else 1_000
        reports = {MARKET: (price, price)}
        before = run_block(ledger, reports=reports, actions=[], elapsed_ms=elapsed_ms)
        check(before, ledger)
        check_all(ledger)
