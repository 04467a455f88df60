"""web3.py against a live chain: connect, fund, deposit, trade, see it, close, withdraw, errors."""

from collections.abc import Iterator
from typing import Any

import pytest
from eth_account import Account
from eth_account.signers.local import LocalAccount
from web3 import HTTPProvider, Web3
from web3.exceptions import ContractCustomError, Web3RPCError
from web3.logs import DISCARD
from web3.middleware import SignAndSendRawMiddlewareBuilder
from web3.types import TxParams, TxReceipt

from tests.conformance.trade import (
    CHAIN_ID,
    DEPOSIT,
    ETHER,
    EXCHANGE,
    FAUCET,
    GTC,
    IOC,
    MARKET,
    SIZE,
    TOKEN,
    abi_of,
    cash_of,
    fresh_key,
    funder_key,
)
from tests.helpers.devnet import Devnet


@pytest.fixture
def w3(chain: Devnet) -> Iterator[Web3]:
    provider = HTTPProvider(chain.rpc.url)
    client = Web3(provider)
    yield client
    provider._request_session_manager.session_cache.clear()


def _join(w3: Web3, key: str) -> LocalAccount:
    account: LocalAccount = Account.from_key(key)
    w3.middleware_onion.inject(SignAndSendRawMiddlewareBuilder.build(account), layer=0)
    return account


def _mined(w3: Web3, tx_hash: Any) -> TxReceipt:
    receipt = w3.eth.wait_for_transaction_receipt(tx_hash, timeout=60, poll_latency=0.05)
    assert receipt["status"] == 1
    return receipt


def test_web3_trades_and_withdraws_exactly_what_the_events_say(w3: Web3) -> None:
    assert w3.eth.chain_id == CHAIN_ID
    funder = _join(w3, funder_key(2))
    maker, taker = _join(w3, fresh_key("web3 maker")), _join(w3, fresh_key("web3 taker"))
    token = w3.eth.contract(address=Web3.to_checksum_address(TOKEN), abi=abi_of("Token"))
    exchange = w3.eth.contract(address=Web3.to_checksum_address(EXCHANGE), abi=abi_of("Exchange"))

    def act(who: LocalAccount, call: Any) -> TxReceipt:
        return _mined(w3, call.transact({"from": who.address}))

    for who in (maker, taker):
        gift: TxParams = {
            "from": funder.address,
            "to": who.address,
            "value": Web3.to_wei(1, "ether"),
        }
        assert _mined(w3, w3.eth.send_transaction(gift))["gasUsed"] == 21_000
        act(who, token.functions.faucet(FAUCET))
        act(who, exchange.functions.deposit(DEPOSIT))
        assert token.functions.balanceOf(who.address).call() == FAUCET - DEPOSIT
    first = w3.eth.block_number
    info = exchange.functions.getMarket(MARKET).call()
    k, price = info[3], info[5]

    act(maker, exchange.functions.placeOrder(MARKET, -SIZE, price, GTC, False))
    taken = act(taker, exchange.functions.placeOrder(MARKET, SIZE, price, IOC, False))
    (fill,) = exchange.events.OrderFilled().process_receipt(taken, errors=DISCARD)
    assert fill["args"]["maker"] == maker.address
    assert fill["args"]["taker"] == taker.address
    assert (fill["args"]["size"], fill["args"]["price"]) == (SIZE, price)
    assert exchange.functions.getPosition(maker.address, MARKET).call()[0] == -SIZE

    act(maker, exchange.functions.placeOrder(MARKET, SIZE, price, GTC, True))
    act(taker, exchange.functions.placeMarketOrder(MARKET, -SIZE, True))
    fills = [log["args"] for log in exchange.events.OrderFilled().get_logs(from_block=first)]
    settlements = [
        log["args"] for log in exchange.events.FundingSettled().get_logs(from_block=first)
    ]
    assert len(fills) == 2
    for who in (maker, taker):
        cash = cash_of(who.address, fills, settlements, k)
        act(who, exchange.functions.withdraw(DEPOSIT + cash))
        assert token.functions.balanceOf(who.address).call() == FAUCET + cash
        assert exchange.functions.getAccount(who.address).call()[0] == 0

    place = exchange.functions.placeOrder(MARKET, SIZE, price, GTC, False)
    with pytest.raises(ContractCustomError) as refused:
        place.call({"from": maker.address})
    selector = Web3.keccak(text="InsufficientMargin(address,int256,uint256)")[:4]
    assert str(refused.value.data).startswith(Web3.to_hex(selector))
    with pytest.raises(Web3RPCError, match="nonce too low"):
        w3.eth.send_transaction({"from": maker.address, "to": taker.address, "nonce": 0})  # type: ignore[typeddict-item]
    with pytest.raises(Web3RPCError, match="insufficient funds"):
        w3.eth.send_transaction(
            {"from": maker.address, "to": taker.address, "value": Web3.to_wei(5 * ETHER, "wei")}
        )
