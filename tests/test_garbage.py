"""Cyclic garbage is found: what is new before each block, all of it once memory has doubled."""

import gc
import weakref
from collections.abc import Iterator
from pathlib import Path

import pytest

from node import garbage
from node.garbage import Collector, get_memory


class Circle:
    """It refers to itself: counting references never frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def _python_as_it_was() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.set_threshold(*threshold)
    gc.unfreeze()


def leave_circle() -> weakref.ref[Circle]:
    return weakref.ref(Circle())


def test_a_new_circle_is_found_before_the_next_block() -> None:
    collector = Collector()
    circle = leave_circle()
    assert circle() is not None

    collector.before_block()

    assert circle() is None


def test_a_circle_that_lived_on_is_found_when_memory_has_doubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    memory = 10 * garbage.GROWTH_MIN
    monkeypatch.setattr(garbage, "get_memory", lambda: memory)
    collector = Collector()
    living = Circle()
    circle = weakref.ref(living)
    collector.before_block()
    del living

    memory *= 2
    collector.before_block()
    assert circle() is not None  # no more than double

    memory += 1
    collector.before_block()
    assert circle() is None


def test_a_small_node_may_grow_before_all_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = 1
    monkeypatch.setattr(garbage, "get_memory", lambda: memory)
    looks: list[int] = []
    monkeypatch.setattr(gc, "collect", lambda generation=2: looks.append(generation))
    collector = Collector()

    memory += garbage.GROWTH_MIN
    collector.before_block()
    memory += 1
    collector.before_block()
    collector.before_block()

    assert looks == [2, 0, 2, 0]


@pytest.mark.parametrize("statm", [garbage._STATM, Path("/nowhere")])
def test_memory_is_told_on_every_system(monkeypatch: pytest.MonkeyPatch, statm: Path) -> None:
    monkeypatch.setattr(garbage, "_STATM", statm)
    before = get_memory()

    large = bytearray(b"x") * (1 << 26)  # the system maps so much anew, whatever is free
    small = [object() for _ in range(1_000_000)]

    assert get_memory() - before > 8 * len(small)
    assert len(large) == 1 << 26
