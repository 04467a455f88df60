"""What a node refuses before it serves, and what a stopped one's directory must be."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from node.chain.genesis import render_genesis
from node.config import LogFormat, NodeConfig, Role
from node.errors import OperatorError, StaleDatabase
from node.service import HEAD_FILE, configure_log, open_blockchain, open_stopped, run_node
from tests.helpers.chain import Person, make_genesis


@pytest.fixture
def genesis_path(tmp_path: Path) -> Path:
    path = tmp_path / "genesis.json"
    path.write_text(render_genesis(make_genesis([Person("maker")])), encoding="utf-8")
    return path


def test_faults_are_refused_where_the_chain_is_not_for_development(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    genesis = make_genesis([Person("maker")])._replace(dev=False)
    path.write_text(render_genesis(genesis), encoding="utf-8")
    config = NodeConfig(
        genesis_path=path, data_dir=tmp_path / "data", role=Role.SEQUENCER, faults=True
    )

    with pytest.raises(OperatorError, match="--faults is for development") as refused:
        run_node(config)

    assert "\n" not in str(refused.value)
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\xff\x00garbage", "is not '<height> 0x<hash>'"),
        (b"", "is not '<height> 0x<hash>'"),
        (b"1 0x" + b"zz" * 32, "is not '<height> 0x<hash>'"),
        (b"9 0x" + b"11" * 32, "ends at block 0, but block 9"),
        (b"0 0x" + b"11" * 32, "ends at block 0, but block 0"),
    ],
)
def test_a_stopped_directory_is_refused_for_its_side_file_as_by_a_starting_node(
    tmp_path: Path, genesis_path: Path, content: bytes, words: str
) -> None:
    data_dir = tmp_path / "data"
    _, database = open_blockchain(genesis_path, data_dir)
    database.close()
    _, database = open_stopped(data_dir)
    database.close()
    (data_dir / HEAD_FILE).write_bytes(content)

    refusals = []
    for refuse in (lambda: open_stopped(data_dir), lambda: open_blockchain(genesis_path, data_dir)):
        with pytest.raises(StaleDatabase, match=words) as refused:
            refuse()
        refusals.append(str(refused.value))

    assert refusals[0] == refusals[1]
    assert "\n" not in refusals[0]


@pytest.fixture
def _structlog_as_it_was() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.mark.usefixtures("_structlog_as_it_was")
def test_a_line_of_the_log_is_for_people_or_for_machines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for log_format in LogFormat:
        configure_log(log_format)
        try:
            raise ValueError("was 0")
        except ValueError as error:
            structlog.get_logger().error("block disputed", height=7, exc_info=error)
    text, _, lines = capsys.readouterr().err.rpartition("\n{")

    assert "block disputed" in text
    assert "height=7" in text
    line = json.loads("{" + lines)
    assert (line["event"], line["level"], line["height"]) == ("block disputed", "error", 7)
    assert line["timestamp"].endswith("Z")
    assert "ValueError: was 0" in line["exception"]
