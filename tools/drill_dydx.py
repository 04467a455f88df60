"""A check that fails, a long standstill, stale prices, then wrong ones (dYdX, 2025-10-10).

The sequencer's own invariant refuses to seal, and the chain stands for eight hours. Reporters come
back late, with prices observed before it stood: nothing trades or is liquidated on those. Once the
markets are OPEN, a quorum of reporters is wrong within what a price may move, and people are
liquidated who should not have been. Nothing is rewound: an audit replays the blocks with the prices
of the reporter that was right, and the LiquidatorVault repays.
"""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from node.chain.genesis import Genesis
from node.crypto import keccak256
from node.devnet.actor import action
from node.devnet.client import Client, connect
from node.perp.account import EXCHANGE, VAULT
from node.system.contracts import ORACLE
from node.units import DurationMs
from tools.feed import Feed
from tools.rehearsal import MARKET, Holder, Rehearsal, market_order
from tools.repayment import audit, repay, show_owed
from tools.telling import WAIT_S, describe_outcome, position_of, show_usdc

STANDSTILL_S = 8 * 3_600
MOVED_PPM = -10_000
"""How much lower prices are after it."""
WRONG_PPM = -45_000
"""How far beside them a quorum of the reporters is later."""
STALE_BLOCKS = 6
WRONG_BLOCKS = 8
HOLDERS = (
    Holder("alice", -20_000, 200_000),
    Holder("bob", 20_000, 11_500),
    Holder("dave", 15_000, 8_700),
)
"""The longs own 6 % of what they hold, 5 % after the standstill, next to 0 on wrong prices."""
VICTIMS = ("bob", "dave")
REPORTED = "0x" + keccak256(b"PriceReported(uint32,address,int64,uint64)").hex()


class Dydx(Rehearsal):
    """One drill."""

    def make_genesis(self) -> Genesis:
        """Return the genesis; people have some time to act after a return to OPEN."""
        genesis = super().make_genesis()
        return genesis._replace(chain=genesis.chain._replace(grace_ms=DurationMs(2_000)))

    async def tell(self) -> None:
        """Tell everything in order."""
        genesis = self.make_genesis()
        self.begin(genesis, "--reporters", "0")
        feed = self.make_feed(genesis)
        async with feed.running():
            async with connect(self.url, patience_s=WAIT_S) as client:
                await self.wait_mode(client, "OPEN")
                await self.take_positions(client, HOLDERS)
                stopped = await self._stop_by_invariant(client)
                feed.is_silent = True
                await self.decide("halt", "--now", reason="an internal check fails")
            await self.restart()
            async with connect(self.url, patience_s=WAIT_S) as client:
                await self._stand_still(client, feed, stopped)
                await self._come_back_late(client, feed, stopped)
                await self._come_back(client, feed, stopped)
                span = await self._go_wrong(client, feed)
                corrections = await self._collect_prices(client, feed, span)
            await self.stop_everything()
            await self._audit(span, corrections)
            self.start(*self.flags)
            async with connect(self.url, patience_s=WAIT_S) as client:
                await self.wait_linked(client)
                refunds = self.path / "audit" / "refunds.csv"
                await repay(self, client, refunds, "liquidated on wrong prices")
        await self.verify_everything()

    async def _stop_by_invariant(self, client: Client) -> int:
        """Let a number go wrong within a block; return the last block that was sealed."""
        done = await client.request("debug_injectFault", "funding_index", "overlay", MARKET, "0")
        self.say(f"funding index set from {done['before']} to 0 within the next block")
        status = await self.wait_stopped(client)
        self.promise(
            "the sequencer's own invariant refuses to seal",
            status["reason"].startswith("invariant I") and status["disputes"] == 0,
            status["reason"][:80],
        )
        health = await asyncio.to_thread(_ask_health, self.url)
        self.promise("/health says so to whoever watches", health.startswith("503"), health[:80])
        stopped: int = status["latest"]
        return stopped

    async def _stand_still(self, client: Client, feed: Feed, stopped: int) -> None:
        """Let the chain stand for eight hours, and resume it by the council."""
        await self.wait_linked(client)
        council = await client.request("gov_getCouncil")
        self.promise("the halt outlives the restart", council["hold"] is not None, council["mode"])
        began_ms = await self.time_of(client, stopped)
        await client.request("evm_setNextBlockTimestamp", began_ms // 1_000 + STANDSTILL_S)
        self.say("eight hours pass: nothing is sealed, signed or sent")
        await self.decide(
            "resume", "--expires-in", str(2 * STANDSTILL_S), reason="the check is mended"
        )
        first = await self.wait_block(client, stopped + 1)
        gap_ms = await self.time_of(client, stopped + 1) - began_ms
        feed.sleep(began_ms, gap_ms)
        market = await self.market(client, hex(stopped + 1))
        self.promise(
            "the first block after it is strict",
            gap_ms >= (STANDSTILL_S - 1) * 1_000 and market["mode"] == "CANCEL_ONLY",
            f"block {stopped + 1}, {gap_ms // 1_000:,} s after its parent: {market['mode']}",
        )
        self.say(f"sealing goes on at block {first}")

    async def _come_back_late(self, client: Client, feed: Feed, stopped: int) -> None:
        """Let reporters report what they saw before the chain stood: nothing may rest on it."""
        feed.observed_ms = await self.time_of(client, stopped)
        feed.is_silent = False
        head = await self.wait_block(client, 1)
        self.say("reporters are back, with prices observed eight hours ago")
        head = await self.wait_block(client, head + STALE_BLOCKS)
        reports = await self.list_transitions(client, stopped + 1, head, "PriceAccepted")
        market = await self.market(client)
        self.promise(
            "late reports reopen nothing",
            market["oracle"]["isStale"] and market["mode"] == "CANCEL_ONLY" and not reports,
            f"{head - stopped} blocks: stale, {market['mode']}",
        )
        bob, carol = self.people["bob"], self.people["carol"]
        (tx_hash,) = await bob.send(client, market_order(-self.scale(1_000)))
        receipt = await self.receipt(client, tx_hash)
        self.promise(
            "nothing trades on stale prices",
            describe_outcome(receipt) == "NotAllowedInMode",
            describe_outcome(receipt),
        )
        await self.mined(client, await carol.send(client, action(EXCHANGE, "cancelEverything")))
        self.say("carol, who quotes, cancels everything: that is possible in CANCEL_ONLY")

    async def _come_back(self, client: Client, feed: Feed, stopped: int) -> None:
        """Let reporters see today's prices, and follow the way to OPEN."""
        feed.observed_ms = None
        feed.ppm = MOVED_PPM
        self.say(f"reporters see today's prices, {-MOVED_PPM // 10_000} % lower")
        await self.step("reopen", echo=True)
        head = await self.wait_block(client, 1)
        changes = await self.promise_phases(client, stopped + 1, head)
        taken = await self.list_liquidated(client, stopped + 1, head)
        self.promise(
            "nobody is liquidated before people can act", not taken, f"{len(taken)} accounts"
        )
        before = await self.market(client, hex(stopped))
        after = await self.market(client, hex(changes[-1]["blockNumber"]))
        self.promise(
            "the standstill accrues no funding",
            before["funding"]["index"] == after["funding"]["index"],
            f"index {after['funding']['index']['decimal']} before and after",
        )

    async def _go_wrong(self, client: Client, feed: Feed) -> tuple[int, int]:
        """Let a quorum be wrong within max_move until people are liquidated; return the blocks."""
        first = await self.wait_block(client, 1)
        feed.wrong_ppm = WRONG_PPM
        self.say(f"two of three reporters are {-WRONG_PPM / 10_000:g} % too low")
        victims = {name: self.people[name] for name in VICTIMS}
        held = {
            name: position_of(await self.account(client, who), MARKET)
            for name, who in victims.items()
        }

        async def look() -> bool:
            for name, who in victims.items():
                if position_of(await self.account(client, who), MARKET) == held[name]:
                    return False
            return True

        await self.until(client, look, "wrong liquidations")
        last = await self.wait_block(client, first + WRONG_BLOCKS)
        feed.wrong_ppm = 0
        self.say("all reporters are right again")
        head = await self.wait_block(client, last + WRONG_BLOCKS)
        taken = await self.list_liquidated(client, first, head)
        for address in taken:
            self.say(f"liquidated: {self.name_of(address)}")
        self.promise(
            "people are liquidated on wrong prices",
            {who.address for who in victims.values()} <= set(taken),
            f"{len(taken)} accounts, blocks {first} to {head}",
        )
        return first, head

    async def _collect_prices(self, client: Client, feed: Feed, span: tuple[int, int]) -> Path:
        """Write the corrections: what the reporter said that was right, by time of observation."""
        first, last = span
        document: dict[str, Any] = {"format": 1, "prices": []}
        for market in await client.request("perp_getMarkets"):
            number = market["market"]
            question = {
                "fromBlock": hex(first),
                "toBlock": hex(last),
                "address": "0x" + ORACLE.hex(),
                "topics": [REPORTED, f"0x{number:064x}", "0x" + feed.honest[2:].rjust(64, "0")],
            }
            lines = ["time_ms,ticks"]
            for log in await client.request("eth_getLogs", question):
                ticks, observed_ms = (int(log["data"][2:][at : at + 64], 16) for at in (0, 64))
                lines.append(f"{observed_ms},{ticks}")
            name = f"prices-{number}.csv"
            (self.path / name).write_text("\n".join([*lines, ""]))
            document["prices"].append(
                {"market": number, "first": first, "last": last, "file": name}
            )
        path = self.path / "corrections.json"
        path.write_text(json.dumps(document, indent=2))
        self.say(f"corrections for blocks {first} to {last}: what {feed.honest} reported")
        return path

    async def _audit(self, span: tuple[int, int], corrections: Path) -> None:
        """Replay the blocks with the right prices; whoever was wrongly liquidated is owed."""
        arguments = [*map(str, span), "--corrections", str(corrections), "--only-liquidated"]
        found = await audit(self, self.path / "audit", *arguments)
        show_owed(self, f"Blocks {span[0]} to {span[1]} with right prices", found)
        owed = {each.name: each for each in found.rows if each.refund}
        self.promise(
            "the wrongly liquidated are owed what they lost",
            set(VICTIMS) <= set(owed) and all(each.refund == each.loss for each in owed.values()),
            ", ".join(f"{name} {show_usdc(each.refund)}" for name, each in owed.items()),
        )
        vault = sum(each.loss for each in found.rows if each.account == "0x" + VAULT.hex())
        self.promise(
            "the LiquidatorVault gained by it",
            -vault > 0,
            f"{show_usdc(-vault)} USDC",
        )


def _ask_health(url: str) -> str:
    """Return the status and the words of GET /health."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=WAIT_S) as answer:
            return f"{answer.status} {answer.read().decode()}"
    except urllib.error.HTTPError as refusal:
        return f"{refusal.code} {refusal.read().decode()}"
