"""Our ABI coding against eth_abi, and what strictness means."""

from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st

from node.system.abi import Coder, parse_type
from tests.system.published import values_of

STATIC = ["uint8", "uint32", "uint64", "uint128", "uint256", "int8", "int64", "int128", "int256",
          "address", "bool", "bytes32", "bytes4"]  # fmt: skip


def coder_of(*names: str) -> Coder:
    return Coder([parse_type({"type": name}) for name in names])


@st.composite
def static_arguments(draw: st.DrawFn) -> tuple[list[str], list[Any]]:
    names = draw(st.lists(st.sampled_from(STATIC), max_size=7))
    return names, [draw(values_of(name)) for name in names]


@given(static_arguments())
def test_static_values_encode_as_eth_abi_says(arguments: tuple[list[str], list[Any]]) -> None:
    names, values = arguments

    encoded = coder_of(*names).encode(values)

    assert encoded == encode(names, values)


@given(static_arguments())
def test_static_values_decode_to_what_was_encoded(arguments: tuple[list[str], list[Any]]) -> None:
    names, values = arguments

    decoded = coder_of(*names).decode(b"\xaa\xbb\xcc\xdd" + encode(names, values) + b"more", 4)

    assert list(decoded) == values


@given(st.lists(st.sampled_from(["uint8", "uint32", "int64", "address", "bool"]), min_size=1,
                max_size=4), st.data())  # fmt: skip
def test_decoding_accepts_exactly_what_eth_abi_accepts(
    names: list[str], data: st.DataObject
) -> None:
    canonical = encode(names, [data.draw(values_of(name)) for name in names])
    at = data.draw(st.integers(0, len(canonical) - 1))
    changed = canonical[:at] + data.draw(st.binary(min_size=1, max_size=1)) + canonical[at + 1 :]

    try:
        expected: list[Any] | None = list(decode(names, changed))
    except Exception:  # eth_abi has many
        expected = None

    try:
        decoded: list[Any] | None = list(coder_of(*names).decode(changed))
    except ValueError:
        decoded = None
    if expected is not None and "address" in names:
        expected = [
            bytes.fromhex(value[2:]) if isinstance(value, str) else value for value in expected
        ]
    assert decoded == expected


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("uint8", 256),
        ("uint32", 1 << 32),
        ("uint64", 1 << 64),
        ("int64", 1 << 63),
        ("int64", 1 << 64),
        ("int64", (1 << 256) - (1 << 63) - 1),
        ("int64", 1 << 255),
        ("bool", 2),
        ("bool", 1 << 8),
        ("address", 1 << 160),
    ],
)
def test_a_word_outside_of_its_type_is_refused(name: str, word: int) -> None:
    with pytest.raises(ValueError, match=r"is no|a bool is"):
        coder_of(name).decode(word.to_bytes(32, "big"))


@pytest.mark.parametrize(
    ("name", "value"), [("uint8", 256), ("uint8", -1), ("int64", 1 << 63), ("uint256", 1 << 256)]
)
def test_an_integer_that_does_not_fit_is_not_encoded(name: str, value: int) -> None:
    with pytest.raises(OverflowError):
        coder_of(name).encode([value])


def test_missing_arguments_are_refused() -> None:
    coder = coder_of("uint32", "int64")

    with pytest.raises(ValueError, match="63 bytes of arguments, 64 needed"):
        coder.decode(bytes(63))


@given(
    st.text(max_size=70),
    st.integers(-(2**63), 2**63 - 1),
    st.lists(st.integers(0, 2**32 - 1), max_size=5),
    st.binary(max_size=70),
    st.lists(st.binary(min_size=20, max_size=20), max_size=3),
)
def test_dynamic_values_encode_as_eth_abi_says(
    text: str, number: int, numbers: list[int], data: bytes, addresses: list[bytes]
) -> None:
    record = {
        "type": "tuple",
        "components": [{"type": "string"}, {"type": "int64"}, {"type": "uint32[]"}],
    }
    fixed = {"type": "tuple", "components": [{"type": "int64"}, {"type": "bool"}]}
    parameters: list[dict[str, Any]] = [record, {"type": "bytes"}, fixed, {"type": "address[]"}]
    values = [(text, number, numbers), data, (number, True), addresses]

    encoded = Coder([parse_type(parameter) for parameter in parameters]).encode(values)

    names = ["(string,int64,uint32[])", "bytes", "(int64,bool)", "address[]"]
    assert [parse_type(parameter).name for parameter in parameters] == names
    assert encoded == encode(names, values)


def test_an_array_of_tuples_encodes_as_eth_abi_says() -> None:
    parameter = {"type": "tuple[]", "components": [{"type": "string"}, {"type": "int8"}]}
    values = [[("a", -1), ("", 2)]]

    assert Coder([parse_type(parameter)]).encode(values) == encode(["(string,int8)[]"], values)


@pytest.mark.parametrize("name", ["function", "fixed128x18", "uint8[2]", "intx"])
def test_a_type_that_is_not_supported_is_named(name: str) -> None:
    with pytest.raises(ValueError, match="unknown ABI type"):
        parse_type({"type": name})


def test_clamping_moves_integers_into_their_range() -> None:
    coder = coder_of("uint8", "int8", "bool", "address")
    address = b"\x01" * 20

    assert list(coder.clamp([300, -300, True, address])) == [255, -128, True, address]
    assert list(coder.clamp([-5, 127, False, address])) == [0, 127, False, address]


# --- decoding what is longer than a word ----------------------------------------------------------

HALT: dict[str, Any] = {
    "type": "tuple",
    "components": [{"type": "uint64"}, {"type": "bytes32"}, {"type": "string"}],
}
FIXED: dict[str, Any] = {"type": "tuple", "components": [{"type": "int64"}, {"type": "bool"}]}
LONG: list[dict[str, Any]] = [
    HALT,
    {"type": "bytes[]"},
    FIXED,
    {"type": "uint32"},
    {"type": "string"},
    {"type": "uint8[]"},
    {"type": "tuple[]", "components": FIXED["components"]},
    {"type": "tuple[]", "components": HALT["components"]},
    {"type": "bytes[][]"},
]
LONG_CODER = Coder([parse_type(parameter) for parameter in LONG])
LONG_NAMES = [each.name for each in LONG_CODER.types]
LONG_VALUES = st.tuples(*map(values_of, LONG_NAMES))


def plain(value: Any) -> Any:
    """Return lists as tuples: which of them a sequence is means nothing."""
    return tuple(map(plain, value)) if isinstance(value, list | tuple) else value


@given(LONG_VALUES)
def test_long_values_decode_to_what_eth_abi_encoded(values: Any) -> None:
    data = b"\xaa\xbb\xcc\xdd" + encode(LONG_NAMES, values)

    assert plain(LONG_CODER.decode(data, 4)) == plain(values)
    assert plain(LONG_CODER.decode(data + b"more", 4)) == plain(values)


@given(LONG_VALUES, st.data())
def test_what_is_decoded_has_one_layout_and_eth_abi_agrees(
    values: Any, data: st.DataObject
) -> None:
    canonical = encode(LONG_NAMES, values)
    at = data.draw(st.integers(0, len(canonical) - 1))
    changed = canonical[:at] + data.draw(st.binary(min_size=1, max_size=1)) + canonical[at + 1 :]

    try:
        decoded = LONG_CODER.decode(changed)
    except ValueError:
        return
    again = LONG_CODER.encode(decoded)
    assert changed[: len(again)] == again
    assert plain(decode(LONG_NAMES, changed)) == plain(decoded)


@given(LONG_VALUES, st.data())
def test_long_values_that_are_cut_off_are_refused(values: Any, data: st.DataObject) -> None:
    canonical = encode(LONG_NAMES, values)

    with pytest.raises(ValueError):  # noqa: PT011  # each place says something else
        LONG_CODER.decode(canonical[: data.draw(st.integers(0, len(canonical) - 1))])


@given(st.binary(max_size=400))
def test_junk_is_refused_or_decodes_in_its_one_layout(junk: bytes) -> None:
    coder = coder_of("bytes[]", "string")

    try:
        decoded = coder.decode(junk)
    except ValueError:
        return
    again = coder.encode(decoded)
    assert junk[: len(again)] == again


def test_offsets_that_share_a_tail_are_refused() -> None:
    """A hundred offsets to one long tail would make a short calldata long work."""
    tail = (3_200).to_bytes(32, "big") + bytes(3_200)
    heads = (32 * 100).to_bytes(32, "big") * 100
    bomb = (32).to_bytes(32, "big") + (100).to_bytes(32, "big") + heads + tail

    with pytest.raises(ValueError, match="does not follow"):
        coder_of("bytes[]").decode(bomb)


@pytest.mark.parametrize("length", [2**255, 2**64, 1_000_000])
@pytest.mark.parametrize("name", ["bytes", "string", "uint8[]", "bytes[]"])
def test_a_length_beyond_the_data_is_refused(name: str, length: int) -> None:
    data = (32).to_bytes(32, "big") + length.to_bytes(32, "big") + bytes(64)

    with pytest.raises(ValueError, match="end"):
        coder_of(name).decode(data)


def test_padding_and_text_must_be_clean() -> None:
    head = (32).to_bytes(32, "big") + (1).to_bytes(32, "big")

    assert list(coder_of("string").decode(head + b"a" + bytes(31))) == ["a"]
    with pytest.raises(ValueError, match="padded"):
        coder_of("string").decode(head + b"a" + bytes(30) + b"\x01")
    with pytest.raises(ValueError, match="utf-8"):
        coder_of("string").decode(head + b"\xff" + bytes(31))
