"""Everything this project raises on purpose, drawn first.

    PerpnodeError
    ├── OperatorError                 a command, file, key or flag is wrong: one line, exit status 1
    │   ├── GenesisError
    │   ├── PriceFileError
    │   ├── RefundFileError
    │   ├── KeyFileError
    │   ├── CorrectionsError          what an auditor corrects is malformed, or of another range
    │   ├── ReplayImpossible          no such block can be with what is corrected
    │   ├── PortInUse
    │   ├── DatabaseInUse
    │   ├── CorruptDatabase           its own checksums say so
    │   ├── ForeignDatabase           other genesis, newer format
    │   ├── StaleDatabase             older than its own side file
    │   ├── CorruptSignGuard          what a validator signed last can't be read
    │   ├── NodeUnreachable
    │   └── RequestRefused            a node answers our own client with an error
    ├── EncodingError                 bytes that are not in their one canonical form
    ├── CorruptState                  a stored node or record does not hash to its name
    ├── MissingState                  a state root that is not kept here
    ├── DatabaseMismatch              what a database holds is not what executing its blocks makes
    ├── InvalidCertificate            no quorum signed this block
    ├── InvalidAttestation            a signature that does not count toward a certificate
    ├── InvalidDispute                evidence whose signatures do not hold
    ├── PeerRefused                   what another node is cut off for
    │   └── NotInSet                  its key is no validator's: it may observe
    ├── SigningRefused                the guard signs no second block at one height
    ├── FaultRefused                  a fault on purpose that can't be done
    ├── MalformedAction               typed data that is no action of this council
    ├── ActionImpossible              a council action that this node can't carry out as it stands
    ├── OperationRefused              a development operation that can't be done
    ├── InvalidSnapshot               a file of a snapshot is not what manifest and signers say
    ├── PlanRefused                   a fork plan that this node must not carry out
    ├── InvalidTransaction            refused at admission, invalid in a block
    │   ├── MalformedTransaction
    │   ├── UnsupportedTransactionType
    │   ├── InvalidSignature
    │   ├── WrongChainId
    │   ├── NotReplayProtected
    │   ├── NonceTooLow
    │   ├── NonceTooHigh
    │   ├── InsufficientFunds
    │   ├── IntrinsicGasTooLow
    │   ├── ExceedsBlockGasLimit
    │   ├── FeeCapTooLow
    │   ├── TipAboveFeeCap
    │   ├── AlreadyKnown
    │   ├── ReplacementUnderpriced
    │   ├── MempoolFull
    │   ├── ContractCreation
    │   ├── NotSequencing             this node makes no blocks
    │   └── ReservedSender
    ├── InvalidBlock                  a block that this node would not have built
    │   ├── HeaderMismatch
    │   │   └── StateMismatch         of all fields only the state root
    │   ├── BodyMismatch
    │   ├── TransitionMismatch
    │   └── InvariantViolation
    └── Refusal                       a rule refuses an action: the transaction reverts with the
                                      ABI error of the same name and fields (contracts/interfaces)

An exception carries its values as fields. Our own mistakes are not here: they trip an `assert`.
"""

from dataclasses import dataclass, fields
from enum import Enum
from typing import Any

from node.units import Address, Hash32, Lots, MarketId, OrderId, Quote, RatePpm, Ticks, TimeMs


def show(value: object) -> str:
    """Return a value as texts of errors and disputes have it: hex, a code's name, or as it is."""
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value.name if isinstance(value, Enum) else str(value)


@dataclass(eq=False)
class PerpnodeError(Exception):
    """The root of the tree."""

    def __str__(self) -> str:
        values = ", ".join(f"{f.name}={show(getattr(self, f.name))}" for f in fields(self))
        return f"{type(self).__name__}({values})"


# --- the operator's mistakes ---------------------------------------------------------------------


@dataclass(eq=False)
class OperatorError(PerpnodeError):
    """One clear line: what, where, what to do."""

    message: str

    def __str__(self) -> str:
        return self.message


class GenesisError(OperatorError):
    """The genesis document is malformed or contradicts itself."""


class PriceFileError(OperatorError):
    """A price file is missing, empty or malformed; names the line."""


class RefundFileError(OperatorError):
    """A refund list's file is malformed; names the line."""


class KeyFileError(OperatorError):
    """A key is missing or malformed."""


class CorrectionsError(OperatorError):
    """What an auditor corrects is malformed, or nothing of the range; names the field."""


class ReplayImpossible(OperatorError):
    """A block can't be replayed, with or without corrections; names block and reason."""


class PortInUse(OperatorError):
    """Another process listens on the port; names it where the system tells."""


class DatabaseInUse(OperatorError):
    """Another process owns the database; names it."""


class CorruptDatabase(OperatorError):
    """The database's own checksums do not hold; names it."""


class ForeignDatabase(OperatorError):
    """The database belongs to another genesis or to a newer format; it is left untouched."""


class StaleDatabase(OperatorError):
    """The database ends before the head that its side file remembers: it lost blocks."""


class CorruptSignGuard(OperatorError):
    """The file that keeps a validator from signing twice is damaged, or of another chain or key."""


class NodeUnreachable(OperatorError):
    """No node answers at the URL."""


@dataclass(eq=False)
class RequestRefused(OperatorError):
    """A node answered a request of our own client with a JSON-RPC error."""

    code: int
    data: str | None
    """The ABI error of a revert, in hex."""


# --- bytes and state ---------------------------------------------------------------------------


@dataclass(eq=False)
class EncodingError(PerpnodeError):
    """Bytes are not in their one canonical form."""

    message: str

    def __str__(self) -> str:
        return self.message


@dataclass(eq=False)
class CorruptState(PerpnodeError):
    """A stored node does not hash to the name under which its parent knows it."""

    where: str
    value: Hash32
    expected: Hash32


@dataclass(eq=False)
class MissingState(PerpnodeError):
    """The state of this root is not kept here (pruned, or never seen)."""

    root: Hash32

    def __str__(self) -> str:
        return f"missing trie node {self.root.hex()} (path ) state is not available"


@dataclass(eq=False)
class DatabaseMismatch(PerpnodeError):
    """What a database holds is not what executing its blocks makes; names the first difference."""

    height: int
    field: str
    was: str
    recomputed: str

    def __str__(self) -> str:
        return f"block {self.height}, {self.field}: was {self.was}, recomputed {self.recomputed}"


@dataclass(eq=False)
class MalformedAction(PerpnodeError):
    """Typed data that is no council action, or one for another chain; says what differs."""

    field: str
    value: Any
    expected: Any

    def __str__(self) -> str:
        return f"action, {self.field}: was {show(self.value)}, expected {show(self.expected)}"


@dataclass(eq=False)
class ActionImpossible(PerpnodeError):
    """A council action that is good, and that this node can't carry out as it stands."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class OperationRefused(PerpnodeError):
    """A development operation that can't be done; nothing was changed."""

    reason: str

    def __str__(self) -> str:
        return self.reason


@dataclass(eq=False)
class InvalidSnapshot(PerpnodeError):
    """A file of a snapshot is not what its manifest, its root or its signers say."""

    file: str
    field: str
    value: Any
    expected: Any

    def __str__(self) -> str:
        return (
            f"snapshot {self.file}, {self.field}: was {show(self.value)}, "
            f"expected {show(self.expected)}"
        )


@dataclass(eq=False)
class PlanRefused(PerpnodeError):
    """A fork plan, or what it rests on, fails a check: nothing was written."""

    field: str
    value: Any
    expected: Any

    def __str__(self) -> str:
        return (
            f"fork plan refused, {self.field}: was {show(self.value)}, "
            f"expected {show(self.expected)}"
        )


# --- signatures of nodes --------------------------------------------------------------------------


@dataclass(eq=False)
class InvalidCertificate(PerpnodeError):
    """A certificate that does not prove its block; says what is wrong with it."""

    height: int
    field: str
    value: Any
    expected: Any

    def __str__(self) -> str:
        return (
            f"certificate of block {self.height}, {self.field}: was {show(self.value)}, "
            f"expected {show(self.expected)}"
        )


@dataclass(eq=False)
class InvalidAttestation(PerpnodeError):
    """An attestation that counts toward nothing."""

    height: int
    validator: int
    reason: str

    def __str__(self) -> str:
        return f"attestation of block {self.height} by validator {self.validator}: {self.reason}"


@dataclass(eq=False)
class InvalidDispute(PerpnodeError):
    """Evidence whose signatures do not hold."""

    height: int
    validator: int
    reason: str

    def __str__(self) -> str:
        return f"dispute of block {self.height} by validator {self.validator}: {self.reason}"


@dataclass(eq=False)
class PeerRefused(PerpnodeError):
    """What another node showed, said or failed to do, for which its link is cut off."""

    reason: str

    def __str__(self) -> str:
        return self.reason


class NotInSet(PeerRefused):
    """The key of a peer is none of the validators': it may come back without it, and observe."""


@dataclass(eq=False)
class SigningRefused(PerpnodeError):
    """A validator signed another block of this height, or a later one."""

    position: str
    """(fork_id, dev_epoch, height) of the block to sign."""
    block_hash: Hash32
    last: str
    """The last signed position."""
    last_hash: Hash32

    def __str__(self) -> str:
        return (
            f"no signature for block {show(self.block_hash)} at {self.position}: "
            f"signed {show(self.last_hash)} at {self.last}"
        )


@dataclass(eq=False)
class FaultRefused(PerpnodeError):
    """A fault on purpose that can't be done; says why."""

    reason: str

    def __str__(self) -> str:
        return self.reason


# --- transactions: the texts are geth's, because libraries parse them ----------------------------


@dataclass(eq=False)
class InvalidTransaction(PerpnodeError):
    """A transaction that can't be in a block."""


@dataclass(eq=False)
class MalformedTransaction(InvalidTransaction):
    """The bytes are no transaction; says why."""

    reason: str

    def __str__(self) -> str:
        return f"malformed transaction: {self.reason}"


@dataclass(eq=False)
class UnsupportedTransactionType(InvalidTransaction):
    """Only legacy, EIP-2930 (1) and EIP-1559 (2) transactions are taken."""

    type: int

    def __str__(self) -> str:
        return f"transaction type not supported: transaction type not valid ({self.type})"


@dataclass(eq=False)
class InvalidSignature(InvalidTransaction):
    """The signature is out of range, malleable (EIP-2) or recovers to nobody."""

    reason: str

    def __str__(self) -> str:
        return f"invalid sender: {self.reason}"


@dataclass(eq=False)
class WrongChainId(InvalidTransaction):
    """Signed for another chain."""

    value: int
    expected: int

    def __str__(self) -> str:
        return f"invalid chain id for signer: have {self.value} want {self.expected}"


@dataclass(eq=False)
class NotReplayProtected(InvalidTransaction):
    """A legacy transaction without EIP-155."""

    def __str__(self) -> str:
        return "only replay-protected (EIP-155) transactions allowed over RPC"


@dataclass(eq=False)
class NonceTooLow(InvalidTransaction):
    """The nonce is used."""

    value: int
    expected: int

    def __str__(self) -> str:
        return f"nonce too low: next nonce {self.expected}, tx nonce {self.value}"


@dataclass(eq=False)
class NonceTooHigh(InvalidTransaction):
    """The nonce is beyond this fork's range, or beyond the next one in a block."""

    value: int
    expected: int

    def __str__(self) -> str:
        return f"nonce too high: next nonce {self.expected}, tx nonce {self.value}"


@dataclass(eq=False)
class InsufficientFunds(InvalidTransaction):
    """The native balance does not cover gas and value."""

    account: Address
    value: int
    expected: int

    def __str__(self) -> str:
        return (
            "insufficient funds for gas * price + value: "
            f"address 0x{self.account.hex()} have {self.value} want {self.expected}"
        )


@dataclass(eq=False)
class IntrinsicGasTooLow(InvalidTransaction):
    """The gas limit is below what the schedule asks for this call."""

    value: int
    expected: int

    def __str__(self) -> str:
        return f"intrinsic gas too low: gas {self.value}, minimum needed {self.expected}"


@dataclass(eq=False)
class ExceedsBlockGasLimit(InvalidTransaction):
    """The gas limit is above a block's."""

    value: int
    expected: int

    def __str__(self) -> str:
        # viem looks for "gas limit reached".
        return f"exceeds block gas limit: gas {self.value}, gas limit reached at {self.expected}"


@dataclass(eq=False)
class FeeCapTooLow(InvalidTransaction):
    """The fee cap is below the base fee."""

    value: int
    expected: int

    def __str__(self) -> str:
        return (
            "max fee per gas less than block base fee: "
            f"maxFeePerGas: {self.value}, baseFee: {self.expected}"
        )


@dataclass(eq=False)
class TipAboveFeeCap(InvalidTransaction):
    """The tip is above the fee cap."""

    tip: int
    cap: int

    def __str__(self) -> str:
        return (
            "max priority fee per gas higher than max fee per gas: "
            f"maxPriorityFeePerGas: {self.tip}, maxFeePerGas: {self.cap}"
        )


@dataclass(eq=False)
class AlreadyKnown(InvalidTransaction):
    """The same transaction is in the mempool."""

    hash: Hash32

    def __str__(self) -> str:
        return "already known"


@dataclass(eq=False)
class ReplacementUnderpriced(InvalidTransaction):
    """A transaction of this nonce waits; replacing it takes 10 % more in both fees."""

    value: int
    expected: int

    def __str__(self) -> str:
        return (
            "replacement transaction underpriced: "
            f"fee cap {self.value}, minimum needed {self.expected}"
        )


@dataclass(eq=False)
class MempoolFull(InvalidTransaction):
    """The mempool, or this sender's share of it, is full."""

    limit: int

    def __str__(self) -> str:
        return f"txpool is full: limit {self.limit}, try again after the next block"


@dataclass(eq=False)
class ContractCreation(InvalidTransaction):
    """The chain runs no contracts of its users."""

    def __str__(self) -> str:
        return "contract creation is not supported"


@dataclass(eq=False)
class NotSequencing(InvalidTransaction):
    """A node that makes no blocks takes no transactions."""

    def __str__(self) -> str:
        return "this node follows the chain and makes no blocks: send transactions to the sequencer"


@dataclass(eq=False)
class ReservedSender(InvalidTransaction):
    """The system account's key is published; only the protocol sends from it."""

    account: Address

    def __str__(self) -> str:
        return f"sender 0x{self.account.hex()} is reserved for system transactions"


# --- blocks -----------------------------------------------------------------------------------


@dataclass(eq=False)
class InvalidBlock(PerpnodeError):
    """A block that this node would not have built; says what differs."""

    height: int
    field: str
    value: Any
    expected: Any

    def __str__(self) -> str:
        return (
            f"block {self.height}, {self.field}: was {show(self.value)}, "
            f"expected {show(self.expected)}"
        )


class HeaderMismatch(InvalidBlock):
    """A header or extension field differs."""


class StateMismatch(HeaderMismatch):
    """Nothing but the state root differs."""


class BodyMismatch(InvalidBlock):
    """The transactions, or their order, differ."""


@dataclass(eq=False)
class TransitionMismatch(InvalidBlock):
    """A transition differs from the one recomputed; `field` names its subject, not its place."""

    index: int
    """Where in the list."""

    def __str__(self) -> str:
        return (
            f"block {self.height}, transitions[{self.index}], {self.field}: "
            f"was {show(self.value)}, expected {show(self.expected)}"
        )


@dataclass(eq=False)
class InvariantViolation(InvalidBlock):
    """An invariant (RULES, I1 to I9) does not hold after the block."""

    rule: str

    def __str__(self) -> str:
        return f"invariant {self.rule}: {super().__str__()}"


# --- refusals: name and fields are those of the ABI error -----------------------------------------


@dataclass(eq=False)
class Refusal(PerpnodeError):
    """A rule refuses an action."""


@dataclass(eq=False)
class MarketNotFound(Refusal):
    """No market has this id."""

    market: MarketId


@dataclass(eq=False)
class OrderNotFound(Refusal):
    """The account has no open order or waiting trigger of this id."""

    market: MarketId
    order_id: OrderId


@dataclass(eq=False)
class NotAllowedInMode(Refusal):
    """The market's or the chain's mode (0 OPEN to 3 HALTED) closes this action; market 0: chain."""

    market: MarketId
    mode: int


@dataclass(eq=False)
class InsufficientMargin(Refusal):
    """Equity after the action would not carry the margin required (G3)."""

    account: Address
    equity: Quote
    required: Quote


@dataclass(eq=False)
class InsufficientBalance(Refusal):
    """The margin account can't pay this much out (M3)."""

    account: Address
    available: Quote
    needed: Quote


@dataclass(eq=False)
class WithdrawalsClosed(Refusal):
    """The withdrawal gate is closed until the given block time (M3)."""

    until_ms: TimeMs


@dataclass(eq=False)
class InvalidSize(Refusal):
    """A size must not be zero, and must fit 53 bits."""

    size: Lots


@dataclass(eq=False)
class InvalidPrice(Refusal):
    """A price must be positive, and fit 53 bits."""

    price: Ticks


@dataclass(eq=False)
class InvalidTimeInForce(Refusal):
    """The code is none of the published ones."""

    code: int


@dataclass(eq=False)
class InvalidTriggerKind(Refusal):
    """The code is none of the published ones."""

    code: int


@dataclass(eq=False)
class OrderTooSmall(Refusal):
    """The order's value is below the market's minimum and does not close a position."""

    value: Quote
    minimum: Quote


@dataclass(eq=False)
class PostOnlyWouldCross(Refusal):
    """A post-only order would take liquidity (O2), or is too aggressive for POST_ONLY mode."""

    price: Ticks
    limit: Ticks


@dataclass(eq=False)
class OutsidePriceBand(Refusal):
    """An aggressive price lies beyond the market's band around the mark (O4)."""

    price: Ticks
    limit: Ticks


@dataclass(eq=False)
class ReduceOnlyWouldIncrease(Refusal):
    """A reduce-only order does not oppose a position (O2)."""

    position: Lots
    size: Lots


@dataclass(eq=False)
class NothingFilled(Refusal):
    """An immediate order found nothing at its price."""

    market: MarketId
    price: Ticks


@dataclass(eq=False)
class NoPrice(Refusal):
    """The market has no accepted price yet (P1)."""

    market: MarketId


@dataclass(eq=False)
class InvalidSelfTrade(Refusal):
    """The code is none of the published ones."""

    code: int


@dataclass(eq=False)
class InvalidExpiry(Refusal):
    """An expiry must lie in the future, and stand where the kind of order has one (O1)."""

    expires_ms: TimeMs
    time_ms: TimeMs


@dataclass(eq=False)
class InvalidClientId(Refusal):
    """A client id must fit 53 bits."""

    client_id: int


@dataclass(eq=False)
class ClientIdInUse(Refusal):
    """The account has something open under this client id (O1)."""

    client_id: int
    market: MarketId
    order_id: OrderId


@dataclass(eq=False)
class ClientIdNotFound(Refusal):
    """The account has nothing open under this client id."""

    client_id: int


@dataclass(eq=False)
class NotFilledWhole(Refusal):
    """A FOK order would not be filled whole (O2)."""

    market: MarketId
    filled: Lots
    size: Lots


@dataclass(eq=False)
class SelfTradeRefused(Refusal):
    """The order met its owner's own and was to expire then (O2)."""

    market: MarketId
    order_id: OrderId


@dataclass(eq=False)
class TooManyOpenOrders(Refusal):
    """The account has as many orders and triggers open as it may (O7)."""

    count: int
    maximum: int


@dataclass(eq=False)
class TooManyActions(Refusal):
    """The account has placed and amended as much in this block as it may (O7)."""

    maximum: int


@dataclass(eq=False)
class PositionTooLarge(Refusal):
    """The position would be too large if all its orders were filled (O7)."""

    market: MarketId
    size: Lots
    maximum: Lots


@dataclass(eq=False)
class OpenInterestTooLarge(Refusal):
    """The fill would lift the market's open interest above its cap (O7)."""

    market: MarketId
    open_interest: Lots
    maximum: Lots


@dataclass(eq=False)
class NotSmaller(Refusal):
    """The new size is not smaller, or not on the same side (O1)."""

    size_before: Lots
    size: Lots


@dataclass(eq=False)
class InvalidMarginFraction(Refusal):
    """A fraction of the notional is 0 to 1,000,000 ppm (M4)."""

    initial_margin_ppm: RatePpm


@dataclass(eq=False)
class InvalidAgent(Refusal):
    """Neither the account itself nor a system address can be an agent (M4)."""

    agent: Address


@dataclass(eq=False)
class AgentNotAuthorized(Refusal):
    """The account has not authorised this agent, or only until now (M4)."""

    account: Address
    agent: Address


@dataclass(eq=False)
class TooManyAgents(Refusal):
    """The account has as many agents as it may (M4)."""

    maximum: int


@dataclass(eq=False)
class BatchTooLarge(Refusal):
    """A batch has too many actions (O1)."""

    count: int
    maximum: int


@dataclass(eq=False)
class NotAnAction(Refusal):
    """A batch contains what it may not: only placing, amending and cancelling are actions."""

    selector: bytes


@dataclass(eq=False)
class NotReporter(Refusal):
    """Only a reporter of the genesis set may report prices (P1)."""

    account: Address


@dataclass(eq=False)
class WrongForkId(Refusal):
    """The action was signed for another branch of this chain (RECOVERY, Governance)."""

    fork_id: int
    expected: int


@dataclass(eq=False)
class ActionExpired(Refusal):
    """The action's time is over, in seconds since 1970 by the block's time."""

    expires_at: int
    time: int


@dataclass(eq=False)
class ActionExpiredAtHeight(Refusal):
    """The action's last block is over."""

    expires_at_height: int
    height: int


@dataclass(eq=False)
class ActionNonceUsed(Refusal):
    """An action of this nonce was carried out; each is good once."""

    nonce: Hash32


@dataclass(eq=False)
class MalformedSignature(Refusal):
    """The signature at this index is not 65 bytes r, s, v of a secp256k1 signature with low s."""

    index: int


@dataclass(eq=False)
class UnknownSigner(Refusal):
    """Who signed these very words, for this very chain, is not in the council."""

    signer: Address


@dataclass(eq=False)
class DuplicateSignature(Refusal):
    """A member's signature stands there twice."""

    signer: Address


@dataclass(eq=False)
class NotEnoughSignatures(Refusal):
    """Fewer members signed than an action needs."""

    signatures: int
    threshold: int


@dataclass(eq=False)
class HaltHeightPassed(Refusal):
    """The chain can't halt at the end of a block that is over."""

    halt_height: int
    height: int


@dataclass(eq=False)
class NotHalted(Refusal):
    """The chain is not HALTED, and no halt is due: there is nothing to resume."""

    mode: int


@dataclass(eq=False)
class InvalidMode(Refusal):
    """The code is no mode that may be set here; the chain is HALTED by a halt alone."""

    market: MarketId
    mode: int


@dataclass(eq=False)
class InvalidCancelFilter(Refusal):
    """The code is no filter, or a field that the filter does not use is not zero."""

    filter: int
    market: MarketId
    account: Address


@dataclass(eq=False)
class MarketClosed(Refusal):
    """The market was settled: nothing opens it again (X5)."""

    market: MarketId


@dataclass(eq=False)
class SettlementPriceTooFar(Refusal):
    """The price is farther from the last accepted one than a price may move (X5)."""

    market: MarketId
    price: Ticks
    last: Ticks


@dataclass(eq=False)
class InvalidMaintenance(Refusal):
    """A window must start before it halts and end later than now, and none may be on (X3)."""

    start_height: int
    halt_height: int
    end_ms: TimeMs


@dataclass(eq=False)
class NoSuchParameter(Refusal):
    """No number has this name that may be set: lists have actions of their own, units never change.

    Market 0 is the chain.
    """

    market: MarketId
    name: str


@dataclass(eq=False)
class InvalidParameters(Refusal):
    """With these parameters no genesis document would be taken; market 0 is the chain."""

    market: MarketId
    reason: str


@dataclass(eq=False)
class MarketExists(Refusal):
    """The id is, or was, a market's (X5)."""

    market: MarketId


@dataclass(eq=False)
class InvalidCouncil(Refusal):
    """Such a council could not decide."""

    reason: str


@dataclass(eq=False)
class InvalidValidators(Refusal):
    """Such a set of validators could not work."""

    reason: str


@dataclass(eq=False)
class SystemAddress(Refusal):
    """The address belongs to the system: nobody's key leads to it, or everybody's."""

    account: Address


@dataclass(eq=False)
class NoJump(Refusal):
    """No price of the market waits for a confirmation, or too few reports of it are fresh (P2)."""

    market: MarketId


@dataclass(eq=False)
class JumpNotAsAcknowledged(Refusal):
    """The price that waits is farther from the acknowledged one than a price may move (P2)."""

    market: MarketId
    candidate: Ticks
    price: Ticks


@dataclass(eq=False)
class UnknownSource(Refusal):
    """A compensation is paid by the LiquidatorVault and by nothing else."""

    source: str


@dataclass(eq=False)
class InvalidCompensation(Refusal):
    """A refund list has at least one refund, and its total an atom for each."""

    refunds: int
    total: Quote


@dataclass(eq=False)
class CompensationOverCap(Refusal):
    """The total is more than the council allows in the same action."""

    total: Quote
    cap: Quote


@dataclass(eq=False)
class InvalidPayUntil(Refusal):
    """Refunds are paid until a block time ahead, in seconds since 1970."""

    pay_until: int
    time: int


@dataclass(eq=False)
class RefundListUsed(Refusal):
    """Another compensation has this list: each is paid once."""

    root: Hash32
    compensation: int


@dataclass(eq=False)
class VaultCannotPay(Refusal):
    """The LiquidatorVault's equity would be below 0 (L5)."""

    equity: Quote
    total: Quote


@dataclass(eq=False)
class CompensationNotFound(Refusal):
    """There is no compensation of this number."""

    compensation: int
    count: int


@dataclass(eq=False)
class CompensationEnded(Refusal):
    """Its time is over, or all was paid: what was left has returned to the vault."""

    compensation: int
    pay_until: int
    time: int


@dataclass(eq=False)
class RefundNotInList(Refusal):
    """The proof does not lead from this very refund to the root that the council signed."""

    compensation: int
    index: int


@dataclass(eq=False)
class RefundPaidAlready(Refusal):
    """The account has had its refund of this compensation, in the block of this height."""

    compensation: int
    account: Address
    height: int


@dataclass(eq=False)
class RefundsExceedTotal(Refusal):
    """The list sums to more than the council signed: so much is not left."""

    compensation: int
    amount: Quote
    left: Quote


@dataclass(eq=False)
class InvalidRefund(Refusal):
    """No list may have this row: an index beyond it, no amount, or a system account."""

    compensation: int
    index: int
    account: Address
    amount: Quote


@dataclass(eq=False)
class ProofsNotAsRefunds(Refusal):
    """Each refund needs a proof of its own."""

    refunds: int
    proofs: int


@dataclass(eq=False)
class NoAuditEntry(Refusal):
    """The audit log has no such entry."""

    number: int
    length: int


@dataclass(eq=False)
class UnknownFunction(Refusal):
    """No function of the contract has this selector."""

    selector: bytes


@dataclass(eq=False)
class MalformedCalldata(Refusal):
    """The arguments do not decode as the function's ABI says."""

    selector: bytes


@dataclass(eq=False)
class ValueNotAccepted(Refusal):
    """System contracts take no native coin."""

    value: int


@dataclass(eq=False)
class TransferToSystemContract(Refusal):
    """A direct token transfer to a system address would strand the tokens; use deposit."""

    account: Address


@dataclass(eq=False)
class FaucetLimitExceeded(Refusal):
    """The devnet faucet gives each account so much in all."""

    amount: Quote
    available: Quote


@dataclass(eq=False)
class ERC20InsufficientBalance(Refusal):
    """EIP-6093."""

    sender: Address
    balance: Quote
    needed: Quote


@dataclass(eq=False)
class ERC20InsufficientAllowance(Refusal):
    """EIP-6093."""

    spender: Address
    allowance: int
    needed: Quote


@dataclass(eq=False)
class ERC20InvalidReceiver(Refusal):
    """EIP-6093."""

    receiver: Address


@dataclass(eq=False)
class ERC2612ExpiredSignature(Refusal):
    """The permit's deadline (in seconds) has passed."""

    deadline: int


@dataclass(eq=False)
class ERC2612InvalidSigner(Refusal):
    """The permit was signed by somebody else."""

    signer: Address
    owner: Address
