"""Repaying by the script: what is shown before it is signed, and a list paid to its last refund."""

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from node.devnet.keyfile import render_key_file
from node.devnet.keypair import Keypair
from node.governance.refund import Refund, build_proof, make_refund_tree, render_refunds
from node.perp.account import VAULT
from node.units import Address, Quote
from tests.helpers.council import MEMBERS
from tests.rpc.chain import Chain, address, key_of
from tests.tools.test_rollback import Script, script

__all__ = ["script"]

VAULT_ATOMS = 10**12
"""What the devnet's genesis gives the vault."""


class Sealing:
    """Seals a block again and again while a command waits for one."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.is_set():
            self._chain.seal()
            time.sleep(0.02)


def make_list(count: int) -> list[Refund]:
    return [
        Refund(index, Address(b"\xab" + bytes(17) + (index + 1).to_bytes(2, "big")), Quote(100))
        for index in range(count)
    ]


def write_list(script: Script, refunds: Sequence[Refund], name: str = "refunds.csv") -> str:
    (script.directory / name).write_text(render_refunds(refunds))
    return name


@pytest.fixture
def payer(script: Script) -> str:
    """The key file of somebody with native coin and no say."""
    path = script.directory.parent / "payer.json"
    path.write_text(render_key_file(Keypair(address("sender"), key_of("sender"))))
    path.chmod(0o600)
    return str(path)


def govern(script: Script, *arguments: str) -> str:
    """Draft, sign, submit and carry out a compensation; return what the draft showed."""
    made = script.good("compensate", *arguments, "--reason", "wrong liquidations")
    file = next(each for each in arguments if each.endswith(".json"))
    script.sign(file, *MEMBERS[:3])
    script.good("submit", file)
    script.chain.seal()
    assert "Compensate was carried out" in script.good("watch", file)
    return made


def test_a_list_is_repaid_from_the_draft_to_the_last_refund(script: Script, payer: str) -> None:
    refunds = make_list(120)
    file = write_list(script, refunds)
    assert "no compensation has the list" in script.refused("pay", file, "--key", payer)

    made = govern(script, file, "a.json", "--cap", "20000")

    assert "Repay a refund list out of the LiquidatorVault" in made
    assert "    0  0xAB00000000000000000000000000000000000001  0.000100 USDC" in made
    assert "total  120 accounts" in made
    assert "12000 (0.012000 USDC)" in made
    assert "20000 (0.020000 USDC)" in made
    before, after = VAULT_ATOMS / 10**6, (VAULT_ATOMS - 12_000) / 10**6
    assert f"LiquidatorVault (worth {before:.6f} USDC, then {after:.6f} USDC)" in made
    with Sealing(script.chain):
        paid = script.good("pay", file, "--key", payer)
    assert [f"paid {count} of 120" in paid for count in (50, 100, 120)] == [True] * 3
    assert "not paid      0.000000 USDC" in paid
    assert "sum           0.012000 USDC" in paid
    assert "all is paid" in script.good("pay", file, "--key", payer), "again is no harm"
    answer = json.loads(script.good("pay", file, "--key", payer, "--json"))
    assert (answer["paid"], answer["notPaid"], answer["total"]) == ("12000", "0", "12000")
    assert all(each["paidBlock"] for each in answer["refunds"])
    worth = script.chain.ask("perp_getAccount", "0x" + VAULT.hex())["equity"]["atoms"]
    assert worth == VAULT_ATOMS - 12_000


def test_a_payment_goes_on_where_others_stopped(script: Script, payer: str) -> None:
    refunds = make_list(3)
    file = write_list(script, refunds)
    govern(script, file, "a.json")
    proof = build_proof(make_refund_tree(refunds), 1)
    script.chain.send(
        script.chain.sign_call("maker", "LiquidatorVault", "payRefunds", 1, refunds[1:2], [proof])
    )
    script.chain.seal()

    with Sealing(script.chain):
        paid = script.good("pay", file, "--key", payer)

    assert "paid 3 of 3" in paid


def test_what_ended_before_all_was_paid_is_no_success(script: Script, payer: str) -> None:
    refunds = make_list(2)
    file = write_list(script, refunds)
    govern(script, file, "a.json", "--pay-within", "3600")
    script.chain.now_ms += 90_000_000
    script.chain.seal()

    outcome = script.run("pay", file, "--key", payer)

    assert outcome.status == 1
    assert outcome.out.count("not paid") == 3
    assert "2 of 2 refunds are not paid, and compensation 1 has ended" in outcome.err


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("nonsense", [], "line 1: is 'nonsense'"),
        ("\u00e9", [], "is no text of ASCII"),
        (None, [], "can't be read"),
        (
            "index,account,amount\n0,0x0000000000000000000000000000000000001005,1\n",
            [],
            "line 2: 0x0000000000000000000000000000000000001005 is a system account",
        ),
        (f"index,account,amount\n0,0x{'ab' * 20},{VAULT_ATOMS + 1}\n", [], "it can't pay"),
        (
            f"index,account,amount\n0,0x{'ab' * 20},{2**63 - 1}\n1,0x{'cd' * 20},1\n",
            [],
            f"sums to {2**63} atoms, more than {2**63 - 1}",
        ),
        (f"index,account,amount\n0,0x{'ab' * 20},9\n", ["--cap", "8"], "sums to 9 atoms"),
        (f"index,account,amount\n0,0x{'ab' * 20},9\n", ["--pay-within", "9"], "--pay-within 9"),
    ],
)
def test_a_list_that_can_not_be_paid_is_refused_before_anybody_signs(
    script: Script, text: str | None, options: list[str], words: str
) -> None:
    if text is not None:
        (script.directory / "refunds.csv").write_text(text)

    refused = script.refused("compensate", "refunds.csv", "a.json", "--reason", "x", *options)

    assert words in refused
    assert not Path("a.json").exists()


def test_a_chain_that_stands_says_so_to_who_pays(script: Script, payer: str) -> None:
    file = write_list(script, make_list(2))
    govern(script, file, "a.json")
    script.good("halt", "halt.json", "--now", "--reason", "x")
    script.sign("halt.json", *MEMBERS[:3])
    script.good("submit", "halt.json")
    script.chain.seal()

    assert "NotAllowedInMode" in script.refused("pay", file, "--key", payer)
