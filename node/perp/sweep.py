"""The full sweep: the whole state against itself, every sum from scratch (RULES I1 to I7).

Dear, so it runs every so many blocks, at snapshots, in `perpnode verify` and after steps of tests.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Protocol

from node.errors import InvariantViolation
from node.perp.account import Account, Position
from node.perp.book import Exposure
from node.perp.checks import (
    check_book,
    check_equal,
    check_escrow,
    check_fees,
    check_membership,
    check_pool,
    get_open_interest,
)
from node.perp.compensation import PaidRefund, get_compensation
from node.perp.funding import get_funding
from node.perp.ledger import Ledger
from node.perp.oracle import get_oracle
from node.perp.order import Order
from node.perp.status import Mode, get_status
from node.units import Address, Lots, MarketId, Quote, Ticks


class SweepableLedger(Ledger, Protocol):
    """A ledger whose records can be walked, for the full sweep."""

    def all_accounts(self) -> Iterator[tuple[Address, Account]]:
        """Yield every margin account, in any order."""

    def all_positions(self) -> Iterator[tuple[tuple[Address, MarketId], Position]]:
        """Yield every open position, in any order."""

    def all_paid_refunds(self) -> Iterator[tuple[tuple[int, Address], PaidRefund]]:
        """Yield every refund that was paid, in any order."""


def check_all(ledger: SweepableLedger) -> None:
    """Raise InvariantViolation unless the whole state agrees with itself."""
    accounts = dict(ledger.all_accounts())
    positions = dict(ledger.all_positions())
    total = sum(account.balance for account in accounts.values())
    check_equal(ledger, "sum of margin balances", total, 0, "I1")
    check_fees(ledger)
    check_escrow(ledger)
    _check_refunds(ledger)
    for market in ledger.market_ids:
        held = {owner: row for (owner, where), row in positions.items() if where == market}
        _check_all_positions(ledger, market, list(held.values()))
        check_pool(ledger, market)
        check_book(ledger, market, sorted(ledger.book(market).orders))
        _check_exposures(ledger, market)
        _check_mode_and_price(ledger, market)
    for owner in sorted(accounts.keys() | {owner for owner, _ in positions}):
        for market in ledger.market_ids:
            check_membership(ledger, owner, market)
    _check_derived(ledger, accounts, positions)


def _check_refunds(ledger: SweepableLedger) -> None:
    """I1: of each compensation, what was paid, is left and returned is its total."""
    paid: dict[int, list[Quote]] = defaultdict(list)
    for (number, _), refund in ledger.all_paid_refunds():
        paid[number].append(refund.amount)
    for number in range(1, ledger.escrow.length + 1):
        compensation, amounts = get_compensation(ledger, number), paid[number]
        where = f"compensation {number}"
        check_equal(ledger, f"{where}, refunds paid", compensation.paid, len(amounts), "I1")
        total = sum(amounts) + compensation.left + compensation.returned
        check_equal(ledger, f"{where}, total", compensation.total, total, "I1")
        is_open = number in ledger.escrow.open
        check_equal(ledger, f"{where}, open", not compensation.closed_height, is_open, "I1")


def _check_all_positions(ledger: Ledger, market: MarketId, held: Sequence[Position]) -> None:
    """I2, I3 from scratch."""
    where = f"market {market}"
    flat = sum(position.size == 0 for position in held)
    check_equal(ledger, f"{where}, flat positions", flat, 0, "I2")
    total = sum(position.size for position in held)
    check_equal(ledger, f"{where}, Σ size", total, 0, "I2")
    longs = sum(max(position.size, 0) for position in held)
    check_equal(ledger, f"{where}, open interest", get_open_interest(ledger, market), longs, "I2")
    products = sum(position.size * position.funding_index for position in held)
    funding = get_funding(ledger, market)
    check_equal(ledger, f"{where}, Σ size·index", funding.size_index_sum, products, "I3")


def _check_exposures(ledger: Ledger, market: MarketId) -> None:
    """I2: what each account's orders reserve is what they are."""
    book = ledger.book(market)
    owned: dict[Address, list[Order]] = defaultdict(list)
    for order in book.orders.values():
        if not order.reduce_only:
            owned[order.owner].append(order)
    for owner in sorted(owned):
        check_equal(
            ledger,
            f"market {market}, account 0x{owner.hex()}, reservation",
            book.exposure_of(owner),
            compute_exposure(owned[owner]),
            "I2",
        )


def compute_exposure(orders: Sequence[Order]) -> Exposure:
    """Return what resting orders, none of them reduce-only, could add (G2)."""
    buys = [order for order in orders if order.size > 0]
    sells = [order for order in orders if order.size < 0]
    return Exposure(
        buys=Lots(sum(order.size for order in buys)),
        sells=Lots(-sum(order.size for order in sells)),
        value=Quote(sum(abs(order.size) * order.price for order in orders)),
        highest_buy=max((order.price for order in buys), default=Ticks(0)),
        lowest_sell=min((order.price for order in sells), default=Ticks(0)),
    )


def _check_mode_and_price(ledger: Ledger, market: MarketId) -> None:
    """I7, as far as one state shows it."""
    oracle, mode = get_oracle(ledger, market), get_status(ledger, market).mode
    if oracle.price < 0 or (oracle.price == 0 and mode < Mode.CANCEL_ONLY):
        raise InvariantViolation(
            ledger.height, f"market {market}, oracle price", oracle.price, "positive", "I7"
        )
    if (oracle.stale or oracle.jump) and mode < Mode.CANCEL_ONLY:
        raise InvariantViolation(
            ledger.height, f"market {market}, mode", mode.name, Mode.CANCEL_ONLY.name, "I7"
        )


def _check_derived(
    ledger: Ledger,
    accounts: dict[Address, Account],
    positions: dict[tuple[Address, MarketId], Position],
) -> None:
    """What is derived agrees with what it is derived from: who liquidations and L6 look at."""
    holders = sorted({owner for owner, _ in positions})
    check_equal(ledger, "holders", list(ledger.holders()), holders, "I6")
    debtors = sorted(
        owner for owner, row in accounts.items() if row.balance < 0 and owner not in set(holders)
    )
    check_equal(ledger, "debtors", list(ledger.debtors()), debtors, "I6")
