"""The Governance contract: its functions by name, views all of them so far."""

from node.perp.status import CHAIN, get_mode
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.system.token import get_nonce_floor
from node.units import Address, MarketId


def view_mode(ledger: SystemLedger, _: Address, market: MarketId) -> Outputs:
    """Return the stricter of the chain's mode and the market's; the chain's for market 0."""
    return (ledger.status.mode if market == CHAIN else get_mode(ledger, market),)


HANDLERS: Handlers = {
    "getMode": view_mode,
    "forkId": lambda ledger, _: (ledger.status.fork_id,),
    "nonceFloor": lambda ledger, _: (get_nonce_floor(ledger),),
    "council": lambda ledger, _: (ledger.council.members,),
    "threshold": lambda ledger, _: (ledger.council.threshold,),
}
