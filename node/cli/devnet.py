"""`perpnode devnet`: a whole local chain in one command."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.flags import (
    HOST_DEFAULT,
    PORT_DEFAULT,
    AllowOrigins,
    BlockTime,
    HasFaults,
    Host,
    HostNames,
    Instant,
    Port,
    choose_block_time,
    require_addresses,
    require_private,
)

PEOPLE_MAX = 1_000
"""Of each kind: beyond this the banner and the start take too long."""
VALIDATORS_MAX = 16
"""Each is a process of its own."""


def devnet(
    data_dir: Annotated[Path, typer.Option(help="Where the chain lives.")] = Path("devnet-data"),
    port: Port = PORT_DEFAULT,
    validators: Annotated[
        int | None,
        typer.Option(min=0, max=VALIDATORS_MAX, help="Processes that recompute. [4]"),
    ] = None,
    block_time: BlockTime = None,
    accounts: Annotated[
        int | None, typer.Option(min=0, max=PEOPLE_MAX, help="Funded accounts. [genesis: 10]")
    ] = None,
    reporters: Annotated[
        int | None, typer.Option(min=0, max=PEOPLE_MAX, help="Price reporters. [genesis: 3]")
    ] = None,
    bots: Annotated[
        int | None, typer.Option(min=0, max=PEOPLE_MAX, help="Traders. [genesis: 4]")
    ] = None,
    prices: Annotated[str, typer.Option(metavar="sim|fixed|FILE.csv", help="Prices.")] = "sim",
    speed: Annotated[
        str | None, typer.Option(help="How much faster than block time to replay FILE.csv.")
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete the chain in the data directory first.")
    ] = False,
    genesis: Annotated[
        Path | None, typer.Option(help="The genesis document to start from.")
    ] = None,
    no_dev: Annotated[
        bool, typer.Option("--no-dev", help="Without development helpers such as the faucet.")
    ] = False,
    instant: Instant = False,
    snapshot_interval: Annotated[int, typer.Option(min=1, help="Blocks between snapshots.")] = 100,
    faults: HasFaults = False,
    host: Host = HOST_DEFAULT,
    host_name: HostNames = None,
    allow_origin: AllowOrigins = None,
) -> None:
    """Run a whole chain with traders and prices; the same command resumes it."""
    from node.devnet.replay import choose_prices
    from node.devnet.supervisor import DevnetConfig, run_devnet
    from node.devnet.template import Wishes

    block_time_ms = choose_block_time(block_time, instant=instant)
    require_addresses(host_name or (), allow_origin or ())
    require_private(host, faults=faults, no_dev=no_dev)
    run_devnet(
        DevnetConfig(
            data_dir=data_dir,
            wishes=Wishes(
                genesis, accounts, reporters, bots, False if no_dev else None, validators
            ),
            fresh=fresh,
            prices=choose_prices(prices, speed),
            host=host,
            port=port,
            host_names=tuple(host_name or ()),
            allowed_origins=tuple(allow_origin or ()),
            block_time_ms=block_time_ms,
            instant=instant,
            faults=faults,
            snapshot_interval=snapshot_interval,
        )
    )
