"""What goes with a snapshot's state: its block, its receipts, and the last 256 headers.

A restored node serves the snapshot's block whole, knows the headers before it (it needs them to
write the same next snapshots), and nothing older: bodies, logs and states begin at the snapshot.
Everything here hangs on the snapshot's block hash, but what receipts say beside consensus (a
revert's output), which hangs on the manifest.
"""

from __future__ import annotations

from typing import NamedTuple

from node.chain.block import (
    Block,
    Extension,
    Header,
    Receipt,
    decode_extension,
    decode_header,
    decode_receipts,
    decode_wire_block,
    encode_extension,
    encode_header,
    encode_receipt,
    encode_receipts,
    encode_wire_block,
)
from node.chain.store import BlockStore
from node.crypto import keccak256
from node.encoding import codec_of
from node.errors import EncodingError, InvalidSnapshot, InvalidTransaction
from node.snapshot.manifest import HEADERS_KEPT, Manifest
from node.state.ordered import ordered_root
from node.units import Hash32

FILE = "chunks (history)"


class _Sealed(NamedTuple):
    header: bytes
    extension: bytes


class _History(NamedTuple):
    block: bytes
    receipts: bytes
    headers: tuple[_Sealed, ...]


class History(NamedTuple):
    """A snapshot's block and what led to it."""

    block: Block
    receipts: tuple[Receipt, ...]
    headers: tuple[tuple[Header, Extension], ...]
    """Oldest first; the last one is the block's own."""


def load_history(store: BlockStore, block: Block) -> History:
    """Collect a block's history from the store."""
    receipts = store.load_receipts(block.hash)
    assert receipts is not None, "receipts are written with their block"
    headers = [(block.header, block.extension)]
    while len(headers) < HEADERS_KEPT and headers[-1][0].number > 0:
        before = store.load_header(headers[-1][0].parent_hash)
        assert before is not None, "a restored node has the headers that a snapshot needs"
        headers.append(before)
    return History(block, tuple(receipts), tuple(reversed(headers)))


def headers_hash(history: History) -> Hash32:
    """Return the keccak256 over the headers' hashes, oldest first."""
    return keccak256(b"".join(keccak256(encode_header(each)) for each, _ in history.headers))


def encode_history(history: History) -> bytes:
    """Return the history's one form."""
    return codec_of(_History).encode(
        _History(
            encode_wire_block(history.block),
            encode_receipts(history.receipts),
            tuple(_Sealed(encode_header(h), encode_extension(e)) for h, e in history.headers),
        )
    )


def decode_history(data: bytes, manifest: Manifest) -> History:
    """Return the history that hangs on the manifest's block hash; raise InvalidSnapshot."""
    try:
        stored = codec_of(_History).decode(data)
        history = History(
            decode_wire_block(stored.block),
            decode_receipts(stored.receipts),
            tuple((decode_header(h), decode_extension(e)) for h, e in stored.headers),
        )
    except (EncodingError, InvalidTransaction) as error:
        raise InvalidSnapshot(FILE, "content", str(error), "block, receipts, headers") from None
    _check_block(history, manifest)
    _check_headers(history, manifest)
    return history


def _check_block(history: History, manifest: Manifest) -> None:
    """Check everything that hangs on the block's hash."""
    block, header, extension = history.block, history.block.header, history.block.extension
    _same("block hash", block.hash, manifest.block_hash)
    _same("height", header.number, manifest.height)
    _same("parent hash", header.parent_hash, manifest.parent_hash)
    _same("state root", header.state_root, manifest.state_root)
    _same("extension hash", keccak256(encode_extension(extension)), header.extra_data)
    _same("time_ms", extension.time_ms, manifest.time_ms)
    _same("fork_id", extension.fork_id, manifest.fork_id)
    _same("dev_epoch", extension.dev_epoch, manifest.dev_epoch)
    _same("effects head", extension.effects_head, manifest.effects_head)
    transactions = ordered_root([tx.raw for tx in block.transactions])
    _same("transactions root", transactions, header.transactions_root)
    _same("transitions root", ordered_root(block.transitions), extension.transitions_root)
    receipts = ordered_root([encode_receipt(each) for each in history.receipts])
    _same("receipts root", receipts, header.receipts_root)


def _check_headers(history: History, manifest: Manifest) -> None:
    """Check that the headers are a chain that ends at the block."""
    _same("headers", len(history.headers), min(HEADERS_KEPT, manifest.height + 1))
    _same("last header", history.headers[-1], (history.block.header, history.block.extension))
    _same("headers hash", headers_hash(history), manifest.headers_hash)
    expected = manifest.block_hash
    for header, extension in reversed(history.headers):
        digest = keccak256(encode_header(header))
        _same(f"header {header.number}", digest, expected)
        _same(
            f"extension {header.number}", keccak256(encode_extension(extension)), header.extra_data
        )
        expected = header.parent_hash


def _same(field: str, value: object, expected: object) -> None:
    if value != expected:
        raise InvalidSnapshot(FILE, field, value, expected)
