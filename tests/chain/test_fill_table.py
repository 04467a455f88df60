"""Candles and the fills under them: as of every block, on every branch, after every restart."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.chain import keys
from node.chain.ancestry import Ancestry
from node.chain.block import Block, encode_extension, encode_header
from node.chain.blockchain import Blockchain
from node.chain.event_search import EventSearch, Found, Position, find_events
from node.chain.fill_table import INTERVALS, Candle, find_candles
from node.chain.genesis import Genesis
from node.chain.store import BlockStore
from node.chain.transition import decode_transition
from node.perp.events import FundingSettled, OrderFilled
from node.snapshot.apply import apply_plan
from node.snapshot.directory import SnapshotDirectory
from node.state.kv import KeyValue, LevelDb, MemoryDb
from node.units import Address, DurationMs, Height, Lots, MarketId, Ticks, TimeMs
from tests.helpers.chain import BTC, Chain, Person, make_genesis
from tests.snapshot.story import export, make_story_genesis, plan_of, tell_story

PRICE = 930_000
LATE = TimeMs(2**53)
HOUR_MS = 3_600_000


def slow_genesis() -> Genesis:
    """Return a genesis on which blocks may be an hour apart and markets stay open."""
    genesis = make_genesis([Person("maker"), Person("taker")])
    age = DurationMs(2 * HOUR_MS)
    markets = tuple(
        each._replace(params=each.params._replace(price_age_ms_max=age)) for each in genesis.markets
    )
    chain = genesis.chain._replace(gap_ms_max=DurationMs(2 * HOUR_MS))
    return genesis._replace(chain=chain, markets=markets)


class Market:
    """A market on which a maker and a taker trade, at whatever pace and price."""

    def __init__(self, kv: KeyValue | None = None) -> None:
        self.genesis = slow_genesis()
        self.chain = Chain(self.genesis, kv)
        self.maker, self.taker = Person("maker"), Person("taker")
        self.chain.open_market(PRICE)

    def trade(self, *fills: tuple[int, int], elapsed_ms: int = 100) -> Block:
        """Seal a block in which the taker buys these (lots, ticks) in turn, negative ones sells."""
        chain, half = self.chain, elapsed_ms // 2
        makers = [self.maker.order(-size, PRICE + price) for size, price in fills]
        chain.seal(*chain.reports(PRICE, elapsed_ms=half), *makers, elapsed_ms=half)
        takers = [self.taker.order(size, PRICE + price, tif=1) for size, price in fills]
        rest = elapsed_ms - half
        return chain.seal(*chain.reports(PRICE, elapsed_ms=rest), *takers, elapsed_ms=rest)

    def restart(self) -> None:
        """Forget everything but the database."""
        kv = self.chain.kv
        self.chain.blockchain = Blockchain(self.genesis, kv, BlockStore(kv, None))


@pytest.fixture(scope="module")
def market() -> Market:
    """Return a market traded on over more than a day, closely at first."""
    market = Market()
    market.trade((5, 10), (2, 15), (3, 20))
    for step in range(12):
        market.trade((1 + step % 3, 30 - step), elapsed_ms=25_000)
    for step in range(30):
        market.trade((2, 50 + 7 * step % 50), (-3, step), elapsed_ms=HOUR_MS)
    return market


def below(store: BlockStore, block: Block) -> Iterator[Block]:
    """Yield a block and its ancestors by their parents, newest first: the plain way."""
    at: Block | None = block
    while at is not None:
        yield at
        at = store.load_block(at.header.parent_hash)


def fold(store: BlockStore, block: Block, interval: str, market: MarketId = BTC) -> list[Candle]:
    """Return a branch's candles by looking at every fill of every block, oldest first."""
    length = INTERVALS[interval]
    candles: dict[int, list[OrderFilled]] = {}
    for each in reversed(list(below(store, block))):
        start = each.extension.time_ms // length * length
        for data in each.transitions:
            event = decode_transition(data)
            if isinstance(event, OrderFilled) and event.market == market:
                candles.setdefault(start, []).append(event)
    return [
        Candle(
            TimeMs(start),
            open=fills[0].price,
            high=max(fill.price for fill in fills),
            low=min(fill.price for fill in fills),
            close=fills[-1].price,
            volume=Lots(sum(abs(fill.size) for fill in fills)),
            liquidation_volume=Lots(sum(abs(f.size) for f in fills if f.liquidation)),
            fills=len(fills),
        )
        for start, fills in sorted(candles.items())
    ]


def candles_of(
    chain: Chain, block: Block, interval: str, until_ms: TimeMs = LATE, limit: int = 10_000
) -> list[Candle]:
    """Return a block's candles out of the table, oldest first."""
    ancestry = Ancestry(chain.blockchain.store, chain.kv.snapshot(), block)
    return find_candles(ancestry, BTC, interval, until_ms=until_ms, limit=limit)[::-1]


def rows_of(kv: KeyValue) -> dict[bytes, bytes]:
    return dict(kv.items(keys.FILLS))


# --- candles --------------------------------------------------------------------------------------


@pytest.mark.parametrize("interval", INTERVALS)
def test_candles_are_those_of_the_fills_as_of_every_block(market: Market, interval: str) -> None:
    store = market.chain.blockchain.store
    counts = set()

    for block in below(store, market.chain.head):
        expected = fold(store, block, interval)
        assert candles_of(market.chain, block, interval) == expected
        counts.add(len(expected))

    assert max(counts) > 1


def test_a_candle_opens_and_closes_with_its_first_and_last_fill() -> None:
    market = Market()
    block = market.trade((5, 10), (2, 15), (3, 20))
    block = market.trade((-4, 8))

    (candle,) = candles_of(market.chain, block, "1d")

    assert candle._replace(start_ms=TimeMs(0)) == Candle(
        start_ms=TimeMs(0),
        open=Ticks(PRICE + 10),
        high=Ticks(PRICE + 20),
        low=Ticks(PRICE + 8),
        close=Ticks(PRICE + 8),
        volume=Lots(14),
        liquidation_volume=Lots(0),
        fills=4,
    )


def test_candles_until_a_time_are_whole_and_the_newest(market: Market) -> None:
    head = market.chain.head
    everything = candles_of(market.chain, head, "1h")

    until = TimeMs(everything[5].start_ms + 1)
    found = candles_of(market.chain, head, "1h", until, limit=3)

    assert found == everything[3:6]
    before = candles_of(market.chain, head, "1h", everything[5].start_ms, limit=3)
    assert before == everything[2:5]


def test_another_market_has_its_own(market: Market) -> None:
    ancestry = Ancestry(
        market.chain.blockchain.store, market.chain.kv.snapshot(), market.chain.head
    )

    assert find_candles(ancestry, MarketId(2), "1d", until_ms=LATE, limit=5) == []


def test_liquidations_are_fills_and_told_apart() -> None:
    market = Market()
    chain = market.chain
    market.trade((90_000, 0))  # 9 BTC at 93,000: 837,000 USDC on a margin of 100,000
    bid = market.maker.order(90_000, PRICE * 95 // 100)
    for price, orders in ((PRICE * 96 // 100, [bid]), (PRICE * 92 // 100, [])):
        reports = chain.reports(price, elapsed_ms=2_000)
        chain.seal(*reports, *orders, elapsed_ms=2_000)

    for interval in INTERVALS:
        candles = candles_of(chain, chain.head, interval)
        assert candles == fold(chain.blockchain.store, chain.head, interval)
        assert 0 < candles[-1].liquidation_volume < candles[-1].volume
    search = search_of(chain, chain.head)
    page = search.find_fills(BTC, None, before=search.after_all(), lowest=Height(0), limit=9)
    assert [each.event.liquidation for each in page.found][-1:] == [False]
    assert any(each.event.liquidation for each in page.found)


# --- what a table must survive --------------------------------------------------------------------


def test_a_restart_at_any_block_goes_on_with_the_same_rows() -> None:
    one, other = Market(), Market()
    for step in range(6):
        for each in (one, other):
            each.trade((2, 10 + step), (-1, 9 - step), elapsed_ms=25_000)
        other.restart()

    assert one.chain.head.hash == other.chain.head.hash
    assert rows_of(one.chain.kv) == rows_of(other.chain.kv) != {}


def test_a_database_without_the_table_gets_it_made_anew(tmp_path: Path) -> None:
    with_fork = MemoryDb()
    fork_story(with_fork, tmp_path)
    kept = rows_of(with_fork)
    old = MemoryDb(
        {
            key: value
            for key, value in with_fork.items(b"")
            if key not in kept and key != keys.FILLS_SINCE_ROW
        }
    )
    genesis = make_story_genesis()

    chain = Blockchain(genesis, old, BlockStore(old, None))

    assert rows_of(old) == kept != {}
    assert chain.store.load_fills_since() == 0


def test_a_database_that_begins_at_a_snapshot_says_from_where_it_knows(market: Market) -> None:
    # What a restore leaves: block 0, the headers before the snapshot's block, and what follows it.
    store, head = market.chain.blockchain.store, market.chain.head
    branch = list(below(store, head))
    first = branch[20]
    rows = dict(market.chain.kv.items(b""))
    for key in [*rows_of(market.chain.kv), keys.FILLS_SINCE_ROW]:
        del rows[key]
    for block in branch[21:-1]:
        header, extension = encode_header(block.header), encode_extension(block.extension)
        rows[keys.header_row(block.hash)] = len(header).to_bytes(4, "big") + header + extension
        del rows[keys.block_row(block.hash)]
    kv = MemoryDb(rows)

    chain = Chain(market.genesis, kv)

    assert chain.blockchain.store.load_fills_since() == first.header.number
    expected = fold(chain.blockchain.store, head, "1h")
    assert candles_of(chain, head, "1h") == expected
    assert 0 < len(expected) < len(fold(store, head, "1h"))
    search = search_of(chain, head)
    page = search.find_fills(BTC, None, before=search.after_all(), lowest=Height(0), limit=1_000)
    assert list(page.found) == all_fills(chain.blockchain.store, head)


def fork_story(kv: KeyValue, path: Path) -> tuple[Chain, Block]:
    """Return a chain that forked over some fills, and the tip that it left."""
    story = tell_story(kv)
    manifest = export(story.chain, story.snapshot, SnapshotDirectory(path / "snapshots"))
    tip = story.chain.head
    apply_plan(story.chain.blockchain, plan_of(story, manifest))
    return story.chain, tip


def test_a_fork_takes_candles_back_and_leaves_the_other_branch_its_own(tmp_path: Path) -> None:
    chain, tip = fork_story(MemoryDb(), tmp_path)
    store = chain.blockchain.store
    here, left = (candles_of(chain, block, "1d") for block in (chain.head, tip))

    assert here == fold(store, chain.head, "1d")
    assert left == fold(store, tip, "1d")
    assert [each.volume for each in (*here, *left)] == [10, 17]


def test_a_block_that_a_revert_left_is_read_by_its_parents() -> None:
    # Two chains that part after a block, in one database whose index follows the second.
    first, second = Market(), Market()
    for each in (first, second):
        each.trade((4, 1))
    left = first.trade((7, 40))
    kept = second.trade((3, -20))
    merged = dict(first.chain.kv.items(b"")) | dict(second.chain.kv.items(b""))
    kv = MemoryDb(merged)
    chain = Chain(second.genesis, kv)

    for block in (left, kept):
        expected = fold(chain.blockchain.store, block, "1d")
        assert candles_of(chain, block, "1d") == expected
    assert chain.head.hash == kept.hash
    assert candles_of(chain, left, "1d")[-1].volume == 11
    assert candles_of(chain, kept, "1d")[-1].volume == 7


def test_rows_are_found_on_disk_as_in_memory(tmp_path: Path) -> None:
    database = LevelDb(tmp_path / "db")
    on_disk, in_memory = Market(database), Market()
    for each in (on_disk, in_memory):
        for step in range(4):
            each.trade((2, step), elapsed_ms=40_000)

    found = [candles_of(each.chain, each.chain.head, "1m") for each in (on_disk, in_memory)]

    assert found[0] == found[1] != []
    database.close()


# --- fills and payments ---------------------------------------------------------------------------


def search_of(chain: Chain, block: Block) -> EventSearch:
    store = chain.blockchain.store
    return EventSearch(store, Ancestry(store, chain.kv.snapshot(), block))


def all_fills(store: BlockStore, block: Block) -> list[Found[OrderFilled]]:
    """Return a branch's fills by looking into every block, newest first."""
    found: list[Found[OrderFilled]] = []
    for each in below(store, block):
        receipts = store.load_receipts(each.hash)
        assert receipts is not None
        found += reversed(find_events(OrderFilled, each, receipts))
    return found


@pytest.mark.parametrize("limit", [1, 3, 1_000])
def test_pages_of_fills_are_all_fills_newest_first(market: Market, limit: int) -> None:
    head = market.chain.head
    search = search_of(market.chain, head)
    found: list[Found[OrderFilled]] = []
    before: Position | None = search.after_all()

    while before is not None:
        page = search.find_fills(BTC, None, before=before, lowest=Height(0), limit=limit)
        assert len(page.found) <= limit
        found += page.found
        before = page.next

    assert found == all_fills(market.chain.blockchain.store, head)
    assert len(found) == 3 + 12 + 60


def test_a_fill_names_the_transaction_and_log_that_show_it(market: Market) -> None:
    store = market.chain.blockchain.store
    search = search_of(market.chain, market.chain.head)
    page = search.find_fills(BTC, None, before=search.after_all(), lowest=Height(0), limit=5)

    for found in page.found:
        block = store.load_block(found.block_hash)
        receipts = store.load_receipts(found.block_hash)
        assert block is not None
        assert receipts is not None
        index = [tx.hash for tx in block.transactions].index(found.tx_hash)
        first_log = sum(len(receipt.logs) for receipt in receipts[:index])
        log = receipts[index].logs[found.log_index - first_log]
        assert log.topics[3][12:] == found.event.taker
        assert block.transactions[index].sender == found.event.taker


def test_fills_are_those_of_an_account_from_a_height_on(market: Market) -> None:
    head = market.chain.head
    search, end = search_of(market.chain, head), search_of(market.chain, head).after_all()

    def count(account: Address, lowest: int = 0) -> int:
        page = search.find_fills(BTC, account, before=end, lowest=Height(lowest), limit=1_000)
        assert page.next is None
        return len(page.found)

    assert count(market.taker.address) == count(market.maker.address) == 75
    assert count(Person("nobody").address) == 0
    assert count(market.taker.address, head.header.number) == 2
    assert count(market.taker.address, head.header.number - 1) == 2
    assert count(market.taker.address, head.header.number - 2) == 4


def test_a_page_looks_at_so_many_blocks_and_says_where_to_go_on(
    market: Market, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.chain.event_search.READ_MAX", 4)
    head = market.chain.head
    search, pages = search_of(market.chain, head), 0
    found: list[Found[OrderFilled]] = []
    before: Position | None = search.after_all()

    while before is not None:
        page = search.find_fills(BTC, None, before=before, lowest=Height(0), limit=1_000)
        found += page.found
        before, pages = page.next, pages + 1

    assert found == all_fills(market.chain.blockchain.store, head)
    assert pages == 11  # 43 blocks filled orders


def test_payments_are_what_funding_settled(tmp_path: Path) -> None:
    market = Market()
    chain = market.chain
    market.trade((50, 0))
    for _ in range(5):
        chain.seal(*chain.reports(PRICE, elapsed_ms=25_000), elapsed_ms=25_000)
    head = market.trade((-20, 0))
    receipts = chain.blockchain.store.load_receipts(head.hash)
    assert receipts is not None
    settled = find_events(FundingSettled, head, receipts)

    search = search_of(chain, head)
    pages = [
        search.find_payments(
            person.address, BTC, before=search.after_all(), lowest=Height(0), limit=10
        )
        for person in (market.maker, market.taker)
    ]

    assert [page.found for page in pages] == [(settled[0],), (settled[1],)]
    received, paid = (page.found[0].event for page in pages)
    assert received.account == market.maker.address
    assert received.cash > 0 > paid.cash
    other = MarketId(2)
    nothing = search.find_payments(
        market.maker.address, other, before=search.after_all(), lowest=Height(0), limit=10
    )
    assert nothing == ((), None)
