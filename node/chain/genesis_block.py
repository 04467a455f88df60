"""Block 0: the genesis document written as records, through the ledger like any other change."""

from node.chain import keys
from node.chain.genesis import Genesis
from node.chain.ledger import Derived, Moment, Native, StateLedger
from node.governance.audit import EMPTY_LOG, NO_HASH
from node.governance.council import Council
from node.governance.validators import ValidatorSet
from node.perp.account import BRIDGE, EXCHANGE, VAULT, Leg, process_entry
from node.perp.funding import initial_funding
from node.perp.mark import initial_mark
from node.perp.market import initial_market
from node.perp.modes import initial_chain_status, initial_market_status
from node.perp.oracle import initial_oracle
from node.state.store import StateReader
from node.system.contracts import CONTRACTS
from node.system.token import TokenBalance, TokenSupply
from node.units import Height, Quote, Wei


def build_genesis_ledger(genesis: Genesis, empty: StateReader) -> StateLedger:
    """Return a ledger that holds the genesis state as changes over the empty state."""
    moment = Moment(Height(0), genesis.time_ms, genesis.time_ms)
    derived = Derived(empty, {}, None)
    ledger = StateLedger(empty, derived, moment, genesis.chain_id, NO_HASH)  # no block has a hash
    ledger.write_genesis(
        params=genesis.chain,
        market_ids=keys.MarketIds(tuple(market.id for market in genesis.markets)),
        council=Council(genesis.council.members, genesis.council.threshold),
    )
    ledger.set_validators(ValidatorSet(genesis.sequencer, genesis.validators))
    ledger.set_audit_log(EMPTY_LOG)
    ledger.set_status(initial_chain_status(genesis.time_ms))
    for contract in CONTRACTS.values():
        ledger.set_native(contract.address, Native(0, Wei(0), contract.code_hash))
    for market in genesis.markets:
        ledger.set_market_params(market.id, market.params)
        ledger.markets.set(market.id, initial_market())
        ledger.statuses.set(market.id, initial_market_status(genesis.time_ms))
        ledger.oracles.set(market.id, initial_oracle())
        ledger.marks.set(market.id, initial_mark())
        funding = initial_funding(market.params)._replace(index=market.funding_index)
        ledger.fundings.set(market.id, funding)
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
