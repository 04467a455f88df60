"""A sequencer and its validators as processes, with reporters that keep a market open."""

import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from node.chain.genesis import Genesis, render_genesis
from node.chain.transaction import Transaction
from node.consensus.node_key import make_node_key
from node.governance.validators import Validator
from tests.helpers.chain import BTC, REPORTERS, Person, make_genesis
from tests.helpers.devnet import ROOT, Rpc, RpcError, Sequencer, Server, free_port, poll

BLOCK_TIME = ("--block-time", "0.2")
REPORT_PAUSE_S = 0.1
PRICE = 930_000


class Follower(Server):
    """`perpnode run --role validator` or archive."""

    def __init__(
        self, role: str, genesis: Path, data_dir: Path, peer: str, key: Path | None, *flags: str
    ) -> None:
        command = ["run", "--role", role, "--genesis", str(genesis), "--peer", peer, *flags]
        if key is not None:
            command += ["--key", str(key)]
        super().__init__(command, data_dir, None)

    def height(self) -> int:
        """Return its head's number, -1 while it does not answer."""
        try:
            return self.rpc.height()
        except ConnectionError:
            return -1

    def wait_for_height(self, height: int) -> int:
        """Return the head's number once it is at least `height`; it may be starting."""
        return poll(lambda: h if (h := self.height()) >= height else None, what=f"block {height}")

    def wait_for_line(self, words: str) -> None:
        """Return once its log has a line with these words."""
        poll(lambda: words in self.errors(), what=f"{words!r} in the log")


class Network:
    """One chain: a sequencer, its validators, each with its own data directory and key."""

    def __init__(
        self,
        path: Path,
        *flags: str,
        validators: int = 4,
        people: Sequence[Person] = (),
        common: Sequence[str] = (),
        prepare: Callable[[Genesis], Genesis] = lambda genesis: genesis,
    ) -> None:
        """Make keys and genesis, which `prepare` may change; `common` flags go to every node."""
        keys = path / "keys"
        keys.mkdir()
        sequencer_key = make_node_key(keys / "sequencer.json")
        self.key_paths = [keys / f"validator-{index}.json" for index in range(validators)]
        members = [Validator(make_node_key(each).public_key, 1) for each in self.key_paths]
        self._common = common
        genesis = prepare(make_genesis(people))._replace(
            sequencer=sequencer_key.public_key, validators=tuple(members)
        )
        self.genesis = path / "genesis.json"
        self.genesis.write_text(render_genesis(genesis))
        self.path = path
        self.peer_port = free_port()
        flags = ("--key", str(keys / "sequencer.json"), "--peer-port", str(self.peer_port), *flags)
        self.sequencer = Sequencer(self.genesis, path / "sequencer", *flags, *BLOCK_TIME, *common)
        self.validators = [self.follower(index) for index in range(validators)]
        self._stack = ExitStack()
        self._done = threading.Event()
        self._reporting = threading.Thread(target=self._report)
        self.failures: list[Exception] = []

    def link_validators(self) -> None:
        """Have each validator link to those before it as well; before they are started."""
        ports = [free_port() for _ in self.validators]
        self.validators = [
            self.follower(
                index,
                "--peer-port",
                str(port),
                *(f"--peer=wss://127.0.0.1:{before}" for before in ports[:index]),
            )
            for index, port in enumerate(ports)
        ]

    def follower(self, index: int, *flags: str, peer_port: int | None = None) -> Follower:
        """Return a validator's process, not started."""
        peer = f"wss://127.0.0.1:{peer_port or self.peer_port}"
        data_dir = self.path / f"validator-{index}"
        key = self.key_paths[index]
        return Follower("validator", self.genesis, data_dir, peer, key, *self._common, *flags)

    def __enter__(self) -> Self:
        for node in (self.sequencer, *self.validators):
            self._stack.enter_context(node)
            node.start()
        self.sequencer.wait_for_answer()
        self._reporting.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._done.set()
        with suppress(RuntimeError):  # it never began
            self._reporting.join()
        self._stack.__exit__(kind, error, trace)
        if error is None:
            assert self.failures == []

    @property
    def rpc(self) -> Rpc:
        return self.sequencer.rpc

    def status(self) -> dict[str, Any]:
        """Return the sequencer's perp_status."""
        status: dict[str, Any] = self.rpc.call("perp_status")
        return status

    def wait_for_status(self, look: Callable[[dict[str, Any]], bool], what: str) -> dict[str, Any]:
        """Return the sequencer's status once it is so."""
        return poll(lambda: s if look(s := self.status()) else None, what=what)

    def wait_for_certified(self, height: int) -> int:
        """Return up to where the chain is certified, once that is at least `height`."""
        status = self.wait_for_status(lambda s: s["safe"] >= height, f"certified block {height}")
        return int(status["safe"])

    def send(self, tx: Transaction) -> str:
        """Send a transaction and return its hash."""
        tx_hash: str = self.rpc.call("eth_sendRawTransaction", "0x" + tx.raw.hex())
        return tx_hash

    def end(self) -> None:
        """Stop every process in the ordinary way; all must end well."""
        self._done.set()
        self._reporting.join()
        for node in (*self.validators, self.sequencer):
            if node.process.poll() is None:
                assert node.signal(signal.SIGTERM) == 0

    def _report(self) -> None:
        """Report a price a few times a second, as every reporter, until the end."""
        reporters = [Person(f"reporter-{number + 1}") for number in range(len(REPORTERS))]
        try:
            with Rpc(self.sequencer.port) as rpc:
                for each in reporters:
                    each.nonce = int(nonce_of(rpc, each), 16)
                while not self._done.wait(REPORT_PAUSE_S):
                    self._report_once(rpc, reporters)
        except ConnectionError:
            return  # the sequencer is gone; whoever needs it says so
        except Exception as failure:  # handed to the test
            self.failures.append(failure)

    def _report_once(self, rpc: Rpc, reporters: Sequence[Person]) -> None:
        head = rpc.call("perp_getBlock", "latest")
        time_ms, fork_id = head["extension"]["timeMs"], head["extension"]["forkId"]
        price = PRICE + time_ms // 100 % 50  # never still, never far
        txs = [
            each.call("Oracle", "reportPrice", BTC, price, time_ms, fork_id) for each in reporters
        ]
        for each, answer in zip(
            reporters,
            rpc.batch([("eth_sendRawTransaction", ["0x" + tx.raw.hex()]) for tx in txs]),
            strict=True,
        ):
            if isinstance(answer, RpcError):
                each.nonce = int(nonce_of(rpc, each), 16)


def nonce_of(rpc: Rpc, person: Person) -> str:
    """Return a person's next nonce."""
    nonce: str = rpc.call("eth_getTransactionCount", "0x" + person.address.hex(), "pending")
    return nonce


def perpnode(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def verify(data_dir: Path) -> subprocess.CompletedProcess[str]:
    """Run `perpnode verify` on a stopped node's directory."""
    return perpnode("verify", "--data-dir", str(data_dir), "--json")


class Proxy:
    """A cable between a validator and the sequencer, which can be cut and mended."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._lock = threading.Lock()
        self._is_cut = False
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Let nothing pass any more."""
        with self._lock:
            self._is_cut = True
            for each in self._sockets:
                _end(each)
            self._sockets.clear()

    def mend(self) -> None:
        """Let new connections pass."""
        with self._lock:
            self._is_cut = False

    def close(self) -> None:
        """Cut, and listen no more."""
        self.cut()
        _end(self._listening)
        self._thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                with self._lock:
                    is_cut = self._is_cut
                if is_cut:
                    near.close()
                    continue
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:
                    near.close()
                    continue
                with self._lock:
                    self._sockets += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    for each in (source, sink):
        _end(each)


def _end(each: socket.socket) -> None:
    with suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)  # wakes who waits for it
    each.close()
