"""Signatures, hashes and addresses against eth-account, eth-hash and published examples."""

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.datatypes import PrivateKey, Signature
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import (
    CURVE_ORDER,
    EMPTY_HASH,
    HALF_ORDER,
    address_of,
    checksum_address,
    ed25519_public_key,
    ed25519_sign,
    ed25519_verify,
    eip712_digest,
    keccak256,
    recover,
    sign,
)
from node.errors import InvalidSignature, KeyFileError
from node.units import Address

private_keys = st.integers(1, CURVE_ORDER - 1).map(lambda n: n.to_bytes(32, "big"))
digests = st.binary(min_size=32, max_size=32)

TRADER_KEY = bytes.fromhex("ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80")
TRADER = Address(bytes.fromhex("f39fd6e51aad88f6f4ce6ab8827279cfffb92266"))
"""The first account of the well-known development mnemonic."""


@given(st.binary(max_size=300))
def test_keccak256_agrees_with_eth_hash(data: bytes) -> None:
    assert keccak256(data) == keccak(data)


def test_empty_hash_is_the_code_hash_of_an_account_without_code() -> None:
    assert EMPTY_HASH.hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"


@given(digests, private_keys)
def test_a_signature_recovers_its_signer(digest: bytes, private_key: bytes) -> None:
    signature = sign(digest, private_key)

    assert recover(digest, *signature) == address_of(private_key)
    assert signature.s <= HALF_ORDER


@given(digests, private_keys)
def test_signing_is_rfc_6979_like_eth_keys(digest: bytes, private_key: bytes) -> None:
    expected = PrivateKey(private_key).sign_msg_hash(digest)

    signature = sign(digest, private_key)

    assert signature == (expected.r, expected.s, expected.v)


@given(private_keys)
def test_address_agrees_with_eth_account(private_key: bytes) -> None:
    assert checksum_address(address_of(private_key)) == Account.from_key(private_key).address


def test_address_of_the_first_development_account() -> None:
    assert address_of(TRADER_KEY) == TRADER


@pytest.mark.parametrize(
    "private_key",
    [b"", bytes(32), bytes(31), b"\x01" * 33, CURVE_ORDER.to_bytes(32, "big"), b"\xff" * 32],
)
def test_a_private_key_that_is_none_is_refused(private_key: bytes) -> None:
    with pytest.raises(KeyFileError, match=r"^a private key is 32 bytes, from 1 to"):
        address_of(private_key)
    with pytest.raises(KeyFileError):
        sign(bytes(32), private_key)


SIGNATURE = sign(keccak256(b"order"), TRADER_KEY)


@pytest.mark.parametrize(
    ("r", "s", "y_parity", "reason"),
    [
        (0, SIGNATURE.s, 0, "r is out of range"),
        (CURVE_ORDER, SIGNATURE.s, 0, "r is out of range"),
        (2**256, SIGNATURE.s, 0, "r is out of range"),
        (SIGNATURE.r, 0, 0, "s is out of range"),
        (SIGNATURE.r, CURVE_ORDER, 0, "s is out of range"),
        (SIGNATURE.r, HALF_ORDER + 1, 0, "s is in the upper half (EIP-2)"),
        (SIGNATURE.r, SIGNATURE.s, 2, "the parity is neither 0 nor 1"),
        (5, SIGNATURE.s, 0, "it recovers to no public key"),  # 5 is no x of the curve
    ],
)
def test_an_impossible_signature_is_refused(r: int, s: int, y_parity: int, reason: str) -> None:
    with pytest.raises(InvalidSignature) as refused:
        recover(keccak256(b"order"), r, s, y_parity)

    assert refused.value.reason == reason


def test_the_mirrored_signature_is_malleable_and_refused() -> None:
    r, s, y_parity = SIGNATURE
    digest = keccak256(b"order")
    mirrored = Signature(vrs=(1 - y_parity, r, CURVE_ORDER - s))
    assert mirrored.recover_public_key_from_msg_hash(digest).to_canonical_address() == TRADER

    with pytest.raises(InvalidSignature, match="EIP-2"):
        recover(digest, r, CURVE_ORDER - s, 1 - y_parity)


@given(digests, st.integers(0, 2**257), st.integers(0, 2**257), st.integers(0, 3))
def test_any_numbers_recover_or_raise_invalid_signature(
    digest: bytes, r: int, s: int, y_parity: int
) -> None:
    try:
        address = recover(digest, r, s, y_parity)
    except InvalidSignature:
        return

    public_key = Signature(vrs=(y_parity, r, s)).recover_public_key_from_msg_hash(digest)
    assert public_key.to_canonical_address() == address


@given(st.binary(min_size=20, max_size=20))
def test_checksum_address_is_eip_55(address: bytes) -> None:
    assert checksum_address(Address(address)) == to_checksum_address(address)


def test_eip712_digest_is_what_a_wallet_signs() -> None:
    message = encode_typed_data(
        {"name": "perpnode", "chainId": 20260119},
        {"Vote": [{"name": "id", "type": "uint64"}]},
        {"id": 7},
    )

    digest = eip712_digest(message.header, message.body)

    signed = Account.sign_message(message, TRADER_KEY)
    assert recover(digest, signed.r, signed.s, signed.v - 27) == TRADER


# --- Ed25519 --------------------------------------------------------------------------------------

RFC_8032 = [
    # RFC 8032, section 7.1, tests 1 and 2: seed, public key, message, signature
    (
        "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
    ),
    (
        "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
    ),
]


@pytest.mark.parametrize(("seed", "public", "message", "signature"), RFC_8032)
def test_ed25519_is_rfc_8032s(seed: str, public: str, message: str, signature: str) -> None:
    key, text, expected = bytes.fromhex(seed), bytes.fromhex(message), bytes.fromhex(signature)

    assert ed25519_public_key(key).hex() == public
    assert ed25519_sign(key, text) == expected
    assert ed25519_verify(bytes.fromhex(public), expected, text)


@given(st.integers(0, 511))
def test_an_altered_ed25519_signature_is_none(bit: int) -> None:
    seed, public, message, signature = (bytes.fromhex(each) for each in RFC_8032[1])
    altered = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")

    assert not ed25519_verify(public, altered, message)
    assert not ed25519_verify(public, signature, message + b"\0")
    assert not ed25519_verify(ed25519_public_key(seed[::-1]), signature, message)


@pytest.mark.parametrize("key", [b"", bytes(31), bytes(33), b"\xff" * 32])
def test_what_is_no_ed25519_key_verifies_nothing(key: bytes) -> None:
    assert not ed25519_verify(key, bytes(64), b"message")


@pytest.mark.parametrize("seed", [b"", bytes(31), bytes(33)])
def test_what_is_no_ed25519_seed_is_refused(seed: bytes) -> None:
    with pytest.raises(KeyFileError, match="32 bytes"):
        ed25519_public_key(seed)
