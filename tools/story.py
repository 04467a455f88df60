"""The mission's story, end to end, with real processes: break a chain, leave the branch, go on.

A devnet with four validators trades. The funding index of an old market becomes zero in the running
sequencer, accounts are liquidated, validators refuse, sealing stops. The council halts, reads a
plan's numbers, signs with separate keys, forks; the chain reopens, trades, and every database is
executed again. Each line is something that happened; the table at the end says which promises held,
and so does the exit status.

    make story                              python -m tools.story --keep
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from node.chain.genesis import GenesisMarket, read_genesis, render_genesis
from node.chain.transaction import EIP_1559, UnsignedTransaction, sign_transaction
from node.devnet.accounts import ACCOUNTS_PATH, derive_keys
from node.devnet.actor import Action, action
from node.devnet.client import Client, connect
from node.devnet.keyfile import make_key_file
from node.devnet.keypair import Keypair
from node.devnet.template import TEMPLATE
from node.errors import NodeUnreachable, OperatorError, PerpnodeError, RequestRefused
from node.governance.council import Council
from node.perp.account import EXCHANGE
from node.perp.order import TimeInForce, TriggerKind
from node.units import DurationMs, FundingIndex, Wei

ROOT = Path(__file__).parents[1]
MARKET = 1
MEMBERS = 5
THRESHOLD = 3
INTERVAL = 20
"""Blocks between snapshots."""
BLOCK_TIME = "0.3"
PRICE = 93_000
"""USD, about where the simulated price begins: the genesis funding index is made of it."""
USDC = 10**6
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


class Damage(NamedTuple):
    """What the wrong number did, and what must not come back after the fork."""

    sent: list[str]
    """Hashes of transactions in blocks that the fork undoes."""
    raws: list[str]
    """These transactions, and some that were signed before the fork and never sent."""
    victims: list[str]
    """Who was liquidated."""


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


def order(size: int, price: int, tif: TimeInForce = TimeInForce.GTC) -> Action:
    """Return a limit order."""
    return action(EXCHANGE, "placeOrder", MARKET, size, price, tif, False)


def trigger(size: int, price: int, kind: TriggerKind) -> Action:
    """Return a take-profit or a stop-loss."""
    return action(EXCHANGE, "placeTrigger", MARKET, size, price, kind)


def deposit(usdc: int) -> Action:
    """Return a deposit."""
    return action(EXCHANGE, "deposit", usdc * USDC)


class Story:
    """One telling."""

    def __init__(self, path: Path, *, bots: int) -> None:
        self.path = path
        self.promises: list[Promise] = []
        self._bots = bots
        self._began = time.monotonic()
        self.port = _free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data_dir = path / "data"
        self.keys = [path / f"member-{number}.json" for number in range(1, MEMBERS + 1)]
        self._devnet: subprocess.Popen[bytes] | None = None

    # --- telling ---------------------------------------------------------------------------------

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

    # --- processes -------------------------------------------------------------------------------

    def write_genesis(self) -> Path:
        """Write the genesis of an old chain with a council of five."""
        members = tuple(sorted(make_key_file(each).address for each in self.keys))
        template = read_genesis(TEMPLATE)
        chain = template.chain._replace(
            gap_ms_max=DurationMs(15_000),
            confirm_ms=DurationMs(1_000),
            reopen_ms=DurationMs(1_500),
            grace_ms=DurationMs(1_000),
            withdrawal_gate_ms=DurationMs(1_000),
        )
        markets = tuple(
            _grown_old(each) if each.id == MARKET else each for each in template.markets
        )
        genesis = template._replace(
            council=Council(members, THRESHOLD), chain=chain, markets=markets
        )
        path = self.path / "genesis.json"
        path.write_text(render_genesis(genesis), encoding="utf-8")
        return path

    def start(self, genesis: Path | None = None) -> None:
        """Start the devnet; without a genesis document it goes on where it was."""
        command = [sys.executable, "-m", "node", "devnet", "--data-dir", str(self.data_dir)]
        command += ["--port", str(self.port), "--block-time", BLOCK_TIME, "--faults"]
        command += ["--snapshot-interval", str(INTERVAL)]
        if genesis is not None:
            command += ["--genesis", str(genesis), "--validators", "4", "--accounts", "10"]
            command += ["--bots", str(self._bots), "--prices", "sim"]
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

    # --- the chapters ----------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell everything in order."""
        genesis = self.write_genesis()
        self.start(genesis)
        self.say(f"devnet with four validators, three reporters, {self._bots} bots at {self.url}")
        chain_id = read_genesis(genesis).chain_id
        names = ["alice", "bob", "carol", "dave", "erin"]
        keypairs = derive_keys(ACCOUNTS_PATH, len(names))
        people = {
            name: Trader(name, keypair, chain_id)
            for name, keypair in zip(names, keypairs, strict=True)
        }
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self._wait_open(client)
            await self._trade(client, people)
            before = await self._wait_snapshot(client, people)
            damage = await self._break(client, people)
            await self._halt(client)
            await self._fork(client)
            await self._look(client, people, before, damage)
            await self._trade_again(client, people)
        await self._verify()

    async def _wait_open(self, client: Client) -> None:
        async def look() -> Any:
            markets = await client.request("perp_getMarkets")
            return markets if all(each["mode"] == "OPEN" for each in markets) else None

        markets = await self.until(client, look, "every market OPEN")
        found = markets[0]
        index = found["funding"]["index"]["decimal"]
        self.say(f"{found['symbol']} is OPEN at {found['mark']['decimal']}, funding index {index}")
        value = found["mark"]["ticks"] * found["k"]
        share = found["funding"]["index"]["nanoAtoms"] * 100 // (value * 10**9)
        self.promise(
            "the funding index is that of an old market",
            share >= 10,
            f"{share} % of the price per lot",
        )

    async def _mark(self, client: Client) -> int:
        markets = await client.request("perp_getMarkets")
        mark: int = markets[0]["mark"]["ticks"]
        return mark

    async def _trade(self, client: Client, people: dict[str, Trader]) -> None:
        alice, bob, carol, dave = (people[name] for name in ("alice", "bob", "carol", "dave"))
        for who, amount in ((alice, 200_000), (bob, 18_000), (carol, 600_000), (dave, 13_500)):
            await self._mined(client, await who.send(client, deposit(amount)))
        mark = await self._mark(client)
        ask, bid = mark + mark // 500, mark - mark // 500
        await self._mined(
            client,
            await carol.send(
                client, order(-40_000, ask), order(45_000, bid), order(9_000, bid - 500)
            ),
        )
        far, near = mark // 10, mark // 12
        trades = [
            (alice, order(20_000, ask + 200, TimeInForce.IOC), -20_000, mark - far, mark + near),
            (bob, order(-20_000, bid - 200, TimeInForce.IOC), 20_000, mark + far, mark - near),
            (dave, order(-15_000, bid - 200, TimeInForce.IOC), 15_000, mark + far, mark - near),
        ]
        for who, taking, closing, stop, profit in trades:
            hashes = await who.send(client, taking)
            await self._mined(client, hashes)
            hashes = await who.send(
                client,
                trigger(closing, stop, TriggerKind.STOP_LOSS),
                trigger(closing, profit, TriggerKind.TAKE_PROFIT),
            )
            await self._mined(client, hashes)
        for name in ("alice", "bob", "dave"):
            view = await self._account(client, people[name])
            self.say(
                f"{name}: {position_of(view)} lots, equity {view['equity']['decimal']} USDC, "
                f"{len(view['triggers'])} TP/SL"
            )

    async def _wait_snapshot(
        self, client: Client, people: dict[str, Trader]
    ) -> dict[str, dict[str, Any]]:
        """Wait for a certified snapshot of all that was traded; return everybody as of it."""
        head = int(await client.request("eth_blockNumber"), 16)

        async def look() -> Any:
            status = await client.request("perp_status")
            in_turn = 2 <= status["latest"] % INTERVAL <= INTERVAL // 2
            return status if status["finalized"] >= head and in_turn else None

        status = await self.until(client, look, "a certified snapshot")
        height = status["finalized"]
        self.say(f"snapshot of block {height} is certified by the validators: finalized")
        views = {}
        for name, who in people.items():
            views[name] = await client.request("perp_getAccount", who.address, hex(height))
        return views

    async def _break(self, client: Client, people: dict[str, Trader]) -> Damage:
        """Set the funding index to zero between two blocks, as orders come in."""
        alice, carol, erin = (people[name] for name in ("alice", "carol", "erin"))
        mark = await self._mark(client)
        raws = await alice.sign(client, order(-500, mark + mark // 20))
        raws += await carol.sign(client, order(700, mark - mark // 20))
        unsent = await erin.sign(client, deposit(1_000), order(100, mark))
        unsent += await alice.sign(client, order(-400, mark + mark // 20), ahead=1)
        sent = [await client.request("eth_sendRawTransaction", raw) for raw in raws]
        fault = ("debug_injectFault", "funding_index", "cache", MARKET, "0")
        done = await client.request(*fault)
        self.say(f"funding index of market {MARKET} set from {done['before']} to 0, in memory")

        async def look() -> Any:
            status = await client.request("perp_status")
            return status if status["phase"] == "stopped" else None

        status = await self.until(client, look, "the stop")
        self.say(f"sealing stopped at block {status['latest']}: {status['reason']}")
        disputes = await client.request("perp_getDisputes")
        self.promise(
            "validators name the block and the number",
            len(disputes) >= 2 and "funding" in status["reason"].lower(),
            f"{len(disputes)} disputes: {status['reason'][:80]}",
        )
        liquidated = await self._list_liquidated(client, status)
        self.promise("wrong liquidations followed", bool(liquidated), f"{len(liquidated)} accounts")
        for address in liquidated:
            names = [name for name, who in people.items() if who.address == address]
            self.say(f"liquidated: {names[0] if names else address}")
        victims = [name for name, who in people.items() if who.address in liquidated]
        return Damage(sent, [*raws, *unsent], victims)

    async def _list_liquidated(self, client: Client, status: dict[str, Any]) -> list[str]:
        found = set()
        for height in range(status["safe"] + 1, status["latest"] + 1):
            block = await client.request("perp_getBlock", hex(height))
            for each in block["transitions"]:
                if each["kind"] in ("PositionLiquidated", "PositionTakenOver"):
                    found.add(each["account"])
        return sorted(found)

    async def _halt(self, client: Client) -> None:
        """Halt by three of five; what is done in the wrong order is refused."""
        halt = str(self.path / "halt.json")
        plan = str(self.path / "early.json")
        await self.refused("halt it first", "plan", plan, "--reason", "too early")
        await self.step("halt", halt, "--now", "--reason", "funding index is zero")
        for key in self.keys[: THRESHOLD - 1]:
            await self.step("sign", halt, "--key", str(key))
        await self.refused("has signed it already", "sign", halt, "--key", str(self.keys[0]))
        await self.refused("2 of 3 signatures", "submit", halt)
        await self.step("sign", halt, "--key", str(self.keys[THRESHOLD - 1]))
        await self.step("submit", halt)
        await self.step("watch", halt)
        council = await client.request("gov_getCouncil")
        self.promise("the chain stands", council["hold"] is not None, council["mode"])

    async def _fork(self, client: Client) -> None:
        """Plan, read, sign with separate keys on separate copies, submit, follow."""
        plan = self.path / "plan.json"
        await self.step("snapshots", echo=True)
        reason = "the sequencer's funding index was reset to zero"
        await self.step("plan", str(plan), "--reason", reason, echo=True)
        copies = []
        for number, key in enumerate(self.keys[1 : 1 + THRESHOLD], 1):
            copy = self.path / f"plan-signer-{number}.json"
            shutil.copy(plan, copy)
            await self.step("sign", str(copy), "--key", str(key))
            copies.append(str(copy))
        outsider = self.path / "outsider.json"
        make_key_file(outsider)
        await self.refused("not in the council", "sign", str(plan), "--key", str(outsider))
        await self.refused("2 of 3 signatures", "submit", *copies[:2])
        await self.step("submit", *copies)
        await self.refused("carried out already", "submit", *copies)
        await self.step("watch", str(plan), echo=True)
        status = await client.request("perp_status")
        self.promise("the chain is on fork 1", status["forkId"] == 1, f"block {status['latest']}")

    async def _look(
        self,
        client: Client,
        people: dict[str, Trader],
        before: dict[str, dict[str, Any]],
        damage: Damage,
    ) -> None:
        """Look at what the fork left, and follow the way back to OPEN."""
        fork = await client.request("perp_getFork", None)
        at = hex(fork["blockNumber"])
        for name, who in people.items():
            view = await client.request("perp_getAccount", who.address, at)
            if name in damage.victims:
                self.promise(
                    f"{name}, wrongly liquidated, has the position back",
                    positions_of(view) == positions_of(before[name]) != [],
                    f"{position_of(view)} lots",
                )
            elif view["positions"]:
                same = positions_of(view) == positions_of(before[name])
                self.promise(f"{name} has the snapshot's position", same, position_of(view))
            self.promise(
                f"{name}: orders cancelled, TP/SL kept",
                not view["orders"] and len(view["triggers"]) == len(before[name]["triggers"]),
                f"{len(before[name]['orders'])} orders gone, {len(view['triggers'])} TP/SL kept",
            )
        refusals = []
        for raw in damage.raws:
            try:
                await client.request("eth_sendRawTransaction", raw)
                refusals.append("accepted")
            except RequestRefused as refusal:
                refusals.append(refusal.message)
        self.promise(
            "every orphaned and pre-signed transaction is refused",
            all("nonce too low" in each for each in refusals),
            f"{len(refusals)} refused: {refusals[0][:60]}",
        )
        for tx_hash in damage.sent:
            status = await client.request("perp_getTransactionStatus", tx_hash)
            receipt = await client.request("eth_getTransactionReceipt", tx_hash)
            orphaned = status["status"] == "orphaned" and receipt is None
            self.promise("an orphaned transaction says so", orphaned, status["text"])
        await self.step("reopen", echo=True)
        await self.step("verify", str(self.path / "plan.json"), echo=True)

    async def _trade_again(self, client: Client, people: dict[str, Trader]) -> None:
        alice, bob, carol = (people[name] for name in ("alice", "bob", "carol"))
        mark = await self._mark(client)
        ask, bid = mark + mark // 400, mark - mark // 400
        await self._mined(client, await carol.send(client, order(-3_000, ask), order(3_000, bid)))
        held = position_of(await self._account(client, bob))
        await self._mined(client, await bob.send(client, order(1_000, ask + 400, TimeInForce.IOC)))
        await self._mined(
            client, await alice.send(client, order(-1_000, bid - 400, TimeInForce.IOC))
        )
        now = position_of(await self._account(client, bob))
        self.promise("trade goes on", now == held + 1_000, f"bob: {held} -> {now} lots")
        height = int(await client.request("eth_blockNumber"), 16)

        async def look() -> Any:
            status = await client.request("perp_status")
            return status if status["safe"] >= height else None

        status = await self.until(client, look, "certificates")
        self.say(f"block {status['safe']} of fork {status['forkId']} is certified")

        async def finalized() -> Any:
            status = await client.request("perp_status")
            return status if status["finalized"] > height - INTERVAL else None

        status = await self.until(client, finalized, "a snapshot on the new branch")
        self.promise("snapshots go on", True, f"block {status['finalized']} is finalized")

    async def _verify(self) -> None:
        """Stop everything and execute every database again."""
        status = await asyncio.to_thread(self.stop)
        self.promise("every process ends well", status == 0, f"exit status {status}")
        places = [self.data_dir, *sorted(self.data_dir.glob("validator-*"))]
        for place in places:
            done = await asyncio.to_thread(_verify, place)
            words = done.stderr.strip()
            if done.returncode == 0:
                found = json.loads(done.stdout)
                words = f"blocks {found['first']} to {found['last']}, {found['sweeps']} sweeps"
            name = "sequencer" if place == self.data_dir else place.name
            self.promise(f"perpnode verify, {name}", done.returncode == 0, words[:100])
            self.promise(f"balances sum to zero, {name}", _sum_balances(place) == 0, "exactly")

    # --- small things ----------------------------------------------------------------------------

    async def _account(self, client: Client, who: Trader) -> dict[str, Any]:
        view: dict[str, Any] = await client.request("perp_getAccount", who.address)
        return view

    async def _mined(self, client: Client, hashes: list[str]) -> None:
        for tx_hash in hashes:

            async def look(tx_hash: str = tx_hash) -> Any:
                return await client.request("eth_getTransactionReceipt", tx_hash)

            receipt = await self.until(client, look, f"receipt of {tx_hash}")
            if receipt["status"] != "0x1":
                raise Broken(f"transaction {tx_hash} reverted: {receipt.get('revertReason')}")


def _grown_old(market: GenesisMarket) -> GenesisMarket:
    """Return a market whose funding index is an eighth of its price per lot."""
    params = market.params
    value = PRICE * 10**6 // 10**params.lot_decimals
    return market._replace(funding_index=FundingIndex(value * 10**9 // 8))


def position_of(view: dict[str, Any]) -> int:
    """Return an account's position, in lots."""
    return sum(each["size"]["lots"] for each in view["positions"] if each["market"] == MARKET)


def positions_of(view: dict[str, Any]) -> list[tuple[int, int, int]]:
    """Return an account's positions: market, lots and entry value."""
    return [
        (each["market"], each["size"]["lots"], each["entryValue"]["atoms"])
        for each in view["positions"]
    ]


def _verify(place: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "node", "verify", "--data-dir", str(place), "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


def _sum_balances(place: Path) -> int:
    """Return the sum of all margin balances of a stopped node."""
    from node.snapshot.offline import open_chain

    with open_chain(place) as blockchain:
        ledger = blockchain.ledger_after(blockchain.head.block)
        return sum(account.balance for _, account in ledger.all_accounts())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def main(
    directory: Annotated[
        Path | None, typer.Option("--dir", help="Where everything is kept. [a temporary one]")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directory at the end.")] = False,
    bots: Annotated[int, typer.Option("--bots", help="Traders that trade at random.")] = 2,
) -> None:
    """Tell the story; exit status 0 only if every promise held."""
    path = directory or Path(tempfile.mkdtemp(prefix="perpnode-story-"))
    path.mkdir(parents=True, exist_ok=True)
    story = Story(path, bots=bots)
    failure = ""
    try:
        asyncio.run(story.tell())
    except (Broken, PerpnodeError, NodeUnreachable, OperatorError) as error:
        failure = str(error)
        story.say(f"the story broke off: {failure}")
    finally:
        story.kill()
    held = bool(story.promises) and not failure and all(each.holds for each in story.promises)
    if story.promises:
        print(f"\n{story.table()}\n")
    if held and not keep and directory is None:
        shutil.rmtree(path)
    else:
        print(f"everything is kept in {path}")
    if not held:
        print(f"story: {failure or 'a promise did not hold'}", file=sys.stderr)
        sys.exit(1)
    print(f"every one of {len(story.promises)} promises held")


if __name__ == "__main__":
    typer.run(main)
