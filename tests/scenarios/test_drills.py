"""The drills as `make drill` runs them: every promise must hold, every column must sum."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tools.drill import Incident

ROOT = Path(__file__).parents[2]
PRICES = ROOT.parent / "shared" / "data" / "btc-perp-1m-2022-01.csv"
PROMISES_MIN = {"paradex": 40, "dydx": 27, "venue-halt": 21, "frontend-loss": 21}
LONG = ("paradex", "dydx")
INCIDENTS = [
    pytest.param(each, marks=pytest.mark.slow) if each in LONG else each for each in Incident
]


def drill(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tools.drill", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


@pytest.mark.parametrize("incident", INCIDENTS)
def test_every_promise_of_a_drill_holds(incident: str) -> None:
    require_held(drill(incident, "--json"), incident)


@pytest.mark.slow
@pytest.mark.skipif(not PRICES.exists(), reason="no shared/data beside the repository")
def test_every_promise_holds_on_real_minutes() -> None:
    done = drill("dydx", "--json", "--prices", str(PRICES), "--speed", "20")

    require_held(done, "dydx")


def require_held(done: subprocess.CompletedProcess[str], incident: str) -> None:
    """Check that a drill held what it promised, and that its tables sum."""
    told: dict[str, Any] = json.loads(done.stdout)
    broken = [each for each in told["promises"] if not each["holds"]]
    assert done.returncode == 0, f"{done.stderr}{broken}{json.dumps(told['events'], indent=1)}"
    assert told["held"] is True
    assert broken == []
    assert len(told["promises"]) >= PROMISES_MIN[incident]
    assert told["tables"], "a drill ends in a table that sums"
    for table in told["tables"]:
        columns = zip(*(row["amounts"] for row in table["rows"]), strict=True)
        assert [sum(column) for column in columns] == table["sums"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dydx", "--prices", "nowhere.csv"], "nowhere.csv: can't be read"),
        (["dydx", "--prices", "sim", "--speed", "2"], "--speed 2 needs a file to replay"),
    ],
)
def test_prices_that_are_none_are_refused_in_a_line(arguments: list[str], words: str) -> None:
    done = drill(*arguments)

    assert done.returncode == 1
    assert words in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert done.stdout == ""
