"""Price files: one-minute (or any) bars as CSV, read strictly.

The header is `timestamp,open,high,low,close,volume`; a timestamp is ISO 8601, UTC where it names no
zone, later than the line before; prices are positive decimals with low ≤ open, close ≤ high.
"""

import csv
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple, NoReturn

from node.chain.regular_file import open_regular
from node.errors import PriceFileError
from node.units import TimeMs

HEADER = ["timestamp", "open", "high", "low", "close", "volume"]
PRICE_DECIMALS = 8
PRICE_UNIT = 10**PRICE_DECIMALS
"""A price of a file is an integer of 1e-8 USD; further digits are dropped (floor)."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)


class Bar(NamedTuple):
    """One line of a price file; prices in 1e-8 USD. The volume is checked and dropped."""

    time_ms: TimeMs
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int


def read_price_file(path: Path) -> Sequence[Bar]:
    """Read a whole price file; PriceFileError names line, field and value."""
    bars: list[Bar] = []
    try:
        with TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            rows = csv.reader(file, strict=True)
            header = next(rows, None)
            if header != HEADER:
                shown = ",".join(header)[:60] if header else "nothing"
                _fail(path, 1, f"the header was {shown}", f"must be {','.join(HEADER)}")
            for row in rows:
                bar = _read_bar(path, rows.line_num, row)
                if bars and bar.time_ms <= bars[-1].time_ms:
                    _fail(path, rows.line_num, f"timestamp was {row[0]}", "must be after the last")
                bars.append(bar)
    except OSError as error:
        problem = f"can't be read ({error.strerror})"
        raise PriceFileError(f"{path}: {problem}: name a CSV file, sim or fixed") from None
    except UnicodeDecodeError as error:
        raise PriceFileError(
            f"{path}: is no UTF-8 at byte {error.start}: write it as CSV"
        ) from None
    except csv.Error as error:
        _fail(path, len(bars) + 2, f"is no CSV ({error})", "mend the line")
    if not bars:
        raise PriceFileError(f"{path}: has no bar below its header: name a file with prices")
    return bars


def _read_bar(path: Path, line: int, row: list[str]) -> Bar:
    if len(row) != len(HEADER):
        _fail(path, line, f"has {len(row)} fields", f"must have {len(HEADER)}: {','.join(HEADER)}")
    time_ms = _read_time(path, line, row[0])
    prices = [
        _read_price(path, line, name, text)
        for name, text in zip(HEADER[1:5], row[1:5], strict=True)
    ]
    if not _VOLUME.fullmatch(row[5]):
        _fail(path, line, f"volume was {row[5][:40]!r}", "must be a number from 0 on")
    bar = Bar(time_ms, *prices)
    for name, value in (("open", bar.open_e8), ("close", bar.close_e8)):
        if not bar.low_e8 <= value <= bar.high_e8:
            shown = row[HEADER.index(name)]
            _fail(path, line, f"{name} was {shown}", f"must be from low {row[3]} to high {row[2]}")
    return bar


def _read_time(path: Path, line: int, text: str) -> TimeMs:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        _fail(path, line, f"timestamp was {text[:40]!r}", "must be like 2022-01-31 23:59:00")
    if time.tzinfo is None:
        time = time.replace(tzinfo=UTC)
    return TimeMs((time - _EPOCH) // _MS)


_PRICE = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,40}))?", re.ASCII)
_VOLUME = re.compile(r"[0-9]{1,40}(\.[0-9]{1,40})?([eE][-+]?[0-9]{1,3})?", re.ASCII)


def _read_price(path: Path, line: int, name: str, text: str) -> int:
    match = _PRICE.fullmatch(text)
    if match is None:
        _fail(path, line, f"{name} was {text[:40]!r}", "must be a decimal number such as 46377.5")
    fraction = (match[2] or "")[:PRICE_DECIMALS].ljust(PRICE_DECIMALS, "0")
    price = int(match[1] + fraction)
    if price == 0:
        _fail(path, line, f"{name} was {text[:40]}", "must be above 0")
    return price


def _fail(path: Path, line: int, problem: str, remedy: str) -> NoReturn:
    raise PriceFileError(f"{path}, line {line}: {problem}: {remedy}")
