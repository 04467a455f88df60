"""What an auditor hands over: files that a second auditor gets byte for byte.

    accounts.csv    a row for each account that differs and each system account, and their total
    evidence.csv    block, transaction and event, before and after, for each account
    refunds.csv     who is to get how much, as a council signs it; absent if nobody is
    report.json     the range, the corrections, both state roots, the totals, the files' hashes

Nothing in them comes from the host: no time, no path. Amounts are atoms, in JSON decimal strings.
"""

from __future__ import annotations

import csv
from collections.abc import Collection, Iterable, Sequence
from hashlib import sha256
from io import StringIO
from pathlib import Path
from typing import Any, Final, NamedTuple

from node.audit.corrections import hash_corrections, render_corrections
from node.audit.statement import Audit, Row
from node.chain.blockchain import Blockchain
from node.chain.durable import write_durably
from node.crypto import checksum_address
from node.governance.refund import Refund, compute_root, render_refunds
from node.snapshot.manifest import canonical_json
from node.units import Address, Hash32, Quote

FORMAT: Final = 1
REPORT_FILE: Final = "report.json"
ACCOUNTS_FILE: Final = "accounts.csv"
EVIDENCE_FILE: Final = "evidence.csv"
REFUNDS_FILE: Final = "refunds.csv"
COLUMNS: Final = (
    "equity_was",
    "equity_should",
    "withdrawn_was",
    "withdrawn_should",
    "loss",
    "funding",
    "liquidations_undone",
    "liquidations_added",
    "deleveragings_undone",
    "deleveragings_added",
    "fills_undone",
    "fills_added",
    "refund",
)
"""The numbers of an account's row."""


class Choice(NamedTuple):
    """Whose loss is refunded."""

    only_liquidated: bool = False
    """Those alone who were liquidated or deleveraged as they should not have been."""
    minimum: Quote = Quote(1)
    """The least loss, in atoms."""
    excluded: frozenset[Address] = frozenset()


EVERYBODY: Final = Choice()


class Table(NamedTuple):
    """All accounts as rows of numbers, one for each of COLUMNS; they sum to the total."""

    rows: tuple[tuple[str, str, tuple[int, ...]], ...]
    """(account, name, numbers)"""
    total: tuple[int, ...]


def choose_refunds(audit: Audit, choice: Choice = EVERYBODY) -> tuple[Refund, ...]:
    """Return what is to be refunded, by account: a person's whole loss, or nothing."""
    chosen = [row for row in audit.statement.rows if is_chosen(row, choice)]
    return tuple(
        Refund(index, row.account, row.loss)
        for index, row in enumerate(chosen)
        if row.account is not None
    )


def is_chosen(row: Row, choice: Choice) -> bool:
    """Tell whether an account's loss is refunded."""
    was_closed = row.liquidations.undone or row.deleveragings.undone
    return (
        row.is_person
        and row.loss >= max(choice.minimum, 1)
        and row.account not in choice.excluded
        and bool(was_closed or not choice.only_liquidated)
    )


def make_table(audit: Audit, refunds: Sequence[Refund]) -> Table:
    """Return the rows that differ, the system's, and one for all others."""
    amounts = {refund.account: refund.amount for refund in refunds}
    rows = []
    for row in audit.statement.rows:
        account = "" if row.account is None else checksum_address(row.account)
        refund = 0 if row.account is None else amounts.get(row.account, 0)
        rows.append((account, row.name, _numbers_of(row, refund)))
    count, equity = audit.statement.others, audit.statement.others_equity
    if count:
        same = (equity, equity, *[0] * (len(COLUMNS) - 2))
        rows.append(("", f"{count} others without a difference", same))
    total = tuple(map(sum, zip(*(numbers for _, _, numbers in rows), strict=True)))
    return Table(tuple(rows), total)


def render_report(
    blockchain: Blockchain, audit: Audit, refunds: Sequence[Refund], choice: Choice
) -> dict[str, Any]:
    """Return the report's document, which names the other files by their hashes."""
    last, table = audit.last, make_table(audit, refunds)
    return {
        "format": FORMAT,
        "chain_id": blockchain.genesis.chain_id,
        "genesis_hash": _hex(blockchain.genesis_hash),
        "range": {
            "base": {
                "height": audit.base.height,
                "state_root": _hex(audit.base.state_root),
            },
            "first": audit.first,
            "last": last.header.number,
            "last_hash": _hex(last.hash),
            "fork_id": last.extension.fork_id,
        },
        "corrections": render_corrections(audit.corrections),
        "corrections_hash": _hex(hash_corrections(audit.corrections)),
        "state_root_was": _hex(last.header.state_root),
        "state_root_should": _hex(audit.state_root),
        "first_difference": audit.first_difference,
        "marks": {str(market): mark for market, mark in audit.statement.marks.items()},
        "totals": {name: str(value) for name, value in zip(COLUMNS, table.total, strict=True)},
        "refunds": {
            "only_liquidated": int(choice.only_liquidated),
            "minimum": str(choice.minimum),
            "excluded": sorted(map(checksum_address, choice.excluded)),
            "count": len(refunds),
            "total": str(sum(refund.amount for refund in refunds)),
            "root": _hex(compute_root(refunds)) if refunds else "",
        },
        "files": {
            name: "0x" + sha256(data).hexdigest()
            for name, data in render_files(audit, refunds).items()
        },
    }


def render_files(audit: Audit, refunds: Sequence[Refund]) -> dict[str, bytes]:
    """Return the contents of the files beside the report."""
    table = make_table(audit, refunds)
    total = ("", "total", table.total)
    accounts = [
        [account, name, *map(str, numbers)] for account, name, numbers in (*table.rows, total)
    ]
    files = {
        ACCOUNTS_FILE: _render_csv(["account", "name", *COLUMNS], accounts),
        EVIDENCE_FILE: _render_csv(EVIDENCE_COLUMNS, list_evidence(audit)),
    }
    if refunds:
        files[REFUNDS_FILE] = render_refunds(refunds).encode()
    return files


EVIDENCE_COLUMNS: Final = ("account", "block", "transaction", "kind", "market", "was", "should")


def list_evidence(audit: Audit, accounts: Collection[Address] | None = None) -> list[list[str]]:
    """Return the evidence as rows of text; of these accounts alone if they are named."""
    return [
        [
            "" if each.account is None else checksum_address(each.account),
            str(each.height),
            "" if each.tx_hash is None else _hex(each.tx_hash),
            each.kind,
            str(each.market or ""),
            each.was,
            each.should,
        ]
        for each in audit.evidence
        if accounts is None or each.account in accounts
    ]


def write_report(directory: Path, report: dict[str, Any], files: dict[str, bytes]) -> None:
    """Write the files, the report last: one that is there is whole."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in (REPORT_FILE, REFUNDS_FILE):  # of an earlier audit
        (directory / name).unlink(missing_ok=True)
    for name, data in files.items():
        write_durably(directory / name, data)
    write_durably(directory / REPORT_FILE, canonical_json(report))


def _numbers_of(row: Row, refund: int) -> tuple[int, ...]:
    return (
        row.equity_was,
        row.equity_should,
        row.withdrawn_was,
        row.withdrawn_should,
        row.loss,
        row.funding,
        *row.liquidations,
        *row.deleveragings,
        *row.fills,
        refund,
    )


def _render_csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()


def _hex(data: Hash32) -> str:
    return "0x" + data.hex()
