"""`make bench ARGS=perp`: what the perp engine costs, block by block, in this process.

Worlds are built through the rules and committed through the real state: so many markets, accounts
with positions and resting orders, all of these in one book. Blocks are then executed and committed
as a sequencer does it, with what came before (JSON, signatures) and after (roots of the body, the
network) left out; `make bench` alone measures the whole. One machine, one run: compare only
numbers of one run.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import NamedTuple
from unittest.mock import patch

from rich.console import Console
from rich.table import Table

from node.chain import execution, keys
from node.chain.derived import Derived
from node.chain.execution import Applied, BlockInput, apply_block
from node.chain.genesis import Genesis, GenesisAccount, GenesisMarket, read_genesis
from node.chain.genesis_block import build_genesis_ledger
from node.chain.ledger import Moment, StateLedger
from node.chain.transaction import EIP_1559, Transaction
from node.crypto import keccak256
from node.perp import funding, liquidation
from node.perp.account import Leg, process_entry
from node.perp.fill import process_transfer
from node.perp.margin import compute_risk
from node.perp.oracle import AcceptedPrice, Oracle, Report
from node.perp.order import OrderRequest, TimeInForce
from node.perp.status import Mode
from node.perp.trading import process_order
from node.state.kv import LevelDb
from node.state.store import EMPTY_TRIE_ROOT, StateStore
from node.system.contracts import contract
from node.units import (
    PPM,
    Address,
    Hash32,
    Height,
    Lots,
    MarketId,
    Quote,
    Ticks,
    TimeMs,
    Wei,
    mul_div_floor,
    notional,
)

ROOT = Path(__file__).parents[1]
PRICE = Ticks(1_000_000)
"""Of every market: 100,000.0 in the devnet's first market."""
POSITION_LOTS = Lots(100)
"""0.01 coins, 1,000 USDC."""
LEVERAGES = (1, 2, 3, 5, 8, 12)
"""Of the accounts, in turn."""
BOOK = MarketId(1)
"""Where all orders rest."""
BLOCK_ORDERS = 1_000
BLOCK_MS = 1_000
ROUNDS = 3

console = Console(stderr=True)


class Size(NamedTuple):
    """How large a world is."""

    markets: int
    accounts: int
    positions: int
    """Of each account."""
    orders: int
    """Resting in one book."""


class Cost(NamedTuple):
    """What a block cost, in seconds of CPU of the executing thread."""

    apply: float
    """The protocol: rules, receipts, transitions, invariants."""
    commit: float
    """Encoding, state trie, synced write, derived tables."""


def person(index: int) -> Address:
    """Return the address of an account of a world; nobody has its key."""
    return Address(keccak256(b"bench account %d" % index)[:20])


REPORTERS = tuple(sorted(Address(keccak256(b"bench reporter %d" % n)[:20]) for n in range(3)))


def make_genesis(size: Size, template: Path) -> Genesis:
    """Return the template with the world's markets, all like its first, and accounts with gas."""
    genesis = read_genesis(template)
    params = genesis.markets[0].params
    markets = [
        GenesisMarket(MarketId(number), params._replace(symbol=f"M{number}-USD"))
        for number in range(1, size.markets + 1)
    ]
    value = notional(POSITION_LOTS, PRICE, params.k) * size.positions
    people = [
        GenesisAccount(
            person(index), Wei(10**22), Quote(0), Quote(value // LEVERAGES[index % len(LEVERAGES)])
        )
        for index in range(size.accounts)
    ]
    people += [GenesisAccount(each, Wei(10**22), Quote(0), Quote(0)) for each in REPORTERS]
    return genesis._replace(
        chain=genesis.chain._replace(reporters=REPORTERS, reporter_quorum=2),
        markets=tuple(markets),
        accounts=tuple(sorted(people)),
    )


class World:
    """A state with its clock, on which blocks are executed and committed."""

    def __init__(self, genesis: Genesis, size: Size, directory: Path) -> None:
        self.size = size
        self.genesis = genesis
        self._kv = LevelDb(directory)
        self._states = StateStore(self._kv, keys.STATE_TABLES)
        self._root: Hash32 = EMPTY_TRIE_ROOT
        self.time_ms = TimeMs(genesis.time_ms + 10**9)
        self._height = Height(1_000)
        self._nonces: dict[Address, int] = {}
        self.prices = dict.fromkeys((market.id for market in genesis.markets), PRICE)
        self._derived: Derived
        self._commit(build_genesis_ledger(genesis, self._states.at(EMPTY_TRIE_ROOT)))
        ledger = self.next_ledger()
        ledger.time_ms, ledger.height = self.time_ms, self._height
        _open_markets(ledger, self.time_ms)
        _open_positions(ledger, size)
        _rest_orders(ledger, size)
        ledger.take_events()
        self._commit(ledger)

    def close(self) -> None:
        """Close its database."""
        self._kv.close()

    def next_ledger(self) -> StateLedger:
        """Return a ledger of the next block."""
        moment = Moment(
            Height(self._height + 1), TimeMs(self.time_ms + BLOCK_MS), TimeMs(self.time_ms)
        )
        state = self._states.flat(self._kv.snapshot())
        return StateLedger(state, self._derived, moment, self.genesis.chain_id, Hash32(bytes(32)))

    def run(self, transactions: Sequence[Transaction]) -> Cost:
        """Execute and commit a block; every transaction must succeed."""
        ledger = self.next_ledger()
        gc.collect()
        started = time.thread_time()
        applied = self._apply(ledger, transactions)
        executed = time.thread_time()
        self._commit(ledger)
        ended = time.thread_time()
        self._height, self.time_ms = ledger.height, ledger.time_ms
        failed = [receipt for receipt in applied.receipts if receipt.status == 0]
        assert not failed, f"{len(failed)} transactions failed: 0x{failed[0].output.hex()}"
        return Cost(executed - started, ended - executed)

    def call(self, sender: Address, name: str, function: str, *arguments: object) -> Transaction:
        """Return a transaction as if the sender had signed it."""
        target = contract(name)
        data = target.functions[function].encode_call(*arguments)
        nonce = self._nonces.get(sender, 0)
        self._nonces[sender] = nonce + 1
        unsigned = (EIP_1559, self.genesis.chain_id, nonce, Wei(0), Wei(2 * 10**9), 100_000)
        digest = keccak256(sender + nonce.to_bytes(8, "big"))
        return Transaction(
            *unsigned, target.address, Wei(0), data, (), 0, 0, 0, sender, digest, b""
        )

    def order(self, index: int, size: int, price: int, force: TimeInForce) -> Transaction:
        """Return an account's limit order in the book."""
        return self.call(
            person(index % self.size.accounts),
            "Exchange",
            "placeOrder",
            BOOK,
            size,
            price,
            force,
            False,
        )

    def reports(self, moved: Sequence[MarketId], *, by_ppm: int) -> list[Transaction]:
        """Return everybody's reports of markets that move."""
        observed = self.time_ms + BLOCK_MS
        for market in moved:
            self.prices[market] = Ticks(mul_div_floor(self.prices[market], PPM + by_ppm, PPM))
        return [
            self.call(each, "Oracle", "reportPrice", market, self.prices[market], observed, 0)
            for each in REPORTERS
            for market in moved
        ]

    def _apply(self, ledger: StateLedger, transactions: Sequence[Transaction]) -> Applied:
        inputs = BlockInput(transactions, self.genesis.base_fee_wei, self.genesis.gas_limit)
        return apply_block(ledger, inputs)

    def _commit(self, ledger: StateLedger) -> None:
        commit = self._states.commit(self._root, ledger.changes())
        self._kv.write(commit.puts, commit.deletes)
        self._root = commit.root
        self._derived = ledger.derive(self._states.flat(self._kv.snapshot()))


def _open_markets(ledger: StateLedger, time_ms: TimeMs) -> None:
    long_ago, early = TimeMs(time_ms - 10**8), Height(1)
    status = ledger.status
    ledger.set_status(status._replace(mode=Mode.OPEN, since_ms=long_ago, since_height=early))
    for market in ledger.market_ids:
        own = ledger.statuses.get(market)
        mark = ledger.marks.get(market)
        assert own is not None, "genesis writes every market's status"
        assert mark is not None, "genesis writes every market's mark"
        ledger.statuses.set(
            market, own._replace(mode=Mode.OPEN, since_ms=long_ago, since_height=early)
        )
        ledger.oracles.set(market, Oracle(PRICE, (AcceptedPrice(PRICE, time_ms),), False, ()))
        ledger.marks.set(market, mark._replace(price=PRICE))
        for reporter in REPORTERS:
            ledger.reports.set((market, reporter), Report(PRICE, time_ms))


def _open_positions(ledger: StateLedger, size: Size) -> None:
    """Let neighbours trade with each other, in markets spread evenly over all."""
    step = size.markets // size.positions
    for index in range(0, size.accounts - 1, 2):
        long, short = person(index), person(index + 1)
        for number in range(size.positions):
            market = ledger.market_ids[(index // 2 + number * step) % size.markets]
            cost = notional(POSITION_LOTS, PRICE, ledger.market_params(market).k)
            process_entry(ledger, (Leg(long, Quote(-cost)), Leg(short, cost)))
            process_transfer(
                ledger, market, receiver=long, giver=short, size=POSITION_LOTS, cost=cost
            )


def _rest_orders(ledger: StateLedger, size: Size) -> None:
    """Let accounts quote one lot each in turn, 1 to 4 % off the price, on both sides."""
    for index in range(size.orders):
        side = 1 if index % 2 else -1
        price = _passive(index, side)
        request = OrderRequest(BOOK, _smallest(ledger, side), price, TimeInForce.GTC, False)
        process_order(ledger, person(index % size.accounts), request)


def _smallest(ledger: StateLedger, side: int) -> Lots:
    params = ledger.market_params(BOOK)
    return Lots(side * (1 + 2 * params.order_value_min // (PRICE * params.k)))


def _passive(index: int, side: int) -> Ticks:
    """Return one of 30,000 prices 1 to 4 % behind the market price."""
    return Ticks(PRICE - side * (10_000 + index * 7_919 % 30_000))


# --- what is measured -----------------------------------------------------------------------------


class Timed(NamedTuple):
    """A measured row: the same in each world."""

    name: str
    cost: float


def measure_orders(world: World) -> list[Timed]:
    """Return what placing, cancelling and matching cost per order, the median of some rounds.

    What a block costs without them is taken off.
    """
    rows: dict[str, list[Cost]] = {"place": [], "cancel": [], "match": []}
    lots = _smallest(world.next_ledger(), 1)
    world.run([])
    for _ in range(ROUNDS):
        idle = world.run([])
        first = _next_order(world)
        rows["place"].append(_per_order(world.run(_quotes(world, lots)), idle))
        cancels = [
            world.call(
                person(index % world.size.accounts), "Exchange", "cancelOrder", BOOK, first + index
            )
            for index in range(BLOCK_ORDERS)
        ]
        rows["cancel"].append(_per_order(world.run(cancels), idle))
        world.run(_quotes(world, lots))
        takers = [
            world.order(index + 1, lots, PRICE + 5_000, TimeInForce.IOC)
            for index in range(BLOCK_ORDERS)
        ]
        rows["match"].append(_per_order(world.run(takers), idle))
        world.run(world.reports([BOOK], by_ppm=0))
    return [
        Timed(f"{name}: {part}", statistics.median(getattr(cost, part) for cost in costs))
        for name, costs in rows.items()
        for part in Cost._fields
    ]


def _next_order(world: World) -> int:
    record = world.next_ledger().markets.get(BOOK)
    assert record is not None, "genesis writes every market's counters"
    return record.next_order_id


def _quotes(world: World, lots: Lots) -> list[Transaction]:
    """Return offers of 1,000 accounts at one price each, ahead of all that rest."""
    return [
        world.order(index, -lots, PRICE + 4_000 + index, TimeInForce.GTC)
        for index in range(BLOCK_ORDERS)
    ]


def _per_order(cost: Cost, idle: Cost) -> Cost:
    scale = 1e6 / BLOCK_ORDERS
    return Cost((cost.apply - idle.apply) * scale, (cost.commit - idle.commit) * scale)


def measure_blocks(world: World) -> list[Timed]:
    """Return what a block's liquidation check and funding cost, in ms; and looking at everybody."""
    everything = list(world.prices)
    rows = []
    kinds: tuple[tuple[str, Callable[[], list[Transaction]]], ...] = (
        ("first block, which judges everybody", lambda: world.reports(everything, by_ppm=0)),
        ("quiet block", list),
        ("one market moves by 4 %", lambda: world.reports([BOOK], by_ppm=40_000)),
        ("every price moves by 0.1 %", lambda: world.reports(everything, by_ppm=1_000)),
        ("every price moves by 4 %", lambda: world.reports(everything, by_ppm=40_000)),
        ("the quiet block after it", list),
    )
    for name, reports in kinds:
        with (
            _watching(funding, "process_funding") as spent_funding,
            _watching(liquidation, "process_liquidations") as spent,
        ):
            world.run(reports())
        rows += [
            Timed(f"{name}: liquidation check", spent[0]),
            Timed(f"{name}: funding", spent_funding[0]),
        ]
    ledger = world.next_ledger()
    started = time.thread_time()
    for index in range(world.size.accounts):
        compute_risk(ledger, person(index))
    rows.append(Timed("looking at everybody: compute_risk", (time.thread_time() - started) * 1e3))
    return rows


@contextmanager
def _watching(module: ModuleType, name: str) -> Iterator[list[float]]:
    """Add up what a function takes, in ms."""
    spent = [0.0]
    function: Callable[..., None] = getattr(module, name)

    def watched(ledger: StateLedger) -> None:
        started = time.thread_time()
        function(ledger)
        spent[0] += (time.thread_time() - started) * 1e3

    with patch.object(getattr(execution, module.__name__.rpartition(".")[2]), name, watched):
        yield spent


def measure(size: Size, template: Path, function: Callable[[World], list[Timed]]) -> list[Timed]:
    """Build a world and measure it."""
    with tempfile.TemporaryDirectory(prefix="perpnode-bench-") as directory:
        with console.status(
            f"building {size.markets} markets, {size.accounts:,} accounts with {size.positions} "
            f"positions, {size.orders:,} orders in one book"
        ):
            world = World(make_genesis(size, template), size, Path(directory) / "data")
        gc.freeze()
        try:
            return function(world)
        finally:
            gc.unfreeze()
            world.close()


def show(title: str, columns: Sequence[str], rows: Sequence[Sequence[Timed]]) -> None:
    """Print a table with a column for each world."""
    table = Table(title=title)
    table.add_column("")
    for column in columns:
        table.add_column(column, justify="right")
    for row in zip(*rows, strict=True):
        table.add_row(row[0].name, *(f"{each.cost:,.1f}" for each in row))
    (Console() if sys.stdout.isatty() else Console(width=120)).print(table)


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=perp", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--markets", type=int, default=200)
    parser.add_argument("--accounts", type=int, default=10_000)
    parser.add_argument(
        "--orders", type=int, action="append", help="in one book; 100 and 50,000 by default"
    )
    parser.add_argument(
        "--positions", type=int, action="append", help="of an account; 2 and 40 by default"
    )
    parser.add_argument("--genesis", type=Path, default=ROOT / "genesis" / "devnet.json")
    parser.add_argument("--json", action="store_true", help="print JSON instead of tables")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark."""
    options = parse_options(arguments)
    books = options.orders or [100, 50_000]
    held = options.positions or [2, 40]
    worlds = [Size(options.markets, options.accounts, held[0], orders) for orders in books]
    orders = [measure(size, options.genesis, measure_orders) for size in worlds]
    worlds = [Size(options.markets, options.accounts, each, books[0]) for each in held]
    blocks = [measure(size, options.genesis, measure_blocks) for size in worlds]
    if options.json:
        print(json.dumps({"orders_us": orders, "blocks_ms": blocks}, indent=2))
        return 0
    title = f"µs of CPU per order: {options.markets} markets, {options.accounts:,} accounts"
    show(title, [f"{each:,} orders rest" for each in books], orders)
    title = f"ms of CPU per block: {options.markets} markets, {options.accounts:,} accounts"
    show(title, [f"{each} positions each" for each in held], blocks)
    return 0
