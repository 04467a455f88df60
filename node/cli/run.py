"""`perpnode run`: one node process."""

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
from node.config import LogFormat, NodeConfig, Role


def run(
    role: Annotated[Role, typer.Option(help="What the node does.")],
    genesis: Annotated[Path, typer.Option(help="The chain's genesis document.")],
    data_dir: Annotated[Path, typer.Option(help="Where the node keeps its database.")],
    port: Port = PORT_DEFAULT,
    block_time: BlockTime = None,
    instant: Instant = False,
    host: Host = HOST_DEFAULT,
    host_name: HostNames = None,
    allow_origin: AllowOrigins = None,
    key: Annotated[
        Path | None, typer.Option(help="The node's own key file; archives have none.")
    ] = None,
    peer: Annotated[
        list[str] | None,
        typer.Option(
            help="The sequencer's link, wss://HOST:PORT, and again a validator's; not for a "
            "sequencer."
        ),
    ] = None,
    peer_port: Annotated[
        int | None,
        typer.Option(min=0, max=65535, help="The link for peers. [a sequencer: --port + 1]"),
    ] = None,
    snapshot_interval: Annotated[
        int, typer.Option(min=1, help="Blocks between snapshots; validators should agree.")
    ] = 100,
    confirm_forks: Annotated[
        bool, typer.Option("--confirm-forks", help="Let a peer's fork plan wait for its operator.")
    ] = False,
    faults: HasFaults = False,
    accounts_file: Annotated[
        Path | None,
        typer.Option(help="Keys of development accounts to sign for, on a chain with dev: true."),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(help="How the log on standard error is written.")
    ] = LogFormat.TEXT,
    end_with_parent: Annotated[bool, typer.Option("--end-with-parent", hidden=True)] = False,
) -> None:
    """Run a node until SIGINT or SIGTERM."""
    block_time_ms = choose_block_time(block_time, instant=instant)
    require_addresses(host_name or (), allow_origin or ())
    require_private(host, faults=faults)
    config = NodeConfig(
        role=role,
        genesis_path=genesis,
        data_dir=data_dir,
        host=host,
        port=port,
        host_names=tuple(host_name or ()),
        allow_origins=tuple(allow_origin or ()),
        block_time_ms=block_time_ms,
        instant=instant,
        key_path=key,
        peer_urls=tuple(peer or ()),
        peer_port=peer_port,
        snapshot_interval=snapshot_interval,
        confirm_forks=confirm_forks,
        faults=faults,
        accounts_path=accounts_file,
        log_format=log_format,
    )
    if end_with_parent:
        from node.devnet.lifeline import end_with_parent as watch_parent

        watch_parent()
    from node.service import run_node

    run_node(config)
