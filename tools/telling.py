"""How a story with real processes is told: lines as it happens, promises, a table at the end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.devnet.actor import Action
from node.devnet.client import Client
from node.devnet.keypair import Keypair
from node.units import Wei

ROOT = Path(__file__).parents[1]
POLL_S = 0.2
WAIT_S = 120.0
T = TypeVar("T")


class Promise(NamedTuple):
    """Something that must hold, and whether it did."""

    what: str
    holds: bool
    found: str


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


class Telling:
    """What a story is told with: a devnet, the governance script, and what must hold."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.promises: list[Promise] = []
        self._began = time.monotonic()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = path / "data"
        self._devnet: subprocess.Popen[bytes] | None = None

    def say(self, text: str) -> None:
        """Print what happened, and when."""
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def promise(self, what: str, holds: bool, found: object = "") -> None:
        """Note whether a promise held."""
        self.promises.append(Promise(what, holds, str(found)))
        if not holds:
            self.say(f"BROKEN: {what}: {found}")

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

    def stop(self) -> int:
        """Stop every process as Ctrl-C does; return the exit status."""
        assert self._devnet is not None, "started before"
        if self._devnet.poll() is None:
            self._devnet.send_signal(signal.SIGINT)
        return self._devnet.wait(60)

    def kill(self) -> None:
        """End what is left, whatever happened."""
        if self._devnet is not None and self._devnet.poll() is None:
            self._devnet.send_signal(signal.SIGINT)
            try:
                self._devnet.wait(30)
            except subprocess.TimeoutExpired:
                self._devnet.kill()

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
        self.say(f"rollback {arguments[0]}: {lines[-1] if lines else ''}")
        for line in lines if echo else ():
            print(f"            {line}", flush=True)
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

    async def mined(self, client: Client, hashes: list[str]) -> None:
        """Wait until blocks have these transactions; none may have reverted."""
        for tx_hash in hashes:

            async def look(tx_hash: str = tx_hash) -> Any:
                return await client.request("eth_getTransactionReceipt", tx_hash)

            receipt = await self.until(client, look, f"receipt of {tx_hash}")
            if receipt["status"] != "0x1":
                raise Broken(f"transaction {tx_hash} reverted: {receipt.get('revertReason')}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def position_of(view: dict[str, Any], market: int) -> int:
    """Return an account's position in a market, in lots."""
    return sum(each["size"]["lots"] for each in view["positions"] if each["market"] == market)


def positions_of(view: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Return an account's positions: market, lots and entry value."""
    return [
        (each["market"], each["size"]["lots"], each["entryValue"]["atoms"])
        for each in view["positions"]
    ]


def verify_database(place: Path) -> subprocess.CompletedProcess[str]:
    """Run `perpnode verify` on a stopped node's directory."""
    return subprocess.run(
        [sys.executable, "-m", "node", "verify", "--data-dir", str(place), "--json"],
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
