"""Council actions: what members sign in their wallets, one EIP-712 struct a kind.

Named fields, so that a wallet shows numbers and not bytes (RECOVERY, Governance); what is a list,
or has parts, is an array or a struct of its own, which wallets show as well. Every kind ends in the
same terms: an unordered nonce, the branch it is meant for, when it expires, and the reason.
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
from node.governance.validators import Validator
from node.units import (
    Address,
    DurationMs,
    Hash32,
    Height,
    Lots,
    MarketId,
    Quote,
    RatePpb,
    RatePpm,
    Ticks,
    TimeMs,
)

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
    SCHEDULE_MAINTENANCE = 6
    SETTLE_MARKET = 7
    CHANGE_COUNCIL = 8
    CHANGE_VALIDATORS = 9
    SET_PARAMETER = 10
    SET_REPORTERS = 11
    SET_BRACKETS = 12
    LIST_MARKET = 13
    COMPENSATE = 14


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


class ScheduleMaintenance(NamedTuple):
    """Close the chain for a while, announced before: CANCEL_ONLY, HALTED, and back (X3)."""

    start_height: Count
    """From the end of this block on the chain is CANCEL_ONLY."""
    halt_height: Count
    """From the end of this block on it is HALTED."""
    end_ms: Count
    """The first block from this time on ends the halt, in milliseconds since 1970."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class SettleMarket(NamedTuple):
    """Close a market for ever, every position at one price (X5)."""

    market: MarketId
    price: Ticks
    beyond_max_move: bool
    """Whether the price may be farther from the last accepted one than a price may move."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class ChangeCouncil(NamedTuple):
    """Let others govern, from the next block on."""

    members: tuple[Address, ...]
    """Ascending, different."""
    threshold: int
    """More than half of them."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class ChangeValidators(NamedTuple):
    """Let others attest, from the next block on; the sequencer stays."""

    validators: tuple[Validator, ...]
    """In the order that certificates name them by."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class SetParameter(NamedTuple):
    """Set one number of a market, or of the chain, from the next block on."""

    market: MarketId
    """0: the chain's."""
    name: str
    """As the genesis document names it."""
    value: int
    """0 or 1 where genesis says false or true."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class SetReporters(NamedTuple):
    """Let others report prices, from the next block on."""

    reporters: tuple[Address, ...]
    """Ascending, different."""
    quorum: int
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class Bracket(NamedTuple):
    """From this notional on, a position needs this initial margin fraction (G1)."""

    notional_from: Quote
    initial_margin_ppm: RatePpm


class SetBrackets(NamedTuple):
    """Set a market's initial margin, from the next block on."""

    market: MarketId
    brackets: tuple[Bracket, ...]
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class NewMarket(NamedTuple):
    """A new market's parameters, by the names that the genesis document has for them."""

    symbol: str
    lot_decimals: int
    tick_decimals: int
    k: int
    brackets: tuple[Bracket, ...]
    maintenance_ppm: RatePpm
    oi_lower_cap: Quote
    oi_upper_cap: Quote
    taker_fee_ppm: RatePpm
    maker_fee_ppm: RatePpm
    price_band_ppm: RatePpm
    order_value_min: Quote
    impact_notional: Quote
    funding_interval_ms: DurationMs
    funding_interest_ppb: RatePpb
    funding_clamp_factor_ppm: RatePpm
    price_age_ms_max: DurationMs
    price_move_ppm_max: RatePpm
    price_confirm_ms: DurationMs
    liquidation_fee_ppm: RatePpm
    mark_band_ppm: RatePpm
    vault_size_max: Lots
    position_max: Lots
    open_interest_max: Lots
    liquidation_notional_max: Quote


class ListMarket(NamedTuple):
    """Begin a new market, from the next block on: POST_ONLY once it has prices, then OPEN (X5)."""

    market: MarketId
    """An id that no market has or had."""
    params: NewMarket
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


class Compensate(NamedTuple):
    """Have the vault repay a refund list: all of its total at once, each refund when asked for."""

    source: str
    """Who pays: LiquidatorVault."""
    root: Hash32
    """The list's (`refund.compute_root`)."""
    refunds: int
    """How many the list has."""
    total: Quote
    """What they sum to, in atoms."""
    cap: Quote
    """What the total must not pass, in atoms."""
    pay_until: Count
    """The last block time at which refunds are paid, in seconds since 1970."""
    nonce: Hash32
    fork_id: Count
    expires_at: Count
    expires_at_height: Count
    reason: str


Action = (
    Halt
    | SetMode
    | CancelOrders
    | AcknowledgeJump
    | Resume
    | Fork
    | ScheduleMaintenance
    | SettleMarket
    | ChangeCouncil
    | ChangeValidators
    | SetParameter
    | SetReporters
    | SetBrackets
    | ListMarket
    | Compensate
)


class Field(NamedTuple):
    """One field of a struct as wallets know it."""

    type: str
    """An atomic type, a struct's name, or either with [] after it."""
    name: str


class Struct(NamedTuple):
    """A struct that is part of an action."""

    made: type[tuple[Any, ...]]
    """Its record."""
    encoded_type: str
    """EIP-712's encodeType, without the structs that it refers to."""


STRUCTS: dict[str, Struct] = {
    "MarginBracket": Struct(Bracket, "MarginBracket(int64 notionalFrom,int64 initialMarginPpm)"),
    "MarketParams": Struct(
        NewMarket,
        "MarketParams(string symbol,int64 lotDecimals,int64 tickDecimals,int64 k,"
        "MarginBracket[] brackets,int64 maintenancePpm,int64 oiLowerCap,int64 oiUpperCap,"
        "int64 takerFeePpm,int64 makerFeePpm,int64 priceBandPpm,int64 orderValueMin,"
        "int64 impactNotional,int64 fundingIntervalMs,int64 fundingInterestPpb,"
        "int64 fundingClampFactorPpm,int64 priceAgeMsMax,int64 priceMovePpmMax,"
        "int64 priceConfirmMs,int64 liquidationFeePpm,int64 markBandPpm,int64 vaultSizeMax,"
        "int64 positionMax,int64 openInterestMax,int64 liquidationNotionalMax)",
    ),
    "Validator": Struct(Validator, "Validator(bytes32 publicKey,int64 power)"),
}
"""By name. Numbers that a rule will judge are int64 throughout, as the records are: what is wrong
is refused by the rule, by name."""

_TERMS = "bytes32 nonce,uint64 forkId,uint64 expiresAt"
_LONG_TERMS = f"{_TERMS},uint64 expiresAtHeight,string reason"
ENCODED_TYPES: dict[type[Action], str] = {
    Halt: f"Halt(uint64 height,{_LONG_TERMS})",
    SetMode: f"SetMode(uint32 market,uint8 mode,{_LONG_TERMS})",
    CancelOrders: f"CancelOrders(uint8 filter,uint32 market,address account,{_LONG_TERMS})",
    AcknowledgeJump: f"AcknowledgeJump(uint32 market,int64 price,{_LONG_TERMS})",
    Resume: f"Resume({_TERMS},string reason)",
    Fork: f"Fork(bytes32 planHash,{_TERMS},string reason)",
    ScheduleMaintenance: (
        f"ScheduleMaintenance(uint64 startHeight,uint64 haltHeight,uint64 endMs,{_LONG_TERMS})"
    ),
    SettleMarket: f"SettleMarket(uint32 market,int64 price,bool beyondMaxMove,{_LONG_TERMS})",
    ChangeCouncil: f"ChangeCouncil(address[] members,uint32 threshold,{_LONG_TERMS})",
    ChangeValidators: f"ChangeValidators(Validator[] validators,{_LONG_TERMS})",
    SetParameter: f"SetParameter(uint32 market,string name,int64 value,{_LONG_TERMS})",
    SetReporters: f"SetReporters(address[] reporters,uint32 quorum,{_LONG_TERMS})",
    SetBrackets: f"SetBrackets(uint32 market,MarginBracket[] brackets,{_LONG_TERMS})",
    ListMarket: f"ListMarket(uint32 market,MarketParams params,{_LONG_TERMS})",
    Compensate: (
        "Compensate(string source,bytes32 root,uint32 refunds,int64 total,int64 cap,"
        f"uint64 payUntil,{_LONG_TERMS})"
    ),
}
"""Each kind's encodeType, without the structs that it refers to; fields in the record's order."""

KINDS: dict[type[Action], Kind] = {
    Halt: Kind.HALT,
    SetMode: Kind.SET_MODE,
    CancelOrders: Kind.CANCEL_ORDERS,
    AcknowledgeJump: Kind.ACKNOWLEDGE_JUMP,
    Resume: Kind.RESUME,
    Fork: Kind.FORK,
    ScheduleMaintenance: Kind.SCHEDULE_MAINTENANCE,
    SettleMarket: Kind.SETTLE_MARKET,
    ChangeCouncil: Kind.CHANGE_COUNCIL,
    ChangeValidators: Kind.CHANGE_VALIDATORS,
    SetParameter: Kind.SET_PARAMETER,
    SetReporters: Kind.SET_REPORTERS,
    SetBrackets: Kind.SET_BRACKETS,
    ListMarket: Kind.LIST_MARKET,
    Compensate: Kind.COMPENSATE,
}
CLASSES: dict[Kind, type[Action]] = {kind: made for made, kind in KINDS.items()}


def fields_of(encoded_type: str) -> tuple[Field, ...]:
    """Return the fields that an encodeType string names, in order."""
    inner = encoded_type[encoded_type.index("(") + 1 : -1]
    return tuple(Field(*each.split(" ")) for each in inner.split(","))


FIELDS: dict[type[Action], tuple[Field, ...]] = {
    made: fields_of(encoded_type) for made, encoded_type in ENCODED_TYPES.items()
}
STRUCT_FIELDS: dict[str, tuple[Field, ...]] = {
    name: fields_of(struct.encoded_type) for name, struct in STRUCTS.items()
}
DOMAIN_FIELDS = fields_of(DOMAIN_TYPE)


def find_structs(fields: Sequence[Field]) -> tuple[str, ...]:
    """Return the names of the structs that fields refer to, at any depth, sorted (EIP-712)."""
    found: set[str] = set()
    for field in fields:
        name = field.type.removesuffix("[]")
        if name in STRUCTS:
            found |= {name, *find_structs(STRUCT_FIELDS[name])}
    return tuple(sorted(found))


def make_action(action_class: type[Action], values: Sequence[Any]) -> Action:
    """Return an action of plain values in order, as the ABI has them."""
    return action_class(*_make_values(FIELDS[action_class], values))


def _make_values(fields: Sequence[Field], values: Sequence[Any]) -> list[Any]:
    return [_make_value(field.type, value) for field, value in zip(fields, values, strict=True)]


def _make_value(type_name: str, value: Any) -> Any:
    if type_name.endswith("[]"):
        return tuple(_make_value(type_name[:-2], each) for each in value)
    if type_name in STRUCTS:
        return STRUCTS[type_name].made(*_make_values(STRUCT_FIELDS[type_name], value))
    return value


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
    encoded_type, fields = ENCODED_TYPES[type(action)], FIELDS[type(action)]
    return eip712_digest(
        compute_domain_separator(domain), _hash_struct(encoded_type, fields, action)
    )


def _hash_struct(encoded_type: str, fields: Sequence[Field], values: Sequence[Any]) -> Hash32:
    parts = "".join(STRUCTS[name].encoded_type for name in find_structs(fields))
    words: list[bytes] = [keccak256((encoded_type + parts).encode())]
    words += [_word(field.type, value) for field, value in zip(fields, values, strict=True)]
    return keccak256(b"".join(words))


def _word(type_name: str, value: Any) -> bytes:
    if type_name.endswith("[]"):
        return keccak256(b"".join(_word(type_name[:-2], each) for each in value))
    if type_name in STRUCTS:
        encoded_type = STRUCTS[type_name].encoded_type
        return _hash_struct(encoded_type, STRUCT_FIELDS[type_name], value)
    return _WORDS[type_name](value)


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
    "bool": lambda value: _unsigned(8, value),
    "string": lambda value: keccak256(value.encode()),
}
"""How a value of each atomic type becomes the word that is hashed."""


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
