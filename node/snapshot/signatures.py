"""Who signed a snapshot, and whether that is more than two thirds of the power.

Every validator makes its own snapshot and signs the hash of its own manifest. Signatures of one
height and hash add up; at a quorum the snapshot is certified, and its block is `finalized`. They
are kept in the snapshots' directories, so that a restart forgets none: from a third of the power
on, or where this node made the same itself. Less may be liars alone, who fill no disk.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import structlog

from node.chain import keys
from node.chain.block import Header
from node.chain.blockchain import Blockchain
from node.chain.certificate import encode_certificate
from node.chain.domains import Identity, Kind, signed_bytes
from node.chain.genesis import Genesis
from node.crypto import ed25519_verify
from node.errors import InvalidSnapshot, MissingState
from node.governance.validators import ValidatorSet, is_quorum, total_power
from node.snapshot.directory import (
    SIGNATURES_FILE,
    Signatures,
    SnapshotDirectory,
    SnapshotId,
    load_signatures,
)
from node.snapshot.export import read_single
from node.snapshot.manifest import MANIFEST_FILE, Manifest, manifest_hash
from node.units import Hash32, Height

log = structlog.get_logger()

WAITING_MAX = 1_000
"""Signatures of blocks that this node has not yet; more are forgotten."""
LONE_MAX = 16
"""Of a validator's signatures for which less than a third of the power stands; more are passed
over until a snapshot is certified."""


class SnapshotSignature(NamedTuple):
    """A validator's word on a snapshot, field by field as peers send it."""

    height: Height
    block_hash: Hash32
    state_root: Hash32
    manifest_hash: Hash32
    validator: int
    """The validator's place in the set of the snapshot's state."""
    signature: bytes


def signed_fields(manifest: Manifest) -> SnapshotSignature:
    """Return what a validator says of a manifest, not yet signed."""
    return SnapshotSignature(
        manifest.height,
        manifest.block_hash,
        manifest.state_root,
        manifest_hash(manifest),
        validator=-1,
        signature=b"",
    )


def snapshot_bytes(identity: Identity, signed: SnapshotSignature) -> bytes:
    """Return what a validator signs: the first four fields."""
    return signed_bytes(Kind.SNAPSHOT, identity, *signed[:4])


def identity_of(manifest: Manifest) -> Identity:
    """Return the chain and branch that a manifest belongs to."""
    return Identity(manifest.genesis_hash, manifest.chain_id, manifest.fork_id, manifest.dev_epoch)


# --- one snapshot's signatures, as files ----------------------------------------------------------


class Signer(NamedTuple):
    """A validator of the set, and whether its signature is good."""

    validator: int
    public_key: bytes
    power: int
    state: str
    """"signed", "missing", or what is wrong."""


def list_signers(signatures: Signatures | None, manifest: Manifest) -> list[Signer]:
    """Return every validator of the manifest's set, and how it stands to the manifest."""
    by_validator = {} if signatures is None else signatures.by_validator
    signed = signed_fields(manifest)
    message = snapshot_bytes(identity_of(manifest), signed)
    if signatures is not None and signatures.manifest_hash != signed.manifest_hash:
        by_validator = {}
    signers = []
    for index, (public_key, power) in enumerate(manifest.validators.members):
        signature = by_validator.get(index)
        if signature is None:
            state = "missing"
        elif ed25519_verify(public_key, signature, message):
            state = "signed"
        else:
            state = "invalid signature"
        signers.append(Signer(index, public_key, power, state))
    return signers


def signed_power(signers: list[Signer]) -> int:
    """Return the power of those whose signature is good."""
    return sum(each.power for each in signers if each.state == "signed")


def require_quorum(
    signatures: Signatures | None, manifest: Manifest, validators: ValidatorSet
) -> None:
    """Raise InvalidSnapshot unless a quorum of this very set signed the manifest."""
    if manifest.validators != validators:
        raise InvalidSnapshot(MANIFEST_FILE, "validators", manifest.validators, validators)
    if not validators.members:
        return
    if signatures is not None and signatures.manifest_hash != manifest_hash(manifest):
        raise InvalidSnapshot(
            SIGNATURES_FILE, "manifest_hash", signatures.manifest_hash, manifest_hash(manifest)
        )
    power = signed_power(list_signers(signatures, manifest))
    if not is_quorum(validators, power):
        raise InvalidSnapshot(
            SIGNATURES_FILE, "power that signed", power, f"> 2/3 of {total_power(validators)}"
        )


def require_certified(path: Path, manifest: Manifest, genesis: Genesis) -> None:
    """Raise InvalidSnapshot unless the genesis validators certify the snapshot.

    A chain whose set has changed since needs somebody who followed it: join by replay instead.
    """
    signatures = load_signatures(path) if (path / SIGNATURES_FILE).exists() else None
    validators = ValidatorSet(genesis.sequencer, genesis.validators)
    require_quorum(signatures, manifest, validators)


# --- gathering ------------------------------------------------------------------------------------


class SnapshotCertifier:
    """Gathers signatures, keeps them on disk, and knows what is finalized."""

    def __init__(self, blockchain: Blockchain, directory: SnapshotDirectory) -> None:
        self._blockchain = blockchain
        self._directory = directory
        self._lock = Lock()
        self._by_snapshot: dict[tuple[SnapshotId, Hash32], dict[int, bytes]] = {}
        self._lone: set[tuple[SnapshotId, Hash32]] = set()
        """What less than a third of the power signed."""
        self._waiting: list[SnapshotSignature] = []
        self._certified: dict[SnapshotId, Hash32] = {}
        """Block hash of each certified snapshot."""
        self._listeners: list[Callable[[SnapshotId, Hash32], None]] = []
        self._on_signed: list[Callable[[SnapshotSignature], None]] = []
        for snapshot in directory.ids():
            self._load(snapshot)

    def on_certified(self, listener: Callable[[SnapshotId, Hash32], None]) -> None:
        """Call `listener` with every snapshot that becomes certified and its manifest hash."""
        self._listeners.append(listener)

    def on_signed(self, listener: Callable[[SnapshotSignature], None]) -> None:
        """Call `listener` with every signature that holds and is new."""
        self._on_signed.append(listener)

    @property
    def finalized(self) -> Height:
        """The highest block of the canonical chain that a certified snapshot covers; 0 at first.

        Without validators every block is (DESIGN section 6).
        """
        head = self._blockchain.head.block
        if not self._validators().members:
            return head.header.number
        with self._lock:
            certified = list(self._certified.items())
        heights = [
            snapshot.height
            for snapshot, block_hash in certified
            if snapshot.height <= head.header.number
            and self._blockchain.store.load_canonical(snapshot.height) == block_hash
        ]
        return max(heights, default=Height(0))

    def is_certified(self, snapshot: SnapshotId) -> bool:
        """Tell whether a quorum signed the snapshot."""
        return snapshot in self._certified

    def forget(self, snapshot: SnapshotId) -> None:
        """Know nothing any more of a snapshot whose block a development revert took out."""
        with self._lock:
            self._certified.pop(snapshot, None)
            for made in [each for each in self._by_snapshot if each[0] == snapshot]:
                del self._by_snapshot[made]
                self._lone.discard(made)

    def on_head(self) -> None:
        """Look again at signatures whose block this node had not; what does not hold is logged."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for signed in waiting:
            try:
                self.add(signed)
            except InvalidSnapshot as refusal:  # the block that came is good all the same
                log.warning("snapshot signature dropped", peer="earlier", reason=str(refusal))

    def add(self, signed: SnapshotSignature) -> bool:
        """Take a validator's signature; tell whether it certified the snapshot.

        One of a block that this node has not yet waits for it. Raises InvalidSnapshot for what is
        not its block's, by nobody of the set, or not signed by who it says.
        """
        found = self._blockchain.store.load_header(signed.block_hash)
        if found is None:
            with self._lock:
                self._waiting = [*self._waiting, signed][-WAITING_MAX:]
            return False
        header, extension = found
        if extension.dev_epoch < self._blockchain.next_epoch() and (
            self._blockchain.store.load_canonical(header.number) != signed.block_hash
        ):
            return False  # a development revert took the block out
        snapshot = SnapshotId(extension.fork_id, header.number)
        for field, value, expected in (
            ("height", signed.height, header.number),
            ("state root", signed.state_root, header.state_root),
        ):
            if value != expected:
                raise InvalidSnapshot(snapshot.name, field, value, expected)
        try:
            validators = self.validators_of(header)
        except MissingState:
            return False  # of a time that this node did not see: nobody can say who was to sign
        self._check(snapshot, extension.dev_epoch, signed, validators)
        with self._lock:
            made = (snapshot, signed.manifest_hash)
            known = self._by_snapshot.get(made, {})
            if signed.validator in known:
                return False  # who signs it in many ways is told on once
            known = known | {signed.validator: signed.signature}
            power = sum(validators.members[index].power for index in known)
            is_lone = 3 * power < total_power(validators)
            if is_lone and self._count_lone(signed.validator) >= LONE_MAX:
                return False  # whoever passed it on did nothing wrong
            self._by_snapshot[made] = known
            self._lone.discard(made)
            if is_lone:
                self._lone.add(made)
            self._save(snapshot, signed, known, is_lone=is_lone)
            is_new = snapshot not in self._certified and is_quorum(validators, power)
            if is_new:
                self._certified[snapshot] = signed.block_hash
                self._forget_lone(snapshot)
        for told in self._on_signed:
            told(signed)
        if is_new:
            for listener in self._listeners:
                listener(snapshot, signed.manifest_hash)
        return is_new

    def validators_of(self, header: Header) -> ValidatorSet:
        """Return who certifies the snapshot of a block: the set in its state; or MissingState."""
        return read_single(self._blockchain.states.at(header.state_root), keys.VALIDATORS)

    def _check(
        self,
        snapshot: SnapshotId,
        dev_epoch: int,
        signed: SnapshotSignature,
        validators: ValidatorSet,
    ) -> None:
        """Raise InvalidSnapshot unless a member of the set signed."""
        if not 0 <= signed.validator < len(validators.members):
            expected = f"less than {len(validators.members)}"
            raise InvalidSnapshot(snapshot.name, "validator", signed.validator, expected)
        genesis_hash, chain_id = self._blockchain.genesis_hash, self._blockchain.genesis.chain_id
        identity = Identity(genesis_hash, chain_id, snapshot.fork_id, dev_epoch)
        public_key = validators.members[signed.validator].public_key
        if not ed25519_verify(public_key, signed.signature, snapshot_bytes(identity, signed)):
            field = f"signature of validator {signed.validator}"
            raise InvalidSnapshot(snapshot.name, field, signed.signature, "one over this snapshot")

    def _validators(self) -> ValidatorSet:
        return read_single(self._blockchain.head.state, keys.VALIDATORS)

    def _count_lone(self, validator: int) -> int:
        return sum(validator in self._by_snapshot[each] for each in self._lone)

    def _forget_lone(self, newest: SnapshotId) -> None:
        """Forget what few signed of a certified snapshot and those before it."""
        for made in [each for each in self._lone if each[0] <= newest]:
            self._lone.remove(made)
            del self._by_snapshot[made]

    def _save(
        self,
        snapshot: SnapshotId,
        signed: SnapshotSignature,
        known: dict[int, bytes],
        *,
        is_lone: bool,
    ) -> None:
        """Write who signed; a rival manifest's signatures give way only to this node's own."""
        before = self._directory.signatures(snapshot)
        is_rival = before is not None and before.manifest_hash != signed.manifest_hash
        if is_lone or is_rival:
            own = self._directory.manifest(snapshot)
            if own is None or manifest_hash(own) != signed.manifest_hash:
                return
        certificate = self._blockchain.store.load_certificate(signed.block_hash)
        self._directory.save_signatures(
            snapshot,
            Signatures(
                signed.block_hash,
                signed.state_root,
                signed.manifest_hash,
                dict(known),
                b"" if certificate is None else encode_certificate(certificate),
            ),
        )

    def _load(self, snapshot: SnapshotId) -> None:
        """Take the signatures on disk as if they had come anew."""
        stored = self._directory.signatures(snapshot)
        if stored is None:
            return
        for index, signature in sorted(stored.by_validator.items()):
            self.add(
                SnapshotSignature(
                    snapshot.height,
                    stored.block_hash,
                    stored.state_root,
                    stored.manifest_hash,
                    index,
                    signature,
                )
            )
