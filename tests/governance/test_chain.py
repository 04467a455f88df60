"""Council actions on a whole chain: first in a block, in force from its end, recorded (X1)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from node.chain.block import Block
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.errors import BodyMismatch
from node.governance.action import (
    AcknowledgeJump,
    Action,
    CancelOrders,
    Domain,
    Halt,
    Resume,
    SetMode,
)
from node.governance.audit import is_whole
from node.perp.status import CHAIN, Mode
from node.state.kv import LevelDb, MemoryDb
from node.system.contracts import GOVERNANCE
from node.system.governance import encode_submission, get_audit_entries
from node.units import Address, Height, MarketId
from tests.helpers.chain import BTC, Chain, Person, make_genesis
from tests.helpers.council import MEMBERS, make, sign_action, with_council

PRICE = 500_000
BUYER, SELLER = Person("buyer"), Person("seller")


class CouncilChain(Chain):
    """A chain that our council governs."""

    def __init__(self, *, kv: Any = None, head_file: Path | None = None) -> None:
        super().__init__(with_council(make_genesis([BUYER, SELLER])), kv, head_file)
        self.buyer, self.seller = Person("buyer"), Person("seller")

    @property
    def domain(self) -> Domain:
        return Domain(self.blockchain.genesis.chain_id, self.blockchain.genesis_hash)

    @property
    def ledger(self) -> Any:
        return self.blockchain.ledger_after(self.head)

    def mode(self, market: int = CHAIN) -> Mode:
        if market == CHAIN:
            return Mode(self.ledger.status.mode)
        return Mode(self.ledger.statuses.get(MarketId(market)).mode)

    def submission(self, action: Action, members: Sequence[Person] = MEMBERS[:3]) -> bytes:
        return encode_submission(action, sign_action(action, self.domain, members))

    def govern(
        self, *actions: Action, transactions: Sequence[Transaction] = (), elapsed_ms: int = 100
    ) -> Block:
        """Seal a block that carries actions at nobody's cost, and import it into a twin."""
        self.time_ms += elapsed_ms  # type: ignore[assignment]
        inputs = [self.submission(action) for action in actions]
        executed = self.blockchain.execute(transactions, self.time_ms, None, inputs)
        self.blockchain.commit(executed)
        return self.head


@pytest.fixture
def chain() -> CouncilChain:
    made = CouncilChain()
    made.open_market(PRICE)
    assert made.mode(BTC) == made.mode() == Mode.OPEN
    return made


# --- halt -----------------------------------------------------------------------------------------


def test_a_halt_lets_its_own_block_be_ordinary_and_no_block_after_it(chain: CouncilChain) -> None:
    order = chain.buyer.order(10, PRICE - 10)

    chain.govern(make(Halt, height=0), transactions=[*chain.reports(PRICE), order])

    assert chain.mode() == Mode.HALTED
    assert chain.receipts[-1].status == 1, "the halt's own block is an ordinary one"
    with pytest.raises(BodyMismatch, match="council actions alone"):
        chain.seal()
    with pytest.raises(BodyMismatch, match="council actions alone"):
        chain.seal(*chain.reports(PRICE))


def test_a_halt_stops_at_its_height_exactly(chain: CouncilChain) -> None:
    last = Height(chain.head.header.number + 4)

    chain.govern(make(Halt, height=last))
    while chain.head.header.number < last:
        assert chain.mode() == Mode.OPEN
        chain.seal(*chain.reports(PRICE))

    assert chain.mode() == Mode.HALTED
    assert chain.head.header.number == last
    with pytest.raises(BodyMismatch):
        chain.seal(*chain.reports(PRICE))


def test_a_halt_survives_reopening_the_database(tmp_path: Path) -> None:
    kv = LevelDb(tmp_path / "db")
    chain = CouncilChain(kv=kv, head_file=tmp_path / "HEAD")
    chain.open_market(PRICE)
    last = Height(chain.head.header.number + 2)
    chain.govern(make(Halt, height=last))
    kv.close()

    kv = LevelDb(tmp_path / "db")
    chain = CouncilChain(kv=kv, head_file=tmp_path / "HEAD")
    chain.reporters = [reporter_at(chain, each) for each in chain.reporters]
    chain.seal(*chain.reports(PRICE))
    assert chain.mode() == Mode.HALTED
    kv.close()

    kv = LevelDb(tmp_path / "db")
    chain = CouncilChain(kv=kv, head_file=tmp_path / "HEAD")
    assert chain.head.header.number == last
    assert chain.mode() == Mode.HALTED, "reads go on"
    with pytest.raises(BodyMismatch):
        chain.seal()
    chain.govern(make(Resume))
    assert chain.mode() == Mode.CANCEL_ONLY
    kv.close()


def reporter_at(chain: CouncilChain, reporter: Person) -> Person:
    reporter.nonce = chain.ledger.get_nonce(reporter.address)
    return reporter


def test_funding_does_not_accrue_in_a_block_that_ends_halted(chain: CouncilChain) -> None:
    before = chain.ledger.fundings.get(BTC)
    chain.seal(*chain.reports(PRICE))
    between = chain.ledger.fundings.get(BTC)

    chain.govern(make(Halt, height=0), transactions=chain.reports(PRICE))

    assert between.index != before.index, "it accrues while OPEN"
    assert chain.ledger.fundings.get(BTC).index == between.index


def test_a_resume_goes_the_long_way_back(chain: CouncilChain) -> None:
    chain.govern(make(Halt, height=0))

    chain.govern(make(Resume), elapsed_ms=1_000)

    assert chain.mode() == chain.mode(BTC) == Mode.CANCEL_ONLY
    assert chain.ledger.status.gap_end_ms == chain.time_ms, "older reports don't count (X2)"
    seen = [chain.mode(BTC)]
    for _ in range(30):
        chain.seal(*chain.reports(PRICE))
        if chain.mode(BTC) != seen[-1]:
            seen.append(chain.mode(BTC))
    assert seen == [Mode.CANCEL_ONLY, Mode.POST_ONLY, Mode.OPEN]
    assert chain.mode() == Mode.OPEN


def test_a_resume_calls_off_a_halt_that_is_due(chain: CouncilChain) -> None:
    last = Height(chain.head.header.number + 3)
    chain.govern(make(Halt, height=last))

    chain.govern(make(Resume))
    for _ in range(3):
        chain.seal(*chain.reports(PRICE))

    assert chain.head.header.number > last
    assert chain.mode() == Mode.OPEN


def test_of_two_halts_the_earlier_counts(chain: CouncilChain) -> None:
    height = chain.head.header.number

    chain.govern(make(Halt, height=height + 2), make(Halt, height=height + 9))
    chain.seal(*chain.reports(PRICE))

    assert (chain.head.header.number, chain.mode()) == (height + 2, Mode.HALTED)


def test_while_halted_the_council_may_act_and_nothing_that_reverts_is_sealed(
    chain: CouncilChain,
) -> None:
    chain.seal(chain.buyer.order(10, PRICE - 10))
    chain.govern(make(Halt, height=0))

    chain.govern(make(CancelOrders, filter=0))

    assert chain.mode() == Mode.HALTED
    assert not chain.ledger.book(BTC).orders
    data = chain.submission(make(CancelOrders, filter=0))
    again = chain.buyer.send(GOVERNANCE, data, gas_limit=10**6)
    with pytest.raises(BodyMismatch, match="ActionNonceUsed"):
        chain.seal(again)


# --- modes ----------------------------------------------------------------------------------------


def test_a_set_mode_takes_effect_at_the_blocks_end_and_is_held(chain: CouncilChain) -> None:
    order = chain.buyer.order(10, PRICE - 10)

    chain.govern(
        make(SetMode, market=BTC, mode=Mode.CANCEL_ONLY),
        transactions=[*chain.reports(PRICE), order],
    )

    assert chain.receipts[-1].status == 1
    assert chain.mode(BTC) == Mode.CANCEL_ONLY
    assert chain.mode() == Mode.OPEN
    for _ in range(30):
        chain.seal(*chain.reports(PRICE))
    assert chain.mode(BTC) == Mode.CANCEL_ONLY, "X2 does not undo what the council set"
    chain.govern(make(SetMode, market=BTC, mode=Mode.OPEN), transactions=chain.reports(PRICE))
    assert chain.mode(BTC) == Mode.OPEN


def test_the_councils_post_only_is_as_far_as_x2_goes_after_an_alarm(chain: CouncilChain) -> None:
    chain.govern(make(SetMode, market=BTC, mode=Mode.POST_ONLY))
    assert chain.mode(BTC) == Mode.POST_ONLY

    gap = chain.blockchain.genesis.chain.gap_ms_max + 1
    chain.seal(*chain.reports(PRICE, elapsed_ms=gap), elapsed_ms=gap)
    assert chain.mode(BTC) == Mode.CANCEL_ONLY
    for _ in range(40):
        chain.seal(*chain.reports(PRICE))

    assert chain.mode() == Mode.OPEN
    assert chain.mode(BTC) == Mode.POST_ONLY


def test_nobody_opens_a_market_under_an_alarm(chain: CouncilChain) -> None:
    chain.govern(make(SetMode, market=BTC, mode=Mode.CANCEL_ONLY))
    gap = chain.blockchain.genesis.chain.gap_ms_max + 1

    chain.govern(make(SetMode, market=BTC, mode=Mode.OPEN), elapsed_ms=gap)

    assert chain.mode(BTC) == Mode.CANCEL_ONLY
    for _ in range(40):
        chain.seal(*chain.reports(PRICE))
    assert chain.mode(BTC) == Mode.OPEN, "from there X2 goes on"


@pytest.mark.parametrize("mode", [Mode.POST_ONLY, Mode.CANCEL_ONLY])
def test_the_whole_chain_can_be_closed_and_opened(chain: CouncilChain, mode: Mode) -> None:
    chain.govern(make(SetMode, market=CHAIN, mode=mode), transactions=chain.reports(PRICE))
    assert chain.mode() == mode
    for _ in range(20):
        chain.seal(*chain.reports(PRICE))
    assert chain.mode() == mode

    opening = make(SetMode, market=CHAIN, mode=Mode.OPEN)
    chain.govern(opening, transactions=chain.reports(PRICE))

    assert chain.mode() == Mode.OPEN
    chain.seal(*chain.reports(PRICE))


def test_a_market_can_be_halted_alone(chain: CouncilChain) -> None:
    chain.govern(make(SetMode, market=BTC, mode=Mode.HALTED))

    price = chain.ledger.oracles.get(BTC).price
    for _ in range(5):
        chain.seal()
    assert chain.mode(BTC) == Mode.HALTED
    assert chain.ledger.oracles.get(BTC).price == price
    chain.govern(make(SetMode, market=BTC, mode=Mode.CANCEL_ONLY, reason="again"))
    assert chain.mode(BTC) == Mode.CANCEL_ONLY


# --- orders and prices ----------------------------------------------------------------------------


def test_cancelling_all_leaves_take_profits_and_stop_losses(chain: CouncilChain) -> None:
    chain.seal(
        chain.seller.order(-20, PRICE),
        chain.buyer.order(10, PRICE),
        chain.buyer.order(5, PRICE - 50),
        chain.buyer.call("Exchange", "placeTrigger", BTC, -10, PRICE - 400, 0),
    )
    book = chain.ledger.book(BTC)
    assert (len(book.orders), len(book.triggers)) == (2, 1)

    chain.govern(make(CancelOrders, filter=0))

    book = chain.ledger.book(BTC)
    assert (len(book.orders), len(book.triggers)) == (0, 1)
    assert get_audit_entries(chain.ledger, 0, 9)[0].result == 2


@pytest.mark.parametrize("name", ["market", "account"])
def test_cancelling_a_market_or_an_account_takes_its_triggers_too(
    chain: CouncilChain, name: str
) -> None:
    chain.seal(
        chain.seller.order(-20, PRICE),
        chain.buyer.order(10, PRICE),
        chain.buyer.order(5, PRICE - 50),
        chain.buyer.call("Exchange", "placeTrigger", BTC, -10, PRICE - 400, 0),
    )
    fields: dict[str, Any] = {"filter": 1, "market": BTC}
    if name == "account":
        fields = {"filter": 2, "account": chain.buyer.address}

    chain.govern(make(CancelOrders, **fields))

    book = chain.ledger.book(BTC)
    assert not book.triggers
    assert {order.owner for order in book.orders.values()} == (
        {chain.seller.address} if name == "account" else set()
    )


def test_an_acknowledged_jump_is_accepted_and_the_market_reopens(chain: CouncilChain) -> None:
    high = PRICE * 3 // 2
    chain.seal(*chain.reports(high))
    oracle = chain.ledger.oracles.get(BTC)
    assert oracle.jump
    assert oracle.price == PRICE

    chain.govern(
        make(AcknowledgeJump, market=BTC, price=high + 100), transactions=chain.reports(high)
    )

    assert chain.ledger.oracles.get(BTC).price == high
    assert not chain.ledger.oracles.get(BTC).jump
    for _ in range(30):
        chain.seal(*chain.reports(high))
    assert chain.mode(BTC) == Mode.OPEN


# --- how they come in, and what is left of them ---------------------------------------------------


def test_an_input_is_a_system_transaction_of_its_own_ahead_of_all_others(
    chain: CouncilChain,
) -> None:
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)

    block = chain.govern(action, transactions=chain.reports(PRICE))

    first = block.transactions[0]
    assert (first.sender, first.to) == (SYSTEM_ACCOUNT, GOVERNANCE)
    assert first.data == chain.submission(action)
    assert chain.blockchain.head.receipts[0].logs


def test_a_twin_imports_every_block_and_ends_at_the_same_root(chain: CouncilChain) -> None:
    chain.govern(make(SetMode, market=BTC, mode=Mode.POST_ONLY), transactions=chain.reports(PRICE))
    chain.seal(
        chain.buyer.send(GOVERNANCE, chain.submission(make(Halt, height=0)), gas_limit=10**6)
    )
    chain.govern(make(Resume))

    twin = CouncilChain(kv=MemoryDb())
    for height in range(1, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        twin.blockchain.import_block(block)

    assert twin.head.hash == chain.head.hash


def test_an_action_that_the_council_did_not_sign_makes_the_block_invalid(
    chain: CouncilChain,
) -> None:
    action = make(Halt, height=0)
    forged = encode_submission(action, sign_action(action, chain.domain, MEMBERS[:2]))

    with pytest.raises(BodyMismatch, match="NotEnoughSignatures"):
        chain.blockchain.execute([], chain.time_ms + 100, None, [forged])  # type: ignore[arg-type]


@pytest.mark.parametrize("data", [b"", b"\x01\x02\x03\x04"])
def test_an_input_that_is_no_action_makes_the_block_invalid(
    chain: CouncilChain, data: bytes
) -> None:
    trailing = chain.submission(make(Halt, height=0)) + data
    inputs = [data, trailing] if data else [data]

    for each in inputs:
        with pytest.raises(BodyMismatch, match="what the council signed"):
            chain.blockchain.execute([], chain.time_ms + 100, None, [each])  # type: ignore[arg-type]


def test_as_a_transaction_an_action_needs_nobody_but_its_signers(chain: CouncilChain) -> None:
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)

    chain.seal(chain.buyer.send(GOVERNANCE, chain.submission(action), gas_limit=10**6))

    assert chain.receipts[0].status == 1
    assert chain.mode(BTC) == Mode.POST_ONLY


def test_a_refused_action_reverts_with_its_own_error_and_is_not_recorded(
    chain: CouncilChain,
) -> None:
    action = make(Halt, height=1)

    chain.seal(chain.buyer.send(GOVERNANCE, chain.submission(action), gas_limit=10**6))

    assert chain.receipts[0].status == 0
    assert chain.ledger.audit_log.length == 0
    assert chain.ledger.action_uses.get(action.nonce) is None
    assert chain.mode() == Mode.OPEN


def test_the_audit_log_can_be_recomputed_from_its_entries(chain: CouncilChain) -> None:
    actions = [
        make(SetMode, market=BTC, mode=Mode.POST_ONLY),
        make(CancelOrders, filter=0),
        make(Halt, height=0),
    ]
    for action in actions:
        chain.govern(action)
    chain.govern(make(Resume))

    log, entries = chain.ledger.audit_log, get_audit_entries(chain.ledger, 0, 100)
    assert log.length == 4
    assert is_whole(log, entries)
    assert not is_whole(log, entries[1:])
    assert not is_whole(log, [entries[0]._replace(result=7), *entries[1:]])
    signers = tuple(sorted(member.address for member in MEMBERS[:3]))
    assert all(entry.signers == signers for entry in entries)


def test_orders_of_an_account_that_has_none_are_none(chain: CouncilChain) -> None:
    nobody = Address(b"\x77" * 20)

    chain.govern(make(CancelOrders, filter=2, account=nobody))

    assert get_audit_entries(chain.ledger, 0, 1)[0].result == 0
