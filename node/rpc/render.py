"""Blocks, transactions, receipts and logs, to the letter of Ethereum's execution-apis.

Quantities have no leading zeros, data and addresses are lower-case. What a wallet re-encodes and
hashes (header, transaction) is complete, so that it comes to the same hash.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from node.chain.block import Block, Header, Receipt
from node.chain.development import as_meant
from node.chain.transaction import Transaction, effective_gas_price
from node.crypto import EMPTY_HASH
from node.rpc.hex import data, quantity
from node.state.account import AccountLeaf
from node.state.proof import AccountProof
from node.state.store import EMPTY_TRIE_ROOT
from node.system.logs import Log
from node.units import Hash32, Wei

Json = Any
"""What orjson writes."""


def render_header(header: Header, block_hash: Hash32) -> dict[str, Json]:
    """Return a newHeads notification: the header's fields and its hash."""
    return {
        "number": quantity(header.number),
        "hash": data(block_hash),
        "parentHash": data(header.parent_hash),
        "sha3Uncles": data(header.ommers_hash),
        "miner": data(header.coinbase),
        "stateRoot": data(header.state_root),
        "transactionsRoot": data(header.transactions_root),
        "receiptsRoot": data(header.receipts_root),
        "logsBloom": data(header.logs_bloom),
        "difficulty": quantity(header.difficulty),
        "gasLimit": quantity(header.gas_limit),
        "gasUsed": quantity(header.gas_used),
        "timestamp": quantity(header.timestamp),
        "extraData": data(header.extra_data),
        "mixHash": data(header.prev_randao),
        "nonce": data(header.nonce),
        "baseFeePerGas": quantity(header.base_fee),
        "withdrawalsRoot": data(header.withdrawals_root),
    }


def render_block(block: Block, *, full: bool) -> dict[str, Json]:
    """Return a block with its transactions' hashes, or with the transactions in full."""
    result = render_header(block.header, block.hash)
    result["size"] = quantity(block.size)
    result["transactions"] = (
        [render_mined(block, index) for index in range(len(block.transactions))]
        if full
        else [data(tx.hash) for tx in block.transactions]
    )
    result["uncles"] = []
    result["withdrawals"] = []
    return result


_UNKNOWN_YET = {"hash": None, "nonce": None, "miner": None}


def render_pending_block(block: Block) -> dict[str, Json]:
    """Return the block after the head as geth does: what is not known yet is null."""
    return render_block(block, full=False) | _UNKNOWN_YET


def render_pending_header(header: Header) -> dict[str, Json]:
    """Return the header after the head; what is not known yet is null."""
    return render_header(header, header.parent_hash) | _UNKNOWN_YET


def _render_transaction(tx: Transaction, gas_price: int) -> dict[str, Json]:
    tx = as_meant(tx)
    result: dict[str, Json] = {
        "type": quantity(tx.type),
        "chainId": quantity(tx.chain_id),
        "nonce": quantity(tx.nonce),
        "from": data(tx.sender),
        "to": data(tx.to),
        "gas": quantity(tx.gas_limit),
        "gasPrice": quantity(gas_price),
        "value": quantity(tx.value),
        "input": data(tx.data),
        "r": quantity(tx.r),
        "s": quantity(tx.s),
        "hash": data(tx.hash),
    }
    if tx.type == 0:
        result["v"] = quantity(35 + 2 * tx.chain_id + tx.y_parity)
        return result
    result["v"] = result["yParity"] = quantity(tx.y_parity)
    result["accessList"] = [
        {"address": data(address), "storageKeys": [data(key) for key in keys]}
        for address, keys in tx.access_list
    ]
    if tx.type == 2:
        result["maxPriorityFeePerGas"] = quantity(tx.max_priority_fee)
        result["maxFeePerGas"] = quantity(tx.max_fee)
    return result


def render_mined(block: Block, index: int) -> dict[str, Json]:
    """Return a block's transaction; `gasPrice` is what it paid."""
    tx = block.transactions[index]
    result = _render_transaction(tx, effective_gas_price(tx, block.header.base_fee))
    result["blockHash"] = data(block.hash)
    result["blockNumber"] = quantity(block.header.number)
    result["blockTimestamp"] = quantity(block.header.timestamp)
    result["transactionIndex"] = quantity(index)
    return result


def render_pending(tx: Transaction) -> dict[str, Json]:
    """Return a waiting transaction; `gasPrice` equals the fee cap, as geth has it."""
    return _render_transaction(tx, tx.max_fee) | {
        "blockHash": None,
        "blockNumber": None,
        "blockTimestamp": None,
        "transactionIndex": None,
    }


def render_signed(tx: Transaction) -> dict[str, Json]:
    """Return a transaction that is signed and not sent."""
    return _render_transaction(tx, tx.max_fee)


def render_log(
    block: Block,
    log: Log,
    *,
    tx_hash: Hash32,
    tx_index: int,
    log_index: int,
    is_removed: bool = False,
) -> dict[str, Json]:
    """Return a log; `log_index` counts through the whole block. A fork may have removed it."""
    return {
        "address": data(log.address),
        "topics": [data(topic) for topic in log.topics],
        "data": data(log.data),
        "blockNumber": quantity(block.header.number),
        "blockHash": data(block.hash),
        "blockTimestamp": quantity(block.header.timestamp),
        "transactionHash": data(tx_hash),
        "transactionIndex": quantity(tx_index),
        "logIndex": quantity(log_index),
        "removed": is_removed,
    }


def render_receipt(block: Block, index: int, receipt: Receipt, first_log: int) -> dict[str, Json]:
    """Return a receipt; `first_log` counts the logs of the block's earlier transactions."""
    tx = as_meant(block.transactions[index])
    result: dict[str, Json] = {
        "transactionHash": data(tx.hash),
        "transactionIndex": quantity(index),
        "blockHash": data(block.hash),
        "blockNumber": quantity(block.header.number),
        "from": data(tx.sender),
        "to": data(tx.to),
        "cumulativeGasUsed": quantity(receipt.cumulative_gas),
        "gasUsed": quantity(receipt.gas_used),
        "effectiveGasPrice": quantity(receipt.effective_gas_price),
        "contractAddress": None,
        "logs": [
            render_log(block, log, tx_hash=tx.hash, tx_index=index, log_index=first_log + place)
            for place, log in enumerate(receipt.logs)
        ],
        "logsBloom": data(receipt.bloom),
        "status": quantity(receipt.status),
        "type": quantity(receipt.type),
    }
    if receipt.output:
        result["revertReason"] = data(receipt.output)
    return result


def render_receipts(block: Block, receipts: Sequence[Receipt]) -> Iterator[dict[str, Json]]:
    """Yield a block's receipts, logs counted through."""
    first_log = 0
    for index, receipt in enumerate(receipts):
        yield render_receipt(block, index, receipt, first_log)
        first_log += len(receipt.logs)


_NOBODY = AccountLeaf(0, Wei(0), EMPTY_TRIE_ROOT, EMPTY_HASH)
"""What stands for an account that is not there (EIP-1186)."""


def render_proof(key_names: Sequence[str], proof: AccountProof) -> dict[str, Json]:
    """Return an EIP-1186 proof; `key_names` are the storage keys as the caller wrote them.

    `nonce` is the leaf's own. A record is longer than the word that Ethereum knows: `value` is all
    of it, "0x0" where there is none.
    """
    leaf = proof.leaf or _NOBODY
    return {
        "address": data(proof.address),
        "accountProof": [data(node) for node in proof.nodes],
        "balance": quantity(leaf.balance),
        "codeHash": data(leaf.code_hash),
        "nonce": quantity(leaf.nonce),
        "storageHash": data(leaf.storage_root),
        "storageProof": [
            {
                "key": name,
                "value": "0x0" if record.record is None else data(record.record),
                "proof": [data(node) for node in record.nodes],
            }
            for name, record in zip(key_names, proof.records, strict=True)
        ],
    }
