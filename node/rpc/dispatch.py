"""From a body of bytes to the answer's bytes: JSON-RPC 2.0, single requests and batches.

Every element of a batch is answered by itself, in order. Consecutive calls of a `batched` method
(raw transactions) go out as one call, so that they are taken in order. Whatever goes wrong becomes
an error answer: here stands the one `except Exception` of the front.
"""

import asyncio
from collections.abc import Mapping, Sequence
from inspect import iscoroutinefunction
from time import perf_counter
from typing import Any, Final

import orjson
import structlog

from node.rpc.context import Context
from node.rpc.errors import (
    InternalError,
    InvalidRequest,
    MethodNotFound,
    ParseError,
    ResponseTooLarge,
    RpcError,
    render_error,
    to_rpc_error,
)
from node.rpc.methods import METHODS, Method
from node.rpc.metrics import Metrics
from node.rpc.parameters import read_params
from node.rpc.requests import BATCH_MAX, BODY_MAX, SUBMIT_PLAN, compute_body_max

ANSWERS_BYTES_MAX: Final = 25 * 1024 * 1024
"""Of a batch's answers together; what comes after is not executed, as in geth."""
SLICE_SECONDS: Final = 0.005
"""After so long a batch lets others have their turn."""

_log = structlog.get_logger(__name__)


class _Call:
    """One element of a batch: a method and its arguments until it has an answer."""

    __slots__ = ("answer", "arguments", "id", "method", "name")

    def __init__(self) -> None:
        self.id = b"null"
        """Empty for a notification, which gets no answer."""
        self.name = ""
        self.method: Method | None = None
        self.arguments: list[Any] = []
        self.answer: bytes | None = None

    def succeed(self, result: object) -> None:
        """Answer with a result."""
        if isinstance(result, Exception):
            self.fail(result)
        else:
            self.answer = b'{"jsonrpc":"2.0","id":%b,"result":%b}' % (self.id, orjson.dumps(result))

    def fail(self, error: Exception) -> None:
        """Answer with an error."""
        self.answer = render_error(to_rpc_error(error) or InternalError(), self.id or b"null")


def _hands_in_plan(message: object) -> bool:
    return isinstance(message, dict) and message.get("method") == SUBMIT_PLAN


class Dispatcher:
    """Answers by a table of methods."""

    def __init__(
        self, methods: Mapping[str, Method] = METHODS, *, metrics: Metrics | None = None
    ) -> None:
        self._methods = methods
        self._metrics = metrics
        self._coroutines = frozenset(
            method.answer for method in methods.values() if iscoroutinefunction(method.answer)
        )

    async def answer(self, context: Context, body: bytes | str) -> bytes | None:
        """Return the answer to a body, None if it holds nothing but notifications."""
        too_large = InvalidRequest(f"request too large: at most {BODY_MAX} bytes")
        if len(body) > compute_body_max(body):
            return render_error(too_large)
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            return render_error(ParseError(f"parse error: {error}"))
        if len(body) > BODY_MAX and not _hands_in_plan(message):
            return render_error(too_large)
        if not isinstance(message, list):
            answers = await self._answer_all(context, [message])
            return answers[0] if answers else None
        if not message:
            return render_error(InvalidRequest("empty batch"))
        if len(message) > BATCH_MAX:
            return render_error(InvalidRequest(f"batch too large: at most {BATCH_MAX} requests"))
        answers = await self._answer_all(context, message)
        return b"[" + b",".join(answers) + b"]" if answers else None

    async def _answer_all(self, context: Context, elements: Sequence[object]) -> list[bytes]:
        calls = [self._read(context, element) for element in elements]
        answers: list[bytes] = []
        size = 0
        now = asyncio.get_running_loop().time
        turn_began = now()
        for index, call in enumerate(calls):
            if call.answer is None and size > ANSWERS_BYTES_MAX:
                call.fail(ResponseTooLarge("response too large"))
            elif call.answer is None:
                await self._execute(context, call, calls, index)
            assert call.answer is not None, "an executed call has its answer"
            if call.id:
                answers.append(call.answer)
                size += len(call.answer)
            if now() - turn_began > SLICE_SECONDS:
                await asyncio.sleep(0)
                turn_began = now()
        return answers

    def _read(self, context: Context, element: object) -> _Call:
        """Return the call that an element asks for, answered already if it asks wrongly."""
        call = _Call()
        if not isinstance(element, dict):
            call.fail(InvalidRequest("invalid request"))
            return call
        call_id, name = element.get("id", call), element.get("method")
        is_id = call_id is call or call_id is None or isinstance(call_id, str | int | float)
        if is_id and not isinstance(call_id, bool):
            call.id = b"" if call_id is call else orjson.dumps(call_id)
        else:
            name = None
        if element.get("jsonrpc") != "2.0" or not isinstance(name, str):
            call.id = call.id or b"null"
            call.fail(InvalidRequest("invalid request"))
            return call
        call.name = name
        try:
            method = self._methods.get(name)
            if method is None or not method.is_offered(context.core):
                raise MethodNotFound(name)
            if method.guarded:
                context.session.require_trust()
            params = element.get("params")
            if method.is_named and isinstance(params, dict):
                params = [params.get(each.name) for each in method.params]
            call.arguments = read_params(method.params, [] if params is None else params)
            call.method = method
        except RpcError as error:
            call.fail(error)
        return call

    async def _execute(
        self, context: Context, call: _Call, calls: Sequence[_Call], index: int
    ) -> None:
        """Give a call its answer, and with it the calls that its method takes at once."""
        method = call.method
        assert method is not None, "a call without a method is answered when it is read"
        group = _consecutive(calls, index) if method.batched else [call]
        began = perf_counter()
        try:
            if method.batched:
                arguments = [each.arguments for each in group]
                results = await method.answer(context, arguments)
                for each, result in zip(group, results, strict=True):
                    each.succeed(result)
            elif method.answer in self._coroutines:
                call.succeed(await method.answer(context, *call.arguments))
            else:
                call.succeed(method.answer(context, *call.arguments))
        except Exception as error:
            self._note_failure(call.name, error)
            for each in group:
                each.fail(error)
        if self._metrics is not None:
            self._metrics.on_answer(call.name, perf_counter() - began)

    def _note_failure(self, method: str, error: Exception) -> None:
        """Log and count what nobody raised on purpose."""
        if to_rpc_error(error) is None:
            _log.error("rpc_method_failed", method=method, exc_info=error)
            if self._metrics is not None:
                self._metrics.on_failure(method)


def _consecutive(calls: Sequence[_Call], index: int) -> list[_Call]:
    """Return the calls of one method from `index` on; wrong requests between don't part them."""
    group: list[_Call] = []
    for call in calls[index:]:
        if call.answer is not None:
            continue
        if call.method is not calls[index].method:
            break
        group.append(call)
    return group
