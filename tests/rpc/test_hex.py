import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.rpc.hex import (
    data,
    parse_address,
    parse_data,
    parse_hash,
    parse_quantity,
    parse_storage_key,
    quantity,
)


@given(st.integers(min_value=0, max_value=2**256 - 1))
def test_a_quantity_reads_back(number: int) -> None:
    assert parse_quantity(quantity(number)) == number


@given(st.binary(max_size=100))
def test_data_reads_back(value: bytes) -> None:
    assert parse_data(data(value)) == value


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (5, "non-string"),
        ("5", "without 0x prefix"),
        ("0x", 'hex string "0x"'),
        ("0x05", "leading zero digits"),
        ("0xg", "invalid hex string"),
        ("0x+1", "invalid hex string"),
        ("0x1_0", "invalid hex string"),
        ("0x\u0661", "invalid hex string"),
        ("0x" + "f" * 65, "256 bits"),
    ],
)
def test_what_is_no_quantity_is_refused(text: object, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse_quantity(text)


def test_a_quantity_above_the_highest_is_refused() -> None:
    assert parse_quantity("0xff", highest=255) == 255

    with pytest.raises(ValueError, match="> 8 bits"):
        parse_quantity("0x100", highest=255)


@pytest.mark.parametrize("text", ["0x1", "1234", "0x12 34", "0xzz", None, ["0x12"]])
def test_what_is_no_data_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="hex"):
        parse_data(text)


def test_addresses_and_hashes_have_their_length() -> None:
    assert parse_address("0x" + "Ab" * 20) == b"\xab" * 20
    assert parse_hash("0x" + "01" * 32) == b"\x01" * 32

    with pytest.raises(ValueError, match=r"length 38, want 40 for common\.Address"):
        parse_address("0x" + "ab" * 19)
    with pytest.raises(ValueError, match=r"length 66, want 64 for common\.Hash"):
        parse_hash("0x" + "01" * 33)


def test_storage_keys_may_be_short() -> None:
    assert parse_storage_key("0x0") == bytes(32)
    assert parse_storage_key("0x102") == bytes(30) + b"\x01\x02"
    assert parse_storage_key("0x" + "ff" * 32) == b"\xff" * 32

    with pytest.raises(ValueError, match="too long"):
        parse_storage_key("0x" + "ff" * 33)
