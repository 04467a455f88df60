"""One fill: money, positions, open interest and the book move together (RULES M2, O2, O3, I2).

`process_fill` assumes that the fill is allowed and does it whole; `trading` decides, and undoes it
through the ledger's checkpoint if an account may not carry it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from node.perp.account import FEES, FLAT, VAULT, Leg, Position, process_entry, process_membership
from node.perp.events import OrderFilled
from node.perp.fee import FeeRates, compute_fee
from node.perp.follow import (
    compute_reducible,
    process_activation,
    process_reduce_only,
    process_removal,
    process_trigger_removal,
)
from node.perp.funding import get_funding
from node.perp.ledger import Ledger
from node.perp.mark import process_last_trade
from node.perp.order import CancelReason, Order, SelfTrade
from node.perp.settlement import Settlement
from node.units import (
    Address,
    FundingIndex,
    Lots,
    MarketId,
    OrderId,
    Quote,
    Ticks,
    mul_div_trunc,
    notional,
)

__all__ = [
    "Fill",
    "Taker",
    "compute_position",
    "compute_reducible",
    "process_fill",
    "process_reduce_only",
    "process_removal",
    "process_transfer",
    "process_trigger_removal",
]


class Taker(NamedTuple):
    """Who meets the book, under which number, and what its fills cost."""

    owner: Address
    market: MarketId
    order_id: OrderId
    """0 for a liquidation, which is no order."""
    rates: FeeRates
    settlement: Settlement
    """What else moves with its fills."""
    self_trade: SelfTrade = SelfTrade.CANCEL_MAKER
    """What happens when it meets its owner's own order (O2)."""
    other: OrderId = OrderId(0)
    """The leg that its first fill cancels (O5); 0: none."""

    @property
    def is_exempt(self) -> bool:
        """Whether it needs no G3: a liquidation (L2), or the vault that works off (L3)."""
        return self.settlement.is_liquidation or self.owner == VAULT


class Fill(NamedTuple):
    """What a taker gets from one maker."""

    size: Lots
    """Signed as the taker's: positive means the taker buys."""
    price: Ticks
    legs: Sequence[Leg]
    """What joins the fill's journal entry: the vault's part in a liquidation (L2, L5)."""


def process_fill(ledger: Ledger, taker: Taker, maker: Order, fill: Fill) -> None:
    """Trade `fill.size` between a taker and a resting order of somebody else's (O2).

    Funding of both is settled (the caller's part). Money moves by one journal entry: notional, fees
    and the fill's own legs (I5, L5). Resting reduce-only orders follow their owner's position.
    """
    market, size = taker.market, fill.size
    assert maker.owner != taker.owner, "an account does not trade with itself"
    assert 0 < size <= -maker.size or -maker.size <= size < 0, "a fill takes what rests"
    k = ledger.market_params(market).k
    cost = notional(size, fill.price, k)
    taker_fee = compute_fee(Quote(abs(cost)), taker.rates.taker_ppm)
    maker_fee = compute_fee(Quote(abs(cost)), taker.rates.maker_ppm)
    process_entry(
        ledger,
        (
            Leg(taker.owner, Quote(-cost - taker_fee)),
            Leg(maker.owner, Quote(cost - maker_fee)),
            Leg(FEES, Quote(taker_fee + maker_fee)),
            *fill.legs,
        ),
    )
    ledger.emit(
        OrderFilled(
            market,
            maker.owner,
            taker.owner,
            maker.id,
            taker.order_id,
            size,
            fill.price,
            maker_fee,
            taker_fee,
            taker.settlement.is_liquidation,
        )
    )
    if not taker.is_exempt:
        process_last_trade(ledger, market, fill.price)
    rest = Lots(maker.size + size)
    book = ledger.book(market)
    if rest:
        book.put_order(maker._replace(size=rest))
    else:
        book.remove_order(maker.id)
    if book.has_children:
        process_activation(ledger, market, maker.id, Lots(abs(size)))
        process_activation(ledger, market, taker.order_id, Lots(abs(size)))
    if taker.other in book.triggers:
        process_trigger_removal(ledger, market, book.triggers[taker.other], CancelReason.PAIR)
    process_transfer(ledger, market, receiver=taker.owner, giver=maker.owner, size=size, cost=cost)


def process_transfer(
    ledger: Ledger,
    market: MarketId,
    *,
    receiver: Address,
    giver: Address,
    size: Lots,
    cost: Quote,
) -> None:
    """Move signed lots from one account to another; the money is the caller's matter (M2, I2, O2).

    `cost` is what the receiver pays for them, signed as the size. Funding of both is settled.
    """
    index = get_funding(ledger, market).index
    longs = _process_position(ledger, receiver, market, size, cost, index)
    longs += _process_position(ledger, giver, market, Lots(-size), Quote(-cost), index)
    # Both parties stand at the same index now, so Σ size · index does not move (I3).
    if longs:
        record = ledger.markets.get(market)
        assert record is not None, "a market has its counters"
        open_interest = Lots(record.open_interest + longs)
        ledger.markets.set(market, record._replace(open_interest=open_interest))
    process_membership(ledger, receiver, market)
    process_membership(ledger, giver, market)
    process_reduce_only(ledger, receiver, market)
    process_reduce_only(ledger, giver, market)


def compute_position(
    before: Position, change: Lots, *, cost: Quote, index: FundingIndex
) -> Position:
    """Return the position after a change that costs `cost`, signed as the change (M2).

    An increase adds to the entry value, a reduction takes off its proportional part, trunc (the
    rest stays with what is open), a flip begins anew with its part of the cost, trunc. `index` is
    the market's, funding settled.
    """
    size = Lots(before.size + change)
    if (before.size >= 0) == (change > 0) or before.size == 0:
        entry_value = before.entry_value + cost
    elif abs(change) <= abs(before.size):
        entry_value = before.entry_value - mul_div_trunc(
            before.entry_value, abs(change), abs(before.size)
        )
    else:
        entry_value = mul_div_trunc(cost, size, change)
    return Position(size, Quote(entry_value), index)


def _process_position(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    change: Lots,
    cost: Quote,
    index: FundingIndex,
) -> int:
    """Write the position after a change and return by how much the longs grew (I2)."""
    before = ledger.positions.get((owner, market)) or FLAT
    assert not before.size or before.funding_index == index, "funding is settled before a fill"
    after = compute_position(before, change, cost=cost, index=index)
    if after.size:
        ledger.positions.set((owner, market), after)
    else:
        ledger.positions.delete((owner, market))
    return max(after.size, 0) - max(before.size, 0)
