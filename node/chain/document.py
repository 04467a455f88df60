"""Strict JSON to records and back, by the records' own declared types.

One form for each value: an integer is a JSON integer, an amount of money (`Quote`, `Wei`) a decimal
string, because it may pass 2^53, an address 0x and 40 hex digits, a record an object with exactly
its fields. Whatever differs is refused: a GenesisError names the field, its value and the remedy.
"""

import json
import re
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Annotated, Any, NewType, NoReturn, get_args, get_origin, get_type_hints

from node.crypto import checksum_address
from node.encoding import load_json
from node.errors import GenesisError
from node.perp.parameters import MAGNITUDE_MAX
from node.units import Address, Quote, Wei

AMOUNT_MAX = 2**63 - 1
"""Of atoms: an amount fits the ABI's and the records' 64-bit words."""
WEI_MAX = 2**96 - 1


def fail(where: str, problem: str, remedy: str) -> NoReturn:
    """Refuse a document: which field, what is wrong with it, what to do."""
    raise GenesisError(f"{where} {problem}: {remedy}")


def require_range(where: str, value: int, lowest: int, highest: int) -> None:
    """Refuse a value outside [lowest, highest]."""
    if not lowest <= value <= highest:
        allowed = f"{lowest}" if lowest == highest else f"from {lowest} to {highest}"
        fail(where, f"was {value}", f"must be {allowed}")


def decode_json(data: bytes) -> Any:
    """Decode JSON strictly: UTF-8, no repeated names, no numbers but integers, bounded depth."""
    try:
        return load_json(
            data,
            object_pairs_hook=_unique_names,
            parse_float=lambda text: fail("the document", f"has the number {text}", _NO_FLOATS),
            parse_constant=lambda text: fail("the document", f"has the number {text}", _NO_FLOATS),
        )
    except UnicodeDecodeError as error:
        fail("the document", f"is no UTF-8 at byte {error.start}", "write it as JSON text")
    except json.JSONDecodeError as error:
        fail(f"line {error.lineno}, column {error.colno}", f"is no JSON ({error.msg})", "mend it")
    except ValueError as error:  # too deep, or too many digits
        fail("the document", f"can't be read ({error})", "see genesis/README.md")


_NO_FLOATS = "use integers, and decimal strings for amounts"


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            fail(name, "stands twice in one object", "remove one")
        found[name] = value
    return found


@cache
def fields_of(record: Any) -> dict[str, Any]:
    """Return a record's fields with their declared types."""
    return get_type_hints(record, include_extras=True)


def read_value(value: Any, kind: Any, where: str) -> Any:
    """Return the value as its declared type, or refuse it by name."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) is tuple:
        items = check_type(value, list, where, "a list")
        element = get_args(kind)[0]
        return tuple(read_value(item, element, f"{where}[{i}]") for i, item in enumerate(items))
    if kind is Address:
        return _read_address(value, where)
    if kind is bytes:
        return _read_bytes(value, where)
    if kind in (Quote, Wei):
        return _read_amount(value, where, WEI_MAX if kind is Wei else AMOUNT_MAX)
    if isinstance(kind, NewType):
        kind = kind.__supertype__
    if kind in (int, bool, str):
        what = {int: "an integer", bool: "true or false", str: "a string"}[kind]
        checked = check_type(value, kind, where, what)
        if kind is int:
            require_range(where, checked, -MAGNITUDE_MAX, MAGNITUDE_MAX)
        return checked
    return kind(**read_fields(value, fields_of(kind), where))


def read_fields(value: Any, kinds: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values of an object that has exactly these fields, each as its declared type."""
    check_names(value, kinds, where)
    inside = f"{where}." if where else ""
    return {name: read_value(value[name], kind, inside + name) for name, kind in kinds.items()}


def _read_address(value: Any, where: str) -> Address:
    text = check_type(value, str, where, "an address")
    if not re.fullmatch(r"0x[0-9a-fA-F]{40}", text):
        fail(where, f"was {_show(text)}", "an address is 0x and 40 hex digits")
    address = Address(bytes.fromhex(text[2:]))
    mixed = text[2:] not in (text[2:].lower(), text[2:].upper())
    if mixed and text != checksum_address(address):
        fail(where, f"was {text}", f"its checksum (EIP-55) wants {checksum_address(address)}")
    return address


def _read_bytes(value: Any, where: str) -> bytes:
    text = check_type(value, str, where, "0x and hex digits")
    if not re.fullmatch(r"(0x([0-9a-fA-F]{2})+)?", text):
        fail(where, f"was {_show(text)}", 'write 0x and pairs of hex digits, or "" for none')
    return bytes.fromhex(text[2:])


def _read_amount(value: Any, where: str, highest: int) -> int:
    text = check_type(value, str, where, 'an amount as a decimal string such as "1000000"')
    if not re.fullmatch(r"0|[1-9][0-9]{0,37}", text):
        fail(where, f"was {_show(text)}", "an amount has digits only, and no leading zero")
    require_range(where, int(text), 0, highest)
    return int(text)


def check_names(value: Any, names: Iterable[str], where: str) -> None:
    """Refuse what is no object with exactly these fields."""
    expected = list(names)
    where = where or "the document"
    for name in check_type(value, dict, where, "an object"):
        if name not in expected:
            fail(where, f"has the unknown field {_show(name)}", "see genesis/README.md")
    for name in expected:
        if name not in value:
            fail(where, f"lacks the field {_show(name)}", "see genesis/README.md")


def check_type(value: Any, kind: type, where: str, what: str) -> Any:
    """Return the value if it is exactly of this JSON type (true is no integer)."""
    if type(value) is not kind:
        fail(where, f"was {_show(value)}", f"must be {what}")
    return value


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def plain(record: Any) -> dict[str, Any]:
    """Return a record as the JSON object that `read_value` takes."""
    kind: Any = type(record)
    return {n: _plain_value(getattr(record, n), field) for n, field in fields_of(kind).items()}


def plain_bytes(value: bytes) -> str:
    """Return bytes as `read_value` takes them."""
    return "0x" + value.hex() if value else ""


def _plain_value(value: Any, kind: Any) -> Any:
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if kind is Address:
        return checksum_address(value)
    if kind in (Quote, Wei):
        return str(value)
    if kind is bytes:
        return plain_bytes(value)
    if get_origin(kind) is tuple:
        return [_plain_value(item, get_args(kind)[0]) for item in value]
    return plain(value) if hasattr(value, "_asdict") else value
