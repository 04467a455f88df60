"""Whether a node may carry out a fork plan: every check, in order, before anything is written.

A node that has the snapshot's block and state needs no chunks: what it has hashes to the same root.
Signatures then tie the manifest hash to that block. One that has neither restores first.
"""

from __future__ import annotations

from pathlib import Path

from node.chain import keys
from node.chain.block import Extension, Header
from node.chain.blockchain import Blockchain
from node.chain.derived import Derived
from node.chain.domains import Identity
from node.chain.ledger import Moment, StateLedger
from node.crypto import ed25519_verify
from node.errors import MissingState, PlanRefused
from node.governance.validators import is_quorum, total_power
from node.perp.invariants import check_all
from node.snapshot.approval import SignedPlan, check_approval
from node.snapshot.directory import (
    SIGNATURES_FILE,
    Signatures,
    load_manifest,
    load_signatures,
)
from node.snapshot.export import read_single
from node.snapshot.importer import import_snapshot
from node.snapshot.manifest import EMPTY_EFFECTS_HEAD, MANIFEST_FILE, Manifest, manifest_hash
from node.snapshot.plan import Plan, decode_plan, plan_hash
from node.snapshot.signatures import SnapshotSignature, snapshot_bytes
from node.state.store import State
from node.units import Hash32, Height, TimeMs

AHEAD_MS_MAX = 600_000
"""How far the fork block's time may lie ahead of this node's clock: 10 minutes."""


def verify_plan(
    blockchain: Blockchain, signed: SignedPlan, *, snapshot: Path, now_ms: TimeMs
) -> Plan:
    """Return a plan that this node may carry out; raise PlanRefused naming the first failed check.

    `snapshot` is the directory of the snapshot: with its manifest, or with signatures only.
    """
    plan = decode_plan(signed.plan)
    check_plan(blockchain, plan, signed, snapshot=snapshot, now_ms=now_ms)
    return plan


def check_plan(
    blockchain: Blockchain, plan: Plan, signed: SignedPlan, *, snapshot: Path, now_ms: TimeMs
) -> None:
    """Make every check of a plan that is decoded, in their order.

    The council is that of the certified state, not of the orphaned one: that may be corrupt.
    """
    manifest = load_manifest(snapshot) if (snapshot / MANIFEST_FILE).exists() else None
    signatures = load_signatures(snapshot) if (snapshot / SIGNATURES_FILE).exists() else None
    _check_manifest(plan, manifest, signatures)
    _check_chain(plan, blockchain)
    header, extension = _check_ancestor(plan, blockchain)
    _check_header(plan, header, extension, blockchain)
    state = _open_state(plan, blockchain)
    _check_signatures(plan, signatures, state, blockchain)
    check_approval(plan, signed, read_single(state, keys.COUNCIL))
    if manifest is not None:
        import_snapshot(snapshot, manifest, lambda _: None)
    _check_invariants(plan, state, extension)
    _same("effects_head", plan.header.effects_head, EMPTY_EFFECTS_HEAD)
    _check_time(plan, blockchain, now_ms)


def _check_manifest(plan: Plan, manifest: Manifest | None, signatures: Signatures | None) -> None:
    """The manifest hash is the plan's, and so is what it is of."""
    wanted = plan.snapshot
    if manifest is not None:
        _same("snapshot.manifest_hash", wanted.manifest_hash, manifest_hash(manifest))
        _same("snapshot.height", wanted.height, manifest.height)
        _same("snapshot.block_hash", wanted.block_hash, manifest.block_hash)
        _same("snapshot.state_root", wanted.state_root, manifest.state_root)
        _same("snapshot.time_ms", wanted.time_ms, manifest.time_ms)
    elif signatures is not None:
        _same("snapshot.manifest_hash", wanted.manifest_hash, signatures.manifest_hash)
    else:
        raise PlanRefused("snapshot.manifest_hash", wanted.manifest_hash, "a snapshot that is here")


def _check_chain(plan: Plan, blockchain: Blockchain) -> None:
    _same("chain_id", plan.chain_id, blockchain.genesis.chain_id)
    _same("genesis_hash", plan.genesis_hash, blockchain.genesis_hash)
    _same("fork_id", plan.fork_id, blockchain.head.block.extension.fork_id + 1)


def _check_ancestor(plan: Plan, blockchain: Blockchain) -> tuple[Header, Extension]:
    """The snapshot's block is this node's own."""
    wanted = plan.snapshot
    found = blockchain.store.load_canonical(wanted.height)
    _same("snapshot.block_hash", wanted.block_hash, found or Hash32(b""))
    loaded = blockchain.store.load_header(wanted.block_hash)
    assert loaded is not None, "the index names blocks that are kept"
    _same("snapshot.state_root", wanted.state_root, loaded[0].state_root)
    _same("snapshot.time_ms", wanted.time_ms, loaded[1].time_ms)
    return loaded


def _check_header(plan: Plan, parent: Header, extension: Extension, blockchain: Blockchain) -> None:
    """What the plan says of the fork block's header is all that it may say."""
    header, genesis = plan.header, blockchain.genesis
    _same("header.number", header.number, parent.number + 1)
    _same("header.parent_hash", header.parent_hash, plan.snapshot.block_hash)
    _same("header.gas_limit", header.gas_limit, genesis.gas_limit)
    _same("header.base_fee_wei", header.base_fee_wei, genesis.base_fee_wei)
    for name in ("dev_epoch", "certified_height", "last_certificate_hash", "effects_head"):
        _same(f"header.{name}", getattr(header, name), getattr(extension, name))


def _open_state(plan: Plan, blockchain: Blockchain) -> State:
    try:
        return blockchain.states.at(plan.snapshot.state_root)
    except MissingState:
        root = plan.snapshot.state_root
        raise PlanRefused("snapshot.state_root", root, "a state that is kept here") from None


def _check_signatures(
    plan: Plan, signatures: Signatures | None, state: State, blockchain: Blockchain
) -> None:
    """More than two thirds of the validators of that state signed the snapshot."""
    validators = read_single(state, keys.VALIDATORS)
    if not validators.members:
        return
    wanted = plan.snapshot
    identity = Identity(
        blockchain.genesis_hash, plan.chain_id, plan.fork_id - 1, plan.header.dev_epoch
    )
    loaded = blockchain.store.load_header(wanted.block_hash)
    assert loaded is not None, "the snapshot's block is here"
    identity = identity._replace(fork_id=loaded[1].fork_id)
    signed = SnapshotSignature(
        wanted.height, wanted.block_hash, wanted.state_root, wanted.manifest_hash, -1, b""
    )
    message = snapshot_bytes(identity, signed)
    power = 0
    for index, signature in sorted((signatures.by_validator if signatures else {}).items()):
        member = validators.members[index] if index < len(validators.members) else None
        if member is not None and ed25519_verify(member.public_key, signature, message):
            power += member.power
    if not is_quorum(validators, power):
        total = total_power(validators)
        raise PlanRefused("power that signed the snapshot", power, f"more than 2/3 of {total}")


def _check_invariants(plan: Plan, state: State, extension: Extension) -> None:
    """The state holds together: nothing would be gained by going back to it otherwise."""
    moment = Moment(Height(plan.snapshot.height), extension.time_ms, extension.time_ms)
    derived = Derived(state, {}, None)
    check_all(StateLedger(state, derived, moment, plan.chain_id, plan.genesis_hash))


def _check_time(plan: Plan, blockchain: Blockchain, now_ms: TimeMs) -> None:
    """The fork block comes after what it undoes, and not too far ahead of the clock.

    Blocks beyond the orphan tip are of a sequencer that came back and sealed alone.
    """
    head, last_ms = blockchain.head.block, plan.orphan_tip.time_ms
    if head.header.number <= plan.orphan_tip.height:
        last_ms = max(last_ms, head.extension.time_ms)
    if plan.header.time_ms <= last_ms:
        raise PlanRefused("header.time_ms", plan.header.time_ms, f"more than {last_ms}")
    if plan.header.time_ms > now_ms + AHEAD_MS_MAX:
        expected = f"at most {now_ms + AHEAD_MS_MAX}: 10 minutes ahead of the clock"
        raise PlanRefused("header.time_ms", plan.header.time_ms, expected)


def find_applied(blockchain: Blockchain, plan: Plan) -> Hash32 | None:
    """Return the fork block's hash if this very plan was carried out; None if none was.

    Raises PlanRefused if another plan was, or is being, for the same fork_id.
    """
    digest = plan_hash(plan)
    pending = blockchain.store.kv.get(keys.FORK_ROW)
    if pending is not None:
        _same("plan hash", digest, plan_hash(decode_plan(pending)))
    key = keys.FORKS.key(plan.fork_id)
    data = blockchain.head.state.get_record(keys.FORKS.address(plan.fork_id), key)
    if data is None:
        _check_chain(plan, blockchain)
        return None
    fork = keys.FORKS.codec.decode(data)
    _same("plan hash", digest, fork.plan_hash)
    return blockchain.store.load_canonical(fork.height)


def _same(field: str, value: object, expected: object) -> None:
    if value != expected:
        raise PlanRefused(field, value, expected)
