"""A desk and the front's end of a socket to it, in one event loop."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from node.rpc.core_end import CoreEnd
from node.rpc.desk import Desk
from node.rpc.front_end import FrontEnd


@asynccontextmanager
async def linked(desk: Desk) -> AsyncIterator[tuple[CoreEnd, FrontEnd]]:
    """Join a front's end to a desk while the context lasts."""
    loop = asyncio.get_running_loop()
    cores, fronts = socket.socketpair()
    _, core_end = await loop.create_unix_connection(lambda: CoreEnd(desk), sock=cores)
    _, front_end = await loop.create_unix_connection(FrontEnd, sock=fronts)
    try:
        yield core_end, front_end
    finally:
        front_end.close()
        await front_end.ended.wait()
        core_end.close()
        await core_end.ended.wait()
