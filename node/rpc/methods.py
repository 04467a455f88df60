"""Every method of this node: its name, the function that answers, and what it takes.

Whatever is not in the table does not exist (-32601). `guarded` marks what signs, cheats, governs or
damages: it is refused to foreign origins, and to everybody where the node listens beyond loopback
(DESIGN section 10). `batched` functions take the arguments of consecutive calls at once, in order.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from node.rpc import (
    calls,
    eth,
    fees,
    filters,
    governance,
    logs,
    open_orders,
    perp,
    pool,
    raw,
    recovery,
    signing,
    subscriptions,
)
from node.rpc.blocks import BlockHash, parse_block, parse_block_number
from node.rpc.hex import INT64_MAX, parse_address, parse_data, parse_hash, parse_quantity
from node.rpc.hex import parse_storage_key as read_storage_key
from node.rpc.parameters import Param, parse_bool
from node.rpc.typed_data import parse_typed_data

KEYS_MAX: Final = 1_024
"""Storage keys in one eth_getProof, as in geth."""


class Method(NamedTuple):
    """One row of the table."""

    answer: Callable[..., Any]
    """Takes the Context and the arguments; its docstring is the method's description."""
    params: tuple[Param, ...] = ()
    guarded: bool = False
    batched: bool = False
    needs_faults: bool = False
    """Exists only where faults on purpose can be done."""


def _parse_block_hash(value: object) -> BlockHash:
    return BlockHash(parse_hash(value), require_canonical=False)


def _parse_index(value: object) -> int:
    return parse_quantity(value, highest=INT64_MAX)


def _parse_string(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("cannot unmarshal non-string into a string")
    return value


def _parse_anything(value: object) -> object:
    return value


def _parse_keys(value: object) -> list[tuple[str, bytes]]:
    """Read storage keys; each keeps the form in which the answer repeats it, as geth does."""
    if not isinstance(value, list):
        raise ValueError("cannot unmarshal non-array into storage keys")
    if len(value) > KEYS_MAX:
        raise ValueError(f"too many keys: at most {KEYS_MAX}")
    keys = [(item, read_storage_key(item)) for item in value]
    return [
        ("0x" + key.hex() if len(item) > 65 else hex(int.from_bytes(key, "big")), key)
        for item, key in keys
    ]


_ADDRESS = Param("address", parse_address)
_BLOCK = Param("block", parse_block, "latest")
_BLOCK_NUMBER = Param("block", parse_block_number)
_RAW_BLOCK = Param("block", parse_block)
_BLOCK_HASH = Param("blockHash", parse_hash)
_BLOCK_BY_HASH = Param("blockHash", _parse_block_hash)
_TX_HASH = Param("transactionHash", parse_hash)
_FULL = Param("fullTransactions", parse_bool, False)
_INDEX = Param("index", _parse_index)
_FILTER_ID = Param("filterId", _parse_string)
_LOG_FILTER = Param("filter", logs.parse_log_filter)
_MESSAGE = Param("message", parse_data)
_UNSIGNED = Param("transaction", signing.parse_send)
_TYPED_DATA = (_ADDRESS, Param("typedData", parse_typed_data))
_CALL = (
    Param("transaction", calls.parse_call),
    _BLOCK,
    Param("stateOverrides", calls.parse_overrides, None),
)

METHODS: Final[Mapping[str, Method]] = {
    # the node
    "web3_clientVersion": Method(eth.client_version),
    "net_version": Method(eth.net_version),
    "net_listening": Method(eth.net_listening),
    "eth_chainId": Method(eth.chain_id),
    "eth_syncing": Method(eth.syncing),
    "eth_accounts": Method(signing.list_accounts),
    "eth_coinbase": Method(eth.coinbase),
    "net_peerCount": Method(eth.peer_count),
    "web3_sha3": Method(eth.sha3, (Param("data", parse_data),)),
    # blocks
    "eth_blockNumber": Method(eth.block_number),
    "eth_getBlockByNumber": Method(eth.get_block_by_number, (_BLOCK_NUMBER, _FULL)),
    "eth_getBlockByHash": Method(eth.get_block_by_hash, (_BLOCK_HASH, _FULL)),
    "eth_getBlockTransactionCountByNumber": Method(eth.count_transactions, (_BLOCK_NUMBER,)),
    "eth_getBlockTransactionCountByHash": Method(eth.count_transactions, (_BLOCK_BY_HASH,)),
    "eth_getBlockReceipts": Method(eth.get_block_receipts, (Param("block", parse_block),)),
    "eth_getHeaderByNumber": Method(eth.get_header_by_number, (_BLOCK_NUMBER,)),
    "eth_getHeaderByHash": Method(eth.get_header_by_hash, (_BLOCK_HASH,)),
    "eth_getUncleCountByBlockNumber": Method(eth.count_uncles, (_BLOCK_NUMBER,)),
    "eth_getUncleCountByBlockHash": Method(eth.count_uncles, (_BLOCK_BY_HASH,)),
    "eth_getUncleByBlockNumberAndIndex": Method(eth.get_uncle, (_BLOCK_NUMBER, _INDEX)),
    "eth_getUncleByBlockHashAndIndex": Method(eth.get_uncle, (_BLOCK_BY_HASH, _INDEX)),
    "debug_getRawHeader": Method(raw.get_raw_header, (_RAW_BLOCK,)),
    "debug_getRawBlock": Method(raw.get_raw_block, (_RAW_BLOCK,)),
    "debug_getRawReceipts": Method(raw.get_raw_receipts, (_RAW_BLOCK,)),
    # accounts
    "eth_getBalance": Method(eth.get_balance, (_ADDRESS, _BLOCK)),
    "eth_getCode": Method(eth.get_code, (_ADDRESS, _BLOCK)),
    "eth_getTransactionCount": Method(eth.get_transaction_count, (_ADDRESS, _BLOCK)),
    "eth_getStorageAt": Method(
        eth.get_storage_at, (_ADDRESS, Param("key", read_storage_key), _BLOCK)
    ),
    "eth_getProof": Method(eth.get_proof, (_ADDRESS, Param("keys", _parse_keys), _BLOCK)),
    # transactions
    "eth_getTransactionByHash": Method(eth.get_transaction_by_hash, (_TX_HASH,)),
    "eth_getTransactionByBlockNumberAndIndex": Method(
        eth.get_transaction_by_block, (_BLOCK_NUMBER, _INDEX)
    ),
    "eth_getTransactionByBlockHashAndIndex": Method(
        eth.get_transaction_by_block, (_BLOCK_BY_HASH, _INDEX)
    ),
    "eth_getTransactionReceipt": Method(eth.get_transaction_receipt, (_TX_HASH,)),
    "eth_sendRawTransaction": Method(
        calls.send_raw_transactions, (Param("transaction", parse_data),), batched=True
    ),
    "eth_getRawTransactionByHash": Method(raw.get_raw_transaction, (_TX_HASH,)),
    "eth_getRawTransactionByBlockNumberAndIndex": Method(
        raw.get_raw_transaction_by_block, (_BLOCK_NUMBER, _INDEX)
    ),
    "eth_getRawTransactionByBlockHashAndIndex": Method(
        raw.get_raw_transaction_by_block, (_BLOCK_BY_HASH, _INDEX)
    ),
    "debug_getRawTransaction": Method(raw.get_raw_transaction, (_TX_HASH,)),
    # the node's own accounts
    "eth_sendTransaction": Method(signing.send_transaction, (_UNSIGNED,), guarded=True),
    "eth_signTransaction": Method(signing.sign_transaction, (_UNSIGNED,), guarded=True),
    "eth_sign": Method(signing.sign_message, (_ADDRESS, _MESSAGE), guarded=True),
    "personal_sign": Method(
        signing.personal_sign,
        (_MESSAGE, _ADDRESS, Param("password", _parse_string, None)),
        guarded=True,
    ),
    "eth_signTypedData": Method(signing.sign_typed_data, _TYPED_DATA, guarded=True),
    "eth_signTypedData_v4": Method(signing.sign_typed_data, _TYPED_DATA, guarded=True),
    # what waits
    "txpool_status": Method(pool.get_status),
    "txpool_content": Method(pool.get_content),
    "txpool_inspect": Method(pool.inspect),
    "txpool_contentFrom": Method(pool.get_content_from, (_ADDRESS,)),
    # calls and fees
    "eth_call": Method(calls.call, _CALL),
    "eth_estimateGas": Method(calls.estimate_gas, _CALL),
    "eth_gasPrice": Method(fees.gas_price),
    "eth_blobBaseFee": Method(fees.blob_base_fee),
    "eth_maxPriorityFeePerGas": Method(fees.max_priority_fee_per_gas),
    "eth_feeHistory": Method(
        fees.fee_history,
        (
            Param("blockCount", fees.parse_block_count),
            Param("newestBlock", parse_block_number),
            Param("rewardPercentiles", fees.parse_percentiles, ()),
        ),
    ),
    # logs, filters, subscriptions
    "eth_getLogs": Method(logs.get_logs, (_LOG_FILTER,)),
    "eth_newFilter": Method(filters.new_filter, (_LOG_FILTER,)),
    "eth_newBlockFilter": Method(filters.new_block_filter),
    "eth_newPendingTransactionFilter": Method(filters.new_pending_transaction_filter, (_FULL,)),
    "eth_getFilterChanges": Method(filters.get_filter_changes, (_FILTER_ID,)),
    "eth_getFilterLogs": Method(filters.get_filter_logs, (_FILTER_ID,)),
    "eth_uninstallFilter": Method(filters.uninstall_filter, (_FILTER_ID,)),
    "eth_subscribe": Method(
        subscriptions.subscribe,
        (Param("kind", _parse_string), Param("options", _parse_anything, None)),
    ),
    "eth_unsubscribe": Method(subscriptions.unsubscribe, (Param("subscriptionId", _parse_string),)),
    # the exchange
    "perp_getMarkets": Method(perp.get_markets, (_BLOCK,)),
    "perp_getAccount": Method(perp.get_account, (_ADDRESS, _BLOCK)),
    "perp_getOpenOrders": Method(
        open_orders.get_open_orders,
        (
            _ADDRESS,
            Param("filter", open_orders.parse_order_filter, open_orders.OrderFilter()),
            _BLOCK,
        ),
    ),
    "perp_getOrderBook": Method(
        perp.get_order_book,
        (
            Param("market", open_orders.parse_market),
            Param("depth", perp.parse_depth, perp.DEPTH_DEFAULT),
            _BLOCK,
        ),
    ),
    "perp_getBlock": Method(perp.get_perp_block, (_BLOCK,)),
    "perp_status": Method(perp.get_status),
    "perp_getDisputes": Method(perp.get_disputes),
    # the council
    "gov_getCouncil": Method(governance.get_council),
    "gov_getTypedData": Method(
        governance.get_typed_data,
        (Param("kind", governance.parse_kind), Param("fields", governance.parse_object)),
    ),
    "gov_submitAction": Method(
        governance.submit_action,
        (
            Param("typedData", governance.parse_object),
            Param("signatures", governance.parse_signatures),
        ),
        guarded=True,
    ),
    "gov_getAuditLog": Method(
        governance.get_audit_log,
        (
            Param("first", governance.parse_number, 0),
            Param("count", governance.parse_count, governance.COUNT_DEFAULT),
        ),
    ),
    # snapshots and forks
    "perp_getSnapshots": Method(recovery.get_snapshots),
    "perp_createSnapshot": Method(
        recovery.create_snapshot, (Param("height", recovery.parse_height, None),), guarded=True
    ),
    "perp_makeForkPlan": Method(recovery.make_plan, (Param("wishes", recovery.parse_wishes),)),
    "perp_submitForkPlan": Method(
        recovery.submit_plan,
        (
            Param("plan", recovery.parse_plan),
            Param("signatures", governance.parse_signatures),
        ),
        guarded=True,
    ),
    "perp_getFork": Method(recovery.get_fork, (Param("forkId", recovery.parse_fork_id, None),)),
    "perp_getTransactionStatus": Method(recovery.get_transaction_status, (_TX_HASH,)),
    # faults on purpose: only with --faults
    "debug_injectFault": Method(
        perp.inject_fault,
        (
            Param("kind", perp.parse_fault_kind),
            Param("stage", perp.parse_fault_stage),
            Param("target", perp.parse_fault_target),
            Param("value", perp.parse_integer),
        ),
        guarded=True,
        needs_faults=True,
    ),
}
