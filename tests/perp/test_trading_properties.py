"""Random traders over two markets: what must hold after every action, whatever they do."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from node.errors import Refusal
from node.perp.account import FEES, get_account, process_deposit, process_withdrawal
from node.perp.events import OrderFilled
from node.perp.funding import compute_pending
from node.perp.margin import compute_risk
from node.perp.order import OrderRequest, TimeInForce
from node.perp.trading import (
    process_cancel,
    process_cancel_all,
    process_market_order,
    process_order,
)
from node.units import PPB, Address, Lots, MarketId, OrderId, Quote, Ticks
from tests.helpers.ledger import (
    DictLedger,
    dump_book,
    make_ledger,
    make_market,
    next_block,
    set_funding_index,
    set_price,
    trader,
)

SIZES = st.one_of(st.integers(1, 40), st.integers(-40, -1))
TRADERS = [trader(number) for number in range(1, 6)]
MARKETS = [MarketId(1), MarketId(2)]


Wish = tuple[Address, MarketId, int, int, TimeInForce, bool]
WISHES = st.tuples(
    st.sampled_from(TRADERS),
    st.sampled_from([MARKETS[0], MARKETS[0], MARKETS[1]]),
    SIZES,
    st.integers(-7, 7),
    st.sampled_from([TimeInForce.GTC, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.POST_ONLY]),
    st.sampled_from([False, False, True]),
)


def make_two_markets() -> DictLedger:
    """Return a ledger with fees, rebates, open interest caps and little removals to go round."""
    ledger = make_ledger(
        taker_fee_ppm=500, maker_fee_ppm=-200, oi_lower_cap=8_000, oi_upper_cap=60_000
    )
    make_market(ledger, price=20, k=7, taker_fee_ppm=1_000, maker_fee_ppm=300)
    ledger.params = ledger.params._replace(maker_removals_max=2)
    for number, owner in enumerate(TRADERS):
        process_deposit(ledger, owner, Quote(600 * (number + 1)))
    return ledger


class Trading(RuleBasedStateMachine):
    """Orders, cancels, prices, funding, deposits and withdrawals in any order."""

    @initialize()
    def begin(self) -> None:
        self.ledger = make_two_markets()
        self.deposited = sum(600 * (number + 1) for number in range(len(TRADERS)))

    def act(self, function: Any, *arguments: Any, **named: Any) -> bool:
        """Do it as a transaction would; return whether it was taken. A refusal changes nothing."""
        ledger = self.ledger
        before = ledger.dump()
        checkpoint = ledger.checkpoint()
        try:
            function(ledger, *arguments, **named)
        except Refusal:
            assert ledger.dump() == before
            return False
        after = ledger.dump()
        ledger.revert(checkpoint)
        assert ledger.dump() == before, "undoing restores exactly"
        function(ledger, *arguments, **named)
        assert ledger.dump() == after, "the same action does the same"
        return True

    @rule(wishes=st.lists(WISHES, min_size=4, max_size=16))
    def orders(self, wishes: list[Wish]) -> None:
        for owner, market, size, away, time_in_force, reduce_only in wishes:
            price = Ticks(max(1, self.ledger.oracles.rows[market].price + away))
            request = OrderRequest(market, Lots(size), price, time_in_force, reduce_only)
            events_before = len(self.ledger.events)
            if self.act(process_order, owner, request):
                happened = self.ledger.events[events_before:]
                if time_in_force == TimeInForce.POST_ONLY:
                    assert not any(isinstance(event, OrderFilled) for event in happened)
                self.check()

    def check(self) -> None:
        """Assert after one action of many what the invariants assert after all."""
        self.books_are_not_crossed_i2()
        self.sizes_sum_to_zero_and_open_interest_to_longs_i2()
        self.reduce_only_orders_oppose_a_position_that_holds_them_i2()

    @rule(
        owner=st.sampled_from(TRADERS),
        market=st.sampled_from(MARKETS),
        size=SIZES,
        reduce_only=st.booleans(),
    )
    def market_order(self, owner: Address, market: MarketId, size: int, reduce_only: bool) -> None:
        self.act(process_market_order, owner, market, Lots(size), reduce_only=reduce_only)

    @rule(
        owner=st.sampled_from(TRADERS),
        market=st.sampled_from(MARKETS),
        number=st.integers(1, 30),
    )
    def cancel(self, owner: Address, market: MarketId, number: int) -> None:
        self.act(process_cancel, owner, market, OrderId(number))

    @rule(owner=st.sampled_from(TRADERS), market=st.sampled_from(MARKETS))
    def cancel_all(self, owner: Address, market: MarketId) -> None:
        assert self.act(process_cancel_all, owner, market)

    @rule(owner=st.sampled_from(TRADERS), amount=st.integers(1, 2_000))
    def deposit(self, owner: Address, amount: int) -> None:
        assert self.act(process_deposit, owner, Quote(amount))
        self.deposited += amount

    @rule(owner=st.sampled_from(TRADERS), amount=st.integers(1, 2_000))
    def withdraw(self, owner: Address, amount: int) -> None:
        if self.act(process_withdrawal, owner, Quote(amount)):
            self.deposited -= amount
            risk = compute_risk(self.ledger, owner)
            assert risk.equity >= risk.initial
            assert risk.equity * 10 >= risk.open_notional

    @rule(market=st.sampled_from(MARKETS), percent=st.integers(-10, 10))
    def move_price(self, market: MarketId, percent: int) -> None:
        price = self.ledger.oracles.rows[market].price
        set_price(self.ledger, max(5, price + price * percent // 100), market=market)

    @rule(market=st.sampled_from(MARKETS), step=st.integers(-(10**10), 10**10))
    def move_funding(self, market: MarketId, step: int) -> None:
        index = self.ledger.fundings.rows[market].index
        set_funding_index(self.ledger, index + step, market=market)

    @rule()
    def new_block(self) -> None:
        next_block(self.ledger)
        for market in MARKETS:
            self.ledger.books[market] = self.ledger.books[market].fork(self.ledger.journal)

    @invariant()
    def balances_sum_to_zero_i1(self) -> None:
        assert sum(account.balance for account in self.ledger.accounts.rows.values()) == 0
        bridge = get_account(self.ledger, Address(bytes(18) + b"\x10\x06"))
        assert bridge.balance == -self.deposited

    @invariant()
    def sizes_sum_to_zero_and_open_interest_to_longs_i2(self) -> None:
        for market in MARKETS:
            sizes = [
                position.size
                for (_, where), position in self.ledger.positions.rows.items()
                if where == market
            ]
            assert 0 not in sizes
            assert sum(sizes) == 0
            longs = sum(size for size in sizes if size > 0)
            assert self.ledger.markets.rows[market].open_interest == longs

    @invariant()
    def books_are_not_crossed_i2(self) -> None:
        for market in MARKETS:
            book = self.ledger.book(market)
            bid, ask = book.best_bid(), book.best_ask()
            assert bid is None or ask is None or bid.price < ask.price
            assert all(order.size for order in book.orders.values())

    @invariant()
    def reduce_only_orders_oppose_a_position_that_holds_them_i2(self) -> None:
        for market in MARKETS:
            for order in self.ledger.book(market).orders.values():
                if order.reduce_only:
                    position = self.ledger.positions.rows[order.owner, market]
                    assert position.size * order.size < 0
                    assert abs(order.size) <= abs(position.size)

    @invariant()
    def funding_balances_with_its_dust_i3(self) -> None:
        for market in MARKETS:
            funding = self.ledger.fundings.rows[market]
            held = [
                position
                for (_, where), position in self.ledger.positions.rows.items()
                if where == market
            ]
            pool = get_account(self.ledger, Address(bytes(18) + bytes([0x20, market]))).balance
            pending = sum(compute_pending(funding, position) for position in held)
            assert PPB * pool == funding.dust + pending
            assert funding.size_index_sum == sum(p.size * p.funding_index for p in held)

    @invariant()
    def fees_never_lose_i6(self) -> None:
        assert get_account(self.ledger, FEES).balance >= 0

    @invariant()
    def total_equity_is_the_same_at_any_price_i5(self) -> None:
        ledger = self.ledger
        balances = sum(account.balance for account in ledger.accounts.rows.values())
        for price in (1, 97, 10**9):
            values = sum(
                position.size * price * ledger.market_params(market).k
                for (_, market), position in ledger.positions.rows.items()
            )
            assert balances + values == 0

    @invariant()
    def accounts_know_their_markets(self) -> None:
        for owner in TRADERS:
            markets = [
                market
                for market in MARKETS
                if (owner, market) in self.ledger.positions.rows
                or any(o.owner == owner for o in self.ledger.book(market).orders.values())
            ]
            assert get_account(self.ledger, owner).markets == tuple(markets)

    @invariant()
    def maintenance_is_within_initial_g1(self) -> None:
        for owner in TRADERS:
            risk = compute_risk(self.ledger, owner)
            assert 0 <= risk.maintenance <= risk.initial


TestTrading = Trading.TestCase


@given(
    actions=st.lists(
        st.tuples(
            st.sampled_from(TRADERS),
            st.sampled_from(MARKETS),
            SIZES,
            st.integers(-6, 6),
        ),
        max_size=25,
    )
)
def test_trading_alone_leaves_everybody_covered_g3(
    actions: list[tuple[Address, MarketId, int, int]],
) -> None:
    # While prices and funding stand still, every account keeps the margin of what it holds.
    ledger = make_two_markets()

    for owner, market, size, away in actions:
        price = Ticks(ledger.oracles.rows[market].price + away)
        try:
            process_order(
                ledger, owner, OrderRequest(market, Lots(size), price, TimeInForce.GTC, False)
            )
        except Refusal:
            continue
        for each in TRADERS:
            risk = compute_risk(ledger, each)
            assert risk.equity >= risk.maintenance


@given(
    actions=st.lists(
        st.tuples(st.sampled_from(TRADERS), SIZES, st.integers(-6, 6)),
        max_size=20,
    )
)
def test_a_book_is_what_its_records_say(actions: list[tuple[Address, int, int]]) -> None:
    # A head's book is rebuilt from records after a restart: it must be the one that traded.
    ledger = make_two_markets()
    for owner, size, away in actions:
        request = OrderRequest(
            MARKETS[0], Lots(size), Ticks(100 + away), TimeInForce.GTC, reduce_only=False
        )
        try:
            process_order(ledger, owner, request)
        except Refusal:
            continue

    book = ledger.book(MARKETS[0])
    rebuilt = book.__class__([])
    for order in reversed(list(book.orders.values())):
        rebuilt.put_order(order)

    assert dump_book(rebuilt) == dump_book(book)
