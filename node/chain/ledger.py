"""The state as one block sees and changes it: an overlay of records over a parent's state.

It introduces the rules to the store: `perp` and `system` declare the tables they need as Protocols,
this module implements them. A record is decoded once a block, replaced in memory, and encoded when
the block is sealed. Every change leaves an undo step in one journal, so a failing transaction is
undone exactly, books included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

from node.chain import keys
from node.chain.deadlines import DeadlineTable, Queue, load_queue
from node.chain.development import NONE as NO_DEVELOPMENT
from node.chain.development import Development
from node.chain.keys import MarketIds, Place
from node.governance.audit import AuditLog
from node.governance.council import Council
from node.governance.validators import ValidatorSet
from node.perp.account import EXCHANGE, SYSTEM_ADDRESS_MAX, Account, Position, market_address
from node.perp.book import Book, Journal
from node.perp.invariants import Touched
from node.perp.maintenance import Maintenance
from node.perp.modes import ChainStatus
from node.perp.parameters import ChainParams, MarketParams
from node.perp.watch import Watch
from node.state.store import EMPTY_CODE_HASH, AccountChange, Changes, StateReader
from node.system.ledger import CouncilEvent, SystemEvent, TokenEvent
from node.system.token import TokenSupply
from node.units import Address, Hash32, Height, MarketId, TimeMs, Wei

K = TypeVar("K")
R = TypeVar("R", bound=tuple[Any, ...])
V = TypeVar("V")


Records = tuple[Mapping[Any, Any], ...]
"""What one block read and wrote, decoded, table by table."""
_RECENT_BLOCKS_MAX = 8
"""So many blocks' records are kept decoded: whoever acts often, and what every block looks at."""
_RECENT_RECORDS_MAX = 500_000
"""And no older ones than these, about 0.1 kB each where they are held twice."""


class Native(NamedTuple):
    """An account of the state trie, without its storage."""

    nonce: int
    balance: Wei
    code_hash: Hash32


ABSENT = Native(0, Wei(0), EMPTY_CODE_HASH)


class _Rows(dict[K, R | None]):
    """Records by key; one that is asked for first is read from the parent's state.

    It knows nothing of its table, so that a ledger is freed with its last reference: the state's
    snapshot goes with it.
    """

    __slots__ = ("_place", "_reader", "_recent")

    def __init__(
        self, place: Place[K, R], reader: StateReader, recent: Sequence[Mapping[K, R | None]]
    ) -> None:
        self._place = place
        self._reader = reader
        self._recent = recent

    def __missing__(self, key: K) -> R | None:
        record = self[key] = self._load(key)
        return record

    def _load(self, key: K) -> R | None:
        for rows in self._recent:
            if key in rows:
                return rows[key]
        data = self._reader.get_record(self._place.address(key), self._place.key(key))
        return None if data is None else self._place.codec.decode(data)


class OverlayTable(Generic[K, R]):
    """One kind of record: read through from the parent's state, changed in memory."""

    __slots__ = ("_journal", "_place", "_put", "_rows", "base", "get")

    def __init__(
        self,
        place: Place[K, R],
        reader: StateReader,
        recent: Sequence[Mapping[K, R | None]],
        journal: Journal,
    ) -> None:
        self._place = place
        self._journal = journal
        self._rows = _Rows(place, reader, recent)
        self._put = self._rows.__setitem__
        self.get: Callable[[K], R | None] = self._rows.__getitem__
        """Return the record, None if absent."""
        self.base: dict[K, R | None] = {}
        """What the parent's state holds under the keys written so far; some may be back at it."""

    def set(self, key: K, record: R | None, /) -> None:
        """Write the record."""
        before = self._rows[key]
        if key not in self.base:
            self.base[key] = before
        self._journal.append((self._put, (key, before)))
        self._rows[key] = record

    def delete(self, key: K, /) -> None:
        """Remove the record; no-op if absent."""
        if self._rows[key] is not None:
            self.set(key, None)

    def before(self, key: K, /) -> R | None:
        """Return the record as the parent's state has it, whatever this block wrote."""
        return self.base[key] if key in self.base else self._rows[key]

    def seed(self, other: OverlayTable[K, R]) -> None:
        """Take over what another ledger of the same state has decoded."""
        self._rows.update(other._rows)
        self._rows.update(other.base)

    def copy_rows(self) -> Mapping[K, R | None]:
        """Return every record that was read or written, as it is now, and nothing beside."""
        return dict(self._rows)

    def changed(self) -> Iterator[K]:
        """Yield the keys whose record differs from the parent's."""
        rows = self._rows
        return (key for key, before in self.base.items() if rows[key] != before)

    def encode_changes(self, changes: Changes) -> None:
        """Add the changed records to a commit."""
        address, make_key, codec = self._place.address, self._place.key, self._place.codec
        for key in self.changed():
            record = self._rows[key]
            changes.records.setdefault(address(key), {})[make_key(key)] = (
                None if record is None else codec.encode(record)
            )


class BlockTable(Generic[K, V]):
    """What only this block knows: no state, and undone like it."""

    __slots__ = ("_journal", "_rows", "get")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[K, V] = {}
        self.get = self._rows.get

    def set(self, key: K, record: V, /) -> None:
        """Write a value."""
        before = self._rows.get(key)
        self._rows[key] = record
        if before is None:
            self._journal.append((self._rows.pop, (key,)))
        else:
            self._journal.append((self._rows.__setitem__, (key, before)))

    def delete(self, key: K, /) -> None:
        """Remove a value; no-op if absent."""
        if key in self._rows:
            self._journal.append((self._rows.__setitem__, (key, self._rows.pop(key))))


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


class Derived:
    """What is kept in memory beside a state and belongs to its root: books, standing, records.

    Never trusted across roots: made anew from the records, or handed on by the ledger that made
    the next state. Immutable once it belongs to a head.
    """

    __slots__ = ("_deadlines", "_reader", "_standing", "books", "recent")

    def __init__(
        self,
        reader: StateReader,
        books: dict[MarketId, Book],
        standing: Standing | None,
        deadlines: Queue | None = None,
        recent: Sequence[Records] = (),
    ) -> None:
        self._reader = reader
        self.books = books
        self._standing = standing
        self._deadlines = deadlines
        self.recent = recent
        """The latest blocks', newest first: the first that has a key has its record."""

    def load(self, markets: Sequence[MarketId]) -> None:
        """Build everything now, so that readers in other threads only read."""
        self.standing()
        self.deadlines()
        for market in markets:
            self.book(market)

    def book(self, market: MarketId) -> Book:
        """Return the market's book, loading it from its records if need be."""
        if market not in self.books:
            self.books[market] = load_book(self._reader, market)
        return self.books[market]

    def standing(self) -> Standing:
        """Return who has positions and who owes, loading it from the records if need be."""
        if self._standing is None:
            self._standing = load_standing(self._reader)
        return self._standing

    def deadlines(self) -> Queue:
        """Return dead-man's cancels by time, loading them from the records if need be."""
        if self._deadlines is None:
            records = self._reader.records(EXCHANGE, keys.DEADLINES.prefix)
            decode = keys.DEADLINES.codec.decode
            self._deadlines = load_queue(
                (Address(key[5:25]), decode(data)) for key, data in records
            )
        return self._deadlines


def load_book(reader: StateReader, market: MarketId) -> Book:
    """Build a market's book from its records."""
    address = market_address(market)
    book = Book([])
    for order in sorted(_load_records(reader, address, keys.ORDERS), key=lambda each: each.id):
        book.put_order(order)
    for trigger in sorted(_load_records(reader, address, keys.TRIGGERS), key=lambda each: each.id):
        book.put_trigger(trigger)
    return book


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


def _load_records(reader: StateReader, address: Address, place: Place[Any, R]) -> Iterator[R]:
    return (place.codec.decode(data) for _, data in reader.records(address, place.prefix))


class Moment(NamedTuple):
    """The block in which a ledger lives."""

    height: Height
    time_ms: TimeMs
    parent_time_ms: TimeMs


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
        self._books: dict[MarketId, Book] = {}
        self.natives: dict[Address, Native] = {}
        self._native_base: dict[Address, Native] = {}

        self._tables: list[OverlayTable[Any, Any]] = []

        def table(place: Place[K, R]) -> OverlayTable[K, R]:
            recent = [records[len(self._tables)] for records in derived.recent]
            made = OverlayTable(place, reader, recent, self.journal)
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

    def market_params(self, market: MarketId) -> MarketParams:
        """Return the market's parameters, as the block began; KeyError if there was none."""
        params = self._market_params.before(market)
        if params is None:
            raise KeyError(market)
        return params

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

    def book(self, market: MarketId) -> Book:
        """Return this block's own fork of the market's book."""
        book = self._books.get(market)
        if book is None:
            book = self._books[market] = self.derived.book(market).fork(self.journal)
        return book

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
            leaf = self.reader.get_account(address)
            native = (
                ABSENT if leaf is None else Native(leaf.nonce, Wei(leaf.balance), leaf.code_hash)
            )
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
        recent = self._compute_recent()
        return Derived(reader, books, self.standing, self.deadlines.queue, recent)

    def _compute_recent(self) -> Sequence[Records]:
        recent = [tuple(table.copy_rows() for table in self._tables)]
        count = sum(map(len, recent[0]))
        for records in self.derived.recent[: _RECENT_BLOCKS_MAX - 1]:
            count += sum(map(len, records))
            if count > _RECENT_RECORDS_MAX:
                break
            recent.append(records)
        return recent

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
