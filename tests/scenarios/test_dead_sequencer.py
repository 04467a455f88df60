"""A fork while the sequencer is down: halted, planned and carried out by validators alone."""

import json
from pathlib import Path

from tests.helpers.chain import Person
from tests.helpers.council import with_council
from tests.helpers.devnet import poll
from tests.helpers.forks import halt, make_plan, sign_plan, submit_plan, wait_for_snapshot
from tests.helpers.validators import Network, verify

INTERVAL = ("--snapshot-interval", "5")


def test_a_chain_forks_without_its_sequencer_and_goes_on_when_it_is_back(tmp_path: Path) -> None:
    network = Network(tmp_path, people=[Person("trader")], common=INTERVAL, prepare=with_council)
    network.link_validators()
    with network:
        network.wait_for_certified(2)
        snapshot = wait_for_snapshot(network.rpc)
        network.wait_for_certified(snapshot["blockNumber"] + 2)
        network.sequencer.process.kill()
        network.sequencer.process.wait()
        first, last = network.validators[0].rpc, network.validators[3].rpc

        halt(last)  # a hold, once the sequencer has been silent for the gap limit
        poll(lambda: first.call("gov_getCouncil")["hold"], what="the hold of another validator")
        plan = make_plan(last)
        submit_plan(first, plan, sign_plan(plan))

        def gates() -> bool:
            forks = [each.rpc.call("perp_getFork") for each in network.validators]
            return all(fork is not None and fork["gate"]["isOpen"] for fork in forks)

        poll(gates, what="every validator's open gate")
        fork = first.call("perp_getFork")
        network.sequencer.rpc.close()
        network.sequencer.start()
        network.sequencer.wait_for_answer()
        network.wait_for_certified(fork["lastRestartBlock"] + 2)

        status = network.status()
        assert status["forkId"] == 1
        for node in network.validators:
            assert node.rpc.call("perp_getFork")["blockHash"] == fork["blockHash"]
        audit = first.call("gov_getAuditLog")["entries"]
        assert [(each["kind"], each["forkId"]) for each in audit] == [("Halt", 0)]
        network.end()
        for each in (network.sequencer, *network.validators):
            done = verify(each.data_dir)
            assert done.returncode == 0, done.stderr
            assert json.loads(done.stdout)["ok"]
