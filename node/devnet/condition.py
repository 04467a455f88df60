"""What the devnet's terminal says when the chain's condition changes, blocks or no blocks."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Self

OPEN = "open"


class Condition(NamedTuple):
    """What `perp_status` says of the node's driver and of those it is linked to."""

    phase: str = OPEN
    reason: str = ""
    peers: tuple[str, ...] = ()
    disputes: int = 0

    @classmethod
    def of(cls, status: Mapping[str, Any]) -> Self:
        """Return the condition that an answer of `perp_status` tells."""
        return cls(
            status["phase"], status["reason"], tuple(status["peers"]), int(status["disputes"])
        )


def describe_change(before: Condition, after: Condition) -> str:
    """Return one line about what has changed, empty if nothing has."""
    parts = []
    if (before.phase, before.reason) != (after.phase, after.reason):
        parts.append("open again" if after.phase == OPEN else f"{after.phase}: {after.reason}")
    for word, names in (
        ("linked", [name for name in after.peers if name not in before.peers]),
        ("lost", [name for name in before.peers if name not in after.peers]),
    ):
        if names:
            parts.append(f"{word}: {', '.join(names)}")
    if before.disputes != after.disputes:
        parts.append(f"disputes: {after.disputes}")
    return " ".join("; ".join(parts).split())
