"""Block 0: the genesis document written as records, through the ledger like any other change."""

from node.chain.derived import Derived
from node.chain.genesis import Genesis
from node.chain.ledger import Moment, StateLedger
from node.chain.native import Native
from node.governance.audit import EMPTY_LOG, NO_HASH
from node.governance.council import Council
from node.governance.validators import ValidatorSet
from node.perp.account import BRIDGE, EXCHANGE, VAULT, Leg, process_entry
from node.perp.listing import process_birth
from node.perp.modes import initial_chain_status
from node.state.store import StateReader
from node.system.contracts import CONTRACTS
from node.system.token import TokenBalance, TokenSupply
from node.units import Height, Quote, Wei


def build_genesis_ledger(genesis: Genesis, empty: StateReader) -> StateLedger:
    """Return a ledger that holds the genesis state as changes over the empty state."""
    moment = Moment(Height(0), genesis.time_ms, genesis.time_ms)
    derived = Derived(empty, {}, None)
    ledger = StateLedger(empty, derived, moment, genesis.chain_id, NO_HASH)  # no block has a hash
    ledger.set_params(genesis.chain)
    ledger.set_council(Council(genesis.council.members, genesis.council.threshold))
    ledger.set_validators(ValidatorSet(genesis.sequencer, genesis.validators))
    ledger.set_audit_log(EMPTY_LOG)
    ledger.set_status(initial_chain_status(genesis.time_ms))
    for contract in CONTRACTS.values():
        ledger.set_native(contract.address, Native(0, Wei(0), contract.code_hash))
    for market in genesis.markets:
        ledger.set_market_params(market.id, market.params)
        process_birth(ledger, market.id, market.funding_index)
    deposits = [Leg(VAULT, genesis.vault_margin)] if genesis.vault_margin else []
    supply = Quote(genesis.vault_margin)
    for account in genesis.accounts:
        supply = Quote(supply + account.tokens + account.margin)
        native = ledger.get_native(account.address)
        ledger.set_native(account.address, native._replace(balance=account.native_wei))
        if account.tokens:
            ledger.token_balances.set(account.address, TokenBalance(account.tokens))
        if account.margin:
            deposits.append(Leg(account.address, account.margin))
    deposited = Quote(sum(leg.amount for leg in deposits))
    if deposited:
        process_entry(ledger, [*deposits, Leg(BRIDGE, Quote(-deposited))])
        ledger.token_balances.set(EXCHANGE, TokenBalance(deposited))
    ledger.set_token(TokenSupply(supply, genesis.faucet_per_account if genesis.dev else Quote(0)))
    return ledger
