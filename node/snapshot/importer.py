"""Reading a snapshot: file by file, believing hashes alone, no more than a chunk in memory.

Restoring and verifying are the same reading; what differs is where the rows go.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from node.chain import keys
from node.errors import EncodingError, InvalidSnapshot
from node.governance.council import Council
from node.governance.validators import ValidatorSet
from node.snapshot.chunks import CHUNK_MAX, chunk_hash, decompress, read_entries
from node.snapshot.directory import chunk_name, chunk_path, read_file
from node.snapshot.history import History, decode_history
from node.snapshot.manifest import Manifest
from node.snapshot.rebuild import ADDRESS_SIZE, StateBuilder
from node.state.node import string_of_rlp
from node.system.contracts import GOVERNANCE

Rows = list[tuple[bytes, bytes]]
HISTORY_SIZE_MAX = 256_000_000
"""Bytes of block, receipts and headers together."""
COMPRESSED_SIZE_MAX = CHUNK_MAX + 65_536
"""Bytes of a chunk's file: what does not compress grows a little."""


class Imported(NamedTuple):
    """What a snapshot was found to be."""

    history: History
    last_rows: Rows
    """The rows by which the state is found under its root: to be written last."""


def import_snapshot(
    path: Path,
    manifest: Manifest,
    write: Callable[[Rows], None],
    passed: Callable[[str], None] = lambda _: None,
) -> Imported:
    """Read a whole snapshot, give its rows to `write` as they become final, check everything.

    `passed` hears of each file that held. Raises InvalidSnapshot with file, field and both values.
    """
    history = decode_history(_read_history(path, manifest, passed), manifest)
    builder = StateBuilder(keys.STATE_TABLES)
    governance: dict[bytes, bytes] = {}
    for number in range(manifest.history_chunks, len(manifest.chunks)):
        name = chunk_name(number)
        for entry in read_entries(read_chunk(path, manifest, number), name):
            builder.add(entry, name)
            if builder.address == GOVERNANCE and len(entry.key) != ADDRESS_SIZE:
                governance[entry.key] = string_of_rlp(entry.leaf)
        write(builder.take_rows())
        passed(name)
    root, last_rows = builder.finish("chunks (state)")
    for field, value, expected in (
        ("state root", root, manifest.state_root),
        ("accounts", builder.account_count, manifest.accounts),
        ("records", builder.record_count, manifest.records),
    ):
        if value != expected:
            raise InvalidSnapshot("chunks (state)", field, value, expected)
    _check_governance(governance, manifest)
    return Imported(history, last_rows)


def read_chunk(path: Path, manifest: Manifest, number: int) -> bytes:
    """Return a chunk as it is inside; raise InvalidSnapshot unless it is the manifest's."""
    name, info = chunk_name(number), manifest.chunks[number]
    file = chunk_path(path, number)
    if file.exists() and file.stat().st_size > COMPRESSED_SIZE_MAX:
        expected = f"at most {COMPRESSED_SIZE_MAX}"
        raise InvalidSnapshot(name, "file size", file.stat().st_size, expected)
    chunk = decompress(read_file(file, name), size=info.size, file=name)
    digest = chunk_hash(chunk)
    if digest != info.sha256:
        raise InvalidSnapshot(name, "sha256", digest, info.sha256)
    return chunk


def _read_history(path: Path, manifest: Manifest, passed: Callable[[str], None]) -> bytes:
    size = sum(chunk.size for chunk in manifest.chunks[: manifest.history_chunks])
    if size > HISTORY_SIZE_MAX:
        raise InvalidSnapshot("manifest.json", "history", size, f"at most {HISTORY_SIZE_MAX}")
    pieces = []
    for number in range(min(manifest.history_chunks, len(manifest.chunks))):
        pieces.append(read_chunk(path, manifest, number))
        passed(chunk_name(number))
    return b"".join(pieces)


def _check_governance(found: dict[bytes, bytes], manifest: Manifest) -> None:
    """Check that the manifest names the validators and the council of its own state."""
    for field, place, expected in (
        ("validators", keys.VALIDATORS, manifest.validators),
        ("council", keys.COUNCIL, manifest.council),
    ):
        data = found.get(place.key(None), b"")
        try:
            value: ValidatorSet | Council | str = place.codec.decode(data)
        except EncodingError as error:
            value = str(error)
        if value != expected:
            raise InvalidSnapshot("manifest.json", field, expected, value)
