"""One wrong price in one block, and a liquidation that should not have been: numbers by hand.

A lot at a tick is 10 atoms, so a lot at 400,000 ticks is 4 USDC. No fees, no funding.

    the long buys 4,500 lots at 400,000 with a margin of 1,000 USDC: notional 18,000, MM 450
    the bidder bids for 4,500 lots at 386,000
    the wrong block reports 386,000, 3.5 % below: equity 1,000 - 4,500 · 14,000 · 10 atoms = 370
    USDC, MM is 2.5 % of 17,370 = 434.25: liquidated
"""

from pathlib import Path
from typing import NamedTuple

from node.chain.block import Block
from node.chain.genesis import Genesis
from node.state.kv import KeyValue
from node.units import Height, RatePpb, RatePpm
from tests.helpers.chain import USDC, Chain, Person, make_genesis

RIGHT, WRONG = 400_000, 386_000
SIZE = 4_500
LONG, MAKER, BIDDER = Person("long"), Person("maker"), Person("bidder")


class Incident(NamedTuple):
    """The chain after it, and where it went wrong."""

    chain: Chain
    wrong: Height

    @property
    def last(self) -> Block:
        return self.chain.head


def make_incident_genesis() -> Genesis:
    """Return a chain of markets without fees and interest, where everybody has 1,000 USDC."""
    genesis = make_genesis([LONG, MAKER, BIDDER], margin=1_000 * USDC)
    markets = [
        market._replace(
            params=market.params._replace(
                taker_fee_ppm=RatePpm(0),
                maker_fee_ppm=RatePpm(0),
                funding_interest_ppb=RatePpb(0),
            )
        )
        for market in genesis.markets
    ]
    return genesis._replace(markets=tuple(markets))


def tell_incident(
    genesis: Genesis | None = None, kv: KeyValue | None = None, head_file: Path | None = None
) -> Incident:
    """Trade at the right price, report a wrong one for a block, then the right one again."""
    for person in (LONG, MAKER, BIDDER):
        person.nonce = 0
    chain = Chain(genesis or make_incident_genesis(), kv, head_file)
    chain.open_market(RIGHT)
    chain.seal(*chain.reports(RIGHT), MAKER.order(-SIZE, RIGHT))
    chain.seal(*chain.reports(RIGHT), LONG.order(SIZE, RIGHT, tif=1))
    chain.seal(*chain.reports(RIGHT), BIDDER.order(SIZE, WRONG))
    wrong = chain.seal(*chain.reports(WRONG))
    for _ in range(3):
        chain.seal(*chain.reports(RIGHT))
    return Incident(chain, wrong.header.number)
