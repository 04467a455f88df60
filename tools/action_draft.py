"""Writing an action's file: the terms that all kinds share, and what is checked before signing.

Nothing is submitted here. An action is drafted against a node, which says who governs and where the
chain is; its file is never overwritten.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from node.config import wall_time_ms
from node.errors import MalformedAction, OperatorError
from node.governance.action import FIELDS, Action, compute_digest
from node.governance.typed_data import parse_message
from tools.action_file import ActionFile, print_next, save_action, show_action
from tools.council import Council, get_council, run_with

EXPIRES_IN_S = 3_600
EXPIRES_IN_BLOCKS = 36_000
"""An hour of the fastest blocks."""

Expiry = Annotated[int, typer.Option("--expires-in", help="Seconds for which the action is good.")]
NewFile = Annotated[Path, typer.Argument(help="The action's file to write; it must not exist.")]


def write_action(
    rpc: str,
    file: Path,
    action_class: type[Action],
    fields: dict[str, Any],
    reason: str,
    expires_in: int,
    check: Callable[[Council], None] | None = None,
) -> None:
    """Write an action of these fields, show it, and say what to do next; raise OperatorError."""
    if file.exists():
        raise OperatorError(f"{file} exists already: an action is never overwritten, name another")
    if not reason.strip():
        raise OperatorError("--reason is empty: say why, every signer reads it")
    if expires_in <= 0:
        raise OperatorError(f"--expires-in {expires_in}: must be more than 0 seconds")
    council = run_with(rpc, get_council)
    if check is not None:
        check(council)
    message = {
        **fields,
        "nonce": "0x" + secrets.token_hex(32),
        "forkId": council.fork_id,
        "expiresAt": max(wall_time_ms(), council.time_ms) // 1_000 + expires_in,
        "reason": reason,
    }
    if any(field.name == "expiresAtHeight" for field in FIELDS[action_class]):
        latest = max(council.height, int(fields.get("height", 0)))
        message["expiresAtHeight"] = latest + EXPIRES_IN_BLOCKS
    try:
        action = parse_message(action_class, message)
    except MalformedAction as error:
        raise OperatorError(f"this makes no action: {error}") from None
    made = ActionFile(file, action, compute_digest(action, council.domain), {})
    save_action(made, council)
    show_action(made, council)
    print_next(f"each of {council.threshold} members: sign {file} --key KEYFILE")
