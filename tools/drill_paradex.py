"""Corrupted market data after a restart, and a second wave at the reopening (Paradex, 2026-01-19).

The funding index of a market becomes zero in the sequencer's memory, between two blocks. Accounts
are liquidated, validators refuse, the council goes back to a snapshot. While the chain is POST_ONLY
somebody quotes far outside, as those did who moved Paradex's prices: that liquidates nobody here.
An audit replays the branch that was left, honestly, and the LiquidatorVault makes up for what the
fork could not give back: honest trades after the snapshot.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from node.chain.genesis import Genesis
from node.devnet.client import Client, connect
from node.perp.order import TimeInForce
from node.units import DurationMs
from tools.rehearsal import MARKET, deposit, market_order, order
from tools.repayment import Books, audit, is_person, read_books, repay, show_owed, write_refunds
from tools.story import Story
from tools.telling import WAIT_S, Row, Table, describe_outcome, show_usdc

WAVE_PPM = 30_000
"""How far beyond the mark the second wave quotes: more than anybody's margin carries."""


class Branches(NamedTuple):
    """Everybody's account at two blocks."""

    tip: Books
    """The last block of the branch that was left, as the sequencer sealed it."""
    fork: Books


class Paradex(Story):
    """One drill."""

    def make_genesis(self) -> Genesis:
        """Return the story's genesis; POST_ONLY lasts long enough to be attacked."""
        genesis = super().make_genesis()
        return genesis._replace(chain=genesis.chain._replace(reopen_ms=DurationMs(5_000)))

    async def tell(self) -> None:
        """Tell everything in order."""
        self.begin(self.make_genesis())
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self.trade(client)
            erin = self.people["erin"]
            await self.mined(client, await erin.send(client, deposit(20_000)))
            before = await self.remember(client)
            await self.mined(client, await erin.send(client, market_order(self.scale(4_000))))
            self.say("erin buys from who quotes, honestly, after the snapshot")
            damage = await self.break_index(client)
            await self.decide("halt", "--now", reason="the funding index is zero")
            await self._go_back(client)
            await self._resist_second_wave(client)
            await self.look_restored(client, before, damage)
            await self._compare(client)
            await self.trade_again(client)
            left = await self._read_branches(client)
        await self.stop_everything()
        refunds = await self._audit(left)
        self.start(*self.flags)
        async with connect(self.url, patience_s=WAIT_S) as client:
            await self.wait_linked(client)
            await repay(self, client, refunds, "honest trades that the fork undid")
        await self.verify_everything()

    async def _go_back(self, client: Client) -> None:
        """Plan, show, sign and carry out the fork."""
        plan = self.path / "plan.json"
        reason = "the sequencer's funding index was reset to zero"
        await self.step("plan", str(plan), "--reason", reason, echo=True)
        await self.step("submit", *await self.sign(plan))
        await self.step("watch", str(plan), echo=True)
        status = await client.request("perp_status")
        self.promise("the chain is on fork 1", status["forkId"] == 1, f"block {status['latest']}")

    async def _resist_second_wave(self, client: Client) -> None:
        """Quote far outside while the market is POST_ONLY; follow it to OPEN and beyond."""
        fork = await client.request("perp_getFork", None)
        market = await self.wait_mode(client, "POST_ONLY")
        oracle = market["oracle"]["price"]["ticks"]
        size, far = self.scale(100), oracle + oracle * WAVE_PPM // 10**6
        wave = [
            order(size, far, TimeInForce.POST_ONLY),
            order(size, far, TimeInForce.IOC),
            order(size, oracle - oracle // 100, TimeInForce.POST_ONLY),
        ]
        erin = self.people["erin"]
        receipts = [
            await self.receipt(client, tx_hash) for tx_hash in await erin.send(client, *wave)
        ]
        self.say(f"erin quotes {WAVE_PPM // 10_000} % beyond the oracle price, and 1 % below it")
        self.promise(
            "POST_ONLY takes quotes near the price alone",
            [each["status"] for each in receipts] == ["0x0", "0x0", "0x1"],
            ", ".join(map(describe_outcome, receipts)),
        )
        at_wave = await self.market(client, receipts[0]["blockNumber"])
        self.promise(
            "no quote moves the mark while it reopens",
            at_wave["mark"] == at_wave["oracle"]["price"],
            f"mark {at_wave['mark']['decimal']}, the oracle price",
        )
        await self.step("reopen", echo=True)
        head = await self.wait_block(client, fork["lastRestartBlock"] + 1)
        await self.promise_phases(client, fork["blockNumber"], head)
        taken = await self.list_liquidated(client, fork["blockNumber"], head)
        self.promise("the second wave liquidates nobody", not taken, f"{len(taken)} accounts")
        await self.step("verify", str(self.path / "plan.json"), echo=True)

    async def _compare(self, client: Client) -> None:
        """Show by `perpnode diff` what separates the two branches."""
        fork = await client.request("perp_getFork", None)
        tip, block = f"0:{fork['orphanTip']['blockNumber']}", str(fork["blockNumber"])
        found = await self.run_perpnode("diff", tip, block, "--rpc", self.url)
        index = [each for each in found["changes"] if each["kind"] == "Funding"]
        self.say(
            f"perpnode diff {tip} {block}: {len(found['changes'])} records differ",
            *(f"{each['subject']}, {each['kind']}: {', '.join(each['changed'])}" for each in index),
        )
        (market,) = [each for each in index if each["subject"] == f"market {MARKET}"]
        self.promise(
            "perpnode diff names the corrupted number",
            "index" in market["changed"] and int(market["after"]["index"]) > 0,
            f"{market['subject']}, Funding.index: {market['before']['index']} -> "
            f"{market['after']['index']}",
        )

    async def _read_branches(self, client: Client) -> Branches:
        """Read everybody's account at the tip that was left, and in the fork block."""
        fork = await client.request("perp_getFork", None)
        tip = {"forkId": 0, "blockNumber": hex(fork["orphanTip"]["blockNumber"])}
        return Branches(
            await read_books(self, client, tip),
            await read_books(self, client, hex(fork["blockNumber"])),
        )

    async def _audit(self, left: Branches) -> Path:
        """Replay the branch that was left, honestly; return what the fork did not give back."""
        found = await audit(self, self.path / "audit", "--fork", "1")
        show_owed(self, "The branch that was left, as it was and honestly", found)
        victims = [each for each in found.rows if each.refund]
        self.promise(
            "the audit finds whom the lie cost",
            {"bob", "dave"} <= {each.name for each in victims},
            ", ".join(f"{each.name} {show_usdc(each.refund)}" for each in victims),
        )
        should = left.tip.worths(found.marks) | {
            each.account: each.should for each in found.rows if each.account
        }
        after = left.fork.worths(found.marks)
        names = {each.account: each.name for each in found.rows}
        rows = tuple(
            Row(
                names.get(account) or self.name_of(account),
                (should[account], after[account], should[account] - after[account]),
            )
            for account in sorted(should)
            if should[account] or after[account]
        )
        table = Table(
            "What the fork gave back", ("should have been", "after the fork", "still missing"), rows
        )
        self.show_table(table)
        self.promise("every column sums to zero", table.sums().amounts == (0, 0, 0), "exactly")
        missing = {row.name: row.amounts[2] for row in rows}
        lost = {each.name: each.loss for each in victims}
        self.promise(
            "the fork gave back what the lie cost",
            all(abs(missing[name]) * 100 < lost[name] for name in ("bob", "dave")),
            ", ".join(f"{name} {show_usdc(missing[name])}" for name in ("bob", "dave")),
        )
        owed = {
            account: should[account] - after[account]
            for account in should
            if is_person(account) and should[account] > after[account]
        }
        self.promise(
            "honest trades that were undone are owed",
            bool(owed),
            f"{len(owed)} accounts, {show_usdc(sum(owed.values()))} USDC",
        )
        path = self.path / "refunds.csv"
        write_refunds(path, owed)
        return path
