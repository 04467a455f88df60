"""`perpnode keys`: accounts' private keys in files that only their owner can read."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.values import print_json, print_table
from node.units import Address

keys = typer.Typer(help="Make and show keys.", no_args_is_help=True)


@keys.command()
def new(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make a private key, write it to a file and print its address."""
    from node.devnet.keyfile import make_key_file

    _print(file, make_key_file(file).address, as_json=as_json)


@keys.command()
def show(
    file: Annotated[Path, typer.Argument(help="A key file.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the address of a key file; never the key."""
    from node.devnet.keyfile import read_key_file

    _print(file, read_key_file(file).address, as_json=as_json)


def _print(file: Path, address: Address, *, as_json: bool) -> None:
    from node.crypto import checksum_address

    if as_json:
        print_json({"address": checksum_address(address), "file": str(file)})
    else:
        print_table("key", [("address", checksum_address(address)), ("file", str(file))])
