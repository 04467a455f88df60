"""M4: who may trade for an account, and its own leverage."""

from tests.reference.limits import check_future
from tests.reference.margin import risk_of
from tests.reference.world import SYSTEM_MAX, Refused, World

AGENTS_MAX = 16


def authorize(world: World, owner: bytes, agent: bytes, expires_ms: int) -> None:
    """Until then; so many an account may have, and those whose time is over make room."""
    if agent == owner or agent <= SYSTEM_MAX:
        raise Refused
    check_future(world, expires_ms)
    for key, until in list(world.agents.items()):
        if key[0] == owner and until <= world.time_ms:
            del world.agents[key]
    world.agents[owner, agent] = expires_ms
    if sum(who == owner for who, _ in world.agents) > AGENTS_MAX:
        raise Refused


def revoke(world: World, owner: bytes, agent: bytes) -> None:
    if (owner, agent) not in world.agents:
        raise Refused
    del world.agents[owner, agent]


def check_agent(world: World, owner: bytes, agent: bytes) -> None:
    if world.agents.get((owner, agent), 0) <= world.time_ms:
        raise Refused


def set_leverage(world: World, owner: bytes, market: int, fraction_ppm: int) -> None:
    """IMF = max(own, market's). Read: what is open must carry what it then asks for in addition."""
    if market not in world.markets or not 0 <= fraction_ppm <= 10**6:
        raise Refused
    before = risk_of(world, owner)
    world.own_margins.pop((owner, market), None)
    if fraction_ppm:
        world.own_margins[owner, market] = fraction_ppm
    after = risk_of(world, owner)
    if after.equity < after.initial > before.initial:
        raise Refused
