"""`make bench ARGS=rpc`: requests a second and their latency while the chain makes full blocks.

A fresh sequencer (front and core, each a process) and, where npm's or the PATH's anvil is here, the
same of anvil in the same run: 1,000 blocks first, then a steady load of signed transactions, then
each method in turn over 1 and 32 connections, then raw transactions from one client. wrk asks if
it is installed, else a process of our own. Client, load and servers share this machine's
processors: compare only numbers of one run.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing, contextmanager
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import uvloop
from rich.console import Console
from rich.table import Table

from node.crypto import address_of
from node.perp.account import EXCHANGE
from node.system.contracts import contract
from tools.load import (
    Signed,
    load_genesis,
    plan_orders,
    private_key,
    send_body,
    sign_orders,
    sign_transfer,
    write_genesis,
)
from tools.served import (
    ROOT,
    BenchError,
    HttpClient,
    children_of,
    console,
    find_anvil,
    free_port,
    reporting,
    server,
    usage_of,
)

BLOCKS = 1_000
"""How many blocks eth_getLogs looks through."""
ADDRESSES = 100
"""So many accounts are asked about, in turn."""
FEED_BATCH = 50
ANVIL_ACCOUNTS = 100
CONSTANT_CODE = "0x602a60005260206000f3"
"""A contract that returns 42: what anvil is asked to call."""
ANVIL_TARGET = "0x00000000000000000000000000000000000c0de5"


ANVIL_CHAIN = 31_337
T = TypeVar("T")


class Measured(NamedTuple):
    """One method over so many connections."""

    node: str
    method: str
    connections: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: Sequence[float]
    """Of each of the server's processes per request, without what it used for the load alone."""


# --- the client -----------------------------------------------------------------------------------


class Pressed(NamedTuple):
    """What a client saw."""

    requests: int
    seconds: float
    p50_ms: float
    p99_ms: float


Press = Callable[[int, Sequence[bytes], int, float], Pressed]
"""Ask at a port, with these bodies in turn, over so many connections, for so many seconds."""

WRK_SCRIPT = """
local bodies, at, requests = {{{bodies}}}, 0, {{}}
function init()
  wrk.headers["Content-Type"] = "application/json"
  for i, body in ipairs(bodies) do requests[i] = wrk.format("POST", "/", nil, body) end
end
function request() at = at % #requests + 1; return requests[at] end
function done(summary, latency)
  local errors = summary.errors
  io.stderr:write(string.format("%d %d %d %d %d\\n", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


def press_with_wrk(port: int, bodies: Sequence[bytes], connections: int, seconds: float) -> Pressed:
    """Ask with wrk, one thread."""
    quoted = ",".join(f"[==[{body.decode()}]==]" for body in bodies)
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_SCRIPT.format(bodies=quoted))
        script.flush()
        command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "-s", script.name]
        ran = subprocess.run(
            [*command, f"http://127.0.0.1:{port}/"], capture_output=True, text=True, check=False
        )
    found = re.search(r"^(\d+) (\d+) (\d+) (\d+) (\d+)$", ran.stderr, re.MULTILINE)
    if found is None or int(found[5]):
        raise BenchError(f"wrk: {ran.stderr or ran.stdout}")
    count, duration_us, p50_us, p99_us = map(int, found.groups()[:4])
    return Pressed(count, duration_us / 1e6, p50_us / 1e3, p99_us / 1e3)


class _Presser(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests = requests
        self._latencies = latencies
        self._received = bytearray()
        self._sent = 0.0

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._received += data
        end = self._received.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        length = re.search(rb"(?i)content-length: (\d+)", self._received[:end])
        if length is None:
            raise BenchError(f"no length: {bytes(self._received[:end])!r}")
        if len(self._received) >= end + int(length[1]):
            self._latencies.append(time.perf_counter() - self._sent)
            self._received.clear()
            self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))


def press_with_python(
    port: int, bodies: Sequence[bytes], connections: int, seconds: float
) -> Pressed:
    """Ask from a process of our own."""
    with ProcessPoolExecutor(1) as pool:
        return pool.submit(_press, port, list(bodies), connections, seconds).result()


def _press(port: int, bodies: Sequence[bytes], connections: int, seconds: float) -> Pressed:
    head = "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    requests = cycle(
        [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
    )
    latencies: list[float] = []

    async def run() -> float:
        loop = asyncio.get_running_loop()
        started = loop.time()
        made = [
            await loop.create_connection(lambda: _Presser(requests, latencies), "127.0.0.1", port)
            for _ in range(connections)
        ]
        await asyncio.sleep(seconds)
        for transport, _ in made:
            transport.abort()
        return loop.time() - started

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        elapsed = runner.run(run())
    return Pressed(len(latencies), elapsed, *_percentiles(latencies))


def _percentiles(latencies: Sequence[float]) -> tuple[float, float]:
    """Return the median and the 99th percentile in ms of latencies in s."""
    cuts = statistics.quantiles(latencies, n=100)
    return cuts[49] * 1e3, cuts[98] * 1e3


# --- the servers ----------------------------------------------------------------------------------


def _body(method: str, *params: Any) -> bytes:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps(request).encode()


def _bodies(
    client: HttpClient, addresses: Sequence[str], calls: Sequence[dict[str, str]], logs_of: str
) -> dict[str, Sequence[bytes]]:
    """Return each method's requests, after checking that they are answered."""
    head = int(client.call("eth_blockNumber"), 16)
    window = {"fromBlock": hex(head - BLOCKS + 1), "toBlock": hex(head), "address": logs_of}
    bodies: dict[str, Sequence[bytes]] = {
        "eth_blockNumber": [_body("eth_blockNumber")],
        "eth_getBalance": [_body("eth_getBalance", each, "latest") for each in addresses],
        "eth_call": [_body("eth_call", each, "latest") for each in calls],
        "eth_getLogs": [_body("eth_getLogs", window)],
        "eth_getProof": [_body("eth_getProof", each, [], "latest") for each in addresses],
    }
    for asked in bodies.values():
        answer = json.loads(client.post(asked[0]))
        if "error" in answer:
            raise BenchError(f"{asked[0]!r}: {answer['error']}")
    return bodies


class Subject:
    """A kind of server: how it is started, loaded and asked."""

    def __init__(
        self, name: str, chain_id: int, keys: Sequence[bytes], command: Sequence[str]
    ) -> None:
        self.name = name
        self.chain_id = chain_id
        self.addresses = ["0x" + address_of(key).hex() for key in keys[:ADDRESSES]]
        self.single_key = keys[-1]
        """Of an account that the load leaves alone."""
        self._command = command

    @contextmanager
    def serving(self, *flags: str) -> Iterator[tuple[int, Sequence[int]]]:
        """Run it; yield its port and its processes."""
        with tempfile.TemporaryDirectory(prefix="perpnode-bench-") as directory:
            base, port = Path(directory), free_port()
            place = {"PORT": str(port), "DATA": str(base / "data")}
            command = [place.get(word, word) for word in (*self._command, *flags)]
            with server(command, port, base / "log") as process_id:
                with closing(HttpClient(port)) as client:
                    client.call("eth_blockNumber")
                yield port, [process_id, *children_of(process_id)]

    def singles(self, count: int) -> list[bytes]:
        """Return transfers of one account."""
        to = address_of(self.single_key)
        return [
            _body("eth_sendRawTransaction", "0x" + signed.raw.hex())
            for signed in (
                sign_transfer(self.single_key, nonce, self.chain_id, to) for nonce in range(count)
            )
        ]


@contextmanager
def feeding(port: int, feed: Sequence[Signed], per_s: int) -> Iterator[None]:
    """Send transactions at a steady rate while the block lasts."""
    bodies = [send_body(feed[at : at + FEED_BATCH]) for at in range(0, len(feed), FEED_BATCH)]
    done, client = threading.Event(), HttpClient(port)
    failures: list[str] = []

    def run() -> None:
        due = time.monotonic()
        for body in bodies:
            refused = [each for each in json.loads(client.post(body)) if "error" in each]
            if refused:
                failures.append(str(refused[0]["error"]))
            due += FEED_BATCH / per_s
            if done.wait(max(0.0, due - time.monotonic())):
                return
        failures.append(f"{len(feed)} transactions were not enough: more by --patience")

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        client.close()
    if failures:
        raise BenchError(f"the load: {failures[0]}")


def measure_reads(
    subject: Subject,
    port: int,
    processes: Sequence[int],
    bodies: dict[str, Sequence[bytes]],
    options: argparse.Namespace,
) -> Iterator[Measured]:
    """Yield each method over each number of connections."""
    press: Press = press_with_wrk if shutil.which("wrk") else press_with_python
    idle = _cpu_of(processes, lambda: time.sleep(options.seconds))[1]
    idle_rate = [used / options.seconds for used in idle]
    for method, asked in bodies.items():
        for connections in (1, 32):
            ask = partial(press, port, asked, connections, options.seconds)
            pressed, used = _cpu_of(processes, ask)
            cpu_us = [
                max(0.0, each - rate * pressed.seconds) * 1e6 / pressed.requests
                for each, rate in zip(used, idle_rate, strict=True)
            ]
            rate = pressed.requests / pressed.seconds
            yield Measured(
                subject.name, method, connections, rate, pressed.p50_ms, pressed.p99_ms, cpu_us
            )


def _cpu_of(processes: Sequence[int], work: Callable[[], T]) -> tuple[T, list[float]]:
    """Return what work returns, and the seconds of CPU that each process used meanwhile."""
    before = [usage_of(each).cpu_s for each in processes]
    result = work()
    return result, [
        usage_of(each).cpu_s - then for each, then in zip(processes, before, strict=True)
    ]


def measure_sending(
    subject: Subject, port: int, processes: Sequence[int], bodies: Sequence[bytes], method: str
) -> Measured:
    """Send one by one; where a receipt is waited for, the latency is until it is there."""
    latencies: list[float] = []
    waits = "receipt" in method

    def send() -> None:
        with closing(HttpClient(port)) as client:
            for body in bodies:
                started = time.perf_counter()
                answer = json.loads(client.post(body))
                if "error" in answer:
                    raise BenchError(f"{subject.name}: {answer['error']}")
                while waits and client.call("eth_getTransactionReceipt", answer["result"]) is None:
                    continue
                latencies.append(time.perf_counter() - started)

    _, used = _cpu_of(processes, send)
    return Measured(
        subject.name,
        method,
        1,
        len(latencies) / sum(latencies),
        *_percentiles(latencies),
        [each * 1e6 / len(bodies) for each in used],
    )


def bench_perpnode(options: argparse.Namespace) -> Iterator[Measured]:
    """Measure this node."""
    accounts = options.accounts
    genesis = load_genesis(ROOT / "genesis" / "devnet.json", accounts=accounts)
    plan = plan_orders(genesis, orders=options.load * options.patience, accounts=accounts - 1)
    feed = list(sign_orders(list(plan), genesis.chain_id, workers=os.cpu_count() or 1))
    keys = [private_key("trader", index) for index in range(accounts)]
    view = contract("Exchange").functions["getAccount"]
    with tempfile.TemporaryDirectory(prefix="perpnode-bench-") as directory:
        document = write_genesis(genesis, Path(directory) / "genesis.json")
        command = [sys.executable, "-m", "node", "run", "--role", "sequencer"]
        command += ["--genesis", str(document), "--data-dir", "DATA", "--port", "PORT"]
        subject = Subject("perpnode", genesis.chain_id, keys, command)
        with subject.serving() as (port, processes), closing(HttpClient(port)) as client:
            client.call("anvil_mine", hex(BLOCKS))
            calls = [
                {
                    "to": "0x" + EXCHANGE.hex(),
                    "data": "0x" + view.encode_call(bytes.fromhex(each[2:])).hex(),
                }
                for each in subject.addresses
            ]
            with reporting(genesis, port):
                with feeding(port, feed, options.load):
                    bodies = _bodies(client, subject.addresses, calls, "0x" + EXCHANGE.hex())
                    yield from measure_reads(subject, port, processes, bodies, options)
                singles = subject.singles(options.singles)
                yield measure_sending(subject, port, processes, singles, "eth_sendRawTransaction")
        with subject.serving("--instant") as (port, processes):
            yield measure_sending(
                subject,
                port,
                processes,
                subject.singles(options.singles // 5),
                "to receipt, instant",
            )


def bench_anvil(options: argparse.Namespace, binary: str) -> Iterator[Measured]:
    """Measure anvil."""
    from node.devnet.accounts import ACCOUNTS_PATH, derive_keys  # loads eth-account, 0.6 s

    keys = [pair.private_key for pair in derive_keys(ACCOUNTS_PATH, ANVIL_ACCOUNTS)]
    target = address_of(keys[0])
    feed = [
        sign_transfer(keys[index % (len(keys) - 1)], index // (len(keys) - 1), ANVIL_CHAIN, target)
        for index in range(options.load * options.patience)
    ]
    command = [binary, "--port", "PORT", "--accounts", str(len(keys)), "--silent"]
    subject = Subject("anvil", ANVIL_CHAIN, keys, command)
    pace = ["--block-time", "1", "--gas-limit", str(10**9)]
    with subject.serving(*pace) as (port, processes), closing(HttpClient(port)) as client:
        client.call("anvil_setCode", ANVIL_TARGET, CONSTANT_CODE)
        client.call("anvil_mine", hex(BLOCKS))
        calls = [{"to": ANVIL_TARGET, "data": "0x"}]
        with feeding(port, feed, options.load):
            bodies = _bodies(client, subject.addresses, calls, ANVIL_TARGET)
            yield from measure_reads(subject, port, processes, bodies, options)
        singles = subject.singles(options.singles)
        yield measure_sending(subject, port, processes, singles, "eth_sendRawTransaction")
    with subject.serving() as (port, processes):
        yield measure_sending(
            subject, port, processes, subject.singles(options.singles // 5), "to receipt, instant"
        )


# --- telling --------------------------------------------------------------------------------------


def show(results: Sequence[Measured]) -> None:
    """Print the results as a table, each node beside anvil."""
    out = Console() if sys.stdout.isatty() else Console(width=120)
    table = Table(title="JSON-RPC while the chain makes full blocks")
    for column in ("node", "method"):
        table.add_column(column)
    for column in ("conns", "requests/s", "of anvil", "p50 ms", "p99 ms", "CPU µs each"):
        table.add_column(column, justify="right")
    rates = {
        (each.method, each.connections): each.per_s for each in results if each.node == "anvil"
    }
    for each in results:
        anvil = rates.get((each.method, each.connections))
        table.add_row(
            each.node,
            each.method,
            str(each.connections),
            f"{each.per_s:,.0f}",
            "" if anvil is None else f"{each.per_s / anvil:.2f}",
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            " + ".join(f"{used:.0f}" for used in each.cpu_us),
        )
    out.print(table)
    out.print(
        f"{os.cpu_count()} processors are shared by client, load and servers; "
        "CPU of perpnode is that of core + front"
    )


def parse_options(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make bench ARGS=rpc", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--load", type=int, default=1_400, help="transactions a second meanwhile")
    parser.add_argument("--seconds", type=int, default=2, help="of each measurement")
    parser.add_argument("--singles", type=int, default=1_000, help="sent one by one")
    parser.add_argument("--accounts", type=int, default=500)
    parser.add_argument(
        "--patience", type=int, default=60, help="for how many seconds the load lasts"
    )
    parser.add_argument("--anvil", default="", metavar="PATH", help="npm's or the PATH's if here")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmark."""
    options = parse_options(arguments)
    results: list[Measured] = []
    try:
        with console.status("measuring"):
            results += bench_perpnode(options)
            try:
                binary = find_anvil(options.anvil)
            except BenchError as missing:
                console.print(f"without anvil: {missing}")
            else:
                results += bench_anvil(options, binary)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps([each._asdict() for each in results], indent=2))
    else:
        show(results)
    return 0
