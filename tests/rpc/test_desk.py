"""The core's side of the RPC: what the core tells from its own threads reaches whoever listens."""

from __future__ import annotations

import asyncio
from collections import deque
from pathlib import Path

import pytest

from node.chain.transaction import Transaction
from node.rpc.desk import Desk
from tests.rpc.chain import Chain


def test_two_threads_that_admit_at_once_leave_nobody_untold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain(tmp_path)
    first, second, third = (chain.sign("sender") for _ in range(3))
    told: list[Transaction] = []

    async def admit() -> None:
        desk = Desk(chain.core)
        monkeypatch.setattr(desk._subscriptions, "on_pending", told.append)

        class Turns(deque[Transaction]):
            """Lets another thread have its turn right after the first append."""

            def append(self, tx: Transaction) -> None:
                super().append(tx)
                if tx is first:
                    desk._tell_pending(second)

        desk._pending = Turns()
        desk._tell_pending(first)
        await asyncio.sleep(0)
        desk._tell_pending(third)
        await asyncio.sleep(0)

    asyncio.run(admit())

    assert told == [first, second, third]
