"""What must hold of the collateral token after every block (RULES I1, I9).

Production functions: the sequencer calls them before sealing, every validator before signing.
"""

from collections.abc import Iterable

from node.errors import InvariantViolation
from node.perp.account import BRIDGE, EXCHANGE, get_account
from node.system.ledger import SystemLedger
from node.system.token import TokenBalance, get_balance
from node.units import Address, Quote


def check_block(before: SystemLedger, after: SystemLedger, touched: Iterable[Address]) -> None:
    """Check a block by what it changed: `touched` names every changed token balance.

    Raises InvariantViolation: I9 if Σ of the balances' changes is not the supply's, or one is
    negative; I1 if the Exchange does not hold exactly what the Bridge owes.
    """
    change = 0
    for account in touched:
        balance = get_balance(after, account)
        _require_not_negative(after, account, balance)
        change += balance - get_balance(before, account)
    _require_equal(
        after, "I9", "change of token balances", change, after.token.total - before.token.total
    )
    check_backing(after)


def check_state(ledger: SystemLedger, balances: Iterable[tuple[Address, TokenBalance]]) -> None:
    """Check a whole state: `balances` are all token balances there are. Raises as check_block."""
    total = 0
    for account, record in balances:
        _require_not_negative(ledger, account, record.amount)
        total += record.amount
    _require_equal(ledger, "I9", "sum of token balances", total, ledger.token.total)
    check_backing(ledger)


def check_backing(ledger: SystemLedger) -> None:
    """Check that the Exchange's tokens are all margin there is: minus the Bridge's balance (I1)."""
    _require_equal(
        ledger,
        "I1",
        "token balance of Exchange",
        get_balance(ledger, EXCHANGE),
        -get_account(ledger, BRIDGE).balance,
    )


def _require_not_negative(ledger: SystemLedger, account: Address, balance: Quote) -> None:
    if balance < 0:
        raise InvariantViolation(
            ledger.height, f"token balance of 0x{account.hex()}", balance, 0, "I9"
        )


def _require_equal(ledger: SystemLedger, rule: str, field: str, value: int, expected: int) -> None:
    if value != expected:
        raise InvariantViolation(ledger.height, field, value, expected, rule)
