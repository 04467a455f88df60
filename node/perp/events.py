"""What the protocol did: each event is a log that anybody can read, most are transitions too.

A transition is the array [kind, *fields] in the block's transition list (DESIGN section 4): whoever
receives a block recomputes its own list and compares item by item, so a field's name is what a
dispute will say. The ABI event of the same name (contracts/interfaces) has the same fields.
"""

from typing import Annotated, NamedTuple

from node.encoding import BIG
from node.perp.order import CancelReason, TimeInForce, TriggerKind
from node.perp.status import Mode, ModeReason
from node.units import (
    Address,
    DurationMs,
    FundingIndex,
    Lots,
    MarketId,
    OrderId,
    Quote,
    RatePpb,
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


class BalanceAbsorbed(NamedTuple):
    """A negative balance without a position was set to 0 (L6)."""

    account: Address
    by_vault: Quote
    by_deficit: Quote


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


class TriggerPlaced(NamedTuple):
    """A take-profit or stop-loss waits."""

    market: MarketId
    account: Address
    order_id: OrderId
    size: Lots
    trigger_price: Ticks
    kind: TriggerKind


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
    | Deposited
    | Withdrawn
    | OrderPlaced
    | TriggerPlaced
    | PriceReported
    | ReportRefused
)
