"""States by root: commits against py-trie, history, branches, abandoned commits, corruption."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import CorruptState, MissingState
from node.state.account import AccountChange, AccountLeaf, Changes
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import EMPTY_CODE_HASH, StateStore
from node.units import Hash32, Wei
from tests.state.states import (
    ADDRESSES,
    CODE_HASH,
    KEYS,
    TABLES,
    Model,
    changes,
    grow,
    new_store,
    only_records,
    start,
    write,
)

TRADER, MARKET = ADDRESSES[1], ADDRESSES[2]


@given(st.lists(changes(), max_size=5))
def test_every_root_is_py_tries_and_every_state_stays_readable(blocks: list[Changes]) -> None:
    kv, store = new_store()
    model, root = Model(), EMPTY_TRIE_ROOT
    history = [(root, model)]

    for block in blocks:
        root = grow(kv, store, root, block)
        model = model.apply(block)
        assert root == model.root()
        history.append((root, model))

    reopened = StateStore(kv, TABLES)
    for past_root, past in history:
        past.assert_equals(reopened.at(past_root))


@given(changes(), changes(), changes(), changes())
def test_branches_from_one_parent_do_not_collide(
    trunk: Changes, left: Changes, right: Changes, leaf: Changes
) -> None:
    kv, store = new_store()
    parent = grow(kv, store, EMPTY_TRIE_ROOT, trunk)
    model = Model().apply(trunk)

    left_root = grow(kv, store, parent, left)
    right_root = grow(kv, store, parent, right)
    left_root_2 = grow(kv, store, left_root, leaf)

    reopened = StateStore(kv, TABLES)
    model.assert_equals(reopened.at(parent))
    model.apply(left).assert_equals(reopened.at(left_root))
    model.apply(right).assert_equals(reopened.at(right_root))
    model.apply(left).apply(leaf).assert_equals(reopened.at(left_root_2))


@given(changes(), changes(), changes())
def test_an_abandoned_commit_leaves_nothing_behind(
    trunk: Changes, refused: Changes, accepted: Changes
) -> None:
    kv, store = new_store()
    root = grow(kv, store, EMPTY_TRIE_ROOT, trunk)
    rows = dict(kv.items(b""))

    abandoned = store.commit(root, refused)

    assert dict(kv.items(b"")) == rows
    if TABLES.roots + abandoned.root not in rows and abandoned.root != EMPTY_TRIE_ROOT:
        with pytest.raises(MissingState):
            store.at(abandoned.root)
    commit = store.commit(root, accepted)
    if abandoned.root != root:
        assert not {key for key, _ in commit.puts if key[:1] == TABLES.nodes} & {
            key for key, _ in abandoned.puts
        }
    write(kv, commit)
    model = Model().apply(trunk)
    model.apply(accepted).assert_equals(store.at(commit.root))
    model.apply(accepted).assert_equals(StateStore(kv, TABLES).at(commit.root))
    model.assert_equals(store.at(root))


def test_a_refused_block_that_is_accepted_later_is_written_whole() -> None:
    kv, store, root = start({key: b"record" for key in KEYS})
    block = only_records(ADDRESSES[0], {KEYS[3]: b"other"})
    store.commit(root, block)

    again = grow(kv, store, root, block)

    assert StateStore(kv, TABLES).at(again).get_record(ADDRESSES[0], KEYS[3]) == b"other"


def test_a_state_that_comes_back_is_not_stored_twice() -> None:
    kv, store, root = start({KEYS[0]: b"one"})
    there = grow(kv, store, root, only_records(ADDRESSES[0], {KEYS[0]: b"two"}))

    back = store.commit(there, only_records(ADDRESSES[0], {KEYS[0]: b"one"}))

    assert back.root == root
    assert {key[:1] for key, _ in back.puts} == {TABLES.flat, TABLES.meta}
    write(kv, back)
    assert store.flat(kv).root == root


def test_locations_are_not_reused_after_reopening() -> None:
    kv, _, root = start({KEYS[0]: b"one"})
    rows = dict(kv.items(TABLES.nodes))

    reopened = StateStore(kv, TABLES)
    grow(kv, reopened, root, only_records(ADDRESSES[0], {KEYS[0]: b"two"}))

    assert rows.items() <= dict(kv.items(TABLES.nodes)).items()
    assert len(dict(kv.items(TABLES.nodes))) > len(rows)


def test_an_account_keeps_its_storage_and_a_record_makes_its_account() -> None:
    kv, store = new_store()
    root = grow(kv, store, EMPTY_TRIE_ROOT, only_records(MARKET, {KEYS[0]: b"oracle"}))
    leaf = store.at(root).get_account(MARKET)
    assert leaf is not None
    assert leaf == AccountLeaf(0, Wei(0), leaf.storage_root, EMPTY_CODE_HASH)

    change = AccountChange(1, Wei(5), CODE_HASH)
    root = grow(kv, store, root, Changes({MARKET: change, TRADER: change}, {}))

    assert store.at(root).get_account(MARKET) == (1, 5, leaf.storage_root, CODE_HASH)
    assert store.at(root).get_account(TRADER) == (1, 5, EMPTY_TRIE_ROOT, CODE_HASH)
    assert store.at(root).get_record(MARKET, KEYS[0]) == b"oracle"


def test_removing_all_records_empties_the_storage_trie() -> None:
    kv, store, root = start({key: b"record" for key in KEYS})

    root = grow(kv, store, root, only_records(ADDRESSES[0], dict.fromkeys(KEYS)))

    leaf = store.at(root).get_account(ADDRESSES[0])
    assert leaf is not None
    assert leaf.storage_root == EMPTY_TRIE_ROOT
    assert list(store.at(root).records(ADDRESSES[0])) == []


def test_removing_the_last_account_gives_the_empty_root() -> None:
    kv, store, root = start({KEYS[0]: b"record"})

    root = grow(kv, store, root, Changes({ADDRESSES[0]: None}, {}))

    assert root == EMPTY_TRIE_ROOT
    assert list(store.at(root).accounts()) == []


def test_what_changes_nothing_writes_nothing() -> None:
    _, store, root = start({KEYS[0]: b"record"})

    commit = store.commit(
        root,
        Changes(
            {TRADER: None},
            {ADDRESSES[0]: {KEYS[0]: b"record", KEYS[1]: None}, MARKET: {KEYS[0]: None}},
        ),
    )

    assert commit == (root, [], [])


def test_records_are_found_by_the_beginning_of_their_key() -> None:
    orders = [b"\x01" + bytes(30) + bytes((n,)) for n in range(5)]
    _, store, root = start({**dict.fromkeys(orders, b"order"), KEYS[0]: b"other"})

    found = store.at(root).records(ADDRESSES[0], b"\x01")

    assert list(found) == [(key, b"order") for key in orders]


def test_an_unknown_root_is_refused() -> None:
    kv, store = new_store()
    unknown = Hash32(b"\x01" * 32)

    with pytest.raises(MissingState) as refused:
        store.at(unknown)
    assert refused.value.root == unknown
    with pytest.raises(MissingState):
        store.commit(unknown, Changes({}, {}))
    with pytest.raises(MissingState):
        store.move_flat(unknown)
    assert list(kv.items(b"")) == []


@given(st.data())
def test_a_changed_byte_in_any_stored_node_or_preimage_is_refused(data: st.DataObject) -> None:
    kv, store, root = start({key: key[-1:] * 30 for key in KEYS[:20]})
    root = grow(kv, store, root, Changes({TRADER: AccountChange(1, Wei(1), CODE_HASH)}, {}))
    # The first commit's root was replaced; nothing of this state leads to it.
    stale = {kv.get(key) for key, _ in kv.items(TABLES.roots)} - {kv.get(TABLES.roots + root)}
    reachable = [
        (key, row)
        for table in (TABLES.nodes, TABLES.preimages)
        for key, row in kv.items(table)
        if key[1:] not in stale
    ]
    key, row = data.draw(st.sampled_from(reachable))
    at = data.draw(st.integers(0, len(row) - 1))
    flipped = bytes((row[at] ^ data.draw(st.integers(1, 255)),))
    kv.write([(key, row[:at] + flipped + row[at + 1 :])])

    with pytest.raises(CorruptState):
        _read_all(StateStore(kv, TABLES), root)


def _read_all(store: StateStore, root: Hash32) -> None:
    state = store.at(root)
    for address, _ in state.accounts():
        list(state.records(address))
