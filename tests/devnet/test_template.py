"""From a template and flags to genesis, and back on a later start."""

from pathlib import Path

import pytest

from node.chain.genesis import Genesis, GenesisAccount, read_genesis, render_genesis
from node.devnet.accounts import ACCOUNTS_PATH, BOTS_PATH, REPORTERS_PATH, derive_keys
from node.devnet.template import (
    NATIVE_WEI,
    TEMPLATE,
    TOKENS,
    Wishes,
    find_people,
    make_genesis,
    quorum_of,
    recover_people,
)
from node.errors import OperatorError
from node.units import Quote, Wei

NOTHING = Wishes(template=None, accounts=None, reporters=None, bots=None, dev=None)
WHERE = Path("data/genesis.json")


@pytest.fixture
def template() -> Genesis:
    return read_genesis(TEMPLATE)


def test_first_account_is_the_one_that_everybody_knows() -> None:
    (first,) = derive_keys(ACCOUNTS_PATH, 1)

    assert first.address.hex() == "f39fd6e51aad88f6f4ce6ab8827279cfffb92266"
    assert first.private_key.hex() == (
        "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    )


def test_roles_have_different_keys() -> None:
    keys = [derive_keys(path, 5) for path in (ACCOUNTS_PATH, REPORTERS_PATH, BOTS_PATH)]

    assert len({keypair.address for role in keys for keypair in role}) == 15


def test_without_wishes_the_template_stays_as_it_is(template: Genesis) -> None:
    genesis, people = make_genesis(template, NOTHING)

    assert genesis == template
    assert (len(people.accounts), len(people.reporters), len(people.bots)) == (10, 3, 4)


@pytest.mark.parametrize(("reporters", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 4)])
def test_wished_reporters_get_coin_and_a_quorum(
    template: Genesis, reporters: int, quorum: int
) -> None:
    genesis, people = make_genesis(template, NOTHING._replace(reporters=reporters))

    assert quorum_of(reporters) == genesis.chain.reporter_quorum == quorum
    assert set(genesis.chain.reporters) == {keypair.address for keypair in people.reporters}
    owned = {account.address: account for account in genesis.accounts}
    assert all(owned[address].native_wei == NATIVE_WEI for address in genesis.chain.reporters)


def test_no_reporters_leaves_those_of_genesis_and_runs_none(template: Genesis) -> None:
    genesis, people = make_genesis(template, NOTHING._replace(reporters=0))

    assert genesis == template
    assert people.reporters == ()


def test_more_accounts_come_and_fewer_leave(template: Genesis) -> None:
    more, _ = make_genesis(template, NOTHING._replace(accounts=12))
    fewer, _ = make_genesis(template, NOTHING._replace(accounts=2, bots=0))

    assert len(more.accounts) == len(template.accounts) + 2
    assert len(fewer.accounts) == len(template.accounts) - 8 - 4
    assert all(account.tokens in (0, TOKENS) for account in more.accounts)


def test_template_decides_what_its_own_accounts_and_strangers_own(template: Genesis) -> None:
    first = derive_keys(ACCOUNTS_PATH, 1)[0].address
    stranger = GenesisAccount(
        derive_keys("m/44'/60'/9'/0/", 1)[0].address, Wei(5), Quote(6), Quote(7)
    )
    poor = GenesisAccount(first, Wei(1), Quote(2), Quote(3))
    others = [account for account in template.accounts if account.address != first]
    special = template._replace(accounts=tuple(sorted([poor, stranger, *others])))

    genesis, _ = make_genesis(special, NOTHING._replace(accounts=3))

    assert poor in genesis.accounts
    assert stranger in genesis.accounts


def test_later_start_finds_the_people_that_the_first_one_made(template: Genesis) -> None:
    wishes = NOTHING._replace(accounts=2, reporters=5, bots=1)
    genesis, people = make_genesis(template, wishes)

    assert recover_people(genesis, wishes, where=WHERE) == people
    assert recover_people(genesis, NOTHING, where=WHERE) == people
    assert find_people(genesis) == people


def test_later_start_may_leave_the_reporters_out(template: Genesis) -> None:
    people = recover_people(template, NOTHING._replace(reporters=0), where=WHERE)

    assert people.reporters == ()
    assert len(people.bots) == 4


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        (
            NOTHING._replace(accounts=5),
            "--accounts 5 contradicts data/genesis.json, which was made",
        ),
        (NOTHING._replace(accounts=5), "with --accounts 10: leave the flag out"),
        (NOTHING._replace(reporters=4), "--reporters 4 contradicts"),
        (NOTHING._replace(bots=0), "--bots 0 contradicts"),
        (NOTHING._replace(dev=False), "--no-dev contradicts"),
    ],
)
def test_contradicting_flag_is_refused_by_name(
    template: Genesis, wishes: Wishes, words: str
) -> None:
    with pytest.raises(OperatorError) as refusal:
        recover_people(template, wishes, where=WHERE)

    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_another_template_is_refused_by_name(template: Genesis, tmp_path: Path) -> None:
    other = tmp_path / "other.json"
    other.write_text(render_genesis(template._replace(chain_id=5)))

    with pytest.raises(OperatorError, match=r"--genesis .*other\.json contradicts"):
        recover_people(template, NOTHING._replace(template=other), where=WHERE)


def test_the_same_template_agrees(template: Genesis) -> None:
    people = recover_people(template, NOTHING._replace(template=TEMPLATE), where=WHERE)

    assert people == find_people(template)


def test_no_dev_makes_a_chain_without_development_helpers(template: Genesis) -> None:
    genesis, _ = make_genesis(template, NOTHING._replace(dev=False))

    assert not genesis.dev
    assert recover_people(genesis, NOTHING._replace(dev=False), where=WHERE).accounts
