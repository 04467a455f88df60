"""The command line: help, exit statuses, and one line on standard error for each failure."""

import asyncio
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from node.cli.flags import require_addresses
from node.cli.main import main
from node.cli.values import print_table
from node.devnet.directory import open_directory
from node.devnet.template import Wishes

ROOT = Path(__file__).parents[2]
MINIMAL = ROOT / "genesis" / "minimal.json"


class Outcome:
    """What a command left behind."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


@pytest.fixture
def perpnode(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Any:
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["perpnode", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    return run


@pytest.mark.parametrize("command", ["devnet", "run", "status", "verify", "keys"])
def test_help_names_every_command_and_each_has_its_own(perpnode: Any, command: str) -> None:
    assert command in perpnode("--help").out
    assert perpnode(command, "--help").status == 0


def test_version_is_the_packages(perpnode: Any) -> None:
    assert perpnode("--version").out == f"perpnode {version('perpnode')}\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["devnet", "--prices", "none.csv"], "none.csv: can't be read (No such file or directory)"),
        (["devnet", "--prices", "walk"], "--prices walk: is no price source"),
        (["devnet", "--speed", "2"], "--speed 2 needs a file to replay"),
        (["devnet", "--port", "0", "--genesis", "none.json"], "none.json: can't be read"),
        (
            ["devnet", "--port", "0", "--fresh", "--data-dir", "/"],
            "--fresh: / is no data directory",
        ),
        (["devnet", "--port", "0", "--data-dir", "file"], "file is a file: name a directory"),
        (["devnet", "--host", "203.0.113.7"], "can't listen on 203.0.113.7"),
        (["status", "--rpc", "http://127.0.0.1:1"], "no node answers at http://127.0.0.1:1"),
        (["status", "--rpc", "somewhere"], "somewhere: is no node URL"),
        (["verify", "--data-dir", "none"], "none holds no database: name a node's --data-dir"),
        (["status", "--rpc", "http://nosuch.invalid"], "http://nosuch.invalid ("),
        (["snapshot", "list", "--data-dir", "none"], "none is no directory"),
        (["fork", "show", "file"], "content: was no JSON, expected a fork plan"),
        (["keys", "show", "."], ".: can't be read (Is a directory)"),
        (["keys", "show", "--node", "."], ".: can't be read (Not a regular file)"),
        (["devnet", "--port", "0", "--genesis", "."], ".: can't be read (Is a directory)"),
        (["keys", "show", "none"], "none: can't be read (No such file or directory)"),
        (["keys", "new", "file"], "file: exists already: keys are never overwritten"),
        (["keys", "new", "none/key"], "none/key: can't be written (No such file or directory)"),
        (
            ["run", "--role", "sequencer", "--genesis", "none.json", "--data-dir", "data"],
            "none.json: can't be read",
        ),
    ],
)
def test_failure_is_status_1_and_one_line(
    perpnode: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    (tmp_path / "file").write_text("")

    outcome = perpnode(*arguments)

    assert outcome.status == 1
    assert outcome.out == ""
    assert outcome.err.startswith("perpnode: ")
    assert words in outcome.err
    assert "JSONDecodeError" not in outcome.err
    assert "Unknown error" not in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_what_the_system_refuses_is_one_line_with_the_path(perpnode: Any, tmp_path: Path) -> None:
    open_directory(tmp_path / "data", Wishes(None, None, None, None, None, validators=0))
    (tmp_path / "data" / "logs").write_text("")

    outcome = perpnode("devnet", "--port", "0", "--data-dir", "data")

    assert outcome.status == 1
    assert outcome.err == (
        "perpnode: data/logs: File exists: check permissions and the free space\n"
    )


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "No such command 'fly'"),
        (["devnet", "--port", "x"], "'--port'"),
        (["devnet", "--port", "65536"], "'--port'"),
        (["devnet", "--accounts", "-1"], "'--accounts'"),
        (["devnet", "--accounts", "1001"], "'--accounts'"),
        (["devnet", "--block-time", "0"], "--block-time: 0 s is not from 0.1 to 10 seconds"),
        (["devnet", "--block-time", "soon"], "--block-time: 'soon' is no number of seconds"),
        (["devnet", "--block-time", "0.12345"], "0.12345 s is no whole number of milliseconds"),
        (["devnet", "--block-time", "nan"], "--block-time"),
        (["run", "--role", "king", "--genesis", "g", "--data-dir", "d"], "'--role'"),
        (["run"], "Missing option"),
        (["devnet", "--validators", "17"], "'--validators'"),
        (["verify"], "Missing option"),
        (["verify", "--data-dir", "d", "--from", "0"], "'--from'"),
        (["keys", "new"], "Missing argument"),
        (
            ["devnet", "--instant", "--block-time", "1"],
            "--block-time: 1 s contradicts --instant",
        ),
        (
            [
                *("run", "--role", "archive", "--genesis", "g", "--data-dir", "d"),
                *("--instant", "--block-time", "2"),
            ],
            "--block-time: 2 s contradicts --instant",
        ),
        (["devnet", "--host", "0.0.0.0", "--faults"], "--faults: contradicts --host 0.0.0.0"),
        (["devnet", "--faults", "--no-dev"], "--faults: contradicts --no-dev"),
        (["devnet", "--allow-origin", "example.com"], "--allow-origin: 'example.com' is no"),
        (["devnet", "--allow-origin", "http://a/b"], "--allow-origin: 'http://a/b' is no"),
        (["devnet", "--host-name", "a b"], "--host-name: 'a b' is no host name"),
        (["devnet", "--host-name", "http://x"], "--host-name: 'http://x' is no host name"),
    ],
)
def test_wrong_usage_is_status_2_and_one_line_that_names_the_option(
    perpnode: Any, tmp_path: Path, arguments: list[str], words: str
) -> None:
    outcome = perpnode(*arguments)

    assert outcome.status == 2
    assert outcome.err.startswith("perpnode: ")
    assert words in outcome.err
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_no_arguments_show_the_help(perpnode: Any) -> None:
    outcome = perpnode()

    assert outcome.status == 2
    assert "Commands:" in outcome.err
    assert outcome.err.count("\n") > 5


@pytest.mark.parametrize("name", ["app.local", "my_host", "::1", "10.0.0.2"])
@pytest.mark.parametrize("origin", ["*", "https://a.example", "http://[::1]:80", "http://x:3000"])
def test_host_names_and_origins_as_they_are_written_are_taken(name: str, origin: str) -> None:
    require_addresses([name], [origin])


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "show", "pipe"],
        ["keys", "show", "--node", "pipe"],
        ["devnet", "--port", "0", "--genesis", "pipe"],
        ["devnet", "--prices", "pipe"],
        ["fork", "show", "pipe"],
    ],
)
def test_a_pipe_in_place_of_a_file_is_refused_without_waiting(
    perpnode: Any, tmp_path: Path, arguments: list[str]
) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)

    outcome = perpnode(*arguments)

    assert outcome.status == 1
    assert "pipe can't be read" in outcome.err.replace("pipe: can't", "pipe can't")
    assert "(Not a regular file)" in outcome.err
    assert outcome.err.count("\n") == 1


def test_key_file_too_large_is_refused(perpnode: Any, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(" " * 5000)

    assert "key: can't be read (File too large)" in perpnode("keys", "show", "key").err


def test_directory_without_snapshots_says_so(succeed: Any) -> None:
    assert succeed("snapshot", "list", "--data-dir", ".") == "no snapshots yet\n"
    assert json.loads(succeed("snapshot", "list", "--data-dir", ".", "--json")) == []


def test_keys_are_made_once_shown_and_private(perpnode: Any, tmp_path: Path) -> None:
    made = json.loads(perpnode("keys", "new", "key", "--json").out)
    shown = perpnode("keys", "show", "key")

    secret = json.loads((tmp_path / "key").read_text())["private_key"]
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert made["address"] in shown.out
    assert secret not in shown.out
    assert secret not in json.dumps(made)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "must have the fields address and private_key alone"),
        ('{"private_key": "0x1"}', "must have the fields"),
        ('{"address": "0x", "private_key": 5}', "not 0x and 64 hex digits"),
        ('{"address": "0x", "private_key": "0x12"}', "not 0x and 64 hex digits"),
        ('{"address": "0x", "private_key": "0x' + "0" * 64 + '"}', "outside of the curve's range"),
        ('{"address": "0x", "private_key": "0x' + "f" * 64 + '"}', "outside of the curve's range"),
        (
            '{"address": "0x", "private_key": "0x' + "1" * 64 + '"}',
            "names another address than its key's: it is 0x",
        ),
    ],
)
def test_spoilt_key_file_is_refused_in_one_line(
    perpnode: Any, tmp_path: Path, content: str, words: str
) -> None:
    file = tmp_path / "key"
    file.touch(0o600)
    file.write_text(content)

    outcome = perpnode("keys", "show", "key")

    assert outcome.status == 1
    assert words in outcome.err
    assert outcome.err.count("\n") == 1


def test_key_file_that_others_can_read_is_refused(perpnode: Any, tmp_path: Path) -> None:
    perpnode("keys", "new", "key")
    (tmp_path / "key").chmod(0o640)

    assert "key: can be read by others: run chmod 600 key" in perpnode("keys", "show", "key").err


STATUS = {
    "phase": "open",
    "reason": "",
    "mode": "OPEN",
    "forkId": 0,
    "devEpoch": 0,
    "latest": 12,
    "safe": 12,
    "finalized": 12,
    "validators": 4,
    "peers": ["validator 0", "validator 3"],
    "timeMs": 1768780812000,
    "waiting": 3,
    "chainId": 20260119,
    "deficit": {"atoms": 0, "decimal": "0.000000"},
    "clientVersion": "perpnode/v0",
    "vault": {"atoms": 5, "decimal": "0.000005"},
    "genesisHash": "0x" + "ab" * 32,
}
MARKET = {
    "symbol": "BTC-USD",
    "mode": "CANCEL_ONLY",
    "mark": None,
    "funding": {"rate": {"ppb": 1, "decimal": "0.000000001"}},
}


DISPUTES = [
    {"text": "block 7, market 1, FundingAccrued.index: was 0, recomputed 5", "validator": index}
    for index in (0, 2)
]
ANSWERS = {"perp_status": STATUS, "perp_getMarkets": [MARKET], "perp_getDisputes": DISPUTES}


@pytest.fixture
def node_url() -> Iterator[str]:
    """A WebSocket server in a thread that answers the methods of `status`."""

    async def answer(connection: ServerConnection) -> None:
        async for frame in connection:
            request = json.loads(frame)
            value = ANSWERS[request["method"]]
            reply = {"jsonrpc": "2.0", "id": request["id"], "result": value}
            await connection.send(json.dumps(reply))

    started, urls = threading.Event(), []
    loop, stop = asyncio.new_event_loop(), asyncio.Event()

    async def run() -> None:
        async with serve(answer, "127.0.0.1", 0) as server:
            urls.append(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")
            started.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),))
    thread.start()
    started.wait(30)
    yield urls[0]
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


@pytest.fixture
def succeed(monkeypatch: pytest.MonkeyPatch, perpnode: Any) -> Any:
    def run(*arguments: str) -> str:
        outcome = perpnode(*arguments)
        assert (outcome.status, outcome.err) == (0, "")
        out: str = outcome.out
        return out

    return run


def test_status_for_programs_is_what_the_node_says(succeed: Any, node_url: str) -> None:
    answer = json.loads(succeed("status", "--rpc", node_url, "--json"))

    assert answer == {"status": STATUS, "markets": [MARKET], "disputes": DISPUTES}


@pytest.mark.parametrize(
    "words",
    [
        "20260119",
        "12",
        "0.000005 USDC",
        "3 transactions",
        "CANCEL_ONLY, mark no price",
        "abab",
        "validator 0, validator 3",
        "by validator 0, 2: block 7, market 1, FundingAccrued.index: was 0, recomputed 5\n",
    ],
)
def test_status_for_people_has_the_numbers(succeed: Any, node_url: str, words: str) -> None:
    assert words in succeed("status", "--rpc", node_url)


def test_status_through_a_pipe_is_rows_of_name_and_value(succeed: Any, node_url: str) -> None:
    rows = [line.split("\t") for line in succeed("status", "--rpc", node_url).splitlines()]

    assert all(len(row) == 2 for row in rows), rows
    assert ["genesis", "0x" + "ab" * 32] in rows
    assert ["phase", "open"] in rows


def test_table_on_a_terminal_is_aligned_and_folds_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)

    print_table("node", [("hash", "0x" + "ab" * 200), ("state root", "1\n2")])

    assert capsys.readouterr().out == f"node\n  hash        0x{'ab' * 200}\n  state root  1 2\n"


def test_starting_the_command_loads_no_library_of_its_commands() -> None:
    code = (
        "import sys, node.cli.main\n"
        "print(sorted({'eth_account', 'plyvel', 'uvicorn', 'websockets', 'coincurve'}"
        " & set(sys.modules)))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout

    assert shown == "[]\n"


@pytest.mark.parametrize("module", ["service", "devnet.reporters", "devnet.traders"])
def test_node_and_actor_processes_start_without_client_libraries(module: str) -> None:
    code = (
        f"import sys, node.{module}\n"
        "print(sorted({'web3', 'eth_account', 'eth_abi'} & set(sys.modules)))"
    )

    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout

    assert shown == "[]\n"
