"""Orders as people ask for them, as they rest, and as they wait for a trigger (RULES O1, O5)."""

from enum import IntEnum
from typing import NamedTuple

from node.units import Address, Lots, MarketId, OrderId, Ticks


class TimeInForce(IntEnum):
    """What happens to what does not trade at once; the codes are the ABI's."""

    GTC = 0
    """Rests until cancelled."""
    IOC = 1
    """Is cancelled."""
    POST_ONLY = 2
    """Rests; refused if it would trade (O2)."""


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


class OrderRequest(NamedTuple):
    """What a limit or IOC order asks for."""

    market: MarketId
    size: Lots
    """Signed: positive buys."""
    price: Ticks
    time_in_force: TimeInForce
    reduce_only: bool


class TriggerRequest(NamedTuple):
    """What a take-profit or stop-loss asks for: a reduce-only market order at a trigger price."""

    market: MarketId
    size: Lots
    """Signed: positive buys, closing a short."""
    trigger_price: Ticks
    kind: TriggerKind


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


class Trigger(NamedTuple):
    """A waiting take-profit or stop-loss; key: (market, id) under the market's address."""

    id: OrderId
    owner: Address
    size: Lots
    """What remains to be closed, signed: positive buys."""
    trigger_price: Ticks
    kind: TriggerKind
    fired_mark: Ticks
    """The mark that fired it; 0 while it waits. Once fired it tries each block (O5)."""
