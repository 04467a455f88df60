"""The published ABI says exactly what the code does: nothing more, nothing less, nothing else."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from enum import IntEnum
from pathlib import Path
from typing import Any

import pytest
from eth_utils.crypto import keccak

from node import errors
from node.errors import Refusal
from node.governance.action import Kind
from node.perp.oracle import ReportRefusal
from node.perp.order import CancelFilter, CancelReason, TimeInForce, TriggerKind
from node.perp.status import Mode, ModeReason
from node.system.contracts import ABI_DIRECTORY, CONTRACTS, Contract, contract
from node.system.logs import EVENT_CLASSES
from tests.system.published import REFUSALS, camel_case
from tools import typescript

CONTRACTS_DIRECTORY = ABI_DIRECTORY.parent
WITH_ABI = [each for each in CONTRACTS.values() if each.abi]

ENUMS: dict[str, type[IntEnum]] = {
    "TimeInForce": TimeInForce,
    "TriggerKind": TriggerKind,
    "CancelReason": CancelReason,
    "Mode": Mode,
    "ModeReason": ModeReason,
    "ReportRefusal": ReportRefusal,
    "CancelFilter": CancelFilter,
    "Kind": Kind,
}


def entries(kind: str) -> Iterator[tuple[Contract, dict[str, Any]]]:
    return ((each, dict(entry)) for each in WITH_ABI for entry in each.abi if entry["type"] == kind)


def names_of(entry: dict[str, Any]) -> list[str]:
    return [parameter["name"] for parameter in entry["inputs"]]


def test_the_committed_typescript_is_what_the_abi_makes() -> None:
    assert typescript.FILE.read_text() == typescript.render(), "run python -m tools.typescript"


def test_the_committed_abi_is_what_solc_makes_of_the_interfaces() -> None:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed")
    if not (CONTRACTS_DIRECTORY / "node_modules" / "solc").is_dir():
        pytest.skip("solc is not installed: run `npm ci` in contracts/")

    checked = subprocess.run(
        [node, "compile.js", "--check"],
        cwd=CONTRACTS_DIRECTORY,
        capture_output=True,
        text=True,
        check=False,
    )

    assert (checked.returncode, checked.stderr) == (0, "")


def test_every_interface_has_its_abi_and_every_abi_its_contract() -> None:
    interfaces = {path.stem[1:] for path in (CONTRACTS_DIRECTORY / "interfaces").glob("I*.sol")}

    assert {path.stem for path in ABI_DIRECTORY.iterdir()} == interfaces - {"System"}
    assert {each.name for each in WITH_ABI} == interfaces - {"System"}


def test_an_abi_file_is_a_plain_array_as_libraries_load_it() -> None:
    for path in ABI_DIRECTORY.iterdir():
        document = json.loads(path.read_text())
        assert isinstance(document, list)
        assert {entry["type"] for entry in document} <= {"function", "event", "error"}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal.__name__)
def test_every_refusal_is_an_abi_error_with_the_same_fields(refusal: type[Refusal]) -> None:
    declared = [entry for _, entry in entries("error") if entry["name"] == refusal.__name__]

    assert declared, f"no interface declares {refusal.__name__}"
    for entry in declared:
        assert names_of(entry) == [camel_case(field.name) for field in fields(refusal)]


def test_every_abi_error_is_a_refusal() -> None:
    for _, entry in entries("error"):
        assert issubclass(getattr(errors, entry["name"]), Refusal)


def test_an_error_that_several_contracts_declare_is_the_same_everywhere() -> None:
    declared: dict[str, set[str]] = {}
    for each, entry in entries("error"):
        declared.setdefault(entry["name"], set()).add(each.errors[entry["name"]].signature)

    assert {name: signatures for name, signatures in declared.items() if len(signatures) > 1} == {}


@pytest.mark.parametrize("event", EVENT_CLASSES, ids=lambda event: event.__name__)
def test_every_event_is_declared_once_with_the_same_fields(event: Any) -> None:
    declared = [entry for _, entry in entries("event") if entry["name"] == event.__name__]

    assert len(declared) == 1
    assert names_of(declared[0]) == [camel_case(name) for name in event._fields]
    assert declared[0]["anonymous"] is False


def test_every_abi_event_is_one_that_a_ledger_takes() -> None:
    assert {entry["name"] for _, entry in entries("event")} == {
        event.__name__ for event in EVENT_CLASSES
    }


def test_events_are_indexed_by_market_and_accounts() -> None:
    for _, entry in entries("event"):
        indexed = [each["name"] for each in entry["inputs"] if each["indexed"]]
        assert indexed == [
            each["name"]
            for each in entry["inputs"]
            if each["name"] in ("market", "forkId", "compensation") or each["type"] == "address"
        ]


@pytest.mark.parametrize("name", ENUMS)
def test_enum_codes_are_those_of_the_rules(name: str) -> None:
    sources = "".join(path.read_text() for path in (CONTRACTS_DIRECTORY / "interfaces").iterdir())
    body = sources.split(f"enum {name} {{")[1].split("}")[0]
    declared = [line.split("//")[0].strip(" ,") for line in body.splitlines()]

    assert [each for each in declared if each] == [each.name for each in ENUMS[name]]
    assert [int(each) for each in ENUMS[name]] == list(range(len(ENUMS[name])))


def test_selectors_and_topics_are_keccak_of_the_signature() -> None:
    for each in WITH_ABI:
        for function in each.functions.values():
            assert function.selector == keccak(text=function.signature)[:4]
        for event in each.events.values():
            assert event.topic == keccak(text=event.signature)
        for error in each.errors.values():
            assert error.selector == keccak(text=error.signature)[:4]


def test_well_known_signatures_are_the_ones_that_wallets_know() -> None:
    token = contract("Token")

    assert token.functions["transfer"].selector.hex() == "a9059cbb"
    assert token.functions["balanceOf"].selector.hex() == "70a08231"
    assert token.functions["permit"].selector.hex() == "d505accf"
    assert token.events["Transfer"].topic.hex().startswith("ddf252ad1be2c89b69c2b068fc378daa")
    assert token.errors["ERC20InsufficientBalance"].selector.hex() == "e450d38c"
    place_order = contract("Exchange").functions["placeOrder"]
    assert place_order.signature == "placeOrder(uint32,int64,int64,uint8,bool)"
    insufficient = contract("Exchange").errors["InsufficientMargin"]
    assert insufficient.signature == "InsufficientMargin(address,int256,uint256)"


def test_code_is_not_empty_and_names_the_contract() -> None:
    for each in CONTRACTS.values():
        assert each.code == b"\xfeperpnode:" + each.name.encode()
        assert each.code_hash == keccak(each.code)


def test_the_readme_tells_every_address() -> None:
    readme = Path(CONTRACTS_DIRECTORY / "README.md").read_text()

    for each in WITH_ABI:
        assert f"| {each.name} | `0x{each.address.hex()}` |" in readme


def test_all_calldata_can_be_decoded() -> None:
    for each in WITH_ABI:
        for function in each.functions.values():
            assert all(kind.decode or kind.read for kind in function.inputs.types), function.name
