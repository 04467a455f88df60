"""Headers, receipts and blocks against the rlp library; stored forms against themselves."""

from contextlib import suppress
from typing import Any

import msgpack
import pytest
import rlp
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.chain.block import (
    EMPTY_OMMERS_HASH,
    Block,
    Extension,
    Header,
    Receipt,
    block_size,
    bloom_contains,
    bloom_of,
    decode_block,
    decode_extension,
    decode_header,
    decode_receipts,
    decode_wire_block,
    encode_block,
    encode_extension,
    encode_header,
    encode_receipt,
    encode_receipts,
    encode_wire_block,
    header_hash,
    join_blooms,
)
from node.chain.system_transaction import build_system_transaction
from node.chain.transaction import (
    EIP_1559,
    EIP_2930,
    LEGACY,
    Transaction,
    UnsignedTransaction,
    sign_transaction,
)
from node.crypto import keccak256
from node.encoding import I64_MAX
from node.errors import (
    EncodingError,
    InvalidSignature,
    InvalidTransaction,
    MalformedTransaction,
)
from node.system.logs import Log
from node.units import Address, Hash32, Height, TimeMs, Wei

CHAIN_ID = 20260119
TRADER_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
EXCHANGE = Address(bytes(18) + b"\x10\x02")

addresses = st.binary(min_size=20, max_size=20).map(Address)
hashes = st.binary(min_size=32, max_size=32).map(Hash32)
u64 = st.integers(0, 2**64 - 1) | st.sampled_from([0, 127, 128, 2**64 - 1])
i64 = st.integers(0, I64_MAX)

headers = st.builds(
    Header,
    parent_hash=hashes,
    ommers_hash=hashes,
    coinbase=addresses,
    state_root=hashes,
    transactions_root=hashes,
    receipts_root=hashes,
    logs_bloom=st.binary(min_size=256, max_size=256),
    difficulty=u64,
    number=u64.map(Height),
    gas_limit=u64,
    gas_used=u64,
    timestamp=u64,
    extra_data=hashes,
    prev_randao=hashes,
    nonce=st.binary(min_size=8, max_size=8),
    base_fee=st.integers(0, 2**256 - 1).map(Wei),
    withdrawals_root=hashes,
)
extensions = st.builds(
    Extension,
    version=u64,
    fork_id=u64,
    dev_epoch=u64,
    time_ms=u64.map(TimeMs),
    transitions_root=hashes,
    certified_height=u64.map(Height),
    last_certificate_hash=hashes,
    effects_head=hashes,
)
logs = st.builds(
    Log,
    address=addresses,
    topics=st.lists(hashes, max_size=4).map(tuple),
    data=st.binary(max_size=130) | st.just(b"\1"),
)


@st.composite
def receipts(draw: Any) -> Receipt:
    receipt_logs = tuple(draw(st.lists(logs, max_size=3)))
    return Receipt(
        type=draw(st.sampled_from([LEGACY, EIP_2930, EIP_1559])),
        status=draw(st.sampled_from([0, 1])),
        cumulative_gas=draw(i64),
        bloom=bloom_of(receipt_logs),
        logs=receipt_logs,
        gas_used=draw(i64),
        effective_gas_price=Wei(draw(st.integers(0, 2**256 - 1))),
        output=draw(st.binary(max_size=100)),
    )


# --- headers and extensions ----------------------------------------------------------------------


@given(headers)
def test_block_hash_is_keccak_of_rlp_by_other_libraries(header: Header) -> None:
    encoded = rlp.encode(list(header))

    assert encode_header(header) == encoded
    assert header_hash(header) == keccak(encoded)
    assert decode_header(encoded) == header


@given(extensions)
def test_extension_is_rlp_by_other_libraries(extension: Extension) -> None:
    encoded = rlp.encode(list(extension))

    assert encode_extension(extension) == encoded
    assert decode_extension(encoded) == extension


HEADER = Header(
    parent_hash=Hash32(b"\x01" * 32),
    ommers_hash=EMPTY_OMMERS_HASH,
    coinbase=Address(b"\x02" * 20),
    state_root=Hash32(b"\x03" * 32),
    transactions_root=Hash32(b"\x04" * 32),
    receipts_root=Hash32(b"\x05" * 32),
    logs_bloom=bytes(256),
    difficulty=0,
    number=Height(1043),
    gas_limit=10**9,
    gas_used=21_000,
    timestamp=1_768_800_000,
    extra_data=Hash32(b"\x06" * 32),
    prev_randao=Hash32(bytes(32)),
    nonce=bytes(8),
    base_fee=Wei(10**9),
    withdrawals_root=Hash32(b"\x07" * 32),
)
EXTENSION = Extension(
    version=1,
    fork_id=0,
    dev_epoch=0,
    time_ms=TimeMs(1_768_800_000_123),
    transitions_root=Hash32(b"\x08" * 32),
    certified_height=Height(1042),
    last_certificate_hash=Hash32(b"\x09" * 32),
    effects_head=Hash32(bytes(32)),
)


def test_empty_ommers_hash_is_ethereums() -> None:
    assert EMPTY_OMMERS_HASH.hex() == (
        "1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"
    )


def changed(record: Any, field: str, item: Any) -> bytes:
    """The rlp of a record with one field's item changed."""
    items = rlp.decode(rlp.encode(list(record)))
    items[record._fields.index(field)] = item
    return bytes(rlp.encode(items))


@pytest.mark.parametrize(
    ("field", "item", "reason"),
    [
        ("parent_hash", bytes(31), "was 31 bytes, expected 32"),
        ("coinbase", bytes(21), "was 21 bytes, expected 20"),
        ("coinbase", b"", "was 0 bytes, expected 20"),
        ("logs_bloom", bytes(255), "was 255 bytes, expected 256"),
        ("difficulty", b"\0", "has leading zeros"),
        ("number", b"\0\1", "has leading zeros"),
        ("number", bytes(9), "was 9 bytes, expected at most 8"),
        ("base_fee", b"\1" * 33, "was 33 bytes, expected at most 32"),
        ("nonce", b"\1" * 7, "was 7 bytes, expected 8"),
        ("extra_data", b"\1" * 33, "was 33 bytes, expected 32"),
        ("state_root", [], "was a list, expected bytes"),
        ("gas_used", [], "was a list, expected bytes"),
    ],
)
def test_a_header_field_of_another_form_is_refused(field: str, item: Any, reason: str) -> None:
    with pytest.raises(EncodingError) as refused:
        decode_header(changed(HEADER, field, item))

    assert str(refused.value) == f"Header.{field}: {reason}"


@pytest.mark.parametrize(
    ("field", "item", "reason"),
    [
        ("time_ms", b"\0", "has leading zeros"),
        ("fork_id", bytes(9), "was 9 bytes, expected at most 8"),
        ("effects_head", b"", "was 0 bytes, expected 32"),
        ("version", [b"\1"], "was a list, expected bytes"),
    ],
)
def test_an_extension_field_of_another_form_is_refused(field: str, item: Any, reason: str) -> None:
    with pytest.raises(EncodingError) as refused:
        decode_extension(changed(EXTENSION, field, item))

    assert str(refused.value) == f"Extension.{field}: {reason}"


def test_a_header_of_another_fork_is_refused_by_its_number_of_fields() -> None:
    for fields, count in ((list(HEADER)[:-1], 16), ([*HEADER, 0, 0], 19)):
        with pytest.raises(EncodingError, match=f"^Header: was {count} fields, expected 17$"):
            decode_header(rlp.encode(fields))


@given(st.binary(max_size=100))
def test_any_bytes_are_no_header_nor_extension(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_header(data)
    with pytest.raises(EncodingError):
        decode_extension(data)


# --- receipts ------------------------------------------------------------------------------------


def plain_bloom(values: list[bytes]) -> bytes:
    """The yellow paper's M3:2048, bit by bit."""
    bloom = bytearray(256)
    for value in values:
        digest = keccak(value)
        for pair in (0, 2, 4):
            bit = (digest[pair] * 256 + digest[pair + 1]) % 2048
            bloom[255 - bit // 8] |= 1 << (bit % 8)
    return bytes(bloom)


@given(st.lists(logs, max_size=4))
def test_bloom_agrees_with_the_plain_definition(some: list[Log]) -> None:
    values = [value for log in some for value in (log.address, *log.topics)]

    bloom = bloom_of(some)

    assert bloom == plain_bloom(values)
    assert all(bloom_contains(bloom, value) for value in values)


@given(st.lists(logs, max_size=4), st.lists(logs, max_size=4))
def test_joined_blooms_are_the_bloom_of_all_logs(some: list[Log], others: list[Log]) -> None:
    assert join_blooms([bloom_of(some), bloom_of(others)]) == bloom_of(some + others)
    assert join_blooms([]) == bytes(256)


def test_bloom_does_not_contain_what_no_log_has() -> None:
    bloom = bloom_of([Log(EXCHANGE, (Hash32(b"\1" * 32),), b"")])

    assert not bloom_contains(bloom, Hash32(b"\2" * 32))
    assert not bloom_contains(bytes(256), EXCHANGE)
    assert bloom_of([]) == bytes(256)


@given(receipts())
def test_receipt_is_eip_2718_by_other_libraries(receipt: Receipt) -> None:
    logs_items = [[log.address, list(log.topics), log.data] for log in receipt.logs]
    encoded = rlp.encode([receipt.status, receipt.cumulative_gas, receipt.bloom, logs_items])
    prefix = b"" if receipt.type == LEGACY else bytes([receipt.type])

    assert encode_receipt(receipt) == prefix + encoded


@given(st.lists(receipts(), max_size=3))
def test_stored_receipts_round_trip(some: list[Receipt]) -> None:
    assert decode_receipts(encode_receipts(some)) == tuple(some)


@given(st.lists(receipts(), max_size=2), st.data())
def test_damaged_receipts_are_refused_or_other_receipts(some: list[Receipt], data: Any) -> None:
    damaged = damage(encode_receipts(some), data)

    try:
        decoded = decode_receipts(damaged)
    except EncodingError:
        return

    assert encode_receipts(decoded) == damaged


def damage(encoded: bytes, data: Any) -> bytes:
    """Replace a few bytes somewhere by a few others."""
    start = data.draw(st.integers(0, len(encoded)))
    stop = data.draw(st.integers(start, min(len(encoded), start + 3)))
    return encoded[:start] + bytes(data.draw(st.binary(max_size=3))) + encoded[stop:]


# --- blocks --------------------------------------------------------------------------------------

ORDER = UnsignedTransaction(
    type=EIP_1559,
    chain_id=CHAIN_ID,
    nonce=5,
    max_priority_fee=Wei(0),
    max_fee=Wei(10**9),
    gas_limit=100_000,
    to=EXCHANGE,
    value=Wei(0),
    data=b"\xaa\xbb\xcc\xdd" + bytes(64),
)
SIGNED_ORDER = sign_transaction(ORDER, TRADER_KEY)
PRICED = ORDER._replace(type=EIP_2930, nonce=6, max_priority_fee=ORDER.max_fee)
TRANSACTIONS = (
    SIGNED_ORDER,
    sign_transaction(PRICED, TRADER_KEY),
    sign_transaction(PRICED._replace(type=LEGACY, nonce=7), TRADER_KEY),
    build_system_transaction(CHAIN_ID, 0, b""),
)


def block_of(
    transactions: tuple[Transaction, ...], transitions: tuple[bytes, ...] = (b"\1\2", b"")
) -> Block:
    return Block(
        header_hash(HEADER),
        HEADER,
        EXTENSION,
        transactions,
        transitions,
        block_size(HEADER, transactions),
    )


@pytest.mark.parametrize("count", range(5))
@pytest.mark.parametrize("data_size", [0, 100, 70_000])
def test_block_size_is_the_length_of_ethereums_block(count: int, data_size: int) -> None:
    tall = sign_transaction(ORDER._replace(data=bytes(data_size)), TRADER_KEY)
    transactions = (*TRANSACTIONS[:count], tall)
    body = [rlp.decode(tx.raw) if tx.type == LEGACY else tx.raw for tx in transactions]

    assert block_size(HEADER, transactions) == len(rlp.encode([list(HEADER), body, [], []]))


def test_size_of_an_empty_block() -> None:
    assert block_size(HEADER, ()) == len(rlp.encode([list(HEADER), [], [], []]))


@pytest.mark.parametrize("count", range(5))
def test_a_stored_block_comes_back_whole(count: int) -> None:
    block = block_of(TRANSACTIONS[:count])

    assert decode_block(encode_block(block)) == block


def test_a_block_from_a_peer_comes_back_whole_with_recovered_senders() -> None:
    block = block_of(TRANSACTIONS)

    assert decode_wire_block(encode_wire_block(block)) == block


@given(headers, extensions, st.lists(st.binary(max_size=50), max_size=4).map(tuple))
def test_blocks_round_trip_in_both_forms(
    header: Header, extension: Extension, transitions: tuple[bytes, ...]
) -> None:
    size = block_size(header, TRANSACTIONS)
    block = Block(header_hash(header), header, extension, TRANSACTIONS, transitions, size)

    assert decode_block(encode_block(block)) == block
    assert decode_wire_block(encode_wire_block(block)) == block


def test_a_stored_sender_is_trusted_but_a_peers_is_recovered() -> None:
    somebody = Address(b"\x0f" * 20)
    block = block_of((SIGNED_ORDER._replace(sender=somebody),))

    assert decode_block(encode_block(block)).transactions[0].sender == somebody
    assert decode_wire_block(encode_wire_block(block)).transactions == (SIGNED_ORDER,)


def test_a_stored_block_is_no_wire_block_nor_the_other_way_round() -> None:
    block = block_of(TRANSACTIONS)

    with pytest.raises(EncodingError, match="was 5 fields, expected 4"):
        decode_wire_block(encode_block(block))
    with pytest.raises(EncodingError, match="was 4 fields, expected 5"):
        decode_block(encode_wire_block(block))


def test_a_broken_transaction_from_a_peer_is_refused_as_a_transaction() -> None:
    cut = block_of((SIGNED_ORDER._replace(raw=SIGNED_ORDER.raw[:-1]),))
    unsigned = block_of(
        (
            SIGNED_ORDER._replace(
                raw=b"\x02" + rlp.encode([*rlp.decode(SIGNED_ORDER.raw[1:])[:-2], b"", b""])
            ),
        )
    )

    with pytest.raises(MalformedTransaction):
        decode_wire_block(encode_wire_block(cut))
    with pytest.raises(InvalidSignature):
        decode_wire_block(encode_wire_block(unsigned))


def test_a_broken_transaction_on_disk_is_refused_as_a_block() -> None:
    block = block_of((SIGNED_ORDER._replace(raw=SIGNED_ORDER.raw[:-1]),))

    with pytest.raises(EncodingError, match=r"^Block\.transactions: malformed transaction: rlp: "):
        decode_block(encode_block(block))


def test_a_stored_block_has_a_sender_for_each_transaction() -> None:
    fields = msgpack.unpackb(encode_block(block_of(TRANSACTIONS)))
    fields[3].pop()

    with pytest.raises(EncodingError, match=r"^Block\.senders: was 3, expected 4$"):
        decode_block(msgpack.packb(fields))


@given(st.data())
def test_a_damaged_block_is_refused_or_another_block(data: Any) -> None:
    stored = damage(encode_block(block_of(TRANSACTIONS)), data)
    wire = damage(encode_wire_block(block_of(TRANSACTIONS)), data)

    with suppress(EncodingError):
        assert encode_block(decode_block(stored)) == stored
    with suppress(EncodingError, InvalidTransaction):
        assert encode_wire_block(decode_wire_block(wire)) == wire


def test_block_hash_covers_the_extension() -> None:
    header = HEADER._replace(extra_data=keccak256(encode_extension(EXTENSION)))
    later = EXTENSION._replace(time_ms=TimeMs(EXTENSION.time_ms + 1))
    other = HEADER._replace(extra_data=keccak256(encode_extension(later)))

    assert header_hash(header) != header_hash(other)
