"""The second opinion's state: plain dicts of plain records, copied whole where a step may fail.

Nothing here knows `node.perp` but the types in which people ask for something and in which the
genesis names its parameters. Fractions are `fractions.Fraction`; a rounding is `math.floor`,
`math.ceil` or `math.trunc` of an exact fraction, once, where RULES.md names it.
"""

from fractions import Fraction
from functools import cache
from typing import NamedTuple

from node.perp.order import TriggerKind
from node.perp.parameters import ChainParams, MarketParams

OPEN, POST_ONLY, CANCEL_ONLY, HALTED = range(4)
"""Modes, the larger the stricter."""

CHAIN = 0
"""Stands for the whole chain where a mode is meant."""

LIMIT = 2**53 - 1
"""Sizes, prices, times and client ids go no further."""

BRIDGE, VAULT, FEES, DEFICIT, REFUNDS = (
    n.to_bytes(20, "big") for n in (0x1006, 0x1005, 0x1007, 0x1008, 0x100A)
)


SYSTEM_MAX = (0x2000 + 2**32 - 1).to_bytes(20, "big")
"""Nobody's key leads to an address up to this one."""


def pool_of(market: int) -> bytes:
    return (0x2000 + market).to_bytes(20, "big")


def sign(size: int) -> int:
    return 1 if size > 0 else -1


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
    client_id: int = 0
    expires_ms: int = 0
    """0: never."""
    post_only: bool = False


class Trigger(NamedTuple):
    owner: bytes
    size: int
    price: int
    kind: TriggerKind
    fired_mark: int = 0
    limit_price: int = 0
    """0: none."""
    reduce_only: bool = True
    expires_ms: int = 0
    client_id: int = 0
    other: int = 0
    """The pair's other leg; 0: none."""
    parent: int = 0
    """The order whose fills this leg waits for; 0: none."""
    pending: int = 0
    """How many lots of the size wait for them."""

    @property
    def active(self) -> int:
        return self.size - sign(self.size) * self.pending


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


class Decree(NamedTuple):
    """What the council set in this block, for its end."""

    mode: int
    held: int


class Window(NamedTuple):
    """A maintenance window (X3)."""

    start_height: int
    halt_height: int
    end_ms: int


class Repaid(NamedTuple):
    """A refund list that the vault repays."""

    root: bytes
    size: int
    total: int
    until: int
    """The last second in which it is."""
    returned: int = 0
    ended_at: int = 0
    """The block; 0: it is open."""


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
    held: int = OPEN
    """X2 leads no further toward OPEN."""
    since_ms: int = 0
    since_height: int = 0
    quorum_ms: int = 0
    quorum_blocks: int = 0
    """The unbroken run of blocks with a fresh quorum, up to now."""
    mark: int = 0
    last: int = 0
    """The latest trade since OPEN began, of no liquidation; 0: none."""
    samples: tuple[Sample, ...] = ()
    settled_at: int = 0
    """The price at which it was closed for ever; 0: it lives."""


class Chain(NamedTuple):
    mode: int = CANCEL_ONLY
    held: int = OPEN
    halt_height: int = 0
    """HALTED from the end of this block on; 0: no halt is due."""
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
        self.agents: dict[tuple[bytes, bytes], int] = {}
        """(account, agent): until when."""
        self.own_margins: dict[tuple[bytes, int], int] = {}
        """(account, market): its own fraction in ppm (M4)."""
        self.deadlines: dict[bytes, int] = {}
        """Dead-man's cancels."""
        self.placed: dict[bytes, int] = {}
        """How many orders each account placed in this block (O7)."""
        self.decrees: dict[int, Decree] = {}
        """By market, `CHAIN` too."""
        self.window: Window | None = None
        self.repaid: dict[int, Repaid] = {}
        self.refunds: dict[tuple[int, bytes], tuple[int, int, int]] = {}
        """(list, account): its index, how much, and the block that paid it."""
        self.next_params = params
        """From the next block on, like the markets'."""
        self.next_market_params: dict[int, MarketParams] = {}

    def save(self) -> dict[str, object]:
        return {
            name: dict(value) if isinstance(value, dict) else value
            for name, value in vars(self).items()
        }

    def restore(self, saved: dict[str, object]) -> None:
        vars(self).update(saved)

    def k(self, market: int) -> int:
        return self.market_params[market].k

    def mode(self, market: int) -> int:
        return max(self.chain.mode, self.markets[market].mode)

    def ending_mode(self, market: int) -> int:
        """The mode at the block's end, which the council has set already (Modes)."""
        if self.chain.halt_height == self.height:
            return HALTED
        chain, own = self.decrees.get(CHAIN), self.decrees.get(market)
        return max(
            chain.mode if chain else self.chain.mode, own.mode if own else self.markets[market].mode
        )

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


@cache
def ppm(rate: int) -> Fraction:
    return Fraction(rate, 10**6)
