"""web3.py's own test suite for nodes, over HTTP and WebSocket, against ours.

It is written for geth with its authors' contracts on it. What can't hold on a chain that runs no
contracts of its users is left out by `FOREIGN` and `INAPPLICABLE`, which give the reasons; all else
is run as published. The chain id is that of the suite's fixture, and nobody else sends: it counts
transactions.
"""

import asyncio
import functools
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from web3 import AsyncWeb3, HTTPProvider, Web3, WebSocketProvider
from web3._utils.module_testing.eth_module import AsyncEthModuleTest, EthModuleTest
from web3._utils.module_testing.go_ethereum_txpool_module import GoEthereumTxPoolModuleTest
from web3._utils.module_testing.net_module import NetModuleTest
from web3._utils.module_testing.persistent_connection_provider import (
    PersistentConnectionProviderTest,
)
from web3._utils.module_testing.utils import RequestMocker
from web3._utils.module_testing.web3_module import Web3ModuleTest

from tests.conformance.trade import EXCHANGE, abi_of, address_of, funder_key
from tests.helpers.devnet import MINIMAL_GENESIS, Devnet, poll

CHAIN_ID = 131277322940537
KEY = funder_key(0)
SEEDER: Any = address_of(funder_key(1))
BLOCKS = 7
"""The suite's batches ask for so many."""

FOREIGN = {
    *("math_contract", "revert_contract", "storage_contract", "offchain_lookup_contract"),
    *("panic_errors_contract", "math_contract_deploy_txn_hash"),
}
"""Fixtures that are contracts of the suite's own: the chain runs none of its users'."""
INAPPLICABLE: Mapping[str, tuple[str, ...]] = {
    "calls a contract of the suite's own, deployed for it alone": (
        *("test_eth_call_old_contract_state", "test_eth_get_code_invalid_address"),
    ),
    "waits for the events that the suite's own emitter logs": (
        *("test_eth_get_logs_with_logs_topic_args", "test_async_eth_get_logs_with_logs_topic_args"),
        "test_async_eth_subscribe_and_process_logs",
        "test_async_eth_subscribe_creates_and_handles_logs_subscription_type",
        "test_async_subscription_manager_subscribes_to_many_subscriptions",
        *("test_subscription_handler_context", "test_subscriptions_with_handler_and_without"),
        "test_handle_subscriptions_breaks_on_unsubscribe",
        "test_run_forever_starts_with_0_subs_and_runs_until_task_cancelled",
    ),
    "an EVM's notion, refused with -32601": (
        *("test_eth_create_access_list", "test_eth_simulate_v1"),
    ),
    "transaction type 4 (EIP-7702) sets code": (
        "test_sign_authorization_send_raw_and_send_set_code_transactions",
        "test_async_sign_authorization_send_raw_and_send_set_code_transactions",
    ),
    "waits for the exception of another provider; the refusal's text is the expected one": (
        *("test_invalid_eth_sign_typed_data",),
    ),
    "fails within web3.py 8.0: its coroutine unpacks the values of a mapping as pairs": (
        *("AsyncEthModuleTest.test_eth_sign_typed_data",),
    ),
}
"""Why another test can't hold here → its names, of one suite or of all."""
SUITES = (
    EthModuleTest,
    AsyncEthModuleTest,
    NetModuleTest,
    GoEthereumTxPoolModuleTest,
    Web3ModuleTest,
    PersistentConnectionProviderTest,
)


def applicable(suite: type) -> type:
    """Return the suite without what is inapplicable, coroutines run in a loop of their own."""
    left_out = {name for names in INAPPLICABLE.values() for name in names}
    changes: dict[str, Any] = {}
    for name in dir(suite):
        test = getattr(suite, name)
        if not name.startswith("test_"):
            continue
        fixtures = {each.removeprefix("async_") for each in inspect.signature(test).parameters}
        if {name, f"{suite.__name__}.{name}"} & left_out or fixtures & FOREIGN:
            changes[name] = None
        elif asyncio.iscoroutinefunction(test):
            changes[name] = _in_own_loop(test)
    return type(suite.__name__, (suite,), changes)


def _in_own_loop(test: Any) -> Any:
    @functools.wraps(test)
    def run(self: Any, async_w3: Any, **arguments: Any) -> None:
        async def connected() -> None:
            async with async_w3:
                await asyncio.wait_for(test(self, async_w3=async_w3, **arguments), 60)

        asyncio.run(connected())

    return run


@pytest.fixture(scope="module")
def quiet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    directory = tmp_path_factory.mktemp("suite")
    genesis: Path = directory / "genesis.json"
    genesis.write_text(json.dumps(json.loads(MINIMAL_GENESIS.read_text()) | {"chain_id": CHAIN_ID}))
    flags = ["--genesis", str(genesis), "--validators", "0", "--block-time", "1"]
    flags += ["--prices", "fixed", "--bots", "0", "--reporters", "0", "--accounts", "10"]
    with Devnet(directory / "data", *flags).start() as devnet:
        devnet.wait_for_height(BLOCKS)
        yield devnet


@pytest.fixture(scope="module")
def w3(quiet: Devnet) -> Iterator[Web3]:
    provider = HTTPProvider(quiet.rpc.url)
    yield Web3(provider)
    provider._request_session_manager.session_cache.clear()


@pytest.fixture
def async_w3(quiet: Devnet) -> Any:
    return AsyncWeb3(WebSocketProvider(quiet.rpc.url.replace("http", "ws")))


# --- what the suite asks for by name --------------------------------------------------------------


@pytest.fixture(scope="module")
def keyfile_account_pkey() -> str:
    return KEY


@pytest.fixture(scope="module")
def keyfile_account_address() -> str:
    return address_of(KEY)


@pytest.fixture(scope="module")
def keyfile_account_address_dual_type() -> str:
    return address_of(KEY)


@pytest.fixture(scope="module")
def emitter_contract(w3: Web3) -> Any:
    return w3.eth.contract(address=Web3.to_checksum_address(EXCHANGE), abi=abi_of("Exchange"))


@pytest.fixture(scope="module")
def emitter_contract_address(emitter_contract: Any) -> Any:
    return emitter_contract.address


@pytest.fixture(scope="module")
def math_contract_address(emitter_contract: Any) -> Any:
    return emitter_contract.address


@pytest.fixture
def async_emitter_contract(async_w3: Any) -> Any:
    address = Web3.to_checksum_address(EXCHANGE)
    return async_w3.eth.contract(address=address, abi=abi_of("Exchange"))


@pytest.fixture(scope="module")
def txn_hash_with_log(w3: Web3, emitter_contract: Any) -> Any:
    """Set a dead-man's cancel: one log with two topics, as the suite's own emitter writes."""
    in_an_hour_ms = (w3.eth.get_block("latest")["timestamp"] + 3_600) * 1_000
    call = emitter_contract.functions.setDeadMansCancel(in_an_hour_ms)
    tx_hash = call.transact({"from": SEEDER})
    w3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=0.05)
    return tx_hash


@pytest.fixture(scope="module")
def mined_txn_hash(w3: Web3, txn_hash_with_log: Any) -> Any:
    tx_hash = w3.eth.send_transaction(
        {"from": SEEDER, "to": SEEDER, "value": Web3.to_wei(1, "wei")}
    )
    w3.eth.wait_for_transaction_receipt(tx_hash, poll_latency=0.05)
    return tx_hash


@pytest.fixture(scope="module", autouse=True)
def seeded(mined_txn_hash: Any) -> None:
    """Have both transactions alone in their blocks before any test leaves one waiting."""


@pytest.fixture(autouse=True)
def nothing_waits(request: pytest.FixtureRequest, quiet: Devnet) -> None:
    """Begin what sends by the head's nonce when no earlier test's transaction has it still."""
    if request.cls is not None and request.cls.__name__ == "TestWebSocket":
        poll(lambda: quiet.rpc.call("txpool_status")["pending"] == "0x0", what="an empty mempool")


@pytest.fixture(autouse=True)
def time_to_replace(request: pytest.FixtureRequest, quiet: Devnet) -> None:
    """Begin what needs a waiting transaction right after a block: there is a second left."""
    name = request.node.name
    if "replace_transaction" in name or "modify_transaction" in name or "unmined" in name:
        quiet.wait_for_height(quiet.rpc.height() + 1)


@pytest.fixture(scope="module")
def empty_block(w3: Web3) -> Any:
    return w3.eth.get_block("earliest")


@pytest.fixture(scope="module")
def block_with_txn(w3: Web3, mined_txn_hash: Any) -> Any:
    return w3.eth.get_block(w3.eth.get_transaction(mined_txn_hash)["blockNumber"])


@pytest.fixture(scope="module")
def block_with_txn_with_log(w3: Web3, txn_hash_with_log: Any) -> Any:
    return w3.eth.get_block(w3.eth.get_transaction(txn_hash_with_log)["blockNumber"])


# Its coroutines ask for the same under other names.


@pytest.fixture(scope="module")
def async_keyfile_account_address(keyfile_account_address: str) -> str:
    return keyfile_account_address


@pytest.fixture(scope="module")
def async_keyfile_account_address_dual_type(keyfile_account_address: str) -> str:
    return keyfile_account_address


@pytest.fixture(scope="module")
def async_empty_block(empty_block: Any) -> Any:
    return empty_block


@pytest.fixture(scope="module")
def async_block_with_txn(block_with_txn: Any) -> Any:
    return block_with_txn


@pytest.fixture(scope="module")
def async_block_with_txn_with_log(block_with_txn_with_log: Any) -> Any:
    return block_with_txn_with_log


@pytest.fixture(scope="module")
def async_emitter_contract_address(emitter_contract: Any) -> Any:
    return emitter_contract.address


@pytest.fixture(scope="module")
def async_math_contract_address(emitter_contract: Any) -> Any:
    return emitter_contract.address


@pytest.fixture
def async_skip_if_testrpc() -> Any:
    return lambda _: None


@pytest.fixture
def request_mocker() -> Any:
    return RequestMocker


@pytest.fixture
def skip_if_testrpc() -> Any:
    return lambda _: None


# --- the suite ------------------------------------------------------------------------------------


class TestEth(applicable(EthModuleTest)):  # type: ignore[misc]
    pass


class TestAsyncEth(applicable(AsyncEthModuleTest)):  # type: ignore[misc]
    pass


class TestNet(applicable(NetModuleTest)):  # type: ignore[misc]
    pass


class TestTxPool(applicable(GoEthereumTxPoolModuleTest)):  # type: ignore[misc]
    pass


class TestWeb3(applicable(Web3ModuleTest)):  # type: ignore[misc]
    def _check_web3_client_version(self, client_version: str) -> None:
        assert client_version.startswith("perpnode/v")


class TestWebSocket(applicable(PersistentConnectionProviderTest)):  # type: ignore[misc]
    pass


def test_what_is_left_out_exists() -> None:
    plain = {name for suite in SUITES for name in dir(suite)}
    present = plain | {f"{suite.__name__}.{name}" for suite in SUITES for name in dir(suite)}

    assert {name for names in INAPPLICABLE.values() for name in names} <= present
