"""A whole devnet goes back in time: validators, reporters and traders follow, also after a kill."""

import json
from pathlib import Path
from typing import Any

from tests.helpers.devnet import MINIMAL_GENESIS, Devnet, poll
from tests.helpers.validators import verify


def wait_for_certified(devnet: Devnet, height: int) -> dict[str, Any]:
    """Wait until validators have signed so far, and return how the node is then."""

    def look() -> dict[str, Any] | None:
        status: dict[str, Any] = devnet.rpc.call("perp_status")
        return status if status["safe"] >= height else None

    return poll(look, what=f"block {height} certified")


def test_everybody_follows_a_revert_and_a_kill_right_after_one(tmp_path: Path) -> None:
    flags = ["--genesis", str(MINIMAL_GENESIS), "--block-time", "0.2", "--validators", "4"]
    flags += ["--prices", "fixed", "--bots", "2"]
    with Devnet(tmp_path / "data", *flags).start() as devnet:
        devnet.wait_for_open_markets()
        kept = devnet.rpc.block()
        snapshot = devnet.rpc.call("evm_snapshot")  # of this block or a later one
        assert kept is not None
        height = int(kept["number"], 16)
        funded = devnet.rpc.call("perp_fastForward", 600)
        wait_for_certified(devnet, funded["blockNumber"])

        assert devnet.rpc.call("evm_revert", snapshot) is True
        assert devnet.rpc.height() < funded["blockNumber"]
        status = wait_for_certified(devnet, height + 5)
        assert (status["devEpoch"], status["disputes"]) == (1, 0)
        assert status["timeMs"] < funded["timeMs"]
        head = devnet.rpc.call("perp_getBlock", "latest")
        assert len(head["classes"]) > 1, "reporters and traders go on"

        again = devnet.rpc.call("evm_snapshot")
        devnet.rpc.call("evm_increaseTime", 86_400)
        assert devnet.rpc.call("evm_revert", again) is True
        devnet.kill()

    with Devnet(tmp_path / "data", *flags).start() as devnet:
        found = devnet.rpc.block(height)
        assert found is not None
        assert found["hash"] == kept["hash"]
        status = wait_for_certified(devnet, devnet.rpc.height() + 3)
        assert (status["devEpoch"], status["disputes"]) == (2, 0)
        assert devnet.interrupt() == 0

    for name in ("", "validator-0"):
        done = verify(tmp_path / "data" / name)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["disputes"] == 0
