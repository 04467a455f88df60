"""How a node's driver is: what `perp_status` and `perpnode status` call phase and reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from node.consensus.disputes import Disputes
from node.consensus.submissions import Submissions, Taken

if TYPE_CHECKING:
    from node.consensus.recovery import Carried, Recovery
    from node.consensus.snapshots import Snapshots

OPEN = "open"
"""Blocks are made, or followed."""
SYNCING = "syncing"
"""A node that follows is behind: blocks that it knows of are on their way."""
LAGGING = "lagging"
"""Too many blocks wait for certificates: sealing pauses, and resumes by itself."""
WITHHOLDING = "withholding"
"""A validator follows, and signs nothing until the council's action is in a block."""
FORKING = "forking"
"""A fork is carried out: the old head is served until the new branch is beyond it."""
STOPPED = "stopped"
"""Nothing is sealed, signed or followed any more, for the reason given; reads go on."""

PHASES = (OPEN, SYNCING, LAGGING, WITHHOLDING, FORKING, STOPPED)


class Phase(NamedTuple):
    """How the driver is, and why."""

    name: str
    reason: str
    """Empty while open."""


class Driver(Protocol):
    """What makes or follows blocks, as the core's status and its methods see it."""

    disputes: Disputes
    submissions: Submissions
    recovery: Recovery
    snapshots: Snapshots | None
    """None where no signatures are gathered, as in some tests."""

    @property
    def is_sequencing(self) -> bool:
        """Whether it makes blocks: only then are transactions taken."""

    def phase(self) -> Phase:
        """Return how it is; from any thread."""

    def may_plan(self) -> bool:
        """Tell whether it knows the last block that was sealed, as far as anybody can."""

    def submit_plan(self, data: bytes) -> Carried:
        """Take a fork plan with its signatures; raises PlanRefused and others, ActionImpossible."""

    def submit_action(self, data: bytes) -> Taken:
        """Take what the council signed; raises the Refusal against it, or ActionImpossible."""
