"""A market's beginning: from the next block on, in CANCEL_ONLY, with nothing yet (X5)."""

import pytest

from node.errors import InvalidParameters, MarketExists
from node.perp.closure import process_settlement
from node.perp.events import MarketListed
from node.perp.listing import process_listing, process_listings
from node.perp.market import MARKET_ID_MAX, initial_market
from node.perp.oracle import initial_oracle
from node.perp.status import Mode
from node.units import MarketId, Ticks
from tests.helpers.ledger import MARKET, make_ledger, make_market_params, next_block

NEW = MarketId(7)


def test_a_listed_market_exists_from_the_next_block_x5() -> None:
    ledger = make_ledger()
    params = make_market_params(symbol="SOL-USD")

    assert process_listing(ledger, NEW, params) == NEW

    assert ledger.events == [MarketListed(NEW, "SOL-USD")]
    assert (list(ledger.market_ids), list(ledger.next_market_ids)) == ([MARKET], [MARKET, NEW])
    assert ledger.statuses.get(NEW) is None, "nothing of it before the block's end"
    process_listings(ledger)
    next_block(ledger)
    assert ledger.market_params(NEW) == params
    status = ledger.statuses.get(NEW)
    assert status is not None
    assert (status.mode, status.since_height) == (Mode.CANCEL_ONLY, ledger.height - 1)
    assert ledger.markets.get(NEW) == initial_market()
    assert ledger.oracles.get(NEW) == initial_oracle()


def test_without_a_listing_a_blocks_end_changes_nothing() -> None:
    ledger = make_ledger()
    before = ledger.dump()

    process_listings(ledger)

    assert ledger.dump() == before


@pytest.mark.parametrize("market", [0, -1, MARKET_ID_MAX + 1])
def test_an_id_must_be_one_that_genesis_could_have(market: int) -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidParameters, match="id is"):
        process_listing(ledger, MarketId(market), make_market_params(symbol="SOL-USD"))


def test_an_id_is_used_once_and_a_symbol_is_free_when_its_market_is_settled_x5() -> None:
    ledger = make_ledger()
    params = ledger.market_params(MARKET)
    with pytest.raises(MarketExists):
        process_listing(ledger, MARKET, make_market_params(symbol="SOL-USD"))
    with pytest.raises(InvalidParameters, match=f"symbol {params.symbol!r} is market 1's"):
        process_listing(ledger, NEW, params)

    process_settlement(ledger, MARKET, Ticks(100))

    process_listing(ledger, NEW, params)
    with pytest.raises(MarketExists):
        process_listing(ledger, NEW, make_market_params(symbol="another"))
    with pytest.raises(InvalidParameters, match="is market 7's"):
        process_listing(ledger, MarketId(8), params)


def test_parameters_are_checked_as_genesis_checks_them() -> None:
    ledger = make_ledger()

    with pytest.raises(InvalidParameters, match="k is 3"):
        process_listing(ledger, NEW, make_market_params(symbol="SOL-USD", k=3))

    assert list(ledger.next_market_ids) == [MARKET]
