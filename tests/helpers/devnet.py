"""A real node in its own processes: started on a free port, asked by JSON-RPC, stopped or killed.

Output goes to files, as a script's would: what a node does not flush, a test does not see.
Waiting is a bounded number of polls, never a moment on the clock.
"""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

ROOT = Path(__file__).parents[2]
MINIMAL_GENESIS = ROOT / "genesis" / "minimal.json"
MNEMONIC = "test test test test test test test test test test test junk"
T = TypeVar("T")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def poll(look: Callable[[], T | None], *, what: str, polls: int = 600, pause: float = 0.05) -> T:
    """Return the first result of `look` that is not None or False; fail after so many looks."""
    for _ in range(polls):
        found = look()
        if found is not None and found is not False:
            return found
        time.sleep(pause)
    raise AssertionError(f"{what}: not within {polls} looks")


class RpcError(Exception):
    """The node answered with a JSON-RPC error object."""

    def __init__(self, method: str, error: dict[str, Any]) -> None:
        super().__init__(f"{method}: {error.get('code')} {error.get('message')}")
        self.code: int = error["code"]
        self.message: str = error["message"]
        self.data: Any = error.get("data")


class Rpc:
    """A JSON-RPC client of the standard library alone, one connection."""

    def __init__(self, port: int, *, timeout: float = 60) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._connection.close()

    def post(self, body: bytes) -> Any:
        """Return the decoded answer to a body; ConnectionError when the node is gone."""
        is_kept = self._connection.sock is not None
        try:
            return json.loads(self._exchange(body))
        except (OSError, http.client.HTTPException) as error:
            self._connection.close()
            if is_kept:  # the node may have closed what was idle, or be another one by now
                return self.post(body)
            raise ConnectionError(f"no answer from {self.url}: {error!r}") from error

    def _exchange(self, body: bytes) -> bytes:
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return self._connection.getresponse().read()

    def call(self, method: str, *params: Any) -> Any:
        """Return a method's result; RpcError if it is an error."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        answer = self.post(json.dumps(request).encode())
        if "error" in answer:
            raise RpcError(method, answer["error"])
        return answer["result"]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Return the answers of a batch in its order: results, or RpcError objects."""
        if not calls:
            return []
        requests = [
            {"jsonrpc": "2.0", "id": index, "method": method, "params": list(params)}
            for index, (method, params) in enumerate(calls)
        ]
        answers = sorted(self.post(json.dumps(requests).encode()), key=lambda answer: answer["id"])
        return [
            RpcError(method, answer["error"]) if "error" in answer else answer["result"]
            for (method, _), answer in zip(calls, answers, strict=True)
        ]

    def block(self, number: int | str = "latest", *, full: bool = False) -> dict[str, Any] | None:
        """Return a block by number or tag."""
        tag = hex(number) if isinstance(number, int) else number
        block: dict[str, Any] | None = self.call("eth_getBlockByNumber", tag, full)
        return block

    def height(self) -> int:
        """Return the head's number."""
        return int(self.call("eth_blockNumber"), 16)

    def receipt(self, tx_hash: str) -> dict[str, Any]:
        """Return a transaction's receipt, once a block has it."""
        return poll(
            lambda: self.call("eth_getTransactionReceipt", tx_hash), what=f"receipt of {tx_hash}"
        )


class Node:
    """`perpnode COMMAND …` as a family of processes, known by a mark in its environment."""

    def __init__(self, command: Sequence[str], log: Path) -> None:
        self.command = [sys.executable, "-m", "node", *command]
        self.log = log
        self.error_log = log.with_suffix(".err")
        self._mark = f"PERPNODE_TEST_FAMILY={uuid.uuid4()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.kill()
        if error is not None:
            said = self.output()[-4000:] + self.errors()[-4000:]
            error.add_note(f"output of {' '.join(self.command)}:\n{said}")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "start the node first"
        return self._process

    def start(self, **environment: str) -> Self:
        """Start the process, with more in its environment, without waiting."""
        name, value = self._mark.split("=")
        with self.log.open("ab") as log, self.error_log.open("ab") as error_log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=error_log,
                cwd=ROOT,
                env={**os.environ, name: value, **environment},
                start_new_session=True,  # its own group: Ctrl-C reaches it and not the tests
            )
        return self

    def output(self) -> str:
        """Return everything that its first process has printed so far."""
        return self.log.read_text() if self.log.exists() else ""

    def errors(self) -> str:
        """Return everything on its standard error."""
        return self.error_log.read_text() if self.error_log.exists() else ""

    def wait_for_output(self, text: str, *, after: int = 0) -> str:
        """Return the output once it contains `text` beyond position `after`."""

        def look() -> str | None:
            output = self.output()[after:]
            if text in output:
                return output
            assert self.process.poll() is None, f"ended instead of printing {text!r}"
            return None

        return poll(look, what=f"{text!r} in the output")

    def wait_for_end(self) -> int:
        """Return the exit status, once the process has ended."""
        poll(lambda: self.process.poll() is not None, what=f"end of {' '.join(self.command)}")
        return self.process.returncode

    def family(self) -> dict[int, str]:
        """Return the living processes that descend from it: process id → command line."""
        mark, living = self._mark.encode(), {}
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                if mark in (entry / "environ").read_bytes().split(b"\0"):
                    command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                    living[int(entry.name)] = command
            except OSError:  # it ended while we looked, or is not ours
                continue
        return living

    def wait_for_family_end(self) -> None:
        """Return once no process of the family lives."""
        poll(lambda: not self.family(), what=f"end of every process: {self.family()}")

    def refusal(self) -> str:
        """Start it, and return the one line on standard error in which it refuses."""
        with self:
            Node.start(self)
            assert self.wait_for_end() == 1, "exit status 1 is for refusals"
            lines = self.errors().splitlines()
            assert len(lines) == 1, "a refusal is one line"
            assert "Traceback" not in lines[0]
            return lines[0]

    def interrupt(self) -> int:
        """Press Ctrl-C: SIGINT to the whole group, as a terminal does. Return the exit status."""
        os.killpg(self.process.pid, signal.SIGINT)
        return self.wait_for_end()

    def signal(self, number: signal.Signals) -> int:
        """Send a signal to the first process alone. Return the exit status."""
        self.process.send_signal(number)
        return self.wait_for_end()

    def kill(self) -> None:
        """SIGKILL every process of the family at once, and reap the first."""
        if self._process is None:
            return
        for process_id in self.family():
            try:
                os.kill(process_id, signal.SIGKILL)
            except ProcessLookupError:
                continue
        self._process.wait()


class Server(Node):
    """A node that listens on a port of its own."""

    def __init__(self, command: Sequence[str], data_dir: Path, port: int | None) -> None:
        self.data_dir = data_dir
        self.port = port or free_port()
        super().__init__(
            [*command, "--data-dir", str(data_dir), "--port", str(self.port)],
            data_dir.parent / f"{data_dir.name}-{self.port}.log",
        )
        self.rpc = Rpc(self.port)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.rpc.close()
        super().__exit__(kind, error, _)

    def wait_for_height(self, height: int) -> int:
        """Return the head's number once it is at least `height`."""

        def look() -> int | None:
            head = self.rpc.height()
            return head if head >= height else None

        return poll(look, what=f"block {height}")

    def wait_for_open_markets(self) -> list[dict[str, Any]]:
        """Return perp_getMarkets once every market is OPEN."""

        def look() -> list[dict[str, Any]] | None:
            markets: list[dict[str, Any]] = self.rpc.call("perp_getMarkets")
            return markets if markets and all(m["mode"] == "OPEN" for m in markets) else None

        return poll(look, what="every market OPEN", polls=1200)


class Devnet(Server):
    """`perpnode devnet`."""

    def __init__(self, data_dir: Path, *flags: str, port: int | None = None) -> None:
        super().__init__(["devnet", *flags], data_dir, port)

    def start(self, **environment: str) -> Self:
        """Start, and wait until it listens."""
        printed = len(self.output())
        super().start(**environment)
        self.wait_for_output(f"Listening on 127.0.0.1:{self.port}", after=printed)
        return self


class Sequencer(Server):
    """`perpnode run --role sequencer`: nothing but the node."""

    def __init__(self, genesis: Path, data_dir: Path, *flags: str, port: int | None = None) -> None:
        command = ["run", "--role", "sequencer", "--genesis", str(genesis), *flags]
        super().__init__(command, data_dir, port)

    def wait_for_end(self) -> int:
        """Return the exit status, once its front has ended too and the port is free again."""
        status = super().wait_for_end()
        self.wait_for_family_end()
        return status

    def wait_for_answer(self) -> Self:
        """Return once it listens."""

        def answers() -> bool:
            assert self.process.poll() is None, "ended at its start"
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        poll(answers, what="an answer")
        return self
