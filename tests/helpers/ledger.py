"""A ledger of dicts for tests of the rules, and builders with small numbers.

Defaults: one lot at one tick is one atom (k = 1), the mark is 100, initial margin 10 %, maintenance
half of it, no fees, everything OPEN and past its grace period. A test changes what it is about.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from node.perp.account import BRIDGE, Account, Leg, Position, process_entry
from node.perp.agent import Agents
from node.perp.book import Book, Journal
from node.perp.compensation import NO_ESCROW, Compensation, Escrow, PaidRefund
from node.perp.events import Event
from node.perp.expiry import Deadline
from node.perp.funding import Funding
from node.perp.maintenance import Maintenance
from node.perp.mark import Basis, Mark
from node.perp.market import Closure, Market
from node.perp.modes import ChainStatus, MarketStatus, Mode
from node.perp.oracle import AcceptedPrice, Oracle, Report
from node.perp.order import Order, OrderRequest, TimeInForce, Trigger
from node.perp.parameters import MAGNITUDE_MAX, ChainParams, MarginBracket, MarketParams
from node.perp.watch import Watch
from node.units import (
    Address,
    DurationMs,
    FundingIndex,
    Height,
    Lots,
    MarketId,
    OrderId,
    Quote,
    RatePpb,
    RatePpm,
    Ticks,
    TimeMs,
)

K = TypeVar("K")
R = TypeVar("R")

MARKET = MarketId(1)
"""The market that `make_ledger` makes."""
GENESIS_MS = TimeMs(1_000_000_000)


class DictTable(Generic[K, R]):
    """One kind of record in a dict, every change undoable."""

    def __init__(self, journal: Journal) -> None:
        self.rows: dict[K, R] = {}
        self._journal = journal

    def get(self, key: K, /) -> R | None:
        return self.rows.get(key)

    def set(self, key: K, record: R, /) -> None:
        if key in self.rows:
            self._journal.append((self.rows.__setitem__, (key, self.rows[key])))
        else:
            self._journal.append((self.rows.__delitem__, (key,)))
        self.rows[key] = record

    def delete(self, key: K, /) -> None:
        if key in self.rows:
            self._journal.append((self.rows.__setitem__, (key, self.rows.pop(key))))


class DictLedger:
    """`node.perp.ledger.Ledger` over dicts."""

    def __init__(self, params: ChainParams) -> None:
        self.height = Height(1_000)
        self.time_ms = TimeMs(GENESIS_MS + 1_000_000)
        self.parent_time_ms = TimeMs(self.time_ms - 1_000)
        self.params = params
        """As the block began."""
        self.set_chain: ChainParams | None = None
        """Set in this block, in force from the next one on; so are `set_markets`."""
        self.events: list[Event] = []
        self.journal: Journal = []
        self.accounts: DictTable[Address, Account] = DictTable(self.journal)
        self.positions: DictTable[tuple[Address, MarketId], Position] = DictTable(self.journal)
        self.markets: DictTable[MarketId, Market] = DictTable(self.journal)
        self.statuses: DictTable[MarketId, MarketStatus] = DictTable(self.journal)
        self.oracles: DictTable[MarketId, Oracle] = DictTable(self.journal)
        self.fundings: DictTable[MarketId, Funding] = DictTable(self.journal)
        self.marks: DictTable[MarketId, Mark] = DictTable(self.journal)
        self.closures: DictTable[MarketId, Closure] = DictTable(self.journal)
        self.maintenance: Maintenance | None = None
        self.bases: DictTable[MarketId, Basis] = DictTable(self.journal)
        self.reports: DictTable[tuple[MarketId, Address], Report] = DictTable(self.journal)
        self.agents: DictTable[Address, Agents] = DictTable(self.journal)
        self.deadlines: DictTable[Address, Deadline] = DictTable(self.journal)
        self.escrow = NO_ESCROW
        self.compensations: DictTable[int, Compensation] = DictTable(self.journal)
        self.paid_refunds: DictTable[tuple[int, Address], PaidRefund] = DictTable(self.journal)
        self.actions: DictTable[Address, int] = DictTable(self.journal)
        self.all_market_params: dict[MarketId, MarketParams] = {}
        """As the block began."""
        self.set_markets: DictTable[MarketId, MarketParams] = DictTable(self.journal)
        self.books: dict[MarketId, Book] = {}
        self.watch = Watch()
        self._status = ChainStatus(
            mode=Mode.OPEN,
            since_ms=GENESIS_MS,
            since_height=Height(1),
            gap_end_ms=GENESIS_MS,
            withdrawals_from_ms=GENESIS_MS,
            fork_id=0,
            dev_epoch=0,
        )

    @property
    def market_ids(self) -> Sequence[MarketId]:
        return sorted(self.all_market_params)

    @property
    def next_market_ids(self) -> Sequence[MarketId]:
        return sorted({*self.all_market_params, *self.set_markets.rows})

    def market_params(self, market: MarketId) -> MarketParams:
        return self.all_market_params[market]

    def next_market_params(self, market: MarketId) -> MarketParams:
        return self.set_markets.get(market) or self.all_market_params[market]

    def set_market_params(self, market: MarketId, params: MarketParams, /) -> None:
        self.set_markets.set(market, params)

    @property
    def next_params(self) -> ChainParams:
        return self.set_chain or self.params

    def set_params(self, params: ChainParams, /) -> None:
        self.journal.append((self.__setattr__, ("set_chain", self.set_chain)))
        self.set_chain = params

    @property
    def status(self) -> ChainStatus:
        return self._status

    def set_status(self, status: ChainStatus, /) -> None:
        self.journal.append((self._restore_status, (self._status,)))
        self._status = status

    def _restore_status(self, status: ChainStatus) -> None:
        self._status = status

    def set_maintenance(self, window: Maintenance | None, /) -> None:
        self.journal.append((self.__setattr__, ("maintenance", self.maintenance)))
        self.maintenance = window

    def set_escrow(self, escrow: Escrow, /) -> None:
        self.journal.append((self.__setattr__, ("escrow", self.escrow)))
        self.escrow = escrow

    def book(self, market: MarketId) -> Book:
        return self.books[market]

    def holders(self) -> Sequence[Address]:
        return sorted({owner for owner, _ in self.positions.rows})

    def debtors(self) -> Sequence[Address]:
        holders = set(self.holders())
        return sorted(
            owner
            for owner, account in self.accounts.rows.items()
            if account.balance < 0 and owner not in holders
        )

    def changed_owners(self) -> Iterable[Address]:
        return [owner for owner, account in self.accounts.rows.items() if account.markets]

    def silent(self, time_ms: TimeMs, /) -> Sequence[Address]:
        come = [
            (deadline.cancel_at_ms, owner)
            for owner, deadline in self.deadlines.rows.items()
            if deadline.cancel_at_ms <= time_ms
        ]
        return [owner for _, owner in sorted(come)]

    def all_accounts(self) -> Iterator[tuple[Address, Account]]:
        yield from self.accounts.rows.items()

    def all_positions(self) -> Iterator[tuple[tuple[Address, MarketId], Position]]:
        yield from self.positions.rows.items()

    def all_paid_refunds(self) -> Iterator[tuple[tuple[int, Address], PaidRefund]]:
        yield from self.paid_refunds.rows.items()

    def emit(self, event: Event, /) -> None:
        self.journal.append((self.events.pop, ()))
        self.events.append(event)

    def checkpoint(self) -> int:
        return len(self.journal)

    def revert(self, checkpoint: int, /) -> None:
        while len(self.journal) > checkpoint:
            undo, arguments = self.journal.pop()
            undo(*arguments)

    def dump(self) -> dict[str, Any]:
        """Return all state, books and events as plain comparable values."""
        return {
            "accounts": dict(self.accounts.rows),
            "positions": dict(self.positions.rows),
            "markets": dict(self.markets.rows),
            "statuses": dict(self.statuses.rows),
            "oracles": dict(self.oracles.rows),
            "fundings": dict(self.fundings.rows),
            "marks": dict(self.marks.rows),
            "bases": dict(self.bases.rows),
            "closures": dict(self.closures.rows),
            "maintenance": self.maintenance,
            "reports": dict(self.reports.rows),
            "agents": dict(self.agents.rows),
            "deadlines": dict(self.deadlines.rows),
            "escrow": self.escrow,
            "compensations": dict(self.compensations.rows),
            "paid_refunds": dict(self.paid_refunds.rows),
            "actions": dict(self.actions.rows),
            "params": self.next_params,
            "market_params": self.all_market_params | self.set_markets.rows,
            "status": self._status,
            "events": list(self.events),
            "books": {market: dump_book(book) for market, book in self.books.items()},
        }


def dump_book(book: Book) -> dict[str, Any]:
    """Return all that a book answers, as plain comparable values."""
    everything: list[Order | Trigger] = [*book.orders.values(), *book.triggers.values()]
    owners = {order.owner for order in book.orders.values()}
    trigger_owners = {trigger.owner for trigger in book.triggers.values()}
    return {
        "orders": dict(book.orders),
        "triggers": dict(book.triggers),
        "bids": list(book.bids()),
        "asks": list(book.asks()),
        "best": (book.best_bid(), book.best_ask()),
        "orders_of": {owner: list(book.orders_of(owner)) for owner in owners},
        "triggers_of": {owner: list(book.triggers_of(owner)) for owner in trigger_owners},
        "exposure_of": {owner: book.exposure_of(owner) for owner in owners},
        "fired": list(book.fired_triggers()),
        "children": {
            parent: list(book.children_of(parent))
            for parent in {trigger.parent for trigger in book.triggers.values()}
        },
        "expiring": list(book.expired(TimeMs(MAGNITUDE_MAX))),
        "clients": {
            (each.owner, each.client_id): book.find_client(each.owner, each.client_id)
            for each in everything
        },
    }


# --- builders --------------------------------------------------------------------------------


def trader(number: int) -> Address:
    """Return the address of the `number`-th trader; a larger number is a larger address."""
    return Address(b"\xaa" + number.to_bytes(19, "big"))


def reporter(number: int) -> Address:
    """Return the address of the `number`-th reporter."""
    return Address(b"\xbb" + number.to_bytes(19, "big"))


def make_chain_params(**changes: Any) -> ChainParams:
    """Return chain parameters: three reporters, a quorum of two, the devnet's times."""
    params = ChainParams(
        reporters=(reporter(1), reporter(2), reporter(3)),
        reporter_quorum=2,
        gap_ms_max=DurationMs(30_000),
        confirm_ms=DurationMs(3_000),
        reopen_ms=DurationMs(5_000),
        reopen_needs_book=False,
        book_wait_ms=DurationMs(900_000),
        grace_ms=DurationMs(5_000),
        withdrawal_gate_ms=DurationMs(5_000),
        withdrawal_gap_ms=DurationMs(300_000),
        withdrawal_floor_ppm=RatePpm(100_000),
        liquidations_max=50,
        triggers_max=200,
        maker_removals_max=100,
        open_orders_max=1_000_000,
        actions_max=1_000_000,
        inclusion_limit=5,
        restart_power_ppm=RatePpm(0),
    )
    return params._replace(**changes)


def make_market_params(**changes: Any) -> MarketParams:
    """Return market parameters: k 1, initial margin 10 %, maintenance 5 %, no fees, band 5 %."""
    params = MarketParams(
        symbol="TEST-USD",
        lot_decimals=3,
        tick_decimals=3,
        k=1,
        brackets=(MarginBracket(Quote(0), RatePpm(100_000)),),
        maintenance_ppm=RatePpm(500_000),
        oi_lower_cap=Quote(10**15),
        oi_upper_cap=Quote(2 * 10**15),
        taker_fee_ppm=RatePpm(0),
        maker_fee_ppm=RatePpm(0),
        price_band_ppm=RatePpm(50_000),
        order_value_min=Quote(1),
        impact_notional=Quote(1_000),
        funding_interval_ms=DurationMs(60_000),
        funding_interest_ppb=RatePpb(100_000),
        funding_clamp_factor_ppm=RatePpm(6_000_000),
        price_age_ms_max=DurationMs(30_000),
        price_move_ppm_max=RatePpm(50_000),
        price_confirm_ms=DurationMs(3_000),
        liquidation_fee_ppm=RatePpm(15_000),
        mark_band_ppm=RatePpm(25_000),
        vault_size_max=Lots(0),
        position_max=Lots(MAGNITUDE_MAX),
        open_interest_max=Lots(MAGNITUDE_MAX),
        liquidation_notional_max=Quote(MAGNITUDE_MAX),
    )
    return params._replace(**changes)


def make_market(ledger: DictLedger, *, price: int = 100, **changes: Any) -> MarketId:
    """Add an OPEN market with an accepted price (0: none yet) and return its id."""
    market = MarketId(len(ledger.all_market_params) + 1)
    ledger.all_market_params[market] = make_market_params(**changes)
    ledger.books[market] = Book(ledger.journal)
    ledger.markets.set(market, Market(next_order_id=OrderId(1), open_interest=Lots(0)))
    ledger.statuses.set(
        market,
        MarketStatus(
            mode=Mode.OPEN,
            since_ms=GENESIS_MS,
            since_height=Height(1),
            quorum_ms=DurationMs(0),
            quorum_blocks=0,
        ),
    )
    ledger.oracles.set(market, Oracle(price=Ticks(0), accepted=(), stale=False, jump=()))
    ledger.marks.set(market, Mark(Ticks(0), Ticks(0)))
    if price:
        set_price(ledger, price, market=market)
    ledger.fundings.set(
        market,
        Funding(
            index=FundingIndex(0),
            rate_ppb=RatePpb(0),
            premium_sum=0,
            dust=0,
            size_index_sum=0,
        ),
    )
    return market


def make_ledger(*, price: int = 100, **market_changes: Any) -> DictLedger:
    """Return a ledger with one market, `MARKET`."""
    ledger = DictLedger(make_chain_params())
    make_market(ledger, price=price, **market_changes)
    return ledger


def set_price(ledger: DictLedger, price: int, *, market: MarketId = MARKET) -> None:
    """Make `price` the market's accepted price, and thus its mark."""
    oracle, mark = ledger.oracles.get(market), ledger.marks.get(market)
    assert oracle is not None
    assert mark is not None
    ledger.marks.set(market, mark._replace(price=Ticks(price)))
    accepted = (AcceptedPrice(Ticks(price), ledger.time_ms),)
    ledger.oracles.set(market, oracle._replace(price=Ticks(price), accepted=accepted))


def set_funding_index(ledger: DictLedger, index: int, *, market: MarketId = MARKET) -> None:
    """Move the market's funding index, as F3 would have."""
    funding = ledger.fundings.get(market)
    assert funding is not None
    ledger.fundings.set(market, funding._replace(index=FundingIndex(index)))


def set_mode(ledger: DictLedger, mode: Mode, *, market: MarketId = MARKET) -> None:
    """Put a market into a mode as of this block."""
    status = ledger.statuses.get(market)
    assert status is not None
    ledger.statuses.set(
        market, status._replace(mode=mode, since_ms=ledger.time_ms, since_height=ledger.height)
    )


def set_chain_mode(ledger: DictLedger, mode: Mode) -> None:
    """Put the chain into a mode as of this block."""
    ledger.set_status(
        ledger.status._replace(mode=mode, since_ms=ledger.time_ms, since_height=ledger.height)
    )


def next_block(ledger: DictLedger, elapsed_ms: int = 1_000) -> None:
    """Begin the next block; its events and journal start empty."""
    ledger.height = Height(ledger.height + 1)
    ledger.params, ledger.set_chain = ledger.next_params, None
    for market, params in ledger.set_markets.rows.items():
        ledger.all_market_params[market] = params
        ledger.books.setdefault(market, Book(ledger.journal))
    ledger.set_markets.rows.clear()
    ledger.parent_time_ms = ledger.time_ms
    ledger.time_ms = TimeMs(ledger.time_ms + elapsed_ms)
    ledger.events.clear()
    ledger.actions.rows.clear()
    ledger.journal.clear()


def deposit(ledger: DictLedger, owner: Address, amount: int) -> Address:
    """Give an account margin, against the bridge, without an event."""
    process_entry(ledger, (Leg(owner, Quote(amount)), Leg(BRIDGE, Quote(-amount))))
    return owner


def make_trader(ledger: DictLedger, number: int, amount: int) -> Address:
    """Return the `number`-th trader, with this much margin."""
    return deposit(ledger, trader(number), amount)


def order(
    size: int,
    price: int,
    *,
    market: MarketId = MARKET,
    time_in_force: TimeInForce = TimeInForce.GTC,
    reduce_only: bool = False,
) -> OrderRequest:
    """Return a request: positive sizes buy."""
    return OrderRequest(market, Lots(size), Ticks(price), time_in_force, reduce_only)


def balance_of(ledger: DictLedger, address: Address) -> int:
    """Return a margin balance."""
    account = ledger.accounts.get(address)
    return account.balance if account else 0


def size_of(ledger: DictLedger, owner: Address, market: MarketId = MARKET) -> int:
    """Return a position's size."""
    position = ledger.positions.get((owner, market))
    return position.size if position else 0
