"""A node's JSON-RPC while it runs: the front in this process, or in one of its own.

The sequencer's front has a process of its own, so that no request waits while a block is sealed
(DESIGN section 7). Validators and archives keep front and core together: they seal nothing, few ask
them, and a devnet of four would pay for four more processes.
"""

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final, NamedTuple

import structlog

from node.config import LogFormat, NodeConfig
from node.consensus.core import Core
from node.errors import OperatorError
from node.rpc.accounts import read_accounts
from node.rpc.core_end import CoreEnd
from node.rpc.desk import Desk
from node.rpc.origin import Policy
from node.rpc.port import listen
from node.rpc.server import RpcServer

END_SECONDS: Final = 5
"""So long a front may take to end before it is killed."""
STABLE_SECONDS: Final = 10
"""A front that lived so long is started again as if for the first time."""
RESTARTS_MAX: Final = 3
"""So often in a row a front may end sooner."""
_log = structlog.get_logger(__name__)


class Apart(NamedTuple):
    """A front in a process of its own."""

    port: int
    """The one it listens on: the free one that was found if 0 was asked for."""
    keeping: asyncio.Task[None]
    """Ends only when no front stays alive, by raising OperatorError."""


def make_policy(config: NodeConfig) -> Policy:
    """Return whom a node answers."""
    return Policy(
        bind_host=config.host,
        host_names=frozenset(name.lower() for name in config.host_names),
        origins=frozenset(origin.lower() for origin in config.allow_origins),
    )


def make_desk(core: Core, config: NodeConfig) -> Desk:
    """Return the core's side of a node's JSON-RPC."""
    path = config.accounts_path
    return Desk(core, accounts=None if path is None else read_accounts(path))


@asynccontextmanager
async def serve(core: Core, config: NodeConfig) -> AsyncIterator[RpcServer]:
    """Serve a node's JSON-RPC in this process; raise PortInUse naming the owner."""
    listening = listen(config.host, config.port)
    desk = make_desk(core, config)
    server = RpcServer(desk, make_policy(config), listening)
    try:
        await server.start()
        yield server
    finally:
        desk.close()
        await server.stop()


@asynccontextmanager
async def serve_apart(core: Core, config: NodeConfig) -> AsyncIterator[Apart]:
    """Serve a node's JSON-RPC from a process of its own; raise PortInUse naming the owner."""
    with listen(config.host, config.port) as listening:
        fronts = Fronts(make_desk(core, config), make_policy(config), listening, config.log_format)
        keeping = asyncio.create_task(fronts.keep())
        try:
            yield Apart(listening.getsockname()[1], keeping)
        finally:
            await fronts.stop()
            keeping.cancel()
            with suppress(asyncio.CancelledError, OperatorError):
                await keeping


class Fronts:
    """Starts the front's process, and again when it ends."""

    def __init__(
        self, desk: Desk, policy: Policy, listening: socket.socket, log_format: LogFormat
    ) -> None:
        self._desk = desk
        self._listening = listening
        self._wishes = (_encode(policy), log_format.value)
        self._process: asyncio.subprocess.Process | None = None
        self._end: CoreEnd | None = None
        self._is_stopping = False

    async def keep(self) -> None:
        """Run a front until `stop`; raise OperatorError if one after the other ends soon."""
        now, short_lives = asyncio.get_running_loop().time, 0
        while not self._is_stopping:
            started = now()
            status = await self._run()
            if self._is_stopping:
                return
            short_lives = 0 if now() - started > STABLE_SECONDS else short_lives + 1
            if short_lives > RESTARTS_MAX:
                raise OperatorError(
                    f"the process that answers JSON-RPC ended {short_lives} times within "
                    f"{STABLE_SECONDS} s of its start, last with status {status}: see above why"
                )
            _log.error("front ended, started again", status=status)

    async def stop(self) -> None:
        """End conversations and the front; kill it if it takes too long."""
        self._is_stopping = True
        self._desk.close()
        if self._process is None or self._end is None:
            return
        self._end.stop()
        try:
            async with asyncio.timeout(END_SECONDS):
                await self._process.wait()
        except TimeoutError:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def _run(self) -> int:
        """Run one front to its end and return its exit status."""
        ours, theirs = socket.socketpair()
        with theirs:
            sockets = (str(self._listening.fileno()), str(theirs.fileno()))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "node.rpc.front_process", *sockets, *self._wishes),
                stdin=asyncio.subprocess.DEVNULL,
                pass_fds=(self._listening.fileno(), theirs.fileno()),
                start_new_session=True,  # Ctrl-C reaches the core alone, which ends its front
            )
        loop = asyncio.get_running_loop()
        _, self._end = await loop.create_unix_connection(lambda: CoreEnd(self._desk), sock=ours)
        self._process = process
        status = await process.wait()
        self._end.close()
        return status


def _encode(policy: Policy) -> str:
    return json.dumps([policy.bind_host, sorted(policy.host_names), sorted(policy.origins)])
