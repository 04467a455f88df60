"""Margin accounts, positions, and the journal entries by which alone money moves (RULES M1, M2, I5).
"""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.perp.ledger import Ledger
from node.units import Address, FundingIndex, Lots, MarketId, Quote


def system_address(number: int) -> Address:
    """Return the fixed address of a system contract or account: the number, left-padded."""
    return Address(number.to_bytes(20, "big"))


EXCHANGE = system_address(0x1002)
"""Holds the collateral tokens behind all margin balances; has no margin account itself."""
VAULT = system_address(0x1005)
"""LiquidatorVault: the insurance fund."""
BRIDGE = system_address(0x1006)
"""The counterpart of all deposits: minus what the Exchange holds in tokens (I1)."""
FEES = system_address(0x1007)
DEFICIT = system_address(0x1008)
"""What nobody could pay; may be negative (L6)."""
RECEIVABLE = system_address(0x1009)
"""Negative or 0 (RECOVERY, fork step 3)."""


def market_address(market: MarketId) -> Address:
    """Return the market's own address; its margin account is the market's FundingPool (M1)."""
    return system_address(0x2000 + market)


class Account(NamedTuple):
    """One cross-margin account; key: address."""

    balance: Annotated[Quote, BIG] = Quote(0)
    """Signed quote balance: buying lowers it by the notional, selling raises it (M2)."""
    markets: tuple[MarketId, ...] = ()
    """Sorted: where it has a position, a resting order or a trigger."""


class Position(NamedTuple):
    """An account's position in a market; key: (address, market); absent when flat."""

    size: Lots = Lots(0)
    entry_value: Annotated[Quote, BIG] = Quote(0)
    """What the open size cost, signed like the size; for display and ranking only (M2)."""
    funding_index: Annotated[FundingIndex, BIG] = FundingIndex(0)
    """The market's index at which funding was last settled (F4)."""


class Leg(NamedTuple):
    """One side of a journal entry."""

    account: Address
    amount: Quote


def get_account(ledger: Ledger, address: Address) -> Account:
    """Return the account, an empty one if it never was."""
    return ledger.accounts.get(address) or Account()


def get_position(ledger: Ledger, address: Address, market: MarketId) -> Position:
    """Return the position, a flat one if there is none."""
    return ledger.positions.get((address, market)) or Position()


def process_entry(ledger: Ledger, legs: Sequence[Leg]) -> None:
    """Move money by one journal entry, checked as a whole: its legs sum to zero (I5)."""
    assert sum(leg.amount for leg in legs) == 0, f"a journal entry must sum to zero: {legs}"
    for leg in legs:
        account = get_account(ledger, leg.account)
        ledger.accounts.set(
            leg.account, account._replace(balance=Quote(account.balance + leg.amount))
        )
