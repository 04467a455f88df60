"""Agents: keys that may trade for an account, never withdraw, until their time is over (RULES M4).

An agent acts under its own name and says for whom, so nobody can be made an agent against his will
and trade for a stranger unawares.
"""

from typing import NamedTuple

from node.errors import AgentNotAuthorized, InvalidAgent, TooManyAgents
from node.perp.account import SYSTEM_ADDRESS_MAX
from node.perp.events import AgentAuthorized, AgentRevoked
from node.perp.ledger import Ledger
from node.perp.limits import require_future
from node.units import Address, TimeMs

AGENTS_MAX = 16
"""So many an account may have; expired ones make room."""


class AgentGrant(NamedTuple):
    """Leave to trade for an account."""

    agent: Address
    expires_ms: TimeMs
    """From this block time on it is worth nothing."""


class Agents(NamedTuple):
    """Who may trade for an account; key: account; absent: nobody."""

    grants: tuple[AgentGrant, ...]
    """By agent, ascending; some may have expired."""


NO_AGENTS = Agents(())


def get_agents(ledger: Ledger, owner: Address) -> Agents:
    """Return an account's agents, expired ones too until another is authorised."""
    return ledger.agents.get(owner) or NO_AGENTS


def process_authorization(
    ledger: Ledger, owner: Address, agent: Address, expires_ms: TimeMs
) -> None:
    """Let an agent trade for the account until then, or change until when (M4).

    Raise InvalidAgent, InvalidExpiry or TooManyAgents.
    """
    if agent == owner or agent <= SYSTEM_ADDRESS_MAX:
        raise InvalidAgent(agent)
    require_future(ledger, expires_ms)
    others = [
        grant
        for grant in get_agents(ledger, owner).grants
        if grant.agent != agent and grant.expires_ms > ledger.time_ms
    ]
    if len(others) == AGENTS_MAX:
        raise TooManyAgents(AGENTS_MAX)
    grants = sorted([*others, AgentGrant(agent, expires_ms)])
    ledger.agents.set(owner, Agents(tuple(grants)))
    ledger.emit(AgentAuthorized(owner, agent, expires_ms))


def process_revocation(ledger: Ledger, owner: Address, agent: Address) -> None:
    """Take an agent's leave back; raise AgentNotAuthorized if it has none, expired or not (M4)."""
    grants = get_agents(ledger, owner).grants
    others = tuple(grant for grant in grants if grant.agent != agent)
    if len(others) == len(grants):
        raise AgentNotAuthorized(owner, agent)
    if others:
        ledger.agents.set(owner, Agents(others))
    else:
        ledger.agents.delete(owner)
    ledger.emit(AgentRevoked(owner, agent))


def require_agent(ledger: Ledger, owner: Address, agent: Address) -> None:
    """Raise AgentNotAuthorized unless the address may trade for the account now (M4)."""
    for grant in get_agents(ledger, owner).grants:
        if grant.agent == agent and ledger.time_ms < grant.expires_ms:
            return
    raise AgentNotAuthorized(owner, agent)
