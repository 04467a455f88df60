"""The development helpers as viem's TestClient, ethers' send and cast rpc call them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conformance.trade import ABI_DIR, CAST, CHAIN_ID, HERE, NODE_MODULES, funder_key
from tests.helpers.devnet import MINIMAL_GENESIS, Devnet

ETHERS = """
import { JsonRpcProvider } from "ethers";
const provider = new JsonRpcProvider(process.argv[1], undefined, { cacheTimeout: -1 });
const who = "0x00000000000000000000000000000000000abcde";
const id = await provider.send("evm_snapshot", []);
await provider.send("hardhat_setBalance", [who, "0x1bc16d674ec80000"]);
await provider.send("hardhat_impersonateAccount", [who]);
const signer = await provider.getSigner(who);
const sent = await signer.sendTransaction({ to: "0x" + "11".repeat(20), value: 5n });
const receipt = await sent.wait();
const inside = [receipt.status, receipt.from.toLowerCase(), sent.nonce];
const reverted = await provider.send("evm_revert", [id]);
const balance = await provider.getBalance(who);
console.log(JSON.stringify([...inside, reverted, balance.toString()]));
process.exit(0);
"""


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Return a chain on which nobody acts but the test."""
    data_dir = tmp_path_factory.mktemp("development") / "data"
    flags = ["--genesis", str(MINIMAL_GENESIS), "--instant", "--validators", "0"]
    flags += ["--prices", "fixed", "--bots", "0", "--reporters", "0", "--accounts", "10"]
    with Devnet(data_dir, *flags).start() as devnet:
        devnet.wait_for_height(1)
        yield devnet


def run_node(chain: Devnet, *arguments: str) -> str:
    node = shutil.which("node")
    if node is None or not all((NODE_MODULES / each).is_dir() for each in ("viem", "ethers")):
        pytest.skip("viem and ethers are not here: `npm ci` in tests/conformance installs them")
    done = subprocess.run(
        [node, *arguments], cwd=HERE, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return done.stdout


def test_viem_s_test_client_in_both_modes(quiet: Devnet) -> None:
    settings = {
        "url": quiet.rpc.url,
        "abiDir": str(ABI_DIR),
        "chainId": CHAIN_ID,
        "keys": [funder_key(0)],
    }

    result = run_node(quiet, "development_viem.mjs", json.dumps(settings))

    assert json.loads(result) == {"played": 4}


def test_ethers_sends_for_an_impersonated_account(quiet: Devnet) -> None:
    out = run_node(quiet, "--input-type=module", "-e", ETHERS, quiet.rpc.url)

    assert json.loads(out) == [1, "0x00000000000000000000000000000000000abcde", 0, True, "0"]


def test_cast_calls_them_by_name(quiet: Devnet) -> None:
    if not CAST.exists():
        pytest.skip("cast is not here: `npm ci` in tests/conformance installs it on Linux x86-64")

    def cast(*arguments: str) -> str:
        command = [str(CAST), *arguments, "--rpc-url", quiet.rpc.url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        return done.stdout.strip()

    before = int(cast("block-number"))
    assert cast("rpc", "evm_mine") == '"0x0"'
    assert cast("rpc", "anvil_mine", "3") == "null"
    assert int(cast("block-number")) == before + 4
    then = int(cast("block", "latest", "--field", "timestamp"))
    int(cast("rpc", "evm_increaseTime", "60"))
    assert int(cast("block", "latest", "--field", "timestamp")) >= then + 60
    snapshot = json.loads(cast("rpc", "evm_snapshot"))
    who = "0x00000000000000000000000000000000000abcdf"
    cast("rpc", "anvil_setBalance", who, "0xde0b6b3a7640000")
    assert cast("balance", who) == str(10**18)
    cast("rpc", "anvil_impersonateAccount", who)
    receipt = json.loads(cast("send", "--json", "--unlocked", "--from", who, who, "--value", "1"))
    assert receipt["status"] == "0x1"
    assert cast("rpc", "evm_revert", snapshot) == "true"
    assert cast("balance", who) == "0"
    head = json.loads(cast("block", "latest", "--json"))
    assert cast("rpc", "anvil_reorg", "2", "[]") == "null"
    anew = json.loads(cast("block", "latest", "--json"))
    assert (anew["number"], anew["hash"] == head["hash"]) == (head["number"], False)


def test_it_goes_on_from_the_reverted_branch_after_a_kill(tmp_path: Path) -> None:
    flags = ["--genesis", str(MINIMAL_GENESIS), "--validators", "0", "--prices", "fixed"]
    flags += ["--instant", "--bots", "0", "--reporters", "0"]
    with Devnet(tmp_path / "data", *flags).start() as devnet:
        devnet.wait_for_height(1)
        snapshot = devnet.rpc.call("evm_snapshot")
        kept = devnet.rpc.block()
        devnet.rpc.call("anvil_mine", 5)
        unused = devnet.rpc.call("evm_snapshot")
        assert devnet.rpc.call("evm_revert", snapshot) is True
        devnet.kill()
    assert kept is not None

    with Devnet(tmp_path / "data", *flags).start() as devnet:
        devnet.wait_for_height(int(kept["number"], 16) + 1)
        status = devnet.rpc.call("perp_status")
        found = devnet.rpc.block(int(kept["number"], 16))

        assert found is not None
        assert found["hash"] == kept["hash"]
        assert status["devEpoch"] == 1
        assert devnet.rpc.call("evm_revert", unused) is False
        assert devnet.rpc.call("evm_snapshot") == "0x2"
