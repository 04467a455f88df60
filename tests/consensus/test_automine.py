"""Instant sealing takes every ready transaction, makes no block of nothing, and can be turned off.

The sealing thread runs as in a node; senders are threads of their own.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest

from node.chain.transaction import Transaction
from node.consensus.mempool import Mempool
from node.consensus.sequencer import Sequencer
from node.units import Address
from tests.helpers.chain import Chain, Person, make_genesis

SENDERS = 8
EACH = 250
OTHER = Address(b"\x99" * 20)
PATIENCE_S = 60


def wait_for(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.005)


class Live:
    """A chain whose sequencer seals in its own thread."""

    def __init__(self) -> None:
        self.people = [Person(f"sender-{index}") for index in range(SENDERS)]
        self.chain = Chain(make_genesis(self.people))
        self.mempool = Mempool(self.chain.blockchain)
        start = self.chain.time_ms - time.monotonic_ns() // 1_000_000
        self.sequencer = Sequencer(
            self.chain.blockchain,
            self.mempool,
            block_time_ms=1_000,
            instant=True,
            clock_ms=lambda: start + time.monotonic_ns() // 1_000_000,
        )

    @property
    def height(self) -> int:
        return self.chain.head.header.number

    def counts(self) -> list[int]:
        """Return how many transactions each block has from 1 on."""
        blocks = [self.chain.blockchain.block_at(n) for n in range(1, self.height + 1)]  # type: ignore[arg-type]  # a height
        return [len(block.transactions) for block in blocks if block is not None]

    def nonces(self) -> list[int]:
        ledger = self.chain.blockchain.ledger_after(self.chain.head)
        return [ledger.get_nonce(person.address) for person in self.people]

    def send_all(self, *, backwards: bool = False, pause_s: float = 0) -> list[threading.Thread]:
        """Let every sender hand in all its transactions in a thread of its own."""

        def send(transactions: list[Transaction]) -> None:
            for tx in transactions:
                self.mempool.add(tx)
                time.sleep(pause_s)

        threads = []
        for person in self.people:
            signed = [person.send(OTHER, value=1) for _ in range(EACH)]
            if backwards:
                signed = [tx for pair in zip(signed[1::2], signed[::2], strict=True) for tx in pair]
            threads.append(threading.Thread(target=send, args=(signed,)))
        for thread in threads:
            thread.start()
        return threads


@pytest.fixture
def live() -> Iterator[Live]:
    live = Live()
    yield live
    live.sequencer.stop()


@pytest.mark.parametrize("backwards", [False, True])
def test_no_ready_transaction_is_lost(live: Live, backwards: bool) -> None:
    live.sequencer.start()

    for thread in live.send_all(backwards=backwards):
        thread.join()

    wait_for(lambda: live.nonces() == [EACH] * SENDERS)
    assert len(live.mempool) == 0
    assert live.sequencer.failure is None


def test_no_ready_transaction_is_lost_while_the_pace_changes(live: Live) -> None:
    live.sequencer.start()
    threads = live.send_all(pause_s=0.001)

    pace = 0
    while any(thread.is_alive() for thread in threads):
        pace += 1
        live.sequencer.set_pace(instant=pace % 3 == 0, interval_ms=10 if pace % 3 == 1 else 0)
        time.sleep(0.003)
    live.sequencer.set_pace(instant=True, interval_ms=0)

    wait_for(lambda: live.nonces() == [EACH] * SENDERS)
    assert pace > 3
    assert live.sequencer.failure is None


def test_a_block_holds_something(live: Live) -> None:
    live.sequencer.start()
    wait_for(lambda: live.height == 1)  # the first one is due at once

    for person in live.people:
        live.mempool.add(person.send(OTHER, value=1, nonce=1))  # nothing to execute yet
    time.sleep(0.1)
    assert live.height == 1
    for person in live.people:
        live.mempool.add(person.send(OTHER, value=1, nonce=0))

    wait_for(lambda: live.nonces() == [2] * SENDERS)
    assert sum(live.counts()) == 2 * SENDERS
    assert min(live.counts()[1:]) > 0


def test_nothing_is_sealed_while_it_is_off(live: Live) -> None:
    live.sequencer.start()
    wait_for(lambda: live.height == 1)
    live.sequencer.set_pace(instant=False, interval_ms=0)

    live.mempool.add(live.people[0].send(OTHER, value=1))
    time.sleep(0.2)
    assert live.height == 1

    live.sequencer.set_pace(instant=True, interval_ms=0)
    wait_for(lambda: live.nonces()[0] == 1)


def test_an_interval_seals_by_itself(live: Live) -> None:
    live.sequencer.set_pace(instant=False, interval_ms=0)
    live.sequencer.start()
    live.sequencer.set_pace(instant=False, interval_ms=20)

    wait_for(lambda: live.height >= 5)

    blocks = [live.chain.blockchain.block_at(n) for n in range(2, 6)]  # type: ignore[arg-type]  # a height
    times = [block.extension.time_ms for block in blocks if block is not None]
    assert all(later - earlier >= 15 for earlier, later in pairwise(times))
