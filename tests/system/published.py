"""What several tests ask of the published ABI: names, values of a type, all refusals."""

from typing import Any

from hypothesis import strategies as st

from node import errors
from node.errors import Refusal

REFUSALS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, Refusal) and each is not Refusal
]

"""Every error that a call may revert with."""


def camel_case(name: str) -> str:
    """Return a field's name as Solidity writes it; a keyword's underscore goes."""
    first, *others = name.rstrip("_").split("_")
    return first + "".join(map(str.capitalize, others))


def values_of(name: str) -> st.SearchStrategy[Any]:
    """Return values of an elementary type, small ones as often as extreme ones."""
    if name == "address":
        return st.binary(min_size=20, max_size=20)
    if name == "bool":
        return st.booleans()
    if name == "string":
        return st.text(max_size=70)
    if name == "bytes":
        return st.binary(max_size=70)
    if name.startswith("bytes"):
        size = int(name[5:])
        return st.binary(min_size=size, max_size=size)
    bits = int(name.lstrip("uint"))
    lowest, highest = (
        (0, 2**bits - 1) if name[0] == "u" else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    )
    return st.integers(max(lowest, -9), 9) | st.integers(lowest, highest)
