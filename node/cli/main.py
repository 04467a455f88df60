"""The `perpnode` command: every subcommand, and how a failure is told."""

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer
from typer.exceptions import TyperException

from node.cli.audit import audit
from node.cli.devnet import devnet
from node.cli.diff import diff
from node.cli.fork import fork
from node.cli.keys import keys
from node.cli.run import run
from node.cli.snapshot import snapshot
from node.cli.status import status
from node.cli.verify import verify
from node.errors import PerpnodeError

app = typer.Typer(
    name="perpnode",
    help="A local perpetual-futures appchain: run it, trade on it, break it, rewind it.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(devnet)
app.command()(run)
app.command()(status)
app.command()(verify)
app.command()(diff)
app.command()(audit)
app.add_typer(keys, name="keys")
app.add_typer(snapshot, name="snapshot")
app.add_typer(fork, name="fork")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"perpnode {version('perpnode')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    """Take what stands before the command."""


def _tell_usage(error: TyperException) -> int:
    """Say in one line what is wrong with the command line; without arguments show the help."""
    text = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        print(text, file=sys.stderr)
    else:
        print(f"perpnode: {' '.join(text.split())}", file=sys.stderr)
    return error.exit_code


def main() -> None:
    """Run the command line; one line on standard error for whatever an operator can mend."""
    try:
        sys.exit(app(prog_name="perpnode", standalone_mode=False))
    except PerpnodeError as error:
        print(f"perpnode: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(1)
    except TyperException as error:
        sys.exit(_tell_usage(error))
    except typer.Abort:
        print("perpnode: aborted", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever read our output is gone: nothing is left to say, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"perpnode: {where}{error.strerror or error}: check permissions and the free space",
            file=sys.stderr,
        )
        sys.exit(1)
