"""A fifth validator joins a running network of processes, and one of the first leaves it."""

import signal
from pathlib import Path
from typing import Any

from node.consensus.node_key import make_node_key, read_node_key
from node.governance.action import ChangeValidators, Domain
from node.governance.typed_data import render_typed_data
from node.governance.validators import Validator
from node.units import Hash32
from tests.helpers.council import make, sign_action, with_council
from tests.helpers.validators import Network, verify


def change(network: Network, *keys: Path) -> dict[str, Any]:
    """Have the council set the validators, each with power 1."""
    members = tuple(Validator(read_node_key(key).public_key, 1) for key in keys)
    answer = network.rpc.call("gov_getCouncil")["domain"]
    domain = Domain(int(answer["chainId"]), Hash32(bytes.fromhex(answer["salt"][2:])))
    action = make(ChangeValidators, validators=members)
    signatures = ["0x" + each.hex() for each in sign_action(action, domain)]
    taken: dict[str, Any] = network.rpc.call(
        "gov_submitAction", render_typed_data(action, domain), signatures
    )
    return taken


def test_a_validator_joins_a_running_network_and_another_leaves(tmp_path: Path) -> None:
    with Network(tmp_path, prepare=with_council) as network:
        network.wait_for_certified(3)
        network.key_paths.append(tmp_path / "keys" / "validator-4.json")
        make_node_key(network.key_paths[4])
        with network.follower(4) as newcomer:
            newcomer.start()
            newcomer.wait_for_height(3)
            newcomer.wait_for_line("none of the validators that are known here")

            assert change(network, *network.key_paths)["outcome"] == "queued"

            newcomer.wait_for_line("role=member")
            leaver = network.validators[0]
            assert leaver.signal(signal.SIGTERM) == 0
            height = network.rpc.height()
            network.wait_for_certified(height + 3)  # four of five: the new one signs

            change(network, *network.key_paths[1:])
            network.validators[0] = again = network.follower(0)
            with again:
                again.start()
                again.wait_for_height(height + 5)
                again.wait_for_line("is not in the validator set")
                again.wait_for_line("role=observer")
                network.wait_for_certified(network.rpc.height() + 3)
                assert again.signal(signal.SIGTERM) == 0
            assert newcomer.signal(signal.SIGTERM) == 0
            network.wait_for_certified(network.rpc.height())
        network.validators.pop(0)
        network.end()
        for name in ("sequencer", "validator-1", "validator-4", "validator-0"):
            done = verify(tmp_path / name)
            assert done.returncode == 0, done.stderr
