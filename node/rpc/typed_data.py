"""EIP-712 digests of arbitrary typed data, as eth_signTypedData_v4 takes it.

`node.governance.typed_data` reads the council's own actions, of one domain and known types; this
module hashes whatever a dapp defines: structs within structs, arrays, bytes and strings. Values are
checked against their types and never stretched to fit. Raises ValueError saying where.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from node.crypto import eip712_digest, keccak256
from node.encoding import load_json
from node.units import Hash32

TYPES_MAX: Final = 256
FIELDS_MAX: Final = 256
"""Of one struct."""
DEPTH_MAX: Final = 64
"""Of structs and arrays within each other."""

DOMAIN: Final = "EIP712Domain"
DOMAIN_FIELDS: Final = {
    "name": "string",
    "version": "string",
    "chainId": "uint256",
    "verifyingContract": "address",
    "salt": "bytes32",
}
"""In the order of EIP-712, for a document that leaves the domain's type out, as ethers may."""

_NAME = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]{0,127}")
_ARRAY = re.compile(r"(.+)\[([0-9]{0,9})\]")
_NUMBER = re.compile(r"(u?int)([0-9]{1,3})")
_FIXED_BYTES = re.compile(r"bytes([0-9]{1,2})")
_INTEGER_TEXT = re.compile(r"-?[0-9]{1,80}|0x[0-9a-fA-F]{1,64}")


class Field(NamedTuple):
    """One member of a struct."""

    name: str
    type: str


class TypedData(NamedTuple):
    """A document that is what it should be, its values not looked at yet."""

    types: Mapping[str, tuple[Field, ...]]
    primary_type: str
    domain: Mapping[str, Any]
    message: Mapping[str, Any]


def read_digest(document: object) -> Hash32:
    """Return what is signed of a document."""
    return compute_digest(parse_typed_data(document))


def parse_typed_data(document: object) -> TypedData:
    """Read a document: an object, or a string of its JSON."""
    if isinstance(document, str):
        document = load_json(document)
    if not isinstance(document, Mapping):
        raise ValueError("typed data: want an object or a string of its JSON")
    domain, message = document.get("domain", {}), document.get("message", {})
    if not isinstance(domain, Mapping) or not isinstance(message, Mapping):
        raise ValueError("typed data: domain and message must be objects")
    types = _parse_types(document.get("types"))
    if DOMAIN not in types:
        own = (Field(name, kind) for name, kind in DOMAIN_FIELDS.items() if name in domain)
        types[DOMAIN] = tuple(own)
    primary_type = document.get("primaryType")
    if not isinstance(primary_type, str) or primary_type not in types:
        raise ValueError(f"typed data: primaryType {str(primary_type)[:100]!r} is not in types")
    return TypedData(types, primary_type, domain, message)


def compute_digest(data: TypedData) -> Hash32:
    """Return what is signed; a document of nothing but a domain signs the domain alone."""
    hasher = _Hasher(data.types)
    domain = hasher.hash_struct(DOMAIN, data.domain, DOMAIN)
    if data.primary_type == DOMAIN:
        return keccak256(b"\x19\x01" + domain)
    return eip712_digest(
        domain, hasher.hash_struct(data.primary_type, data.message, data.primary_type)
    )


def _parse_types(value: object) -> dict[str, tuple[Field, ...]]:
    if not isinstance(value, Mapping) or len(value) > TYPES_MAX:
        raise ValueError(f"typed data: types must be an object of at most {TYPES_MAX} structs")
    return {name: _parse_fields(name, fields) for name, fields in value.items()}


def _parse_fields(struct: str, value: object) -> tuple[Field, ...]:
    if not _NAME.fullmatch(struct) or _is_atomic(struct):
        raise ValueError(f"typed data: {struct[:100]!r} can't be a struct's name")
    if not isinstance(value, list) or len(value) > FIELDS_MAX:
        raise ValueError(f"typed data: {struct} must be an array of at most {FIELDS_MAX} fields")
    fields = []
    for each in value:
        name, kind = (each.get("name"), each.get("type")) if isinstance(each, Mapping) else (0, 0)
        if not isinstance(name, str) or not _NAME.fullmatch(name) or not isinstance(kind, str):
            raise ValueError(f"typed data: {struct} has a field without a name or a type")
        fields.append(Field(name, kind))
    if len({field.name for field in fields}) < len(fields):
        raise ValueError(f"typed data: {struct} names a field twice")
    return tuple(fields)


def _is_atomic(kind: str) -> bool:
    if number := _NUMBER.fullmatch(kind):
        bits = int(number[2])
        return 8 <= bits <= 256 and bits % 8 == 0
    if fixed := _FIXED_BYTES.fullmatch(kind):
        return 1 <= int(fixed[1]) <= 32
    return kind in ("address", "bool", "string", "bytes")


class _Hasher:
    """The types of one document; type hashes are computed once."""

    def __init__(self, types: Mapping[str, tuple[Field, ...]]) -> None:
        self._types = types
        self._type_hashes: dict[str, Hash32] = {}

    def hash_struct(self, name: str, value: object, where: str, depth: int = 0) -> Hash32:
        """Return keccak256(type hash ‖ each field's word)."""
        if not isinstance(value, Mapping):
            raise ValueError(f"{where}: want an object of type {name}")
        fields = self._types[name]
        unknown = sorted(set(value) - {field.name for field in fields})
        if unknown and name != DOMAIN:
            raise ValueError(f"{where}: type {name} has no field {unknown[0][:100]!r}")
        words = [
            self._word(field.type, value.get(field.name), f"{where}.{field.name}", depth + 1)
            for field in fields
        ]
        return keccak256(self._type_hash(name) + b"".join(words))

    def _word(self, kind: str, value: object, where: str, depth: int) -> bytes:
        if depth > DEPTH_MAX:
            raise ValueError(f"typed data nests more than {DEPTH_MAX} deep")
        if array := _ARRAY.fullmatch(kind):
            return self._hash_array(kind, array[1], array[2], value, where, depth)
        if kind in self._types:
            # The end of a chain of structs of one type (eth_signTypedData_v4).
            return bytes(32) if value is None else self.hash_struct(kind, value, where, depth)
        if not _is_atomic(kind):
            raise ValueError(f"{where}: there is no type {kind[:100]!r}")
        if value is None:
            raise ValueError(f"{where}: is missing")
        return _atomic_word(kind, value, where)

    def _hash_array(
        self, kind: str, item: str, length: str, value: object, where: str, depth: int
    ) -> Hash32:
        if not isinstance(value, list):
            raise ValueError(f"{where}: want an array")
        if length and len(value) != int(length):
            raise ValueError(
                f"{where}: Expected {length} items for array type {kind}, got {len(value)} items"
            )
        words = [
            self._word(item, each, f"{where}[{index}]", depth + 1)
            for index, each in enumerate(value)
        ]
        return keccak256(b"".join(words))

    def _type_hash(self, name: str) -> Hash32:
        """Return keccak256 of the struct's definition, then those it uses, sorted by name."""
        known = self._type_hashes.get(name)
        if known is None:
            used: set[str] = set()
            pending = [name]
            while pending:
                struct = pending.pop()
                if struct in used:
                    continue
                used.add(struct)
                bases = (field.type.partition("[")[0] for field in self._types[struct])
                pending.extend(base for base in bases if base in self._types)
            order = [name, *sorted(used - {name})]
            known = keccak256("".join(map(self._define, order)).encode())
            self._type_hashes[name] = known
        return known

    def _define(self, name: str) -> str:
        return f"{name}({','.join(f'{field.type} {field.name}' for field in self._types[name])})"


def _atomic_word(kind: str, value: object, where: str) -> bytes:
    if kind == "string":
        if not isinstance(value, str):
            raise ValueError(f"{where}: want a string")
        return keccak256(value.encode())
    if kind == "bool":
        if not isinstance(value, bool):
            raise ValueError(f"{where}: want true or false")
        return value.to_bytes(32, "big")
    if kind == "bytes":
        return keccak256(_bytes(value, None, where))
    if kind == "address":
        return _bytes(value, 20, where).rjust(32, b"\0")
    if fixed := _FIXED_BYTES.fullmatch(kind):
        return _bytes(value, int(fixed[1]), where).ljust(32, b"\0")
    return _integer_word(kind, value, where)


def _integer_word(kind: str, value: object, where: str) -> bytes:
    number = _NUMBER.fullmatch(kind)
    assert number is not None, "all other atomic types are dealt with"
    bits, is_signed = int(number[2]), number[1] == "int"
    if isinstance(value, str) and _INTEGER_TEXT.fullmatch(value):
        value = int(value, 16 if value.startswith("0x") else 10)
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if is_signed else (0, (1 << bits) - 1)
    if not isinstance(value, int) or isinstance(value, bool) or not lowest <= value <= highest:
        raise ValueError(f"{where}: want an integer of type {kind}")
    return value.to_bytes(32, "big", signed=is_signed)


def _bytes(value: object, size: int | None, where: str) -> bytes:
    if not isinstance(value, str) or not re.fullmatch("0x(?:[0-9a-fA-F]{2})*", value):
        raise ValueError(f"{where}: want 0x and hex digits")
    result = bytes.fromhex(value[2:])
    if size is not None and len(result) != size:
        raise ValueError(f"{where}: was {len(result)} bytes, expected {size}")
    return result
