"""A node's own Ed25519 key: who a sequencer or validator is, in a file only its owner can read."""

import secrets
from pathlib import Path
from typing import NamedTuple

from node.chain.key_file import Kind, read_key, write_key
from node.crypto import ED25519_KEY_SIZE, ed25519_public_key


class NodeKey(NamedTuple):
    """What a node signs with, and how genesis names it."""

    public_key: bytes
    seed: bytes
    """32 bytes, the private half."""


_KIND = Kind(
    public="public_key",
    show_public=lambda seed: "0x" + ed25519_public_key(seed).hex(),
    wanted="name a node's key file by --key",
    command="perpnode keys new --node FILE",
)


def make_node_key(path: Path) -> NodeKey:
    """Write a new random key to a file that must not exist yet, mode 0600, synced."""
    seed = secrets.token_bytes(ED25519_KEY_SIZE)
    write_key(path, _KIND, seed)
    return NodeKey(ed25519_public_key(seed), seed)


def read_node_key(path: Path) -> NodeKey:
    """Read a key file; KeyFileError for one that is missing, malformed or open to others."""
    seed = read_key(path, _KIND)
    return NodeKey(ed25519_public_key(seed), seed)
