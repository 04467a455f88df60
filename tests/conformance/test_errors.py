"""Refusals as each library types them: one row for each case that wallets tell apart."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError, MethodUnavailable, Web3RPCError
from web3.types import RPCEndpoint

from tests.conformance.trade import (
    CHAIN_ID,
    EXCHANGE,
    HERE,
    NODE_MODULES,
    address_of,
    fresh_key,
    funder_key,
)
from tests.helpers.devnet import Devnet, RpcError

GWEI = 10**9
KEY = funder_key(5)
SENDER = address_of(KEY)
POOR = fresh_key("poor")
TO = "0x0000000000000000000000000000000000009999"
FIELDS: dict[str, Any] = {
    "to": TO,
    "value": 1,
    "gas": 21_000,
    "maxFeePerGas": 2 * GWEI,
    "maxPriorityFeePerGas": 0,
    "chainId": CHAIN_ID,
}
USED, WAITING = 0, 7
"""The sender's nonces: one that is mined, and one whose transaction waits behind a gap."""
WITHDRAW = "0x2e1a7d4d" + f"{7:064x}"
"""withdraw(7) of an account that deposited nothing."""


class Row(NamedTuple):
    """What is asked, and what is to come of it."""

    method: str
    params: list[Any]
    code: int
    message: str
    """How the node's own begins."""
    viem: str
    """One of the error's or its causes' names."""
    ethers: str
    """The error's code."""
    action: str | None = None
    """The action of viem's that types this; None asks as it is."""
    fields: dict[str, Any] | None = None
    """The action's argument."""
    web3: type[Exception] = Web3RPCError


def _signed(**change: Any) -> str:
    transaction = {name: value for name, value in (FIELDS | change).items() if value is not None}
    return "0x" + bytes(Account.sign_transaction(transaction, KEY).raw_transaction).hex()


def _send(code: int, message: str, viem: str, ethers: str, **change: Any) -> Row:
    """Return the row of a signed transaction, sent by viem's own sendTransaction."""
    fields = {name: value for name, value in (FIELDS | change).items() if name != "chainId"}
    hexed = {
        name: hex(value) if isinstance(value, int) and name != "nonce" else value
        for name, value in fields.items()
    }
    raw = [_signed(**change)]
    return Row("eth_sendRawTransaction", raw, code, message, viem, ethers, "send", hexed)


def _raw(raw: str, message: str, ethers: str = "UNKNOWN_ERROR", code: int = -32000) -> Row:
    viem = "InvalidInputRpcError" if code == -32000 else "InvalidParamsRpcError"
    return Row("eth_sendRawTransaction", [raw], code, message, viem, ethers)


def _broke(method: str, action: str, ethers: str) -> Row:
    """Return the row of a call that its sender can't pay."""
    return Row(
        method,
        [{"from": SENDER, "to": TO, "value": RICH}],
        *(-32000, NO_FUNDS, "InsufficientFundsError", ethers),
        *(action, {"account": SENDER, "to": TO, "value": RICH}),
    )


def _reverting(method: str, action: str) -> Row:
    return Row(
        method,
        [{"from": SENDER, "to": EXCHANGE, "data": WITHDRAW}],
        *(3, "execution reverted: InsufficientBalance", "ExecutionRevertedError", "CALL_EXCEPTION"),
        *(action, {"account": SENDER, "to": EXCHANGE, "data": WITHDRAW}),
        ContractCustomError,
    )


RICH = hex(10**30)
NO_FUNDS = "insufficient funds for gas * price + value"
LEGACY_UNPROTECTED = {
    "to": TO,
    "value": 0,
    "gas": 21_000,
    "gasPrice": 2 * GWEI,
    "nonce": 1,
}
ROWS: dict[str, Row] = {
    "nonce below the account's": _send(
        -32000,
        "nonce too low: next nonce 1, tx nonce 0",
        "NonceTooLowError",
        "NONCE_EXPIRED",
        nonce=USED,
    ),
    "nonce of the next fork": _send(
        -32000, "nonce too high", "NonceTooHighError", "UNKNOWN_ERROR", nonce=2**32
    ),
    "same transaction again": _send(
        -32000, "already known", "NonceTooLowError", "UNKNOWN_ERROR", nonce=WAITING
    ),
    "same nonce, too small a bump": _send(
        -32000,
        "replacement transaction underpriced",
        "TransactionExecutionError",
        "REPLACEMENT_UNDERPRICED",
        nonce=WAITING,
        maxFeePerGas=2 * GWEI + 1,
    ),
    "balance below the cost, sent": _send(
        -32000, NO_FUNDS, "InsufficientFundsError", "INSUFFICIENT_FUNDS", nonce=1, value=10**30
    ),
    "balance below the cost, estimated": _broke(
        "eth_estimateGas", "estimate", "INSUFFICIENT_FUNDS"
    ),
    "balance below the cost, called": _broke("eth_call", "call", "CALL_EXCEPTION"),
    "gas below the schedule": _send(
        -32000,
        "intrinsic gas too low",
        "IntrinsicGasTooLowError",
        "UNKNOWN_ERROR",
        nonce=1,
        gas=20_999,
    ),
    "gas above a block's": _send(
        -32000,
        "exceeds block gas limit",
        "IntrinsicGasTooHighError",
        "UNKNOWN_ERROR",
        nonce=1,
        gas=10**13,
    ),
    "cap below the base fee": _send(
        -32000,
        "max fee per gas less than block base fee",
        "FeeCapTooLowError",
        "UNKNOWN_ERROR",
        nonce=1,
        maxFeePerGas=1,
    ),
    "tip above the cap": _send(
        -32000,
        "max priority fee per gas higher than max fee per gas",
        "TipAboveFeeCapError",
        "UNKNOWN_ERROR",
        nonce=1,
        maxPriorityFeePerGas=3 * GWEI,
    ),
    "another chain's": _raw(_signed(nonce=1, chainId=1), "invalid chain id for signer"),
    "not replay-protected": _raw(
        "0x" + bytes(Account.sign_transaction(LEGACY_UNPROTECTED, KEY).raw_transaction).hex(),
        "only replay-protected (EIP-155) transactions allowed over RPC",
        "UNSUPPORTED_OPERATION",
    ),
    "blobs": _raw("0x03c0", "transaction type not supported"),
    "code by authorization": _raw("0x04c0", "transaction type not supported"),
    "contract creation": _raw(
        _signed(nonce=1, to=None, data="0x6001", gas=100_000), "contract creation is not supported"
    ),
    "undecodable": _raw("0xc0", "malformed transaction"),
    "no hex": _raw("0xzz", "invalid argument 0: ", code=-32602),
    "a call that reverts": _reverting("eth_call", "call"),
    "an estimate that reverts": _reverting("eth_estimateGas", "estimate"),
    "an unknown method": Row(
        "eth_createAccessList",
        [{"to": TO}],
        -32601,
        "the method eth_createAccessList does not exist/is not available",
        "MethodNotFoundRpcError",
        "UNSUPPORTED_OPERATION",
        web3=MethodUnavailable,
    ),
    "arguments that are none": Row(
        "eth_getBalance",
        ["0x12", "latest"],
        -32602,
        "invalid argument 0: ",
        "InvalidParamsRpcError",
        "UNKNOWN_ERROR",
    ),
    "an unknown filter": Row(
        "eth_getFilterChanges",
        ["0x12"],
        -32000,
        "filter not found",
        "InvalidInputRpcError",
        "UNKNOWN_ERROR",
    ),
    "a range that runs backwards": Row(
        "eth_getLogs",
        [{"fromBlock": "0x2", "toBlock": "0x1"}],
        -32602,
        "invalid block range params",
        "InvalidParamsRpcError",
        "UNKNOWN_ERROR",
    ),
    "a signer that the node does not hold": Row(
        "eth_sendTransaction",
        [{"from": TO, "to": TO}],
        -32602,
        "No Signer available",
        "InvalidParamsRpcError",
        "UNKNOWN_ERROR",
    ),
}


@pytest.fixture(scope="module")
def prepared(chain: Devnet) -> Devnet:
    """Return a chain on which the sender's nonce 0 is mined and another one waits."""
    chain.rpc.receipt(chain.rpc.call("eth_sendRawTransaction", _signed(nonce=USED)))
    chain.rpc.call("eth_sendRawTransaction", _signed(nonce=WAITING))
    return chain


@pytest.fixture(scope="module")
def typed(prepared: Devnet) -> dict[str, Any]:
    """Return what viem and ethers make of each row."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "viem").is_dir():
        pytest.skip("viem is not here: `npm ci` in tests/conformance installs it")
    settings = {
        "url": prepared.rpc.url,
        "chainId": CHAIN_ID,
        "key": KEY,
        "rows": [
            {
                "name": name,
                "method": row.method,
                "params": row.params,
                "viem": None
                if row.action is None
                else {"action": row.action, "fields": row.fields},
            }
            for name, row in ROWS.items()
        ],
    }
    done = subprocess.run(
        [node, "errors.mjs"],
        input=json.dumps(settings),
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def w3(prepared: Devnet) -> Iterator[Web3]:
    provider = HTTPProvider(prepared.rpc.url)
    yield Web3(provider)
    provider._request_session_manager.session_cache.clear()


@pytest.mark.parametrize("name", ROWS)
def test_a_refusal_has_its_code_and_words(prepared: Devnet, name: str) -> None:
    row = ROWS[name]

    with pytest.raises(RpcError) as refusal:
        prepared.rpc.call(row.method, *row.params)

    assert refusal.value.code == row.code
    assert refusal.value.message.startswith(row.message)
    if row.code == 3:
        assert refusal.value.data.startswith("0x")


@pytest.mark.parametrize("name", ROWS)
def test_viem_types_a_refusal_and_asks_once(typed: dict[str, Any], name: str) -> None:
    assert ROWS[name].viem in typed[name]["viem"]
    assert typed[name]["requests"] <= 1, "a refusal made it try again"


@pytest.mark.parametrize("name", ROWS)
def test_ethers_types_a_refusal(typed: dict[str, Any], name: str) -> None:
    assert typed[name]["ethers"] == ROWS[name].ethers


@pytest.mark.parametrize("name", ROWS)
def test_web3_types_a_refusal(w3: Web3, name: str) -> None:
    row = ROWS[name]

    asks: dict[str, Callable[..., Any]] = {
        "eth_call": w3.eth.call,
        "eth_estimateGas": w3.eth.estimate_gas,
    }
    plain = partial(w3.manager.request_blocking, RPCEndpoint(row.method), row.params)
    ask = partial(asks[row.method], *row.params) if row.method in asks else plain

    with pytest.raises(row.web3) as refusal:
        ask()

    assert row.code == 3 or row.message in str(refusal.value)
