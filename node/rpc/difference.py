"""What changed between two blocks, as JSON: `perp_getDifference`, and `perpnode diff`."""

from __future__ import annotations

from typing import Any, Final

from node.chain.block import Block
from node.chain.comparison import Comparison, list_changed
from node.rpc.blocks import BlockRef, get_block
from node.rpc.context import Context
from node.rpc.hex import data
from node.rpc.records import camel_case, render_value
from node.rpc.render import Json

LIMIT_DEFAULT: Final = 1_000
LIMIT_MAX: Final = 10_000


async def get_difference(context: Context, a: BlockRef, b: BlockRef, limit: int) -> Json:
    """Return what differs between the states after two blocks, of whatever branches."""
    before, after = await get_block(context.core, a), await get_block(context.core, b)
    return render_difference(before, after, await context.core.compare(before, after, limit))


def parse_limit(value: object) -> int:
    """Read how many changes are wanted."""
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= LIMIT_MAX:
        raise ValueError(f"invalid limit: want a number from 1 to {LIMIT_MAX}")
    return value


def render_difference(before: Block, after: Block, comparison: Comparison) -> dict[str, Json]:
    """Return two blocks and what differs."""
    return {
        "before": _render_block(before),
        "after": _render_block(after),
        "isWhole": comparison.is_whole,
        "changes": [
            {
                "contract": data(each.address),
                "key": data(each.key) if each.key else None,
                "kind": each.kind,
                "subject": each.subject,
                "changed": [camel_case(name) for name in list_changed(each)],
                "before": _render_side(each.before),
                "after": _render_side(each.after),
            }
            for each in comparison.changes
        ],
    }


def _render_block(block: Block) -> dict[str, Json]:
    return {
        "forkId": block.extension.fork_id,
        "blockNumber": block.header.number,
        "blockHash": data(block.hash),
        "stateRoot": data(block.header.state_root),
    }


def _render_side(record: Any) -> Json:
    return {"bytes": data(record)} if isinstance(record, bytes) else render_value(record)
