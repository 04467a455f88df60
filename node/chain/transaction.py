"""Legacy, EIP-2930 and EIP-1559 transactions: bytes to fields, sender and hash, and back.

Decoding is stateless and takes one form only. It comes in two halves, because the second takes ten
times as long and may run in threads: `decode_unrecovered` reads the fields, `recover_sender` finds
who signed. What the signature covers is cut out of the received bytes, never encoded again.
"""

from typing import Any, NamedTuple

from node.crypto import Signature, address_of, keccak256, recover, sign
from node.encoding import RlpItem, RlpList, rlp_decode_list, rlp_encode, rlp_int, rlp_list_of
from node.errors import (
    ContractCreation,
    EncodingError,
    ExceedsBlockGasLimit,
    FeeCapTooLow,
    InvalidSignature,
    MalformedTransaction,
    NotReplayProtected,
    TipAboveFeeCap,
    UnsupportedTransactionType,
    WrongChainId,
)
from node.units import Address, Hash32, Wei

AccessList = tuple[tuple[Address, tuple[Hash32, ...]], ...]

LEGACY = 0
EIP_2930 = 1
EIP_1559 = 2

NONCE_MAX = 2**64 - 2
"""EIP-2681."""


class Transaction(NamedTuple):
    """A decoded, signature-checked transaction. Stateless: nothing here depends on a state."""

    type: int
    """0 legacy, 1 EIP-2930, 2 EIP-1559."""
    chain_id: int
    nonce: int
    max_priority_fee: Wei
    """Per gas; the gas price for types 0 and 1."""
    max_fee: Wei
    """Per gas; the gas price for types 0 and 1."""
    gas_limit: int
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList
    y_parity: int
    r: int
    s: int
    sender: Address
    """Recovered from the signature."""
    hash: Hash32
    """keccak256 of `raw`."""
    raw: bytes
    """The canonical encoding (EIP-2718), as in a block's body and its transaction trie."""


class Unrecovered(NamedTuple):
    """A decoded transaction whose signature nobody has looked at yet."""

    type: int
    chain_id: int
    nonce: int
    max_priority_fee: Wei
    max_fee: Wei
    gas_limit: int
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList
    y_parity: int
    r: int
    s: int
    signed: bytes
    """What was hashed and signed."""
    raw: bytes


class UnsignedTransaction(NamedTuple):
    """What a wallet signs."""

    type: int
    chain_id: int
    nonce: int
    max_priority_fee: Wei
    """Per gas; equal to `max_fee`, the gas price, for types 0 and 1."""
    max_fee: Wei
    gas_limit: int
    to: Address
    value: Wei
    data: bytes
    access_list: AccessList = ()
    """Empty for type 0."""


def decode_transaction(raw: bytes) -> Transaction:
    """Decode a signed transaction and recover its sender.

    Raises UnsupportedTransactionType, MalformedTransaction, ContractCreation, NotReplayProtected
    or InvalidSignature; nothing else, whatever the bytes.
    """
    transaction = decode_unrecovered(raw)
    return with_sender(transaction, recover_sender(transaction))


def decode_unrecovered(raw: bytes) -> Unrecovered:
    """Decode a signed transaction without looking at the signature's mathematics."""
    if not raw:
        raise MalformedTransaction("it is empty")
    first = raw[0]
    if first in (EIP_1559, EIP_2930):
        return _decode_typed(raw, first)
    if first >= 0xC0:
        return _decode_legacy(raw)
    if first < 0x80:
        raise UnsupportedTransactionType(first)
    raise MalformedTransaction("it begins with neither a type nor a list")


def recover_sender(transaction: Unrecovered) -> Address:
    """Return who signed; InvalidSignature if nobody could have. Releases the interpreter lock."""
    digest = keccak256(transaction.signed)
    return recover(digest, transaction.r, transaction.s, transaction.y_parity)


def with_sender(transaction: Unrecovered, sender: Address) -> Transaction:
    """Return the transaction of a sender who is known, recovered now or earlier."""
    raw = transaction.raw
    return Transaction(*transaction[:13], sender, keccak256(raw), raw)


def sign_transaction(unsigned: UnsignedTransaction, private_key: bytes) -> Transaction:
    """Sign with RFC 6979: the same fields and key always give the same bytes."""
    signature = sign(keccak256(_signed_bytes(unsigned)), private_key)
    raw = _raw_bytes(unsigned, signature)
    return Transaction(
        *unsigned,
        y_parity=signature.y_parity,
        r=signature.r,
        s=signature.s,
        sender=address_of(private_key),
        hash=keccak256(raw),
        raw=raw,
    )


def validate_transaction(
    transaction: Transaction, *, chain_id: int, base_fee: Wei, gas_limit: int
) -> None:
    """Check what needs no state: chain id, fees and the block's gas limit."""
    if transaction.chain_id != chain_id:
        raise WrongChainId(transaction.chain_id, chain_id)
    if transaction.gas_limit > gas_limit:
        raise ExceedsBlockGasLimit(transaction.gas_limit, gas_limit)
    if transaction.max_priority_fee > transaction.max_fee:
        raise TipAboveFeeCap(transaction.max_priority_fee, transaction.max_fee)
    if transaction.max_fee < base_fee:
        raise FeeCapTooLow(transaction.max_fee, base_fee)


def effective_gas_price(transaction: Transaction, base_fee: Wei) -> Wei:
    """Return what a unit of gas costs the sender (EIP-1559); a legacy one pays its gas price."""
    return Wei(min(transaction.max_fee, base_fee + transaction.max_priority_fee))


# --- from bytes ----------------------------------------------------------------------------------


def _decode_legacy(raw: bytes) -> Unrecovered:
    fields = _decode_fields(raw, 9)
    nonce, price, gas_limit, to, value, data, v, r, s = fields
    gas_price = Wei(_number(price, "gas price"))
    signature_v = _number(v, "v", 33)
    if signature_v in (27, 28):
        raise NotReplayProtected
    if signature_v < 35:
        raise InvalidSignature(f"v is {signature_v}, expected 35 or more (EIP-155)")
    chain_id, y_parity = divmod(signature_v - 35, 2)
    unsigned = _without_signature(raw, fields)
    return Unrecovered(
        LEGACY,
        chain_id,
        _nonce(nonce),
        gas_price,
        gas_price,
        _number(gas_limit, "gas limit", 8),
        _recipient(to),
        Wei(_number(value, "value")),
        _bytes(data, "data"),
        (),
        y_parity,
        _number(r, "r"),
        _number(s, "s"),
        rlp_list_of(unsigned + rlp_encode(rlp_int(chain_id)) + b"\x80\x80"),
        raw,
    )


def _decode_typed(raw: bytes, kind: int) -> Unrecovered:
    fields = _decode_fields(raw[1:], 12 if kind == EIP_1559 else 11)
    if kind == EIP_1559:
        chain_id, nonce, tip, cap, gas_limit, to, value, data, access, y_parity, r, s = fields
        max_priority_fee = Wei(_number(tip, "max priority fee"))
        max_fee = Wei(_number(cap, "max fee"))
    else:
        chain_id, nonce, price, gas_limit, to, value, data, access, y_parity, r, s = fields
        max_priority_fee = max_fee = Wei(_number(price, "gas price"))
    return Unrecovered(
        kind,
        _number(chain_id, "chain id"),
        _nonce(nonce),
        max_priority_fee,
        max_fee,
        _number(gas_limit, "gas limit", 8),
        _recipient(to),
        Wei(_number(value, "value")),
        _bytes(data, "data"),
        _access_list(access) if access else _no_access_list(access),
        _number(y_parity, "y parity"),
        _number(r, "r"),
        _number(s, "s"),
        raw[:1] + rlp_list_of(_without_signature(raw[1:], fields)),
        raw,
    )


def _decode_fields(payload: bytes, count: int) -> RlpList:
    try:
        fields = rlp_decode_list(payload)
    except EncodingError as error:
        raise MalformedTransaction(str(error)) from error
    if len(fields) != count:
        raise MalformedTransaction(f"{len(fields)} fields, expected {count}")
    return fields


def _without_signature(encoded: bytes, fields: RlpList) -> bytes:
    """Return the encoded elements of a list but the last three, which are short strings."""
    start = 1 if encoded[0] <= 0xF7 else encoded[0] - 0xF6
    end = len(encoded)
    for item in fields[-3:]:
        end -= 1 if len(item) == 1 and item[0] < 0x80 else 1 + len(item)
    return encoded[start:end]


def _number(item: Any, name: str, size_max: int = 32) -> int:
    if type(item) is bytes and len(item) <= size_max and item[:1] != b"\0":
        return int.from_bytes(item, "big")
    digits = _bytes(item, name)
    if len(digits) > size_max:
        raise MalformedTransaction(f"{name} has {len(digits)} bytes, at most {size_max} fit")
    raise MalformedTransaction(f"{name} has leading zeros")


def _nonce(item: Any) -> int:
    nonce = _number(item, "nonce", 8)
    if nonce > NONCE_MAX:
        raise MalformedTransaction(f"nonce is {nonce}, at most {NONCE_MAX} (EIP-2681)")
    return nonce


def _bytes(item: Any, name: str) -> bytes:
    if isinstance(item, bytes):
        return item
    raise MalformedTransaction(f"{name} is a list, expected bytes")


def _recipient(item: Any) -> Address:
    to = _bytes(item, "to")
    if len(to) == 20:
        return Address(to)
    if not to:
        raise ContractCreation
    raise MalformedTransaction(f"to has {len(to)} bytes, expected 20")


def _no_access_list(item: Any) -> AccessList:
    if isinstance(item, bytes):
        raise MalformedTransaction("access list is bytes, expected a list")
    return ()


def _access_list(item: Any) -> AccessList:
    return _no_access_list(item) or tuple(map(_access_entry, item))


def _access_entry(entry: Any) -> tuple[Address, tuple[Hash32, ...]]:
    if isinstance(entry, bytes) or len(entry) != 2 or isinstance(entry[1], bytes):
        raise MalformedTransaction("an access list entry is an address and a list of keys")
    address = _bytes(entry[0], "access list address")
    if len(address) != 20:
        raise MalformedTransaction(f"access list address has {len(address)} bytes, expected 20")
    for key in entry[1]:
        if len(_bytes(key, "access list key")) != 32:
            raise MalformedTransaction(f"access list key has {len(key)} bytes, expected 32")
    return Address(address), tuple(map(Hash32, entry[1]))


# --- to bytes ------------------------------------------------------------------------------------


def _fields(unsigned: UnsignedTransaction) -> list[RlpItem]:
    fees: list[RlpItem] = [rlp_int(unsigned.max_fee)]
    if unsigned.type == EIP_1559:
        fees.insert(0, rlp_int(unsigned.max_priority_fee))
    fields: list[RlpItem] = [
        rlp_int(unsigned.nonce),
        *fees,
        rlp_int(unsigned.gas_limit),
        unsigned.to,
        rlp_int(unsigned.value),
        unsigned.data,
    ]
    if unsigned.type == LEGACY:
        return fields
    return [rlp_int(unsigned.chain_id), *fields, unsigned.access_list]


def _signed_bytes(unsigned: UnsignedTransaction) -> bytes:
    assert unsigned.type in (LEGACY, EIP_2930, EIP_1559), f"no such type: {unsigned.type}"
    assert unsigned.type == EIP_1559 or unsigned.max_priority_fee == unsigned.max_fee, "one price"
    if unsigned.type == LEGACY:
        return rlp_encode([*_fields(unsigned), rlp_int(unsigned.chain_id), b"", b""])
    return bytes([unsigned.type]) + rlp_encode(_fields(unsigned))


def _raw_bytes(unsigned: UnsignedTransaction, signature: Signature) -> bytes:
    legacy = unsigned.type == LEGACY
    v = 35 + 2 * unsigned.chain_id + signature.y_parity if legacy else signature.y_parity
    parts = [rlp_int(v), rlp_int(signature.r), rlp_int(signature.s)]
    encoded = rlp_encode([*_fields(unsigned), *parts])
    return encoded if legacy else bytes([unsigned.type]) + encoded
