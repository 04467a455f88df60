"""The three kinds of trie node, as Ethereum encodes them and as they are stored.

A *path* is a string of hex digits. A *reference* is what a parent holds of a child, already in RLP:
0xa0 and the keccak of the child's RLP, or that RLP itself if it is shorter than 32 bytes (such a
child is *embedded* and has no row of its own). A *location* is the 8-byte key of a stored node, b""
where there is none. A node's row is

    kind (1 byte) ‖ mask (2 bytes) ‖ 8-byte locations ‖ payload

The payload is the node's RLP without its list header, which follows from the length: keccak covers
it. The mask has a bit for each child of a branch that is a hash, lowest digit first, and as many
locations follow. An extension has bit 0 if its child is a hash, an account leaf if it carries the
location of its storage root. A branch stays in this form in memory: a child's place is a count of
bits, a change one splice, and Python's garbage collector has nothing to traverse. RLP is assembled
by hand here, because this is the hot path of every block.
"""

from collections.abc import Iterable
from typing import NamedTuple

from node.crypto import keccak256
from node.encoding import rlp_list_of, rlp_string
from node.errors import EncodingError
from node.units import Hash32

EMPTY_REFERENCE = b"\x80"
EMPTY_TRIE_ROOT = Hash32(keccak256(b"\x80"))
REFERENCE_SIZE = 33
LOCATION_SIZE = 8
DIGITS = "0123456789abcdef"
SLOT = {digit: slot for slot, digit in enumerate(DIGITS)}
"""The place of a hex digit's child in a branch."""

_LEAF, _EXTENSION, _BRANCH = 0, 1, 2
_HEAD_SIZE = 3


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

    mask: int
    """Bit n is set if child n is a hash, not empty and not embedded."""
    locations: bytes
    payload: bytes
    """Sixteen references and the empty value."""


Node = Leaf | Extension | Branch

EMPTY_BRANCH = Branch(0, b"", b"\x80" * 17)


def string_of_rlp(data: bytes) -> bytes:
    """Return the byte string whose whole RLP is `data`; EncodingError if it is none."""
    start, end = _item(data, 0) if data else (0, -1)
    if end != len(data) or data[0] >= 0xC0:
        raise EncodingError(f"0x{data.hex()} is not the RLP of one byte string")
    return data[start:]


def encode_node(node: Node) -> bytes:
    """Return a node's RLP, the bytes that are hashed and that a proof lists."""
    return rlp_list_of(_payload_of(node))


def encode_row(node: Node) -> tuple[bytes, bytes]:
    """Return (RLP, row) of a node."""
    if type(node) is Branch:
        mask, locations, payload = node
        row = _BRANCH_KIND + mask.to_bytes(2, "big") + locations + payload
    else:
        payload = _payload_of(node)
        location = node[2]
        heads = _LEAF_HEADS if type(node) is Leaf else _EXTENSION_HEADS
        row = heads[1] + location + payload if location else heads[0] + payload
    return rlp_list_of(payload), row


def rlp_of_row(row: bytes) -> bytes:
    """Return the RLP of a row's node, IndexError if the row is too short."""
    mask = row[1] << 8 | row[2]
    return rlp_list_of(row[_HEAD_SIZE + LOCATION_SIZE * mask.bit_count() :])


def decode_row(row: bytes, start: int = 0) -> Node:
    """Return the node of a row that was checked by `check_row`; the row begins at `start`."""
    kind = row[start]
    mask = row[start + 1] << 8 | row[start + 2]
    start += _HEAD_SIZE
    end = start + LOCATION_SIZE * mask.bit_count()
    if kind == _BRANCH:
        return Branch(mask, row[start:end], row[end:])
    return _decode_pair(row[end:], row[start:end])


def check_row(row: bytes) -> None:
    """Raise EncodingError unless kind and mask, which no hash covers, fit the payload."""
    mask = row[1] << 8 | row[2]
    node = decode_node(rlp_of_row(row))
    if isinstance(node, Branch):
        is_right = row[0] == _BRANCH and mask == node.mask
    elif isinstance(node, Extension):
        is_right = row[0] == _EXTENSION and mask == (len(node.reference) == REFERENCE_SIZE)
    else:
        is_right = row[0] == _LEAF and mask <= 1
    if not is_right:
        raise EncodingError("the kind or the mask of a stored node does not fit its RLP")


def decode_node(rlp: bytes) -> Node:
    """Return the node of an RLP, its children without location; EncodingError if it is none."""
    try:
        start, end = _item(rlp, 0)
        if end != len(rlp) or rlp[0] < 0xC0:
            raise EncodingError("a trie node is not one RLP list")
        payload = rlp[start:]
        mask = count = position = 0
        while position < len(payload):
            _, after = _item(payload, position)
            if after - position == REFERENCE_SIZE and count < 16:
                mask |= 1 << count
            count, position = count + 1, after
    except IndexError as error:
        raise EncodingError("a trie node ends early") from error
    if position != len(payload) or count not in (2, 17):
        raise EncodingError(f"a trie node has {count} items, expected 2 or 17")
    return Branch(mask, b"", payload) if count == 17 else _decode_pair(payload, b"")


def get_child(branch: Branch, slot: int) -> tuple[bytes, bytes]:
    """Return (reference, location) of a child of a branch."""
    mask, locations, payload = branch
    below = (mask & ((1 << slot) - 1)).bit_count()
    location = locations[LOCATION_SIZE * below : LOCATION_SIZE * (below + 1)]
    if len(payload) != 17 + 32 * mask.bit_count():
        start, end = _find_item(payload, slot)
        return payload[start:end], location if mask >> slot & 1 else b""
    if mask >> slot & 1:
        start = slot + 32 * below
        return payload[start : start + REFERENCE_SIZE], location
    return EMPTY_REFERENCE, b""


def get_slots(branch: Branch) -> list[int]:
    """Return the digits under which a branch has a child, ascending."""
    mask, _, payload = branch
    if len(payload) == 17 + 32 * mask.bit_count():
        return [slot for slot in range(16) if mask >> slot & 1]
    return [slot for slot in range(16) if payload[_find_item(payload, slot)[0]] != 0x80]


def put_children(branch: Branch, children: Iterable[tuple[int, bytes, bytes]]) -> Branch:
    """Return a branch with (slot, reference, location) in place of the children that were there."""
    mask, locations, payload = branch
    for slot, reference, location in children:
        bit = 1 << slot
        below = (mask & (bit - 1)).bit_count()
        at = LOCATION_SIZE * below
        is_plain = len(payload) == 17 + 32 * mask.bit_count()
        if mask & bit:
            start = slot + 32 * below if is_plain else _find_item(payload, slot)[0]
            end = start + REFERENCE_SIZE
            locations = locations[:at] + location + locations[at + LOCATION_SIZE :]
        else:
            start = slot + 32 * below
            end = start + 1
            if not is_plain:
                start, end = _find_item(payload, slot)
            locations = locations[:at] + location + locations[at:]
        payload = payload[:start] + reference + payload[end:]
        mask = mask | bit if location else mask & ~bit
    return Branch(mask, locations, payload)


_BRANCH_KIND = bytes((_BRANCH,))
_LEAF_HEADS = bytes((_LEAF, 0, 0)), bytes((_LEAF, 0, 1))
_EXTENSION_HEADS = bytes((_EXTENSION, 0, 0)), bytes((_EXTENSION, 0, 1))
"""Without and with a location."""


def encode_leaf_path(path: str) -> bytes:
    """Return the RLP of a leaf's path in hex-prefix form: flag, then the digits."""
    return rlp_string(bytes.fromhex("3" + path if len(path) & 1 else "20" + path))


def _payload_of(node: Node) -> bytes:
    if isinstance(node, Branch):
        return node.payload
    path = node.path
    if isinstance(node, Leaf):
        return encode_leaf_path(path) + rlp_string(node.value)
    compact = bytes.fromhex("1" + path if len(path) & 1 else "00" + path)
    return rlp_string(compact) + node.reference


def _decode_pair(payload: bytes, location: bytes) -> Leaf | Extension:
    """Return the node of two items: hex-prefix path, and a leaf's value or an extension's child."""
    first = payload[0]
    end = first - 0x7F if 0x80 < first < 0xB8 else 1
    compact = (payload[1:end] if end > 1 else payload[:1]).hex()
    flag = compact[0]
    if flag in "23":
        size = len(payload) - end - 1
        if payload[end] == 0x80 + size and size < 56:
            value = payload[end + 1 :]
        else:
            value = string_of_rlp(payload[end:])
        return Leaf(compact[1:] if flag == "3" else compact[2:], value, location)
    if flag in "01":
        return Extension(compact[1:] if flag == "1" else compact[2:], payload[end:], location)
    raise EncodingError("the path of a trie node has no valid flag")


def _find_item(payload: bytes, index: int) -> tuple[int, int]:
    """Return where an item of a list's payload begins and ends."""
    start, end = 0, _item(payload, 0)[1]
    for _ in range(index):
        start, end = end, _item(payload, end)[1]
    return start, end


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
