"""A sequencer and four validators: certificates, lag, restarts, and blocks that come late."""

from pathlib import Path

import pytest

from node.chain.certificate import Certificate, certificate_hash, verify_certificate
from node.consensus.messages import Attestation, Blocks, GetBlocks, Proposal
from node.consensus.phase import LAGGING, OPEN, SYNCING, Phase
from node.consensus.proposals import make_proposal
from node.consensus.validator import AHEAD_MS_MAX, SYNCING_FROM
from node.errors import InvalidAttestation
from node.units import Height
from tests.consensus.network import PRICE, Network
from tests.helpers.chain import Person


@pytest.fixture
def network(tmp_path: Path) -> Network:
    return Network(tmp_path, [Person("maker"), Person("taker")])


def newest(network: Network) -> Certificate:
    certificate = network.blockchain.certificate
    assert certificate is not None
    return certificate


def test_validators_certify_what_they_made_themselves(network: Network) -> None:
    maker, taker = Person("maker"), Person("taker")
    network.open_market()
    network.seal(*network.reports(PRICE + 10), maker.order(-10, PRICE + 10))

    block = network.seal(*network.reports(PRICE + 20), taker.order(10, PRICE + 20, tif=1))

    assert network.certified == block.header.number
    assert [each.head.hash for each in network.followers] == [block.hash] * 4
    assert network.blockchain.safe_block() == block
    assert all(
        each.blockchain.certified_height() == block.header.number for each in network.followers
    )
    verify_certificate(
        newest(network),
        network.blockchain.identity_of(block),
        network.blockchain.validators_of(block),
    )


def test_the_next_block_names_the_certificate(network: Network) -> None:
    first = network.seal()
    certificate = newest(network)

    second = network.seal()

    assert first.extension.certified_height == 0
    assert second.extension.certified_height == first.header.number
    assert second.extension.last_certificate_hash == certificate_hash(certificate)
    stored = network.followers[0].blockchain.store.load_certificate(first.hash)
    assert stored == certificate


def test_three_of_four_certify_and_two_do_not(network: Network) -> None:
    network.cut(3)
    third = network.seal()
    assert network.certified == third.header.number
    assert len(newest(network).signatures) == 3

    network.cut(2)
    network.seal()

    assert network.certified == third.header.number


def test_from_four_uncertified_blocks_the_gas_limit_halves_and_at_eight_sealing_pauses(
    network: Network,
) -> None:
    network.seal()
    full = network.genesis.gas_limit
    for index in (2, 3):
        network.cut(index)

    blocks = [network.seal() for _ in range(8)]

    # Blocks 2 to 9; block 6 is the first with four uncertified ones below it.
    limits = [block.header.gas_limit for block in blocks]
    assert limits == [full] * 4 + [full // 2] * 4
    phase = network.sequencer.phase()
    assert phase.name == LAGGING
    missing = "validators 2, 3 have not signed since block 1"
    assert phase.reason == f"blocks 2 to 9 are not certified: {missing}"


def test_sealing_goes_on_when_a_validator_returns(network: Network) -> None:
    for index in (2, 3):
        network.cut(index)
    for _ in range(8):
        network.seal()

    network.connect(3)

    assert network.sequencer.phase().name == OPEN
    assert network.certified == 8
    assert network.seal().header.gas_limit == network.genesis.gas_limit


def test_who_was_cut_off_catches_up_and_signs_nothing_twice(network: Network) -> None:
    network.seal()
    network.cut(3)
    for _ in range(5):
        network.seal()
    follower = network.followers[3]
    follower.restart()

    network.connect(3)
    network.seal()

    assert follower.head == network.head
    last = follower.node._guard.last if follower.node._guard else None
    assert last is not None
    assert last.position.height == network.head.header.number
    assert last.block_hash == network.head.hash


def test_a_validator_joins_by_replay(network: Network) -> None:
    network.cut(3)
    network.open_market()

    network.connect(3)

    assert network.followers[3].head == network.head
    state = network.followers[3].blockchain.head.state
    assert state.root == network.head.header.state_root


def test_a_restarted_sequencer_knows_its_certificate_and_goes_on(network: Network) -> None:
    for _ in range(3):
        network.seal()
    certificate = newest(network)

    network.restart()

    assert network.blockchain.certificate == certificate
    for index in range(4):
        network.connect(index)
    block = network.seal()
    assert block.extension.certified_height == certificate.height
    assert network.certified == block.header.number


def test_a_lost_attestation_is_told_again(network: Network) -> None:
    for index in (2, 3):
        network.cut(index)
    block = network.seal()
    follower = network.followers[2]
    attested = follower.node.on_message(make_proposal(network.blockchain, block))
    assert [type(each) for each in attested] == [Attestation]

    network.connect(2)

    assert network.certified == block.header.number


def test_a_block_ahead_of_the_clock_waits_and_is_signed_in_time(network: Network) -> None:
    network.clock.now_ms += AHEAD_MS_MAX + 1
    network.sequencer.seal()
    network.clock.now_ms -= AHEAD_MS_MAX + 1
    network.deliver()
    assert network.certified == 0
    assert network.followers[0].head.header.number == 0

    network.clock.now_ms += 1
    network.tick()

    assert network.certified == 1


def test_missing_parents_are_asked_for_once_at_a_time(network: Network) -> None:
    network.cut(0)
    network.seal()
    second = network.seal()
    node = network.followers[0].node
    proposal = make_proposal(network.blockchain, second)

    assert node.on_message(proposal) == [GetBlocks(Height(1))]
    assert node.on_message(proposal) == []


def test_a_node_that_is_behind_says_so_until_it_has_caught_up(network: Network) -> None:
    network.cut(0)
    blocks = [network.seal() for _ in range(SYNCING_FROM)]
    node = network.followers[0].node
    node.on_message(make_proposal(network.blockchain, blocks[-2]))
    slightly = node.phase()
    node.on_message(make_proposal(network.blockchain, blocks[-1]))
    behind = node.phase()

    network.connect(0)

    assert slightly == Phase(OPEN, "")
    assert behind == Phase(SYNCING, f"block 0 of {SYNCING_FROM}: the others are fetched")
    assert node.phase() == Phase(OPEN, "")
    assert network.followers[0].head.hash == blocks[-1].hash


def test_an_attestation_of_a_block_that_is_not_here_is_refused(network: Network) -> None:
    block = network.seal()
    stray = Attestation(block.header.number, block.header.parent_hash, 0, bytes(64))

    with pytest.raises(InvalidAttestation, match="no block of this chain"):
        network.sequencer.on_message("0", stray)


def test_a_forged_attestation_is_refused(network: Network) -> None:
    for index in (1, 2, 3):
        network.cut(index)
    block = network.seal()
    forged = Attestation(block.header.number, block.hash, 3, bytes(64))

    with pytest.raises(InvalidAttestation, match="not over this block"):
        network.sequencer.on_message("3", forged)

    assert network.certified == 0


def test_blocks_are_handed_out_as_they_were_signed(network: Network) -> None:
    first, second = network.seal(), network.seal()

    answer = network.sequencer.on_message("observer", GetBlocks(first.header.number))

    assert isinstance(answer[0], Blocks)
    proposals = answer[0].proposals
    assert [type(each) for each in proposals] == [Proposal] * 2
    assert proposals[1] == make_proposal(network.followers[0].blockchain, second)
