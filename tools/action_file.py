"""An action's file: typed data and the signatures given so far, and how both are shown to people.

Members may sign one file after the other, or each a copy. What is read is checked against the chain
and its council: a file for another chain, a signature over other words or of somebody else is named
and refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import typer

from node.config import wall_time_ms
from node.crypto import checksum_address, sign
from node.devnet.keyfile import read_key_file
from node.encoding import load_json
from node.errors import InvalidSignature, MalformedAction, OperatorError
from node.governance.action import (
    AcknowledgeJump,
    Action,
    Compensate,
    ListMarket,
    SetParameter,
    SettleMarket,
    compute_digest,
    recover_signer,
)
from node.governance.typed_data import parse_typed_data, render_message, render_typed_data
from node.perp.order import CancelFilter
from node.perp.parameters import COLLATERAL_DECIMALS
from node.perp.status import Mode
from node.rpc.quantities import render_decimal
from node.units import Hash32
from tools.council import Council

FILE_SIZE_MAX = 1_000_000
LATEST_MS = 10**14
"""In the year 5138: what is later is no moment that anybody means."""
MOMENTS = {"endMs": 1, "expiresAt": 1_000, "payUntil": 1_000}
"""Fields that are moments, and how many milliseconds their unit has."""


class ActionFile(NamedTuple):
    """An action and the signatures given so far."""

    path: Path
    action: Action
    digest: Hash32
    signatures: dict[str, bytes]
    """By the signer's address."""


def load_action(path: Path, council: Council) -> ActionFile:
    """Read an action's file and check it against the chain and its council."""
    try:
        data = path.read_bytes()[: FILE_SIZE_MAX + 1]
        document = load_json(data)
    except OSError as error:
        raise OperatorError(f"{path}: can't be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise OperatorError(f"{path}: is no JSON: it is no action's file") from None
    if not isinstance(document, dict) or sorted(document) != ["signatures", "typedData"]:
        raise OperatorError(f"{path}: must have typedData and signatures alone")
    try:
        action = parse_typed_data(document["typedData"], council.domain)
    except MalformedAction as error:
        raise OperatorError(f"{path}: is not for this chain, or damaged: {error}") from None
    digest = compute_digest(action, council.domain)
    return ActionFile(path, action, digest, _read_signatures(path, document, digest))


def _read_signatures(path: Path, document: dict[str, Any], digest: Hash32) -> dict[str, bytes]:
    if not isinstance(document["signatures"], dict):
        raise OperatorError(f"{path}: signatures must be an object by address")
    signatures = {}
    for address, text in document["signatures"].items():
        try:
            signature = bytes.fromhex(str(text).removeprefix("0x"))
            signer = checksum_address(recover_signer(digest, signature))
        except (ValueError, InvalidSignature):
            raise OperatorError(f"{path}: the signature of {address} is malformed") from None
        if signer != address:
            raise OperatorError(f"{path}: the signature of {address} is not over these words")
        signatures[address] = signature
    return signatures


def make_signature(digest: Hash32, key: Path) -> bytes:
    """Sign an action with the key of a file."""
    r, s, y_parity = sign(digest, read_key_file(key).private_key)
    return r.to_bytes(32, "big") + s.to_bytes(32, "big") + bytes([27 + y_parity])


def parse_signature(text: str) -> bytes:
    """Read a wallet's signature in hex; raise OperatorError."""
    if not re.fullmatch("0x[0-9a-fA-F]{130}", text):
        raise OperatorError("--signature is not 0x and 130 hex digits: take the wallet's whole one")
    return bytes.fromhex(text[2:])


def find_signer(digest: Hash32, signature: bytes) -> str:
    """Return who signed an action, as far as a signature tells; raise OperatorError."""
    try:
        return checksum_address(recover_signer(digest, signature))
    except InvalidSignature as error:
        raise OperatorError(f"the signature is malformed: {error}") from None


def save_action(made: ActionFile, council: Council) -> None:
    """Write an action and its signatures, whole or not at all."""
    document = {
        "typedData": render_typed_data(made.action, council.domain),
        "signatures": {
            address: "0x" + signature.hex() for address, signature in made.signatures.items()
        },
    }
    temporary = made.path.with_name(made.path.name + ".new")
    try:
        temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
        temporary.replace(made.path)
    except OSError as error:
        raise OperatorError(f"{made.path}: can't be written ({error.strerror})") from None


def require_current(loaded: ActionFile, council: Council) -> None:
    """Raise OperatorError for an action of another branch, of others, or one that has expired."""
    action = loaded.action
    for address in loaded.signatures:
        if address not in council.members:
            raise OperatorError(f"{loaded.path}: {address} has signed and is not in the council")
    if action.fork_id != council.fork_id:
        raise OperatorError(
            f"{loaded.path} is for fork id {action.fork_id}, the chain is at {council.fork_id}"
        )
    if max(wall_time_ms(), council.time_ms) // 1_000 > action.expires_at:
        raise OperatorError(f"{loaded.path} has expired: make it anew")
    if council.height >= getattr(action, "expires_at_height", council.height + 1):
        raise OperatorError(f"{loaded.path} has expired by height: make it anew")


# --- for people -----------------------------------------------------------------------------------

WORDS = {
    "Halt": "Halt the chain",
    "SetMode": "Set a mode",
    "CancelOrders": "Cancel orders",
    "AcknowledgeJump": "Accept a price that waits",
    "Resume": "Resume the chain: CANCEL_ONLY first, then by itself toward OPEN",
    "Fork": "Leave this branch by a fork plan",
    "ScheduleMaintenance": "Close the chain for maintenance: CANCEL_ONLY, HALTED, and back",
    "SettleMarket": "Close a market for ever: orders cancelled, every position closed at one price",
    "ChangeCouncil": "Let others govern, from the next block on",
    "ChangeValidators": "Let others attest, from the next block on",
    "SetParameter": "Set a parameter, in force from the next block on",
    "SetReporters": "Let others report prices, from the next block on",
    "SetBrackets": "Set a market's initial margin, in force from the next block on",
    "ListMarket": "Begin a new market: POST_ONLY once it has prices, then OPEN",
    "Compensate": "Repay a refund list out of the LiquidatorVault: its total at once",
}
"""What each kind does."""


def show_action(loaded: ActionFile, council: Council) -> None:
    """Print an action in plain words and numbers beside today's, and who signed it."""
    typer.echo(WORDS[type(loaded.action).__name__])
    notes = note_action(loaded.action, council.markets) | note_payment(loaded.action, council.vault)
    print_fields(
        {
            name: _describe(name, value) + (f" ({notes[name]})" if name in notes else "")
            for name, value in _flatten(render_message(loaded.action))
        }
        | {
            "digest": "0x" + loaded.digest.hex(),
            "signed": f"{len(loaded.signatures)} of {council.threshold}: "
            + (", ".join(sorted(loaded.signatures)) or "nobody yet"),
        }
    )


def note_action(action: Action, markets: dict[int, Any]) -> dict[str, str]:
    """Return what the chain has today, by the name of the action's field that it stands beside."""
    market_id: int = getattr(action, "market", 0)
    if not market_id:
        return {}
    market = markets.get(market_id)
    if market is None:
        return {} if isinstance(action, ListMarket) else {"market": "the chain has no such market"}
    if isinstance(action, ListMarket):
        return {"market": f"taken: {market['symbol']}"}
    notes = {"market": market["symbol"]}
    if isinstance(action, SettleMarket | AcknowledgeJump):
        last = market["oracle"]["price"]
        notes["price"] = (
            f"{render_decimal(action.price, market['tickDecimals'])} USD, last accepted: "
            + (f"{last['decimal']} USD" if last else "none")
        )
    if isinstance(action, SetParameter):
        today = find_parameter(market["params"], action.name)
        notes |= {} if today is None else {"value": f"today: {today}"}
    return notes


def note_payment(action: Action, vault: int) -> dict[str, str]:
    """Return a compensation's sums as people write them, and the vault before and after."""
    if not isinstance(action, Compensate):
        return {}
    return {
        "source": f"worth {show_usdc(vault)}, then {show_usdc(vault - action.total)}",
        "total": show_usdc(action.total),
        "cap": show_usdc(action.cap),
    }


def show_usdc(atoms: int) -> str:
    """Return atoms as people read them."""
    return f"{render_decimal(atoms, COLLATERAL_DECIMALS)} USDC"


def find_parameter(params: dict[str, Any], name: str) -> int | None:
    """Return a market's number by its genesis name; None if it is none that can be set.

    JSON-RPC says "takerFee": {"ppm": 450, …} where genesis says "taker_fee_ppm".
    """
    first, *others = re.sub("_pp[mb]", "", name).split("_")
    value = params.get(first + "".join(map(str.capitalize, others)))
    found = next(iter(value.values())) if isinstance(value, dict) else value
    return found if isinstance(found, int) else None


def _flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield a message's single values, each with where it stands: "brackets[0].notionalFrom"."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _flatten(each, f"{name}.{key}" if name else key)
    elif isinstance(value, list) and value:
        for index, each in enumerate(value):
            yield from _flatten(each, f"{name}[{index}]")
    else:
        yield name, value


def _describe(name: str, value: Any) -> str:
    if name == "height":
        return f"{value} is the last ordinary block" if value else "the block that carries it"
    if name == "mode":
        return f"{value} ({Mode(value).name})" if value in tuple(Mode) else str(value)
    if name == "filter":
        return (
            f"{value} ({CancelFilter(value).name})" if value in tuple(CancelFilter) else str(value)
        )
    if name == "market":
        return str(value) if value else "0 (the chain, or none)"
    if name in MOMENTS and 0 < int(value) * MOMENTS[name] <= LATEST_MS:
        return f"{value} ({show_moment(int(value) * MOMENTS[name])})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "none" if value == [] else str(value)


def show_moment(time_ms: int) -> str:
    """Return a moment as people write it."""
    return f"{datetime.fromtimestamp(time_ms // 1_000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def print_fields(fields: dict[str, Any]) -> None:
    """Print names and values, aligned."""
    width = max(map(len, fields))
    for name, value in fields.items():
        typer.echo(f"  {name.ljust(width)}  {value}")


def print_next(step: str) -> None:
    """Print what to do next."""
    typer.echo(f"next: {step}")
