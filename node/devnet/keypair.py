"""Somebody who signs."""

from typing import NamedTuple

from node.units import Address


class Keypair(NamedTuple):
    """A private key and its address."""

    address: Address
    private_key: bytes
    """32 bytes."""
