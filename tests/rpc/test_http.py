"""The short way of HTTP gives what the long way gives, byte for byte, and is really taken."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.rpc import http
from node.rpc.backend import Asker, Reply
from node.rpc.desk import Desk
from node.rpc.front import Front
from node.rpc.http import Heads
from node.rpc.origin import Policy
from node.rpc.port import listen
from node.rpc.server import RpcServer
from tests.rpc.chain import Chain

CHAIN_ID = b'{"jsonrpc":"2.0","id":%d,"method":"eth_chainId"}'
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": "0x1352517"}
DATE = re.compile(rb"date: [^\r]*\r\n")


def request(call_id: int = 1, *, host: bytes = b"localhost", more: bytes = b"") -> bytes:
    body = CHAIN_ID % call_id
    head = b"POST / HTTP/1.1\r\nHost: %b\r\n%bContent-Length: %d\r\n\r\n" % (host, more, len(body))
    return head + body


class Connection:
    """One connection, to write bytes to and to read answers from."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.001)  # a segment of its own

    async def answer(self) -> tuple[bytes, bytes]:
        """Return the next answer: its head without the date, and its body."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        length = re.search(rb"content-length: (\d+)", head)
        body = b"" if length is None else await self.reader.readexactly(int(length[1]))
        return DATE.sub(b"", head), body


@pytest.fixture
def slow_answers(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Return the bodies that took the long way."""
    taken: list[bytes] = []
    answer = Front.answer

    async def note(self: Front, asker: object, body: bytes) -> bytes | None:
        taken.append(body)
        return await answer(self, asker, body)  # type: ignore[arg-type]

    monkeypatch.setattr(Front, "answer", note)
    return taken


def tell(chain: Chain, story: Callable[[Connection], Awaitable[None]]) -> None:
    async def run() -> None:
        desk = Desk(chain.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        await server.start()
        try:
            connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
            await story(connection)
            connection.writer.close()
        finally:
            desk.close()
            await server.stop()

    asyncio.run(run())


def test_a_known_head_is_answered_at_once_as_the_long_way_does(
    traded: Chain, slow_answers: list[bytes]
) -> None:
    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        first = await connection.answer()
        for call_id in range(2, 10):
            await connection.send(request(call_id))
            head, body = await connection.answer()
            assert head == first[0]
            assert json.loads(body) == {**ANSWER, "id": call_id}

    tell(traded, story)

    assert slow_answers == [CHAIN_ID % 1]


@pytest.mark.parametrize(
    ("more", "is_quick"),
    [
        (b"X-Anything: is let through\r\n", True),
        (b"Origin: https://dapp.example\r\n", True),
        (b"Expect: 100-continue\r\n", False),
        (b"Upgrade: h2c\r\n", False),
        (b"Host: localhost\r\n", False),
        (b"X-Long: " + b"x" * http.HEAD_MAX + b"\r\n", False),
    ],
)
def test_only_plain_heads_are_known(
    traded: Chain, slow_answers: list[bytes], more: bytes, is_quick: bool
) -> None:
    async def story(connection: Connection) -> None:
        for _ in range(3):
            await connection.send(request(more=more))
            head, body = await connection.answer()
            if b" 100 " in head:
                _, body = await connection.answer()
            assert json.loads(body) == ANSWER

    tell(traded, story)

    assert len(slow_answers) == (1 if is_quick else 3)


def test_a_foreign_host_is_refused_each_time(traded: Chain) -> None:
    async def story(connection: Connection) -> None:
        await connection.send(request())
        await connection.answer()
        for _ in range(3):
            await connection.send(request(host=b"rebound.example"))
            head, _ = await connection.answer()
            assert head.startswith(b"HTTP/1.1 403 ")

    tell(traded, story)


def test_a_connection_that_shall_close_does(traded: Chain) -> None:
    async def story(connection: Connection) -> None:
        await connection.send(request())
        await connection.answer()
        await connection.send(request(more=b"Connection: close\r\n"))
        _, body = await connection.answer()
        assert json.loads(body) == ANSWER
        assert await connection.reader.read() == b""

    tell(traded, story)


@settings(max_examples=40)
@given(cuts=st.lists(st.integers(1, 3 * len(request()) - 1), max_size=8, unique=True))
def test_requests_are_answered_in_order_however_they_are_cut(
    traded: Chain, cuts: Sequence[int]
) -> None:
    """Also where a segment begins with a known head in the middle of another request."""
    stream = request(2) + request(3) + request(4)
    edges = [0, *sorted(cuts), len(stream)]
    pieces = [stream[a:b] for a, b in pairwise(edges)]

    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        await connection.send(*pieces)
        for call_id in (2, 3, 4):
            _, body = await connection.answer()
            assert json.loads(body) == {**ANSWER, "id": call_id}

    tell(traded, story)


def test_a_body_that_comes_after_its_known_head_is_answered_the_short_way(
    traded: Chain, slow_answers: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As http.client sends them, and with it requests and web3.py."""
    monkeypatch.setattr(http, "HELD_SECONDS", 10)

    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        for call_id in range(2, 6):
            whole = request(call_id)
            cut = whole.index(b"\r\n\r\n") + 4
            await connection.send(whole[:cut], whole[cut : cut + 5], whole[cut + 5 :])
            assert json.loads((await connection.answer())[1]) == {**ANSWER, "id": call_id}

    tell(traded, story)

    assert slow_answers == [CHAIN_ID % 1]


def test_a_body_that_is_slow_to_come_is_answered_the_long_way(
    traded: Chain, slow_answers: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HELD_SECONDS", 0.05)

    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        await connection.send(request(2)[:-5])
        await asyncio.sleep(0.3)
        await connection.send(request(2)[-5:] + request(3))
        for call_id in (2, 3):
            assert json.loads((await connection.answer())[1]) == {**ANSWER, "id": call_id}

    tell(traded, story)

    assert slow_answers == [CHAIN_ID % 1, CHAIN_ID % 2, CHAIN_ID % 3]


def test_a_body_that_trickles_is_not_waited_for_again_with_each_byte(
    traded: Chain, slow_answers: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HELD_SECONDS", 0.2)
    whole = request(2)

    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        await connection.send(whole[:-4])
        for at in range(len(whole) - 4, len(whole)):
            await asyncio.sleep(0.1)
            await connection.send(whole[at : at + 1])
        assert json.loads((await connection.answer())[1]) == {**ANSWER, "id": 2}

    tell(traded, story)

    assert slow_answers == [CHAIN_ID % 1, CHAIN_ID % 2]


def test_a_connection_that_ends_within_a_body_leaves_nothing_behind(traded: Chain) -> None:
    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        await connection.send(request(2)[:-5])
        connection.writer.write_eof()
        assert await asyncio.wait_for(connection.reader.read(), 5) == b""

    tell(traded, story)


@pytest.mark.parametrize("gap", [0, 0.02])
def test_requests_that_follow_while_one_is_answered_wait_their_turn(
    traded: Chain, monkeypatch: pytest.MonkeyPatch, gap: float
) -> None:
    """The answer is not at hand: the core's side takes its time."""
    answer = Desk.answer

    async def slowly(self: Desk, asker: Asker, method: str | None, body: bytes) -> Reply:
        await asyncio.sleep(0.05 if json.loads(body)["id"] % 2 else 0)
        return (await answer(self, asker, method, body))._replace(changes=None)

    monkeypatch.setattr(Desk, "answer", slowly)

    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        for call_id in range(2, 8):
            connection.writer.write(request(call_id))
            await asyncio.sleep(gap)
        for call_id in range(2, 8):
            assert json.loads((await connection.answer())[1]) == {**ANSWER, "id": call_id}

    tell(traded, story)


def test_a_notification_after_a_known_head_has_no_body(traded: Chain) -> None:
    body = b'{"jsonrpc":"2.0","method":"eth_chainId"}'
    note = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(body) + body

    async def story(connection: Connection) -> None:
        await connection.send(note)
        first = await connection.answer()
        await connection.send(note)
        second = await connection.answer()
        assert first == second
        assert first[0].startswith(b"HTTP/1.1 204 ")
        await connection.send(request())
        assert json.loads((await connection.answer())[1]) == ANSWER

    tell(traded, story)


def test_a_foreign_page_with_a_known_head_may_still_not_do_more_than_read(traded: Chain) -> None:
    body = b'{"jsonrpc":"2.0","id":1,"method":"evm_mine"}'
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\n%bContent-Length: %d\r\n\r\n"
    foreign = head % (b"Origin: https://evil.example\r\n", len(body)) + body

    async def story(connection: Connection) -> None:
        for _ in range(3):
            await connection.send(foreign)
            error = json.loads((await connection.answer())[1])["error"]
            assert error == {"code": -32000, "message": "not allowed from this origin"}

    tell(traded, story)


def test_a_request_that_fails_in_the_front_ends_its_connection_alone(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> Reply:
        raise RuntimeError("a bug")

    async def story(connection: Connection) -> None:
        host, port = connection.writer.get_extra_info("peername")
        await connection.send(request(1))
        await connection.answer()
        with monkeypatch.context() as broken:
            broken.setattr(Desk, "answer", fail)
            await connection.send(request(2).replace(b"eth_chainId", b"eth_mining_"))
            assert await asyncio.wait_for(connection.reader.read(), 5) == b""
        other = Connection(*await asyncio.open_connection(host, port))
        await other.send(request(3))
        assert json.loads((await other.answer())[1]) == {**ANSWER, "id": 3}
        other.writer.close()

    tell(traded, story)


def test_a_server_that_stops_gives_the_answer_under_way_and_ends(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = Desk.answer

    async def slowly(self: Desk, asker: Asker, method: str | None, body: bytes) -> Reply:
        await asyncio.sleep(0.3)
        return (await answer(self, asker, method, body))._replace(changes=None)

    async def run() -> None:
        desk = Desk(traded.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        await server.start()
        await know_a_head(server.port)
        monkeypatch.setattr(Desk, "answer", slowly)
        connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
        await connection.send(request().replace(b"eth_chainId", b"net_version"))
        await asyncio.sleep(0.1)
        desk.close()
        await server.stop()
        assert json.loads((await connection.answer())[1])["result"] == "20260119"
        assert await connection.reader.read() == b""
        connection.writer.close()

    asyncio.run(run())


def test_only_what_begins_a_request_is_known(traded: Chain, slow_answers: list[bytes]) -> None:
    """A segment that ends one request and holds the next is no head, though it ends in one."""
    first, second = request(1), request(2, more=b"X-Second: request\r\n")
    mixed = first[-5:] + second

    async def story(connection: Connection) -> None:
        await connection.send(first[:-5], mixed)
        assert json.loads((await connection.answer())[1]) == ANSWER
        await connection.answer()
        await connection.send(mixed)
        head, _ = await connection.answer()
        assert head.startswith(b"HTTP/1.1 400 ")

    tell(traded, story)


def test_a_known_head_is_known_on_every_connection(
    traded: Chain, slow_answers: list[bytes]
) -> None:
    async def run() -> None:
        desk = Desk(traded.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        await server.start()
        try:
            for _ in range(3):
                connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
                await connection.send(request())
                assert json.loads((await connection.answer())[1]) == ANSWER
                connection.writer.close()
        finally:
            desk.close()
            await server.stop()

    asyncio.run(run())

    assert len(slow_answers) == 1


def test_a_known_head_within_a_body_is_body(traded: Chain) -> None:
    async def story(connection: Connection) -> None:
        await connection.send(request(1))
        await connection.answer()
        inner = request(2)
        outer = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % len(inner)
        await connection.send(outer, inner)
        _, body = await connection.answer()
        assert json.loads(body)["error"]["code"] == -32700
        await connection.send(request(3))
        _, body = await connection.answer()
        assert json.loads(body) == {**ANSWER, "id": 3}

    tell(traded, story)


def test_a_connection_in_use_stays_open_beyond_the_idle_time(traded: Chain) -> None:
    async def run() -> None:
        desk = Desk(traded.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        server._server.config.timeout_keep_alive = 1
        await server.start()
        try:
            connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
            for call_id in range(1, 8):  # 1.75 s, no answer but the first by the long way
                await connection.send(request(call_id))
                assert json.loads((await connection.answer())[1])["id"] == call_id
                await asyncio.sleep(0.25)
            assert await asyncio.wait_for(connection.reader.read(), 5) == b"", "then it is idle"
            connection.writer.close()
        finally:
            desk.close()
            await server.stop()

    asyncio.run(run())


def test_known_heads_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEADS_MAX", 10)
    heads = Heads(Policy("127.0.0.1"))

    for number in range(25):
        heads.keep(b"%d" % number, [(b"host", b"localhost"), (b"content-length", b"1")])

    assert sum(heads.find(b"%d" % number) is not None for number in range(25)) == 5


async def know_a_head(port: int) -> None:
    """Have the server know the head of `request`."""
    connection = Connection(*await asyncio.open_connection("127.0.0.1", port))
    await connection.send(request())
    await connection.answer()
    connection.writer.close()
    await connection.writer.wait_closed()


def test_a_connection_that_was_never_answered_the_long_way_ends_when_it_is_idle(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "HEAD_SECONDS", 0.5)

    async def run() -> None:
        desk = Desk(traded.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        server._server.config.timeout_keep_alive = 1
        await server.start()
        try:
            await know_a_head(server.port)
            connection = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
            for call_id in range(1, 6):  # 1.25 s: its first head did come
                await connection.send(request(call_id))
                assert json.loads((await connection.answer())[1])["id"] == call_id
                await asyncio.sleep(0.25)
            assert await asyncio.wait_for(connection.reader.read(), 5) == b"", "then it is idle"
            connection.writer.close()
        finally:
            desk.close()
            await server.stop()

    asyncio.run(run())


def test_one_connection_too_many_is_not_answered_by_a_known_head(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "CONNECTIONS_MAX", 1)

    async def run() -> None:
        desk = Desk(traded.core)
        server = RpcServer(desk, Policy("127.0.0.1"), listen("127.0.0.1", 0))
        await server.start()
        try:
            await know_a_head(server.port)
            await asyncio.sleep(0.1)
            first = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
            await first.send(request())
            assert json.loads((await first.answer())[1]) == ANSWER
            other = Connection(*await asyncio.open_connection("127.0.0.1", server.port))
            await other.send(request())
            assert (
                "too many connections" in json.loads((await other.answer())[1])["error"]["message"]
            )
            first.writer.close()
            other.writer.close()
        finally:
            desk.close()
            await server.stop()

    asyncio.run(run())
