"""Records of the core as JSON, by the names that the ABI gives their fields, and their schemas."""

import json
from enum import IntEnum
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import orjson

from node.rpc.hex import data
from node.rpc.quantities import render_integer
from node.rpc.render import Json
from node.rpc.schema import BOOLEAN, HEX_DATA, INTEGER, STRING, Schema, array, names, nullable, obj


def render_record(record: Any) -> dict[str, Json]:
    """Return a record's fields by name."""
    return {
        camel_case(name): render_value(value)
        for name, value in zip(record._fields, record, strict=True)
    }


def render_value(value: object) -> Json:
    """Return a field's value, whatever is nested in it."""
    if isinstance(value, tuple):
        if hasattr(value, "_fields"):
            return render_record(value)
        return [render_value(each) for each in value]
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, bytes):
        return data(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return render_integer(value)
    return value


def to_plain(rendered: Json) -> Any:
    """Return what was rendered as who reads the JSON has it."""
    return json.loads(orjson.dumps(rendered))


@cache
def camel_case(name: str) -> str:
    """Return a field's name as the ABI writes it."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def record_schema(record: type, **more: Schema) -> Schema:
    """Return the schema of what `render_record` makes of a record, with members beside it."""
    hints = get_type_hints(record)
    return obj(**{camel_case(name): _type_schema(hint) for name, hint in hints.items()} | more)


def _type_schema(hint: Any) -> Schema:
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    origin = get_origin(hint)
    if origin is tuple:
        return array(_type_schema(get_args(hint)[0]))
    if origin in (Union, UnionType):
        (one,) = [each for each in get_args(hint) if each is not NoneType]
        return nullable(_type_schema(one))
    if issubclass(hint, IntEnum):
        return names(each.name for each in hint)
    return _PLAIN[hint]


_PLAIN = {int: INTEGER, bool: BOOLEAN, str: STRING, bytes: HEX_DATA}
