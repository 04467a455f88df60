"""What the protocol did: each event is a log that anybody can read, most are transitions too.

A transition is the array [kind, *fields] in the block's transition list (DESIGN section 4): whoever
receives a block recomputes its own list and compares item by item, so a field's name is what a
dispute will say. The ABI event of the same name (contracts/interfaces) has the same fields.
"""

from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.perp.order import NEVER, NO_CLIENT_ID, CancelReason, TimeInForce, TriggerKind
from node.perp.parameters import MarginBracket
from node.perp.status import Mode, ModeReason
from node.units import (
    Address,
    DurationMs,
    FundingIndex,
    Hash32,
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


class PriceAccepted(NamedTuple):
    """A block accepted a new oracle price (P2)."""

    market: MarketId
    price_before: Ticks
    price: Ticks


class ModeChanged(NamedTuple):
    """A market's mode changed; market 0 is the chain (X1 to X4)."""

    market: MarketId
    mode_before: Mode
    mode: Mode
    reason: ModeReason


class FundingAccrued(NamedTuple):
    """The funding index moved (F3)."""

    market: MarketId
    index_before: Annotated[FundingIndex, BIG]
    index: Annotated[FundingIndex, BIG]  # type: ignore[assignment]  # hides tuple.index
    rate_ppb: RatePpb
    elapsed_ms: DurationMs


class FundingRateSet(NamedTuple):
    """A new rate holds for the next interval (F2)."""

    market: MarketId
    rate_ppb_before: RatePpb
    rate_ppb: RatePpb
    premium_ppb: RatePpb


class FundingSettled(NamedTuple):
    """A position's funding was paid (F4); cash > 0 is received by the account."""

    market: MarketId
    account: Address
    cash: Annotated[Quote, BIG]
    index: Annotated[FundingIndex, BIG]  # type: ignore[assignment]  # hides tuple.index


class OrderFilled(NamedTuple):
    """A taker met a resting order, at the maker's price (O2)."""

    market: MarketId
    maker: Address
    taker: Address
    maker_order_id: OrderId
    taker_order_id: OrderId
    size: Lots
    """Signed as the taker's: positive means the taker bought."""
    price: Ticks
    maker_fee: Quote
    """Negative: a rebate (O3)."""
    taker_fee: Quote
    liquidation: bool
    """The taker was a liquidation (L2)."""


class OrderCancelled(NamedTuple):
    """An order or trigger left; size is what remained, signed."""

    market: MarketId
    account: Address
    order_id: OrderId
    size: Lots
    reason: CancelReason


class OrderReduced(NamedTuple):
    """A resting reduce-only order was shrunk to the position it may close (O2)."""

    market: MarketId
    account: Address
    order_id: OrderId
    size_before: Lots
    size: Lots


class OrderTriggered(NamedTuple):
    """A take-profit or stop-loss fired; its order enters the next block (O5)."""

    market: MarketId
    account: Address
    order_id: OrderId
    mark: Ticks


class PositionLiquidated(NamedTuple):
    """A liquidation order filled some of a position (L2)."""

    market: MarketId
    account: Address
    size: Lots
    """What was closed, signed as the liquidation order."""
    proceeds: Annotated[Quote, BIG]
    """g: what the account got, signed."""
    bankruptcy_quote: Annotated[Quote, BIG]
    """b: what it was due, signed."""
    vault_payment: Annotated[Quote, BIG]
    """Positive: the account's fee to the vault; negative: the vault paid the shortfall."""


class PositionTakenOver(NamedTuple):
    """The LiquidatorVault took a whole position for its bankruptcy quote (L3)."""

    market: MarketId
    account: Address
    size: Lots
    """What was closed, signed as the order that would have closed it."""
    bankruptcy_quote: Annotated[Quote, BIG]
    """b: what the account got, signed."""


class PositionDeleveraged(NamedTuple):
    """Two opposite positions closed what they have in common, for one's bankruptcy quote (L4)."""

    market: MarketId
    account: Address
    counterparty: Address
    size: Lots
    """What the account closed, signed as the order that would have closed it."""
    quote: Annotated[Quote, BIG]
    """What the account got from the counterparty, signed."""


class MarketSettled(NamedTuple):
    """The council closed a market for ever, every position at one price (X5)."""

    market: MarketId
    price: Ticks


class PositionSettled(NamedTuple):
    """A position was closed at the settlement price of its market (X5)."""

    market: MarketId
    account: Address
    size: Lots
    """What was closed, signed as the position."""
    proceeds: Annotated[Quote, BIG]
    """What the account got, signed."""


class BalanceAbsorbed(NamedTuple):
    """A negative balance without a position was set to 0 (L6)."""

    account: Address
    by_vault: Quote
    by_deficit: Quote


class CompensationOpened(NamedTuple):
    """The vault gave what the council has it repay; it waits in Refunds."""

    compensation: int
    root: Hash32
    refunds: int
    total: Quote
    pay_until: int


class RefundPaid(NamedTuple):
    """A refund of a compensation became an account's margin (I8)."""

    compensation: int
    account: Address
    index: int  # type: ignore[assignment]  # hides tuple.index
    amount: Quote


class CompensationClosed(NamedTuple):
    """A compensation ended; what was left returned to the vault."""

    compensation: int
    paid: int
    """How many refunds were."""
    returned: Quote


class Deposited(NamedTuple):
    """Tokens became margin (M3)."""

    account: Address
    amount: Quote


class Withdrawn(NamedTuple):
    """Margin became tokens (M3)."""

    account: Address
    amount: Quote


class OrderPlaced(NamedTuple):
    """An order was taken; what of it rests is size - Σ fills."""

    market: MarketId
    account: Address
    order_id: OrderId
    size: Lots
    price: Ticks
    time_in_force: TimeInForce
    reduce_only: bool
    expires_ms: TimeMs = NEVER
    client_id: int = NO_CLIENT_ID


class OrderReplaced(NamedTuple):
    """An order goes on: amended, or a stop order that came to rest (O1).

    A new number is later in time; the old one means that it kept its place.
    """

    market: MarketId
    account: Address
    order_id: OrderId
    new_order_id: OrderId
    size: Lots
    price: Ticks


class TriggerPlaced(NamedTuple):
    """A take-profit or stop-loss waits."""

    market: MarketId
    account: Address
    order_id: OrderId
    size: Lots
    trigger_price: Ticks
    kind: TriggerKind
    limit_price: Ticks = Ticks(0)
    reduce_only: bool = True
    expires_ms: TimeMs = NEVER
    client_id: int = NO_CLIENT_ID
    other: OrderId = OrderId(0)
    parent: OrderId = OrderId(0)


class TriggerActivated(NamedTuple):
    """A fill of its parent order lets a leg close so much (O1)."""

    market: MarketId
    account: Address
    order_id: OrderId
    size: Lots


class DeadlineSet(NamedTuple):
    """An account armed, renewed or, with 0, disarmed its dead-man's cancel (O1)."""

    account: Address
    cancel_at_ms: TimeMs


class DeadlinePassed(NamedTuple):
    """An account did not renew it: all that it had open is cancelled (O1)."""

    account: Address
    cancel_at_ms: TimeMs


class OwnMarginSet(NamedTuple):
    """An account set its own initial margin fraction; 0: the market's alone (M4)."""

    market: MarketId
    account: Address
    initial_margin_ppm: RatePpm


class AgentAuthorized(NamedTuple):
    """An agent may trade for the account until then (M4)."""

    account: Address
    agent: Address
    expires_ms: TimeMs


class AgentRevoked(NamedTuple):
    """An agent may no more (M4)."""

    account: Address
    agent: Address


class ActionResult(NamedTuple):
    """What one action of a batch did (O1)."""

    success: bool
    output: bytes
    """Its ABI return values, or the ABI error with which it was refused."""


class BatchExecuted(NamedTuple):
    """A batch was carried out, each action by itself (O1)."""

    account: Address
    sender: Address
    """The account, or its agent (M4)."""
    results: tuple[ActionResult, ...]


class PriceReported(NamedTuple):
    """A reporter's report counts (P1)."""

    market: MarketId
    reporter: Address
    price: Ticks
    observed_ms: TimeMs


class ReportRefused(NamedTuple):
    """A reporter's report does not count (P2); reason: see IOracle."""

    market: MarketId
    reporter: Address
    price: Ticks
    observed_ms: TimeMs
    reason: int


class ForkStarted(NamedTuple):
    """The block begins a branch, as the council signed (RECOVERY, fork step 1)."""

    fork_id: int
    snapshot_height: Height
    snapshot_hash: Hash32
    orphan_height: Height
    orphan_hash: Hash32
    plan_hash: Hash32
    reason: str


class NonceFloorRaised(NamedTuple):
    """Every counter of signatures begins here on this branch (RECOVERY, fork step 2)."""

    floor: int


class RestartGap(NamedTuple):
    """Time jumped; nothing accrues for it (RECOVERY, fork step 5)."""

    from_ms: TimeMs
    until_ms: TimeMs
    last_restart_height: Height


class PriceInvalidated(NamedTuple):
    """A market is STALE until a quorum reports on this branch (RECOVERY, fork step 6)."""

    market: MarketId
    price: Ticks


class HaltScheduled(NamedTuple):
    """The council halts the chain at the end of this block (X1); height 0: it no longer does."""

    height: Height


class ModeDecreed(NamedTuple):
    """The council sets a mode from the end of this block on; market 0 is the chain."""

    market: MarketId
    mode: Mode
    held: Mode
    """X2 leads no further toward OPEN."""


class JumpAcknowledged(NamedTuple):
    """The council acknowledged a price that waited as a JUMP: it is accepted (P2)."""

    market: MarketId
    price: Ticks


class MaintenanceScheduled(NamedTuple):
    """The council announces a maintenance window (X3)."""

    start_height: Height
    halt_height: Height
    end_ms: TimeMs


class ParameterSet(NamedTuple):
    """The council set a number, in force from the next block on; market 0 is the chain."""

    market: MarketId
    name: str
    value_before: int
    value: int


class ReportersSet(NamedTuple):
    """The council set who reports prices, from the next block on (P1)."""

    reporters: tuple[Address, ...]
    quorum: int


class BracketsSet(NamedTuple):
    """The council set a market's initial margin, from the next block on (G1)."""

    market: MarketId
    brackets: tuple[MarginBracket, ...]


class MarketListed(NamedTuple):
    """The council listed a market; it exists from the next block on (X5)."""

    market: MarketId
    symbol: str


TRANSITION_KINDS: dict[type, int] = {
    PriceAccepted: 1,
    ModeChanged: 2,
    FundingAccrued: 3,
    FundingRateSet: 4,
    FundingSettled: 5,
    OrderFilled: 6,
    OrderCancelled: 7,
    OrderReduced: 8,
    OrderTriggered: 9,
    PositionLiquidated: 10,
    BalanceAbsorbed: 11,
    ForkStarted: 12,
    NonceFloorRaised: 13,
    RestartGap: 14,
    PriceInvalidated: 15,
    OrderReplaced: 16,
    TriggerActivated: 17,
    DeadlinePassed: 18,
    PositionTakenOver: 19,
    PositionDeleveraged: 20,
    MarketSettled: 21,
    PositionSettled: 22,
    CompensationOpened: 23,
    RefundPaid: 24,
    CompensationClosed: 25,
}
"""The numbers are consensus: append, never renumber. Events without one are logs only."""

Event = (
    PriceAccepted
    | ModeChanged
    | FundingAccrued
    | FundingRateSet
    | FundingSettled
    | OrderFilled
    | OrderCancelled
    | OrderReduced
    | OrderTriggered
    | PositionLiquidated
    | BalanceAbsorbed
    | PositionTakenOver
    | PositionDeleveraged
    | MarketSettled
    | PositionSettled
    | CompensationOpened
    | RefundPaid
    | CompensationClosed
    | ForkStarted
    | NonceFloorRaised
    | RestartGap
    | PriceInvalidated
    | Deposited
    | Withdrawn
    | OrderPlaced
    | TriggerPlaced
    | OrderReplaced
    | TriggerActivated
    | DeadlineSet
    | DeadlinePassed
    | OwnMarginSet
    | AgentAuthorized
    | AgentRevoked
    | BatchExecuted
    | PriceReported
    | ReportRefused
    | HaltScheduled
    | ModeDecreed
    | JumpAcknowledged
    | MaintenanceScheduled
    | ParameterSet
    | ReportersSet
    | BracketsSet
    | MarketListed
)
