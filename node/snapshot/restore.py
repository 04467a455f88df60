"""A data directory made of a snapshot: staged, verified whole, then in place by one rename.

    db.restoring/     written chunk by chunk; worth nothing until everything in it was verified
    RESTORED          the durable marker: db.restoring is whole and is to become db
    db/, HEAD         the node's own, as if it had never been without them; genesis.json beside it

A crash before the marker starts over, one after it is finished by whoever opens the directory next.
What is available afterwards: the snapshot's block with its receipts and state, block 0 without its
state, the last 256 headers without bodies, and everything that follows.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from node.chain import keys
from node.chain.block import (
    encode_block,
    encode_extension,
    encode_header,
    encode_receipts,
    header_hash,
)
from node.chain.blockchain import Blockchain
from node.chain.certificate import decode_certificate, verify_certificate
from node.chain.crash import crash_point
from node.chain.durable import sync_directory, write_durably
from node.chain.genesis import Genesis, document_hash, render_genesis
from node.chain.store import DATABASE_FORMAT, BlockStore
from node.encoding import load_json
from node.errors import EncodingError, InvalidCertificate, InvalidSnapshot, OperatorError
from node.snapshot.directory import (
    SIGNATURES_FILE,
    load_manifest,
    load_signatures,
)
from node.snapshot.history import History
from node.snapshot.importer import Imported, Rows, import_snapshot
from node.snapshot.manifest import MANIFEST_FILE, Manifest, canonical_json, manifest_hash, to_hex
from node.snapshot.signatures import identity_of, require_certified
from node.state.flat import tag_row
from node.state.kv import LevelDb, MemoryDb
from node.units import Hash32

DATABASE_DIRECTORY = "db"
HEAD_FILE = "HEAD"
STAGING_DIRECTORY = "db.restoring"
MARKER_FILE = "RESTORED"
GENESIS_FILE = "genesis.json"


def restore_snapshot(
    path: Path,
    data_dir: Path,
    genesis: Genesis,
    passed: Callable[[str], None] = lambda _: None,
) -> Manifest:
    """Make a data directory of a certified snapshot; the same command again is a no-op.

    Nothing is trusted but the genesis document: its validators' signatures must certify the
    manifest. Raises InvalidSnapshot, or OperatorError for a directory that holds another chain.
    """
    manifest = load_manifest(path)
    finish_restore(data_dir)
    if (data_dir / DATABASE_DIRECTORY).exists():
        _require_same(data_dir, manifest)
        return manifest
    _check_chain(manifest, genesis)
    require_certified(path, manifest, genesis)
    data_dir.mkdir(parents=True, exist_ok=True)
    write_durably(data_dir / GENESIS_FILE, render_genesis(genesis).encode())
    staging = data_dir / STAGING_DIRECTORY
    if staging.exists():
        shutil.rmtree(staging)
    database = LevelDb(staging)
    try:
        imported = import_snapshot(path, manifest, _staged_writer(database), passed)
        crash_point("restore: verified")
        database.write(_last_rows(path, imported, manifest, genesis))
    finally:
        database.close()
    sync_directory(staging)
    sync_directory(data_dir)
    marker = {
        "manifest_hash": to_hex(manifest_hash(manifest)),
        "height": manifest.height,
        "block_hash": to_hex(manifest.block_hash),
    }
    write_durably(data_dir / MARKER_FILE, canonical_json(marker))
    crash_point("restore: marker written")
    finish_restore(data_dir)
    return manifest


def finish_restore(data_dir: Path) -> None:
    """Finish a restore whose marker is there; no-op without one.

    Whoever opens a data directory calls it first.
    """
    marker = data_dir / MARKER_FILE
    if not marker.exists():
        return
    document = load_json(marker.read_bytes())
    staging, final = data_dir / STAGING_DIRECTORY, data_dir / DATABASE_DIRECTORY
    if staging.exists():
        staging.rename(final)
        sync_directory(data_dir)
    crash_point("restore: flipped")
    head = f"{document['height']} {document['block_hash']}\n"
    write_durably(data_dir / HEAD_FILE, head.encode())
    marker.unlink()
    sync_directory(data_dir)


def require_no_restore(data_dir: Path) -> None:
    """Refuse a directory whose restore broke off before it was verified: it must start over."""
    if (data_dir / STAGING_DIRECTORY).exists() and not (data_dir / DATABASE_DIRECTORY).exists():
        raise OperatorError(
            f"{data_dir} holds a restore that broke off: run the same "
            "`perpnode snapshot restore` again, it starts over by itself"
        )


def _check_chain(manifest: Manifest, genesis: Genesis) -> None:
    expected = genesis_block_hash(genesis)
    if manifest.genesis_hash != expected:
        raise InvalidSnapshot(MANIFEST_FILE, "genesis_hash", manifest.genesis_hash, expected)
    if manifest.chain_id != genesis.chain_id:
        raise InvalidSnapshot(MANIFEST_FILE, "chain_id", manifest.chain_id, genesis.chain_id)


def genesis_block_hash(genesis: Genesis) -> Hash32:
    """Return block 0's hash, made anew from the document."""
    return _genesis_chain(genesis).genesis_hash


def _genesis_chain(genesis: Genesis) -> Blockchain:
    kv = MemoryDb()
    return Blockchain(genesis, kv, BlockStore(kv, None))


def _staged_writer(database: LevelDb) -> Callable[[Rows], None]:
    def write(rows: Rows) -> None:
        half = len(rows) // 2
        database.write(rows[:half])
        crash_point("restore: partly written")
        database.write(rows[half:])

    return write


def _last_rows(path: Path, imported: Imported, manifest: Manifest, genesis: Genesis) -> Rows:
    """Return what makes the state found and the block the head."""
    rows = [*imported.last_rows, tag_row(keys.STATE_TABLES, manifest.state_root)]
    rows += _history_rows(imported.history)
    first = _genesis_chain(genesis).head.block
    rows += [
        (keys.block_row(first.hash), encode_block(first)),
        (keys.receipts_row(first.hash), encode_receipts(())),
        (keys.canonical_row(first.header.number), first.hash),
        (keys.FORMAT_ROW, b"%d" % DATABASE_FORMAT),
        (keys.GENESIS_ROW, document_hash(genesis)),
        (keys.HEAD_ROW, manifest.block_hash),
    ]
    if (path / SIGNATURES_FILE).exists():
        certificate = load_signatures(path).certificate
        if certificate:
            _check_certificate(certificate, manifest)
            rows.append((keys.certificate_row(manifest.block_hash), certificate))
    return rows


def _check_certificate(data: bytes, manifest: Manifest) -> None:
    """Raise InvalidSnapshot unless the validators certify the snapshot's block by it."""
    try:
        certificate = decode_certificate(data)
        verify_certificate(certificate, identity_of(manifest), manifest.validators)
    except (EncodingError, InvalidCertificate) as error:
        raise InvalidSnapshot(SIGNATURES_FILE, "certificate", str(error), "a valid one") from None
    if certificate.block_hash != manifest.block_hash:
        raise InvalidSnapshot(
            SIGNATURES_FILE, "certificate", certificate.block_hash, manifest.block_hash
        )


def _history_rows(history: History) -> Rows:
    rows: Rows = []
    for header, extension in history.headers:
        digest, encoded = header_hash(header), encode_header(header)
        rows.append((keys.canonical_row(header.number), digest))
        size = len(encoded).to_bytes(4, "big")
        rows.append((keys.header_row(digest), size + encoded + encode_extension(extension)))
    block = history.block
    rows.append((keys.block_row(block.hash), encode_block(block)))
    rows.append((keys.receipts_row(block.hash), encode_receipts(history.receipts)))
    if any(block.header.logs_bloom):
        rows.append((keys.bloom_row(block.header.number), block.header.logs_bloom))
    for index, tx in enumerate(block.transactions):
        rows.append((keys.transaction_row(tx.hash), block.hash + index.to_bytes(4, "big")))
    return rows


def _require_same(data_dir: Path, manifest: Manifest) -> None:
    """Accept a directory whose chain holds the snapshot's block; refuse any other."""
    database = LevelDb(data_dir / DATABASE_DIRECTORY)
    try:
        found = database.get(keys.canonical_row(manifest.height))
    finally:
        database.close()
    if found != manifest.block_hash:
        raise OperatorError(
            f"{data_dir} holds a chain that has not the snapshot's block {manifest.height} "
            f"0x{manifest.block_hash.hex()}: nothing was changed; name an empty --data-dir"
        )
