"""What a method is given besides its arguments: the chain, and who asks."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from node.consensus.core import Core
from node.rpc.accounts import Accounts
from node.rpc.errors import ServerError

if TYPE_CHECKING:
    from node.rpc.filters import Filters
    from node.rpc.recent import RecentBlocks
    from node.rpc.subscriptions import Subscriber, Subscriptions


class Session(NamedTuple):
    """Whoever asks: an HTTP client, or one WebSocket connection."""

    owner: str
    """Whose share of filters a new one counts toward."""
    refusal: str | None
    """Why guarded methods are refused (DESIGN section 10), None if they are allowed."""
    subscriber: Subscriber | None
    """Where notifications go; None over HTTP."""

    def require_trust(self) -> None:
        """Raise ServerError unless guarded methods are allowed."""
        if self.refusal is not None:
            raise ServerError(self.refusal)


class Context(NamedTuple):
    """The first argument of every method."""

    core: Core
    recent: RecentBlocks
    filters: Filters
    subscriptions: Subscriptions
    session: Session
    accounts: Accounts = Accounts()
    """For whom the node signs."""
