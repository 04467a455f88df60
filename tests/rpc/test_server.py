"""The front over real sockets: HTTP and WebSocket on one port, and who may speak."""

import asyncio
import http.client
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus

from node.config import NodeConfig, Role
from node.errors import PortInUse
from node.rpc import http as rpc_http
from node.rpc import server, subscriptions
from node.rpc.backend import Backend
from node.rpc.context import Context
from node.rpc.desk import Desk
from node.rpc.methods import METHODS, Method
from node.rpc.origin import Policy
from node.rpc.port import listen
from node.rpc.requests import BODY_MAX
from node.rpc.server import RpcServer
from node.rpc.serving import serve
from tests.rpc.chain import Chain
from tests.rpc.seam import linked

CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
DAMAGE = b'{"jsonrpc":"2.0","id":1,"method":"test_damage"}'
FOREIGN = "https://dapp.example"
ANSWER = {"jsonrpc": "2.0", "id": 1, "result": "0x1352517"}


async def damage(context: Context) -> Any:
    """Do what no foreign page may."""
    return "done"


IS_APART = False
"""Whether front and core speak over a socket, as when each is a process of its own."""


@pytest.fixture(autouse=True, params=[False, True], ids=["together", "apart"])
def _choose_seam(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request.module, "IS_APART", request.param)


@asynccontextmanager
async def serving(chain: Chain, policy: Policy | None = None) -> AsyncIterator[RpcServer]:
    table = {**METHODS, "test_damage": Method(damage, guarded=True)}
    policy = policy or Policy("127.0.0.1")
    desk = Desk(chain.core, table)
    async with seam(desk) as backend:
        front = RpcServer(backend, policy, listen(policy.bind_host, 0))
        await front.start()
        try:
            yield front
        finally:
            desk.close()
            await front.stop()


@asynccontextmanager
async def seam(desk: Desk) -> AsyncIterator[Backend]:
    if not IS_APART:
        yield desk
        return
    async with linked(desk) as (_, front_end):
        yield front_end


class Response(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


async def http_request(
    port: int,
    body: bytes | None = CHAIN_ID,
    *,
    method: str = "POST",
    path: str = "/",
    **headers: str,
) -> Response:
    def ask() -> Response:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            response = connection.getresponse()
            lower = {name.lower(): value for name, value in response.getheaders()}
            return Response(response.status, lower, response.read())
        finally:
            connection.close()

    return await asyncio.to_thread(ask)


async def receive_until_closed(client: ClientConnection) -> None:
    while True:
        await client.recv()


async def ws_ask(socket_: ClientConnection, method: str, *params: Any) -> Any:
    request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
    await socket_.send(json.dumps(request))
    return json.loads(await socket_.recv())


def over_http(chain: Chain, policy: Policy | None = None, **request: Any) -> Response:
    async def run() -> Response:
        async with serving(chain, policy) as front:
            return await http_request(front.port, **request)

    return asyncio.run(run())


def over_websocket(
    chain: Chain, story: Callable[[ClientConnection], Awaitable[None]], **options: Any
) -> None:
    async def run() -> None:
        async with (
            serving(chain) as front,
            connect(f"ws://127.0.0.1:{front.port}", **options) as client,
        ):
            await story(client)

    asyncio.run(run())


# --- HTTP -----------------------------------------------------------------------------------------


def test_a_request_is_answered_over_http(traded: Chain) -> None:
    response = over_http(traded)

    assert response.status == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json == ANSWER


def test_errors_have_status_200_and_cors(traded: Chain) -> None:
    response = over_http(traded, body=b"nonsense")

    assert response.status == 200
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.json["error"]["code"] == -32700


def test_notifications_have_no_body(traded: Chain) -> None:
    response = over_http(traded, body=b'{"jsonrpc":"2.0","method":"eth_chainId"}')

    assert (response.status, response.body) == (204, b"")


def test_a_preflight_allows_any_page_to_read(traded: Chain) -> None:
    response = over_http(
        traded,
        method="OPTIONS",
        body=None,
        Origin=FOREIGN,
        Access_Control_Request_Method="POST",
        Access_Control_Request_Private_Network="true",
    )

    assert response.status == 204
    assert response.headers["access-control-allow-origin"] == "*"
    assert response.headers["access-control-allow-methods"] == "POST"
    assert response.headers["access-control-allow-headers"] == "content-type"
    assert response.headers["access-control-allow-private-network"] == "true"


def test_other_methods_are_told_what_is_taken(traded: Chain) -> None:
    response = over_http(traded, method="GET", body=None)

    assert response.status == 405
    assert response.body == b"JSON-RPC takes POST and WebSocket\n"
    assert response.headers["allow"] == "POST, OPTIONS"


def test_a_probe_may_ask_for_the_head_of_a_page(traded: Chain) -> None:
    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
        writer.close()
        return answer

    async def run() -> bytes:
        async with serving(traded) as front:
            return await ask(front.port)

    head, _, body = asyncio.run(run()).partition(b"\r\n\r\n")

    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert body == b""


def test_health_and_numbers_are_shown_to_tools_and_to_no_web_page(traded: Chain) -> None:
    health = over_http(traded, method="GET", path="/health", body=None)
    metrics = over_http(traded, method="GET", path="/metrics", body=None)

    assert (health.status, health.json["status"]) == (200, "ready")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"\nperpnode_rpc_connections 1.0\n" in metrics.body
    for each in (health, metrics):
        assert "access-control-allow-origin" not in each.headers
        assert each.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path"),
    [("POST", "/"), ("OPTIONS", "/"), ("GET", "/"), ("GET", "/health"), ("GET", "/metrics")],
)
def test_a_foreign_host_gets_nothing(traded: Chain, method: str, path: str) -> None:
    response = over_http(traded, method=method, path=path, Host="rebound.example:8545")

    assert response.status == 403
    assert response.body == b"this node does not answer to that Host\n"


def test_a_named_host_is_answered(traded: Chain) -> None:
    policy = Policy("127.0.0.1", host_names=frozenset({"devnet.internal"}))

    assert over_http(traded, policy, Host="devnet.internal:8545").json == ANSWER


def test_a_foreign_page_may_read_and_do_no_more(traded: Chain) -> None:
    refused = over_http(traded, body=DAMAGE, Origin=FOREIGN)
    trusted = Policy("127.0.0.1", origins=frozenset({FOREIGN}))

    assert refused.status == 200
    message = "not allowed from this origin"
    assert refused.json["error"] == {"code": -32000, "message": message}
    assert over_http(traded, body=CHAIN_ID, Origin=FOREIGN).json == ANSWER
    assert over_http(traded, body=DAMAGE, Origin="http://localhost:3000").json["result"] == "done"
    assert over_http(traded, body=DAMAGE).json["result"] == "done"
    assert over_http(traded, trusted, body=DAMAGE, Origin=FOREIGN).json["result"] == "done"


def test_beyond_loopback_nobody_may_do_more_than_read(traded: Chain) -> None:
    policy = Policy("0.0.0.0")

    assert over_http(traded, policy).json == ANSWER
    assert over_http(traded, policy, body=DAMAGE).json["error"]["code"] == -32000


def test_a_large_body_is_read_and_a_larger_one_refused(traded: Chain) -> None:
    padding = b" " * (BODY_MAX - len(CHAIN_ID))

    assert over_http(traded, body=CHAIN_ID + padding).json == ANSWER
    refused = over_http(traded, body=CHAIN_ID + padding + b" ")
    assert refused.status == 200
    assert refused.json["error"]["code"] == -32600


def test_a_fork_plan_alone_may_be_larger(traded: Chain) -> None:
    def body(method: str, size: int) -> bytes:
        call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": ["x" * size, []]}
        return json.dumps(call).encode()

    taken = over_http(traded, body=body("perp_submitForkPlan", 16_000_000)).json["error"]
    assert taken["code"] == -32602, "it is read, and is no plan"
    for refused in (
        body("perp_getBlock", 6_000_000),
        b"[" + body("perp_submitForkPlan", 6_000_000) + b"]",
        body("perp_submitForkPlan", 40_000_000),
    ):
        assert over_http(traded, body=refused).json["error"]["code"] == -32600


def test_a_client_that_goes_away_costs_nobody_anything(traded: Chain) -> None:
    async def run() -> Response:
        async with serving(traded) as front:
            for sent in (b"", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"):
                with socket.create_connection(("127.0.0.1", front.port)) as client:
                    client.sendall(sent)
            with socket.create_connection(("127.0.0.1", front.port)) as client:
                client.sendall(b"\x16\x03\x01 no HTTP at all\r\n\r\n")
                await asyncio.to_thread(client.recv, 100)
            return await http_request(front.port)

    assert asyncio.run(run()).json == ANSWER


# --- WebSocket ------------------------------------------------------------------------------------


def test_requests_and_batches_are_answered_over_websocket(traded: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        await client.send(CHAIN_ID.decode())
        assert json.loads(await client.recv()) == ANSWER
        await client.send(CHAIN_ID)
        assert json.loads(await client.recv()) == ANSWER
        await client.send(b"[" + CHAIN_ID + b"," + CHAIN_ID + b"]")
        assert json.loads(await client.recv()) == [ANSWER, ANSWER]
        await client.send("nonsense")
        assert json.loads(await client.recv())["error"]["code"] == -32700

    over_websocket(traded, story)


def test_a_message_that_is_too_large_is_refused_and_the_connection_stays(traded: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        await client.send(b" " * (BODY_MAX + 1))
        assert json.loads(await client.recv())["error"]["code"] == -32600
        await client.send(CHAIN_ID)
        assert json.loads(await client.recv()) == ANSWER

    over_websocket(traded, story)


def test_a_foreign_host_gets_no_websocket(traded: Chain) -> None:
    async def run() -> int:
        async with serving(traded) as front:
            url = f"ws://rebound.example:{front.port}"
            with pytest.raises(InvalidStatus) as refusal:
                async with connect(url, host="127.0.0.1", port=front.port):
                    pass
            return refusal.value.response.status_code

    assert asyncio.run(run()) == 403


def test_a_foreign_page_may_read_over_websocket_and_do_no_more(traded: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        await client.send(DAMAGE)
        error = json.loads(await client.recv())["error"]
        assert error == {"code": -32000, "message": "not allowed from this origin"}
        await client.send(CHAIN_ID)
        assert json.loads(await client.recv()) == ANSWER

    over_websocket(traded, story, origin=FOREIGN)


def test_new_heads_logs_and_pending_transactions_are_told(chain: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        heads = (await ws_ask(client, "eth_subscribe", "newHeads"))["result"]
        logs = (await ws_ask(client, "eth_subscribe", "logs", {}))["result"]
        pending = (await ws_ask(client, "eth_subscribe", "newPendingTransactions"))["result"]
        transaction = chain.sign_call("sender", "Exchange", "deposit", 1_000_000)
        raw = "0x" + transaction.raw.hex()
        request = {"jsonrpc": "2.0", "id": 7, "method": "eth_sendRawTransaction", "params": [raw]}

        await client.send(json.dumps(request))
        first, second = json.loads(await client.recv()), json.loads(await client.recv())
        await asyncio.to_thread(chain.seal)
        told = [json.loads(await client.recv()) for _ in range(3)]

        tx_hash = "0x" + transaction.hash.hex()
        assert first == {"jsonrpc": "2.0", "id": 7, "result": tx_hash}
        assert second["method"] == "eth_subscription"
        assert second["params"] == {"subscription": pending, "result": tx_hash}
        assert [each["params"]["subscription"] for each in told] == [heads, logs, logs]
        head = told[0]["params"]["result"]
        assert head["number"] == "0x1"
        assert head["withdrawalsRoot"]
        assert head["baseFeePerGas"]
        block_logs = (await ws_ask(client, "eth_getLogs", {"blockHash": head["hash"]}))["result"]
        assert [each["params"]["result"] for each in told[1:]] == block_logs

    over_websocket(chain, story)


def test_syncing_may_be_subscribed_to_and_never_begins(chain: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        subscription = (await ws_ask(client, "eth_subscribe", "syncing"))["result"]

        await asyncio.to_thread(chain.seal)
        assert (await ws_ask(client, "eth_unsubscribe", subscription))["result"] is True

    over_websocket(chain, story)


def test_a_subscription_ends_when_asked(chain: Chain) -> None:
    async def story(client: ClientConnection) -> None:
        subscription = (await ws_ask(client, "eth_subscribe", "newHeads"))["result"]
        assert (await ws_ask(client, "eth_unsubscribe", subscription))["result"] is True

        again = await ws_ask(client, "eth_unsubscribe", subscription)

        assert again["error"] == {"code": -32000, "message": "subscription not found"}
        await asyncio.to_thread(chain.seal)
        assert (await ws_ask(client, "eth_blockNumber"))["result"] == "0x1"

    over_websocket(chain, story)


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (["newNonsense"], -32602, 'no "newNonsense" subscription in eth namespace'),
        (["logs", {"address": "0x1"}], -32602, "invalid argument 1: hex string of odd length"),
        (["logs", 5], -32602, "invalid argument 1: cannot unmarshal non-object"),
        (["newPendingTransactions", 5], -32602, "invalid argument 1: cannot unmarshal non-boo"),
        ([], -32602, "missing value for required argument 0"),
        ([5], -32602, "invalid argument 0: cannot unmarshal non-string"),
    ],
)
def test_subscriptions_to_nothing_are_refused(
    traded: Chain, params: list[Any], code: int, message: str
) -> None:
    async def story(client: ClientConnection) -> None:
        error = (await ws_ask(client, "eth_subscribe", *params))["error"]
        assert error["code"] == code
        assert error["message"].startswith(message)

    over_websocket(traded, story)


def test_a_connection_has_its_share_of_subscriptions(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "SUBSCRIPTIONS_MAX", 2)

    async def story(client: ClientConnection) -> None:
        for _ in range(2):
            assert "result" in await ws_ask(client, "eth_subscribe", "newHeads")
        refused = await ws_ask(client, "eth_subscribe", "newHeads")
        assert refused["error"]["code"] == -32000

    over_websocket(traded, story)


@pytest.mark.parametrize("method", ["eth_subscribe", "eth_unsubscribe"])
def test_over_http_nobody_can_be_notified(traded: Chain, method: str) -> None:
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": ["newHeads"]}

    error = over_http(traded, body=json.dumps(body).encode()).json["error"]

    assert error == {"code": -32601, "message": "notifications not supported"}


def test_a_reader_that_is_too_slow_is_cut_off_and_others_are_not(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "OUTBOX_MESSAGES_MAX", 20)

    async def run() -> None:
        async with serving(chain) as front:
            url = f"ws://127.0.0.1:{front.port}"
            async with connect(url) as slow, connect(url) as other:
                for _ in range(50):  # more notifications a head than an outbox holds
                    await ws_ask(slow, "eth_subscribe", "newHeads")
                await ws_ask(other, "eth_subscribe", "newHeads")

                await asyncio.to_thread(chain.seal)

                assert json.loads(await other.recv())["method"] == "eth_subscription"
                with pytest.raises(ConnectionClosed) as ended:
                    await receive_until_closed(slow)
                assert ended.value.rcvd is not None
                assert (ended.value.rcvd.code, ended.value.rcvd.reason) == (1008, "too slow")
                assert (await ws_ask(other, "eth_blockNumber"))["result"] == "0x1"

    asyncio.run(run())


def test_a_peer_that_does_not_read_at_all_is_cut_off(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "OUTBOX_BYTES_MAX", 300_000)
    monkeypatch.setattr(server, "CLOSE_SECONDS", 0)
    handshake = (
        "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    subscribe = (
        b"["
        + b",".join(
            [b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'] * 100
        )
        + b"]"
    )
    frame = b"\x81\xfe" + len(subscribe).to_bytes(2, "big") + bytes(4) + subscribe

    def read_to_the_end(client: socket.socket) -> int:
        size = 0
        while chunk := client.recv(1 << 20):
            size += len(chunk)
        return size

    async def run() -> int:
        async with serving(chain) as front:
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
                client.settimeout(15)  # sooner than a ping would find out
                client.connect(("127.0.0.1", front.port))
                client.sendall(handshake.encode())
                assert b" 101 " in await asyncio.to_thread(client.recv, 1_000)
                client.sendall(frame)
                assert await asyncio.to_thread(client.recv, 1) == b"\x81"
                for _ in range(60):  # 100 notifications of 1.5 kB each: more than kernels hold
                    await asyncio.to_thread(chain.seal)
                    assert (await http_request(front.port)).json == ANSWER
                return await asyncio.to_thread(read_to_the_end, client)

    assert 100 * 1_500 < asyncio.run(run()) < 60 * 100 * 1_500


# --- beginning and end ----------------------------------------------------------------------------


def config(port: int) -> NodeConfig:
    return NodeConfig(Role.SEQUENCER, Path("genesis.json"), Path("data"), port=port)


def test_a_node_is_served_as_it_is_configured(traded: Chain) -> None:
    async def run() -> Response:
        async with serve(traded.core, config(0)) as front:
            return await http_request(front.port)

    assert asyncio.run(run()).json == ANSWER


def test_a_port_in_use_is_refused(traded: Chain) -> None:
    async def run() -> None:
        async with serve(traded.core, config(0)) as front:
            with pytest.raises(PortInUse, match=f"port {front.port} on 127.0.0.1 is in use by"):
                async with serve(traded.core, config(front.port)):
                    pass

    asyncio.run(run())


def test_stopping_ends_connections_and_frees_the_port(
    chain: Chain,
) -> None:
    async def run() -> None:
        async with serve(chain.core, config(0)) as front:
            port = front.port
            client = await connect(f"ws://127.0.0.1:{port}")
            await ws_ask(client, "eth_subscribe", "newHeads")
        with pytest.raises(ConnectionClosed) as ended:
            await client.recv()
        assert ended.value.rcvd is not None
        assert ended.value.rcvd.code == 1001
        with pytest.raises(ConnectionRefusedError):
            await http_request(port)
        await asyncio.to_thread(chain.seal)  # nobody is told any more
        async with serve(chain.core, config(port)) as again:
            assert again.port == port

    asyncio.run(run())


# --- what uvicorn leaves open ---------------------------------------------------------------------


def test_one_connection_too_many_is_told_so_and_costs_nobody_else(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rpc_http, "CONNECTIONS_MAX", 2)

    async def run() -> None:
        async with serving(traded) as front:
            url = f"ws://127.0.0.1:{front.port}"
            async with connect(url) as first, connect(url) as second:
                refused = await http_request(front.port)
                with pytest.raises((InvalidMessage, ConnectionClosed, EOFError)):
                    await connect(url)
                answers = [await ws_ask(each, "eth_chainId") for each in (first, second)]
            await asyncio.sleep(0.1)
            taken = await http_request(front.port)

        assert refused.status == 200
        assert refused.json["error"]["code"] == -32000
        assert refused.json["error"]["message"].startswith("too many connections: at most ")
        assert refused.headers["connection"] == "close"
        assert [each["result"] for each in answers] == [ANSWER["result"]] * 2
        assert taken.json == ANSWER

    asyncio.run(run())


@pytest.mark.parametrize(
    "begun", [b"", b"POST / HTT", b"POST / HTTP/1.1\r\nHost: localhost\r\nX: "]
)
def test_a_head_that_does_not_come_ends_its_connection(
    traded: Chain, monkeypatch: pytest.MonkeyPatch, begun: bytes
) -> None:
    monkeypatch.setattr(rpc_http, "HEAD_SECONDS", 0.2)

    async def run() -> bytes:
        async with serving(traded) as front:
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(begun)
            seen = await asyncio.wait_for(reader.read(), 5)
            writer.close()
            return seen

    assert asyncio.run(run()) == b""


def test_a_head_without_end_ends_its_connection(traded: Chain) -> None:
    async def run() -> None:
        async with serving(traded) as front:
            reader, writer = await asyncio.open_connection("127.0.0.1", front.port)
            writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\n")
            with suppress(ConnectionError):
                for number in range(10_000):
                    writer.write(b"X-%d: %b\r\n" % (number, b"x" * 100))
                    await writer.drain()
                assert await reader.read() == b""
            writer.close()
            assert (await http_request(front.port)).json == ANSWER

    asyncio.run(run())
