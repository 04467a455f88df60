"""A fork, a snapshot and a restore know what the council changed: markets, parameters, people."""

from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.errors import CompensationNotFound
from node.governance.action import (
    ChangeCouncil,
    Kind,
    ListMarket,
    ScheduleMaintenance,
    SetParameter,
    SettleMarket,
)
from node.governance.refund import Refund, build_proof, compute_root, make_refund_tree
from node.perp.compensation import get_compensation, get_compensations
from node.perp.invariants import check_all
from node.perp.status import Mode
from node.snapshot.apply import apply_plan, catch_up_until
from node.snapshot.directory import SnapshotDirectory
from node.snapshot.draft import make_plan, reference_of
from node.snapshot.restore import restore_snapshot
from node.state.kv import LevelDb
from node.system.governance import get_audit_entries
from node.units import Hash32, Height, Quote, TimeMs
from tests.governance.test_chain import PRICE, CouncilChain
from tests.governance.test_reforms import ETH, NEW_MEMBERS, SOL, new_market, people, trade
from tests.helpers.chain import BTC
from tests.helpers.council import COUNCIL, make
from tests.snapshot.story import export
from tests.system.test_vault import make_compensation


@pytest.fixture
def chain() -> CouncilChain:
    """A chain with a settled market, a new one, and a maintenance window that is on."""
    made = CouncilChain()
    made.open_market(PRICE)
    trade(made)
    params = new_market(made.ledger.market_params(BTC))
    now = made.head.header.number
    made.govern(
        make(SettleMarket, market=BTC, price=PRICE, beyond_max_move=False),
        make(ListMarket, market=SOL, params=params),
        make(
            ScheduleMaintenance,
            start_height=now + 2,
            halt_height=now + 90,
            end_ms=made.time_ms + 90_000,
        ),
    )
    made.seal()
    made.seal(*made.reports(PRICE, SOL))
    assert made.mode() == Mode.CANCEL_ONLY
    return made


def fork(chain: CouncilChain, directory: Path, height: Height) -> list[str]:
    """Fork to a height; return what the plan says that it undoes."""
    block = chain.blockchain.block_at(height)
    assert block is not None
    manifest = export(chain, block, SnapshotDirectory(directory))
    plan = make_plan(
        chain.blockchain,
        reference_of(manifest),
        reason="a rehearsal",
        time_ms=TimeMs(chain.time_ms + 60_000),
    )
    apply_plan(chain.blockchain, plan)
    chain.time_ms = chain.head.extension.time_ms
    while catch_up_until(chain.blockchain) is not None:
        chain.seal(elapsed_ms=1)
    for person in (*chain.reporters, chain.buyer, chain.seller):
        person.nonce = 1 << 32
    lines: list[str] = plan.totals["governance_undone"]
    return lines


def reopen(chain: CouncilChain) -> None:
    """Report on the new branch until markets are open."""
    for _ in range(40):
        observed = chain.time_ms + 100
        chain.seal(
            *[
                each.call("Oracle", "reportPrice", market, PRICE, observed, 1)
                for market in (ETH, SOL)
                for each in chain.reporters
                if market in chain.ledger.market_ids
            ]
        )
    check_all(chain.ledger)


def test_a_fork_keeps_what_the_snapshot_has_and_calls_the_window_off(
    chain: CouncilChain, tmp_path: Path
) -> None:
    height = chain.head.header.number
    chain.seal(*chain.reports(PRICE, SOL))

    assert fork(chain, tmp_path, height) == []

    assert chain.mode(BTC) == Mode.HALTED, "settled is settled"
    assert (chain.ledger.maintenance, chain.ledger.status.held) == (None, Mode.OPEN)
    reopen(chain)
    assert chain.mode() == chain.mode(SOL) == chain.mode(ETH) == Mode.OPEN


def test_a_fork_keeps_a_compensation_of_the_snapshot_and_undoes_its_later_payments(
    chain: CouncilChain, tmp_path: Path
) -> None:
    refunds, proofs = chain_refunds(chain, 300, 200)
    late = chain.time_ms // 1_000 + 3_600
    chain.govern(make_compensation(chain.ledger, refunds, pay_until=late))
    pay = chain.buyer.call("LiquidatorVault", "payRefunds", 1, refunds[:1], proofs[:1])
    chain.seal(pay)
    assert chain.receipts[0].status == 1
    height = chain.head.header.number
    chain.seal(chain.buyer.call("LiquidatorVault", "payRefunds", 1, refunds[1:], proofs[1:]))
    assert chain.ledger.compensations.get(1)[4:] == (2, 0, 0, height + 1)
    other, _ = chain_refunds(chain, 7)
    chain.govern(make_compensation(chain.ledger, other))

    lines = fork(chain, tmp_path, height)

    assert lines == [
        "compensation 1 is as it was: 1 refunds paid are undone, 200 atoms are left again",
        f"compensation 2, list 0x{compute_root(other).hex()}, 7 atoms, is not given any more: "
        "0 refunds paid are undone, the list is free again",
    ]
    kinds = [entry.kind for entry in get_audit_entries(chain.ledger, 0, 100)]
    assert kinds[-2:] == [Kind.COMPENSATE] * 2, "the second one is re-recorded"
    assert chain.ledger.escrow == (1, (1,))
    for number in (0, 2, 2**64 - 1):  # no key can hold the last one
        with pytest.raises(CompensationNotFound):
            get_compensation(chain.ledger, number)
    assert chain.ledger.compensations.get(1)[4:] == (1, 200, 0, 0)
    check_all(chain.ledger)
    again = chain.buyer.call("LiquidatorVault", "payRefunds", 1, refunds, proofs)
    rest = chain.buyer.call("LiquidatorVault", "payRefunds", 1, refunds[1:], proofs[1:])
    chain.seal(again, rest)
    assert [receipt.status for receipt in chain.receipts[:2]] == [0, 1]
    chain.govern(make_compensation(chain.ledger, other, fork_id=1, reason="again"))
    assert [each.paid for each in get_compensations(chain.ledger)] == [2, 0]
    check_all(chain.ledger)


def chain_refunds(
    chain: CouncilChain, *amounts: int
) -> tuple[list[Refund], list[tuple[Hash32, ...]]]:
    """Return a list that pays buyer and seller these amounts, and its proofs."""
    people = (chain.buyer, chain.seller)
    refunds = [
        Refund(index, people[index].address, Quote(amount)) for index, amount in enumerate(amounts)
    ]
    tree = make_refund_tree(refunds)
    return refunds, [build_proof(tree, refund.index) for refund in refunds]


def test_a_fork_undoes_what_came_later_and_its_plan_names_all_of_it(
    chain: CouncilChain, tmp_path: Path
) -> None:
    height = chain.head.header.number
    chain.govern(
        make(SettleMarket, market=ETH, price=PRICE, beyond_max_move=True),
        make(
            ListMarket,
            market=SOL + 1,
            params=new_market(chain.ledger.market_params(ETH), symbol="X"),
        ),
        make(SetParameter, market=SOL, name="taker_fee_ppm", value=123),
        make(SetParameter, market=0, name="grace_ms", value=321),
        make(ChangeCouncil, members=people(NEW_MEMBERS), threshold=2),
    )
    before = chain.ledger.audit_log.length

    lines = "\n".join(fork(chain, tmp_path, height))

    assert "the council is again 3 of 0x" in lines
    assert "the chain has grace_ms again" in lines
    assert "not 321" in lines
    assert "market 7, SOL-USD, has taker_fee_ppm again" in lines
    assert "market 2, ETH-USD, is not settled any more" in lines
    assert "market 8, X, is not listed any more" in lines
    assert len(lines.splitlines()) == 5
    assert chain.ledger.council == COUNCIL
    assert list(chain.ledger.market_ids) == [BTC, ETH, SOL]
    assert chain.ledger.closures.get(ETH) is None
    assert chain.ledger.params.grace_ms != 321
    assert chain.ledger.audit_log.length == before, "and the log still tells"
    reopen(chain)
    assert chain.mode(ETH) == Mode.OPEN


def test_a_restored_node_has_the_same_markets_and_goes_on(
    chain: CouncilChain, tmp_path: Path
) -> None:
    chain.govern(make(ChangeCouncil, members=people(NEW_MEMBERS), threshold=2))
    directory = SnapshotDirectory(tmp_path / "snapshots")
    manifest = export(chain, chain.head, directory)
    assert manifest.council == (people(NEW_MEMBERS), 2)
    path = next((tmp_path / "snapshots").iterdir())

    restore_snapshot(path, tmp_path / "node", chain.blockchain.genesis)

    kv = LevelDb(tmp_path / "node" / "db")
    twin = Blockchain(chain.blockchain.genesis, kv, BlockStore(kv, tmp_path / "node" / "HEAD"))
    twin.import_block(chain.seal(*chain.reports(PRICE, SOL)))
    assert twin.head.block.hash == chain.head.hash
    ledger = twin.ledger_after(twin.head.block)
    assert list(ledger.market_ids) == [BTC, ETH, SOL]
    assert ledger.council == (people(NEW_MEMBERS), 2)
    kv.close()
