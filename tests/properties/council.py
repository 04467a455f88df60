"""What the council decides, as values that both opinions understand; all of it goes first (O6)."""

from typing import NamedTuple

from node.perp import closure, compensation, decrees, listing, maintenance, oracle, setting
from node.perp.maintenance import Maintenance
from node.perp.parameters import MarginBracket, MarketParams
from node.system.classes import ActionClass
from node.units import Address, Hash32, Height, MarketId, Quote, Ticks, TimeMs
from tests.helpers.ledger import DictLedger
from tests.reference import governance, refunds, settings
from tests.reference.world import World


class Halt(NamedTuple):
    height: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> None:
        decrees.process_halt(ledger, Height(self.height))

    def reference(self, world: World) -> None:
        governance.halt(world, self.height)


class Resume(NamedTuple):
    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> None:
        decrees.process_resume(ledger)

    def reference(self, world: World) -> None:
        governance.resume(world)


class SetMode(NamedTuple):
    market: MarketId
    mode: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> None:
        decrees.process_set_mode(ledger, self.market, self.mode)

    def reference(self, world: World) -> None:
        governance.set_mode(world, self.market, self.mode)


class CancelOrders(NamedTuple):
    code: int
    market: MarketId
    account: Address

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return decrees.process_cancel_filtered(ledger, self.code, self.market, self.account)

    def reference(self, world: World) -> int:
        return governance.cancel_filtered(world, self.code, self.market, self.account)


class AcknowledgeJump(NamedTuple):
    market: MarketId
    price: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return oracle.process_acknowledgement(ledger, self.market, Ticks(self.price))

    def reference(self, world: World) -> int:
        return governance.acknowledge(world, self.market, self.price)


class ScheduleMaintenance(NamedTuple):
    start_height: int
    halt_height: int
    end_ms: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> None:
        window = Maintenance(
            Height(self.start_height), Height(self.halt_height), TimeMs(self.end_ms)
        )
        maintenance.process_schedule(ledger, window)

    def reference(self, world: World) -> None:
        governance.schedule(world, self.start_height, self.halt_height, self.end_ms)


class SetParameter(NamedTuple):
    market: MarketId
    name: str
    value: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return setting.process_set_parameter(ledger, self.market, self.name, self.value)

    def reference(self, world: World) -> int:
        return settings.set_parameter(world, self.market, self.name, self.value)


class SetReporters(NamedTuple):
    reporters: tuple[Address, ...]
    quorum: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return setting.process_set_reporters(ledger, self.reporters, self.quorum)

    def reference(self, world: World) -> int:
        return settings.set_reporters(world, self.reporters, self.quorum)


class SetBrackets(NamedTuple):
    market: MarketId
    brackets: tuple[MarginBracket, ...]

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return setting.process_set_brackets(ledger, self.market, self.brackets)

    def reference(self, world: World) -> int:
        return settings.set_brackets(world, self.market, self.brackets)


class ListMarket(NamedTuple):
    market: MarketId
    params: MarketParams

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        return listing.process_listing(ledger, self.market, self.params)

    def reference(self, world: World) -> int:
        return settings.list_market(world, self.market, self.params)


class Compensate(NamedTuple):
    root: Hash32
    refunds: int
    total: int
    cap: int
    pay_until: int

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> int:
        total, cap = Quote(self.total), Quote(self.cap)
        new = compensation.NewCompensation(self.root, self.refunds, total, cap, self.pay_until)
        return compensation.process_compensation(ledger, new)

    def reference(self, world: World) -> int:
        return refunds.compensate(world, *self)


class SettleMarket(NamedTuple):
    market: MarketId
    price: int
    is_named: bool
    """Whether the council names a price beyond max_move on purpose."""

    def classify(self) -> ActionClass:
        return ActionClass.GOVERNANCE

    def engine(self, ledger: DictLedger) -> None:
        if not self.is_named:
            closure.require_settlement_price(ledger, self.market, Ticks(self.price))
        closure.process_settlement(ledger, self.market, Ticks(self.price))

    def reference(self, world: World) -> None:
        governance.settle(world, self.market, self.price, is_named=self.is_named)
