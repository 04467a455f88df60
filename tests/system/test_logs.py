"""Logs as other people's libraries read them."""

from collections.abc import Mapping
from typing import Any, get_type_hints

import pytest
from eth_abi.abi import encode
from eth_utils.crypto import keccak
from hypothesis import given
from hypothesis import strategies as st
from web3 import Web3
from web3._utils.events import get_event_data

from node.perp.events import FundingSettled, OrderFilled
from node.system.contracts import CONTRACTS, contract
from node.system.ledger import SystemEvent
from node.system.logs import EVENT_CLASSES, Log, decode_log, encode_log
from node.system.token import Transfer
from node.units import Address, FundingIndex, Hash32, Lots, MarketId, OrderId, Quote, Ticks
from tests.system.published import camel_case, values_of

MAKER, TAKER = Address(b"\x0a" * 20), Address(b"\x0b" * 20)
CODEC = Web3().codec


def read(log: Log) -> dict[str, Any]:
    """Return a log's arguments as web3.py decodes them."""
    found = [
        entry
        for entry in CONTRACTS[log.address].abi
        if entry["type"] == "event"
        and CONTRACTS[log.address].events[entry["name"]].topic == log.topics[0]
    ]
    assert len(found) == 1
    decoded = get_event_data(
        CODEC,
        found[0],
        {
            "address": Web3.to_checksum_address(log.address),
            "topics": list(log.topics),
            "data": log.data,
            "logIndex": 0,
            "transactionIndex": 0,
            "transactionHash": bytes(32),
            "blockHash": bytes(32),
            "blockNumber": 1,
        },
    )
    return dict(decoded["args"])


@st.composite
def events(draw: st.DrawFn) -> SystemEvent:
    """Return any event, each field anything that its ABI type holds."""
    event_class = draw(st.sampled_from(EVENT_CLASSES))
    for each in CONTRACTS.values():
        if event_class.__name__ in each.events:
            abi = each.events[event_class.__name__]
            names = [kind.name for kind in abi.indexed] + [kind.name for kind in abi.data.types]
            return event_class(*[draw(values_of(name)) for name in names])
    raise AssertionError(event_class)


@given(events())
def test_web3_reads_what_happened(event: SystemEvent) -> None:
    log = encode_log(event)

    arguments = read(log)

    expected = dict(zip(map(camel_case, event._fields), event, strict=True))
    assert list(arguments) == list(expected)
    assert comparable(arguments) == comparable(expected)


@given(events())
def test_our_logs_are_read_back(event: SystemEvent) -> None:
    found = decode_log(encode_log(event))

    assert (type(found), found) == (type(event), event)


def test_what_no_contract_of_ours_declares_is_no_event() -> None:
    log = encode_log(Transfer(MAKER, TAKER, Quote(5)))

    assert decode_log(log._replace(topics=(Hash32(bytes(32)), *log.topics[1:]))) is None
    assert decode_log(log._replace(topics=())) is None


def comparable(value: Any) -> Any:
    """Return addresses as web3.py shows them, and what it shows as lists, tuples or objects."""
    if isinstance(value, Mapping):
        return comparable(list(value.values()))
    if isinstance(value, list | tuple):
        return tuple(map(comparable, value))
    is_address = isinstance(value, bytes) and len(value) == 20
    return Web3.to_checksum_address(value) if is_address else value


def test_a_fill_is_indexed_by_market_maker_and_taker() -> None:
    fill = OrderFilled(
        market=MarketId(2),
        maker=MAKER,
        taker=TAKER,
        maker_order_id=OrderId(7),
        taker_order_id=OrderId(8),
        size=Lots(-3),
        price=Ticks(100),
        maker_fee=Quote(-5),
        taker_fee=Quote(9),
        liquidation=False,
    )

    log = encode_log(fill)

    assert log.address == contract("Exchange").address
    assert log.topics[1:] == (
        (2).to_bytes(32, "big"),
        bytes(12) + MAKER,
        bytes(12) + TAKER,
    )
    names = ["uint64", "uint64", "int64", "int64", "int256", "int256", "bool"]
    assert log.data == encode(names, [7, 8, -3, 100, -5, 9, False])


def test_amounts_and_indices_may_pass_64_bits() -> None:
    settled = FundingSettled(MarketId(1), MAKER, Quote(-(2**80)), FundingIndex(2**100))

    log = encode_log(settled)

    assert log.data == encode(["int256", "int256"], [-(2**80), 2**100])


def test_a_token_transfer_is_erc20s() -> None:
    log = encode_log(Transfer(MAKER, TAKER, Quote(5)))

    assert log.address == contract("Token").address
    assert log.topics[0] == keccak(text="Transfer(address,address,uint256)")
    assert read(log) == {
        "from": Web3.to_checksum_address(MAKER),
        "to": Web3.to_checksum_address(TAKER),
        "value": 5,
    }


def test_what_is_no_event_has_no_log() -> None:
    with pytest.raises(KeyError):
        encode_log((1, 2))  # type: ignore[arg-type]  # on purpose


@pytest.mark.parametrize("event_class", EVENT_CLASSES, ids=lambda each: each.__name__)
def test_a_fields_unit_fits_its_abi_type(event_class: Any) -> None:
    """Sizes, prices and rates are int64; money and indices have 256 bits; ids are unsigned."""
    widths = {
        "MarketId": {"uint32"},
        "OrderId": {"uint64"},
        "Lots": {"int64"},
        "Ticks": {"int64"},
        "RatePpb": {"int64"},
        "Quote": {"uint256", "int256"},
        "FundingIndex": {"int256"},
        "RatePpm": {"uint32"},
        "Height": {"uint64"},
        "Hash32": {"bytes32"},
        "str": {"string"},
        "tuple": {"address[]", "(bool,bytes)[]", "(bytes32,int64)[]", "(int64,int64)[]"},
        "int": {"uint8", "uint32", "uint64", "int64", "uint256", "int256"},
        "DurationMs": {"uint64"},
        "TimeMs": {"uint64"},
        "Address": {"address"},
        "bool": {"bool"},
    }
    (abi,) = (
        each.events[event_class.__name__]
        for each in CONTRACTS.values()
        if event_class.__name__ in each.events
    )
    names = [kind.name for kind in (*abi.indexed, *abi.data.types)]

    for (field, unit), name in zip(get_type_hints(event_class).items(), names, strict=True):
        assert name in widths.get(unit.__name__, {"uint8", "uint256"}), field
