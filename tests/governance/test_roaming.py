"""Any sequence of actions, prices, gaps and orders: every block holds the invariants (I7).

A wrong invariant would be as bad as a wrong rule: the block would be refused, and the chain stand.
"""

from random import Random
from typing import Any

import pytest

from node.chain.transaction import Transaction
from node.errors import BodyMismatch, InvalidBlock
from node.governance.action import (
    AcknowledgeJump,
    Action,
    Bracket,
    CancelOrders,
    ChangeCouncil,
    Compensate,
    Halt,
    ListMarket,
    Resume,
    ScheduleMaintenance,
    SetBrackets,
    SetMode,
    SetParameter,
    SetReporters,
    SettleMarket,
)
from node.governance.audit import is_whole
from node.governance.refund import Refund, build_proof, compute_root, make_refund_tree
from node.perp.account import VAULT
from node.perp.invariants import check_all
from node.perp.maintenance import ends_halt
from node.perp.margin import get_equity
from node.perp.status import CHAIN, Mode
from node.system.governance import get_audit_entries
from node.units import Hash32, Height, MarketId, Quote, RatePpm, TimeMs
from tests.governance.test_chain import PRICE, CouncilChain
from tests.governance.test_reforms import new_market
from tests.helpers.chain import BTC, Person
from tests.helpers.council import COUNCIL, make

BLOCKS = 60


def draw_action(random: Random, chain: CouncilChain, price: int) -> Action:
    nonce = Hash32(random.randbytes(32))
    if random.random() < 0.4:
        reform: Action = draw_reform(random, chain, price)._replace(nonce=nonce)
        return reform
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


def draw_reform(random: Random, chain: CouncilChain, price: int) -> Any:
    """Return a change of the chain itself, often one that a rule refuses."""
    height, time_ms = chain.head.header.number, chain.time_ms
    market = random.choice([*chain.ledger.market_ids])
    params = chain.ledger.market_params(market)
    kind = random.choice(
        [ScheduleMaintenance, SettleMarket, ChangeCouncil, SetReporters, SetBrackets, ListMarket]
        + [SetParameter] * 4
        + [Compensate] * 2
    )
    fields: dict[str, Any] = {}
    if kind is ScheduleMaintenance:
        fields["start_height"] = height + random.randint(1, 4)
        fields["halt_height"] = fields["start_height"] + random.randint(1, 4)
        fields["end_ms"] = time_ms + random.choice([300, 1_500])
    elif kind is SettleMarket:
        fields |= {"market": market, "price": price * random.choice([100, 103, 150]) // 100}
        fields["beyond_max_move"] = random.random() < 0.5
    elif kind is ChangeCouncil:  # the same members: who signs here is always MEMBERS[:3]
        fields |= {"members": COUNCIL.members, "threshold": random.choice([2, 3])}
    elif kind is SetReporters:
        everybody = sorted(each.address for each in chain.reporters)
        fields |= {"reporters": tuple(everybody[random.randint(0, 1) :])}
        fields["quorum"] = random.randint(1, 3)
    elif kind is SetBrackets:
        fraction = random.choice([20_000, 100_000, 900_000])
        fields |= {"market": market, "brackets": (Bracket(Quote(0), RatePpm(fraction)),)}
    elif kind is Compensate:
        worth = get_equity(chain.ledger, VAULT)
        refunds = draw_list(random, chain)
        total = random.choice([sum(each.amount for each in refunds), worth, worth + 1])
        fields |= {"source": "LiquidatorVault", "root": compute_root(refunds)}
        fields |= {"refunds": len(refunds), "total": total, "cap": 10**15}
        fields["pay_until"] = time_ms // 1_000 + random.choice([0, 2, 60])
    elif kind is ListMarket:
        name = MarketId(random.randint(3, 5))
        fields |= {"market": name, "params": new_market(params, symbol=f"M{name}-USD")}
    else:
        of, target = random.choice([(chain.ledger.params, CHAIN), (params, market)])
        names = [each for each in of._fields if isinstance(getattr(of, each), int)]
        name = random.choice(names)
        value = getattr(of, name) * random.choice([0, 50, 90, 110, 300]) // 100
        fields |= {"market": target, "name": name, "value": value}
    return make(kind, **fields)


def draw_list(random: Random, chain: CouncilChain) -> list[Refund]:
    """Return one of a few lists, for buyer and seller."""
    share = random.randint(1, 6) * 1_000
    return [
        Refund(index, each.address, Quote(share * (index + 1)))
        for index, each in enumerate((chain.buyer, chain.seller))
    ]


def draw_payment(random: Random, chain: CouncilChain) -> Transaction:
    """Return somebody's asking for a refund, more often than not in vain."""
    refunds = draw_list(random, chain)
    tree, index = make_refund_tree(refunds), random.randint(0, 1)
    number = random.randint(1, chain.ledger.escrow.length + 1)
    rows, proofs = refunds[index : index + 1], [build_proof(tree, index)]
    payer = random.choice([chain.buyer, chain.seller])
    return payer.call("LiquidatorVault", "payRefunds", number, rows, proofs)


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
            markets = [BTC, *[each for each in chain.ledger.market_ids if each > 2]]
            for market in markets:
                if random.random() < 0.85:
                    transactions += chain.reports(price, market, elapsed_ms=elapsed)
            size = random.choice([-20, -5, 5, 20])
            trader = random.choice([chain.buyer, chain.seller])
            offset, market = random.choice([-20, 0, 20]), random.choice(markets)
            transactions += [draw_payment(random, chain) for _ in range(random.randint(0, 3))]
            transactions.append(trader.order(size, price + offset, market=market))
        elif not actions and not is_due(chain, elapsed):
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


def is_due(chain: CouncilChain, elapsed: int) -> bool:
    """Tell whether the next block ends a maintenance window's halt."""
    return ends_halt(chain.blockchain.next_ledger(TimeMs(chain.time_ms + elapsed)))


def people(chain: CouncilChain) -> list[Person]:
    return [*chain.reporters, chain.buyer, chain.seller]


@pytest.mark.parametrize("seed", range(4))
def test_whatever_the_council_does_the_invariants_hold(seed: int) -> None:
    try:
        seen = roam(seed)
    except InvalidBlock as failure:
        pytest.fail(f"seed {seed}: {failure}")

    assert len(seen) > 1
