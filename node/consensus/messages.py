"""What nodes say to each other: one record a message, one frame a record.

A frame is the message's code, one byte, and the record's MessagePack array. Decoding is strict and
raises EncodingError alone; whether a message is true (signatures, blocks) is for who acts on it.

A long frame travels in pieces, each a frame of its own, one after the other: `PIECE` or, for the
last one, `LAST_PIECE`, and a part of the frame's bytes (`split_frame`, `Assembly`).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple

from node.consensus.dispute import Dispute, check_dispute
from node.encoding import BIG, Codec, codec_of
from node.errors import EncodingError
from node.units import Address, Hash32, Height, Wei

VERSION = 1
"""Of this page; a peer with another one is not spoken to."""

FRAME_BYTES_MAX = 64 * 1024 * 1024
"""A longer frame is refused before it is decoded."""
PIECE, LAST_PIECE = 0, 255
"""Codes of no message."""
PIECE_BYTES_MAX = 1024 * 1024
"""Of a frame's bytes in a piece; nothing longer than that and its code travels at once."""


class Hello(NamedTuple):
    """Both ends' first message: who speaks, on which chain, how far."""

    version: int
    genesis_hash: Hash32
    chain_id: int
    fork_id: int
    dev_epoch: int
    public_key: bytes
    height: Height
    """Of the head."""
    head_hash: Hash32
    signature: bytes
    """HELLO over version, public_key, height, head_hash and what binds it to the link."""


class Proposal(NamedTuple):
    """A block as its author hands it out."""

    block: bytes
    """`chain.block.encode_wire_block`."""
    signature: bytes
    """The sequencer's PROPOSAL; empty where genesis names no sequencer."""
    certificate: bytes
    """The certificate that the block names; empty if it names none."""


class Attestation(NamedTuple):
    """A validator recomputed a block and found the same."""

    height: Height
    block_hash: Hash32
    validator: int
    signature: bytes


class CertificateMessage(NamedTuple):
    """A certificate that no block names yet."""

    certificate: bytes


class DisputeMessage(NamedTuple):
    """A validator recomputed a block and found something else."""

    dispute: Dispute


class GetBlocks(NamedTuple):
    """Ask for canonical blocks from a height on."""

    from_height: Height


class Blocks(NamedTuple):
    """As many as fit a frame well, ascending; none: there is no such height."""

    proposals: tuple[Proposal, ...]


class GetChanges(NamedTuple):
    """Ask for what a block changed in the state."""

    height: Height
    block_hash: Hash32


class AccountRow(NamedTuple):
    """A native account after the block."""

    address: Address
    is_present: bool
    nonce: int
    balance: Annotated[Wei, BIG]
    code_hash: Hash32


class RecordRow(NamedTuple):
    """A record after the block."""

    address: Address
    key: Hash32
    is_present: bool
    record: bytes


class Changes(NamedTuple):
    """What the sender's block changed: its parent's state with these rows has the block's root."""

    height: Height
    block_hash: Hash32
    accounts: tuple[AccountRow, ...]
    records: tuple[RecordRow, ...]


class SnapshotSignature(NamedTuple):
    """A validator wrote this snapshot itself."""

    height: Height
    block_hash: Hash32
    state_root: Hash32
    manifest_hash: Hash32
    validator: int
    signature: bytes
    """SNAPSHOT over the four fields."""


class GetForkConfirmations(NamedTuple):
    """Ask who built the fork block of a branch."""

    fork_id: int


class SnapshotRequest(NamedTuple):
    """The sequencer asks its validators for a snapshot of a block, out of turn."""

    height: Height
    block_hash: Hash32


class CouncilAction(NamedTuple):
    """A council action with its signatures, passed on as it came."""

    action: bytes


class ForkPlan(NamedTuple):
    """A fork plan with its signatures, passed on as it came."""

    plan: bytes


class ForkConfirmation(NamedTuple):
    """A validator built the fork block itself."""

    height: Height
    block_hash: Hash32
    state_root: Hash32
    validator: int
    signature: bytes
    """FORK over block_hash and state_root, under the new fork's identity."""


class Reverted(NamedTuple):
    """A development chain went back to a block, which `dev_epoch` goes on from (DESIGN 9)."""

    fork_id: int
    dev_epoch: int
    height: Height
    block_hash: Hash32
    offset_ms: int


Message = (
    Hello
    | Proposal
    | Attestation
    | CertificateMessage
    | DisputeMessage
    | GetBlocks
    | Blocks
    | GetChanges
    | Changes
    | SnapshotSignature
    | CouncilAction
    | ForkPlan
    | ForkConfirmation
    | SnapshotRequest
    | Reverted
    | GetForkConfirmations
)

ORDERS = (SnapshotRequest, Reverted)
"""What counts from the sequencer itself alone: nobody signed it."""
QUESTIONS = (GetBlocks, GetChanges, GetForkConfirmations)
"""What is answered to who asked, and to nobody else."""
GOSSIP = (CouncilAction, ForkPlan, ForkConfirmation, DisputeMessage, SnapshotSignature)
"""What every node should hear, whoever is down: told on to all peers by whoever takes it, once."""

CODES: dict[type[Any], int] = {
    Hello: 1,
    Proposal: 2,
    Attestation: 3,
    CertificateMessage: 4,
    DisputeMessage: 5,
    GetBlocks: 6,
    Blocks: 7,
    GetChanges: 8,
    Changes: 9,
    SnapshotSignature: 10,
    CouncilAction: 11,
    ForkPlan: 12,
    ForkConfirmation: 13,
    SnapshotRequest: 14,
    Reverted: 15,
    GetForkConfirmations: 16,
}
"""The codes are for ever; a new message takes a new one."""

_CODECS: dict[int, Codec[Any]] = {code: codec_of(kind) for kind, code in CODES.items()}


def encode_message(message: Message) -> bytes:
    """Return the frame of a message; EncodingError if a value has no form."""
    code = CODES[type(message)]
    frame = bytes([code]) + _CODECS[code].encode(message)
    if len(frame) > FRAME_BYTES_MAX:
        raise EncodingError(f"a frame of {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    return frame


def decode_message(frame: bytes) -> Message:
    """Return the message of a frame; EncodingError if it is none."""
    if len(frame) > FRAME_BYTES_MAX:
        raise EncodingError(f"a frame of {len(frame)} bytes, at most {FRAME_BYTES_MAX}")
    codec = _CODECS.get(frame[0]) if frame else None
    if codec is None:
        raise EncodingError(f"unknown message code {frame[:1].hex() or 'nothing'}")
    message: Message = codec.decode(frame[1:])
    if isinstance(message, DisputeMessage):
        check_dispute(message.dispute)
    _check_heights(message)
    return message


def split_frame(frame: bytes) -> Iterator[bytes]:
    """Yield what travels of a frame: itself, or its pieces in order."""
    if len(frame) <= PIECE_BYTES_MAX:
        yield frame
        return
    for start in range(0, len(frame), PIECE_BYTES_MAX):
        part = frame[start : start + PIECE_BYTES_MAX]
        is_last = start + PIECE_BYTES_MAX >= len(frame)
        yield bytes([LAST_PIECE if is_last else PIECE]) + part


class Assembly:
    """Puts one link's pieces together again."""

    def __init__(self, bytes_max: int) -> None:
        """Take how long a frame may become."""
        self._bytes_max = bytes_max
        self._parts: list[bytes] = []
        self._size = 0

    def add(self, travelled: bytes) -> bytes | None:
        """Return the frame that is whole with this, None while pieces are missing.

        Raises EncodingError for a frame beyond the bound, and for one that breaks into another.
        """
        code = travelled[0] if travelled else None
        if code not in (PIECE, LAST_PIECE):
            if self._parts:
                raise EncodingError("a message between another's pieces")
            return travelled
        self._size += len(travelled) - 1
        if self._size > self._bytes_max:
            raise EncodingError(f"a frame of more than {self._bytes_max} bytes")
        self._parts.append(travelled[1:])
        if code == PIECE:
            return None
        frame = b"".join(self._parts)
        self._parts, self._size = [], 0
        return frame


def _check_heights(message: Message) -> None:
    for name in ("height", "from_height", "validator", "fork_id", "dev_epoch"):
        value = getattr(message, name, 0)
        if not 0 <= value < 2**53:
            raise EncodingError(f"{type(message).__name__}.{name}: was {value}, out of range")
