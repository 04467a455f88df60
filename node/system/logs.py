"""Events as Ethereum logs: the ABI event of the same name, by the contract that declares it.

What a log needs of an event's class is worked out once, at import: contract, topic, and which first
fields are indexed. Field for field the order is the ABI's; a test compares the names.
"""

from typing import NamedTuple, get_args

from node.perp.events import Event
from node.system.abi import WORD, Coder
from node.system.contracts import CONTRACTS
from node.system.ledger import CouncilEvent, SystemEvent, TokenEvent
from node.units import Address, Hash32


class Log(NamedTuple):
    """An ABI event."""

    address: Address
    topics: tuple[Hash32, ...]
    data: bytes


class _Form(NamedTuple):
    """How the events of one class become logs."""

    address: Address
    topic: Hash32
    indexed: Coder
    """Of the first fields, one static word each."""
    data: Coder
    """Of the others."""


def encode_log(event: SystemEvent) -> Log:
    """Return an event's log; KeyError for what is no event of any contract."""
    address, topic, indexed, data = _FORMS[type(event)]
    count = len(indexed.types)
    words = indexed.encode(event[:count])
    topics = [Hash32(words[at : at + WORD]) for at in range(0, indexed.size, WORD)]
    return Log(address, (topic, *topics), data.encode(event[count:]))


def decode_log(log: Log) -> SystemEvent | None:
    """Return the event that a log of ours tells, codes as plain numbers; None for any other log."""
    known = _CLASSES.get(log.topics[0]) if log.topics else None
    if known is None:
        return None
    _, _, indexed, data = _FORMS[known]
    return known(*indexed.decode(b"".join(log.topics[1:])), *data.decode(log.data))


EVENT_CLASSES: tuple[type[SystemEvent], ...] = (
    *get_args(Event),
    *get_args(TokenEvent),
    *get_args(CouncilEvent),
)
"""Everything that a ledger's `emit` takes."""


def _form(event_class: type[SystemEvent]) -> _Form:
    name = event_class.__name__
    declared = [contract for contract in CONTRACTS.values() if name in contract.events]
    assert len(declared) == 1, f"{name} is declared by {len(declared)} contracts"
    event = declared[0].events[name]
    indexed = Coder(event.indexed)
    assert all(each.decode for each in indexed.types), f"{name}: what is indexed is one static word"
    return _Form(declared[0].address, event.topic, indexed, event.data)


_FORMS: dict[type, _Form] = {event_class: _form(event_class) for event_class in EVENT_CLASSES}

_CLASSES: dict[Hash32, type[SystemEvent]] = {form.topic: made for made, form in _FORMS.items()}
