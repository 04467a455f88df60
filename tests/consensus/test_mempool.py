"""Admission and choice."""

from typing import Any

import pytest

from node.chain.system_transaction import build_system_transaction
from node.consensus.mempool import Mempool
from node.errors import (
    AlreadyKnown,
    InsufficientFunds,
    IntrinsicGasTooLow,
    InvalidTransaction,
    NonceTooHigh,
    NonceTooLow,
    ReplacementUnderpriced,
    ReservedSender,
    WrongChainId,
)
from node.perp.account import FEES
from tests.helpers.chain import BTC, COIN, GWEI, Chain, Person, make_genesis


@pytest.fixture
def sender() -> Person:
    return Person("sender")


@pytest.fixture
def other() -> Person:
    return Person("other")


@pytest.fixture
def chain(sender: Person, other: Person) -> Chain:
    return Chain(make_genesis([sender, other]))


@pytest.fixture
def mempool(chain: Chain) -> Mempool:
    return Mempool(chain.blockchain)


def test_choice_is_by_class_then_arrival(mempool: Mempool, sender: Person, other: Person) -> None:
    order = sender.order(1, 100)
    post_only = other.order(1, 100, tif=2)
    later_cancel = sender.call("Exchange", "cancelAllOrders", BTC)
    for tx in (order, post_only, later_cancel):
        mempool.add(tx)

    chosen = mempool.choose()

    # The cancel may not overtake its own sender's order (O8), the post-only may.
    assert [tx.hash for tx in chosen] == [post_only.hash, order.hash, later_cancel.hash]


def test_gapped_nonce_waits_until_the_gap_is_filled(mempool: Mempool, sender: Person) -> None:
    first, second = sender.send(FEES, value=1), sender.send(FEES, value=2)
    mempool.add(second)
    assert mempool.choose() == []
    assert mempool.pending_nonce(sender.address) == 0

    mempool.add(first)

    assert mempool.choose() == [first, second]
    assert mempool.pending_nonce(sender.address) == 2


def test_chosen_transactions_are_always_includable(
    chain: Chain, mempool: Mempool, sender: Person
) -> None:
    for _ in range(3):
        mempool.add(sender.send(FEES, value=4_000 * COIN))

    chosen = mempool.choose()

    assert len(chosen) == 2  # 10,000 coins cover two of them
    chain.seal(*chosen)
    assert len(mempool) == 1
    assert mempool.choose() == []


def test_included_and_outrun_transactions_leave(
    chain: Chain, mempool: Mempool, sender: Person
) -> None:
    mempool.add(sender.send(FEES, value=1))
    replaced_elsewhere = sender.send(FEES, value=2, nonce=0)

    chain.seal(replaced_elsewhere)

    assert len(mempool) == 0
    assert mempool.pending_nonce(sender.address) == 1


def test_replacement_takes_ten_percent_more_in_both_fees(mempool: Mempool, sender: Person) -> None:
    mempool.add(sender.send(FEES, value=1, max_fee=10 * GWEI, max_priority_fee=GWEI))

    with pytest.raises(ReplacementUnderpriced):
        mempool.add(sender.send(FEES, value=2, nonce=0, max_fee=11 * GWEI, max_priority_fee=GWEI))
    better = sender.send(
        FEES, value=2, nonce=0, max_fee=11 * GWEI, max_priority_fee=11 * GWEI // 10
    )
    mempool.add(better)

    assert mempool.choose() == [better]


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"nonce": 1 << 32}, NonceTooHigh),
        ({"gas_limit": 20_999}, IntrinsicGasTooLow),
        ({"value": 10_001 * COIN}, InsufficientFunds),
        ({"chain_id": 1}, WrongChainId),
    ],
)
def test_refusals_are_typed(
    mempool: Mempool, sender: Person, changes: dict[str, Any], error: type[InvalidTransaction]
) -> None:
    with pytest.raises(error):
        mempool.add(sender.send(FEES, **changes))

    assert len(mempool) == 0


def test_same_transaction_twice_is_known(mempool: Mempool, sender: Person) -> None:
    tx = sender.send(FEES)
    mempool.add(tx)

    with pytest.raises(AlreadyKnown):
        mempool.add(tx)


def test_used_nonce_is_too_low(chain: Chain, mempool: Mempool, sender: Person) -> None:
    chain.seal(sender.send(FEES))

    with pytest.raises(NonceTooLow, match="next nonce 1, tx nonce 0"):
        mempool.add(sender.send(FEES, value=1, nonce=0))


def test_published_system_key_can_not_be_used(mempool: Mempool) -> None:
    with pytest.raises(ReservedSender):
        mempool.add(build_system_transaction(20260119, 0, b""))


def test_other_classes_leave_orders_their_third(
    chain: Chain, mempool: Mempool, sender: Person, other: Person
) -> None:
    chain.blockchain.genesis = chain.blockchain.genesis._replace(gas_limit=90_000)
    for _ in range(4):
        mempool.add(sender.send(FEES, gas_limit=21_000))
    order = other.order(1, 100, gas_limit=60_000)
    mempool.add(order)

    chosen = mempool.choose()

    # Two transfers fit 60,000; the order of about 31,000 gas still has its place.
    assert [tx.sender for tx in chosen] == [sender.address, sender.address, other.address]
