"""Take-profit and stop-loss: reduce-only market orders that wait for a mark (RULES O5).

A trigger fires at the end of the block whose mark reaches its price. From the next block on its
order is tried ahead of all takers, each block until it is filled or nothing is left to reduce.
"""

from node.errors import InvalidPrice, InvalidSize, NoPrice, ReduceOnlyWouldIncrease
from node.perp.account import get_position, process_membership
from node.perp.events import OrderTriggered, TriggerPlaced
from node.perp.fill import compute_reducible, process_trigger_removal
from node.perp.ledger import Ledger
from node.perp.mark import get_mark
from node.perp.order import CancelReason, Trigger, TriggerRequest
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode, get_mode, is_in_grace, require_mode
from node.perp.trading import compute_band_limit, process_reduce_only_ioc
from node.units import (
    PPM,
    Address,
    Lots,
    MarketId,
    OrderId,
    Ticks,
    mul_div_ceil,
    mul_div_floor,
)

TRIGGER_BAND_PPM = 100_000
"""10 %: how far from the mark that fired it a triggered order may trade (O5)."""


def process_trigger_request(ledger: Ledger, owner: Address, request: TriggerRequest) -> OrderId:
    """Let a trigger wait; one that the mark reaches already fires at the end of this block (O5).

    Its size is capped to the position when it fires. Raise NotAllowedInMode unless OPEN,
    InvalidSize, InvalidPrice, NoPrice, or ReduceOnlyWouldIncrease if it opposes no position.
    """
    market, size, trigger_price, kind = request
    require_mode(ledger, market, Mode.OPEN)
    if not 0 < abs(size) <= MAGNITUDE_MAX:
        raise InvalidSize(size)
    if not 0 < trigger_price <= MAGNITUDE_MAX:
        raise InvalidPrice(trigger_price)
    if get_mark(ledger, market) == 0:
        raise NoPrice(market)
    position = get_position(ledger, owner, market)
    if compute_reducible(position.size, size) == 0:
        raise ReduceOnlyWouldIncrease(position.size, size)
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    trigger_id = record.next_order_id
    ledger.markets.set(market, record._replace(next_order_id=OrderId(trigger_id + 1)))
    ledger.book(market).put_trigger(
        Trigger(trigger_id, owner, size, trigger_price, kind, fired_mark=Ticks(0))
    )
    process_membership(ledger, owner, market)
    ledger.emit(TriggerPlaced(market, owner, trigger_id, size, trigger_price, kind))
    return trigger_id


def process_new_triggers(ledger: Ledger) -> None:
    """Fire what the block's mark reaches, inclusive; their orders enter the next block (O5).

    Only in OPEN markets past their grace period (X4).
    """
    for market in ledger.market_ids:
        book = ledger.book(market)
        if not book.triggers or not _is_active(ledger, market):
            continue
        mark = get_mark(ledger, market)
        for trigger in book.triggers_at(mark):
            book.put_trigger(trigger._replace(fired_mark=mark))
            ledger.emit(OrderTriggered(market, trigger.owner, trigger.id, mark))


def process_fired_triggers(ledger: Ledger) -> None:
    """Try the orders of fired triggers, by market and id, at most triggers_max (O5, O8).

    One that could not trade now is passed over and does not count, so that it can't keep others
    waiting for ever.
    """
    tries = 0
    for market in ledger.market_ids:
        book = ledger.book(market)
        if not book.triggers or not _is_active(ledger, market):
            continue
        for trigger in book.fired_triggers():
            if tries == ledger.params.triggers_max:
                return
            tries += _process_fired(ledger, market, trigger)


def compute_trigger_bound(fired_mark: Ticks, band_limit: Ticks, size: Lots) -> Ticks:
    """Return the tighter of 10 % from the mark that fired it and O4's band at the mark (O5).

    Inward rounding: floor for buys, ceil for sells.
    """
    if size > 0:
        return min(band_limit, Ticks(mul_div_floor(fired_mark, PPM + TRIGGER_BAND_PPM, PPM)))
    return max(band_limit, Ticks(mul_div_ceil(fired_mark, PPM - TRIGGER_BAND_PPM, PPM)))


def _is_active(ledger: Ledger, market: MarketId) -> bool:
    return (
        get_mode(ledger, market) == Mode.OPEN
        and get_mark(ledger, market) > 0
        and not is_in_grace(ledger, market)
    )


def _process_fired(ledger: Ledger, market: MarketId, trigger: Trigger) -> bool:
    """Trade what the trigger may, and keep what is left of it; tell whether anything happened."""
    owner = trigger.owner
    size = compute_reducible(get_position(ledger, owner, market).size, trigger.size)
    if size == 0:
        process_trigger_removal(ledger, market, trigger, CancelReason.REDUCE_ONLY)
        return True
    params, mark = ledger.market_params(market), get_mark(ledger, market)
    bound = compute_trigger_bound(trigger.fired_mark, compute_band_limit(params, mark, size), size)
    filled = process_reduce_only_ioc(ledger, owner, market, size, bound, order_id=trigger.id).size
    if filled == 0:
        return False
    rest = Lots(trigger.size - filled)
    book = ledger.book(market)
    if rest == 0:
        book.remove_trigger(trigger.id)
        process_membership(ledger, owner, market)
        return True
    left = trigger._replace(size=rest)
    book.put_trigger(left)
    if compute_reducible(get_position(ledger, owner, market).size, rest) == 0:
        process_trigger_removal(ledger, market, left, CancelReason.REDUCE_ONLY)
    return True
