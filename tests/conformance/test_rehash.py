"""viem and ethers take transactions and headers apart, and come to the same hashes and senders."""

import json
import shutil
import subprocess
from typing import Any

import pytest

from tests.conformance.trade import EXCHANGE, HERE, NODE_MODULES, address_of, funder_key
from tests.helpers.devnet import Devnet

SENDER = address_of(funder_key(1))
ACCESS = [{"address": EXCHANGE, "storageKeys": ["0x" + "11" * 32]}]
KINDS: dict[str, dict[str, Any]] = {
    "legacy": {"gasPrice": "0x77359400"},
    "eip2930": {"gasPrice": "0x77359400", "accessList": ACCESS},
    "eip1559": {"maxFeePerGas": "0x77359400", "maxPriorityFeePerGas": "0x7", "accessList": ACCESS},
}


def test_hashes_and_senders_come_out_again(chain: Devnet) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / "viem").is_dir():
        pytest.skip("viem is not here: `npm ci` in tests/conformance installs it")
    request = {"from": SENDER, "to": SENDER, "value": "0x1", "data": "0x1234"}
    sent = {
        kind: chain.rpc.call("eth_sendTransaction", request | fields)
        for kind, fields in KINDS.items()
    }
    heights = [int(chain.rpc.receipt(tx_hash)["blockNumber"], 16) for tx_hash in sent.values()]
    nonce = chain.rpc.call("eth_getTransactionCount", SENDER, "pending")
    gapped = request | {"nonce": hex(int(nonce, 16) + 50), "gas": "0x186a0"}
    waiting = chain.rpc.call("eth_sendTransaction", gapped)
    system = _system_transaction(chain, max(heights))
    settings = {"url": chain.rpc.url, "hashes": [*sent.values(), waiting, system]}

    done = subprocess.run(
        [node, "rehash.mjs", json.dumps(settings)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-4000:]
    report = json.loads(done.stdout)
    mined = {"viem": True, "ethers": True, "header": True}
    for kind, tx_hash in sent.items():
        assert report[tx_hash] == {"type": kind, **mined}
    assert report[waiting] == {"type": "eip1559", "viem": True, "ethers": True}
    assert report[system] == {"type": "legacy", **mined}


def _system_transaction(chain: Devnet, before: int) -> str:
    """Return the hash of one that the protocol itself carries: it is free."""
    for height in range(before, 0, -1):
        block = chain.rpc.block(height, full=True)
        assert block is not None
        for tx in block["transactions"]:
            if tx["gasPrice"] == "0x0":
                tx_hash: str = tx["hash"]
                return tx_hash
    raise AssertionError("no block has a system transaction")
