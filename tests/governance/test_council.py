"""A council can decide, and two halves of it can't decide two things."""

import pytest

from node.errors import GenesisError
from node.governance.council import Council, validate_council
from node.units import Address


def members(*numbers: int) -> tuple[Address, ...]:
    return tuple(Address(number.to_bytes(20, "big")) for number in numbers)


@pytest.mark.parametrize(
    ("council", "is_valid"),
    [
        (Council(members(1), 1), True),
        (Council(members(1, 2), 1), False),
        (Council(members(1, 2), 2), True),
        (Council(members(1, 2, 3), 1), False),
        (Council(members(1, 2, 3), 2), True),
        (Council(members(1, 2, 3), 3), True),
        (Council(members(1, 2, 3), 4), False),
    ],
)
def test_threshold_is_more_than_half_and_at_most_all(council: Council, is_valid: bool) -> None:
    if is_valid:
        validate_council(council)
    else:
        with pytest.raises(GenesisError, match="threshold is"):
            validate_council(council)


@pytest.mark.parametrize(
    ("names", "text"),
    [
        ((), "members are 0"),
        (members(*range(101)), "members are 101"),
        (members(2, 1), "must be sorted and different"),
        (members(1, 1), "must be sorted and different"),
        ((Address(b"\x01"),), "must be an address of 20 bytes"),
    ],
)
def test_members_are_sorted_different_addresses(names: tuple[Address, ...], text: str) -> None:
    with pytest.raises(GenesisError, match=text):
        validate_council(Council(names, 1))
