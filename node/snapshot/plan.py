"""The fork plan: one JSON file that says everything about a fork; its hash is what is signed.

The fork block is a pure function of (snapshot, plan). So the plan names the snapshot, the highest
block that is left, each header field that does not follow from the state, and the operations in
their order. The operations are fixed; they stand in the file for those who read before they sign,
and a plan that spells them otherwise is refused. The totals are told, not checked: a node that
refused the orphaned blocks can't recompute them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from node.crypto import keccak256
from node.encoding import codec_of, load_json
from node.errors import EncodingError, PlanRefused
from node.governance.action import decode_action
from node.governance.audit import AuditEntry
from node.governance.fork import compute_last_restart_height, compute_nonce_floor
from node.snapshot.manifest import canonical_json, from_hex, to_hash, to_hex, to_integer
from node.units import Hash32, Height, TimeMs, Wei

FORMAT = 1
PLAN_SIZE_MAX = 16_000_000
"""Bytes: so many accounts a plan can list."""
REASON_MAX = 500
"""Characters."""
FORK_ID_MAX = 2**21 - 1
"""Nonces stay safe integers of JavaScript (RECOVERY, fork step 2)."""


class SnapshotReference(NamedTuple):
    """Which snapshot the branch begins with."""

    manifest_hash: Hash32
    height: Height
    block_hash: Hash32
    state_root: Hash32
    time_ms: TimeMs


class OrphanTip(NamedTuple):
    """The highest block that the sequencer sealed on the branch that is left."""

    height: Height
    block_hash: Hash32
    time_ms: TimeMs


class ForkHeader(NamedTuple):
    """What of the fork block's header and extension does not follow from its content."""

    number: Height
    parent_hash: Hash32
    time_ms: TimeMs
    gas_limit: int
    base_fee_wei: Wei
    dev_epoch: int
    certified_height: Height
    last_certificate_hash: Hash32
    effects_head: Hash32


class Plan(NamedTuple):
    """A fork plan."""

    chain_id: int
    genesis_hash: Hash32
    fork_id: int
    """The branch that begins: one more than the one that is left."""
    snapshot: SnapshotReference
    orphan_tip: OrphanTip
    header: ForkHeader
    audit: tuple[AuditEntry, ...]
    """Audit entries of the branch that is left, re-recorded by step 1."""
    reason: str
    totals: Any
    """What is undone, for people: JSON of integers, decimal strings, lists and objects."""

    @property
    def last_restart_height(self) -> Height:
        """The last block of the catch-up."""
        return compute_last_restart_height(self.header.number, self.orphan_tip.height)

    @property
    def restart_ms(self) -> TimeMs:
        """The last restart block's time: each one after the fork block adds 1 ms."""
        return TimeMs(self.header.time_ms + self.last_restart_height - self.header.number)


def plan_hash(plan: Plan) -> Hash32:
    """Return the keccak256 of the canonical document."""
    return keccak256(encode_plan(plan))


def encode_plan(plan: Plan) -> bytes:
    """Return the canonical document."""
    snapshot, tip, header = plan.snapshot, plan.orphan_tip, plan.header
    return canonical_json(
        {
            "format": FORMAT,
            "chain_id": plan.chain_id,
            "genesis_hash": to_hex(plan.genesis_hash),
            "fork_id": plan.fork_id,
            "snapshot": {
                "manifest_hash": to_hex(snapshot.manifest_hash),
                "height": snapshot.height,
                "block_hash": to_hex(snapshot.block_hash),
                "state_root": to_hex(snapshot.state_root),
                "time_ms": snapshot.time_ms,
            },
            "orphan_tip": {
                "height": tip.height,
                "block_hash": to_hex(tip.block_hash),
                "time_ms": tip.time_ms,
            },
            "header": {
                "number": header.number,
                "parent_hash": to_hex(header.parent_hash),
                "time_ms": header.time_ms,
                "gas_limit": header.gas_limit,
                "base_fee_wei": header.base_fee_wei,
                "dev_epoch": header.dev_epoch,
                "certified_height": header.certified_height,
                "last_certificate_hash": to_hex(header.last_certificate_hash),
                "effects_head": to_hex(header.effects_head),
            },
            "operations": list_operations(plan),
            "audit": [to_hex(codec_of(AuditEntry).encode(entry)) for entry in plan.audit],
            "reason": plan.reason,
            "totals": plan.totals,
        }
    )


def decode_plan(data: bytes) -> Plan:
    """Return the plan whose one form `data` is; raise PlanRefused."""
    if len(data) > PLAN_SIZE_MAX:
        raise PlanRefused("size", len(data), f"at most {PLAN_SIZE_MAX}")
    try:
        document = load_json(data)
    except (ValueError, RecursionError):
        raise PlanRefused("content", "no JSON", f"a fork plan of format {FORMAT}") from None
    try:
        plan = _plan_of(document)
        canonical = encode_plan(plan)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        RecursionError,
        EncodingError,
    ) as error:
        text = f"{type(error).__name__}: {error}"
        raise PlanRefused("content", text, f"a fork plan of format {FORMAT}") from None
    if canonical != data:
        raise PlanRefused("content", "another form", "canonical JSON with the fixed operations")
    if len(plan.reason) > REASON_MAX:
        raise PlanRefused("reason", f"{len(plan.reason)} characters", f"at most {REASON_MAX}")
    return plan


def list_operations(plan: Plan) -> list[dict[str, Any]]:
    """Return what the fork block does, in its order, with the parameters (RECOVERY, Fork)."""
    return [
        {"step": 1, "operation": "mark the fork", "fork_id": plan.fork_id},
        {
            "step": 2,
            "operation": "raise the nonce floor",
            "floor": compute_nonce_floor(plan.fork_id),
            "ceiling": compute_nonce_floor(plan.fork_id + 1),
        },
        {
            "step": 3,
            "operation": "repeat external effects",
            "head": to_hex(plan.header.effects_head),
            "effects": [],
        },
        {
            "step": 4,
            "operation": "cancel orders",
            "kept": ["STOP_LOSS", "TAKE_PROFIT"],
            "kept_if": "it opposes a position of the snapshot, and no larger than it",
        },
        {
            "step": 5,
            "operation": "set the clock, clear premium samples",
            "gap_from_ms": plan.snapshot.time_ms,
            "gap_until_ms": plan.restart_ms,
            "last_restart_height": plan.last_restart_height,
        },
        {"step": 6, "operation": "invalidate prices", "until": "a quorum reports after the fork"},
        {"step": 7, "operation": "set modes", "mode": "CANCEL_ONLY"},
    ]


def _plan_of(document: Any) -> Plan:
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}")
    snapshot, tip, header = document["snapshot"], document["orphan_tip"], document["header"]
    fork_id, reason = to_integer(document["fork_id"]), document["reason"]
    if not 1 <= fork_id <= FORK_ID_MAX:
        raise ValueError(f"fork_id {fork_id} is not from 1 to {FORK_ID_MAX}")
    if type(reason) is not str:
        raise ValueError("the reason is no text")
    _check_totals(document["totals"])
    return Plan(
        chain_id=to_integer(document["chain_id"]),
        genesis_hash=to_hash(document["genesis_hash"]),
        fork_id=fork_id,
        snapshot=SnapshotReference(
            to_hash(snapshot["manifest_hash"]),
            Height(to_integer(snapshot["height"])),
            to_hash(snapshot["block_hash"]),
            to_hash(snapshot["state_root"]),
            TimeMs(to_integer(snapshot["time_ms"])),
        ),
        orphan_tip=OrphanTip(
            Height(to_integer(tip["height"])),
            to_hash(tip["block_hash"]),
            TimeMs(to_integer(tip["time_ms"])),
        ),
        header=ForkHeader(
            number=Height(to_integer(header["number"])),
            parent_hash=to_hash(header["parent_hash"]),
            time_ms=TimeMs(to_integer(header["time_ms"])),
            gas_limit=to_integer(header["gas_limit"]),
            base_fee_wei=Wei(to_integer(header["base_fee_wei"])),
            dev_epoch=to_integer(header["dev_epoch"]),
            certified_height=Height(to_integer(header["certified_height"])),
            last_certificate_hash=to_hash(header["last_certificate_hash"]),
            effects_head=to_hash(header["effects_head"]),
        ),
        audit=tuple(_audit_entry(entry) for entry in document["audit"]),
        reason=reason,
        totals=document["totals"],
    )


def _audit_entry(text: Any) -> AuditEntry:
    entry = codec_of(AuditEntry).decode(from_hex(text))
    decode_action(entry.kind, entry.action)
    return entry


def _check_totals(value: Any) -> None:
    """Refuse what has more than one spelling: floats, null, true and false."""
    if type(value) is dict:
        for item in value.values():
            _check_totals(item)
    elif type(value) is list:
        for item in value:
            _check_totals(item)
    elif type(value) not in (int, str):
        raise ValueError(f"the totals hold {value!r}")
