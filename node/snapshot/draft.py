"""Making a fork plan: from a snapshot that is certified, and the head that is to be left."""

from __future__ import annotations

from collections.abc import Sequence

from node.chain import keys
from node.chain.blockchain import Blockchain
from node.errors import OperatorError
from node.governance.audit import AuditEntry
from node.snapshot.export import read_single
from node.snapshot.fork import open_fork_ledger, process_fork
from node.snapshot.impact import compute_totals
from node.snapshot.manifest import Manifest, manifest_hash
from node.snapshot.plan import (
    FORK_ID_MAX,
    ForkHeader,
    OrphanTip,
    Plan,
    SnapshotReference,
    plan_hash,
)
from node.state.store import StateReader
from node.units import Height, TimeMs


def reference_of(manifest: Manifest) -> SnapshotReference:
    """Return what a plan says of a snapshot."""
    return SnapshotReference(
        manifest_hash(manifest),
        manifest.height,
        manifest.block_hash,
        manifest.state_root,
        manifest.time_ms,
    )


def make_plan(
    blockchain: Blockchain,
    snapshot: SnapshotReference,
    *,
    reason: str,
    time_ms: TimeMs,
    unrecorded: Sequence[AuditEntry] = (),
) -> Plan:
    """Return the plan that leaves the head and goes on from a snapshot of its own chain.

    `unrecorded` are the audit entries of what the council did and no block could carry: holds.

    `time_ms` becomes the fork block's time, or the first moment after the head's if that is later.
    Raises OperatorError if the snapshot is not of this chain; MissingState if its state is gone.
    """
    head = blockchain.head.block
    block = blockchain.block_at(snapshot.height)
    if block is None or block.hash != snapshot.block_hash:
        raise OperatorError(
            f"the snapshot is of block 0x{snapshot.block_hash.hex()}, which is not in "
            "this node's chain: choose a snapshot from `perpnode snapshot list`"
        )
    if block.hash == head.hash:
        raise OperatorError(
            f"the snapshot is of the head itself, block {snapshot.height}: there is nothing to "
            "undo; choose an older one from `perpnode snapshot list`"
        )
    fork_id = head.extension.fork_id + 1
    if fork_id > FORK_ID_MAX:
        raise OperatorError(f"fork {fork_id} would be beyond the last, {FORK_ID_MAX}")
    extension = block.extension
    draft = Plan(
        chain_id=blockchain.genesis.chain_id,
        genesis_hash=blockchain.genesis_hash,
        fork_id=fork_id,
        snapshot=snapshot,
        orphan_tip=OrphanTip(head.header.number, head.hash, head.extension.time_ms),
        header=ForkHeader(
            number=Height(snapshot.height + 1),
            parent_hash=block.hash,
            time_ms=TimeMs(max(time_ms, head.extension.time_ms + 1)),
            gas_limit=blockchain.genesis.gas_limit,
            base_fee_wei=blockchain.genesis.base_fee_wei,
            dev_epoch=extension.dev_epoch,
            certified_height=extension.certified_height,
            last_certificate_hash=extension.last_certificate_hash,
            effects_head=extension.effects_head,
        ),
        audit=(
            *_load_audit(blockchain, blockchain.states.at(block.header.state_root)),
            *unrecorded,
        ),
        reason=reason,
        totals={},
    )
    ledger = open_fork_ledger(blockchain.states.at(block.header.state_root), draft)
    process_fork(ledger, draft, plan_hash(draft))
    return draft._replace(totals=compute_totals(blockchain, block, ledger))


def _load_audit(blockchain: Blockchain, snapshot: StateReader) -> tuple[AuditEntry, ...]:
    """Return what the council did after the snapshot."""
    head = blockchain.head.state
    first = read_single(snapshot, keys.AUDIT_LOG).length
    entries = []
    for number in range(first, read_single(head, keys.AUDIT_LOG).length):
        place = keys.AUDIT_ENTRIES
        data = head.get_record(place.address(number), place.key(number))
        assert data is not None, "the log counts its entries"
        entries.append(place.codec.decode(data))
    return tuple(entries)
