"""A validator against a sequencer that lies: every lie is refused and named, and ends it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from node.chain.block import Block, encode_wire_block
from node.chain.certificate import Certificate, IndexedSignature, attestation_bytes
from node.chain.system_transaction import SYSTEM_ACCOUNT
from node.consensus.dispute import Dispute, identity_of, verify_dispute
from node.consensus.messages import (
    Attestation,
    Blocks,
    Changes,
    DisputeMessage,
    GetBlocks,
    GetChanges,
    Message,
    Proposal,
    RecordRow,
)
from node.consensus.phase import STOPPED
from node.consensus.proposals import answer_changes, make_proposal
from node.consensus.validator import ANSWER_MS_MAX
from node.crypto import ed25519_sign
from node.errors import EncodingError, InvalidDispute
from node.units import Hash32, Height, Quote
from tests.consensus.liar import Liar, forge
from tests.consensus.network import PRICE, Follower, Network, validator_seed
from tests.helpers.chain import Person

ZERO = bytes(32)


class Scene:
    """A chain that trades, one validator to be lied to, and an honest next block."""

    def __init__(self, directory: Path, origin: Network) -> None:
        maker, taker = Person("maker"), Person("taker")
        maker.nonce = 1
        self.network = network = Network(directory, [maker, taker], origin=origin)
        self.liar = Liar(network.blockchain)
        self.victim: Follower = network.followers[2]
        network.clock.now_ms += 100
        transactions = [
            *network.reports(PRICE + 20, 0),
            taker.order(10, PRICE + 30, tif=1),
            taker.order(5, PRICE + 30, tif=1),
            maker.order(-5, PRICE + 40),
        ]
        self.honest = self.liar.make(transactions, network.clock.now_ms)

    def tell(self, block: Block, certificate: Certificate | None = None) -> list[Message]:
        """Give the victim a signed block."""
        return list(self.victim.node.on_message(self.liar.propose(block, certificate)))

    def expect_dispute(self, answers: list[Message], field: str) -> Dispute:
        """Check that the victim refused, named the field, kept its head, and stopped."""
        head = self.network.head
        assert [type(each) for each in answers] == [DisputeMessage]
        assert isinstance(answers[0], DisputeMessage)
        dispute = answers[0].dispute
        assert re.fullmatch(field, dispute.field), dispute.text()
        blockchain = self.victim.blockchain
        verify_dispute(
            dispute,
            identity_of(dispute, blockchain.genesis_hash, blockchain.genesis.chain_id),
            blockchain.next_validators(),
        )
        assert self.victim.head == head
        phase = self.victim.node.phase()
        assert (phase.name, phase.reason) == (STOPPED, dispute.text())
        assert self.tell(self.honest) == []
        assert self.victim.head == head
        return dispute


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Network:
    """A chain with an open market and an order in its book; only copies of it are lied to."""
    maker = Person("maker")
    network = Network(tmp_path_factory.mktemp("origin"), [maker, Person("taker")])
    network.open_market()
    network.seal(*network.reports(PRICE + 10), maker.order(-30, PRICE + 20))
    return network


@pytest.fixture
def scene(tmp_path: Path, traded: Network) -> Scene:
    return Scene(tmp_path, traded)


def test_the_honest_block_is_attested(scene: Scene) -> None:
    answers = scene.tell(scene.honest)

    assert [type(each) for each in answers] == [Attestation]
    assert scene.victim.head.hash == scene.honest.hash


# --- transitions ----------------------------------------------------------------------------------


def kinds(block: Block) -> list[str]:
    from node.chain.transition import decode_transition

    return [type(decode_transition(each)).__name__ for each in block.transitions]


def altered_transition(block: Block) -> Block:
    from node.chain.transition import decode_transition, encode_transition

    index = kinds(block).index("OrderFilled")
    fill: Any = decode_transition(block.transitions[index])
    lie = encode_transition(fill._replace(price=fill.price + 1))
    assert lie is not None
    return forge(
        block, transitions=[*block.transitions[:index], lie, *block.transitions[index + 1 :]]
    )


def dropped_transition(block: Block) -> Block:
    index = kinds(block).index("FundingAccrued")
    return forge(block, transitions=[*block.transitions[:index], *block.transitions[index + 1 :]])


def added_transition(block: Block) -> Block:
    return forge(block, transitions=[*block.transitions, block.transitions[-1]])


def reordered_transitions(block: Block) -> Block:
    first, second, *rest = block.transitions
    return forge(block, transitions=[second, first, *rest])


def transition_that_is_none(block: Block) -> Block:
    return forge(block, transitions=[b"\xff\xff", *block.transitions[1:]])


# --- transactions ---------------------------------------------------------------------------------


def people(block: Block) -> list[int]:
    """Return where people's transactions stand in the body."""
    return [index for index, tx in enumerate(block.transactions) if tx.sender != SYSTEM_ACCOUNT]


def without(block: Block, index: int) -> Block:
    body = block.transactions
    return forge(block, transactions=[*body[:index], *body[index + 1 :]])


def dropped_transaction(block: Block) -> Block:
    # The taker's first order: its second one then has a nonce too high.
    return without(block, people(block)[-3])


def dropped_last_transaction(block: Block) -> Block:
    return without(block, people(block)[-1])


def dropped_system_transaction(block: Block) -> Block:
    senders = [tx.sender for tx in block.transactions]
    return without(block, senders.index(SYSTEM_ACCOUNT))


def repeated_transaction(block: Block) -> Block:
    body, index = block.transactions, people(block)[-1]
    return forge(block, transactions=[*body[: index + 1], body[index], *body[index + 1 :]])


def reordered_transactions(block: Block) -> Block:
    # The maker's order ahead of the taker's second: the same class, other results.
    body, (second, third) = list(block.transactions), people(block)[-2:]
    body[second], body[third] = body[third], body[second]
    return forge(block, transactions=body)


def transaction_of_a_later_class_first(block: Block) -> Block:
    body, (report, *_, order) = list(block.transactions), people(block)
    body[report], body[order] = body[order], body[report]
    return forge(block, transactions=body)


def body_that_the_header_does_not_commit_to(block: Block) -> Block:
    return block._replace(transactions=block.transactions[:-1])


LIES: list[tuple[Callable[[Block], Block], str]] = [
    (altered_transition, r"market 1, OrderFilled\.price"),
    (dropped_transition, r"market 1, FundingAccrued"),
    (added_transition, r"market 1, OrderFilled"),
    (reordered_transitions, r"market 1, PriceAccepted"),
    (transition_that_is_none, r"market 1, PriceAccepted"),
    (dropped_transaction, r"transactions\[4\]"),
    (dropped_last_transaction, r"receipts_root|gas_used"),
    (dropped_system_transaction, r"transactions\[3\]"),
    (repeated_transaction, r"transactions\[7\]"),
    (reordered_transactions, r"market 1, OrderFilled\.taker_order_id"),
    (transaction_of_a_later_class_first, r"transactions\[1\]\.class"),
    (body_that_the_header_does_not_commit_to, r"transactions_root"),
]


@pytest.mark.parametrize(("lie", "field"), LIES, ids=[lie.__name__ for lie, _ in LIES])
def test_a_lie_in_the_body_is_refused_and_named(
    scene: Scene, lie: Callable[[Block], Block], field: str
) -> None:
    block = lie(scene.honest)

    answers = scene.tell(block)

    assert block.hash != scene.honest.hash or block.transactions != scene.honest.transactions
    scene.expect_dispute(answers, field)


def test_the_dispute_has_both_values(scene: Scene) -> None:
    dispute = scene.expect_dispute(
        scene.tell(altered_transition(scene.honest)), r"market 1, OrderFilled\.price"
    )

    height = scene.honest.header.number
    assert dispute.text() == (
        f"block {height}, market 1, OrderFilled.price: was {PRICE + 21}, recomputed {PRICE + 20}"
    )


def test_a_dropped_transition_is_told_whole(scene: Scene) -> None:
    dispute = scene.expect_dispute(
        scene.tell(dropped_transition(scene.honest)), r"market 1, FundingAccrued"
    )

    assert dispute.was == "nothing"
    assert dispute.recomputed.startswith("FundingAccrued(market=1, index_before=")


# --- header and extension -------------------------------------------------------------------------

HEADER = [
    ("parent_hash", ZERO),
    ("ommers_hash", ZERO),
    ("coinbase", bytes(20)),
    ("transactions_root", ZERO),
    ("receipts_root", ZERO),
    ("logs_bloom", bytes(256)),
    ("difficulty", 1),
    ("gas_limit", 1),
    ("gas_used", 0),
    ("timestamp", 1),
    ("extra_data", ZERO),
    ("prev_randao", b"\1" * 32),
    ("nonce", b"\1" * 8),
    ("base_fee", 0),
    ("withdrawals_root", ZERO),
]


@pytest.mark.parametrize(("field", "value"), HEADER, ids=[field for field, _ in HEADER])
def test_a_wrong_header_field_is_refused_and_named(scene: Scene, field: str, value: Any) -> None:
    scene.expect_dispute(scene.tell(forge(scene.honest, header={field: value})), field)


EXTENSION = [
    ("version", 2),
    ("fork_id", 1),
    ("dev_epoch", 1),
    ("transitions_root", ZERO),
    ("certified_height", 3),
    ("last_certificate_hash", ZERO),
    ("effects_head", b"\1" * 32),
]


@pytest.mark.parametrize(("field", "value"), EXTENSION, ids=[field for field, _ in EXTENSION])
def test_a_wrong_extension_field_is_refused_and_named(scene: Scene, field: str, value: Any) -> None:
    answers = scene.tell(forge(scene.honest, extension={field: value}))

    scene.expect_dispute(answers, rf"extension\.{field}")


def test_a_time_that_does_not_grow_is_refused_and_named(scene: Scene) -> None:
    time_ms = scene.network.head.extension.time_ms

    scene.expect_dispute(scene.tell(forge(scene.honest, extension={"time_ms": time_ms})), "time_ms")


def test_another_time_than_the_results_are_of_is_refused_and_named(scene: Scene) -> None:
    time_ms = scene.honest.extension.time_ms + 1

    scene.expect_dispute(
        scene.tell(forge(scene.honest, extension={"time_ms": time_ms})),
        r"market 1, FundingAccrued\.index",
    )


# --- the state root -------------------------------------------------------------------------------


def test_a_made_up_state_root_is_disputed_when_no_records_prove_it(scene: Scene) -> None:
    lie = forge(scene.honest, header={"state_root": ZERO})
    height, victim = scene.honest.header.number, scene.victim.node

    assert scene.tell(lie) == [GetChanges(height, lie.hash)]
    answers = victim.on_message(Changes(height, lie.hash, (), ()))

    scene.expect_dispute(list(answers), "state_root")


def test_a_sequencer_that_does_not_tell_its_records_is_disputed_in_time(scene: Scene) -> None:
    scene.tell(forge(scene.honest, header={"state_root": ZERO}))
    assert scene.victim.node.on_tick() == []

    scene.network.clock.now_ms += ANSWER_MS_MAX

    scene.expect_dispute(list(scene.victim.node.on_tick()), "state_root")


def test_records_that_lead_to_the_root_name_the_field(scene: Scene) -> None:
    # The liar's block gives the maker one atom more, and says so to who asks.
    maker = Person("maker").address
    network = scene.network
    made = network.blockchain.execute(
        [tx for tx in scene.honest.transactions if tx.sender != SYSTEM_ACCOUNT],
        scene.honest.extension.time_ms,
        network.blockchain.certificate,
    )
    account = made.ledger.accounts.get(maker)
    assert account is not None
    made.ledger.accounts.set(maker, account._replace(balance=Quote(account.balance + 1)))
    changes = made.ledger.changes()
    root = network.blockchain.states.commit(network.head.header.state_root, changes).root
    lie = forge(scene.honest, header={"state_root": root})
    rows = tuple(
        RecordRow(address, Hash32(key), record is not None, record or b"")
        for address, records in changes.records.items()
        for key, record in records.items()
    )
    natives = answer_natives(changes)

    assert scene.tell(lie) == [GetChanges(lie.header.number, lie.hash)]
    answers = scene.victim.node.on_message(Changes(lie.header.number, lie.hash, natives, rows))

    dispute = scene.expect_dispute(list(answers), rf"account 0x{maker.hex()}, Account\.balance")
    assert (dispute.was, dispute.recomputed) == (str(account.balance + 1), str(account.balance))


def answer_natives(changes: Any) -> Any:
    from node.consensus.messages import AccountRow

    return tuple(
        AccountRow(address, True, each.nonce, each.balance, each.code_hash)
        for address, each in changes.accounts.items()
    )


def test_an_honest_sequencer_can_prove_every_block(scene: Scene) -> None:
    network = scene.network
    block = network.seal(*network.reports(PRICE + 11))

    message = answer_changes(network.blockchain, GetChanges(block.header.number, block.hash))

    from node.consensus.proposals import read_changes

    changes = read_changes(message)
    assert changes is not None
    parent = network.blockchain.block_at(Height(block.header.number - 1))
    assert parent is not None
    commit = network.blockchain.states.commit(parent.header.state_root, changes)
    assert commit.root == block.header.state_root


# --- certificates ---------------------------------------------------------------------------------


def certify(scene: Scene, height: int, block_hash: bytes, *signers: int) -> Certificate:
    """Return what these validators would sign, whether it is true or not."""
    identity = scene.network.blockchain.identity_of(scene.network.head)
    message = attestation_bytes(identity, Height(height), Hash32(block_hash))
    return Certificate(
        Height(height),
        Hash32(block_hash),
        tuple(
            IndexedSignature(index, ed25519_sign(validator_seed(index), message))
            for index in signers
        ),
    )


def name_certificate(scene: Scene, certificate: Certificate) -> Block:
    from node.chain.certificate import certificate_hash

    return forge(
        scene.honest,
        extension={
            "certified_height": certificate.height,
            "last_certificate_hash": certificate_hash(certificate),
        },
    )


@pytest.mark.parametrize(
    "signers", [(), (0,), (0, 1), (0, 0, 1), (1, 0, 2)], ids=["none", "one", "two", "same", "order"]
)
def test_a_certificate_without_a_quorum_is_refused(scene: Scene, signers: tuple[int, ...]) -> None:
    head = scene.network.head
    certificate = certify(scene, head.header.number, head.hash, *signers)

    answers = scene.tell(name_certificate(scene, certificate), certificate)

    dispute = scene.expect_dispute(answers, r"extension\.last_certificate_hash")
    assert dispute.recomputed.startswith(f"certificate of block {head.header.number}, ")


def test_a_certificate_with_a_forged_signature_is_refused(scene: Scene) -> None:
    head = scene.network.head
    certificate = certify(scene, head.header.number, head.hash, 0, 1, 2)
    forged = certificate._replace(
        signatures=(*certificate.signatures[:2], IndexedSignature(2, bytes(64)))
    )

    answers = scene.tell(name_certificate(scene, forged), forged)

    dispute = scene.expect_dispute(answers, r"extension\.last_certificate_hash")
    assert "signature of validator 2" in dispute.recomputed


def test_a_certificate_of_another_block_is_refused(scene: Scene) -> None:
    certificate = certify(scene, scene.network.head.header.number, ZERO, 0, 1, 2)

    answers = scene.tell(name_certificate(scene, certificate), certificate)

    scene.expect_dispute(answers, r"extension\.last_certificate_hash")


def test_a_certificate_of_the_block_itself_is_refused(scene: Scene) -> None:
    certificate = certify(scene, scene.honest.header.number, ZERO, 0, 1, 2)

    answers = scene.tell(name_certificate(scene, certificate), certificate)

    scene.expect_dispute(answers, r"extension\.certified_height")


def test_a_certificate_that_is_named_and_not_shown_is_refused(scene: Scene) -> None:
    lie = scene.liar.propose(scene.honest)._replace(certificate=b"")

    answers = list(scene.victim.node.on_message(lie))

    scene.expect_dispute(answers, r"extension\.last_certificate_hash")


# --- who signed -----------------------------------------------------------------------------------


@pytest.mark.parametrize("signature", [b"", bytes(64)], ids=["unsigned", "forged"])
def test_a_block_that_the_sequencer_did_not_sign_is_dropped(scene: Scene, signature: bytes) -> None:
    proposal = scene.liar.propose(scene.honest)._replace(signature=signature)

    with capture_logs() as logs:
        answers = scene.victim.node.on_message(proposal)

    assert answers == []
    assert [each["event"] for each in logs] == [
        "proposal dropped: not signed by the sequencer",
    ]
    assert [type(each) for each in scene.tell(scene.honest)] == [Attestation]


def test_a_validators_signature_is_not_the_sequencers(scene: Scene) -> None:
    from node.chain.certificate import proposal_bytes

    identity = scene.network.blockchain.identity_of(scene.honest)
    message = proposal_bytes(identity, scene.honest.header.number, scene.honest.hash)
    foreign = ed25519_sign(validator_seed(0), message)

    answers = scene.victim.node.on_message(Proposal(encode_wire_block(scene.honest), foreign, b""))

    assert answers == []
    assert scene.victim.head == scene.network.head


def test_a_block_of_another_fork_is_dropped_until_its_plan_is_here(scene: Scene) -> None:
    from node.chain.certificate import proposal_bytes
    from tests.consensus.network import SEQUENCER_SEED

    block = forge(scene.honest, extension={"fork_id": 1})
    identity = scene.network.blockchain.identity_of(block)
    message = proposal_bytes(identity, block.header.number, block.hash)
    proposal = scene.liar.propose(block)._replace(signature=ed25519_sign(SEQUENCER_SEED, message))

    with capture_logs() as logs:
        answers = scene.victim.node.on_message(proposal)

    assert answers == [GetBlocks(Height(scene.victim.head.header.number + 1))]
    assert [each["event"] for each in logs] == ["blocks of a later fork wait"]


@pytest.mark.parametrize("junk", [b"", b"\x90", b"junk" * 50])
def test_what_is_no_block_cuts_the_link(scene: Scene, junk: bytes) -> None:
    with pytest.raises(EncodingError):
        scene.victim.node.on_message(Proposal(junk, bytes(64), b""))


def test_a_signed_block_with_a_transaction_that_is_none_is_disputed(scene: Scene) -> None:
    import msgpack

    body = [tx.raw for tx in scene.honest.transactions]
    body[1] = body[1][:-1] + bytes([body[1][-1] ^ 1])
    wire = list(msgpack.unpackb(encode_wire_block(scene.honest)))
    wire[2] = [b"\x02\xc0", *body[1:]]
    proposal = scene.liar.propose(scene.honest)._replace(block=msgpack.packb(wire))

    answers = list(scene.victim.node.on_message(proposal))

    scene.expect_dispute(answers, "transactions")


# --- two blocks at one height ---------------------------------------------------------------------


def second_block(scene: Scene) -> Block:
    return scene.liar.make([], scene.network.clock.now_ms + 1)


def expect_equivocation(scene: Scene, answers: list[Message], *hashes: Hash32) -> None:
    assert [type(each) for each in answers] == [DisputeMessage]
    assert isinstance(answers[0], DisputeMessage)
    dispute = answers[0].dispute
    assert dispute.field == "hash"
    assert {dispute.block_hash, dispute.other_hash} == set(hashes)
    blockchain = scene.victim.blockchain
    identity = identity_of(dispute, blockchain.genesis_hash, blockchain.genesis.chain_id)
    verify_dispute(dispute, identity, blockchain.next_validators())
    forged = dispute._replace(other_signature=bytes(64))
    with pytest.raises(InvalidDispute):
        verify_dispute(forged, identity, blockchain.next_validators())


def test_two_blocks_at_one_height_are_disputed_with_both_signatures(scene: Scene) -> None:
    second = second_block(scene)
    scene.tell(scene.honest)

    answers = scene.tell(second)

    expect_equivocation(scene, answers, scene.honest.hash, second.hash)
    assert scene.victim.head.hash == scene.honest.hash
    assert scene.victim.node.phase().name == STOPPED


def test_two_blocks_that_wait_at_one_height_are_disputed(scene: Scene) -> None:
    second = second_block(scene)
    scene.network.clock.now_ms -= 10_000
    assert scene.tell(scene.honest) == []

    answers = scene.tell(second)

    expect_equivocation(scene, answers, scene.honest.hash, second.hash)
    assert scene.victim.head == scene.network.head


def test_a_parent_that_was_never_told_is_disputed(scene: Scene) -> None:
    # Its sequencer sealed another block at the victim's height, and told it to others.
    parent = forge(scene.network.head, header={"gas_used": 1})
    child = forge(scene.honest, header={"parent_hash": parent.hash})

    scene.expect_dispute(scene.tell(child), "parent_hash")


def test_two_signed_blocks_stop_everybody_who_sees_the_proof(scene: Scene) -> None:
    scene.tell(scene.honest)
    answers = scene.tell(second_block(scene))
    network = scene.network

    network.sequencer.on_message("2", answers[0])
    network.deliver()

    assert network.sequencer.phase().name == STOPPED
    assert [each.node.phase().name for each in network.followers] == [STOPPED] * 4


# --- after a dispute ------------------------------------------------------------------------------


def test_a_dispute_outlives_a_restart(scene: Scene) -> None:
    answers = scene.tell(altered_transition(scene.honest))
    scene.victim.restart()

    assert scene.victim.node.phase().name == STOPPED
    assert scene.victim.node.on_connected(fork_id=0) == answers
    assert scene.tell(scene.honest) == []


def test_one_dispute_of_four_does_not_stop_sealing_and_two_do(scene: Scene) -> None:
    network = scene.network
    lie = scene.liar.propose(altered_transition(scene.honest))
    disputes = [follower.node.on_message(lie)[0] for follower in network.followers[:2]]

    network.sequencer.on_message("0", disputes[0])
    assert network.sequencer.phase().name == "open"
    network.sequencer.on_message("1", disputes[1])

    phase = network.sequencer.phase()
    assert phase.name == STOPPED
    assert phase.reason == (
        f"block {scene.honest.header.number}, market 1, OrderFilled.price: "
        f"was {PRICE + 21}, recomputed {PRICE + 20}"
    )
    network.restart()
    assert network.sequencer.phase() == phase


def test_a_dispute_is_passed_on_once(scene: Scene) -> None:
    network = scene.network
    lie = scene.liar.propose(altered_transition(scene.honest))
    dispute = scene.victim.node.on_message(lie)[0]

    network.sequencer.on_message("2", dispute)
    network.sequencer.on_message("2", dispute)

    assert network.outbox == [dispute]
    network.deliver()
    assert [len(each.node.disputes.all()) for each in network.followers] == [1] * 4
    assert network.followers[0].node.phase().name == "open"


def test_a_forged_dispute_is_refused(scene: Scene) -> None:
    network = scene.network
    lie = scene.liar.propose(altered_transition(scene.honest))
    message = scene.victim.node.on_message(lie)[0]
    assert isinstance(message, DisputeMessage)
    for forged in (
        message.dispute._replace(was="1"),
        message.dispute._replace(validator=0),
        message.dispute._replace(validator=9),
        message.dispute._replace(proposal_signature=bytes(64)),
        message.dispute._replace(block_hash=Hash32(ZERO)),
    ):
        with pytest.raises(InvalidDispute):
            network.sequencer.on_message("2", DisputeMessage(forged))

    assert network.disputes() == []


def test_without_a_key_a_node_stops_as_well(scene: Scene, tmp_path: Path) -> None:
    from node.consensus.validator import ValidatorNode

    archive = ValidatorNode(
        scene.victim.blockchain, clock_ms=scene.network.clock, seed=None, guard=None
    )

    answers = archive.on_message(scene.liar.propose(altered_transition(scene.honest)))

    assert answers == []
    assert archive.phase().name == STOPPED
    assert "OrderFilled.price" in archive.phase().reason
    assert scene.victim.head == scene.network.head


def test_lies_among_many_blocks_are_found_as_well(scene: Scene) -> None:
    network = scene.network
    network.cut(2)
    network.seal()
    honest = network.seal()
    first = make_proposal(network.blockchain, network.blockchain.head.block)
    lying = scene.liar.propose(forge(honest, header={"gas_used": 1}))
    lie = first._replace(block=lying.block, signature=lying.signature)
    block = network.blockchain.block_at(Height(honest.header.number - 1))
    assert block is not None

    answers = scene.victim.node.on_message(
        Blocks((make_proposal(network.blockchain, block), lie, first))
    )

    assert isinstance(answers[-1], DisputeMessage)
    assert answers[-1].dispute.field == "gas_used"
    assert scene.victim.head == block
