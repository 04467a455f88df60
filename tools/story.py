"""The mission's story, end to end, with real processes: break a chain, leave the branch, go on.

A devnet with four validators trades. The funding index of an old market becomes zero in the running
sequencer, accounts are liquidated, validators refuse, sealing stops. The council halts, reads a
plan's numbers, signs with separate keys, forks; the chain reopens, trades, and every database is
executed again. Each line is something that happened; the table at the end says which promises held,
and so does the exit status.

    make story                              python -m tools.story --keep
"""

from __future__ import annotations

import signal
import tempfile
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from node.chain.genesis import Genesis, GenesisMarket
from node.devnet.client import Client, connect
from node.devnet.keyfile import make_key_file
from node.errors import RequestRefused
from node.perp.order import TimeInForce
from node.units import FundingIndex
from tools.rehearsal import (
    INTERVAL,
    MARKET,
    THRESHOLD,
    Holder,
    Rehearsal,
    deposit,
    order,
)
from tools.telling import (
    WAIT_S,
    conclude,
    position_of,
    positions_of,
    tell_whole,
)

HOLDERS = (
    Holder("alice", 20_000, 200_000),
    Holder("bob", -20_000, 18_000),
    Holder("dave", -15_000, 13_500),
)


class Damage(NamedTuple):
    """What the wrong number did, and what must not come back after the fork."""

    sent: list[str]
    """Hashes of transactions in blocks that the fork undoes."""
    raws: list[str]
    """These transactions, and some that were signed before the fork and never sent."""
    victims: list[str]
    """Who was liquidated."""


class Story(Rehearsal):
    """One telling."""

    def make_genesis(self) -> Genesis:
        """Return the genesis of an old chain with a council of five."""
        genesis = super().make_genesis()
        markets = tuple(
            _grown_old(each, self.first_price) if each.id == MARKET else each
            for each in genesis.markets
        )
        return genesis._replace(markets=markets)

    # --- the chapters ----------------------------------------------------------------------------

    async def tell(self) -> None:
        """Tell everything in order."""
        self.begin(self.make_genesis())
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self.trade(client)
            before = await self.remember(client)
            damage = await self.break_index(client)
            await self._halt(client)
        await self.restart()
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self._look_held(client)
            await self._fork(client)
            await self.look_restored(client, before, damage)
            await self.step("reopen", echo=True)
            await self.step("verify", str(self.path / "plan.json"), echo=True)
            await self.trade_again(client)
        await self.verify_everything()

    async def trade(self, client: Client) -> None:
        """Wait for the markets to open, and take positions in the old one."""
        found = await self.wait_mode(client, "OPEN")
        index = found["funding"]["index"]
        share = index["nanoAtoms"] * 100 // (found["mark"]["ticks"] * found["k"] * 10**9)
        self.promise(
            "the funding index is that of an old market",
            share >= 10,
            f"{share} % of the price per lot",
        )
        await self.take_positions(client, HOLDERS)

    async def remember(self, client: Client) -> dict[str, dict[str, Any]]:
        """Wait for a certified snapshot of all that was traded; return everybody as of it."""
        height = await self.wait_certified_snapshot(client)
        return {
            name: await client.request("perp_getAccount", who.address, hex(height))
            for name, who in self.people.items()
        }

    async def break_index(self, client: Client) -> Damage:
        """Set the funding index to zero between two blocks, as orders come in."""
        alice, carol, erin = (self.people[name] for name in ("alice", "carol", "erin"))
        mark = await self.mark(client)
        raws = await alice.sign(client, order(-500, mark + mark // 20))
        raws += await carol.sign(client, order(700, mark - mark // 20))
        unsent = await erin.sign(client, deposit(1_000), order(100, mark))
        unsent += await alice.sign(client, order(-400, mark + mark // 20), ahead=1)
        sent = [await client.request("eth_sendRawTransaction", raw) for raw in raws]
        fault = ("debug_injectFault", "funding_index", "cache", MARKET, "0")
        done = await client.request(*fault)
        self.say(f"funding index of market {MARKET} set from {done['before']} to 0, in memory")
        status = await self.wait_stopped(client)
        disputes = await client.request("perp_getDisputes")
        self.promise(
            "validators name the block and the number",
            len(disputes) >= 2 and "funding" in status["reason"].lower(),
            f"{len(disputes)} disputes: {status['reason'][:80]}",
        )
        liquidated = await self.list_liquidated(client, status["safe"] + 1, status["latest"])
        self.promise("wrong liquidations followed", bool(liquidated), f"{len(liquidated)} accounts")
        for address in liquidated:
            self.say(f"liquidated: {self.name_of(address)}")
        victims = [name for name, who in self.people.items() if who.address in liquidated]
        return Damage(sent, [*raws, *unsent], victims)

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

    async def _look_held(self, client: Client) -> None:
        """See that the halt outlived the restart, and that reads go on."""
        status = await self.wait_linked(client)
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
        copies = await self.sign(plan)
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

    async def look_restored(
        self, client: Client, before: dict[str, dict[str, Any]], damage: Damage
    ) -> None:
        """Look at what the fork gave back, and at what it undid."""
        fork = await client.request("perp_getFork", None)
        at = hex(fork["blockNumber"])
        for name, who in self.people.items():
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

    async def trade_again(self, client: Client) -> None:
        """Trade on the new branch, until validators have certified it and made a snapshot."""
        alice, bob, carol = (self.people[name] for name in ("alice", "bob", "carol"))
        mark = await self.mark(client)
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


def _grown_old(market: GenesisMarket, price: int) -> GenesisMarket:
    """Return a market whose funding index is an eighth of its price per lot, in USD; floor."""
    params = market.params
    value = price * 10**6 // 10**params.lot_decimals
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
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no devnet may outlive its story
    story = Story(path, bots=bots)
    conclude(story, "story", tell_whole(story), keeps=keep or directory is not None)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
