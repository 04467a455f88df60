"""Ordered keys and values: LevelDB on disk, or a dict for tests and simulations.

One write is one batch, atomic and synced. LevelDB is opened with paranoid checks and read with its
checksums verified; without them a flipped byte of its log silently loses blocks.
"""

import errno
import os
import struct
import sys
from bisect import bisect_left
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any, Protocol
from weakref import WeakValueDictionary

import plyvel

from node.errors import CorruptDatabase, DatabaseInUse, OperatorError

REFUSALS = tuple(
    os.strerror(number)
    for number in (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EFBIG,
        errno.EMFILE,
        errno.ENFILE,
        errno.ENOTDIR,
    )
)
"""How the system words what it refuses this process; other errors of a database file are damage."""
COMMAND_MAX = 80
"""Characters of an owner's command line that are shown."""

Rows = Iterable[tuple[bytes, bytes]]


class View(Protocol):
    """What can be read, all as of one moment if it is a snapshot."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""

    def items(self, prefix: bytes, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the keys that begin so, ascending, as of the call.

        They begin at prefix ‖ `first`.
        """

    def close(self) -> None:
        """Let go of what is held; nothing may be read afterwards."""


class KeyValue(View, Protocol):
    """A store with a single writer; reads and snapshots are safe from every thread."""

    def write(self, puts: Rows, deletes: Iterable[bytes] = ()) -> None:
        """Delete, then put, as one batch that is on disk, whole, when this returns."""

    def snapshot(self) -> View:
        """Return a view that later writes do not change; close it."""


class LevelDb:
    """A LevelDB directory, created if missing, owned by this process until closed.

    Raises DatabaseInUse naming the owner, CorruptDatabase, or OperatorError if the disk refuses.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        # LevelDB knows its own open databases by name: an alias would lock nothing out.
        self._path = Path(os.path.realpath(path))
        if self._path in _OPEN:
            # LevelDB would refuse as well, but lose its lock on the way: POSIX drops a process's
            # locks of a file when the process closes any descriptor of it.
            raise _in_use(self._path, "this process")
        try:
            self._path.mkdir(parents=True, exist_ok=True)
            self._db = plyvel.DB(
                str(self._path),
                create_if_missing=True,
                paranoid_checks=True,
                lru_cache_size=64 << 20,
                write_buffer_size=16 << 20,
                bloom_filter_bits=10,
            )
        except OSError as error:
            raise _explain(self._path, error) from error
        except plyvel.Error as error:
            raise _explain(self._path, error) from error
        _OPEN[self._path] = self

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        return _get(self._db, self._path, key)

    def items(self, prefix: bytes, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the keys that begin so, ascending, as of the call."""
        return _iterate(self._db, self._path, prefix, first)

    def write(self, puts: Rows, deletes: Iterable[bytes] = ()) -> None:
        """Delete, then put, as one batch that is on disk, whole, when this returns."""
        try:
            batch = self._db.write_batch(sync=True)
            for key in deletes:
                batch.delete(key)
            for key, value in puts:
                batch.put(key, value)
            batch.write()
        except plyvel.Error as error:
            raise _explain(self._path, error) from error

    def snapshot(self) -> View:
        """Return a view that later writes do not change; close it."""
        return LevelSnapshot(self._db.snapshot(), self._path)

    def close(self) -> None:
        """Close the directory and give up its lock."""
        self._db.close()
        _OPEN.pop(self._path, None)


_OPEN: WeakValueDictionary[Path, LevelDb] = WeakValueDictionary()
"""The databases this process has open."""


class LevelSnapshot:
    """A LevelDB as of one moment."""

    def __init__(self, snapshot: Any, path: Path) -> None:
        self._snapshot = snapshot
        self._path = path

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        return _get(self._snapshot, self._path, key)

    def items(self, prefix: bytes, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the keys that begin so, ascending."""
        return _iterate(self._snapshot, self._path, prefix, first)

    def close(self) -> None:
        """Release the snapshot, so that LevelDB may drop what only it still needs."""
        self._snapshot.close()


def _get(source: Any, path: Path, key: bytes) -> bytes | None:
    try:
        value: bytes | None = source.get(key, verify_checksums=True)
    except plyvel.Error as error:
        raise _explain(path, error) from error
    return value


def _iterate(source: Any, path: Path, prefix: bytes, first: bytes) -> Iterator[tuple[bytes, bytes]]:
    try:  # it opens the tables at once
        iterator = source.iterator(prefix=prefix, verify_checksums=True, fill_cache=False)
        if first:
            iterator.seek(prefix + first)
    except plyvel.Error as error:
        raise _explain(path, error) from error

    def rows() -> Iterator[tuple[bytes, bytes]]:
        with iterator:
            try:
                yield from iterator
            except plyvel.Error as error:
                raise _explain(path, error) from error

    return rows()


class MemoryDb:
    """The same in a dict; nothing survives the process."""

    def __init__(self, rows: dict[bytes, bytes] | None = None) -> None:
        self._rows = {} if rows is None else rows
        self._is_shared = rows is not None
        """A snapshot holds the same dict: the next write copies it first."""
        self._sorted: list[bytes] | None = None
        """The keys in order; None when a write may have changed them."""
        self._lock = Lock()

    def get(self, key: bytes) -> bytes | None:
        """Return the value of a key, None if there is none."""
        return self._rows.get(key)

    def items(self, prefix: bytes, first: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, value) of the keys that begin so, ascending, as of the call."""
        found = []
        with self._lock:
            if self._sorted is None:
                self._sorted = sorted(self._rows)
            keys = self._sorted
            for at in range(bisect_left(keys, prefix + first), len(keys)):
                if not keys[at].startswith(prefix):
                    break
                found.append((keys[at], self._rows[keys[at]]))
        return iter(found)

    def write(self, puts: Rows, deletes: Iterable[bytes] = ()) -> None:
        """Delete, then put, as one batch."""
        with self._lock:
            if self._is_shared:
                self._rows, self._is_shared = self._rows.copy(), False
            self._sorted = None
            for key in deletes:
                self._rows.pop(key, None)
            self._rows.update(puts)

    def snapshot(self) -> View:
        """Return a view that later writes do not change."""
        with self._lock:
            self._is_shared = True
            return MemoryDb(self._rows)

    def close(self) -> None:
        """Do nothing: the dict goes with its last reader."""


def _explain(path: Path, error: Exception) -> OperatorError:
    """Return what an operator can do about an error of LevelDB or of the file system."""
    text = error.args[0] if error.args else error
    reason = text.decode(errors="replace") if isinstance(text, bytes) else str(error)
    reason = " ".join(reason.removeprefix("IO error: ").removeprefix("Corruption: ").split())
    if isinstance(error, plyvel.CorruptionError):
        return CorruptDatabase(
            f"the database {path} is corrupt: {reason}; restore it from a backup, or move it away "
            "and start again to fetch the chain anew"
        )
    if isinstance(error, plyvel.IOError) and reason.startswith("lock "):
        return _in_use(path, _name_owner(path / "LOCK"))
    if isinstance(error, plyvel.Error) and not reason.endswith(REFUSALS):
        return CorruptDatabase(
            f"the database {path} is damaged or truncated: {reason}; restore the data directory "
            "from a copy or a snapshot"
        )
    return OperatorError(
        f"the database {path} can't be used: {reason}; check its permissions and the free space"
    )


def _in_use(path: Path, owner: str) -> DatabaseInUse:
    return DatabaseInUse(
        f"the database {path} is in use by {owner}: stop it, or choose another --data-dir"
    )


def _name_owner(lock: Path) -> str:
    """Return the process that holds LevelDB's lock, and its command where known."""
    import fcntl

    # struct flock: type, whence, start, length, pid; BSD puts the pid third and the type fourth.
    is_linux = sys.platform == "linux"
    layout = "hhqqi" if is_linux else "qqihh"
    fields = (fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0) if is_linux else (0, 0, 0, fcntl.F_WRLCK, 0)
    pid = 0
    with suppress(OSError), lock.open("rb+") as file:
        answer = struct.unpack(
            layout, fcntl.fcntl(file, fcntl.F_GETLK, struct.pack(layout, *fields))
        )
        kind, pid = (answer[0], answer[4]) if is_linux else (answer[3], answer[2])
        if kind == fcntl.F_UNLCK:
            pid = 0
    if pid <= 0:
        return "another process"
    command = ""
    with suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").split()
        command = b" ".join(words).decode(errors="replace")
    if len(command) > COMMAND_MAX:
        command = command[: COMMAND_MAX - 1] + "…"
    return f"process {pid} ({command})" if command else f"process {pid}"
