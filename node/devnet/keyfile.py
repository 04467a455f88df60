"""An account's key file: its address and private key."""

import secrets
from pathlib import Path

from node.chain.key_file import Kind, read_key, render_key, write_key
from node.crypto import CURVE_ORDER, address_of, checksum_address
from node.devnet.keypair import Keypair


def _show_address(private_key: bytes) -> str | None:
    if not 0 < int.from_bytes(private_key, "big") < CURVE_ORDER:
        return None
    return checksum_address(address_of(private_key))


_KIND = Kind(
    public="address",
    show_public=_show_address,
    wanted="name a key file",
    command="perpnode keys new FILE",
)


def make_key_file(path: Path) -> Keypair:
    """Write a new random key to a file that must not exist yet, mode 0600, synced."""
    private_key = (secrets.randbelow(CURVE_ORDER - 1) + 1).to_bytes(32, "big")
    write_key(path, _KIND, private_key)
    return Keypair(address_of(private_key), private_key)


def render_key_file(keypair: Keypair) -> str:
    """Return the text of a keypair's file."""
    return render_key(_KIND, keypair.private_key)


def read_key_file(path: Path) -> Keypair:
    """Read a key file; KeyFileError for one that is missing, malformed or open to others."""
    private_key = read_key(path, _KIND)
    return Keypair(address_of(private_key), private_key)
