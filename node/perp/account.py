"""Margin accounts, positions, and journal entries, by which alone money moves (RULES M1 to M3)."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.errors import InsufficientBalance, NotAllowedInMode, WithdrawalsClosed
from node.perp.events import Deposited, Withdrawn
from node.perp.ledger import Ledger
from node.perp.status import CHAIN, Mode, require_mode
from node.units import PPM, Address, FundingIndex, Lots, MarketId, Quote, RatePpm, mul_div_ceil


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
REFUNDS = system_address(0x100A)
"""What open compensations have left to pay."""


def market_address(market: MarketId) -> Address:
    """Return the market's own address; its margin account is the market's FundingPool (M1)."""
    return system_address(0x2000 + market)


SYSTEM_ADDRESS_MAX = market_address(MarketId(2**32 - 1))
"""System accounts have the smallest addresses; nobody's key leads to one."""


class OwnMargin(NamedTuple):
    """An account's own initial margin fraction in a market (M4)."""

    market: MarketId
    initial_margin_ppm: RatePpm


class Account(NamedTuple):
    """One cross-margin account; key: address."""

    balance: Annotated[Quote, BIG] = Quote(0)
    """Signed quote balance: buying lowers it by the notional, selling raises it (M2)."""
    markets: tuple[MarketId, ...] = ()
    """Sorted: where it has a position, a resting order or a trigger."""
    own_margins: tuple[OwnMargin, ...] = ()
    """Sorted by market: where it set a fraction of its own (M4)."""


EMPTY_ACCOUNT = Account()


class Position(NamedTuple):
    """An account's position in a market; key: (address, market); absent when flat."""

    size: Lots = Lots(0)
    entry_value: Annotated[Quote, BIG] = Quote(0)
    """What the open size cost, signed like the size; for display and ranking only (M2)."""
    funding_index: Annotated[FundingIndex, BIG] = FundingIndex(0)
    """The market's index at which funding was last settled (F4)."""


FLAT = Position()


class Leg(NamedTuple):
    """One side of a journal entry."""

    account: Address
    amount: Quote


def get_account(ledger: Ledger, address: Address) -> Account:
    """Return the account, an empty one if it never was."""
    return ledger.accounts.get(address) or EMPTY_ACCOUNT


def get_own_fraction(account: Account, market: MarketId) -> RatePpm:
    """Return the account's own initial margin fraction in a market; 0: the market's alone (M4)."""
    for own in account.own_margins:
        if own.market == market:
            return own.initial_margin_ppm
    return RatePpm(0)


def get_position(ledger: Ledger, address: Address, market: MarketId) -> Position:
    """Return the position, a flat one if there is none."""
    return ledger.positions.get((address, market)) or FLAT


def process_entry(ledger: Ledger, legs: Sequence[Leg]) -> None:
    """Move money by one journal entry, checked as a whole: its legs sum to zero (I5)."""
    assert sum(leg.amount for leg in legs) == 0, f"a journal entry must sum to zero: {legs}"
    accounts = ledger.accounts
    for address, amount in legs:
        if amount:
            account = accounts.get(address) or EMPTY_ACCOUNT
            balance = Quote(account.balance + amount)
            accounts.set(address, Account(balance, account.markets, account.own_margins))


def process_membership(ledger: Ledger, owner: Address, market: MarketId) -> None:
    """Make `Account.markets` true for a market in which a position, order or trigger changed."""
    account = get_account(ledger, owner)
    is_member = (
        ledger.book(market).has_owner(owner) or ledger.positions.get((owner, market)) is not None
    )
    if is_member == (market in account.markets):
        return
    markets = set(account.markets) ^ {market}
    ledger.accounts.set(owner, account._replace(markets=tuple(sorted(markets))))


def process_deposit(ledger: Ledger, owner: Address, amount: Quote) -> None:
    """Turn `amount` of tokens into margin, against the bridge (M3).

    Every mode but HALTED takes deposits. The tokens themselves are the caller's matter.
    """
    assert amount >= 0, "a deposit is not negative"
    mode = ledger.status.mode
    if mode > Mode.CANCEL_ONLY:
        raise NotAllowedInMode(CHAIN, mode)
    process_entry(ledger, (Leg(owner, amount), Leg(BRIDGE, Quote(-amount))))
    ledger.emit(Deposited(owner, amount))


def process_withdrawal(ledger: Ledger, owner: Address, amount: Quote) -> None:
    """Turn `amount` of margin into tokens, against the bridge (M3).

    What stays must carry IM, and a tenth of the open notional, ceiled: against the account. All of
    it at the less favourable of mark and oracle.
    Raise NotAllowedInMode unless the chain and every market of the account are OPEN,
    WithdrawalsClosed behind the gate, InsufficientBalance.
    """
    from node.perp.margin import compute_withdrawal_risk  # it reads this module's records

    assert amount >= 0, "a withdrawal is not negative"
    mode = ledger.status.mode
    if mode != Mode.OPEN:
        raise NotAllowedInMode(CHAIN, mode)
    for market in get_account(ledger, owner).markets:
        require_mode(ledger, market, Mode.OPEN)
    open_from_ms = ledger.status.withdrawals_from_ms
    if ledger.time_ms < open_from_ms:
        raise WithdrawalsClosed(open_from_ms)
    risk = compute_withdrawal_risk(ledger, owner)
    floor = mul_div_ceil(risk.open_notional, ledger.params.withdrawal_floor_ppm, PPM)
    available = risk.equity - max(risk.initial, floor)
    if amount > available:
        raise InsufficientBalance(owner, Quote(max(available, 0)), amount)
    process_entry(ledger, (Leg(owner, Quote(-amount)), Leg(BRIDGE, amount)))
    ledger.emit(Withdrawn(owner, amount))
