"""What waits for a block: the mempool as geth's txpool namespace shows it.

"pending" could be in the next block, "queued" waits for an earlier nonce of its sender.
"""

from collections.abc import Callable, Iterable
from typing import Final

from node.chain.transaction import Transaction
from node.crypto import checksum_address
from node.rpc.context import Context
from node.rpc.errors import ServerError
from node.rpc.hex import quantity
from node.rpc.render import Json, render_pending
from node.units import Address

CONTENT_MAX: Final = 10_000
"""Transactions in one answer: some 8 MB."""


async def get_status(context: Context) -> Json:
    """Return how many transactions are pending and how many queued."""
    contents = await context.core.pool()
    return {"pending": quantity(len(contents.pending)), "queued": quantity(len(contents.queued))}


async def get_content(context: Context) -> Json:
    """Return all waiting transactions by sender and nonce."""
    return await _show(context, render_pending)


async def inspect(context: Context) -> Json:
    """Return all waiting transactions by sender and nonce, each in one line."""
    return await _show(context, _summarize)


async def get_content_from(context: Context, address: Address) -> Json:
    """Return a sender's waiting transactions by nonce."""
    contents = await context.core.pool(address)
    _require_few(len(contents.pending) + len(contents.queued))
    return {
        "pending": {str(tx.nonce): render_pending(tx) for tx in contents.pending},
        "queued": {str(tx.nonce): render_pending(tx) for tx in contents.queued},
    }


async def _show(context: Context, render: Callable[[Transaction], Json]) -> Json:
    contents = await context.core.pool()
    _require_few(len(contents.pending) + len(contents.queued))
    return {
        "pending": _by_sender(contents.pending, render),
        "queued": _by_sender(contents.queued, render),
    }


def _require_few(count: int) -> None:
    if count > CONTENT_MAX:
        raise ServerError(
            f"{count} transactions wait, at most {CONTENT_MAX} are shown: "
            "ask txpool_contentFrom for one sender"
        )


def _by_sender(transactions: Iterable[Transaction], render: Callable[[Transaction], Json]) -> Json:
    senders: dict[str, dict[str, Json]] = {}
    for tx in transactions:
        senders.setdefault(checksum_address(tx.sender), {})[str(tx.nonce)] = render(tx)
    return senders


def _summarize(tx: Transaction) -> str:
    to = checksum_address(tx.to)
    return f"{to}: {tx.value} wei + {tx.gas_limit} gas \N{MULTIPLICATION SIGN} {tx.max_fee} wei"
