"""The tries of a block's body: transactions, receipts and transitions under rlp(index).

Built whole, bottom up, and never stored: a proof builds the trie again.
"""

from collections.abc import Sequence
from functools import lru_cache

from node.crypto import keccak256
from node.encoding import rlp_list_of, rlp_string
from node.state.node import (
    EMPTY_REFERENCE,
    EMPTY_TRIE_ROOT,
    SLOT,
    Branch,
    Extension,
    decode_node,
    encode_leaf_path,
    encode_node,
    get_child,
)
from node.units import Hash32

_Entry = tuple[str, bytes]
"""(path, value); paths ascend, and none is the beginning of another."""


def ordered_root(values: Sequence[bytes]) -> Hash32:
    """Return the root of the trie that holds each value under rlp(its index).

    The values must not be empty: Ethereum's trie takes an empty value for none.
    """
    if not values:
        return EMPTY_TRIE_ROOT
    return keccak256(_build(_entries(values), 0, len(values), 0, None))


def ordered_proof(values: Sequence[bytes], index: int) -> list[bytes]:
    """Return the nodes that prove the value at `index` under `ordered_root(values)`, root first."""
    assert 0 <= index < len(values), f"index {index} of {len(values)} values"
    nodes: dict[bytes, bytes] = {}
    rlp = _build(_entries(values), 0, len(values), 0, nodes)
    proof = [rlp]
    path = _path(index)
    depth = 0
    while True:
        node = decode_node(rlp)
        if isinstance(node, Branch):
            reference, _ = get_child(node, SLOT[path[depth]])
            depth += 1
        elif isinstance(node, Extension):
            reference = node.reference
            depth += len(node.path)
        else:
            return proof
        rlp = nodes.get(reference, reference)  # an embedded node is its own reference
        if rlp is not reference:
            proof.append(rlp)


@lru_cache(maxsize=2**14)
def _path(index: int) -> str:
    """Return the digits of rlp(index)."""
    if index < 128:
        return f"{index:02x}" if index else "80"
    digits = f"{index:x}"
    size = (len(digits) + 1) // 2
    return f"{0x80 + size:x}{digits.zfill(2 * size)}"


def _entries(values: Sequence[bytes]) -> list[_Entry]:
    """Return the entries in order of path: 1 to 127, then 0 (rlp 0x80), then the rest."""
    entries = [(_path(index), value) for index, value in enumerate(values)]
    return entries[1:128] + entries[:1] + entries[128:]


def _build(
    entries: list[_Entry], low: int, high: int, depth: int, nodes: dict[bytes, bytes] | None
) -> bytes:
    """Return the RLP of the node above entries[low:high]; put those below it into any `nodes`."""
    first, value = entries[low]
    if high - low == 1:
        return rlp_list_of(_leaf_path(first[depth:]) + rlp_string(value))
    last = entries[high - 1][0]
    fork = depth
    while first[fork] == last[fork]:
        fork += 1
    references = [EMPTY_REFERENCE] * 16
    while low < high:
        digit = entries[low][0][fork]
        end = low + 1
        while end < high and entries[end][0][fork] == digit:
            end += 1
        references[SLOT[digit]] = _refer(_build(entries, low, end, fork + 1, nodes), nodes)
        low = end
    branch = rlp_list_of(b"".join(references) + b"\x80")
    if fork == depth:
        return branch
    return encode_node(Extension(first[depth:fork], _refer(branch, nodes), b""))


@lru_cache(maxsize=2**12)
def _leaf_path(path: str) -> bytes:
    """Return the RLP of a leaf's path: what is left of one is short, and there are few."""
    return encode_leaf_path(path)


def _refer(rlp: bytes, nodes: dict[bytes, bytes] | None) -> bytes:
    """Return a node's reference, and keep the node under it if anybody wants it."""
    if len(rlp) < 32:
        return rlp
    reference = b"\xa0" + keccak256(rlp)
    if nodes is not None:
        nodes[reference] = rlp
    return reference
