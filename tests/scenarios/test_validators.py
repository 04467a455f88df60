"""Validators as processes: they certify, they fall, and they come back by themselves."""

import json
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from node.consensus.node_key import make_node_key
from tests.helpers.chain import Person
from tests.helpers.devnet import MINIMAL_GENESIS, Devnet, RpcError, Sequencer, poll
from tests.helpers.validators import Follower, Network, Proxy, perpnode, verify

STOPPED_POLLS = 40
"""Looks, each 50 ms, while a validator is stopped."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Network(tmp_path_factory.mktemp("network"), people=[Person("trader")]) as running:
        running.wait_for_certified(2)
        yield running
        running.end()
        for node in (running.sequencer, *running.validators):
            done = verify(node.data_dir)
            assert done.returncode == 0, f"{node.data_dir}: {done.stderr}"
            found = json.loads(done.stdout)
            assert found["ok"]
            assert found["signatures"] == found["last"] > 1
            assert found["certificates"] > 0
            assert found["disputes"] == 0


def guard_of(node: Follower) -> dict[str, str]:
    """Return what a validator's guard remembers."""
    lines = (node.data_dir / "sign-guard").read_text().splitlines()[1:]
    return dict(line.split(" ", 1) for line in lines)


def assert_signs_on_one_chain(network: Network, node: Follower) -> None:
    """Check that a validator's last signature is over a block of the chain, and no other was."""
    signed = guard_of(node)
    block = network.rpc.block(int(signed["height"]))
    assert block is not None
    assert block["hash"] == signed["block_hash"]
    assert "no block of this chain" not in network.sequencer.errors()
    assert "not over this block" not in network.sequencer.errors()
    assert network.status()["disputes"] == 0


# --- while all is well --------------------------------------------------------------------------


def test_four_validators_certify_what_they_recompute(network: Network) -> None:
    certified = network.wait_for_certified(network.rpc.height() + 3)

    safe, latest = network.rpc.block("safe"), network.rpc.block("latest")
    assert safe is not None
    assert latest is not None
    assert int(safe["number"], 16) >= certified
    assert int(latest["number"], 16) - int(safe["number"], 16) < 8
    for node in network.validators:
        node.wait_for_height(certified)
        assert node.rpc.block(certified) == network.rpc.block(certified)
    status = network.wait_for_status(lambda s: len(s["peers"]) == 4, "four links")
    assert status["peers"] == [f"validator {index}" for index in range(4)]
    assert status["phase"] == "open"


def test_later_blocks_name_the_certificates(network: Network) -> None:
    height = network.wait_for_certified(4)

    def names() -> dict[str, Any] | None:
        block: dict[str, Any] = network.rpc.call("perp_getBlock", "latest")
        return block if block["extension"]["certifiedHeight"] >= height else None

    extension = poll(names, what="a block that names the certificate")["extension"]
    assert extension["lastCertificateHash"] != "0x" + "00" * 32


def test_a_validator_serves_reads_and_takes_no_transactions(network: Network) -> None:
    node = network.validators[0]
    node.wait_for_height(1)

    assert node.rpc.call("eth_chainId") == network.rpc.call("eth_chainId")
    assert node.rpc.call("perp_status")["peers"] == ["the sequencer"]
    transfer = Person("trader").send(Person("somebody").address, value=1)
    with pytest.raises(RpcError, match="to the sequencer") as refused:
        node.rpc.call("eth_sendRawTransaction", "0x" + transfer.raw.hex())
    assert refused.value.code == -32000


def test_an_archive_follows_without_a_key(network: Network, tmp_path: Path) -> None:
    peer = f"wss://127.0.0.1:{network.peer_port}"
    with Follower("archive", network.genesis, tmp_path / "archive", peer, None) as archive:
        archive.start()
        height = archive.wait_for_height(network.rpc.height())
        assert archive.rpc.block(height) == network.rpc.block(height)
        assert archive.signal(signal.SIGTERM) == 0
    assert not (tmp_path / "archive" / "sign-guard").exists()
    assert verify(tmp_path / "archive").returncode == 0


# --- one of them falls --------------------------------------------------------------------------


def test_a_killed_validator_comes_back_and_signs_nothing_twice(network: Network) -> None:
    node = network.validators[3]
    node.wait_for_height(1)
    for _ in range(2):
        os.kill(node.process.pid, signal.SIGKILL)
        node.wait_for_end()
        before = network.rpc.height()
        network.wait_for_certified(before + 3)

        node.start()

        height = node.wait_for_height(network.rpc.height())
        poll(lambda h=height: int(guard_of(node)["height"]) > h, what="a new signature")  # type: ignore[misc]
        assert_signs_on_one_chain(network, node)


@pytest.mark.parametrize(
    "looks",
    [STOPPED_POLLS, pytest.param(200, marks=pytest.mark.slow)],
    ids=["2 seconds", "10 seconds"],
)
def test_a_stopped_validator_goes_on_where_it_was(network: Network, looks: int) -> None:
    node = network.validators[2]
    node.wait_for_height(1)
    os.kill(node.process.pid, signal.SIGSTOP)
    try:
        heights = [network.rpc.height()]
        for _ in range(3):
            heights.append(network.wait_for_certified(heights[-1] + max(looks // 12, 1)))
    finally:
        os.kill(node.process.pid, signal.SIGCONT)

    height = node.wait_for_height(network.rpc.height())
    poll(lambda: int(guard_of(node)["height"]) > height, what="a new signature")
    assert_signs_on_one_chain(network, node)


def test_a_validator_that_is_cut_off_catches_up(network: Network) -> None:
    old = network.validators[1]
    assert old.signal(signal.SIGTERM) == 0
    proxy = Proxy(network.peer_port)
    try:
        with network.follower(1, peer_port=proxy.port) as node:
            node.start()
            node.wait_for_height(network.rpc.height())
            for _ in range(2):
                proxy.cut()
                poll(lambda: not node.rpc.call("perp_status")["peers"], what="the end of the link")
                cut_at = node.height()
                network.wait_for_certified(cut_at + 5)
                assert node.height() == cut_at

                proxy.mend()

                height = node.wait_for_height(network.rpc.height())
                poll(lambda h=height: int(guard_of(node)["height"]) > h, what="a signature")  # type: ignore[misc]
            assert_signs_on_one_chain(network, node)
            assert node.signal(signal.SIGTERM) == 0
    finally:
        proxy.close()
        old.start()
    old.wait_for_height(network.rpc.height())


def test_with_two_gone_sealing_pauses_and_resumes_by_itself(network: Network) -> None:
    gone = network.validators[:2]
    for node in gone:
        node.wait_for_height(1)
        os.kill(node.process.pid, signal.SIGKILL)
        node.wait_for_end()

    status = network.wait_for_status(lambda s: s["phase"] == "lagging", "the pause")

    assert status["latest"] - status["safe"] == 8
    assert "not certified" in status["reason"]
    paused = network.rpc.height()
    block = network.rpc.block(paused)
    assert block is not None
    assert network.rpc.call("perp_getMarkets")
    assert network.rpc.height() == paused
    assert "lagging" in perpnode("status", "--rpc", network.rpc.url).stdout

    gone[0].start()

    network.wait_for_certified(paused + 3)
    assert network.status()["phase"] == "open"
    gone[1].start()
    for node in gone:
        height = node.wait_for_height(network.rpc.height())
        poll(lambda n=node, h=height: int(guard_of(n)["height"]) > h, what="a new signature")  # type: ignore[misc]
        assert_signs_on_one_chain(network, node)


def test_a_restarted_sequencer_finds_its_validators_again(network: Network) -> None:
    head = network.rpc.height()
    os.kill(network.sequencer.process.pid, signal.SIGKILL)
    network.sequencer.wait_for_end()

    network.sequencer.start().wait_for_answer()

    network.wait_for_certified(head + 3)
    for node in network.validators:
        node.wait_for_height(head + 3)
        assert_signs_on_one_chain(network, node)


# --- the devnet ---------------------------------------------------------------------------------


def test_the_devnet_runs_validators_and_restarts_one_that_is_killed(tmp_path: Path) -> None:
    flags = ["--genesis", str(MINIMAL_GENESIS), "--block-time", "0.5", "--validators", "4"]
    with Devnet(tmp_path / "data", *flags, "--bots", "0").start() as devnet:
        banner = devnet.output()
        for index in range(4):
            assert re.search(rf"\({index}\) 0x[0-9a-f]{{64}} http://127.0.0.1:\d+", banner)
        devnet.wait_for_output("certified 3")
        victim = next(
            process_id
            for process_id, command in devnet.family().items()
            if "--role validator" in command and "validator-1" in command
        )
        os.kill(victim, signal.SIGKILL)
        devnet.wait_for_output("validator 1 ended by SIGKILL")
        height = devnet.rpc.height()
        poll(lambda: devnet.rpc.call("perp_status")["safe"] > height + 2, what="certificates")

        assert devnet.interrupt() == 0

        assert devnet.family() == {}
    with Devnet(tmp_path / "data", "--block-time", "0.5").start() as again:
        poll(lambda: again.rpc.call("perp_status")["safe"] > height + 4, what="certificates")
        assert again.interrupt() == 0
        assert again.family() == {}
    for name in (".", *(f"validator-{index}" for index in range(4))):
        done = verify(tmp_path / "data" / name)
        assert done.returncode == 0, done.stderr


# --- what is refused ----------------------------------------------------------------------------


@pytest.fixture
def stopped(tmp_path: Path) -> Network:
    return Network(tmp_path)


def test_a_key_that_is_not_in_genesis_is_named_and_waits_for_the_council(
    stopped: Network, tmp_path: Path
) -> None:
    other = tmp_path / "other.json"
    make_node_key(other)
    data_dir = tmp_path / "data"

    with Follower("validator", stopped.genesis, data_dir, "wss://127.0.0.1:1", other) as follower:
        follower.start()
        follower.wait_for_line("this key is none of the validators that are known here")
        height = follower.wait_for_height(0)
        status = follower.signal(signal.SIGTERM)

    assert f"file={other}" in follower.errors()
    assert (height, status) == (0, 0)


def test_a_validator_without_a_key_is_refused(stopped: Network, tmp_path: Path) -> None:
    line = Follower(
        "validator", stopped.genesis, tmp_path / "data", "wss://127.0.0.1:1", None
    ).refusal()

    assert "--key" in line


def test_a_sequencer_without_its_key_is_refused(stopped: Network, tmp_path: Path) -> None:
    line = Sequencer(stopped.genesis, tmp_path / "data").refusal()

    assert "key" in line
    assert "genesis names 0x" in line


def test_a_key_that_others_can_read_is_refused(stopped: Network) -> None:
    stopped.key_paths[0].chmod(0o644)

    assert "chmod 600" in stopped.validators[0].refusal()


def test_a_chain_without_a_sequencers_key_can_not_be_followed(tmp_path: Path) -> None:
    line = Follower(
        "archive", MINIMAL_GENESIS, tmp_path / "data", "wss://127.0.0.1:1", None
    ).refusal()

    assert "names no sequencer" in line
