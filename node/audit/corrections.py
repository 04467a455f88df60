"""What an auditor corrects: one strict JSON file, and what it makes of a block's inputs.

    {
      "format": 1,
      "prices": [{"market": 1, "first": 120, "last": 130, "ticks": 954000},
                 {"market": 1, "first": 131, "last": 140, "file": "prices.csv"}],
      "funding": [{"market": 1, "first": 43, "last": 43, "index": "18446200431"},
                  {"market": 1, "first": 40, "last": 60, "rate_ppb": 100000}],
      "left_out": ["0x…"]
    }

`prices`: whoever reported a price of the market in these blocks reported this one. A CSV file,
beside the document, has the header `block,ticks` or `time_ms,ticks`; a line holds until the next
one, and time is that of the observation. A block without reports stays without.
`funding`: each of these blocks begins with this index (1e-9 atoms per lot) or this rate (ppb per
8 h), whatever the block before left: what FundingAccrued and FundingRateSet say is replaced.
`left_out`: transactions, and what the council signed, by the hash in the block. The sender's nonce
is used up by an empty transaction in its place.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from io import StringIO
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.chain.block import Block
from node.chain.development import Call, decode_operation, encode_operation, is_operation
from node.chain.document import (
    check_type,
    decode_json,
    fail,
    read_fields,
    require_range,
)
from node.chain.execution import transaction_gas
from node.chain.regular_file import read_regular
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.crypto import keccak256
from node.errors import CorrectionsError, GenesisError
from node.perp.parameters import MAGNITUDE_MAX
from node.snapshot.manifest import canonical_json
from node.system.classes import ActionClass, classify
from node.system.contracts import ORACLE, contract
from node.units import Address, FundingIndex, Hash32, Height, MarketId, RatePpb, Ticks, TimeMs, Wei

FORMAT: Final = 1
INDEX_MAX: Final = 2**120
"""Of a funding index, either sign."""
_REPORT: Final = contract("Oracle").functions["reportPrice"]


class Span(NamedTuple):
    """Blocks of a market in which something is corrected."""

    market: MarketId
    first: Height
    last: Height
    """Inclusive."""


class PriceCorrection(NamedTuple):
    """What should have been reported: a price from each start on, until the next one."""

    span: Span
    by_time: bool
    """Whether starts are milliseconds of observation, not heights."""
    starts: tuple[int, ...]
    """Ascending; before the first, reports stay as they are."""
    prices: tuple[Ticks, ...]


class FundingCorrection(NamedTuple):
    """The number with which each of these blocks should have begun."""

    span: Span
    index: FundingIndex | None  # type: ignore[assignment]  # hides tuple.index
    """None: the rate is corrected."""
    rate_ppb: RatePpb | None


class Corrections(NamedTuple):
    """Everything that is corrected."""

    prices: tuple[PriceCorrection, ...] = ()
    funding: tuple[FundingCorrection, ...] = ()
    left_out: frozenset[Hash32] = frozenset()


NONE: Final = Corrections()

# --- a block's inputs -----------------------------------------------------------------------------


def correct_block(block: Block, corrections: Corrections) -> Block:
    """Return the block with the body that it should have had, in executed order (O8).

    What else the block says of itself is left as it is: only inputs are taken from it.
    """
    transactions = [
        corrected
        for tx in block.transactions
        if (corrected := _correct(tx, block.header.number, corrections)) is not None
    ]
    return block._replace(transactions=tuple(_sort_by_class(transactions)))


def find_price(
    corrections: Corrections, market: MarketId, height: Height, observed_ms: TimeMs
) -> Ticks | None:
    """Return what should have been reported of a market in a block; None: what was."""
    for each in corrections.prices:
        if each.span.market == market and each.span.first <= height <= each.span.last:
            row = bisect_right(each.starts, observed_ms if each.by_time else height)
            return each.prices[row - 1] if row else None
    return None


def find_reported(block: Block) -> set[MarketId]:
    """Return the markets of which a block has reports."""
    reports = (tx.data for tx in block.transactions if _is_report(tx))
    return {MarketId(market) for data in reports if (market := _market_of(data))}


def require_within(corrections: Corrections, first: Height, last: Height) -> None:
    """Refuse what corrects a block outside of a range."""
    for name, items in (("prices", corrections.prices), ("funding", corrections.funding)):
        for each in items:
            if not first <= each.span.first <= each.span.last <= last:
                raise CorrectionsError(
                    f"{name} of market {each.span.market}, blocks {each.span.first} to "
                    f"{each.span.last}: the range is {first} to {last}, let it hold them"
                )


def find_funding(corrections: Corrections, height: Height) -> Sequence[FundingCorrection]:
    """Return the numbers with which a block should have begun."""
    return [each for each in corrections.funding if each.span.first <= height <= each.span.last]


def _correct(tx: Transaction, height: Height, corrections: Corrections) -> Transaction | None:
    if tx.hash in corrections.left_out:
        return _empty(tx)
    if corrections.prices and _is_report(tx):
        return _correct_report(tx, height, corrections)
    return tx


def _empty(tx: Transaction) -> Transaction | None:
    """Return what is left of a transaction: its nonce; of what the council signed, nothing."""
    if tx.sender != SYSTEM_ACCOUNT:
        return tx._replace(to=tx.sender, value=Wei(0), data=b"")
    operation = decode_operation(tx.data) if is_operation(tx.data) else None
    if not isinstance(operation, Call):
        return None
    nothing = operation._replace(to=operation.sender, value=Wei(0), data=b"")
    return tx._replace(data=encode_operation(nothing))


def _is_report(tx: Transaction) -> bool:
    return tx.to == ORACLE and tx.data[:4] == _REPORT.selector


def _market_of(data: bytes) -> int:
    """Return the market of a report; 0 if it is malformed."""
    return int.from_bytes(data[4:36], "big")


def _correct_report(tx: Transaction, height: Height, corrections: Corrections) -> Transaction:
    try:
        market, _, observed_ms, fork_id = _REPORT.inputs.decode(tx.data, 4)
    except ValueError:
        return tx  # it reverts
    price = find_price(corrections, market, height, observed_ms)
    if price is None:
        return tx
    corrected = tx._replace(data=_REPORT.encode_call(market, price, observed_ms, fork_id))
    # The price's digits have a price of their own: that must not be what stops a report.
    return corrected._replace(gas_limit=max(tx.gas_limit, transaction_gas(corrected)))


def _sort_by_class(transactions: Sequence[Transaction]) -> list[Transaction]:
    """Return a body in order of effective classes (O8): one that was emptied has another class.

    Within a class nothing changes its place. A body that was in order stays as it is.
    """
    latest: dict[Address, ActionClass] = {}

    def place(tx: Transaction) -> int:
        if tx.sender == SYSTEM_ACCOUNT:  # is sorted among its own, wherever it stands
            return -1
        own = classify(tx.to, tx.data)
        effective = latest[tx.sender] = max(own, latest.get(tx.sender, own))
        return effective

    return sorted(transactions, key=place)  # calls it once for each, in their order


# --- the document ---------------------------------------------------------------------------------


def read_corrections(path: Path) -> Corrections:
    """Read a file of corrections; CorrectionsError names file, field, value and remedy."""
    try:
        return parse_corrections(_read(path), path.parent)
    except GenesisError as refusal:
        raise CorrectionsError(f"{path}: {refusal}") from None


def parse_corrections(data: bytes, directory: Path) -> Corrections:
    """Return what a document says; GenesisError kinds refuse it. CSV files lie in `directory`."""
    document = check_type(decode_json(data), dict, "the document", "an object")
    for name in document:
        if name not in ("format", "prices", "funding", "left_out"):
            fail("the document", f"has the unknown field {name!r}", f"remove it, see {_WHERE}")
    written = check_type(document.get("format"), int, "format", "an integer")
    require_range("format", written, FORMAT, FORMAT)
    corrections = Corrections(
        tuple(_read_price(item, where, directory) for item, where in _items(document, "prices")),
        tuple(_read_funding(item, where) for item, where in _items(document, "funding")),
        frozenset(_read_hash(item, where) for item, where in _items(document, "left_out")),
    )
    _require_apart("prices", [each.span for each in corrections.prices])
    for name in ("index", "rate_ppb"):
        spans = [each.span for each in corrections.funding if getattr(each, name) is not None]
        _require_apart(f"funding {name}", spans)
    return corrections


def hash_corrections(corrections: Corrections) -> Hash32:
    """Return what stands for the corrections wherever they were read from, files included."""
    return keccak256(canonical_json(render_corrections(corrections)))


def render_corrections(corrections: Corrections) -> dict[str, Any]:
    """Return the corrections as JSON, each in one form only."""
    return {
        "format": FORMAT,
        "prices": [
            {
                **each.span._asdict(),
                "time_ms" if each.by_time else "block": list(each.starts),
                "ticks": list(each.prices),
            }
            for each in sorted(corrections.prices)
        ],
        "funding": [
            {**each.span._asdict(), **_render_number(each)}
            for each in sorted(corrections.funding, key=lambda each: (each.span, each.index or 0))
        ],
        "left_out": [f"0x{each.hex()}" for each in sorted(corrections.left_out)],
    }


def _render_number(correction: FundingCorrection) -> dict[str, Any]:
    if correction.index is not None:
        return {"index": str(correction.index)}
    return {"rate_ppb": correction.rate_ppb}


_WHERE: Final = "perpnode audit --help"


def _items(document: Mapping[str, Any], name: str) -> list[tuple[Any, str]]:
    items = check_type(document.get(name, []), list, name, "a list")
    return [(item, f"{name}[{index}]") for index, item in enumerate(items)]


def _read_span(item: Any, where: str, number: str) -> Span:
    """Return the blocks that an item is about; it has one more field beside them."""
    kinds = {"market": MarketId, "first": Height, "last": Height}
    known = {name: value for name, value in item.items() if name != number}
    span = Span(**read_fields(known, kinds, where))
    require_range(f"{where}.market", span.market, 1, 2**32 - 1)
    require_range(f"{where}.first", span.first, 1, MAGNITUDE_MAX)
    require_range(f"{where}.last", span.last, span.first, MAGNITUDE_MAX)
    return span


def _one_of(item: Any, names: tuple[str, str], where: str) -> str:
    fields = check_type(item, dict, where, "an object")
    given = [name for name in names if name in fields]
    if len(given) != 1:
        fail(where, f"has {' and '.join(given) or 'neither'}", f"give one of {', '.join(names)}")
    return given[0]


def _read_price(item: Any, where: str, directory: Path) -> PriceCorrection:
    number = _one_of(item, ("ticks", "file"), where)
    span = _read_span(item, where, number)
    if number == "ticks":
        ticks = check_type(item["ticks"], int, f"{where}.ticks", "an integer")
        require_range(f"{where}.ticks", ticks, 1, MAGNITUDE_MAX)
        return PriceCorrection(span, by_time=False, starts=(span.first,), prices=(Ticks(ticks),))
    name = check_type(item["file"], str, f"{where}.file", "a file's name")
    return _read_prices(span, directory / name)


def _read_prices(span: Span, path: Path) -> PriceCorrection:
    try:
        text = _read(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        fail(f"{path}", f"is no UTF-8 at byte {error.start}", "write it as CSV")
    starts: list[int] = []
    prices: list[Ticks] = []
    by_time = False
    for line, row in enumerate(csv.reader(StringIO(text)), 1):
        where = f"{path}, line {line}"
        if line == 1:
            if row not in (["block", "ticks"], ["time_ms", "ticks"]):
                fail(where, f"was {','.join(row)[:60]}", "must be block,ticks or time_ms,ticks")
            by_time = row[0] == "time_ms"
            continue
        if len(row) != 2 or not all(re.fullmatch(r"[0-9]{1,16}", each) for each in row):
            fail(where, f"was {','.join(row)[:60]}", "must be two whole numbers")
        start, ticks = map(int, row)
        if starts and start <= starts[-1]:
            fail(where, f"begins at {start}", f"must be after the line before it, {starts[-1]}")
        require_range(f"{where}, ticks", ticks, 1, MAGNITUDE_MAX)
        starts.append(start)
        prices.append(Ticks(ticks))
    if not starts:
        fail(f"{path}", "has no price below its header", "name a file with prices")
    return PriceCorrection(span, by_time, tuple(starts), tuple(prices))


def _read_funding(item: Any, where: str) -> FundingCorrection:
    number = _one_of(item, ("index", "rate_ppb"), where)
    span = _read_span(item, where, number)
    if number == "rate_ppb":
        rate = check_type(item["rate_ppb"], int, f"{where}.rate_ppb", "an integer")
        require_range(f"{where}.rate_ppb", rate, -MAGNITUDE_MAX, MAGNITUDE_MAX)
        return FundingCorrection(span, None, RatePpb(rate))
    text = check_type(item["index"], str, f"{where}.index", 'a decimal string such as "-12"')
    if not re.fullmatch(r"0|-?[1-9][0-9]{0,36}", text):
        fail(f"{where}.index", f"was {text[:60]!r}", "digits, with a - before them if negative")
    require_range(f"{where}.index", int(text), -INDEX_MAX, INDEX_MAX)
    return FundingCorrection(span, FundingIndex(int(text)), None)


def _read_hash(item: Any, where: str) -> Hash32:
    text = check_type(item, str, where, "a transaction's hash")
    if not re.fullmatch(r"0x[0-9a-fA-F]{64}", text):
        fail(where, f"was {text[:80]!r}", "a hash is 0x and 64 hex digits")
    return Hash32(bytes.fromhex(text[2:]))


def _require_apart(name: str, spans: Sequence[Span]) -> None:
    """Refuse two corrections of one number in one block."""
    ordered = sorted(spans)
    for before, after in pairwise(ordered):
        if before.market == after.market and after.first <= before.last:
            fail(
                name,
                f"of market {after.market} are corrected twice in block {after.first}",
                "let the ranges not overlap",
            )


def _read(path: Path) -> bytes:
    try:
        return read_regular(path)
    except OSError as error:
        raise CorrectionsError(
            f"{path}: can't be read ({error.strerror}): name a file of corrections"
        ) from None
