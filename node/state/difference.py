"""What differs between two states, found by a walk that skips equal hashes.

The cost is that of the differences, not of the states: forensics, audits and the flat table use it.
"""

from collections.abc import Iterator
from typing import NamedTuple

from node.state.account import AccountLeaf, decode_account
from node.state.node import (
    DIGITS,
    SLOT,
    Branch,
    Extension,
    Leaf,
    Node,
    get_child,
    get_slots,
    string_of_rlp,
)
from node.state.reader import State, storage_root_of
from node.state.trie import Nodes, Pointer, Root
from node.units import Address


class AccountDifference(NamedTuple):
    """An account that is not the same in both states."""

    address: Address
    before: AccountLeaf | None
    after: AccountLeaf | None


class RecordDifference(NamedTuple):
    """A record that is not the same in both states."""

    address: Address
    key: bytes
    before: bytes | None
    after: bytes | None


Difference = AccountDifference | RecordDifference


def walk(before: State, after: State) -> Iterator[Difference]:
    """Yield what differs, in order of path: an account, then its records."""
    pairs = walk_tries(before.nodes, _subtree(before.pointer), after.nodes, _subtree(after.pointer))
    for path, old, new in pairs:
        owner = before if old is not None else after
        address = Address(owner.key_of(path))
        yield AccountDifference(
            address,
            None if old is None else decode_account(old.value),
            None if new is None else decode_account(new.value),
        )
        for record_path, old_record, new_record in walk_tries(
            before.nodes,
            _subtree(storage_root_of(old)),
            after.nodes,
            _subtree(storage_root_of(new)),
        ):
            holder = before if old_record is not None else after
            yield RecordDifference(
                address,
                holder.key_of(record_path),
                None if old_record is None else string_of_rlp(old_record.value),
                None if new_record is None else string_of_rlp(new_record.value),
            )


Subtree = Pointer | Leaf | Extension | None
"""What hangs at one place: a stored node, or the lower part of a leaf or an extension."""


def _subtree(root: Root) -> Subtree:
    return root


def walk_tries(
    nodes_a: Nodes, a: Subtree, nodes_b: Nodes, b: Subtree, prefix: str = ""
) -> Iterator[tuple[str, Leaf | None, Leaf | None]]:
    """Yield (path, leaf or None, leaf or None) of each key whose leaf differs below a prefix."""
    if _is_same(a, b):
        return
    node_a, node_b = _load(nodes_a, a), _load(nodes_b, b)
    if isinstance(node_a, Leaf) and (node_b is None or isinstance(node_b, Leaf)):
        if node_b is not None and node_a.path == node_b.path:
            if node_a.value != node_b.value:
                yield prefix + node_a.path, node_a, node_b
            return
        if node_b is None:
            yield prefix + node_a.path, node_a, None
            return
    elif node_a is None and isinstance(node_b, Leaf):
        yield prefix + node_b.path, None, node_b
        return
    for slot, (child_a, child_b) in enumerate(zip(_spread(node_a), _spread(node_b), strict=True)):
        yield from walk_tries(nodes_a, child_a, nodes_b, child_b, prefix + DIGITS[slot])


def _is_same(a: Subtree, b: Subtree) -> bool:
    if isinstance(a, Pointer) and isinstance(b, Pointer):
        return a.reference == b.reference
    return a is None and b is None


def _load(nodes: Nodes, subtree: Subtree) -> Node | None:
    if isinstance(subtree, Pointer):
        return nodes.load(subtree.reference, subtree.location)
    return subtree


def _spread(node: Node | None) -> list[Subtree]:
    """Return what hangs below each of the sixteen next digits."""
    children: list[Subtree] = [None] * 16
    if isinstance(node, Branch):
        for slot in get_slots(node):
            children[slot] = Pointer(*get_child(node, slot))
    elif isinstance(node, Leaf):
        children[SLOT[node.path[0]]] = node._replace(path=node.path[1:])
    elif isinstance(node, Extension):
        rest: Subtree = Pointer(node.reference, node.location)
        if len(node.path) > 1:
            rest = node._replace(path=node.path[1:])
        children[SLOT[node.path[0]]] = rest
    return children
