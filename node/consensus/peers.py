"""The peer link: WebSocket over TLS between the nodes of a chain. Transport only.

Validators connect to the sequencer and to each other, greet (`node.consensus.handshake`) and from
then on each frame is one message, decoded strictly. What the messages mean is the service's, on
whose worker thread every message is handled in the order of its link. A peer that is slow (its
bounded outbox fills, or a frame is not taken in time), silent (no pong), malformed, lying or not in
the set is cut off with one line in the log and costs nobody else; who was cut off connects again,
later each time, and asks for what it missed.

Anybody may observe: without a key a peer gets blocks, and may say nothing else than ask for them
or pass a council's action on. So does a validator that is not in the set, as far as it knows or is
told: the block that makes it a member, or no longer one, reaches it like every other, and then it
connects anew.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Final, Protocol
from urllib.parse import urlsplit

import structlog
from websockets.asyncio.client import connect
from websockets.asyncio.connection import Connection
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed, WebSocketException

from node.chain.blockchain import Blockchain
from node.consensus.handshake import Standing, greet_client, greet_server
from node.consensus.link import (
    DEFAULT_LIMITS,
    SEQUENCER,
    Frames,
    Limits,
    Link,
    Peer,
    Service,
    say_why,
)
from node.consensus.messages import PIECE_BYTES_MAX, Hello, Message, encode_message
from node.consensus.node_key import NodeKey
from node.consensus.peer_certificate import make_client_tls, make_server_tls, require_pinned_key
from node.errors import NotInSet, OperatorError, PeerRefused, PerpnodeError
from node.governance.validators import ValidatorSet, find_validator

log = structlog.get_logger()

TRAVELLING_BYTES_MAX: Final = PIECE_BYTES_MAX + 1
"""What is read at once: a piece with its code."""
QUEUE_FRAMES: Final = 64
"""Read ahead of the service; then the sender has to wait."""
CUT_OFF: Final = 1008
"""WebSocket's close code for a violation."""
NOT_A_MEMBER: Final = 4001
"""Ours, for a key that is not in the validator set: its owner may observe."""
GOING_AWAY: Final = 1001
REASON_BYTES_MAX: Final = 120
"""What a close frame takes."""
CLOSE_S: Final = 1.0
STABLE_S: Final = 5.0
"""A link that held so long is tried again at once, as if for the first time."""

_quiet = logging.getLogger("perpnode.websockets")
_quiet.addHandler(logging.NullHandler())
_quiet.propagate = False  # every end of a link is told here, in one line


class Chain(Protocol):
    """What the greeting asks of the chain; from the event loop's thread."""

    def standing(self) -> Standing:
        """Return where this node is."""

    def validators(self) -> ValidatorSet:
        """Return whose key the sequencer has, and whose the validators have."""


class PeerServer:
    """The end that listens. Make it, and call all but `broadcast`, within the event loop."""

    def __init__(
        self, service: Service, chain: Chain, key: NodeKey, *, limits: Limits = DEFAULT_LIMITS
    ) -> None:
        self._service = service
        self._chain = chain
        self._key = key
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="peers")
        self._links: dict[int, Link] = {}
        self._numbers = count(1)
        self._connections = 0
        self._tls = make_server_tls(key)

    @contextlib.asynccontextmanager
    async def serve(self, listening: socket.socket) -> AsyncIterator[None]:
        """Take connections of a listening socket while the context lasts; close it then."""
        limits = self._limits
        try:
            async with serve(
                self._serve,
                sock=listening,
                ssl=self._tls.context,
                ssl_handshake_timeout=limits.hello_s,
                open_timeout=limits.hello_s,
                ping_interval=limits.ping_s,
                ping_timeout=limits.silence_s,
                close_timeout=CLOSE_S,
                max_size=TRAVELLING_BYTES_MAX,
                max_queue=QUEUE_FRAMES,
                compression=None,
                server_header=None,
                logger=_quiet,
            ):
                yield
        finally:
            self._worker.shutdown(cancel_futures=True)

    def broadcast(self, message: Message) -> None:
        """Tell every peer; from any thread."""
        frame = encode_message(message)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._broadcast, frame)

    def peers(self) -> Sequence[Peer]:
        """Return who is linked now; from any thread."""
        return [link.peer for link in list(self._links.values())]

    def names(self) -> Sequence[str]:
        """Return the names of those who are linked now, sorted; from any thread."""
        return sorted(peer.name for peer in self.peers())

    def links(self) -> Sequence[Link]:
        """Return the links that stand now; within the event loop."""
        return list(self._links.values())

    def _broadcast(self, frame: bytes) -> None:
        for link in self._links.values():
            link.put(frame)

    async def _serve(self, connection: ServerConnection) -> None:
        name = _address(connection)
        self._connections += 1
        try:
            if self._connections > self._limits.connections:
                raise PeerRefused(f"more than {self._limits.connections} connections")
            link = await self._greet(connection, name)
            name = link.peer.name
            log.info("peer connected", peer=name, height=link.peer.hello.height)
            self._links[link.peer.number] = link
            try:
                await link.run(self._service, self._worker)
            finally:
                del self._links[link.peer.number]
        except Exception as error:
            await _cut_off(connection, name, error)
        finally:
            self._connections -= 1

    async def _greet(self, connection: ServerConnection, name: str) -> Link:
        async with _hello_timeout(self._limits):
            hello = await greet_client(
                Frames(connection),
                self._key,
                self._chain.standing(),
                certificate=self._tls.certificate_hash,
                admit=self._admit,
            )
        for older in list(self._links.values()):
            if hello.public_key and older.peer.public_key == hello.public_key:
                older.cut("the same key connected anew")
        known = name_of(self._chain.validators(), hello.public_key)
        name = known if hello.public_key else f"observer {name}"
        return Link(connection, Peer(next(self._numbers), name, hello), self._limits)

    def _admit(self, hello: Hello) -> None:
        if hello.public_key:
            if hello.public_key not in keys_of(self._chain.validators()):
                raise NotInSet(f"key 0x{hello.public_key.hex()} is not in the validator set")
            return
        observers = sum(not link.peer.public_key for link in self._links.values())
        if observers >= self._limits.observers:
            raise PeerRefused(f"there are {observers} observers already")


class PeerClient:
    """The end that connects: keeps one link to the sequencer or to a validator."""

    def __init__(
        self,
        service: Service,
        chain: Chain,
        url: str,
        *,
        key: NodeKey | None,
        limits: Limits = DEFAULT_LIMITS,
    ) -> None:
        self._service = service
        self._chain = chain
        self._url = validate_peer_url(url)
        self._key = key
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="follower")
        self._tls = make_client_tls()
        self._link: Link | None = None
        self._numbers = count(1)
        self._refused_in: ValidatorSet | None = None
        """This node's own set when the sequencer said that its key is in no set there."""

    def names(self) -> Sequence[str]:
        """Return the peer's name while the link stands; from any thread."""
        link = self._link
        return [] if link is None else [link.peer.name]

    def links(self) -> Sequence[Link]:
        """Return the link if it stands now; within the event loop."""
        return [] if self._link is None else [self._link]

    def send(self, message: Message) -> None:
        """Tell the peer, if the link stands; from any thread."""
        frame = encode_message(message)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(self._send, frame)

    async def run(self) -> None:
        """Keep the link until cancelled; raise only what no other connection would mend."""
        pause_s, told = self._limits.retry_first_s, ""
        try:
            while True:
                started_s = self._loop.time()
                reason = await self._talk()
                if self._loop.time() - started_s > STABLE_S:
                    pause_s, told = self._limits.retry_first_s, ""
                if reason != told:
                    log.warning("no link", peer=self._url, reason=reason)
                    told = reason
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, self._limits.retry_last_s)
        finally:
            self._worker.shutdown(cancel_futures=True)

    async def _talk(self) -> str:
        """Connect and talk until the link ends; return why."""
        try:
            key = self._find_key()
            async with self._connect(key) as link:
                height, role = link.peer.hello.height, "observer" if key is None else "member"
                log.info(f"linked to {link.peer.name}", peer=self._url, height=height, role=role)
                watching = asyncio.create_task(self._watch_set(link, key))
                try:
                    await link.run(self._service, self._worker)
                finally:
                    watching.cancel()
        except OperatorError:
            raise
        except (PerpnodeError, OSError, WebSocketException) as error:
            closed = error.rcvd if isinstance(error, ConnectionClosed) else None
            if closed is not None and closed.code == NOT_A_MEMBER:
                self._refused_in = self._chain.validators()
            return say_why(error)

    def _find_key(self) -> NodeKey | None:
        """Return the key to greet with: none while this node's own is in no set that it knows of.

        A node that is behind learns at the other end that it was removed; what it then follows
        tells it when that changes.
        """
        key, validators = self._key, self._chain.validators()
        if validators != self._refused_in:
            self._refused_in = None
        if key is None or self._refused_in is not None:
            return None
        return key if key.public_key in keys_of(validators) else None

    async def _watch_set(self, link: Link, key: NodeKey | None) -> None:
        """End a link that was greeted as what this node is no more: it connects anew."""
        while self._find_key() is key:
            await asyncio.sleep(self._limits.tick_s)
        link.cut("the validators changed, and this node's part with them")

    def _send(self, frame: bytes) -> None:
        if self._link is not None:
            self._link.put(frame)

    @contextlib.asynccontextmanager
    async def _connect(self, key: NodeKey | None) -> AsyncIterator[Link]:
        limits = self._limits
        async with connect(
            self._url,
            ssl=self._tls,
            ssl_handshake_timeout=limits.hello_s,
            open_timeout=limits.hello_s,
            ping_interval=limits.ping_s,
            ping_timeout=limits.silence_s,
            close_timeout=CLOSE_S,
            max_size=TRAVELLING_BYTES_MAX,
            max_queue=QUEUE_FRAMES,
            compression=None,
            proxy=None,
            user_agent_header=None,
            logger=_quiet,
        ) as connection:
            validators = self._chain.validators()
            shown = require_pinned_key(
                connection.transport.get_extra_info("ssl_object"), keys_of(validators)
            )
            async with _hello_timeout(limits):
                hello = await greet_server(
                    Frames(connection),
                    key,
                    self._chain.standing(),
                    pinned=shown.public_key,
                    certificate=shown.certificate_hash,
                )
            name = name_of(validators, shown.public_key)
            peer = Peer(next(self._numbers), name, hello)
            self._link = Link(connection, peer, limits, is_observer=key is None)
            try:
                yield self._link
            except asyncio.CancelledError:
                await connection.close(GOING_AWAY, "this node stops")
                raise
            finally:
                self._link = None


class ChainView:
    """A blockchain's head, as the greeting sees it."""

    def __init__(self, blockchain: Blockchain) -> None:
        self._blockchain = blockchain

    def standing(self) -> Standing:
        """Return where this node is."""
        head = self._blockchain.head.block
        identity = self._blockchain.identity_of(head)
        return Standing(identity, head.header.number, head.hash)

    def validators(self) -> ValidatorSet:
        """Return the set that attests the head's successor."""
        return self._blockchain.next_validators()


def keys_of(validators: ValidatorSet) -> Sequence[bytes]:
    """Return the keys that a node of the chain may have: the sequencer's and the validators'."""
    return [validators.sequencer, *(member.public_key for member in validators.members)]


def name_of(validators: ValidatorSet, public_key: bytes) -> str:
    """Return what a node with this key is called."""
    if public_key == validators.sequencer:
        return SEQUENCER
    return f"validator {find_validator(validators, public_key)}"


def validate_peer_url(url: str) -> str:
    """Return the URL of a peer's link; OperatorError unless it is wss://HOST:PORT."""
    parts = urlsplit(url)
    try:
        is_whole = parts.scheme == "wss" and bool(parts.hostname) and parts.port is not None
    except ValueError:
        is_whole = False
    if not is_whole or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OperatorError(f"--peer {url}: is no link of a node: write wss://HOST:PORT")
    return url


@contextlib.asynccontextmanager
async def _hello_timeout(limits: Limits) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(limits.hello_s):
            yield
    except TimeoutError:
        raise PeerRefused(f"silent: no greeting in {limits.hello_s:g} s") from None


async def _cut_off(connection: ServerConnection, name: str, error: Exception) -> None:
    """Say why a link ended, to the log and to the peer; log whole what nobody raised on purpose."""
    if isinstance(error, ConnectionClosed) and not _is_our_doing(error):
        log.info("peer left", peer=name, reason=say_why(error))
        return
    if isinstance(error, PerpnodeError | WebSocketException):
        log.warning("peer cut off", peer=name, reason=say_why(error))
    else:
        log.error("peer cut off", peer=name, reason=say_why(error), exc_info=error)
    reason = say_why(error).encode("ascii", "replace")[:REASON_BYTES_MAX].decode()
    with contextlib.suppress(ConnectionClosed):
        await connection.close(NOT_A_MEMBER if isinstance(error, NotInSet) else CUT_OFF, reason)


def _is_our_doing(error: ConnectionClosed) -> bool:
    """Tell whether this end closed first: the peer was silent, or its frame too long."""
    return error.sent is not None and not error.rcvd_then_sent


def _address(connection: Connection) -> str:
    address = connection.remote_address
    return f"{address[0]}:{address[1]}" if address else "unknown"
