"""`perpnode snapshot` and `perpnode fork` on a stopped node, as an operator types them."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from node.chain.genesis import render_genesis
from node.cli.main import app
from node.cli.values import usdc
from node.consensus.hold import Hold
from node.consensus.recovery import Recovery
from node.crypto import checksum_address
from node.errors import InvalidSnapshot, NotEnoughSignatures, OperatorError, PlanRefused
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.state.kv import LevelDb
from node.units import Height
from tests.helpers.chain import Chain, Person
from tests.snapshot.story import COUNCIL, certify, make_story_genesis, tell_story


class Operator:
    """Somebody at a stopped validator's terminal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.data_dir = path / "node"
        database = LevelDb(self.data_dir / "db")
        story = tell_story(database, self.data_dir / "HEAD", validators=True)
        self.height = story.snapshot.header.number
        self.tip = story.chain.head
        database.close()
        self.genesis = make_story_genesis(validators=True)
        (self.data_dir / "genesis.json").write_text(render_genesis(self.genesis))
        self.directory = SnapshotDirectory(self.data_dir / "snapshots")
        self.plan = path / "plan.json"

    def run(self, *arguments: object) -> Any:
        """Run a command with --json; raise what it raises."""
        result = CliRunner().invoke(app, [*map(str, arguments), "--json"], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    def create(self) -> Path:
        """Make the snapshot, and have three of four validators sign it."""
        made = self.run("snapshot", "create", "--data-dir", self.data_dir, "--height", self.height)
        database = LevelDb(self.data_dir / "db")
        manifest = self.directory.manifest(SnapshotId(0, Height(self.height)))
        assert manifest is not None
        certify(Chain(self.genesis, database), self.directory, manifest)
        database.close()
        return Path(made["path"])

    def sign(self, person: Person) -> Any:
        """Sign the plan with somebody's key file."""
        file = self.path / f"{person.address.hex()}.json"
        address, key = checksum_address(person.address), "0x" + person.key.hex()
        file.write_text(json.dumps({"address": address, "private_key": key}))
        file.chmod(0o600)
        return self.run("fork", "sign", self.plan, "--key", file)


@pytest.fixture
def operator(tmp_path: Path) -> Operator:
    return Operator(tmp_path)


def test_snapshot_is_made_listed_verified_and_restored(operator: Operator) -> None:
    path = operator.create()

    rows = operator.run("snapshot", "list", "--data-dir", operator.data_dir)
    assert [(row["name"], row["signedPower"]) for row in rows] == [(f"0-{operator.height}", 3)]
    verdict = operator.run("snapshot", "verify", path, "--manifest-hash", rows[0]["manifestHash"])
    assert verdict["ok"]
    assert [each["state"] for each in verdict["signers"]] == ["signed"] * 3 + ["missing"]
    other, genesis = operator.path / "other", operator.data_dir / "genesis.json"
    for _ in range(2):
        made = operator.run("snapshot", "restore", path, "--data-dir", other, "--genesis", genesis)
        assert made["height"] == operator.height
    found = operator.run("verify", "--data-dir", other)
    assert (found["first"], found["last"]) == (operator.height + 1, operator.height)
    assert found["records"] > 10
    text = CliRunner().invoke(app, ["verify", "--data-dir", str(other)]).stdout
    assert f"none to execute: the first state is block {operator.height}'s" in text
    assert operator.run("snapshot", "create", "--data-dir", other)["height"] == operator.height


def test_altered_snapshot_fails_with_one_line_that_names_the_file(operator: Operator) -> None:
    path = operator.create()
    (path / "chunks" / "00000").write_bytes(b"?")

    result = CliRunner().invoke(app, ["snapshot", "verify", str(path)])

    assert result.exit_code == 1
    assert "chunks/00000" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    with pytest.raises(InvalidSnapshot, match="chunks/00000"):
        operator.run(
            *("snapshot", "restore", path, "--data-dir", operator.path / "other"),
            *("--genesis", operator.data_dir / "genesis.json"),
        )


def test_another_published_hash_is_a_failure(operator: Operator) -> None:
    path = operator.create()

    result = CliRunner().invoke(
        app, ["snapshot", "verify", str(path), "--manifest-hash", "0x" + "11" * 32]
    )

    assert result.exit_code == 1
    assert "0x" + "11" * 32 in result.stderr


def test_fork_is_planned_signed_by_separate_keys_verified_and_applied(operator: Operator) -> None:
    operator.create()
    at_node = ("--data-dir", operator.data_dir)
    planned = operator.run(
        *("fork", "plan", *at_node, "--snapshot", f"0-{operator.height}"),
        *("--reason", "rehearsal", "--out", operator.plan),
    )
    assert planned["signers"] == []
    assert operator.run("fork", "show", operator.plan)["planHash"] == planned["planHash"]
    operator.sign(COUNCIL[0])
    with pytest.raises(NotEnoughSignatures):
        operator.run("fork", "apply", operator.plan, *at_node)
    operator.sign(COUNCIL[0])
    signed = operator.sign(COUNCIL[2])
    assert signed["signers"] == [checksum_address(COUNCIL[n].address) for n in (0, 2)]
    assert operator.run("fork", "verify", operator.plan, *at_node)["signers"]

    forked = operator.run("fork", "apply", operator.plan, *at_node)

    assert forked == operator.run("fork", "apply", operator.plan, *at_node)
    assert forked["height"] == operator.height + 1
    assert forked["lastRestartHeight"] == operator.tip.header.number + 1
    database = LevelDb(operator.data_dir / "db")
    chain = Chain(operator.genesis, database)
    assert chain.head.hash.hex() == forked["hash"][2:]
    recovery = Recovery(chain.blockchain, Hold(), clock_ms=lambda: 0)
    assert len(recovery.signed_plans(0)) == 1, "for peers that come later"
    database.close()


def test_what_a_fork_undid_is_shown_across_branches(operator: Operator) -> None:
    operator.create()
    at_node = ("--data-dir", operator.data_dir)
    operator.run(
        *("fork", "plan", *at_node, "--snapshot", f"0-{operator.height}"),
        *("--reason", "rehearsal", "--out", operator.plan),
    )
    for person in COUNCIL[:2]:
        operator.sign(person)
    operator.run("fork", "apply", operator.plan, *at_node)
    tip = operator.tip.header.number

    found = operator.run("diff", f"0:{tip}", "latest", *at_node)
    by_hash = operator.run("diff", f"0x{operator.tip.hash.hex()}", operator.height + 1, *at_node)

    assert found == by_hash
    assert found["before"] == {
        "forkId": 0,
        "blockNumber": tip,
        "blockHash": f"0x{operator.tip.hash.hex()}",
        "stateRoot": f"0x{operator.tip.header.state_root.hex()}",
    }
    assert found["after"]["forkId"] == 1
    sizes = [
        (each["before"] or {}).get("size", 0) - (each["after"] or {}).get("size", 0)
        for each in found["changes"]
        if each["kind"] == "Position"
    ]
    assert sorted(sizes) == [-7, 7], "the trade after the snapshot"
    lines = CliRunner().invoke(app, ["diff", f"0:{tip}", "latest", *map(str, at_node)]).stdout
    assert any("Position.size\t" in line and " -> " in line for line in lines.splitlines())
    for bad, error in (("1e3", 2), (str(tip + 9), 1)):
        refused = CliRunner().invoke(app, ["diff", bad, "latest", *map(str, at_node)])
        assert refused.exit_code == error


def test_wrong_order_is_refused_by_name_and_changes_nothing(operator: Operator) -> None:
    at_node = ("--data-dir", operator.data_dir)
    wanted = ("fork", "plan", *at_node, "--reason", "r", "--out", operator.plan)

    with pytest.raises(OperatorError, match="holds no snapshot"):
        operator.run(*wanted)
    operator.create()
    with pytest.raises(OperatorError, match="has no snapshot 0-1: it has"):
        operator.run(*wanted, "--snapshot", "0-1")
    assert not operator.plan.exists()
    operator.run(*wanted)
    with pytest.raises(OperatorError, match="can't be written"):
        operator.run(*wanted)
    with pytest.raises(OperatorError, match="holds no database"):
        operator.run("snapshot", "create", "--data-dir", operator.path / "nowhere")
    with pytest.raises(OperatorError, match="beyond the head"):
        operator.run("snapshot", "create", *at_node, "--height", 10_000)


def test_plan_altered_after_it_was_signed_is_refused(operator: Operator) -> None:
    operator.create()
    at_node = ("--data-dir", operator.data_dir)
    operator.run("fork", "plan", *at_node, "--reason", "good", "--out", operator.plan)
    operator.sign(COUNCIL[0])
    operator.plan.write_bytes(operator.plan.read_bytes().replace(b'"good"', b'"evil"'))

    with pytest.raises(PlanRefused, match="plan_hash"):
        operator.run("fork", "verify", operator.plan, *at_node)


def test_plan_is_shown_to_people_in_usdc(operator: Operator) -> None:
    operator.create()
    at_node = ["--data-dir", str(operator.data_dir)]
    result = CliRunner().invoke(
        app, ["fork", "plan", *at_node, "--reason", "why", "--out", str(operator.plan)]
    )

    assert result.exit_code == 0
    for text in ("1: why", "3", "2 cancelled, 2 TP/SL kept", "5.000000 USDC", "sum 0.000000 USDC"):
        assert text in result.stdout


@pytest.mark.parametrize(
    ("atoms", "text"),
    [
        ("0", "0.000000 USDC"),
        ("-1", "-0.000001 USDC"),
        ("1234567890", "1,234.567890 USDC"),
    ],
)
def test_atoms_are_shown_exactly(atoms: str, text: str) -> None:
    assert usdc(atoms) == text
