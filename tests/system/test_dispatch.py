"""Calls as they come: any bytes at all end in return data or in a typed ABI error."""

from dataclasses import fields
from typing import Any

import pytest
from eth_abi.abi import decode, encode
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3

from node.errors import (
    ERC20InsufficientBalance,
    InsufficientBalance,
    InsufficientMargin,
    MalformedCalldata,
    MarketNotFound,
    NotAllowedInMode,
    Refusal,
    UnknownFunction,
    ValueNotAccepted,
)
from node.perp.account import BRIDGE, DEFICIT, EXCHANGE, FEES
from node.perp.status import CHAIN, Mode
from node.system.contracts import CONTRACTS, contract
from node.system.dispatch import encode_refusal, execute_call, is_system_contract
from node.units import Address, MarketId, Quote
from tests.helpers.ledger import set_chain_mode, trader
from tests.helpers.system_ledger import DictSystemLedger, call, give_tokens, make_system_ledger
from tests.system.published import REFUSALS, values_of

SENDER = trader(1)


def send(ledger: DictSystemLedger, to: Address, data: bytes, value: int = 0) -> bytes:
    return execute_call(ledger, sender=SENDER, to=to, value=value, data=data)


def test_the_system_contracts_are_those_with_code() -> None:
    assert all(map(is_system_contract, CONTRACTS))
    assert not is_system_contract(SENDER)
    assert not is_system_contract(FEES)
    assert not is_system_contract(DEFICIT)


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01\x02\x03\x04", b"\x01\x02\x03\x04" + bytes(64)]
)
@pytest.mark.parametrize("to", CONTRACTS, ids=bytes.hex)
def test_a_selector_that_no_function_has_is_named(to: Address, data: bytes) -> None:
    with pytest.raises(UnknownFunction) as refused:
        send(make_system_ledger(), to, data)

    assert refused.value.selector == data[:4]


def test_no_contract_takes_native_coin() -> None:
    for to in CONTRACTS:
        with pytest.raises(ValueNotAccepted) as refused:
            send(make_system_ledger(), to, b"", value=5)
        assert refused.value.value == 5


def test_calldata_longer_than_needed_is_accepted_as_in_solidity() -> None:
    ledger = make_system_ledger()
    faucet = contract("Token").functions["faucet"]

    send(ledger, contract("Token").address, faucet.encode_call(5) + b"more")

    assert call(ledger, SENDER, "Token", "balanceOf", SENDER) == (5,)


def test_calldata_shorter_than_needed_is_malformed() -> None:
    faucet = contract("Token").functions["faucet"]

    with pytest.raises(MalformedCalldata) as refused:
        send(make_system_ledger(), contract("Token").address, faucet.encode_call(5)[:-1])

    assert refused.value.selector == faucet.selector


def test_dirty_upper_bits_are_malformed() -> None:
    balance_of = contract("Token").functions["balanceOf"]
    dirty = bytearray(balance_of.encode_call(SENDER))
    dirty[4] = 1

    with pytest.raises(MalformedCalldata):
        send(make_system_ledger(), contract("Token").address, bytes(dirty))


def test_a_halted_chain_answers_views_and_refuses_everything_else() -> None:
    ledger = make_system_ledger()
    give_tokens(ledger, SENDER, 100)
    set_chain_mode(ledger, Mode.HALTED)

    assert call(ledger, SENDER, "Token", "balanceOf", SENDER) == (100,)
    assert call(ledger, SENDER, "Governance", "getMode", CHAIN) == (Mode.HALTED,)
    for name, function, *arguments in (
        ("Token", "transfer", trader(2), 1),
        ("Exchange", "cancelAllOrders", 1),
        ("Oracle", "reportPrice", 1, 100, 1, 0),
    ):
        with pytest.raises(NotAllowedInMode) as refused:
            call(ledger, SENDER, name, function, *arguments)
        assert (refused.value.market, refused.value.mode) == (CHAIN, Mode.HALTED)


def test_outputs_are_what_eth_abi_expects() -> None:
    ledger = make_system_ledger()
    name = contract("Token").functions["name"]

    assert send(ledger, contract("Token").address, name.selector) == encode(["string"], ["USDC"])


# --- errors ---------------------------------------------------------------------------------------


@st.composite
def refusals(draw: st.DrawFn) -> Refusal:
    """Return any refusal, each field anything that its ABI type holds."""
    kind = draw(st.sampled_from(REFUSALS))
    abi = next(
        each.errors[kind.__name__] for each in CONTRACTS.values() if kind.__name__ in each.errors
    )
    return kind(*[draw(values_of(each.name)) for each in abi.fields.types])


@given(refusals())
def test_a_refusal_is_the_abi_error_of_its_name(refusal: Refusal) -> None:
    encoded = encode_refusal(refusal)

    (abi,) = {
        each.errors[type(refusal).__name__].signature
        for each in CONTRACTS.values()
        if type(refusal).__name__ in each.errors
    }
    assert encoded[:4] == Web3.keccak(text=abi)[:4]
    types = abi.partition("(")[2].rstrip(")").split(",")
    values = [getattr(refusal, field.name) for field in fields(refusal)]
    assert encoded[4:] == encode(types, values)


def test_an_error_carries_signed_and_unsigned_amounts() -> None:
    encoded = encode_refusal(InsufficientMargin(SENDER, Quote(-7), Quote(100)))

    assert encoded[:4] == Web3.keccak(text="InsufficientMargin(address,int256,uint256)")[:4]
    assert decode(["address", "int256", "uint256"], encoded[4:])[1:] == (-7, 100)


def test_a_number_too_large_for_its_type_is_shown_as_the_largest() -> None:
    encoded = encode_refusal(InsufficientMargin(SENDER, Quote(-(2**300)), Quote(2**256)))

    assert decode(["int256", "uint256"], encoded[4 + 32 :]) == (-(2**255), 2**256 - 1)


def test_a_missing_selector_is_shown_as_zeros() -> None:
    assert encode_refusal(UnknownFunction(b"\x01"))[4:] == b"\x01".ljust(32, b"\x00")


# --- fuzz -----------------------------------------------------------------------------------------

FUNCTIONS = [
    (each, function) for each in CONTRACTS.values() for function in each.functions.values()
]


@st.composite
def calls(draw: st.DrawFn) -> tuple[Address, bytes]:
    """Return a call: well-formed, cut, changed in one byte, or noise."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.sampled_from(list(CONTRACTS))), draw(st.binary(max_size=80))
    each, function = draw(st.sampled_from(FUNCTIONS))
    arguments: list[Any] = [
        draw(values_of(kind.name) | st.sampled_from([SENDER, EXCHANGE, BRIDGE]))
        if kind.name == "address"
        else draw(st.just(1) | values_of(kind.name))
        if kind.name == "uint32"
        else draw(values_of(kind.name))
        for kind in function.inputs.types
    ]
    data = function.encode_call(*arguments)
    kept = draw(st.sampled_from([len(data)] * 9 + [draw(st.integers(0, len(data)))]))
    if draw(st.integers(0, 4)) == 0:
        at = draw(st.integers(0, len(data) - 1))
        data = data[:at] + draw(st.binary(min_size=1, max_size=1)) + data[at + 1 :]
    return each.address, data[:kept]


@given(st.lists(calls(), max_size=8), st.sampled_from([0, 100]))
def test_any_bytes_end_in_return_data_or_a_refusal(
    sent: list[tuple[Address, bytes]], price: int
) -> None:
    ledger = make_system_ledger(price=price)
    give_tokens(ledger, SENDER, 500_000)
    call(ledger, SENDER, "Exchange", "deposit", 400_000)

    for to, data in sent:
        before, checkpoint = ledger.dump(), ledger.checkpoint()
        try:
            output = send(ledger, to, data)
        except Refusal as refusal:
            ledger.revert(checkpoint)
            unchanged, output = ledger.dump() == before, encode_refusal(refusal)[4:]
            assert unchanged, "a refused call leaves a trace"
        assert len(output) % 32 == 0


@pytest.mark.parametrize("amount", [0, 2**256 - 1])
@pytest.mark.parametrize("function", ["deposit", "withdraw"])
def test_extreme_amounts_are_refused_or_nothing(function: str, amount: int) -> None:
    ledger = make_system_ledger()

    if amount == 0:
        assert call(ledger, SENDER, "Exchange", function, amount) == ()
        return
    with pytest.raises((ERC20InsufficientBalance, InsufficientBalance)):
        call(ledger, SENDER, "Exchange", function, amount)


def test_the_market_of_a_view_must_exist() -> None:
    ledger = make_system_ledger()
    missing = MarketId(2**32 - 1)

    for name, function, *arguments in (
        ("Exchange", "getMarket", missing),
        ("Exchange", "getPosition", SENDER, missing),
        ("Exchange", "getOrder", missing, 1),
        ("Exchange", "getTrigger", missing, 1),
        ("Oracle", "getPrice", missing),
        ("Oracle", "getReport", missing, SENDER),
        ("Governance", "getMode", missing),
    ):
        with pytest.raises(MarketNotFound):
            call(ledger, SENDER, name, function, *arguments)
