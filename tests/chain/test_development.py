"""Development operations in blocks: executed by whoever receives one, counted, and taken back."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.block import decode_wire_block, encode_wire_block
from node.chain.blockchain import development_of
from node.chain.development import (
    KINDS,
    TAG,
    AddBalance,
    BeginEpoch,
    Call,
    Operation,
    RepeatPrices,
    SetBalance,
    SetNonce,
    SetTimeOffset,
    SetTokens,
    as_meant,
    decode_operation,
    encode_operation,
)
from node.chain.genesis import Genesis
from node.chain.keys import revert_row
from node.chain.ledger import StateLedger
from node.chain.system_transaction import SYSTEM_ACCOUNT, build_system_transaction
from node.consensus.verification import verify_database
from node.encoding import codec_of
from node.errors import BodyMismatch, EncodingError, InvariantViolation
from node.perp.account import EXCHANGE
from node.state.kv import LevelDb, MemoryDb
from node.system.contracts import contract
from node.system.token import TokenBalance
from node.units import Address, Quote, TimeMs, Wei
from tests.helpers.chain import BTC, COIN, Chain, Person, make_genesis

ROOT = Path(__file__).parents[2]
PRICE = 400_000
OTHER = Address(b"\x99" * 20)


def operate(chain: Chain, *operations: Operation) -> None:
    """Seal a block of these operations."""
    chain.time_ms = TimeMs(chain.time_ms + 100)
    made = chain.blockchain.execute([], chain.time_ms, None, [], operations)
    chain.blockchain.commit(made)


def native(chain: Chain, address: Address) -> int:
    leaf = chain.blockchain.head.state.get_account(address)
    return 0 if leaf is None else leaf.balance


def revert(chain: Chain, height: int, dev_epoch: int) -> None:
    block = chain.blockchain.block_at(height)  # type: ignore[arg-type]  # a height
    assert block is not None
    chain.blockchain.revert_to(block, dev_epoch, offset_ms=0)
    chain.time_ms = block.extension.time_ms


@pytest.fixture
def maker() -> Person:
    return Person("maker")


@pytest.fixture
def genesis(maker: Person) -> Genesis:
    return make_genesis([maker])


@pytest.fixture
def chain(genesis: Genesis) -> Chain:
    return Chain(genesis)


# --- bytes ----------------------------------------------------------------------------------------


@given(st.binary(max_size=60))
def test_an_operation_has_one_form(data: bytes) -> None:
    for kind in range(11):
        encoded = TAG + bytes([kind]) + data
        try:
            assert encode_operation(decode_operation(encoded)) == encoded
        except EncodingError:
            continue


def test_every_kind_has_a_code_of_its_own() -> None:
    assert sorted(KINDS.values()) == list(range(1, len(KINDS) + 1))
    assert all(codec_of(kind) for kind in KINDS)


def test_a_call_reads_as_its_sender_s_own(maker: Person) -> None:
    call = Call(maker.address, 7, OTHER, Wei(3), b"data")
    tx = build_system_transaction(1, 0, encode_operation(call))

    meant = as_meant(tx)

    assert (meant.sender, meant.nonce, meant.to, meant.value, meant.data) == tuple(call)
    assert meant.hash == tx.hash
    assert as_meant(maker.send(OTHER)) == maker.send(OTHER, nonce=0)


# --- what they do ---------------------------------------------------------------------------------


def test_whoever_receives_the_block_finds_the_same(genesis: Genesis, maker: Person) -> None:
    chain, other = Chain(genesis), Chain(genesis)
    order = contract("Exchange").functions["deposit"].encode_call(5)
    for operations in (
        [SetBalance(OTHER, Wei(COIN)), SetTimeOffset(3_600_000)],
        [Call(maker.address, 0, EXCHANGE, Wei(0), order)],
        [SetNonce(OTHER, 9), Call(maker.address, 1, OTHER, Wei(COIN), b"")],
        [SetTokens(OTHER, Quote(70)), RepeatPrices(TimeMs(1)), BeginEpoch(4)],
    ):
        operate(chain, *operations)
        other.blockchain.import_block(decode_wire_block(encode_wire_block(chain.head)))

        assert development_of(chain.head) == operations
        assert other.head.hash == chain.head.hash

    assert native(chain, OTHER) == 2 * COIN
    assert chain.blockchain.development().native_minted == COIN
    assert chain.blockchain.development().time_offset_ms == 3_600_000
    assert chain.head.extension.dev_epoch == 4


def test_a_chain_that_is_not_for_development_refuses_them(genesis: Genesis) -> None:
    chain, strict = Chain(genesis), Chain(genesis._replace(dev=False))
    operate(chain, SetBalance(OTHER, Wei(1)))

    with pytest.raises(BodyMismatch, match=r"1 development operations, expected none"):
        operate(strict, SetBalance(OTHER, Wei(1)))
    lie = chain.head._replace(
        header=chain.head.header._replace(parent_hash=strict.head.hash),
    )
    with pytest.raises(BodyMismatch, match="none on this chain"):
        strict.blockchain.recompute(lie, None)


@pytest.mark.parametrize(
    "operation",
    [
        SetBalance(OTHER, Wei(-1)),
        AddBalance(OTHER, Wei(2**255)),
        SetNonce(OTHER, 2**32),
        SetNonce(SYSTEM_ACCOUNT, 50),
        SetTokens(EXCHANGE, Quote(5)),
        SetTokens(OTHER, Quote(2**63 - 1)),
        BeginEpoch(0),
        Call(OTHER, 1, OTHER, Wei(0), b""),
        Call(OTHER, 0, OTHER, Wei(1), b""),
        Call(SYSTEM_ACCOUNT, 0, OTHER, Wei(0), b""),
    ],
    ids=repr,
)
def test_what_can_t_be_done_makes_no_block(chain: Chain, operation: Operation) -> None:
    before = chain.head

    with pytest.raises(BodyMismatch):
        operate(chain, operation)

    assert chain.head == before
    operate(chain, SetBalance(OTHER, Wei(1)))


def test_native_coin_that_nobody_counted_breaks_an_invariant(chain: Chain, maker: Person) -> None:
    def conjure(ledger: StateLedger) -> None:
        mine = ledger.get_native(maker.address)
        ledger.set_native(maker.address, mine._replace(balance=Wei(mine.balance + 1)))

    chain.blockchain.before_apply = conjure

    with pytest.raises(InvariantViolation, match="change of native balances") as violation:
        chain.seal()

    assert (violation.value.rule, violation.value.value, violation.value.expected) == ("I9", 1, 0)


def test_tokens_can_t_be_made_by_writing_a_balance(chain: Chain, maker: Person) -> None:
    chain.blockchain.before_apply = lambda ledger: ledger.token_balances.set(
        maker.address, TokenBalance(Quote(1))
    )

    with pytest.raises(InvariantViolation, match="change of token balances"):
        operate(chain, SetTokens(OTHER, Quote(7)))


def test_a_call_has_the_place_of_its_class(genesis: Genesis) -> None:
    maker, taker = Person("maker"), Person("taker")
    chain = Chain(make_genesis([maker, taker]))
    chain.open_market(PRICE)
    order = taker.order(-10, PRICE + 1)
    chain.seal(*chain.reports(PRICE), maker.order(-10, PRICE + 1))
    chain.time_ms = TimeMs(chain.time_ms + 100)
    market = contract("Exchange").functions["placeMarketOrder"].encode_call(BTC, 10, False)
    call = Call(taker.address, 0, EXCHANGE, Wei(0), market)

    cancel = maker.call("Exchange", "cancelAllOrders", BTC)
    made = chain.blockchain.execute([cancel], chain.time_ms, None, [], [call])

    assert order.sender == taker.address
    statuses = {
        tx.data: receipt.status
        for tx, receipt in zip(made.block.transactions, made.receipts, strict=True)
    }
    assert statuses[cancel.data] == 1
    assert statuses[encode_operation(call)] == 0, "the maker was gone first (O6)"


# --- reverts --------------------------------------------------------------------------------------


def test_a_revert_leaves_the_state_blocks_and_index_of_its_block(chain: Chain) -> None:
    operate(chain, SetBalance(OTHER, Wei(1)))
    kept = chain.head
    operate(chain, SetBalance(OTHER, Wei(2)))
    left = chain.head

    revert(chain, 1, 1)

    store = chain.blockchain.store
    assert chain.head == kept
    assert native(chain, OTHER) == 1
    assert store.load_canonical(left.header.number) is None
    assert store.load_place(left.transactions[0].hash) is None
    assert store.load_place(kept.transactions[0].hash) is not None
    assert store.load_block(left.hash) == left
    assert chain.blockchain.next_epoch() == 1


def test_reverts_that_a_later_one_undid_are_forgotten(chain: Chain) -> None:
    for _ in range(4):
        chain.seal()
    revert(chain, 3, 1)
    revert(chain, 1, 2)
    operate(chain, BeginEpoch(2))
    revert(chain, 2, 3)

    assert [(each.dev_epoch, each.height) for each in chain.blockchain.reverts] == [(2, 1), (3, 2)]


def test_a_database_goes_on_from_where_it_was_reverted(tmp_path: Path, genesis: Genesis) -> None:
    head_file = tmp_path / "HEAD"
    database = LevelDb(tmp_path / "db")
    chain = Chain(genesis, database, head_file)
    for balance in (1, 2, 3):
        operate(chain, SetBalance(OTHER, Wei(balance)))
    revert(chain, 1, 1)
    database.close()

    database = LevelDb(tmp_path / "db")
    again = Chain(genesis, database, head_file)

    assert again.head == chain.head
    assert native(again, OTHER) == 1
    assert again.blockchain.next_epoch() == 1
    operate(again, BeginEpoch(1), SetBalance(OTHER, Wei(7)))
    assert verify_database(genesis, database).last == 2
    database.close()


def test_a_side_file_of_the_left_head_is_no_lost_write(tmp_path: Path, genesis: Genesis) -> None:
    head_file, kv = tmp_path / "HEAD", MemoryDb()
    chain = Chain(genesis, kv, head_file)
    for _ in range(3):
        chain.seal()
    before = head_file.read_bytes()
    revert(chain, 1, 1)

    head_file.write_bytes(before)  # killed between the batch and the side file
    again = Chain(genesis, kv, head_file)

    assert again.head.header.number == 1
    assert kv.get(revert_row(0, 1)) is not None


@pytest.mark.parametrize("point", ["revert: before the batch", "revert: after the batch"])
def test_a_node_killed_within_a_revert_is_before_or_after_it(tmp_path: Path, point: str) -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from node.state.kv import LevelDb\n"
        "from tests.helpers.chain import Chain, Person, make_genesis\n"
        "path = Path(sys.argv[1])\n"
        "chain = Chain(make_genesis([Person('maker')]), LevelDb(path / 'db'), path / 'HEAD')\n"
        "for _ in range(3):\n"
        "    chain.seal()\n"
        "chain.blockchain.revert_to(chain.blockchain.block_at(1), 1, offset_ms=0)\n"
    )
    died = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PERPNODE_CRASH_AT": point},
        capture_output=True,
        check=False,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()

    database = LevelDb(tmp_path / "db")
    chain = Chain(make_genesis([Person("maker")]), database, tmp_path / "HEAD")

    is_after = point == "revert: after the batch"
    assert chain.head.header.number == (1 if is_after else 3)
    assert chain.blockchain.next_epoch() == int(is_after)
    assert chain.blockchain.states.flat_root() == chain.head.header.state_root
    chain.seal()
    database.close()
