"""What is told on between nodes: it reaches everybody, once, with the sequencer or without."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.domains import Kind, signed_bytes
from node.chain.store import BlockStore
from node.consensus.guard import SignGuard
from node.consensus.hold import Hold
from node.consensus.link import SEQUENCER, Peer
from node.consensus.links import Follower, Gatherer, Links
from node.consensus.mempool import Mempool
from node.consensus.messages import (
    FRAME_BYTES_MAX,
    PIECE_BYTES_MAX,
    VERSION,
    Assembly,
    Attestation,
    CouncilAction,
    ForkConfirmation,
    ForkPlan,
    Hello,
    Message,
    Reverted,
    SnapshotRequest,
    decode_message,
    encode_message,
    split_frame,
)
from node.consensus.proposals import make_proposal
from node.consensus.recovery import Recovery
from node.consensus.sequencer import Sequencer
from node.consensus.snapshots import Snapshots
from node.consensus.submissions import Outcome
from node.consensus.validator import ValidatorNode
from node.crypto import ed25519_public_key, ed25519_sign
from node.governance.action import Domain, Halt, Resume, SetMode
from node.perp.status import Mode
from node.snapshot.approval import encode_signed_plan
from node.snapshot.directory import SnapshotDirectory
from node.state.kv import MemoryDb
from node.system.governance import encode_submission
from node.units import Hash32, Height
from tests.consensus.network import Clock, copy_of
from tests.helpers.chain import BTC
from tests.helpers.council import make, sign_action
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

S = -1
"""The sequencer's place."""


class Wires(Links):
    """One node's links, as far as a mesh in one process has them."""

    def __init__(self, mesh: Mesh, place: int) -> None:
        self._mesh = mesh
        self._place = place

    def tell_all(self, message: Message, *, but: bytes) -> None:
        for other in self._mesh.neighbours(self._place):
            if not but or self._mesh.peer(other).public_key != but:
                self._mesh.send(self._place, other, message)

    def tell_sequencer(self, message: Message) -> None:
        if S in self._mesh.neighbours(self._place):
            self._mesh.send(self._place, S, message)


class Mesh:
    """Four validators over the story's chain, and its sequencer; nobody is linked at first."""

    def __init__(self, path: Path) -> None:
        kv = MemoryDb()
        self.story = tell_story(kv, validators=True)
        directory = SnapshotDirectory(path / "snapshots")
        manifest = export(self.story.chain, self.story.snapshot, directory)
        certify(self.story.chain, directory, manifest)
        self.plan = plan_of(self.story, manifest)
        self.clock = Clock(self.plan.header.time_ms)
        self.queue: deque[tuple[int, int, list[bytes]]] = deque()
        self.frames = 0
        self.links: set[frozenset[int]] = set()
        self.nodes: list[ValidatorNode] = []
        self.chains: list[Blockchain] = []
        self._path, self._directory = path, directory
        for index, seed in enumerate(SEEDS):
            chain = self._copy(kv)
            guard = SignGuard(path / f"guard-{index}", seed, chain.genesis_hash)
            hold = Hold(path / f"hold-{index}")
            self.chains.append(chain)
            self.nodes.append(
                ValidatorNode(
                    chain,
                    clock_ms=self.clock,
                    seed=seed,
                    guard=guard,
                    hold=hold,
                    recovery=self._recovery(chain, hold, seed),
                    snapshots=Snapshots(chain, directory),
                )
            )
        chain = self._copy(kv)
        hold = Hold(path / "hold")
        self.chains.append(chain)
        self.sequencer = Sequencer(
            chain,
            Mempool(chain),
            block_time_ms=100,
            instant=False,
            clock_ms=self.clock,
            seed=SEQUENCER_SEED,
            hold=hold,
            recovery=self._recovery(chain, hold, None),
            snapshots=Snapshots(chain, directory),
        )
        self.sequencer.on_publish(self._publish)
        followers = [Follower(node, Wires(self, i)) for i, node in enumerate(self.nodes)]
        self.ends: list[Follower | Gatherer] = [*followers, Gatherer(self.sequencer)]

    def _copy(self, kv: MemoryDb) -> Blockchain:
        own = copy_of(kv)
        return Blockchain(self.story.genesis, own, BlockStore(own, None))

    def _recovery(self, chain: Blockchain, hold: Hold, seed: bytes | None) -> Recovery:
        return Recovery(chain, hold, clock_ms=self.clock, directory=self._directory, seed=seed)

    def _publish(self, message: Message) -> None:
        for other in self.neighbours(S):
            self.send(S, other, message)

    def head(self, place: int) -> Block:
        return self.chains[place].head.block

    def neighbours(self, place: int) -> Sequence[int]:
        return sorted(
            other for link in self.links if place in link for other in link if other != place
        )

    def peer(self, place: int) -> Peer:
        seed = SEQUENCER_SEED if place == S else SEEDS[place]
        head = self.head(place)
        identity = self.chains[place].identity_of(head)
        hello = Hello(
            VERSION, *identity, ed25519_public_key(seed), head.header.number, head.hash, b""
        )
        return Peer(1, SEQUENCER if place == S else f"validator {place}", hello)

    def send(self, source: int, target: int, message: Message) -> None:
        self.frames += 1
        self.queue.append((source, target, list(split_frame(encode_message(message)))))

    def link(self, one: int, other: int) -> None:
        """Link two nodes: both greet."""
        self.links.add(frozenset((one, other)))
        for place, peer in ((one, other), (other, one)):
            for message in self.ends[place].on_connected(self.peer(peer)):
                self.send(place, peer, message)
        self.deliver()

    def line(self) -> None:
        """Link validators 0-1-2-3."""
        for index in range(3):
            self.link(index, index + 1)

    def deliver(self) -> None:
        """Carry all that travels, and what is said to it; every travelling frame is short."""
        carried = 0
        while self.queue:
            carried += 1
            assert carried < 1_000, "something goes round"
            source, target, travelling = self.queue.popleft()
            assembly, whole = Assembly(FRAME_BYTES_MAX), None
            for part in travelling:
                assert len(part) <= PIECE_BYTES_MAX + 1
                whole = assembly.add(part)
            assert whole is not None
            answers = self.ends[target].on_message(self.peer(source), decode_message(whole))
            for answer in answers:
                self.send(target, source, answer)

    def tick(self, seconds: int = 1) -> None:
        """Let time pass at the validators."""
        for _ in range(seconds):
            self.clock.now_ms += 1_000
            for end in self.ends:
                if isinstance(end, Follower):
                    end.on_tick()
            self.deliver()


@pytest.fixture
def mesh(tmp_path: Path) -> Mesh:
    return Mesh(tmp_path)


def action_of(mesh: Mesh) -> bytes:
    """Return a mode that the council set, as it is handed in."""
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)
    domain = Domain(mesh.story.genesis.chain_id, mesh.chains[0].genesis_hash)
    return encode_submission(action, sign_action(action, domain, COUNCIL[:2]))


# --- told on --------------------------------------------------------------------------------------


def test_an_action_reaches_every_validator_without_a_sequencer(mesh: Mesh) -> None:
    mesh.line()
    action = action_of(mesh)

    mesh.nodes[3].submit_action(action)
    mesh.tick()

    assert [node.submissions.waiting() for node in mesh.nodes] == [[action]] * 4


def test_in_a_full_mesh_a_message_crosses_each_link_at_most_twice_and_dies_out(mesh: Mesh) -> None:
    for one in range(4):
        mesh.link(S, one)
        for other in range(one):
            mesh.link(one, other)
    mesh.tick()
    mesh.frames = 0

    mesh.nodes[0].submit_action(action_of(mesh))
    mesh.tick()
    told = mesh.frames
    mesh.tick(3)

    assert all(node.submissions.waiting() for node in mesh.nodes)
    assert len(mesh.sequencer.submissions.waiting()) == 1
    assert 10 <= told <= 2 * len(mesh.links), "ten links"
    assert mesh.frames == told, "nothing goes round"


def test_who_links_later_hears_what_it_missed(mesh: Mesh) -> None:
    action = action_of(mesh)
    mesh.nodes[0].submit_action(action)
    mesh.tick()

    mesh.link(0, 1)

    assert mesh.nodes[1].submissions.waiting() == [action]


def test_attestations_go_to_the_sequencer_alone(mesh: Mesh) -> None:
    for one in range(4):
        mesh.link(S, one)
        for other in range(one):
            mesh.link(one, other)
    seen: list[tuple[int, int, type]] = []
    send = mesh.send

    def watch(source: int, target: int, message: Message) -> None:
        seen.append((source, target, type(message)))
        send(source, target, message)

    mesh.send = watch  # type: ignore[method-assign]
    mesh.clock.now_ms += 100
    mesh.sequencer.seal()
    mesh.deliver()

    assert {target for _, target, kind in seen if kind is Attestation} == {S}
    assert {source for source, _, _ in seen} == set(range(S, 4))
    assert len(seen) == 4 + 4 + 4, "a block, an attestation, a certificate for each"
    assert mesh.chains[S].certified_height() == mesh.head(S).header.number


def test_what_nobody_signed_counts_from_the_sequencer_alone(mesh: Mesh) -> None:
    asked: list[SnapshotRequest] = []
    snapshots = mesh.nodes[0].snapshots
    assert snapshots is not None
    snapshots.on_request = asked.append  # type: ignore[method-assign,assignment]
    request = SnapshotRequest(mesh.head(0).header.number, mesh.head(0).hash)

    revert = Reverted(0, 1, Height(1), mesh.head(0).hash, 0)
    head = mesh.head(0)

    mesh.ends[0].on_message(mesh.peer(1), request)
    mesh.ends[0].on_message(mesh.peer(1), revert)
    mesh.ends[0].on_message(mesh.peer(S), request)

    assert asked == [request]
    assert mesh.head(0) == head


def test_a_node_without_a_key_passes_the_councils_actions_on_and_nothing_else(mesh: Mesh) -> None:
    archive = ValidatorNode(
        mesh.chains[0],
        clock_ms=mesh.clock,
        seed=None,
        guard=None,
        recovery=Recovery(mesh.chains[0], Hold(), clock_ms=mesh.clock, directory=mesh._directory),
    )
    follower = Follower(archive, Wires(mesh, 0))
    mesh.links.add(frozenset((0, 1)))
    data = encode_signed_plan(approve(mesh.plan))

    archive.submit_action(action_of(mesh))
    archive.submit_plan(data)
    follower.on_tick()

    sent = [decode_message(b"".join(frames)) for _, _, frames in mesh.queue]
    assert [type(each) for each in sent] == [CouncilAction]


# --- a fork without the sequencer -----------------------------------------------------------------


def test_a_fork_goes_on_when_the_sequencer_is_down_and_it_follows_when_it_is_back(
    mesh: Mesh,
) -> None:
    mesh.line()
    old = mesh.head(0)

    mesh.nodes[3].submit_plan(encode_signed_plan(approve(mesh.plan)))
    mesh.tick(3)

    fork = mesh.head(3)
    assert fork.header.number == mesh.plan.header.number
    assert [mesh.head(place) for place in range(4)] == [fork] * 4
    assert all(node.recovery.is_open() for node in mesh.nodes), "they heard of each other"
    frames = mesh.frames
    mesh.tick(3)
    assert mesh.frames == frames, "nobody asks any more"

    # The sequencer comes back, knows nothing of it, and seals two blocks that nobody signs.
    mesh.sequencer.seal()
    mesh.clock.now_ms += 100
    mesh.sequencer.seal()
    assert mesh.head(S).header.number == old.header.number + 2
    mesh.link(S, 0)

    assert mesh.head(S) == fork
    assert mesh.sequencer.recovery.is_open()
    for index in (1, 2, 3):
        mesh.link(S, index)
    assert mesh.frames < 300
    while mesh.sequencer.recovery.is_catching_up():
        mesh.sequencer.seal()
    mesh.clock.now_ms += 100
    mesh.sequencer.seal()
    mesh.deliver()
    head = mesh.head(S)
    assert [mesh.head(place) for place in range(4)] == [head] * 4
    assert mesh.chains[S].certified_height() == head.header.number


def test_two_words_of_one_validator_on_a_fork_do_not_chase_each_other(mesh: Mesh) -> None:
    for one in range(4):
        for other in range(one):
            mesh.link(one, other)
    mesh.nodes[0].submit_plan(encode_signed_plan(approve(mesh.plan)))
    mesh.tick(3)
    fork, frames = mesh.head(0), mesh.frames

    for target, rival in ((0, bytes([1] * 32)), (1, bytes([2] * 32))):
        message = signed_bytes(Kind.FORK, mesh.chains[0].identity_of(fork), rival, rival)
        signature = ed25519_sign(SEEDS[3], message)
        word = ForkConfirmation(fork.header.number, Hash32(rival), Hash32(rival), 3, signature)
        mesh.send(3, target, word)
    mesh.deliver()

    assert mesh.frames - frames <= 60, "told on, asked about, and over"


def test_a_validator_that_was_away_learns_of_the_fork_from_another(mesh: Mesh) -> None:
    mesh.link(0, 1)
    mesh.link(1, 2)
    mesh.nodes[0].submit_plan(encode_signed_plan(approve(mesh.plan)))
    mesh.tick(2)
    assert mesh.head(3) != mesh.head(2)

    mesh.link(2, 3)

    assert mesh.head(3) == mesh.head(2)
    assert mesh.nodes[3].recovery.is_open()


def test_a_plan_of_many_megabytes_reaches_everybody(mesh: Mesh) -> None:
    names = [{"account": "0x" + "ab" * 20, "number": each} for each in range(60_000)]
    plan = mesh.plan._replace(totals={"accounts": names})
    data = encode_signed_plan(approve(plan))
    assert len(data) > 4 * 1024 * 1024
    mesh.link(0, 1)
    mesh.link(1, 2)

    mesh.nodes[0].submit_plan(data)
    mesh.tick(2)
    mesh.link(2, 3)
    mesh.link(S, 3)

    assert {mesh.head(place).hash for place in range(S, 4)} == {mesh.head(0).hash}
    assert mesh.head(0).header.number == plan.header.number
    assert mesh.nodes[3].recovery.signed_plans(0) == [data]


def test_a_peer_on_the_new_branch_is_not_told_the_plan_again(mesh: Mesh) -> None:
    mesh.nodes[0].submit_plan(encode_signed_plan(approve(mesh.plan)))

    def plans(fork_id: int) -> int:
        told = mesh.nodes[0].on_peer(fork_id=fork_id, height=0)
        return sum(isinstance(each, ForkPlan) for each in told)

    assert (plans(0), plans(1)) == (1, 0)


# --- a sequencer that is down ---------------------------------------------------------------------


def test_a_halt_holds_validators_when_the_sequencer_is_silent(mesh: Mesh) -> None:
    mesh.line()
    halt = make(Halt, height=0)
    domain = Domain(mesh.story.genesis.chain_id, mesh.chains[0].genesis_hash)
    data = encode_submission(halt, sign_action(halt, domain, COUNCIL[:2]))
    mesh.nodes[3].submit_action(data)
    mesh.tick()
    assert [node.submissions.hold.current for node in mesh.nodes] == [None] * 4, "it may come yet"

    mesh.tick(3)  # gap_ms_max of the minimal genesis

    assert all(node.submissions.hold.current is not None for node in mesh.nodes)
    mesh.link(S, 0)
    assert mesh.sequencer.submissions.waiting() == [data], "it hears of the halt when it is back"


def test_of_a_halted_chain_silence_says_nothing(mesh: Mesh) -> None:
    for index in range(4):
        mesh.link(S, index)
    domain = Domain(mesh.story.genesis.chain_id, mesh.chains[0].genesis_hash)
    halt, resume = make(Halt, height=0), make(Resume)
    mesh.sequencer.submit_action(encode_submission(halt, sign_action(halt, domain, COUNCIL[:2])))
    mesh.sequencer.seal()
    mesh.tick(10)

    data = encode_submission(resume, sign_action(resume, domain, COUNCIL[:2]))
    assert mesh.nodes[0].submit_action(data).outcome == Outcome.QUEUED
    mesh.tick()
    mesh.sequencer.seal()

    ledger = mesh.chains[S].ledger_after(mesh.head(S))
    assert (ledger.status.mode, ledger.audit_log.length) == (Mode.CANCEL_ONLY, 2)


def test_a_fork_is_planned_at_a_validator_only_when_the_sequencer_is_silent(mesh: Mesh) -> None:
    assert not mesh.nodes[0].may_plan()

    mesh.clock.now_ms += 3_001
    assert mesh.nodes[0].may_plan()

    mesh.link(S, 0)
    mesh.sequencer.seal()
    mesh.deliver()
    assert not mesh.nodes[0].may_plan()


def test_an_old_block_sent_again_does_not_pass_for_a_sequencer_that_lives(mesh: Mesh) -> None:
    mesh.link(S, 0)
    mesh.sequencer.seal()
    mesh.deliver()
    assert not mesh.nodes[0].may_plan()
    mesh.clock.now_ms += 3_001

    mesh.send(1, 0, make_proposal(mesh.chains[0], mesh.head(0)))
    mesh.deliver()

    assert mesh.nodes[0].may_plan()


def test_a_validator_that_is_behind_asks_another_for_the_blocks(mesh: Mesh) -> None:
    for index in (0, 1, 2):
        mesh.link(S, index)
    for _ in range(3):
        mesh.clock.now_ms += 100
        mesh.sequencer.seal()
        mesh.deliver()
    assert mesh.head(3).header.number == mesh.head(0).header.number - 3

    mesh.links.clear()
    mesh.link(0, 3)

    assert mesh.head(3) == mesh.head(0)
