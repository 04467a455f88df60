"""Drills: an incident that happened to others, in a running devnet, and the operator's whole way.

Each starts a devnet with validators, traders and prices, causes the fault as it happened, shows who
notices and when, and goes the way out by JSON-RPC and the governance script with separate keys. It
prints a timeline, tables whose columns sum, and what was promised; the exit status says whether all
of it held.

    make drill ARGS=paradex                 python -m tools.drill dydx --prices minutes.csv --keep
"""

from __future__ import annotations

import signal
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node.errors import OperatorError
from tools.drill_dydx import Dydx
from tools.drill_frontend_loss import FrontendLoss
from tools.drill_paradex import Paradex
from tools.drill_venue_halt import VenueHalt
from tools.rehearsal import Prices, Rehearsal
from tools.telling import conclude, tell_whole


class Incident(StrEnum):
    """Which one."""

    PARADEX = "paradex"
    DYDX = "dydx"
    VENUE_HALT = "venue-halt"
    FRONTEND_LOSS = "frontend-loss"


DRILLS: dict[Incident, type[Rehearsal]] = {
    Incident.PARADEX: Paradex,
    Incident.DYDX: Dydx,
    Incident.VENUE_HALT: VenueHalt,
    Incident.FRONTEND_LOSS: FrontendLoss,
}


def main(
    incident: Annotated[Incident, typer.Argument(help="What happens.")],
    prices: Annotated[
        str, typer.Option(metavar="sim|fixed|FILE.csv", help="As `perpnode devnet` takes them.")
    ] = "sim",
    speed: Annotated[str | None, typer.Option(help="How much faster FILE.csv is replayed.")] = None,
    bots: Annotated[int, typer.Option(help="Traders that trade at random.")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the directory at the end.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No timeline; promises alone.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, at the end.")] = False,
) -> None:
    """Rehearse an incident; exit status 0 only if every promise held."""
    path = Path(tempfile.mkdtemp(prefix=f"perpnode-{incident}-"))
    try:
        drill = DRILLS[incident](
            path, bots=bots, prices=Prices(prices, speed), is_silent=quiet or as_json
        )
    except OperatorError as error:
        path.rmdir()
        print(f"drill: {error}", file=sys.stderr)
        sys.exit(1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # no devnet may outlive its drill
    failure = tell_whole(drill)
    conclude(drill, f"drill {incident}", failure, keeps=keep, as_json=as_json)


if __name__ == "__main__":
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(main)
    app()
