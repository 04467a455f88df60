"""An engineer's first minutes: `perpnode devnet` starts, works, stops, resumes and refuses."""

import os
import re
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.helpers.devnet import MINIMAL_GENESIS, Devnet, Rpc, RpcError

FLAGS = ["--genesis", str(MINIMAL_GENESIS), "--block-time", "0.2", "--validators", "0"]
FLAGS += ["--prices", "fixed", "--bots", "0"]


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def devnet(data_dir: Path) -> Iterator[Devnet]:
    with Devnet(data_dir, *FLAGS) as node:
        yield node.start()


def test_the_default_devnet_prints_what_anvils_users_expect_and_makes_blocks(
    data_dir: Path,
) -> None:
    with Devnet(data_dir, "--validators", "0").start() as node:
        banner = node.output()
        node.wait_for_height(2)

        assert "(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266" in banner
        assert "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80" in banner
        assert "test test test test test test test test test test test junk" in banner
        for section in ("Available Accounts", "Private Keys", "Chain ID", "Base Fee", "Gas Limit"):
            assert section in banner
        assert "20260119" in banner
        assert "simulated" in banner
        assert f"http://127.0.0.1:{node.port}" in banner
        assert f"ws://127.0.0.1:{node.port}" in banner
        assert int(node.rpc.call("eth_chainId"), 16) == 20260119


def test_each_block_prints_one_line(devnet: Devnet) -> None:
    listening = f"Listening on 127.0.0.1:{devnet.port}"
    devnet.wait_for_height(3)
    lines = devnet.wait_for_output("\n", after=devnet.output().index(listening)).splitlines()[1:]

    numbers = [re.search(r"\b(\d+)\b", line) for line in lines]

    assert numbers
    assert all(numbers), lines


def test_reporters_open_every_market_at_their_price(devnet: Devnet) -> None:
    markets = devnet.wait_for_open_markets()

    assert [market["symbol"] for market in markets] == ["BTC-USD", "ETH-USD"]


def test_ctrl_c_ends_every_process_and_the_same_command_resumes(
    devnet: Devnet, data_dir: Path
) -> None:
    seen = devnet.wait_for_height(3)
    block = devnet.rpc.block(seen)
    assert len(devnet.family()) > 1

    assert devnet.interrupt() == 0

    assert devnet.family() == {}
    with Devnet(data_dir, *FLAGS).start() as again:
        again.wait_for_height(seen + 1)
        assert again.rpc.block(seen) == block
        assert again.interrupt() == 0
        assert again.family() == {}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_to_the_first_process_alone_ends_the_others(
    devnet: Devnet, number: signal.Signals
) -> None:
    devnet.wait_for_height(1)

    assert devnet.signal(number) == 0

    assert devnet.family() == {}


def test_killing_the_first_process_leaves_no_orphans(devnet: Devnet) -> None:
    devnet.wait_for_height(1)

    os.kill(devnet.process.pid, signal.SIGKILL)
    devnet.wait_for_end()

    devnet.wait_for_family_end()


def test_a_flag_that_contradicts_the_data_directory_is_named(
    devnet: Devnet, data_dir: Path
) -> None:
    devnet.interrupt()

    line = Devnet(data_dir, *FLAGS, "--accounts", "3").refusal()

    assert "--accounts 3" in line
    assert str(data_dir) in line


def test_a_port_in_use_is_named_with_its_owner(data_dir: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        line = Devnet(data_dir, *FLAGS, port=port).refusal()

    assert str(port) in line
    assert str(os.getpid()) in line


def test_a_database_in_use_is_named_with_its_owner(devnet: Devnet, data_dir: Path) -> None:
    before = devnet.family()

    line = Devnet(data_dir, *FLAGS).refusal()

    assert str(data_dir) in line
    assert any(str(process_id) in line for process_id in before), line
    assert devnet.family().keys() == before.keys()
    devnet.wait_for_height(devnet.rpc.height() + 1)


def test_the_terminal_tells_of_a_lost_validator_a_stop_and_a_killed_sequencer(
    data_dir: Path,
) -> None:
    flags = ["--prices", "fixed", "--bots", "0", "--block-time", "0.2"]
    with Devnet(data_dir, *flags, "--validators", "4", "--faults").start() as node:
        node.wait_for_output("validator 3")
        victim = process_of(node, "validator-0")

        os.kill(victim, signal.SIGKILL)

        seen = node.wait_for_output("validator 0 ended by SIGKILL, restarted\n")
        node.wait_for_output("linked: validator 0", after=seen.index("ended by SIGKILL"))
        node.wait_for_open_markets()
        node.rpc.call("debug_injectFault", "funding_index", "cache", 1, 258_024_445)
        stop = node.wait_for_output("stopped: block")
        assert re.search(r"^stopped: block \d+, .*: was .*, recomputed .*$", stop, re.MULTILINE)

        os.kill(process_of(node, "--role sequencer"), signal.SIGKILL)

        assert node.wait_for_end() == 1
        (line,) = [each for each in node.errors().splitlines() if each.startswith("perpnode: ")]
        assert "the sequencer ended by SIGKILL: see " in line


def process_of(node: Devnet, words: str) -> int:
    """Return the process whose command line has these words."""
    (found,) = [number for number, line in node.family().items() if words in line]
    return found


def test_the_node_signs_for_the_funded_accounts_many_at_once(devnet: Devnet) -> None:
    sender, receiver, *_ = devnet.rpc.call("eth_accounts")
    gift = {"from": sender, "to": receiver, "value": "0x1"}

    def send(_: int) -> str:
        with Rpc(devnet.port) as rpc:
            tx_hash: str = rpc.call("eth_sendTransaction", gift)
            return tx_hash

    with ThreadPoolExecutor(8) as threads:
        hashes = list(threads.map(send, range(40)))

    sent = [devnet.rpc.call("eth_getTransactionByHash", tx_hash) for tx_hash in hashes]
    assert sorted(int(tx["nonce"], 16) for tx in sent) == list(range(40))
    assert all(devnet.rpc.receipt(tx_hash)["status"] == "0x1" for tx_hash in hashes)


def test_without_development_helpers_the_node_signs_for_nobody(data_dir: Path) -> None:
    with Devnet(data_dir, *FLAGS, "--no-dev").start() as node:
        known = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"

        assert node.rpc.call("eth_accounts") == []
        with pytest.raises(RpcError, match="No Signer available"):
            node.rpc.call("eth_sendTransaction", {"from": known, "to": known})
        assert not (data_dir / "keys" / "accounts.json").exists()
