"""The sealing thread: it pauses and goes on by itself, stops on disputes, and reads go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.chain.certificate import proposal_bytes
from node.consensus.messages import DisputeMessage, Message
from node.consensus.phase import LAGGING, OPEN, STOPPED
from node.consensus.sequencer import UNCERTIFIED_MAX, Sequencer
from node.crypto import ed25519_verify
from node.errors import KeyFileError
from node.state.kv import MemoryDb
from tests.consensus.liar import Liar, forge
from tests.consensus.network import SEQUENCER_SEED, Network, validator_seed
from tests.helpers.chain import Person

PATIENCE_S = 30


def wait_for(condition: Callable[[], bool]) -> None:
    """Wait until something came true; how long that takes says nothing."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, "it did not come true"
        time.sleep(0.005)


class Live:
    """A network whose sequencer seals in its own thread; messages are carried by the test."""

    def __init__(self, directory: Path) -> None:
        self.network = network = Network(directory, [Person("maker"), Person("taker")])
        start = network.genesis.time_ms - time.monotonic_ns() // 1_000_000
        self.sequencer = Sequencer(
            network.blockchain,
            network.mempool,
            block_time_ms=10,
            instant=False,
            clock_ms=lambda: start + time.monotonic_ns() // 1_000_000,
            seed=SEQUENCER_SEED,
        )
        network.sequencer = self.sequencer
        network.clock.now_ms = network.genesis.time_ms + 3_600_000
        self.sequencer.on_publish(network.outbox.append)

    @property
    def height(self) -> int:
        return self.network.head.header.number


@pytest.fixture
def live(tmp_path: Path) -> Iterator[Live]:
    live = Live(tmp_path)
    yield live
    live.sequencer.stop()


def test_without_validators_answering_it_pauses_and_goes_on_when_they_return(live: Live) -> None:
    live.sequencer.start()
    wait_for(lambda: live.sequencer.phase().name == LAGGING)
    assert live.height == UNCERTIFIED_MAX

    missing = "validators 0, 1, 2, 3 have not signed since block 0"
    assert live.sequencer.phase().reason == f"blocks 1 to 8 are not certified: {missing}"

    live.network.carry()
    wait_for(lambda: live.height > UNCERTIFIED_MAX)

    assert live.network.certified >= UNCERTIFIED_MAX


def test_it_stops_on_disputes_and_reads_go_on(live: Live) -> None:
    network = live.network
    liar = Liar(network.blockchain)
    lie = liar.propose(forge(liar.make([], network.genesis.time_ms + 1), header={"gas_used": 1}))
    disputes: list[Message] = []
    for follower in network.followers[:2]:
        disputes += follower.node.on_message(lie)
    for dispute in disputes:
        live.sequencer.on_message("validator", dispute)

    live.sequencer.start()

    phase = live.sequencer.phase()

    assert (phase.name, phase.reason) == (STOPPED, "block 1, gas_used: was 1, recomputed 0")
    live.sequencer.stop()
    assert live.height == 0
    assert network.blockchain.ledger_after(network.head).params.reporters


def test_a_validator_made_anew_that_attests_after_all_disputes_no_more(live: Live) -> None:
    network = live.network
    liar = Liar(network.blockchain)
    lie = liar.propose(forge(liar.make([], network.genesis.time_ms + 1), header={"gas_used": 1}))
    for follower in network.followers[:2]:
        for dispute in follower.node.on_message(lie):
            network.sequencer.on_message("validator", dispute)
    network.sequencer.seal()
    assert network.sequencer.phase().name == STOPPED
    for index in (2, 3):
        network.connect(index)

    network.followers[0].kv = MemoryDb()
    network.followers[0].restart()
    network.connect(0)

    assert network.sequencer.phase().name == OPEN
    assert network.certified == 1
    assert network.followers[1].node.phase().name == STOPPED


def test_its_own_dispute_stops_a_validator_whoever_else_goes_on(live: Live) -> None:
    network = live.network
    liar = Liar(network.blockchain)
    lie = liar.propose(forge(liar.make([], network.genesis.time_ms + 1), header={"gas_used": 1}))
    [dispute] = network.followers[0].node.on_message(lie)
    assert isinstance(dispute, DisputeMessage)
    network.sequencer.on_message("0", dispute)

    block = network.seal()

    assert network.certified == block.header.number
    assert network.followers[0].head.header.number == 0
    assert network.sequencer.phase().name == OPEN


def test_every_block_is_signed_by_the_key_that_genesis_names(live: Live) -> None:
    network = live.network
    block = network.seal()

    signature = network.blockchain.store.load_signature(block.hash)

    message = proposal_bytes(network.blockchain.identity_of(block), block.header.number, block.hash)
    assert ed25519_verify(network.genesis.sequencer, signature, message)
    stored = network.followers[0].blockchain.store.load_signature(block.hash)
    assert stored == signature


@pytest.mark.parametrize("seed", [None, validator_seed(0)])
def test_another_key_than_genesis_names_is_refused(live: Live, seed: bytes | None) -> None:
    with pytest.raises(KeyFileError, match="genesis names 0x"):
        Sequencer(
            live.network.blockchain,
            live.network.mempool,
            block_time_ms=10,
            instant=False,
            clock_ms=live.network.clock,
            seed=seed,
        )
