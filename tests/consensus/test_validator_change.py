"""The council changes the validators of a running network: add, remove, replace all of them."""

from pathlib import Path

import pytest

from node.chain.block import Block
from node.chain.certificate import verify_certificate
from node.consensus.dispute import Dispute, sign_dispute
from node.consensus.messages import Attestation, DisputeMessage
from node.consensus.phase import OPEN
from node.consensus.proposals import make_proposal
from node.consensus.verification import verify_database
from node.crypto import ed25519_public_key, ed25519_sign
from node.errors import InvalidAttestation, InvalidCertificate
from node.governance.action import ChangeValidators
from node.governance.validators import Validator
from node.snapshot.directory import SnapshotDirectory, SnapshotId
from node.snapshot.export import ExportJob
from node.snapshot.signatures import SnapshotCertifier
from node.snapshot.snapshotter import Signer
from node.state.kv import MemoryDb
from tests.consensus.network import Follower, Network, validator_seed
from tests.helpers.chain import Person
from tests.helpers.council import make


@pytest.fixture
def network(tmp_path: Path) -> Network:
    made = Network(tmp_path, [Person("maker")])
    made.seal()
    return made


def member(index: int, power: int = 1) -> Validator:
    return Validator(ed25519_public_key(validator_seed(index)), power)


def change(network: Network, *validators: Validator) -> int:
    """Have the council set the validators; return the height of the block that did."""
    action = make(ChangeValidators, validators=validators, reason=f"at {network.head.hash.hex()}")
    network.sequencer.submit_action(network.submission(action))
    height = network.seal().header.number
    assert network.blockchain.next_validators().members == validators
    return height


def join(network: Network, tmp_path: Path, index: int) -> Follower:
    """Start another node with a key of its own, at genesis."""
    follower = Follower(network.genesis, index, tmp_path, network.clock, MemoryDb())
    network.followers.append(follower)
    network.connect(len(network.followers) - 1)
    return follower


def dispute_of(network: Network, block: Block, *, index: int, author: int) -> Dispute:
    """Have a validator dispute a sealed block, under its place in the set."""
    identity = network.blockchain.identity_of(block)
    proposal = make_proposal(network.blockchain, block)
    unsigned = Dispute(
        identity.fork_id,
        identity.dev_epoch,
        block.header.number,
        block.hash,
        proposal.signature,
        "market 1, oracle",
        "1",
        "2",
        b"",
        b"",
        index,
        b"",
    )
    return sign_dispute(unsigned, identity, validator_seed(author))


def signers(network: Network) -> list[int]:
    certificate = network.blockchain.certificate
    assert certificate is not None
    return [each.validator for each in certificate.signatures]


def test_a_new_validator_follows_and_signs_from_the_block_after_its_change(
    network: Network, tmp_path: Path
) -> None:
    new = join(network, tmp_path, 4)
    assert new.head == network.head, "it follows before it is anybody"

    height = change(network, *[member(index) for index in range(5)])
    assert network.certified == height
    assert 4 not in signers(network), "the block of the change is the old set's to certify"
    network.cut(0)
    network.seal()

    assert network.certified == height + 1
    assert 4 in signers(network), "four of five need the new one"
    network.cut(4)
    network.seal()
    assert network.certified == height + 1, "three of five are too few"


def test_a_block_is_judged_by_the_set_before_it(network: Network, tmp_path: Path) -> None:
    for index in (4, 5, 6, 7):
        join(network, tmp_path, index)

    height = change(network, *[member(index) for index in (4, 5, 6, 7)])
    first = network.blockchain.certificate
    second_block = network.seal()
    second = network.blockchain.certificate

    assert first is not None
    assert second is not None
    assert (first.height, second.height) == (height, height + 1)
    blockchain = network.blockchain
    old = blockchain.validators_of(network.blockchain.block_at(first.height))  # type: ignore[arg-type]
    new = blockchain.validators_of(second_block)
    identity = blockchain.identity_of(second_block)
    verify_certificate(first, identity, old)
    verify_certificate(second, identity, new)
    with pytest.raises(InvalidCertificate):
        verify_certificate(first, identity, new)
    with pytest.raises(InvalidCertificate):
        verify_certificate(second, identity, old)


def test_a_removed_validator_follows_and_signs_nothing_more(network: Network) -> None:
    height = change(network, *[member(index) for index in (1, 2, 3)])

    network.seal()

    removed = network.followers[0]
    assert removed.head == network.head
    guard = removed.node._guard
    assert guard is not None
    assert guard.last is not None
    assert guard.last.position.height == height
    assert signers(network) == [0, 1, 2], "places in the new set"
    for index in (1, 2, 3):
        network.cut(index)
    block = network.seal()
    assert network.certified == block.header.number - 1, "nobody's word counts but the members'"
    stray = Attestation(block.header.number, block.hash, 3, bytes(64))
    with pytest.raises(InvalidAttestation, match="the set has 3 validators"):
        network.sequencer.on_message("0", stray)


def test_power_counts_as_it_is_set(network: Network) -> None:
    change(network, member(0, 7), *[member(index) for index in (1, 2, 3)])

    for index in (1, 2, 3):
        network.cut(index)
    network.seal()

    assert network.certified == network.head.header.number, "7 of 10"


def test_a_set_that_does_not_sign_is_replaced_by_the_council(
    network: Network, tmp_path: Path
) -> None:
    absent = change(network, *[member(index) for index in (10, 11, 12, 13)])
    while network.sequencer.phase().name == OPEN:
        network.seal()
    assert network.certified == absent
    action = make(ChangeValidators, validators=tuple(member(index) for index in range(4)))

    network.sequencer.submit_action(network.submission(action))
    network.clock.now_ms += 100
    network.sequencer.seal_governance()
    network.deliver()
    assert network.sequencer.phase().name != OPEN
    repeal = make(ChangeValidators, validators=tuple(member(i) for i in range(4)), reason="again")
    network.sequencer.submit_action(network.submission(repeal))
    network.clock.now_ms += 100
    network.sequencer.seal_governance()
    network.deliver()

    assert network.certified == network.head.header.number, "a certificate covers all below it"
    assert network.sequencer.phase().name == OPEN


def test_everybody_may_restart_and_the_database_verifies(network: Network, tmp_path: Path) -> None:
    join(network, tmp_path, 4)
    change(network, *[member(index) for index in (4, 2, 3, 1)])
    network.seal()

    network.restart()
    for index, follower in enumerate(network.followers):
        follower.restart()
        network.connect(index)
    network.seal()

    assert network.certified == network.head.header.number
    verified = verify_database(network.genesis, network.kv)
    assert verified.last == network.head.header.number
    assert verified.certificates >= 3


def test_a_dispute_is_its_authors_and_not_whoever_has_its_place_now(
    network: Network, tmp_path: Path
) -> None:
    network.cut(0)
    block = network.seal()
    dispute = dispute_of(network, block, index=0, author=0)
    network.sequencer.on_message("0", DisputeMessage(dispute))
    network.deliver()
    new = join(network, tmp_path, 4)
    change(network, *[member(index) for index in (4, 1, 2, 3)])

    network.cut(1)
    network.seal()

    assert new.node.phase().name == OPEN
    assert network.sequencer.disputes.author_of(dispute) == member(0).public_key
    assert network.certified == network.head.header.number, "the new one signs in that place"
    assert 0 in signers(network)


def test_evidence_of_a_set_that_a_node_has_yet_to_learn_of_costs_nobody_the_link(
    network: Network, tmp_path: Path
) -> None:
    late = network.followers[3]
    network.cut(3)
    change(network, member(1), member(2), member(0))
    block = network.seal()
    dispute = dispute_of(network, block, index=0, author=1)
    network.sequencer.on_message("0", DisputeMessage(dispute))

    assert list(late.node.on_message(DisputeMessage(dispute))) == []
    network.connect(3)
    network.seal()

    assert late.head == network.head
    assert dispute in late.node.disputes.all(), "it was told again"


def test_a_snapshot_is_certified_by_the_set_in_its_own_state(
    network: Network, tmp_path: Path
) -> None:
    directory = SnapshotDirectory(tmp_path / "snapshots")
    before = network.head
    manifest = ExportJob(network.blockchain, before, directory).finish()
    certifier = SnapshotCertifier(network.blockchain, directory)
    signed = [sign_as(index).sign(manifest) for index in range(4)]
    assert sign_as(4).sign(manifest) is None
    assert all(each is not None for each in signed)
    for each in signed[:2]:
        assert each is not None
        certifier.add(each)

    change(network, member(4), member(5))
    late = SnapshotCertifier(network.blockchain, directory)  # takes what is on disk
    assert signed[2] is not None
    assert late.add(signed[2]), "three of the four of that time"

    after = ExportJob(network.blockchain, network.head, directory).finish()
    assert sign_as(0).sign(after) is None
    for index in (4, 5):
        made = sign_as(index).sign(after)
        assert made is not None
        late.add(made)
    assert late.is_certified(SnapshotId(0, network.head.header.number))


def sign_as(index: int) -> Signer:
    seed = validator_seed(index)
    return Signer(ed25519_public_key(seed), lambda message: ed25519_sign(seed, message))
