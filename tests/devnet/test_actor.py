"""What every actor does: it acts on the head that it finds, then on each newer one."""

import asyncio
from typing import Any, cast

from node.devnet.actor import Head, follow_heads
from node.devnet.client import Client, Subscription
from node.units import Height, TimeMs


class Node:
    """A node with a head, asked as a client asks it."""

    def __init__(self, height: int) -> None:
        self.height = height
        self.epoch = 0
        self.heads = Subscription()

    def seal(self) -> None:
        self.height += 1
        self.heads.deliver({"number": hex(self.height)})

    def revert(self, height: int) -> None:
        self.height, self.epoch = height, self.epoch + 1
        self.heads.deliver({"number": hex(height)})

    async def subscribe(self, kind: str) -> Subscription:
        assert kind == "newHeads"
        return self.heads

    async def request(self, method: str, block: str) -> Any:
        assert method == "perp_getBlock"
        number = self.height if block == "latest" else int(block, 16)
        if number > self.height:
            return None
        return {
            "number": number,
            "hash": f"{self.epoch}/{number}",
            "extension": {"timeMs": 1_000 + number, "forkId": 0},
        }


def test_the_head_that_is_there_comes_first_and_only_once() -> None:
    node = Node(7)

    async def follow() -> list[Head]:
        heads = follow_heads(cast(Client, node), pause_s=0)
        first = await anext(heads)  # no block is sealed meanwhile
        node.heads.deliver({"number": hex(7)})
        node.seal()
        node.seal()
        return [first, await anext(heads)]

    found = asyncio.run(follow())

    assert found == [Head(Height(n), TimeMs(1_000 + n), 0) for n in (7, 9)]


def test_an_actor_goes_on_from_where_a_development_revert_went_back_to() -> None:
    node = Node(7)

    async def follow() -> list[Head]:
        heads = follow_heads(cast(Client, node), pause_s=0)
        found = [await anext(heads)]
        node.seal()
        node.revert(5)  # before anybody asked for block 8
        found.append(await anext(heads))
        node.seal()
        return [*found, await anext(heads)]

    found = asyncio.run(follow())

    assert [head.height for head in found] == [7, 5, 6]
