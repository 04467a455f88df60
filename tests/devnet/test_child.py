"""Child processes: fed by standard input, ended by request, by force, and by their parent's end."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from node.devnet.child import Child, Role, start_child

ROOT = Path(__file__).parents[2]


def python(code: str, *, part: Any = None, end_s: float = 30.0) -> Role:
    return Role("actor", ["-c", code], part, end_s)


def run(story: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(story, 60))


async def wait_for_words(child: Child, words: str) -> None:
    while child.last_words() != words:
        await asyncio.sleep(0.01)


def test_part_comes_on_standard_input_and_words_go_to_the_log(tmp_path: Path) -> None:
    async def story() -> None:
        code = "import json, sys; print(json.loads(sys.stdin.readline())['keys'])"
        child = await start_child(python(code, part={"keys": ["secret"]}), tmp_path / "log")

        assert await child.wait() == 0
        assert child.last_words() == "['secret']"

    run(story())


def test_secrets_do_not_stand_on_the_command_line(tmp_path: Path) -> None:
    async def story() -> None:
        role = python("input(); print('ready', flush=True); input()", part={"keys": ["secret"]})
        child = await start_child(role, tmp_path / "log")
        await wait_for_words(child, "ready")

        shown = subprocess.run(
            ["ps", "-o", "args=", "-p", str(child.pid)], capture_output=True, text=True, check=True
        ).stdout

        assert "input()" in shown
        assert "secret" not in shown
        await child.end()

    run(story())


def test_end_asks_first(tmp_path: Path) -> None:
    async def story() -> None:
        code = (
            "import signal, sys\n"
            "signal.signal(signal.SIGTERM, lambda *_: sys.exit('orderly'))\n"
            "print('ready', flush=True)\n"
            "while True: signal.pause()"
        )
        child = await start_child(python(code), tmp_path / "log")
        await wait_for_words(child, "ready")

        await child.end()

        assert child.last_words() == "orderly"

    run(story())


def test_end_kills_what_does_not_listen(tmp_path: Path) -> None:
    async def story() -> None:
        code = (
            "import signal\n"
            "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
            "print('ready', flush=True)\n"
            "while True: signal.pause()"
        )
        child = await start_child(python(code, end_s=0.1), tmp_path / "log")
        await wait_for_words(child, "ready")

        await child.end()

        assert await child.wait() == -signal.SIGKILL

    run(story())


def test_end_of_a_child_that_is_gone_is_fine(tmp_path: Path) -> None:
    async def story() -> None:
        child = await start_child(python("", part={"never": "read"}), tmp_path / "log")
        await child.wait()

        await child.end()

        assert child.last_words() == ""

    run(story())


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_child_ends_with_its_parent(how: signal.Signals) -> None:
    child = "from node.devnet.lifeline import end_with_parent; end_with_parent(); " + (
        "import signal; print('alive', flush=True); signal.pause()"
    )
    parent = (
        "import subprocess, sys, time\n"
        f"child = subprocess.Popen([sys.executable, '-c', {child!r}], stdin=subprocess.PIPE)\n"
        "time.sleep(600)"
    )
    # Both write to this pipe, so its end means that both are gone.
    with subprocess.Popen(
        [sys.executable, "-c", parent], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"alive\n"

        os.kill(process.pid, how)

        assert process.stdout.read() == b""
