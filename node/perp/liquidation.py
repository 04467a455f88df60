"""Closing what its margin no longer carries, and who pays what is missing (RULES L1, L2, L5, L6).

A step sends one reduce-only order for a part of one position, at a price that no fill can take more
than the position's share of the account's equity from: no fill lowers equity/MM. So an account is
never worse off for having been liquidated in parts. What the book does not take stays, and is tried
again in the next block.
"""

import heapq
from collections.abc import Sequence
from typing import NamedTuple

from node.perp.account import (
    DEFICIT,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    Leg,
    get_account,
    get_position,
    process_entry,
)
from node.perp.events import BalanceAbsorbed, PositionLiquidated
from node.perp.fee import FeeRates, compute_liquidation_rates
from node.perp.fill import process_removal
from node.perp.funding import get_funding
from node.perp.invariants import check_liquidatable
from node.perp.ledger import Ledger
from node.perp.margin import compute_maintenance, compute_risk
from node.perp.mark import get_mark
from node.perp.order import CancelReason
from node.perp.parameters import MarketParams
from node.perp.status import Mode, compute_gated, get_mode, is_in_grace
from node.perp.trading import process_reduce_only_ioc
from node.units import (
    PPB,
    PPM,
    Address,
    FundingIndex,
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
VAULT_MARGINS_KEPT = 4
"""The vault absorbs with what its equity exceeds this many of its maintenance margins (L6)."""


class Health(NamedTuple):
    """What the tests of L1 compare: positions in markets that are not OPEN get the doubt."""

    equity: Quote
    """Plus the maintenance margin of positions in doubt."""
    maintenance: Quote
    """Without it."""

    @property
    def is_liquidatable(self) -> bool:
        """Whether MM > 0 and equity < MM (L1)."""
        return self.maintenance > 0 and self.equity < self.maintenance


class MarketSight(NamedTuple):
    """What a block's liquidations need to know of a market; constant while they run."""

    params: MarketParams
    mark: Ticks
    value: int
    """Atoms of one lot at the mark."""
    index: FundingIndex  # type: ignore[assignment]  # hides tuple.index
    is_in_doubt: bool
    """Not OPEN: its positions count with the doubt, and are not liquidated (L1)."""
    is_waiting: bool
    """Not OPEN or in grace: its positions are not liquidated now (L1, X4)."""


Sights = dict[MarketId, MarketSight]


# --- L1: whom, and in which order -----------------------------------------------------------------


def process_liquidations(ledger: Ledger) -> None:
    """Liquidate step by step, the account of the lowest equity/MM first (L1, O8).

    Ties go by account, an account's positions by market. After each step all that it touched are
    judged anew. Each position is tried once a block. A try that finds nothing to do is no step:
    what nobody wants to buy must not keep others waiting for ever.
    """
    holders = ledger.holders()
    if not holders:
        return
    sights = get_sights(ledger)
    if all(sight.is_waiting for sight in sights.values()):
        return
    queue = _Queue(ledger, sights)
    for owner in holders:
        queue.judge(owner)
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
        touched = _process_step(ledger, worst, market, sights[market])
        steps += len(touched) > 0
        for account in sorted({worst, *touched}):
            queue.judge(account)


def get_sights(ledger: Ledger) -> Sights:
    """Return every market as the block's liquidations see it."""
    sights = {}
    for market in ledger.market_ids:
        params, mark = ledger.market_params(market), get_mark(ledger, market)
        is_in_doubt = get_mode(ledger, market) != Mode.OPEN
        sights[market] = MarketSight(
            params=params,
            mark=mark,
            value=mark * params.k,
            index=get_funding(ledger, market).index,
            is_in_doubt=is_in_doubt,
            is_waiting=is_in_doubt or mark == 0 or is_in_grace(ledger, market),
        )
    return sights


def compute_health(ledger: Ledger, owner: Address, sights: Sights) -> Health:
    """Return an account's equity and MM for the tests of L1, the doubt applied."""
    account = get_account(ledger, owner)
    equity: int = account.balance
    maintenance = 0
    for market in account.markets:
        position = ledger.positions.get((owner, market))
        if position is None:
            continue
        sight = sights[market]
        equity += position.size * sight.value
        if position.funding_index != sight.index:
            x = -(sight.index - position.funding_index) * position.size
            equity += div_floor(x, PPB)
        own = compute_maintenance(sight.params, Quote(abs(position.size) * sight.value))
        if sight.is_in_doubt:
            equity += own
        else:
            maintenance += own
    return Health(Quote(equity), Quote(maintenance))


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


# --- L2: one step ---------------------------------------------------------------------------------


def _process_step(
    ledger: Ledger, owner: Address, market: MarketId, sight: MarketSight
) -> Sequence[Address]:
    """Send one liquidation order (L2); return whom the step touched, nobody if it did nothing."""
    check_liquidatable(ledger, owner)
    touched = [owner] if _process_cancels(ledger, owner) else []
    size = get_position(ledger, owner, market).size
    settlement = VaultSettlement()
    filled = process_reduce_only_ioc(
        ledger,
        owner,
        market,
        compute_step_size(size, sight.mark, sight.params),
        _get_fillable_price(ledger, owner, market),
        order_id=LIQUIDATION_ORDER,
        settlement=settlement,
    ).size
    if filled != 0:
        touched += [owner, *settlement.makers]
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


def compute_bankruptcy_quote(
    closed: Lots, mark: Ticks, k: int, *, equity: Quote, before: Quote, after: Quote
) -> Quote:
    """Return b, what an account is due for closing `closed` lots, signed as a balance (L2).

    Their value at the mark less their share of the equity, floor(equity·(fall of MM)/MM):
    `closed` is signed as the position, `before` and `after` are its account's MM.
    """
    share = mul_div_floor(equity, before - after, before)
    return Quote(notional(closed, mark, k) - share)


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
        self._asked = _Due(0, 0, 0, Address(b""))

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
        params, mark = ledger.market_params(market), get_mark(ledger, market)
        risk = compute_risk(ledger, taker)
        position = get_position(ledger, taker, market)
        after = (
            risk.maintenance
            - _compute_position_maintenance(position.size, mark, params)
            + _compute_position_maintenance(Lots(position.size + size), mark, params)
        )
        quote = compute_bankruptcy_quote(
            Lots(-size),
            mark,
            params.k,
            equity=risk.equity,
            before=risk.maintenance,
            after=Quote(after),
        )
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


def get_income_legs(ledger: Ledger, payer: Address, amount: Quote) -> Sequence[Leg]:
    """Return the legs by which the vault gets income: it repays the Deficit first (L6)."""
    owed = max(0, -get_account(ledger, DEFICIT).balance)
    repaid = min(amount, owed)
    return (
        Leg(payer, Quote(-amount)),
        Leg(DEFICIT, Quote(repaid)),
        Leg(VAULT, Quote(amount - repaid)),
    )


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
        position_maintenance=_compute_position_maintenance(size, mark, params),
    )


def _compute_position_maintenance(size: Lots, mark: Ticks, params: MarketParams) -> Quote:
    return compute_maintenance(params, Quote(abs(notional(size, mark, params.k))))


# --- L6: what nobody could pay --------------------------------------------------------------------


def process_negative_balances(ledger: Ledger) -> None:
    """Set negative balances without a position to 0, by the vault, the rest by Deficit (L6).

    The vault gives what its equity exceeds four times its maintenance margin. A Deficit that grew
    closes withdrawals (M3). Nothing moves while the chain is HALTED.
    """
    if ledger.status.mode == Mode.HALTED:
        return
    for debtor in ledger.debtors():
        if debtor > SYSTEM_ADDRESS_MAX:
            _process_absorption(ledger, debtor)


def _process_absorption(ledger: Ledger, debtor: Address) -> None:
    debt = -get_account(ledger, debtor).balance
    vault = compute_risk(ledger, VAULT)
    spare = max(0, vault.equity - VAULT_MARGINS_KEPT * vault.maintenance)
    by_vault = Quote(min(debt, spare))
    by_deficit = Quote(debt - by_vault)
    process_entry(
        ledger,
        (
            Leg(debtor, Quote(debt)),
            Leg(VAULT, Quote(-by_vault)),
            Leg(DEFICIT, Quote(-by_deficit)),
        ),
    )
    ledger.emit(BalanceAbsorbed(debtor, by_vault, by_deficit))
    if by_deficit > 0:
        ledger.set_status(compute_gated(ledger.status, ledger.time_ms, ledger.params))
