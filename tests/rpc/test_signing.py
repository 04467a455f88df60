"""What the node signs for its own accounts, and for whom it refuses to."""

import asyncio
from typing import Any

import orjson
import pytest
from eth_account import Account
from eth_account.messages import encode_defunct

from node.rpc.accounts import Accounts
from node.rpc.dispatch import Dispatcher
from node.rpc.methods import METHODS
from tests.rpc.chain import GWEI, Chain, RpcFailure, address, key_of, text
from tests.rpc.test_typed_data import MAIL

SENDER, OUTSIDER = text("sender"), text("outsider")
GIFT = {"from": SENDER, "to": text("receiver"), "value": "0x1"}
SIGNING: dict[str, list[Any]] = {
    "eth_sendTransaction": [GIFT],
    "eth_signTransaction": [GIFT],
    "eth_sign": [SENDER, "0x12"],
    "personal_sign": ["0x12", SENDER],
    "eth_signTypedData": [SENDER, MAIL],
    "eth_signTypedData_v4": [SENDER, MAIL],
}


@pytest.fixture
def chain(chain: Chain) -> Chain:
    chain.accounts = Accounts([key_of("sender")])
    return chain


def test_the_node_lists_its_own_accounts(chain: Chain) -> None:
    assert chain.ask("eth_accounts") == [SENDER]


def test_a_foreign_origin_sees_no_account_and_gets_no_signature(chain: Chain) -> None:
    foreign = chain.context(refusal="not allowed from this origin")

    assert chain.ask("eth_accounts", context=foreign) == []
    for method, params in SIGNING.items():
        with pytest.raises(RpcFailure) as refusal:
            chain.ask(method, *params, context=foreign)
        assert (refusal.value.code, refusal.value.message) == (
            -32000,
            "not allowed from this origin",
        )
        assert METHODS[method].guarded


@pytest.mark.parametrize("method", SIGNING)
def test_the_node_signs_for_nobody_else(chain: Chain, method: str) -> None:
    chain.accounts = Accounts([key_of("maker")])

    with pytest.raises(RpcFailure) as refusal:
        chain.ask(method, *SIGNING[method])

    assert refusal.value.code == -32602
    assert refusal.value.message.startswith("No Signer available")


def test_a_sent_transaction_is_filled_in_and_mined(chain: Chain) -> None:
    first = chain.ask("eth_sendTransaction", GIFT)
    second = chain.ask("eth_sendTransaction", GIFT | {"gasPrice": hex(3 * GWEI)})
    chain.seal()

    sent, legacy = (chain.ask("eth_getTransactionByHash", each) for each in (first, second))
    assert (sent["type"], sent["nonce"], sent["gas"]) == ("0x2", "0x0", "0x5208")
    assert (sent["maxFeePerGas"], sent["maxPriorityFeePerGas"]) == (hex(2 * GWEI), "0x0")
    assert (legacy["type"], legacy["nonce"]) == ("0x0", "0x1")
    assert chain.ask("eth_getBalance", text("receiver")) == "0x2"


def test_transactions_sent_at_once_get_one_nonce_each(chain: Chain) -> None:
    async def send() -> None:
        context, dispatcher = chain.context(), Dispatcher()
        request = orjson.dumps(
            {"jsonrpc": "2.0", "id": 1, "method": "eth_sendTransaction", "params": [GIFT]}
        )
        answers = await asyncio.gather(*(dispatcher.answer(context, request) for _ in range(8)))
        assert all(b"result" in (answer or b"") for answer in answers)

    asyncio.run(send())

    assert chain.ask("eth_getTransactionCount", SENDER, "pending") == "0x8"


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        ({"nonce": "0x0"}, -32000, "nonce too low: next nonce 1, tx nonce 0"),
        ({"chainId": "0x1"}, -32000, "invalid chain id for signer: have 1 want 20260119"),
        ({"gas": "0x5207"}, -32000, "intrinsic gas too low"),
        ({"gas": "0xffffffffff"}, -32000, "exceeds block gas limit"),
        ({"to": None}, -32000, "contract creation is not supported"),
        ({"value": hex(10**30)}, -32000, "insufficient funds for gas * price + value"),
        ({"maxFeePerGas": "0x1"}, -32000, "max fee per gas less than block base fee"),
        ({"from": None}, -32602, "invalid argument 0: from: is missing"),
        ({"nonce": "0x01"}, -32602, "invalid argument 0: nonce: hex number with leading"),
        ({"nonce": hex(2**64)}, -32602, "invalid argument 0: nonce: hex number > 64 bits"),
    ],
)
def test_what_can_not_be_sent_is_refused_in_geths_words(
    chain: Chain, change: dict[str, Any], code: int, message: str
) -> None:
    chain.ask("eth_sendTransaction", GIFT)
    chain.seal()

    with pytest.raises(RpcFailure) as refusal:
        chain.ask("eth_sendTransaction", GIFT | change)

    assert refusal.value.code == code
    assert refusal.value.message.startswith(message)


def test_a_reverting_call_is_not_sent(chain: Chain) -> None:
    withdraw = chain.sign_call("sender", "Exchange", "withdraw", 1)
    request = {"from": SENDER, "to": "0x" + withdraw.to.hex(), "data": "0x" + withdraw.data.hex()}

    with pytest.raises(RpcFailure) as refusal:
        chain.ask("eth_sendTransaction", request)

    assert refusal.value.code == 3
    assert chain.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}


@pytest.mark.parametrize(
    ("fees", "kind"),
    [
        ({"gasPrice": hex(GWEI)}, "0x0"),
        ({"gasPrice": hex(GWEI), "accessList": [{"address": OUTSIDER, "storageKeys": []}]}, "0x1"),
        ({"maxFeePerGas": hex(GWEI), "maxPriorityFeePerGas": "0x5"}, "0x2"),
    ],
)
def test_a_signed_transaction_is_returned_as_bytes_and_fields(
    chain: Chain, fees: dict[str, Any], kind: str
) -> None:
    signed = chain.ask("eth_signTransaction", GIFT | fees)

    assert Account.recover_transaction(signed["raw"]).lower() == SENDER
    assert signed["tx"]["type"] == kind
    assert chain.ask("txpool_status")["pending"] == "0x0"
    assert chain.ask("eth_sendRawTransaction", signed["raw"]) == signed["tx"]["hash"]


def test_messages_are_signed_as_wallets_sign_them(chain: Chain) -> None:
    signed = Account.sign_message(encode_defunct(b"hello"), key_of("sender")).signature

    message = "0x" + b"hello".hex()
    assert chain.ask("eth_sign", SENDER, message) == "0x" + bytes(signed).hex()
    assert chain.ask("personal_sign", message, SENDER) == "0x" + bytes(signed).hex()
    assert chain.ask("personal_sign", message, SENDER, "") == "0x" + bytes(signed).hex()


def test_typed_data_that_is_none_is_refused(chain: Chain) -> None:
    for document in (MAIL | {"types": []}, MAIL | {"message": {"to": 5}}, "{"):
        with pytest.raises(RpcFailure) as refusal:
            chain.ask("eth_signTypedData_v4", SENDER, document)
        assert refusal.value.code == -32602
        assert refusal.value.message.startswith("invalid argument 1: ")


def test_typed_data_is_signed_as_wallets_sign_it(chain: Chain) -> None:
    signed = Account.sign_typed_data(key_of("sender"), full_message=MAIL).signature

    for method in ("eth_signTypedData", "eth_signTypedData_v4"):
        for document in (MAIL, orjson.dumps(MAIL).decode()):
            assert chain.ask(method, SENDER, document) == "0x" + bytes(signed).hex()
    assert address("sender").hex() == SENDER[2:]
