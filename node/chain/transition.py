"""Transitions: the typed list of everything the protocol did, one canonical encoding each.

A transition is MessagePack: the kind, then the array of fields, of an event that has a kind
(`node.perp.events.TRANSITION_KINDS`). The block's list stands under an ordered trie's root.
"""

from typing import Any, NamedTuple, cast

import msgpack

from node.encoding import Codec, codec_of
from node.errors import EncodingError
from node.perp.events import TRANSITION_KINDS, Event

_KINDS: dict[type, tuple[bytes, Codec[Any]]] = {
    event: (msgpack.packb(kind), codec_of(event)) for event, kind in TRANSITION_KINDS.items()
}
_EVENTS = {head[0]: (event, codec) for event, (head, codec) in _KINDS.items()}


class Difference(NamedTuple):
    """The first field in which two transitions differ."""

    field: str
    value: object
    expected: object


def encode_transition(event: object) -> bytes | None:
    """Return an event's transition, None if its kind is a log only."""
    known = _KINDS.get(type(event))
    if known is None:
        return None
    head, codec = known
    return head + codec.encode(event)


def decode_transition(data: bytes) -> Event:
    """Return the event of a transition; raise EncodingError."""
    if not data or data[0] not in _EVENTS:
        raise EncodingError(f"unknown transition kind {data[:1].hex() or 'nothing'}")
    return cast(Event, _EVENTS[data[0]][1].decode(data[1:]))


def compare_transitions(value: bytes, expected: bytes) -> Difference | None:
    """Name the first field in which a transition differs from the one recomputed."""
    if value == expected:
        return None
    was, wanted = decode_transition(value), decode_transition(expected)
    if type(was) is not type(wanted):
        return Difference("kind", type(was).__name__, type(wanted).__name__)
    name = type(was).__name__
    for field, left, right in zip(was._fields, was, wanted, strict=True):
        if left != right:
            return Difference(f"{name}.{field}", left, right)
    raise AssertionError("two encodings of equal events: the codec is not canonical")
