"""The development helpers by the names that anvil's and hardhat's users call, with their answers.

All of them exist only where genesis says `dev`, at the sequencer, and are guarded (DESIGN sections
9 and 10). What can't be done is -32602 in anvil's words; where no block can be made now, -32000.
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from node.chain.block import Block
from node.chain.development import (
    AddBalance,
    Operation,
    SetAllowance,
    SetBalance,
    SetNonce,
    SetTokens,
)
from node.chain.transaction import Transaction, decode_transaction
from node.consensus.development import Development
from node.consensus.reorg import Wish
from node.errors import InvalidTransaction
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.eth import CLIENT_VERSION
from node.rpc.hex import INT64_MAX, INT256_MAX, data, parse_data, parse_quantity, quantity
from node.rpc.render import Json, render_block
from node.rpc.signing import SendRequest, parse_unsent, wish_for
from node.system.contracts import TOKEN
from node.system.revert import describe_revert
from node.units import Address, Hash32, Quote, Wei

BLOCKS_MAX: Final = 10_000
"""In one request."""
INSERTIONS_MAX: Final = 1_000
"""Transactions in one reorg."""
SECONDS_MAX: Final = 2**40
"""Of block time: 35,000 years."""
FORWARD_SECONDS_MAX: Final = 7 * 86_400
"""In one perp_fastForward: 22,400 blocks."""
MILLISECONDS_FROM: Final = 10**12
"""From here on a time is in milliseconds, as in anvil."""

Helper = Development


# --- arguments ------------------------------------------------------------------------------------


def parse_number(value: object) -> int:
    """Read a number: JSON's, decimal or hexadecimal text."""
    if isinstance(value, int) and not isinstance(value, bool):
        if not 0 <= value <= INT256_MAX:
            raise ValueError("number out of range")
        return value
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return parse_quantity(hex(int(value.lstrip("0")[:100] or "0")))
    if isinstance(value, str) and value[:2] in ("0x", "0X"):
        return parse_quantity("0x" + (value[2:].lstrip("0") or "0"))
    return parse_quantity(value)


def parse_count(value: object) -> int:
    """Read a number of blocks."""
    return _within(parse_number(value), BLOCKS_MAX, "blocks")


def parse_seconds(value: object) -> int:
    """Read a duration or a time."""
    return _within(parse_number(value), SECONDS_MAX, "seconds")


def parse_time(value: object) -> int:
    """Read a time, in seconds or milliseconds, and return milliseconds."""
    number = parse_number(value)
    if number >= MILLISECONDS_FROM:
        return _within(number, SECONDS_MAX * 1_000, "milliseconds")
    return number * 1_000


def parse_forward(value: object) -> int:
    """Read how long a fast-forward is to be."""
    return _within(parse_number(value), FORWARD_SECONDS_MAX, "seconds")


def parse_int64(value: object) -> int:
    """Read a number below 2^63."""
    return _within(parse_number(value), INT64_MAX, "a 63-bit number")


class MineOptions(NamedTuple):
    """What evm_mine takes."""

    timestamp: int | None = None
    blocks: int = 1


def parse_mine(value: object) -> MineOptions:
    """Read a timestamp, or an object of timestamp and number of blocks."""
    if not isinstance(value, dict):
        return MineOptions(parse_seconds(value))
    timestamp, blocks = value.get("timestamp"), value.get("blocks")
    return MineOptions(
        None if timestamp is None else parse_seconds(timestamp),
        1 if blocks is None else parse_count(blocks),
    )


class Insertion(NamedTuple):
    """A transaction for one of a reorg's blocks."""

    transaction: Transaction | SendRequest
    """Signed, or for the node to sign."""
    is_nobodys: bool
    """Of one to sign: no sender is named."""
    block: int
    """Which of the new blocks, from 0."""


def parse_insertions(value: object) -> Sequence[Insertion]:
    """Read pairs of a transaction, signed bytes or an object, and a block's place."""
    if not isinstance(value, list):
        raise ValueError("want an array of [transaction, block] pairs")
    if len(value) > INSERTIONS_MAX:
        raise ValueError(f"at most {INSERTIONS_MAX} transactions")
    return [_parse_insertion(each) for each in value]


def _parse_insertion(pair: object) -> Insertion:
    if not isinstance(pair, list) or len(pair) != 2:
        raise ValueError("want [transaction, block] pairs")
    what, block = pair[0], parse_count(pair[1])
    if isinstance(what, str):
        try:
            return Insertion(decode_transaction(parse_data(what)), False, block)
        except InvalidTransaction as refusal:
            raise ServerError(str(refusal)) from None
    request = parse_unsent(what)
    return Insertion(request, what.get("from") is None, block)


def parse_reset(value: object) -> None:
    """Read the options of a reset; nothing can be forked from elsewhere.

    viem always sends an object to fork with, its members null unless something is wished.
    """
    forking = value.get("forking") if isinstance(value, Mapping) else value
    if forking is None:
        return
    if not isinstance(forking, Mapping) or any(each is not None for each in forking.values()):
        raise ValueError("this chain has its own rules: it can't fork another")


def _within(value: int, highest: int, what: str) -> int:
    if value > highest:
        raise ValueError(f"at most {highest} {what}")
    return value


def _require_token(token: Address) -> None:
    if token != TOKEN:
        raise InvalidParams(f"the only ERC-20 here is {data(TOKEN)}")


# --- state ----------------------------------------------------------------------------------------


async def _operate(context: Context, operation: Operation) -> Json:
    await context.core.develop(Helper.operate, operation)


async def set_balance(context: Context, account: Address, balance: int) -> Json:
    """Give an account exactly so much native coin, minted or burnt, and seal a block of it."""
    return await _operate(context, SetBalance(account, Wei(balance)))


async def add_balance(context: Context, account: Address, amount: int) -> Json:
    """Mint native coin for an account, and seal a block of it."""
    return await _operate(context, AddBalance(account, Wei(amount)))


async def set_nonce(context: Context, account: Address, nonce: int) -> Json:
    """Raise an account's next nonce, and seal a block of it; it is never lowered."""
    return await _operate(context, SetNonce(account, nonce))


async def deal_erc20(context: Context, account: Address, token: Address, amount: int) -> Json:
    """Give an account exactly so many tokens, minted or burnt, and seal a block of it."""
    _require_token(token)
    return await _operate(context, SetTokens(account, Quote(amount)))


async def set_allowance(
    context: Context, owner: Address, spender: Address, token: Address, amount: int
) -> Json:
    """Let a spender move so many of the owner's tokens, and seal a block of it."""
    _require_token(token)
    return await _operate(context, SetAllowance(owner, spender, amount))


async def dump_state(context: Context, _: bool) -> Json:
    """Return the head's whole state, gzip over JSON, as loadState takes it."""
    return data(await context.core.develop(Helper.dump))


async def load_state(context: Context, content: bytes) -> Json:
    """Go on with a dumped state of this genesis, at its time or later, in a block of its own.

    Who governs and validates stays as it is, and no nonce goes back.
    """
    await context.core.develop(Helper.load, content)
    return True


# --- time and blocks ------------------------------------------------------------------------------


async def mine(context: Context, blocks: int, interval: int) -> Json:
    """Make blocks now, each so many seconds after the one before if an interval is given."""
    await context.core.develop(Helper.mine, blocks, interval * 1_000)


async def evm_mine(context: Context, wanted: MineOptions) -> Json:
    """Make a block now, or several; the first one at a timestamp if one is given."""
    if wanted.timestamp is not None:
        await context.core.develop(Helper.set_next_time, wanted.timestamp * 1_000)
    await context.core.develop(Helper.mine, wanted.blocks, 0)
    return "0x0"


async def mine_detailed(context: Context, wanted: MineOptions) -> Json:
    """Make blocks as evm_mine does, and return them with their transactions in full.

    A reverted one has its `output`, the ABI error, and in words `revertReason`; what others
    returned is not kept.
    """
    if wanted.timestamp is not None:
        await context.core.develop(Helper.set_next_time, wanted.timestamp * 1_000)
    blocks: list[Block] = await context.core.develop(Helper.mine, wanted.blocks, 0)
    return [await _render_detailed(context, block) for block in blocks]


async def _render_detailed(context: Context, block: Block) -> Json:
    shown = render_block(block, full=True)
    for tx, receipt in zip(
        shown["transactions"], await context.core.receipts(block.hash) or (), strict=True
    ):
        if receipt.output:
            tx["output"] = data(receipt.output)
            tx["revertReason"] = describe_revert(receipt.output)
    return shown


async def increase_time(context: Context, seconds: int) -> Json:
    """Move time on, in a block that says so; return the whole offset from the clock, in seconds."""
    offset_ms = await context.core.develop(Helper.increase_time, seconds * 1_000)
    return _nearest_second(offset_ms)


async def set_time(context: Context, time_ms: int) -> Json:
    """Let it be a time now, in a block that says so; return how many seconds that is ahead."""
    ahead_ms = await context.core.develop(Helper.set_time, time_ms)
    return max(0, _nearest_second(ahead_ms))


async def set_next_block_timestamp(context: Context, seconds: int) -> Json:
    """Give the next block exactly this timestamp; time goes on from there."""
    await context.core.develop(Helper.set_next_time, seconds * 1_000)


async def set_timestamp_interval(context: Context, seconds: int) -> Json:
    """Let each block be so many seconds after its parent."""
    await context.core.develop(Helper.set_step, seconds * 1_000)


async def set_timestamp_interval_ms(context: Context, milliseconds: int) -> Json:
    """Let each block be so many milliseconds after its parent: hardhat's name has its unit."""
    await context.core.develop(Helper.set_step, milliseconds)


async def remove_timestamp_interval(context: Context) -> Json:
    """Let blocks be when the clock says; true if an interval was set."""
    return await context.core.develop(Helper.set_step, None)


async def fast_forward(context: Context, seconds: int) -> Json:
    """Let time pass with blocks and each market's last price on the way, so that funding accrues.

    Returns how many blocks it took, and the head then.
    """
    blocks = await context.core.develop(Helper.fast_forward, seconds * 1_000)
    head = context.core.heads().latest
    return {
        "blocks": blocks,
        "blockNumber": head.header.number,
        "timeMs": head.extension.time_ms,
    }


def _nearest_second(ms: int) -> int:
    return (ms + 500) // 1_000


# --- back -----------------------------------------------------------------------------------------


async def snapshot(context: Context) -> Json:
    """Remember the head, and return an id to go back to it once."""
    return quantity(await context.core.develop(Helper.snapshot))


async def revert(context: Context, number: int) -> Json:
    """Go back to a snapshot, time included; used up with all later ones; false if there is none.

    The mempool is empty afterwards.
    """
    return await context.core.develop(Helper.revert, number)


async def rollback(context: Context, depth: int) -> Json:
    """Go back by so many blocks, time included; the mempool is empty afterwards."""
    await context.core.develop(Helper.rollback, depth)


async def reorg(context: Context, depth: int, insertions: Sequence[Insertion]) -> Json:
    """Leave so many blocks and make as many others, which hold the given transactions alone.

    A pair is a transaction, its signed bytes or an object for an own or impersonated account (no
    `from`: the first one), and which of the new blocks holds it, from 0. What can't be there is
    refused before anything is left. Time goes on from the last common block; the mempool is empty.
    """
    wishes: list[list[Wish]] = [[] for _ in range(depth)]
    for each in insertions:
        if each.block >= depth:
            raise InvalidParams(
                "Block number for reorg tx will exceed the reorged chain height. "
                f"Block number {each.block} must not exceed (depth-1) {depth - 1}"
            )
        wishes[each.block].append(await _wish(context, each))
    await context.core.develop(Helper.reorg, wishes)


async def _wish(context: Context, insertion: Insertion) -> Wish:
    wanted = insertion.transaction
    if isinstance(wanted, Transaction):
        signed = wanted
        return Wish(signed.sender, signed.nonce, lambda _: signed)
    if insertion.is_nobodys:
        own = context.accounts.addresses()
        if not own:
            raise InvalidParams("No Signer available: eth_accounts is empty")
        wanted = wanted._replace(call=wanted.call._replace(sender=own[0]))
    return await wish_for(context, wanted)


async def reset(context: Context, _: None) -> Json:
    """Go back to block 0; the mempool is empty afterwards."""
    await context.core.develop(Helper.reset)


# --- impersonation --------------------------------------------------------------------------------


async def impersonate(context: Context, account: Address) -> Json:
    """Let eth_sendTransaction send in an account's name, without its key."""
    await context.core.develop(Helper.impersonate, account)


async def stop_impersonating(context: Context, account: Address) -> Json:
    """End an account's impersonation."""
    await context.core.develop(Helper.stop_impersonating, account)


async def impersonate_all(context: Context, is_on: bool) -> Json:
    """Let eth_sendTransaction send in everybody's name, or no longer."""
    await context.core.develop(Helper.impersonate_all, is_on)


# --- pace and pool --------------------------------------------------------------------------------


async def set_automine(context: Context, is_on: bool) -> Json:
    """Seal with every transaction; off: blocks come only when they are asked for."""
    await context.core.develop(Helper.set_automine, is_on)


async def get_automine(context: Context) -> Json:
    """Tell whether a block follows each transaction."""
    return await context.core.develop(Helper.is_automine)


async def set_interval_mining(context: Context, seconds: int) -> Json:
    """Seal every so many seconds; 0: blocks come only when they are asked for."""
    await context.core.develop(Helper.set_interval, seconds * 1_000)


async def get_interval_mining(context: Context) -> Json:
    """Return how many seconds apart blocks come by themselves, null if they don't."""
    interval_ms = await context.core.develop(Helper.interval_ms)
    if interval_ms is None:
        return None
    return interval_ms // 1_000 if interval_ms % 1_000 == 0 else interval_ms / 1_000


async def drop_transaction(context: Context, tx_hash: Hash32) -> Json:
    """Take a waiting transaction out of the mempool; return its hash, null if it did not wait."""
    was_there = await context.core.develop(Helper.drop, tx_hash)
    return data(tx_hash) if was_there else None


async def drop_all_transactions(context: Context) -> Json:
    """Empty the mempool."""
    await context.core.develop(Helper.drop_all)


async def remove_pool_transactions(context: Context, sender: Address) -> Json:
    """Take all of a sender's waiting transactions out of the mempool."""
    await context.core.develop(Helper.drop_sender, sender)


# --- the node -------------------------------------------------------------------------------------

_INSTANCE_ID: Final = data(secrets.token_bytes(32))
"""Tells this process from the one before."""


async def node_info(context: Context) -> Json:
    """Return what anvil says of a running node."""
    core, head = context.core, context.core.heads().latest
    return {
        "currentBlockNumber": head.header.number,
        "currentBlockTimestamp": head.header.timestamp,
        "currentBlockHash": data(head.hash),
        "hardFork": "shanghai",
        "transactionOrder": "class, then arrival",
        "environment": {
            "baseFee": quantity(core.base_fee),
            "chainId": core.chain_id,
            "gasLimit": quantity(core.gas_limit),
            "gasPrice": quantity(core.base_fee),
        },
        "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
    }


async def metadata(context: Context) -> Json:
    """Return client, chain, instance and the snapshots that one could go back to."""
    core, head = context.core, context.core.heads().latest
    marks: list[Any] = list(await core.develop(Helper.marks))
    return {
        "clientVersion": CLIENT_VERSION,
        "chainId": core.chain_id,
        "instanceId": _INSTANCE_ID,
        "latestBlockNumber": head.header.number,
        "latestBlockHash": data(head.hash),
        "forkedNetwork": None,
        "snapshots": {
            quantity(number): [block.header.number, data(block.hash)] for number, block in marks
        },
    }


async def set_logging(context: Context, is_on: bool) -> Json:
    """Let this node write its log, or only what goes wrong."""
    await context.core.develop(Helper.set_logging, is_on)
