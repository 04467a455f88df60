"""A fork plan's file and its signatures beside it, and how a plan is followed to its end.

The plan's file holds the very bytes that are hashed; PLAN.signatures.json beside it gathers what
members signed. Members may sign one file after the other, or each a copy.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import typer

from node.chain.block import Header, header_hash
from node.cli.fork import describe_plan
from node.config import wall_time_ms
from node.crypto import checksum_address, keccak256
from node.devnet.client import Client
from node.encoding import load_json
from node.errors import InvalidSignature, OperatorError, PlanRefused
from node.governance.action import Fork, compute_digest, recover_signer
from node.snapshot.approval import (
    domain_of,
    encode_signatures_file,
    fork_action,
    read_signed_plan,
)
from node.snapshot.plan import PLAN_SIZE_MAX, Plan, decode_plan, encode_plan, plan_hash
from node.units import Hash32
from tools.action_file import print_fields
from tools.council import Council

SIGNATURES_SUFFIX = ".signatures.json"
_HEADER_NAMES = (
    "parentHash",
    "sha3Uncles",
    "miner",
    "stateRoot",
    "transactionsRoot",
    "receiptsRoot",
    "logsBloom",
    "difficulty",
    "number",
    "gasLimit",
    "gasUsed",
    "timestamp",
    "extraData",
    "mixHash",
    "nonce",
    "baseFeePerGas",
    "withdrawalsRoot",
)
"""A header's fields as JSON-RPC names them, in the record's order."""


class PlanFile(NamedTuple):
    """A plan and the signatures given so far."""

    path: Path
    plan: Plan
    action: Fork
    digest: Hash32
    """What members sign."""
    signatures: dict[str, bytes]
    """By the signer's address."""


def is_plan(path: Path) -> bool:
    """Tell whether a file is a fork plan's, and no action's."""
    try:
        document = load_json(path.read_bytes()[: PLAN_SIZE_MAX + 1])
    except OSError as error:
        raise OperatorError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise OperatorError(f"{path}: is no JSON: it is no action's and no plan's file") from None
    return isinstance(document, dict) and "orphan_tip" in document


def load_plan(path: Path, council: Council) -> PlanFile:
    """Read a plan's file and its signatures, and check both against the chain and its council."""
    try:
        data = path.read_bytes()[: PLAN_SIZE_MAX + 1]
        plan = decode_plan(data)
        beside = signatures_path(path)
        document = beside.read_bytes() if beside.exists() else None
        given = () if document is None else read_signed_plan(data, document).signatures
    except OSError as error:
        raise OperatorError(f"{error.filename}: can't be read ({error.strerror})") from None
    except PlanRefused as refusal:
        raise OperatorError(f"{path}: {refusal}") from None
    if domain_of(plan) != council.domain:
        raise OperatorError(
            f"{path} is for chain {plan.chain_id} with genesis 0x{plan.genesis_hash.hex()}, the "
            f"node's is {council.domain.chain_id} with 0x{council.domain.genesis_hash.hex()}"
        )
    action = fork_action(plan)
    digest = compute_digest(action, domain_of(plan))
    signatures = {}
    for signature in given:
        try:
            signer = checksum_address(recover_signer(digest, signature))
        except InvalidSignature:
            raise OperatorError(f"{signatures_path(path)}: a signature is malformed") from None
        if signer not in council.members:
            raise OperatorError(
                f"{signatures_path(path)}: {signer} has signed and is not in the council"
            )
        signatures[signer] = signature
    return PlanFile(path, plan, action, digest, signatures)


def signatures_path(path: Path) -> Path:
    """Return where a plan's signatures stand."""
    return path.with_name(path.name + SIGNATURES_SUFFIX)


def save_plan(path: Path, plan: Plan) -> None:
    """Write a plan's file, which must not exist."""
    try:
        with path.open("xb") as file:
            file.write(encode_plan(plan))
    except OSError as error:
        raise OperatorError(f"{path} can't be written ({error.strerror}): name another") from None


def save_signature(loaded: PlanFile, signer: str, signature: bytes) -> PlanFile:
    """Add a signature to those beside the plan."""
    signed = loaded._replace(signatures={**loaded.signatures, signer: signature})
    path = signatures_path(loaded.path)
    temporary = path.with_name(path.name + ".new")
    document = encode_signatures_file(loaded.plan, loaded.action, tuple(signed.signatures.values()))
    try:
        temporary.write_bytes(document)
        temporary.replace(path)
    except OSError as error:
        raise OperatorError(f"{path}: can't be written ({error.strerror})") from None
    return signed


def require_plan_current(loaded: PlanFile, council: Council) -> None:
    """Raise OperatorError for a plan that leaves another branch than the chain is on."""
    plan = loaded.plan
    if plan.fork_id != council.fork_id + 1:
        raise OperatorError(
            f"{loaded.path} leads to fork {plan.fork_id}, the chain is at fork {council.fork_id}"
            + (": it was carried out" if plan.fork_id <= council.fork_id else "")
        )
    if wall_time_ms() // 1_000 > loaded.action.expires_at:
        raise OperatorError(f"{loaded.path} has expired: plan anew")


def show_plan(loaded: PlanFile, council: Council) -> None:
    """Print a plan in plain words and numbers, and who signed it."""
    for title, rows in describe_plan(loaded.plan):
        typer.echo(title)
        width = max(len(name) for name, _ in rows)
        for name, value in rows:
            typer.echo(f"  {name.ljust(width)}  {value}")
    print_fields(
        {
            "plan hash": "0x" + plan_hash(loaded.plan).hex(),
            "to sign": "0x" + loaded.digest.hex(),
            "signed": f"{len(loaded.signatures)} of {council.threshold}: "
            + (", ".join(sorted(loaded.signatures)) or "nobody yet"),
        }
    )


# --- where a fork is ------------------------------------------------------------------------------


async def get_fork(client: Client, plan: Plan) -> dict[str, Any] | None:
    """Return the fork with a plan's id; OperatorError if another plan began it."""
    fork: dict[str, Any] | None = await client.request("perp_getFork", plan.fork_id)
    if fork is not None and fork["planHash"] != "0x" + plan_hash(plan).hex():
        raise OperatorError(
            f"fork {plan.fork_id} was begun by another plan, {fork['planHash']}: this one, "
            f"0x{plan_hash(plan).hex()}, can't be carried out any more"
        )
    return fork


class Check(NamedTuple):
    """One promise of a fork, and whether it holds."""

    what: str
    found: str
    holds: bool


async def check_fork(client: Client, plan: Plan) -> list[Check]:
    """Compare what a node serves with what a plan promised."""
    fork = await get_fork(client, plan)
    if fork is None:
        raise OperatorError(f"fork {plan.fork_id} is not carried out: submit the plan first")
    number = hex(plan.header.number)
    block = await client.request("eth_getBlockByNumber", number, False)
    perp_block = await client.request("perp_getBlock", number)
    tip = await client.request("eth_getBlockByNumber", hex(plan.orphan_tip.height), False)
    orphan = await client.request(
        "eth_getBlockByHash", "0x" + plan.orphan_tip.block_hash.hex(), False
    )
    status = await client.request("perp_status")
    hashed = header_hash(read_header(block))
    extension = keccak256(bytes.fromhex(perp_block["extension"]["rlp"][2:]))
    checks = [
        Check("fork block's hash", block["hash"], block["hash"] == fork["blockHash"]),
        Check(
            "it is the hash of its header",
            "0x" + hashed.hex(),
            "0x" + hashed.hex() == block["hash"],
        ),
        Check(
            "its parent is the snapshot's block",
            block["parentHash"],
            block["parentHash"] == "0x" + plan.snapshot.block_hash.hex(),
        ),
        Check(
            "its extension",
            f"fork {perp_block['extension']['forkId']}",
            block["extraData"] == "0x" + extension.hex()
            and perp_block["extension"]["forkId"] == plan.fork_id,
        ),
        Check(
            "the orphaned tip left the chain",
            f"block {plan.orphan_tip.height} is now {tip and tip['hash'][:18]}",
            tip is not None and tip["hash"] != "0x" + plan.orphan_tip.block_hash.hex(),
        ),
        Check("and stays readable by its hash", str(orphan is not None), orphan is not None),
        Check(
            "certified beyond the catch-up",
            f"safe {status['safe']}, catch-up ended at {plan.last_restart_height}",
            status["safe"] >= plan.last_restart_height,
        ),
        Check("phase", status["phase"], status["phase"] == "open"),
        Check("disputes on this branch", str(status["disputes"]), status["disputes"] == 0),
    ]
    if fork["gate"] is not None:
        hashes = {each["blockHash"] for each in fork["gate"]["confirmations"]}
        checks.append(
            Check(
                "validators built the same block",
                f"{fork['gate']['power']} of {fork['gate']['totalPower']} power",
                hashes <= {block["hash"]},
            )
        )
    return checks + [check async for check in _check_money(client, plan)]


async def _check_money(client: Client, plan: Plan) -> AsyncIterator[Check]:
    for moment in ("before", "after"):
        total = plan.totals["equity"]["totals"][moment]["sum"]
        yield Check(f"all money {moment} the fork sums to zero", total, total == "0")
    rows = plan.totals["equity"]["accounts"]
    number = hex(plan.header.number)
    views = await client.batch([("perp_getAccount", (row["account"], number)) for row in rows])
    wrong = [
        row["account"]
        for row, view in zip(rows, views, strict=True)
        if isinstance(view, Exception) or str(view["equity"]["atoms"]) != row["after"]
    ]
    yield Check(
        "equity in the fork block is the plan's",
        f"{len(rows) - len(wrong)} of {len(rows)} accounts",
        not wrong,
    )


def read_header(block: dict[str, Any]) -> Header:
    """Return the header behind a block as JSON-RPC shows it."""
    integers = {"difficulty", "number", "gas_limit", "gas_used", "timestamp", "base_fee"}
    values = [
        int(block[name], 16) if field in integers else bytes.fromhex(block[name][2:])
        for field, name in zip(Header._fields, _HEADER_NAMES, strict=True)
    ]
    return Header(*values)  # type: ignore[arg-type]  # as their fields want them
