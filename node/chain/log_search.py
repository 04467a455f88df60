"""Finding logs: a block's bloom says where they can't be, its receipts where they are."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from node.chain.block import Block, Receipt, bloom_contains
from node.system.logs import Log
from node.units import Address, Hash32


class FoundLog(NamedTuple):
    """A log and where it is."""

    block: Block
    tx_index: int
    log_index: int
    """Counts over the block."""
    log: Log


def may_match(
    bloom: bytes, addresses: Sequence[Address], topics: Sequence[Sequence[Hash32]]
) -> bool:
    """Return False if no log under this bloom matches; True if one may."""
    wanted = [addresses, *topics]
    return all(
        not choices or any(bloom_contains(bloom, choice) for choice in choices)
        for choices in wanted
    )


def match_receipts(
    block: Block,
    receipts: Sequence[Receipt],
    addresses: Sequence[Address],
    topics: Sequence[Sequence[Hash32]],
) -> Iterator[FoundLog]:
    """Yield a block's logs that match; `addresses` and each of `topics` match any when empty."""
    log_index = 0
    for tx_index, receipt in enumerate(receipts):
        for log in receipt.logs:
            if _matches(log, addresses, topics):
                yield FoundLog(block, tx_index, log_index, log)
            log_index += 1


def _matches(log: Log, addresses: Sequence[Address], topics: Sequence[Sequence[Hash32]]) -> bool:
    if addresses and log.address not in addresses:
        return False
    if len(topics) > len(log.topics):
        return False
    return all(
        not choices or topic in choices for choices, topic in zip(topics, log.topics, strict=False)
    )
