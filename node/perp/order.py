"""Orders as people ask for them, as they rest, and as they wait for a trigger (RULES O1, O5)."""

from enum import IntEnum
from typing import NamedTuple

from node.units import Address, Lots, MarketId, OrderId, Ticks, TimeMs


class TimeInForce(IntEnum):
    """What happens to what does not trade at once; the codes are the ABI's."""

    GTC = 0
    """Rests until cancelled."""
    IOC = 1
    """Is cancelled."""
    POST_ONLY = 2
    """Rests; refused if it would trade (O2)."""
    FOK = 3
    """Trades whole at once, or is refused (O2)."""
    GTT = 4
    """Rests until its expiry."""


class SelfTrade(IntEnum):
    """What happens when a taker meets its owner's own order (O2); the codes are the ABI's."""

    CANCEL_MAKER = 0
    EXPIRE_TAKER = 1
    """The taker's rest is cancelled."""
    CANCEL_BOTH = 2


class TriggerKind(IntEnum):
    """Which side of the trigger price fires; the codes are the ABI's."""

    STOP_LOSS = 0
    """Fires when the mark moves against the position it closes."""
    TAKE_PROFIT = 1
    """Fires when the mark moves in favour of the position it closes."""


class CancelReason(IntEnum):
    """Why an order or trigger left without a fill; the codes are the ABI's."""

    REQUESTED = 0
    SELF_TRADE = 1
    """The maker is cancelled by its owner's own taker (O2)."""
    MARGIN = 2
    """The maker failed G3 at the match (G4)."""
    REDUCE_ONLY = 3
    """Nothing is left to reduce (O2)."""
    IMMEDIATE = 4
    """The rest of an IOC, market or triggered order."""
    MAKER_LIMIT = 5
    """The taker removed its maximum of makers in this block (O8)."""
    LIQUIDATION = 6
    """Cancelled before the account's liquidation (L2)."""
    MODE = 7
    """Too aggressive for POST_ONLY (Modes)."""
    PRICE_BAND = 8
    """The rest of an aggressive order met the band (O4)."""
    FORK = 9
    """A fork cancels all but take-profits and stop-losses (RECOVERY, fork step 4)."""
    GOVERNANCE = 10
    """The council cancelled it."""
    EXPIRED = 11
    """Its time was over (O1)."""
    PAIR = 12
    """The pair's other leg was filled (O5)."""
    PARENT = 13
    """Its parent order left without a fill (O1)."""
    DEADLINE = 14
    """Its owner did not renew the dead-man's cancel (O1)."""
    LIMIT = 15
    """It would pass the market's maximum position or open interest (O7)."""
    UNCOVERED = 16
    """Its account's equity no longer carries it (G5)."""
    SETTLEMENT = 17
    """Its market was closed for ever (X5)."""


class CancelFilter(IntEnum):
    """What the council cancels; the codes are the ABI's."""

    ALL_BUT_TRIGGERS = 0
    """All that rests in all markets; take-profits and stop-losses stay, triggered or not."""
    MARKET = 1
    """All of a market, triggers too."""
    ACCOUNT = 2
    """All of an account, triggers too."""


NO_CLIENT_ID = 0
"""An order without a client id of its owner's."""
NEVER = TimeMs(0)
"""An order without an expiry."""


class OrderRequest(NamedTuple):
    """What a limit or IOC order asks for."""

    market: MarketId
    size: Lots
    """Signed: positive buys."""
    price: Ticks
    time_in_force: TimeInForce
    reduce_only: bool
    expires_ms: TimeMs = NEVER
    """From this block time on it is gone: GTT needs it, POST_ONLY may have it (O1)."""
    client_id: int = NO_CLIENT_ID
    """The owner's own number, unique among what the account has open (O1)."""
    self_trade: SelfTrade = SelfTrade.CANCEL_MAKER


class TriggerRequest(NamedTuple):
    """What a take-profit or stop-loss asks for: an order at a trigger price."""

    market: MarketId
    size: Lots
    """Signed: positive buys, closing a short."""
    trigger_price: Ticks
    kind: TriggerKind
    limit_price: Ticks = Ticks(0)
    """The worst price at which it trades; 0: a market order's."""
    reduce_only: bool = True
    """Whether it only closes; if not, it may also open a position (a stop order)."""
    expires_ms: TimeMs = NEVER
    client_id: int = NO_CLIENT_ID


class Order(NamedTuple):
    """A resting order; key: (market, id) under the market's address."""

    id: OrderId
    owner: Address
    size: Lots
    """What remains, signed: positive buys; never 0 (I2)."""
    price: Ticks
    reduce_only: bool
    height: int
    """The block in which it came to rest: F1 looks at earlier ones only."""
    client_id: int = NO_CLIENT_ID
    expires_ms: TimeMs = NEVER
    post_only: bool = False
    """An amendment must not take either (O1)."""


class Trigger(NamedTuple):
    """A waiting take-profit or stop-loss; key: (market, id) under the market's address."""

    id: OrderId
    owner: Address
    size: Lots
    """What remains to be traded, signed: positive buys; what waits for the parent included."""
    trigger_price: Ticks
    kind: TriggerKind
    fired_mark: Ticks
    """The mark that fired it; 0 while it waits. Once fired it tries each block (O5)."""
    limit_price: Ticks = Ticks(0)
    """The worst price at which it trades; 0: a market order's."""
    reduce_only: bool = True
    expires_ms: TimeMs = NEVER
    client_id: int = NO_CLIENT_ID
    other: OrderId = OrderId(0)
    """The pair's other leg while it is open, else 0 (O1)."""
    parent: OrderId = OrderId(0)
    """The resting order whose fills activate it; 0: none, or no more (O1)."""
    pending: Lots = Lots(0)
    """How many lots of the size wait for the parent's fills, ≥ 0."""

    @property
    def active(self) -> Lots:
        """What may be traded now, signed like the size."""
        return Lots(self.size - self.pending if self.size > 0 else self.size + self.pending)
