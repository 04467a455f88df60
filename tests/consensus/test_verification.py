"""Verifying a database: what is right passes untouched, each thing made wrong is named."""

from collections.abc import Callable

import pytest

from node.chain import keys
from node.chain.block import (
    Block,
    decode_block,
    decode_receipts,
    encode_block,
    encode_receipts,
    header_hash,
)
from node.chain.blockchain import Blockchain
from node.chain.certificate import proposal_bytes
from node.chain.fill_table import Bars, decode_bars
from node.chain.genesis import Genesis
from node.chain.store import BlockStore
from node.consensus.verification import Verified, verify_database
from node.crypto import ed25519_public_key, ed25519_sign
from node.encoding import codec_of
from node.errors import DatabaseMismatch, OperatorError
from node.perp.account import EXCHANGE
from node.state.kv import MemoryDb
from node.state.overlay import Overlay
from node.units import Address, Hash32, Height, Quote, Ticks, Wei
from tests.helpers.chain import BTC, GWEI, Chain, Person, make_genesis

MAKER, TAKER = Person("maker"), Person("taker")
SEED = b"s" * 32
WRONG = 4
"""The height of the block that is made wrong."""


@pytest.fixture(scope="module")
def genesis() -> Genesis:
    return make_genesis([MAKER, TAKER])._replace(sequencer=ed25519_public_key(SEED))


@pytest.fixture(scope="module")
def rows(genesis: Genesis) -> dict[bytes, bytes]:
    """Everything in the database of a chain that traded."""
    chain = Chain(genesis)
    for person in (MAKER, TAKER):
        person.nonce = 0
    chain.open_market(930_000)
    chain.seal(MAKER.order(-5_000, 930_000))
    chain.seal(TAKER.order(5_000, 930_000), TAKER.send(MAKER.address, value=1))
    chain.seal(*chain.reports(930_100))
    for height in range(1, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        chain.kv.write([(keys.proposal_row(block.hash), sign(chain.blockchain, block))])
    return dict(chain.kv.items(b""))


def sign(blockchain: Blockchain, block: Block) -> bytes:
    message = proposal_bytes(blockchain.identity_of(block), block.header.number, block.hash)
    return ed25519_sign(SEED, message)


@pytest.fixture
def database(rows: dict[bytes, bytes]) -> MemoryDb:
    return MemoryDb(dict(rows))


def load(database: MemoryDb, height: int) -> Block:
    """Return a canonical block as it is stored."""
    block_hash = database.get(keys.canonical_row(Height(height)))
    assert block_hash is not None
    data = database.get(keys.block_row(Hash32(block_hash)))
    assert data is not None
    return decode_block(data)


def traded(database: MemoryDb) -> Block:
    """Return the block that filled orders."""
    head = load_head(database)
    return load(database, head - 1)


def load_head(database: MemoryDb) -> int:
    head = database.get(keys.HEAD_ROW)
    assert head is not None
    data = database.get(keys.block_row(Hash32(head)))
    assert data is not None
    return decode_block(data).header.number


def refusal(genesis: Genesis, database: MemoryDb) -> DatabaseMismatch:
    with pytest.raises(DatabaseMismatch) as refused:
        verify_database(genesis, database)
    return refused.value


def test_a_chain_that_is_right_passes_and_nothing_is_written(
    genesis: Genesis, database: MemoryDb, rows: dict[bytes, bytes]
) -> None:
    seen: list[tuple[int, int]] = []

    found = verify_database(
        genesis, database, sweep_every=10, on_progress=lambda *each: seen.append(each)
    )

    last = load_head(database)
    assert (found.first, found.last, found.signatures) == (1, last, last)
    assert found.transactions > 90
    assert found.transitions > 2
    assert found.sweeps == 2 + last // 10
    assert found.records > 10
    assert seen == [(height, last) for height in range(last + 1)]
    assert dict(database.items(b"")) == rows


def test_it_may_begin_anywhere(genesis: Genesis, database: MemoryDb) -> None:
    last = load_head(database)
    whole: Verified = verify_database(genesis, database)

    part = verify_database(genesis, database, from_height=Height(last))

    assert (part.first, part.last, part.signatures) == (last, last, 1)
    assert part.state_root == whole.state_root


@pytest.mark.parametrize("height", [0, 1_000])
def test_a_height_that_is_not_there_is_refused(
    genesis: Genesis, database: MemoryDb, height: int
) -> None:
    with pytest.raises(OperatorError, match=f"--from {height}: the chain has blocks 1 to"):
        verify_database(genesis, database, from_height=Height(height))


def test_an_empty_database_is_refused(genesis: Genesis) -> None:
    with pytest.raises(OperatorError, match="holds no chain"):
        verify_database(genesis, MemoryDb())


def replace_block(database: MemoryDb, block: Block, **changes: object) -> None:
    """Store a block altered, under the name it had."""
    database.write([(keys.block_row(block.hash), encode_block(block._replace(**changes)))])  # type: ignore[arg-type]


def lose_a_place(database: MemoryDb) -> str:
    database.write([], [keys.transaction_row(traded(database).transactions[0].hash)])
    return "transactions[0].place"


def alter_a_sender(database: MemoryDb) -> str:
    block = traded(database)
    stranger = block.transactions[0]._replace(sender=Address(b"\x99" * 20))
    replace_block(database, block, transactions=(stranger, *block.transactions[1:]))
    return "transactions[0].sender"


def drop_a_transition(database: MemoryDb) -> str:
    block = traded(database)
    replace_block(database, block, transitions=block.transitions[:-1])
    return "market 1, OrderFilled"


def drop_a_transaction(database: MemoryDb) -> str:
    block = traded(database)
    replace_block(database, block, transactions=block.transactions[:-1])
    return "transactions_root"


def alter_a_header(database: MemoryDb) -> str:
    block = traded(database)
    replace_block(database, block, header=block.header._replace(gas_used=1))
    return "canonical row"


def alter_a_receipt(database: MemoryDb) -> str:
    block = traded(database)
    row = keys.receipts_row(block.hash)
    data = database.get(row)
    assert data is not None
    first, *others = decode_receipts(data)
    price = Wei(first.effective_gas_price + GWEI)
    altered = encode_receipts([first._replace(effective_gas_price=price), *others])
    database.write([(row, altered)])
    return "receipts[0].effective_gas_price"


def lose_a_bloom(database: MemoryDb) -> str:
    database.write([], [keys.bloom_row(traded(database).header.number)])
    return "bloom row"


def lose_a_signature(database: MemoryDb) -> str:
    database.write([], [keys.proposal_row(traded(database).hash)])
    return "proposal signature"


@pytest.mark.parametrize(
    "alter",
    [
        lose_a_place,
        alter_a_sender,
        drop_a_transition,
        drop_a_transaction,
        alter_a_header,
        alter_a_receipt,
        lose_a_bloom,
        lose_a_signature,
    ],
)
def test_what_is_wrong_with_a_block_is_named(
    genesis: Genesis, database: MemoryDb, alter: Callable[[MemoryDb], str]
) -> None:
    height = traded(database).header.number
    field = alter(database)

    difference = refusal(genesis, database)

    assert (difference.height, difference.field) == (height, field)
    assert str(difference) == (
        f"block {height}, {field}: was {difference.was}, recomputed {difference.recomputed}"
    )


def test_a_missing_block_is_named(genesis: Genesis, database: MemoryDb) -> None:
    block_hash = load(database, WRONG).hash
    database.write([], [keys.block_row(block_hash)])

    difference = refusal(genesis, database)

    assert (difference.height, difference.field) == (WRONG, "canonical row")


def test_a_wrong_row_of_the_flat_table_is_named(genesis: Genesis, database: MemoryDb) -> None:
    place = keys.ACCOUNTS
    row = keys.STATE_TABLES.flat + EXCHANGE + place.key(MAKER.address)
    data = database.get(row)
    assert data is not None
    account = place.codec.decode(data)
    wrong = account._replace(balance=Quote(account.balance + 7))
    database.write([(row, place.codec.encode(wrong))])

    difference = refusal(genesis, database)

    assert difference.field == f"flat table, account 0x{MAKER.address.hex()}, Account.balance"
    assert (int(difference.was), int(difference.recomputed)) == (wrong.balance, account.balance)


def test_a_wrong_candle_is_named(genesis: Genesis, database: MemoryDb) -> None:
    ((row, bars),) = database.items(keys.FILLS)
    newest = decode_bars(bars)
    candles = tuple(each._replace(high=Ticks(each.high + 1)) for each in newest.candles)
    wrong = codec_of(Bars).encode(newest._replace(candles=candles))
    database.write([(row, wrong)])

    with pytest.raises(DatabaseMismatch, match="candles") as mismatch:
        verify_database(genesis, database)

    assert f"block {newest.height}" in str(mismatch.value)


def test_a_block_made_from_a_wrong_number_is_told_as_a_dispute_would(genesis: Genesis) -> None:
    """The sequencer's own cache was wrong, as Paradex's: its blocks agree with each other."""
    chain = Chain(genesis)
    chain.open_market(930_000)
    place = keys.ORACLES
    row = keys.STATE_TABLES.flat + place.address(BTC) + place.key(BTC)
    data = chain.kv.get(row)
    assert data is not None
    oracle = place.codec.decode(data)
    chain.kv.write([(row, place.codec.encode(oracle._replace(price=Ticks(930_050))))])
    chain.blockchain.refresh_head()
    wrong = chain.seal(*chain.reports(930_200))
    chain.seal(*chain.reports(930_300))
    for height in range(1, chain.head.header.number + 1):
        block = chain.blockchain.block_at(Height(height))
        assert block is not None
        chain.kv.write([(keys.proposal_row(block.hash), sign(chain.blockchain, block))])

    with pytest.raises(DatabaseMismatch) as refused:
        verify_database(genesis, chain.kv)

    assert str(refused.value) == (
        f"block {wrong.header.number}, market 1, PriceAccepted.price: was 930050, recomputed 930000"
    )


def test_another_genesis_is_refused(genesis: Genesis, database: MemoryDb) -> None:
    other = genesis._replace(chain_id=1)

    with pytest.raises(OperatorError, match="belongs to genesis"):
        verify_database(other, database)


def test_every_header_names_its_own_hash(database: MemoryDb) -> None:
    for height in range(load_head(database) + 1):
        block = load(database, height)
        assert header_hash(block.header) == block.hash


# --- the throw-away layer -----------------------------------------------------------------------


def test_an_overlay_reads_through_and_writes_nothing() -> None:
    base = MemoryDb({b"a1": b"1", b"a2": b"2", b"b": b"3"})
    overlay = Overlay(base)

    overlay.write([(b"a0", b"0"), (b"a2", b"two")], [b"a1"])
    snapshot = overlay.snapshot()
    overlay.write([(b"a3", b"3")])

    assert list(overlay.items(b"a")) == [(b"a0", b"0"), (b"a2", b"two"), (b"a3", b"3")]
    assert list(snapshot.items(b"a")) == [(b"a0", b"0"), (b"a2", b"two")]
    assert [overlay.get(key) for key in (b"a1", b"a2", b"b", b"c")] == [None, b"two", b"3", None]
    assert dict(base.items(b"")) == {b"a1": b"1", b"a2": b"2", b"b": b"3"}


def test_an_overlay_reads_a_whole_chain(genesis: Genesis, database: MemoryDb) -> None:
    overlay = Overlay(database)

    chain = Blockchain(genesis, overlay, BlockStore(overlay, None))

    assert chain.head.block.header.number == load_head(database)
