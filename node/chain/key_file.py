"""Key files: a private key and what others know it by, as JSON, readable by their owner alone.

An account's and a node's are two kinds of it: `node.devnet.keyfile`, `node.consensus.node_key`.
"""

import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn

from node.chain.regular_file import read_regular
from node.encoding import load_json
from node.errors import KeyFileError

SIZE_MAX = 4096
"""Bytes of a file."""


class Kind(NamedTuple):
    """One kind of key file."""

    public: str
    """The field that holds what others know the key by."""
    show_public: Callable[[bytes], str | None]
    """Returns that for a private key of 32 bytes; None if it is out of the curve's range."""
    wanted: str
    """What to do without a file: "name a key file"."""
    command: str
    """What makes one: "perpnode keys new FILE"."""


def render_key(kind: Kind, private_key: bytes) -> str:
    """Return a key file's text."""
    document = {
        kind.public: kind.show_public(private_key),
        "private_key": "0x" + private_key.hex(),
    }
    return json.dumps(document, indent=2) + "\n"


def write_key(path: Path, kind: Kind, private_key: bytes) -> None:
    """Write a key to a file that must not exist yet, mode 0600, synced."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(render_key(kind, private_key))
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        _fail(path, "exists already", "keys are never overwritten, name another file")
    except OSError as error:
        _fail(path, f"can't be written ({error.strerror})", "name another file")


def read_key(path: Path, kind: Kind) -> bytes:
    """Return a file's private key; KeyFileError if it is missing, malformed or open to others."""
    try:
        data = read_regular(path, SIZE_MAX)
        if path.stat().st_mode & 0o077:
            _fail(path, "can be read by others", f"run chmod 600 {path}")
    except OSError as error:
        _fail(path, f"can't be read ({error.strerror})", kind.wanted)
    remedy = f"make a key by {kind.command}"
    try:
        document = load_json(data)
    except (ValueError, RecursionError):
        _fail(path, "is no JSON", remedy)
    fields = sorted((kind.public, "private_key"))
    if not isinstance(document, dict) or sorted(document) != fields:
        _fail(path, f"must have the fields {' and '.join(fields)} alone", remedy)
    text = document["private_key"]
    if not isinstance(text, str) or not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        _fail(path, "has a private_key that is not 0x and 64 hex digits", "mend or replace it")
    private_key = bytes.fromhex(text[2:])
    expected = kind.show_public(private_key)
    if expected is None:
        _fail(path, "has a private_key outside of the curve's range", remedy)
    if document[kind.public] != expected:
        _fail(path, f"names another {kind.public} than its key's", f"it is {expected}")
    return private_key


def _fail(path: Path, problem: str, remedy: str) -> NoReturn:
    raise KeyFileError(f"{path}: {problem}: {remedy}")
