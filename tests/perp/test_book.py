"""The book by price, time and owner; forks that don't see each other; undoing through a journal."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from node.perp.book import NO_EXPOSURE, Book, Exposure, Journal
from node.perp.order import Order, Trigger, TriggerKind
from node.units import Lots, OrderId, Quote, Ticks, TimeMs
from tests.helpers.ledger import dump_book, trader


def make_order(
    number: int, size: int, price: int, *, owner: int = 1, reduce_only: bool = False
) -> Order:
    return Order(OrderId(number), trader(owner), Lots(size), Ticks(price), reduce_only, 1)


def make_trigger(
    number: int,
    size: int,
    price: int,
    kind: TriggerKind,
    *,
    owner: int = 1,
    fired_mark: int = 0,
) -> Trigger:
    return Trigger(
        OrderId(number), trader(owner), Lots(size), Ticks(price), kind, Ticks(fired_mark)
    )


def make_book(orders: Sequence[Order]) -> Book:
    book = Book([])
    for order in orders:
        book.put_order(order)
    return book


def undo(journal: Journal) -> None:
    while journal:
        function, arguments = journal.pop()
        function(*arguments)


def numbers(orders: Sequence[Order]) -> list[int]:
    return [order.id for order in orders]


def test_empty_book_answers_nothing() -> None:
    book = Book([])

    assert (book.best_bid(), book.best_ask()) == (None, None)
    assert list(book.bids()) == list(book.asks()) == []
    assert list(book.orders_of(trader(1))) == []
    assert list(book.triggers_of(trader(1))) == []
    assert book.exposure_of(trader(1)) == NO_EXPOSURE
    assert list(book.orders_through(trader(1), Ticks(100))) == []
    assert not book.has_owner(trader(1))
    assert not book.has_closing(trader(1))
    assert book.find_client(trader(1), 7) is None
    assert (book.count_of(trader(1)), book.resting_beside(trader(1), Lots(1))) == (0, 0)


def test_buys_go_by_price_then_time_o2() -> None:
    book = make_book([make_order(1, 5, 99), make_order(2, 5, 100), make_order(3, 5, 100)])

    assert numbers(list(book.bids())) == [2, 3, 1]
    assert book.best_bid() == make_order(2, 5, 100)


def test_sells_go_by_price_then_time_o2() -> None:
    book = make_book([make_order(1, -5, 102), make_order(2, -5, 101), make_order(3, -5, 101)])

    assert numbers(list(book.asks())) == [2, 3, 1]
    assert book.best_ask() == make_order(2, -5, 101)


def test_time_is_the_id_whatever_the_order_of_loading() -> None:
    book = make_book([make_order(3, 5, 100), make_order(1, 5, 100), make_order(2, 5, 100)])

    assert numbers(list(book.bids())) == [1, 2, 3]
    assert numbers(book.orders_of(trader(1))) == [1, 2, 3]


def test_order_that_shrinks_keeps_its_place() -> None:
    book = make_book([make_order(1, 5, 100), make_order(2, 5, 100)])

    book.put_order(make_order(1, 2, 100))

    assert numbers(list(book.bids())) == [1, 2]
    assert book.exposure_of(trader(1)).buys == 7


@pytest.mark.parametrize(
    "other",
    [
        make_order(1, -5, 100),
        make_order(1, 5, 101),
        make_order(1, 5, 100, owner=2),
        make_order(1, 5, 100, reduce_only=True),
    ],
)
def test_order_never_changes_what_its_place_depends_on(other: Order) -> None:
    book = make_book([make_order(1, 5, 100)])

    with pytest.raises(AssertionError, match="never changes"):
        book.put_order(other)


def test_removal_returns_the_order_and_forgets_it() -> None:
    book = make_book([make_order(1, 5, 100), make_order(2, -5, 101)])

    removed = book.remove_order(OrderId(1))

    assert removed == make_order(1, 5, 100)
    assert book.best_bid() is None
    assert dict(book.orders) == {2: make_order(2, -5, 101)}


def test_removal_of_an_order_that_is_not_there_is_our_mistake() -> None:
    with pytest.raises(KeyError):
        Book([]).remove_order(OrderId(1))


def test_exposure_leaves_reduce_only_orders_out_g2() -> None:
    book = make_book(
        [
            make_order(1, 5, 99),
            make_order(2, 2, 98),
            make_order(3, -4, 103),
            make_order(4, -9, 50, reduce_only=True),
            make_order(5, 1, 100, owner=2),
        ]
    )

    assert book.exposure_of(trader(1)) == Exposure(
        buys=Lots(7),
        sells=Lots(4),
        value=Quote(5 * 99 + 2 * 98 + 4 * 103),
        highest_buy=Ticks(99),
        lowest_sell=Ticks(103),
    )
    assert numbers(book.reduce_only_of(trader(1))) == [4]


def test_orders_through_the_mark_are_those_that_would_lose_g2() -> None:
    book = make_book(
        [
            make_order(1, 5, 100),
            make_order(2, 5, 101),
            make_order(3, 5, 102),
            make_order(4, 5, 102, owner=2),
            make_order(5, -5, 99),
            make_order(6, -5, 100),
        ]
    )

    assert numbers(book.orders_through(trader(1), Ticks(100))) == [2, 3, 5]


@pytest.mark.parametrize(
    ("size", "kind", "fires_at", "waits_at"),
    [
        (-1, TriggerKind.STOP_LOSS, 100, 101),  # closes a long that falls
        (-1, TriggerKind.TAKE_PROFIT, 100, 99),  # closes a long that rises
        (1, TriggerKind.STOP_LOSS, 100, 99),  # closes a short that rises
        (1, TriggerKind.TAKE_PROFIT, 100, 101),  # closes a short that falls
    ],
)
def test_triggers_fire_inclusively_o5(
    size: int, kind: TriggerKind, fires_at: int, waits_at: int
) -> None:
    book = Book([])
    trigger = make_trigger(1, size, 100, kind)
    book.put_trigger(trigger)

    assert list(book.triggers_at(Ticks(fires_at))) == [trigger]
    assert list(book.triggers_at(Ticks(waits_at))) == []


def test_triggers_fire_by_id_and_only_once() -> None:
    book = Book([])
    book.put_trigger(make_trigger(2, -1, 100, TriggerKind.STOP_LOSS))
    book.put_trigger(make_trigger(1, 1, 90, TriggerKind.STOP_LOSS, owner=2))
    book.put_trigger(make_trigger(3, -1, 99, TriggerKind.STOP_LOSS))

    fired = make_trigger(2, -1, 100, TriggerKind.STOP_LOSS, fired_mark=95)
    book.put_trigger(fired)

    assert [trigger.id for trigger in book.triggers_at(Ticks(95))] == [1, 3]
    assert list(book.fired_triggers()) == [fired]
    assert book.remove_trigger(OrderId(2)) == fired
    assert list(book.fired_triggers()) == []


def test_triggers_belong_to_their_owner_but_reserve_nothing_g2() -> None:
    book = Book([])
    book.put_trigger(make_trigger(1, -1, 100, TriggerKind.STOP_LOSS))

    assert book.has_owner(trader(1))
    assert [trigger.id for trigger in book.triggers_of(trader(1))] == [1]
    assert book.exposure_of(trader(1)) == NO_EXPOSURE
    book.remove_trigger(OrderId(1))
    assert not book.has_owner(trader(1))


def test_changes_since_the_fork_are_named_undone_ones_too() -> None:
    parent = make_book([make_order(1, 5, 100), make_order(2, 5, 99)])
    journal: Journal = []
    book = parent.fork(journal)

    book.remove_order(OrderId(1))
    book.put_order(make_order(3, 5, 98))
    undo(journal)
    book.put_trigger(make_trigger(4, -1, 100, TriggerKind.STOP_LOSS))

    assert book.changed_orders == {1, 3}
    assert book.changed_triggers == {4}
    assert dict(book.orders) == dict(parent.orders)


def test_fork_and_parent_do_not_see_each_other() -> None:
    parent = make_book([make_order(1, 5, 100), make_order(2, 5, 100), make_order(3, -5, 101)])
    before = dump_book(parent)
    child = parent.fork([])
    untouched = parent.fork([])

    child.remove_order(OrderId(1))
    child.put_order(make_order(3, -2, 101))
    child.put_order(make_order(4, 5, 100))
    child.put_trigger(make_trigger(5, -1, 100, TriggerKind.STOP_LOSS))
    after = dump_book(child)
    assert dump_book(parent) == before
    parent.put_order(make_order(6, 1, 100))

    assert dump_book(child) == after
    assert dump_book(untouched) == before
    assert numbers(list(child.bids())) == [2, 4]
    assert numbers(list(parent.bids())) == [1, 2, 6]


def test_forks_of_forks_share_what_nobody_changed() -> None:
    grandparent = make_book([make_order(number, 1, 90 + number) for number in range(1, 6)])
    parent = grandparent.fork([])
    parent.remove_order(OrderId(5))
    child = parent.fork([])
    sibling = parent.fork([])

    child.remove_order(OrderId(4))
    sibling.put_order(make_order(4, 9, 94))

    assert numbers(list(grandparent.bids())) == [5, 4, 3, 2, 1]
    assert numbers(list(parent.bids())) == [4, 3, 2, 1]
    assert numbers(list(child.bids())) == [3, 2, 1]
    assert sibling.best_bid() == make_order(4, 9, 94)
    assert parent.best_bid() == make_order(4, 1, 94)


# --- against a list -------------------------------------------------------------------------------


OWNERS = st.integers(1, 3)
PRICES = st.integers(95, 105)
SIZES = st.integers(1, 9)
EXPIRIES = st.sampled_from([0, 0, 4, 5, 9])


class NaiveBook:
    """What a book means, on one list."""

    def __init__(self) -> None:
        self.orders: list[Order] = []
        self.triggers: list[Trigger] = []

    def copy(self) -> "NaiveBook":
        other = NaiveBook()
        other.orders = list(self.orders)
        other.triggers = list(self.triggers)
        return other

    def everything(self) -> list[Order | Trigger]:
        return [*self.orders, *self.triggers]

    def dump(self) -> dict[str, Any]:
        bids = sorted((o for o in self.orders if o.size > 0), key=lambda o: (-o.price, o.id))
        asks = sorted((o for o in self.orders if o.size < 0), key=lambda o: (o.price, o.id))
        owners = {o.owner for o in self.orders}
        everything = self.everything()
        return {
            "orders": {o.id: o for o in self.orders},
            "triggers": {t.id: t for t in self.triggers},
            "bids": bids,
            "asks": asks,
            "best": (bids[0] if bids else None, asks[0] if asks else None),
            "orders_of": {
                owner: sorted(o for o in self.orders if o.owner == owner) for owner in owners
            },
            "triggers_of": {
                owner: sorted(t for t in self.triggers if t.owner == owner)
                for owner in {t.owner for t in self.triggers}
            },
            "exposure_of": {owner: self.exposure_of(owner) for owner in owners},
            "fired": sorted(t for t in self.triggers if t.fired_mark),
            "children": {
                parent: sorted(t for t in self.triggers if parent and t.parent == parent)
                for parent in {t.parent for t in self.triggers}
            },
            "expiring": [
                each.id
                for each in sorted(everything, key=lambda each: (each.expires_ms, each.id))
                if each.expires_ms
            ],
            "clients": {
                (each.owner, each.client_id): each.id if each.client_id else None
                for each in everything
            },
        }

    def exposure_of(self, owner: bytes) -> Exposure:
        counted = [o for o in self.orders if o.owner == owner and not o.reduce_only]
        buys = [o for o in counted if o.size > 0]
        sells = [o for o in counted if o.size < 0]
        return Exposure(
            Lots(sum(o.size for o in buys)),
            Lots(-sum(o.size for o in sells)),
            Quote(sum(abs(o.size) * o.price for o in counted)),
            max((o.price for o in buys), default=Ticks(0)),
            min((o.price for o in sells), default=Ticks(0)),
        )

    def through(self, owner: bytes, mark: int) -> list[Order]:
        return sorted(
            o
            for o in self.orders
            if o.owner == owner
            and not o.reduce_only
            and (o.price > mark if o.size > 0 else o.price < mark)
        )

    def fired_at(self, mark: int) -> list[Trigger]:
        def fires(trigger: Trigger) -> bool:
            is_rise = (trigger.size > 0) == (trigger.kind == TriggerKind.STOP_LOSS)
            reached = mark >= trigger.trigger_price if is_rise else mark <= trigger.trigger_price
            return reached and not trigger.fired_mark and trigger.active != 0

        return sorted(trigger for trigger in self.triggers if fires(trigger))


class BookAgainstAList(RuleBasedStateMachine):
    """Every change, fork and undo, on a book and on lists."""

    @initialize()
    def begin(self) -> None:
        self.journal: Journal = []
        self.book = Book(self.journal)
        self.model = NaiveBook()
        self.checkpoints: list[tuple[int, NaiveBook]] = []
        self.parents: list[tuple[Book, NaiveBook]] = []
        self.number = 0

    @rule(
        owner=OWNERS,
        price=PRICES,
        size=SIZES,
        sell=st.booleans(),
        reduce_only=st.booleans(),
        expires_ms=EXPIRIES,
        has_client=st.booleans(),
    )
    def place(
        self,
        owner: int,
        price: int,
        size: int,
        sell: bool,
        reduce_only: bool,
        expires_ms: int,
        has_client: bool,
    ) -> None:
        self.number += 1
        order = make_order(
            self.number, -size if sell else size, price, owner=owner, reduce_only=reduce_only
        )._replace(
            expires_ms=TimeMs(expires_ms), client_id=1_000 + self.number if has_client else 0
        )
        self.book.put_order(order)
        self.model.orders.append(order)

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.model.orders))
        assert self.book.remove_order(order.id) == order
        self.model.orders.remove(order)

    @precondition(lambda self: self.model.orders)
    @rule(data=st.data())
    def shrink(self, data: st.DataObject) -> None:
        order = data.draw(st.sampled_from(self.model.orders))
        rest = data.draw(st.integers(1, abs(order.size)))
        changed = order._replace(size=Lots(rest if order.size > 0 else -rest))
        self.book.put_order(changed)
        self.model.orders[self.model.orders.index(order)] = changed

    @rule(
        owner=OWNERS,
        price=PRICES,
        size=st.sampled_from([-2, 2]),
        kind=st.sampled_from(TriggerKind),
        expires_ms=EXPIRIES,
        parent=st.sampled_from([0, 0, 1, 2]),
        pending=st.integers(1, 2),
        has_client=st.booleans(),
    )
    def wait(
        self,
        owner: int,
        price: int,
        size: int,
        kind: TriggerKind,
        expires_ms: int,
        parent: int,
        pending: int,
        has_client: bool,
    ) -> None:
        self.number += 1
        trigger = make_trigger(self.number, size, price, kind, owner=owner)._replace(
            expires_ms=TimeMs(expires_ms),
            client_id=1_000 + self.number if has_client else 0,
            parent=OrderId(parent),
            pending=Lots(pending if parent else 0),
        )
        self.book.put_trigger(trigger)
        self.model.triggers.append(trigger)

    @precondition(lambda self: self.model.triggers)
    @rule(data=st.data(), mark=PRICES)
    def fire(self, data: st.DataObject, mark: int) -> None:
        trigger = data.draw(st.sampled_from(self.model.triggers))
        fired = trigger._replace(fired_mark=Ticks(mark))
        self.book.put_trigger(fired)
        self.model.triggers[self.model.triggers.index(trigger)] = fired

    @precondition(lambda self: self.model.triggers)
    @rule(data=st.data())
    def remove_trigger(self, data: st.DataObject) -> None:
        trigger = data.draw(st.sampled_from(self.model.triggers))
        assert self.book.remove_trigger(trigger.id) == trigger
        self.model.triggers.remove(trigger)

    @rule()
    def checkpoint(self) -> None:
        self.checkpoints.append((len(self.journal), self.model.copy()))

    @precondition(lambda self: self.checkpoints)
    @rule()
    def revert(self) -> None:
        length, self.model = self.checkpoints.pop()
        while len(self.journal) > length:
            function, arguments = self.journal.pop()
            function(*arguments)

    @rule()
    def fork(self) -> None:
        self.parents.append((self.book, self.model.copy()))
        self.journal = []
        self.book = self.book.fork(self.journal)
        self.checkpoints.clear()

    @invariant()
    def book_is_the_list(self) -> None:
        assert dump_book(self.book) == self.model.dump()

    @invariant()
    def times_find_what_is_over(self) -> None:
        for time_ms in (4, 5, 9):
            over = {each.id for each in self.model.everything() if 0 < each.expires_ms <= time_ms}
            assert set(self.book.expired(TimeMs(time_ms))) == over
        assert self.book.has_children == any(t.parent for t in self.model.triggers)

    @invariant()
    def owners_find_what_they_have(self) -> None:
        for owner in (trader(1), trader(2)):
            orders = [o for o in self.model.orders if o.owner == owner]
            triggers = [t for t in self.model.triggers if t.owner == owner]
            assert self.book.count_of(owner) == len(orders) + len(triggers)
            assert self.book.has_closing(owner) == (
                bool(triggers) or any(o.reduce_only for o in orders)
            )
            for side in (1, -1):
                beside = sum(o.size for o in orders if not o.reduce_only and o.size * side > 0)
                assert self.book.resting_beside(owner, Lots(side)) == beside

    @invariant()
    def parents_stay(self) -> None:
        for book, model in self.parents:
            assert dump_book(book) == model.dump()

    @invariant()
    def marks_find_what_they_pass(self) -> None:
        for mark in (95, 100, 105):
            assert list(self.book.triggers_at(Ticks(mark))) == self.model.fired_at(mark)
            for owner in (trader(1), trader(2)):
                through = sorted(self.book.orders_through(owner, Ticks(mark)))
                assert through == self.model.through(owner, mark)


TestBookAgainstAList = BookAgainstAList.TestCase


@given(
    orders=st.lists(
        st.tuples(OWNERS, PRICES, st.sampled_from([-3, -1, 1, 3]), st.booleans()), max_size=20
    ),
    seed=st.randoms(use_true_random=False),
)
def test_a_book_is_its_orders_whatever_their_history(
    orders: list[tuple[int, int, int, bool]], seed: Any
) -> None:
    made = [
        make_order(number, size, price, owner=owner, reduce_only=reduce_only)
        for number, (owner, price, size, reduce_only) in enumerate(orders, start=1)
    ]
    shuffled = list(made)
    seed.shuffle(shuffled)

    assert dump_book(make_book(shuffled)) == dump_book(make_book(made))
