"""Council actions on their way: into the next block, or into a hold where there is none."""

from pathlib import Path
from typing import Any

import pytest

from node.chain import keys
from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.consensus.hold import FILE, Hold
from node.consensus.mempool import Mempool
from node.consensus.messages import CouncilAction, Message
from node.consensus.phase import OPEN, STOPPED
from node.consensus.sequencer import Sequencer
from node.consensus.submissions import Outcome
from node.consensus.validator import ValidatorNode
from node.errors import (
    ActionExpired,
    ActionImpossible,
    ActionNonceUsed,
    HeaderMismatch,
    MalformedCalldata,
    NotEnoughSignatures,
    NotHalted,
    UnknownSigner,
)
from node.governance.action import (
    Action,
    CancelOrders,
    Domain,
    Halt,
    Kind,
    Resume,
    SetMode,
    compute_digest,
)
from node.governance.audit import AuditEntry, AuditLog, entry_hash, is_whole
from node.perp.status import Mode
from node.state.kv import MemoryDb
from node.system.contracts import GOVERNANCE
from node.system.governance import (
    Signed,
    encode_ended_hold,
    encode_submission,
    get_audit_entries,
)
from node.units import Height
from tests.helpers.chain import BTC, Person, make_genesis
from tests.helpers.council import MEMBERS, OUTSIDER, make, sign_action, with_council

BROKEN = HeaderMismatch(9, "state_root", 0, 1)
"""What refused a block, as far as a sequencer is concerned that stopped for it."""


class Node:
    """A sequencer that seals when it is told to."""

    def __init__(self, hold: Hold | None = None, database: MemoryDb | None = None) -> None:
        self.sender = Person("sender")
        genesis = with_council(make_genesis([self.sender]))
        self.database = database = database or MemoryDb()
        self.blockchain = Blockchain(genesis, database, BlockStore(database, None))
        self.now_ms = genesis.time_ms
        self.mempool = Mempool(self.blockchain)
        self.sequencer = Sequencer(
            self.blockchain,
            self.mempool,
            block_time_ms=100,
            instant=False,
            clock_ms=lambda: self.now_ms,
            hold=hold,
        )
        self.published: list[Message] = []
        """Council actions that the peers were told of."""
        self.sequencer.on_publish(self._note)

    def _note(self, message: Message) -> None:
        if isinstance(message, CouncilAction):
            self.published.append(message)

    @property
    def height(self) -> int:
        return self.blockchain.head.block.header.number

    @property
    def mode(self) -> Mode:
        return Mode(self.blockchain.ledger_after(self.blockchain.head.block).status.mode)

    def seal(self) -> int:
        self.now_ms += 100  # type: ignore[assignment]
        return self.sequencer.seal()

    def submission(self, action: Action, members: Any = MEMBERS[:3]) -> bytes:
        domain = Domain(self.blockchain.genesis.chain_id, self.blockchain.genesis_hash)
        return encode_submission(action, sign_action(action, domain, members))

    def ended_hold(self, halt: Action, resume: Action) -> bytes:
        domain = Domain(self.blockchain.genesis.chain_id, self.blockchain.genesis_hash)
        return encode_ended_hold(
            *(Signed(action, sign_action(action, domain)) for action in (halt, resume))
        )

    def audit(self) -> list[AuditEntry]:
        ledger = self.blockchain.ledger_after(self.blockchain.head.block)
        return get_audit_entries(ledger, 0, 100)

    def submit(self, action: Action, members: Any = MEMBERS[:3]) -> Outcome:
        return self.sequencer.submit_action(self.submission(action, members)).outcome


@pytest.fixture
def node() -> Node:
    made = Node()
    made.seal()
    return made


# --- into a block ---------------------------------------------------------------------------------


def test_an_action_is_in_the_next_block_and_no_longer_waits(node: Node) -> None:
    assert node.submit(make(Halt, height=0)) == Outcome.QUEUED
    assert len(node.sequencer.submissions.waiting()) == 1

    node.seal()

    assert node.mode == Mode.HALTED
    assert node.sequencer.submissions.waiting() == []


def test_peers_are_told_of_it(node: Node) -> None:
    data = node.submission(make(Halt, height=0))

    node.sequencer.submit_action(data)

    assert node.published == [CouncilAction(data)]


def test_the_same_action_again_is_the_same_and_later_it_is_used(node: Node) -> None:
    action = make(Halt, height=0)
    assert node.submit(action) == node.submit(action) == Outcome.QUEUED
    assert len(node.sequencer.submissions.waiting()) == 1
    node.seal()

    with pytest.raises(ActionNonceUsed):
        node.submit(action)


def test_what_is_not_good_is_refused_by_name_and_waits_nowhere(node: Node) -> None:
    halt = make(Halt, height=0)
    with pytest.raises(NotEnoughSignatures):
        node.submit(halt, MEMBERS[:2])
    with pytest.raises(UnknownSigner):
        node.submit(halt, [*MEMBERS[:2], OUTSIDER])
    with pytest.raises(NotHalted):
        node.submit(make(Resume))
    for data in (b"", b"\x01\x02\x03\x04", node.submission(halt) + b"\x00"):
        with pytest.raises(MalformedCalldata):
            node.sequencer.submit_action(data)

    assert node.sequencer.submissions.waiting() == []
    assert node.published == []


def test_an_action_that_expires_while_it_waits_is_dropped(node: Node) -> None:
    now = node.blockchain.head.block.extension.time_ms // 1_000
    node.submit(make(Halt, height=0, expires_at=now + 1))

    node.now_ms += 5_000  # type: ignore[assignment]
    height = node.height
    node.seal()

    assert (node.height, node.mode) == (height + 1, Mode.CANCEL_ONLY)
    assert node.sequencer.submissions.waiting() == []


def test_an_action_that_a_transaction_carried_too_no_longer_waits(node: Node) -> None:
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)
    node.mempool.add(node.sender.send(GOVERNANCE, node.submission(action), gas_limit=10**6))
    node.submit(action)

    node.seal()

    statuses = [receipt.status for receipt in node.blockchain.head.receipts]
    assert statuses[:2] == [1, 0], "the free one goes first, the other reverts"
    assert node.sequencer.submissions.waiting() == []


# --- while HALTED ---------------------------------------------------------------------------------


def test_a_halted_chain_gets_no_block_until_the_council_acts(node: Node) -> None:
    node.submit(make(Halt, height=Height(node.height + 2)))
    node.seal()
    node.seal()
    halted = node.height
    node.mempool.add(node.sender.send(OUTSIDER.address, value=5))

    for _ in range(3):
        assert node.seal() == 0
    assert (node.height, node.mode) == (halted, Mode.HALTED)
    assert len(node.mempool) == 1, "it waits"

    node.submit(make(CancelOrders, filter=0))
    node.seal()
    assert (node.height, node.mode) == (halted + 1, Mode.HALTED)
    assert len(node.mempool) == 1

    node.submit(make(Resume))
    node.seal()
    assert node.mode == Mode.CANCEL_ONLY
    node.seal()
    assert len(node.mempool) == 0


def test_a_halted_chain_takes_actions_as_transactions_and_none_that_reverts(node: Node) -> None:
    node.submit(make(Halt, height=0))
    node.seal()
    halted = node.height
    other = Person("member-1")
    bad = node.sender.send(GOVERNANCE, node.submission(make(Halt, height=0)), gas_limit=10**6)
    node.mempool.add(bad)

    assert node.seal() == 0
    assert node.height == halted

    resume = make(Resume)
    replacing = Person("sender").send(
        GOVERNANCE, node.submission(resume), gas_limit=10**6, max_fee=2 * 10**9
    )
    node.mempool.add(replacing)
    assert node.seal() == 1
    assert (node.height, node.mode) == (halted + 1, Mode.CANCEL_ONLY)
    assert other.nonce == 0


# --- the hold -------------------------------------------------------------------------------------


def test_where_no_block_can_be_built_a_halt_is_a_hold(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    action = make(Halt, height=0)

    assert node.submit(action) == Outcome.HELD
    assert node.submit(action) == Outcome.HELD, "once more is the same"

    phase = node.sequencer.phase()
    assert phase.name == STOPPED
    assert "held by the council" in phase.reason
    assert Hold(tmp_path / FILE).current is not None
    assert node.published == [CouncilAction(node.submission(action))]


def test_a_hold_outlives_the_failure_and_a_resume_lifts_it(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0))

    again = Node(Hold(tmp_path / FILE))
    assert again.sequencer.failure is None
    assert again.sequencer.phase().name == STOPPED
    with pytest.raises(NotEnoughSignatures):
        again.submit(make(Resume), MEMBERS[:2])
    assert again.sequencer.phase().name == STOPPED

    assert again.submit(make(Resume)) == Outcome.LIFTED
    assert again.sequencer.phase().name == OPEN
    assert Hold(tmp_path / FILE).current is None
    assert again.seal() == 0
    assert again.height == 1


def test_a_hold_is_not_laid_by_what_the_council_did_not_sign(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN

    with pytest.raises(NotEnoughSignatures):
        node.submit(make(Halt, height=0), MEMBERS[:2])
    with pytest.raises(NotHalted):
        node.submit(make(Resume))

    assert Hold(tmp_path / FILE).current is None
    assert node.published == []


def test_where_blocks_are_built_a_halt_is_no_hold(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))

    node.submit(make(Halt, height=0))

    assert not (tmp_path / FILE).exists()


def test_a_second_halt_of_a_node_that_stands_is_refused_by_name(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0))

    with pytest.raises(ActionImpossible, match="held by the council at block 0"):
        node.submit(make(Halt, height=0, reason="another"))


def test_a_halt_that_waits_when_sealing_stops_becomes_a_hold(node: Node) -> None:
    assert node.submit(make(Halt, height=0)) == Outcome.QUEUED
    node.sequencer.failure = BROKEN

    node.sequencer.submissions.hold_waiting()

    assert "held by the council" in node.sequencer.phase().reason
    assert node.sequencer.submissions.waiting() == []


# --- what no block can carry ----------------------------------------------------------------------


def test_what_needs_a_block_is_kept_for_the_first_one(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0))
    assert node.submit(make(SetMode, market=BTC, mode=Mode.POST_ONLY)) == Outcome.KEPT
    with pytest.raises(NotEnoughSignatures):
        node.submit(make(CancelOrders, filter=0), MEMBERS[:2])

    node.sequencer.failure = None
    node.submit(make(Resume))
    node.seal()

    assert [entry.kind.name for entry in node.audit()] == ["SET_MODE", "HALT", "RESUME"]


def test_a_hold_and_its_end_are_in_the_audit_log_of_the_next_block(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.seal()
    node.sequencer.failure = BROKEN
    halt, resume = make(Halt, height=0), make(Resume)
    node.submit(halt, MEMBERS[:3])
    node.submit(resume, MEMBERS[2:])
    node.sequencer.failure = None
    node.seal()

    first, second = node.audit()
    domain = Domain(node.blockchain.genesis.chain_id, node.blockchain.genesis_hash)
    assert (first.kind, first.digest, first.result) == (
        Kind.HALT,
        compute_digest(halt, domain),
        1,
    ), "block 1 was the last before it stood"
    assert first.signers == tuple(sorted(member.address for member in MEMBERS[:3]))
    assert (second.kind, second.digest, second.result) == (
        Kind.RESUME,
        compute_digest(resume, domain),
        Mode.CANCEL_ONLY,
    )
    assert second.signers == tuple(sorted(member.address for member in MEMBERS[2:]))
    assert (node.height, node.mode) == (2, Mode.CANCEL_ONLY)
    assert list(node.database.items(keys.ENDED_HOLDS)) == []
    for action in (halt, resume):
        with pytest.raises(ActionNonceUsed):
            node.submit(action)


def test_an_ended_hold_is_recorded_after_a_restart_and_after_both_have_expired(
    tmp_path: Path,
) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    soon = node.now_ms // 1_000 + 2
    node.submit(make(Halt, height=0, expires_at=soon))
    node.submit(make(Resume, expires_at=soon + 10))

    again = Node(Hold(tmp_path / FILE), node.database)
    again.now_ms += 20_000  # type: ignore[assignment]
    again.seal()

    assert [entry.kind for entry in again.audit()] == [Kind.HALT, Kind.RESUME]


def test_a_resume_that_is_over_takes_no_good_halt_along(node: Node) -> None:
    soon = node.now_ms // 1_000 + 2
    halt, resume = make(Halt, height=0), make(Resume, expires_at=soon)
    pair = node.ended_hold(halt, resume)

    node.now_ms += 5_000  # type: ignore[assignment]
    node.seal()
    with pytest.raises(ActionExpired):
        node.sequencer.submit_action(pair)

    assert node.submit(halt) == Outcome.QUEUED


def test_a_crash_between_the_record_and_the_files_end_ends_the_hold(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0))
    file = (tmp_path / FILE).read_bytes()
    node.submit(make(Resume))
    (tmp_path / FILE).write_bytes(file)

    again = Node(Hold(tmp_path / FILE), node.database)

    assert again.sequencer.phase().name == OPEN
    assert not (tmp_path / FILE).exists()
    again.seal()
    assert len(again.audit()) == 2


def test_a_hold_of_a_halted_chain_is_recorded_and_the_resume_ends_the_halt(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.submit(make(Halt, height=0))
    node.seal()
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0, reason="it stands anyway"))
    node.submit(make(Resume))
    node.sequencer.failure = None

    node.seal()

    assert [entry.kind for entry in node.audit()] == [Kind.HALT, Kind.HALT, Kind.RESUME]
    assert node.mode == Mode.CANCEL_ONLY


def test_a_fork_plan_carries_what_no_block_could(tmp_path: Path) -> None:
    node = Node(Hold(tmp_path / FILE))
    node.seal()
    node.submit(make(SetMode, market=BTC, mode=Mode.POST_ONLY))
    node.seal()
    node.sequencer.failure = BROKEN
    node.submit(make(Halt, height=0, reason="first"))
    node.submit(make(Resume))
    node.submit(make(Halt, height=0, reason="second"))

    entries = node.sequencer.submissions.unrecorded()

    assert [(entry.number, entry.kind) for entry in entries] == [
        (1, Kind.HALT),
        (2, Kind.RESUME),
        (3, Kind.HALT),
    ]
    assert is_whole(AuditLog(4, entry_hash(entries[-1])), [*node.audit(), *entries]), (
        "chained to what the chain recorded"
    )
    last = entries[-1]
    assert (last.height, last.result, last.fork_id) == (node.height, node.height, 0)
    assert last.signers == tuple(sorted(member.address for member in MEMBERS[:3]))


# --- validators -----------------------------------------------------------------------------------


def make_validator(node: Node, hold: Hold | None = None) -> ValidatorNode:
    return ValidatorNode(
        node.blockchain, clock_ms=lambda: node.now_ms, seed=None, guard=None, hold=hold
    )


def test_a_validator_passes_an_action_on(node: Node) -> None:
    validator = make_validator(node)
    data = node.submission(make(Halt, height=0))

    assert validator.submit_action(data).outcome == Outcome.QUEUED

    assert CouncilAction(data) in validator.on_tick()
    assert CouncilAction(data) not in validator.on_tick(), "once"
    node.sequencer.on_message("validator", CouncilAction(data))
    node.seal()
    assert node.mode == Mode.HALTED


def test_a_validator_that_stopped_holds_and_says_so(node: Node, tmp_path: Path) -> None:
    validator = make_validator(node, Hold(tmp_path / FILE))
    validator._found = "block 9, state_root: was 0, recomputed 1"

    validator.on_message(CouncilAction(node.submission(make(Halt, height=0))))

    assert "held by the council" in validator.phase().reason
    assert Hold(tmp_path / FILE).current is not None


def test_a_validator_under_a_hold_follows_nothing(node: Node, tmp_path: Path) -> None:
    hold = Hold(tmp_path / FILE)
    stopped = make_validator(node, hold)
    stopped._found = "a wrong block"
    stopped.submit_action(node.submission(make(Halt, height=0)))

    validator = make_validator(node, Hold(tmp_path / FILE))

    assert validator.phase().name == STOPPED
    held = CouncilAction(node.submission(make(Halt, height=0)))
    assert validator.on_connected(fork_id=0) == [held], "all it has to say"
    validator.on_message(CouncilAction(node.submission(make(Resume))))
    assert validator.phase().name == OPEN


def test_a_peers_bad_action_is_dropped_and_costs_nobody(node: Node) -> None:
    bad = node.submission(make(Halt, height=0), MEMBERS[:1])

    assert node.sequencer.on_message("validator", CouncilAction(bad)) == []
    assert node.sequencer.on_message("validator", CouncilAction(b"junk")) == []

    assert node.sequencer.submissions.waiting() == []
