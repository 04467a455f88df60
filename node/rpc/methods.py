"""Every method of this node: its name, the function that answers, and what it takes.

Whatever is not in the table does not exist (-32601), and the OpenRPC document of `rpc.discover` is
made of it. `guarded` marks what signs, cheats, governs or
damages: it is refused to foreign origins, and to everybody where the node listens beyond loopback
(DESIGN section 10). `batched` functions take the arguments of consecutive calls at once, in order.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from node.chain.fill_table import INTERVALS
from node.consensus.core import Core
from node.consensus.faults import FaultKind, Stage
from node.rpc import (
    calls,
    compensations,
    development,
    difference,
    eth,
    feeds,
    fees,
    filters,
    governance,
    history,
    logs,
    node_info,
    open_orders,
    perp,
    pool,
    raw,
    recovery,
    signing,
    subscriptions,
)
from node.rpc.blocks import BlockHash, parse_block, parse_block_number
from node.rpc.context import Context
from node.rpc.hex import INT64_MAX, parse_address, parse_data, parse_hash, parse_quantity
from node.rpc.hex import parse_storage_key as read_storage_key
from node.rpc.openrpc import build_document
from node.rpc.parameters import Param, parse_bool
from node.rpc.render import Json
from node.rpc.schema import (
    ADDRESS,
    ANYTHING,
    BOOLEAN,
    COUNT,
    HASH,
    HEX_DATA,
    INTEGER,
    NULL,
    NUMBER,
    OBJECT,
    QUANTITY,
    STRING,
    Schema,
    array,
    by_key,
    const,
    hex_bytes,
    names,
    nullable,
    obj,
    one_of,
    options,
    ref,
)
from node.rpc.schemas import TAG
from node.rpc.typed_data import read_digest

KEYS_MAX: Final = 1_024
"""Storage keys in one eth_getProof, as in geth."""


class Method(NamedTuple):
    """One row of the table."""

    answer: Callable[..., Any]
    """Takes the Context and the arguments; its docstring is the method's description."""
    params: tuple[Param, ...] = ()
    guarded: bool = False
    batched: bool = False
    is_named: bool = False
    """Takes an object of arguments by their names as well."""
    needs_faults: bool = False
    """Exists only where faults on purpose can be done."""
    needs_development: bool = False
    """Exists only where the development helpers do."""
    result: Schema = ANYTHING
    """What the answer looks like (OpenRPC); a test holds real answers against it."""
    example: tuple[Json, ...] | None = None
    """Arguments that make sense, for the OpenRPC document."""

    def is_offered(self, core: Core) -> bool:
        """Tell whether the method exists at this node."""
        return (core.has_faults or not self.needs_faults) and (
            core.has_development or not self.needs_development
        )


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


_ADDRESS = Param("address", parse_address, schema=ADDRESS)
_BLOCK = Param("block", parse_block, "latest", ref("BlockRef"))
_BLOCK_NUMBER = Param("block", parse_block_number, schema=one_of(TAG, QUANTITY))
_RAW_BLOCK = Param("block", parse_block, schema=ref("BlockRef"))
_BLOCK_HASH = Param("blockHash", parse_hash, schema=HASH)
_BLOCK_BY_HASH = Param("blockHash", _parse_block_hash, schema=HASH)
_TX_HASH = Param("transactionHash", parse_hash, schema=HASH)
_FULL = Param("fullTransactions", parse_bool, False, BOOLEAN)
_INDEX = Param("index", _parse_index, schema=QUANTITY)
_FILTER_ID = Param("filterId", _parse_string, schema=STRING)
_SUBSCRIPTION_ID = Param("subscriptionId", _parse_string, schema=STRING)
_LOG_FILTER = Param("filter", logs.parse_log_filter, schema=ref("LogFilter"))
_MARKET = Param("market", open_orders.parse_market, schema=COUNT)
_SPAN = Param("span", history.parse_span, history.Span(), ref("Span"))
_SIGNATURES = Param("signatures", governance.parse_signatures, schema=array(HEX_DATA))
_MESSAGE = Param("message", parse_data, schema=HEX_DATA)
_UNSIGNED = Param("transaction", signing.parse_send, schema=ref("CallRequest"))
_TYPED_DATA = (
    _ADDRESS,
    Param("typedData", read_digest, schema=one_of(OBJECT, STRING)),
)
_CALL = (
    Param("transaction", calls.parse_call, schema=ref("CallRequest")),
    _BLOCK,
    Param("stateOverrides", calls.parse_overrides, None, const({})),
)
_NUMBER_SCHEMA = one_of(COUNT, STRING)
_NUMBER = Param("value", development.parse_number, schema=_NUMBER_SCHEMA)
_SECONDS = Param("seconds", development.parse_seconds, schema=_NUMBER_SCHEMA)
_MINE_OPTIONS = Param(
    "options",
    development.parse_mine,
    development.MineOptions(),
    one_of(_NUMBER_SCHEMA, options(timestamp=_NUMBER_SCHEMA, blocks=_NUMBER_SCHEMA)),
)
_TOKEN = Param("token", parse_address, schema=ADDRESS)
_IS_ON = Param("isOn", parse_bool, schema=BOOLEAN)
_BLOCK_OR_NULL = nullable(ref("Block"))
_HEADER_OR_NULL = nullable(ref("Header"))
_TX_OR_NULL = nullable(ref("Transaction"))
_LOGS = array(ref("Log"))
_MAKER = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
"""The second account of the well-known mnemonic, which examples name."""


def _pool(content: Schema) -> Schema:
    return obj(pending=content, queued=content)


def discover(context: Context) -> Json:
    """Return the OpenRPC document: every method, what it takes and what it answers."""
    offered = {name: each for name, each in METHODS.items() if each.is_offered(context.core)}
    return build_document(offered)


def _helper(
    names: str, answer: Callable[..., Any], *params: Param, result: Schema = NULL
) -> dict[str, Method]:
    """Return the rows of a development helper, one for each of its names."""
    method = Method(answer, params, guarded=True, needs_development=True, result=result)
    return dict.fromkeys(names.split(), method)


METHODS: Final[Mapping[str, Method]] = {
    # the node
    "rpc.discover": Method(discover, result=OBJECT, example=()),
    "node_info": Method(node_info.get_info, result=ref("NodeInfo"), example=()),
    "web3_clientVersion": Method(eth.client_version, result=STRING),
    "net_version": Method(eth.net_version, result=STRING),
    "net_listening": Method(eth.net_listening, result=BOOLEAN),
    "eth_chainId": Method(eth.chain_id, result=QUANTITY),
    "eth_syncing": Method(eth.syncing, result=const(False)),
    "eth_accounts": Method(signing.list_accounts, result=array(ADDRESS)),
    "eth_coinbase": Method(eth.coinbase, result=ADDRESS),
    "net_peerCount": Method(eth.peer_count, result=QUANTITY),
    "web3_sha3": Method(eth.sha3, (Param("data", parse_data, schema=HEX_DATA),), result=HASH),
    # blocks
    "eth_blockNumber": Method(eth.block_number, result=QUANTITY),
    "eth_getBlockByNumber": Method(
        eth.get_block_by_number, (_BLOCK_NUMBER, _FULL), result=_BLOCK_OR_NULL
    ),
    "eth_getBlockByHash": Method(
        eth.get_block_by_hash, (_BLOCK_HASH, _FULL), result=_BLOCK_OR_NULL
    ),
    "eth_getBlockTransactionCountByNumber": Method(
        eth.count_transactions, (_BLOCK_NUMBER,), result=nullable(QUANTITY)
    ),
    "eth_getBlockTransactionCountByHash": Method(
        eth.count_transactions, (_BLOCK_BY_HASH,), result=nullable(QUANTITY)
    ),
    "eth_getBlockReceipts": Method(
        eth.get_block_receipts,
        (Param("block", parse_block, schema=ref("BlockRef")),),
        result=nullable(array(ref("Receipt"))),
    ),
    "eth_getHeaderByNumber": Method(
        eth.get_header_by_number, (_BLOCK_NUMBER,), result=_HEADER_OR_NULL
    ),
    "eth_getHeaderByHash": Method(eth.get_header_by_hash, (_BLOCK_HASH,), result=_HEADER_OR_NULL),
    "eth_getUncleCountByBlockNumber": Method(
        eth.count_uncles, (_BLOCK_NUMBER,), result=nullable(QUANTITY)
    ),
    "eth_getUncleCountByBlockHash": Method(
        eth.count_uncles, (_BLOCK_BY_HASH,), result=nullable(QUANTITY)
    ),
    "eth_getUncleByBlockNumberAndIndex": Method(
        eth.get_uncle, (_BLOCK_NUMBER, _INDEX), result=NULL
    ),
    "eth_getUncleByBlockHashAndIndex": Method(eth.get_uncle, (_BLOCK_BY_HASH, _INDEX), result=NULL),
    "debug_getRawHeader": Method(raw.get_raw_header, (_RAW_BLOCK,), result=HEX_DATA),
    "debug_getRawBlock": Method(raw.get_raw_block, (_RAW_BLOCK,), result=HEX_DATA),
    "debug_getRawReceipts": Method(raw.get_raw_receipts, (_RAW_BLOCK,), result=array(HEX_DATA)),
    # accounts
    "eth_getBalance": Method(eth.get_balance, (_ADDRESS, _BLOCK), result=QUANTITY),
    "eth_getCode": Method(eth.get_code, (_ADDRESS, _BLOCK), result=HEX_DATA),
    "eth_getTransactionCount": Method(
        eth.get_transaction_count, (_ADDRESS, _BLOCK), result=QUANTITY
    ),
    "eth_getStorageAt": Method(
        eth.get_storage_at,
        (_ADDRESS, Param("key", read_storage_key, schema=STRING), _BLOCK),
        result=HASH,
    ),
    "eth_getProof": Method(
        eth.get_proof,
        (_ADDRESS, Param("keys", _parse_keys, schema=array(STRING)), _BLOCK),
        result=ref("Proof"),
    ),
    # transactions
    "eth_getTransactionByHash": Method(
        eth.get_transaction_by_hash, (_TX_HASH,), result=_TX_OR_NULL
    ),
    "eth_getTransactionByBlockNumberAndIndex": Method(
        eth.get_transaction_by_block, (_BLOCK_NUMBER, _INDEX), result=_TX_OR_NULL
    ),
    "eth_getTransactionByBlockHashAndIndex": Method(
        eth.get_transaction_by_block, (_BLOCK_BY_HASH, _INDEX), result=_TX_OR_NULL
    ),
    "eth_getTransactionReceipt": Method(
        eth.get_transaction_receipt, (_TX_HASH,), result=nullable(ref("Receipt"))
    ),
    "eth_sendRawTransaction": Method(
        calls.send_raw_transactions,
        (Param("transaction", parse_data, schema=HEX_DATA),),
        batched=True,
        result=HASH,
    ),
    "eth_getRawTransactionByHash": Method(raw.get_raw_transaction, (_TX_HASH,), result=HEX_DATA),
    "eth_getRawTransactionByBlockNumberAndIndex": Method(
        raw.get_raw_transaction_by_block, (_BLOCK_NUMBER, _INDEX), result=HEX_DATA
    ),
    "eth_getRawTransactionByBlockHashAndIndex": Method(
        raw.get_raw_transaction_by_block, (_BLOCK_BY_HASH, _INDEX), result=HEX_DATA
    ),
    "debug_getRawTransaction": Method(raw.get_raw_transaction, (_TX_HASH,), result=HEX_DATA),
    # the node's own accounts
    "eth_sendTransaction": Method(
        signing.send_transaction, (_UNSIGNED,), guarded=True, result=HASH
    ),
    "eth_signTransaction": Method(
        signing.sign_transaction,
        (_UNSIGNED,),
        guarded=True,
        result=obj(raw=HEX_DATA, tx=ref("SignedTransaction")),
    ),
    "eth_sign": Method(
        signing.sign_message, (_ADDRESS, _MESSAGE), guarded=True, result=hex_bytes(65)
    ),
    "personal_sign": Method(
        signing.personal_sign,
        (_MESSAGE, _ADDRESS, Param("password", _parse_string, None, STRING)),
        guarded=True,
        result=hex_bytes(65),
    ),
    "eth_signTypedData": Method(
        signing.sign_typed_data, _TYPED_DATA, guarded=True, result=hex_bytes(65)
    ),
    "eth_signTypedData_v4": Method(
        signing.sign_typed_data, _TYPED_DATA, guarded=True, result=hex_bytes(65)
    ),
    # what waits
    "txpool_status": Method(pool.get_status, result=_pool(QUANTITY)),
    "txpool_content": Method(pool.get_content, result=_pool(by_key(by_key(ref("Transaction"))))),
    "txpool_inspect": Method(pool.inspect, result=_pool(by_key(by_key(STRING)))),
    "txpool_contentFrom": Method(
        pool.get_content_from, (_ADDRESS,), result=_pool(by_key(ref("Transaction")))
    ),
    # calls and fees
    "eth_call": Method(calls.call, _CALL, result=HEX_DATA),
    "eth_estimateGas": Method(calls.estimate_gas, _CALL, result=QUANTITY),
    "eth_gasPrice": Method(fees.gas_price, result=QUANTITY),
    "eth_blobBaseFee": Method(fees.blob_base_fee, result=QUANTITY),
    "eth_maxPriorityFeePerGas": Method(fees.max_priority_fee_per_gas, result=QUANTITY),
    "eth_feeHistory": Method(
        fees.fee_history,
        (
            Param("blockCount", fees.parse_block_count, schema=one_of(QUANTITY, COUNT)),
            Param("newestBlock", parse_block_number, schema=one_of(TAG, QUANTITY)),
            Param("rewardPercentiles", fees.parse_percentiles, (), array(NUMBER)),
        ),
        result=ref("FeeHistory"),
    ),
    # logs, filters, subscriptions
    "eth_getLogs": Method(logs.get_logs, (_LOG_FILTER,), result=_LOGS),
    "eth_newFilter": Method(filters.new_filter, (_LOG_FILTER,), result=STRING),
    "eth_newBlockFilter": Method(filters.new_block_filter, result=STRING),
    "eth_newPendingTransactionFilter": Method(
        filters.new_pending_transaction_filter, (_FULL,), result=STRING
    ),
    "eth_getFilterChanges": Method(
        filters.get_filter_changes,
        (_FILTER_ID,),
        result=one_of(_LOGS, array(HASH), array(ref("Transaction"))),
    ),
    "eth_getFilterLogs": Method(filters.get_filter_logs, (_FILTER_ID,), result=_LOGS),
    "eth_uninstallFilter": Method(filters.uninstall_filter, (_FILTER_ID,), result=BOOLEAN),
    "eth_subscribe": Method(
        subscriptions.subscribe,
        (
            Param("kind", _parse_string, schema=names(subscriptions.KINDS)),
            Param("options", _parse_anything, None, one_of(BOOLEAN, ref("LogFilter"))),
        ),
        result=STRING,
    ),
    "eth_unsubscribe": Method(subscriptions.unsubscribe, (_SUBSCRIPTION_ID,), result=BOOLEAN),
    # the exchange
    "perp_getMarkets": Method(
        perp.get_markets, (_BLOCK,), result=array(ref("Market")), example=("latest",)
    ),
    "perp_getMarket": Method(
        perp.get_market, (_MARKET, _BLOCK), result=ref("Market"), example=(1, "latest")
    ),
    "perp_getAccount": Method(
        perp.get_account, (_ADDRESS, _BLOCK), result=ref("Account"), example=(_MAKER, "latest")
    ),
    "perp_getOpenOrders": Method(
        open_orders.get_open_orders,
        (
            _ADDRESS,
            Param(
                "filter",
                open_orders.parse_order_filter,
                open_orders.OrderFilter(),
                ref("OrderFilter"),
            ),
            _BLOCK,
        ),
        result=ref("OpenOrders"),
        example=(_MAKER, {"market": 1, "side": "sell"}),
    ),
    "perp_getOrderBook": Method(
        perp.get_order_book,
        (_MARKET, Param("depth", perp.parse_depth, perp.DEPTH_DEFAULT, COUNT), _BLOCK),
        result=ref("OrderBook"),
        example=(1, 20, "latest"),
    ),
    "perp_getTrades": Method(
        history.get_trades,
        (
            _MARKET,
            Param("search", history.parse_trade_search, history.Search(), ref("TradeSearch")),
            _BLOCK,
        ),
        result=ref("Trades"),
        example=(1, {"limit": 2}),
    ),
    "perp_getCandles": Method(
        history.get_candles,
        (
            _MARKET,
            Param("interval", history.parse_interval, schema=names(INTERVALS)),
            _SPAN,
            _BLOCK,
        ),
        result=ref("Candles"),
        example=(1, "1m", {"limit": 2}),
    ),
    "perp_getFundingHistory": Method(
        history.get_funding_history,
        (_MARKET, _SPAN, _BLOCK),
        result=ref("FundingHistory"),
        example=(1, {"limit": 2}),
    ),
    "perp_getFundingPayments": Method(
        history.get_funding_payments,
        (
            _ADDRESS,
            Param("search", history.parse_payment_search, history.Search(), ref("PaymentSearch")),
            _BLOCK,
        ),
        result=ref("FundingPayments"),
        example=(_MAKER, {"market": 1}),
    ),
    "perp_getBlock": Method(
        perp.get_perp_block, (_BLOCK,), result=nullable(ref("BlockDetails")), example=("latest",)
    ),
    "perp_getCertificate": Method(
        perp.get_certificate,
        (Param("block", parse_block, "safe", ref("BlockRef")),),
        result=nullable(ref("Certificate")),
        example=("safe",),
    ),
    "perp_status": Method(perp.get_status, result=ref("Status"), example=()),
    "perp_getDisputes": Method(perp.get_disputes, result=array(ref("Dispute")), example=()),
    "perp_subscribe": Method(
        feeds.subscribe,
        (
            Param("kind", _parse_string, schema=names(feeds.KINDS)),
            Param("options", governance.parse_object, {}, ref("FeedOptions")),
        ),
        result=STRING,
        example=("orderBook", {"market": 1, "depth": 20}),
    ),
    "perp_unsubscribe": Method(
        subscriptions.unsubscribe, (_SUBSCRIPTION_ID,), result=BOOLEAN, example=("0x1",)
    ),
    # the council
    "gov_getCouncil": Method(governance.get_council, result=ref("Council"), example=()),
    "gov_getTypedData": Method(
        governance.get_typed_data,
        (
            Param("kind", governance.parse_kind, schema=ref("ActionKind")),
            Param("fields", governance.parse_object, schema=OBJECT),
        ),
        result=ref("SignableAction"),
        example=(
            "Halt",
            {
                "height": 0,
                "expiresAt": 4_102_444_800,
                "expiresAtHeight": 1_000_000,
                "reason": "a rehearsal",
                "nonce": "0x" + "11" * 32,
            },
        ),
    ),
    "gov_submitAction": Method(
        governance.submit_action,
        (Param("typedData", governance.parse_object, schema=ref("TypedData")), _SIGNATURES),
        guarded=True,
        result=ref("TakenAction"),
    ),
    "gov_getAuditLog": Method(
        governance.get_audit_log,
        (
            Param("first", governance.parse_number, 0, COUNT),
            Param("count", governance.parse_count, governance.COUNT_DEFAULT, COUNT),
        ),
        result=ref("AuditLog"),
        example=(0, 10),
    ),
    "perp_getCompensations": Method(
        compensations.get_compensations,
        (_BLOCK,),
        result=array(ref("Compensation")),
        example=("latest",),
    ),
    "perp_getRefund": Method(
        compensations.get_refund,
        (Param("compensation", governance.parse_number, schema=COUNT), _ADDRESS, _BLOCK),
        result=ref("PaidRefund"),
        example=(1, _MAKER),
    ),
    # snapshots and forks
    "perp_getSnapshots": Method(recovery.get_snapshots, result=array(ref("Snapshot")), example=()),
    "perp_createSnapshot": Method(
        recovery.create_snapshot,
        (Param("height", recovery.parse_height, None, COUNT),),
        guarded=True,
        result=obj(name=STRING, blockHash=HASH),
        example=(),
    ),
    "perp_makeForkPlan": Method(
        recovery.make_plan,
        (
            Param(
                "wishes",
                recovery.parse_wishes,
                schema={**options(reason=STRING, snapshot=STRING), "required": ["reason"]},
            ),
        ),
        result=ref("ForkPlan"),
        example=({"reason": "a rehearsal", "snapshot": "latest"},),
    ),
    "perp_submitForkPlan": Method(
        recovery.submit_plan,
        (Param("plan", recovery.parse_plan, schema=STRING), _SIGNATURES),
        guarded=True,
        result=ref("CarriedPlan"),
    ),
    "perp_getDifference": Method(
        difference.get_difference,
        (
            Param("before", parse_block, schema=ref("BlockRef")),
            Param("after", parse_block, "latest", ref("BlockRef")),
            Param("limit", difference.parse_limit, difference.LIMIT_DEFAULT, COUNT),
        ),
        result=ref("Difference"),
        example=("earliest", "latest", 10),
    ),
    "perp_getFork": Method(
        recovery.get_fork,
        (Param("forkId", recovery.parse_fork_id, None, COUNT),),
        result=nullable(ref("Fork")),
        example=(),
    ),
    "perp_getTransactionStatus": Method(
        recovery.get_transaction_status,
        (_TX_HASH,),
        result=ref("TransactionStatus"),
        example=("0x" + "22" * 32,),
    ),
    # development helpers: only where genesis says `dev`, at the sequencer
    **_helper(
        "evm_snapshot anvil_snapshot hardhat_snapshot", development.snapshot, result=QUANTITY
    ),
    **_helper(
        "evm_revert anvil_revert hardhat_revert",
        development.revert,
        _NUMBER,
        result=BOOLEAN,
    ),
    **_helper(
        "evm_mine",
        development.evm_mine,
        _MINE_OPTIONS,
        result=const("0x0"),
    ),
    **_helper(
        "anvil_mine_detailed evm_mine_detailed",
        development.mine_detailed,
        _MINE_OPTIONS,
        result=array(ref("DetailedBlock")),
    ),
    **_helper(
        "anvil_mine hardhat_mine",
        development.mine,
        Param("blocks", development.parse_count, 1, _NUMBER_SCHEMA),
        Param("interval", development.parse_seconds, 0, _NUMBER_SCHEMA),
    ),
    **_helper(
        "evm_increaseTime anvil_increaseTime",
        development.increase_time,
        _SECONDS,
        result=INTEGER,
    ),
    **_helper(
        "evm_setTime anvil_setTime",
        development.set_time,
        Param("time", development.parse_time, schema=_NUMBER_SCHEMA),
        result=INTEGER,
    ),
    **_helper(
        "evm_setNextBlockTimestamp anvil_setNextBlockTimestamp",
        development.set_next_block_timestamp,
        _SECONDS,
    ),
    **_helper(
        "anvil_setBlockTimestampInterval",
        development.set_timestamp_interval,
        _SECONDS,
    ),
    **_helper(
        "hardhat_setBlockTimestampInterval",
        development.set_timestamp_interval_ms,
        Param("milliseconds", development.parse_seconds, schema=_NUMBER_SCHEMA),
    ),
    **_helper(
        "anvil_removeBlockTimestampInterval hardhat_removeBlockTimestampInterval",
        development.remove_timestamp_interval,
        result=BOOLEAN,
    ),
    **_helper("anvil_setBalance hardhat_setBalance", development.set_balance, _ADDRESS, _NUMBER),
    **_helper("anvil_addBalance hardhat_addBalance", development.add_balance, _ADDRESS, _NUMBER),
    **_helper(
        "anvil_setNonce hardhat_setNonce evm_setAccountNonce",
        development.set_nonce,
        _ADDRESS,
        Param("nonce", development.parse_int64, schema=_NUMBER_SCHEMA),
    ),
    **_helper(
        "anvil_dealERC20 hardhat_dealERC20 anvil_setERC20Balance",
        development.deal_erc20,
        _ADDRESS,
        _TOKEN,
        _NUMBER,
    ),
    **_helper(
        "anvil_setERC20Allowance hardhat_setERC20Allowance",
        development.set_allowance,
        _ADDRESS,
        Param("spender", parse_address, schema=ADDRESS),
        _TOKEN,
        _NUMBER,
    ),
    **_helper(
        "anvil_impersonateAccount hardhat_impersonateAccount",
        development.impersonate,
        _ADDRESS,
    ),
    **_helper(
        "anvil_stopImpersonatingAccount hardhat_stopImpersonatingAccount",
        development.stop_impersonating,
        _ADDRESS,
    ),
    **_helper(
        "anvil_autoImpersonateAccount hardhat_autoImpersonateAccount",
        development.impersonate_all,
        _IS_ON,
    ),
    **_helper("evm_setAutomine anvil_setAutomine", development.set_automine, _IS_ON),
    **_helper("anvil_getAutomine hardhat_getAutomine", development.get_automine, result=BOOLEAN),
    **_helper(
        "evm_setIntervalMining anvil_setIntervalMining",
        development.set_interval_mining,
        _SECONDS,
    ),
    **_helper("anvil_getIntervalMining", development.get_interval_mining, result=nullable(NUMBER)),
    **_helper(
        "anvil_dropTransaction hardhat_dropTransaction",
        development.drop_transaction,
        _TX_HASH,
        result=nullable(HASH),
    ),
    **_helper(
        "anvil_dropAllTransactions hardhat_dropAllTransactions",
        development.drop_all_transactions,
    ),
    **_helper("anvil_removePoolTransactions", development.remove_pool_transactions, _ADDRESS),
    **_helper(
        "anvil_reset hardhat_reset",
        development.reset,
        Param("options", development.parse_reset, None, OBJECT),
    ),
    **_helper(
        "anvil_rollback",
        development.rollback,
        Param("depth", development.parse_int64, 1, _NUMBER_SCHEMA),
    ),
    "anvil_reorg": Method(  # alloy sends its arguments by name
        development.reorg,
        (
            Param("depth", development.parse_count, schema=_NUMBER_SCHEMA),
            Param(
                "tx_block_pairs",
                development.parse_insertions,
                (),
                array(array(one_of(ref("CallRequest"), HEX_DATA, _NUMBER_SCHEMA))),
            ),
        ),
        guarded=True,
        is_named=True,
        needs_development=True,
        result=NULL,
    ),
    **_helper(
        "anvil_dumpState hardhat_dumpState",
        development.dump_state,
        Param("preserveHistoricalStates", parse_bool, False, BOOLEAN),
        result=HEX_DATA,
    ),
    **_helper(
        "anvil_loadState hardhat_loadState",
        development.load_state,
        Param("state", parse_data, schema=HEX_DATA),
        result=const(True),
    ),
    **_helper("anvil_nodeInfo", development.node_info, result=ref("AnvilNodeInfo")),
    **_helper("anvil_metadata hardhat_metadata", development.metadata, result=ref("AnvilMetadata")),
    **_helper("anvil_setLoggingEnabled hardhat_setLoggingEnabled", development.set_logging, _IS_ON),
    "perp_fastForward": Method(
        development.fast_forward,
        (Param("seconds", development.parse_forward, schema=_NUMBER_SCHEMA),),
        guarded=True,
        needs_development=True,
        result=obj(blocks=COUNT, blockNumber=COUNT, timeMs=COUNT),
        example=(3_600,),
    ),
    # faults on purpose: only with --faults
    "debug_injectFault": Method(
        perp.inject_fault,
        (
            Param("kind", perp.parse_fault_kind, schema=names(FaultKind)),
            Param("stage", perp.parse_fault_stage, schema=names(Stage)),
            Param("target", perp.parse_fault_target, schema=one_of(COUNT, ADDRESS)),
            Param("value", perp.parse_integer, schema=one_of(INTEGER, STRING)),
        ),
        guarded=True,
        needs_faults=True,
        result=obj(
            kind=names(FaultKind),
            stage=names(Stage),
            target=one_of(COUNT, ADDRESS),
            before=STRING,
            value=STRING,
        ),
    ),
}

LASTING: Final = frozenset(
    {
        "web3_clientVersion",
        "net_version",
        "net_listening",
        "eth_chainId",
        "eth_syncing",
        "eth_coinbase",
        "eth_blockNumber",
        "eth_getBlockByNumber",
        "eth_getBlockByHash",
        "eth_getBlockTransactionCountByNumber",
        "eth_getBlockTransactionCountByHash",
        "eth_getBlockReceipts",
        "eth_getHeaderByNumber",
        "eth_getHeaderByHash",
        "eth_getUncleCountByBlockNumber",
        "eth_getUncleCountByBlockHash",
        "eth_getBalance",
        "eth_getCode",
        "eth_getTransactionCount",
        "eth_getStorageAt",
        "eth_getProof",
        "eth_getTransactionByBlockNumberAndIndex",
        "eth_getTransactionByBlockHashAndIndex",
        "eth_getTransactionReceipt",
        "eth_call",
        "eth_estimateGas",
        "eth_gasPrice",
        "eth_maxPriorityFeePerGas",
        "eth_feeHistory",
        "eth_getLogs",
        "perp_getMarkets",
        "perp_getMarket",
        "perp_getAccount",
        "perp_getOpenOrders",
        "perp_getOrderBook",
        "perp_getTrades",
        "perp_getCandles",
        "perp_getFundingHistory",
        "perp_getFundingPayments",
        "perp_getBlock",
        "perp_getCompensations",
        "perp_getRefund",
        "gov_getAuditLog",
    }
)
"""What depends on nothing but the arguments and the heads (latest, safe, finalized): the front
keeps such an answer until one of them moves, unless the arguments name `pending`."""
