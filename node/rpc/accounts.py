"""The development accounts for which the node signs: `eth_accounts` lists them.

Their keys come from a file that `perpnode devnet` writes (mode 0600) and names to the node by
`--accounts-file`; a chain whose genesis does not say `dev: true` has none.
"""

import asyncio
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from node.chain.regular_file import read_regular
from node.chain.transaction import Transaction, UnsignedTransaction, sign_transaction
from node.crypto import Signature, address_of, sign
from node.encoding import load_json
from node.errors import KeyFileError
from node.rpc.errors import InvalidParams
from node.units import Address

FILE_MAX: Final = 1024 * 1024
"""Bytes; 1,000 keys are 70,000."""
_KEY = re.compile("0x[0-9a-fA-F]{64}")


class Accounts:
    """Private keys by address, in the order of the file."""

    def __init__(self, private_keys: Iterable[bytes] = ()) -> None:
        self._keys = {address_of(key): key for key in private_keys}
        self.sending = asyncio.Lock()
        """Held from the choice of a nonce until the mempool has the transaction."""

    def addresses(self) -> list[Address]:
        """Return whom the node signs for."""
        return list(self._keys)

    def sign_digest(self, address: Address, digest: bytes) -> Signature:
        """Sign a digest; raise InvalidParams for somebody else's address."""
        return sign(digest, self._key_of(address))

    def sign_transaction(self, address: Address, unsigned: UnsignedTransaction) -> Transaction:
        """Sign a transaction; raise InvalidParams for somebody else's address."""
        return sign_transaction(unsigned, self._key_of(address))

    def require(self, address: Address) -> None:
        """Raise InvalidParams for somebody else's address."""
        self._key_of(address)

    def _key_of(self, address: Address) -> bytes:
        key = self._keys.get(address)
        if key is None:
            raise InvalidParams(f"No Signer available: 0x{address.hex()} is none of eth_accounts")
        return key


def read_accounts(path: Path) -> Accounts:
    """Read the keys: a JSON array of "0x" and 64 hex digits; raise KeyFileError."""
    try:
        document = load_json(read_regular(path, FILE_MAX))
    except OSError as error:
        raise KeyFileError(f"{path}: can't be read ({error.strerror}): name a file") from None
    except ValueError:
        raise KeyFileError(f"{path}: is no JSON: want an array of private keys") from None
    if not isinstance(document, list) or not all(
        isinstance(each, str) and _KEY.fullmatch(each) for each in document
    ):
        raise KeyFileError(f"{path}: want an array of private keys, 0x and 64 hex digits each")
    try:
        return Accounts(bytes.fromhex(each[2:]) for each in document)
    except KeyFileError as error:
        raise KeyFileError(f"{path}: {error}") from None


def render_accounts(private_keys: Iterable[bytes]) -> str:
    """Return the file's text."""
    return json.dumps(["0x" + key.hex() for key in private_keys], indent=2) + "\n"
