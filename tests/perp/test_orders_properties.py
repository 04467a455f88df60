"""Orders of every kind at random: what must hold after each action, whatever people do (O1, O7)."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.errors import Refusal
from node.perp.account import process_deposit
from node.perp.amending import process_amendment, process_client_amendment, process_shrinking
from node.perp.cancelling import (
    process_cancel,
    process_cancel_all,
    process_cancel_everything,
    process_client_cancel,
)
from node.perp.events import OrderFilled
from node.perp.expiry import process_dead_mans_cancel, process_disarming, process_expiries
from node.perp.leverage import process_own_margin
from node.perp.limits import find_client
from node.perp.order import (
    Order,
    OrderRequest,
    SelfTrade,
    TimeInForce,
    Trigger,
    TriggerKind,
    TriggerRequest,
)
from node.perp.pair import (
    PairLeg,
    PairRequest,
    process_attached_pair,
    process_bracket,
    process_position_pair,
)
from node.perp.sweep import check_all
from node.perp.trading import process_order
from node.perp.trigger import (
    process_fired_triggers,
    process_new_triggers,
    process_trigger_request,
)
from node.units import Address, Lots, MarketId, OrderId, Quote, RatePpm, Ticks, TimeMs
from tests.helpers.ledger import (
    DictLedger,
    make_ledger,
    make_market,
    next_block,
    set_price,
    trader,
)

TRADERS = [trader(number) for number in (1, 2, 3)]
MARKETS = [MarketId(1), MarketId(2)]
PRICE = 1_000
OPEN_MAX, POSITION_MAX = 12, 60

WHO = st.sampled_from(TRADERS)
WHERE = st.sampled_from([MARKETS[0], MARKETS[0], MARKETS[1]])
SIZES = st.one_of(st.integers(1, 30), st.integers(-30, -1))
NEAR = st.one_of(st.integers(-5, 5), st.integers(-40, 40))
"""How far from 1,000 a price is."""
CLIENTS = st.sampled_from([0, 0, 1, 2])
EXPIRIES = st.sampled_from([0, 0, 1, 1_500, 4_000])
"""After how many ms; 0: never."""


def make_orders_ledger() -> DictLedger:
    ledger = make_ledger(
        price=PRICE, taker_fee_ppm=500, maker_fee_ppm=-200, position_max=POSITION_MAX
    )
    make_market(ledger, price=PRICE, open_interest_max=40)
    ledger.params = ledger.params._replace(open_orders_max=OPEN_MAX, maker_removals_max=3)
    for owner in TRADERS:
        process_deposit(ledger, owner, Quote(60_000))
    return ledger


class Orders(RuleBasedStateMachine):
    """Three traders who use everything that an order may be."""

    @initialize()
    def begin(self) -> None:
        self.ledger = make_orders_ledger()
        self.pairs: list[tuple[MarketId, OrderId, OrderId]] = []
        self.traded: set[tuple[MarketId, OrderId]] = set()
        """Takers that were filled, whenever."""

    def act(self, function: Any, *arguments: Any, **named: Any) -> Any:
        """Act as a transaction does; a refusal changes nothing, undoing restores exactly."""
        ledger = self.ledger
        before = ledger.dump()
        checkpoint = ledger.checkpoint()
        try:
            function(ledger, *arguments, **named)
        except Refusal:
            assert ledger.dump() == before
            return None
        after = ledger.dump()
        ledger.revert(checkpoint)
        assert ledger.dump() == before
        result = function(ledger, *arguments, **named)
        assert ledger.dump() == after
        return result

    def after(self, ms: int) -> TimeMs:
        return TimeMs(self.ledger.time_ms + ms if ms else 0)

    def orders(self) -> list[tuple[MarketId, Order]]:
        return [
            (market, order)
            for market in MARKETS
            for order in self.ledger.book(market).orders.values()
        ]

    def open_ids(self) -> list[tuple[MarketId, Address, OrderId]]:
        found = [(market, order.owner, order.id) for market, order in self.orders()]
        for market in MARKETS:
            triggers = self.ledger.book(market).triggers.values()
            found += [(market, trigger.owner, trigger.id) for trigger in triggers]
        return found

    # --- what people do --------------------------------------------------------------------------

    @rule(wishes=st.lists(st.tuples(WHO, WHERE, SIZES, NEAR), min_size=3, max_size=8))
    def trade(self, wishes: list[tuple[Address, MarketId, int, int]]) -> None:
        for owner, market, size, near in wishes:
            price = Ticks(PRICE + near)
            request = OrderRequest(market, Lots(size), price, TimeInForce.GTC, False)
            self.act(process_order, owner, request)

    @rule(
        owner=WHO,
        market=WHERE,
        size=SIZES,
        near=NEAR,
        kind=st.sampled_from(TimeInForce),
        reduce_only=st.sampled_from([False, False, True]),
        after=EXPIRIES,
        client_id=CLIENTS,
        self_trade=st.sampled_from(SelfTrade),
        bracket=st.booleans(),
    )
    def place(
        self,
        owner: Address,
        market: MarketId,
        size: int,
        near: int,
        kind: TimeInForce,
        reduce_only: bool,
        after: int,
        client_id: int,
        self_trade: SelfTrade,
        bracket: bool,
    ) -> None:
        request = OrderRequest(
            market,
            Lots(size),
            Ticks(PRICE + near),
            kind,
            reduce_only,
            self.after(after),
            client_id,
            self_trade,
        )
        if not bracket:
            self.act(process_order, owner, request)
            return
        away = 20 if size > 0 else -20
        ids = self.act(
            process_bracket,
            owner,
            request,
            take_profit=PairLeg(Ticks(PRICE + away)),
            stop_loss=PairLeg(Ticks(PRICE - away)),
        )
        if ids is not None:
            self.pairs.append((market, ids.take_profit, ids.stop_loss))

    @rule(
        owner=WHO,
        market=WHERE,
        size=SIZES,
        near=NEAR,
        kind=st.sampled_from(TriggerKind),
        limit=st.sampled_from([None, -20, 0, 20]),
        reduce_only=st.booleans(),
        after=EXPIRIES,
        client_id=CLIENTS,
    )
    def wait(
        self,
        owner: Address,
        market: MarketId,
        size: int,
        near: int,
        kind: TriggerKind,
        limit: int | None,
        reduce_only: bool,
        after: int,
        client_id: int,
    ) -> None:
        limit_price = Ticks(0 if limit is None else PRICE + limit)
        request = TriggerRequest(
            market,
            Lots(size),
            Ticks(PRICE + near),
            kind,
            limit_price,
            reduce_only,
            self.after(after),
            client_id,
        )
        self.act(process_trigger_request, owner, request)

    @rule(
        lots=st.integers(1, 31),
        take=NEAR,
        stop=NEAR,
        after=EXPIRIES,
        is_attached=st.booleans(),
        data=st.data(),
    )
    def pair(
        self,
        lots: int,
        take: int,
        stop: int,
        after: int,
        is_attached: bool,
        data: st.DataObject,
    ) -> None:
        ledger = self.ledger
        request = PairRequest(
            MARKETS[0],
            Lots(0),
            PairLeg(Ticks(PRICE + take)),
            PairLeg(Ticks(PRICE + stop), Ticks(PRICE)),
            self.after(after),
        )
        orders, positions = self.orders(), sorted(ledger.positions.rows.items())
        ids = None
        if is_attached and orders:
            market, order = data.draw(st.sampled_from(orders))
            size = Lots(-lots if order.size > 0 else lots)
            request = request._replace(market=market, size=size)
            ids = self.act(process_attached_pair, order.owner, order.id, request)
        elif positions:
            (owner, market), position = data.draw(st.sampled_from(positions))
            size = Lots(-lots if position.size > 0 else lots)
            request = request._replace(market=market, size=size)
            ids = self.act(process_position_pair, owner, request)
        if ids is not None:
            self.pairs.append((request.market, *ids))

    @precondition(lambda self: self.orders())
    @rule(lots=st.integers(1, 31), near=NEAR, way=st.integers(0, 3), data=st.data())
    def amend(self, lots: int, near: int, way: int, data: st.DataObject) -> None:
        market, order = data.draw(st.sampled_from(self.orders()))
        size = Lots(lots if order.size > 0 else -lots)
        price = Ticks(PRICE + near)
        if way == 0:
            self.act(process_shrinking, order.owner, market, order.id, size)
        elif way == 1:
            self.act(process_client_amendment, order.owner, 1, size=size, price=price)
        else:
            self.act(process_amendment, order.owner, market, order.id, size=size, price=price)

    @rule(owner=WHO, market=WHERE, way=st.integers(0, 9), data=st.data())
    def cancel(self, owner: Address, market: MarketId, way: int, data: st.DataObject) -> None:
        if way == 0:
            self.act(process_cancel_all, owner, market)
        elif way == 1:
            self.act(process_cancel_everything, owner)
        elif way < 4:
            self.act(process_client_cancel, owner, way - 1)
        elif self.open_ids():
            market, owner, order_id = data.draw(st.sampled_from(self.open_ids()))
            self.act(process_cancel, owner, market, order_id)

    @rule(owner=WHO, market=WHERE, ppm=st.sampled_from([0, 150_000, 400_000]), after=EXPIRIES)
    def settle_down(self, owner: Address, market: MarketId, ppm: int, after: int) -> None:
        self.act(process_own_margin, owner, market, RatePpm(ppm))
        if after:
            self.act(process_dead_mans_cancel, owner, self.after(after))
        else:
            self.act(process_disarming, owner)

    @rule(price=st.integers(PRICE - 30, PRICE + 30), elapsed_ms=st.sampled_from([1, 500, 2_000]))
    def block(self, price: int, elapsed_ms: int) -> None:
        self.note_fills()
        ledger = self.ledger
        process_new_triggers(ledger)
        next_block(ledger, elapsed_ms)
        for market in MARKETS:
            set_price(ledger, price, market=market)
        process_expiries(ledger)
        self.nothing_outlives_its_time_o1()
        process_fired_triggers(ledger)

    def note_fills(self) -> None:
        for event in self.ledger.events:
            if isinstance(event, OrderFilled):
                self.traded.add((event.market, event.taker_order_id))

    def nothing_outlives_its_time_o1(self) -> None:
        ledger = self.ledger
        for market in MARKETS:
            book = ledger.book(market)
            everything: list[Order | Trigger] = [*book.orders.values(), *book.triggers.values()]
            for each in everything:
                assert each.expires_ms == 0 or each.expires_ms > ledger.time_ms
        for deadline in ledger.deadlines.rows.values():
            assert deadline.cancel_at_ms > ledger.time_ms

    # --- what holds ------------------------------------------------------------------------------

    @invariant()
    def the_state_agrees_with_itself(self) -> None:
        check_all(self.ledger)  # the book is not crossed, reduce-only opposes, margins reserve

    @invariant()
    def at_most_one_leg_of_a_pair_trades_o5(self) -> None:
        self.note_fills()
        for market, first, second in self.pairs:
            assert not ((market, first) in self.traded and (market, second) in self.traded)

    @invariant()
    def client_ids_are_unique_while_open_o1(self) -> None:
        for owner in TRADERS:
            found: dict[int, tuple[MarketId, OrderId]] = {}
            for market in MARKETS:
                book = self.ledger.book(market)
                mine: list[Order | Trigger] = [*book.orders_of(owner), *book.triggers_of(owner)]
                for each in mine:
                    if each.client_id:
                        assert each.client_id not in found
                        found[each.client_id] = (market, each.id)
            for client_id in (1, 2):
                assert find_client(self.ledger, owner, client_id) == found.get(client_id)

    @invariant()
    def links_name_what_is_open_o1(self) -> None:
        for market in MARKETS:
            book = self.ledger.book(market)
            for trigger in book.triggers.values():
                if trigger.other:
                    assert book.triggers[trigger.other].other == trigger.id
                assert (trigger.parent != 0) == (trigger.pending > 0)
                if trigger.parent:
                    parent = book.orders[trigger.parent]
                    assert parent.owner == trigger.owner
                    assert parent.size * trigger.size < 0
                    assert trigger.pending <= abs(parent.size)
                assert trigger.pending <= abs(trigger.size)
                assert trigger.size != 0
                position = self.ledger.positions.get((trigger.owner, market))
                if trigger.reduce_only and trigger.active:
                    assert position is not None
                    assert position.size * trigger.size < 0

    @invariant()
    def limits_hold_o7(self) -> None:
        for owner in TRADERS:
            count = sum(self.ledger.book(market).count_of(owner) for market in MARKETS)
            assert count <= OPEN_MAX
            position = self.ledger.positions.get((owner, MARKETS[0]))
            size = position.size if position else 0
            assert abs(size) <= POSITION_MAX
        market = self.ledger.markets.get(MARKETS[1])
        assert market is not None
        assert market.open_interest <= 40


TestOrders = Orders.TestCase
