"""How an account stands at the block's marks, and who must be asked (RULES L1, G5).

`compute_health` is what liquidations compare. Which accounts could fail G5 or L1 at all is known
without asking everybody: `process_watch` judges those that something happened to, those that stood
badly before, and those whose markets left the bounds that their last judgement set (`watch`).
"""

from typing import NamedTuple

from node.perp.account import SYSTEM_ADDRESS_MAX, get_account, get_own_fraction
from node.perp.funding import get_funding
from node.perp.ledger import Ledger
from node.perp.margin import (
    MarketRisk,
    compute_maintenance,
    compute_market_risk,
    get_initial_fraction,
)
from node.perp.mark import get_mark
from node.perp.parameters import MarketParams
from node.perp.status import Mode, get_mode, is_in_grace
from node.perp.watch import Bound, BoundKind, compute_shares
from node.units import (
    PPB,
    PPM,
    Address,
    FundingIndex,
    MarketId,
    Quote,
    Ticks,
    div_floor,
    mul_div_ceil,
    mul_div_floor,
)


class Health(NamedTuple):
    """What the tests of L1 to L4 compare: positions in markets that are not OPEN get the doubt."""

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

    @property
    def worth(self) -> int:
        """What one lot adds to equity but for a constant, in 1e-9 atoms: 1e9·value - index (F4)."""
        return PPB * self.value - self.index


Sights = dict[MarketId, MarketSight]


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
    """Return an account's equity and MM for the tests of L1 to L4, the doubt applied."""
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


# --- whom to ask ----------------------------------------------------------------------------------


def process_watch(ledger: Ledger, sights: Sights) -> None:
    """Judge every account that may have come to fail G5 or L1 since it was judged last.

    From here on the watch's `unsafe` holds whoever fails either of them, and only accounts whose
    equity is below IM (with orders) or below MM (without), the doubt left out.
    """
    watch = ledger.watch
    changed = {owner for owner in ledger.changed_owners() if owner > SYSTEM_ADDRESS_MAX}
    for owner in sorted(watch.take_candidates(sights, changed)):
        process_judgement(ledger, owner, sights)


def process_judgement(ledger: Ledger, owner: Address, sights: Sights) -> None:
    """Find an account's slack at the block's marks, and how far they may move before it is used up.

    slack = equity - IM if an order of it adds risk, else equity - MM; MM is never more than IM. The
    doubt only adds to it. Each market gets its part of the slack by its open notional.
    """
    account = get_account(ledger, owner)
    parts = [compute_market_risk(ledger, owner, market) for market in account.markets]
    slack = account.balance + sum(part.equity for part in parts)
    if any(ledger.book(market).exposure_of(owner).value for market in account.markets):
        slack = Quote(slack - sum(part.initial for part in parts))
    else:
        slack = Quote(slack - sum(part.maintenance for part in parts))
    if slack < 0:
        ledger.watch.set_unsafe(owner)
        return
    shares = compute_shares(slack, [part.open_notional for part in parts])
    bounds: list[Bound] = []
    for market, part, share in zip(account.markets, parts, shares, strict=True):
        bounds += compute_bounds(ledger, owner, market, part, share, sights[market])
    ledger.watch.set_bounds(owner, bounds)


def compute_bounds(
    ledger: Ledger,
    owner: Address,
    market: MarketId,
    part: MarketRisk,
    share: Quote,
    sight: MarketSight,
) -> list[Bound]:
    """Return within which prices the market can't use up its share of the account's slack.

    Equity depends on the lot's worth alone (mark and index in one number): it falls by at most
    ceil(|size|·fall/1e9). Margin depends on the mark. In one bracket, open·(IMF + fee) grows with
    it, by 2 more atoms for the ceilings; what is priced through the mark grows by the sells when
    the mark rises above the lowest, by the buys when it falls below the highest. Half of the share
    is for equity, a quarter each for the two parts of the margin. All roundings are toward tighter
    bounds.
    """
    bounds = []
    position = ledger.positions.get((owner, market))
    exposure = ledger.book(market).exposure_of(owner)
    mark, k = sight.mark, sight.params.k
    half, quarter = div_floor(share, 2), div_floor(share, 4)
    if position is not None:
        room = mul_div_floor(half, PPB, abs(position.size))
        if position.size > 0:
            bounds.append(Bound(market, BoundKind.WORTH_FROM, sight.worth - room))
        else:
            bounds.append(Bound(market, BoundKind.WORTH_TO, sight.worth + room))
    if part.open_notional > 0:
        open_value = div_floor(part.open_notional, mark)  # Atoms by tick of mark, exact.
        own = get_own_fraction(get_account(ledger, owner), market)
        fraction = max(own, get_initial_fraction(sight.params, part.open_notional))
        slope = fraction + max(0, sight.params.taker_fee_ppm)
        room = mul_div_floor(max(0, quarter - 2), PPM, open_value * slope)
        highest = mark + room
        for bracket in sight.params.brackets:
            if bracket.notional_from > part.open_notional:
                highest = min(highest, mul_div_ceil(bracket.notional_from, 1, open_value) - 1)
                break
        if exposure.sells:
            reach = max(mark, exposure.lowest_sell)
            highest = min(highest, reach + div_floor(quarter, exposure.sells * k))
        bounds.append(Bound(market, BoundKind.MARK_TO, highest))
    if exposure.buys:
        reach = min(mark, exposure.highest_buy)
        lowest = reach - div_floor(quarter, exposure.buys * k)
        bounds.append(Bound(market, BoundKind.MARK_FROM, lowest))
    return bounds
