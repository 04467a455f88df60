"""A node as the governance script sees it: its council, its chain's place, markets and vault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, TypeVar

from node.crypto import checksum_address
from node.devnet.client import Client, connect
from node.governance.action import Domain
from node.perp.account import VAULT
from node.units import Address, Hash32

CONNECT_S = 2.0
ENTRIES_MAX = 1_000
T = TypeVar("T")


class Council(NamedTuple):
    """What a node says of its council, and of where its chain is."""

    domain: Domain
    members: tuple[str, ...]
    threshold: int
    fork_id: int
    mode: str
    halt_height: int
    """0: no halt is due."""
    maintenance: dict[str, int] | None
    """The window that is announced, or on."""
    hold: str
    """Empty: the node is not held."""
    height: int
    time_ms: int
    markets: dict[int, Any]
    """By id, as `perp_getMarkets` tells them."""
    vault: int
    """What the LiquidatorVault is worth, in atoms."""


async def get_council(client: Client) -> Council:
    """Ask a node for its council and its chain's place."""
    answer = await client.request("gov_getCouncil")
    markets = await client.request("perp_getMarkets")
    vault = await client.request("perp_getAccount", "0x" + VAULT.hex())
    domain = answer["domain"]
    return Council(
        Domain(int(domain["chainId"]), Hash32(bytes.fromhex(domain["salt"][2:]))),
        tuple(checksum_address(Address(bytes.fromhex(each[2:]))) for each in answer["members"]),
        answer["threshold"],
        answer["forkId"],
        answer["mode"],
        answer["haltHeight"] or 0,
        answer["maintenance"],
        answer["hold"]["text"] if answer["hold"] else "",
        answer["blockNumber"],
        answer["timeMs"],
        {market["market"]: market for market in markets},
        vault["equity"]["atoms"],
    )


def run_with(rpc: str, function: Callable[[Client], Awaitable[T]]) -> T:
    """Connect to a node and return what a function asks of it."""

    async def run() -> T:
        async with connect(rpc, patience_s=CONNECT_S) as client:
            return await function(client)

    return asyncio.run(run())


async def find_entry(client: Client, digest: Hash32) -> dict[str, Any] | None:
    """Return an action's entry in the audit log, None if it was not carried out."""
    first = 0
    while True:
        log = await client.request("gov_getAuditLog", first, ENTRIES_MAX)
        for entry in log["entries"]:
            if entry["digest"] == "0x" + digest.hex():
                found: dict[str, Any] = entry
                return found
        first += ENTRIES_MAX
        if first >= log["length"]:
            return None
