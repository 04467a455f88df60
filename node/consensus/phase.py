"""How a node's driver is: what `perp_status` and `perpnode status` call phase and reason."""

from __future__ import annotations

from typing import NamedTuple, Protocol

from node.consensus.disputes import Disputes
from node.consensus.submissions import Submissions, Taken

OPEN = "open"
"""Blocks are made, or followed."""
LAGGING = "lagging"
"""Too many blocks wait for certificates: sealing pauses, and resumes by itself."""
STOPPED = "stopped"
"""Nothing is sealed, signed or followed any more, for the reason given; reads go on."""


class Phase(NamedTuple):
    """How the driver is, and why."""

    name: str
    reason: str
    """Empty while open."""


class Driver(Protocol):
    """What makes or follows blocks, as the core's status and its methods see it."""

    disputes: Disputes
    submissions: Submissions

    @property
    def is_sequencing(self) -> bool:
        """Whether it makes blocks: only then are transactions taken."""

    def phase(self) -> Phase:
        """Return how it is; from any thread."""

    def submit_action(self, data: bytes) -> Taken:
        """Take what the council signed; raises the Refusal against it, or ActionImpossible."""
