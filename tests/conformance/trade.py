"""The trade that every library makes, in integers, and the keys that make it."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak

from tests.helpers.devnet import MNEMONIC, ROOT, Devnet

HERE = Path(__file__).parent
ABI_DIR = ROOT / "contracts" / "abi"
NODE_MODULES = HERE / "node_modules"
CAST = NODE_MODULES / "@foundry-rs" / "cast-linux-amd64" / "bin" / "cast"

CHAIN_ID = 20260119
TOKEN = "0x0000000000000000000000000000000000001001"
EXCHANGE = "0x0000000000000000000000000000000000001002"
MARKET = 1
SIZE = 100
"""Lots."""
FAUCET = 1_000_000_000
"""Atoms: 1,000 USDC."""
DEPOSIT = 600_000_000
GTC, IOC = 0, 1
ETHER = 10**18


def abi_of(contract: str) -> list[dict[str, Any]]:
    """Return a contract's ABI as dapps load it."""
    abi: list[dict[str, Any]] = json.loads((ABI_DIR / f"{contract}.json").read_text())
    return abi


def funder_key(index: int) -> str:
    """Return the private key of a funded development account."""
    Account.enable_unaudited_hdwallet_features()
    account = Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")
    return "0x" + bytes(account.key).hex()


def fresh_key(name: str) -> str:
    """Return the private key of an account that owns nothing yet."""
    return "0x" + keccak(text=name).hex()


def address_of(key: str) -> str:
    """Return the address of a private key."""
    return str(Account.from_key(key).address)


def cash_of(account: str, fills: list[Any], settlements: list[Any], k: int) -> int:
    """Return what OrderFilled and FundingSettled events paid to an account, in atoms."""
    cash = sum(int(paid["cash"]) for paid in settlements if paid["account"] == account)
    for fill in fills:
        value = int(fill["size"] * fill["price"] * k)
        if fill["taker"] == account:
            cash -= value + fill["takerFee"]
        if fill["maker"] == account:
            cash += value - fill["makerFee"]
    return cash


def run_story(library: str, funder: int, chain: Devnet) -> dict[str, Any]:
    """Run a library's story in Node.js and return what it reports; skip where it can't run."""
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / library).is_dir():
        pytest.skip(f"{library} is not here: `npm ci` in tests/conformance installs it")
    settings = {
        "url": chain.rpc.url,
        "abiDir": str(ABI_DIR),
        "chainId": CHAIN_ID,
        "keys": [funder_key(funder), fresh_key(f"{library} maker"), fresh_key(f"{library} taker")],
        "market": MARKET,
        "size": SIZE,
        "faucet": FAUCET,
        "deposit": DEPOSIT,
    }
    done = subprocess.run(
        [node, f"{library}.mjs", json.dumps(settings)],
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, f"{library}:\n{done.stderr[-4000:]}"
    result: dict[str, Any] = json.loads(done.stdout)
    return result
