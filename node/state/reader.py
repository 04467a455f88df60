"""A state as of one root, read out of the trie."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from node.crypto import keccak256
from node.errors import CorruptState
from node.state.account import AccountLeaf, decode_account, storage_reference
from node.state.kv import View
from node.state.node import Leaf, string_of_rlp
from node.state.trie import Nodes, Pointer, Root, get_leaf, walk_leaves
from node.units import Address, Hash32


class StateTables(NamedTuple):
    """The one-byte prefixes of the rows that state keeps."""

    nodes: bytes
    """location -> locations of children ‖ RLP"""
    roots: bytes
    """state root -> location of its node"""
    preimages: bytes
    """path -> address or record key"""
    flat: bytes
    """address -> account leaf; address ‖ key -> record; of one root only"""
    meta: bytes
    """b"sequence" -> the last commit's number; b"flat" -> the root of the flat table"""


class StateReader(Protocol):
    """Accounts and records as of one root, whichever table they come from."""

    @property
    def root(self) -> Hash32:
        """The state root."""

    def get_account(self, address: Address) -> AccountLeaf | None:
        """Return an account, None if there is none."""

    def get_record(self, address: Address, key: bytes) -> bytes | None:
        """Return the record under a 32-byte key, None if there is none."""

    def records(self, address: Address, key_prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, record) of an address's keys that begin so, ascending by key."""

    def accounts(self) -> Iterator[tuple[Address, AccountLeaf]]:
        """Return every account, ascending by address."""


def path_of(key: bytes) -> str:
    """Return the path of an address or a record key: the digits of its keccak."""
    return keccak256(key).hex()


def storage_root_of(leaf: Leaf | None) -> Root:
    """Return the root of an account's storage trie."""
    if leaf is None or (reference := storage_reference(leaf.value)) is None:
        return None
    return Pointer(reference, leaf.location)


class State:
    """Every account and record under one root; immutable, safe from several threads."""

    def __init__(
        self, nodes: Nodes, view: View, tables: StateTables, *, root: Hash32, pointer: Root
    ) -> None:
        self._root = root
        self._view = view
        self._tables = tables
        self.nodes = nodes
        self.pointer = pointer
        self._storage: dict[Address, Root] = {}

    @property
    def root(self) -> Hash32:
        """The state root."""
        return self._root

    def get_account(self, address: Address) -> AccountLeaf | None:
        """Return an account, None if there is none."""
        leaf = get_leaf(self.nodes, self.pointer, path_of(address))
        return None if leaf is None else decode_account(leaf.value)

    def get_record(self, address: Address, key: bytes) -> bytes | None:
        """Return the record under a 32-byte key, None if there is none."""
        leaf = get_leaf(self.nodes, self.storage(address), path_of(key))
        return None if leaf is None else string_of_rlp(leaf.value)

    def records(self, address: Address, key_prefix: bytes = b"") -> Iterator[tuple[bytes, bytes]]:
        """Return (key, record) of an address's keys that begin so, ascending by key.

        The trie knows no order of keys: this walks the address's whole storage.
        """
        found = []
        for path, leaf in walk_leaves(self.nodes, self.storage(address)):
            key = self.key_of(path)
            if key.startswith(key_prefix):
                found.append((key, string_of_rlp(leaf.value)))
        found.sort()
        return iter(found)

    def accounts(self) -> Iterator[tuple[Address, AccountLeaf]]:
        """Return every account, ascending by address."""
        found = [
            (Address(self.key_of(path)), decode_account(leaf.value))
            for path, leaf in walk_leaves(self.nodes, self.pointer)
        ]
        found.sort()
        return iter(found)

    def storage(self, address: Address) -> Root:
        """Return the root of an address's storage trie, None if that is empty."""
        if address not in self._storage:
            leaf = get_leaf(self.nodes, self.pointer, path_of(address))
            self._storage[address] = storage_root_of(leaf)
        return self._storage[address]

    def key_of(self, path: str) -> bytes:
        """Return the address or key of a path that is in the trie; CorruptState if it is lost."""
        digest = bytes.fromhex(path)
        key = self._view.get(self._tables.preimages + digest) or b""
        if keccak256(key) != digest:
            raise CorruptState("preimage", keccak256(key), Hash32(digest))
        return key
