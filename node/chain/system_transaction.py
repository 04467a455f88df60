"""The transactions by which the protocol itself acts (DESIGN section 4).

What a block does on its own has a place in its body like everything else: an ordinary legacy
transaction, so that every library decodes and hashes it. Its key is published here. That opens
nothing: a mempool refuses its address as a sender, and a validator accepts only the very bytes it
would build itself, which it can, because signing is deterministic (RFC 6979).
"""

from node.chain.transaction import LEGACY, Transaction, UnsignedTransaction, sign_transaction
from node.crypto import address_of, keccak256
from node.system.contracts import GOVERNANCE
from node.units import Wei

SYSTEM_KEY = keccak256(b"perpnode system account")
"""Published on purpose."""

SYSTEM_ACCOUNT = address_of(SYSTEM_KEY)
"""The sender of all system transactions; stands in genesis."""


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
