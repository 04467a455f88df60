"""The Token contract: its functions by name, each a call of the token's rules."""

from node.system import token
from node.system.handler import Handlers, Outputs
from node.system.ledger import SystemLedger
from node.units import Address, Quote


def transfer(ledger: SystemLedger, sender: Address, receiver: Address, amount: Quote) -> Outputs:
    """Send the sender's tokens (EIP-20)."""
    token.process_transfer(ledger, sender=sender, receiver=receiver, amount=amount)
    return (True,)


def transfer_from(
    ledger: SystemLedger, sender: Address, owner: Address, receiver: Address, amount: Quote
) -> Outputs:
    """Send the owner's tokens, as far as it allowed the sender (EIP-20)."""
    token.process_transfer_from(
        ledger, spender=sender, owner=owner, receiver=receiver, amount=amount
    )
    return (True,)


def approve(ledger: SystemLedger, sender: Address, spender: Address, amount: int) -> Outputs:
    """Set what the spender may move of the sender's tokens (EIP-20)."""
    token.process_approval(ledger, owner=sender, spender=spender, amount=amount)
    return (True,)


def permit(
    ledger: SystemLedger,
    _: Address,
    owner: Address,
    spender: Address,
    value: int,
    deadline: int,
    v: int,
    r: bytes,
    s: bytes,
) -> Outputs:
    """Set an allowance that its owner signed, whoever sends it (EIP-2612)."""
    token.process_permit(
        ledger,
        token.Permit(owner, spender, value, deadline),
        v=v,
        r=int.from_bytes(r, "big"),
        s=int.from_bytes(s, "big"),
    )
    return ()


def faucet(ledger: SystemLedger, sender: Address, amount: Quote) -> Outputs:
    """Mint tokens to the sender, up to its cap."""
    token.process_faucet(ledger, sender, amount)
    return ()


HANDLERS: Handlers = {
    "transfer": transfer,
    "transferFrom": transfer_from,
    "approve": approve,
    "permit": permit,
    "faucet": faucet,
    "name": lambda _ledger, _sender: (token.NAME,),
    "symbol": lambda _ledger, _sender: (token.SYMBOL,),
    "decimals": lambda _ledger, _sender: (token.DECIMALS,),
    "totalSupply": lambda ledger, _: (ledger.token.total,),
    "balanceOf": lambda ledger, _, account: (token.get_balance(ledger, account),),
    "allowance": lambda ledger, _, owner, spender: (
        token.get_allowance(ledger, owner=owner, spender=spender),
    ),
    "nonces": lambda ledger, _, owner: (token.get_permit_nonce(ledger, owner),),
    "DOMAIN_SEPARATOR": lambda ledger, _: (token.compute_domain_separator(ledger.chain_id),),
    "faucetAvailable": lambda ledger, _, account: (token.get_faucet_available(ledger, account),),
}
