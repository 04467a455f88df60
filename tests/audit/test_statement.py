"""Both ends of a range beside each other: by hand, summing to zero, and what a lie did to whom."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit.corrections import NONE, Corrections, PriceCorrection, Span
from node.audit.statement import OUT_OF_NOTHING, Audit, Counts, Row, audit
from node.chain import keys
from node.consensus.faults import FaultKind
from node.errors import OperatorError
from node.perp.account import VAULT
from node.snapshot.directory import SnapshotDirectory
from node.units import Address, Hash32, Height, MarketId, Ticks
from tests.audit.incident import (
    BIDDER,
    LONG,
    MAKER,
    RIGHT,
    SIZE,
    Incident,
    tell_incident,
)
from tests.audit.lie import Twins
from tests.audit.play import ETH, open_table, play
from tests.helpers.chain import BTC, USDC, Chain


@pytest.fixture(scope="module")
def incident() -> Incident:
    return tell_incident()


@pytest.fixture(scope="module")
def opened() -> Chain:
    return open_table()


def right_price(incident: Incident) -> Corrections:
    span = Span(BTC, incident.wrong, incident.wrong)
    return Corrections((PriceCorrection(span, False, (incident.wrong,), (Ticks(RIGHT),)),))


def rows_of(found: Audit) -> dict[Address | None, Row]:
    return {row.account: row for row in found.statement.rows}


def money_of(row: Row) -> tuple[int, ...]:
    return (
        row.equity_was,
        row.equity_should,
        row.withdrawn_was,
        row.withdrawn_should,
        row.loss,
        row.funding,
    )


def require_sums(found: Audit) -> None:
    """Check that every column of money sums to zero."""
    same = found.statement.others_equity
    columns = [
        *(money_of(row) for row in found.statement.rows),
        (same, same, 0, 0, 0, 0),
    ]
    assert [sum(column) for column in zip(*columns, strict=True)] == [0] * 6


# --- by hand --------------------------------------------------------------------------------------


def test_one_wrong_price_cost_the_long_what_bidder_and_vault_have(incident: Incident) -> None:
    found = audit(incident.chain.blockchain, incident.wrong, incident.last, right_price(incident))

    # n/5 = 17,370 / 5 = 3,474 USDC are closed: 900 lots at 386,000 ticks, 14,000 below the right
    # price: 900 · 14,000 · 10 atoms = 126 USDC. The bankruptcy quote of 900 of 4,500 lots is
    # 3,474 - 370 · 900/4,500 = 3,400, so of the surplus of 74 the vault takes half: 37.
    rows = rows_of(found)
    lost, fee = 126 * USDC, 37 * USDC
    thousand = 1_000 * USDC
    assert money_of(rows[LONG.address]) == (
        *(thousand - lost - fee, thousand, 0, 0, lost + fee, 0),
    )
    assert money_of(rows[BIDDER.address]) == (thousand + lost, thousand, 0, 0, -lost, 0)
    assert rows[VAULT].loss == -fee
    assert rows[LONG.address].liquidations == Counts(undone=1, added=0)
    assert rows[LONG.address].fills == rows[BIDDER.address].fills == Counts(undone=1, added=0)
    assert MAKER.address not in rows
    assert found.statement.others == 1
    assert found.statement.marks[BTC] == RIGHT
    require_sums(found)


def test_a_price_that_is_wrong_at_the_end_makes_no_loss_by_itself(incident: Incident) -> None:
    blockchain = incident.chain.blockchain
    last = blockchain.block_at(incident.wrong)
    assert last is not None

    found = audit(blockchain, incident.wrong, last, right_price(incident))

    # The node's mark is 386,000 there: valued at that the long would have lost 630 USDC more.
    rows = rows_of(found)
    assert (rows[LONG.address].loss, rows[BIDDER.address].loss) == (163 * USDC, -126 * USDC)
    assert MAKER.address not in rows
    require_sums(found)


def test_each_line_has_its_evidence(incident: Incident) -> None:
    found = audit(incident.chain.blockchain, incident.wrong, incident.last, right_price(incident))

    told = {
        (each.account, each.kind): (each.height, each.was.rpartition("size ")[2][:16], each.should)
        for each in found.evidence
    }
    height = incident.wrong
    assert told[LONG.address, "PositionLiquidated"] == (height, "-900, proceeds 3", "")
    assert told[LONG.address, "OrderFilled"] == (height, "-900, price 3860", "")
    assert told[BIDDER.address, "OrderFilled"] == (height, "-900, price 3860", "")
    ends = told[LONG.address, "Account"]
    assert ends == (
        incident.last.header.number,
        "3600, funding_in",
        f"balance {(1_000 - 18_000) * USDC}, market 1: size {SIZE}, funding_index 0",
    )
    block = incident.chain.blockchain.block_at(height)
    assert block is not None
    carried = {tx.hash for tx in block.transactions}
    assert {each.tx_hash for each in found.evidence if each.kind == "OrderFilled"} <= carried
    differing = {row.account for row in found.statement.rows if row.differs}
    assert differing <= {each.account for each in found.evidence}


# --- sums -----------------------------------------------------------------------------------------


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32), percent=st.integers(-4, 4), market=st.sampled_from([BTC, ETH]))
def test_columns_sum_to_zero_whatever_is_corrected(
    opened: Chain, seed: int, percent: int, market: MarketId
) -> None:
    chain = play(opened, seed, blocks=15)
    first = Height(31)
    ticks = Ticks((400_000 if market == BTC else 200_000) * (100 + percent) // 100)
    moved = PriceCorrection(Span(market, first, Height(36)), False, (first,), (ticks,))
    corrections = Corrections((moved,), (), frozenset(people_of(chain, first)[seed % 7 :: 7]))

    found = audit(chain.blockchain, first, chain.head, corrections)

    require_sums(found)
    for row in found.statement.rows:
        expected = row.equity_should + row.withdrawn_should - row.equity_was - row.withdrawn_was
        assert row.loss == expected
        assert row.name != OUT_OF_NOTHING


def people_of(chain: Chain, first: Height) -> list[Hash32]:
    """Return what people sent, reports left out, oldest first."""
    found = []
    for height in range(first, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        reporters = {each.address for each in chain.reporters}
        found += [tx.hash for tx in block.transactions if tx.max_fee and tx.sender not in reporters]
    return found


# --- a sequencer that lies ------------------------------------------------------------------------


@pytest.fixture
def twins() -> Twins:
    return Twins()


def test_a_funding_index_reset_to_zero_is_told_account_by_account(twins: Twins) -> None:
    twins.lie(FaultKind.FUNDING_INDEX, BTC, 0)

    found = twins.audit()

    assert found.state_root == twins.honest.head.header.state_root
    assert found.state_root != twins.liar.head.header.state_root
    # The short owed 160,000 atoms a lot of a sudden, 720 of its 1,001 USDC, and was liquidated: 900
    # lots at 400,010, 10 ticks or 0.09 USDC above the mark. Of 281 USDC they were due a fifth, and
    # of what was left of it, 56.11, the vault took half.
    rows = rows_of(found)
    short, long = rows[MAKER.address], rows[LONG.address]
    assert short.liquidations == Counts(undone=1, added=0)
    assert short.funding == 720 * USDC
    assert short.loss == 720 * USDC + 90_000 + 28_055_000
    assert rows[VAULT].loss == -28_055_000
    assert rows[BIDDER.address].loss == -90_000
    assert long.funding == long.loss == -720 * USDC
    assert {each.kind for each in found.evidence if each.account == MAKER.address} >= {
        "FundingSettled",
        "OrderFilled",
        "PositionLiquidated",
        "Account",
    }
    require_sums(found)


def test_an_oracle_price_altered_in_the_cache_is_the_first_difference(twins: Twins) -> None:
    twins.lie(FaultKind.ORACLE_PRICE, BTC, RIGHT - 5_000)

    found = twins.audit()

    assert found.state_root == twins.honest.head.header.state_root
    assert found.first_difference.startswith(f"block {twins.first}, market 1, PriceAccepted")
    require_sums(found)


def test_money_made_of_nothing_has_a_row_of_its_own(twins: Twins) -> None:
    twins.lie(FaultKind.BALANCE, MAKER.address, 19_777 * USDC)

    found = twins.audit()

    # The short's balance is 1,000 and what it sold for, 18,000 USDC: 777 more came out of nothing.
    rows = rows_of(found)
    assert rows[MAKER.address].loss == -777 * USDC
    assert (rows[None].name, rows[None].loss) == (OUT_OF_NOTHING, 777 * USDC)
    assert rows[None].equity_should == 0
    assert not found.first_difference
    require_sums(found)


def test_the_branch_that_a_fork_left_is_audited_by_its_tip(twins: Twins, tmp_path: Path) -> None:
    twins.lie(FaultKind.FUNDING_INDEX, BTC, 0)
    chain, tip, unforked = twins.liar, twins.liar.head, twins.audit()
    fork = twins.fork(SnapshotDirectory(tmp_path))

    found = audit(chain.blockchain, twins.first, tip, NONE)

    assert fork.header.parent_hash == twins.snapshot.hash
    assert chain.blockchain.block_at(tip.header.number) is None
    assert found.state_root == twins.honest.head.header.state_root
    assert found == unforked


# --- what is not kept -----------------------------------------------------------------------------


def test_a_block_that_is_not_kept_is_named(twins: Twins) -> None:
    chain = twins.liar
    middle = chain.blockchain.block_at(Height(20))
    assert middle is not None
    chain.kv.write([], [keys.block_row(middle.hash)])
    reopened = Chain(chain.blockchain.genesis, chain.kv)

    with pytest.raises(OperatorError, match="block 20 is not kept here: choose a later FIRST"):
        audit(reopened.blockchain, Height(19), reopened.head, NONE)
    with pytest.raises(OperatorError, match="block 20 is not kept here: choose a later FIRST"):
        audit(reopened.blockchain, Height(21), reopened.head, NONE)


def test_a_state_that_is_not_kept_is_named(twins: Twins) -> None:
    chain = twins.liar
    before = chain.blockchain.block_at(Height(20))
    assert before is not None
    chain.kv.write([], [keys.STATE_TABLES.roots + before.header.state_root])

    with pytest.raises(OperatorError, match="choose another range, or the data directory"):
        audit(chain.blockchain, Height(21), chain.head, NONE)
