"""A number made wrong on purpose: what the sequencer refuses itself, and what only others can see.

In stage cache the sequencer's before-value is wrong, as Paradex's was: it seals, nobody signs. In
stage overlay its own invariants refuse the block.
"""

import json
from pathlib import Path

import pytest

from tests.helpers.chain import BTC, Person
from tests.helpers.devnet import poll
from tests.helpers.validators import Network, perpnode, verify

FAULTS = {
    "funding_index": (BTC, 18_446_200_431),
    "oracle_price": (BTC, 930_100),
    "balance": ("0x" + Person("trader").address.hex(), 100_007_000_000),
}
FIELDS = {"funding_index": "index", "oracle_price": "price", "balance": "balance"}
COUNTS = [1, pytest.param(4, marks=pytest.mark.slow)]


def faulty(tmp_path: Path, count: int) -> Network:
    return Network(tmp_path, "--faults", validators=count, people=[Person("trader")])


def inject(network: Network, kind: str, stage: str) -> int:
    """Make a number wrong, once the market is open and has funding; return what it was."""
    poll(lambda: network.rpc.call("perp_getMarkets")[0]["mode"] == "OPEN", what="an OPEN market")
    network.wait_for_certified(2)
    target, value = FAULTS[kind]
    return int(network.rpc.call("debug_injectFault", kind, stage, target, value)["before"])


def touch_account(network: Network) -> None:
    """Let the next block write the trader's balance."""
    trader = Person("trader")
    network.send(trader.call("Exchange", "withdraw", 1_000_000))


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", FAULTS)
def test_a_number_wrong_in_the_cache_is_sealed_and_never_certified(
    tmp_path: Path, kind: str, count: int
) -> None:
    value = FAULTS[kind][1]
    with faulty(tmp_path, count) as network:
        before = inject(network, kind, "cache")
        if kind == "balance":
            touch_account(network)

        disputes = poll(lambda: network.rpc.call("perp_getDisputes") or None, what="a dispute")

        status = network.wait_for_status(lambda s: s["phase"] == "stopped", "the stop")
        wrong = min(dispute["height"] for dispute in disputes)
        text = disputes[0]["text"]
        assert status["latest"] >= wrong > status["safe"]
        assert FIELDS[kind] in text.partition(": was ")[0].lower()
        was, recomputed = text.partition(": was ")[2].split(", recomputed ")
        if kind == "balance":  # both less by what was withdrawn
            assert int(was) - int(recomputed) == value - before
        elif recomputed != "nothing":
            assert (was, recomputed) == (str(value), str(before))
        else:  # a block without reports: the right price did not move, the wrong one did
            assert kind == "oracle_price"
            assert str(value) in was
        shown = perpnode("status", "--rpc", network.rpc.url).stdout
        assert text in shown
        assert text in network.sequencer.errors()
        for node in network.validators:
            node.wait_for_line(text)
            assert node.height() == wrong - 1
        network.end()

    failed = verify(network.sequencer.data_dir)
    assert failed.returncode == 1
    assert text in failed.stderr
    assert json.loads(failed.stdout)["height"] == wrong
    for node in network.validators:
        done = verify(node.data_dir)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["last"] == wrong - 1
    require_audited(network.sequencer.data_dir, wrong, kind)


def require_audited(data_dir: Path, wrong: int, kind: str) -> None:
    """Check that an auditor finds what the lie did, in a table that sums, and nothing before it."""
    honest, lying = (
        json.loads(perpnode("audit", *span, "--data-dir", str(data_dir), "--json").stdout)
        for span in (("1", str(wrong - 1)), (str(wrong), "latest"))
    )
    assert (honest["evidence"], honest["report"]["first_difference"]) == ([], "")
    assert honest["report"]["state_root_was"] == honest["report"]["state_root_should"]
    if kind == "balance":  # no transition tells it
        assert lying["report"]["state_root_was"] != lying["report"]["state_root_should"]
    else:  # by now reports may have put an oracle right
        assert f"block {wrong}, market 1, " in lying["report"]["first_difference"]
    assert {lying["report"]["totals"][name] for name in ("equity_was", "loss")} == {"0"}
    made = [row["loss"] for row in lying["accounts"] if row["name"] == "out of nothing"]
    assert bool(made) == (kind == "balance")


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("kind", FAULTS)
def test_a_number_wrong_within_the_block_is_not_sealed(
    tmp_path: Path, kind: str, count: int
) -> None:
    with faulty(tmp_path, count) as network:
        inject(network, kind, "overlay")

        status = network.wait_for_status(lambda s: s["phase"] == "stopped", "the stop")

        assert status["reason"].startswith("invariant I")
        assert network.rpc.block(status["latest"]) is not None
        assert network.rpc.call("perp_getDisputes") == []
        assert "sealing stopped" in network.sequencer.errors()
        network.end()

    for node in (network.sequencer, *network.validators):
        done = verify(node.data_dir)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["last"] <= status["latest"]
