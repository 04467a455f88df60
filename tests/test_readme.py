"""The README's tour and samples, run as written: what a reader saves prints what it says."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.helpers.devnet import Devnet

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
TOUR = re.compile(r"<!-- tour: .*?-->\n```python\n(.*?)```\n\n```\n(.*?)```", re.DOTALL)
SAMPLES = dict(re.findall(r"<!-- sample: (\S+) -->\n```\w+\n(.*?)```", README, re.DOTALL))
NUMBER = re.compile(r"-?\d+(\.\d+)?")
NODE_MODULES = ROOT / "tests" / "conformance" / "node_modules"
CAST = NODE_MODULES / "@foundry-rs" / "cast-linux-amd64" / "bin"
SAID = [
    "deposited: equity N USDC",
    "bought N lots at N USD",
    "closed: equity N USDC",
    "withdrawn: equity N USDC",
]
"""What every sample prints, numbers aside."""


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    data_dir = tmp_path_factory.mktemp("readme") / "data"
    with Devnet(data_dir, "--block-time", "0.3").start() as devnet:
        devnet.wait_for_open_markets()
        yield devnet


def run(devnet: Devnet, command: list[str], script: str, path: Path) -> list[str]:
    """Save a script and run it in the repository's root; return the lines it prints."""
    path.write_text(script.replace(":8545", f":{devnet.port}"))
    shown = subprocess.run(
        [*command, path],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{CAST}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert shown.returncode == 0, shown.stderr
    return shown.stdout.splitlines()


def words(lines: list[str]) -> list[str]:
    """Return lines without their numbers: prices walk, so a fill may come in parts."""
    return list(dict.fromkeys(NUMBER.sub("N", line) for line in lines))


def test_tour_prints_what_the_readme_says(devnet: Devnet, tmp_path: Path) -> None:
    found = TOUR.search(README)
    assert found is not None, "the README has no tour"
    script, expected = found.group(1), found.group(2).splitlines()

    printed = run(devnet, [sys.executable], script, tmp_path / "trade.py")

    assert words(printed) == words(expected)
    assert printed[0] == expected[0]
    assert printed[-1] == expected[-1]


@pytest.mark.parametrize("library", ["viem", "ethers"])
def test_a_javascript_sample_trades_and_leaves(
    devnet: Devnet, tmp_path: Path, library: str
) -> None:
    node = shutil.which("node")
    if node is None or not (NODE_MODULES / library).is_dir():
        pytest.skip(f"{library} is not here: `npm ci` in tests/conformance installs it")
    (tmp_path / "node_modules").symlink_to(NODE_MODULES)

    printed = run(devnet, [node], SAMPLES[f"{library}.mjs"], tmp_path / "trade.mjs")

    assert words(printed) == SAID
    assert printed[0] == "deposited: equity 1000.00 USDC"
    assert printed[-1] == "withdrawn: equity 0.00 USDC"


def test_the_cast_sample_trades_and_leaves(devnet: Devnet, tmp_path: Path) -> None:
    if not CAST.is_dir():
        pytest.skip("cast is not here: `npm ci` in tests/conformance installs it on Linux x86-64")

    printed = run(devnet, ["bash"], SAMPLES["cast.sh"], tmp_path / "trade.sh")

    assert words(printed) == SAID
    assert printed[0] == "deposited: equity 1000 USDC"
    assert printed[-1] == "withdrawn: equity 0 USDC"


def test_every_sample_is_run() -> None:
    assert sorted(SAMPLES) == ["cast.sh", "ethers.mjs", "viem.mjs"]
