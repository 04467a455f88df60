"""The .io files of `tests/rpc/io`: requests, and the answers that a node gives; see its README.

Run as a module it writes every answer, and the reference made of them, anew:

    .venv/bin/python -m tests.rpc.io_files
"""

import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest import mock

import orjson

from node.governance.refund import Refund, build_proof, make_refund_tree
from node.rpc import node_info, perp, recovery
from node.rpc.methods import METHODS
from node.rpc.subscriptions import Subscriber
from node.snapshot.export import ExportJob
from node.units import Hash32, Quote
from tests.helpers.council import LATE, MEMBERS, signature_of
from tests.helpers.schemas import require_params, require_schema
from tests.rpc.chain import MARKET, PRICE, Chain, address
from tests.rpc.reference import render_reference

IO: Final = Path(__file__).parent / "io"
REFERENCE: Final = Path(__file__).parents[2] / "node" / "rpc" / "REFERENCE.md"
DIGITS: Final = re.compile(r"0x[0-9a-f]{64,}")
"""Hashes, roots, signatures, encoded records: they move with every byte of the protocol."""


class Exchange(NamedTuple):
    """A request as it stands in a file, and the answer beside it."""

    request: str
    answer: str


class IoFile(NamedTuple):
    """One file."""

    path: Path
    title: str
    chain: str
    """On which chain of `CHAINS` it is replayed."""
    exchanges: tuple[Exchange, ...]


# --- files ----------------------------------------------------------------------------------------


def list_files() -> list[Path]:
    """Return all files, by method and name."""
    return sorted(IO.glob("*/*.io"))


def read_file(path: Path) -> IoFile:
    """Read a file: comments first, the second one naming its chain, then requests and answers."""
    lines = path.read_text().splitlines()
    title, chain = (line.removeprefix("// ") for line in lines[:2])
    requests = [line[3:] for line in lines[2:] if line.startswith(">> ")]
    answers = [line[3:] for line in lines[2:] if line.startswith("<< ")]
    assert len(requests) + len(answers) == len(lines) - 2, f"{path}: want >> and << lines"
    answers += [""] * (len(requests) - len(answers))
    exchanges = map(Exchange, requests, answers)
    return IoFile(path, title, chain.removeprefix("chain: "), tuple(exchanges))


def render_file(file: IoFile, answers: list[str]) -> str:
    """Return a file's text with these answers."""
    lines = [f"// {file.title}", f"// chain: {file.chain}"]
    for exchange, answer in zip(file.exchanges, answers, strict=True):
        lines += [f">> {exchange.request}", f"<< {answer}"]
    return "\n".join(lines) + "\n"


def normalize(text: str) -> str:
    """Return a text with each different long hex string as a number, by first appearance."""
    seen: dict[str, str] = {}
    return DIGITS.sub(lambda match: seen.setdefault(match[0], f"0x<{len(seen)}>"), text)


# --- replaying ------------------------------------------------------------------------------------


def replay(file: IoFile, directory: Path) -> list[str]:
    """Return what a chain of its own answers to a file's requests."""
    chain = Chain(directory)

    def clock() -> int:
        return chain.now_ms + 60_000

    with (
        mock.patch.object(perp, "CLIENT_VERSION", "perpnode"),
        mock.patch.object(node_info, "CLIENT_VERSION", "perpnode"),
        mock.patch.object(recovery, "wall_time_ms", clock),
        mock.patch("secrets.randbits", return_value=0xA),
        closing(chain.core),
    ):
        CHAINS[file.chain](chain)
        return list(_answer(file, chain))


def _answer(file: IoFile, chain: Chain) -> Iterator[str]:
    context = chain.context(subscriber=Subscriber())
    last: Any = None
    for exchange in file.exchanges:
        request = fill(json.loads(exchange.request), last)
        body = chain.answer(orjson.dumps(request), context)
        assert body is not None, "a request has an answer"
        answer = json.loads(body)
        if "result" in answer:
            require_params(request["method"], request["params"])
            require_schema(request["method"], answer["result"])
        last = answer.get("result")
        yield json.dumps(answer, ensure_ascii=False)


def fill(value: Any, last: Any) -> Any:
    """Return a request with its references to the answer before it filled in."""
    if isinstance(value, list):
        return [fill(each, last) for each in value]
    if isinstance(value, dict):
        return {name: fill(each, last) for name, each in value.items()}
    if value == "@signatures":
        digest = Hash32(bytes.fromhex(last["digest"][2:]))
        return ["0x" + signature_of(digest, member).hex() for member in MEMBERS[:3]]
    if isinstance(value, str) and value.startswith("@result"):
        for name in value.split(".")[1:]:
            last = last[int(name) if isinstance(last, list) else name]
        return last
    return value


# --- chains ---------------------------------------------------------------------------------------


def trade(chain: Chain) -> None:
    """Open the first market, trade in it, leave an order and a trigger, make a snapshot, go on."""
    chain.open_market()
    chain.trade()
    _seal(chain, ("maker", "placeOrder", MARKET, -300, PRICE + 50, 0, False))
    _seal(chain, ("taker", "placeTrigger", MARKET, -100, PRICE - 20_000, 0))
    head = chain.blockchain.head.block
    ExportJob(chain.blockchain, head, chain.snapshots).finish()
    _seal(chain, ("taker", "placeOrder", MARKET, 40, PRICE + 10, 1, False))
    _seal(chain, ("taker", "placeOrder", MARKET, 90, PRICE + 50, 1, False))


def halt(chain: Chain) -> None:
    """Trade, and have the council halt the chain."""
    trade(chain)
    fields = {
        "height": 0,
        "expiresAt": LATE,
        "expiresAtHeight": LATE,
        "reason": "a rehearsal",
        "nonce": "0x" + "11" * 32,
    }
    made = chain.ask("gov_getTypedData", "Halt", fields)
    chain.ask("gov_submitAction", made["typedData"], fill("@signatures", made))
    chain.seal()


def compensate(chain: Chain) -> None:
    """Trade, have the council repay maker and taker out of the vault, and pay the taker's."""
    trade(chain)
    refunds = [
        Refund(index, address(role), Quote(amount))
        for index, (role, amount) in enumerate((("maker", 1_500_000), ("taker", 2_500_000)))
    ]
    tree = make_refund_tree(refunds)
    fields = {
        "source": "LiquidatorVault",
        "root": "0x" + tree.root.hex(),
        "refunds": 2,
        "total": 4_000_000,
        "cap": 5_000_000,
        "payUntil": chain.now_ms // 1_000 + 3_600,
        "expiresAt": LATE,
        "expiresAtHeight": LATE,
        "reason": "a rehearsal",
        "nonce": "0x" + "11" * 32,
    }
    made = chain.ask("gov_getTypedData", "Compensate", fields)
    chain.ask("gov_submitAction", made["typedData"], fill("@signatures", made))
    chain.seal()
    proofs = [build_proof(tree, 1)]
    chain.send(chain.sign_call("sender", "LiquidatorVault", "payRefunds", 1, refunds[1:], proofs))
    chain.seal()


def fork(chain: Chain) -> None:
    """Halt, and fork to the snapshot, which undoes two trades."""
    halt(chain)
    made = chain.ask("perp_makeForkPlan", {"reason": "a rehearsal"})
    chain.ask("perp_submitForkPlan", made["plan"], fill("@signatures", made))
    chain.now_ms += 60_000
    for _ in range(5):
        chain.seal()


def _seal(chain: Chain, *calls: tuple[Any, ...]) -> None:
    for role, function, *arguments in calls:
        chain.send(chain.sign_call(role, "Exchange", function, *arguments))
    chain.report()
    chain.seal()


CHAINS: Final[dict[str, Callable[[Chain], None]]] = {
    "traded": trade,
    "halted": halt,
    "forked": fork,
    "compensated": compensate,
}


# --- writing them anew ----------------------------------------------------------------------------


def make_reference() -> str:
    """Return the reference of all methods that have files, with the first one as an example."""
    examples: dict[str, list[tuple[str, str, str]]] = {}
    for path in list_files():
        file = read_file(path)
        for exchange in file.exchanges[-1:]:
            told = (file.title, exchange.request, exchange.answer)
            examples.setdefault(path.parent.name, []).append(told)
    return render_reference(METHODS, examples)


def write_all() -> None:
    """Write every file's answers, and the reference, as this node gives them."""
    for path in list_files():
        file = read_file(path)
        with tempfile.TemporaryDirectory() as directory:
            path.write_text(render_file(file, replay(file, Path(directory))))
    REFERENCE.write_text(make_reference())


if __name__ == "__main__":
    write_all()
