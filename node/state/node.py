"""The three kinds of trie node, as Ethereum encodes them and as they are stored.

A *path* is a string of hex digits. A *reference* is what a parent holds of a child, already in RLP:
0xa0 and the keccak of the child's RLP, or that RLP itself if it is shorter than 32 bytes (such a
child is *embedded* and has no row of its own). A *location* is the 8-byte key of a stored node, b""
where there is none. A stored node is

    count (1 byte) ‖ the locations of its hashed children (8 bytes each, in order) ‖ RLP

An account leaf has no hashed child, but carries the location of its storage root in the same place.
RLP is assembled here by hand: this is the hot path of every block.
"""

from typing import NamedTuple

from node.crypto import keccak256
from node.errors import EncodingError
from node.units import Hash32

EMPTY_REFERENCE = b"\x80"
EMPTY_TRIE_ROOT = Hash32(keccak256(b"\x80"))
REFERENCE_SIZE = 33
LOCATION_SIZE = 8
DIGITS = "0123456789abcdef"
SLOT = {digit: slot for slot, digit in enumerate(DIGITS)}
"""The place of a hex digit's child in a branch."""


class Leaf(NamedTuple):
    """The end of one key's path."""

    path: str
    """The digits of the key below the parent."""
    value: bytes
    location: bytes
    """Of the root of the account's storage; b"" if that is empty, and in storage tries."""


class Extension(NamedTuple):
    """Digits that all keys below share."""

    path: str
    reference: bytes
    location: bytes


class Branch(NamedTuple):
    """Sixteen children; no value, since no key here is the beginning of another."""

    references: list[bytes]
    """Never changed once the node is made."""
    locations: list[bytes]
    """b"" where there is no child, or an embedded one."""


Node = Leaf | Extension | Branch


def _head(size: int, short: int) -> bytes:
    if size < 56:
        return bytes((short + size,))
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((short + 55 + len(length),)) + length


_STRING_HEADS = [_head(size, 0x80) for size in range(1024)]
_LIST_HEADS = [_head(size, 0xC0) for size in range(2048)]
_COUNTS = [bytes((count,)) for count in range(17)]


def rlp_string(data: bytes) -> bytes:
    """Return the RLP of a byte string."""
    size = len(data)
    if size == 1 and data[0] < 0x80:
        return data
    return (_STRING_HEADS[size] if size < 1024 else _head(size, 0x80)) + data


def rlp_list(payload: bytes) -> bytes:
    """Return the RLP of a list whose items' RLP is `payload`."""
    size = len(payload)
    return (_LIST_HEADS[size] if size < 2048 else _head(size, 0xC0)) + payload


def string_of_rlp(data: bytes) -> bytes:
    """Return the byte string whose whole RLP is `data`; EncodingError if it is none."""
    start, end = _item(data, 0)
    if end != len(data) or data[0] >= 0xC0:
        raise EncodingError(f"0x{data.hex()} is not the RLP of one byte string")
    return data[start:]


def encode_leaf(path: str, value: bytes) -> bytes:
    """Return a leaf's RLP: [hex-prefix path with the terminator flag, value]."""
    compact = bytes.fromhex("3" + path if len(path) & 1 else "20" + path)
    return rlp_list(rlp_string(compact) + rlp_string(value))


def encode_extension(path: str, reference: bytes) -> bytes:
    """Return an extension's RLP: [hex-prefix path, child]."""
    compact = bytes.fromhex("1" + path if len(path) & 1 else "00" + path)
    return rlp_list(rlp_string(compact) + reference)


def encode_branch(references: list[bytes]) -> bytes:
    """Return a branch's RLP: sixteen children and an empty value."""
    return rlp_list(b"".join(references) + b"\x80")


def encode_node(node: Node) -> bytes:
    """Return a node's RLP, the bytes that are hashed and that a proof lists."""
    if isinstance(node, Branch):
        return encode_branch(node.references)
    if isinstance(node, Leaf):
        return encode_leaf(node.path, node.value)
    return encode_extension(node.path, node.reference)


def stored_form(node: Node, rlp: bytes) -> bytes:
    """Return a node's row, given its RLP."""
    if isinstance(node, Branch):
        locations = b"".join(node.locations)
        return _COUNTS[len(locations) >> 3] + locations + rlp
    return _COUNTS[len(node.location) >> 3] + node.location + rlp


def split_stored(row: bytes) -> tuple[bytes, bytes]:
    """Return (locations, RLP) of a node's row."""
    end = 1 + LOCATION_SIZE * row[0]
    return row[1:end], row[end:]


def decode_node(rlp: bytes, locations: bytes = b"") -> Node:
    """Return the node of this RLP; EncodingError if the bytes or the locations do not fit a node.

    `locations` may be left out (all children are then without location), as a proof does.
    """
    try:
        items = _items(rlp)
    except IndexError as error:
        raise EncodingError("a trie node ends early") from error
    if len(items) == 17:
        return Branch(items[:16], _spread(items[:16], locations))
    if len(items) != 2:
        raise EncodingError(f"a trie node has {len(items)} items, expected 2 or 17")
    compact = string_of_rlp(items[0]).hex()
    flag = compact[:1]
    if flag not in ("0", "1", "2", "3"):
        raise EncodingError("a trie node's path has no valid flag")
    path = compact[1:] if flag in ("1", "3") else compact[2:]
    if flag in ("2", "3"):
        if len(locations) not in (0, LOCATION_SIZE):
            raise EncodingError("a leaf has more than one location")
        return Leaf(path, string_of_rlp(items[1]), locations)
    return Extension(path, items[1], _spread(items[1:], locations)[0])


def _spread(references: list[bytes], locations: bytes) -> list[bytes]:
    """Return a location for each reference, b"" for those that are not hashes."""
    hashed = [len(reference) == REFERENCE_SIZE for reference in references]
    if not locations:
        return [b""] * len(references)
    if sum(hashed) * LOCATION_SIZE != len(locations):
        raise EncodingError("a trie node has not one location for each hashed child")
    parts = iter(range(0, len(locations), LOCATION_SIZE))
    return [
        locations[(start := next(parts)) : start + LOCATION_SIZE] if is_hash else b""
        for is_hash in hashed
    ]


def _items(rlp: bytes) -> list[bytes]:
    """Return the RLP of each item of a list."""
    position, end = _item(rlp, 0)
    if end != len(rlp) or rlp[0] < 0xC0:
        raise EncodingError("a trie node is not one RLP list")
    if end == 532 and rlp[position] == 0xA0 and rlp[position + REFERENCE_SIZE] == 0xA0:
        # Sixteen hashes and an empty value: the common branch near the root.
        return [rlp[at : at + REFERENCE_SIZE] for at in range(3, 531, REFERENCE_SIZE)] + [b"\x80"]
    items = []
    while position < end:
        start = position
        _, position = _item(rlp, start)
        items.append(rlp[start:position])
    return items


def _item(rlp: bytes, at: int) -> tuple[int, int]:
    """Return where the payload of the item at `at` begins and ends."""
    first = rlp[at]
    if first < 0x80:
        return at, at + 1
    if first < 0xB8:
        return at + 1, at + first - 0x7F
    if first < 0xC0:
        start = at + first - 0xB6
        return start, start + int.from_bytes(rlp[at + 1 : start], "big")
    if first < 0xF8:
        return at + 1, at + first - 0xBF
    start = at + first - 0xF6
    return start, start + int.from_bytes(rlp[at + 1 : start], "big")
