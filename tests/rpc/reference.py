"""The reference of the node's own methods, made of the table and of recorded examples."""

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from node.rpc.methods import Method
from node.rpc.openrpc import build_document
from node.rpc.render import Json

ANSWER_MAX: Final = 1_200
"""Characters of an example's answer."""
HEADER: Final = """\
# The node's own JSON-RPC methods

Made of the table of methods and of the recorded requests in `tests/rpc/io` by
`.venv/bin/python -m tests.rpc.io_files`; a test compares. Schemas of everything, Ethereum's methods
included, are in the OpenRPC document that a running node serves at `rpc.discover`. Units, and how a
block is named, are written at the head of [`perp.py`](perp.py) and [`blocks.py`](blocks.py), what
`perp_subscribe` sends at the head of [`feeds.py`](feeds.py).
"""


def render_reference(
    methods: Mapping[str, Method], examples: Mapping[str, Sequence[tuple[str, str, str]]]
) -> str:
    """Return the reference in Markdown; `examples` are (title, request, answer) by method."""
    document = build_document({name: methods[name] for name in examples if name in methods})
    return HEADER + "".join(
        _render_method(each, examples[each["name"]]) for each in document["methods"]
    )


def _render_method(described: Mapping[str, Json], examples: Sequence[tuple[str, str, str]]) -> str:
    lines = [f"\n## `{described['name']}`\n", f"{described['summary']}\n"]
    if "description" in described:
        lines.append(f"{described['description']}\n")
    for param in described["params"]:
        schema, need = param["schema"], ""
        if not param["required"]:  # null stands for what is left out
            schema, need = schema["anyOf"][0], ", may be left out"
        lines.append(f"- `{param['name']}`: {_name(schema)}{need}")
    lines.append(f"- answers {_name(described['result']['schema'])}\n")
    for title, request, answer in examples:
        shown = answer
        if len(answer) > ANSWER_MAX:
            shown = answer[:ANSWER_MAX].rsplit(",", 1)[0] + ", …"
        lines.append(f"{title}:\n\n```json\n{request}\n{shown}\n```\n")
    return "\n".join(lines)


def _name(schema: Mapping[str, Json]) -> str:
    """Return a schema in a few words: the component's name, or the schema itself."""
    if "anyOf" in schema:
        return " or ".join(_name(each) for each in schema["anyOf"])
    if "$ref" in schema:
        return f"`{schema['$ref'].rsplit('/', 1)[1]}`"
    if schema.get("type") == "array":
        return f"a list of {_name(schema['items'])}"
    return f"`{orjson.dumps(schema).decode()}`"
