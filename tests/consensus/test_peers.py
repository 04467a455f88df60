"""The peer link on loopback: who gets in, who is cut off, and that it costs nobody else."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

import pytest
from structlog.testing import capture_logs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from node.chain.domains import Identity
from node.consensus.handshake import Binding, End, Standing, check_hello, make_hello
from node.consensus.link import Limits, Peer
from node.consensus.messages import (
    FRAME_BYTES_MAX,
    Attestation,
    Blocks,
    CouncilAction,
    ForkPlan,
    GetBlocks,
    Message,
    Proposal,
    decode_message,
    encode_message,
    split_frame,
)
from node.consensus.node_key import NodeKey
from node.consensus.peer_certificate import (
    hash_certificate,
    make_certificate,
    make_client_tls,
    make_server_tls,
    read_public_key,
)
from node.consensus.peers import PeerClient, PeerServer, validate_peer_url
from node.crypto import ed25519_public_key
from node.errors import EncodingError, InvalidAttestation, OperatorError, PeerRefused
from node.governance.validators import Validator, ValidatorSet
from node.units import Hash32, Height


def key_of(number: int) -> NodeKey:
    seed = bytes([number]) * 32
    return NodeKey(ed25519_public_key(seed), seed)


SEQUENCER, FIRST, SECOND, STRANGER = (key_of(number) for number in (1, 2, 3, 9))
SET = ValidatorSet(
    SEQUENCER.public_key, (Validator(FIRST.public_key, 1), Validator(SECOND.public_key, 1))
)
IDENTITY = Identity(Hash32(b"g" * 32), 20260119, 0, 0)
STANDING = Standing(IDENTITY, Height(7), Hash32(b"h" * 32))
QUICK = Limits(
    hello_s=2, ping_s=0.1, silence_s=0.4, send_s=0.5, retry_first_s=0.02, retry_last_s=0.05
)
PATIENT = QUICK._replace(ping_s=20, silence_s=20)
BLOCK = Proposal(b"block", b"s" * 64, b"")


def attestation(height: int) -> Attestation:
    return Attestation(Height(height), Hash32(b"b" * 32), 0, b"s" * 64)


PORTS: WeakKeyDictionary[PeerServer, int] = WeakKeyDictionary()


class Hub:
    """A service that remembers what it is told and answers as it was told to."""

    def __init__(self, answers: dict[type, Sequence[Message]] | None = None) -> None:
        self.identity = IDENTITY
        self.got: list[tuple[str, Message]] = []
        self.connected: list[str] = []
        self.greeting: Sequence[Message] = ()
        self.refuses: type | None = None
        self.members = SET
        self._answers = answers or {}

    def standing(self) -> Standing:
        return STANDING._replace(identity=self.identity)

    def validators(self) -> ValidatorSet:
        return self.members

    def on_connected(self, peer: Peer) -> Sequence[Message]:
        self.connected.append(peer.name)
        return self.greeting

    def on_message(self, peer: Peer, message: Message) -> Sequence[Message]:
        if self.refuses is not None and isinstance(message, self.refuses):
            raise InvalidAttestation(1, 0, "not over this block")
        self.got.append((peer.name, message))
        return self._answers.get(type(message), ())


async def eventually(look: Callable[[], Any], *, what: str) -> Any:
    for _ in range(500):
        found = look()
        if found:
            return found
        await asyncio.sleep(0.01)
    raise AssertionError(f"{what}: not within 500 looks")


@asynccontextmanager
async def serving(
    hub: Hub, *, key: NodeKey = SEQUENCER, limits: Limits = PATIENT
) -> AsyncIterator[PeerServer]:
    server = PeerServer(hub, hub, key, limits=limits)
    listening = socket.create_server(("127.0.0.1", 0))
    PORTS[server] = listening.getsockname()[1]
    async with server.serve(listening):
        yield server


@asynccontextmanager
async def following(
    port: int, hub: Hub, key: NodeKey | None = FIRST, *, limits: Limits = PATIENT
) -> AsyncIterator[PeerClient]:
    client = PeerClient(hub, hub, f"wss://127.0.0.1:{port}", key=key, limits=limits)
    task = asyncio.create_task(client.run())
    try:
        yield client
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def bare(port: int) -> AsyncIterator[ClientConnection]:
    """A connection that has not greeted yet."""
    url = f"wss://127.0.0.1:{port}"
    async with connect(url, ssl=make_client_tls(), compression=None, proxy=None) as connection:
        yield connection


async def greet(connection: ClientConnection, key: NodeKey | None) -> bytes:
    """Greet by hand; return the Hello that was sent."""
    server_nonce = await connection.recv()
    assert isinstance(server_nonce, bytes)
    certificate = hash_certificate(make_certificate(SEQUENCER))
    binding = Binding(b"c" * 32, server_nonce, certificate)
    hello = encode_message(make_hello(key, STANDING, binding, End.CLIENT))
    await connection.send(b"c" * 32)
    await connection.send(hello)
    return hello


async def refusal(connection: ClientConnection) -> str:
    """Return the reason with which the other end closes."""
    while True:
        try:
            await asyncio.wait_for(connection.recv(), 10)
        except ConnectionClosed as closed:
            if closed.rcvd is None:
                raise
            return closed.rcvd.reason


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await story()

    asyncio.run(whole())


# --- greeting -----------------------------------------------------------------------------------


def test_a_validator_and_the_sequencer_exchange_messages_in_order() -> None:
    async def story() -> None:
        sequencer = Hub({GetBlocks: [Blocks((BLOCK,))]})
        validator = Hub({Proposal: [attestation(1)]})
        validator.greeting = [GetBlocks(Height(1))]
        async with serving(sequencer) as server, following(PORTS[server], validator) as client:
            await eventually(lambda: validator.got, what="the blocks asked for")
            server.broadcast(BLOCK)
            await eventually(lambda: len(sequencer.got) == 2, what="the attestation")
            client.send(attestation(2))
            await eventually(lambda: len(sequencer.got) == 3, what="what is sent by itself")

        assert validator.got == [("the sequencer", Blocks((BLOCK,))), ("the sequencer", BLOCK)]
        assert sequencer.got == [
            ("validator 0", GetBlocks(Height(1))),
            ("validator 0", attestation(1)),
            ("validator 0", attestation(2)),
        ]
        assert sequencer.connected == ["validator 0"]

    run(story)


def test_validators_link_to_each_other() -> None:
    async def story() -> None:
        server_side, client_side = Hub(), Hub()
        async with (
            serving(server_side, key=FIRST) as server,
            following(PORTS[server], client_side, SECOND) as client,
        ):
            await eventually(lambda: client.names() and server.names(), what="the link")
            assert (client.names(), server.names()) == (["validator 0"], ["validator 1"])
            server.broadcast(BLOCK)
            await eventually(lambda: client_side.got, what="what is told on")

        assert client_side.got == [("validator 0", BLOCK)]

    run(story)


def test_the_largest_plan_travels_both_ways_and_what_follows_it_too() -> None:
    async def story() -> None:
        sequencer, validator = Hub(), Hub()
        plan = ForkPlan(bytes(16_100_000))
        async with serving(sequencer) as server, following(PORTS[server], validator) as client:
            await eventually(lambda: sequencer.connected, what="the link")
            client.send(plan)
            client.send(attestation(1))
            server.broadcast(plan)
            server.broadcast(BLOCK)
            await eventually(lambda: len(sequencer.got) == 2, what="the plan going up")
            await eventually(lambda: len(validator.got) == 2, what="the plan going down")

        assert [message for _, message in sequencer.got] == [plan, attestation(1)]
        assert [message for _, message in validator.got] == [plan, BLOCK]

    run(story)


def test_an_observer_has_no_large_message() -> None:
    async def story() -> None:
        async with serving(Hub()) as server, bare(PORTS[server]) as connection:
            await greet(connection, None)
            await connection.recv()
            with suppress(ConnectionClosed):
                for piece in split_frame(encode_message(CouncilAction(bytes(5_000_000)))):
                    await connection.send(piece)
            assert "malformed: a frame of more than" in await refusal(connection)

    run(story)


def test_a_server_that_does_not_hold_the_pinned_key_learns_nothing() -> None:
    async def story() -> None:
        impostor, validator = Hub(), Hub()
        with capture_logs() as logs:
            async with (
                serving(impostor, key=STRANGER) as server,
                following(PORTS[server], validator),
            ):
                await eventually(lambda: logs_of(logs, "no link"), what="the client's line")

        assert "0x" + STRANGER.public_key.hex() in logs_of(logs, "no link")[0]["reason"]
        assert impostor.connected == validator.connected == []

    run(story)


def test_one_who_stands_between_and_passes_the_greeting_on_gets_no_link() -> None:
    """He ends the validator's TLS by a certificate of his own, and speaks to the sequencer."""

    async def story() -> None:
        sequencer, validator = Hub(), Hub()
        with capture_logs() as logs:
            async with serving(sequencer) as server:
                async with middleman(PORTS[server], STRANGER) as port, following(port, validator):
                    await eventually(lambda: logs_of(logs, "no link"), what="the client's line")

                # Even a validator that does not look at the key gives him nothing to use.
                async with bare(PORTS[server]) as connection:
                    binding = Binding(
                        b"c" * 32,
                        as_bytes(await connection.recv()),
                        hash_certificate(make_certificate(STRANGER)),
                    )
                    await connection.send(b"c" * 32)
                    hello = make_hello(FIRST, STANDING, binding, End.CLIENT)
                    await connection.send(encode_message(hello))
                    assert "not signed" in await refusal(connection)

        assert sequencer.connected == validator.connected == []

    run(story)


def test_a_replayed_hello_is_refused() -> None:
    async def story() -> None:
        hub = Hub()
        async with serving(hub) as server:
            async with bare(PORTS[server]) as connection:
                hello = await greet(connection, FIRST)
                await eventually(lambda: hub.connected, what="the first link")
            async with bare(PORTS[server]) as connection:
                await connection.recv()
                await connection.send(b"c" * 32)
                await connection.send(hello)
                assert "not signed" in await refusal(connection)
        assert len(hub.connected) == 1

    run(story)


def test_a_servers_hello_sent_back_to_it_is_refused() -> None:
    binding = Binding(b"c" * 32, b"s" * 32, b"h" * 32)
    hello = encode_message(make_hello(SEQUENCER, STANDING, binding, End.SERVER))

    check_hello(hello, IDENTITY, binding, End.SERVER)
    with pytest.raises(PeerRefused, match="not signed"):
        check_hello(hello, IDENTITY, binding, End.CLIENT)


@pytest.mark.parametrize("part", range(3))
def test_a_hello_is_bound_to_both_nonces_and_the_certificate(part: int) -> None:
    binding = Binding(b"c" * 32, b"s" * 32, b"h" * 32)
    hello = encode_message(make_hello(FIRST, STANDING, binding, End.CLIENT))
    other = Binding(*(b"x" * 32 if i == part else each for i, each in enumerate(binding)))

    with pytest.raises(PeerRefused, match="not signed"):
        check_hello(hello, IDENTITY, other, End.CLIENT)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"version": 2}, "version"),
        ({"genesis_hash": Hash32(b"x" * 32)}, "genesis"),
        ({"chain_id": 1}, "chain id"),
        ({"height": Height(8)}, "not signed"),
        ({"head_hash": Hash32(b"x" * 32)}, "not signed"),
        ({"fork_id": 1}, "not signed"),
        ({"dev_epoch": 1}, "not signed"),
        ({"public_key": SECOND.public_key}, "not signed"),
        ({"public_key": b""}, "not signed"),
        ({"signature": b""}, "not signed"),
    ],
)
def test_a_changed_hello_is_refused(change: dict[str, Any], word: str) -> None:
    binding = Binding(b"c" * 32, b"s" * 32, b"h" * 32)
    hello = make_hello(FIRST, STANDING, binding, End.CLIENT)._replace(**change)

    with pytest.raises(PeerRefused, match=word):
        check_hello(encode_message(hello), IDENTITY, binding, End.CLIENT)


def test_a_key_that_is_not_in_the_set_is_cut_off() -> None:
    async def story() -> None:
        hub = Hub()
        with capture_logs() as logs:
            async with serving(hub) as server, bare(PORTS[server]) as connection:
                await greet(connection, STRANGER)
                assert "not in the validator set" in await refusal(connection)
        assert "not in the validator set" in logs_of(logs, "peer cut off")[0]["reason"]
        assert hub.connected == []

    run(story)


def test_a_node_on_another_fork_is_let_in_to_learn_of_it() -> None:
    async def story() -> None:
        hub, validator = Hub(), Hub()
        validator.identity = IDENTITY._replace(fork_id=1)
        async with serving(hub) as server, following(PORTS[server], validator):
            (peer,) = await eventually(server.peers, what="the link")
        assert peer.hello.fork_id == 1
        assert peer.hello.height == STANDING.height

    run(story)


def test_a_connection_that_does_not_greet_is_cut_off() -> None:
    async def story() -> None:
        limits = PATIENT._replace(hello_s=0.2)
        async with serving(Hub(), limits=limits) as server, bare(PORTS[server]) as connection:
            assert "no greeting" in await refusal(connection)

    run(story)


@pytest.mark.parametrize("first", [b"short", b"c" * 33, "c" * 32])
def test_a_malformed_nonce_is_refused(first: bytes | str) -> None:
    async def story() -> None:
        async with serving(Hub()) as server, bare(PORTS[server]) as connection:
            await connection.send(first)
            assert "malformed" in await refusal(connection)

    run(story)


def test_a_newer_link_of_the_same_key_replaces_the_older() -> None:
    async def story() -> None:
        hub = Hub()
        async with serving(hub) as server, bare(PORTS[server]) as older:
            await greet(older, FIRST)
            await eventually(lambda: hub.connected, what="the first link")
            async with bare(PORTS[server]) as newer:
                await greet(newer, FIRST)
                assert "connected anew" in await refusal(older)
                await eventually(lambda: len(server.peers()) == 1, what="one link")

    run(story)


def test_too_many_connections_are_refused() -> None:
    async def story() -> None:
        limits = PATIENT._replace(connections=1)
        async with (
            serving(Hub(), limits=limits) as server,
            bare(PORTS[server]) as first,
            bare(PORTS[server]) as second,
        ):
            assert "connections" in await refusal(second)
            await greet(first, FIRST)
            await eventually(server.peers, what="the first's link")

    run(story)


# --- observers ----------------------------------------------------------------------------------


def test_an_observer_gets_blocks_and_may_say_nothing_else() -> None:
    async def story() -> None:
        hub = Hub({GetBlocks: [Blocks((BLOCK,))]})
        async with serving(hub) as server, bare(PORTS[server]) as connection:
            await greet(connection, None)
            await connection.recv()
            await connection.send(encode_message(GetBlocks(Height(1))))
            assert decode_message(as_bytes(await connection.recv())) == Blocks((BLOCK,))
            server.broadcast(BLOCK)
            assert decode_message(as_bytes(await connection.recv())) == BLOCK

            await connection.send(encode_message(attestation(1)))
            assert "observer sent Attestation" in await refusal(connection)
        assert [message for _, message in hub.got] == [GetBlocks(Height(1))]

    run(story)


def test_observers_are_few() -> None:
    async def story() -> None:
        limits = PATIENT._replace(observers=1)
        async with serving(Hub(), limits=limits) as server, bare(PORTS[server]) as first:
            await greet(first, None)
            await eventually(server.peers, what="the first observer")
            async with bare(PORTS[server]) as second:
                await greet(second, None)
                assert "observers" in await refusal(second)

    run(story)


# --- who misbehaves -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "frame", [b"", b"\xff\x90", encode_message(attestation(1)) + b"\x00", b"\x03\xc1", "text"]
)
def test_a_malformed_frame_cuts_its_sender_off_and_nobody_else(frame: bytes | str) -> None:
    async def story() -> None:
        hub, other = Hub(), Hub()
        with capture_logs() as logs:
            async with serving(hub) as server, following(PORTS[server], other, SECOND):
                await eventually(lambda: hub.connected, what="the other's link")
                async with bare(PORTS[server]) as connection:
                    await greet(connection, FIRST)
                    await connection.recv()
                    await connection.send(frame)
                    assert "malformed" in await refusal(connection)
                server.broadcast(BLOCK)
                await eventually(lambda: other.got, what="the other's block")
        (line,) = logs_of(logs, "peer cut off")
        assert line["peer"] == "validator 0"
        assert len(hub.connected) == 2

    run(story)


def test_a_frame_beyond_the_bound_cuts_its_sender_off() -> None:
    async def story() -> None:
        with capture_logs() as logs:
            async with serving(Hub()) as server, bare(PORTS[server]) as connection:
                await greet(connection, FIRST)
                await connection.recv()
                with suppress(ConnectionClosed):
                    await connection.send(bytes(5 * 1024 * 1024))
                await eventually(lambda: logs_of(logs, "peer cut off"), what="the line")
                await eventually(lambda: not server.peers(), what="the end of the link")

    run(story)


def test_a_lie_cuts_its_sender_off() -> None:
    async def story() -> None:
        hub = Hub()
        hub.refuses = Attestation
        async with serving(hub) as server, bare(PORTS[server]) as connection:
            await greet(connection, FIRST)
            await connection.recv()
            await connection.send(encode_message(attestation(1)))
            assert "not over this block" in await refusal(connection)

    run(story)


def test_a_peer_that_does_not_read_is_cut_off_and_the_others_go_on() -> None:
    async def story() -> None:
        hub, other = Hub(), Hub()
        big = Proposal(bytes(2_000_000), b"s" * 64, b"")
        limits = PATIENT._replace(outbox_frames=20)
        with capture_logs() as logs:
            async with (
                serving(hub, limits=limits) as server,
                following(PORTS[server], other, SECOND),
                bare(PORTS[server]) as connection,
            ):
                await greet(connection, FIRST)
                await eventually(lambda: len(hub.connected) == 2, what="both links")
                connection.transport.pause_reading()
                for sent in range(40):
                    server.broadcast(big)
                    await eventually(partial(has_more, other.got, sent), what="the other's block")
                await eventually(lambda: logs_of(logs, "peer cut off"), what="the line")
                await eventually(lambda: len(server.peers()) == 1, what="one link")
                connection.transport.abort()
        (line,) = logs_of(logs, "peer cut off")
        assert line["peer"] == "validator 0"
        assert "too slow" in line["reason"]

    run(story)


def test_a_peer_that_asks_and_does_not_take_is_not_answered_without_end() -> None:
    async def story() -> None:
        hub = Hub({GetBlocks: [Blocks((Proposal(bytes(1_000_000), b"s" * 64, b""),))]})
        limits = PATIENT._replace(outbox_bytes=8_000_000)
        async with serving(hub, limits=limits) as server, bare(PORTS[server]) as connection:
            await greet(connection, FIRST)
            await eventually(lambda: hub.connected, what="the link")
            connection.transport.pause_reading()
            with suppress(ConnectionClosed):
                for _ in range(1_000):
                    await connection.send(encode_message(GetBlocks(Height(1))))
            await eventually(lambda: not server.peers(), what="the end of the link")
            assert len(hub.got) < 100
            connection.transport.abort()

    run(story)


def test_a_silent_peer_is_cut_off() -> None:
    async def story() -> None:
        with capture_logs() as logs:
            async with serving(Hub(), limits=QUICK) as server, bare(PORTS[server]) as connection:
                await greet(connection, FIRST)
                await eventually(server.peers, what="the link")
                connection.transport.pause_reading()  # as a process that was stopped
                await eventually(lambda: not server.peers(), what="the end of the link")
                connection.transport.abort()
        assert "ping" in logs_of(logs, "peer cut off")[0]["reason"]

    run(story)


def test_what_is_no_tls_disturbs_nobody() -> None:
    async def story() -> None:
        hub, validator = Hub(), Hub()
        async with serving(hub) as server, following(PORTS[server], validator):
            await eventually(lambda: hub.connected, what="the link")
            for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(5_000), b""):
                with socket.create_connection(("127.0.0.1", PORTS[server])) as plain:
                    plain.sendall(noise)
            server.broadcast(BLOCK)
            await eventually(lambda: validator.got, what="the block")

    run(story)


def test_the_validator_connects_again_by_itself() -> None:
    async def story() -> None:
        validator = Hub()
        first = Hub()
        async with serving(first) as server, following(PORTS[server], validator) as client:
            await eventually(lambda: first.connected, what="the first link")
            (link,) = server._links.values()
            link.cut("for the test")
            await eventually(lambda: len(first.connected) == 2, what="the second link")
            assert client.names() == ["the sequencer"]

    run(story)


# --- TLS ----------------------------------------------------------------------------------------


def test_the_certificate_is_the_keys_own() -> None:
    certificate = make_certificate(FIRST)

    assert read_public_key(certificate) == FIRST.public_key
    assert make_certificate(FIRST) == certificate
    with pytest.raises(PeerRefused):
        read_public_key(certificate[:-80])


def test_only_tls_1_3_is_spoken() -> None:
    async def story() -> None:
        async with serving(Hub()) as server:
            old = make_client_tls()
            old.minimum_version = ssl.TLSVersion.TLSv1_2
            old.maximum_version = ssl.TLSVersion.TLSv1_2
            with pytest.raises(OSError):  # noqa: PT011 - an alert, or the end of the connection
                await asyncio.open_connection("127.0.0.1", PORTS[server], ssl=old)

    run(story)


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1", "wss://127.0.0.1", "wss://:1", "wss://a:b", "wss://a:1/x", ""]
)
def test_a_url_that_is_no_link_is_refused(url: str) -> None:
    with pytest.raises(OperatorError, match="wss://HOST:PORT"):
        validate_peer_url(url)


def test_a_frame_beyond_the_bound_is_never_made() -> None:
    with pytest.raises(EncodingError):
        encode_message(Proposal(bytes(FRAME_BYTES_MAX), b"", b""))


# --- helpers ------------------------------------------------------------------------------------


def logs_of(logs: Sequence[Any], event: str) -> list[dict[str, Any]]:
    return [dict(line) for line in logs if line["event"].startswith(event)]


def has_more(items: Sequence[object], number: int) -> bool:
    return len(items) > number


def as_bytes(frame: bytes | str) -> bytes:
    assert isinstance(frame, bytes)
    return frame


@asynccontextmanager
async def middleman(target: int, key: NodeKey) -> AsyncIterator[int]:
    """A TLS server with a key of its own that passes all bytes on to the sequencer."""

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(
            "127.0.0.1", target, ssl=make_client_tls()
        )
        try:
            await asyncio.wait(
                {
                    asyncio.create_task(pump(reader, far_writer)),
                    asyncio.create_task(pump(far_reader, writer)),
                },
                return_when=asyncio.FIRST_COMPLETED,
            )
        finally:
            far_writer.transport.abort()
            writer.transport.abort()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0, ssl=make_server_tls(key).context)
    async with server:
        yield server.sockets[0].getsockname()[1]


# --- the set changes ------------------------------------------------------------------------------


def test_a_member_to_be_observes_and_greets_with_its_key_once_it_is_one() -> None:
    async def story() -> None:
        sequencer, newcomer = Hub(), Hub({Proposal: [attestation(1)]})
        newcomer.members = SET
        async with serving(sequencer) as server, following(PORTS[server], newcomer, STRANGER):
            await eventually(lambda: sequencer.connected, what="linked as an observer")
            assert sequencer.connected[0].startswith("observer")
            server.broadcast(BLOCK)
            await eventually(lambda: newcomer.got, what="a block")
            assert sequencer.got == [], "an observer's end says nothing that it may not"

            grown = SET._replace(members=(*SET.members, Validator(STRANGER.public_key, 1)))
            sequencer.members = newcomer.members = grown

            await eventually(lambda: len(sequencer.connected) > 1, what="linked anew")
            assert sequencer.connected[1] == f"validator {len(SET.members)}"
            server.broadcast(BLOCK)
            await eventually(lambda: sequencer.got, what="its word counts")

    run(story)


def test_a_removed_validator_that_does_not_know_it_yet_is_told_and_observes() -> None:
    async def story() -> None:
        sequencer, removed = Hub(), Hub()
        smaller = SET._replace(members=SET.members[1:])
        sequencer.members = smaller
        async with serving(sequencer) as server, following(PORTS[server], removed, FIRST):
            await eventually(lambda: sequencer.connected, what="linked")
            assert sequencer.connected[0].startswith("observer")

            removed.members = smaller
            await asyncio.sleep(3 * PATIENT.tick_s)
            assert len(sequencer.connected) == 1, "it stays what it is"
            sequencer.members = removed.members = SET

            await eventually(lambda: len(sequencer.connected) > 1, what="it is a member again")
            assert sequencer.connected[1] == "validator 0"

    run(story)
