"""keccak-256, secp256k1 signatures, EIP-712 digests and addresses; Ed25519 for nodes.

libsecp256k1 is called through coincurve's cffi layer: it releases the interpreter lock, so that
recovering many senders in threads uses all cores (30 to 36 us each on one).
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from coincurve._libsecp256k1 import ffi, lib
from coincurve.context import GLOBAL_CONTEXT
from sha3 import keccak_256

from node.errors import InvalidSignature, KeyFileError
from node.units import Address, Hash32

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (
        Ed25519PrivateKey,
        Ed25519PublicKey,
    )

CURVE_ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HALF_ORDER = CURVE_ORDER // 2

_CONTEXT = GLOBAL_CONTEXT.ctx
_UNCOMPRESSED = lib.SECP256K1_EC_UNCOMPRESSED


def keccak256(data: bytes) -> Hash32:
    """Return Ethereum's hash of `data`."""
    return Hash32(keccak_256(data).digest())


EMPTY_HASH = keccak256(b"")
"""The code hash of an account without code."""


class Signature(NamedTuple):
    """A recoverable secp256k1 signature with low s (EIP-2)."""

    r: int
    s: int
    y_parity: int
    """0 or 1."""


def recover(digest: bytes, r: int, s: int, y_parity: int) -> Address:
    """Return the address that signed the 32-byte digest; InvalidSignature if nobody could have.

    Refuses r and s outside of [1, curve order) and, as EIP-2 does, s in the upper half.
    """
    assert len(digest) == 32, f"a digest has 32 bytes, not {len(digest)}"
    if not 0 < r < CURVE_ORDER:
        raise InvalidSignature("r is out of range")
    if not 0 < s < CURVE_ORDER:
        raise InvalidSignature("s is out of range")
    if s > HALF_ORDER:
        raise InvalidSignature("s is in the upper half (EIP-2)")
    if y_parity not in (0, 1):
        raise InvalidSignature("the parity is neither 0 nor 1")
    compact = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    public_key = ffi.new("secp256k1_pubkey *")
    parsed = lib.secp256k1_ecdsa_recoverable_signature_parse_compact(
        _CONTEXT, signature, compact, y_parity
    )
    if not parsed or not lib.secp256k1_ecdsa_recover(_CONTEXT, public_key, signature, digest):
        raise InvalidSignature("it recovers to no public key")
    return _address_of_point(public_key)


def sign(digest: bytes, private_key: bytes) -> Signature:
    """Sign a 32-byte digest deterministically (RFC 6979), with low s."""
    assert len(digest) == 32, f"a digest has 32 bytes, not {len(digest)}"
    _check_private_key(private_key)
    signature = ffi.new("secp256k1_ecdsa_recoverable_signature *")
    compact = ffi.new("unsigned char[64]")
    y_parity = ffi.new("int *")
    lib.secp256k1_ecdsa_sign_recoverable(
        _CONTEXT, signature, digest, private_key, ffi.NULL, ffi.NULL
    )
    lib.secp256k1_ecdsa_recoverable_signature_serialize_compact(
        _CONTEXT, compact, y_parity, signature
    )
    r_and_s = bytes(ffi.buffer(compact, 64))
    return Signature(
        int.from_bytes(r_and_s[:32], "big"), int.from_bytes(r_and_s[32:], "big"), y_parity[0]
    )


def address_of(private_key: bytes) -> Address:
    """Return the address of a private key; KeyFileError if it is none."""
    _check_private_key(private_key)
    public_key = ffi.new("secp256k1_pubkey *")
    lib.secp256k1_ec_pubkey_create(_CONTEXT, public_key, private_key)
    return _address_of_point(public_key)


def eip712_digest(domain_separator: bytes, struct_hash: bytes) -> Hash32:
    """Return what a wallet signs for typed data: keccak256(0x1901 ‖ domain ‖ struct)."""
    return keccak256(b"\x19\x01" + domain_separator + struct_hash)


def checksum_address(address: Address) -> str:
    """Return the address in hex with the mixed case of EIP-55."""
    digits = address.hex()
    mask = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if level >= "8" else digit for digit, level in zip(digits, mask, strict=False)
    )


# --- Ed25519 (RFC 8032), with which nodes sign; 20 us to sign, 64 to verify --------------------

ED25519_KEY_SIZE = 32
"""Of seeds and of public keys."""
ED25519_SIGNATURE_SIZE = 64


def ed25519_public_key(seed: bytes) -> bytes:
    """Return the public key of a 32-byte seed; KeyFileError if it is none."""
    return _private_key(seed).public_key().public_bytes_raw()


def ed25519_sign(seed: bytes, message: bytes) -> bytes:
    """Sign a message, deterministically; KeyFileError if the seed is none."""
    return _private_key(seed).sign(message)


def ed25519_verify(public_key: bytes, signature: bytes, message: bytes) -> bool:
    """Tell whether the key's owner signed the message; False for whatever is no key."""
    from cryptography.exceptions import InvalidSignature as Invalid

    if len(public_key) != ED25519_KEY_SIZE or len(signature) != ED25519_SIGNATURE_SIZE:
        return False
    try:
        _public_key(public_key).verify(signature, message)
    except Invalid:
        return False
    return True


# The library is loaded with the first key: a chain without validators needs none of it.


@lru_cache(maxsize=8)
def _private_key(seed: bytes) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    if len(seed) != ED25519_KEY_SIZE:
        raise KeyFileError(f"an Ed25519 seed is 32 bytes, not {len(seed)}")
    return Ed25519PrivateKey.from_private_bytes(seed)


@lru_cache(maxsize=512)
def _public_key(public_key: bytes) -> Ed25519PublicKey:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    return Ed25519PublicKey.from_public_bytes(public_key)


def _check_private_key(private_key: bytes) -> None:
    if len(private_key) != 32 or not 0 < int.from_bytes(private_key, "big") < CURVE_ORDER:
        raise KeyFileError("a private key is 32 bytes, from 1 to the order of secp256k1 minus 1")


def _address_of_point(public_key: object) -> Address:
    output = ffi.new("unsigned char[65]")
    length = ffi.new("size_t *", 65)
    lib.secp256k1_ec_pubkey_serialize(_CONTEXT, output, length, public_key, _UNCOMPRESSED)
    return Address(keccak256(ffi.buffer(output, 65)[1:])[12:])
