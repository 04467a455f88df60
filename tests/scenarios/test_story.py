"""The mission's story with real processes, as `make story` tells it: every promise must hold."""

import asyncio
from pathlib import Path

from tools.story import Story

PROMISES_MIN = 30


def test_a_chain_is_broken_halted_forked_reopened_and_verified(tmp_path: Path) -> None:
    story = Story(tmp_path, bots=2)
    try:
        asyncio.run(story.tell())
    finally:
        story.kill()

    broken = [each for each in story.promises if not each.holds]
    assert not broken, f"{story.table()}\n{(tmp_path / 'devnet.log').read_text()[-3000:]}"
    assert len(story.promises) >= PROMISES_MIN
