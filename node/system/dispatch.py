"""Calldata in, return data or a `Refusal` out: the door to the system contracts.

A transaction, `eth_call` and `eth_estimateGas` all come through `execute_call`. Whoever calls makes
the checkpoint and reverts to it on a `Refusal`; nothing else is raised, whatever the calldata.
"""

from collections.abc import Mapping
from typing import NamedTuple

from node.errors import (
    MalformedCalldata,
    NotAllowedInMode,
    UnknownFunction,
    ValueNotAccepted,
)
from node.perp.status import CHAIN, Mode
from node.system import batch, erc20, exchange, governance, oracle, orders, vault
from node.system.abi import Coder
from node.system.contracts import CONTRACTS, GOVERNANCE, Contract
from node.system.handler import Handler, Handlers
from node.system.ledger import SystemLedger
from node.system.refusal import encode_refusal
from node.units import Address

__all__ = ["encode_refusal", "execute_call", "is_system_contract"]


class _Route(NamedTuple):
    """Where a selector leads."""

    inputs: Coder
    function: Handler
    outputs: Coder
    is_view: bool


def is_system_contract(address: Address) -> bool:
    """Tell whether calls of the address are ours; it has code and takes no native coin."""
    return address in _ROUTES


def execute_call(
    ledger: SystemLedger, *, sender: Address, to: Address, value: int, data: bytes
) -> bytes:
    """Run a call of a system contract and return its ABI output; views and writes alike.

    Raises the Refusal of the rule that refuses it. UnknownFunction, MalformedCalldata and
    ValueNotAccepted (in wei) come before any rule. While the chain is HALTED only views and the
    council's actions run.
    """
    if value:
        raise ValueNotAccepted(value)
    selector = data[:4]
    route = _ROUTES[to].get(selector)
    if route is None:
        raise UnknownFunction(selector)
    if not route.is_view and ledger.status.mode == Mode.HALTED and to != GOVERNANCE:
        raise NotAllowedInMode(CHAIN, Mode.HALTED)
    try:
        arguments = route.inputs.decode(data, 4)
    except ValueError:
        raise MalformedCalldata(selector) from None
    return route.outputs.encode(route.function(ledger, sender, *arguments))


def _routes(contract: Contract, functions: Handlers) -> Mapping[bytes, _Route]:
    assert contract.functions.keys() == functions.keys(), f"{contract.name}: not as its ABI"
    return {
        abi.selector: _Route(abi.inputs, functions[name], abi.outputs, abi.is_view)
        for name, abi in contract.functions.items()
    }


_HANDLERS: Mapping[str, Handlers] = {
    "Token": erc20.HANDLERS,
    "Exchange": {**exchange.HANDLERS, **orders.HANDLERS, **batch.HANDLERS},
    "Oracle": oracle.HANDLERS,
    "Governance": governance.HANDLERS,
    "LiquidatorVault": vault.HANDLERS,
    "Bridge": {},
}
_ROUTES: Mapping[Address, Mapping[bytes, _Route]] = {
    address: _routes(contract, _HANDLERS[contract.name]) for address, contract in CONTRACTS.items()
}
