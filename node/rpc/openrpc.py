"""The OpenRPC document: every method with its arguments' and its answer's schema, from the table.

It is built from what dispatches, so it can't name a method that is not there or miss one. Names,
order and defaults of arguments are the table's; descriptions are the functions' docstrings.
"""

import inspect
from collections.abc import Mapping
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from node.rpc.parameters import Param
from node.rpc.render import Json
from node.rpc.schema import Schema
from node.rpc.schemas import SCHEMAS

if TYPE_CHECKING:
    from node.rpc.methods import Method

OPENRPC_VERSION: Final = "1.3.2"
GUARDED: Final = "guarded"
"""The tag of methods that foreign origins may not call."""


def build_document(methods: Mapping[str, "Method"]) -> dict[str, Json]:
    """Return the document of a table of methods."""
    return {
        "openrpc": OPENRPC_VERSION,
        "info": {
            "title": "perpnode",
            "version": version("perpnode"),
            "description": "An appchain node for perpetual futures: Ethereum JSON-RPC, the "
            "exchange, its council. Arguments go by position; trailing ones may be left out.",
        },
        "methods": [_describe(name, methods[name]) for name in sorted(methods)],
        "components": {"schemas": SCHEMAS},
    }


def _describe(name: str, method: "Method") -> dict[str, Json]:
    summary, _, rest = (inspect.getdoc(method.answer) or name).partition("\n\n")
    tags = [{"name": name.partition("_")[0].partition(".")[0]}]
    described = {
        "name": name,
        "summary": " ".join(summary.split()),
        "paramStructure": "either" if method.is_named else "by-position",
        "params": [_describe_param(param) for param in method.params],
        "result": {"name": "result", "schema": method.result},
        "tags": [*tags, {"name": GUARDED}] if method.guarded else tags,
    }
    if rest:
        described["description"] = rest
    if method.example is not None:
        values = zip(method.params, method.example, strict=False)
        described["examples"] = [
            {
                "name": name,
                "params": [{"name": param.name, "value": value} for param, value in values],
            }
        ]
    return described


def _describe_param(param: Param) -> dict[str, Json]:
    return {
        "name": param.name,
        "required": param.is_required,
        "schema": _schema_of(param),
    }


def _schema_of(param: Param) -> Schema:
    """Return an argument's schema; null stands for what may be left out."""
    if param.is_required or not param.schema:
        return param.schema
    return {"anyOf": [param.schema, {"type": "null"}]}
