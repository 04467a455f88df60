"""kill -9 of the sequencer and of a validator at every named point of a fork (RECOVERY).

One network is forked again and again; each time the sequencer dies at one point and a validator at
another. They start by the same command, the same plan is handed in again, and all must end in the
one fork block, open, certified, without a manual step.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest

from tests.helpers.chain import Person
from tests.helpers.council import with_council
from tests.helpers.devnet import RpcError, Server, poll
from tests.helpers.forks import halt, make_plan, sign_plan, submit_plan, wait_for_snapshot
from tests.helpers.validators import Network, verify

POINTS = [
    "fork: plan verified",
    "fork: F built",
    "fork: marker written",
    "fork: F written",
    "fork: head flipped",
    "fork: sign state bumped",
]
INTERVAL = ("--snapshot-interval", "5")
VICTIM = 2
"""Which validator dies as well."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    path = tmp_path_factory.mktemp("crash")
    trader = [Person("trader")]
    with Network(path, people=trader, common=INTERVAL, prepare=with_council) as running:
        running.wait_for_certified(2)
        yield running
        running.end()
        for node in (running.sequencer, *running.validators):
            done = verify(node.data_dir)
            assert done.returncode == 0, f"{node.data_dir}: {done.stderr}"
            assert json.loads(done.stdout)["ok"]


def restart(node: Server, crash_at: str = "") -> None:
    """Kill a node and start it by the same command, to die at a point if one is named."""
    if node.process.poll() is None:
        node.process.kill()
        node.process.wait()
    node.rpc.close()
    if crash_at:
        node.start(PERPNODE_CRASH_AT=crash_at)
    else:
        node.start()

    def answers() -> bool:
        assert node.process.poll() is None, "ended at its start"
        with suppress(ConnectionError):
            return bool(node.rpc.call("perp_status"))
        return False

    poll(answers, what=f"{node.data_dir} answers")


def fork_block(node: Server, height: int) -> str | None:
    """Return the hash of a node's block, None while it is not there or nobody answers."""
    with suppress(ConnectionError):
        block = node.rpc.block(height)
        return None if block is None else str(block["hash"])
    return None


@pytest.mark.parametrize("number", range(len(POINTS)), ids=POINTS)
def test_a_node_killed_in_a_fork_ends_in_the_same_fork_block(network: Network, number: int) -> None:
    rpc, victim = network.rpc, network.validators[VICTIM]
    began = network.status()
    snapshot = wait_for_snapshot(rpc, above=began["latest"] if number else 0)
    network.wait_for_status(lambda s: s["latest"] > snapshot["blockNumber"] + 2, "more blocks")
    stands = halt(rpc)
    restart(network.sequencer, POINTS[number])
    restart(victim, POINTS[(number + len(POINTS) // 2) % len(POINTS)])
    plan = make_plan(rpc)
    signatures = sign_plan(plan)

    with pytest.raises(ConnectionError):
        submit_plan(rpc, plan, signatures)
    assert network.sequencer.process.wait() == -9
    restart(network.sequencer)
    answer = submit_plan(rpc, plan, signatures)

    assert answer["forkId"] == began["forkId"] + 1
    poll(lambda: victim.process.poll() is not None, what="the validator's death")
    assert victim.process.wait() == -9
    restart(victim)
    last = answer["lastRestartBlock"]
    assert last > stands["latest"]
    network.wait_for_status(lambda s: s["phase"] == "open" and s["safe"] > last, "certificates")
    for node in (network.sequencer, *network.validators):
        seen = poll(
            lambda node=node: (
                fork_block(node, last)
                and fork_block(  # type: ignore[misc]
                    node, answer["blockNumber"]
                )
            ),
            what="the fork block",
        )
        assert seen == answer["blockHash"]
    fork = rpc.call("perp_getFork", answer["forkId"])
    assert fork["gate"]["isOpen"]
    assert {each["blockHash"] for each in fork["gate"]["confirmations"]} == {answer["blockHash"]}

    def all_confirmed() -> bool:
        found: dict[str, Any] = rpc.call("perp_getFork", answer["forkId"])
        return len(found["gate"]["confirmations"]) == len(network.validators)

    poll(all_confirmed, what="the killed validator's own word")
    assert submit_plan(rpc, plan, signatures)["outcome"] == "already"
    with pytest.raises(RpcError, match="halt it first"):
        make_plan(rpc)


def test_who_lost_everything_replays_over_every_fork(network: Network) -> None:
    node = network.validators[VICTIM + 1]
    node.process.kill()
    node.process.wait()
    shutil.rmtree(node.data_dir)

    restart(node)

    status = network.status()
    assert status["forkId"] == len(POINTS)
    node.wait_for_height(status["safe"])
    assert node.rpc.block(status["safe"]) == network.rpc.block(status["safe"])
    for fork_id in range(1, len(POINTS) + 1):
        assert node.rpc.call("perp_getFork", fork_id)["blockHash"] is not None
        at = {"forkId": fork_id, "blockNumber": hex(status["safe"])}
        ours, theirs = (each.rpc.call("perp_getBlock", at) for each in (network.sequencer, node))
        assert (ours and ours["extension"]["forkId"]) in (None, fork_id)
        assert fork_id == len(POINTS) or theirs is None or theirs == ours
    network.wait_for_certified(status["safe"] + 2)


def test_a_snapshot_on_command_is_made_and_certified_by_the_validators(network: Network) -> None:
    network.wait_for_status(lambda s: s["safe"] % 5 not in (0, 4), "a height that is not due")
    made = network.rpc.call("perp_createSnapshot")

    def look() -> dict[str, Any] | None:
        found = network.rpc.call("perp_getSnapshots")
        return next((s for s in found if s["name"] == made["name"] and s["isCertified"]), None)

    snapshot = poll(look, what=f"snapshot {made['name']}")
    assert snapshot["blockHash"] == made["blockHash"]
    assert not snapshot["isHere"], "the sequencer gathers signatures, validators make the chunks"
