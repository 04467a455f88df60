"""One form only: what decodes is what encodes again to the same bytes, for rlp and for records."""

import importlib
import pkgutil
import typing
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

import msgpack
import pytest
import rlp
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

import node.perp
from node.encoding import (
    BIG,
    I64_MAX,
    I64_MIN,
    RLP_DEPTH_MAX,
    codec_of,
    int_from_rlp,
    load_json,
    rlp_decode,
    rlp_decode_list,
    rlp_encode,
    rlp_int,
)
from node.errors import EncodingError
from node.units import Address, Hash32, Quote

# --- rlp -----------------------------------------------------------------------------------------

lengths_around_a_longer_prefix = st.sampled_from([0, 1, 55, 56, 255, 256, 65535, 65536])
strings = st.binary(max_size=80) | lengths_around_a_longer_prefix.map(bytes)
one_byte = st.binary(min_size=1, max_size=1)
nested = st.recursive(strings, lambda items: st.lists(items, max_size=6), max_leaves=40)


def damaged(encoded: bytes) -> st.SearchStrategy[bytes]:
    """One byte changed near the front, where the lengths are."""
    places = st.integers(0, min(len(encoded), 100) - 1)
    return st.builds(lambda at, new: encoded[:at] + new + encoded[at + 1 :], places, one_byte)


@given(nested)
@example([bytes(60)] * 1100)
def test_rlp_agrees_with_the_rlp_library_both_ways(item: Any) -> None:
    encoded = rlp_encode(item)

    assert encoded == rlp.encode(item)
    assert rlp_decode(encoded) == item


@given(st.binary(max_size=100) | nested.map(rlp.encode).flatmap(damaged))
@example(b"\xf8\x38" + b"\x80" * 56)
@example(b"\xb8\x38" + bytes(56))
@example(b"\xc4\x83\x81\x01\x80")
def test_rlp_decodes_any_bytes_as_the_rlp_library_does_or_refuses(data: bytes) -> None:
    try:
        item = rlp_decode(data)
    except EncodingError:
        with pytest.raises(rlp.DecodingError):
            rlp.decode(data, strict=True)
        return

    assert rlp.encode(item) == data


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "rlp: 0 items, expected one"),
        ("8080", "rlp: 2 items, expected one"),
        ("8100", "rlp: a single byte below 0x80 has a prefix"),
        ("c28101", "rlp: a single byte below 0x80 has a prefix"),
        ("83aabb", "rlp: an item ends 1 bytes beyond its list"),
        ("c483aabb", "rlp: an item ends 1 bytes beyond its list"),
        ("c283aabbcc", "rlp: an item ends 2 bytes beyond its list"),  # its list is shorter
        ("b8", "rlp: an item ends 1 bytes beyond its list"),
        ("b90100", "rlp: an item ends 256 bytes beyond its list"),
        ("bfffffffffffffffff", "rlp: an item ends 18446744073709551615 bytes beyond its list"),
        ("f8", "rlp: an item ends 1 bytes beyond its list"),
        ("b837" + "00" * 55, "rlp: a length is not in its shortest form"),
        ("b90038" + "00" * 56, "rlp: a length is not in its shortest form"),
        ("f837" + "80" * 55, "rlp: a length is not in its shortest form"),
        ("f90038" + "80" * 56, "rlp: a length is not in its shortest form"),
    ],
)
def test_rlp_refuses_what_is_not_canonical(data: str, reason: str) -> None:
    with pytest.raises(EncodingError) as refused:
        rlp_decode(bytes.fromhex(data))

    assert str(refused.value) == reason


def test_rlp_nests_as_deep_as_allowed_and_no_deeper() -> None:
    item: Any = []
    for _ in range(RLP_DEPTH_MAX - 1):
        item = [item]
    assert rlp_decode(rlp_encode(item)) == item

    with pytest.raises(EncodingError, match=r"^rlp: nested deeper than 64$"):
        rlp_decode(rlp_encode([item]))


def test_rlp_nested_a_thousand_times_is_refused() -> None:
    bomb = b""
    for _ in range(1000):
        size = len(bomb)
        digits = size.to_bytes((size.bit_length() + 7) // 8, "big")
        bomb = (bytes([0xC0 + size]) if size < 56 else bytes([0xF7 + len(digits)]) + digits) + bomb

    with pytest.raises(EncodingError, match="nested deeper"):
        rlp_decode(bomb)


def test_rlp_list_is_not_a_string() -> None:
    assert rlp_decode_list(b"\xc0") == []

    with pytest.raises(EncodingError, match=r"^rlp: a byte string, expected a list$"):
        rlp_decode_list(b"\x80")


@given(st.integers(0, 2**300))
@example(0)
def test_rlp_integers_agree_with_the_rlp_library(number: int) -> None:
    assert rlp_encode(rlp_int(number)) == rlp.encode(number)
    assert int_from_rlp(rlp_int(number)) == number


@pytest.mark.parametrize("digits", [b"\0", b"\0\x01"])
def test_rlp_integers_have_no_leading_zeros(digits: bytes) -> None:
    with pytest.raises(EncodingError, match=r"^rlp: an integer has leading zeros$"):
        int_from_rlp(digits)


# --- records -------------------------------------------------------------------------------------


class Side(IntEnum):
    BUY = 1
    SELL = 2


class Quoted(NamedTuple):
    price: int
    value: Annotated[Quote, BIG]


class Sample(NamedTuple):
    """Every kind of field."""

    size: int
    total: Annotated[int, BIG]
    open: bool
    side: Side
    owner: Address
    root: Hash32
    data: bytes
    symbol: str
    ids: tuple[int, ...]
    sums: tuple[Annotated[int, BIG], ...]
    quotes: tuple[Quoted, ...]
    best: Quoted


SAMPLE = Sample(
    size=-1,
    total=2**70,
    open=True,
    side=Side.SELL,
    owner=Address(b"\x11" * 20),
    root=Hash32(b"\x22" * 32),
    data=b"\0",
    symbol="BTC-USD",
    ids=(1, 300),
    sums=(-129,),
    quotes=(Quoted(5, Quote(6)), Quoted(7, Quote(-8))),
    best=Quoted(0, Quote(0)),
)


def record_strategy(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a declared type, its limits among them."""
    if typing.get_origin(hint) is Annotated:
        return st.integers(-(2**200), 2**200) | st.sampled_from([0, 127, 128, -128, -129, 2**63])
    if typing.get_origin(hint) is tuple:
        return st.lists(record_strategy(typing.get_args(hint)[0]), max_size=3).map(tuple)
    if hint is Address or hint is Hash32:
        size = 20 if hint is Address else 32
        return st.binary(min_size=size, max_size=size)
    if hasattr(hint, "__supertype__"):
        return record_strategy(hint.__supertype__)
    if issubclass(hint, tuple):
        hints = typing.get_type_hints(hint, include_extras=True)
        return st.builds(hint, *[record_strategy(each) for each in hints.values()])
    if issubclass(hint, IntEnum):
        return st.sampled_from(hint)
    scalars: dict[Any, st.SearchStrategy[Any]] = {
        bool: st.booleans(),
        int: st.integers(I64_MIN, I64_MAX) | st.sampled_from([I64_MIN, I64_MAX]),
        bytes: st.binary(max_size=40),
        str: st.text(max_size=40),
    }
    return scalars[hint]


def has_codec(record_class: Any) -> bool:
    """Return whether records of the class can be written: some live in memory only."""
    try:
        codec_of(record_class)
    except TypeError:
        return False
    return True


def perp_records() -> list[Any]:
    """Every NamedTuple that a module of the rules defines and that can be written."""
    names = [info.name for info in pkgutil.iter_modules(node.perp.__path__, "node.perp.")]
    classes = [each for name in names for each in vars(importlib.import_module(name)).values()]
    records = [each for each in classes if isinstance(each, type) and hasattr(each, "_fields")]
    return [each for each in dict.fromkeys(records) if has_codec(each)]


RECORDS = [Sample, *perp_records()]
few_examples = settings(max_examples=settings().max_examples // 8)  # of each of many records


def test_the_records_of_the_rules_are_found() -> None:
    names = {record.__name__ for record in RECORDS}

    assert names >= {"Account", "Position", "Order", "Trigger", "Oracle", "Funding", "OrderFilled"}


@pytest.mark.parametrize("record_class", RECORDS, ids=lambda each: each.__name__)
@few_examples
@given(data=st.data())
def test_every_record_round_trips(record_class: Any, data: Any) -> None:
    record = data.draw(record_strategy(record_class))
    codec = codec_of(record_class)

    encoded = codec.encode(record)
    decoded = codec.decode(encoded)

    assert decoded == record
    assert typing.get_type_hints(record_class).keys() == decoded._asdict().keys()
    assert [type(each) for each in decoded] == [type(each) for each in record]
    assert codec.from_wire(msgpack.unpackb(encoded, use_list=False)) == record
    assert msgpack.packb(codec.to_wire(record)) == encoded


def test_golden_bytes_of_every_kind_of_field() -> None:
    assert codec_of(Sample).encode(SAMPLE).hex() == "".join(
        [
            "9c",  # an array of 12
            "ff",  # -1
            "c409" + "400000000000000000",  # 2^70 as two's complement
            "c3",  # true
            "02",  # SELL
            "c414" + "11" * 20,
            "c420" + "22" * 32,
            "c401" + "00",
            "a7" + "4254432d555344",  # "BTC-USD"
            "92" + "01" + "cd012c",  # 1, 300
            "91" + "c402" + "ff7f",  # -129
            "92" + "9205c40106" + "9207c401f8",
            "9200c40100",
        ]
    )


@pytest.mark.parametrize(
    ("number", "digits"),
    [
        (0, "00"),
        (127, "7f"),
        (128, "0080"),
        (-1, "ff"),
        (-128, "80"),
        (-129, "ff7f"),
        (256, "0100"),
        (-256, "ff00"),
        (2**63, "008000000000000000"),
    ],
)
def test_big_integers_are_the_shortest_twos_complement(number: int, digits: str) -> None:
    packed = msgpack.packb([0, bytes.fromhex(digits)])

    assert codec_of(Quoted).encode(Quoted(0, Quote(number))) == packed
    assert codec_of(Quoted).decode(packed) == (0, number)


@given(st.integers(), one_byte)
def test_a_longer_form_of_a_big_integer_is_refused(number: int, padding: bytes) -> None:
    digits = msgpack.unpackb(codec_of(Quoted).encode(Quoted(0, Quote(number))))[1]
    longer = padding + digits
    assume(int.from_bytes(longer, "big", signed=True) == number)

    with pytest.raises(EncodingError, match=r"^Quoted\.value: was 0x.*, expected an integer as"):
        codec_of(Quoted).decode(msgpack.packb([0, longer]))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("size", 2**63, "was 9223372036854775808, expected an integer from -9223372036854775808"),
        ("size", -(2**63) - 1, "was -9223372036854775809, expected an integer from -9223372"),
        ("size", 2**300, "was an integer of 301 bits, expected an integer from -9223372036854"),
        ("size", True, "was True, expected an integer from"),
        ("size", 1.0, "was float 1.0, expected an integer from"),
        ("size", None, "was NoneType None, expected an integer from"),
        ("total", "7", "was str '7', expected an integer as two's complement"),
        ("open", 1, "was 1, expected true or false"),
        ("side", 2, "was 2, expected a code of Side"),
        ("owner", b"\x11" * 19, f"was 0x{'11' * 19}, expected 20 bytes"),
        ("root", b"\x11" * 33, f"was 0x{'11' * 32}... (33 bytes), expected 32 bytes"),
        ("data", "text", "was str 'text', expected bytes"),
        ("symbol", "\ud800", "was str '\\ud800', expected a text"),
        ("ids", [1], "was list [1], expected an array, each an integer from -9223372036854"),
        ("ids", (1, 2**63), "was tuple (1, 9223372036854775808), expected an array, each an int"),
        ("sums", (1, "2"), "was tuple (1, '2'), expected an array, each an integer as two's"),
        ("quotes", ((1, 2),), "was tuple ((1, 2),), expected an array, each a Quoted"),
        ("best", (1, 2), "was tuple (1, 2), expected a Quoted"),
    ],
)
def test_encoding_refuses_a_value_without_form(field: str, value: Any, reason: str) -> None:
    with pytest.raises(EncodingError) as refused:
        codec_of(Sample).encode(SAMPLE._replace(**{field: value}))

    assert str(refused.value).startswith(f"Sample.{field}: {reason}")
    assert "\n" not in str(refused.value)


def test_encoding_refuses_a_nested_value_by_its_own_name() -> None:
    with pytest.raises(EncodingError, match=r"^Quoted\.price: was 9223372036854775808, expected"):
        codec_of(Sample).encode(SAMPLE._replace(best=Quoted(2**63, Quote(0))))


def test_an_enum_may_stand_in_an_integer_field() -> None:
    codec = codec_of(Quoted)

    assert codec.encode(Quoted(Side.SELL, Quote(0))) == codec.encode(Quoted(2, Quote(0)))


FIELD = {name: index for index, name in enumerate(Sample._fields)}


@pytest.mark.parametrize(
    ("field", "item", "reason"),
    [
        ("size", 2**63, "was 9223372036854775808, expected an integer from"),
        ("size", 1.0, "was float 1.0, expected an integer from"),
        ("total", 5, "was 5, expected an integer as two's complement"),
        ("total", b"", "was 0x, expected an integer as two's complement"),
        ("total", b"\0\x01", "was 0x0001, expected an integer as two's complement"),
        ("total", (1, 2), "was tuple (1, 2), expected an integer as two's complement"),
        ("open", 1, "was 1, expected true or false"),
        ("side", 3, "was 3, expected a code of Side"),
        ("side", True, "was True, expected a code of Side"),
        ("side", 1.0, "was float 1.0, expected a code of Side"),
        ("owner", b"", "was 0x, expected 20 bytes"),
        ("owner", "1" * 20, "was str '11111111111111111111', expected 20 bytes"),
        ("data", "\0", "was str '\\x00', expected bytes"),
        ("ids", b"\1\2", "was 0x0102, expected an array, each an integer from"),
        ("ids", None, "was NoneType None, expected an array, each an integer from"),
        ("ids", [1, "2"], "was tuple (1, '2'), expected an array, each an integer from"),
        ("sums", [5], "was tuple (5,), expected an array, each an integer as two's complement"),
        ("quotes", [[1]], "was tuple ((1,),), expected an array, each a Quoted"),
        ("quotes", {1: 2}, "a key that is a number is refused by MessagePack itself"),
        ("best", [1, b"\1", 3], "was tuple (1, b'\\x01', 3), expected a Quoted"),
        ("best", msgpack.ExtType(5, b""), "was ExtType ExtType(code=5, data=b''), expected a"),
        ("best", msgpack.Timestamp(5), "was Timestamp Timestamp(seconds=5, nanoseconds=0), exp"),
    ],
)
def test_decoding_refuses_a_field_of_another_form(field: str, item: Any, reason: str) -> None:
    wire = list(msgpack.unpackb(codec_of(Sample).encode(SAMPLE), use_list=False))
    wire[FIELD[field]] = item

    with pytest.raises(EncodingError) as refused:
        codec_of(Sample).decode(msgpack.packb(wire))

    expected = "Sample: no MessagePack (" if isinstance(item, dict) else f"Sample.{field}: {reason}"
    assert str(refused.value).startswith(expected)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "Quoted: no MessagePack ("),
        ("92", "Quoted: no MessagePack ("),
        ("c1", "Quoted: no MessagePack ("),
        ("9205c4010600", "Quoted: no MessagePack ("),
        ("9105", "Quoted: was 1 fields, expected 2"),
        ("9305c4010600", "Quoted: was 3 fields, expected 2"),
        ("c0", "Quoted: was NoneType None, expected an array"),
        ("a24142", "Quoted: was str 'AB', expected an array"),
        ("c4020506", "Quoted: was 0x0506, expected an array"),
        ("82a14105a14206", "Quoted: was dict {'A': 5, 'B': 6}, expected an array"),
        ("dc000205c40106", "Quoted: not in its shortest form"),  # array 16
        ("92cc05c40106", "Quoted: not in its shortest form"),  # 5 as uint 8
        ("9205c5000106", "Quoted: not in its shortest form"),  # bin 16
        ("92a1ffc40106", "Quoted: no MessagePack ("),
    ],
)
def test_decoding_refuses_bytes_of_another_form(data: str, reason: str) -> None:
    with pytest.raises(EncodingError) as refused:
        codec_of(Quoted).decode(bytes.fromhex(data))

    assert str(refused.value).startswith(reason)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("record_class", RECORDS, ids=lambda each: each.__name__)
@few_examples
@given(data=st.data())
def test_any_bytes_decode_to_their_record_or_raise(record_class: Any, data: Any) -> None:
    codec = codec_of(record_class)
    valid = codec.encode(data.draw(record_strategy(record_class)))
    position = data.draw(st.integers(0, len(valid)))
    changed = data.draw(
        st.binary(max_size=60)
        | st.binary(max_size=9).map(
            lambda junk: valid[:position] + junk + valid[position + len(junk) :]
        )
    )

    try:
        record = codec.decode(changed)
    except EncodingError as error:
        message = str(error)
    else:
        assert codec.encode(record) == changed
        return

    assert message.startswith(record_class.__name__)
    assert "\n" not in message


def test_deeply_nested_bytes_are_refused() -> None:
    with pytest.raises(EncodingError, match=r"^Quoted: no MessagePack"):
        codec_of(Quoted).decode(b"\x91" * 100_000)


@pytest.mark.parametrize("hint", [int | None, float, list[int], tuple[int, str], dict[str, int]])
def test_a_field_that_could_be_nil_or_no_record_has_no_codec(hint: Any) -> None:
    class Record(NamedTuple):
        field: hint

    with pytest.raises(TypeError, match=r"^a record can't hold "):
        codec_of(Record)


# --- JSON ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", [b"[" * 65, b'{"a":' * 65, b"[" * 1_000_000])
def test_json_that_nests_too_deep_is_refused_before_it_is_parsed(text: bytes) -> None:
    with pytest.raises(ValueError, match="nests more than 64 deep"):
        load_json(text)


def test_brackets_within_strings_do_not_nest() -> None:
    assert load_json(b'["' + b"[" * 100 + b'"]') == ["[" * 100]
