"""What the node signs for its own development accounts, in geth's forms.

All of it is guarded (DESIGN section 10): a foreign web page, and everybody where the node listens
beyond loopback, is refused.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from node.chain.development import Call
from node.chain.transaction import EIP_1559, EIP_2930, LEGACY, Transaction, UnsignedTransaction
from node.consensus.core import CallRequest
from node.consensus.development import Development
from node.consensus.reorg import Wish
from node.crypto import Signature, keccak256
from node.errors import ContractCreation, WrongChainId
from node.rpc.calls import parse_call, require_success
from node.rpc.context import Context
from node.rpc.fees import SUGGESTED_TIP
from node.rpc.hex import INT256_MAX, UINT64_MAX, data, parse_quantity
from node.rpc.render import Json, render_signed
from node.system.gas import intrinsic_gas
from node.units import Address, Hash32, Wei


class SendRequest(NamedTuple):
    """A transaction to sign; None is for the node to fill in."""

    call: CallRequest
    nonce: int | None
    chain_id: int | None
    gas_price: int | None
    max_fee: int | None
    max_priority_fee: int | None


def parse_send(value: object) -> SendRequest:
    """Read a transaction object that names its sender."""
    request = parse_unsent(value)
    assert isinstance(value, dict), "nothing else is read"
    if value.get("from") is None:
        raise ValueError("from: is missing")
    return request


def parse_unsent(value: object) -> SendRequest:
    """Read a transaction object, whoever will send it."""
    call = parse_call(value)
    assert isinstance(value, dict), "parse_call takes nothing else"
    return SendRequest(
        call,
        _read(value, "nonce", UINT64_MAX),
        _read(value, "chainId"),
        _read(value, "gasPrice"),
        _read(value, "maxFeePerGas"),
        _read(value, "maxPriorityFeePerGas"),
    )


def _read(value: Mapping[str, Any], name: str, highest: int = INT256_MAX) -> int | None:
    if value.get(name) is None:
        return None
    try:
        return parse_quantity(value[name], highest=highest)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


async def list_accounts(context: Context) -> Json:
    """Return the accounts in whose name this caller may send: the node's own, then impersonated."""
    if context.session.refusal is not None:
        return []
    addresses = context.accounts.addresses()
    if context.core.has_development:
        addresses += await context.core.develop(Development.impersonated)
    return [data(address) for address in dict.fromkeys(addresses)]


async def send_transaction(context: Context, request: SendRequest) -> Json:
    """Sign a transaction of an own account, hand it to the mempool and return its hash.

    An account that is impersonated needs no key: what it sends is a development operation.
    """
    if request.call.sender not in context.accounts.addresses():
        sent = await _send_impersonated(context, request)
        if sent is not None:
            return data(sent)
    context.accounts.require(request.call.sender)
    async with context.accounts.sending:
        unsigned = await _complete(context, request)
        signed = context.accounts.sign_transaction(request.call.sender, unsigned)
        (result,) = await context.core.submit([signed.raw])
    if isinstance(result, Exception):
        raise result
    return data(result)


async def _send_impersonated(context: Context, request: SendRequest) -> Hash32 | None:
    """Seal what an impersonated account sends and return its hash; None: it is not impersonated."""
    core, call = context.core, request.call
    if not core.has_development or not await core.develop(Development.is_impersonated, call.sender):
        return None
    to = _require_sendable(context, request)
    sealed = await core.develop(
        Development.call, call.sender, request.nonce, to, call.value, call.data
    )
    return sealed.tx_hash


async def wish_for(context: Context, request: SendRequest) -> Wish:
    """Return a transaction that awaits its nonce: an own account's, or an impersonated one's.

    Raises InvalidParams for somebody else's.
    """
    core, call = context.core, request.call
    to = _require_sendable(context, request)

    def sign(nonce: int) -> Transaction:
        gas = call.gas_limit
        if gas is None:
            gas = intrinsic_gas(to, call.data, call.access_list)
        unsigned = _fill_in(context, request, to=to, nonce=nonce, gas=gas)
        return context.accounts.sign_transaction(call.sender, unsigned)

    def impersonate(nonce: int) -> Call:
        return Call(call.sender, nonce, to, call.value, call.data)

    is_own = call.sender in context.accounts.addresses()
    if not is_own and await core.develop(Development.is_impersonated, call.sender):
        return Wish(call.sender, request.nonce, impersonate)
    context.accounts.require(call.sender)
    return Wish(call.sender, request.nonce, sign)


def _require_sendable(context: Context, request: SendRequest) -> Address:
    """Return whom it goes to; raise InvalidTransaction for another chain's, or a creation."""
    if request.call.to is None:
        raise ContractCreation()
    chain_id = context.core.chain_id
    if request.chain_id is not None and request.chain_id != chain_id:
        raise WrongChainId(request.chain_id, chain_id)
    return request.call.to


async def sign_transaction(context: Context, request: SendRequest) -> Json:
    """Sign a transaction of an own account and return its bytes and its fields; send nothing."""
    context.accounts.require(request.call.sender)
    unsigned = await _complete(context, request)
    signed = context.accounts.sign_transaction(request.call.sender, unsigned)
    return {"raw": data(signed.raw), "tx": render_signed(signed)}


def sign_message(context: Context, address: Address, message: bytes) -> Json:
    """Sign a message as people read it (EIP-191)."""
    prefix = b"\x19Ethereum Signed Message:\n" + str(len(message)).encode()
    digest = keccak256(prefix + message)
    return _render_signature(context.accounts.sign_digest(address, digest))


def personal_sign(context: Context, message: bytes, address: Address, password: str | None) -> Json:
    """Sign a message as people read it (EIP-191); no account here has a password."""
    return sign_message(context, address, message)


def sign_typed_data(context: Context, address: Address, digest: Hash32) -> Json:
    """Sign typed data (EIP-712)."""
    return _render_signature(context.accounts.sign_digest(address, digest))


def _render_signature(signature: Signature) -> str:
    encoded = signature.r.to_bytes(32, "big") + signature.s.to_bytes(32, "big")
    return data(encoded + bytes([27 + signature.y_parity]))


async def _complete(context: Context, request: SendRequest) -> UnsignedTransaction:
    """Fill in what the caller left open: the next nonce, exact gas, enough of a fee."""
    core, call = context.core, request.call
    to = _require_sendable(context, request)
    gas = call.gas_limit
    if gas is None:
        gas = require_success(await core.call(call, core.heads().latest)).gas_used
    nonce = core.pending_nonce(call.sender) if request.nonce is None else request.nonce
    return _fill_in(context, request, to=to, nonce=nonce, gas=gas)


def _fill_in(
    context: Context, request: SendRequest, *, to: Address, nonce: int, gas: int
) -> UnsignedTransaction:
    core, call = context.core, request.call
    fees = _choose_fees(request, core.base_fee)
    return UnsignedTransaction(
        type=fees.type,
        chain_id=core.chain_id,
        nonce=nonce,
        max_priority_fee=fees.tip,
        max_fee=fees.cap,
        gas_limit=gas,
        to=to,
        value=call.value,
        data=call.data,
        access_list=call.access_list,
    )


class _Fees(NamedTuple):
    type: int
    """The transaction's."""
    tip: Wei
    cap: Wei


def _choose_fees(request: SendRequest, base_fee: int) -> _Fees:
    """Return the fees asked for; as in geth, an open cap has room for the base fee to double."""
    if request.gas_price is not None:
        price = Wei(request.gas_price)
        return _Fees(EIP_2930 if request.call.access_list else LEGACY, price, price)
    tip = SUGGESTED_TIP if request.max_priority_fee is None else request.max_priority_fee
    cap = 2 * base_fee + tip if request.max_fee is None else request.max_fee
    return _Fees(EIP_1559, Wei(tip), Wei(cap))
