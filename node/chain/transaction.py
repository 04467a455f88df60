"""Legacy, EIP-2930 and EIP-1559 transactions: bytes, sender, hash, and their class in a block."""

from typing import NamedTuple

from node.units import Address, Hash32, Wei

AccessList = tuple[tuple[Address, tuple[Hash32, ...]], ...]


class Transaction(NamedTuple):
    """A decoded, signature-checked transaction. Stateless: nothing here depends on a state."""

    type: int
    """0 legacy, 1 EIP-2930, 2 EIP-1559."""
    chain_id: int
    nonce: int
    max_priority_fee: Wei
    """Per gas; the gas price for types 0 and 1."""
    max_fee: Wei
    """Per gas; the gas price for types 0 and 1."""
    gas_limit: int
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList
    y_parity: int
    r: int
    s: int
    sender: Address
    """Recovered from the signature."""
    hash: Hash32
    """keccak256 of `raw`."""
    raw: bytes
    """The canonical encoding (EIP-2718), as in a block's body and its transaction trie."""
