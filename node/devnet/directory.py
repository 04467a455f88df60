"""A devnet's data directory: what is in it, how it is made once, and how it is emptied.

genesis.json   written once, before anything else; every start reads it
db/, HEAD      the node's database and its side file (`node.service`)
prices.json    where the replay of a price file began
logs/          what each process of this start said
snapshots/     signatures of the validators' snapshots; with --validators 0 the snapshots
hold           a council's halt where no block could carry it (`node.consensus.hold`)
keys/          the nodes' own keys, made once, and the council's; readable by their owner alone
validator-N/   a validator's own data directory
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from node.chain.durable import TEMPORARY_SUFFIX, write_durably
from node.chain.genesis import Genesis, read_genesis, render_genesis, validate_genesis
from node.consensus.node_key import NodeKey, make_node_key, read_node_key
from node.devnet.keyfile import render_key_file
from node.devnet.template import (
    TEMPLATE,
    VALIDATORS_DEFAULT,
    VALIDATORS_MAX,
    People,
    Wishes,
    make_genesis,
    recover_people,
)
from node.errors import DatabaseInUse, KeyFileError, OperatorError
from node.governance.validators import Validator
from node.rpc.accounts import render_accounts

GENESIS_FILE = "genesis.json"
DATABASE_DIRECTORY = "db"
HEAD_FILE = "HEAD"
PRICES_FILE = "prices.json"
LOG_DIRECTORY = "logs"
LOCK_FILE = "devnet.lock"
KEYS_DIRECTORY = "keys"
SNAPSHOTS_DIRECTORY = "snapshots"
HOLD_FILE = "hold"
OWN_NAMES = {
    GENESIS_FILE,
    DATABASE_DIRECTORY,
    HEAD_FILE,
    PRICES_FILE,
    LOG_DIRECTORY,
    LOCK_FILE,
    KEYS_DIRECTORY,
    SNAPSHOTS_DIRECTORY,
    HOLD_FILE,
    *(f"validator-{index}" for index in range(VALIDATORS_MAX)),
}


class DataDirectory(NamedTuple):
    """An opened data directory."""

    path: Path
    genesis: Genesis
    people: People
    is_new: bool

    @property
    def genesis_path(self) -> Path:
        """Where the genesis document stands."""
        return self.path / GENESIS_FILE

    @property
    def sequencer_key_path(self) -> Path:
        """Where the sequencer's key stands, if genesis names one."""
        return self.path / KEYS_DIRECTORY / "sequencer.json"

    def keep_account_keys(self) -> Path:
        """Write the funded accounts' keys for the node to sign with, and return where."""
        path = self.path / KEYS_DIRECTORY / "accounts.json"
        _keep_key(path, render_accounts(keypair.private_key for keypair in self.people.accounts))
        return path

    def keep_council_keys(self) -> None:
        """Write the development council's key files, for people to sign its actions with."""
        for index, keypair in enumerate(self.people.council):
            _keep_key(self.council_key_path(index), render_key_file(keypair))

    def council_key_path(self, index: int) -> Path:
        """Return where the key of a member of the development council stands."""
        return self.path / KEYS_DIRECTORY / f"council-{index}.json"

    def validator_key_path(self, index: int) -> Path:
        """Return where a validator's key stands."""
        return self.path / KEYS_DIRECTORY / f"validator-{index}.json"

    def validator_path(self, index: int) -> Path:
        """Return a validator's own data directory."""
        return self.path / f"validator-{index}"

    @property
    def prices_path(self) -> Path:
        """Where the replay's beginning stands."""
        return self.path / PRICES_FILE

    @property
    def log_path(self) -> Path:
        """Where the processes' logs stand."""
        return self.path / LOG_DIRECTORY


def open_directory(path: Path, wishes: Wishes) -> DataDirectory:
    """Open a data directory, or make it of template and flags; OperatorError if they disagree."""
    genesis_path = path / GENESIS_FILE
    if genesis_path.exists():
        genesis = read_genesis(genesis_path)
        people = recover_people(genesis, wishes, where=genesis_path)
        directory = DataDirectory(path, genesis, people, is_new=False)
        _check_keys(directory)
        return directory
    _require_vacant(path)
    genesis, people = make_genesis(read_genesis(wishes.template or TEMPLATE), wishes)
    count = VALIDATORS_DEFAULT if wishes.validators is None else wishes.validators
    try:
        path.mkdir(parents=True, exist_ok=True)
        if count:
            genesis = _with_validators(DataDirectory(path, genesis, people, is_new=True), count)
        write_durably(genesis_path, render_genesis(genesis).encode())
    except OSError as error:
        raise _unusable(path, error) from None
    return DataDirectory(path, genesis, people, is_new=True)


def _with_validators(directory: DataDirectory, count: int) -> Genesis:
    """Make the nodes' keys, or find those of an unfinished start; return genesis naming them."""
    directory.sequencer_key_path.parent.mkdir(mode=0o700, exist_ok=True)
    sequencer = _make_or_read(directory.sequencer_key_path)
    members = (_make_or_read(directory.validator_key_path(index)) for index in range(count))
    genesis = directory.genesis._replace(
        sequencer=sequencer.public_key,
        validators=tuple(Validator(member.public_key, 1) for member in members),
    )
    validate_genesis(genesis)
    return genesis


def _keep_key(path: Path, text: str) -> None:
    try:
        path.parent.mkdir(mode=0o700, exist_ok=True)
        write_durably(path, text.encode(), mode=0o600)
    except OSError as error:
        raise _unusable(path, error) from None


def _make_or_read(path: Path) -> NodeKey:
    return read_node_key(path) if path.exists() else make_node_key(path)


def _check_keys(directory: DataDirectory) -> None:
    """Refuse a directory whose keys are not those that its genesis names."""
    genesis = directory.genesis
    if not genesis.sequencer:
        return
    expected = {directory.sequencer_key_path: genesis.sequencer} | {
        directory.validator_key_path(index): member.public_key
        for index, member in enumerate(genesis.validators)
    }
    for path, public_key in expected.items():
        if not path.exists():
            raise KeyFileError(f"{path} is missing: put the file back, or start anew with --fresh")
        if read_node_key(path).public_key != public_key:
            raise KeyFileError(
                f"{path}: {directory.genesis_path} names 0x{public_key.hex()} for it: "
                "put the right key file back"
            )


def clear_directory(path: Path) -> None:
    """Delete the chain in a data directory; refuse whatever else the path may be.

    Takes the database's lock first (DatabaseInUse names its owner), and deletes genesis last, so
    that an interrupted deletion can be repeated.
    """
    if not path.exists():
        return
    strangers = _names_in(path) - OWN_NAMES
    if strangers:
        raise OperatorError(
            f"--fresh: {path} is no data directory, it holds {min(strangers)}: "
            "nothing was deleted; name another --data-dir"
        )
    if not _names_in(path):
        return
    if not (path / GENESIS_FILE).exists():
        raise OperatorError(
            f"--fresh: {path} is no data directory, it has no {GENESIS_FILE}: "
            "nothing was deleted; name another --data-dir"
        )
    read_genesis(path / GENESIS_FILE)
    for database in sorted(path.glob(f"**/{DATABASE_DIRECTORY}/LOCK")):
        _require_stopped(database.parent)
    try:
        for name in sorted(_names_in(path) - {GENESIS_FILE}):
            _delete(path / name)
        (path / GENESIS_FILE).unlink()
    except OSError as error:
        raise _unusable(path, error) from None


@contextmanager
def lock_directory(path: Path) -> Iterator[None]:
    """Keep other devnets out of a data directory; DatabaseInUse names the one that is in it."""
    try:
        file = (path / LOCK_FILE).open("a+", encoding="ascii")
    except OSError as error:
        raise _unusable(path, error) from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            raise DatabaseInUse(
                f"{path} is in use by the devnet of process {file.read().strip() or 'unknown'}: "
                "stop it, or name another --data-dir"
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield


def _require_vacant(path: Path) -> None:
    """Refuse a path that holds something else than an unfinished start."""
    if path.exists() and not path.is_dir():
        raise OperatorError(f"{path} is a file: name a directory by --data-dir")
    names = _names_in(path)
    if DATABASE_DIRECTORY in names:
        raise OperatorError(
            f"{path} holds a database but no {GENESIS_FILE}: put the file back, "
            "or name another --data-dir"
        )
    if names - OWN_NAMES:
        raise OperatorError(
            f"{path} is no data directory, it holds {min(names)}: name a new or empty --data-dir"
        )


def _require_stopped(database: Path) -> None:
    from node.state.kv import LevelDb  # plyvel is loaded only where a database is touched

    LevelDb(database).close()


def _names_in(path: Path) -> set[str]:
    try:
        names = os.listdir(path) if path.exists() else []
    except OSError as error:
        raise _unusable(path, error) from None
    return {name.removesuffix(TEMPORARY_SUFFIX) for name in names}


def _delete(path: Path) -> None:
    for victim in (path, path.with_name(path.name + TEMPORARY_SUFFIX)):
        if victim.is_dir() and not victim.is_symlink():
            shutil.rmtree(victim)
        else:
            victim.unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> OperatorError:
    return OperatorError(
        f"{path} can't be used ({error.strerror or error}): name another --data-dir"
    )
