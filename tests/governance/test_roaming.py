"""Any sequence of actions, prices, gaps and orders: every block holds the invariants (I7).

A wrong invariant would be as bad as a wrong rule: the block would be refused, and the chain stand.
"""

from random import Random

import pytest

from node.errors import BodyMismatch, InvalidBlock
from node.governance.action import AcknowledgeJump, Action, CancelOrders, Halt, Resume, SetMode
from node.governance.audit import is_whole
from node.perp.invariants import check_all
from node.perp.status import CHAIN, Mode
from node.system.governance import get_audit_entries
from node.units import Hash32, Height, MarketId
from tests.governance.test_chain import PRICE, CouncilChain
from tests.helpers.chain import BTC, Person
from tests.helpers.council import make

BLOCKS = 60


def draw_action(random: Random, chain: CouncilChain, price: int) -> Action:
    nonce = Hash32(random.randbytes(32))
    kind = random.choice([Halt, Resume, Resume, SetMode, SetMode, SetMode, CancelOrders, None])
    if kind is Halt:
        height = random.choice([0, 0, chain.head.header.number + random.randint(1, 4)])
        action: Action = make(Halt, height=height, nonce=nonce)
    elif kind is Resume:
        action = make(Resume, nonce=nonce)
    elif kind is SetMode:
        market = random.choice([CHAIN, BTC, MarketId(2)])
        mode = random.choice([Mode.OPEN, Mode.OPEN, *Mode])
        action = make(SetMode, market=market, mode=mode, nonce=nonce)
    elif kind is CancelOrders:
        action = make(CancelOrders, filter=random.choice([0, 0, 1]), nonce=nonce)
    else:
        action = make(AcknowledgeJump, market=BTC, price=price, nonce=nonce)
    return action


def roam(seed: int) -> set[Mode]:
    """Seal random blocks and return the modes that the chain was in."""
    random = Random(seed)
    chain = CouncilChain()
    chain.open_market(PRICE)
    price, seen = PRICE, set[Mode]()
    for _ in range(BLOCKS):
        seen.add(chain.mode())
        gap = chain.blockchain.genesis.chain.gap_ms_max + 1
        elapsed = random.choice([100] * 12 + [1_000, gap])
        price = random.choice([price] * 8 + [price * 101 // 100, price * 120 // 100])
        actions = [draw_action(random, chain, price) for _ in range(random.choice([0, 0, 0, 1, 2]))]
        saved = (chain.time_ms, [each.nonce for each in people(chain)])
        transactions = []
        if chain.mode() != Mode.HALTED:
            if random.random() < 0.85:
                transactions += chain.reports(price, elapsed_ms=elapsed)
            size = random.choice([-20, -5, 5, 20])
            trader = random.choice([chain.buyer, chain.seller])
            transactions.append(trader.order(size, price + random.choice([-20, 0, 20])))
        elif not actions:
            continue
        try:
            chain.govern(*actions, transactions=transactions, elapsed_ms=elapsed)
        except BodyMismatch:  # a rule refuses one of the actions: then there is no block
            chain.time_ms = saved[0]
            for each, nonce in zip(people(chain), saved[1], strict=True):
                each.nonce = nonce
    check_all(chain.blockchain.ledger_after(chain.head))
    entries = get_audit_entries(chain.ledger, 0, 1_000)
    assert is_whole(chain.ledger.audit_log, entries)
    twin = CouncilChain()
    for height in range(1, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        twin.blockchain.import_block(block)
    assert twin.head.hash == chain.head.hash
    return seen


def people(chain: CouncilChain) -> list[Person]:
    return [*chain.reporters, chain.buyer, chain.seller]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_council_does_the_invariants_hold(seed: int) -> None:
    try:
        seen = roam(seed)
    except InvalidBlock as failure:
        pytest.fail(f"seed {seed}: {failure}")

    assert len(seen) > 1
