"""A running node's fork: the plan, who built the same block, gate and catch-up, what is served."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.certificate import Certificate, IndexedSignature, attestation_bytes
from node.chain.domains import Kind, signed_bytes
from node.chain.store import BlockStore
from node.consensus.hold import Held, Hold
from node.consensus.mempool import Mempool
from node.consensus.messages import (
    Changes,
    ForkConfirmation,
    GetChanges,
    GetForkConfirmations,
    RecordRow,
)
from node.consensus.phase import FORKING, OPEN, STOPPED
from node.consensus.recovery import Recovery
from node.consensus.sequencer import Sequencer
from node.consensus.served import ServedBranch
from node.crypto import ed25519_sign
from node.errors import ActionImpossible, NotEnoughSignatures, PlanRefused
from node.perp.account import EXCHANGE
from node.snapshot.approval import encode_signed_plan
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.plan import Plan, encode_plan
from node.state.kv import MemoryDb
from node.units import Hash32, Height, TimeMs
from tests.helpers.chain import Person
from tests.snapshot.story import (
    COUNCIL,
    SEEDS,
    SEQUENCER_SEED,
    approve,
    certify,
    export,
    plan_of,
    tell_story,
)


class Case:
    """A chain that was traded on, a certified snapshot, a plan, and one node's recovery."""

    def __init__(self, path: Path, *, restart_power_ppm: int = 0) -> None:
        self.kv = MemoryDb()
        self.story = tell_story(self.kv, validators=True, restart_power_ppm=restart_power_ppm)
        self.directory = SnapshotDirectory(path / "snapshots")
        manifest = export(self.story.chain, self.story.snapshot, self.directory)
        certify(self.story.chain, self.directory, manifest)
        self.plan: Plan = plan_of(self.story, manifest)
        self.data = encode_signed_plan(approve(self.plan))
        self.hold = Hold(path / "hold")
        self.recovery = self.make(self.blockchain)

    @property
    def blockchain(self) -> Blockchain:
        return self.story.chain.blockchain

    @property
    def clock(self) -> Callable[[], int]:
        return lambda: self.plan.header.time_ms

    def make(self, blockchain: Blockchain, *, asks_operator: bool = False) -> Recovery:
        """Return a node's recovery over a chain."""
        return Recovery(
            blockchain,
            self.hold,
            clock_ms=self.clock,
            directory=self.directory,
            asks_operator=asks_operator,
        )

    def lay_hold(self) -> None:
        """Have the council's halt hold this node."""
        self.hold.lay(Held(Hash32(bytes(32)), 0, Height(9), b"halt"))

    def twin(self) -> Blockchain:
        """Return another node with the same blocks."""
        kv = MemoryDb(dict(self.kv.items(b"")))
        return Blockchain(self.story.genesis, kv, BlockStore(kv, None))

    def confirm(
        self,
        validator: int,
        block: Block,
        *,
        block_hash: Hash32 | None = None,
        seed: int | None = None,
    ) -> ForkConfirmation:
        """Have a validator say that it built a fork block."""
        told, root = block_hash or block.hash, block.header.state_root
        message = signed_bytes(Kind.FORK, self.blockchain.identity_of(block), told, root)
        signature = ed25519_sign(SEEDS[validator if seed is None else seed], message)
        return ForkConfirmation(block.header.number, told, root, validator, signature)


@pytest.fixture
def case(tmp_path: Path) -> Case:
    return Case(tmp_path)


# --- the plan -------------------------------------------------------------------------------------


def test_a_plan_is_carried_out_once(case: Case) -> None:
    first, again = case.recovery.submit(case.data), case.recovery.submit(case.data)

    assert (first.is_new, again.is_new) == (True, False)
    assert first.block == again.block == case.blockchain.head.block
    assert case.recovery.signed_plans(0) == [case.data]


def test_too_few_signatures_change_nothing(case: Case) -> None:
    head = case.blockchain.head.block

    with pytest.raises(NotEnoughSignatures):
        case.recovery.submit(encode_signed_plan(approve(case.plan, COUNCIL[:1])))

    assert case.blockchain.head.block == head
    assert case.recovery.phase() is None


def certify_head(case: Case) -> None:
    """Have three validators attest the head."""
    blockchain, block = case.blockchain, case.blockchain.head.block
    height = block.header.number
    message = attestation_bytes(blockchain.identity_of(block), height, block.hash)
    signatures = tuple(
        IndexedSignature(index, ed25519_sign(seed, message)) for index, seed in enumerate(SEEDS[:3])
    )
    blockchain.add_certificate(Certificate(height, block.hash, signatures))


def test_a_plan_leaves_what_was_sealed_and_not_certified_after_its_tip(case: Case) -> None:
    certify_head(case)
    case.story.chain.seal()

    assert case.recovery.submit(case.data).is_new


def test_a_plan_of_a_chain_that_went_on_is_refused(case: Case) -> None:
    case.story.chain.seal()
    certify_head(case)

    with pytest.raises(PlanRefused, match=r"orphan_tip\.height.*halt, plan anew"):
        case.recovery.submit(case.data)


def test_an_operator_who_wants_to_be_asked_is(case: Case) -> None:
    careful = case.make(case.twin(), asks_operator=True)

    told: list[bytes] = []
    careful.on_carried(told.append)

    assert not careful.on_plan("validator 1", case.data)
    assert not careful.on_plan("validator 2", case.data)
    assert careful.fork is None
    assert told == [case.data], "it passes on what it verified"
    assert careful.submit(case.data).is_new


def few_signed(case: Case) -> bytes:
    """Return the plan with fewer signatures than the threshold."""
    return encode_signed_plan(approve(case.plan, COUNCIL[:1]))


def test_a_refused_plan_is_no_obstacle_to_the_good_one(case: Case) -> None:
    assert not case.recovery.on_plan("validator 1", few_signed(case))
    assert case.recovery.on_plan("validator 2", case.data)


def test_a_plan_that_lacked_something_is_tried_again(case: Case, tmp_path: Path) -> None:
    now = case.plan.header.time_ms
    directory = SnapshotDirectory(tmp_path / "later")
    recovery = Recovery(case.twin(), Hold(), clock_ms=lambda: now, directory=directory)
    assert not recovery.on_plan("validator 1", case.data)

    manifest = export(case.story.chain, case.story.snapshot, directory)
    certify(case.story.chain, directory, manifest)
    assert not recovery.on_tick(), "not at once"
    assert not recovery.on_plan("validator 2", few_signed(case)), "and takes nobody's place"
    now = TimeMs(now + 5_000)

    assert recovery.on_tick()


def test_a_peers_bad_plan_is_dropped(case: Case) -> None:
    bad = encode_signed_plan(approve(case.plan, [Person("outsider"), COUNCIL[0]]))

    assert not case.recovery.on_plan("validator 1", b"nonsense")
    assert not case.recovery.on_plan("validator 1", bad)
    assert case.recovery.fork is None


def test_a_plan_waits_until_its_snapshots_block_is_here(case: Case) -> None:
    kv = MemoryDb()
    late = Blockchain(case.story.genesis, kv, BlockStore(kv, None))
    recovery = case.make(late)

    assert not recovery.on_plan("validator 1", few_signed(case)), "and waits in nobody's place"
    assert not recovery.on_plan("the sequencer", case.data)
    assert not recovery.on_tick()
    for height in range(1, case.plan.snapshot.height + 1):
        block = case.blockchain.block_at(Height(height))
        assert block is not None
        late.import_block(block)
    case.recovery.submit(case.data)

    assert recovery.on_tick()
    assert late.head.block == case.blockchain.head.block


# --- the gate -------------------------------------------------------------------------------------


def test_genesis_says_how_much_power_restarts_the_chain(tmp_path: Path) -> None:
    strict = Case(tmp_path, restart_power_ppm=1_000_000)
    block = strict.recovery.submit(strict.data).block

    for validator in (0, 1, 2):
        strict.recovery.on_confirmation("v", strict.confirm(validator, block))
    assert not strict.recovery.is_open()
    strict.recovery.on_confirmation("v", strict.confirm(3, block))

    assert strict.recovery.is_open()


def test_the_gate_opens_when_enough_power_built_the_same(case: Case) -> None:
    passed: list[bool] = []
    case.recovery.on_passed(lambda: passed.append(True))
    case.lay_hold()
    block = case.recovery.submit(case.data).block

    for validator in (0, 1):
        assert case.recovery.on_confirmation("v", case.confirm(validator, block)) == (True, [])
        assert not case.recovery.is_open()
    assert case.recovery.on_confirmation("v", case.confirm(1, block)) == (False, [])
    phase = case.recovery.phase()
    assert phase is not None
    assert phase.name == FORKING
    assert "2 of 4 power" in phase.reason
    assert case.hold.current is not None

    case.recovery.on_confirmation("v", case.confirm(2, block))

    assert case.recovery.is_open()
    assert passed == [True]
    assert case.hold.current is None
    assert case.recovery.is_catching_up()


def test_a_report_that_somebody_else_signed_counts_for_nothing(case: Case) -> None:
    block = case.recovery.submit(case.data).block

    for validator in (1, 2, 3, 4, 99):
        forged = case.confirm(0, block)._replace(validator=validator)
        assert case.recovery.on_confirmation("v", forged) == (False, [])

    assert case.recovery.power() == 0


def test_confirmations_outlive_a_restart(case: Case) -> None:
    block = case.recovery.submit(case.data).block
    case.lay_hold()
    for validator in (0, 1, 3):
        case.recovery.on_confirmation("v", case.confirm(validator, block))

    again = case.make(case.blockchain)

    assert again.is_open()
    assert again.confirmations() == case.recovery.confirmations()
    assert case.hold.current is None


def test_a_differing_report_stops_everything_and_names_the_key(case: Case) -> None:
    block = case.recovery.submit(case.data).block
    other = case.confirm(3, block, block_hash=Hash32(b"\7" * 32))

    is_new, questions = case.recovery.on_confirmation("validator 3", other)

    assert is_new
    assert questions == [GetChanges(block.header.number, other.block_hash)]
    for validator in (0, 1, 2):
        case.recovery.on_confirmation("v", case.confirm(validator, block))
    assert not case.recovery.is_open()
    phase = case.recovery.phase()
    assert phase is not None
    assert phase.name == STOPPED
    assert "validator 3 built block 0x0707" in phase.reason

    key = next(key for key, _ in case.blockchain.head.state.records(EXCHANGE, b""))
    wrong = RecordRow(EXCHANGE, Hash32(key), False, b"")
    case.recovery.on_changes(Changes(block.header.number, other.block_hash, (), (wrong,)))
    phase = case.recovery.phase()
    assert phase is not None
    assert "there, " in phase.reason
    assert "here" in phase.reason

    case.recovery.on_confirmation("validator 3", case.confirm(3, block))
    assert case.recovery.is_open()


# --- the catch-up ---------------------------------------------------------------------------------


def make_sequencer(case: Case) -> tuple[Sequencer, Mempool]:
    mempool = Mempool(case.blockchain)
    sequencer = Sequencer(
        case.blockchain,
        mempool,
        block_time_ms=100,
        instant=False,
        clock_ms=case.clock,
        seed=SEQUENCER_SEED,
        hold=case.hold,
        recovery=case.recovery,
    )
    return sequencer, mempool


def test_a_chain_that_goes_on_is_not_forked(case: Case) -> None:
    sequencer, _ = make_sequencer(case)

    with pytest.raises(ActionImpossible, match="halt it first"):
        sequencer.submit_plan(case.data)


def test_the_sequencer_seals_nothing_before_the_gate_and_empty_blocks_after_it(case: Case) -> None:
    sequencer, mempool = make_sequencer(case)
    waiting = case.story.maker.call("Exchange", "deposit", 1_000_000)
    mempool.add(waiting)
    case.lay_hold()
    block = sequencer.submit_plan(case.data).block
    assert len(mempool) == 0
    assert sequencer.seal() == 0
    with pytest.raises(ActionImpossible, match="more are needed"):
        sequencer.seal_operations([])
    assert case.blockchain.head.block == block
    for validator in (0, 1, 2):
        report = case.confirm(validator, block)
        assert sequencer.on_message(f"validator {validator}", report) == []
        question = GetForkConfirmations(case.plan.fork_id)
        assert report in sequencer.on_message("validator 3", question)

    while case.recovery.is_catching_up():
        sequencer.seal()

    head = case.blockchain.head.block
    assert head.header.number == case.plan.orphan_tip.height + 1
    assert head.extension.time_ms == case.plan.restart_ms
    assert sequencer.phase().name in (OPEN, "lagging")
    for height in range(block.header.number + 1, head.header.number + 1):
        sealed = case.blockchain.block_at(Height(height))
        assert sealed is not None
        assert not [tx for tx in sealed.transactions if tx.max_fee]


# --- what clients see -----------------------------------------------------------------------------


def test_the_old_head_is_served_until_the_chain_is_beyond_it(case: Case) -> None:
    old = case.blockchain.head.block
    left: list[int] = []
    heads: list[int] = []
    served = ServedBranch(case.blockchain, case.recovery)
    served.on_left(lambda block, _: left.append(block.header.number))
    served.on_head(lambda block, _: heads.append(block.header.number))
    orphaned = old.transactions[0].hash

    fork = case.recovery.submit(case.data).block.header.number
    for validator in (0, 1, 2):
        assert served.latest == old
        report = case.confirm(validator, case.blockchain.head.block)
        case.recovery.on_confirmation("v", report)
    time_ms = case.plan.header.time_ms
    while case.recovery.is_catching_up():
        assert served.latest == old
        assert served.block_at(old.header.number) == old
        assert served.find_place(orphaned) is not None
        assert (left, heads) == ([], [])
        time_ms = TimeMs(time_ms + 1)
        case.blockchain.commit(case.blockchain.execute((), time_ms))

    head = case.blockchain.head.block
    assert served.latest == head
    assert head.header.number == old.header.number + 1
    assert left == list(range(old.header.number, fork - 1, -1))
    assert heads == list(range(fork, head.header.number + 1))
    assert served.find_place(orphaned) is None
    assert served.block_on_fork(0, old.header.number) == old


def test_a_node_that_starts_in_between_serves_the_old_head_too(case: Case) -> None:
    old = case.blockchain.head.block
    case.recovery.submit(case.data)

    again = ServedBranch(case.blockchain, case.make(case.blockchain))

    assert again.latest == old


def test_plan_text_is_what_was_signed(case: Case) -> None:
    case.recovery.submit(case.data)

    assert encode_plan(case.plan) in case.recovery.signed_plans(0)[0]
