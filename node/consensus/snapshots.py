"""A node's snapshots as its peers see them: who signed which, passed on, and what is finalized.

Validators make them and sign; the sequencer gathers the signatures and hands them round, so that
every node knows what is certified. Threads: signatures come from any; heads from whoever commits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from node.chain.block import Block
from node.chain.blockchain import Blockchain, Head
from node.consensus.messages import Message, SnapshotRequest
from node.consensus.messages import SnapshotSignature as SnapshotMessage
from node.errors import InvalidSnapshot, MissingState, OperatorError
from node.governance.validators import total_power
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.fork import named_snapshots
from node.snapshot.manifest import Manifest, manifest_hash
from node.snapshot.plan import SnapshotReference
from node.snapshot.signatures import SnapshotCertifier, SnapshotSignature
from node.snapshot.snapshotter import Snapshotter
from node.units import Hash32

log = structlog.get_logger()

TOLD = 3
"""Of how many snapshots, the newest, a new peer is told who signed; forks' own besides."""


class SnapshotInfo(NamedTuple):
    """A snapshot that this node made, or knows signatures of."""

    id: SnapshotId
    reference: SnapshotReference
    signers: tuple[int, ...]
    power: int
    total_power: int
    is_certified: bool
    is_canonical: bool
    """Whether its block is of the chain that goes on."""
    is_here: bool
    """Whether this node has its chunks, not signatures alone."""


class Snapshots:
    """The snapshots of one node."""

    def __init__(
        self,
        blockchain: Blockchain,
        directory: SnapshotDirectory,
        snapshotter: Snapshotter | None = None,
    ) -> None:
        """Take the parts; only who makes snapshots has a snapshotter."""
        self._blockchain = blockchain
        self.directory = directory
        self._snapshotter = snapshotter
        self._certifier = SnapshotCertifier(blockchain, directory)
        self._listeners: list[Callable[[Message], None]] = []
        self._certifier.on_certified(self._on_certified)
        self._certifier.on_signed(lambda signed: self._tell(SnapshotMessage(*signed)))
        if snapshotter is not None:
            snapshotter.on_snapshot(self._on_made)
        blockchain.on_head(self._on_head)
        blockchain.on_reverted(self._on_reverted)
        self._raise_finalized()

    def start(self) -> None:
        """Begin to make snapshots, if this node does."""
        if self._snapshotter is not None:
            self._snapshotter.start()

    def stop(self) -> None:
        """End."""
        if self._snapshotter is not None:
            self._snapshotter.stop()

    def on_told(self, listener: Callable[[Message], None]) -> None:
        """Call `listener` with what peers should hear, in whichever thread has it."""
        self._listeners.append(listener)

    def on_signature(self, peer: str, message: SnapshotMessage) -> None:
        """Take a validator's signature and tell a new one on; what does not hold is logged."""
        try:
            self._certifier.add(SnapshotSignature(*message))
        except InvalidSnapshot as refusal:
            log.warning("snapshot signature dropped", peer=peer, reason=str(refusal))

    def request(self, block: Block) -> None:
        """Have a snapshot of a block made: here, or by those who make them."""
        if self._snapshotter is not None:
            self._snapshotter.request(block)
        self._tell(SnapshotRequest(block.header.number, block.hash))

    def on_request(self, message: SnapshotRequest) -> None:
        """Make a snapshot that the sequencer asks for, if the block is here."""
        block = self._blockchain.store.load_block(message.block_hash)
        if self._snapshotter is not None and block is not None:
            self._snapshotter.request(block)

    def greeting(self) -> list[Message]:
        """Return what a new peer should hear: signatures of the newest, and of what forks name."""
        ids = self.directory.ids()
        named = named_snapshots(self._blockchain)
        wanted = [each for each in ids if each in named or each in ids[-TOLD:]]
        messages: list[Message] = []
        for snapshot in wanted:
            found = self.directory.signatures(snapshot)
            if found is None:
                continue
            messages += [
                SnapshotMessage(
                    snapshot.height,
                    found.block_hash,
                    found.state_root,
                    found.manifest_hash,
                    index,
                    signature,
                )
                for index, signature in sorted(found.by_validator.items())
            ]
        return messages

    def list(self) -> list[SnapshotInfo]:
        """Return what there is, oldest first."""
        found = (self._find(snapshot) for snapshot in self.directory.ids())
        return [each for each in found if each is not None]

    def choose(self, name: str) -> SnapshotInfo:
        """Return a snapshot by name, or the newest certified one below the head by "latest".

        Raises OperatorError if there is none.
        """
        head = self._blockchain.head.block.header.number
        found = self.list()
        if name != "latest":
            for each in found:
                if each.id.name == name:
                    return each
            names = ", ".join(each.id.name for each in found) or "none"
            raise OperatorError(f"there is no snapshot {name}: there are {names}")
        for each in reversed(found):
            if each.is_certified and each.is_canonical and each.id.height < head:
                return each
        raise OperatorError(
            "no certified snapshot lies below the head: more than 2/3 of the validators' power "
            "must sign one first"
        )

    # --- within ----------------------------------------------------------------------------------

    def _find(self, snapshot: SnapshotId) -> SnapshotInfo | None:
        blockchain, directory = self._blockchain, self.directory
        signatures, manifest = directory.signatures(snapshot), directory.manifest(snapshot)
        block_hash = manifest.block_hash if manifest else signatures and signatures.block_hash
        block = None if block_hash is None else blockchain.store.load_header(block_hash)
        if block_hash is None or block is None:
            return None
        digest = Hash32(b"") if signatures is None else signatures.manifest_hash
        digest = digest if manifest is None else manifest_hash(manifest)
        try:
            validators = self._certifier.validators_of(block[0])
        except MissingState:
            validators = blockchain.next_validators() if manifest is None else manifest.validators
        members = validators.members
        signers: tuple[int, ...] = ()
        if signatures is not None and signatures.manifest_hash == digest:
            signers = tuple(sorted(signatures.by_validator))
        return SnapshotInfo(
            snapshot,
            SnapshotReference(
                digest, snapshot.height, block_hash, block[0].state_root, block[1].time_ms
            ),
            signers,
            sum(members[index].power for index in signers if index < len(members)),
            total_power(validators),
            not members or self._certifier.is_certified(snapshot),
            blockchain.store.load_canonical(snapshot.height) == block_hash,
            manifest is not None,
        )

    def _on_made(self, _manifest: Manifest, signature: SnapshotSignature | None) -> None:
        if signature is not None:
            self._certifier.add(signature)

    def _on_head(self, head: Head) -> None:
        self._certifier.on_head()
        if self._snapshotter is not None:
            self._snapshotter.on_head(head)

    def _on_reverted(self, left: Sequence[Block]) -> None:
        """Delete the snapshots of blocks that are of no branch any more."""
        gone = {SnapshotId(each.extension.fork_id, each.header.number) for each in left}
        for snapshot in gone.intersection(self.directory.ids()):
            self._certifier.forget(snapshot)
            self.directory.remove(snapshot)
        self._raise_finalized()

    def _on_certified(self, snapshot: SnapshotId, digest: Hash32) -> None:
        log.info("snapshot certified", snapshot=snapshot.name, manifest=f"0x{digest.hex()}")
        self._raise_finalized()
        if self._snapshotter is None:
            self.directory.prune(named_snapshots(self._blockchain))

    def _raise_finalized(self) -> None:
        blockchain = self._blockchain
        height = self._certifier.finalized
        if blockchain.next_validators().members and height > blockchain.finalized.header.number:
            block = blockchain.block_at(height)
            assert block is not None, "what is certified is a block of this chain"
            blockchain.finalize(block)

    def _tell(self, message: Message) -> None:
        for listener in self._listeners:
            listener(message)
