"""Development operations: what the helpers of a development chain do to its state (DESIGN 9).

An operation is the input of a system transaction, as what the council signs is: sealed in a block,
executed again by every validator, refused on a chain whose genesis does not say `dev`. What is
counted stays counted (I9): native coin that appears or vanishes is in the record below, tokens in
their supply; a nonce never goes back. Only the protocol's own rules are called.

    SetBalance, AddBalance    an account's native coin
    SetNonce                  an account's next nonce, upward only
    SetTokens, SetAllowance   the collateral token
    SetTimeOffset             how far block time is from the wall clock, from this block on
    RepeatPrices              every reporter says again what the market's last accepted price was
    BeginEpoch                the first block after a revert
    Call                      a transaction of an account whose key nobody needs (impersonation)
    LoadState                 a whole state in place of the parent's (`chain.loading`)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.encoding import BIG, Codec, codec_of
from node.errors import EncodingError, InvariantViolation, OperationRefused, Refusal
from node.governance.fork import compute_nonce_floor
from node.perp.oracle import get_oracle, process_report
from node.system.token import process_approval, process_balance_set
from node.units import Address, Quote, TimeMs, Wei

if TYPE_CHECKING:
    from node.chain.genesis import Genesis
    from node.chain.ledger import StateLedger
    from node.state.account import AccountLeaf

TAG = b"dev:"
"""What the input of a system transaction that carries an operation begins with."""
BALANCE_MAX = 2**255 - 1
"""Wei: more than any account needs, and no sum of some of them leaves Ethereum's 256 bits."""
TOKENS_MAX = Quote(2**63 - 1)
"""Atoms: as much as genesis may give."""
OFFSET_MS_MAX = 2**50
"""Either way: 35,000 years."""


class Development(NamedTuple):
    """What development operations have added up to; one record, absent before the first."""

    time_offset_ms: int = 0
    """Block time less wall clock; validators sign no block further ahead of it."""
    native_minted: Annotated[int, BIG] = 0
    """Wei that operations have added, less what they took away (I9)."""


NONE = Development()


class SetBalance(NamedTuple):
    """Give an account exactly so much native coin."""

    account: Address
    balance: Annotated[Wei, BIG]


class AddBalance(NamedTuple):
    """Give an account so much native coin more."""

    account: Address
    amount: Annotated[Wei, BIG]


class SetNonce(NamedTuple):
    """Let an account go on at a higher nonce."""

    account: Address
    nonce: int


class SetTokens(NamedTuple):
    """Give an account exactly so many tokens, minted or burnt."""

    account: Address
    amount: Annotated[Quote, BIG]


class SetAllowance(NamedTuple):
    """Let a spender move so many of the owner's tokens."""

    owner: Address
    spender: Address
    amount: Annotated[int, BIG]


class SetTimeOffset(NamedTuple):
    """Let block time be so far from the wall clock."""

    offset_ms: int


class RepeatPrices(NamedTuple):
    """Let every reporter repeat each market's last accepted price."""

    observed_ms: TimeMs


class BeginEpoch(NamedTuple):
    """Begin a branch after a revert."""

    dev_epoch: int


class Call(NamedTuple):
    """Let an account do what it could by a transaction of its own; it pays no gas."""

    sender: Address
    nonce: int
    """The sender's next one."""
    to: Address
    value: Annotated[Wei, BIG]
    data: bytes


class LoadState(NamedTuple):
    """Begin the block with another state."""

    content: bytes
    """As `anvil_dumpState` hands it out: gzip over JSON."""


Operation = (
    SetBalance
    | AddBalance
    | SetNonce
    | SetTokens
    | SetAllowance
    | SetTimeOffset
    | RepeatPrices
    | BeginEpoch
    | Call
    | LoadState
)

PACING = (SetTimeOffset, BeginEpoch, RepeatPrices)
"""Take nothing from anybody: people's transactions may stand in the same block."""

# --- bytes ----------------------------------------------------------------------------------------

KINDS: Mapping[type[Operation], int] = {
    SetBalance: 1,
    AddBalance: 2,
    SetNonce: 3,
    SetTokens: 4,
    SetAllowance: 5,
    SetTimeOffset: 6,
    RepeatPrices: 7,
    BeginEpoch: 8,
    Call: 9,
    LoadState: 10,
}
"""The codes are for ever."""

_CODECS: Mapping[int, Codec[Any]] = {code: codec_of(kind) for kind, code in KINDS.items()}


def encode_operation(operation: Operation) -> bytes:
    """Return the system transaction's input: tag, kind, the fields' MessagePack array."""
    code = KINDS[type(operation)]
    return TAG + bytes([code]) + _CODECS[code].encode(operation)


def is_operation(data: bytes) -> bool:
    """Tell whether a system transaction's input is meant as an operation."""
    return data.startswith(TAG)


def decode_operation(data: bytes) -> Operation:
    """Return the operation of an input; EncodingError if it is none in its one form."""
    code = data[len(TAG) : len(TAG) + 1]
    codec = _CODECS.get(code[0]) if is_operation(data) and code else None
    if codec is None:
        raise EncodingError(f"0x{data[:5].hex()} is no development operation")
    operation: Operation = codec.decode(data[len(TAG) + 1 :])
    return operation


def as_meant(tx: Transaction) -> Transaction:
    """Return a transaction as people read it: a call in somebody's name as that account's own."""
    if tx.sender != SYSTEM_ACCOUNT or not is_operation(tx.data):
        return tx
    operation = decode_operation(tx.data)
    return tx._replace(**operation._asdict()) if isinstance(operation, Call) else tx


# --- rules ----------------------------------------------------------------------------------------


def process_operation(ledger: StateLedger, operation: Operation) -> None:
    """Carry out an operation other than a call; after OperationRefused the ledger is spent."""
    try:
        _RULES[type(operation)](ledger, operation)
    except Refusal as refusal:
        raise OperationRefused(str(refusal)) from refusal


def process_call_begin(ledger: StateLedger, call: Call) -> None:
    """Use up the nonce of whoever is impersonated; raise OperationRefused."""
    nonce = ledger.get_nonce(call.sender)
    if call.nonce != nonce:
        raise OperationRefused(f"nonce is {call.nonce}, the sender's next is {nonce}")
    _require_usable(ledger, call.sender, nonce + 1)
    native = ledger.get_native(call.sender)
    if native.balance < call.value:
        raise OperationRefused(
            f"insufficient funds for gas * price + value: balance {native.balance}, "
            f"value {call.value}"
        )
    ledger.set_native(call.sender, native._replace(nonce=nonce + 1))


def check_native(ledger: StateLedger) -> None:
    """Raise InvariantViolation if native coin appeared or vanished but by operations (I9)."""
    parent = ledger.parent_development
    minted = ledger.development.native_minted - parent.native_minted
    change = ledger.native_change()
    if change != minted:
        raise InvariantViolation(ledger.height, "change of native balances", change, minted, "I9")


def check_native_state(
    ledger: StateLedger, genesis: Genesis, accounts: Iterable[tuple[Address, AccountLeaf]]
) -> None:
    """Check a whole state: `accounts` are all there are. Raises as check_native."""
    total = sum(leaf.balance for _, leaf in accounts)
    given = sum(account.native_wei for account in genesis.accounts)
    expected = given + ledger.development.native_minted
    if total != expected:
        raise InvariantViolation(ledger.height, "sum of native balances", total, expected, "I9")


def _process_balance(ledger: StateLedger, account: Address, balance: int) -> None:
    _require_range("balance", balance, BALANCE_MAX)
    native = ledger.get_native(account)
    development = ledger.development
    minted = development.native_minted + balance - native.balance
    ledger.set_native(account, native._replace(balance=Wei(balance)))
    ledger.set_development(development._replace(native_minted=minted))


def _process_add_balance(ledger: StateLedger, operation: AddBalance) -> None:
    balance = ledger.get_native(operation.account).balance + operation.amount
    _process_balance(ledger, operation.account, balance)


def _process_nonce(ledger: StateLedger, operation: SetNonce) -> None:
    account, nonce = operation
    current = ledger.get_nonce(account)
    if nonce < current:
        raise OperationRefused(
            f"nonce {nonce} is lower than the account's {current}: what was signed for the nonces "
            "between would be valid again; revert to a snapshot instead"
        )
    _require_usable(ledger, account, nonce)
    ledger.set_native(account, ledger.get_native(account)._replace(nonce=nonce))


def _process_tokens(ledger: StateLedger, operation: SetTokens) -> None:
    _require_range("amount", operation.amount, TOKENS_MAX)
    process_balance_set(ledger, operation.account, operation.amount)
    _require_range("the token's supply after it", ledger.token.total, TOKENS_MAX)


def _process_allowance(ledger: StateLedger, operation: SetAllowance) -> None:
    owner, spender, amount = operation
    _require_range("amount", amount, 2**256 - 1)
    process_approval(ledger, owner=owner, spender=spender, amount=amount)


def _process_offset(ledger: StateLedger, operation: SetTimeOffset) -> None:
    _require_range("time offset", abs(operation.offset_ms), OFFSET_MS_MAX)
    ledger.set_development(ledger.development._replace(time_offset_ms=operation.offset_ms))


def _process_repeat(ledger: StateLedger, operation: RepeatPrices) -> None:
    for market in ledger.market_ids:
        price = get_oracle(ledger, market).price
        if price:  # a market without any has nothing to repeat
            for reporter in ledger.params.reporters:
                fork_id = ledger.status.fork_id
                observed_ms = operation.observed_ms
                process_report(ledger, reporter, market, price, observed_ms, fork_id)


def _process_epoch(ledger: StateLedger, operation: BeginEpoch) -> None:
    before = ledger.status.dev_epoch
    if operation.dev_epoch <= before:
        raise OperationRefused(f"epoch {operation.dev_epoch} is not after {before}")
    ledger.set_status(ledger.status._replace(dev_epoch=operation.dev_epoch))


def _require_usable(ledger: StateLedger, account: Address, nonce: int) -> None:
    """Raise OperationRefused unless an account may go on at this nonce (RECOVERY, fork step 2)."""
    end = compute_nonce_floor(ledger.status.fork_id + 1)
    if nonce >= end:
        raise OperationRefused(f"nonce too high: {nonce}, must be below {end}")
    if account == SYSTEM_ACCOUNT:
        raise OperationRefused("the protocol's own account can't be made to act")


def _require_range(what: str, value: int, highest: int) -> None:
    if not 0 <= value <= highest:
        raise OperationRefused(f"{what} is {value}, must be from 0 to {highest}")


_RULES: Mapping[type[Operation], Callable[[StateLedger, Any], None]] = {
    SetBalance: lambda ledger, each: _process_balance(ledger, each.account, each.balance),
    AddBalance: _process_add_balance,
    SetNonce: _process_nonce,
    SetTokens: _process_tokens,
    SetAllowance: _process_allowance,
    SetTimeOffset: _process_offset,
    RepeatPrices: _process_repeat,
    BeginEpoch: _process_epoch,
    LoadState: lambda ledger, operation: None,  # the ledger stands on it already
}
