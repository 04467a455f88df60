"""How an account stands at the block's marks, and who must be asked (RULES L1, G5).

`compute_health` is what liquidations compare. Which accounts could fail G5 or L1 at all is known
without asking everybody: `process_watch` judges those that something happened to, those that stood
badly before, and those in a market that moved by more than their last judgement left room for
(`watch`).
"""

from typing import NamedTuple

from node.perp.account import SYSTEM_ADDRESS_MAX, get_account
from node.perp.funding import get_funding
from node.perp.ledger import Ledger
from node.perp.margin import MarketRisk, compute_maintenance, compute_market_risk
from node.perp.mark import get_mark
from node.perp.parameters import MarketParams
from node.perp.status import Mode, get_mode, is_in_grace
from node.perp.watch import ROOM_MAX
from node.units import (
    PPB,
    Address,
    FundingIndex,
    MarketId,
    Quote,
    Ticks,
    div_floor,
    mul_div_floor,
)

CEILINGS = 4
"""Atoms by which a market's part may fall at any move: a floor of equity, three ceilings of IM."""


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
    worth: int
    """What one lot adds to equity but for a constant, in 1e-9 atoms: 1e9·value - index (F4)."""
    is_in_doubt: bool
    """Not OPEN: its positions count with the doubt, and are not liquidated (L1)."""
    is_waiting: bool
    """Not OPEN or in grace: its positions are not liquidated now (L1, X4)."""


Sights = dict[MarketId, MarketSight]


def get_sights(ledger: Ledger) -> Sights:
    """Return every market as the block's liquidations see it."""
    sights = {}
    for market in ledger.market_ids:
        params, mark = ledger.market_params(market), get_mark(ledger, market)
        value, index = mark * params.k, get_funding(ledger, market).index
        is_in_doubt = get_mode(ledger, market) != Mode.OPEN
        sights[market] = MarketSight(
            params=params,
            mark=mark,
            value=value,
            index=index,
            worth=PPB * value - index,
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
    doubt only adds to it.
    """
    account = get_account(ledger, owner)
    slack: int = account.balance
    initial = maintenance = weight = quoted = 0
    room = ROOM_MAX
    for market in account.markets:
        part = compute_market_risk(ledger, owner, market)
        slack += part.equity
        initial += part.initial
        maintenance += part.maintenance
        quoted += part.quoted
        weight += compute_weight(part)
        room = min(room, compute_bracket_room(part.open_notional, sights[market].params))
    slack -= initial if quoted else maintenance
    if slack < 0:
        ledger.watch.set_unsafe(owner)
        return
    if weight:
        spare = slack - CEILINGS * len(account.markets)
        room = min(room, mul_div_floor(spare, PPB, weight))
    ledger.watch.set_room(owner, room, account.markets)


def compute_weight(part: MarketRisk) -> int:
    """Return the most that a move by the whole price can cost in a market, in atoms.

    Equity depends on the lot's worth alone (mark and index in one number): it falls by at most
    what is held. Margin depends on the mark: in one bracket IM and fee grow with it, by what they
    are, and what is priced through it grows by the sells when it rises, by the buys when it falls.
    What the roundings add is the caller's (`CEILINGS`).
    """
    return part.held + part.quoted + part.initial


def compute_bracket_room(open_notional: Quote, params: MarketParams) -> int:
    """Return by how much the mark may rise before the next bracket, in ppb of it, floor (G1)."""
    for bracket in params.brackets:
        if bracket.notional_from > open_notional > 0:
            return mul_div_floor(bracket.notional_from - 1 - open_notional, PPB, open_notional)
    return ROOM_MAX
