"""What an auditor hands over: whose loss, in which order, and files that say it."""

import json
from pathlib import Path

import pytest

from node.audit.corrections import Corrections, FundingCorrection, Span
from node.audit.report import (
    COLUMNS,
    EVERYBODY,
    REFUNDS_FILE,
    REPORT_FILE,
    Choice,
    choose_refunds,
    make_table,
    render_files,
    render_report,
    write_report,
)
from node.audit.statement import Audit, audit
from node.crypto import checksum_address
from node.governance.refund import Refund
from node.units import FundingIndex, Height, Quote
from tests.audit.incident import BIDDER, LONG, MAKER, SIZE, Incident, tell_incident
from tests.helpers.chain import BTC, USDC


@pytest.fixture(scope="module")
def incident() -> Incident:
    return tell_incident()


@pytest.fixture(scope="module")
def found(incident: Incident) -> Audit:
    """An index that should have been 100,000 atoms a lot lower: each long is owed that."""
    last = incident.last.header.number
    index = FundingIndex(-100_000 * 10**9)
    correction = FundingCorrection(Span(BTC, Height(last), Height(last)), index, None)
    return audit(incident.chain.blockchain, last, incident.last, Corrections(funding=(correction,)))


def test_who_lost_is_refunded_in_order_of_accounts(found: Audit) -> None:
    refunds = choose_refunds(found)

    # The long has 3,600 lots left and the bidder 900: they are due 100,000 atoms for each.
    expected = sorted([(LONG.address, 360 * USDC), (BIDDER.address, 90 * USDC)])
    assert refunds == tuple(
        Refund(index, account, Quote(amount)) for index, (account, amount) in enumerate(expected)
    )
    (loser,) = [row for row in found.statement.rows if row.account == MAKER.address]
    assert loser.loss == -SIZE * 100_000


@pytest.mark.parametrize(
    ("choice", "paid"),
    [
        (EVERYBODY, {LONG, BIDDER}),
        (Choice(minimum=Quote(90 * USDC)), {LONG, BIDDER}),
        (Choice(minimum=Quote(90 * USDC + 1)), {LONG}),
        (Choice(excluded=frozenset([LONG.address])), {BIDDER}),
        (Choice(only_liquidated=True), set()),
    ],
)
def test_a_choice_leaves_others_out_and_numbers_anew(
    found: Audit, choice: Choice, paid: set[object]
) -> None:
    refunds = choose_refunds(found, choice)

    assert {refund.account for refund in refunds} == {each.address for each in paid}  # type: ignore[attr-defined]  # people
    assert [refund.index for refund in refunds] == list(range(len(refunds)))


def test_rows_sum_to_the_total_and_money_to_zero(found: Audit) -> None:
    refunds = choose_refunds(found)

    table = make_table(found, refunds)

    total = dict(zip(COLUMNS, table.total, strict=True))
    for place, name in enumerate(COLUMNS):
        assert sum(numbers[place] for _, _, numbers in table.rows) == total[name]
    assert [total[name] for name in COLUMNS[:6]] == [0] * 6
    assert total["refund"] == 450 * USDC
    accounts = [account for account, _, _ in table.rows if account]
    assert checksum_address(MAKER.address) in accounts


def test_the_report_names_its_files_and_replaces_an_earlier_one(
    incident: Incident, found: Audit, tmp_path: Path
) -> None:
    blockchain = incident.chain.blockchain
    for choice in (EVERYBODY, Choice(minimum=Quote(1_000 * USDC))):
        refunds = choose_refunds(found, choice)
        report = render_report(blockchain, found, refunds, choice)
        write_report(tmp_path / "out", report, render_files(found, refunds))

        written = {path.name for path in (tmp_path / "out").iterdir()}
        read = json.loads((tmp_path / "out" / REPORT_FILE).read_bytes())
        assert read == report
        assert written == {REPORT_FILE, *read["files"]}
        assert (REFUNDS_FILE in written) == bool(refunds) == bool(read["refunds"]["root"])
