"""Compare a received block with the one computed here: header, body, result, in that order.

The first difference is the evidence: block, field, both values (DESIGN section 4).
"""

from node.chain.block import Block
from node.chain.transition import compare_transitions
from node.errors import BodyMismatch, HeaderMismatch, TransitionMismatch


def validate_successor(block: Block, parent: Block) -> None:
    """Check what the header says of its parent and of time, before executing anything."""
    height = block.header.number
    _same(height, "number", height, parent.header.number + 1)
    _same(height, "parent_hash", block.header.parent_hash, parent.hash)
    if block.extension.time_ms <= parent.extension.time_ms:
        raise HeaderMismatch(
            height, "time_ms", block.extension.time_ms, f"more than {parent.extension.time_ms}"
        )
    _same(height, "timestamp", block.header.timestamp, block.extension.time_ms // 1000)


def validate_result(block: Block, computed: Block) -> None:
    """Check body, transitions and every header field against the block computed here."""
    height = computed.header.number
    for index, (was, expected) in enumerate(
        zip(block.transactions, computed.transactions, strict=False)
    ):
        if was.raw != expected.raw:
            raise BodyMismatch(height, f"transactions[{index}]", was.hash, expected.hash)
    if len(block.transactions) != len(computed.transactions):
        raise BodyMismatch(
            height, "transactions", len(block.transactions), len(computed.transactions)
        )
    for index, (was_bytes, expected_bytes) in enumerate(
        zip(block.transitions, computed.transitions, strict=False)
    ):
        difference = compare_transitions(was_bytes, expected_bytes)
        if difference is not None:
            raise TransitionMismatch(
                height,
                f"transitions[{index}] {difference.field}",
                difference.value,
                difference.expected,
            )
    if len(block.transitions) != len(computed.transitions):
        raise TransitionMismatch(
            height, "transitions", len(block.transitions), len(computed.transitions)
        )
    for name, was_field, expected_field in zip(
        block.extension._fields, block.extension, computed.extension, strict=True
    ):
        _same(height, f"extension.{name}", was_field, expected_field)
    for name, was_field, expected_field in zip(
        block.header._fields, block.header, computed.header, strict=True
    ):
        _same(height, name, was_field, expected_field)
    _same(height, "hash", block.hash, computed.hash)


def _same(height: int, field: str, value: object, expected: object) -> None:
    if value != expected:
        raise HeaderMismatch(height, field, value, expected)
