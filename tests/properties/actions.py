"""What people ask for, as values that both opinions understand, and by which class they go (O8)."""

from typing import NamedTuple

from node.perp import account, oracle, trading, trigger
from node.perp.ledger import Ledger
from node.perp.order import OrderRequest, TimeInForce, TriggerRequest
from node.system.classes import ActionClass
from node.units import Address, Lots, MarketId, OrderId, Quote, Ticks, TimeMs
from tests.reference import block, matching, prices, triggers
from tests.reference.world import World


class Report(NamedTuple):
    reporter: Address
    market: MarketId
    price: int
    observed_ms: int
    fork_id: int = 0

    def classify(self) -> ActionClass:
        return ActionClass.REPORT

    def engine(self, ledger: Ledger) -> None:
        oracle.process_report(
            ledger,
            self.reporter,
            self.market,
            Ticks(self.price),
            TimeMs(self.observed_ms),
            self.fork_id,
        )

    def reference(self, world: World) -> None:
        prices.report(world, self.reporter, self.market, self.price, self.observed_ms, self.fork_id)


class Deposit(NamedTuple):
    owner: Address
    amount: int

    def classify(self) -> ActionClass:
        return ActionClass.ACCOUNT

    def engine(self, ledger: Ledger) -> None:
        account.process_deposit(ledger, self.owner, Quote(self.amount))

    def reference(self, world: World) -> None:
        block.deposit(world, self.owner, self.amount)


class Withdraw(NamedTuple):
    owner: Address
    amount: int

    def classify(self) -> ActionClass:
        return ActionClass.ACCOUNT

    def engine(self, ledger: Ledger) -> None:
        account.process_withdrawal(ledger, self.owner, Quote(self.amount))

    def reference(self, world: World) -> None:
        block.withdraw(world, self.owner, self.amount)


class Cancel(NamedTuple):
    owner: Address
    market: MarketId
    order_id: int

    def classify(self) -> ActionClass:
        return ActionClass.CANCEL

    def engine(self, ledger: Ledger) -> None:
        trading.process_cancel(ledger, self.owner, self.market, OrderId(self.order_id))

    def reference(self, world: World) -> None:
        matching.cancel(world, self.owner, self.market, self.order_id)


class CancelAll(NamedTuple):
    owner: Address
    market: MarketId

    def classify(self) -> ActionClass:
        return ActionClass.CANCEL

    def engine(self, ledger: Ledger) -> None:
        trading.process_cancel_all(ledger, self.owner, self.market)

    def reference(self, world: World) -> None:
        matching.cancel_all(world, self.owner, self.market)


class Place(NamedTuple):
    owner: Address
    request: OrderRequest

    def classify(self) -> ActionClass:
        is_passive = self.request.time_in_force == TimeInForce.POST_ONLY
        return ActionClass.POST_ONLY if is_passive else ActionClass.ORDER

    def engine(self, ledger: Ledger) -> None:
        trading.process_order(ledger, self.owner, self.request)

    def reference(self, world: World) -> None:
        matching.place(world, self.owner, self.request)


class PlaceMarket(NamedTuple):
    owner: Address
    market: MarketId
    size: int
    reduce_only: bool

    def classify(self) -> ActionClass:
        return ActionClass.ORDER

    def engine(self, ledger: Ledger) -> None:
        trading.process_market_order(
            ledger, self.owner, self.market, Lots(self.size), reduce_only=self.reduce_only
        )

    def reference(self, world: World) -> None:
        matching.place_market(
            world, self.owner, self.market, self.size, reduce_only=self.reduce_only
        )


class PlaceTrigger(NamedTuple):
    owner: Address
    request: TriggerRequest

    def classify(self) -> ActionClass:
        return ActionClass.ORDER

    def engine(self, ledger: Ledger) -> None:
        trigger.process_trigger_request(ledger, self.owner, self.request)

    def reference(self, world: World) -> None:
        triggers.place_trigger(world, self.owner, self.request)


Action = Report | Deposit | Withdraw | Cancel | CancelAll | Place | PlaceMarket | PlaceTrigger
