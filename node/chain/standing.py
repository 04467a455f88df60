"""Who has open positions and who owes, and beside them whom liquidations look at (derived).

Loaded from the records, or handed on by the ledger that made the next state.
"""

from __future__ import annotations

from node.chain import keys
from node.chain.tables import OverlayTable
from node.perp.account import EXCHANGE, SYSTEM_ADDRESS_MAX, Account, Position
from node.perp.book import Journal
from node.perp.watch import Watch
from node.state.store import StateReader
from node.units import Address, MarketId


class Standing:
    """Who has open positions, and who owes without one: kept beside the tables (derived)."""

    __slots__ = ("_base_watch", "_journal", "_watch", "debtors", "holders")

    def __init__(
        self,
        holders: dict[Address, int],
        debtors: dict[Address, None],
        journal: Journal,
        base_watch: Watch,
    ) -> None:
        self.holders = holders
        """Account -> number of its open positions."""
        self.debtors = debtors
        """Accounts with a negative balance and no open position."""
        self._journal = journal
        self._base_watch = base_watch
        self._watch: Watch | None = None

    def fork(self, journal: Journal) -> Standing:
        """Return a child to work on."""
        watch = self._watch or self._base_watch
        return Standing(dict(self.holders), dict(self.debtors), journal, watch)

    @property
    def watch(self) -> Watch:
        """Whom liquidations must look at: forked from the parent's when first asked for."""
        if self._watch is None:
            self._watch = self._base_watch.fork()
        return self._watch

    def count(self, account: Address, step: int) -> None:
        """Add to an account's number of open positions."""
        before = self.holders.get(account, 0)
        self._journal.append((self._set_holder, (account, before)))
        self._set_holder(account, before + step)

    def set_debtor(self, account: Address, owes: bool) -> None:
        """Record whether an account owes without a position."""
        if owes != (account in self.debtors):
            self._journal.append((self._set_debtor, (account, not owes)))
            self._set_debtor(account, owes)

    def _set_holder(self, account: Address, count: int) -> None:
        if count:
            self.holders[account] = count
        else:
            self.holders.pop(account, None)

    def _set_debtor(self, account: Address, owes: bool) -> None:
        if owes:
            self.debtors[account] = None
        else:
            self.debtors.pop(account, None)


class AccountTable:
    """Margin accounts, with the standing kept right beside them."""

    __slots__ = ("_standing", "get", "table")

    def __init__(self, table: OverlayTable[Address, Account], standing: Standing) -> None:
        self.table = table
        self.get = table.get
        self._standing = standing

    def set(self, key: Address, record: Account, /) -> None:
        """Write an account."""
        self.table.set(key, record)
        standing = self._standing
        standing.set_debtor(key, record.balance < 0 and key not in standing.holders)

    def delete(self, key: Address, /) -> None:
        """Remove an account that is empty."""
        self.table.delete(key)
        self._standing.set_debtor(key, False)


class PositionTable:
    """Positions, with the standing kept right beside them."""

    __slots__ = ("_accounts", "_standing", "get", "table")

    def __init__(
        self,
        table: OverlayTable[tuple[Address, MarketId], Position],
        accounts: OverlayTable[Address, Account],
        standing: Standing,
    ) -> None:
        self.table = table
        self.get = table.get
        self._accounts = accounts
        self._standing = standing

    def set(self, key: tuple[Address, MarketId], record: Position, /) -> None:
        """Write an open position."""
        if self.table.get(key) is None:
            self._standing.count(key[0], 1)
            self._standing.set_debtor(key[0], False)
        self.table.set(key, record)

    def delete(self, key: tuple[Address, MarketId], /) -> None:
        """Remove a position that became flat."""
        if self.table.get(key) is None:
            return
        self.table.delete(key)
        standing = self._standing
        standing.count(key[0], -1)
        account = self._accounts.get(key[0])
        owes = account is not None and account.balance < 0
        standing.set_debtor(key[0], owes and key[0] not in standing.holders)


def load_standing(reader: StateReader) -> Standing:
    """Find who has positions and who owes, from the records."""
    holders: dict[Address, int] = {}
    for key, _ in reader.records(EXCHANGE, keys.POSITIONS.prefix):
        account = Address(key[5:25])
        holders[account] = holders.get(account, 0) + 1
    debtors: dict[Address, None] = {}
    members = []
    for key, data in reader.records(EXCHANGE, keys.ACCOUNTS.prefix):
        account = Address(key[5:25])
        record = keys.ACCOUNTS.codec.decode(data)
        if record.balance < 0 and account not in holders:
            debtors[account] = None
        if record.markets and account > SYSTEM_ADDRESS_MAX:
            members.append(account)
    return Standing(holders, debtors, [], Watch(members))
