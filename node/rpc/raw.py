"""Blocks, headers, receipts and transactions as the bytes that are hashed.

With them a user recomputes every hash and root with a library of their own.
"""

from node.chain.block import encode_header, encode_raw_block, encode_receipt
from node.rpc.blocks import BlockRef, find_block, get_block
from node.rpc.context import Context
from node.rpc.errors import ServerError
from node.rpc.hex import data
from node.rpc.render import Json
from node.units import Hash32


async def get_raw_header(context: Context, ref: BlockRef) -> Json:
    """Return a header's RLP: its keccak256 is the block hash."""
    return data(encode_header((await get_block(context.core, ref)).header))


async def get_raw_block(context: Context, ref: BlockRef) -> Json:
    """Return a block's RLP: header, transactions, no ommers, no withdrawals."""
    return data(encode_raw_block(await get_block(context.core, ref)))


async def get_raw_receipts(context: Context, ref: BlockRef) -> Json:
    """Return a block's receipts, each as the receipt trie holds it."""
    block = await get_block(context.core, ref)
    receipts = await context.core.receipts(block.hash)
    if receipts is None:
        raise ServerError("receipts of this block are not kept here")
    return [data(encode_receipt(receipt)) for receipt in receipts]


async def get_raw_transaction(context: Context, tx_hash: Hash32) -> Json:
    """Return the bytes of a transaction, mined or waiting; "0x" if it is unknown."""
    recent = context.recent.find(tx_hash)
    if recent is not None:
        return data(recent.block.transactions[recent.tx_index].raw)
    pending = context.core.pending_transaction(tx_hash)
    if pending is not None:
        return data(pending.raw)
    located = await context.core.transaction(tx_hash)
    return "0x" if located is None else data(located.block.transactions[located.tx_index].raw)


async def get_raw_transaction_by_block(context: Context, ref: BlockRef, index: int) -> Json:
    """Return the bytes of the transaction at a place in a block; "0x" if there is none."""
    block = await find_block(context.core, ref)
    if block is None or ref == "pending" or index >= len(block.transactions):
        return "0x"
    return data(block.transactions[index].raw)
