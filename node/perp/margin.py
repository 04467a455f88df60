"""What an account must hold for its positions and orders, and what it may do (RULES G1 to G3).

`compute_risk` reads an account once, market by market, and everything else compares its numbers.
The margin shown to a reader is thus the margin that is enforced.
"""

from collections.abc import Iterable
from typing import NamedTuple

from node.perp.account import get_own_fraction
from node.perp.book import Book
from node.perp.funding import compute_pending
from node.perp.ledger import Ledger
from node.perp.mark import get_mark
from node.perp.oracle import get_oracle
from node.perp.parameters import MarketParams
from node.units import (
    PPB,
    PPM,
    Address,
    MarketId,
    Quote,
    RatePpm,
    Ticks,
    clamp,
    div_floor,
    mul_div_ceil,
)

NO_OWN = RatePpm(0)
"""The margin fraction of an account that set none (M4)."""


class Risk(NamedTuple):
    """An account's equity and what its positions and orders ask for, at the mark."""

    equity: Quote
    """Balance, positions at the mark, and pending funding (M2)."""
    initial: Quote
    """IM: positions and what rests, open interest left out (G1, G2)."""
    maintenance: Quote
    """MM: positions alone (G1)."""
    open_notional: Quote
    """Σ open size · mark · K (G2)."""


class MarketRisk(NamedTuple):
    """One market's part of a `Risk`."""

    equity: Quote
    """The position at the mark, and its pending funding (M2, F4)."""
    initial: Quote
    maintenance: Quote
    open_notional: Quote
    held: Quote
    """|size| · mark · K."""
    quoted: Quote
    """The larger side of what rests, reduce-only left out, · mark · K."""


def compute_risk(ledger: Ledger, owner: Address) -> Risk:
    """Return what the account is worth and what it must hold (M2, G1, G2)."""
    account = ledger.accounts.get(owner)
    if account is None:
        return Risk(Quote(0), Quote(0), Quote(0), Quote(0))
    return _add_up(
        account.balance, [compute_market_risk(ledger, owner, each) for each in account.markets]
    )


def compute_withdrawal_risk(ledger: Ledger, owner: Address) -> Risk:
    """Return the account's risk, each market's numbers at the worse of mark and oracle (M3).

    A mark that the book pushed away from the oracle must not pay anybody out.
    """
    account = ledger.accounts.get(owner)
    if account is None:
        return Risk(Quote(0), Quote(0), Quote(0), Quote(0))
    parts = []
    for market in account.markets:
        part = compute_market_risk(ledger, owner, market)
        oracle = get_oracle(ledger, market).price
        if oracle != get_mark(ledger, market):
            part = _take_worse(part, compute_market_risk_at(ledger, owner, market, oracle))
        parts.append(part)
    return _add_up(account.balance, parts)


def _add_up(balance: Quote, parts: Iterable[MarketRisk]) -> Risk:
    equity: int = balance
    initial = maintenance = open_notional = 0
    for part in parts:
        equity += part.equity
        initial += part.initial
        maintenance += part.maintenance
        open_notional += part.open_notional
    return Risk(Quote(equity), Quote(initial), Quote(maintenance), Quote(open_notional))


def _take_worse(one: MarketRisk, other: MarketRisk) -> MarketRisk:
    return one._replace(
        equity=min(one.equity, other.equity),
        initial=max(one.initial, other.initial),
        maintenance=max(one.maintenance, other.maintenance),
        open_notional=max(one.open_notional, other.open_notional),
    )


def compute_market_risk(ledger: Ledger, owner: Address, market: MarketId) -> MarketRisk:
    """Return what one market adds to the account's equity and margins (M2, G1, G2)."""
    return compute_market_risk_at(ledger, owner, market, get_mark(ledger, market))


def compute_market_risk_at(
    ledger: Ledger, owner: Address, market: MarketId, mark: Ticks
) -> MarketRisk:
    """Return what one market adds to the account's equity and margins at a price (M2, G1, G2)."""
    params = ledger.market_params(market)
    position = ledger.positions.get((owner, market))
    book = ledger.book(market)
    owned = book.owned_by(owner)
    value = mark * params.k
    equity = size = held = quoted = 0
    maintenance = Quote(0)
    if position is not None:
        size = position.size
        equity = size * value
        held = abs(equity)
        funding = ledger.fundings.get(market)
        if funding is not None and funding.index != position.funding_index:
            equity += div_floor(compute_pending(funding, position), PPB)
        maintenance = compute_maintenance(params, Quote(held))
    open_notional = Quote(held)
    if owned is not None:
        buys, sells = owned.buys, owned.sells
        open_notional = Quote(max(buys + size, sells - size) * value)
        quoted = max(buys, sells) * value
    initial = compute_initial(params, open_notional, _get_own(ledger, owner, market))
    if params.taker_fee_ppm > 0:
        initial = Quote(initial + mul_div_ceil(open_notional, params.taker_fee_ppm, PPM))
    if owned is not None and owned.crosses(mark):
        initial = Quote(initial + _compute_loss_through(book, owner, mark) * params.k)
    return MarketRisk(
        Quote(equity), initial, maintenance, open_notional, Quote(held), Quote(quoted)
    )


def get_equity(ledger: Ledger, owner: Address) -> Quote:
    """Return the account's equity: balance, positions at the mark, pending funding (M2)."""
    return compute_risk(ledger, owner).equity


# --- G1: fractions --------------------------------------------------------------------------------


def compute_initial(params: MarketParams, open_notional: Quote, own: RatePpm = NO_OWN) -> Quote:
    """Return ceil(n·IMF/1e6), the whole notional at its bracket's fraction or its own (G1, M4)."""
    fraction = max(own, get_initial_fraction(params, open_notional))
    return Quote(mul_div_ceil(open_notional, fraction, PPM))


def compute_maintenance(params: MarketParams, position_notional: Quote) -> Quote:
    """Return ceil(ceil(n·IMF/1e6)·MMF/1e6), IMF the bracket's, open interest left out (G1)."""
    initial = compute_initial(params, position_notional)
    return Quote(mul_div_ceil(initial, params.maintenance_ppm, PPM))


def get_initial_fraction(params: MarketParams, notional: Quote) -> RatePpm:
    """Return the initial margin fraction of the bracket that holds the notional (G1)."""
    held = RatePpm(PPM)
    for notional_from, initial_margin_ppm in params.brackets:  # the first one begins at 0
        if notional < notional_from:
            break
        held = initial_margin_ppm
    return held


def compute_scaled_fraction(
    params: MarketParams, fraction: RatePpm, open_interest_notional: Quote
) -> RatePpm:
    """Return IMF + ceil((1 - IMF)·(OI - lower)/(upper - lower)), within [IMF, 100 %] (G1)."""
    above = open_interest_notional - params.oi_lower_cap
    if above <= 0:
        return fraction
    width = params.oi_upper_cap - params.oi_lower_cap
    if width <= 0:
        return RatePpm(PPM)
    scaled = fraction + mul_div_ceil(PPM - fraction, above, width)
    return RatePpm(clamp(scaled, lowest=fraction, highest=PPM))


def compute_oi_margin(ledger: Ledger, owner: Address, market: MarketId) -> Quote:
    """Return what the market's open interest adds to the account's IM there (G1).

    Only an action that adds risk in this market must carry it: the taker's fill, at the open
    interest after it, and a new order. What already rests does not, or wash trading would cancel
    everybody's quotes.
    """
    record = ledger.markets.get(market)
    assert record is not None, "a market has its counters"
    params = ledger.market_params(market)
    value = get_mark(ledger, market) * params.k
    open_interest_notional = Quote(record.open_interest * value)
    if open_interest_notional <= params.oi_lower_cap:
        return Quote(0)
    open_notional = compute_market_risk(ledger, owner, market).open_notional
    fraction = get_initial_fraction(params, open_notional)
    scaled = compute_scaled_fraction(params, fraction, open_interest_notional)
    own = _get_own(ledger, owner, market)
    initial = mul_div_ceil(open_notional, max(own, fraction), PPM)
    return Quote(mul_div_ceil(open_notional, max(own, scaled), PPM) - initial)


def _get_own(ledger: Ledger, owner: Address, market: MarketId) -> RatePpm:
    """Return the account's own fraction, 0 if it has none: MM does not look at it (M4)."""
    account = ledger.accounts.get(owner)
    return get_own_fraction(account, market) if account and account.own_margins else NO_OWN


# --- G3: the tests --------------------------------------------------------------------------------


def is_covered(after: Risk, oi_margin: Quote) -> bool:
    """Tell whether equity carries IM, and what open interest adds where risk is added (G3)."""
    return after.equity >= after.initial + oi_margin


def is_reduction(before: Risk, after: Risk) -> bool:
    """Tell whether a fill reduces risk using no more than its share of the equity (G3).

    So an account below IM can get out at a fair price, but not hand its equity to somebody else.
    With MM = 0 before and after nothing was at risk, and only IM not being higher counts. The
    ratio is cross-multiplied: with MM = 0 after, the last fill of an exit, it asks for equity ≥ 0.
    """
    if before.maintenance == 0 and after.maintenance == 0:
        return is_initial_not_higher(before, after)
    if after.maintenance > before.maintenance:
        return False
    return (
        after.equity >= before.equity
        or after.equity * before.maintenance >= before.equity * after.maintenance
    )


def is_initial_not_higher(before: Risk, after: Risk) -> bool:
    """Tell whether what rests asks for no more margin than before (G3)."""
    return after.initial <= before.initial


# --- G2: orders priced through the mark -------------------------------------------------------


def _compute_loss_through(book: Book, owner: Address, mark: Ticks) -> int:
    """Return Σ what filling at once would lose against the mark, in lots · ticks (G2)."""
    loss = 0
    for order in book.orders_through(owner, mark):
        # Buys above the mark and sells below it: both factors have the same sign.
        loss += order.size * (order.price - mark)
    return loss
