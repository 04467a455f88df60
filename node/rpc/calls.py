"""Calls that change nothing, gas estimates, and transactions handed in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from node.chain.transaction import AccessList
from node.consensus.core import CallRequest, CallResult
from node.errors import TipAboveFeeCap
from node.rpc.blocks import BlockRef, get_block
from node.rpc.context import Context
from node.rpc.errors import ExecutionReverted, ServerError
from node.rpc.hex import (
    data,
    parse_address,
    parse_data,
    parse_hash,
    parse_quantity,
    quantity,
)
from node.rpc.render import Json
from node.system.revert import describe_revert
from node.units import Address, Wei

NOBODY = Address(bytes(20))
"""The sender of a call that names none."""


def parse_call(value: object) -> CallRequest:
    """Read a transaction object; members that calls don't need are ignored."""
    if not isinstance(value, dict):
        raise ValueError("cannot unmarshal non-object into a transaction")
    if "blobVersionedHashes" in value or "authorizationList" in value:
        raise ServerError("transaction type not supported: transaction type not valid")
    input_, data_ = _read(value, "input", parse_data), _read(value, "data", parse_data)
    if input_ is not None and data_ is not None and input_ != data_:
        raise ValueError('both "data" and "input" are set and not equal')
    gas_price = _read(value, "gasPrice", parse_quantity)
    max_fee = _read(value, "maxFeePerGas", parse_quantity)
    tip = _read(value, "maxPriorityFeePerGas", parse_quantity)
    if gas_price is not None and (max_fee is not None or tip is not None):
        raise ValueError("both gasPrice and (maxFeePerGas or maxPriorityFeePerGas) specified")
    if max_fee is not None and tip is not None and tip > max_fee:
        raise ServerError(str(TipAboveFeeCap(tip, max_fee)))
    return CallRequest(
        sender=_read(value, "from", parse_address) or NOBODY,
        to=_read(value, "to", parse_address),
        value=Wei(_read(value, "value", parse_quantity) or 0),
        data=(data_ if input_ is None else input_) or b"",
        gas_limit=_read(value, "gas", parse_quantity),
        max_fee=Wei(gas_price or max_fee or 0),
        access_list=_read(value, "accessList", _parse_access_list) or (),
    )


def _parse_access_list(value: object) -> AccessList:
    if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
        raise ValueError("cannot unmarshal into an access list")
    entries = [(entry.get("address"), entry.get("storageKeys") or []) for entry in value]
    if not all(isinstance(keys, list) for _, keys in entries):
        raise ValueError("storageKeys must be an array")
    return tuple((parse_address(each), tuple(map(parse_hash, keys))) for each, keys in entries)


def _read(value: Mapping[str, Any], name: str, parse: Callable[[object], Any]) -> Any:
    if value.get(name) is None:
        return None
    try:
        return parse(value[name])
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def parse_overrides(value: object) -> None:
    """Accept no state overrides: records here are not an EVM's storage."""
    if value != {}:
        raise ValueError("state overrides are not supported")


def require_success(result: CallResult) -> CallResult:
    """Return the result of a call; raise ExecutionReverted if it reverts."""
    if result.reverted:
        raise ExecutionReverted(describe_revert(result.output), result.output)
    return result


async def call(context: Context, request: CallRequest, ref: BlockRef, overrides: None) -> Json:
    """Run a call on a throw-away state and return what it returns."""
    block = await get_block(context.core, ref)
    return data(require_success(await context.core.call(request, block)).output)


async def estimate_gas(
    context: Context, request: CallRequest, ref: BlockRef, overrides: None
) -> Json:
    """Return the gas that a transaction will use: exact, because the schedule is."""
    block = await get_block(context.core, ref)
    return quantity(require_success(await context.core.call(request, block)).gas_used)


async def send_raw_transactions(
    context: Context, calls: Sequence[Sequence[bytes]]
) -> Sequence[str | Exception]:
    """Hand signed transactions to the mempool, in order; return each one's hash or refusal."""
    results = await context.core.submit([raw for (raw,) in calls])
    return [result if isinstance(result, Exception) else data(result) for result in results]
