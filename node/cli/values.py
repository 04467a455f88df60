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


def _one_line(text: str) -> str:
    return " ".join(text.split())
