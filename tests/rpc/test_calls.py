"""Calls, estimates, and transactions handed in: every refusal in the words that wallets parse."""

from typing import Any

import pytest

from node.crypto import keccak256
from node.system.contracts import Contract, contract
from tests.rpc.chain import GWEI, Chain, RpcFailure, address, text

TOKEN = contract("Token")
EXCHANGE = contract("Exchange")
TOKEN_TEXT = "0x" + TOKEN.address.hex()
EXCHANGE_TEXT = "0x" + EXCHANGE.address.hex()
INSUFFICIENT = "insufficient funds for gas * price + value"


def calldata(contract_: Contract, function: str, *arguments: Any) -> str:
    return "0x" + contract_.functions[function].encode_call(*arguments).hex()


def refusal_of(chain: Chain, method: str, *params: Any) -> RpcFailure:
    with pytest.raises(RpcFailure) as refusal:
        chain.ask(method, *params)
    return refusal.value


# --- eth_call and eth_estimateGas -----------------------------------------------------------------


def test_a_call_returns_what_the_view_returns(traded: Chain) -> None:
    decimals = traded.ask("eth_call", {"to": TOKEN_TEXT, "data": calldata(TOKEN, "decimals")})

    assert int(decimals, 16) == 6


def test_input_and_data_are_the_same_member(traded: Chain) -> None:
    data = calldata(TOKEN, "decimals")

    by_input = traded.ask("eth_call", {"to": TOKEN_TEXT, "input": data}, "latest", {})

    assert by_input == traded.ask("eth_call", {"to": TOKEN_TEXT, "data": data, "input": data})


def test_a_call_sees_the_state_of_the_block_it_names(traded: Chain) -> None:
    request = {"to": TOKEN_TEXT, "data": calldata(TOKEN, "balanceOf", address("maker"))}

    before = int(traded.ask("eth_call", request, "0x0"), 16)

    assert before - int(traded.ask("eth_call", request, "latest"), 16) == 50_000_000_000


def test_a_call_to_an_account_without_code_returns_nothing(traded: Chain) -> None:
    assert traded.ask("eth_call", {"to": text("maker"), "data": "0x12345678"}) == "0x"


def test_a_plain_transfer_is_estimated_at_21000(traded: Chain) -> None:
    request = {"from": text("sender"), "to": text("receiver"), "value": "0x1"}

    assert traded.ask("eth_estimateGas", request) == "0x5208"
    assert traded.ask("eth_estimateGas", request, "latest", {}) == "0x5208"


def test_an_estimate_is_what_the_transaction_uses(traded: Chain) -> None:
    block = traded.ask("eth_getBlockByNumber", "latest", True)
    order = next(tx for tx in block["transactions"] if tx["from"] == text("taker"))
    request = {name: order[name] for name in ("from", "to", "input", "value")}

    estimate = traded.ask("eth_estimateGas", request, hex(int(block["number"], 16) - 1))

    assert estimate == traded.ask("eth_getTransactionReceipt", order["hash"])["gasUsed"]


def test_an_estimate_counts_the_access_list(chain: Chain) -> None:
    entry = {"address": TOKEN_TEXT, "storageKeys": ["0x" + "00" * 32] * 2}
    request = {"from": text("sender"), "to": text("receiver"), "accessList": [entry]}

    estimate = int(chain.ask("eth_estimateGas", request), 16)

    assert estimate == 21_000 + 2_400 + 2 * 1_900
    listed = ((TOKEN.address, (bytes(32),) * 2),)
    chain.send(chain.sign("sender", gas_limit=estimate, access_list=listed))


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_a_revert_is_code_3_with_the_abi_error(traded: Chain, method: str) -> None:
    data = calldata(TOKEN, "transfer", address("receiver"), 5)

    refusal = refusal_of(traded, method, {"from": text("sender2"), "to": TOKEN_TEXT, "data": data})

    sender = text("sender2")
    assert refusal.code == 3
    assert refusal.message == f"execution reverted: ERC20InsufficientBalance({sender}, 0, 5)"
    selector = keccak256(b"ERC20InsufficientBalance(address,uint256,uint256)")[:4]
    assert refusal.data is not None
    assert refusal.data.startswith("0x" + selector.hex() + "00" * 12 + sender[2:])


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_a_call_that_could_not_be_paid_is_refused(traded: Chain, method: str) -> None:
    value = {"from": text("outsider"), "to": text("sender"), "value": "0x1"}
    gas = {"from": text("outsider"), "to": text("sender"), "gasPrice": hex(GWEI)}

    for request in (value, gas):
        refusal = refusal_of(traded, method, request)
        assert refusal.code == -32000
        assert refusal.message.startswith(INSUFFICIENT)
        assert "revert" not in refusal.message


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
def test_contract_creation_is_refused(traded: Chain, method: str) -> None:
    refusal = refusal_of(traded, method, {"from": text("sender"), "data": "0x6001"})

    assert (refusal.code, refusal.message) == (-32000, "contract creation is not supported")


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ("0x12", "cannot unmarshal non-object into a transaction"),
        ({"to": "0x12"}, "to: hex string has length 2, want 40"),
        ({"value": 5}, "value: cannot unmarshal non-string"),
        ({"data": "0x1"}, "data: hex string of odd length"),
        ({"data": "0x01", "input": "0x02"}, 'both "data" and "input" are set and not equal'),
        ({"gasPrice": "0x1", "maxFeePerGas": "0x1"}, "both gasPrice and (maxFeePerGas or"),
        ({"accessList": "0x"}, "accessList: cannot unmarshal into an access list"),
        ({"accessList": [{}]}, "accessList: cannot unmarshal non-string into hex data"),
        ({"accessList": [{"storageKeys": 5}]}, "accessList: storageKeys must be an array"),
    ],
)
def test_what_is_no_call_is_refused(traded: Chain, request_: Any, message: str) -> None:
    refusal = refusal_of(traded, "eth_call", request_)

    assert refusal.code == -32602
    assert refusal.message.startswith(f"invalid argument 0: {message}")


@pytest.mark.parametrize("method", ["eth_call", "eth_estimateGas"])
@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (
            {"maxFeePerGas": "0x1", "maxPriorityFeePerGas": "0x2"},
            "max priority fee per gas higher than max fee per gas",
        ),
        ({"authorizationList": []}, "transaction type not supported"),
        ({"blobVersionedHashes": []}, "transaction type not supported"),
    ],
)
def test_what_no_transaction_may_have_is_refused_as_when_it_is_sent(
    traded: Chain, method: str, request_: Any, message: str
) -> None:
    refusal = refusal_of(traded, method, request_)

    assert refusal.code == -32000
    assert refusal.message.startswith(message)


def test_state_overrides_are_refused(traded: Chain) -> None:
    overrides = {TOKEN_TEXT: {"balance": "0x1"}}

    refusal = refusal_of(traded, "eth_call", {"to": TOKEN_TEXT}, "latest", overrides)

    assert refusal.code == -32602
    assert refusal.message == "invalid argument 2: state overrides are not supported"


# --- eth_sendRawTransaction -----------------------------------------------------------------------


def test_a_transaction_is_taken_and_its_hash_returned(chain: Chain) -> None:
    tx = chain.sign("sender")

    assert chain.send(tx) == "0x" + tx.hash.hex()


def send_refusal(chain: Chain, **fields: Any) -> RpcFailure:
    return refusal_of(
        chain, "eth_sendRawTransaction", "0x" + chain.sign("sender", **fields).raw.hex()
    )


def test_a_used_nonce_is_too_low(chain: Chain) -> None:
    chain.send(chain.sign("sender", nonce=0))
    chain.seal()

    refusal = send_refusal(chain, nonce=0, value=1)

    assert refusal.code == -32000
    assert refusal.message == "nonce too low: next nonce 1, tx nonce 0"


def test_a_nonce_of_the_next_fork_is_too_high(chain: Chain) -> None:
    refusal = send_refusal(chain, nonce=2**32)

    assert refusal.code == -32000
    assert refusal.message.startswith("nonce too high")


def test_the_same_transaction_again_is_known(chain: Chain) -> None:
    chain.send(chain.sign("sender", nonce=0))

    refusal = send_refusal(chain, nonce=0)

    assert (refusal.code, refusal.message) == (-32000, "already known")


def test_a_replacement_must_pay_more(chain: Chain) -> None:
    chain.send(chain.sign("sender", nonce=0))

    refusal = send_refusal(chain, nonce=0, value=1)

    assert refusal.code == -32000
    assert refusal.message.startswith("replacement transaction underpriced")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"value": 10**21}, INSUFFICIENT),
        ({"gas_limit": 20_999}, "intrinsic gas too low"),
        ({"gas_limit": 10**10}, "exceeds block gas limit"),
        ({"max_fee": 1}, "max fee per gas less than block base fee"),
        (
            {"max_fee": GWEI, "max_priority_fee": 2 * GWEI},
            "max priority fee per gas higher than max fee per gas",
        ),
        ({"chain_id": 1}, "invalid chain id for signer"),
    ],
)
def test_a_transaction_that_no_block_could_hold_is_refused(
    chain: Chain, fields: dict[str, Any], message: str
) -> None:
    refusal = send_refusal(chain, **fields)

    assert refusal.code == -32000
    assert refusal.message.startswith(message)


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ("0x", "malformed transaction"),
        ("0x02c0", "malformed transaction"),
        ("0x03c0", "transaction type not supported"),
        ("0x04c0", "transaction type not supported"),
        ("0xdeadbeef", "malformed transaction"),
    ],
)
def test_bytes_that_are_no_transaction_are_refused(chain: Chain, raw: str, message: str) -> None:
    refusal = refusal_of(chain, "eth_sendRawTransaction", raw)

    assert refusal.code == -32000
    assert refusal.message.startswith(message)


def test_what_is_no_hex_is_a_bad_parameter(chain: Chain) -> None:
    refusal = refusal_of(chain, "eth_sendRawTransaction", "deadbeef")

    assert refusal.code == -32602
    assert refusal.message == "invalid argument 0: hex string without 0x prefix"


def test_a_batch_is_taken_in_order_around_what_is_wrong(chain: Chain) -> None:
    raws: list[Any] = ["0x" + chain.sign("sender").raw.hex() for _ in range(4)]
    raws[2:2] = ["0xdead", 5]

    answers = chain.post(
        [
            {"jsonrpc": "2.0", "id": place, "method": "eth_sendRawTransaction", "params": [raw]}
            for place, raw in enumerate(raws)
        ]
    )

    assert [answer["id"] for answer in answers] == list(range(6))
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, None, -32000, -32602, None, None]
    assert chain.seal() == 1
    assert chain.ask("eth_getTransactionCount", text("sender")) == "0x4"
