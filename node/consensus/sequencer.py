"""The built-in driver: it chooses, seals and commits a block every block time, and gathers.

With instant sealing a block follows each admission, and an empty one at least every third of the
gap limit, so that an idle chain is no outage (RULES X2). A development chain may change its pace
while it runs, and seals its helpers' operations in between. With validators, sealing pauses while
too many blocks wait for their certificates, and stops when disputes make a certificate impossible,
or when an invariant refuses a block (DESIGN section 6).

Threads: one thread of its own executes and commits, holding the chain's write lock; peers' messages
come from any other thread, one at a time under the sequencer's own lock, and touch signatures,
disputes and certificates alone. What is for the peers goes to the listeners of `on_publish`, called
in whichever thread has it: they hand it on and return.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import structlog

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.certificate import encode_certificate, proposal_bytes
from node.chain.development import PACING, Operation
from node.chain.transaction import Transaction
from node.consensus.attestations import Attestations
from node.consensus.block_time import BlockTime, Moment
from node.consensus.disputes import Disputes
from node.consensus.hold import Hold
from node.consensus.mempool import Mempool
from node.consensus.messages import (
    Attestation,
    CertificateMessage,
    Changes,
    CouncilAction,
    DisputeMessage,
    ForkConfirmation,
    ForkPlan,
    GetBlocks,
    GetChanges,
    GetForkConfirmations,
    Message,
    SnapshotSignature,
)
from node.consensus.phase import LAGGING, OPEN, STOPPED, Phase
from node.consensus.proposals import (
    answer_blocks,
    answer_changes,
    make_proposal,
    make_reverted,
)
from node.consensus.recovery import Carried, Recovery
from node.consensus.snapshots import Snapshots
from node.consensus.submissions import Body, Submissions, Taken, stands
from node.crypto import ed25519_public_key, ed25519_sign
from node.errors import (
    ActionImpossible,
    EncodingError,
    InvalidAttestation,
    KeyFileError,
    PerpnodeError,
    PlanRefused,
    Refusal,
    show,
)
from node.perp.status import Mode
from node.snapshot.approval import decode_signed_plan
from node.snapshot.plan import decode_plan
from node.units import Height, TimeMs

log = structlog.get_logger()

GAP_PARTS = 3
UNCERTIFIED_MAX = 8
"""With so many uncertified blocks sealing pauses (DESIGN section 6)."""
PAUSE_S = 0.5
"""How often a paused or stopped sequencer looks again by itself."""


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
        seed: bytes | None = None,
        hold: Hold | None = None,
        recovery: Recovery | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """Take the parts; KeyFileError unless `seed` is the key that genesis names, if it does.

        Without a `hold` one is kept in memory; a `recovery` shares it.
        """
        self._blockchain = blockchain
        self._mempool = mempool
        self._block_time_ms = block_time_ms
        self._instant = instant
        self._clock_ms = clock_ms
        self.time = BlockTime(blockchain, clock_ms)
        self._due_ms: int | None = None
        """When the next block is due whatever waits; None: never by itself."""
        self._seed = seed
        _require_key(blockchain, seed)
        self._wake = threading.Event()
        self._resume = threading.Event()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="sequencer", daemon=True)
        self._lock = threading.Lock()
        self._attestations = Attestations()
        self._withdrawn: frozenset[bytes] = frozenset()
        """Keys of validators that attested their disputed height, or a later one, after all."""
        self._listeners: list[Callable[[Message], None]] = []
        self.disputes = Disputes(blockchain)
        self.submissions = Submissions(blockchain, hold or Hold())
        self.submissions.on_taken(self._on_action_taken)
        self.snapshots = snapshots
        self.recovery = recovery or Recovery(blockchain, self.submissions.hold, clock_ms=self.time)
        self.recovery.on_carried(lambda plan: self._publish(ForkPlan(plan)))
        self.recovery.on_forking(lambda: None, self._begin_branch)
        self.recovery.on_passed(self._resume.set)
        if snapshots is not None:
            snapshots.on_told(self._publish)
        self.is_sequencing = True
        self.failure: PerpnodeError | None = None
        """What refused a block, if anything did: reads go on."""
        mempool.on_admitted(self._on_admitted)
        blockchain.on_reverted(self._on_reverted)

    def start(self) -> None:
        """Begin to seal."""
        self._thread.start()

    def stop(self) -> None:
        """End after the block in hand."""
        self._stopping = True
        self._wake.set()
        self._resume.set()
        if self._thread.is_alive():
            self._thread.join()

    def may_plan(self) -> bool:
        """Tell that a fork may be planned here: at what was sealed last."""
        return True

    def phase(self) -> Phase:
        """Return whether sealing goes on, pauses or stopped, and why."""
        forking = self.recovery.phase()
        if forking is not None:
            return forking
        held = self.submissions.hold.current
        if held is not None:
            return Phase(STOPPED, held.text())
        if self.failure is not None:
            return Phase(STOPPED, str(self.failure))
        dispute = self.disputes.find_stop(self._withdrawn)
        if dispute is not None:
            return Phase(STOPPED, dispute.text())
        head = self._blockchain.head.block.header.number
        certified = self._blockchain.certified_height()
        if head - certified >= UNCERTIFIED_MAX:
            missing = self._name_missing(certified)
            reason = f"blocks {certified + 1} to {head} are not certified: {missing}"
            return Phase(LAGGING, reason)
        return Phase(OPEN, "")

    def _name_missing(self, certified: Height) -> str:
        """Name the validators that signed nothing after the certified height."""
        signers = self._attestations.signers_after(certified)
        members = range(len(self._blockchain.next_validators().members))
        missing = [index for index in members if index not in signers]
        if not missing:
            return "none of them was signed by more than two thirds of the validators' power"
        names = ", ".join(map(str, missing))
        who = f"validators {names} have" if len(missing) > 1 else f"validator {names} has"
        return f"{who} not signed since block {certified}"

    def seal(self) -> int:
        """Make one block of what waits, commit it, and return how many transactions it took.

        A HALTED chain gets one only if the council's actions wait for it (X1). After a fork it is
        an empty one, 1 ms after its parent, until the chain is beyond the branch that was left.
        """
        with self._blockchain.write_lock:
            if self.recovery.is_forking():
                if not self.recovery.is_open():
                    return 0
                parent_ms = self._blockchain.head.block.extension.time_ms
                moment, body = Moment(TimeMs(parent_ms + 1), []), Body([], [])
            else:
                moment = self.time.choose()
                chosen = self.submissions.choose(self._mempool, moment.time_ms)
                if chosen is None:
                    return 0
                body = chosen
            self._seal(moment, body)
            return len(body.transactions)

    def seal_ready(self) -> int:
        """Make a block if anything waits that it can take; return how many transactions it took."""
        with self._blockchain.write_lock:
            moment = self.time.choose()
            body = self.submissions.choose(self._mempool, moment.time_ms)
            if self.recovery.is_forking() or body is None or not any(body):
                return 0
            self._seal(moment, body)
            return len(body.transactions)

    def seal_governance(self) -> None:
        """Make one block of the council's actions alone, if any waits: it governs a lagging chain.

        Without it the council could neither halt a chain whose validators do not sign, nor end what
        they do not sign for.
        """
        with self._blockchain.write_lock:
            moment = self.time.choose()
            body = self.submissions.choose_governance(moment.time_ms)
            if body is not None and not self.recovery.is_forking():
                self._seal(moment, body)

    def seal_operations(
        self, operations: Sequence[Operation], *, offset_ms: int | None = None
    ) -> Block:
        """Make a block that carries development operations, and return it.

        What waits comes along unless an operation could take from it what it needs; the council's
        actions always do. Raises ActionImpossible while the chain is HALTED, sealing stopped or a
        fork is carried out, and InvalidBlock if an operation, or an invariant after it, refuses:
        nothing is written then.
        """
        with self._blockchain.write_lock:
            self._require_open()
            moment = self.time.choose(offset_ms)
            if all(isinstance(each, PACING) for each in operations):
                body = self.submissions.choose(self._mempool, moment.time_ms)
            else:
                body = self.submissions.choose_governance(moment.time_ms)
            moment.operations.extend(operations)
            return self._seal(moment, body or Body([], []))

    def seal_exactly(
        self, transactions: Sequence[Transaction], operations: Sequence[Operation]
    ) -> Block:
        """Make a block of these transactions, in executed order, and operations, and return it.

        Nothing that waits comes along but the council's actions. Raises as `seal_operations`.
        """
        with self._blockchain.write_lock:
            self._require_open()
            moment = self.time.choose()
            governance = self.submissions.choose_governance(moment.time_ms) or Body([], [])
            moment.operations.extend(operations)
            return self._seal(moment, governance._replace(transactions=list(transactions)))

    def _require_open(self) -> None:
        """Raise ActionImpossible where no block can be made of what people wish."""
        phase = self.phase()  # it may have changed since the caller looked
        if phase.name not in (OPEN, LAGGING):
            raise ActionImpossible(phase.reason)
        self.require_not_halted(self._blockchain.head.block)

    def require_not_halted(self, parent: Block) -> None:
        """Raise ActionImpossible where only the council's actions may follow a block (X1)."""
        if self._blockchain.ledger_after(parent).status.mode == Mode.HALTED:
            raise ActionImpossible("the chain is HALTED: blocks are made for its council alone")

    def _seal(self, moment: Moment, body: Body) -> Block:
        """Execute, sign, commit and publish a block; the caller holds the write lock."""
        blockchain = self._blockchain
        executed = blockchain.execute(
            body.transactions,
            moment.time_ms,
            blockchain.certificate,
            body.governance_inputs,
            moment.operations,
        )
        block, signature = executed.block, b""
        if self._seed is not None:
            identity = blockchain.identity_of(block)
            message = proposal_bytes(identity, block.header.number, block.hash)
            signature = ed25519_sign(self._seed, message)
        blockchain.commit(executed, signature=signature)
        self.time.exact_ms = None
        if self._listeners:
            self._publish(make_proposal(blockchain, block))
        return block

    def wall_ms(self) -> int:
        """Return the wall clock."""
        return self._clock_ms()

    # --- pace ------------------------------------------------------------------------------------

    @property
    def is_instant(self) -> bool:
        """Whether a block follows each admission."""
        return self._instant

    @property
    def interval_ms(self) -> int | None:
        """How long after each other blocks come by themselves; None if they don't."""
        return None if self._instant or not self._block_time_ms else self._block_time_ms

    def set_pace(self, *, instant: bool, interval_ms: int) -> None:
        """Seal instantly, or every so often; neither: only when somebody asks (development)."""
        self._instant, self._block_time_ms = instant, interval_ms
        self._due_ms = self._clock_ms()
        self._wake.set()  # what waits already is taken now

    def _on_admitted(self, _: Transaction) -> None:
        if self._instant:
            self._wake.set()

    # --- peers -----------------------------------------------------------------------------------

    def on_publish(self, listener: Callable[[Message], None]) -> None:
        """Call `listener` with all that every peer should have, in whichever thread has it."""
        self._listeners.append(listener)

    def on_connected(self, peer: str, *, fork_id: int) -> Sequence[Message]:
        """Return what a new peer on this branch should have at once, the head among it."""
        blockchain = self._blockchain
        head, certificate = blockchain.head.block, blockchain.certificate
        messages: list[Message] = [] if self.snapshots is None else self.snapshots.greeting()
        messages += [make_reverted(each) for each in blockchain.reverts]
        messages += self.recovery.greeting(fork_id)
        fork = self.recovery.block
        if head.header.number > 0 and (fork is None or head.hash != fork.hash):
            messages.append(make_proposal(blockchain, head))
        if certificate is not None and certificate.height > head.extension.certified_height:
            messages.append(CertificateMessage(encode_certificate(certificate)))
        log.debug("peer greeted", peer=peer, head=head.header.number)
        messages += [DisputeMessage(each) for each in self.disputes.current()]
        return messages + [CouncilAction(each) for each in self.submissions.in_force()]

    def on_message(self, peer: str, message: Message) -> Sequence[Message]:
        """Take a peer's message and return what to answer; what is not for it is passed over.

        Raises InvalidAttestation or InvalidDispute for signatures that do not hold.
        """
        if isinstance(message, GetBlocks):
            return [answer_blocks(self._blockchain, message)]
        if isinstance(message, GetChanges):
            return [answer_changes(self._blockchain, message)]
        if isinstance(message, GetForkConfirmations):
            return self.recovery.answer_confirmations(message)
        if isinstance(message, SnapshotSignature):
            if self.snapshots is not None:
                self.snapshots.on_signature(peer, message)
        elif isinstance(message, ForkPlan):
            # Others may have left while this node was down, and was not there to be halted.
            self.recovery.on_plan(peer, message.plan)
        elif isinstance(message, ForkConfirmation):
            return self._on_confirmation(peer, message)
        elif isinstance(message, Changes):
            self.recovery.on_changes(message)
        with self._lock:
            if isinstance(message, Attestation):
                self._on_attestation(message)
            elif isinstance(message, DisputeMessage):
                self._on_dispute(peer, message)
            elif isinstance(message, CouncilAction):
                self._on_council_action(peer, message)
        return []

    # --- forks -----------------------------------------------------------------------------------

    def submit_plan(self, data: bytes) -> Carried:
        """Take a fork plan with its signatures, and carry it out.

        Raises ActionImpossible while the chain goes on, else as `Recovery.submit`.
        """
        try:
            plan = decode_plan(decode_signed_plan(data).plan)
            is_new = plan.fork_id > self._blockchain.head.block.extension.fork_id
        except EncodingError as error:
            raise PlanRefused("content", str(error), "a plan with its signatures") from None
        if is_new and not stands(self._blockchain, self.submissions.hold):
            raise ActionImpossible("the chain goes on: halt it first, and plan the fork then")
        return self.recovery.submit(data)

    def _on_confirmation(self, peer: str, message: ForkConfirmation) -> Sequence[Message]:
        """Take a validator's word on the fork block, and tell everybody."""
        is_new, questions = self.recovery.on_confirmation(peer, message)
        if is_new:
            self._publish(message)
        return questions

    def _begin_branch(self) -> None:
        """Forget what was about the branch that was left."""
        with self._lock:
            self._attestations = Attestations()
            self._withdrawn = frozenset()
            self.failure = None
        self._wake.set()
        self._resume.set()

    def _on_reverted(self, _: Sequence[Block]) -> None:
        """Begin after a development revert as after a fork, and tell everybody."""
        self.time.exact_ms = None
        self._begin_branch()
        self._publish(make_reverted(self._blockchain.reverts[-1]))

    # --- attestations, disputes, actions ----------------------------------------------------------

    def _on_attestation(self, attestation: Attestation) -> None:
        blockchain = self._blockchain
        height, block_hash, index, _ = attestation
        head = blockchain.head.block.header.number
        block = blockchain.block_at(height) if 0 < height <= head else None
        if block is None or block.hash != block_hash:
            found = blockchain.store.load_header(block_hash)
            own = blockchain.next_identity()
            if found is not None and found[1][1:3] < (own.fork_id, own.dev_epoch):
                return  # of a branch that was left
            reason = f"{show(block_hash)} is no block of this chain"
            raise InvalidAttestation(height, index, reason)
        if height <= blockchain.certified_height():
            return
        certificate = self._attestations.add(
            attestation, blockchain.identity_of(block), blockchain.validators_of(block)
        )
        self._withdraw(blockchain.validators_of(block).members[index].public_key, height)
        if certificate is not None:
            blockchain.add_certificate(certificate)
            self._attestations.forget(height)
            self._publish(CertificateMessage(encode_certificate(certificate)))
            self._resume.set()

    def _withdraw(self, public_key: bytes, height: Height) -> None:
        """Stop counting a validator's dispute: it came to attest what it disputed."""
        disputes = self.disputes
        current = disputes.current()
        disputed = [each.height for each in current if disputes.author_of(each) == public_key]
        if disputed and height >= max(disputed):
            self._withdrawn |= {public_key}
            self._resume.set()

    def _on_dispute(self, peer: str, message: DisputeMessage) -> None:
        dispute = message.dispute
        if not self.disputes.add(dispute):
            return
        self._withdrawn -= {self.disputes.author_of(dispute)}
        log.error("block disputed", peer=peer, validator=dispute.validator, text=dispute.text())
        self._publish(message)

    def _on_council_action(self, peer: str, message: CouncilAction) -> None:
        try:
            self.submit_action(message.action)
        except (Refusal, ActionImpossible) as refusal:
            log.info("council action refused", peer=peer, reason=str(refusal))

    def submit_action(self, data: bytes) -> Taken:
        """Take what the council signed; raises the Refusal against it, or ActionImpossible."""
        return self.submissions.submit(data, is_stopped=self.phase().name == STOPPED)

    def _on_action_taken(self, data: bytes) -> None:
        self._publish(CouncilAction(data))
        self._wake.set()
        self._resume.set()

    def _publish(self, message: Message) -> None:
        for listener in self._listeners:
            listener(message)

    # --- the sealing thread ----------------------------------------------------------------------

    def _run(self) -> None:
        self.set_pace(instant=self._instant, interval_ms=self._block_time_ms)
        while True:
            self._wait_until_due()
            self._wait_until_open()
            if self._stopping:
                return
            self._wake.clear()
            started = self._clock_ms()
            try:
                taken = self._seal_next(started)
            except PerpnodeError as failure:
                # An invariant, or the disk, refused the block: nothing was written.
                self.failure = failure
                log.error("sealing stopped", reason=str(failure))
                continue
            self._set_due(started, taken)

    def _seal_next(self, now_ms: int) -> int:
        if self.phase().name != LAGGING:
            return self.seal() if self._is_due(now_ms) else self.seal_ready()
        self.seal_governance()
        return 0

    def _wait_until_open(self) -> None:
        """Wait until a block may be made; of a lagging chain only the council's actions make one.

        A halt that waited for a block when sealing stopped becomes a hold.
        """
        told = OPEN
        while not self._stopping:
            self._resume.clear()
            if self._catch_up():
                continue
            phase = self.phase()
            if phase.name != told:
                how = "sealing goes on" if phase.name == OPEN else f"sealing {phase.name}"
                log.warning(how, reason=phase.reason)
                told = phase.name
            if phase.name == STOPPED:
                self.submissions.hold_waiting()
            for message in self.recovery.due():
                self._publish(message)
            if phase.name == OPEN or (phase.name == LAGGING and self.submissions.waiting()):
                return
            self._resume.wait(PAUSE_S)

    def _catch_up(self) -> bool:
        """Seal an empty block if a fork's catch-up wants one; tell whether it did."""
        if self.failure is not None or not self.recovery.is_catching_up():
            return False
        try:
            self.seal()
        except PerpnodeError as failure:
            self.failure = failure
            log.error("sealing stopped", reason=str(failure))
        return True

    def _is_due(self, now_ms: int) -> bool:
        has_pace = self._instant or self._block_time_ms
        due_ms = self._due_ms
        return bool(has_pace) and due_ms is not None and now_ms >= due_ms

    def _set_due(self, started: int, taken: int) -> None:
        """Say when the next block is due; one that was late does not push the ones after it."""
        if self._instant:
            if taken and len(self._mempool):
                self._wake.set()
            head = self._blockchain.head.block
            gap_ms = self._blockchain.ledger_after(head).params.gap_ms_max
            self._due_ms = started + gap_ms // GAP_PARTS
        elif self._block_time_ms:
            self._due_ms = max(started + self._block_time_ms, self._clock_ms())
        else:
            self._due_ms = None

    def _wait_until_due(self) -> None:
        while not self._stopping:
            now_ms, due_ms = self._clock_ms(), self._due_ms
            if self._is_due(now_ms) or (self._instant and self._wake.is_set()):
                return
            left_ms = None if due_ms is None or due_ms <= now_ms else due_ms - now_ms
            self._wake.wait(None if left_ms is None else left_ms / 1000)
            if not self._instant:
                self._wake.clear()


def _require_key(blockchain: Blockchain, seed: bytes | None) -> None:
    expected = blockchain.next_validators().sequencer
    own = b"" if seed is None else ed25519_public_key(seed)
    if own != expected:
        names = f"0x{expected.hex()}" if expected else "none: blocks are not signed"
        has = f"0x{own.hex()}" if own else "none"
        raise KeyFileError(f"the sequencer's public key is {has}, genesis names {names}")
