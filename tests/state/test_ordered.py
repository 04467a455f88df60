"""Ordered tries against py-trie over rlp(index)."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from node.state.node import EMPTY_TRIE_ROOT
from node.state.ordered import ordered_proof, ordered_root


def expected_trie(values: list[bytes]) -> HexaryTrie:
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    return trie


def proven(root: bytes, index: int, proof: list[bytes]) -> object:
    nodes = [rlp.decode(node) for node in proof]
    value: object = HexaryTrie.get_from_proof(  # type: ignore[no-untyped-call]
        root, rlp.encode(index), nodes
    )
    return value


@given(st.lists(st.binary(min_size=1, max_size=60), max_size=300))
def test_the_root_is_py_tries(values: list[bytes]) -> None:
    assert ordered_root(values) == expected_trie(values).root_hash


@pytest.mark.parametrize("count", [1, 2, 16, 17, 127, 128, 129, 255, 256, 257, 300])
@pytest.mark.parametrize("size", [1, 10, 40, 600])
def test_every_value_is_proven_at_every_length_of_index(count: int, size: int) -> None:
    values = [bytes((index % 255 + 1,)) * size for index in range(count)]
    root = ordered_root(values)

    assert root == expected_trie(values).root_hash
    for index in range(0, count, max(1, count // 40)):
        assert proven(root, index, ordered_proof(values, index)) == values[index]


def test_three_byte_indices() -> None:
    values = [b"%d" % index for index in range(65_600)]

    root = ordered_root(values)

    for index in (0, 127, 128, 255, 256, 65_535, 65_536, 65_599):
        assert proven(root, index, ordered_proof(values, index)) == values[index]


def test_no_values_give_the_empty_root() -> None:
    assert ordered_root([]) == EMPTY_TRIE_ROOT


def test_there_is_no_proof_of_an_index_beyond_the_end() -> None:
    with pytest.raises(AssertionError, match="index 1 of 1"):
        ordered_proof([b"only"], 1)
