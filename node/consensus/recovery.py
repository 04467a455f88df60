"""How a running node leaves a branch: from a fork plan with its signatures to the next open block.

    accept     from JSON-RPC or a peer, with the council's signatures
    verify     every check of `snapshot.check`, before anything is written
    carry out  the fork block F is built here, written, and is the head (`snapshot.apply`)
    confirm    each validator signs FORK over F's hash and state root, and tells everybody
    gate       nothing is sealed or signed on F before enough power has confirmed the same F;
               a differing report stops the node, and names the first key that differs
    catch-up   the sequencer seals empty blocks until its height exceeds the orphan tip's

Every step is made up for after a crash: F follows from the plan, confirmations are on disk and told
again, the gate and the catch-up follow from both. Threads: any may call; the chain's write lock is
taken inside this module's own, never the other way round.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

import structlog

from node.chain import keys
from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.domains import Kind, signed_bytes
from node.chain.validation import compare_changes
from node.consensus.hold import Hold
from node.consensus.messages import (
    Changes,
    ForkConfirmation,
    ForkPlan,
    GetChanges,
    GetForkConfirmations,
    Message,
)
from node.consensus.phase import FORKING, STOPPED, Phase
from node.consensus.proposals import read_changes
from node.crypto import ed25519_public_key, ed25519_sign, ed25519_verify
from node.encoding import codec_of
from node.errors import (
    EncodingError,
    MissingState,
    OperatorError,
    PerpnodeError,
    PlanRefused,
    Refusal,
    show,
)
from node.governance.fork import Fork
from node.governance.validators import find_validator, is_restart_power, total_power
from node.snapshot.apply import BumpSignState, apply_plan
from node.snapshot.approval import SignedPlan, check_approval, decode_signed_plan
from node.snapshot.check import check_plan, find_applied
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.export import read_single
from node.snapshot.fork import load_forks
from node.snapshot.plan import Plan, decode_plan, plan_hash
from node.units import Hash32, TimeMs

log = structlog.get_logger()

TOLD_AGAIN_MS = 1_000
"""How often an own confirmation is repeated while the gate is closed."""
TRIED_AGAIN_MS = 5_000
"""How often a plan that was refused is tried again: signatures of its snapshot may have come."""
PENDING_MAX = 16
"""Plans of forks that this node has not reached yet."""


class Carried(NamedTuple):
    """A plan that is carried out."""

    plan: Plan
    block: Block
    """The fork block."""
    is_new: bool
    """False: it was carried out before."""


class RefusedPlan(NamedTuple):
    """A peer's plan that this node could not carry out when it came."""

    data: bytes
    reason: str
    at_ms: int


class Recovery:
    """The forks of one node."""

    def __init__(
        self,
        blockchain: Blockchain,
        hold: Hold,
        *,
        clock_ms: Callable[[], int],
        directory: SnapshotDirectory | None = None,
        seed: bytes | None = None,
        bump: BumpSignState = lambda _: None,
        asks_operator: bool = False,
    ) -> None:
        """Take the parts; `seed` is a validator's own. Without snapshots no plan is carried out.

        With `asks_operator` a peer's plan waits until somebody hands it in here.
        """
        self._blockchain = blockchain
        self._hold = hold
        self._clock_ms = clock_ms
        self._directory = directory
        self._seed = seed
        self._public_key = b"" if seed is None else ed25519_public_key(seed)
        self._bump = bump
        self._asks_operator = asks_operator
        self._lock = threading.RLock()
        self._pending: dict[int, bytes] = {}
        """By fork id: plans of forks that this node has yet to reach."""
        self._confirmations: dict[int, ForkConfirmation] = {}
        self._differences: dict[int, str] = {}
        """By validator: the first key that differs in the fork block that it built."""
        self._told_ms = 0
        self._refused: RefusedPlan | None = None
        self._before: list[Callable[[], None]] = []
        self._after: list[Callable[[], None]] = []
        self._passed: list[Callable[[], None]] = []
        self._carried: list[Callable[[bytes], None]] = []
        self.fork: Fork | None = None
        """The newest fork of the head's branch."""
        self.block: Block | None = None
        """Its fork block."""
        self._is_open = True
        self._load()

    # --- who wants to know -----------------------------------------------------------------------

    def on_forking(self, before: Callable[[], None], after: Callable[[], None]) -> None:
        """Call `before` ahead of every fork, and `after` it, whether it went well or not."""
        self._before.append(before)
        self._after.append(after)

    def on_passed(self, listener: Callable[[], None]) -> None:
        """Call `listener` when the gate opens."""
        self._passed.append(listener)

    def on_carried(self, listener: Callable[[bytes], None]) -> None:
        """Call `listener` with the signed form of every plan that this node found good."""
        self._carried.append(listener)

    # --- where this node is ----------------------------------------------------------------------

    def phase(self) -> Phase | None:
        """Return why the fork keeps this node from going on as usual; None if it does not."""
        fork = self.fork
        if fork is None or not self.is_forking():
            return None
        if self.is_open():
            until = fork.last_restart_height
            return Phase(FORKING, f"fork {fork.fork_id}: empty blocks until block {until}")
        conflict = self.conflict()
        if conflict:
            return Phase(STOPPED, conflict)
        members = self._blockchain.next_validators()
        return Phase(
            FORKING,
            f"fork {fork.fork_id}: block {fork.height} is built; validators with {self.power()} "
            f"of {total_power(members)} power built the same, more are needed",
        )

    def is_forking(self) -> bool:
        """Tell whether the head is not yet beyond the branch that was left."""
        fork = self.fork
        height = self._blockchain.head.block.header.number
        return fork is not None and height < fork.last_restart_height

    def is_open(self) -> bool:
        """Tell whether anything may be sealed or signed on the head's branch."""
        fork = self.fork
        if self._is_open or fork is None:
            return True
        certificate = self._blockchain.certificate  # more than 2/3 have gone on from it
        return certificate is not None and certificate.height >= fork.height

    def is_catching_up(self) -> bool:
        """Tell whether the sequencer is to seal empty blocks."""
        return self.is_forking() and self.is_open()

    def may_attest(self, height: int) -> bool:
        """Tell whether a block is to be attested: the catch-up is certified as one run."""
        fork = self.fork
        return fork is None or (self.is_open() and height >= fork.last_restart_height)

    def power(self) -> int:
        """Return the power of those who built this node's fork block."""
        block, members = self.block, self._blockchain.next_validators().members
        return sum(
            members[each.validator].power
            for each in list(self._confirmations.values())
            if block is not None and each.block_hash == block.hash
        )

    def confirmations(self) -> list[ForkConfirmation]:
        """Return every report on the newest fork, by validator."""
        return [report for _, report in sorted(self._confirmations.items())]

    def answer_confirmations(self, request: GetForkConfirmations) -> Sequence[Message]:
        """Return every report on the newest fork if it is the one that is asked about."""
        is_newest = self.fork is not None and self.fork.fork_id == request.fork_id
        return self.confirmations() if is_newest else []

    def conflict(self) -> str:
        """Return how a validator's fork block differs from this node's, empty if none does."""
        block, fork = self.block, self.fork
        if block is None or fork is None:
            return ""
        for index, report in sorted(self._confirmations.items()):
            if report.block_hash != block.hash:
                found = self._differences.get(index, "its records are not known here")
                return (
                    f"fork {fork.fork_id}: validator {index} built block "
                    f"{show(report.block_hash)} with state root {show(report.state_root)}, here it "
                    f"is {show(block.hash)} with {show(block.header.state_root)}: {found}"
                )
        return ""

    # --- plans -----------------------------------------------------------------------------------

    def submit(self, data: bytes) -> Carried:
        """Verify a signed plan and carry it out; the same plan once more changes nothing.

        Raises EncodingError, PlanRefused, a council's Refusal or InvalidSnapshot with the first
        check that failed; then nothing was written.
        """
        signed = decode_signed_plan(data)
        return self._submit(decode_plan(signed.plan), signed, data)

    def _submit(self, plan: Plan, signed: SignedPlan, data: bytes) -> Carried:
        with self._lock:
            done = find_applied(self._blockchain, plan)
            if done is not None:
                block = self._blockchain.store.load_block(done)
                assert block is not None, "the index names blocks that are kept"
                return Carried(plan, block, is_new=False)
            self._verify(plan, signed)
            block = self._carry_out(plan, data)
        self._tell_carried(data)
        return Carried(plan, block, is_new=True)

    def _tell_carried(self, data: bytes) -> None:
        for listener in self._carried:
            listener(data)

    def on_plan(self, peer: str, data: bytes) -> bool:
        """Take a plan that a peer passed on; tell whether it was carried out by this.

        One of a fork that this node has not reached yet waits; what is wrong is named in the log.
        """
        try:
            signed = decode_signed_plan(data)
            plan = decode_plan(signed.plan)
        except (EncodingError, PlanRefused) as refusal:
            log.warning("fork plan dropped", peer=peer, reason=str(refusal))
            return False
        with self._lock:
            head, refused = self._blockchain.head.block, self._refused
            if plan.fork_id <= head.extension.fork_id:
                return False
            if refused is not None and refused.data == data:
                return False  # tried again by itself
            if not self._is_approved(plan, signed):
                log.warning("fork plan dropped", peer=peer, reason="the council did not sign it")
                return False  # it would be remembered in place of one that it signed
            if plan.fork_id > head.extension.fork_id + 1 or (
                head.header.number < plan.snapshot.height
            ):
                if len(self._pending) < PENDING_MAX:
                    self._pending.setdefault(plan.fork_id, data)
                return False
            return self._try(peer, plan, signed, data)

    def _try(self, peer: str, plan: Plan, signed: SignedPlan, data: bytes) -> bool:
        """Carry out a peer's plan, or remember why not: what it lacks may come."""
        try:
            if not self._asks_operator:
                return self._submit(plan, signed, data).is_new
            self._verify(plan, signed)
        except PerpnodeError as refusal:
            reason = str(refusal)
            if self._refused is None or self._refused[:2] != (data, reason):
                log.error("fork plan refused", peer=peer, reason=reason)
        else:
            reason = "a fork plan waits for this node's operator: hand it in here"
            if self._refused is None or self._refused[:2] != (data, reason):
                log.warning(reason, peer=peer, plan_hash=show(plan_hash(plan)))
                self._tell_carried(data)
        self._refused = RefusedPlan(data, reason, self._clock_ms())
        return False

    def on_tick(self) -> bool:
        """Carry out a plan that waited: for its snapshot's block, or for what it was refused for;
        tell whether it was.
        """
        with self._lock:
            next_id = self._blockchain.head.block.extension.fork_id + 1
            data, refused = self._pending.pop(next_id, None), self._refused
            if data is not None:
                return self.on_plan("earlier", data)
            if refused is None or self._clock_ms() < refused.at_ms + TRIED_AGAIN_MS:
                return False
            signed = decode_signed_plan(refused.data)
            plan = decode_plan(signed.plan)
            if plan.fork_id == next_id:
                return self._try("earlier", plan, signed, refused.data)
            self._refused = None
            return False

    def signed_plans(self, fork_id: int) -> list[bytes]:
        """Return the signed plans of the forks on this branch after `fork_id`, oldest first."""
        kv = self._blockchain.store.kv
        rows = [
            kv.get(keys.signed_plan_row(fork.plan_hash))
            for fork in load_forks(self._blockchain)
            if fork.fork_id > fork_id
        ]
        return [row for row in rows if row is not None]

    # --- confirmations ---------------------------------------------------------------------------

    def own_confirmation(self) -> ForkConfirmation | None:
        """Return this validator's word on the fork block that it built; None if it has none."""
        block = self.block
        index = find_validator(self._blockchain.next_validators(), self._public_key)
        if block is None or index is None or self._seed is None:
            return None
        root = block.header.state_root
        signature = ed25519_sign(self._seed, self._signed(block.hash, root))
        return ForkConfirmation(block.header.number, block.hash, root, index, signature)

    def due(self) -> list[Message]:
        """Return what to say again while the gate is closed: the own word, and a question."""
        fork = self.fork
        with self._lock:
            if fork is None or self.is_open():
                return []
            if self._clock_ms() < self._told_ms + TOLD_AGAIN_MS:
                return []
            self._told_ms = self._clock_ms()
            own = self.own_confirmation()
            question = GetForkConfirmations(fork.fork_id)
            return [question] if own is None else [own, question]

    def on_confirmation(self, peer: str, report: ForkConfirmation) -> tuple[bool, list[Message]]:
        """Take a validator's word; tell whether it is news, and what to ask its sender.

        Its first word counts until it says what this node does; then that counts. All else would be
        news at one node after the other, and two words would chase each other for ever.
        """
        with self._lock:
            block, members = self.block, self._blockchain.next_validators().members
            if block is None or report.validator >= len(members):
                return False, []
            known = self._confirmations.get(report.validator)
            if known == report:
                return False, self._ask(report)
            is_mended = known is not None and known.block_hash != block.hash == report.block_hash
            if known is not None and not is_mended:
                return False, []
            message = self._signed(report.block_hash, report.state_root)
            key = members[report.validator].public_key
            if report.height != block.header.number or not ed25519_verify(
                key, report.signature, message
            ):
                log.debug("fork confirmation dropped: of another fork, or not signed", peer=peer)
                return False, []
            self._keep(report)
            if report.block_hash != block.hash:
                log.error("fork block differs", validator=report.validator, text=self.conflict())
            is_passed = self._open()
            questions = self._ask(report)
        if is_passed:
            self._tell_passed()
        return True, questions

    def on_changes(self, message: Changes) -> None:
        """Name the first key in which a validator's fork block differs from this node's."""
        with self._lock:
            block = self.block
            authors = [
                index
                for index, report in self._confirmations.items()
                if report.block_hash == message.block_hash
            ]
            theirs = read_changes(message)
            if block is None or block.hash == message.block_hash or not authors or theirs is None:
                return
            parent = self._blockchain.store.load_block(block.header.parent_hash)
            assert parent is not None, "a fork begins at a block that is kept"
            found = compare_changes(
                theirs, self._blockchain.changes_of(block), self._blockchain.proof_state(parent)
            )
            text = "its records are the same"
            if found is not None:
                text = f"{found.field}: {show(found.value)} there, {show(found.expected)} here"
            for index in authors:
                self._differences[index] = text
        log.error("fork block differs", text=text, validators=authors)

    def greeting(self, fork_id: int) -> list[Message]:
        """Return what a peer on this branch should hear: later plans, and who built the last."""
        plans: list[Message] = [ForkPlan(each) for each in self.signed_plans(fork_id)]
        return plans + list(self.confirmations())

    # --- within ----------------------------------------------------------------------------------

    def _is_approved(self, plan: Plan, signed: SignedPlan) -> bool:
        """Tell whether the council signed a plan: the snapshot's, or the head's while that is not
        here.
        """
        blockchain = self._blockchain
        found = blockchain.store.load_block(plan.snapshot.block_hash)
        try:
            state = blockchain.state_at(found or blockchain.head.block)
            check_approval(plan, signed, read_single(state, keys.COUNCIL))
        except (MissingState, PlanRefused, Refusal):
            return False
        return True

    def _verify(self, plan: Plan, signed: SignedPlan) -> None:
        directory, blockchain = self._directory, self._blockchain
        if directory is None:
            raise OperatorError("this node keeps no snapshots: hand the plan to one that does")
        certified = blockchain.certified_height()
        if certified > plan.orphan_tip.height:
            expected = f"{certified}, which is certified: halt, plan anew"
            raise PlanRefused("orphan_tip.height", plan.orphan_tip.height, expected)
        header = blockchain.store.load_header(plan.snapshot.block_hash)
        fork_id = 0 if header is None else header[1].fork_id
        path = directory.path_of(SnapshotId(fork_id, plan.snapshot.height))
        check_plan(blockchain, plan, signed, snapshot=path, now_ms=TimeMs(self._clock_ms()))

    def _carry_out(self, plan: Plan, data: bytes) -> Block:
        for before in self._before:
            before()
        try:
            self._blockchain.store.kv.write([(keys.signed_plan_row(plan_hash(plan)), data)])
            with self._blockchain.write_lock:  # nobody seals before the gate is known
                block = apply_plan(self._blockchain, plan, self._bump)
                self._load()
            log.warning(
                "forked",
                fork_id=plan.fork_id,
                height=block.header.number,
                hash=show(block.hash),
                left=plan.orphan_tip.height,
            )
        finally:
            for after in self._after:
                after()
        if self._is_open:
            self._tell_passed()
        return block

    def _load(self) -> None:
        """Know the newest fork, who confirmed it, and whether the gate is open."""
        blockchain = self._blockchain
        forks = load_forks(blockchain)
        self.fork = forks[-1] if forks else None
        self.block = None if self.fork is None else blockchain.block_at(self.fork.height)
        self._confirmations, self._differences = {}, {}
        self._is_open = self.block is None
        if self.fork is None or self.block is None:
            return
        prefix = keys.CONFIRMATIONS + self.fork.fork_id.to_bytes(4, "big")
        for _, row in blockchain.store.kv.items(prefix):
            report = codec_of(ForkConfirmation).decode(row)
            self._confirmations[report.validator] = report
        own = self.own_confirmation()
        if own is not None and self._confirmations.get(own.validator) != own:
            self._keep(own)
        if self._open():
            self._lift()

    def _keep(self, report: ForkConfirmation) -> None:
        assert self.fork is not None, "a report is about a fork"
        row = keys.confirmation_row(self.fork.fork_id, report.validator)
        self._blockchain.store.kv.write([(row, codec_of(ForkConfirmation).encode(report))])
        self._confirmations[report.validator] = report
        self._differences.pop(report.validator, None)

    def _open(self) -> bool:
        """Open the gate if enough power built the same and nobody else; tell whether it did."""
        if self._is_open or self.conflict():
            return False
        blockchain = self._blockchain
        self._is_open = is_restart_power(
            blockchain.next_validators(),
            self.power(),
            least_ppm=read_single(blockchain.head.state, keys.CHAIN_PARAMS).restart_power_ppm,
        )
        return self._is_open

    def _tell_passed(self) -> None:
        assert self.fork is not None, "a gate belongs to a fork"
        log.warning("enough validators built the same fork block", fork_id=self.fork.fork_id)
        self._lift()
        for listener in self._passed:
            listener()

    def _lift(self) -> None:
        """End the hold of the branch that was left."""
        fork, held = self.fork, self._hold.current
        if fork is not None and held is not None and held.fork_id < fork.fork_id:
            self._hold.lift()

    def _ask(self, report: ForkConfirmation) -> list[Message]:
        """Ask for the records behind a fork block that differs."""
        block = self.block
        if block is None or report.block_hash == block.hash:
            return []
        if report.validator in self._differences:
            return []
        return [GetChanges(report.height, report.block_hash)]

    def _signed(self, block_hash: Hash32, state_root: Hash32) -> bytes:
        assert self.block is not None, "a confirmation is about a fork block"
        identity = self._blockchain.identity_of(self.block)
        return signed_bytes(Kind.FORK, identity, block_hash, state_root)
