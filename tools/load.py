"""Signed load for a chain made for it: many funded accounts, orders signed in advance, prices.

What the benchmark and the crash tests share. Everything is a function of a seed: the same plan
gives the same keys, orders and bytes.
"""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from node.chain.genesis import Genesis, GenesisAccount, GenesisMarket, read_genesis, render_genesis
from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.crypto import address_of, keccak256
from node.devnet.prices import PricedMarket, start_price
from node.perp.account import EXCHANGE, system_address
from node.units import PPM, Address, Hash32, Quote, Ticks, Wei, mul_div_ceil, mul_div_floor

ORACLE = system_address(0x1003)
PLACE_ORDER = keccak256(b"placeOrder(uint32,int64,int64,uint8,bool)")[:4]
REPORT_PRICE = keccak256(b"reportPrice(uint32,int64,uint64,uint32)")[:4]
GAS_LIMIT = 100_000
MAX_FEE = Wei(2 * 10**9)
CHUNK = 250


class Signed(NamedTuple):
    """A transaction ready to be sent."""

    raw: bytes
    hash: Hash32


class LoadOrder(NamedTuple):
    """A limit order of the plan."""

    account: int
    nonce: int
    market: int
    size: int
    """Lots, signed."""
    price: int
    """Ticks."""


class Client(Protocol):
    """Anything that speaks JSON-RPC."""

    def call(self, method: str, *params: Any) -> Any:
        """Return a method's result."""


def private_key(role: str, index: int) -> bytes:
    """Return the key of an actor; it protects nothing."""
    return keccak256(f"perpnode load: {role} {index}".encode())


def load_genesis(template: Path, *, accounts: int, reporters: int = 3) -> Genesis:
    """Return the template with so many accounts that own gas and margin, and with our reporters."""
    genesis = read_genesis(template)
    native, margin = Wei(10**22), Quote(10**12)
    people = [
        GenesisAccount(address_of(private_key("trader", index)), native, Quote(0), margin)
        for index in range(accounts)
    ]
    signers = [address_of(private_key("reporter", index)) for index in range(reporters)]
    people += [GenesisAccount(signer, native, Quote(0), Quote(0)) for signer in signers]
    chain = genesis.chain._replace(reporters=tuple(sorted(signers)), reporter_quorum=2)
    return genesis._replace(accounts=tuple(sorted(people)), chain=chain)


def write_genesis(genesis: Genesis, path: Path) -> Path:
    """Write the document and return its path."""
    path.write_text(render_genesis(genesis))
    return path


def price_of(market: GenesisMarket) -> Ticks:
    """Return the price at which our reporters hold a market."""
    return start_price(PricedMarket(market.params.symbol, market.params.tick_decimals))


def plan_orders(
    genesis: Genesis, *, orders: int, accounts: int, crossing_percent: int = 0, seed: int = 1
) -> Iterator[LoadOrder]:
    """Yield limit orders in turn of accounts: half buys, half sells, 0.1 to 3.1 % off the price.

    `crossing_percent` of them lie 1 % on the other side of the price instead, and match.
    """
    for index in range(orders):
        digest = keccak256(f"{seed} {index}".encode())
        market = genesis.markets[digest[0] % len(genesis.markets)]
        price, side = price_of(market), 1 if digest[1] % 2 else -1
        crosses = int.from_bytes(digest[2:4], "big") % 100 < crossing_percent
        offset_ppm = -10_000 if crosses else 1_000 + int.from_bytes(digest[4:8], "big") % 30_000
        k = market.params.k
        size = mul_div_ceil(2 * market.params.order_value_min, 1, price * k)
        limit = mul_div_floor(price, PPM - side * offset_ppm, PPM)
        yield LoadOrder(index % accounts, index // accounts, market.id, side * size, limit)


def sign_order(order: LoadOrder, chain_id: int) -> Signed:
    """Sign an order as EIP-1559."""
    arguments = [order.market, order.size, order.price, 0, 0]
    data = PLACE_ORDER + b"".join(_word(value) for value in arguments)
    return _sign(private_key("trader", order.account), order.nonce, chain_id, EXCHANGE, data)


def sign_orders(orders: Sequence[LoadOrder], chain_id: int, *, workers: int) -> Iterator[Signed]:
    """Sign orders in so many processes; yield them in order."""
    chunks = [orders[at : at + CHUNK] for at in range(0, len(orders), CHUNK)]
    with ProcessPoolExecutor(workers) as pool:
        for signed in pool.map(_sign_chunk, chunks, [chain_id] * len(chunks)):
            yield from signed


def sign_transfer(key: bytes, nonce: int, chain_id: int, to: Address) -> Signed:
    """Sign a transfer of 1 wei as EIP-1559."""
    return _sign(key, nonce, chain_id, to, b"", gas_limit=21_000, value=1)


def send_body(batch: Sequence[Signed]) -> bytes:
    """Return the JSON-RPC batch that sends these transactions."""
    return json.dumps(
        [
            {
                "jsonrpc": "2.0",
                "id": index,
                "method": "eth_sendRawTransaction",
                "params": ["0x" + signed.raw.hex()],
            }
            for index, signed in enumerate(batch)
        ],
        separators=(",", ":"),
    ).encode()


class Reporters:
    """All reporters of a `load_genesis` chain, who report the same standing prices."""

    def __init__(self, genesis: Genesis, *, reporters: int = 3) -> None:
        self._genesis = genesis
        self._keys = [private_key("reporter", index) for index in range(reporters)]

    def report(self, client: Client) -> list[str]:
        """Send one report of every reporter and market, observed at the head's time.

        Nonces and time are read from the chain, so a node that was killed and forgot its mempool
        finds the reporters right. Returns the transactions' hashes.
        """
        time_ms = int(client.call("perp_getBlock", "latest")["extension"]["timeMs"])
        hashes = []
        for key in self._keys:
            sender = "0x" + address_of(key).hex()
            nonce = int(client.call("eth_getTransactionCount", sender, "pending"), 16)
            for market in self._genesis.markets:
                signed = self._sign(key, nonce, market, time_ms)
                hashes.append(client.call("eth_sendRawTransaction", "0x" + signed.raw.hex()))
                nonce += 1
        return hashes

    def _sign(self, key: bytes, nonce: int, market: GenesisMarket, time_ms: int) -> Signed:
        arguments = [market.id, price_of(market), time_ms, 0]
        data = REPORT_PRICE + b"".join(_word(value) for value in arguments)
        return _sign(key, nonce, self._genesis.chain_id, ORACLE, data)


def markets_are_open(client: Client) -> bool:
    """Tell whether every market is OPEN."""
    return all(market["mode"] == "OPEN" for market in client.call("perp_getMarkets"))


def _sign_chunk(orders: Sequence[LoadOrder], chain_id: int) -> list[Signed]:
    return [sign_order(order, chain_id) for order in orders]


def _sign(
    key: bytes,
    nonce: int,
    chain_id: int,
    to: Address,
    data: bytes,
    *,
    gas_limit: int = GAS_LIMIT,
    value: int = 0,
) -> Signed:
    unsigned = UnsignedTransaction(
        EIP_1559, chain_id, nonce, Wei(0), MAX_FEE, gas_limit, to, Wei(value), data
    )
    signed = sign_transaction(unsigned, key)
    return Signed(signed.raw, signed.hash)


def _word(value: int) -> bytes:
    return value.to_bytes(32, "big", signed=value < 0)
