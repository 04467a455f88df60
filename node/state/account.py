"""An account as the state trie holds it, and what a block does to accounts and records."""

from typing import NamedTuple

from node.crypto import EMPTY_HASH
from node.encoding import rlp_list_of, rlp_string
from node.errors import EncodingError
from node.state.node import EMPTY_TRIE_ROOT, string_of_rlp
from node.units import Address, Hash32, Wei

EMPTY_CODE_HASH = EMPTY_HASH
"""Of an account without code."""


class AccountLeaf(NamedTuple):
    """The leaf of the account trie, field by field as Ethereum has it."""

    nonce: int
    balance: Wei
    storage_root: Hash32
    code_hash: Hash32


class AccountChange(NamedTuple):
    """An account after a block; its storage root follows from the changed records."""

    nonce: int
    balance: Wei
    code_hash: Hash32


class Changes(NamedTuple):
    """What one commit does to its parent state."""

    accounts: dict[Address, AccountChange | None]
    """None removes the account with all its records."""
    records: dict[Address, dict[bytes, bytes | None]]
    """By 32-byte key; None removes the record. An address without account gets an empty one."""


def encode_account(nonce: int, balance: int, *, storage_root: bytes, code_hash: bytes) -> bytes:
    """Return the RLP of an account leaf's value."""
    return rlp_list_of(
        rlp_string(nonce.to_bytes((nonce.bit_length() + 7) // 8, "big"))
        + rlp_string(balance.to_bytes((balance.bit_length() + 7) // 8, "big"))
        + b"\xa0"
        + storage_root
        + b"\xa0"
        + code_hash
    )


def decode_account(value: bytes) -> AccountLeaf:
    """Return the account of a leaf's value; EncodingError if the bytes are none."""
    size = len(value)
    if not 70 <= size <= 110 or value[0] != 0xF8 or value[1] != size - 2:
        raise EncodingError(f"0x{value.hex()} is not an account")
    middle = 3 if value[2] < 0x80 else value[2] - 0x7D
    nonce = string_of_rlp(value[2:middle])
    balance = string_of_rlp(value[middle : size - 66])
    if value[size - 66] != 0xA0 or value[size - 33] != 0xA0:
        raise EncodingError(f"0x{value.hex()} is not an account")
    return AccountLeaf(
        int.from_bytes(nonce, "big"),
        Wei(int.from_bytes(balance, "big")),
        Hash32(value[size - 65 : size - 33]),
        Hash32(value[size - 32 :]),
    )


def storage_reference(value: bytes) -> bytes | None:
    """Return the trie reference of an account leaf's storage root, None if that is empty."""
    reference = value[-66:-33]
    return None if reference[1:] == EMPTY_TRIE_ROOT else reference
