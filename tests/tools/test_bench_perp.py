"""The perp engine's benchmark runs, and what it measures succeeds."""

import json

import pytest

from tools import bench_perp


def test_small_worlds_are_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_perp, "BLOCK_ORDERS", 20)
    sizes = ["--markets", "4", "--accounts", "20", "--positions", "2"]

    assert bench_perp.main([*sizes, "--orders", "10", "--orders", "60", "--json"]) == 0

    measured = json.loads(capsys.readouterr().out)
    assert [len(rows) for rows in measured["orders_us"]] == [6, 6]
    assert [len(rows) for rows in measured["blocks_ms"]] == [13]
