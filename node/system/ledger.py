"""What the system contracts read and write beyond the rules' ledger: the collateral token."""

from typing import Protocol

from node.governance.council import Council
from node.perp.events import Event
from node.perp.ledger import Ledger, Table
from node.system.token import (
    Allowance,
    Approval,
    FaucetClaim,
    PermitNonce,
    TokenBalance,
    TokenSupply,
    Transfer,
)
from node.units import Address

TokenEvent = Transfer | Approval
SystemEvent = Event | TokenEvent


class SystemLedger(Ledger, Protocol):
    """The state as the system contracts see it, as of a moment within a block."""

    @property
    def chain_id(self) -> int:
        """The chain's EIP-155 id: part of what a permit signs."""

    @property
    def council(self) -> Council:
        """Who governs."""

    @property
    def token(self) -> TokenSupply:
        """The collateral token as a whole."""

    def set_token(self, token: TokenSupply, /) -> None:
        """Write the collateral token as a whole."""

    @property
    def token_balances(self) -> Table[Address, TokenBalance]:
        """Who has how much; deleted at 0."""

    @property
    def allowances(self) -> Table[tuple[Address, Address], Allowance]:
        """By (owner, spender); two spenders may share a key, so the record names its own."""

    @property
    def permit_nonces(self) -> Table[Address, PermitNonce]:
        """Each owner's next permit; the fork's floor is not applied."""

    @property
    def faucet_claims(self) -> Table[Address, FaucetClaim]:
        """What each account had from the faucet."""

    def emit(self, event: SystemEvent, /) -> None:
        """Record what happened, in order."""
