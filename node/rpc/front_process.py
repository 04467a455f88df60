"""The front's process: `python -m node.rpc.front_process LISTENING CORE POLICY LOG_FORMAT`.

The core starts it with two sockets that it inherits, one that listens and one to the core itself.
When the core ends, however it ends, its socket does, and the front with it.
"""

import asyncio
import gc
import json
import os
import signal
import socket
import sys

import uvloop

from node.config import LogFormat
from node.log import configure_log
from node.rpc.front_end import FrontEnd
from node.rpc.origin import Policy
from node.rpc.server import RpcServer


async def serve(listening: socket.socket, core: socket.socket, policy: Policy) -> None:
    """Serve until the core says so; if it is gone, end as it did, in the middle of everything."""
    loop = asyncio.get_running_loop()
    _, end = await loop.create_unix_connection(FrontEnd, sock=core)
    server = RpcServer(end, policy, listening)
    await server.start()
    gc.freeze()
    await end.stopping.wait()
    if end.ended.is_set():
        os._exit(1)
    await server.stop()
    end.close()


def main() -> None:
    """Run the process."""
    listening, core, policy, log_format = sys.argv[1:]
    configure_log(LogFormat(log_format))
    host, names, origins = json.loads(policy)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the core ends it
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(
            serve(
                socket.socket(fileno=int(listening)),
                socket.socket(fileno=int(core)),
                Policy(host, frozenset(names), frozenset(origins)),
            )
        )


if __name__ == "__main__":
    main()
