"""An account's own, lower leverage in a market (RULES M4).

    IMF = max(own, market's)

It raises what positions and orders must be covered with, and moves no liquidation: maintenance
margin does not look at it.
"""

from node.errors import InsufficientMargin, InvalidMarginFraction
from node.perp.account import OwnMargin, get_account, get_own_fraction
from node.perp.events import OwnMarginSet
from node.perp.ledger import Ledger
from node.perp.margin import compute_risk
from node.perp.status import get_status
from node.units import PPM, Address, MarketId, RatePpm


def process_own_margin(ledger: Ledger, owner: Address, market: MarketId, fraction: RatePpm) -> None:
    """Set the account's own initial margin fraction; 0: the market's alone holds (M4).

    Raise MarketNotFound, InvalidMarginFraction, or InsufficientMargin if what is open would ask for
    more than before, and more than the equity.
    """
    get_status(ledger, market)
    if not 0 <= fraction <= PPM:
        raise InvalidMarginFraction(fraction)
    account = get_account(ledger, owner)
    if get_own_fraction(account, market) == fraction:
        return
    others = [own for own in account.own_margins if own.market != market]
    if fraction:
        others.append(OwnMargin(market, fraction))
    before = compute_risk(ledger, owner)
    checkpoint = ledger.checkpoint()
    ledger.accounts.set(owner, account._replace(own_margins=tuple(sorted(others))))
    after = compute_risk(ledger, owner)
    if after.equity < after.initial and after.initial > before.initial:
        ledger.revert(checkpoint)
        raise InsufficientMargin(owner, after.equity, after.initial)
    ledger.emit(OwnMarginSet(market, owner, fraction))
