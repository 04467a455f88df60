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
    precondition,
    rule,
    run_state_machine_as_test,
)

from node.chain import execution
from node.perp.order import OrderRequest, TimeInForce, TriggerKind, TriggerRequest
from node.system.classes import ActionClass
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
from tests.properties.driver import STEPS, Pair
from tests.properties.player import Player
from tests.properties.setups import REPORTERS, SETUPS, TRADERS

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
FORCES = st.sampled_from((TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY))


def pick(sequence: Any, number: int) -> Any:
    """Return one of a sequence by a number from outside."""
    return sequence[number % len(sequence)]


class Exchange(RuleBasedStateMachine):
    """Everybody acts; `seal` makes a block of it."""

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
        self.pair.run_block(elapsed_ms, actions)

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

    @rule(
        owner=OWNERS,
        market=st.integers(0, 1),
        side=SIDES,
        share=SHARES,
        distance=DISTANCES_PPM,
        force=FORCES,
        reduce_only=st.booleans(),
    )
    def place(
        self,
        owner: Any,
        market: int,
        side: int,
        share: int,
        distance: int,
        force: TimeInForce,
        reduce_only: bool,
    ) -> None:
        where = pick(self.pair.markets, market)
        price = max(1, self.prices[where] * (1_000_000 - side * distance) // 1_000_000)
        size = side * self.lots(owner, where, share)
        request = OrderRequest(where, Lots(size), Ticks(price), force, reduce_only)
        self.actions.append(Place(owner, request))

    @rule(maker=OWNERS, taker=OWNERS, market=st.integers(0, 1), side=SIDES, share=SHARES)
    def trade(self, maker: Any, taker: Any, market: int, side: int, share: int) -> None:
        where = pick(self.pair.markets, market)
        size, price = side * self.lots(maker, where, share), Ticks(self.prices[where])
        for owner, lots, force in ((maker, size, TimeInForce.GTC), (taker, -size, TimeInForce.IOC)):
            request = OrderRequest(where, Lots(lots), price, force, False)
            self.actions.append(Place(owner, request))

    @rule(
        owner=OWNERS, market=st.integers(0, 1), side=SIDES, share=SHARES, reduce_only=st.booleans()
    )
    def take(self, owner: Any, market: int, side: int, share: int, reduce_only: bool) -> None:
        where = pick(self.pair.markets, market)
        size = side * self.lots(owner, where, share)
        self.actions.append(PlaceMarket(owner, where, size, reduce_only))

    @precondition(lambda self: self.pair.world.positions)
    @rule(number=st.integers(0, 31), distance=DISTANCES_PPM, kind=st.sampled_from(TriggerKind))
    def protect(self, number: int, distance: int, kind: TriggerKind) -> None:
        owner, where = pick(sorted(self.pair.world.positions), number)
        size = -self.pair.world.positions[owner, where].size
        price = max(1, self.prices[where] * (1_000_000 - distance) // 1_000_000)
        request = TriggerRequest(where, Lots(size), Ticks(price), kind)
        self.actions.append(PlaceTrigger(owner, request))

    @precondition(lambda self: self.pair.world.orders or self.pair.world.triggers)
    @rule(number=st.integers(0, 63))
    def cancel(self, number: int) -> None:
        world = self.pair.world
        market, order_id = pick(sorted([*world.orders, *world.triggers]), number)
        order = world.orders.get((market, order_id)) or world.triggers[market, order_id]
        self.actions.append(Cancel(Address(order.owner), MarketId(market), order_id))

    @rule(owner=OWNERS, market=st.integers(0, 1))
    def cancel_all(self, owner: Any, market: int) -> None:
        self.actions.append(CancelAll(owner, pick(self.pair.markets, market)))

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

    def teardown(self) -> None:
        if hasattr(self, "pair"):
            self.seal(1_000, 3)


def test_rules_agree_with_the_reference() -> None:
    run_state_machine_as_test(Exchange, settings=settings(max_examples=25, stateful_step_count=40))


@pytest.mark.slow
def test_rules_agree_with_the_reference_at_length() -> None:
    run_state_machine_as_test(
        Exchange, settings=settings(max_examples=2_000, stateful_step_count=120)
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
