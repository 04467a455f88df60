"""What gas costs: constant, so that every library's way of finding out comes to the same."""

from typing import Any

import pytest

from tests.rpc.chain import GWEI, Chain, RpcFailure


def test_the_gas_price_is_the_base_fee_and_a_tip_buys_nothing(traded: Chain) -> None:
    assert traded.ask("eth_gasPrice") == hex(GWEI)
    assert traded.ask("eth_maxPriorityFeePerGas") == "0x0"
    assert traded.ask("eth_getBlockByNumber", "latest")["baseFeePerGas"] == hex(GWEI)


@pytest.mark.parametrize("count", ["0x3", 3])
def test_a_history_has_one_base_fee_more_than_blocks(traded: Chain, count: Any) -> None:
    history = traded.ask("eth_feeHistory", count, "latest", [])

    newest = int(traded.ask("eth_blockNumber"), 16)
    assert history["oldestBlock"] == hex(newest - 2)
    assert history["baseFeePerGas"] == [hex(GWEI)] * 4
    assert len(history["gasUsedRatio"]) == 3
    assert all(0 < ratio < 1 for ratio in history["gasUsedRatio"])
    assert "reward" not in history
    assert traded.ask("eth_feeHistory", count, "latest") == history
    assert traded.ask("eth_feeHistory", count, "latest", None) == history


def test_a_history_ends_with_the_chain(traded: Chain) -> None:
    assert traded.ask("eth_feeHistory", "0x400", "0x1", [])["oldestBlock"] == "0x0"
    assert len(traded.ask("eth_feeHistory", "0xffffff", "0x1", [])["gasUsedRatio"]) == 2
    assert traded.ask("eth_feeHistory", 0, "latest", [])["gasUsedRatio"] is None


def test_rewards_are_the_tips_at_percentiles_of_the_gas(chain: Chain) -> None:
    for tip in (30, 10, 20, 40):  # four transfers of 21,000 gas
        chain.send(chain.sign("sender", max_priority_fee=tip))
    chain.seal()

    history = chain.ask("eth_feeHistory", 2, "latest", [0, 25, 25.1, 50, 99, 100])

    tips = [10, 10, 20, 20, 40, 40]
    assert history["reward"] == [[hex(0)] * 6, [hex(tip) for tip in tips]]


@pytest.mark.parametrize(
    ("params", "code", "message"),
    [
        (["0x1", "0xffff", []], -32000, "header not found"),
        ([-1, "latest", []], -32602, "invalid argument 0: block count must not be negative"),
        (["latest", "latest", []], -32602, "invalid argument 0: hex string without 0x prefix"),
        ([1, "latest", [101]], -32602, "invalid argument 2: invalid reward percentile: 101"),
        ([1, "latest", [-1]], -32602, "invalid argument 2: invalid reward percentile: -1"),
        ([1, "latest", ["5"]], -32602, "invalid argument 2: invalid reward percentile: 5"),
        ([1, "latest", [2, 1]], -32602, "invalid argument 2: invalid reward percentile: 1 after"),
        ([1, "latest", [1] * 101], -32602, "invalid argument 2: invalid reward percentile: over"),
        ([1, "latest", 5], -32602, "invalid argument 2: cannot unmarshal non-array"),
    ],
)
def test_what_is_no_history_is_refused(
    traded: Chain, params: list[Any], code: int, message: str
) -> None:
    with pytest.raises(RpcFailure) as refusal:
        traded.ask("eth_feeHistory", *params)

    assert refusal.value.code == code
    assert refusal.value.message.startswith(message)
