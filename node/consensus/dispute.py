"""Disputes: signed evidence that a validator recomputed something else than the sequencer sealed.

A dispute encloses the sequencer's own signature over the block, so a lie has an author; the one for
two blocks at a height encloses two, and proves itself. The others name the first field that
differs, with both values: whoever holds the block recomputes it and sees who is right.
"""

from __future__ import annotations

from typing import NamedTuple

from node.chain.certificate import proposal_bytes
from node.chain.domains import Identity, Kind, signed_bytes
from node.crypto import ed25519_sign, ed25519_verify
from node.encoding import codec_of
from node.errors import EncodingError, InvalidDispute
from node.governance.validators import ValidatorSet
from node.units import Hash32, Height

TEXT_MAX = 1_000
"""Characters of a value; what is longer is cut by who writes it and refused by who reads it."""


class Difference(NamedTuple):
    """What is wrong with a block."""

    field: str
    """"market 1, FundingAccrued.index_before", "state_root", "transactions[3]"."""
    was: str
    recomputed: str


class Dispute(NamedTuple):
    """A validator's evidence against a block."""

    fork_id: int
    dev_epoch: int
    height: Height
    block_hash: Hash32
    proposal_signature: bytes
    """The sequencer's, over this block."""
    field: str
    was: str
    recomputed: str
    other_hash: bytes
    """The other block of this height that the sequencer signed; empty in all other disputes."""
    other_signature: bytes
    validator: int
    """Its index in the set."""
    signature: bytes
    """The validator's, over all that stands before it."""

    def text(self) -> str:
        """Return the plain sentence for people.

        A before-value goes by its field's name: what the sequencer had there was already wrong.
        """
        field = self.field.removesuffix("_before")
        return f"block {self.height}, {field}: was {self.was}, recomputed {self.recomputed}"


def shorten(value: str) -> str:
    """Return the value, cut to TEXT_MAX characters."""
    return value if len(value) <= TEXT_MAX else value[: TEXT_MAX - 3] + "..."


def encode_dispute(dispute: Dispute) -> bytes:
    """Return the dispute's one form."""
    return codec_of(Dispute).encode(dispute)


def decode_dispute(data: bytes) -> Dispute:
    """Return the dispute; EncodingError if `data` is none."""
    return check_dispute(codec_of(Dispute).decode(data))


def check_dispute(dispute: Dispute) -> Dispute:
    """Return the dispute if its texts and numbers are within bounds; else EncodingError."""
    for name in ("field", "was", "recomputed"):
        length = len(getattr(dispute, name))
        if length > TEXT_MAX:
            raise EncodingError(f"Dispute.{name}: was {length} characters, at most {TEXT_MAX}")
    for name in ("fork_id", "dev_epoch", "height", "validator"):
        if not 0 <= getattr(dispute, name) < 2**32:
            raise EncodingError(f"Dispute.{name}: was {getattr(dispute, name)}, out of range")
    return dispute


def identity_of(dispute: Dispute, genesis_hash: Hash32, chain_id: int) -> Identity:
    """Return the branch that the dispute's signatures are for."""
    return Identity(genesis_hash, chain_id, dispute.fork_id, dispute.dev_epoch)


def sign_dispute(dispute: Dispute, identity: Identity, seed: bytes) -> Dispute:
    """Return the dispute signed; its `signature` so far does not matter."""
    return dispute._replace(signature=ed25519_sign(seed, _signed(dispute, identity)))


def verify_dispute(dispute: Dispute, identity: Identity, validators: ValidatorSet) -> None:
    """Raise InvalidDispute unless a member of the set and the sequencer signed what they must."""
    if not 0 <= dispute.validator < len(validators.members):
        raise _invalid(dispute, f"the set has {len(validators.members)} validators")
    member = validators.members[dispute.validator]
    if not ed25519_verify(member.public_key, dispute.signature, _signed(dispute, identity)):
        raise _invalid(dispute, "the validator did not sign it")
    proposed = proposal_bytes(identity, dispute.height, dispute.block_hash)
    if not ed25519_verify(validators.sequencer, dispute.proposal_signature, proposed):
        raise _invalid(dispute, "the sequencer did not sign the block")
    if dispute.other_hash:
        if dispute.other_hash == dispute.block_hash:
            raise _invalid(dispute, "both blocks are the same")
        other = proposal_bytes(identity, dispute.height, Hash32(dispute.other_hash))
        if not ed25519_verify(validators.sequencer, dispute.other_signature, other):
            raise _invalid(dispute, "the sequencer did not sign the other block")


def is_equivocation(dispute: Dispute) -> bool:
    """Tell whether a verified dispute shows two signed blocks at one height."""
    return bool(dispute.other_hash)


def _signed(dispute: Dispute, identity: Identity) -> bytes:
    # fork_id and dev_epoch stand in the identity; the signature itself is last and left out.
    return signed_bytes(Kind.DISPUTE, identity, *dispute[2:-1])


def _invalid(dispute: Dispute, reason: str) -> InvalidDispute:
    return InvalidDispute(dispute.height, dispute.validator, reason)
