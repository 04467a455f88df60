"""Traders, makers, reporters and time, played from one seeded generator.

What it plays depends on the chain's own state, so it reaches what random numbers would not: orders
stand around the mark, cancels name orders that exist, and prices move far enough to hurt.
"""

from collections.abc import Sequence
from random import Random

from node.perp.order import OrderRequest, TimeInForce, TriggerKind, TriggerRequest
from node.units import Address, Lots, MarketId, Ticks
from tests.properties.actions import (
    Action,
    Cancel,
    CancelAll,
    Deposit,
    Place,
    PlaceMarket,
    PlaceTrigger,
    Report,
    Withdraw,
)
from tests.properties.driver import Pair
from tests.properties.setups import REPORTERS, TRADERS

ELAPSED_MS = (1_000,) * 12 + (100, 250, 500, 501, 999, 1_001, 2_000, 2_999, 7_000, 30_000)
GAPS_MS = (30_001, 60_000, 60_001, 8 * 3_600_000)
MOVES_PPM = (0, 0, 200, 500, 1_000, 3_000, 10_000, 20_000, 30_000, 40_000, 49_000)
JUMPS_PPM = (51_000, 80_000, 150_000, 300_000, 600_000)


class Player:
    """Everybody on one chain."""

    def __init__(self, pair: Pair, rng: Random) -> None:
        self._pair = pair
        self._rng = rng
        self._prices = dict(zip(pair.markets, pair.setup.prices, strict=True))
        self._silent_blocks = 0
        self._outage_blocks = dict.fromkeys(pair.markets, 0)
        self._is_calm = False

    def choose_block(self) -> tuple[int, list[Action]]:
        """Return the next block's elapsed time and what people ask for in it."""
        rng = self._rng
        if rng.random() < 0.02:
            self._is_calm = not self._is_calm
        elapsed = rng.choice(ELAPSED_MS if rng.random() > 0.008 else GAPS_MS)
        actions: list[Action] = []
        for market in self._pair.markets:
            self._move_price(market)
            actions += self._report(market, self._pair.time_ms + elapsed)
        if self._silent_blocks:
            self._silent_blocks -= 1
        elif rng.random() < 0.03:
            self._silent_blocks = rng.randrange(8)
        else:
            actions += [self._act() for _ in range(rng.randrange(24))]
        return elapsed, actions

    # --- reporters -------------------------------------------------------------------------------

    def _move_price(self, market: MarketId) -> None:
        rng = self._rng
        moves = JUMPS_PPM if rng.random() < 0.01 else MOVES_PPM[: 5 if self._is_calm else None]
        price = self._prices[market]
        step = price * rng.choice(moves) * rng.choice((-1, 1)) // 1_000_000
        start = self._pair.setup.prices[market - 1]
        if price + step < max(1, start // 8) or price + step > start * 8:
            step = -step
        if price < 50 and rng.random() < 0.05:
            step += rng.choice((-1, 1))
        self._prices[market] = min(max(price + step, 1), 2**53 - 1)

    def _report(self, market: MarketId, time_ms: int) -> list[Action]:
        rng = self._rng
        if self._outage_blocks[market]:
            self._outage_blocks[market] -= 1
            return []
        if rng.random() < 0.005:
            self._outage_blocks[market] = rng.randrange(1, 12)
        price = self._prices[market]
        reports: list[Action] = []
        for reporter in REPORTERS:
            if rng.random() < 0.1:
                continue
            value, observed, fork_id = price, time_ms, 0
            if rng.random() < 0.05:
                value = price + price * rng.randrange(-2_000, 2_000) // 1_000_000
            if rng.random() < 0.05:
                observed -= rng.choice((1, 500, 2_000, 6_000, 40_000, -1))
            if rng.random() < 0.01:
                value = rng.choice((0, -1, 1, price * 2, price // 2 or 1, 2**53, 2**62))
            if rng.random() < 0.005:
                fork_id = 1
            reports.append(Report(reporter, market, value, observed, fork_id))
        if rng.random() < 0.01:
            reports.append(Report(TRADERS[0], market, price, time_ms))
        return reports

    # --- traders ---------------------------------------------------------------------------------

    def _act(self) -> Action:
        rng = self._rng
        owner, market = rng.choice(TRADERS), rng.choice(self._pair.markets)
        kind = rng.random()
        if kind < 0.30:
            return Place(owner, self._limit(owner, market, passive=True))
        if kind < 0.55:
            return Place(owner, self._limit(owner, market, passive=False))
        if kind < 0.65:
            reduce_only = rng.random() < 0.5
            size = self._closing(owner, market) if reduce_only else self._size(owner, market)
            return PlaceMarket(owner, market, size, reduce_only)
        if kind < 0.74:
            return PlaceTrigger(owner, self._trigger(owner, market))
        if kind < 0.86:
            return self._cancel(owner, market)
        if kind < 0.88:
            return CancelAll(owner, market)
        if kind < 0.92:
            return Deposit(owner, self._amount(owner, rng.choice((1, 10, 100))))
        if kind < 0.99:
            return Withdraw(owner, self._amount(owner, rng.choice((1, 50, 300, 900, 1_000, 1_100))))
        return self._absurd(owner, market)

    def _limit(self, owner: Address, market: MarketId, *, passive: bool) -> OrderRequest:
        rng = self._rng
        reduce_only = rng.random() < 0.2
        size = self._closing(owner, market) if reduce_only else self._size(owner, market)
        far = rng.choice((0, 100, 400, 500, 501, 1_000, 3_000, 10_000, 30_000, 60_000, 200_000))
        away = far if passive else -far
        mark = self._mark(market)
        price = mark + mark * (-away if size > 0 else away) // 1_000_000
        if rng.random() < 0.2:
            price += rng.choice((-1, 1))
        if passive:
            force = rng.choice((TimeInForce.POST_ONLY, TimeInForce.POST_ONLY, TimeInForce.GTC))
        else:
            force = rng.choice((TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC))
        return OrderRequest(market, Lots(size), Ticks(max(price, 1)), force, reduce_only)

    def _trigger(self, owner: Address, market: MarketId) -> TriggerRequest:
        rng = self._rng
        mark = self._mark(market)
        price = mark + mark * rng.choice((-100_000, -20_000, -1_000, 0, 1_000, 20_000)) // 1_000_000
        kind = rng.choice((TriggerKind.STOP_LOSS, TriggerKind.TAKE_PROFIT))
        size = self._closing(owner, market)
        return TriggerRequest(market, Lots(size), Ticks(max(price, 1)), kind)

    def _cancel(self, owner: Address, market: MarketId) -> Action:
        rng = self._rng
        book = self._pair.engine.book(market)
        numbers: Sequence[int] = [*book.orders, *book.triggers]
        if not numbers:
            return Cancel(owner, market, 1)
        number = rng.choice(numbers)
        order = book.orders.get(number) or book.triggers.get(number)  # type: ignore[call-overload]
        return Cancel(order.owner if rng.random() < 0.9 else owner, market, number)

    def _absurd(self, owner: Address, market: MarketId) -> Action:
        rng = self._rng
        huge = rng.choice((2**53 - 1, 2**53, 2**62, 1, 0, -1))
        force = rng.choice((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY))
        return rng.choice(
            (
                Place(owner, OrderRequest(market, Lots(huge), Ticks(1), force, False)),
                Place(owner, OrderRequest(market, Lots(-huge), self._ticks(huge), force, False)),
                Place(owner, OrderRequest(market, Lots(1), self._ticks(huge), force, True)),
                Place(owner, OrderRequest(MarketId(99), Lots(1), Ticks(1), force, False)),
                PlaceMarket(owner, market, huge, False),
                PlaceTrigger(
                    owner, TriggerRequest(market, Lots(huge), Ticks(1), TriggerKind.STOP_LOSS)
                ),
                CancelAll(owner, MarketId(99)),
                Withdraw(owner, 2**70),
            )
        )

    # --- amounts ---------------------------------------------------------------------------------

    def _mark(self, market: MarketId) -> int:
        return self._pair.world.markets[market].mark or self._prices[market]

    def _lot_value(self, market: MarketId) -> int:
        return self._mark(market) * self._pair.engine.market_params(market).k

    def _size(self, owner: Address, market: MarketId) -> int:
        """From a lot to what somebody with ten times too much courage would trade."""
        rng = self._rng
        wealth = max(self._pair.setup.margins.get(owner, 0), 1)
        leverage = rng.choice((0, 1, 5, 20, 40, 60, 80, 90, 95, 160, 300))
        lots = wealth * leverage // (10 * self._lot_value(market))
        return max(1, min(lots, 2**53 - 1)) * rng.choice((-1, 1))

    def _closing(self, owner: Address, market: MarketId) -> int:
        """Part of the position, all of it, or more; sometimes what opposes nothing."""
        held = self._pair.world.position(owner, market).size
        if not held or self._rng.random() < 0.05:
            return self._size(owner, market)
        part = max(1, abs(held) * self._rng.choice((100, 300, 500, 1_000, 1_000, 2_000)) // 1_000)
        return min(part, 2**53 - 1) * (-1 if held > 0 else 1)

    def _amount(self, owner: Address, permille: int) -> int:
        equity = self._pair.world.balances.get(owner, 0)
        wealth = self._pair.setup.margins.get(owner, 0)
        return max(0, max(equity, wealth // 20) * permille // 1_000)

    @staticmethod
    def _ticks(price: int) -> Ticks:
        return Ticks(price)
