"""Records as one block reads and changes them: decoded once, replaced in memory, undone exactly.

Every change leaves an undo step in the block's journal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from node.chain.keys import Place
from node.perp.book import Journal
from node.state.store import Changes, StateReader

K = TypeVar("K")
R = TypeVar("R", bound=tuple[Any, ...])
V = TypeVar("V")


class _Rows(dict[K, R | None]):
    """Records by key; one that is asked for first is read from the parent's state.

    It knows nothing of its table, so that a ledger is freed with its last reference: the state's
    snapshot goes with it.
    """

    __slots__ = ("_place", "_reader", "_recent")

    def __init__(
        self, place: Place[K, R], reader: StateReader, recent: Sequence[Mapping[K, R | None]]
    ) -> None:
        self._place = place
        self._reader = reader
        self._recent = recent

    def __missing__(self, key: K) -> R | None:
        record = self[key] = self._load(key)
        return record

    def _load(self, key: K) -> R | None:
        for rows in self._recent:
            if key in rows:
                return rows[key]
        data = self._reader.get_record(self._place.address(key), self._place.key(key))
        return None if data is None else self._place.codec.decode(data)


class OverlayTable(Generic[K, R]):
    """One kind of record: read through from the parent's state, changed in memory."""

    __slots__ = ("_journal", "_place", "_put", "_rows", "base", "get")

    def __init__(
        self,
        place: Place[K, R],
        reader: StateReader,
        recent: Sequence[Mapping[K, R | None]],
        journal: Journal,
    ) -> None:
        self._place = place
        self._journal = journal
        self._rows = _Rows(place, reader, recent)
        self._put = self._rows.__setitem__
        self.get: Callable[[K], R | None] = self._rows.__getitem__
        """Return the record, None if absent."""
        self.base: dict[K, R | None] = {}
        """What the parent's state holds under the keys written so far; some may be back at it."""

    def set(self, key: K, record: R | None, /) -> None:
        """Write the record."""
        before = self._rows[key]
        if key not in self.base:
            self.base[key] = before
        self._journal.append((self._put, (key, before)))
        self._rows[key] = record

    def delete(self, key: K, /) -> None:
        """Remove the record; no-op if absent."""
        if self._rows[key] is not None:
            self.set(key, None)

    def before(self, key: K, /) -> R | None:
        """Return the record as the parent's state has it, whatever this block wrote."""
        return self.base[key] if key in self.base else self._rows[key]

    def seed(self, other: OverlayTable[K, R]) -> None:
        """Take over what another ledger of the same state has decoded."""
        self._rows.update(other._rows)
        self._rows.update(other.base)

    def copy_rows(self) -> Mapping[K, R | None]:
        """Return every record that was read or written, as it is now, and nothing beside."""
        return dict(self._rows)

    def changed(self) -> Iterator[K]:
        """Yield the keys whose record differs from the parent's."""
        rows = self._rows
        return (key for key, before in self.base.items() if rows[key] != before)

    def encode_changes(self, changes: Changes) -> None:
        """Add the changed records to a commit."""
        address, make_key, codec = self._place.address, self._place.key, self._place.codec
        for key in self.changed():
            record = self._rows[key]
            changes.records.setdefault(address(key), {})[make_key(key)] = (
                None if record is None else codec.encode(record)
            )


class BlockTable(Generic[K, V]):
    """What only this block knows: no state, and undone like it."""

    __slots__ = ("_journal", "_rows", "get")

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._rows: dict[K, V] = {}
        self.get = self._rows.get

    def set(self, key: K, record: V, /) -> None:
        """Write a value."""
        before = self._rows.get(key)
        self._rows[key] = record
        if before is None:
            self._journal.append((self._rows.pop, (key,)))
        else:
            self._journal.append((self._rows.__setitem__, (key, before)))

    def delete(self, key: K, /) -> None:
        """Remove a value; no-op if absent."""
        if key in self._rows:
            self._journal.append((self._rows.__setitem__, (key, self._rows.pop(key))))
