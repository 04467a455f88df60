"""`perpnode audit`: what a range of blocks should have done, by account, and the refunds."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node.cli.blocks import BLOCK_HELP, find_block, parse_block
from node.cli.flags import AsJson, StoppedDataDir, StoppedGenesis
from node.cli.progress import show_progress
from node.cli.values import print_columns, print_json, print_table, usdc

if TYPE_CHECKING:
    from node.audit.report import Choice
    from node.audit.statement import Audit
    from node.chain.block import Block
    from node.chain.blockchain import Blockchain
    from node.governance.refund import Refund
    from node.units import Address, Height

CORRECTIONS_HELP = """A JSON file of what should have gone in. [nothing corrected]

{"format": 1, "prices": [{"market": 1, "first": 120, "last": 130, "ticks": 954000 or "file":
"prices.csv"}], "funding": [{"market": 1, "first": 43, "last": 43, "index": "18446200431" or
"rate_ppb": 100000}], "left_out": ["0x…"]}: reported prices, funding numbers with which a block
begins, transactions and council actions by hash. The CSV's header is block,ticks or time_ms,ticks.
"""


def audit(
    data_dir: StoppedDataDir,
    first: Annotated[str | None, typer.Argument(help=f"The first block. {BLOCK_HELP}")] = None,
    last: Annotated[str | None, typer.Argument(help="The last block, and its branch.")] = None,
    fork: Annotated[
        int | None, typer.Option(min=1, help="All that this fork left, instead of a range.")
    ] = None,
    corrections: Annotated[Path | None, typer.Option(help=CORRECTIONS_HELP)] = None,
    only_liquidated: Annotated[
        bool, typer.Option("--only-liquidated", help="Refund wrong liquidations alone.")
    ] = False,
    minimum: Annotated[int, typer.Option(min=1, help="Refund no loss below it, in atoms.")] = 1,
    exclude: Annotated[
        list[str] | None, typer.Option(help="Refund this account nothing; may be repeated.")
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option(help="Show this account's evidence; may be repeated.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Write accounts.csv, evidence.csv, refunds.csv and report.json here."),
    ] = None,
    genesis: StoppedGenesis = None,
    as_json: AsJson = False,
) -> None:
    """Execute a range again with corrected inputs, and say what each account is owed.

    Without corrections it is the honest execution: what a lying sequencer's branch did to whom.
    """
    from node.audit.corrections import NONE, read_corrections
    from node.audit.report import Choice, choose_refunds, render_files, render_report, write_report
    from node.audit.statement import audit as run_audit
    from node.errors import OperatorError
    from node.snapshot.offline import open_chain
    from node.units import Quote

    excluded = frozenset(parse_address(text, "--exclude") for text in exclude or [])
    shown = [parse_address(text, "--account") for text in account or []]
    refs = _parse_range(first, last, fork)
    choice = Choice(only_liquidated, Quote(minimum), excluded)
    if out is not None and out.exists() and not out.is_dir():
        raise OperatorError(f"--out {out} is a file: name a directory")
    corrected = NONE if corrections is None else read_corrections(corrections)
    with open_chain(data_dir, genesis) as blockchain:
        if fork is None:
            start, end = _find_range(blockchain, refs)
        else:
            start, end = _find_left(blockchain, fork)
        with show_progress("replaying block") as on_progress:
            found = run_audit(blockchain, start, end, corrected, on_progress)
        refunds = choose_refunds(found, choice)
        report = render_report(blockchain, found, refunds, choice)
        vault = _get_vault_equity(blockchain)
    if out is not None:
        write_report(out, report, render_files(found, refunds))
    if as_json:
        print_json(_to_plain(found, refunds, report))
        return
    _show_accounts(found, refunds)
    if shown:
        _show_evidence(found, shown)
    _show_summary(report, vault, choice, out)


def parse_address(text: str, flag: str) -> "Address":
    """Return an account's address; a usage error that names the flag if it is none."""
    from node.chain.document import read_value
    from node.errors import GenesisError
    from node.units import Address

    try:
        address: Address = read_value(text, Address, f"{flag} {text}")
    except GenesisError as refusal:
        raise typer.BadParameter(str(refusal)) from None
    return address


def _parse_range(first: str | None, last: str | None, fork: int | None) -> list[Any]:
    if (first is None or last is None) == (fork is None) or (fork is not None and first):
        raise typer.BadParameter("name FIRST and LAST, or what a fork left by --fork")
    return [] if first is None or last is None else [parse_block(first), parse_block(last)]


def _find_range(blockchain: "Blockchain", refs: list[Any]) -> tuple["Height", "Block"]:
    """Return the first height and the last block; a plain number for FIRST is of LAST's branch."""
    from node.chain.ancestry import Ancestry
    from node.errors import OperatorError
    from node.units import Height

    last = find_block(blockchain, refs[1])
    if isinstance(refs[0], str) and len(refs[0]) < 66 and refs[0].startswith("0x"):
        return Height(int(refs[0], 16)), last
    first = find_block(blockchain, refs[0])
    height = first.header.number
    if Ancestry(blockchain.store, blockchain.store.kv, last).hash_at(height) != first.hash:
        raise OperatorError(
            f"block {height} 0x{first.hash.hex()} is not on the branch of block "
            f"{last.header.number} 0x{last.hash.hex()}: name two blocks of one branch"
        )
    return height, last


def _find_left(blockchain: "Blockchain", fork_id: int) -> tuple["Height", "Block"]:
    """Return what a fork left: from the block after its snapshot to the orphan tip."""
    from node.errors import OperatorError
    from node.snapshot.fork import load_forks
    from node.units import Height

    forks = {each.fork_id: each for each in load_forks(blockchain)}
    if fork_id not in forks:
        known = ", ".join(map(str, forks)) or "none"
        raise OperatorError(f"--fork {fork_id}: this branch has had no such fork, but {known}")
    fork = forks[fork_id]
    tip = blockchain.store.load_block(fork.orphan_hash)
    if tip is None:
        raise OperatorError(
            f"the tip that fork {fork_id} left, block {fork.orphan_height} "
            f"0x{fork.orphan_hash.hex()}, is not here: this node refused it or came later; use the "
            "sequencer's data directory, or name FIRST and LAST"
        )
    return Height(fork.snapshot_height + 1), tip


def _get_vault_equity(blockchain: "Blockchain") -> int:
    from node.perp.account import VAULT
    from node.perp.margin import get_equity

    return get_equity(blockchain.ledger_after(blockchain.head.block), VAULT)


# --- what is printed ------------------------------------------------------------------------------


def _to_plain(
    found: "Audit", refunds: tuple["Refund", ...], report: dict[str, Any]
) -> dict[str, Any]:
    from node.audit.report import COLUMNS, EVIDENCE_COLUMNS, list_evidence, make_table

    table = make_table(found, refunds)
    accounts = [
        {"account": account, "name": name}
        | {column: str(value) for column, value in zip(COLUMNS, numbers, strict=True)}
        for account, name, numbers in table.rows
    ]
    evidence = [dict(zip(EVIDENCE_COLUMNS, row, strict=True)) for row in list_evidence(found)]
    return {"report": report, "accounts": accounts, "evidence": evidence}


def _show_accounts(found: "Audit", refunds: tuple["Refund", ...]) -> None:
    from node.audit.report import COLUMNS, make_table

    table = make_table(found, refunds)
    money = ("equity_was", "equity_should", "withdrawn", "loss", "funding", "refund")
    counts = {
        "liquidations": ("liquidations_undone", "liquidations_added"),
        "deleveragings": ("deleveragings_undone", "deleveragings_added"),
        "fills": ("fills_undone", "fills_added"),
    }
    lines = []
    for account, name, numbers in (*table.rows, ("", "total", table.total)):
        of = dict(zip(COLUMNS, numbers, strict=True))
        of["withdrawn"] = of["withdrawn_should"] - of["withdrawn_was"]
        amounts = [usdc(of[column], unit="") for column in money]
        changes = [_show_counts(of[undone], of[added]) for undone, added in counts.values()]
        lines.append([name or account, *amounts, *changes])
    header = ["account", *(column.replace("_", " ") for column in money), *counts]
    print_columns("accounts, in USDC; not to have happened -, to have happened +", header, lines)


def _show_counts(undone: int, added: int) -> str:
    return " ".join([f"-{undone}"] * bool(undone) + [f"+{added}"] * bool(added)) or "0"


def _show_evidence(found: "Audit", accounts: list["Address"]) -> None:
    from node.audit.report import EVIDENCE_COLUMNS, list_evidence

    rows = list_evidence(found, accounts)
    if not sys.stdout.isatty():
        print_columns("evidence", list(EVIDENCE_COLUMNS), rows)
        return
    for account, height, tx_hash, kind, market, was, should in rows:
        where = ", ".join([f"block {height}", *[f"market {market}"] * bool(market), kind])
        named = [("account", account), ("transaction", tx_hash or "none of the block")]
        print_table(where, [*named, ("was", was or "nothing"), ("should be", should or "nothing")])


def _show_summary(report: dict[str, Any], vault: int, choice: "Choice", out: Path | None) -> None:
    span, refunds = report["range"], report["refunds"]
    total = int(refunds["total"])
    rows = [
        (
            "range",
            f"blocks {span['first']} to {span['last']} of fork {span['fork_id']} "
            f"({span['last_hash']})",
        ),
        ("corrections", report["corrections_hash"]),
        ("state root, was", report["state_root_was"]),
        ("state root, should be", report["state_root_should"]),
        ("first difference", report["first_difference"] or "none in what the protocol did"),
        ("refunds", f"{refunds['count']}, {usdc(total)} in all"),
        ("refund root", refunds["root"] or "none: nobody is owed anything"),
        ("the vault has", f"{usdc(vault)} at the head, {usdc(vault - total)} after the refunds"),
    ]
    if choice.only_liquidated:
        rows.insert(-2, ("refunded", "wrong liquidations and deleveragings alone"))
    if out is not None:
        rows.append(("written", str(out)))
    print_table("audit", rows)
