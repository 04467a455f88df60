"""Transitions: the typed list of everything the protocol did, one canonical encoding each.

A transition is MessagePack: the kind, then the array of fields, of an event that has a kind
(`node.perp.events.TRANSITION_KINDS`). The block's list stands under an ordered trie's root.
"""

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any, NamedTuple, cast

import msgpack

from node.encoding import Codec, codec_of
from node.errors import EncodingError, show
from node.perp.events import TRANSITION_KINDS, Event

_KINDS: dict[type, tuple[bytes, Codec[Any]]] = {
    event: (msgpack.packb(kind), codec_of(event)) for event, kind in TRANSITION_KINDS.items()
}
_EVENTS = {head[0]: (event, codec) for event, (head, codec) in _KINDS.items()}


class Difference(NamedTuple):
    """The first thing in which two lists of transitions differ."""

    position: int
    """Where in the lists."""
    field: str
    """"market 1, FundingAccrued.index_before", or the kind alone where a whole item differs."""
    value: object
    expected: object


NOTHING = "nothing"
"""Stands for an item that one of the lists lacks."""


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


def describe_transition(data: bytes) -> str:
    """Return a transition for people; its hex if it decodes to nothing."""
    try:
        event = decode_transition(data)
    except EncodingError:
        return f"0x{data.hex()}, which is no transition"
    fields = zip(event._fields, event, strict=True)
    return f"{type(event).__name__}({', '.join(f'{name}={show(each)}' for name, each in fields)})"


def compare_transitions(values: Sequence[bytes], expected: Sequence[bytes]) -> Difference | None:
    """Name the first difference of a block's list from the one recomputed, None if there is none.

    An item of the same kind and subject is compared by field. Any other is told as added, dropped
    or out of place by looking whether the lists meet again one further on.
    """
    for index, (value, wanted) in enumerate(zip_longest(values, expected)):
        if value == wanted:
            continue
        if value is None or (wanted is not None and list(expected[index + 1 :][:1]) == [value]):
            is_swapped = value is not None and wanted in values[index:]
            name = name_transition(wanted)
            was = describe_transition(value) if is_swapped else NOTHING
            return Difference(index, name, was, describe_transition(wanted))
        if wanted is None or list(values[index + 1 :][:1]) == [wanted]:
            return Difference(index, name_transition(value), describe_transition(value), NOTHING)
        return _compare_items(index, value, wanted)
    return None


def name_transition(data: bytes) -> str:
    """Return a transition's subject and kind: "market 1, FundingAccrued"."""
    try:
        event = decode_transition(data)
    except EncodingError:
        return "transition"
    return f"{_name_subject(event)}{type(event).__name__}"


def _compare_items(index: int, value: bytes, expected: bytes) -> Difference:
    wanted = decode_transition(expected)
    name = name_transition(expected)
    try:
        was = decode_transition(value)
    except EncodingError:
        was = None
    if was is None or type(was) is not type(wanted):
        return Difference(index, name, describe_transition(value), describe_transition(expected))
    for field, left, right in zip(was._fields, was, wanted, strict=True):
        if left != right:
            return Difference(index, f"{name}.{field}", left, right)
    raise AssertionError("two encodings of equal events: the codec is not canonical")


def _name_subject(event: Event) -> str:
    """Return whom an event is about, the market before the account."""
    market = getattr(event, "market", None)
    if market is not None:
        return f"market {market}, " if market else "chain, "
    account = getattr(event, "account", None)
    return f"account 0x{account.hex()}, " if account is not None else ""
