"""A validator, or an archive, as its link to the sequencer sees it."""

from collections.abc import Sequence

from node.consensus.messages import Message
from node.consensus.validator import ValidatorNode


class Follower:
    """Hands the sequencer's messages to the node: there is no other peer."""

    def __init__(self, node: ValidatorNode) -> None:
        self._node = node

    def on_connected(self, _peer: str) -> Sequence[Message]:
        """Return what to tell the sequencer first."""
        return self._node.on_connected()

    def on_message(self, _peer: str, message: Message) -> Sequence[Message]:
        """Take a message; return what to tell the sequencer."""
        return self._node.on_message(message)

    def on_tick(self) -> Sequence[Message]:
        """Return what became due."""
        return self._node.on_tick()
