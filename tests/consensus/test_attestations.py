"""Gathering signatures: one certificate, when the quorum is reached, of whoever had signed."""

import pytest

from node.chain.certificate import attestation_bytes, verify_certificate
from node.chain.domains import Identity
from node.consensus.attestations import Attestations
from node.consensus.messages import Attestation
from node.crypto import ed25519_public_key, ed25519_sign, keccak256
from node.errors import InvalidAttestation
from node.governance.validators import Validator, ValidatorSet
from node.units import Hash32, Height
from tests.consensus.network import validator_seed

IDENTITY = Identity(keccak256(b"genesis"), 5, 0, 0)
A, B = keccak256(b"a"), keccak256(b"b")


def validators(*powers: int) -> ValidatorSet:
    return ValidatorSet(
        b"\xaa" * 32,
        tuple(
            Validator(ed25519_public_key(validator_seed(index)), power)
            for index, power in enumerate(powers)
        ),
    )


def attest(index: int, block_hash: Hash32 = A, height: int = 3) -> Attestation:
    message = attestation_bytes(IDENTITY, Height(height), block_hash)
    return Attestation(
        Height(height), block_hash, index, ed25519_sign(validator_seed(index), message)
    )


def test_the_third_of_four_completes_the_certificate() -> None:
    members, gathered = validators(1, 1, 1, 1), Attestations()
    assert gathered.add(attest(3), IDENTITY, members) is None
    assert gathered.add(attest(0), IDENTITY, members) is None

    certificate = gathered.add(attest(1), IDENTITY, members)

    assert certificate is not None
    assert [each.validator for each in certificate.signatures] == [0, 1, 3]
    verify_certificate(certificate, IDENTITY, members)
    assert gathered.add(attest(2), IDENTITY, members) is None


def test_power_counts_not_heads() -> None:
    members, gathered = validators(1, 1, 1, 7), Attestations()

    assert gathered.add(attest(3), IDENTITY, members) is not None


def test_the_same_signature_counts_once() -> None:
    members, gathered = validators(1, 1, 1, 1), Attestations()

    assert [gathered.add(attest(0), IDENTITY, members) for _ in range(3)] == [None] * 3


def test_two_blocks_of_a_height_do_not_add_up() -> None:
    members, gathered = validators(1, 1, 1, 1), Attestations()

    for each in (attest(0, A), attest(1, A), attest(2, B), attest(3, B)):
        assert gathered.add(each, IDENTITY, members) is None


@pytest.mark.parametrize(
    "wrong",
    [
        attest(0)._replace(validator=1),
        attest(0)._replace(block_hash=B),
        attest(0)._replace(height=Height(4)),
        attest(0)._replace(signature=bytes(64)),
        attest(0)._replace(validator=4),
    ],
)
def test_a_signature_that_does_not_hold_is_refused(wrong: Attestation) -> None:
    members, gathered = validators(1, 1, 1, 1), Attestations()
    with pytest.raises(InvalidAttestation):
        gathered.add(wrong, IDENTITY, members)

    for index in (0, 1):
        assert gathered.add(attest(index), IDENTITY, members) is None
    assert gathered.add(attest(2), IDENTITY, members) is not None


def test_what_is_certified_is_forgotten() -> None:
    members, gathered = validators(1, 1, 1, 1), Attestations()
    for index in (0, 1):
        gathered.add(attest(index), IDENTITY, members)

    gathered.forget(Height(3))

    assert gathered.add(attest(2), IDENTITY, members) is None
