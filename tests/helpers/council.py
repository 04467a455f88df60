"""Council members with keys, and actions that they sign."""

from collections.abc import Sequence
from typing import Any

from node.chain.genesis import Genesis
from node.crypto import keccak256, sign
from node.governance.action import (
    FIELDS,
    Action,
    CancelOrders,
    Domain,
    Resume,
    compute_digest,
)
from node.governance.council import Council
from node.units import Address, Hash32
from tests.helpers.chain import Person

MEMBERS = [Person(f"member-{number}") for number in range(1, 6)]
"""Five, as in RECOVERY; three of them decide."""
COUNCIL = Council(tuple(sorted(member.address for member in MEMBERS)), 3)
OUTSIDER = Person("outsider")
LATE = 2**40
"""A time, in seconds, and a height that no test reaches."""


def with_council(genesis: Genesis) -> Genesis:
    """Return a genesis that our members govern."""
    return genesis._replace(council=COUNCIL)


def make(action_class: type[Any], **fields: Any) -> Any:
    """Return an action with good terms and a nonce of its own, unless told otherwise."""
    values: dict[str, Any] = {
        "nonce": Hash32(keccak256(repr((action_class, sorted(fields.items()))).encode())),
        "fork_id": 0,
        "expires_at": LATE,
        "reason": "a test",
    }
    if any(field.name == "expiresAtHeight" for field in FIELDS[action_class]):
        values["expires_at_height"] = LATE
    if action_class is CancelOrders:
        values |= {"market": 0, "account": Address(bytes(20))}
    assert action_class is not Resume or "expires_at_height" not in fields
    return action_class(**(values | fields))


def sign_action(
    action: Action, domain: Domain, members: Sequence[Person] = MEMBERS[:3]
) -> list[bytes]:
    """Return each member's signature as a wallet gives it."""
    digest = compute_digest(action, domain)
    return [signature_of(digest, member) for member in members]


def signature_of(digest: Hash32, member: Person) -> bytes:
    """Return 65 bytes r, s, v over a digest."""
    r, s, y_parity = sign(digest, member.key)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])
