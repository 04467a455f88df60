"""Proofs of presence and absence, as eth_getProof returns them and Ethereum libraries check them.

A proof is the RLP of the nodes along a key's path, root first. If the key is absent they end where
the path leaves the trie. An empty trie has an empty proof.
"""

from collections.abc import Sequence
from typing import NamedTuple

from node.state.account import AccountLeaf, decode_account
from node.state.node import string_of_rlp
from node.state.reader import State, path_of, storage_root_of
from node.state.trie import get_leaf, prove_path
from node.units import Address


class RecordProof(NamedTuple):
    """One storage key of an account."""

    key: bytes
    record: bytes | None
    """None: the nodes prove that there is none. The trie's value is rlp(record)."""
    nodes: list[bytes]


class AccountProof(NamedTuple):
    """An account and some of its storage keys."""

    address: Address
    leaf: AccountLeaf | None
    """None: the nodes prove that there is none."""
    nodes: list[bytes]
    records: list[RecordProof]


def prove(state: State, address: Address, keys: Sequence[bytes]) -> AccountProof:
    """Return the proof of an account and of 32-byte storage keys under the state's root."""
    path = path_of(address)
    leaf = get_leaf(state.nodes, state.pointer, path)
    storage = storage_root_of(leaf)
    records = []
    for key in keys:
        record_path = path_of(key)
        record = get_leaf(state.nodes, storage, record_path)
        records.append(
            RecordProof(
                key,
                None if record is None else string_of_rlp(record.value),
                prove_path(state.nodes, storage, record_path),
            )
        )
    return AccountProof(
        address,
        None if leaf is None else decode_account(leaf.value),
        prove_path(state.nodes, state.pointer, path),
        records,
    )
