"""A telling's tables sum, and how it went is told in its exit status and as JSON."""

import json
from pathlib import Path

import pytest

from tools.telling import Broken, Row, Table, Telling, conclude, render_telling, tell_whole

TABLE = Table(
    "Money", ("before", "after"), (Row("alice", (1_500_000, -1)), Row("bob", (-500_000, 1)))
)


class Tale(Telling):
    """Promises one thing."""

    def __init__(self, path: Path, *, holds: bool = True, breaks: bool = False) -> None:
        super().__init__(path, is_silent=True)
        self._holds = holds
        self._breaks = breaks

    async def tell(self) -> None:
        self.say("it begins", "in detail")
        self.show_table(TABLE)
        self.promise("two and two are four", self._holds, 4)
        if self._breaks:
            raise Broken("there is no more")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    kept = tmp_path / "tale"
    kept.mkdir()
    return kept


def test_a_table_ends_in_its_sums() -> None:
    assert TABLE.sums() == Row("sum", (1_000_000, 0))
    assert TABLE.render().splitlines() == [
        "Money, USDC",
        "          before      after",
        "alice   1.500000  -0.000001",
        "bob    -0.500000   0.000001",
        "---------------------------",
        "sum     1.000000   0.000000",
    ]


def test_a_promise_that_held_ends_well_and_leaves_nothing(
    path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tale = Tale(path)
    failure = tell_whole(tale)

    conclude(tale, "tale", failure, keeps=False)

    assert failure == ""
    assert capsys.readouterr().out.splitlines() == [
        "",
        "  ok      two and two are four  4",
        "",
        "every one of 1 promises held",
    ]
    assert not path.exists()


@pytest.mark.parametrize(
    ("tale", "words"),
    [
        ({"holds": False}, "a promise did not hold"),
        ({"breaks": True}, "there is no more"),
    ],
)
def test_a_promise_that_did_not_hold_is_an_exit_status(
    path: Path, capsys: pytest.CaptureFixture[str], tale: dict[str, bool], words: str
) -> None:
    broken = Tale(path, **tale)
    failure = tell_whole(broken)

    with pytest.raises(SystemExit) as ended:
        conclude(broken, "tale", failure, keeps=False)

    assert ended.value.code == 1
    assert capsys.readouterr().err == f"tale: {words}\n"
    assert path.exists()


def test_programs_get_timeline_tables_and_promises(path: Path) -> None:
    tale = Tale(path)

    told = json.loads(render_telling(tale, tell_whole(tale)))

    assert told["held"] is True
    assert told["events"][0]["text"] == "it begins\nin detail"
    assert told["tables"][0]["sums"] == [1_000_000, 0]
    assert told["promises"] == [{"what": "two and two are four", "holds": True, "found": "4"}]
