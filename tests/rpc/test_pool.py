"""The mempool as geth's txpool namespace shows it."""

import pytest

from node.crypto import checksum_address
from node.rpc import pool
from tests.rpc.chain import GWEI, Chain, RpcFailure, address, text


def test_what_has_a_gap_before_it_is_queued(chain: Chain) -> None:
    hashes = [chain.send(chain.sign("sender", nonce=nonce)) for nonce in (0, 1, 3)]
    chain.send(chain.sign("maker", nonce=1, value=7))

    sender, maker = checksum_address(address("sender")), checksum_address(address("maker"))
    content = chain.ask("txpool_content")
    assert chain.ask("txpool_status") == {"pending": "0x2", "queued": "0x2"}
    assert sorted(content) == ["pending", "queued"]
    assert {name: sorted(txs) for name, txs in content["pending"].items()} == {sender: ["0", "1"]}
    assert {name: sorted(txs) for name, txs in content["queued"].items()} == {
        sender: ["3"],
        maker: ["1"],
    }
    assert content["pending"][sender]["1"]["hash"] == hashes[1]
    assert content["pending"][sender]["1"]["blockHash"] is None
    own = chain.ask("txpool_contentFrom", text("sender"))
    assert own == {group: content[group][sender] for group in content}
    receiver = checksum_address(address("receiver"))
    summary = chain.ask("txpool_inspect")["queued"][maker]["1"]
    assert summary == f"{receiver}: 7 wei + 500000 gas × {2 * GWEI} wei"  # noqa: RUF001


def test_an_empty_pool_is_empty(chain: Chain) -> None:
    assert chain.ask("txpool_content") == {"pending": {}, "queued": {}}
    assert chain.ask("txpool_contentFrom", text("sender")) == {"pending": {}, "queued": {}}


def test_more_than_an_answer_holds_is_refused(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain.send(chain.sign("sender"))
    monkeypatch.setattr(pool, "CONTENT_MAX", 0)

    for method in ("txpool_content", "txpool_inspect"):
        with pytest.raises(RpcFailure, match="1 transactions wait, at most 0 are shown"):
            chain.ask(method)
