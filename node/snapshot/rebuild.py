"""A state built from its leaves in order of path, as they stream by.

A trie whose leaves arrive sorted needs no reading back: what lies left of the newest leaf is final
and is sealed at once. What stays in memory is one branch per digit of the newest path. The rows are
those that `node.state` keeps, so that a restored state is read, proved and changed like any other.
"""

from __future__ import annotations

from typing import NamedTuple

from node.crypto import keccak256
from node.errors import EncodingError, InvalidSnapshot
from node.state.account import decode_account
from node.state.node import (
    EMPTY_BRANCH,
    EMPTY_TRIE_ROOT,
    SLOT,
    Branch,
    Extension,
    Leaf,
    Node,
    encode_row,
    put_children,
    string_of_rlp,
)
from node.state.reader import StateTables
from node.units import Hash32

ADDRESS_SIZE = 20
KEY_SIZE = 32


class Entry(NamedTuple):
    """One leaf with its key: an account's, or a record's of the account before it."""

    key: bytes
    """An address (20 bytes) or a record's key (32)."""
    leaf: bytes
    """The value as the trie holds it: rlp of the account, or of the record."""


class _Open(NamedTuple):
    """A branch that may still get children."""

    depth: int
    """How many digits lie above it."""
    children: list[tuple[int, bytes, bytes]]
    """(slot, reference, location)."""


class _Places:
    """Hands out locations, and keeps the rows until they are taken."""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self.sequence = 1
        """The commit number under which rows are placed; moves on with every taking."""
        self._index = 0
        self.rows: list[tuple[bytes, bytes]] = []

    def seal(self, node: Node) -> tuple[bytes, bytes]:
        """Encode, hash and place a node; return its reference and location."""
        rlp, row = encode_row(node)
        if len(rlp) < 32:
            return rlp, b""
        location = self.sequence.to_bytes(5, "big") + self._index.to_bytes(3, "big")
        self._index += 1
        self.rows.append((self._prefix + location, row))
        return b"\xa0" + keccak256(rlp), location

    def take(self) -> list[tuple[bytes, bytes]]:
        """Return the rows made since the last time."""
        rows, self.rows = self.rows, []
        if self._index:
            self.sequence, self._index = self.sequence + 1, 0
        return rows


class _Trie:
    """One trie that grows to the right."""

    def __init__(self, places: _Places) -> None:
        self._places = places
        self._stack: list[_Open] = []
        self._path = ""
        self._leaf: tuple[bytes, bytes] | None = None
        """Value and location of the newest leaf, which has no place yet."""

    @property
    def last_path(self) -> str:
        """The newest leaf's path; empty before the first."""
        return self._path

    def add(self, path: str, value: bytes, location: bytes) -> None:
        """Add a leaf right of all others."""
        assert path > self._path, "the caller checks the order"
        if self._leaf is not None:
            depth = 0
            while path[depth] == self._path[depth]:
                depth += 1
            self._fold(depth)
        self._path, self._leaf = path, (value, location)

    def finish(self) -> tuple[Hash32, bytes]:
        """Return root and location of the root's node; nothing may be added afterwards."""
        if self._leaf is None:
            return EMPTY_TRIE_ROOT, b""
        reference, location = self._fold(-1)
        return Hash32(reference[1:]), location

    def _fold(self, depth: int) -> tuple[bytes, bytes]:
        """Seal all that hangs below a branch at `depth`, the newest leaf included.

        Depth -1 stands above the root. Return the reference and location of what was sealed last.
        """
        path, stack = self._path, self._stack
        assert self._leaf is not None, "there is a newest leaf"
        value, location = self._leaf
        current: _Open | None = None
        while True:
            above = max(depth, stack[-1].depth if stack else -1)
            if current is None:
                sealed = self._places.seal(Leaf(path[above + 1 :], value, location))
            else:
                sealed = self._seal_branch(current, above)
            if above < 0:
                return sealed
            if not stack or stack[-1].depth < above:
                stack.append(_Open(above, []))
            stack[-1].children.append((SLOT[path[above]], *sealed))
            if above == depth:
                return sealed
            current = stack.pop()

    def _seal_branch(self, open_branch: _Open, above: int) -> tuple[bytes, bytes]:
        branch: Branch = put_children(EMPTY_BRANCH, open_branch.children)
        if open_branch.depth == above + 1:
            return self._places.seal(branch)
        shared = self._path[above + 1 : open_branch.depth]
        return self._places.seal(Extension(shared, *self._places.seal(branch)))


class StateBuilder:
    """Builds a whole state from entries: an account, then its records, all by path."""

    def __init__(self, tables: StateTables) -> None:
        self._tables = tables
        self._places = _Places(tables.nodes)
        self._accounts = _Trie(self._places)
        self._storage = _Trie(self._places)
        self._account: Entry | None = None
        """Whose records come now."""
        self._account_path = ""
        self._flat: list[tuple[bytes, bytes]] = []
        self._preimages: list[tuple[bytes, bytes]] = []
        self.account_count = 0
        self.record_count = 0

    @property
    def address(self) -> bytes:
        """Whose records come now; empty before the first account."""
        return b"" if self._account is None else self._account.key

    def add(self, entry: Entry, file: str) -> None:
        """Take the next entry; raise InvalidSnapshot, naming `file`, if it can't be the next."""
        digest = keccak256(entry.key)
        path = digest.hex()
        if len(entry.key) == ADDRESS_SIZE:
            self._close_account(file)
            if path <= self._account_path:
                raise InvalidSnapshot(file, "order of accounts", path, f"> {self._account_path}")
            self._account, self._account_path = entry, path
            self.account_count += 1
            self._flat.append((self._tables.flat + entry.key, entry.leaf))
        elif len(entry.key) == KEY_SIZE and self._account is not None:
            if path <= self._storage.last_path:
                raise InvalidSnapshot(
                    file, "order of records", path, f"> {self._storage.last_path}"
                )
            try:
                record = string_of_rlp(entry.leaf)
            except (EncodingError, IndexError) as error:
                raise InvalidSnapshot(
                    file, "record", entry.leaf, f"rlp of bytes ({error})"
                ) from None
            self._storage.add(path, entry.leaf, b"")
            self.record_count += 1
            self._flat.append((self._tables.flat + self._account.key + entry.key, record))
        else:
            raise InvalidSnapshot(file, "key", entry.key, "20 bytes, or 32 after an account")
        self._preimages.append((self._tables.preimages + digest, entry.key))

    def take_rows(self) -> list[tuple[bytes, bytes]]:
        """Return the rows that are final since the last time, to be written in any order."""
        rows = [*self._places.take(), *self._preimages, *self._flat]
        self._preimages, self._flat = [], []
        return rows

    def finish(self, file: str) -> tuple[Hash32, list[tuple[bytes, bytes]]]:
        """Return the state root, and the rows by which the state is found under it."""
        self._close_account(file)
        root, location = self._accounts.finish()
        rows = self.take_rows()
        rows.append((self._tables.roots + root, location))
        rows.append((self._tables.meta + b"sequence", self._places.sequence.to_bytes(5, "big")))
        return root, rows

    def _close_account(self, file: str) -> None:
        """Seal the records of the account at hand and hang it into the account trie."""
        if self._account is None:
            return
        root, location = self._storage.finish()
        self._storage = _Trie(self._places)
        address, leaf = self._account
        try:
            account = decode_account(leaf)
        except (EncodingError, IndexError) as error:
            raise InvalidSnapshot(file, f"account 0x{address.hex()}", leaf, str(error)) from None
        if account.storage_root != root:
            raise InvalidSnapshot(
                file, f"storage root of 0x{address.hex()}", root, account.storage_root
            )
        self._accounts.add(self._account_path, leaf, location)
        self._account = None
