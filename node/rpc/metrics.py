"""Numbers of a node for Prometheus: heads, mempool, prices, money, and how long methods take.

What is a state of the chain is read when it is asked for; what happens is counted as it does, from
the start of the process. Each node has a registry of its own: nothing is global.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from node.chain.block import Block, Receipt
from node.consensus.core import Core, Status
from node.consensus.phase import PHASES
from node.perp.view import MarketView
from node.system.contracts import CONTRACTS
from node.units import Hash32

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4.encode()
BUCKETS: Final = (0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
"""Seconds: from what a cache takes to what somebody complains about."""
COUNTED_EVENTS: Final = (
    "PositionLiquidated",
    "PositionTakenOver",
    "PositionDeleveraged",
    "BalanceAbsorbed",
)
"""What an operator wakes up for, by the name that the ABI gives it."""
_ATOMS_PER_USDC: Final = 10**6


class Metrics:
    """One node's numbers."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._registry = CollectorRegistry(auto_describe=False)
        ProcessCollector(registry=self._registry)
        events = {name: event for each in CONTRACTS.values() for name, event in each.events.items()}
        self._names: dict[Hash32, str] = {events[name].topic: name for name in COUNTED_EVENTS}
        self._blocks = self._counter("blocks", "Blocks that became the head.")
        self._transactions = self._counter("transactions", "Transactions in them.")
        self._gas = self._counter("gas", "Gas that they used.")
        self._events = Counter(
            "perpnode_events",
            "What the protocol did to accounts in trouble, by the event's name.",
            ["event"],
            registry=self._registry,
        )
        for name in COUNTED_EVENTS:
            self._events.labels(name)
        self._methods = Histogram(
            "perpnode_rpc_seconds",
            "How long a method took in the core; a batch's raw transactions go there at once.",
            ["method"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._failures = Counter(
            "perpnode_rpc_failures",
            "Calls that nobody refused on purpose and that failed.",
            ["method"],
            registry=self._registry,
        )

    def on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Count a new head."""
        self._blocks.inc()
        self._transactions.inc(len(block.transactions))
        self._gas.inc(block.header.gas_used)
        for receipt in receipts:
            if receipt.gas_used:
                continue  # somebody's transaction; the protocol's own carry what it did
            for log in receipt.logs:
                name = self._names.get(log.topics[0])
                if name is not None:
                    self._events.labels(name).inc()

    def on_answer(self, method: str, seconds: float) -> None:
        """Count a method's answer; the name is one of the table's."""
        self._methods.labels(method).observe(seconds)

    def on_failure(self, method: str) -> None:
        """Count a failure."""
        self._failures.labels(method).inc()

    async def render(self, *, kept_answers: int, connections: int) -> bytes:
        """Return all numbers in Prometheus's text format."""
        status = self._core.status()
        markets = await self._core.market_views(self._core.heads().latest)
        states = _Collected(
            [
                *_describe_chain(status),
                *_describe_markets(markets, status),
                GaugeMetricFamily(
                    "perpnode_rpc_connections", "Open connections.", value=connections
                ),
                CounterMetricFamily(
                    "perpnode_rpc_kept_answers",
                    "Requests answered by what was kept of earlier ones.",
                    value=kept_answers,
                ),
            ]
        )
        return generate_latest(self._registry) + generate_latest(states)

    def _counter(self, name: str, text: str) -> Counter:
        return Counter(f"perpnode_{name}", text, registry=self._registry)


class _Collected:
    """Families that were made for one answer, in the shape of a registry."""

    def __init__(self, families: Sequence[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Return them."""
        return self._families


def _describe_chain(status: Status) -> Iterable[Metric]:
    heads = GaugeMetricFamily("perpnode_block_number", "The three heads.", labels=["head"])
    for name in ("latest", "safe", "finalized"):
        heads.add_metric([name], getattr(status, name))
    yield heads
    phases = GaugeMetricFamily("perpnode_phase", "1 for how the node is.", labels=["phase"])
    for name in PHASES:
        phases.add_metric([name], name == status.phase)
    yield phases
    for name, text, value in (
        ("uncertified_blocks", "Blocks after the last certified one.", status.latest - status.safe),
        ("mempool_transactions", "Transactions that wait for a block.", status.waiting),
        ("peers", "Linked nodes.", len(status.peers)),
        ("disputes", "Disputes about this branch.", status.disputes),
        ("fork_id", "The branch.", status.fork_id),
        ("chain_mode", "0 OPEN, 1 POST_ONLY, 2 CANCEL_ONLY, 3 HALTED.", status.mode),
        ("block_timestamp_seconds", "The head's time.", status.time_ms / 1_000),
        ("vault_usdc", "The LiquidatorVault's balance.", status.vault / _ATOMS_PER_USDC),
        ("deficit_usdc", "What nobody could pay; negative.", status.deficit / _ATOMS_PER_USDC),
    ):
        yield GaugeMetricFamily(f"perpnode_{name}", text, value=value)


def _describe_markets(markets: Sequence[MarketView], status: Status) -> Iterable[Metric]:
    age = _of_market("oracle_age_seconds", "Since the newest report of a price was observed.")
    mode = _of_market(
        "market_mode", "The stricter of chain's and market's, as perpnode_chain_mode."
    )
    interest = _of_market("open_interest_lots", "Σ of long positions.")
    stale = _of_market("oracle_stale", "1 while too few reports are fresh.")
    for each in markets:
        labels = [each.params.symbol]
        if each.reported_ms:
            age.add_metric(labels, (status.time_ms - each.reported_ms) / 1_000)
        mode.add_metric(labels, each.mode)
        interest.add_metric(labels, each.open_interest)
        stale.add_metric(labels, each.is_stale)
    return age, mode, interest, stale


def _of_market(name: str, text: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"perpnode_{name}", text, labels=["market"])
