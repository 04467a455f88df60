"""A server in processes of its own, as a benchmark starts, asks and measures it."""

import http.client
import json
import os
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import track

from node.chain.genesis import Genesis
from tools.load import Reporters, markets_are_open

ROOT = Path(__file__).parents[1]
ANVIL = ROOT / "tests/conformance/node_modules/@foundry-rs/anvil-linux-amd64/bin/anvil"
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")
REPORT_PAUSE_S = 1.0
WAIT_MAX_S = 600

console = Console(stderr=True)


class BenchError(Exception):
    """The run did not do what it should have; says what."""


class HttpClient:
    """One keep-alive connection that posts JSON-RPC."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_MAX_S)

    def post(self, body: bytes) -> bytes:
        """Send a body and return the answer's."""
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return self._connection.getresponse().read()

    def call(self, method: str, *params: Any) -> Any:
        """Return a method's result; BenchError if it is refused."""
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        answer = json.loads(self.post(json.dumps(request).encode()))
        if "error" in answer:
            raise BenchError(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """End the connection."""
        self._connection.close()


class Usage(NamedTuple):
    """What processes have used."""

    cpu_s: float
    rss_mb: float


def usage_of(process_id: int) -> Usage:
    """Return a process's CPU time, its threads' included, and its memory, from /proc."""
    fields = Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    pages = int(Path(f"/proc/{process_id}/statm").read_text().split()[1])
    return Usage(
        (int(fields[11]) + int(fields[12])) / CLOCK_TICKS,
        pages * os.sysconf("SC_PAGE_SIZE") / 1e6,
    )


def children_of(process_id: int) -> list[int]:
    """Return a process's children: a sequencer's front."""
    tasks = Path(f"/proc/{process_id}/task").iterdir()
    return [int(each) for task in tasks for each in (task / "children").read_text().split()]


@contextmanager
def server(command: Sequence[str], port: int, log: Path) -> Iterator[int]:
    """Run a server until the block ends; yield its process id once it answers."""
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, cwd=ROOT)
    try:
        for _ in range(1200):
            if process.poll() is not None:
                raise BenchError(f"{command[0]} ended: {log.read_text()[-2000:]}")
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield process.pid
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def reporting(genesis: Genesis, port: int) -> Iterator[None]:
    """Report prices in a thread while the block runs, after every market is OPEN."""
    reporters, client, done = Reporters(genesis), HttpClient(port), threading.Event()
    failures: list[Exception] = []

    def run() -> None:
        try:
            while not done.wait(REPORT_PAUSE_S):
                reporters.report(client)
        except Exception as failure:  # told to whoever waits for the blocks
            failures.append(failure)

    thread = threading.Thread(target=run)
    try:
        for _ in track(range(120), "waiting for OPEN markets", console=console, transient=True):
            reporters.report(client)
            time.sleep(REPORT_PAUSE_S)
            if markets_are_open(client):
                break
        else:
            raise BenchError(f"markets did not open: {client.call('perp_getMarkets')}")
        thread.start()
        yield
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
        client.close()
    if failures:
        raise BenchError(f"reporting failed: {failures[0]!r}")


def find_anvil(named: str) -> str:
    """Return anvil's binary: the one named, else npm's, else the one on the PATH."""
    found = shutil.which(named) if named else shutil.which(ANVIL) or shutil.which("anvil")
    if found is None:
        raise BenchError(
            f"{named or 'anvil'} is no program here: name it, put it on the PATH, or "
            "`npm install --no-save @foundry-rs/anvil-linux-amd64` in tests/conformance"
        )
    return found
