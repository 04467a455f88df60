"""The generated TypeScript in a dapp: it compiles strictly, and Node.js loads what comes out."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.conformance.trade import CHAIN_ID, EXCHANGE, HERE, NODE_MODULES, TOKEN, abi_of
from tools.typescript import FILE

TSC = NODE_MODULES / "typescript" / "bin" / "tsc"


def test_a_dapp_compiles_against_the_abis_and_loads_them(tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or not TSC.exists():
        pytest.skip("TypeScript is not here: `npm ci` in tests/conformance installs it")
    for source in (FILE, HERE / "dapp.ts"):
        shutil.copy(source, tmp_path)
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)
    (tmp_path / "package.json").write_text('{"type": "module"}')
    flags = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck"]

    compiled = subprocess.run(
        [node, TSC, *flags, "dapp.ts"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert compiled.returncode == 0, compiled.stdout

    loaded = subprocess.run(
        [node, "dapp.js"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
    )
    shown = json.loads(loaded.stdout)
    assert shown["id"] == CHAIN_ID
    assert (shown["exchangeAddress"], shown["tokenAddress"]) == (EXCHANGE, TOKEN)
    for contract in ("Exchange", "Governance", "LiquidatorVault", "Oracle", "Token"):
        name = contract[0].lower() + contract[1:] + "Abi"
        assert shown["abis"][name] == abi_of(contract)
