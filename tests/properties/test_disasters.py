"""What went wrong elsewhere, and what the clauses of RULES answer: each once, as a story.

Both opinions live through each story, every block of it compared and all invariants checked.
"""

from collections.abc import Callable, Iterable

import pytest

from node.errors import BodyMismatch, InvariantViolation
from node.perp.account import DEFICIT, VAULT, Leg, process_entry
from node.perp.events import (
    BalanceAbsorbed,
    PositionDeleveraged,
    PositionLiquidated,
    ReportRefused,
)
from node.perp.invariants import check_all, check_block
from node.perp.oracle import ReportRefusal
from node.perp.order import OrderRequest, TimeInForce, TriggerKind, TriggerRequest
from node.perp.parameters import MAGNITUDE_MAX
from node.perp.status import Mode
from node.units import Address, FundingIndex, Lots, MarketId, Quote, RatePpb, RatePpm, Ticks, TimeMs
from tests.helpers.chain import Chain, Person, make_genesis
from tests.helpers.ledger import make_market_params, trader
from tests.properties.actions import (
    Action,
    Deposit,
    Place,
    PlaceMarket,
    PlaceTrigger,
    Report,
    Withdraw,
)
from tests.properties.driver import Pair, Setup, begin_block, touched_by
from tests.properties.setups import REPORTERS, make_chain

LONG, SHORT, MAKER, OTHER = (trader(number) for number in (1, 2, 3, 4))
ONE, TWO = MarketId(1), MarketId(2)


class Story:
    """Two markets at 1,000; a lot at a tick is an atom; IM 10 %, MM 5 %, no fees, no interest."""

    def __init__(
        self, *, vault: int = 0, margin: int = 10**9, price: int = 1_000, **changes: object
    ) -> None:
        params = make_market_params(**{"funding_interest_ppb": RatePpb(0), **changes})
        margins = {LONG: margin, SHORT: margin, MAKER: margin, OTHER: margin, VAULT: vault}
        self.k = params.k
        setup = Setup("story", make_chain(), (params, params), (price, price), margins)
        self.pair = Pair(setup)
        self.prices = {ONE: price, TWO: price}
        self.seen: list[object] = []
        self.wait(12)
        assert self.modes() == {ONE: Mode.OPEN, TWO: Mode.OPEN}

    def block(
        self,
        *actions: Action,
        elapsed_ms: int = 1_000,
        reporters: int = 3,
        silent: Iterable[MarketId] = (),
    ) -> None:
        """Seal a block; whoever reports, reports the prices as they are."""
        time_ms = self.pair.time_ms + elapsed_ms
        reports = [
            Report(reporter, market, price, time_ms)
            for market, price in self.prices.items()
            if market not in silent
            for reporter in REPORTERS[:reporters]
        ]
        self.pair.run_block(elapsed_ms, [*reports, *actions])
        self.seen += self.pair.engine.events

    def wait(self, blocks: int, **changes: int) -> None:
        for _ in range(blocks):
            self.block(**changes)  # type: ignore[arg-type]

    def wait_until(self, is_done: Callable[[], bool], *, blocks: int = 60) -> None:
        for _ in range(blocks):
            if is_done():
                return
            self.block()
        raise AssertionError(f"not within {blocks} blocks")

    def trade(self, buyer: Address, seller: Address, size: int, market: MarketId = ONE) -> None:
        """Let two people trade at the market's price."""
        price = self.prices[market]
        self.block(
            place(seller, -size, price, market=market),
            place(buyer, size, price, market=market, force=TimeInForce.IOC),
        )
        assert self.size(buyer, market) >= size

    def set_equity(self, owner: Address, equity: int) -> None:
        """Let an account withdraw down to this equity."""
        self.block(Withdraw(owner, self.equity(owner) - equity))
        assert self.equity(owner) == equity

    def modes(self) -> dict[MarketId, Mode]:
        return {each: status.mode for each, status in self.pair.engine.statuses.rows.items()}

    def size(self, owner: Address, market: MarketId = ONE) -> int:
        return self.pair.world.position(owner, market).size

    def balance(self, owner: Address) -> int:
        return self.pair.world.balances.get(owner, 0)

    def equity(self, owner: Address) -> int:
        held = [(size, where) for (who, where), (size, *_) in self.positions() if who == owner]
        marks = {market: state.mark for market, state in self.pair.world.markets.items()}
        return self.balance(owner) + sum(size * marks[where] * self.k for size, where in held)

    def positions(self) -> list[tuple[tuple[bytes, int], tuple[int, int, int]]]:
        return list(self.pair.world.positions.items())

    def told(self, kind: type) -> list[object]:
        return [event for event in self.seen if isinstance(event, kind)]


def place(
    owner: Address,
    size: int,
    price: int,
    *,
    market: MarketId = ONE,
    force: TimeInForce = TimeInForce.GTC,
    reduce_only: bool = False,
) -> Place:
    return Place(owner, OrderRequest(market, Lots(size), Ticks(price), force, reduce_only))


# --- Paradex, 2026 --------------------------------------------------------------------------------


def with_index(story: Story) -> Story:
    """Let funding accrue, until the index has moved."""
    story.trade(LONG, SHORT, 1_000)
    story.wait(80)
    assert story.pair.engine.fundings.rows[ONE].index != 0
    return story


def test_index_set_to_zero_within_a_block_is_seen_by_i4_and_not_by_i3() -> None:
    """I3 knows the positions' indices and not the market's: they still agree with the pool."""
    ledger = with_index(Story(funding_interest_ppb=RatePpb(100_000))).pair.engine
    before = begin_block(ledger, 0)
    ledger.height, ledger.time_ms = before.height, before.time_ms

    funding = ledger.fundings.rows[ONE]
    ledger.fundings.set(ONE, funding._replace(index=FundingIndex(0)))

    check_all(ledger)
    with pytest.raises(InvariantViolation, match=r"I4.*index.*was 0"):
        check_block(before, ledger, touched_by(before, ledger))


def test_index_set_to_zero_between_blocks_is_seen_by_who_has_the_right_parent() -> None:
    """A wrong before-value satisfies every check that starts from it: hence other validators."""
    story = with_index(Story(funding_interest_ppb=RatePpb(100_000)))
    ledger = story.pair.engine
    right = ledger.fundings.rows[ONE]
    ledger.fundings.set(ONE, right._replace(index=FundingIndex(0)))

    wrong_parent = begin_block(ledger, 0)
    ledger.height, ledger.time_ms = wrong_parent.height, wrong_parent.time_ms
    check_block(wrong_parent, ledger, touched_by(wrong_parent, ledger))

    right_parent = begin_block(ledger, 0)
    ledger.height, ledger.time_ms = right_parent.height, right_parent.time_ms
    right_parent.fundings.rows[ONE] = right
    with pytest.raises(InvariantViolation, match="I4"):
        check_block(right_parent, ledger, touched_by(right_parent, ledger))
    with pytest.raises(AssertionError, match=r"funding_index"):
        story.pair.compare("the restart")


def test_position_index_set_to_zero_is_seen_by_i3() -> None:
    ledger = with_index(Story(funding_interest_ppb=RatePpb(100_000))).pair.engine
    position = ledger.positions.rows[LONG, ONE]
    ledger.positions.set((LONG, ONE), position._replace(funding_index=FundingIndex(1)))

    with pytest.raises(InvariantViolation, match="I3"):
        check_all(ledger)


def test_absurd_quotes_in_a_thin_post_only_book_liquidate_nobody() -> None:
    """The second wave: mark is the oracle's until OPEN, and nobody is liquidated before grace."""
    story = Story()
    story.trade(LONG, SHORT, 1_000)
    for owner in (LONG, SHORT):
        story.set_equity(owner, 100_000)
    story.block(elapsed_ms=40_000)
    story.wait_until(lambda: story.modes()[ONE] == Mode.POST_ONLY)

    story.block(
        place(MAKER, 10, 500, force=TimeInForce.POST_ONLY),
        place(OTHER, -10, 5_000, force=TimeInForce.POST_ONLY),
        place(MAKER, 10, 4_999, force=TimeInForce.POST_ONLY),
    )

    prices = sorted(order.price for order in story.pair.engine.books[ONE].orders.values())
    assert prices == [500, 5_000]
    story.wait_until(lambda: story.modes()[ONE] == Mode.OPEN)
    story.wait(10)
    assert story.pair.world.markets[ONE].mark == 1_000
    assert story.told(PositionLiquidated) == []
    assert (story.size(LONG), story.size(SHORT)) == (1_000, -1_000)


# --- dYdX, 2025 -----------------------------------------------------------------------------------


def test_liquidation_closes_the_whole_open_interest_while_the_vault_pays_l5() -> None:
    """Money, positions and the vault's part are one entry: no check sees a half of it."""
    story = Story(vault=10**6, price_move_ppm_max=RatePpm(300_000))
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 150_000)
    story.block(place(SHORT, 1_000, 790, reduce_only=True))

    story.prices[ONE] = 800
    story.block()  # LONG owes 50,000, and is sold 10 ticks below the mark to the only other side

    (liquidated,) = story.told(PositionLiquidated)
    assert isinstance(liquidated, PositionLiquidated)
    assert liquidated.vault_payment == -60_000
    assert story.positions() == []
    assert story.pair.engine.markets.rows[ONE].open_interest == 0
    assert (story.balance(LONG), story.balance(VAULT)) == (0, 940_000)
    assert story.balance(SHORT) == 10**9 + 210_000
    story.trade(MAKER, OTHER, 10)  # and the market goes on
    assert story.modes()[ONE] == Mode.OPEN


# --- prices ---------------------------------------------------------------------------------------


def test_price_of_zero_is_refused_and_costs_nobody_anything_p2() -> None:
    story = Story()
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 101_000)

    story.prices[ONE] = 0
    story.block()

    refused = [each for each in story.told(ReportRefused) if isinstance(each, ReportRefused)]
    assert [(each.price, each.reason) for each in refused] == [(0, ReportRefusal.INVALID_PRICE)] * 3
    market = story.pair.world.markets[ONE]
    assert (market.price, market.mark, story.modes()[ONE]) == (1_000, 1_000, Mode.OPEN)
    story.wait(31)
    market = story.pair.world.markets[ONE]
    assert (market.price, market.stale, story.modes()[ONE]) == (1_000, True, Mode.CANCEL_ONLY)
    story.prices[ONE] = 1_000
    story.wait_until(lambda: story.modes()[ONE] == Mode.OPEN)
    story.wait(10)
    assert (story.size(LONG), story.told(PositionLiquidated)) == (1_000, [])


def test_one_reporter_of_nearly_zero_does_not_move_the_median_p1() -> None:
    story = Story()

    time_ms = story.pair.time_ms + 1_000
    story.block(Report(REPORTERS[0], ONE, 1, time_ms), silent=[ONE])

    assert story.pair.world.markets[ONE].price == 1_000
    assert story.modes()[ONE] == Mode.OPEN


@pytest.mark.parametrize(("impact_notional", "is_moved"), [(5 * 10**9, False), (1_000, True)])
def test_two_usdc_of_orders_do_not_move_the_mark_p3(impact_notional: int, is_moved: bool) -> None:
    """Quotes, and a trade at them, have a say only where they could fill 5,000 USDC."""
    story = Story(impact_notional=Quote(impact_notional))
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 105_000)
    story.prices[ONE] = 955
    story.block()  # equity 60,000 of MM 47,750; at 935 it would be 40,000 of 46,750

    story.block(place(MAKER, 1_000, 934), place(MAKER, -1_000, 936))  # two USDC
    story.block(place(OTHER, -1, 934, force=TimeInForce.IOC))
    marks = set()
    for _ in range(16):
        story.block(elapsed_ms=10_000)
        marks.add(story.pair.world.markets[ONE].mark)

    assert (marks != {955}) == is_moved
    assert bool(story.told(PositionLiquidated)) == is_moved


def test_price_stale_for_eight_hours_costs_nobody_anything() -> None:
    story = with_index(Story(funding_interest_ppb=RatePpb(100_000)))
    index = story.pair.world.markets[ONE].funding_index
    story.set_equity(LONG, 101_000)

    for _ in range(8 * 3_600 // 25):
        story.block(elapsed_ms=25_000, reporters=1)
    world = story.pair.world
    stale_index = world.markets[ONE].funding_index

    assert world.markets[ONE].stale
    assert story.modes()[ONE] == Mode.CANCEL_ONLY
    # At most the block in which the reports were not yet too old still accrued.
    assert abs(stale_index - index) < 10**9
    assert (story.size(LONG), story.told(PositionLiquidated)) == (1_000, [])

    # The price has moved by 20 % meanwhile: confirmed, reopened, and LONG can still act first.
    story.prices[ONE] = 800
    story.wait_until(lambda: story.modes()[ONE] == Mode.OPEN)
    assert world.markets[ONE].funding_index == stale_index
    assert story.told(PositionLiquidated) == []
    story.block(Deposit(LONG, 200_000))
    story.wait(10)
    assert (story.size(LONG), story.told(PositionLiquidated)) == (1_000, [])


def test_jump_of_sixty_percent_in_one_block_closes_the_market_and_liquidates_nobody_at_once() -> (
    None
):
    story = Story(vault=10**9, vault_size_max=Lots(10**6))
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 100_000)

    story.prices[ONE] = 400
    story.block()

    world = story.pair.world
    assert (story.modes()[ONE], world.markets[ONE].price) == (Mode.CANCEL_ONLY, 1_000)
    story.wait_until(lambda: world.markets[ONE].price == 400)
    story.wait_until(lambda: story.modes()[ONE] == Mode.OPEN)
    assert story.told(PositionLiquidated) == []
    assert story.size(LONG) == 1_000
    story.wait(6)  # grace is over: who owes 500,000 is closed, and the vault pays
    assert story.size(LONG) == 0
    assert (story.balance(LONG), story.balance(DEFICIT)) == (0, 0)


def test_real_move_of_thirty_percent_reported_every_three_seconds_is_believed() -> None:
    """Reports of the first block's own time don't confirm it; the second round does."""
    story = Story()
    story.prices[ONE] = 1_300
    started = story.pair.time_ms

    blocks = 0
    while story.pair.world.markets[ONE].price != 1_300:
        everybody = 3 if blocks % 3 == 0 else 0
        story.block(reporters=everybody)
        blocks += 1
        assert blocks < 10

    assert story.pair.time_ms - started <= 7_000
    story.wait(14)
    assert story.modes()[ONE] == Mode.OPEN


# --- nobody left to pay -------------------------------------------------------------------------


def test_empty_vault_refuses_the_fill_and_the_other_side_gives_its_profit_back() -> None:
    """LONG owes 50,000 at 800; a bid at 790 would cost the vault what it has not."""
    story = Story(vault=0, price_move_ppm_max=RatePpm(300_000))
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 150_000)
    story.block(place(MAKER, 1_000, 790))

    story.prices[ONE] = 800
    story.block()

    assert story.told(PositionLiquidated) == []
    deleveraged = story.told(PositionDeleveraged)
    assert len(deleveraged) == 1
    assert (story.size(LONG), story.size(SHORT), story.balance(LONG)) == (0, 0, 0)
    assert (story.balance(VAULT), story.balance(DEFICIT)) == (0, 0)
    assert story.balance(SHORT) == 10**9 + 150_000  # what LONG had, and no atom more


def test_everybody_on_one_side_bankrupt_ends_with_both_sides_flat() -> None:
    story = Story(vault=0, price_move_ppm_max=RatePpm(900_000))
    for owner in (LONG, MAKER, OTHER):
        story.trade(owner, SHORT, 1_000)
    for owner in (LONG, MAKER, OTHER):
        story.set_equity(owner, 100_000)
    total = sum(story.balance(owner) for owner in (LONG, MAKER, OTHER, SHORT))

    story.prices[ONE] = 500
    story.wait(3)

    assert story.positions() == []
    assert [story.balance(owner) for owner in (LONG, MAKER, OTHER)] == [0, 0, 0]
    assert story.balance(SHORT) == total
    assert (story.balance(VAULT), story.balance(DEFICIT)) == (0, 0)


def test_vault_that_a_payment_brought_below_its_margin_is_deleveraged_in_the_same_block_l1_l4() -> (
    None
):
    """The vault took over a long; then it pays for somebody else's shortfall."""
    story = Story(vault=30_000, vault_size_max=Lots(10**6), price_move_ppm_max=RatePpm(300_000))
    story.trade(LONG, SHORT, 100)
    story.set_equity(LONG, 10_100)
    story.prices[ONE] = 900
    story.block()  # LONG: equity 100 of MM 4,500
    assert (story.size(LONG), story.size(VAULT)) == (0, 100)
    story.trade(MAKER, SHORT, 1_000, TWO)
    story.set_equity(MAKER, 100_000)
    story.block(place(OTHER, 1_000, 874, market=TWO))
    assert story.equity(VAULT) == 30_100

    story.prices[TWO] = 874
    story.block()  # MAKER: equity -26,000; the vault pays that, and 4,100 are left of MM 4,500

    assert len(story.told(PositionLiquidated)) == 1
    assert (story.balance(VAULT), story.size(VAULT), story.size(SHORT)) == (4_100, 0, 0)


def test_account_left_negative_without_a_position_is_paid_by_vault_then_deficit_l6() -> None:
    story = Story(vault=30_000)
    story.block(Withdraw(OTHER, 10**9))
    owe(story, OTHER, 50_000)

    story.block()

    assert story.told(BalanceAbsorbed) == [BalanceAbsorbed(OTHER, Quote(30_000), Quote(20_000))]
    assert [story.balance(each) for each in (OTHER, VAULT, DEFICIT)] == [0, 0, -20_000]
    story.block(Withdraw(MAKER, 1))
    assert story.balance(MAKER) == 10**9  # M3: the gate is closed
    story.wait(4)
    story.block(Withdraw(MAKER, 1))
    assert story.balance(MAKER) == 10**9 - 1


def owe(story: Story, owner: Address, amount: int) -> None:
    """Leave an account with a debt to SHORT, as a fill beyond its equity would."""
    process_entry(story.pair.engine, (Leg(owner, Quote(-amount)), Leg(SHORT, Quote(amount))))
    story.pair.world.pay((owner, -amount), (SHORT, amount))


# --- small and large ------------------------------------------------------------------------------


@pytest.mark.parametrize("side", [1, -1])
def test_one_lot_is_liquidated_whole(side: int) -> None:
    story = Story(vault=10**6)
    holder, counter = (LONG, SHORT) if side > 0 else (SHORT, LONG)
    story.trade(LONG, SHORT, 1)
    story.set_equity(holder, 100)
    assert story.size(counter) == -side
    story.block(place(MAKER, side, 1_000 - side * 60))

    for step in (40, 80):
        story.prices[ONE] = 1_000 - side * step
        story.block()

    assert story.size(holder) == 0
    assert story.size(MAKER) == side
    assert len(story.told(PositionLiquidated)) == 1


def test_sizes_and_prices_at_their_limits_are_exact() -> None:
    """2^53 - 1 lots at 2^53 - 1 ticks: notionals of 106 bits, and not an atom lost."""
    story = Story(margin=2**110, oi_lower_cap=Quote(2**126), oi_upper_cap=Quote(2**127))
    huge = MAGNITUDE_MAX
    story.block(place(LONG, huge, 1_000), place(LONG, huge + 1, 1_000), place(OTHER, 1, huge + 1))
    story.block(place(SHORT, -huge, 1_000), place(MAKER, -huge, huge, force=TimeInForce.POST_ONLY))

    assert (story.size(LONG), story.size(SHORT)) == (huge, -huge)
    assert len(story.pair.engine.books[ONE].orders) == 1
    story.prices[ONE] = 1_040
    story.wait(3)
    assert story.equity(LONG) - 2**110 == huge * 40 == 2**110 - story.equity(SHORT)
    story.block(PlaceMarket(LONG, ONE, -huge, True), place(SHORT, huge, 1_040))
    story.block(PlaceMarket(LONG, ONE, -huge, True))
    assert story.positions() == []


# --- the clauses' own counterexamples -------------------------------------------------------------


def test_phantom_depth_from_an_empty_account_is_refused_g3() -> None:
    story = Story()
    story.block(Withdraw(OTHER, 10**9))
    assert story.balance(OTHER) == 0

    story.block(
        place(OTHER, 10**6, 999, force=TimeInForce.POST_ONLY),
        place(OTHER, -1, 1_001),
        place(OTHER, -1, 1_001, reduce_only=True),
        PlaceTrigger(OTHER, TriggerRequest(ONE, Lots(-1), Ticks(900), TriggerKind.STOP_LOSS)),
    )

    book = story.pair.engine.books[ONE]
    assert (len(book.orders), len(book.triggers)) == (0, 0)
    # Nor can who has depth take the money away from under it.
    story.block(place(MAKER, 1_000, 999))
    story.block(Withdraw(MAKER, 10**9))
    assert story.balance(MAKER) == 10**9


def test_one_lot_in_a_dead_market_buys_no_immunity_l1() -> None:
    story = Story(vault=10**9)
    story.trade(LONG, SHORT, 1_000)
    story.trade(LONG, SHORT, 1, TWO)
    story.set_equity(LONG, 101_000)
    story.block(place(MAKER, 1_000, 940))
    for _ in range(32):
        story.block(silent=[TWO])
    assert story.modes() == {ONE: Mode.OPEN, TWO: Mode.CANCEL_ONLY}

    for price in (970, 940, 930):
        story.prices[ONE] = price
        story.block(silent=[TWO])

    assert story.told(PositionLiquidated)
    assert story.size(LONG) < 1_000
    assert story.size(LONG, TWO) == 1  # it is not liquidated itself


def test_reduce_only_ladder_never_turns_the_position_around_o2() -> None:
    story = Story()
    story.trade(LONG, SHORT, 100)
    story.block(*(place(LONG, -100, price, reduce_only=True) for price in (1_001, 1_002, 1_003)))
    assert len(story.pair.engine.books[ONE].orders) == 3

    story.block(PlaceMarket(MAKER, ONE, 60, False))
    left = [order.size for order in story.pair.engine.books[ONE].orders.values()]
    assert (story.size(LONG), left) == (40, [-40, -40, -40])
    story.block(PlaceMarket(MAKER, ONE, 300, False))

    assert (story.size(LONG), story.size(MAKER)) == (0, 100)
    assert len(story.pair.engine.books[ONE].orders) == 0


def test_way_out_is_not_shed_with_the_orders_that_add_risk_g5() -> None:
    """A closing order that is not flagged reduce-only adds no risk: its owner's exit stays."""
    story = Story()
    story.trade(LONG, SHORT, 100)
    story.set_equity(LONG, 12_000)
    story.block(place(LONG, -60, 1_040), place(LONG, 10, 960), place(LONG, -50, 1_045))

    story.prices[ONE] = 965
    story.block()  # equity 8,500; IM 10,615 with all, 9,650 of the position alone; MM 4,825

    left = sorted(order.size for order in story.pair.engine.books[ONE].orders.values())
    assert story.told(PositionLiquidated) == []
    assert left == [-60]


def test_premium_that_one_block_paints_is_not_sampled_f1() -> None:
    story = Story(impact_notional=Quote(1_000))
    story.block(place(MAKER, 100, 1_040))

    assert story.pair.world.markets[ONE].premium_sum == 0
    story.block()
    assert story.pair.world.markets[ONE].premium_sum == 40_000_000 * 1_000


def test_wash_trade_does_not_cancel_everybodys_quotes_g1() -> None:
    """Open interest beyond its upper cap asks new risk for 100 %; what rests stays."""
    story = Story(oi_lower_cap=Quote(10_000), oi_upper_cap=Quote(20_000))
    story.block(place(MAKER, 5, 990, force=TimeInForce.POST_ONLY))
    story.block(Withdraw(MAKER, 10**9 - 1_000))
    story.trade(LONG, SHORT, 100)

    story.wait(3)
    story.block(place(OTHER, -5, 990))

    assert story.size(MAKER) == 5


def test_bid_two_basis_points_away_takes_nothing_from_a_barely_unhealthy_account_l2() -> None:
    """The fillable price starts at the mark: a bit below maintenance gives a bit away."""
    story = Story(vault=10**9, price=10_000, k=10, price_move_ppm_max=RatePpm(60_000))
    story.trade(LONG, SHORT, 1_000)
    story.set_equity(LONG, 10_001_000)
    story.block(place(MAKER, 1_000, 9_471))
    story.prices[ONE] = 9_474
    story.block()  # equity 4,741,000 of MM 4,737,000: healthy
    assert story.told(PositionLiquidated) == []

    story.prices[ONE] = 9_473
    story.block()  # equity 4,731,000 of 4,736,500: 5,500 missing are no tick of 1,000 lots

    assert (story.told(PositionLiquidated), story.size(LONG)) == ([], 1_000)
    story.prices[ONE] = 9_460
    story.block()  # 129,000 are missing: 19 ticks, to 9,441
    assert len(story.told(PositionLiquidated)) == 1


# --- the queue ------------------------------------------------------------------------------------


def test_nonce_chain_can_not_pull_a_taker_forward_o8() -> None:
    """A taker whose sender adds a cancel does not go where cancels go."""
    jumper, maker = Person("jumper"), Person("maker")
    chain = Chain(make_genesis([jumper, maker]))
    chain.open_market(600_000)
    chain.seal(*chain.reports(600_000), maker.order(-10, 600_100))
    (resting,) = chain.blockchain.ledger_after(chain.head).book(ONE).orders

    take = jumper.order(10, 600_100, tif=1)
    bait = jumper.call("Exchange", "cancelAllOrders", ONE)
    leave = maker.call("Exchange", "cancelOrder", ONE, resting)
    with pytest.raises(BodyMismatch, match="class"):
        chain.seal(take, bait, leave)

    chain.time_ms = TimeMs(chain.time_ms - 100)  # the refused block took its time with it
    chain.seal(leave, take, bait)

    assert [receipt.status for receipt in chain.receipts] == [1, 0, 1]
    assert chain.blockchain.ledger_after(chain.head).positions.get((jumper.address, ONE)) is None
