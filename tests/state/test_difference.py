"""The difference walk against a comparison of dicts."""

from typing import TypeVar

from hypothesis import given

from node.state.account import AccountLeaf, Changes
from node.state.difference import AccountDifference, RecordDifference, walk
from node.state.kv import MemoryDb
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import StateStore
from node.units import Address
from tests.state.states import ADDRESSES, KEYS, TABLES, Model, changes, grow, new_store, start

K = TypeVar("K")
V = TypeVar("V")


@given(changes(), changes(), changes())
def test_the_walk_finds_exactly_what_differs(trunk: Changes, left: Changes, right: Changes) -> None:
    kv, store = new_store()
    parent = grow(kv, store, EMPTY_TRIE_ROOT, trunk)
    a = store.at(grow(kv, store, parent, left))
    b = store.at(grow(kv, store, parent, right))
    model_a, model_b = Model().apply(trunk).apply(left), Model().apply(trunk).apply(right)

    found = list(walk(a, b))

    assert len(set(found)) == len(found)
    assert {d[0]: d[1:] for d in found if isinstance(d, AccountDifference)} == compare(
        model_a.leaves(), model_b.leaves()
    )
    assert {d[:2]: d[2:] for d in found if isinstance(d, RecordDifference)} == compare(
        by_key(model_a), by_key(model_b)
    )
    assert found == list(walk(StateStore(kv, TABLES).at(a.root), b))
    assert [(*d[:-2], d.after, d.before) for d in walk(b, a)] == found


def compare(a: dict[K, V], b: dict[K, V]) -> dict[K, tuple[V | None, V | None]]:
    return {
        key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)
    }


def by_key(model: Model) -> dict[tuple[Address, bytes], bytes]:
    return {
        (address, key): record
        for address, kept in model.records.items()
        for key, record in kept.items()
    }


class CountingDb(MemoryDb):
    """Counts what is read."""

    reads = 0

    def get(self, key: bytes) -> bytes | None:
        self.reads += 1
        return super().get(key)


def test_the_walk_reads_only_what_differs() -> None:
    kv, store, root = start({bytes(30) + n.to_bytes(2, "big"): b"x" * 40 for n in range(2000)})
    changed = Changes({}, {ADDRESSES[0]: {KEYS[0]: b"y" * 40}})
    after = grow(kv, store, root, changed)
    counting = CountingDb(dict(kv.items(b"")))
    reopened = StateStore(counting, TABLES)

    found = list(walk(reopened.at(root), reopened.at(after)))

    account, record = found
    assert isinstance(account, AccountDifference)
    assert isinstance(account.before, AccountLeaf)
    assert record == RecordDifference(ADDRESSES[0], KEYS[0], b"x" * 40, b"y" * 40)
    # Two paths of at most six nodes below two roots, four rows for the roots, two preimages.
    assert counting.reads < 25
