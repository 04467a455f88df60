"""What is kept in memory beside a state: books, standing, deadlines, the latest blocks' records."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import repeat
from typing import Any, TypeVar

from node.chain import keys
from node.chain.deadlines import Queue, load_queue
from node.chain.keys import Place
from node.chain.native import Native, load_native
from node.chain.standing import Standing, load_standing
from node.perp.account import EXCHANGE, market_address
from node.perp.book import Book
from node.state.store import StateReader
from node.units import Address, MarketId

R = TypeVar("R", bound=tuple[Any, ...])

Records = tuple[Mapping[Any, Any], ...]
"""What one block read and wrote, decoded, table by table; last of all its native accounts."""
RECENT_BLOCKS_MAX = 8
"""So many blocks' records are kept decoded: whoever acts often, and what every block looks at."""
RECENT_RECORDS_MAX = 500_000
"""And no older ones than these, about 0.1 kB each where they are held twice."""


class Derived:
    """What is kept in memory beside a state and belongs to its root: books, standing, records.

    Never trusted across roots: made anew from the records, or handed on by the ledger that made
    the next state. Immutable once it belongs to a head.
    """

    __slots__ = ("_by_table", "_deadlines", "_reader", "_standing", "books", "recent")

    def __init__(
        self,
        reader: StateReader,
        books: dict[MarketId, Book],
        standing: Standing | None,
        deadlines: Queue | None = None,
        recent: Sequence[Records] = (),
    ) -> None:
        self._reader = reader
        self.books = books
        self._standing = standing
        self._deadlines = deadlines
        self.recent = recent
        """The latest blocks', newest first: the first that has a key has its record."""
        self._by_table = tuple(zip(*recent, strict=True))

    def load(self, markets: Sequence[MarketId]) -> None:
        """Build everything now, so that readers in other threads only read."""
        self.standing()
        self.deadlines()
        for market in markets:
            self.book(market)

    def read_by(self, reader: StateReader) -> Derived:
        """Return the same for whoever keeps it: what is not loaded yet, this reader reads.

        A head's own reader views the database as it was. A view that outlives its head keeps every
        version of each hot row alive, and a LevelDB whose rows have versions in several files may
        show an old one once the newest, a deletion, is compacted away.
        """
        return Derived(reader, self.books, self._standing, self._deadlines, self.recent)

    def recent_tables(self) -> Iterator[Sequence[Mapping[Any, Any]]]:
        """Yield `recent` by table, then the natives; without end where nothing is recent."""
        return iter(self._by_table) if self._by_table else repeat(())

    def get_native(self, address: Address) -> Native:
        """Return an account of the state, as the latest blocks left it or as it is stored."""
        for natives in self._by_table[-1] if self._by_table else ():
            if address in natives:
                native: Native = natives[address]
                return native
        return load_native(self._reader, address)

    def book(self, market: MarketId) -> Book:
        """Return the market's book, loading it from its records if need be."""
        if market not in self.books:
            self.books[market] = load_book(self._reader, market)
        return self.books[market]

    def standing(self) -> Standing:
        """Return who has positions and who owes, loading it from the records if need be."""
        if self._standing is None:
            self._standing = load_standing(self._reader)
        return self._standing

    def deadlines(self) -> Queue:
        """Return dead-man's cancels by time, loading them from the records if need be."""
        if self._deadlines is None:
            records = self._reader.records(EXCHANGE, keys.DEADLINES.prefix)
            decode = keys.DEADLINES.codec.decode
            self._deadlines = load_queue(
                (Address(key[5:25]), decode(data)) for key, data in records
            )
        return self._deadlines


def load_book(reader: StateReader, market: MarketId) -> Book:
    """Build a market's book from its records."""
    address = market_address(market)
    book = Book([])
    for order in sorted(_load_records(reader, address, keys.ORDERS), key=lambda each: each.id):
        book.put_order(order)
    for trigger in sorted(_load_records(reader, address, keys.TRIGGERS), key=lambda each: each.id):
        book.put_trigger(trigger)
    return book


def _load_records(reader: StateReader, address: Address, place: Place[Any, R]) -> Iterator[R]:
    return (place.codec.decode(data) for _, data in reader.records(address, place.prefix))


def extend_recent(own: Records, earlier: Sequence[Records]) -> Sequence[Records]:
    """Return a block's records and those of the blocks before it, as many as are kept."""
    recent = [own]
    count = sum(map(len, own))
    for records in earlier[: RECENT_BLOCKS_MAX - 1]:
        count += sum(map(len, records))
        if count > RECENT_RECORDS_MAX:
            break
        recent.append(records)
    return recent
