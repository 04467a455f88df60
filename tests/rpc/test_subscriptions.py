import asyncio

from node.rpc import subscriptions
from node.rpc.backend import GOING_AWAY
from node.rpc.subscriptions import Outbox, Subscriber


def full_outbox() -> Outbox:
    outbox = Outbox()
    outbox.notify(b"x" * (subscriptions.OUTBOX_BYTES_MAX + 1))
    return outbox


def test_messages_leave_in_order() -> None:
    async def run() -> list[bytes | None]:
        outbox = Outbox()
        outbox.notify(b"first")
        await outbox.answer(b"second")
        return [await outbox.take(), await outbox.take()]

    assert asyncio.run(run()) == [b"first", b"second"]


def test_a_notification_without_room_ends_the_connection() -> None:
    async def run() -> bytes | None:
        outbox = full_outbox()
        outbox.notify(b"one too many")
        assert outbox.is_closed
        return await outbox.take()

    assert asyncio.run(run()) is None


def test_an_answer_waits_for_room() -> None:
    async def run() -> list[bytes | None]:
        outbox = full_outbox()
        answer = asyncio.create_task(outbox.answer(b"answer"))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not answer.done()

        large = await outbox.take()
        await answer

        assert large is not None
        return [await outbox.take()]

    assert asyncio.run(run()) == [b"answer"]


def test_closing_ends_an_answer_that_waits() -> None:
    async def run() -> None:
        outbox = full_outbox()
        answer = asyncio.create_task(outbox.answer(b"answer"))
        await asyncio.sleep(0)

        outbox.close(GOING_AWAY)

        await answer
        assert await outbox.take() is None

    asyncio.run(run())


def test_an_answer_comes_before_notifications_of_its_subscription() -> None:
    async def run() -> list[bytes | None]:
        subscriber = Subscriber()
        subscriber.hold()
        subscriber.notify("0x1", b"{}")
        await subscriber.answer(b"answer")
        subscriber.notify("0x1", b"[]")
        return [await subscriber.outbox.take() for _ in range(3)]

    notification = (
        b'{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0x1","result":%b}}'
    )
    assert asyncio.run(run()) == [b"answer", notification % b"{}", notification % b"[]"]
