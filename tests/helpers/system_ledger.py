"""A ledger of dicts for tests of the system contracts: the rules' one, and the collateral token."""

from typing import Any

from node.crypto import keccak256
from node.governance.audit import EMPTY_LOG, ActionUse, AuditEntry, AuditLog
from node.governance.council import Council
from node.governance.validators import NO_VALIDATORS, ValidatorSet
from node.perp.events import Event
from node.system.contracts import contract
from node.system.dispatch import execute_call
from node.system.ledger import SystemEvent
from node.system.token import (
    Allowance,
    FaucetClaim,
    PermitNonce,
    TokenBalance,
    TokenSupply,
    process_faucet,
)
from node.units import Address, Hash32, Quote
from tests.helpers.ledger import DictLedger, DictTable, make_chain_params, make_market

CHAIN_ID = 20260119
GENESIS_HASH = keccak256(b"genesis")
FAUCET = 1_000_000
"""What the faucet gives an account in all."""


class AllowanceTable(DictTable[tuple[Address, Address], Allowance]):
    """Allowances under keys as short as in state: spenders of one digest share a record."""

    @staticmethod
    def _short(key: tuple[Address, Address]) -> tuple[Address, Address]:
        return key[0], Address(keccak256(key[1])[:11])

    def get(self, key: tuple[Address, Address], /) -> Allowance | None:
        return super().get(self._short(key))

    def set(self, key: tuple[Address, Address], record: Allowance, /) -> None:
        super().set(self._short(key), record)

    def delete(self, key: tuple[Address, Address], /) -> None:
        super().delete(self._short(key))


class DictSystemLedger(DictLedger):
    """`node.system.ledger.SystemLedger` over dicts."""

    events: list[SystemEvent]  # type: ignore[assignment]  # the rules emit some of them only

    def __init__(self) -> None:
        super().__init__(make_chain_params())
        self.chain_id = CHAIN_ID
        self.council = self.next_council = Council(
            members=(Address(b"\xcc" * 20), Address(b"\xdd" * 20)), threshold=2
        )
        self.validators = self.next_validators = NO_VALIDATORS
        self.genesis_hash = GENESIS_HASH
        self.audit_entries: DictTable[int, AuditEntry] = DictTable(self.journal)
        self.action_uses: DictTable[Hash32, ActionUse] = DictTable(self.journal)
        self._audit_log = EMPTY_LOG
        self.token_balances: DictTable[Address, TokenBalance] = DictTable(self.journal)
        self.allowances = AllowanceTable(self.journal)
        self.permit_nonces: DictTable[Address, PermitNonce] = DictTable(self.journal)
        self.faucet_claims: DictTable[Address, FaucetClaim] = DictTable(self.journal)
        self._token = TokenSupply(total=Quote(0), faucet_per_account=Quote(FAUCET))

    def set_council(self, council: Council, /) -> None:
        self.journal.append((self.__setattr__, ("next_council", self.next_council)))
        self.next_council = council

    def set_validators(self, validators: ValidatorSet, /) -> None:
        self.journal.append((self.__setattr__, ("next_validators", self.next_validators)))
        self.next_validators = validators

    @property
    def token(self) -> TokenSupply:
        return self._token

    def set_token(self, token: TokenSupply, /) -> None:
        self.journal.append((self._restore_token, (self._token,)))
        self._token = token

    def _restore_token(self, token: TokenSupply) -> None:
        self._token = token

    @property
    def audit_log(self) -> AuditLog:
        return self._audit_log

    def set_audit_log(self, log: AuditLog, /) -> None:
        self.journal.append((self._restore_audit_log, (self._audit_log,)))
        self._audit_log = log

    def _restore_audit_log(self, log: AuditLog) -> None:
        self._audit_log = log

    def emit(self, event: Event | SystemEvent, /) -> None:
        self.journal.append((self.events.pop, ()))
        self.events.append(event)

    def dump(self) -> dict[str, Any]:
        return {
            **super().dump(),
            "token_balances": dict(self.token_balances.rows),
            "allowances": dict(self.allowances.rows),
            "permit_nonces": dict(self.permit_nonces.rows),
            "faucet_claims": dict(self.faucet_claims.rows),
            "token": self._token,
            "audit_entries": dict(self.audit_entries.rows),
            "action_uses": dict(self.action_uses.rows),
            "audit_log": self._audit_log,
            "council": self.next_council,
            "validators": self.next_validators,
        }


def make_system_ledger(*, price: int = 100) -> DictSystemLedger:
    """Return a ledger with one market and no tokens yet."""
    ledger = DictSystemLedger()
    make_market(ledger, price=price)
    return ledger


def give_tokens(ledger: DictSystemLedger, account: Address, amount: int) -> Address:
    """Let an account claim tokens from the faucet, within its cap."""
    process_faucet(ledger, account, Quote(amount))
    return account


def call(
    ledger: DictSystemLedger, sender: Address, name: str, function: str, *arguments: Any
) -> Any:
    """Call a contract's function through calldata; return its values, decoded by eth_abi."""
    from eth_abi.abi import decode  # an oracle, not needed by whoever uses the ledger alone

    of = contract(name)
    data = of.functions[function].encode_call(*arguments)
    output = execute_call(ledger, sender=sender, to=of.address, value=0, data=data)
    types = [each.name for each in of.functions[function].outputs.types]
    return decode(types, output)
