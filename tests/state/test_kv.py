"""LevelDB and its twin in memory: order, snapshots, batches, owners, corruption."""

import errno
import os
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import plyvel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.errors import CorruptDatabase, DatabaseInUse, OperatorError
from node.state.account import Changes
from node.state.kv import KeyValue, LevelDb, MemoryDb, _explain, _name_owner
from node.state.node import EMPTY_TRIE_ROOT
from node.state.overlay import Overlay
from node.state.store import StateStore
from tests.state.states import ADDRESSES, KEYS, TABLES, grow, only_records


@pytest.fixture(params=["level", "memory"])
def kv(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[KeyValue]:
    database: KeyValue = LevelDb(tmp_path / "db") if request.param == "level" else MemoryDb()
    yield database
    database.close()


def test_items_are_those_of_the_prefix_in_order(kv: KeyValue) -> None:
    kv.write([(b"b2", b"2"), (b"a", b"0"), (b"b1", b"1"), (b"c", b"3"), (b"b", b"")])

    assert list(kv.items(b"b")) == [(b"b", b""), (b"b1", b"1"), (b"b2", b"2")]
    assert list(kv.items(b"d")) == []
    assert kv.get(b"b") == b""
    assert kv.get(b"b3") is None


def test_items_begin_where_they_are_asked_to(kv: KeyValue) -> None:
    kv.write({b"a9": b"", b"b1": b"1", b"b3": b"3", b"b5": b"5", b"c": b""}.items())

    assert list(kv.items(b"b", b"2")) == [(b"b3", b"3"), (b"b5", b"5")]
    assert list(kv.items(b"b", b"3")) == [(b"b3", b"3"), (b"b5", b"5")]
    assert list(kv.snapshot().items(b"b", b"5")) == [(b"b5", b"5")]
    assert list(kv.items(b"b", b"6")) == []
    overlay = Overlay(kv)
    overlay.write([(b"b2", b"2"), (b"b4", b"4")], [b"b5"])
    assert list(overlay.items(b"b", b"3")) == [(b"b3", b"3"), (b"b4", b"4")]


def test_a_batch_deletes_before_it_puts(kv: KeyValue) -> None:
    kv.write([(b"a", b"old"), (b"b", b"old")])

    kv.write([(b"a", b"new")], [b"a", b"b", b"absent"])

    assert list(kv.items(b"")) == [(b"a", b"new")]


def test_a_snapshot_and_running_items_do_not_see_later_writes(kv: KeyValue) -> None:
    kv.write([(b"a", b"1"), (b"b", b"1")])
    snapshot, items = kv.snapshot(), kv.items(b"")

    kv.write([(b"a", b"2"), (b"c", b"2")], [b"b"])

    assert list(items) == [(b"a", b"1"), (b"b", b"1")]
    assert snapshot.get(b"a") == b"1"
    assert list(snapshot.items(b"")) == [(b"a", b"1"), (b"b", b"1")]
    assert list(kv.items(b"")) == [(b"a", b"2"), (b"c", b"2")]
    snapshot.close()


rows = st.dictionaries(st.binary(max_size=3), st.binary(max_size=3), max_size=6)


@given(st.lists(st.tuples(rows, st.lists(st.binary(max_size=3), max_size=4)), max_size=8))
def test_memory_behaves_as_a_dict(batches: list[tuple[dict[bytes, bytes], list[bytes]]]) -> None:
    memory = MemoryDb()
    expected: dict[bytes, bytes] = {}
    snapshots = []

    for puts, deletes in batches:
        memory.write(puts.items(), deletes)
        expected = {k: v for k, v in expected.items() if k not in deletes} | puts
        snapshots.append((memory.snapshot(), expected))

    for snapshot, content in snapshots:
        assert list(snapshot.items(b"")) == sorted(content.items())


def test_a_reopened_database_holds_the_same(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "missing" / "db")
    root = grow(
        kv,
        StateStore(kv, TABLES),
        EMPTY_TRIE_ROOT,
        only_records(ADDRESSES[0], dict.fromkeys(KEYS, b"x" * 50)),
    )
    before = list(kv.items(b""))
    kv.close()

    reopened = LevelDb(tmp_path / "missing" / "db")

    assert list(reopened.items(b"")) == before
    store = StateStore(reopened, TABLES)
    assert dict(store.at(root).records(ADDRESSES[0])) == dict.fromkeys(KEYS, b"x" * 50)
    assert store.flat(reopened).root == root
    reopened.close()


HOLD = """
import sys
from node.state.kv import LevelDb
kv = LevelDb(sys.argv[1])
kv.write([(b"key", b"value")])
print("open", flush=True)
sys.stdin.read()
"""


def test_a_second_opener_is_told_who_owns_the_database(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "db")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"

        messages = []
        for _ in range(2):  # being told must not take the owner's lock away
            with pytest.raises(DatabaseInUse) as refused:
                LevelDb(tmp_path / "db")
            messages.append(str(refused.value))
        owner.stdin.close()

    message = messages[1]
    assert f"process {owner.pid} " in message
    assert str(tmp_path / "db") in message
    assert "--data-dir" in message
    assert "\n" not in message
    kv = LevelDb(tmp_path / "db")
    assert kv.get(b"key") == b"value"
    kv.close()


def test_this_process_is_named_too_and_keeps_its_lock(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    os.symlink(tmp_path / "db", tmp_path / "alias")

    for path in (tmp_path / "db", tmp_path / "alias"):
        with pytest.raises(DatabaseInUse, match="in use by this process"):
            LevelDb(path)

    outsider = subprocess.run(
        [sys.executable, "-c", HOLD, str(tmp_path / "db")], capture_output=True, text=True
    )
    assert outsider.returncode != 0
    assert f"process {os.getpid()} " in outsider.stderr
    kv.close()


def test_an_owner_that_the_system_does_not_name_is_another_process(tmp_path: Path) -> None:
    LevelDb(tmp_path / "db").close()

    assert _name_owner(tmp_path / "db" / "LOCK") == "another process"  # it has just let go
    assert _name_owner(tmp_path / "missing") == "another process"


def test_a_long_command_line_of_the_owner_is_shortened(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path / "db"), "argument" * 50]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        name = _name_owner(tmp_path / "db" / "LOCK")
        owner.stdin.close()

    shown = name.removeprefix(f"process {owner.pid} (").removesuffix(")")
    assert len(shown) == 80
    assert shown.startswith(sys.executable)
    assert shown.endswith("…")


def test_a_short_command_line_of_the_owner_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(HOLD)
    with subprocess.Popen(
        ["python", "own.py", "db"],
        executable=sys.executable,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as owner:
        assert owner.stdin is not None
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"open\n"
        name = _name_owner(tmp_path / "db" / "LOCK")
        owner.stdin.close()

    assert name == f"process {owner.pid} (python own.py db)"


def flip(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(content)


def test_a_flipped_byte_of_the_log_is_refused_not_forgotten(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    for n in range(20):
        kv.write([(b"%d" % n, b"value" * 20)])
    kv.close()
    (log,) = (tmp_path / "db").glob("*.log")
    flip(log, log.read_bytes().index(b"value" * 20))

    with pytest.raises(CorruptDatabase) as refused:
        LevelDb(tmp_path / "db")

    assert str(tmp_path / "db") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_flipped_byte_of_a_table_is_refused_on_reading(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    kv.write([(b"%03d" % n, os.urandom(1000)) for n in range(500)])
    kv.close()
    LevelDb(tmp_path / "db").close()  # moves the log into a table
    (table,) = (tmp_path / "db").glob("*.ldb")
    flip(table, table.stat().st_size // 2)
    reopened = LevelDb(tmp_path / "db")

    with pytest.raises(CorruptDatabase):
        list(reopened.items(b""))
    with pytest.raises(CorruptDatabase):
        [reopened.get(b"%03d" % n) for n in range(500)]
    reopened.close()


@pytest.mark.parametrize("left", [0, 10, 200_000])
def test_a_truncated_table_is_damage_not_a_matter_of_permissions(tmp_path: Path, left: int) -> None:
    kv = LevelDb(tmp_path / "db")
    kv.write([(b"%03d" % n, os.urandom(1000)) for n in range(500)])
    kv.close()
    LevelDb(tmp_path / "db").close()  # moves the log into a table
    (table,) = (tmp_path / "db").glob("*.ldb")
    os.truncate(table, left)

    reopened = LevelDb(tmp_path / "db")
    for read in (lambda: list(reopened.items(b"")), lambda: reopened.get(b"250")):
        with pytest.raises(CorruptDatabase, match="damaged or truncated") as refused:
            read()
        assert str(table) in str(refused.value)
        assert "permissions" not in str(refused.value)
        assert "\n" not in str(refused.value)
    reopened.close()


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC])
def test_what_the_system_refuses_is_no_damage(number: int) -> None:
    text = f"IO error: db/000005.ldb: {os.strerror(number)}".encode()

    explained = _explain(Path("db"), plyvel.IOError(text))

    assert not isinstance(explained, CorruptDatabase)
    assert str(explained) == (
        f"the database db can't be used: db/000005.ldb: {os.strerror(number)}; "
        "check its permissions and the free space"
    )


def test_a_path_that_is_a_file_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a directory")

    with pytest.raises(OperatorError, match="can't be used") as refused:
        LevelDb(tmp_path / "file")
    assert "\n" not in str(refused.value)
    with pytest.raises(OperatorError, match="can't be used"):
        LevelDb(tmp_path / "file" / "db")


def test_a_disk_that_refuses_a_write_is_one_clear_line(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OperatorError, match="File too large") as refused:
            kv.write([(b"key", os.urandom(200_000))])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert str(refused.value).startswith(f"the database {tmp_path / 'db'} can't be used: ")
    assert "\n" not in str(refused.value)
    kv.close()


def test_readers_in_threads_see_whole_states_while_commits_run(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    store = StateStore(kv, TABLES, cached_nodes_max=50)
    root = grow(kv, store, EMPTY_TRIE_ROOT, numbered(0))
    failures: list[object] = []
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            view = kv.snapshot()
            flat = store.flat(view)
            seen = {record for _, record in flat.records(ADDRESSES[0])}
            trie = {record for _, record in store.at(flat.root).records(ADDRESSES[0])}
            if len(seen) != 1 or seen != trie:
                failures.append((seen, trie))
            view.close()

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for n in range(1, 40):
        root = grow(kv, store, root, numbered(n))
    stop.set()
    for reader in readers:
        reader.join()

    assert failures == []
    assert {record for _, record in store.at(root).records(ADDRESSES[0])} == {b"39" * 20}
    kv.close()


def numbered(n: int) -> Changes:
    """Return a block that writes its number into every record."""
    return only_records(ADDRESSES[0], dict.fromkeys(KEYS, b"%d" % n * 20))
