"""Closing what its margin no longer carries, in the order of need (RULES L1 to L5).

A step looks at one position. First the book: one reduce-only order for a part of it, at a price
that no fill can take more than the position's share of the account's equity from, so no fill lowers
equity/MM and an account is never worse off for having been liquidated in parts. What then stands
far below its margin the vault takes over (`vault`), and what the vault can't carry goes to the
other side (`deleveraging`). What nobody takes stays, and is tried again in the next block.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from node.perp.account import VAULT, Leg, get_account, get_position
from node.perp.bankruptcy import compute_position_maintenance, get_bankruptcy_quote
from node.perp.deleveraging import Ranking, process_deleveraging, process_vault_deleveraging
from node.perp.events import PositionLiquidated
from node.perp.fee import FeeRates, compute_liquidation_rates
from node.perp.fill import process_removal
from node.perp.health import (
    Health,
    MarketSight,
    Sights,
    compute_health,
    get_sights,
    process_watch,
)
from node.perp.invariants import check_liquidatable
from node.perp.ledger import Ledger
from node.perp.margin import compute_risk
from node.perp.mark import get_mark
from node.perp.order import CancelReason
from node.perp.parameters import MarketParams
from node.perp.shedding import process_shedding
from node.perp.status import Mode, get_mode
from node.perp.trading import process_reduce_only_ioc
from node.perp.vault import get_income_legs, process_takeover
from node.units import (
    PPM,
    Address,
    Lots,
    MarketId,
    OrderId,
    Quote,
    Ticks,
    clamp,
    div_floor,
    mul_div_floor,
    notional,
)

LIQUIDATION_ORDER = OrderId(0)
"""A liquidation is nobody's order."""
STEP_VALUE_MIN = Quote(1_000_000_000)
"""1,000 USDC: a smaller position is closed in one step (L2)."""
STEP_PARTS = 5
"""A larger one in fifths (L2)."""


# --- L1: whom, and in which order -----------------------------------------------------------------


def process_liquidations(ledger: Ledger) -> None:
    """Cancel what equity no longer carries (G5), then liquidate, lowest equity/MM first (L1, O8).

    Ties go by account, an account's positions by market. After each step all that it touched are
    judged anew. Each position is tried once a block. A try that finds nothing to do is no step:
    what nobody wants to buy must not keep others waiting for ever. The vault stands in the queue
    like everybody. Nothing happens while every market waits (X4).
    """
    sights = get_sights(ledger)
    if all(sight.is_waiting for sight in sights.values()):
        return
    process_watch(ledger, sights)
    process_shedding(ledger, sights)
    queue = _Queue(ledger, sights)
    for owner in (VAULT, *sorted(ledger.watch.unsafe)):
        queue.judge(owner)
    ranking, allowance = Ranking(ledger), _Allowance(sights)
    tried: set[tuple[Address, MarketId]] = set()
    steps = 0
    while steps < ledger.params.liquidations_max:
        worst = queue.pop()
        if worst is None:
            return
        market = _find_untried(ledger, worst, sights, tried)
        if market is None:
            continue
        tried.add((worst, market))
        touched = _process_step(ledger, worst, market, sights, ranking, allowance)
        steps += len(touched) > 0
        for account in sorted({worst, *touched}):
            queue.judge(account)
        ranking.update(sorted({worst, *touched}))


def _find_untried(
    ledger: Ledger, owner: Address, sights: Sights, tried: set[tuple[Address, MarketId]]
) -> MarketId | None:
    for market in get_account(ledger, owner).markets:
        if (
            not sights[market].is_waiting
            and (owner, market) not in tried
            and ledger.positions.get((owner, market)) is not None
        ):
            return market
    return None


class _Entry(NamedTuple):
    """An account in the queue, compared by equity/MM, cross-multiplied, then by address (L1)."""

    health: Health
    owner: Address

    def __lt__(self, other: object) -> bool:
        assert isinstance(other, _Entry), "the queue holds entries alone"
        mine = self.health.equity * other.health.maintenance
        theirs = other.health.equity * self.health.maintenance
        return mine < theirs or (mine == theirs and self.owner < other.owner)


class _Queue:
    """Liquidatable accounts, the worst first; entries that were judged anew are passed over."""

    def __init__(self, ledger: Ledger, sights: Sights) -> None:
        self._ledger = ledger
        self._sights = sights
        self._heap: list[_Entry] = []
        self._current: dict[Address, _Entry] = {}

    def judge(self, owner: Address) -> None:
        """Put the account where it now belongs, or leave it out."""
        health = compute_health(self._ledger, owner, self._sights)
        if health.is_liquidatable:
            entry = self._current[owner] = _Entry(health, owner)
            heapq.heappush(self._heap, entry)
        else:
            self._current.pop(owner, None)

    def pop(self) -> Address | None:
        """Take the worst account out; None if there is none."""
        while self._heap:
            entry = heapq.heappop(self._heap)
            if self._current.get(entry.owner) is entry:
                del self._current[entry.owner]
                return entry.owner
        return None


# --- one step -------------------------------------------------------------------------------------


def _process_step(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    sights: Sights,
    ranking: Ranking,
    allowance: "_Allowance",
) -> Sequence[Address]:
    """Close what can be closed of a position; return whom it touched, nobody if it did nothing.

    The tests of L3 and L4 give the doubt like those of L1; the quotes don't.
    """
    check_liquidatable(ledger, owner)
    if owner == VAULT:
        if compute_health(ledger, VAULT, sights).equity < 0:
            return process_deleveraging(ledger, VAULT, market, ranking)
        return process_vault_deleveraging(ledger, market, ranking)
    touched = _process_order(ledger, owner, market, sights[market], allowance)
    health = compute_health(ledger, owner, sights)
    if get_position(ledger, owner, market).size == 0 or not _is_far_below(health):
        return touched
    if process_takeover(ledger, owner, market):
        return [*touched, owner, VAULT]
    if health.equity >= 0:
        return touched
    ranking.update(touched)
    return [*touched, *process_deleveraging(ledger, owner, market, ranking)]


def _is_far_below(health: Health) -> bool:
    """Tell whether 3·equity < 2·MM (L3)."""
    return 3 * health.equity < 2 * health.maintenance


# --- L2: the book ---------------------------------------------------------------------------------


class _Allowance:
    """What liquidation orders may still close in each market in this block (O7).

    It bounds what a book has to take at once. What the vault takes over, and what is deleveraged,
    meets no book and is not counted.
    """

    def __init__(self, sights: Sights) -> None:
        self._sights = sights
        self._closed: dict[MarketId, Lots] = {}

    def cap(self, market: MarketId, size: Lots) -> Lots:
        """Return as much of an order's size as may be closed; the block's first lot always may."""
        sight, closed = self._sights[market], self._closed.get(market, 0)
        most = div_floor(sight.params.liquidation_notional_max, sight.value)
        left = max(most, 1) - closed
        return Lots(clamp(size, lowest=-left, highest=left))

    def count(self, market: MarketId, size: Lots) -> None:
        """Count what was closed."""
        self._closed[market] = Lots(self._closed.get(market, 0) + abs(size))


def _process_order(
    ledger: Ledger, owner: Address, market: MarketId, sight: MarketSight, allowance: _Allowance
) -> list[Address]:
    """Send one liquidation order (L2); return whom it touched, nobody if it did nothing."""
    touched = [owner] if _process_cancels(ledger, owner) else []
    size = get_position(ledger, owner, market).size
    wanted = allowance.cap(market, compute_step_size(size, sight.mark, sight.params))
    if wanted == 0:
        return touched
    settlement = VaultSettlement()
    filled = process_reduce_only_ioc(
        ledger,
        owner,
        market,
        wanted,
        _get_fillable_price(ledger, owner, market),
        order_id=LIQUIDATION_ORDER,
        settlement=settlement,
    ).size
    if filled != 0:
        allowance.count(market, filled)
        touched = [owner, VAULT, *settlement.makers]  # the vault paid or was paid
        ledger.emit(
            PositionLiquidated(
                market,
                owner,
                filled,
                Quote(settlement.proceeds),
                Quote(settlement.quotes),
                Quote(settlement.payment),
            )
        )
    return touched


def compute_step_size(size: Lots, mark: Ticks, params: MarketParams) -> Lots:
    """Return d, signed as the order that closes, in lots (L2).

    A fifth of the position, or 1,000 USDC if that is more, at least one lot, floor.
    """
    lot_value = mark * params.k
    value = max(STEP_VALUE_MIN, div_floor(abs(size) * lot_value, STEP_PARTS))
    lots = min(abs(size), max(1, div_floor(value, lot_value)))
    return Lots(-lots if size > 0 else lots)


def compute_fillable_price(
    size: Lots,
    mark: Ticks,
    k: int,
    *,
    equity: Quote,
    maintenance: Quote,
    position_maintenance: Quote,
) -> Ticks:
    """Return how far from the mark the liquidation order may trade, at least 1 tick (L2).

    mark - sign(size)·floor(3·MM_position·clamp(MM - equity, 0, MM) / (2·MM·|size|·K)): the further
    below its margin the account is, the more it gives (dYdX's fillable price). Plain equity and MM.
    """
    missing = clamp(maintenance - equity, lowest=0, highest=maintenance)
    spread = mul_div_floor(3 * position_maintenance, missing, 2 * maintenance * abs(size) * k)
    return Ticks(max(1, mark - spread if size > 0 else mark + spread))


class VaultSettlement:
    """The LiquidatorVault's part in the fills of one liquidation order (L2, L5)."""

    is_liquidation = True

    def __init__(self) -> None:
        self.proceeds = 0
        """Σ g: what the account got, signed."""
        self.quotes = 0
        """Σ b: what it was due, signed."""
        self.payment = 0
        """Σ what it paid to the vault; negative: what the vault paid."""
        self.makers: list[Address] = []
        self._asked: _Due
        """What was last asked for: set before any fill."""

    def compute_rates(self, params: MarketParams) -> FeeRates:
        """Return a liquidation's fees: none for the taker, no rebate for the maker (O3)."""
        return compute_liquidation_rates(params)

    def compute_legs(
        self, ledger: Ledger, taker: Address, market: MarketId, *, size: Lots, price: Ticks
    ) -> Sequence[Leg] | None:
        """Return the vault's leg and the account's, None if the vault can't pay (L2, L5).

        The account gets g = -size·price·K and is due b. Of a surplus x = g - b it pays
        floor(f·price·K·fee/1e6), but at most half, floor; a shortfall is the vault's to pay.
        """
        params = ledger.market_params(market)
        quote = get_bankruptcy_quote(ledger, taker, market, Lots(-size))
        book = ledger.book(market)
        maker = book.best_ask() if size > 0 else book.best_bid()
        assert maker is not None, "a fill has a maker, the first of its side"
        proceeds = -notional(size, price, params.k)
        surplus = proceeds - quote
        if surplus < 0:
            self._asked = _Due(proceeds, quote, surplus, maker.owner)
            if compute_risk(ledger, VAULT).equity + surplus < 0:
                return None
            return (Leg(VAULT, Quote(surplus)), Leg(taker, Quote(-surplus)))
        fee = mul_div_floor(abs(proceeds), params.liquidation_fee_ppm, PPM)
        payment = Quote(min(fee, div_floor(surplus, 2)))
        self._asked = _Due(proceeds, quote, payment, maker.owner)
        return get_income_legs(ledger, taker, payment)

    def process_filled(self, ledger: Ledger, taker: Address, market: MarketId) -> None:
        """Count what was last asked for; it was filled."""
        self.proceeds += self._asked.proceeds
        self.quotes += self._asked.quote
        self.payment += self._asked.payment
        self.makers.append(self._asked.maker)


class _Due(NamedTuple):
    """What one fill meant."""

    proceeds: int
    quote: int
    payment: int
    maker: Address


def _process_cancels(ledger: Ledger, owner: Address) -> bool:
    """Cancel the account's orders that are not reduce-only (L2); tell whether there were any.

    In a HALTED market nothing moves.
    """
    found = False
    for market in get_account(ledger, owner).markets:
        if get_mode(ledger, market) == Mode.HALTED:
            continue
        for order in ledger.book(market).orders_of(owner):
            if not order.reduce_only:
                process_removal(ledger, market, order, CancelReason.LIQUIDATION)
                found = True
    return found


def _get_fillable_price(ledger: Ledger, owner: Address, market: MarketId) -> Ticks:
    params, mark = ledger.market_params(market), get_mark(ledger, market)
    risk = compute_risk(ledger, owner)
    size = get_position(ledger, owner, market).size
    return compute_fillable_price(
        size,
        mark,
        params.k,
        equity=risk.equity,
        maintenance=risk.maintenance,
        position_maintenance=compute_position_maintenance(size, mark, params),
    )
