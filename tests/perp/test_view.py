"""What readers are shown is what the rules enforce."""

import pytest

from node.errors import MarketNotFound
from node.perp.account import Account, Position
from node.perp.margin import compute_risk
from node.perp.order import TriggerKind, TriggerRequest
from node.perp.status import Mode
from node.perp.trading import process_order
from node.perp.trigger import process_trigger_request
from node.perp.view import (
    Level,
    compute_account_view,
    compute_book_view,
    compute_market_view,
    compute_market_views,
)
from node.units import FundingIndex, Lots, MarketId, Quote, Ticks
from tests.helpers.ledger import (
    MARKET,
    DictLedger,
    make_ledger,
    make_market,
    make_trader,
    order,
    set_chain_mode,
    set_funding_index,
    set_price,
    trader,
)


def traded_ledger() -> DictLedger:
    """Return a ledger where trader 2 bought 10 of the 30 lots that trader 1 offers at 101."""
    ledger = make_ledger()
    maker, taker = make_trader(ledger, 1, 10_000), make_trader(ledger, 2, 10_000)
    process_order(ledger, maker, order(-30, 101))
    process_order(ledger, taker, order(10, 101))
    return ledger


def test_a_market_view_has_prices_and_best_orders() -> None:
    ledger = traded_ledger()

    view = compute_market_view(ledger, MARKET)

    assert (view.mark, view.oracle) == (100, 100)
    assert (view.best_bid, view.best_ask) == (0, 101)
    assert view.open_interest == 10
    assert view.mode == Mode.OPEN
    assert not view.is_stale
    assert not view.is_jump
    assert view.oracle_time_ms == ledger.time_ms


def test_the_stricter_mode_is_shown_beside_the_markets_own() -> None:
    ledger = make_ledger()
    set_chain_mode(ledger, Mode.CANCEL_ONLY)

    view = compute_market_view(ledger, MARKET)

    assert view.mode == Mode.CANCEL_ONLY
    assert view.status.mode == Mode.OPEN


def test_all_markets_are_shown_by_id() -> None:
    ledger = make_ledger()
    second = make_market(ledger, price=0)

    first_view, second_view = compute_market_views(ledger)

    assert (first_view.market, second_view.market) == (MARKET, second)
    assert (second_view.mark, second_view.oracle_time_ms) == (0, 0)


def test_the_margins_shown_are_the_margins_enforced() -> None:
    ledger = traded_ledger()

    view = compute_account_view(ledger, trader(1))

    risk = compute_risk(ledger, trader(1))
    assert (view.equity, view.initial, view.maintenance) == risk[:3]
    assert view.initial > view.positions[0].maintenance > 0
    assert sum(position.initial for position in view.positions) == risk.initial


def test_a_position_is_valued_at_the_mark() -> None:
    ledger = traded_ledger()
    set_price(ledger, 103)

    (long,) = compute_account_view(ledger, trader(2)).positions
    (short,) = compute_account_view(ledger, trader(1)).positions

    assert (long.size, long.entry_value, long.value, long.unrealised_pnl) == (10, 1_010, 1_030, 20)
    assert (short.size, short.entry_value, short.value) == (-10, -1_010, -1_030)
    assert short.unrealised_pnl == -20


def test_pending_funding_is_floored() -> None:
    ledger = make_ledger()
    owner = make_trader(ledger, 1, 10_000)
    ledger.accounts.set(owner, Account(Quote(10_000), (MARKET,)))
    ledger.positions.set((owner, MARKET), Position(Lots(3), Quote(300), FundingIndex(0)))
    set_funding_index(ledger, 500_000_000)

    (position,) = compute_account_view(ledger, owner).positions

    assert position.pending_funding == -2  # 3 lots · -0.5 atoms, floor


def test_orders_and_triggers_are_shown_with_their_market() -> None:
    ledger = traded_ledger()
    request = TriggerRequest(MARKET, Lots(-10), Ticks(90), TriggerKind.STOP_LOSS)
    process_trigger_request(ledger, trader(2), request)

    maker, taker = (compute_account_view(ledger, trader(number)) for number in (1, 2))

    assert [(each.market, each.order.size) for each in maker.orders] == [(MARKET, -20)]
    assert [(each.market, each.trigger.trigger_price) for each in taker.triggers] == [(MARKET, 90)]


def test_a_market_with_orders_alone_has_no_position() -> None:
    ledger = make_ledger()
    owner = make_trader(ledger, 1, 10_000)
    process_order(ledger, owner, order(30, 90))

    view = compute_account_view(ledger, owner)

    assert list(view.positions) == []
    assert [each.order.size for each in view.orders] == [30]


def test_an_account_that_never_was_is_empty() -> None:
    view = compute_account_view(make_ledger(), trader(9))

    assert (view.balance, view.equity, view.initial, view.maintenance) == (0, 0, 0, 0)
    assert (view.positions, view.orders, view.triggers) == ((), (), ())


def test_a_book_view_adds_up_each_price_best_first() -> None:
    ledger = make_ledger()
    owner = make_trader(ledger, 1, 100_000)
    for size, price in ((5, 98), (7, 99), (1, 98), (-2, 102), (-4, 101), (2, 97)):
        process_order(ledger, owner, order(size, price))

    view = compute_book_view(ledger, MARKET, 2)

    assert view.bids == (Level(Ticks(99), Lots(7), 1), Level(Ticks(98), Lots(6), 2))
    assert view.asks == (Level(Ticks(101), Lots(4), 1), Level(Ticks(102), Lots(2), 1))


def test_there_is_no_view_of_an_unknown_market() -> None:
    with pytest.raises(MarketNotFound):
        compute_book_view(make_ledger(), MarketId(9), 5)
    with pytest.raises(MarketNotFound):
        compute_market_view(make_ledger(), MarketId(9))
