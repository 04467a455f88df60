"""A market's funding, interval by interval, read out of the states that are kept.

The rate and the index are state, so nothing is kept beside it: each interval's last block is found
by its time, and what its state says is the answer. An interval without a block has none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from node.chain.ancestry import Ancestry
from node.errors import MissingState
from node.perp.funding import Funding
from node.units import DurationMs, FundingIndex, Hash32, Height, RatePpb, TimeMs


class FundingInterval(NamedTuple):
    """A market after an interval's last block, or its last one so far."""

    start_ms: TimeMs
    end_ms: TimeMs
    height: Height
    """Of that block."""
    time_ms: TimeMs
    rate_ppb: RatePpb
    """The rate in force (F2)."""
    index: FundingIndex  # type: ignore[assignment]  # hides tuple.index
    """F3."""
    change: int | None
    """What the index moved since the interval before; None where that is not kept."""


def find_intervals(
    ancestry: Ancestry,
    get_funding: Callable[[Hash32], Funding | None],
    length: DurationMs,
    *,
    until_ms: TimeMs,
    limit: int,
) -> list[FundingInterval]:
    """Return a branch's newest intervals that begin before a time, newest first.

    `get_funding` returns a market's funding of a state root, None if it has none there; it raises
    MissingState, and what is older is not kept then.
    """
    found: list[FundingInterval] = []
    last = until_ms - 1
    place = _find_block(ancestry, ancestry.block.header.number, last - last % length + length)
    while place is not None and len(found) <= limit:
        height, time_ms, root = place
        try:
            funding = get_funding(root)
        except MissingState:
            break
        if funding is None:
            break
        start_ms = TimeMs(time_ms - time_ms % length)
        if found:
            change = found[-1].index - funding.index
            found[-1] = found[-1]._replace(change=change)
        found.append(
            FundingInterval(
                start_ms,
                TimeMs(start_ms + length),
                height,
                time_ms,
                funding.rate_ppb,
                funding.index,
                change=None,
            )
        )
        place = _find_block(ancestry, height, start_ms)
    return found[:limit]


class _Place(NamedTuple):
    height: Height
    time_ms: TimeMs
    state_root: Hash32


def _find_block(ancestry: Ancestry, top: Height, time_ms: int) -> _Place | None:
    """Return the last block before a time, at `top` or below; None if there is none that is kept.

    Block times only grow: steps down double until one is before the time, then the last is halved.
    """
    high = _look(ancestry, top)
    if high is None or high.time_ms < time_ms:
        return high
    step = 1
    while True:
        bottom = max(-1, high.height - step)
        low = _look(ancestry, Height(bottom))
        if low is None or low.time_ms < time_ms:
            break
        high, step = low, step * 2
    while high.height - bottom > 1:
        middle = (bottom + high.height) // 2
        found = _look(ancestry, Height(middle))
        if found is None or found.time_ms < time_ms:
            low, bottom = found, middle
        else:
            high = found
    return low


def _look(ancestry: Ancestry, height: Height) -> _Place | None:
    head = ancestry.head_at(height) if height >= 0 else None
    return None if head is None else _Place(height, head[1].time_ms, head[0].state_root)
