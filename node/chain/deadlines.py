"""Dead-man's cancels, and beside them who is next: no block looks at accounts that are not (O1).

The order by time is derived: loaded from the records, or handed on by the ledger that made the next
state.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator, Sequence
from typing import Protocol

from node.perp.book import Journal
from node.perp.expiry import Deadline
from node.units import Address, TimeMs

Queue = Sequence[tuple[TimeMs, Address]]
"""Deadlines by time, then account; never changed in place."""


class Records(Protocol):
    """The records themselves, read through and changed like any others."""

    def get(self, key: Address, /) -> Deadline | None:
        """Return the record, None if absent."""

    def set(self, key: Address, record: Deadline, /) -> None:
        """Write the record."""

    def delete(self, key: Address, /) -> None:
        """Remove the record; no-op if absent."""


class DeadlineTable:
    """Deadlines by account, with their order in time kept right beside them."""

    __slots__ = ("_journal", "get", "queue", "table")

    def __init__(self, table: Records, queue: Queue, journal: Journal) -> None:
        self.table = table
        self.get = table.get
        self.queue = queue
        self._journal = journal

    def set(self, key: Address, record: Deadline, /) -> None:
        """Write a deadline."""
        queue = self._without(key)
        insort(queue, (record.cancel_at_ms, key))
        self._move_to(queue)
        self.table.set(key, record)

    def delete(self, key: Address, /) -> None:
        """Remove a deadline; no-op if absent."""
        self._move_to(self._without(key))
        self.table.delete(key)

    def silent(self, time_ms: TimeMs) -> Sequence[Address]:
        """Return whose deadline has come, inclusive, by deadline, then account."""
        until = bisect_left(self.queue, (TimeMs(time_ms + 1), Address(b"")))
        return [account for _, account in self.queue[:until]]

    def _without(self, key: Address) -> list[tuple[TimeMs, Address]]:
        queue = list(self.queue)
        before = self.get(key)
        if before is not None:
            del queue[bisect_left(queue, (before.cancel_at_ms, key))]
        return queue

    def _move_to(self, queue: Queue) -> None:
        self._journal.append((self._restore, (self.queue,)))
        self.queue = queue

    def _restore(self, queue: Queue) -> None:
        self.queue = queue


def load_queue(records: Iterator[tuple[Address, Deadline]]) -> Queue:
    """Sort the records by time, then account."""
    return sorted((deadline.cancel_at_ms, account) for account, deadline in records)
