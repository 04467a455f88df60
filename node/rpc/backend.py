"""What the front asks of the core's side: the seam between the two, wherever each of them runs.

`node.rpc.desk` is the core's side itself, for both in one process; `node.rpc.wire` is the same over
a Unix socket. Whoever stands behind it promises one order: `changes` has moved before any answer or
message that shows a new head, so that what was kept of the heads before is never served after.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from node.chain.transaction import Transaction

TOO_SLOW: Final = 1008
"""The WebSocket close code of a client that does not read: policy violation."""
GOING_AWAY: Final = 1001
"""The WebSocket close code of a server that stops."""


class Asker(NamedTuple):
    """Who asks over HTTP."""

    owner: str
    """Whose share of filters a new one counts toward."""
    refusal: str | None
    """Why guarded methods are refused (DESIGN section 10), None if they are allowed."""


class Reply(NamedTuple):
    """An answer's bytes, None for notifications, and how long they hold."""

    body: bytes | None
    changes: int | None
    """The answer holds as long as `Backend.changes` is this; None: once only."""


class FrontCounts(NamedTuple):
    """What the front knows and the core does not."""

    kept_answers: int
    """Requests that were answered by what was kept of earlier ones."""
    connections: int
    """Open ones, WebSocket included."""


class Page(NamedTuple):
    """An answer to a plain GET."""

    status: int
    content_type: bytes
    body: bytes


class Conversation(Protocol):
    """One WebSocket connection: what it asks, and what it is told in order."""

    closed: asyncio.Event
    """Set when nothing more will be told."""

    @property
    def close_code(self) -> int:
        """Why it was closed."""

    async def ask(self, body: bytes) -> None:
        """Have a request answered among what is told; return when there is room for the next."""

    async def take(self) -> bytes | None:
        """Return the next message, once the one before is written; None once closed."""

    def end(self) -> None:
        """Forget the connection: its peer is gone."""


class Backend(Protocol):
    """The core's side."""

    changes: int
    """Counts how often latest, safe or finalized moved."""

    async def answer(self, asker: Asker, method: str | None, body: bytes) -> Reply:
        """Answer a body; `method` names that of a single call whose answer may be kept."""

    async def admit(self, transactions: Sequence[Transaction]) -> Sequence[bytes | None]:
        """Hand transactions to the mempool, in order; None: taken, else the error member."""

    async def page(self, path: str, counts: FrontCounts) -> Page | None:
        """Return what a GET of a path shows, None if there is nothing."""

    def open(self, refusal: str | None) -> Conversation:
        """Begin a conversation."""
