"""How a taker meets the book (RULES O2, O7, O8, G3, G4).

By price and time, at the makers' prices. Every fill is tried whole, tested, and undone if one of
its parties may not carry it: a maker that fails is cancelled and matching goes on, a taker that
fails stops.
"""

from typing import NamedTuple

from node.errors import (
    InsufficientMargin,
    OpenInterestTooLarge,
    PositionTooLarge,
    Refusal,
    SelfTradeRefused,
)
from node.perp.account import get_position
from node.perp.book import Book
from node.perp.fill import Fill, Taker, process_fill
from node.perp.follow import compute_reducible, process_removal
from node.perp.funding import settle_funding
from node.perp.ledger import Ledger
from node.perp.limits import get_position_refusal
from node.perp.margin import Risk, compute_oi_margin, compute_risk, is_covered, is_reduction
from node.perp.order import CancelReason, Order, SelfTrade
from node.perp.settlement import TRADE, Settlement
from node.units import Address, Lots, MarketId, OrderId, Quote, Ticks


class Fills(NamedTuple):
    """What an immediate order did."""

    size: Lots
    """Σ of the fills, signed."""
    fills: tuple[Fill, ...]


class Match(NamedTuple):
    """How an order met the book."""

    size: Lots
    """Σ of the fills, signed."""
    fills: tuple[Fill, ...]
    removals: int
    """Makers that left the book, filled whole or cancelled (O8)."""
    stop: CancelReason | None
    """Why it ended before the size or the crossing orders did; None if it did not."""
    refusal: Refusal | None
    """What stopped it, if nothing else happened."""

    @property
    def is_nothing(self) -> bool:
        """Whether the book is as it was."""
        return not self.fills and not self.removals


NO_MATCH = Match(Lots(0), (), 0, None, None)


def process_match(ledger: Ledger, taker: Taker, size: Lots, bound: Ticks) -> Match:
    """Meet the book by price and time, at the makers' prices, up to `bound` (O2).

    A maker that fails its test or would pass its maximum position (O7) is cancelled (G4), and so
    is, unless the taker asked for something else, one of the taker's own. Every maker that leaves
    the book, filled whole or cancelled, counts toward the taker's maximum (O8): its gas is fixed,
    so its work is bounded. A taker that fails its test, or would lift open interest above its cap
    (O7), stops.
    """
    market, settlement = taker.market, taker.settlement
    book = ledger.book(market)
    fills: list[Fill] = []
    removals = 0
    rest = size
    stop: CancelReason | None = None
    refusal: Refusal | None = None
    while rest and (maker := find_crossing(book, rest, bound)) is not None:
        if removals == ledger.params.maker_removals_max:
            stop = CancelReason.MAKER_LIMIT
            break
        if maker.owner == taker.owner:
            if taker.self_trade != SelfTrade.CANCEL_MAKER:
                stop, refusal = CancelReason.SELF_TRADE, SelfTradeRefused(market, maker.id)
            if taker.self_trade == SelfTrade.EXPIRE_TAKER:
                break
            process_removal(ledger, market, maker, CancelReason.SELF_TRADE)
            removals += 1
            if stop is not None:
                break
            continue
        settle_funding(ledger, maker.owner, market)
        settle_funding(ledger, taker.owner, market)
        amount = min(rest, Lots(-maker.size)) if rest > 0 else max(rest, Lots(-maker.size))
        legs = settlement.compute_legs(ledger, taker.owner, market, size=amount, price=maker.price)
        if legs is None:
            break
        fill = Fill(amount, maker.price, legs)
        refused = _process_tested_fill(ledger, taker, maker, fill)
        if refused is None:
            settlement.process_filled(ledger, taker.owner, market)
            fills.append(fill)
            rest = Lots(rest - amount)
            removals += amount == -maker.size
            continue
        if isinstance(refused, OpenInterestTooLarge):
            stop, refusal = CancelReason.LIMIT, refused
            break
        if isinstance(refused, PositionTooLarge):
            process_removal(ledger, market, maker, CancelReason.LIMIT)
            removals += 1
            continue
        if refused.account == taker.owner:
            stop, refusal = CancelReason.MARGIN, refused
            break
        process_removal(ledger, market, maker, CancelReason.MARGIN)
        removals += 1
    return Match(Lots(size - rest), tuple(fills), removals, stop, refusal)


def process_reduce_only_ioc(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    size: Lots,
    limit: Ticks,
    *,
    order_id: OrderId,
    settlement: Settlement = TRADE,
) -> Fills:
    """Trade what reduces the owner's position, up to `limit` (L2, L3).

    For what is numbered and announced already: liquidations and the vault's orders under 0. No
    price band (O4) but `limit`; nothing filled is no error, the caller decides about the rest. A
    liquidated taker is not tested (G3): its settlement says what is due with each fill, or stops.
    """
    rates = settlement.compute_rates(ledger.market_params(market))
    size = compute_reducible(get_position(ledger, owner, market).size, size)
    match = process_match(ledger, Taker(owner, market, order_id, rates, settlement), size, limit)
    return Fills(match.size, match.fills)


def find_crossing(book: Book, size: Lots, bound: Ticks) -> Order | None:
    """Return the first opposing order, unless it lies beyond `bound`."""
    if size > 0:
        ask = book.best_ask()
        return ask if ask is not None and ask.price <= bound else None
    bid = book.best_bid()
    return bid if bid is not None and bid.price >= bound else None


def _process_tested_fill(
    ledger: Ledger, taker: Taker, maker: Order, fill: Fill
) -> InsufficientMargin | OpenInterestTooLarge | PositionTooLarge | None:
    """Fill if maker, taker and market may carry it, else undo it and say who may not (G3, G4).

    The maximum position binds the maker: a taker was asked for all of its size when it was placed.
    Most parties are covered afterwards, and nobody needs to know how they stood before.
    """
    too_large = get_position_refusal(ledger, maker.owner, taker.market, Lots(-fill.size))
    if too_large is not None:
        return too_large
    is_tested = not taker.is_exempt
    size_before = get_position(ledger, taker.owner, taker.market).size
    interest_before = _get_open_interest(ledger, taker.market)
    checkpoint = ledger.checkpoint()
    process_fill(ledger, taker, maker, fill)
    maker_after, taker_after = compute_risk(ledger, maker.owner), compute_risk(ledger, taker.owner)
    oi_margin = Quote(0)
    if is_tested and abs(size_before + fill.size) > abs(size_before):
        oi_margin = compute_oi_margin(ledger, taker.owner, taker.market)
    if not is_covered(maker_after, Quote(0)) or (
        is_tested and not is_covered(taker_after, oi_margin)
    ):
        ledger.revert(checkpoint)
        refusal = _test_fill(ledger, maker.owner, maker_after, Quote(0))
        if refusal is None and is_tested:
            refusal = _test_fill(ledger, taker.owner, taker_after, oi_margin)
        if refusal is not None:
            return refusal
        process_fill(ledger, taker, maker, fill)
    if not is_tested:
        return None
    excess = _test_open_interest(ledger, taker.market, interest_before)
    if excess is not None:
        ledger.revert(checkpoint)
    return excess


def _test_fill(
    ledger: Ledger, owner: Address, after: Risk, oi_margin: Quote
) -> InsufficientMargin | None:
    """Return what stands against a fill that is undone: not covered, and no reduction (G3)."""
    if is_covered(after, oi_margin) or is_reduction(compute_risk(ledger, owner), after):
        return None
    return InsufficientMargin(owner, after.equity, Quote(after.initial + oi_margin))


def _test_open_interest(
    ledger: Ledger, market: MarketId, before: Lots
) -> OpenInterestTooLarge | None:
    """Return what stands against a fill that opened more than the market may have open (O7)."""
    maximum = ledger.market_params(market).open_interest_max
    after = _get_open_interest(ledger, market)
    return OpenInterestTooLarge(market, after, maximum) if after > max(before, maximum) else None


def _get_open_interest(ledger: Ledger, market: MarketId) -> Lots:
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    return record.open_interest
