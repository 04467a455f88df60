"""`perpnode diff`: what changed between two blocks, also across branches."""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.flags import AsJson, StoppedGenesis
from node.cli.values import DEFAULT_RPC, print_json, print_table

CONNECT_S = 1.0
LIMIT_MAX = 10_000
_NUMBER = re.compile(r"[0-9]{1,18}")
_HASH = re.compile(r"0x[0-9a-fA-F]{64}")
_ON_FORK = re.compile(r"([0-9]{1,7}):([0-9]{1,18})")
_TAGS = ("latest", "safe", "finalized", "earliest")

BLOCK_HELP = "A number, a hash, FORK:NUMBER for a branch that was left, or latest."


def diff(
    a: Annotated[str, typer.Argument(help=BLOCK_HELP)],
    b: Annotated[str, typer.Argument(help=BLOCK_HELP)],
    rpc: Annotated[str, typer.Option(help="A running node's URL.")] = DEFAULT_RPC,
    data_dir: Annotated[
        Path | None, typer.Option(help="A stopped node's data directory, instead of --rpc.")
    ] = None,
    genesis: StoppedGenesis = None,
    limit: Annotated[int, typer.Option(min=1, max=LIMIT_MAX, help="Changes at most.")] = 1_000,
    as_json: AsJson = False,
) -> None:
    """Show what changed between the states after two blocks, field by field."""
    refs = [parse_block(a), parse_block(b)]
    if data_dir is None:
        found = asyncio.run(_ask(rpc, refs, limit))
    else:
        found = _read(data_dir, genesis, refs, limit)
    if as_json:
        print_json(found)
        return
    title = f"from {_describe(found['before'])} to {_describe(found['after'])}"
    print_table(title, [row for change in found["changes"] for row in _rows(change)])
    if not found["isWhole"]:
        typer.echo(f"more than {limit} changes: raise --limit", err=True)


def parse_block(text: str) -> Any:
    """Return a block as JSON-RPC names it; a usage error if it is none."""
    if text in _TAGS or _HASH.fullmatch(text):
        return text
    if _NUMBER.fullmatch(text):
        return hex(int(text))
    if on_fork := _ON_FORK.fullmatch(text):
        return {"forkId": int(on_fork[1]), "blockNumber": hex(int(on_fork[2]))}
    raise typer.BadParameter(f"{text!r} is no block: write a number, a hash or FORK:NUMBER")


async def _ask(url: str, refs: list[Any], limit: int) -> Any:
    from node.devnet.client import connect

    async with connect(url, patience_s=CONNECT_S) as client:
        return await client.request("perp_getDifference", *refs, limit)


def _read(data_dir: Path, genesis: Path | None, refs: list[Any], limit: int) -> Any:
    from node.chain.comparison import compare_states
    from node.errors import MissingState, OperatorError
    from node.rpc.difference import render_difference
    from node.rpc.records import to_plain
    from node.snapshot.offline import open_chain

    with open_chain(data_dir, genesis) as blockchain:
        before, after = (_find(blockchain, ref) for ref in refs)
        try:
            comparison = compare_states(blockchain, before, after, limit=limit)
        except MissingState as missing:
            raise OperatorError(f"{data_dir}: {missing}") from None
        return to_plain(render_difference(before, after, comparison))


def _find(blockchain: Any, ref: Any) -> Any:
    from node.chain.branches import load_on_branch
    from node.errors import OperatorError
    from node.units import Hash32, Height

    store, head = blockchain.store, blockchain.head.block
    if isinstance(ref, dict):
        block_hash = load_on_branch(store, ref["forkId"], Height(int(ref["blockNumber"], 16)))
    elif ref in _TAGS:
        heights = {
            "safe": blockchain.certified_height(),
            "finalized": blockchain.finalized.header.number,
            "earliest": 0,
        }
        block_hash = store.load_canonical(heights.get(ref, head.header.number))
    elif _HASH.fullmatch(ref):
        block_hash = Hash32(bytes.fromhex(ref[2:]))
    else:
        block_hash = store.load_canonical(Height(int(ref, 16)))
    block = None if block_hash is None else store.load_block(block_hash)
    if block is None:
        raise OperatorError(f"block {ref} is not here: the head is {head.header.number}")
    return block


def _describe(block: Any) -> str:
    return f"block {block['blockNumber']} of fork {block['forkId']} ({block['blockHash']})"


def _rows(change: Any) -> list[tuple[str, str]]:
    name = f"{change['subject']}, {change['kind']}"
    before, after = change["before"], change["after"]
    if before is None or after is None:
        how, record = ("new", after) if before is None else ("gone", before)
        return [(name, f"{how}: " + ", ".join(f"{key} {_show(record[key])}" for key in record))]
    fields = change["changed"] or list(before)
    return [(f"{name}.{key}", f"{_show(before[key])} -> {_show(after[key])}") for key in fields]


def _show(value: Any) -> str:
    return "none" if value is None else str(value)
