"""What liquidations compare is the shown risk, the doubt apart (L1, F4)."""

import pytest

from node.perp.health import Health, compute_health, get_sights
from node.perp.margin import compute_risk
from node.perp.trading import process_order
from node.units import Quote
from tests.helpers.ledger import (
    MARKET,
    make_ledger,
    make_market,
    make_trader,
    order,
    set_funding_index,
    trader,
)

LONG, SHORT = trader(1), trader(2)


@pytest.mark.parametrize("index", [0, 7 * 10**9, -(10**10) - 1])
def test_health_is_the_shown_risk_pending_funding_included_f4(index: int) -> None:
    # MARKET has an order of LONG alone; 30 lots are held in the other.
    ledger = make_ledger(price=100)
    second = make_market(ledger, price=100)
    for number in (1, 2):
        make_trader(ledger, number, 10_000)
    process_order(ledger, LONG, order(1, 90))
    process_order(ledger, SHORT, order(-30, 100, market=second))
    process_order(ledger, LONG, order(30, 100, market=second))
    set_funding_index(ledger, index, market=second)

    for owner, size in ((LONG, 30), (SHORT, -30)):
        health = compute_health(ledger, owner, get_sights(ledger))

        risk = compute_risk(ledger, owner)
        assert health == Health(risk.equity, risk.maintenance)
        assert health == Health(Quote(10_000 + -index * size // 10**9), Quote(150))
    assert MARKET in ledger.accounts.rows[LONG].markets


def test_market_waits_without_a_mark_and_not_at_the_lowest_l1() -> None:
    for price, is_waiting in ((0, True), (1, False)):
        assert get_sights(make_ledger(price=price))[MARKET].is_waiting is is_waiting
