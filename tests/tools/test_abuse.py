"""The abuse: a chain under it goes on, and an honest client beside it is always answered."""

import json
import subprocess
import sys
from pathlib import Path

from tools.abuse import ACTS

ROOT = Path(__file__).parents[2]
CONNECTIONS = 40


def test_an_honest_client_is_answered_beside_hostile_ones() -> None:
    command = [sys.executable, "-m", "tools.abuse", "--json", "--seconds", "6"]
    shown = subprocess.run(
        [*command, "--connections", str(CONNECTIONS)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )

    assert shown.returncode == 0, shown.stderr
    report = json.loads(shown.stdout)
    assert set(report["acts"]) == {act.__name__ for act in ACTS}
    assert sum(report["acts"].values()) > CONNECTIONS
    for what in ("block interval", "send to receipt", "eth_getBalance"):
        assert report["waits"][what]["abused_ms"]["p50"] > 0
