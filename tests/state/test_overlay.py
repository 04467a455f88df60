"""An overlay reads like its base with the writes done, and the base never knows."""

from hypothesis import given
from hypothesis import strategies as st

from node.state.kv import MemoryDb
from node.state.overlay import Overlay

rows = st.dictionaries(st.binary(max_size=2), st.binary(max_size=3), max_size=8)


@given(rows, rows, st.lists(st.binary(max_size=2), max_size=4))
def test_an_overlay_reads_as_if_its_base_was_written(
    base: dict[bytes, bytes], puts: dict[bytes, bytes], deletes: list[bytes]
) -> None:
    database, twin = MemoryDb(), MemoryDb()
    for each in (database, twin):
        each.write(base.items())
    overlay = Overlay(database)

    overlay.write(puts.items(), deletes)
    twin.write(puts.items(), deletes)

    for prefix in (b"", b"\0", b"\xff"):
        assert list(overlay.items(prefix)) == list(twin.items(prefix))
    for key in {*base, *puts, *deletes}:
        assert overlay.get(key) == twin.get(key)
    assert dict(database.items(b"")) == base


def test_a_snapshot_of_an_overlay_does_not_see_later_writes() -> None:
    overlay = Overlay(MemoryDb())
    overlay.write([(b"a", b"1")])
    snapshot = overlay.snapshot()

    overlay.write([(b"b", b"2")], [b"a"])

    assert list(snapshot.items(b"")) == [(b"a", b"1")]
    assert list(overlay.items(b"")) == [(b"b", b"2")]


def test_a_closed_overlay_has_forgotten_what_was_written() -> None:
    database = MemoryDb()
    database.write([(b"a", b"1")])
    overlay = Overlay(database)
    overlay.write([(b"b", b"2")], [b"a"])

    overlay.close()

    assert list(overlay.items(b"")) == [(b"a", b"1")]
