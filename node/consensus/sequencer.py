"""The built-in driver: it chooses, seals and commits a block every block time.

One thread executes and commits; everything else reads heads. With instant sealing a block follows
each admission, and an empty one at least every third of the gap limit, so that an idle chain is no
outage (RULES X2).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import structlog

from node.chain.blockchain import Blockchain
from node.consensus.mempool import Mempool
from node.errors import InvalidBlock
from node.units import TimeMs

log = structlog.get_logger()

GAP_PARTS = 3


class Sequencer:
    """Seals blocks in its own thread from `start` to `stop`."""

    def __init__(
        self,
        blockchain: Blockchain,
        mempool: Mempool,
        *,
        block_time_ms: int,
        instant: bool,
        clock_ms: Callable[[], int],
    ) -> None:
        self._blockchain = blockchain
        self._mempool = mempool
        self._block_time_ms = block_time_ms
        self._instant = instant
        self._clock_ms = clock_ms
        self._wake = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self.failure: Exception | None = None
        """Why sealing stopped, if it did: reads go on."""
        if instant:
            mempool.on_admitted(lambda _: self._wake.set())

    def start(self) -> None:
        """Begin to seal."""
        self._thread.start()

    def stop(self) -> None:
        """End after the block in hand."""
        self._stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()

    def seal(self) -> int:
        """Make one block of what waits, commit it, and return how many transactions it took."""
        chosen = self._mempool.choose()
        parent_time = self._blockchain.head.block.extension.time_ms
        time_ms = TimeMs(max(self._clock_ms(), parent_time + 1))
        self._blockchain.commit(self._blockchain.execute(chosen, time_ms))
        return len(chosen)

    def _run(self) -> None:
        due = self._clock_ms()
        while not self._stopping:
            self._wait_until(due)
            if self._stopping:
                return
            self._wake.clear()
            started = self._clock_ms()
            try:
                taken = self.seal()
            except InvalidBlock as failure:
                # An invariant refused the block (DESIGN section 6): nothing was written.
                self.failure = failure
                log.error("sealing stopped", reason=str(failure))
                return
            due = self._next_due(started, taken)

    def _next_due(self, started: int, taken: int) -> int:
        if not self._instant:
            # A late block does not push the ones after it.
            return max(started + self._block_time_ms, self._clock_ms())
        if taken and len(self._mempool):
            return started
        head = self._blockchain.head.block
        return started + self._blockchain.ledger_after(head).params.gap_ms_max // GAP_PARTS

    def _wait_until(self, due: int) -> None:
        while not self._stopping:
            left = due - self._clock_ms()
            if left <= 0 or (self._instant and self._wake.is_set()):
                return
            self._wake.wait(left / 1000)
            if not self._instant:
                self._wake.clear()
