"""Typed data as people hand it in: this chain's and exactly as rendered, or named and refused."""

import json
from typing import Any

import pytest
from hypothesis import given

from node.crypto import keccak256
from node.errors import MalformedAction
from node.governance.action import AcknowledgeJump, Action, Domain, Halt
from node.governance.typed_data import parse_typed_data, render_typed_data
from tests.governance.test_action import actions
from tests.helpers.council import make

DOMAIN = Domain(20260119, keccak256(b"genesis"))
HALT = make(Halt, height=5)


def document_of(action: Action = HALT) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(json.dumps(render_typed_data(action, DOMAIN)))
    return document


@given(actions())
def test_what_is_rendered_is_read_back(action: Action) -> None:
    if len(action.reason.encode()) <= 1_000:
        assert parse_typed_data(document_of(action), DOMAIN) == action


def test_numbers_that_javascript_would_round_are_strings() -> None:
    message = document_of(HALT._replace(height=2**53, expires_at=2**53 - 1))["message"]

    assert message["height"] == str(2**53)
    assert message["expiresAt"] == 2**53 - 1


def test_decimal_strings_other_case_and_no_domain_type_are_what_wallets_send_too() -> None:
    document = document_of()
    document["message"]["height"] = "5"
    document["domain"]["salt"] = document["domain"]["salt"].upper().replace("0X", "0x")
    document["domain"]["chainId"] = str(DOMAIN.chain_id)
    del document["types"]["EIP712Domain"]

    assert parse_typed_data(document, DOMAIN) == HALT


@pytest.mark.parametrize(
    ("path", "value", "named"),
    [
        (("domain", "salt"), "0x" + "00" * 32, "domain.salt"),
        (("domain", "chainId"), 1, "domain.chainId"),
        (("domain", "name"), "other", "domain.name"),
        (("domain", "version"), "2", "domain.version"),
        (("domain", "verifyingContract"), "0x" + "11" * 20, "domain.verifyingContract"),
        (("domain",), {}, "domain"),
        (("primaryType",), "Pause", "primaryType"),
        (("primaryType",), ["Halt"], "primaryType"),
        (("types", "Halt"), [{"name": "height", "type": "uint64"}], "types"),
        (("types", "Extra"), [], "types"),
        (("extra",), 1, "typed data"),
        (("message",), [], "message"),
        (("message", "extra"), 1, "message"),
        (("message", "height"), -1, "height"),
        (("message", "height"), 2**64, "height"),
        (("message", "height"), True, "height"),
        (("message", "height"), "5.0", "height"),
        (("message", "height"), "\u0665", "height"),
        (("message", "height"), None, "height"),
        (("message", "nonce"), "0x" + "00" * 31, "nonce"),
        (("message", "nonce"), "0x" + "0g" * 32, "nonce"),
        (("message", "nonce"), 5, "nonce"),
        (("message", "reason"), 5, "reason"),
        (("message", "reason"), "\ud800", "reason"),
        (("message", "reason"), "x" * 1_001, "reason"),
    ],
)
def test_anything_else_is_named(path: tuple[str, ...], value: object, named: str) -> None:
    document = document_of()
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = value

    with pytest.raises(MalformedAction) as caught:
        parse_typed_data(document, DOMAIN)

    assert caught.value.field == named


@pytest.mark.parametrize("document", [None, [], "Halt", 5, {}])
def test_what_is_no_typed_data_is_refused(document: object) -> None:
    with pytest.raises(MalformedAction, match="typed data"):
        parse_typed_data(document, DOMAIN)


def test_a_price_may_be_negative_on_paper() -> None:
    action = make(AcknowledgeJump, market=1, price=-5)

    assert parse_typed_data(document_of(action), DOMAIN) == action
