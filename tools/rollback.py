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
import secrets
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from node.config import wall_time_ms
from node.devnet.client import Client
from node.errors import OperatorError, PerpnodeError
from node.governance.action import (
    AcknowledgeJump,
    Action,
    CancelOrders,
    Halt,
    Resume,
    SetMode,
    compute_digest,
)
from node.governance.typed_data import parse_message, render_message, render_typed_data
from node.perp.order import CancelFilter
from node.perp.status import Mode
from node.snapshot.plan import decode_plan, encode_plan

if __name__ == "__main__":  # run as a file: its siblings are found from the root
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tools.action_file import (
    ActionFile,
    find_signer,
    load_action,
    make_signature,
    parse_signature,
    print_fields,
    print_next,
    require_current,
    save_action,
    show_action,
)
from tools.council import Council, find_entry, get_council, run_with
from tools.plan_file import (
    PlanFile,
    check_fork,
    get_fork,
    is_plan,
    load_plan,
    require_plan_current,
    save_plan,
    save_signature,
    show_plan,
)

DEFAULT_RPC = "http://127.0.0.1:8545"
EXPIRES_IN_S = 3_600
EXPIRES_IN_BLOCKS = 36_000
"""An hour of the fastest blocks."""
POLL_S = 0.5
NOBODY = "0x" + "00" * 20

app = typer.Typer(
    name="rollback",
    help="Govern a chain: halt, cancel, set modes, resume, fork; sign, submit, watch.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Rpc = Annotated[str, typer.Option("--rpc", help="The node's URL.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; every signer reads it.")]
Expiry = Annotated[int, typer.Option("--expires-in", help="Seconds for which the action is good.")]
NewPlan = Annotated[Path, typer.Argument(help="The plan's file to write; it must not exist.")]
NewFile = Annotated[Path, typer.Argument(help="The action's file to write; it must not exist.")]
File = Annotated[Path, typer.Argument(help="An action's or a plan's file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


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
            "hold": council.hold or "no",
            "council": f"{council.threshold} of {len(council.members)}",
        }
    )
    print_next(step)


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

    _write_action(rpc, file, Halt, {"height": height}, reason, expires_in, check)


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
    _write_action(rpc, file, CancelOrders, fields, reason, expires_in)


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
    _write_action(rpc, file, SetMode, fields, reason, expires_in)


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
    _write_action(
        rpc, file, AcknowledgeJump, {"market": market, "price": price}, reason, expires_in
    )


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

    _write_action(rpc, file, Resume, {}, reason, expires_in, check)


def _write_action(
    rpc: str,
    file: Path,
    action_class: type[Action],
    fields: dict[str, Any],
    reason: str,
    expires_in: int,
    check: Callable[[Council], None] | None = None,
) -> None:
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
    if action_class is not Resume:
        latest = max(council.height, int(fields.get("height", 0)))
        message["expiresAtHeight"] = latest + EXPIRES_IN_BLOCKS
    action = parse_message(action_class, message)
    made = ActionFile(file, action, compute_digest(action, council.domain), {})
    save_action(made, council)
    show_action(made, council)
    print_next(f"each of {council.threshold} members: sign {file} --key KEYFILE")


# --- commands: a fork plan ------------------------------------------------------------------------


@app.command()
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


@app.command()
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


def _sign_plan(loaded: PlanFile, council: Council, key: Path | None, given: str) -> None:
    require_plan_current(loaded, council)
    address, signature = _make_signature(loaded, council, key, given)
    signed = save_signature(loaded, address, signature)
    show_plan(signed, council)
    print_next(_step_after(signed, council))


def _submit_plan(files: list[Path], council: Council, rpc: str, *, as_json: bool) -> None:
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


def _watch_plan(loaded: PlanFile, timeout: int, rpc: str) -> None:
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


@app.command()
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


@app.command()
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


# --- commands: signing and submitting -------------------------------------------------------------


@app.command()
def show(file: File, rpc: Rpc = DEFAULT_RPC, as_json: AsJson = False) -> None:
    """Show an action in plain words and numbers, and who signed it."""
    council = run_with(rpc, get_council)
    if is_plan(file):
        _show_plan(load_plan(file, council), council, as_json=as_json)
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
    print_next(_step_after(loaded, council))


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
        _sign_plan(load_plan(file, council), council, key, given)
        return
    loaded = load_action(file, council)
    require_current(loaded, council)
    address, signature = _make_signature(loaded, council, key, given)
    signed = loaded._replace(signatures={**loaded.signatures, address: signature})
    save_action(signed, council)
    show_action(signed, council)
    print_next(_step_after(signed, council))


def _make_signature(
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


def _step_after(loaded: ActionFile | PlanFile, council: Council) -> str:
    missing = council.threshold - len(loaded.signatures)
    more = f"{missing} more: sign {loaded.path} --key KEYFILE"
    return more if missing > 0 else f"submit {loaded.path}"


def _show_plan(loaded: PlanFile, council: Council, *, as_json: bool) -> None:
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
    print_next(_step_after(loaded, council))


@app.command()
def submit(
    files: Annotated[list[Path], typer.Argument(help="Copies of one action's file.")],
    rpc: Rpc = DEFAULT_RPC,
    as_json: AsJson = False,
) -> None:
    """Hand an action in, with the signatures of all its copies."""
    council = run_with(rpc, get_council)
    if is_plan(files[0]):
        _submit_plan(files, council, rpc, as_json=as_json)
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
        _watch_plan(load_plan(file, council), timeout, rpc)
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
