"""What readers are shown of markets, accounts and books: the numbers that the rules enforce.

The margins are those of `compute_risk`, so what a trader sees is what G3 will test. Nothing here
writes.
"""

from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from node.errors import MarketNotFound
from node.perp.funding import Funding, compute_pending, compute_rate_cap, get_funding
from node.perp.ledger import Ledger
from node.perp.liquidation_price import compute_liquidation_price
from node.perp.margin import compute_market_risk, compute_risk
from node.perp.mark import get_mark
from node.perp.oracle import get_fresh_reports
from node.perp.order import Order, Trigger
from node.perp.parameters import MarketParams
from node.perp.status import MarketStatus, Mode, get_mode, get_status, is_in_grace
from node.units import (
    PPB,
    Address,
    Lots,
    MarketId,
    Quote,
    RatePpb,
    Ticks,
    TimeMs,
    div_floor,
    notional,
)


class MarketView(NamedTuple):
    """A market as of a block."""

    market: MarketId
    params: MarketParams
    status: MarketStatus
    """The market's own mode and its way back to OPEN."""
    mode: Mode
    """The stricter of the chain's and the market's: what holds."""
    is_in_grace: bool
    """Liquidations and triggers wait (X4)."""
    mark: Ticks
    """0 before the first price."""
    oracle: Ticks
    """The last accepted price; 0 before the first (P2)."""
    oracle_time_ms: TimeMs
    """When it was accepted; 0 if not within the jump window (P2)."""
    reported_ms: TimeMs
    """When the newest report was observed, of whatever price; 0 before the first (P1)."""
    is_stale: bool
    """Fewer fresh reports than a quorum (P1)."""
    is_jump: bool
    """A move beyond the limit waits for confirmation (P2)."""
    funding: Funding
    rate_cap_ppb: RatePpb
    """No funding rate exceeds it (F2)."""
    open_interest: Lots
    best_bid: Ticks
    """0 without buys."""
    best_ask: Ticks
    """0 without sells."""


class PositionView(NamedTuple):
    """An open position at the mark."""

    market: MarketId
    params: MarketParams
    size: Lots
    entry_value: Quote
    """What the open size cost, signed like the size (M2)."""
    mark: Ticks
    value: Quote
    """size · mark · K, signed like the size."""
    unrealised_pnl: Quote
    """value - entry_value."""
    pending_funding: Quote
    """What settling now would pay the account, floor (F4)."""
    initial: Quote
    """What the position and the market's resting orders ask for (G1, G2)."""
    maintenance: Quote
    """G1."""
    liquidation_price: Ticks
    """The first mark against the position at which equity < MM, all else equal; 0: none (L1)."""


class OpenOrder(NamedTuple):
    """A resting order and its market."""

    market: MarketId
    params: MarketParams
    order: Order


class OpenTrigger(NamedTuple):
    """A waiting or fired trigger and its market."""

    market: MarketId
    params: MarketParams
    trigger: Trigger


class AccountView(NamedTuple):
    """An account as of a block."""

    address: Address
    balance: Quote
    """The signed quote balance, not what the account is worth (M2)."""
    equity: Quote
    initial: Quote
    """IM: what equity must carry before anything is added (G1, G2)."""
    maintenance: Quote
    """MM: below it the account is liquidated (G1, L1)."""
    open_notional: Quote
    """Σ open size · mark · K (G2)."""
    pending_funding: Quote
    """Σ what settling the positions now would pay, each floored; equity holds it (F4)."""
    withdrawals_from_ms: TimeMs
    """Withdrawals are closed before this block time (M3)."""
    positions: tuple[PositionView, ...]
    orders: tuple[OpenOrder, ...]
    triggers: tuple[OpenTrigger, ...]


class Level(NamedTuple):
    """All resting orders of one side at one price."""

    price: Ticks
    size: Lots
    """Σ remaining, ≥ 0."""
    order_count: int


class BookView(NamedTuple):
    """The best levels of a market's book."""

    market: MarketId
    params: MarketParams
    bids: tuple[Level, ...]
    """Highest price first."""
    asks: tuple[Level, ...]
    """Lowest price first."""


def compute_market_views(ledger: Ledger) -> tuple[MarketView, ...]:
    """Return every market, by id."""
    return tuple(compute_market_view(ledger, market) for market in ledger.market_ids)


def get_market_params(ledger: Ledger, market: MarketId) -> MarketParams:
    """Return a market's parameters; raise MarketNotFound."""
    if market not in ledger.market_ids:
        raise MarketNotFound(market)
    return ledger.market_params(market)


def compute_market_view(ledger: Ledger, market: MarketId) -> MarketView:
    """Return a market; raise MarketNotFound."""
    status = get_status(ledger, market)
    params = ledger.market_params(market)
    oracle, record = ledger.oracles.get(market), ledger.markets.get(market)
    assert oracle is not None, f"market {market} has a status and no oracle"
    assert record is not None, f"market {market} has a status and no counters"
    book = ledger.book(market)
    best_bid, best_ask = book.best_bid(), book.best_ask()
    return MarketView(
        market=market,
        params=params,
        status=status,
        mode=get_mode(ledger, market),
        is_in_grace=is_in_grace(ledger, market),
        mark=get_mark(ledger, market),
        oracle=oracle.price,
        oracle_time_ms=oracle.accepted[-1].time_ms if oracle.accepted else TimeMs(0),
        reported_ms=max(
            (each.observed_ms for each in get_fresh_reports(ledger, market, TimeMs(0))),
            default=TimeMs(0),
        ),
        is_stale=oracle.stale,
        is_jump=bool(oracle.jump),
        funding=get_funding(ledger, market),
        rate_cap_ppb=compute_rate_cap(params),
        open_interest=record.open_interest,
        best_bid=Ticks(0) if best_bid is None else best_bid.price,
        best_ask=Ticks(0) if best_ask is None else best_ask.price,
    )


def compute_account_view(ledger: Ledger, address: Address) -> AccountView:
    """Return an account, an empty one if it never was."""
    account = ledger.accounts.get(address)
    markets = account.markets if account is not None else ()
    risk = compute_risk(ledger, address)
    params = {market: ledger.market_params(market) for market in markets}
    slack = Quote(risk.equity - risk.maintenance)
    found = (_compute_position_view(ledger, address, market, slack) for market in markets)
    positions = tuple(position for position in found if position is not None)
    return AccountView(
        address=address,
        balance=account.balance if account is not None else Quote(0),
        equity=risk.equity,
        initial=risk.initial,
        maintenance=risk.maintenance,
        open_notional=risk.open_notional,
        pending_funding=Quote(sum(position.pending_funding for position in positions)),
        withdrawals_from_ms=ledger.status.withdrawals_from_ms,
        positions=positions,
        orders=tuple(
            OpenOrder(market, params[market], order)
            for market in markets
            for order in ledger.book(market).orders_of(address)
        ),
        triggers=tuple(
            OpenTrigger(market, params[market], trigger)
            for market in markets
            for trigger in ledger.book(market).triggers_of(address)
        ),
    )


def _compute_position_view(
    ledger: Ledger, address: Address, market: MarketId, slack: Quote
) -> PositionView | None:
    """Return a position, None if there is none; `slack` is the account's equity - MM."""
    position = ledger.positions.get((address, market))
    if position is None:
        return None
    params = ledger.market_params(market)
    mark = get_mark(ledger, market)
    risk = compute_market_risk(ledger, address, market)
    value = notional(position.size, mark, params.k)
    pending = compute_pending(get_funding(ledger, market), position)
    return PositionView(
        market=market,
        params=params,
        size=position.size,
        entry_value=position.entry_value,
        mark=mark,
        value=value,
        unrealised_pnl=Quote(value - position.entry_value),
        pending_funding=Quote(div_floor(pending, PPB)),
        initial=risk.initial,
        maintenance=risk.maintenance,
        liquidation_price=compute_liquidation_price(params, position.size, mark, slack),
    )


def compute_book_view(ledger: Ledger, market: MarketId, depth: int) -> BookView:
    """Return the best `depth` levels of both sides; raise MarketNotFound."""
    params = get_market_params(ledger, market)
    book = ledger.book(market)
    return BookView(
        market=market,
        params=params,
        bids=_collect_levels(book.bids(), depth),
        asks=_collect_levels(book.asks(), depth),
    )


def _collect_levels(orders: Iterable[Order], depth: int) -> tuple[Level, ...]:
    levels: list[Level] = []
    for price, group in groupby(orders, key=lambda order: order.price):
        if len(levels) == depth:
            break
        sizes = [abs(order.size) for order in group]
        levels.append(Level(price, Lots(sum(sizes)), len(sizes)))
    return tuple(levels)
