"""Both opinions of one chain, block by block: they must agree on everything (RULES, "A second
opinion").

`Pair` runs the rules as `node.chain.execution.apply_block` calls them (a test holds it to that) on
a ledger of dicts, and the reference beside them; after each block it compares all that both know
and runs the invariants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

from node.errors import Refusal
from node.perp import (
    compensation,
    decrees,
    expiry,
    funding,
    invariants,
    liquidation,
    listing,
    maintenance,
    mark,
    modes,
    oracle,
    setting,
    trigger,
    vault,
)
from node.perp.account import BRIDGE, VAULT, Leg, process_entry
from node.perp.book import Book
from node.perp.events import (
    BalanceAbsorbed,
    Event,
    ModeChanged,
    OrderCancelled,
    OrderFilled,
    OrderPlaced,
    PositionDeleveraged,
    TriggerPlaced,
)
from node.perp.margin import compute_risk
from node.perp.market import initial_market
from node.perp.parameters import ChainParams, MarketParams
from node.perp.status import CHAIN, Mode
from node.system.classes import ActionClass
from node.units import Address, Height, MarketId, Quote, TimeMs
from tests.helpers.ledger import DictLedger, next_block
from tests.properties.actions import Action
from tests.reference import block as reference
from tests.reference import funding as reference_funding
from tests.reference import refunds
from tests.reference.margin import open_interest, risk_of
from tests.reference.world import Refused, World

ProtocolStep = Callable[[DictLedger], None]

STEPS: tuple[ProtocolStep | ActionClass, ...] = (
    modes.process_gap,
    maintenance.process_maintenance,
    ActionClass.GOVERNANCE,
    ActionClass.REPORT,
    oracle.process_prices,
    modes.process_alarms,
    mark.process_mark,
    funding.process_funding,
    ActionClass.ACCOUNT,
    expiry.process_expiries,
    compensation.process_compensation_ends,
    modes.process_post_only_limits,
    ActionClass.CANCEL,
    ActionClass.POST_ONLY,
    liquidation.process_liquidations,
    vault.process_negative_balances,
    vault.process_vault_orders,
    trigger.process_fired_triggers,
    ActionClass.ORDER,
    trigger.process_new_triggers,
    funding.process_premium_sample,
    modes.process_reopening,
    decrees.process_decrees,
    setting.process_settings,
    listing.process_listings,
)
"""O6, as `apply_block` does it."""


class Setup(NamedTuple):
    """A chain's parameters and who begins with how much."""

    name: str
    chain: ChainParams
    markets: tuple[MarketParams, ...]
    prices: tuple[int, ...]
    """Where each market's price begins."""
    margins: dict[Address, int]
    """What each account begins with, the vault included."""
    trend_ppm: tuple[int, ...] = (0, 1_000, 3_000, 5_000, 8_000, 12_000, 18_000, 24_000, 30_000)
    """By how much a price that goes somewhere moves in a block."""


class Difference(AssertionError):
    """The two opinions differ; names the first field."""


GENESIS_MS = 1_000_000_000


class Pair:
    """The rules and the reference on one chain."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.events: Counter[str] = Counter()
        """What happened, by kind."""
        self.asked: Counter[str] = Counter()
        """What was asked for, and with which refusal."""
        self.actions = 0
        self.accepted = 0
        self.engine = _start_engine(setup)
        self.world = _start_reference(setup)
        self.compare("genesis")

    @property
    def time_ms(self) -> int:
        return self.engine.time_ms

    @property
    def markets(self) -> Sequence[MarketId]:
        return self.engine.market_ids

    def run_block(
        self, elapsed_ms: int, actions: Iterable[Action], *, closely: bool = False
    ) -> None:
        """Run a block of these actions, sorted by class.

        `closely` compares after each of them and of the protocol's own steps, and runs the full
        sweep after each action. While HALTED a block has no actions but the council's (X1).
        """
        by_class: dict[ActionClass, list[Action]] = {each: [] for each in ActionClass}
        for action in actions:
            by_class[action.classify()].append(action)
        if self.engine.status.mode == Mode.HALTED:
            by_class = {
                each: by_class[each] if each == ActionClass.GOVERNANCE else [] for each in by_class
            }
        before = begin_block(self.engine, elapsed_ms)
        reference.begin(self.world, elapsed_ms)
        for step in STEPS:
            if isinstance(step, ActionClass):
                for action in by_class[step]:
                    self._act(action)
                    if closely:
                        self.compare(f"{action}")
                        invariants.check_all(self.engine)
            else:
                step(self.engine)
                reference.STEPS[step.__name__](self.world)
                if closely:
                    self.compare(step.__name__)
        self.compare("the block")
        self.engine.journal.clear()
        invariants.check_block(before, self.engine, touched_by(before, self.engine))
        invariants.check_all(self.engine)
        self.events.update(map(name_of, self.engine.events))

    def _act(self, action: Action) -> None:
        checkpoint = self.engine.checkpoint()
        refusal: Refusal | None = None
        ours, theirs = None, None
        try:
            ours = action.engine(self.engine)
        except Refusal as raised:
            self.engine.revert(checkpoint)
            refusal = raised
        saved = self.world.save()
        is_refused = False
        try:
            theirs = action.reference(self.world)
        except Refused:
            self.world.restore(saved)
            is_refused = True
        self.actions += 1
        self.accepted += refusal is None
        self._tally(action, refusal)
        if (refusal is not None) != is_refused:
            said = f"the rules refuse it: {refusal}" if refusal else "the rules take it"
            raise Difference(
                f"block {self.engine.height}, {action}: {said}, "
                f"the reference {'refuses' if is_refused else 'takes'} it"
            )
        if ours != theirs:
            raise Difference(
                f"block {self.engine.height}, {action}: the rules return {ours}, "
                f"the reference {theirs}"
            )

    def _tally(self, action: Action, refusal: Refusal | None) -> None:
        asked = type(action).__name__
        self.asked[asked if refusal is None else f"{asked}: {type(refusal).__name__}"] += 1

    def compare(self, where: str) -> None:
        """Raise Difference naming the first field in which the two differ."""
        found = find_difference(describe_engine(self.engine), describe_reference(self.world))
        if found:
            raise Difference(f"block {self.engine.height}, after {where}: {found}")


def name_of(event: Event) -> str:
    """Return what an event is counted as: its name and, where it has one, its reason or kind."""
    name = type(event).__name__
    if isinstance(event, OrderCancelled):
        return f"{name} {event.reason.name}"
    if isinstance(event, ModeChanged):
        where = "chain" if event.market == CHAIN else "market"
        return f"{name} {where} {event.mode.name} {event.reason.name}"
    if isinstance(event, OrderPlaced):
        return f"{name} {event.time_in_force.name}{' reduce-only' * event.reduce_only}"
    if isinstance(event, TriggerPlaced):
        role = "leg of an order" if event.parent else "leg" if event.other else "alone"
        return f"{name} {event.kind.name if event.reduce_only else 'STOP_ORDER'} {role}"
    if isinstance(event, BalanceAbsorbed) and event.by_deficit:
        return f"{name} deficit"
    if isinstance(event, PositionDeleveraged) and event.account == VAULT:
        return f"{name} of the vault"
    if isinstance(event, OrderFilled) and event.liquidation:
        return f"{name} liquidation"
    if isinstance(event, OrderFilled) and event.taker == VAULT:
        return f"{name} vault works off"
    return name


# --- the ledger of dicts, block by block --------------------------------------------------------


def begin_block(ledger: DictLedger, elapsed_ms: int) -> DictLedger:
    """Begin the ledger's next block and return what it was before."""
    ledger.journal.clear()
    before = DictLedger(ledger.params)
    before.height, before.time_ms = ledger.height, ledger.time_ms
    before.parent_time_ms = ledger.parent_time_ms
    before.all_market_params = dict(ledger.all_market_params)
    before.set_status(ledger.status)
    before.maintenance = ledger.maintenance
    before.escrow = ledger.escrow
    for name in _TABLES:
        getattr(before, name).rows = dict(getattr(ledger, name).rows)
    before.books = dict(ledger.books)
    ledger.books = {market: book.fork(ledger.journal) for market, book in ledger.books.items()}
    next_block(ledger, elapsed_ms)
    return before


def touched_by(before: DictLedger, after: DictLedger) -> invariants.Touched:
    """Return what differs between two states."""
    accounts, positions = before.accounts.rows, before.positions.rows
    return invariants.Touched(
        accounts=sorted({key for key, _ in accounts.items() ^ after.accounts.rows.items()}),
        positions=sorted({key for key, _ in positions.items() ^ after.positions.rows.items()}),
        markets=tuple(after.market_ids),
        events=tuple(after.events),
    )


_TABLES = (
    "accounts",
    "agents",
    "closures",
    "compensations",
    "deadlines",
    "positions",
    "markets",
    "statuses",
    "oracles",
    "fundings",
    "marks",
    "bases",
    "paid_refunds",
    "reports",
)


def _start_engine(setup: Setup) -> DictLedger:
    time_ms = TimeMs(GENESIS_MS)
    ledger = DictLedger(setup.chain)
    ledger.height, ledger.time_ms, ledger.parent_time_ms = Height(0), time_ms, time_ms
    ledger.set_status(modes.initial_chain_status(time_ms))
    for number, params in enumerate(setup.markets, start=1):
        market = MarketId(number)
        ledger.all_market_params[market] = params
        ledger.books[market] = Book(ledger.journal)
        ledger.markets.set(market, initial_market())
        ledger.statuses.set(market, modes.initial_market_status(time_ms, Height(0)))
        ledger.oracles.set(market, oracle.initial_oracle())
        ledger.fundings.set(market, funding.initial_funding(params))
        ledger.marks.set(market, mark.initial_mark())
    for owner, amount in setup.margins.items():
        process_entry(ledger, (Leg(owner, Quote(amount)), Leg(BRIDGE, Quote(-amount))))
    return ledger


def _start_reference(setup: Setup) -> World:
    world = World(setup.chain, dict(enumerate(setup.markets, start=1)), GENESIS_MS)
    for market, params in world.market_params.items():
        world.change_market(market, rate=reference_funding.base_rate(params))
    for owner, amount in setup.margins.items():
        reference.deposit(world, owner, amount)
    return world


# --- what both know -----------------------------------------------------------------------------


def describe_engine(ledger: DictLedger) -> dict[str, Any]:
    """Return the engine's whole state in plain values, by the reference's names."""
    books = ledger.books.items()
    return {
        "chain": tuple(
            getattr(ledger.status, name)
            for name in (
                "mode",
                "held",
                "halt_height",
                "since_ms",
                "since_height",
                "gap_end_ms",
                "withdrawals_from_ms",
            )
        ),
        "decrees": {each.market: (each.mode, each.held) for each in ledger.status.decrees},
        "maintenance": ledger.maintenance,
        "compensations": ledger.compensations.rows,
        "refunds": ledger.paid_refunds.rows,
        "placed": ledger.actions.rows,
        "deadlines": {owner: row.cancel_at_ms for owner, row in ledger.deadlines.rows.items()},
        "agents": {
            (owner, grant.agent): grant.expires_ms
            for owner, row in ledger.agents.rows.items()
            for grant in row.grants
        },
        "own margins": {
            (owner, own.market): own.initial_margin_ppm
            for owner, row in ledger.accounts.rows.items()
            for own in row.own_margins
        },
        "markets": {market: _describe_market(ledger, market) for market in ledger.market_ids},
        "reports": ledger.reports.rows,
        "balances": {
            owner: row.balance for owner, row in ledger.accounts.rows.items() if row.balance
        },
        "positions": ledger.positions.rows,
        "orders": {
            (market, order.id): _ORDER_FIELDS(order)
            for market, book in books
            for order in book.orders.values()
        },
        "triggers": {
            (market, each.id): _TRIGGER_FIELDS(each)
            for market, book in books
            for each in book.triggers.values()
        },
        "risks": {
            owner: compute_risk(ledger, owner)
            for owner in {owner for owner, _ in ledger.positions.rows}
            | {order.owner for _, book in books for order in book.orders.values()}
        },
    }


_ORDER_FIELDS = itemgetter(slice(1, None))
_TRIGGER_FIELDS = itemgetter(slice(1, None))


def describe_reference(world: World) -> dict[str, Any]:
    """Return the reference's whole state in the same form."""
    chain = world.chain
    owners = {owner for owner, _ in world.positions}
    owners |= {order.owner for order in world.orders.values()}
    return {
        "chain": (
            chain.mode,
            chain.held,
            chain.halt_height,
            chain.since_ms,
            chain.since_height,
            chain.gap_end_ms,
            chain.withdrawals_from_ms,
        ),
        "decrees": world.decrees,
        "maintenance": world.window,
        "compensations": {
            number: (
                repaid.root,
                repaid.size,
                repaid.total,
                repaid.until,
                refunds.count_of(world, number),
                refunds.left_of(world, number),
                repaid.returned,
                repaid.ended_at,
            )
            for number, repaid in world.repaid.items()
        },
        "refunds": world.refunds,
        "deadlines": world.deadlines,
        "placed": world.placed,
        "agents": world.agents,
        "own margins": world.own_margins,
        "markets": {
            market: {
                "mode": state.mode,
                "held": state.held,
                "since": (state.since_ms, state.since_height),
                "quorum": (state.quorum_ms, state.quorum_blocks),
                "settled_at": state.settled_at,
                "price": state.price,
                "stale": state.stale,
                "jump": state.jump,
                "mark": (state.mark, state.last),
                "funding_index": state.funding_index,
                "rate_ppb": state.rate,
                "premium_sum": state.premium_sum,
                "dust": state.dust,
                "next_order_id": state.next_id,
                "open_interest": open_interest(world, market),
            }
            for market, state in world.markets.items()
        },
        "reports": world.reports,
        "balances": {owner: balance for owner, balance in world.balances.items() if balance},
        "positions": world.positions,
        "orders": world.orders,
        "triggers": world.triggers,
        "risks": {owner: risk_of(world, owner).plain() for owner in owners},
    }


def _describe_market(ledger: DictLedger, market: MarketId) -> dict[str, Any]:
    status, prices = ledger.statuses.rows[market], ledger.oracles.rows[market]
    funds, counters = ledger.fundings.rows[market], ledger.markets.rows[market]
    closure = ledger.closures.rows.get(market)
    return {
        "mode": status.mode,
        "held": status.held,
        "since": (status.since_ms, status.since_height),
        "quorum": (status.quorum_ms, status.quorum_blocks),
        "settled_at": closure.price if closure else 0,
        "price": prices.price,
        "stale": prices.stale,
        "jump": prices.jump[0] if prices.jump else None,
        "mark": tuple(mark.get_mark_record(ledger, market)),
        "funding_index": funds.index,
        "rate_ppb": funds.rate_ppb,
        "premium_sum": funds.premium_sum,
        "dust": funds.dust,
        "next_order_id": counters.next_order_id,
        "open_interest": counters.open_interest,
    }


def find_difference(ours: Any, theirs: Any, path: str = "") -> str | None:
    """Return the first field that differs, with both values; None if all agree."""
    if ours == theirs:
        return None
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted({**ours, **theirs}, key=repr):
            name = key.hex() if isinstance(key, bytes) else key
            found = find_difference(ours.get(key), theirs.get(key), f"{path}.{name}")
            if found:
                return found
    return f"{path.lstrip('.')}: the rules say {ours}, the reference {theirs}"
