"""The second opinion's state: plain dicts of plain records, copied whole where a step may fail.

Nothing here knows `node.perp` but the types in which people ask for something and in which the
genesis names its parameters. Fractions are `fractions.Fraction`; a rounding is `math.floor`,
`math.ceil` or `math.trunc` of an exact fraction, once, where RULES.md names it.
"""

from fractions import Fraction
from typing import NamedTuple

from node.perp.order import TriggerKind
from node.perp.parameters import ChainParams, MarketParams

OPEN, POST_ONLY, CANCEL_ONLY, HALTED = range(4)
"""Modes, the larger the stricter."""

BRIDGE, VAULT, FEES, DEFICIT = (n.to_bytes(20, "big") for n in (0x1006, 0x1005, 0x1007, 0x1008))


def pool_of(market: int) -> bytes:
    return (0x2000 + market).to_bytes(20, "big")


class Refused(Exception):
    """The rules refuse what somebody asked for; the world is as it was."""


class Position(NamedTuple):
    size: int
    entry: int
    funding_index: int


class Order(NamedTuple):
    owner: bytes
    size: int
    price: int
    reduce_only: bool
    height: int


class Trigger(NamedTuple):
    owner: bytes
    size: int
    price: int
    kind: TriggerKind
    fired_mark: int


class Report(NamedTuple):
    price: int
    observed_ms: int


class Run(NamedTuple):
    """A JUMP that waits: on which side, and since which block."""

    up: bool
    since_ms: int
    since_height: int


class Sample(NamedTuple):
    """What a block added to B (P3): mid2 - 2·oracle, over its elapsed time."""

    from_ms: int
    until_ms: int
    value: int


class Market(NamedTuple):
    next_id: int = 1
    price: int = 0
    """The accepted price; 0 before the first."""
    history: tuple[tuple[int, int], ...] = ()
    """(time, price) of every block that accepted one, since the last JUMP."""
    stale: bool = True
    jump: Run | None = None
    funding_index: int = 0
    rate: int = 0
    premium_sum: int = 0
    dust: int = 0
    mode: int = CANCEL_ONLY
    since_ms: int = 0
    since_height: int = 0
    quorum: tuple[tuple[int, int], ...] = ()
    """(height, time) of the unbroken run of blocks with a fresh quorum, up to now."""
    mark: int = 0
    last: int = 0
    """The latest trade since OPEN began, of no liquidation; 0: none."""
    samples: tuple[Sample, ...] = ()


class Chain(NamedTuple):
    mode: int = CANCEL_ONLY
    since_ms: int = 0
    since_height: int = 0
    gap_end_ms: int = 0
    withdrawals_from_ms: int = 0
    fork_id: int = 0


class World:
    """Everything the rules know, as of a moment within a block."""

    def __init__(self, params: ChainParams, markets: dict[int, MarketParams], time_ms: int) -> None:
        self.params = params
        self.market_params = markets
        self.height = 0
        self.time_ms = time_ms
        self.parent_time_ms = time_ms
        self.chain = Chain(since_ms=time_ms, gap_end_ms=time_ms, withdrawals_from_ms=time_ms)
        self.markets = {market: Market(since_ms=time_ms) for market in sorted(markets)}
        self.balances: dict[bytes, int] = {}
        self.positions: dict[tuple[bytes, int], Position] = {}
        self.orders: dict[tuple[int, int], Order] = {}
        self.triggers: dict[tuple[int, int], Trigger] = {}
        self.reports: dict[tuple[int, bytes], Report] = {}

    def save(self) -> tuple[object, ...]:
        return (
            self.chain,
            dict(self.markets),
            dict(self.balances),
            dict(self.positions),
            dict(self.orders),
            dict(self.triggers),
            dict(self.reports),
        )

    def restore(self, saved: tuple[object, ...]) -> None:
        (
            self.chain,
            self.markets,
            self.balances,
            self.positions,
            self.orders,
            self.triggers,
            self.reports,
        ) = saved  # type: ignore[assignment]  # as `save` made it

    def k(self, market: int) -> int:
        return self.market_params[market].k

    def mode(self, market: int) -> int:
        return max(self.chain.mode, self.markets[market].mode)

    def is_in_grace(self, market: int) -> bool:
        """X4: after every return to OPEN, whatever closed it."""
        back = max(self.chain.since_ms, self.markets[market].since_ms)
        return self.time_ms < back + self.params.grace_ms

    def may_act(self, market: int) -> bool:
        """Whether liquidations and triggers work here: OPEN, and grace is over."""
        return self.mode(market) == OPEN and not self.is_in_grace(market)

    def position(self, owner: bytes, market: int) -> Position:
        return self.positions.get((owner, market), Position(0, 0, 0))

    def pay(self, *legs: tuple[bytes, int]) -> None:
        """M1: money moves by entries that sum to zero."""
        if sum(amount for _, amount in legs) != 0:
            raise AssertionError(f"the reference made a leg too many: {legs}")
        for account, amount in legs:
            self.balances[account] = self.balances.get(account, 0) + amount

    def change_market(self, market: int, **changes: object) -> None:
        self.markets[market] = self.markets[market]._replace(**changes)  # type: ignore[arg-type]

    def orders_of(self, market: int, owner: bytes) -> list[tuple[int, Order]]:
        return [
            (number, order)
            for (where, number), order in sorted(self.orders.items())
            if where == market and order.owner == owner
        ]


def ppm(rate: int) -> Fraction:
    return Fraction(rate, 10**6)
