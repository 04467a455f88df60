"""The gas schedule: what a transaction uses is a pure function of its bytes (DESIGN section 5).

It is used whole, whether the transaction succeeds or reverts, so an estimate is never wrong and a
block's gas is known before it is executed. The first four rows are Ethereum's (EIP-2028, EIP-2930);
a call of a system contract adds its action's.
"""

from collections.abc import Mapping, Sequence

from node.perp.account import EXCHANGE
from node.system.actions import get_actions, is_batch
from node.system.contracts import CONTRACTS
from node.units import Address, Hash32

TRANSACTION_GAS = 21_000
"""Signature recovery, nonce, fee, and a transfer of native coin."""
ZERO_BYTE_GAS = 4
DATA_BYTE_GAS = 16
ACCESS_ADDRESS_GAS = 2_400
ACCESS_KEY_GAS = 1_900
"""Access lists are taken and charged as Ethereum does; they save nothing here."""
CALL_GAS = 2_000
"""A view, or a selector that no function has."""

ACTION_GAS: Mapping[str, Mapping[str, int]] = {
    "Token": {
        "transfer": 5_000,  # two balances
        "approve": 4_000,  # one allowance
        "transferFrom": 7_000,  # two balances, one allowance
        "permit": 10_000,  # a signature, a nonce, one allowance
        "faucet": 6_000,  # a balance, a claim, the supply
    },
    "Exchange": {
        "deposit": 8_000,  # two token balances, two margin balances
        "withdraw": 10_000,  # the same, and the account's whole risk
        "placeOrder": 8_000,  # the account's risk, a record; makers are bounded (O8)
        "placeMarketOrder": 8_000,
        "placeTrigger": 6_000,  # a record
        "cancelOrder": 4_000,  # a record
        "cancelAllOrders": 20_000,  # as many records as the account has
        "cancelEverything": 30_000,  # the same, in all its markets
        "placeOrderWith": 8_000,  # as placeOrder; a client id is looked up
        "placeOrderWithPair": 18_000,  # an order and two triggers
        "placeTriggerWith": 6_000,
        "placeTriggerPair": 10_000,  # two records
        "amendOrder": 10_000,  # a record goes, an order is placed
        "amendByClientId": 10_000,
        "shrinkOrder": 4_000,  # a record
        "cancelByClientId": 4_000,
        "setDeadMansCancel": 4_000,
        "setLeverage": 6_000,  # the account's risk, twice
        "authorizeAgent": 4_000,
        "revokeAgent": 4_000,
        "batch": 4_000,  # and what its actions add, each by itself
        "batchFor": 5_000,  # the same, and a look at who may
    },
    "Oracle": {
        "reportPrice": 3_000,  # a record
    },
    "Governance": {
        "halt": 30_000,  # signatures, at most one a member; an entry in the audit log
        "setMode": 30_000,
        "cancelOrders": 200_000,  # the same, and as many records as there are orders
        "acknowledgeJump": 30_000,
        "resume": 30_000,
        "recordHold": 60_000,  # two actions
        "scheduleMaintenance": 30_000,
        "settleMarket": 1_000_000,  # the same, and as many records as there are positions, orders
        "changeCouncil": 30_000,
        "changeValidators": 30_000,
        "setParameter": 30_000,
        "setReporters": 30_000,
        "setBrackets": 30_000,
        "listMarket": 60_000,  # the same, and a market's records
        "compensate": 40_000,  # the same, and the vault's whole risk
    },
    "LiquidatorVault": {
        "payRefunds": 20_000,  # what each refund takes, its row and proof pay for as bytes
    },
    "Bridge": {},
}
"""What each function that changes state adds, and why."""


def intrinsic_gas(
    to: Address, data: bytes, access_list: Sequence[tuple[Address, Sequence[Hash32]]]
) -> int:
    """Return the gas that a transaction uses, and the least gas limit it may have."""
    gas = TRANSACTION_GAS
    if data:
        zeros = data.count(0)
        gas += zeros * ZERO_BYTE_GAS + (len(data) - zeros) * DATA_BYTE_GAS
    if access_list:
        gas += sum(ACCESS_ADDRESS_GAS + ACCESS_KEY_GAS * len(keys) for _, keys in access_list)
    actions = _GAS_BY_SELECTOR.get(to)
    if actions is not None:
        gas += actions.get(data[:4], CALL_GAS)
        if to == EXCHANGE and is_batch(data):
            gas += sum(actions.get(action[:4], CALL_GAS) for action in get_actions(data))
    return gas


_GAS_BY_SELECTOR = {
    contract.address: {
        contract.functions[name].selector: gas for name, gas in ACTION_GAS[contract.name].items()
    }
    for contract in CONTRACTS.values()
}
