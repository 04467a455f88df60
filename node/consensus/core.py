"""What the methods of JSON-RPC may ask: the one owner of database, mempool and sealing.

The table of methods (`node.rpc.methods`) runs in the core's process; HTTP, JSON and signatures are
the front's, behind the seam of `node.rpc.backend` (DESIGN section 7). What the head's caches answer
is a plain method; what may wait for the disk or a processor is a coroutine.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from node.chain import keys
from node.chain.ancestry import Ancestry
from node.chain.block import Block, Receipt
from node.chain.blockchain import Blockchain
from node.chain.branches import load_orphaned_place
from node.chain.certificate import Certificate
from node.chain.comparison import Comparison, compare_states
from node.chain.domains import Identity
from node.chain.event_search import EventSearch, Page, Position
from node.chain.execution import execute
from node.chain.fill_table import Candle, find_candles
from node.chain.funding_history import FundingInterval, find_intervals
from node.chain.ledger import StateLedger
from node.chain.log_search import FoundLog
from node.chain.store import Place
from node.chain.transaction import AccessList, Transaction, decode_transaction
from node.config import Role
from node.consensus.development import Development
from node.consensus.dispute import Dispute
from node.consensus.faults import Fault, Faults
from node.consensus.hold import Held
from node.consensus.mempool import Mempool, PoolContents
from node.consensus.phase import Driver
from node.consensus.recovery import Carried, Recovery
from node.consensus.served import Listener, ServedBranch
from node.consensus.snapshots import SnapshotInfo
from node.consensus.submissions import Taken, stands
from node.crypto import keccak256
from node.errors import (
    ActionImpossible,
    ContractCreation,
    ExceedsBlockGasLimit,
    FeeCapTooLow,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NotSequencing,
    OperatorError,
    Refusal,
)
from node.governance.audit import AuditEntry
from node.governance.fork import Fork
from node.governance.validators import ValidatorSet
from node.perp.account import DEFICIT, VAULT, get_account
from node.perp.compensation import (
    Compensation,
    PaidRefund,
    get_compensations,
    get_paid_refund,
)
from node.perp.events import FundingSettled, OrderFilled
from node.perp.funding import Funding
from node.perp.parameters import MarketParams
from node.perp.view import (
    AccountView,
    BookView,
    MarketView,
    compute_account_view,
    compute_book_view,
    compute_market_view,
    compute_market_views,
    get_market_params,
)
from node.snapshot.draft import make_plan
from node.snapshot.fork import load_forks
from node.snapshot.plan import Plan
from node.state.proof import AccountProof, prove
from node.state.store import EMPTY_TRIE_ROOT
from node.system.contracts import CONTRACTS
from node.system.dispatch import encode_refusal
from node.system.gas import intrinsic_gas
from node.system.governance import GovernanceView, compute_view, get_audit_entries
from node.units import Address, DurationMs, Hash32, Height, MarketId, TimeMs, Wei

P = ParamSpec("P")
T = TypeVar("T")

READ_THREADS = 2
INLINE_MAX = 8
"""So many transactions are admitted without a thread, 10 µs each."""


class Located(NamedTuple):
    """A transaction in a canonical block."""

    block: Block
    tx_index: int
    receipt: Receipt


class Certified(NamedTuple):
    """A block's certificate, and what it is to be checked against."""

    certificate: Certificate
    identity: Identity
    validators: ValidatorSet


class CallRequest(NamedTuple):
    """The arguments of eth_call and eth_estimateGas."""

    sender: Address
    to: Address | None
    """None asks for contract creation, which is refused."""
    value: Wei
    data: bytes
    gas_limit: int | None
    max_fee: Wei
    """0: no fee is charged, as in geth's eth_call."""
    access_list: AccessList = ()
    """Costs gas (EIP-2930) and does nothing else."""


class CallResult(NamedTuple):
    """What a call did on a throw-away overlay."""

    reverted: bool
    output: bytes
    """Return data, or the ABI error."""
    gas_used: int


class NativeAccount(NamedTuple):
    """The state trie's leaf, nonce floor applied to `nonce`."""

    nonce: int
    balance: Wei
    code: bytes
    storage_root: Hash32
    code_hash: Hash32


class Heads(NamedTuple):
    """The three heads of DESIGN section 6."""

    latest: Block
    safe: Block
    finalized: Block


class Status(NamedTuple):
    """How the chain and this node are."""

    phase: str
    """How this node's driver is (`node.consensus.phase`): "open", "lagging", "stopped"."""
    reason: str
    """Why, in one sentence; empty while open."""
    mode: int
    """The chain's own mode (RULES, Modes)."""
    fork_id: int
    dev_epoch: int
    latest: Height
    safe: Height
    finalized: Height
    time_ms: int
    validators: int
    """How many attest the next block; 0: every block is certified at once."""
    peers: tuple[str, ...]
    """Who is linked to this node now, by name."""
    disputes: int
    """How many there are about this branch."""
    waiting: int
    """Transactions in the mempool."""
    deficit: int
    """The Deficit account's balance, in atoms; negative is owed (L6)."""
    vault: int
    """The LiquidatorVault's balance, in atoms."""


class NodeInfo(NamedTuple):
    """What this process is."""

    role: str
    """"sequencer", "validator" or "archive"."""
    data_bytes: int
    """Of all files of the data directory; 0 in memory."""
    peers: tuple[str, ...]
    """Who is linked to this node now, by name."""


class Core:
    """The one owner of database, mempool and sealing, as the front sees it."""

    def __init__(
        self,
        blockchain: Blockchain,
        mempool: Mempool,
        driver: Driver,
        *,
        faults: Faults | None = None,
        development: Development | None = None,
        role: Role = Role.SEQUENCER,
        data_dir: Path | None = None,
    ) -> None:
        self._blockchain = blockchain
        self._mempool = mempool
        self._driver = driver
        self._served = ServedBranch(blockchain, driver.recovery)
        self._faults = faults
        """Only with --faults."""
        self._development = development
        """Only at the sequencer of a chain whose genesis says `dev`."""
        self._role = role
        self._data_dir = data_dir
        """None where everything is in memory."""
        self.list_peers: Callable[[], Sequence[str]] = tuple
        """Whom the peer link has now; nobody without one."""
        self._reads = ThreadPoolExecutor(READ_THREADS, thread_name_prefix="core-read")
        self._submits = ThreadPoolExecutor(1, thread_name_prefix="core-submit")
        self._develops = ThreadPoolExecutor(1, thread_name_prefix="core-develop")
        genesis = blockchain.genesis
        self.chain_id = genesis.chain_id
        self.genesis_hash = blockchain.genesis_hash
        self.base_fee = genesis.base_fee_wei
        self.gas_limit = genesis.gas_limit

    def close(self) -> None:
        """End the threads; what they do now is finished first."""
        self._submits.shutdown()
        self._develops.shutdown(cancel_futures=True)
        self._reads.shutdown()

    # --- heads and subscriptions -----------------------------------------------------------------

    def heads(self) -> Heads:
        """Return the latest, safe and finalized blocks: without validators they are one.

        Safe is what certificates cover, finalized what a certified snapshot does.
        """
        blockchain = self._blockchain
        head = self._served.latest
        if not blockchain.next_validators().members:
            return Heads(head, head, head)
        return Heads(head, blockchain.safe_block(), blockchain.finalized)

    def version(self) -> tuple[object, ...]:
        """Return what reads depend on beside their arguments, to be compared by identity.

        Where each is the same before and after a read, the read's answer holds as long as they
        are: nothing can show a new head to a reader before it shows here.
        """
        blockchain = self._blockchain
        return self._served.latest, blockchain.head, blockchain.certificate, blockchain.finalized

    def subscribe_versions(self, listener: Callable[[], None]) -> None:
        """Call `listener`, in any thread, when the version may have changed."""
        self._blockchain.on_head(lambda _: listener())
        self._blockchain.on_reverted(lambda _: listener())
        self._blockchain.on_raised(listener)

    def subscribe_heads(self, listener: Listener) -> None:
        """Call `listener` in the core's thread with every new head.

        The heads of a fork come one by one when the chain is beyond the branch that was left.
        """
        self._served.on_head(listener)

    def subscribe_left(self, listener: Listener) -> None:
        """Call `listener` in the core's thread with every block that a fork left, newest first."""
        self._served.on_left(listener)

    def subscribe_reverted(self, listener: Listener) -> None:
        """Call `listener` in the core's thread with what is the head after a revert."""
        self._served.on_reverted(listener)

    def subscribe_pending(self, listener: Callable[[Transaction], None]) -> None:
        """Call `listener` in the core's thread with every admitted transaction."""
        self._mempool.on_admitted(listener)

    def status(self) -> Status:
        """Return how the chain and this node are."""
        head = self._blockchain.head
        ledger = self._blockchain.ledger_after(head.block)
        heads, phase = self.heads(), self._driver.phase()
        return Status(
            phase=phase.name,
            reason=phase.reason,
            mode=ledger.status.mode,
            fork_id=ledger.status.fork_id,
            dev_epoch=self._blockchain.next_epoch(),
            latest=heads.latest.header.number,
            safe=heads.safe.header.number,
            finalized=heads.finalized.header.number,
            time_ms=head.block.extension.time_ms,
            validators=len(ledger.validators.members),
            peers=tuple(self.list_peers()),
            disputes=len(self._driver.disputes.current()),
            waiting=len(self._mempool),
            deficit=get_account(ledger, DEFICIT).balance,
            vault=get_account(ledger, VAULT).balance,
        )

    async def info(self) -> NodeInfo:
        """Return what this process is, and how much of the disk it uses."""
        directory = self._data_dir
        size = 0 if directory is None else await self._read(measure, directory)
        return NodeInfo(self._role, size, tuple(self.list_peers()))

    async def certificate(self, block: Block) -> Certified | None:
        """Return a block's own certificate; None where only one of a later block covers it."""
        return await self._read(self._load_certificate, block)

    def disputes(self) -> Sequence[Dispute]:
        """Return every dispute this node knows of, by branch and height."""
        return self._driver.disputes.all()

    @property
    def has_faults(self) -> bool:
        """Whether faults on purpose can be done here."""
        return self._faults is not None

    @property
    def has_development(self) -> bool:
        """Whether the development helpers exist here."""
        return self._development is not None

    async def develop(
        self,
        helper: Callable[Concatenate[Development, P], T],
        *arguments: P.args,
        **named: P.kwargs,
    ) -> T:
        """Do what a method of `Development` does, one request after the other.

        Raises OperationRefused or ActionImpossible.
        """
        development = self._development
        assert development is not None, "only on a development chain"
        return await self._in(self._develops, lambda: helper(development, *arguments, **named))

    async def inject_fault(self, fault: Fault) -> int:
        """Do a fault on purpose; return the value before. Raises FaultRefused."""
        faults = self._faults
        assert faults is not None, "only with --faults"
        return await self._read(lambda: faults.inject(fault))

    # --- blocks and transactions -----------------------------------------------------------------

    async def block_by_number(self, height: Height) -> Block | None:
        """Return the canonical block of a height."""
        latest = self._served.latest
        if height == latest.header.number:
            return latest
        return await self._read(self._served.block_at, height)

    async def block_on_fork(self, fork_id: int, height: Height) -> Block | None:
        """Return the block that had a height while this fork was the chain's."""
        return await self._read(self._served.block_on_fork, fork_id, height)

    async def block_by_hash(self, block_hash: Hash32) -> Block | None:
        """Return a block on whatever branch."""
        return await self._read(self._blockchain.store.load_block, block_hash)

    async def receipts(self, block_hash: Hash32) -> Sequence[Receipt] | None:
        """Return a block's receipts."""
        return await self._read(self._blockchain.store.load_receipts, block_hash)

    async def transaction(self, tx_hash: Hash32) -> Located | None:
        """Return a transaction of the chain, None if it waits or never was."""
        place = self._served.find_place(tx_hash)  # less than a thread; pollers find none
        return None if place is None else await self._read(self._locate, place)

    def pending_transaction(self, tx_hash: Hash32) -> Transaction | None:
        """Return a transaction that waits."""
        return self._mempool.get(tx_hash)

    def pending_nonce(self, address: Address) -> int:
        """Return the nonce after all that could be in the next block."""
        return self._mempool.pending_nonce(address)

    async def pool(self, address: Address | None = None) -> PoolContents:
        """Return what waits for a block, of all senders or of one."""
        return await self._read(self._mempool.contents, address)

    async def submit(self, raws: Sequence[bytes]) -> Sequence[Hash32 | InvalidTransaction]:
        """Admit raw transactions, in order; each gets its hash or the reason why not."""
        return await self._in(self._submits, self._submit, raws)

    async def admit(
        self, transactions: Sequence[Transaction]
    ) -> Sequence[InvalidTransaction | None]:
        """Admit transactions whose senders the front recovered, in order; None: taken."""
        if len(transactions) <= INLINE_MAX and not self._mempool.is_busy():
            return self._admit(transactions)  # a thread costs more, and waits for its turn twice
        return await self._in(self._submits, self._admit, transactions)

    async def logs(
        self,
        first: Height,
        last: Height,
        addresses: Sequence[Address],
        topics: Sequence[Sequence[Hash32]],
        limit: int,
    ) -> Sequence[FoundLog]:
        """Return logs of canonical blocks that match, oldest first, at most limit + 1."""
        return await self._read(self._find_logs, first, last, addresses, topics, limit)

    # --- state -----------------------------------------------------------------------------------

    async def account(self, address: Address, block: Block) -> NativeAccount:
        """Return a native account; MissingState if the block's state is not kept."""
        if block.hash == self._blockchain.head.block.hash:
            return self._account(address, block)  # a row of the flat table: less than a thread
        return await self._read(self._account, address, block)

    async def storage_digest(self, address: Address, key: bytes, block: Block) -> Hash32:
        """Return keccak256 of the record under a key, zero if absent."""

        def digest() -> Hash32:
            record = self._blockchain.state_at(block).get_record(address, key)
            return Hash32(bytes(32)) if record is None else keccak256(record)

        return await self._read(digest)

    async def proof(self, address: Address, keys: Sequence[bytes], block: Block) -> AccountProof:
        """Return the Merkle proof of an account and of some of its records."""
        return await self._read(lambda: prove(self._blockchain.proof_state(block), address, keys))

    async def call(self, request: CallRequest, block: Block) -> CallResult:
        """Run a call on a throw-away ledger; raise InvalidTransaction if it can't be sent."""
        return await self._read(self._call, request, block)

    async def market_views(self, block: Block) -> Sequence[MarketView]:
        """Return all markets as of a block."""
        return await self._view(block, compute_market_views)

    async def market_view(self, market: MarketId, block: Block) -> MarketView:
        """Return a market as of a block; raises MarketNotFound."""
        return await self._view(block, lambda ledger: compute_market_view(ledger, market))

    async def account_view(self, address: Address, block: Block) -> AccountView:
        """Return a margin account as of a block."""
        return await self._view(block, lambda ledger: compute_account_view(ledger, address))

    async def book_view(self, market: MarketId, depth: int, block: Block) -> BookView:
        """Return a market's book as of a block, `depth` levels a side."""
        return await self._view(block, lambda ledger: compute_book_view(ledger, market, depth))

    async def market_params(self, market: MarketId, block: Block) -> MarketParams:
        """Return a market's parameters as of a block; raises MarketNotFound."""
        return await self._view(block, lambda ledger: get_market_params(ledger, market))

    # --- what was --------------------------------------------------------------------------------

    async def fills(
        self,
        market: MarketId,
        account: Address | None,
        *,
        before: Position | None,
        lowest: Height,
        limit: int,
        block: Block,
    ) -> Page[OrderFilled]:
        """Return fills up to a block, newest first: of a market, of an account in it."""

        def find(ancestry: Ancestry) -> Page[OrderFilled]:
            search = EventSearch(self._blockchain.store, ancestry)
            end = before or search.after_all()
            return search.find_fills(market, account, before=end, lowest=lowest, limit=limit)

        return await self._read(self._look_back, block, find)

    async def funding_payments(
        self,
        account: Address,
        market: MarketId | None,
        *,
        before: Position | None,
        lowest: Height,
        limit: int,
        block: Block,
    ) -> Page[FundingSettled]:
        """Return what funding paid an account up to a block, newest first."""

        def find(ancestry: Ancestry) -> Page[FundingSettled]:
            search = EventSearch(self._blockchain.store, ancestry)
            end = before or search.after_all()
            return search.find_payments(account, market, before=end, lowest=lowest, limit=limit)

        return await self._read(self._look_back, block, find)

    async def candles(
        self, market: MarketId, interval: str, *, until_ms: TimeMs, limit: int, block: Block
    ) -> Sequence[Candle]:
        """Return a market's candles up to a block that begin before a time, newest first."""

        def find(ancestry: Ancestry) -> Sequence[Candle]:
            return find_candles(ancestry, market, interval, until_ms=until_ms, limit=limit)

        return await self._read(self._look_back, block, find)

    async def funding_intervals(
        self, market: MarketId, length: DurationMs, *, until_ms: TimeMs, limit: int, block: Block
    ) -> Sequence[FundingInterval]:
        """Return a market's funding up to a block, by interval, newest first."""

        def get_funding(root: Hash32) -> Funding | None:
            place = keys.FUNDINGS
            state = self._blockchain.states.at(root)
            record = state.get_record(place.address(market), place.key(market))
            return None if record is None else place.codec.decode(record)

        def find(ancestry: Ancestry) -> Sequence[FundingInterval]:
            return find_intervals(ancestry, get_funding, length, until_ms=until_ms, limit=limit)

        return await self._read(self._look_back, block, find)

    async def fills_since(self) -> Height:
        """Return the height from which on this node knows every fill."""
        return await self._read(self._blockchain.store.load_fills_since)

    # --- the council -----------------------------------------------------------------------------

    def hold(self) -> Held | None:
        """Return the hold under which this node stands still, None if there is none."""
        return self._driver.submissions.hold.current

    async def submit_action(self, data: bytes) -> Taken:
        """Take what the council signed, as calldata of Governance.

        Raises the Refusal that stands against it, or ActionImpossible.
        """
        return await self._in(self._submits, self._driver.submit_action, data)

    async def governance_view(self, block: Block) -> GovernanceView:
        """Return who governs, and what they have set, as of a block."""
        return await self._view(block, compute_view)

    async def audit_entries(self, first: int, count: int, block: Block) -> Sequence[AuditEntry]:
        """Return entries of the audit log as of a block."""
        return await self._view(block, lambda ledger: get_audit_entries(ledger, first, count))

    async def compensations(self, block: Block) -> Sequence[Compensation]:
        """Return what the council had the vault repay, as of a block, by number from 1."""
        return await self._view(block, get_compensations)

    async def paid_refund(self, number: int, account: Address, block: Block) -> PaidRefund | None:
        """Return what an account was paid of one as of a block; raise CompensationNotFound."""
        return await self._view(block, lambda ledger: get_paid_refund(ledger, number, account))

    async def compare(self, before: Block, after: Block, limit: int) -> Comparison:
        """Return what differs between the states after two blocks; MissingState if one is gone."""
        return await self._read(
            lambda: compare_states(self._blockchain, before, after, limit=limit)
        )

    # --- snapshots and forks ---------------------------------------------------------------------

    async def snapshots(self) -> Sequence[SnapshotInfo]:
        """Return the snapshots that this node made, or knows signatures of, oldest first."""
        snapshots = self._driver.snapshots
        return [] if snapshots is None else await self._read(snapshots.list)

    async def request_snapshot(self, height: Height) -> Block:
        """Have a snapshot made of a block; raises OperatorError if there is no such block."""
        snapshots = self._driver.snapshots
        block = await self._read(self._blockchain.block_at, height)
        if block is None or snapshots is None:
            raise OperatorError(f"block {height} is not here: name one up to the head")
        snapshots.request(block)
        return block

    async def make_plan(self, name: str, reason: str, time_ms: TimeMs) -> Plan:
        """Return the fork plan that goes back to a snapshot.

        Raises OperatorError or ActionImpossible: where, when and to what there can be none.
        """
        return await self._read(self._make_plan, name, reason, time_ms)

    async def submit_plan(self, data: bytes) -> Carried:
        """Take a fork plan with its signatures, and carry it out; raises as the driver does."""
        return await self._in(self._submits, self._driver.submit_plan, data)

    async def forks(self) -> Sequence[Fork]:
        """Return the forks that the head's branch remembers, oldest first."""
        return await self._read(load_forks, self._blockchain)

    def next_validators(self) -> ValidatorSet:
        """Return who attests the next block."""
        return self._blockchain.next_validators()

    def recovery(self) -> Recovery:
        """Return this node's forks and how far the newest is."""
        return self._driver.recovery

    async def orphaned(self, tx_hash: Hash32) -> Located | None:
        """Return where a transaction was on a branch that was left."""
        return await self._read(self._locate_orphan, tx_hash)

    # --- within the core -------------------------------------------------------------------------

    async def _read(self, function: Callable[..., T], *arguments: object) -> T:
        return await self._in(self._reads, function, *arguments)

    async def _in(
        self, threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: object
    ) -> T:
        return await asyncio.get_running_loop().run_in_executor(threads, function, *arguments)

    async def _view(self, block: Block, compute: Callable[[StateLedger], T]) -> T:
        return await self._read(lambda: compute(self._blockchain.ledger_after(block)))

    def _load_certificate(self, block: Block) -> Certified | None:
        blockchain = self._blockchain
        found = blockchain.store.load_certificate(block.hash)
        if found is None:
            return None
        return Certified(found, blockchain.identity_of(block), blockchain.validators_of(block))

    def _look_back(self, block: Block, find: Callable[[Ancestry], T]) -> T:
        """Find something in a block's past, as of one moment of the database."""
        store = self._blockchain.store
        with closing(store.kv.snapshot()) as view:
            return find(Ancestry(store, view, block))

    def _submit(self, raws: Sequence[bytes]) -> list[Hash32 | InvalidTransaction]:
        if not self._driver.is_sequencing:
            return [NotSequencing() for _ in raws]
        results: list[Hash32 | InvalidTransaction] = []
        for raw in raws:
            try:
                tx = decode_transaction(raw)
                self._mempool.add(tx)
                results.append(tx.hash)
            except InvalidTransaction as refusal:
                results.append(refusal.with_traceback(None))  # its frames hold it: a cycle
        return results

    def _admit(self, transactions: Sequence[Transaction]) -> list[InvalidTransaction | None]:
        if not self._driver.is_sequencing:
            return [NotSequencing() for _ in transactions]
        results: list[InvalidTransaction | None] = []
        for tx in transactions:
            try:
                self._mempool.add(tx)
                results.append(None)
            except InvalidTransaction as refusal:
                results.append(refusal.with_traceback(None))  # its frames hold it: a cycle
        return results

    def _make_plan(self, name: str, reason: str, time_ms: TimeMs) -> Plan:
        driver, blockchain = self._driver, self._blockchain
        if not driver.may_plan() or driver.snapshots is None:
            raise OperatorError(
                "a fork is planned at the sequencer: it alone knows the last block that was "
                "sealed; a validator plans one when the sequencer has been silent for gap_ms_max"
            )
        if not stands(blockchain, driver.submissions.hold):
            raise ActionImpossible("the chain goes on: halt it first, and plan the fork then")
        chosen = driver.snapshots.choose(name)
        if not chosen.is_certified:
            raise OperatorError(
                f"snapshot {chosen.id.name} is signed by {chosen.power} of {chosen.total_power} "
                "power: more than 2/3 certify it; choose another"
            )
        return make_plan(
            blockchain,
            chosen.reference,
            reason=reason,
            time_ms=time_ms,
            unrecorded=driver.submissions.unrecorded(),
        )

    def _locate_orphan(self, tx_hash: Hash32) -> Located | None:
        store = self._blockchain.store
        place = load_orphaned_place(store, tx_hash)
        block = None if place is None else store.load_block(place.block_hash)
        receipts = None if place is None else store.load_receipts(place.block_hash)
        if place is None or block is None or receipts is None:
            return None
        return Located(block, place.tx_index, receipts[place.tx_index])

    def _locate(self, place: Place) -> Located | None:
        block = self._blockchain.store.load_block(place.block_hash)
        receipts = self._blockchain.store.load_receipts(place.block_hash)
        assert block is not None, "a place is written with its block"
        assert receipts is not None, "receipts are written with their block"
        if block.header.number > self._served.latest.header.number:
            return None  # written, but not the head yet: state would be older than its receipt
        return Located(block, place.tx_index, receipts[place.tx_index])

    def _find_logs(
        self,
        first: Height,
        last: Height,
        addresses: Sequence[Address],
        topics: Sequence[Sequence[Hash32]],
        limit: int,
    ) -> list[FoundLog]:
        found: list[FoundLog] = []
        for each in self._served.find_logs(first, last, addresses, topics):
            found.append(each)
            if len(found) > limit:
                break
        return found

    def _account(self, address: Address, block: Block) -> NativeAccount:
        leaf = self._blockchain.state_at(block).get_account(address)
        floor = block.extension.fork_id << 32
        if leaf is None:
            return NativeAccount(floor, Wei(0), b"", EMPTY_TRIE_ROOT, keccak256(b""))
        return NativeAccount(
            max(leaf.nonce, floor),
            Wei(leaf.balance),
            CONTRACTS[address].code if address in CONTRACTS else b"",
            leaf.storage_root,
            leaf.code_hash,
        )

    def _call(self, request: CallRequest, block: Block) -> CallResult:
        if request.to is None:
            raise ContractCreation()
        ledger = self._blockchain.ledger_after(block)
        gas = intrinsic_gas(request.to, request.data, request.access_list)
        self._check_call(request, gas, ledger)
        checkpoint = ledger.checkpoint()
        try:
            output = execute(ledger, request.sender, request.to, request.value, request.data)
        except Refusal as refusal:
            ledger.revert(checkpoint)
            return CallResult(True, encode_refusal(refusal), gas)
        return CallResult(False, output, gas)

    def _check_call(self, request: CallRequest, gas: int, ledger: StateLedger) -> None:
        """Raise what a transaction of this request would be refused for."""
        gas_limit = gas if request.gas_limit is None else request.gas_limit
        if gas_limit > self.gas_limit:
            raise ExceedsBlockGasLimit(gas_limit, self.gas_limit)
        if gas_limit < gas:
            raise IntrinsicGasTooLow(gas_limit, gas)
        if request.max_fee and request.max_fee < self.base_fee:
            raise FeeCapTooLow(request.max_fee, self.base_fee)
        cost = request.value + gas_limit * request.max_fee
        balance = ledger.get_native(request.sender).balance
        if cost > balance:
            raise InsufficientFunds(request.sender, balance, cost)


def measure(directory: Path) -> int:
    """Return the bytes of all files under a directory; one that goes meanwhile counts nothing."""
    total = 0
    for folder, _, files in os.walk(directory):
        for name in files:
            with suppress(FileNotFoundError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total
