"""A block executed on a whole chain: order, charges, reverts, and what the protocol adds."""

import pytest

from node.chain.execution import class_gas_limit
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transition import decode_transition
from node.errors import BodyMismatch, InsufficientFunds, NonceTooHigh, NonceTooLow
from node.perp.account import FEES
from node.perp.events import FundingAccrued, ModeChanged, OrderFilled, PriceAccepted
from node.perp.modes import Mode
from node.system.classes import ActionClass
from node.system.contracts import contract
from tests.helpers.chain import BTC, COIN, GWEI, USDC, Chain, Person, make_genesis

PRICE = 400_000  # ticks of 0.1 USD


@pytest.fixture
def maker() -> Person:
    return Person("maker")


@pytest.fixture
def taker() -> Person:
    return Person("taker")


@pytest.fixture
def chain(maker: Person, taker: Person) -> Chain:
    return Chain(make_genesis([maker, taker]))


@pytest.fixture
def open_chain(chain: Chain) -> Chain:
    chain.open_market(PRICE)
    return chain


def test_market_opens_after_a_fresh_quorum(open_chain: Chain) -> None:
    ledger = open_chain.blockchain.ledger_after(open_chain.head)

    assert ledger.statuses.get(BTC).mode == Mode.OPEN  # type: ignore[union-attr]  # every market has one
    assert ledger.status.mode == Mode.OPEN


def test_maker_and_taker_meet_at_the_makers_price(
    open_chain: Chain, maker: Person, taker: Person
) -> None:
    open_chain.seal(*open_chain.reports(PRICE), maker.order(-10, PRICE + 1))
    block = open_chain.seal(*open_chain.reports(PRICE), taker.order(10, PRICE + 5, tif=1))

    fills = [
        event
        for event in map(decode_transition, block.transitions)
        if isinstance(event, OrderFilled)
    ]
    assert [(fill.maker, fill.taker, fill.size, fill.price) for fill in fills] == [
        (maker.address, taker.address, 10, PRICE + 1)
    ]
    # 10 lots · 400,001 ticks · 10 atoms = 40,000,100 atoms; fees 450 and 150 ppm, ceil.
    notional, taker_fee, maker_fee = 40_000_100, 18_001, 6_001
    assert open_chain.balance(taker.address) == 100_000 * USDC - notional - taker_fee
    assert open_chain.balance(maker.address) == 100_000 * USDC + notional - maker_fee
    assert open_chain.balance(FEES) == taker_fee + maker_fee


def test_refused_action_costs_gas_and_nonce_and_changes_nothing_else(
    open_chain: Chain, taker: Person
) -> None:
    before = open_chain.balance(taker.address)

    open_chain.seal(taker.call("Exchange", "withdraw", 1_000_000 * USDC))

    receipt = open_chain.receipts[0]
    assert receipt.status == 0
    error = contract("Exchange").errors["InsufficientBalance"]
    assert receipt.output[:4] == error.selector
    assert receipt.logs == ()
    assert open_chain.balance(taker.address) == before
    native = open_chain.blockchain.head.state.get_account(taker.address)
    assert native is not None
    assert (native.nonce, native.balance) == (1, 10_000 * COIN - receipt.gas_used * GWEI)


def test_gas_goes_to_the_fees_address(chain: Chain, maker: Person, taker: Person) -> None:
    chain.seal(maker.send(taker.address, value=5))

    fees = chain.blockchain.head.state.get_account(FEES)
    assert fees is not None
    assert fees.balance == 21_000 * GWEI
    receiver = chain.blockchain.head.state.get_account(taker.address)
    assert receiver is not None
    assert receiver.balance == 10_000 * COIN + 5


def test_system_transaction_carries_what_the_protocol_did(chain: Chain) -> None:
    chain.seal(*chain.reports(PRICE))

    block = chain.head
    system = [tx for tx in block.transactions if tx.sender == SYSTEM_ACCOUNT]
    assert len(system) == 1
    assert block.transactions.index(system[0]) == 3  # after the three reports
    kinds = [type(decode_transition(each)) for each in block.transitions]
    assert PriceAccepted in kinds


def test_quiet_block_has_no_system_transaction(chain: Chain) -> None:
    block = chain.seal()

    assert block.transactions == ()
    assert block.header.gas_used == 0


def test_funding_accrues_only_while_open(open_chain: Chain) -> None:
    accrued = open_chain.seal(*open_chain.reports(PRICE))
    gap = open_chain.seal(*open_chain.reports(PRICE, elapsed_ms=3_001), elapsed_ms=3_001)

    kinds = [
        [type(decode_transition(each)) for each in block.transitions] for block in (accrued, gap)
    ]
    assert FundingAccrued in kinds[0]
    assert ModeChanged in kinds[1]
    assert FundingAccrued not in kinds[1]


def test_body_out_of_order_is_refused(open_chain: Chain, maker: Person, taker: Person) -> None:
    order = maker.order(1, PRICE - 100)
    cancel = taker.call("Exchange", "cancelAllOrders", BTC)

    with pytest.raises(BodyMismatch, match=r"transactions\[1\].class"):
        open_chain.blockchain.execute([order, cancel], open_chain.head.extension.time_ms + 1)  # type: ignore[arg-type]  # a time


def test_a_senders_later_cancel_has_the_class_of_its_earlier_order(
    open_chain: Chain, maker: Person, taker: Person
) -> None:
    order = maker.order(1, PRICE - 100)
    later_cancel = maker.call("Exchange", "cancelAllOrders", BTC)
    others_order = taker.order(1, PRICE - 100)

    block = open_chain.seal(order, later_cancel, others_order)

    assert [tx.hash for tx in block.transactions if tx.sender != SYSTEM_ACCOUNT] == [
        order.hash,
        later_cancel.hash,
        others_order.hash,
    ]


def test_other_classes_leave_a_third_of_the_gas_to_orders() -> None:
    assert class_gas_limit(ActionClass.POST_ONLY, 1_000_000_000) == 666_666_666
    assert class_gas_limit(ActionClass.ORDER, 1_000_000_000) == 1_000_000_000


@pytest.mark.parametrize(("nonce", "error"), [(1, NonceTooHigh), (0, None)], ids=["gap", "next"])
def test_nonces_run_on(
    chain: Chain, maker: Person, nonce: int, error: type[Exception] | None
) -> None:
    tx = maker.send(FEES, value=1, nonce=nonce)

    if error is None:
        assert chain.seal(tx).header.gas_used == 21_000
    else:
        with pytest.raises(error):
            chain.seal(tx)


def test_used_nonce_is_refused(chain: Chain, maker: Person) -> None:
    tx = maker.send(FEES, value=1)
    chain.seal(tx)

    with pytest.raises(NonceTooLow):
        chain.seal(tx)


def test_sender_must_afford_gas_and_value(chain: Chain, maker: Person) -> None:
    with pytest.raises(InsufficientFunds):
        chain.seal(maker.send(FEES, value=10_000 * COIN))


def test_refused_block_leaves_the_head_and_the_next_block_untouched(
    chain: Chain, maker: Person
) -> None:
    twin = Chain(chain.blockchain.genesis)
    with pytest.raises(NonceTooHigh):
        chain.blockchain.execute([maker.send(FEES, value=1, nonce=7)], chain.time_ms + 50)  # type: ignore[arg-type]  # a time

    good = maker.send(FEES, value=1, nonce=0)
    assert chain.seal(good).hash == twin.seal(good).hash
