"""What the rules read and write. The chain implements it over the store, tests with dicts.

Records are immutable; a change is `table.set(key, record._replace(...))`. What a table holds is
consensus state. `book`, `holders`, `debtors` and `watch` are derived from it and always agree with
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from node.units import Address, Height, MarketId, TimeMs

if TYPE_CHECKING:
    from node.perp.account import Account, Position
    from node.perp.agent import Agents
    from node.perp.book import Book
    from node.perp.compensation import Compensation, Escrow, PaidRefund
    from node.perp.events import Event
    from node.perp.expiry import Deadline
    from node.perp.funding import Funding
    from node.perp.maintenance import Maintenance
    from node.perp.mark import Basis, Mark
    from node.perp.market import Closure, Market
    from node.perp.oracle import Oracle, Report
    from node.perp.parameters import ChainParams, MarketParams
    from node.perp.status import ChainStatus, MarketStatus
    from node.perp.watch import Watch

K = TypeVar("K", contravariant=True)
R = TypeVar("R")


class Table(Protocol[K, R]):
    """One kind of record by key."""

    def get(self, key: K, /) -> R | None:
        """Return the record, None if absent."""

    def set(self, key: K, record: R, /) -> None:
        """Write the record."""

    def delete(self, key: K, /) -> None:
        """Remove the record; no-op if absent."""


class Ledger(Protocol):
    """The perp state as of a moment within a block."""

    @property
    def height(self) -> Height:
        """The number of the block being executed."""

    @property
    def time_ms(self) -> TimeMs:
        """Its time."""

    @property
    def parent_time_ms(self) -> TimeMs:
        """Its parent's time."""

    @property
    def params(self) -> ChainParams:
        """The chain's parameters, as the block began: what is set counts from the next one."""

    @property
    def next_params(self) -> ChainParams:
        """The chain's parameters from the next block on."""

    def set_params(self, params: ChainParams, /) -> None:
        """Write the chain's parameters from the next block on."""

    @property
    def market_ids(self) -> Sequence[MarketId]:
        """All markets, ascending, as the block began."""

    @property
    def next_market_ids(self) -> Sequence[MarketId]:
        """All markets from the next block on."""

    def market_params(self, market: MarketId, /) -> MarketParams:
        """Return the market's parameters, as the block began; KeyError if there was none."""

    def next_market_params(self, market: MarketId) -> MarketParams:
        """Return the market's parameters from the next block on; KeyError if there is none."""

    def set_market_params(self, market: MarketId, params: MarketParams, /) -> None:
        """Write a market's parameters from the next block on; a new market begins with them."""

    @property
    def status(self) -> ChainStatus:
        """The chain's mode and gates."""

    def set_status(self, status: ChainStatus, /) -> None:
        """Write the chain's mode and gates."""

    @property
    def accounts(self) -> Table[Address, Account]:
        """Margin accounts, system accounts and funding pools included."""

    @property
    def positions(self) -> Table[tuple[Address, MarketId], Position]:
        """Open positions: deleted when flat."""

    @property
    def markets(self) -> Table[MarketId, Market]:
        """Counters; present for every market."""

    @property
    def statuses(self) -> Table[MarketId, MarketStatus]:
        """Modes; present for every market."""

    @property
    def oracles(self) -> Table[MarketId, Oracle]:
        """Accepted prices; present for every market."""

    @property
    def fundings(self) -> Table[MarketId, Funding]:
        """Funding; present for every market."""

    @property
    def marks(self) -> Table[MarketId, Mark]:
        """Marks; present for every market."""

    @property
    def bases(self) -> Table[MarketId, Basis]:
        """What the marks' moving averages look back at; absent where there is nothing."""

    @property
    def closures(self) -> Table[MarketId, Closure]:
        """How markets ended; absent for those that live."""

    @property
    def maintenance(self) -> Maintenance | None:
        """The maintenance window that is scheduled or on."""

    def set_maintenance(self, window: Maintenance | None, /) -> None:
        """Write the maintenance window."""

    @property
    def escrow(self) -> Escrow:
        """How many compensations there were, and which are open."""

    def set_escrow(self, escrow: Escrow, /) -> None:
        """Write how many compensations there were, and which are open."""

    @property
    def compensations(self) -> Table[int, Compensation]:
        """What the council had the vault repay, by number from 1."""

    @property
    def paid_refunds(self) -> Table[tuple[int, Address], PaidRefund]:
        """What was paid of it, by compensation and account."""

    @property
    def reports(self) -> Table[tuple[MarketId, Address], Report]:
        """Each reporter's latest report."""

    @property
    def agents(self) -> Table[Address, Agents]:
        """Who may trade for whom; absent: nobody."""

    @property
    def deadlines(self) -> Table[Address, Deadline]:
        """Dead-man's cancels; absent where none is armed."""

    @property
    def actions(self) -> Table[Address, int]:
        """How many orders each account placed in this block; no state, a new block has none."""

    def silent(self, time_ms: TimeMs, /) -> Sequence[Address]:
        """Return whose deadline has come, inclusive, by deadline, then account (derived)."""

    def book(self, market: MarketId, /) -> Book:
        """Return the market's open orders and triggers, to read and to change."""

    def holders(self) -> Sequence[Address]:
        """Return every account with an open position, ascending (derived)."""

    def debtors(self) -> Sequence[Address]:
        """Return every address with a negative balance and no open position, ascending (derived).

        System accounts are among them: BRIDGE always, pools and DEFICIT at times.
        """

    @property
    def watch(self) -> Watch:
        """Whom liquidations must look at (derived)."""

    def changed_owners(self) -> Iterable[Address]:
        """Return every account whose own records or orders this block wrote, in any order."""

    def emit(self, event: Event, /) -> None:
        """Record what happened, in order."""

    def checkpoint(self) -> int:
        """Return a mark of all state and events so far."""

    def revert(self, checkpoint: int, /) -> None:
        """Undo everything since the mark."""
