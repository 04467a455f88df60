"""Who is there when a node dies: traders and reporters who send, and a witness who remembers."""

import json
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from node.chain.genesis import Genesis
from node.crypto import address_of
from tests.helpers.devnet import Rpc, RpcError
from tools.load import LoadOrder, Reporters, Signed, plan_orders, private_key, sign_order

PAUSE_S = 0.05
BATCH = 20


class OrderStream:
    """Signed orders by account and nonce; sends what the chain does not have yet."""

    def __init__(self, genesis: Genesis, *, orders: int, accounts: int, seed: int) -> None:
        plan = plan_orders(
            genesis, orders=orders, accounts=accounts, crossing_percent=30, seed=seed
        )
        self._orders = [(order, sign_order(order, genesis.chain_id)) for order in plan]
        self._accounts = [
            "0x" + address_of(private_key("trader", index)).hex() for index in range(accounts)
        ]

    def left(self, rpc: Rpc) -> list[tuple[LoadOrder, Signed]]:
        """Return the orders whose nonces the head has not used."""
        calls = [("eth_getTransactionCount", [account, "latest"]) for account in self._accounts]
        nonces = [int(nonce, 16) for nonce in rpc.batch(calls)]
        return [each for each in self._orders if each[0].nonce >= nonces[each[0].account]]

    def send(self, rpc: Rpc, orders: Sequence[tuple[LoadOrder, Signed]]) -> None:
        """Send orders in one batch; those that a block took meanwhile are refused, rightly."""
        calls = [("eth_sendRawTransaction", ["0x" + each.raw.hex()]) for _, each in orders]
        for answer in rpc.batch(calls):
            if isinstance(answer, RpcError):
                assert "nonce too low" in answer.message or "already known" in answer.message


class Crowd:
    """Threads that use a node until it is gone, and what they saw of its blocks."""

    def __init__(self, port: int, genesis: Genesis, stream: OrderStream) -> None:
        self.seen: dict[int, str] = {}
        """Height → hash of every block that somebody was told of."""
        self.failures: list[Exception] = []
        self._port = port
        self._reporters = Reporters(genesis)
        self._stream = stream
        self._done = threading.Event()
        roles = (self._trade, self._report, self._poll_heads, self._subscribe_heads)
        self._threads = [threading.Thread(target=self._run, args=(role,)) for role in roles]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()

    def _run(self, role: Callable[[Rpc], None]) -> None:
        try:
            while not self._done.is_set():
                try:
                    with Rpc(self._port) as rpc:
                        role(rpc)
                except (ConnectionError, OSError, WebSocketException):
                    self._done.wait(PAUSE_S)  # not there yet, or not any more
        except Exception as failure:  # handed to the test, which raises it
            self.failures.append(failure)

    def _trade(self, rpc: Rpc) -> None:
        left = self._stream.left(rpc)
        for at in range(0, len(left), BATCH):
            if self._done.wait(PAUSE_S):
                return
            self._stream.send(rpc, left[at : at + BATCH])
        self._done.wait(PAUSE_S)

    def _report(self, rpc: Rpc) -> None:
        while not self._done.wait(PAUSE_S):
            self._reporters.report(rpc)

    def _poll_heads(self, rpc: Rpc) -> None:
        while not self._done.wait(PAUSE_S / 10):
            self._remember(rpc.call("eth_getBlockByNumber", "latest", False))

    def _subscribe_heads(self, rpc: Rpc) -> None:
        with connect(f"ws://127.0.0.1:{self._port}", proxy=None) as socket:
            subscribe = {"jsonrpc": "2.0", "id": 1, "method": "eth_subscribe"}
            socket.send(json.dumps(subscribe | {"params": ["newHeads"]}))
            while not self._done.is_set():
                try:
                    message = json.loads(socket.recv(timeout=PAUSE_S))
                except TimeoutError:
                    continue
                if "params" in message:
                    self._remember(message["params"]["result"])

    def _remember(self, block: dict[str, Any]) -> None:
        height, block_hash = int(block["number"], 16), block["hash"]
        known = self.seen.setdefault(height, block_hash)
        assert known == block_hash, f"block {height} was {known}, is {block_hash}"
