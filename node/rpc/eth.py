"""The chain as wallets read it: heads, blocks, accounts, transactions, receipts, proofs."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Final

from node.chain.block import Block, block_size
from node.crypto import keccak256
from node.rpc.blocks import BlockRef, find_block, get_block
from node.rpc.context import Context
from node.rpc.errors import ServerError
from node.rpc.hex import data, quantity
from node.rpc.render import (
    Json,
    render_block,
    render_header,
    render_mined,
    render_pending,
    render_pending_block,
    render_pending_header,
    render_proof,
    render_receipt,
    render_receipts,
)
from node.state.store import EMPTY_TRIE_ROOT
from node.units import Address, Hash32, Height

CLIENT_VERSION: Final = (
    f"perpnode/v{version('perpnode')}/"
    f"{platform.system().lower()}-{platform.machine().lower()}/python{platform.python_version()}"
)


# --- the node -------------------------------------------------------------------------------------


def chain_id(context: Context) -> Json:
    """Return the chain id that transactions are signed for."""
    return quantity(context.core.chain_id)


def net_version(context: Context) -> Json:
    """Return the chain id as a decimal string."""
    return str(context.core.chain_id)


def net_listening(context: Context) -> Json:
    """Return true: whoever asks has been heard."""
    return True


def client_version(context: Context) -> Json:
    """Return this software's name, version and platform."""
    return CLIENT_VERSION


def syncing(context: Context) -> Json:
    """Return false: what is served is executed."""
    return False


def coinbase(context: Context) -> Json:
    """Return where gas goes: the Fees account."""
    return data(context.core.heads().latest.header.coinbase)


def peer_count(context: Context) -> Json:
    """Return how many nodes are linked to this one."""
    return quantity(len(context.core.status().peers))


def sha3(context: Context, value: bytes) -> Json:
    """Return the keccak256 of bytes."""
    return data(keccak256(value))


# --- blocks ---------------------------------------------------------------------------------------


def block_number(context: Context) -> Json:
    """Return the height of the head."""
    return quantity(context.core.heads().latest.header.number)


async def get_block_by_number(context: Context, ref: BlockRef, full: bool) -> Json:
    """Return a block, null if there is none; `pending` is the empty block after the head."""
    block = await find_block(context.core, ref)
    if block is None:
        return None
    if ref == "pending":
        return render_pending_block(_next_block(context, block))
    return render_block(block, full=full)


async def get_block_by_hash(context: Context, block_hash: Hash32, full: bool) -> Json:
    """Return a block, null if there is none."""
    block = await context.core.block_by_hash(block_hash)
    return None if block is None else render_block(block, full=full)


async def get_header_by_number(context: Context, ref: BlockRef) -> Json:
    """Return a header, null if there is none; `pending` is the one after the head."""
    block = await find_block(context.core, ref)
    if block is None:
        return None
    if ref == "pending":
        return render_pending_header(_next_block(context, block).header)
    return render_header(block.header, block.hash)


async def get_header_by_hash(context: Context, block_hash: Hash32) -> Json:
    """Return a header, null if there is none."""
    block = await context.core.block_by_hash(block_hash)
    return None if block is None else render_header(block.header, block.hash)


async def count_uncles(context: Context, ref: BlockRef) -> Json:
    """Return 0 for a block, which never has an uncle, null if there is no such block."""
    return None if await find_block(context.core, ref) is None else quantity(0)


async def get_uncle(context: Context, ref: BlockRef, index: int) -> Json:
    """Return null: no block has uncles."""
    return None


async def count_transactions(context: Context, ref: BlockRef) -> Json:
    """Return how many transactions a block holds, null if there is no such block."""
    if ref == "pending":
        return quantity(0)
    block = await find_block(context.core, ref)
    return None if block is None else quantity(len(block.transactions))


async def get_block_receipts(context: Context, ref: BlockRef) -> Json:
    """Return all receipts of a block, null if there is no such block."""
    block = await find_block(context.core, ref)
    if block is None or ref == "pending":
        return None
    receipts = await context.core.receipts(block.hash)
    return None if receipts is None else list(render_receipts(block, receipts))


def _next_block(context: Context, head: Block) -> Block:
    """Return the block after the head as far as it is known: nothing is chosen for it yet."""
    parent = head.header
    header = parent._replace(
        parent_hash=head.hash,
        number=Height(parent.number + 1),
        gas_limit=context.core.gas_limit,
        gas_used=0,
        base_fee=context.core.base_fee,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=bytes(256),
    )
    size = block_size(header, ())
    return head._replace(header=header, transactions=(), transitions=(), size=size)


# --- accounts -------------------------------------------------------------------------------------


async def get_balance(context: Context, address: Address, ref: BlockRef) -> Json:
    """Return an account's native coin in wei."""
    block = await get_block(context.core, ref)
    return quantity((await context.core.account(address, block)).balance)


async def get_code(context: Context, address: Address, ref: BlockRef) -> Json:
    """Return an account's code: system contracts have some, so that wallets call them contracts."""
    block = await get_block(context.core, ref)
    return data((await context.core.account(address, block)).code)


async def get_transaction_count(context: Context, address: Address, ref: BlockRef) -> Json:
    """Return an account's next nonce; `pending` counts what waits without a gap."""
    block = await get_block(context.core, ref)
    nonce = (await context.core.account(address, block)).nonce
    if ref == "pending":
        nonce = max(nonce, context.core.pending_nonce(address))
    return quantity(nonce)


async def get_storage_at(context: Context, address: Address, key: Hash32, ref: BlockRef) -> Json:
    """Return the keccak256 of the record under a key, zero if there is none."""
    block = await get_block(context.core, ref)
    return data(await context.core.storage_digest(address, key, block))


async def get_proof(
    context: Context, address: Address, keys: Sequence[tuple[str, Hash32]], ref: BlockRef
) -> Json:
    """Return an account and some of its records with their Merkle proofs (EIP-1186)."""
    block = await get_block(context.core, ref)
    proof = await context.core.proof(address, [key for _, key in keys], block)
    return render_proof([name for name, _ in keys], proof)


# --- transactions ---------------------------------------------------------------------------------


async def get_transaction_by_hash(context: Context, tx_hash: Hash32) -> Json:
    """Return a transaction, mined or waiting, null if it is unknown.

    Who waits is asked first: what a block takes is on the chain before it leaves the mempool.
    """
    recent = context.recent.find(tx_hash)
    if recent is not None:
        return render_mined(recent.block, recent.tx_index)
    pending = context.core.pending_transaction(tx_hash)
    if pending is not None:
        return render_pending(pending)
    located = await context.core.transaction(tx_hash)
    return None if located is None else render_mined(located.block, located.tx_index)


async def get_transaction_by_block(context: Context, ref: BlockRef, index: int) -> Json:
    """Return the transaction at a place in a block, null if there is none."""
    block = await find_block(context.core, ref)
    if block is None or ref == "pending" or index >= len(block.transactions):
        return None
    return render_mined(block, index)


async def get_transaction_receipt(context: Context, tx_hash: Hash32) -> Json:
    """Return a mined transaction's receipt, null while it waits or if it is unknown."""
    recent = context.recent.find(tx_hash)
    if recent is not None:
        return render_receipt(recent.block, recent.tx_index, recent.receipt, recent.first_log)
    located = await context.core.transaction(tx_hash)
    if located is None:
        return None
    receipts = await context.core.receipts(located.block.hash)
    if receipts is None:
        raise ServerError("receipts of this block are not kept here")
    first_log = sum(len(receipt.logs) for receipt in receipts[: located.tx_index])
    return render_receipt(located.block, located.tx_index, located.receipt, first_log)
