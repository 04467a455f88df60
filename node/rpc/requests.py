"""What the front reads of a body without the table of methods: whose answer it may have already.

Anything that is not plainly well-formed is left to `node.rpc.dispatch`, which has words for it.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from node.rpc.hex import parse_data

BODY_MAX: Final = 5 * 1024 * 1024
BATCH_MAX: Final = 1_000
SUBMIT_PLAN: Final = "perp_submitForkPlan"
PLAN_BODY_MAX: Final = 7 * BODY_MAX
"""Of one call that hands in a fork plan, alone: 16 MB of text in JSON's escapes."""
NAMED_WITHIN: Final = 1_024
"""Where the name of a method must stand that makes a body larger."""
SEND_RAW: Final = "eth_sendRawTransaction"
_ID_TYPES: Final = frozenset({str, int, float, type(None)})


class Call(NamedTuple):
    """A single well-formed call that wants an answer."""

    id: bytes
    method: str
    params: bytes
    """The arguments as JSON, in one form whatever the caller's spacing and escapes."""


class RawTransaction(NamedTuple):
    """A well-formed call of eth_sendRawTransaction."""

    id: bytes
    raw: bytes


def compute_body_max(begins: bytes | str) -> int:
    """Return how long a body that begins so may be."""
    begins = begins[:NAMED_WITHIN]
    if isinstance(begins, str):
        begins = begins.encode("utf-8", "replace")
    return PLAN_BODY_MAX if b'"%b"' % SUBMIT_PLAN.encode() in begins else BODY_MAX


def read_message(body: bytes) -> object:
    """Return what the JSON says, None if it is none."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def read_call(message: object) -> Call | None:
    """Return the call that a message is, None if it is anything else."""
    if type(message) is not dict or message.get("jsonrpc") != "2.0" or "id" not in message:
        return None
    call_id, method, params = message["id"], message.get("method"), message.get("params")
    if type(call_id) not in _ID_TYPES or type(method) is not str:
        return None
    try:
        key = b"[]" if params is None else orjson.dumps(params)
    except orjson.JSONEncodeError:  # nested deeper than orjson writes
        return None
    return Call(orjson.dumps(call_id), method, key)


def read_raw_transactions(message: object) -> Sequence[RawTransaction] | None:
    """Return the raw transactions that a request or batch hands in; None if it is not just that."""
    if type(message) is not list:
        message = [message]
    if not 0 < len(message) <= BATCH_MAX:
        return None
    found: list[RawTransaction] = []
    for element in message:
        if type(element) is not dict or element.get("method") != SEND_RAW:
            return None
        call_id, params = element.get("id", found), element.get("params")
        if element.get("jsonrpc") != "2.0" or type(call_id) not in _ID_TYPES:
            return None
        if type(params) is not list or len(params) != 1 or params[0] is None:
            return None
        try:
            found.append(RawTransaction(orjson.dumps(call_id), parse_data(params[0])))
        except ValueError:
            return None
    return found
