"""The rules and their second opinion, played against each other (RULES, "A second opinion").

Hypothesis chooses what traders, makers and reporters ask for, how time and prices move and what is
cancelled or withdrawn; after each block everything is compared and every invariant is checked. The
seeded player of `make fuzz` plays here too, a little.
"""

import ast
import inspect
from random import Random
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from node.chain import execution
from node.perp.order import OrderRequest, SelfTrade, TimeInForce, TriggerKind, TriggerRequest
from node.perp.pair import PairLeg, PairRequest
from node.system.classes import ActionClass
from node.units import Address, Lots, MarketId, Ticks, TimeMs
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
)
from tests.properties.council import (
    AcknowledgeJump,
    CancelOrders,
    Halt,
    Resume,
    ScheduleMaintenance,
    SetBrackets,
    SetMode,
    SetParameter,
    SetReporters,
    SettleMarket,
)
from tests.properties.driver import STEPS, Pair
from tests.properties.player import CHAIN_NUMBERS, MARKET_NUMBERS, Player
from tests.properties.setups import AGENTS, BRACKET_SETS, REPORTERS, SETUPS, TRADERS

OWNERS = st.sampled_from(TRADERS)
SIDES = st.sampled_from((1, -1))
SHARES = st.sampled_from((1, 10, 100, 500, 1_000, 1_500, 3_000))
"""Of an account's wealth, in thousandths of ten times it: what it dares to trade."""
DISTANCES_PPM = st.sampled_from(
    (0, 1, 400, 500, 501, 2_000, 10_000, 50_000, 90_000, -400, -2_000, -20_000, -60_000)
)
"""Behind the mark; negative: through it."""
MOVES_PPM = st.sampled_from(
    (0, 0, 0, 500, -500, 5_000, -5_000, 40_000, -40_000, 90_000, -90_000, 600_000, -400_000)
)
FORCES = st.sampled_from(TimeInForce)
LIFETIMES_MS = st.sampled_from((0, 1, 1_000, 5_000, 60_000))
CLIENT_IDS = st.sampled_from((0, 0, 1, 2, 3))
EVERYBODY = (Address(bytes(20)), *TRADERS)


def pick(sequence: Any, number: int) -> Any:
    """Return one of a sequence by a number from outside."""
    return sequence[number % len(sequence)]


# --- what may stand in a batch: functions of the machine, which looks at the chain --------------


@st.composite
def orders(draw: Any) -> Any:
    """Return what makes a limit order of the chain's state."""
    owner, side, share = draw(OWNERS), draw(SIDES), draw(SHARES)
    market, distance, force = draw(st.integers(0, 1)), draw(DISTANCES_PPM), draw(FORCES)
    reduce_only, client_id = draw(st.booleans()), draw(CLIENT_IDS)
    lifetime_ms, self_trade = draw(LIFETIMES_MS), draw(st.sampled_from(SelfTrade))

    def make(self: "Exchange") -> Place:
        where = pick(self.pair.markets, market)
        may_expire = force in (TimeInForce.GTT, TimeInForce.POST_ONLY)
        request = OrderRequest(
            where,
            Lots(side * self.lots(owner, where, share)),
            Ticks(self.away(where, side * distance)),
            force,
            reduce_only,
            TimeMs(self.pair.time_ms + lifetime_ms if may_expire else 0),
            client_id,
            self_trade,
        )
        return Place(owner, request)

    return make


@st.composite
def market_orders(draw: Any) -> Any:
    owner, side, share = draw(OWNERS), draw(SIDES), draw(SHARES)
    market, reduce_only = draw(st.integers(0, 1)), draw(st.booleans())

    def make(self: "Exchange") -> PlaceMarket:
        where = pick(self.pair.markets, market)
        return PlaceMarket(owner, where, side * self.lots(owner, where, share), reduce_only)

    return make


@st.composite
def trigger_orders(draw: Any) -> Any:
    """Return what makes a trigger that closes a position, or a stop order."""
    owner, number, kind = draw(OWNERS), draw(st.integers(0, 31)), draw(st.sampled_from(TriggerKind))
    distance, has_limit, client_id = draw(DISTANCES_PPM), draw(st.booleans()), draw(CLIENT_IDS)
    reduce_only, share, lifetime_ms = draw(st.booleans()), draw(SHARES), draw(LIFETIMES_MS)

    def make(self: "Exchange") -> PlaceTrigger:
        positions, whose = sorted(self.pair.world.positions), owner
        where = pick(self.pair.markets, number)
        size = self.lots(owner, where, share) * (-1) ** number
        if reduce_only and positions:
            holder, market = pick(positions, number)
            whose, where = Address(holder), MarketId(market)
            size = -self.pair.world.positions[whose, where].size
        price = self.away(where, distance)
        request = TriggerRequest(
            where,
            Lots(size),
            Ticks(price),
            kind,
            Ticks(price * has_limit),
            reduce_only,
            TimeMs(self.pair.time_ms + lifetime_ms if lifetime_ms > 1_000 else 0),
            client_id,
        )
        return PlaceTrigger(whose, request)

    return make


@st.composite
def pairs(draw: Any) -> Any:
    """Return what makes an order with its pair, or a pair for what is there."""
    make_order, is_bracket = draw(orders()), draw(st.booleans())
    near, far, number = draw(DISTANCES_PPM), draw(DISTANCES_PPM), draw(st.integers(0, 31))

    def make(self: "Exchange") -> PlaceBracket | AttachPair:
        owner, request = make_order(self)
        where, side = request.market, 1 if request.size > 0 else -1
        take_profit = PairLeg(Ticks(self.away(where, -side * near)), client_id=number % 4)
        stop_loss = PairLeg(Ticks(self.away(where, side * far)))
        if is_bracket:
            return PlaceBracket(owner, request, take_profit, stop_loss)
        mine = self.pair.world.orders_of(where, owner)
        parent, size = 0, -self.pair.world.position(owner, where).size or 1
        if mine and number % 2:
            parent, order = pick(mine, number)
            size = -order.size
        legs = PairRequest(where, Lots(size), take_profit, stop_loss, TimeMs(0))
        return AttachPair(owner, parent, legs)

    return make


@st.composite
def changes(draw: Any) -> Any:
    """Return what amends, shrinks or cancels something that is there."""
    owner, number, kind = draw(OWNERS), draw(st.integers(0, 63)), draw(st.integers(0, 7))
    distance, permille = draw(DISTANCES_PPM), draw(st.sampled_from((1, 500, 1_000, 2_000)))
    lifetime_ms = draw(LIFETIMES_MS)

    def make(self: "Exchange") -> Call:
        world = self.pair.world
        open_ones = sorted([*world.orders, *world.triggers])
        if kind == 0 or not open_ones:
            return CancelAll(owner, pick(self.pair.markets, number))
        if kind == 1:
            return CancelEverything(owner)
        if kind == 2:
            return SetDeadline(owner, self.pair.time_ms + lifetime_ms if number % 4 else 0)
        market, order_id = pick(open_ones, number)
        found = world.orders.get((market, order_id)) or world.triggers[market, order_id]
        whose, where = Address(found.owner), MarketId(market)
        size = found.size * permille // 1_000 or 1
        if kind == 3:
            return Cancel(whose, where, order_id)
        if kind == 4:
            return CancelClient(whose, found.client_id)
        if kind == 5:
            return Shrink(whose, where, order_id, size)
        price = found.price
        if number % 2:
            price = self.away(where, distance if size > 0 else -distance)
        if kind == 6:
            return AmendClient(whose, found.client_id, size, price)
        return Amend(whose, where, order_id, size, price)

    return make


CALLS = st.one_of(orders(), orders(), market_orders(), trigger_orders(), pairs(), changes())


class Exchange(RuleBasedStateMachine):
    """Everybody acts, the council too; `seal` makes a block of it, compared step by step."""

    @initialize(setup=st.sampled_from(SETUPS))
    def begin(self, setup: Any) -> None:
        self.pair = Pair(setup)
        self.prices = dict(zip(self.pair.markets, setup.prices, strict=True))
        self.actions: list[Action] = []
        self.seal(1_000, 3)

    # --- time and prices -------------------------------------------------------------------------

    @rule(
        elapsed_ms=st.sampled_from((100, 500, 999, 1_000, 1_000, 2_500, 10_000)),
        reporters=st.sampled_from((3, 3, 3, 2, 1, 0)),
    )
    def seal(self, elapsed_ms: int, reporters: int) -> None:
        time_ms = self.pair.time_ms + elapsed_ms
        reports = [
            Report(reporter, market, price, time_ms)
            for market, price in self.prices.items()
            for reporter in REPORTERS[:reporters]
        ]
        actions, self.actions = [*reports, *self.actions], []
        self.pair.run_block(elapsed_ms, actions, closely=True)

    @rule(blocks=st.integers(3, 14))
    def wait(self, blocks: int) -> None:
        for _ in range(blocks):
            self.seal(1_000, 3)

    @rule(gap_ms=st.sampled_from((30_001, 60_001, 28_800_000)))
    def stand_still(self, gap_ms: int) -> None:
        self.seal(gap_ms, 3)

    @rule(market=st.integers(0, 1), move_ppm=MOVES_PPM)
    def move(self, market: int, move_ppm: int) -> None:
        where = pick(self.pair.markets, market)
        price = self.prices[where] * (1_000_000 + move_ppm) // 1_000_000
        self.prices[where] = max(1, min(price, 2**53 - 1))

    @rule(
        reporter=st.integers(0, 2),
        market=st.integers(0, 1),
        price=st.integers(-1, 2**54),
        age_ms=st.integers(-1, 40_000),
        fork_id=st.integers(0, 1),
    )
    def report_nonsense(
        self, reporter: int, market: int, price: int, age_ms: int, fork_id: int
    ) -> None:
        where, observed_ms = pick(self.pair.markets, market), self.pair.time_ms - age_ms
        self.actions.append(Report(REPORTERS[reporter], where, price, observed_ms, fork_id))

    # --- orders ----------------------------------------------------------------------------------

    @rule(call=CALLS)
    def ask(self, call: Any) -> None:
        self.actions.append(call(self))

    @rule(calls=st.lists(CALLS, max_size=6), sender=st.sampled_from(AGENTS), is_own=st.booleans())
    def ask_together(self, calls: list[Any], sender: Any, is_own: bool) -> None:
        made = [call(self) for call in calls]
        owner = made[0].owner if made else TRADERS[0]
        same = tuple(each for each in made if each.owner == owner)
        self.actions.append(Batch(owner if is_own else sender, owner, same))

    @rule(maker=OWNERS, taker=OWNERS, market=st.integers(0, 1), side=SIDES, share=SHARES)
    def trade(self, maker: Any, taker: Any, market: int, side: int, share: int) -> None:
        where = pick(self.pair.markets, market)
        size, price = side * self.lots(maker, where, share), Ticks(self.prices[where])
        for owner, lots, force in ((maker, size, TimeInForce.GTC), (taker, -size, TimeInForce.IOC)):
            request = OrderRequest(where, Lots(lots), price, force, False)
            self.actions.append(Place(owner, request))

    @rule(owner=OWNERS, agent=st.sampled_from(AGENTS), lifetime_ms=LIFETIMES_MS)
    def authorize(self, owner: Any, agent: Any, lifetime_ms: int) -> None:
        self.actions.append(Authorize(owner, agent, self.pair.time_ms + lifetime_ms))

    @rule(owner=OWNERS, agent=st.sampled_from(AGENTS))
    def revoke(self, owner: Any, agent: Any) -> None:
        self.actions.append(Revoke(owner, agent))

    @rule(
        owner=OWNERS,
        market=st.integers(0, 1),
        fraction=st.sampled_from((0, 1, 120_000, 500_000, 10**6)),
    )
    def set_leverage(self, owner: Any, market: int, fraction: int) -> None:
        self.actions.append(SetLeverage(owner, pick(self.pair.markets, market), fraction))

    # --- the council -----------------------------------------------------------------------------

    @rule(market=st.integers(0, 2), mode=st.integers(0, 4))
    def set_mode(self, market: int, mode: int) -> None:
        self.actions.append(SetMode(pick([MarketId(0), *self.pair.markets], market), mode))

    @rule(ahead=st.sampled_from((-1, 0, 1, 3)))
    def halt(self, ahead: int) -> None:
        self.actions.append(Halt(self.pair.engine.height + 1 + ahead if ahead else 0))

    @rule()
    def resume(self) -> None:
        self.actions.append(Resume())

    @rule(ahead=st.integers(0, 4), blocks=st.integers(0, 3), end_ms=st.integers(0, 12_000))
    def schedule(self, ahead: int, blocks: int, end_ms: int) -> None:
        start, end = self.pair.engine.height + ahead, self.pair.time_ms + end_ms
        self.actions.append(ScheduleMaintenance(start, start + blocks, end))

    @rule(market=st.integers(0, 2), number=st.integers(0, 30), is_high=st.booleans())
    def set_parameter(self, market: int, number: int, is_high: bool) -> None:
        where = pick([MarketId(0), *self.pair.markets], market)
        name, values = pick(list((MARKET_NUMBERS if where else CHAIN_NUMBERS).items()), number)
        self.actions.append(SetParameter(where, name, values[-1 if is_high else 0]))

    @rule(market=st.integers(0, 1), count=st.integers(1, 3), is_reporters=st.booleans())
    def set_brackets_or_reporters(self, market: int, count: int, is_reporters: bool) -> None:
        if is_reporters:
            self.actions.append(SetReporters(REPORTERS[:count], 1))
        else:
            self.actions.append(SetBrackets(pick(self.pair.markets, market), BRACKET_SETS[:count]))

    @rule(code=st.integers(0, 3), market=st.integers(0, 2), owner=st.sampled_from(EVERYBODY))
    def cancel_orders(self, code: int, market: int, owner: Any) -> None:
        where = pick([MarketId(0), *self.pair.markets], market)
        self.actions.append(CancelOrders(code, where, owner))

    @rule(market=st.integers(0, 1))
    def acknowledge(self, market: int) -> None:
        where = pick(self.pair.markets, market)
        self.actions.append(AcknowledgeJump(where, self.prices[where]))

    @rule(market=st.integers(0, 1), far_ppm=MOVES_PPM, is_named=st.booleans())
    def settle(self, market: int, far_ppm: int, is_named: bool) -> None:
        where = pick(self.pair.markets, market)
        price = self.prices[where] * (1_000_000 + far_ppm) // 1_000_000
        self.actions.append(SettleMarket(where, price, is_named))

    # --- money -----------------------------------------------------------------------------------

    @rule(owner=OWNERS, permille=st.sampled_from((1, 100, 900, 1_000, 1_001)))
    def withdraw(self, owner: Any, permille: int) -> None:
        amount = self.pair.world.balances.get(owner, 0) * permille // 1_000
        self.actions.append(Withdraw(owner, max(amount, 0)))

    @rule(owner=OWNERS, amount=st.sampled_from((0, 1, 10**6, 10**9)))
    def deposit(self, owner: Any, amount: int) -> None:
        self.actions.append(Deposit(owner, amount))

    def lots(self, owner: Any, market: MarketId, share: int) -> int:
        wealth: int = self.pair.setup.margins[owner] * share // 100
        value: int = self.prices[market] * self.pair.engine.market_params(market).k
        return max(1, min(wealth // value, 2**53 - 1))

    def away(self, market: MarketId, distance_ppm: int) -> int:
        """Return the price so far below the market's."""
        price: int = self.prices[market] * (1_000_000 - distance_ppm) // 1_000_000
        return max(1, min(price, 2**53 - 1))

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.seal(1_000, 3)


def test_rules_agree_with_the_reference() -> None:
    run_state_machine_as_test(Exchange, settings=settings(max_examples=25, stateful_step_count=40))


@pytest.mark.slow
def test_rules_agree_with_the_reference_at_length() -> None:
    run_state_machine_as_test(
        Exchange, settings=settings(max_examples=500, stateful_step_count=120)
    )


@pytest.mark.parametrize("number", range(len(SETUPS)), ids=[setup.name for setup in SETUPS])
def test_player_finds_no_difference(number: int) -> None:
    pair = Pair(SETUPS[number])
    player = Player(pair, Random(number))

    for _ in range(80):
        elapsed_ms, actions = player.choose_block()
        pair.run_block(elapsed_ms, actions)

    assert pair.events["OrderFilled"] > 0


def test_driver_calls_what_a_block_calls_o6() -> None:
    """The steps and classes stand in `apply_block` in the driver's order."""
    tree = ast.parse(inspect.getsource(execution.apply_block))
    called = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            text = ast.unparse(node)
            if ".process_" in text:
                called.append((node.lineno, text.removesuffix("(ledger)")))
            elif text.startswith("run.apply_transactions(bodies[ActionClass."):
                called.append((node.lineno, text.split(".")[-1].removesuffix("])")))

    names = [text for _, text in sorted(called)]

    assert names == [
        step.name
        if isinstance(step, ActionClass)
        else f"{step.__module__.rpartition('.')[2]}.{step.__name__}"
        for step in STEPS
    ]
