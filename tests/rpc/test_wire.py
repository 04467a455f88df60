"""Front and core over a socket: nothing altered, nothing lost, nothing grows without bound."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.chain.transaction import (
    UnsignedTransaction,
    sign_transaction,
)
from node.rpc import core_end, subscriptions
from node.rpc.backend import GOING_AWAY, TOO_SLOW, Asker
from node.rpc.context import Context
from node.rpc.desk import Desk
from node.rpc.methods import METHODS, Method
from node.rpc.wire import decode_transaction, encode_transaction
from node.units import Address, Wei
from tests.rpc.chain import Chain, key_of
from tests.rpc.seam import linked

ASKER = Asker("client", None)
CHAIN_ID = b'{"jsonrpc":"2.0","id":1,"method":"eth_chainId"}'
SUBSCRIBE = b'{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'

numbers = st.integers(0, 2**256 - 1)
words = st.binary(min_size=32, max_size=32)
entries = st.tuples(st.binary(min_size=20, max_size=20), st.lists(words).map(tuple))
access_lists = st.lists(entries).map(tuple)


@given(numbers, numbers, numbers, st.binary(max_size=300), access_lists, st.sampled_from([0, 1, 2]))
def test_a_transaction_comes_over_as_it_is(
    chain_id: int, fee: int, value: int, data: bytes, access: Any, kind: int
) -> None:
    unsigned = UnsignedTransaction(
        type=kind,
        chain_id=chain_id,
        nonce=2**64 - 2,
        max_priority_fee=Wei(fee),
        max_fee=Wei(fee),
        gas_limit=2**64 - 1,
        to=Address(b"\x01" * 20),
        value=Wei(value),
        data=data,
        access_list=access if kind else (),
    )
    signed = sign_transaction(unsigned, key_of("sender"))

    sent = msgpack.unpackb(msgpack.packb(encode_transaction(signed)), use_list=False)

    assert decode_transaction(sent) == signed


def test_two_hundred_ask_at_once_and_each_has_its_own_answer(traded: Chain) -> None:
    async def run() -> list[Any]:
        async with linked(Desk(traded.core)) as (_, end):
            bodies = [CHAIN_ID.replace(b'"id":1', b'"id":%d' % number) for number in range(200)]
            replies = await asyncio.gather(*(end.answer(ASKER, None, each) for each in bodies))
            return [json.loads(reply.body or b"")["id"] for reply in replies]

    assert asyncio.run(run()) == list(range(200))


def test_a_large_answer_and_a_large_question_come_over_whole(traded: Chain) -> None:
    size = 20 * 1024 * 1024

    async def large(context: Context) -> Any:
        return "x" * size

    methods = {**METHODS, "test_large": Method(large)}

    async def run() -> None:
        async with linked(Desk(traded.core, methods)) as (_, end):
            asked = CHAIN_ID.replace(b"eth_chainId", b"test_large") + b" " * 5_000_000
            replies = await asyncio.gather(*(end.answer(ASKER, None, asked) for _ in range(3)))
            assert all(len(reply.body or b"") > size for reply in replies)

    asyncio.run(run())


def test_a_conversation_that_is_not_read_waits_in_the_core_and_stalls_nobody(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_end, "WINDOW_BYTES", 10_000)
    monkeypatch.setattr(subscriptions, "OUTBOX_MESSAGES_MAX", 400)

    async def run() -> None:
        desk = Desk(chain.core)
        async with linked(desk) as (_, end):
            slow, other = end.open(None), end.open(None)
            await slow.ask(b"[" + b",".join([SUBSCRIBE] * 100) + b"]")
            await other.ask(SUBSCRIBE)
            assert await other.take() is not None
            for height in range(1, 4):
                await asyncio.to_thread(chain.seal)
                told = json.loads(await other.take() or b"")
                assert told["params"]["result"]["number"] == hex(height)
                assert (await end.answer(ASKER, None, CHAIN_ID)).body is not None
            waiting = sum(map(len, slow._messages))
            assert 10_000 < waiting < 25_000, "the window, and the message that closed it"
            assert not slow.closed.is_set()

            for _ in range(4, 7):
                await asyncio.to_thread(chain.seal)
                assert await other.take() is not None
            await slow.closed.wait()

            assert slow.close_code == TOO_SLOW
            assert await slow.take() is None
            assert not other.closed.is_set()
            slow.end()

    asyncio.run(run())


def test_a_conversation_that_is_read_late_has_everything_in_order(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(core_end, "WINDOW_BYTES", 2_000)

    async def run() -> list[int]:
        async with linked(Desk(chain.core)) as (_, end):
            told = end.open(None)
            await told.ask(SUBSCRIBE)
            for _ in range(30):
                await asyncio.to_thread(chain.seal)
            await told.take()
            heads = [json.loads(await told.take() or b"") for _ in range(30)]
            return [int(head["params"]["result"]["number"], 16) for head in heads]

    assert asyncio.run(run()) == list(range(1, 31))


def test_a_front_that_is_gone_leaves_nothing_in_the_core(chain: Chain) -> None:
    async def run() -> None:
        desk = Desk(chain.core)
        async with linked(desk) as (core, end):
            told = end.open(None)
            await told.ask(SUBSCRIBE)
            await told.ask(b'{"jsonrpc":"2.0","id":1,"method":"eth_newBlockFilter"}')
            assert len(desk._subscriptions._subscribers) == 1
            end.close()
            await core.ended.wait()
            await asyncio.to_thread(chain.seal)
            assert desk._subscriptions._subscribers == set()
            assert desk._filters._owned == {}
        async with linked(desk) as (_, again):
            assert (await again.answer(ASKER, None, CHAIN_ID)).body is not None

    asyncio.run(run())


def test_a_core_that_is_gone_ends_every_conversation(chain: Chain) -> None:
    async def run() -> None:
        async with linked(Desk(chain.core)) as (core, end):
            told = end.open(None)
            core.close()
            await end.stopping.wait()
            assert await told.take() is None
            assert told.close_code == GOING_AWAY

    asyncio.run(run())
