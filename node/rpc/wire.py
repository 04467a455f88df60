"""Front and core over a Unix socket: MessagePack arrays, [kind, …], in both directions.

Each side learns of the other's end by the end of the stream: neither outlives the other. Nothing
grows without bound: while the front does not take answers, the core takes no more questions; a
conversation's messages wait in its outbox in the core (`node.rpc.subscriptions`), where a slow
reader is cut off, and few are on their way until its peer has read them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final, cast

import msgpack

from node.chain.transaction import Transaction

FRAME_BYTES_MAX: Final = 512 * 1024 * 1024
"""A longer frame is none of ours: a batch's answers end soon after 25 MB."""
WRITE_BYTES: Final = 1024 * 1024
"""So much may wait to be written before a side reads no more requests."""


class Kind(IntEnum):
    """What a frame is; what follows it in the array."""

    # to the core
    ANSWER = 0
    """question, owner, refusal, method, body"""
    ADMIT = 1
    """question, transactions"""
    OPEN = 2
    """conversation, refusal"""
    ASK = 3
    """question, conversation, body"""
    READ = 4
    """conversation, bytes that its peer has read"""
    END = 5
    """conversation"""
    PAGE = 11
    """question, path, what the front counts…"""
    # to the front
    REPLY = 6
    """question, what was asked for…"""
    CHANGED = 7
    """the heads moved"""
    TELL = 8
    """conversation, message"""
    CLOSED = 9
    """conversation, WebSocket close code"""
    STOP = 10
    """take no more connections, and end"""


class Frames(asyncio.Protocol):
    """One end of the socket."""

    def __init__(self) -> None:
        self.ended = asyncio.Event()
        """Set when the other side is gone."""
        self._unpacker = msgpack.Unpacker(use_list=False, max_buffer_size=FRAME_BYTES_MAX)
        self._pack = msgpack.Packer(autoreset=True).pack
        self._transport: asyncio.Transport | None = None
        self._writable = asyncio.Event()
        self._writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(WRITE_BYTES)

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._writable.set()
        self.ended.set()

    def pause_writing(self) -> None:
        """Note that the other side does not keep up."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Note that it does again."""
        self._writable.set()

    def data_received(self, data: bytes) -> None:
        """Take frames apart."""
        self._unpacker.feed(data)
        for kind, *arguments in self._unpacker:
            self.receive(kind, arguments)

    def receive(self, kind: int, arguments: list[Any]) -> None:
        """Take a frame."""
        raise NotImplementedError

    def write(self, kind: Kind, *arguments: object) -> None:
        """Send a frame; once the other side is gone it is dropped."""
        if self._transport is not None and not self.ended.is_set():
            self._transport.write(self._pack((kind, *arguments)))

    def close(self) -> None:
        """Close the socket when all is written."""
        if self._transport is not None:
            self._transport.close()


def encode_transaction(tx: Transaction) -> tuple[Any, ...]:
    """Return a transaction's fields; MessagePack has no integers of 256 bits."""
    fields: list[Any] = list(tx)
    for index in _WIDE:
        number = fields[index]
        fields[index] = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return tuple(fields)


def decode_transaction(fields: Sequence[Any]) -> Transaction:
    """Return a transaction from its fields: the front decoded it and recovered its sender."""
    values = list(fields)
    for index in _WIDE:
        values[index] = int.from_bytes(values[index], "big")
    return Transaction(*values)


_WIDE: Final = tuple(
    Transaction._fields.index(name)
    for name in ("chain_id", "max_priority_fee", "max_fee", "gas_limit", "value", "r", "s")
)
