"""Reads of blocks, accounts and transactions, each with its refusal."""

from typing import Any

import pytest
import rlp

from node.chain.block import Block, encode_header
from node.consensus.core import Located
from node.crypto import keccak256
from node.errors import MissingState
from node.perp.account import EXCHANGE
from node.system.contracts import TOKEN
from node.units import Hash32
from tests.rpc.chain import GWEI, Chain, RpcFailure, address, text

UNKNOWN_HASH = "0x" + "00" * 31 + "01"
EXCHANGE_TEXT = "0x" + EXCHANGE.hex()


def head(chain: Chain) -> int:
    return int(chain.ask("eth_blockNumber"), 16)


def big_endian(quantity: str) -> bytes:
    number = int(quantity, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def test_the_node_names_itself_and_its_chain(traded: Chain) -> None:
    assert traded.ask("eth_chainId") == "0x1352517"
    assert traded.ask("net_version") == "20260119"
    assert traded.ask("web3_clientVersion").startswith("perpnode/v")
    assert traded.ask("net_listening") is True
    assert traded.ask("eth_syncing") is False
    assert traded.ask("eth_accounts") == []
    assert traded.ask("net_peerCount") == "0x0"
    assert traded.ask("web3_sha3", "0x") == "0x" + keccak256(b"").hex()
    assert (
        traded.ask("eth_coinbase") == traded.ask("eth_getBlockByNumber", "latest", False)["miner"]
    )
    assert traded.ask("eth_blobBaseFee") == "0x1"


def test_the_block_number_is_the_heads(traded: Chain) -> None:
    assert head(traded) == traded.blockchain.head.block.header.number


@pytest.mark.parametrize("tag", ["latest", "safe", "finalized"])
def test_without_validators_all_heads_are_one(traded: Chain, tag: str) -> None:
    assert traded.ask("eth_getBlockByNumber", tag, False)["number"] == hex(head(traded))


def test_the_header_fields_hash_to_the_block_hash(traded: Chain) -> None:
    block = traded.ask("eth_getBlockByNumber", "latest", False)

    quantities = ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")
    hashes = ("parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot")
    fields = [
        *(bytes.fromhex(block[name][2:]) for name in (*hashes, "receiptsRoot", "logsBloom")),
        *(big_endian(block[name]) for name in quantities),
        *(bytes.fromhex(block[name][2:]) for name in ("extraData", "mixHash", "nonce")),
        big_endian(block["baseFeePerGas"]),
        bytes.fromhex(block["withdrawalsRoot"][2:]),
    ]
    assert keccak256(rlp.encode(fields)).hex() == block["hash"][2:]
    assert "totalDifficulty" not in block
    assert block["uncles"] == []


def test_the_size_is_that_of_the_blocks_rlp(traded: Chain) -> None:
    block = traded.blockchain.head.block

    header = rlp.decode(encode_header(block.header))
    body = [tx.raw if tx.type else rlp.decode(tx.raw) for tx in block.transactions]
    size = len(rlp.encode([header, body, [], []]))
    assert traded.ask("eth_getBlockByNumber", "latest")["size"] == hex(size)


def test_blocks_are_the_same_by_number_and_by_hash(traded: Chain) -> None:
    by_number = traded.ask("eth_getBlockByNumber", "0x2", True)

    assert traded.ask("eth_getBlockByHash", by_number["hash"], True) == by_number
    assert traded.ask("eth_getBlockByNumber", "earliest", False)["number"] == "0x0"


@pytest.mark.parametrize("tag", ["0x2", "latest", "pending", "earliest"])
def test_a_header_is_its_block_without_the_body(traded: Chain, tag: str) -> None:
    block = traded.ask("eth_getBlockByNumber", tag, False)

    header = traded.ask("eth_getHeaderByNumber", tag)
    body = {"size", "transactions", "uncles", "withdrawals"}
    assert header == {name: value for name, value in block.items() if name not in body}
    if tag != "pending":
        assert traded.ask("eth_getHeaderByHash", block["hash"]) == header


def test_no_block_has_uncles(traded: Chain) -> None:
    block_hash = traded.ask("eth_getBlockByNumber", "latest", False)["hash"]

    assert traded.ask("eth_getUncleCountByBlockNumber", "latest") == "0x0"
    assert traded.ask("eth_getUncleCountByBlockHash", block_hash) == "0x0"
    assert traded.ask("eth_getUncleByBlockNumberAndIndex", "latest", "0x0") is None
    assert traded.ask("eth_getUncleByBlockHashAndIndex", block_hash, "0x0") is None


def test_unknown_blocks_are_null(traded: Chain) -> None:
    assert traded.ask("eth_getHeaderByNumber", hex(head(traded) + 1)) is None
    assert traded.ask("eth_getHeaderByHash", UNKNOWN_HASH) is None
    assert traded.ask("eth_getUncleCountByBlockNumber", "0xffff") is None
    assert traded.ask("eth_getUncleCountByBlockHash", UNKNOWN_HASH) is None
    assert traded.ask("eth_getBlockByNumber", hex(head(traded) + 1), False) is None
    assert traded.ask("eth_getBlockByHash", UNKNOWN_HASH, False) is None
    assert traded.ask("eth_getBlockTransactionCountByNumber", "0xffff") is None
    assert traded.ask("eth_getBlockTransactionCountByHash", UNKNOWN_HASH) is None
    assert traded.ask("eth_getBlockReceipts", "0xffff") is None
    assert traded.ask("eth_getTransactionByBlockNumberAndIndex", "0xffff", "0x0") is None
    assert traded.ask("eth_getTransactionByBlockHashAndIndex", UNKNOWN_HASH, "0x0") is None


def test_the_pending_block_has_no_hash_yet(traded: Chain) -> None:
    pending = traded.ask("eth_getBlockByNumber", "pending", False)

    latest = traded.ask("eth_getBlockByNumber", "latest", False)
    assert pending["number"] == hex(head(traded) + 1)
    assert pending["parentHash"] == latest["hash"]
    assert [pending[name] for name in ("hash", "nonce", "miner")] == [None, None, None]
    assert pending["transactions"] == []
    assert traded.ask("eth_getBlockTransactionCountByNumber", "pending") == "0x0"


def test_counts_indexes_and_receipts_agree(traded: Chain) -> None:
    block = traded.ask("eth_getBlockByNumber", "latest", True)
    receipts = traded.ask("eth_getBlockReceipts", "latest")

    count = len(block["transactions"])
    assert count > 0
    assert traded.ask("eth_getBlockTransactionCountByHash", block["hash"]) == hex(count)
    assert traded.ask("eth_getBlockTransactionCountByNumber", block["number"]) == hex(count)
    for index, tx in enumerate(block["transactions"]):
        by_number = ("eth_getTransactionByBlockNumberAndIndex", block["number"], hex(index))
        by_hash = ("eth_getTransactionByBlockHashAndIndex", block["hash"], hex(index))
        assert traded.ask(*by_number) == tx
        assert traded.ask(*by_hash) == tx
        assert traded.ask("eth_getTransactionByHash", tx["hash"]) == tx
        assert traded.ask("eth_getTransactionReceipt", tx["hash"]) == receipts[index]
    beyond = ("eth_getTransactionByBlockNumberAndIndex", block["number"], hex(count))
    assert traded.ask(*beyond) is None


def test_logs_are_counted_through_the_block(traded: Chain) -> None:
    receipts = traded.ask("eth_getBlockReceipts", "latest")

    indexes = [int(log["logIndex"], 16) for receipt in receipts for log in receipt["logs"]]
    assert len(indexes) > 1
    assert indexes == list(range(len(indexes)))


def test_a_receipt_is_the_same_from_the_cache_and_from_disk(traded: Chain) -> None:
    tx_hash = traded.ask("eth_getBlockByNumber", "latest", False)["transactions"][-1]
    cached = traded.ask("eth_getTransactionReceipt", tx_hash)
    mined = traded.ask("eth_getTransactionByHash", tx_hash)

    kept, traded.recent._transactions = traded.recent._transactions, {}
    try:
        assert traded.ask("eth_getTransactionReceipt", tx_hash) == cached
        assert traded.ask("eth_getTransactionByHash", tx_hash) == mined
    finally:
        traded.recent._transactions = kept


def test_unknown_transactions_are_null(traded: Chain) -> None:
    assert traded.ask("eth_getTransactionByHash", UNKNOWN_HASH) is None
    assert traded.ask("eth_getTransactionReceipt", UNKNOWN_HASH) is None


def test_a_transaction_of_each_type_has_the_fields_that_rebuild_its_bytes(chain: Chain) -> None:
    key = b"\x07" * 32
    legacy = chain.sign("sender", type=0, value=5, max_priority_fee=GWEI, max_fee=GWEI)
    listed = chain.sign(
        "sender",
        type=1,
        max_priority_fee=GWEI,
        max_fee=GWEI,
        access_list=((address("other"), (key,)),),
    )
    dynamic = chain.sign("sender", type=2, max_priority_fee=7, max_fee=3 * GWEI)
    hashes = [chain.send(tx) for tx in (legacy, listed, dynamic)]
    chain.seal()

    first, second, third = (chain.ask("eth_getTransactionByHash", each) for each in hashes)

    parity = legacy.y_parity
    assert first["type"] == "0x0"
    assert first["v"] == hex(35 + 2 * 20260119 + parity)
    assert first["chainId"] == "0x1352517"
    assert first["value"] == "0x5"
    assert "yParity" not in first
    assert "accessList" not in first
    assert second["type"] == "0x1"
    assert second["v"] == second["yParity"] == hex(listed.y_parity)
    assert second["accessList"] == [{"address": text("other"), "storageKeys": ["0x" + "07" * 32]}]
    assert third["type"] == "0x2"
    assert third["accessList"] == []
    assert third["maxFeePerGas"] == hex(3 * GWEI)
    assert third["maxPriorityFeePerGas"] == "0x7"
    assert third["gasPrice"] == hex(GWEI + 7)
    assert third["blockTimestamp"] == chain.ask("eth_getBlockByNumber", "latest")["timestamp"]
    receipt = chain.ask("eth_getTransactionReceipt", hashes[2])
    assert receipt["effectiveGasPrice"] == hex(GWEI + 7)
    assert receipt["type"] == "0x2"
    assert receipt["gasUsed"] == "0x5208"
    assert receipt["status"] == "0x1"
    assert receipt["contractAddress"] is None


def test_a_waiting_transactions_price_is_its_cap(chain: Chain) -> None:
    tx_hash = chain.send(chain.sign("sender", max_priority_fee=7, max_fee=3 * GWEI))

    waiting = chain.ask("eth_getTransactionByHash", tx_hash)

    assert waiting["gasPrice"] == waiting["maxFeePerGas"] == hex(3 * GWEI)
    places = ("blockHash", "blockNumber", "transactionIndex")
    assert [waiting[name] for name in places] == [None, None, None]
    assert chain.ask("eth_getTransactionReceipt", tx_hash) is None


@pytest.mark.parametrize("method", ["eth_getTransactionByHash", "eth_getRawTransactionByHash"])
def test_a_transaction_is_never_unknown_while_a_block_takes_it(
    chain: Chain, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    tx_hash = chain.send(chain.sign("sender"))
    look = chain.core.transaction

    async def look_and_seal(wanted: Hash32) -> Located | None:
        found = await look(wanted)
        chain.seal()
        return found

    monkeypatch.setattr(chain.core, "transaction", look_and_seal)

    assert chain.ask(method, tx_hash) not in (None, "0x")


def test_system_transactions_are_ordinary_legacy_ones(traded: Chain) -> None:
    blocks = (traded.ask("eth_getBlockByNumber", hex(each), True) for each in range(head(traded)))
    senders = traded.blockchain.genesis.system_account
    carried = [
        tx for block in blocks for tx in block["transactions"] if tx["from"] == "0x" + senders.hex()
    ]

    assert carried
    for tx in carried:
        assert tx["type"] == "0x0"
        assert tx["gasPrice"] == "0x0"
        assert int(tx["v"], 16) in (35 + 2 * 20260119, 36 + 2 * 20260119)
        assert traded.ask("eth_getTransactionReceipt", tx["hash"])["gasUsed"] == "0x0"


def test_balances_are_those_of_any_kept_block(chain: Chain) -> None:
    chain.send(chain.sign("sender", value=10**18))
    chain.seal()

    receiver = text("receiver")
    assert chain.ask("eth_getBalance", receiver) == hex(10**18)
    assert chain.ask("eth_getBalance", receiver, "latest") == hex(10**18)
    assert chain.ask("eth_getBalance", receiver, "0x1") == hex(10**18)
    assert chain.ask("eth_getBalance", receiver, "0x0") == "0x0"
    assert chain.ask("eth_getBalance", receiver, "earliest") == "0x0"
    assert chain.ask("eth_getBalance", receiver, {"blockNumber": "0x0"}) == "0x0"


def test_a_block_may_be_named_by_its_hash(chain: Chain) -> None:
    chain.send(chain.sign("sender", value=10**18))
    chain.seal()
    block_hash = chain.ask("eth_getBlockByNumber", "0x0", False)["hash"]

    for ref in (
        block_hash,
        {"blockHash": block_hash},
        {"blockHash": block_hash, "requireCanonical": True},
    ):
        assert chain.ask("eth_getBalance", text("receiver"), ref) == "0x0"


@pytest.mark.parametrize(
    ("ref", "code", "message"),
    [
        ("0xffff", -32000, "header not found"),
        (UNKNOWN_HASH, -32000, "header for hash not found"),
        ({"blockHash": UNKNOWN_HASH}, -32000, "header for hash not found"),
        ("newest", -32602, "invalid argument 1: hex string without 0x prefix"),
        ("0x01", -32602, "invalid argument 1: invalid block number: hex number with leading"),
        (7, -32602, "invalid argument 1: invalid block number: cannot unmarshal non-string"),
        ({}, -32602, "invalid argument 1: invalid block: blockNumber or blockHash is needed"),
        (
            {"blockHash": UNKNOWN_HASH, "blockNumber": "0x1"},
            -32602,
            "invalid argument 1: cannot specify both BlockHash and BlockNumber",
        ),
        ("0x" + "f" * 20, -32602, "invalid argument: block number larger than int64"),
    ],
)
def test_a_block_that_is_not_there_is_refused(
    traded: Chain, ref: Any, code: int, message: str
) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("eth_getBalance", text("sender"), ref)

    assert refusal.value.code == code
    assert refusal.value.message.startswith(message)


def test_a_state_that_is_not_kept_is_never_answered_with_another(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(block: Block) -> None:
        raise MissingState(block.header.state_root)

    monkeypatch.setattr(traded.blockchain, "state_at", forget)

    with pytest.raises(RpcFailure, match=r"missing trie node [0-9a-f]{64}") as refusal:
        traded.ask("eth_getBalance", text("sender"), "0x1")

    assert refusal.value.code == -32000


def test_system_contracts_have_code_and_accounts_have_none(traded: Chain) -> None:
    assert len(traded.ask("eth_getCode", EXCHANGE_TEXT)) > 4
    assert traded.ask("eth_getCode", text("maker")) == "0x"


def test_pending_counts_what_waits_without_a_gap(chain: Chain) -> None:
    sender = text("sender")
    chain.send(chain.sign("sender", nonce=0))
    chain.send(chain.sign("sender", nonce=1))
    chain.send(chain.sign("sender", nonce=5))

    assert chain.ask("eth_getTransactionCount", sender) == "0x0"
    assert chain.ask("eth_getTransactionCount", sender, "pending") == "0x2"
    chain.seal()
    assert chain.ask("eth_getTransactionCount", sender, "latest") == "0x2"
    assert chain.ask("eth_getTransactionCount", sender, "0x0") == "0x0"


def test_storage_is_the_hash_of_the_record(traded: Chain) -> None:
    state = traded.blockchain.state_at(traded.blockchain.head.block)
    key, record = next(iter(state.records(EXCHANGE)))

    stored = traded.ask("eth_getStorageAt", EXCHANGE_TEXT, "0x" + key.hex(), "latest")

    assert stored == "0x" + keccak256(record).hex()
    assert traded.ask("eth_getStorageAt", EXCHANGE_TEXT, "0x0", "latest") == "0x" + "00" * 32


def test_a_proof_encloses_account_and_records(traded: Chain) -> None:
    state = traded.blockchain.state_at(traded.blockchain.head.block)
    key, record = next(iter(state.records(TOKEN)))

    proof = traded.ask("eth_getProof", "0x" + TOKEN.hex(), ["0x" + key.hex(), "0x5"], "latest")

    root = traded.ask("eth_getBlockByNumber", "latest")["stateRoot"]
    assert keccak256(bytes.fromhex(proof["accountProof"][0][2:])).hex() == root[2:]
    present, absent = proof["storageProof"]
    assert present["key"] == "0x" + key.hex()
    assert present["value"] == "0x" + record.hex()
    assert keccak256(bytes.fromhex(present["proof"][0][2:])).hex() == proof["storageHash"][2:]
    assert absent["key"] == "0x5"
    assert absent["value"] == "0x0"
    leaf = [proof[name] for name in ("nonce", "balance")]
    assert [int(value, 16) for value in leaf] == [0, 0]


def test_the_proof_of_an_absent_account_has_an_empty_one(traded: Chain) -> None:
    proof = traded.ask("eth_getProof", text("outsider"), [], "latest")

    assert proof["balance"] == proof["nonce"] == "0x0"
    assert proof["codeHash"] == "0x" + keccak256(b"").hex()
    assert proof["storageHash"] == "0x" + keccak256(b"\x80").hex()
    assert proof["accountProof"]


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("0x0", "cannot unmarshal non-array"),
        (["0x" + "00" * 33], "storage key too long"),
        ([7], "cannot unmarshal non-string into a storage key"),
        (["0x0"] * 1025, "too many keys"),
    ],
)
def test_storage_keys_that_are_none_are_refused(traded: Chain, keys: Any, message: str) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("eth_getProof", EXCHANGE_TEXT, keys, "latest")

    assert refusal.value.code == -32602
    assert refusal.value.message.startswith(f"invalid argument 1: {message}")


def test_nothing_of_a_block_is_seen_before_it_is_the_head(
    traded: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A receipt whose nonce is not there yet makes a wallet send the same nonce again."""
    sent = traded.send(traded.sign("sender", value=1))
    height = head(traded) + 1
    save_block = traded.blockchain.store.save_block
    seen: list[Any] = []

    def look_after_the_write(*arguments: Any, **named: Any) -> None:
        save_block(*arguments, **named)
        seen.append(traded.ask("eth_getTransactionReceipt", sent))
        seen.append(traded.ask("eth_getBlockByNumber", hex(height), False))
        seen.append(traded.ask("eth_getTransactionByHash", sent)["blockHash"])

    monkeypatch.setattr(traded.blockchain.store, "save_block", look_after_the_write)
    traded.seal()

    assert seen == [None, None, None]
    assert traded.ask("eth_getTransactionReceipt", sent)["blockNumber"] == hex(height)
    assert traded.ask("eth_getTransactionCount", text("sender"), "latest") == "0x1"


def test_the_pending_block_s_size_and_roots_are_those_of_an_empty_one(traded: Chain) -> None:
    pending = traded.ask("eth_getBlockByNumber", "pending", True)
    first = traded.ask("eth_getBlockByNumber", "0x0", True)

    assert pending["transactions"] == first["transactions"] == []
    for field in ("transactionsRoot", "receiptsRoot"):
        assert pending[field] == first[field]
    assert pending["size"] != traded.ask("eth_getBlockByNumber", "latest", True)["size"]
    header = traded.ask("eth_getHeaderByNumber", "pending")
    assert {name: pending[name] for name in header} == header
