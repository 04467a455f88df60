"""What the devnet prints: scripts wait for it and people copy from it."""

from pathlib import Path
from typing import Any

import pytest

from node.devnet.banner import decimal, render_banner
from node.devnet.directory import open_directory
from node.devnet.supervisor import render_block_line
from node.devnet.template import Wishes

NOTHING = Wishes(template=None, accounts=None, reporters=None, bots=None, dev=None)


@pytest.fixture
def lines(tmp_path: Path) -> list[str]:
    directory = open_directory(tmp_path, NOTHING)
    banner = render_banner(
        directory, version="1.2.3", url="http://127.0.0.1:8545", prices="simulated walk"
    )
    return banner.splitlines()


def test_banner_has_anvils_sections_in_anvils_order(lines: list[str]) -> None:
    titles = [lines[i - 1] for i, line in enumerate(lines) if line == "=================="]

    assert titles == [
        "Available Accounts",
        "Private Keys",
        "Wallet",
        "Chain ID",
        "Base Fee",
        "Gas Limit",
        "Genesis Timestamp",
        "Genesis Number",
        "Markets",
        "Prices",
        "Actors",
        "Validators",
        "Council",
        "Data",
        "RPC and WebSocket",
    ]


def test_banner_shows_accounts_with_both_balances_and_keys(lines: list[str]) -> None:
    assert (
        "(0) 0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266 "
        "(10000.000000000000000000 ETH) (1000000.000000 USDC)"
    ) in lines
    assert "(0) 0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80" in lines
    assert sum(line.startswith("(") for line in lines) == 25


def test_banner_says_where_the_councils_keys_are(lines: list[str], tmp_path: Path) -> None:
    where = lines.index("Council") + 3

    assert lines[where] == "3 of 5 sign: .venv/bin/python -m tools.rollback --help"
    assert lines[where + 1].endswith(f" {tmp_path}/keys/council-0.json")


@pytest.mark.parametrize(
    "line",
    [
        "Mnemonic:         test test test test test test test test test test test junk",
        "Derivation path:  m/44'/60'/0'/0/",
        "20260119",
        "1000000000",
        "1768780800",
        "BTC-USD (1), ETH-USD (2)",
        "simulated walk",
        "3 price reporters, 4 traders",
        "http://127.0.0.1:8545",
        "ws://127.0.0.1:8545",
    ],
)
def test_banner_says(lines: list[str], line: str) -> None:
    assert line in lines


def test_banner_of_a_resumed_chain_says_so(tmp_path: Path) -> None:
    open_directory(tmp_path, NOTHING)

    directory = open_directory(tmp_path, NOTHING)

    banner = render_banner(directory, version="1", url="http://x:1", prices="fixed")
    assert f"{tmp_path} (resumed)" in banner
    assert "Balances are those of genesis" in banner


@pytest.mark.parametrize(
    ("amount", "decimals", "text"),
    [(0, 6, "0.000000"), (1, 6, "0.000001"), (-1_500_000, 6, "-1.500000"), (12, 0, "12")],
)
def test_decimal_is_exact(amount: int, decimals: int, text: str) -> None:
    assert decimal(amount, decimals) == text


def test_block_line_tells_height_hash_transactions_gas_marks_and_closed_modes() -> None:
    header = {"number": "0x2a", "hash": "0x" + "ab" * 32, "gasUsed": "0x5208"}
    markets: list[dict[str, Any]] = [
        {"symbol": "BTC-USD", "mode": "OPEN", "mark": {"ticks": 930000, "decimal": "93000.0"}},
        {"symbol": "ETH-USD", "mode": "CANCEL_ONLY", "mark": None},
    ]

    line = render_block_line(header, 1, markets)

    assert line.split() == [
        *["block", "42", "0xabababab…abab", "1", "txs", "21,000", "gas"],
        *["BTC-USD", "93000.0", "ETH-USD", "-", "CANCEL_ONLY"],
    ]
    assert render_block_line(header, 1, markets, 41) == f"{line}  certified 41"


def test_banner_names_each_validators_key_and_url(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING._replace(validators=2))
    urls = ["http://x:1", "http://x:2"]

    banner = render_banner(
        directory, version="1", url="http://x", prices="fixed", validators=urls
    ).splitlines()

    for index, member in enumerate(directory.genesis.validators):
        assert f"({index}) 0x{member.public_key.hex()} {urls[index]}" in banner


def test_banner_warns_of_listening_beyond_loopback_in_one_line(tmp_path: Path) -> None:
    directory = open_directory(tmp_path, NOTHING)

    shown = [
        render_banner(directory, version="1", url="http://x", prices="fixed", is_exposed=exposed)
        for exposed in (True, False)
    ]

    assert [banner.count("WARNING") for banner in shown] == [1, 0]
    assert "guarded methods are off, and the keys above are known to everybody" in shown[0]
