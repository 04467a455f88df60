"""The council: the addresses that govern together, and how many of them it takes."""

from itertools import pairwise
from typing import NamedTuple

from node.errors import GenesisError
from node.units import Address

MEMBERS_MAX = 100


class Council(NamedTuple):
    """Who governs; one record."""

    members: tuple[Address, ...]
    """Sorted, different."""
    threshold: int
    """How many members must agree: more than half, at most all."""


class CouncilChanged(NamedTuple):
    """Others govern, from the next block on."""

    members: tuple[Address, ...]
    threshold: int


def validate_council(council: Council) -> None:
    """Raise GenesisError naming the field and its value unless the council can decide.

    Two disjoint groups must not be able to decide opposite things: the threshold is a majority.
    """
    members = council.members
    if not 1 <= len(members) <= MEMBERS_MAX:
        raise GenesisError(f"council: members are {len(members)}, must be 1 to {MEMBERS_MAX}")
    for member in members:
        if len(member) != 20:
            raise GenesisError(
                f"council: member is 0x{member.hex()}, must be an address of 20 bytes"
            )
    for before, member in pairwise(members):
        if member <= before:
            raise GenesisError(
                f"council: member 0x{member.hex()} follows 0x{before.hex()}, "
                "members must be sorted and different"
            )
    if not len(members) < 2 * council.threshold <= 2 * len(members):
        raise GenesisError(
            f"council: threshold is {council.threshold}, must be more than half of "
            f"{len(members)} members and at most all"
        )
