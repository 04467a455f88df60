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
    """Return values of a type, small integers as often as extreme ones."""
    if name.endswith("[]"):
        return st.lists(values_of(name[:-2]), max_size=3)
    if name.startswith("("):
        return st.tuples(*map(values_of, split_types(name[1:-1])))
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


def split_types(names: str) -> list[str]:
    """Return the types of a list such as "uint8,(bool,bytes)[],string"."""
    found, depth = [""], 0
    for letter in names:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return found if names else []
