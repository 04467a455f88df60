"""`perpnode status`: how a running node and its chain are."""

import asyncio
from typing import Annotated, Any

import typer

from node.cli.flags import AsJson
from node.cli.values import DEFAULT_RPC, print_json, print_table

CONNECT_S = 1.0


def status(
    rpc: Annotated[str, typer.Option(help="The node's URL.")] = DEFAULT_RPC,
    as_json: AsJson = False,
) -> None:
    """Show a running node's heads, peers, disputes, modes and markets."""
    answer = asyncio.run(_ask(rpc))
    if as_json:
        print_json(answer)
    else:
        print_table(f"node at {rpc}", _rows(answer))


async def _ask(url: str) -> dict[str, Any]:
    from node.devnet.client import connect

    async with connect(url, patience_s=CONNECT_S) as client:
        return {
            "status": await client.request("perp_status"),
            "markets": await client.request("perp_getMarkets"),
            "disputes": await client.request("perp_getDisputes"),
        }


def _rows(answer: dict[str, Any]) -> list[tuple[str, str]]:
    state = answer["status"]
    return [
        ("client", state["clientVersion"]),
        ("chain id", str(state["chainId"])),
        ("genesis", state["genesisHash"]),
        ("phase", state["phase"] + (f": {state['reason']}" if state["reason"] else "")),
        ("mode", state["mode"]),
        ("latest", str(state["latest"])),
        ("safe", f"{state['safe']}, certified"),
        ("finalized", str(state["finalized"])),
        ("validators", str(state["validators"]) if state["validators"] else "none"),
        ("peers", ", ".join(state["peers"]) or "none"),
        ("disputes", str(len(answer["disputes"]))),
        ("block time", f"{state['timeMs']} ms"),
        ("fork id", str(state["forkId"])),
        ("waiting", f"{state['waiting']} transactions"),
        ("vault", f"{state['vault']['decimal']} USDC"),
        ("deficit", f"{state['deficit']['decimal']} USDC"),
        *((market["symbol"], _describe_market(market)) for market in answer["markets"]),
        *(("disputed", line) for line in _describe_disputes(answer["disputes"])),
    ]


def _describe_disputes(disputes: list[dict[str, Any]]) -> list[str]:
    """Return a line for each different finding, with those who found it."""
    authors: dict[str, list[str]] = {}
    for dispute in disputes:
        authors.setdefault(dispute["text"], []).append(str(dispute["validator"]))
    return [f"by validator {', '.join(found)}: {text}" for text, found in authors.items()]


def _describe_market(market: dict[str, Any]) -> str:
    price = market["mark"]["decimal"] if market["mark"] else "no price"
    rate = market["funding"]["rate"]["decimal"]
    return f"{market['mode']}, mark {price}, funding {rate} per 8 h"
