"""The devnet's people: keys derived from the well-known development mnemonic. Never hold value.

Only the `devnet` and `keys` commands import this: deriving needs eth-account, which a node process
must not load (0.6 s, 60 MB). Actors get their keys on standard input.
"""

from collections.abc import Container, Iterator
from functools import cache
from itertools import count, islice, takewhile

from eth_account.hdaccount import key_from_seed, seed_from_mnemonic

from node.crypto import address_of
from node.devnet.keypair import Keypair
from node.units import Address

MNEMONIC = "test test test test test test test test test test test junk"
"""Known to everybody: anvil's and hardhat's accounts come from it as well."""
ACCOUNTS_PATH = "m/44'/60'/0'/0/"
"""Funded accounts for people; the first is 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266."""
REPORTERS_PATH = "m/44'/60'/1'/0/"
BOTS_PATH = "m/44'/60'/2'/0/"
COUNCIL_PATH = "m/44'/60'/3'/0/"


def derive_keys(path: str, number: int, *, mnemonic: str = MNEMONIC) -> tuple[Keypair, ...]:
    """Return the keys at path0, path1, … (BIP-39 without passphrase, BIP-32)."""
    return tuple(islice(_keys(path, mnemonic), number))


def derive_leading_keys(path: str, present: Container[Address]) -> tuple[Keypair, ...]:
    """Return the development keys at path0, path1, … up to the first that is not present."""
    return tuple(takewhile(lambda keypair: keypair.address in present, _keys(path, MNEMONIC)))


def _keys(path: str, mnemonic: str) -> Iterator[Keypair]:
    seed = _seed(mnemonic)
    for index in count(0):
        private_key = key_from_seed(seed, f"{path}{index}")
        yield Keypair(address_of(private_key), private_key)


@cache
def _seed(mnemonic: str) -> bytes:
    return seed_from_mnemonic(mnemonic, "")
