"""viem, ethers and cast as clients of the node's own accounts, its mempool and its WebSocket."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conformance.trade import (
    ABI_DIR,
    CAST,
    CHAIN_ID,
    HERE,
    NODE_MODULES,
    address_of,
    funder_key,
)
from tests.helpers.devnet import Devnet


def run_script(name: str, chain: Devnet, **more: Any) -> dict[str, Any]:
    """Run a script in Node.js and return what it reports; skip where it can't run."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "viem").is_dir():
        pytest.skip("viem is not here: `npm ci` in tests/conformance installs it")
    settings = {"url": chain.rpc.url, "abiDir": str(ABI_DIR), "chainId": CHAIN_ID, **more}
    done = subprocess.run(
        [node, f"{name}.mjs", json.dumps(settings)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_viem_and_ethers_sign_with_the_nodes_accounts(chain: Devnet) -> None:
    report = run_script("signers", chain)

    assert report["address"].lower() == address_of(funder_key(0)).lower()
    assert report["signer"] == address_of(funder_key(1))


def test_viem_and_ethers_hear_of_heads_logs_and_transactions(chain: Devnet) -> None:
    report = run_script("websocket", chain, accounts=[address_of(funder_key(2))])

    assert chain.rpc.receipt(report["hash"])["status"] == "0x1"


def test_cast_sends_for_an_unlocked_account(chain: Devnet) -> None:
    if not CAST.exists():
        pytest.skip("cast is not here: `npm ci` in tests/conformance installs it on Linux x86-64")
    sender = address_of(funder_key(3))

    def cast(*arguments: str) -> str:
        done = subprocess.run(
            [CAST, *arguments, "--rpc-url", chain.rpc.url],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    sent = cast("send", "--json", "--unlocked", "--from", sender, sender, "--value", "1")
    assert json.loads(sent)["status"] == "0x1"
    assert json.loads(cast("rpc", "eth_accounts"))[3] == sender.lower()
    assert json.loads(cast("rpc", "txpool_status")).keys() == {"pending", "queued"}
