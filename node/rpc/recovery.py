"""Snapshots and forks: what there is to go back to, plans, what a fork did, and what it undid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from node.config import wall_time_ms
from node.consensus.core import Located
from node.consensus.snapshots import SnapshotInfo
from node.errors import (
    ActionImpossible,
    EncodingError,
    InvalidSnapshot,
    InvariantViolation,
    MissingState,
    OperatorError,
    PlanRefused,
    Refusal,
)
from node.governance.action import compute_digest, encode_action
from node.governance.fork import Fork, compute_nonce_floor
from node.governance.typed_data import render_typed_data
from node.governance.validators import total_power
from node.rpc.context import Context
from node.rpc.errors import ServerError
from node.rpc.hex import data
from node.rpc.render import Json
from node.snapshot.approval import SignedPlan, domain_of, encode_signed_plan, fork_action
from node.snapshot.plan import REASON_MAX, Plan, decode_plan, encode_plan, plan_hash
from node.system.dispatch import encode_refusal
from node.units import Hash32, Height

LATEST: Final = "latest"


# --- snapshots ------------------------------------------------------------------------------------


async def get_snapshots(context: Context) -> Json:
    """Return the snapshots that this node made, or knows signatures of, oldest first."""
    return [_render_snapshot(each) for each in await context.core.snapshots()]


def _render_snapshot(info: SnapshotInfo) -> Json:
    reference = info.reference
    return {
        "name": info.id.name,
        "forkId": info.id.fork_id,
        "blockNumber": info.id.height,
        "blockHash": data(reference.block_hash),
        "stateRoot": data(reference.state_root),
        "manifestHash": data(reference.manifest_hash),
        "timeMs": reference.time_ms,
        "signers": list(info.signers),
        "power": info.power,
        "totalPower": info.total_power,
        "isCertified": info.is_certified,
        "isCanonical": info.is_canonical,
        "isHere": info.is_here,
    }


async def create_snapshot(context: Context, height: int | None) -> Json:
    """Have the validators make a snapshot of a block, the head's unless another is named."""
    core = context.core
    wanted = core.heads().safe.header.number if height is None else height
    try:
        block = await core.request_snapshot(Height(wanted))
    except OperatorError as refusal:
        raise ServerError(str(refusal)) from None
    return {
        "name": f"{block.extension.fork_id}-{block.header.number}",
        "blockHash": data(block.hash),
    }


# --- plans ----------------------------------------------------------------------------------------


async def make_plan(context: Context, wanted: Mapping[str, Any]) -> Json:
    """Return a fork plan, as the text that is hashed and as typed data that members sign."""
    name, reason = wanted.get("snapshot", LATEST), wanted["reason"]
    try:
        plan = await context.core.make_plan(name, reason, wall_time_ms())
    except (OperatorError, ActionImpossible, MissingState) as refusal:
        raise ServerError(str(refusal)) from None
    return describe_plan(plan)


def describe_plan(plan: Plan) -> dict[str, Json]:
    """Return a plan's text, its hash, and what members sign."""
    action = fork_action(plan)
    return {
        "plan": encode_plan(plan).decode(),
        "planHash": data(plan_hash(plan)),
        "digest": data(compute_digest(action, domain_of(plan))),
        "typedData": render_typed_data(action, domain_of(plan)),
    }


def parse_wishes(value: object) -> Mapping[str, Any]:
    """Read which snapshot a plan goes back to, and why."""
    if not isinstance(value, dict) or not {"reason"} <= value.keys() <= {"reason", "snapshot"}:
        raise ValueError("want an object of reason and snapshot")
    reason = value["reason"]
    if not isinstance(reason, str) or not 0 < len(reason.strip()) <= REASON_MAX:
        raise ValueError(f"want a reason of at most {REASON_MAX} characters")
    if not isinstance(value.get("snapshot", LATEST), str):
        raise ValueError('want a snapshot\'s name, or "latest"')
    return value


def parse_plan(value: object) -> Plan:
    """Read a plan's text."""
    if not isinstance(value, str):
        raise ValueError("want the plan's text")
    try:
        return decode_plan(value.encode())
    except PlanRefused as refusal:
        raise ValueError(str(refusal)) from None


async def submit_plan(context: Context, plan: Plan, signatures: list[bytes]) -> Json:
    """Verify a plan with its signatures, carry it out, and pass it on."""
    signed = SignedPlan(encode_plan(plan), encode_action(fork_action(plan)), tuple(signatures))
    try:
        carried = await context.core.submit_plan(encode_signed_plan(signed))
    except Refusal as refusal:
        raise ServerError(str(refusal), data(encode_refusal(refusal))) from None
    except (
        PlanRefused,
        ActionImpossible,
        OperatorError,
        InvalidSnapshot,
        InvariantViolation,
        MissingState,
        EncodingError,
    ) as refusal:
        raise ServerError(str(refusal)) from None
    block = carried.block
    return {
        "planHash": data(plan_hash(plan)),
        "forkId": plan.fork_id,
        "outcome": "forked" if carried.is_new else "already",
        "blockNumber": block.header.number,
        "blockHash": data(block.hash),
        "stateRoot": data(block.header.state_root),
        "lastRestartBlock": plan.last_restart_height,
    }


# --- what became of them --------------------------------------------------------------------------


async def get_fork(context: Context, fork_id: int | None) -> Json:
    """Return a fork of this branch, the newest unless named; null if there is none."""
    forks = await context.core.forks()
    chosen = [each for each in forks if fork_id is None or each.fork_id == fork_id]
    if not chosen:
        return None
    fork = chosen[-1]
    block = await context.core.block_on_fork(fork.fork_id, fork.height)
    recovery = context.core.recovery()
    newest = recovery.fork is not None and recovery.fork.fork_id == fork.fork_id
    return _render_fork(fork) | {
        "blockHash": None if block is None else data(block.hash),
        "stateRoot": None if block is None else data(block.header.state_root),
        "gate": _render_gate(context) if newest else None,
    }


def _render_fork(fork: Fork) -> dict[str, Json]:
    return {
        "forkId": fork.fork_id,
        "blockNumber": fork.height,
        "planHash": data(fork.plan_hash),
        "reason": fork.reason,
        "snapshot": {
            "blockNumber": fork.snapshot_height,
            "blockHash": data(fork.snapshot_hash),
            "manifestHash": data(fork.manifest_hash),
        },
        "orphanTip": {"blockNumber": fork.orphan_height, "blockHash": data(fork.orphan_hash)},
        "nonceFloor": compute_nonce_floor(fork.fork_id),
        "gap": {"fromMs": fork.gap_from_ms, "untilMs": fork.gap_until_ms},
        "lastRestartBlock": fork.last_restart_height,
    }


def _render_gate(context: Context) -> Json:
    """Return who has built the newest fork block, and whether that is enough."""
    recovery = context.core.recovery()
    phase = recovery.phase()
    return {
        "isOpen": recovery.is_open(),
        "phase": "open" if phase is None else phase.name,
        "reason": "" if phase is None else phase.reason,
        "power": recovery.power(),
        "totalPower": total_power(context.core.next_validators()),
        "confirmations": [
            {
                "validator": each.validator,
                "blockHash": data(each.block_hash),
                "stateRoot": data(each.state_root),
            }
            for each in recovery.confirmations()
        ],
    }


async def get_transaction_status(context: Context, tx_hash: Hash32) -> Json:
    """Return where a transaction is: in a block, waiting, on a branch that was left, unknown."""
    core = context.core
    located = await core.transaction(tx_hash)
    if located is not None:
        return _render_place("included", located, "")
    if core.pending_transaction(tx_hash) is not None:
        return {"status": "waiting", "text": "waits for a block"}
    orphan = await core.orphaned(tx_hash)
    if orphan is None:
        return {"status": "unknown", "text": "no block and no mempool here has it"}
    ended = await _find_end(context, orphan)
    height = orphan.block.header.number
    text = f"orphaned in fork {ended}, was in block {height}"
    return _render_place("orphaned", orphan, text) | {"orphanedInFork": ended}


async def _find_end(context: Context, orphan: Located) -> int:
    """Return the fork that left a block."""
    height, began = orphan.block.header.number, orphan.block.extension.fork_id
    for fork in await context.core.forks():
        if fork.fork_id > began and fork.height <= height:
            return fork.fork_id
    return began + 1


def _render_place(status: str, located: Located, text: str) -> dict[str, Json]:
    header = located.block.header
    return {
        "status": status,
        "text": text or f"in block {header.number}",
        "forkId": located.block.extension.fork_id,
        "blockNumber": header.number,
        "blockHash": data(located.block.hash),
        "transactionIndex": located.tx_index,
        "succeeded": bool(located.receipt.status),
    }


# --- arguments ------------------------------------------------------------------------------------


def parse_fork_id(value: object) -> int | None:
    """Read a fork's id."""
    return None if value is None else _parse_number(value)


def parse_height(value: object) -> int | None:
    """Read a block's number."""
    return None if value is None else _parse_number(value)


def _parse_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**53:
        raise ValueError("want a number from 0")
    return value
