"""A venue that stands still for ten hours (CME, 2025-11): nobody pays for the time.

The reporters have no price to report. The markets close by themselves, ten hours pass, the venue
comes back 4 % lower, and the markets reopen in phases. Funding accrues for none of it, and whoever
is short of margin at the new price has the grace period to act in.
"""

from __future__ import annotations

from typing import Any

from node.chain.genesis import Genesis
from node.devnet.client import Client, connect
from node.units import DurationMs
from tools.feed import Feed
from tools.rehearsal import LIQUIDATIONS, MARKET, Holder, Rehearsal, deposit
from tools.telling import WAIT_S, Row, Table, position_of

STANDSTILL_S = 10 * 3_600
MOVED_PPM = -40_000
"""How much lower the venue reopens."""
GRACE_MS = 5_000
STEP_S = 13
"""Between two blocks of the standstill: no gap (X2)."""
HOLDERS = (
    Holder("alice", -20_000, 200_000),
    Holder("bob", 20_000, 11_500),
    Holder("dave", 15_000, 8_700),
)
"""The longs own some 6 % of what they hold: after a fall of 4 % less than the 2.5 % they need."""
RESCUE_USDC = 10_000


class VenueHalt(Rehearsal):
    """One drill."""

    def make_genesis(self) -> Genesis:
        """Return the genesis; there is time to act in the grace period."""
        genesis = super().make_genesis()
        return genesis._replace(chain=genesis.chain._replace(grace_ms=DurationMs(GRACE_MS)))

    async def tell(self) -> None:
        """Tell everything in order."""
        genesis = self.make_genesis()
        self.begin(genesis, "--reporters", "0")
        feed = self.make_feed(genesis)
        async with feed.running(), connect(self.url, patience_s=WAIT_S) as client:
            await self.wait_mode(client, "OPEN")
            await self.take_positions(client, HOLDERS)
            closed = await self._close(client, feed)
            await self._stand_still(client, feed, closed)
            opened = await self._reopen(client, feed, closed)
            await self._look_at_money(client, closed, opened)
            await self._look_at_grace(client, closed, opened)
        await self.verify_everything()

    async def _close(self, client: Client, feed: Feed) -> int:
        """Let the reporters fall silent; return the block in which the market closed for it."""
        before = await self.wait_block(client, 1)
        feed.is_silent = True
        self.say("the venue stands still: the reporters have nothing to report")
        await client.request("anvil_mine", hex(4), hex(STEP_S))
        await self.wait_mode(client, "CANCEL_ONLY")
        head = await self.wait_block(client, 1)
        (change, *_) = await self.list_changes(client, before, head)
        self.promise(
            "without prices the market closes by itself",
            change["reason"] == "STALE",
            f"block {change['blockNumber']}: {change['modeBefore']} -> {change['mode']}, "
            f"{change['reason']}",
        )
        closed: int = change["blockNumber"]
        return closed

    async def _stand_still(self, client: Client, feed: Feed, closed: int) -> None:
        """Let ten hours pass: some of it block by block, the rest as one gap."""
        began_ms = await self.time_of(client, closed)
        await client.request("anvil_mine", hex(40), hex(STEP_S))
        passed_s = (await self.time_of(client, "latest") - began_ms) // 1_000
        await client.request("evm_increaseTime", STANDSTILL_S - passed_s)
        head = await self.wait_block(client, 1)
        slept_ms = await self.time_of(client, "latest") - began_ms
        feed.sleep(began_ms, slept_ms)
        self.say(f"block {head}: {slept_ms // 1_000:,} s later, {passed_s} of them block by block")
        before, after = await self.market(client, hex(closed)), await self.market(client)
        self.promise(
            "no funding accrued in ten hours",
            slept_ms >= STANDSTILL_S * 1_000
            and before["funding"]["index"] == after["funding"]["index"],
            f"index {after['funding']['index']['decimal']} before and after",
        )

    async def _reopen(self, client: Client, feed: Feed, closed: int) -> int:
        """Let the reporters come back, lower; return the block with which the market was OPEN."""
        feed.ppm = MOVED_PPM
        feed.is_silent = False
        self.say(f"the venue is back, {-MOVED_PPM // 10_000} % lower")
        await self.wait_mode(client, "POST_ONLY", "OPEN")
        dave = self.people["dave"]
        await self.mined(client, await dave.send(client, deposit(RESCUE_USDC)))
        self.say(f"dave sees the price and deposits {RESCUE_USDC:,} USDC; bob does nothing")
        await self.wait_mode(client, "OPEN")
        head = await self.wait_block(client, 1)
        changes = await self.promise_phases(client, closed, head)
        opened: int = changes[-1]["blockNumber"]
        return opened

    async def _look_at_money(self, client: Client, closed: int, opened: int) -> None:
        """Account for everybody's equity between the close and the reopening."""
        rows = []
        for name, address in self.accounts().items():
            before = await client.request("perp_getAccount", address, hex(closed))
            after = await client.request("perp_getAccount", address, hex(opened))
            paid = await self.list_transitions(client, closed + 1, opened, "FundingSettled")
            funding = after["pendingFunding"]["atoms"] - before["pendingFunding"]["atoms"]
            funding += sum(int(each["cash"]) for each in paid if each["account"] == address)
            price = sum(_move(before, after, each["market"]) for each in before["positions"])
            moved_in = after["equity"]["atoms"] - before["equity"]["atoms"] - funding - price
            rows.append(
                Row(
                    name,
                    (before["equity"]["atoms"], price, funding, moved_in, after["equity"]["atoms"]),
                )
            )
        columns = ("at the close", "price", "funding", "deposited", "at the reopening")
        table = Table("Equity over the standstill", columns, tuple(rows))
        self.show_table(table)
        _, price, funding, deposited, _ = table.sums().amounts
        self.promise(
            "nobody's funding moved", not any(row.amounts[2] for row in rows), f"{len(rows)} rows"
        )
        self.promise("what the price gave, it took from others", price == funding == 0, "sum 0")
        self.promise(
            "equity moved by price and deposits alone",
            deposited == RESCUE_USDC * 10**6
            and all(row.name == "dave" or row.amounts[3] == 0 for row in rows),
            f"{deposited:,} atoms deposited, dave's",
        )

    async def _look_at_grace(self, client: Client, closed: int, opened: int) -> None:
        """Wait for bob's liquidation, and see that it waited for the end of the grace period."""
        bob, dave = self.people["bob"], self.people["dave"]
        at_open = await client.request("perp_getAccount", bob.address, hex(opened))
        self.promise(
            "bob is short of margin at the new price",
            0 < at_open["equity"]["atoms"] < at_open["maintenanceMargin"]["atoms"],
            f"equity {at_open['equity']['decimal']} of {at_open['maintenanceMargin']['decimal']}",
        )

        async def look() -> Any:
            view = await self.account(client, bob)
            return view if position_of(view, MARKET) != position_of(at_open, MARKET) else None

        await self.until(client, look, "bob's liquidation")
        head = await self.wait_block(client, 1)
        taken = await self.list_transitions(client, closed, head, *LIQUIDATIONS)
        opened_ms = await self.time_of(client, opened)
        first = min(taken, key=lambda each: each["blockNumber"])
        waited_ms = first["timeMs"] - opened_ms
        self.promise(
            "nobody is liquidated in the grace period",
            waited_ms >= GRACE_MS,
            f"the first after {waited_ms:,} ms of {GRACE_MS:,}",
        )
        self.promise(
            "only who did not act is liquidated",
            {each["account"] for each in taken} == {bob.address},
            ", ".join(sorted({self.name_of(each["account"]) for each in taken})),
        )
        held = position_of(await self.account(client, dave), MARKET)
        self.promise("dave, who acted, keeps the position", held > 0, f"{held} lots")


def _move(before: dict[str, Any], after: dict[str, Any], market: int) -> int:
    """Return what the mark's move did to a position that stayed, in atoms."""
    value_before, value_after = (
        sum(int(each["value"]["atoms"]) for each in view["positions"] if each["market"] == market)
        for view in (before, after)
    )
    return value_after - value_before
