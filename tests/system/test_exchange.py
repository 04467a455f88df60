"""The contracts that call rules, through calldata, with numbers by hand (RULES M3, O1)."""

from typing import Any

import pytest

from node.errors import (
    ERC20InsufficientBalance,
    InsufficientBalance,
    InvalidTimeInForce,
    InvalidTriggerKind,
    NotReporter,
    OrderNotFound,
)
from node.perp.account import EXCHANGE, VAULT
from node.perp.events import (
    Deposited,
    OrderCancelled,
    OrderFilled,
    OrderPlaced,
    PriceReported,
    ReportRefused,
    TriggerPlaced,
    Withdrawn,
)
from node.perp.oracle import ReportRefusal
from node.perp.order import TimeInForce, TriggerKind
from node.perp.status import CHAIN, Mode
from node.system.invariants import check_state
from node.system.token import Transfer
from node.units import Address, Quote
from tests.helpers.ledger import (
    MARKET,
    balance_of,
    deposit,
    reporter,
    set_chain_mode,
    set_mode,
    size_of,
    trader,
)
from tests.helpers.system_ledger import DictSystemLedger, call, give_tokens, make_system_ledger

MAKER, TAKER = trader(1), trader(2)
GTC, IOC, POST_ONLY, FOK, GTT = TimeInForce


def exchange(ledger: DictSystemLedger, sender: Address, function: str, *arguments: Any) -> Any:
    return call(ledger, sender, "Exchange", function, *arguments)


def fund(ledger: DictSystemLedger, *accounts: Address) -> None:
    """Give each account 10,000 atoms of margin through the contracts."""
    for account in accounts:
        give_tokens(ledger, account, 10_000)
        exchange(ledger, account, "deposit", 10_000)
    ledger.events.clear()


# --- money ----------------------------------------------------------------------------------------


def test_a_deposit_turns_tokens_into_margin_without_approval() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, TAKER, 100)
    ledger.events.clear()

    exchange(ledger, TAKER, "deposit", 70)

    assert call(ledger, TAKER, "Token", "balanceOf", TAKER) == (30,)
    assert call(ledger, TAKER, "Token", "balanceOf", EXCHANGE) == (70,)
    assert balance_of(ledger, TAKER) == 70
    assert ledger.events == [Transfer(TAKER, EXCHANGE, Quote(70)), Deposited(TAKER, Quote(70))]
    check_state(ledger, ledger.token_balances.rows.items())


def test_nobody_deposits_tokens_that_are_not_there() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, TAKER, 100)

    with pytest.raises(ERC20InsufficientBalance) as refused:
        exchange(ledger, TAKER, "deposit", 101)

    assert (refused.value.balance, refused.value.needed) == (100, 101)


def test_a_withdrawal_turns_margin_into_tokens() -> None:
    ledger = make_system_ledger()
    fund(ledger, TAKER)

    exchange(ledger, TAKER, "withdraw", 4_000)

    assert call(ledger, TAKER, "Token", "balanceOf", TAKER) == (4_000,)
    assert balance_of(ledger, TAKER) == 6_000
    assert ledger.events == [
        Withdrawn(TAKER, Quote(4_000)),
        Transfer(EXCHANGE, TAKER, Quote(4_000)),
    ]
    check_state(ledger, ledger.token_balances.rows.items())


def test_a_withdrawal_beyond_the_free_margin_is_refused_by_the_rules() -> None:
    ledger = make_system_ledger()
    fund(ledger, TAKER)

    with pytest.raises(InsufficientBalance) as refused:
        exchange(ledger, TAKER, "withdraw", 10_001)

    assert (refused.value.available, refused.value.needed) == (10_000, 10_001)


# --- orders ---------------------------------------------------------------------------------------


def test_orders_are_placed_met_and_seen() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER, TAKER)

    assert exchange(ledger, MAKER, "placeOrder", MARKET, -5, 100, POST_ONLY, False) == (1,)
    order = (f"0x{MAKER.hex()}", -5, 100, False, ledger.height, 0, 0, True)
    assert exchange(ledger, TAKER, "getOrder", MARKET, 1) == (order,)
    assert exchange(ledger, TAKER, "placeOrder", MARKET, 3, 100, IOC, False) == (2,)

    (fill,) = (event for event in ledger.events if isinstance(event, OrderFilled))
    assert fill == (MARKET, MAKER, TAKER, 1, 2, 3, 100, 0, 0, False)
    placed = [event for event in ledger.events if isinstance(event, OrderPlaced)]
    assert placed[-1] == (MARKET, TAKER, 2, 3, 100, IOC, False, 0, 0)
    assert (size_of(ledger, MAKER), size_of(ledger, TAKER)) == (-3, 3)
    assert exchange(ledger, TAKER, "getOrder", MARKET, 1)[0][1] == -2
    assert exchange(ledger, TAKER, "getPosition", TAKER, MARKET) == ((3, 300, 0, 0),)
    # Bought 3 at 100: balance 10,000 - 300; at mark 100 equity is what it was; IM 10 % of 300.
    assert exchange(ledger, TAKER, "getAccount", TAKER) == ((9_700, 10_000, 30, 15),)


def test_a_market_order_takes_what_rests() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER, TAKER)
    exchange(ledger, MAKER, "placeOrder", MARKET, 5, 99, GTC, False)

    assert exchange(ledger, TAKER, "placeMarketOrder", MARKET, -5, False) == (2,)

    assert size_of(ledger, TAKER) == -5


def test_an_order_is_cancelled_by_its_owner_alone() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER, TAKER)
    exchange(ledger, MAKER, "placeOrder", MARKET, 5, 90, GTC, False)

    with pytest.raises(OrderNotFound):
        exchange(ledger, TAKER, "cancelOrder", MARKET, 1)
    assert exchange(ledger, MAKER, "cancelOrder", MARKET, 1) == ()

    assert isinstance(ledger.events[-1], OrderCancelled)
    with pytest.raises(OrderNotFound):
        exchange(ledger, MAKER, "getOrder", MARKET, 1)


def test_all_orders_of_an_account_are_cancelled_and_counted() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER, TAKER)
    for price in (90, 91, 92):
        exchange(ledger, MAKER, "placeOrder", MARKET, 5, price, GTC, False)
    exchange(ledger, TAKER, "placeOrder", MARKET, 5, 93, GTC, False)

    assert exchange(ledger, MAKER, "cancelAllOrders", MARKET) == (3,)

    assert exchange(ledger, MAKER, "getOrder", MARKET, 4)[0][0] == f"0x{TAKER.hex()}"


def test_a_trigger_waits_and_is_seen() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER, TAKER)
    exchange(ledger, MAKER, "placeOrder", MARKET, -5, 100, GTC, False)
    exchange(ledger, TAKER, "placeOrder", MARKET, 5, 100, GTC, False)

    (number,) = exchange(ledger, TAKER, "placeTrigger", MARKET, -5, 90, TriggerKind.STOP_LOSS)

    waits = (f"0x{TAKER.hex()}", -5, 90, TriggerKind.STOP_LOSS, 0, 0, True, 0, 0, 0, 0, 0)
    assert exchange(ledger, TAKER, "getTrigger", MARKET, number) == (waits,)
    assert isinstance(ledger.events[-1], TriggerPlaced)
    with pytest.raises(OrderNotFound):
        exchange(ledger, TAKER, "getOrder", MARKET, number)
    with pytest.raises(OrderNotFound):
        exchange(ledger, TAKER, "getTrigger", MARKET, number + 1)


def test_codes_that_nobody_published_are_refused() -> None:
    ledger = make_system_ledger()
    fund(ledger, TAKER)

    with pytest.raises(InvalidTimeInForce) as refused:
        exchange(ledger, TAKER, "placeOrder", MARKET, 5, 100, 5, False)
    assert refused.value.code == 5
    with pytest.raises(InvalidTriggerKind):
        exchange(ledger, TAKER, "placeTrigger", MARKET, 5, 100, 2)


# --- views ----------------------------------------------------------------------------------------


def test_a_market_tells_how_to_convert_and_how_it_stands() -> None:
    ledger = make_system_ledger()
    fund(ledger, MAKER)
    exchange(ledger, MAKER, "placeOrder", MARKET, 5, 99, GTC, False)
    exchange(ledger, MAKER, "placeOrder", MARKET, -5, 101, GTC, False)

    (market,) = exchange(ledger, TAKER, "getMarket", MARKET)

    assert market == ("TEST-USD", 3, 3, 1, Mode.OPEN, 100, 99, 101, 0, 0, 0)
    assert exchange(ledger, TAKER, "marketIds") == ((MARKET,),)


def test_an_account_that_never_was_is_all_zero() -> None:
    ledger = make_system_ledger()

    assert exchange(ledger, TAKER, "getAccount", trader(9)) == ((0, 0, 0, 0),)
    assert exchange(ledger, TAKER, "getPosition", trader(9), MARKET) == ((0, 0, 0, 0),)


def test_the_vault_tells_what_it_has() -> None:
    ledger = make_system_ledger()
    deposit(ledger, VAULT, 500)

    assert call(ledger, TAKER, "LiquidatorVault", "balance") == (500,)
    assert call(ledger, TAKER, "LiquidatorVault", "equity") == (500,)


def test_the_stricter_mode_is_shown() -> None:
    ledger = make_system_ledger()
    set_mode(ledger, Mode.POST_ONLY)
    assert call(ledger, TAKER, "Governance", "getMode", MARKET) == (Mode.POST_ONLY,)
    assert call(ledger, TAKER, "Governance", "getMode", CHAIN) == (Mode.OPEN,)

    set_chain_mode(ledger, Mode.CANCEL_ONLY)

    assert call(ledger, TAKER, "Governance", "getMode", MARKET) == (Mode.CANCEL_ONLY,)
    assert call(ledger, TAKER, "Governance", "getMode", CHAIN) == (Mode.CANCEL_ONLY,)


def test_the_branch_and_the_council_are_shown() -> None:
    ledger = make_system_ledger()
    ledger.set_status(ledger.status._replace(fork_id=3))

    assert call(ledger, TAKER, "Governance", "forkId") == (3,)
    assert call(ledger, TAKER, "Governance", "nonceFloor") == (3 * 2**32,)
    members = tuple(f"0x{member.hex()}" for member in ledger.council.members)
    assert call(ledger, TAKER, "Governance", "council") == (members,)
    assert call(ledger, TAKER, "Governance", "threshold") == (2,)


# --- oracle ---------------------------------------------------------------------------------------


def test_a_reporter_reports_and_is_seen() -> None:
    ledger = make_system_ledger()
    observed_ms = ledger.time_ms - 10

    call(ledger, reporter(1), "Oracle", "reportPrice", MARKET, 105, observed_ms, 0)

    (reported,) = ledger.events
    assert isinstance(reported, PriceReported)
    assert reported == (MARKET, reporter(1), 105, observed_ms)
    assert call(ledger, TAKER, "Oracle", "getReport", MARKET, reporter(1)) == (105, observed_ms)
    assert call(ledger, TAKER, "Oracle", "getReport", MARKET, reporter(2)) == (0, 0)
    assert call(ledger, TAKER, "Oracle", "getPrice", MARKET) == (100, False, False)
    reporters = tuple(f"0x{each.hex()}" for each in ledger.params.reporters)
    assert call(ledger, TAKER, "Oracle", "reporters") == (reporters,)
    assert call(ledger, TAKER, "Oracle", "quorum") == (2,)


def test_a_report_that_does_not_count_is_an_event_not_a_revert() -> None:
    ledger = make_system_ledger()

    call(ledger, reporter(1), "Oracle", "reportPrice", MARKET, 105, ledger.time_ms, 1)

    (refused,) = ledger.events
    assert isinstance(refused, ReportRefused)
    assert refused.reason == ReportRefusal.WRONG_FORK


def test_only_reporters_report() -> None:
    ledger = make_system_ledger()

    with pytest.raises(NotReporter):
        call(ledger, TAKER, "Oracle", "reportPrice", MARKET, 105, ledger.time_ms, 0)
