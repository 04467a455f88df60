"""Signatures of members, for actions and for fork plans alike."""

from __future__ import annotations

from pathlib import Path

from node.errors import OperatorError
from tools.action_file import ActionFile, find_signer, make_signature, parse_signature
from tools.council import Council
from tools.plan_file import PlanFile


def make_member_signature(
    loaded: ActionFile | PlanFile, council: Council, key: Path | None, given: str
) -> tuple[str, bytes]:
    """Return a member's address and signature; OperatorError for one that adds nothing."""
    signature = parse_signature(given) if key is None else make_signature(loaded.digest, key)
    address = find_signer(loaded.digest, signature)
    if address not in council.members:
        raise OperatorError(f"{address} is not in the council: a member must sign")
    if address in loaded.signatures:
        raise OperatorError(
            f"{loaded.path}: {address} has signed it already: another member is needed"
        )
    return address, signature


def step_after(loaded: ActionFile | PlanFile, council: Council) -> str:
    """Return what to do next: let another member sign, or submit."""
    missing = council.threshold - len(loaded.signatures)
    more = f"{missing} more: sign {loaded.path} --key KEYFILE"
    return more if missing > 0 else f"submit {loaded.path}"
