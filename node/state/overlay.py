"""A throw-away layer over a store: reads fall through, writes stay in memory and go with it."""

import heapq
from collections.abc import Iterable, Iterator

from node.state.kv import KeyValue, Rows, View


class Overlay:
    """A KeyValue whose base is never written; for whoever examines a database."""

    def __init__(self, base: KeyValue) -> None:
        self._base = base
        self._written: dict[bytes, bytes | None] = {}
        """None: deleted here."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        return self._written[key] if key in self._written else self._base.get(key)

    def items(self, prefix: bytes, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the keys that begin so, ascending, as of the call."""
        ours = dict(self._written)
        new = sorted(
            (key, value)
            for key, value in ours.items()
            if value is not None and key.startswith(prefix) and key >= prefix + first
        )
        old = (item for item in self._base.items(prefix, first) if item[0] not in ours)
        return heapq.merge(old, new)

    def write(self, puts: Rows, deletes: Iterable[bytes] = ()) -> None:
        """Delete, then put, in memory."""
        self._written.update(dict.fromkeys(deletes))
        self._written.update(puts)

    def snapshot(self) -> View:
        """Return a view that later writes do not change, if the base does not change either."""
        view = Overlay(self._base)
        view._written = dict(self._written)
        return view

    def close(self) -> None:
        """Forget what was written; the base stays open."""
        self._written.clear()
