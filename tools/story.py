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
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from node.chain.genesis import GenesisMarket, read_genesis, render_genesis
from node.devnet.accounts import ACCOUNTS_PATH, derive_keys
from node.devnet.actor import Action, action
from node.devnet.client import Client, connect
from node.devnet.keyfile import make_key_file
from node.devnet.template import TEMPLATE
from node.errors import PerpnodeError, RequestRefused
from node.governance.council import Council
from node.perp.account import EXCHANGE
from node.perp.order import TimeInForce, TriggerKind
from node.units import DurationMs, FundingIndex
from tools.telling import (
    WAIT_S,
    Broken,
    Telling,
    Trader,
    position_of,
    positions_of,
    sum_balances,
    verify_database,
)

MARKET = 1
MEMBERS = 5
THRESHOLD = 3
INTERVAL = 20
"""Blocks between snapshots."""
FLAGS = ("--block-time", "0.3", "--faults", "--snapshot-interval", str(INTERVAL))
VALIDATORS = 4
PRICE = 93_000
"""USD, about where the simulated price begins: the genesis funding index is made of it."""
USDC = 10**6


class Damage(NamedTuple):
    """What the wrong number did, and what must not come back after the fork."""

    sent: list[str]
    """Hashes of transactions in blocks that the fork undoes."""
    raws: list[str]
    """These transactions, and some that were signed before the fork and never sent."""
    victims: list[str]
    """Who was liquidated."""


def order(size: int, price: int, tif: TimeInForce = TimeInForce.GTC) -> Action:
    """Return a limit order."""
    return action(EXCHANGE, "placeOrder", MARKET, size, price, tif, False)


def trigger(size: int, price: int, kind: TriggerKind) -> Action:
    """Return a take-profit or a stop-loss."""
    return action(EXCHANGE, "placeTrigger", MARKET, size, price, kind)


def deposit(usdc: int) -> Action:
    """Return a deposit."""
    return action(EXCHANGE, "deposit", usdc * USDC)


class Story(Telling):
    """One telling."""

    def __init__(self, path: Path, *, bots: int) -> None:
        super().__init__(path)
        self._bots = bots
        self.keys = [path / f"member-{number}.json" for number in range(1, MEMBERS + 1)]

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

    # --- the chapters ----------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell everything in order."""
        genesis = self.write_genesis()
        self.start(*FLAGS, *self._flags_of(genesis))
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
        await self._restart()
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self._look_held(client)
            await self._fork(client)
            await self._look(client, people, before, damage)
            await self._trade_again(client, people)
        await self._verify()

    def _flags_of(self, genesis: Path) -> list[str]:
        flags = ["--genesis", str(genesis), "--validators", str(VALIDATORS), "--accounts", "10"]
        return [*flags, "--bots", str(self._bots), "--prices", "sim"]

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
            await self.mined(client, await who.send(client, deposit(amount)))
        mark = await self._mark(client)
        ask, bid = mark + mark // 500, mark - mark // 500
        await self.mined(
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
            await self.mined(client, hashes)
            hashes = await who.send(
                client,
                trigger(closing, stop, TriggerKind.STOP_LOSS),
                trigger(closing, profit, TriggerKind.TAKE_PROFIT),
            )
            await self.mined(client, hashes)
        for name in ("alice", "bob", "dave"):
            view = await self.account(client, people[name])
            self.say(
                f"{name}: {position_of(view, MARKET)} lots, "
                f"equity {view['equity']['decimal']} USDC, "
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

    async def _restart(self) -> None:
        """Stop every process of the halted chain and start it by the same command."""
        status = await asyncio.to_thread(self.stop)
        self.promise("a halted chain stops well", status == 0, f"exit status {status}")
        self.start(*FLAGS)

    async def _look_held(self, client: Client) -> None:
        """See that the halt outlived the restart, and that reads go on."""

        async def look() -> Any:
            status = await client.request("perp_status")
            return status if len(status["peers"]) == VALIDATORS else None

        status = await self.until(client, look, "the validators' links")
        council = await client.request("gov_getCouncil")
        self.promise(
            "the halt outlives a restart, reads go on",
            status["phase"] == "stopped" and council["hold"] is not None,
            status["reason"][:60],
        )

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
        altered = self.path / "altered.json"
        altered.write_bytes(plan.read_bytes().replace(reason.encode(), b"nothing happened"))
        await self.refused("another plan", "submit", copies[0], str(altered))
        await self.refused("not in the council", "sign", str(plan), "--key", str(outsider))
        await self.refused("2 of 3 signatures", "submit", *copies[:2])
        await self.step("submit", *copies)
        await self.refused("carried out already", "submit", *copies)
        await self.refused("another plan", "submit", str(altered))
        await self.refused("it was carried out", "sign", copies[0], "--key", str(self.keys[0]))
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
                    f"{position_of(view, MARKET)} lots",
                )
            elif view["positions"]:
                same = positions_of(view) == positions_of(before[name])
                self.promise(f"{name} has the snapshot's position", same, position_of(view, MARKET))
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
        await self.mined(client, await carol.send(client, order(-3_000, ask), order(3_000, bid)))
        held = position_of(await self.account(client, bob), MARKET)
        await self.mined(client, await bob.send(client, order(1_000, ask + 400, TimeInForce.IOC)))
        await self.mined(
            client, await alice.send(client, order(-1_000, bid - 400, TimeInForce.IOC))
        )
        now = position_of(await self.account(client, bob), MARKET)
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
            done = await asyncio.to_thread(verify_database, place)
            words = done.stderr.strip()
            if done.returncode == 0:
                found = json.loads(done.stdout)
                words = f"blocks {found['first']} to {found['last']}, {found['sweeps']} sweeps"
            name = "sequencer" if place == self.data_dir else place.name
            self.promise(f"perpnode verify, {name}", done.returncode == 0, words[:100])
            self.promise(f"balances sum to zero, {name}", sum_balances(place) == 0, "exactly")


def _grown_old(market: GenesisMarket) -> GenesisMarket:
    """Return a market whose funding index is an eighth of its price per lot."""
    params = market.params
    value = PRICE * 10**6 // 10**params.lot_decimals
    return market._replace(funding_index=FundingIndex(value * 10**9 // 8))


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
    except (Broken, PerpnodeError) as error:
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
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
