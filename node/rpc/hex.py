"""Ethereum's JSON forms of numbers and bytes, both ways.

A quantity is "0x" and the shortest hexadecimal, zero is "0x0"; data is "0x" and two digits a byte.
The readers raise ValueError with geth's words; `node.rpc.parameters` says which argument it was.
"""

from typing import Final

from node.units import Address, Hash32

INT64_MAX: Final = 2**63 - 1
UINT64_MAX: Final = 2**64 - 1
INT256_MAX: Final = 2**256 - 1

quantity = hex
"""Render a non-negative integer."""


def data(value: bytes) -> str:
    """Render bytes, in lower case."""
    return "0x" + value.hex()


def parse_quantity(value: object, *, highest: int = INT256_MAX) -> int:
    """Read a quantity as geth does: a string, no leading zeros, not above `highest`."""
    if not isinstance(value, str):
        raise ValueError("cannot unmarshal non-string into a hex number")
    if not value.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    digits = value[2:]
    if not digits:
        raise ValueError('hex string "0x"')
    if digits[0] == "0" and len(digits) > 1:
        raise ValueError("hex number with leading zero digits")
    if len(digits) > 64:
        raise ValueError("hex number > 256 bits")
    if not digits.isascii() or not digits.isalnum():  # int takes signs, spaces, other scripts
        raise ValueError("invalid hex string")
    try:
        number = int(digits, 16)
    except ValueError:
        raise ValueError("invalid hex string") from None
    if number > highest:
        raise ValueError(f"hex number > {highest.bit_length()} bits")
    return number


def parse_data(value: object) -> bytes:
    """Read data of any length."""
    if not isinstance(value, str):
        raise ValueError("cannot unmarshal non-string into hex data")
    if not value.startswith(("0x", "0X")):
        raise ValueError("hex string without 0x prefix")
    if len(value) % 2:
        raise ValueError("hex string of odd length")
    try:
        result = bytes.fromhex(value[2:])
    except ValueError:
        raise ValueError("invalid hex string") from None
    if len(result) * 2 != len(value) - 2:  # fromhex skips spaces
        raise ValueError("invalid hex string")
    return result


def _parse_fixed(value: object, length: int, name: str) -> bytes:
    result = parse_data(value)
    if len(result) != length:
        raise ValueError(f"hex string has length {2 * len(result)}, want {2 * length} for {name}")
    return result


def parse_address(value: object) -> Address:
    """Read a 20-byte address in any case."""
    return Address(_parse_fixed(value, 20, "common.Address"))


def parse_hash(value: object) -> Hash32:
    """Read a 32-byte hash."""
    return Hash32(_parse_fixed(value, 32, "common.Hash"))


def parse_storage_key(value: object) -> Hash32:
    """Read a storage key: a full word, or a shorter number such as "0x0", left-padded."""
    if not isinstance(value, str):
        raise ValueError("cannot unmarshal non-string into a storage key")
    digits = value[2:] if value.startswith(("0x", "0X")) else value
    if len(digits) > 64:
        raise ValueError("storage key too long (want at most 32 bytes)")
    return Hash32(parse_data("0x" + digits.rjust(64, "0")))
