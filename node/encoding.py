"""rlp and MessagePack over declared fields, both ways; knows no record.

Both have one form only: what decodes is what encodes again to the same bytes. rlp is what
Ethereum's libraries hash and verify. A record, a `NamedTuple`, is a MessagePack array of its fields
in order: no maps, no nil, no floats. An integer is declared i64, or BIG where it may pass 64 bits
and is then always a two's-complement byte string, big endian, shortest, small values too. JSON is
for documents that people read; it is only read here, with a bound on its depth.
"""

import json
import re
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import (
    Annotated,
    Any,
    Generic,
    NamedTuple,
    NoReturn,
    TypeVar,
    get_args,
    get_origin,
    get_type_hints,
)

import msgpack

from node.errors import EncodingError
from node.units import Address, Hash32

BIG = "big"
"""Marks an integer field that may pass 64 bits: `Annotated[Quote, BIG]`."""

I64_MIN = -(2**63)
I64_MAX = 2**63 - 1

# --- rlp -----------------------------------------------------------------------------------------

RlpItem = bytes | Sequence["RlpItem"]
"""What rlp encodes: a byte string or a sequence of items."""
RlpList = list[Any]
"""What rlp decodes a list to: byte strings and nested lists."""

RLP_DEPTH_MAX = 64
"""Deeper nesting is refused; a trie node or a transaction needs less than 20."""


def rlp_prefix(offset: int, length: int) -> bytes:
    """Return the prefix of a string (offset 0x80) or list (0xC0) of so many bytes."""
    if length < 56:
        return bytes((offset + length,))
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((offset + 55 + len(digits),)) + digits


_PREFIXED_MAX = 2_048
"""Up to here prefixes are looked up: longer than a trie node, a receipt or an order."""
_STRING_PREFIXES = [rlp_prefix(0x80, length) for length in range(_PREFIXED_MAX)]
_LIST_PREFIXES = [rlp_prefix(0xC0, length) for length in range(_PREFIXED_MAX)]


def rlp_encode(item: RlpItem) -> bytes:
    """Return the rlp of a byte string or of a nested sequence of byte strings."""
    if isinstance(item, bytes):
        return rlp_string(item)
    assert not isinstance(item, str), "rlp knows bytes, not text"
    payload = b"".join([rlp_encode(element) for element in item])
    return rlp_list_of(payload)


def rlp_string(data: bytes) -> bytes:
    """Return the rlp of a byte string."""
    length = len(data)
    if length == 1 and data[0] < 0x80:
        return data
    if length < _PREFIXED_MAX:
        return _STRING_PREFIXES[length] + data
    return rlp_prefix(0x80, length) + data


def rlp_list_of(payload: bytes) -> bytes:
    """Return the rlp list whose elements, already encoded, are joined in `payload`."""
    length = len(payload)
    if length < _PREFIXED_MAX:
        return _LIST_PREFIXES[length] + payload
    return rlp_prefix(0xC0, length) + payload


def rlp_decode(data: bytes) -> bytes | RlpList:
    """Return what `data`, whole and canonical, encodes: a byte string or a nested list of them.

    Raises EncodingError for trailing bytes, a length beyond the end, or any longer form.
    """
    items = _decode_payload(data, 0, len(data), 0)
    if len(items) != 1:
        raise EncodingError(f"rlp: {len(items)} items, expected one")
    item: bytes | RlpList = items[0]
    return item


def rlp_decode_list(data: bytes) -> RlpList:
    """Return the list that `data` encodes; EncodingError if it encodes a byte string."""
    item = rlp_decode(data)
    if isinstance(item, bytes):
        raise EncodingError("rlp: a byte string, expected a list")
    return item


def _decode_payload(data: bytes, position: int, end: int, depth: int) -> RlpList:
    items: RlpList = []
    while position < end:
        first = data[position]
        if first < 0x80:
            stop = position + 1
            items.append(data[position:stop])
        elif first < 0xB8:
            stop = position + first - 0x7F
            item = data[position + 1 : stop]
            if first == 0x81 and item < b"\x80" and item:
                raise EncodingError("rlp: a single byte below 0x80 has a prefix")
            items.append(item)
        else:
            start, stop = _decode_prefix(data, position, first)
            if stop <= end and first < 0xC0:
                items.append(data[start:stop])
            elif stop <= end:
                if depth == RLP_DEPTH_MAX:
                    raise EncodingError(f"rlp: nested deeper than {RLP_DEPTH_MAX}")
                items.append(_decode_payload(data, start, stop, depth + 1))
        position = stop
    if position > end:
        raise EncodingError(f"rlp: an item ends {position - end} bytes beyond its list")
    return items


def _decode_prefix(data: bytes, position: int, first: int) -> tuple[int, int]:
    """Return where the content of a long string, or of a list, starts and stops."""
    position += 1
    if 0xC0 <= first < 0xF8:
        return position, position + first - 0xC0
    size = first - (0xF7 if first >= 0xC0 else 0xB7)
    digits = data[position : position + size]
    length = int.from_bytes(digits, "big")
    if len(digits) == size and (length < 56 or digits[0] == 0):
        raise EncodingError("rlp: a length is not in its shortest form")
    return position + size, position + size + length


def rlp_int(n: int) -> bytes:
    """Return a non-negative integer as rlp has it: big endian without leading zeros, 0 empty."""
    return n.to_bytes((n.bit_length() + 7) // 8, "big")


def int_from_rlp(digits: bytes) -> int:
    """Return the integer; EncodingError if it has leading zeros."""
    if digits and digits[0] == 0:
        raise EncodingError("rlp: an integer has leading zeros")
    return int.from_bytes(digits, "big")


# --- records -------------------------------------------------------------------------------------

R = TypeVar("R", bound=tuple[Any, ...])

pack: Callable[[object], bytes] = msgpack.Packer().pack
"""Return the MessagePack of plain values; for arrays that are no records."""


class _Kind(NamedTuple):
    """How values of one declared type are checked and converted."""

    expected: str
    test: str
    """A Python expression over {v}, true if the value has a form; {x} names `extra`."""
    extra: object = None
    to_wire: Callable[[Any], Any] | None = None
    """Converts a checked value into what MessagePack packs; None if it packs as it is."""
    from_wire: Callable[[Any], Any] | None = None
    """Converts back; need not be strict, because whoever decodes compares."""

    def is_good(self, value: object) -> bool:
        """Return whether the value has a form."""
        return bool(eval(self.test.format(v="v", x="x"), {"v": value, "x": self.extra}))


class Codec(Generic[R]):
    """The one binary form of a record class; made by `codec_of`.

    `to_wire` and `from_wire` are for arrays that hold a record's fields among others: the first
    checks, the second is only as strict as the comparison that must follow.
    """

    def __init__(self, record_class: type[R]) -> None:
        self.record_class = record_class
        hints = get_type_hints(record_class, include_extras=True)
        self._kinds = {field: _kind_of(hints[field]) for field in _fields_of(record_class)}
        to_wire, encode, from_wire = _compile(
            record_class, list(self._kinds.values()), self._refuse
        )
        self.to_wire: Callable[[R], tuple[Any, ...]] = to_wire
        """Return the array that `encode` packs; EncodingError if a value has no form."""
        self.encode: Callable[[R], bytes] = encode
        """Return the record's bytes; EncodingError if a value has no form."""
        self.from_wire: Callable[[Any], R] = from_wire
        """Return the record of an unpacked array; TypeError or ValueError if it can't be one."""

    def decode(self, data: bytes) -> R:
        """Return the record whose one form `data` is; EncodingError names what is wrong."""
        try:
            record = self.from_wire(msgpack.unpackb(data, use_list=False))
            if self.encode(record) == data:
                return record
        except (ValueError, TypeError, EncodingError) as error:
            raise EncodingError(self._explain(data)) from error
        raise EncodingError(self._explain(data))

    def _refuse(self, record: R) -> NoReturn:
        name = self.record_class.__name__
        for (field, kind), value in zip(self._kinds.items(), record, strict=True):
            if not kind.is_good(value):
                raise EncodingError(f"{name}.{field}: was {_show(value)}, expected {kind.expected}")
        raise AssertionError(f"{record!r} was refused for no reason")

    def _explain(self, data: bytes) -> str:
        name = self.record_class.__name__
        try:
            wire = msgpack.unpackb(data, use_list=False)
        except ValueError as error:
            return f"{name}: no MessagePack ({str(error) or type(error).__name__})"
        if type(wire) is not tuple:
            return f"{name}: was {_show(wire)}, expected an array"
        if len(wire) != len(self._kinds):
            return f"{name}: was {len(wire)} fields, expected {len(self._kinds)}"
        for (field, kind), item in zip(self._kinds.items(), wire, strict=True):
            try:
                value = item if kind.from_wire is None else kind.from_wire(item)
                checked = kind.is_good(value)
                back = value if kind.to_wire is None or not checked else kind.to_wire(value)
            except (ValueError, TypeError, EncodingError):
                checked, back = False, item
            if not checked or pack(back) != pack(item):
                return f"{name}.{field}: was {_show(item)}, expected {kind.expected}"
        return f"{name}: not in its shortest form"


_CODECS: dict[type[Any], Codec[Any]] = {}


def codec_of(record_class: type[R]) -> Codec[R]:
    """Return the codec of a `NamedTuple` class, built once from its annotations.

    Fields: int (i64), Annotated[int, BIG], bool, bytes, str, an IntEnum, a NewType of these (an
    Address is 20 bytes, a Hash32 is 32), another record, or tuple[X, ...] of any of them.
    TypeError for any other.
    """
    codec = _CODECS.get(record_class)
    if codec is None:
        codec = _CODECS[record_class] = Codec(record_class)
    return codec


def _fields_of(record_class: type[Any]) -> tuple[str, ...]:
    fields: tuple[str, ...] = record_class._fields
    return fields


def _show(value: object) -> str:
    if isinstance(value, bytes):
        text = "0x" + value[:32].hex()
        return text if len(value) <= 32 else f"{text}... ({len(value)} bytes)"
    if isinstance(value, int) and value.bit_length() > 256:
        return f"an integer of {value.bit_length()} bits"
    text = f"{type(value).__name__} {value!r}" if not isinstance(value, int) else repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _to_big(value: int) -> bytes:
    magnitude = value if value >= 0 else ~value
    return value.to_bytes(magnitude.bit_length() // 8 + 1, "big", signed=True)


def _from_big(digits: bytes) -> int:
    return int.from_bytes(digits, "big", signed=True)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return False
    return True


_BIG = _Kind("an integer as two's complement", "type({v}) is int", None, _to_big, _from_big)
_SCALARS: dict[Any, _Kind] = {
    int: _Kind(
        f"an integer from {I64_MIN} to {I64_MAX}",
        f"(type({{v}}) is int or isinstance({{v}}, {{x}})) and {I64_MIN} <= {{v}} <= {I64_MAX}",
        IntEnum,
    ),
    bool: _Kind("true or false", "type({v}) is bool"),
    bytes: _Kind("bytes", "type({v}) is bytes"),
    str: _Kind("a text", "type({v}) is str and ({v}.isascii() or {x}({v}))", _is_unicode),
    Address: _Kind("20 bytes", "type({v}) is bytes and len({v}) == 20"),
    Hash32: _Kind("32 bytes", "type({v}) is bytes and len({v}) == 32"),
}


def _kind_of(hint: Any) -> _Kind:
    marks = get_args(hint)
    if get_origin(hint) is Annotated and BIG in marks:
        return _BIG
    if get_origin(hint) is tuple and len(marks) == 2 and marks[1] is ...:
        return _tuple_kind(_kind_of(marks[0]))
    if hint in _SCALARS:
        return _SCALARS[hint]
    if hasattr(hint, "__supertype__"):
        return _kind_of(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, IntEnum):
        return _Kind(f"a code of {hint.__name__}", "type({v}) is {x}", hint, None, hint)
    if isinstance(hint, type) and hasattr(hint, "_fields"):
        codec: Codec[Any] = codec_of(hint)
        return _Kind(f"a {hint.__name__}", "type({v}) is {x}", hint, codec.to_wire, codec.from_wire)
    raise TypeError(f"a record can't hold {hint}")


def _tuple_kind(element: _Kind) -> _Kind:
    to_one, from_one = element.to_wire, element.from_wire
    is_good = eval("lambda v: " + element.test.format(v="v", x="x"), {"x": element.extra})

    def are_good(values: object) -> bool:
        return type(values) is tuple and all(map(is_good, values))

    def to_wire(values: tuple[Any, ...]) -> tuple[Any, ...]:
        return values if to_one is None else tuple(map(to_one, values))

    def from_wire(wire: tuple[Any, ...]) -> tuple[Any, ...]:
        return wire if from_one is None else tuple(map(from_one, wire))

    return _Kind(
        f"an array, each {element.expected}",
        "({v} == () or {x}({v}))",
        are_good,
        None if to_one is None else to_wire,
        None if from_one is None else from_wire,
    )


_TEMPLATE = """
def to_wire(record):
    {fields}, = record
    if {tests}:
        return {wire}
    refuse(record)

def encode(record):
    {fields}, = record
    if {tests}:
        return pack({wire})
    refuse(record)

def from_wire(wire):
    {fields}, = wire
    return record_class({back})
"""


def _compile(
    record_class: type[Any], kinds: Sequence[_Kind], refuse: Callable[[Any], NoReturn]
) -> tuple[Callable[..., Any], Callable[..., Any], Callable[..., Any]]:
    # Source rather than closures, as NamedTuple itself does: a record of six integers encodes in
    # 0.4 us; a loop over its fields takes three times as long.
    names: dict[str, Any] = {"refuse": refuse, "pack": pack, "record_class": record_class}
    tests, wire, back = [], [], []
    for index, kind in enumerate(kinds):
        field = f"f{index}"
        names[f"x{index}"] = kind.extra
        names[f"to{index}"] = kind.to_wire
        names[f"from{index}"] = kind.from_wire
        tests.append(kind.test.format(v=field, x=f"x{index}"))
        wire.append(field if kind.to_wire is None else f"to{index}({field})")
        back.append(field if kind.from_wire is None else f"from{index}({field})")
    converts = any(kind.to_wire is not None for kind in kinds)
    source = _TEMPLATE.format(
        fields=", ".join(f"f{index}" for index in range(len(kinds))),
        tests=" and ".join(tests),
        wire=f"({', '.join(wire)},)" if converts else "record",
        back=", ".join(back),
    )
    exec(source, names)
    return names["to_wire"], names["encode"], names["from_wire"]


# --- JSON ---------------------------------------------------------------------------------------

JSON_DEPTH_MAX = 64
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.)*"?|[\[\]{}]', re.DOTALL)


def load_json(data: bytes | str, **hooks: Any) -> Any:
    """Decode JSON of bounded depth; ValueError for all else, which json.JSONDecodeError is.

    `hooks` are json.loads's. The depth is counted before `json` sees it: its C scanner recurses,
    and where a library has raised Python's recursion limit a few kilobytes of brackets would end
    the process.
    """
    text = data if isinstance(data, str) else data.decode()
    depth = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(match[0], 0)
        if depth > JSON_DEPTH_MAX:
            raise ValueError(f"nests more than {JSON_DEPTH_MAX} deep")
    return json.loads(text, **hooks)
