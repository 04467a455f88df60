"""The batched trie against py-trie, on paths chosen to share long beginnings."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st
from trie.hexary import HexaryTrie

from node.errors import CorruptState
from node.state.difference import walk_tries
from node.state.kv import MemoryDb
from node.state.node import EMPTY_TRIE_ROOT
from node.state.trie import (
    Batch,
    Change,
    Nodes,
    Pointer,
    Root,
    get_leaf,
    prove_path,
    walk_leaves,
)

# Paths that fork at the root, early, in the middle and in the last digits: short values there are
# embedded in their parent, which keccak paths would show only after billions of tries.
paths = st.builds(
    lambda head, middle, tail: head + middle + bytes(28 - len(middle)) + tail,
    st.binary(min_size=2, max_size=2).map(lambda b: bytes(x & 0x11 for x in b)),
    st.sampled_from([b"", b"\x01", bytes(27) + b"\x10"]),
    st.binary(min_size=2, max_size=2).map(lambda b: bytes(x & 0x13 for x in b)),
)
values = st.one_of(
    st.none(),
    st.none(),
    st.integers(1, 255).map(lambda n: bytes((n,))),
    st.binary(min_size=1, max_size=40),
    st.just(b"long" * 300),
)
batches = st.lists(st.dictionaries(paths, values, max_size=12), max_size=6)


def update(
    kv: MemoryDb, nodes: Nodes, root: Root, *, sequence: int, batch: dict[bytes, bytes | None]
) -> tuple[Root, Batch]:
    made = Batch(nodes, sequence.to_bytes(5, "big"))
    changes = sorted(Change(path.hex(), value, b"", path) for path, value in batch.items())
    root = made.update(root, changes)
    kv.write(made.rows)
    return root, made


def hash_of(root: Root) -> bytes:
    return EMPTY_TRIE_ROOT if root is None else root.reference[1:]


@given(batches)
def test_roots_leaves_and_proofs_are_those_of_py_trie(
    history: list[dict[bytes, bytes | None]],
) -> None:
    kv = MemoryDb()
    nodes = Nodes(kv, b"n", cached_max=5)
    root: Root = None
    expected = HexaryTrie({})
    content: dict[bytes, bytes] = {}

    for sequence, batch in enumerate(history):
        root, made = update(kv, nodes, root, sequence=sequence, batch=batch)

        inserted = {
            path for path, value in batch.items() if value is not None and path not in content
        }
        assert {key for _, key in made.inserted} == inserted
        for path, value in batch.items():
            if value is not None:
                expected[path] = content[path] = value
            elif content.pop(path, None) is not None:
                del expected[path]  # type: ignore[no-untyped-call]
        assert hash_of(root) == expected.root_hash
        fresh = Nodes(kv, b"n", cached_max=5)
        assert [(path, leaf.value) for path, leaf in walk_leaves(fresh, root)] == sorted(
            (path.hex(), value) for path, value in content.items()
        )
        for path in [*batch, bytes(32)]:
            leaf = get_leaf(fresh, root, path.hex())
            assert (leaf.value if leaf else None) == content.get(path)
            proof = prove_path(fresh, root, path.hex())
            proven = HexaryTrie.get_from_proof(  # type: ignore[no-untyped-call]
                hash_of(root), path, [rlp.decode(node) for node in proof]
            )
            assert proven == content.get(path, b"")


@given(st.dictionaries(paths, values), st.dictionaries(paths, values))
def test_the_difference_of_two_tries_is_that_of_two_dicts(
    first: dict[bytes, bytes | None], then: dict[bytes, bytes | None]
) -> None:
    kv = MemoryDb()
    nodes = Nodes(kv, b"n", cached_max=5)
    before, _ = update(kv, nodes, None, sequence=1, batch=first)
    after, _ = update(kv, nodes, before, sequence=2, batch=then)
    content_before = {path: value for path, value in first.items() if value is not None}
    content_after = {path: value for path, value in {**first, **then}.items() if value is not None}

    found = list(walk_tries(nodes, before, nodes, after))

    assert [(path, old and old.value, new and new.value) for path, old, new in found] == [
        (path.hex(), content_before.get(path), content_after.get(path))
        for path in sorted(content_before.keys() | content_after.keys())
        if content_before.get(path) != content_after.get(path)
    ]


def test_a_stored_branch_that_is_left_alone_moves_up_without_being_stored_again() -> None:
    kv = MemoryDb()
    nodes = Nodes(kv, b"n", cached_max=5)
    # The root has a branch under 0, of two leaves, and a leaf under 1.
    pair = {b"\x00" * 32: b"x" * 40, b"\x01" * 32: b"x" * 40}
    root, _ = update(kv, nodes, None, sequence=1, batch={**pair, b"\x10" * 32: b"x"})

    root, made = update(kv, nodes, root, sequence=2, batch={b"\x10" * 32: None})

    expected = HexaryTrie({})
    for path, value in pair.items():
        expected[path] = value
    assert hash_of(root) == expected.root_hash
    assert len(made.rows) == 1


def test_an_unchanged_batch_makes_no_node() -> None:
    kv = MemoryDb()
    nodes = Nodes(kv, b"n", cached_max=5)
    content: dict[bytes, bytes | None] = {bytes(31) + bytes((n,)): b"x" * 40 for n in range(40)}
    root, _ = update(kv, nodes, None, sequence=1, batch=content)

    again, made = update(
        kv, nodes, root, sequence=2, batch={**content, b"\xff" * 32: None, bytes(32): b"x" * 40}
    )

    assert again == root
    assert made.rows == []


def test_a_location_that_leads_to_another_node_is_refused_also_from_memory() -> None:
    kv = MemoryDb()
    nodes = Nodes(kv, b"n", cached_max=100)
    one, _ = update(kv, nodes, None, sequence=1, batch={bytes(32): b"one"})
    two, _ = update(kv, nodes, None, sequence=2, batch={bytes(32): b"two"})
    assert one is not None
    assert two is not None

    with pytest.raises(CorruptState):
        get_leaf(nodes, Pointer(one.reference, two.location), bytes(32).hex())


def test_a_missing_node_is_refused() -> None:
    kv = MemoryDb()
    root, made = update(
        kv, Nodes(kv, b"n", cached_max=9), None, sequence=1, batch={bytes(32): b"one"}
    )
    kv.write([], [key for key, _ in made.rows])

    with pytest.raises(CorruptState, match="missing"):
        get_leaf(Nodes(kv, b"n", cached_max=9), root, bytes(32).hex())
