"""The supervisor's watch over the chain: it ends when it is told to, whatever comes just then."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from node.devnet.client import Client, Subscription
from node.devnet.directory import open_directory
from node.devnet.replay import FIXED, choose_prices
from node.devnet.supervisor import DevnetConfig, Ports, Supervisor
from node.devnet.template import Wishes
from node.units import DurationMs

NOTHING = Wishes(template=None, accounts=None, reporters=None, bots=None, dev=None)
HEADER = {"number": "0x0", "hash": "0x" + "00" * 32}


class Node:
    """A node of which nothing is asked but heads."""

    def __init__(self) -> None:
        self.heads = Subscription()

    async def subscribe(self, _: str) -> Subscription:
        return self.heads

    async def request(self, *_: object) -> Any:
        return HEADER

    async def batch(self, calls: Sequence[object]) -> list[Any]:
        return [None for _ in calls]


@pytest.mark.parametrize("turns", range(6))
def test_a_head_that_comes_with_the_end_does_not_keep_it_from_ending(
    tmp_path: Path, turns: int
) -> None:
    config = DevnetConfig(
        data_dir=tmp_path,
        wishes=NOTHING,
        fresh=False,
        prices=choose_prices(FIXED, None),
        host="127.0.0.1",
        port=1,
        host_names=(),
        allowed_origins=(),
        block_time_ms=DurationMs(1_000),
        instant=False,
    )

    async def run() -> bool:
        directory = open_directory(tmp_path, NOTHING)
        supervisor, node = Supervisor(config, directory, Ports(2, (), ())), Node()
        watching = asyncio.create_task(supervisor._tell_blocks(cast(Client, node)))
        await asyncio.sleep(0.05)
        node.heads.deliver(HEADER)
        for _ in range(turns):
            await asyncio.sleep(0)
        watching.cancel()
        await asyncio.wait({watching}, timeout=1)
        return watching.cancelled()

    assert asyncio.run(run())
