"""How a market ends: every position closed at one price, by the council's word (RULES X5).

Without it a dead oracle would lock positions for ever. Nothing is traded and nobody is asked: what
a position is worth at the settlement price is paid in one entry that sums to zero because the sizes
do. Who is left with less than nothing is a debtor like any other (L6).
"""

from collections.abc import Sequence

from node.errors import InvalidPrice, SettlementPriceTooFar
from node.perp.account import Leg, get_position, process_entry, process_membership
from node.perp.decrees import process_decree
from node.perp.events import MarketSettled, PositionSettled
from node.perp.fill import process_removal, process_trigger_removal
from node.perp.funding import reset_funding, settle_funding
from node.perp.ledger import Ledger
from node.perp.market import Closure, require_living
from node.perp.modes import set_market_mode
from node.perp.oracle import get_oracle, is_within
from node.perp.order import CancelReason
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Decree, Mode, ModeReason, get_mode, get_status
from node.units import Address, Lots, MarketId, Ticks, notional


def require_settlement_price(ledger: Ledger, market: MarketId, price: Ticks) -> None:
    """Raise SettlementPriceTooFar unless within max_move of the last accepted price (X5).

    An action that names a price beyond it on purpose does not ask. Raise MarketNotFound or
    MarketClosed.
    """
    require_living(ledger, market)
    last = get_oracle(ledger, market).price
    if not is_within(price, last, ledger.market_params(market).price_move_ppm_max):
        raise SettlementPriceTooFar(market, price, last)


def process_settlement(ledger: Ledger, market: MarketId, price: Ticks) -> int:
    """Close a market for ever: orders cancelled, funding settled, positions closed at `price` (X5).

    In any mode. By order id and by account. The funding pool keeps the named dust (F4). The market
    is HALTED from now on. Return how many positions there were. Raise MarketNotFound, MarketClosed
    or InvalidPrice.
    """
    require_living(ledger, market)
    if not 0 < price <= MAGNITUDE_MAX:
        raise InvalidPrice(price)
    _process_cancels(ledger, market)
    owners = [
        owner for owner in ledger.holders() if ledger.positions.get((owner, market)) is not None
    ]
    for owner in owners:
        settle_funding(ledger, owner, market)
    _process_positions(ledger, market, price, owners)
    ledger.closures.set(market, Closure(price, ledger.height))
    ledger.emit(MarketSettled(market, price))
    if get_mode(ledger, market) == Mode.OPEN:
        reset_funding(ledger, market)
    process_decree(ledger, Decree(market, Mode.HALTED, held=Mode.HALTED))
    if get_status(ledger, market).mode != Mode.HALTED:
        set_market_mode(ledger, market, Mode.HALTED, ModeReason.GOVERNANCE)
    return len(owners)


def _process_cancels(ledger: Ledger, market: MarketId) -> None:
    book = ledger.book(market)
    for order_id in sorted(book.orders):
        process_removal(ledger, market, book.orders[order_id], CancelReason.SETTLEMENT)
    for trigger_id in sorted(book.triggers):
        process_trigger_removal(ledger, market, book.triggers[trigger_id], CancelReason.SETTLEMENT)


def _process_positions(
    ledger: Ledger, market: MarketId, price: Ticks, owners: Sequence[Address]
) -> None:
    k = ledger.market_params(market).k
    legs = []
    for owner in owners:
        size = get_position(ledger, owner, market).size
        proceeds = notional(size, price, k)
        legs.append(Leg(owner, proceeds))
        ledger.emit(PositionSettled(market, owner, size, proceeds))
        ledger.positions.delete((owner, market))
    process_entry(ledger, legs)
    for owner in owners:
        process_membership(ledger, owner, market)
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    ledger.markets.set(market, record._replace(open_interest=Lots(0)))
