"""A state out of one chain and into another: whole, executed again, and never against a rule."""

import gzip
import json
from collections.abc import Callable
from typing import Any

import pytest

from node.chain.block import decode_wire_block, encode_wire_block
from node.chain.development import AddBalance, LoadState, SetNonce
from node.chain.genesis import Genesis
from node.chain.loading import CONTENT_MAX, dump_state, parse_dump
from node.consensus.verification import verify_database
from node.errors import BodyMismatch, OperationRefused
from node.perp.account import EXCHANGE
from node.units import Address, TimeMs, Wei
from tests.helpers.chain import BTC, Chain, Person, make_genesis

PRICE = 400_000
OTHER = Address(b"\x99" * 20)


def traded(genesis: Genesis, maker: Person, taker: Person) -> Chain:
    """Return a chain with an open market, positions and resting orders."""
    chain = Chain(genesis)
    chain.open_market(PRICE)
    chain.seal(*chain.reports(PRICE), maker.order(-10, PRICE + 1), maker.order(5, PRICE - 9))
    chain.seal(*chain.reports(PRICE), taker.order(4, PRICE + 5, tif=1))
    operate(chain, AddBalance(OTHER, Wei(5)))
    return chain


def operate(chain: Chain, operation: Any, elapsed_ms: int = 100) -> None:
    chain.time_ms = TimeMs(chain.time_ms + elapsed_ms)
    made = chain.blockchain.execute([], chain.time_ms, None, [], [operation])
    chain.blockchain.commit(made)


def load(chain: Chain, content: bytes) -> None:
    chain.time_ms = TimeMs(max(chain.time_ms, parse_dump(content).time_ms))
    operate(chain, LoadState(content))


def people_s_own(chain: Chain) -> dict[str, Any]:
    """Return what people have on a chain: balances, positions, orders, triggers, tokens."""
    document = json.loads(gzip.decompress(chain.blockchain.dump_head()))
    exchange = document["accounts"][EXCHANGE.hex()]["records"]
    balances = {name: each["balance"] for name, each in document["accounts"].items()}
    ledger = chain.blockchain.ledger_after(chain.head)
    book = ledger.book(BTC)
    return {
        "margin": {key: row for key, row in exchange.items() if key[:2] in ("01", "02")},
        "native": {name: each for name, each in balances.items() if each != "0"},
        "orders": dict(book.orders),
        "best": (book.best_bid(), book.best_ask()),
        "mode": ledger.statuses.get(BTC),
    }


def altered(content: bytes, alter: Callable[[dict[str, Any]], object]) -> bytes:
    document = json.loads(gzip.decompress(content))
    alter(document)
    return gzip.compress(json.dumps(document).encode())


@pytest.fixture
def maker() -> Person:
    return Person("maker")


@pytest.fixture
def taker() -> Person:
    return Person("taker")


@pytest.fixture
def genesis(maker: Person, taker: Person) -> Genesis:
    return make_genesis([maker, taker])


@pytest.fixture
def origin(genesis: Genesis, maker: Person, taker: Person) -> Chain:
    return traded(genesis, maker, taker)


def test_a_fresh_chain_goes_on_with_a_loaded_state(
    origin: Chain, genesis: Genesis, maker: Person
) -> None:
    chain, other = Chain(genesis), Chain(genesis)
    chain.seal()
    other.blockchain.import_block(chain.head)

    load(chain, origin.blockchain.dump_head())
    chain.reporters = origin.reporters
    chain.seal(*chain.reports(PRICE), maker.call("Exchange", "cancelAllOrders", BTC))

    assert chain.receipts[-1].status == 1
    assert not chain.blockchain.ledger_after(chain.head).book(BTC).orders
    for height in (2, 3):
        block = chain.blockchain.block_at(height)  # type: ignore[arg-type]  # a height
        assert block is not None
        other.blockchain.import_block(decode_wire_block(encode_wire_block(block)))
    assert other.head.hash == chain.head.hash
    assert verify_database(genesis, chain.kv).last == 3


def test_people_have_what_they_had_and_what_came_between_is_gone(
    origin: Chain, maker: Person
) -> None:
    content, before = origin.blockchain.dump_head(), people_s_own(origin)
    origin.seal(maker.call("Exchange", "cancelAllOrders", BTC))
    operate(origin, AddBalance(Address(b"\x88" * 20), Wei(7)))
    assert people_s_own(origin) != before

    load(origin, content)

    after = people_s_own(origin)
    assert after == before
    assert origin.blockchain.development().native_minted == 5


def test_no_nonce_goes_back_and_the_branch_stays(origin: Chain, maker: Person) -> None:
    content = origin.blockchain.dump_head()
    operate(origin, SetNonce(maker.address, 500))

    load(origin, content)

    ledger = origin.blockchain.ledger_after(origin.head)
    assert ledger.get_nonce(maker.address) == 500
    assert ledger.status.since_height <= origin.head.header.number


def test_what_is_in_memory_is_what_the_trie_says(origin: Chain, genesis: Genesis) -> None:
    chain = Chain(genesis)
    load(chain, origin.blockchain.dump_head())

    again = Chain(genesis, chain.kv)

    assert people_s_own(again) == people_s_own(chain)


def test_a_state_of_another_genesis_is_refused(origin: Chain, genesis: Genesis) -> None:
    other = Chain(genesis._replace(time_ms=TimeMs(genesis.time_ms + 1)))

    with pytest.raises(BodyMismatch, match="the state is of genesis"):
        load(other, origin.blockchain.dump_head())


def test_a_state_from_the_future_is_refused(origin: Chain, genesis: Genesis) -> None:
    chain = Chain(genesis)

    with pytest.raises(BodyMismatch, match="its time is"):
        operate(chain, LoadState(origin.blockchain.dump_head()))


def test_money_from_nowhere_is_refused(origin: Chain, maker: Person) -> None:
    content = origin.blockchain.dump_head()
    richer = altered(
        content, lambda found: found["accounts"][maker.address.hex()].update(balance="1")
    )
    robbed = altered(content, lambda found: found["accounts"][EXCHANGE.hex()]["records"].popitem())
    before = origin.head

    with pytest.raises(BodyMismatch, match="sum of native balances"):
        load(origin, richer)
    with pytest.raises(BodyMismatch):
        load(origin, robbed)

    assert origin.head == before
    origin.seal()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        gzip.compress(b"[]"),
        gzip.compress(b'{"format":1}'),
        gzip.compress(b'{"format":2,"genesis":"00","block":{"timeMs":1},"accounts":{}}'),
        gzip.compress(b'{"format":1,"genesis":"00","block":{"timeMs":-1},"accounts":{}}'),
        gzip.compress(b'{"format":1,"genesis":"00","block":{"timeMs":1},"accounts":{"00":{}}}'),
        gzip.compress(b"{}") + b"more",
        bytes(CONTENT_MAX + 1),
    ],
    ids=range(9),
)
def test_what_is_no_dump_is_refused(content: bytes) -> None:
    with pytest.raises(OperationRefused, match="no state of anvil_dumpState"):
        parse_dump(content)


def test_a_chain_that_is_not_for_development_reads_no_dump(genesis: Genesis) -> None:
    strict = Chain(genesis._replace(dev=False))

    with pytest.raises(BodyMismatch, match="none on this chain"):
        operate(strict, LoadState(b"no dump at all"))


def test_a_dump_is_the_same_bytes_again(origin: Chain) -> None:
    chain, head = origin.blockchain, origin.blockchain.head
    trie = chain.proof_state(head.block)

    assert dump_state(trie, head.block, chain.genesis_hash) == chain.dump_head()
