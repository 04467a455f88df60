"""Keys of development accounts: read from a file or refused in one line."""

import json
from pathlib import Path

import pytest

from node.config import NodeConfig, Role
from node.crypto import address_of
from node.errors import KeyFileError, OperatorError
from node.rpc.accounts import read_accounts, render_accounts
from node.service import run_node
from tests.rpc.chain import GENESIS, address, key_of


def test_accounts_come_back_in_the_order_written(tmp_path: Path) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(render_accounts([key_of("sender"), key_of("maker")]))

    assert read_accounts(path).addresses() == [address("sender"), address("maker")]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is no JSON"),
        ("{}", "want an array of private keys"),
        ('["0x12"]', "want an array of private keys"),
        (json.dumps(["0x" + "00" * 32]), "a private key is 32 bytes, from 1 to"),
    ],
)
def test_a_file_that_holds_no_keys_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "accounts.json"
    path.write_text(content)

    with pytest.raises(KeyFileError, match=message) as refusal:
        read_accounts(path)

    assert str(refusal.value).startswith(f"{path}: ")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="can't be read"):
        read_accounts(tmp_path / "none.json")


def test_a_chain_without_dev_signs_for_nobody(tmp_path: Path) -> None:
    document = json.loads(GENESIS.read_text()) | {"dev": False}
    genesis = tmp_path / "genesis.json"
    genesis.write_text(json.dumps(document))
    keys = tmp_path / "accounts.json"
    keys.write_text(render_accounts([key_of("sender")]))

    config = NodeConfig(Role.SEQUENCER, genesis, tmp_path / "data", accounts_path=keys)
    with pytest.raises(OperatorError, match=r'--accounts-file is for development: .*"dev": false'):
        run_node(config)

    assert address_of(key_of("sender")) == address("sender")
    assert not (tmp_path / "data").exists()
