"""The trie over stored nodes: reading a path, walking the leaves, inserting a whole batch.

A batch is sorted by path and descends once: a prefix shared by many keys is loaded, changed and
hashed once. A subtree that is being changed is a bare `Node` until its parent has placed it; only
then is it *sealed*: encoded, hashed, given its location. So a branch left with one child can still
merge with it, and nothing is hashed twice.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from node.crypto import keccak256
from node.errors import CorruptState, EncodingError
from node.state.kv import View
from node.state.node import (
    DIGITS,
    EMPTY_BRANCH,
    EMPTY_REFERENCE,
    REFERENCE_SIZE,
    SLOT,
    Branch,
    Extension,
    Leaf,
    Node,
    check_row,
    decode_node,
    decode_row,
    encode_node,
    encode_row,
    get_child,
    get_slots,
    put_children,
    rlp_of_row,
)
from node.units import Hash32


class Pointer(NamedTuple):
    """Where a node is, and the hash it must have."""

    reference: bytes
    location: bytes


Root = Pointer | None
"""The root of a trie; None is the empty trie."""


class Change(NamedTuple):
    """One key of a batch."""

    path: str
    """The 64 digits of the key's keccak."""
    value: bytes | None
    """None removes the key."""
    location: bytes
    """Of the account's storage root; b"" in storage tries."""
    key: bytes
    """The key itself, for the preimage table."""


class Nodes:
    """Stored nodes by location, the recently used ones in memory.

    Safe to read from several threads while another commits: nodes never change, and the two
    generations of the cache are plain dicts; a race costs at most a second read from disk.
    """

    def __init__(self, view: View, prefix: bytes, *, cached_max: int) -> None:
        self._view = view
        self.prefix = prefix
        self._cached_max = cached_max
        # location -> reference ‖ row
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def load(self, reference: bytes, location: bytes) -> Node:
        """Return the node that a parent knows by this reference; CorruptState if it is another."""
        if len(reference) != REFERENCE_SIZE:
            return decode_node(reference)
        entry = self._young.get(location)
        if entry is None:
            entry = self._old.get(location) or reference + self._read(reference, location)
            self.remember(location, entry)
        if not entry.startswith(reference):  # a parent's row may lie about where its children are
            where = f"node {location.hex()}"
            raise CorruptState(where, Hash32(entry[1:REFERENCE_SIZE]), _hash(reference))
        return decode_row(entry, REFERENCE_SIZE)

    def remember(self, location: bytes, entry: bytes) -> None:
        """Keep a node's reference ‖ row in memory; forget the older half when there are many."""
        self._young[location] = entry
        if len(self._young) > self._cached_max:
            self._old = self._young
            self._young = {}

    def _read(self, reference: bytes, location: bytes) -> bytes:
        row = self._view.get(self.prefix + location)
        if row is None:
            where = f"node {location.hex()} is missing"
            raise CorruptState(where, keccak256(b""), _hash(reference))
        try:
            digest = keccak256(rlp_of_row(row))
            if digest != reference[1:]:
                raise CorruptState(f"node {location.hex()}", digest, _hash(reference))
            check_row(row)
        except (IndexError, EncodingError) as error:
            where = f"node {location.hex()}: {error}"
            raise CorruptState(where, keccak256(row), _hash(reference)) from error
        return row


def _hash(reference: bytes) -> Hash32:
    return Hash32(reference[1:])


def get_leaf(nodes: Nodes, root: Root, path: str) -> Leaf | None:
    """Return the leaf at the end of a path, None if there is none."""
    if root is None:
        return None
    reference, location = root
    depth = 0
    while True:
        node = nodes.load(reference, location)
        if isinstance(node, Branch):
            reference, location = get_child(node, SLOT[path[depth]])
            if reference == EMPTY_REFERENCE:
                return None
            depth += 1
        elif isinstance(node, Leaf):
            return node if path[depth:] == node.path else None
        else:
            if not path.startswith(node.path, depth):
                return None
            depth += len(node.path)
            reference, location = node.reference, node.location


def walk_leaves(nodes: Nodes, root: Root, prefix: str = "") -> Iterator[tuple[str, Leaf]]:
    """Yield (whole path, leaf) of every key, in order of path."""
    if root is not None:
        yield from _walk_node(nodes, nodes.load(*root), prefix)


def _walk_node(nodes: Nodes, node: Node, prefix: str) -> Iterator[tuple[str, Leaf]]:
    if isinstance(node, Leaf):
        yield prefix + node.path, node
    elif isinstance(node, Extension):
        child = nodes.load(node.reference, node.location)
        yield from _walk_node(nodes, child, prefix + node.path)
    else:
        for slot in get_slots(node):
            child = nodes.load(*get_child(node, slot))
            yield from _walk_node(nodes, child, prefix + DIGITS[slot])


def prove_path(nodes: Nodes, root: Root, path: str) -> list[bytes]:
    """Return the RLP of the nodes along a path, root first, as far as it exists.

    Embedded nodes are inside their parent's RLP and not listed, as in eth_getProof.
    """
    proof: list[bytes] = []
    if root is None:
        return proof
    reference, location = root
    depth = 0
    while reference != EMPTY_REFERENCE:
        node = nodes.load(reference, location)
        if len(reference) == REFERENCE_SIZE:
            proof.append(encode_node(node))
        if isinstance(node, Branch):
            reference, location = get_child(node, SLOT[path[depth]])
            depth += 1
        elif isinstance(node, Extension) and path.startswith(node.path, depth):
            reference, location = node.reference, node.location
            depth += len(node.path)
        else:
            break
    return proof


class Batch:
    """The nodes that one commit makes; several tries may share it."""

    def __init__(self, nodes: Nodes, sequence: bytes) -> None:
        self._nodes = nodes
        self._sequence = sequence
        self.rows: list[tuple[bytes, bytes]] = []
        """The stored form of every new node, by row key."""
        self.inserted: list[tuple[str, bytes]] = []
        """(path, key) of every key that was not there."""

    def update(self, root: Root, changes: list[Change]) -> Root:
        """Apply changes, sorted by path without repetition, and return the new root."""
        if not changes:
            return root
        node = None if root is None else self._nodes.load(*root)
        changed = self._update(node, changes, 0, len(changes), 0)
        if changed is None:
            return None
        return root if changed is node else Pointer(*self._seal(changed))

    # A call below changes the subtree `node` at `depth` digits by changes[low:high], which share
    # those digits, and returns the new subtree: `node` itself if nothing changed, None if empty.

    def _update(
        self, node: Node | None, changes: Sequence[Change], low: int, high: int, depth: int
    ) -> Node | None:
        if isinstance(node, Branch):
            return self._update_branch(node, changes, low, high, depth)
        if isinstance(node, Leaf):
            if high - low == 1:
                path, value, location, _ = changes[low]
                if path.endswith(node.path):
                    if value is None:
                        return None
                    if value == node.value and location == node.location:
                        return node
                    return Leaf(node.path, value, location)
            return self._update_leaf(node, changes[low:high], depth)
        if node is None:
            return self._build_present(changes[low:high], depth)
        return self._update_extension(node, changes[low:high], depth)

    def _update_branch(
        self, node: Branch, changes: Sequence[Change], low: int, high: int, depth: int
    ) -> Node | None:
        results: list[tuple[int, Node | None]] = []
        while low < high:
            digit = changes[low].path[depth]
            end = low + 1
            while end < high and changes[end].path[depth] == digit:
                end += 1
            slot = SLOT[digit]
            reference, location = get_child(node, slot)
            child = None
            if reference != EMPTY_REFERENCE:
                child = self._nodes.load(reference, location)
            result = self._update(child, changes, low, end, depth + 1)
            if result is not child:
                results.append((slot, result))
            low = end
        if not results:
            return node
        slot, only = results[0]
        if len(results) == 1 and only is not None:
            reference, location = self._seal(only)
            return put_children(node, ((slot, reference, location),))
        return self._assemble(node, results)

    def _assemble(self, branch: Branch, results: list[tuple[int, Node | None]]) -> Node | None:
        """Return a branch with its changed children, or what is left if fewer than two remain."""
        fresh = [(slot, node) for slot, node in results if node is not None]
        if len(fresh) < len(results):
            removed = [(slot, EMPTY_REFERENCE, b"") for slot, node in results if node is None]
            branch = put_children(branch, removed)
            places = [slot for slot, _ in fresh]
            kept = [slot for slot in get_slots(branch) if slot not in places]
            if not kept and not fresh:
                return None
            if not kept and len(fresh) == 1:
                slot, node = fresh[0]
                return self._prefixed(DIGITS[slot], node)
            if not fresh and len(kept) == 1:
                return self._prefix_stored(DIGITS[kept[0]], *get_child(branch, kept[0]))
        children = []
        for slot, node in fresh:
            reference, location = self._seal(node)
            children.append((slot, reference, location))
        return put_children(branch, children)

    def _prefixed(self, prefix: str, node: Node) -> Node:
        """Return an unsealed node moved up by the digits of `prefix`."""
        if isinstance(node, Branch):
            return Extension(prefix, *self._seal(node))
        return node._replace(path=prefix + node.path)

    def _prefix_stored(self, prefix: str, reference: bytes, location: bytes) -> Node:
        """Return a stored node moved up by the digits of `prefix`."""
        node = self._nodes.load(reference, location)
        if isinstance(node, Branch):
            return Extension(prefix, reference, location)
        return node._replace(path=prefix + node.path)

    def _update_leaf(self, node: Leaf, changes: Sequence[Change], depth: int) -> Node | None:
        path = changes[0].path[:depth] + node.path
        present = [change for change in changes if change.value is not None]
        if all(change.path != path for change in changes):
            if not present:
                return node
            present.append(Change(path, node.value, node.location, b""))
            present.sort()
        elif len(present) == 1 and present[0].path == path:
            _, value, location, _ = present[0]
            assert value is not None, "a present change has a value"
            same = value == node.value and location == node.location
            return node if same else Leaf(node.path, value, location)
        else:
            present = [
                change._replace(key=b"") if change.path == path else change for change in present
            ]
        return self._build(present, 0, len(present), depth) if present else None

    def _update_extension(
        self, node: Extension, changes: Sequence[Change], depth: int
    ) -> Node | None:
        shared = node.path
        kept = [c for c in changes if c.value is not None or c.path.startswith(shared, depth)]
        if not kept:
            return node
        fork = min(_common(kept[0].path, depth, shared), _common(kept[-1].path, depth, shared))
        if fork == len(shared):
            child = self._nodes.load(node.reference, node.location)
            result = self._update(child, kept, 0, len(kept), depth + fork)
            if result is child:
                return node
            return None if result is None else self._prefixed(shared, result)
        # A branch grows inside the extension; what the extension led to is one of its children.
        old_slot = SLOT[shared[fork]]
        results: list[tuple[int, Node | None]] = []
        branch = EMPTY_BRANCH
        rest: Node
        if fork + 1 < len(shared):
            rest = node._replace(path=shared[fork + 1 :])
            results.append((old_slot, rest))
        else:
            rest = self._nodes.load(node.reference, node.location)
            branch = put_children(branch, [(old_slot, node.reference, node.location)])
        for start, end, slot in _groups(kept, 0, len(kept), depth + fork):
            child_before = rest if slot == old_slot else None
            result = self._update(child_before, kept, start, end, depth + fork + 1)
            if result is not child_before:
                results = [(s, r) for s, r in results if s != slot] + [(slot, result)]
        forked = self._assemble(branch, results)
        return self._prefixed(shared[:fork], forked) if forked and fork else forked

    def _build_present(self, changes: Sequence[Change], depth: int) -> Node | None:
        present = [change for change in changes if change.value is not None]
        return self._build(present, 0, len(present), depth) if present else None

    def _build(self, changes: Sequence[Change], low: int, high: int, depth: int) -> Node:
        """Return a new subtree of changes that all have a value."""
        first, value, location, key = changes[low]
        if high - low == 1:
            if key:
                self.inserted.append((first, key))
            assert value is not None, "a removal was built"
            return Leaf(first[depth:], value, location)
        last = changes[high - 1].path
        fork = depth
        while first[fork] == last[fork]:
            fork += 1
        children = [
            (slot, *self._seal(self._build(changes, start, end, fork + 1)))
            for start, end, slot in _groups(changes, low, high, fork)
        ]
        branch = put_children(EMPTY_BRANCH, children)
        return branch if fork == depth else Extension(first[depth:fork], *self._seal(branch))

    def _seal(self, node: Node) -> tuple[bytes, bytes]:
        """Encode, hash and place a node; return its reference and location."""
        rlp, row = encode_row(node)
        if len(rlp) < 32:
            return rlp, b""
        location = self._sequence + len(self.rows).to_bytes(3, "big")
        reference = b"\xa0" + keccak256(rlp)
        self.rows.append((self._nodes.prefix + location, row))
        self._nodes.remember(location, reference + row)
        return reference, location


def _groups(
    changes: Sequence[Change], low: int, high: int, depth: int
) -> Iterator[tuple[int, int, int]]:
    """Yield (start, end, slot) of each run of changes with the same digit at `depth`."""
    while low < high:
        digit = changes[low].path[depth]
        end = low + 1
        while end < high and changes[end].path[depth] == digit:
            end += 1
        yield low, end, SLOT[digit]
        low = end


def _common(path: str, depth: int, shared: str) -> int:
    """Return how many digits of `shared` the path has from `depth` on."""
    count = 0
    while count < len(shared) and path[depth + count] == shared[count]:
        count += 1
    return count
