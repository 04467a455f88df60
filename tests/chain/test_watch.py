"""What a node keeps in memory of whom to liquidate never changes what a block does (L1, G5)."""

from node.chain.block import Block
from node.chain.transition import decode_transition
from node.perp.events import OrderCancelled, PositionLiquidated
from node.perp.order import CancelReason
from node.state.kv import MemoryDb
from tests.helpers.chain import Chain, Person, make_genesis

PRICE = 400_000


def fall(chain: Chain, maker: Person, taker: Person) -> None:
    """Let the taker buy for eight times its margin, then let the price fall by 12 %."""
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(-200_000, PRICE, gas_limit=200_000))
    chain.seal(*chain.reports(PRICE), taker.order(200_000, PRICE, tif=1))
    chain.seal(*chain.reports(PRICE), taker.order(100, PRICE - 30_000))
    for price in (PRICE - 16_000, PRICE - 32_000, PRICE - 40_000, PRICE - 48_000):
        bid = maker.order(30_000, price - 800)
        chain.seal(*chain.reports(price, elapsed_ms=1_000), bid, elapsed_ms=1_000)
    chain.seal(*chain.reports(PRICE - 48_000))


def test_restarted_node_liquidates_whom_the_running_one_does_l1_g5() -> None:
    people = Person("maker"), Person("taker")
    genesis = make_genesis(people)
    running, kv = Chain(genesis), MemoryDb()
    blocks: list[Block] = []
    running.blockchain.on_head(lambda head: blocks.append(head.block))
    fall(running, *people)
    events = [decode_transition(each) for block in blocks for each in block.transitions]
    assert any(isinstance(event, PositionLiquidated) for event in events)
    assert any(
        isinstance(event, OrderCancelled) and event.reason == CancelReason.UNCOVERED
        for event in events
    )

    for block in blocks:
        restarted = Chain(genesis, kv)
        restarted.blockchain.import_block(block)

        assert restarted.head.hash == block.hash
