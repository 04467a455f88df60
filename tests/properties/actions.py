"""What people ask for, as values that both opinions understand, and by which class they go (O8).

What may stand in a batch is calldata too: a batch goes through the contract's own code.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from node.perp import (
    account,
    agent,
    amending,
    cancelling,
    compensation,
    expiry,
    leverage,
    oracle,
    pair,
    trading,
    trigger,
)
from node.perp.account import EXCHANGE
from node.perp.events import BatchExecuted
from node.perp.order import OrderRequest, TimeInForce, TriggerRequest
from node.perp.pair import PairLeg, PairRequest
from node.system import batch
from node.system.classes import ActionClass, classify
from node.system.contracts import contract
from node.units import Address, Lots, MarketId, OrderId, Quote, RatePpm, Ticks, TimeMs
from tests.helpers.ledger import DictLedger
from tests.reference import accounts, block, placing, prices, refunds, triggers
from tests.reference import amending as their_amending
from tests.reference import batches as their_batches
from tests.reference import cancelling as their_cancelling
from tests.reference import pairs as their_pairs
from tests.reference.world import World

ORDER, CANCEL, ACCOUNT = ActionClass.ORDER, ActionClass.CANCEL, ActionClass.ACCOUNT


class Action(Protocol):
    """One thing that somebody asks for."""

    def classify(self) -> ActionClass: ...

    def engine(self, ledger: DictLedger) -> object:
        """Ask the rules; a Refusal is theirs."""

    def reference(self, world: World) -> object:
        """Ask the reference; it returns the same, or raises Refused."""


class Call(Protocol):
    """An action that may stand in a batch."""

    @property
    def owner(self) -> Address: ...

    def classify(self) -> ActionClass: ...

    def engine(self, ledger: DictLedger) -> object: ...

    def reference(self, world: World) -> object: ...

    def encode(self) -> bytes: ...


def calldata(function: str, *arguments: Any) -> bytes:
    return contract("Exchange").functions[function].encode_call(*arguments)


# --- reports and money ----------------------------------------------------------------------------


class Report(NamedTuple):
    reporter: Address
    market: MarketId
    price: int
    observed_ms: int
    fork_id: int = 0

    def classify(self) -> ActionClass:
        return ActionClass.REPORT

    def engine(self, ledger: DictLedger) -> None:
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
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        account.process_deposit(ledger, self.owner, Quote(self.amount))

    def reference(self, world: World) -> None:
        block.deposit(world, self.owner, self.amount)


class PayRefund(NamedTuple):
    number: int
    at: int
    """Its place in the list."""
    account: Address
    amount: int

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        compensation.process_refund(
            ledger, self.number, index=self.at, account=self.account, amount=Quote(self.amount)
        )

    def reference(self, world: World) -> None:
        refunds.refund(world, *self)


class Withdraw(NamedTuple):
    owner: Address
    amount: int

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        account.process_withdrawal(ledger, self.owner, Quote(self.amount))

    def reference(self, world: World) -> None:
        block.withdraw(world, self.owner, self.amount)


# --- M4 -------------------------------------------------------------------------------------------


class Authorize(NamedTuple):
    owner: Address
    agent: Address
    expires_ms: int

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        agent.process_authorization(ledger, self.owner, self.agent, TimeMs(self.expires_ms))

    def reference(self, world: World) -> None:
        accounts.authorize(world, self.owner, self.agent, self.expires_ms)


class Revoke(NamedTuple):
    owner: Address
    agent: Address

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        agent.process_revocation(ledger, self.owner, self.agent)

    def reference(self, world: World) -> None:
        accounts.revoke(world, self.owner, self.agent)


class SetLeverage(NamedTuple):
    owner: Address
    market: MarketId
    fraction_ppm: int

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        leverage.process_own_margin(ledger, self.owner, self.market, RatePpm(self.fraction_ppm))

    def reference(self, world: World) -> None:
        accounts.set_leverage(world, self.owner, self.market, self.fraction_ppm)


# --- orders ---------------------------------------------------------------------------------------


class Place(NamedTuple):
    owner: Address
    request: OrderRequest

    def classify(self) -> ActionClass:
        return classify_order(self.request)

    def engine(self, ledger: DictLedger) -> int:
        return trading.process_order(ledger, self.owner, self.request)

    def reference(self, world: World) -> int:
        return placing.place(world, self.owner, self.request)

    def encode(self) -> bytes:
        return calldata("placeOrderWith", self.request)


def classify_order(request: OrderRequest) -> ActionClass:
    is_passive = request.time_in_force == TimeInForce.POST_ONLY
    return ActionClass.POST_ONLY if is_passive else ORDER


class PlaceMarket(NamedTuple):
    owner: Address
    market: MarketId
    size: int
    reduce_only: bool

    def classify(self) -> ActionClass:
        return ORDER

    def engine(self, ledger: DictLedger) -> int:
        return trading.process_market_order(
            ledger, self.owner, self.market, Lots(self.size), reduce_only=self.reduce_only
        )

    def reference(self, world: World) -> int:
        return placing.place_market(
            world, self.owner, self.market, self.size, reduce_only=self.reduce_only
        )

    def encode(self) -> bytes:
        return calldata("placeMarketOrder", self.market, self.size, self.reduce_only)


class PlaceTrigger(NamedTuple):
    owner: Address
    request: TriggerRequest

    def classify(self) -> ActionClass:
        return ORDER

    def engine(self, ledger: DictLedger) -> int:
        return trigger.process_trigger_request(ledger, self.owner, self.request)

    def reference(self, world: World) -> int:
        return triggers.place_trigger(world, self.owner, self.request)

    def encode(self) -> bytes:
        return calldata("placeTriggerWith", self.request)


class PlaceBracket(NamedTuple):
    """An order and the pair that closes it."""

    owner: Address
    request: OrderRequest
    take_profit: PairLeg
    stop_loss: PairLeg

    def classify(self) -> ActionClass:
        return classify_order(self.request)

    def engine(self, ledger: DictLedger) -> tuple[int, ...]:
        return pair.process_bracket(
            ledger,
            self.owner,
            self.request,
            take_profit=self.take_profit,
            stop_loss=self.stop_loss,
        )

    def reference(self, world: World) -> tuple[int, ...]:
        return their_pairs.place_with_pair(
            world, self.owner, self.request, self.take_profit, self.stop_loss
        )

    def encode(self) -> bytes:
        return calldata("placeOrderWithPair", self.request, self.take_profit, self.stop_loss)


class AttachPair(NamedTuple):
    """A pair for a position, or for the resting order `parent`."""

    owner: Address
    parent: int
    request: PairRequest

    def classify(self) -> ActionClass:
        return ORDER

    def engine(self, ledger: DictLedger) -> tuple[int, ...]:
        if self.parent:
            parent = OrderId(self.parent)
            return pair.process_attached_pair(ledger, self.owner, parent, self.request)
        return pair.process_position_pair(ledger, self.owner, self.request)

    def reference(self, world: World) -> tuple[int, ...]:
        if self.parent:
            return their_pairs.attach_to_order(world, self.owner, self.parent, self.request)
        return their_pairs.attach_to_position(world, self.owner, self.request)

    def encode(self) -> bytes:
        market, size, take_profit, stop_loss, expires_ms = self.request
        return calldata(
            "placeTriggerPair", market, self.parent, size, expires_ms, take_profit, stop_loss
        )


class Amend(NamedTuple):
    owner: Address
    market: MarketId
    order_id: int
    size: int
    price: int

    def classify(self) -> ActionClass:
        return ORDER

    def engine(self, ledger: DictLedger) -> int:
        return amending.process_amendment(
            ledger,
            self.owner,
            self.market,
            OrderId(self.order_id),
            size=Lots(self.size),
            price=Ticks(self.price),
        )

    def reference(self, world: World) -> int:
        return their_amending.amend(
            world, self.owner, self.market, self.order_id, self.size, self.price
        )

    def encode(self) -> bytes:
        return calldata("amendOrder", self.market, self.order_id, self.size, self.price)


class AmendClient(NamedTuple):
    owner: Address
    client_id: int
    size: int
    price: int

    def classify(self) -> ActionClass:
        return ORDER

    def engine(self, ledger: DictLedger) -> int:
        return amending.process_client_amendment(
            ledger, self.owner, self.client_id, size=Lots(self.size), price=Ticks(self.price)
        )

    def reference(self, world: World) -> int:
        return their_amending.amend_client(world, self.owner, self.client_id, self.size, self.price)

    def encode(self) -> bytes:
        return calldata("amendByClientId", self.client_id, self.size, self.price)


class Shrink(NamedTuple):
    owner: Address
    market: MarketId
    order_id: int
    size: int

    def classify(self) -> ActionClass:
        return CANCEL

    def engine(self, ledger: DictLedger) -> None:
        amending.process_shrinking(
            ledger, self.owner, self.market, OrderId(self.order_id), Lots(self.size)
        )

    def reference(self, world: World) -> None:
        their_amending.shrink_order(world, self.owner, self.market, self.order_id, self.size)

    def encode(self) -> bytes:
        return calldata("shrinkOrder", self.market, self.order_id, self.size)


# --- cancels --------------------------------------------------------------------------------------


class Cancel(NamedTuple):
    owner: Address
    market: MarketId
    order_id: int

    def classify(self) -> ActionClass:
        return CANCEL

    def engine(self, ledger: DictLedger) -> None:
        cancelling.process_cancel(ledger, self.owner, self.market, OrderId(self.order_id))

    def reference(self, world: World) -> None:
        their_cancelling.cancel(world, self.owner, self.market, self.order_id)

    def encode(self) -> bytes:
        return calldata("cancelOrder", self.market, self.order_id)


class CancelClient(NamedTuple):
    owner: Address
    client_id: int

    def classify(self) -> ActionClass:
        return CANCEL

    def engine(self, ledger: DictLedger) -> None:
        cancelling.process_client_cancel(ledger, self.owner, self.client_id)

    def reference(self, world: World) -> None:
        their_cancelling.cancel_client(world, self.owner, self.client_id)

    def encode(self) -> bytes:
        return calldata("cancelByClientId", self.client_id)


class CancelAll(NamedTuple):
    owner: Address
    market: MarketId

    def classify(self) -> ActionClass:
        return CANCEL

    def engine(self, ledger: DictLedger) -> int:
        return cancelling.process_cancel_all(ledger, self.owner, self.market)

    def reference(self, world: World) -> int:
        return their_cancelling.cancel_all(world, self.owner, self.market)

    def encode(self) -> bytes:
        return calldata("cancelAllOrders", self.market)


class CancelEverything(NamedTuple):
    owner: Address

    def classify(self) -> ActionClass:
        return CANCEL

    def engine(self, ledger: DictLedger) -> int:
        return cancelling.process_cancel_everything(ledger, self.owner)

    def reference(self, world: World) -> int:
        return their_cancelling.cancel_everything(world, self.owner)

    def encode(self) -> bytes:
        return calldata("cancelEverything")


class SetDeadline(NamedTuple):
    """Arm, renew or (0) disarm the dead-man's cancel."""

    owner: Address
    cancel_at_ms: int

    def classify(self) -> ActionClass:
        return ACCOUNT

    def engine(self, ledger: DictLedger) -> None:
        if self.cancel_at_ms:
            expiry.process_dead_mans_cancel(ledger, self.owner, TimeMs(self.cancel_at_ms))
        else:
            expiry.process_disarming(ledger, self.owner)

    def reference(self, world: World) -> None:
        their_cancelling.set_deadline(world, self.owner, self.cancel_at_ms)

    def encode(self) -> bytes:
        return calldata("setDeadMansCancel", self.cancel_at_ms)


# --- batches --------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """Several calls for an account, by itself or by an agent; each has its own result."""

    sender: Address
    owner: Address
    calls: tuple[Call, ...]
    money: tuple[bytes, ...] = ()
    """Calldata of what is no action of a batch: each is refused."""

    def classify(self) -> ActionClass:
        return classify(EXCHANGE, calldata("batch", self._all()))

    def _all(self) -> Sequence[bytes]:
        return [*(each.encode() for each in self.calls), *self.money]

    def engine(self, ledger: DictLedger) -> tuple[bool, ...]:
        if self.sender == self.owner:
            batch.batch(ledger, self.sender, self._all())  # type: ignore[arg-type]
        else:
            batch.batch_for(ledger, self.sender, self.owner, self._all())  # type: ignore[arg-type]
        said = ledger.events[-1]
        assert isinstance(said, BatchExecuted), "a batch tells its results last"
        return tuple(result.success for result in said.results)

    def reference(self, world: World) -> tuple[bool, ...]:
        calls = [each.reference for each in self.calls]
        done = their_batches.act(world, self.sender, self.owner, calls, more=len(self.money))
        return (*done, *(False for _ in self.money))
