"""Refusals as the ABI errors that a reverted call, or a failed action of a batch, returns."""

from collections.abc import Mapping
from dataclasses import fields

from node.errors import Refusal
from node.system.contracts import CONTRACTS, ErrorAbi

_ERRORS: Mapping[str, ErrorAbi] = {
    name: error for contract in CONTRACTS.values() for name, error in contract.errors.items()
}
"""By name: where several contracts declare one, it is the same."""


def encode_refusal(refusal: Refusal) -> bytes:
    """Return the ABI error of the refusal's name, as a reverted call returns it.

    An integer beyond its type's range (a huge amount plus what is needed anyway) is shown as the
    nearest one in it: a refusal must never fail. Its traceback is let go: whoever raised it may
    have it in a variable, and such a circle keeps the ledger until somebody looks for cycles.
    """
    refusal.with_traceback(None)
    error = _ERRORS[type(refusal).__name__]
    values = [getattr(refusal, field.name) for field in fields(refusal)]
    return error.selector + error.fields.encode(error.fields.clamp(values))
