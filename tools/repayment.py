"""Who is owed what after an incident, and its payment, to the atom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from node.crypto import keccak256
from node.devnet.accounts import ACCOUNTS_PATH, derive_keys
from node.devnet.client import Client
from node.devnet.keyfile import render_key_file
from node.governance.refund import Refund, parse_refunds, render_refunds
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
from node.units import Address, MarketId, Quote
from tools.rehearsal import Rehearsal
from tools.telling import Row, Table

REFUND_PAID = "0x" + keccak256(b"RefundPaid(uint64,address,uint32,uint256)").hex()


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
    first = await drill.wait_block(client, 1)
    await drill.decide("compensate", str(file), reason=reason)
    anybody = drill.path / "anybody.json"
    anybody.touch(0o600)
    anybody.write_text(render_key_file(derive_keys(ACCOUNTS_PATH, 1)[0]), encoding="utf-8")
    for _ in ("pay", "and once more: it must change nothing"):
        await drill.step("pay", str(file), "--key", str(anybody))
    question = {"fromBlock": hex(first), "address": "0x" + VAULT.hex(), "topics": [REFUND_PAID]}
    logs = await client.request("eth_getLogs", question)
    rows = []
    for _, account, amount in refunds:
        topic = "0x" + account.hex().rjust(64, "0")
        paid = sum(int(log["data"][-64:], 16) for log in logs if log["topics"][2] == topic)
        rows.append(Row(drill.name_of("0x" + account.hex()), (amount, paid, amount - paid)))
    table = Table("Repaid out of the LiquidatorVault", ("owed", "paid", "still owed"), tuple(rows))
    drill.show_table(table)
    (compensation,) = await client.request("perp_getCompensations")
    drill.promise(
        "every refund is paid once, to the atom",
        len(logs) == compensation["paid"] == len(refunds)
        and not any(row.amounts[2] for row in rows)
        and compensation["left"]["atoms"] == 0,
        f"{len(refunds)} refunds, {compensation['total']['decimal']} USDC",
    )


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
