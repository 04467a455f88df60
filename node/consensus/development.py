"""The development helpers at the sequencer: what anvil's and hardhat's users reach for.

Each does one of three things, and nothing else changes state: it seals a development operation at
once (`chain.development`), it makes blocks at times of its choosing, or it goes back to an earlier
block. What is no state is this node's own and forgotten by a restart: the pace of sealing, the next
block's time, whom requests may impersonate. Snapshots are rows on disk: the hash of a block.

Going back leaves the pool empty: what waited was signed for a state that is no more. Filters and
impersonation stay. Threads: requests come one at a time, from one thread; see `consensus.core`.
"""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple

import structlog

from node.chain import keys
from node.chain.block import Block
from node.chain.blockchain import Blockchain, Head
from node.chain.derived import Derived
from node.chain.development import (
    Call,
    LoadState,
    Operation,
    RepeatPrices,
    encode_operation,
)
from node.chain.loading import parse_dump
from node.consensus.mempool import Mempool
from node.consensus.phase import LAGGING, OPEN, STOPPED
from node.consensus.reorg import Wish, arrange
from node.consensus.sequencer import Sequencer
from node.errors import ActionImpossible, InvalidBlock, OperationRefused
from node.units import Address, Hash32, Height, TimeMs, Wei

log = structlog.get_logger()

LAG_S = 20.0
"""So long a request waits for validators that are behind."""
LOOK_S = 0.005
DERIVED_KEPT = 16
"""Of so many snapshots, the newest, books and standing stay in memory: a revert loads none."""
STEP_MS_MAX = 30_000
"""Between two blocks of a fast-forward: funding accrues over no more (F3)."""


class Sealed(NamedTuple):
    """An operation's place in the chain."""

    block: Block
    tx_hash: Hash32


class Development:
    """The helpers of one sequencer."""

    def __init__(self, blockchain: Blockchain, mempool: Mempool, sequencer: Sequencer) -> None:
        self._blockchain = blockchain
        self._mempool = mempool
        self._sequencer = sequencer
        self._derived: OrderedDict[int, Derived] = OrderedDict()
        self._impersonated: set[Address] = set()
        self._impersonates_all = False
        self._pause = threading.Event()

    # --- operations ------------------------------------------------------------------------------

    def operate(self, operation: Operation) -> Sealed:
        """Seal an operation at once; raise OperationRefused or ActionImpossible."""
        block = self._seal([operation])
        data = encode_operation(operation)
        hashes = [tx.hash for tx in block.transactions if tx.data == data]
        return Sealed(block, hashes[-1])

    def call(
        self, sender: Address, nonce: int | None, to: Address, value: Wei, data: bytes
    ) -> Sealed:
        """Seal what an impersonated account does; a rule's refusal is its receipt's.

        Raises OperationRefused for a nonce, if one is given, that is not the account's next.
        """
        self._wait_until_open()
        with self._blockchain.write_lock:  # nobody takes the nonce in between
            if nonce is None:
                head = self._blockchain.head.block
                nonce = self._blockchain.ledger_after(head).get_nonce(sender)
            return self.operate(Call(sender, nonce, to, value, data))

    def dump(self) -> bytes:
        """Return the head's whole state; raise OperationRefused where it is too long to load."""
        return self._blockchain.dump_head()

    def load(self, content: bytes) -> Sealed:
        """Go on with a dumped state, at its time or later; raise OperationRefused.

        One whose genesis is another, or that does not stand by itself, is refused.
        """
        time = self._sequencer.time
        late_ms = parse_dump(content).time_ms + 1 - time()
        if late_ms > 0:
            self._seal([], offset_ms=time.offset_ms() + late_ms)
        return self.operate(LoadState(content))

    # --- blocks and time -------------------------------------------------------------------------

    def mine(self, blocks: int, step_ms: int = 0) -> list[Block]:
        """Make so many blocks, time moved on by `step_ms` before each, and return them."""
        made = []
        for _ in range(blocks):
            offset_ms = self._sequencer.time.offset_ms() + step_ms if step_ms else None
            made.append(self._seal([], offset_ms=offset_ms))
        return made

    def increase_time(self, by_ms: int) -> int:
        """Move time on, seal a block that says so, and return the offset from the wall clock."""
        offset_ms = self._sequencer.time.offset_ms() + by_ms
        self._seal([], offset_ms=offset_ms)
        return offset_ms

    def set_time(self, time_ms: int) -> int:
        """Let it be a time now, in a block that says so; return how far that is from before.

        Raises OperationRefused for a time before the head's.
        """
        self._require_later(time_ms)
        time = self._sequencer.time
        now_ms = time()
        self._seal([], offset_ms=time.offset_ms() + time_ms - now_ms)
        return time_ms - now_ms

    def set_next_time(self, time_ms: int) -> None:
        """Give the next block exactly this time, whoever makes it; from then on time goes on.

        Raises OperationRefused for a time before the head's.
        """
        self._require_later(time_ms)
        self._sequencer.time.exact_ms = time_ms

    def set_step(self, step_ms: int | None) -> bool:
        """Let each block be so long after its parent, or as the clock says; tell if it was set."""
        time = self._sequencer.time
        was_set = time.step_ms is not None
        time.step_ms = step_ms
        return was_set

    def fast_forward(self, by_ms: int) -> int:
        """Let time pass with blocks and prices on the way; return how many blocks it took.

        Each block repeats every market's last price in the name of its reporters, and none comes
        too late: no gap, no stale price, funding accrues.
        """
        ledger = self._blockchain.ledger_after(self._blockchain.head.block)
        ages = [ledger.market_params(each).price_age_ms_max for each in ledger.market_ids]
        step_ms = min(STEP_MS_MAX, ledger.params.gap_ms_max, *ages) * 9 // 10
        time = self._sequencer.time
        count = max(1, -(-by_ms // step_ms))
        began_ms, offset_ms = time(), time.offset_ms()
        for number in range(1, count + 1):
            passed_ms = by_ms * number // count
            observed_ms = TimeMs(began_ms + by_ms * (number - 1) // count)
            self._seal([RepeatPrices(observed_ms)], offset_ms=offset_ms + passed_ms)
        return count

    # --- back ------------------------------------------------------------------------------------

    def snapshot(self) -> int:
        """Remember the head, durably, in constant time; return the snapshot's number."""
        kv = self._blockchain.store.kv
        head = self._blockchain.head
        number = int(kv.get(keys.MARKS_ROW) or b"0")
        row = keys.development_mark_row(number)
        kv.write([(row, head.block.hash), (keys.MARKS_ROW, b"%d" % (number + 1))])
        self._keep(number, head)
        return number

    def revert(self, number: int) -> bool:
        """Go back to a snapshot, which is used up with all later ones; False: there is none.

        One that a fork or another revert took out of the chain is none.
        """
        kv = self._blockchain.store.kv
        found = kv.get(keys.development_mark_row(number)) if number < 2**63 else None
        block = None if found is None else self._blockchain.store.load_block(Hash32(found))
        rows = [row for row, _ in kv.items(keys.DEVELOPMENT_MARKS)]
        used = [row for row in rows if found and row >= keys.development_mark_row(number)]
        derived = self._derived.get(number)
        self._derived = OrderedDict(each for each in self._derived.items() if each[0] < number)
        is_done = block is not None and self._go_back(block, derived)
        kv.write([], used)
        return is_done

    def rollback(self, depth: int) -> None:
        """Go back by so many blocks; raise OperationRefused where there are none."""
        with self._blockchain.write_lock:  # nobody seals in between
            self._go_back_to(self._block_below(depth, "Rollback"))

    def reorg(self, wishes: Sequence[Sequence[Wish]]) -> None:
        """Leave as many blocks as there are `wishes`, and make as many others in their place.

        Each holds what is wished for it, nothing that waits, and no price. Before a block is left,
        InvalidTransaction, OperationRefused or ActionImpossible says what can't be.
        """
        blockchain, sequencer = self._blockchain, self._sequencer
        with blockchain.write_lock:
            block = self._block_below(len(wishes), "Reorg")
            held = sequencer.submissions.hold.current
            if held is not None:
                raise ActionImpossible(f"the node is {held.text()}")
            sequencer.require_not_halted(block)
            bodies = arrange(wishes, blockchain.ledger_after(block), blockchain.genesis)
            self._go_back_to(block)
            for body in bodies:
                self._wait_until_open()
                sequencer.seal_exactly(body.transactions, body.calls)

    def reset(self) -> None:
        """Go back to block 0; raise OperationRefused behind a fork."""
        self.rollback(self._blockchain.head.block.header.number)

    def marks(self) -> Sequence[tuple[int, Block]]:
        """Return the snapshots that one could go back to: number and block."""
        store = self._blockchain.store
        rows = [
            (row, store.load_block(Hash32(each)))
            for row, each in store.kv.items(keys.DEVELOPMENT_MARKS)
        ]
        return [(int.from_bytes(row[1:], "big"), block) for row, block in rows if block]

    # --- whom to impersonate ---------------------------------------------------------------------

    def impersonate(self, address: Address) -> None:
        """Let requests send in an account's name."""
        self._impersonated.add(address)

    def stop_impersonating(self, address: Address) -> None:
        """End that."""
        self._impersonated.discard(address)

    def impersonate_all(self, is_on: bool) -> None:
        """Let requests send in everybody's name, or no longer."""
        self._impersonates_all = is_on

    def impersonated(self) -> Sequence[Address]:
        """Return the accounts in whose name requests may send, one by one, ascending."""
        return sorted(self._impersonated)

    def is_impersonated(self, address: Address) -> bool:
        """Tell whether requests may send in an account's name."""
        return self._impersonates_all or address in self._impersonated

    # --- pace ------------------------------------------------------------------------------------

    def set_automine(self, is_on: bool) -> None:
        """Seal with every transaction; or no longer, and then by itself not at all."""
        sequencer = self._sequencer
        if is_on != sequencer.is_instant:
            sequencer.set_pace(instant=is_on, interval_ms=0)

    def set_interval(self, interval_ms: int) -> None:
        """Seal every so often; 0: not by itself."""
        self._sequencer.set_pace(instant=False, interval_ms=interval_ms)

    def is_automine(self) -> bool:
        """Tell whether a block follows each transaction."""
        return self._sequencer.is_instant

    def interval_ms(self) -> int | None:
        """Return how often blocks come by themselves, None if they don't."""
        return self._sequencer.interval_ms

    # --- pool and log ----------------------------------------------------------------------------

    def drop(self, tx_hash: Hash32) -> bool:
        """Take a transaction out of the mempool; tell whether it waited."""
        return self._mempool.drop(tx_hash)

    def drop_all(self) -> None:
        """Empty the mempool."""
        self._mempool.clear()

    def drop_sender(self, sender: Address) -> None:
        """Take all of a sender's transactions out of the mempool."""
        self._mempool.drop_sender(sender)

    def set_logging(self, is_on: bool) -> None:
        """Let this node write its log, or only what goes wrong."""
        level = logging.NOTSET if is_on else logging.ERROR
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(level))

    # --- within ----------------------------------------------------------------------------------

    def _block_below(self, depth: int, what: str) -> Block:
        """Return the block so far below the head; raise OperationRefused, in anvil's words."""
        height = self._blockchain.head.block.header.number
        if not 0 <= depth <= height:
            raise OperationRefused(
                f"{what} depth must not exceed current chain height: "
                f"current height {height}, depth {depth}"
            )
        block = self._blockchain.block_at(Height(height - depth))
        assert block is not None, "every height up to the head has a block"
        return block

    def _go_back_to(self, block: Block) -> None:
        """Make an earlier block the head; raise OperationRefused for one behind a fork."""
        if not self._go_back(block, None):
            raise OperationRefused(
                f"block {block.header.number} is behind a fork: nothing goes back there"
            )

    def _seal(self, operations: Sequence[Operation], *, offset_ms: int | None = None) -> Block:
        self._wait_until_open()
        try:
            return self._sequencer.seal_operations(operations, offset_ms=offset_ms)
        except InvalidBlock as refusal:
            cause = refusal.__cause__
            raise (
                cause if isinstance(cause, OperationRefused) else OperationRefused(str(refusal))
            ) from None

    def _wait_until_open(self) -> None:
        """Wait while validators are behind; raise ActionImpossible where no block can be made."""
        waited_s = 0.0
        while (phase := self._sequencer.phase()).name != OPEN:
            if phase.name != LAGGING or waited_s >= LAG_S:
                raise ActionImpossible(phase.reason)
            self._pause.wait(LOOK_S)
            waited_s += LOOK_S

    def _go_back(self, block: Block, derived: Derived | None) -> bool:
        """Make an earlier block of this branch the head; False if it is none."""
        blockchain, sequencer = self._blockchain, self._sequencer
        with blockchain.write_lock:
            head = blockchain.head.block
            is_here = blockchain.store.load_canonical(block.header.number) == block.hash
            if not is_here or block.extension.fork_id != head.extension.fork_id:
                return False
            if sequencer.recovery.is_forking():
                raise ActionImpossible("a fork is being carried out: go back when it is done")
            if sequencer.phase().name == STOPPED:
                derived = None  # what a fault left in memory or in a table may be why
                blockchain.distrust_flat_table()
            offset_ms = 0  # block 0 may be months old: block 1 is now, as on a fresh chain
            if block.header.number > 0:
                offset_ms = block.extension.time_ms - sequencer.wall_ms()
            blockchain.revert_to(
                block, blockchain.next_epoch() + 1, offset_ms=offset_ms, derived=derived
            )
        log.warning("reverted", height=block.header.number, dev_epoch=blockchain.next_epoch())
        return True

    def _require_later(self, time_ms: int) -> None:
        """Raise OperationRefused for a time before the head's, in anvil's words."""
        if time_ms // 1_000 < self._blockchain.head.block.header.timestamp:
            raise OperationRefused(
                f"Timestamp error: {time_ms // 1_000} is lower than previous block's timestamp"
            )

    def _keep(self, number: int, head: Head) -> None:
        self._derived[number] = head.derived.read_by(self._blockchain.proof_state(head.block))
        while len(self._derived) > DERIVED_KEPT:
            self._derived.popitem(last=False)
