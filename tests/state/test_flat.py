"""The flat table equals the trie after any commits and moves, and says whose root it holds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

import node.state.flat as flat_module
from node.state.account import Changes
from node.state.kv import MemoryDb
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import StateStore
from node.units import Hash32
from tests.state.states import ADDRESSES, KEYS, TABLES, Model, changes, grow, only_records, start

Step = tuple[str, Changes, int]
steps = st.lists(
    st.tuples(st.sampled_from(["grow", "branch", "move", "rebuild"]), changes(), st.integers(0, 9)),
    max_size=8,
)


@given(steps)
def test_the_table_equals_the_trie_after_any_commits_and_moves(story: list[Step]) -> None:
    kv = MemoryDb()
    store = StateStore(kv, TABLES, cached_nodes_max=20)
    states: list[tuple[Hash32, Model]] = [(EMPTY_TRIE_ROOT, Model())]
    head = 0

    for action, block, chosen in story:
        target = chosen % len(states)
        if action in ("grow", "branch"):
            parent = head if action == "grow" else target
            is_head = states[parent][0] == store.flat_root()
            root = grow(kv, store, states[parent][0], block)
            states.append((root, states[parent][1].apply(block)))
            head = len(states) - 1 if is_head else head
        elif action == "move":
            store.move_flat(states[target][0])
            head = target
        else:
            store.rebuild_flat(states[target][0])
            head = target

        root, model = states[head]
        assert store.flat_root() == root
        assert store.flat(kv).root == root
        model.assert_equals(store.flat(kv))
        model.assert_equals(store.at(root))


def test_a_snapshot_stays_at_its_root_while_the_table_moves_on() -> None:
    kv, store, root = start({KEYS[0]: b"one", KEYS[1]: b"kept"})
    view = kv.snapshot()
    after = grow(kv, store, root, only_records(ADDRESSES[0], {KEYS[0]: b"two", KEYS[1]: None}))

    before_reader, after_reader = store.flat(view), store.flat(kv)

    assert (before_reader.root, after_reader.root) == (root, after)
    assert list(before_reader.records(ADDRESSES[0])) == [(KEYS[0], b"one"), (KEYS[1], b"kept")]
    assert list(after_reader.records(ADDRESSES[0])) == [(KEYS[0], b"two")]


def test_an_untagged_table_is_nobodys_until_it_is_rebuilt() -> None:
    kv, store, root = start({KEYS[0]: b"one"})

    kv.write([flat_module.untag_row(TABLES)])

    assert store.flat_root() is None
    with pytest.raises(AssertionError, match="unfinished"):
        store.flat(kv)
    store.rebuild_flat(root)
    assert store.flat(kv).get_record(ADDRESSES[0], KEYS[0]) == b"one"


def test_a_scan_by_the_beginning_of_a_key_is_in_order_of_key() -> None:
    orders = [b"\x01" + bytes(30) + bytes((n,)) for n in range(5)]
    kv, store, _ = start({**dict.fromkeys(reversed(orders), b"order"), KEYS[0]: b"other"})

    found = store.flat(kv).records(ADDRESSES[0], b"\x01")

    assert list(found) == [(key, b"order") for key in orders]


def test_a_wrong_table_is_rebuilt_right() -> None:
    kv, store, root = start({KEYS[0]: b"funding index", KEYS[1]: b"oracle"})
    row = TABLES.flat + ADDRESSES[0]
    kv.write([(row + KEYS[0], b"zero"), (row + KEYS[9], b"ghost")], [row + KEYS[1]])

    store.rebuild_flat(root)

    assert list(store.flat(kv).records(ADDRESSES[0])) == list(store.at(root).records(ADDRESSES[0]))


class StoppingDb(MemoryDb):
    """Dies at a write, as a killed process does between two batches."""

    writes_left = 1_000

    def write(self, puts, deletes=()):  # type: ignore[no-untyped-def]
        if self.writes_left == 0:
            raise KeyboardInterrupt
        self.writes_left -= 1
        super().write(puts, deletes)


@pytest.mark.parametrize("writes", [0, 1, 2])
def test_a_move_cut_short_is_seen_and_finished(
    writes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat_module, "_ROWS_MAX", 10)
    kv = StoppingDb()
    store = StateStore(kv, TABLES)
    before = EMPTY_TRIE_ROOT
    after = grow(kv, store, before, only_records(ADDRESSES[0], dict.fromkeys(KEYS[:40], b"x")))
    store.move_flat(before)

    kv.writes_left = writes
    with pytest.raises(KeyboardInterrupt):
        store.move_flat(after)

    kv.writes_left = 1_000
    reopened = StateStore(kv, TABLES)
    assert reopened.flat_root() == (before if writes == 0 else None)
    if writes:
        with pytest.raises(AssertionError, match="unfinished"):
            reopened.flat(kv)
    reopened.move_flat(after)
    assert reopened.flat_root() == after
    assert dict(reopened.flat(kv).records(ADDRESSES[0])) == dict.fromkeys(KEYS[:40], b"x")


def test_a_commit_on_another_branch_leaves_the_table_alone() -> None:
    kv, store, root = start({KEYS[0]: b"one"})
    head = grow(kv, store, root, only_records(ADDRESSES[0], {KEYS[0]: b"two"}))

    commit = store.commit(root, only_records(ADDRESSES[0], {KEYS[0]: b"three"}))

    assert TABLES.flat not in {key[:1] for key, _ in commit.puts}
    kv.write(commit.puts, commit.deletes)
    assert store.flat(kv).root == head
