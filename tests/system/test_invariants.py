"""I1 and I9 of the collateral token: they hold after real calls, and each breach is named."""

from copy import deepcopy

import pytest

from node.errors import InvariantViolation
from node.perp.account import BRIDGE, EXCHANGE
from node.system.invariants import check_block, check_state
from node.system.token import TokenBalance
from node.units import Quote
from tests.helpers.ledger import deposit, trader
from tests.helpers.system_ledger import DictSystemLedger, call, give_tokens, make_system_ledger

HOLDER, OTHER = trader(1), trader(2)


def make_block() -> tuple[DictSystemLedger, DictSystemLedger]:
    """Return a state before and after a block with a mint, a transfer and a deposit."""
    before = make_system_ledger()
    give_tokens(before, HOLDER, 100)
    after = deepcopy(before)
    give_tokens(after, OTHER, 50)
    call(after, HOLDER, "Token", "transfer", OTHER, 30)
    call(after, OTHER, "Exchange", "deposit", 60)
    return before, after


def test_a_block_of_real_calls_keeps_the_token_whole() -> None:
    before, after = make_block()

    check_block(before, after, [HOLDER, OTHER, EXCHANGE])
    check_state(after, after.token_balances.rows.items())


def test_tokens_from_nowhere_break_i9() -> None:
    before, after = make_block()
    after.token_balances.set(OTHER, TokenBalance(Quote(21)))

    with pytest.raises(InvariantViolation) as violated:
        check_block(before, after, [HOLDER, OTHER, EXCHANGE])

    # The change was 20 + (70 - 100) + 60 = 50 as minted; one atom more is 51.
    assert (violated.value.rule, violated.value.value, violated.value.expected) == ("I9", 51, 50)
    with pytest.raises(InvariantViolation) as swept:
        check_state(after, after.token_balances.rows.items())
    assert (swept.value.rule, swept.value.value, swept.value.expected) == ("I9", 151, 150)


def test_a_negative_balance_breaks_i9() -> None:
    before, after = make_block()
    after.token_balances.set(HOLDER, TokenBalance(Quote(-1)))

    with pytest.raises(InvariantViolation, match="I9") as violated:
        check_block(before, after, [HOLDER])
    assert violated.value.value == -1
    with pytest.raises(InvariantViolation, match="I9"):
        check_state(after, after.token_balances.rows.items())


def test_margin_without_tokens_breaks_i1() -> None:
    before, after = make_block()
    deposit(after, HOLDER, 5)

    with pytest.raises(InvariantViolation) as violated:
        check_block(before, after, [HOLDER, OTHER, EXCHANGE])

    assert (violated.value.rule, violated.value.value, violated.value.expected) == ("I1", 60, 65)
    account = after.accounts.get(BRIDGE)
    assert account is not None
    assert account.balance == -65
    with pytest.raises(InvariantViolation, match="I1"):
        check_state(after, after.token_balances.rows.items())
