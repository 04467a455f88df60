"""The manifest: one canonical JSON document whose hash covers everything that a node will load.

Canonical: sorted keys, no spaces, integers and lower-case hex strings only, nothing of the host's
clock or paths. What reads back to other bytes is refused, so one snapshot has one manifest hash.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from node.crypto import keccak256
from node.encoding import load_json
from node.errors import InvalidSnapshot
from node.governance.council import Council
from node.governance.validators import Validator, ValidatorSet
from node.snapshot.chunks import CHUNK_MAX
from node.state.ordered import ordered_root
from node.units import Address, Hash32, Height, TimeMs

FORMAT = 1
MANIFEST_FILE = "manifest.json"
MANIFEST_SIZE_MAX = 16_000_000
"""Bytes: a manifest of 100,000 chunks."""
CHUNKS_MAX = 100_000
HEADERS_KEPT = 256
"""How many headers, the snapshot block's own included, go with a snapshot."""
EMPTY_EFFECTS_HEAD = Hash32(bytes(32))
"""Head of the external-effects journal while it holds nothing."""


class ChunkInfo(NamedTuple):
    """A chunk as it is inside its file."""

    sha256: Hash32
    size: int


class Manifest(NamedTuple):
    """What a snapshot is of, and the hashes of all its parts."""

    chain_id: int
    genesis_hash: Hash32
    fork_id: int
    dev_epoch: int
    height: Height
    block_hash: Hash32
    parent_hash: Hash32
    time_ms: TimeMs
    state_root: Hash32
    accounts: int
    """How many leaves the account trie has."""
    records: int
    """How many leaves all storage tries have."""
    size: int
    """Bytes of all chunks, as they are inside."""
    history_chunks: int
    """How many of the chunks, the first ones, hold block, receipts and headers."""
    chunks: tuple[ChunkInfo, ...]
    headers_hash: Hash32
    """keccak256 over the hashes of the last 256 headers, oldest first."""
    validators: ValidatorSet
    """As the snapshot's state has it: who signs the snapshot."""
    council: Council
    """As the snapshot's state has it: who may fork to it."""
    effects_head: Hash32

    @property
    def name(self) -> str:
        """The snapshot's directory."""
        return snapshot_name(self.fork_id, self.height)


def snapshot_name(fork_id: int, height: int) -> str:
    """Return the directory's name of a snapshot."""
    return f"{fork_id}-{height}"


def manifest_hash(manifest: Manifest) -> Hash32:
    """Return the keccak256 of the canonical document: what validators sign."""
    return keccak256(encode_manifest(manifest))


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the canonical document."""
    return canonical_json(
        {
            "format": FORMAT,
            "chain_id": manifest.chain_id,
            "genesis_hash": to_hex(manifest.genesis_hash),
            "fork_id": manifest.fork_id,
            "dev_epoch": manifest.dev_epoch,
            "height": manifest.height,
            "block_hash": to_hex(manifest.block_hash),
            "parent_hash": to_hex(manifest.parent_hash),
            "time_ms": manifest.time_ms,
            "state_root": to_hex(manifest.state_root),
            "accounts": manifest.accounts,
            "records": manifest.records,
            "size": manifest.size,
            "history_chunks": manifest.history_chunks,
            "chunks": [
                {"sha256": to_hex(chunk.sha256), "size": chunk.size} for chunk in manifest.chunks
            ],
            "chunks_root": to_hex(compute_chunks_root(manifest)),
            "headers_hash": to_hex(manifest.headers_hash),
            "sequencer": to_hex(manifest.validators.sequencer),
            "validators": [
                {"public_key": to_hex(each.public_key), "power": each.power}
                for each in manifest.validators.members
            ],
            "council": {
                "members": [to_hex(member) for member in manifest.council.members],
                "threshold": manifest.council.threshold,
            },
            "effects_head": to_hex(manifest.effects_head),
        }
    )


def decode_manifest(data: bytes, file: str = MANIFEST_FILE) -> Manifest:
    """Return the manifest whose one form `data` is; raise InvalidSnapshot."""
    if len(data) > MANIFEST_SIZE_MAX:
        raise InvalidSnapshot(file, "size", len(data), f"at most {MANIFEST_SIZE_MAX}")
    try:
        manifest = _manifest_of(load_json(data))
        canonical = encode_manifest(manifest)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidSnapshot(
            file, "content", f"{type(error).__name__}: {error}", f"a manifest of format {FORMAT}"
        ) from None
    if canonical != data:
        raise InvalidSnapshot(file, "content", "another form", "canonical JSON")
    if len(manifest.chunks) > CHUNKS_MAX:
        raise InvalidSnapshot(file, "chunks", len(manifest.chunks), f"at most {CHUNKS_MAX}")
    for number, chunk in enumerate(manifest.chunks):
        if not 0 < chunk.size <= CHUNK_MAX:
            raise InvalidSnapshot(file, f"chunks[{number}].size", chunk.size, f"1 to {CHUNK_MAX}")
    return manifest


def compute_chunks_root(manifest: Manifest) -> Hash32:
    """Return the root of the ordered trie over the chunks' hashes."""
    return ordered_root([chunk.sha256 for chunk in manifest.chunks])


def _manifest_of(document: Any) -> Manifest:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}")
    return Manifest(
        chain_id=to_integer(document["chain_id"]),
        genesis_hash=to_hash(document["genesis_hash"]),
        fork_id=to_integer(document["fork_id"]),
        dev_epoch=to_integer(document["dev_epoch"]),
        height=Height(to_integer(document["height"])),
        block_hash=to_hash(document["block_hash"]),
        parent_hash=to_hash(document["parent_hash"]),
        time_ms=TimeMs(to_integer(document["time_ms"])),
        state_root=to_hash(document["state_root"]),
        accounts=to_integer(document["accounts"]),
        records=to_integer(document["records"]),
        size=to_integer(document["size"]),
        history_chunks=to_integer(document["history_chunks"]),
        chunks=tuple(
            ChunkInfo(to_hash(each["sha256"]), to_integer(each["size"]))
            for each in document["chunks"]
        ),
        headers_hash=to_hash(document["headers_hash"]),
        validators=ValidatorSet(
            from_hex(document["sequencer"]),
            tuple(
                Validator(from_hex(each["public_key"], 32), to_integer(each["power"]))
                for each in document["validators"]
            ),
        ),
        council=Council(
            tuple(Address(from_hex(each, 20)) for each in document["council"]["members"]),
            to_integer(document["council"]["threshold"]),
        ),
        effects_head=to_hash(document["effects_head"]),
    )


# --- canonical JSON, as manifests and plans use it ------------------------------------------------


def canonical_json(document: Any) -> bytes:
    """Return the one form of a JSON document: sorted keys, ASCII, no spaces, a final newline."""
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def to_hex(data: bytes) -> str:
    """Return bytes as 0x and lower-case hex."""
    return "0x" + data.hex()


def from_hex(text: Any, size: int | None = None) -> bytes:
    """Return the bytes of 0x and hex; raise ValueError, also for another size."""
    if type(text) is not str or not text.startswith("0x"):
        raise ValueError(f"{text!r} is no 0x hex string")
    data = bytes.fromhex(text[2:])
    if size is not None and len(data) != size:
        raise ValueError(f"{text} has {len(data)} bytes, expected {size}")
    return data


def to_integer(value: Any) -> int:
    """Return a JSON integer from 0 to 2^63 - 1; raise ValueError for any other value."""
    if type(value) is not int or not 0 <= value < 2**63:
        raise ValueError(f"{value!r} is no integer from 0 to 2^63 - 1")
    return value


def to_hash(value: Any) -> Hash32:
    """Return the hash of a hex string; raise ValueError."""
    return Hash32(from_hex(value, 32))
