"""Which logs a caller wants, and the search for them."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from node.chain.block import Block, Receipt
from node.consensus.core import Core
from node.rpc.blocks import Tag, find_block, parse_block_number
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, ServerError
from node.rpc.hex import parse_address, parse_hash
from node.rpc.render import Json, render_log
from node.system.logs import Log
from node.units import Address, Hash32, Height

RANGE_MAX: Final = 1_000_000
"""Blocks in one query."""
RESULTS_MAX: Final = 10_000
"""Logs in one answer."""
ADDRESSES_MAX: Final = 1_000
TOPICS_MAX: Final = 4
ALTERNATIVES_MAX: Final = 1_000
_SLICE: Final = 1_000
"""Blocks asked of the core at once, so that others get their turn."""


class LogFilter(NamedTuple):
    """Criteria of eth_getLogs, eth_newFilter and eth_subscribe."""

    from_block: Tag | Height
    to_block: Tag | Height
    block_hash: Hash32 | None
    addresses: tuple[Address, ...]
    """Empty: any."""
    topics: tuple[tuple[Hash32, ...], ...]
    """Alternatives by position, empty: any. A log with fewer topics does not match."""

    def matches(self, log: Log) -> bool:
        """Tell whether the log's address and topics are wanted."""
        if self.addresses and log.address not in self.addresses:
            return False
        if len(self.topics) > len(log.topics):
            return False
        return all(
            not wanted or topic in wanted
            for wanted, topic in zip(self.topics, log.topics, strict=False)
        )


def parse_log_filter(value: object) -> LogFilter:
    """Read the criteria object."""
    if not isinstance(value, dict):
        raise ValueError("cannot unmarshal non-object into a log filter")
    from_block, to_block = value.get("fromBlock"), value.get("toBlock")
    block_hash = value.get("blockHash")
    if block_hash is not None and (from_block is not None or to_block is not None):
        raise ValueError("cannot specify both BlockHash and FromBlock/ToBlock, choose one")
    return LogFilter(
        from_block="latest" if from_block is None else parse_block_number(from_block),
        to_block="latest" if to_block is None else parse_block_number(to_block),
        block_hash=None if block_hash is None else parse_hash(block_hash),
        addresses=_parse_alternatives(
            value.get("address"), parse_address, ADDRESSES_MAX, "exceed max addresses"
        ),
        topics=_parse_topics(value.get("topics")),
    )


def _parse_topics(value: object) -> tuple[tuple[Hash32, ...], ...]:
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError("invalid topics: want an array")
    if len(value) > TOPICS_MAX:
        raise ValueError("exceed max topics")
    return tuple(
        _parse_alternatives(item, parse_hash, ALTERNATIVES_MAX, "exceed max topics")
        for item in value
    )


def _parse_alternatives(
    value: Any, parse: Callable[[object], Any], most: int, excess: str
) -> tuple[Any, ...]:
    """Read one value or an array of them; null, also as an element, means any."""
    if value is None:
        return ()
    if not isinstance(value, list):
        return (parse(value),)
    if len(value) > most:
        raise ValueError(excess)
    return () if None in value else tuple(map(parse, value))


def find_matching(
    wanted: LogFilter, block: Block, receipts: Sequence[Receipt]
) -> Iterator[tuple[int, int, Log]]:
    """Yield (transaction index, log index in the block, log) of a block's wanted logs."""
    log_index = 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            if wanted.matches(log):
                yield tx_index, log_index, log
            log_index += 1


def render_matching(
    wanted: LogFilter, block: Block, receipts: Sequence[Receipt], *, are_removed: bool = False
) -> Iterator[dict[str, Json]]:
    """Yield a block's wanted logs, of a block of the chain or of one that a fork removed."""
    for tx_index, log_index, log in find_matching(wanted, block, receipts):
        yield render_log(
            block,
            log,
            tx_hash=block.transactions[tx_index].hash,
            tx_index=tx_index,
            log_index=log_index,
            is_removed=are_removed,
        )


async def query_logs(core: Core, wanted: LogFilter) -> list[dict[str, Json]]:
    """Return all logs that are wanted; raise InvalidParams for a range that makes no sense."""
    if wanted.block_hash is not None:
        block = await core.block_by_hash(wanted.block_hash)
        receipts = None if block is None else await core.receipts(block.hash)
        if block is None or receipts is None:
            raise ServerError("unknown block")
        return list(render_matching(wanted, block, receipts))
    first, last = await resolve_range(core, wanted)
    if first > last:
        raise InvalidParams("invalid block range params")
    if last > core.heads().latest.header.number:
        raise InvalidParams("block range extends beyond current head block")
    return await query_range(core, wanted, first, last)


async def resolve_range(core: Core, wanted: LogFilter) -> tuple[Height, Height]:
    """Return the heights that the criteria's tags stand for now."""
    bounds: list[Height] = []
    for ref in (wanted.from_block, wanted.to_block):
        if isinstance(ref, str):
            block = await find_block(core, ref)
            if block is None:
                raise ServerError("unknown block")
            bounds.append(block.header.number)
        else:
            bounds.append(ref)
    return bounds[0], bounds[1]


async def query_range(
    core: Core, wanted: LogFilter, first: Height, last: Height
) -> list[dict[str, Json]]:
    """Return the wanted logs of the blocks from `first` to `last`, both included."""
    if last - first >= RANGE_MAX:
        raise InvalidParams(f"block range too large: at most {RANGE_MAX} blocks")
    found: list[dict[str, Json]] = []
    for start in range(first, last + 1, _SLICE):
        end = Height(min(start + _SLICE - 1, last))
        limit = RESULTS_MAX - len(found)
        matching = await core.logs(Height(start), end, wanted.addresses, wanted.topics, limit)
        found.extend(
            render_log(
                each.block,
                each.log,
                tx_hash=each.block.transactions[each.tx_index].hash,
                tx_index=each.tx_index,
                log_index=each.log_index,
            )
            for each in matching
        )
        if len(found) > RESULTS_MAX:
            raise ServerError(f"query returned more than {RESULTS_MAX} results")
    return found


async def get_logs(context: Context, wanted: LogFilter) -> Json:
    """Return the logs of blocks that match the criteria."""
    return await query_logs(context.core, wanted)
