"""Certificates and the domains of signatures: one form, and a quorum over the very block."""

import pytest

from node.chain.certificate import (
    Certificate,
    IndexedSignature,
    attestation_bytes,
    certificate_hash,
    decode_certificate,
    encode_certificate,
    proposal_bytes,
    verify_certificate,
)
from node.chain.domains import Identity, Kind, signed_bytes
from node.crypto import ed25519_public_key, ed25519_sign, keccak256
from node.errors import EncodingError, InvalidCertificate
from node.governance.validators import Validator, ValidatorSet
from node.units import Hash32, Height

GENESIS = keccak256(b"genesis")
IDENTITY = Identity(GENESIS, 20260119, 0, 0)
BLOCK = keccak256(b"block")
SEEDS = [bytes(keccak256(b"validator %d" % index)) for index in range(4)]
SET = ValidatorSet(b"\xaa" * 32, tuple(Validator(ed25519_public_key(seed), 1) for seed in SEEDS))


def certify(*signers: int, identity: Identity = IDENTITY, kind: Kind = Kind.ATTEST) -> Certificate:
    message = signed_bytes(kind, identity, 7, BLOCK)
    return Certificate(
        Height(7),
        BLOCK,
        tuple(IndexedSignature(each, ed25519_sign(SEEDS[each], message)) for each in signers),
    )


def test_the_signed_bytes_are_as_written_down() -> None:
    # "perpnode/1/" KIND 00, an array of six: two of 32 bytes, the others small integers.
    expected = (
        b"perpnode/1/ATTEST\x00\x96"
        + (b"\xc4\x20" + GENESIS)
        + b"\xce\x01\x35\x25\x17\x00\x01\x07"
        + (b"\xc4\x20" + BLOCK)
    )

    assert attestation_bytes(IDENTITY._replace(dev_epoch=1), Height(7), BLOCK) == expected


def test_no_two_kinds_and_no_two_branches_share_bytes() -> None:
    identities = [
        IDENTITY,
        IDENTITY._replace(genesis_hash=BLOCK),
        IDENTITY._replace(chain_id=1),
        IDENTITY._replace(fork_id=1),
        IDENTITY._replace(dev_epoch=1),
    ]

    messages = {signed_bytes(kind, each, 7, BLOCK) for kind in Kind for each in identities}

    assert len(messages) == len(Kind) * len(identities)


def test_three_of_four_prove_a_block() -> None:
    verify_certificate(certify(0, 1, 2), IDENTITY, SET)
    verify_certificate(certify(0, 1, 2, 3), IDENTITY, SET)


@pytest.mark.parametrize(
    ("certificate", "words"),
    [
        (certify(), "power: was 0, expected more than 2/3 of 4"),
        (certify(0, 3), "power: was 2, expected more than 2/3 of 4"),
        (certify(0, 1, 1), "validator index: was 1, expected more than 1"),
        (certify(2, 1, 0), "validator index: was 1, expected more than 2"),
        (certify(0, 1, 2, identity=IDENTITY._replace(fork_id=1)), "signature of validator 0"),
        (certify(0, 1, 2, kind=Kind.PROPOSAL), "signature of validator 0"),
        (certify(0, 1, 2)._replace(height=Height(8)), "signature of validator 0"),
        (certify(0, 1, 2)._replace(block_hash=GENESIS), "signature of validator 0"),
        (
            Certificate(Height(7), BLOCK, (IndexedSignature(4, bytes(64)),)),
            "validator index: was 4, expected less than 4",
        ),
        (
            Certificate(Height(7), BLOCK, (IndexedSignature(-1, bytes(64)),)),
            "validator index: was -1, expected more than -1",
        ),
    ],
)
def test_what_proves_nothing_is_refused_with_its_values(
    certificate: Certificate, words: str
) -> None:
    with pytest.raises(InvalidCertificate) as refusal:
        verify_certificate(certificate, IDENTITY, SET)

    assert str(refusal.value).startswith(f"certificate of block {certificate.height}, ")
    assert words in str(refusal.value)


def test_a_certificate_has_one_form() -> None:
    certificate = certify(0, 2, 3)
    encoded = encode_certificate(certificate)

    assert decode_certificate(encoded) == certificate
    assert certificate_hash(certificate) == keccak256(encoded)
    for wrong in (b"", encoded[:-1], encoded + b"\0", b"\x90"):
        with pytest.raises(EncodingError):
            decode_certificate(wrong)


def test_a_proposal_is_no_attestation() -> None:
    assert proposal_bytes(IDENTITY, Height(7), BLOCK) != attestation_bytes(
        IDENTITY, Height(7), Hash32(BLOCK)
    )
