"""The RPC's benchmark asks a real node, with wrk and without, and says what it saw."""

import shutil
from collections.abc import Iterator

import pytest

from tests.helpers.devnet import MINIMAL_GENESIS, Sequencer
from tools.bench_rpc import (
    Measured,
    Press,
    Subject,
    measure_sending,
    press_with_python,
    press_with_wrk,
    show,
)
from tools.load import private_key
from tools.served import BenchError, children_of

CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'


@pytest.fixture(scope="module")
def sequencer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sequencer]:
    directory = tmp_path_factory.mktemp("sequencer")
    with Sequencer(MINIMAL_GENESIS, directory / "data") as node:
        node.start()
        node.wait_for_answer()
        node.wait_for_height(1)
        yield node


@pytest.mark.parametrize("press", [press_with_python, press_with_wrk])
def test_what_is_asked_is_counted_and_timed(sequencer: Sequencer, press: Press) -> None:
    if press is press_with_wrk and shutil.which("wrk") is None:
        pytest.skip("wrk is not here")

    pressed = press(sequencer.port, [CHAIN_ID, CHAIN_ID.replace(b"1,", b"2,")], 4, 1)

    assert pressed.requests > 100
    assert pressed.seconds > 0.9
    assert 0 < pressed.p50_ms <= pressed.p99_ms


def test_a_refused_transaction_is_no_measurement(sequencer: Sequencer) -> None:
    subject = Subject("perpnode", 1, [private_key("trader", 0)], [])
    processes = [sequencer.process.pid, *children_of(sequencer.process.pid)]

    with pytest.raises(BenchError, match="invalid chain id"):
        measure_sending(subject, sequencer.port, processes, subject.singles(3), "send")


def test_the_table_sets_each_node_beside_anvil(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        [
            Measured("perpnode", "eth_call", 32, 5_000, 0.1, 0.5, [10, 20]),
            Measured("anvil", "eth_call", 32, 10_000, 0.1, 0.5, [30]),
        ]
    )

    printed = capsys.readouterr().out
    assert "0.50" in printed
    assert "10 + 20" in printed
