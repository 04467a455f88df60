"""`perpnode verify`: everything in a stopped node's database, executed again and compared."""

from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.flags import AsJson, StoppedDataDir, StoppedGenesis
from node.cli.progress import show_progress
from node.cli.values import print_json, print_table


def verify(
    data_dir: StoppedDataDir,
    from_height: Annotated[
        int | None, typer.Option("--from", min=1, help="The first block to execute. [all]")
    ] = None,
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Execute every block again, from its parent's state, and compare all that is on disk."""
    from node.errors import DatabaseMismatch

    try:
        found = _verify(data_dir, genesis, from_height)
    except DatabaseMismatch as difference:
        if as_json:
            print_json({"ok": False, **vars(difference), "text": str(difference)})
        raise
    if as_json:
        print_json({"ok": True, **found})
    else:
        print_table(f"verified {data_dir}", _rows(found))


def _verify(data_dir: Path, genesis_path: Path | None, first: int | None) -> dict[str, Any]:
    from node.consensus.verification import verify_database
    from node.service import open_stopped
    from node.units import Height

    genesis, database = open_stopped(data_dir, genesis_path)
    try:
        with show_progress("executing block") as on_progress:
            found = verify_database(
                genesis,
                database,
                from_height=None if first is None else Height(first),
                on_progress=on_progress,
            )
    finally:
        database.close()
    return {
        name: "0x" + value.hex() if isinstance(value, bytes) else value
        for name, value in found._asdict().items()
    }


def _rows(found: dict[str, Any]) -> list[tuple[str, str]]:
    first, last = found["first"], found["last"]
    executed = f"{first} to {last}, each executed from its parent's state"
    return [
        (
            "blocks",
            executed if first <= last else f"none to execute: the first state is block {last}'s",
        ),
        ("head", found["head_hash"]),
        ("state root", found["state_root"]),
        ("transactions", f"{found['transactions']:,}, with senders, receipts and places"),
        ("transitions", f"{found['transitions']:,}"),
        ("proposals", f"{found['signatures']:,} signed by the sequencer"),
        ("certificates", f"{found['certificates']:,}"),
        ("disputes", f"{found['disputes']:,}"),
        ("full sweeps", f"{found['sweeps']:,} over the whole state"),
        ("flat table", f"{found['records']:,} records as in the trie"),
    ]
