"""The governance script against a node: the order of steps, and what is refused by name."""

import asyncio
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from websockets.asyncio.server import ServerConnection, serve

from node.chain.genesis import Genesis, parse_genesis
from node.crypto import checksum_address
from node.errors import HeaderMismatch
from node.perp.parameters import MarketParams
from node.rpc.dispatch import Dispatcher
from tests.helpers.chain import Person
from tests.helpers.council import COUNCIL, MEMBERS, OUTSIDER
from tests.rpc import chain as rpc_chain
from tests.rpc.chain import MARKET, Chain
from tools.action_file import find_parameter
from tools.rollback import main

ROOT = Path(__file__).parents[2]


class Outcome:
    """What a command left behind."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err


class Script:
    """A node that our council governs, and the script that speaks to it."""

    def __init__(self, directory: Path, chain: Chain, capture: Any, patch: Any) -> None:
        self.directory, self.chain = directory, chain
        self._capture, self._patch = capture, patch
        self.url = ""
        self.keys: dict[str, Path] = {}
        for person in (*MEMBERS, OUTSIDER):
            self.keys[checksum_address(person.address)] = self._write_key(person)

    def _write_key(self, person: Person) -> Path:
        path = self.directory / f"key-{person.address.hex()[:8]}.json"
        document = {
            "address": checksum_address(person.address),
            "private_key": "0x" + person.key.hex(),
        }
        path.write_text(json.dumps(document))
        path.chmod(0o600)
        return path

    def key(self, person: Person) -> str:
        return str(self.keys[checksum_address(person.address)])

    def run(self, *arguments: str) -> Outcome:
        self._patch.setattr(sys, "argv", ["rollback", *arguments, "--rpc", self.url])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = self._capture.readouterr()
        return Outcome(int(ended.value.code or 0), captured.out, captured.err)

    def good(self, *arguments: str) -> str:
        outcome = self.run(*arguments)
        assert outcome.status == 0, outcome.err
        return outcome.out

    def refused(self, *arguments: str) -> str:
        """Run what must be refused: one line on standard error, and no file changed."""
        before = self.files()
        outcome = self.run(*arguments)
        assert outcome.status == 1, outcome.out
        assert outcome.err.startswith("rollback: ")
        assert outcome.err.count("\n") == 1
        assert self.files() == before
        return outcome.err

    def files(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.directory.glob("*.json")}

    def sign(self, file: str, *members: Person) -> None:
        for member in members:
            self.good("sign", file, "--key", self.key(member))


@pytest.fixture
def script(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Script]:
    def parse_governed(data: bytes, *, name: str) -> Genesis:
        return parse_genesis(data, name=name)._replace(council=COUNCIL)

    monkeypatch.setattr(rpc_chain, "parse_genesis", parse_governed)
    (tmp_path / "chain").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    chain = Chain(tmp_path / "chain")
    chain.seal()
    made = Script(tmp_path / "work", chain, capsys, monkeypatch)
    with serving(chain) as url:
        made.url = url
        yield made
    chain.core.close()


class serving:  # noqa: N801  # a context manager, used as a word
    """Serves a chain's front over WebSocket in a thread of its own."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def __enter__(self) -> str:
        self._thread.start()
        assert self._ready.wait(30)
        return self._url

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        dispatcher = Dispatcher()

        async def answer(connection: ServerConnection) -> None:
            async for frame in connection:
                body = await dispatcher.answer(self._chain.context(), frame)
                assert body is not None
                await connection.send(body.decode())

        async with serve(answer, "127.0.0.1", 0) as server:
            port = next(iter(server.sockets)).getsockname()[1]
            self._url = f"ws://127.0.0.1:{port}"
            self._ready.set()
            await self._stop.wait()


def test_a_halt_from_the_first_step_to_the_last(script: Script) -> None:
    status = script.good("status")
    assert "3 of 5" in status
    assert "halt stops the chain" in status

    made = script.good("halt", "halt.json", "--now", "--reason", "prices are wrong")
    assert "Halt the chain" in made
    assert "prices are wrong" in made
    assert "next: each of 3 members: sign halt.json" in made
    assert "next: 2 more" in script.good("sign", "halt.json", "--key", script.key(MEMBERS[0]))
    assert "next: 1 more" in script.good("sign", "halt.json", "--key", script.key(MEMBERS[1]))
    assert "next: submit" in script.good("sign", "halt.json", "--key", script.key(MEMBERS[4]))
    assert "3 of 3" in script.good("show", "halt.json")
    assert "next: watch halt.json" in script.good("submit", "halt.json")
    script.chain.seal()
    watched = script.good("watch", "halt.json")

    assert "HALTED" in watched
    assert "Halt was carried out in block 2, result 2, audit entry 0" in watched
    assert "the chain stands" in script.good("status")


def test_a_resume_after_a_halt(script: Script) -> None:
    assert "nothing to resume" in script.refused("resume", "resume.json", "--reason", "x")
    script.good("halt", "halt.json", "--now", "--reason", "x")
    script.sign("halt.json", *MEMBERS[:3])
    script.good("submit", "halt.json")
    script.chain.seal()
    assert "stands already" in script.refused("halt", "again.json", "--now", "--reason", "x")

    script.good("resume", "resume.json", "--reason", "prices are right")
    script.sign("resume.json", *MEMBERS[2:])
    script.good("submit", "resume.json")
    script.chain.seal()

    assert "Resume was carried out" in script.good("watch", "resume.json")
    assert json.loads(script.good("status", "--json"))["status"]["mode"] == "CANCEL_ONLY"


def test_copies_that_were_signed_apart_are_submitted_together(script: Script) -> None:
    script.good("cancel-orders", "all.json", "--all-but-tpsl", "--reason", "x")
    copies = []
    for index, member in enumerate(MEMBERS[:3]):
        copy = script.directory / f"copy-{index}.json"
        copy.write_bytes((script.directory / "all.json").read_bytes())
        script.sign(copy.name, member)
        copies.append(copy.name)

    assert "2 of 3 signatures" in script.refused("submit", *copies[:2])
    printed = script.good("submit", *copies, "--json")
    answer = json.loads(printed[printed.index("{") :])  # the node of the test logs there too
    assert answer["outcome"] == "queued"
    script.chain.seal()

    assert "CancelOrders was carried out" in script.good("watch", "all.json")


def test_a_wallets_signature_is_as_good_as_a_key_file(script: Script) -> None:
    script.good("halt", "halt.json", "--now", "--reason", "x")
    document = json.loads((script.directory / "halt.json").read_text())["typedData"]
    signed = Account.sign_message(encode_typed_data(full_message=document), MEMBERS[0].key)

    text = "0x" + bytes(signed.signature).hex()

    assert "next: 2 more" in script.good("sign", "halt.json", "--signature", text)
    assert "has signed it already" in script.refused("sign", "halt.json", "--signature", text)
    assert "130 hex digits" in script.refused("sign", "halt.json", "--signature", "0x12")
    assert "malformed" in script.refused("sign", "halt.json", "--signature", "0x" + "00" * 65)
    assert "one of them" in script.refused("sign", "halt.json")


def test_a_submission_is_good_once(script: Script) -> None:
    script.good("set-mode", str(MARKET), "post-only", "mode.json", "--reason", "x")
    script.sign("mode.json", *MEMBERS[:3])
    script.good("submit", "mode.json")
    script.good("submit", "mode.json")
    script.chain.seal()

    assert "was carried out already" in script.refused("submit", "mode.json")


def test_the_wrong_key_is_refused(script: Script) -> None:
    script.good("halt", "halt.json", "--now", "--reason", "x")

    assert "is not in the council" in script.refused(
        "sign", "halt.json", "--key", script.key(OUTSIDER)
    )
    script.sign("halt.json", MEMBERS[0])
    assert "has signed it already" in script.refused(
        "sign", "halt.json", "--key", script.key(MEMBERS[0])
    )
    assert "can't be read" in script.refused("sign", "halt.json", "--key", "none.json")


def test_the_wrong_order_is_refused(script: Script) -> None:
    assert "can't be read" in script.refused("submit", "halt.json")
    script.good("halt", "halt.json", "--now", "--reason", "x")
    assert "0 of 3 signatures" in script.refused("submit", "halt.json")
    assert "is it submitted?" in script.refused("watch", "halt.json", "--timeout", "0")
    assert "exists already" in script.refused("halt", "halt.json", "--now", "--reason", "x")


def test_a_file_for_another_chain_or_with_other_words_is_refused(script: Script) -> None:
    script.good("halt", "halt.json", "--now", "--reason", "x")
    script.sign("halt.json", *MEMBERS[:3])
    path = script.directory / "halt.json"
    good = path.read_text()

    def damaged(change: Any) -> str:
        document = json.loads(good)
        change(document)
        path.write_text(json.dumps(document))
        return script.refused("submit", "halt.json")

    first = checksum_address(MEMBERS[0].address)
    outsider = checksum_address(OUTSIDER.address)
    assert "domain.salt" in damaged(
        lambda each: each["typedData"]["domain"].update(salt="0x" + "11" * 32)
    )
    assert "not over these words" in damaged(
        lambda each: each["typedData"]["message"].update(reason="other words")
    )
    assert "not over these words" in damaged(
        lambda each: each["signatures"].update({outsider: each["signatures"][first]})
    )
    assert "is malformed" in damaged(lambda each: each["signatures"].update({first: "0x00"}))
    assert "by address" in damaged(lambda each: each.update(signatures=[]))
    assert "alone" in damaged(lambda each: each.update(more=1))
    path.write_text("{")
    assert "is no JSON" in script.refused("show", "halt.json")
    path.write_text(good)
    script.good("submit", "halt.json")


def test_an_action_that_has_expired_is_refused(script: Script) -> None:
    script.good("halt", "halt.json", "--now", "--reason", "x", "--expires-in", "1")
    path = script.directory / "halt.json"
    document = json.loads(path.read_text())
    document["typedData"]["message"]["expiresAt"] = 1
    path.write_text(json.dumps(document))

    assert "has expired" in script.refused("sign", "halt.json", "--key", script.key(MEMBERS[0]))


def test_two_actions_are_not_one(script: Script) -> None:
    for name in ("one.json", "two.json"):
        script.good("halt", name, "--now", "--reason", "x")
        script.sign(name, *MEMBERS[:3])

    assert "is another action" in script.refused("submit", "one.json", "two.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["halt", "a.json", "--reason", "x"], "one of them"),
        (["halt", "a.json", "--reason", "x", "--now", "--height", "9"], "one of them"),
        (["halt", "a.json", "--reason", "x", "--height", "1"], "is over"),
        (["halt", "a.json", "--reason", " ", "--now"], "--reason is empty"),
        (["halt", "a.json", "--reason", "x", "--now", "--expires-in", "0"], "more than 0"),
        (["cancel-orders", "a.json", "--reason", "x"], "one of them"),
        (["cancel-orders", "a.json", "--reason", "x", "--account", "0x12"], "account"),
        (["set-mode", "x", "open", "a.json", "--reason", "x"], "is no market"),
        (["set-mode", "1", "ajar", "a.json", "--reason", "x"], "is no mode"),
        (["set-mode", "chain", "halted", "a.json", "--reason", "x"], "rollback halt"),
    ],
)
def test_what_makes_no_action_is_refused(script: Script, arguments: list[str], words: str) -> None:
    assert words in script.refused(*arguments)
    assert not (script.directory / "a.json").exists()


SOMEBODY, ELSE = "0x" + "11" * 20, "0x" + "22" * 20
KEY = "0x" + "33" * 32


@pytest.mark.parametrize(
    ("command", "options", "shown"),
    [
        ("schedule-maintenance", ["--start", "5", "--halt", "9", "--ends-in", "60"], "UTC)"),
        ("change-council", ["--member", ELSE, "--member", SOMEBODY, "--threshold", "2"], "[1]"),
        ("set-parameter chain grace_ms 7", [], "grace_ms"),
        ("set-parameter 1 taker_fee_ppm 7", [], "taker_fee_ppm"),
        ("set-parameter chain reopen_needs_book true", [], "value"),
        ("set-reporters", ["--reporter", SOMEBODY, "--quorum", "1"], "reporters[0]"),
        ("set-brackets 1", ["--bracket", "0:50000", "--bracket", "9:90000"], "notionalFrom"),
        ("settle-market 1 500000", ["--beyond-max-move"], "yes"),
    ],
)
def test_each_of_the_councils_reforms_from_the_first_step_to_the_last(
    script: Script, command: str, options: list[str], shown: str
) -> None:
    name, *arguments = command.split()

    made = script.good(name, *arguments, "a.json", "--reason", "because", *options)

    assert shown in made
    assert "next: each of 3 members: sign a.json" in made
    script.sign("a.json", *MEMBERS[:3])
    assert "next: watch a.json" in script.good("submit", "a.json")
    script.chain.seal()
    assert "was carried out in block 2" in script.good("watch", "a.json")
    if name == "change-council":
        script.good("halt", "b.json", "--now", "--reason", "x")
        key = script.key(MEMBERS[0])
        assert "is not in the council" in script.refused("sign", "b.json", "--key", key)
        assert "is not in the council" in script.refused("sign", "a.json", "--key", key)


@pytest.mark.parametrize(
    ("command", "shown"),
    [
        ("settle-market 1 501234", "501234 (50123.4 USD, last accepted: "),
        ("set-parameter 1 taker_fee_ppm 7", "7 (today: 450)"),
        ("set-parameter 1 taker_fee_ppm 7", "1 (BTC-USD)"),
        ("set-parameter 9 taker_fee_ppm 7", "9 (the chain has no such market)"),
        ("set-mode 1 post-only", "1 (BTC-USD)"),
        ("set-parameter chain grace_ms 7", " UTC)"),
    ],
)
def test_what_is_signed_stands_beside_what_the_chain_has_today(
    script: Script, command: str, shown: str
) -> None:
    script.good(*command.split(), "a.json", "--reason", "x")

    assert shown in script.good("show", "a.json")


def test_an_announced_window_is_shown(script: Script) -> None:
    assert "maintenance  none" in script.good("status")
    window = ["--start", "5", "--halt", "9", "--ends-in", "60"]
    script.good("schedule-maintenance", "a.json", "--reason", "x", *window)
    script.sign("a.json", *MEMBERS[:3])
    script.good("submit", "a.json")
    script.chain.seal()

    assert "CANCEL_ONLY after block 5, HALTED after block 9, until 20" in script.good("status")


def test_a_new_market_under_an_id_that_is_taken_is_shown_so(script: Script) -> None:
    document = json.loads((ROOT / "genesis" / "minimal.json").read_text())["markets"][0]
    del document["id"]
    Path("sol.txt").write_text(json.dumps(document))

    assert "1 (taken: BTC-USD)" in script.good(
        "list-market", "1", "sol.txt", "a.json", "--reason", "x"
    )


def test_every_number_of_a_market_that_can_be_set_is_found(script: Script) -> None:
    market = script.chain.ask("perp_getMarkets")[0]
    fixed = {"symbol", "lot_decimals", "tick_decimals", "k", "brackets"}

    found = {name: find_parameter(market["params"], name) for name in MarketParams._fields}

    assert {name for name, value in found.items() if value is None} == fixed


def test_a_new_market_is_listed_out_of_a_file_as_genesis_has_it(script: Script) -> None:
    document = json.loads((ROOT / "genesis" / "minimal.json").read_text())["markets"][0]
    del document["id"]
    path = Path("sol.txt")
    path.write_text(json.dumps(document | {"symbol": "SOL-USD"}))

    made = script.good("list-market", "9", "sol.txt", "a.json", "--reason", "x")

    assert "params.symbol" in made
    assert "SOL-USD" in made
    script.sign("a.json", *MEMBERS[:3])
    script.good("submit", "a.json")
    script.chain.seal()
    assert "ListMarket was carried out in block 2, result 9" in script.good("watch", "a.json")
    assert "SOL-USD" in str(script.chain.ask("perp_getMarkets"))
    path.write_text(json.dumps(document | {"k": 3}))
    assert "k is 3" in script.refused("list-market", "9", "sol.txt", "b.json", "--reason", "x")
    path.write_text("{")
    assert "sol.txt: line 1" in script.refused(
        "list-market", "9", "sol.txt", "b.json", "--reason", "x"
    )
    assert "can't be read" in script.refused("list-market", "9", "none", "b.json", "--reason", "x")


def test_validators_of_a_chain_without_any_are_refused_in_the_nodes_words(script: Script) -> None:
    script.good("change-validators", "a.json", "--reason", "x", "--validator", f"{KEY}:5")
    script.sign("a.json", *MEMBERS[:3])

    assert "InvalidValidators" in script.refused("submit", "a.json")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["schedule-maintenance", "a.json"], "or --call-off alone"),
        (["schedule-maintenance", "a.json", "--call-off", "--start", "4"], "or --call-off alone"),
        (
            ["schedule-maintenance", "a.json", "--start", "4", "--halt", "4", "--ends-in", "9"],
            "bef",
        ),
        (["settle-market", "1", "0", "a.json"], "more than 0 ticks"),
        (["change-council", "a.json", "--member", "0x12", "--threshold", "1"], "is no address"),
        (["change-council", "a.json", "--member", ELSE, "--threshold", "2"], "threshold is 2"),
        (
            ["change-council", "a.json", "--member", ELSE, "--member", ELSE, "--threshold", "2"],
            "twice",
        ),
        (["change-validators", "a.json", "--validator", KEY], "a colon and a power"),
        (
            ["change-validators", "a.json", "--validator", KEY + ":1", "--validator", KEY + ":2"],
            "twice",
        ),
        (["set-parameter", "x", "k", "1", "a.json"], "is no market"),
        (["set-parameter", "chain", "k", "1", "a.json"], "the chain has no such parameter"),
        (["set-parameter", "1", "grace_ms", "1", "a.json"], "a market has no such parameter"),
        (["set-parameter", "1", "k", "1.5", "a.json"], "is no whole number"),
        (["set-parameter", "1", "k", "9" * 19, "a.json"], "value"),
        (["set-reporters", "a.json", "--reporter", ELSE, "--quorum", "2"], "must be 1 to the 1"),
        (["set-brackets", "1", "a.json", "--bracket", "5"], "a colon and ppm"),
    ],
)
def test_what_makes_no_reform_is_refused(script: Script, arguments: list[str], words: str) -> None:
    assert words in script.refused(*arguments, "--reason", "x")
    assert not (script.directory / "a.json").exists()


def test_a_rule_that_refuses_is_told_in_the_nodes_words(script: Script) -> None:
    script.good("acknowledge-jump", str(MARKET), "500000", "jump.json", "--reason", "x")
    script.sign("jump.json", *MEMBERS[:3])

    assert "NoJump" in script.refused("submit", "jump.json")


def test_where_no_block_can_be_built_the_halt_holds_the_node(script: Script) -> None:
    script.chain.sequencer.failure = HeaderMismatch(9, "state_root", 0, 1)
    assert "next: no block can be built: halt the chain" in script.good("status")
    script.good("halt", "halt.json", "--now", "--reason", "x")
    script.sign("halt.json", *MEMBERS[:3])

    assert "the node holds, durably" in script.good("submit", "halt.json")

    assert "the node is held by this halt" in script.good("watch", "halt.json")
    assert "resume it, or leave this branch" in script.good("status")


def test_a_node_that_is_not_there_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["rollback", "status", "--rpc", "http://127.0.0.1:1"])

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 1
    assert "no node answers at http://127.0.0.1:1" in capsys.readouterr().err
