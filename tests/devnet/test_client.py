"""The JSON-RPC client against a real WebSocket server that answers as the test says."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from node.devnet.client import connect, websocket_url
from node.errors import NodeUnreachable, OperatorError, RequestRefused

Answer = Callable[[ServerConnection, Any], Awaitable[None]]


@asynccontextmanager
async def node(answer: Answer) -> AsyncIterator[str]:
    async def handle(connection: ServerConnection) -> None:
        async for frame in connection:
            await answer(connection, json.loads(frame))

    async with serve(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def result(request: Any, value: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": request["id"], "result": value}


def refusal(request: Any, message: str) -> dict[str, Any]:
    error = {"code": -32000, "message": message, "data": "0x12"}
    return {"jsonrpc": "2.0", "id": request["id"], "error": error}


async def echo(connection: ServerConnection, frame: Any) -> None:
    """Answer each request with its parameters, a batch backwards."""
    if isinstance(frame, list):
        await connection.send(json.dumps([result(each, each["params"]) for each in frame[::-1]]))
    else:
        await connection.send(json.dumps(result(frame, frame["params"])))


def test_requests_get_their_own_answers() -> None:
    async def story() -> None:
        async with node(echo) as url, connect(url) as client:
            assert await client.request("a", 1, "x") == [1, "x"]
            assert await asyncio.gather(*(client.request("a", i) for i in range(20))) == [
                [i] for i in range(20)
            ]
            assert await client.batch([("a", (1,)), ("b", (2,))]) == [[1], [2]]
            assert await client.batch([]) == []

    asyncio.run(story())


def test_refusal_carries_the_nodes_words() -> None:
    async def refuse(connection: ServerConnection, frame: Any) -> None:
        await connection.send(json.dumps(refusal(frame, "nonce too low")))

    async def story() -> None:
        async with node(refuse) as url, connect(url) as client:
            with pytest.raises(RequestRefused, match="nonce too low") as caught:
                await client.request("a")
            assert (caught.value.code, caught.value.data) == (-32000, "0x12")

    asyncio.run(story())


def test_batch_returns_refusals_in_their_places() -> None:
    async def half(connection: ServerConnection, frame: Any) -> None:
        await connection.send(json.dumps([refusal(frame[0], "no"), result(frame[1], "yes")]))

    async def story() -> None:
        async with node(half) as url, connect(url) as client:
            refused, accepted = await client.batch([("a", ()), ("b", ())])
            assert isinstance(refused, RequestRefused)
            assert accepted == "yes"

    asyncio.run(story())


def test_frame_refused_as_a_whole_fails_every_request_in_it() -> None:
    async def refuse(connection: ServerConnection, _: Any) -> None:
        await connection.send(json.dumps(refusal({"id": None}, "batch too large")))

    async def story() -> None:
        async with node(refuse) as url, connect(url) as client:
            answers = await client.batch([("a", ()), ("b", ())])
            assert [str(answer) for answer in answers] == ["batch too large"] * 2

    asyncio.run(story())


def test_lost_connection_fails_what_waits_and_ends_subscriptions() -> None:
    async def hang_up(connection: ServerConnection, frame: Any) -> None:
        if frame["method"] == "eth_subscribe":
            await connection.send(json.dumps(result(frame, "0x1")))
        else:
            await connection.close()

    async def story() -> None:
        async with node(hang_up) as url, connect(url) as client:
            heads = await client.subscribe("newHeads")
            with pytest.raises(NodeUnreachable, match="closed the connection"):
                await client.request("a")
            for _ in range(2):
                with pytest.raises(NodeUnreachable):
                    await heads.latest()
            with pytest.raises(NodeUnreachable):
                await client.request("a")

    asyncio.run(story())


def test_latest_passes_over_older_notifications_even_early_ones() -> None:
    async def notify(connection: ServerConnection, frame: Any) -> None:
        def item(value: int) -> str:
            params = {"subscription": "0x1", "result": value}
            return json.dumps({"jsonrpc": "2.0", "method": "eth_subscription", "params": params})

        if frame["method"] == "eth_subscribe":
            await connection.send(item(1))
            await connection.send(json.dumps(result(frame, "0x1")))
            await connection.send(item(2))
        else:
            await connection.send(item(3))
            await connection.send(json.dumps(result(frame, None)))

    async def story() -> None:
        async with node(notify) as url, connect(url) as client:
            heads = await client.subscribe("newHeads")
            assert await anext(heads) == 1
            await client.request("a")
            assert await heads.latest() == 3

    asyncio.run(story())


@pytest.mark.parametrize("frame", ["hello", "5", '{"id": 1}', '{"id": 1, "error": 5}'])
def test_what_is_no_node_is_said_to_be_none(frame: str) -> None:
    async def babble(connection: ServerConnection, _: Any) -> None:
        await connection.send(frame)

    async def story() -> None:
        async with node(babble) as url, connect(url) as client:
            with pytest.raises(NodeUnreachable, match="does not speak JSON-RPC"):
                await client.request("a")

    asyncio.run(story())


def test_nobody_listening_is_one_line_with_the_url() -> None:
    async def story() -> None:
        async with connect("http://127.0.0.1:1"):
            pytest.fail("connected to nobody")

    with pytest.raises(NodeUnreachable) as caught:
        asyncio.run(story())

    assert str(caught.value).startswith(
        "no node answers at http://127.0.0.1:1 (Connection refused)"
    )
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "websocket"),
    [
        ("http://localhost:8545", "ws://localhost:8545"),
        ("wss://node.example", "wss://node.example"),
    ],
)
def test_url_becomes_a_websockets_one(url: str, websocket: str) -> None:
    assert websocket_url(url) == websocket


@pytest.mark.parametrize("url", ["localhost:8545", "ftp://x", "http://", ""])
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(OperatorError, match="is no node URL"):
        websocket_url(url)
