"""A sequencer and its validators in one process: real parts and frames, no sockets."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from node.chain.block import Block
from node.chain.blockchain import Blockchain
from node.chain.genesis import Genesis
from node.chain.store import BlockStore
from node.chain.transaction import Transaction
from node.consensus.dispute import Dispute
from node.consensus.faults import Faults
from node.consensus.guard import SignGuard
from node.consensus.mempool import Mempool
from node.consensus.messages import CouncilAction, Message, decode_message, encode_message
from node.consensus.sequencer import Sequencer
from node.consensus.validator import ValidatorNode
from node.crypto import ed25519_public_key, keccak256
from node.governance.action import Action, Domain
from node.governance.validators import Validator
from node.perp.account import EMPTY_ACCOUNT, Account
from node.perp.funding import Funding
from node.perp.oracle import Oracle
from node.state.kv import MemoryDb
from node.system.governance import encode_submission
from node.units import Address
from tests.helpers.chain import BTC, Person, make_genesis
from tests.helpers.council import MEMBERS, sign_action, with_council

PRICE = 400_000
SEQUENCER_SEED = bytes(keccak256(b"sequencer"))


def validator_seed(index: int) -> bytes:
    """Return a validator's key."""
    return bytes(keccak256(b"validator %d" % index))


def validators_genesis(people: Sequence[Person], count: int = 4) -> Genesis:
    """Return the minimal genesis with these people, a sequencer's key and validators of power 1."""
    members = tuple(
        Validator(ed25519_public_key(validator_seed(index)), 1) for index in range(count)
    )
    genesis = with_council(make_genesis(people))
    return genesis._replace(sequencer=ed25519_public_key(SEQUENCER_SEED), validators=members)


class Clock:
    """Everybody's wall clock."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


class Follower:
    """One validator's process: what it keeps on disk, and the node over it."""

    def __init__(
        self, genesis: Genesis, index: int, directory: Path, clock: Clock, kv: MemoryDb
    ) -> None:
        self.index = index
        self.kv = kv
        self.clock = clock
        self.is_linked = True
        self._genesis = genesis
        self.guard_file = directory / f"guard-{index}"
        self.restart()

    def restart(self) -> None:
        """Forget everything but the disk."""
        self.blockchain = Blockchain(self._genesis, self.kv, BlockStore(self.kv, None))
        seed = validator_seed(self.index)
        guard = SignGuard(self.guard_file, seed, self.blockchain.genesis_hash)
        self.node = ValidatorNode(self.blockchain, clock_ms=self.clock, seed=seed, guard=guard)

    @property
    def head(self) -> Block:
        return self.blockchain.head.block


class Network:
    """A sequencer that seals by hand, and validators that hear of it when `deliver` is called."""

    def __init__(
        self,
        directory: Path,
        people: Sequence[Person],
        count: int = 4,
        *,
        origin: Network | None = None,
    ) -> None:
        """Begin at genesis, or with all that another network has on its disks."""
        self.genesis = validators_genesis(people, count)
        self.clock: Clock = Clock(self.genesis.time_ms if origin is None else origin.clock.now_ms)
        self.kv: MemoryDb = MemoryDb()
        disks = [MemoryDb() for _ in range(count)]
        if origin is not None:
            self.kv = copy_of(origin.kv)
            disks = [copy_of(each.kv) for each in origin.followers]
            for each in origin.followers:
                (directory / each.guard_file.name).write_bytes(each.guard_file.read_bytes())
        self.followers: list[Follower] = [
            Follower(self.genesis, index, directory, self.clock, disk)
            for index, disk in enumerate(disks)
        ]
        self.is_deaf = False
        """Whether the sequencer pretends that nobody tells it what the council signed."""
        self.reporters = [Person(person) for person in ("reporter-1", "reporter-2", "reporter-3")]
        if origin is not None:
            for own, their in zip(self.reporters, origin.reporters, strict=True):
                own.nonce = their.nonce
        self.restart()

    def restart(self) -> None:
        """Start the sequencer anew on its database."""
        self.blockchain = Blockchain(self.genesis, self.kv, BlockStore(self.kv, None))
        self.mempool = Mempool(self.blockchain)
        self.sequencer = Sequencer(
            self.blockchain,
            self.mempool,
            block_time_ms=100,
            instant=False,
            clock_ms=self.clock,
            seed=SEQUENCER_SEED,
        )
        self.faults = Faults(self.blockchain, self.kv)
        self.outbox: list[Message] = []
        self.sequencer.on_publish(self.outbox.append)

    @property
    def head(self) -> Block:
        return self.blockchain.head.block

    @property
    def certified(self) -> int:
        return self.blockchain.certified_height()

    def seal(self, *transactions: Transaction, elapsed_ms: int = 100) -> Block:
        """Seal a block of these transactions, and let everybody answer."""
        self.clock.now_ms += elapsed_ms
        for tx in transactions:
            self.mempool.add(tx)
        self.sequencer.seal()
        self.deliver()
        return self.head

    def deliver(self) -> None:
        """Carry messages until nobody has anything to say."""
        while self.outbox:
            self.carry()

    def carry(self) -> None:
        """Carry what the sequencer has published so far, and the answers."""
        for message in [self.outbox.pop(0) for _ in range(len(self.outbox))]:
            for follower in self.followers:
                if follower.is_linked:
                    self._answer(follower, follower.node.on_message(through(message)))

    def tick(self) -> None:
        """Let time pass at the validators."""
        for follower in self.followers:
            if follower.is_linked:
                self._answer(follower, follower.node.on_tick())
        self.deliver()

    def cut(self, index: int) -> None:
        """Cut a validator's link."""
        self.followers[index].is_linked = False

    def connect(self, index: int) -> None:
        """Link a validator, as anew."""
        follower = self.followers[index]
        follower.is_linked = True
        fork_id = self.head.extension.fork_id
        self._answer(follower, follower.node.on_connected(fork_id=fork_id))
        own = follower.head.extension.fork_id
        for message in self.sequencer.on_connected(str(index), fork_id=own):
            self._answer(follower, follower.node.on_message(through(message)))
        self.deliver()

    def _answer(self, follower: Follower, messages: Sequence[Message]) -> None:
        for message in messages:
            if self.is_deaf and isinstance(message, CouncilAction):
                continue
            for reply in self.sequencer.on_message(str(follower.index), through(message)):
                self._answer(follower, follower.node.on_message(through(reply)))

    def submission(self, action: Action, members: Sequence[Person] = MEMBERS[:3]) -> bytes:
        """Return what the council signed, as it is handed in."""
        domain = Domain(self.genesis.chain_id, self.blockchain.genesis_hash)
        return encode_submission(action, sign_action(action, domain, members))

    # --- what the tests trade --------------------------------------------------------------------

    def reports(self, price: int, elapsed_ms: int = 100) -> list[Transaction]:
        """Sign everybody's report for the next block."""
        observed = self.clock.now_ms + elapsed_ms
        return [
            each.call("Oracle", "reportPrice", BTC, price, observed, 0) for each in self.reporters
        ]

    def open_market(self, price: int = PRICE) -> None:
        """Report a price until the market and its grace period are over."""
        for _ in range(30):
            self.seal(*self.reports(price))

    # --- what they look at -----------------------------------------------------------------------

    def disputes(self) -> list[Dispute]:
        return list(self.sequencer.disputes.all())

    def funding(self) -> Funding:
        funding = self.blockchain.ledger_after(self.head).fundings.get(BTC)
        assert funding is not None
        return funding

    def oracle(self) -> Oracle:
        oracle = self.blockchain.ledger_after(self.head).oracles.get(BTC)
        assert oracle is not None
        return oracle

    def account(self, address: Address) -> Account:
        ledger = self.blockchain.ledger_after(self.head)
        return ledger.accounts.get(address) or EMPTY_ACCOUNT


def copy_of(kv: MemoryDb) -> MemoryDb:
    """Return a database of its own with the same rows."""
    return MemoryDb(dict(kv.items(b"")))


def through(message: Message) -> Message:
    """Return a message as it arrives at the other end."""
    return decode_message(encode_message(message))
