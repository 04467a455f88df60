"""The bytes behind hashes and roots, recomputed with py-trie and rlp."""

import pytest
import rlp
from trie.hexary import HexaryTrie

from node.crypto import keccak256
from tests.rpc.chain import Chain, RpcFailure
from tests.rpc.test_eth import UNKNOWN_HASH


def raw(chain: Chain, method: str, *params: str) -> bytes:
    return bytes.fromhex(chain.ask(method, *params)[2:])


def root_of(items: list[bytes]) -> str:
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(index)] = item
    return "0x" + trie.root_hash.hex()


@pytest.mark.parametrize("number", ["0x0", "0x1", "latest"])
def test_the_bytes_of_a_block_hash_to_what_it_says(traded: Chain, number: str) -> None:
    block = traded.ask("eth_getBlockByNumber", number, False)

    header = raw(traded, "debug_getRawHeader", number)
    encoded = raw(traded, "debug_getRawBlock", block["hash"])
    assert "0x" + keccak256(header).hex() == block["hash"]
    assert len(encoded) == int(block["size"], 16)
    head, body, ommers, withdrawals = rlp.decode(encoded)
    assert rlp.encode(head) == header
    assert (ommers, withdrawals) == ([], [])
    transactions = [rlp.encode(each) if isinstance(each, list) else each for each in body]
    assert root_of(transactions) == block["transactionsRoot"]
    assert ["0x" + keccak256(each).hex() for each in transactions] == block["transactions"]
    receipts = [bytes.fromhex(each[2:]) for each in traded.ask("debug_getRawReceipts", number)]
    assert root_of(receipts) == block["receiptsRoot"]


def test_raw_transactions_are_the_same_however_they_are_named(traded: Chain) -> None:
    block = traded.ask("eth_getBlockByNumber", "latest", False)

    for index, tx_hash in enumerate(block["transactions"]):
        found = {
            traded.ask("eth_getRawTransactionByHash", tx_hash),
            traded.ask("debug_getRawTransaction", tx_hash),
            traded.ask("eth_getRawTransactionByBlockNumberAndIndex", "latest", hex(index)),
            traded.ask("eth_getRawTransactionByBlockHashAndIndex", block["hash"], hex(index)),
        }
        assert len(found) == 1
        assert "0x" + keccak256(bytes.fromhex(found.pop()[2:])).hex() == tx_hash


def test_a_waiting_transaction_has_its_bytes(chain: Chain) -> None:
    tx = chain.sign("sender")

    assert chain.ask("eth_getRawTransactionByHash", chain.send(tx)) == "0x" + tx.raw.hex()
    chain.seal()
    chain.recent._transactions.clear()
    assert raw(chain, "debug_getRawTransaction", "0x" + tx.hash.hex()) == tx.raw


def test_unknown_transactions_have_no_bytes_and_unknown_blocks_are_refused(traded: Chain) -> None:
    assert traded.ask("eth_getRawTransactionByHash", UNKNOWN_HASH) == "0x"
    assert traded.ask("eth_getRawTransactionByBlockNumberAndIndex", "latest", "0xff") == "0x"
    assert traded.ask("eth_getRawTransactionByBlockHashAndIndex", UNKNOWN_HASH, "0x0") == "0x"
    for method in ("debug_getRawHeader", "debug_getRawBlock", "debug_getRawReceipts"):
        with pytest.raises(RpcFailure, match="header not found"):
            traded.ask(method, "0xffff")
