"""Where in a block a transaction's place is: a pure function of its bytes (RULES O6, O8)."""

from enum import IntEnum

from node.perp.account import EXCHANGE
from node.perp.order import TimeInForce
from node.system.actions import get_actions, is_batch
from node.system.contracts import GOVERNANCE, ORACLE, contract
from node.units import Address


class ActionClass(IntEnum):
    """The classes in protocol order: a body is sorted by them (O8)."""

    GOVERNANCE = 0
    REPORT = 1
    ACCOUNT = 2
    """Deposits, withdrawals, tokens, native coin, and whatever is nothing else."""
    CANCEL = 3
    POST_ONLY = 4
    ORDER = 5
    """Whatever may take liquidity, and triggers."""


def classify(to: Address, data: bytes) -> ActionClass:
    """Return a transaction's own class, before its sender's earlier nonces count (O8).

    Needs no state and fails on nothing: malformed calldata has the class of its selector.
    """
    if to == EXCHANGE:
        selector = data[:4]
        if selector in _PLACE_ORDERS and data[_TIME_IN_FORCE] == _POST_ONLY:
            return ActionClass.POST_ONLY
        if is_batch(data):
            classes = (_classify_action(action) for action in get_actions(data))
            return max(classes, default=ActionClass.ACCOUNT)
        return _EXCHANGE_CLASSES.get(selector, ActionClass.ACCOUNT)
    if to == ORACLE and data[:4] == _REPORT_PRICE:
        return ActionClass.REPORT
    if to == GOVERNANCE and data[:4] in _COUNCIL_ACTIONS:
        return ActionClass.GOVERNANCE
    return ActionClass.ACCOUNT


def _classify_action(data: bytes) -> ActionClass:
    """Return the class of an action of a batch; the batch has the latest (O8)."""
    return ActionClass.ACCOUNT if is_batch(data) else classify(EXCHANGE, data)


_exchange = contract("Exchange").functions
_PLACE_ORDERS = frozenset(
    _exchange[name].selector for name in ("placeOrder", "placeOrderWith", "placeOrderWithPair")
)
_TIME_IN_FORCE = slice(4 + 3 * 32, 4 + 4 * 32)
"""Where the fourth argument stands, or the fourth field of the struct that is the first."""
_POST_ONLY = TimeInForce.POST_ONLY.to_bytes(32, "big")
_REPORT_PRICE = contract("Oracle").functions["reportPrice"].selector
_COUNCIL_ACTIONS = frozenset(
    each.selector for each in contract("Governance").functions.values() if not each.is_view
)
_EXCHANGE_CLASSES = {
    _exchange[name].selector: action_class
    for action_class, names in {
        ActionClass.CANCEL: (
            "cancelOrder",
            "cancelAllOrders",
            "cancelByClientId",
            "cancelEverything",
            "shrinkOrder",
        ),
        ActionClass.ORDER: (
            "placeOrder",
            "placeOrderWith",
            "placeOrderWithPair",
            "placeMarketOrder",
            "placeTrigger",
            "placeTriggerWith",
            "placeTriggerPair",
            "amendOrder",
            "amendByClientId",
        ),
    }.items()
    for name in names
}
