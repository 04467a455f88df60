"""A wallet with nothing but a key and a URL: calldata by hand, HTTP alone, as with cast."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any

from eth_account import Account

from node.crypto import keccak256
from node.devnet.keypair import Keypair
from node.errors import RequestRefused
from tools.telling import POLL_S, WAIT_S, Broken

GAS = 200_000
MAX_FEE_WEI = 2 * 10**9
WORD = 32


class Wallet:
    """One account at one node."""

    def __init__(self, url: str, keypair: Keypair) -> None:
        self._url = url
        self._key = keypair.private_key
        self.address = "0x" + keypair.address.hex()

    def ask(self, method: str, *params: Any) -> Any:
        """Return a method's result; raise RequestRefused with the node's words."""
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self._url, body.encode(), headers)
        with urllib.request.urlopen(request, timeout=WAIT_S) as response:
            answer = json.load(response)
        if "error" in answer:
            error = answer["error"]
            raise RequestRefused(error["message"], error["code"], error.get("data"))
        return answer["result"]

    def call(self, to: str, function: str, *words: int, block: str = "latest") -> list[int]:
        """Return the words that a call would answer with, read as signed."""
        call = {"from": self.address, "to": to, "data": "0x" + encode_call(function, *words).hex()}
        return read_words(self.ask("eth_call", call, block))

    def send(self, to: str, function: str, *words: int) -> dict[str, Any]:
        """Sign and send a call; return its receipt."""
        unsigned = {
            "type": 2,
            "chainId": int(self.ask("eth_chainId"), 16),
            "nonce": int(self.ask("eth_getTransactionCount", self.address, "pending"), 16),
            "maxPriorityFeePerGas": 0,
            "maxFeePerGas": MAX_FEE_WEI,
            "gas": GAS,
            "to": bytes.fromhex(to[2:]),
            "value": 0,
            "data": encode_call(function, *words),
        }
        signed = Account.sign_transaction(unsigned, self._key)
        raw = "0x" + bytes(signed.raw_transaction).hex()
        tx_hash = self.ask("eth_sendRawTransaction", raw)
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            receipt: dict[str, Any] | None = self.ask("eth_getTransactionReceipt", tx_hash)
            if receipt is not None:
                return receipt
            time.sleep(POLL_S)
        raise Broken(f"{function}: no receipt of {tx_hash} within {WAIT_S:g} s")


def encode_call(function: str, *words: int) -> bytes:
    """Return a call's data: the selector and one word a number, two's complement."""
    return keccak256(function.encode())[:4] + b"".join(
        each.to_bytes(WORD, "big", signed=each < 0) for each in words
    )


def read_words(data: str) -> list[int]:
    """Return data's words, read as signed."""
    raw = bytes.fromhex(data[2:])
    return [
        int.from_bytes(raw[at : at + WORD], "big", signed=True) for at in range(0, len(raw), WORD)
    ]


def topic_of(address: str) -> str:
    """Return an address as a topic of a log."""
    return "0x" + address[2:].rjust(2 * WORD, "0")
