"""O8: a transaction's class is a pure function of where it goes and what its bytes say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.perp.order import TimeInForce
from node.system.classes import ActionClass, classify
from node.system.contracts import CONTRACTS, contract
from node.system.governance import FUNCTIONS
from node.units import Address

SOMEBODY = Address(b"\x0a" * 20)
GTC, IOC, POST_ONLY, FOK, GTT = TimeInForce


def calldata(name: str, function: str, *arguments: Any) -> tuple[Address, bytes]:
    of = contract(name)
    return of.address, of.functions[function].encode_call(*arguments)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (calldata("Oracle", "reportPrice", 1, 100, 1_000, 0), ActionClass.REPORT),
        (calldata("Exchange", "deposit", 5), ActionClass.ACCOUNT),
        (calldata("Exchange", "withdraw", 5), ActionClass.ACCOUNT),
        (calldata("Token", "transfer", SOMEBODY, 5), ActionClass.ACCOUNT),
        (calldata("Token", "faucet", 5), ActionClass.ACCOUNT),
        (calldata("Exchange", "getAccount", SOMEBODY), ActionClass.ACCOUNT),
        ((SOMEBODY, b""), ActionClass.ACCOUNT),
        (calldata("Exchange", "cancelOrder", 1, 7), ActionClass.CANCEL),
        (calldata("Exchange", "cancelAllOrders", 1), ActionClass.CANCEL),
        (calldata("Exchange", "placeOrder", 1, 5, 100, POST_ONLY, False), ActionClass.POST_ONLY),
        (calldata("Exchange", "placeOrder", 1, -5, 100, POST_ONLY, True), ActionClass.POST_ONLY),
        (calldata("Exchange", "placeOrder", 1, 5, 100, GTC, False), ActionClass.ORDER),
        (calldata("Exchange", "placeOrder", 1, 5, 100, IOC, False), ActionClass.ORDER),
        (calldata("Exchange", "placeOrder", 1, 5, 100, 77, False), ActionClass.ORDER),
        (calldata("Exchange", "placeMarketOrder", 1, 5, False), ActionClass.ORDER),
        (calldata("Exchange", "placeTrigger", 1, 5, 100, 0), ActionClass.ORDER),
    ],
)
def test_each_action_has_its_class(call: tuple[Address, bytes], expected: ActionClass) -> None:
    assert classify(*call) is expected


def test_what_the_council_signed_comes_first_and_views_of_governance_do_not() -> None:
    functions = contract("Governance").functions

    for function in functions.values():
        expected = ActionClass.ACCOUNT if function.is_view else ActionClass.GOVERNANCE
        assert classify(contract("Governance").address, function.selector) is expected
        assert classify(SOMEBODY, function.selector) is ActionClass.ACCOUNT
    names = {name for name, function in functions.items() if not function.is_view}
    assert names == {*FUNCTIONS.values(), "recordHold"}


def test_the_selector_counts_only_at_its_own_contract() -> None:
    _, order = calldata("Exchange", "placeOrder", 1, 5, 100, GTC, False)
    _, report = calldata("Oracle", "reportPrice", 1, 100, 1_000, 0)

    assert classify(SOMEBODY, order) is ActionClass.ACCOUNT
    assert classify(contract("Exchange").address, report) is ActionClass.ACCOUNT


def test_malformed_calldata_has_the_class_of_its_selector() -> None:
    exchange, order = calldata("Exchange", "placeOrder", 1, 5, 100, POST_ONLY, False)
    dirty = bytearray(order)
    dirty[4 + 3 * 32] = 1

    assert classify(exchange, order[: 4 + 3 * 32 + 31]) is ActionClass.ORDER
    assert classify(exchange, bytes(dirty)) is ActionClass.ORDER
    assert classify(exchange, order[:4]) is ActionClass.ORDER
    assert classify(exchange, order[:3]) is ActionClass.ACCOUNT


@given(st.sampled_from([*CONTRACTS, SOMEBODY]), st.binary(max_size=200))
def test_any_bytes_have_a_class(to: Address, data: bytes) -> None:
    assert classify(to, data) in ActionClass


def test_classes_stand_in_protocol_order() -> None:
    assert [each.name for each in sorted(ActionClass)] == [
        "GOVERNANCE",
        "REPORT",
        "ACCOUNT",
        "CANCEL",
        "POST_ONLY",
        "ORDER",
    ]
