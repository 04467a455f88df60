"""The front: answers what it still knows, finds out who signed, and asks the core's side the rest.

Answers that depend on nothing but the heads are kept until one of them moves; the core's side says
which those are. Raw transactions are decoded, hashed and their senders recovered here, off the
core's processor, and handed on in order.
"""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from node.chain.transaction import Transaction, decode_transaction
from node.errors import InvalidTransaction
from node.rpc.backend import Asker, Backend
from node.rpc.errors import InvalidRequest, render_error, render_refusal
from node.rpc.requests import (
    BODY_MAX,
    SEND_RAW,
    Call,
    RawTransaction,
    compute_body_max,
    read_call,
    read_message,
    read_raw_transactions,
)

KEPT_BYTES_MAX: Final = 64 * 1024 * 1024
"""Of all answers that are kept, with their arguments."""
KEPT_OVERHEAD: Final = 300
"""Bytes that Python needs for a kept answer besides: two objects and their place in a table."""
KEPT_ONE_MAX: Final = 4 * 1024 * 1024
ARGUMENTS_MAX: Final = 4_096
"""A body that is longer is not looked up."""
INLINE_MAX: Final = 64
"""A longer batch is decoded in a thread (50 µs a transaction, most of it recovery). A shorter one
is not: on two processors a thread that computes for 3 ms keeps the loop waiting for one of them."""
AT_ONCE: Final = 2
"""So many are decoded before others have their turn."""
THREADS: Final = 2
_SEND_RAW: Final = SEND_RAW.encode()


class Cache:
    """Answers by method and arguments, while the heads stay where they are."""

    def __init__(self) -> None:
        self._answers: dict[tuple[str, bytes], bytes] = {}
        self._changes = 0
        self._room = KEPT_BYTES_MAX

    def find(self, call: Call, changes: int) -> bytes | None:
        """Return the answer to a call if it still holds."""
        if changes != self._changes:
            self._clear(changes)
            return None
        end = self._answers.get(call[1:])
        return None if end is None else b'{"jsonrpc":"2.0","id":%b,%b' % (call.id, end)

    def keep(self, call: Call, answer: bytes, changes: int) -> None:
        """Keep a result; errors are not kept, nor what `pending` may change at any time."""
        if changes != self._changes:
            self._clear(changes)
        start = b'{"jsonrpc":"2.0","id":%b,' % call.id
        size = KEPT_OVERHEAD + len(answer) + len(call.params)
        if not answer.startswith(start + b'"result":') or b'"pending"' in call.params:
            return
        if size <= min(self._room, KEPT_ONE_MAX):
            self._room -= size
            self._answers[call[1:]] = answer[len(start) :]

    def _clear(self, changes: int) -> None:
        self._answers.clear()
        self._changes = changes
        self._room = KEPT_BYTES_MAX


class Front:
    """Answers bodies, over HTTP or in a conversation."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._cache = Cache()
        self._lasting: set[str] = set()
        """Methods whose answers the core's side said to keep."""
        self._asked: dict[tuple[str, bytes], asyncio.Event] = {}
        """What is being asked of these, set when it is answered."""
        self.kept_answers = 0
        """So many were given of what was kept."""
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="front")

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()

    def read(self, body: bytes) -> Call | None:
        """Return the call that a body is if its answer may be at hand."""
        if len(body) > ARGUMENTS_MAX or _SEND_RAW in body:
            return None
        return read_call(read_message(body))

    def find(self, call: Call | None) -> bytes | None:
        """Return the answer to a call that was read if it is at hand."""
        answer = None if call is None else self._cache.find(call, self.backend.changes)
        self.kept_answers += answer is not None
        return answer

    async def answer(self, asker: Asker, body: bytes) -> bytes | None:
        """Return the answer to a body, None if it holds nothing but notifications."""
        call = self.read(body)
        answer = self.find(call)
        return await self.ask(asker, body, call) if answer is None else answer

    async def ask(self, asker: Asker, body: bytes, call: Call | None) -> bytes | None:
        """Return the answer to a body that was read and is not at hand."""
        if call is None:
            answer = await self._answer_raw(body)
            return (await self.backend.answer(asker, None, body)).body if answer is None else answer
        if call.method not in self._lasting:
            return await self._ask(asker, body, call)
        if (asked := self._asked.get(call[1:])) is not None:
            await asked.wait()  # many ask the same whenever a head comes
            answer = self.find(call)
            return await self._ask(asker, body, call) if answer is None else answer
        asked = self._asked[call[1:]] = asyncio.Event()
        try:
            return await self._ask(asker, body, call)
        finally:
            del self._asked[call[1:]]
            asked.set()

    async def _ask(self, asker: Asker, body: bytes, call: Call) -> bytes | None:
        reply = await self.backend.answer(asker, call.method, body)
        if reply.changes is not None and reply.body is not None:
            self._lasting.add(call.method)
            if reply.changes == self.backend.changes:
                self._cache.keep(call, reply.body, reply.changes)
        return reply.body

    async def answer_here(self, body: bytes) -> bytes | None:
        """Return the answer to a body if only raw transactions are in it, or it is at hand."""
        call = self.read(body)
        return self.find(call) if call is not None else await self._answer_raw(body)

    async def _answer_raw(self, body: bytes) -> bytes | None:
        """Return the answer to a body of raw transactions, or that is too long; else None."""
        if len(body) > compute_body_max(body):
            return render_error(InvalidRequest(f"request too large: at most {BODY_MAX} bytes"))
        if _SEND_RAW not in body:
            return None
        message = read_message(body)
        calls = read_raw_transactions(message)
        if calls is None:
            return None
        answers = await self._submit(calls)
        return b"[" + b",".join(answers) + b"]" if isinstance(message, list) else answers[0]

    async def _submit(self, calls: Sequence[RawTransaction]) -> list[bytes]:
        if len(calls) <= INLINE_MAX:
            decoded = _decode(calls[:AT_ONCE])
            for at in range(AT_ONCE, len(calls), AT_ONCE):
                await asyncio.sleep(0)
                decoded += _decode(calls[at : at + AT_ONCE])
        else:
            loop = asyncio.get_running_loop()
            decoded = await loop.run_in_executor(self._threads, _decode, calls)
        transactions = [each for each in decoded if isinstance(each, Transaction)]
        refusals = iter(await self.backend.admit(transactions) if transactions else ())
        answers = []
        for call, tx in zip(calls, decoded, strict=True):
            refusal = next(refusals) if isinstance(tx, Transaction) else render_refusal(tx)
            if refusal is not None:
                answers.append(b'{"jsonrpc":"2.0","id":%b,"error":%b}' % (call.id, refusal))
            else:
                assert isinstance(tx, Transaction), "what is not decoded is refused"
                answer = '{"jsonrpc":"2.0","id":%s,"result":"0x%s"}'
                answers.append((answer % (call.id.decode(), tx.hash.hex())).encode())
        return answers


def _decode(calls: Sequence[RawTransaction]) -> list[Transaction | InvalidTransaction]:
    """Return each transaction with its sender, or why it is none."""
    decoded: list[Transaction | InvalidTransaction] = []
    for call in calls:
        try:
            decoded.append(decode_transaction(call.raw))
        except InvalidTransaction as refusal:
            decoded.append(refusal)
    return decoded
