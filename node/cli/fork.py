"""`perpnode fork`: plan a fork, read it, sign it, verify it, carry it out on a stopped node."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.flags import AsJson, StoppedDataDir, StoppedGenesis
from node.cli.values import print_json, print_table, usdc

if TYPE_CHECKING:
    from node.snapshot.approval import SignedPlan
    from node.snapshot.plan import Plan

fork = typer.Typer(
    help="Plan, show, sign, verify and apply a fork from a signed snapshot.", no_args_is_help=True
)

PlanPath = Annotated[Path, typer.Argument(help="A plan's file.")]
SnapshotName = Annotated[
    str, typer.Option("--snapshot", help='Which snapshot: "0-100", or "latest".')
]
SIGNATURES_SUFFIX = ".signatures.json"


@fork.command()
def plan(
    data_dir: StoppedDataDir,
    reason: Annotated[str, typer.Option(help="Why: stands in the plan and on the chain.")],
    out: Annotated[Path, typer.Option(help="The file to write; it must not exist.")],
    snapshot: SnapshotName = "latest",
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Write the plan that leaves the head and goes on from a snapshot; show what it undoes."""
    from node.config import wall_time_ms
    from node.consensus.hold import FILE as HOLD_FILE
    from node.consensus.hold import Hold
    from node.consensus.submissions import Submissions
    from node.errors import OperatorError
    from node.snapshot.draft import make_plan, reference_of
    from node.snapshot.offline import find_snapshot, open_chain, open_directory
    from node.snapshot.plan import encode_plan

    directory = open_directory(data_dir)
    manifest = directory.manifest(find_snapshot(directory, snapshot))
    if manifest is None:
        raise OperatorError(f"snapshot {snapshot} is signatures only: plan on a validator")
    with open_chain(data_dir, genesis) as blockchain:
        submissions = Submissions(blockchain, Hold(data_dir / HOLD_FILE))
        made = make_plan(
            blockchain,
            reference_of(manifest),
            reason=reason,
            time_ms=wall_time_ms(),
            unrecorded=submissions.unrecorded(),
        )
    try:
        with out.open("xb") as file:
            file.write(encode_plan(made))
    except OSError as error:
        raise OperatorError(f"{out} can't be written ({error.strerror}): name another") from None
    _show(made, None, as_json=as_json)


@fork.command()
def show(path: PlanPath, as_json: AsJson = False) -> None:
    """Show what a plan undoes and keeps, and who has signed it."""
    signed = _read(path)
    _show(_decode(signed), signed, as_json=as_json)


@fork.command()
def sign(
    path: PlanPath,
    key: Annotated[Path, typer.Option(help="A council member's key file.")],
    as_json: AsJson = False,
) -> None:
    """Sign a plan as a member of the council; signatures gather in a file beside it."""
    from node.chain.durable import write_durably
    from node.crypto import sign as sign_digest
    from node.devnet.keyfile import read_key_file
    from node.governance.action import compute_digest, recover_signer
    from node.snapshot.approval import domain_of, encode_signatures_file, fork_action

    signed = _read(path)
    made = _decode(signed)
    action = fork_action(made)
    digest = compute_digest(action, domain_of(made))
    keypair = read_key_file(key)
    signers = [recover_signer(digest, each) for each in signed.signatures]
    signatures = signed.signatures
    if keypair.address not in signers:
        r, s, y_parity = sign_digest(digest, keypair.private_key)
        word = r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])
        signatures = (*signatures, word)
        write_durably(_beside(path), encode_signatures_file(made, action, signatures))
    _show(made, signed._replace(signatures=signatures), as_json=as_json)


@fork.command()
def verify(
    path: PlanPath,
    data_dir: StoppedDataDir,
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Check a signed plan as a node would before carrying it out; nothing is written."""
    from node.snapshot.offline import open_chain

    signed = _read(path)
    with open_chain(data_dir, genesis) as blockchain:
        made = _verify(blockchain, signed, data_dir)
    _show(made, signed, as_json=as_json)


@fork.command()
def apply(
    path: PlanPath,
    data_dir: StoppedDataDir,
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Carry out a signed plan on a stopped node; again is a no-op, a crash is made up for."""
    from node.chain.keys import signed_plan_row
    from node.snapshot.apply import apply_plan
    from node.snapshot.approval import encode_signed_plan
    from node.snapshot.check import find_applied
    from node.snapshot.offline import open_chain
    from node.snapshot.plan import plan_hash

    signed = _read(path)
    with open_chain(data_dir, genesis) as blockchain:
        made = _decode(signed)
        if find_applied(blockchain, made) is None:
            _verify(blockchain, signed, data_dir)
            row = signed_plan_row(plan_hash(made))
            blockchain.store.kv.write([(row, encode_signed_plan(signed))])
        block = apply_plan(blockchain, made)
    result = {
        "forkId": made.fork_id,
        "height": block.header.number,
        "hash": "0x" + block.hash.hex(),
        "stateRoot": "0x" + block.header.state_root.hex(),
        "lastRestartHeight": made.last_restart_height,
    }
    if as_json:
        print_json(result)
    else:
        print_table("fork block", [(name, str(value)) for name, value in result.items()])


def _verify(blockchain: Any, signed: "SignedPlan", data_dir: Path) -> "Plan":
    from node.config import wall_time_ms
    from node.snapshot.check import verify_plan
    from node.snapshot.directory import SnapshotId
    from node.snapshot.offline import open_directory

    reference = _decode(signed).snapshot
    header = blockchain.store.load_header(reference.block_hash)
    fork_id = 0 if header is None else header[1].fork_id
    path = open_directory(data_dir).path_of(SnapshotId(fork_id, reference.height))
    return verify_plan(blockchain, signed, snapshot=path, now_ms=wall_time_ms())


def _beside(path: Path) -> Path:
    return path.with_name(path.name + SIGNATURES_SUFFIX)


def _read(path: Path) -> "SignedPlan":
    """Return a plan's file with the signatures beside it, if there are any."""
    from node.chain.regular_file import read_regular
    from node.errors import OperatorError
    from node.governance.action import encode_action
    from node.snapshot.approval import SignedPlan, fork_action, read_signed_plan
    from node.snapshot.plan import decode_plan

    try:
        data = read_regular(path)
        signatures = read_regular(_beside(path)) if _beside(path).exists() else None
    except OSError as error:
        raise OperatorError(f"{error.filename} can't be read ({error.strerror})") from None
    if signatures is not None:
        return read_signed_plan(data, signatures)
    return SignedPlan(data, encode_action(fork_action(decode_plan(data))), ())


def _decode(signed: "SignedPlan") -> "Plan":
    from node.snapshot.plan import decode_plan

    return decode_plan(signed.plan)


def _show(made: "Plan", signed: "SignedPlan | None", *, as_json: bool) -> None:
    from node.crypto import checksum_address
    from node.governance.action import compute_digest, recover_signer
    from node.snapshot.approval import domain_of, fork_action
    from node.snapshot.plan import encode_plan, plan_hash

    digest = compute_digest(fork_action(made), domain_of(made))
    signatures = () if signed is None else signed.signatures
    signers = [checksum_address(recover_signer(digest, each)) for each in signatures]
    if as_json:
        import json

        document = json.loads(encode_plan(made))
        print_json(
            {
                "planHash": "0x" + plan_hash(made).hex(),
                "digest": "0x" + digest.hex(),
                "signers": signers,
                "plan": document,
            }
        )
        return
    for title, rows in describe_plan(made):
        print_table(title, rows)
    hashes = [("plan hash", "0x" + plan_hash(made).hex()), ("to sign", "0x" + digest.hex())]
    print_table("signatures", [*hashes, *(("signed by", signer) for signer in signers)])


def describe_plan(made: "Plan") -> list[tuple[str, list[tuple[str, str]]]]:
    """Return a plan as tables for people: what is left, undone, kept, and each account's equity."""
    undone, orders = made.totals["undone"], made.totals["orders"]
    equity = made.totals["equity"]
    head = [
        ("fork", f"{made.fork_id}: {made.reason}"),
        ("goes back to", f"block {made.snapshot.height} 0x{made.snapshot.block_hash.hex()}"),
        ("leaves", f"block {made.orphan_tip.height} 0x{made.orphan_tip.block_hash.hex()}"),
        ("restart until", f"block {made.last_restart_height}, empty blocks"),
    ]
    what = [
        ("blocks", str(undone["blocks"])),
        ("transactions", f"{undone['transactions']} of {undone['accounts']} accounts"),
        ("trades", f"{undone['trades']}, notional {usdc(undone['traded_notional'])}"),
        ("deposits", usdc(undone["deposits"]["total"])),
        ("withdrawals", usdc(undone["withdrawals_on_this_chain"]["total"])),
        ("left the chain", usdc(made.totals["left_the_chain"]["total"])),
        (
            "orders",
            f"{orders['cancelled']} cancelled, {orders['kept']} TP/SL kept, "
            f"{orders['kept_smaller']} of them smaller",
        ),
    ]
    what += [("undone", line) for line in made.totals["governance_undone"]]
    liquidations = [
        (row["account"], f"{row['fills']} fills, paid {usdc(row['paid_to_vault'])}")
        for row in made.totals["liquidations_reversed"]
    ] or [("none", "")]
    equities = [
        (
            row["account"],
            f"{usdc(row['before'])} -> {usdc(row['after'])} ({usdc(row['change'])})",
        )
        for row in equity["accounts"]
    ]
    for moment in ("before", "after"):
        sums = equity["totals"][moment]
        text = ", ".join(f"{name} {usdc(amount)}" for name, amount in sums.items())
        equities.append((f"all {moment}", text))
    equities.append(("instead", f"{equity['alternative']['what']}: {_cost(equity)}"))
    return [
        ("fork plan", head),
        ("undone", what),
        ("liquidations reversed", liquidations),
        ("equity in USDC", equities),
    ]


def _cost(equity: dict[str, Any]) -> str:
    return f"costs {usdc(equity['alternative']['cost'])}"
