"""`perpnode keys`: private keys of accounts and of nodes, in files only their owner can read."""

from pathlib import Path
from typing import Annotated

import typer

from node.cli.flags import AsJson
from node.cli.values import print_json, print_table
from node.units import Address

keys = typer.Typer(help="Make and show keys.", no_args_is_help=True)


@keys.command()
def new(
    file: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    node: Annotated[
        bool, typer.Option("--node", help="A sequencer's or validator's key, not an account's.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a private key, write it to a file and print its address or public key."""
    if node:
        from node.consensus.node_key import make_node_key

        _print_node(file, make_node_key(file).public_key, as_json=as_json)
        return
    from node.devnet.keyfile import make_key_file

    _print(file, make_key_file(file).address, as_json=as_json)


@keys.command()
def show(
    file: Annotated[Path, typer.Argument(help="A key file.")],
    node: Annotated[bool, typer.Option("--node", help="A node's key, not an account's.")] = False,
    as_json: AsJson = False,
) -> None:
    """Print the address or public key of a key file; never the private one."""
    if node:
        from node.consensus.node_key import read_node_key

        _require_regular(file)
        _print_node(file, read_node_key(file).public_key, as_json=as_json)
        return
    from node.devnet.keyfile import read_key_file

    _print(file, read_key_file(file).address, as_json=as_json)


def _require_regular(file: Path) -> None:
    """Refuse what would hang the reader or is no file; a missing one is the reader's to tell."""
    from node.errors import KeyFileError

    if file.exists() and not file.is_file():
        raise KeyFileError(f"{file}: can't be read (Not a regular file): name a key file")


def _print(file: Path, address: Address, *, as_json: bool) -> None:
    from node.crypto import checksum_address

    if as_json:
        print_json({"address": checksum_address(address), "file": str(file)})
    else:
        print_table("key", [("address", checksum_address(address)), ("file", str(file))])


def _print_node(file: Path, public_key: bytes, *, as_json: bool) -> None:
    shown = "0x" + public_key.hex()
    if as_json:
        print_json({"publicKey": shown, "file": str(file)})
    else:
        print_table("node key", [("public key", shown), ("file", str(file))])
