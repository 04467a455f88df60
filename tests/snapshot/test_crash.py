"""kill -9 at every named point, the same command again: the end of a twin that never died."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.errors import OperatorError
from node.snapshot.apply import apply_plan, resume_fork
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.manifest import Manifest
from node.snapshot.plan import Plan, decode_plan, encode_plan
from node.snapshot.restore import require_no_restore
from node.state.kv import LevelDb
from tests.helpers.chain import Chain
from tests.snapshot.story import certify, export, id_of, make_story_genesis, plan_of, tell_story

ROOT = Path(__file__).parents[2]

FORK_POINTS = [
    "fork: plan verified",
    "fork: F built",
    "fork: marker written",
    "fork: F written",
    "fork: head flipped",
    "fork: sign state bumped",
]
BEFORE_MARKER = FORK_POINTS[:2]
SNAPSHOT_POINTS = [
    "snapshot: in a chunk",
    "snapshot: in a chunk#3",
    "snapshot: in a chunk#last",
    "snapshot: before the manifest",
    "snapshot: before the rename",
    "snapshot: after the rename",
]
RESTORE_POINTS = [
    "restore: partly written",
    "restore: partly written#2",
    "restore: partly written#last",
    "restore: verified",
    "restore: marker written",
    "restore: flipped",
]


class Base:
    """A node's directory to copy: the story, a certified snapshot, a plan."""

    def __init__(self, path: Path) -> None:
        self.path = path
        database = LevelDb(path / "node" / "db")
        story = tell_story(database, path / "node" / "HEAD", validators=True)
        self.directory = SnapshotDirectory(path / "snapshots")
        self.manifest: Manifest = export(story.chain, story.snapshot, self.directory)
        certify(story.chain, self.directory, self.manifest)
        self.plan: Plan = plan_of(story, self.manifest)
        self.plan_file = path / "plan.json"
        self.plan_file.write_bytes(encode_plan(self.plan))
        self.other_file = path / "other.json"
        self.other_file.write_bytes(encode_plan(self.plan._replace(reason="another")))
        self.head = story.chain.head
        database.close()

    def copy(self, to: Path) -> Path:
        """Return a copy of the node's directory."""
        return Path(shutil.copytree(self.path / "node", to))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return Base(tmp_path_factory.mktemp("base"))


def run(step: str, data_dir: Path, argument: object, crash_at: str = "") -> dict[str, str] | str:
    """Run the worker; return what it printed, or what it refused with."""
    environment = {**os.environ, "PERPNODE_CRASH_AT": crash_at}
    command = [sys.executable, "-m", "tests.snapshot.worker", step, str(data_dir), str(argument)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    if crash_at:
        assert done.returncode == -9, done.stderr
        return {}
    if done.returncode:
        return done.stderr
    printed: dict[str, str] = json.loads(done.stdout)
    return printed


@pytest.fixture(scope="module")
def forked(base: Base, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str] | str:
    """What a twin that never died ends with."""
    return run("fork", base.copy(tmp_path_factory.mktemp("twin") / "node"), base.plan_file)


@pytest.mark.parametrize("point", FORK_POINTS)
def test_fork_killed_at_any_point_ends_in_the_same_fork_block(
    base: Base, forked: dict[str, str], point: str, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    run("fork", data_dir, base.plan_file, crash_at=point)

    again = run("fork", data_dir, base.plan_file)

    assert again == forked
    assert again["flat"] == again["root"]
    assert (data_dir / "HEAD").read_text().endswith(f"0x{forked['head']}\n")
    assert (data_dir / "SIGNED").read_text() == forked["head"]
    assert run("fork", data_dir, base.plan_file) == forked


@pytest.mark.parametrize("point", FORK_POINTS)
def test_node_killed_in_a_fork_finishes_it_at_its_start(
    base: Base, forked: dict[str, str], point: str, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    run("fork", data_dir, base.plan_file, crash_at=point)

    opened = run("open", data_dir, "")

    assert isinstance(opened, dict)
    assert opened["head"] == (base.head.hash.hex() if point in BEFORE_MARKER else forked["head"])


@pytest.mark.parametrize("point", FORK_POINTS[2:])
def test_another_plan_is_refused_once_the_marker_is_written(
    base: Base, forked: dict[str, str], point: str, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    run("fork", data_dir, base.plan_file, crash_at=point)

    refused = run("fork", data_dir, base.other_file)

    assert isinstance(refused, str)
    assert "plan hash" in refused
    assert run("open", data_dir, "") == forked


@pytest.mark.parametrize("point", FORK_POINTS[2:4])
def test_fork_killed_twice_still_ends_in_the_same_block(
    base: Base, forked: dict[str, str], point: str, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    run("fork", data_dir, base.plan_file, crash_at=point)
    run("open", data_dir, "", crash_at="fork: head flipped")

    assert run("fork", data_dir, base.plan_file) == forked


class FullDisk(OperatorError):
    """What the database says when nothing fits."""


class Filling:
    """A database whose n-th write from now on finds the disk full; nothing of it is written."""

    def __init__(self, database: LevelDb, writes: int) -> None:
        self._database = database
        self._left = writes
        self.get: Callable[[bytes], bytes | None] = database.get
        self.items = database.items
        self.snapshot = database.snapshot
        self.close = database.close

    def write(self, puts: Iterable[tuple[bytes, bytes]], deletes: Iterable[bytes] = ()) -> None:
        self._left -= 1
        if self._left == 0:
            raise FullDisk("no space left on device")
        self._database.write(puts, deletes)


@pytest.mark.parametrize("writes", [1, 2, 3])
def test_full_disk_leaves_the_old_head_and_is_made_up_for(
    base: Base, forked: dict[str, str], writes: int, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    genesis = make_story_genesis(validators=True)
    database = LevelDb(data_dir / "db")
    filling = Filling(database, writes)
    blockchain = Blockchain(genesis, filling, BlockStore(filling, data_dir / "HEAD"))
    plan = decode_plan(base.plan_file.read_bytes())

    with pytest.raises(FullDisk):
        apply_plan(blockchain, plan)
    assert blockchain.head.block == base.head

    resume_fork(blockchain)
    fork = apply_plan(blockchain, plan)

    assert blockchain.head.block == fork
    assert fork.hash.hex() == forked["head"]
    database.close()


# --- snapshots ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", SNAPSHOT_POINTS)
def test_snapshot_killed_at_any_point_is_whole_or_absent(
    base: Base, point: str, tmp_path: Path
) -> None:
    data_dir = base.copy(tmp_path / "node")
    height = base.manifest.height
    twin = run("snapshot", base.copy(tmp_path / "twin"), height)
    last = point.replace("#last", f"#{len(base.manifest.chunks)}")
    run("snapshot", data_dir, height, crash_at=last)

    directory = SnapshotDirectory(data_dir / "snapshots")
    is_there = directory.manifest(id_of(base.manifest)) is not None

    assert is_there == (point == "snapshot: after the rename")
    assert run("snapshot", data_dir, height) == twin
    assert [each.name for each in directory.path.iterdir()] == [base.manifest.name]


# --- restoring ------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", RESTORE_POINTS)
def test_restore_killed_at_any_point_ends_like_one_that_was_not(
    base: Base, point: str, tmp_path: Path
) -> None:
    snapshot = base.directory.path_of(id_of(base.manifest))
    data_dir = tmp_path / "restored"
    state_chunks = len(base.manifest.chunks) - base.manifest.history_chunks
    run("restore", data_dir, snapshot, crash_at=point.replace("#last", f"#{state_chunks}"))
    if point in RESTORE_POINTS[:4]:
        with pytest.raises(OperatorError, match="restore that broke off"):
            require_no_restore(data_dir)

    again = run("restore", data_dir, snapshot)

    assert isinstance(again, dict)
    assert again["head"] == base.manifest.block_hash.hex()
    assert again["root"] == again["flat"] == base.manifest.state_root.hex()
    assert sorted(each.name for each in data_dir.iterdir()) == ["HEAD", "db", "genesis.json"]


def test_restored_node_forks_like_the_others(
    base: Base, forked: dict[str, str], tmp_path: Path
) -> None:
    data_dir = tmp_path / "restored"
    run("restore", data_dir, base.directory.path_of(id_of(base.manifest)))

    assert run("fork", data_dir, base.plan_file) == forked


def test_story_database_opens_as_it_was(base: Base, tmp_path: Path) -> None:
    data_dir = base.copy(tmp_path / "node")
    database = LevelDb(data_dir / "db")
    chain = Chain(make_story_genesis(validators=True), database, data_dir / "HEAD")

    assert chain.head == base.head
    database.close()
