"""The audit log: what the council did, each entry chained to the one before (RECOVERY, Governance).

The log is state: its length and the hash of its last entry stand in one record, every entry in its
own. An entry's hash is the keccak256 of its encoding, which holds the hash before it; so whoever
knows the head can check the whole log, and nobody can take an entry out.
"""

from collections.abc import Iterable
from typing import Annotated, NamedTuple

from node.crypto import keccak256
from node.encoding import BIG, codec_of
from node.governance.action import KINDS as ACTION_KINDS
from node.governance.action import Action, Kind, encode_action
from node.units import Address, Hash32, Height, TimeMs

NO_HASH = Hash32(bytes(32))
"""What stands before the first entry."""


class AuditLog(NamedTuple):
    """The log as a whole; one record."""

    length: int
    """Entries so far."""
    head: Hash32
    """The last one's hash; zeros if there is none."""


class AuditEntry(NamedTuple):
    """One action that was carried out; key: its number."""

    number: int
    """From 0."""
    kind: Kind
    digest: Hash32
    """What was signed (EIP-712)."""
    action: bytes
    """The action's record, fields and reason included."""
    signers: tuple[Address, ...]
    """Ascending."""
    height: Height
    """The block that carried it."""
    time_ms: TimeMs
    """Its time."""
    fork_id: int
    """Its branch."""
    result: Annotated[int, BIG]
    """Halt: the last ordinary block. SetMode: the mode before. CancelOrders: how many.
    AcknowledgeJump: the price accepted. Resume: the mode before. Fork: the new fork id.
    ScheduleMaintenance: the last block before it halts. SettleMarket: how many positions.
    ChangeCouncil, ChangeValidators, SetReporters, SetBrackets: how many there are now.
    SetParameter: the value before. ListMarket: the market. Compensate: the compensation."""
    previous: Hash32
    """The hash of the entry before; zeros for the first."""


class ActionUse(NamedTuple):
    """An action's nonce, used up; key: the nonce's digest."""

    entry: int
    """The number of the entry in the audit log."""


class ActionExecuted(NamedTuple):
    """A council action was carried out and recorded."""

    number: int
    kind: Kind
    digest: Hash32
    signers: tuple[Address, ...]
    result: int
    entry_hash: Hash32


EMPTY_LOG = AuditLog(0, NO_HASH)


def entry_hash(entry: AuditEntry) -> Hash32:
    """Return what the next entry, or the head, says of this one."""
    return keccak256(codec_of(AuditEntry).encode(entry))


def make_entry(
    log: AuditLog,
    action: Action,
    *,
    digest: Hash32,
    signers: tuple[Address, ...],
    height: Height,
    time_ms: TimeMs,
    fork_id: int,
    result: int,
) -> AuditEntry:
    """Return the entry that comes next in the log."""
    return AuditEntry(
        number=log.length,
        kind=ACTION_KINDS[type(action)],
        digest=digest,
        action=encode_action(action),
        signers=signers,
        height=height,
        time_ms=time_ms,
        fork_id=fork_id,
        result=result,
        previous=log.head,
    )


def append_entry(log: AuditLog, entry: AuditEntry) -> AuditLog:
    """Return the log with its next entry."""
    assert (entry.number, entry.previous) == log, "an entry follows the one before"
    return AuditLog(log.length + 1, entry_hash(entry))


def is_whole(log: AuditLog, entries: Iterable[AuditEntry]) -> bool:
    """Tell whether these entries, in order, are the whole log."""
    grown = EMPTY_LOG
    for entry in entries:
        if (entry.number, entry.previous) != grown:
            return False
        grown = append_entry(grown, entry)
    return grown == log
