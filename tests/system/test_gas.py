"""The gas schedule: Ethereum's rows exactly, and one row for everything that changes state."""

from typing import Any

import pytest

from node.system.contracts import CONTRACTS, contract
from node.system.gas import ACTION_GAS, CALL_GAS, intrinsic_gas
from node.units import Address, Hash32

SOMEBODY = Address(b"\x0a" * 20)
KEY = Hash32(bytes(32))


def gas_of(name: str, function: str, *arguments: Any) -> int:
    of = contract(name)
    return intrinsic_gas(of.address, of.functions[function].encode_call(*arguments), ())


def test_a_plain_transfer_uses_exactly_21000() -> None:
    assert intrinsic_gas(SOMEBODY, b"", ()) == 21_000


def test_calldata_costs_what_eip_2028_says() -> None:
    assert intrinsic_gas(SOMEBODY, b"\x00\x00\x01", ()) == 21_000 + 4 + 4 + 16


def test_an_access_list_costs_what_eip_2930_says() -> None:
    access_list = ((SOMEBODY, (KEY, KEY)), (SOMEBODY, ()))

    assert intrinsic_gas(SOMEBODY, b"", access_list) == 21_000 + 2 * 2_400 + 2 * 1_900


def test_an_order_uses_its_action_and_its_calldata() -> None:
    # Calldata: 4 bytes of selector, then 160 bytes of which 1, 5, 100, 2 and 1 are not zero.
    selector = contract("Exchange").functions["placeOrder"].selector
    assert 0 not in selector

    used = gas_of("Exchange", "placeOrder", 1, 5, 100, 2, True)

    assert used == 21_000 + (4 + 5) * 16 + 155 * 4 + 8_000


def test_whatever_changes_state_has_its_row_and_nothing_else_has() -> None:
    for each in CONTRACTS.values():
        writes = {name for name, function in each.functions.items() if not function.is_view}
        assert ACTION_GAS[each.name].keys() == writes, each.name


@pytest.mark.parametrize("data", [b"", b"\x01\x02\x03\x04"])
def test_an_unknown_selector_at_a_contract_costs_a_call(data: bytes) -> None:
    used = intrinsic_gas(contract("Exchange").address, data, ())

    assert used == 21_000 + 16 * len(data) + CALL_GAS


def test_a_view_costs_a_call() -> None:
    data = contract("Exchange").functions["marketIds"].selector

    assert gas_of("Exchange", "marketIds") == intrinsic_gas(SOMEBODY, data, ()) + CALL_GAS
