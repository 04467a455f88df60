"""The fork block: what it does, what it leaves alone, and how it becomes the head."""

from pathlib import Path
from typing import Any

import pytest

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.branches import load_on_branch, load_orphaned_place
from node.chain.store import BlockStore
from node.chain.transition import decode_transition
from node.crypto import checksum_address
from node.errors import InvalidBlock, NonceTooLow, PlanRefused
from node.governance.action import Halt
from node.governance.audit import EMPTY_LOG, append_entry, make_entry
from node.perp.account import get_position
from node.perp.events import ForkStarted, ModeChanged, OrderCancelled, OrderReduced
from node.perp.order import CancelReason, Trigger, TriggerKind
from node.perp.status import Mode
from node.snapshot.apply import apply_plan, catch_up_until, check_catch_up, resume_fork
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.draft import make_plan, reference_of
from node.snapshot.fork import (
    build_fork_block,
    compute_kept,
    load_forks,
    named_snapshots,
    process_fork,
)
from node.snapshot.plan import Plan, decode_plan, encode_plan, plan_hash
from node.state.kv import LevelDb
from node.units import Address, Hash32, Height, Lots, OrderId, Quote, Ticks, TimeMs
from tests.helpers.chain import BTC, USDC, Chain, Person, make_genesis
from tests.snapshot.story import PRICE, Story, export, plan_of, tell_story


@pytest.fixture
def story() -> Story:
    return tell_story()


@pytest.fixture
def plan(story: Story, tmp_path: Path) -> Plan:
    manifest = export(story.chain, story.snapshot, SnapshotDirectory(tmp_path / "snapshots"))
    return plan_of(story, manifest)


def test_fork_block_is_a_function_of_snapshot_and_plan(
    story: Story, plan: Plan, tmp_path: Path
) -> None:
    twin = tell_story()
    twin.chain.seal()  # a twin that went another way after the snapshot

    here = build_fork_block(story.chain.blockchain, plan).block
    there = build_fork_block(twin.chain.blockchain, plan).block

    assert here == there
    assert here.header.number == story.snapshot.header.number + 1
    assert here.header.parent_hash == story.snapshot.hash
    assert here.extension.fork_id == 1
    assert len(here.transactions) == 1
    assert here.transactions[0].data == plan_hash(plan)


def test_fork_leaves_money_and_positions_as_the_snapshot_has_them(story: Story, plan: Plan) -> None:
    before = story.chain.blockchain.ledger_after(story.snapshot)
    balances = {address: row.balance for address, row in before.all_accounts()}
    positions = dict(before.all_positions())

    apply_plan(story.chain.blockchain, plan)

    after = story.chain.blockchain.ledger_after(story.chain.head)
    assert {address: row.balance for address, row in after.all_accounts()} == balances
    assert dict(after.all_positions()) == positions


def test_all_orders_go_but_take_profits_and_stop_losses(story: Story, plan: Plan) -> None:
    block = build_fork_block(story.chain.blockchain, plan).block
    events = [decode_transition(each) for each in block.transitions]

    apply_plan(story.chain.blockchain, plan)

    book = story.chain.blockchain.ledger_after(story.chain.head).book(BTC)
    assert not book.orders
    assert sorted(trigger.size for trigger in book.triggers.values()) == [-10, -10]
    cancelled = [event for event in events if isinstance(event, OrderCancelled)]
    assert sorted(event.size for event in cancelled) == [-5, 3]
    assert {event.reason for event in cancelled} == {CancelReason.FORK}
    # One take-profit asked for 50 lots of a position of 10.
    assert [e.size_before for e in events if isinstance(e, OrderReduced)] == [-50]
    assert isinstance(events[0], ForkStarted)


def test_nothing_signed_before_the_fork_is_includable_after(story: Story, plan: Plan) -> None:
    chain, maker = story.chain, story.maker
    presigned = maker.call("Exchange", "deposit", 1_000_000)

    apply_plan(chain.blockchain, plan)

    with pytest.raises(NonceTooLow):
        chain.blockchain.execute([presigned], TimeMs(chain.head.extension.time_ms + 1))
    maker.nonce = 1 << 32
    chain.time_ms = chain.head.extension.time_ms
    chain.seal(maker.call("Exchange", "deposit", 1_000_000))
    assert chain.receipts[0].status == 1


def test_prices_are_stale_and_modes_closed_until_reporters_are_back(
    story: Story, plan: Plan
) -> None:
    chain = story.chain
    apply_plan(chain.blockchain, plan)
    chain.time_ms = chain.head.extension.time_ms
    while catch_up_until(chain.blockchain) is not None:
        chain.seal(elapsed_ms=1)
    last = load_forks(chain.blockchain)[-1]
    assert chain.head.header.number == last.last_restart_height == plan.orphan_tip.height + 1
    assert chain.head.extension.time_ms == last.gap_until_ms

    ledger = chain.blockchain.ledger_after(chain.head)
    assert ledger.status.mode == Mode.CANCEL_ONLY
    oracle = ledger.oracles.get(BTC)
    assert oracle is not None
    assert oracle.stale
    modes = []
    for reporter in chain.reporters:
        reporter.nonce = 1 << 32
    for _ in range(30):
        observed = chain.time_ms + 100
        chain.seal(
            *(
                each.call("Oracle", "reportPrice", BTC, PRICE, observed, 1)
                for each in chain.reporters
            )
        )
        modes.append(chain.blockchain.ledger_after(chain.head).statuses.get(BTC))

    steps = [status.mode for status in modes if status is not None]
    assert steps[0] == Mode.CANCEL_ONLY
    assert Mode.POST_ONLY in steps
    assert steps[-1] == Mode.OPEN


def test_reports_of_the_branch_that_was_left_count_for_nothing(story: Story, plan: Plan) -> None:
    chain = story.chain
    apply_plan(chain.blockchain, plan)
    chain.time_ms = chain.head.extension.time_ms
    for reporter in chain.reporters:
        reporter.nonce = 1 << 32

    chain.seal(*chain.reports(PRICE))  # signed for fork 0, with good nonces

    oracle = chain.blockchain.ledger_after(chain.head).oracles.get(BTC)
    assert oracle is not None
    assert oracle.stale


def test_the_orphaned_branch_stays_readable(story: Story, plan: Plan) -> None:
    chain, blockchain = story.chain, story.chain.blockchain
    store = blockchain.store
    tip, height = chain.head, chain.head.header.number
    orphan = blockchain.block_at(Height(story.snapshot.header.number + 2))
    assert orphan is not None
    tx = orphan.transactions[-1]

    fork = apply_plan(blockchain, plan)

    assert blockchain.head.block == fork
    assert blockchain.block_at(Height(height)) is None
    assert store.load_block(tip.hash) == tip
    assert store.load_receipts(tip.hash)
    assert load_on_branch(store, 0, Height(height)) == tip.hash
    assert load_on_branch(store, 1, Height(height)) is None
    assert load_on_branch(store, 0, story.snapshot.header.number) == story.snapshot.hash
    assert load_on_branch(store, 1, story.snapshot.header.number) == story.snapshot.hash
    assert load_on_branch(store, 1, fork.header.number) == fork.hash
    assert load_on_branch(store, 0, fork.header.number) != fork.hash
    assert load_on_branch(store, 2, fork.header.number) is None
    assert store.load_place(tx.hash) is None
    place = load_orphaned_place(store, tx.hash)
    assert place is not None
    assert place.block_hash == orphan.hash
    assert blockchain.state_at(tip).get_account(story.maker.address) is not None


def test_same_plan_again_changes_nothing_and_another_is_refused(story: Story, plan: Plan) -> None:
    blockchain = story.chain.blockchain
    fork = apply_plan(blockchain, plan)
    story.chain.time_ms = fork.extension.time_ms
    head = story.chain.seal(elapsed_ms=1)

    assert apply_plan(blockchain, plan) == fork
    assert blockchain.head.block == head
    with pytest.raises(PlanRefused, match="plan hash"):
        apply_plan(blockchain, plan._replace(reason="another"))
    assert blockchain.head.block == head


def test_catch_up_takes_empty_blocks_one_millisecond_apart(story: Story, plan: Plan) -> None:
    chain = story.chain
    fork = apply_plan(chain.blockchain, plan)
    height, time_ms = Height(fork.header.number + 1), TimeMs(fork.extension.time_ms + 1)

    check_catch_up(chain.blockchain, height, time_ms, ())
    with pytest.raises(InvalidBlock, match="catch-up"):
        check_catch_up(chain.blockchain, height, TimeMs(time_ms + 1), ())
    story.maker.nonce = 1 << 32
    tx = story.maker.call("Exchange", "deposit", 1)
    with pytest.raises(InvalidBlock, match="catch-up"):
        check_catch_up(chain.blockchain, height, time_ms, (tx,))


def test_a_second_fork_leaves_both_branches_readable(
    story: Story, plan: Plan, tmp_path: Path
) -> None:
    chain, store = story.chain, story.chain.blockchain.store
    first_tip = chain.head
    first = apply_plan(chain.blockchain, plan)
    chain.time_ms = first.extension.time_ms
    second_tip = chain.seal(elapsed_ms=1)
    older = chain.blockchain.block_at(Height(story.snapshot.header.number - 1))
    assert older is not None
    manifest = export(chain, older, SnapshotDirectory(tmp_path / "older"))

    second = apply_plan(
        chain.blockchain,
        make_plan(
            chain.blockchain,
            reference_of(manifest),
            reason="again",
            time_ms=TimeMs(chain.time_ms + 1_000),
        ),
    )

    assert second.extension.fork_id == 2
    assert [fork.fork_id for fork in load_forks(chain.blockchain)][-1:] == [2]
    assert load_on_branch(store, 0, first_tip.header.number) == first_tip.hash
    assert load_on_branch(store, 1, second_tip.header.number) == second_tip.hash
    # The first snapshot's block is on both branches that were left, and on the new one no more.
    assert load_on_branch(store, 0, story.snapshot.header.number) == story.snapshot.hash
    assert load_on_branch(store, 1, story.snapshot.header.number) == story.snapshot.hash
    assert load_on_branch(store, 2, second.header.number) == second.hash


def test_reopened_database_stands_at_the_fork(tmp_path: Path) -> None:
    database = LevelDb(tmp_path / "db")
    story = tell_story(database, tmp_path / "HEAD")
    manifest = export(story.chain, story.snapshot, SnapshotDirectory(tmp_path / "snapshots"))
    bumped: list[Block] = []
    fork = apply_plan(story.chain.blockchain, plan_of(story, manifest), bumped.append)
    database.close()

    database = LevelDb(tmp_path / "db")
    blockchain = Blockchain(story.genesis, database, BlockStore(database, tmp_path / "HEAD"))
    assert resume_fork(blockchain, bumped.append) is None
    database.close()

    assert blockchain.head.block.hash == fork.hash
    assert bumped == [fork, fork]


def test_followers_import_what_comes_after_the_fork(story: Story, plan: Plan) -> None:
    twin: Chain = tell_story().chain
    apply_plan(story.chain.blockchain, plan)
    apply_plan(twin.blockchain, plan)
    story.chain.time_ms = story.chain.head.extension.time_ms

    for _ in range(4):
        twin.blockchain.import_block(story.chain.seal(elapsed_ms=1))

    assert twin.head.hash == story.chain.head.hash


def test_withdrawals_wait_for_the_gate_after_the_restart(story: Story, plan: Plan) -> None:
    apply_plan(story.chain.blockchain, plan)

    ledger = story.chain.blockchain.ledger_after(story.chain.head)

    gate = ledger.params.withdrawal_gate_ms
    assert ledger.status.withdrawals_from_ms == plan.restart_ms + gate
    assert ledger.status.gap_end_ms == plan.restart_ms


def test_premium_samples_are_cleared_and_the_index_stays(story: Story, plan: Plan) -> None:
    before = story.chain.blockchain.ledger_after(story.snapshot).fundings.get(BTC)

    apply_plan(story.chain.blockchain, plan)

    after = story.chain.blockchain.ledger_after(story.chain.head).fundings.get(BTC)
    assert before is not None
    assert after is not None
    assert after.premium_sum == 0
    assert after.index == before.index


def test_fork_from_a_halted_snapshot_opens_the_way_back(story: Story, tmp_path: Path) -> None:
    ledger = story.chain.blockchain.ledger_after(story.snapshot)
    ledger.set_status(ledger.status._replace(mode=Mode.HALTED, halt_height=Height(1)))
    manifest = export(story.chain, story.snapshot, SnapshotDirectory(tmp_path / "snapshots"))
    plan = plan_of(story, manifest)

    process_fork(ledger, plan, plan_hash(plan))

    assert ledger.status.mode == Mode.CANCEL_ONLY
    assert ledger.status.halt_height == 0
    modes = [event for event in ledger.events if isinstance(event, ModeChanged)]
    assert (modes[0].market, modes[0].mode_before, modes[0].mode) == (0, Mode.HALTED, 2)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, -4),
        ({"size": Lots(-50)}, -10),
        ({"size": Lots(4)}, 0),
        ({"reduce_only": False}, 0),
        ({"parent": OrderId(3)}, 0),
        ({"expires_ms": TimeMs(1_000)}, 0),
        ({"expires_ms": TimeMs(1_001)}, -4),
        ({"owner": Address(bytes(20))}, 0),
    ],
)
def test_what_a_fork_keeps_of_a_take_profit(
    story: Story, change: dict[str, Any], kept: int
) -> None:
    ledger = story.chain.blockchain.ledger_after(story.snapshot)
    trigger = Trigger(
        OrderId(9), story.taker.address, Lots(-4), Ticks(PRICE), TriggerKind.TAKE_PROFIT, Ticks(0)
    )

    assert compute_kept(ledger, BTC, trigger._replace(**change), TimeMs(1_000)) == kept


def test_a_pair_stays_or_goes_together(story: Story, tmp_path: Path) -> None:
    ledger = story.chain.blockchain.ledger_after(story.snapshot)
    book = ledger.book(BTC)
    first, second = sorted(book.triggers.values())
    book.put_trigger(first._replace(other=second.id))
    book.put_trigger(second._replace(other=first.id, expires_ms=TimeMs(1)))
    manifest = export(story.chain, story.snapshot, SnapshotDirectory(tmp_path / "snapshots"))
    plan = plan_of(story, manifest)

    process_fork(ledger, plan, plan_hash(plan))

    assert not ledger.book(BTC).triggers


def test_council_actions_of_the_branch_that_was_left_are_recorded_anew(
    story: Story, plan: Plan
) -> None:
    entries = []
    log = EMPTY_LOG
    for number in (1, 2):
        action = Halt(number, Hash32(bytes([number]) * 32), 0, 9, 9, "because")
        entry = make_entry(
            log,
            action,
            digest=Hash32(bytes(32)),
            signers=(story.maker.address,),
            height=Height(40),
            time_ms=TimeMs(5),
            fork_id=0,
            result=0,
        )
        entries.append(entry)
        log = append_entry(log, entry)
    carrying = plan._replace(audit=tuple(entries))
    assert decode_plan(encode_plan(carrying)) == carrying

    apply_plan(story.chain.blockchain, carrying)

    ledger = story.chain.blockchain.ledger_after(story.chain.head)
    assert ledger.audit_log == log
    assert [ledger.audit_entries.get(number) for number in (0, 1)] == entries
    assert ledger.action_uses.get(Hash32(bytes([2]) * 32)) is not None


def test_snapshots_that_forks_name_are_known(story: Story, plan: Plan) -> None:
    assert named_snapshots(story.chain.blockchain) == set()

    apply_plan(story.chain.blockchain, plan)

    wanted = {SnapshotId(0, story.snapshot.header.number)}
    assert named_snapshots(story.chain.blockchain) == wanted


def test_liquidations_that_the_fork_reverses_are_told(tmp_path: Path) -> None:
    """10,000 lots at 400,000 ticks are 40,000 USDC; 4.5 % less is 1,800, and margin was 2,200."""
    maker, taker = Person("maker"), Person("taker")
    genesis = make_genesis([maker, taker], margin=2_200 * USDC)
    richer = [
        each._replace(margin=Quote(900_000 * USDC)) if each.address == maker.address else each
        for each in genesis.accounts
    ]
    chain = Chain(genesis._replace(accounts=tuple(richer)))
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(-10_000, PRICE))
    snapshot = chain.seal(*chain.reports(PRICE), taker.order(10_000, PRICE, tif=1))
    manifest = export(chain, snapshot, SnapshotDirectory(tmp_path / "snapshots"))
    chain.seal(*chain.reports(PRICE), maker.order(10_000, PRICE - 20_000))
    for step in (8_000, 16_000, 18_000, 18_000):
        for _ in range(11):
            chain.seal(*chain.reports(PRICE - step))

    plan = make_plan(
        chain.blockchain, reference_of(manifest), reason="", time_ms=TimeMs(chain.time_ms + 60_000)
    )

    rows = plan.totals["liquidations_reversed"]
    assert [row["account"] for row in rows] == [checksum_address(taker.address)]
    assert rows[0]["fills"] > 0
    fork = apply_plan(chain.blockchain, plan)
    ledger = chain.blockchain.ledger_after(fork)
    assert get_position(ledger, taker.address, BTC).size == 10_000
    sums = plan.totals["equity"]["totals"]
    assert [sums[moment]["sum"] for moment in ("before", "after")] == ["0", "0"]
