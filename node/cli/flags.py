"""Flags that several commands have, and what is refused of them before anything starts.

A flag may be wrong by itself, or contradict another one.
"""

import re
from collections.abc import Sequence
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from node.cli.values import parse_block_time
from node.units import DurationMs

Port = Annotated[int, typer.Option(min=0, max=65535, help="HTTP and WebSocket.")]
BlockTime = Annotated[str | None, typer.Option(help="Seconds between blocks, from 0.1. [1]")]
Instant = Annotated[bool, typer.Option("--instant", help="Seal as soon as a transaction arrives.")]
Host = Annotated[str, typer.Option(help="The address to listen on.")]
HostNames = Annotated[
    list[str] | None,
    typer.Option("--host-name", help="A further name accepted in a Host header."),
]
AllowOrigins = Annotated[
    list[str] | None,
    typer.Option("--allow-origin", help="A web origin that may call guarded methods."),
]
HasFaults = Annotated[
    bool, typer.Option("--faults", help="Let debug_injectFault make numbers wrong.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
StoppedDataDir = Annotated[
    Path, typer.Option("--data-dir", help="A stopped node's data directory.")
]
StoppedGenesis = Annotated[
    Path | None,
    typer.Option("--genesis", help="The genesis document, if not the directory's own."),
]

PORT_DEFAULT = 8545
HOST_DEFAULT = "127.0.0.1"
BLOCK_TIME_DEFAULT = "1"
_ORIGIN = re.compile(
    r"[a-z][a-z0-9+.-]*://([\w.-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.IGNORECASE | re.ASCII
)
_HOST_NAME = re.compile(r"[a-z0-9_]([a-z0-9_.-]{0,252})", re.IGNORECASE | re.ASCII)


def choose_block_time(text: str | None, *, instant: bool) -> DurationMs:
    """Return the pace of sealing; a usage error where --instant makes a given one meaningless."""
    if instant and text is not None:
        raise typer.BadParameter(
            f"{text} s contradicts --instant, which seals whenever a transaction arrives",
            param_hint="--block-time",
        )
    return parse_block_time(BLOCK_TIME_DEFAULT if text is None else text)


def require_addresses(host_names: Sequence[str], origins: Sequence[str]) -> None:
    """Refuse a --host-name that no host has and an --allow-origin that is no web origin."""
    for name in host_names:
        if not _is_host_name(name):
            raise typer.BadParameter(f"{name!r} is no host name", param_hint="--host-name")
    for origin in origins:
        if origin != "*" and not _ORIGIN.fullmatch(origin):
            raise typer.BadParameter(
                f"{origin!r} is no origin: write scheme://host[:port] or *",
                param_hint="--allow-origin",
            )


def require_private(host: str, *, faults: bool, no_dev: bool = False) -> None:
    """Refuse --faults where the node is to be reached by others or to be without helpers."""
    from node.rpc.origin import is_loopback

    if faults and not is_loopback(host):
        raise typer.BadParameter(
            f"contradicts --host {host}: guarded methods are off beyond loopback",
            param_hint="--faults",
        )
    if faults and no_dev:
        raise typer.BadParameter(
            "contradicts --no-dev: faults are a development helper", param_hint="--faults"
        )


def _is_host_name(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return _HOST_NAME.fullmatch(name) is not None
    return True
