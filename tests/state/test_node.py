"""The bytes of a node: RLP as the rlp library has it, and rows that are refused."""

import pytest
import rlp
from hypothesis import given
from hypothesis import strategies as st

from node.encoding import rlp_string
from node.errors import EncodingError
from node.state.account import decode_account, encode_account
from node.state.node import (
    EMPTY_BRANCH,
    EMPTY_REFERENCE,
    Branch,
    Extension,
    Leaf,
    check_row,
    decode_node,
    decode_row,
    encode_node,
    encode_row,
    get_child,
    get_slots,
    put_children,
    string_of_rlp,
)
from node.units import Hash32, Wei

HASH = b"\xa0" + b"\x11" * 32
OTHER_HASH = b"\xa0" + b"\x22" * 32
EMBEDDED = encode_node(Leaf("abc", b"v", b""))
PLACE, OTHER_PLACE = b"12345678", b"abcdefgh"

children = st.sampled_from(
    [(EMPTY_REFERENCE, b""), (HASH, PLACE), (OTHER_HASH, OTHER_PLACE), (EMBEDDED, b"")]
)


@given(st.one_of(st.binary(max_size=70), st.integers(0, 70_000).map(bytes)))
def test_a_string_is_coded_as_rlp_codes_it(data: bytes) -> None:
    assert rlp_string(data) == rlp.encode(data)
    assert string_of_rlp(rlp_string(data)) == data


@pytest.mark.parametrize("data", [b"\xc0", b"\x80\x80", b"\x82a", b"\xb8", b""])
def test_what_is_not_one_string_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        string_of_rlp(data)


@given(st.text("0123456789abcdef", max_size=64), st.binary(min_size=1, max_size=1100))
def test_a_leaf_comes_back(path: str, value: bytes) -> None:
    leaf = Leaf(path, value, PLACE)

    encoded, row = encode_row(leaf)

    check_row(row)
    assert decode_row(b"before" + row, 6) == leaf
    assert decode_node(encoded) == leaf._replace(location=b"")
    assert rlp.decode(encoded)[1] == value


@given(st.lists(st.tuples(st.integers(0, 15), children), max_size=40))
def test_a_branch_holds_what_was_put_last(puts: list[tuple[int, tuple[bytes, bytes]]]) -> None:
    expected = {slot: (EMPTY_REFERENCE, b"") for slot in range(16)} | dict(puts)

    one_by_one = EMPTY_BRANCH
    for slot, (reference, location) in puts:
        one_by_one = put_children(one_by_one, [(slot, reference, location)])
    branch = put_children(EMPTY_BRANCH, [(slot, *child) for slot, child in puts])

    assert branch == one_by_one
    assert [get_child(branch, slot) for slot in range(16)] == list(expected.values())
    assert get_slots(branch) == [s for s in range(16) if expected[s][0] != EMPTY_REFERENCE]
    encoded, row = encode_row(branch)
    check_row(row)
    assert decode_row(row) == branch
    assert decode_node(encoded) == branch._replace(locations=b"")
    assert [rlp.encode(item) for item in rlp.decode(encoded)] == [
        *(reference for reference, _ in expected.values()),
        b"\x80",
    ]


@pytest.mark.parametrize(
    "row",
    [
        encode_row(Branch(0, b"", b"\x80" * 17))[1][:-1],
        b"\x02" + encode_row(Leaf("12", b"value", b""))[1][1:],
        b"\x01" + encode_row(Leaf("12", b"value", b""))[1][1:],
        b"\x00" + encode_row(Extension("12", HASH, PLACE))[1][1:],
        b"\x00\x00\x00" + encode_row(Extension("12", HASH, PLACE))[1][11:],
        b"\x02\x00\x02" + encode_row(put_children(EMPTY_BRANCH, [(0, HASH, PLACE)]))[1][3:],
        b"\x00\x00\x03" + PLACE * 2 + encode_row(Leaf("12", b"value", b""))[1][3:],
        b"\x00\x00\x00\x41\x80",
    ],
)
def test_a_row_whose_head_or_payload_is_no_node_is_refused(row: bytes) -> None:
    with pytest.raises(EncodingError):
        check_row(row)


@pytest.mark.parametrize(
    "data", [b"", b"\xc1", b"\xc0", b"\x80", b"\xc2\x20\x80\x00", b"\xc2\x20\x82"]
)
def test_rlp_that_is_no_node_is_refused(data: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_node(data)


@given(
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**256 - 1),
    st.binary(min_size=32, max_size=32),
    st.binary(min_size=32, max_size=32),
)
def test_an_account_is_coded_as_rlp_codes_it(
    nonce: int, balance: int, storage_root: bytes, code_hash: bytes
) -> None:
    value = encode_account(nonce, balance, storage_root=storage_root, code_hash=code_hash)

    assert value == rlp.encode([nonce, balance, storage_root, code_hash])
    assert decode_account(value) == (nonce, Wei(balance), Hash32(storage_root), code_hash)


ACCOUNT = encode_account(1, 2, storage_root=bytes(32), code_hash=bytes(32))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        ACCOUNT[:-1],
        ACCOUNT + b"\x00",
        b"\xf9" + ACCOUNT[1:],
        ACCOUNT[:4] + b"\x9f" + ACCOUNT[5:],
        ACCOUNT[:2] + b"\x88" + ACCOUNT[3:],
        ACCOUNT[:2] + b"\xff" + ACCOUNT[3:],
    ],
)
def test_bytes_that_are_no_account_are_refused(value: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_account(value)
