"""The LiquidatorVault: what it earns, takes over, works off and pays for others (RULES L3, L5, L6).

It takes a position only for what the position is worth to its owner's equity, and only while it
stays far above its own margin; it trades for nothing but getting rid of what it took.
"""

from collections.abc import Sequence

from node.perp.account import (
    DEFICIT,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    Leg,
    get_account,
    get_position,
    process_entry,
)
from node.perp.bankruptcy import get_bankruptcy_quote
from node.perp.events import BalanceAbsorbed, PositionTakenOver
from node.perp.fee import FeeRates, compute_fee, compute_trade_rates
from node.perp.fill import process_transfer
from node.perp.funding import settle_funding
from node.perp.ledger import Ledger
from node.perp.margin import compute_risk
from node.perp.mark import get_mark
from node.perp.parameters import MarketParams
from node.perp.status import Mode, compute_gated, get_mode, is_in_grace
from node.perp.trading import process_reduce_only_ioc
from node.units import (
    PPM,
    Address,
    Lots,
    MarketId,
    OrderId,
    Quote,
    Ticks,
    div_floor,
    mul_div_ceil,
    mul_div_floor,
    notional,
)

VAULT_ORDER = OrderId(0)
"""The vault's orders are the protocol's: nobody's number."""
MARGINS_KEPT = 4
"""The vault takes over and absorbs with what its equity exceeds this many of its MMs (L3, L6)."""
WORK_OFF_PARTS = 10
"""A tenth of its position a block (L3)."""
WORK_OFF_BAND_PPM = 5_000
"""Within 50 bps of the mark (L3)."""


# --- L6, L2: what it earns ------------------------------------------------------------------------


def get_income_legs(ledger: Ledger, payer: Address, amount: Quote) -> Sequence[Leg]:
    """Return the legs by which the vault gets income: it repays the Deficit first (L6)."""
    owed = max(0, -get_account(ledger, DEFICIT).balance)
    repaid = min(amount, owed)
    return (
        Leg(payer, Quote(-amount)),
        Leg(DEFICIT, Quote(repaid)),
        Leg(VAULT, Quote(amount - repaid)),
    )


# --- L3: taking over ------------------------------------------------------------------------------


def process_takeover(ledger: Ledger, owner: Address, market: MarketId) -> bool:
    """Move a whole position to the vault for exactly b, if the vault may have it (L3).

    Afterwards its equity must be at least 4 of its MMs, and its size within the market's cap. Tell
    whether it took it; otherwise nothing changed.
    """
    checkpoint = ledger.checkpoint()
    settle_funding(ledger, owner, market)
    settle_funding(ledger, VAULT, market)
    size = get_position(ledger, owner, market).size
    quote = get_bankruptcy_quote(ledger, owner, market, size)
    process_entry(ledger, (Leg(owner, quote), Leg(VAULT, Quote(-quote))))
    process_transfer(ledger, market, receiver=VAULT, giver=owner, size=size, cost=quote)
    risk = compute_risk(ledger, VAULT)
    held = abs(get_position(ledger, VAULT, market).size)
    if (
        risk.equity < MARGINS_KEPT * risk.maintenance
        or held > ledger.market_params(market).vault_size_max
    ):
        ledger.revert(checkpoint)
        return False
    ledger.emit(PositionTakenOver(market, owner, Lots(-size), quote))
    return True


# --- L3: working off ------------------------------------------------------------------------------


def process_vault_orders(ledger: Ledger) -> None:
    """Send one reduce-only IOC for each of the vault's positions, a tenth within 50 bps (L3).

    In OPEN markets past their grace period (X4). It needs no margin and pays what a taker pays.
    """
    for market in get_account(ledger, VAULT).markets:
        if get_mode(ledger, market) != Mode.OPEN or is_in_grace(ledger, market):
            continue
        size = get_position(ledger, VAULT, market).size
        part = compute_work_off(size)
        limit = compute_work_off_limit(get_mark(ledger, market), part)
        process_reduce_only_ioc(
            ledger, VAULT, market, part, limit, order_id=VAULT_ORDER, settlement=WORK_OFF
        )


def compute_work_off(size: Lots) -> Lots:
    """Return max(1, floor(|size|/10)) lots, signed as the order that closes (L3)."""
    lots = max(1, div_floor(abs(size), WORK_OFF_PARTS))
    return Lots(-lots if size > 0 else lots)


def compute_work_off_limit(mark: Ticks, part: Lots) -> Ticks:
    """Return ceil(mark·(1 - 50 bps)) for a sell, floor(mark·(1 + 50 bps)) for a buy (L3)."""
    if part < 0:
        return Ticks(mul_div_ceil(mark, PPM - WORK_OFF_BAND_PPM, PPM))
    return Ticks(mul_div_floor(mark, PPM + WORK_OFF_BAND_PPM, PPM))


class WorkOffSettlement:
    """The vault as a taker: ordinary fees, and no fill that would leave it below zero (L5)."""

    is_liquidation = False
    is_tested = False

    def compute_rates(self, params: MarketParams) -> FeeRates:
        """Return the market's fees: this is a trade (O3)."""
        return compute_trade_rates(params)

    def compute_legs(
        self, ledger: Ledger, taker: Address, market: MarketId, *, size: Lots, price: Ticks
    ) -> Sequence[Leg] | None:
        """Return no further legs, or None if the fill lowers the vault's equity to below 0 (L5)."""
        params, mark = ledger.market_params(market), get_mark(ledger, market)
        cost = notional(size, price, params.k)
        fee = compute_fee(Quote(abs(cost)), params.taker_fee_ppm)
        change = notional(size, mark, params.k) - cost - fee
        if change < 0 and compute_risk(ledger, taker).equity + change < 0:
            return None
        return ()

    def process_filled(self, ledger: Ledger, taker: Address, market: MarketId) -> None:
        """Do nothing: OrderFilled says it all."""


WORK_OFF = WorkOffSettlement()


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
    spare = max(0, vault.equity - MARGINS_KEPT * vault.maintenance)
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
