"""Certificates: proof that more than two thirds of the validators' power recomputed a block.

A certificate covers its block and every block below it. Block H is certified by the set in the
state before it, so that whoever trusts a set can follow the chain to the next one.
"""

from typing import NamedTuple

from node.chain.domains import Identity, Kind, signed_bytes
from node.crypto import ed25519_verify, keccak256
from node.encoding import codec_of
from node.errors import InvalidCertificate
from node.governance.validators import ValidatorSet, is_quorum, total_power
from node.units import Hash32, Height


class IndexedSignature(NamedTuple):
    """A validator's ATTEST signature over a block."""

    validator: int
    """The validator's place in the set."""
    signature: bytes


class Certificate(NamedTuple):
    """Attestations of one block that make a quorum."""

    height: Height
    block_hash: Hash32
    signatures: tuple[IndexedSignature, ...]
    """Ascending by validator."""


def encode_certificate(certificate: Certificate) -> bytes:
    """Return the certificate's one form."""
    return codec_of(Certificate).encode(certificate)


def decode_certificate(data: bytes) -> Certificate:
    """Return the certificate; EncodingError if `data` is none."""
    return codec_of(Certificate).decode(data)


def certificate_hash(certificate: Certificate) -> Hash32:
    """Return what a later block names the certificate by: keccak256 of its one form."""
    return keccak256(encode_certificate(certificate))


def attestation_bytes(identity: Identity, height: Height, block_hash: Hash32) -> bytes:
    """Return what a validator signs to attest a block."""
    return signed_bytes(Kind.ATTEST, identity, height, block_hash)


def proposal_bytes(identity: Identity, height: Height, block_hash: Hash32) -> bytes:
    """Return what the sequencer signs to propose a block."""
    return signed_bytes(Kind.PROPOSAL, identity, height, block_hash)


def verify_certificate(
    certificate: Certificate, identity: Identity, validators: ValidatorSet
) -> None:
    """Raise InvalidCertificate unless members with a quorum of power signed the block."""
    height, block_hash, signatures = certificate
    message = attestation_bytes(identity, height, block_hash)
    power, last = 0, -1
    for index, signature in signatures:
        if index <= last:
            raise InvalidCertificate(height, "validator index", index, f"more than {last}")
        if index >= len(validators.members):
            raise InvalidCertificate(
                height, "validator index", index, f"less than {len(validators.members)}"
            )
        member = validators.members[index]
        if not ed25519_verify(member.public_key, signature, message):
            raise InvalidCertificate(
                height, f"signature of validator {index}", signature, "one over this block"
            )
        power, last = power + member.power, index
    if not is_quorum(validators, power):
        raise InvalidCertificate(
            height, "power", power, f"more than 2/3 of {total_power(validators)}"
        )
