"""`perpnode diff`: what changed between two blocks, also across branches."""

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.blocks import BLOCK_HELP, find_block, parse_block
from node.cli.flags import AsJson, StoppedGenesis
from node.cli.values import DEFAULT_RPC, print_json, print_table

CONNECT_S = 1.0
LIMIT_MAX = 10_000


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
        before, after = (find_block(blockchain, ref) for ref in refs)
        try:
            comparison = compare_states(blockchain, before, after, limit=limit)
        except MissingState as missing:
            raise OperatorError(f"{data_dir}: {missing}") from None
        return to_plain(render_difference(before, after, comparison))


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
