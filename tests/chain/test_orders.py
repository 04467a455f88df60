"""Orders over blocks of a whole chain: what must survive commits, restarts and reverts (O1, O6)."""

from node.chain.blockchain import Blockchain
from node.chain.deadlines import DeadlineTable, load_queue
from node.chain.store import BlockStore
from node.chain.tables import BlockTable
from node.chain.transaction import Transaction
from node.chain.transition import decode_transition
from node.perp.book import Journal
from node.perp.events import DeadlinePassed, OrderCancelled
from node.perp.expiry import Deadline
from node.perp.order import CancelReason, SelfTrade, TimeInForce
from node.system.contracts import contract
from node.units import Address, Height, OrderId, TimeMs
from tests.helpers.chain import BTC, Chain, Person, make_genesis
from tests.helpers.ledger import DictTable

PRICE = 400_000  # ticks of 0.1 USD


def cancels(chain: Chain) -> list[tuple[int, CancelReason]]:
    """Return the numbers and reasons of what the head block cancelled."""
    events = [decode_transition(each) for each in chain.head.transitions]
    return [(each.order_id, each.reason) for each in events if isinstance(each, OrderCancelled)]


def open_chain(*people: Person) -> Chain:
    chain = Chain(make_genesis(people))
    chain.open_market(PRICE)
    return chain


def timed(chain: Chain, person: Person, *, after_ms: int, client_id: int = 0) -> Transaction:
    request = (
        BTC,
        10,
        PRICE - 100,
        TimeInForce.GTT,
        False,
        chain.time_ms + after_ms,
        client_id,
        SelfTrade.CANCEL_MAKER,
    )
    return person.call("Exchange", "placeOrderWith", request)


def test_an_order_expires_in_the_first_block_of_its_time_o6() -> None:
    maker = Person("maker")
    chain = open_chain(maker)
    chain.seal(timed(chain, maker, after_ms=300))

    chain.seal()
    assert cancels(chain) == []
    chain.seal()

    assert cancels(chain) == [(1, CancelReason.EXPIRED)]
    assert len(chain.blockchain.ledger_after(chain.head).book(BTC).orders) == 0


def test_a_renewal_in_the_block_of_the_deadline_is_in_time_o6() -> None:
    maker = Person("maker")
    chain = open_chain(maker)
    arm = maker.call("Exchange", "setDeadMansCancel", chain.time_ms + 200)
    chain.seal(arm, maker.order(10, PRICE - 100))

    chain.seal(maker.call("Exchange", "setDeadMansCancel", chain.time_ms + 300))
    assert cancels(chain) == []
    chain.seal()
    assert cancels(chain) == []
    chain.seal()

    assert cancels(chain) == [(1, CancelReason.DEADLINE)]
    passed = [decode_transition(each) for each in chain.head.transitions]
    assert any(isinstance(event, DeadlinePassed) for event in passed)


def test_a_restart_forgets_neither_expiries_nor_deadlines_nor_links() -> None:
    maker, other = Person("maker"), Person("other")
    chain = open_chain(maker, other)
    pair = ((PRICE + 5_000, 0, 0), (PRICE - 5_000, 0, 0))
    request = (BTC, 10, PRICE - 100, TimeInForce.GTC, False, 0, 9, SelfTrade.CANCEL_MAKER)
    chain.seal(
        other.call("Exchange", "setDeadMansCancel", chain.time_ms + 300),
        maker.call("Exchange", "authorizeAgent", other.address, chain.time_ms + 10_000),
        maker.call("Exchange", "setLeverage", BTC, 250_000),
        timed(chain, maker, after_ms=200, client_id=7),
        maker.call("Exchange", "placeOrderWithPair", request, *pair),
        other.order(10, PRICE - 200),
    )

    chain.blockchain = Blockchain(chain.blockchain.genesis, chain.kv, BlockStore(chain.kv, None))
    ledger = chain.blockchain.ledger_after(chain.head)
    book = ledger.book(BTC)
    assert book.find_client(maker.address, 7) == 1
    assert [leg.parent for leg in book.children_of(OrderId(2))] == [2, 2]
    assert ledger.silent(TimeMs(chain.time_ms + 300)) == [other.address]
    chain.seal()
    assert cancels(chain) == [(1, CancelReason.EXPIRED)]
    chain.seal()
    assert cancels(chain) == [(5, CancelReason.DEADLINE)]
    cancel = maker.call("Exchange", "cancelByClientId", 9)
    chain.seal(cancel)

    assert [number for number, _ in cancels(chain)] == [2, 3, 4]
    assert chain.head.header.number > Height(0)


def test_a_failing_batch_action_leaves_the_block_as_if_it_never_was() -> None:
    maker = Person("maker")
    chain = open_chain(maker)
    place = contract("Exchange").functions["placeOrder"].encode_call
    good, bad = (place(BTC, size, PRICE - 100, TimeInForce.GTC, False) for size in (10, 0))

    chain.seal(maker.call("Exchange", "batch", [good, bad, good]))

    (receipt,) = chain.receipts
    assert receipt.status == 1
    assert len(receipt.logs) == 3  # two orders, and the batch
    assert len(chain.blockchain.ledger_after(chain.head).book(BTC).orders) == 2


# --- the tables beside the records ----------------------------------------------------------------

ONE, TWO, THREE = (Address(bytes([number]) * 20) for number in (1, 2, 3))


def at(time_ms: int) -> Deadline:
    return Deadline(TimeMs(time_ms))


def test_deadlines_stand_by_time_then_account_and_are_undone() -> None:
    journal: Journal = []
    records: DictTable[Address, Deadline] = DictTable(journal)
    table = DeadlineTable(records, load_queue(iter([(TWO, at(5))])), journal)
    records.rows[TWO] = at(5)
    table.set(THREE, at(4))
    table.set(ONE, at(5))
    assert table.silent(TimeMs(3)) == []
    assert table.silent(TimeMs(5)) == [THREE, ONE, TWO]
    checkpoint = len(journal)

    table.set(THREE, at(9))
    table.delete(ONE)
    table.delete(ONE)
    assert table.silent(TimeMs(9)) == [TWO, THREE]
    while len(journal) > checkpoint:
        undo, arguments = journal.pop()
        undo(*arguments)

    assert table.silent(TimeMs(9)) == [THREE, ONE, TWO]
    assert records.rows == {TWO: at(5), THREE: at(4), ONE: at(5)}


def test_what_only_a_block_knows_is_undone_too() -> None:
    journal: Journal = []
    table: BlockTable[Address, int] = BlockTable(journal)
    table.set(ONE, 1)
    table.set(ONE, 2)
    table.delete(ONE)
    table.delete(TWO)
    assert table.get(ONE) is None

    for expected in (2, 1, None):
        undo, arguments = journal.pop()
        undo(*arguments)
        assert table.get(ONE) == expected
    assert journal == []
