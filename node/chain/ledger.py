"""The state as one block sees and changes it: an overlay of records over a parent's state.

It introduces the rules to the store: `perp` and `system` declare the tables they need as Protocols,
`chain.tables` implements them. A record is decoded once a block, replaced in memory, and encoded
when the block is sealed. Every change leaves an undo step in one journal, so a failing transaction
is undone exactly, books included. What is kept in memory from block to block is `chain.derived`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from node.chain import keys
from node.chain.deadlines import DeadlineTable
from node.chain.derived import Derived, extend_recent
from node.chain.development import NONE as NO_DEVELOPMENT
from node.chain.development import Development
from node.chain.keys import MarketIds, Place
from node.chain.native import Native
from node.chain.standing import AccountTable, PositionTable
from node.chain.tables import BlockTable, OverlayTable
from node.governance.audit import AuditLog
from node.governance.council import Council
from node.governance.validators import ValidatorSet
from node.perp.account import (
    EXCHANGE,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    Account,
    Position,
    market_address,
)
from node.perp.book import Book, Journal
from node.perp.compensation import NO_ESCROW, Escrow, PaidRefund
from node.perp.invariants import Touched
from node.perp.maintenance import Maintenance
from node.perp.modes import ChainStatus
from node.perp.parameters import ChainParams, MarketParams
from node.perp.watch import Watch
from node.state.store import AccountChange, Changes, StateReader
from node.system.ledger import CouncilEvent, SystemEvent, TokenEvent
from node.system.token import TokenSupply
from node.units import Address, Hash32, Height, MarketId, TimeMs

K = TypeVar("K")
R = TypeVar("R", bound=tuple[Any, ...])


class Moment(NamedTuple):
    """The block in which a ledger lives."""

    height: Height
    time_ms: TimeMs
    parent_time_ms: TimeMs


class _Books(dict[MarketId, Book]):
    """This block's own forks of the markets' books, made when first asked for."""

    __slots__ = ("_derived", "_journal")

    def __init__(self, derived: Derived, journal: Journal) -> None:
        self._derived = derived
        self._journal = journal

    def __missing__(self, market: MarketId) -> Book:
        book = self[market] = self._derived.book(market).fork(self._journal)
        return book


class _Params(dict[MarketId, MarketParams]):
    """The markets' parameters as the block began."""

    __slots__ = ("_table",)

    def __init__(self, table: OverlayTable[MarketId, MarketParams]) -> None:
        self._table = table

    def __missing__(self, market: MarketId) -> MarketParams:
        params = self._table.before(market)
        if params is None:
            raise KeyError(market)
        self[market] = params
        return params


class StateLedger:
    """The one implementation of the ledgers that `perp` and `system` declare."""

    def __init__(
        self,
        reader: StateReader,
        derived: Derived,
        moment: Moment,
        chain_id: int,
        genesis_hash: Hash32,
    ) -> None:
        self.reader = reader
        self.derived = derived
        self.height, self.time_ms, self.parent_time_ms = moment
        self.chain_id = chain_id
        self.genesis_hash = genesis_hash
        """Block 0's hash: part of what the council signs."""
        self.journal: Journal = []
        self.events: list[SystemEvent] = []
        """What happened since `take_events`."""
        self.taken: list[SystemEvent] = []
        """What happened before."""
        self._books = _Books(derived, self.journal)
        self.book: Callable[[MarketId], Book] = self._books.__getitem__
        """Return this block's own fork of the market's book."""
        self.natives: dict[Address, Native] = {}
        self._native_base: dict[Address, Native] = {}

        self._tables: list[OverlayTable[Any, Any]] = []
        recent = derived.recent_tables()

        def table(place: Place[K, R]) -> OverlayTable[K, R]:
            made = OverlayTable(place, reader, next(recent), self.journal)
            self._tables.append(made)
            return made

        self.standing = derived.standing().fork(self.journal)
        accounts, positions = table(keys.ACCOUNTS), table(keys.POSITIONS)
        self.accounts = AccountTable(accounts, self.standing)
        self.positions = PositionTable(positions, accounts, self.standing)
        self.markets = table(keys.MARKETS)
        self.statuses = table(keys.STATUSES)
        self.oracles = table(keys.ORACLES)
        self.fundings = table(keys.FUNDINGS)
        self.marks = table(keys.MARKS)
        self.bases = table(keys.BASES)
        self.closures = table(keys.CLOSURES)
        self._maintenance = table(keys.MAINTENANCE)
        self.reports = table(keys.REPORTS)
        self.agents = table(keys.AGENTS)
        self.deadlines = DeadlineTable(table(keys.DEADLINES), derived.deadlines(), self.journal)
        self.actions: BlockTable[Address, int] = BlockTable(self.journal)
        self.token_balances = table(keys.TOKEN_BALANCES)
        self.allowances = table(keys.ALLOWANCES)
        self.permit_nonces = table(keys.PERMIT_NONCES)
        self.faucet_claims = table(keys.FAUCET_CLAIMS)
        self._market_params = table(keys.MARKET_PARAMS)
        self.market_params: Callable[[MarketId], MarketParams] = _Params(
            self._market_params
        ).__getitem__
        """Return the market's parameters, as the block began; KeyError if there was none."""
        self._market_ids = table(keys.MARKET_IDS)
        self._chain_status = table(keys.CHAIN_STATUS)
        self._chain_params = table(keys.CHAIN_PARAMS)
        self._council = table(keys.COUNCIL)
        self._validators = table(keys.VALIDATORS)
        self.forks = table(keys.FORKS)
        self.audit_entries = table(keys.AUDIT_ENTRIES)
        self.action_uses = table(keys.ACTION_USES)
        self._audit_log = table(keys.AUDIT_LOG)
        self._token_supply = table(keys.TOKEN_SUPPLY)
        self._development = table(keys.DEVELOPMENT)
        self._escrow = table(keys.ESCROW)
        self.compensations = table(keys.COMPENSATIONS)
        self.paid_refunds = table(keys.PAID_REFUNDS)

    # --- perp ------------------------------------------------------------------------------------

    @property
    def params(self) -> ChainParams:
        """The chain's parameters, as the block began."""
        return _present(self._chain_params.before(None))

    @property
    def next_params(self) -> ChainParams:
        """The chain's parameters from the next block on."""
        return _present(self._chain_params.get(None))

    def set_params(self, params: ChainParams, /) -> None:
        """Write the chain's parameters from the next block on."""
        self._chain_params.set(None, params)

    @property
    def market_ids(self) -> Sequence[MarketId]:
        """All markets, ascending, as the block began; none before genesis."""
        known = self._market_ids.before(None)
        return () if known is None else known.ids

    @property
    def next_market_ids(self) -> Sequence[MarketId]:
        """All markets from the next block on."""
        known = self._market_ids.get(None)
        return () if known is None else known.ids

    def next_market_params(self, market: MarketId) -> MarketParams:
        """Return the market's parameters from the next block on; KeyError if there is none."""
        params = self._market_params.get(market)
        if params is None:
            raise KeyError(market)
        return params

    def set_market_params(self, market: MarketId, params: MarketParams, /) -> None:
        """Write a market's parameters from the next block on; a new market begins with them."""
        self._market_params.set(market, params)
        ids = self.next_market_ids
        if market not in ids:
            self._market_ids.set(None, MarketIds(tuple(sorted((*ids, market)))))

    @property
    def status(self) -> ChainStatus:
        """The chain's mode and gates."""
        return _present(self._chain_status.get(None))

    def set_status(self, status: ChainStatus, /) -> None:
        """Write the chain's mode and gates."""
        self._chain_status.set(None, status)

    @property
    def maintenance(self) -> Maintenance | None:
        """The maintenance window that is scheduled or on."""
        return self._maintenance.get(None)

    def set_maintenance(self, window: Maintenance | None, /) -> None:
        """Write the maintenance window."""
        self._maintenance.set(None, window)

    @property
    def escrow(self) -> Escrow:
        """How many compensations there were, and which are open."""
        return self._escrow.get(None) or NO_ESCROW

    def set_escrow(self, escrow: Escrow, /) -> None:
        """Write how many compensations there were, and which are open."""
        self._escrow.set(None, escrow)

    def holders(self) -> Sequence[Address]:
        """Return every account with an open position, ascending."""
        return sorted(self.standing.holders)

    def debtors(self) -> Sequence[Address]:
        """Return every address that owes without an open position, ascending."""
        return sorted(self.standing.debtors)

    @property
    def watch(self) -> Watch:
        """Whom liquidations must look at."""
        return self.standing.watch

    def changed_owners(self) -> set[Address]:
        """Return every account whose own records or orders this block wrote."""
        owners = {*self.accounts.table.base, *(key[0] for key in self.positions.table.base)}
        for book in self._books.values():
            owners.update(book.changed_owners)
        return owners

    def silent(self, time_ms: TimeMs, /) -> Sequence[Address]:
        """Return whose dead-man's cancel has come, by time, then account."""
        return self.deadlines.silent(time_ms)

    def emit(self, event: SystemEvent, /) -> None:
        """Record what happened, in order."""
        self.events.append(event)
        self.journal.append((self.events.pop, ()))

    def checkpoint(self) -> int:
        """Return a mark of all state and events so far."""
        return len(self.journal)

    def revert(self, checkpoint: int, /) -> None:
        """Undo everything since the mark."""
        journal = self.journal
        while len(journal) > checkpoint:
            function, arguments = journal.pop()
            function(*arguments)

    # --- system ----------------------------------------------------------------------------------

    @property
    def token(self) -> TokenSupply:
        """The collateral token's supply."""
        return _present(self._token_supply.get(None))

    def set_token(self, token: TokenSupply, /) -> None:
        """Write the collateral token's supply."""
        self._token_supply.set(None, token)

    @property
    def council(self) -> Council:
        """Who governs, as the block began."""
        return _present(self._council.before(None))

    def set_council(self, council: Council, /) -> None:
        """Write who governs from the next block on."""
        self._council.set(None, council)

    @property
    def validators(self) -> ValidatorSet:
        """Who attests this block, and signs it."""
        return _present(self._validators.before(None))

    @property
    def next_validators(self) -> ValidatorSet:
        """Who attests the next block."""
        return _present(self._validators.get(None))

    def set_validators(self, validators: ValidatorSet, /) -> None:
        """Write who attests from the next block on."""
        self._validators.set(None, validators)

    @property
    def audit_log(self) -> AuditLog:
        """What the council did, as a whole."""
        return _present(self._audit_log.get(None))

    def set_audit_log(self, log: AuditLog, /) -> None:
        """Write the audit log as a whole."""
        self._audit_log.set(None, log)

    # --- native accounts -------------------------------------------------------------------------

    def get_native(self, address: Address) -> Native:
        """Return nonce and native balance; the nonce floor is not applied."""
        native = self.natives.get(address)
        if native is None:
            native = self.derived.get_native(address)
            self.natives[address] = self._native_base[address] = native
        return native

    def set_native(self, address: Address, native: Native) -> None:
        """Write nonce and native balance."""
        self.journal.append((self.natives.__setitem__, (address, self.get_native(address))))
        self.natives[address] = native

    def native_change(self) -> int:
        """Return by how much the sum of all native balances differs from the parent's, in wei."""
        base = self._native_base
        return sum(native.balance - base[each].balance for each, native in self.natives.items())

    def get_nonce(self, address: Address) -> int:
        """Return the next nonce: the account's own, but not below the fork's floor."""
        return max(self.get_native(address).nonce, self.status.fork_id << 32)

    # --- development -----------------------------------------------------------------------------

    @property
    def development(self) -> Development:
        """What development operations have added up to."""
        return self._development.get(None) or NO_DEVELOPMENT

    @property
    def parent_development(self) -> Development:
        """What they had added up to in the parent's state."""
        table = self._development
        return table.base.get(None, table.get(None)) or NO_DEVELOPMENT

    def set_development(self, development: Development, /) -> None:
        """Write what they add up to."""
        self._development.set(None, development)

    # --- the block's end -------------------------------------------------------------------------

    def take_events(self) -> list[SystemEvent]:
        """Return what happened since the last time; from here nothing before can be undone."""
        taken, self.events = self.events, []
        self.taken += taken
        self.journal.clear()
        return taken

    def changes(self) -> Changes:
        """Return every record and account that differs from the parent's state, encoded."""
        changes = Changes(accounts={}, records={})
        for address, native in self.natives.items():
            if native != self._native_base[address]:
                changes.accounts[address] = AccountChange(
                    native.nonce, native.balance, native.code_hash
                )
        for table in self._tables:
            table.encode_changes(changes)
        for market, book in self._books.items():
            self._encode_book(market, book, changes)
        return changes

    def _encode_book(self, market: MarketId, book: Book, changes: Changes) -> None:
        before = self.derived.book(market)
        rows = changes.records.setdefault(market_address(market), {})
        for order_id in book.changed_orders:
            order = book.orders.get(order_id)
            if order != before.orders.get(order_id):
                rows[keys.ORDERS.key((market, order_id))] = (
                    None if order is None else keys.ORDERS.codec.encode(order)
                )
        for trigger_id in book.changed_triggers:
            trigger = book.triggers.get(trigger_id)
            if trigger != before.triggers.get(trigger_id):
                rows[keys.TRIGGERS.key((market, trigger_id))] = (
                    None if trigger is None else keys.TRIGGERS.codec.encode(trigger)
                )

    def derive(self, reader: StateReader) -> Derived:
        """Hand books, holders and records on to the state that this ledger's changes made."""
        self.watch.pending.update(
            owner for owner in self.changed_owners() if owner > SYSTEM_ADDRESS_MAX
        )
        new = {market: Book([]) for market in self.next_market_ids if market not in self.market_ids}
        books = {**self.derived.books, **self._books, **new}
        own = (*(table.copy_rows() for table in self._tables), self.natives)
        recent = extend_recent(own, self.derived.recent)
        return Derived(reader, books, self.standing, self.deadlines.queue, recent)

    def touched(self) -> Touched:
        """Return what this block changed, for the cheap invariants."""
        return Touched(
            accounts=sorted(self.accounts.table.changed()),
            positions=sorted(self.positions.table.changed()),
            markets=sorted(self._books),
            events=[
                event for event in self.taken if not isinstance(event, TokenEvent | CouncilEvent)
            ],
        )

    def touched_tokens(self) -> Sequence[Address]:
        """Return whose token balances this block changed."""
        return sorted(self.token_balances.changed())

    def all_accounts(self) -> Iterator[tuple[Address, Account]]:
        """Yield every margin account of the parent's state, for the full sweep."""
        for key, data in self.reader.records(EXCHANGE, keys.ACCOUNTS.prefix):
            yield Address(key[5:25]), keys.ACCOUNTS.codec.decode(data)

    def all_positions(self) -> Iterator[tuple[tuple[Address, MarketId], Position]]:
        """Yield every open position of the parent's state, for the full sweep."""
        for key, data in self.reader.records(EXCHANGE, keys.POSITIONS.prefix):
            market = MarketId(int.from_bytes(key[1:5], "big"))
            yield (Address(key[5:25]), market), keys.POSITIONS.codec.decode(data)

    def all_paid_refunds(self) -> Iterator[tuple[tuple[int, Address], PaidRefund]]:
        """Yield every paid refund of the parent's state, for the full sweep."""
        for key, data in self.reader.records(VAULT, keys.PAID_REFUNDS.prefix):
            number = int.from_bytes(key[25:], "big")
            yield (number, Address(key[5:25])), keys.PAID_REFUNDS.codec.decode(data)

    def parent(self) -> StateLedger:
        """Return the parent's state, to compare with."""
        moment = Moment(self.height, self.time_ms, self.parent_time_ms)
        parent = StateLedger(self.reader, self.derived, moment, self.chain_id, self.genesis_hash)
        for theirs, ours in zip(parent._tables, self._tables, strict=True):
            theirs.seed(ours)
        return parent


def _present(record: R | None) -> R:
    assert record is not None, "genesis writes every single record"
    return record
