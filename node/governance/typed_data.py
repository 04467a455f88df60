"""Typed data, both ways: what is handed to a wallet to sign, and what comes back from people.

`render_typed_data` gives what eth_signTypedData_v4 takes; `parse_typed_data` reads exactly that,
for this chain, and nothing else: another domain, a type too many or a number out of range is named.
"""

import re
from collections.abc import Mapping
from typing import Any

from node.crypto import checksum_address
from node.errors import MalformedAction
from node.governance.action import (
    CLASSES,
    DOMAIN_FIELDS,
    FIELDS,
    NAME,
    VERIFYING_CONTRACT,
    VERSION,
    Action,
    Domain,
    Field,
    Kind,
)

SAFE_INTEGER_MAX = 2**53 - 1
"""JavaScript rounds beyond: such a number is written as a decimal string."""
REASON_BYTES_MAX = 1_000

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
    """Return the types of domain and struct as wallets take them."""
    return {
        "EIP712Domain": [{"name": field.name, "type": field.type} for field in DOMAIN_FIELDS],
        action_class.__name__: [
            {"name": field.name, "type": field.type} for field in FIELDS[action_class]
        ],
    }


def render_message(action: Action) -> dict[str, Any]:
    """Return an action's fields by their names, each in its JSON form."""
    fields = FIELDS[type(action)]
    return {field.name: _render(value) for field, value in zip(fields, action, strict=True)}


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
    fields = FIELDS[action_class]
    names = [field.name for field in fields]
    if not isinstance(message, Mapping) or sorted(message) != sorted(names):
        shown = sorted(message) if isinstance(message, Mapping) else message
        raise MalformedAction("message", shown, sorted(names))
    values = [_parse(field, message[field.name]) for field in fields]
    return action_class(*values)


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
    if types not in (expected, {name: expected[name]}):  # ethers leaves the domain's out
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


def _render(value: object) -> Any:
    if isinstance(value, bytes):
        return _render_bytes(value)
    if isinstance(value, int) and not -SAFE_INTEGER_MAX <= value <= SAFE_INTEGER_MAX:
        return str(value)
    return int(value) if isinstance(value, int) else value


def _render_bytes(value: bytes) -> str:
    return checksum_address(value) if len(value) == 20 else "0x" + value.hex()  # type: ignore[arg-type]


def _parse(field: Field, value: object) -> Any:
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
