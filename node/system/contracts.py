"""The system contracts as others see them: address, code, and the published ABI.

Names and types stand in `contracts/abi` alone, compiled from `contracts/interfaces`; here they are
loaded once, at import.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.crypto import address_of, keccak256
from node.perp.account import BRIDGE, EXCHANGE, VAULT, system_address
from node.system.abi import AbiType, Coder, Parameter, parse_type, signature
from node.units import Address, Hash32

TOKEN = system_address(0x1001)
ORACLE = system_address(0x1003)
GOVERNANCE = system_address(0x1004)

SYSTEM_KEY = keccak256(b"perpnode system account")
"""Published on purpose: what it may sign, every validator builds for itself."""
SYSTEM_ACCOUNT = address_of(SYSTEM_KEY)
"""The sender of all system transactions; stands in genesis."""

ABI_DIRECTORY = Path(__file__).parents[2] / "contracts" / "abi"
"""Beside the package, in a checkout as in an installation."""


class Function(NamedTuple):
    """A function of an ABI."""

    name: str
    signature: str
    selector: bytes
    """4 bytes."""
    inputs: Coder
    outputs: Coder
    is_view: bool

    def encode_call(self, *arguments: Any) -> bytes:
        """Return the calldata of a call; OverflowError if an argument does not fit its type."""
        return self.selector + self.inputs.encode(arguments)


class EventAbi(NamedTuple):
    """An event of an ABI; its indexed fields are the first ones."""

    name: str
    signature: str
    topic: Hash32
    indexed: tuple[AbiType, ...]
    data: Coder


class ErrorAbi(NamedTuple):
    """An error of an ABI."""

    name: str
    signature: str
    selector: bytes
    """4 bytes."""
    fields: Coder


class Contract(NamedTuple):
    """A system contract."""

    name: str
    address: Address
    code: bytes
    """What eth_getCode returns: an invalid instruction and a name, for nobody to run."""
    code_hash: Hash32
    abi: Sequence[Mapping[str, Any]]
    """The ABI document, as it is published."""
    functions: Mapping[str, Function]
    events: Mapping[str, EventAbi]
    errors: Mapping[str, ErrorAbi]


def load_abi(name: str) -> Sequence[Mapping[str, Any]]:
    """Return the committed ABI document of a contract."""
    abi: Sequence[Mapping[str, Any]] = json.loads((ABI_DIRECTORY / f"{name}.json").read_bytes())
    return abi


def _types(parameters: Sequence[Parameter]) -> list[AbiType]:
    return [parse_type(parameter) for parameter in parameters]


def _function(entry: Mapping[str, Any]) -> Function:
    name = entry["name"]
    inputs = _types(entry["inputs"])
    signed = signature(name, inputs)
    return Function(
        name=name,
        signature=signed,
        selector=keccak256(signed.encode())[:4],
        inputs=Coder(inputs),
        outputs=Coder(_types(entry["outputs"])),
        is_view=entry["stateMutability"] in ("view", "pure"),
    )


def _event(entry: Mapping[str, Any]) -> EventAbi:
    types = _types(entry["inputs"])
    marks = [bool(parameter["indexed"]) for parameter in entry["inputs"]]
    count = sum(marks)
    assert all(marks[:count]), f"{entry['name']}: indexed fields come first"
    signed = signature(entry["name"], types)
    return EventAbi(
        name=entry["name"],
        signature=signed,
        topic=keccak256(signed.encode()),
        indexed=tuple(types[:count]),
        data=Coder(types[count:]),
    )


def _error(entry: Mapping[str, Any]) -> ErrorAbi:
    types = _types(entry["inputs"])
    signed = signature(entry["name"], types)
    return ErrorAbi(entry["name"], signed, keccak256(signed.encode())[:4], Coder(types))


def _contract(name: str, address: Address, abi: Sequence[Mapping[str, Any]]) -> Contract:
    code = b"\xfe" + f"perpnode:{name}".encode()
    named: dict[str, dict[str, Any]] = {"function": {}, "event": {}, "error": {}}
    make = {"function": _function, "event": _event, "error": _error}
    for entry in abi:
        of_type = named[entry["type"]]
        assert entry["name"] not in of_type, f"{name}.{entry['name']}: overloads are not supported"
        of_type[entry["name"]] = make[entry["type"]](entry)
    return Contract(
        name=name,
        address=address,
        code=code,
        code_hash=keccak256(code),
        abi=abi,
        functions=named["function"],
        events=named["event"],
        errors=named["error"],
    )


CONTRACTS: Mapping[Address, Contract] = {
    address: _contract(name, address, load_abi(name))
    for name, address in (
        ("Token", TOKEN),
        ("Exchange", EXCHANGE),
        ("Oracle", ORACLE),
        ("Governance", GOVERNANCE),
        ("LiquidatorVault", VAULT),
    )
} | {BRIDGE: _contract("Bridge", BRIDGE, ())}
"""By address. The Bridge has code, so that wallets see a contract, and no function yet."""


def contract(name: str) -> Contract:
    """Return a contract by its name; KeyError if there is none."""
    return _BY_NAME[name]


_BY_NAME = {each.name: each for each in CONTRACTS.values()}
