"""`perpnode audit` on a stopped node, as an auditor types it."""

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from node.chain import keys
from node.chain.genesis import render_genesis
from node.cli.main import main
from node.consensus.faults import FaultKind
from node.crypto import checksum_address
from node.governance.refund import compute_root, parse_refunds
from node.perp.account import VAULT
from node.snapshot.directory import SnapshotDirectory
from node.state.kv import LevelDb
from node.units import Hash32, Height
from tests.audit.incident import (
    BIDDER,
    LONG,
    MAKER,
    RIGHT,
    Incident,
    make_incident_genesis,
    tell_incident,
)
from tests.audit.lie import Twins, make_lie_genesis
from tests.helpers.chain import BTC, USDC

LOST = 163 * USDC


class Auditor:
    """Somebody with a stopped node's data directory and a file of corrections."""

    def __init__(self, path: Path) -> None:
        self.data_dir = path / "node"
        database = LevelDb(self.data_dir / "db")
        self.incident: Incident = tell_incident(None, database, self.data_dir / "HEAD")
        database.close()
        (self.data_dir / "genesis.json").write_text(render_genesis(make_incident_genesis()))
        self.wrong, self.last = self.incident.wrong, self.incident.last.header.number
        self.corrections = path / "corrections.json"
        price = {"market": 1, "first": self.wrong, "last": self.wrong, "ticks": RIGHT}
        self.corrections.write_text(json.dumps({"format": 1, "prices": [price]}))

    def arguments(self, *more: object) -> list[str]:
        """Return the command that audits from the wrong block on, with the right price."""
        named = ("--data-dir", self.data_dir, "--corrections", self.corrections)
        return [str(each) for each in ("audit", self.wrong, self.last, *named, *more)]


@pytest.fixture(scope="module")
def auditor(tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    return Auditor(tmp_path_factory.mktemp("audit"))


@pytest.fixture
def perpnode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(arguments: list[str], status: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["perpnode", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        assert int(ended.value.code or 0) == status, captured.err
        if status:
            assert captured.err.startswith("perpnode: ")
            assert captured.err.count("\n") == 1
        return captured.err if status else captured.out

    return run


def column(text: str, name: str) -> dict[str, str]:
    """Return a column of the accounts' table by account, as it is piped."""
    lines = [line.split("\t") for line in text.splitlines()]
    header = lines[0]
    return {line[0]: line[header.index(name)] for line in lines if len(line) == len(header)}


def test_who_lost_what_is_a_table_that_sums(perpnode: Any, auditor: Auditor) -> None:
    text = perpnode(auditor.arguments())

    losses = column(text, "loss")
    assert losses[checksum_address(LONG.address)] == "163.000000"
    assert losses[checksum_address(BIDDER.address)] == "-126.000000"
    assert losses["LiquidatorVault"] == "-37.000000"
    assert losses["total"] == "0.000000"
    assert column(text, "refund")["total"] == "163.000000"
    assert column(text, "liquidations")[checksum_address(LONG.address)] == "-1"
    assert "refunds\t1, 163.000000 USDC in all\n" in text
    assert "100,037.000000 USDC at the head, 99,874.000000 USDC after the refunds" in text


def test_files_are_the_same_for_a_second_auditor_and_sum(
    perpnode: Any, auditor: Auditor, tmp_path: Path
) -> None:
    perpnode(auditor.arguments("--out", tmp_path / "first"))
    perpnode(auditor.arguments("--out", tmp_path / "second"))

    names = sorted(path.name for path in (tmp_path / "first").iterdir())
    assert names == ["accounts.csv", "evidence.csv", "refunds.csv", "report.json"]
    for name in names:
        first, second = (tmp_path / each / name for each in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
    refunds = parse_refunds((tmp_path / "first" / "refunds.csv").read_text(), "refunds.csv")
    assert [(each.account, each.amount) for each in refunds] == [(LONG.address, LOST)]
    report = json.loads((tmp_path / "first" / "report.json").read_bytes())
    assert report["refunds"]["root"] == "0x" + compute_root(refunds).hex()
    assert report["range"]["last_hash"] == "0x" + auditor.incident.last.hash.hex()
    assert report["state_root_was"] == "0x" + auditor.incident.last.header.state_root.hex()
    with (tmp_path / "first" / "accounts.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for name in set(rows[0]) - {"account", "name"}:
        assert sum(int(row[name]) for row in rows[:-1]) == int(rows[-1][name])
    assert {rows[-1][name] for name in ("equity_was", "equity_should", "loss")} == {"0"}
    assert "PositionLiquidated" in (tmp_path / "first" / "evidence.csv").read_text()


def test_another_audit_leaves_no_refunds_of_an_earlier_one(
    perpnode: Any, auditor: Auditor, tmp_path: Path
) -> None:
    perpnode(auditor.arguments("--out", "out"))
    text = perpnode(auditor.arguments("--out", "out", "--minimum", str(LOST + 1)))

    assert "refund root\tnone: nobody is owed anything\n" in text
    assert not (tmp_path / "out" / "refunds.csv").exists()
    assert json.loads((tmp_path / "out" / "report.json").read_bytes())["refunds"]["root"] == ""


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        (["--only-liquidated"], 1),
        (["--minimum", str(LOST)], 1),
        (["--minimum", str(LOST + 1)], 0),
        (["--exclude", checksum_address(LONG.address)], 0),
        (["--exclude", checksum_address(BIDDER.address)], 1),
    ],
)
def test_whose_loss_is_refunded_is_the_auditors_choice(
    perpnode: Any, auditor: Auditor, flags: list[str], count: int
) -> None:
    document = json.loads(perpnode(auditor.arguments("--json", *flags)))

    assert document["report"]["refunds"]["count"] == count
    assert len([row for row in document["accounts"] if int(row["refund"])]) == count


def test_without_corrections_an_honest_node_owes_nobody(perpnode: Any, auditor: Auditor) -> None:
    arguments = ["audit", "1", "latest", "--data-dir", str(auditor.data_dir), "--json"]

    document = json.loads(perpnode(arguments))

    report = document["report"]
    assert report["state_root_was"] == report["state_root_should"]
    assert (report["first_difference"], document["evidence"]) == ("", [])
    assert {int(row["loss"]) for row in document["accounts"]} == {0}


def test_an_account_is_shown_its_evidence(perpnode: Any, auditor: Auditor) -> None:
    text = perpnode(auditor.arguments("--account", checksum_address(LONG.address)))

    kinds = [line.split("\t")[3] for line in text.splitlines() if line.count("\t") == 6]
    assert kinds == ["kind", "OrderFilled", "PositionLiquidated", "Account"]


def test_a_range_is_named_by_hashes_as_well(perpnode: Any, auditor: Auditor) -> None:
    chain = auditor.incident
    last = "0x" + chain.last.hash.hex()
    parent = "0x" + chain.last.header.parent_hash.hex()
    at = ["--data-dir", str(auditor.data_dir), "--json"]

    report = json.loads(perpnode(["audit", parent, last, *at]))["report"]

    assert (report["range"]["first"], report["range"]["last"]) == (auditor.last - 1, auditor.last)


def test_the_table_on_a_terminal_is_aligned(
    perpnode: Any, auditor: Auditor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)

    lines = perpnode(auditor.arguments()).splitlines()

    table = lines[1 : lines.index("audit")]
    end = lines[1].index("loss") + len("loss")
    assert [line[:end].split()[-1] for line in table if line.strip().startswith("total")] == [
        "0.000000"
    ]
    assert all(line.startswith("  ") for line in table)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["0", "latest"], "FIRST is from 1 to 37"),
        (["1", "99"], "block 0x63 is not here: the head is 37"),
        (["38", "latest"], "FIRST is from 1 to 37"),
        (["1", "1:3"], "is not here"),
        (["--fork", "1"], "--fork 1: this branch has had no such fork, but none"),
        (["1", "2", "--corrections", "none.json"], "none.json: can't be read"),
        (["1", "2", "--corrections", "empty"], "empty: line 1, column 1 is no JSON"),
        (["1", "2", "--genesis", "none.json"], "none.json: can't be read"),
        (["1", "2", "--out", "empty"], "--out empty is a file: name a directory"),
    ],
)
def test_what_is_wrong_is_one_line(
    perpnode: Any, auditor: Auditor, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "empty").write_text("")

    error = perpnode(["audit", *arguments, "--data-dir", str(auditor.data_dir)], status=1)

    assert words in error


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "name FIRST and LAST, or what a fork left by --fork"),
        (["5"], "name FIRST and LAST, or what a fork left by --fork"),
        (["5", "6", "--fork", "1"], "name FIRST and LAST, or what a fork left by --fork"),
        (["five", "6"], "'five' is no block"),
        (["1", "2", "--minimum", "0"], "'--minimum'"),
        (["1", "2", "--exclude", "0x12"], "--exclude 0x12 was"),
        (["1", "2", "--account", "me"], "--account me was"),
    ],
)
def test_a_wrong_usage_is_status_2_and_one_line(
    perpnode: Any, auditor: Auditor, arguments: list[str], words: str
) -> None:
    error = perpnode(["audit", *arguments, "--data-dir", str(auditor.data_dir)], status=2)

    assert words in error


def test_a_directory_without_a_chain_is_refused(perpnode: Any, tmp_path: Path) -> None:
    error = perpnode(["audit", "1", "2", "--data-dir", "none"], status=1)

    assert "none holds no database: name a stopped node's --data-dir" in error


def test_a_running_nodes_directory_is_refused_and_its_owner_named(
    perpnode: Any, auditor: Auditor
) -> None:
    code = (
        "import sys; from pathlib import Path; from node.state.kv import LevelDb\n"
        "database = LevelDb(Path(sys.argv[1])); print('open', flush=True); input()"
    )
    owner = subprocess.Popen(
        [sys.executable, "-c", code, str(auditor.data_dir / "db")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == "open\n"
    try:
        error = perpnode(auditor.arguments(), status=1)
    finally:
        owner.communicate("\n", timeout=30)

    assert f"process {owner.pid}" in error
    assert "stop it" in error


def test_who_is_owed_is_not_the_system(perpnode: Any, auditor: Auditor) -> None:
    document = json.loads(perpnode(auditor.arguments("--json")))

    (vault,) = [row for row in document["accounts"] if row["account"] == checksum_address(VAULT)]
    assert (vault["name"], vault["loss"], vault["refund"]) == (
        "LiquidatorVault",
        str(-37 * USDC),
        "0",
    )
    assert Height(document["report"]["range"]["first"]) == auditor.wrong


# --- a branch that a fork left --------------------------------------------------------------------


@pytest.fixture(scope="module")
def forked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a sequencer that lied, after the fork that left its lie."""
    data_dir = tmp_path_factory.mktemp("forked") / "node"
    database = LevelDb(data_dir / "db")
    twins = Twins(database, data_dir / "HEAD")
    twins.lie(FaultKind.FUNDING_INDEX, BTC, 0)
    twins.fork(SnapshotDirectory(data_dir / "snapshots"))
    database.close()
    (data_dir / "genesis.json").write_text(render_genesis(make_lie_genesis()))
    return data_dir


def test_what_a_fork_left_is_audited_by_its_number(perpnode: Any, forked: Path) -> None:
    text = perpnode(["audit", "--fork", "1", "--data-dir", str(forked)])

    assert column(text, "loss")[checksum_address(MAKER.address)] == "748.145000"
    assert column(text, "funding")[checksum_address(LONG.address)] == "-720.000000"
    assert column(text, "loss")["total"] == "0.000000"
    # No interest, no FundingAccrued: the lie is seen where funding was settled by it.
    assert "first difference\tblock 34, market 1, FundingSettled: was FundingSettled(" in text


@pytest.mark.parametrize("first", ["34", "0:34"])
def test_a_block_of_a_branch_that_was_left_names_the_branch(
    perpnode: Any, forked: Path, first: str
) -> None:
    at = ["--data-dir", str(forked), "--json"]

    report = json.loads(perpnode(["audit", first, "0:36", *at]))["report"]

    assert report["range"]["fork_id"] == 0
    assert report == json.loads(perpnode(["audit", "--fork", "1", *at]))["report"]


def test_two_blocks_of_two_branches_are_refused(perpnode: Any, forked: Path) -> None:
    error = perpnode(["audit", "1:34", "0:36", "--data-dir", str(forked)], status=1)

    assert "is not on the branch of block 36" in error


def test_a_tip_that_is_not_here_is_named(perpnode: Any, forked: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(forked, copy)
    database = LevelDb(copy / "db")
    tip = database.get(keys.orphan_row(0, Height(36)))
    assert tip is not None
    database.write([], [keys.block_row(Hash32(tip))])
    database.close()

    error = perpnode(["audit", "--fork", "1", "--data-dir", str(copy)], status=1)

    assert f"the tip that fork 1 left, block 36 0x{tip.hex()}, is not here" in error
