"""A validator's snapshots: made in a thread of their own, at heights that all validators share.

Every `interval` blocks, and where the council halts the chain or a maintenance begins. The thread
gives way between slices and rests as long as it worked, so that an export never takes more than
half of one processor. What a crash interrupted is made when the node starts again: states are kept.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import structlog

from node.chain.block import Block
from node.chain.blockchain import Blockchain, Head
from node.chain.transition import decode_transition
from node.errors import MissingState, PerpnodeError
from node.governance.validators import find_validator
from node.perp.events import TRANSITION_KINDS, ModeChanged
from node.perp.status import CHAIN, ModeReason
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.export import ExportJob
from node.snapshot.manifest import Manifest
from node.snapshot.signatures import (
    SnapshotSignature,
    identity_of,
    signed_fields,
    snapshot_bytes,
)
from node.units import Height

log = structlog.get_logger()

INTERVAL = 100
"""Blocks between snapshots unless configured otherwise."""
REST_MIN_S = 0.002

Sign = Callable[[bytes], bytes]
"""Makes an Ed25519 signature over a message."""


class Signer:
    """A validator's key; its place is the snapshot's own set's to say."""

    def __init__(self, public_key: bytes, sign: Sign) -> None:
        self._public_key = public_key
        self._sign = sign

    def sign(self, manifest: Manifest) -> SnapshotSignature | None:
        """Sign a snapshot that this node made itself; None if it is none of its validators."""
        index = find_validator(manifest.validators, self._public_key)
        if index is None:
            return None
        fields = signed_fields(manifest)
        signature = self._sign(snapshot_bytes(identity_of(manifest), fields))
        return fields._replace(validator=index, signature=signature)


class Snapshotter:
    """Makes snapshots of the heads it is shown, from `start` to `stop`."""

    def __init__(
        self,
        blockchain: Blockchain,
        directory: SnapshotDirectory,
        signer: Signer | None,
        *,
        interval: int = INTERVAL,
        named: Callable[[], set[SnapshotId]] = set,
    ) -> None:
        self._blockchain = blockchain
        self._directory = directory
        self._signer = signer
        self._interval = interval
        self._named = named
        """Which snapshots forks name: they are kept."""
        self._queue: queue.SimpleQueue[Block | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._listeners: list[Callable[[Manifest, SnapshotSignature | None], None]] = []

    def on_snapshot(self, listener: Callable[[Manifest, SnapshotSignature | None], None]) -> None:
        """Call `listener` in the snapshot thread with each manifest and this node's signature."""
        self._listeners.append(listener)

    def start(self) -> None:
        """Begin, with the newest snapshot that is due and missing."""
        missed = self._find_missed()
        if missed is not None:
            self._queue.put(missed)
        self._thread.start()

    def stop(self) -> None:
        """End; a snapshot that is being made is dropped, and made at the next start."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join()

    def on_head(self, head: Head) -> None:
        """Have a snapshot made if one is due at this head; called by the committing thread."""
        if is_due(head.block, self._interval):
            self._queue.put(head.block)

    def request(self, block: Block) -> None:
        """Have a snapshot made of any block whose state is kept (on command)."""
        self._queue.put(block)

    def make(self, block: Block) -> Manifest | None:
        """Make and sign one snapshot now, giving way; None if the node is stopping."""
        job = ExportJob(self._blockchain, block, self._directory)
        began = time.perf_counter()
        for _ in job.run():
            worked = time.perf_counter() - began
            if self._stopping.wait(max(worked, REST_MIN_S)):
                return None
            began = time.perf_counter()
        manifest = job.manifest
        assert manifest is not None, "a run that ends has made a manifest"
        self._directory.prune(self._named())
        signature = None if self._signer is None else self._signer.sign(manifest)
        for listener in self._listeners:
            listener(manifest, signature)
        return manifest

    def _run(self) -> None:
        while (block := self._queue.get()) is not None:
            try:
                self.make(block)
            except (PerpnodeError, OSError) as failure:
                # The chain goes on without this snapshot; other validators may have theirs.
                log.error("snapshot failed", height=block.header.number, reason=str(failure))

    def _find_missed(self) -> Block | None:
        """Return the newest block of which a snapshot is due; making it twice changes nothing."""
        head = self._blockchain.head.block
        height = head.header.number
        due = Height(height - height % self._interval)
        block = self._blockchain.block_at(due) if due else None
        if is_due(head, self._interval):
            block = head
        if block is None:
            return None
        try:
            self._blockchain.states.at(block.header.state_root)
        except MissingState:
            return None
        return block


def is_due(block: Block, interval: int) -> bool:
    """Tell whether every validator makes a snapshot of this block: by height, or as the last one
    before the council closes the chain: at a halt, and where a maintenance begins.
    """
    if block.header.number == 0:
        return False
    return block.header.number % interval == 0 or _is_closing(block)


def _is_closing(block: Block) -> bool:
    events = (decode_transition(each) for each in block.transitions if each[0] == MODE_CHANGED)
    return any(
        isinstance(event, ModeChanged)
        and event.market == CHAIN
        and event.mode > event.mode_before
        and event.reason == ModeReason.GOVERNANCE
        for event in events
    )


MODE_CHANGED = TRANSITION_KINDS[ModeChanged]
"""The transition kind of ModeChanged."""
