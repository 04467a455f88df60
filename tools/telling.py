"""How a story with real processes is told: lines as it happens, promises, a table at the end."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.devnet.actor import Action
from node.devnet.client import Client
from node.devnet.keypair import Keypair
from node.errors import PerpnodeError
from node.system.revert import describe_revert
from node.units import Wei

ROOT = Path(__file__).parents[1]
PORT_MIN, PORT_MAX = 10_000, 32_000
PORTS = 16
"""How many a devnet may take in a row."""
PORT_TRIES = 100
POLL_S = 0.2
WAIT_S = 120.0
T = TypeVar("T")


class Promise(NamedTuple):
    """Something that must hold, and whether it did."""

    what: str
    holds: bool
    found: str


class Event(NamedTuple):
    """Something that happened, and how many seconds after the beginning."""

    at_s: float
    text: str


class Row(NamedTuple):
    """A line of a table."""

    name: str
    amounts: tuple[int, ...]
    """Atoms, one for each column."""


class Table(NamedTuple):
    """Money by name, every column with its sum."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]

    def sums(self) -> Row:
        """Return the last line."""
        return Row("sum", tuple(map(sum, zip(*(row.amounts for row in self.rows), strict=True))))

    def render(self) -> str:
        """Return the table as text, amounts in USDC."""
        rows = (*self.rows, self.sums())
        lines = [
            ("", *self.columns),
            *((each.name, *map(show_usdc, each.amounts)) for each in rows),
        ]
        first = max(len(line[0]) for line in lines)
        widths = [max(map(len, column)) for column in list(zip(*lines, strict=True))[1:]]
        shown = [
            "  ".join([line[0].ljust(first), *map(str.rjust, line[1:], widths)]).rstrip()
            for line in lines
        ]
        rule = "-" * max(map(len, shown))
        return "\n".join([f"{self.title}, USDC", *shown[:-1], rule, shown[-1]])


class Broken(Exception):
    """The story can't go on."""


class Trader:
    """Somebody with a key, who signs with the nonces he is told."""

    def __init__(self, name: str, keypair: Keypair, chain_id: int) -> None:
        self.name = name
        self.address = "0x" + keypair.address.hex()
        self._key = keypair.private_key
        self._chain_id = chain_id

    async def sign(self, client: Client, *actions: Action, ahead: int = 0) -> list[str]:
        """Sign actions with the next nonces, `ahead` of them left out; nothing is sent."""
        count = await client.request("eth_getTransactionCount", self.address, "pending")
        first = int(count, 16) + ahead
        return [self._sign(each, first + index) for index, each in enumerate(actions)]

    async def send(self, client: Client, *actions: Action) -> list[str]:
        """Send actions in order; return their hashes."""
        raws = await self.sign(client, *actions)
        return [await client.request("eth_sendRawTransaction", raw) for raw in raws]

    def _sign(self, each: Action, nonce: int) -> str:
        unsigned = UnsignedTransaction(
            type=EIP_1559,
            chain_id=self._chain_id,
            nonce=nonce,
            max_priority_fee=Wei(0),
            max_fee=Wei(2 * 10**9),
            gas_limit=200_000,
            to=each.to,
            value=Wei(0),
            data=each.data,
            access_list=(),
        )
        return "0x" + sign_transaction(unsigned, self._key).raw.hex()


class Telling(ABC):
    """What a story is told with: a devnet, the governance script, and what must hold."""

    def __init__(self, path: Path, *, is_silent: bool = False) -> None:
        self.path = path
        self.promises: list[Promise] = []
        self.events: list[Event] = []
        self.tables: list[Table] = []
        self._is_silent = is_silent
        self._began = time.monotonic()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = path / "data"
        self._devnet: subprocess.Popen[bytes] | None = None

    @abstractmethod
    async def tell(self) -> None:
        """Tell everything in order."""

    def say(self, text: str, *details: str) -> None:
        """Print what happened, and when."""
        event = Event(round(time.monotonic() - self._began, 1), "\n".join((text, *details)))
        self.events.append(event)
        if not self._is_silent:
            print(f"{event.at_s:6.1f} s  {text}", flush=True)
            for line in details:
                print(f"            {line}", flush=True)

    def promise(self, what: str, holds: bool, found: object = "") -> None:
        """Note whether a promise held."""
        self.promises.append(Promise(what, holds, str(found)))
        if not holds:
            self.say(f"BROKEN: {what}: {found}")

    def show_table(self, table: Table) -> None:
        """Print a table, and keep it for the end."""
        self.tables.append(table)
        self.say(*table.render().split("\n"))

    def table(self) -> str:
        """Return every promise and whether it held."""
        width = max(len(each.what) for each in self.promises)
        lines = [
            f"  {'ok    ' if each.holds else 'BROKEN'}  {each.what.ljust(width)}  {each.found}"
            for each in self.promises
        ]
        return "\n".join(lines)

    def start(self, *flags: str) -> None:
        """Start a devnet, or start it again where it was."""
        command = [sys.executable, "-m", "node", "devnet", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), *flags]
        with (self.path / "devnet.log").open("ab") as log:
            self._devnet = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=ROOT,
                start_new_session=True,
            )

    @property
    def is_started(self) -> bool:
        """Whether the devnet was started, and not stopped since."""
        return self._devnet is not None

    def stop(self) -> int:
        """Stop every process as Ctrl-C does; return the exit status."""
        assert self._devnet is not None, "started before"
        devnet, self._devnet = self._devnet, None
        if devnet.poll() is None:
            devnet.send_signal(signal.SIGINT)
        return devnet.wait(60)

    def kill(self) -> None:
        """End what is left, whatever happened."""
        if self._devnet is not None and self._devnet.poll() is None:
            self._devnet.send_signal(signal.SIGINT)
            try:
                self._devnet.wait(30)
            except subprocess.TimeoutExpired:
                self._devnet.kill()

    def devnet_end(self) -> str:
        """Return what the devnet said last if it ended by itself, else nothing."""
        if self._devnet is None or self._devnet.poll() is None:
            return ""
        words = (self.path / "devnet.log").read_text(errors="replace").splitlines()
        return f"the devnet ended: {words[-1] if words else 'it said nothing'}; "

    def rollback(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the governance script, a process of its own."""
        return subprocess.run(
            [sys.executable, str(ROOT / "tools" / "rollback.py"), *arguments, "--rpc", self.url],
            capture_output=True,
            text=True,
            cwd=ROOT,
            check=False,
        )

    async def step(self, *arguments: str, echo: bool = False) -> str:
        """Run a step of the governance script that must go well; return what it said."""
        done = await asyncio.to_thread(self.rollback, *arguments)
        if done.returncode != 0:
            raise Broken(f"rollback {' '.join(arguments)}: {done.stderr.strip()}")
        lines = done.stdout.splitlines()
        text = f"rollback {arguments[0]}: {lines[-1] if lines else ''}"
        self.say(text, *(lines if echo else ()))
        return done.stdout

    async def refused(self, why: str, *arguments: str) -> None:
        """Run a step that must be refused, with these words in its one line."""
        done = await asyncio.to_thread(self.rollback, *arguments)
        said = done.stderr.strip()
        holds = done.returncode == 1 and why in said and "\n" not in said
        self.promise(f"refused: {arguments[0]}, {why}", holds, said[:100])

    async def until(self, client: Client, look: Callable[[], Awaitable[T | None]], what: str) -> T:
        """Return the first result of `look` that is one."""
        deadline = time.monotonic() + WAIT_S
        while time.monotonic() < deadline:
            found = await look()
            if found is not None and found is not False:
                return found
            if self._devnet is not None and self._devnet.poll() is not None:
                raise Broken(f"the devnet ended: see {self.path / 'devnet.log'}")
            await asyncio.sleep(POLL_S)
        status = await client.request("perp_status")
        raise Broken(f"{what}: not within {WAIT_S:g} s; the node is {status}")

    async def account(self, client: Client, who: Trader) -> dict[str, Any]:
        """Return somebody's margin account."""
        view: dict[str, Any] = await client.request("perp_getAccount", who.address)
        return view

    async def receipt(self, client: Client, tx_hash: str) -> dict[str, Any]:
        """Return a transaction's receipt, once a block has it."""

        async def look() -> Any:
            return await client.request("eth_getTransactionReceipt", tx_hash)

        found: dict[str, Any] = await self.until(client, look, f"receipt of {tx_hash}")
        return found

    async def mined(self, client: Client, hashes: list[str]) -> None:
        """Wait until blocks have these transactions; none may have reverted."""
        for tx_hash in hashes:
            receipt = await self.receipt(client, tx_hash)
            if receipt["status"] != "0x1":
                raise Broken(f"transaction {tx_hash} reverted: {receipt.get('revertReason')}")


def tell_whole(telling: Telling) -> str:
    """Tell a story to its end; return in a line what did not hold, nothing if all did."""
    failure = ""
    try:
        asyncio.run(telling.tell())
    except (Broken, PerpnodeError) as error:
        failure = f"{telling.devnet_end()}{error}"
        telling.say(f"broken off: {failure}")
    finally:
        telling.kill()
    held = bool(telling.promises) and all(each.holds for each in telling.promises)
    return failure or ("" if held else "a promise did not hold")


def conclude(
    telling: Telling, name: str, failure: str, *, keeps: bool, as_json: bool = False
) -> None:
    """Print how a story ended and clear up; exit status 0 only if every promise held."""
    is_kept = bool(failure) or keeps
    if not is_kept:
        shutil.rmtree(telling.path)
    if as_json:
        print(render_telling(telling, failure))
    elif telling.promises:
        print(f"\n{telling.table()}\n")
    if is_kept:
        print(f"everything is kept in {telling.path}", file=sys.stderr if as_json else sys.stdout)
    if failure:
        print(f"{name}: {failure}", file=sys.stderr)
        sys.exit(1)
    if not as_json:
        print(f"every one of {len(telling.promises)} promises held")


def render_telling(telling: Telling, failure: str) -> str:
    """Return how a story went, for programs."""
    return json.dumps(
        {
            "held": not failure,
            "failure": failure,
            "events": [each._asdict() for each in telling.events],
            "tables": [
                {
                    "title": table.title,
                    "columns": table.columns,
                    "rows": [row._asdict() for row in table.rows],
                    "sums": table.sums().amounts,
                }
                for table in telling.tables
            ],
            "promises": [each._asdict() for each in telling.promises],
        },
        indent=2,
    )


def show_usdc(atoms: int) -> str:
    """Return atoms as USDC, to the last one."""
    whole, part = divmod(abs(atoms), 10**6)
    return f"{'-' if atoms < 0 else ''}{whole:,}.{part:06}"


def _free_port() -> int:
    """Return a port that is free, as are those after it, which the devnet's processes take.

    It lies below those that an operating system gives to outgoing connections: one of them would
    take a port between our look and its use.
    """
    for _ in range(PORT_TRIES):
        first = PORT_MIN + secrets.randbelow(PORT_MAX - PORT_MIN - PORTS)
        with ExitStack() as taken, suppress(OSError):
            for port in range(first, first + PORTS):
                probe = taken.enter_context(socket.socket())
                probe.bind(("127.0.0.1", port))
            return first
    raise Broken(f"no {PORTS} ports in a row are free in {PORT_TRIES} tries")


def describe_outcome(receipt: dict[str, Any]) -> str:
    """Return the name of the error with which a transaction was refused, or "accepted"."""
    if receipt["status"] == "0x1":
        return "accepted"
    words = describe_revert(bytes.fromhex(receipt["revertReason"][2:])) or "an unknown error"
    return words.partition("(")[0]


def position_of(view: dict[str, Any], market: int) -> int:
    """Return an account's position in a market, in lots."""
    return sum(each["size"]["lots"] for each in view["positions"] if each["market"] == market)


def positions_of(view: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Return an account's positions: market, lots and entry value."""
    return [
        (each["market"], each["size"]["lots"], each["entryValue"]["atoms"])
        for each in view["positions"]
    ]


def run_perpnode(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `perpnode`, a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "node", *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def sum_balances(place: Path) -> int:
    """Return the sum of all margin balances of a stopped node."""
    from node.snapshot.offline import open_chain

    with open_chain(place) as blockchain:
        ledger = blockchain.ledger_after(blockchain.head.block)
        return sum(account.balance for _, account in ledger.all_accounts())
