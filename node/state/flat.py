"""The flat table: the head's accounts and records by plain key, without the trie's steps.

A derived table: right for the one root of its tag, moved by the batch that makes a new head or by
the difference walk, or rebuilt. What it holds is not authenticated; the trie is.
"""

from collections.abc import Iterable, Iterator

from node.state.account import AccountLeaf, decode_account, encode_account
from node.state.difference import RecordDifference, walk
from node.state.kv import KeyValue, View
from node.state.node import EMPTY_TRIE_ROOT
from node.state.reader import State, StateTables
from node.units import Address, Hash32

_ADDRESS_END = 21
"""Where the address ends in a row's key: prefix (1) ‖ address (20) ‖ key."""
_ROWS_MAX = 100_000
"""Rows in one batch; a longer move is marked as unfinished until its last batch."""


class FlatState:
    """The state under the flat table's root, as of a view's moment."""

    def __init__(self, view: View, tables: StateTables) -> None:
        root = flat_root(view, tables)
        assert root is not None, "the flat table is unfinished: rebuild it first"
        self._root = root
        self._view = view
        self._prefix = tables.flat

    @property
    def root(self) -> Hash32:
        """The state root."""
        return self._root

    def get_account(self, address: Address) -> AccountLeaf | None:
        """Return an account, None if there is none."""
        value = self._view.get(self._prefix + address)
        return None if value is None else decode_account(value)

    def get_record(self, address: Address, key: bytes) -> bytes | None:
        """Return the record under a 32-byte key, None if there is none."""
        return self._view.get(self._prefix + address + key)

    def records(self, address: Address, key_prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Yield (key, record) of an address's keys that begin so, ascending by key."""
        for row, record in self._view.items(self._prefix + address + key_prefix):
            if len(row) > _ADDRESS_END:
                yield row[_ADDRESS_END:], record

    def accounts(self) -> Iterator[tuple[Address, AccountLeaf]]:
        """Yield every account, ascending by address; passes over all records."""
        for row, value in self._view.items(self._prefix):
            if len(row) == _ADDRESS_END:
                yield Address(row[1:]), decode_account(value)


def flat_root(view: View, tables: StateTables) -> Hash32 | None:
    """Return the root the table belongs to, None while a move or a rebuilding is unfinished."""
    tag = view.get(_tag(tables))
    if tag is None:
        return EMPTY_TRIE_ROOT
    return Hash32(tag) if tag else None


def tag_row(tables: StateTables, root: Hash32) -> tuple[bytes, bytes]:
    """Return the row that declares whose root the table holds."""
    return _tag(tables), root


def untag_row(tables: StateTables) -> tuple[bytes, bytes]:
    """Return the row that declares the table nobody's: it must be rebuilt before it is read."""
    return _tag(tables), b""


def move_table(kv: KeyValue, tables: StateTables, before: State, after: State) -> None:
    """Turn a table that is right for `before` into one that is right for `after`."""

    def rows() -> Iterator[tuple[bytes, bytes | None]]:
        for difference in walk(before, after):
            if isinstance(difference, RecordDifference):
                yield tables.flat + difference.address + difference.key, difference.after
            else:
                leaf = difference.after
                yield tables.flat + difference.address, leaf and _encode(leaf)

    _write_rows(kv, tables, rows(), after.root)


def rebuild_table(kv: KeyValue, tables: StateTables, state: State) -> None:
    """Empty the table and fill it from the trie."""

    def rows() -> Iterator[tuple[bytes, bytes | None]]:
        for key, _ in kv.items(tables.flat):
            yield key, None
        for address, leaf in state.accounts():
            yield tables.flat + address, _encode(leaf)
            for key, record in state.records(address):
                yield tables.flat + address + key, record

    _write_rows(kv, tables, rows(), state.root)


def _tag(tables: StateTables) -> bytes:
    return tables.meta + b"flat"


def _encode(leaf: AccountLeaf) -> bytes:
    return encode_account(
        leaf.nonce, leaf.balance, storage_root=leaf.storage_root, code_hash=leaf.code_hash
    )


def _write_rows(
    kv: KeyValue,
    tables: StateTables,
    rows: Iterable[tuple[bytes, bytes | None]],
    root: Hash32,
) -> None:
    """Write rows (None deletes) and the tag in one batch, or in several, tagged with the last."""
    batch: dict[bytes, bytes | None] = {}
    for key, value in rows:
        batch[key] = value
        if len(batch) == _ROWS_MAX:
            _write_batch(kv, batch, (_tag(tables), b""))
            batch = {}
    _write_batch(kv, batch, tag_row(tables, root))


def _write_batch(kv: KeyValue, batch: dict[bytes, bytes | None], tag: tuple[bytes, bytes]) -> None:
    puts = [(key, value) for key, value in batch.items() if value is not None]
    kv.write([*puts, tag], [key for key, value in batch.items() if value is None])
