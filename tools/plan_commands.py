"""A fork plan's commands: list snapshots, plan, show, sign, submit, watch, reopen, verify."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from node.devnet.client import Client
from node.errors import OperatorError
from node.perp.status import Mode
from node.snapshot.plan import decode_plan, encode_plan
from tools.action_file import print_fields, print_next
from tools.council import Council, get_council, run_with
from tools.options import DEFAULT_RPC, POLL_S, AsJson, File, Reason, Rpc
from tools.plan_file import (
    PlanFile,
    check_fork,
    get_fork,
    load_plan,
    require_plan_current,
    save_plan,
    save_signature,
    show_plan,
)
from tools.signing import make_member_signature, step_after

NewPlan = Annotated[Path, typer.Argument(help="The plan's file to write; it must not exist.")]


def snapshots(rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """List the snapshots to which the chain can go back, oldest first."""

    async def ask(client: Client) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = await client.request("perp_getSnapshots")
        return found

    found = run_with(rpc, ask)
    if as_json:
        typer.echo(json.dumps(found, indent=2))
        return
    for each in found:
        state = "certified" if each["isCertified"] else "not certified"
        where = "" if each["isCanonical"] else ", of a branch that was left"
        typer.echo(
            f"{each['name']:>12}  block {each['blockNumber']} {each['blockHash'][:18]}…  "
            f"signed by {each['power']} of {each['totalPower']} power: {state}{where}"
        )
    if not any(each["isCertified"] and each["isCanonical"] for each in found):
        print_next("wait: validators make and sign snapshots every so many blocks")
        return
    print_next('plan FILE --reason "…", once the chain is halted')


def plan(
    file: NewPlan,
    reason: Reason,
    snapshot: Annotated[
        str, typer.Option("--snapshot", help="Its name; the newest certified one by latest.")
    ] = "latest",
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the plan that leaves this branch for a snapshot, and show all that it undoes."""
    if file.exists():
        raise OperatorError(f"{file} exists already: a plan is never overwritten, name another")
    if not reason.strip():
        raise OperatorError("--reason is empty: say why, every signer reads it")

    async def ask(client: Client) -> tuple[str, Council]:
        wishes = {"snapshot": snapshot, "reason": reason}
        made = await client.request("perp_makeForkPlan", wishes)
        return made["plan"], await get_council(client)

    text, council = run_with(rpc, ask)
    save_plan(file, decode_plan(text.encode()))
    show_plan(load_plan(file, council), council)
    print_next(f"each of {council.threshold} members: sign {file} --key KEYFILE")


def show_plan_file(loaded: PlanFile, council: Council, *, as_json: bool) -> None:
    """Show a plan and who signed it."""
    if as_json:
        answer = {
            "kind": "Fork",
            "plan": json.loads(encode_plan(loaded.plan)),
            "digest": "0x" + loaded.digest.hex(),
            "signers": sorted(loaded.signatures),
            "threshold": council.threshold,
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    show_plan(loaded, council)
    print_next(step_after(loaded, council))


def sign_plan_file(loaded: PlanFile, council: Council, key: Path | None, given: str) -> None:
    """Sign a plan as a member, and add the signature beside it."""
    require_plan_current(loaded, council)
    address, signature = make_member_signature(loaded, council, key, given)
    signed = save_signature(loaded, address, signature)
    show_plan(signed, council)
    print_next(step_after(signed, council))


def submit_plan_file(files: list[Path], council: Council, rpc: str, *, as_json: bool) -> None:
    """Hand a plan in, with the signatures of all its copies."""
    first, *others = [load_plan(file, council) for file in files]
    signatures = dict(first.signatures)
    for other in others:
        if other.digest != first.digest:
            raise OperatorError(f"{other.path} is another plan than {first.path}: submit it alone")
        signatures |= other.signatures

    async def hand_in(client: Client) -> dict[str, Any]:
        if await get_fork(client, first.plan) is not None:
            raise OperatorError(f"{first.path} was carried out already: watch {first.path}")
        require_plan_current(first, council)
        if len(signatures) < council.threshold:
            raise OperatorError(
                f"{first.path} has {len(signatures)} of {council.threshold} signatures: "
                "let more members sign it"
            )
        given = ["0x" + each.hex() for each in signatures.values()]
        text = encode_plan(first.plan).decode()
        answer: dict[str, Any] = await client.request("perp_submitForkPlan", text, given)
        return answer

    answer = run_with(rpc, hand_in)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(
        f"Fork {answer['forkId']}: block {answer['blockNumber']} {answer['blockHash']} is built"
    )
    print_next(f"watch {first.path}")


def watch_plan_file(loaded: PlanFile, timeout: int, rpc: str) -> None:
    """Follow a fork until its branch is the chain."""

    async def look(client: Client) -> str:
        looks, told = max(1, int(timeout / POLL_S)), ""
        for number in range(looks):
            state, fork = await client.request("perp_status"), await get_fork(client, loaded.plan)
            line = f"block {state['latest']}, {state['phase']}"
            if fork is not None and fork["gate"] is not None:
                gate = fork["gate"]
                line += f", {gate['power']} of {gate['totalPower']} power built the same"
            if line != told:
                typer.echo(line)
                told = line
            if state["phase"] == "stopped" and fork is not None:
                raise OperatorError(f"the fork does not go on: {state['reason']}")
            if fork is not None and state["phase"] != "forking":
                return f"fork {fork['forkId']} is the chain, from block {fork['blockNumber']} on"
            if number + 1 < looks:
                await asyncio.sleep(POLL_S)
        raise OperatorError(f"{loaded.path} was not carried out within {timeout} s")

    typer.echo(run_with(rpc, look))
    print_next("reopen")


def reopen(
    timeout: Annotated[int, typer.Option("--timeout", help="Seconds to wait at most.")] = 120,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Follow the way back to OPEN: fresh prices, CANCEL_ONLY, POST_ONLY, OPEN (RULES X2)."""

    async def look(client: Client) -> None:
        looks, told = max(1, int(timeout / POLL_S)), ""
        for number in range(looks):
            council = await get_council(client)
            if council.hold or council.mode == Mode.HALTED.name:
                raise OperatorError("the chain stands: resume it, or submit a fork plan")
            markets = await client.request("perp_getMarkets")
            line = f"chain {council.mode}; " + ", ".join(
                f"{each['symbol']} {each['mode']}"
                + (" (price is stale)" if each["oracle"]["isStale"] else "")
                + (" (grace)" if each["isInGrace"] else "")
                for each in markets
            )
            if line != told:
                typer.echo(f"block {council.height}: {line}")
                told = line
            if council.mode == Mode.OPEN.name and all(
                each["mode"] == Mode.OPEN.name and not each["isInGrace"] for each in markets
            ):
                return
            if number + 1 < looks:
                await asyncio.sleep(POLL_S)
        raise OperatorError(f"not every market is OPEN within {timeout} s: {told}")

    run_with(rpc, look)
    print_next("verify PLAN, if there was a fork")


def verify(file: File, rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """Compare what the node serves after a fork with what its plan promised."""
    loaded = load_plan(file, run_with(rpc, get_council))
    checks = run_with(rpc, lambda client: check_fork(client, loaded.plan))
    if as_json:
        typer.echo(json.dumps([each._asdict() for each in checks], indent=2))
    else:
        print_fields(
            {each.what: ("ok    " if each.holds else "WRONG ") + each.found for each in checks}
        )
    wrong = [each.what for each in checks if not each.holds]
    if wrong:
        raise OperatorError(f"{file}: not as planned: {', '.join(wrong)}")
    if not as_json:
        print_next("nothing has to be done: trade goes on")
