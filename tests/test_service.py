"""What a node refuses before it serves, and what a stopped one's directory must be."""

from pathlib import Path

import pytest

from node.chain.genesis import render_genesis
from node.config import NodeConfig, Role
from node.errors import OperatorError, StaleDatabase
from node.service import HEAD_FILE, open_blockchain, open_stopped, run_node
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
