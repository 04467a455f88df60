"""Typed data of any shape hashes as eth-account has it, or is refused with the place named."""

import json
import re
from typing import Any

import pytest
from eth_account.messages import encode_typed_data
from hypothesis import given
from hypothesis import strategies as st

from node.crypto import keccak256
from node.rpc.typed_data import read_digest

MAIL = {
    "types": {
        "EIP712Domain": [
            {"name": "name", "type": "string"},
            {"name": "version", "type": "string"},
            {"name": "chainId", "type": "uint256"},
            {"name": "verifyingContract", "type": "address"},
        ],
        "Person": [{"name": "name", "type": "string"}, {"name": "wallet", "type": "address"}],
        "Mail": [
            {"name": "from", "type": "Person"},
            {"name": "to", "type": "Person"},
            {"name": "contents", "type": "string"},
        ],
    },
    "primaryType": "Mail",
    "domain": {
        "name": "Ether Mail",
        "version": "1",
        "chainId": 1,
        "verifyingContract": "0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC",
    },
    "message": {
        "from": {"name": "Cow", "wallet": "0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
        "to": {"name": "Bob", "wallet": "0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},
        "contents": "Hello, Bob!",
    },
}


def digest(document: Any) -> str:
    return read_digest(document).hex()


def second_opinion(document: dict[str, Any]) -> str:
    signable = encode_typed_data(full_message=document)
    return keccak256(b"\x19" + signable.version + signable.header + signable.body).hex()


def document_of(kind: str, value: Any, **types: Any) -> dict[str, Any]:
    """Return a document whose message is one value."""
    return {
        "types": {
            "EIP712Domain": [{"name": "name", "type": "string"}],
            "Box": [{"name": "it", "type": kind}],
            **types,
        },
        "primaryType": "Box",
        "domain": {"name": "test"},
        "message": {"it": value},
    }


def test_the_example_of_eip_712_has_the_digest_printed_there() -> None:
    assert digest(MAIL) == "be609aee343fb3c4b28e1df9e632fca64fcfaede20f02e86244efddf30957bd2"


def test_a_document_may_come_as_a_string_and_without_the_domains_type() -> None:
    types = {name: fields for name, fields in MAIL["types"].items() if name != "EIP712Domain"}  # type: ignore[attr-defined]

    assert digest(json.dumps(MAIL)) == digest(MAIL)
    assert digest(MAIL | {"types": types}) == digest(MAIL)


def atomic() -> st.SearchStrategy[tuple[str, Any]]:
    def integers(bits: int, signed: bool) -> st.SearchStrategy[tuple[str, Any]]:
        low, high = (-(1 << bits - 1), (1 << bits - 1) - 1) if signed else (0, (1 << bits) - 1)
        kind = f"{'int' if signed else 'uint'}{bits}"
        return st.integers(low, high).map(lambda number: (kind, number))

    def fixed(size: int) -> st.SearchStrategy[tuple[str, Any]]:
        return st.binary(min_size=size, max_size=size).map(
            lambda raw: (f"bytes{size}", "0x" + raw.hex())
        )

    return st.one_of(
        st.builds(integers, st.sampled_from(range(8, 257, 8)), st.booleans()).flatmap(lambda s: s),
        st.integers(1, 32).flatmap(fixed),
        st.binary(max_size=70).map(lambda raw: ("bytes", "0x" + raw.hex())),
        st.text(max_size=20).map(lambda text: ("string", text)),
        st.booleans().map(lambda flag: ("bool", flag)),
        st.binary(min_size=20, max_size=20).map(lambda raw: ("address", "0x" + raw.hex())),
    )


@given(st.lists(atomic(), max_size=6), st.integers(0, 3), st.booleans())
def test_whatever_is_signed_hashes_as_eth_account_has_it(
    values: list[tuple[str, Any]], copies: int, fixed: bool
) -> None:
    part = [{"name": f"f{index}", "type": kind} for index, (kind, _) in enumerate(values)]
    message = {f"f{index}": value for index, (_, value) in enumerate(values)}
    whole = [
        {"name": "part", "type": "Part"},
        {"name": "parts", "type": f"Part[{copies}][]" if fixed else "Part[][]"},
    ]
    document = document_of(
        "Whole", {"part": message, "parts": [[message] * copies] * 2}, Part=part, Whole=whole
    )

    assert digest(document) == second_opinion(document)


def test_a_chain_of_structs_ends_with_null() -> None:
    person = [{"name": "name", "type": "string"}, {"name": "mother", "type": "Person"}]
    child = {"name": "Ann", "mother": {"name": "Eve", "mother": None}}
    document = document_of("Person", child, Person=person)

    assert digest(document) == second_opinion(document)


def test_a_document_of_a_domain_alone_signs_the_domain() -> None:
    document = MAIL | {"primaryType": "EIP712Domain", "message": {}}
    separator = encode_typed_data(full_message=MAIL).header

    assert digest(document) == keccak256(b"\x19\x01" + separator).hex()


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("uint8", 256, "Box.it: want an integer of type uint8"),
        ("uint8", -1, "Box.it: want an integer of type uint8"),
        ("int8", "128", "Box.it: want an integer of type int8"),
        ("uint8", True, "Box.it: want an integer of type uint8"),
        ("uint7", 1, "Box.it: there is no type 'uint7'"),
        ("bytes33", "0x", "Box.it: there is no type 'bytes33'"),
        ("Nobody", {}, "Box.it: there is no type 'Nobody'"),
        ("bytes4", "0x010203", "Box.it: was 3 bytes, expected 4"),
        ("address", "0x01", "Box.it: was 1 bytes, expected 20"),
        ("bytes", "0x1", "Box.it: want 0x and hex digits"),
        ("bool", 1, "Box.it: want true or false"),
        ("string", 1, "Box.it: want a string"),
        ("string", None, "Box.it: is missing"),
        ("bool[]", True, "Box.it: want an array"),
        (
            "bool[2]",
            [True],
            "Box.it: Expected 2 items for array type bool[2], got 1 items",
        ),
        ("bool[]", [True, 1], "Box.it[1]: want true or false"),
        ("Box", {"it": None, "that": 1}, "Box.it: type Box has no field 'that'"),
        ("Box", 1, "Box.it: want an object of type Box"),
    ],
)
def test_a_value_that_is_not_of_its_type_is_refused(kind: str, value: Any, message: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        digest(document_of(kind, value))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"types": []}, "types must be an object"),
        ({"types": {"A": {}}}, "A must be an array"),
        ({"types": {"A": [{"name": "x"}]}}, "A has a field without a name or a type"),
        ({"types": {"A": [{"name": "x", "type": "bool"}] * 2}}, "A names a field twice"),
        ({"types": {"uint8": []}}, "'uint8' can't be a struct's name"),
        ({"types": {f"A{index}": [] for index in range(300)}}, "at most 256 structs"),
        ({"primaryType": "Nobody"}, "primaryType 'Nobody' is not in types"),
        ({"primaryType": 5}, "primaryType '5' is not in types"),
        ({"message": []}, "domain and message must be objects"),
    ],
)
def test_a_document_that_is_none_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^typed data: ") as refusal:
        digest(MAIL | change)

    assert message in str(refusal.value)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (5, "want an object or a string of its JSON"),
        ("[]", "want an object or a string of its JSON"),
        ("{", "Expecting property name"),
        ("[" * 10_000, "nests more than"),
    ],
    ids=["number", "array", "half", "deep"],
)
def test_what_is_no_document_is_refused(document: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        digest(document)


def test_depth_is_bounded() -> None:
    value: Any = {"it": None}
    for _ in range(100):
        value = {"it": value}

    with pytest.raises(ValueError, match="nests more than 64 deep"):
        digest(document_of("Box", value))
