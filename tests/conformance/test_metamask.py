"""MetaMask's traffic, request by request, with what its controllers read of each answer.

The order and the methods are those of its network and transaction controllers. It puts the NUMBER
that its block tracker last saw in place of `latest`: up to 20 s old, minutes after a sleep.
"""

import json
import shutil
import subprocess
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from tests.conformance.trade import CHAIN_ID, HERE, TOKEN, address_of, funder_key
from tests.helpers.devnet import Devnet, RpcError, poll

KEY = funder_key(9)
ME = address_of(KEY)
FRIEND = "0x0000000000000000000000000000000000008888"
MULTICALL = "0xcA11bde05977b3631167028862bE2a173976CA11"
"""Where other chains have a contract that reads many balances; nothing is there on this one."""
CAP_PERCENT = 90
"""Of a block's gas limit: MetaMask's own for a buffered estimate."""
TRAFFIC = {
    *("eth_blockNumber", "eth_getBlockByNumber", "net_version", "eth_getBalance", "eth_call"),
    *("eth_gasPrice", "eth_getCode", "eth_estimateGas", "eth_getTransactionCount"),
    *("eth_sendRawTransaction", "eth_getTransactionReceipt", "eth_getBlockByHash"),
}
"""What it asks of a custom network, from adding it to a refused send."""


class Wallet:
    """MetaMask's side: what it asks, and the block number that it goes by."""

    def __init__(self, chain: Devnet) -> None:
        self._rpc = chain.rpc
        self.asked: set[str] = set()
        self.block = ""

    def ask(self, method: str, *params: Any) -> Any:
        self.asked.add(method)
        return self._rpc.call(method, *params)

    def poll_block(self) -> None:
        """Look at the head, as its tracker does every 20 s."""
        self.block = self.ask("eth_blockNumber")

    def read(self, signature: str, *words: str) -> str:
        """Call a view of the token at the tracker's block."""
        call = {"to": TOKEN, "data": _calldata(signature, *words)}
        result: str = self.ask("eth_call", call, self.block)
        return result

    def prepare(self, **fields: str) -> dict[str, str]:
        """Return a transaction with gas, price and nonce as it would fill them in."""
        request = {"from": ME, **fields}
        head = self.ask("eth_getBlockByNumber", "latest", False)
        assert int(head["baseFeePerGas"], 16) > 0, "this is how it knows of EIP-1559"
        price = self.ask("eth_gasPrice")
        is_contract = self.ask("eth_getCode", fields["to"], self.block) != "0x"
        estimate = int(self.ask("eth_estimateGas", request), 16)
        cap = int(head["gasLimit"], 16) * CAP_PERCENT // 100
        gas = min(estimate * 3 // 2, cap) if is_contract else estimate
        return request | {"gas": hex(gas), "gasPrice": price}

    def nonce(self) -> int:
        return int(self.ask("eth_getTransactionCount", ME, self.block), 16)

    def send(self, request: dict[str, str], nonce: int) -> str:
        """Sign a type-2 transaction and send it."""
        fields = {
            "chainId": CHAIN_ID,
            "nonce": nonce,
            "to": request["to"],
            "value": int(request.get("value", "0x0"), 16),
            "data": request.get("data", "0x"),
            "gas": int(request["gas"], 16),
            "maxFeePerGas": int(request["gasPrice"], 16),
            "maxPriorityFeePerGas": int(request["gasPrice"], 16),
        }
        raw = Account.sign_transaction(fields, KEY).raw_transaction
        tx_hash: str = self.ask("eth_sendRawTransaction", "0x" + bytes(raw).hex())
        return tx_hash

    def confirm(self, tx_hash: str) -> dict[str, Any]:
        """Poll the receipt, then read the block, as on every confirmation."""
        receipt: dict[str, Any] = poll(
            lambda: self.ask("eth_getTransactionReceipt", tx_hash), what="a receipt"
        )
        read = {"status", "blockNumber", "blockHash", "gasUsed", "effectiveGasPrice", "logs"}
        assert read <= receipt.keys()
        block = self.ask("eth_getBlockByHash", receipt["blockHash"], False)
        assert int(block["timestamp"], 16) > 0
        assert block["baseFeePerGas"]
        return receipt


def _calldata(signature: str, *words: str) -> str:
    return "0x" + keccak(text=signature)[:4].hex() + "".join(word.rjust(64, "0") for word in words)


@pytest.fixture
def wallet(chain: Devnet) -> Wallet:
    wallet = Wallet(chain)
    wallet.poll_block()
    return wallet


def test_adding_the_network_finds_its_id_and_fee_market(chain: Devnet) -> None:
    assert int(chain.rpc.call("eth_chainId"), 16) == CHAIN_ID
    assert chain.rpc.call("net_version") == str(CHAIN_ID)
    head = chain.rpc.call("eth_getBlockByNumber", "latest", False)
    assert head["baseFeePerGas"] == chain.rpc.call("eth_gasPrice")


def test_the_token_is_recognised_and_absent_contracts_answer_nothing(wallet: Wallet) -> None:
    word = ME[2:].lower()

    symbol = bytes.fromhex(wallet.read("symbol()")[2:])
    assert b"USDC" in symbol
    assert int(wallet.read("decimals()"), 16) == 6
    assert int(wallet.read("balanceOf(address)", word), 16) > 0
    assert wallet.ask("eth_call", {"to": MULTICALL, "data": "0x252dba42"}, wallet.block) == "0x"
    with pytest.raises(RpcError) as probe:  # is it an NFT? ERC-165 is not answered
        wallet.read("supportsInterface(bytes4)", "80ac58cd".ljust(64, "0"))
    assert probe.value.code == 3


def test_sends_are_filled_in_sent_and_confirmed(wallet: Wallet) -> None:
    assert wallet.ask("net_version") == str(CHAIN_ID)
    before = int(wallet.ask("eth_getBalance", ME, wallet.block), 16)
    assert before > 0

    # a native send: exactly 21,000, to an account without code
    gift = wallet.prepare(to=FRIEND, value=hex(10**18))
    assert gift["gas"] == "0x5208"
    nonce = wallet.nonce()
    paid = wallet.confirm(wallet.send(gift, nonce))
    assert (paid["status"], paid["gasUsed"], paid["logs"]) == ("0x1", "0x5208", [])

    # a token send: the token has code, so it is labelled a transfer
    transfer = _calldata("transfer(address,uint256)", FRIEND[2:], f"{10**6:x}")
    moved = wallet.confirm(wallet.send(wallet.prepare(to=TOKEN, data=transfer), nonce + 1))
    assert moved["status"] == "0x1"
    assert int(moved["gasUsed"], 16) < int(wallet.prepare(to=TOKEN, data=transfer)["gas"], 16)
    assert [log["address"] for log in moved["logs"]] == [TOKEN]

    # two sends at once: nonces counted by the wallet, both mined
    queued = [wallet.send(gift, nonce + 2 + each) for each in range(2)]
    assert [wallet.confirm(each)["status"] for each in queued] == ["0x1", "0x1"]

    # the tracker's block is old by now: what it asks there is answered as it was
    assert int(wallet.ask("eth_getBalance", ME, wallet.block), 16) == before
    assert wallet.nonce() == nonce
    wallet.poll_block()
    assert wallet.nonce() == nonce + 4
    assert int(wallet.ask("eth_getBalance", ME, wallet.block), 16) < before - 3 * 10**18

    assert wallet.ask("eth_call", {"to": FRIEND, "data": "0x"}, wallet.block) == "0x"
    assert wallet.asked == TRAFFIC


@pytest.mark.slow
def test_metamasks_own_controllers_send_and_confirm(chain: Devnet) -> None:
    node, here = shutil.which("node"), HERE / "metamask"
    if node is None or not (here / "node_modules").is_dir():
        pytest.skip("its controllers are not here: `npm ci` in tests/conformance/metamask, 73 MB")
    key = funder_key(4)
    settings = {
        "url": chain.rpc.url,
        "chainId": CHAIN_ID,
        "key": key,
        "address": address_of(key).lower(),
        "token": TOKEN,
        "friend": FRIEND,
    }

    done = subprocess.run(
        [node, "drive.mjs", json.dumps(settings)],
        cwd=here,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)
    assert report["network"] == {"status": "available", "EIPS": {"1559": True}}
    assert report["native"]["type"] == "simpleSend"
    assert report["native"]["txParams"]["gas"] == "0x5208"
    assert report["token"]["type"] == "transfer", "the token's address has code"
    sent = [report["native"], report["token"], *report["queued"]]
    assert [each["status"] for each in sent] == ["confirmed"] * 4
    assert [each["txReceipt"]["status"] for each in sent] == ["0x1"] * 4
    nonces = sorted(int(each["txParams"]["nonce"], 16) for each in sent)
    assert nonces == list(range(nonces[0], nonces[0] + 4))
    assert report["refused"]["status"] == "failed"
    # It asks its block tracker and a gas service of its own for the rest.
    assert set(report["asked"]) == TRAFFIC - {"net_version", "eth_getBalance", "eth_call"}


def test_a_refused_send_is_refused_twice_in_words_it_knows(wallet: Wallet) -> None:
    too_much = {"from": ME, "to": FRIEND, "value": hex(10**30)}

    with pytest.raises(RpcError, match="insufficient funds for gas") as estimated:
        wallet.ask("eth_estimateGas", too_much)
    with pytest.raises(RpcError, match="insufficient funds for gas") as sent:
        wallet.send(too_much | {"gas": "0x5208", "gasPrice": hex(10**9)}, wallet.nonce())

    assert estimated.value.code == sent.value.code == -32000
