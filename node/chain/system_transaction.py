"""The transactions by which the protocol itself acts (DESIGN section 4).

What a block does on its own has a place in its body like everything else: an ordinary legacy
transaction, so that every library decodes and hashes it. Its key is published here. That opens
nothing: a mempool refuses its address as a sender, and a validator accepts only the very bytes it
would build itself, which it can, because signing is deterministic (RFC 6979).
"""

from node.chain.transaction import LEGACY, Transaction, UnsignedTransaction, sign_transaction
from node.system.contracts import GOVERNANCE, SYSTEM_ACCOUNT, SYSTEM_KEY
from node.units import Wei

__all__ = ["SYSTEM_ACCOUNT", "SYSTEM_KEY", "build_system_transaction"]


def build_system_transaction(chain_id: int, nonce: int, data: bytes) -> Transaction:
    """Build the one system transaction of this nonce and input: to Governance, gas and value 0."""
    unsigned = UnsignedTransaction(
        type=LEGACY,
        chain_id=chain_id,
        nonce=nonce,
        max_priority_fee=Wei(0),
        max_fee=Wei(0),
        gas_limit=0,
        to=GOVERNANCE,
        value=Wei(0),
        data=data,
    )
    return sign_transaction(unsigned, SYSTEM_KEY)
