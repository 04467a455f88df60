"""What a batch may contain, and what one contains: read from its bytes alone (RULES O1, O8, M4).

An action places, amends or cancels. Money is no action, and neither is who may trade or with which
margin: an agent trades, and never withdraws.
"""

from collections.abc import Sequence

from node.system.contracts import contract

ACTIONS_MAX = 50
"""Of one batch (O1)."""

ACTION_NAMES = (
    "placeOrder",
    "placeOrderWith",
    "placeOrderWithPair",
    "placeMarketOrder",
    "placeTrigger",
    "placeTriggerWith",
    "placeTriggerPair",
    "amendOrder",
    "amendByClientId",
    "shrinkOrder",
    "cancelOrder",
    "cancelByClientId",
    "cancelAllOrders",
    "cancelEverything",
    "setDeadMansCancel",
)

_BATCHES = {
    function.selector: function.inputs
    for name, function in contract("Exchange").functions.items()
    if name in ("batch", "batchFor")
}


def is_batch(data: bytes) -> bool:
    """Tell whether the exchange would read the calldata as a batch."""
    return data[:4] in _BATCHES


def get_actions(data: bytes) -> Sequence[bytes]:
    """Return the calldata of each action of a batch; none if it is malformed, which is refused."""
    try:
        actions: Sequence[bytes] = _BATCHES[data[:4]].decode(data, 4)[-1]
    except ValueError:
        return ()
    return actions
