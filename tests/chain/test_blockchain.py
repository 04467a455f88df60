"""Blocks made, imported, reopened and refused."""

from pathlib import Path
from typing import Any

import pytest

from node.chain import keys
from node.chain.block import Block, decode_wire_block, encode_wire_block
from node.chain.blockchain import Blockchain
from node.chain.store import BlockStore
from node.errors import ForeignDatabase, InvalidBlock, StaleDatabase, TransitionMismatch
from node.state.kv import LevelDb, MemoryDb
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 400_000


def trade(chain: Chain, maker: Person, taker: Person) -> list[Block]:
    """Open the market and trade; return every block."""
    blocks = [chain.seal(*chain.reports(PRICE)) for _ in range(30)]
    blocks.append(chain.seal(*chain.reports(PRICE + 10), maker.order(-10, PRICE + 1)))
    blocks.append(
        chain.seal(
            *chain.reports(PRICE + 20),
            taker.order(10, PRICE + 5, tif=1),
            taker.call("Exchange", "placeTrigger", BTC, -10, PRICE - 1_000, 0),
        )
    )
    blocks.append(chain.seal(*chain.reports(PRICE + 30), maker.order(-5, PRICE + 90)))
    return blocks


@pytest.fixture
def people() -> tuple[Person, Person]:
    return Person("maker"), Person("taker")


def test_import_recomputes_the_same_blocks(people: tuple[Person, Person]) -> None:
    genesis = make_genesis(people)
    blocks = trade(Chain(genesis), *people)
    other = Chain(genesis)

    for block in blocks:
        other.blockchain.import_block(decode_wire_block(encode_wire_block(block)))

    assert other.head.hash == blocks[-1].hash


def test_altered_transition_is_named(people: tuple[Person, Person]) -> None:
    genesis = make_genesis(people)
    blocks = trade(Chain(genesis), *people)
    other = Chain(genesis)
    for block in blocks[:-1]:
        other.blockchain.import_block(block)
    lie = blocks[-1]._replace(transitions=(blocks[0].transitions[0], *blocks[-1].transitions[1:]))

    with pytest.raises(TransitionMismatch, match=r"transitions\[0\]"):
        other.blockchain.import_block(lie)

    other.blockchain.import_block(blocks[-1])
    assert other.head.hash == blocks[-1].hash


@pytest.mark.parametrize("field", ["state_root", "gas_used", "timestamp", "parent_hash", "number"])
def test_altered_header_field_is_named(people: tuple[Person, Person], field: str) -> None:
    genesis = make_genesis(people)
    block = Chain(genesis).seal()
    value = getattr(block.header, field)
    wrong: Any = bytes(32) if isinstance(value, bytes) else value + 1
    lie = block._replace(header=block.header._replace(**{field: wrong}))

    with pytest.raises(InvalidBlock, match=field):
        Chain(genesis).blockchain.import_block(lie)


def test_reopened_database_goes_on_as_if_it_had_not_stopped(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    genesis = make_genesis(people)
    maker, taker = people
    database = LevelDb(tmp_path / "db")
    chain = Chain(genesis, database, tmp_path / "HEAD")
    twin = Chain(genesis)
    for block in trade(chain, maker, taker):
        twin.blockchain.import_block(block)
    database.close()

    database = LevelDb(tmp_path / "db")
    reopened = Chain(genesis, database, tmp_path / "HEAD")
    order = taker.order(-5, PRICE - 500)
    reopened.time_ms = twin.time_ms = chain.time_ms

    assert reopened.seal(order).hash == twin.seal(order).hash
    database.close()


def test_books_loaded_from_records_equal_those_handed_on(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    database = LevelDb(tmp_path / "db")
    chain = Chain(make_genesis(people), database)
    trade(chain, *people)
    handed_on = chain.blockchain.head.derived
    database.close()

    database = LevelDb(tmp_path / "db")
    loaded = Chain(make_genesis(people), database).blockchain.head.derived

    assert dict(loaded.book(BTC).orders) == dict(handed_on.book(BTC).orders)
    assert dict(loaded.book(BTC).triggers) == dict(handed_on.book(BTC).triggers)
    assert loaded.standing().holders == handed_on.standing().holders
    assert loaded.standing().debtors == handed_on.standing().debtors
    database.close()


def test_flat_table_of_another_root_is_not_trusted(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    database = LevelDb(tmp_path / "db")
    chain = Chain(make_genesis(people), database)
    blocks = trade(chain, *people)
    maker = people[0]
    balance = chain.balance(maker.address)
    chain.blockchain.states.move_flat(blocks[3].header.state_root)
    database.close()

    database = LevelDb(tmp_path / "db")
    reopened = Chain(make_genesis(people), database)

    assert reopened.blockchain.head.state.root == blocks[-1].header.state_root
    assert reopened.balance(maker.address) == balance
    database.close()


def test_database_of_another_genesis_is_refused_untouched(people: tuple[Person, Person]) -> None:
    kv = MemoryDb()
    Chain(make_genesis(people), kv)
    before = dict(kv.items(b""))

    with pytest.raises(ForeignDatabase, match="belongs to genesis"):
        Chain(make_genesis(people, margin=1), kv)

    assert dict(kv.items(b"")) == before


def test_newer_format_is_refused_untouched(people: tuple[Person, Person]) -> None:
    kv = MemoryDb()
    Chain(make_genesis(people), kv)
    kv.write([(keys.FORMAT_ROW, b"2")], [])
    before = dict(kv.items(b""))

    with pytest.raises(ForeignDatabase, match="has format 2"):
        Chain(make_genesis(people), kv)

    assert dict(kv.items(b"")) == before


def test_the_side_file_is_written_over_with_each_head(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    genesis = make_genesis(people)
    path, kv = tmp_path / "HEAD", MemoryDb()
    chain = Chain(genesis, kv, path)
    path.write_text(f"0 0x{chain.head.hash.hex()}\n")  # as an older perpnode wrote it
    before = path.stat().st_ino

    chain.seal()

    assert path.stat().st_ino == before
    assert path.read_text().split() == ["1", f"0x{chain.head.hash.hex()}"]
    assert Chain(genesis, kv, path).head == chain.head


def test_database_older_than_its_side_file_is_refused(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    genesis = make_genesis(people)
    Chain(genesis, MemoryDb(), tmp_path / "HEAD").seal()

    with pytest.raises(StaleDatabase, match="lost"):
        Chain(genesis, MemoryDb(), tmp_path / "HEAD")


def test_database_newer_than_its_side_file_serves(
    tmp_path: Path, people: tuple[Person, Person]
) -> None:
    kv = MemoryDb()
    genesis = make_genesis(people)
    chain = Chain(genesis, kv, tmp_path / "HEAD")
    kept = (tmp_path / "HEAD").read_text()
    chain.seal()
    (tmp_path / "HEAD").write_text(kept)

    assert Blockchain(genesis, kv, BlockStore(kv, tmp_path / "HEAD")).head.block == chain.head


def test_history_answers_at_every_block(people: tuple[Person, Person]) -> None:
    chain = Chain(make_genesis(people))
    maker, taker = people
    blocks = trade(chain, maker, taker)

    old = chain.blockchain.ledger_after(blocks[-3])

    assert [order.price for order in old.book(BTC).orders.values()] == [PRICE + 1]
    assert old.positions.get((taker.address, BTC)) is None
    now = chain.blockchain.ledger_after(blocks[-1])
    position = now.positions.get((taker.address, BTC))
    assert position is not None
    assert position.size == 10
