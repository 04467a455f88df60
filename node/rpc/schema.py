"""JSON Schema in few words: what arguments and answers look like, for the OpenRPC document.

An object's members are all there and no others are, unless it says so: a test holds every answer
against its schema, and a member that is missing or new is an error.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

Schema = Mapping[str, Any]

ANYTHING: Final[Schema] = {}
"""Says nothing."""
BOOLEAN: Final[Schema] = {"type": "boolean"}
INTEGER: Final[Schema] = {"type": "integer"}
COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
NUMBER: Final[Schema] = {"type": "number"}
STRING: Final[Schema] = {"type": "string"}
NULL: Final[Schema] = {"type": "null"}
OBJECT: Final[Schema] = {"type": "object"}
"""Whatever members it has."""
DECIMAL: Final[Schema] = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
QUANTITY: Final[Schema] = {"type": "string", "pattern": "^0x(0|[1-9a-f][0-9a-f]*)$"}
HEX_DATA: Final[Schema] = {"type": "string", "pattern": "^0x([0-9a-fA-F]{2})*$"}


def hex_bytes(size: int) -> Schema:
    """Return the schema of so many bytes in hex, in either case."""
    return {"type": "string", "pattern": f"^0x[0-9a-fA-F]{{{2 * size}}}$"}


ADDRESS: Final[Schema] = hex_bytes(20)
HASH: Final[Schema] = hex_bytes(32)


def ref(name: str) -> Schema:
    """Return a reference to a schema of `node.rpc.schemas.SCHEMAS`."""
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Schema) -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def names(values: Iterable[str]) -> Schema:
    """Return the schema of one of some words."""
    return {"type": "string", "enum": list(values)}


def const(value: object) -> Schema:
    """Return the schema of one value."""
    return {"const": value}


def one_of(*choices: Schema) -> Schema:
    """Return the schema of any of some choices."""
    return {"anyOf": list(choices)}


def nullable(schema: Schema) -> Schema:
    """Return the schema of what may be null."""
    return one_of(schema, NULL)


def obj(**members: Schema) -> Schema:
    """Return the schema of an object with exactly these members."""
    return {
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }


def by_key(values: Schema) -> Schema:
    """Return the schema of an object whose members' names are data: addresses, numbers."""
    return {"type": "object", "additionalProperties": values}


def options(**members: Schema) -> Schema:
    """Return the schema of an object with some of these members and no others."""
    return {"type": "object", "properties": members, "additionalProperties": False}


def extend(schema: Schema, **members: Schema) -> Schema:
    """Return the schema of an object with more members."""
    return obj(**schema["properties"] | members)


def with_optional(schema: Schema, **members: Schema) -> Schema:
    """Return the schema of an object that may have more members."""
    return {**schema, "properties": schema["properties"] | members}
