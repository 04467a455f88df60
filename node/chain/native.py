"""Native accounts as a block reads and changes them: nonce and coin, without the storage."""

from typing import NamedTuple

from node.state.store import EMPTY_CODE_HASH, StateReader
from node.units import Address, Hash32, Wei


class Native(NamedTuple):
    """An account of the state trie, without its storage."""

    nonce: int
    balance: Wei
    code_hash: Hash32


ABSENT = Native(0, Wei(0), EMPTY_CODE_HASH)


def load_native(reader: StateReader, address: Address) -> Native:
    """Return a state's account, `ABSENT` if there is none."""
    leaf = reader.get_account(address)
    return ABSENT if leaf is None else Native(leaf.nonce, Wei(leaf.balance), leaf.code_hash)
