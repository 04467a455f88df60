"""A small asynchronous JSON-RPC client over one WebSocket, for the devnet's actors and commands.

A connection that breaks fails every request that waits on it and ends every subscription with
NodeUnreachable; whoever uses it connects again (`connect` waits for a node that is starting).
"""

import asyncio
import json
import os
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Self

from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConnectionClosed, WebSocketException

from node.encoding import load_json
from node.errors import NodeUnreachable, OperatorError, RequestRefused

RETRY_FIRST_S = 0.05
RETRY_LAST_S = 2.0
FRAME_MAX = 64 * 1024 * 1024
"""Bytes of one answer; a block of 10,000 orders in full needs about 10 MB."""


def websocket_url(url: str) -> str:
    """Return the WebSocket form of a node's URL: same host, same port."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https", "ws", "wss") or not rest:
        raise OperatorError(f"{url}: is no node URL: write http://HOST:PORT or ws://HOST:PORT")
    return f"{scheme.replace('http', 'ws')}://{rest}"


@asynccontextmanager
async def connect(url: str, *, patience_s: float = 0.0) -> AsyncIterator["Client"]:
    """Connect to a node, trying again for so long; NodeUnreachable says why it failed."""
    websocket = await _open(url, patience_s)
    client = Client(url, websocket)
    try:
        yield client
    finally:
        await client.close()


async def _open(url: str, patience_s: float) -> ClientConnection:
    address = websocket_url(url)
    loop = asyncio.get_running_loop()
    give_up_at = loop.time() + patience_s
    pause_s = RETRY_FIRST_S
    while True:
        try:
            return await open_websocket(address, max_size=FRAME_MAX, compression=None, proxy=None)
        except (OSError, WebSocketException, ValueError) as error:
            if loop.time() + pause_s > give_up_at:
                is_name = isinstance(error, socket.gaierror)
                number = None if is_name else getattr(error, "errno", None)
                reason = os.strerror(number) if number else _words(error)
                advice = "start it with `perpnode devnet`, or name another --rpc"
                raise NodeUnreachable(f"no node answers at {url} ({reason}): {advice}") from None
        await asyncio.sleep(pause_s)
        pause_s = min(2 * pause_s, RETRY_LAST_S)


def _words(error: Exception) -> str:
    """Return an error's own words; a resolver's come without their number."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


class Subscription:
    """What a node notifies us of, in order."""

    def __init__(self) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        """Return the next notification; NodeUnreachable once the connection is lost."""
        item = await self._queue.get()
        if isinstance(item, NodeUnreachable):
            self._queue.put_nowait(item)
            raise item
        return item

    async def latest(self) -> Any:
        """Return the newest notification, dropping older ones; wait if there is none."""
        item = await anext(self)
        while not self._queue.empty():
            item = await anext(self)
        return item

    def deliver(self, item: Any) -> None:
        """Take a notification, or the NodeUnreachable that ends them."""
        self._queue.put_nowait(item)


class Client:
    """One connection to a node."""

    def __init__(self, url: str, websocket: ClientConnection) -> None:
        self.url = url
        self._websocket = websocket
        self._reason = "closed the connection"
        self._next_id = 1
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._early: dict[str, list[Any]] = {}
        self._reader = asyncio.create_task(self._read())

    async def close(self) -> None:
        """Close the connection; what waits on it fails."""
        self._reader.cancel()
        with suppress(asyncio.CancelledError):
            await self._reader
        with suppress(ConnectionClosed, OSError):
            await self._websocket.close()
        self._fail()

    async def request(self, method: str, *params: Any) -> Any:
        """Return a method's result; RequestRefused with the node's words, or NodeUnreachable."""
        (result,) = await self.batch([(method, params)])
        if isinstance(result, RequestRefused):
            raise result
        return result

    async def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Send calls in one frame; return each result, or RequestRefused in its place."""
        if not calls:
            return []
        loop = asyncio.get_running_loop()
        first = self._next_id
        self._next_id += len(calls)
        futures: dict[int, asyncio.Future[Any]] = {
            first + index: loop.create_future() for index in range(len(calls))
        }
        bodies = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(futures, calls, strict=True)
        ]
        if self._reader.done():
            raise self._lost()
        self._waiting |= futures
        try:
            await self._websocket.send(json.dumps(bodies if len(bodies) > 1 else bodies[0]))
            return await asyncio.gather(*futures.values())
        except ConnectionClosed:
            raise self._lost() from None
        finally:
            for number in futures:
                self._waiting.pop(number, None)

    async def subscribe(self, *params: Any) -> Subscription:
        """Subscribe by eth_subscribe, to "newHeads" for one."""
        name = await self.request("eth_subscribe", *params)
        subscription = self._subscriptions[name] = Subscription()
        for item in self._early.pop(name, []):
            subscription.deliver(item)
        return subscription

    async def _read(self) -> None:
        with suppress(ConnectionClosed):
            async for frame in self._websocket:
                try:
                    answers = load_json(frame)
                    for answer in answers if isinstance(answers, list) else [answers]:
                        self._take(answer)
                except (ValueError, KeyError, TypeError, AttributeError):
                    self._reason = "does not speak JSON-RPC"
                    break
        self._fail()

    def _take(self, answer: dict[str, Any]) -> None:
        if "method" in answer:
            name, item = answer["params"]["subscription"], answer["params"]["result"]
            if name in self._subscriptions:
                self._subscriptions[name].deliver(item)
            else:
                self._early.setdefault(name, []).append(item)
            return
        result = answer["result"] if "result" in answer else _refusal(answer["error"])
        # A frame that the node could not read is refused as a whole, under no id.
        numbers = list(self._waiting) if answer["id"] is None else [answer["id"]]
        for number in numbers:
            future = self._waiting.pop(number, None)
            if future is not None and not future.done():
                future.set_result(result)

    def _fail(self) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(self._lost())
        for subscription in self._subscriptions.values():
            subscription.deliver(self._lost())

    def _lost(self) -> NodeUnreachable:
        return NodeUnreachable(f"the node at {self.url} {self._reason}")


def _refusal(error: dict[str, Any]) -> RequestRefused:
    return RequestRefused(str(error["message"]), int(error["code"]), error.get("data"))
