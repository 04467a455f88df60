"""What the governance script's commands take alike."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_RPC = "http://127.0.0.1:8545"
POLL_S = 0.5

Rpc = Annotated[str, typer.Option("--rpc", help="The node's URL.")]
Reason = Annotated[str, typer.Option("--reason", help="Why; every signer reads it.")]
File = Annotated[Path, typer.Argument(help="An action's or a plan's file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
