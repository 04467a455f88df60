"""Where snapshots lie: one directory each, published by a rename, kept or pruned as a whole.

    snapshots/<fork_id>-<height>/manifest.json      what it is, under the manifest hash
                                 chunks/00000 …     history first, then the state
                                 signatures.json    who signed; a block's certificate if known

Signatures differ from node to node and stand outside the manifest; each proves itself. A directory
without a manifest holds the signatures of a snapshot that this node did not make itself.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Sequence
from pathlib import Path
from threading import RLock
from typing import NamedTuple

import structlog

from node.chain.crash import crash_point
from node.chain.durable import sync_directory, write_durably
from node.encoding import load_json
from node.errors import InvalidSnapshot
from node.snapshot.manifest import (
    MANIFEST_FILE,
    Manifest,
    canonical_json,
    decode_manifest,
    from_hex,
    snapshot_name,
    to_hash,
    to_hex,
    to_integer,
)
from node.units import Hash32, Height

log = structlog.get_logger()

CHUNKS_DIRECTORY = "chunks"
SIGNATURES_FILE = "signatures.json"
SIGNATURES_SIZE_MAX = 1_000_000
KEPT = 10
"""How many snapshots stay, besides those that forks name."""
_NAME = re.compile(r"(0|[1-9][0-9]{0,9})-(0|[1-9][0-9]{0,18})")
_STAGING = ".making-"


class SnapshotId(NamedTuple):
    """Which snapshot, in the order in which they are made."""

    fork_id: int
    height: Height

    @property
    def name(self) -> str:
        """The directory's name."""
        return snapshot_name(self.fork_id, self.height)


class Signatures(NamedTuple):
    """Who signed a snapshot: what they signed, and each signature by validator index."""

    block_hash: Hash32
    state_root: Hash32
    manifest_hash: Hash32
    by_validator: dict[int, bytes]
    certificate: bytes
    """The block's certificate as the chain encodes it; empty if this node had none."""


class SnapshotDirectory:
    """All snapshots of a node; safe from several threads of one process."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = RLock()

    def ids(self) -> list[SnapshotId]:
        """Return every snapshot there is, oldest first, also those with signatures only."""
        if not self.path.is_dir():
            return []
        found = (_NAME.fullmatch(entry.name) for entry in self.path.iterdir())
        return sorted(SnapshotId(int(m[1]), Height(int(m[2]))) for m in found if m)

    def path_of(self, snapshot: SnapshotId) -> Path:
        """Return a snapshot's directory."""
        return self.path / snapshot.name

    def manifest(self, snapshot: SnapshotId) -> Manifest | None:
        """Return a snapshot's manifest, None if this node has only signatures, or nothing."""
        path = self.path_of(snapshot)
        if not (path / MANIFEST_FILE).exists():
            return None
        try:
            return load_manifest(path)
        except InvalidSnapshot as error:
            raise InvalidSnapshot(
                str(path / error.file), error.field, error.value, error.expected
            ) from None

    def signatures(self, snapshot: SnapshotId) -> Signatures | None:
        """Return who signed, None if nobody is known to have, or the file is damaged.

        Peers tell at every greeting who signed, so what a disk spoilt is no reason to stand still.
        """
        path = self.path_of(snapshot)
        if not (path / SIGNATURES_FILE).exists():
            return None
        try:
            return load_signatures(path)
        except InvalidSnapshot as error:
            log.warning("signatures forgotten", path=str(path / SIGNATURES_FILE), reason=str(error))
            return None

    def save_signatures(self, snapshot: SnapshotId, signatures: Signatures) -> None:
        """Write who signed, durably."""
        with self._lock:
            self.path_of(snapshot).mkdir(parents=True, exist_ok=True)
            write_durably(self.path_of(snapshot) / SIGNATURES_FILE, encode_signatures(signatures))

    def stage(self, snapshot: SnapshotId) -> Path:
        """Return an empty directory to make a snapshot in; what a crash left there is dropped."""
        staging = self.path / (_STAGING + snapshot.name)
        if staging.exists():
            shutil.rmtree(staging)
        (staging / CHUNKS_DIRECTORY).mkdir(parents=True)
        return staging

    def publish(self, snapshot: SnapshotId) -> None:
        """Make a staged snapshot appear, whole: fsync, rename, fsync the parent."""
        staging, final = self.path / (_STAGING + snapshot.name), self.path_of(snapshot)
        with self._lock:
            if (final / SIGNATURES_FILE).exists():
                data = (final / SIGNATURES_FILE).read_bytes()
                write_durably(staging / SIGNATURES_FILE, data)
            sync_directory(staging / CHUNKS_DIRECTORY)
            sync_directory(staging)
            crash_point("snapshot: before the rename")
            if final.exists():
                assert not (final / MANIFEST_FILE).exists(), "a snapshot is made once"
                shutil.rmtree(final)
            staging.rename(final)
            sync_directory(self.path)
        crash_point("snapshot: after the rename")

    def remove(self, snapshot: SnapshotId) -> None:
        """Delete a snapshot whose block a development revert took out; no-op without one."""
        with self._lock:
            shutil.rmtree(self.path_of(snapshot), ignore_errors=True)

    def prune(self, named: Collection[SnapshotId], *, kept: int = KEPT) -> list[SnapshotId]:
        """Delete all but the newest and those that forks name; return what went."""
        with self._lock:
            gone = [each for each in self.ids()[:-kept] if each not in named]
            for snapshot in gone:
                shutil.rmtree(self.path_of(snapshot))
            return gone


def load_manifest(path: Path) -> Manifest:
    """Return the manifest in a snapshot's directory; raise InvalidSnapshot."""
    return decode_manifest(read_file(path / MANIFEST_FILE, MANIFEST_FILE))


def chunk_path(path: Path, number: int) -> Path:
    """Return the file of a chunk in a snapshot's directory."""
    return path / CHUNKS_DIRECTORY / f"{number:05}"


def chunk_name(number: int) -> str:
    """Return how a chunk's file is named in messages."""
    return f"{CHUNKS_DIRECTORY}/{number:05}"


def load_signatures(path: Path) -> Signatures:
    """Return who signed the snapshot in a directory; raise InvalidSnapshot."""
    data = read_file(path / SIGNATURES_FILE, SIGNATURES_FILE)
    if len(data) > SIGNATURES_SIZE_MAX:
        expected = f"at most {SIGNATURES_SIZE_MAX}"
        raise InvalidSnapshot(SIGNATURES_FILE, "size", len(data), expected)
    try:
        document = load_json(data)
        signatures = Signatures(
            to_hash(document["block_hash"]),
            to_hash(document["state_root"]),
            to_hash(document["manifest_hash"]),
            {
                to_integer(each["validator"]): from_hex(each["signature"])
                for each in document["signatures"]
            },
            from_hex(document["certificate"]),
        )
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        text = f"{type(error).__name__}: {error}"
        raise InvalidSnapshot(SIGNATURES_FILE, "content", text, "signatures") from None
    if encode_signatures(signatures) != data:
        raise InvalidSnapshot(SIGNATURES_FILE, "content", "another form", "canonical JSON")
    return signatures


def encode_signatures(signatures: Signatures) -> bytes:
    """Return the canonical document of a snapshot's signatures."""
    return canonical_json(
        {
            "block_hash": to_hex(signatures.block_hash),
            "state_root": to_hex(signatures.state_root),
            "manifest_hash": to_hex(signatures.manifest_hash),
            "signatures": [
                {"validator": index, "signature": to_hex(signature)}
                for index, signature in sorted(signatures.by_validator.items())
            ],
            "certificate": to_hex(signatures.certificate),
        }
    )


def read_file(path: Path, name: str) -> bytes:
    """Return a file's bytes; raise InvalidSnapshot if it can't be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidSnapshot(name, "file", error.strerror, f"readable at {path}") from None


# --- durable writes -------------------------------------------------------------------------------


def write_parts(path: Path, parts: Sequence[bytes], crash: str = "") -> None:
    """Write and fsync a file; between its parts stands a crash point."""
    with path.open("wb") as file:
        for number, part in enumerate(parts):
            if number and crash:
                file.flush()
                crash_point(crash)
            file.write(part)
        file.flush()
        os.fsync(file.fileno())
