"""What the system contracts read and write beyond the rules' ledger: the token, the council."""

from typing import Protocol

from node.governance.audit import ActionExecuted, ActionUse, AuditEntry, AuditLog
from node.governance.council import Council, CouncilChanged
from node.governance.validators import ValidatorsChanged, ValidatorSet
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
from node.units import Address, Hash32

TokenEvent = Transfer | Approval
CouncilEvent = ActionExecuted | CouncilChanged | ValidatorsChanged
SystemEvent = Event | TokenEvent | CouncilEvent


class SystemLedger(Ledger, Protocol):
    """The state as the system contracts see it, as of a moment within a block."""

    @property
    def chain_id(self) -> int:
        """The chain's EIP-155 id: part of what a permit signs."""

    @property
    def genesis_hash(self) -> Hash32:
        """Block 0's hash: part of what the council signs."""

    @property
    def council(self) -> Council:
        """Who governs, as the block began: what is changed counts from the next one."""

    def set_council(self, council: Council, /) -> None:
        """Write who governs from the next block on."""

    @property
    def validators(self) -> ValidatorSet:
        """Who attests this block, and signs it."""

    @property
    def next_validators(self) -> ValidatorSet:
        """Who attests the next block."""

    def set_validators(self, validators: ValidatorSet, /) -> None:
        """Write who attests from the next block on."""

    @property
    def audit_log(self) -> AuditLog:
        """What the council did, as a whole."""

    def set_audit_log(self, log: AuditLog, /) -> None:
        """Write the audit log as a whole."""

    @property
    def audit_entries(self) -> Table[int, AuditEntry]:
        """What the council did, by number from 0."""

    @property
    def action_uses(self) -> Table[Hash32, ActionUse]:
        """The nonces of actions that were carried out."""

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
