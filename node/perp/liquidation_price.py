"""At which mark an account would be liquidated, all else being equal (RULES L1).

The liquidation price of a position is the first mark, moving from the present one against the
position one tick at a time, at which equity < MM: for a long the highest mark up to now, for a
short the lowest from now on. Everything else stands still: other markets' marks, funding indices,
balance, brackets. It is the present mark itself where equity < MM already, and there is none where
no mark of at least one tick does it. The numbers are plain equity and MM, without L1's doubt: what
would hold with every market OPEN.
"""

from node.perp.margin import compute_maintenance
from node.perp.parameters import MAGNITUDE_MAX, MarketParams
from node.units import Lots, Quote, Ticks, div_floor, mul_div_ceil, notional

NO_PRICE = Ticks(0)
"""No mark liquidates."""


def compute_liquidation_price(params: MarketParams, size: Lots, mark: Ticks, slack: Quote) -> Ticks:
    """Return the first mark against a position at which equity < MM; 0: none does.

    `slack` is the account's equity - MM at `mark`. Within a bracket it never grows while the mark
    moves against the position: fractions are at most 1, and the ceilings grow no faster than what
    is under them. A short meets brackets upward, where MM jumps up, so its slack never grows at
    all. A long leaves them downward, where MM jumps down, so each is searched by itself.
    """
    if mark == 0:
        return NO_PRICE
    if size < 0:
        return _search_up(params, size, mark, slack)
    return _search_down(params, size, mark, slack)


def _slack_at(params: MarketParams, size: Lots, mark: Ticks, slack: Quote, price: Ticks) -> int:
    gain = notional(size, Ticks(price - mark), params.k)
    return slack + gain + _maintenance_at(params, size, mark) - _maintenance_at(params, size, price)


def _maintenance_at(params: MarketParams, size: Lots, price: Ticks) -> Quote:
    return compute_maintenance(params, Quote(abs(notional(size, price, params.k))))


def _search_up(params: MarketParams, size: Lots, mark: Ticks, slack: Quote) -> Ticks:
    if slack < 0:
        return mark
    low, high = mark, Ticks(mark + div_floor(slack, -size * params.k) + 1)
    while high - low > 1:  # slack ≥ 0 at low, < 0 at high
        middle = Ticks((low + high) // 2)
        if _slack_at(params, size, mark, slack, middle) < 0:
            high = middle
        else:
            low = middle
    return high if high <= MAGNITUDE_MAX else NO_PRICE


def _search_down(params: MarketParams, size: Lots, mark: Ticks, slack: Quote) -> Ticks:
    top = mark
    for bracket in reversed(params.brackets):
        bottom = Ticks(max(1, mul_div_ceil(bracket.notional_from, 1, size * params.k)))
        if bottom > top:
            continue
        if _slack_at(params, size, mark, slack, bottom) < 0:
            return _search_bracket(params, size, mark, slack, low=bottom, high=Ticks(top + 1))
        top = Ticks(bottom - 1)
    return NO_PRICE


def _search_bracket(
    params: MarketParams, size: Lots, mark: Ticks, slack: Quote, *, low: Ticks, high: Ticks
) -> Ticks:
    """Return the highest price in [low, high) with slack < 0; it is at low."""
    while high - low > 1:
        middle = Ticks((low + high) // 2)
        if _slack_at(params, size, mark, slack, middle) < 0:
            low = middle
        else:
            high = middle
    return low
