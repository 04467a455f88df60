"""The development helpers beside validators: executed again, signed, and followed back."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.chain.development import Call, SetBalance, SetTimeOffset
from node.consensus.development import Development
from node.consensus.faults import Fault, FaultKind, Stage
from node.consensus.messages import Attestation, Message, Reverted
from node.consensus.phase import LAGGING, OPEN, STOPPED
from node.consensus.reorg import Wish
from node.consensus.validator import AHEAD_MS_MAX
from node.consensus.verification import verify_database
from node.errors import ActionImpossible
from node.units import Address, Height, Wei
from tests.consensus.liar import Liar
from tests.consensus.network import Network
from tests.helpers.chain import BTC, Person

OTHER = Address(b"\x99" * 20)


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path, [Person("maker"), Person("taker")])


@pytest.fixture
def helpers(network: Network) -> Development:
    return Development(network.blockchain, network.mempool, network.sequencer)


def heads(network: Network) -> set[bytes]:
    """Return every node's head."""
    return {network.head.hash, *(each.head.hash for each in network.followers)}


def epochs(network: Network) -> set[int]:
    """Return every node's development epoch."""
    chains = [network.blockchain, *(each.blockchain for each in network.followers)]
    return {each.next_epoch() for each in chains}


def test_validators_certify_what_a_helper_did(network: Network, helpers: Development) -> None:
    sealed = helpers.operate(SetBalance(OTHER, Wei(5)))
    network.deliver()

    assert heads(network) == {sealed.block.hash}
    assert network.certified == sealed.block.header.number
    for follower in network.followers:
        leaf = follower.blockchain.head.state.get_account(OTHER)
        assert leaf is not None
        assert leaf.balance == 5


def test_validators_sign_a_jump_in_time_that_its_block_says(
    network: Network, helpers: Development
) -> None:
    network.seal()
    before = network.head.extension.time_ms

    helpers.increase_time(86_400_000)
    network.deliver()
    network.seal()

    assert network.head.extension.time_ms == before + 86_400_100
    assert network.certified == network.head.header.number
    assert network.disputes() == []


def test_a_jump_that_no_operation_says_waits_for_the_clock(network: Network) -> None:
    network.seal()
    liar = Liar(network.blockchain)
    ahead = network.clock.now_ms + AHEAD_MS_MAX + 1
    proposal = liar.propose(liar.make([], ahead))

    for follower in network.followers:
        assert follower.node.on_proposal(proposal) == []
        assert follower.head.hash == network.head.hash


def test_a_revert_takes_every_validator_back_and_goes_on_signed(
    network: Network, helpers: Development
) -> None:
    network.open_market()
    kept = network.head
    helpers.snapshot()
    for _ in range(3):
        network.seal(*network.reports(400_000))
    guards = [each.guard_file.read_text() for each in network.followers]

    assert helpers.revert(0)
    network.deliver()

    assert heads(network) == {kept.hash}
    assert epochs(network) == {1}
    for reporter in network.reporters:
        reporter.nonce -= 3
    network.seal(*network.reports(400_000))
    assert network.head.extension.dev_epoch == 1
    assert network.certified == network.head.header.number == kept.header.number + 1
    assert heads(network) == {network.head.hash}
    for before, follower in zip(guards, network.followers, strict=True):
        assert "dev_epoch 0\n" in before
        assert "dev_epoch 1\n" in follower.guard_file.read_text()
    assert network.disputes() == []


def test_validators_follow_a_reorg_and_certify_its_blocks(
    network: Network, helpers: Development
) -> None:
    network.open_market()
    kept = network.blockchain.block_at(Height(network.head.header.number - 2))
    left, height = network.head, network.head.header.number
    assert kept is not None
    nonce = network.blockchain.ledger_after(kept).get_nonce
    call = Wish(OTHER, None, lambda nonce: Call(OTHER, nonce, kept.header.coinbase, Wei(0), b""))

    helpers.reorg([[call], [call]])
    network.deliver()

    assert nonce(OTHER) == 0
    assert network.blockchain.ledger_after(network.head).get_nonce(OTHER) == 2
    assert (network.head.header.number, network.head.extension.dev_epoch) == (height, 1)
    assert network.head.hash != left.hash
    assert heads(network) == {network.head.hash}
    assert network.certified == height
    assert network.disputes() == []
    assert verify_database(network.genesis, network.kv).head_hash == network.head.hash


def test_a_validator_that_missed_several_reverts_follows_to_the_same_head(
    network: Network, helpers: Development
) -> None:
    for _ in range(4):
        network.seal()
    network.cut(0)
    for _ in range(2):
        network.seal()
    helpers.rollback(3)  # to block 3
    for _ in range(4):
        network.seal()
    helpers.rollback(1)  # to block 6 of the new branch
    network.deliver()
    network.seal()
    helpers.rollback(1)
    network.deliver()
    for _ in range(3):
        network.seal()
    assert network.followers[0].head.header.number == 4

    network.connect(0)
    for _ in range(5):
        network.tick()

    assert network.followers[0].head.hash == network.head.hash
    assert network.followers[0].blockchain.next_epoch() == 3
    assert network.certified == network.head.header.number


def test_a_validator_killed_after_a_revert_is_on_its_branch(
    network: Network, helpers: Development
) -> None:
    for _ in range(3):
        network.seal()
    helpers.rollback(2)
    network.deliver()

    network.followers[1].restart()
    network.restart()

    assert network.head.header.number == 1
    assert epochs(network) == {1}
    network.connect(1)
    network.seal()
    assert network.certified == 2
    assert heads(network) == {network.head.hash}


def test_a_new_validator_replays_a_chain_with_reverts(
    network: Network, helpers: Development
) -> None:
    network.cut(3)
    for _ in range(3):
        network.seal()
    helpers.rollback(1)
    network.deliver()
    for _ in range(2):
        network.seal()

    network.connect(3)
    for _ in range(3):
        network.tick()

    assert network.followers[3].head.hash == network.head.hash


def test_a_late_attestation_of_a_block_that_was_taken_out_costs_nobody_the_link(
    network: Network, helpers: Development, monkeypatch: pytest.MonkeyPatch
) -> None:
    network.seal()
    late: list[Message] = []
    with monkeypatch.context() as patched:
        patched.setattr(network, "_answer", lambda _, messages: late.extend(messages))
        network.seal()
    assert any(isinstance(each, Attestation) for each in late)
    helpers.rollback(1)
    network.deliver()

    for message in late:
        network.sequencer.on_message("validator", message)

    assert network.certified == 1


def test_a_revert_mends_what_a_fault_broke(network: Network, helpers: Development) -> None:
    network.open_market()
    index = network.funding().index
    helpers.snapshot()
    fault = Fault(FaultKind.FUNDING_INDEX, Stage.CACHE, BTC, index + 10**12)
    network.faults.inject(fault)
    network.seal(*network.reports(400_000))
    assert network.sequencer.phase().name == STOPPED

    assert helpers.revert(0)
    network.deliver()

    assert network.sequencer.phase().name == OPEN
    assert {each.node.phase().name for each in network.followers} == {OPEN}
    for reporter in network.reporters:
        reporter.nonce -= 1
    network.seal(*network.reports(400_000))
    assert network.certified == network.head.header.number
    assert abs(network.funding().index - index) < 10**12


def test_a_helper_waits_for_validators_and_says_whom_it_misses(
    network: Network, helpers: Development, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.consensus.development.LAG_S", 0.02)
    for index in range(4):
        network.cut(index)
    while network.sequencer.phase().name != LAGGING:
        network.seal()
    height = network.head.header.number

    with pytest.raises(ActionImpossible, match="have not signed since block 0"):
        helpers.mine(1)

    assert network.head.header.number == height


def test_a_chain_that_is_not_for_development_follows_nobody_back(tmp_path: Path) -> None:
    network = Network(tmp_path, [Person("maker")])
    network.genesis = network.genesis._replace(dev=False)
    for follower in network.followers:
        follower._genesis = network.genesis
        follower.kv.write([], [key for key, _ in follower.kv.items(b"")])
        follower.restart()
    network.kv.write([], [key for key, _ in network.kv.items(b"")])
    network.restart()
    network.seal()
    first = network.blockchain.block_at(Height(0))
    assert first is not None

    for follower in network.followers:
        follower.node.on_message(Reverted(0, 1, Height(0), first.hash, 0))

    assert heads(network) == {network.head.hash}
    assert network.head.header.number == 1


def test_a_chain_with_reverts_verifies(network: Network, helpers: Development) -> None:
    network.open_market()
    helpers.operate(SetBalance(OTHER, Wei(9)))
    helpers.rollback(5)
    helpers.increase_time(50_000)
    network.deliver()
    helpers.fast_forward(20_000)
    network.deliver()

    verified = verify_database(network.genesis, network.kv)

    assert verified.head_hash == network.head.hash
    assert verified.signatures == network.head.header.number


def test_the_time_offset_is_what_the_last_operation_said(
    network: Network, helpers: Development
) -> None:
    network.seal()

    helpers.operate(SetTimeOffset(5_000))
    assert network.sequencer.time.offset_ms() == 5_000
    helpers.mine(2, 1_000)

    assert network.sequencer.time.offset_ms() == 7_000
    assert network.head.extension.time_ms == network.clock.now_ms + 7_000


def test_validators_execute_a_loaded_state(network: Network, helpers: Development) -> None:
    network.open_market()
    content = helpers.dump()
    helpers.operate(SetBalance(OTHER, Wei(9)))
    network.deliver()

    helpers.load(content)
    network.deliver()

    assert heads(network) == {network.head.hash}
    assert network.certified == network.head.header.number
    assert network.followers[0].blockchain.head.state.get_account(OTHER) is not None
    network.seal()
    assert network.certified == network.head.header.number
    assert network.disputes() == []
