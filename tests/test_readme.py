"""The README's tour, run as written: the script a reader is told to save prints what it says."""

import re
import subprocess
import sys
from pathlib import Path

from tests.helpers.devnet import Devnet

ROOT = Path(__file__).parents[1]
TOUR = re.compile(r"<!-- tour: .*?-->\n```python\n(.*?)```\n\n```\n(.*?)```", re.DOTALL)
NUMBER = re.compile(r"\d+(\.\d+)?")


def test_tour_prints_what_the_readme_says(tmp_path: Path) -> None:
    found = TOUR.search((ROOT / "README.md").read_text())
    assert found is not None, "the README has no tour"
    script, expected = found.groups()

    with Devnet(tmp_path / "data", "--block-time", "0.3").start() as devnet:
        devnet.wait_for_open_markets()
        (tmp_path / "trade.py").write_text(script.replace(":8545", f":{devnet.port}"))
        shown = subprocess.run(
            [sys.executable, tmp_path / "trade.py"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert shown.returncode == 0, shown.stderr
    # Prices walk, so a fill may come in parts and numbers differ; the words do not.
    words = [NUMBER.sub("N", line) for line in expected.splitlines()]
    printed = [NUMBER.sub("N", line) for line in shown.stdout.splitlines()]
    assert list(dict.fromkeys(printed)) == list(dict.fromkeys(words))
    assert shown.stdout.splitlines()[0] == expected.splitlines()[0]
    assert shown.stdout.splitlines()[-1] == expected.splitlines()[-1]
