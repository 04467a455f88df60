"""Every key on one page: where each record lives in the state, and what LevelDB holds.

State: an account of the trie is a contract, and its storage trie maps a readable 32-byte key to a
record (DESIGN section 3). Each market has its own address, so that its book is loaded by walking
one small trie.

    key = type (u8) ‖ market (u32) ‖ account (20 bytes) ‖ id (7 bytes), big endian

LevelDB: every table has a one-byte prefix.
"""

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from node.chain.development import Development
from node.crypto import keccak256
from node.encoding import Codec, codec_of
from node.governance.audit import ActionUse, AuditEntry, AuditLog
from node.governance.council import Council
from node.governance.fork import Fork
from node.governance.validators import ValidatorSet
from node.perp.account import EXCHANGE, VAULT, Account, Position, market_address
from node.perp.agent import Agents
from node.perp.compensation import Compensation, Escrow, PaidRefund
from node.perp.expiry import Deadline
from node.perp.funding import Funding
from node.perp.maintenance import Maintenance
from node.perp.mark import Basis, Mark
from node.perp.market import Closure, Market
from node.perp.modes import ChainStatus, MarketStatus
from node.perp.oracle import Oracle, Report
from node.perp.order import Order, Trigger
from node.perp.parameters import ChainParams, MarketParams
from node.state.store import StateTables
from node.system.contracts import GOVERNANCE, TOKEN
from node.system.token import Allowance, FaucetClaim, PermitNonce, TokenBalance, TokenSupply
from node.units import Address, Hash32, Height, MarketId, OrderId, TimeMs

K = TypeVar("K")
R = TypeVar("R", bound=tuple[Any, ...])

NOBODY = Address(bytes(20))


def storage_key(kind: int, market: int, account: bytes, number: int) -> bytes:
    """Return the 32-byte key of a record."""
    return kind.to_bytes(1, "big") + market.to_bytes(4, "big") + account + number.to_bytes(7, "big")


class MarketIds(NamedTuple):
    """The markets there are, ascending."""

    ids: tuple[MarketId, ...]


class Place(Generic[K, R]):
    """Where one kind of record lives: its contract and key, and how it is encoded."""

    __slots__ = ("address", "codec", "key", "prefix")

    def __init__(
        self,
        kind: int,
        record: type[R],
        address: Callable[[K], Address],
        key: Callable[[K], bytes],
    ) -> None:
        self.prefix = kind.to_bytes(1, "big")
        """What all its keys begin with, and no other kind's at the same address."""
        self.codec: Codec[R] = codec_of(record)
        self.address = address
        self.key = key


def _single(kind: int, record: type[R], address: Address) -> Place[None, R]:
    key = storage_key(kind, 0, NOBODY, 0)
    return Place(kind, record, lambda _: address, lambda _: key)


def _by_account(kind: int, record: type[R], address: Address) -> Place[Address, R]:
    head, tail = kind.to_bytes(1, "big") + bytes(4), bytes(7)
    return Place(kind, record, lambda _: address, lambda account: head + account + tail)


def _by_market(kind: int, record: type[R]) -> Place[MarketId, R]:
    return Place(kind, record, market_address, lambda market: storage_key(kind, market, NOBODY, 0))


def _by_market_and_id(kind: int, record: type[R]) -> Place[tuple[MarketId, OrderId], R]:
    return Place(
        kind,
        record,
        lambda key: market_address(key[0]),
        lambda key: storage_key(kind, key[0], NOBODY, key[1]),
    )


ACCOUNTS = _by_account(0x01, Account, EXCHANGE)
POSITIONS: Place[tuple[Address, MarketId], Position] = Place(
    0x02, Position, lambda _: EXCHANGE, lambda key: storage_key(0x02, key[1], key[0], 0)
)
AGENTS = _by_account(0x03, Agents, EXCHANGE)
DEADLINES = _by_account(0x04, Deadline, EXCHANGE)

MARKET_PARAMS = _by_market(0x10, MarketParams)
MARKETS = _by_market(0x11, Market)
STATUSES = _by_market(0x12, MarketStatus)
ORACLES = _by_market(0x13, Oracle)
FUNDINGS = _by_market(0x14, Funding)
REPORTS: Place[tuple[MarketId, Address], Report] = Place(
    0x15,
    Report,
    lambda key: market_address(key[0]),
    lambda key: storage_key(0x15, key[0], key[1], 0),
)
ORDERS = _by_market_and_id(0x16, Order)
TRIGGERS = _by_market_and_id(0x17, Trigger)
MARKS = _by_market(0x18, Mark)
BASES = _by_market(0x19, Basis)
CLOSURES = _by_market(0x1A, Closure)

CHAIN_STATUS = _single(0x20, ChainStatus, GOVERNANCE)
CHAIN_PARAMS = _single(0x21, ChainParams, GOVERNANCE)
MARKET_IDS = _single(0x22, MarketIds, GOVERNANCE)
COUNCIL = _single(0x23, Council, GOVERNANCE)
VALIDATORS = _single(0x24, ValidatorSet, GOVERNANCE)
AUDIT_LOG = _single(0x25, AuditLog, GOVERNANCE)
AUDIT_ENTRIES: Place[int, AuditEntry] = Place(
    0x26, AuditEntry, lambda _: GOVERNANCE, lambda number: storage_key(0x26, 0, NOBODY, number)
)
ACTION_USES: Place[Hash32, ActionUse] = Place(
    0x27,
    ActionUse,
    lambda _: GOVERNANCE,
    # A nonce is any 32 bytes, and 27 are left for it: its digest.
    lambda nonce: b"\x27" + bytes(4) + keccak256(nonce)[:27],
)
MAINTENANCE = _single(0x28, Maintenance, GOVERNANCE)
FORKS: Place[int, Fork] = Place(
    0x2A, Fork, lambda _: GOVERNANCE, lambda fork_id: storage_key(0x2A, 0, NOBODY, fork_id)
)

TOKEN_SUPPLY = _single(0x30, TokenSupply, TOKEN)
TOKEN_BALANCES = _by_account(0x31, TokenBalance, TOKEN)
ALLOWANCES: Place[tuple[Address, Address], Allowance] = Place(
    0x32,
    Allowance,
    lambda _: TOKEN,
    # Eleven bytes are left for the spender: a digest, so the record carries the spender itself.
    lambda key: b"\x32" + keccak256(key[1])[:4] + key[0] + keccak256(key[1])[4:11],
)
PERMIT_NONCES = _by_account(0x33, PermitNonce, TOKEN)
FAUCET_CLAIMS = _by_account(0x34, FaucetClaim, TOKEN)

DEVELOPMENT = _single(0x40, Development, GOVERNANCE)

ESCROW = _single(0x50, Escrow, VAULT)
COMPENSATIONS: Place[int, Compensation] = Place(
    0x51, Compensation, lambda _: VAULT, lambda number: storage_key(0x51, 0, NOBODY, number)
)
PAID_REFUNDS: Place[tuple[int, Address], PaidRefund] = Place(
    0x52, PaidRefund, lambda _: VAULT, lambda key: storage_key(0x52, 0, key[1], key[0])
)


def find_place(key: bytes) -> Place[Any, Any] | None:
    """Return what kind of record a key holds, None if no kind is written so."""
    return _BY_PREFIX.get(key[:1])


_BY_PREFIX = {place.prefix: place for place in globals().values() if isinstance(place, Place)}


def name_subject(key: bytes) -> str:
    """Return whom a record is about: "market 1, account 0x…, 7", or "chain"."""
    market, account, number = int.from_bytes(key[1:5], "big"), key[5:25], key[25:]
    parts = []
    if market and key[:1] != ALLOWANCES.prefix:
        parts.append(f"market {market}")
    if any(account):
        parts.append(f"account 0x{account.hex()}")
    if any(number) and key[:1] != ALLOWANCES.prefix:
        parts.append(str(int.from_bytes(number, "big")))
    return ", ".join(parts) or "chain"


# --- LevelDB ------------------------------------------------------------------------------------

STATE_TABLES = StateTables(nodes=b"n", roots=b"r", preimages=b"p", flat=b"f", meta=b"s")

FORMAT_ROW = b"mformat"
"""The database format, decimal."""
GENESIS_ROW = b"mgenesis"
"""The genesis document's hash."""
HEAD_ROW = b"mhead"
"""The head block's hash."""


def block_row(block_hash: Hash32) -> bytes:
    """Return the row of a block, on whatever branch."""
    return b"b" + block_hash


def receipts_row(block_hash: Hash32) -> bytes:
    """Return the row of a block's receipts."""
    return b"c" + block_hash


def canonical_row(height: Height) -> bytes:
    """Return the row that names the canonical block of a height."""
    return b"h" + height.to_bytes(8, "big")


def bloom_row(height: Height) -> bytes:
    """Return the row of a canonical block's bloom; absent when it has no logs."""
    return b"l" + height.to_bytes(8, "big")


def proposal_row(block_hash: Hash32) -> bytes:
    """Return the row of the sequencer's signature over a block; absent where nobody signs."""
    return b"q" + block_hash


def certificate_row(block_hash: Hash32) -> bytes:
    """Return the row of a block's certificate: the first one seen, which later blocks name."""
    return b"v" + block_hash


DISPUTES = b"d"
"""What the row of every dispute begins with."""


def dispute_row(fork_id: int, dev_epoch: int, height: Height, digest: Hash32) -> bytes:
    """Return the row of a dispute, by branch, height and its own hash."""
    return (
        DISPUTES
        + fork_id.to_bytes(4, "big")
        + dev_epoch.to_bytes(4, "big")
        + height.to_bytes(8, "big")
        + digest
    )


def transaction_row(tx_hash: Hash32) -> bytes:
    """Return the row that tells a transaction's block hash and index."""
    return b"t" + tx_hash


def header_row(block_hash: Hash32) -> bytes:
    """Return the row of a header whose block is not kept: it came with a restored snapshot."""
    return b"a" + block_hash


ORPHANS = b"o"
"""What the row of every block begins with that a fork left; by branch and height."""


def orphan_row(fork_id: int, height: Height) -> bytes:
    """Return the row that names the block of a height on the branch that a fork left."""
    return ORPHANS + fork_id.to_bytes(4, "big") + height.to_bytes(8, "big")


def orphaned_transaction_row(tx_hash: Hash32) -> bytes:
    """Return the row that tells where a transaction was before its branch was left."""
    return b"u" + tx_hash


FORK_ROW = b"mfork"
"""The fork plan that is being carried out; absent when none is (RECOVERY, the durable marker)."""


def plan_row(plan_hash: Hash32) -> bytes:
    """Return the row of a fork plan that was carried out: its fork block follows from it."""
    return b"w" + plan_hash


def signed_plan_row(plan_hash: Hash32) -> bytes:
    """Return the row of a fork plan as the council signed it, for peers that come later."""
    return b"k" + plan_hash


def confirmation_row(fork_id: int, validator: int) -> bytes:
    """Return the row of the fork block that a validator says it built."""
    return CONFIRMATIONS + fork_id.to_bytes(4, "big") + validator.to_bytes(4, "big")


CONFIRMATIONS = b"x"
"""What the row of every confirmation of a fork block begins with."""


ENDED_HOLDS = b"y"
"""What the row of every hold begins with that a resume ended and no block has recorded yet."""


def ended_hold_row(digest: Hash32) -> bytes:
    """Return the row of an ended hold, by what the council signed to halt."""
    return ENDED_HOLDS + digest


REVERTS = b"e"
"""What the row of every development revert begins with."""


def revert_row(fork_id: int, dev_epoch: int) -> bytes:
    """Return the row of the revert with which an epoch began (DESIGN section 9)."""
    return REVERTS + fork_id.to_bytes(4, "big") + dev_epoch.to_bytes(4, "big")


MARKS_ROW = b"mmarks"
"""How many development snapshots were taken, decimal: their ids are never used again."""
DEVELOPMENT_MARKS = b"z"
"""What the row of every development snapshot begins with."""


def development_mark_row(number: int) -> bytes:
    """Return the row that names the block of a development snapshot."""
    return DEVELOPMENT_MARKS + number.to_bytes(8, "big")


FILLS_SINCE_ROW = b"mfills"
"""The height from which on `fills_row` knows every fill, decimal; absent: it is to be made anew."""


FILLS = b"i"
"""What the row of every block begins with that filled orders."""


def fills_of_market(market: MarketId) -> bytes:
    """Return what every row of a market's fills begins with."""
    return FILLS + market.to_bytes(4, "big")


def newest_first(time_ms: TimeMs) -> bytes:
    """Return a time so that later ones come first."""
    return (2**64 - 1 - time_ms).to_bytes(8, "big")


def fills_row(market: MarketId, time_ms: TimeMs, block_hash: Hash32) -> bytes:
    """Return the row of a market's candles after a block that filled orders in it.

    It names the block, so it is right on whatever branch the block is, and for ever.
    """
    return fills_of_market(market) + newest_first(time_ms) + block_hash
