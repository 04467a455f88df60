"""Funding by interval: what the state of each interval's last block says."""

from collections.abc import Callable
from itertools import pairwise

import pytest

from node.chain import keys
from node.chain.ancestry import Ancestry
from node.chain.block import Block
from node.chain.funding_history import FundingInterval, find_intervals
from node.errors import MissingState
from node.perp.funding import Funding
from node.units import DurationMs, Hash32, Height, TimeMs
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 930_000
LENGTH = DurationMs(60_000)
LATE = TimeMs(2**53)


def read(chain: Chain) -> Callable[[Hash32], Funding | None]:
    def get_funding(root: Hash32) -> Funding | None:
        record = chain.blockchain.states.at(root).get_record(
            keys.FUNDINGS.address(BTC), keys.FUNDINGS.key(BTC)
        )
        return None if record is None else keys.FUNDINGS.codec.decode(record)

    return get_funding


@pytest.fixture(scope="module")
def chain() -> Chain:
    """Return a chain over some minutes whose book stands above the oracle, so that rates move."""
    maker = Person("maker")
    chain = Chain(make_genesis([maker]))
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(2_000, PRICE + 2_000))
    for step in range(110):
        elapsed = 2_500 if step % 7 else 900
        chain.seal(*chain.reports(PRICE, elapsed_ms=elapsed), elapsed_ms=elapsed)
    return chain


def intervals_of(
    chain: Chain, block: Block, until_ms: TimeMs = LATE, limit: int = 1_000
) -> list[FundingInterval]:
    ancestry = Ancestry(chain.blockchain.store, chain.kv.snapshot(), block)
    return find_intervals(ancestry, read(chain), LENGTH, until_ms=until_ms, limit=limit)


def walk(chain: Chain, block: Block) -> list[tuple[int, int, int]]:
    """Return (start, height, index) of each interval's last block, newest first: the plain way."""
    last: dict[int, Block] = {}
    for height in range(block.header.number + 1):
        each = chain.blockchain.block_at(Height(height))
        assert each is not None
        last[each.extension.time_ms // LENGTH * LENGTH] = each
    found: list[tuple[int, int, int]] = []
    for start, each in sorted(last.items(), reverse=True):
        funding = read(chain)(each.header.state_root)
        assert funding is not None
        found.append((start, each.header.number, funding.index))
    return found


@pytest.mark.parametrize("back", [0, 1, 2, 3, 5, 8, 13, 21, 34, 55, 89])
def test_each_interval_ends_with_its_last_block(chain: Chain, back: int) -> None:
    block = chain.blockchain.block_at(Height(chain.head.header.number - back))
    assert block is not None

    found = intervals_of(chain, block)

    expected = walk(chain, block)
    assert [(each.start_ms, each.height, each.index) for each in found] == expected
    assert found[0].time_ms == block.extension.time_ms
    assert found[-1].change is None
    for later, earlier in pairwise(found):
        assert later.change == later.index - earlier.index
        assert later.end_ms == later.start_ms + LENGTH


def test_rates_move_and_the_index_with_them(chain: Chain) -> None:
    found = intervals_of(chain, chain.head)

    assert len({each.rate_ppb for each in found}) > 1
    assert all(each.change is None or each.change >= 0 for each in found)
    assert found[0].index > found[-1].index


def test_a_limit_and_a_time_cut_it_and_changes_stay(chain: Chain) -> None:
    everything = intervals_of(chain, chain.head)

    assert intervals_of(chain, chain.head, limit=2) == everything[:2]
    until = everything[1].start_ms
    assert intervals_of(chain, chain.head, until, limit=1) == everything[2:3]
    assert intervals_of(chain, chain.head, TimeMs(until + 1), limit=1) == everything[1:2]
    assert intervals_of(chain, chain.head, everything[-1].start_ms) == []


def test_it_ends_where_states_are_not_kept(chain: Chain) -> None:
    everything = intervals_of(chain, chain.head)
    kept = everything[1].height

    def get_funding(root: Hash32) -> Funding | None:
        block = chain.blockchain.block_at(kept)
        assert block is not None
        if root not in (chain.head.header.state_root, block.header.state_root):
            raise MissingState(root)
        return read(chain)(root)

    ancestry = Ancestry(chain.blockchain.store, chain.kv.snapshot(), chain.head)
    found = find_intervals(ancestry, get_funding, LENGTH, until_ms=LATE, limit=9)

    assert found == [everything[0], everything[1]._replace(change=None)]
