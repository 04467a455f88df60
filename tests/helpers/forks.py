"""A council that halts and forks a running chain, over JSON-RPC alone."""

from collections.abc import Sequence
from typing import Any

from node.crypto import sign
from node.units import Hash32
from tests.helpers.chain import Person
from tests.helpers.council import MEMBERS, signature_of
from tests.helpers.devnet import Rpc, poll


def wait_for_snapshot(rpc: Rpc, above: int = 0) -> dict[str, Any]:
    """Return the newest certified snapshot of the chain, once it lies above a height."""

    def look() -> dict[str, Any] | None:
        for each in reversed(rpc.call("perp_getSnapshots")):
            if each["isCertified"] and each["isCanonical"] and each["blockNumber"] > above:
                found: dict[str, Any] = each
                return found
        return None

    return poll(look, what=f"a certified snapshot above block {above}")


def halt(rpc: Rpc, signers: Sequence[Person] = MEMBERS[:3]) -> dict[str, Any]:
    """Halt the chain in its next block, and wait until it stands; return the status."""
    head = rpc.call("perp_status")
    fields = {
        "height": 0,
        "expiresAt": head["timeMs"] // 1_000 + 3_600,
        "expiresAtHeight": head["latest"] + 10_000,
        "reason": "a rehearsal",
    }
    made = rpc.call("gov_getTypedData", "Halt", fields)
    digest = Hash32(bytes.fromhex(made["digest"][2:]))
    given = ["0x" + signature_of(digest, member).hex() for member in signers]
    rpc.call("gov_submitAction", made["typedData"], given)

    def look() -> dict[str, Any] | None:
        council = rpc.call("gov_getCouncil")
        stands = council["mode"] == "HALTED" or council["hold"] is not None
        status: dict[str, Any] = rpc.call("perp_status")
        return status if stands else None

    return poll(look, what="the halt")


def make_plan(rpc: Rpc, reason: str = "a rehearsal") -> dict[str, Any]:
    """Return a plan that goes back to the newest certified snapshot."""
    plan: dict[str, Any] = rpc.call("perp_makeForkPlan", {"reason": reason})
    return plan


def sign_plan(plan: dict[str, Any], signers: Sequence[Person] = MEMBERS[1:4]) -> list[str]:
    """Return members' signatures of a plan."""
    digest = Hash32(bytes.fromhex(plan["digest"][2:]))
    return ["0x" + signature_of(digest, member).hex() for member in signers]


def sign_with_keys(plan: dict[str, Any], keys: Sequence[bytes]) -> list[str]:
    """Return signatures of a plan made with these private keys."""
    signatures = []
    for key in keys:
        r, s, y_parity = sign(Hash32(bytes.fromhex(plan["digest"][2:])), key)
        word = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])
        signatures.append("0x" + word.hex())
    return signatures


def submit_plan(rpc: Rpc, plan: dict[str, Any], signatures: Sequence[str]) -> dict[str, Any]:
    """Hand a plan in."""
    answer: dict[str, Any] = rpc.call("perp_submitForkPlan", plan["plan"], list(signatures))
    return answer
