"""What `eth_getProof` answers, verified by whoever has nothing but a root that he believes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from node.crypto import keccak256
from node.encoding import rlp_decode_list
from node.state.node import EMPTY_TRIE_ROOT

BRANCH_LENGTH = 17


class ProofRefused(Exception):
    """Nodes that prove nothing; says why."""


def verify_proof(root: bytes, key: bytes, nodes: Sequence[bytes]) -> bytes:
    """Return what stands under a key in the trie of a root, nothing if it is proven absent.

    Each node must have the hash by which the one before it names it; a short one stands within it.
    """
    if root == EMPTY_TRIE_ROOT:
        return b""
    path, child = _nibbles(keccak256(key)), root
    for node in nodes:
        if keccak256(node) != child:
            raise ProofRefused(f"a node hashes to 0x{keccak256(node).hex()}, not 0x{child.hex()}")
        items: Any = rlp_decode_list(node)
        while isinstance(items, list | tuple):
            if len(items) == BRANCH_LENGTH:
                if not path:
                    return bytes(items[-1])
                items, path = items[path[0]], path[1:]
                continue
            prefix = _nibbles(items[0])
            own = prefix[1:] if prefix[0] % 2 else prefix[2:]
            if path[: len(own)] != own:
                return b""
            path = path[len(own) :]
            if prefix[0] >= 2:
                return b"" if path else bytes(items[1])
            items = items[1]
        if not items:
            return b""
        child = items
    raise ProofRefused("the nodes end before the path does")


def _nibbles(data: bytes) -> list[int]:
    return [int(digit, 16) for digit in data.hex()]
