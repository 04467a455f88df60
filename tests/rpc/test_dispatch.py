"""JSON-RPC 2.0 as libraries meet it: one answer for each element, in order, whatever it is."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from node.rpc import dispatch
from node.rpc.context import Context
from node.rpc.dispatch import Dispatcher
from node.rpc.methods import METHODS, Method
from node.rpc.origin import FOREIGN_ORIGIN
from node.rpc.parameters import Param, parse_bool
from node.rpc.requests import BATCH_MAX, BODY_MAX
from node.rpc.schemas import SCHEMAS
from tests.rpc.chain import Chain, text

INVALID = {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "invalid request"}}


def echo(context: Context, value: bool) -> Any:
    """Return the argument."""
    return value


async def fail(context: Context) -> Any:
    """Fail as a bug would."""
    raise ZeroDivisionError("a bug")


async def damage(context: Context) -> Any:
    """Do what no foreign page may."""
    return "done"


class Collector:
    """A batched method that notes its calls."""

    def __init__(self) -> None:
        self.calls: list[list[bool]] = []

    def table(self) -> dict[str, Method]:
        async def collect(context: Context, calls: Sequence[Sequence[bool]]) -> list[Any]:
            self.calls.append([value for (value,) in calls])
            return [value or ZeroDivisionError() for (value,) in calls]

        return {
            "test_echo": Method(echo, (Param("value", parse_bool),)),
            "test_fail": Method(fail),
            "test_damage": Method(damage, guarded=True),
            "test_collect": Method(collect, (Param("value", parse_bool),), batched=True),
        }


def request(method: str, *params: Any, **members: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)} | members


def ask(chain: Chain, message: Any, **context: Any) -> Any:
    """Return the answer of the test's own table."""
    body = message if isinstance(message, bytes) else orjson.dumps(message)
    answer = chain.answer(body, chain.context(**context), Dispatcher(Collector().table()))
    return None if answer is None else json.loads(answer)


def test_a_request_is_answered(traded: Chain) -> None:
    answer = ask(traded, request("test_echo", True))

    assert answer == {"jsonrpc": "2.0", "id": 1, "result": True}


@pytest.mark.parametrize("call_id", [0, -5, 1.5, 2.0, "seven", "", None, 2**63])
def test_ids_are_echoed_as_they_came(traded: Chain, call_id: Any) -> None:
    answer = ask(traded, request("test_echo", True, id=call_id))

    assert answer["id"] == call_id
    assert type(answer["id"]) is type(call_id)


@pytest.mark.parametrize("body", [b"", b"{", b"nonsense", b'{"id":1,}', b"\xff", b"[1", b"NaN"])
def test_what_is_no_json_is_a_parse_error_of_nobody(traded: Chain, body: bytes) -> None:
    answer = ask(traded, body)

    assert answer["id"] is None
    assert answer["error"]["code"] == -32700
    assert answer["error"]["message"].startswith("parse error")


def test_json_of_any_depth_is_answered(traded: Chain) -> None:
    for depth in (500, 5_000, 500_000):
        answer = ask(traded, b"[" * depth + b"]" * depth)

        error = answer[0]["error"] if isinstance(answer, list) else answer["error"]
        assert error["code"] in (-32700, -32600)


@pytest.mark.parametrize(
    "message",
    [
        5,
        "text",
        None,
        True,
        {},
        {"jsonrpc": "2.0", "method": 5},
        {"jsonrpc": "2.0", "id": [], "method": "test_echo"},
        {"jsonrpc": "2.0", "id": True, "method": "test_echo"},
        {"jsonrpc": "2.0", "id": {}, "method": "test_echo"},
    ],
)
def test_what_is_no_request_is_refused(traded: Chain, message: Any) -> None:
    assert ask(traded, message) == INVALID


@pytest.mark.parametrize(
    "message",
    [{"id": 1, "method": "test_echo"}, {"jsonrpc": "1.0", "id": 1, "method": "x"},
     {"jsonrpc": "2.0", "id": 1}, {"jsonrpc": "2.0", "id": 1, "result": 5}],
)  # fmt: skip
def test_a_wrong_request_keeps_its_id(traded: Chain, message: Any) -> None:
    assert ask(traded, message) == INVALID | {"id": 1}


def test_unknown_members_and_repeated_keys_do_no_harm(traded: Chain) -> None:
    body = (
        b'{"jsonrpc":"2.0","id":9,"id":1,"method":"test_fail","method":"test_echo",'
        b'"params":[true],"extra":{"a":1}}'
    )

    assert ask(traded, body) == {"jsonrpc": "2.0", "id": 1, "result": True}


def test_unknown_methods_are_refused_in_geths_words(traded: Chain) -> None:
    error = ask(traded, request("eth_nonsense"))["error"]

    message = "the method eth_nonsense does not exist/is not available"
    assert error == {"code": -32601, "message": message}


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ([], "missing value for required argument 0"),
        ([None], "missing value for required argument 0"),
        ([True, True], "too many arguments, want at most 1"),
        (["yes"], "invalid argument 0: cannot unmarshal non-boolean into a boolean"),
        ({"value": True}, "non-array args"),
        ("true", "non-array args"),
    ],
)
def test_bad_params_are_named(traded: Chain, params: Any, message: str) -> None:
    error = ask(traded, request("test_echo") | {"params": params})["error"]

    assert error == {"code": -32602, "message": message}


def test_params_may_be_absent_or_null(traded: Chain) -> None:
    absent = {"jsonrpc": "2.0", "id": 1, "method": "test_damage"}

    assert ask(traded, absent)["result"] == "done"
    assert ask(traded, absent | {"params": None})["result"] == "done"


def test_a_bug_is_an_internal_error_and_one_line_in_the_log(traded: Chain) -> None:
    with capture_logs() as logs:
        answer = ask(traded, request("test_fail"))

    assert answer["error"] == {"code": -32603, "message": "internal error"}
    assert [(line["event"], line["method"]) for line in logs] == [
        ("rpc_method_failed", "test_fail")
    ]


def test_each_element_of_a_batch_is_answered_in_order(traded: Chain) -> None:
    with capture_logs():
        answers = ask(
            traded,
            [request("test_echo", True, id="a"), 5, request("test_fail", id="b"), {"id": 2},
             request("test_echo", False, id="c")],
        )  # fmt: skip

    assert [answer["id"] for answer in answers] == ["a", None, "b", 2, "c"]
    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, -32600, -32603, -32600, None]


def test_an_empty_batch_is_one_refusal(traded: Chain) -> None:
    answer = ask(traded, [])

    assert answer["id"] is None
    assert answer["error"]["code"] == -32600


def test_notifications_are_carried_out_and_not_answered(traded: Chain) -> None:
    collector = Collector()
    notification = {"jsonrpc": "2.0", "method": "test_collect", "params": [True]}
    unknown = {"jsonrpc": "2.0", "method": "test_nonsense"}
    dispatcher = Dispatcher(collector.table())

    assert traded.answer(orjson.dumps(notification), dispatcher=dispatcher) is None
    assert traded.answer(orjson.dumps([notification, unknown]), dispatcher=dispatcher) is None
    assert collector.calls == [[True], [True]]
    batch = [notification, request("test_echo", True)]
    answer = traded.answer(orjson.dumps(batch), dispatcher=dispatcher)
    assert answer == b'[{"jsonrpc":"2.0","id":1,"result":true}]'


def test_consecutive_calls_of_a_batched_method_go_out_as_one(traded: Chain) -> None:
    collector = Collector()
    batch = [
        request("test_collect", True),
        request("test_collect", "wrong"),
        request("test_collect", False),
        request("test_echo", True),
        request("test_collect", True),
    ]

    with capture_logs():
        answer = traded.answer(orjson.dumps(batch), dispatcher=Dispatcher(collector.table()))

    assert collector.calls == [[True, False], [True]]
    answers = json.loads(answer or b"")
    codes = [each.get("error", {}).get("code") for each in answers]
    assert codes == [None, -32602, -32603, None, None]


def test_guarded_methods_are_refused_to_foreign_origins(traded: Chain) -> None:
    answer = ask(traded, request("test_damage"), refusal=FOREIGN_ORIGIN)

    message = "not allowed from this origin"
    assert answer["error"] == {"code": -32000, "message": message}
    assert ask(traded, request("test_damage"))["result"] == "done"
    assert ask(traded, request("test_echo", True), refusal=FOREIGN_ORIGIN)["result"] is True


def test_a_batch_has_a_largest_length(traded: Chain) -> None:
    batch = [request("test_echo", True)] * BATCH_MAX

    assert len(ask(traded, batch)) == BATCH_MAX
    answer = ask(traded, [*batch, batch[0]])
    assert answer["error"] == {
        "code": -32600,
        "message": "batch too large: at most 1000 requests",
    }


def test_a_body_has_a_largest_size(traded: Chain) -> None:
    answer = ask(traded, b'"' + b"x" * BODY_MAX + b'"')

    assert answer["id"] is None
    assert answer["error"]["code"] == -32600
    assert answer["error"]["message"].startswith("request too large")


def test_answers_have_a_largest_size_together(traded: Chain) -> None:
    async def run() -> Any:
        def much(context: Context) -> Any:
            return "x" * (dispatch.ANSWERS_BYTES_MAX // 2)

        dispatcher = Dispatcher({"test_much": Method(much)})
        body = orjson.dumps([request("test_much")] * 4)
        return json.loads(await dispatcher.answer(traded.context(), body) or b"")

    answers = asyncio.run(run())

    codes = [answer.get("error", {}).get("code") for answer in answers]
    assert codes == [None, None, -32003, -32003]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False)
    | st.text() | st.sampled_from(["0x", "0x0", "0x1", "latest", "pending", "0x" + "11" * 20,
                                   "0x" + "22" * 32, "newHeads", "logs"]),
    lambda inner: st.lists(inner, max_size=4)
    | st.dictionaries(
        st.text(max_size=5) | st.sampled_from(["to", "from", "data", "address", "topics",
                                               "fromBlock", "toBlock", "blockHash"]),
        inner,
        max_size=4,
    ),
    max_leaves=10,
)  # fmt: skip
LASTING = ("_mine", "fastForward", "LoggingEnabled")
"""What takes as long as one likes, or changes more than its own chain."""
requests = st.fixed_dictionaries(
    {
        "jsonrpc": st.just("2.0"),
        "id": st.integers(0, 9),
        "method": st.sampled_from(sorted(each for each in METHODS if not each.endswith(LASTING))),
        "params": st.lists(json_values, max_size=4) | json_values,
    }
)


def is_answer(answer: Any) -> bool:
    return (
        isinstance(answer, dict)
        and answer["jsonrpc"] == "2.0"
        and len(answer) == 3
        and ("result" in answer or isinstance(answer["error"]["message"], str))
    )


@pytest.fixture(scope="module")
def battered(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    """Return a chain of this test's own: the development helpers are among the methods."""
    chain = Chain(tmp_path_factory.mktemp("battered"))
    chain.open_market()
    chain.trade()
    yield chain
    chain.core.close()


@given(message=st.one_of(requests, json_values, st.lists(requests | json_values, max_size=5)))
def test_any_json_gets_a_well_formed_answer_and_is_no_bug(battered: Chain, message: Any) -> None:
    with capture_logs() as logs:
        answer = battered.answer(orjson.dumps(message, option=orjson.OPT_NON_STR_KEYS))

    assert [each for each in logs if each["log_level"] == "error"] == []
    if answer is not None:
        decoded = json.loads(answer)
        answers = decoded if isinstance(decoded, list) else [decoded]
        assert answers
        assert all(map(is_answer, answers))


TEXTS = ["\x00", "latest", "0x", "0x0", "0x5", hex(2**63 - 1), hex(2**63), "-1", "9" * 200, "1m",
         "0x02c0", "0x" + "f" * 64, "0x" + "0" * 64, text("maker"), text("taker"), "0x" + "f" * 40,
         "0x0000000000000000000000000000000000001002"]  # fmt: skip
EDGES: dict[str, st.SearchStrategy[Any]] = {
    "integer": st.sampled_from([0, 1, -1, 2, 100, 2**32, 2**53, 2**63 - 1, 2**63, 2**64 - 1]),
    "number": st.sampled_from([0, 1.5, -0.0, 1e308, 2**64 - 1]),
    "boolean": st.booleans(),
    "null": st.none(),
}  # fmt: skip


def shaped(schema: Any) -> st.SearchStrategy[Any]:
    """Return values of a published shape, now and then of none."""
    if "$ref" in schema:
        return st.deferred(lambda: shaped(SCHEMAS[schema["$ref"].rpartition("/")[2]]))
    for choice in ("oneOf", "anyOf"):
        if choice in schema:
            return st.one_of([shaped(each) for each in schema[choice]])
    if "const" in schema or "enum" in schema:
        return st.sampled_from(schema.get("enum") or [schema["const"]])
    kind = schema.get("type")
    if kind == "object":
        members = schema.get("properties", {}).items()
        return st.fixed_dictionaries({}, optional={name: shaped(each) for name, each in members})
    if kind == "array":
        return st.lists(shaped(schema.get("items", {})), max_size=3)
    if kind == "string":
        return st.sampled_from(
            [each for each in TEXTS if re.search(schema.get("pattern", ""), each)]
        )
    return EDGES.get(kind, json_values)


ARGUMENTS = {
    name: st.tuples(*(shaped(each.schema) | json_values for each in method.params))
    for name, method in METHODS.items()
    if not name.endswith((*LASTING, "_mine_detailed", "anvil_reorg", "_reset", "rollback"))
}


@given(st.data())
def test_arguments_of_the_published_shape_are_no_bug(battered: Chain, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ARGUMENTS)))
    params = data.draw(ARGUMENTS[name])

    with capture_logs() as logs:
        answer = battered.post(request(name, *params))

    assert [each for each in logs if each["log_level"] == "error"] == []
    assert is_answer(answer)


@given(st.binary(max_size=200))
def test_any_bytes_get_a_well_formed_answer(traded: Chain, body: bytes) -> None:
    answer = traded.answer(body)

    if answer is not None:
        decoded = json.loads(answer)
        assert all(map(is_answer, decoded if isinstance(decoded, list) else [decoded]))
