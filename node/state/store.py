"""The authenticated store: states by root, and commits that are rows until somebody writes them.

A commit builds the nodes that differ from its parent state and returns them as rows, so that a
block, its receipts and its state go to disk in one synced batch. A commit that is not written
leaves nothing behind but a gap in the sequence: it is found by no root, and its locations are
never used again. One thread commits, and writes a commit before it asks for the next; any thread
reads.
"""

from typing import NamedTuple

from node.encoding import rlp_string
from node.errors import MissingState
from node.state.account import (
    EMPTY_CODE_HASH,
    AccountChange,
    AccountLeaf,
    Changes,
    decode_account,
    encode_account,
    storage_reference,
)
from node.state.flat import (
    FlatState,
    flat_root,
    move_table,
    rebuild_table,
    tag_row,
)
from node.state.kv import KeyValue, View
from node.state.node import EMPTY_TRIE_ROOT, Leaf
from node.state.reader import State, StateReader, StateTables, path_of, storage_root_of
from node.state.trie import Batch, Change, Nodes, Pointer, Root, get_leaf
from node.units import Address, Hash32, Wei

__all__ = [
    "EMPTY_CODE_HASH",
    "EMPTY_TRIE_ROOT",
    "AccountChange",
    "AccountLeaf",
    "Changes",
    "Commit",
    "FlatState",
    "State",
    "StateReader",
    "StateStore",
    "StateTables",
]

_CACHED_MAX = 150_000
"""Nodes in the younger half of the cache, about 0.4 kB each: all of a trie of 100,000 keys."""


class Commit(NamedTuple):
    """A new state that is not yet written."""

    root: Hash32
    puts: list[tuple[bytes, bytes]]
    deletes: list[bytes]
    """Of the flat table only: nothing that a root needs is ever deleted."""


class StateStore:
    """All states of one database."""

    def __init__(
        self, kv: KeyValue, tables: StateTables, *, cached_nodes_max: int = _CACHED_MAX
    ) -> None:
        self._kv = kv
        self._tables = tables
        self._nodes = Nodes(kv, tables.nodes, cached_max=cached_nodes_max)
        self._sequence = int.from_bytes(kv.get(tables.meta + b"sequence") or b"", "big")

    def at(self, root: Hash32) -> State:
        """Return the state of a root; MissingState if it is not kept here."""
        pointer = self._get_pointer(root)
        return State(self._nodes, self._kv, self._tables, root=root, pointer=pointer)

    def flat_root(self) -> Hash32 | None:
        """Return the root that the flat table belongs to, None if it must be rebuilt."""
        return flat_root(self._kv, self._tables)

    def flat(self, view: View) -> FlatState:
        """Return the flat table's state as of a snapshot; its `root` says which state that is."""
        return FlatState(view, self._tables)

    def move_flat(self, to_root: Hash32) -> None:
        """Make the flat table right for a root, by the difference to the one it has."""
        target = self.at(to_root)
        current = self.flat_root()
        if current is None:
            rebuild_table(self._kv, self._tables, target)
        elif current != to_root:
            move_table(self._kv, self._tables, self.at(current), target)

    def rebuild_flat(self, root: Hash32) -> None:
        """Make the flat table right for a root, whatever it holds."""
        rebuild_table(self._kv, self._tables, self.at(root))

    def commit(self, parent_root: Hash32, changes: Changes) -> Commit:
        """Return the state after `changes`, as rows to write; MissingState if the parent is none.

        If the flat table is the parent's, the rows move it along.
        """
        parent = self._get_pointer(parent_root)
        self._sequence += 1
        sequence = self._sequence.to_bytes(5, "big")
        batch = Batch(self._nodes, sequence)
        is_flat = self.flat_root() == parent_root
        flat_puts: list[tuple[bytes, bytes]] = []
        flat_deletes: list[bytes] = []
        leaves: list[Change] = []
        for address in sorted(changes.accounts.keys() | changes.records.keys()):
            change = self._change_account(batch, parent, address, changes, is_flat=is_flat)
            row = self._tables.flat + address
            if change is None:
                continue
            leaves.append(change)
            if change.value is None:
                flat_deletes += [key for key, _ in self._kv.items(row)]
                continue
            flat_puts.append((row, change.value))
            for key, record in changes.records.get(address, {}).items():
                if record is None:
                    flat_deletes.append(row + key)
                else:
                    flat_puts.append((row + key, record))
        leaves.sort()
        pointer = batch.update(parent, leaves)
        root = EMPTY_TRIE_ROOT if pointer is None else Hash32(pointer.reference[1:])
        if root == parent_root:
            return Commit(root, [], [])
        puts: list[tuple[bytes, bytes]] = []
        if pointer is not None and self._kv.get(self._tables.roots + root) is None:
            puts += batch.rows
            puts += [
                (self._tables.preimages + bytes.fromhex(path), key) for path, key in batch.inserted
            ]
            puts.append((self._tables.roots + root, pointer.location))
            puts.append((self._tables.meta + b"sequence", sequence))
        if not is_flat:
            return Commit(root, puts, [])
        return Commit(root, [*puts, *flat_puts, tag_row(self._tables, root)], flat_deletes)

    def _change_account(
        self, batch: Batch, parent: Root, address: Address, changes: Changes, *, is_flat: bool
    ) -> Change | None:
        """Return the change of an address's leaf, its storage trie updated; None: no account.

        `is_flat` says that the flat table is the parent's: it tells who has no storage faster.
        """
        path = path_of(address)
        if is_flat and self._is_plain(address, changes):
            account = changes.accounts[address]
            assert account is not None, "a plain change is no removal"
            return Change(path, _encode_plain(account), b"", address)
        leaf = get_leaf(self._nodes, parent, path)
        records = changes.records.get(address, {})
        if address in changes.accounts and changes.accounts[address] is None:
            assert not records, f"0x{address.hex()} is removed and gets records"
            return None if leaf is None else Change(path, None, b"", address)
        storage = batch.update(
            storage_root_of(leaf),
            sorted(
                Change(path_of(key), None if record is None else rlp_string(record), b"", key)
                for key, record in records.items()
            ),
        )
        account = changes.accounts.get(address)
        if account is None:
            if leaf is None and storage is None:
                return None
            account = _keep_account(leaf)
        value = encode_account(
            account.nonce,
            account.balance,
            storage_root=EMPTY_TRIE_ROOT if storage is None else storage.reference[1:],
            code_hash=account.code_hash,
        )
        return Change(path, value, b"" if storage is None else storage.location, address)

    def _is_plain(self, address: Address, changes: Changes) -> bool:
        """Tell whether an account changes and has no storage, neither before nor after."""
        if address in changes.records or changes.accounts[address] is None:
            return False
        value = self._kv.get(self._tables.flat + address)
        return value is None or storage_reference(value) is None

    def _get_pointer(self, root: Hash32) -> Root:
        if root == EMPTY_TRIE_ROOT:
            return None
        location = self._kv.get(self._tables.roots + root)
        if location is None:
            raise MissingState(root)
        return Pointer(b"\xa0" + root, location)


def _encode_plain(account: AccountChange) -> bytes:
    return encode_account(
        account.nonce,
        account.balance,
        storage_root=EMPTY_TRIE_ROOT,
        code_hash=account.code_hash,
    )


def _keep_account(leaf: Leaf | None) -> AccountChange:
    """Return an account unchanged; a new one is empty."""
    if leaf is None:
        return AccountChange(0, Wei(0), EMPTY_CODE_HASH)
    account = decode_account(leaf.value)
    return AccountChange(account.nonce, account.balance, account.code_hash)
