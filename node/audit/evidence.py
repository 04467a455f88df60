"""What two executions of one block did differently: to whom, in which transaction, by which event.

Events are read off the logs of the receipts, which both have: the one as it is stored, the other
as it was just made. What both did is passed over, wherever it stands in the block, and so is what
follows from a difference that was told: an order's number counts what was placed before it, an
index goes on from where it is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import EnumType
from functools import cache
from itertools import zip_longest
from typing import Any, Final, NamedTuple, get_type_hints

from node.audit.counterfactual import Replayed
from node.chain.block import Block, Receipt
from node.chain.development import as_meant
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.chain.transaction import Transaction
from node.errors import show
from node.perp.events import (
    TRANSITION_KINDS,
    Deposited,
    Event,
    FundingAccrued,
    FundingSettled,
    PriceAccepted,
    Withdrawn,
)
from node.system.logs import Log, decode_log
from node.system.revert import describe_revert
from node.units import Address, Hash32, Height, MarketId

TRANSACTION: Final = "Transaction"
"""The kind of evidence that says whether a transaction did what it was sent for."""
LEFT_OUT: Final = "left out"
DONE: Final = "done"
_KINDS: Final = frozenset([*TRANSITION_KINDS, Deposited, Withdrawn])
"""What moves or limits an account; the rest of the logs repeats what was asked for."""
_NUMBERS: Final = frozenset(["order_id", "new_order_id", "maker_order_id", "taker_order_id"])
_IMMATERIAL: Final[Mapping[type, frozenset[str]]] = {
    FundingSettled: frozenset(["index"]),
    PriceAccepted: frozenset(["price_before"]),
}
"""What else is no difference: what was paid and what was accepted count, not the way there."""
_OWNERS: Final = ("account", "counterparty", "maker", "taker")
"""The fields that name whom an event is about."""


class Evidence(NamedTuple):
    """One thing that happened otherwise; a side is empty where it did not happen at all."""

    account: Address | None
    """Whom it happened to; None: a market, or the chain."""
    height: Height
    tx_hash: Hash32 | None
    """What carried it in the block; None: nothing that is in the block."""
    kind: str
    """The event's name, or TRANSACTION."""
    market: MarketId
    """0: none."""
    was: str
    should: str


class Happened(NamedTuple):
    """An event and what carried it."""

    tx_hash: Hash32
    event: Event


class Differences(NamedTuple):
    """What only one of two executions did."""

    was: tuple[Happened, ...]
    should: tuple[Happened, ...]
    evidence: tuple[Evidence, ...]


NO_DIFFERENCES: Final = Differences((), (), ())


class Comparison:
    """Compares a range block by block, in order."""

    def __init__(self, left_out: frozenset[Hash32]) -> None:
        self._left_out = left_out
        self._apart: dict[MarketId, int] = {}
        """By how much a market's funding index is apart since a block that told so."""

    def compare(self, block: Block, receipts: Sequence[Receipt], replayed: Replayed) -> Differences:
        """Return what the next block as stored, and as it should have been, did differently."""
        applied = replayed.applied
        ours = list(_logs_of(block.transactions, receipts))
        theirs = list(_logs_of(applied.transactions, applied.receipts))
        transactions = tuple(_compare_transactions(block, receipts, replayed, self._left_out))
        if [log for _, log in ours] == [log for _, log in theirs]:
            return NO_DIFFERENCES._replace(evidence=transactions)
        was, should = _only_in_first(ours, theirs), _only_in_first(theirs, ours)
        was, should = self._drop_carried(*_drop_alike(was, should))
        events = tuple(_list_evidence(block, was, should))
        return Differences(tuple(was), tuple(should), (*transactions, *events))

    def _drop_carried(
        self, was: list[Happened], should: list[Happened]
    ) -> tuple[list[Happened], list[Happened]]:
        """Drop funding steps whose indices are apart by as much as they were: told already."""
        ours, theirs = _accruals_of(was), _accruals_of(should)
        carried = set()
        for market in ours.keys() & theirs.keys():
            left, right = ours[market], theirs[market]
            before, after = left.index_before - right.index_before, left.index - right.index
            if before == after == self._apart.get(market, 0):
                carried |= {left, right}
            self._apart[market] = after
        return (
            [each for each in was if each.event not in carried],
            [each for each in should if each.event not in carried],
        )


def owners_of(event: Event) -> tuple[Address, ...]:
    """Return whom an event is about."""
    return tuple(getattr(event, name) for name in _OWNERS if hasattr(event, name))


def describe_event(event: Event) -> str:
    """Return an event's fields but for the market, which stands beside it; codes by name."""
    kind: Any = type(event)
    hints = _hints_of(kind)
    fields: Iterable[tuple[str, Any]] = zip(event._fields, event, strict=True)
    return ", ".join(
        f"{name} {show(hints[name](value) if isinstance(hints[name], EnumType) else value)}"
        for name, value in fields
        if name != "market"
    )


@cache
def _hints_of(event_class: Any) -> Mapping[str, Any]:
    return get_type_hints(event_class)


# --- transactions ---------------------------------------------------------------------------------


def _compare_transactions(
    block: Block, receipts: Sequence[Receipt], replayed: Replayed, left_out: frozenset[Hash32]
) -> Iterator[Evidence]:
    """Yield whether a transaction did what it was sent for, where that differs."""
    applied = replayed.applied
    should = {
        _identify(tx): receipt
        for tx, receipt in zip(applied.transactions, applied.receipts, strict=True)
    }
    excluded = {each.tx_hash: f"could not be: {each.reason}" for each in replayed.excluded}
    excluded |= dict.fromkeys(left_out, LEFT_OUT)
    for tx, was in zip(block.transactions, receipts, strict=True):
        if tx.sender == SYSTEM_ACCOUNT and not tx.data:
            continue  # the protocol's own: its events say it
        after = should.get(_identify(tx), was)
        if tx.hash not in excluded and was.status == after.status:
            continue
        sender = as_meant(tx).sender
        yield Evidence(
            None if sender == SYSTEM_ACCOUNT else sender,
            block.header.number,
            tx.hash,
            TRANSACTION,
            MarketId(0),
            _outcome(was),
            excluded.get(tx.hash) or _outcome(after),
        )


def _identify(tx: Transaction) -> bytes:
    """Return what a transaction is known by: its hash, or what it carries for the protocol."""
    return tx.data if tx.sender == SYSTEM_ACCOUNT else tx.hash


def _outcome(receipt: Receipt) -> str:
    if receipt.status:
        return DONE
    return f"reverted: {describe_revert(receipt.output) or '0x' + receipt.output.hex()}"


# --- events ---------------------------------------------------------------------------------------


def _logs_of(
    transactions: Sequence[Transaction], receipts: Sequence[Receipt]
) -> Iterator[tuple[Hash32, Log]]:
    for tx, receipt in zip(transactions, receipts, strict=True):
        for log in receipt.logs:
            yield tx.hash, log


def _only_in_first(
    first: Sequence[tuple[Hash32, Log]], second: Sequence[tuple[Hash32, Log]]
) -> list[Happened]:
    """Return the events that the second has not, each as often as the first has it more often."""
    there = Counter(log for _, log in second)
    found = []
    for tx_hash, log in first:
        if there[log]:
            there[log] -= 1
            continue
        event: Any = decode_log(log)
        if type(event) in _KINDS:
            found.append(Happened(tx_hash, event))
    return found


def _accruals_of(happened: Sequence[Happened]) -> dict[MarketId, FundingAccrued]:
    events = [each.event for each in happened]
    return {each.market: each for each in events if isinstance(each, FundingAccrued)}


def _drop_alike(
    was: list[Happened], should: list[Happened]
) -> tuple[list[Happened], list[Happened]]:
    """Drop what means the same on both sides, each as often as both have it."""
    both = Counter(_meaning_of(each.event) for each in was)
    both &= Counter(_meaning_of(each.event) for each in should)
    return _without(was, both.copy()), _without(should, both)


def _without(happened: list[Happened], dropped: Counter[tuple[Any, ...]]) -> list[Happened]:
    kept = []
    for each in happened:
        meaning = _meaning_of(each.event)
        if dropped[meaning]:
            dropped[meaning] -= 1
        else:
            kept.append(each)
    return kept


def _meaning_of(event: Event) -> tuple[Any, ...]:
    """Return what an event did, without the numbers of orders and what was before."""
    passed = _IMMATERIAL.get(type(event), _NUMBERS)
    fields = zip(event._fields, event, strict=True)
    return type(event), *(value for name, value in fields if name not in passed)


def _list_evidence(
    block: Block, was: Sequence[Happened], should: Sequence[Happened]
) -> Iterator[Evidence]:
    """Yield what differs by account, kind and market, the first of one side beside the other's."""
    sides = _by_subject(was), _by_subject(should)
    carried = {tx.hash for tx in block.transactions}
    for subject in dict.fromkeys([*sides[0], *sides[1]]):
        account, kind, market = subject
        for left, right in zip_longest(sides[0][subject], sides[1][subject]):
            tx_hash = (left or right).tx_hash
            yield Evidence(
                account,
                block.header.number,
                tx_hash if tx_hash in carried else None,
                kind,
                market,
                "" if left is None else describe_event(left.event),
                "" if right is None else describe_event(right.event),
            )


_Subject = tuple[Address | None, str, MarketId]


def _by_subject(happened: Sequence[Happened]) -> dict[_Subject, list[Happened]]:
    found: defaultdict[_Subject, list[Happened]] = defaultdict(list)
    for each in happened:
        market = getattr(each.event, "market", MarketId(0))
        for account in owners_of(each.event) or (None,):
            found[account, type(each.event).__name__, market].append(each)
    return found
