"""Faults on purpose: one number of the sequencer made wrong, as it happened to others (DESIGN 9).

    cache     the record is overwritten in the flat table between two blocks; the trie keeps the
              right one. The next block starts from the wrong number, as Paradex's did: its own
              invariants hold, only who recomputes from its own state sees it.
    overlay   the record is wrong within the next block, whatever the block writes to it; the
              sequencer's own invariants must refuse to seal.

Exists only with --faults, on the sequencer's own chain. The hook is `Blockchain.before_apply`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, NamedTuple, TypeVar, cast

import structlog

from node.chain import keys
from node.chain.blockchain import Blockchain
from node.chain.keys import Place
from node.chain.ledger import StateLedger
from node.errors import FaultRefused
from node.perp.account import Account
from node.perp.funding import Funding
from node.perp.oracle import Oracle
from node.perp.parameters import MAGNITUDE_MAX
from node.state.kv import KeyValue
from node.units import Address, FundingIndex, MarketId, Quote, Ticks

log = structlog.get_logger()

K = TypeVar("K")
R = TypeVar("R", bound=tuple[Any, ...])

VALUE_MAX = 2**120
"""Of an index or a balance, either sign."""


class FaultKind(StrEnum):
    """Which number."""

    FUNDING_INDEX = "funding_index"
    """A market's funding index, in 1e-9 atoms per lot."""
    ORACLE_PRICE = "oracle_price"
    """A market's accepted price, in ticks."""
    BALANCE = "balance"
    """An account's margin balance, in atoms."""


class Stage(StrEnum):
    """Where it goes wrong."""

    CACHE = "cache"
    OVERLAY = "overlay"


class Fault(NamedTuple):
    """One fault to be done."""

    kind: FaultKind
    stage: Stage
    target: MarketId | Address
    value: int


class _Target(NamedTuple):
    """The record behind a fault."""

    place: Place[Any, Any]
    table: str
    """Its name on the ledger."""
    field: str


_TARGETS = {
    FaultKind.FUNDING_INDEX: _Target(keys.FUNDINGS, "fundings", "index"),
    FaultKind.ORACLE_PRICE: _Target(keys.ORACLES, "oracles", "price"),
    FaultKind.BALANCE: _Target(keys.ACCOUNTS, "accounts", "balance"),
}


class Faults:
    """Does faults to one sequencer; any thread may ask."""

    def __init__(self, blockchain: Blockchain, kv: KeyValue) -> None:
        self._blockchain = blockchain
        self._kv = kv

    def inject(self, fault: Fault) -> int:
        """Do a fault and return the value before it; FaultRefused if there is no such number."""
        with self._blockchain.write_lock:
            record = self._get_record(fault)
            before: int = getattr(record, _TARGETS[fault.kind].field)
            if fault.stage == Stage.CACHE:
                self._overwrite(fault, _alter(fault, record))
            else:
                self._blockchain.before_apply = lambda ledger: self._alter_block(ledger, fault)
        log.warning(
            "fault injected",
            kind=fault.kind.value,
            stage=fault.stage.value,
            target=_name(fault.target),
            before=before,
            value=fault.value,
        )
        return before

    def _get_record(self, fault: Fault) -> Any:
        _check(fault)
        place = _TARGETS[fault.kind].place
        state = self._blockchain.head.state
        data = state.get_record(place.address(fault.target), place.key(fault.target))
        if data is None:
            raise FaultRefused(f"there is no {fault.kind.value} of {_name(fault.target)}")
        record = place.codec.decode(data)
        if _alter(fault, record) == record:
            raise FaultRefused(f"{fault.kind.value} is {fault.value} already: nothing to alter")
        return record

    def _overwrite(self, fault: Fault, record: Any) -> None:
        place = _TARGETS[fault.kind].place
        row = keys.STATE_TABLES.flat + place.address(fault.target) + place.key(fault.target)
        self._kv.write([(row, place.codec.encode(record))])
        self._blockchain.refresh_head()

    def _alter_block(self, ledger: StateLedger, fault: Fault) -> None:
        self._blockchain.before_apply = None
        name = _TARGETS[fault.kind].table
        table = _Altered(getattr(ledger, name), fault.target, lambda each: _alter(fault, each))
        setattr(ledger, name, cast(Any, table))


class _Altered(Generic[K, R]):
    """A ledger's table in which one record stays altered, whatever is written to it."""

    def __init__(self, table: Any, key: K, alter: Callable[[R], R]) -> None:
        self._table = table
        self._key = key
        self._alter = alter
        self.get: Callable[[K], R | None] = table.get
        self.table = getattr(table, "table", table)
        """What the ledger itself asks for changes."""
        self.set(key, table.get(key))

    def set(self, key: K, record: R, /) -> None:
        """Write a record, the one of the fault altered."""
        self._table.set(key, self._alter(record) if key == self._key else record)

    def delete(self, key: K, /) -> None:
        """Remove a record."""
        self._table.delete(key)


def _alter(fault: Fault, record: Any) -> Any:
    match record:
        case Funding():
            return record._replace(index=FundingIndex(fault.value))
        case Oracle():
            return record._replace(price=Ticks(fault.value))
        case Account():
            return record._replace(balance=Quote(fault.value))
        case _:
            raise AssertionError(f"{type(record).__name__} is no fault's record")


def _check(fault: Fault) -> None:
    """Refuse what no record of this kind can be."""
    is_account = fault.kind == FaultKind.BALANCE
    if is_account != isinstance(fault.target, bytes):
        wanted = "an account's address" if is_account else "a market's id"
        raise FaultRefused(f"{fault.kind.value} belongs to {wanted}, not to {_name(fault.target)}")
    if fault.kind == FaultKind.ORACLE_PRICE and not 0 < fault.value <= MAGNITUDE_MAX:
        raise FaultRefused(f"oracle_price was {fault.value}, must be from 1 to {MAGNITUDE_MAX}")
    if abs(fault.value) > VALUE_MAX:
        raise FaultRefused(f"{fault.kind.value} was {fault.value}, must be within ±2^120")


def _name(target: MarketId | Address) -> str:
    return f"account 0x{target.hex()}" if isinstance(target, bytes) else f"market {target}"
