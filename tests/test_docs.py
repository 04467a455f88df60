"""What exists is written down: methods, commands, genesis fields, rules. Add a row for a new kind.

A kind is what the code names and the document that must name it too. Rules go both ways: what the
package docstring of the rules promises is cited where it is implemented and where it is tested.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import typer.main

import node.chain.execution
import node.perp
from node.cli.main import app
from node.devnet.template import TEMPLATE
from node.rpc.methods import METHODS

ROOT = Path(__file__).parents[1]
README = "README.md"

RULES = [
    *("M1", "M2", "M3", "M4", "G1", "G2", "G3", "G4", "G5"),
    *("O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "P1", "P2", "P3", "F1", "F2", "F3", "F4"),
    *("L1", "L2", "L3", "L4", "L5", "L6", "X1", "X2", "X3", "X4", "X5"),
    *("I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9"),
]
"""The rules of this version."""
RULE = re.compile(r"\b([MGOPFLXI][1-9])\b")


def _commands() -> Iterable[str]:
    pending: list[tuple[str, Any]] = [("perpnode", typer.main.get_command(app))]
    while pending:
        name, command = pending.pop()
        children = getattr(command, "commands", {})
        pending += [(f"{name} {child}", value) for child, value in children.items()]
        if not children:
            yield name


def _options() -> Iterable[str]:
    devnet = typer.main.get_command(app).commands["devnet"]  # type: ignore[attr-defined]
    for parameter in devnet.params:
        yield from (option for option in parameter.opts if option.startswith("--"))


def _genesis_fields() -> Iterable[str]:
    pending: list[Any] = [json.loads(TEMPLATE.read_text())]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            yield from (f"`{name}`" for name in value)
            pending += value.values()
        elif isinstance(value, list):
            pending += value


KINDS: dict[str, tuple[Callable[[], Iterable[str]], str]] = {
    "RPC method": (lambda: METHODS, README),
    "command": (_commands, README),
    "devnet option": (_options, README),
    "make target": (lambda: _make_targets(), README),
    "genesis field": (_genesis_fields, "genesis/README.md"),
}
"""Kind → what the code names, and the document that must name it."""


def _make_targets() -> Iterable[str]:
    help_text = re.findall(r'@echo "(make [a-z-]+)', (ROOT / "Makefile").read_text())
    assert "make devnet" in help_text
    return help_text


def missing_from(document: str, names: Iterable[str]) -> list[str]:
    """Return the names that a document does not contain as whole words."""
    return sorted({n for n in names if not re.search(rf"(?<!\w){re.escape(n)}(?!\w)", document)})


@pytest.mark.parametrize("kind", KINDS)
def test_what_exists_is_documented(kind: str) -> None:
    named, document = KINDS[kind]
    names = list(named())

    assert names, f"no {kind} found: has its table moved?"
    assert missing_from((ROOT / document).read_text(), names) == [], f"not in {document}"


def test_a_missing_name_is_noticed() -> None:
    document = "`eth_getLogs` and eth_getBlockByNumber"

    assert missing_from(document, ["eth_getLogs", "eth_getBlock"]) == ["eth_getBlock"]


def rules_in(text: str) -> set[str]:
    """Return the rules that a text cites, ranges such as "I1 to I9" included."""
    cited = set(RULE.findall(text))
    for letter, first, last in re.findall(r"\b([MGOPFLXI])([1-9]) to \1([1-9])\b", text):
        cited |= {f"{letter}{number}" for number in range(int(first), int(last) + 1)}
    return cited


def test_the_rules_in_words_are_those_of_this_version() -> None:
    words = node.perp.__doc__ or ""
    order_of_a_block = node.chain.execution.__doc__ or ""

    stated = set(re.findall(r"^ +([MGOPFLXI][1-9])  ", words, re.MULTILINE))

    assert stated <= set(RULES), "stated and not listed here"
    assert set(RULES) <= rules_in(words + order_of_a_block), "listed here and not stated"


def _cited(folder: str, *, leaving_out: Iterable[Path]) -> set[str]:
    files = set((ROOT / folder).rglob("*.py")) - set(leaving_out)
    return {rule for file in files for rule in rules_in(file.read_text())}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_is_cited_by_code_and_by_a_test(rule: str) -> None:
    assert rule in CITED_BY_CODE, f"{rule} is implemented nowhere"
    assert rule in CITED_BY_TESTS, f"no test says that it tests {rule}"


CITED_BY_CODE = _cited("node", leaving_out=[ROOT / "node/perp/__init__.py"])
CITED_BY_TESTS = _cited("tests", leaving_out=[Path(__file__)])
