"""Traders, makers, reporters, the council and time, played from one seeded generator.

What it plays depends on the chain's own state, so it reaches what random numbers would not: orders
stand around the mark, cancels name orders that exist, prices move far enough to hurt, and the
council acts when there is something to decide.
"""

from random import Random

from node.perp.account import VAULT
from node.perp.margin import Risk, compute_risk
from node.perp.order import OrderRequest, SelfTrade, TimeInForce, TriggerKind, TriggerRequest
from node.perp.pair import PairLeg, PairRequest
from node.units import Address, Hash32, Lots, MarketId, Ticks, TimeMs
from tests.properties.actions import (
    Action,
    Amend,
    AmendClient,
    AttachPair,
    Authorize,
    Batch,
    Call,
    Cancel,
    CancelAll,
    CancelClient,
    CancelEverything,
    Deposit,
    PayRefund,
    Place,
    PlaceBracket,
    PlaceMarket,
    PlaceTrigger,
    Report,
    Revoke,
    SetDeadline,
    SetLeverage,
    Shrink,
    Withdraw,
    calldata,
)
from tests.properties.council import (
    AcknowledgeJump,
    CancelOrders,
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
from tests.properties.driver import Pair
from tests.properties.setups import AGENTS, BRACKET_SETS, REPORTERS, TRADERS, USDC
from tests.reference.matching import best_maker
from tests.reference.world import HALTED, OPEN, POST_ONLY

ELAPSED_MS = (1_000,) * 12 + (100, 250, 500, 501, 999, 1_001, 2_000, 2_999, 7_000, 30_000)
GAPS_MS = (30_001, 60_000, 60_001, 8 * 3_600_000)
SETTLED_FROM = 50
"""The council ends markets from this height on: the more chains, the more beginnings."""
MARKET_NUMBERS = {
    "position_max": (5_000, 20_000, 2**53 - 1),
    "open_interest_max": (5_000, 30_000, 2**53 - 1),
    "price_band_ppm": (20_000, 50_000),
    "order_value_min": (1, 5 * USDC),
    "impact_notional": (30 * USDC, 200 * USDC),
    "funding_interval_ms": (5_000, 10_000),
    "funding_clamp_factor_ppm": (10_000, 6_000_000),
    "price_age_ms_max": (3_000, 5_000),
    "price_move_ppm_max": (30_000, 50_000, 300_000),
    "price_confirm_ms": (1_500, 3_000),
    "liquidation_fee_ppm": (0, 15_000),
    "vault_size_max": (0, 100_000),
    "maker_fee_ppm": (0,),
    "taker_fee_ppm": (450, 1_000),
}
"""What the council may set of a market, within what every setup allows."""
CHAIN_NUMBERS = {
    "liquidations_max": (1, 50),
    "triggers_max": (1, 200),
    "maker_removals_max": (1, 100),
    "open_orders_max": (5, 1_000),
    "actions_max": (3, 1_000),
    "confirm_ms": (1_000, 2_000),
    "reopen_ms": (1_500, 3_000),
    "reopen_needs_book": (0, 1),
    "grace_ms": (0, 1_500),
    "withdrawal_gate_ms": (3_000,),
    "withdrawal_floor_ppm": (100_000, 300_000),
}
SETTLED_PPM = (0, -20_000, 49_000, 51_000, -400_000, -700_000, -900_000, 700_000, 3_000_000)
CALM_PPM = (0, 0, 200, 500, 1_000, 3_000)
JUMPS_PPM = (51_000, 80_000, 150_000, 300_000, 600_000)
FAR_PPM = (0, 100, 400, 500, 501, 1_000, 3_000, 10_000, 30_000, 60_000, 200_000)
LIFETIMES_MS = (1, 999, 1_000, 1_001, 5_000, 20_000, 60_000, 200_000)
QUOTES = (TimeInForce.POST_ONLY, TimeInForce.GTC)
TENTHS = (0, 1, 2, 5, 10, 20, 40, 60, 80, 90, 95, 150, 190, 300)
"""How much of its wealth somebody trades."""
RECKLESS = (1, 20, 80, 90, 95, 95, 150, 190)
CLIENT_IDS = 6
"""So few, that they collide."""


class Player:
    """Everybody on one chain."""

    def __init__(self, pair: Pair, rng: Random) -> None:
        self._pair = pair
        self._rng = rng
        self._prices = dict(zip(pair.markets, pair.setup.prices, strict=True))
        self._starts = dict(self._prices)
        self._trends = dict.fromkeys(pair.markets, 0)
        self._silent_blocks = 0
        self._outage_blocks = dict.fromkeys(pair.markets, 0)
        self._halted_blocks = 0
        self._living = list(pair.markets)
        self._time_ms = pair.time_ms

    def choose_block(self) -> tuple[int, list[Action]]:
        """Return the next block's elapsed time and what people ask for in it.

        Of a HALTED chain the blocks are the council's, or end a maintenance window (X1, X3).
        """
        rng = self._rng
        elapsed = rng.choice(ELAPSED_MS if rng.random() > 0.006 else GAPS_MS)
        self._time_ms = self._pair.time_ms + elapsed
        for market in self._pair.markets:
            if market not in self._prices:  # it was listed
                self._prices[market] = self._starts[market] = self._prices[MarketId(1)]
                self._trends[market] = self._outage_blocks[market] = 0
        self._living = [
            market
            for market in self._pair.markets
            if not self._pair.world.markets[market].settled_at
        ]
        actions = self._govern()
        if self._pair.world.chain.mode == HALTED:
            return elapsed, actions
        for market in self._pair.markets:
            self._move_price(market)
            actions += self._report(market)
        if self._silent_blocks:
            self._silent_blocks -= 1
        elif rng.random() < 0.02:
            self._silent_blocks = rng.randrange(8)
        else:
            actions += self._quote()
            is_awake = any(self._pair.world.mode(market) == OPEN for market in self._living)
            actions += [self._act() for _ in range(rng.randrange(16 if is_awake else 5))]
        return elapsed, actions

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to trade."""
        return not self._living

    # --- the council -----------------------------------------------------------------------------

    def _govern(self) -> list[Action]:
        rng, world = self._rng, self._pair.world
        if world.chain.mode == HALTED:
            self._halted_blocks += 1
            if rng.random() < 0.3 or self._halted_blocks > 6:
                return [Resume()]
        else:
            self._halted_blocks = 0
        waiting = [market for market in self._pair.markets if world.markets[market].jump]
        if waiting and rng.random() < 0.3:
            market = rng.choice(waiting)
            price = (
                self._prices[market] + self._prices[market] * rng.choice((0, 0, 30_000)) // 10**6
            )
            return [AcknowledgeJump(market, price)]
        held = [market for market in self._living if world.markets[market].held != OPEN]
        if (held or world.chain.held != OPEN) and rng.random() < 0.3:
            return [SetMode(MarketId(rng.choice([0, *held])), OPEN)]
        height = self._pair.engine.height + 1
        if height > SETTLED_FROM and self._living and rng.random() < 0.04:
            return [self._settle(rng.choice(self._living))]
        if rng.random() < 0.02:
            return [self._compensate()]
        if rng.random() < 0.02:
            return [self._set(MarketId(rng.choice([0, *self._pair.markets])))]
        if rng.random() > 0.025:
            return []
        return [self._decide() for _ in range(rng.choice((1, 1, 1, 2)))]

    def _decide(self) -> Action:
        rng, height = self._rng, self._pair.engine.height + 1
        market = MarketId(rng.choice([0, *self._living, *self._pair.markets]))
        if rng.random() < 0.02:
            market = MarketId(99)
        kind = rng.random()
        if kind < 0.3:
            return SetMode(market, rng.choice((0, 0, 1, 2, 2, 3, 4)))
        if kind < 0.42:
            return Halt(rng.choice((0, height, height + rng.randrange(5), height - 1)))
        if kind < 0.47:
            return Resume()
        if kind < 0.67:
            start = height + rng.choice((0, 1, 2, 3))
            end_ms = self._time_ms + rng.choice((0, 1_000, 8_000, 20_000))
            window = self._pair.world.window
            if window and rng.random() < 0.5:
                return rng.choice(
                    (
                        ScheduleMaintenance(*window._replace(end_ms=end_ms)),
                        ScheduleMaintenance(0, 0, 0),
                    )
                )
            return ScheduleMaintenance(start, start + rng.choice((0, 1, 2, 5)), end_ms)
        if kind < 0.85:
            nobody = Address(bytes(20))
            return rng.choice(
                (
                    CancelOrders(0, MarketId(0), nobody),
                    CancelOrders(1, market, nobody),
                    CancelOrders(2, MarketId(0), rng.choice(TRADERS)),
                    CancelOrders(rng.choice((0, 1, 2, 3)), market, rng.choice((*TRADERS, nobody))),
                )
            )
        if kind < 0.95 or height < SETTLED_FROM:
            return AcknowledgeJump(market, self._prices.get(market, 1))
        return self._settle(market)

    def _set(self, market: MarketId) -> Action:
        """A number, brackets, reporters, or a new market."""
        rng = self._rng
        kind = rng.random()
        if kind < 0.15:
            reporters = rng.choice((REPORTERS, REPORTERS, REPORTERS[:2], REPORTERS[1:]))
            return SetReporters(reporters, rng.choice((1, 2, 2)))
        if kind < 0.3:
            return SetBrackets(
                market or MarketId(1),
                rng.choice((BRACKET_SETS[:1], BRACKET_SETS[:2], BRACKET_SETS)),
            )
        if kind < 0.45:
            markets = self._pair.markets
            number = MarketId(max(markets) + 1 if len(markets) < 4 else rng.choice(markets))
            like = self._pair.engine.market_params(markets[0])
            symbol = rng.choice((f"NEW{number}-USD", f"NEW{number}-USD", like.symbol))
            return ListMarket(number, like._replace(symbol=symbol))
        name = rng.choice((*(MARKET_NUMBERS if market else CHAIN_NUMBERS), "k", "nothing"))
        numbers = (MARKET_NUMBERS if market else CHAIN_NUMBERS).get(name, (1,))
        return SetParameter(market, name, rng.choice((*numbers, *numbers, 2**60)))

    def _compensate(self) -> Action:
        """A share of what the vault has, or more; for few refunds, for a short time."""
        rng, now = self._rng, self._time_ms // 1_000
        vault = max(10, self._pair.world.balances.get(VAULT, 0))
        total = vault * rng.choice((0, 1, 5, 10, 10, 50, 100, 101, 200)) // 100
        number = len(self._pair.world.repaid) + rng.choice((1, 1, 1, 1, 0))
        refunds, cap = rng.choice((1, 2, 3, 8, 8, 0)), rng.choice((total, total, total + 1, vault))
        until = now + rng.choice((-1, 0, 10, 60, 300, 900))
        return Compensate(Hash32(number.to_bytes(32, "big")), refunds, total, cap, until)

    def _settle(self, market: MarketId) -> Action:
        rng, price = self._rng, self._prices.get(market, 1)
        price += price * rng.choice(SETTLED_PPM) // 1_000_000
        return SettleMarket(market, rng.choice((price,) * 9 + (0,)), rng.random() < 0.7)

    # --- reporters -------------------------------------------------------------------------------

    def _move_price(self, market: MarketId) -> None:
        """Calm, a trend, a jump: what hurts is a price that goes on."""
        rng = self._rng
        if rng.random() < 0.05:
            self._trends[market] = rng.choice((0, 0, 1, -1))
        trend = self._trends[market]
        side = trend if trend and rng.random() < 0.85 else rng.choice((-1, 1))
        moves = (
            JUMPS_PPM if rng.random() < 0.006 else self._pair.setup.trend_ppm if trend else CALM_PPM
        )
        price = self._prices[market]
        step = price * rng.choice(moves) * side // 1_000_000
        start = self._starts[market]
        if price + step < max(1, start // 8) or price + step > start * 8:
            step = -step
            self._trends[market] = -trend
        if price < 50 and rng.random() < 0.05:
            step += rng.choice((-1, 1))
        self._prices[market] = min(max(price + step, 1), 2**53 - 1)

    def _report(self, market: MarketId) -> list[Action]:
        rng = self._rng
        if self._outage_blocks[market]:
            self._outage_blocks[market] -= 1
            return []
        if market not in self._living and rng.random() < 0.95:
            return []
        if rng.random() < 0.012:
            self._outage_blocks[market] = rng.randrange(1, 12)
        price = self._prices[market]
        reports: list[Action] = []
        for reporter in REPORTERS:
            if rng.random() < 0.1:
                continue
            value, observed, fork_id = price, self._time_ms, 0
            if rng.random() < 0.05:
                value = price + price * rng.randrange(-2_000, 2_000) // 1_000_000
            if rng.random() < 0.05:
                observed -= rng.choice((1, 500, 2_000, 6_000, 40_000, -1))
            if rng.random() < 0.005:
                value = rng.choice((0, -1, 1, price * 2, price // 2 or 1, 2**53, 2**62))
            if rng.random() < 0.005:
                fork_id = 1
            reports.append(Report(reporter, market, value, observed, fork_id))
        if rng.random() < 0.01:
            reports.append(Report(TRADERS[0], market, price, self._time_ms))
        return reports

    # --- traders ---------------------------------------------------------------------------------

    def _quote(self) -> list[Action]:
        """Somebody stands on both sides of a market: without a book nothing happens."""
        rng = self._rng
        quotes: list[Action] = []
        for market in self._living:
            mode = self._pair.world.mode(market)
            if mode <= POST_ONLY and rng.random() < 0.5:
                owner, far = rng.choice(TRADERS[:4]), rng.choice((100, 300, 600, 1_500, 4_000))
                lots = abs(self._size(owner, market, rng.choice((2, 5, 10, 20))))
                for side in (1, -1):
                    price = self._away(market, side, far)
                    force = TimeInForce.POST_ONLY if mode else rng.choice(QUOTES)
                    request = OrderRequest(market, Lots(side * lots), Ticks(price), force, False)
                    quotes.append(Place(owner, request))
        return quotes

    def _act(self) -> Action:
        rng = self._rng
        owner = rng.choice(TRADERS)
        is_living = self._living and rng.random() > 0.02
        market = rng.choice(self._living if is_living else self._pair.markets)
        kind = rng.random()
        repaid = self._pair.world.repaid
        if repaid and rng.random() < 0.1:
            number = rng.choice(
                (max(repaid), max(repaid), rng.choice(list(repaid)), max(repaid) + 1)
            )
            total = repaid[number].total if number in repaid else 1
            amount = total * rng.choice((5, 10, 20, 20, 40, 100, 101)) // 100
            account = rng.choice((*TRADERS, *TRADERS, *AGENTS, VAULT))
            return PayRefund(number, rng.choice((0, 1, 2, 7, 8)), account, amount)
        if kind < 0.3 and self._risk(owner).equity < self._pair.setup.margins[owner] // 50:
            return Deposit(owner, self._lacking(owner))
        if kind < 0.82:
            return self._call(owner, market)
        if kind < 0.88:
            return self._batch(owner)
        if kind < 0.90:
            return Deposit(owner, self._lacking(owner))
        if kind < 0.95:
            return Withdraw(owner, self._available(owner))
        if kind < 0.96:
            return SetLeverage(
                owner, market, rng.choice((0, 0, 0, 1, 50_000, 120_000, 500_000, 10**6, 10**6 + 1))
            )
        if kind < 0.975:
            until = self._time_ms + rng.choice((0, *LIFETIMES_MS))
            return Authorize(owner, rng.choice((*AGENTS, owner)), until)
        if kind < 0.98:
            return Revoke(owner, rng.choice(AGENTS))
        return self._absurd(owner, market)

    def _call(self, owner: Address, market: MarketId) -> Call:
        """Something that a batch may do; where little is allowed, mostly what is."""
        rng = self._rng
        kind, mode = rng.random(), self._pair.world.mode(market)
        if mode != OPEN and rng.random() < 0.8:
            kind = rng.random() * 0.2 if mode == POST_ONLY else 0.8 + kind * 0.2
        if kind < 0.2:
            return Place(owner, self._limit(owner, market, passive=True))
        if kind < 0.47:
            return Place(owner, self._limit(owner, market, passive=False))
        if kind < 0.57:
            reduce_only = self._is_reduce_only(owner, market, 0.5)
            size = self._closing(owner, market) if reduce_only else self._size(owner, market)
            return PlaceMarket(owner, market, size, reduce_only)
        if kind < 0.63:
            return PlaceTrigger(owner, self._trigger(owner, market))
        if kind < 0.68:
            request = self._limit(owner, market, passive=rng.random() < 0.7)
            return PlaceBracket(owner, request, *self._legs(market, request.size < 0))
        if kind < 0.74:
            return self._pair_for(owner, market)
        if kind < 0.85:
            return self._change(owner, market)
        if kind < 0.96:
            return self._cancel(owner, market)
        if kind < 0.965:
            return CancelClient(owner, rng.randrange(CLIENT_IDS))
        if kind < 0.98:
            return CancelAll(owner, market)
        if kind < 0.99:
            return CancelEverything(owner)
        if kind < 0.993:
            return AmendClient(owner, rng.randrange(CLIENT_IDS), self._size(owner, market), 1)
        return SetDeadline(owner, rng.choice((0, self._later(0), self._time_ms + 60_000)))

    def _batch(self, owner: Address) -> Action:
        rng = self._rng
        count = rng.choice((0, 1, 2, 3, 3, 5, 8)) if rng.random() > 0.01 else rng.choice((50, 51))
        calls = [self._call(owner, rng.choice(self._pair.markets)) for _ in range(count)]
        money = (calldata("withdraw", 1), b"", calldata("batch", [])) if rng.random() < 0.03 else ()
        sender = owner if rng.random() < 0.5 else rng.choice(AGENTS)
        return Batch(sender, owner, tuple(each for each in calls if each.owner == owner), money)

    def _limit(self, owner: Address, market: MarketId, *, passive: bool) -> OrderRequest:
        rng = self._rng
        reduce_only = self._is_reduce_only(owner, market, 0.2)
        size = self._closing(owner, market) if reduce_only else self._size(owner, market)
        far = rng.choice(FAR_PPM)
        price = self._away(market, size, far if passive else -far)
        best = best_maker(self._pair.world, market, size)
        if not passive and best is not None and rng.random() < 0.4:
            price = self._pair.world.orders[market, best].price
        if passive:
            forces = (TimeInForce.POST_ONLY, TimeInForce.POST_ONLY, TimeInForce.GTC)
        else:
            forces = (TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK)
        force = rng.choice((*forces, TimeInForce.GTT))
        may_expire = force == TimeInForce.POST_ONLY or rng.random() < 0.05
        has_expiry = force == TimeInForce.GTT or (may_expire and rng.random() < 0.2)
        return OrderRequest(
            market,
            Lots(size),
            Ticks(price),
            force,
            reduce_only,
            self._later(0.02) if has_expiry else TimeMs(0),
            self._client_id(),
            rng.choice((SelfTrade.CANCEL_MAKER, *SelfTrade)),
        )

    def _trigger(self, owner: Address, market: MarketId) -> TriggerRequest:
        rng = self._rng
        reduce_only = self._is_reduce_only(owner, market, 0.6)
        size = self._closing(owner, market) if reduce_only else self._size(owner, market)
        price = self._near(market)
        return TriggerRequest(
            market,
            Lots(size),
            Ticks(price),
            rng.choice((TriggerKind.STOP_LOSS, TriggerKind.TAKE_PROFIT)),
            Ticks(rng.choice((0, price, self._near(market)))),
            reduce_only,
            self._later(0.05) if rng.random() < 0.2 else TimeMs(0),
            self._client_id(),
        )

    def _legs(self, market: MarketId, is_short: bool) -> tuple[PairLeg, PairLeg]:
        """A target on the good side and a stop on the other, mostly."""
        rng, mark = self._rng, self._mark(market)
        legs = []
        for side in (1, -1):
            far = rng.choice((-1_000, 0, 1_000, 5_000, 20_000, 50_000))
            price = max(1, mark + mark * far * side * (-1 if is_short else 1) // 1_000_000)
            limit = rng.choice((0, 0, 0, price))
            legs.append(PairLeg(Ticks(price), Ticks(limit), self._client_id()))
        return legs[0], legs[1]

    def _pair_for(self, owner: Address, market: MarketId) -> Call:
        """For one of the owner's orders, or its position."""
        rng, world = self._rng, self._pair.world
        orders = world.orders_of(market, owner)
        parent, size = 0, self._closing(owner, market)
        if orders and (rng.random() < 0.5 or not world.position(owner, market).size):
            parent, order = rng.choice(orders)
            size = -order.size * rng.choice((300, 500, 1_000, 1_000, 1_001)) // 1_000 or 1
        expires_ms = self._later(0.05) if rng.random() < 0.2 else TimeMs(0)
        legs = self._legs(market, size > 0)
        return AttachPair(owner, parent, PairRequest(market, Lots(size), *legs, expires_ms))

    def _change(self, owner: Address, market: MarketId) -> Call:
        """Amend something that rests, mostly somebody's own."""
        rng, world = self._rng, self._pair.world
        orders = [
            (key, order)
            for key, order in world.orders.items()
            if key[0] == market and (order.owner == owner or rng.random() < 0.02)
        ]
        if not orders and world.mode(market) > POST_ONLY:
            return self._cancel(owner, market)
        if not orders:
            return Place(owner, self._limit(owner, market, passive=True))
        (_, number), order = rng.choice(orders)
        size = order.size * rng.choice((100, 500, 900, 1_000, 1_000, 1_100, 3_000)) // 1_000 or 1
        size = min(max(size, -(2**53) + 1), 2**53 - 1)
        kind = rng.random()
        if kind < 0.3:
            return Shrink(owner, market, number, size)
        price = order.price
        if rng.random() < 0.6:
            price = self._away(market, order.size, rng.choice(FAR_PPM) * rng.choice((1, 1, -1)))
        if order.client_id and kind < 0.6:
            return AmendClient(owner, order.client_id, size, price)
        return Amend(owner, market, number, size, price)

    def _cancel(self, owner: Address, market: MarketId) -> Call:
        rng = self._rng
        world = self._pair.world
        keys = [key for key in (*world.orders, *world.triggers) if key[0] == market]
        if not keys:
            return CancelEverything(owner) if rng.random() < 0.1 else SetDeadline(owner, 0)
        key = rng.choice(keys)
        order = world.orders.get(key) or world.triggers[key]
        whose = Address(order.owner) if rng.random() < 0.9 else owner
        if order.client_id and rng.random() < 0.3:
            return CancelClient(whose, order.client_id)
        return Cancel(whose, market, key[1])

    def _absurd(self, owner: Address, market: MarketId) -> Action:
        rng = self._rng
        huge = rng.choice((2**53 - 1, 2**53, 2**62, 1, 0, -1))
        force = rng.choice(tuple(TimeInForce))
        zero, one = PairLeg(Ticks(0)), PairLeg(Ticks(1), client_id=1)
        request = OrderRequest(market, Lots(huge), Ticks(1), force, False)
        stop = TriggerRequest(market, Lots(huge), Ticks(1), TriggerKind.STOP_LOSS)
        nowhere = MarketId(99)
        return rng.choice(
            (
                Place(owner, request),
                Place(owner, request._replace(size=Lots(-huge), price=Ticks(huge))),
                Place(owner, request._replace(size=Lots(1), price=Ticks(huge), reduce_only=True)),
                Place(owner, request._replace(market=nowhere, size=Lots(1))),
                Place(owner, request._replace(client_id=huge)),
                Place(owner, request._replace(expires_ms=TimeMs(max(huge, 0)))),
                PlaceMarket(owner, market, huge, False),
                PlaceTrigger(owner, stop),
                PlaceTrigger(owner, stop._replace(trigger_price=Ticks(huge))),
                PlaceTrigger(owner, stop._replace(limit_price=Ticks(huge), reduce_only=False)),
                PlaceTrigger(owner, stop._replace(market=nowhere)),
                PlaceBracket(owner, request, zero, one),
                PlaceBracket(owner, request._replace(size=Lots(9), client_id=1), one, one),
                AttachPair(owner, 0, PairRequest(nowhere, Lots(1), one, one, TimeMs(0))),
                AttachPair(owner, huge, PairRequest(market, Lots(huge), one, one, TimeMs(0))),
                Amend(owner, nowhere, 1, 1, 1),
                Amend(owner, market, 1, huge, huge),
                Shrink(owner, nowhere, 1, 1),
                Cancel(owner, nowhere, 1),
                CancelAll(owner, nowhere),
                SetDeadline(owner, huge),
                SetLeverage(owner, nowhere, 1),
                SetLeverage(owner, market, -1),
                Authorize(owner, Address(bytes(20)), self._later(0)),
                Authorize(owner, AGENTS[0], huge),
                Withdraw(owner, 2**70),
            )
        )

    # --- amounts ---------------------------------------------------------------------------------

    def _mark(self, market: MarketId) -> int:
        return self._pair.world.markets[market].mark or self._prices[market]

    def _near(self, market: MarketId) -> int:
        far = self._rng.choice((-100_000, -20_000, -5_000, -1_000, 0, 1_000, 5_000, 20_000))
        mark = self._mark(market)
        return min(max(1, mark + mark * far // 1_000_000), 2**53 - 1)

    def _away(self, market: MarketId, size: int, far_ppm: int) -> int:
        """A price so far behind the mark; negative: through it."""
        mark = self._mark(market)
        price = mark + mark * (-far_ppm if size > 0 else far_ppm) // 1_000_000
        if self._rng.random() < 0.2:
            price += self._rng.choice((-1, 1))
        return min(max(price, 1), 2**53 - 1)

    def _later(self, past: float) -> TimeMs:
        """A time to come; sometimes one that has come."""
        if self._rng.random() < past:
            return TimeMs(self._time_ms)
        return TimeMs(self._time_ms + self._rng.choice(LIFETIMES_MS))

    def _client_id(self) -> int:
        return self._rng.randrange(1, CLIENT_IDS) if self._rng.random() < 0.3 else 0

    def _lot_value(self, market: MarketId) -> int:
        return self._mark(market) * self._pair.engine.market_params(market).k

    def _size(self, owner: Address, market: MarketId, leverage: int | None = None) -> int:
        """From a lot to what somebody with far too much courage would trade, a tenth a unit.

        The reckless are mostly on the wrong side.
        """
        rng = self._rng
        is_reckless = owner not in TRADERS[:4]
        if leverage is None:
            leverage = rng.choice(RECKLESS if is_reckless else TENTHS)
        wealth = max(self._risk(owner).equity, 1)
        lots = wealth * leverage // (10 * self._lot_value(market))
        side = rng.choice((-1, 1))
        if is_reckless and self._trends[market] and rng.random() < 0.6:
            side = -self._trends[market]
        return max(1, min(lots, 2**53 - 1)) * side

    def _is_reduce_only(self, owner: Address, market: MarketId, share: float) -> bool:
        """Sometimes, and rarely without a position."""
        held = self._pair.world.position(owner, market).size
        return self._rng.random() < (share if held else 0.02)

    def _closing(self, owner: Address, market: MarketId) -> int:
        """Part of the position, all of it, or more; sometimes what opposes nothing."""
        held = self._pair.world.position(owner, market).size
        if not held or self._rng.random() < 0.05:
            return self._size(owner, market)
        part = max(1, abs(held) * self._rng.choice((100, 300, 500, 1_000, 1_000, 2_000)) // 1_000)
        return min(part, 2**53 - 1) * (-1 if held > 0 else 1)

    def _lacking(self, owner: Address) -> int:
        """A little, or what the account began with."""
        wealth = self._pair.setup.margins.get(owner, 0)
        lacking = max(0, wealth - self._risk(owner).equity)
        return self._rng.choice((0, 1, wealth // 100, lacking, lacking))

    def _available(self, owner: Address) -> int:
        """Mostly all that may go: who keeps no more than he must is liquidated first."""
        risk = self._risk(owner)
        available = max(0, risk.equity - risk.initial)
        return self._rng.choice((1, available // 3, available, available, available + 1))

    def _risk(self, owner: Address) -> Risk:
        return compute_risk(self._pair.engine, owner)
