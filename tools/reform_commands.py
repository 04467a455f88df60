"""Commands of the governance script that change the chain: windows, markets, numbers, people.

Each writes an action's file like the others. What can be said to be wrong without the chain's state
is said here, by the option's name; the rest the node says when the action is submitted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from node.chain.document import decode_json, fields_of, read_fields
from node.config import wall_time_ms
from node.crypto import checksum_address
from node.errors import GenesisError, OperatorError
from node.governance.action import (
    ChangeCouncil,
    ChangeValidators,
    ListMarket,
    ScheduleMaintenance,
    SetBrackets,
    SetParameter,
    SetReporters,
    SettleMarket,
)
from node.governance.council import Council as Members
from node.governance.council import validate_council
from node.perp.parameters import ChainParams, MarketParams, validate_market_params
from node.units import Address
from tools.action_draft import EXPIRES_IN_S, Expiry, NewFile, write_action
from tools.council import Council
from tools.options import DEFAULT_RPC, Reason, Rpc

Market = Annotated[int, typer.Argument(help="The market's id.")]


def schedule_maintenance(
    file: NewFile,
    reason: Reason,
    start: Annotated[int, typer.Option("--start", help="CANCEL_ONLY after this block.")] = 0,
    halt: Annotated[int, typer.Option("--halt", help="HALTED after this block.")] = 0,
    ends_in: Annotated[int, typer.Option("--ends-in", help="Seconds from now to its end.")] = 0,
    call_off: Annotated[
        bool, typer.Option("--call-off", help="Call off the window that has not begun.")
    ] = False,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that announces a maintenance window."""
    if call_off == bool(start or halt or ends_in):
        raise OperatorError("name --start, --halt and --ends-in, or --call-off alone")
    if not call_off and not (0 < start < halt and ends_in > 0):
        raise OperatorError(
            f"--start {start} --halt {halt} --ends-in {ends_in}: the start must be before the "
            "halt, and the end ahead"
        )
    fields = {"startHeight": start, "haltHeight": halt, "endMs": 0}

    def check(council: Council) -> None:
        if not call_off:
            fields["endMs"] = max(wall_time_ms(), council.time_ms) + 1_000 * ends_in

    write_action(rpc, file, ScheduleMaintenance, fields, reason, expires_in, check)


def settle_market(
    market: Market,
    price: Annotated[int, typer.Argument(help="At which every position closes, in ticks.")],
    file: NewFile,
    reason: Reason,
    beyond_max_move: Annotated[
        bool,
        typer.Option("--beyond-max-move", help="The price may be far from the last accepted one."),
    ] = False,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that closes a market for ever."""
    if price <= 0:
        raise OperatorError(f"PRICE {price}: must be more than 0 ticks")
    fields = {"market": market, "price": price, "beyondMaxMove": beyond_max_move}
    write_action(rpc, file, SettleMarket, fields, reason, expires_in)


def change_council(
    file: NewFile,
    reason: Reason,
    members: Annotated[list[str], typer.Option("--member", help="An address; one of all.")],
    threshold: Annotated[int, typer.Option("--threshold", help="How many must sign.")],
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that lets others govern."""
    addresses = _parse_addresses("--member", members)
    try:
        validate_council(Members(addresses, threshold))
    except GenesisError as error:
        raise OperatorError(f"--member, --threshold: {error}") from None
    fields = {"members": _show(addresses), "threshold": threshold}
    write_action(rpc, file, ChangeCouncil, fields, reason, expires_in)


def change_validators(
    file: NewFile,
    reason: Reason,
    validators: Annotated[
        list[str], typer.Option("--validator", help="A public key and its power, KEY:POWER.")
    ],
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that lets others attest."""
    members: list[dict[str, Any]] = []
    for text in validators:
        found = re.fullmatch(r"(0x[0-9a-fA-F]{64}):([1-9][0-9]{0,12})", text)
        if found is None:
            raise OperatorError(
                f"--validator {text}: is not 0x, 64 hex digits, a colon and a power"
            )
        members.append({"publicKey": found[1], "power": int(found[2])})
    keys = [member["publicKey"].lower() for member in members]
    for key in keys:
        if keys.count(key) > 1:
            raise OperatorError(f"--validator {key}: stands there twice")
    write_action(rpc, file, ChangeValidators, {"validators": members}, reason, expires_in)


def set_parameter(
    market: Annotated[str, typer.Argument(help="A market's id, or chain.")],
    name: Annotated[str, typer.Argument(help="The parameter, as the genesis document has it.")],
    value: Annotated[str, typer.Argument(help="A whole number, true or false.")],
    file: NewFile,
    reason: Reason,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that sets a number of a market, or of the chain."""
    is_chain = market == "chain"
    if not is_chain and not (market.isdecimal() and int(market) > 0):
        raise OperatorError(f"{market}: is no market: name its id, or chain")
    names = ChainParams._fields if is_chain else MarketParams._fields
    if name not in names:
        whose = "the chain" if is_chain else "a market"
        raise OperatorError(f"{name}: {whose} has no such parameter, it has {', '.join(names)}")
    number = {"true": 1, "false": 0}.get(value)
    if number is None:
        if not re.fullmatch("-?[0-9]{1,19}", value):
            raise OperatorError(f"{value}: is no whole number, true or false")
        number = int(value)
    fields = {"market": 0 if is_chain else int(market), "name": name, "value": number}
    write_action(rpc, file, SetParameter, fields, reason, expires_in)


def set_reporters(
    file: NewFile,
    reason: Reason,
    reporters: Annotated[list[str], typer.Option("--reporter", help="An address; one of all.")],
    quorum: Annotated[int, typer.Option("--quorum", help="How many must agree.")],
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that lets others report prices."""
    addresses = _parse_addresses("--reporter", reporters)
    if not 1 <= quorum <= len(addresses):
        raise OperatorError(f"--quorum {quorum}: must be 1 to the {len(addresses)} reporters")
    fields = {"reporters": _show(addresses), "quorum": quorum}
    write_action(rpc, file, SetReporters, fields, reason, expires_in)


def set_brackets(
    market: Market,
    file: NewFile,
    reason: Reason,
    brackets: Annotated[
        list[str], typer.Option("--bracket", help="From which notional which margin, ATOMS:PPM.")
    ],
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that sets a market's initial margin."""
    made = []
    for text in brackets:
        if not re.fullmatch("[0-9]{1,18}:[0-9]{1,7}", text):
            raise OperatorError(f"--bracket {text}: is not atoms of notional, a colon and ppm")
        notional, ppm = text.split(":")
        made.append({"notionalFrom": int(notional), "initialMarginPpm": int(ppm)})
    fields = {"market": market, "brackets": made}
    write_action(rpc, file, SetBrackets, fields, reason, expires_in)


def list_market(
    market: Market,
    params: Annotated[
        Path,
        typer.Argument(help="JSON: a market as the genesis document has it, without its id."),
    ],
    file: NewFile,
    reason: Reason,
    expires_in: Expiry = EXPIRES_IN_S,
    rpc: Rpc = DEFAULT_RPC,
) -> None:
    """Write the action that begins a new market."""
    try:
        made = MarketParams(**read_fields(decode_json(params.read_bytes()), _MARKET, ""))
        validate_market_params(made)
    except OSError as error:
        raise OperatorError(f"{params}: can't be read ({error.strerror})") from None
    except GenesisError as error:
        raise OperatorError(f"{params}: {error}") from None
    fields = {"market": market, "params": _camel(made)}
    write_action(rpc, file, ListMarket, fields, reason, expires_in)


_MARKET = fields_of(MarketParams)

REFORMS: dict[str, Callable[..., None]] = {
    "schedule-maintenance": schedule_maintenance,
    "settle-market": settle_market,
    "change-council": change_council,
    "change-validators": change_validators,
    "set-parameter": set_parameter,
    "set-reporters": set_reporters,
    "set-brackets": set_brackets,
    "list-market": list_market,
}
"""By the command's name."""


def _parse_addresses(option: str, texts: list[str]) -> tuple[Address, ...]:
    """Return different addresses, ascending, as the action must have them."""
    found: set[Address] = set()
    for text in texts:
        if not re.fullmatch("0x[0-9a-fA-F]{40}", text):
            raise OperatorError(f"{option} {text}: is no address, 0x and 40 hex digits")
        address = Address(bytes.fromhex(text[2:]))
        if address in found:
            raise OperatorError(f"{option} {text}: stands there twice")
        found.add(address)
    return tuple(sorted(found))


def _show(addresses: tuple[Address, ...]) -> list[str]:
    return [checksum_address(address) for address in addresses]


def _camel(record: Any) -> dict[str, Any]:
    """Return a record by the names that wallets show."""
    made = {}
    for name, value in zip(record._fields, record, strict=True):
        first, *others = name.split("_")
        is_list = isinstance(value, tuple)
        made[first + "".join(map(str.capitalize, others))] = (
            [_camel(each) for each in value] if is_list else value
        )
    return made
