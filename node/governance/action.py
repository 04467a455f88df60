"""Council actions: what members sign in their wallets, one EIP-712 struct a kind.

Named fields, so that a wallet shows numbers and not bytes (RECOVERY, Governance). Every kind ends
in the same terms: an unordered nonce, the branch it is meant for, when it expires, and the reason.
The chain's genesis hash is the domain's salt: without it a signature from one devnet would be good
on every other. The digest is made here, from nothing but keccak; tests compare it with
eth-account's and viem's.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Annotated, Any, NamedTuple

from node.crypto import eip712_digest, keccak256, recover
from node.encoding import BIG, codec_of
from node.errors import (
    ActionExpired,
    ActionExpiredAtHeight,
    DuplicateSignature,
    InvalidSignature,
    MalformedSignature,
    NotEnoughSignatures,
    UnknownSigner,
    WrongForkId,
)
from node.governance.council import Council
from node.units import Address, Hash32, Height, MarketId, Ticks, TimeMs

NAME = "perpnode"
VERSION = "1"
VERIFYING_CONTRACT = Address((0x1004).to_bytes(20, "big"))
"""The Governance contract."""
DOMAIN_TYPE = (
    "EIP712Domain(string name,string version,uint256 chainId,"
    "address verifyingContract,bytes32 salt)"
)
SIGNATURE_SIZE = 65

Count = Annotated[int, BIG]
"""A uint64: it may pass what MessagePack holds as a signed integer."""


class Kind(IntEnum):
    """The kinds of actions; the codes are the ABI's and the audit log's."""

    HALT = 0
    SET_MODE = 1
    CANCEL_ORDERS = 2
    ACKNOWLEDGE_JUMP = 3
    RESUME = 4
    FORK = 5


class Domain(NamedTuple):
    """The chain that an action is signed for."""

    chain_id: int
    genesis_hash: Hash32
    """Block 0's hash."""


class Halt(NamedTuple):
    """The block of this height is the last ordinary one; 0: the block that carries the action."""

    height: Count
    nonce: Hash32
    """Any 32 bytes that no action used before."""
    fork_id: Count
    """The branch that is meant: the fork being left."""
    expires_at: Count
    """The last block time at which it is good, in seconds since 1970."""
    expires_at_height: Count
    """The last block that may carry it."""
    reason: str


class SetMode(NamedTuple):
    """Set the mode of a market, or of the chain (market 0); it opens no further by itself."""

    market: MarketId
    mode: int
    """0 OPEN, 1 POST_ONLY, 2 CANCEL_ONLY, 3 HALTED (a market's only)."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class CancelOrders(NamedTuple):
    """Cancel what the filter says."""

    filter: int
    """0: all but take-profits and stop-losses; 1: all of a market; 2: all of an account."""
    market: MarketId
    """0 unless the filter is 1."""
    account: Address
    """Zero unless the filter is 2."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class AcknowledgeJump(NamedTuple):
    """Accept the price that waits as a JUMP, if it lies as near to `price` as a price may move."""

    market: MarketId
    price: Ticks
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class Resume(NamedTuple):
    """End a halt: from HALTED to CANCEL_ONLY and, with fresh prices, on to OPEN (X2)."""

    nonce: Hash32
    fork_id: Count
    expires_at: Count
    reason: str


class Fork(NamedTuple):
    """Leave this branch by the fork plan of this hash."""

    plan_hash: Hash32
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    reason: str


Action = Halt | SetMode | CancelOrders | AcknowledgeJump | Resume | Fork


class Field(NamedTuple):
    """One field of a struct as wallets know it."""

    type: str
    name: str


_TERMS = "bytes32 nonce,uint64 forkId,uint64 expiresAt"
ENCODED_TYPES: dict[type[Action], str] = {
    Halt: f"Halt(uint64 height,{_TERMS},uint64 expiresAtHeight,string reason)",
    SetMode: f"SetMode(uint32 market,uint8 mode,{_TERMS},uint64 expiresAtHeight,string reason)",
    CancelOrders: (
        "CancelOrders(uint8 filter,uint32 market,address account,"
        f"{_TERMS},uint64 expiresAtHeight,string reason)"
    ),
    AcknowledgeJump: (
        f"AcknowledgeJump(uint32 market,int64 price,{_TERMS},uint64 expiresAtHeight,string reason)"
    ),
    Resume: f"Resume({_TERMS},string reason)",
    Fork: f"Fork(bytes32 planHash,{_TERMS},string reason)",
}
"""EIP-712's encodeType of each struct; fields in the order of the record's."""

KINDS: dict[type[Action], Kind] = {
    Halt: Kind.HALT,
    SetMode: Kind.SET_MODE,
    CancelOrders: Kind.CANCEL_ORDERS,
    AcknowledgeJump: Kind.ACKNOWLEDGE_JUMP,
    Resume: Kind.RESUME,
    Fork: Kind.FORK,
}
CLASSES: dict[Kind, type[Action]] = {kind: made for made, kind in KINDS.items()}


def fields_of(encoded_type: str) -> tuple[Field, ...]:
    """Return the fields that an encodeType string names, in order."""
    inner = encoded_type[encoded_type.index("(") + 1 : -1]
    return tuple(Field(*each.split(" ")) for each in inner.split(","))


FIELDS: dict[type[Action], tuple[Field, ...]] = {
    made: fields_of(encoded_type) for made, encoded_type in ENCODED_TYPES.items()
}
DOMAIN_FIELDS = fields_of(DOMAIN_TYPE)


# --- what is signed -------------------------------------------------------------------------------


def compute_domain_separator(domain: Domain) -> Hash32:
    """Return the hash of the EIP-712 domain: the chain, the Governance contract, the genesis."""
    return keccak256(
        keccak256(DOMAIN_TYPE.encode())
        + keccak256(NAME.encode())
        + keccak256(VERSION.encode())
        + domain.chain_id.to_bytes(32, "big")
        + bytes(12)
        + VERIFYING_CONTRACT
        + domain.genesis_hash
    )


def compute_digest(action: Action, domain: Domain) -> Hash32:
    """Return what a wallet signs for the action: its EIP-712 digest on this chain.

    OverflowError for an integer outside of its field's type.
    """
    words: list[bytes] = [keccak256(ENCODED_TYPES[type(action)].encode())]
    for field, value in zip(FIELDS[type(action)], action, strict=True):
        words.append(_WORDS[field.type](value))
    return eip712_digest(compute_domain_separator(domain), keccak256(b"".join(words)))


def _unsigned(bits: int, value: int) -> bytes:
    if not 0 <= value < 1 << bits:
        raise OverflowError(f"{value} is no uint{bits}")
    return value.to_bytes(32, "big")


def _signed(bits: int, value: int) -> bytes:
    if not -(1 << bits - 1) <= value < 1 << bits - 1:
        raise OverflowError(f"{value} is no int{bits}")
    return value.to_bytes(32, "big", signed=True)


_WORDS: dict[str, Callable[[Any], bytes]] = {
    "uint8": lambda value: _unsigned(8, value),
    "uint32": lambda value: _unsigned(32, value),
    "uint64": lambda value: _unsigned(64, value),
    "int64": lambda value: _signed(64, value),
    "bytes32": lambda value: value,
    "address": lambda value: bytes(12) + value,
    "string": lambda value: keccak256(value.encode()),
}
"""How a value of each type becomes the word that is hashed."""


# --- who signed -----------------------------------------------------------------------------------


def recover_signer(digest: Hash32, signature: bytes) -> Address:
    """Return who made a wallet's signature of 65 bytes: r, s, v (27 or 28; also 0 or 1).

    Raises InvalidSignature.
    """
    if len(signature) != SIGNATURE_SIZE:
        raise InvalidSignature(f"it has {len(signature)} bytes, not {SIGNATURE_SIZE}")
    v = signature[64]
    return recover(
        digest,
        int.from_bytes(signature[:32], "big"),
        int.from_bytes(signature[32:64], "big"),
        v - 27 if v >= 27 else v,
    )


def get_signers(
    digest: Hash32, signatures: Sequence[bytes], council: Council
) -> tuple[Address, ...]:
    """Return the members who signed, ascending: different ones, at least the threshold.

    Raises MalformedSignature, UnknownSigner (a signature for another chain or of other words is one
    of somebody unknown), DuplicateSignature or NotEnoughSignatures: nothing bad is passed over.
    """
    signers: list[Address] = []
    for index, signature in enumerate(signatures):
        try:
            signer = recover_signer(digest, signature)
        except InvalidSignature:
            raise MalformedSignature(index) from None
        if signer not in council.members:
            raise UnknownSigner(signer)
        if signer in signers:
            raise DuplicateSignature(signer)
        signers.append(signer)
    if len(signers) < council.threshold:
        raise NotEnoughSignatures(len(signers), council.threshold)
    return tuple(sorted(signers))


def require_current(action: Action, *, fork_id: int, time_ms: TimeMs, height: Height) -> None:
    """Raise WrongForkId, ActionExpired or ActionExpiredAtHeight unless the action is good now."""
    if action.fork_id != fork_id:
        raise WrongForkId(action.fork_id, fork_id)
    seconds = time_ms // 1_000
    if seconds > action.expires_at:
        raise ActionExpired(action.expires_at, seconds)
    if not isinstance(action, Resume | Fork) and height > action.expires_at_height:
        raise ActionExpiredAtHeight(action.expires_at_height, height)


def is_expired(action: Action, *, time_ms: TimeMs, height: Height) -> bool:
    """Tell whether the action's time or its last block is over."""
    try:
        require_current(action, fork_id=action.fork_id, time_ms=time_ms, height=height)
    except (ActionExpired, ActionExpiredAtHeight):
        return True
    return False


# --- as a record ----------------------------------------------------------------------------------


def encode_action(action: Action) -> bytes:
    """Return the action's record form, as the audit log keeps it: MessagePack, fields in order."""
    return codec_of(type(action)).encode(action)


def decode_action(kind: Kind, data: bytes) -> Action:
    """Return the action of a record; raise EncodingError."""
    return codec_of(CLASSES[kind]).decode(data)
