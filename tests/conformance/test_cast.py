"""Foundry's cast against a live chain: connect, fund, deposit, trade, see it, close, withdraw."""

import json
import subprocess
from typing import Any

import pytest

from tests.conformance.trade import (
    CAST,
    CHAIN_ID,
    DEPOSIT,
    ETHER,
    EXCHANGE,
    FAUCET,
    GTC,
    IOC,
    MARKET,
    SIZE,
    TOKEN,
    abi_of,
    address_of,
    cash_of,
    fresh_key,
    funder_key,
)
from tests.helpers.devnet import Devnet

ME = address_of(funder_key(3))
READS: dict[str, list[str]] = {
    "block": ["block", "--json", "--full", "{hash}"],
    "finalized block": ["block", "finalized"],
    "pending block": ["block", "--json", "pending"],
    "transaction": ["tx", "{tx}"],
    "raw transaction": ["tx", "--raw", "{tx}"],
    "receipt": ["receipt", "{tx}"],
    "balance then": ["balance", "--block", "{block}", ME],
    "nonce": ["nonce", ME],
    "code": ["code", EXCHANGE],
    "storage": ["storage", EXCHANGE, "0"],
    "proof": ["proof", EXCHANGE, "0x0"],
    "age": ["age"],
    "base fee": ["base-fee"],
    "gas price": ["gas-price"],
    "estimate": ["estimate", "--from", ME, ME, "--value", "1"],
    "client": ["client"],
    "chain": ["chain"],
    "logs": ["logs", "--json", "--from-block", "{block}"],
    "find a block": ["find-block", "1800000000"],
    "fees": ["rpc", "eth_feeHistory", "0x2", "latest", "[50]"],
    "raw": ["rpc", "--raw", "eth_getRawTransactionByHash", '["{tx}"]'],
}
"""What is read, and cast's words for it."""


class Cast:
    """The binary itself: npm's wrapper ends with 0 whatever happened."""

    def __init__(self, url: str) -> None:
        self._url = url

    def try_run(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        command = [str(CAST), *map(str, arguments), "--rpc-url", self._url]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    def run(self, *arguments: object) -> str:
        done = self.try_run(*arguments)
        assert done.returncode == 0, f"cast {arguments}:\n{done.stderr}"
        return done.stdout.strip()

    def send(self, key: str, to: str, *call: object) -> dict[str, Any]:
        """Send and wait; return the receipt."""
        sent = self.run("send", "--json", "--poll-interval", "1", "--private-key", key, to, *call)
        receipt: dict[str, Any] = json.loads(sent)
        assert receipt["status"] == "0x1"
        return receipt

    def events(self, name: str, first: int) -> list[dict[str, Any]]:
        """Return the arguments of the Exchange's events since a block, decoded by cast."""
        (event,) = [entry for entry in abi_of("Exchange") if entry.get("name") == name]
        inputs = event["inputs"]
        signature = f"{name}({','.join(each['type'] for each in inputs)})"
        logs = json.loads(
            self.run("logs", "--json", "--from-block", first, "--address", EXCHANGE, signature)
        )
        return [_decode(inputs, log) for log in logs]


def _decode(inputs: list[dict[str, Any]], log: dict[str, Any]) -> dict[str, Any]:
    def run(values: list[dict[str, Any]], data: str) -> list[Any]:
        signature = f"f()({','.join(each['type'] for each in values)})"
        done = subprocess.run(
            [str(CAST), "decode-abi", "--json", signature, data],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        decoded: list[Any] = json.loads(done.stdout)
        return decoded

    indexed = [each for each in inputs if each["indexed"]]
    plain = [each for each in inputs if not each["indexed"]]
    values = run(indexed, "0x" + "".join(topic[2:] for topic in log["topics"][1:]))
    values += run(plain, log["data"])
    return {
        each["name"]: int(value) if "int" in each["type"] else value
        for each, value in zip(indexed + plain, values, strict=True)
    }


@pytest.fixture(scope="module")
def facts(cast: Cast) -> dict[str, str]:
    """Return a transaction's hash and its block's hash and number."""
    paid = cast.send(funder_key(3), address_of(fresh_key("cast friend")), "--value", 1)
    return {"block": paid["blockNumber"], "hash": paid["blockHash"], "tx": paid["transactionHash"]}


@pytest.fixture(scope="module")
def cast(chain: Devnet) -> Cast:
    if not CAST.exists():
        pytest.skip("cast is not here: `npm ci` in tests/conformance installs it on Linux x86-64")
    return Cast(chain.rpc.url)


def test_cast_trades_and_withdraws_exactly_what_the_events_say(cast: Cast) -> None:
    assert int(cast.run("chain-id")) == CHAIN_ID
    funder, maker, taker = funder_key(3), fresh_key("cast maker"), fresh_key("cast taker")

    def balance_of(key: str) -> int:
        return int(
            cast.run("call", TOKEN, "balanceOf(address)(uint256)", address_of(key)).split()[0]
        )

    for who in (maker, taker):
        paid = cast.send(funder, address_of(who), "--value", ETHER)
        assert int(paid["gasUsed"], 16) == 21_000
        cast.send(who, TOKEN, "faucet(uint256)", FAUCET)
        cast.send(who, EXCHANGE, "deposit(uint256)", DEPOSIT)
        assert balance_of(who) == FAUCET - DEPOSIT
    first = int(cast.run("block-number"))
    view = (
        "getMarket(uint32)((string,uint8,uint8,uint64,uint8,int64,int64,int64,int64,int64,int256))"
    )
    info = json.loads(cast.run("call", "--json", EXCHANGE, view, MARKET))[0]
    k, price = (int(part) for part in _tuple(info, 3, 5))

    place = "placeOrder(uint32,int64,int64,uint8,bool)"
    cast.send(maker, EXCHANGE, place, MARKET, -SIZE, price, GTC, "false")
    cast.send(taker, EXCHANGE, place, MARKET, SIZE, price, IOC, "false")
    (fill,) = cast.events("OrderFilled", first)
    assert fill["maker"] == address_of(maker)
    assert fill["taker"] == address_of(taker)
    assert (fill["size"], fill["price"]) == (SIZE, price)

    cast.send(maker, EXCHANGE, place, MARKET, SIZE, price, GTC, "true")
    cast.send(taker, EXCHANGE, "placeMarketOrder(uint32,int64,bool)", MARKET, -SIZE, "true")
    fills, settlements = cast.events("OrderFilled", first), cast.events("FundingSettled", first)
    for who in (maker, taker):
        cash = cash_of(address_of(who), fills, settlements, k)
        cast.send(who, EXCHANGE, "withdraw(uint256)", DEPOSIT + cash)
        assert balance_of(who) == FAUCET + cash

    refused = cast.try_run(
        "call", "--from", address_of(maker), EXCHANGE, place, MARKET, SIZE, price, GTC, "false"
    )
    assert refused.returncode != 0
    assert "execution reverted" in refused.stderr
    assert _selector("InsufficientMargin(address,int256,uint256)") in refused.stderr
    late = cast.try_run(
        *("send", "--private-key", maker, "--nonce", 0, "--gas-limit", 21_000),
        *(address_of(taker), "--value", 1),
    )
    assert late.returncode != 0
    assert "nonce too low" in late.stderr


@pytest.mark.parametrize("name", READS)
def test_cast_reads_the_chain(cast: Cast, facts: dict[str, str], name: str) -> None:
    assert cast.run(*(word.format(**facts) for word in READS[name]))


def _tuple(info: Any, *places: int) -> list[Any]:
    values = info if isinstance(info, list) else info.strip("()").split(", ")
    return [values[place] for place in places]


def _selector(signature: str) -> str:
    done = subprocess.run(
        [str(CAST), "sig", signature], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()
