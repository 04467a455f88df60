"""`make mutation`: change the rules one token at a time, and fail where no test notices.

mutmut makes the mutants and runs the tests (`tool.mutmut` in pyproject.toml says which); what it
found stays in `mutants/`, so a run that was interrupted goes on where it stopped; `rm -r mutants`
begins anew. A mutant may live only if `tests/mutation/survivors.toml` says why; an explanation that
no mutant needs is an error too.
"""

import argparse
import json
import os
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
MUTANTS = ROOT / "mutants"
EXPLAINED = ROOT / "tests" / "mutation" / "survivors.toml"

SURVIVED = 0
"""The tests' exit status where none failed."""
KILLED = (1, 3)
TIMED_OUT = (-24, 24, 36, 152, 255)
"""It ran for ever, as a loop with a changed end does: the tests noticed."""


class Survivor(NamedTuple):
    """A mutant that no test noticed."""

    where: str
    """Module and function."""
    was: str
    """The line as it is."""
    mutant: str
    """The line as it could be."""


class Outcome(NamedTuple):
    """What became of all mutants."""

    killed: int
    timed_out: int
    survived: list[str]
    """mutmut's names of those that no test noticed."""
    unknown: list[str]
    """Of those that were not run, or whose run means nothing."""


def read_outcome(mutants: Path) -> Outcome:
    """Collect what mutmut wrote beside the mutants."""
    statuses: dict[str, int | None] = {}
    for path in sorted(mutants.rglob("*.meta")):
        statuses.update(json.loads(path.read_text())["exit_code_by_key"])
    known = (*KILLED, *TIMED_OUT, SURVIVED)
    return Outcome(
        sum(status in KILLED for status in statuses.values()),
        sum(status in TIMED_OUT for status in statuses.values()),
        [name for name, status in statuses.items() if status == SURVIVED],
        [name for name, status in statuses.items() if status not in known],
    )


def forget_survivors(mutants: Path) -> None:
    """Ask for mutants again that no test noticed: a new test may."""
    for path in mutants.rglob("*.meta"):
        document = json.loads(path.read_text())
        statuses = document["exit_code_by_key"]
        document["exit_code_by_key"] = {
            name: status if status in (*KILLED, *TIMED_OUT) else None
            for name, status in statuses.items()
        }
        path.write_text(json.dumps(document, indent=4))


def read_survivor(name: str, difference: str) -> Survivor:
    """Return what a mutant changed, from mutmut's name of it and its unified difference."""
    mangled = name.rpartition("__mutmut_")[0]
    module, _, function = mangled.rpartition(".")
    function = function.removeprefix("x_").removeprefix("xǁ").replace("ǁ", ".")
    lines = [line for line in difference.splitlines() if not line.startswith(("---", "+++"))]
    was = " ".join(line[1:].strip() for line in lines if line.startswith("-"))
    mutant = " ".join(line[1:].strip() for line in lines if line.startswith("+"))
    return Survivor(f"{module}.{function}", was, mutant)


def read_explained(path: Path) -> list[Survivor]:
    """Return the mutants that may live; each says why, which is for people."""
    rows = tomllib.loads(path.read_text())["survivor"]
    assert all(row["why"] for row in rows), f"{path}: every survivor says why"
    return [Survivor(row["where"], row["was"], row["mutant"]) for row in rows]


def compare(found: Iterable[Survivor], explained: Iterable[Survivor]) -> list[str]:
    """Return what is wrong, a line each: mutants nobody explains, and explanations of nothing."""
    new, old = Counter(found), Counter(explained)
    lines = [f"no test notices: {_show(each)}" for each in sorted((new - old).elements())]
    lines += [f"a test notices now: {_show(each)}" for each in sorted((old - new).elements())]
    return lines


def _show(survivor: Survivor) -> str:
    return f"{survivor.where}\n    was     {survivor.was}\n    mutant  {survivor.mutant}"


def mutmut(*arguments: str, **options: bool) -> str:
    """Run mutmut in the repository and return what it printed, if it was captured."""
    command = [sys.executable, "-m", "mutmut", *arguments]
    environment = os.environ | {"HYPOTHESIS_PROFILE": "mutation"}
    done = subprocess.run(command, cwd=ROOT, env=environment, text=True, **options)  # type: ignore[call-overload]
    output: str = done.stdout or ""
    return output


def parse_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="make mutation", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("names", nargs="*", help="only these mutants, such as node.perp.fee*")
    parser.add_argument("--children", type=int, default=os.cpu_count(), help="tests at a time")
    parser.add_argument("--compare-only", action="store_true", help="judge what the last run found")
    return parser.parse_args(arguments)


def main() -> int:
    """Run what is left to run, and compare."""
    options = parse_options()
    if not options.compare_only:
        forget_survivors(MUTANTS)
        mutmut("run", "--max-children", str(options.children), *options.names)
    outcome = read_outcome(MUTANTS)
    found = [
        read_survivor(name, mutmut("show", name, capture_output=True)) for name in outcome.survived
    ]
    print(
        f"{outcome.killed} mutants killed, {outcome.timed_out} ran out of time, "
        f"{len(found)} live, {len(outcome.unknown)} not run"
    )
    problems = compare(found, read_explained(EXPLAINED))
    problems += [f"not run: {name}" for name in outcome.unknown]
    print("\n".join(problems) if problems else "every mutant that lives is explained")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
