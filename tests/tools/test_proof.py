"""Proofs of random states, read without the trie that made them."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie as UntypedTrie

from node.crypto import keccak256
from node.encoding import rlp_encode
from node.state.account import Changes, encode_account
from node.state.node import EMPTY_TRIE_ROOT
from node.state.proof import prove
from node.units import Address
from tests.state.states import ADDRESSES, KEYS, Model, changes, grow, new_store, start
from tools.proof import ProofRefused, verify_proof

HexaryTrie: Any = UntypedTrie


@given(st.lists(changes(), min_size=1, max_size=3))
def test_it_reads_what_is_there_and_that_nothing_is(blocks: list[Changes]) -> None:
    kv, store = new_store()
    model, root = Model(), EMPTY_TRIE_ROOT
    for block in blocks:
        root, model = grow(kv, store, root, block), model.apply(block)
    leaves = model.leaves()

    for address in [*ADDRESSES, Address(b"\xee" * 20)]:
        proof = prove(store.at(root), address, KEYS[::5])

        leaf = leaves.get(address)
        value = verify_proof(root, address, proof.nodes)
        if leaf is None:
            assert value == b""
        else:
            nonce, balance, storage, code = leaf
            assert value == encode_account(nonce, balance, storage_root=storage, code_hash=code)
        storage_root = EMPTY_TRIE_ROOT if leaf is None else leaf.storage_root
        for each in proof.records:
            kept = model.records.get(address, {}).get(each.key)
            record = verify_proof(storage_root, each.key, each.nodes)
            assert record == (b"" if kept is None else rlp_encode(kept))


@given(st.dictionaries(st.binary(min_size=1, max_size=4), st.binary(min_size=1, max_size=3)))
def test_it_reads_nodes_that_stand_within_others(values: dict[bytes, bytes]) -> None:
    trie = HexaryTrie({})
    for key, value in values.items():
        trie[keccak256(key)] = value

    for key, value in values.items():
        nodes = [rlp_encode(node) for node in trie.get_proof(keccak256(key))]
        assert verify_proof(trie.root_hash, key, nodes) == value


def test_an_altered_or_shortened_proof_is_refused() -> None:
    _, store, root = start({key: b"record" * 9 for key in KEYS})
    proof = prove(store.at(root), ADDRESSES[0], [])
    *above, last = proof.nodes

    with pytest.raises(ProofRefused, match="a node hashes to"):
        verify_proof(root, ADDRESSES[0], [*above, last[:-1] + bytes([last[-1] ^ 1])])
    with pytest.raises(ProofRefused, match="the nodes end before the path does"):
        verify_proof(root, ADDRESSES[0], above)
    with pytest.raises(ProofRefused, match="a node hashes to"):
        verify_proof(keccak256(b"another root"), ADDRESSES[0], proof.nodes)
