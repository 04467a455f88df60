"""Wallets that watch a chain while its council forks it: they see a reorg, and go on.

The block number never falls for them, logs of what the fork left come again with `removed: true`,
receipts of orphaned transactions are gone, and the next transaction is an ordinary one.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from web3 import HTTPProvider, Web3
from web3.exceptions import TransactionNotFound
from web3.middleware import SignAndSendRawMiddlewareBuilder

from node.devnet.accounts import COUNCIL_PATH, derive_keys
from tests.conformance.trade import (
    ABI_DIR,
    CHAIN_ID,
    EXCHANGE,
    HERE,
    NODE_MODULES,
    abi_of,
    funder_key,
)
from tests.helpers.chain import Person
from tests.helpers.devnet import MINIMAL_GENESIS, Devnet, poll
from tests.helpers.forks import halt, sign_with_keys, submit_plan, wait_for_snapshot

FLOOR = 2**32
"""The first nonce on fork 1."""
LIBRARIES = ("viem", "ethers")


@pytest.fixture
def forkable(tmp_path: Path) -> Iterator[Devnet]:
    flags = ["--genesis", str(MINIMAL_GENESIS), "--block-time", "0.2", "--validators", "0"]
    flags += ["--prices", "fixed", "--bots", "0", "--accounts", "10", "--snapshot-interval", "5"]
    with Devnet(tmp_path / "data", *flags).start() as devnet:
        devnet.wait_for_open_markets()
        yield devnet


class Watcher:
    """A library's script that watches, and talks by lines."""

    def __init__(self, library: str, chain: Devnet, funder: int) -> None:
        node = shutil.which("node")
        if node is None or not (NODE_MODULES / library).is_dir():
            pytest.skip(f"{library} is not here: `npm ci` in tests/conformance installs it")
        settings = {
            "url": chain.rpc.url,
            "abiDir": str(ABI_DIR),
            "chainId": CHAIN_ID,
            "keys": [funder_key(funder)],
        }
        self.library = library
        self._process = subprocess.Popen(
            [node, f"fork_{library}.mjs", json.dumps(settings)],
            cwd=HERE,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_ready(self) -> int:
        """Return the block of its transaction before the fork."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"{self.library}: {self._end()}"
        return int(json.loads(line)["ready"])

    def finish(self) -> dict[str, Any]:
        """Say that the chain was forked, and return what it saw."""
        out, errors = self._process.communicate("forked\n", timeout=120)
        assert self._process.returncode == 0, f"{self.library}:\n{errors[-4000:]}"
        found: dict[str, Any] = json.loads(out)
        return found

    def kill(self) -> None:
        """End it, whatever it does."""
        self._process.kill()
        self._process.communicate()

    def _end(self) -> str:
        return self._process.communicate(timeout=30)[1][-4000:]


def fork(chain: Devnet, snapshot: str) -> dict[str, Any]:
    """Halt, plan, sign with three of the devnet's five members, and fork."""
    keys = [keypair.private_key for keypair in derive_keys(COUNCIL_PATH, 3)]
    halt(chain.rpc, _people(keys))
    plan: dict[str, Any] = chain.rpc.call(
        "perp_makeForkPlan", {"reason": "a rehearsal", "snapshot": snapshot}
    )
    answer = submit_plan(chain.rpc, plan, sign_with_keys(plan, keys))
    poll(lambda: chain.rpc.call("perp_status")["phase"] == "open", what="the catch-up")
    return answer


def _people(keys: list[bytes]) -> list[Person]:
    people = [Person(str(index)) for index in range(len(keys))]
    for person, key in zip(people, keys, strict=True):
        person.key = key
    return people


def test_watchers_see_a_reorg_and_their_next_transaction_goes_through(forkable: Devnet) -> None:
    snapshot = wait_for_snapshot(forkable.rpc)
    watchers = [Watcher(name, forkable, index) for index, name in enumerate(LIBRARIES)]
    try:
        ready = [watcher.wait_ready() for watcher in watchers]
        answer = fork(forkable, snapshot["name"])
        seen = [watcher.finish() for watcher in watchers]
    finally:
        for watcher in watchers:
            watcher.kill()

    for library, block, found in zip(LIBRARIES, ready, seen, strict=True):
        assert block > snapshot["blockNumber"], "what is orphaned came after the snapshot"
        assert found["nonce"] == FLOOR, library
        polled = [int(number) for number in found["polled"]]
        assert polled == sorted(set(polled)), f"{library}: the block number never falls"
        assert polled[-1] > answer["lastRestartBlock"]
        orphaned, after = found["transactions"]
        assert [each for each in found["logs"] if each in (orphaned, after)] == [orphaned, after]
        assert found.get("removed", [orphaned]).count(orphaned) == 1, library
        assert answer["blockNumber"] in [int(number) for number in found["heads"]], library


def test_web3_polls_through_the_fork(forkable: Devnet) -> None:
    snapshot = wait_for_snapshot(forkable.rpc)
    provider = HTTPProvider(forkable.rpc.url)
    w3 = Web3(provider)
    account = Account.from_key(funder_key(2))
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    exchange = w3.eth.contract(address=Web3.to_checksum_address(EXCHANGE), abi=abi_of("Exchange"))
    blocks = w3.eth.filter("latest")
    topic = exchange.events.Deposited.build_filter().topics
    events: Any = w3.eth.filter({"address": exchange.address, "topics": topic})

    def deposit() -> Any:
        tx_hash = exchange.functions.deposit(1_000_000).transact({"from": account.address})
        receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=60, poll_latency=0.05)
        assert receipt["status"] == 1
        return receipt

    before = deposit()
    assert [each["transactionHash"] for each in events.get_new_entries()] == [
        before["transactionHash"]
    ]
    number = w3.eth.block_number
    blocks.get_new_entries()

    answer = fork(forkable, snapshot["name"])

    assert w3.eth.block_number > number
    (gone,) = events.get_new_entries()
    assert (gone["transactionHash"], gone["removed"]) == (before["transactionHash"], True)
    hashes: list[Any] = blocks.get_new_entries()
    assert answer["blockHash"] in ["0x" + bytes(each).hex() for each in hashes]
    with pytest.raises(TransactionNotFound):
        w3.eth.get_transaction_receipt(before["transactionHash"])
    after = deposit()
    assert w3.eth.get_transaction(after["transactionHash"])["nonce"] == FLOOR
    (again,) = events.get_new_entries()
    assert (again["transactionHash"], again["removed"]) == (after["transactionHash"], False)
    provider._request_session_manager.session_cache.clear()
