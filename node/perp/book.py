"""A market's open orders in memory: two sides by price and time, and by owner (RULES O2).

Derived: every order is a record in state, and a book is rebuilt from the records of its market.
A block works on a `fork` of its parent's book, so a head's book never changes under a reader; a
transaction that fails is undone through the ledger's journal.

A fork shares everything with its parent. Its first change copies the outer containers (dicts and
lists of references, one memory copy each); a price level or an owner's lists are copied when they
first change. The cost of a change depends on the length of one level and one owner's list (both
moved in memory, not walked), not on the number of orders in the book.
"""

from bisect import bisect_left
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from node.perp.order import Order, Trigger, TriggerKind
from node.perp.owned import NO_EXPOSURE, Exposure, Owned, PriceTime, delete, insert
from node.units import Address, Lots, OrderId, Quote, Ticks, TimeMs

__all__ = ["NO_EXPOSURE", "Book", "Exposure", "Journal"]

Journal = list[tuple[Callable[..., Any], tuple[Any, ...]]]
"""Undo steps, newest last: each a function and its arguments."""


class Book:
    """The open orders and waiting triggers of one market.

    The views that it returns are live: whoever changes the book while walking one takes a list.
    """

    changed_orders: set[OrderId]
    """Ids written or removed since the fork: what a commit must look at; undone ones too."""
    changed_triggers: set[OrderId]

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self.changed_orders = set()
        self.changed_triggers = set()
        self._orders: dict[OrderId, Order] = {}
        self._bids = _Side({}, [])
        self._asks = _Side({}, [])
        self._owners: dict[Address, Owned] = {}
        self._own_owners: set[Address] = set()
        self._triggers: dict[OrderId, Trigger] = {}
        self._fired: list[OrderId] = []
        self._fires_above: list[PriceTime] = []
        self._fires_below: list[PriceTime] = []
        self._children: dict[OrderId, tuple[OrderId, ...]] = {}
        self._expiries: list[tuple[TimeMs, OrderId]] = []
        self._is_shared = False

    def fork(self, journal: Journal) -> "Book":
        """Return a child to work on; neither sees the other's later changes."""
        child = Book(journal)
        child._share(self)
        self._is_shared = True
        return child

    @property
    def orders(self) -> Mapping[OrderId, Order]:
        """All resting orders."""
        return MappingProxyType(self._orders)

    @property
    def triggers(self) -> Mapping[OrderId, Trigger]:
        """All triggers, fired ones included."""
        return MappingProxyType(self._triggers)

    @property
    def changed_owners(self) -> Collection[Address]:
        """Whose orders or triggers were written or removed since the fork; undone ones too."""
        return self._own_owners

    # --- changes ---------------------------------------------------------------------------------

    def put_order(self, order: Order) -> None:
        """Insert an order, or replace the one of its id (same owner, side and price)."""
        if self._is_shared:
            self._unshare()
        old = self._orders.get(order.id)
        if old is None:
            self._insert_order(order)
            self._journal.append((self._delete_order, (order,)))
        else:
            self._replace_order(old, order)
            self._journal.append((self._replace_order, (order, old)))
        self.changed_orders.add(order.id)

    def remove_order(self, order_id: OrderId) -> Order:
        """Remove an order that is there."""
        if self._is_shared:
            self._unshare()
        order = self._orders[order_id]
        self._delete_order(order)
        self._journal.append((self._insert_order, (order,)))
        self.changed_orders.add(order_id)
        return order

    def put_trigger(self, trigger: Trigger) -> None:
        """Insert a trigger, or replace the one of its id."""
        if self._is_shared:
            self._unshare()
        old = self._triggers.get(trigger.id)
        if old is not None:
            self._delete_trigger(old)
            self._journal.append((self._insert_trigger, (old,)))
        self._insert_trigger(trigger)
        self._journal.append((self._delete_trigger, (trigger,)))
        self.changed_triggers.add(trigger.id)

    def remove_trigger(self, trigger_id: OrderId) -> Trigger:
        """Remove a trigger that is there."""
        if self._is_shared:
            self._unshare()
        trigger = self._triggers[trigger_id]
        self._delete_trigger(trigger)
        self._journal.append((self._insert_trigger, (trigger,)))
        self.changed_triggers.add(trigger_id)
        return trigger

    # --- by price and time -----------------------------------------------------------------------

    def best_bid(self) -> Order | None:
        """Return the first buy by price, then time."""
        prices, levels = self._bids.prices, self._bids.levels
        return self._orders[levels[prices[-1]][0]] if prices else None

    def best_ask(self) -> Order | None:
        """Return the first sell by price, then time."""
        prices, levels = self._asks.prices, self._asks.levels
        return self._orders[levels[prices[0]][0]] if prices else None

    def bids(self) -> Iterator[Order]:
        """Yield buys, highest price first, then by time."""
        for price in reversed(self._bids.prices):
            for order_id in self._bids.levels[price]:
                yield self._orders[order_id]

    def asks(self) -> Iterator[Order]:
        """Yield sells, lowest price first, then by time."""
        for price in self._asks.prices:
            for order_id in self._asks.levels[price]:
                yield self._orders[order_id]

    # --- by owner --------------------------------------------------------------------------------

    def has_owner(self, owner: Address) -> bool:
        """Tell whether the account has an order or a trigger here."""
        return owner in self._owners

    def orders_of(self, owner: Address) -> Sequence[Order]:
        """Return an account's resting orders by id."""
        owned = self._owners.get(owner)
        return [self._orders[order_id] for order_id in owned.orders] if owned else ()

    def reduce_only_of(self, owner: Address) -> Sequence[Order]:
        """Return an account's resting reduce-only orders by id."""
        owned = self._owners.get(owner)
        return [self._orders[order_id] for order_id in owned.reduce_only] if owned else ()

    def triggers_of(self, owner: Address) -> Sequence[Trigger]:
        """Return an account's triggers by id."""
        owned = self._owners.get(owner)
        return [self._triggers[trigger_id] for trigger_id in owned.triggers] if owned else ()

    def has_closing(self, owner: Address) -> bool:
        """Tell whether the account has anything that follows its position (O2)."""
        owned = self._owners.get(owner)
        return owned is not None and bool(owned.reduce_only or owned.triggers)

    def count_of(self, owner: Address) -> int:
        """Return how many orders and triggers an account has (O7)."""
        owned = self._owners.get(owner)
        return len(owned.orders) + len(owned.triggers) if owned else 0

    def resting_beside(self, owner: Address, size: Lots) -> Lots:
        """Return Σ remaining on the side of `size`, signed, reduce-only orders left out (O7)."""
        owned = self._owners.get(owner)
        if owned is None:
            return Lots(0)
        return owned.buys if size > 0 else Lots(-owned.sells)

    def find_client(self, owner: Address, client_id: int) -> OrderId | None:
        """Return the account's order or trigger of a client id (O1)."""
        owned = self._owners.get(owner)
        return owned.clients.get(client_id) if owned else None

    def owned_by(self, owner: Address) -> Owned | None:
        """Return what an account has here, to read at once; None if nothing."""
        return self._owners.get(owner)

    def exposure_of(self, owner: Address) -> Exposure:
        """Return what G2 reserves for, without walking the account's orders."""
        owned = self._owners.get(owner)
        if owned is None:
            return NO_EXPOSURE
        return Exposure(
            owned.buys,
            owned.sells,
            owned.value,
            owned.buy_keys[-1][0] if owned.buy_keys else Ticks(0),
            owned.sell_keys[0][0] if owned.sell_keys else Ticks(0),
        )

    def orders_through(self, owner: Address, mark: Ticks) -> Sequence[Order]:
        """Return what `exposure_of` counts and is priced through the mark: a loss if filled (G2).

        Buys above the mark and sells below it, without walking the others.
        """
        owned = self._owners.get(owner)
        if owned is None:
            return ()
        buys_from = bisect_left(owned.buy_keys, (Ticks(mark + 1), OrderId(0)))
        sells_to = bisect_left(owned.sell_keys, (mark, OrderId(0)))
        keys = owned.buy_keys[buys_from:] + owned.sell_keys[:sells_to]
        return [self._orders[order_id] for _, order_id in keys]

    # --- triggers and times ----------------------------------------------------------------------

    @property
    def has_children(self) -> bool:
        """Whether any trigger waits for a parent's fills."""
        return bool(self._children)

    def children_of(self, parent: OrderId) -> Sequence[Trigger]:
        """Return the triggers that wait for an order's fills, by id (O1)."""
        return [self._triggers[trigger_id] for trigger_id in self._children.get(parent, ())]

    def expired(self, time_ms: TimeMs) -> Sequence[OrderId]:
        """Return what is over at a time, inclusive, by expiry and id, without walking the rest."""
        until = bisect_left(self._expiries, (TimeMs(time_ms + 1), OrderId(0)))
        return [order_id for _, order_id in self._expiries[:until]]

    def fired_triggers(self) -> Sequence[Trigger]:
        """Return triggers with fired_mark > 0, by id."""
        return [self._triggers[trigger_id] for trigger_id in self._fired]

    def triggers_at(self, mark: Ticks) -> Sequence[Trigger]:
        """Return waiting triggers that this mark fires, inclusive, by id (O5)."""
        above = bisect_left(self._fires_above, (Ticks(mark + 1), OrderId(0)))
        below = bisect_left(self._fires_below, (mark, OrderId(0)))
        keys = self._fires_above[:above] + self._fires_below[below:]
        return [self._triggers[trigger_id] for trigger_id in sorted(key[1] for key in keys)]

    # --- sharing ---------------------------------------------------------------------------------

    def _share(self, parent: "Book") -> None:
        self._orders = parent._orders
        self._bids = parent._bids
        self._asks = parent._asks
        self._owners = parent._owners
        self._triggers = parent._triggers
        self._fired = parent._fired
        self._fires_above = parent._fires_above
        self._fires_below = parent._fires_below
        self._children = parent._children
        self._expiries = parent._expiries
        self._is_shared = True

    def _unshare(self) -> None:
        self._orders = self._orders.copy()
        self._bids = _Side(self._bids.levels.copy(), self._bids.prices.copy())
        self._asks = _Side(self._asks.levels.copy(), self._asks.prices.copy())
        self._owners = self._owners.copy()
        self._own_owners = set()
        self._triggers = self._triggers.copy()
        self._fired = self._fired.copy()
        self._fires_above = self._fires_above.copy()
        self._fires_below = self._fires_below.copy()
        self._children = self._children.copy()
        self._expiries = self._expiries.copy()
        self._is_shared = False

    def _own(self, owner: Address) -> Owned:
        """Return the owner's lists to change: new, or copied at the first change."""
        owned = self._owners.get(owner)
        if owned is None:
            owned = self._owners[owner] = Owned()
            self._own_owners.add(owner)
        elif owner not in self._own_owners:
            owned = self._owners[owner] = owned.copy()
            self._own_owners.add(owner)
        return owned

    # --- a change, and its undoing ---------------------------------------------------------------

    def _insert_order(self, order: Order) -> None:
        order_id, owner, size, price, reduce_only, _, client_id, expires_ms, _ = order
        self._orders[order_id] = order
        (self._bids if size > 0 else self._asks).insert(price, order_id)
        owned = self._own(owner)
        insert(owned.orders, order_id)
        if client_id:
            owned.clients[client_id] = order_id
        if expires_ms:
            insert(self._expiries, (expires_ms, order_id))
        if reduce_only:
            insert(owned.reduce_only, order_id)
        elif size > 0:
            insert(owned.buy_keys, (price, order_id))
            owned.buys = Lots(owned.buys + size)
            owned.value = Quote(owned.value + size * price)
        else:
            insert(owned.sell_keys, (price, order_id))
            owned.sells = Lots(owned.sells - size)
            owned.value = Quote(owned.value - size * price)

    def _delete_order(self, order: Order) -> None:
        order_id, owner, size, price, reduce_only, _, client_id, expires_ms, _ = order
        del self._orders[order_id]
        (self._bids if size > 0 else self._asks).delete(price, order_id)
        owned = self._own(owner)
        delete(owned.orders, order_id)
        if client_id:
            del owned.clients[client_id]
        if expires_ms:
            delete(self._expiries, (expires_ms, order_id))
        if reduce_only:
            delete(owned.reduce_only, order_id)
        elif size > 0:
            delete(owned.buy_keys, (price, order_id))
            owned.buys = Lots(owned.buys - size)
            owned.value = Quote(owned.value - size * price)
        else:
            delete(owned.sell_keys, (price, order_id))
            owned.sells = Lots(owned.sells + size)
            owned.value = Quote(owned.value + size * price)
        if owned.is_empty():
            del self._owners[owner]

    def _replace_order(self, old: Order, new: Order) -> None:
        """Change what remains; the place in the queue and in the owner's lists stays."""
        assert old.owner == new.owner, "an order never changes its owner"
        assert old.price == new.price, "an order never changes its price"
        assert (old.size > 0) == (new.size > 0), "an order never changes its side"
        assert old.reduce_only == new.reduce_only, "an order never changes its kind"
        assert old[6:] == new[6:], "an order never changes its client id, expiry or nature"
        self._orders[new.id] = new
        if not new.reduce_only:
            owned = self._own(new.owner)
            change = new.size - old.size
            if new.size > 0:
                owned.buys = Lots(owned.buys + change)
                owned.value = Quote(owned.value + change * new.price)
            else:
                owned.sells = Lots(owned.sells - change)
                owned.value = Quote(owned.value - change * new.price)

    def _insert_trigger(self, trigger: Trigger) -> None:
        self._triggers[trigger.id] = trigger
        owned = self._own(trigger.owner)
        insert(owned.triggers, trigger.id)
        if trigger.client_id:
            owned.clients[trigger.client_id] = trigger.id
        if trigger.expires_ms:
            insert(self._expiries, (trigger.expires_ms, trigger.id))
        if trigger.parent:
            siblings = (*self._children.get(trigger.parent, ()), trigger.id)
            self._children[trigger.parent] = tuple(sorted(siblings))
        if trigger.fired_mark:
            insert(self._fired, trigger.id)
        elif trigger.active:
            insert(self._waiting(trigger), (trigger.trigger_price, trigger.id))

    def _delete_trigger(self, trigger: Trigger) -> None:
        del self._triggers[trigger.id]
        owned = self._own(trigger.owner)
        delete(owned.triggers, trigger.id)
        if trigger.client_id:
            del owned.clients[trigger.client_id]
        if owned.is_empty():
            del self._owners[trigger.owner]
        if trigger.expires_ms:
            delete(self._expiries, (trigger.expires_ms, trigger.id))
        if trigger.parent:
            siblings = [each for each in self._children[trigger.parent] if each != trigger.id]
            self._children[trigger.parent] = tuple(siblings)
            if not siblings:
                del self._children[trigger.parent]
        if trigger.fired_mark:
            delete(self._fired, trigger.id)
        elif trigger.active:
            delete(self._waiting(trigger), (trigger.trigger_price, trigger.id))

    def _waiting(self, trigger: Trigger) -> list[PriceTime]:
        """Return the list of its direction: a mark at or above its price fires it, or below (O5).

        A stop-loss that buys and a take-profit that sells fire above.
        """
        fires_above = (trigger.size > 0) == (trigger.kind == TriggerKind.STOP_LOSS)
        return self._fires_above if fires_above else self._fires_below


class _Side:
    """One side's price levels: ids by time under each price."""

    __slots__ = ("levels", "own_levels", "prices")

    def __init__(self, levels: dict[Ticks, list[OrderId]], prices: list[Ticks]) -> None:
        self.levels = levels
        self.prices = prices
        """Ascending."""
        self.own_levels: set[Ticks] = set()
        """Which levels are not shared with another book."""

    def insert(self, price: Ticks, order_id: OrderId) -> None:
        level = self.levels.get(price)
        if level is None:
            self.levels[price] = [order_id]
            self.own_levels.add(price)
            insert(self.prices, price)
        else:
            if price not in self.own_levels:
                level = self._own(price, level)
            insert(level, order_id)

    def delete(self, price: Ticks, order_id: OrderId) -> None:
        level = self.levels[price]
        if len(level) == 1:
            del self.levels[price]
            delete(self.prices, price)
        else:
            if price not in self.own_levels:
                level = self._own(price, level)
            delete(level, order_id)

    def _own(self, price: Ticks, level: list[OrderId]) -> list[OrderId]:
        own = self.levels[price] = level.copy()
        self.own_levels.add(price)
        return own
