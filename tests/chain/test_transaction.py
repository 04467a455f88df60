"""Transactions against eth-account, which signs them, and rlp, which breaks them."""

from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_keys.datatypes import PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from node.chain.transaction import (
    EIP_1559,
    EIP_2930,
    LEGACY,
    NONCE_MAX,
    AccessList,
    Transaction,
    UnsignedTransaction,
    decode_transaction,
    decode_unrecovered,
    effective_gas_price,
    recover_sender,
    sign_transaction,
    validate_transaction,
    with_sender,
)
from node.crypto import CURVE_ORDER, address_of, keccak256
from node.errors import (
    ContractCreation,
    ExceedsBlockGasLimit,
    FeeCapTooLow,
    InvalidSignature,
    InvalidTransaction,
    MalformedTransaction,
    NotReplayProtected,
    TipAboveFeeCap,
    UnsupportedTransactionType,
    WrongChainId,
)
from node.units import Address, Hash32, Wei

CHAIN_ID = 20260119
TRADER_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
TRADER = address_of(TRADER_KEY)
EXCHANGE = Address(bytes(18) + b"\x10\x02")

addresses = st.binary(min_size=20, max_size=20).map(Address)
keys = st.binary(min_size=32, max_size=32).map(Hash32)
private_keys = st.integers(1, CURVE_ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
prices = st.integers(0, 2**256 - 1).map(Wei)
access_lists = st.lists(st.tuples(addresses, st.lists(keys, max_size=3).map(tuple)), max_size=3)


@st.composite
def unsigned_transactions(draw: Any) -> UnsignedTransaction:
    kind = draw(st.sampled_from([LEGACY, EIP_2930, EIP_1559]))
    max_fee = draw(prices)
    return UnsignedTransaction(
        type=kind,
        chain_id=draw(st.integers(1, 2**63 - 19)),
        nonce=draw(st.integers(0, NONCE_MAX)),
        max_priority_fee=draw(prices) if kind == EIP_1559 else max_fee,
        max_fee=max_fee,
        gas_limit=draw(st.integers(0, 2**64 - 1)),
        to=draw(addresses),
        value=draw(prices),
        data=draw(st.binary(max_size=300)),
        access_list=() if kind == LEGACY else tuple(draw(access_lists)),
    )


def sign_with_eth_account(unsigned: UnsignedTransaction, private_key: bytes) -> Any:
    """Let eth-account sign the same fields."""
    fields: dict[str, Any] = {
        "chainId": unsigned.chain_id,
        "nonce": unsigned.nonce,
        "gas": unsigned.gas_limit,
        "to": unsigned.to,
        "value": unsigned.value,
        "data": unsigned.data,
    }
    if unsigned.type != LEGACY:
        fields["type"] = unsigned.type
        fields["accessList"] = [
            {"address": "0x" + address.hex(), "storageKeys": ["0x" + key.hex() for key in storage]}
            for address, storage in unsigned.access_list
        ]
    if unsigned.type == EIP_1559:
        fields["maxPriorityFeePerGas"] = unsigned.max_priority_fee
        fields["maxFeePerGas"] = unsigned.max_fee
    else:
        fields["gasPrice"] = unsigned.max_fee
    return Account.sign_transaction(fields, private_key)


@given(unsigned_transactions(), private_keys)
def test_what_eth_account_signs_decodes_to_its_fields_sender_and_hash(
    unsigned: UnsignedTransaction, private_key: bytes
) -> None:
    signed = sign_with_eth_account(unsigned, private_key)

    transaction = decode_transaction(bytes(signed.raw_transaction))

    assert transaction[: len(unsigned)] == unsigned
    assert transaction.sender == PrivateKey(private_key).public_key.to_canonical_address()
    assert transaction.hash == signed.hash
    assert (transaction.r, transaction.s) == (signed.r, signed.s)
    assert transaction.y_parity == (1 - signed.v % 2 if unsigned.type == LEGACY else signed.v)
    assert transaction.raw == signed.raw_transaction


@given(unsigned_transactions(), private_keys)
def test_we_sign_the_very_bytes_that_eth_account_signs(
    unsigned: UnsignedTransaction, private_key: bytes
) -> None:
    transaction = sign_transaction(unsigned, private_key)

    assert transaction.raw == sign_with_eth_account(unsigned, private_key).raw_transaction
    assert decode_transaction(transaction.raw) == transaction


def test_decoding_and_recovery_are_two_steps_that_make_one() -> None:
    transaction = sign_transaction(ORDER, TRADER_KEY)

    unrecovered = decode_unrecovered(transaction.raw)
    sender = recover_sender(unrecovered)

    assert sender == TRADER
    assert with_sender(unrecovered, sender) == transaction


ACCESS_LIST: AccessList = ((EXCHANGE, (Hash32(b"\x07" * 32),)),)
ORDER = UnsignedTransaction(
    type=EIP_1559,
    chain_id=CHAIN_ID,
    nonce=5,
    max_priority_fee=Wei(1),
    max_fee=Wei(10**9),
    gas_limit=100_000,
    to=EXCHANGE,
    value=Wei(0),
    data=b"\xaa\xbb\xcc\xdd" + bytes(64),
    access_list=ACCESS_LIST,
)
PRICED = ORDER._replace(type=EIP_2930, max_priority_fee=ORDER.max_fee)
PLAIN = PRICED._replace(type=LEGACY, access_list=())

# The places of fields in the rlp list of each type.
LEGACY_FIELDS = {"nonce": 0, "gas price": 1, "gas limit": 2, "to": 3, "value": 4, "data": 5}
LEGACY_FIELDS |= {"v": 6, "r": 7, "s": 8}
TYPED_FIELDS = {"chain id": 0, "nonce": 1, "max priority fee": 2, "max fee": 3, "gas limit": 4}
TYPED_FIELDS |= {"to": 5, "value": 6, "data": 7, "access list": 8, "y parity": 9, "r": 10, "s": 11}


def legacy_with(**changes: Any) -> bytes:
    """The bytes of PLAIN with fields changed behind the signature."""
    fields = rlp.decode(sign_transaction(PLAIN, TRADER_KEY).raw)
    for name, item in changes.items():
        fields[LEGACY_FIELDS[name.replace("_", " ")]] = item
    return bytes(rlp.encode(fields))


def typed_with(**changes: Any) -> bytes:
    """The bytes of ORDER with fields changed behind the signature."""
    fields = rlp.decode(sign_transaction(ORDER, TRADER_KEY).raw[1:])
    for name, item in changes.items():
        fields[TYPED_FIELDS[name.replace("_", " ")]] = item
    return b"\x02" + bytes(rlp.encode(fields))


def test_the_builders_of_broken_transactions_start_from_whole_ones() -> None:
    assert decode_transaction(legacy_with()) == sign_transaction(PLAIN, TRADER_KEY)
    assert decode_transaction(typed_with()) == sign_transaction(ORDER, TRADER_KEY)


LEGACY_RAW = legacy_with()
TYPED_RAW = typed_with()
PRICED_RAW = sign_transaction(PRICED, TRADER_KEY).raw
UNENCODED = [b""] * 3
MALFORMED = {
    "nothing": (b"", "it is empty"),
    "a byte string": (b"\x80", "it begins with neither a type nor a list"),
    "a long byte string": (b"\xb8\x40" + bytes(64), "it begins with neither a type nor a list"),
    "text": (b"\xbf hello", "it begins with neither a type nor a list"),
    "a type alone": (b"\x02", "rlp: 0 items, expected one"),
    "a type and a string": (b"\x02\x80", "rlp: a byte string, expected a list"),
    "a type twice": (b"\x02" + TYPED_RAW, "rlp: 2 items, expected one"),
    "trailing byte": (LEGACY_RAW + b"\0", "rlp: 2 items, expected one"),
    "typed trailing byte": (TYPED_RAW + b"\0", "rlp: 2 items, expected one"),
    "cut": (LEGACY_RAW[:-1], "rlp: an item ends 1 bytes beyond its list"),
    "typed cut": (TYPED_RAW[:-1], "rlp: an item ends 1 bytes beyond its list"),
    "long form of a length": (
        b"\xf9\0" + LEGACY_RAW[1:],
        "rlp: a length is not in its shortest form",
    ),
    "no fields": (b"\xc0", "0 fields, expected 9"),
    "unsigned": (b"\x02" + rlp.encode(UNENCODED * 3), "9 fields, expected 12"),
    "type 1 with the fields of type 2": (b"\x01" + TYPED_RAW[1:], "12 fields, expected 11"),
    "type 2 with the fields of type 1": (b"\x02" + PRICED_RAW[1:], "11 fields, expected 12"),
    "leading zero": (legacy_with(nonce=b"\0"), "nonce has leading zeros"),
    "leading zeros": (legacy_with(value=b"\0\1"), "value has leading zeros"),
    "zero v": (legacy_with(v=b"\0"), "v has leading zeros"),
    "typed leading zero": (typed_with(chain_id=b"\0\1"), "chain id has leading zeros"),
    "r with leading zero": (typed_with(r=b"\0" + b"\1" * 31), "r has leading zeros"),
    "y parity of zero": (typed_with(y_parity=b"\0"), "y parity has leading zeros"),
    "nonce of 9 bytes": (legacy_with(nonce=b"\1" * 9), "nonce has 9 bytes, at most 8 fit"),
    "last nonce": (
        legacy_with(nonce=b"\xff" * 8),
        "nonce is 18446744073709551615, at most 18446744073709551614 (EIP-2681)",
    ),
    "gas of 9 bytes": (typed_with(gas_limit=b"\1" * 9), "gas limit has 9 bytes, at most 8 fit"),
    "price of 33 bytes": (
        legacy_with(gas_price=b"\1" * 33),
        "gas price has 33 bytes, at most 32 fit",
    ),
    "value of 33 bytes": (typed_with(value=b"\1" * 33), "value has 33 bytes, at most 32 fit"),
    "cap of 33 bytes": (typed_with(max_fee=b"\1" * 33), "max fee has 33 bytes, at most 32 fit"),
    "r of 33 bytes": (typed_with(r=b"\1" * 33), "r has 33 bytes, at most 32 fit"),
    "s of 33 bytes": (legacy_with(s=b"\1" * 33), "s has 33 bytes, at most 32 fit"),
    "v of 34 bytes": (legacy_with(v=b"\1" * 34), "v has 34 bytes, at most 33 fit"),
    "to of 19 bytes": (legacy_with(to=b"\1" * 19), "to has 19 bytes, expected 20"),
    "to of 32 bytes": (typed_with(to=b"\1" * 32), "to has 32 bytes, expected 20"),
    "nonce as a list": (legacy_with(nonce=[]), "nonce is a list, expected bytes"),
    "to as a list": (typed_with(to=[]), "to is a list, expected bytes"),
    "data as a list": (typed_with(data=[b"\1"]), "data is a list, expected bytes"),
    "r as a list": (typed_with(r=[b"\1"]), "r is a list, expected bytes"),
    "s as a list": (legacy_with(s=[]), "s is a list, expected bytes"),
    "access list as bytes": (
        typed_with(access_list=b""),
        "access list is bytes, expected a list",
    ),
    "access list as more bytes": (
        typed_with(access_list=b"\1\2"),
        "access list is bytes, expected a list",
    ),
    "access entry as bytes": (
        typed_with(access_list=[EXCHANGE]),
        "an access list entry is an address and a list of keys",
    ),
    "access entry of one": (
        typed_with(access_list=[[EXCHANGE]]),
        "an access list entry is an address and a list of keys",
    ),
    "access entry of three": (
        typed_with(access_list=[[EXCHANGE, [], []]]),
        "an access list entry is an address and a list of keys",
    ),
    "access keys as bytes": (
        typed_with(access_list=[[EXCHANGE, b""]]),
        "an access list entry is an address and a list of keys",
    ),
    "access address as a list": (
        typed_with(access_list=[[[], []]]),
        "access list address is a list, expected bytes",
    ),
    "access address of 19 bytes": (
        typed_with(access_list=[[bytes(19), []]]),
        "access list address has 19 bytes, expected 20",
    ),
    "access key of 31 bytes": (
        typed_with(access_list=[[EXCHANGE, [bytes(31)]]]),
        "access list key has 31 bytes, expected 32",
    ),
    "access key as a list": (
        typed_with(access_list=[[EXCHANGE, [[]]]]),
        "access list key is a list, expected bytes",
    ),
}


@pytest.mark.parametrize(("raw", "reason"), MALFORMED.values(), ids=MALFORMED.keys())
def test_a_malformed_transaction_is_refused_in_one_line(raw: bytes, reason: str) -> None:
    with pytest.raises(MalformedTransaction) as refused:
        decode_transaction(raw)

    assert str(refused.value) == f"malformed transaction: {reason}"


@pytest.mark.parametrize("kind", [0, 3, 4, 0x7F])
def test_other_types_are_refused_by_number(kind: int) -> None:
    with pytest.raises(UnsupportedTransactionType) as refused:
        decode_transaction(bytes([kind]) + TYPED_RAW[1:])

    assert refused.value.type == kind
    assert "transaction type not supported" in str(refused.value)
    assert "transaction type not valid" in str(refused.value)


@pytest.mark.parametrize("raw", [legacy_with(to=b""), typed_with(to=b"")], ids=["legacy", "typed"])
def test_contract_creation_is_refused(raw: bytes) -> None:
    with pytest.raises(ContractCreation, match=r"^contract creation is not supported$"):
        decode_transaction(raw)


@pytest.mark.parametrize("v", [27, 28])
def test_a_legacy_transaction_without_eip_155_is_refused(v: int) -> None:
    with pytest.raises(NotReplayProtected, match="only replay-protected"):
        decode_transaction(legacy_with(v=bytes([v])))


INVALID_SIGNATURES = {
    "v of 0": (legacy_with(v=b""), "v is 0, expected 35 or more (EIP-155)"),
    "v of 34": (legacy_with(v=b"\x22"), "v is 34, expected 35 or more (EIP-155)"),
    "parity of 2": (typed_with(y_parity=b"\2"), "the parity is neither 0 nor 1"),
    "parity of 27": (typed_with(y_parity=b"\x1b"), "the parity is neither 0 nor 1"),
    "r of 0": (typed_with(r=b""), "r is out of range"),
    "r of the order": (
        legacy_with(r=CURVE_ORDER.to_bytes(32, "big")),
        "r is out of range",
    ),
    "s of 0": (legacy_with(s=b""), "s is out of range"),
    "s of 2^256 - 1": (typed_with(s=b"\xff" * 32), "s is out of range"),
    "high s": (
        typed_with(s=(CURVE_ORDER - 1).to_bytes(32, "big")),
        "s is in the upper half (EIP-2)",
    ),
    "no point": (typed_with(r=b"\5"), "it recovers to no public key"),
}


@pytest.mark.parametrize(
    ("raw", "reason"), INVALID_SIGNATURES.values(), ids=INVALID_SIGNATURES.keys()
)
def test_an_impossible_signature_is_refused(raw: bytes, reason: str) -> None:
    with pytest.raises(InvalidSignature) as refused:
        decode_transaction(raw)

    assert str(refused.value) == f"invalid sender: {reason}"


def test_a_changed_field_changes_the_sender() -> None:
    assert decode_transaction(typed_with(value=b"\1")).sender != TRADER
    assert decode_transaction(legacy_with(value=b"\1")).sender != TRADER


@given(st.binary(max_size=200))
def test_any_bytes_decode_to_themselves_or_raise_invalid_transaction(data: bytes) -> None:
    try:
        transaction = decode_transaction(data)
    except InvalidTransaction:
        return

    assert encode_again(transaction) == data


@given(st.sampled_from([LEGACY_RAW, TYPED_RAW, PRICED_RAW]), st.data())
def test_damaged_bytes_decode_to_themselves_or_raise_invalid_transaction(
    raw: bytes, data: Any
) -> None:
    start = data.draw(st.integers(0, len(raw)))
    stop = data.draw(st.integers(start, min(len(raw), start + 3)))
    damaged = raw[:start] + data.draw(st.binary(max_size=3)) + raw[stop:]

    try:
        transaction = decode_transaction(damaged)
    except InvalidTransaction as error:
        message = str(error)
    else:
        assert encode_again(transaction) == damaged
        return

    assert message
    assert "\n" not in message


def encode_again(transaction: Transaction) -> bytes:
    """Encode a decoded transaction's fields with the rlp library."""
    tx = transaction
    assert tx.hash == keccak256(tx.raw)
    if tx.type == LEGACY:
        v = 35 + 2 * tx.chain_id + tx.y_parity
        fields = [tx.nonce, tx.max_fee, tx.gas_limit, tx.to, tx.value, tx.data, v, tx.r, tx.s]
        return bytes(rlp.encode(fields))
    fees = [tx.max_priority_fee, tx.max_fee] if tx.type == EIP_1559 else [tx.max_fee]
    fields = [tx.chain_id, tx.nonce, *fees, tx.gas_limit, tx.to, tx.value, tx.data]
    fields += [tx.access_list, tx.y_parity, tx.r, tx.s]
    return bytes([tx.type]) + bytes(rlp.encode(fields))


def validate(unsigned: UnsignedTransaction) -> None:
    validate_transaction(
        sign_transaction(unsigned, TRADER_KEY),
        chain_id=CHAIN_ID,
        base_fee=Wei(10**9),
        gas_limit=100_000,
    )


def test_a_transaction_at_every_limit_is_valid() -> None:
    validate(ORDER)
    validate(ORDER._replace(max_priority_fee=ORDER.max_fee))
    validate(PLAIN)


def test_a_transaction_for_another_chain_is_refused() -> None:
    with pytest.raises(WrongChainId, match=r"^invalid chain id for signer: have 1 want 20260119$"):
        validate(ORDER._replace(chain_id=1))


def test_a_gas_limit_above_the_blocks_is_refused() -> None:
    with pytest.raises(ExceedsBlockGasLimit) as refused:
        validate(ORDER._replace(gas_limit=100_001))

    assert (refused.value.value, refused.value.expected) == (100_001, 100_000)


def test_a_tip_above_the_fee_cap_is_refused() -> None:
    with pytest.raises(TipAboveFeeCap) as refused:
        validate(ORDER._replace(max_priority_fee=Wei(10**9 + 1)))

    assert (refused.value.tip, refused.value.cap) == (10**9 + 1, 10**9)


@pytest.mark.parametrize("unsigned", [ORDER, PRICED, PLAIN], ids=["1559", "2930", "legacy"])
def test_a_fee_cap_below_the_base_fee_is_refused(unsigned: UnsignedTransaction) -> None:
    fee = Wei(10**9 - 1)

    with pytest.raises(FeeCapTooLow) as refused:
        validate(unsigned._replace(max_fee=fee, max_priority_fee=fee))

    assert (refused.value.value, refused.value.expected) == (10**9 - 1, 10**9)


@pytest.mark.parametrize(
    ("unsigned", "base_fee", "price"),
    [
        (PLAIN, 7, 10**9),  # a legacy transaction pays its gas price
        (PRICED, 7, 10**9),
        (ORDER, 7, 8),  # base fee and a tip of 1
        (ORDER, 10**9, 10**9),  # the tip is cut by the cap
    ],
)
def test_effective_gas_price(unsigned: UnsignedTransaction, base_fee: int, price: int) -> None:
    transaction = sign_transaction(unsigned, TRADER_KEY)

    assert effective_gas_price(transaction, Wei(base_fee)) == price


def test_an_unsigned_transaction_of_one_price_has_no_second() -> None:
    with pytest.raises(AssertionError, match="one price"):
        sign_transaction(PLAIN._replace(max_priority_fee=Wei(0)), TRADER_KEY)
