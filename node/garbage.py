"""When a node looks for cyclic garbage: before each block among what is new, and everywhere once
its memory has doubled.

Reference counting frees what the protocol makes; circles come from failures and from connections.
Python, left alone, looks whenever many objects are new, which is in the middle of every full block:
all of a block's are in use, none is ever found there, and while it looks all threads stand still.
Before a block most of the last one's are gone. What a look leaves is not looked at by the next one,
so it takes as long as the block was full, whatever the state. What became a circle only later is
found when memory has doubled.
"""

import gc
import sys
from mmap import PAGESIZE
from pathlib import Path
from typing import Final

NEW_MAX: Final = 250_000
"""So many new objects are looked at without waiting for a block: none may come."""
GROWTH_MIN: Final = 512 << 20
"""So many bytes more than after the last look everywhere are not worth another one."""

_STATM = Path("/proc/self/statm")
_OBJECT_BYTES: Final = 64


class Collector:
    """Looks for cyclic garbage in place of Python's own rule; made when the node is ready."""

    def __init__(self) -> None:
        gc.set_threshold(NEW_MAX)
        self._limit = 0
        self._collect_all()

    def before_block(self) -> None:
        """Look at what is new, or at everything if memory has doubled."""
        if get_memory() > self._limit:
            self._collect_all()
        else:
            gc.collect(0)
            gc.freeze()

    def _collect_all(self) -> None:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
        memory = get_memory()
        self._limit = memory + max(memory, GROWTH_MIN)


def get_memory() -> int:
    """Return how many bytes this process has in memory; an estimate where only Linux tells."""
    try:
        return int(_STATM.read_bytes().split()[1]) * PAGESIZE
    except FileNotFoundError:  # no Linux
        return sys.getallocatedblocks() * _OBJECT_BYTES
