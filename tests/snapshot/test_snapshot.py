"""Snapshots: equal bytes everywhere, restored to a node that goes on, refused when altered."""

import json
import shutil
import threading
from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.chain.transition import encode_transition
from node.errors import InvalidSnapshot, OperatorError
from node.perp.events import ModeChanged
from node.perp.status import CHAIN, Mode, ModeReason
from node.snapshot.chunks import compress, decompress
from node.snapshot.directory import SnapshotDirectory, SnapshotId, load_manifest, load_signatures
from node.snapshot.export import ExportJob
from node.snapshot.manifest import Manifest, decode_manifest, encode_manifest, manifest_hash
from node.snapshot.restore import restore_snapshot
from node.snapshot.signatures import LONE_MAX, SnapshotCertifier, SnapshotSignature
from node.snapshot.snapshotter import Signer, Snapshotter, is_due
from node.snapshot.verify import verify_snapshot
from node.state.kv import LevelDb
from node.units import Height
from tests.helpers.chain import BTC, Chain
from tests.snapshot.story import (
    PRICE,
    SEEDS,
    Story,
    certify,
    export,
    id_of,
    make_story_genesis,
    sign,
    tell_story,
)


@pytest.fixture
def story() -> Story:
    return tell_story(validators=True)


@pytest.fixture
def directory(tmp_path: Path) -> SnapshotDirectory:
    return SnapshotDirectory(tmp_path / "snapshots")


@pytest.fixture
def manifest(story: Story, directory: SnapshotDirectory) -> Manifest:
    made = export(story.chain, story.snapshot, directory)
    certify(story.chain, directory, made)
    return made


def files_of(path: Path) -> dict[str, bytes]:
    """Return a snapshot's files, but for the signatures."""
    found = sorted(each for each in path.rglob("*") if each.is_file())
    return {
        str(each.relative_to(path)): each.read_bytes()
        for each in found
        if each.name != "signatures.json"
    }


# --- the same bytes everywhere --------------------------------------------------------------------


def test_two_nodes_write_equal_bytes(story: Story, tmp_path: Path) -> None:
    twin = Chain(make_story_genesis(validators=True))
    for height in range(1, story.chain.head.header.number + 1):
        block = story.chain.blockchain.block_at(Height(height))
        assert block is not None
        twin.blockchain.import_block(block)
    here, there = SnapshotDirectory(tmp_path / "here"), SnapshotDirectory(tmp_path / "there")

    made = export(story.chain, story.snapshot, here)
    again = export(twin, story.snapshot, there)

    assert made == again
    assert len(made.chunks) > 3
    assert files_of(here.path_of(id_of(made))) == files_of(there.path_of(id_of(again)))


def test_manifest_reads_back_and_has_one_form(manifest: Manifest) -> None:
    data = encode_manifest(manifest)

    assert decode_manifest(data) == manifest
    for other in (data.replace(b",", b", ", 1), data[:-1], data.replace(b"0x", b"0X", 1)):
        with pytest.raises(InvalidSnapshot, match="content"):
            decode_manifest(other)


@pytest.mark.parametrize("value", [-1, 1.5, "1", None, True, 2**63])
def test_manifest_with_another_kind_of_number_is_refused(manifest: Manifest, value: object) -> None:
    document = json.loads(encode_manifest(manifest))
    document["height"] = value

    with pytest.raises(InvalidSnapshot, match="content"):
        decode_manifest(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_an_export_gives_way_and_the_chain_goes_on_meanwhile(
    story: Story, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    alone = export(story.chain, story.snapshot, SnapshotDirectory(tmp_path / "alone"))
    job = ExportJob(story.chain.blockchain, story.snapshot, directory, chunk_target=2_000)
    slices = 0

    for _ in job.run():
        slices += 1
        story.chain.seal(*story.chain.reports(PRICE))

    assert slices > 3
    assert job.manifest == alone


# --- restoring ------------------------------------------------------------------------------------


def test_restored_node_goes_on_like_one_that_never_stopped(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    data_dir = tmp_path / "restored"
    restore_snapshot(directory.path_of(id_of(manifest)), data_dir, story.genesis)
    database = LevelDb(data_dir / "db")
    restored = Chain(story.genesis, database, data_dir / "HEAD")
    assert restored.head == story.snapshot

    for height in range(manifest.height + 1, story.chain.head.header.number + 1):
        block = story.chain.blockchain.block_at(Height(height))
        assert block is not None
        restored.blockchain.import_block(block)

    assert restored.head.hash == story.chain.head.hash
    later = SnapshotDirectory(tmp_path / "later")
    assert export(restored, restored.head, later) == export(
        story.chain, story.chain.head, directory
    )
    database.close()


def test_restored_node_serves_what_it_has_and_says_what_it_has_not(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    restore_snapshot(directory.path_of(id_of(manifest)), tmp_path / "restored", story.genesis)
    database = LevelDb(tmp_path / "restored" / "db")
    blockchain = Blockchain(story.genesis, database, BlockStore(database, None))
    store, height = blockchain.store, manifest.height

    assert blockchain.block_at(Height(0)) == story.chain.blockchain.block_at(Height(0))
    assert store.load_receipts(manifest.block_hash) == tuple(
        story.chain.blockchain.store.load_receipts(manifest.block_hash) or ()
    )
    assert store.load_place(story.snapshot.transactions[0].hash) is not None
    before = story.chain.blockchain.block_at(Height(height - 1))
    assert before is not None
    assert blockchain.block_at(Height(height - 1)) is None
    assert store.load_header(before.hash) == (before.header, before.extension)
    assert list(blockchain.find_logs(Height(1), Height(height - 1), [], [])) == []
    database.close()


def test_restoring_again_is_a_no_op_and_another_chain_is_left_alone(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    path, data_dir = directory.path_of(id_of(manifest)), tmp_path / "restored"
    restore_snapshot(path, data_dir, story.genesis)

    assert restore_snapshot(path, data_dir, story.genesis) == manifest

    other = tmp_path / "other"
    database = LevelDb(other / "db")
    head = Chain(story.genesis, database, other / "HEAD").head
    database.close()
    with pytest.raises(OperatorError, match="nothing was changed"):
        restore_snapshot(path, other, story.genesis)
    database = LevelDb(other / "db")
    assert Chain(story.genesis, database, other / "HEAD").head == head
    database.close()


def test_restore_needs_a_quorum_of_the_genesis_validators(
    story: Story, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    made = export(story.chain, story.snapshot, directory)
    path = directory.path_of(id_of(made))
    certify(story.chain, directory, made, count=2)  # 2 of 4 is not more than 2/3

    with pytest.raises(InvalidSnapshot, match="power that signed: was 2"):
        restore_snapshot(path, tmp_path / "restored", story.genesis)
    assert not (tmp_path / "restored" / "db").exists()

    certify(story.chain, directory, made, count=3)
    restore_snapshot(path, tmp_path / "restored", story.genesis)


def test_restore_refuses_a_snapshot_of_another_genesis(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    other = story.genesis._replace(chain_id=7)

    with pytest.raises(InvalidSnapshot, match="genesis_hash"):
        restore_snapshot(directory.path_of(id_of(manifest)), tmp_path / "restored", other)


# --- altered files --------------------------------------------------------------------------------


def test_verify_says_of_each_file_what_it_is_and_who_signed(
    manifest: Manifest, directory: SnapshotDirectory
) -> None:
    verdict = verify_snapshot(directory.path_of(id_of(manifest)))

    assert verdict.good
    assert verdict.files[0].file == "manifest.json"
    assert len(verdict.files) == len(manifest.chunks) + 3
    assert [signer.state for signer in verdict.signers] == ["signed"] * 3 + ["missing"]


def test_each_altered_chunk_is_named_with_both_values(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    path = directory.path_of(id_of(manifest))
    for number, info in enumerate(manifest.chunks):
        broken = tmp_path / f"broken-{number}"
        shutil.copytree(path, broken)
        file = broken / "chunks" / f"{number:05}"
        inside = decompress(file.read_bytes(), size=info.size, file="")
        file.write_bytes(compress(inside[:-1] + bytes([inside[-1] ^ 1])))

        verdict = verify_snapshot(broken)

        wrong = [report for report in verdict.files if report.expected]
        assert [report.file for report in wrong] == [f"chunks/{number:05}"]
        assert info.sha256.hex() in wrong[0].expected
        with pytest.raises(InvalidSnapshot, match=f"chunks/{number:05}, sha256"):
            restore_snapshot(broken, tmp_path / "restored", story.genesis)
        assert not (tmp_path / "restored" / "db").exists()


@pytest.mark.parametrize("damage", ["missing", "garbage", "larger"])
def test_a_file_that_is_no_chunk_is_named(
    manifest: Manifest, directory: SnapshotDirectory, damage: str
) -> None:
    path = directory.path_of(id_of(manifest))
    file = path / "chunks" / "00001"
    if damage == "missing":
        file.unlink()
    elif damage == "garbage":
        file.write_bytes(b"no zstd")
    else:
        file.write_bytes(compress(bytes(1_000_000)))

    verdict = verify_snapshot(path)

    assert not verdict.good
    assert [report.file for report in verdict.files if report.expected] == ["chunks/00001"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("height", 7),
        ("accounts", 1),
        ("records", 1),
        ("time_ms", 5),
        ("state_root", "0x" + "11" * 32),
        ("block_hash", "0x" + "11" * 32),
        ("headers_hash", "0x" + "11" * 32),
        ("validators", []),
        ("council", {"members": [], "threshold": 0}),
        ("history_chunks", 0),
    ],
)
def test_a_manifest_that_lies_is_found_out_by_its_own_parts(
    story: Story, manifest: Manifest, directory: SnapshotDirectory, field: str, value: object
) -> None:
    path = directory.path_of(id_of(manifest))
    document = json.loads(encode_manifest(manifest))
    document[field] = value
    text = json.dumps(document, sort_keys=True, separators=(",", ":")) + "\n"
    (path / "manifest.json").write_text(text)

    verdict = verify_snapshot(path)

    assert not verdict.good
    assert any(report.expected for report in verdict.files)


# --- signatures -----------------------------------------------------------------------------------


def test_more_than_two_thirds_certify_and_finalize(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = export(story.chain, story.snapshot, directory)
    certifier = SnapshotCertifier(story.chain.blockchain, directory)
    heard: list[tuple[SnapshotId, bytes]] = []
    certifier.on_certified(lambda snapshot, digest: heard.append((snapshot, digest)))

    assert [certifier.add(sign(made, validator)) for validator in (2, 0, 0)] == [False] * 3
    assert certifier.finalized == 0
    assert certifier.add(sign(made, 3))
    assert not certifier.add(sign(made, 1))

    assert certifier.finalized == made.height
    assert heard == [(id_of(made), manifest_hash(made))]
    again = SnapshotCertifier(story.chain.blockchain, directory)
    assert again.finalized == made.height


def test_a_damaged_manifest_is_named_with_its_path(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = id_of(export(story.chain, story.snapshot, directory))
    file = directory.path_of(made) / "manifest.json"
    file.write_text("{")

    with pytest.raises(InvalidSnapshot, match=f"snapshot {file}, content"):
        directory.manifest(made)


def test_damaged_signatures_are_forgotten_and_gathered_again(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = export(story.chain, story.snapshot, directory)
    certifier = SnapshotCertifier(story.chain.blockchain, directory)
    for validator in (0, 2, 3):
        certifier.add(sign(made, validator))
    file = directory.path_of(id_of(made)) / "signatures.json"
    whole = file.read_bytes()
    file.write_bytes(whole[:-40])

    again = SnapshotCertifier(story.chain.blockchain, directory)

    assert again.finalized == 0
    for validator in (0, 2, 3):
        again.add(sign(made, validator))
    assert again.finalized == made.height
    assert file.read_bytes() == whole


def test_signatures_of_different_manifests_do_not_add_up(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = export(story.chain, story.snapshot, directory)
    rival = made._replace(size=made.size + 1)
    certifier = SnapshotCertifier(story.chain.blockchain, directory)

    taken = [certifier.add(sign(rival, 0)), certifier.add(sign(made, 1))]
    taken += [certifier.add(sign(rival, 2)), certifier.add(sign(made, 3))]

    assert taken == [False] * 4
    assert certifier.finalized == 0
    assert load_signatures(directory.path_of(id_of(made))).manifest_hash == manifest_hash(made)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"validator": 4}, "validator"),
        ({"validator": -1}, "validator"),
        ({"validator": 1}, "signature of validator 1"),
        ({"manifest_hash": bytes(32)}, "signature of validator 0"),
        ({"height": 3}, "height"),
        ({"state_root": bytes(32)}, "state root"),
        ({"signature": bytes(64)}, "signature of validator 0"),
        ({"signature": b""}, "signature of validator 0"),
    ],
)
def test_a_signature_of_nobody_or_of_something_else_is_refused_by_name(
    story: Story, directory: SnapshotDirectory, change: dict[str, object], message: str
) -> None:
    made = export(story.chain, story.snapshot, directory)
    signed = sign(made, 0)._replace(**change)  # type: ignore[arg-type]

    with pytest.raises(InvalidSnapshot, match=message):
        SnapshotCertifier(story.chain.blockchain, directory).add(signed)


def test_a_signature_waits_for_its_block(story: Story, directory: SnapshotDirectory) -> None:
    made = export(story.chain, story.snapshot, directory)
    late = Chain(story.genesis)
    certifier = SnapshotCertifier(late.blockchain, SnapshotDirectory(directory.path / "late"))

    assert [certifier.add(sign(made, validator)) for validator in range(3)] == [False] * 3
    for height in range(1, made.height + 1):
        block = story.chain.blockchain.block_at(Height(height))
        assert block is not None
        late.blockchain.import_block(block)
    certifier.on_head()

    assert certifier.finalized == made.height


def test_a_signature_that_waited_and_does_not_hold_is_no_obstacle_to_a_block(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = export(story.chain, story.snapshot, directory)
    late = Chain(story.genesis)
    certifier = SnapshotCertifier(late.blockchain, SnapshotDirectory(directory.path / "late"))
    late.blockchain.on_head(lambda _: certifier.on_head())
    certifier.add(sign(made, 0)._replace(signature=bytes(64)))
    for validator in range(3):
        certifier.add(sign(made, validator))

    for height in range(1, made.height + 1):
        block = story.chain.blockchain.block_at(Height(height))
        assert block is not None
        late.blockchain.import_block(block)

    assert certifier.finalized == made.height


def test_what_a_few_validators_alone_signed_leaves_nothing_on_disk(
    story: Story, directory: SnapshotDirectory, tmp_path: Path
) -> None:
    made = export(story.chain, story.snapshot, directory)
    gathering = SnapshotDirectory(tmp_path / "gathering")
    certifier = SnapshotCertifier(story.chain.blockchain, gathering)

    certifier.add(sign(made, 0))
    assert gathering.ids() == [], "a liar could fill the disk, and prune the good ones"
    certifier.add(sign(made, 1))

    assert list(load_signatures(gathering.path_of(id_of(made))).by_validator) == [0, 1]


def test_a_validator_that_signs_whatever_comes_to_mind_is_told_on_a_few_times(
    story: Story, directory: SnapshotDirectory
) -> None:
    made = export(story.chain, story.snapshot, directory)
    certifier = SnapshotCertifier(story.chain.blockchain, directory)
    told: list[SnapshotSignature] = []
    certifier.on_signed(told.append)

    for size in range(LONE_MAX + 5):
        certifier.add(sign(made._replace(size=size), 3))
    assert len(told) == LONE_MAX
    for validator in range(3):
        certifier.add(sign(made, validator))

    assert certifier.finalized == made.height
    certifier.add(sign(made, 3))
    assert told[-1] == sign(made, 3), "what others signed as well is no fancy"


def test_without_validators_all_is_final(tmp_path: Path) -> None:
    story = tell_story()
    certifier = SnapshotCertifier(story.chain.blockchain, SnapshotDirectory(tmp_path))

    assert certifier.finalized == story.chain.head.header.number


# --- cadence --------------------------------------------------------------------------------------


def test_snapshotter_makes_and_signs_what_is_due(
    story: Story, directory: SnapshotDirectory
) -> None:
    from node.crypto import ed25519_public_key, ed25519_sign

    signer = Signer(ed25519_public_key(SEEDS[2]), lambda message: ed25519_sign(SEEDS[2], message))
    made: list[tuple[Manifest, SnapshotSignature | None]] = []
    done = threading.Event()
    interval = story.chain.head.header.number + 1
    snapshotter = Snapshotter(story.chain.blockchain, directory, signer, interval=interval)
    snapshotter.on_snapshot(lambda manifest, signature: made.append((manifest, signature)))
    snapshotter.on_snapshot(lambda *_: done.set())
    snapshotter.start()

    snapshotter.on_head(story.chain.blockchain.head)  # not due
    story.chain.blockchain.on_head(snapshotter.on_head)
    story.chain.seal()
    assert done.wait(30)
    snapshotter.stop()

    manifest, signature = made[0]
    assert len(made) == 1
    assert manifest == directory.manifest(SnapshotId(0, Height(interval)))
    assert signature == sign(manifest, 2)


def test_snapshotter_makes_at_its_start_what_a_crash_left_out(
    story: Story, directory: SnapshotDirectory
) -> None:
    done = threading.Event()
    snapshotter = Snapshotter(story.chain.blockchain, directory, None, interval=10)
    snapshotter.on_snapshot(lambda *_: done.set())

    snapshotter.start()
    assert done.wait(30)
    snapshotter.stop()

    height = story.chain.head.header.number // 10 * 10
    assert directory.ids() == [SnapshotId(0, Height(height))]


def test_retention_keeps_the_newest_and_what_forks_name(directory: SnapshotDirectory) -> None:
    ids = [SnapshotId(fork, Height(height)) for fork in (0, 1) for height in (90, 100, 200)]
    for snapshot in ids:
        directory.path_of(snapshot).mkdir(parents=True)
    (directory.path / ".making-0-300").mkdir()

    gone = directory.prune({ids[0]}, kept=2)

    assert gone == [ids[1], ids[2], ids[3]]
    assert directory.ids() == [ids[0], ids[4], ids[5]]


@pytest.mark.parametrize(
    ("change", "is_wanted"),
    [
        (ModeChanged(CHAIN, Mode.OPEN, Mode.HALTED, ModeReason.GOVERNANCE), True),
        (ModeChanged(CHAIN, Mode.CANCEL_ONLY, Mode.HALTED, ModeReason.GOVERNANCE), True),
        # A maintenance begins.
        (ModeChanged(CHAIN, Mode.OPEN, Mode.CANCEL_ONLY, ModeReason.GOVERNANCE), True),
        (ModeChanged(CHAIN, Mode.HALTED, Mode.CANCEL_ONLY, ModeReason.GOVERNANCE), False),
        (ModeChanged(CHAIN, Mode.OPEN, Mode.CANCEL_ONLY, ModeReason.GAP), False),
        (ModeChanged(BTC, Mode.OPEN, Mode.CANCEL_ONLY, ModeReason.GOVERNANCE), False),
    ],
)
def test_a_block_is_due_where_the_council_closes_the_chain(
    story: Story, change: ModeChanged, is_wanted: bool
) -> None:
    transition = encode_transition(change)
    assert transition is not None

    assert is_due(story.snapshot._replace(transitions=(transition,)), 10**6) is is_wanted


def test_genesis_is_never_due(story: Story) -> None:
    first = story.chain.blockchain.block_at(Height(0))
    assert first is not None

    assert not is_due(first, 100)
    assert is_due(story.snapshot, story.snapshot.header.number)
    assert not is_due(story.snapshot, story.snapshot.header.number + 1)


def test_loading_a_directory_without_manifest_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSnapshot, match=r"manifest\.json, file"):
        load_manifest(tmp_path)
