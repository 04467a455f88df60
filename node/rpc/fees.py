"""What gas costs: the base fee is a constant, and a tip buys nothing (RULES O8)."""

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

from node.chain.block import Block, Receipt
from node.rpc.blocks import BlockRef, get_block
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.hex import parse_quantity, quantity
from node.rpc.render import Json
from node.units import Height

SUGGESTED_TIP: Final = 0
"""Arrival alone decides within a class, so nobody need pay more than the base fee."""
BLOB_BASE_FEE: Final = 1
"""Wei (EIP-4844); excessBlobGas is 0 where there are no blobs."""
HISTORY_MAX: Final = 1_024
"""Blocks in one answer of eth_feeHistory, as in geth."""
PERCENTILES_MAX: Final = 100


def gas_price(context: Context) -> Json:
    """Return what a legacy transaction should offer per gas."""
    return quantity(context.core.base_fee + SUGGESTED_TIP)


def max_priority_fee_per_gas(context: Context) -> Json:
    """Return the tip that is enough."""
    return quantity(SUGGESTED_TIP)


def blob_base_fee(context: Context) -> Json:
    """Return what a unit of blob gas would cost, if there were blobs: Ethereum's minimum."""
    return quantity(BLOB_BASE_FEE)


def parse_block_count(value: object) -> int:
    """Read how many blocks are wanted: a quantity or a plain number."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise ValueError("block count must not be negative")
        return value
    return parse_quantity(value)


def parse_percentiles(value: object) -> tuple[float, ...]:
    """Read percentiles: numbers from 0 to 100, none lower than the one before."""
    if not isinstance(value, list):
        raise ValueError("cannot unmarshal non-array into percentiles")
    if len(value) > PERCENTILES_MAX:
        raise ValueError(f"invalid reward percentile: over the query limit {PERCENTILES_MAX}")
    percentiles: list[float] = []
    for item in value:
        if not isinstance(item, int | float) or isinstance(item, bool) or not 0 <= item <= 100:
            raise ValueError(f"invalid reward percentile: {str(item)[:30]}")
        if percentiles and item < percentiles[-1]:
            raise ValueError(f"invalid reward percentile: {item} after {percentiles[-1]}")
        percentiles.append(item)
    return tuple(percentiles)


async def fee_history(
    context: Context, count: int, newest: BlockRef, percentiles: tuple[float, ...]
) -> Json:
    """Return base fees, gas used and, for percentiles, the tips that blocks were paid."""
    core = context.core
    last = (await get_block(core, newest)).header.number
    count = min(count, HISTORY_MAX, last + 1)
    if count == 0:
        return {"oldestBlock": "0x0", "gasUsedRatio": None, "baseFeePerGas": None}
    oldest = last - count + 1
    blocks: list[Block] = []
    for height in range(oldest, last + 1):
        block = await core.block_by_number(Height(height))
        if block is None:
            raise ServerError(f"block {height} is not kept here")
        blocks.append(block)
    headers = [block.header for block in blocks]
    result: dict[str, Json] = {
        "oldestBlock": quantity(oldest),
        "baseFeePerGas": [quantity(fee) for fee in [*(h.base_fee for h in headers), core.base_fee]],
        "gasUsedRatio": [header.gas_used / header.gas_limit for header in headers],
    }
    if percentiles:
        result["reward"] = [
            [
                quantity(tip)
                for tip in compute_tips(block, await _receipts(context, block), percentiles)
            ]
            for block in blocks
        ]
    return result


async def _receipts(context: Context, block: Block) -> Sequence[Receipt]:
    receipts = await context.core.receipts(block.hash)
    if receipts is None:
        raise InvalidParams(f"receipts of block {block.header.number} are not kept here")
    return receipts


def compute_tips(
    block: Block, receipts: Sequence[Receipt], percentiles: Sequence[float]
) -> list[int]:
    """Return the tip at each percentile of the block's gas, cheapest first, as geth weighs them.

    System transactions use no gas and so don't count; a block without others has tips of 0.
    """
    paid = sorted(
        (receipt.effective_gas_price - block.header.base_fee, receipt.gas_used)
        for receipt in receipts
        if receipt.gas_used
    )
    if not paid:
        return [0] * len(percentiles)
    sums = list(accumulate(gas for _, gas in paid))
    tips: list[int] = []
    place = 0
    for percentile in percentiles:
        while sums[place] < int(block.header.gas_used * percentile / 100) and place < len(paid) - 1:
            place += 1
        tips.append(paid[place][0])
    return tips
