"""`make abuse`: what 200 hostile connections do to a chain and to an honest client beside them.

A devnet of its own trades as always. One client of good manners polls, reads and sends a transfer
a second; how long it waits, and how regular blocks are, is measured without and then with abuse:
garbage, half requests that never end, bodies too large and too deep, batches of nonsense, forged
and stale transactions, the dearest reads there are, floods of filters, subscribers that do not
read. Each hostile connection acts, pauses a moment, and goes on, from a process of its own.

    make abuse ARGS='--seconds 600 --connections 200'

Exit status 1 if the honest client was refused or unanswered once, or if the node ended.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random  # noqa: TID251 (a tool that plays people; no validator runs it)
from typing import Any, NamedTuple

from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.devnet.accounts import ACCOUNTS_PATH, derive_keys
from node.units import Address, Wei

ROOT = Path(__file__).parents[1]
PAUSE_S = 0.1
"""Between two acts of one hostile connection."""
ACT_S_MAX = 5.0
"""So long it waits for an answer before it goes on."""
POLL_S = 0.05
OPEN_S_MAX = 120
CHAIN_ID = 20260119
"""The devnet's."""
GWEI = 10**9
MEGABYTE = b" " * 1_000_000

console = Console(stderr=True)


class Samples(NamedTuple):
    """What the honest client saw in one period."""

    waits_ms: dict[str, list[float]]
    """By what it asked for."""
    intervals_ms: list[float]
    """Between two heads, by the wall clock."""
    refusals: list[str]


# --- the honest client ----------------------------------------------------------------------------


class Honest:
    """Polls a block number, reads a book and a balance, sends a transfer and waits for it."""

    def __init__(self, port: int, private_key: bytes, address: Address) -> None:
        self._port = port
        self._key = private_key
        self._address = "0x" + address.hex()
        self._target = address

    async def observe(self, seconds: float) -> Samples:
        """Do so for a while."""
        samples = Samples({}, [], [])
        until = time.monotonic() + seconds
        async with connect(f"ws://127.0.0.1:{self._port}", max_size=None) as heads:
            await heads.send(_call("eth_subscribe", "newHeads"))
            await heads.recv()
            hearing = asyncio.create_task(self._hear(heads, samples))
            try:
                while time.monotonic() < until:
                    await self._round(samples)
            finally:
                hearing.cancel()
                await asyncio.gather(hearing, return_exceptions=True)
        return samples

    async def _hear(self, heads: Any, samples: Samples) -> None:
        last = None
        async for _ in heads:
            now = time.monotonic()
            if last is not None:
                samples.intervals_ms.append((now - last) * 1_000)
            last = now

    async def _round(self, samples: Samples) -> None:
        """A second or so of an honest day."""
        for _ in range(10):
            await self._ask(samples, "eth_blockNumber")
            await self._ask(samples, "eth_getBalance", self._address, "latest")
            await self._ask(samples, "perp_getOrderBook", 1)
            await asyncio.sleep(POLL_S)
        nonce = await self._ask(samples, "eth_getTransactionCount", self._address, "pending")
        if nonce is None:
            return
        raw = sign_transaction(_transfer(int(nonce, 16), self._target), self._key).raw
        began = time.monotonic()
        tx_hash = await self._ask(samples, "eth_sendRawTransaction", "0x" + raw.hex())
        while tx_hash is not None and time.monotonic() < began + 30:
            if await self._ask(samples, "eth_getTransactionReceipt", tx_hash):
                _note(samples, "send to receipt", began)
                return
            await asyncio.sleep(POLL_S)
        samples.refusals.append("a transfer did not come into a block within 30 s")

    async def _ask(self, samples: Samples, method: str, *params: object) -> Any:
        began = time.monotonic()
        try:
            answer = await asyncio.wait_for(_post(self._port, _call(method, *params)), 30)
        except (OSError, TimeoutError, ValueError) as error:
            samples.refusals.append(f"{method}: {type(error).__name__} {error}")
            return None
        _note(samples, method, began)
        if "error" in answer:
            samples.refusals.append(f"{method}: {answer['error']}")
        return answer.get("result")


def _note(samples: Samples, what: str, began: float) -> None:
    samples.waits_ms.setdefault(what, []).append((time.monotonic() - began) * 1_000)


def _call(method: str, *params: object) -> bytes:
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()


def _transfer(nonce: int, to: Address) -> UnsignedTransaction:
    return UnsignedTransaction(
        EIP_1559, CHAIN_ID, nonce, Wei(0), Wei(2 * GWEI), 21_000, to, Wei(1), b"", ()
    )


def _request(body: bytes) -> bytes:
    head = f"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
    return head.encode() + b"Content-Type: application/json\r\n\r\n" + body


async def _post(port: int, body: bytes) -> Any:
    """Return the decoded answer to one request on a connection of its own."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**26)
    try:
        writer.write(_request(body))
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0])
        return json.loads(await reader.readexactly(length))
    except asyncio.IncompleteReadError as error:
        raise ConnectionResetError("cut off") from error
    finally:
        writer.close()


# --- the hostile ones -----------------------------------------------------------------------------


Act = Callable[[int, Random], Awaitable[None]]


async def send_garbage(port: int, random: Random) -> None:
    """Bytes that are no HTTP, or half of it, and a connection that breaks."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(random.randbytes(random.randrange(2_000)))
    with suppress(OSError):
        await writer.drain()
    if random.random() < 0.5:  # a reset instead of an end
        option = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(1, 13, option)  # SOL_SOCKET, SO_LINGER
    writer.close()


async def send_half(port: int, random: Random) -> None:
    """A head or a body that stops in the middle, on a connection that stays."""
    whole = _request(_call("eth_blockNumber"))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(whole[: random.randrange(1, len(whole))])
    await asyncio.sleep(ACT_S_MAX)
    writer.close()


async def send_nonsense(port: int, random: Random) -> None:
    """JSON of every wrong shape."""
    depth = random.randrange(1, 100_000)
    body = random.choice(
        [
            b"[" * depth + b"]" * depth,
            b'{"jsonrpc":"2.0","id":1,"method":"eth_call","params":' + b"[" * depth,
            b'{"jsonrpc":"2.0","id":' + b"9" * 10_000 + b',"method":"eth_chainId"}',
            b'{"jsonrpc":"2.0","id":{},"method":7,"params":"x"}',
            b'{"method":"eth_chainId","method":"evm_revert","jsonrpc":"2.0","id":1}',
            b"[" + b",".join([_call("eth_nothing", 1)] * 1_000) + b"]",
            b"[" + b",".join([b"null"] * 100_000) + b"]",
            _call("eth_getBalance", "0x" + "f" * 100_000, 10**300),
            _call("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0x" + "f" * 60}),
            random.randbytes(5_000),
        ]
    )
    await _answered(port, body)


async def send_too_much(port: int, random: Random) -> None:
    """A body larger than any may be."""
    await _answered(port, b'{"jsonrpc":"2.0","id":1,"params":"' + MEGABYTE * 6)


async def send_transactions(port: int, random: Random) -> None:
    """Forged, stale and unpaid transactions."""
    key = random.randbytes(32)
    unsigned = _transfer(random.randrange(2**40), Address(random.randbytes(20)))
    unsigned = unsigned._replace(chain_id=random.choice([1, unsigned.chain_id]))
    raw = bytearray(sign_transaction(unsigned, key).raw)
    if random.random() < 0.5:
        raw[random.randrange(len(raw))] ^= 1 << random.randrange(8)
    calls = [_call("eth_sendRawTransaction", "0x" + raw.hex())] * random.choice([1, 100])
    await _answered(port, b"[" + b",".join(calls) + b"]")


async def read_dearly(port: int, random: Random) -> None:
    """The dearest things that anybody may ask for."""
    keys = ["0x" + random.randbytes(32).hex() for _ in range(1_000)]
    reads: list[tuple[str, list[Any]]] = [
        ("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]),
        ("eth_getProof", ["0x0000000000000000000000000000000000001002", keys, "latest"]),
        ("eth_feeHistory", [1_024, "latest", list(range(1, 100))]),
        ("eth_getBlockByNumber", ["latest", True]),
        ("perp_getOrderBook", [1, 1_000]),
        ("perp_getMarkets", ["0x1"]),
        ("txpool_content", []),
        ("rpc.discover", []),
    ]
    method, params = random.choice(reads)
    await _answered(port, _call(method, *params))


async def flood_filters(port: int, random: Random) -> None:
    """More filters than anybody needs, and none of them asked again."""
    calls = [_call("eth_newFilter", {}), _call("eth_newPendingTransactionFilter")] * 100
    await _answered(port, b"[" + b",".join(calls) + b"]")


async def listen_and_not_read(port: int, random: Random) -> None:
    """A WebSocket that subscribes to all there is and then reads nothing."""
    async with connect(f"ws://127.0.0.1:{port}", max_queue=1, ping_interval=None) as socket:
        for kind in ("newHeads", "logs", "newPendingTransactions"):
            await socket.send(_call("eth_subscribe", kind))
        await asyncio.sleep(random.uniform(1, 3 * ACT_S_MAX))


ACTS: Sequence[Act] = (
    send_garbage,
    send_half,
    send_nonsense,
    send_too_much,
    send_transactions,
    read_dearly,
    flood_filters,
    listen_and_not_read,
)


async def _answered(port: int, body: bytes) -> None:
    """Send a body, and insist on nothing but that an answer, if there is one, is well-formed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_request(body))
        await reader.read(100_000)
    finally:
        writer.close()


async def abuse(port: int, connections: int, seconds: float, seed: int) -> Counter[str]:
    """Abuse a node for a while; return how often each act was done."""
    done: Counter[str] = Counter()
    until = time.monotonic() + seconds

    async def be_hostile(number: int) -> None:
        random = Random(f"{seed} {number}")
        while time.monotonic() < until:
            act = random.choice(ACTS)
            with suppress(OSError, TimeoutError, WebSocketException, EOFError):
                async with asyncio.timeout(4 * ACT_S_MAX):
                    await act(port, random)
            done[act.__name__] += 1
            await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(be_hostile(number) for number in range(connections)))
    return done


# --- the run --------------------------------------------------------------------------------------


async def run(arguments: argparse.Namespace, port: int, node: subprocess.Popen[bytes]) -> int:
    """Measure without and with abuse, and print both; return the exit status."""
    me = derive_keys(ACCOUNTS_PATH, 10)[-1]
    honest = Honest(port, me.private_key, me.address)
    quiet_s = max(5.0, arguments.seconds / 10)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task("without abuse", total=quiet_s + arguments.seconds)
        ticking = asyncio.create_task(_tick(progress, task))
        quiet = await honest.observe(quiet_s)
        progress.update(task, description="under abuse")
        words = [str(port), str(arguments.connections), str(arguments.seconds), str(arguments.seed)]
        hostile = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tools.abuse", "--hostile", *words),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
        )
        abused = await honest.observe(arguments.seconds)
        output, _ = await hostile.communicate()
        after = await honest.observe(2)
        ticking.cancel()
    acts = Counter(json.loads(output))
    lives = node.poll() is None
    _report(arguments, quiet, abused, acts)
    refusals = [*quiet.refusals, *abused.refusals, *after.refusals]
    for refusal, count in Counter(refusals).most_common(10):
        console.print(f"[red]honest client: {refusal} ({count} times)", highlight=False)
    if not lives:
        console.print(f"[red]the node ended with {node.returncode}")
    return int(bool(refusals) or not lives)


async def _tick(progress: Progress, task: Any) -> None:
    while True:
        await asyncio.sleep(1)
        progress.advance(task, 1)


def _report(
    arguments: argparse.Namespace, quiet: Samples, abused: Samples, acts: Counter[str]
) -> None:
    rows = [("block interval", quiet.intervals_ms, abused.intervals_ms)]
    rows += [(what, waits, abused.waits_ms.get(what, [])) for what, waits in quiet.waits_ms.items()]
    if arguments.json:
        numbers = {
            what: {"quiet_ms": _percentiles(before), "abused_ms": _percentiles(under)}
            for what, before, under in rows
        }
        print(json.dumps({"acts": acts, "connections": arguments.connections, "waits": numbers}))
        return
    table = Table(caption="milliseconds; without abuse | under abuse")
    for heading in ("", "p50", "p99", "max", "p50", "p99", "max"):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for what, before, under in rows:
        cells = [*_percentiles(before).values(), *_percentiles(under).values()]
        table.add_row(what, *(f"{each:.1f}" for each in cells))
    print_to = Console()
    print_to.print(table)
    total = sum(acts.values())
    print_to.print(
        f"{total:,} acts of {arguments.connections} connections in {arguments.seconds:g} s: "
        + ", ".join(f"{name} {count:,}" for name, count in sorted(acts.items())),
        highlight=False,
    )


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    """Return median, 99th percentile and maximum; NaN where there is nothing."""
    ranked = sorted(values) or [float("nan")]
    last = len(ranked) - 1
    return {"p50": ranked[last // 2], "p99": ranked[last * 99 // 100], "max": ranked[last]}


def main() -> int:
    """Start a devnet, abuse it, and say what came of it."""
    parser = argparse.ArgumentParser(prog="make abuse", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--connections", type=int, default=200)
    parser.add_argument("--validators", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--hostile", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.hostile:
        port, connections, seconds, seed = arguments.hostile
        acts = asyncio.run(abuse(int(port), int(connections), float(seconds), int(seed)))
        print(json.dumps(acts))
        return 0
    with tempfile.TemporaryDirectory(prefix="perpnode-abuse-") as directory:
        port = 20_000 + os.getpid() % 20_000
        command = [sys.executable, "-m", "node", "devnet", "--data-dir", f"{directory}/data"]
        command += ["--port", str(port), "--validators", str(arguments.validators)]
        with Path(directory, "log").open("wb") as log:
            node = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)
        try:
            _wait_until_open(port, node, Path(directory, "log"))
            return asyncio.run(run(arguments, port, node))
        finally:
            node.terminate()
            node.wait()


def _wait_until_open(port: int, node: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + OPEN_S_MAX
    while time.monotonic() < until and node.poll() is None:
        with suppress(OSError, ValueError):
            markets = asyncio.run(_post(port, _call("perp_getMarkets")))["result"]
            if all(each["mode"] == "OPEN" for each in markets):
                return
        time.sleep(0.5)
    raise SystemExit(f"abuse: the devnet did not open: {log.read_text()[-1_000:]}")


if __name__ == "__main__":
    sys.exit(main())
