"""Days of a real market, the fall of January 2022, on a chain with leverage.

The prices lie beside the repository (`shared/data`) and may be absent: then this skips.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

import pytest

from node.chain.blockchain import Blockchain
from node.chain.genesis import Genesis, GenesisAccount, read_genesis
from node.chain.ledger import StateLedger
from node.chain.store import BlockStore
from node.chain.transaction import Transaction
from node.chain.transition import decode_transition
from node.crypto import keccak256
from node.devnet.price_file import PRICE_UNIT, read_price_file
from node.perp.account import BRIDGE, DEFICIT, EXCHANGE, SYSTEM_ADDRESS_MAX
from node.perp.events import OrderFilled, PositionLiquidated
from node.perp.invariants import check_all
from node.perp.margin import compute_risk
from node.perp.mark import get_mark
from node.perp.order import TimeInForce
from node.perp.status import Mode, get_mode
from node.state.kv import LevelDb
from node.system.classes import classify
from node.units import PPM, Quote, Ticks, TimeMs, Wei
from tests.helpers.chain import BTC, COIN, USDC, Person

PRICES = Path(__file__).parents[3] / "shared" / "data" / "btc-perp-1m-2022-01.csv"
DEVNET = Path(__file__).parents[2] / "genesis" / "devnet.json"
BLOCK_MS = 30_000
"""Two blocks a bar: its worst price for most, then its close."""
SWEEP_EVERY = 10
"""`apply_block` checks what each block touched; the whole state is swept once in so many."""
RUNGS_PPM = (500, 2_000, 5_000)
"""Where makers quote."""
LEVERAGE = 15
"""Of those who gamble."""


class Crowd:
    """Makers who quote, gamblers with all they have, reporters; all draws follow from the block."""

    def __init__(self) -> None:
        self.makers = [Person(f"maker-{number}") for number in range(3)]
        self.gamblers = [Person(f"gambler-{number}") for number in range(8)]
        self.reporters = [Person(f"reporter-{number}") for number in (1, 2, 3)]

    def genesis(self) -> Genesis:
        """Return the devnet's genesis with these people alone."""
        genesis = read_genesis(DEVNET)
        gas = Wei(10_000 * COIN)
        people = [
            *(GenesisAccount(each.address, gas, Quote(0), Quote(0)) for each in self.reporters),
            *(
                GenesisAccount(each.address, gas, Quote(0), Quote(2_000_000 * USDC))
                for each in self.makers
            ),
            *(
                GenesisAccount(each.address, gas, Quote(10**6 * USDC), Quote(10_000 * USDC))
                for each in self.gamblers
            ),
        ]
        reporters = tuple(sorted(each.address for each in self.reporters))
        return genesis._replace(
            chain=genesis.chain._replace(reporters=reporters, reporter_quorum=2),
            markets=genesis.markets[:1],
            accounts=tuple(sorted(people)),
            vault_margin=Quote(50_000 * USDC),
        )

    def act(self, ledger: StateLedger, price: Ticks, time_ms: TimeMs) -> list[Transaction]:
        """Return what everybody sends for a block, in order of class."""
        sent = [
            each.call("Oracle", "reportPrice", BTC, price, time_ms, 0) for each in self.reporters
        ]
        if get_mode(ledger, BTC) == Mode.OPEN:
            for number, maker in enumerate(self.makers):
                if ledger.height % 3 == number:
                    sent += self._quote(maker, get_mark(ledger, BTC))
            for gambler in self.gamblers:
                sent += self._gamble(ledger, gambler)
        return sorted(sent, key=lambda tx: classify(tx.to, tx.data))

    def _quote(self, maker: Person, mark: Ticks) -> Iterator[Transaction]:
        yield maker.call("Exchange", "cancelAllOrders", BTC)
        for ppm in RUNGS_PPM:
            for side in (1, -1):
                price = mark * (PPM - side * ppm) // PPM
                yield maker.order(side * 4_000, price, tif=TimeInForce.POST_ONLY)

    def _gamble(self, ledger: StateLedger, gambler: Person) -> Iterator[Transaction]:
        draw = keccak256(gambler.address + ledger.height.to_bytes(8, "big"))
        if draw[0] >= 6:
            return
        risk = compute_risk(ledger, gambler.address)
        position = ledger.positions.get((gambler.address, BTC))
        if position is not None:
            if draw[0] > 0:
                return
            yield gambler.call("Exchange", "placeMarketOrder", BTC, -position.size, True)
        elif risk.equity < 2_000 * USDC:
            yield gambler.call("Exchange", "deposit", 10_000 * USDC)
        else:
            side = 1 if draw[1] % 2 else -1
            lots = risk.equity * LEVERAGE // (get_mark(ledger, BTC) * 10)
            yield gambler.call("Exchange", "placeMarketOrder", BTC, side * lots, False)


def read_prices(first_hour: str, hours: int) -> Sequence[Ticks]:
    """Return two prices of each bar, in ticks."""
    first = datetime.fromisoformat(first_hour + ":00+00:00").timestamp() * 1000
    last = first + hours * 3_600_000
    prices = []
    for bar in read_price_file(PRICES):
        if first <= bar.time_ms < last:
            worst = bar.low_e8 if bar.close_e8 < bar.open_e8 else bar.high_e8
            prices += [Ticks(each * 10 // PRICE_UNIT) for each in (worst, bar.close_e8)]
    return prices


@pytest.mark.skipif(not PRICES.exists(), reason="no shared/data beside the repository")
@pytest.mark.parametrize(
    ("first_hour", "hours"),
    [("2022-01-21T14", 10), pytest.param("2022-01-20T18", 96, marks=pytest.mark.slow)],
)
def test_days_of_real_prices_lose_nothing(first_hour: str, hours: int, tmp_path: Path) -> None:
    crowd = Crowd()
    kv = LevelDb(tmp_path / "db")
    chain = Blockchain(crowd.genesis(), kv, BlockStore(kv, None))
    prices = read_prices(first_hour, hours)
    put_in = -balance_of(chain, BRIDGE)
    seen: Counter[type] = Counter()

    def seal(price: Ticks, elapsed_ms: int) -> None:
        time_ms = TimeMs(chain.head.block.extension.time_ms + elapsed_ms)
        ledger = chain.next_ledger(time_ms)
        chain.commit(chain.execute(crowd.act(ledger, price, time_ms), time_ms))
        if ledger.height % SWEEP_EVERY == 0:
            check_all(chain.ledger_after(chain.head.block))
        seen.update(type(decode_transition(each)) for each in chain.head.block.transitions)

    for _ in range(30):
        seal(prices[0], 1_000)
    for price in prices:
        seal(price, BLOCK_MS)
        assert get_mode(chain.ledger_after(chain.head.block), BTC) == Mode.OPEN

    assert seen[OrderFilled] > 2 * hours
    assert seen[PositionLiquidated] > hours // 4
    ledger = chain.ledger_after(chain.head.block)
    deposited = sum(
        10**6 * USDC - balance.amount
        for each in crowd.gamblers
        if (balance := ledger.token_balances.get(each.address)) is not None
    )
    held = {address: account.balance for address, account in ledger.all_accounts()}
    assert sum(held.values()) == 0
    assert -held[BRIDGE] == put_in + deposited
    exchange = ledger.token_balances.get(EXCHANGE)
    assert exchange is not None
    assert exchange.amount == -held[BRIDGE]
    assert held.get(DEFICIT, 0) == 0
    assert all(balance >= 0 for address, balance in held.items() if is_idle(ledger, address))
    kv.close()


def balance_of(chain: Blockchain, address: bytes) -> int:
    account = chain.ledger_after(chain.head.block).accounts.get(address)  # type: ignore[arg-type]
    return 0 if account is None else account.balance


def is_idle(ledger: StateLedger, address: bytes) -> bool:
    account = ledger.accounts.get(address)  # type: ignore[arg-type]
    return address > SYSTEM_ADDRESS_MAX and account is not None and not account.markets
