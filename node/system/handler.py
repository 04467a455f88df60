"""What a contract function is to `dispatch`: a call of rules that returns ABI values."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Outputs = Sequence[Any]
"""A function's return values, in the order of its ABI."""
Handler = Callable[..., Outputs]
"""Called with the ledger, the sender and the decoded arguments; raises Refusal."""
Handlers = Mapping[str, Handler]
"""A contract's functions by name, exactly those of its ABI."""
