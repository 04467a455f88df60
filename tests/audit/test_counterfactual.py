"""A replay is the chain's own execution: the same inputs make the same state, others another."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.audit.corrections import (
    NONE,
    Corrections,
    FundingCorrection,
    PriceCorrection,
    Span,
)
from node.audit.counterfactual import CounterfactualState
from node.audit.evidence import LEFT_OUT, TRANSACTION
from node.audit.statement import Audit, audit
from node.chain.block import Block
from node.chain.development import Call, LoadState, SetTokens, encode_operation
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.errors import CorrectionsError, OperatorError, ReplayImpossible
from node.governance.action import Action, Domain, Halt, Resume, SetParameter
from node.governance.refund import Refund
from node.perp.account import EXCHANGE, VAULT, market_address
from node.perp.funding import Funding
from node.snapshot.apply import apply_plan
from node.snapshot.directory import SnapshotDirectory
from node.state.account import AccountChange, Changes
from node.state.store import EMPTY_CODE_HASH
from node.system.contracts import contract
from node.system.governance import encode_submission
from node.units import (
    Address,
    FundingIndex,
    Hash32,
    Height,
    MarketId,
    Quote,
    RatePpb,
    Ticks,
    TimeMs,
    Wei,
)
from tests.audit.play import open_table, play
from tests.helpers.chain import BTC, COIN, USDC, Chain, Person, make_genesis
from tests.helpers.council import MEMBERS, make, sign_action, with_council
from tests.snapshot.story import certify, export, plan_of, tell_story
from tests.system.test_vault import make_compensation

PRICE = 400_000


@pytest.fixture(scope="module")
def opened() -> Chain:
    return open_table()


@pytest.fixture
def maker() -> Person:
    return Person("maker")


@pytest.fixture
def taker() -> Person:
    return Person("taker")


@pytest.fixture
def chain(maker: Person, taker: Person) -> Chain:
    made = Chain(with_council(make_genesis([maker, taker])))
    made.open_market(PRICE)
    return made


def left_out(*hashes: Hash32) -> Corrections:
    return Corrections(left_out=frozenset(hashes))


def run(chain: Chain, first: int, corrections: Corrections = NONE) -> Audit:
    return audit(chain.blockchain, Height(first), chain.head, corrections)


def outcomes(found: Audit) -> dict[Hash32 | None, str]:
    """Return what transactions should have come to, where that differs."""
    return {each.tx_hash: each.should for each in found.evidence if each.kind == TRANSACTION}


def is_empty(found: Audit, chain: Chain) -> bool:
    """Tell whether nothing at all differs."""
    return (
        found.state_root == chain.head.header.state_root
        and not found.first_difference
        and not found.evidence
        and not any(row.differs for row in found.statement.rows)
    )


# --- nothing corrected ----------------------------------------------------------------------------


@settings(max_examples=12)
@given(seed=st.integers(0, 2**32), skipped=st.integers(0, 20))
def test_without_corrections_an_honest_branch_makes_its_own_root(
    opened: Chain, seed: int, skipped: int
) -> None:
    chain = play(opened, seed, blocks=20)

    found = run(chain, 31 + min(skipped, 19))

    assert is_empty(found, chain)


@settings(max_examples=8)
@given(seed=st.integers(0, 2**32))
def test_corrections_that_equal_what_was_change_nothing(opened: Chain, seed: int) -> None:
    chain = play(opened, seed, blocks=15)
    first = Height(31)
    prices = tuple(
        PriceCorrection(Span(BTC, height, height), False, (height,), (price,))
        for height, price in reported(chain, first)
    )
    funding = []
    for height in range(first, chain.head.header.number + 1):
        before = funding_before(chain, height)
        span = Span(BTC, Height(height), Height(height))
        funding.append(FundingCorrection(span, before.index, None))
        funding.append(FundingCorrection(span, None, before.rate_ppb))

    assert is_empty(run(chain, first, Corrections(prices, tuple(funding))), chain)


def reported(chain: Chain, first: int) -> list[tuple[Height, Ticks]]:
    """Return what was reported of BTC, by block; all reporters agree here."""
    function = contract("Oracle").functions["reportPrice"]
    found = {}
    for height in range(first, chain.head.header.number + 1):
        for tx in block_at(chain, height).transactions:
            if tx.data[:4] == function.selector:
                market, price, _, _ = function.inputs.decode(tx.data, 4)
                if market == BTC:
                    found[Height(height)] = Ticks(price)
    return list(found.items())


def block_at(chain: Chain, height: int) -> Block:
    block = chain.blockchain.block_at(Height(height))
    assert block is not None
    return block


def funding_before(chain: Chain, height: int) -> Funding:
    """Return BTC's funding with which a block began."""
    state = chain.blockchain.ledger_after(block_at(chain, height - 1))
    funding = state.fundings.get(BTC)
    assert funding is not None
    return funding


def test_a_branch_that_forked_is_replayed_through_its_fork_block(tmp_path: Path) -> None:
    told = tell_story(validators=True)
    directory = SnapshotDirectory(tmp_path)
    manifest = export(told.chain, told.snapshot, directory)
    certify(told.chain, directory, manifest)
    orphan = told.chain.head
    fork = apply_plan(told.chain.blockchain, plan_of(told, manifest))
    told.chain.time_ms = fork.extension.time_ms
    while told.chain.head.header.number <= orphan.header.number:
        told.chain.seal(elapsed_ms=1)

    assert fork.extension.fork_id == 1
    assert is_empty(run(told.chain, 1), told.chain)


def test_development_operations_and_the_council_are_replayed(chain: Chain, taker: Person) -> None:
    operations: list[SetTokens | Call | LoadState] = [
        SetTokens(taker.address, USDC),  # type: ignore[arg-type]  # atoms
        Call(taker.address, 0, EXCHANGE, Wei(0), deposit(USDC)),
    ]
    first = chain.head.header.number + 1
    seal_with(chain, development=operations)
    seal_with(chain, governance=[submission(chain, make(Halt, height=0))])
    seal_with(chain, governance=[submission(chain, make(Resume))])

    assert is_empty(run(chain, first), chain)


def deposit(amount: int) -> bytes:
    return contract("Exchange").functions["deposit"].encode_call(amount)


def seal_with(
    chain: Chain,
    *,
    governance: Sequence[bytes] = (),
    development: Sequence[SetTokens | Call | LoadState] = (),
) -> Block:
    """Seal a block of what is no transaction of people's."""
    chain.time_ms = TimeMs(chain.time_ms + 100)
    made = chain.blockchain.execute([], chain.time_ms, None, governance, development)
    chain.blockchain.commit(made)
    return chain.head


def submission(chain: Chain, action: Action) -> bytes:
    domain = Domain(chain.blockchain.genesis.chain_id, chain.blockchain.genesis_hash)
    return encode_submission(action, sign_action(action, domain, MEMBERS[:3]))


# --- something left out ---------------------------------------------------------------------------


def test_what_is_left_out_uses_up_its_nonce_and_later_ones_stand(
    chain: Chain, taker: Person
) -> None:
    wrong = taker.call("Exchange", "deposit", 7 * USDC)
    block = chain.seal(wrong, taker.call("Exchange", "deposit", 5 * USDC))

    found = run(chain, block.header.number, left_out(wrong.hash))

    (row,) = [each for each in found.statement.rows if each.account == taker.address]
    assert (row.equity_was - row.equity_should, row.loss) == (7 * USDC, 0)
    assert (row.withdrawn_was, row.withdrawn_should) == (-7 * USDC, 0)
    assert outcomes(found) == {wrong.hash: LEFT_OUT}


def test_a_body_is_sorted_anew_when_an_order_is_left_out(
    chain: Chain, maker: Person, taker: Person
) -> None:
    chain.seal(maker.order(-10, PRICE + 1))
    order = maker.order(-1, PRICE + 500)
    # The maker's cancel comes behind the taker, because its order came before it (O8).
    block = chain.seal(
        order,
        taker.order(10, PRICE + 5, tif=1),
        maker.call("Exchange", "cancelAllOrders", BTC),
    )

    found = run(chain, block.header.number, left_out(order.hash))

    fills = {each.account: each.fills for each in found.statement.rows if each.is_person}
    assert fills == {maker.address: (1, 0), taker.address: (1, 0)}


def test_what_fails_without_it_is_told_with_its_reason(chain: Chain, taker: Person) -> None:
    deposit = taker.call("Exchange", "deposit", 50_000 * USDC)
    chain.seal(deposit)
    withdrawal = taker.call("Exchange", "withdraw", 120_000 * USDC)
    chain.seal(withdrawal)

    found = run(chain, chain.head.header.number - 1, left_out(deposit.hash))

    reason = f"InsufficientBalance(0x{taker.address.hex()}, {100_000 * USDC}, {120_000 * USDC})"
    assert outcomes(found)[withdrawal.hash] == f"reverted: {reason}"
    (row,) = [each for each in found.statement.rows if each.account == taker.address]
    # The margin that was there stays: 100,000 in place of 30,000 and 70,000 taken out net.
    assert (row.equity_was, row.equity_should) == (30_000 * USDC, 100_000 * USDC)
    assert (row.withdrawn_was, row.withdrawn_should, row.loss) == (70_000 * USDC, 0, 0)


def test_who_could_not_have_paid_is_not_in_the_block_and_nor_is_what_came_after(
    chain: Chain, maker: Person
) -> None:
    poor = Person("poor")
    gift = maker.send(poor.address, value=COIN)
    chain.seal(gift)
    # Orders come behind the protocol's own transactions of this block: each is still found.
    first, second = poor.order(-1, PRICE + 500), poor.order(-2, PRICE + 500)
    other = maker.call("Exchange", "deposit", USDC)
    chain.seal(*chain.reports(PRICE + 40), other, first, second)

    found = run(chain, chain.head.header.number - 1, left_out(gift.hash))

    told = outcomes(found)
    assert told[gift.hash] == LEFT_OUT
    assert told[first.hash].startswith("could not be: insufficient funds")
    assert told[second.hash].startswith("could not be: nonce too high")
    assert other.hash not in told


def test_an_action_of_the_council_is_left_out_by_its_transaction(chain: Chain) -> None:
    action = make(SetParameter, market=BTC, name="taker_fee_ppm", value=900)
    block = seal_with(chain, governance=[submission(chain, action)])
    taken = [tx for tx in block.transactions if tx.sender == SYSTEM_ACCOUNT and tx.data]
    maker, taker = Person("maker"), Person("taker")
    chain.seal(maker.order(-10, PRICE))
    chain.seal(taker.order(10, PRICE, tif=1))

    found = run(chain, block.header.number, left_out(taken[0].hash))

    # 10 lots · 400,000 ticks · 10 atoms = 40 USDC: 450 ppm of it in place of 900.
    (row,) = [each for each in found.statement.rows if each.account == taker.address]
    assert row.loss == 18_000
    assert outcomes(found) == {taken[0].hash: LEFT_OUT}


def test_an_action_that_its_rule_refuses_now_is_left_out_and_told(chain: Chain) -> None:
    halt = seal_with(chain, governance=[submission(chain, make(Halt, height=0))])
    resume = seal_with(chain, governance=[submission(chain, make(Resume))])
    halted, resumed = (next(tx for tx in block.transactions if tx.data) for block in (halt, resume))

    found = run(chain, halt.header.number, left_out(halted.hash))

    assert outcomes(found)[resumed.hash].startswith("could not be: NotHalted")


def test_a_repayment_is_replayed_and_without_its_action_pays_nobody(
    chain: Chain, taker: Person
) -> None:
    refunds = (Refund(0, taker.address, Quote(300)),)
    ledger: Any = chain.blockchain.ledger_after(chain.head)
    opened = seal_with(
        chain, governance=[submission(chain, make_compensation(ledger, refunds, pay_until=2**40))]
    )
    action = next(tx for tx in opened.transactions if tx.sender == SYSTEM_ACCOUNT and tx.data)
    pay = taker.call("LiquidatorVault", "payRefunds", 1, refunds, [[]])
    chain.seal(pay)
    assert chain.receipts[0].status == 1

    honest = run(chain, opened.header.number)
    found = run(chain, opened.header.number, left_out(action.hash))

    assert is_empty(honest, chain)
    assert "Refunds" in {row.name for row in honest.statement.rows}
    losses = {row.account: row.loss for row in found.statement.rows if row.loss}
    assert losses == {taker.address: -300, VAULT: 300}
    assert outcomes(found)[pay.hash].startswith("reverted: ")


def test_a_call_in_somebodys_name_leaves_its_nonce(chain: Chain, taker: Person) -> None:
    calls = [Call(taker.address, each, EXCHANGE, Wei(0), deposit(USDC)) for each in (0, 1)]
    block = seal_with(chain, development=calls)
    wrong = next(tx for tx in block.transactions if tx.data == encode_operation(calls[0]))

    found = run(chain, block.header.number, left_out(wrong.hash))

    (row,) = [each for each in found.statement.rows if each.account == taker.address]
    assert (row.withdrawn_was, row.withdrawn_should) == (-USDC, 0)


def test_leaving_out_what_is_not_there_is_refused(chain: Chain) -> None:
    with pytest.raises(CorrectionsError, match=r"left_out: 0x1111.* is in no block of the range"):
        run(chain, 30, left_out(Hash32(b"\x11" * 32)))


@pytest.mark.parametrize(
    ("market", "first", "words"),
    [
        (1, 31, "blocks 31 to 31: the range is 29 to 30"),
        (1, 28, "blocks 28 to 28: the range is 29 to 30"),
        (2, 30, "prices of market 2, blocks 30 to 30: nobody reported one there"),
    ],
)
def test_correcting_what_is_not_there_is_refused(
    chain: Chain, market: int, first: int, words: str
) -> None:
    span = Span(MarketId(market), Height(first), Height(first))
    price = PriceCorrection(span, False, (first,), (Ticks(PRICE),))

    with pytest.raises(CorrectionsError, match=words):
        run(chain, 29, Corrections(prices=(price,)))


def test_leaving_out_what_the_protocol_did_is_refused(chain: Chain) -> None:
    block = chain.seal(*chain.reports(PRICE + 10))
    own = next(tx for tx in block.transactions if tx.sender == SYSTEM_ACCOUNT)

    with pytest.raises(CorrectionsError, match="is what the protocol did in block 31"):
        run(chain, 31, left_out(own.hash))


def test_a_chain_that_stays_halted_can_have_no_such_block(chain: Chain) -> None:
    seal_with(chain, governance=[submission(chain, make(Halt, height=0))])
    resume = seal_with(chain, governance=[submission(chain, make(Resume))])
    chain.seal(*chain.reports(PRICE))
    resumed = next(tx for tx in resume.transactions if tx.data)

    with pytest.raises(ReplayImpossible, match=r"no such block can be .* HALTED"):
        run(chain, resume.header.number - 1, left_out(resumed.hash))


# --- numbers --------------------------------------------------------------------------------------


def test_a_corrected_price_is_what_reporters_say_and_the_rules_accept(chain: Chain) -> None:
    first = chain.head.header.number + 1
    for step in range(5):
        chain.seal(*chain.reports(PRICE + 100 + step))
    span = Span(BTC, Height(first), Height(first + 4))
    steps = PriceCorrection(
        span, False, (Height(first), Height(first + 2)), (Ticks(PRICE + 7), Ticks(PRICE + 9))
    )

    found = run(chain, first, Corrections(prices=(steps,)))

    accepted = [each.should for each in found.evidence if each.kind == "PriceAccepted"]
    assert accepted[0].endswith(f"price {PRICE + 7}")
    assert accepted[2].endswith(f"price {PRICE + 9}")
    assert found.statement.marks[BTC] == PRICE + 9


def test_a_corrected_price_too_far_away_is_a_jump_as_it_would_have_been(chain: Chain) -> None:
    first = chain.head.header.number + 1
    chain.seal(*chain.reports(PRICE))
    far = PriceCorrection(
        Span(BTC, Height(first), Height(first)), False, (first,), (Ticks(PRICE * 2),)
    )

    found = run(chain, first, Corrections(prices=(far,)))

    (change,) = [each for each in found.evidence if each.kind == "ModeChanged"]
    assert (change.was, change.should[-11:]) == ("", "reason JUMP")
    assert found.statement.marks[BTC] == PRICE


def test_a_corrected_rate_accrues_from_its_block_on(
    chain: Chain, maker: Person, taker: Person
) -> None:
    chain.seal(*chain.reports(PRICE), maker.order(-1_000, PRICE))
    chain.seal(*chain.reports(PRICE), taker.order(1_000, PRICE, tif=1))
    first = chain.head.header.number + 1
    for _ in range(4):
        chain.seal(*chain.reports(PRICE))
    span = Span(BTC, Height(first), Height(first + 3))
    doubled = FundingCorrection(span, None, RatePpb(200_000))

    found = run(chain, first, Corrections(funding=(doubled,)))

    # A block adds trunc(100,000 · 400,000 · 10 · 100 / 28,800,000) = 1,388,888 to the index, and
    # 2,777,777 at twice the rate. Times 4 blocks and 1,000 lots that is 5.56 and 11.11 atoms: the
    # short is due 5 and 11, the long -6 and -12.
    rows = {each.account: each for each in found.statement.rows}
    assert rows[maker.address].loss == rows[maker.address].funding == 6
    assert rows[taker.address].loss == rows[taker.address].funding == -6
    assert rows[market_address(BTC)].loss == 0


def test_a_market_that_is_not_there_yet_has_no_funding_to_correct(chain: Chain) -> None:
    span = Span(MarketId(9), Height(30), Height(30))

    with pytest.raises(CorrectionsError, match="no market 9 before block 30"):
        run(chain, 30, Corrections(funding=(FundingCorrection(span, FundingIndex(1), None),)))


# --- what can't be replayed -----------------------------------------------------------------------


def test_a_loaded_state_ends_what_can_be_replayed(chain: Chain) -> None:
    dump = chain.blockchain.dump_head()
    block = seal_with(chain, development=[LoadState(dump)])

    with pytest.raises(ReplayImpossible, match=f"block {block.header.number} loads a whole state"):
        run(chain, 30)


@pytest.mark.parametrize("first", [0, 31])
def test_a_range_that_is_none_is_refused(chain: Chain, first: int) -> None:
    with pytest.raises(OperatorError, match="FIRST is from 1 to 30"):
        run(chain, first)


# --- the state ------------------------------------------------------------------------------------


def test_the_state_reads_what_a_replay_changed_before_what_was(chain: Chain) -> None:
    base = chain.blockchain.proof_state(chain.head)
    state = CounterfactualState(base)
    (first, before), (second, _), *_ = base.records(EXCHANGE)
    somebody = Address(b"\x77" * 20)

    state.take(
        Changes({somebody: AccountChange(3, Wei(4), EMPTY_CODE_HASH)}, {EXCHANGE: {first: b"new"}})
    )
    state.take(Changes({}, {EXCHANGE: {second: None}}))

    assert before != b"new"
    assert state.get_record(EXCHANGE, first) == b"new"
    assert state.get_record(EXCHANGE, second) is None
    expected = dict(base.records(EXCHANGE)) | {first: b"new"}
    del expected[second]
    assert list(state.records(EXCHANGE)) == sorted(expected.items())
    leaf = state.get_account(somebody)
    assert leaf is not None
    assert (leaf.nonce, leaf.balance) == (3, 4)
    assert state.get_account(EXCHANGE) == base.get_account(EXCHANGE)
    addresses = [address for address, _ in state.accounts()]
    assert addresses == sorted([*(address for address, _ in base.accounts()), somebody])
