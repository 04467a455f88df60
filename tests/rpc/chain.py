"""A chain in memory with a front that is asked without a socket.

The sequencer seals when a test says so, at the time that the test's clock shows.
"""

import asyncio
import json
from pathlib import Path
from typing import Any

import orjson

from node.chain.blockchain import Blockchain
from node.chain.genesis import parse_genesis
from node.chain.store import BlockStore
from node.chain.transaction import Transaction, UnsignedTransaction, sign_transaction
from node.consensus.core import Core
from node.consensus.development import Development
from node.consensus.hold import Hold
from node.consensus.mempool import Mempool
from node.consensus.recovery import Recovery
from node.consensus.sequencer import Sequencer
from node.consensus.snapshots import Snapshots
from node.crypto import address_of, checksum_address, keccak256
from node.rpc.accounts import Accounts
from node.rpc.context import Context, Session
from node.rpc.dispatch import Dispatcher
from node.rpc.filters import Filters
from node.rpc.recent import RecentBlocks
from node.rpc.subscriptions import Subscriber, Subscriptions
from node.snapshot.directory import SnapshotDirectory
from node.state.kv import MemoryDb
from node.system.contracts import ORACLE, contract
from node.units import Address, Wei
from tests.helpers.council import COUNCIL
from tests.helpers.schemas import require_params, require_schema

GENESIS = Path(__file__).parents[2] / "genesis" / "devnet.json"
GWEI = 10**9
MARKET = 1
START_MS = 1_800_000_000_000
PRICE = 500_000
"""Ticks: 50,000.0 USD."""


def key_of(role: str) -> bytes:
    """Return an actor's private key."""
    return keccak256(role.encode())


def address(role: str) -> Address:
    """Return an actor's address."""
    return address_of(key_of(role))


def text(role: str) -> str:
    """Return an actor's address as the node writes it."""
    return "0x" + address(role).hex()


class RpcFailure(Exception):
    """A JSON-RPC error answer."""

    def __init__(self, error: dict[str, Any]) -> None:
        super().__init__(error)
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: str | None = error.get("data")


class Chain:
    """One chain, its actors and its front."""

    def __init__(self, directory: Path) -> None:
        document = json.loads(GENESIS.read_bytes())
        document["time_ms"] = START_MS
        document["reporters"] = [checksum_address(address("reporter"))]
        document["reporter_quorum"] = 1
        document["accounts"] = [
            {
                "address": checksum_address(address(role)),
                "native_wei": str(10**20),
                "tokens": "100000000000",
                "margin": "0",
            }
            for role in sorted(("maker", "taker", "reporter", "sender"), key=address)
        ]
        document["council"] = {
            "members": [checksum_address(member) for member in COUNCIL.members],
            "threshold": COUNCIL.threshold,
        }
        document["chain"] |= {"confirm_ms": 1, "reopen_ms": 1, "grace_ms": 1}
        genesis = parse_genesis(json.dumps(document).encode(), name="test")
        database = MemoryDb()
        self.now_ms = START_MS
        self.blockchain = Blockchain(genesis, database, BlockStore(database, directory / "HEAD"))
        self.mempool = Mempool(self.blockchain)
        hold, self.snapshots = Hold(), SnapshotDirectory(directory / "snapshots")
        recovery = Recovery(
            self.blockchain, hold, clock_ms=lambda: self.now_ms, directory=self.snapshots
        )
        self.sequencer = Sequencer(
            self.blockchain,
            self.mempool,
            block_time_ms=1_000,
            instant=False,
            clock_ms=lambda: self.now_ms,
            hold=hold,
            recovery=recovery,
            snapshots=Snapshots(self.blockchain, self.snapshots),
        )
        self.core = Core(
            self.blockchain,
            self.mempool,
            self.sequencer,
            development=Development(self.blockchain, self.mempool, self.sequencer),
        )
        self.seconds = 0.0
        self.recent = RecentBlocks()
        self.filters = Filters(self.core, lambda: self.seconds)
        self.subscriptions = Subscriptions()
        self.accounts = Accounts()
        self.core.subscribe_heads(self.recent.on_head)
        self.core.subscribe_heads(lambda block, _: self.filters.on_head(block))
        self.core.subscribe_heads(self.subscriptions.on_head)
        self.core.subscribe_left(lambda block, _: self.recent.on_left(block))
        self.core.subscribe_left(lambda block, _: self.filters.on_left(block))
        self.core.subscribe_left(self.subscriptions.on_left)
        self.core.subscribe_reverted(lambda block, _: self.subscriptions.on_reverted(block))
        self.core.subscribe_pending(self.filters.on_pending)
        self.nonces: dict[str, int] = {}

    # --- making blocks ---------------------------------------------------------------------------

    def seal(self) -> int:
        """Seal a block one second after the last and return its height."""
        self.now_ms += 1_000
        self.sequencer.seal()
        return self.blockchain.head.block.header.number

    def sign(self, role: str, **fields: Any) -> Transaction:
        """Return a signed transaction of the sender's next nonce, type 2 unless said otherwise."""
        nonce = fields.pop("nonce", None)
        if nonce is None:
            nonce = self.nonces.get(role, 0)
            self.nonces[role] = nonce + 1
        values: dict[str, Any] = {
            "type": 2,
            "chain_id": self.core.chain_id,
            "nonce": nonce,
            "max_priority_fee": Wei(0),
            "max_fee": Wei(2 * GWEI),
            "gas_limit": 500_000,
            "to": address("receiver"),
            "value": Wei(0),
            "data": b"",
            "access_list": (),
        }
        return sign_transaction(UnsignedTransaction(**(values | fields)), key_of(role))

    def sign_call(self, role: str, name: str, function: str, *arguments: Any) -> Transaction:
        """Return a signed call of a system contract."""
        target = contract(name)
        data = target.functions[function].encode_call(*arguments)
        return self.sign(role, to=target.address, data=data)

    def send(self, transaction: Transaction) -> str:
        """Hand a transaction in and return its hash."""
        result: str = self.ask("eth_sendRawTransaction", "0x" + transaction.raw.hex())
        return result

    def report(self, price: int = PRICE) -> None:
        """Send the reporter's report for the next block."""
        call = (
            contract("Oracle")
            .functions["reportPrice"]
            .encode_call(MARKET, price, self.now_ms + 1_000, 0)
        )
        self.send(self.sign("reporter", to=ORACLE, data=call))

    def open_market(self) -> None:
        """Seal blocks with reports until the market is OPEN and past its grace period."""
        for _ in range(20):
            self.report()
            self.seal()
            market = self.ask("perp_getMarkets")[0]
            if market["mode"] == "OPEN" and not market["isInGrace"]:
                return
        raise AssertionError("the market did not open")

    def trade(self) -> None:
        """Let maker and taker deposit, the maker rest an order and the taker fill half of it."""
        for role in ("maker", "taker"):
            self.send(self.sign_call(role, "Exchange", "deposit", 50_000_000_000))
        self.report()
        self.seal()
        sell = (MARKET, -200, PRICE + 10, 0, False)
        self.send(self.sign_call("maker", "Exchange", "placeOrder", *sell))
        self.report()
        self.seal()
        buy = (MARKET, 100, PRICE + 10, 1, False)
        self.send(self.sign_call("taker", "Exchange", "placeOrder", *buy))
        self.report()
        self.seal()

    # --- asking ----------------------------------------------------------------------------------

    def context(
        self,
        *,
        refusal: str | None = None,
        subscriber: Subscriber | None = None,
        owner: str = "client",
    ) -> Context:
        """Return what a method is given."""
        session = Session(owner, refusal, subscriber)
        return Context(
            self.core, self.recent, self.filters, self.subscriptions, session, self.accounts
        )

    def answer(
        self, body: bytes, context: Context | None = None, dispatcher: Dispatcher | None = None
    ) -> bytes | None:
        """Return the front's answer to a body."""
        dispatcher = dispatcher or Dispatcher()
        return asyncio.run(dispatcher.answer(context or self.context(), body))

    def post(self, message: Any, context: Context | None = None) -> Any:
        """Return the decoded answer to a message, None if there is none."""
        answer = self.answer(orjson.dumps(message), context)
        return None if answer is None else json.loads(answer)

    def ask(self, method: str, *params: Any, context: Context | None = None) -> Any:
        """Return a method's result, which is as published; raise RpcFailure."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.post(request, context)
        assert answer["jsonrpc"] == "2.0"
        assert answer["id"] == 1
        if "error" in answer:
            raise RpcFailure(answer["error"])
        require_params(method, list(params))
        require_schema(method, answer["result"])
        return answer["result"]
