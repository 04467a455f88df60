"""The development helpers: what they answer and do to the state, and that it adds up (I9)."""

import gc
import json
from typing import Any

import pytest

from node.chain.development import BALANCE_MAX
from node.perp.account import EXCHANGE
from node.rpc.accounts import Accounts
from node.rpc.origin import FOREIGN_ORIGIN
from node.rpc.subscriptions import Subscriber
from node.state.flat import FlatState
from node.system.contracts import TOKEN, contract
from tests.rpc.chain import Chain, RpcFailure, key_of, text

COIN = 10**18
USDC = 10**6
TOKEN_TEXT = "0x" + TOKEN.hex()


def number(chain: Chain) -> int:
    return int(chain.ask("eth_blockNumber"), 16)


def balance(chain: Chain, role: str) -> int:
    return int(chain.ask("eth_getBalance", text(role), "latest"), 16)


def nonce(chain: Chain, role: str) -> int:
    return int(chain.ask("eth_getTransactionCount", text(role), "latest"), 16)


def call(chain: Chain, name: str, function: str, *arguments: Any) -> int:
    target = contract(name)
    data = target.functions[function].encode_call(*arguments)
    request = {"to": "0x" + target.address.hex(), "data": "0x" + data.hex()}
    return int(chain.ask("eth_call", request, "latest"), 16)


def timestamp(chain: Chain) -> int:
    return int(chain.ask("eth_getBlockByNumber", "latest", False)["timestamp"], 16)


def refusal(chain: Chain, method: str, *params: Any) -> tuple[int, str]:
    with pytest.raises(RpcFailure) as failure:
        chain.ask(method, *params)
    return failure.value.code, failure.value.message


# --- state ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("prefix", ["anvil", "hardhat"])
def test_a_balance_is_set_in_a_block_of_its_own_and_counted(chain: Chain, prefix: str) -> None:
    before = number(chain)
    held = balance(chain, "maker")

    assert chain.ask(f"{prefix}_setBalance", text("maker"), hex(7 * COIN)) is None
    assert chain.ask(f"{prefix}_addBalance", text("maker"), 3) is None

    assert balance(chain, "maker") == 7 * COIN + 3
    assert number(chain) == before + 2
    assert chain.blockchain.development().native_minted == 7 * COIN + 3 - held


def test_a_balance_beyond_256_bits_is_refused_and_nothing_is_sealed(chain: Chain) -> None:
    before = number(chain)

    code, message = refusal(chain, "anvil_setBalance", text("maker"), hex(2**256 - 1))

    assert (code, number(chain)) == (-32602, before)
    assert message == f"balance is {2**256 - 1}, must be from 0 to {BALANCE_MAX}"


def test_a_nonce_goes_up_and_never_down(chain: Chain) -> None:
    assert chain.ask("anvil_setNonce", text("maker"), 5) is None

    assert nonce(chain, "maker") == 5
    assert refusal(chain, "hardhat_setNonce", text("maker"), "0x4")[0] == -32602
    assert refusal(chain, "anvil_setNonce", text("maker"), 2**32)[0] == -32602
    assert nonce(chain, "maker") == 5


def test_what_waits_below_a_raised_nonce_is_forgotten(chain: Chain) -> None:
    tx_hash = chain.send(chain.sign("maker", nonce=0, value=1))

    chain.ask("anvil_setNonce", text("maker"), 1)

    assert chain.ask("eth_getTransactionByHash", tx_hash) is None
    chain.send(chain.sign("maker", nonce=1, value=1))
    chain.ask("evm_mine")
    assert nonce(chain, "maker") == 2


def test_tokens_are_dealt_out_of_the_supply_and_back(chain: Chain) -> None:
    supply = call(chain, "Token", "totalSupply")

    chain.ask("anvil_dealERC20", text("nobody"), TOKEN_TEXT, 50 * USDC)
    assert call(chain, "Token", "balanceOf", bytes.fromhex(text("nobody")[2:])) == 50 * USDC
    assert call(chain, "Token", "totalSupply") == supply + 50 * USDC

    chain.ask("anvil_dealERC20", text("nobody"), TOKEN_TEXT, 0)
    assert call(chain, "Token", "totalSupply") == supply


def test_the_exchange_s_own_tokens_can_t_be_dealt(chain: Chain) -> None:
    code, message = refusal(chain, "anvil_dealERC20", "0x" + EXCHANGE.hex(), TOKEN_TEXT, 1)

    assert (code, message.startswith("TransferToSystemContract")) == (-32602, True)


def test_another_token_is_none_of_ours(chain: Chain) -> None:
    assert refusal(chain, "anvil_dealERC20", text("maker"), text("maker"), 1) == (
        -32602,
        f"the only ERC-20 here is {TOKEN_TEXT}",
    )


def test_an_allowance_is_set(chain: Chain) -> None:
    chain.ask("anvil_setERC20Allowance", text("maker"), text("taker"), TOKEN_TEXT, "0x7")

    owner, spender = (bytes.fromhex(text(role)[2:]) for role in ("maker", "taker"))
    assert call(chain, "Token", "allowance", owner, spender) == 7


@pytest.mark.parametrize("method", ["anvil_setCode", "anvil_setStorageAt", "hardhat_setCode"])
def test_there_is_no_code_and_no_slot_to_set(chain: Chain, method: str) -> None:
    assert refusal(chain, method, text("maker"), "0x00")[0] == -32601


def test_a_dumped_state_is_gone_on_with(chain: Chain) -> None:
    chain.open_market()
    chain.trade()
    account, book = chain.ask("perp_getAccount", text("taker")), chain.ask("perp_getOrderBook", 1)
    dumped = chain.ask("anvil_dumpState")
    assert bytes.fromhex(dumped[2:])[:2] == b"\x1f\x8b", "gzip, as anvil's"
    then = timestamp(chain)
    chain.send(chain.sign_call("maker", "Exchange", "cancelAllOrders", 1))
    chain.ask("anvil_setBalance", text("maker"), 1)
    chain.ask("anvil_reset")

    assert chain.ask("anvil_loadState", dumped) is True

    loaded = chain.ask("perp_getAccount", text("taker"))
    assert loaded["balance"] == account["balance"]
    assert [each["size"] for each in loaded["positions"]] == [{"lots": 100, "decimal": "0.0100"}]
    for side in ("bids", "asks"):
        assert chain.ask("perp_getOrderBook", 1)[side] == book[side]
    assert chain.ask("perp_getMarkets")[0]["mode"] == "OPEN"
    assert timestamp(chain) - then <= 1
    assert refusal(chain, "hardhat_loadState", "0x1234")[0] == -32602


# --- blocks and time ------------------------------------------------------------------------------


def test_blocks_are_mined_when_asked_for(chain: Chain) -> None:
    before = number(chain)

    assert chain.ask("evm_mine") == "0x0"
    assert chain.ask("anvil_mine", "0x3", "0x0") is None
    assert chain.ask("hardhat_mine") is None
    assert chain.ask("evm_mine", {"blocks": 2}) == "0x0"

    assert number(chain) == before + 7


def test_mined_blocks_may_be_seconds_apart(chain: Chain) -> None:
    chain.seal()
    before = timestamp(chain)

    chain.ask("anvil_mine", 3, 60)

    assert timestamp(chain) == before + 180


def test_a_decimal_number_has_all_its_digits(chain: Chain) -> None:
    chain.ask("anvil_setBalance", text("maker"), "0" * 120 + "57")

    assert balance(chain, "maker") == 57
    assert refusal(chain, "anvil_setBalance", text("maker"), "1" + "0" * 120)[0] == -32602


def test_more_blocks_than_a_request_may_ask_for_are_refused(chain: Chain) -> None:
    assert refusal(chain, "anvil_mine", "0x1000000")[0] == -32602


def test_time_moves_on_and_the_offset_is_state(chain: Chain) -> None:
    chain.seal()
    before = timestamp(chain)

    assert chain.ask("evm_increaseTime", 3_600) == 3_600
    assert timestamp(chain) == before + 3_600
    assert chain.ask("evm_increaseTime", "0x3c") == 3_660

    chain.seal()
    assert timestamp(chain) == before + 3_661
    assert chain.blockchain.development().time_offset_ms == 3_660_000


def test_the_next_block_has_the_timestamp_that_was_set_and_time_goes_on(chain: Chain) -> None:
    chain.seal()
    wanted = timestamp(chain) + 86_400

    assert chain.ask("evm_setNextBlockTimestamp", wanted) is None
    assert timestamp(chain) == wanted - 86_400
    chain.send(chain.sign("maker", value=1))
    chain.seal()

    assert timestamp(chain) == wanted
    assert len(chain.ask("eth_getBlockByNumber", "latest", False)["transactions"]) == 2
    chain.seal()
    assert timestamp(chain) == wanted + 1


def test_a_block_can_be_mined_at_a_timestamp(chain: Chain) -> None:
    chain.seal()
    wanted = timestamp(chain) + 500

    chain.ask("evm_mine", hex(wanted))
    assert timestamp(chain) == wanted
    chain.ask("evm_mine", {"timestamp": wanted + 7})
    assert timestamp(chain) == wanted + 7


@pytest.mark.parametrize("method", ["evm_setNextBlockTimestamp", "evm_setTime", "evm_mine"])
def test_time_never_goes_back(chain: Chain, method: str) -> None:
    chain.seal()

    assert refusal(chain, method, 5) == (
        -32602,
        "Timestamp error: 5 is lower than previous block's timestamp",
    )


def test_time_is_set_in_seconds_or_milliseconds(chain: Chain) -> None:
    chain.seal()
    now = timestamp(chain)

    assert chain.ask("evm_setTime", now + 100) == 100
    assert timestamp(chain) == now + 100
    assert chain.ask("anvil_setTime", (now + 300) * 1_000) == 200
    assert timestamp(chain) == now + 300


def test_blocks_can_be_so_many_seconds_apart(chain: Chain) -> None:
    chain.seal()
    before = timestamp(chain)

    assert chain.ask("anvil_setBlockTimestampInterval", 30) is None
    chain.ask("anvil_mine", 2)
    assert timestamp(chain) == before + 60
    assert chain.ask("anvil_removeBlockTimestampInterval") is True
    assert chain.ask("anvil_removeBlockTimestampInterval") is False
    chain.ask("hardhat_setBlockTimestampInterval", 7_000)
    chain.ask("evm_mine")
    assert timestamp(chain) == before + 67


def test_a_jump_in_time_is_one_gap_and_closes_the_market(chain: Chain) -> None:
    chain.open_market()

    chain.ask("evm_increaseTime", 31)

    assert chain.ask("perp_getMarkets")[0]["mode"] == "CANCEL_ONLY"


def test_a_fast_forward_keeps_the_market_open_and_funding_accrues(chain: Chain) -> None:
    chain.open_market()
    before = timestamp(chain)
    index = chain.ask("perp_getMarkets")[0]["funding"]

    passed = chain.ask("perp_fastForward", 3_600)

    market = chain.ask("perp_getMarkets")[0]
    assert timestamp(chain) == before + 3_600
    assert passed["blocks"] == 134  # 27 s apart: 3,600 / 27, rounded up
    assert market["mode"] == "OPEN"
    assert market["funding"] != index


# --- back -----------------------------------------------------------------------------------------


def test_a_revert_restores_state_number_and_time(chain: Chain) -> None:
    chain.seal()
    before, head, held = timestamp(chain), number(chain), balance(chain, "maker")

    assert chain.ask("evm_snapshot") == "0x0"
    chain.ask("anvil_setBalance", text("maker"), "0x1")
    chain.ask("evm_increaseTime", 86_400)
    chain.ask("anvil_mine", 3)
    assert chain.ask("evm_revert", "0x0") is True

    assert (timestamp(chain), number(chain), balance(chain, "maker")) == (before, head, held)
    chain.seal()
    assert timestamp(chain) == before + 1
    assert number(chain) == head + 1


def test_a_snapshot_keeps_no_view_of_the_database_open(chain: Chain) -> None:
    """With one, LevelDB keeps every version of each row that blocks write, while it lasts."""

    def open_views() -> int:
        gc.collect()
        return sum(isinstance(each, FlatState) for each in gc.get_objects())

    chain.open_market()
    before = open_views()

    for _ in range(5):
        chain.ask("evm_snapshot")
        chain.seal()

    assert open_views() == before
    assert chain.ask("evm_revert", "0x0") is True
    assert chain.ask("perp_getOrderBook", 1)["bids"] == []


def test_time_stands_still_from_a_snapshot_to_its_revert(chain: Chain) -> None:
    chain.open_market()
    chain.ask("evm_snapshot")

    chain.now_ms += 600_000  # ten minutes at the wall
    chain.ask("evm_mine")
    assert chain.ask("perp_getMarkets")[0]["mode"] == "CANCEL_ONLY"
    chain.ask("evm_revert", "0x0")
    chain.ask("evm_mine")

    assert chain.ask("perp_getMarkets")[0]["mode"] == "OPEN"


def test_ids_count_up_are_used_up_and_never_come_back(chain: Chain) -> None:
    assert [chain.ask("evm_snapshot") for _ in range(3)] == ["0x0", "0x1", "0x2"]
    chain.ask("evm_mine")

    assert chain.ask("evm_revert", "0x1") is True
    assert chain.ask("evm_revert", "0x2") is False
    assert chain.ask("evm_revert", "0x1") is False
    assert chain.ask("evm_revert", "0x77") is False
    assert chain.ask("evm_revert", "0x0") is True
    assert chain.ask("evm_snapshot") == "0x3"


def test_a_snapshot_that_another_way_back_cut_off_is_none(chain: Chain) -> None:
    chain.ask("evm_mine")
    chain.ask("evm_snapshot")

    chain.ask("anvil_rollback", 1)

    assert chain.ask("evm_revert", "0x0") is False
    assert number(chain) == 0


def test_blocks_logs_and_transactions_are_right_after_a_second_revert(chain: Chain) -> None:
    for value in (1, 2):
        chain.ask("evm_snapshot")
        tx_hash = chain.send(chain.sign_call("maker", "Exchange", "deposit", value))
        chain.seal()
        assert chain.ask("eth_getTransactionReceipt", tx_hash)["status"] == "0x1"
        assert len(chain.ask("eth_getLogs", {"fromBlock": "0x0"})) == 2
        chain.ask("evm_revert", hex(value - 1))
        chain.nonces.clear()

        assert chain.ask("eth_getTransactionReceipt", tx_hash) is None
        assert chain.ask("eth_getTransactionByHash", tx_hash) is None
        assert chain.ask("eth_getBlockByNumber", "0x1", False) is None
        assert chain.ask("eth_getLogs", {"fromBlock": "0x0"}) == []


def test_the_pool_is_empty_after_a_revert(chain: Chain) -> None:
    chain.ask("evm_snapshot")
    tx_hash = chain.send(chain.sign("maker", value=1))

    chain.ask("evm_revert", "0x0")

    assert chain.ask("eth_getTransactionByHash", tx_hash) is None
    assert chain.ask("txpool_status") == {"pending": "0x0", "queued": "0x0"}
    chain.ask("evm_mine")
    assert nonce(chain, "maker") == 0


def test_the_book_is_right_after_a_revert(chain: Chain) -> None:
    chain.open_market()
    chain.trade()
    book, market = chain.ask("perp_getOrderBook", 1, 20), chain.ask("perp_getMarkets")
    account = chain.ask("perp_getAccount", text("taker"))
    chain.ask("evm_snapshot")
    chain.send(chain.sign_call("maker", "Exchange", "cancelAllOrders", 1))
    chain.send(chain.sign_call("taker", "Exchange", "placeMarketOrder", 1, -50, True))
    chain.seal()
    assert chain.ask("perp_getOrderBook", 1, 20) != book

    chain.ask("evm_revert", "0x0")

    assert chain.ask("perp_getOrderBook", 1, 20) == book
    assert chain.ask("perp_getMarkets") == market
    assert chain.ask("perp_getAccount", text("taker")) == account


def test_filters_and_subscribers_hear_what_a_revert_removed(chain: Chain) -> None:
    subscriber = Subscriber()
    context = chain.context(subscriber=subscriber)
    chain.subscriptions.add(subscriber)
    chain.ask("eth_subscribe", "logs", {}, context=context)
    chain.ask("eth_subscribe", "newHeads", context=context)
    filter_id = chain.ask("eth_newFilter", {})
    chain.ask("evm_snapshot")
    chain.send(chain.sign_call("maker", "Exchange", "deposit", 1))
    chain.seal()
    came = chain.ask("eth_getFilterChanges", filter_id)

    chain.ask("evm_revert", "0x0")

    removed = [each | {"removed": False} for each in chain.ask("eth_getFilterChanges", filter_id)]
    assert sorted(removed, key=lambda log: log["logIndex"]) == came
    heard = [json.loads(each)["params"]["result"] for each in subscriber.outbox._messages]
    heads = [each["number"] for each in heard if "stateRoot" in each]
    logs = [each["removed"] for each in heard if "topics" in each]
    assert heads == ["0x1", "0x0"]
    assert logs == [False] * len(came) + [True] * len(came)


def test_an_epoch_counts_reverts_in_the_next_block(chain: Chain) -> None:
    for _ in range(2):
        chain.ask("evm_snapshot")
        chain.ask("evm_mine")
    chain.ask("evm_revert", "0x1")
    chain.ask("evm_revert", "0x0")
    assert chain.ask("perp_status")["devEpoch"] == 2

    chain.seal()

    head = chain.blockchain.head.block
    assert head.extension.dev_epoch == 2
    assert chain.blockchain.ledger_after(head).status.dev_epoch == 2


def test_reset_goes_back_to_block_0(chain: Chain) -> None:
    chain.ask("anvil_mine", 3)
    chain.ask("evm_increaseTime", 50)

    assert chain.ask("anvil_reset") is None

    assert number(chain) == 0
    chain.seal()
    assert timestamp(chain) == chain.now_ms // 1_000, "as on a fresh chain"
    assert chain.ask("hardhat_reset", {"forking": {"blockNumber": None}}) is None  # viem's words
    assert refusal(chain, "anvil_reset", {"forking": {"jsonRpcUrl": "http://x"}})[0] == -32602


def test_rollback_goes_back_as_far_as_there_are_blocks(chain: Chain) -> None:
    chain.ask("anvil_mine", 3)

    assert chain.ask("anvil_rollback") is None
    assert number(chain) == 2
    assert refusal(chain, "anvil_rollback", 3) == (
        -32602,
        "Rollback depth must not exceed current chain height: current height 2, depth 3",
    )


def raw(chain: Chain, role: str, nonce: int, **fields: Any) -> str:
    return "0x" + chain.sign(role, nonce=nonce, **fields).raw.hex()


def test_a_reorg_makes_as_many_blocks_anew_with_what_is_given(chain: Chain) -> None:
    chain.ask("anvil_mine", 3)
    old = [chain.ask("eth_getBlockByNumber", hex(height), False)["hash"] for height in range(4)]
    gone = chain.send(chain.sign("taker", value=1))
    chain.seal()

    signed = [raw(chain, "maker", nonce, value=7) for nonce in (0, 1)]
    assert chain.ask("anvil_reorg", 3, [[signed[1], 2], [signed[0], 0]]) is None

    blocks = [chain.ask("eth_getBlockByNumber", hex(height), True) for height in range(5)]
    assert [each["hash"] for each in blocks[:2]] == old[:2]
    assert not {each["hash"] for each in blocks[2:]} & set(old)
    senders = [
        [tx["from"] for tx in each["transactions"] if tx["value"] != "0x0"] for each in blocks
    ]
    assert senders == [[], [], [text("maker")], [], [text("maker")]]
    assert number(chain) == 4
    assert balance(chain, "receiver") == 14
    assert chain.ask("eth_getTransactionByHash", gone) is None
    assert (nonce(chain, "maker"), nonce(chain, "taker")) == (2, 0)


def test_a_reorg_takes_its_arguments_by_name_as_alloy_sends_them(chain: Chain) -> None:
    chain.ask("evm_mine")
    named = {"depth": 1, "tx_block_pairs": [[raw(chain, "maker", 0, value=7), 0]]}
    request = {"jsonrpc": "2.0", "id": 1, "method": "anvil_reorg", "params": named}

    assert chain.post(request) == {"jsonrpc": "2.0", "id": 1, "result": None}

    assert balance(chain, "receiver") == 7


def test_a_reorg_signs_for_own_accounts_and_sends_for_impersonated_ones(chain: Chain) -> None:
    chain.accounts = Accounts([key_of("sender")])
    chain.ask("anvil_impersonateAccount", text("taker"))
    chain.ask("evm_mine")
    cancel, place = (
        "0x" + contract("Exchange").functions[name].encode_call(*arguments).hex()
        for name, arguments in (("cancelAllOrders", (1,)), ("placeMarketOrder", (1, 5, False)))
    )
    exchange = "0x" + EXCHANGE.hex()
    pairs = [
        [{"to": text("receiver"), "value": "0x5"}, 0],  # the node's first account sends
        [{"from": text("sender"), "to": text("receiver"), "value": "0x6"}, 0],
        [{"from": text("taker"), "to": exchange, "data": place}, 0],
        [{"from": text("taker"), "to": exchange, "data": cancel}, 0],  # waits for its nonce's class
    ]

    chain.ask("anvil_reorg", 1, pairs)

    sent = [
        (tx["from"], tx["nonce"])
        for tx in chain.ask("eth_getBlockByNumber", "latest", True)["transactions"]
        if tx["from"] in (text("sender"), text("taker"))
    ]
    assert sent == [
        (text("sender"), "0x0"),
        (text("sender"), "0x1"),
        (text("taker"), "0x0"),
        (text("taker"), "0x1"),
    ]
    assert balance(chain, "receiver") == 11


def test_what_a_reorg_can_t_hold_is_refused_before_anything_is_left(chain: Chain) -> None:
    chain.accounts = Accounts([key_of("maker")])
    chain.ask("anvil_impersonateAccount", text("taker"))
    chain.ask("anvil_mine", 2)
    head = chain.blockchain.head.block.hash
    paid = chain.sign("nobody", nonce=0, value=1)
    taker = {"from": text("taker"), "to": text("receiver")}

    def refused(*pairs: Any, depth: int = 1) -> tuple[int, str]:
        code, message = refusal(chain, "anvil_reorg", depth, list(pairs))
        assert chain.blockchain.head.block.hash == head
        return code, message.split(": ")[0]

    assert refused(depth=3) == (-32602, "Reorg depth must not exceed current chain height")
    assert refused([taker, 1]) == (
        -32602,
        "Block number for reorg tx will exceed the reorged chain height. Block number 1 must not "
        "exceed (depth-1) 0",
    )
    assert refused([raw(chain, "taker", 1), 0]) == (-32000, "nonce too high")
    assert refused(*[[raw(chain, "taker", 0), 0]] * 2) == (-32000, "nonce too low")
    assert refused(["0x" + paid.raw.hex(), 0])[1] == "insufficient funds for gas * price + value"
    assert refused([taker | {"value": hex(10**21)}, 0])[1][:18] == "insufficient funds"
    assert refused([taker, 0], [raw(chain, "taker", 1), 0])[0] == -32602
    assert refused([{"from": text("stranger"), "to": text("maker")}, 0])[1] == "No Signer available"
    assert refused([{"from": text("maker")}, 0])[1] == "contract creation is not supported"
    assert refused([raw(chain, "taker", 0, gas_limit=20_000), 0])[1] == "intrinsic gas too low"
    assert refused([raw(chain, "taker", 0, chain_id=1), 0])[1] == "invalid chain id for signer"
    assert refused(["0x03", 0])[1].startswith("transaction type not supported")
    assert refused(["0xc0", 0])[0] == -32000
    assert refused([taker])[1] == "invalid argument 1"


def test_a_reorg_s_removed_logs_come_before_the_new_ones(chain: Chain) -> None:
    filter_id = chain.ask("eth_newFilter", {})
    chain.send(chain.sign_call("maker", "Exchange", "deposit", 1))
    chain.seal()
    came = chain.ask("eth_getFilterChanges", filter_id)
    deposit = contract("Exchange").functions["deposit"].encode_call(2)

    chain.ask("anvil_reorg", 1, [[raw(chain, "maker", 0, to=EXCHANGE, data=deposit), 0]])

    heard = chain.ask("eth_getFilterChanges", filter_id)
    assert [each["removed"] for each in heard] == [True] * len(came) + [False] * len(came)
    assert heard[-1]["blockHash"] == "0x" + chain.blockchain.head.block.hash.hex()


@pytest.mark.parametrize("name", ["evm_mine_detailed", "anvil_mine_detailed"])
def test_mined_blocks_are_returned_in_full(chain: Chain, name: str) -> None:
    good = chain.send(chain.sign("maker", value=1))
    bad = chain.send(chain.sign_call("maker", "Exchange", "withdraw", 1))

    first, second = chain.ask(name, {"blocks": 2})

    assert [int(each["number"], 16) for each in (first, second)] == [1, 2]
    sent = {tx["hash"]: tx for tx in first["transactions"]}
    assert "output" not in sent[good]
    receipt = chain.ask("eth_getTransactionReceipt", bad)
    assert sent[bad]["output"] == receipt["revertReason"]
    assert sent[bad]["revertReason"].startswith("NotAllowedInMode(")
    assert chain.ask(name) == [chain.ask("eth_getBlockByNumber", "latest", True)]


# --- impersonation --------------------------------------------------------------------------------


def test_an_impersonated_account_sends_without_a_key_and_is_shown_as_the_sender(
    chain: Chain,
) -> None:
    chain.ask("anvil_impersonateAccount", text("maker"))
    data = contract("Exchange").functions["deposit"].encode_call(5).hex()
    request = {"from": text("maker"), "to": "0x" + EXCHANGE.hex(), "data": "0x" + data}

    tx_hash = chain.ask("eth_sendTransaction", request)

    tx = chain.ask("eth_getTransactionByHash", tx_hash)
    receipt = chain.ask("eth_getTransactionReceipt", tx_hash)
    assert (tx["from"], tx["to"], tx["nonce"]) == (text("maker"), "0x" + EXCHANGE.hex(), "0x0")
    assert tx["input"] == "0x" + data
    assert (receipt["from"], receipt["status"]) == (text("maker"), "0x1")
    assert nonce(chain, "maker") == 1
    assert chain.ask("perp_getAccount", text("maker"))["balance"]["atoms"] == 5


def test_what_a_rule_refuses_an_impersonated_account_fails_in_its_receipt(chain: Chain) -> None:
    chain.ask("anvil_autoImpersonateAccount", True)
    data = contract("Exchange").functions["withdraw"].encode_call(1).hex()
    request = {"from": text("stranger"), "to": "0x" + EXCHANGE.hex(), "data": "0x" + data}

    tx_hash = chain.ask("eth_sendTransaction", request)

    receipt = chain.ask("eth_getTransactionReceipt", tx_hash)
    assert receipt["status"] == "0x0"
    assert receipt["revertReason"] != "0x"
    assert nonce(chain, "stranger") == 1


def test_an_impersonated_account_can_t_spend_what_it_has_not(chain: Chain) -> None:
    chain.ask("hardhat_impersonateAccount", text("stranger"))
    request = {"from": text("stranger"), "to": text("maker"), "value": "0x1"}

    code, message = refusal(chain, "eth_sendTransaction", request)

    assert (code, message.split(":")[0]) == (-32602, "insufficient funds for gas * price + value")
    assert nonce(chain, "stranger") == 0


def test_impersonated_accounts_are_listed_as_ethers_wants_it(chain: Chain) -> None:
    chain.ask("anvil_impersonateAccount", text("stranger"))

    assert chain.ask("eth_accounts") == [text("stranger")]


def test_nobody_is_impersonated_who_was_not_asked_for_or_no_longer(chain: Chain) -> None:
    request = {"from": text("stranger"), "to": text("maker")}
    chain.ask("anvil_impersonateAccount", text("stranger"))
    chain.ask("anvil_stopImpersonatingAccount", text("stranger"))

    code, message = refusal(chain, "eth_sendTransaction", request)

    assert (code, message[:19]) == (-32602, "No Signer available")


# --- pace, pool, node -----------------------------------------------------------------------------


def test_the_pace_can_be_changed_and_asked_for(chain: Chain) -> None:
    assert chain.ask("anvil_getAutomine") is False
    assert chain.ask("anvil_getIntervalMining") == 1

    chain.ask("evm_setAutomine", True)
    assert chain.ask("hardhat_getAutomine") is True
    assert chain.ask("anvil_getIntervalMining") is None
    chain.ask("evm_setAutomine", False)
    assert chain.ask("anvil_getAutomine") is False
    assert chain.ask("anvil_getIntervalMining") is None
    chain.ask("evm_setIntervalMining", 5)
    assert chain.ask("anvil_getIntervalMining") == 5


def test_waiting_transactions_can_be_dropped(chain: Chain) -> None:
    first, second = (chain.send(chain.sign("maker", value=1)) for _ in range(2))
    other = chain.send(chain.sign("taker", value=1))

    assert chain.ask("anvil_dropTransaction", second) == second
    assert chain.ask("anvil_dropTransaction", second) is None
    chain.ask("anvil_removePoolTransactions", text("taker"))
    assert chain.ask("eth_getTransactionByHash", other) is None
    assert chain.ask("eth_getTransactionByHash", first) is not None
    chain.ask("anvil_dropAllTransactions")
    assert chain.ask("eth_getTransactionByHash", first) is None


def test_the_node_describes_itself_as_anvil_does(chain: Chain) -> None:
    chain.ask("evm_snapshot")

    info, metadata = chain.ask("anvil_nodeInfo"), chain.ask("anvil_metadata")

    assert info["currentBlockNumber"] == number(chain)
    assert info["environment"]["chainId"] == chain.core.chain_id
    assert metadata["snapshots"] == {"0x0": [0, "0x" + chain.blockchain.genesis_hash.hex()]}


def test_helpers_are_refused_to_foreign_origins(chain: Chain) -> None:
    foreign = chain.context(refusal=FOREIGN_ORIGIN)

    for method, params in (("evm_mine", ()), ("evm_snapshot", ()), ("perp_fastForward", (1,))):
        with pytest.raises(RpcFailure) as failure:
            chain.ask(method, *params, context=foreign)
        assert (failure.value.code, failure.value.message) == (-32000, FOREIGN_ORIGIN)
