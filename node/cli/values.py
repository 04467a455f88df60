"""Values that more than one command reads, and how results are printed."""

import json
import sys
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
    """Print names and values, never folded: aligned on a terminal, else `name<TAB>value` rows."""
    if not sys.stdout.isatty():
        for name, value in rows:
            typer.echo(f"{_one_line(name)}\t{_one_line(value)}")
        return
    width = max((len(name) for name, _ in rows), default=0)
    typer.echo(title)
    for name, value in rows:
        typer.echo(f"  {name:<{width}}  {_one_line(value)}".rstrip())


def print_columns(title: str, header: list[str], rows: list[list[str]]) -> None:
    """Print a table of several columns: aligned on a terminal, numbers right, else by TABs."""
    lines = [[_one_line(cell) for cell in row] for row in (header, *rows)]
    if not sys.stdout.isatty():
        for line in lines:
            typer.echo("\t".join(line))
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    typer.echo(title)
    for line in lines:
        first, *others = (
            f"{cell:{'>' if place else '<'}{width}}"
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        typer.echo("  ".join(["", first, *others]).rstrip())


def usdc(atoms: int | str, unit: str = " USDC") -> str:
    """Return atoms as USDC with six decimals, exactly."""
    value = int(atoms)
    whole, part = divmod(abs(value), 1_000_000)
    return f"{'-' if value < 0 else ''}{whole:,}.{part:06}{unit}"


def _one_line(text: str) -> str:
    return " ".join(text.split())
