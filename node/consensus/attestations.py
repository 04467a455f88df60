"""Gathering attestations: one by one until more than two thirds of the power signed a block."""

from __future__ import annotations

from node.chain.certificate import Certificate, IndexedSignature, attestation_bytes
from node.chain.domains import Identity
from node.consensus.messages import Attestation
from node.crypto import ed25519_verify
from node.errors import InvalidAttestation
from node.governance.validators import ValidatorSet, is_quorum
from node.units import Hash32, Height


class Attestations:
    """The signatures so far, by block; whoever holds it sees to one thread at a time."""

    def __init__(self) -> None:
        self._signatures: dict[tuple[Height, Hash32], dict[int, bytes]] = {}

    def add(
        self, attestation: Attestation, identity: Identity, validators: ValidatorSet
    ) -> Certificate | None:
        """Take an attestation; return the block's certificate when this one completes it.

        Raises InvalidAttestation unless a member of the set signed the block.
        """
        height, block_hash, index, signature = attestation
        if not 0 <= index < len(validators.members):
            reason = f"the set has {len(validators.members)} validators"
            raise InvalidAttestation(height, index, reason)
        signatures = self._signatures.setdefault((height, block_hash), {})
        if index in signatures:
            return None
        message = attestation_bytes(identity, height, block_hash)
        if not ed25519_verify(validators.members[index].public_key, signature, message):
            raise InvalidAttestation(height, index, "its signature is not over this block")
        before = self._power(signatures, validators)
        signatures[index] = signature
        if is_quorum(validators, before) or not is_quorum(
            validators, self._power(signatures, validators)
        ):
            return None
        signed = tuple(IndexedSignature(*each) for each in sorted(signatures.items()))
        return Certificate(height, block_hash, signed)

    def signers_after(self, height: Height) -> set[int]:
        """Return who signed any block after a height; any thread may ask."""
        return {
            i
            for key, signed in list(self._signatures.items())
            if key[0] > height
            for i in list(signed)
        }

    def forget(self, up_to: Height) -> None:
        """Drop what is gathered of blocks up to a height: they are certified."""
        for key in [key for key in self._signatures if key[0] <= up_to]:
            del self._signatures[key]

    def _power(self, signatures: dict[int, bytes], validators: ValidatorSet) -> int:
        return sum(validators.members[index].power for index in signatures)
