"""Headers, extensions, receipts and blocks, to the byte as Ethereum's Shanghai has them.

What is hashed is rlp: `encode_header`, `encode_extension`, `encode_receipt`. What is stored or sent
is MessagePack around it, in two forms: on our own disk a block keeps its senders, so that a reload
recovers nothing; from a peer it comes without, and they are recovered. Whether a decoded block is
right (its extension's hash, its roots) is for `node.chain.validation`.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Annotated, Any, NamedTuple

import msgpack

from node.chain.transaction import (
    LEGACY,
    Transaction,
    decode_transaction,
    decode_unrecovered,
    with_sender,
)
from node.crypto import keccak256
from node.encoding import (
    BIG,
    codec_of,
    rlp_decode_list,
    rlp_encode,
    rlp_int,
    rlp_list_of,
    rlp_string,
)
from node.errors import EncodingError, InvalidTransaction
from node.system.logs import Log
from node.units import Address, Hash32, Height, TimeMs, Wei

EMPTY_OMMERS_HASH = keccak256(rlp_encode([]))
"""There are no ommers."""

BLOOM_SIZE = 256


class Header(NamedTuple):
    """Ethereum's Shanghai header; its keccak256 over rlp is the block hash."""

    parent_hash: Hash32
    ommers_hash: Hash32
    """keccak256(rlp([])): there are no ommers."""
    coinbase: Address
    """The Fees address: gas goes there."""
    state_root: Hash32
    transactions_root: Hash32
    receipts_root: Hash32
    logs_bloom: bytes
    """256 bytes."""
    difficulty: int
    """0."""
    number: Height
    gas_limit: int
    gas_used: int
    timestamp: int
    """Seconds; time_ms of the extension, floored. Never decreases."""
    extra_data: Hash32
    """keccak256 of the extension."""
    prev_randao: Hash32
    """Zero: nothing here is random."""
    nonce: bytes
    """8 zero bytes."""
    base_fee: Wei
    withdrawals_root: Hash32
    """The empty trie's root."""


class Extension(NamedTuple):
    """What Ethereum's header has no field for; its hash is the header's extra_data."""

    version: int
    fork_id: int
    dev_epoch: int
    time_ms: TimeMs
    """Strictly increases."""
    transitions_root: Hash32
    """Ordered trie over the block's transitions."""
    certified_height: Height
    last_certificate_hash: Hash32
    effects_head: Hash32
    """Head of the external-effects journal."""


class Receipt(NamedTuple):
    """What a transaction did. The first five fields make the receipt trie's value."""

    type: int
    status: int
    """1 success, 0 reverted."""
    cumulative_gas: int
    bloom: bytes
    logs: tuple[Log, ...]
    gas_used: int
    effective_gas_price: Annotated[Wei, BIG]
    output: bytes
    """The ABI error of a reverted transaction, else empty; kept for people, not consensus."""


class Block(NamedTuple):
    """A sealed block as it is sent and stored."""

    hash: Hash32
    header: Header
    extension: Extension
    transactions: tuple[Transaction, ...]
    """In executed order, system transactions included."""
    transitions: tuple[bytes, ...]
    """The encoded transitions, in order."""
    size: int
    """Bytes of rlp([header, transactions, [], []]): what eth_getBlock calls size."""


# --- headers and extensions ----------------------------------------------------------------------


def header_hash(header: Header) -> Hash32:
    """Return the block hash: keccak256 of the header's rlp."""
    return keccak256(encode_header(header))


def encode_header(header: Header) -> bytes:
    """Return the header's rlp, its 17 fields in Shanghai's order."""
    return rlp_encode([rlp_int(each) if isinstance(each, int) else each for each in header])


def decode_header(data: bytes) -> Header:
    """Return the header whose rlp `data` is; EncodingError if it is none."""
    return Header(*_decode_fields("Header", data, _HEADER_SIZES))


def encode_extension(extension: Extension) -> bytes:
    """Return the extension's rlp; its keccak256 is the header's extra_data."""
    return rlp_encode([rlp_int(each) if isinstance(each, int) else each for each in extension])


def decode_extension(data: bytes) -> Extension:
    """Return the extension whose rlp `data` is; EncodingError if it is none."""
    return Extension(*_decode_fields("Extension", data, _EXTENSION_SIZES))


_HASH = ("bytes", 32)
_INTEGER = ("integer", 8)
_HEADER_SIZES = dict(
    zip(
        Header._fields,
        (
            (_HASH, _HASH, ("bytes", 20), _HASH, _HASH, _HASH, ("bytes", BLOOM_SIZE))
            + (_INTEGER,) * 5
            + (_HASH, _HASH, ("bytes", 8), ("integer", 32), _HASH)
        ),
        strict=True,
    )
)
_EXTENSION_SIZES = dict(
    zip(Extension._fields, (_INTEGER,) * 4 + (_HASH, _INTEGER, _HASH, _HASH), strict=True)
)


def _decode_fields(name: str, data: bytes, sizes: dict[str, tuple[str, int]]) -> list[Any]:
    items = rlp_decode_list(data)
    if len(items) != len(sizes):
        raise EncodingError(f"{name}: was {len(items)} fields, expected {len(sizes)}")
    values: list[Any] = []
    for (field, (kind, size)), item in zip(sizes.items(), items, strict=True):
        if not isinstance(item, bytes):
            raise EncodingError(f"{name}.{field}: was a list, expected bytes")
        if len(item) > size or (kind == "bytes" and len(item) != size):
            most = "" if kind == "bytes" else "at most "
            raise EncodingError(f"{name}.{field}: was {len(item)} bytes, expected {most}{size}")
        if kind == "integer" and item[:1] == b"\0":
            raise EncodingError(f"{name}.{field}: has leading zeros")
        values.append(item if kind == "bytes" else int.from_bytes(item, "big"))
    return values


# --- receipts ------------------------------------------------------------------------------------


def encode_receipt(receipt: Receipt) -> bytes:
    """Return the receipt's consensus form (EIP-2718): the receipt trie's value."""
    logs = b"".join([_encode_log(log) for log in receipt.logs])
    encoded = rlp_list_of(
        (b"\x01" if receipt.status else b"\x80")
        + rlp_string(rlp_int(receipt.cumulative_gas))
        + rlp_string(receipt.bloom)
        + rlp_list_of(logs)
    )
    return encoded if receipt.type == LEGACY else bytes([receipt.type]) + encoded


def _encode_log(log: Log) -> bytes:
    topics = b"".join([b"\xa0" + topic for topic in log.topics])
    return rlp_list_of(b"\x94" + log.address + rlp_list_of(topics) + rlp_string(log.data))


def bloom_of(logs: Iterable[Log]) -> bytes:
    """Return the 2,048-bit bloom filter of the logs' addresses and topics (M3:2048)."""
    bits = 0
    for log in logs:
        bits |= _bloom_bits(log.address)
        for topic in log.topics:
            bits |= _bloom_bits(topic)
    return bits.to_bytes(BLOOM_SIZE, "big")


def join_blooms(blooms: Iterable[bytes]) -> bytes:
    """Return the bloom filter of everything that is in one of these."""
    bits = 0
    for bloom in blooms:
        bits |= int.from_bytes(bloom, "big")
    return bits.to_bytes(BLOOM_SIZE, "big")


def bloom_contains(bloom: bytes, value: bytes) -> bool:
    """Return False if no log under this bloom has the address or topic; True if one may."""
    bits = _bloom_bits(value)
    return int.from_bytes(bloom, "big") & bits == bits


@lru_cache(maxsize=2**15)
def _bloom_bits(value: bytes) -> int:
    digest = keccak256(value)
    bits = 0
    for index in (0, 2, 4):
        bits |= 1 << (int.from_bytes(digest[index : index + 2], "big") & 0x7FF)
    return bits


# --- whole blocks on disk and on the wire --------------------------------------------------------


def block_size(header: Header, transactions: Sequence[Transaction]) -> int:
    """Return the bytes of rlp([header, transactions, [], []]): what eth_getBlock calls size."""
    body = sum(_size_in_body(transaction.raw) for transaction in transactions)
    content = len(encode_header(header)) + body + _prefix_size(body) + 2
    return content + _prefix_size(content)


def encode_raw_block(block: Block) -> bytes:
    """Return rlp([header, transactions, [], []]): the block as Ethereum's peers send it."""
    body = [tx.raw if tx.type == LEGACY else rlp_encode(tx.raw) for tx in block.transactions]
    return rlp_list_of(encode_header(block.header) + rlp_list_of(b"".join(body)) + b"\xc0\xc0")


def _size_in_body(raw: bytes) -> int:
    """A legacy transaction stands in the body as the list it is, a typed one as a byte string."""
    return len(raw) if raw[0] >= 0xC0 else len(raw) + _prefix_size(len(raw))


def _prefix_size(length: int) -> int:
    return 1 if length < 56 else 1 + (length.bit_length() + 7) // 8


class _StoredBlock(NamedTuple):
    header: bytes
    extension: bytes
    transactions: tuple[bytes, ...]
    senders: tuple[Address, ...]
    transitions: tuple[bytes, ...]


class _WireBlock(NamedTuple):
    header: bytes
    extension: bytes
    transactions: tuple[bytes, ...]
    transitions: tuple[bytes, ...]


class _StoredReceipt(NamedTuple):
    """A receipt without its bloom, which follows from its logs."""

    type: int
    status: int
    cumulative_gas: int
    logs: tuple[Log, ...]
    gas_used: int
    effective_gas_price: Annotated[Wei, BIG]
    output: bytes


class _StoredReceipts(NamedTuple):
    receipts: tuple[_StoredReceipt, ...]


def encode_block(block: Block) -> bytes:
    """Return the form for our own disk, senders included."""
    return codec_of(_StoredBlock).encode(
        _StoredBlock(
            encode_header(block.header),
            encode_extension(block.extension),
            tuple([transaction.raw for transaction in block.transactions]),
            tuple([transaction.sender for transaction in block.transactions]),
            block.transitions,
        )
    )


def decode_block(data: bytes) -> Block:
    """Return a block of our own disk, trusting its senders; EncodingError if it is none."""
    stored = codec_of(_StoredBlock).decode(data)
    if len(stored.senders) != len(stored.transactions):
        raise EncodingError(
            f"Block.senders: was {len(stored.senders)}, expected {len(stored.transactions)}"
        )
    try:
        transactions = tuple(
            [
                with_sender(decode_unrecovered(raw), sender)
                for raw, sender in zip(stored.transactions, stored.senders, strict=True)
            ]
        )
    except InvalidTransaction as error:
        raise EncodingError(f"Block.transactions: {error}") from error
    return _build_block(stored.header, stored.extension, transactions, stored.transitions)


def decode_block_head(data: bytes) -> tuple[Header, Extension]:
    """Return header and extension of a block of our own disk, its body left alone."""
    unpacker = msgpack.Unpacker(max_buffer_size=0)
    unpacker.feed(data)
    unpacker.read_array_header()
    return decode_header(unpacker.unpack()), decode_extension(unpacker.unpack())


def encode_wire_block(block: Block) -> bytes:
    """Return the form for peers, who recover the senders themselves."""
    return codec_of(_WireBlock).encode(
        _WireBlock(
            encode_header(block.header),
            encode_extension(block.extension),
            tuple([transaction.raw for transaction in block.transactions]),
            block.transitions,
        )
    )


def decode_wire_block(data: bytes) -> Block:
    """Return a peer's block, senders recovered.

    Raises EncodingError, or InvalidTransaction for a transaction that can't be in any block.
    """
    wire = codec_of(_WireBlock).decode(data)
    transactions = tuple(map(decode_transaction, wire.transactions))
    return _build_block(wire.header, wire.extension, transactions, wire.transitions)


def decode_wire_head(data: bytes) -> Block:
    """Return a peer's block without its body, to name a block whose body does not decode."""
    wire = codec_of(_WireBlock).decode(data)
    return _build_block(wire.header, wire.extension, (), ())


def _build_block(
    header_data: bytes,
    extension_data: bytes,
    transactions: tuple[Transaction, ...],
    transitions: tuple[bytes, ...],
) -> Block:
    header = decode_header(header_data)
    return Block(
        keccak256(header_data),
        header,
        decode_extension(extension_data),
        transactions,
        transitions,
        block_size(header, transactions),
    )


def encode_receipts(receipts: Sequence[Receipt]) -> bytes:
    """Return the form for our own disk of a block's receipts."""
    stored = [
        _StoredReceipt(
            each.type,
            each.status,
            each.cumulative_gas,
            each.logs,
            each.gas_used,
            each.effective_gas_price,
            each.output,
        )
        for each in receipts
    ]
    return codec_of(_StoredReceipts).encode(_StoredReceipts(tuple(stored)))


def decode_receipts(data: bytes) -> tuple[Receipt, ...]:
    """Return a block's receipts; EncodingError if `data` is none."""
    stored = codec_of(_StoredReceipts).decode(data)
    return tuple(
        [
            Receipt(
                each.type,
                each.status,
                each.cumulative_gas,
                bloom_of(each.logs),
                each.logs,
                each.gas_used,
                each.effective_gas_price,
                each.output,
            )
            for each in stored.receipts
        ]
    )
