"""Blocks on disk: one atomic, synced batch per block, and a side file that remembers the head.

LevelDB may lose its newest writes when a disk lies; the side file notices: a database older than it
refuses to serve (DESIGN section 3). Blocks are kept by hash on every branch, the canonical chain is
an index beside them.
"""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from node.chain import keys
from node.chain.block import (
    Block,
    Extension,
    Header,
    Receipt,
    decode_block,
    decode_block_head,
    decode_extension,
    decode_header,
    decode_receipts,
    encode_block,
    encode_receipts,
)
from node.chain.certificate import Certificate, decode_certificate, encode_certificate
from node.chain.crash import crash_point
from node.chain.durable import write_durably
from node.chain.fill_table import FillTable
from node.crypto import keccak256
from node.encoding import codec_of
from node.errors import ForeignDatabase, StaleDatabase
from node.state.kv import KeyValue
from node.state.store import Commit
from node.units import Hash32, Height

DATABASE_FORMAT = 1
BLOCKS_CACHED = 32
HEAD_TEXT = re.compile(rb"\s*([0-9]{1,18})\s+0x([0-9a-fA-F]{64})\s*")
"""What the side file says: a height and a block's hash."""

T = TypeVar("T")


class Place(NamedTuple):
    """Where a transaction is."""

    block_hash: Hash32
    tx_index: int


class Revert(NamedTuple):
    """A development revert: where its epoch began (DESIGN section 9)."""

    fork_id: int
    dev_epoch: int
    height: Height
    block_hash: Hash32
    """Of the block that became the head again."""
    offset_ms: int
    """The time offset that the next block begins with: time goes on from the block's own."""
    left_height: Height
    left_hash: Hash32
    """Of the head that was left."""


class BlockStore:
    """Save and load blocks, receipts and the canonical index."""

    def __init__(self, kv: KeyValue, head_file: Path | None) -> None:
        self._kv = kv
        self._head_file = head_file
        self._blocks: OrderedDict[Hash32, Block] = OrderedDict()
        self._receipts: OrderedDict[Hash32, Sequence[Receipt]] = OrderedDict()
        self._fills = FillTable(self)

    @property
    def kv(self) -> KeyValue:
        """The database, for what is written beside blocks: branches, restored snapshots."""
        return self._kv

    def check_ownership(self, document_hash: Hash32) -> None:
        """Refuse a database of another genesis document or a newer format, before any write."""
        stored_format = self._kv.get(keys.FORMAT_ROW)
        if stored_format is None:
            return
        if int(stored_format) > DATABASE_FORMAT:
            raise ForeignDatabase(
                f"the database has format {int(stored_format)}, this perpnode reads up to "
                f"{DATABASE_FORMAT}: use the newer perpnode that wrote it, or another --data-dir"
            )
        stored_genesis = self._kv.get(keys.GENESIS_ROW)
        if stored_genesis != document_hash:
            raise ForeignDatabase(
                f"the database belongs to genesis 0x{(stored_genesis or b'').hex()}, not to "
                f"0x{document_hash.hex()}: use the genesis it was made with, or another --data-dir"
            )

    def load_head(self) -> Block | None:
        """Return the head, None in an empty database; StaleDatabase if it lost blocks."""
        head_hash = self._kv.get(keys.HEAD_ROW)
        head = None if head_hash is None else self.load_block(Hash32(head_hash))
        height = -1 if head is None else head.header.number
        remembered = self._load_head_file()
        if remembered is not None:
            seen_height, seen_hash = remembered
            is_here = seen_height <= height and self.load_canonical(seen_height) == seen_hash
            if not is_here and not self._is_orphan(head, seen_height, seen_hash):
                what = "is empty" if head is None else f"ends at block {height}"
                raise StaleDatabase(
                    f"the database {what}, but block {seen_height} "
                    f"0x{seen_hash.hex()} was sealed here ({self._head_file}): the disk lost "
                    "writes; restore the data directory from a copy, or start a new one"
                )
        return head

    def complete_tables(self, head: Block) -> None:
        """Make anew what an older perpnode, or a restored snapshot, has not written."""
        self._fills.rebuild(head)

    def save_block(
        self,
        block: Block,
        receipts: Sequence[Receipt],
        state: Commit,
        *,
        signature: bytes = b"",
        certificate: Certificate | None = None,
    ) -> None:
        """Write a block that becomes the head: one synced batch, then the side file.

        `signature` is the sequencer's over the block, `certificate` the one that the block names.
        """
        height, block_hash = block.header.number, block.hash
        puts = list(state.puts)
        puts.append((keys.block_row(block_hash), encode_block(block)))
        puts.append((keys.receipts_row(block_hash), encode_receipts(receipts)))
        puts.append((keys.canonical_row(height), block_hash))
        if any(block.header.logs_bloom):
            puts.append((keys.bloom_row(height), block.header.logs_bloom))
        for index, tx in enumerate(block.transactions):
            puts.append((keys.transaction_row(tx.hash), block_hash + index.to_bytes(4, "big")))
        if signature:
            puts.append((keys.proposal_row(block_hash), signature))
        if certificate is not None:
            puts.append(_certificate_entry(certificate))
        puts += self._fills.build_rows(block)
        puts.append((keys.HEAD_ROW, block_hash))
        if height == 0:
            puts.append((keys.FORMAT_ROW, b"%d" % DATABASE_FORMAT))
            puts.append((keys.GENESIS_ROW, block.header.parent_hash))
            puts.append((keys.FILLS_SINCE_ROW, b"0"))
        crash_point("block: before the batch")
        self._kv.write(puts, state.deletes)
        crash_point("block: after the batch")
        self._save_head_file(height, block_hash)
        _remember(self._blocks, block_hash, block)
        _remember(self._receipts, block_hash, receipts)

    def load_block(self, block_hash: Hash32) -> Block | None:
        """Return a block on whatever branch."""
        block = self._blocks.get(block_hash)
        if block is None:
            data = self._kv.get(keys.block_row(block_hash))
            if data is None:
                return None
            block = decode_block(data)
            _remember(self._blocks, block_hash, block)
        return block

    def load_header(self, block_hash: Hash32) -> tuple[Header, Extension] | None:
        """Return header and extension, also of a block before a restored snapshot."""
        data = self._kv.get(keys.header_row(block_hash))
        if data is not None:
            split = 4 + int.from_bytes(data[:4], "big")
            return decode_header(data[4:split]), decode_extension(data[split:])
        block = self._blocks.get(block_hash)
        if block is not None:
            return block.header, block.extension
        data = self._kv.get(keys.block_row(block_hash))
        return None if data is None else decode_block_head(data)

    def load_receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """Return a block's receipts."""
        receipts = self._receipts.get(block_hash)
        if receipts is None:
            data = self._kv.get(keys.receipts_row(block_hash))
            if data is None:
                return None
            receipts = decode_receipts(data)
            _remember(self._receipts, block_hash, receipts)
        return receipts

    def load_signature(self, block_hash: Hash32) -> bytes:
        """Return the sequencer's signature over a block, empty if there is none."""
        return self._kv.get(keys.proposal_row(block_hash)) or b""

    def save_certificate(self, certificate: Certificate) -> None:
        """Write a certificate before any block names it."""
        self._kv.write([_certificate_entry(certificate)])

    def load_certificate(self, block_hash: Hash32) -> Certificate | None:
        """Return a block's certificate."""
        data = self._kv.get(keys.certificate_row(block_hash))
        return None if data is None else decode_certificate(data)

    def save_dispute(self, dispute: bytes, *, fork_id: int, dev_epoch: int, height: Height) -> None:
        """Write an encoded dispute of a block; writing it again changes nothing."""
        row = keys.dispute_row(fork_id, dev_epoch, height, keccak256(dispute))
        self._kv.write([(row, dispute)])

    def load_fills_since(self) -> Height:
        """Return the height from which on the table of fills knows all."""
        return Height(int(self._kv.get(keys.FILLS_SINCE_ROW) or b"0"))

    def load_disputes(self) -> list[bytes]:
        """Return every encoded dispute, by branch and height."""
        return [dispute for _, dispute in self._kv.items(keys.DISPUTES)]

    def load_canonical(self, height: Height) -> Hash32 | None:
        """Return the hash of the canonical block of a height."""
        found = self._kv.get(keys.canonical_row(height))
        return None if found is None else Hash32(found)

    def load_place(self, tx_hash: Hash32) -> Place | None:
        """Return where a transaction is."""
        found = self._kv.get(keys.transaction_row(tx_hash))
        return (
            None if found is None else Place(Hash32(found[:32]), int.from_bytes(found[32:], "big"))
        )

    def blooms(self, first: Height, last: Height) -> Iterator[tuple[Height, bytes]]:
        """Yield height and bloom of canonical blocks with logs, ascending."""
        for height in range(first, last + 1):
            bloom = self._kv.get(keys.bloom_row(Height(height)))
            if bloom is not None:
                yield Height(height), bloom

    def save_head_file(self, height: Height, block_hash: Hash32) -> None:
        """Remember a head that is on disk, beside the database."""
        self._save_head_file(height, block_hash)

    def _is_orphan(self, head: Block | None, height: Height, block_hash: Hash32) -> bool:
        """Tell whether a fork or a revert left it: the side file follows the flip of the head."""
        forks = range(0 if head is None else head.extension.fork_id)
        if any(self._kv.get(keys.orphan_row(fork, height)) == block_hash for fork in forks):
            return True
        reverts = [codec_of(Revert).decode(row) for _, row in self._kv.items(keys.REVERTS)]
        return any((each.left_height, each.left_hash) == (height, block_hash) for each in reverts)

    def _load_head_file(self) -> tuple[Height, Hash32] | None:
        if self._head_file is None or not self._head_file.exists():
            return None
        found = HEAD_TEXT.fullmatch(self._head_file.read_bytes())
        if found is None:
            raise StaleDatabase(
                f"{self._head_file} is not '<height> 0x<hash>': if the database is known to be "
                "whole, delete this file; else restore the data directory from a copy"
            )
        return Height(int(found[1])), Hash32(bytes.fromhex(found[2].decode("ascii")))

    def _save_head_file(self, height: Height, block_hash: Hash32) -> None:
        """Write 86 bytes over those that are there: one sector, which a disk writes whole.

        Nothing else of the file system moves, so that each block waits for one of its journal's
        turns only, its batch's.
        """
        if self._head_file is None:
            return
        text = b"%18d 0x%s\n" % (height, block_hash.hex().encode())
        if not self._head_file.exists():
            write_durably(self._head_file, text)
            return
        descriptor = os.open(self._head_file, os.O_WRONLY)
        try:
            os.pwrite(descriptor, text, 0)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _certificate_entry(certificate: Certificate) -> tuple[bytes, bytes]:
    return keys.certificate_row(certificate.block_hash), encode_certificate(certificate)


def _remember(cache: OrderedDict[Hash32, T], key: Hash32, value: T) -> None:
    """Keep the newest few; called from several threads, each step atomic under the GIL."""
    cache[key] = value
    while len(cache) > BLOCKS_CACHED:
        try:
            cache.popitem(last=False)
        except KeyError:
            return
