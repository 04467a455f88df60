"""The sequencer's front is a process of its own: neither it nor the core outlives the other."""

import http.client
import json
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.devnet import MINIMAL_GENESIS, Sequencer, poll

CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
FLAGS = ["--block-time", "0.2"]


@pytest.fixture
def sequencer(tmp_path: Path) -> Iterator[Sequencer]:
    with Sequencer(MINIMAL_GENESIS, tmp_path / "data", *FLAGS) as node:
        node.start()
        node.wait_for_answer()
        node.wait_for_height(1)
        yield node


def front_of(node: Sequencer) -> int:
    """Return the front's process id."""
    (found,) = [each for each, words in node.family().items() if "front_process" in words]
    return found


def test_a_front_that_is_killed_is_started_again(sequencer: Sequencer) -> None:
    height, first = sequencer.rpc.height(), front_of(sequencer)

    os.kill(first, signal.SIGKILL)

    # The port stays taken: who asks meanwhile waits for the next front.
    assert sequencer.rpc.height() >= height
    assert front_of(sequencer) != first
    assert "front ended, started again" in sequencer.errors()
    sequencer.wait_for_height(height + 2)


def test_a_node_whose_front_ends_again_and_again_says_so_in_one_line(sequencer: Sequencer) -> None:
    killed: set[int] = set()

    def kill_the_next() -> bool:
        for process_id in set(sequencer.family()) - {sequencer.process.pid} - killed:
            killed.add(process_id)
            os.kill(process_id, signal.SIGKILL)
        return sequencer.process.poll() is not None

    poll(kill_the_next, what="the node's end")

    assert sequencer.process.returncode == 1
    last = sequencer.errors().splitlines()[-1]
    assert last.startswith("perpnode: the process that answers JSON-RPC ended 4 times")
    assert "Traceback" not in sequencer.errors()
    sequencer.wait_for_family_end()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_core_that_ends_takes_its_front_along(
    sequencer: Sequencer, number: signal.Signals
) -> None:
    assert len(sequencer.family()) == 2

    sequencer.signal(number)

    sequencer.wait_for_family_end()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", sequencer.port)) != 0


def test_ctrl_c_ends_both_and_says_nothing(sequencer: Sequencer) -> None:
    assert sequencer.interrupt() == 0

    sequencer.wait_for_family_end()
    assert "Traceback" not in sequencer.errors()


def test_a_core_killed_in_a_request_breaks_the_connection(sequencer: Sequencer) -> None:
    """No answer is better than a wrong one: wallets ask again after a broken connection."""
    body = b"[" + b",".join([CHAIN_ID.replace(b"eth_chainId", b"perp_status")] * 1_000) + b"]"
    failures: list[Exception] = []

    def ask_for_ever() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", sequencer.port, timeout=30)
        try:
            while True:
                connection.request("POST", "/", body)
                response = connection.getresponse()
                assert response.status == 200
                response.read()
        except (OSError, http.client.HTTPException) as failure:
            failures.append(failure)
        finally:
            connection.close()

    threads = [threading.Thread(target=ask_for_ever) for _ in range(3)]
    for thread in threads:
        thread.start()
    sequencer.wait_for_height(sequencer.rpc.height() + 1)

    sequencer.signal(signal.SIGKILL)

    for thread in threads:
        thread.join(30)
    assert len(failures) == 3
    sequencer.wait_for_family_end()


def test_two_hundred_connections_are_answered_side_by_side(sequencer: Sequencer) -> None:
    connections = [
        http.client.HTTPConnection("127.0.0.1", sequencer.port, timeout=30) for _ in range(200)
    ]
    for round_ in range(3):
        for connection in connections:
            connection.request("POST", "/", CHAIN_ID)
        answers = {connection.getresponse().read() for connection in connections}
        assert len(answers) == 1, round_
    for connection in connections:
        connection.close()


def test_every_line_of_a_log_for_machines_is_json(tmp_path: Path) -> None:
    with Sequencer(MINIMAL_GENESIS, tmp_path / "data", *FLAGS, "--log-format", "json") as node:
        node.start()
        node.wait_for_answer()
        for junk in (
            b"GARBAGE\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: x\r\n\r\n",
        ):
            with socket.create_connection(("127.0.0.1", node.rpc.port)) as client:
                client.sendall(junk)
                client.recv(100)
        os.kill(front_of(node), signal.SIGKILL)
        node.rpc.height()

        events = [json.loads(line)["event"] for line in node.errors().splitlines()]

    assert events[-1] == "front ended, started again"
