"""Mutants that live are explained, and explanations are of lines that exist."""

import json
from pathlib import Path

import pytest

from tools.mutation import (
    EXPLAINED,
    ROOT,
    Survivor,
    compare,
    forget_survivors,
    read_explained,
    read_outcome,
    read_survivor,
)

ONE = Survivor("node.perp.fee.compute_fee", "if rate >= 0:", "if rate > 0:")
OTHER = ONE._replace(mutant="if rate < 0:")


def test_explained_mutants_may_live() -> None:
    assert compare([ONE, OTHER], [OTHER, ONE]) == []


def test_mutant_that_nobody_explains_is_told() -> None:
    (line,) = compare([ONE, OTHER], [ONE])

    assert line.startswith("no test notices: node.perp.fee.compute_fee")
    assert "if rate < 0:" in line


def test_each_of_two_equal_lines_needs_its_explanation() -> None:
    assert len(compare([ONE, ONE], [ONE])) == 1


def test_explanation_that_no_mutant_needs_is_told() -> None:
    (line,) = compare([], [ONE])

    assert line.startswith("a test notices now")


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("node.perp.fee.x_compute_fee__mutmut_1", "node.perp.fee.compute_fee"),
        ("node.perp.liquidation.x__is_far__mutmut_12", "node.perp.liquidation._is_far"),
        ("node.perp.liquidation.xǁ_Queueǁpop__mutmut_3", "node.perp.liquidation._Queue.pop"),
    ],
)
def test_mutants_name_and_difference_say_what_it_changed(name: str, where: str) -> None:
    difference = "--- a\n+++ b\n@@ -1,2 +1,2 @@\n     x = 1\n-    if x:\n+    if not x:\n"

    assert read_survivor(name, difference) == Survivor(where, "if x:", "if not x:")


def test_what_mutmut_wrote_is_read_and_survivors_are_asked_for_again(tmp_path: Path) -> None:
    statuses = {"killed": 1, "slow": 36, "lives": 0, "new": None, "broken": 35}
    meta = tmp_path / "node" / "fee.py.meta"
    meta.parent.mkdir()
    meta.write_text(json.dumps({"exit_code_by_key": statuses, "other": 1}))

    assert read_outcome(tmp_path) == (1, 1, ["lives"], ["new", "broken"])
    forget_survivors(tmp_path)

    assert read_outcome(tmp_path) == (1, 1, [], ["lives", "new", "broken"])
    assert json.loads(meta.read_text())["other"] == 1


def test_explained_lines_stand_where_they_are_said_to() -> None:
    for where, was, _ in read_explained(EXPLAINED):
        parts = where.split(".")
        path = next(
            path
            for size in range(len(parts), 0, -1)
            if (path := ROOT.joinpath(*parts[:size]).with_suffix(".py")).is_file()
        )
        text = " ".join(path.read_text().split())
        assert was in text, where
