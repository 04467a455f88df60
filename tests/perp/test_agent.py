"""Agents (M4): who may trade for whom, and until when."""

import pytest

from node.errors import (
    AgentNotAuthorized,
    InvalidAgent,
    InvalidExpiry,
    TooManyAgents,
)
from node.perp.agent import (
    AGENTS_MAX,
    AgentGrant,
    get_agents,
    process_authorization,
    process_revocation,
    require_agent,
)
from node.perp.events import AgentAuthorized, AgentRevoked
from node.units import Address, TimeMs
from tests.helpers.ledger import (
    DictLedger,
    make_ledger,
    next_block,
    trader,
)

OWNER, AGENT, OTHER = trader(1), trader(2), trader(3)


def authorize(ledger: DictLedger, agent: Address, after_ms: int) -> TimeMs:
    expires_ms = TimeMs(ledger.time_ms + after_ms)
    process_authorization(ledger, OWNER, agent, expires_ms)
    return expires_ms


def test_an_agent_may_act_until_its_time_is_over_m4() -> None:
    ledger = make_ledger()
    expires_ms = authorize(ledger, AGENT, 2_000)
    assert ledger.events == [AgentAuthorized(OWNER, AGENT, expires_ms)]

    require_agent(ledger, OWNER, AGENT)
    for owner, agent in ((OWNER, OTHER), (OTHER, AGENT), (AGENT, OWNER), (OWNER, OWNER)):
        with pytest.raises(AgentNotAuthorized):
            require_agent(ledger, owner, agent)
    next_block(ledger, 1_999)
    require_agent(ledger, OWNER, AGENT)
    next_block(ledger, 1)

    with pytest.raises(AgentNotAuthorized) as refusal:
        require_agent(ledger, OWNER, AGENT)
    assert (refusal.value.account, refusal.value.agent) == (OWNER, AGENT)


def test_leave_is_renewed_and_taken_back_m4() -> None:
    ledger = make_ledger()
    authorize(ledger, OTHER, 1_000)
    authorize(ledger, AGENT, 1_000)
    later = authorize(ledger, AGENT, 5_000)
    assert get_agents(ledger, OWNER).grants[0] == AgentGrant(AGENT, later)
    assert len(get_agents(ledger, OWNER).grants) == 2

    process_revocation(ledger, OWNER, AGENT)

    assert ledger.events[-1] == AgentRevoked(OWNER, AGENT)
    for address in (AGENT, trader(9)):
        with pytest.raises(AgentNotAuthorized):
            process_revocation(ledger, OWNER, address)
    process_revocation(ledger, OWNER, OTHER)
    assert ledger.agents.get(OWNER) is None


@pytest.mark.parametrize("agent", [OWNER, Address(bytes(20)), Address(b"\0" * 18 + b"\x10\x02")])
def test_neither_oneself_nor_the_system_is_an_agent_m4(agent: Address) -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidAgent):
        authorize(ledger, agent, 1_000)

    assert ledger.agents.get(OWNER) is None


def test_leave_lies_ahead_m4() -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidExpiry):
        authorize(ledger, AGENT, 0)
    authorize(ledger, AGENT, 1)


def test_expired_agents_make_room_m4() -> None:
    ledger = make_ledger()
    authorize(ledger, trader(100), 1_000)
    for number in range(101, 100 + AGENTS_MAX):
        authorize(ledger, trader(number), 9_000)
    with pytest.raises(TooManyAgents) as refusal:
        authorize(ledger, AGENT, 9_000)
    assert refusal.value.maximum == AGENTS_MAX
    authorize(ledger, trader(101), 9_000)  # a renewal takes no more

    next_block(ledger)
    authorize(ledger, AGENT, 9_000)

    agents = [grant.agent for grant in get_agents(ledger, OWNER).grants]
    assert agents == sorted(agents)
    assert trader(100) not in agents
