"""Compensations: the LiquidatorVault repays an incident, by a list that the council signed (I8).

The council's action moves the whole total at once from the vault to the system account Refunds, so
that no later loss can touch what was promised. From there each refund of the list is paid once, to
the account's margin balance, whoever asks; that it is in the list is for the caller to know, by its
proof (`governance.refund`). What nobody asked for until the end returns to the vault by itself.
Every step is one journal entry, and Refunds always holds what open compensations have left.

A quiet block looks at the open compensations alone, however many there were.
"""

from typing import NamedTuple

from node.errors import (
    CompensationEnded,
    CompensationNotFound,
    CompensationOverCap,
    InvalidCompensation,
    InvalidPayUntil,
    InvalidRefund,
    NotAllowedInMode,
    RefundListUsed,
    RefundPaidAlready,
    RefundsExceedTotal,
    VaultCannotPay,
)
from node.perp.account import REFUNDS, SYSTEM_ADDRESS_MAX, VAULT, Leg, process_entry
from node.perp.events import CompensationClosed, CompensationOpened, RefundPaid
from node.perp.ledger import Ledger
from node.perp.margin import get_equity
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import CHAIN, Mode
from node.units import Address, Hash32, Height, Quote


class Compensation(NamedTuple):
    """What the council had the vault repay; key: its number, from 1."""

    root: Hash32
    """Commits to the refund list."""
    refunds: int
    """How many the list has."""
    total: Quote
    """What the vault gave."""
    pay_until: int
    """The last block time at which refunds are paid, in seconds since 1970."""
    paid: int = 0
    """How many refunds were paid."""
    left: Quote = Quote(0)
    """What of the total waits in Refunds."""
    returned: Quote = Quote(0)
    """What went back to the vault at the end."""
    closed_height: Height = Height(0)
    """The block that ended it; 0: it is open."""


class Escrow(NamedTuple):
    """All compensations as a whole; a single record, absent before the first."""

    length: int
    """How many there were: their numbers are 1 to this."""
    open: tuple[int, ...]
    """Ascending."""


NO_ESCROW = Escrow(0, ())


class PaidRefund(NamedTuple):
    """A refund that was paid; key: (compensation, account)."""

    index: int  # type: ignore[assignment]  # hides tuple.index
    """Its place in the list, from 0."""
    amount: Quote
    height: Height
    """The block that paid it."""


class NewCompensation(NamedTuple):
    """What the council signs of a compensation."""

    root: Hash32
    refunds: int
    total: Quote
    cap: Quote
    """The council allows no more than this."""
    pay_until: int


def get_compensation(ledger: Ledger, number: int) -> Compensation:
    """Return a compensation; raise CompensationNotFound."""
    count = ledger.escrow.length
    found = ledger.compensations.get(number) if 0 < number <= count else None
    if found is None:
        raise CompensationNotFound(number, count)
    return found


def get_compensations(ledger: Ledger) -> list[Compensation]:
    """Return every compensation there was, by number."""
    return [get_compensation(ledger, number) for number in range(1, ledger.escrow.length + 1)]


def get_paid_refund(ledger: Ledger, number: int, account: Address) -> PaidRefund | None:
    """Return what an account was paid of a compensation; raise CompensationNotFound."""
    get_compensation(ledger, number)
    return ledger.paid_refunds.get((number, account))


# --- the council ----------------------------------------------------------------------------------


def process_compensation(ledger: Ledger, new: NewCompensation) -> int:
    """Move a total from the vault to Refunds; return the compensation's number (L5, I6).

    In any mode, as all that the council does. Raise InvalidCompensation unless every refund can
    have an atom, CompensationOverCap, InvalidPayUntil for an end that is over, RefundListUsed for
    a list that was used before, or VaultCannotPay if the vault's equity would be below 0.
    """
    escrow, seconds = ledger.escrow, ledger.time_ms // 1_000
    if not 0 < new.refunds <= new.total:
        raise InvalidCompensation(new.refunds, new.total)
    if new.total > new.cap:
        raise CompensationOverCap(new.total, new.cap)
    if not seconds <= new.pay_until <= MAGNITUDE_MAX:
        raise InvalidPayUntil(new.pay_until, seconds)
    for used, other in enumerate(get_compensations(ledger), start=1):
        if other.root == new.root:
            raise RefundListUsed(new.root, used)
    equity = get_equity(ledger, VAULT)
    if equity < new.total:
        raise VaultCannotPay(equity, new.total)
    number = escrow.length + 1
    process_entry(ledger, (Leg(VAULT, Quote(-new.total)), Leg(REFUNDS, new.total)))
    made = Compensation(new.root, new.refunds, new.total, new.pay_until, left=new.total)
    ledger.compensations.set(number, made)
    ledger.set_escrow(Escrow(number, (*escrow.open, number)))
    ledger.emit(CompensationOpened(number, new.root, new.refunds, new.total, new.pay_until))
    return number


# --- anybody --------------------------------------------------------------------------------------


def process_refund(
    ledger: Ledger, number: int, *, index: int, account: Address, amount: Quote
) -> None:
    """Pay a refund of a compensation's list to an account's margin balance, once (I8).

    Like a deposit in every mode but HALTED. Raise NotAllowedInMode, CompensationNotFound,
    RefundPaidAlready, CompensationEnded, RefundsExceedTotal for a list that sums to more than the
    council signed, or InvalidRefund for a row that a list may not have: an index beyond it, no
    amount, or a system account.
    """
    mode = ledger.status.mode
    if mode > Mode.CANCEL_ONLY:
        raise NotAllowedInMode(CHAIN, mode)
    compensation = get_compensation(ledger, number)
    paid = ledger.paid_refunds.get((number, account))
    if paid is not None:
        raise RefundPaidAlready(number, account, paid.height)
    if compensation.closed_height or is_over(ledger, compensation):
        raise CompensationEnded(number, compensation.pay_until, ledger.time_ms // 1_000)
    if not (0 <= index < compensation.refunds and amount > 0 and account > SYSTEM_ADDRESS_MAX):
        raise InvalidRefund(number, index, account, amount)
    if amount > compensation.left:
        raise RefundsExceedTotal(number, amount, compensation.left)
    process_entry(ledger, (Leg(REFUNDS, Quote(-amount)), Leg(account, amount)))
    ledger.paid_refunds.set((number, account), PaidRefund(index, amount, ledger.height))
    ledger.emit(RefundPaid(number, account, index, amount))
    left = compensation._replace(paid=compensation.paid + 1, left=Quote(compensation.left - amount))
    if left.paid == left.refunds or not left.left:
        _process_end(ledger, number, left)
    else:
        ledger.compensations.set(number, left)


# --- by itself ------------------------------------------------------------------------------------


def process_compensation_ends(ledger: Ledger) -> None:
    """End the compensations whose time is over, by number; while HALTED nothing moves."""
    if ledger.status.mode == Mode.HALTED:
        return
    for number in ledger.escrow.open:
        compensation = get_compensation(ledger, number)
        if is_over(ledger, compensation):
            _process_end(ledger, number, compensation)


def is_over(ledger: Ledger, compensation: Compensation) -> bool:
    """Tell whether the last block time at which refunds are paid has passed."""
    return ledger.time_ms // 1_000 > compensation.pay_until


def _process_end(ledger: Ledger, number: int, compensation: Compensation) -> None:
    """Return what is left to the vault; nothing more is paid."""
    left = compensation.left
    process_entry(ledger, (Leg(REFUNDS, Quote(-left)), Leg(VAULT, left)))
    ended = compensation._replace(left=Quote(0), returned=left, closed_height=ledger.height)
    ledger.compensations.set(number, ended)
    others = tuple(each for each in ledger.escrow.open if each != number)
    ledger.set_escrow(ledger.escrow._replace(open=others))
    ledger.emit(CompensationClosed(number, ended.paid, left))
