"""What every rehearsal shares: a devnet with a council of five, people with positions, an operator.

The operator's steps go by JSON-RPC and the governance script alone, and each member signs a copy of
his own with a key file of his own.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.chain.genesis import Genesis, read_genesis, render_genesis
from node.devnet.accounts import ACCOUNTS_PATH, BOTS_PATH, derive_keys
from node.devnet.actor import Action, action
from node.devnet.client import Client
from node.devnet.keyfile import make_key_file
from node.devnet.price_file import PRICE_UNIT, read_price_file
from node.devnet.replay import FIXED, SIMULATED, PriceChoice, choose_prices
from node.devnet.template import TEMPLATE
from node.governance.council import Council
from node.perp.account import EXCHANGE, VAULT
from node.perp.order import TimeInForce, TriggerKind
from node.units import DurationMs, div_trunc
from tools.feed import Feed
from tools.telling import Broken, Telling, Trader, position_of, run_perpnode, sum_balances

MARKET = 1
MEMBERS = 5
THRESHOLD = 3
INTERVAL = 20
"""Blocks between snapshots."""
VALIDATORS = 4
PRICE = 93_000
"""USD, about where the simulated price begins, and for which sizes in lots are meant."""
USDC = 10**6
NAMES = ("alice", "bob", "carol", "dave", "erin")
LIQUIDATIONS = ("PositionLiquidated", "PositionTakenOver", "PositionDeleveraged")
"""Transitions that take a position from somebody."""


class Prices(NamedTuple):
    """Where a rehearsal's prices come from: `sim`, `fixed` or a file of minutes."""

    name: str = SIMULATED
    speed: str | None = None

    def flags(self) -> list[str]:
        """Return what the devnet is told."""
        return ["--prices", self.name, *(["--speed", self.speed] if self.speed else [])]

    def choice(self) -> PriceChoice:
        """Return what the reporters are told; raise OperatorError."""
        return choose_prices(self.name, self.speed)

    def first(self) -> int:
        """Return the first price in USD (floor); raise OperatorError."""
        name, _ = self.choice()
        if name in (SIMULATED, FIXED):
            return PRICE
        usd: int = read_price_file(Path(name))[0].close_e8 // PRICE_UNIT
        return usd


class Holder(NamedTuple):
    """Somebody who takes a position at the beginning."""

    name: str
    lots: int
    """Long if positive, at PRICE: more of them where the price is lower."""
    usdc: int
    """Deposited before."""


def order(size: int, price: int, tif: TimeInForce = TimeInForce.GTC) -> Action:
    """Return a limit order."""
    return action(EXCHANGE, "placeOrder", MARKET, size, price, tif, False)


def market_order(size: int, *, reduce_only: bool = False) -> Action:
    """Return a market order."""
    return action(EXCHANGE, "placeMarketOrder", MARKET, size, reduce_only)


def trigger(size: int, price: int, kind: TriggerKind) -> Action:
    """Return a take-profit or a stop-loss."""
    return action(EXCHANGE, "placeTrigger", MARKET, size, price, kind)


def deposit(usdc: int) -> Action:
    """Return a deposit."""
    return action(EXCHANGE, "deposit", usdc * USDC)


class Rehearsal(Telling):
    """One run; what happens in it is the subclass's."""

    def __init__(
        self, path: Path, *, bots: int = 2, prices: Prices | None = None, is_silent: bool = False
    ) -> None:
        super().__init__(path, is_silent=is_silent)
        self.bots = bots
        self.prices = prices or Prices()
        self.first_price = self.prices.first()
        self.keys = [path / f"member-{number}.json" for number in range(1, MEMBERS + 1)]
        self.people: dict[str, Trader] = {}
        self.flags: list[str] = []
        """What the devnet is started with again."""
        self._decisions = 0

    # --- the devnet ------------------------------------------------------------------------------

    def make_genesis(self) -> Genesis:
        """Return the devnet's genesis with short times, and make the council's keys."""
        members = tuple(sorted(make_key_file(each).address for each in self.keys))
        template = read_genesis(TEMPLATE)
        chain = template.chain._replace(
            gap_ms_max=DurationMs(15_000),
            confirm_ms=DurationMs(1_000),
            reopen_ms=DurationMs(1_500),
            grace_ms=DurationMs(1_000),
            withdrawal_gate_ms=DurationMs(1_000),
        )
        return template._replace(council=Council(members, THRESHOLD), chain=chain)

    def begin(self, genesis: Genesis, *more: str) -> None:
        """Start the devnet of a genesis, with more flags."""
        document = self.path / "genesis.json"
        document.write_text(render_genesis(genesis), encoding="utf-8")
        keypairs = derive_keys(ACCOUNTS_PATH, len(NAMES))
        for name, keypair in zip(NAMES, keypairs, strict=True):
            self.people[name] = Trader(name, keypair, genesis.chain_id)
        self.flags = ["--block-time", "0.3", "--faults", "--snapshot-interval", str(INTERVAL)]
        self.flags += [*self.prices.flags(), *more]
        first = ["--genesis", str(document), "--validators", str(VALIDATORS)]
        self.start(*self.flags, *first, "--accounts", "10", "--bots", str(self.bots))
        self.say(f"devnet with four validators, three reporters, {self.bots} bots at {self.url}")

    def make_feed(self, genesis: Genesis) -> Feed:
        """Return the reporters of a devnet that runs none (`--reporters 0`)."""
        return Feed(self.url, genesis, self.prices.choice(), self.path / "prices.json")

    async def restart(self) -> None:
        """Stop every process and start it by the same command."""
        await self.stop_everything()
        self.start(*self.flags)

    async def stop_everything(self) -> None:
        """Stop every process as Ctrl-C does, unless that was done."""
        if self.is_started:
            status = await asyncio.to_thread(self.stop)
            self.promise("every process ends well", status == 0, f"exit status {status}")

    async def wait_linked(self, client: Client) -> dict[str, Any]:
        """Wait until every validator is linked; return the status."""

        async def look() -> Any:
            status = await client.request("perp_status")
            return status if len(status["peers"]) == VALIDATORS else None

        found: dict[str, Any] = await self.until(client, look, "the validators' links")
        return found

    # --- looking ---------------------------------------------------------------------------------

    async def market(self, client: Client, block: str = "latest") -> dict[str, Any]:
        """Return the market as `perp_getMarket` tells it."""
        found: dict[str, Any] = await client.request("perp_getMarket", MARKET, block)
        return found

    async def mark(self, client: Client) -> int:
        """Return the mark, in ticks."""
        mark: int = (await self.market(client))["mark"]["ticks"]
        return mark

    async def wait_mode(self, client: Client, *modes: str) -> dict[str, Any]:
        """Wait until every market is in one of these modes; return the first."""

        async def look() -> Any:
            markets = await client.request("perp_getMarkets")
            return markets if all(each["mode"] in modes for each in markets) else None

        markets = await self.until(client, look, f"every market {' or '.join(modes)}")
        found: dict[str, Any] = markets[0]
        self.say(f"{found['symbol']} is {found['mode']} at {found['mark']['decimal']}")
        return found

    async def wait_stopped(self, client: Client) -> dict[str, Any]:
        """Wait until sealing has stopped; return the status."""

        async def look() -> Any:
            status = await client.request("perp_status")
            return status if status["phase"] == "stopped" else None

        status: dict[str, Any] = await self.until(client, look, "the stop")
        self.say(f"sealing stopped at block {status['latest']}: {status['reason']}")
        return status

    async def wait_block(self, client: Client, height: int) -> int:
        """Wait for a block of this number or a later one; return the head's."""

        async def look() -> Any:
            number = int(await client.request("eth_blockNumber"), 16)
            return number if number >= height else None

        number: int = await self.until(client, look, f"block {height}")
        return number

    async def list_changes(self, client: Client, first: int, last: int) -> list[dict[str, Any]]:
        """Return how the market's own mode changed in some blocks."""
        changes = await self.list_transitions(client, first, last, "ModeChanged")
        return [each for each in changes if each["market"] == MARKET]

    async def promise_phases(self, client: Client, first: int, last: int) -> list[dict[str, Any]]:
        """Promise that the market closed once and reopened in phases; return its changes (X2)."""
        changes = await self.list_changes(client, first, last)
        modes = [each["mode"] for each in changes]
        self.promise(
            "the market reopens in phases",
            modes == ["CANCEL_ONLY", "POST_ONLY", "OPEN"],
            ", ".join(f"block {each['blockNumber']}: {each['mode']}" for each in changes),
        )
        return changes

    async def time_of(self, client: Client, block: int | str) -> int:
        """Return a block's time in milliseconds."""
        ref = hex(block) if isinstance(block, int) else block
        time_ms: int = (await client.request("perp_getBlock", ref))["extension"]["timeMs"]
        return time_ms

    async def list_transitions(
        self, client: Client, first: int, last: int, *kinds: str
    ) -> list[dict[str, Any]]:
        """Return the transitions of these kinds in some blocks, with their number and time."""
        found: list[dict[str, Any]] = []
        for height in range(first, last + 1):
            block = await client.request("perp_getBlock", hex(height))
            where = {"blockNumber": height, "timeMs": block["extension"]["timeMs"]}
            found += [each | where for each in block["transitions"] if each["kind"] in kinds]
        return found

    async def list_liquidated(self, client: Client, first: int, last: int) -> list[str]:
        """Return who lost a position by liquidation in some blocks, addresses ascending."""
        found = await self.list_transitions(client, first, last, *LIQUIDATIONS)
        return sorted({each["account"] for each in found})

    def accounts(self) -> dict[str, str]:
        """Return the address of everybody who may hold a position, by name."""
        bots = derive_keys(BOTS_PATH, self.bots)
        return (
            {name: who.address for name, who in self.people.items()}
            | {f"bot {number}": "0x" + bot.address.hex() for number, bot in enumerate(bots, 1)}
            | {"vault": "0x" + VAULT.hex()}
        )

    def name_of(self, address: str) -> str:
        """Return an account's name, a stranger's address."""
        names = [name for name, each in self.accounts().items() if each == address]
        return names[0] if names else address

    async def wait_certified_snapshot(self, client: Client) -> int:
        """Wait for a certified snapshot of all that was done; return its height.

        The next one is then some blocks away, so that a fault falls between two.
        """
        head = int(await client.request("eth_blockNumber"), 16)

        async def look() -> Any:
            status = await client.request("perp_status")
            in_turn = 2 <= status["latest"] % INTERVAL <= INTERVAL // 2
            return status if status["finalized"] >= head and in_turn else None

        status = await self.until(client, look, "a certified snapshot")
        height: int = status["finalized"]
        self.say(f"snapshot of block {height} is certified by the validators: finalized")
        return height

    # --- trading ---------------------------------------------------------------------------------

    def scale(self, lots: int) -> int:
        """Return the size that is worth at the first price what `lots` are at PRICE; trunc."""
        return div_trunc(lots * PRICE, self.first_price)

    async def take_positions(self, client: Client, holders: Sequence[Holder]) -> None:
        """Let people deposit and trade with carol, who quotes both sides, and protect themselves.

        Stop-losses stand 10 % away, take-profits 8 %.
        """
        carol = self.people["carol"]
        await self.mined(client, await carol.send(client, deposit(600_000)))
        for each in holders:
            who = self.people[each.name]
            await self.mined(client, await who.send(client, deposit(each.usdc)))
        mark = await self.mark(client)
        ask, bid = mark + mark // 500, mark - mark // 500
        longs = sum(each.lots for each in holders if each.lots > 0)
        shorts = -sum(each.lots for each in holders if each.lots < 0)
        quotes = [
            order(-self.scale(longs + 20_000), ask),
            order(self.scale(shorts + 10_000), bid),
            order(self.scale(9_000), bid - 500),
        ]
        await self.mined(client, await carol.send(client, *quotes))
        for each in holders:
            who, side = self.people[each.name], 1 if each.lots > 0 else -1
            size = self.scale(each.lots)
            limit = ask + 200 if side > 0 else bid - 200
            await self.mined(client, await who.send(client, order(size, limit, TimeInForce.IOC)))
            stop, profit = mark - side * (mark // 10), mark + side * (mark // 12)
            triggers = [
                trigger(-size, stop, TriggerKind.STOP_LOSS),
                trigger(-size, profit, TriggerKind.TAKE_PROFIT),
            ]
            await self.mined(client, await who.send(client, *triggers))
        for each in holders:
            view = await self.account(client, self.people[each.name])
            self.say(
                f"{each.name}: {position_of(view, MARKET)} lots, "
                f"equity {view['equity']['decimal']} USDC, "
                f"{len(view['triggers'])} TP/SL"
            )

    # --- the council -----------------------------------------------------------------------------

    async def decide(self, kind: str, *arguments: str, reason: str) -> None:
        """Carry out an action as a council does: draft, sign by separate keys, submit, follow."""
        self._decisions += 1
        file = self.path / f"{self._decisions}-{kind}.json"
        await self.step(kind, *arguments, str(file), "--reason", reason)
        await self.step("submit", *await self.sign(file))
        await self.step("watch", str(file))

    async def sign(self, file: Path) -> list[str]:
        """Let members sign, each a copy with a key of his own; return the copies."""
        signers = self.keys[1 : 1 + THRESHOLD]
        copies = [
            str(shutil.copy(file, file.with_name(f"{file.stem}-signer-{number}.json")))
            for number in range(1, len(signers) + 1)
        ]
        signing = zip(copies, signers, strict=True)
        await asyncio.gather(*(self.step("sign", copy, "--key", str(key)) for copy, key in signing))
        return copies

    # --- commands --------------------------------------------------------------------------------

    async def run_perpnode(self, *arguments: str) -> Any:
        """Run a command that must go well, a process of its own; return its JSON."""
        done = await asyncio.to_thread(run_perpnode, *arguments, "--json")
        if done.returncode != 0:
            raise Broken(f"perpnode {' '.join(arguments)}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    # --- the end ---------------------------------------------------------------------------------

    async def verify_everything(self) -> None:
        """Stop everything and execute every database again."""
        await self.stop_everything()
        places = [self.data_dir, *sorted(self.data_dir.glob("validator-*"))]
        verify = [("verify", "--data-dir", str(place), "--json") for place in places]
        outcomes = await asyncio.gather(
            *(asyncio.to_thread(run_perpnode, *each) for each in verify)
        )
        for place, done in zip(places, outcomes, strict=True):
            holds, words = done.returncode == 0, done.stderr.strip()
            if holds:
                found = json.loads(done.stdout)
                holds = found["last"] >= found["first"]
                words = f"blocks {found['first']} to {found['last']}, {found['sweeps']} sweeps"
            name = "sequencer" if place == self.data_dir else place.name
            self.promise(f"perpnode verify, {name}", holds, words[:100])
            self.promise(f"balances sum to zero, {name}", sum_balances(place) == 0, "exactly")
