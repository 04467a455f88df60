"""Proofs, checked by py-trie and rlp alone."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from trie.exceptions import BadTrieProof
from trie.hexary import HexaryTrie

from node.crypto import keccak256
from node.state.account import Changes
from node.state.node import EMPTY_TRIE_ROOT
from node.state.proof import prove
from node.units import Address, Hash32
from tests.state.states import ADDRESSES, KEYS, Model, changes, grow, new_store, start


def proven(root: Hash32, key: bytes, nodes: list[bytes]) -> bytes:
    """Return the value py-trie reads from a proof, b"" if it proves absence."""
    decoded = [rlp.decode(node) for node in nodes]
    value = HexaryTrie.get_from_proof(  # type: ignore[no-untyped-call]
        root, keccak256(key), decoded
    )
    assert isinstance(value, bytes)
    return value


@given(st.lists(changes(), min_size=1, max_size=3))
def test_py_trie_verifies_presence_and_absence(blocks: list[Changes]) -> None:
    kv, store = new_store()
    model, root = Model(), EMPTY_TRIE_ROOT
    for block in blocks:
        root, model = grow(kv, store, root, block), model.apply(block)
    leaves = model.leaves()

    for address in [*ADDRESSES, Address(b"\xee" * 20)]:
        proof = prove(store.at(root), address, KEYS[::5])

        assert proof.leaf == leaves.get(address)
        value = proven(root, address, proof.nodes)
        if proof.leaf is None:
            assert value == b""
        else:
            nonce, balance, storage_root, code_hash = rlp.decode(value)
            assert (int.from_bytes(nonce, "big"), int.from_bytes(balance, "big")) == proof.leaf[:2]
            assert (storage_root, code_hash) == proof.leaf[2:]
        storage_root = EMPTY_TRIE_ROOT if proof.leaf is None else proof.leaf.storage_root
        for record in proof.records:
            value = proven(storage_root, record.key, record.nodes)
            kept = model.records.get(address, {}).get(record.key)
            assert record.record == kept
            assert value == (b"" if kept is None else rlp.encode(kept))


def test_a_proof_without_its_last_node_proves_nothing() -> None:
    _, store, root = start({key: b"record" * 9 for key in KEYS})
    proof = prove(store.at(root), ADDRESSES[0], [KEYS[0], b"\xff" * 32])
    assert proof.leaf is not None

    for record in proof.records:
        assert len(record.nodes) > 1
        with pytest.raises(BadTrieProof):
            proven(proof.leaf.storage_root, record.key, record.nodes[:-1])


def test_the_empty_state_has_an_empty_proof() -> None:
    _, store = new_store()

    proof = prove(store.at(EMPTY_TRIE_ROOT), ADDRESSES[0], [KEYS[0]])

    assert proof == (ADDRESSES[0], None, [], [(KEYS[0], None, [])])
