"""The collateral token: an ERC-20 with permits and a capped faucet (RULES M3, I9).

Amounts are atoms. Errors are EIP-6093's. Tokens sent straight to a system address would be lost to
their owner, so that is refused: margin is made by `Exchange.deposit`, which moves tokens with
`process_move` and needs no approval.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from node.crypto import eip712_digest, keccak256, recover
from node.encoding import BIG
from node.errors import (
    ERC20InsufficientAllowance,
    ERC20InsufficientBalance,
    ERC20InvalidReceiver,
    ERC2612ExpiredSignature,
    ERC2612InvalidSigner,
    FaucetLimitExceeded,
    InvalidSignature,
    TransferToSystemContract,
)
from node.perp.account import market_address, system_address
from node.units import Address, Hash32, MarketId, Quote

if TYPE_CHECKING:
    from node.system.ledger import SystemLedger

NAME = "USDC"
SYMBOL = "USDC"
VERSION = "1"
DECIMALS = 6
TOKEN = system_address(0x1001)
NOBODY = Address(bytes(20))
UNLIMITED = 2**256 - 1
"""An allowance of this much never falls."""
NONCES_PER_FORK = 2**32
"""A fork raises every signature counter to fork_id times this (RECOVERY, fork step 2)."""

_MARKET_BASE = int.from_bytes(market_address(MarketId(0)), "big")
_SYSTEM_FIRST, _SYSTEM_END = 0x1000, 0x2000

_DOMAIN_TYPE = keccak256(
    b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
)
_PERMIT_TYPE = keccak256(
    b"Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
)


class TokenBalance(NamedTuple):
    """What an account has; key: address; absent at 0."""

    amount: Annotated[Quote, BIG]


class Allowance(NamedTuple):
    """What a spender may still move; key: (owner, a digest of spender); absent at 0."""

    spender: Address
    """The key has no room for it: a record that names another spender is none of this one's."""
    amount: Annotated[int, BIG]


class PermitNonce(NamedTuple):
    """An owner's next permit; key: address."""

    next: int


class FaucetClaim(NamedTuple):
    """What an account had from the faucet in all; key: address."""

    claimed: Annotated[Quote, BIG]


class TokenSupply(NamedTuple):
    """The token as a whole; one record."""

    total: Annotated[Quote, BIG]
    """Σ of all balances (I9)."""
    faucet_per_account: Annotated[Quote, BIG]
    """What the faucet gives an account in all; 0: there is none."""


class Transfer(NamedTuple):
    """Tokens moved; from the zero address: minted (EIP-20)."""

    from_: Address
    to: Address
    value: Quote


class Approval(NamedTuple):
    """An allowance was set (EIP-20)."""

    owner: Address
    spender: Address
    value: int


class Permit(NamedTuple):
    """What an owner signs with EIP-2612, without the nonce."""

    owner: Address
    spender: Address
    value: int
    deadline: int
    """The last block timestamp at which it holds, in seconds."""


# --- reading -------------------------------------------------------------------------------------


def get_balance(ledger: SystemLedger, account: Address) -> Quote:
    """Return what an account has."""
    record = ledger.token_balances.get(account)
    return Quote(0) if record is None else record.amount


def get_allowance(ledger: SystemLedger, *, owner: Address, spender: Address) -> int:
    """Return what the spender may still move of the owner's tokens."""
    record = ledger.allowances.get((owner, spender))
    return record.amount if record is not None and record.spender == spender else 0


def get_permit_nonce(ledger: SystemLedger, owner: Address) -> int:
    """Return the nonce of the owner's next permit: its own, but not below the fork's floor."""
    record = ledger.permit_nonces.get(owner)
    own = 0 if record is None else record.next
    return max(own, get_nonce_floor(ledger))


def get_nonce_floor(ledger: SystemLedger) -> int:
    """Return fork_id · 2^32 (RECOVERY, fork step 2)."""
    return ledger.status.fork_id * NONCES_PER_FORK


def get_faucet_available(ledger: SystemLedger, account: Address) -> Quote:
    """Return what the account may still claim from the faucet."""
    record = ledger.faucet_claims.get(account)
    claimed = 0 if record is None else record.claimed
    return Quote(max(0, ledger.token.faucet_per_account - claimed))


def is_system_address(ledger: SystemLedger, address: Address) -> bool:
    """Tell whether nobody holds the key of an address: system contracts and accounts, markets."""
    number = int.from_bytes(address, "big")
    return _SYSTEM_FIRST <= number < _SYSTEM_END or number - _MARKET_BASE in ledger.market_ids


# --- moving --------------------------------------------------------------------------------------


def process_move(
    ledger: SystemLedger, *, sender: Address, receiver: Address, amount: Quote
) -> None:
    """Move tokens between any two addresses; raise ERC20InsufficientBalance."""
    balance = get_balance(ledger, sender)
    if balance < amount:
        raise ERC20InsufficientBalance(sender, balance, amount)
    _set_balance(ledger, sender, Quote(balance - amount))
    _set_balance(ledger, receiver, Quote(get_balance(ledger, receiver) + amount))
    ledger.emit(Transfer(sender, receiver, amount))


def process_transfer(
    ledger: SystemLedger, *, sender: Address, receiver: Address, amount: Quote
) -> None:
    """Move tokens to somebody who can use them.

    Raises ERC20InvalidReceiver for the zero address and TransferToSystemContract.
    """
    if receiver == NOBODY:
        raise ERC20InvalidReceiver(receiver)
    if is_system_address(ledger, receiver):
        raise TransferToSystemContract(receiver)
    process_move(ledger, sender=sender, receiver=receiver, amount=amount)


def process_transfer_from(
    ledger: SystemLedger, *, spender: Address, owner: Address, receiver: Address, amount: Quote
) -> None:
    """Move the owner's tokens by the spender's allowance; raise ERC20InsufficientAllowance."""
    allowance = get_allowance(ledger, owner=owner, spender=spender)
    if allowance < amount:
        raise ERC20InsufficientAllowance(spender, allowance, amount)
    if allowance != UNLIMITED:
        _set_allowance(ledger, owner=owner, spender=spender, amount=allowance - amount)
    process_transfer(ledger, sender=owner, receiver=receiver, amount=amount)


def process_approval(
    ledger: SystemLedger, *, owner: Address, spender: Address, amount: int
) -> None:
    """Set what the spender may move, whatever it was."""
    _set_allowance(ledger, owner=owner, spender=spender, amount=amount)
    ledger.emit(Approval(owner, spender, amount))


def process_faucet(ledger: SystemLedger, account: Address, amount: Quote) -> None:
    """Mint tokens to the account; raise FaucetLimitExceeded beyond its cap."""
    available = get_faucet_available(ledger, account)
    if amount > available:
        raise FaucetLimitExceeded(amount, available)
    claim = ledger.faucet_claims.get(account) or FaucetClaim(Quote(0))
    ledger.faucet_claims.set(account, FaucetClaim(Quote(claim.claimed + amount)))
    supply = ledger.token
    ledger.set_token(supply._replace(total=Quote(supply.total + amount)))
    _set_balance(ledger, account, Quote(get_balance(ledger, account) + amount))
    ledger.emit(Transfer(NOBODY, account, amount))


# --- development (DESIGN section 9) ---------------------------------------------------------------


def process_balance_set(ledger: SystemLedger, account: Address, amount: Quote) -> None:
    """Mint or burn until an account has exactly so much; raise TransferToSystemContract."""
    if account == NOBODY:
        raise ERC20InvalidReceiver(account)
    if is_system_address(ledger, account):
        raise TransferToSystemContract(account)
    change = amount - get_balance(ledger, account)
    supply = ledger.token
    ledger.set_token(supply._replace(total=Quote(supply.total + change)))
    _set_balance(ledger, account, amount)
    if change > 0:
        ledger.emit(Transfer(NOBODY, account, Quote(change)))
    elif change < 0:
        ledger.emit(Transfer(account, NOBODY, Quote(-change)))


# --- permits -------------------------------------------------------------------------------------


def compute_domain_separator(chain_id: int) -> Hash32:
    """Return the EIP-712 domain's hash: name, version, chain id and the token's address."""
    return keccak256(
        _DOMAIN_TYPE
        + keccak256(NAME.encode())
        + keccak256(VERSION.encode())
        + chain_id.to_bytes(32, "big")
        + bytes(12)
        + TOKEN
    )


def compute_permit_digest(permit: Permit, *, nonce: int, chain_id: int) -> Hash32:
    """Return what the owner of a permit signs (EIP-2612)."""
    struct_hash = keccak256(
        _PERMIT_TYPE
        + bytes(12)
        + permit.owner
        + bytes(12)
        + permit.spender
        + permit.value.to_bytes(32, "big")
        + nonce.to_bytes(32, "big")
        + permit.deadline.to_bytes(32, "big")
    )
    return eip712_digest(compute_domain_separator(chain_id), struct_hash)


def process_permit(ledger: SystemLedger, permit: Permit, *, v: int, r: int, s: int) -> None:
    """Set the allowance that the owner signed, and use up the nonce (EIP-2612).

    Raises ERC2612ExpiredSignature after the deadline, and ERC2612InvalidSigner, with the zero
    address where the signature is nobody's, for any other signer, nonce, chain or amount.
    """
    if ledger.time_ms // 1_000 > permit.deadline:
        raise ERC2612ExpiredSignature(permit.deadline)
    nonce = get_permit_nonce(ledger, permit.owner)
    digest = compute_permit_digest(permit, nonce=nonce, chain_id=ledger.chain_id)
    try:
        signer = recover(digest, r, s, v - 27)
    except InvalidSignature:
        signer = NOBODY
    if signer != permit.owner or signer == NOBODY:
        raise ERC2612InvalidSigner(signer, permit.owner)
    ledger.permit_nonces.set(permit.owner, PermitNonce(nonce + 1))
    process_approval(ledger, owner=permit.owner, spender=permit.spender, amount=permit.value)


# --- writing -------------------------------------------------------------------------------------


def _set_balance(ledger: SystemLedger, account: Address, amount: Quote) -> None:
    if amount:
        ledger.token_balances.set(account, TokenBalance(amount))
    else:
        ledger.token_balances.delete(account)


def _set_allowance(ledger: SystemLedger, *, owner: Address, spender: Address, amount: int) -> None:
    if amount:
        ledger.allowances.set((owner, spender), Allowance(spender, amount))
    elif get_allowance(ledger, owner=owner, spender=spender):
        ledger.allowances.delete((owner, spender))
