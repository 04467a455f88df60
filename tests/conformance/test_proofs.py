"""Headers, transactions, receipts and accounts, verified by rlp and py-trie alone.

Nothing here is the node's code: only what JSON-RPC says, Ethereum's encodings, and other people's
libraries. An auditor could run it against a URL.
"""

from typing import Any

import pytest
import rlp
from eth_account import Account
from eth_utils.crypto import keccak
from trie.hexary import HexaryTrie as UntypedTrie

from tests.conformance.trade import (
    CHAIN_ID,
    EXCHANGE,
    TOKEN,
    address_of,
    fresh_key,
    funder_key,
)
from tests.helpers.devnet import Devnet

HexaryTrie: Any = UntypedTrie
ABSENT = "0x00000000000000000000000000000000deadbeef"
NOBODY = "0x" + "00" * 20
BRIDGE = "0x0000000000000000000000000000000000001006"
MARKET_1 = "0x0000000000000000000000000000000000002001"
Block = dict[str, Any]


def _bytes(value: str) -> bytes:
    return bytes.fromhex(value[2:])


def _int(value: str) -> bytes:
    number = int(value, 16)
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def header_rlp(block: Block) -> bytes:
    """Return Ethereum's Shanghai header of a block, encoded."""
    names = ["parentHash", "sha3Uncles", "miner", "stateRoot", "transactionsRoot", "receiptsRoot"]
    fields = [_bytes(block[name]) for name in [*names, "logsBloom"]]
    fields += [_int(block[n]) for n in ("difficulty", "number", "gasLimit", "gasUsed", "timestamp")]
    fields += [_bytes(block[name]) for name in ("extraData", "mixHash", "nonce")]
    fields += [_int(block["baseFeePerGas"]), _bytes(block["withdrawalsRoot"])]
    encoded: bytes = rlp.encode(fields)
    return encoded


def transaction_bytes(tx: dict[str, Any]) -> bytes:
    """Return a transaction's canonical bytes (EIP-2718), rebuilt from its JSON fields."""
    kind = int(tx["type"], 16)
    call = [_int(tx["gas"]), _bytes(tx["to"]), _int(tx["value"]), _bytes(tx["input"])]
    signature = [_int(tx["v"]), _int(tx["r"]), _int(tx["s"])]
    if kind == 0:
        legacy: bytes = rlp.encode([_int(tx["nonce"]), _int(tx["gasPrice"]), *call, *signature])
        return legacy
    access = [
        [_bytes(entry["address"]), [_bytes(key) for key in entry["storageKeys"]]]
        for entry in tx["accessList"]
    ]
    prices = ["gasPrice"] if kind == 1 else ["maxPriorityFeePerGas", "maxFeePerGas"]
    head = [_int(tx["chainId"]), _int(tx["nonce"]), *(_int(tx[price]) for price in prices)]
    return bytes([kind]) + bytes(rlp.encode([*head, *call, access, *signature]))


def receipt_bytes(receipt: dict[str, Any]) -> bytes:
    """Return a receipt's consensus bytes, rebuilt from its JSON fields."""
    logs = [
        [_bytes(log["address"]), [_bytes(topic) for topic in log["topics"]], _bytes(log["data"])]
        for log in receipt["logs"]
    ]
    head = [_int(receipt["status"]), _int(receipt["cumulativeGasUsed"])]
    body: bytes = rlp.encode([*head, _bytes(receipt["logsBloom"]), logs])
    kind = int(receipt["type"], 16)
    return bytes([kind]) + body if kind else body


def bloom_of(receipt: dict[str, Any]) -> int:
    """Return the logs' bloom filter (yellow paper, 4.4.3), computed anew."""
    bloom = 0
    for log in receipt["logs"]:
        for item in (log["address"], *log["topics"]):
            digest = keccak(_bytes(item))
            for at in (0, 2, 4):
                bloom |= 1 << (int.from_bytes(digest[at : at + 2], "big") % 2048)
    return bloom


def ordered_trie(values: list[bytes]) -> Any:
    """Return py-trie's trie of index → value."""
    trie = HexaryTrie({})
    for index, value in enumerate(values):
        trie[rlp.encode(index)] = value
    return trie


def assert_included(values: list[bytes], root: str) -> None:
    """Check that the values make the root, and that each has a proof of inclusion under it."""
    trie = ordered_trie(values)
    assert trie.root_hash == _bytes(root)
    for index, value in enumerate(values):
        key = rlp.encode(index)
        assert HexaryTrie.get_from_proof(_bytes(root), key, trie.get_proof(key)) == value


@pytest.fixture
def transfer(chain: Devnet) -> dict[str, Any]:
    """A block with people's transactions of all three types, and the node's own."""
    key = funder_key(4)
    nonce = int(chain.rpc.call("eth_getTransactionCount", address_of(key), "pending"), 16)
    common = {"to": address_of(fresh_key("nobody")), "value": 1, "gas": 30_000, "data": b"\x01\x00"}
    common |= {"chainId": CHAIN_ID}
    gas_price = {"gasPrice": 2 * 10**9}
    access_list = {"accessList": [{"address": TOKEN, "storageKeys": [0, 7]}]}
    kinds: list[dict[str, Any]] = [
        gas_price,
        {"type": 1} | gas_price | access_list,
        {"type": 2, "maxFeePerGas": 2 * 10**9, "maxPriorityFeePerGas": 5} | access_list,
    ]
    signed = [
        Account.sign_transaction(common | kind | {"nonce": nonce + place}, key)
        for place, kind in enumerate(kinds)
    ]
    hashes = chain.rpc.batch(
        [("eth_sendRawTransaction", ["0x" + bytes(tx.raw_transaction).hex()]) for tx in signed]
    )
    assert hashes == ["0x" + bytes(tx.hash).hex() for tx in signed]
    receipts = [chain.rpc.receipt(tx_hash) for tx_hash in hashes]
    assert {receipt["type"] for receipt in receipts} == {"0x0", "0x1", "0x2"}
    return receipts[-1]


def test_blocks_transactions_and_receipts_stand_under_their_roots(
    chain: Devnet, transfer: dict[str, Any]
) -> None:
    last = int(transfer["blockNumber"], 16)
    with_logs = 0

    for number in range(max(1, last - 20), last + 1):
        block = chain.rpc.block(number, full=True)
        assert block is not None
        receipts = chain.rpc.call("eth_getBlockReceipts", hex(number))
        raws = [transaction_bytes(tx) for tx in block["transactions"]]

        assert keccak(header_rlp(block)) == _bytes(block["hash"])
        assert [keccak(raw) for raw in raws] == [_bytes(tx["hash"]) for tx in block["transactions"]]
        for raw, tx in zip(raws, block["transactions"], strict=True):
            assert Account.recover_transaction(raw).lower() == tx["from"]
        assert_included(raws, block["transactionsRoot"])
        assert_included([receipt_bytes(each) for each in receipts], block["receiptsRoot"])
        blooms = [bloom_of(each) for each in receipts]
        assert [int(each["logsBloom"], 16) for each in receipts] == blooms
        with_logs += sum(1 for bloom in blooms if bloom)

    assert with_logs > 0


def test_headers_form_a_chain_down_to_genesis(chain: Devnet) -> None:
    block = chain.rpc.block("latest")
    assert block is not None

    while int(block["number"], 16) > 0:
        parent = chain.rpc.block(int(block["number"], 16) - 1)
        assert parent is not None
        assert parent["hash"] == block["parentHash"]
        assert keccak(header_rlp(parent)) == _bytes(parent["hash"])
        block = parent


def _verified_leaf(root: str, proof: dict[str, Any]) -> bytes:
    nodes = [rlp.decode(_bytes(node)) for node in proof["accountProof"]]
    leaf: bytes = HexaryTrie.get_from_proof(_bytes(root), keccak(_bytes(proof["address"])), nodes)
    return leaf


def test_an_account_proof_shows_nonce_balance_and_roots(
    chain: Devnet, transfer: dict[str, Any]
) -> None:
    block = chain.rpc.block(int(transfer["blockNumber"], 16))
    assert block is not None
    proof = chain.rpc.call("eth_getProof", transfer["from"], [], block["number"])
    balance = chain.rpc.call("eth_getBalance", transfer["from"], block["number"])

    leaf = rlp.decode(_verified_leaf(block["stateRoot"], proof))

    assert leaf == [
        _int(proof["nonce"]),
        _int(balance),
        _bytes(proof["storageHash"]),
        _bytes(proof["codeHash"]),
    ]


def test_a_proof_shows_that_an_account_is_absent(chain: Devnet) -> None:
    block = chain.rpc.block("latest")
    assert block is not None

    proof = chain.rpc.call("eth_getProof", ABSENT, [], block["number"])

    assert _verified_leaf(block["stateRoot"], proof) == b""


def storage_key(kind: int, market: int, account: str) -> str:
    """Return a record's key: type, market, account, id 0 (DESIGN section 3)."""
    return "0x" + bytes([kind]).hex() + market.to_bytes(4, "big").hex() + account[2:] + "00" * 7


@pytest.mark.parametrize(
    ("contract", "present", "absent"),
    [
        (TOKEN, storage_key(0x31, 0, EXCHANGE), storage_key(0x31, 0, ABSENT)),
        (EXCHANGE, storage_key(0x01, 0, BRIDGE), storage_key(0x01, 0, ABSENT)),
        (MARKET_1, storage_key(0x13, 1, NOBODY), "0x0"),
    ],
    ids=["token balance", "margin account", "oracle"],
)
def test_a_storage_proof_shows_a_record_and_its_digest(
    chain: Devnet, transfer: dict[str, Any], contract: str, present: str, absent: str
) -> None:
    block = chain.rpc.block(int(transfer["blockNumber"], 16))
    assert block is not None

    proof = chain.rpc.call("eth_getProof", contract, [present, absent], block["number"])

    leaf = rlp.decode(_verified_leaf(block["stateRoot"], proof))
    assert leaf[2] == _bytes(proof["storageHash"])
    records = []
    for key, slot in zip([present, absent], proof["storageProof"], strict=True):
        padded = bytes.fromhex(key[2:].rjust(64, "0"))
        nodes = [rlp.decode(_bytes(node)) for node in slot["proof"]]
        value = HexaryTrie.get_from_proof(leaf[2], keccak(padded), nodes)
        records.append(rlp.decode(value) if value else b"")
        digest = _bytes(chain.rpc.call("eth_getStorageAt", contract, key, block["number"]))
        assert digest == (keccak(records[-1]) if records[-1] else bytes(32))
    assert records[0] == _bytes(proof["storageProof"][0]["value"])
    assert records[0] != b""
    assert records[1] == b""
