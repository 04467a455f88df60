"""Every method of the exchange, the council and the node answers as its .io files say."""

from pathlib import Path

import pytest

from node.rpc.methods import METHODS
from tests.rpc.io_files import (
    IO,
    REFERENCE,
    list_files,
    make_reference,
    normalize,
    read_file,
    render_file,
    replay,
)

ANEW = "if that is right, write it anew: .venv/bin/python -m tests.rpc.io_files"
RECORDED = ("perp_", "gov_", "node_")


@pytest.mark.parametrize("path", list_files(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_node_answers_as_the_file_says(path: Path, tmp_path: Path) -> None:
    file = read_file(path)

    answers = replay(file, tmp_path)

    recorded = render_file(file, [exchange.answer for exchange in file.exchanges])
    assert normalize(render_file(file, answers)) == normalize(recorded), ANEW


def test_every_method_has_a_file_that_asks_it() -> None:
    methods = {name for name in METHODS if name.startswith(RECORDED)}
    asked = {
        path.parent.name
        for path in list_files()
        if any(f'"{path.parent.name}"' in each.request for each in read_file(path).exchanges)
    }

    assert methods - asked == set(), f"add tests/rpc/io/<method>/<case>.io (see {IO}/README.md)"
    assert asked - METHODS.keys() == set(), "there is no such method"


def test_the_reference_is_made_of_the_table_and_the_files() -> None:
    assert normalize(REFERENCE.read_text()) == normalize(make_reference()), ANEW


def test_another_number_is_noticed_and_another_hash_is_not() -> None:
    one, other = "0x" + "ab" * 32, "0x" + "cd" * 32

    assert normalize(f"{one} {one} 5") == normalize(f"{other} {other} 5")
    assert normalize(f"{one} {one} 5") != normalize(f"{other} {other} 6")
    assert normalize(f"{one} {one} 5") != normalize(f"{one} {other} 5")
