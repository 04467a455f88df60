"""The price at which positions are valued, computed once a block before anything trades (RULES P3).

    mark = median of (oracle; oracle + B; median(bid, ask, last)), within the mark band

`bid` and `ask` are the impact prices (F1) of the book that the parent left, without the orders that
came to rest in the parent block; B is how far their middle stood from the oracle over the last
150,000 ms, on average; `last` is the latest trade. Two of three must agree to move the mark, and a
quote has stood before a block of takers when it first counts.

B is the integral of a step function, and what is kept are its steps: a block in which the basis did
not move writes nothing.
"""

from bisect import bisect_right
from collections.abc import Sequence
from operator import mul, sub
from typing import NamedTuple

from node.errors import MarketNotFound
from node.perp.funding import ImpactPrices, compute_elapsed, compute_impact_prices
from node.perp.ledger import Ledger
from node.perp.oracle import get_oracle
from node.perp.parameters import MarketParams
from node.perp.status import Mode, get_mode, is_in_grace
from node.units import (
    PPM,
    Height,
    MarketId,
    RatePpm,
    Ticks,
    TimeMs,
    clamp,
    div_floor,
    div_trunc,
    mul_div_ceil,
    mul_div_floor,
)

BASIS_WINDOW_MS = 150_000
"""How far back B looks (P3)."""


class Mark(NamedTuple):
    """A market's mark; key: market."""

    price: Ticks
    """As of the block; 0 before the first accepted price."""
    last: Ticks
    """The latest trade since OPEN began, of no liquidation and not the vault's; 0: none yet."""


class Basis(NamedTuple):
    """How far the impact prices' middle stood from the oracle; key: market; absent: 0 all along."""

    starts_ms: tuple[TimeMs, ...]
    """When each step began, ascending; it lasts until the next one's start, the last until now."""
    values: tuple[int, ...]
    """mid2 - 2·oracle in ticks, mid2 = impact bid + impact ask; 0 while nothing was sampled."""


NO_BASIS = Basis((), ())


class MarkBand(NamedTuple):
    """How far the mark, and what may move it, reaches (P3)."""

    lowest: Ticks
    highest: Ticks


def initial_mark() -> Mark:
    """Return a new market's mark: no price, no trade."""
    return Mark(Ticks(0), Ticks(0))


def get_mark(ledger: Ledger, market: MarketId) -> Ticks:
    """Return the market's mark as of this block, 0 before the first price.

    Raise MarketNotFound if there is no such market.
    """
    return get_mark_record(ledger, market).price


def get_mark_record(ledger: Ledger, market: MarketId) -> Mark:
    """Return the market's mark and last trade; raise MarketNotFound."""
    mark = ledger.marks.get(market)
    if mark is None:
        raise MarketNotFound(market)
    return mark


# --- once a block ---------------------------------------------------------------------------------


def process_mark(ledger: Ledger) -> None:
    """Set every market's mark from its oracle and the book that the parent left (P3).

    It is the oracle price outside OPEN, in the grace period (X4), and while an impact price is
    missing or outside the band: a book too thin has no say. Leaving OPEN forgets B and the last
    trade. Nothing is written where nothing moved.
    """
    for market in ledger.market_ids:
        before = get_mark_record(ledger, market)
        if get_mode(ledger, market) != Mode.OPEN:
            if ledger.bases.get(market) is not None:
                ledger.bases.delete(market)
            after = Mark(get_oracle(ledger, market).price, Ticks(0))
        else:
            after = before._replace(price=_process_open_mark(ledger, market, before.last))
        if after != before:
            ledger.marks.set(market, after)


def process_last_trade(ledger: Ledger, market: MarketId, price: Ticks) -> None:
    """Remember a trade's price; the next blocks' marks look at it (P3)."""
    mark = get_mark_record(ledger, market)
    if mark.last != price:
        ledger.marks.set(market, mark._replace(last=price))


def _process_open_mark(ledger: Ledger, market: MarketId, last: Ticks) -> Ticks:
    params, oracle = ledger.market_params(market), get_oracle(ledger, market).price
    band = compute_mark_band(oracle, params.mark_band_ppm)
    impact = compute_impact_prices(ledger.book(market), Height(ledger.height - 1), params)
    has_say = is_two_sided(impact, band)
    elapsed = compute_elapsed(ledger, market)
    sample = impact.bid + impact.ask - 2 * oracle if has_say and elapsed > 0 else 0
    before = ledger.bases.get(market) or NO_BASIS
    basis = compute_basis(before, sample, from_ms=ledger.parent_time_ms)
    if basis != before:
        ledger.bases.set(market, basis)
    if not has_say or is_in_grace(ledger, market):
        return oracle
    average = compute_average_basis(basis, ledger.time_ms)
    return compute_mark(oracle, average, impact, last=last, params=params)


def is_two_sided(impact: ImpactPrices, band: MarkBand) -> bool:
    """Tell whether both impact prices exist within the mark band (P3, X2); bid < ask."""
    return band.lowest <= impact.bid and 0 < impact.ask <= band.highest


# --- formulas -------------------------------------------------------------------------------------


def compute_mark_band(oracle: Ticks, band: RatePpm) -> MarkBand:
    """Return [ceil(oracle·(1 - band)), floor(oracle·(1 + band))] (P3)."""
    return MarkBand(
        Ticks(mul_div_ceil(oracle, PPM - band, PPM)), Ticks(mul_div_floor(oracle, PPM + band, PPM))
    )


def compute_mark(
    oracle: Ticks, average: int, impact: ImpactPrices, *, last: Ticks, params: MarketParams
) -> Ticks:
    """Return median(oracle; oracle + B; median(bid, ask, last)), clamped to the band (P3).

    Without a last trade the middle stands for it, floor. The impact prices are within the band.
    """
    traded = last if last > 0 else Ticks(div_floor(impact.bid + impact.ask, 2))
    quoted = _median(impact.bid, impact.ask, traded)
    band = compute_mark_band(oracle, params.mark_band_ppm)
    middle = _median(oracle, oracle + average, quoted)
    return Ticks(clamp(middle, lowest=band.lowest, highest=band.highest))


def compute_basis(basis: Basis, sample: int, *, from_ms: TimeMs) -> Basis:
    """Return the steps with a sample that holds from `from_ms` on, without what the window left.

    So there are never more steps than blocks within the window, and one.
    """
    if sample == (basis.values[-1] if basis.values else 0):
        return basis
    starts, values = (*basis.starts_ms, from_ms), (*basis.values, sample)
    first = _find_step(starts, from_ms - BASIS_WINDOW_MS)
    return Basis(starts[first:], values[first:])


def compute_average_basis(basis: Basis, time_ms: TimeMs) -> int:
    """Return B = trunc(Σ (mid2 - 2·oracle)·elapsed_ms / 300,000) over the window, in ticks (P3)."""
    if not basis.values:
        return 0
    window_from = time_ms - BASIS_WINDOW_MS
    first = _find_step(basis.starts_ms, window_from)
    starts, values = basis.starts_ms[first:], basis.values[first:]
    total = sum(map(mul, values, map(sub, (*starts[1:], time_ms), starts)))
    total -= values[0] * max(0, window_from - starts[0])
    return div_trunc(total, 2 * BASIS_WINDOW_MS)


def _find_step(starts: Sequence[TimeMs], time_ms: int) -> int:
    """Return the index of the step that holds at a time, the first one's before it began."""
    return max(0, bisect_right(starts, time_ms) - 1)


def _median(*three: int) -> int:
    return sorted(three)[1]
