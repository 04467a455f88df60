"""What the council's members ask and hand in: `gov_` methods.

A submission is what a wallet signed: the typed data itself and the signatures. It is taken from
anybody; it needs no account and costs nothing, because the council's signatures are what counts.
"""

import secrets
from collections.abc import Mapping
from typing import Any, Final

from node.consensus.hold import Held
from node.encoding import codec_of
from node.errors import ActionImpossible, MalformedAction, Refusal
from node.governance.action import Action, Domain, Fork, compute_digest, decode_action
from node.governance.audit import AuditEntry, entry_hash
from node.governance.typed_data import (
    NAMES,
    parse_message,
    parse_typed_data,
    render_domain,
    render_message,
    render_typed_data,
)
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.hex import data, parse_data
from node.rpc.render import Json
from node.system.dispatch import encode_refusal
from node.system.governance import GovernanceView, encode_submission

COUNT_DEFAULT: Final = 100
COUNT_MAX: Final = 1_000
SIGNATURES_MAX: Final = 100


# --- reading --------------------------------------------------------------------------------------


async def get_council(context: Context) -> Json:
    """Return who governs, under which domain they sign, and what they have set."""
    view = await _get_view(context)
    hold, window = context.core.hold(), view.maintenance
    return {
        "members": [data(member) for member in view.council.members],
        "threshold": view.council.threshold,
        "domain": render_domain(view.domain),
        "forkId": view.fork_id,
        "mode": view.mode.name,
        "haltHeight": view.halt_height or None,
        "maintenance": window
        and {
            "startHeight": window.start_height,
            "haltHeight": window.halt_height,
            "endMs": window.end_ms,
        },
        "hold": None if hold is None else _render_hold(hold),
        "blockNumber": context.core.heads().latest.header.number,
        "timeMs": context.core.heads().latest.extension.time_ms,
    }


async def get_typed_data(context: Context, kind: type[Action], fields: Mapping[str, Any]) -> Json:
    """Return an action as eth_signTypedData_v4 takes it, and its digest.

    A nonce that is left out is made up, and the fork id is this branch's.
    """
    view = await _get_view(context)
    message = {"nonce": data(secrets.token_bytes(32)), "forkId": view.fork_id, **fields}
    try:
        action = parse_message(kind, message)
    except MalformedAction as error:
        raise InvalidParams(f"invalid argument 1: {error}") from None
    digest = compute_digest(action, view.domain)
    return {"typedData": render_typed_data(action, view.domain), "digest": data(digest)}


async def get_audit_log(context: Context, first: int, count: int) -> Json:
    """Return the audit log: its length and head, and entries from `first` on."""
    block = context.core.heads().latest
    view = await context.core.governance_view(block)
    entries = await context.core.audit_entries(first, count, block)
    return {
        "length": view.audit_log.length,
        "head": data(view.audit_log.head),
        "entries": [_render_entry(entry) for entry in entries],
    }


def _render_entry(entry: AuditEntry) -> Json:
    action = decode_action(entry.kind, entry.action)
    return {
        "number": entry.number,
        "kind": type(action).__name__,
        "action": render_message(action),
        "digest": data(entry.digest),
        "signers": [data(signer) for signer in entry.signers],
        "blockNumber": entry.height,
        "timeMs": entry.time_ms,
        "forkId": entry.fork_id,
        "result": str(entry.result),
        "previous": data(entry.previous),
        "hash": data(entry_hash(entry)),
        "record": data(codec_of(AuditEntry).encode(entry)),
    }


def _render_hold(hold: Held) -> Json:
    return {
        "digest": data(hold.digest),
        "forkId": hold.fork_id,
        "blockNumber": hold.height,
        "text": hold.text(),
    }


async def _get_view(context: Context) -> GovernanceView:
    return await context.core.governance_view(context.core.heads().latest)


# --- submitting -----------------------------------------------------------------------------------


async def submit_action(context: Context, typed_data: object, signatures: list[bytes]) -> Json:
    """Take what enough members signed: for the next block, or as a hold where there is none."""
    domain = (await _get_view(context)).domain
    action = _read_action(typed_data, domain)
    if isinstance(action, Fork):
        raise ServerError("a fork is submitted with its plan, not as an action alone")
    try:
        taken = await context.core.submit_action(encode_submission(action, signatures))
    except Refusal as refusal:
        raise ServerError(str(refusal), data(encode_refusal(refusal))) from None
    except ActionImpossible as refusal:
        raise ServerError(str(refusal)) from None
    return {
        "kind": type(action).__name__,
        "digest": data(taken.digest),
        "outcome": taken.outcome.value,
    }


def _read_action(typed_data: object, domain: Domain) -> Action:
    try:
        return parse_typed_data(typed_data, domain)
    except MalformedAction as error:
        raise InvalidParams(f"invalid argument 0: {error}") from None


# --- arguments ------------------------------------------------------------------------------------


def parse_kind(value: object) -> type[Action]:
    """Read the name of an action's struct."""
    action_class = NAMES.get(value) if isinstance(value, str) else None
    if action_class is None:
        raise ValueError(f"want one of {', '.join(NAMES)}")
    return action_class


def parse_object(value: object) -> Mapping[str, Any]:
    """Read a JSON object."""
    if not isinstance(value, dict):
        raise ValueError("want an object")
    return value


def parse_signatures(value: object) -> list[bytes]:
    """Read a list of signatures in hex."""
    if not isinstance(value, list) or len(value) > SIGNATURES_MAX:
        raise ValueError(f"want a list of at most {SIGNATURES_MAX} signatures")
    return [parse_data(each) for each in value]


def parse_number(value: object) -> int:
    """Read an entry's number."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("want a number from 0")
    return value


def parse_count(value: object) -> int:
    """Read how many entries are wanted."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= COUNT_MAX:
        raise ValueError(f"want a number from 1 to {COUNT_MAX}")
    return value
