"""Orders that an account's equity no longer carries are cancelled before anybody takes them (G5).

Quotes of an account that lost money are a promise that others would have to keep. The most passive
go first, so that what is about to trade stays as long as it can.
"""

from node.perp.account import get_account, get_position
from node.perp.fill import process_removal
from node.perp.health import Sights, process_judgement
from node.perp.ledger import Ledger
from node.perp.margin import compute_risk
from node.perp.order import CancelReason, Order
from node.units import PPM, Address, MarketId, Ticks, mul_div_floor


def process_shedding(ledger: Ledger, sights: Sights) -> None:
    """Cancel what accounts below their initial margin have resting, as far as it takes (G5).

    Only in OPEN markets past their grace period (X4); reduce-only orders stay. Whoever could be
    below is in the watch's `unsafe` (`health.process_watch`).
    """
    for owner in sorted(ledger.watch.unsafe):
        if _process_account(ledger, owner, sights):
            process_judgement(ledger, owner, sights)


def _process_account(ledger: Ledger, owner: Address, sights: Sights) -> bool:
    """Cancel until equity ≥ IM or none is left that adds risk; tell whether any was cancelled."""
    orders = [
        (market, order)
        for market in get_account(ledger, owner).markets
        if not sights[market].is_waiting
        for order in ledger.book(market).orders_of(owner)
        if not order.reduce_only
    ]
    orders.sort(key=lambda row: _rank(row[0], row[1], sights[row[0]].mark))
    is_changed = False
    for market, order in orders:
        risk = compute_risk(ledger, owner)
        if risk.equity >= risk.initial:
            break
        if _adds_risk(ledger, market, order):
            process_removal(ledger, market, order, CancelReason.UNCOVERED)
            is_changed = True
    return is_changed


def _adds_risk(ledger: Ledger, market: MarketId, order: Order) -> bool:
    """Tell whether the orders on its side could do more than close the position (G5).

    A way out is no risk, whether its owner called it reduce-only or not.
    """
    position = get_position(ledger, order.owner, market).size
    exposure = ledger.book(market).exposure_of(order.owner)
    if order.size > 0:
        return exposure.buys > -position
    return exposure.sells > position


def _rank(market: MarketId, order: Order, mark: Ticks) -> tuple[int, int, MarketId, int]:
    """Return what sorts the most passive first, then the newest (G5).

    The distance is in ppm of the mark, floor, negative for an order priced through it. Newest is
    the later block, between markets the lower one's, within a market the higher id.
    """
    passive = mark - order.price if order.size > 0 else order.price - mark
    return (-compute_distance_ppm(passive, mark), -order.height, market, -order.id)


def compute_distance_ppm(distance: int, mark: Ticks) -> int:
    """Return a distance from the mark in ppm of it, floor."""
    return mul_div_floor(distance, PPM, mark)
