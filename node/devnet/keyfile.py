"""Key files: an account's address and private key as JSON, readable by their owner alone."""

import json
import os
import re
import secrets
from pathlib import Path
from typing import NoReturn

from node.chain.regular_file import read_regular
from node.crypto import CURVE_ORDER, address_of, checksum_address
from node.devnet.keypair import Keypair
from node.encoding import load_json
from node.errors import KeyFileError

FIELDS = ["address", "private_key"]
SIZE_MAX = 4096


def make_key_file(path: Path) -> Keypair:
    """Write a new random key to a file that must not exist yet, mode 0600."""
    private_key = (secrets.randbelow(CURVE_ORDER - 1) + 1).to_bytes(32, "big")
    keypair = Keypair(address_of(private_key), private_key)
    document = {
        "address": checksum_address(keypair.address),
        "private_key": "0x" + private_key.hex(),
    }
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
    return keypair


def read_key_file(path: Path) -> Keypair:
    """Read a key file; KeyFileError for one that is missing, malformed or open to others."""
    try:
        data = read_regular(path, SIZE_MAX)
        if path.stat().st_mode & 0o077:
            _fail(path, "can be read by others", f"run chmod 600 {path}")
    except OSError as error:
        _fail(path, f"can't be read ({error.strerror})", "name a key file")
    try:
        document = load_json(data)
    except (ValueError, RecursionError):
        _fail(path, "is no JSON", "make a key by perpnode keys new FILE")
    if not isinstance(document, dict) or sorted(document) != FIELDS:
        _fail(path, f"must have the fields {' and '.join(FIELDS)} alone", "make a new one")
    text = document["private_key"]
    if not isinstance(text, str) or not re.fullmatch("0x[0-9a-fA-F]{64}", text):
        _fail(path, "has a private_key that is not 0x and 64 hex digits", "mend or replace it")
    private_key = bytes.fromhex(text[2:])
    if not 0 < int.from_bytes(private_key, "big") < CURVE_ORDER:
        _fail(path, "has a private_key outside of the curve's range", "make a new one")
    keypair = Keypair(address_of(private_key), private_key)
    if document["address"] != checksum_address(keypair.address):
        expected = checksum_address(keypair.address)
        _fail(path, "has an address that is not its key's", f"the key's is {expected}")
    return keypair


def _fail(path: Path, problem: str, remedy: str) -> NoReturn:
    raise KeyFileError(f"{path}: {problem}: {remedy}")
