"""A sequencer that ignores its council: no signatures until a block carries the action."""

from pathlib import Path

import pytest

from node.consensus.phase import LAGGING, OPEN, WITHHOLDING
from node.governance.action import Action, Halt, SetMode
from node.perp.status import Mode
from tests.consensus.network import Network
from tests.helpers.chain import BTC, Person
from tests.helpers.council import make

LIMIT = 5
"""inclusion_limit of the minimal genesis."""


@pytest.fixture
def network(tmp_path: Path) -> Network:
    made = Network(tmp_path, [Person("trader")])
    made.seal()
    return made


def tell_validators(network: Network, action: Action) -> None:
    """Give every validator an action, and the sequencer none of it."""
    network.is_deaf = True
    for follower in network.followers:
        follower.node.submit_action(network.submission(action))
    network.tick()


def audit_length(network: Network) -> int:
    return network.blockchain.ledger_after(network.head).audit_log.length


def test_blocks_that_ignore_the_council_too_long_are_not_signed(network: Network) -> None:
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)
    tell_validators(network, action)
    known = network.head.header.number

    for _ in range(LIMIT):
        network.seal()
    assert network.certified == network.head.header.number == known + LIMIT
    network.seal()
    network.seal()

    assert network.certified == known + LIMIT
    for follower in network.followers:
        phase = follower.node.phase()
        assert phase.name == WITHHOLDING
        assert "ignores the council's SetMode 0x" in phase.reason
        assert f"waits since block {known}" in phase.reason
        assert follower.head == network.head, "it follows all the same"


def test_signing_goes_on_once_a_block_carries_the_action(network: Network) -> None:
    tell_validators(network, make(SetMode, market=BTC, mode=Mode.POST_ONLY))
    for _ in range(LIMIT + 1):
        network.seal()
    assert network.certified < network.head.header.number

    network.is_deaf = False
    network.clock.now_ms += 1_000
    network.tick()  # the validators tell it again
    network.seal()

    assert audit_length(network) == 1
    assert network.certified == network.head.header.number
    assert {follower.node.phase().name for follower in network.followers} == {OPEN}


def test_a_lagging_sequencer_carries_the_action_alone(network: Network) -> None:
    tell_validators(network, make(Halt, height=0))
    while network.sequencer.phase().name != LAGGING:
        network.seal()
    waiting = Person("trader").send(Person("other").address, value=1)
    network.mempool.add(waiting)
    network.sequencer.seal_governance()
    assert audit_length(network) == 0, "nothing waits here: no block"

    network.is_deaf = False
    network.clock.now_ms += 1_000
    network.tick()
    network.sequencer.seal_governance()
    network.deliver()

    assert waiting not in network.head.transactions
    assert network.blockchain.ledger_after(network.head).status.mode == Mode.HALTED
    assert network.certified == network.head.header.number
    assert network.sequencer.phase().name == OPEN


def test_a_sequencer_that_includes_in_time_is_signed_throughout(network: Network) -> None:
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)
    network.followers[2].node.submit_action(network.submission(action))
    network.tick()

    for _ in range(LIMIT + 2):
        network.seal()
        assert network.certified == network.head.header.number

    assert audit_length(network) == 1
    assert [each.node.submissions.waiting() for each in network.followers] == [[]] * 4


def test_an_action_that_is_no_longer_valid_is_not_waited_for(network: Network) -> None:
    halt = make(Halt, height=network.head.header.number + 3)
    tell_validators(network, halt)

    for _ in range(LIMIT + 2):
        network.seal()
        assert network.certified == network.head.header.number

    assert [each.node.submissions.waiting() for each in network.followers] == [[]] * 4


def test_signing_goes_on_when_the_action_expires_without_a_further_block(network: Network) -> None:
    seconds = network.clock.now_ms // 1_000 + 2
    tell_validators(network, make(SetMode, market=BTC, mode=Mode.POST_ONLY, expires_at=seconds))
    for _ in range(LIMIT + 2):
        network.seal()
    assert network.certified < network.head.header.number

    network.clock.now_ms += 3_000
    network.tick()

    assert network.certified == network.head.header.number
    assert network.followers[0].node.phase().name == OPEN


def test_one_validator_alone_that_knows_of_an_action_stops_nobody(network: Network) -> None:
    network.is_deaf = True
    action = make(SetMode, market=BTC, mode=Mode.POST_ONLY)
    network.followers[0].node.submit_action(network.submission(action))

    for _ in range(LIMIT + 2):
        network.seal()

    assert network.certified == network.head.header.number
    assert [each.node.phase().name for each in network.followers] == [WITHHOLDING, *[OPEN] * 3]
