"""One child process of the devnet: how it is started, fed, watched and ended."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

LAST_WORDS_BYTES = 4096
LINE_MAX = 300


class Role(NamedTuple):
    """What a child is and what it needs to know."""

    name: str
    arguments: Sequence[str]
    """Of this Python interpreter."""
    part: Any
    """Written to its standard input as one line of JSON; None writes nothing."""
    end_s: float
    """How long it may take to end before it is killed."""


class Child:
    """A running process. Its standard input stays open as long as this process lives."""

    def __init__(self, role: Role, process: asyncio.subprocess.Process, log: Path) -> None:
        self.role = role
        self.log = log
        self._process = process

    @property
    def pid(self) -> int:
        """The process number."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end and return its exit status; negative: the signal that ended it."""
        return await self._process.wait()

    def last_words(self) -> str:
        """Return the last line that it wrote, shortened."""
        with self.log.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - LAST_WORDS_BYTES))
            lines = file.read().decode(errors="replace").strip().splitlines()
        return lines[-1].strip()[:LINE_MAX] if lines else ""

    async def end(self) -> None:
        """Ask it to end, and kill it if it takes too long."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        with suppress(ProcessLookupError):
            self._process.terminate()
        try:
            async with asyncio.timeout(self.role.end_s):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()


async def start_child(role: Role, log: Path) -> Child:
    """Start a child in a session of its own, so that Ctrl-C reaches the supervisor alone."""
    with log.open("wb") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *role.arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    if role.part is not None:
        assert process.stdin is not None, "started with a pipe"
        process.stdin.write(json.dumps(role.part).encode() + b"\n")
        with suppress(ConnectionError):  # it ended already: its exit status will say why
            await process.stdin.drain()
    return Child(role, process, log)
