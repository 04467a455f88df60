"""What a ledger keeps decoded beside a state is what the state holds."""

import gc

import pytest

import node.chain.derived as derived_module
from node.chain.native import load_native
from node.chain.tables import OverlayTable
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 600_000


def trade(chain: Chain, maker: Person, taker: Person) -> None:
    """Let positions open and close, orders rest and leave, and records come and go."""
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(-20, PRICE), maker.order(5, PRICE - 900))
    chain.seal(taker.order(15, PRICE, tif=1))
    chain.seal(taker.call("Exchange", "setDeadMansCancel", chain.time_ms + 60_000))
    chain.seal(maker.call("Exchange", "cancelAllOrders", BTC), maker.order(15, PRICE))
    chain.seal(taker.order(-15, PRICE, tif=1), taker.order(1, PRICE))


def test_recent_records_are_what_the_state_holds() -> None:
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    trade(chain, maker, taker)
    ledger = chain.blockchain.ledger_after(chain.head)
    absent = 0

    for index, table in enumerate(ledger._tables):
        newest: dict[object, object] = {}
        for records in reversed(ledger.derived.recent):
            newest.update(records[index])
        for key, record in newest.items():
            data = ledger.reader.get_record(table._place.address(key), table._place.key(key))
            assert record == (None if data is None else table._place.codec.decode(data))
            assert table.get(key) == record
            absent += record is None

    assert absent > 0  # absent ones are known as well
    natives = {
        each: native
        for rows in reversed(ledger.derived.recent)
        for each, native in rows[-1].items()
    }
    assert maker.address in natives
    for address, native in natives.items():
        assert native == ledger.derived.get_native(address) == load_native(ledger.reader, address)


def test_no_more_blocks_and_records_are_kept_than_said(monkeypatch: pytest.MonkeyPatch) -> None:
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    chain.open_market(PRICE)
    assert len(chain.blockchain.head.derived.recent) == 8

    monkeypatch.setattr(derived_module, "RECENT_RECORDS_MAX", 1)
    chain.seal()

    assert len(chain.blockchain.head.derived.recent) == 1


def test_another_state_has_no_recent_records() -> None:
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    trade(chain, maker, taker)
    earlier = chain.blockchain.block_at(chain.head.header.number - 3)  # type: ignore[arg-type]
    assert earlier is not None

    assert chain.blockchain.ledger_after(earlier).derived.recent == ()


def count_tables() -> int:
    return sum(isinstance(each, OverlayTable) for each in gc.get_objects())


def test_spent_ledger_is_freed_with_its_last_reference() -> None:
    """A ledger holds the state's snapshot: it must not wait for the collector of cycles."""
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    trade(chain, maker, taker)
    gc.collect()
    gc.disable()
    try:
        before = count_tables()
        ledger = chain.blockchain.ledger_after(chain.head)
        assert ledger.accounts.get(maker.address) is not None
        assert count_tables() > before
        del ledger
        assert count_tables() == before
    finally:
        gc.enable()


def test_ledger_of_a_block_with_refused_orders_is_freed_with_its_last_reference() -> None:
    """A refusal that was raised holds its frames, and they the ledger: nobody may keep both."""
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    trade(chain, maker, taker)
    gc.collect()
    gc.disable()
    try:
        before = count_tables()
        chain.seal(taker.order(10**9, PRICE - 9_000), maker.order(1, 1))
        assert [receipt.status for receipt in chain.receipts] == [0, 0]
        chain.seal()
        assert count_tables() == before
    finally:
        gc.enable()
