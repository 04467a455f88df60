"""Which prices the command line chose, and where in a price file a chain stands.

The replay begins at the first head that the reporters see, and the beginning is kept in the data
directory, so that a restart goes on with the minute at which it stopped. Another file or another
speed begins anew.
"""

import json
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from node.chain.durable import write_durably
from node.devnet.price_file import read_price_file
from node.devnet.prices import FixedPrices, PriceSource, ReplayedPrices, SimulatedWalk
from node.errors import OperatorError, PriceFileError
from node.units import PPM, TimeMs

REPLAYED_SYMBOL = "BTC-USD"
"""The market whose prices a file holds; the others walk."""
WALK_SEED = 20260119
SPEED_MAX = 100_000
SIMULATED = "sim"
FIXED = "fixed"


class PriceChoice(NamedTuple):
    """What --prices and --speed say."""

    name: str
    """"sim", "fixed", or a file's absolute path."""
    speed_ppm: int
    """How much faster than block time a file is played, in millionths."""


def choose_prices(prices: str, speed: str | None) -> PriceChoice:
    """Check --prices and --speed; reads a file once, so that a bad one is refused at the start."""
    if prices in (SIMULATED, FIXED):
        if speed is not None:
            raise OperatorError(
                f"--speed {speed} needs a file to replay: add --prices FILE.csv, or leave it out"
            )
        return PriceChoice(prices, PPM)
    path = Path(prices).absolute()
    if not prices.endswith(".csv") and not path.exists():
        raise PriceFileError(f"--prices {prices}: is no price source: write sim, fixed or FILE.csv")
    read_price_file(path)
    return PriceChoice(str(path), parse_speed(speed or "1"))


def parse_speed(text: str) -> int:
    """Return a speed such as "60" or "0.5" in millionths."""
    try:
        speed = Fraction(text)
    except (ValueError, ZeroDivisionError):
        raise OperatorError(f"--speed {text}: is no number: write for example 60") from None
    speed_ppm = speed * PPM
    if not 1 <= speed_ppm <= SPEED_MAX * PPM or speed_ppm.denominator != 1:
        raise OperatorError(f"--speed {text}: must be from 0.000001 to {SPEED_MAX}")
    return speed_ppm.numerator


def describe_prices(choice: PriceChoice) -> str:
    """Return what the banner says about the prices; made-up ones are called simulated."""
    if choice.name == FIXED:
        return FixedPrices().label
    walk = SimulatedWalk(WALK_SEED).label
    if choice.name == SIMULATED:
        return walk
    speed = Fraction(choice.speed_ppm, PPM)
    return f"{Path(choice.name).name} for {REPLAYED_SYMBOL} at speed {speed}; others: {walk}"


def open_source(choice: PriceChoice, memory: Path, now_ms: TimeMs) -> PriceSource:
    """Return the chosen source; `memory` keeps where a replay began, `now_ms` is the head's."""
    if choice.name == FIXED:
        return FixedPrices()
    walk = SimulatedWalk(WALK_SEED)
    if choice.name == SIMULATED:
        return walk
    bars = read_price_file(Path(choice.name))
    start_ms = _remember_start(choice, memory, now_ms)
    return ReplayedPrices(REPLAYED_SYMBOL, bars, start_ms, choice.speed_ppm, walk)


def _remember_start(choice: PriceChoice, memory: Path, now_ms: TimeMs) -> TimeMs:
    if memory.exists():
        try:
            kept: dict[str, Any] = json.loads(memory.read_bytes())
            known, start_ms = PriceChoice(kept["file"], kept["speed_ppm"]), int(kept["start_ms"])
        except (ValueError, KeyError, TypeError):
            raise OperatorError(
                f"{memory}: is spoilt: delete it to begin the replay anew"
            ) from None
        if known == choice:
            return TimeMs(start_ms)
    begun = {"file": choice.name, "speed_ppm": choice.speed_ppm, "start_ms": now_ms}
    write_durably(memory, (json.dumps(begun, indent=2) + "\n").encode())
    return now_ms
