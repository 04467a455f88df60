"""Several actions in one transaction, for oneself or as somebody's agent (RULES O1, M4)."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from node.errors import BatchTooLarge, MalformedCalldata, NotAnAction, Refusal
from node.perp.agent import require_agent
from node.perp.events import ActionResult, BatchExecuted
from node.system import orders
from node.system.abi import Coder
from node.system.actions import ACTION_NAMES, ACTIONS_MAX
from node.system.contracts import contract
from node.system.handler import Handler, Handlers, Outputs
from node.system.ledger import SystemLedger
from node.system.refusal import encode_refusal
from node.units import Address


class _Action(NamedTuple):
    """Where the selector of an action leads."""

    inputs: Coder
    function: Handler
    outputs: Coder


def batch(ledger: SystemLedger, sender: Address, actions: Sequence[bytes]) -> Outputs:
    """Carry out actions of the sender's (O1)."""
    return _process_actions(ledger, sender, sender, actions)


def batch_for(
    ledger: SystemLedger, sender: Address, account: Address, actions: Sequence[bytes]
) -> Outputs:
    """Carry out actions for an account, as its agent; raise AgentNotAuthorized (M4)."""
    require_agent(ledger, account, sender)
    return _process_actions(ledger, sender, account, actions)


def _process_actions(
    ledger: SystemLedger, sender: Address, account: Address, actions: Sequence[bytes]
) -> Outputs:
    """Carry out each action by itself: one that fails reverts only itself (O1)."""
    if len(actions) > ACTIONS_MAX:
        raise BatchTooLarge(len(actions), ACTIONS_MAX)
    results = []
    for data in actions:
        checkpoint = ledger.checkpoint()
        try:
            results.append(ActionResult(True, _execute(ledger, account, data)))
        except Refusal as refusal:
            ledger.revert(checkpoint)
            results.append(ActionResult(False, encode_refusal(refusal)))
    ledger.emit(BatchExecuted(account, sender, tuple(results)))
    return (results,)


def _execute(ledger: SystemLedger, account: Address, data: bytes) -> bytes:
    selector = data[:4]
    action = _ACTIONS.get(selector)
    if action is None:
        raise NotAnAction(selector)
    try:
        arguments = action.inputs.decode(data, 4)
    except ValueError:
        raise MalformedCalldata(selector) from None
    return action.outputs.encode(action.function(ledger, account, *arguments))


_functions = contract("Exchange").functions
_ACTIONS: Mapping[bytes, _Action] = {
    _functions[name].selector: _Action(
        _functions[name].inputs, orders.HANDLERS[name], _functions[name].outputs
    )
    for name in ACTION_NAMES
}

HANDLERS: Handlers = {"batch": batch, "batchFor": batch_for}
