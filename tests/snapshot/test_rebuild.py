"""A trie built from sorted leaves is the trie that a batch builds, rows and all."""

from hypothesis import given
from hypothesis import strategies as st

from node.chain import keys
from node.errors import InvalidSnapshot
from node.snapshot.chunks import cut_chunks, read_entries, walk_entries
from node.snapshot.rebuild import Entry, StateBuilder
from node.state.account import AccountChange, Changes
from node.state.kv import MemoryDb
from node.state.store import EMPTY_CODE_HASH, EMPTY_TRIE_ROOT, StateStore
from node.units import Address, Hash32, Wei

ADDRESSES = st.integers(0, 2**160 - 1).map(lambda n: Address(n.to_bytes(20, "big")))
RECORDS = st.dictionaries(st.binary(min_size=32, max_size=32), st.binary(min_size=1, max_size=80))
STATES = st.dictionaries(ADDRESSES, RECORDS, min_size=1, max_size=30)


def make_store(records: dict[Address, dict[bytes, bytes]]) -> tuple[StateStore, Hash32]:
    """Commit a state of these records; return its store and root."""
    kv = MemoryDb()
    store = StateStore(kv, keys.STATE_TABLES)
    changes = Changes(
        accounts={address: AccountChange(1, Wei(7), EMPTY_CODE_HASH) for address in records},
        records={address: dict(own) for address, own in records.items()},
    )
    commit = store.commit(EMPTY_TRIE_ROOT, changes)
    kv.write(commit.puts, commit.deletes)
    return store, commit.root


@given(STATES)
def test_rebuilt_state_has_the_root_and_answers_alike(
    records: dict[Address, dict[bytes, bytes]],
) -> None:
    store, root = make_store(records)
    builder = StateBuilder(keys.STATE_TABLES)
    kv = MemoryDb()

    for entry in walk_entries(store.at(root)):
        builder.add(entry, "file")
        kv.write(builder.take_rows())
    rebuilt_root, rows = builder.finish("file")
    kv.write(rows)

    assert rebuilt_root == root
    rebuilt = StateStore(kv, keys.STATE_TABLES).at(root)
    assert list(rebuilt.accounts()) == list(store.at(root).accounts())
    for address in records:
        assert list(rebuilt.records(address)) == list(store.at(root).records(address))


@given(STATES)
def test_rebuilt_state_can_be_changed_like_any_other(
    records: dict[Address, dict[bytes, bytes]],
) -> None:
    store, root = make_store(records)
    builder, kv = StateBuilder(keys.STATE_TABLES), MemoryDb()
    for entry in walk_entries(store.at(root)):
        builder.add(entry, "file")
    kv.write(builder.finish("file")[1])
    address = min(records)
    changes = Changes(accounts={}, records={address: {bytes(32): b"new"}})

    rebuilt = StateStore(kv, keys.STATE_TABLES)

    assert rebuilt.commit(root, changes).root == store.commit(root, changes).root


@given(STATES, st.integers(40, 4_000))
def test_chunks_hold_the_entries_and_are_cut_by_them_alone(
    records: dict[Address, dict[bytes, bytes]], target: int
) -> None:
    store, root = make_store(records)
    entries = list(walk_entries(store.at(root)))

    chunks = [chunk for chunk in cut_chunks(entries, target=target) if chunk is not None]

    assert [each for chunk in chunks for each in read_entries(chunk, "file")] == entries
    assert all(len(chunk) <= max(target, 200) + 5 for chunk in chunks)


@given(STATES, st.data())
def test_two_entries_in_the_wrong_order_are_refused(
    records: dict[Address, dict[bytes, bytes]], data: st.DataObject
) -> None:
    store, root = make_store(records)
    entries = list(walk_entries(store.at(root)))
    if len(entries) < 2:
        entries.append(entries[0])
    else:
        at = data.draw(st.integers(0, len(entries) - 2))
        entries[at], entries[at + 1] = entries[at + 1], entries[at]

    assert is_refused(entries, root)


@given(STATES, st.data())
def test_an_entry_left_out_or_altered_is_noticed(
    records: dict[Address, dict[bytes, bytes]], data: st.DataObject
) -> None:
    store, root = make_store(records)
    entries = list(walk_entries(store.at(root)))
    at = data.draw(st.integers(0, len(entries) - 1))
    if data.draw(st.booleans()):
        del entries[at]
    else:
        key, leaf = entries[at]
        place = data.draw(st.integers(0, len(leaf) - 1))
        altered = leaf[:place] + bytes([leaf[place] ^ 1]) + leaf[place + 1 :]
        entries[at] = Entry(key, altered)

    assert is_refused(entries, root)


def is_refused(entries: list[Entry], root: bytes) -> bool:
    """Tell whether the entries are refused, or give another root."""
    builder = StateBuilder(keys.STATE_TABLES)
    try:
        for entry in entries:
            builder.add(entry, "file")
        return builder.finish("file")[0] != root
    except InvalidSnapshot:
        return True
