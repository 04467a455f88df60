"""Faults on purpose: the cache's are seen by validators alone, the overlay's by the sequencer."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.consensus.faults import Fault, FaultKind, Stage
from node.consensus.phase import OPEN, STOPPED
from node.errors import FaultRefused, InvariantViolation
from node.units import Address, MarketId
from tests.consensus.network import PRICE, Network
from tests.helpers.chain import BTC, USDC, Person
from tests.helpers.devnet import poll


class Scene:
    """A market in which a maker and a taker hold positions, funding accrues, all is certified."""

    def __init__(self, directory: Path, origin: Network) -> None:
        self.maker, self.taker = Person("maker"), Person("taker")
        self.maker.nonce = self.taker.nonce = 1
        self.network = Network(directory, [self.maker, self.taker], origin=origin)

    def fault(self, kind: FaultKind, stage: Stage) -> Fault:
        """Return a fault that changes the number a lot."""
        target: MarketId | Address = BTC
        value = 0
        if kind == FaultKind.ORACLE_PRICE:
            value = PRICE - 5_000
        elif kind == FaultKind.BALANCE:
            target, value = self.taker.address, self.balance() + 777 * USDC
        return Fault(kind, stage, target, value)

    def balance(self) -> int:
        return self.network.account(self.taker.address).balance

    def next_block(self) -> None:
        """Seal a block that moves the price, accrues funding and touches the taker's account."""
        network = self.network
        network.seal(
            *network.reports(PRICE + 30),
            self.taker.order(1, PRICE + 50, tif=1),
            self.maker.order(-1, PRICE + 60),
        )


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A chain on which both have traded; only copies of it are harmed."""
    maker, taker = Person("maker"), Person("taker")
    network = Network(tmp_path_factory.mktemp("origin"), [maker, taker])
    network.open_market()
    network.seal(*network.reports(PRICE + 10), maker.order(-10, PRICE + 10))
    network.seal(*network.reports(PRICE + 20), taker.order(10, PRICE + 20, tif=1))
    assert network.certified == network.head.header.number
    return network


@pytest.fixture
def scene(tmp_path: Path, traded: Network) -> Scene:
    return Scene(tmp_path, traded)


def expect_cache_dispute(scene: Scene, fault: Fault, words: str) -> None:
    """Inject, seal, and check that nobody certifies the block and everybody says `words`."""
    network = scene.network
    certified = network.certified
    before = network.faults.inject(fault)

    scene.next_block()

    height = network.head.header.number
    assert network.certified == certified == height - 1
    disputes = network.disputes()
    assert len(disputes) == 4
    text = f"block {height}, {words.format(was=fault.value, recomputed=before)}"
    assert {each.text() for each in disputes} == {text}
    phase = network.sequencer.phase()
    assert (phase.name, phase.reason) == (STOPPED, text)
    assert [each.head.header.number for each in network.followers] == [height - 1] * 4


def test_a_funding_index_reset_in_the_cache_is_named(scene: Scene) -> None:
    fault = scene.fault(FaultKind.FUNDING_INDEX, Stage.CACHE)
    assert scene.network.funding().index > 0

    expect_cache_dispute(
        scene, fault, "market 1, FundingAccrued.index: was {was}, recomputed {recomputed}"
    )

    assert scene.network.disputes()[0].field == "market 1, FundingAccrued.index_before"


def test_an_oracle_price_altered_in_the_cache_is_named(scene: Scene) -> None:
    fault = scene.fault(FaultKind.ORACLE_PRICE, Stage.CACHE)

    expect_cache_dispute(
        scene, fault, "market 1, PriceAccepted.price: was {was}, recomputed {recomputed}"
    )


def test_an_oracle_price_altered_while_the_price_stands_still_is_named(scene: Scene) -> None:
    network = scene.network
    network.faults.inject(scene.fault(FaultKind.ORACLE_PRICE, Stage.CACHE))

    network.seal(*network.reports(PRICE + 20))

    dispute = network.disputes()[0]
    assert dispute.field == "market 1, PriceAccepted"
    assert dispute.was == (
        f"PriceAccepted(market=1, price_before={PRICE - 5_000}, price={PRICE + 20})"
    )
    assert dispute.recomputed == "nothing"


def test_a_balance_altered_in_the_cache_is_named_when_it_is_used(scene: Scene) -> None:
    network, taker = scene.network, scene.taker
    fault = scene.fault(FaultKind.BALANCE, Stage.CACHE)
    before = network.faults.inject(fault)
    # Nobody touches the account: the record is not written, and the root is right.
    network.seal(*network.reports(PRICE + 21))
    assert network.certified == network.head.header.number

    # A deposit is a log, no transition: of the results only the state root differs.
    network.seal(taker.call("Exchange", "deposit", 5 * USDC))

    dispute = network.disputes()[0]
    assert dispute.text() == (
        f"block {network.head.header.number}, account 0x{taker.address.hex()}, Account.balance: "
        f"was {fault.value + 5 * USDC}, recomputed {before + 5 * USDC}"
    )
    assert network.sequencer.phase().name == STOPPED
    assert network.certified == network.head.header.number - 1


@pytest.mark.parametrize("kind", FaultKind)
def test_the_sequencers_own_invariants_do_not_see_the_cache(scene: Scene, kind: FaultKind) -> None:
    scene.network.faults.inject(scene.fault(kind, Stage.CACHE))

    scene.next_block()

    assert scene.network.sequencer.failure is None


RULES = {
    FaultKind.FUNDING_INDEX: ("I4", "market 1, FundingAccrued.index"),
    FaultKind.ORACLE_PRICE: ("I7", "market 1, oracle"),
    FaultKind.BALANCE: ("I1", "sum of margin balances"),
}


@pytest.mark.parametrize("kind", FaultKind)
def test_the_overlays_fault_is_refused_by_the_invariants(scene: Scene, kind: FaultKind) -> None:
    network, head = scene.network, scene.network.head
    network.faults.inject(scene.fault(kind, Stage.OVERLAY))

    with pytest.raises(InvariantViolation) as violation:
        scene.next_block()

    assert (violation.value.rule, violation.value.field) == RULES[kind]
    assert network.head == head
    assert network.blockchain.before_apply is None


@pytest.mark.parametrize("kind", FaultKind)
def test_sealing_stops_with_the_reason_and_reads_go_on(scene: Scene, kind: FaultKind) -> None:
    network = scene.network
    balance = scene.balance()
    network.faults.inject(scene.fault(kind, Stage.OVERLAY))
    network.clock.now_ms += 1_000

    network.sequencer.start()
    poll(lambda: network.sequencer.failure, what="sealing stopped")

    phase = network.sequencer.phase()
    assert phase.name == STOPPED
    assert phase.reason.startswith(f"invariant {RULES[kind][0]}: block ")
    assert scene.balance() == balance
    assert [each.node.phase().name for each in network.followers] == [OPEN] * 4
    network.sequencer.stop()


def test_after_an_overlay_fault_a_restart_seals_on(scene: Scene) -> None:
    network = scene.network
    network.faults.inject(scene.fault(FaultKind.FUNDING_INDEX, Stage.OVERLAY))
    with pytest.raises(InvariantViolation):
        scene.next_block()
    network.restart()

    block = network.seal()

    assert network.certified == block.header.number


REFUSED = [
    (FaultKind.FUNDING_INDEX, MarketId(9), 1, "there is no funding_index of market 9"),
    (FaultKind.BALANCE, Address(b"\5" * 20), 1, f"there is no balance of account 0x{'05' * 20}"),
    (FaultKind.BALANCE, MarketId(1), 1, "balance belongs to an account's address, not to market 1"),
    (FaultKind.ORACLE_PRICE, Address(bytes(20)), 1, "oracle_price belongs to a market's id"),
    (FaultKind.ORACLE_PRICE, BTC, 0, "oracle_price was 0, must be from 1 to"),
    (FaultKind.ORACLE_PRICE, BTC, PRICE + 20, "oracle_price is 400020 already: nothing to alter"),
    (FaultKind.FUNDING_INDEX, BTC, 2**121, "must be within ±2^120"),
]


@pytest.mark.parametrize(("kind", "target", "value", "words"), REFUSED)
@pytest.mark.parametrize("stage", Stage)
def test_a_fault_that_can_not_be_is_refused(
    scene: Scene, stage: Stage, kind: FaultKind, target: MarketId | Address, value: int, words: str
) -> None:
    with pytest.raises(FaultRefused) as refusal:
        scene.network.faults.inject(Fault(kind, stage, target, value))

    assert words in str(refusal.value)
    scene.next_block()
    assert scene.network.certified == scene.network.head.header.number


def test_the_trie_keeps_the_right_record(scene: Scene) -> None:
    network = scene.network
    index = network.funding().index
    network.faults.inject(scene.fault(FaultKind.FUNDING_INDEX, Stage.CACHE))
    assert network.funding().index == 0

    network.blockchain.states.rebuild_flat(network.head.header.state_root)
    network.restart()

    assert network.funding().index == index
