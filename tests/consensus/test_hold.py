"""The hold outlives the process, and nothing but a fork or a resume ends it."""

from pathlib import Path

import pytest

from node.consensus.hold import FILE, Held, Hold
from node.crypto import keccak256
from node.errors import OperatorError
from node.units import Height

HELD = Held(keccak256(b"halt"), 2, Height(77), b"\x01\x02\x03")


def test_without_a_file_nothing_is_held(tmp_path: Path) -> None:
    assert Hold(tmp_path / FILE).current is None
    assert Hold().current is None


def test_a_hold_is_on_disk_when_it_is_laid(tmp_path: Path) -> None:
    Hold(tmp_path / FILE).lay(HELD)

    assert Hold(tmp_path / FILE).current == HELD
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_a_second_halt_changes_nothing(tmp_path: Path) -> None:
    hold = Hold(tmp_path / FILE)
    hold.lay(HELD)
    hold.lay(HELD._replace(digest=keccak256(b"another")))

    assert hold.current == Hold(tmp_path / FILE).current == HELD


def test_a_lifted_hold_is_gone_for_good(tmp_path: Path) -> None:
    hold = Hold(tmp_path / FILE)
    hold.lay(HELD)

    hold.lift()
    hold.lift()

    assert hold.current is None
    assert Hold(tmp_path / FILE).current is None


def test_an_unfinished_file_is_no_hold(tmp_path: Path) -> None:
    (tmp_path / f"{FILE}.new").write_text("perpnode hold 1\n")

    assert Hold(tmp_path / FILE).current is None


def test_a_damaged_file_is_named_and_never_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / FILE
    Hold(path).lay(HELD)
    good = path.read_bytes()

    for bad in (
        b"",
        good[:-1],
        good + b"\n",
        good.replace(b"height 77", b"height 78"),
        good.replace(b"height 77", b"height x"),
        good.replace(b"0x010203", b"0x01020"),
        b"\xff" + good,
    ):
        path.write_bytes(bad)
        with pytest.raises(OperatorError, match="is damaged"):
            Hold(path)
    path.write_bytes(good)
    assert Hold(path).current == HELD


def test_the_text_says_who_and_what_ends_it() -> None:
    text = HELD.text()

    assert "block 77" in text
    assert HELD.digest.hex() in text
    assert "a fork or a resume ends it" in text
