"""A database that is another's, newer, or older than it should be is refused and left alone."""

from pathlib import Path

import pytest

from node.chain import keys
from node.chain.genesis import read_genesis, render_genesis
from node.state.kv import LevelDb
from node.units import Quote
from tests.helpers.devnet import MINIMAL_GENESIS, Sequencer

FLAGS = ("--block-time", "0.1")


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory with a few blocks, whose node has stopped."""
    path = tmp_path / "data"
    with Sequencer(MINIMAL_GENESIS, path, *FLAGS) as node:
        node.start()
        node.wait_for_answer().wait_for_height(3)
        assert node.interrupt() == 0
    return path


def rows_of(data_dir: Path) -> dict[bytes, bytes]:
    """Return everything that the database holds."""
    database = LevelDb(data_dir / "db")
    try:
        return dict(database.items(b""))
    finally:
        database.close()


def goes_on(data_dir: Path) -> bool:
    """Tell whether the right genesis still resumes the chain."""
    with Sequencer(MINIMAL_GENESIS, data_dir, *FLAGS) as node:
        node.start()
        node.wait_for_answer().wait_for_height(4)
        return node.interrupt() == 0


def test_a_database_of_another_genesis_is_refused_untouched(data_dir: Path, tmp_path: Path) -> None:
    genesis = read_genesis(MINIMAL_GENESIS)
    other = tmp_path / "other.json"
    other.write_text(render_genesis(genesis._replace(vault_margin=Quote(1))))
    before, head = rows_of(data_dir), (data_dir / "HEAD").read_bytes()

    line = Sequencer(other, data_dir, *FLAGS).refusal()

    assert "genesis" in line
    assert "--data-dir" in line
    assert rows_of(data_dir) == before
    assert (data_dir / "HEAD").read_bytes() == head
    assert goes_on(data_dir)


def overwrite(data_dir: Path, key: bytes, value: bytes) -> bytes:
    """Write a row and return what it was."""
    database = LevelDb(data_dir / "db")
    try:
        before = database.get(key)
        assert before is not None
        database.write([(key, value)])
        return before
    finally:
        database.close()


def test_a_newer_format_is_refused_untouched(data_dir: Path) -> None:
    ours = overwrite(data_dir, keys.FORMAT_ROW, b"999")
    before = rows_of(data_dir)

    line = Sequencer(MINIMAL_GENESIS, data_dir, *FLAGS).refusal()

    assert "format 999" in line
    assert rows_of(data_dir) == before
    overwrite(data_dir, keys.FORMAT_ROW, ours)
    assert goes_on(data_dir)


def test_a_database_that_lost_blocks_refuses_to_serve(data_dir: Path) -> None:
    head = data_dir / "HEAD"
    height, block_hash = head.read_text().split()
    head.write_text(f"{int(height) + 5} {block_hash}\n")
    before = rows_of(data_dir)

    line = Sequencer(MINIMAL_GENESIS, data_dir, *FLAGS).refusal()

    assert f"block {int(height) + 5}" in line
    assert rows_of(data_dir) == before


@pytest.mark.parametrize("text", ["", "{", '{"format": 1}', '{"format": 1.5}', "\xff"])
def test_a_malformed_genesis_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    genesis = tmp_path / "genesis.json"
    genesis.write_text(text, encoding="latin-1")

    line = Sequencer(genesis, tmp_path / "data", *FLAGS).refusal()

    assert str(genesis) in line
    assert not (tmp_path / "data" / "db").exists()
