"""What a revert says: the name and values of an ABI error, in words."""

from collections.abc import Mapping
from typing import Final

from node.system.contracts import CONTRACTS, ErrorAbi

_ERRORS: Final[Mapping[bytes, ErrorAbi]] = {
    error.selector: error for contract in CONTRACTS.values() for error in contract.errors.values()
}


def describe_revert(output: bytes) -> str | None:
    """Return "InsufficientMargin(0x…, -5, 100)", None for an error that no contract declares."""
    error = _ERRORS.get(output[:4])
    if error is None:
        return None
    try:
        values = error.fields.decode(output, 4)
    except ValueError:
        return error.name
    return f"{error.name}({', '.join(map(_show, values))})"


def _show(value: object) -> str:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return str(value).lower() if isinstance(value, bool) else str(value)
