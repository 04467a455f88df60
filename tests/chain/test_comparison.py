"""What changed between two blocks, named record by record, also across branches."""

from pathlib import Path

import pytest

from node.chain.comparison import Change, compare_states, list_changed
from node.errors import MissingState
from node.perp.account import Account, Position
from node.snapshot.apply import apply_plan
from node.snapshot.directory import SnapshotDirectory
from node.units import Hash32
from tests.helpers.chain import Chain, Person, make_genesis
from tests.snapshot.story import Story, certify, export, plan_of, tell_story

PRICE = 400_000
MUCH = 10_000


@pytest.fixture(scope="module")
def story() -> Story:
    return tell_story()


def find(changes: tuple[Change, ...], kind: str, subject: str) -> Change:
    (found,) = [each for each in changes if (each.kind, each.subject) == (kind, subject)]
    return found


def test_a_deposit_is_its_accounts_and_tokens_and_nothing_unnamed() -> None:
    trader = Person("trader")
    chain = Chain(make_genesis([trader]))
    before = chain.seal()
    after = chain.seal(trader.call("Exchange", "deposit", 5_000_000))

    found = compare_states(chain.blockchain, before, after, limit=MUCH)

    name = f"account 0x{trader.address.hex()}"
    account = find(found.changes, "Account", name)
    assert isinstance(account.before, Account)
    assert isinstance(account.after, Account)
    assert account.after.balance - account.before.balance == 5_000_000
    assert list_changed(account) == ["balance"]
    token = find(found.changes, "TokenBalance", name)
    assert token.before.amount - token.after.amount == 5_000_000
    native = find(found.changes, "NativeAccount", name)
    assert (native.before.nonce, native.after.nonce) == (0, 1)
    assert native.before.balance_wei > native.after.balance_wei
    assert found.is_whole
    assert all(each.kind != "bytes" for each in found.changes)


def test_the_other_way_round_it_is_the_same_with_its_sides_exchanged(story: Story) -> None:
    blockchain, head = story.chain.blockchain, story.chain.head

    forth = compare_states(blockchain, story.snapshot, head, limit=MUCH).changes
    back = compare_states(blockchain, head, story.snapshot, limit=MUCH).changes

    assert forth
    assert list(back) == [each._replace(before=each.after, after=each.before) for each in forth]


def test_a_block_and_itself_differ_in_nothing(story: Story) -> None:
    head = story.chain.head

    assert compare_states(story.chain.blockchain, head, head, limit=1) == ((), True)


def test_there_are_no_more_changes_than_wanted_and_it_says_so(story: Story) -> None:
    blockchain, head = story.chain.blockchain, story.chain.head
    all_of_them = compare_states(blockchain, story.snapshot, head, limit=MUCH)
    count = len(all_of_them.changes)

    first = compare_states(blockchain, story.snapshot, head, limit=count - 1)
    exactly = compare_states(blockchain, story.snapshot, head, limit=count)

    assert first == (all_of_them.changes[:-1], False)
    assert exactly == all_of_them


def test_both_branches_of_a_fork_are_compared(tmp_path: Path) -> None:
    told = tell_story(validators=True)
    blockchain, left = told.chain.blockchain, told.chain.head
    directory = SnapshotDirectory(tmp_path)
    manifest = export(told.chain, told.snapshot, directory)
    certify(told.chain, directory, manifest)
    fork = apply_plan(blockchain, plan_of(told, manifest))

    found = compare_states(blockchain, left, fork, limit=MUCH).changes

    position = find(found, "Position", f"market 1, account 0x{told.taker.address.hex()}")
    assert isinstance(position.before, Position)
    assert isinstance(position.after, Position)
    # After the snapshot the taker bought 7 more.
    assert position.before.size - position.after.size == 7
    assert find(found, "Fork", "1").before is None


def test_a_state_that_is_not_kept_is_no_other_state(story: Story) -> None:
    head = story.chain.head
    gone = head._replace(header=head.header._replace(state_root=Hash32(b"\7" * 32)))

    with pytest.raises(MissingState):
        compare_states(story.chain.blockchain, gone, head, limit=1)
