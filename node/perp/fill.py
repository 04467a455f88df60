"""One fill: money, positions, open interest and the book move together (RULES M2, O2, O3, I2).

`process_fill` assumes that the fill is allowed and does it whole; `trading` decides, and undoes it
through the ledger's checkpoint if an account may not carry it.
"""

from collections.abc import Sequence
from typing import NamedTuple

from node.perp.account import FEES, FLAT, Leg, Position, process_entry, process_membership
from node.perp.events import OrderCancelled, OrderFilled, OrderReduced
from node.perp.fee import FeeRates, compute_fee
from node.perp.funding import get_funding
from node.perp.ledger import Ledger
from node.perp.order import CancelReason, Order, Trigger
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


class Taker(NamedTuple):
    """Who meets the book, under which number, and what its fills cost."""

    owner: Address
    market: MarketId
    order_id: OrderId
    """0 for a liquidation, which is no order."""
    rates: FeeRates
    settlement: Settlement
    """What else moves with its fills."""


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
    rest = Lots(maker.size + size)
    book = ledger.book(market)
    if rest:
        book.put_order(maker._replace(size=rest))
    else:
        book.remove_order(maker.id)
    index = get_funding(ledger, market).index
    longs = _process_position(ledger, taker.owner, market, size, fill.price * k, index)
    longs += _process_position(ledger, maker.owner, market, Lots(-size), fill.price * k, index)
    # Both parties stand at the same index now, so Σ size · index does not move (I3).
    if longs:
        record = ledger.markets.get(market)
        assert record is not None, "a market has its counters"
        open_interest = Lots(record.open_interest + longs)
        ledger.markets.set(market, record._replace(open_interest=open_interest))
    process_membership(ledger, taker.owner, market)
    process_membership(ledger, maker.owner, market)
    process_reduce_only(ledger, taker.owner, market)
    process_reduce_only(ledger, maker.owner, market)


def compute_position(
    before: Position, change: Lots, *, lot_value: int, index: FundingIndex
) -> Position:
    """Return the position after a change at `lot_value` atoms a lot (M2).

    An increase adds to the entry value, a reduction takes off its proportional part, trunc (the
    rest stays with what is open), a flip begins anew. `index` is the market's, funding settled.
    """
    size = Lots(before.size + change)
    if (before.size >= 0) == (change > 0) or before.size == 0:
        entry_value = before.entry_value + change * lot_value
    elif abs(change) <= abs(before.size):
        entry_value = before.entry_value - mul_div_trunc(
            before.entry_value, abs(change), abs(before.size)
        )
    else:
        entry_value = size * lot_value
    return Position(size, Quote(entry_value), index)


def _process_position(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    change: Lots,
    lot_value: int,
    index: FundingIndex,
) -> int:
    """Write the position after a change and return by how much the longs grew (I2)."""
    before = ledger.positions.get((owner, market)) or FLAT
    assert not before.size or before.funding_index == index, "funding is settled before a fill"
    after = compute_position(before, change, lot_value=lot_value, index=index)
    if after.size:
        ledger.positions.set((owner, market), after)
    else:
        ledger.positions.delete((owner, market))
    return max(after.size, 0) - max(before.size, 0)


def process_reduce_only(ledger: Ledger, owner: Address, market: MarketId) -> None:
    """Shrink resting reduce-only orders to the position, cancel those that oppose none (O2)."""
    orders = ledger.book(market).reduce_only_of(owner)
    if not orders:
        return
    position = ledger.positions.get((owner, market)) or FLAT
    for order in orders:
        size = compute_reducible(position.size, order.size)
        if size == 0:
            process_removal(ledger, market, order, CancelReason.REDUCE_ONLY)
        elif size != order.size:
            ledger.book(market).put_order(order._replace(size=size))
            ledger.emit(OrderReduced(market, owner, order.id, order.size, size))


def compute_reducible(position: Lots, size: Lots) -> Lots:
    """Return what of an order of `size` can reduce the position; 0 if it opposes none (O2)."""
    if position > 0 > size:
        return max(size, Lots(-position))
    if position < 0 < size:
        return min(size, Lots(-position))
    return Lots(0)


def process_removal(ledger: Ledger, market: MarketId, order: Order, reason: CancelReason) -> None:
    """Cancel a resting order, whatever the reason; cancels need no test (G3)."""
    ledger.book(market).remove_order(order.id)
    process_membership(ledger, order.owner, market)
    ledger.emit(OrderCancelled(market, order.owner, order.id, order.size, reason))


def process_trigger_removal(
    ledger: Ledger, market: MarketId, trigger: Trigger, reason: CancelReason
) -> None:
    """Cancel a trigger, whatever the reason."""
    ledger.book(market).remove_trigger(trigger.id)
    process_membership(ledger, trigger.owner, market)
    ledger.emit(OrderCancelled(market, trigger.owner, trigger.id, trigger.size, reason))
