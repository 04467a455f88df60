"""What two executions did differently, each difference told once."""

import pytest

from node.audit.corrections import Corrections, FundingCorrection, PriceCorrection, Span
from node.audit.evidence import LEFT_OUT, TRANSACTION, Evidence, describe_event, owners_of
from node.audit.statement import audit
from node.perp.events import OrderCancelled, OrderFilled, PositionDeleveraged, PriceAccepted
from node.perp.order import CancelReason
from node.units import Address, FundingIndex, Height, Lots, MarketId, OrderId, Quote, Ticks
from tests.audit.incident import RIGHT, tell_incident
from tests.helpers.chain import BTC, USDC, Chain, Person, make_genesis

PRICE = 400_000
ONE, OTHER = Address(b"\x0a" * 20), Address(b"\x0b" * 20)


@pytest.fixture
def maker() -> Person:
    return Person("maker")


@pytest.fixture
def taker() -> Person:
    return Person("taker")


@pytest.fixture
def chain(maker: Person, taker: Person) -> Chain:
    made = Chain(make_genesis([maker, taker]))
    made.open_market(PRICE)
    return made


def find(chain: Chain, first: int, corrections: Corrections) -> list[Evidence]:
    """Return the evidence, without what accounts were left with."""
    found = audit(chain.blockchain, Height(first), chain.head, corrections)
    return [each for each in found.evidence if each.kind != "Account"]


def test_an_orders_number_is_no_difference(chain: Chain, maker: Person, taker: Person) -> None:
    passed = maker.order(-1, PRICE + 900)
    first = chain.seal(*chain.reports(PRICE), passed, maker.order(-10, PRICE + 1))
    chain.seal(*chain.reports(PRICE), taker.order(10, PRICE + 5, tif=1))

    corrections = Corrections(left_out=frozenset([passed.hash]))
    found = find(chain, first.header.number, corrections)

    assert [(each.tx_hash, each.kind, each.should) for each in found] == [
        (passed.hash, TRANSACTION, LEFT_OUT)
    ]


def test_an_index_that_stays_apart_is_told_once(chain: Chain) -> None:
    first = chain.head.header.number + 1
    for _ in range(4):
        chain.seal(*chain.reports(PRICE))
    index = FundingCorrection(
        Span(BTC, Height(first + 1), Height(first + 1)), FundingIndex(5), None
    )

    found = find(chain, first, Corrections(funding=(index,)))

    assert [(each.height, each.kind) for each in found] == [(first + 1, "FundingAccrued")]
    assert found[0].should.startswith("index_before 5, ")


def test_a_revert_for_other_numbers_is_no_difference(chain: Chain, taker: Person) -> None:
    deposit = taker.call("Exchange", "deposit", USDC)
    first = chain.seal(deposit)
    chain.seal(taker.call("Exchange", "withdraw", 10**12))
    assert chain.receipts[0].status == 0

    found = find(chain, first.header.number, Corrections(left_out=frozenset([deposit.hash])))

    assert {each.tx_hash for each in found} == {deposit.hash}


def test_what_happened_to_two_is_told_of_both(chain: Chain, maker: Person, taker: Person) -> None:
    chain.seal(*chain.reports(PRICE), maker.order(-10, PRICE + 1))
    order = taker.order(10, PRICE + 5, tif=1)
    block = chain.seal(*chain.reports(PRICE), order)

    found = find(chain, block.header.number, Corrections(left_out=frozenset([order.hash])))

    fills = [each for each in found if each.kind == "OrderFilled"]
    assert {each.account for each in fills} == {maker.address, taker.address}
    assert {(each.tx_hash, each.market, each.should) for each in fills} == {(order.hash, BTC, "")}


def test_whom_an_event_is_about() -> None:
    fill = OrderFilled(
        *(BTC, ONE, OTHER, OrderId(1), OrderId(2), Lots(3), Ticks(4)),
        *(Quote(0), Quote(0), False),
    )
    deleveraged = PositionDeleveraged(BTC, ONE, OTHER, Lots(5), Quote(6))

    assert owners_of(fill) == owners_of(deleveraged) == (ONE, OTHER)
    assert owners_of(PriceAccepted(BTC, Ticks(1), Ticks(2))) == ()


def test_codes_are_told_by_name() -> None:
    event = OrderCancelled(MarketId(1), ONE, OrderId(7), Lots(-3), CancelReason.FORK)

    text = describe_event(event._replace(reason=int(CancelReason.FORK)))  # type: ignore[arg-type]  # as a log says it

    assert text == f"account 0x{ONE.hex()}, order_id 7, size -3, reason FORK"


def test_what_should_have_happened_and_nothing_carried_names_no_transaction() -> None:
    incident = tell_incident()  # without interest: its last block holds reports alone
    height = incident.last.header.number
    price = PriceCorrection(Span(BTC, height, height), False, (height,), (Ticks(RIGHT + 10),))

    found = find(incident.chain, height, Corrections(prices=(price,)))

    assert len(incident.last.transactions) == 3
    assert [(each.kind, each.tx_hash, each.was) for each in found] == [("PriceAccepted", None, "")]
