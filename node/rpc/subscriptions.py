"""Subscriptions over WebSocket: new heads, logs, and transactions that the mempool takes.

A connection's messages wait in a bounded outbox. Answers wait for room, and nothing more is read
from a client that does not read; a notification that finds no room ends the connection, so a slow
reader costs the node so many megabytes and others nothing.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from node.chain.block import Block, Receipt
from node.chain.transaction import Transaction
from node.rpc.backend import GOING_AWAY, TOO_SLOW
from node.rpc.context import Context
from node.rpc.errors import InvalidParams, NotificationsUnsupported, ServerError
from node.rpc.feeds import Feeding, Feeds
from node.rpc.hex import data
from node.rpc.logs import LogFilter, parse_log_filter, render_matching
from node.rpc.render import Json, render_header, render_pending

KINDS: Final = ("newHeads", "logs", "newPendingTransactions", "syncing")
"""What eth_subscribe offers."""
SUBSCRIPTIONS_MAX: Final = 100
"""Per connection."""
OUTBOX_BYTES_MAX: Final = 64 * 1024 * 1024
"""Several heavy blocks: one of 5,000 orders is 10 MB of logs."""
OUTBOX_MESSAGES_MAX: Final = 200_000


class Outbox:
    """Messages that wait to be written to one connection."""

    def __init__(self) -> None:
        self._messages: deque[bytes] = deque()
        self._size = 0
        self._changed = asyncio.Event()
        self.closed = asyncio.Event()
        """Set when nothing more will be written."""
        self.close_code = TOO_SLOW

    def _is_full(self) -> bool:
        return self._size > OUTBOX_BYTES_MAX or len(self._messages) > OUTBOX_MESSAGES_MAX

    def _put(self, message: bytes) -> None:
        self._messages.append(message)
        self._size += len(message)
        self._changed.set()

    def notify(self, message: bytes) -> None:
        """Add a message if there is room, else close."""
        if self._is_full():
            self.close(TOO_SLOW)
        elif not self.is_closed:
            self._put(message)

    async def answer(self, message: bytes) -> None:
        """Add a message as soon as there is room."""
        while self._is_full() and not self.is_closed:
            self._changed.clear()
            await self._changed.wait()
        if not self.is_closed:
            self._put(message)

    async def take(self) -> bytes | None:
        """Remove the oldest message as soon as there is one; None once closed."""
        while not self._messages and not self.is_closed:
            self._changed.clear()
            await self._changed.wait()
        if self.is_closed:
            return None
        message = self._messages.popleft()
        self._size -= len(message)
        self._changed.set()
        return message

    @property
    def is_closed(self) -> bool:
        """Tell whether the connection ends."""
        return self.closed.is_set()

    def close(self, code: int) -> None:
        """Drop what waits; the connection ends."""
        self.close_code = code
        self.closed.set()
        self._messages.clear()
        self._size = 0
        self._changed.set()


@dataclass(slots=True)
class Subscription:
    """What one subscription asks for."""

    kind: str
    """"newHeads", "logs", "newPendingTransactions", or "syncing", of which nothing is ever told:
    what is served is executed."""
    logs: LogFilter | None = None
    full: bool = False


class Subscriber:
    """One WebSocket connection's subscriptions."""

    def __init__(self) -> None:
        self.outbox = Outbox()
        self.subscriptions: dict[str, Subscription] = {}
        self._held: list[bytes] | None = None

    def hold(self) -> None:
        """Keep notifications back while a request is answered: its answer must come first."""
        self._held = []

    async def answer(self, message: bytes | None) -> None:
        """Send an answer, then what was held back."""
        held, self._held = self._held, None
        if message is not None:
            await self.outbox.answer(message)
        for notification in held or ():
            self.outbox.notify(notification)

    def begin(self, subscription_id: str, subscription: Subscription) -> None:
        """Add a subscription; raise ServerError if there are too many."""
        if len(self.subscriptions) >= SUBSCRIPTIONS_MAX:
            raise ServerError(f"too many subscriptions: at most {SUBSCRIPTIONS_MAX} per connection")
        self.subscriptions[subscription_id] = subscription

    def notify(
        self, subscription_id: str, result: bytes, *, method: bytes = b"eth_subscription"
    ) -> None:
        """Send one notification."""
        message = (
            b'{"jsonrpc":"2.0","method":"'
            + method
            + b'","params":{"subscription":"'
            + subscription_id.encode()
            + b'","result":'
            + result
            + b"}}"
        )
        if self._held is None:
            self.outbox.notify(message)
        else:
            self._held.append(message)


class Subscriptions:
    """All connections that may be notified."""

    def __init__(self) -> None:
        self._subscribers: set[Subscriber] = set()
        self.feeds = Feeds()
        """What perp_subscribe asks for."""

    def add(self, subscriber: Subscriber) -> None:
        """Begin to notify a connection."""
        self._subscribers.add(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a connection and its subscriptions."""
        self._subscribers.discard(subscriber)
        subscriber.subscriptions.clear()

    def join(self, feeding: Feeding, subscriber: Subscriber) -> str:
        """Begin to tell a connection what a feed does; return the subscription's id."""
        subscription_id = hex(secrets.randbits(128))
        subscriber.begin(subscription_id, Subscription(feeding.query.kind))
        try:
            self.feeds.join(feeding, subscription_id, subscriber)
        except ServerError:
            del subscriber.subscriptions[subscription_id]
            raise
        return subscription_id

    def close(self) -> None:
        """End every connection."""
        self.feeds.close()
        for subscriber in self._subscribers:
            subscriber.outbox.close(GOING_AWAY)

    def on_head(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Tell every subscriber about a new head and the logs it wants."""
        self.feeds.on_head(block, receipts)
        head: bytes | None = None
        for subscriber in list(self._subscribers):
            for subscription_id, subscription in subscriber.subscriptions.items():
                if subscription.kind == "newHeads":
                    head = head or orjson.dumps(render_header(block.header, block.hash))
                    subscriber.notify(subscription_id, head)
                elif subscription.logs is not None:
                    for log in render_matching(subscription.logs, block, receipts):
                        subscriber.notify(subscription_id, orjson.dumps(log))

    def on_reverted(self, block: Block) -> None:
        """Tell every subscriber to new heads that the number fell: a development revert."""
        head = orjson.dumps(render_header(block.header, block.hash))
        for subscriber in list(self._subscribers):
            for subscription_id, subscription in subscriber.subscriptions.items():
                if subscription.kind == "newHeads":
                    subscriber.notify(subscription_id, head)

    def on_left(self, block: Block, receipts: Sequence[Receipt]) -> None:
        """Tell every subscriber about the logs it had of a block that a fork left."""
        self.feeds.on_left(block, receipts)
        for subscriber in list(self._subscribers):
            for subscription_id, subscription in subscriber.subscriptions.items():
                if subscription.logs is not None:
                    removed = render_matching(subscription.logs, block, receipts, are_removed=True)
                    for log in reversed(list(removed)):
                        subscriber.notify(subscription_id, orjson.dumps(log))

    def on_pending(self, tx: Transaction) -> None:
        """Tell every subscriber of pending transactions about one."""
        for subscriber in list(self._subscribers):
            for subscription_id, subscription in subscriber.subscriptions.items():
                if subscription.kind == "newPendingTransactions":
                    what = render_pending(tx) if subscription.full else data(tx.hash)
                    subscriber.notify(subscription_id, orjson.dumps(what))


async def subscribe(context: Context, kind: str, options: object) -> Json:
    """Begin to notify this connection; return the subscription's id."""
    subscriber = context.session.subscriber
    if subscriber is None:
        raise NotificationsUnsupported()
    subscription = _parse_subscription(kind, options)
    subscription_id = hex(secrets.randbits(128))
    subscriber.begin(subscription_id, subscription)
    return subscription_id


def _parse_subscription(kind: str, options: object) -> Subscription:
    if kind in ("newHeads", "syncing"):
        return Subscription(kind)
    if kind == "logs":
        try:
            return Subscription(kind, logs=parse_log_filter({} if options is None else options))
        except ValueError as error:
            raise InvalidParams(f"invalid argument 1: {error}") from None
    if kind == "newPendingTransactions":
        if options is not None and not isinstance(options, bool):
            raise InvalidParams("invalid argument 1: cannot unmarshal non-boolean into a boolean")
        return Subscription(kind, full=bool(options))
    raise InvalidParams(f'no "{kind[:100]}" subscription in eth namespace')


async def unsubscribe(context: Context, subscription_id: str) -> Json:
    """End one of this connection's subscriptions."""
    subscriber = context.session.subscriber
    if subscriber is None:
        raise NotificationsUnsupported()
    if subscriber.subscriptions.pop(subscription_id, None) is None:
        raise ServerError("subscription not found")
    return True
