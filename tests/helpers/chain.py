"""A whole chain in memory with people who hold keys: what tests of blocks and of RPC trade on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from node.chain.block import Block, Receipt
from node.chain.blockchain import Blockchain
from node.chain.genesis import Genesis, GenesisAccount, read_genesis
from node.chain.store import BlockStore
from node.chain.transaction import Transaction, UnsignedTransaction, sign_transaction
from node.crypto import address_of, keccak256
from node.state.kv import KeyValue, MemoryDb
from node.system.contracts import contract
from node.units import Address, MarketId, Quote, TimeMs, Wei

MINIMAL = Path(__file__).parents[2] / "genesis" / "minimal.json"
BTC = MarketId(1)
USDC = 1_000_000
COIN = 10**18
GWEI = 10**9


class Person:
    """Somebody with a key and a nonce."""

    def __init__(self, role: str, chain_id: int = 20260119) -> None:
        self.key = bytes(keccak256(role.encode()))
        self.address = address_of(self.key)
        self.nonce = 0
        self.chain_id = chain_id

    def send(self, to: Address, data: bytes = b"", value: int = 0, **changes: Any) -> Transaction:
        """Sign the next EIP-1559 transaction."""
        fields: dict[str, Any] = {
            "type": 2,
            "chain_id": self.chain_id,
            "nonce": self.nonce,
            "max_priority_fee": Wei(0),
            "max_fee": Wei(GWEI),
            "gas_limit": 100_000,
            "to": to,
            "value": Wei(value),
            "data": data,
            "access_list": (),
        }
        fields.update(changes)
        tx = sign_transaction(UnsignedTransaction(**fields), self.key)
        self.nonce = tx.nonce + 1
        return tx

    def call(self, name: str, function: str, *arguments: object, **changes: Any) -> Transaction:
        """Sign a call of a system contract."""
        target = contract(name)
        return self.send(
            target.address, target.functions[function].encode_call(*arguments), **changes
        )

    def order(
        self,
        size: int,
        price: int,
        *,
        tif: int = 0,
        reduce_only: bool = False,
        market: int = BTC,
        **changes: Any,
    ) -> Transaction:
        """Sign a limit order."""
        return self.call("Exchange", "placeOrder", market, size, price, tif, reduce_only, **changes)


REPORTERS = [Person("reporter-1"), Person("reporter-2"), Person("reporter-3")]


def make_genesis(people: Sequence[Person], *, margin: int = 100_000 * USDC) -> Genesis:
    """Return the minimal genesis with these people funded, tokens and margin alike."""
    genesis = read_genesis(MINIMAL)
    reporters = tuple(sorted(person.address for person in REPORTERS))
    accounts = [
        GenesisAccount(each.address, Wei(10_000 * COIN), Quote(0), Quote(0)) for each in REPORTERS
    ] + [
        GenesisAccount(each.address, Wei(10_000 * COIN), Quote(1_000_000 * USDC), Quote(margin))
        for each in people
    ]
    return genesis._replace(
        chain=genesis.chain._replace(reporters=reporters),
        accounts=tuple(sorted(accounts)),
    )


class Chain:
    """A blockchain and its clock, sealed by hand."""

    def __init__(
        self, genesis: Genesis, kv: KeyValue | None = None, head_file: Path | None = None
    ) -> None:
        self.kv = kv or MemoryDb()
        self.blockchain = Blockchain(genesis, self.kv, BlockStore(self.kv, head_file))
        self.time_ms = self.blockchain.head.block.extension.time_ms
        self.reporters = [Person(f"reporter-{number}") for number in (1, 2, 3)]

    @property
    def head(self) -> Block:
        return self.blockchain.head.block

    @property
    def receipts(self) -> Sequence[Receipt]:
        """The head block's receipts, of people's transactions only."""
        head = self.blockchain.head
        return [
            receipt
            for tx, receipt in zip(head.block.transactions, head.receipts, strict=True)
            if tx.max_fee > 0
        ]

    def seal(self, *transactions: Transaction, elapsed_ms: int = 100) -> Block:
        """Seal a block of these transactions, which must be in executed order."""
        self.time_ms = TimeMs(self.time_ms + elapsed_ms)
        self.blockchain.commit(self.blockchain.execute(transactions, self.time_ms))
        return self.head

    def reports(self, price: int, market: int = BTC, elapsed_ms: int = 100) -> list[Transaction]:
        """Sign everybody's report for the next block."""
        observed = self.time_ms + elapsed_ms
        return [
            each.call("Oracle", "reportPrice", market, price, observed, 0)
            for each in self.reporters
        ]

    def open_market(self, price: int) -> None:
        """Report a price, block by block, until the market and its grace period are over."""
        for _ in range(30):
            self.seal(*self.reports(price))

    def balance(self, address: Address) -> int:
        """Return a margin balance at the head."""
        account = self.blockchain.ledger_after(self.head).accounts.get(address)
        return 0 if account is None else account.balance
