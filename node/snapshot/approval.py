"""A plan with the council's signatures: what nodes pass on, and what they check of it.

Members sign the one `Fork` action that follows from the plan, so that they need not talk to each
other: its nonce is the plan's hash. Signatures are over EIP-712 typed data, made in any wallet.
"""

from __future__ import annotations

from typing import NamedTuple

from node.encoding import codec_of, load_json
from node.errors import EncodingError, PlanRefused
from node.governance.action import (
    Domain,
    Fork,
    Kind,
    compute_digest,
    decode_action,
    encode_action,
    get_signers,
    require_current,
)
from node.governance.council import Council
from node.snapshot.manifest import canonical_json, from_hex, to_hex, to_integer
from node.snapshot.plan import Plan, decode_plan, plan_hash
from node.units import Address, Hash32

VALID_S = 7 * 24 * 3_600
"""How long after the fork block's time the action that follows from a plan is good: a week."""
SIGNATURES_MAX = 100


class SignedPlan(NamedTuple):
    """A plan's document, the action that names it, and the council's signatures."""

    plan: bytes
    action: bytes
    """The record of the `Fork` action."""
    signatures: tuple[bytes, ...]


def encode_signed_plan(signed: SignedPlan) -> bytes:
    """Return the form that nodes pass on."""
    return codec_of(SignedPlan).encode(signed)


def decode_signed_plan(data: bytes) -> SignedPlan:
    """Return what a node passed on; raise EncodingError."""
    return codec_of(SignedPlan).decode(data)


def domain_of(plan: Plan) -> Domain:
    """Return the EIP-712 domain of a plan's chain."""
    return Domain(plan.chain_id, plan.genesis_hash)


def fork_action(plan: Plan) -> Fork:
    """Return the action that each member signs of this plan, without asking the others."""
    digest = plan_hash(plan)
    return Fork(
        plan_hash=digest,
        nonce=digest,
        fork_id=plan.fork_id - 1,
        expires_at=plan.header.time_ms // 1_000 + VALID_S,
        reason=plan.reason,
    )


def check_approval(plan: Plan, signed: SignedPlan, council: Council) -> tuple[Address, ...]:
    """Return the members who signed the plan; at least the threshold did.

    Raises PlanRefused for another plan's action, and by name what is wrong with a signature.
    Expiry is judged at the fork block's time, so that all nodes judge alike.
    """
    try:
        action = decode_action(Kind.FORK, signed.action)
    except EncodingError as error:
        raise PlanRefused("action", str(error), "a Fork action") from None
    assert isinstance(action, Fork), "decoded as one"
    if action.plan_hash != plan_hash(plan):
        raise PlanRefused("action.plan_hash", action.plan_hash, plan_hash(plan))
    if len(signed.signatures) > SIGNATURES_MAX:
        raise PlanRefused("signatures", len(signed.signatures), f"at most {SIGNATURES_MAX}")
    require_current(
        action,
        fork_id=plan.fork_id - 1,
        time_ms=plan.header.time_ms,
        height=plan.header.number,
    )
    return get_signers(compute_digest(action, domain_of(plan)), signed.signatures, council)


# --- as files: a plan, and its signatures beside it -----------------------------------------------


def encode_signatures_file(plan: Plan, action: Fork, signatures: tuple[bytes, ...]) -> bytes:
    """Return the document that gathers the council's signatures of a plan."""
    return canonical_json(
        {
            "plan_hash": to_hex(plan_hash(plan)),
            "digest": to_hex(compute_digest(action, domain_of(plan))),
            "action": {
                "plan_hash": to_hex(action.plan_hash),
                "nonce": to_hex(action.nonce),
                "fork_id": action.fork_id,
                "expires_at": action.expires_at,
                "reason": action.reason,
            },
            "signatures": [to_hex(signature) for signature in signatures],
        }
    )


def read_signed_plan(plan_data: bytes, signatures_data: bytes) -> SignedPlan:
    """Return a plan's file and its signatures' file as one; raise PlanRefused."""
    plan = decode_plan(plan_data)
    try:
        document = load_json(signatures_data)
        terms = document["action"]
        action = Fork(
            plan_hash=Hash32(from_hex(terms["plan_hash"], 32)),
            nonce=Hash32(from_hex(terms["nonce"], 32)),
            fork_id=to_integer(terms["fork_id"]),
            expires_at=to_integer(terms["expires_at"]),
            reason=terms["reason"],
        )
        signatures = tuple(from_hex(each) for each in document["signatures"])
        record = encode_action(action)
    except (ValueError, KeyError, TypeError, RecursionError, EncodingError) as error:
        text = f"{type(error).__name__}: {error}"
        raise PlanRefused("signatures file", text, "action and signatures") from None
    if action.plan_hash != plan_hash(plan):
        raise PlanRefused("signatures file, plan_hash", action.plan_hash, plan_hash(plan))
    return SignedPlan(plan_data, record, signatures)
