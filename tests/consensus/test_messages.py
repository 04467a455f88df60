"""Frames: every message comes back as it was, and whatever else arrives is an EncodingError."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.consensus import messages
from node.consensus.dispute import TEXT_MAX, Dispute
from node.consensus.messages import (
    CODES,
    FRAME_BYTES_MAX,
    LAST_PIECE,
    PIECE,
    PIECE_BYTES_MAX,
    AccountRow,
    Assembly,
    Attestation,
    Blocks,
    CertificateMessage,
    Changes,
    CouncilAction,
    DisputeMessage,
    ForkConfirmation,
    ForkPlan,
    GetBlocks,
    GetChanges,
    GetForkConfirmations,
    Hello,
    Message,
    Proposal,
    RecordRow,
    Reverted,
    SnapshotRequest,
    SnapshotSignature,
    decode_message,
    encode_message,
    split_frame,
)
from node.errors import EncodingError
from node.units import Address, Hash32, Height, Wei

HASH = Hash32(b"\7" * 32)
DISPUTE = Dispute(
    0, 0, Height(9), HASH, b"s" * 64, "market 1, X.y", "0", "1", b"", b"", 3, b"v" * 64
)
PROPOSAL = Proposal(b"block", b"s" * 64, b"certificate")
EVERY: list[Message] = [
    Hello(1, HASH, 5, 0, 0, b"k" * 32, Height(3), HASH, b"s" * 64),
    PROPOSAL,
    Attestation(Height(3), HASH, 2, b"s" * 64),
    CertificateMessage(b"certificate"),
    DisputeMessage(DISPUTE),
    GetBlocks(Height(4)),
    Blocks((PROPOSAL, PROPOSAL)),
    GetChanges(Height(4), HASH),
    Changes(
        Height(4),
        HASH,
        (AccountRow(Address(b"a" * 20), True, 1, Wei(10**30), HASH),),
        (RecordRow(Address(b"a" * 20), HASH, False, b""),),
    ),
    SnapshotSignature(Height(4), HASH, HASH, HASH, 1, b"s" * 64),
    CouncilAction(b"action"),
    ForkPlan(b"plan"),
    ForkConfirmation(Height(4), HASH, HASH, 1, b"s" * 64),
    SnapshotRequest(Height(4), HASH),
    Reverted(0, 1, Height(4), HASH, 3_600_000),
    GetForkConfirmations(3),
]


@pytest.mark.parametrize("message", EVERY, ids=lambda each: type(each).__name__)
def test_a_message_comes_back_as_it_was(message: Message) -> None:
    assert decode_message(encode_message(message)) == message


def test_every_message_has_its_code_and_its_place_in_this_test() -> None:
    assert {type(each) for each in EVERY} == set(CODES)
    assert sorted(CODES.values()) == list(range(1, len(CODES) + 1))


# --- pieces ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, PIECE_BYTES_MAX, PIECE_BYTES_MAX + 1, 3 * PIECE_BYTES_MAX])
def test_a_frame_is_whole_again_after_its_pieces(size: int) -> None:
    frame, assembly = b"\x0c" + bytes(size), Assembly(10**7)

    pieces = list(split_frame(frame))
    wholes = [assembly.add(piece) for piece in pieces]

    assert wholes == [None] * (len(pieces) - 1) + [frame]
    assert max(map(len, pieces)) <= PIECE_BYTES_MAX + 1
    assert assembly.add(b"\x06next") == b"\x06next"


def test_pieces_beyond_the_bound_and_broken_into_are_refused() -> None:
    long, short = bytes([PIECE]) + bytes(600), bytes([LAST_PIECE]) + bytes(401)

    assembly = Assembly(1_000)
    assert assembly.add(long) is None
    with pytest.raises(EncodingError, match="more than 1000 bytes"):
        assembly.add(short)
    assembly = Assembly(1_000)
    assert assembly.add(long) is None
    with pytest.raises(EncodingError, match="between another's pieces"):
        assembly.add(encode_message(PROPOSAL))


@given(st.binary(max_size=300))
def test_any_bytes_decode_or_are_refused(frame: bytes) -> None:
    with contextlib.suppress(EncodingError):
        assert encode_message(decode_message(frame)) == frame


@given(st.sampled_from(EVERY), st.data())
def test_an_altered_frame_is_another_message_or_is_refused(
    message: Message, data: st.DataObject
) -> None:
    frame = bytearray(encode_message(message))
    at = data.draw(st.integers(0, len(frame) - 1))
    frame[at] ^= data.draw(st.integers(1, 255))

    try:
        other = decode_message(bytes(frame))
    except EncodingError:
        return
    assert type(other) is not type(message) or other != message  # tuples of two kinds may be equal
    assert encode_message(other) == bytes(frame)


@pytest.mark.parametrize("frame", [b"", b"\0", b"\xff\x90", b"\x06\x91\xff", b"\x06\x91\x05\x05"])
def test_what_is_no_frame_is_refused(frame: bytes) -> None:
    with pytest.raises(EncodingError):
        decode_message(frame)


@pytest.mark.parametrize(
    "message",
    [
        DisputeMessage(DISPUTE._replace(was="x" * (TEXT_MAX + 1))),
        DisputeMessage(DISPUTE._replace(height=Height(-1))),
        DisputeMessage(DISPUTE._replace(validator=-1)),
        GetBlocks(Height(-1)),
        GetBlocks(Height(2**53)),
        Attestation(Height(1), HASH, -1, b""),
    ],
)
def test_what_is_out_of_bounds_is_refused(message: Message) -> None:
    with pytest.raises(EncodingError, match=r"range|at most"):
        decode_message(encode_message(message))


def test_a_frame_that_is_too_long_is_refused_on_both_sides(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert FRAME_BYTES_MAX >= 16_000_000
    monkeypatch.setattr(messages, "FRAME_BYTES_MAX", 100)

    with pytest.raises(EncodingError, match="at most 100"):
        encode_message(CouncilAction(bytes(100)))
    with pytest.raises(EncodingError, match="at most 100"):
        decode_message(bytes(101))
