"""The data directory: made once, opened again, emptied only when it is one."""

import os
from pathlib import Path

import pytest

from node.chain.genesis import read_genesis, render_genesis
from node.consensus.node_key import read_node_key
from node.devnet.accounts import COUNCIL_PATH, derive_keys
from node.devnet.directory import clear_directory, lock_directory, open_directory
from node.devnet.keyfile import read_key_file
from node.devnet.template import TEMPLATE, Wishes
from node.errors import DatabaseInUse, GenesisError, KeyFileError, OperatorError
from node.rpc.accounts import read_accounts
from node.state.kv import LevelDb

NOTHING = Wishes(template=None, accounts=None, reporters=None, bots=None, dev=None)


def make(path: Path) -> Path:
    """Make a data directory as a devnet leaves it, database included."""
    open_directory(path, NOTHING)
    database = LevelDb(path / "db")
    database.write([(b"key", b"value")])
    database.close()
    (path / "HEAD").write_text("1")
    (path / "logs").mkdir()
    (path / "logs" / "sequencer.log").write_text("words")
    return path


def test_first_open_writes_genesis_and_the_next_one_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "data"

    first = open_directory(path, NOTHING)
    again = open_directory(path, NOTHING)

    assert first.is_new
    assert not again.is_new
    assert first.genesis == again.genesis
    assert first.genesis._replace(sequencer=b"", validators=()) == read_genesis(TEMPLATE)
    assert first.people == again.people


def test_genesis_of_the_directory_wins_over_a_changed_template(tmp_path: Path) -> None:
    open_directory(tmp_path, NOTHING._replace(accounts=2))

    assert len(open_directory(tmp_path, NOTHING).people.accounts) == 2


def test_spoilt_genesis_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "genesis.json").write_text("{")

    with pytest.raises(GenesisError, match=r"genesis\.json: line 1, column 2 is no JSON"):
        open_directory(tmp_path, NOTHING)


def test_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")

    with pytest.raises(OperatorError, match=r"is no data directory, it holds thesis\.tex"):
        open_directory(tmp_path, NOTHING)

    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_database_without_genesis_is_refused(tmp_path: Path) -> None:
    (make(tmp_path) / "genesis.json").unlink()

    with pytest.raises(OperatorError, match=r"holds a database but no genesis\.json"):
        open_directory(tmp_path, NOTHING)


def test_file_instead_of_a_directory_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")

    with pytest.raises(OperatorError, match=r"file is a file: name a directory"):
        open_directory(file, NOTHING)


def test_interrupted_first_start_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "genesis.json.new").write_text('{"form')

    assert open_directory(tmp_path, NOTHING).is_new


def test_fresh_deletes_a_data_directory(tmp_path: Path) -> None:
    path = make(tmp_path / "data")

    clear_directory(path)

    assert list(path.iterdir()) == []
    assert open_directory(path, NOTHING._replace(accounts=1)).is_new


def test_fresh_of_nothing_is_fine(tmp_path: Path) -> None:
    clear_directory(tmp_path / "none")
    clear_directory(tmp_path)


@pytest.mark.parametrize("extra", ["notes.txt", ".ssh", "genesis.json.bak"])
def test_fresh_refuses_a_directory_with_anything_else(tmp_path: Path, extra: str) -> None:
    path = make(tmp_path)
    (path / extra).write_text("mine")
    before = sorted(path.rglob("*"))

    with pytest.raises(OperatorError, match=f"it holds {extra}: nothing was deleted"):
        clear_directory(path)

    assert sorted(path.rglob("*")) == before


def test_fresh_refuses_a_directory_without_genesis(tmp_path: Path) -> None:
    (tmp_path / "db").mkdir()

    with pytest.raises(OperatorError, match=r"it has no genesis\.json: nothing was deleted"):
        clear_directory(tmp_path)


def test_fresh_refuses_somebody_elses_genesis(tmp_path: Path) -> None:
    path = make(tmp_path)
    (path / "genesis.json").write_text('{"alloc": {}}')

    with pytest.raises(GenesisError, match="unknown field"):
        clear_directory(path)

    assert (path / "db").exists()


def test_fresh_refuses_a_database_in_use(tmp_path: Path) -> None:
    path = make(tmp_path)
    owner = LevelDb(path / "db")
    try:
        with pytest.raises(DatabaseInUse):
            clear_directory(path)
    finally:
        owner.close()

    assert (path / "HEAD").exists()


def test_second_devnet_is_told_who_is_in_the_directory(tmp_path: Path) -> None:
    with (
        lock_directory(tmp_path),
        pytest.raises(DatabaseInUse, match=f"in use by the devnet of process {os.getpid()}: stop"),
        lock_directory(tmp_path),
    ):
        pytest.fail("both hold the lock")

    with lock_directory(tmp_path):  # whoever ended has left it free
        assert (tmp_path / "devnet.lock").read_text() == f"{os.getpid()}\n"


def test_validators_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    first = open_directory(tmp_path, NOTHING._replace(validators=2))
    again = open_directory(tmp_path, NOTHING)

    paths = [first.sequencer_key_path, *(first.validator_key_path(index) for index in range(2))]
    named = [first.genesis.sequencer, *(member.public_key for member in first.genesis.validators)]
    assert [read_node_key(path).public_key for path in paths] == named
    assert {path.stat().st_mode & 0o777 for path in paths} == {0o600}
    assert again.genesis == first.genesis


def test_without_validators_no_key_is_made(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING._replace(validators=0))

    assert directory.genesis.sequencer == b""
    assert directory.genesis.validators == ()
    assert not directory.sequencer_key_path.parent.exists()


def test_accounts_keys_are_kept_for_the_node_and_only_their_owner_can_read_them(
    tmp_path: Path,
) -> None:
    directory = open_directory(tmp_path / "data", NOTHING._replace(accounts=3, validators=0))

    path = directory.keep_account_keys()

    people = [keypair.address for keypair in directory.people.accounts]
    assert read_accounts(path).addresses() == people
    assert len(people) == 3
    assert path.stat().st_mode & 0o777 == 0o600
    assert directory.keep_account_keys() == path


def test_the_councils_keys_are_files_to_sign_with(tmp_path: Path) -> None:
    directory = open_directory(tmp_path / "data", NOTHING._replace(validators=0))

    directory.keep_council_keys()

    signers = {read_key_file(directory.council_key_path(index)).address for index in range(5)}
    assert signers == set(directory.genesis.council.members)
    assert not directory.council_key_path(5).exists()


def test_of_a_council_of_strangers_no_key_is_written(tmp_path: Path) -> None:
    template = read_genesis(TEMPLATE)
    known, strangers = derive_keys(COUNCIL_PATH, 1), derive_keys("m/44'/60'/9'/0/", 2)
    members = tuple(sorted(keypair.address for keypair in (*known, *strangers)))
    path = tmp_path / "genesis.json"
    council = template.council._replace(members=members, threshold=2)
    path.write_text(render_genesis(template._replace(council=council)))
    wishes = NOTHING._replace(validators=0, template=path)
    directory = open_directory(tmp_path / "data", wishes)

    directory.keep_council_keys()

    assert read_key_file(directory.council_key_path(0)).address == known[0].address
    assert not directory.council_key_path(1).exists()


def test_keys_that_cant_be_written_are_refused_by_name(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING._replace(validators=0))
    (tmp_path / "keys").write_text("")

    with pytest.raises(OperatorError, match=r"keys/accounts.json can't be used \(File exists\)"):
        directory.keep_account_keys()


def test_lock_that_cant_be_taken_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "devnet.lock").mkdir()

    with (
        pytest.raises(OperatorError, match=r"can't be used \(Is a directory\)"),
        lock_directory(tmp_path),
    ):
        pytest.fail("the lock was taken")


def test_an_unfinished_start_keeps_the_keys_it_made(tmp_path: Path) -> None:
    first = open_directory(tmp_path, NOTHING._replace(validators=2))
    first.genesis_path.unlink()

    again = open_directory(tmp_path, NOTHING._replace(validators=3))

    assert again.genesis.sequencer == first.genesis.sequencer
    assert again.genesis.validators[:2] == first.genesis.validators


def test_a_number_of_validators_that_contradicts_is_refused(tmp_path: Path) -> None:
    open_directory(tmp_path, NOTHING._replace(validators=2))

    with pytest.raises(OperatorError, match=r"--validators 4 contradicts .* --validators 2"):
        open_directory(tmp_path, NOTHING._replace(validators=4))


def test_another_validators_key_is_named(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING._replace(validators=2))
    directory.validator_key_path(0).write_bytes(directory.validator_key_path(1).read_bytes())

    with pytest.raises(KeyFileError, match=r"validator-0\.json"):
        open_directory(tmp_path, NOTHING)


def test_a_missing_validators_key_is_to_be_put_back(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING._replace(validators=2))
    directory.validator_key_path(1).unlink()

    with pytest.raises(KeyFileError, match=r"validator-1\.json is missing: put .* --fresh$"):
        open_directory(tmp_path, NOTHING)


def test_fresh_deletes_validators_and_their_keys(tmp_path: Path) -> None:
    path = make(tmp_path / "data")
    (path / "validator-0" / "db").mkdir(parents=True)

    clear_directory(path)

    assert list(path.iterdir()) == []
