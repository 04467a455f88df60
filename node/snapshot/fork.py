"""The fork block: what a plan makes of a snapshot's state (RECOVERY, Fork).

Nobody proposes it: every node builds the same one, a resumed node too. Seven operations in a fixed
order, through the ledger that blocks use, carried by one system transaction whose input is the
plan's hash and whose receipt holds the events. No balance and no position changes: the state is the
snapshot's but for who may do what next.
"""

from __future__ import annotations

from node.chain import keys
from node.chain.block import Extension, Receipt, bloom_of
from node.chain.blockchain import Blockchain, Executed
from node.chain.derived import Derived
from node.chain.execution import Applied, BlockInput
from node.chain.ledger import Moment, StateLedger
from node.chain.sealing import seal
from node.chain.system_transaction import SYSTEM_ACCOUNT, build_system_transaction
from node.chain.transition import encode_transition
from node.errors import InvariantViolation
from node.governance.action import decode_action
from node.governance.audit import ActionUse, append_entry
from node.governance.fork import Fork, compute_nonce_floor
from node.perp.account import get_position
from node.perp.events import (
    ForkStarted,
    NonceFloorRaised,
    OrderReduced,
    PriceInvalidated,
    RestartGap,
)
from node.perp.fill import compute_reducible, process_removal, process_trigger_removal
from node.perp.funding import reset_funding
from node.perp.invariants import check_all
from node.perp.mark import process_mark
from node.perp.modes import set_chain_mode, set_market_mode
from node.perp.oracle import get_oracle
from node.perp.order import NEVER, CancelReason, Trigger
from node.perp.status import Mode, ModeReason, compute_gated, get_status
from node.snapshot.directory import SnapshotId
from node.snapshot.plan import Plan, plan_hash
from node.state.node import EMPTY_TRIE_ROOT
from node.state.store import StateReader
from node.system import invariants as token_invariants
from node.system.logs import encode_log
from node.units import DurationMs, Hash32, Height, Lots, MarketId, TimeMs, Wei

EXTENSION_VERSION = 1


def build_fork_block(blockchain: Blockchain, plan: Plan) -> Executed:
    """Build the fork block in an overlay on the snapshot's state; nothing is written.

    A pure function of (snapshot, plan). Raises MissingState without the snapshot's state, and
    InvariantViolation if the result would not stand.
    """
    parent = blockchain.store.load_header(plan.snapshot.block_hash)
    assert parent is not None, "the plan was verified: its snapshot's block is here"
    state = blockchain.states.at(plan.snapshot.state_root)
    ledger = open_fork_ledger(state, plan)
    applied = apply_fork(ledger, plan)
    commit = blockchain.states.commit(plan.snapshot.state_root, ledger.changes())
    header = plan.header
    extension = Extension(
        version=EXTENSION_VERSION,
        fork_id=plan.fork_id,
        dev_epoch=header.dev_epoch,
        time_ms=header.time_ms,
        transitions_root=EMPTY_TRIE_ROOT,
        certified_height=header.certified_height,
        last_certificate_hash=header.last_certificate_hash,
        effects_head=header.effects_head,
    )
    inputs = BlockInput((), header.base_fee_wei, header.gas_limit)
    block = seal(applied, extension, parent[0], commit.root, inputs)
    return Executed(block, applied.receipts, ledger, commit, None)


def open_fork_ledger(state: StateReader, plan: Plan) -> StateLedger:
    """Return the fork block's ledger over the snapshot's state."""
    moment = Moment(plan.header.number, plan.header.time_ms, plan.snapshot.time_ms)
    derived = Derived(state, {}, None)
    return StateLedger(state, derived, moment, plan.chain_id, plan.genesis_hash)


def apply_fork(ledger: StateLedger, plan: Plan) -> Applied:
    """Execute the fork block on its snapshot's ledger; InvariantViolation if it would not stand."""
    digest = plan_hash(plan)
    process_fork(ledger, plan, digest)
    applied = _carry(ledger, digest)
    check_fork(ledger)
    return applied


def process_fork(ledger: StateLedger, plan: Plan, digest: Hash32) -> None:
    """Carry out a plan's operations, in their order (RECOVERY, Fork, 1 to 7)."""
    _process_marker(ledger, plan, digest)
    _process_nonce_floor(ledger, plan)
    _process_effects(plan)
    _process_orders(ledger, plan.header.time_ms)
    _process_clock(ledger, plan)
    _process_prices(ledger)
    _process_modes(ledger)
    process_mark(ledger)


def _process_marker(ledger: StateLedger, plan: Plan, digest: Hash32) -> None:
    """1: remember the fork, and what the council did on the branch that is left."""
    snapshot, tip = plan.snapshot, plan.orphan_tip
    ledger.forks.set(
        plan.fork_id,
        Fork(
            fork_id=plan.fork_id,
            height=plan.header.number,
            snapshot_height=snapshot.height,
            snapshot_hash=snapshot.block_hash,
            manifest_hash=snapshot.manifest_hash,
            orphan_height=tip.height,
            orphan_hash=tip.block_hash,
            plan_hash=digest,
            reason=plan.reason,
            gap_from_ms=snapshot.time_ms,
            gap_until_ms=plan.restart_ms,
            last_restart_height=plan.last_restart_height,
        ),
    )
    _process_audit(ledger, plan)
    ledger.emit(
        ForkStarted(
            plan.fork_id,
            snapshot.height,
            snapshot.block_hash,
            tip.height,
            tip.block_hash,
            digest,
            plan.reason,
        )
    )


def _process_audit(ledger: StateLedger, plan: Plan) -> None:
    """Record anew what the council did after the snapshot, chained to what it did before."""
    for orphan in plan.audit:
        log = ledger.audit_log
        entry = orphan._replace(number=log.length, previous=log.head)
        ledger.audit_entries.set(entry.number, entry)
        ledger.action_uses.set(
            decode_action(entry.kind, entry.action).nonce, ActionUse(entry.number)
        )
        ledger.set_audit_log(append_entry(log, entry))


def _process_nonce_floor(ledger: StateLedger, plan: Plan) -> None:
    """2: what was signed before is below every nonce from here on."""
    ledger.set_status(ledger.status._replace(fork_id=plan.fork_id))
    ledger.emit(NonceFloorRaised(compute_nonce_floor(plan.fork_id)))


def _process_effects(plan: Plan) -> None:
    """3: repeat what has left the chain: nothing can, the journal is empty."""
    assert not any(plan.header.effects_head), "a verified plan's journal is empty"


def _process_orders(ledger: StateLedger, time_ms: TimeMs) -> None:
    """4: cancel all but the take-profits and stop-losses that still close something.

    The orders go first, and take along what waited for their fills. A pair stays or goes together.
    """
    for market in ledger.market_ids:
        book = ledger.book(market)
        for order_id in sorted(book.orders):
            process_removal(ledger, market, book.orders[order_id], CancelReason.FORK)
        kept = {
            trigger_id: size
            for trigger_id, trigger in sorted(book.triggers.items())
            if (size := compute_kept(ledger, market, trigger, time_ms))
        }
        for trigger_id in sorted(book.triggers):
            trigger = book.triggers.get(trigger_id)
            if trigger is None:
                continue
            size = kept.get(trigger_id, Lots(0))
            if size == 0 or (trigger.other and trigger.other not in kept):
                process_trigger_removal(ledger, market, trigger, CancelReason.FORK)
            elif size != trigger.size:
                book.put_trigger(trigger._replace(size=size))
                ledger.emit(OrderReduced(market, trigger.owner, trigger_id, trigger.size, size))


def compute_kept(ledger: StateLedger, market: MarketId, trigger: Trigger, time_ms: TimeMs) -> Lots:
    """Return how much of a take-profit or stop-loss a fork keeps; 0: it goes."""
    is_over = trigger.expires_ms != NEVER and trigger.expires_ms <= time_ms
    if not trigger.reduce_only or is_over or trigger.parent:
        return Lots(0)
    return compute_reducible(get_position(ledger, trigger.owner, market).size, trigger.size)


def _process_clock(ledger: StateLedger, plan: Plan) -> None:
    """5: time went on and nothing accrued; reports and gates count from the restart's end.

    The restart's blocks are 1 ms apart, so its end is known here: X2, X4 and M3 don't count it.
    """
    for market in ledger.market_ids:
        reset_funding(ledger, market)
    status = compute_gated(ledger.status, plan.restart_ms, ledger.params)
    ledger.set_status(status._replace(gap_end_ms=plan.restart_ms))
    ledger.emit(RestartGap(plan.snapshot.time_ms, plan.restart_ms, plan.last_restart_height))


def _process_prices(ledger: StateLedger) -> None:
    """6: forget all reports; the last price stays to be compared with, and trades on nothing."""
    for market in ledger.market_ids:
        for reporter in ledger.params.reporters:
            ledger.reports.delete((market, reporter))
        oracle = get_oracle(ledger, market)
        ledger.oracles.set(market, oracle._replace(accepted=(), stale=True, jump=()))
        ledger.emit(PriceInvalidated(market, oracle.price))


def _process_modes(ledger: StateLedger) -> None:
    """7: CANCEL_ONLY for chain and markets, a halt that was due called off; the way back is X2's.

    What the council holds stays held, and a market that was settled stays closed. A maintenance
    window was announced for the branch that is left: it is called off, and what it held with it.
    """
    chain = ledger.status._replace(halt_height=Height(0))
    window = ledger.maintenance
    if window is not None:
        ledger.set_maintenance(None)
        if ledger.height > window.start_height:
            chain = chain._replace(held=Mode.OPEN)
    ledger.set_status(chain)
    if chain.mode != Mode.CANCEL_ONLY:
        set_chain_mode(ledger, Mode.CANCEL_ONLY, ModeReason.FORK)
    for market in ledger.market_ids:
        status = get_status(ledger, market)
        if ledger.closures.get(market) is not None:
            continue
        if status.mode != Mode.CANCEL_ONLY:
            set_market_mode(ledger, market, Mode.CANCEL_ONLY, ModeReason.FORK)
        else:
            anew = status._replace(quorum_ms=DurationMs(0), quorum_blocks=0)
            ledger.statuses.set(market, anew)


def _carry(ledger: StateLedger, digest: Hash32) -> Applied:
    """Put what happened into the one system transaction."""
    events = ledger.take_events()
    logs = tuple(encode_log(event) for event in events)
    encoded = [encode_transition(event) for event in events]
    nonce = ledger.get_nonce(SYSTEM_ACCOUNT)
    native = ledger.get_native(SYSTEM_ACCOUNT)
    ledger.set_native(SYSTEM_ACCOUNT, native._replace(nonce=nonce + 1))
    tx = build_system_transaction(ledger.chain_id, nonce, digest)
    receipt = Receipt(tx.type, 1, 0, bloom_of(logs), logs, 0, Wei(0), b"")
    transitions = tuple(each for each in encoded if each is not None)
    return Applied((tx,), (receipt,), transitions, 0)


def check_fork(ledger: StateLedger) -> None:
    """Raise InvariantViolation unless the result stands and nobody's money or position moved."""
    parent = ledger.parent()
    for address in sorted(ledger.accounts.table.changed()):
        before, after = parent.accounts.get(address), ledger.accounts.get(address)
        was, balance = before and before.balance, after and after.balance
        if was != balance:
            field = f"account 0x{address.hex()}, change of balance"
            raise InvariantViolation(ledger.height, field, balance, was, "I8")
    moved = sorted(ledger.positions.table.changed())
    if moved:
        raise InvariantViolation(ledger.height, "positions that a fork moved", moved, [], "I8")
    check_all(ledger)
    token_invariants.check_block(parent, ledger, ledger.touched_tokens())


def load_forks(blockchain: Blockchain) -> list[Fork]:
    """Return every fork that the head's branch remembers, oldest first.

    One that a later fork went back beyond is undone with everything else.
    """
    state, forks = blockchain.head.state, []
    for fork_id in range(1, blockchain.head.block.extension.fork_id + 1):
        data = state.get_record(keys.FORKS.address(fork_id), keys.FORKS.key(fork_id))
        if data is not None:
            forks.append(keys.FORKS.codec.decode(data))
    return forks


def named_snapshots(blockchain: Blockchain) -> set[SnapshotId]:
    """Return the snapshots that the chain's forks name: retention keeps them."""
    named = set()
    for fork in load_forks(blockchain):
        found = blockchain.store.load_header(fork.snapshot_hash)
        if found is not None:
            named.add(SnapshotId(found[1].fork_id, fork.snapshot_height))
    return named
