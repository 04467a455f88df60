"""Every eth_ answer against the schemas of Ethereum's execution-apis, with real data.

The schemas are those that MetaMask publishes (npm `@metamask/api-specs`), which trail
execution-apis. `amend` states what has been added there since and where ours must differ, each with
its reason; all else is as published.
"""

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from eth_account import Account
from eth_utils.crypto import keccak
from jsonschema import Draft7Validator
from jsonschema.exceptions import best_match

from node.chain.keys import COUNCIL
from node.rpc.methods import METHODS
from node.system.contracts import GOVERNANCE
from tests.conformance.trade import (
    CHAIN_ID,
    EXCHANGE,
    NODE_MODULES,
    TOKEN,
    abi_of,
    address_of,
    funder_key,
)
from tests.helpers.devnet import Devnet, poll

DOCUMENT = NODE_MODULES / "@metamask" / "api-specs" / "dist" / "build" / "openrpc.json"
GWEI = 10**9
FUNDER = funder_key(6)
SENDER = address_of(FUNDER)
UNKNOWN = "0x" + "11" * 32
TYPED_DATA = {
    "types": {"EIP712Domain": [{"name": "name", "type": "string"}]},
    "primaryType": "EIP712Domain",
    "domain": {"name": "test"},
    "message": {},
}

UINT = {"$ref": "#/components/schemas/uint"}
HASH = {"$ref": "#/components/schemas/hash32"}
BYTES = {"$ref": "#/components/schemas/bytes"}
ADDRESS = {"$ref": "#/components/schemas/address"}
NOT_FOUND = {"$ref": "#/components/schemas/notFound"}
BLOCK = {"$ref": "#/components/schemas/Block"}
TX = {"$ref": "#/components/schemas/TransactionInfo"}
RECEIPT = {"$ref": "#/components/schemas/ReceiptInfo"}


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    return {"oneOf": [{"type": "null"}, schema]}


def _array(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def amend(schemas: dict[str, Any]) -> None:
    """Bring MetaMask's copy up to what execution-apis says, and to where ours must differ."""
    # execution-apis since: the block's time in transactions (required) and in logs (permitted).
    context = schemas["TransactionInfo"]["allOf"][0]
    context["properties"]["blockTimestamp"] = UINT
    context["required"].append("blockTimestamp")
    schemas["Log"]["properties"]["blockTimestamp"] = UINT
    # execution-apis writes `additionalProperties: false` there; MetaMask's merge leaves it to a
    # keyword of a later draft. Ours must have no member that no kind of transaction has.
    members = set(context["properties"])
    for name in ("Legacy", "2930", "1559"):
        members |= set(schemas[f"Transaction{name}Unsigned"]["properties"])
    members |= {"v", "yParity", "r", "s"}
    schemas["TransactionInfo"]["propertyNames"] = {"enum": sorted(members)}
    # Ours: the ABI error of a reverted transaction, as Besu gives it; nothing else would tell.
    schemas["ReceiptInfo"]["properties"]["revertReason"] = BYTES
    # What libraries and MetaMask read is there, though the schema leaves it open.
    schemas["ReceiptInfo"]["required"] += ["type", "status", "to", "contractAddress"]
    schemas["Block"]["required"] += ["baseFeePerGas", "withdrawalsRoot", "withdrawals"]
    schemas["Log"]["required"] = sorted(schemas["Log"]["properties"])
    # Ours: a record is longer than the word of an EVM's storage, so a proven value may be too.
    schemas["StorageProof"]["properties"]["value"] = {"anyOf": [{"const": "0x0"}, BYTES]}


def pending(schemas: dict[str, Any]) -> None:
    """What is not known before sealing is null, as geth has it."""
    context = schemas["TransactionInfo"]["allOf"][0]["properties"]
    for name in ("blockHash", "blockNumber", "blockTimestamp", "transactionIndex"):
        context[name] = {"type": "null"}
    for name in ("hash", "nonce", "miner"):
        schemas["Block"]["properties"][name] = {"type": "null"}


OWN_RESULTS: dict[str, Any] = {
    "debug_getRawBlock": BYTES,
    "debug_getRawHeader": BYTES,
    "debug_getRawReceipts": _array(BYTES),
    "debug_getRawTransaction": BYTES,
    "eth_blobBaseFee": UINT,
    "eth_getBlockReceipts": _nullable(_array(RECEIPT)),
    "eth_getRawTransactionByBlockHashAndIndex": BYTES,
    "eth_getRawTransactionByBlockNumberAndIndex": BYTES,
    "eth_getRawTransactionByHash": BYTES,
    "eth_getUncleByBlockHashAndIndex": {"type": "null"},
    "eth_getUncleByBlockNumberAndIndex": {"type": "null"},
    "eth_maxPriorityFeePerGas": UINT,
    "eth_sign": {"$ref": "#/components/schemas/bytes65"},
    "net_version": {"type": "string", "pattern": "^[0-9]+$"},
    "net_listening": {"type": "boolean"},
    "net_peerCount": UINT,
    "web3_sha3": HASH,
}
"""Of methods that execution-apis, or Ethereum's wiki before it, has and MetaMask leaves out."""

WITHOUT_SCHEMA = {
    "eth_getHeaderByHash": "geth's own: tests/rpc/test_eth.py compares it with the block",
    "eth_getHeaderByNumber": "geth's own: tests/rpc/test_eth.py compares it with the block",
    "eth_signTransaction": "geth's {raw, tx}, which web3.py needs; execution-apis has the bytes",
    "eth_signTypedData": "an alias of eth_signTypedData_v4",
    "eth_subscribe": "WebSocket only: test_web3_suite.py",
    "eth_unsubscribe": "WebSocket only: test_web3_suite.py",
}


class Facts:
    """A chain with something of every kind on it, and how to ask about it."""

    def __init__(self, devnet: Devnet) -> None:
        self.rpc = devnet.rpc
        self.nonce = int(self.rpc.call("eth_getTransactionCount", SENDER, "latest"), 16)
        gift = {"to": SENDER, "value": 1, "gas": 60_000}
        access = [{"address": EXCHANGE, "storageKeys": [UNKNOWN]}]
        faucet = {"to": TOKEN, "data": _call("Token", "faucet", 5_000_000), "gas": 500_000}
        withdraw = {"to": EXCHANGE, "data": _call("Exchange", "withdraw", 7), "gas": 500_000}
        self.mined = {
            "legacy": self.send(gift, gasPrice=2 * GWEI),
            "eip2930": self.send(gift, gasPrice=2 * GWEI, accessList=access, type=1),
            "eip1559": self.send(gift, maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=7),
            "logs": self.send(faucet, maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=0),
            "reverted": self.send(withdraw, maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=0),
        }
        receipts = {name: self.rpc.receipt(tx_hash) for name, tx_hash in self.mined.items()}
        self.logs = receipts["logs"]
        self.reverted = receipts["reverted"]
        self.block = self.logs["blockNumber"]
        self.block_hash = self.logs["blockHash"]
        self.nonce += 1  # the next one waits for its predecessor: pending for ever
        self.waiting = self.send(gift, maxFeePerGas=3 * GWEI, maxPriorityFeePerGas=7)

    def send(self, fields: dict[str, Any], **more: Any) -> str:
        tx = {"chainId": CHAIN_ID, "nonce": self.nonce, **fields, **more}
        self.nonce += 1
        raw = "0x" + bytes(Account.sign_transaction(tx, FUNDER).raw_transaction).hex()
        tx_hash: str = self.rpc.call("eth_sendRawTransaction", raw)
        return tx_hash

    def make_filter(self, method: str, *params: Any) -> str:
        filter_id: str = self.rpc.call(method, *params)
        return filter_id


def _call(contract: str, function: str, amount: int) -> str:
    (entry,) = [each for each in abi_of(contract) if each.get("name") == function]
    assert [each["type"] for each in entry["inputs"]] == ["uint256"]
    return "0x" + (keccak(text=f"{function}(uint256)")[:4] + amount.to_bytes(32, "big")).hex()


@pytest.fixture(scope="module")
def facts(chain: Devnet) -> Facts:
    return Facts(chain)


Ask = Callable[[Facts], list[Any]]


def _block(tag: str, full: bool) -> Ask:
    return lambda facts: [facts.block if tag == "mined" else tag, full]


def _mined(kind: str) -> Ask:
    return lambda facts: [facts.mined[kind]]


def _signed_transfer(facts: Facts) -> list[Any]:
    tx = {"chainId": CHAIN_ID, "nonce": facts.nonce + 100, "to": SENDER, "value": 0}
    signed = Account.sign_transaction(tx | {"gas": 21_000, "gasPrice": 2 * GWEI}, FUNDER)
    return ["0x" + bytes(signed.raw_transaction).hex()]


KINDS = ("legacy", "eip2930", "eip1559", "logs", "reverted")
CASES: dict[str, tuple[str, Ask]] = {
    "chain id": ("eth_chainId", lambda _: []),
    "net version": ("net_version", lambda _: []),
    "net listening": ("net_listening", lambda _: []),
    "peers": ("net_peerCount", lambda _: []),
    "keccak": ("web3_sha3", lambda _: ["0x12"]),
    "client": ("web3_clientVersion", lambda _: []),
    "syncing": ("eth_syncing", lambda _: []),
    "coinbase": ("eth_coinbase", lambda _: []),
    "block number": ("eth_blockNumber", lambda _: []),
    **{
        f"{tag} block{', full' * full}": ("eth_getBlockByNumber", _block(tag, full))
        for tag in ("mined", "latest", "safe", "finalized", "earliest")
        for full in (False, True)
    },
    "block by hash": ("eth_getBlockByHash", lambda f: [f.block_hash, True]),
    "no block": ("eth_getBlockByNumber", lambda _: ["0xffffff", False]),
    "no block of a hash": ("eth_getBlockByHash", lambda _: [UNKNOWN, False]),
    "count by number": ("eth_getBlockTransactionCountByNumber", lambda f: [f.block]),
    "count by hash": ("eth_getBlockTransactionCountByHash", lambda f: [f.block_hash]),
    "no count": ("eth_getBlockTransactionCountByHash", lambda _: [UNKNOWN]),
    "uncles by number": ("eth_getUncleCountByBlockNumber", lambda f: [f.block]),
    "uncles by hash": ("eth_getUncleCountByBlockHash", lambda f: [f.block_hash]),
    "uncle by number": ("eth_getUncleByBlockNumberAndIndex", lambda f: [f.block, "0x0"]),
    "uncle by hash": ("eth_getUncleByBlockHashAndIndex", lambda f: [f.block_hash, "0x0"]),
    "receipts": ("eth_getBlockReceipts", lambda f: [f.block]),
    "receipts by object": (
        "eth_getBlockReceipts",
        lambda f: [{"blockHash": f.block_hash, "requireCanonical": True}],
    ),
    "no receipts": ("eth_getBlockReceipts", lambda _: ["0xffffff"]),
    "raw header": ("debug_getRawHeader", lambda f: [f.block]),
    "raw block": ("debug_getRawBlock", lambda f: [f.block]),
    "raw receipts": ("debug_getRawReceipts", lambda f: [f.block]),
    "raw transaction": ("debug_getRawTransaction", lambda f: [f.mined["legacy"]]),
    "raw by hash": ("eth_getRawTransactionByHash", lambda f: [f.mined["eip1559"]]),
    "raw by number": (
        "eth_getRawTransactionByBlockNumberAndIndex",
        lambda f: [f.block, "0x0"],
    ),
    "raw by block hash": (
        "eth_getRawTransactionByBlockHashAndIndex",
        lambda f: [f.block_hash, "0x0"],
    ),
    "balance": ("eth_getBalance", lambda f: [SENDER, f.block]),
    "code": ("eth_getCode", lambda f: [EXCHANGE, f.block]),
    "no code": ("eth_getCode", lambda _: [SENDER, "latest"]),
    "nonce": ("eth_getTransactionCount", lambda _: [SENDER, "pending"]),
    "storage": ("eth_getStorageAt", lambda f: [TOKEN, UNKNOWN, f.block]),
    "proof": ("eth_getProof", lambda f: [TOKEN, ["0x0", UNKNOWN], f.block]),
    "proof of nobody": ("eth_getProof", lambda f: ["0x" + "99" * 20, [], f.block]),
    **{f"transaction, {kind}": ("eth_getTransactionByHash", _mined(kind)) for kind in KINDS},
    "no transaction": ("eth_getTransactionByHash", lambda _: [UNKNOWN]),
    "transaction by number": (
        "eth_getTransactionByBlockNumberAndIndex",
        lambda f: [f.block, "0x0"],
    ),
    "transaction by block hash": (
        "eth_getTransactionByBlockHashAndIndex",
        lambda f: [f.block_hash, "0x0"],
    ),
    "no transaction there": (
        "eth_getTransactionByBlockNumberAndIndex",
        lambda f: [f.block, "0xff"],
    ),
    **{f"receipt, {kind}": ("eth_getTransactionReceipt", _mined(kind)) for kind in KINDS},
    "no receipt yet": ("eth_getTransactionReceipt", lambda f: [f.waiting]),
    "call": ("eth_call", lambda f: [{"to": TOKEN, "data": "0x18160ddd"}, f.block]),
    "call of no code": ("eth_call", lambda _: [{"to": SENDER}, "latest"]),
    "estimate": ("eth_estimateGas", lambda _: [{"from": SENDER, "to": SENDER, "value": "0x1"}]),
    "gas price": ("eth_gasPrice", lambda _: []),
    "blob fee": ("eth_blobBaseFee", lambda _: []),
    "tip": ("eth_maxPriorityFeePerGas", lambda _: []),
    "fees": ("eth_feeHistory", lambda f: ["0x4", f.block, [10, 50.5, 100]]),
    "fees without tips": ("eth_feeHistory", lambda f: ["0x4", f.block, []]),
    "logs": ("eth_getLogs", lambda f: [{"fromBlock": f.block, "toBlock": f.block}]),
    "logs by hash": ("eth_getLogs", lambda f: [{"blockHash": f.block_hash, "address": TOKEN}]),
    "new filter": ("eth_newFilter", lambda _: [{"address": TOKEN}]),
    "new block filter": ("eth_newBlockFilter", lambda _: []),
    "new pending filter": ("eth_newPendingTransactionFilter", lambda _: []),
    "filter logs": (
        "eth_getFilterLogs",
        lambda f: [f.make_filter("eth_newFilter", {"fromBlock": f.block, "toBlock": f.block})],
    ),
    "no filter left": ("eth_uninstallFilter", lambda f: [f.make_filter("eth_newBlockFilter")]),
    "send raw": ("eth_sendRawTransaction", _signed_transfer),
    "accounts": ("eth_accounts", lambda _: []),
    "send": ("eth_sendTransaction", lambda _: [{"from": address_of(funder_key(7)), "to": SENDER}]),
    "sign": ("eth_sign", lambda _: [SENDER, "0x12"]),
    "personal sign": ("personal_sign", lambda _: ["0x12", SENDER]),
    "typed data": ("eth_signTypedData_v4", lambda _: [SENDER, TYPED_DATA]),
}
"""What is asked → the method, and its parameters given the chain's facts."""


class Schemas:
    """The published schemas, amended."""

    def __init__(self, *amendments: Callable[[dict[str, Any]], None]) -> None:
        document = json.loads(DOCUMENT.read_text())
        self.components = copy.deepcopy(document["components"])
        for change in (amend, *amendments):
            change(self.components["schemas"])
        self.results = OWN_RESULTS | {
            method["name"]: method["result"]["schema"] for method in document["methods"]
        }

    def problem(self, schema: dict[str, Any], value: Any) -> str | None:
        """Return the first thing that is wrong with a value, None if nothing is."""
        error = best_match(
            Draft7Validator({"allOf": [schema], "components": self.components}).iter_errors(value)
        )
        return None if error is None else f"{error.json_path}: {error.message}"


@pytest.fixture(scope="module")
def schemas() -> Schemas:
    if not DOCUMENT.exists():
        pytest.skip("api-specs is not here: `npm ci` in tests/conformance installs it")
    return Schemas()


@pytest.mark.parametrize("case", CASES)
def test_an_answer_is_as_execution_apis_has_it(schemas: Schemas, facts: Facts, case: str) -> None:
    method, params = CASES[case]

    result = facts.rpc.call(method, *params(facts))

    assert schemas.problem(schemas.results[method], result) is None


def test_what_is_not_sealed_yet_has_nulls(schemas: Schemas, facts: Facts) -> None:
    not_sealed = Schemas(pending)

    block = facts.rpc.call("eth_getBlockByNumber", "pending", False)
    waiting = facts.rpc.call("eth_getTransactionByHash", facts.waiting)

    assert not_sealed.problem(BLOCK, block) is None
    assert not_sealed.problem(TX, waiting) is None
    assert schemas.problem(BLOCK, block) is not None
    assert schemas.problem(TX, waiting) is not None


@pytest.mark.parametrize(
    "make", ["eth_newBlockFilter", "eth_newPendingTransactionFilter", "eth_newFilter"]
)
def test_changes_of_a_filter_are_as_execution_apis_has_them(
    schemas: Schemas, facts: Facts, make: str
) -> None:
    params = [{"address": TOKEN}] if make == "eth_newFilter" else []
    filter_id = facts.make_filter(make, *params)
    sender = funder_key(8)
    call = {
        "from": address_of(sender),
        "to": TOKEN,
        "data": _call("Token", "faucet", 1_000_000),
    }
    facts.rpc.receipt(facts.rpc.call("eth_sendTransaction", call))

    changes = poll(lambda: facts.rpc.call("eth_getFilterChanges", filter_id), what="changes")

    assert schemas.problem(schemas.results["eth_getFilterChanges"], changes) is None


def test_the_facts_are_what_they_should_be(facts: Facts) -> None:
    assert facts.logs["logs"]
    assert facts.reverted["status"] == "0x0"
    assert facts.reverted["revertReason"].startswith("0x")
    types = [
        facts.rpc.call("eth_getTransactionByHash", each)["type"] for each in facts.mined.values()
    ]
    assert types[:3] == ["0x0", "0x1", "0x2"]


def test_only_proven_values_are_longer_than_ethereums(schemas: Schemas, facts: Facts) -> None:
    key = "0x" + COUNCIL.key(None).hex()

    proof = facts.rpc.call("eth_getProof", "0x" + GOVERNANCE.hex(), [key], facts.block)

    (proven,) = proof["storageProof"]
    assert len(proven["value"]) > 2 + 2 * 32
    assert schemas.problem({"$ref": "#/components/schemas/AccountProof"}, proof) is None


def test_every_ethereum_method_is_validated() -> None:
    asked = {method for method, _ in CASES.values()} | {"eth_getFilterChanges"}

    ours = {name for name in METHODS if name.startswith(("eth_", "net_", "web3_", "debug_getRaw"))}
    assert ours - asked == set(WITHOUT_SCHEMA)


def test_a_wrong_answer_is_noticed(schemas: Schemas, facts: Facts) -> None:
    block = facts.rpc.call("eth_getBlockByNumber", facts.block, True)

    assert schemas.problem(BLOCK, block) is None
    for name, value in (("size", None), ("number", "0x01"), ("totalDifficulty", "0x0")):
        assert schemas.problem(BLOCK, {**block, name: value}) is not None
    tx = block["transactions"][0]
    assert schemas.problem(TX, tx) is None
    for name in ("blockTimestamp", "v", "creates"):
        assert schemas.problem(TX, {**tx, name: None}) is not None
