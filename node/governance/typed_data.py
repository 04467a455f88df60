"""Typed data, both ways: what is handed to a wallet to sign, and what comes back from people.

`render_typed_data` gives what eth_signTypedData_v4 takes; `parse_typed_data` reads exactly that,
for this chain, and nothing else: another domain, a type too many or a number out of range is named.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from node.crypto import checksum_address
from node.errors import MalformedAction
from node.governance.action import (
    CLASSES,
    DOMAIN_FIELDS,
    FIELDS,
    NAME,
    STRUCT_FIELDS,
    STRUCTS,
    VERIFYING_CONTRACT,
    VERSION,
    Action,
    Domain,
    Field,
    Kind,
    find_structs,
)

SAFE_INTEGER_MAX = 2**53 - 1
"""JavaScript rounds beyond: such a number is written as a decimal string."""
REASON_BYTES_MAX = 1_000
ITEMS_MAX = 100
"""Of a list: no council and no set of validators has more."""

NAMES: dict[str, type[Action]] = {made.__name__: made for made in CLASSES.values()}
"""By the struct's name, "Halt" for one."""


def name_of(kind: Kind) -> str:
    """Return the struct's name of a kind."""
    return CLASSES[kind].__name__


def render_domain(domain: Domain) -> dict[str, Any]:
    """Return the domain as wallets take it."""
    return {
        "name": NAME,
        "version": VERSION,
        "chainId": domain.chain_id,
        "verifyingContract": checksum_address(VERIFYING_CONTRACT),
        "salt": "0x" + domain.genesis_hash.hex(),
    }


def render_types(action_class: type[Action]) -> dict[str, Any]:
    """Return the types of domain, struct and its parts as wallets take them."""
    fields = FIELDS[action_class]
    structs = {"EIP712Domain": DOMAIN_FIELDS, action_class.__name__: fields}
    structs |= {name: STRUCT_FIELDS[name] for name in find_structs(fields)}
    return {
        name: [{"name": field.name, "type": field.type} for field in each]
        for name, each in structs.items()
    }


def render_message(action: Action) -> dict[str, Any]:
    """Return an action's fields by their names, each in its JSON form."""
    return _render_struct(FIELDS[type(action)], action)


def render_typed_data(action: Action, domain: Domain) -> dict[str, Any]:
    """Return what eth_signTypedData_v4 takes."""
    return {
        "types": render_types(type(action)),
        "primaryType": type(action).__name__,
        "domain": render_domain(domain),
        "message": render_message(action),
    }


def parse_message(action_class: type[Action], message: object) -> Action:
    """Return the action of fields by name, all of them and no other; raise MalformedAction."""
    return action_class(*_parse_struct(FIELDS[action_class], message, ""))


def parse_typed_data(document: object, domain: Domain) -> Action:
    """Return the action of a typed-data document for this chain; raise MalformedAction."""
    if not isinstance(document, Mapping):
        raise MalformedAction("typed data", document, "an object")
    members = ["domain", "message", "primaryType", "types"]
    if sorted(document) != members:
        raise MalformedAction("typed data", sorted(document), members)
    name = document["primaryType"]
    action_class = NAMES.get(name) if isinstance(name, str) else None
    if action_class is None:
        raise MalformedAction("primaryType", name, sorted(NAMES))
    _require_domain(document["domain"], render_domain(domain))
    types, expected = document["types"], render_types(action_class)
    without_domain = {name: each for name, each in expected.items() if name != "EIP712Domain"}
    if types not in (expected, without_domain):  # ethers leaves the domain's out
        raise MalformedAction("types", types, expected)
    return parse_message(action_class, document["message"])


def _require_domain(value: object, expected: dict[str, Any]) -> None:
    if not isinstance(value, Mapping) or sorted(value) != sorted(expected):
        raise MalformedAction("domain", value, expected)
    for name, wanted in expected.items():
        was = value[name]
        if name == "chainId":
            was = _parse(Field("uint64", "domain.chainId"), was)
        elif isinstance(was, str) and isinstance(wanted, str) and wanted.startswith("0x"):
            was, wanted = was.lower(), wanted.lower()
        if was != wanted:
            raise MalformedAction(f"domain.{name}", value[name], expected[name])


def _render_struct(fields: Sequence[Field], values: Sequence[Any]) -> dict[str, Any]:
    pairs = zip(fields, values, strict=True)
    return {field.name: _render(field.type, value) for field, value in pairs}


def _render(type_name: str, value: Any) -> Any:
    if type_name.endswith("[]"):
        return [_render(type_name[:-2], each) for each in value]
    if type_name in STRUCTS:
        return _render_struct(STRUCT_FIELDS[type_name], value)
    if isinstance(value, bytes):
        return _render_bytes(value)
    if isinstance(value, int) and not -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX:
        return str(value)
    return int(value) if type(value) is not bool and isinstance(value, int) else value


def _render_bytes(value: bytes) -> str:
    return checksum_address(value) if len(value) == 20 else "0x" + value.hex()  # type: ignore[arg-type]


def _parse_struct(fields: Sequence[Field], value: object, where: str) -> list[Any]:
    names = [field.name for field in fields]
    if not isinstance(value, Mapping) or sorted(value) != sorted(names):
        shown = sorted(value) if isinstance(value, Mapping) else value
        raise MalformedAction(where or "message", shown, sorted(names))
    inside = f"{where}." if where else ""
    return [_parse(Field(each.type, inside + each.name), value[each.name]) for each in fields]


def _parse(field: Field, value: object) -> Any:
    if field.type.endswith("[]"):
        if not isinstance(value, list) or len(value) > ITEMS_MAX:
            raise MalformedAction(field.name, value, f"a list of at most {ITEMS_MAX}")
        inner = field.type[:-2]
        return tuple(_parse(Field(inner, f"{field.name}[{i}]"), v) for i, v in enumerate(value))
    if field.type in STRUCTS:
        made, fields = STRUCTS[field.type].made, STRUCT_FIELDS[field.type]
        return made(*_parse_struct(fields, value, field.name))
    if field.type == "bool":
        if not isinstance(value, bool):
            raise MalformedAction(field.name, value, "true or false")
        return value
    if field.type == "string":
        encoded = value.encode(errors="ignore") if isinstance(value, str) else b""
        if encoded.decode() != value or len(encoded) > REASON_BYTES_MAX:
            raise MalformedAction(field.name, value, f"a text of at most {REASON_BYTES_MAX} bytes")
        return value
    if field.type in ("address", "bytes32"):
        return _parse_bytes(field, value)
    return _parse_integer(field, value)


def _parse_bytes(field: Field, value: object) -> bytes:
    size = 20 if field.type == "address" else 32
    if not isinstance(value, str) or not re.fullmatch(f"0x[0-9a-fA-F]{{{2 * size}}}", value):
        raise MalformedAction(field.name, value, f"0x and {2 * size} hex digits")
    return bytes.fromhex(value[2:])


def _parse_integer(field: Field, value: object) -> int:
    signed = field.type.startswith("int")
    bits = int(field.type.lstrip("uint"))
    lowest, highest = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
    number: int | None = None
    if isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch("-?[0-9]{1,20}", value):
        number = int(value)
    if number is None or not lowest <= number <= highest:
        raise MalformedAction(field.name, value, f"an integer from {lowest} to {highest}")
    return number
