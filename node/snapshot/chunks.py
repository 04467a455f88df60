"""Chunks: runs of entries as MessagePack, 4 MiB each, hashed as they are before compression.

Where a chunk ends follows from the entries alone, so all nodes cut alike. The compression is no
part of any hash: another version of zstd may write other bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator

import msgpack
import zstandard

from node.encoding import pack
from node.errors import InvalidSnapshot
from node.snapshot.rebuild import Entry
from node.state.reader import State, storage_root_of
from node.state.trie import walk_leaves
from node.units import Hash32

CHUNK_TARGET = 4 << 20
"""A chunk ends before the entry that would make it larger, in bytes."""
CHUNK_MAX = 16_000_000
"""What CometBFT carries in one message, in bytes."""
COMPRESSION_LEVEL = 3


def walk_entries(state: State) -> Iterator[Entry]:
    """Yield a state's accounts by path, each followed by its records by path."""
    for path, leaf in walk_leaves(state.nodes, state.pointer):
        yield Entry(state.key_of(path), leaf.value)
        for record_path, record in walk_leaves(state.nodes, storage_root_of(leaf)):
            yield Entry(state.key_of(record_path), record.value)


def cut_chunks(entries: Iterable[Entry], *, target: int = CHUNK_TARGET) -> Iterator[bytes | None]:
    """Yield each chunk when it is full, and None after each entry that does not fill one."""
    parts: list[bytes] = []
    size = 0
    for entry in entries:
        part = pack(entry)
        if parts and size + len(part) > target:
            yield _join(parts)
            parts, size = [], 0
        parts.append(part)
        size += len(part)
        yield None
    if parts:
        yield _join(parts)


def cut_bytes(data: bytes, *, target: int = CHUNK_TARGET) -> list[bytes]:
    """Cut what is no run of entries into pieces of the same size."""
    return [data[at : at + target] for at in range(0, len(data), target)]


def read_entries(chunk: bytes, file: str) -> Iterator[Entry]:
    """Yield a chunk's entries; raise InvalidSnapshot unless it is their one form."""
    try:
        items = msgpack.unpackb(chunk, use_list=False)
        entries = [Entry(*item) for item in items]
        good = _join([pack(entry) for entry in entries]) == chunk
    except (ValueError, TypeError) as error:
        raise InvalidSnapshot(
            file, "content", type(error).__name__, "runs of (key, leaf)"
        ) from None
    if not good or not all(type(part) is bytes for entry in entries for part in entry):
        raise InvalidSnapshot(file, "content", "another form", "canonical runs of (key, leaf)")
    yield from entries


def chunk_hash(chunk: bytes) -> Hash32:
    """Return the SHA-256 of a chunk as it is inside."""
    return Hash32(hashlib.sha256(chunk).digest())


def compress(chunk: bytes) -> bytes:
    """Return a chunk as its file holds it."""
    assert len(chunk) <= CHUNK_MAX, f"a chunk of {len(chunk)} bytes"
    return zstandard.ZstdCompressor(level=COMPRESSION_LEVEL).compress(chunk)


def decompress(data: bytes, *, size: int, file: str) -> bytes:
    """Return the chunk of a file that must hold `size` bytes; raise InvalidSnapshot."""
    try:
        declared = zstandard.frame_content_size(data)
        if declared != size:
            raise InvalidSnapshot(file, "size", declared, size)
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise InvalidSnapshot(file, "compression", str(error), "one zstd frame") from None


def _join(parts: list[bytes]) -> bytes:
    header: bytes = msgpack.Packer().pack_array_header(len(parts))
    return header + b"".join(parts)
