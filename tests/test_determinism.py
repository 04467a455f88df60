"""What two validators must compute alike contains nothing on which machines differ.

A small lint of the rules' syntax trees: no floating point, no true division, nothing that follows a
set's order, no hash or address of an object. Types are mypy's; this only needs the names that are
visibly sets within one module.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CONSENSUS = sorted(
    [
        *ROOT.glob("node/perp/**/*.py"),
        *ROOT.glob("node/governance/**/*.py"),
        ROOT / "node/chain/execution.py",
        ROOT / "node/units.py",
    ]
)

SET_CALLS = {"set", "frozenset"}
SET_TYPES = {"set", "frozenset", "Set", "AbstractSet", "MutableSet"}
ORDERED_CALLS = {
    *("list", "tuple", "iter", "next", "enumerate", "zip", "map", "filter", "sum"),
    *("extend", "join", "fromkeys", "chain"),
}
"""Calls whose result follows the order of what they read."""
SET_METHODS = {"union", "intersection", "difference", "symmetric_difference"}
FORBIDDEN_CALLS = {
    "float": "a float",
    "complex": "a float",
    "hash": "hash() differs between processes",
    "id": "id() is an address",
}


def _name(node: ast.expr) -> str | None:
    if isinstance(node, ast.Name):
        return node.id
    return node.attr if isinstance(node, ast.Attribute) else None


def _is_set_type(annotation: ast.expr | None) -> bool:
    if isinstance(annotation, ast.Subscript):
        annotation = annotation.value
    return annotation is not None and _name(annotation) in SET_TYPES


def _set_names(tree: ast.Module) -> set[str]:
    """Collect the names and attributes that the module declares or assigns as sets."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and _is_set_type(node.annotation):
            names.add(_name(node.target) or "")
        elif isinstance(node, ast.arg) and _is_set_type(node.annotation):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef) and _is_set_type(node.returns):
            names.add(node.name)
        elif isinstance(node, ast.Assign) and _is_set(node.value, names):
            names.update(name for name in map(_name, node.targets) if name)
    return names


def _is_set(node: ast.expr, names: set[str]) -> bool:
    match node:
        case ast.Set() | ast.SetComp():
            return True
        case ast.Name() | ast.Attribute():
            return _name(node) in names
        case ast.Call(func=ast.Attribute(value=value, attr=attr)) if attr in SET_METHODS:
            return _is_set(value, names)
        case ast.Call(func=func):
            return _name(func) in SET_CALLS | names
        case ast.BinOp(left=left, right=right, op=ast.BitOr() | ast.BitAnd() | ast.Sub()):
            return _is_set(left, names) or _is_set(right, names)
        case ast.IfExp(body=body, orelse=orelse):
            return _is_set(body, names) or _is_set(orelse, names)
        case _:
            return False


def find_nondeterminism(source: str) -> list[str]:
    """Return what a consensus module must not contain, as "line: what"."""
    tree = ast.parse(source)
    return sorted(f"{line}: {what}" for line, what in set(_findings(tree, _set_names(tree))))


def _findings(tree: ast.Module, sets: set[str]) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        for followed in _followed(node):
            if _is_set(followed, sets):
                yield followed.lineno, "follows a set's order"
        match node:
            case ast.Constant(value=float() | complex()):
                yield node.lineno, "a float"
            case ast.BinOp(op=ast.Div()) | ast.AugAssign(op=ast.Div()):
                yield node.lineno, "true division"
            case ast.Call(func=ast.Name(id=name)) if name in FORBIDDEN_CALLS:
                yield node.lineno, FORBIDDEN_CALLS[name]
            case _:
                pass


def _followed(node: ast.AST) -> list[ast.expr]:
    """Return the expressions whose order `node` follows."""
    match node:
        case ast.For(iter=source):
            return [source]
        case ast.ListComp() | ast.GeneratorExp() | ast.DictComp():
            return [generator.iter for generator in node.generators]
        case ast.Starred(value=source):
            return [source]
        case ast.Call(func=ast.Attribute(value=source, attr="pop"), args=[]):
            return [source]
        case ast.Call(func=func, args=args) if _name(func) in ORDERED_CALLS:
            return args
        case _:
            return []


@pytest.mark.parametrize("path", CONSENSUS, ids=lambda path: str(path.relative_to(ROOT)))
def test_consensus_code_computes_the_same_everywhere(path: Path) -> None:
    assert find_nondeterminism(path.read_text()) == []


@pytest.mark.parametrize(
    ("source", "what"),
    [
        ("x = 0.5", "a float"),
        ("x = float(1)", "a float"),
        ("x = 1j", "a float"),
        ("x = a / b", "true division"),
        ("x /= b", "true division"),
        ("for x in {1, 2}: pass", "follows a set's order"),
        ("for x in set(y): pass", "follows a set's order"),
        ("def f(y: set[int]) -> None:\n    for x in y: pass", "follows a set's order"),
        ("seen: set[int] = make()\nfirst = [x for x in seen]", "follows a set's order"),
        ("seen = {1} | other\nfirst = list(seen)", "follows a set's order"),
        ("class A:\n    y: frozenset[int]\n\nx = [*a.y]", "follows a set's order"),
        ("def f() -> set[int]: ...\nx = {y: 1 for y in f()}", "follows a set's order"),
        ("seen = set()\nx = seen.pop()", "follows a set's order"),
        ("x = hash(y)", "hash() differs between processes"),
        ("x = id(y)", "id() is an address"),
    ],
)
def test_the_lint_sees_what_it_looks_for(source: str, what: str) -> None:
    assert [finding.split(": ")[1] for finding in find_nondeterminism(source)] == [what]


@pytest.mark.parametrize(
    "source",
    [
        "x = a // b",
        "for x in sorted({1, 2}): pass",
        "seen = set()\nx = sorted(seen)\ny = 3 in seen\nz = len(seen)",
        "seen = {1}\nmore = {x + 1 for x in seen}",
        "x = any(y for y in [1])",
        "stack = [1]\nx = stack.pop()",
    ],
)
def test_the_lint_lets_sorted_sets_and_floors_pass(source: str) -> None:
    assert find_nondeterminism(source) == []
