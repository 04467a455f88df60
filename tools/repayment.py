"""Who is owed what after an incident, and its payment, to the atom."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from node.config import wall_time_ms
from node.devnet.actor import Action, action
from node.devnet.client import Client
from node.governance.action import Compensate
from node.governance.refund import (
    Refund,
    build_proof,
    compute_root,
    make_refund_tree,
    parse_refunds,
    render_refunds,
)
from node.perp.account import (
    BRIDGE,
    DEFICIT,
    FEES,
    RECEIVABLE,
    REFUNDS,
    SYSTEM_ADDRESS_MAX,
    VAULT,
    market_address,
)
from node.system.governance import SOURCE
from node.units import Address, MarketId, Quote
from tools.action_draft import EXPIRES_IN_S, write_action
from tools.rehearsal import Rehearsal
from tools.telling import Row, Table, describe_outcome, show_usdc

BATCH = 50
"""How many refunds a call may have."""
PAY_WITHIN_S = 30 * 86_400


class Owed(NamedTuple):
    """What an audit found of one account; amounts in atoms."""

    account: str
    """Its address, lower case; empty for a row that is no account's."""
    name: str
    was: int
    should: int
    loss: int
    refund: int


class Audited(NamedTuple):
    """What an audit found."""

    marks: Mapping[int, int]
    """By market: ticks at which both sides are valued."""
    rows: Sequence[Owed]


async def audit(drill: Rehearsal, out: Path, *arguments: str) -> Audited:
    """Run `perpnode audit` on the stopped sequencer's database, and say what it found."""
    place = ["--data-dir", str(drill.data_dir), "--out", str(out)]
    found = await drill.run_perpnode("audit", *arguments, *place)
    report = found["report"]
    span = report["range"]
    drill.say(
        f"perpnode audit: blocks {span['first']} to {span['last']} of fork {span['fork_id']}",
        f"first difference: {report['first_difference'] or 'none'}",
        f"refunds: {report['refunds']['count']}, root {report['refunds']['root'] or 'none'}",
    )
    rows = [
        Owed(
            each["account"].lower(),
            each["name"] or drill.name_of(each["account"].lower()),
            int(each["equity_was"]),
            int(each["equity_should"]),
            int(each["loss"]),
            int(each["refund"]),
        )
        for each in found["accounts"]
    ]
    marks = {int(market): mark for market, mark in report["marks"].items()}
    return Audited(marks, rows)


def show_owed(drill: Rehearsal, title: str, found: Audited) -> None:
    """Print what an audit found, and promise that what one lost others have."""
    columns = ("was", "should have been", "loss", "refund")
    rows = [Row(each.name, (each.was, each.should, each.loss, each.refund)) for each in found.rows]
    table = Table(title, columns, tuple(rows))
    drill.show_table(table)
    was, should, loss, _ = table.sums().amounts
    drill.promise(
        "all equity sums to zero, and so do the losses", was == should == loss == 0, "exactly"
    )


def write_refunds(path: Path, amounts: Mapping[str, int]) -> None:
    """Write a refund list of amounts in atoms by address."""
    owed = sorted((bytes.fromhex(account[2:]), amount) for account, amount in amounts.items())
    refunds = tuple(
        Refund(index, Address(account), Quote(amount))
        for index, (account, amount) in enumerate(owed)
    )
    path.write_text(render_refunds(refunds), encoding="utf-8")


async def repay(drill: Rehearsal, client: Client, file: Path, reason: str) -> None:
    """Have the council repay a refund list out of the vault, pay it, and see every atom arrive."""
    refunds = parse_refunds(file.read_text(encoding="utf-8"), str(file))
    total = sum(each.amount for each in refunds)
    draft = drill.path / "compensate.json"
    await asyncio.to_thread(_draft, drill, draft, refunds, total, reason)
    drill.say(f"drafted: LiquidatorVault repays {len(refunds)} refunds, {show_usdc(total)} USDC")
    await drill.carry_out(draft)
    (opened,) = await client.request("perp_getCompensations")
    payer = drill.people["carol"]  # anybody may ask for it
    calls = list(_pay(opened["compensation"], refunds))
    await drill.mined(client, await payer.send(client, *calls))
    (twice,) = await payer.send(client, calls[0])
    outcome = describe_outcome(await drill.receipt(client, twice))
    drill.promise("no refund is paid twice", outcome != "accepted", outcome)
    rows = []
    for _, account, amount in refunds:
        address = "0x" + account.hex()
        paid = await client.request("perp_getRefund", opened["compensation"], address)
        given = paid["amount"]["atoms"] if paid["isPaid"] else 0
        rows.append(Row(drill.name_of(address), (amount, given, amount - given)))
    table = Table("Repaid out of the LiquidatorVault", ("owed", "paid", "still owed"), tuple(rows))
    drill.show_table(table)
    (closed,) = await client.request("perp_getCompensations")
    drill.promise(
        "every refund is paid, to the atom",
        table.sums().amounts == (total, total, 0) and closed["left"]["atoms"] == 0,
        f"{len(refunds)} refunds, {show_usdc(total)} USDC",
    )


def _pay(compensation: int, refunds: Sequence[Refund]) -> Iterator[Action]:
    """Yield the calls that pay a list, so many refunds each, with their proofs."""
    tree = make_refund_tree(refunds)
    for start in range(0, len(refunds), BATCH):
        batch = refunds[start : start + BATCH]
        proofs = [build_proof(tree, each.index) for each in batch]
        yield action(VAULT, "payRefunds", compensation, batch, proofs)


def _draft(
    drill: Rehearsal, file: Path, refunds: Sequence[Refund], total: int, reason: str
) -> None:
    """Write the action's file, as the governance script writes every kind's."""
    fields = {
        "source": SOURCE,
        "root": "0x" + compute_root(refunds).hex(),
        "refunds": len(refunds),
        "total": total,
        "cap": total,
        "payUntil": wall_time_ms() // 1_000 + PAY_WITHIN_S,
    }
    with redirect_stdout(StringIO()):
        write_action(drill.url, file, Compensate, fields, reason, EXPIRES_IN_S)


# --- what accounts are worth ----------------------------------------------------------------------


class Books(NamedTuple):
    """Everybody's account after a block, as `perp_getAccount` tells it."""

    views: Mapping[str, dict[str, Any]]
    """By address, system accounts included."""
    units: Mapping[int, int]
    """By market: K, atoms per lot and tick."""

    def worths(self, marks: Mapping[int, int]) -> dict[str, int]:
        """Return what every account is worth at these marks, in atoms, by address (M2).

        A pool is worth what it has less what it owes to positions, which count that already (F4).
        So all of it sums to zero.
        """
        worths: dict[str, int] = {}
        for address, view in self.views.items():
            worths[address] = view["balance"]["atoms"] + view["pendingFunding"]["atoms"]
            for each in view["positions"]:
                market = each["market"]
                worths[address] += each["size"]["lots"] * marks[market] * self.units[market]
        for view in self.views.values():
            for each in view["positions"]:
                worths[_pool(each["market"])] -= each["pendingFunding"]["atoms"]
        return worths


async def read_books(drill: Rehearsal, client: Client, block: Any) -> Books:
    """Read everybody's account after a block, on whatever branch."""
    markets = await client.request("perp_getMarkets")
    units = {each["market"]: each["k"] for each in markets}
    system = ["0x" + each.hex() for each in (VAULT, BRIDGE, FEES, DEFICIT, RECEIVABLE, REFUNDS)]
    addresses = {*drill.accounts().values(), *system, *map(_pool, units)}
    views = {
        address: await client.request("perp_getAccount", address, block) for address in addresses
    }
    return Books(views, units)


def is_person(address: str) -> bool:
    """Tell whether somebody may be owed something."""
    return bytes.fromhex(address[2:]) > SYSTEM_ADDRESS_MAX


def _pool(market: int) -> str:
    return "0x" + market_address(MarketId(market)).hex()
