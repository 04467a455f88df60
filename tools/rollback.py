"""The governance script: halt a chain, cancel, sign, submit, watch; every step says the next one.

It speaks to a node by JSON-RPC alone and holds nothing between two commands but the action's file:
typed data, and the signatures that were given so far. Members may sign one file after the other, or
each a copy; `submit` takes any number of copies. Whatever is wrong (order, key, chain, a submission
made before) is refused by name on standard error, with exit status 1, and changes nothing.

    rollback halt --now --reason "prices are wrong" halt.json
    rollback show halt.json
    rollback sign halt.json --key member-1.json      (each member; three of five)
    rollback submit halt.json
    rollback watch halt.json

So are the council's other kinds: schedule-maintenance, settle-market, change-council,
change-validators, set-parameter, set-reporters, set-brackets, list-market.

What an incident cost is repaid by a list, and paid by anybody:

    rollback compensate refunds.csv compensate.json --reason "wrong liquidations"
    rollback sign compensate.json --key member-1.json; …; rollback submit compensate.json
    rollback pay refunds.csv --key anybody.json

A fork is the same with a plan's file in the action's place, once the chain stands:

    rollback snapshots
    rollback plan plan.json --reason "funding indices were reset"
    rollback show plan.json; rollback sign plan.json --key member-1.json; …
    rollback submit plan.json
    rollback watch plan.json; rollback reopen; rollback verify plan.json
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from node.devnet.client import Client
from node.errors import OperatorError, PerpnodeError
from node.governance.action import (
    AcknowledgeJump,
    CancelOrders,
    Halt,
    Resume,
    SetMode,
)
from node.governance.typed_data import render_message, render_typed_data
from node.perp.order import CancelFilter
from node.perp.status import Mode

if __name__ == "__main__":  # run as a file: its siblings are found from the root
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.action_draft import EXPIRES_IN_S, Expiry, NewFile, write_action
from tools.action_file import (
    ActionFile,
    load_action,
    print_fields,
    print_next,
    require_current,
    save_action,
    show_action,
    show_moment,
)
from tools.council import Council, find_entry, get_council, run_with
from tools.options import DEFAULT_RPC, POLL_S, AsJson, File, Reason, Rpc
from tools.plan_commands import (
    plan,
    reopen,
    show_plan_file,
    sign_plan_file,
    snapshots,
    submit_plan_file,
    verify,
    watch_plan_file,
)
from tools.plan_file import is_plan, load_plan
from tools.reform_commands import REFORMS
from tools.refund_commands import REPAYMENT
from tools.signing import make_member_signature, step_after

NOBODY = "0x" + "00" * 20

app = typer.Typer(
    name="rollback",
    help="Govern a chain: halt, cancel, set, change, list, settle, repay, fork; sign, submit.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for command in (snapshots, plan, reopen, verify):
    app.command()(command)
for name, command in (REFORMS | REPAYMENT).items():
    app.command(name)(command)


# --- commands: where the chain is -----------------------------------------------------------------


@app.command()
def status(rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """Show how the chain is, who governs it, and what can be done next."""

    async def ask(client: Client) -> tuple[dict[str, Any], Council]:
        return await client.request("perp_status"), await get_council(client)

    state, council = run_with(rpc, ask)
    step = _next_step(state, council)
    if as_json:
        answer = {"status": state, "threshold": council.threshold, "members": council.members}
        typer.echo(json.dumps(answer | {"next": step}, indent=2))
        return
    print_fields(
        {
            "phase": state["phase"] + (f": {state['reason']}" if state["reason"] else ""),
            "mode": council.mode,
            "block": f"{council.height} latest, {state['safe']} safe, "
            f"{state['finalized']} finalized",
            "fork id": council.fork_id,
            "halt due": f"after block {council.halt_height}" if council.halt_height else "no",
            "maintenance": _show_window(council),
            "hold": council.hold or "no",
            "council": f"{council.threshold} of {len(council.members)}",
        }
    )
    print_next(step)


def _show_window(council: Council) -> str:
    window = council.maintenance
    if window is None:
        return "none"
    return (
        f"CANCEL_ONLY after block {window['startHeight']}, HALTED after block "
        f"{window['haltHeight']}, until {show_moment(window['endMs'])}"
    )


def _next_step(state: dict[str, Any], council: Council) -> str:
    if council.hold or council.mode == Mode.HALTED.name:
        return "the chain stands: resume it, or leave this branch: snapshots, then plan"
    if state["phase"] == "forking":
        return "a fork is under way: watch its plan"
    if state["phase"] == "stopped":
        return "no block can be built: halt the chain, so that it stands until you decide"
    if council.halt_height:
        return f"wait for block {council.halt_height}: watch"
    return "nothing has to be done; halt stops the chain"


# --- commands: an action's file -------------------------------------------------------------------


@app.command()
def halt(
    file: NewFile,
    reason: Reason,
    height: Annotated[int, typer.Option("--height", help="The last ordinary block.")] = 0,
    now: Annotated[
        bool, typer.Option("--now", help="Halt with the block that carries it.")
    ] = False,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that halts the chain at the end of a block."""
    if now == (height > 0):
        raise OperatorError("name --height N or --now, one of them")

    def check(council: Council) -> None:
        if council.hold or council.mode == Mode.HALTED.name:
            raise OperatorError("the chain stands already: resume it, or plan a fork")
        if height and height <= council.height:
            raise OperatorError(
                f"--height {height} is over: the chain is at block {council.height}, name a later "
                "one or use --now"
            )

    write_action(rpc, file, Halt, {"height": height}, reason, expires_in, check)


@app.command("cancel-orders")
def cancel_orders(
    file: NewFile,
    reason: Reason,
    all_but_tpsl: Annotated[
        bool, typer.Option("--all-but-tpsl", help="All but take-profits and stop-losses.")
    ] = False,
    market: Annotated[int, typer.Option("--market", help="All of a market.")] = 0,
    account: Annotated[str, typer.Option("--account", help="All of an account.")] = "",
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that cancels orders."""
    if [all_but_tpsl, market > 0, bool(account)].count(True) != 1:
        raise OperatorError("name --all-but-tpsl, --market ID or --account ADDRESS, one of them")
    chosen = CancelFilter.MARKET if market else CancelFilter.ACCOUNT
    fields = {
        "filter": int(CancelFilter.ALL_BUT_TRIGGERS if all_but_tpsl else chosen),
        "market": market,
        "account": account or NOBODY,
    }
    write_action(rpc, file, CancelOrders, fields, reason, expires_in)


@app.command("set-mode")
def set_mode(
    market: Annotated[str, typer.Argument(help="A market's id, or chain.")],
    mode: Annotated[str, typer.Argument(help="open, post-only, cancel-only or halted.")],
    file: NewFile,
    reason: Reason,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that sets the mode of a market, or of the chain."""
    name = mode.upper().replace("-", "_")
    if name not in Mode.__members__:
        raise OperatorError(f"{mode}: is no mode: name open, post-only, cancel-only or halted")
    is_chain = market == "chain"
    if not is_chain and not (market.isdecimal() and int(market) > 0):
        raise OperatorError(f"{market}: is no market: name its id, or chain")
    if is_chain and Mode[name] == Mode.HALTED:
        raise OperatorError("the whole chain is halted by: rollback halt")
    fields = {"market": 0 if is_chain else int(market), "mode": int(Mode[name])}
    write_action(rpc, file, SetMode, fields, reason, expires_in)


@app.command("acknowledge-jump")
def acknowledge_jump(
    market: Annotated[int, typer.Argument(help="The market's id.")],
    price: Annotated[int, typer.Argument(help="The price that waits, in ticks.")],
    file: NewFile,
    reason: Reason,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that accepts a price which waits for its confirmation."""
    write_action(rpc, file, AcknowledgeJump, {"market": market, "price": price}, reason, expires_in)


@app.command()
def resume(
    file: NewFile, reason: Reason, expires_in: Expiry = EXPIRES_IN_S, rpc: Rpc = DEFAULT_RPC
) -> None:
    """Write the action that ends a halt, or calls off one that is due."""

    def check(council: Council) -> None:
        if not (council.hold or council.halt_height or council.mode == Mode.HALTED.name):
            raise OperatorError(
                f"the chain is {council.mode} and no halt is due: there is nothing to resume"
            )

    write_action(rpc, file, Resume, {}, reason, expires_in, check)


# --- commands: signing and submitting -------------------------------------------------------------


@app.command()
def show(file: File, rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """Show an action in plain words and numbers, and who signed it."""
    council = run_with(rpc, get_council)
    if is_plan(file):
        show_plan_file(load_plan(file, council), council, as_json=as_json)
        return
    loaded = load_action(file, council)
    if as_json:
        answer = {
            "kind": type(loaded.action).__name__,
            "action": render_message(loaded.action),
            "digest": "0x" + loaded.digest.hex(),
            "signers": sorted(loaded.signatures),
            "threshold": council.threshold,
        }
        typer.echo(json.dumps(answer, indent=2))
        return
    show_action(loaded, council)
    print_next(step_after(loaded, council))


@app.command("sign")
def sign_file(
    file: File,
    key: Annotated[Path | None, typer.Option("--key", help="A member's key file.")] = None,
    given: Annotated[
        str, typer.Option("--signature", help="What a member's wallet made of the typed data.")
    ] = "",
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Show an action, sign it with a member's key or wallet, and add the signature to its file."""
    if (key is None) == (not given):
        raise OperatorError("name --key KEYFILE or --signature 0x..., one of them")
    council = run_with(rpc, get_council)
    if is_plan(file):
        sign_plan_file(load_plan(file, council), council, key, given)
        return
    loaded = load_action(file, council)
    require_current(loaded, council)
    address, signature = make_member_signature(loaded, council, key, given)
    signed = loaded._replace(signatures={**loaded.signatures, address: signature})
    save_action(signed, council)
    show_action(signed, council)
    print_next(step_after(signed, council))


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(help="Copies of one action's file.")],
    rpc: Rpc = DEFAULT_RPC,
    as_json: AsJson = False,
) -> None:
    """Hand an action in, with the signatures of all its copies."""
    council = run_with(rpc, get_council)
    if is_plan(files[0]):
        submit_plan_file(files, council, rpc, as_json=as_json)
        return
    first, *others = [load_action(file, council) for file in files]
    signatures = dict(first.signatures)
    for other in others:
        if other.digest != first.digest:
            raise OperatorError(
                f"{other.path} is another action than {first.path}: submit it alone"
            )
        signatures |= other.signatures
    require_current(first, council)
    if len(signatures) < council.threshold:
        raise OperatorError(
            f"{first.path} has {len(signatures)} of {council.threshold} signatures: "
            "let more members sign it"
        )
    document = render_typed_data(first.action, council.domain)
    given = ["0x" + signature.hex() for signature in signatures.values()]

    async def hand_in(client: Client) -> dict[str, Any]:
        if await find_entry(client, first.digest) is not None:
            raise OperatorError(f"{first.path} was carried out already: watch {first.path}")
        answer: dict[str, Any] = await client.request("gov_submitAction", document, given)
        return answer

    answer = run_with(rpc, hand_in)
    if as_json:
        typer.echo(json.dumps(answer, indent=2))
        return
    typer.echo(f"{answer['kind']} 0x{first.digest.hex()}: {_OUTCOMES[answer['outcome']]}")
    print_next(f"watch {first.path}")


_OUTCOMES = {
    "queued": "accepted, the next block carries it",
    "held": "accepted, no block can be built: the node holds, durably",
    "kept": "accepted, no block can be built: the first one after a resume carries it",
    "lifted": "accepted, the node's hold is over",
}


@app.command()
def watch(
    file: File,
    timeout: Annotated[int, typer.Option("--timeout", help="Seconds to wait at most.")] = 60,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Wait until an action is carried out, and for a halt until the chain stands."""
    council = run_with(rpc, get_council)
    if is_plan(file):
        watch_plan_file(load_plan(file, council), timeout, rpc)
        return
    loaded = load_action(file, council)

    async def look(client: Client) -> str:
        looks = max(1, int(timeout / POLL_S))
        told = ""
        for number in range(looks):
            state, council = await client.request("perp_status"), await get_council(client)
            line = f"block {council.height}, {council.mode}, {state['phase']}"
            if line != told:
                typer.echo(line)
                told = line
            done = await _find_end(client, loaded, council)
            if done:
                return done
            if number + 1 < looks:
                await asyncio.sleep(POLL_S)
        raise OperatorError(f"{file} was not carried out within {timeout} s: is it submitted?")

    typer.echo(run_with(rpc, look))
    print_next("status")


async def _find_end(client: Client, loaded: ActionFile, council: Council) -> str:
    """Return how an action ended, empty while it has not."""
    if isinstance(loaded.action, Halt) and loaded.digest.hex() in council.hold:
        return "the node is held by this halt"
    entry = await find_entry(client, loaded.digest)
    if entry is None:
        return ""
    if isinstance(loaded.action, Halt) and council.mode != Mode.HALTED.name and council.halt_height:
        return ""
    return (
        f"{entry['kind']} was carried out in block {entry['blockNumber']}, result "
        f"{entry['result']}, audit entry {entry['number']}"
    )


def main() -> None:
    """Run the script; one line on standard error for whatever went wrong."""
    try:
        app(prog_name="rollback")
    except PerpnodeError as error:
        print(f"rollback: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
