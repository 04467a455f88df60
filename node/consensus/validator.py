"""A validator without its sockets: it recomputes the sequencer's blocks, and attests or disputes.

Proposals are taken in order and only with the sequencer's signature. A block is executed on the
validator's own parent state and compared (`Blockchain.import_block`); a wrong one is never
committed. If only the state root differs, the sequencer is asked for the records it changed: when
they lead to its root, the first field that differs from our own is named. A dispute is on disk
before it is told, and with it the validator stops: it follows and signs nothing more of that
branch, reads go on.

Without a key it follows and checks as well, and stops without a signature. Threads: messages and
ticks come from any thread, one at a time under the node's own lock.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from node.chain import keys
from node.chain.block import Block, decode_wire_block, decode_wire_head
from node.chain.blockchain import Blockchain
from node.chain.certificate import Certificate, decode_certificate, proposal_bytes
from node.chain.domains import Identity
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.consensus.block_time import BlockTime
from node.consensus.dispute import (
    Difference,
    Dispute,
    is_equivocation,
    sign_dispute,
)
from node.consensus.disputes import Disputes
from node.consensus.evidence import certificate_of, difference_of, make_difference, name_record
from node.consensus.guard import SignGuard
from node.consensus.hold import Hold
from node.consensus.link import SEQUENCER
from node.consensus.messages import (
    Attestation,
    Blocks,
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
    Proposal,
    Reverted,
    SnapshotRequest,
    SnapshotSignature,
)
from node.consensus.phase import OPEN, STOPPED, SYNCING, WITHHOLDING, Phase
from node.consensus.proposals import answer_blocks, answer_changes
from node.consensus.recovery import Carried, Recovery
from node.consensus.snapshots import Snapshots
from node.consensus.submissions import Submissions, Taken, Waiting
from node.crypto import ed25519_public_key, ed25519_verify
from node.errors import (
    ActionImpossible,
    EncodingError,
    InvalidBlock,
    InvalidCertificate,
    InvalidTransaction,
    PlanRefused,
    Refusal,
    SigningRefused,
    StateMismatch,
    show,
)
from node.governance.validators import find_validator
from node.perp.status import Mode
from node.snapshot.apply import check_catch_up
from node.snapshot.export import read_single
from node.units import Height, TimeMs

log = structlog.get_logger()

AHEAD_MS_MAX = 2_000
"""A block further ahead of the clock waits (DESIGN section 6)."""
QUEUE_MAX = 64
"""Proposals that wait for their parent or their time; later ones are asked for again."""
SYNCING_FROM = 4
"""So many blocks behind what it knows of, a node says that it is."""
ANSWER_MS_MAX = 2_000
"""So long a question to the sequencer is waited for."""
REMIND_MS = 1_000
"""How often the sequencer is told again of an action that it ignores."""


class Received(NamedTuple):
    """A proposal whose author is known."""

    block: Block
    proposal: Proposal
    identity: Identity
    """Under which the sequencer signed."""


class Suspect(NamedTuple):
    """A block of which only the state root is wrong, until its records are told."""

    received: Received
    mismatch: StateMismatch
    until_ms: int


class ValidatorNode:
    """Follows the sequencer."""

    def __init__(
        self,
        blockchain: Blockchain,
        *,
        clock_ms: Callable[[], int],
        seed: bytes | None,
        guard: SignGuard | None,
        hold: Hold | None = None,
        recovery: Recovery | None = None,
        snapshots: Snapshots | None = None,
    ) -> None:
        """Take the parts; the clock is the wall's. A key needs its guard.

        Without a `hold` one is kept in memory; a `recovery` shares it.
        """
        assert (seed is None) == (guard is None), "who signs is guarded"
        self._blockchain = blockchain
        self._clock_ms = clock_ms
        self._time = BlockTime(blockchain, clock_ms)
        self._seed = seed
        self._guard = guard
        self._public_key = b"" if seed is None else ed25519_public_key(seed)
        self._lock = threading.RLock()
        self._queue: dict[int, Received] = {}
        self._suspect: Suspect | None = None
        self._asked: tuple[Height, int] | None = None
        """From where on blocks were asked for, and until when the answer is waited for."""
        self._certified_hint = 0
        """Up to where signed blocks say the chain is certified: no need to attest what is."""
        self._waiting_height = 0
        self._is_left_behind = False
        """Whether the sequencer is on a fork that this node has yet to reach."""
        self._reverts: dict[tuple[int, int], Reverted] = {}
        """By fork and epoch: development reverts whose block this node has yet to reach."""
        self._found = ""
        """What a node without a key found wrong."""
        self._heard_height = 0
        """Of the highest block of this branch that the sequencer is known to have signed."""
        self._heard_ms = clock_ms()
        """When the last signed block came that was new here, or this node started."""
        self._is_withholding = False
        """Whether the newest block was not signed because it ignores the council."""
        self._reminded_ms = 0
        self.disputes = Disputes(blockchain)
        self.submissions = Submissions(blockchain, hold or Hold())
        self._to_tell: deque[Message] = deque()
        """From other threads, for the next tick."""
        self.submissions.on_taken(lambda data: self._to_tell.append(CouncilAction(data)))
        self.snapshots = snapshots
        self.recovery = recovery or Recovery(blockchain, self.submissions.hold, clock_ms=self._time)
        self.recovery.on_forking(lambda: None, self._begin_branch)
        self.recovery.on_carried(lambda data: self._to_tell.append(ForkPlan(data)))
        if snapshots is not None:
            snapshots.on_told(self._to_tell.append)
        self.is_sequencing = False
        self.has_key = seed is not None
        """Whether peers know it as a member of the set; else it observes."""

    def phase(self) -> Phase:
        """Return whether it follows, or stopped and why."""
        forking = self.recovery.phase()
        if forking is not None:
            return forking
        held = self.submissions.hold.current
        if held is not None:
            return Phase(STOPPED, held.text())
        stop = self._find_stop()
        if stop is not None:
            return Phase(STOPPED, stop.text())
        if self._found:
            return Phase(STOPPED, self._found)
        ignored = None if self._guard is None else self._find_ignored()
        if ignored is not None:
            return Phase(WITHHOLDING, _tell_ignored(ignored))
        head = self._blockchain.head.block.header.number
        if self._heard_height - head >= SYNCING_FROM:
            return Phase(SYNCING, f"block {head} of {self._heard_height}: the others are fetched")
        return Phase(OPEN, "")

    def may_plan(self) -> bool:
        """Tell whether no signed block came for as long as the gap limit: the sequencer is down.

        Then no block can be built, and who plans a fork goes by the blocks that are here.
        """
        limit_ms = read_single(self._blockchain.head.state, keys.CHAIN_PARAMS).gap_ms_max
        return self._clock_ms() - self._heard_ms > limit_ms

    def on_connected(self, *, fork_id: int) -> Sequence[Message]:
        """Return what to tell a sequencer on this branch first: what it may have missed, and where
        this node is.
        """
        with self._lock:
            greeting = self._greet(fork_id)
            if self._is_stopped():
                return greeting
            self._asked, self._suspect = None, None
            return [*greeting, *self._attest(self._blockchain.head.block), *self._ask()]

    def on_peer(self, *, fork_id: int, height: int) -> Sequence[Message]:
        """Return what to tell another follower first, whose head is at `height` of this branch.

        It has signed blocks as well: who is behind asks for them, and needs no sequencer for it.
        """
        with self._lock:
            greeting = self._greet(fork_id)
            own = self._blockchain.head.block
            is_behind = fork_id == own.extension.fork_id and height > own.header.number
            return [*greeting, *(self._ask() if is_behind and not self._is_stopped() else [])]

    def on_message(self, message: Message, peer: str = SEQUENCER) -> Sequence[Message]:
        """Take a message and return what to tell its sender; what is `GOSSIP` is for everybody.

        What is not for it is passed over. Raises EncodingError for blocks that are no blocks,
        InvalidDispute for evidence that does not hold.
        """
        if isinstance(message, GetBlocks):
            return [answer_blocks(self._blockchain, message)]
        if isinstance(message, GetChanges):
            return [answer_changes(self._blockchain, message)]
        if isinstance(message, GetForkConfirmations):
            return self.recovery.answer_confirmations(message)
        with self._lock:
            if isinstance(message, DisputeMessage):
                return self._on_dispute(message)
            if isinstance(message, CouncilAction):
                return self._on_council_action(peer, message)
            if isinstance(message, ForkPlan):
                is_forked = self.recovery.on_plan(peer, message.plan)
                return [*self._tell(), *self._on_forked(is_forked)]
            if isinstance(message, ForkConfirmation):
                return self._on_confirmation(peer, message)
            if isinstance(message, Changes):
                self.recovery.on_changes(message)
            if isinstance(message, Reverted):
                return self._on_reverted(message)
            if self.snapshots is not None and isinstance(message, SnapshotSignature):
                self.snapshots.on_signature(peer, message)
            if self.snapshots is not None and isinstance(message, SnapshotRequest):
                self.snapshots.on_request(message)
            if self._is_stopped():
                return []
            if isinstance(message, Proposal):
                return self.on_proposal(message)
            if isinstance(message, Blocks):
                return self._on_blocks(message)
            if isinstance(message, Changes):
                return self._on_changes(message)
            if isinstance(message, CertificateMessage):
                self._on_certificate(decode_certificate(message.certificate))
        return []

    def on_tick(self) -> Sequence[Message]:
        """Do what time made due; called a few times a second."""
        with self._lock:
            told = [*self._tell(), *self._on_forked(self.recovery.on_tick())]
            told += self.recovery.due()
            if self._is_stopped() or self.may_plan():
                self.submissions.hold_waiting()
            if self._is_stopped():
                return told
            now = self._clock_ms()
            told += self._remind(now)
            suspect = self._suspect
            if suspect is not None and now >= suspect.until_ms:
                return told + self._dispute(suspect.received, difference_of(suspect.mismatch))
            messages = [*told, *self._advance()]
            if self._queue and min(self._queue) > self._next_height():
                messages += self._ask()
            return messages

    def on_proposal(self, proposal: Proposal) -> list[Message]:
        """Take a block; what is not signed by the sequencer is dropped and named in the log."""
        with self._lock:
            received, refusal = self._receive(proposal)
            if received is not None and self._is_news(received.block):
                self._heard_ms = self._clock_ms()
            if self._is_stopped():
                return []
            if received is None:
                return self._ask() if self._is_left_behind else []
            self._is_left_behind = False
            block = received.block
            height = block.header.number
            self._certified_hint = max(self._certified_hint, block.extension.certified_height)
            self._heard_height = max(self._heard_height, height)
            if height < self._next_height():
                return self._compare_with_own(received)
            queued = self._queued(height)
            if queued is not None and queued.block.hash != block.hash:
                return self._equivocation(received, queued)
            if refusal is not None:
                if height > self._next_height():
                    return self._ask()
                return self._dispute(received, Difference("transactions", "included", refusal))
            if height < self._next_height() + QUEUE_MAX:
                self._queue[height] = received
            messages = self._advance()
            if height > self._next_height():
                messages += self._ask()
            return messages

    # --- from a proposal to an attestation -------------------------------------------------------

    def _receive(self, proposal: Proposal) -> tuple[Received | None, str | None]:
        """Return a block whose author is the sequencer, and why its body decodes to nothing."""
        refusal = None
        try:
            block = decode_wire_block(proposal.block)
        except InvalidTransaction as error:
            block, refusal = decode_wire_head(proposal.block), str(error)
        identity = self._find_identity(block, proposal.signature)
        height, block_hash = block.header.number, show(block.hash)
        if identity is None and block.extension.fork_id > 0 and not proposal.signature:
            log.info("a fork's block is built here, from its plan", height=height, hash=block_hash)
            return None, None
        if identity is None:
            log.warning(
                "proposal dropped: not signed by the sequencer", height=height, hash=block_hash
            )
            return None, None
        own = self._blockchain.next_identity()
        if identity.fork_id > own.fork_id:
            if not self._is_left_behind:
                log.warning("blocks of a later fork wait", height=height, fork_id=identity.fork_id)
            self._is_left_behind = True
            return None, None
        if identity != own:
            log.warning(
                "proposal dropped: of another branch",
                height=height,
                hash=block_hash,
                fork_id=identity.fork_id,
                dev_epoch=identity.dev_epoch,
                own_fork_id=own.fork_id,
                own_dev_epoch=own.dev_epoch,
            )
            return None, None
        return Received(block, proposal, identity), refusal

    def _find_identity(self, block: Block, signature: bytes) -> Identity | None:
        """Return the branch for which the sequencer signed: the block's own, or this node's."""
        blockchain = self._blockchain
        sequencer = blockchain.next_validators().sequencer
        own = blockchain.next_identity()
        if not sequencer:
            return own if not signature else None
        for identity in (own, blockchain.identity_of(block)):
            message = proposal_bytes(identity, block.header.number, block.hash)
            if ed25519_verify(sequencer, signature, message):
                return identity
        return None

    def _advance(self) -> list[Message]:
        """Import what waits and may be imported; return what there is to say."""
        messages: list[Message] = []
        while self._suspect is None and not self._is_stopped():
            for height in [each for each in self._queue if each < self._next_height()]:
                del self._queue[height]
            received = self._queue.get(self._next_height())
            if received is None or self._is_ahead(received.block):
                break
            del self._queue[received.block.header.number]
            messages += self._import(received)
        return messages

    def _is_ahead(self, block: Block) -> bool:
        now_ms = self._clock_ms() + self._time.offset_after(block)
        ahead = block.extension.time_ms - now_ms
        if ahead <= AHEAD_MS_MAX:
            return False
        height = block.header.number
        if self._waiting_height != height:
            log.warning("block waits: it is ahead of this clock", height=height, ahead_ms=ahead)
            self._waiting_height = height
        return True

    def _import(self, received: Received) -> list[Message]:
        block, proposal = received.block, received.proposal
        try:
            self._check_catch_up(block)
            self._blockchain.import_block(
                block,
                certificate=certificate_of(proposal),
                signature=proposal.signature,
            )
        except StateMismatch as mismatch:
            self._suspect = Suspect(received, mismatch, self._clock_ms() + ANSWER_MS_MAX)
            return [GetChanges(block.header.number, block.hash)]
        except InvalidBlock as wrong:
            return self._dispute(received, difference_of(wrong))
        except EncodingError as wrong:
            return self._dispute(received, Difference("records", "encoded", str(wrong)))
        return [*self._attest(block), *self._follow_reverts()]

    def _attest(self, block: Block) -> list[Message]:
        """Return this node's attestation of a block it made itself, if it is to give one."""
        height = block.header.number
        if self._guard is None or height <= max(self._certified_hint, self._certified()):
            return []
        if not self.recovery.may_attest(height):
            return []
        ignored = self._find_ignored()
        if ignored is not None:
            if not self._is_withholding:
                log.warning("blocks are not signed", height=height, reason=_tell_ignored(ignored))
            self._is_withholding = True
            return []
        if self._is_withholding:
            log.warning("blocks are signed again", height=height)
        self._is_withholding = False
        blockchain = self._blockchain
        index = find_validator(blockchain.validators_of(block), self._public_key)
        if index is None:
            return []
        try:
            signature = self._guard.sign(blockchain.identity_of(block), height, block.hash)
        except SigningRefused as refusal:
            log.warning("block not attested", height=height, reason=str(refusal))
            return []
        return [Attestation(height, block.hash, index, signature)]

    def _compare_with_own(self, received: Received) -> list[Message]:
        """Take a block of a height that is here: the same one again, or a second one."""
        block = received.block
        own = self._blockchain.block_at(block.header.number)
        if own is None or own.hash == block.hash:
            is_head = own is not None and own.hash == self._blockchain.head.block.hash
            return self._attest(block) if is_head else []
        signature = self._blockchain.store.load_signature(own.hash)
        first = Received(own, Proposal(b"", signature, b""), self._blockchain.identity_of(own))
        if not signature or first.identity != received.identity:
            log.warning("proposal dropped: another block is here", height=block.header.number)
            return []
        return self._equivocation(received, first)

    # --- asking ----------------------------------------------------------------------------------

    def _ask(self) -> list[Message]:
        """Ask for the next block and those after it, once at a time."""
        now, height = self._clock_ms(), Height(self._next_height())
        if self._asked is not None and self._asked[0] == height and now < self._asked[1]:
            return []
        self._asked = (height, now + ANSWER_MS_MAX)
        return [GetBlocks(height)]

    def _on_blocks(self, message: Blocks) -> list[Message]:
        before = self._next_height()
        self._asked = None
        messages: list[Message] = []
        for proposal in message.proposals:
            messages += [
                each for each in self.on_proposal(proposal) if not isinstance(each, GetBlocks)
            ]
        if self._next_height() > before and self._suspect is None and not self._is_stopped():
            messages += self._ask()
        return messages

    def _on_certificate(self, certificate: Certificate) -> None:
        if certificate.height >= self._next_height():
            return  # its block comes, and then the one that names it
        try:
            self._blockchain.add_certificate(certificate)
        except InvalidCertificate as refusal:
            log.warning("certificate dropped", reason=str(refusal))

    def _on_changes(self, message: Changes) -> list[Message]:
        suspect = self._suspect
        if suspect is None or message.block_hash != suspect.received.block.hash:
            return []
        block, proposal, _ = suspect.received
        found = name_record(self._blockchain, block, proposal, message)
        difference = found or difference_of(suspect.mismatch)
        return self._dispute(suspect.received, difference)

    # --- the council -----------------------------------------------------------------------------

    def submit_action(self, data: bytes) -> Taken:
        """Take what the council signed and pass it on; it holds where no certificate can be."""
        is_stopped = self._is_stopped() or self.disputes.find_stop() is not None
        # Of a HALTED chain silence is no news: its next block is for this action.
        is_halted = read_single(self._blockchain.head.state, keys.CHAIN_STATUS).mode == Mode.HALTED
        is_silent = self.may_plan() and not is_halted
        return self.submissions.submit(data, is_stopped=is_stopped or is_silent)

    def _on_council_action(self, peer: str, message: CouncilAction) -> list[Message]:
        try:
            self.submit_action(message.action)
        except (Refusal, ActionImpossible) as refusal:
            log.info("council action refused", peer=peer, reason=str(refusal))
        return self._tell()

    def _find_ignored(self) -> Waiting | None:
        """Return the council's action that the sequencer has passed over for too long."""
        blockchain, fork = self._blockchain, self.recovery.fork
        begun = Height(0) if fork is None else fork.last_restart_height
        limit = read_single(blockchain.head.state, keys.CHAIN_PARAMS).inclusion_limit
        return self.submissions.find_ignored(begun, limit)

    def _remind(self, now: int) -> list[Message]:
        """Tell the sequencer again what it ignores; sign again once nothing is ignored."""
        if not self._is_withholding or now < self._reminded_ms + REMIND_MS:
            return []
        self._reminded_ms = now
        head = self._blockchain.head.block
        self.submissions.review(TimeMs(max(now, head.extension.time_ms + 1)))
        ignored = self._find_ignored()
        return self._attest(head) if ignored is None else [CouncilAction(ignored.data)]

    def _tell(self) -> list[Message]:
        """Return what other threads left to be told."""
        return [self._to_tell.popleft() for _ in range(len(self._to_tell))]

    # --- forks -----------------------------------------------------------------------------------

    def submit_plan(self, data: bytes) -> Carried:
        """Take a fork plan with its signatures, carry it out and pass it on.

        Raises as `Recovery.submit`.
        """
        with self._lock:
            try:
                return self.recovery.submit(data)
            except EncodingError as error:
                raise PlanRefused("content", str(error), "a plan with its signatures") from None

    def _greet(self, fork_id: int) -> list[Message]:
        """Return what a peer on this branch may have missed: all that is told on."""
        messages: list[Message] = [] if self.snapshots is None else self.snapshots.greeting()
        messages += self.recovery.greeting(fork_id)
        messages += [DisputeMessage(each) for each in self.disputes.current()]
        return messages + [CouncilAction(each) for each in self.submissions.in_force()]

    def _confirm(self) -> list[Message]:
        own = None if self.recovery.is_open() else self.recovery.own_confirmation()
        return [] if own is None else [own]

    def _on_forked(self, is_forked: bool) -> list[Message]:
        return [*self._confirm(), *self._ask()] if is_forked else []

    def _on_confirmation(self, peer: str, message: ForkConfirmation) -> list[Message]:
        was_open = self.recovery.is_open()
        is_new, messages = self.recovery.on_confirmation(peer, message)
        if is_new:
            messages = [*messages, message]
        if was_open or not self.recovery.is_open():
            return messages
        return [*messages, *self._ask()]

    def _check_catch_up(self, block: Block) -> None:
        """Refuse anything but an empty block, 1 ms after its parent, while a fork catches up."""
        others = [tx for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT or tx.data]
        height, time_ms = block.header.number, block.extension.time_ms
        check_catch_up(self._blockchain, height, time_ms, others)

    def _begin_branch(self) -> None:
        """Forget what was about the branch that was left."""
        self._queue.clear()
        self._suspect, self._asked = None, None
        self._certified_hint, self._waiting_height, self._heard_height = 0, 0, 0
        self._found = ""

    # --- development ------------------------------------------------------------------------------

    def _on_reverted(self, message: Reverted) -> list[Message]:
        """Go back with the sequencer, on a development chain; its link proves who says so."""
        if not self._blockchain.genesis.dev:
            log.warning("revert dropped: genesis does not say dev", height=message.height)
            return []
        self._reverts[message.fork_id, message.dev_epoch] = message
        return self._follow_reverts()

    def _follow_reverts(self) -> list[Message]:
        """Go back to the last revert's block that is here; earlier ones lead to it."""
        blockchain = self._blockchain
        own = blockchain.next_identity()
        for branch, revert in sorted(self._reverts.items(), reverse=True):
            if branch <= (own.fork_id, own.dev_epoch):
                del self._reverts[branch]
            if branch[0] != own.fork_id or branch not in self._reverts:
                continue
            is_here = revert.height <= blockchain.head.block.header.number
            block = blockchain.block_at(revert.height) if is_here else None
            if block is None or block.hash != revert.block_hash:
                continue
            if self._is_stopped():
                blockchain.distrust_flat_table()
            blockchain.revert_to(block, revert.dev_epoch, offset_ms=revert.offset_ms)
            log.warning("reverted", height=revert.height, dev_epoch=revert.dev_epoch)
            self._begin_branch()
            return self._ask()
        return []

    # --- disputes --------------------------------------------------------------------------------

    def _dispute(self, received: Received, difference: Difference) -> list[Message]:
        """Sign, store and return a dispute; with it this node stops."""
        return self._publish(received, difference, other_hash=b"", other_signature=b"")

    def _equivocation(self, second: Received, first: Received) -> list[Message]:
        """Dispute two signed blocks of one height."""
        difference = make_difference("hash", second.block.hash, first.block.hash)
        return self._publish(
            second,
            difference,
            other_hash=first.block.hash,
            other_signature=first.proposal.signature,
        )

    def _publish(
        self,
        received: Received,
        difference: Difference,
        *,
        other_hash: bytes,
        other_signature: bytes,
    ) -> list[Message]:
        self._suspect = None
        self._queue.clear()
        block, identity = received.block, received.identity
        index = find_validator(self._blockchain.next_validators(), self._public_key)
        dispute = Dispute(
            identity.fork_id,
            identity.dev_epoch,
            block.header.number,
            block.hash,
            received.proposal.signature,
            *difference,
            other_hash,
            other_signature,
            -1 if index is None else index,
            b"",
        )
        log.error("block disputed", text=dispute.text(), hash=show(block.hash))
        if self._seed is None or index is None:
            self._found = dispute.text()
            return []
        dispute = sign_dispute(dispute, identity, self._seed)
        self.disputes.add(dispute)
        return [DisputeMessage(dispute)]

    def _on_dispute(self, message: DisputeMessage) -> list[Message]:
        """Store somebody's evidence and tell it on; ours is made of our own numbers alone.

        An own dispute that comes back is of a life that this database knows nothing of: it was
        made anew, and recomputes.
        """
        dispute = message.dispute
        if self._is_own(dispute) and not is_equivocation(dispute):
            return []
        if not self.disputes.add(dispute):
            return []
        log.warning("dispute received", validator=dispute.validator, text=dispute.text())
        return [message]

    def _find_stop(self) -> Dispute | None:
        """Return the dispute with which this node stopped: its own, or two signed blocks."""
        for dispute in self.disputes.current():
            if self._is_own(dispute) or is_equivocation(dispute):
                return dispute
        return None

    def _is_stopped(self) -> bool:
        is_held = self.submissions.hold.current is not None
        return is_held or bool(self._found) or self._find_stop() is not None

    def _is_own(self, dispute: Dispute) -> bool:
        return bool(self._public_key) and self.disputes.author_of(dispute) == self._public_key

    # --- where this node is ----------------------------------------------------------------------

    def _next_height(self) -> int:
        return self._blockchain.head.block.header.number + 1

    def _certified(self) -> int:
        certificate = self._blockchain.certificate
        return 0 if certificate is None else certificate.height

    def _is_news(self, block: Block) -> bool:
        """Tell whether a block was not here before: anybody can send an old one again."""
        height = block.header.number
        return height >= self._next_height() and self._queued(height) is None

    def _queued(self, height: int) -> Received | None:
        """Return the block of a height that waits, for whatever reason."""
        suspect = self._suspect
        if suspect is not None and suspect.received.block.header.number == height:
            return suspect.received
        return self._queue.get(height)


def _tell_ignored(ignored: Waiting) -> str:
    """Return in one sentence why blocks are not signed."""
    return (
        f"the sequencer ignores the council's {ignored.name} 0x{ignored.digest.hex()}, which waits "
        f"since block {ignored.since}: no block is signed until one carries it"
    )
