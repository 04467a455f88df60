"""Random play on a whole chain: people trade with thin margins while prices wander and jump."""

from random import Random
from typing import Final

from node.chain.transaction import Transaction
from node.perp.parameters import MarketParams
from node.state.kv import MemoryDb
from node.system.classes import classify
from node.units import DurationMs, MarketId
from tests.helpers.chain import BTC, USDC, Chain, Person, make_genesis

PRICE: Final = 400_000
PEOPLE: Final = tuple(f"player-{number}" for number in range(5))
ETH: Final = MarketId(2)


def _with_funding(params: MarketParams) -> MarketParams:
    """Let an interval end within a few blocks."""
    return params._replace(funding_interval_ms=DurationMs(params.funding_interval_ms // 10))


_GENESIS = make_genesis([Person(role) for role in PEOPLE], margin=1_000 * USDC)
GENESIS: Final = _GENESIS._replace(
    markets=tuple(each._replace(params=_with_funding(each.params)) for each in _GENESIS.markets)
)


def open_table() -> Chain:
    """Return a chain whose markets are open."""
    chain = Chain(GENESIS)
    for _ in range(30):
        chain.seal(*chain.reports(PRICE), *chain.reports(PRICE // 2, market=ETH))
    return chain


def play(opened: Chain, seed: int, blocks: int) -> Chain:
    """Go on from a copy of an opened chain."""
    random = Random(seed)
    chain = Chain(GENESIS, MemoryDb(dict(opened.kv.items(b""))))
    for reporter, before in zip(chain.reporters, opened.reporters, strict=True):
        reporter.nonce = before.nonce
    people = [Person(role) for role in PEOPLE]
    prices = {BTC: PRICE, ETH: PRICE // 2}
    for _ in range(blocks):
        elapsed_ms = random.choice([100, 100, 100, 300, 1_500])
        transactions: list[Transaction] = []
        for market, price in prices.items():
            width = price * random.choice([2, 10, 40]) // 1_000
            prices[market] = max(1_000, price + random.randint(-width, width))
            if random.random() < 0.9:
                transactions += chain.reports(prices[market], market, elapsed_ms)
        for person in people:
            if random.random() < 0.7:
                transactions.append(_act(random, person, prices))
        transactions.sort(key=lambda tx: classify(tx.to, tx.data))
        chain.seal(*transactions, elapsed_ms=elapsed_ms)
    return chain


def _act(random: Random, person: Person, prices: dict[MarketId, int]) -> Transaction:
    market, price = random.choice(list(prices.items()))
    size = random.choice([-1, 1]) * random.randint(10, 4_000)
    near = price + random.randint(-price, price) // 100
    match random.randrange(9):
        case 0:
            return person.call("Exchange", "deposit", random.randint(1, 200) * USDC)
        case 1:
            return person.call("Exchange", "withdraw", random.randint(1, 300) * USDC)
        case 2:
            return person.call("Exchange", "cancelAllOrders", market)
        case 3:
            return person.call("Exchange", "placeMarketOrder", market, size, False)
        case 4:
            return person.call("Exchange", "placeTrigger", market, size, near, 0)
        case 5:
            return person.order(size, near, tif=1, market=market)
        case 6:
            other = random.choice(PEOPLE)
            return person.send(Person(other).address, value=random.randint(0, 10**21))
        case _:
            return person.order(size, near, market=market)
