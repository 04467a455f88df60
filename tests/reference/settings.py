"""What the council sets of the rules' numbers, and which markets it lists, from the next block on.

Whether a number makes sense is not the reference's matter: it refuses those beyond the limit.
"""

from collections.abc import Sequence
from typing import Any

from node.perp.parameters import MarginBracket, MarketParams
from tests.reference.funding import base_rate, clamp, rate_cap
from tests.reference.world import CHAIN, LIMIT, Market, Refused, World

UNITS = ("lot_decimals", "tick_decimals", "k")
MARKET_ID_MAX = 0xFFFF - 0x2000


def set_parameter(world: World, market: int, name: str, value: int) -> int:
    """Return what it was; what a market is measured in stays."""
    params: Any = world.next_params if market == CHAIN else _living(world, market)
    before = getattr(params, name, None)
    if not isinstance(before, int) or name in UNITS or value > LIMIT:
        raise Refused
    changed = params._replace(**{name: type(before)(value)})
    if market == CHAIN:
        world.next_params = changed
    else:
        world.next_market_params[market] = changed
    return int(before)


def set_reporters(world: World, reporters: Sequence[bytes], quorum: int) -> int:
    """P1: who comes back begins anew."""
    world.next_params = world.next_params._replace(
        reporters=tuple(reporters),  # type: ignore[arg-type]  # addresses
        reporter_quorum=quorum,
    )
    for market, who in list(world.reports):
        if who in reporters and who not in world.params.reporters:
            del world.reports[market, who]
    return len(reporters)


def set_brackets(world: World, market: int, brackets: Sequence[MarginBracket]) -> int:
    world.next_market_params[market] = _living(world, market)._replace(brackets=tuple(brackets))
    return len(brackets)


def list_market(world: World, market: int, params: MarketParams) -> int:
    """X5: of an id that nobody had, and a symbol that nobody has."""
    known = {**world.market_params, **world.next_market_params}
    if market in known or not 1 <= market <= MARKET_ID_MAX:
        raise Refused
    for other, theirs in known.items():
        is_settled = other in world.markets and world.markets[other].settled_at
        if theirs.symbol == params.symbol and not is_settled:
            raise Refused
    world.next_market_params[market] = params
    return market


def _living(world: World, market: int) -> MarketParams:
    if market not in world.markets or world.markets[market].settled_at:
        raise Refused
    return world.next_market_params.get(market, world.market_params[market])


def fit_funding(world: World) -> None:
    """I4, F2: the rate stays within its cap; samples of another interval are forgotten."""
    for market, params in world.next_market_params.items():
        if market in world.markets:
            cap = rate_cap(params)
            world.change_market(market, rate=clamp(world.markets[market].rate, cap))
            if params.funding_interval_ms != world.market_params[market].funding_interval_ms:
                world.change_market(market, premium_sum=0)


def wait(world: World) -> None:
    """A market that was listed in this block exists from the next one on."""


def take_effect(world: World) -> None:
    """As a block begins, before its height and time are its own."""
    world.params = world.next_params
    for market, params in sorted(world.next_market_params.items()):
        world.market_params[market] = params
        if market not in world.markets:
            world.markets[market] = Market(
                since_ms=world.time_ms, since_height=world.height, rate=base_rate(params)
            )
    world.next_market_params = {}
