"""Values that more than one command reads, and how results are printed."""

import json
from fractions import Fraction
from typing import Any

import typer

from node.units import DurationMs

BLOCK_TIME_MIN_MS = 100
BLOCK_TIME_MAX_MS = 10_000
DEFAULT_RPC = "http://127.0.0.1:8545"


def parse_block_time(text: str) -> DurationMs:
    """Return seconds such as "1" or "0.25" in milliseconds; a usage error outside 0.1 to 10 s."""
    try:
        milliseconds = Fraction(text) * 1_000
    except (ValueError, ZeroDivisionError):
        raise _bad_block_time(f"{text!r} is no number of seconds") from None
    if milliseconds.denominator != 1:
        raise _bad_block_time(f"{text} s is no whole number of milliseconds")
    if not BLOCK_TIME_MIN_MS <= milliseconds <= BLOCK_TIME_MAX_MS:
        raise _bad_block_time(f"{text} s is not from 0.1 to 10 seconds")
    return DurationMs(milliseconds.numerator)


def _bad_block_time(problem: str) -> typer.BadParameter:
    return typer.BadParameter(problem, param_hint="--block-time")


def print_json(result: Any) -> None:
    """Print a result for programs: one JSON document."""
    typer.echo(json.dumps(result, indent=2))


def print_table(title: str, rows: list[tuple[str, str]]) -> None:
    """Print a result for people: names and values."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    table.add_column()
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    Console(highlight=False).print(table)
