"""`perpnode snapshot`: make, list, verify and restore snapshots of a stopped node."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.flags import AsJson, StoppedDataDir, StoppedGenesis
from node.cli.values import print_json, print_table

if TYPE_CHECKING:
    from node.snapshot.verify import Verdict

snapshot = typer.Typer(help="Make, list, verify and restore snapshots.", no_args_is_help=True)


@snapshot.command()
def create(
    data_dir: StoppedDataDir,
    height: Annotated[
        int | None, typer.Option(min=1, help="Of which block. [the head's state]")
    ] = None,
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Write a snapshot of a block's state; a running validator makes its own."""
    from node.errors import OperatorError
    from node.snapshot.export import ExportJob
    from node.snapshot.manifest import manifest_hash
    from node.snapshot.offline import choose_height, open_chain, open_directory

    directory = open_directory(data_dir)
    with open_chain(data_dir, genesis) as blockchain:
        wanted = choose_height(blockchain, height)
        block = blockchain.block_at(wanted)
        if block is None:
            raise OperatorError(f"block {wanted} is not kept here: choose a higher --height")
        manifest = ExportJob(blockchain, block, directory).finish()
    result = {
        "name": manifest.name,
        "path": str(directory.path / manifest.name),
        "manifestHash": "0x" + manifest_hash(manifest).hex(),
        "height": manifest.height,
        "stateRoot": "0x" + manifest.state_root.hex(),
        "chunks": len(manifest.chunks),
        "bytes": manifest.size,
    }
    _print("snapshot", result, as_json=as_json)


@snapshot.command(name="list")
def list_snapshots(data_dir: StoppedDataDir, as_json: AsJson = False) -> None:
    """List a node's snapshots, oldest first, and who signed them."""
    from node.errors import OperatorError
    from node.snapshot.manifest import manifest_hash
    from node.snapshot.offline import open_directory
    from node.snapshot.signatures import list_signers, signed_power

    if not data_dir.is_dir():
        raise OperatorError(f"{data_dir} is no directory: name a node's --data-dir")
    directory = open_directory(data_dir)
    rows: list[dict[str, Any]] = []
    for each in directory.ids():
        manifest, signatures = directory.manifest(each), directory.signatures(each)
        row: dict[str, Any] = {"name": each.name, "forkId": each.fork_id, "height": each.height}
        if manifest is not None:
            signers = list_signers(signatures, manifest)
            total = sum(signer.power for signer in signers)
            row["manifestHash"] = "0x" + manifest_hash(manifest).hex()
            row["signedPower"], row["totalPower"] = signed_power(signers), total
        elif signatures is not None:
            row["manifestHash"] = "0x" + signatures.manifest_hash.hex()
            row["signatures"] = len(signatures.by_validator)
        rows.append(row)
    if as_json:
        print_json(rows)
        return
    if not rows:
        typer.echo("no snapshots yet")
        return
    print_table(f"snapshots in {directory.path}", [(row["name"], _describe(row)) for row in rows])


@snapshot.command()
def verify(
    path: Annotated[Path, typer.Argument(help="A snapshot's directory.")],
    manifest_hash: Annotated[
        str | None, typer.Option(help="The hash that it must have, as somebody published it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Check every file of a snapshot, rebuild its root, and say who signed."""
    from node.snapshot.manifest import from_hex
    from node.snapshot.verify import verify_snapshot
    from node.units import Hash32

    expected = None
    if manifest_hash is not None:
        try:
            expected = Hash32(from_hex(manifest_hash, 32))
        except ValueError as error:
            raise typer.BadParameter(str(error)) from None
    verdict = verify_snapshot(path, expected)
    if as_json:
        print_json(_verdict_json(verdict))
    else:
        for title, rows in _verdict_tables(verdict):
            print_table(title, rows)
    if not verdict.good:
        wrong = next((file for file in verdict.files if file.expected), None)
        typer.echo(
            f"perpnode: snapshot {path}: {wrong.file}: {wrong.value}, expected {wrong.expected}"
            if wrong
            else f"perpnode: snapshot {path}: power {verdict.power} of {verdict.power_total} "
            "signed, more than 2/3 is needed",
            err=True,
        )
        raise typer.Exit(1)


@snapshot.command()
def restore(
    path: Annotated[Path, typer.Argument(help="A snapshot's directory.")],
    data_dir: Annotated[Path, typer.Option(help="A new or empty data directory.")],
    genesis: Annotated[Path, typer.Option(help="The chain's genesis document.")],
    as_json: AsJson = False,
) -> None:
    """Make a data directory of a certified snapshot; the same command again finishes it."""
    from node.chain.genesis import read_genesis
    from node.snapshot.restore import restore_snapshot

    manifest = restore_snapshot(path, data_dir, read_genesis(genesis))
    result = {
        "dataDir": str(data_dir),
        "height": manifest.height,
        "blockHash": "0x" + manifest.block_hash.hex(),
        "stateRoot": "0x" + manifest.state_root.hex(),
        "available": f"block {manifest.height} whole, the headers before it, all that follows",
    }
    _print("restored", result, as_json=as_json)


def _print(title: str, result: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(result)
    else:
        print_table(title, [(name, str(value)) for name, value in result.items()])


def _describe(row: dict[str, Any]) -> str:
    if "signedPower" in row:
        power = f"{row['signedPower']} of {row['totalPower']} power signed"
    elif "signatures" in row:
        power = f"{row['signatures']} signatures, files on the validators"
    else:
        power = "empty"
    return f"{row.get('manifestHash', '')} {power}"


def _verdict_json(verdict: "Verdict") -> dict[str, Any]:
    return {
        "ok": verdict.good,
        "certified": verdict.certified,
        "signedPower": verdict.power,
        "totalPower": verdict.power_total,
        "files": [each._asdict() for each in verdict.files],
        "signers": [
            {
                "validator": each.validator,
                "publicKey": "0x" + each.public_key.hex(),
                "power": each.power,
                "state": each.state,
            }
            for each in verdict.signers
        ],
    }


def _verdict_tables(verdict: "Verdict") -> list[tuple[str, list[tuple[str, str]]]]:
    files = [
        (
            each.file,
            f"{each.what}: {each.value}" + (f"; EXPECTED {each.expected}" if each.expected else ""),
        )
        for each in verdict.files
    ]
    signers = [
        (f"validator {each.validator}", f"{each.state}, power {each.power}")
        for each in verdict.signers
    ]
    power = f"{verdict.power} of {verdict.power_total}"
    signers.append(("certified", f"{'yes' if verdict.certified else 'no'}, power {power}"))
    return [("files", files), ("signatures", signers)]
