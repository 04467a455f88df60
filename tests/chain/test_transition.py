"""Comparing two lists of transitions: what is named first, and how."""

import pytest

from node.chain.transition import (
    NOTHING,
    Difference,
    compare_transitions,
    decode_transition,
    describe_transition,
    encode_transition,
    name_transition,
)
from node.errors import EncodingError
from node.perp.events import FundingAccrued, ModeChanged, PriceAccepted
from node.perp.status import Mode, ModeReason
from node.units import DurationMs, FundingIndex, MarketId, RatePpb, Ticks


def encode(event: object) -> bytes:
    encoded = encode_transition(event)
    assert encoded is not None
    return encoded


def price(market: int, before: int, after: int) -> bytes:
    return encode(PriceAccepted(MarketId(market), Ticks(before), Ticks(after)))


def accrued(market: int, before: int, after: int) -> bytes:
    return encode(
        FundingAccrued(
            MarketId(market),
            FundingIndex(before),
            FundingIndex(after),
            RatePpb(100),
            DurationMs(1_000),
        )
    )


A, B, C = price(1, 10, 11), accrued(1, 5, 7), accrued(2, 0, 1)


def test_equal_lists_have_no_difference() -> None:
    assert compare_transitions([A, B, C], [A, B, C]) is None
    assert compare_transitions([], []) is None


def test_the_first_field_that_differs_is_named_with_its_subject() -> None:
    assert compare_transitions([A, accrued(1, 0, 2), C], [A, B, C]) == Difference(
        1, "market 1, FundingAccrued.index_before", 0, 5
    )
    assert compare_transitions([A, accrued(1, 5, 8), C], [A, B, C]) == Difference(
        1, "market 1, FundingAccrued.index", 8, 7
    )


@pytest.mark.parametrize("index", [0, 1, 2])
def test_a_dropped_item_is_named(index: int) -> None:
    whole = [A, B, C]
    dropped = whole[:index] + whole[index + 1 :]

    difference = compare_transitions(dropped, whole)

    assert difference == Difference(
        index, name_transition(whole[index]), NOTHING, describe_transition(whole[index])
    )


@pytest.mark.parametrize("index", [0, 1, 2, 3])
def test_an_added_item_is_named(index: int) -> None:
    whole, extra = [A, B, C], price(7, 1, 2)
    longer = [*whole[:index], extra, *whole[index:]]

    difference = compare_transitions(longer, whole)

    assert difference == Difference(
        index, "market 7, PriceAccepted", describe_transition(extra), NOTHING
    )


def test_items_out_of_place_are_told_whole() -> None:
    difference = compare_transitions([B, A, C], [A, B, C])

    assert difference == Difference(
        0, "market 1, PriceAccepted", describe_transition(B), describe_transition(A)
    )


def test_another_kind_in_its_place_is_told_whole() -> None:
    other = price(3, 1, 2)

    difference = compare_transitions([A, other, C], [A, B, C])

    assert difference == Difference(
        1, "market 1, FundingAccrued", describe_transition(other), describe_transition(B)
    )


@pytest.mark.parametrize("junk", [b"", b"\xff", A[:-1], A + b"\0"])
def test_what_is_no_transition_is_told_in_hex(junk: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_transition(junk)

    difference = compare_transitions([junk, B], [A, B])

    assert difference is not None
    assert difference.field == "market 1, PriceAccepted"
    assert difference.value == f"0x{junk.hex()}, which is no transition"


def test_a_transition_is_described_by_names() -> None:
    changed = encode(ModeChanged(MarketId(0), Mode.OPEN, Mode.CANCEL_ONLY, ModeReason.GAP))

    assert name_transition(changed) == "chain, ModeChanged"
    assert describe_transition(changed) == (
        "ModeChanged(market=0, mode_before=OPEN, mode=CANCEL_ONLY, reason=GAP)"
    )
