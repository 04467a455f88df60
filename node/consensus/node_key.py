"""A node's own Ed25519 key: who a sequencer or validator is, in a file only its owner can read."""

import json
import os
import re
import secrets
from pathlib import Path
from typing import NamedTuple, NoReturn

from node.chain.regular_file import read_regular
from node.crypto import ed25519_public_key
from node.encoding import load_json
from node.errors import KeyFileError

FIELDS = ["private_key", "public_key"]
SIZE_MAX = 4096


class NodeKey(NamedTuple):
    """What a node signs with, and how genesis names it."""

    public_key: bytes
    seed: bytes
    """32 bytes, the private half."""


def make_node_key(path: Path) -> NodeKey:
    """Write a new random key to a file that must not exist yet, mode 0600, synced."""
    seed = secrets.token_bytes(32)
    key = NodeKey(ed25519_public_key(seed), seed)
    document = {"public_key": "0x" + key.public_key.hex(), "private_key": "0x" + seed.hex()}
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(json.dumps(document, indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        _fail(path, "exists already", "keys are never overwritten, name another file")
    except OSError as error:
        _fail(path, f"can't be written ({error.strerror})", "name another file")
    return key


def read_node_key(path: Path) -> NodeKey:
    """Read a key file; KeyFileError for one that is missing, malformed or open to others."""
    try:
        data = read_regular(path, SIZE_MAX)
        if path.stat().st_mode & 0o077:
            _fail(path, "can be read by others", f"run chmod 600 {path}")
    except OSError as error:
        _fail(path, f"can't be read ({error.strerror})", "name a node's key file by --key")
    try:
        document = load_json(data)
    except (ValueError, RecursionError):
        _fail(path, "is no JSON", "make a key by perpnode keys new --node FILE")
    if not isinstance(document, dict) or sorted(document) != FIELDS:
        _fail(
            path,
            f"must have the fields {' and '.join(FIELDS)} alone",
            "make a key by perpnode keys new --node FILE",
        )
    text = document["private_key"]
    if not isinstance(text, str) or not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        _fail(path, "has a private_key that is not 0x and 64 hex digits", "mend or replace it")
    seed = bytes.fromhex(text[2:])
    key = NodeKey(ed25519_public_key(seed), seed)
    if document["public_key"] != "0x" + key.public_key.hex():
        _fail(
            path,
            "has a public_key that is not its private key's",
            f"it is 0x{key.public_key.hex()}",
        )
    return key


def _fail(path: Path, problem: str, remedy: str) -> NoReturn:
    raise KeyFileError(f"{path}: {problem}: {remedy}")
