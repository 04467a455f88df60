"""Carrying out a fork plan: staged, with a durable marker, one flip of the head.

    plan verified → F built → marker written → F written → head flipped → sign state bumped

Up to the marker a crash leaves the old head, and the same command starts over; from the marker on
whoever opens the database finishes. The same plan again is a no-op, another one for the same
fork_id is refused. Runs in the thread that commits, or while nobody does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from node.chain import keys
from node.chain.block import Block, encode_block, encode_receipts
from node.chain.blockchain import Blockchain
from node.chain.branches import build_flip
from node.chain.crash import crash_point
from node.chain.transaction import Transaction
from node.errors import BodyMismatch, HeaderMismatch
from node.snapshot.check import find_applied
from node.snapshot.fork import build_fork_block, load_forks
from node.snapshot.plan import Plan, decode_plan, encode_plan, plan_hash
from node.state.flat import untag_row
from node.units import Height, TimeMs

BumpSignState = Callable[[Block], None]
"""Moves the sign guard to the branch of a fork block, durably; called again at each start."""


def apply_plan(
    blockchain: Blockchain, plan: Plan, bump_sign_state: BumpSignState = lambda _: None
) -> Block:
    """Carry out a verified plan and return the fork block, which is the head then."""
    with blockchain.write_lock:
        done = find_applied(blockchain, plan)
        if done is not None:
            block = blockchain.store.load_block(done)
            assert block is not None, "the index names blocks that are kept"
            bump_sign_state(block)
            return block
        crash_point("fork: plan verified")
        return _carry_out(blockchain, plan, bump_sign_state)


def resume_fork(
    blockchain: Blockchain, bump_sign_state: BumpSignState = lambda _: None
) -> Block | None:
    """Finish a fork that a crash interrupted; None if none was.

    Called at each start, before anything is sealed or signed.
    """
    with blockchain.write_lock:
        marker = blockchain.store.kv.get(keys.FORK_ROW)
        if marker is not None:
            return _carry_out(blockchain, decode_plan(marker), bump_sign_state)
        for fork in load_forks(blockchain)[-1:]:
            block = blockchain.block_at(fork.height)
            head = blockchain.head.block
            if block is not None:  # else the node was restored from a later snapshot
                bump_sign_state(block)
            blockchain.store.save_head_file(head.header.number, head.hash)
        return None


def _carry_out(blockchain: Blockchain, plan: Plan, bump_sign_state: BumpSignState) -> Block:
    kv = blockchain.store.kv
    executed = build_fork_block(blockchain, plan)
    block = executed.block
    crash_point("fork: F built")
    document = encode_plan(plan)
    kv.write([(keys.FORK_ROW, document), (keys.plan_row(plan_hash(plan)), document)])
    crash_point("fork: marker written")
    rows = [
        *executed.commit.puts,
        (keys.block_row(block.hash), encode_block(block)),
        (keys.receipts_row(block.hash), encode_receipts(executed.receipts)),
    ]
    kv.write(rows, executed.commit.deletes)
    crash_point("fork: F written")
    flip = build_flip(blockchain.store, block)
    # The flat table is made anew: what it held of the branch that is left may be why it is left.
    untag = untag_row(keys.STATE_TABLES)
    kv.write([*flip.puts, untag], [*flip.deletes, keys.FORK_ROW])
    crash_point("fork: head flipped")
    bump_sign_state(block)
    crash_point("fork: sign state bumped")
    blockchain.store.save_head_file(block.header.number, block.hash)
    blockchain.switch_head(block)
    return block


# --- after the fork -------------------------------------------------------------------------------


def catch_up_until(blockchain: Blockchain) -> Height | None:
    """Return the last height of the catch-up after the newest fork; None if it is behind us.

    Until then the sequencer seals empty blocks, 1 ms after each other, as soon as the restart gate
    is passed; RPC serves the old head, and flips `latest` when this height is reached.
    """
    forks = load_forks(blockchain)
    if not forks:
        return None
    last = forks[-1].last_restart_height
    return last if blockchain.head.block.header.number < last else None


def check_catch_up(
    blockchain: Blockchain, height: Height, time_ms: TimeMs, transactions: Sequence[Transaction]
) -> None:
    """Raise InvalidBlock unless a successor of the head keeps to the catch-up, while it lasts."""
    if catch_up_until(blockchain) is None:
        return
    if transactions:
        raise BodyMismatch(height, "transactions of a catch-up block", len(transactions), 0)
    expected = blockchain.head.block.extension.time_ms + 1
    if time_ms != expected:
        raise HeaderMismatch(height, "time_ms of a catch-up block", time_ms, expected)
