"""What the chain remembers of its forks: one record each, in state (RECOVERY, fork step 1)."""

from typing import NamedTuple

from node.units import Hash32, Height, TimeMs


class Fork(NamedTuple):
    """A fork that was carried out; key: the id of the branch that it began."""

    fork_id: int
    height: Height
    """The fork block's."""
    snapshot_height: Height
    snapshot_hash: Hash32
    manifest_hash: Hash32
    orphan_height: Height
    """The highest block that was sealed on the branch that was left."""
    orphan_hash: Hash32
    plan_hash: Hash32
    reason: str
    gap_from_ms: TimeMs
    """The snapshot's block time: nothing accrues from here."""
    gap_until_ms: TimeMs
    """The last restart block's time; what comes later is the next block's own gap (X2)."""
    last_restart_height: Height
    """The last block of the catch-up: empty blocks until the height exceeds the orphan tip's."""


def compute_last_restart_height(fork_height: Height, orphan_height: Height) -> Height:
    """Return the height that first exceeds the orphan tip's: the fork block's own at least."""
    return max(fork_height, Height(orphan_height + 1))


def compute_nonce_floor(fork_id: int) -> int:
    """Return the least nonce on a branch (RECOVERY, fork step 2)."""
    return fork_id << 32
