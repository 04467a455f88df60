"""What differs between the states of two blocks, record by record, across branches as well.

The walk skips what is equal, so the cost is that of the differences. A record is decoded as the
kind that its key names (`node.chain.keys`); an account's storage root is told by its records.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

from node.chain import keys
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.state.difference import AccountDifference, Difference, walk
from node.units import Address, Wei


class NativeAccount(NamedTuple):
    """What the trie of accounts says of one."""

    nonce: int
    balance_wei: Wei


class Change(NamedTuple):
    """A record, or an account, that is not the same after both blocks."""

    address: Address
    """The contract that keeps the record, or the account."""
    key: bytes
    """The record's; empty for an account."""
    kind: str
    """The record's type: "Position"; "NativeAccount"."""
    subject: str
    """Whom it is about: "market 1, account 0x…"."""
    before: Any
    """The record, None where there is none; bytes of a kind that is not known."""
    after: Any


class Comparison(NamedTuple):
    """The first differences between two states, in the order of their paths."""

    changes: tuple[Change, ...]
    is_whole: bool
    """Whether these are all."""


def compare_states(
    blockchain: Blockchain, before: Block, after: Block, *, limit: int
) -> Comparison:
    """Return what differs between the states after two blocks, at most `limit` changes of it.

    Raises MissingState if one of them is not kept.
    """
    differences = walk(blockchain.proof_state(before), blockchain.proof_state(after))
    changes = (each for each in map(_read, differences) if each is not None)
    found = tuple(islice(changes, limit + 1))
    return Comparison(found[:limit], len(found) <= limit)


def list_changed(change: Change) -> list[str]:
    """Return the names of the fields that differ; none where the record is new or gone."""
    before, after = change.before, change.after
    if before is None or after is None or type(before) is not type(after):
        return []
    if not hasattr(before, "_fields"):
        return []
    pairs = zip(before._fields, before, after, strict=True)
    return [name for name, was, now in pairs if was != now]


def _read(difference: Difference) -> Change | None:
    address = difference.address
    if isinstance(difference, AccountDifference):
        before, after = (
            None if leaf is None else NativeAccount(leaf.nonce, Wei(leaf.balance))
            for leaf in (difference.before, difference.after)
        )
        if before == after:
            return None
        return Change(address, b"", "NativeAccount", f"account 0x{address.hex()}", before, after)
    key = difference.key
    place = keys.find_place(key)
    kind = "bytes" if place is None else place.codec.record_class.__name__
    was, now = (
        data if data is None or place is None else place.codec.decode(data)
        for data in (difference.before, difference.after)
    )
    return Change(address, key, kind, keys.name_subject(key), was, now)
