"""How what a node says finds its peers: the joint between a node and its links.

Blocks come from the sequencer and attestations go to it alone: a block costs as many frames as the
chain has validators, however they are linked. What every node should hear (`GOSSIP`: the council's
actions, fork plans and who carried them out, disputes, snapshot signatures) is told to all peers by
whoever takes it for the first time, and never again. So it reaches everybody whom the links that
stand connect, with the sequencer or without it, and no loop keeps it going.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from node.consensus.link import DEFAULT_LIMITS, OBSERVER_MESSAGES, SEQUENCER, Limits, Link, Peer
from node.consensus.messages import (
    GOSSIP,
    ORDERS,
    QUESTIONS,
    Attestation,
    GetForkConfirmations,
    Message,
    encode_message,
)
from node.consensus.peers import PeerClient, PeerServer
from node.consensus.sequencer import Sequencer
from node.consensus.validator import ValidatorNode


class Links:
    """All links of a follower: those it made, and those it was asked for."""

    def __init__(self, *, limits: Limits = DEFAULT_LIMITS) -> None:
        """Make it within the event loop."""
        self._loop = asyncio.get_running_loop()
        self._limits = limits
        self._ends: list[PeerServer | PeerClient] = []

    def add(self, end: PeerServer | PeerClient) -> None:
        """Take an end; before anything is told."""
        self._ends.append(end)

    def names(self) -> Sequence[str]:
        """Return the names of those who are linked now, sorted; from any thread."""
        return sorted({name for end in self._ends for name in end.names()})

    def tell_all(self, message: Message, *, but: bytes) -> None:
        """Tell every peer but the one with this key; from any thread."""
        self._tell(message, lambda peer: not but or peer.public_key != but)

    def tell_sequencer(self, message: Message) -> None:
        """Tell the sequencer, if it is linked; from any thread."""
        self._tell(message, lambda peer: peer.name == SEQUENCER)

    async def run(self, on_tick: Callable[[], None]) -> None:
        """Keep the links that this node makes, and have it do what time made due, until cancelled.

        Raises only what no other connection would mend.
        """
        clients = [end.run() for end in self._ends if isinstance(end, PeerClient)]
        async with asyncio.TaskGroup() as tasks:
            for each in (*clients, self._tick(on_tick)):
                tasks.create_task(each)

    async def _tick(self, on_tick: Callable[[], None]) -> None:
        with ThreadPoolExecutor(1, thread_name_prefix="ticks") as worker:
            while True:
                await asyncio.sleep(self._limits.tick_s)
                await self._loop.run_in_executor(worker, on_tick)

    def _tell(self, message: Message, is_meant: Callable[[Peer], bool]) -> None:
        frame = encode_message(message)
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(
                self._put, frame, lambda link: link.may_say(message) and is_meant(link.peer)
            )

    def _put(self, frame: bytes, is_meant: Callable[[Link], bool]) -> None:
        standing: list[Link] = [link for end in self._ends for link in end.links()]
        for link in standing:
            if is_meant(link):
                link.put(frame)


class Follower:
    """A validator or an archive, as its links see it."""

    def __init__(self, node: ValidatorNode, links: Links) -> None:
        self._node = node
        self._links = links

    def on_connected(self, peer: Peer) -> Sequence[Message]:
        """Return what to tell a peer first."""
        if peer.name == SEQUENCER:
            messages = self._node.on_connected(fork_id=peer.hello.fork_id)
        else:
            hello = peer.hello
            messages = self._node.on_peer(fork_id=hello.fork_id, height=hello.height)
        return [each for each in messages if self._may_say(each)]

    def on_message(self, peer: Peer, message: Message) -> Sequence[Message]:
        """Take a message; return what to tell its sender, and tell others what is for them."""
        if isinstance(message, ORDERS) and peer.name != SEQUENCER:
            return []
        said = self._node.on_message(message, peer.name)
        if isinstance(message, QUESTIONS):
            return said
        answers = []
        for each in said:
            if isinstance(each, GOSSIP):
                # What is passed on has been where it came from.
                self._tell_all(each, but=peer.public_key if each == message else b"")
            elif isinstance(each, Attestation) and peer.name != SEQUENCER:
                self._links.tell_sequencer(each)
            else:
                answers.append(each)
        return answers

    def on_tick(self) -> None:
        """Tell whom it concerns what became due."""
        for each in self._node.on_tick():
            if isinstance(each, (*GOSSIP, GetForkConfirmations)):
                self._tell_all(each, but=b"")
            else:
                self._links.tell_sequencer(each)

    def _tell_all(self, message: Message, *, but: bytes) -> None:
        if self._may_say(message):
            self._links.tell_all(message, but=but)

    def _may_say(self, message: Message) -> bool:
        return self._node.has_key or isinstance(message, OBSERVER_MESSAGES)


class Gatherer:
    """The sequencer, as its links see it."""

    def __init__(self, sequencer: Sequencer) -> None:
        self._sequencer = sequencer

    def on_connected(self, peer: Peer) -> Sequence[Message]:
        """Return what to tell a peer first."""
        return self._sequencer.on_connected(peer.name, fork_id=peer.hello.fork_id)

    def on_message(self, peer: Peer, message: Message) -> Sequence[Message]:
        """Take a message; return what to tell its sender."""
        return self._sequencer.on_message(peer.name, message)
